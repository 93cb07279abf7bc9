//! What sales asks marketing about a lead, what it is told, and what the clocks and the subscribers of both make of it.

use serde_json::{Value, json};

use crate::subscribe;
use crate::work::{World, act, clock, done, look, now, refused};
use handfast_tests::Api;

const REQUEST: &str = "contextRequest { id state topic field question askedBy { key } answer answeredBy { key } answeredAt cycle \
    lead { id } }";

/// Asks about a lead; the payload.
fn ask(api: &Api, lead: &Value, more: Value) -> Value {
    let mut input =
        json!({"lead": {"id": lead["id"]}, "topic": "BACKGROUND", "question": "How many people work there?"});
    for (key, value) in more.as_object().into_iter().flatten() {
        input[key] = value.clone();
    }
    api.attempt("requestContext", "RequestContextInput", input, REQUEST)
}

fn answer(api: &Api, request: &Value, text: &str) -> Value {
    api.attempt(
        "answerContext",
        "AnswerContextInput",
        json!({"contextRequest": request["id"], "answer": text}),
        REQUEST,
    )
}

fn open(api: &Api) -> Vec<Value> {
    let found = api.query("{ contextRequests(state: OPEN) { edges { node { id question } } } }", json!({}));
    found["contextRequests"]["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|edge| edge["node"].clone())
        .collect()
}

#[test]
fn sales_asks_marketing_answers_and_the_clocks_of_both_follow() {
    let world = World::start();
    let lead = world.mql("ask@example.test", json!({}));
    let states = |lead: &Value| {
        [("ACCEPT", "OWNER"), ("FIRST_TOUCH", "OWNER"), ("CONTEXT", "LEAD")]
            .map(|(kind, level)| clock(lead, kind, level).as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(states(&lead), ["RUNNING", "RUNNING", "-"]);
    let asked = ask(&world.rob, &lead, json!({"field": "company.employees"}));
    assert_eq!(asked["errors"], json!([]));
    let request = &asked["contextRequest"];
    let shown = json!([
        request["state"],
        request["topic"],
        request["field"],
        request["askedBy"]["key"],
        request["answer"]
    ]);
    assert_eq!(shown, json!(["OPEN", "BACKGROUND", "company.employees", "rob", null]));
    assert_eq!(request["lead"]["id"], lead["id"]);
    assert_eq!(
        states(&look(&world.mia, &lead, "clocks { kind level state }")),
        ["PAUSED", "PAUSED", "RUNNING"]
    );
    assert_eq!(open(&world.mia).len(), 1, "marketing sees what it owes");

    let told = answer(&world.mia, request, "Forty, in two offices.");
    assert_eq!(told["errors"], json!([]));
    let told = &told["contextRequest"];
    let shown = json!([told["state"], told["answer"], told["answeredBy"]["key"]]);
    assert_eq!(shown, json!(["ANSWERED", "Forty, in two offices.", "mia"]));
    let after = look(
        &world.rob,
        &lead,
        "clocks { kind level state } contextRequests { question answer } timeline { kind summary detail }",
    );
    assert_eq!(states(&after), ["RUNNING", "RUNNING", "MET"]);
    let known = json!([{"question": "How many people work there?", "answer": "Forty, in two offices."}]);
    assert_eq!(after["contextRequests"], known);
    let lines = after["timeline"].as_array().into_iter().flatten().filter(|line| line["kind"] == "CONTEXT");
    let lines: Vec<_> = lines.map(|line| json!([line["summary"], line["detail"]])).collect();
    let expected = [
        json!(["answered BACKGROUND", "Forty, in two offices."]),
        json!(["asked for BACKGROUND", "How many people work there?"]),
    ];
    assert_eq!(lines, expected);
    assert!(open(&world.mia).is_empty());
    // Whoever has the lead goes on with it.
    assert_eq!(done(&world.rob, "acceptHandoff", &lead, json!({}))["stage"], "SAL");
}

#[test]
fn a_hand_off_that_lacks_context_goes_back_with_the_question_in_it() {
    let world = World::start();
    let lead = world.mql("back@example.test", json!({}));
    let question = json!({"topic": "PROMISES", "question": "Which price was named?"});
    let ends =
        refused(&world.rob, "rejectHandoff", &lead, json!({"reason": "NOT_ICP", "question": question}));
    assert_eq!((&ends["code"], &ends["path"]), (&json!("VALIDATION"), &json!(["input", "question"])));
    let back =
        done(&world.rob, "rejectHandoff", &lead, json!({"reason": "NO_CONTEXT", "question": question}));
    assert_eq!(
        (&back["queue"]["key"], clock(&back, "CONTEXT", "LEAD")),
        (&json!("marketing"), &json!("RUNNING"))
    );
    let asked = open(&world.mia);
    assert_eq!(asked[0]["question"], "Which price was named?");
    assert_eq!(answer(&world.mia, &asked[0], "None.")["errors"], json!([]));
    let seen = look(&world.mia, &lead, "clocks { kind level state }");
    assert_eq!(
        (clock(&seen, "CONTEXT", "LEAD"), clock(&seen, "FIRST_TOUCH", "LEAD")),
        (&json!("MET"), &json!("PAUSED"))
    );
    let again = done(&world.mia, "routeLead", &lead, json!({}));
    assert_eq!(
        (&again["owner"]["key"], clock(&again, "FIRST_TOUCH", "LEAD")),
        (&json!("rob"), &json!("RUNNING"))
    );
}

#[test]
fn a_question_has_words_a_known_field_and_somebody_who_has_the_lead() {
    let world = World::start();
    let lead = world.mql("who@example.test", json!({}));
    let table = [
        (&world.ada, json!({}), "FORBIDDEN", json!(["input", "lead"])),
        (&world.rob, json!({"question": " "}), "VALIDATION", json!(["input", "question"])),
        (&world.rob, json!({"question": "x".repeat(2_001)}), "VALIDATION", json!(["input", "question"])),
        (&world.rob, json!({"field": "company.shoe-size"}), "VALIDATION", json!(["input", "field"])),
        (&world.rob, json!({"expectedVersion": 99}), "VERSION_CONFLICT", json!([])),
    ];
    for (who, more, code, path) in table {
        let refused = ask(who, &lead, more.clone());
        assert_eq!(
            (&refused["errors"][0]["code"], &refused["contextRequest"]),
            (&json!(code), &json!(null)),
            "{more}"
        );
        assert_eq!(
            refused["errors"][0]["path"].as_array().map_or(json!([]), |path| json!(path)),
            path,
            "{more}"
        );
    }
    let tried = ask(&world.rob, &lead, json!({"dryRun": true}));
    assert_eq!((&tried["contextRequest"], &tried["errors"]), (&json!(null), &json!([])));
    assert!(open(&world.mia).is_empty(), "nothing was written");

    let once = json!({"idempotencyKey": "one question"});
    let (first, second) = (ask(&world.rob, &lead, once.clone()), ask(&world.rob, &lead, once));
    assert_eq!(first["contextRequest"]["id"], second["contextRequest"]["id"], "the same key asks once");
    assert_eq!(open(&world.mia).len(), 1);
    assert_eq!(
        answer(&world.mia, &first["contextRequest"], "")["errors"][0]["path"],
        json!(["input", "answer"])
    );
    assert_eq!(answer(&world.mia, &first["contextRequest"], "Twelve.")["errors"], json!([]));
    let late = answer(&world.mia, &first["contextRequest"], "Thirteen.");
    assert_eq!(late["errors"][0]["code"], "ALREADY_EXISTS");
    assert!(late["errors"][0]["message"].as_str().unwrap_or_default().contains("ask another one"), "{late}");
    let seen = look(&world.rob, &lead, "contextRequests { answer }");
    assert_eq!(seen["contextRequests"], json!([{"answer": "Twelve."}]), "the first answer stands");
}

#[test]
fn what_sales_asks_for_most_is_counted() {
    let world = World::start();
    let lead = world.mql("most@example.test", json!({}));
    let from = now(&world.mia).to_string();
    let employees = json!({"field": "company.employees"});
    for more in [employees.clone(), employees.clone(), json!({"topic": "PROMISES"}), employees] {
        ask(&world.rob, &lead, more);
    }
    answer(&world.mia, &open(&world.mia)[0], "Twelve.");
    let document = "query($from: DateTime, $to: DateTime) { mostRequestedContext(from: $from, to: $to) \
                    { topic field count answered meanAnswerMs } }";
    let found = world.mia.query(document, json!({"from": from}))["mostRequestedContext"].clone();
    let shown = |one: &Value| json!([one["topic"], one["field"], one["count"], one["answered"]]);
    let expected =
        [json!(["BACKGROUND", "company.employees", "3", "1"]), json!(["PROMISES", null, "1", "0"])];
    assert_eq!(found.as_array().into_iter().flatten().map(shown).collect::<Vec<_>>(), expected);
    assert!(found[0]["meanAnswerMs"].is_string() && found[1]["meanAnswerMs"].is_null(), "{found}");
    let before = json!({"from": "2001-01-01T00:00:00Z", "to": from});
    assert_eq!(world.mia.query(document, before)["mostRequestedContext"], json!([]));
}

const HANDOFFS: &str = "subscription($after: FeedCursor, $side: Party) { handoffs(after: $after, side: $side) { \
    cursor change reason topic handoffId requestId user { key } lead { id } } }";
const PROMISES: &str = "subscription($after: FeedCursor, $changes: [SlaChange!], $kinds: [ClockKind!], $party: Party) { \
    slaEvents(after: $after, changes: $changes, kinds: $kinds, party: $party) { cursor change reason clock { kind party level } \
    lead { id } } }";

#[test]
fn both_sides_hear_of_hand_offs_and_of_promises() {
    let world = World::start();
    let head = world.mia.query("{ feedHead }", json!({}))["feedHead"].clone();
    let changed = |events: &[Value]| events.iter().map(|event| event["change"].clone()).collect::<Vec<_>>();
    let live = subscribe::follow(&world.server, "ws", HANDOFFS, json!({"after": head}), 6, || {
        let lead = world.mql("hear@example.test", json!({}));
        let asked = ask(&world.rob, &lead, json!({}));
        answer(&world.mia, &asked["contextRequest"], "Twelve.");
        act(&world.rob, "rejectHandoff", &lead, json!({"reason": "NO_CONTEXT"}));
        done(&world.mia, "routeLead", &lead, json!({}));
        done(&world.rob, "acceptHandoff", &lead, json!({}));
    });
    let Some(live) = live else { return };
    let whole = ["OFFERED", "CONTEXT_REQUESTED", "CONTEXT_ANSWERED", "RETURNED", "OFFERED", "ACCEPTED"];
    assert_eq!(changed(&live), whole);
    assert_eq!((&live[3]["reason"], &live[3]["user"]["key"]), (&json!("NO_CONTEXT"), &json!("rob")));
    assert_eq!((&live[1]["topic"], &live[1]["requestId"]), (&json!("BACKGROUND"), &live[2]["requestId"]));
    let sides = [
        ("SALES", vec!["OFFERED", "CONTEXT_ANSWERED", "OFFERED"]),
        ("MARKETING", vec!["CONTEXT_REQUESTED", "RETURNED", "ACCEPTED"]),
    ];
    for (side, expected) in sides {
        let asked = json!({"after": head, "side": side});
        let seen = subscribe::follow(&world.server, "sse", HANDOFFS, asked, expected.len(), || {});
        assert_eq!(changed(&seen.expect("the clients are there")), expected, "{side}");
    }
    let context = json!({"after": head, "kinds": ["CONTEXT"]});
    let seen =
        subscribe::follow(&world.server, "ws", PROMISES, context, 4, || {}).expect("the clients are there");
    assert_eq!(changed(&seen), ["STARTED", "MET", "STARTED", "MET"]);
    assert_eq!(seen[0]["clock"], json!({"kind": "CONTEXT", "party": "MARKETING", "level": "LEAD"}));
    let paused = json!({"after": head, "changes": ["PAUSED"], "party": "SALES"});
    let seen =
        subscribe::follow(&world.server, "ws", PROMISES, paused, 4, || {}).expect("the clients are there");
    let shown: Vec<_> = seen.iter().map(|event| json!([event["clock"]["kind"], event["reason"]])).collect();
    let why = "CONTEXT_REQUESTED";
    let expected = [
        json!(["ACCEPT", why]),
        json!(["FIRST_TOUCH", why]),
        json!(["FIRST_TOUCH", why]),
        json!(["FIRST_TOUCH", why]),
    ];
    assert_eq!(shown, expected);
}
