//! The edge over real connections: a server on a free port, and a client that sends bytes as they are.

mod http;
mod socket;
mod sse;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::testing::{Fixed, Tokens, schemas};
use super::{EdgeConfig, Lifecycle, router, serve};

/// A running server; it ends with the test's runtime.
pub struct Server {
    pub at: SocketAddr,
    pub clock: Fixed,
    pub lifecycle: Lifecycle,
    pub ended: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(EdgeConfig::default()).await
    }

    pub async fn with(config: EdgeConfig) -> Server {
        let (clock, lifecycle) = (Fixed::default(), Lifecycle::new());
        let extra = Router::new().route("/beside", axum::routing::get(async || "beside"));
        let limits = config.connection.clone();
        let app = router(
            schemas(),
            Tokens::default(),
            Arc::new(clock.clone()),
            lifecycle.clone(),
            config,
            extra,
            &[],
        );
        let app = app.expect("the configuration can be");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("an address");
        let stop = lifecycle.clone();
        let ended = tokio::spawn(serve(listener, app, stop, limits));
        lifecycle.ready();
        Server { at, clock, lifecycle, ended }
    }

    pub fn set_clock(&self, ms: i64) {
        self.clock.0.store(ms, Ordering::SeqCst);
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.expect("the server listens")
    }

    /// Sends `head` (request line and headers, without the end) and `body`, and reads the whole answer.
    pub async fn raw(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        let head = format!("{head}\r\nhost: {}\r\nconnection: close\r\n\r\n", self.at);
        stream.write_all(head.as_bytes()).await.expect("head");
        // A server that has heard enough may close while the body is still sent.
        let _ = stream.write_all(body).await;
        Answer::read(&mut stream).await
    }

    /// A POST of bytes as JSON, by somebody known.
    pub async fn post_bytes(&self, body: &[u8]) -> Answer {
        let head = format!(
            "POST /graphql HTTP/1.1\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\naccept: \
             application/graphql-response+json\r\ncontent-length: {}",
            body.len()
        );
        self.raw(&head, body).await
    }

    pub async fn post(&self, body: Value) -> Answer {
        self.post_bytes(body.to_string().as_bytes()).await
    }

    pub async fn query(&self, query: &str) -> Answer {
        self.post(json!({ "query": query })).await
    }

    /// A GET with these parameters.
    pub async fn get(&self, parameters: &str) -> Answer {
        let head = format!(
            "GET /graphql?{parameters} HTTP/1.1\r\nauthorization: Bearer good\r\naccept: application/graphql-response+json"
        );
        self.raw(&head, b"").await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub async fn read(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
        read.expect("an answer in time").ok();
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.get(9..12).and_then(|code| code.parse().ok());
        Answer { status: status.unwrap_or(0), head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| (key == name).then_some(value))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn code(&self) -> String {
        let code = &self.json()["errors"][0]["extensions"]["code"];
        code.as_str().unwrap_or("none").to_owned()
    }

    pub fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap_or("none").to_owned()
    }
}
