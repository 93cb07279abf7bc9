//! Cases 44 and 45: sockets that were in order and are closed all the same.

use std::time::{Duration, Instant};

use handfast_tests::Server;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::sane;
use super::sockets::{Client, PROTOCOL, init};

/// Case 44. The limit of ten seconds is half a second here.
#[tokio::test]
async fn a_reader_that_never_reads_is_closed_with_its_cursor_and_hurts_nobody() {
    let server = Server::configured(&[("HANDFAST__EDGE__SOCKET__SEND_TIMEOUT_MS", "500")]);
    let admin = server.admin();
    for batch in 0..2 {
        let leads: Vec<Value> = (0..200)
            .map(|n| json!({"email": format!("l{batch}-{n}@example.test"), "source": "test"}))
            .collect();
        admin.mutate("captureLeads", "CaptureLeadsInput", json!({ "leads": leads }), "results { created }");
    }
    let page = admin.query("{ events(first: 1) { cursor } }", json!({}));
    let after = page["events"]["cursor"].clone();
    // Whoever looks too early finds it at work, and whoever looks too late finds it gone: the server waits two seconds for its
    // last word to be taken.
    let mut closes = vec![];
    let closed = loop {
        let wait = Duration::from_millis(1_200 + 600 * closes.len() as u64);
        let mut slow = slow_reader(&server, &after).await;
        let began = Instant::now();
        while began.elapsed() < wait {
            let asked = Instant::now();
            sane(&server).expect("others are answered meanwhile");
            assert!(asked.elapsed() < Duration::from_secs(2), "another waits {:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        match slow.closed().await {
            (4290, reason) => break reason,
            other => closes.push(other),
        }
        assert!(closes.len() < 5, "it is closed otherwise: {closes:?}");
    };
    let cursor = closed.strip_prefix("SLOW_CONSUMER after ").unwrap_or_default();
    let document = "query($after: FeedCursor) { events(after: $after, first: 1) { events { cursor } } }";
    let page = admin.query(document, json!({ "after": cursor }));
    assert!(page["events"]["events"].is_array(), "one can go on from {closed}: {page}");
}

/// Asks for more than the kernel keeps for it, and reads none of it.
async fn slow_reader(server: &Server, after: &Value) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    // The kernel would keep megabytes for a reader that does nothing.
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let slow = Client::open_on(socket, server, &[PROTOCOL]).await;
    let mut slow = slow.unwrap_or_else(|answer| panic!("{answer:?}"));
    slow.send(Message::text(init(&server.token))).await;
    assert_eq!(slow.hear().await["type"], "connection_ack");
    // Thirty times the payload of each event, and forty times each event.
    let same: String = (0..30).map(|n| format!("p{n}: payload ")).collect();
    let query =
        format!("subscription($after: FeedCursor) {{ leadEvents(after: $after) {{ cursor {same} }} }}");
    for id in 0..40 {
        let payload = json!({"query": query, "variables": {"after": after}});
        slow.say(json!({"type": "subscribe", "id": id.to_string(), "payload": payload})).await;
    }
    slow
}

/// Case 45, and a token that is revoked.
#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let server = Server::start();
    let admin = server.admin();
    let make = |more: Value| {
        let mut input = json!({"user": "admin", "name": "a test", "scopes": ["leads:read"]});
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        admin.mutate("createToken", "CreateTokenInput", input, "secret token { id }")
    };
    let open = async |made: &Value| {
        let mut client = Client::mute(&server).await;
        client.send(Message::text(init(made["secret"].as_str().expect("a text")))).await;
        assert_eq!(client.hear().await["type"], "connection_ack");
        client.subscribe("1", "subscription { leadEvents { cursor } }").await;
        client
    };
    let now = admin.query("{ ledgerNow { asOf } }", json!({}))["ledgerNow"]["asOf"].clone();
    let now = handfast_domain::time::Instant::parse(now.as_str().expect("an instant")).expect("an instant");
    let (brief, long) = (make(json!({"expiresAt": now.plus(3_000).to_string()})), make(json!({})));
    let (mut expires, mut revoked) = (open(&brief).await, open(&long).await);
    admin.mutate("revokeToken", "RevokeTokenInput", json!({"token": long["token"]["id"]}), "token { id }");
    let (code, reason) = revoked.closed().await;
    assert!(code == 4403 && reason.contains("revoked"), "{code} {reason}");
    let (code, reason) = expires.closed().await;
    assert!(code == 4403 && reason.contains("expired"), "{code} {reason}");
    sane(&server).expect("the server answers");
}

/// No case of the catalogue: whoever closes in order hears so, and browsers call anything else an error (1006).
#[tokio::test]
async fn a_client_that_closes_gets_its_close_back() {
    let server = Server::start();
    for ready in [true, false] {
        let mut client = if ready { Client::ready(&server).await } else { Client::mute(&server).await };
        let frame = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        client.send(Message::Close(Some(frame))).await;
        let (code, reason) = client.closed().await;
        assert_eq!(code, 1000, "with init {ready}: {reason}");
    }
}
