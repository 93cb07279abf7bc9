//! Feedback of one side to the other through the public API: posted, owed, answered, and traced to what it caused.

use handfast_tests::{Api, eventually};
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::subscribe;

const FEEDBACK: &str = "feedback { id from to kind status text tags answer user { key } acknowledgedBy { key } closedBy { key } \
    about { kind key campaign { key } persona { key } lead { id } } effects { kind key user { key } } \
    clock { kind party state dueAt metAt breachedAt } }";

fn post(api: &Api, input: Value) -> Value {
    api.mutate("postFeedback", "PostFeedbackInput", input, FEEDBACK)["feedback"].clone()
}

fn attempt(api: &Api, field: &str, kind: &str, input: Value) -> Value {
    api.attempt(field, kind, input, FEEDBACK)
}

fn acknowledge(api: &Api, feedback: &Value) -> Value {
    attempt(api, "acknowledgeFeedback", "AcknowledgeFeedbackInput", json!({"feedback": feedback["id"]}))
}

fn campaign(api: &Api, key: &str) -> Value {
    let input = json!({"key": key, "name": key, "kind": "fair", "channel": "EVENT"});
    api.mutate("createCampaign", "CreateCampaignInput", input, "campaign { id uuid: id }")["campaign"]["id"]
        .clone()
}

/// Adds a persona to the charter.
pub fn with_persona(parties: &Parties) {
    parties.enforce(&parties.body(|body| {
        body["personas"] = json!([{"key": "buyer", "name": "Buyer", "pains": [],
            "traits": [{"key": "chief", "weight": 1,
                "test": {"field": "contact.seniority", "comparator": "EQ", "values": ["C_LEVEL"]}}],
            "stageProfiles": [{"stage": "INQUIRY", "channels": [], "contentKinds": ["calculator"], "questions": []}]}]);
    }));
}

#[test]
fn feedback_is_answered_by_the_other_side_and_traced_to_what_it_caused() {
    let parties = Parties::start();
    let fair = campaign(&parties.marketing, "fair");
    let words = "Nobody of the fair's leads has a budget";
    let input = json!({"kind": "PROBLEM", "about": {"campaign": fair}, "tags": ["fair", "budget", "fair"], "text": words});
    let tried = attempt(
        &parties.sales,
        "postFeedback",
        "PostFeedbackInput",
        json!({"kind": "PROBLEM", "about": {"campaign": fair}, "text": words, "dryRun": true}),
    );
    assert_eq!(tried["errors"], json!([]));
    let once = |key: &str| {
        let mut input = input.clone();
        input["idempotencyKey"] = json!(key);
        post(&parties.sales, input)
    };
    let posted = once("k");
    assert_eq!(once("k")["id"], posted["id"], "the same key has one effect");
    assert_eq!(
        (&posted["from"], &posted["to"], &posted["status"], &posted["user"]["key"], &posted["tags"]),
        (&json!("SALES"), &json!("MARKETING"), &json!("OPEN"), &json!("saul"), &json!(["budget", "fair"]))
    );
    assert_eq!(posted["about"]["campaign"]["key"], "fair");
    assert_eq!(
        (&posted["clock"]["party"], &posted["clock"]["state"]),
        (&json!("MARKETING"), &json!("RUNNING"))
    );
    let clocks = "{ slaClocks(kind: FEEDBACK_ACK) { edges { node { clock { party state } lead { id } feedback { text } } } } \
                  slaSummary { kind started running met balanced } }";
    let standing = parties.marketing.query(clocks, json!({}));
    assert_eq!(
        standing["slaClocks"]["edges"],
        json!([{"node": {"clock": {"party": "MARKETING", "state": "RUNNING"}, "lead": null, "feedback": {"text": words}}}])
    );
    assert_eq!(
        standing["slaSummary"],
        json!([{"kind": "FEEDBACK_ACK", "started": "1", "running": "1", "met": "0", "balanced": true}])
    );

    let read = acknowledge(&parties.marketing, &posted)["feedback"].clone();
    assert_eq!(
        (&read["status"], &read["acknowledgedBy"]["key"], &read["clock"]["state"]),
        (&json!("ACKNOWLEDGED"), &json!("mara"), &json!("MET"))
    );
    let link = |api: &Api, effect: Value| {
        attempt(api, "linkEffect", "LinkEffectInput", json!({"feedback": posted["id"], "effect": effect}))
    };
    let next = campaign(&parties.marketing, "next-fair");
    assert_eq!(link(&parties.marketing, json!({"campaign": next}))["errors"], json!([]));
    assert_eq!(link(&parties.sales, json!({"campaign": next}))["errors"], json!([]), "the same twice is one");
    let linked = link(&parties.sales, json!({"charter": 0}))["feedback"]["effects"].clone();
    assert_eq!(
        linked,
        json!([{"kind": "CAMPAIGN", "key": next, "user": {"key": "mara"}},
            {"kind": "CHARTER", "key": "0", "user": {"key": "saul"}}])
    );
    assert_eq!(link(&parties.sales, json!({"charter": 77}))["errors"][0]["code"], "NOT_FOUND");
    let input = json!({"feedback": posted["id"], "text": "The next fair asks for a budget"});
    let acted = attempt(&parties.marketing, "actOnFeedback", "ActOnFeedbackInput", input)["feedback"].clone();
    assert_eq!(
        (&acted["status"], &acted["answer"], &acted["closedBy"]["key"]),
        (&json!("ACTED"), &json!("The next fair asks for a budget"), &json!("mara"))
    );

    let kinds = "[\"FEEDBACK_POSTED\", \"FEEDBACK_ANSWERED\", \"FEEDBACK_EFFECT_LINKED\", \"CLOCK_CHANGED\"]";
    let log = parties.sales.query(
        &format!("{{ events(filter: {{kinds: {kinds}}}) {{ events {{ kind stream payload }} }} }}"),
        json!({}),
    );
    let events = log["events"]["events"].as_array().expect("events");
    let told: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    let expected = [
        "FEEDBACK_POSTED",
        "CLOCK_CHANGED",
        "FEEDBACK_ANSWERED",
        "CLOCK_CHANGED",
        "FEEDBACK_EFFECT_LINKED",
        "FEEDBACK_EFFECT_LINKED",
        "FEEDBACK_ANSWERED",
    ];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event["stream"] == "FEEDBACK"), "{log}");
    assert!(!log.to_string().contains("budget"), "the log holds no words: {log}");
    let (dir, _) = parties.server.stop();
    for command in ["doctor", "verify"] {
        let looked = handfast_tests::offline(dir.path(), &[command]);
        assert!(looked.status.success(), "{command}: {looked:?}");
    }
}

