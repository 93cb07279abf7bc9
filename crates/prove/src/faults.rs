//! Faults of the machine below one node on SQLite: a disk that is full, an fsync that fails, a clock that jumps. What is
//! missing for one of them (a tool, or the right to mount) is said, and the part is left out.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use handfast_bench::server::{Database, query};
use handfast_bench::{Failed, table};
use serde_json::{Value, json};

use crate::checker::{self, History};
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::proxy::{Manner, Proxy};
use crate::writer::{self, Desk, Story};
use crate::{readback, tell};

const HEAD: [&str; 7] =
    ["fault", "rounds", "refused", "acknowledged in it", "acknowledged", "back after ms at most", "wrong"];

/// How long all is well between two rounds.
const WELL: Duration = Duration::from_secs(1);

/// One write, answered at once or not at all: whether it was acknowledged, or the code of its refusal.
fn write(to: std::net::SocketAddr, token: &str, email: &str) -> Result<(), String> {
    let document =
        "mutation($lead: LeadInput!) { captureLead(input: {lead: $lead}) { lead { id } errors { code } } }";
    match query(to, token, document, json!({"lead": {"email": email}})) {
        Ok(data) if data["captureLead"]["lead"]["id"].is_string() => Ok(()),
        Ok(data) => Err(data.to_string()),
        Err(Failed(why)) => Err(why),
    }
}

/// What a fault did, round by round.
#[derive(Default)]
struct Tally {
    refused: u64,
    inside: u64,
    back: Duration,
    wrong: Vec<String>,
}

/// Writers go on while `fault` runs its rounds; afterwards the checker and the doctor look at everything.
fn trial(
    name: &str,
    cluster: Cluster,
    rounds: u64,
    fault: impl FnOnce(&mut Cluster, &Proxy, &mut Tally) -> Result<(), Failed>,
) -> Result<Vec<String>, Failed> {
    const WRITERS: u64 = 4;
    let mut cluster = cluster;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let side = tempfile::tempdir()?;
    // A node that starts again has another address.
    let proxy = runtime.block_on(Proxy::start(cluster.nodes[0].address, 3, Manner::PLAIN))?;
    let desk = Arc::new(Desk::new(
        vec![proxy.address],
        cluster.token.clone(),
        Story::Changes,
        true,
        Duration::from_secs(60),
    ));
    let dir = side.path().to_path_buf();
    let writers: Vec<_> =
        (0..WRITERS).map(|number| runtime.spawn(writer::run(desk.clone(), number, 3, dir.clone()))).collect();
    let mut tally = Tally::default();
    let ended = fault(&mut cluster, &proxy, &mut tally);
    desk.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        if let Err(Failed(why)) = runtime.block_on(writer)? {
            tally.wrong.push(format!("a writer gave up: {why}"));
        }
    }
    ended?;
    let (address, token) = (cluster.nodes[0].address, cluster.token.clone());
    let (feed, table) = (readback::log(address, &token)?, readback::table(address, &token)?);
    let doctor = cluster.examine()?;
    if !doctor.well {
        tally.wrong.push(format!("the doctor: {}", doctor.report));
    }
    let mut asked = writer::read_back(side.path(), WRITERS)?;
    // What the probes of a fault wrote stands beside it.
    let known: std::collections::BTreeSet<_> =
        asked.iter().flat_map(|ask| ask.answers.iter().map(|answer| answer.lead)).collect();
    let probes =
        feed.iter().filter(|row| row.effect.is_some() && row.lead.is_some_and(|lead| !known.contains(&lead)));
    asked.extend(probes.filter_map(|row| {
        let answer = checker::Answer { lead: row.lead?, version: row.version };
        Some(checker::Asked { key: row.id.to_string(), effect: row.effect?, answers: vec![answer] })
    }));
    let history = History { asked, subscribers: Vec::new(), feed, table, chain: None };
    let (found, summary) = checker::check(&history);
    tally.wrong.extend(found.iter().map(|violation| format!("{violation:?}")));
    tally.wrong.iter().take(20).for_each(|line| tell(line));
    Ok(vec![
        name.to_owned(),
        rounds.to_string(),
        tally.refused.to_string(),
        tally.inside.to_string(),
        summary.acknowledged.to_string(),
        tally.back.as_millis().to_string(),
        tally.wrong.len().to_string(),
    ])
}

/// All faults that this machine can make. Answers what was wrong.
pub fn run(handfast: &Path, seed: u64, rounds: u64, only: &[&str]) -> Result<Vec<String>, Failed> {
    let mut rows = Vec::new();
    let wanted = |name: &str| only.contains(&name);
    if wanted("disk") {
        rows.extend(disk(handfast, rounds)?);
    }
    if wanted("fsync") {
        rows.extend(fsync(handfast, rounds)?);
    }
    if wanted("clock") {
        rows.extend(clock(handfast, seed, rounds)?);
    }
    if !rows.is_empty() {
        table::print("Faults below a node on SQLite", &HEAD, &rows);
    }
    let wrong = rows.iter().filter(|row| row.last().is_some_and(|count| count != "0"));
    Ok(wrong.map(|row| format!("{}: {} violations", row[0], row[6])).collect())
}

