//! What attackers do all the time that they are given: bounded loops over a few connections, or many connections that do
//! almost nothing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout_at};

use super::requests::{Named, bearer};
use super::wire::{Answer, PATIENCE, Tally, Wire};
use crate::Failed;
use crate::fanout::frame;

/// Connections of the slow ones, and readers of each kind that never read.
const SLOW: usize = 100;
pub const PROTOCOL: &str = "sec-websocket-protocol: graphql-transport-ws\r\n";
/// Everything that ever happened, thirty times over.
const REPLAY: &str = "subscription($after: FeedCursor) { leadEvents(after: $after) { cursor p0: payload p1: payload p2: payload \
     p3: payload p4: payload p5: payload p6: payload p7: payload p8: payload p9: payload p10: payload p11: payload \
     p12: payload p13: payload p14: payload p15: payload p16: payload p17: payload p18: payload p19: payload } }";

#[derive(Clone)]
pub enum Attack {
    /// Requests in turn, each after the answer to the last.
    Requests(Arc<Vec<Named>>),
    /// Sockets that break every rule of theirs.
    Sockets,
    /// Connections that send a byte now and then, of a head or of a body.
    Drip,
    /// Subscribers by socket and event stream that never read.
    Consumers,
    /// Connections that come and go.
    Churn,
}

/// Who attacks whom.
#[derive(Clone)]
pub struct Target {
    pub to: SocketAddr,
    pub from: Ipv4Addr,
    /// Of somebody who may read leads, and nothing else.
    pub token: String,
    /// A cursor from which all that happened is to be told.
    pub after: String,
    /// Between two attacks on one connection; none for as fast as the answers come.
    pub pace: Duration,
}

/// Waits for the next attack's turn.
struct Pace {
    pace: Duration,
    next: Instant,
}

impl Pace {
    fn of(target: &Target) -> Pace {
        Pace { pace: target.pace, next: Instant::now() }
    }

    async fn wait(&mut self) {
        if !self.pace.is_zero() {
            sleep_until(self.next.into()).await;
            // What was missed is not made up for.
            self.next = (self.next + self.pace).max(Instant::now());
        }
    }
}

impl Attack {
    pub async fn run(self, target: Target, connections: usize, until: Instant) -> Tally {
        let mut gang = JoinSet::new();
        match self {
            Attack::Requests(shots) => {
                for number in 0..connections {
                    // They begin at different places, so that each request is sent within a short time.
                    let first = number * shots.len() / connections;
                    gang.spawn(requests(target.clone(), shots.clone(), first, until));
                }
            }
            Attack::Sockets => {
                for number in 0..connections {
                    gang.spawn(sockets(target.clone(), number, until));
                }
                for _ in 0..SLOW / 2 {
                    gang.spawn(silent(target.clone(), until));
                }
            }
            Attack::Drip => {
                for number in 0..SLOW {
                    gang.spawn(drip(target.clone(), number % 2 == 0, until));
                }
            }
            Attack::Consumers => {
                for number in 0..2 * SLOW {
                    gang.spawn(consumer(target.clone(), number % 2 == 0, until));
                }
            }
            Attack::Churn => {
                for number in 0..connections {
                    gang.spawn(churn(target.clone(), number, until));
                }
            }
        }
        let mut all = Tally::default();
        while let Some(ended) = gang.join_next().await {
            all.add(ended.unwrap_or_default());
        }
        all
    }
}

/// Until then an operation may take; what is not done by the end of the attack counts for nothing.
async fn within<T>(until: Instant, work: impl Future<Output = io::Result<T>>) -> Option<io::Result<T>> {
    timeout_at(until.into(), work).await.ok()
}

async fn requests(target: Target, shots: Arc<Vec<Named>>, first: usize, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let (mut wire, mut pace) = (None, Pace::of(&target));
    for turn in first.. {
        pace.wait().await;
        let work = async {
            let open = match &mut wire {
                Some(open) => open,
                None => wire.insert(Wire::open(target.from, target.to, false).await?),
            };
            let answer = tokio::time::timeout(PATIENCE, open.ask(&shots[turn % shots.len()].1)).await;
            answer.unwrap_or_else(|_| Ok(Answer::of("silence", false, 0)))
        };
        match within(until, work).await {
            None => return tally,
            Some(Ok(answer)) => {
                if answer.ended {
                    wire = None;
                }
                tally.note(&answer);
            }
            Some(Err(_)) => {
                wire = None;
                tally.note(&Answer::of("cut", false, 0));
            }
        }
    }
    tally
}

async fn sockets(target: Target, first: usize, until: Instant) -> Tally {
    let (mut tally, mut pace) = (Tally::default(), Pace::of(&target));
    for turn in first.. {
        pace.wait().await;
        match within(until, socket(&target, turn)).await {
            None => break,
            Some(answer) => tally.note(&answer.unwrap_or_else(|_| Answer::of("cut", false, 0))),
        }
    }
    tally
}

