//! The program of `cargo xtask prove`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use handfast_bench::Failed;
use handfast_prove::cluster::Postgres;
use handfast_prove::kills::{self, Plan};
use handfast_prove::{outcome, tell};

#[derive(Parser)]
#[command(name = "handfast-prove", about = "Proofs that nothing is lost, reordered or doubled")]
struct Cli {
    /// The server's program.
    #[arg(long, default_value = "target/release/handfast")]
    handfast: PathBuf,
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
    Kills,
}

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    // Servers run in the directories of their data.
    for program in [&mut cli.handfast, &mut cli.xtask] {
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = cli.seed.unwrap_or(now.as_nanos() as u64 % 1_000_000_000);
    println!("seed {seed}");
    let wanted = |part: Part| cli.only.is_empty() || cli.only.contains(&part);
    let mut wrong = Vec::new();
    let mut postgres = match cli.store {
        StoreChoice::Sqlite => None,
        _ => Some(Postgres::start(&cli.xtask)?),
    };
    if wanted(Part::Kills) {
        let plan = Plan {
            seed,
            kills: if cli.short { 6 } else { cli.kills },
            time: Duration::from_secs(if cli.short { 20 } else { cli.seconds }),
            writers: if cli.short { 8 } else { 16 },
            subscribers: if cli.short { 4 } else { 8 },
        };
        let mut rows = Vec::new();
        if cli.store != StoreChoice::Postgres {
            tell("kills on SQLite");
            let database = kills::database(None, seed, "kills");
            let (figures, found) = kills::run(&cli.handfast, &database, None, plan).await?;
            rows.push(figures);
            wrong.extend(found);
        }
        if postgres.is_some() {
            tell("kills on PostgreSQL");
            let database = kills::database(postgres.as_ref(), seed, "kills");
            let (figures, found) = kills::run(&cli.handfast, &database, postgres.as_mut(), plan).await?;
            rows.push(figures);
            wrong.extend(found);
        }
        kills::print(&rows);
    }
    Ok(wrong)
}
