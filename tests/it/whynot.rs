//! Why a lead does not pass: the smallest change that makes a rule say ADVANCE, and what the charter misses.

use handfast_tests::{Api, Server, card};
use serde_json::{Value, json};

use crate::work::World;

const WHY: &str = "query($lead: ID!, $stage: StageKind) { whyNot(lead: $lead, stage: $stage) { \
    lead { id } stage result criteria { criterion { key text } test { field comparator values } found } \
    slots { slot status outcome tried note answers { effort result missing changes { field from to } } } } }";

fn why(api: &Api, lead: &Value) -> Value {
    api.query(WHY, json!({"lead": lead["id"]}))["whyNot"].clone()
}

fn capture(api: &Api, lead: Value) -> Value {
    api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id stage }")["lead"].clone()
}

/// Field, from and to of each answer.
fn changes(slot: &Value) -> Vec<Vec<(String, Value, String)>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |change: &Value| (text(&change["field"]), change["from"].clone(), text(&change["to"]));
    let answers = slot["answers"].as_array().expect("answers");
    answers
        .iter()
        .map(|answer| answer["changes"].as_array().expect("changes").iter().map(one).collect())
        .collect()
}

/// What the rules say of leads in the log: a question must not be among them.
fn decisions(api: &Api) -> usize {
    let page = api.query("{ decisions(first: 200) { edges { cursor } } }", json!({}));
    page["decisions"]["edges"].as_array().expect("edges").len()
}

#[test]
fn the_smallest_change_of_one_field_is_found_else_of_two_and_each_of_them_is_true() {
    let server = Server::start();
    let api = server.admin();
    let digest = server.deploy("scorecard", "mql", &card(10));
    let lead = capture(&api, json!({"email": "plain@example.test"}));
    let before = decisions(&api);
    let found = why(&api, &lead);
    assert_eq!((&found["stage"], &found["result"]), (&json!("MQL"), &json!("HOLD")), "{found}");
    let slot = &found["slots"][0];
    assert_eq!((&slot["outcome"], &slot["status"]), (&json!("HOLD"), &json!("OK")), "{slot}");
    let consent = ("contact.consent".to_owned(), json!(null), "true".to_owned());
    let senior = ("contact.seniority".to_owned(), json!(null), "C_LEVEL".to_owned());
    let alone = changes(slot);
    assert!(alone.contains(&vec![consent.clone()]) && alone.contains(&vec![senior.clone()]), "{slot}");
    assert!(alone.iter().all(|answer| answer.len() == 1), "one field is less than two: {slot}");
    for answer in slot["answers"].as_array().expect("answers") {
        assert_eq!((&answer["result"], &answer["missing"]), (&json!("ADVANCE"), &json!([])), "{answer}");
    }
    assert_eq!(decisions(&api), before, "nothing is recorded");

    // Neither is enough alone any more.
    server.set("mql", &digest, &card(30));
    let slot = why(&api, &lead)["slots"][0].clone();
    let mut both = changes(&slot)[0].clone();
    both.sort_by_key(|(field, ..)| field.clone());
    assert_eq!(both, [consent, senior], "{slot}");
    assert_eq!(slot["answers"][0]["effort"], 2, "both can be asked: {slot}");
    let proof =
        capture(&api, json!({"email": "proof@example.test", "consent": true, "seniority": "C_LEVEL"}));
    assert_eq!(proof["stage"], "MQL", "what was answered is so");

    // Nothing within two fields.
    server.set("mql", &digest, &card(1_000));
    let slot = why(&api, &lead)["slots"][0].clone();
    assert_eq!(slot["answers"], json!([]));
    assert!(slot["note"].as_str().expect("a note").contains("no change of one or two"), "{slot}");
    assert!((100..=4_000).contains(&slot["tried"].as_i64().expect("a number")), "bounded: {slot}");

    // No rule at all, and one that says ADVANCE already.
    let rollback = || {
        let input = json!({"slot": "mql", "reason": "none"});
        api.mutate("rollback", "RollbackInput", input, "deployment { id }");
    };
    server.set("mql", &digest, &card(0));
    let slot = why(&api, &lead)["slots"][0].clone();
    assert_eq!((&slot["outcome"], &slot["answers"]), (&json!("ADVANCE"), &json!([])), "{slot}");
    (0..4).for_each(|_| rollback());
    let slot = why(&api, &lead)["slots"][0].clone();
    assert!(slot["note"].as_str().expect("a note").contains("no rule is deployed"), "{slot}");
}

