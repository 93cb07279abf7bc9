//! Event streams, read as the bytes that an `EventSource` would see.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::EdgeConfig;
use super::super::config::SocketLimits;
use super::{Answer, Server};

fn socket(change: impl FnOnce(&mut SocketLimits)) -> EdgeConfig {
    let mut config = EdgeConfig::default();
    change(&mut config.socket);
    config
}

async fn open(server: &Server, headers: &str, query: &str) -> TcpStream {
    let body = json!({ "query": query }).to_string();
    let head = format!(
        "POST /graphql/stream HTTP/1.1\r\nhost: {}\r\nconnection: close\r\naccept: text/event-stream\r\ncontent-type: \
         application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        server.at,
        body.len()
    );
    let mut stream = server.connect().await;
    stream.write_all(head.as_bytes()).await.expect("request");
    stream
}

/// The fields of a stream that has ended, without the chunks' sizes.
async fn fields(stream: &mut TcpStream, name: &str) -> Vec<String> {
    let answer = Answer::read(stream).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let prefix = format!("{name}:");
    let values = answer.body.lines().filter_map(|line| line.strip_prefix(&prefix));
    values.map(|value| value.trim_start().to_owned()).collect()
}

const GOOD: &str = "authorization: Bearer good\r\n";

#[tokio::test]
async fn events_carry_their_cursor_and_end_with_complete() {
    let server = Server::start().await;
    let mut stream = open(&server, GOOD, "subscription{changes{cursor number}}").await;
    let answer = Answer::read(&mut stream).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let lines: Vec<&str> = answer.body.lines().filter(|line| line.contains(':')).collect();
    let event = |n: i32| {
        let data = json!({"data": {"changes": {"cursor": format!("c{n}"), "number": n}}});
        vec!["event: next".to_owned(), format!("id: c{n}"), format!("data: {data}")]
    };
    let mut expect: Vec<String> = (1..=3).flat_map(event).collect();
    expect.extend(["event: complete".into(), "data:".into()]);
    assert_eq!(lines, expect, "{answer:?}");
}

#[tokio::test]
async fn last_event_id_resumes() {
    let server = Server::start().await;
    let query = "subscription{changes(after:\"c0\",until:5){cursor}}";
    let mut stream = open(&server, &format!("{GOOD}last-event-id: c3\r\n"), query).await;
    assert_eq!(fields(&mut stream, "id").await, ["c4", "c5"]);
    let mut stream = open(&server, &format!("{GOOD}last-event-id: {}\r\n", "c".repeat(600)), query).await;
    assert_eq!(Answer::read(&mut stream).await.status, 400);
}

#[tokio::test]
async fn an_event_source_subscribes_by_get() {
    let server = Server::start().await;
    let head = "GET /graphql/stream?query=subscription%7Bchanges(until:2)%7Bcursor%7D%7D HTTP/1.1\r\nauthorization: Bearer good";
    let answer = server.raw(&format!("{head}\r\naccept: text/event-stream"), b"").await;
    assert!(answer.body.contains("id: c2") && answer.body.contains("event: complete"), "{answer:?}");
}

#[tokio::test]
async fn failures_are_told_in_the_stream_or_by_status() {
    let server = Server::start().await;
    let mut stream = open(&server, GOOD, "subscription{changes(after:\"zz\"){cursor}}").await;
    let data = fields(&mut stream, "data").await;
    assert!(data[0].contains("CURSOR_INVALID") && data.len() == 2, "{data:?}");
    let mut stream = open(&server, GOOD, "subscription{panics}").await;
    let data = fields(&mut stream, "data").await;
    assert!(data[1].contains("INTERNAL") && data.len() == 3, "{data:?}");
    let mut stream = open(&server, GOOD, "subscription{patchy{number}}").await;
    let data = fields(&mut stream, "data").await;
    assert!(
        data[1].contains("GONE") && data[2].contains("3"),
        "an event that fails inside does not end the stream: {data:?}"
    );

    let cases = [
        (GOOD, "subscription{nope", 400, "VALIDATION"),
        (GOOD, "mutation{set(x:1)}", 405, "METHOD_NOT_ALLOWED"),
        ("", "subscription{endless}", 401, "UNAUTHENTICATED"),
        ("authorization: Bearer wrong\r\n", "subscription{endless}", 401, "UNAUTHENTICATED"),
    ];
    for (headers, query, status, code) in cases {
        let answer = Answer::read(&mut open(&server, headers, query).await).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{query}");
    }
    let answer = server.raw("GET /graphql/stream HTTP/1.1\r\naccept: application/json", b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (406, "NOT_ACCEPTABLE"));
    assert_eq!(server.raw("PUT /graphql/stream HTTP/1.1", b"").await.header("allow"), Some("get, post"));
}

