//! Cases 1 to 8, 21, 25 and 27 to 30: what is sent, and how.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use handfast_tests::Server;
use serde_json::{Map, Value, json};

use super::{Row, Sent, address, check, faults, head, raw, read, sane};

fn body(bytes: &[u8]) -> Sent {
    Sent::Body(bytes.to_vec())
}

fn variables(value: Value) -> Sent {
    Sent::With("query($team: String) { users(team: $team) { key } }", json!({ "team": value }))
}

/// A POST with one more header, of a mutation that would be carried out.
fn posted(header: &str) -> Sent {
    let body =
        json!({"query": "mutation { announceSignal(signal: \"budget\") { errors { code } } }"}).to_string();
    Sent::Raw(
        format!("POST /graphql HTTP/1.1\r\n{header}\r\ncontent-length: {}", body.len()),
        body.into_bytes(),
    )
}

fn got(path: &str) -> Sent {
    Sent::Raw(format!("GET {path} HTTP/1.1\r\naccept: application/graphql-response+json"), vec![])
}

fn streamed(document: &str) -> Sent {
    let body = json!({ "query": document }).to_string();
    let head = "POST /graphql/stream HTTP/1.1\r\naccept: text/event-stream\r\ncontent-type: application/json";
    Sent::Raw(format!("{head}\r\ncontent-length: {}", body.len()), body.into_bytes())
}

