//! `handfast plugin …`: folders and components (`new`), the same host as the server's, for authors at their desk (`desk`,
//! `describe`, `diff`), the way to a running server (`remote`) and questions to it (`ask`).

mod ask;
mod backtest;
mod describe;
mod desk;
mod diff;
mod new;
mod registry;
mod remote;
mod signature;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use handfast_rules::Case;
use serde_json::json;

use super::ServerArgs;
use super::client::CliError;

pub use remote::{deploy, push};

/// What these commands ask a server.
pub fn documents() -> impl Iterator<Item = &'static str> {
    let own = remote::DOCUMENTS.into_iter().chain(backtest::DOCUMENTS).chain(ask::DOCUMENTS);
    own.chain(diff::DOCUMENTS).chain(signature::DOCUMENTS)
}

#[derive(Args)]
pub struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Subcommand)]
enum PluginCommand {
    /// Make a folder to start from: a rule with its cases, settings and schema that builds and passes as it comes.
    New {
        /// Lower-case letters, digits and dashes, for example fleet-size.
        name: String,
        /// The language to write it in.
        #[arg(long, value_enum)]
        lang: new::Lang,
        /// What it decides.
        #[arg(long, value_enum, default_value = "qualifier")]
        kind: new::Decides,
        /// Where to make it; its name in the working directory without.
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Make the component of a folder, `target/NAME.wasm`, and print its path.
    Build {
        /// The rule's folder.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Write it there, too.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Run every check of an upload, and print each one.
    Check {
        /// The component.
        wasm: PathBuf,
        /// Folder of its cases; `cases` in the plugin's folder.
        #[arg(long, value_name = "DIR")]
        cases: Option<PathBuf>,
    },
    /// Tell what a component reads, says and can be told: fields, reason codes, settings with range, default and meaning.
    #[command(visible_alias = "settings")]
    Describe {
        /// The component.
        wasm: PathBuf,
        /// As one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Compare two versions: what they read, say and can be told, and with --cases their verdicts and fuel.
    Diff(diff::DiffArgs),
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
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// The component; without, what `build` made of the folder, or the built one of its name.
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
        /// What you call it; what its signature says without, else what the plugin says of itself.
        #[arg(long)]
        label: Option<String>,
        /// Folder of its cases.
        #[arg(long, value_name = "DIR")]
        cases: Option<PathBuf>,
        /// Its signature; the file beside it that ends in .minisig, if there is one, without.
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
    },
    /// Put a version with settings into a slot: beside what counts, for a share of the leads, or for all of them.
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
        #[command(flatten)]
        mode: ModeArgs,
        /// Why, for the other teams.
        #[arg(long)]
        why: Option<String>,
        /// Why a version may go in that is older than what was LIVE there; it is recorded.
        #[arg(long, value_name = "REASON")]
        allow_downgrade: Option<String>,
    },
    /// Let a SHADOW or CANARY judge more leads.
    Promote {
        #[command(flatten)]
        server: ServerArgs,
        /// Identity of the deployment, as `deploy` printed it.
        deployment: String,
        #[command(flatten)]
        mode: ModeArgs,
        /// Why, for the other teams.
        #[arg(long)]
        why: Option<String>,
    },
    /// Agree for your side to a deployment that waits for it.
    Approve {
        #[command(flatten)]
        server: ServerArgs,
        /// Identity of the deployment.
        deployment: String,
        /// What you have to say to it.
        #[arg(long)]
        comment: Option<String>,
    },
    /// Say no to a deployment that waits for approval.
    Decline {
        #[command(flatten)]
        server: ServerArgs,
        /// Identity of the deployment.
        deployment: String,
        /// Why not.
        #[arg(long)]
        reason: String,
    },
    /// Try a version on the leads whose outcome is known, beside what answers for the slot today.
    Backtest(Box<backtest::BacktestArgs>),
    /// Tell what answers for each slot, and since when.
    Status {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the versions on a server, the newest first.
    Versions {
        #[command(flatten)]
        server: ServerArgs,
        /// Only those of a rule, by the name that it gives itself.
        #[arg(long)]
        name: Option<String>,
        /// Only those of a team.
        #[arg(long)]
        team: Option<String>,
    },
    /// Tell why a lead stands where it stands: its latest evaluation, gate by gate, in words.
    Explain {
        #[command(flatten)]
        server: ServerArgs,
        /// E-mail, the id of another system (crm:4711), UUID, or the API's id.
        lead: String,
    },
    /// Go one step back in a slot, or end a CANARY or SHADOW.
    Rollback {
        #[command(flatten)]
        server: ServerArgs,
        /// Key of the slot.
        #[arg(long)]
        slot: String,
        /// Identity of the deployment; what is LIVE without.
        #[arg(long)]
        deployment: Option<String>,
        /// Why; the other teams read it.
        #[arg(long)]
        reason: String,
    },
    /// Pass a component on through a registry of containers, with its cases, settings and signature.
    Publish(registry::PublishArgs),
    /// Take a component from a registry of containers, and check it against its digest.
    Pull(registry::PullArgs),
    /// Make a key that signs plugins, in the format of minisign.
    Keygen(signature::KeygenArgs),
    /// Sign a component: its bytes, name, version and a serial number that only rises.
    Sign(signature::SignArgs),
    /// Let a key sign for a team.
    RegisterKey(signature::RegisterKeyArgs),
    /// Take a key's word away. What is live goes on.
    RevokeKey(signature::RevokeKeyArgs),
    /// List the keys of teams.
    Keys(signature::KeysArgs),
}

/// Whose leads a version judges.
#[derive(Args)]
#[group(multiple = false)]
pub struct ModeArgs {
    /// Beside what counts: recorded, and moves no lead.
    #[arg(long)]
    shadow: bool,
    /// For so many percent of the leads, as in 10 or 2.5.
    #[arg(long, value_name = "PERCENT", value_parser = basis_points)]
    canary: Option<i32>,
    /// For all leads; what happens without a mode.
    #[arg(long)]
    live: bool,
}

impl ModeArgs {
    fn read(&self) -> (&'static str, Option<i32>) {
        match (self.shadow, self.canary) {
            (true, _) => ("SHADOW", None),
            (_, Some(share)) => ("CANARY", Some(share)),
            _ => ("LIVE", None),
        }
    }
}

fn basis_points(percent: &str) -> Result<i32, String> {
    let percent: f64 =
        percent.trim_end_matches('%').parse().map_err(|_| "a number of percent, as in 10".to_owned())?;
    let share = (percent * 100.0).round();
    if (1.0..=9_999.0).contains(&share) { Ok(share as i32) } else { Err("0.01 to 99.99 percent".to_owned()) }
}

pub fn plugin(args: PluginArgs) -> Result<ExitCode, CliError> {
    match args.command {
        PluginCommand::New { name, lang, kind, folder } => {
            new::new(&name, lang, kind, folder.as_deref().unwrap_or(Path::new(&name)))
        }
        PluginCommand::Build { folder, out } => new::build(&folder, out.as_deref()),
        PluginCommand::Check { wasm, cases } => desk::check(&wasm, cases),
        PluginCommand::Describe { wasm, json } => describe::describe(&wasm, json),
        PluginCommand::Diff(args) => diff::diff(&args),
        PluginCommand::Status { server } => ask::status(&server.client()),
        PluginCommand::Versions { server, name, team } => {
            ask::versions(&server.client(), name.as_deref(), team.as_deref())
        }
        PluginCommand::Explain { server, lead } => ask::explain(&server.client(), &lead),
        PluginCommand::Run { wasm, leads, settings } => desk::run(&wasm, &leads, settings.as_deref()),
        PluginCommand::Test { folder, wasm, update } => desk::test(&folder, wasm, update),
        PluginCommand::Push { server, wasm, team, label, cases, signature } => {
            let signed = registry::signature(&wasm, signature.as_deref())?;
            let label = label.or_else(|| signed.as_ref().map(|signed| signed.statement.version.clone()));
            let signature = signed.map(|signed| signed.text);
            let digest = push(&server.client(), &wasm, &team, label.as_deref(), cases.as_deref(), signature)?;
            println!("{digest}");
            eprintln!("Next: handfast plugin deploy {digest} --slot <slot> --settings <file>");
            Ok(ExitCode::SUCCESS)
        }
        PluginCommand::Deploy { server, digest, slot, settings, mode, why, allow_downgrade } => {
            let settings = read(&settings)?;
            let (mode, share) = mode.read();
            let input = json!({"slot": slot, "digest": digest, "settings": settings, "mode": mode, "share": share, "why": why,
                "allowDowngrade": allow_downgrade});
            remote::tell(&remote::deploy_as(&server.client(), input)?)
        }
        PluginCommand::Backtest(args) => backtest::backtest(*args),
        PluginCommand::Promote { server, deployment, mode, why } => {
            let (mode, share) = mode.read();
            remote::tell(&remote::promote(&server.client(), &deployment, mode, share, why)?)
        }
        PluginCommand::Approve { server, deployment, comment } => {
            remote::tell(&remote::approve(&server.client(), &deployment, comment)?)
        }
        PluginCommand::Decline { server, deployment, reason } => {
            remote::tell(&remote::decline(&server.client(), &deployment, &reason)?)
        }
        PluginCommand::Rollback { server, slot, deployment, reason } => {
            remote::rollback(&server.client(), &slot, deployment, &reason)
        }
        PluginCommand::Publish(args) => registry::publish(args),
        PluginCommand::Pull(args) => registry::pull(args),
        PluginCommand::Keygen(args) => signature::keygen(args),
        PluginCommand::Sign(args) => signature::sign(args),
        PluginCommand::RegisterKey(args) => signature::register(args),
        PluginCommand::RevokeKey(args) => signature::revoke(args),
        PluginCommand::Keys(args) => signature::keys(args),
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