#[test]
fn the_nearest_value_of_a_number_is_found_to_the_unit() {
    let server = Server::start();
    let api = server.admin();
    let settings = |from: i64| {
        json!({
            "fit": [{"field": "company.employees", "bands": [{"from": from, "points": 10}]}],
            "thresholds": {"advance": 10},
        })
    };
    let digest = server.deploy("scorecard", "mql", &settings(50));
    let company =
        |employees: i64| json!({"name": "Example Ltd", "domain": "example.test", "employees": employees});
    let lead = capture(&api, json!({"email": "small@example.test", "company": company(20)}));
    let slot = why(&api, &lead)["slots"][0].clone();
    let expected = vec![vec![("company.employees".to_owned(), json!("20"), "50".to_owned())]];
    assert_eq!(changes(&slot), expected, "{slot}");
    assert_eq!(slot["answers"][0]["effort"], 4, "a company does not grow on demand: {slot}");

    // No setting names the number at which three points each come to a hundred.
    let each = json!({"fit": [{"field": "company.employees", "each": 3}], "thresholds": {"advance": 100}});
    server.set("mql", &digest, &each);
    let slot = why(&api, &lead)["slots"][0].clone();
    let expected = vec![vec![("company.employees".to_owned(), json!("20"), "34".to_owned())]];
    assert_eq!(changes(&slot), expected, "{slot}");
}

#[test]
fn the_charters_missing_criteria_and_the_other_rules_of_the_gate_are_told() {
    let world = World::unsigned();
    world.agree(|body| {
        let stages = body["stages"].as_array_mut().expect("stages");
        let mql = stages.iter_mut().find(|stage| stage["kind"] == "MQL").expect("the stage MQL");
        let test = json!({"field": "company.employees", "comparator": "GTE", "values": ["100"]});
        mql["entry"] = json!([{"key": "size", "text": "At least a hundred people", "required": true, "test": test}]);
        let slot = json!({"key": "mql-sales", "kind": "QUALIFY", "gate": "MQL", "team": "sales", "position": 2,
            "scoring": false, "pool": null});
        body["slots"].as_array_mut().expect("slots").push(slot);
    });
    let lead = capture(
        &world.mia,
        json!({"email": "small@example.test",
        "company": {"name": "Example Ltd", "domain": "example.test", "employees": 7}}),
    );
    let found = why(&world.rob, &lead);
    let size = json!([{"criterion": {"key": "size", "text": "At least a hundred people"},
        "test": {"field": "company.employees", "comparator": "GTE", "values": ["100"]}, "found": "7"}]);
    assert_eq!(found["criteria"], size);
    let slots = found["slots"].as_array().expect("slots");
    assert_eq!((&slots[0]["slot"], &slots[1]["slot"]), (&json!("mql"), &json!("mql-sales")));
    let answer = &slots[0]["answers"][0];
    assert_eq!(answer["result"], "HOLD", "the rule would say yes, the gate would not: {answer}");
    let missing = answer["missing"].as_array().expect("texts");
    assert!(missing.contains(&json!("At least a hundred people")), "{answer}");
    assert!(missing.contains(&json!("mql-sales says HOLD")), "{answer}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_can() {
    let world = World::unsigned();
    let lead = world.mql("passed@example.test", json!({}));
    let code = |variables: Value| {
        let error = world.admin.error(WHY, variables);
        (error["extensions"]["code"].clone(), error["message"].as_str().unwrap_or_default().to_owned())
    };
    let (refused, message) = code(json!({"lead": lead["id"]}));
    assert!(refused == "VALIDATION" && message.contains("past the gates"), "{message}");
    let (refused, message) = code(json!({"lead": lead["id"], "stage": "SQL"}));
    assert!(refused == "VALIDATION" && message.contains("guarded are MQL"), "{message}");
    assert_eq!(code(json!({"lead": "nonsense"})).0, "VALIDATION");
    let nobody = "TGVhZDowMWEyMTdiNi02NGFkLTcyYmQtYTU2OC02NjA2OWJkNzE0MzY";
    assert_eq!(code(json!({"lead": nobody})).0, "NOT_FOUND");
    // One that has passed can be asked about the gate that it passed.
    let found = world.admin.query(WHY, json!({"lead": lead["id"], "stage": "MQL"}))["whyNot"].clone();
    assert_eq!((&found["result"], &found["slots"][0]["outcome"]), (&json!("ADVANCE"), &json!("ADVANCE")));
}
