//! Everybody says that they read the charter in force, and everybody sees who has not yet.

use handfast_tests::{Api, offline};
use serde_json::{Value, json};

use super::Parties;

fn acknowledge(api: &Api, number: i32) -> Value {
    api.attempt(
        "acknowledgeCharter",
        "AcknowledgeCharterInput",
        json!({"number": number}),
        "charter { number }",
    )
}

/// Who read a charter, in order, and who has not yet: teams with their people.
fn readers(parties: &Parties, number: Value) -> (Value, Value) {
    let document = "query($number: Int) { charter(number: $number) { acknowledgedBy { user { key } at } \
                    awaitingAcknowledgement { team { key } users { key } } } }";
    let found = parties.sales.query(document, json!({"number": number}))["charter"].clone();
    let keys = |users: &Value, at: &str| -> Value {
        users.as_array().into_iter().flatten().map(|user| user.pointer(at).cloned()).collect()
    };
    let teams = found["awaitingAcknowledgement"].as_array().into_iter().flatten();
    let mut teams: Vec<Value> =
        teams.map(|one| json!([one["team"]["key"], keys(&one["users"], "/key")])).collect();
    teams.sort_by_key(ToString::to_string);
    (keys(&found["acknowledgedBy"], "/user/key"), json!(teams))
}

fn told(parties: &Parties) -> usize {
    let document = "{ events(filter: {kinds: [\"CHARTER_ACKNOWLEDGED\"]}) { events { kind stream user { key } payload } } }";
    let events = parties.sales.query(document, json!({}))["events"]["events"].clone();
    events.as_array().map_or(0, Vec::len)
}

#[test]
fn who_read_the_charter_is_known_by_team_and_a_new_charter_asks_anew() {
    let parties = Parties::start();
    let reader = parties.server.token("mara", &["leads:read"]);
    parties.server.user("olga", "ops");
    let clerk = json!({"key": "clerk", "name": "Clerk", "team": "sales", "service": true});
    parties.admin.mutate("upsertUser", "UpsertUserInput", clerk, "user { id }");
    parties.enforce(&parties.body(|_| {}));
    let all = json!([["marketing", ["mara"]], ["ops", ["olga"]], ["sales", ["saul"]]]);
    assert_eq!(readers(&parties, Value::Null), (json!([]), all.clone()), "services are not asked");

    let tried = json!({"number": 1, "dryRun": true});
    let tried = reader.attempt("acknowledgeCharter", "AcknowledgeCharterInput", tried, "charter { number }");
    assert_eq!((&tried["errors"], readers(&parties, json!(1)).0), (&json!([]), json!([])));
    for _ in 0..2 {
        assert_eq!(acknowledge(&reader, 1), json!({"charter": {"number": 1}, "errors": []}));
        let keyed = json!({"number": 1, "idempotencyKey": "read"});
        parties.sales.mutate("acknowledgeCharter", "AcknowledgeCharterInput", keyed, "charter { number }");
    }
    let rest = json!([["ops", ["olga"]]]);
    assert_eq!(readers(&parties, json!(1)), (json!(["mara", "saul"]), rest), "reading is all that it takes");
    assert_eq!(told(&parties), 2, "saying it again is no event");

    let clerk = parties.server.token("clerk", &["leads:read", "charter:sign"]);
    let cases = [
        (&parties.sales, 0, "CHARTER_STATE", json!(["input", "number"]), "charter 0 is SUPERSEDED"),
        (&parties.sales, 9, "NOT_FOUND", json!(["input", "number"]), "charter"),
        (&parties.sales, -1, "NOT_FOUND", json!(["input", "number"]), "charter"),
        (&clerk, 1, "FORBIDDEN", json!([]), "clerk is a service"),
    ];
    for (api, number, code, path, word) in cases {
        let refused = acknowledge(api, number);
        let error = &refused["errors"][0];
        assert_eq!((&error["code"], &error["path"]), (&json!(code), &path), "{refused}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(word)), "{refused}");
    }

    let second = parties.propose(&parties.body(|body| body["title"] = json!("Second")));
    assert_eq!(acknowledge(&parties.sales, 2)["errors"][0]["code"], "CHARTER_STATE", "it may never come");
    assert_eq!(readers(&parties, json!(2)), (json!([]), json!([])), "nobody is asked yet");
    for api in [&parties.marketing, &parties.sales] {
        super::sign(api, &second);
    }
    assert_eq!(super::try_activate(&parties.sales, &second)["errors"], json!([]));
    assert_eq!(readers(&parties, Value::Null), (json!([]), all), "another text is another reading");
    assert_eq!(readers(&parties, json!(1)).0, json!(["mara", "saul"]), "who read the old one stays known");
    let (dir, _) = parties.server.stop();
    let looked = offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}
