//! Settings are refused with a pointer and a sentence, before they are ever used.

use handfast_domain::field::TraitKinds;
use handfast_rules::SettingsProblem;
use serde_json::json;

use crate::{host, load, root};

async fn problems(plugin: &str, settings: serde_json::Value) -> Vec<SettingsProblem> {
    host().check_settings(&load(plugin).await, &settings.to_string()).await.err().unwrap_or_default()
}

#[tokio::test]
async fn the_settings_that_come_with_the_plugins_are_accepted() {
    for plugin in ["scorecard", "fair-share"] {
        let folder = root().join("plugins").join(plugin).join("settings");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let plugin = host().load(&crate::guest(plugin), &TraitKinds::new()).await.unwrap();
            let checked = host().check_settings(&plugin, &text).await;
            assert!(checked.is_ok(), "{}: {checked:?}", path.display());
        }
    }
}

#[tokio::test]
async fn the_schema_speaks_before_the_plugin() {
    let found = problems("scorecard", json!({"fit": [{"field": "company.employees", "bnds": []}]})).await;
    let pointers: Vec<&str> = found.iter().map(|problem| problem.pointer.as_str()).collect();
    assert!(pointers.contains(&"") && pointers.contains(&"/fit/0"), "{found:?}");
    assert!(found.iter().any(|problem| problem.message.contains("thresholds")), "{found:?}");
}

#[tokio::test]
async fn the_plugin_finds_what_a_schema_cannot() {
    let card = |criterion| json!({"fit": [criterion], "thresholds": {"advance": 10}});
    for (settings, pointer, words) in [
        (
            card(json!({"field": "company.employes", "bands": [{"points": 1}]})),
            "/fit/0/field",
            "company.employees",
        ),
        (
            card(json!({"field": "company.employees", "values": [{"is": ["a"], "points": 1}]})),
            "/fit/0",
            "does not fit",
        ),
        (card(json!({"field": "company.employees"})), "/fit/0", "one way of counting"),
        (
            card(
                json!({"field": "company.employees", "bands": [{"below": 9, "points": 1}, {"from": 8, "points": 2}]}),
            ),
            "/fit/0/bands/1",
            "overlaps",
        ),
        (card(json!({"field": "engagement.last-touch", "recency": 9})), "/fit/0/recency", "halfLifeDays"),
        (
            json!({"thresholds": {"advance": 10, "review": {"from": 5, "to": 10}}}),
            "/thresholds/review/to",
            "below advance",
        ),
        (
            json!({"knockouts": [{"field": "company.employees", "is": ["1"], "then": "review", "reason": "x"}],
                   "thresholds": {"advance": 1}}),
            "/knockouts/0",
            "answer",
        ),
    ] {
        let found = problems("scorecard", settings).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].pointer, pointer, "{found:?}");
        assert!(found[0].message.contains(words), "{found:?}");
    }
    let found = problems("fair-share", json!({"fallbackQueue": "q", "territoryField": "company.name"})).await;
    assert_eq!(found[0].pointer, "/territoryField");
}

#[tokio::test]
async fn text_that_is_not_json_is_refused_in_words() {
    let refused = host().check_settings(&load("bombs").await, "{").await.unwrap_err();
    assert!(refused[0].message.contains("not JSON"), "{refused:?}");
    let refused = problems("bombs", json!({"act": "behave", "on": -1})).await;
    assert_eq!(refused[0].pointer, "/on");
}

#[tokio::test]
async fn equal_documents_have_equal_digests_however_they_are_written() {
    let bombs = load("bombs").await;
    let a = host().check_settings(&bombs, r#"{"act":"behave","on":5}"#).await.unwrap();
    let b = host().check_settings(&bombs, "{ \"on\": 5,\n \"act\": \"behave\" }").await.unwrap();
    assert_eq!((a.digest(), a.text()), (b.digest(), b.text()));
}
