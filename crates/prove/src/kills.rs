//! Writers and subscribers while nodes and the database are killed, paused and cut off; then everything settles, and the
//! checker compares what was acknowledged, what was seen and what is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use handfast_bench::server::{Database, query};
use handfast_bench::{Failed, table};
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

use crate::checker::{self, Answer, Asked, Effect, History};
use crate::cluster::{Cluster, Postgres};
use crate::dice::Dice;
use crate::proxy::{Manner, Proxy};
use crate::subscriber::{self, Door};
use crate::writer::{self, Desk, Story};
use crate::{readback, tell};

/// The programs of a run. With an older one all nodes begin with it, and each that is started again runs one of the two: an
/// upgrade and its way back, under load, and killed in its middle.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'p> {
    pub handfast: &'p Path,
    pub older: Option<&'p Path>,
}

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub story: Story,
    /// Of the workspace; one on SQLite.
    pub nodes: usize,
    pub kills: u64,
    /// At most; the kills end it earlier.
    pub time: Duration,
    pub writers: u64,
    pub subscribers: u64,
}

/// What was done to the processes.
#[derive(Default)]
struct Deeds {
    nodes: u64,
    starting: u64,
    postgres: u64,
    pauses: u64,
}

impl Deeds {
    fn kills(&self) -> u64 {
        self.nodes + self.starting + self.postgres
    }
}

/// Longer than a lease: another node takes over, and this one wakes up with an old fence.
const PAUSE: (u64, u64) = (11_000, 14_000);

