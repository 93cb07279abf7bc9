//! Attacks while ordinary users ask: what each refusal costs the server, how large it is, and what the users feel of it.
//!
//! Attackers have addresses of their own on the loopback, one for each family, and a thread that runs only when nobody else
//! wants to: they share the machine with what they attack, as no attacker does.

mod loops;
mod memory;
mod requests;
mod users;
mod wire;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use self::loops::{Attack, Target};
use self::requests::{Named, bearer};
use self::users::Users;
use self::wire::Tally;
use crate::reads::median;
use crate::server::{Server, query};
use crate::{Failed, table};

#[derive(Args, Clone)]
pub struct AttackArgs {
    /// Length of one window in seconds, of an attack and of the peace before and after it.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Attacks of each family.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections of the attackers that ask again and again.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Attacks a second, of all these connections together; 0 for as fast as the answers come.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Families, by parts of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// `with` and `without` the budget of an address; the second shows what the gate bears alone.
    #[arg(long, value_delimiter = ',', default_value = "with,without")]
    budget: Vec<String>,
    /// Subscribers that never read, for their memory.
    #[arg(long, default_value_t = 200)]
    slow: usize,
    /// One attack of each family in a fraction of a second: whether everything works, not how fast.
    #[arg(long)]
    short: bool,
}

/// What is promised of a refusal: its CPU time, its size, that of one with twenty errors, and what others may feel.
const CPU_MS: f64 = 5.0;
const BYTES: usize = 4 * 1024;
const BYTES_OF_ERRORS: usize = 16 * 1024 + 512;
const RATIO: f64 = 1.2;
/// How far memory may be from where it was.
const MEMORY_KIB: u64 = 16 * 1024;

/// A thread that runs tasks.
pub struct Crew(Option<Runtime>);

impl Crew {
    /// `low`: it gets what others leave of the machine.
    fn new(low: bool) -> Result<Crew, Failed> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all();
        if low {
            builder.on_thread_start(|| {
                // Of this one thread. Where there is no such program, attackers only take more of the machine.
                if let Ok(path) = std::fs::read_link("/proc/thread-self")
                    && let Some(thread) = path.file_name()
                {
                    drop(Command::new("renice").args(["-n", "19", "-p"]).arg(thread).output());
                }
            });
        }
        Ok(Crew(Some(builder.build()?)))
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.as_ref().map(|runtime| runtime.spawn(work)).expect("it runs until it is dropped")
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct Family {
    name: &'static str,
    attack: Attack,
    bytes: usize,
}

pub async fn run(handfast: &Path, args: &AttackArgs) -> Result<(), Failed> {
    let mut args = args.clone();
    if args.short {
        (args.seconds, args.rounds, args.slow) = (0.05, 1, 10);
        args.budget = vec!["without".to_owned()];
    }
    let mut broken = Vec::new();
    for budget in &args.budget {
        broken.extend(one(handfast, &args, budget == "with").await?);
    }
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failed(broken.join("\n"))),
    }
}