#[test]
fn only_the_receiving_side_answers_once_and_a_no_needs_a_reason() {
    let parties = Parties::start();
    let (sales, marketing) = (&parties.sales, &parties.marketing);
    let posted = post(sales, json!({"kind": "REQUEST", "text": "Tell us of webinars a week ahead"}));
    let target = json!({"feedback": posted["id"]});
    let with = |more: Value| {
        let mut input = target.clone();
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        input
    };
    let own = acknowledge(sales, &posted)["errors"][0].clone();
    assert_eq!(own["code"], "FORBIDDEN");
    assert!(own["message"].as_str().is_some_and(|text| text.contains("MARKETING")), "{own}");
    let admin = acknowledge(&parties.admin, &posted)["errors"][0].clone();
    assert_eq!(admin["code"], "FORBIDDEN", "the administrator is of neither side");
    let no_words =
        attempt(marketing, "declineFeedback", "DeclineFeedbackInput", with(json!({"reason": "  "})));
    assert_eq!(
        (&no_words["errors"][0]["code"], &no_words["errors"][0]["path"]),
        (&json!("VALIDATION"), &json!(["input", "reason"]))
    );
    let declined = attempt(
        marketing,
        "declineFeedback",
        "DeclineFeedbackInput",
        with(json!({"reason": "They are planned daily"})),
    );
    assert_eq!(
        (
            &declined["feedback"]["status"],
            &declined["feedback"]["answer"],
            &declined["feedback"]["clock"]["state"]
        ),
        (&json!("DECLINED"), &json!("They are planned daily"), &json!("MET")),
        "whoever declines has read it"
    );
    for (field, kind, more) in [
        ("acknowledgeFeedback", "AcknowledgeFeedbackInput", json!({})),
        ("actOnFeedback", "ActOnFeedbackInput", json!({})),
        ("declineFeedback", "DeclineFeedbackInput", json!({"reason": "again"})),
        ("linkEffect", "LinkEffectInput", json!({"effect": {"charter": 0}})),
    ] {
        let again = attempt(marketing, field, kind, with(more));
        assert_eq!(again["errors"][0]["code"], "FEEDBACK_STATE", "{field}: {again}");
    }
    let about = |about: Value| json!({"kind": "INSIGHT", "about": about, "text": "so"});
    let unknown = "01a217bd-0000-7000-8000-000000000000";
    let many: Vec<String> = (0..11).map(|n| format!("tag{n}")).collect();
    for (input, code, path) in [
        (json!({"kind": "PROBLEM", "text": "It does not work"}), "VALIDATION", "about"),
        (json!({"kind": "INSIGHT", "text": ""}), "VALIDATION", "text"),
        (json!({"kind": "INSIGHT", "text": "x".repeat(2_001)}), "VALIDATION", "text"),
        (json!({"kind": "INSIGHT", "text": "so", "tags": ["No key"]}), "VALIDATION", "tags"),
        (json!({"kind": "INSIGHT", "text": "so", "tags": many}), "VALIDATION", "tags"),
        (about(json!({"persona": "nobody"})), "NOT_FOUND", "about"),
        (about(json!({"campaign": unknown})), "NOT_FOUND", "about"),
        (about(json!({"content": unknown})), "NOT_FOUND", "about"),
        (about(json!({"lead": unknown})), "NOT_FOUND", "about"),
        (about(json!({"pluginVersion": "0".repeat(64)})), "NOT_FOUND", "about"),
    ] {
        let refused = attempt(sales, "postFeedback", "PostFeedbackInput", input.clone());
        let error = &refused["errors"][0];
        assert_eq!((&error["code"], &error["path"][1]), (&json!(code), &json!(path)), "{input}: {refused}");
    }
}

