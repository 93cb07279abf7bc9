//! Cases 36 to 43: `graphql-transport-ws` with a client that breaks its rules one by one.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use handfast_tests::Server;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{address, fault, raw, sane, short};

pub const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

/// Names and values.
pub type Headers<'h> = &'h [(&'static str, &'h str)];

pub struct Client(pub WebSocketStream<TcpStream>);

/// The whole of a message that is refused may wait so long.
const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    /// After the handshake with these headers. The error is its status and body.
    pub async fn open(server: &Server, headers: Headers<'_>) -> Result<Client, (u16, String)> {
        let socket = TcpSocket::new_v4().expect("a socket");
        Client::open_on(socket, server, headers).await
    }

    pub async fn open_on(
        socket: TcpSocket,
        server: &Server,
        headers: Headers<'_>,
    ) -> Result<Client, (u16, String)> {
        let stream =
            socket.connect(address(server).parse().expect("an address")).await.expect("the server listens");
        let mut request =
            format!("ws://{}/graphql", address(server)).into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a header"));
        }
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(Client(stream)),
            Err(Error::Http(answer)) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8_lossy(body).into_owned()))
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Without `connection_init`.
    pub async fn mute(server: &Server) -> Client {
        Client::open(server, &[PROTOCOL]).await.unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    pub async fn ready(server: &Server) -> Client {
        let mut client = Client::mute(server).await;
        client.send(Message::text(init(&server.token))).await;
        assert_eq!(client.hear().await, json!({"type": "connection_ack"}));
        client
    }

    pub async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub async fn send(&mut self, message: Message) {
        // The server may have closed; what it said is still to be read.
        drop(self.0.send(message).await);
    }

    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    /// `None` when the connection ended.
    pub async fn frame(&mut self) -> Option<Message> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a message in time") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub async fn hear(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// The code and reason of the close, whatever comes before it.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Message::Text(_)) => {}
                other => return (0, format!("{other:?}")),
            }
        }
    }
}

pub fn init(token: &str) -> String {
    json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}}).to_string()
}

