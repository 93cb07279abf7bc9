//! A plugin's cases: leads in, outcomes out, as files that authors write and uploads carry.
//!
//! ```json
//! {
//!   "name": "a strong lead advances",
//!   "settingsFile": "../settings/default.json",
//!   "asOf": "2026-03-01T09:00:00Z",
//!   "leads": [
//!     {
//!       "fields": { "contact.seniority": "VP", "engagement.last-touch": "2026-02-27T12:00:00Z" },
//!       "expect": { "outcome": "ADVANCE", "fit": 40 }
//!     }
//!   ]
//! }
//! ```
//!
//! `expect` names only what matters; instants may be written as RFC 3339. Routers have `owners` too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use handfast_domain::field::{self, CATALOGUE_VERSION, Kind, TraitKinds, Value};
use handfast_domain::snapshot::{OwnerState, PoolState, Snapshot};
use handfast_domain::time::Instant;
use handfast_domain::verdict::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::batch::{Batch, Judged, Routed};
use crate::guest::Sandbox;
use crate::plugin::Plugin;
use crate::report::Code;
use crate::rule::{Context, Rule, RuleKind, Settings};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// The settings, in the file itself …
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub settings: Json,
    /// … or in another one, seen from the case's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_file: Option<String>,
    #[serde(with = "instant")]
    pub as_of: Instant,
    #[serde(default)]
    pub charter: u32,
    pub leads: Vec<CaseLead>,
    /// The pool, for a router.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerState>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseLead {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub fields: BTreeMap<String, Value>,
    /// Parts of the verdict or assignment that must be so, and `status` where it is not OK.
    #[serde(default)]
    pub expect: serde_json::Map<String, Json>,
}

/// How a case went.
#[derive(Clone, Debug)]
pub struct CaseResult {
    pub name: String,
    /// Empty when the case passed.
    pub problems: Vec<CaseProblem>,
    /// The case with what was found in the place of what was expected: the same keys, or all where there were none.
    pub updated: Case,
    /// Fuel for each lead.
    pub fuel: Vec<u64>,
}

#[derive(Clone, Debug)]
pub struct CaseProblem {
    pub code: Code,
    pub message: String,
}

impl Case {
    /// Reads one file, and the settings that it refers to.
    pub fn read(path: &Path) -> Result<Case, String> {
        let mut case: Case = read_json(path)?;
        match &case.settings_file {
            Some(file) if case.settings.is_null() => {
                case.settings = read_json(&path.parent().unwrap_or(Path::new(".")).join(file))?;
            }
            Some(_) => return Err(format!("{}: settings or settingsFile, not both", path.display())),
            None if case.settings.is_null() => {
                return Err(format!("{}: settings or settingsFile is missing", path.display()));
            }
            None => {}
        }
        Ok(case)
    }

    /// Reads `*.json` of a folder, sorted by name.
    pub fn read_dir(folder: &Path) -> Result<Vec<(std::path::PathBuf, Case)>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.into_iter().map(|path| Case::read(&path).map(|case| (path, case))).collect()
    }

    /// As it stands in its file: without the settings that live in another.
    pub fn to_file(&self) -> String {
        let mut case = self.clone();
        if case.settings_file.is_some() {
            case.settings = Json::Null;
        }
        // Plain data: it always serialises.
        serde_json::to_string_pretty(&case).unwrap_or_default() + "\n"
    }

    /// As it travels with an upload: with its settings, without a file's name.
    pub fn inlined(mut self) -> Case {
        self.settings_file = None;
        self
    }

    fn context(&self) -> Context {
        Context { as_of: self.as_of, charter: self.charter, explain: false }
    }
}

impl CaseResult {
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn broken(case: &Case) -> CaseResult {
        let mut result = CaseResult::new(case);
        result.problem(Code::CaseFailed, "the host failed while it ran the case".into());
        result
    }

    fn new(case: &Case) -> CaseResult {
        CaseResult { name: case.name.clone(), problems: Vec::new(), updated: case.clone(), fuel: Vec::new() }
    }

    fn problem(&mut self, code: Code, message: String) {
        self.problems.push(CaseProblem { code, message });
    }

    fn compare(&mut self, lead: usize, found: &serde_json::Map<String, Json>, message: Option<&str>) {
        let own = &mut self.updated.leads[lead];
        let name = own.name.clone().unwrap_or_else(|| format!("lead {}", lead + 1));
        let mut wrong = Vec::new();
        for (key, expected) in &own.expect {
            let found = found.get(key).unwrap_or(&Json::Null);
            if !equal(expected, found) {
                wrong.push(format!("{name}: {key}: expected {expected}, found {found}"));
            }
        }
        if own.expect.is_empty() {
            own.expect = found.clone();
        } else if !wrong.is_empty() {
            let changed = found.get("outcome").is_none() && found.get("target").is_none();
            let keys: Vec<String> = own.expect.keys().cloned().collect();
            own.expect.retain(|key, _| found.contains_key(key));
            for key in keys {
                if let Some(value) = found.get(&key) {
                    own.expect.insert(key, value.clone());
                }
            }
            if changed {
                own.expect.extend(found.get("status").map(|status| ("status".to_owned(), status.clone())));
            }
        }
        let words = message.map(|message| format!(" ({message})")).unwrap_or_default();
        for line in wrong {
            self.problem(Code::CaseFailed, line + &words);
        }
    }
}

