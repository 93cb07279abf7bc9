//! What differs between two charters, as a signer reads it.

use serde_json::{Value, json};

use super::{Parties, criterion, sign, stage, try_activate};

const DIFF: &str = "query($from: Int!, $to: Int!) { charterDiff(from: $from, to: $to) { \
                    from { number status } to { number status digest } \
                    differences { section key part kind before after } } }";

#[test]
fn who_signs_reads_before_what_changes_by_section_and_key_in_the_words_of_both() {
    let parties = Parties::start();
    let diff = |from: &Value, to: &Value| {
        parties.sales.query(DIFF, json!({"from": from, "to": to}))["charterDiff"].clone()
    };
    let first = parties.enforce(&parties.body(|body| {
        body["title"] = json!("First agreement");
        stage(body, "SQL")["entry"] = json!([criterion("answers.need.grade", "GTE", &["1"], true)]);
        body["glossary"] =
            json!([{"key": "lead", "marketing": "contact", "sales": "prospect", "meaning": "somebody"}]);
    }));
    let second = parties.propose(&parties.body(|body| {
        body["title"] = json!("Second agreement");
        stage(body, "SQL")["entry"] = json!([criterion("answers.need.grade", "GTE", &["2"], true)]);
        stage(body, "MQL")["entry"] = json!([criterion("company.employees", "GTE", &["50"], false)]);
        let accept =
            body["sla"].as_array_mut().and_then(|sla| sla.iter_mut().find(|one| one["kind"] == "ACCEPT"));
        accept.expect("a policy")["targetMinutes"] = json!(90);
        body["glossary"] = json!([]);
        body["commitments"][1]["target"] = json!("120");
        body["signals"] = json!(["sso-released"]);
    }));
    let found = diff(&first["number"], &second["number"]);
    assert_eq!(found["from"], json!({"number": 1, "status": "ACTIVE"}));
    assert_eq!(found["to"], json!({"number": 2, "status": "PROPOSED", "digest": second["digest"]}));
    let difference = |section: &str, key: &str, part: Value, kind: &str, before: Value, after: Value| json!({"section": section, "key": key, "part": part, "kind": kind, "before": before, "after": after});
    let added =
        "text: company.employees is known to us; test: company.employees is at least \"50\"; required: no";
    let gone = "marketing: contact; sales: prospect; meaning: somebody";
    let expected = json!([
        difference(
            "TERMS",
            "title",
            Value::Null,
            "CHANGED",
            json!("First agreement"),
            json!("Second agreement")
        ),
        difference("CRITERIA", "MQL/entry/c1", Value::Null, "ADDED", Value::Null, json!(added)),
        difference(
            "CRITERIA",
            "SQL/entry/c1",
            json!("test"),
            "CHANGED",
            json!("answers.need.grade is at least \"1\""),
            json!("answers.need.grade is at least \"2\"")
        ),
        difference(
            "SLA",
            "ACCEPT",
            json!("targetMinutes"),
            "CHANGED",
            json!("4 hours"),
            json!("1 hour 30 minutes")
        ),
        difference("GLOSSARY", "lead", Value::Null, "REMOVED", json!(gone), Value::Null),
        difference(
            "COMMITMENTS",
            "SALES/SAL_PER_MONTH",
            json!("target"),
            "CHANGED",
            json!("100"),
            json!("120")
        ),
        difference("SIGNALS", "sso-released", Value::Null, "ADDED", Value::Null, json!("sso-released")),
    ]);
    assert_eq!(found["differences"], expected, "{found:#}");
    let back = diff(&second["number"], &first["number"]);
    assert_eq!(back["differences"].as_array().map(Vec::len), expected.as_array().map(Vec::len), "{back}");
    assert_eq!(diff(&first["number"], &first["number"])["differences"], json!([]));
    // It stays readable once it is history.
    sign(&parties.marketing, &second);
    sign(&parties.sales, &second);
    assert_eq!(try_activate(&parties.sales, &second)["errors"], json!([]));
    assert_eq!(diff(&json!(1), &json!(2))["differences"], expected);
}

#[test]
fn a_charter_that_there_is_not_differs_from_nothing_and_is_told_by_its_number() {
    let parties = Parties::start();
    for (from, to, word) in [(0, 7, "charter 7"), (-1, 0, "charter -1")] {
        let error = parties.sales.error(DIFF, json!({"from": from, "to": to}));
        assert_eq!(error["extensions"]["code"], "NOT_FOUND", "{error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(word) && message.contains("0 to 0"), "{message}");
    }
}

#[test]
fn each_side_describes_the_funnel_in_its_own_words_and_sees_where_they_differ() {
    let parties = Parties::start();
    let described = |api: &handfast_tests::Api, meaning: &str, sales_owns_mql: bool| {
        let body = parties.body(|body| {
            stage(body, "MQL")["meaning"] = json!(meaning);
            stage(body, "SQL")["label"] = json!("Sales qualified");
            if sales_owns_mql {
                stage(body, "MQL")["owner"] = json!("SALES");
            }
        });
        let input = json!({"body": body});
        api.mutate("proposeCharter", "ProposeCharterInput", input, "charter { number proposedBy { side } }")
            ["charter"]
            .clone()
    };
    let ours = described(&parties.marketing, "Downloaded two papers.", false);
    let theirs = described(&parties.sales, "Asked for a price.", true);
    assert_eq!(
        (&ours["proposedBy"]["side"], &theirs["proposedBy"]["side"]),
        (&json!("MARKETING"), &json!("SALES"))
    );
    let asked = json!({"from": ours["number"], "to": theirs["number"]});
    let found = parties.server.user("olga", "ops").query(DIFF, asked)["charterDiff"].clone();
    let stages = |part: &str, before: &str, after: &str| {
        json!({"section": "STAGES", "key": "MQL", "part": part, "kind": "CHANGED", "before": before,
            "after": after})
    };
    let expected = [
        stages("meaning", "Downloaded two papers.", "Asked for a price."),
        stages("owner", "MARKETING", "SALES"),
    ];
    assert_eq!(found["differences"], json!(expected), "what both say alike is not listed");
}
