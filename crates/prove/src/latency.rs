//! How long after its acknowledgement a change is with its subscribers, who hang on two nodes; and how many changes a second
//! are acknowledged, beside plain inserts into the same database in the same run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use handfast_bench::load::{Connection, post};
use handfast_bench::server::Database;
use handfast_bench::{Failed, inserts, table};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio_tungstenite::tungstenite::Message;

use crate::cluster::Cluster;
use crate::subscriber::subscribe;
use crate::writer::{self, Desk, Story};

/// Changes that are timed.
const CHANGES: usize = 200;
/// How far they are apart: a delay is that of a server that is not overrun. One change to a thousand is a thousand deliveries.
const PACE: Duration = Duration::from_millis(25);
const PACE_FOR_EACH: Duration = Duration::from_micros(200);

/// Limits of a server that one machine asks for all.
const WIDE: [(&str, &str); 2] =
    [("HANDFAST__EDGE__SOCKET__STREAMS", "20000"), ("HANDFAST__EDGE__CONNECTION__CONNECTIONS", "20000")];

/// One row for each number of subscribers.
pub async fn run(handfast: &Path, database: &Database, subscribers: &[usize]) -> Result<(), Failed> {
    let nodes = if database.postgres.is_some() { 2 } else { 1 };
    let cluster = Cluster::start(handfast, database, nodes, &WIDE)?;
    let mut rows = Vec::new();
    for count in subscribers {
        let (from_sent, from_known) = one(&cluster, *count).await?;
        let mut row = vec![database.name().to_owned(), nodes.to_string(), count.to_string()];
        for delays in [&from_sent, &from_known] {
            let share =
                |percent: usize| delays.get(delays.len() * percent / 100).copied().unwrap_or_default();
            row.extend([50, 99].map(|percent| format!("{:.1}", share(percent).as_secs_f64() * 1e3)));
        }
        row.push(from_sent.len().to_string());
        rows.push(row);
    }
    let head = [
        "store",
        "nodes",
        "subscribers",
        "sent to seen p50 ms",
        "p99 ms",
        "acknowledged to seen p50 ms",
        "p99 ms",
        "deliveries",
    ];
    table::print("Delay of a stage change that is made at the nodes in turn", &head, &rows);
    Ok(())
}

/// Delays of all deliveries, sorted: since the change was sent, and since it was acknowledged.
async fn one(cluster: &Cluster, subscribers: usize) -> Result<(Vec<Duration>, Vec<Duration>), Failed> {
    let ready = Arc::new(Barrier::new(subscribers + 1));
    let listeners: Vec<_> = (0..subscribers)
        .map(|number| {
            let address = cluster.nodes[number % cluster.nodes.len()].address;
            let (token, ready) = (cluster.token.clone(), ready.clone());
            tokio::spawn(async move {
                let payload = json!({"query": "subscription { leadStageChanged { leadUuid } }"});
                let mut socket = subscribe(address, &token, &payload).await?;
                ready.wait().await;
                let mut seen = BTreeMap::new();
                while seen.len() < CHANGES {
                    let message = tokio::time::timeout(Duration::from_secs(60), socket.next()).await?;
                    let Some(Ok(Message::Text(text))) = message else { continue };
                    let now = Instant::now();
                    let message: Value = serde_json::from_str(&text)?;
                    if let Some(lead) = message["payload"]["data"]["leadStageChanged"]["leadUuid"].as_str() {
                        seen.insert(lead.to_owned(), now);
                    }
                }
                Ok::<_, Failed>(seen)
            })
        })
        .collect();
    ready.wait().await;
    // A server answers the handshake before it begins to follow.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut connections = Vec::new();
    for node in &cluster.nodes {
        connections.push(Connection::open(node.address).await?);
    }
    let pace = PACE.max(PACE_FOR_EACH * u32::try_from(subscribers)?);
    let mut told = BTreeMap::new();
    for number in 0..CHANGES {
        let lead = json!({"email": format!("delay-{subscribers}-{number}@example.test")});
        let document = "mutation($lead: LeadInput!) { captureLead(input: {lead: $lead}) { lead { uuid } } }";
        let shot = post("/graphql", &cluster.token, &json!({"query": document, "variables": {"lead": lead}}));
        let connection = &mut connections[number % cluster.nodes.len()];
        let sent = Instant::now();
        connection.ask(&shot).await?;
        let known = Instant::now();
        let answer: Value = serde_json::from_slice(connection.body())?;
        let lead = answer["data"]["captureLead"]["lead"]["uuid"].as_str().unwrap_or_default();
        told.insert(lead.to_owned(), (sent, known));
        tokio::time::sleep(pace.saturating_sub(sent.elapsed())).await;
    }
    let (mut from_sent, mut from_known) = (Vec::new(), Vec::new());
    for listener in listeners {
        for (lead, seen) in listener.await?? {
            if let Some((sent, known)) = told.get(&lead) {
                from_sent.push(seen.saturating_duration_since(*sent));
                from_known.push(seen.saturating_duration_since(*known));
            }
        }
    }
    from_sent.sort_unstable();
    from_known.sort_unstable();
    Ok((from_sent, from_known))
}

/// Acknowledged changes a second by sixteen writers, beside sixteen that insert a row each.
pub async fn throughput(handfast: &Path, database: &Database, time: Duration) -> Result<(), Failed> {
    const WRITERS: u64 = 16;
    let dir = tempfile::tempdir()?;
    let plain = inserts::per_second(database, dir.path(), WRITERS as usize, time).await?;
    let nodes = if database.postgres.is_some() { 2 } else { 1 };
    let cluster = Cluster::start(handfast, database, nodes, &WIDE)?;
    let desk = Arc::new(Desk::new(
        cluster.nodes.iter().map(|node| node.address).collect(),
        cluster.token.clone(),
        Story::Changes,
        false,
        Duration::from_secs(30),
    ));
    let side = tempfile::tempdir()?;
    let dir: PathBuf = side.path().to_path_buf();
    let began = Instant::now();
    let writers: Vec<_> =
        (0..WRITERS).map(|number| tokio::spawn(writer::run(desk.clone(), number, 1, dir.clone()))).collect();
    tokio::time::sleep(time).await;
    let made = desk.acknowledged.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    desk.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await??;
    }
    let row = vec![
        database.name().to_owned(),
        nodes.to_string(),
        format!("{made:.0}"),
        format!("{plain:.0}"),
        format!("{:.2}", made / plain),
    ];
    let head = ["store", "nodes", "changes/s", "plain inserts/s", "ratio"];
    let title = "Acknowledged changes of leads beside plain inserts; sixteen writers, each change and each insert fsynced";
    table::print(title, &head, &[row]);
    Ok(())
}