fn sqlite() -> Database {
    Database { postgres: None, schema: String::new() }
}

/// A folder of its own for the data, of less than a gigabyte, while it lives: the writers fill some of it.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    fn mount() -> Option<Small> {
        let folder = tempfile::tempdir().ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=600m,mode=0700", "handfast-prove"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Small { folder })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.folder.path()).status());
    }
}

/// The disk fills up and is freed: writes are refused by name, reads go on, and nothing needs a hand.
fn disk(handfast: &Path, rounds: u64) -> Result<Option<Vec<String>>, Failed> {
    let Some(small) = Small::mount() else {
        tell("disk: skipped, a tmpfs cannot be mounted here; it needs root");
        return Ok(None);
    };
    tell("a full disk");
    let cluster = Cluster::start_in(handfast, &sqlite(), small.folder.path())?;
    let filler = small.folder.path().join("filler");
    let row = trial("full disk", cluster, rounds, |cluster, _, tally| {
        let (address, token) = (cluster.nodes[0].address, cluster.token.clone());
        for round in 0..rounds {
            std::thread::sleep(WELL);
            fill(&filler)?;
            let deadline = Instant::now() + Duration::from_secs(20);
            // What is left of pages may take some writes yet.
            let mut number = 0;
            let refusal = loop {
                number += 1;
                match write(address, &token, &format!("full-{round}-{number}@example.test")) {
                    Ok(()) => tally.inside += 1,
                    Err(why) => break why,
                }
                if Instant::now() > deadline {
                    break "a full disk refused nothing".to_owned();
                }
            };
            tally.refused += 1;
            if !refusal.contains("STORAGE_FULL") {
                tally.wrong.push(format!("a full disk is answered by {refusal}"));
            }
            if let Err(Failed(why)) =
                query(address, &token, "{ leads(first: 5) { edges { node { id } } } }", json!({}))
            {
                tally.wrong.push(format!("reads stopped: {why}"));
            }
            std::fs::remove_file(&filler)?;
            back(address, &token, tally, &format!("free-{round}"));
        }
        Ok(())
    });
    row.map(Some)
}

/// Fills the rest of a file system.
fn fill(file: &Path) -> Result<(), Failed> {
    use std::io::Write;
    let mut out = std::fs::File::create(file)?;
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0; size];
        while out.write_all(&block).is_ok() {}
    }
    Ok(())
}

