//! `handfast plugin …`: the same host as the server's, for authors at their desk, and the way to a running server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use handfast_domain::field::TraitKinds;
use handfast_rules::{Case, CaseResult, CheckReport, Compiler, Host, HostConfig, Plugin};
use serde_json::{Value, json};

use super::client::{CliError, Client};
use super::{ServerArgs, runtime};

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
        PluginCommand::Check { wasm, cases } => check(&wasm, cases),
        PluginCommand::Run { wasm, leads, settings } => run(&wasm, &leads, settings.as_deref()),
        PluginCommand::Test { folder, wasm, update } => test(&folder, wasm, update),
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
        PluginCommand::Rollback { server, slot, reason } => rollback(&server.client(), &slot, &reason),
    }
}

/// A host of our own: no cache, the same limits as the server's.
fn host() -> Result<Host, CliError> {
    let mut config = HostConfig::new();
    config.threads = 1;
    if let Ok(program) = std::env::current_exe() {
        config.compiler = Compiler::Child { program, args: vec!["compile-rule".to_owned()] };
    }
    Host::new(config).map_err(|error| CliError::Failed(error.to_string()))
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

/// The traits that a plugin reads are taken to be defined: the server knows which ones really are.
fn traits(report: &CheckReport) -> TraitKinds {
    let reads = report.descriptor.iter().flat_map(|descriptor| &descriptor.reads);
    reads.filter_map(|(path, kind)| Some((path.strip_prefix("traits.")?.to_owned(), *kind))).collect()
}

fn check(wasm: &Path, folder: Option<PathBuf>) -> Result<ExitCode, CliError> {
    let (bytes, cases) = (bytes(wasm)?, cases(folder.as_deref())?);
    let cases: Vec<Case> = cases.into_iter().map(|(_, case)| case.inlined()).collect();
    let host = host()?;
    let report = runtime()?.block_on(async {
        let first = host.check(&bytes, &[], &TraitKinds::new()).await;
        host.check(&bytes, &cases, &traits(&first)).await
    });
    println!("sha256    {}", report.digest);
    for check in &report.checks {
        let word = if check.ok { "ok" } else { "REFUSED" };
        let code = check.code.map(|code| format!(" ({})", code.as_str())).unwrap_or_default();
        println!("{word:<10}{:<11}{}{code}", check.name, check.message);
    }
    if report.ok() { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::from(6)) }
}

/// Loads the component; a refusal is the author's to mend.
async fn load(host: &Host, bytes: &[u8]) -> Result<(Arc<Plugin>, TraitKinds), CliError> {
    let report = host.check(bytes, &[], &TraitKinds::new()).await;
    let traits = traits(&report);
    let plugin = host.load(bytes, &traits).await.map_err(|error| CliError::Gate(error.to_string()))?;
    Ok((plugin, traits))
}

