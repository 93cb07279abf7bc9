//! `handfast plugin …`: the same host as the server's, for authors at their desk (`desk`), and the way to a running server
//! (`remote`).

mod desk;
mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use handfast_rules::Case;

use super::ServerArgs;
use super::client::CliError;

pub use remote::{DOCUMENTS, deploy, push};

#[derive(Args)]
pub struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Subcommand)]
enum PluginCommand {
    /// Run every check of an upload, and print each one.
    Check {
        /// The component.
        wasm: PathBuf,
        /// Folder of its cases; `cases` in the plugin's folder.
        #[arg(long, value_name = "DIR")]
        cases: Option<PathBuf>,
    },
    /// Judge leads, and print verdicts, reasons and fuel.
    Run {
        /// The component.
        wasm: PathBuf,
        /// A case file: leads with their fields, and owners for a router. What it expects is not looked at.
        #[arg(long, value_name = "FILE")]
        leads: PathBuf,
        /// Settings that replace those of the file.
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
    /// Run a plugin's cases/*.json against the built component.
    Test {
        /// The plugin's folder.
        folder: PathBuf,
        /// The component; the built one of the folder's name without.
        #[arg(long, value_name = "FILE")]
        wasm: Option<PathBuf>,
        /// Write what was found into the case files.
        #[arg(long)]
        update: bool,
    },
    /// Upload a component with its cases, and wait for its checks.
    Push {
        #[command(flatten)]
        server: ServerArgs,
        /// The component.
        wasm: PathBuf,
        /// Key of the team that owns it.
        #[arg(long)]
        team: String,
        /// What you call it; what the plugin says of itself without.
        #[arg(long)]
        label: Option<String>,
        /// Folder of its cases.
        #[arg(long, value_name = "DIR")]
        cases: Option<PathBuf>,
    },
    /// Put a version with settings into a slot, LIVE.
    Deploy {
        #[command(flatten)]
        server: ServerArgs,
        /// sha-256 of the version, as `push` printed it.
        digest: String,
        /// Key of the slot.
        #[arg(long)]
        slot: String,
        /// JSON file.
        #[arg(long, value_name = "FILE")]
        settings: PathBuf,
    },
    /// Go one step back in a slot.
    Rollback {
        #[command(flatten)]
        server: ServerArgs,
        /// Key of the slot.
        #[arg(long)]
        slot: String,
        /// Why; the other teams read it.
        #[arg(long)]
        reason: String,
    },
}

pub fn plugin(args: PluginArgs) -> Result<ExitCode, CliError> {
    match args.command {
        PluginCommand::Check { wasm, cases } => desk::check(&wasm, cases),
        PluginCommand::Run { wasm, leads, settings } => desk::run(&wasm, &leads, settings.as_deref()),
        PluginCommand::Test { folder, wasm, update } => desk::test(&folder, wasm, update),
        PluginCommand::Push { server, wasm, team, label, cases } => {
            let digest = push(&server.client(), &wasm, &team, label.as_deref(), cases.as_deref())?;
            println!("{digest}");
            eprintln!("Next: handfast plugin deploy {digest} --slot <slot> --settings <file>");
            Ok(ExitCode::SUCCESS)
        }
        PluginCommand::Deploy { server, digest, slot, settings } => {
            let id = deploy(&server.client(), &digest, &slot, &read(&settings)?)?;
            println!("{id}");
            eprintln!(
                "{slot} is answered by {digest} from now on. Back: handfast plugin rollback --slot {slot} --reason …"
            );
            Ok(ExitCode::SUCCESS)
        }
        PluginCommand::Rollback { server, slot, reason } => {
            remote::rollback(&server.client(), &slot, &reason)
        }
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::NotFound(format!("{}: {error}", path.display())))
}

fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| CliError::NotFound(format!("{}: {error}", path.display())))
}

fn cases(folder: Option<&Path>) -> Result<Vec<(PathBuf, Case)>, CliError> {
    let Some(folder) = folder else { return Ok(vec![]) };
    if !folder.is_dir() {
        return Err(CliError::NotFound(format!("{} is no folder; cases are its *.json", folder.display())));
    }
    Case::read_dir(folder).map_err(CliError::Failed)
}
