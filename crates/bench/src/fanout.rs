//! Stage changes to many subscribers: what each costs in memory while nothing happens, how many deliveries a second the
//! server makes, and how long after its change a subscriber hears of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use crate::server::{Server, query};
use crate::{Failed, table};

#[derive(Args)]
pub struct FanoutArgs {
    /// How many subscribers, one run each.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,5000")]
    subscribers: Vec<u64>,
    /// Deliveries of a run, about.
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: u64,
}

const SUBSCRIBE: &str =
    "subscription { leadStageChanged { cursor leadUuid from to stageVersion occurredAt } }";
/// Changes for each second while delays are measured, and how many of them.
const PACE: Duration = Duration::from_millis(50);
const PACED: u64 = 100;

pub async fn run(handfast: &Path, args: &FanoutArgs) -> Result<(), Failed> {
    let mut rows = Vec::new();
    for subscribers in &args.subscribers {
        rows.push(one(handfast, *subscribers, args.deliveries).await?);
    }
    table::print(
        "Stage changes over graphql-transport-ws, SQLite; the clients share the machine",
        &[
            "subscribers",
            "idle KiB each",
            "deliveries/s",
            "server CPU µs each",
            "paced p50 ms",
            "paced p99 ms",
            "server MB",
        ],
        &rows,
    );
    println!();
    Ok(())
}

/// What all subscribers of a run share.
struct Heard {
    began: Instant,
    /// Microseconds since `began` when the newest change was sent.
    sent: AtomicU64,
    events: AtomicU64,
    ready: Barrier,
}

async fn one(handfast: &Path, subscribers: u64, deliveries: u64) -> Result<Vec<String>, Failed> {
    let dir = tempfile::tempdir()?;
    let mut command = std::process::Command::new(handfast);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
    command
        .env("HANDFAST__EDGE__SOCKET__STREAMS", "20000")
        .env("HANDFAST__EDGE__CONNECTION__CONNECTIONS", "20000");
    let server = Server::start(&mut command)?;
    let address = server.address()?;
    let token = server.says("hf_", Duration::from_secs(20)).map(|rest| format!("hf_{rest}"))?;
    capture(address, &token, "warm", 0, 20)?;
    let before = server.memory().0;

    let heard = Arc::new(Heard {
        began: Instant::now(),
        sent: AtomicU64::new(0),
        events: AtomicU64::new(0),
        ready: Barrier::new(usize::try_from(subscribers).unwrap_or(0) + 1),
    });
    let changes = (deliveries / subscribers).clamp(100, 20_000) / 100 * 100;
    let expected = changes + PACED;
    let listeners: Vec<_> = (0..subscribers)
        .map(|_| tokio::spawn(listen(address, token.clone(), heard.clone(), expected)))
        .collect();
    heard.ready.wait().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = (server.memory().0.saturating_sub(before)) as f64 / subscribers as f64;

    // One change after the other: how long until everybody knows.
    for number in 0..PACED {
        let began = Instant::now();
        heard.sent.store(micros(heard.began.elapsed()), Ordering::Relaxed);
        let token = token.clone();
        let captured = tokio::task::spawn_blocking(move || capture(address, &token, "paced", number, 1));
        captured.await??;
        tokio::time::sleep(PACE.saturating_sub(began.elapsed())).await;
    }
    heard.until(PACED * subscribers).await?;

    // As fast as the server takes them.
    let (cpu, began) = (server.cpu(), Instant::now());
    for batch in 0..changes / 100 {
        let token = token.clone();
        let captured = tokio::task::spawn_blocking(move || capture(address, &token, "fast", batch, 100));
        captured.await??;
    }
    heard.until(expected * subscribers).await?;
    let (took, cpu) = (began.elapsed(), server.cpu() - cpu);
    let delivered = (changes * subscribers) as f64;
    let mut delays = Vec::new();
    for listener in listeners {
        delays.extend(listener.await??);
    }
    delays.sort_unstable();
    let delay = |share: usize| delays.get(delays.len() * share / 100).map_or(0.0, |us| f64::from(*us) / 1e3);
    eprintln!("   {subscribers} subscribers: {:.0} deliveries a second", delivered / took.as_secs_f64());
    Ok(vec![
        subscribers.to_string(),
        format!("{idle:.1}"),
        format!("{:.0}", delivered / took.as_secs_f64()),
        format!("{:.2}", cpu.as_secs_f64() * 1e6 / delivered),
        format!("{:.1}", delay(50)),
        format!("{:.1}", delay(99)),
        (server.memory().1 / 1024).to_string(),
    ])
}

