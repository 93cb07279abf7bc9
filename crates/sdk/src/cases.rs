//! A rule's `cases/*.json` natively: the same files that `handfast plugin test` runs in wasm, with the same verdicts, in a
//! debugger if you like. What only the host knows is checked there: the JSON Schema, field paths, fuel.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Assignment, Context, Descriptor, Kind, Leads, Missing, Outcome, Owner, Qualifier, Reason, Router,
    SettingsProblem, Target, Verdict, parse_settings,
};

/// Runs the cases of a rule as a test: `cases!(qualifier MyRule)` or `cases!(router MyRule)`. They stand in the folder
/// `cases` beside Cargo.toml.
#[macro_export]
macro_rules! cases {
    (qualifier $rule:ty) => {
        $crate::__cases!($crate::cases::qualifier::<$rule>);
    };
    (router $rule:ty) => {
        $crate::__cases!($crate::cases::router::<$rule>);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($run:expr) => {
        #[test]
        fn every_case_holds() {
            let folder = ::std::concat!(::std::env!("CARGO_MANIFEST_DIR"), "/cases");
            if let Err(problems) = $run(::std::path::Path::new(folder)) {
                ::std::panic!("{problems}");
            }
        }
    };
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    settings: Value,
    settings_file: Option<String>,
    as_of: Value,
    #[serde(default)]
    charter: u32,
    leads: Vec<Lead>,
    #[serde(default)]
    owners: Vec<CaseOwner>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lead {
    name: Option<String>,
    fields: BTreeMap<String, Value>,
    #[serde(default)]
    expect: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseOwner {
    id: String,
    team: String,
    territories: Vec<String>,
    available: bool,
    open_leads: u32,
    capacity: u32,
    weight: u32,
    assigned: u64,
    last_assigned: Option<i64>,
}

/// Runs all cases of a folder; answers every problem, one a line.
pub fn qualifier<Q: Qualifier>(folder: &Path) -> Result<(), String> {
    let descriptor = Q::describe();
    all(folder, |case, context| {
        let settings: Q::Settings = settings(case, Q::check)?;
        let rows = rows(&descriptor, &case.leads)?;
        let judge = |rows: &[Value]| -> Result<Vec<Found>, String> {
            let leads = Leads::from_json(&descriptor.reads, rows)?;
            let verdicts = catch_unwind(AssertUnwindSafe(|| Q::evaluate(&settings, context, &leads)));
            let Ok(verdicts) = verdicts else { return Ok(vec![Found::status("TRAPPED"); rows.len()]) };
            if verdicts.len() != rows.len() {
                return Err(format!("{} verdicts for {} leads", verdicts.len(), rows.len()));
            }
            Ok(verdicts.into_iter().map(|verdict| Found::verdict(verdict, &descriptor)).collect())
        };
        let mut found = Vec::new();
        // Each alone, as the host asks after a failure, so that one panic does not hide the others.
        for row in &rows {
            found.extend(judge(std::slice::from_ref(row))?);
        }
        let failed = found.iter().any(|found| found.message.is_some());
        if !failed && judge(&rows)? != found {
            return Err("a lead is judged otherwise alone than together with the others".into());
        }
        Ok(found)
    })
}

pub fn router<R: Router>(folder: &Path) -> Result<(), String> {
    let descriptor = R::describe();
    all(folder, |case, context| {
        let settings: R::Settings = settings(case, R::check)?;
        let owners: Vec<Owner> = case.owners.iter().map(CaseOwner::owner).collect();
        let assign = |row: &Value| -> Result<Found, String> {
            let lead = Leads::from_json(&descriptor.reads, std::slice::from_ref(row))?;
            let given = catch_unwind(AssertUnwindSafe(|| R::assign(&settings, context, &lead, &owners)));
            Ok(match given {
                Ok(given) => Found::assignment(given, &descriptor, &owners),
                Err(_) => Found::status("TRAPPED"),
            })
        };
        rows(&descriptor, &case.leads)?.iter().map(assign).collect()
    })
}

/// What a lead got, as `expect` would say it.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    keys: Map<String, Value>,
    message: Option<String>,
}

fn all(folder: &Path, run: impl Fn(&Case, &Context) -> Result<Vec<Found>, String>) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{} has no *.json", folder.display()));
    }
    let mut problems = Vec::new();
    for path in &paths {
        let case = read(path)?;
        let as_of = instant(&case.as_of).ok_or_else(|| {
            format!("{}: asOf: expected RFC 3339, for example 2026-03-01T09:30:00Z", path.display())
        })?;
        let context = Context { as_of, charter: case.charter, explain: false };
        match run(&case, &context) {
            Ok(found) => {
                let leads = case.leads.iter().zip(&found).enumerate();
                let wrong = leads.flat_map(|(place, (lead, found))| lead.differs(place, found));
                problems.extend(wrong.map(|problem| format!("{}: {problem}", case.name)));
            }
            Err(problem) => problems.push(format!("{}: {problem}", case.name)),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn read(path: &Path) -> Result<Case, String> {
    let text =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let wrong = |error: serde_json::Error| format!("{}: {error}", path.display());
    let mut case: Case = serde_json::from_str(&text(path)?).map_err(wrong)?;
    if let Some(file) = &case.settings_file {
        let file = path.parent().unwrap_or(Path::new(".")).join(file);
        let read = text(&file)?;
        case.settings =
            serde_json::from_str(&read).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(case)
}

/// As in wasm: serde reads the text, then the rule's own checks.
fn settings<S: serde::de::DeserializeOwned>(
    case: &Case,
    check: impl Fn(&S) -> Vec<SettingsProblem>,
) -> Result<S, String> {
    let settings = parse_settings(&case.settings.to_string())?;
    let problems: Vec<String> = check(&settings)
        .into_iter()
        .map(|SettingsProblem { pointer, message }| {
            format!("settings: {}: {message}", if pointer.is_empty() { "/" } else { &pointer })
        })
        .collect();
    if problems.is_empty() { Ok(settings) } else { Err(problems.join("; ")) }
}

/// The declared fields of each lead; an instant may be written as RFC 3339 where an integer is meant.
fn rows(descriptor: &Descriptor, leads: &[Lead]) -> Result<Vec<Value>, String> {
    let row = |lead: &Lead| {
        let declared = descriptor.reads.iter().filter_map(|field| {
            let value = lead.fields.get(&field.path)?;
            let value = match (field.kind, value) {
                (Kind::Integer, Value::String(_)) => {
                    instant(value).map_or_else(|| value.clone(), Value::from)
                }
                _ => value.clone(),
            };
            Some((field.path.clone(), value))
        });
        Value::Object(declared.collect())
    };
    Ok(leads.iter().map(row).collect())
}

fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()),
        value => value.as_i64(),
    }
}

impl Lead {
    fn differs(&self, place: usize, found: &Found) -> Vec<String> {
        let name = self.name.clone().unwrap_or_else(|| format!("lead {}", place + 1));
        let words = found.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default();
        let expected = self.expect.iter().map(|(key, expected)| (key, expected, found.keys.get(key)));
        expected
            .filter(|(_, expected, found)| !equal(expected, found.unwrap_or(&Value::Null)))
            .map(|(key, expected, found)| {
                let found = found.unwrap_or(&Value::Null);
                format!("{name}: {key}: expected {expected}, found {found}{words}")
            })
            .collect()
    }
}

/// As the host compares: what a verdict leaves out is null or an empty list, and OK is no status.
fn equal(expected: &Value, found: &Value) -> bool {
    let nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    expected == found
        || found.is_i64() && expected.is_string() && instant(expected) == found.as_i64()
        || nothing(expected) && nothing(found)
        || expected == "OK" && found.is_null()
}

impl Found {
    fn status(status: &str) -> Found {
        let keys = Map::from_iter([("status".to_owned(), json!(status))]);
        Found { keys, message: Some(status.to_lowercase()) }
    }

    fn failed(status: &str, message: String) -> Found {
        Found { message: Some(message), ..Found::status(status) }
    }

    fn verdict(verdict: Verdict, descriptor: &Descriptor) -> Found {
        let Verdict { outcome, fit, engagement, confidence, reasons, missing, review_at, trace: _ } = verdict;
        let (word, text, disposition) = match outcome {
            Outcome::Advance => ("ADVANCE", None, None),
            Outcome::Hold => ("HOLD", None, None),
            Outcome::Review(text) => ("REVIEW", Some(text), None),
            Outcome::Recycle(reason) => ("RECYCLE", None, Some(reason)),
            Outcome::Disqualify(reason) => ("DISQUALIFY", None, Some(reason)),
            Outcome::Fault(words) => return Found::failed("FAULT", words),
        };
        let told = || {
            points("fit", fit)?;
            points("engagement", engagement)?;
            if confidence > 10_000 {
                return Err(format!("confidence {confidence}; it is 0 to 10000 basis points"));
            }
            let reasons = told_reasons(&reasons, descriptor)?;
            let missing = missing.iter().map(|Missing { field, worth }| {
                points("worth", *worth)?;
                Ok(json!({"field": path(*field, descriptor)?, "worth": worth}))
            });
            let missing = missing.collect::<Result<Vec<Value>, String>>()?;
            Ok(json!({
                "outcome": word, "text": text, "disposition": disposition, "fit": fit, "engagement": engagement,
                "confidence": confidence, "reasons": reasons, "missing": missing, "reviewAt": review_at,
            }))
        };
        Found::told(told())
    }

    fn assignment(given: Assignment, descriptor: &Descriptor, owners: &[Owner]) -> Found {
        let Assignment { target, priority, reasons, trace: _ } = given;
        let target = match target {
            Target::Owner(id) if owners.iter().any(|owner| owner.id == id) => json!({"owner": id}),
            Target::Owner(id) => {
                return Found::failed("INVALID_OUTPUT", format!("owner {id:?} is not in the pool"));
            }
            Target::Queue(key) => json!({"queue": key}),
            Target::Fault(words) => return Found::failed("FAULT", words),
        };
        let told = || {
            points("priority", priority)?;
            let reasons = told_reasons(&reasons, descriptor)?;
            Ok(json!({"target": target, "priority": priority, "reasons": reasons}))
        };
        Found::told(told())
    }

    fn told(told: Result<Value, String>) -> Found {
        match told {
            Ok(Value::Object(mut keys)) => {
                keys.retain(|_, value| !value.is_null());
                Found { keys, message: None }
            }
            Ok(_) => Found::status("OK"),
            Err(message) => Found::failed("INVALID_OUTPUT", message),
        }
    }
}

impl CaseOwner {
    fn owner(&self) -> Owner {
        Owner {
            id: self.id.clone(),
            team: self.team.clone(),
            territories: self.territories.clone(),
            available: self.available,
            open_leads: self.open_leads,
            capacity: self.capacity,
            weight: self.weight,
            assigned: self.assigned,
            last_assigned: self.last_assigned,
        }
    }
}

fn told_reasons(reasons: &[Reason], descriptor: &Descriptor) -> Result<Vec<Value>, String> {
    /// As many as the host takes.
    const REASONS: usize = 32;
    if reasons.len() > REASONS {
        return Err(format!("{} reasons, the limit is {REASONS}", reasons.len()));
    }
    let told = |reason: &Reason| {
        let declared = descriptor.reason_codes.len();
        let info = descriptor.reason_codes.get(usize::from(reason.code));
        let info = info.ok_or_else(|| format!("reason code {} of {declared} declared", reason.code))?;
        points("a reason's weight", reason.weight)?;
        let mut told = json!({"code": info.code, "label": info.label, "weight": reason.weight});
        if let Some(field) = reason.field {
            told["field"] = json!(path(field, descriptor)?);
        }
        Ok(told)
    };
    reasons.iter().map(told).collect()
}

fn path(field: u16, descriptor: &Descriptor) -> Result<&str, String> {
    let declared = descriptor.reads.get(usize::from(field)).map(|field| field.path.as_str());
    declared.ok_or_else(|| format!("field {field} of {} declared", descriptor.reads.len()))
}

fn points(what: &str, points: i32) -> Result<(), String> {
    if (-1000..=1000).contains(&points) {
        return Ok(());
    }
    Err(format!("{what} {points}; points lie between -1000 and 1000"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate as handfast_sdk;
    use handfast_sdk::{codes, reads};

    reads! {
        struct Row {
            employees: integer = "company.employees",
            touched: integer = "engagement.last-touch",
        }
    }

    codes! {
        enum Code {
            Large = "large", "Large", "The account is large.";
        }
    }

    #[derive(Deserialize)]
    struct Settings {
        floor: i64,
        #[serde(default)]
        company: bool,
    }

    struct Floor;

    impl Qualifier for Floor {
        type Settings = Settings;

        fn describe() -> Descriptor {
            Descriptor {
                name: "floor".into(),
                version: "1".into(),
                summary: String::new(),
                settings_schema: "{}".into(),
                reason_codes: Code::all(),
                reads: Row::reads(),
            }
        }

        fn check(settings: &Settings) -> Vec<SettingsProblem> {
            let negative =
                (settings.floor < 0).then(|| SettingsProblem::new("/floor", "must not be negative"));
            negative.into_iter().collect()
        }

        fn evaluate(settings: &Settings, context: &Context, leads: &Leads) -> Vec<Verdict> {
            let judge = |row: Row| match row.employees {
                Some(13) => panic!("thirteen"),
                Some(14) => Verdict::new(Outcome::Fault("no idea".into())),
                Some(15) => Verdict::new(Outcome::Hold).because(Reason { code: 7, weight: 0, field: None }),
                Some(n) if n >= settings.floor && (!settings.company || leads.len() == 1) => {
                    Verdict::new(Outcome::Advance).because(Code::Large.weighs(5).on(Row::employees))
                }
                _ => Verdict {
                    review_at: Some(context.as_of + row.touched.unwrap_or(0)),
                    ..Verdict::new(Outcome::Hold)
                },
            };
            leads.rows::<Row>().map(judge).collect()
        }
    }

    fn run(settings: Value, leads: Value) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let case =
            json!({"name": "it", "settings": settings, "asOf": "2026-03-01T09:00:00Z", "leads": leads});
        std::fs::write(folder.path().join("a.json"), case.to_string()).unwrap();
        qualifier::<Floor>(folder.path())
    }

    #[test]
    fn cases_are_read_as_the_host_reads_them() {
        let employees = |n: i64| json!({"company.employees": n, "persona.key": "not declared, so not seen"});
        let leads = json!([
            {"fields": employees(9), "expect": {"outcome": "ADVANCE", "text": null, "missing": [], "status": "OK",
                "reasons": [{"code": "large", "label": "Large", "weight": 5, "field": "company.employees"}]}},
            {"fields": {"engagement.last-touch": "1970-01-02T00:00:00Z"}, "expect": {"outcome": "HOLD", "reviewAt": "2026-03-02T09:00:00Z"}},
            {"fields": employees(13), "expect": {"status": "TRAPPED"}},
            {"fields": employees(14), "expect": {"status": "FAULT"}},
            {"fields": employees(15), "expect": {"status": "INVALID_OUTPUT"}},
        ]);
        assert_eq!(run(json!({"floor": 9}), leads), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named_with_both_values() {
        let lead = |n: i64, expect: Value| json!([{"name": "it", "fields": {"company.employees": n}, "expect": expect}]);
        for (settings, leads, problem) in [
            (
                json!({"floor": 1}),
                lead(5, json!({"outcome": "HOLD"})),
                "it: it: outcome: expected \"HOLD\", found \"ADVANCE\"",
            ),
            (
                json!({"floor": 1}),
                lead(14, json!({"outcome": "HOLD"})),
                "it: it: outcome: expected \"HOLD\", found null (no idea)",
            ),
            (json!({"floor": -1}), lead(5, json!({})), "it: settings: /floor: must not be negative"),
            (json!({}), lead(5, json!({})), "it: settings: missing field `floor`"),
            (json!({"floor": 1}), lead(15, json!({"outcome": "HOLD"})), "(reason code 7 of 1 declared)"),
            (
                json!({"floor": 1, "company": true}),
                json!([{"fields": {"company.employees": 5}}, {"fields": {}}]),
                "it: a lead is judged otherwise alone",
            ),
        ] {
            let found = run(settings, leads).unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
    }

    #[test]
    fn a_folder_without_cases_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        assert!(qualifier::<Floor>(folder.path()).unwrap_err().contains("has no *.json"));
        assert!(qualifier::<Floor>(&folder.path().join("cases")).is_err());
    }
}
