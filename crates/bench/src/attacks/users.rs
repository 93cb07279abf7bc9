//! Ordinary users: each on a connection of its own, asking at a steady pace whether or not the last answer has come.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Crew;
use crate::Failed;
use crate::load::{self, Connection, Shot};
use crate::server::query;

/// Between two requests of one user.
const PACE: Duration = Duration::from_millis(40);
/// Users that read, besides the one that writes.
const READERS: usize = 3;

const LEAD: &str = "query Lead($id: ID!) { lead(by: {id: $id}) { uuid stage outcome workState source fit engagement \
     capturedAt account { name domain industry country } } }";
const PAGE: &str = "{ leads(first: 20) { edges { node { uuid stage outcome workState source fit engagement capturedAt \
     account { name domain } } } pageInfo { hasNextPage endCursor } } }";
const FUNNEL: &str = "{ funnel { stages { stage label open entered } won lost } }";
pub const CAPTURE: &str = "mutation($leads: [LeadInput!]!) { captureLeads(input: {leads: $leads}) { results { created } errors { message } } }";

/// A request that was answered, or was not.
pub struct Sample {
    due: Instant,
    took: Duration,
    writes: bool,
    fault: Option<String>,
}

/// What the users felt within a time.
#[derive(Default)]
pub struct Felt {
    pub reads: Duration,
    pub writes: Duration,
    pub asked: usize,
}

pub struct Users {
    shared: Arc<Shared>,
    /// On a thread of its own: what the attackers' side costs is not to be felt here.
    _crew: Crew,
}

struct Shared {
    to: SocketAddr,
    token: String,
    leads: Vec<String>,
    began: Instant,
    /// Microseconds after `began` when the last request of each that was answered had been due.
    heard: [AtomicU64; READERS + 1],
    samples: Mutex<Vec<Sample>>,
    stop: AtomicBool,
}

/// Leads of some companies.
pub fn leads(kind: &str, batch: usize, count: usize) -> Value {
    let lead = |n: usize| {
        let company =
            json!({"name": format!("Company {}", n % 40), "domain": format!("c{}.example", n % 40)});
        json!({"email": format!("{kind}-{batch}-{n}@attacks.example"), "source": "organic_search", "company": company})
    };
    (0..count).map(lead).collect()
}

/// Some hundred leads. Answers their ids.
pub fn settle(to: SocketAddr, token: &str, count: usize) -> Result<Vec<String>, Failed> {
    for batch in 0..count.div_ceil(100) {
        query(to, token, CAPTURE, json!({"leads": leads("settled", batch, 100)}))?;
    }
    let page = query(to, token, "{ leads(first: 200) { edges { node { uuid } } } }", json!({}))?;
    let edges = page["leads"]["edges"].as_array().into_iter().flatten();
    Ok(edges.filter_map(|edge| edge["node"]["uuid"].as_str().map(str::to_owned)).collect())
}

impl Users {
    pub fn start(to: SocketAddr, token: &str, leads: Vec<String>) -> Result<Users, Failed> {
        let crew = Crew::new(false)?;
        let shared = Arc::new(Shared {
            to,
            token: token.to_owned(),
            leads,
            began: Instant::now(),
            heard: Default::default(),
            samples: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        for number in 0..=READERS {
            crew.spawn(shared.clone().user(number));
        }
        Ok(Users { shared, _crew: crew })
    }

    /// Waits until everything that was due before an instant was answered, and tells what was due since another.
    pub async fn felt(&self, from: Instant, to: Instant) -> Felt {
        let until = micros(to - self.shared.began);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.shared.heard.iter().any(|heard| heard.load(Ordering::Acquire) < until)
            && Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let samples = self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |writes: bool| {
            let within = samples.iter().filter(|sample| sample.due >= from && sample.due < to);
            let mut took: Vec<_> =
                within.filter(|sample| sample.writes == writes).map(|sample| sample.took).collect();
            took.sort_unstable();
            took
        };
        let p95 = |took: &[Duration]| took.get(took.len() * 95 / 100).copied().unwrap_or_default();
        let (reads, writes) = (within(false), within(true));
        Felt { reads: p95(&reads), writes: p95(&writes), asked: reads.len() + writes.len() }
    }

    /// What went wrong so far; it is then forgotten, with everything else.
    pub fn faults(&self) -> Vec<String> {
        let samples =
            std::mem::take(&mut *self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner));
        samples.into_iter().filter_map(|sample| sample.fault).collect()
    }

    pub fn stop(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    async fn user(self: Arc<Self>, number: usize) {
        let mut connection = None;
        // They do not all ask at the same instant.
        let mut due = self.began + PACE / 4 * u32::try_from(number).unwrap_or(0);
        for turn in number.. {
            // An answer that is late makes the next request late, and that counts from when it was due. Whoever is late for
            // another reason, such as a clock that wakes it late, was not kept waiting by the server.
            let kept = Instant::now() >= due;
            tokio::time::sleep_until(due.into()).await;
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let from = if kept { due } else { Instant::now() };
            let (shot, expect, count) = self.shot(number, turn);
            let asked = tokio::time::timeout(Duration::from_secs(20), self.ask(&mut connection, &shot)).await;
            let fault = match asked {
                Ok(Ok(body)) => {
                    let found = body.matches(&expect).count();
                    (found != count).then(|| format!("{expect:?} stands {found} times in {body:.300}"))
                }
                Ok(Err(Failed(text))) => Some(text),
                Err(_) => Some("no answer within 20 seconds".to_owned()),
            };
            if fault.is_some() {
                connection = None;
            }
            let sample = Sample { due, took: from.elapsed(), writes: number == READERS, fault };
            self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            self.heard[number].store(micros(due - self.began), Ordering::Release);
            due += PACE;
        }
    }

    async fn ask(&self, connection: &mut Option<Connection>, shot: &Shot) -> Result<String, Failed> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(Connection::open(self.to).await?),
        };
        connection.ask(shot).await?;
        Ok(String::from_utf8_lossy(connection.body()).into_owned())
    }

    /// What is asked, and what the answer must have how often.
    fn shot(&self, number: usize, turn: usize) -> (Shot, String, usize) {
        let graphql = |document: &str, variables: Value| {
            load::post("/graphql", &self.token, &json!({"query": document, "variables": variables}))
        };
        if number == READERS {
            let shot = graphql(CAPTURE, json!({"leads": leads("live", turn, 1)}));
            return (shot, r#""created":true"#.to_owned(), 1);
        }
        match turn % 3 {
            0 => {
                let id = &self.leads[turn * 7 % self.leads.len()];
                (graphql(LEAD, json!({"id": id})), format!(r#""uuid":"{id}""#), 1)
            }
            1 => (graphql(PAGE, json!({})), r#""uuid":"#.to_owned(), 20),
            _ => (graphql(FUNNEL, json!({})), r#""won":"#.to_owned(), 1),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
