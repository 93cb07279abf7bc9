//! The program of `cargo xtask prove`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use handfast_bench::Failed;
use handfast_bench::server::Database;
use handfast_prove::cluster::Postgres;
use handfast_prove::kills::{self, Plan, Programs};
use handfast_prove::writer::Story;
use handfast_prove::{faults, latency, outcome, tell};

#[derive(Parser)]
#[command(name = "handfast-prove", about = "Proofs that nothing is lost, reordered or doubled")]
struct Cli {
    /// The server's program.
    #[arg(long, default_value = "target/release/handfast")]
    handfast: PathBuf,
    /// The program of an earlier version: nodes of both serve side by side, and change places.
    #[arg(long)]
    older: Option<PathBuf>,
    /// The program that starts a private PostgreSQL.
    #[arg(long, default_value = "target/debug/xtask")]
    xtask: PathBuf,
    #[arg(long, value_enum, default_value = "both")]
    store: StoreChoice,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Kills of each store.
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// At most so long for the kills of each store.
    #[arg(long, default_value_t = 900)]
    seconds: u64,
    /// Leads with a timer each.
    #[arg(long, default_value_t = 100_000)]
    timers: u64,
    /// Of everything that chance decides; another one each time without.
    #[arg(long)]
    seed: Option<u64>,
    /// A small form for the ordinary tests.
    #[arg(long)]
    short: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreChoice {
    Sqlite,
    Postgres,
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Writers and subscribers while nodes and PostgreSQL are killed and paused.
    Kills,
    /// Leads that come back at a date while nodes are killed and paused.
    Timers,
    /// How long after its acknowledgement a change is with 1 and 1,000 subscribers on two nodes.
    Latency,
    /// Acknowledged changes a second beside plain inserts.
    Throughput,
    /// The clock of a node jumps by hours and days.
    Clock,
    /// The disk of a node fills up and is freed.
    Disk,
    /// No fsync of a node succeeds for a while.
    Fsync,
}

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    // Servers run in the directories of their data.
    for program in [&mut cli.handfast, &mut cli.xtask].into_iter().chain(&mut cli.older) {
        *program = program.canonicalize().unwrap_or_else(|_| program.clone());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(&cli)),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(wrong) => outcome(&wrong),
        Err(Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<Vec<String>, Failed> {
    let seed = cli.seed.unwrap_or(handfast_prove::now().as_nanos() as u64 % 1_000_000_000);
    println!("seed {seed}");
    let mut postgres = match cli.store {
        StoreChoice::Sqlite => None,
        _ => Some(Postgres::start(&cli.xtask)?),
    };
    let mut wrong = Vec::new();
    if wanted(cli, Part::Kills) {
        let plan = Plan {
            seed,
            story: Story::Changes,
            nodes: 3,
            kills: if cli.short { 6 } else { cli.kills },
            time: Duration::from_secs(if cli.short { 20 } else { cli.seconds }),
            writers: if cli.short { 8 } else { 16 },
            subscribers: if cli.short { 4 } else { 8 },
        };
        wrong.extend(both(cli, &mut postgres, plan, "kills").await?);
    }
    // The short form has it only by name: a minute is soon over.
    if wanted(cli, Part::Timers) && (!cli.short || cli.only.contains(&Part::Timers)) {
        let (timers, within) = if cli.short { (400, 15) } else { (cli.timers, 60) };
        let writers = 16;
        let story = Story::Timers { leads: timers / writers, within };
        let time = Duration::from_secs(cli.seconds.max(1_800));
        let plan = Plan { seed, story, nodes: 2, kills: u64::MAX, time, writers, subscribers: 2 };
        wrong.extend(both(cli, &mut postgres, plan, "timers").await?);
    }
    for database in databases(cli, postgres.as_ref(), seed, "latency") {
        if wanted(cli, Part::Latency) && !cli.short {
            latency::run(&cli.handfast, &database, &[1, 1_000]).await?;
        }
    }
    for database in databases(cli, postgres.as_ref(), seed, "throughput") {
        if wanted(cli, Part::Throughput) && !cli.short {
            latency::throughput(&cli.handfast, &database, Duration::from_secs(10)).await?;
        }
    }
    let faults = [(Part::Clock, "clock"), (Part::Disk, "disk"), (Part::Fsync, "fsync")];
    let faults = faults.iter().filter(|(part, _)| wanted(cli, *part)).map(|(_, name)| *name);
    let faults: Vec<&str> = faults.filter(|_| !cli.short || !cli.only.is_empty()).collect();
    if cli.store != StoreChoice::Postgres && !faults.is_empty() {
        let rounds = if cli.short { 2 } else { 20 };
        wrong.extend(tokio::task::block_in_place(|| faults::run(&cli.handfast, seed, rounds, &faults))?);
    }
    Ok(wrong)
}

fn wanted(cli: &Cli, part: Part) -> bool {
    cli.only.is_empty() || cli.only.contains(&part)
}

/// The databases of a part, each of them new.
fn databases(cli: &Cli, postgres: Option<&Postgres>, seed: u64, part: &str) -> Vec<Database> {
    let sqlite = (cli.store != StoreChoice::Postgres).then(|| kills::database(None, seed, part));
    let postgres = postgres.map(|postgres| kills::database(Some(postgres), seed, part));
    sqlite.into_iter().chain(postgres).collect()
}

/// Runs a plan on the chosen databases, prints its figures, and answers what was wrong.
async fn both(
    cli: &Cli,
    postgres: &mut Option<Postgres>,
    plan: Plan,
    part: &str,
) -> Result<Vec<String>, Failed> {
    let programs = Programs { handfast: &cli.handfast, older: cli.older.as_deref() };
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for database in databases(cli, postgres.as_ref(), plan.seed, part) {
        tell(&format!("{part} on {}", database.name()));
        let below = postgres.as_mut().filter(|_| database.postgres.is_some());
        let began = Instant::now();
        let (figures, found) = kills::run(programs, &database, below, plan).await?;
        tell(&format!("{part} on {}: {:.0} s", database.name(), began.elapsed().as_secs_f64()));
        rows.push(figures);
        wrong.extend(found.into_iter().map(|line| format!("{part} on {}: {line}", database.name())));
    }
    kills::print(&format!("What was lost, reordered or doubled: {part}"), &rows);
    Ok(wrong)
}