/// Answers what must never happen.
async fn one(handfast: &Path, args: &AttackArgs, budget: bool) -> Result<Vec<String>, Failed> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(handfast);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
    if !budget {
        command.env("HANDFAST__EDGE__RATE__ADDRESS_PER_SECOND", "0");
    }
    let mut server = Server::guarded(&mut command)?;
    let to = server.address()?;
    let admin = server.says("hf_", Duration::from_secs(20)).map(|rest| format!("hf_{rest}"))?;
    let leads = users::settle(to, &admin, 400)?;
    let made = query(
        to,
        &admin,
        "mutation { createToken(input: {user: \"admin\", name: \"attackers\", scopes: [\"leads:read\"]}) { secret } }",
        json!({}),
    )?;
    let token = made["createToken"]["secret"].as_str().unwrap_or_default().to_owned();
    let after = query(to, &admin, "{ events(first: 1) { cursor } }", json!({}))?["events"]["cursor"].take();
    let after = after.as_str().unwrap_or_default().to_owned();
    let pace = match args.rate > 0.0 {
        true => Duration::from_secs_f64(args.connections as f64 / args.rate),
        false => Duration::ZERO,
    };
    let target = Target { to, from: Ipv4Addr::LOCALHOST, token, after, pace };

    let families = families(&target.token, args);
    let crew = Crew::new(true)?;
    let users = Users::start(to, &admin, leads)?;
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    let (mut rows, mut broken) = (Vec::new(), users.faults());
    for (number, family) in families.iter().enumerate() {
        // Each family begins with a full budget.
        let from = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number).unwrap_or(0));
        let target = Target { from, ..target.clone() };
        let (row, faults) = measure(&server, &users, &crew, family, &target, args).await?;
        rows.push(row);
        broken.extend(faults.into_iter().map(|fault| format!("{}: {fault}", family.name)));
        if !server.lives() {
            broken.push(format!("the server died of {}", family.name));
            break;
        }
    }
    let pace = match args.rate > 0.0 {
        true => format!("{} requests a second", args.rate),
        false => "as fast as answers come".to_owned(),
    };
    let budget = if budget { "with the budget of an address" } else { "without a budget of addresses" };
    table::print(
        &format!(
            "Attacks {budget}: {} connections, {pace}, medians of {} windows of {} s; a value with ! misses its promise",
            args.connections, args.rounds, args.seconds
        ),
        &[
            "family",
            "requests",
            "answers",
            "CPU ms",
            "largest",
            "p95 ms",
            "attacked",
            "ratio",
            "p95 writes",
            "attacked",
            "ratio",
            "MB",
            "peak",
            "after",
            "failed",
        ],
        &rows,
    );
    users.stop();
    if broken.is_empty() && args.only.is_empty() {
        single(&server, &crew, &families, &target, args).await?;
        memory::measure(&server, &target, &admin, args.slow, args.short).await?;
        if !server.lives() {
            broken.push("the server died of readers that never read".to_owned());
        }
    }
    server.stop();
    println!();
    Ok(broken)
}

fn families(token: &str, args: &AttackArgs) -> Vec<Family> {
    let bomb = if args.short { 4 << 20 } else { 300 << 20 };
    let with = bearer(token);
    let bodies = requests::bodies(&with, bomb);
    let unknown: Vec<Named> =
        requests::documents("").into_iter().chain(requests::bodies("", 4 << 20)).collect();
    let of =
        |name, shots: Vec<Named>| Family { name, attack: Attack::Requests(Arc::new(shots)), bytes: BYTES };
    let mut all = vec![
        of("(harmless) /healthz", requests::harmless("")),
        of("documents", requests::documents(&with)),
        Family { bytes: BYTES_OF_ERRORS, ..of("twenty errors", requests::errors(&with)) },
        of("bad bodies", bodies),
        of("both without a token", unknown),
        of("wrong tokens", requests::tokens(token)),
        of("costly documents", requests::costly(&with)),
        of("bad cursors", requests::cursors(&with)),
        of("persisted misses", requests::persisted(&with)),
        of("blobs without right", requests::blobs(&with)),
        Family { name: "sockets", attack: Attack::Sockets, bytes: BYTES },
        Family { name: "slow bodies and heads", attack: Attack::Drip, bytes: BYTES },
        Family { name: "slow consumers", attack: Attack::Consumers, bytes: BYTES },
        Family { name: "connection churn", attack: Attack::Churn, bytes: BYTES },
    ];
    if !args.only.is_empty() {
        all.retain(|family| args.only.iter().any(|part| family.name.contains(part.as_str())));
    }
    all
}

/// What one window showed.
struct Window {
    felt: users::Felt,
    cpu: Duration,
    took: Duration,
}