impl Heard {
    async fn until(&self, events: u64) -> Result<(), Failed> {
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.events.load(Ordering::Relaxed) < events {
            if Instant::now() > deadline {
                let heard = self.events.load(Ordering::Relaxed);
                return Err(Failed(format!(
                    "only {heard} of {events} deliveries arrived within five minutes"
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// New leads, each with one stage change.
fn capture(to: SocketAddr, token: &str, kind: &str, batch: u64, leads: u64) -> Result<(), Failed> {
    let leads: Vec<Value> =
        (0..leads).map(|n| json!({"email": format!("{kind}-{batch}-{n}@fanout.example")})).collect();
    let document =
        "mutation($leads: [LeadInput!]!) { captureLeads(input: {leads: $leads}) { errors { message } } }";
    query(to, token, document, json!({"leads": leads})).map(drop)
}

/// One subscriber: counts its events, and notes how old the first ones are.
async fn listen(to: SocketAddr, token: String, heard: Arc<Heard>, expected: u64) -> Result<Vec<u32>, Failed> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let hello = format!(
        "GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    );
    stream.write_all(hello.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(4096);
    let head = loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(Failed(format!("no handshake: {}", String::from_utf8_lossy(&buffer))));
        }
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    buffer.drain(..head);
    stream.write_all(&frame(1, br#"{"type":"connection_init"}"#)).await?;
    while next_frame(&mut stream, &mut buffer).await? != 1 {}
    let subscribe = json!({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIBE}}).to_string();
    stream.write_all(&frame(1, subscribe.as_bytes())).await?;
    // The server takes messages of a socket in turn: its answer to a ping comes after the subscription began.
    stream.write_all(&frame(1, br#"{"type":"ping"}"#)).await?;
    while next_frame(&mut stream, &mut buffer).await? != 1 {}
    heard.ready.wait().await;

    let mut delays = Vec::with_capacity(PACED as usize);
    for number in 0..expected {
        while next_frame(&mut stream, &mut buffer).await? != 1 {}
        if number < PACED {
            let delay = micros(heard.began.elapsed()).saturating_sub(heard.sent.load(Ordering::Relaxed));
            delays.push(u32::try_from(delay).unwrap_or(u32::MAX));
        }
        heard.events.fetch_add(1, Ordering::Relaxed);
    }
    Ok(delays)
}

/// Takes one frame out of what arrived and answers its kind: 1 is a text.
async fn next_frame(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u8, Failed> {
    loop {
        if let [first, second, rest @ ..] = buffer.as_slice() {
            let (length, head) = match (second & 127, rest) {
                (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
                (126, _) => (usize::MAX, 4),
                (127, _) => return Err(Failed("a frame of more than 64 KiB".to_owned())),
                (length, _) => (usize::from(length), 2),
            };
            if length != usize::MAX && buffer.len() >= head + length {
                let kind = first & 15;
                if kind == 8 {
                    return Err(Failed(format!("closed: {}", String::from_utf8_lossy(&buffer[head..]))));
                }
                if kind == 9 {
                    let pong = frame(10, &buffer[head..head + length]);
                    stream.write_all(&pong).await?;
                }
                buffer.drain(..head + length);
                return Ok(kind);
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(Failed("the server closed a socket".to_owned()));
        }
    }
}

/// A frame of a client, with a mask that changes nothing.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | kind];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => bytes.push(0x80 | length),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
