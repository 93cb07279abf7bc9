//! The cases of the plugins, and the runner itself.

use handfast_domain::field::TraitKinds;
use handfast_rules::{Case, Code};
use serde_json::json;

use crate::{guest, host, load, root};

fn case(settings: serde_json::Value, leads: serde_json::Value) -> Case {
    let case = json!({"name": "it", "settings": settings, "asOf": "2026-03-01T09:00:00Z", "leads": leads});
    serde_json::from_value(case).unwrap()
}

/// The first problem of a case on the bombs.
async fn problem(settings: serde_json::Value, leads: serde_json::Value) -> (Code, String) {
    let results = host().run_cases(&load("bombs").await, &[case(settings, leads)], &TraitKinds::new()).await;
    results[0].problems.first().map(|problem| (problem.code, problem.message.clone())).unwrap()
}

#[tokio::test]
async fn the_cases_of_every_plugin_pass() {
    for plugin in ["scorecard", "fair-share"] {
        let cases = Case::read_dir(&root().join("plugins").join(plugin).join("cases")).unwrap();
        assert!(cases.len() >= 10, "{plugin} has {} cases", cases.len());
        let cases: Vec<Case> = cases.into_iter().map(|(_, case)| case.inlined()).collect();
        let results = host().run_cases(&load(plugin).await, &cases, &TraitKinds::new()).await;
        let failed =
            results.iter().filter(|result| !result.passed()).map(|result| (&result.name, &result.problems));
        let failed: Vec<_> = failed.collect();
        assert!(failed.is_empty(), "{plugin}: {failed:#?}");
        let report = host().check(&guest(plugin), &cases, &TraitKinds::new()).await;
        assert!(report.ok(), "{plugin}: {:#?}", report.checks);
    }
}

#[tokio::test]
async fn a_wrong_expectation_names_lead_key_and_both_values() {
    let leads = json!([{"fields": {}, "expect": {"outcome": "HOLD"}}, {"name": "steel", "fields": {"company.industry": "steel"}, "expect": {"outcome": "HOLD"}}]);
    let (code, message) = problem(json!({"act": "behave", "on": 1}), leads).await;
    assert_eq!(code, Code::CaseFailed);
    assert_eq!(message, "steel: outcome: expected \"HOLD\", found \"ADVANCE\"");
}

#[tokio::test]
async fn a_rule_that_looks_at_its_company_is_caught() {
    let leads = json!([{"fields": {}}, {"fields": {}}]);
    let (code, message) = problem(json!({"act": "count-company"}), leads).await;
    assert_eq!(code, Code::NotIndependent, "{message}");
}

#[tokio::test]
async fn a_case_must_be_about_fields_and_settings_that_exist() {
    let (code, message) =
        problem(json!({"act": "behave"}), json!([{"fields": {"company.employes": 1}}])).await;
    assert_eq!(code, Code::CaseInvalid);
    assert!(message.contains("company.employees"), "{message}");
    let (code, message) =
        problem(json!({"act": "behave"}), json!([{"fields": {"company.employees": "many"}}])).await;
    assert_eq!(
        (code, message.as_str()),
        (Code::CaseInvalid, "lead 1: company.employees is integer, not text")
    );
    let (code, _) = problem(json!({"act": 1}), json!([{"fields": {}}])).await;
    assert_eq!(code, Code::SettingsInvalid);
}

#[tokio::test]
async fn a_failure_can_be_expected() {
    let leads = json!([{"fields": {}, "expect": {"status": "TRAPPED"}}]);
    let case = case(json!({"act": "trap"}), leads);
    let results = host().run_cases(&load("bombs").await, &[case], &TraitKinds::new()).await;
    assert!(results[0].passed(), "{:?}", results[0].problems);
}

#[tokio::test]
async fn an_update_makes_the_case_pass() {
    let leads = json!([
        {"fields": {}, "expect": {"outcome": "ADVANCE"}},
        {"fields": {"company.industry": "steel"}},
        {"fields": {"company.employees": 4}, "expect": {"outcome": "HOLD", "disposition": "X"}},
    ]);
    let first = case(json!({"act": "fault", "on": 4}), leads);
    let bombs = load("bombs").await;
    let result = host().run_cases(&bombs, &[first], &TraitKinds::new()).await.remove(0);
    assert_eq!(result.problems.len(), 3);
    assert_eq!(result.updated.leads[0].expect.len(), 1, "only the keys that were there");
    assert!(result.updated.leads[1].expect.len() > 4, "all keys where there were none");
    assert_eq!(serde_json::to_value(&result.updated.leads[2].expect).unwrap(), json!({"status": "FAULT"}));
    let again: Case = serde_json::from_str(&result.updated.to_file()).unwrap();
    let result = host().run_cases(&bombs, &[again], &TraitKinds::new()).await.remove(0);
    assert!(result.passed(), "{:?}", result.problems);
}

#[test]
fn a_case_that_cannot_be_read_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.json"), r#"{"name": "x", "asOf": 1, "leads": []}"#).unwrap();
    let error = Case::read_dir(folder.path()).unwrap_err();
    assert!(error.contains("a.json: settings or settingsFile is missing"), "{error}");
    std::fs::write(folder.path().join("a.json"), r#"{"name": "x", "when": 1}"#).unwrap();
    assert!(Case::read_dir(folder.path()).unwrap_err().contains("unknown field `when`"));
}