#[test]
fn feedback_is_found_by_side_status_kind_subject_and_tag() {
    let parties = Parties::start();
    let (sales, marketing) = (&parties.sales, &parties.marketing);
    with_persona(&parties);
    let lead = sales.capture("found@example.test");
    let first = post(
        sales,
        json!({"kind": "INSIGHT", "about": {"persona": "buyer"}, "tags": ["price"], "text": "one"}),
    );
    let second = post(
        marketing,
        json!({"kind": "WORKS", "about": {"lead": lead["id"]}, "tags": ["price"], "text": "two"}),
    );
    let third = post(sales, json!({"kind": "FIELD_NOTE", "tags": ["fair"], "text": "three"}));
    assert_eq!(second["about"]["lead"]["id"], lead["id"]);
    assert_eq!(second["to"], "SALES");
    acknowledge(marketing, &third);
    let texts = |arguments: &str| {
        let document = format!("{{ feedback({arguments}) {{ edges {{ node {{ text }} }} }} }}");
        let found = sales.query(&document, json!({}));
        let edges = found["feedback"]["edges"].as_array().cloned().unwrap_or_default();
        edges
            .iter()
            .map(|edge| edge["node"]["text"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let id = first["id"].as_str().unwrap_or_default();
    assert!(!id.is_empty());
    for (arguments, expected) in [
        ("first: 10", vec!["three", "two", "one"]),
        ("side: MARKETING", vec!["three", "one"]),
        ("side: SALES", vec!["two"]),
        ("status: OPEN", vec!["two", "one"]),
        ("status: ACKNOWLEDGED, side: MARKETING", vec!["three"]),
        ("kind: FIELD_NOTE", vec!["three"]),
        ("tag: \"price\"", vec!["two", "one"]),
        ("tag: \"pri\"", vec![]),
        ("about: {persona: \"buyer\"}", vec!["one"]),
        ("about: {persona: \"buyer\"}, tag: \"fair\"", vec![]),
        ("overdue: true", vec![]),
    ] {
        assert_eq!(texts(arguments), expected, "{arguments}");
    }
    let about_lead = format!("about: {{lead: {}}}", lead["id"]);
    assert_eq!(texts(&about_lead), ["two"]);
    // Pages of one, by the cursor of the one before.
    let mut seen = vec![];
    let mut after = Value::Null;
    for _ in 0..3 {
        let document = "query($after: String) { feedback(first: 1, after: $after) { edges { node { text } } pageInfo { endCursor hasNextPage } } }";
        let page = sales.query(document, json!({"after": after}))["feedback"].clone();
        seen.push(page["edges"][0]["node"]["text"].clone());
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, [json!("three"), json!("two"), json!("one")]);
}

#[test]
fn a_promise_to_acknowledge_that_is_broken_is_seen_and_stays_broken() {
    let parties = Parties::start();
    parties.enforce(&parties.body(|body| {
        let policies = body["sla"].as_array_mut().expect("policies");
        let policy = policies.iter_mut().find(|policy| policy["kind"] == "FEEDBACK_ACK").expect("a policy");
        (policy["mode"], policy["targetMinutes"]) = (json!("WALL_CLOCK"), json!(1));
    }));
    let posted = post(&parties.marketing, json!({"kind": "REQUEST", "text": "Say why you reject"}));
    let document = "{ feedback(overdue: true) { edges { node { id clock { state } } } } \
        slaClocks(state: BREACHED, party: SALES) { edges { node { clock { kind } feedback { id } } } } }";
    eventually(90, "the promise is broken", || {
        let found = parties.sales.query(document, json!({}));
        let overdue = &found["feedback"]["edges"][0]["node"];
        (overdue["id"] == posted["id"] && overdue["clock"]["state"] == "BREACHED").then_some(())
    });
    let found = parties.sales.query(document, json!({}));
    assert_eq!(
        found["slaClocks"]["edges"],
        json!([{"node": {"clock": {"kind": "FEEDBACK_ACK"}, "feedback": {"id": posted["id"]}}}])
    );
    let late = acknowledge(&parties.sales, &posted)["feedback"].clone();
    assert_eq!((&late["status"], &late["clock"]["state"]), (&json!("ACKNOWLEDGED"), &json!("BREACHED")));
    assert!(
        late["clock"]["metAt"].is_string() && late["clock"]["breachedAt"] == posted["clock"]["dueAt"],
        "{late}"
    );
    let found = parties.sales.query(document, json!({}));
    assert_eq!(found["feedback"]["edges"], json!([]), "nobody waits for it any more");
    let (dir, _) = parties.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}

#[test]
fn feedback_is_told_as_it_happens_each_with_where_to_go_on() {
    let parties = Parties::start();
    let (server, head) =
        (&parties.server, parties.sales.query("{ feedHead }", json!({}))["feedHead"].clone());
    let followed = "subscription($after: FeedCursor, $side: Side) { feedback(after: $after, side: $side) { \
        cursor from to status effect feedbackId user { key } feedback { id text } } }";
    let mut ids = json!({});
    let live = subscribe::follow(server, "ws", followed, json!({"after": head}), 4, || {
        let posted = post(&parties.sales, json!({"kind": "INSIGHT", "text": "They buy in spring"}));
        acknowledge(&parties.marketing, &posted);
        let input = json!({"feedback": posted["id"], "effect": {"charter": 0}});
        attempt(&parties.marketing, "linkEffect", "LinkEffectInput", input);
        let other = post(&parties.marketing, json!({"kind": "INSIGHT", "text": "They read on Sundays"}));
        ids = json!([posted["id"], other["id"]]);
    });
    let Some(live) = live else { return };
    let told: Vec<Value> = live
        .iter()
        .map(|event| {
            json!([event["feedbackId"], event["to"], event["status"], event["effect"], event["user"]["key"]])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!([ids[0], "MARKETING", "OPEN", null, "saul"]),
            json!([ids[0], "MARKETING", "ACKNOWLEDGED", null, "mara"]),
            json!([ids[0], "MARKETING", null, "CHARTER", "mara"]),
            json!([ids[1], "SALES", "OPEN", null, "mara"]),
        ]
    );
    assert_eq!(live[0]["feedback"], json!({"id": ids[0], "text": "They buy in spring"}));
    for mode in ["ws", "sse"] {
        let from = json!({"after": live[1]["cursor"], "side": "SALES"});
        let seen = subscribe::follow(server, mode, followed, from, 1, || {}).expect("the clients are there");
        assert_eq!(seen[0]["feedbackId"], ids[1], "{mode}");
        let rest = subscribe::follow(server, mode, followed, json!({"after": live[0]["cursor"]}), 3, || {});
        assert_eq!(rest.expect("the clients are there").len(), 3, "{mode}");
    }
}