/// One socket, and the rule that it breaks.
async fn socket(target: &Target, turn: usize) -> io::Result<Answer> {
    let mut wire = Wire::open(target.from, target.to, false).await?;
    let headers = match turn % 14 {
        0 => "sec-websocket-protocol: graphql-transport-ws\r\norigin: https://evil.example\r\n",
        1 => "sec-websocket-protocol: soap\r\n",
        2 => "sec-websocket-protocol: graphql-transport-ws\r\nauthorization: Bearer wrong\r\n",
        _ => PROTOCOL,
    };
    let answer = wire.upgrade(headers).await?;
    if answer.refused {
        return Ok(answer);
    }
    let good = init(&target.token);
    let long = |bytes: usize| format!(r#"{{"type":"ping","payload":{{"x":"{}"}}}}"#, "x".repeat(bytes));
    match turn % 14 {
        3 => wire.stream.write_all(&[0xA5; 512]).await?,
        4 => wire.stream.write_all(b"\x81\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00").await?,
        5 => wire.say(&init("hf_wrong")).await?,
        6 => {
            for _ in 0..20 {
                wire.say(&good).await?;
            }
        }
        7 => {
            for _ in 0..120 {
                wire.say(r#"{"type":"ping"}"#).await?;
            }
        }
        8 => {
            wire.say(&good).await?;
            for id in 0..51 {
                wire.say(&subscribe(&id.to_string(), "subscription { leadEvents { cursor } }", "")).await?;
            }
            return Ok(wire.closed(Some("TOO_MANY_SUBSCRIPTIONS")).await);
        }
        9 => wire.say(&long(50_000)).await?,
        10 => wire.stream.write_all(&frame(2, &[7; 1_000])).await?,
        11 => wire.say(&format!(r#"{{"type":"ping","payload":{}"#, "[".repeat(60_000))).await?,
        12 => wire.say(&subscribe("1", "subscription { leadEvents { cursor } }", "")).await?,
        // It comes and goes.
        _ => return Ok(Answer::of("101", false, 0)),
    }
    if turn % 14 == 9 {
        // As long as a message may be; nothing is wrong but that nobody said who it is.
        return Ok(Answer { refused: false, label: "pong".to_owned(), ..wire.closed(Some("pong")).await });
    }
    Ok(wire.closed(None).await)
}

fn init(token: &str) -> String {
    json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}}).to_string()
}

fn subscribe(id: &str, query: &str, after: &str) -> String {
    let variables = if after.is_empty() { json!({}) } else { json!({ "after": after }) };
    json!({"type": "subscribe", "id": id, "payload": {"query": query, "variables": variables}}).to_string()
}

/// A socket that never says who it is.
async fn silent(target: Target, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let work = async {
        let mut wire = Wire::open(target.from, target.to, false).await?;
        let answer = wire.upgrade(PROTOCOL).await?;
        Ok((wire, answer))
    };
    if let Some(Ok((_wire, answer))) = within(until, work).await {
        tally.note(&answer);
        sleep(until.saturating_duration_since(Instant::now())).await;
    }
    tally
}

async fn drip(target: Target, head: bool, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let ended = within(until, dribble(&target, head, &mut tally)).await;
    if ended.is_some() {
        tally.note(&Answer::of("cut", true, 0));
    }
    tally
}

/// Sends until it is cut.
async fn dribble(target: &Target, head: bool, tally: &mut Tally) -> io::Result<()> {
    let mut wire = Wire::open(target.from, target.to, false).await?;
    let mut hello = "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\n".to_owned();
    if !head {
        let token = bearer(&target.token);
        hello += &format!("{token}content-type: application/json\r\ncontent-length: 100000\r\n\r\n");
    }
    wire.stream.write_all(hello.as_bytes()).await?;
    tally.note(&Answer::of("held", false, 0));
    loop {
        sleep(Duration::from_millis(100)).await;
        wire.stream.write_all(b"x").await?;
    }
}

async fn consumer(target: Target, by_socket: bool, until: Instant) -> Tally {
    let mut tally = Tally::default();
    match within(until, async {
        listen(&target, by_socket).await.map_err(|Failed(text)| io::Error::other(text))
    })
    .await
    {
        Some(Ok(_wire)) => {
            tally.note(&Answer::of("held", false, 0));
            sleep(until.saturating_duration_since(Instant::now())).await;
        }
        Some(Err(_)) => tally.note(&Answer::of("refused", true, 0)),
        None => {}
    }
    tally
}

/// A subscriber that will never read, of everything since the beginning.
pub async fn listen(target: &Target, by_socket: bool) -> Result<Wire, Failed> {
    let mut wire = Wire::open(target.from, target.to, true).await?;
    if by_socket {
        let answer = wire.upgrade(PROTOCOL).await?;
        if answer.label != "101" {
            return Err(Failed(format!("no handshake: {}", answer.label)));
        }
        wire.say(&init(&target.token)).await?;
        wire.say(&subscribe("1", REPLAY, &target.after)).await?;
        return Ok(wire);
    }
    let body = json!({"query": REPLAY, "variables": {"after": target.after}}).to_string();
    let request = format!(
        "POST /graphql/stream HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n{}\
         content-length: {}\r\n\r\n{body}",
        bearer(&target.token),
        body.len()
    );
    wire.stream.write_all(request.as_bytes()).await?;
    Ok(wire)
}

async fn churn(target: Target, first: usize, until: Instant) -> Tally {
    let (mut tally, mut pace) = (Tally::default(), Pace::of(&target));
    for turn in first.. {
        pace.wait().await;
        let work = async {
            let mut wire = Wire::open(target.from, target.to, false).await?;
            match turn % 3 {
                0 => Ok(Answer::of("gone at once", false, 0)),
                1 => {
                    wire.stream.write_all(b"POST /graphql HTTP/1.1\r\nhost: 127").await?;
                    Ok(Answer::of("gone in the head", false, 0))
                }
                _ => wire.ask(b"NONSENSE / of no protocol\r\n\r\n").await,
            }
        };
        match within(until, work).await {
            None => break,
            Some(Ok(answer)) => tally.note(&answer),
            Some(Err(_)) => {
                tally.note(&Answer::of("cut", false, 0));
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
    tally
}
