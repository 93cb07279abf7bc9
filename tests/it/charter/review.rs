//! The review of the charter in force: promised by both sides, kept by their word, broken by time, told in the agenda.

use handfast_domain::time::{DAY, Instant};
use handfast_tests::{Api, Server, eventually};
use serde_json::{Value, json};

use super::{Parties, read};
use crate::subscribe;

const REVIEW: &str = "review { dueAt overdue awaiting clocks { kind party state dueAt metAt breachedAt charter } \
    reviews { side verdict comment user { key } } }";

fn review(api: &Api, number: Value) -> Value {
    let document =
        format!("query($number: Int) {{ charter(number: $number) {{ reviewDueAt activatedAt {REVIEW} }} }}");
    api.query(&document, json!({"number": number}))["charter"].clone()
}

fn say(api: &Api, number: i32, more: Value) -> Value {
    let mut input = json!({"number": number, "verdict": "KEEP"});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let selection = format!("charter {{ number reviewDueAt {REVIEW} }}");
    api.attempt("recordCharterReview", "RecordCharterReviewInput", input, &selection)
}

fn at(value: &Value) -> Instant {
    value.as_str().and_then(Instant::parse).unwrap_or_else(|| panic!("{value} is no instant"))
}

#[test]
fn both_sides_promise_a_review_and_their_word_begins_the_next_round() {
    let parties = Parties::start();
    let default = review(&parties.sales, Value::Null);
    assert_eq!(default["review"]["clocks"], json!([]), "nobody promises what nobody signed");
    assert_eq!(say(&parties.sales, 0, json!({}))["errors"][0]["code"], "CHARTER_STATE");
    parties.enforce(&parties.body(|body| body["reviewAfterDays"] = json!(30)));
    let begun = review(&parties.sales, Value::Null);
    let first = &begun["review"];
    assert_eq!((&first["awaiting"], &first["overdue"]), (&json!(["MARKETING", "SALES"]), &json!(false)));
    for clock in first["clocks"].as_array().into_iter().flatten() {
        assert_eq!(
            (&clock["state"], &clock["dueAt"], &clock["charter"]),
            (&json!("RUNNING"), &begun["reviewDueAt"], &json!(1))
        );
    }
    assert_eq!(at(&begun["reviewDueAt"]).since(at(&begun["activatedAt"])), 30 * DAY);
    let listed = "{ slaClocks(kind: CHARTER_REVIEW) { edges { node { clock { party } lead { id } charter { number } } } } \
                  slaSummary { kind started running met breached balanced } }";
    let found = parties.sales.query(listed, json!({}));
    assert_eq!(found["slaClocks"]["edges"].as_array().map(Vec::len), Some(2), "{found}");
    assert_eq!(found["slaClocks"]["edges"][0]["node"]["charter"]["number"], 1);

    let needs = say(&parties.sales, 1, json!({"verdict": "REVISE"}))["errors"][0].clone();
    assert_eq!(needs["path"], json!(["input", "comment"]), "who wants a change says which");
    assert_eq!(say(&parties.admin, 1, json!({}))["errors"][0]["code"], "FORBIDDEN");
    assert_eq!(say(&parties.sales, 1, json!({"dryRun": true}))["errors"], json!([]));
    let word = json!({"verdict": "REVISE", "comment": "Ask for the budget", "idempotencyKey": "k"});
    for _ in 0..2 {
        let said = say(&parties.sales, 1, word.clone());
        assert_eq!(said["errors"], json!([]), "{said}");
        assert_eq!(said["charter"]["review"]["awaiting"], json!(["MARKETING"]));
    }
    let again = say(&parties.sales, 1, json!({}))["errors"][0].clone();
    assert_eq!(again["code"], "ALREADY_EXISTS", "{again}");
    let last = say(&parties.marketing, 1, json!({}))["charter"].clone();
    let next = &last["review"];
    assert_eq!(next["awaiting"], json!(["MARKETING", "SALES"]), "the next round: {last}");
    assert!(at(&last["reviewDueAt"]) > at(&begun["reviewDueAt"]));
    assert_eq!(
        next["reviews"],
        json!([{"side": "MARKETING", "verdict": "KEEP", "comment": null, "user": {"key": "mara"}},
            {"side": "SALES", "verdict": "REVISE", "comment": "Ask for the budget", "user": {"key": "saul"}}])
    );
    let found = parties.sales.query(listed, json!({}))["slaSummary"].clone();
    let counts = found.as_array().into_iter().flatten().find(|one| one["kind"] == "CHARTER_REVIEW").cloned();
    assert_eq!(
        counts,
        Some(
            json!({"kind": "CHARTER_REVIEW", "started": "4", "running": "2", "met": "2", "breached": "0", "balanced": true})
        )
    );
    // Another charter is the most thorough review.
    parties.enforce(&parties.body(|body| body["title"] = json!("Second")));
    let old = review(&parties.sales, json!(1))["review"].clone();
    assert_eq!((&old["dueAt"], &old["awaiting"]), (&Value::Null, &json!([])));
    assert!(old["clocks"].as_array().into_iter().flatten().all(|clock| clock["state"] == "MET"), "{old}");
    assert_eq!(say(&parties.sales, 1, json!({}))["errors"][0]["code"], "CHARTER_STATE");
    assert_eq!(review(&parties.sales, json!(2))["review"]["awaiting"], json!(["MARKETING", "SALES"]));
    let (dir, token) = parties.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
    let server = Server::start_in(dir, Some(token));
    assert_eq!(review(&server.admin(), json!(2))["review"]["clocks"].as_array().map(Vec::len), Some(2));
}