#[test]
fn every_malformed_body_and_request_is_refused_in_few_words() {
    let server = Server::start();
    let (bad, deep, large) = ("BAD_REQUEST", "VARIABLES_TOO_DEEP", "VARIABLES_TOO_LARGE");
    let (batch, media, method) = ("BATCH_NOT_SUPPORTED", "UNSUPPORTED_MEDIA_TYPE", "METHOD_NOT_ALLOWED");
    let nested = (0..200).fold(json!(1), |inner, _| json!({ "k": inner }));
    let keys: Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let many = vec![json!({"query": "{ viewer { key } }"}); 5_000];
    let empty = "the request body is empty; send a JSON object with a query";
    let stream = "use graphql-transport-ws on /graphql, or SSE on /graphql/stream";
    let mutation = "query=mutation%7BannounceSignal(signal:%22x%22)%7Berrors%7Bcode%7D%7D%7D";
    let subscription = "subscription { leadEvents { cursor } }";
    check(
        &server,
        vec![
            Row(1, "no body", body(b""), 400, bad, empty),
            Row(1, "only space", body(b" \r\n\t "), 400, bad, empty),
            Row(2, "{", body(b"{"), 400, bad, "malformed JSON at line 1, column 1"),
            Row(
                2,
                "in line 2",
                body(b"{\"query\":\n\"{a}\" x}"),
                400,
                bad,
                "malformed JSON at line 2, column 7",
            ),
            Row(
                2,
                "two values",
                body(b"{\"query\":\"{a}\"} {}"),
                400,
                bad,
                "malformed JSON at line 1, column 17",
            ),
            Row(2, "a number", body(b"7"), 400, bad, "the body is a number"),
            Row(2, "no query", body(b"{}"), 400, bad, "query is missing"),
            Row(
                2,
                "a query of 5",
                body(br#"{"query":5}"#),
                400,
                bad,
                "query is a number; it must be a string",
            ),
            Row(2, "brackets", body(&vec![b'{'; 500_000]), 400, bad, "malformed JSON at line 1"),
            Row(
                3,
                "not UTF-8",
                body(b"{\"query\": \"{ users(t: \xff) }\"}"),
                400,
                bad,
                "not UTF-8 at byte 22",
            ),
            Row(3, "cut UTF-8", body(b"{\"query\": \"{a}\xc3"), 400, bad, "not UTF-8 at byte 14"),
            Row(
                4,
                "a lone surrogate",
                body(br#"{"query":"{a}\ud800"}"#),
                400,
                bad,
                "malformed JSON at line 1",
            ),
            Row(
                4,
                "a lone surrogate in a variable",
                body(br#"{"query":"query($x:String){users(team:$x){key}}","variables":{"x":"\udfff"}}"#),
                400,
                bad,
                "malformed JSON at line 1",
            ),
            Row(6, "2 MiB", body(&vec![b' '; 2 << 20]), 413, "PAYLOAD_TOO_LARGE", "limit of 1048576 bytes"),
            Row(
                6,
                "10 GB announced",
                Sent::Raw(
                    "POST /graphql HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 10000000000"
                        .into(),
                    vec![],
                ),
                413,
                "PAYLOAD_TOO_LARGE",
                "limit of 1048576 bytes",
            ),
            Row(
                6,
                "2 MiB in chunks",
                Sent::Raw(
                    "POST /graphql HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked"
                        .into(),
                    chunked(&vec![b' '; 2 << 20]),
                ),
                413,
                "PAYLOAD_TOO_LARGE",
                "limit of 1048576 bytes",
            ),
            Row(
                8,
                "an encoding that nobody knows",
                posted("content-type: application/json\r\ncontent-encoding: snappy"),
                415,
                media,
                "ncoding",
            ),
            Row(21, "an empty list", body(b"[]"), 400, batch, "send one request object at a time"),
            Row(
                21,
                "a list of one",
                body(json!([{"query": "{a}"}]).to_string().as_bytes()),
                400,
                batch,
                "one",
            ),
            Row(
                21,
                "a list of 5,000",
                body(json!(many).to_string().as_bytes()),
                400,
                batch,
                "the body is a list",
            ),
            Row(25, "200 deep", variables(nested), 400, deep, "nested deeper than 33"),
            Row(25, "10,000 keys", variables(json!(keys)), 400, large, "more than 1000 keys"),
            Row(25, "30,000 values", variables(json!(vec![1; 30_000])), 400, large, "more than 20000 values"),
            Row(
                25,
                "a string of 70,000",
                variables(json!("x".repeat(70_000))),
                400,
                large,
                "a string of 70000 bytes, limit 65536",
            ),
            Row(
                25,
                "a key twice",
                body(br#"{"query":"{a}","variables":{"x":1,"x":2}}"#),
                400,
                bad,
                "the key x stands twice",
            ),
            Row(
                25,
                "a list of variables",
                body(br#"{"query":"{a}","variables":[1]}"#),
                400,
                bad,
                "must be an object",
            ),
            Row(
                27,
                "a mutation by GET",
                got(&format!("/graphql?{mutation}")),
                405,
                method,
                "send it by POST",
            ),
            Row(
                27,
                "PUT",
                Sent::Raw("PUT /graphql HTTP/1.1".into(), vec![]),
                405,
                method,
                "use GET for queries",
            ),
            Row(28, "text/plain", posted("content-type: text/plain"), 415, media, "send application/json"),
            Row(
                28,
                "a form",
                posted("content-type: application/x-www-form-urlencoded"),
                415,
                media,
                "send application/json",
            ),
            Row(
                28,
                "UTF-16",
                posted("content-type: application/json; charset=utf-16"),
                415,
                media,
                "send utf-8",
            ),
            Row(28, "no type", posted("x-none: 1"), 415, media, "the Content-Type is missing"),
            Row(
                28,
                "a long type",
                posted(&format!("content-type: {}", "x".repeat(9_000))),
                415,
                media,
                "send",
            ),
            Row(
                29,
                "an upload",
                posted("content-type: multipart/form-data; boundary=x"),
                415,
                media,
                "multipart/form-data",
            ),
            Row(
                29,
                "multipart",
                posted("content-type: multipart/mixed; boundary=x"),
                415,
                media,
                "multipart/mixed",
            ),
            Row(30, "a subscription by POST", subscription.into(), 400, bad, stream),
            Row(
                30,
                "a subscription by GET",
                got("/graphql?query=subscription%7BleadEvents%7Bcursor%7D%7D"),
                400,
                bad,
                stream,
            ),
            Row(
                27,
                "a mutation by event stream",
                streamed("mutation { announceSignal(signal: \"x\") { __typename } }"),
                405,
                method,
                "send mutations by POST",
            ),
            Row(
                2,
                "a broken document by event stream",
                streamed("subscription {"),
                400,
                "VALIDATION",
                "syntax error at line 1",
            ),
            Row(2, "no query by event stream", streamed(""), 400, bad, "query is missing"),
            Row(
                30,
                "an event stream as JSON",
                Sent::Raw("POST /graphql/stream HTTP/1.1\r\naccept: application/json".into(), vec![]),
                406,
                "NOT_ACCEPTABLE",
                "text/event-stream only",
            ),
            Row(
                30,
                "JSON as an event stream",
                Sent::Raw("GET /graphql?query=%7Ba%7D HTTP/1.1\r\naccept: text/event-stream".into(), vec![]),
                406,
                "NOT_ACCEPTABLE",
                "use /graphql/stream",
            ),
        ],
    );
    let allowed = raw(
        &server,
        &format!("GET /graphql?{mutation} HTTP/1.1\r\nauthorization: Bearer {}", server.token),
        b"",
    );
    assert_eq!(allowed.header("allow"), Some("POST"), "{allowed:?}");
    let two = "query=query%20A%7Bviewer%7Bkey%7D%7D%20mutation%20B%7BannounceSignal(signal:%22x%22)%7B__typename%7D%7D";
    let chosen = raw(
        &server,
        &format!("GET /graphql?{two}&operationName=A HTTP/1.1\r\nauthorization: Bearer {}", server.token),
        b"",
    );
    assert_eq!(
        chosen.json()["data"],
        json!({"viewer": {"key": "admin"}}),
        "a query beside a mutation: {chosen:?}"
    );
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![];
    for part in bytes.chunks(64 * 1024) {
        all.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        all.extend_from_slice(part);
        all.extend_from_slice(b"\r\n");
    }
    all
}

/// Case 7. The limit of ten seconds is one second here.
#[test]
fn a_body_that_comes_byte_by_byte_is_given_up_in_time() {
    let server = Server::configured(&[("HANDFAST__EDGE__LIMITS__BODY_TIMEOUT_MS", "1000")]);
    for (kind, each) in [("content-length: 100", "x"), ("transfer-encoding: chunked", "1\r\nx\r\n")] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address(&server)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let head = format!("{}\r\n{kind}\r\nhost: {}\r\n\r\n", head(&server), address(&server));
        stream.write_all(head.as_bytes()).expect("the head is taken");
        let mut slow = stream.try_clone().expect("the same connection");
        let drip = std::thread::spawn(move || {
            // Longer than the limit; the connection ends before.
            for _ in 0..40 {
                if slow.write_all(each.as_bytes()).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        sane(&server).expect("others are answered meanwhile");
        let answer = read(&mut stream, began);
        let (json, error) = (answer.json(), &answer.json()["errors"][0]);
        assert_eq!(
            (answer.status, &error["extensions"]["code"]),
            (408, &json!("BODY_TIMEOUT")),
            "{kind}: {answer:?}"
        );
        assert_eq!(error["extensions"]["retryable"], true, "{kind}: {answer:?}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains("1000 ms")), "{kind}: {answer:?}");
        assert_eq!(faults(&json, answer.body.len()), Vec::<String>::new(), "{kind}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{kind}: after {:?}", began.elapsed());
        drip.join().expect("the slow client ends");
    }
}
