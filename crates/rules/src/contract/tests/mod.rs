//! Versions that were never released, so that the first real change is not the first try: 1.1.0 adds something, 2.0.0
//! changes every shape. They stand in `released` for tests alone, and go the way that real ones will go.

pub mod since_v1_1_0;
pub mod since_v2_0_0;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use handfast_domain::field::{CATALOGUE_VERSION, Kind, TraitKinds, Value};
use handfast_domain::snapshot::Snapshot;
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use serde_json::json;

use super::recognise;
use crate::{CheckReport, Code, Context, Host, HostConfig, Judged, Limits, Rule, RuleKind, Settings};

const NOW: Context = Context { as_of: Instant(1_772_355_600_000), charter: 1, explain: false };

fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn host() -> Host {
    // On a busy machine the clock would judge before the fuel does.
    let limits = Limits { ms_base: 30_000, ..Limits::default() };
    Host::new(HostConfig { threads: 1, limits, ..HostConfig::new() }).unwrap()
}

async fn check(host: &Host, wasm: &[u8]) -> CheckReport {
    host.check(wasm, &[], &TraitKinds::new()).await
}

async fn judge(host: &Host, wasm: &[u8], leads: &[serde_json::Value]) -> Vec<Judged> {
    let rule = Rule::from(host.load(wasm, &TraitKinds::new()).await.unwrap());
    let snapshot = |fields: &serde_json::Value| {
        let fields: BTreeMap<String, Value> = serde_json::from_value(fields.clone()).unwrap();
        let (lead, salt) = (uuid::Uuid::nil(), String::new());
        Arc::new(Snapshot { catalogue: CATALOGUE_VERSION, lead, salt, charter: 1, fields, pool: None })
    };
    host.evaluate(&rule, &Settings::from(json!({})), NOW, leads.iter().map(snapshot).collect()).await
}

/// The bytes with one text replaced by another of the same length.
fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut patched = bytes.to_vec();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| &bytes[*at..*at + from.len()] == from.as_bytes()).collect();
    assert!(!places.is_empty(), "{from} is not in the guest");
    places.iter().for_each(|at| patched[*at..*at + from.len()].copy_from_slice(to.as_bytes()));
    patched
}

#[tokio::test]
async fn a_version_that_adds_something_is_taken_up_with_it_and_without_it() {
    let (host, wasm) = (host(), guest("made-up-1.1.0"));
    for (wasm, summary) in [
        (wasm.clone(), "in the words of en"),
        (patched(&wasm, "handfast:rules/words", "handfast:rules/wordz"), "without words"),
    ] {
        let report = check(&host, &wasm).await;
        assert!(report.ok(), "{:#?}", report.checks);
        let exports = report.checks.iter().find(|check| check.name == "exports").unwrap();
        assert_eq!(exports.message, "the world qualifier of handfast:rules@1.1.0");
        assert_eq!(report.descriptor.unwrap().summary, summary);
        let judged = judge(&host, &wasm, &[json!({"company.employees": 10}), json!({})]).await;
        let outcomes: Vec<Outcome> =
            judged.iter().filter_map(|judged| Some(judged.verdict.as_ref()?.outcome)).collect();
        assert_eq!(outcomes, [Outcome::Advance, Outcome::Hold], "{judged:?}");
        assert_eq!(judged[1].verdict.as_ref().unwrap().missing[0].field, "company.employees");
    }
}