/// One run on one database. Answers its row of figures, and what was wrong.
pub async fn run(
    programs: Programs<'_>,
    database: &Database,
    postgres: Option<&mut Postgres>,
    plan: Plan,
) -> Result<(Vec<String>, Vec<String>), Failed> {
    let nodes = if database.postgres.is_some() { plan.nodes } else { 1 };
    let mut cluster = Cluster::start(programs.older.unwrap_or(programs.handfast), database, nodes, &[])?;
    cluster.handfast = programs.handfast.to_path_buf();
    let token = cluster.token.clone();
    let start = query(cluster.nodes[0].address, &token, "{ feedHead }", json!({}))?["feedHead"].take();
    let (mut to_write, mut to_follow) = (Vec::new(), Vec::new());
    let writing = Manner { life: Some((2_000, 20_000)), dropped_answers: 3, slow: 10 };
    let following = Manner { life: Some((1_000, 5_000)), dropped_answers: 0, slow: 25 };
    for (number, node) in (0..).zip(&cluster.nodes) {
        to_write.push(Proxy::start(node.address, plan.seed ^ (number << 8), writing).await?);
        to_follow.push(Proxy::start(node.address, plan.seed ^ (number << 8) ^ 1, following).await?);
    }
    let side = tempfile::tempdir()?;
    let desk = Arc::new(Desk::new(
        to_write.iter().map(|proxy| proxy.address).collect(),
        token.clone(),
        plan.story,
        true,
        Duration::from_secs(90),
    ));
    let (last, known) = watch::channel(None);
    let door = Arc::new(Door {
        doors: to_follow.iter().map(|proxy| proxy.address).collect(),
        token: token.clone(),
        last: known,
        start: start.as_str().unwrap_or_default().to_owned(),
        ahead: AtomicU64::new(0),
        patience: Duration::from_secs(60),
    });
    let dir = side.path().to_path_buf();
    let writers: Vec<_> = (0..plan.writers)
        .map(|number| tokio::spawn(writer::run(desk.clone(), number, plan.seed, dir.clone())))
        .collect();
    let subscribers: Vec<_> = (0..plan.subscribers)
        .map(|number| tokio::spawn(subscriber::run(door.clone(), number, plan.seed)))
        .collect();

    let began = Instant::now();
    let proxies = (to_write, to_follow);
    let killed =
        tokio::task::block_in_place(|| kill(cluster, programs.older, postgres, plan, &proxies, &desk));
    desk.stop.store(true, Ordering::Relaxed);
    let (mut cluster, deeds) = killed?;
    let mut wrong = Vec::new();
    for writer in writers {
        if let Err(Failed(why)) = writer.await? {
            wrong.push(format!("a writer gave up: {why}"));
        }
    }
    let took = began.elapsed();

    let address = cluster.nodes[0].address;
    let (feed, table) = tokio::task::block_in_place(|| {
        settle(address, &token)?;
        Ok::<_, Failed>((readback::log(address, &token)?, readback::table(address, &token)?))
    })?;
    let newest = feed.iter().filter(|row| row.stage_version.is_some()).map(|row| row.position).max();
    last.send_replace(newest.or(Some(0)));
    let mut seen = Vec::new();
    for subscriber in subscribers {
        seen.push(subscriber.await??);
    }
    let doctor = tokio::task::block_in_place(|| cluster.examine())?;
    if !doctor.well {
        wrong.push(format!("the doctor: {}", doctor.report));
    }
    let mut asked = writer::read_back(side.path(), plan.writers)?;
    if plan.story != Story::Changes {
        asked.extend(timers(&asked, &table));
    }
    let history = History { asked, subscribers: seen, feed, table, chain: None };
    let (found, summary) = checker::check(&history);
    wrong.extend(found.iter().map(|violation| format!("{violation:?}")));

    let count = |proxies: &[Proxy], of: fn(&Proxy) -> &AtomicU64| {
        proxies.iter().map(|proxy| of(proxy).load(Ordering::Relaxed)).sum::<u64>()
    };
    let cuts = count(&proxies.0, |proxy| &proxy.counts.cuts) + count(&proxies.1, |proxy| &proxy.counts.cuts);
    let dropped = count(&proxies.0, |proxy| &proxy.counts.dropped_answers);
    cluster.starts.sort_unstable();
    let start = cluster.starts.get(cluster.starts.len() / 2).copied().unwrap_or_default();
    let figures = vec![
        database.name().to_owned(),
        format!("{}", deeds.nodes + deeds.starting),
        deeds.postgres.to_string(),
        deeds.pauses.to_string(),
        cuts.to_string(),
        dropped.to_string(),
        desk.again.load(Ordering::Relaxed).to_string(),
        summary.acknowledged.to_string(),
        format!("{:.0}", summary.acknowledged as f64 / took.as_secs_f64()),
        desk.silence.lock().unwrap_or_else(PoisonError::into_inner).0.as_millis().to_string(),
        summary.events.to_string(),
        summary.deliveries.to_string(),
        summary.resumes.to_string(),
        summary.repeated.to_string(),
        door.ahead.load(Ordering::Relaxed).to_string(),
        start.as_millis().to_string(),
        wrong.len().to_string(),
    ];
    Ok((figures, wrong))
}

pub fn print(title: &str, rows: &[Vec<String>]) {
    let head = [
        "store",
        "nodes killed",
        "PostgreSQL killed",
        "paused",
        "connections cut",
        "answers dropped",
        "asked again",
        "acknowledged",
        "per second",
        "longest silence ms",
        "events",
        "deliveries",
        "resumes",
        "seen again",
        "cursor ahead",
        "start ms",
        "wrong",
    ];
    table::print(title, &head, rows);
}

/// Each lead that was recycled comes back, once.
fn timers(asked: &[Asked], table: &BTreeMap<Uuid, i64>) -> Vec<Asked> {
    let closed = asked.iter().filter(|ask| ask.effect == Effect::Closed);
    let leads = closed.filter_map(|ask| ask.answers.first()).map(|answer| answer.lead);
    let timer = |lead| {
        let version = table.get(&lead).copied().unwrap_or(0);
        Asked { key: format!("timer {lead}"), effect: Effect::Fired, answers: vec![Answer { lead, version }] }
    };
    leads.map(timer).collect()
}

