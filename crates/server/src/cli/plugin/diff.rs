//! What differs between two versions of a rule: what they read, say and can be told, and how their verdicts and their fuel
//! differ on the same cases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use handfast_domain::field::TraitKinds;
use handfast_rules::{Case, CaseResult, settings};
use serde_json::{Value, json};

use super::{bytes, cases, describe, desk};
use crate::cli::client::{CliError, Client};
use crate::cli::runtime;

#[derive(Args)]
pub struct DiffArgs {
    /// A component, or the sha-256 of a version on the server.
    old: String,
    /// What to compare it with.
    new: String,
    /// Folder of cases that both are to judge; both must be files then.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Where the server answers, for a sha-256.
    #[arg(long, env = "HANDFAST_URL", default_value = "http://127.0.0.1:7171")]
    url: String,
    /// An API token, for a sha-256.
    #[arg(long, env = "HANDFAST_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

pub const DOCUMENTS: [&str; 1] = [DESCRIPTION];
const DESCRIPTION: &str = "query($digest: Digest!) { pluginVersion(digest: $digest) { kind description { name version \
    reads { path kind } reasonCodes { code label } settingsSchema } } }";

/// What is compared: a key, and what stands there in words.
type Facts = BTreeMap<String, String>;

struct Side {
    title: String,
    kind: String,
    reads: Facts,
    codes: Facts,
    settings: Facts,
}

/// Exit code 0 when nothing differs, 1 when something does, as `diff` has it.
pub fn diff(args: &DiffArgs) -> Result<ExitCode, CliError> {
    let sides = [side(args, &args.old)?, side(args, &args.new)?];
    let [old, new] = &sides;
    println!("- {}\n+ {}", old.title, new.title);
    let mut differs = false;
    if old.kind != new.kind {
        println!("\nkind: {} became {}", old.kind, new.kind);
        differs = true;
    }
    for (name, old, new) in [
        ("reads", &old.reads, &new.reads),
        ("reason codes", &old.codes, &new.codes),
        ("settings", &old.settings, &new.settings),
    ] {
        differs |= compare(name, old, new);
    }
    if let Some(folder) = &args.cases {
        differs |= judged(args, folder)?;
    }
    if !differs {
        println!("nothing differs");
    }
    Ok(if differs { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn side(args: &DiffArgs, what: &str) -> Result<Side, CliError> {
    if Path::new(what).is_file() {
        return of_file(Path::new(what));
    }
    if is_digest(what) {
        return of_server(args, what);
    }
    Err(CliError::NotFound(format!("{what} is neither a file nor a sha-256 of 64 hexadecimal digits")))
}

fn of_file(path: &Path) -> Result<Side, CliError> {
    let report = describe::report(path)?;
    let (Some(descriptor), Some(kind)) = (&report.descriptor, report.kind) else {
        return Err(CliError::Gate(format!("{}: {}", path.display(), describe::refused(&report))));
    };
    let reads = descriptor.reads.iter().map(|(path, kind)| (path.clone(), kind.to_string()));
    let codes = descriptor.reason_codes.iter().map(|info| (info.code.clone(), info.label.clone()));
    Ok(Side {
        title: format!("{} ({} {})", path.display(), descriptor.name, descriptor.version),
        kind: json!(kind).as_str().unwrap_or_default().to_owned(),
        reads: reads.collect(),
        codes: codes.collect(),
        settings: told(&descriptor.settings_schema),
    })
}

fn of_server(args: &DiffArgs, digest: &str) -> Result<Side, CliError> {
    let token = args.token.as_deref().ok_or_else(|| {
        CliError::Usage(format!("{digest} is asked of a server: give --token or set HANDFAST_TOKEN"))
    })?;
    let answer = Client::new(&args.url, token).query(DESCRIPTION, json!({"digest": digest}))?;
    let version = &answer["pluginVersion"];
    if version.is_null() {
        return Err(CliError::NotFound(format!("{} has no version {digest}", args.url)));
    }
    let description = &version["description"];
    if description.is_null() {
        return Err(CliError::Gate(format!("{digest} was refused before it could describe itself")));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let facts = |list: &Value, key: &str, words: fn(&Value) -> String| -> Facts {
        list.as_array().into_iter().flatten().map(|item| (text(&item[key]), words(item))).collect()
    };
    let schema =
        serde_json::from_str(description["settingsSchema"].as_str().unwrap_or("{}")).unwrap_or_default();
    Ok(Side {
        title: format!("{digest} ({} {})", text(&description["name"]), text(&description["version"])),
        kind: text(&version["kind"]),
        reads: facts(&description["reads"], "path", |field| {
            field["kind"].as_str().unwrap_or_default().to_lowercase().replace('_', "-")
        }),
        codes: facts(&description["reasonCodes"], "code", |code| {
            code["label"].as_str().unwrap_or_default().to_owned()
        }),
        settings: told(&schema),
    })
}

/// Every setting with its form and default.
fn told(schema: &Value) -> Facts {
    let told = settings(schema).into_iter().map(|setting| {
        let default = match &setting.default {
            Some(value) => format!(", {value} by default"),
            None if setting.required => ", required".into(),
            None => String::new(),
        };
        (setting.pointer, format!("{}{default}", setting.form))
    });
    told.collect()
}

fn compare(name: &str, old: &Facts, new: &Facts) -> bool {
    let mut lines = Vec::new();
    for (key, words) in old {
        match new.get(key) {
            None => lines.push(format!("- {key}: {words}")),
            Some(now) if now != words => {
                lines.extend([format!("- {key}: {words}"), format!("+ {key}: {now}")])
            }
            Some(_) => {}
        }
    }
    lines.extend(
        new.iter().filter(|(key, _)| !old.contains_key(*key)).map(|(key, words)| format!("+ {key}: {words}")),
    );
    if !lines.is_empty() {
        println!("\n{name}");
        lines.iter().for_each(|line| println!("  {line}"));
    }
    !lines.is_empty()
}

/// Both judge the same cases; what was expected is not looked at.
fn judged(args: &DiffArgs, folder: &Path) -> Result<bool, CliError> {
    let files = [Path::new(&args.old), Path::new(&args.new)];
    if let Some(none) = files.iter().find(|path| !path.is_file()) {
        return Err(CliError::Usage(format!(
            "{} is no file, and only files can judge cases; leave --cases out to compare descriptions",
            none.display()
        )));
    }
    let mut all: Vec<Case> = cases(Some(folder))?.into_iter().map(|(_, case)| case.inlined()).collect();
    all.iter_mut().flat_map(|case| &mut case.leads).for_each(|lead| lead.expect = serde_json::Map::new());
    let host = desk::host()?;
    let run = async |path: &Path| {
        let (plugin, traits): (_, TraitKinds) = desk::load(&host, &bytes(path)?).await?;
        Ok::<_, CliError>(host.run_cases(&plugin, &all, &traits).await)
    };
    let (old, new) =
        runtime()?.block_on(async { Ok::<_, CliError>((run(files[0]).await?, run(files[1]).await?)) })?;
    let lines: Vec<String> = old.iter().zip(&new).flat_map(|(old, new)| verdicts(old, new)).collect();
    if !lines.is_empty() {
        println!("\nverdicts");
        lines.iter().for_each(|line| println!("  {line}"));
    }
    let mean = |results: &[CaseResult]| {
        let fuel: Vec<u64> = results.iter().flat_map(|result| &result.fuel).copied().collect();
        fuel.iter().sum::<u64>() / fuel.len().max(1) as u64
    };
    let (before, after) = (mean(&old), mean(&new));
    println!("\nfuel a lead\n  - {before}\n  + {after}");
    Ok(!lines.is_empty())
}

/// The keys of each lead's verdict that are not the same.
fn verdicts(old: &CaseResult, new: &CaseResult) -> Vec<String> {
    let problems = |result: &CaseResult| {
        result.problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
    };
    if problems(old) != problems(new) {
        let said = |result| Some(problems(result).join("; ")).filter(|words| !words.is_empty());
        let words = |result| said(result).unwrap_or_else(|| "runs".into());
        return vec![format!("{}\n    - {}\n    + {}", old.name, words(old), words(new))];
    }
    let pairs = old.updated.leads.iter().zip(&new.updated.leads).enumerate();
    let lead = pairs.filter(|(_, (old, new))| old.expect != new.expect).map(|(place, (before, after))| {
        let name = before.name.clone().unwrap_or_else(|| format!("lead {}", place + 1));
        let mut keys: Vec<&String> = before.expect.keys().chain(after.expect.keys()).collect();
        keys.sort();
        keys.dedup();
        let changed = keys.into_iter().filter(|key| before.expect.get(*key) != after.expect.get(*key));
        let lines: Vec<String> = changed
            .map(|key| {
                let value = |from: &serde_json::Map<String, Value>| {
                    from.get(key).map_or("nothing".into(), Value::to_string)
                };
                format!("\n    {key}: {} became {}", value(&before.expect), value(&after.expect))
            })
            .collect();
        format!("{}: {name}{}", old.name, lines.concat())
    });
    lead.collect()
}

pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_with_its_range_and_default_is_one_fact() {
        let schema = json!({"required": ["a"], "properties": {
            "a": {"type": "integer", "minimum": 1}, "b": {"type": "string", "default": "x"}}});
        let told = told(&schema);
        assert_eq!(told["/a"], "integer, at least 1, required");
        assert_eq!(told["/b"], "text, \"x\" by default");
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits_and_nothing_else() {
        assert!(is_digest(&"a1".repeat(32)));
        for other in ["", "scorecard.wasm", &"a".repeat(63), &"g".repeat(64)] {
            assert!(!is_digest(other), "{other}");
        }
    }
}