#[tokio::test]
async fn a_version_that_changed_every_shape_is_converted_to_the_latest() {
    let (host, wasm) = (host(), guest("made-up-2.0.0"));
    let report = check(&host, &wasm).await;
    assert!(report.ok(), "{:#?}", report.checks);
    let descriptor = report.descriptor.unwrap();
    let kinds: Vec<Kind> = descriptor.reads.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, [Kind::IntegerList, Kind::Text, Kind::Boolean, Kind::TextList, Kind::Integer]);
    let leads = [
        json!({"traits.numbers": [3, 4], "contact.consent": true, "engagement.content-touched": ["x", "demo"]}),
        json!({"company.industry": "ask", "engagement.last-touch": NOW.as_of.ms() - 5_000}),
        json!({"contact.consent": false, "traits.numbers": [1], "engagement.content-touched": ["demo"]}),
    ];
    let judged = judge(&host, &wasm, &leads).await;
    let told: Vec<serde_json::Value> = judged.iter().map(|judged| json!(judged.verdict)).collect();
    let sum = |points: i32| json!([{"code": "sum", "label": "The sum of the numbers", "weight": points}]);
    let verdict = |outcome: &str, fit: i32| json!({"outcome": outcome, "fit": fit, "engagement": 0, "confidence": 7_500, "reasons": sum(fit), "missing": []});
    let mut asked = verdict("REVIEW", 0);
    asked["text"] = json!("5 s ago");
    assert_eq!(told, [verdict("ADVANCE", 7), asked, verdict("HOLD", 1)]);
    let plugin = host.load(&wasm, &TraitKinds::new()).await.unwrap();
    let refused = host.check_settings(&plugin, r#"{"no": 1}"#).await.unwrap_err();
    assert_eq!((refused[0].pointer.as_str(), refused[0].message.as_str()), ("/no", "never"));
}

#[tokio::test]
async fn a_version_that_nobody_knows_is_refused_with_a_sentence() {
    let unknown = patched(&guest("made-up-2.0.0"), "@2.0.0", "@3.0.0");
    let report = check(&host(), &unknown).await;
    let refusal = report.refusal().unwrap();
    assert_eq!((refusal.name, refusal.code), ("exports", Some(Code::PluginWorldMismatch)));
    let words =
        "was built against handfast:rules@3.0.0, and this host knows 2.0.0, 1.1.0, 1.0.0: build it against";
    assert!(refusal.message.starts_with(words), "{}", refusal.message);
}

/// The linker's semver match would take a 1.1.0 guest for a 1.0.0 one, and fail at the first call.
#[test]
fn a_contract_is_known_by_its_exact_names_and_the_latest_is_preferred() {
    let of = |interface: &str, version: &str| format!("handfast:rules/{interface}@{version}");
    let world = |interfaces: &[&str], version: &str| -> Vec<String> {
        interfaces.iter().map(|interface| of(interface, version)).collect()
    };
    let qualifier = ["types", "meta", "qualify"];
    let known = |names: &[String]| {
        let known = recognise(names.iter().map(String::as_str));
        known.map(|known| (known.contract.version(), known.kind))
    };
    assert_eq!(known(&world(&qualifier, "1.0.0")), Ok(("1.0.0", RuleKind::Qualify)));
    assert_eq!(known(&world(&qualifier, "1.1.0")), Ok(("1.1.0", RuleKind::Qualify)));
    assert_eq!(known(&world(&["types", "meta", "route"], "1.0.0")), Ok(("1.0.0", RuleKind::Route)));
    let both = [world(&qualifier, "1.0.0"), world(&qualifier, "2.0.0"), vec!["cabi_realloc".into()]].concat();
    assert_eq!(known(&both), Ok(("2.0.0", RuleKind::Qualify)));
    let mixed = [world(&["types", "meta"], "1.0.0"), world(&["qualify"], "1.1.0")].concat();
    for (names, words) in [
        (vec![], "exports nothing of handfast:rules; a rule exports the world qualifier"),
        (vec!["evaluate".to_owned()], "-w qualifier for componentize-py"),
        (world(&qualifier, "1.0.1"), "was built against handfast:rules@1.0.1, and this host knows"),
        (world(&["types", "meta"], "1.0.0"), "but neither qualify nor route of handfast:rules@1.0.0"),
        (world(&["qualify"], "1.0.0"), "but not types and meta of handfast:rules@1.0.0"),
        (world(&["meta", "qualify"], "1.0.0"), "but not types of handfast:rules@1.0.0"),
        (world(&["types", "meta", "qualify", "route"], "1.0.0"), "make two components of it"),
        (mixed, "all must be of one version"),
    ] {
        let refused = known(&names).unwrap_err();
        assert!(refused.contains(words), "{names:?}: {refused}");
    }
}