#[tokio::test]
async fn queries_stream_once() {
    let server = Server::start().await;
    let mut stream = open(&server, GOOD, "{hello}").await;
    assert_eq!(fields(&mut stream, "data").await, [r#"{"data":{"hello":"world"}}"#, ""]);
}

#[tokio::test]
async fn quiet_streams_are_kept_alive_and_end_when_the_server_drains() {
    let server = Server::with(socket(|socket| socket.keep_alive_ms = 50)).await;
    let mut stream = open(&server, GOOD, "subscription{endless}").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.lifecycle.drain();
    let answer = Answer::read(&mut stream).await;
    assert!(answer.body.matches("\n:\n\n").count() >= 2, "{answer:?}");
    assert!(!answer.body.contains("complete"), "a cut stream must be resumed: {answer:?}");
}

#[tokio::test]
async fn streams_end_when_the_token_does() {
    let server = Server::start().await;
    server.set_clock(900);
    let mut stream = open(&server, "authorization: Bearer brief\r\n", "subscription{endless}").await;
    let answer = Answer::read(&mut stream).await;
    assert!(answer.status == 200 && !answer.body.contains("complete"), "{answer:?}");
}

#[tokio::test]
async fn streams_are_counted_and_given_back() {
    let server = Server::with(socket(|socket| socket.streams = 1)).await;
    let mut first = open(&server, GOOD, "subscription{endless}").await;
    let mut head = [0; 12];
    first.read_exact(&mut head).await.expect("an answer");
    let answer = Answer::read(&mut open(&server, GOOD, "{hello}").await).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    drop(first);
    for _ in 0..100 {
        if Answer::read(&mut open(&server, GOOD, "{hello}").await).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the slot was not given back");
}

#[tokio::test]
async fn large_events_wait_by_their_bytes_and_not_by_their_number() {
    let config = socket(|socket| {
        socket.send_timeout_ms = 200;
        socket.queue_bytes = 16 * 1024;
    });
    let server = Server::with(config).await;
    let mut stream = open(&server, GOOD, "subscription{changes(until:300,size:262144){cursor text}}").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let ids = fields(&mut stream, "id").await;
    assert!(!ids.is_empty() && ids.len() < 250, "256 of them would have waited: {}", ids.len());
}

#[tokio::test]
async fn a_past_is_told_at_the_pace_of_the_budget() {
    let mut config = EdgeConfig::default();
    (config.rate.token_per_second, config.rate.token_burst) = (100, 100);
    let server = Server::with(config).await;
    let began = std::time::Instant::now();
    let mut stream = open(&server, GOOD, "subscription{changes(until:30){number}}").await;
    let told = fields(&mut stream, "data").await;
    // Thirty of 13 each (an object, and the root field of a subscription) out of 100 and 100 a second.
    assert!(told.len() >= 30, "{told:?}");
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_reader_that_never_reads_is_cut() {
    // By the number of the events that wait, or by their bytes.
    for (queue, queue_bytes) in [(4, 1 << 20), (1_000_000, 16 * 1024)] {
        let config = socket(|socket| {
            socket.send_timeout_ms = 200;
            (socket.queue, socket.queue_bytes) = (queue, queue_bytes);
        });
        let server = Server::with(config).await;
        let query = "subscription{changes(until:100000,size:4096){cursor text}}";
        let mut stream = open(&server, GOOD, query).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let ids = fields(&mut stream, "id").await;
        assert!(!ids.is_empty() && ids.len() < 100_000, "{} events", ids.len());
    }
}

#[tokio::test]
async fn an_event_that_is_larger_than_the_queue_arrives() {
    let server = Server::with(socket(|socket| socket.queue_bytes = 1_000)).await;
    let mut stream = open(&server, GOOD, "subscription{changes(until:20,size:4096){cursor text}}").await;
    assert_eq!(fields(&mut stream, "id").await.len(), 20);
}
