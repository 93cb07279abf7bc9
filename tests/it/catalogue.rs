//! The bad-input catalogue through real connections: each wrong request gets its code and a short word of what is wrong,
//! and the next request of anybody is answered. The numbers in the rows are those of the catalogue.
//!
//! 31 (persisted queries) and 46 to 53 (tokens of other issuers) are not here.

mod cursors;
mod documents;
mod echo;
mod ends;
mod requests;
pub mod sockets;
mod tokens;
mod values;
mod webhooks;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use handfast_tests::Server;
use serde_json::{Value, json};

/// Every code that an error of the API may have.
pub const CODES: &[&str] = &[
    "ALREADY_EXISTS",
    "ATTEMPTS_MISSING",
    "BAD_REQUEST",
    "BATCH_NOT_SUPPORTED",
    "BODY_TIMEOUT",
    "BUSY",
    "CHARTER_STATE",
    "CONTENT_REQUEST_STATE",
    "DECISION_STATE",
    "DEPLOYMENT_STATE",
    "CURRENCY_MISMATCH",
    "CURSOR_AHEAD",
    "CURSOR_EPOCH_CHANGED",
    "CURSOR_INVALID",
    "DEADLINE_EXCEEDED",
    "DOCUMENT_TOO_DEEP",
    "DOCUMENT_TOO_LARGE",
    "FEEDBACK_STATE",
    "FORBIDDEN",
    "GATE_NOT_MET",
    "GREY_CASE_STATE",
    "HOST_NOT_ALLOWED",
    "IDEMPOTENCY_KEY_REUSED",
    "ILLEGAL_TRANSITION",
    "INTERNAL",
    "METHOD_NOT_ALLOWED",
    "NOT_ACCEPTABLE",
    "NOT_FOUND",
    "ORIGIN_NOT_ALLOWED",
    "OUTCOME_UNKNOWN",
    "PAGE_SIZE",
    "PAYLOAD_TOO_LARGE",
    "PERSISTED_QUERY_MISMATCH",
    "PERSISTED_QUERY_NOT_FOUND",
    "PLUGIN_REJECTED",
    "PRECEDENT_CONTRADICTED",
    "QUERY_TOO_COMPLEX",
    "QUERY_TOO_DEEP",
    "REASON_NOT_ALLOWED",
    "REVIEW_MISSING",
    "SLOW_CONSUMER",
    "STORAGE_FAILED",
    "STORAGE_FULL",
    "SUPPRESSED",
    "TIMEOUT",
    "TOO_MANY_ALIASES",
    "TOO_MANY_DIRECTIVES",
    "TOO_MANY_SUBSCRIPTIONS",
    "UNAUTHENTICATED",
    "UNSUPPORTED_MEDIA_TYPE",
    "VALIDATION",
    "VARIABLES_TOO_DEEP",
    "VARIABLES_TOO_LARGE",
    "VERSION_CONFLICT",
    "WEBHOOK_TARGET_FORBIDDEN",
];

/// A refusal is smaller than this.
const REFUSAL_BYTES: usize = 4 * 1024;

/// A query that everybody may ask, and that any sane server answers.
pub const SANE: &str = "{ viewer { key } }";

/// What the server said, as it stood on the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
    took: Duration,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Null when the body is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Host and port.
pub fn address(server: &Server) -> &str {
    server.url.trim_start_matches("http://")
}

/// Sends `head` (request line and headers, without their end) and `body` as they are, and reads until the connection ends.
pub fn raw(server: &Server, head: &str, body: &[u8]) -> Answer {
    let began = Instant::now();
    // A server that is gone has the status 0.
    let Ok(mut stream) = TcpStream::connect(address(server)) else {
        return Answer { status: 0, head: String::new(), body: String::new(), took: began.elapsed() };
    };
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let head = format!("{head}\r\nhost: {}\r\nconnection: close\r\n\r\n", address(server));
    // A server that has heard enough may close while it is still being told.
    drop(stream.write_all(head.as_bytes()));
    drop(stream.write_all(body));
    read(&mut stream, began)
}

/// The answer on a connection that was asked to close.
pub fn read(stream: &mut TcpStream, began: Instant) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer takes nothing away from it.
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned(), took: began.elapsed() }
}

/// The head of a POST of JSON by the administrator, whose answers tell refusals by their status.
pub fn head(server: &Server) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\naccept: \
         application/graphql-response+json",
        server.token
    )
}

pub fn post(server: &Server, body: &[u8]) -> Answer {
    raw(server, &format!("{}\r\ncontent-length: {}", head(server), body.len()), body)
}