/// A minute of the wall clock is promised; the server is killed meanwhile.
#[test]
fn a_review_that_is_not_held_is_seen_by_both_sides_and_kept_by_their_meeting() {
    let parties = Parties::start();
    let head = parties.sales.query("{ feedHead }", json!({}))["feedHead"].clone();
    parties.enforce(&parties.body(|body| {
        let policies = body["sla"].as_array_mut().expect("policies");
        let policy = policies.iter_mut().find(|policy| policy["kind"] == "CHARTER_REVIEW").expect("a policy");
        policy["targetMinutes"] = json!(1);
    }));
    let agenda = "{ reviewAgenda { charterReview { overdue awaiting clocks { state } } } }";
    let look = |api: &Api| api.query(agenda, json!({}))["reviewAgenda"]["charterReview"].clone();
    assert_eq!(look(&parties.sales)["overdue"], false);
    let (saul, mara) = (parties.sales.token.clone(), parties.marketing.token.clone());
    let (dir, token) = parties.server.kill();
    let server = Server::start_in(dir, Some(token));
    let (sales, marketing) = (server.api(&saul), server.api(&mara));
    let late = eventually(120, "the promise is broken", || {
        let found = look(&sales);
        (found["overdue"] == true).then_some(found)
    });
    assert_eq!(late["clocks"], json!([{"state": "BREACHED"}, {"state": "BREACHED"}]));
    let broken =
        "{ slaClocks(state: BREACHED, kind: CHARTER_REVIEW) { edges { node { clock { party } } } } }";
    assert_eq!(sales.query(broken, json!({}))["slaClocks"]["edges"].as_array().map(Vec::len), Some(2));
    let followed = "subscription($after: FeedCursor, $changes: [CharterChange!]) { \
        charterChanged(after: $after, changes: $changes) { change number side } }";
    let variables = json!({"after": head, "changes": ["ACTIVATED", "REVIEW_OVERDUE", "REVIEWED"]});
    let meet = || {
        let input = json!({"attendees": ["mara", "saul"], "decisions": [{"text": "It stays"}], "charterReviewed": true});
        marketing.mutate("recordReview", "RecordReviewInput", input, "review { week }");
    };
    let seen = subscribe::follow(&server, "ws", followed, variables, 5, meet);
    if let Some(seen) = seen {
        let told: Vec<String> = seen
            .iter()
            .map(|event| format!("{} {} {}", event["change"], event["number"], event["side"]))
            .collect();
        let expected = [
            r#""ACTIVATED" 1 null"#,
            r#""REVIEW_OVERDUE" 1 null"#,
            r#""REVIEW_OVERDUE" 1 null"#,
            r#""REVIEWED" 1 "MARKETING""#,
            r#""REVIEWED" 1 "SALES""#,
        ];
        assert_eq!(told, expected);
    } else {
        meet();
    }
    let kept = review(&sales, json!(1))["review"].clone();
    assert_eq!(
        (&kept["overdue"], &kept["awaiting"]),
        (&json!(false), &json!(["MARKETING", "SALES"])),
        "{kept}"
    );
    let found = sales.query(broken, json!({}))["slaClocks"]["edges"].as_array().map(Vec::len);
    assert_eq!(found, Some(2), "a broken promise stays broken");
    assert_eq!(read(&sales, json!(1))["status"], "ACTIVE");
}
