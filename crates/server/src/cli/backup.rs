//! `handfast backup` and `handfast restore`: a workspace as of one moment into a folder, and back as a new epoch.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use handfast_domain::time::Clock;
use handfast_store::backup::{self, BackupError, BackupOptions, Manifest, RestoreOptions};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::client::CliError;
use super::{DataArgs, offline, runtime, serve};
use crate::app::{Opening, SystemClock};
use crate::config::Config;
use crate::flows;

const BACKUP_HELP: &str = "\
The server goes on while its backup is taken: run this on its machine, as its user, with its configuration. Everything is as
of one moment, that of the manifest's position; what is acknowledged before the command begins is in it.

The folder holds the database, uploaded files, manifest.json with the sha-256 of each, and the root secret. Until all of it is
on disk it is called NAME.partial; a run that was cut off leaves that name, and the next one takes it over.

WHOEVER HAS A BACKUP HAS EVERYTHING: the contact data of everybody, and with the root secret the signing secrets of webhooks
and the means to forge cursors and compiled rules. API tokens are in it as hashes only, and stay secret. Its files can be read
by you alone; encrypt what leaves the machine. --without-secret leaves the root secret out: such a backup cannot be restored
without `--secret FILE`, a copy of the file `secret` that you keep elsewhere. The contact data is in it all the same.

A backup knows nothing of what was erased after it: erase it again after a restore, and keep backups no longer than you must.";

const RESTORE_HELP: &str = "\
Checks manifest and digests, puts everything into an empty data directory (with [database] url: into a schema that is empty or
not there, and the secret into the directory), begins a new epoch, and looks at the result as `handfast doctor --quick` does.

A new epoch means that cursors from before are refused with CURSOR_EPOCH_CHANGED: subscribers read again instead of missing
what was lost. Nothing is overwritten. A run that was cut off leaves nothing that a server would start on; run it again.";

#[derive(Args)]
#[command(after_long_help = BACKUP_HELP)]
pub struct BackupArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The folder to make; it must not exist.
    #[arg(long, value_name = "NEW-FOLDER")]
    to: PathBuf,
    /// Leave the root secret out; keep a copy of it elsewhere.
    #[arg(long)]
    without_secret: bool,
    /// Print the manifest as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_long_help = RESTORE_HELP)]
pub struct RestoreArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The folder that `handfast backup` made.
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// The root secret of a backup that was made without it.
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// Only check that the backup is as it was made; restore nothing.
    #[arg(long)]
    check: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub fn backup(config: Config, args: BackupArgs) -> Result<ExitCode, CliError> {
    let options = BackupOptions {
        dir: args.data.data_dir.unwrap_or(config.server.data_dir),
        postgres: config.database.postgres(),
        to: args.to,
        secret: !args.without_secret,
        product: env!("CARGO_PKG_VERSION").to_owned(),
        now: SystemClock.now(),
    };
    let bar = bar();
    let made =
        runtime()?.block_on(backup::backup(options, &mut |what, done, all| show(&bar, what, done, all)));
    bar.finish_and_clear();
    let (folder, manifest) = made.map_err(failed)?;
    if args.json {
        println!("{}", json!({"folder": folder, "manifest": manifest}));
    } else {
        println!("{}", folder.display());
        eprintln!("{}", told(&manifest));
    }
    if manifest.secret {
        eprintln!("It holds the root secret and contact data: encrypt it before it leaves this machine.");
    } else {
        eprintln!(
            "It does not hold the root secret: without a copy of the file `secret` it cannot be restored."
        );
    }
    eprintln!("Next: `handfast restore --from {} --check` where you keep it.", folder.display());
    Ok(ExitCode::SUCCESS)
}

pub fn restore(mut config: Config, args: RestoreArgs) -> Result<ExitCode, CliError> {
    let bar = bar();
    let mut progress = |what: &str, done, all| show(&bar, what, done, all);
    if args.check {
        let checked = backup::check(&args.from, &mut progress);
        bar.finish_and_clear();
        let manifest = checked.map_err(failed)?;
        match args.json {
            true => println!("{}", json!({"ok": true, "manifest": manifest})),
            false => println!("{} is as it was made: {}", args.from.display(), told(&manifest)),
        }
        return Ok(ExitCode::SUCCESS);
    }
    config.server.data_dir = args.data.data_dir.unwrap_or(config.server.data_dir);
    let options = RestoreOptions {
        from: args.from,
        dir: config.server.data_dir.clone(),
        postgres: config.database.postgres(),
        secret: args.secret,
    };
    runtime()?.block_on(async {
        let restored = backup::restore(options, &mut progress).await;
        bar.finish_and_clear();
        let manifest = restored.map_err(failed)?;
        let app = serve::open_as(&config, Opening::Serve).await?;
        let found = flows::doctor::examine_quickly(&app, |what, done| show(&bar, what, done, 0)).await;
        bar.finish_and_clear();
        app.store.close().await;
        let found = found.map_err(|error| CliError::Failed(error.to_string()))?;
        let well = found.iter().all(|finding| finding.ok);
        let dir = config.server.data_dir.display();
        if args.json {
            println!("{}", json!({"ok": well, "manifest": manifest, "findings": found}));
        } else {
            offline::print_findings(&found);
            println!("{dir} holds {}", told(&manifest));
        }
        eprintln!("A new epoch has begun: cursors from before are refused, and their holders read again.");
        eprintln!("Next: `handfast serve --data-dir {dir}`; `handfast doctor` looks at everything, and takes longer.");
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(1) })
    })
}

fn told(manifest: &Manifest) -> String {
    format!(
        "{} leads, {} events up to position {}, {} MB, as of {}",
        manifest.rows("lead"),
        manifest.rows("event"),
        manifest.position,
        manifest.size().div_ceil(1_000_000),
        manifest.made_at
    )
}

fn failed(error: BackupError) -> CliError {
    match error {
        BackupError::NotFound(why) => CliError::NotFound(why),
        BackupError::Exists(why) => CliError::Conflict(why),
        BackupError::Damaged(why) | BackupError::Unfit(why) => CliError::Failed(why),
        BackupError::Store(error) => CliError::Failed(error.to_string()),
    }
}

/// Bytes on stderr; nothing where that is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, what: &str, done: u64, all: u64) {
    bar.set_length(all.max(done));
    bar.set_position(done);
    bar.set_message(what.to_owned());
}
