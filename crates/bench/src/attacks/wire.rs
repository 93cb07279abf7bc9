//! The attackers' side of a connection: from an address of its own, and without any manners.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::fanout::frame;

/// What came back to the attackers.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub sent: u64,
    pub answers: BTreeMap<String, u64>,
    pub refused: u64,
    /// Bytes of the largest body of a refusal.
    pub largest: usize,
}

impl Tally {
    pub fn note(&mut self, answer: &Answer) {
        self.sent += 1;
        *self.answers.entry(answer.label.clone()).or_default() += 1;
        if answer.refused {
            self.refused += 1;
            self.largest = self.largest.max(answer.bytes);
        }
    }

    pub fn add(&mut self, other: Tally) {
        self.sent += other.sent;
        self.refused += other.refused;
        self.largest = self.largest.max(other.largest);
        for (label, count) in other.answers {
            *self.answers.entry(label).or_default() += count;
        }
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, `ws` and the code of a close, or what else became of it.
    pub label: String,
    pub refused: bool,
    pub bytes: usize,
    /// Whether the connection takes no further request.
    pub ended: bool,
}

impl Answer {
    pub fn of(label: impl Into<String>, refused: bool, bytes: usize) -> Answer {
        Answer { label: label.into(), refused, bytes, ended: true }
    }
}

pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// How much of a stream the kernel keeps for a reader that never reads.
const SMALL: u32 = 4 * 1024;

impl Wire {
    /// `slow`: the kernel keeps little for it, so that the server feels at once that nobody reads.
    pub async fn open(from: Ipv4Addr, to: SocketAddr, slow: bool) -> io::Result<Wire> {
        let socket = TcpSocket::new_v4()?;
        if slow {
            socket.set_recv_buffer_size(SMALL)?;
        }
        // Whoever closes first keeps the port for a minute, unless it resets: attackers would run out of ports.
        socket.set_zero_linger()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: Vec::with_capacity(8 * 1024) })
    }

    /// Sends a request and reads its answer, which may come before all of it was sent.
    pub async fn ask(&mut self, shot: &[u8]) -> io::Result<Answer> {
        self.buffer.clear();
        let (mut read, mut write) = self.stream.split();
        let mut all = false;
        let send = async {
            // A server that has heard enough closes; what it said is still to be read.
            all = write.write_all(shot).await.is_ok();
            std::future::pending::<()>().await;
        };
        let answer = tokio::select! {
            () = send => unreachable!("it never ends"),
            answer = receive(&mut read, &mut self.buffer) => answer,
        };
        answer.map(|answer| Answer { ended: answer.ended || !all, ..answer })
    }

    /// The handshake of a socket, with more headers.
    pub async fn upgrade(&mut self, headers: &str) -> io::Result<Answer> {
        let hello = format!(
            "GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        self.ask(hello.as_bytes()).await
    }

    pub async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&frame(1, text.as_bytes())).await
    }

    /// Reads messages until the server closes, or until one of them holds a text.
    pub async fn closed(&mut self, or: Option<&str>) -> Answer {
        // What came behind the handshake belongs to the socket.
        let at = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        self.buffer.drain(..at);
        loop {
            while let Some((kind, payload, next)) = first_frame(&self.buffer) {
                let bytes = payload.len();
                if kind == 8 {
                    let code = payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Answer::of(format!("ws {code}"), true, bytes);
                }
                let found = or.is_some_and(|text| String::from_utf8_lossy(payload).contains(text));
                if found {
                    return Answer::of("ws error", true, bytes);
                }
                self.buffer.drain(..next);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Answer::of("ws cut", true, 0),
                Ok(_) => {}
            }
        }
    }
}

/// Kind and payload of the first frame that is whole, and where the next begins.
fn first_frame(buffer: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [first, second, rest @ ..] = buffer else { return None };
    let (length, head) = match (second & 127, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (126 | 127, _) => return None,
        (length, _) => (usize::from(length), 2),
    };
    Some((first & 15, buffer.get(head..head + length)?, head + length))
}

/// Reads one answer. No answer at all is an error.
async fn receive(read: &mut (impl AsyncReadExt + Unpin), buffer: &mut Vec<u8>) -> io::Result<Answer> {
    let (mut head, mut label, mut length, mut ended) = (None, 0, None, false);
    loop {
        if head.is_none()
            && let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&buffer[..at]).to_ascii_lowercase();
            label = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0u16);
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            length = field("content-length:").and_then(|text| text.parse::<usize>().ok());
            if label < 200 || label == 204 {
                length = Some(0);
            }
            ended = field("connection:") == Some("close");
            head = Some(at + 4);
        }
        if let Some(head) = head {
            let body = &buffer[head..];
            let whole = match length {
                Some(length) => body.len() >= length,
                None => body.ends_with(b"0\r\n\r\n"),
            };
            if whole {
                return Ok(told(label, body, ended));
            }
        }
        if read.read_buf(buffer).await? == 0 {
            return match head {
                Some(head) => Ok(told(label, &buffer[head..], true)),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

fn told(status: u16, body: &[u8], ended: bool) -> Answer {
    // An error of one field comes with 200, and with nothing beside it.
    let error = status == 200 && body.starts_with(br#"{"data":null"#);
    let label = if error { "200 error".to_owned() } else { status.to_string() };
    Answer { label, refused: error || status >= 400, bytes: body.len(), ended }
}

/// The answer to one request, or none within this time.
pub const PATIENCE: Duration = Duration::from_secs(15);
