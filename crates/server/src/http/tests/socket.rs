//! `graphql-transport-ws`, with a client that breaks its rules one by one.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::super::EdgeConfig;
use super::super::config::SocketLimits;
use super::super::testing::OPEN;
use super::Server;

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

fn socket(change: impl FnOnce(&mut SocketLimits)) -> EdgeConfig {
    let mut config = EdgeConfig::default();
    change(&mut config.socket);
    config
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn handshake(server: &Server, headers: &[(&'static str, &str)]) -> Result<(Client, Response), Error> {
    let mut request = format!("ws://{}/graphql", server.at).into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    connect_async(request).await.map(|(stream, response)| (Client(stream), response))
}

async fn status(server: &Server, headers: &[(&'static str, &str)]) -> (u16, String) {
    match handshake(server, headers).await {
        Err(Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            (answer.status().as_u16(), String::from_utf8_lossy(body).into_owned())
        }
        Err(other) => panic!("{other:?}"),
        Ok((_, response)) => (response.status().as_u16(), String::new()),
    }
}

impl Client {
    /// Without `connection_init`.
    async fn mute(server: &Server) -> Client {
        handshake(server, &[PROTOCOL]).await.expect("a handshake").0
    }

    async fn ready(server: &Server) -> Client {
        Client::with_token(server, "good").await
    }

    async fn with_token(server: &Server, token: &str) -> Client {
        let mut client = Client::mute(server).await;
        client
            .say(json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}}))
            .await;
        assert_eq!(client.hear().await, json!({"type": "connection_ack"}));
        client
    }

    async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    async fn send(&mut self, message: Message) {
        // The server may have closed; what it said is still to be read.
        let _ = self.0.send(message).await;
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    async fn frame(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(10), self.0.next())
                .await
                .expect("a message in time");
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    async fn hear(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// The code and reason of the close, whatever comes before it.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Message::Text(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn subscriptions_and_queries_run_side_by_side() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    client.subscribe("a", "subscription{changes(until:2){cursor number}}").await;
    for n in 1..=2 {
        let change = json!({"cursor": format!("c{n}"), "number": n});
        assert_eq!(
            client.hear().await,
            json!({"type": "next", "id": "a", "payload": {"data": {"changes": change}}})
        );
    }
    assert_eq!(client.hear().await, json!({"type": "complete", "id": "a"}));
    client.subscribe("a", "{viewer}").await;
    assert_eq!(
        client.hear().await,
        json!({"type": "next", "id": "a", "payload": {"data": {"viewer": "ada"}}})
    );
    assert_eq!(client.hear().await, json!({"type": "complete", "id": "a"}));
    client.say(json!({"type": "ping", "payload": {"x": 1}})).await;
    assert_eq!(client.hear().await, json!({"type": "pong"}));
    client.say(json!({"type": "pong"})).await;

    client.subscribe("quiet", "subscription{endless}").await;
    client.subscribe("b", "subscription{changes(until:100000){number}}").await;
    client.subscribe("c", "subscription{changes(until:40){number}}").await;
    loop {
        let heard = client.hear().await;
        match (heard["id"].as_str(), heard["type"].as_str()) {
            (Some("c"), Some("complete")) => break,
            (Some("b"), Some("complete")) => panic!("two that are always ready take turns"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn handshakes_are_refused_by_status() {
    let server = Server::start().await;
    let here = format!("http://{}", server.at);
    assert_eq!(status(&server, &[PROTOCOL]).await.0, 101);
    assert_eq!(status(&server, &[PROTOCOL, ("origin", &here)]).await.0, 101);
    let (code, body) = status(&server, &[PROTOCOL, ("origin", "https://evil.example")]).await;
    assert!(code == 403 && body.contains("ORIGIN_NOT_ALLOWED"), "{body}");
    assert_eq!(status(&server, &[PROTOCOL, ("origin", "null")]).await.0, 403);
    for wrong in ["graphql-ws", "soap, wamp"] {
        let (code, body) = status(&server, &[("sec-websocket-protocol", wrong)]).await;
        assert!(code == 400 && body.contains("graphql-transport-ws"), "{body}");
    }
    assert_eq!(
        status(&server, &[("sec-websocket-protocol", "graphql-ws, graphql-transport-ws")]).await.0,
        101
    );
    for wrong in ["Bearer wrong", "Basic x"] {
        assert_eq!(status(&server, &[PROTOCOL, ("authorization", wrong)]).await.0, 401);
    }
    let answer =
        server.raw("GET /graphql HTTP/1.1\r\nupgrade: websocket\r\nauthorization: Bearer good", b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"));
}

#[tokio::test]
async fn the_protocol_must_be_named() {
    let server = Server::start().await;
    let (mut client, _) = handshake(&server, &[]).await.expect("a handshake");
    assert_eq!(client.closed().await.0, 4406);
}

#[tokio::test]
async fn the_token_comes_in_the_init_or_in_the_header() {
    let server = Server::start().await;
    let (mut client, _) =
        handshake(&server, &[PROTOCOL, ("authorization", "Bearer good")]).await.expect("a handshake");
    client.say(json!({"type": "connection_init"})).await;
    assert_eq!(client.hear().await["type"], "connection_ack");
    let mut reasons = Vec::new();
    for payload in [
        json!(null),
        json!({}),
        json!({"token": "wrong"}),
        json!({"authorization": "good"}),
        json!({"token": 5}),
    ] {
        let mut client = Client::mute(&server).await;
        client.say(json!({"type": "connection_init", "payload": payload})).await;
        let (code, reason) = client.closed().await;
        assert_eq!(code, 4401);
        reasons.push(reason);
    }
    reasons.dedup();
    assert_eq!(reasons.len(), 1);
}

#[tokio::test]
async fn broken_rules_close_with_their_codes() {
    let server = Server::start().await;
    let endless =
        json!({"type": "subscribe", "id": "1", "payload": {"query": "subscription{endless}"}}).to_string();
    let init = json!({"type": "connection_init", "payload": {"token": "good"}}).to_string();
    let text = |text: &str| Message::text(text.to_owned());
    let big = format!(r#"{{"type":"ping","payload":{{"x":"{}"}}}}"#, "x".repeat(65 * 1024));
    let cases: Vec<(&str, Vec<Message>, u16)> = vec![
        ("two inits", vec![text(&init), text(&init)], 4429),
        ("subscribe first", vec![text(&endless)], 4401),
        ("same id", vec![text(&init), text(&endless), text(&endless)], 4409),
        ("no JSON", vec![text(&init), text("{")], 4400),
        ("unknown type", vec![text(&init), text(r#"{"type":"start","id":"1","payload":{}}"#)], 4400),
        ("no type before init", vec![text("{}")], 4400),
        ("binary", vec![text(&init), Message::binary(init.clone().into_bytes())], 4400),
        ("too big", vec![text(&init), text(&big)], 1009),
        (
            "deep",
            vec![
                text(&init),
                text(&format!(
                    r#"{{"type":"ping","payload":{{"a":{}1{}}}}}"#,
                    "[".repeat(5_000),
                    "]".repeat(5_000)
                )),
            ],
            4400,
        ),
    ];
    for (name, messages, code) in cases {
        let mut client = Client::mute(&server).await;
        for message in messages {
            client.send(message).await;
        }
        println!("{name}");
        let (found, reason) = client.closed().await;
        assert_eq!(found, code, "{name}: {reason}");
        assert!(!reason.is_empty() && reason.len() <= 123, "{name}: {reason}");
    }
}

#[tokio::test]
async fn too_many_messages_close_with_4429() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    for _ in 0..100 {
        client.say(json!({"type": "ping"})).await;
    }
    let (code, reason) = client.closed().await;
    assert_eq!((code, reason.as_str()), (4429, "Too many messages: more than 100 in ten seconds"));
}

#[tokio::test]
async fn refused_requests_are_error_messages_and_the_socket_lives() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    let bomb =
        format!("subscription{{changes(after:{}1{}){{cursor}}}}", "[".repeat(2_000), "]".repeat(2_000));
    for (query, code) in [
        ("subscription{", "VALIDATION"),
        ("subscription{nope}", "VALIDATION"),
        (&bomb, "DOCUMENT_TOO_DEEP"),
        ("mutation{set(x:1)}", "METHOD_NOT_ALLOWED"),
        ("subscription{changes(after:\"zz\"){cursor}}", "CURSOR_INVALID"),
        ("{panics}", "INTERNAL"),
    ] {
        client.subscribe("1", query).await;
        let message = client.hear().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{message}");
        let extensions = &message["payload"][0]["extensions"];
        assert_eq!(extensions["code"], code, "{message}");
        assert!(extensions["requestId"].is_string() && extensions["retryable"].is_boolean(), "{message}");
    }
    client.say(json!({"type": "subscribe", "id": "1", "payload": {"query": 5}})).await;
    assert_eq!(client.hear().await["payload"][0]["extensions"]["code"], "BAD_REQUEST");
    client.subscribe("1", "subscription{panics}").await;
    assert_eq!(client.hear().await["type"], "next");
    assert_eq!(client.hear().await["payload"][0]["extensions"]["code"], "INTERNAL");
    client.subscribe("1", "subscription{patchy{number}}").await;
    let events = [client.hear().await, client.hear().await, client.hear().await, client.hear().await];
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["next", "next", "next", "complete"]);
    assert_eq!(events[1]["payload"]["errors"][0]["extensions"]["code"], "GONE");
}

#[tokio::test]
async fn the_fifty_first_subscription_is_refused_and_completing_makes_room() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    let before = OPEN.load(Ordering::SeqCst);
    for i in 0..51 {
        client.subscribe(&format!("s{i}"), "subscription{endless}").await;
    }
    let message = client.hear().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("s50")));
    assert_eq!(message["payload"][0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS");
    client.say(json!({"type": "complete", "id": "s7"})).await;
    client.subscribe("s7", "{hello}").await;
    assert_eq!(client.hear().await["payload"]["data"]["hello"], "world");
    drop(client);
    let began = Instant::now();
    while OPEN.load(Ordering::SeqCst) > before {
        assert!(began.elapsed() < Duration::from_secs(10), "sources of a closed socket are dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_socket_without_init_is_closed() {
    let server = Server::with(socket(|socket| socket.init_timeout_ms = 100)).await;
    let mut client = Client::mute(&server).await;
    assert_eq!(client.closed().await.0, 4408);
    let mut client = Client::ready(&server).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.say(json!({"type": "ping"})).await;
    assert_eq!(client.hear().await["type"], "pong", "a socket with init stays");
}

#[tokio::test]
async fn an_expired_token_closes_with_4403() {
    let server = Server::with(socket(|socket| socket.keep_alive_ms = 50)).await;
    let mut client = Client::with_token(&server, "brief").await;
    client.subscribe("1", "subscription{endless}").await;
    let early = tokio::time::timeout(Duration::from_millis(300), client.0.next()).await;
    assert!(!matches!(early, Ok(Some(Ok(Message::Close(_))))), "the clock has not moved");
    server.set_clock(1_000);
    assert_eq!(client.closed().await.0, 4403);
}

#[tokio::test]
async fn a_draining_server_closes_with_1001() {
    let server = Server::start().await;
    let mut client = Client::ready(&server).await;
    client.subscribe("1", "subscription{endless}").await;
    server.lifecycle.drain();
    assert_eq!(client.closed().await.0, 1001);
    tokio::time::timeout(Duration::from_secs(5), server.ended).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn silence_is_pinged_and_then_dropped() {
    let server = Server::with(socket(|socket| socket.keep_alive_ms = 60)).await;
    let mut client = Client::ready(&server).await;
    let ping = tokio::time::timeout(Duration::from_secs(5), client.0.next()).await.expect("in time");
    assert!(matches!(ping, Some(Ok(Message::Ping(_)))), "{ping:?}");
    // A client that is not polled answers no ping.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let mut last = client.0.next().await;
    while let Some(Ok(Message::Ping(_))) = last {
        last = client.0.next().await;
    }
    assert!(matches!(last, None | Some(Err(_))), "{last:?}");
}

#[tokio::test]
async fn a_slow_reader_is_closed_with_its_cursor_and_hurts_nobody() {
    let server = Server::with(socket(|socket| socket.send_timeout_ms = 300)).await;
    let mut slow = Client::ready(&server).await;
    slow.subscribe("1", "subscription{changes(until:1000000,size:4096){cursor text}}").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut other = Client::ready(&server).await;
    for _ in 0..20 {
        let began = Instant::now();
        other.subscribe("1", "{hello}").await;
        other.hear().await;
        other.hear().await;
        assert!(began.elapsed() < Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut seen, mut closed) = (0, None);
    while let Some(message) = slow.frame().await {
        match message {
            Message::Text(_) => seen += 1,
            Message::Close(frame) => closed = frame,
            other => panic!("{other:?}"),
        }
    }
    let frame = closed.expect("a close frame");
    assert_eq!(u16::from(frame.code), 4290);
    let cursor: u64 =
        frame.reason.strip_prefix("SLOW_CONSUMER after c").and_then(|n| n.parse().ok()).expect("a cursor");
    assert!(seen > 0 && cursor >= seen && cursor < seen + 64, "{seen} seen, closed after {cursor}");
}