/// What a row of the catalogue sends.
pub enum Sent {
    Document(String),
    /// A document with variables.
    With(&'static str, Value),
    Body(Vec<u8>),
    /// A request line with headers but the token, and a body.
    Raw(String, Vec<u8>),
}

impl From<&str> for Sent {
    fn from(document: &str) -> Sent {
        Sent::Document(document.to_owned())
    }
}

impl From<String> for Sent {
    fn from(document: String) -> Sent {
        Sent::Document(document)
    }
}

impl Sent {
    fn send(&self, server: &Server) -> Answer {
        match self {
            Sent::Document(document) => post(server, json!({ "query": document }).to_string().as_bytes()),
            Sent::With(document, variables) => {
                post(server, json!({"query": document, "variables": variables}).to_string().as_bytes())
            }
            Sent::Body(body) => post(server, body),
            Sent::Raw(head, body) => {
                raw(server, &format!("{head}\r\nauthorization: Bearer {}", server.token), body)
            }
        }
    }
}

/// One case of the catalogue and its refusal: status, code and a part of the message.
pub struct Row(pub u8, pub &'static str, pub Sent, pub u16, pub &'static str, pub &'static str);

/// Sends each row and holds its answer against it; after each, an ordinary query must be answered. All rows that differ
/// are told together.
pub fn check(server: &Server, rows: Vec<Row>) {
    let (all, mut wrong) = (rows.len(), vec![]);
    for Row(case, what, sent, status, code, part) in rows {
        let answer = sent.send(server);
        let mut faults = faults(&answer.json(), answer.body.len());
        let error = &answer.json()["errors"][0];
        if answer.status != status {
            faults.push(format!("the status is {}, not {status}", answer.status));
        }
        if error["extensions"]["code"] != code {
            faults.push(format!("the code is {}, not {code}", error["extensions"]["code"]));
        }
        if !error["message"].as_str().unwrap_or_default().contains(part) {
            faults.push(format!("the message does not say {part:?}"));
        }
        if answer.took > Duration::from_secs(5) {
            faults.push(format!("it took {:?}", answer.took));
        }
        if let Err(fault) = sane(server) {
            faults.push(fault);
        }
        if !faults.is_empty() {
            let body = short(&answer.body, 600);
            wrong.push(format!("case {case}, {what}: {}\n    {} {body}", faults.join("; "), answer.status));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {all} rows are not as the catalogue wants them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What is wrong with a refusal, whatever its case.
pub fn faults(answer: &Value, bytes: usize) -> Vec<String> {
    let mut faults = vec![];
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    if errors.is_empty() {
        faults.push("there is no error".to_owned());
    }
    if bytes >= REFUSAL_BYTES {
        faults.push(format!("it has {bytes} bytes, limit {REFUSAL_BYTES}"));
    }
    errors.iter().for_each(|error| faults.extend(fault(error)));
    let by_us = errors.iter().filter(|error| error["extensions"]["code"] != "VALIDATION").count();
    if by_us > 1 {
        faults.push(format!("{by_us} errors tell of one limit"));
    }
    faults
}

/// What is wrong with one error.
pub fn fault(error: &Value) -> Option<String> {
    let extensions = &error["extensions"];
    if !extensions["code"].as_str().is_some_and(|code| CODES.contains(&code)) {
        return Some(format!("the code {} is not of the list", extensions["code"]));
    }
    if !extensions["requestId"].is_string() || !extensions["retryable"].is_boolean() {
        return Some("requestId or retryable is missing".to_owned());
    }
    let message = error["message"].as_str().unwrap_or_default();
    if message.is_empty() {
        return Some("there is no message".to_owned());
    }
    echo_of(message)
}

/// A word of more than 80 characters in a message was somebody's, not ours. Quotes and the mark of a cut do not count.
pub fn echo_of(message: &str) -> Option<String> {
    let marks = |letter: char| !letter.is_alphanumeric();
    let words = message.split_whitespace().map(|word| word.trim_matches(marks).chars().count());
    let longest = words.max().unwrap_or(0);
    (longest > 80).then(|| format!("the message echoes a word of {longest} characters"))
}

/// An ordinary query by a connection of its own.
pub fn sane(server: &Server) -> Result<(), String> {
    let answer = post(server, json!({ "query": SANE }).to_string().as_bytes());
    if answer.status != 200 || answer.json()["data"] != json!({"viewer": {"key": "admin"}}) {
        return Err(format!("an ordinary query is answered {} {}", answer.status, short(&answer.body, 200)));
    }
    if answer.took > Duration::from_secs(5) {
        return Err(format!("an ordinary query takes {:?}", answer.took));
    }
    Ok(())
}

/// The beginning of a text.
pub fn short(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
