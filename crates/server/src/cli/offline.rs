//! Commands on the data of a stopped server: the lock on the directory keeps them and a server apart.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use handfast_domain::time::DAY;
use indicatif::{ProgressBar, ProgressStyle};

use super::client::CliError;
use super::{DataArgs, runtime, serve};
use crate::app::{App, Opening};
use crate::config::Config;
use crate::flows::doctor::Finding;
use crate::flows::{self, Error, scope};

#[derive(Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Write projections and counters again where they are not as the log says.
    #[arg(long)]
    repair: bool,
    /// Only what needs no replay: database, log, head mark, files, charters.
    #[arg(long, conflicts_with = "repair")]
    quick: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct TokenArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token; its text is printed once.
    Create {
        /// Key of the user that it acts for.
        #[arg(long)]
        user: String,
        /// What it is for.
        #[arg(long, default_value = "command line")]
        name: String,
        /// Scopes; all of them without.
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
        /// Days until it expires; never without.
        #[arg(long)]
        days: Option<i64>,
    },
}

pub fn migrate(config: Config, args: DataArgs) -> Result<ExitCode, CliError> {
    with_app(config, &args, async |app| {
        eprintln!("{} is at the schema of this version.", app.store.dir().display());
        Ok(ExitCode::SUCCESS)
    })
}

pub fn verify(config: Config, args: VerifyArgs) -> Result<ExitCode, CliError> {
    with_app_as(config, &args.data, Opening::Examine, async |app| {
        let bar = progress("decisions run again");
        let tally = flows::verify::all(app, |done| bar.set_position(done)).await.map_err(failed)?;
        bar.finish_and_clear();
        let different: Vec<String> = tally.different.iter().map(|(id, _)| id.to_string()).collect();
        tally.different.iter().for_each(|(id, why)| eprintln!("decision {id}: {why}"));
        if args.json {
            let json = serde_json::json!({
                "identical": tally.identical,
                "sameVerdictOtherEngine": tally.other_engine,
                "notComparable": tally.not_comparable,
                "erased": tally.erased,
                "different": different,
            });
            println!("{json}");
        } else {
            println!("identical                      {}", tally.identical);
            println!("same verdict, other engine     {}", tally.other_engine);
            println!("not comparable (no verdict)    {}", tally.not_comparable);
            println!("erased                         {}", tally.erased);
            println!("different                      {}", different.len());
        }
        Ok(if different.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    })
}

pub fn doctor(config: Config, args: DoctorArgs) -> Result<ExitCode, CliError> {
    with_app_as(config, &args.data, Opening::Examine, async |app| {
        let bar = progress("");
        let told = |what: &str, done| {
            bar.set_message(what.to_owned());
            bar.set_position(done);
        };
        let found = match args.quick {
            true => flows::doctor::examine_quickly(app, told).await,
            false => flows::doctor::examine(app, args.repair, told).await,
        };
        let found = found.map_err(failed)?;
        bar.finish_and_clear();
        let well = found.iter().all(|finding| finding.ok || finding.repaired);
        if args.json {
            println!("{}", serde_json::json!({"ok": well, "findings": found}));
        } else {
            print_findings(&found);
            let mendable = |finding: &&Finding| matches!(finding.name, "projections" | "counters");
            if !args.repair && found.iter().filter(|finding| !finding.ok).any(|finding| mendable(&finding)) {
                eprintln!("`handfast doctor --repair` writes projections and counters again from the log.");
            }
        }
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(1) })
    })
}

pub fn print_findings(found: &[Finding]) {
    for finding in found {
        let word = match (finding.ok, finding.repaired) {
            (true, _) => "ok",
            (false, true) => "mended",
            (false, false) => "WRONG",
        };
        let summary = if finding.ok { finding.summary.as_str() } else { "not as it should be:" };
        println!("{word:<8}{:<13}{summary}", finding.name);
        finding.examples.iter().for_each(|line| println!("        {line}"));
    }
}

pub fn token(config: Config, args: TokenArgs) -> Result<ExitCode, CliError> {
    let TokenCommand::Create { user, name, scopes, days } = args.command;
    with_app(config, &args.data, async |app| {
        let scopes =
            if scopes.is_empty() { scope::ALL.iter().map(|s| (*s).to_owned()).collect() } else { scopes };
        let expires = days.map(|days| app.now().plus(days.saturating_mul(DAY)));
        let text = flows::token::create_offline(app, &user, &name, scopes, expires).await.map_err(failed)?;
        eprintln!("A token of {user}, shown only once:");
        println!("{text}");
        Ok(ExitCode::SUCCESS)
    })
}

fn failed(error: Error) -> CliError {
    match error {
        Error::Refused(refused) => {
            let code = refused.first().map_or("", |one| one.code.as_str());
            CliError::coded(
                code,
                refused.iter().map(|one| one.message.clone()).collect::<Vec<_>>().join("; "),
            )
        }
        other => CliError::Failed(other.to_string()),
    }
}

fn with_app(
    config: Config,
    args: &DataArgs,
    work: impl AsyncFnOnce(&App) -> Result<ExitCode, CliError>,
) -> Result<ExitCode, CliError> {
    with_app_as(config, args, Opening::Serve, work)
}

fn with_app_as(
    mut config: Config,
    args: &DataArgs,
    opening: Opening,
    work: impl AsyncFnOnce(&App) -> Result<ExitCode, CliError>,
) -> Result<ExitCode, CliError> {
    config.server.data_dir = args.data_dir.clone().unwrap_or(config.server.data_dir);
    let dir = &config.server.data_dir;
    if !dir.join("secret").exists() {
        return Err(CliError::NotFound(format!(
            "no Handfast data in {}; `handfast serve` makes it",
            dir.display()
        )));
    }
    runtime()?.block_on(async {
        let app = serve::open_as(&config, opening).await?;
        let result = work(&app).await;
        app.store.close().await;
        result
    })
}

/// A counter on stderr; nothing at all when stderr is no terminal.
fn progress(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    let style = ProgressStyle::with_template("{spinner} {pos} {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
