//! Load: connections that each send a request, read the whole answer and send the next. The client is as plain as it can
//! be, since it shares the machine with what it measures: whatever it costs would bring two servers nearer to each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failed;

/// A request as its bytes.
pub type Shot = Vec<u8>;

pub fn get(path: &str) -> Shot {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into_bytes()
}

pub fn post(path: &str, token: &str, body: &Value) -> Shot {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// How a round went.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub requests: usize,
    pub took: Duration,
    pub p99: Duration,
}

impl Round {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }
}

/// Sends the shots in turn over so many connections until the time is over, or each was sent once (`once`).
pub async fn fire(
    to: SocketAddr,
    shots: Arc<Vec<Shot>>,
    connections: usize,
    time: Duration,
    once: bool,
) -> Result<Round, Failed> {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let guns: Vec<_> = (0..connections)
        .map(|_| {
            let (shots, next) = (shots.clone(), next.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(to).await?;
                let mut times = Vec::with_capacity(4096);
                while began.elapsed() < time {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if once && number >= shots.len() {
                        break;
                    }
                    let sent = Instant::now();
                    connection.ask(&shots[number % shots.len()]).await?;
                    times.push(sent.elapsed());
                }
                Ok::<_, Failed>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for gun in guns {
        times.extend(gun.await.map_err(|error| Failed(error.to_string()))??);
    }
    let took = began.elapsed();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Round { requests: times.len(), took, p99 })
}

/// The data of one answer.
pub async fn once(to: SocketAddr, shot: &Shot) -> Result<Value, Failed> {
    let mut connection = Connection::open(to).await?;
    connection.ask(shot).await?;
    serde_json::from_slice(connection.body()).map_err(|error| Failed(error.to_string()))
}

/// A connection that sends one request after the other.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the body of the last answer begins and ends.
    body: (usize, usize),
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Result<Connection, Failed> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(64 * 1024), body: (0, 0) })
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body.0..self.body.1]
    }

    /// Sends a request and reads its answer, which must be a good one.
    pub async fn ask(&mut self, shot: &Shot) -> Result<(), Failed> {
        self.stream.write_all(shot).await?;
        self.buffer.clear();
        let mut end = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Failed("the server closed a connection".to_owned()));
            }
            if end.is_none()
                && let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.buffer[..at]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
                self.body = (at + 4, at + 4 + length);
                end = Some((self.body.1, head.starts_with("http/1.1 200")));
            }
            match end {
                Some((end, good)) if self.buffer.len() >= end => {
                    // An error of GraphQL comes with 200 too.
                    let refused = self.body().starts_with(br#"{"data":null"#)
                        || self.body().starts_with(br#"{"errors"#);
                    return match good && !refused {
                        true => Ok(()),
                        false => Err(Failed(String::from_utf8_lossy(&self.buffer).into_owned())),
                    };
                }
                _ => {}
            }
        }
    }
}