/// Does harm until it is enough, and leaves every node running.
fn kill(
    mut cluster: Cluster,
    older: Option<&Path>,
    mut postgres: Option<&mut Postgres>,
    plan: Plan,
    proxies: &(Vec<Proxy>, Vec<Proxy>),
    desk: &Desk,
) -> Result<(Cluster, Deeds), Failed> {
    let (mut dice, mut deeds) = (Dice::of(plan.seed, 9_000), Deeds::default());
    let began = Instant::now();
    let aim = |cluster: &Cluster, number: usize| {
        for proxies in [&proxies.0, &proxies.1] {
            proxies[number].aim(cluster.nodes[number].address);
        }
    };
    // The first one leads: it sleeps longer than its lease, and wakes up beside another leader.
    if cluster.nodes.len() > 1 {
        cluster.pause(0, dice.millis(PAUSE.0, PAUSE.1));
        deeds.pauses += 1;
    }
    let mut over = None;
    let enough = |deeds: &Deeds, over: &mut Option<Instant>| match plan.story {
        Story::Changes => deeds.kills() >= plan.kills,
        // Until the last of them is due.
        Story::Timers { within, .. } => {
            let written = desk.finished.load(Ordering::Relaxed) == plan.writers;
            written && over.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(within + 2)
        }
    };
    while !enough(&deeds, &mut over) && began.elapsed() < plan.time {
        std::thread::sleep(dice.millis(200, 2_000));
        cluster.wake(false);
        let number = dice.below(cluster.nodes.len());
        if let Some(older) = older {
            let current = cluster.handfast.clone();
            cluster.nodes[number].program = if dice.below(2) == 0 { current } else { older.to_path_buf() };
        }
        let sleeping = cluster.nodes.iter().any(|node| node.paused.is_some());
        // However short the run, PostgreSQL is killed once.
        let early = deeds.kills() >= 2 && deeds.postgres == 0 && postgres.is_some();
        match if early { 6 } else { dice.below(100) } {
            // One sleeps at a time, so that somebody is there.
            0..6 if !sleeping && cluster.nodes.len() > 1 => {
                cluster.pause(number, dice.millis(PAUSE.0, PAUSE.1));
                deeds.pauses += 1;
            }
            0..6 if cluster.nodes.len() == 1 => {
                cluster.pause(number, dice.millis(100, 1_500));
                std::thread::sleep(dice.millis(100, 1_500));
                cluster.wake(true);
                deeds.pauses += 1;
            }
            6..20 if postgres.is_some() => {
                if let Some(postgres) = &mut postgres {
                    postgres.crash()?;
                    deeds.postgres += 1;
                }
            }
            20..30 => {
                cluster.kill(number);
                cluster.stillbirth(number, dice.millis(1, 150))?;
                cluster.revive(number)?;
                deeds.nodes += 1;
                deeds.starting += 1;
                aim(&cluster, number);
            }
            _ if cluster.nodes[number].paused.is_none() => {
                cluster.kill(number);
                cluster.revive(number)?;
                deeds.nodes += 1;
                aim(&cluster, number);
            }
            _ => {}
        }
        if deeds.kills() > 0 && deeds.kills() % 20 == 0 {
            let acknowledged = desk.acknowledged.load(Ordering::Relaxed);
            tell(&format!("{} kills, {acknowledged} changes acknowledged", deeds.kills()));
        }
    }
    cluster.wake(true);
    Ok((cluster, deeds))
}

/// Until everything that was committed stands in the feed: a lease of a dead node may have to run out first.
fn settle(to: std::net::SocketAddr, token: &str) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut before = None;
    let mut still = 0;
    while still < 8 {
        let head = query(to, token, "{ feedHead }", json!({})).ok().map(|data| data["feedHead"].clone());
        still = if head.is_some() && head == before { still + 1 } else { 0 };
        before = head;
        if Instant::now() > deadline {
            return Err(Failed("the feed did not come to rest within a minute".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Where the database of a run lives.
pub fn database(postgres: Option<&Postgres>, seed: u64, part: &str) -> Database {
    let schema = format!("prove_{part}_{}", seed % 1_000_000);
    Database { postgres: postgres.map(|postgres| postgres.url.clone()), schema }
}
