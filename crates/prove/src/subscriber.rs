//! Subscribers: half of them over graphql-transport-ws, half over server-sent events. Whenever they are cut off they go on
//! from their last cursor, at any node, and note all that they see.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::{SinkExt, StreamExt};
use handfast_bench::Failed;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::checker::{Change, Seen};
use crate::dice::Dice;

/// What all subscribers of a run share.
pub struct Door {
    pub doors: Vec<SocketAddr>,
    pub token: String,
    /// The position of the last change, once it is known.
    pub last: watch::Receiver<Option<i64>>,
    /// The cursor that the run began after.
    pub start: String,
    /// Cursors that a node did not know yet.
    pub ahead: AtomicU64,
    pub patience: Duration,
}

const DOCUMENT: &str = "subscription($after: FeedCursor) { leadStageChanged(after: $after) { id cursor leadUuid leadVersion stageVersion } }";
/// A stream that says nothing for so long is taken for dead: a proxy may have fallen silent.
const QUIET: Duration = Duration::from_secs(4);

/// Follows until it has seen the last change. Answers what it saw.
pub async fn run(door: Arc<Door>, number: u64, seed: u64) -> Result<Vec<Seen>, Failed> {
    let mut subscriber = Subscriber {
        dice: Dice::of(seed, 1_000 + number),
        cursor: door.start.clone(),
        position: 0,
        door,
        seen: Vec::new(),
    };
    subscriber.position = position_of(&subscriber.cursor)?;
    let mut since = None;
    loop {
        if let Some(last) = *subscriber.door.last.borrow() {
            if subscriber.position >= last {
                return Ok(subscriber.seen);
            }
            // Whoever has not seen all by then has missed something: the checker says what.
            if since.get_or_insert_with(Instant::now).elapsed() > subscriber.door.patience {
                return Ok(subscriber.seen);
            }
        }
        let door = subscriber.dice.below(subscriber.door.doors.len());
        let address = subscriber.door.doors[door];
        // However it ends, it goes on from the cursor.
        let ended = match number % 2 {
            0 => subscriber.by_socket(address).await,
            _ => subscriber.by_events(address).await,
        };
        if let Err(Failed(why)) = ended
            && why.contains("CURSOR_")
        {
            if !why.contains("CURSOR_AHEAD") {
                return Err(Failed(format!("subscriber {number}: {why}")));
            }
            subscriber.door.ahead.fetch_add(1, Ordering::Relaxed);
        }
        let pause = subscriber.dice.millis(5, 100);
        sleep(pause).await;
    }
}

struct Subscriber {
    door: Arc<Door>,
    dice: Dice,
    cursor: String,
    /// Of the newest change that it saw.
    position: i64,
    seen: Vec<Seen>,
}

impl Subscriber {
    /// Takes the data of one event.
    fn take(&mut self, data: &Value) -> Result<(), Failed> {
        let change = &data["data"]["leadStageChanged"];
        let text = |name: &str| change[name].as_str().ok_or_else(|| Failed(format!("no {name} in {data}")));
        let number = |name: &str| change[name].as_i64().ok_or_else(|| Failed(format!("no {name} in {data}")));
        let cursor = text("cursor")?;
        let position = position_of(cursor)?;
        self.seen.push(Seen::Change(Change {
            position,
            id: text("id")?.parse()?,
            lead: text("leadUuid")?.parse()?,
            version: number("leadVersion")?,
            stage_version: number("stageVersion")?,
        }));
        self.position = self.position.max(position);
        // Whoever dies before it has kept its cursor sees some changes again.
        if !self.dice.percent(3) {
            self.cursor = cursor.to_owned();
        }
        Ok(())
    }

    fn subscribed(&mut self) -> Result<(), Failed> {
        let after = position_of(&self.cursor)?;
        self.seen.push(Seen::Resumed { after });
        Ok(())
    }

    fn done(&self) -> bool {
        self.door.last.borrow().is_some_and(|last| self.position >= last)
    }

    fn payload(&self) -> Value {
        json!({"query": DOCUMENT, "variables": {"after": self.cursor}})
    }

    async fn by_socket(&mut self, address: SocketAddr) -> Result<(), Failed> {
        let payload = self.payload();
        let mut socket = subscribe(address, &self.door.token, &payload).await?;
        self.subscribed()?;
        while !self.done() {
            let Some(message) = timeout(QUIET, socket.next()).await? else { return Ok(()) };
            let message = match message? {
                Message::Text(text) => serde_json::from_str::<Value>(&text)?,
                Message::Close(frame) => return Err(Failed(format!("closed: {frame:?}"))),
                _ => continue,
            };
            match message["type"].as_str() {
                Some("next") if message["payload"]["errors"].is_null() => self.take(&message["payload"])?,
                Some("next" | "error") => return Err(Failed(message.to_string())),
                Some("ping") => socket.send(Message::text(r#"{"type":"pong"}"#)).await?,
                Some("complete") => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    async fn by_events(&mut self, address: SocketAddr) -> Result<(), Failed> {
        let mut stream = timeout(QUIET, TcpStream::connect(address)).await??;
        let body = self.payload().to_string();
        let request = format!(
            "POST /graphql/stream HTTP/1.0\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.door.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        self.subscribed()?;
        // By HTTP/1.0 the body comes as it is, without chunks, and ends with the connection.
        let mut lines = BufReader::new(stream).lines();
        let (mut head, mut refused) = (true, false);
        while !self.done() {
            let Some(line) = timeout(QUIET, lines.next_line()).await?? else { return Ok(()) };
            if head {
                refused |= line.starts_with("HTTP/") && !line.contains(" 200");
                head = !line.is_empty();
            } else if refused {
                return Err(Failed(line));
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data)?;
                if !data["errors"].is_null() {
                    return Err(Failed(data.to_string()));
                }
                self.take(&data)?;
            }
        }
        Ok(())
    }
}

/// A socket with one subscription.
pub async fn subscribe(
    address: SocketAddr,
    token: &str,
    payload: &Value,
) -> Result<WebSocketStream<TcpStream>, Failed> {
    let stream = timeout(QUIET, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse()?);
    let (mut socket, _) = timeout(QUIET, tokio_tungstenite::client_async(request, stream)).await??;
    socket.send(Message::text(r#"{"type":"connection_init"}"#)).await?;
    let subscribe = json!({"id": "1", "type": "subscribe", "payload": payload}).to_string();
    socket.send(Message::text(subscribe)).await?;
    Ok(socket)
}

/// The place in a cursor. Clients must not look into it; a proof may.
pub fn position_of(cursor: &str) -> Result<i64, Failed> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor)?;
    let place = bytes.get(9..17).and_then(|bytes| bytes.try_into().ok());
    place.map(i64::from_be_bytes).ok_or_else(|| Failed(format!("no cursor: {cursor:?}")))
}
