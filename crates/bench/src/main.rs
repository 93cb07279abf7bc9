//! The benchmark's program. It counts allocations, so that what is timed runs in other processes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use handfast_bench::server::Database;
use handfast_bench::{Failed, attacks, fanout, feed, import, reads, root, rules};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is allocated; servers that are timed are processes of their own, with the product's own allocator.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

#[derive(Parser)]
#[command(name = "handfast-bench", about = "Figures of Handfast beside others, taken in one run")]
struct Cli {
    /// The server's program, built in release.
    #[arg(long, global = true, default_value = "target/release/handfast")]
    handfast: PathBuf,
    /// URL of a PostgreSQL: the parts with a database run there too.
    #[arg(long, global = true)]
    postgres: Option<String>,
    /// Leave SQLite out.
    #[arg(long, global = true, requires = "postgres")]
    only_postgres: bool,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// The rules host for batches of 1, 10, 100 and 500, beside the same card in native Rust.
    Rules(rules::RuleArgs),
    /// An import of synthetic leads with a decision and a snapshot each, on both databases.
    Import(import::ImportArgs),
    /// Six operations over a million leads, beside the same rows without GraphQL, on both databases.
    Reads(reads::ReadArgs),
    /// Events that are numbered by the sequencer, beside the same rows in a plain table, on both databases.
    Feed(feed::FeedArgs),
    /// Stage changes to 1, 100, 1,000 and 5,000 subscribers, with the memory of each.
    Fanout(fanout::FanoutArgs),
    /// Attacks of many kinds while ordinary users ask, on SQLite: what refusals cost, and what the users feel.
    Attacks(attacks::AttackArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failed> {
    let plugins = root().join("target/plugins");
    let schema = format!("bench_{}", std::process::id());
    let mut databases = vec![Database { postgres: None, schema: String::new() }];
    if let Some(url) = cli.postgres {
        databases.push(Database { postgres: Some(url), schema });
    }
    if cli.only_postgres {
        databases.remove(0);
    }
    match cli.part {
        Part::Rules(args) => rules::run(&plugins, &args).await,
        Part::Import(args) => {
            for database in &databases {
                import::run(&cli.handfast, &plugins, database, &args).await?;
            }
            Ok(())
        }
        Part::Reads(args) => {
            for database in &databases {
                reads::run(&cli.handfast, &plugins, database, &args).await?;
            }
            Ok(())
        }
        Part::Feed(args) => {
            for database in &databases {
                feed::run(database, &args).await?;
            }
            Ok(())
        }
        Part::Fanout(args) => fanout::run(&cli.handfast, &args).await,
        Part::Attacks(args) => attacks::run(&cli.handfast, &args).await,
    }
}