#[tokio::test]
async fn every_broken_rule_closes_a_socket_with_its_code() {
    let server = Server::configured(&[("HANDFAST__EDGE__SOCKET__INIT_TIMEOUT_MS", "3000")]);
    let began = Instant::now();
    let mut silent = Client::mute(&server).await;

    // 36, 37: refused by the status of the handshake.
    let here = server.url.clone();
    assert!(Client::open(&server, &[PROTOCOL, ("origin", &here)]).await.is_ok(), "a page of this server may");
    let token = format!("Bearer {}", server.token);
    let handshakes: &[(u8, Headers, u16, &str)] = &[
        (36, &[PROTOCOL, ("origin", "https://evil.example")], 403, "ORIGIN_NOT_ALLOWED"),
        (36, &[PROTOCOL, ("origin", "null")], 403, "ORIGIN_NOT_ALLOWED"),
        (36, &[PROTOCOL, ("origin", "http://127.0.0.1")], 403, "ORIGIN_NOT_ALLOWED"),
        (
            37,
            &[("sec-websocket-protocol", "graphql-ws")],
            400,
            "the only subprotocol here is graphql-transport-ws",
        ),
        (37, &[("sec-websocket-protocol", "soap, wamp")], 400, "BAD_REQUEST"),
        (46, &[PROTOCOL, ("authorization", "Bearer wrong")], 401, "UNAUTHENTICATED"),
        (46, &[PROTOCOL, ("authorization", &token), ("authorization", &token)], 401, "UNAUTHENTICATED"),
    ];
    for (case, headers, status, part) in handshakes {
        let (found, body) = Client::open(&server, headers).await.err().unwrap_or_default();
        assert!(found == *status && body.contains(part), "case {case}, {headers:?}: {found} {body}");
        assert!(body.len() < 4_096, "case {case}, {headers:?}: {body}");
    }
    let head = format!("GET /graphql HTTP/1.1\r\nupgrade: websocket\r\nauthorization: {token}");
    let answer = raw(&server, &head, b"");
    assert!(answer.status == 400 && answer.body.contains("no WebSocket handshake"), "{answer:?}");
    let mut without = Client::open(&server, &[]).await.unwrap_or_else(|answer| panic!("{answer:?}"));
    let (code, reason) = without.closed().await;
    assert!(code == 4406 && reason.contains("graphql-transport-ws"), "{code} {reason}");

    // 39 to 42: closed for a message.
    let good = init(&server.token);
    let events =
        r#"{"type":"subscribe","id":"1","payload":{"query":"subscription { leadEvents { cursor } }"}}"#;
    let big = |bytes: usize| format!(r#"{{"type":"ping","payload":{{"x":"{}"}}}}"#, "x".repeat(bytes));
    let deep = format!(r#"{{"type":"ping","payload":{{"a":{}1{}}}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let text = |text: &str| Message::text(text.to_owned());
    let after = |last: Message| vec![text(&good), last];
    let kind = format!(r#"{{"type":"{}"}}"#, "x".repeat(3_000));
    let cases: Vec<(u8, &str, Vec<Message>, u16, &str)> = vec![
        (39, "two inits", after(text(&good)), 4429, "Too many initialisation requests"),
        (40, "subscribe before init", vec![text(events)], 4401, "Unauthorized"),
        (40, "init without a token", vec![text(r#"{"type":"connection_init"}"#)], 4401, "Unauthorized"),
        (40, "init with a wrong token", vec![text(&init("hf_wrong"))], 4401, "Unauthorized"),
        (40, "init with a long token", vec![text(&init(&"x".repeat(20_000)))], 4401, "Unauthorized"),
        (
            41,
            "the same id twice",
            vec![text(&good), text(events), text(events)],
            4409,
            "Subscriber for 1 already exists",
        ),
        (42, "no JSON", after(text("{")), 4400, "malformed JSON at line 1, column 1"),
        (42, "nothing", after(text("")), 4400, "Bad request"),
        (42, "a list", after(text("[]")), 4400, "a message is an object, not a list"),
        (42, "no type", after(text("{}")), 4400, "type must be a string"),
        (
            42,
            "a type twice",
            after(text(r#"{"type":"ping","type":"pong"}"#)),
            4400,
            "the key type stands twice",
        ),
        (
            42,
            "an old type",
            after(text(r#"{"type":"start","id":"1","payload":{}}"#)),
            4400,
            "unknown message type start",
        ),
        (42, "a long type", after(text(&kind)), 4400, "unknown message type xxx"),
        (
            42,
            "a type of the server",
            after(text(r#"{"type":"next","id":"1","payload":{}}"#)),
            4400,
            "unknown message type next",
        ),
        (
            42,
            "no id",
            after(text(r#"{"type":"subscribe","payload":{"query":"{a}"}}"#)),
            4400,
            "id must be a string",
        ),
        (
            42,
            "an empty id",
            after(text(r#"{"type":"subscribe","id":"","payload":{}}"#)),
            4400,
            "id must have 1 to 128 bytes",
        ),
        (42, "a number for an id", after(text(r#"{"type":"complete","id":1}"#)), 4400, "id must be a string"),
        (
            42,
            "no payload",
            after(text(r#"{"type":"subscribe","id":"1"}"#)),
            4400,
            "subscribe needs a payload",
        ),
        (
            42,
            "a lone surrogate",
            after(text(r#"{"type":"ping","payload":{"a":"\ud800"}}"#)),
            4400,
            "malformed JSON",
        ),
        (42, "5,000 deep", after(text(&deep)), 4400, "nested deeper than"),
        (
            42,
            "binary",
            after(Message::binary(good.clone().into_bytes())),
            4400,
            "binary frames are not part of the protocol",
        ),
        (42, "65 KiB", after(text(&big(65 * 1024))), 1009, "larger than 65536 bytes"),
        (42, "255 KiB", after(text(&big(255 * 1024))), 1009, "larger than 65536 bytes"),
        (42, "65 KiB before init", vec![text(&big(65 * 1024))], 1009, "larger than 65536 bytes"),
    ];
    for (case, what, messages, code, part) in cases {
        let mut client = Client::mute(&server).await;
        for message in messages {
            client.send(message).await;
        }
        let (found, reason) = client.closed().await;
        assert!(
            found == code && reason.contains(part),
            "case {case}, {what}: {found} {reason}, not {code} {part}"
        );
        assert!(reason.len() <= 123, "case {case}, {what}: {reason}");
        assert!(sane(&server).is_ok(), "case {case}, {what}: {:?}", sane(&server));
    }
    let mut hasty = Client::ready(&server).await;
    for _ in 0..100 {
        hasty.say(json!({"type": "ping"})).await;
    }
    let (code, reason) = hasty.closed().await;
    assert!(code == 4429 && reason.contains("more than 100 in ten seconds"), "{code} {reason}");

    // 38: the one that never began.
    let (code, reason) = silent.closed().await;
    assert!(code == 4408 && reason.contains("initialisation timeout"), "{code} {reason}");
    assert!(began.elapsed() > Duration::from_millis(2_900), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_refused_request_is_an_error_message_and_its_socket_lives() {
    let server = Server::start();
    let mut client = Client::ready(&server).await;
    let nested = format!(
        "subscription {{ leadEvents(after: {}1{}) {{ cursor }} }}",
        "[".repeat(2_000),
        "]".repeat(2_000)
    );
    let long = format!("subscription {{ {} }}", "x".repeat(9_000));
    let cases: &[(u8, &str, &str, &str)] = &[
        (2, "subscription {", "VALIDATION", "syntax error at line 1, column 15"),
        (11, &nested, "DOCUMENT_TOO_DEEP", "nesting deeper than 40"),
        (20, "subscription { leadEvent { cursor } }", "VALIDATION", "Unknown field \"leadEvent\""),
        (20, &long, "VALIDATION", "Unknown field"),
        (
            27,
            "mutation { announceSignal(signal: \"x\") { __typename } }",
            "METHOD_NOT_ALLOWED",
            "send them by POST",
        ),
        (
            55,
            "subscription { leadEvents(after: \"zz\") { cursor } }",
            "CURSOR_INVALID",
            "not one of this server's",
        ),
        (22, "subscription { funnelCounts(intervalMs: 0) { open } }", "VALIDATION", "250"),
        (22, "{ leads(first: 0) { edges { cursor } } }", "PAGE_SIZE", "found 0"),
    ];
    for (case, query, code, part) in cases {
        client.subscribe("1", query).await;
        let message = client.hear().await;
        let what = format!("case {case}, {}: {message}", short(query, 60));
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{what}");
        let error = &message["payload"][0];
        assert_eq!(error["extensions"]["code"], *code, "{what}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(part)), "{what}");
        assert_eq!(fault(error), None, "{what}");
        assert!(message.to_string().len() < 4_096, "{what}");
    }
    // 43: as many as may be, one more, and one in the place of another.
    for n in 0..51 {
        client.subscribe(&format!("s{n}"), "subscription { leadEvents { cursor } }").await;
    }
    let message = client.hear().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("s50")), "{message}");
    let error = &message["payload"][0];
    assert_eq!(error["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS", "{message}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("limit 50")), "{message}");
    client.say(json!({"type": "complete", "id": "s7"})).await;
    client.subscribe("s7", super::SANE).await;
    assert_eq!(client.hear().await["payload"], json!({"data": {"viewer": {"key": "admin"}}}));
    sane(&server).expect("the server answers");
    // Two sources have two places in the log, and a client that resumes has one cursor.
    let mut client = Client::ready(&server).await;
    for fields in
        ["leadEvents { cursor } funnelCounts { open }", "a: leadEvents { cursor } b: leadEvents { cursor }"]
    {
        client.subscribe("two", &format!("subscription {{ {fields} }}")).await;
        client.say(json!({"type": "ping"})).await;
        let message = client.hear().await;
        let code = &message["payload"][0]["extensions"]["code"];
        assert_eq!(code, "VALIDATION", "a subscription has one root field; {fields}: {message}");
        assert_eq!(client.hear().await["type"], "pong");
    }
}