/// Until a write is acknowledged again.
fn back(address: std::net::SocketAddr, token: &str, tally: &mut Tally, name: &str) {
    let began = Instant::now();
    for number in 0.. {
        if write(address, token, &format!("{name}-{number}@example.test")).is_ok() {
            break;
        }
        if began.elapsed() > Duration::from_secs(20) {
            tally.wrong.push("writes do not go on by themselves".to_owned());
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    tally.back = tally.back.max(began.elapsed());
}

/// A tracer that lets every fsync of a process fail, until it is dropped.
struct Tracer(Child);

impl Tracer {
    fn attach(pid: u32) -> Option<Tracer> {
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"])
            .args(["-e", "inject=fsync,fdatasync:error=EIO", "-p", &pid.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut tracer = Tracer(child);
        std::thread::sleep(Duration::from_millis(500));
        matches!(tracer.0.try_wait(), Ok(None)).then_some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SIGINT: it lets go of the process.
        drop(Command::new("kill").args(["-INT", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}

/// While no fsync succeeds, nothing is acknowledged, and nothing afterwards until the process is started again.
fn fsync(handfast: &Path, rounds: u64) -> Result<Option<Vec<String>>, Failed> {
    let cluster = Cluster::start(handfast, &sqlite(), 1, &[])?;
    let pid =
        |cluster: &Cluster| cluster.nodes[0].server.as_ref().map_or(0, handfast_bench::server::Server::pid);
    if Tracer::attach(pid(&cluster)).is_none() {
        tell("fsync: skipped, strace cannot trace here; apt-get install strace, and the right to trace");
        return Ok(None);
    }
    tell("an fsync that fails");
    let row = trial("fsync fails", cluster, rounds, |cluster, proxy, tally| {
        let token = cluster.token.clone();
        for round in 0..rounds {
            // The first trial of the tracer may have hit a sync: whoever lost one is started again.
            cluster.kill(0);
            cluster.revive(0)?;
            let address = cluster.nodes[0].address;
            proxy.aim(address);
            back(address, &token, tally, &format!("sound-{round}"));
            std::thread::sleep(WELL);
            let Some(tracer) = Tracer::attach(pid(cluster)) else {
                return Err(Failed("strace let go".to_owned()));
            };
            for number in 0..3 {
                match write(address, &token, &format!("lost-{round}-{number}@example.test")) {
                    Ok(()) => tally.inside += 1,
                    Err(_) => tally.refused += 1,
                }
            }
            drop(tracer);
            // The disk is well again, and what it lost is not known: this process writes nothing more.
            if write(address, &token, &format!("late-{round}@example.test")).is_ok() {
                tally.wrong.push("a process went on writing after a sync that failed".to_owned());
            }
        }
        cluster.kill(0);
        cluster.revive(0)?;
        proxy.aim(cluster.nodes[0].address);
        back(cluster.nodes[0].address, &token, tally, "sound");
        if tally.inside > 0 {
            tally.wrong.push(format!("{} changes were acknowledged that were not on disk", tally.inside));
        }
        Ok(())
    });
    row.map(Some)
}

/// The clock of the node jumps by hours and days while leads wait for their date; each comes back once.
fn clock(handfast: &Path, seed: u64, rounds: u64) -> Result<Option<Vec<String>>, Failed> {
    let library = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/faketime/libfaketimeMT.so.1",
    ];
    let Some(library) = library.iter().find(|path| Path::new(path).exists()) else {
        tell("clock: skipped, faketime is missing; apt-get install faketime");
        return Ok(None);
    };
    tell("a clock that jumps");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("time");
    std::fs::write(&file, "+0\n")?;
    let more = [
        ("LD_PRELOAD", *library),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap_or_default()),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let cluster = Cluster::start(handfast, &sqlite(), 1, &more)?;
    let mut dice = Dice::of(seed, 77);
    let row = trial("clock jumps", cluster, rounds, |cluster, _, tally| {
        let (address, token) = (cluster.nodes[0].address, cluster.token.clone());
        let set = |offset: &str| std::fs::write(&file, format!("{offset}\n"));
        for round in 0..rounds {
            let recycled = recycle(address, &token, round, &mut dice, tally)?;
            for _ in 0..3 {
                let offset = ["+1h", "-1h", "+1d", "-1d", "+0"][dice.below(5)];
                set(offset)?;
                std::thread::sleep(dice.millis(1_100, 2_500));
            }
            set("+0")?;
            std::thread::sleep(Duration::from_secs(6));
            back(address, &token, tally, &format!("sane-{round}"));
            for (lead, times) in cycles(address, &token, &recycled)? {
                if times != 1 {
                    tally.wrong.push(format!("{lead} came back {times} times"));
                }
            }
            tally.inside += recycled.len() as u64;
        }
        Ok(())
    });
    row.map(Some)
}

/// Leads that come back within some seconds.
fn recycle(
    address: std::net::SocketAddr,
    token: &str,
    round: u64,
    dice: &mut Dice,
    tally: &mut Tally,
) -> Result<Vec<String>, Failed> {
    let mut recycled = Vec::new();
    for number in 0..20 {
        let lead = json!({"email": format!("clock-{round}-{number}@example.test")});
        let document = "mutation($lead: LeadInput!) { captureLead(input: {lead: $lead}) { lead { id } } }";
        let made = query(address, token, document, json!({"lead": lead}))?;
        let id = made["captureLead"]["lead"]["id"].clone();
        let due = crate::now() + dice.millis(2_000, 5_000);
        let due = handfast_domain::time::Instant(due.as_millis() as i64).to_string();
        let input =
            json!({"lead": {"id": id}, "outcome": "RECYCLE", "reason": "NO_TIMELINE", "recycleAt": due});
        let document =
            "mutation($input: DispositionLeadInput!) { dispositionLead(input: $input) { errors { code } } }";
        let ended = query(address, token, document, json!({"input": input}))?;
        match ended["dispositionLead"]["errors"].as_array().is_some_and(Vec::is_empty) {
            true => recycled.extend(id.as_str().map(str::to_owned)),
            false => tally.refused += 1,
        }
    }
    Ok(recycled)
}

/// How often each lead came back.
fn cycles(
    address: std::net::SocketAddr,
    token: &str,
    leads: &[String],
) -> Result<Vec<(String, usize)>, Failed> {
    let mut found = Vec::new();
    for lead in leads {
        let document = "query($id: ID!) { events(first: 500, filter: {lead: $id, kinds: [\"CYCLE_OPENED\"]}) { events { payload } } }";
        let page = query(address, token, document, json!({"id": lead}))?["events"].take();
        let requalified = |event: &&Value| {
            let payload = event["payload"].as_str().unwrap_or_default();
            serde_json::from_str::<Value>(payload).is_ok_and(|payload| payload["fact"]["by"] == "REQUALIFY")
        };
        let times = page["events"].as_array().into_iter().flatten().filter(requalified).count();
        found.push((lead.clone(), times));
    }
    Ok(found)
}