fn run(wasm: &Path, leads: &Path, settings: Option<&Path>) -> Result<ExitCode, CliError> {
    let (bytes, host) = (bytes(wasm)?, host()?);
    if !leads.is_file() {
        return Err(CliError::NotFound(format!("{} is no file", leads.display())));
    }
    let mut case = Case::read(leads).map_err(CliError::Failed)?.inlined();
    if let Some(path) = settings {
        case.settings = serde_json::from_str(&read(path)?)
            .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
    }
    // Nothing is expected, so whatever is found stands in the result.
    case.leads.iter_mut().for_each(|lead| lead.expect = serde_json::Map::new());
    let result = runtime()?.block_on(async {
        let (plugin, traits) = load(&host, &bytes).await?;
        Ok::<_, CliError>(host.run_cases(&plugin, std::slice::from_ref(&case), &traits).await)
    })?;
    let Some(result) = result.into_iter().next() else { return Ok(ExitCode::SUCCESS) };
    // Settings that are refused judge nobody.
    if result.fuel.is_empty() && !result.passed() {
        report_problems(&result);
        return Ok(ExitCode::from(6));
    }
    for (place, lead) in result.updated.leads.iter().enumerate() {
        let fuel = result.fuel.get(place).copied().unwrap_or(0);
        let name = lead.name.clone().unwrap_or_else(|| format!("lead {}", place + 1));
        println!("{}", json!({"lead": name, "fuel": fuel, "result": lead.expect}));
    }
    report_problems(&result);
    Ok(if result.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn report_problems(result: &CaseResult) {
    for problem in &result.problems {
        eprintln!("  {}: {}", problem.code.as_str(), problem.message);
    }
}

fn test(folder: &Path, wasm: Option<PathBuf>, update: bool) -> Result<ExitCode, CliError> {
    let name = folder.canonicalize().ok();
    let name = name.as_deref().unwrap_or(folder).file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let built = || {
        let dir = std::env::var_os("HANDFAST_PLUGINS").map(PathBuf::from);
        dir.unwrap_or_else(|| PathBuf::from("target/plugins")).join(format!("{name}.wasm"))
    };
    let wasm = wasm.unwrap_or_else(built);
    let (bytes, host) = (bytes(&wasm)?, host()?);
    let files = cases(Some(&folder.join("cases")))?;
    if files.is_empty() {
        return Err(CliError::NotFound(format!("{} has no cases/*.json", folder.display())));
    }
    let all: Vec<Case> = files.iter().map(|(_, case)| case.clone()).collect();
    let results = runtime()?.block_on(async {
        let (plugin, traits) = load(&host, &bytes).await?;
        Ok::<_, CliError>(host.run_cases(&plugin, &all, &traits).await)
    })?;
    let mut failed = 0;
    for ((path, _), result) in files.iter().zip(&results) {
        let leads = result.updated.leads.len().max(1) as u64;
        let fuel = result.fuel.iter().sum::<u64>() / leads;
        let word = if result.passed() { "ok" } else { "FAILED" };
        println!("{word:<8}{:<44}{:>3} leads {fuel:>9} fuel a lead", result.name, result.updated.leads.len());
        report_problems(result);
        if !result.passed() {
            failed += 1;
            if update {
                std::fs::write(path, result.updated.to_file())
                    .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
                eprintln!("  written: {}", path.display());
            }
        }
    }
    println!("{} of {} cases of {name} pass", results.len() - failed, results.len());
    if failed > 0 && !update {
        eprintln!("If the new verdicts are right: handfast plugin test {} --update", folder.display());
    }
    Ok(if failed == 0 || update { ExitCode::SUCCESS } else { ExitCode::from(6) })
}

const UPLOAD: &str = "mutation($input: UploadPluginVersionInput!) { uploadPluginVersion(input: $input) \
    { version { status } errors { message path code } } }";
const VERSION: &str = "query($digest: Digest!) { pluginVersion(digest: $digest) { name label status checks { name ok code message } } }";
const DEPLOY: &str = "mutation($input: DeployPluginInput!) { deployPlugin(input: $input) \
    { deployment { uuid } errors { message path code } } }";
const ROLLBACK: &str = "mutation($input: RollbackInput!) { rollback(input: $input) \
    { deployment { versionDigest version { name label } } errors { message path code } } }";

pub const DOCUMENTS: [&str; 4] = [UPLOAD, VERSION, DEPLOY, ROLLBACK];

/// Uploads a component and waits for its checks; answers its digest.
pub fn push(
    client: &Client,
    wasm: &Path,
    team: &str,
    label: Option<&str>,
    folder: Option<&Path>,
) -> Result<String, CliError> {
    let bytes = bytes(wasm)?;
    let digest = client.put_blob("plugin", bytes.len() as u64, bytes.as_slice())?;
    let cases = cases(folder)?.into_iter().map(|(path, case)| {
        serde_json::to_string(&case.inlined())
            .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
    });
    let cases: Vec<String> = cases.collect::<Result<_, _>>()?;
    let input = json!({"digest": digest, "team": team, "label": label, "cases": cases});
    client.mutate("uploadPluginVersion", UPLOAD, json!({"input": input}))?;
    loop {
        let version = client.query(VERSION, json!({"digest": digest}))?["pluginVersion"].clone();
        match version["status"].as_str() {
            Some("VALIDATING") => std::thread::sleep(std::time::Duration::from_millis(100)),
            Some("VALIDATED") => return Ok(digest),
            _ => return Err(CliError::Gate(refusal(&version))),
        }
    }
}

/// The check that refused a version, in a sentence.
fn refusal(version: &Value) -> String {
    let failed = version["checks"].as_array().into_iter().flatten().find(|check| check["ok"] == json!(false));
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    match failed {
        Some(check) => {
            format!("{}: {} ({})", text(check, "name"), text(check, "message"), text(check, "code"))
        }
        None => format!("the version is {}", version["status"]),
    }
}

/// Makes a version answer for a slot; answers the deployment's id.
pub fn deploy(client: &Client, digest: &str, slot: &str, settings: &str) -> Result<String, CliError> {
    let input = json!({"slot": slot, "digest": digest, "settings": settings, "mode": "LIVE"});
    let payload = client.mutate("deployPlugin", DEPLOY, json!({"input": input}))?;
    Ok(payload["deployment"]["uuid"].as_str().unwrap_or_default().to_owned())
}

fn rollback(client: &Client, slot: &str, reason: &str) -> Result<ExitCode, CliError> {
    let payload = client.mutate("rollback", ROLLBACK, json!({"input": {"slot": slot, "reason": reason}}))?;
    match payload["deployment"]["versionDigest"].as_str() {
        Some(digest) => println!("{digest}"),
        None => eprintln!("Nothing was deployed in {slot} before: the built-in rule holds every lead."),
    }
    Ok(ExitCode::SUCCESS)
}
