//! What needs no server: checks, runs and cases of a component, in the host that the server has too.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use handfast_domain::field::TraitKinds;
use handfast_rules::{Case, CaseResult, CheckReport, Compiler, Descriptor, Host, HostConfig, Plugin};
use serde_json::json;

use super::{bytes, cases, read};
use crate::cli::client::CliError;
use crate::cli::runtime;

/// A host of our own: no cache, the same limits as the server's.
pub fn host() -> Result<Host, CliError> {
    let mut config = HostConfig::new();
    config.threads = 1;
    if let Ok(program) = std::env::current_exe() {
        config.compiler = Compiler::Child { program, args: vec!["compile-rule".to_owned()] };
    }
    Host::new(config).map_err(|error| CliError::Failed(error.to_string()))
}

/// The traits that a plugin reads are taken to be defined: the server knows which ones really are.
fn traits(report: &CheckReport) -> TraitKinds {
    let reads = report.descriptor.iter().flat_map(|descriptor| &descriptor.reads);
    reads.filter_map(|(path, kind)| Some((path.strip_prefix("traits.")?.to_owned(), *kind))).collect()
}

pub fn check(wasm: &Path, folder: Option<PathBuf>) -> Result<ExitCode, CliError> {
    // A component that stands where `build` puts it has its cases beside that folder.
    let own = wasm.parent().and_then(Path::parent).map(|folder| folder.join("cases"));
    let built = wasm.parent().is_some_and(|parent| parent.ends_with("target"));
    let folder = folder.or_else(|| own.filter(|own| built && own.is_dir()));
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

/// What a component says of itself, if it passes every check.
pub fn described(bytes: &[u8], cases: &[Case]) -> Result<Descriptor, CliError> {
    let host = host()?;
    let report = runtime()?.block_on(async {
        let first = host.check(bytes, cases, &TraitKinds::new()).await;
        let traits = traits(&first);
        match first.ok() || traits.is_empty() {
            true => first,
            false => host.check(bytes, cases, &traits).await,
        }
    });
    if let Some(failed) = report.refusal() {
        let code = failed.code.map(|code| format!(" ({})", code.as_str())).unwrap_or_default();
        return Err(CliError::Gate(format!("{}: {}{code}", failed.name, failed.message)));
    }
    report.descriptor.ok_or_else(|| CliError::Gate("the component does not describe itself".to_owned()))
}

/// Loads the component; a refusal is the author's to mend.
pub async fn load(host: &Host, bytes: &[u8]) -> Result<(Arc<Plugin>, TraitKinds), CliError> {
    let report = host.check(bytes, &[], &TraitKinds::new()).await;
    let traits = traits(&report);
    let plugin = host.load(bytes, &traits).await.map_err(|error| CliError::Gate(error.to_string()))?;
    Ok((plugin, traits))
}

pub fn run(wasm: &Path, leads: &Path, settings: Option<&Path>) -> Result<ExitCode, CliError> {
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

pub fn test(folder: &Path, wasm: Option<PathBuf>, update: bool) -> Result<ExitCode, CliError> {
    let name = folder.canonicalize().ok();
    let name = name.as_deref().unwrap_or(folder).file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let built = || {
        let own = folder.join("target").join(format!("{name}.wasm"));
        if own.is_file() {
            return own;
        }
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