/// Peace and attack in turn. Answers a row of the table, and what must never happen.
async fn measure(
    server: &Server,
    users: &Users,
    crew: &Crew,
    family: &Family,
    target: &Target,
    args: &AttackArgs,
) -> Result<(Vec<String>, Vec<String>), Failed> {
    let length = Duration::from_secs_f64(args.seconds);
    let window = async |attack: Option<Attack>| {
        let (cpu, began) = (server.cpu(), Instant::now());
        let end = began + length;
        let attack = attack.map(|attack| crew.spawn(attack.run(target.clone(), args.connections, end)));
        tokio::time::sleep(length).await;
        let tally = match attack {
            Some(attack) => attack.await?,
            None => Tally::default(),
        };
        let felt = users.felt(began, end).await;
        Ok::<_, Failed>((Window { felt, cpu: server.cpu() - cpu, took: began.elapsed() }, tally))
    };
    server.forget_peak();
    let before = server.memory().0;
    let (mut tally, mut cpu) = (Tally::default(), 0.0);
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let (mut peace, _) = window(None).await?;
    for _ in 0..args.rounds {
        let (attacked, found) = window(Some(family.attack.clone())).await?;
        // What goes on after an attack is not peace yet.
        tokio::time::sleep(length.min(Duration::from_millis(250))).await;
        let (next, _) = window(None).await?;
        let idle = (peace.cpu + next.cpu).as_secs_f64() / (peace.took + next.took).as_secs_f64();
        cpu += attacked.cpu.as_secs_f64() - idle * attacked.took.as_secs_f64();
        tally.add(found);
        for (figures, of) in [(&mut reads, 0), (&mut writes, 1)] {
            let p95 = |window: &Window| [window.felt.reads, window.felt.writes][of].as_secs_f64() * 1e3;
            figures.push([f64::midpoint(p95(&peace), p95(&next)), p95(&attacked)]);
        }
        peace = next;
    }
    let peak = server.memory().1;
    tokio::time::sleep(length.min(Duration::from_secs(2))).await;
    let after = server.memory().0;
    let mut broken = users.faults();
    let failed = broken.len();
    broken.truncate(3);
    if tally.largest > family.bytes {
        broken.push(format!("a refusal has {} bytes, promised are {}", tally.largest, family.bytes));
    }
    if args.short && peace.felt.asked == 0 && failed == 0 {
        broken.push("the users asked for nothing".to_owned());
    }

    let each = cpu.max(0.0) * 1e3 / tally.sent.max(1) as f64;
    let mark = |text: String, missed: bool| if missed { format!("{text} !") } else { text };
    let mut row = vec![
        family.name.to_owned(),
        tally.sent.to_string(),
        tally.answers.iter().map(|(label, count)| format!("{label}: {count}")).collect::<Vec<_>>().join(", "),
        mark(format!("{each:.2}"), tally.refused > 0 && each > CPU_MS),
        mark(tally.largest.to_string(), tally.largest > family.bytes),
    ];
    for figures in [&reads, &writes] {
        let ratio = median(figures.iter().map(|[idle, attacked]| attacked / idle).collect());
        let of =
            |which: usize| format!("{:.1}", median(figures.iter().map(|figures| figures[which]).collect()));
        row.extend([of(0), of(1), mark(format!("{ratio:.2}"), ratio > RATIO)]);
    }
    row.push((before / 1024).to_string());
    row.push((peak / 1024).to_string());
    row.push(mark((after / 1024).to_string(), after > before + MEMORY_KIB));
    row.push(mark(failed.to_string(), failed > 0));
    eprintln!("   {}: {} requests, {each:.2} ms each, ratio {}", family.name, tally.sent, row[7]);
    Ok((row, broken))
}

/// Each request alone: the mean of a family hides the dearest of it.
async fn single(
    server: &Server,
    crew: &Crew,
    families: &[Family],
    target: &Target,
    args: &AttackArgs,
) -> Result<(), Failed> {
    if args.short {
        return Ok(());
    }
    let mut rows = Vec::new();
    for (number, family) in families.iter().enumerate() {
        let Attack::Requests(shots) = &family.attack else { continue };
        for (at, shot) in shots.iter().enumerate().filter(|(at, shot)| *at == 0 || shots[at - 1].0 != shot.0)
        {
            let from = Ipv4Addr::new(
                127,
                0,
                1 + u8::try_from(number).unwrap_or(0),
                2 + u8::try_from(at).unwrap_or(0),
            );
            let target = Target { from, pace: Duration::ZERO, ..target.clone() };
            let attack = Attack::Requests(Arc::new(vec![shot.clone()]));
            let (cpu, end) = (server.cpu(), Instant::now() + Duration::from_millis(500));
            let tally = crew.spawn(attack.run(target, 1, end)).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let each = (server.cpu() - cpu).as_secs_f64() * 1e3 / tally.sent.max(1) as f64;
            rows.push((each, tally, family.name, shot.0));
        }
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .take(16)
        .map(|(each, tally, family, name)| {
            let answers = tally.answers.iter().map(|(label, count)| format!("{label}: {count}"));
            let missed = if tally.refused > 0 && each > CPU_MS { " !" } else { "" };
            vec![
                name.to_owned(),
                family.to_owned(),
                answers.collect::<Vec<_>>().join(", "),
                format!("{each:.2}{missed}"),
                tally.largest.to_string(),
            ]
        })
        .collect();
    table::print(
        "The dearest requests, each alone on one connection",
        &["request", "family", "answers", "CPU ms", "largest"],
        &rows,
    );
    Ok(())
}