/// Runs a case: its settings are checked, its leads judged twice, singly and reversed, and its expectations compared.
pub(crate) fn run(
    sandbox: Sandbox<'_>,
    plugin: &Arc<Plugin>,
    case: &Case,
    traits: &TraitKinds,
) -> CaseResult {
    let mut result = CaseResult::new(case);
    let settings = Settings::from(case.settings.clone());
    if let Err(problems) = plugin.check_settings(sandbox, &settings) {
        for problem in problems {
            result.problem(Code::SettingsInvalid, problem.to_string());
        }
        return result;
    }
    let leads = match snapshots(plugin, case, traits) {
        Ok(leads) => leads,
        Err(message) => {
            result.problem(Code::CaseInvalid, message);
            return result;
        }
    };
    let rule = Rule::Wasm(plugin.clone());
    let batch = Batch { sandbox, rule: &rule, settings: &settings, context: case.context() };
    match plugin.kind {
        RuleKind::Qualify => qualify(&batch, &leads, &mut result),
        RuleKind::Route => route(&batch, &leads, &mut result),
    }
    result
}

fn qualify(batch: &Batch<'_>, leads: &[Arc<Snapshot>], result: &mut CaseResult) {
    let size = leads.len();
    let judged = batch.judge(leads, size);
    if judged != batch.judge(leads, size) {
        result.problem(Code::NotDeterministic, "two runs of the same leads differ in verdict or fuel".into());
    }
    let mut reversed: Vec<_> = leads.to_vec();
    reversed.reverse();
    let mut backwards = batch.judge(&reversed, size);
    backwards.reverse();
    let same = |a: &Judged, b: &Judged| a.status == b.status && a.verdict == b.verdict;
    for (lead, together) in judged.iter().enumerate() {
        let single = batch.judge(&leads[lead..=lead], size);
        let company = if !single.first().is_some_and(|single| same(single, together)) {
            "alone"
        } else if !same(&backwards[lead], together) {
            "in reversed order"
        } else {
            continue;
        };
        let message = format!("lead {} is judged otherwise {company} than together", lead + 1);
        result.problem(Code::NotIndependent, message);
    }
    for (lead, judged) in judged.iter().enumerate() {
        let found = found(judged.status, judged.verdict.as_ref());
        result.compare(lead, &found, judged.message.as_deref());
        result.fuel.push(judged.fuel);
    }
}

fn route(batch: &Batch<'_>, leads: &[Arc<Snapshot>], result: &mut CaseResult) {
    for (at, lead) in leads.iter().enumerate() {
        let routed: Routed = batch.route(lead);
        if routed != batch.route(lead) {
            let message = format!("two runs of lead {} differ in assignment or fuel", at + 1);
            result.problem(Code::NotDeterministic, message);
        }
        let found = found(routed.status, routed.assignment.as_ref());
        result.compare(at, &found, routed.message.as_deref());
        result.fuel.push(routed.fuel);
    }
}

/// What was found, as `expect` would say it.
fn found(status: Status, given: Option<&impl Serialize>) -> serde_json::Map<String, Json> {
    match given.map(serde_json::to_value) {
        Some(Ok(Json::Object(found))) => found,
        _ => serde_json::Map::from_iter([("status".to_owned(), serde_json::json!(status))]),
    }
}

/// The snapshots of a case's leads. A field that nobody knows is a mistake in the case: it would silently stay unknown.
fn snapshots(plugin: &Plugin, case: &Case, traits: &TraitKinds) -> Result<Vec<Arc<Snapshot>>, String> {
    let mut known = traits.clone();
    for (path, kind) in &plugin.descriptor.reads {
        if let Some(key) = path.strip_prefix("traits.") {
            known.entry(key.to_owned()).or_insert(*kind);
        }
    }
    let pool = |owners: &[OwnerState]| PoolState { key: "case".into(), revision: 0, owners: owners.to_vec() };
    case.leads
        .iter()
        .enumerate()
        .map(|(at, lead)| {
            let mut fields = BTreeMap::new();
            for (path, value) in &lead.fields {
                let kind =
                    field::kind_of(path, &known).map_err(|error| format!("lead {}: {error}", at + 1))?;
                let value = readable(value, kind);
                if !value.is(kind) {
                    return Err(format!("lead {}: {path} is {kind}, not {}", at + 1, value.kind()));
                }
                fields.insert(path.clone(), value);
            }
            Ok(Arc::new(Snapshot {
                catalogue: CATALOGUE_VERSION,
                lead: uuid::Uuid::nil(),
                salt: String::new(),
                charter: case.charter,
                fields,
                pool: (plugin.kind == RuleKind::Route).then(|| pool(&case.owners)),
            }))
        })
        .collect()
}

/// An instant may be written as RFC 3339 where milliseconds are meant.
fn readable(value: &Value, kind: Kind) -> Value {
    match (value, kind) {
        (Value::Text(text), Kind::Integer) => {
            Instant::parse(text).map_or_else(|| value.clone(), |at| Value::Integer(at.ms()))
        }
        _ => value.clone(),
    }
}

fn equal(expected: &Json, found: &Json) -> bool {
    let instant = || expected.as_str().and_then(Instant::parse).map(Instant::ms);
    // What the verdict leaves out and what an author writes as an empty list or null are the same.
    let nothing = |value: &Json| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    expected == found
        || found.is_i64() && instant() == found.as_i64()
        || nothing(expected) && nothing(found)
        || expected == "OK" && found.is_null()
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// RFC 3339, or milliseconds.
mod instant {
    use super::*;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Ms(i64),
    }

    pub fn serialize<S: serde::Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Ms(ms) => Ok(Instant(ms)),
            Written::Text(text) => Instant::parse(&text).ok_or_else(|| {
                serde::de::Error::custom("expected RFC 3339, for example 2026-03-01T09:30:00Z")
            }),
        }
    }
}
