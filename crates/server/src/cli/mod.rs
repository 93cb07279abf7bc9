//! The command line. Data goes to stdout, messages to stderr; exit codes say what kind of failure it was.

mod backup;
mod charter;
pub mod client;
mod demo;
mod export;
mod import;
mod offline;
mod plugin;
mod reevaluate;
pub mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use client::{CliError, Client};

use crate::config::Config;

/// The funnel that marketing and sales own together.
#[derive(Parser)]
#[command(name = "handfast", version, about, max_term_width = 100)]
struct Cli {
    /// Configuration file; `handfast.toml` in the working directory without it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server.
    Serve(serve::ServeArgs),
    /// Start a server on a living funnel: a synthetic company, or a real data set.
    Demo(demo::DemoArgs),
    /// Let a synthetic company live through a season on a server of its own, and check what must hold.
    Sim(demo::SimArgs),
    /// Import a file into a running server.
    Import(import::ImportArgs),
    /// Export the log of a running server.
    Export(export::ExportArgs),
    /// Print the charter of a running server as a document that anybody can read.
    Charter(charter::CharterArgs),
    /// Look again at the leads that wait for a rule, after a new version or charter.
    Reevaluate(reevaluate::ReevaluateArgs),
    /// Make, check, run, test, upload and deploy rules.
    Plugin(plugin::PluginArgs),
    /// Bring the database of a stopped server to this version.
    Migrate(DataArgs),
    /// Copy the data of a running or stopped server into a new folder, as of one moment.
    Backup(backup::BackupArgs),
    /// Put a backup into an empty place, as a new epoch.
    Restore(backup::RestoreArgs),
    /// Check a stopped server's data: database, log, projections, counters, ledger, digests, files.
    Doctor(offline::DoctorArgs),
    /// Run every recorded decision of a stopped server again and compare.
    Verify(offline::VerifyArgs),
    /// Make, list or revoke API tokens of a stopped server.
    Token(offline::TokenArgs),
    /// Print the GraphQL schema.
    Schema,
    /// Print the configuration's defaults, commented.
    Config,
    /// Compiles a rule within limits; the server starts it for uploads.
    #[command(name = "compile-rule", hide = true)]
    CompileRule,
}

/// What the command line asks a server: it is trusted whatever other documents are.
pub fn documents() -> Vec<String> {
    let (export, reevaluate) = (&export::DOCUMENTS, &reevaluate::DOCUMENTS);
    let own = import::DOCUMENTS.iter().chain(export).chain(reevaluate).chain(&charter::DOCUMENTS).copied();
    own.chain(plugin::documents()).map(str::to_owned).collect()
}

/// Where the data is.
#[derive(Args, Clone)]
pub struct DataArgs {
    /// Data directory; from the configuration without it.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Which server to talk to.
#[derive(Args, Clone)]
pub struct ServerArgs {
    /// Where the server answers.
    #[arg(long, env = "HANDFAST_URL", default_value = "http://127.0.0.1:7171")]
    url: String,
    /// An API token; the server prints one at its first start.
    #[arg(long, env = "HANDFAST_TOKEN", hide_env_values = true)]
    token: String,
}

impl ServerArgs {
    pub fn client(&self) -> Client {
        Client::new(&self.url, &self.token)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompileRule = cli.command {
        return handfast_rules::compile_child_main();
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("handfast: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let config = Config::load(cli.config.as_deref(), std::env::vars()).map_err(CliError::Usage)?;
    match cli.command {
        Command::Serve(args) => serve::serve(config, args),
        Command::Migrate(args) => offline::migrate(config, args),
        Command::Demo(args) => demo::demo(config, args),
        Command::Sim(args) => demo::sim(config, args),
        Command::Import(args) => import::import(args),
        Command::Export(args) => export::export(args),
        Command::Charter(args) => charter::charter(args),
        Command::Reevaluate(args) => reevaluate::reevaluate(args),
        Command::Plugin(args) => plugin::plugin(args),
        Command::Backup(args) => backup::backup(config, args),
        Command::Restore(args) => backup::restore(config, args),
        Command::Doctor(args) => offline::doctor(config, args),
        Command::Verify(args) => offline::verify(config, args),
        Command::Token(args) => offline::token(config, args),
        Command::Schema => {
            print!("{}", crate::graphql::sdl());
            Ok(ExitCode::SUCCESS)
        }
        Command::Config => {
            print!("{}", crate::config::DEFAULT);
            Ok(ExitCode::SUCCESS)
        }
        Command::CompileRule => Ok(handfast_rules::compile_child_main()),
    }
}

/// A runtime for the commands that open the data directory themselves.
pub fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().thread_stack_size(crate::http::aside::STACK).build();
    runtime.map_err(|error| CliError::Failed(format!("no runtime: {error}")))
}
