//! Looking again: a lead is judged again when something changed that its rules read, and only then; passes over all that wait tell
//! how far they are.

use handfast_tests::{Api, Server, card, eventually};
use serde_json::{Value, json};

const PASS: &str =
    "id cause gate accountId everything status done total unchanged judged moved message startedBy { key }";

fn lead(api: &Api, lead: Value) -> Value {
    let selection = "lead { id version stage persona { key } evaluations(first: 20) { id } } created";
    api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), selection)["lead"].clone()
}

fn again(api: &Api, id: &Value) -> Value {
    let document = "query($id: ID!) { lead(by: {id: $id}) { version stage evaluations(first: 20) { id } } }";
    api.query(document, json!({"id": id}))["lead"].clone()
}

fn looks(lead: &Value) -> usize {
    lead["evaluations"].as_array().map_or(0, Vec::len)
}

fn touch(api: &Api, id: &Value, content: &str) {
    let touch = json!({"lead": {"id": id}, "channel": "EMAIL", "content": content});
    api.mutate("recordTouchpoints", "RecordTouchpointsInput", json!({"touchpoints": [touch]}), "leads");
}

fn start(api: &Api, input: Value) -> Value {
    let payload = api.mutate(
        "startReevaluation",
        "StartReevaluationInput",
        input,
        &format!("reevaluation {{ {PASS} }}"),
    );
    payload["reevaluation"].clone()
}

fn ended(api: &Api, id: &Value) -> Value {
    eventually(60, "the pass ends", || {
        let found = api
            .query(&format!("query($id: ID!) {{ reevaluation(id: $id) {{ {PASS} }} }}"), json!({"id": id}));
        let pass = found["reevaluation"].clone();
        (pass["status"] != "QUEUED" && pass["status"] != "RUNNING").then_some(pass)
    })
}

fn counts(pass: &Value) -> [&str; 5] {
    ["done", "total", "unchanged", "judged", "moved"].map(|key| pass[key].as_str().unwrap_or("none"))
}

/// So many leads that have consented and as many that have not, each with a mail of its own.
fn crowd(api: &Api, each: usize) {
    let leads: Vec<Value> = (0..2 * each)
        .map(|n| json!({"email": format!("crowd-{n}@example.test"), "consent": n % 2 == 0}))
        .collect();
    for some in leads.chunks(100) {
        let document = "mutation($leads: [LeadInput!]!) { captureLeads(input: {leads: $leads}) { results { errors { message } } errors { message } } }";
        let answer = api.query(document, json!({"leads": some}));
        let results = answer["captureLeads"]["results"].as_array().cloned().unwrap_or_default();
        let bad = results.iter().find(|result| result["errors"] != json!([]));
        assert!(results.len() == some.len() && bad.is_none(), "{bad:?} of {} in {answer}", results.len());
    }
}

#[test]
fn a_lead_is_judged_again_when_something_changed_that_its_rules_read_and_only_then() {
    let server = Server::start();
    let api = server.admin();
    for (key, kind) in [("tags", "TEXT"), ("duration", "INTEGER")] {
        let input = json!({"key": key, "kind": kind, "meaning": "As the tests say", "personal": false});
        api.mutate("defineTrait", "DefineTraitInput", input, "definition { key }");
    }
    let digest = server.push("hindsight");
    server.set("mql", &digest, &json!({"tags": ["interested"]}));
    let told = |tags: &str, title: &str| json!({"email": "one@example.test", "title": title, "traits": [{"key": "tags", "value": tags}]});
    let first = lead(&api, told("busy", "clerk"));
    assert_eq!((looks(&first), &first["stage"]), (1, &json!("INQUIRY")), "{first}");
    // Nothing that the rule reads: a touch, another title, the same again.
    touch(&api, &first["id"], "newsletter");
    lead(&api, told("busy", "director"));
    lead(&api, json!({"email": "one@example.test"}));
    let same = again(&api, &first["id"]);
    assert_eq!((looks(&same), &same["version"]), (1, &first["version"]), "{same}");
    // Other settings of the rule: now the same data is worth a look, but it takes something to cause one.
    server.set("mql", &digest, &json!({"tags": ["interested"], "seconds": 5}));
    assert_eq!(looks(&again(&api, &first["id"])), 1);
    touch(&api, &first["id"], "newsletter");
    assert_eq!(looks(&again(&api, &first["id"])), 2);
    touch(&api, &first["id"], "newsletter");
    assert_eq!(looks(&again(&api, &first["id"])), 2);
    // What it reads.
    let read = lead(&api, told("interested", "director"));
    assert_eq!((looks(&read), &read["stage"]), (3, &json!("MQL")), "{read}");
    // Whoever asks is answered, whatever was said before.
    let other = lead(&api, json!({"email": "two@example.test"}));
    api.mutate("evaluateLead", "LeadTarget", json!({"lead": {"id": other["id"]}}), "lead { id }");
    assert_eq!(looks(&again(&api, &other["id"])), 2);
}

#[test]
fn what_becomes_known_of_a_company_brings_its_other_leads_to_the_rules() {
    let server = Server::start();
    let api = server.admin();
    let size = json!({"fit": [{"field": "company.employees", "bands": [{"from": 50, "points": 10}]}],
        "thresholds": {"advance": 10, "holdDays": 7}});
    server.deploy("scorecard", "mql", &size);
    let of = |email: &str, company: Value| json!({"email": email, "company": company});
    let first = lead(&api, of("first@company.test", json!({"name": "Company"})));
    let other = lead(&api, of("first@elsewhere.test", json!({"name": "Elsewhere"})));
    assert_eq!(first["stage"], "INQUIRY");
    let second = lead(&api, of("second@company.test", json!({"employees": "200"})));
    assert_eq!(second["stage"], "MQL");
    eventually(20, "the company's first lead is judged again", || {
        (again(&api, &first["id"])["stage"] == "MQL").then_some(())
    });
    assert_eq!(looks(&again(&api, &other["id"])), 1, "another company's lead is left alone");
    let document = format!("{{ reevaluations {{ edges {{ node {{ {PASS} }} }} }} }}");
    let pass = eventually(20, "the pass is over", || {
        let found = api.query(&document, json!({}));
        let edges = found["reevaluations"]["edges"].as_array().cloned().unwrap_or_default();
        assert_eq!(edges.len(), 1, "one company, one pass: {edges:?}");
        let pass = edges[0]["node"].clone();
        (pass["status"] == "FINISHED").then_some(pass)
    });
    assert_eq!(
        (&pass["cause"], &pass["startedBy"], counts(&pass)),
        (&json!("ACCOUNT"), &json!(null), ["1", "1", "0", "1", "1"])
    );
    assert!(pass["accountId"].is_string(), "{pass}");
    // The same again is nothing new.
    lead(&api, of("second@company.test", json!({"employees": "200"})));
    let found = api.query(&document, json!({}));
    assert_eq!(found["reevaluations"]["edges"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_pass_after_a_new_rule_moves_those_whom_it_lets_through_and_leaves_the_others_alone_the_next_time() {
    let server = Server::start();
    let api = server.admin();
    let digest = server.push("scorecard");
    server.set("mql", &digest, &card(100));
    crowd(&api, 100);
    server.set("mql", &digest, &card(10));
    let waiting = |input: Value| start(&api, input);
    let tried = waiting(json!({"dryRun": true}));
    assert_eq!((&tried["total"], &tried["done"]), (&json!("200"), &json!("0")));
    let none = api.query("{ reevaluations { edges { node { id } } } }", json!({}));
    assert_eq!(none["reevaluations"]["edges"], json!([]), "a dry run leaves nothing");
    let pass = ended(&api, &waiting(json!({"gate": "MQL", "idempotencyKey": "once"}))["id"]);
    assert_eq!(
        (&pass["status"], counts(&pass)),
        (&json!("FINISHED"), ["200", "200", "0", "200", "100"]),
        "{pass}"
    );
    assert_eq!(
        (&pass["startedBy"]["key"], &pass["cause"], &pass["gate"]),
        (&json!("admin"), &json!("PERSON"), &json!("MQL"))
    );
    assert_eq!(waiting(json!({"gate": "MQL", "idempotencyKey": "once"}))["id"], pass["id"], "once");
    let next = ended(&api, &waiting(json!({}))["id"]);
    assert_eq!(counts(&next), ["100", "100", "100", "0", "0"], "{next}");
    let all = ended(&api, &waiting(json!({"everything": true}))["id"]);
    assert_eq!(counts(&all), ["100", "100", "0", "100", "0"], "{all}");

    // The newest first, page by page.
    let document = "query($after: String) { reevaluations(first: 2, after: $after) { edges { node { id } } pageInfo { endCursor hasNextPage } } }";
    let page = api.query(document, json!({}))["reevaluations"].clone();
    assert_eq!(page["edges"], json!([{"node": {"id": all["id"]}}, {"node": {"id": next["id"]}}]));
    let page = api.query(document, json!({"after": page["pageInfo"]["endCursor"]}))["reevaluations"].clone();
    assert_eq!(
        (&page["edges"], &page["pageInfo"]["hasNextPage"]),
        (&json!([{"node": {"id": pass["id"]}}]), &json!(false))
    );

    // The command line says the same.
    let output = server.cli(&["reevaluate", "--gate", "mql"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.trim(), "100 leads: 0 judged, 0 of them moved, 100 unchanged and left alone");
    let output = server.cli(&["reevaluate", "--dry-run"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "100 leads wait for a rule");
}

#[test]
fn a_pass_tells_its_progress_and_goes_on_after_a_crash_where_it_was() {
    let server = Server::start();
    let api = server.admin();
    let digest = server.push("scorecard");
    server.set("mql", &digest, &card(100));
    crowd(&api, 1_000);
    server.set("mql", &digest, &card(10));
    let id = start(&api, json!({}))["id"].clone();
    let pass = format!("query($id: ID!) {{ reevaluation(id: $id) {{ {PASS} }} }}");
    let number =
        |pass: &Value, key: &str| pass[key].as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    eventually(60, "it has begun", || {
        let found = api.query(&pass, json!({"id": id}))["reevaluation"].clone();
        (number(&found, "done") > 0).then_some(())
    });
    let (dir, token) = server.kill();
    let server = Server::start_in(dir, Some(token));
    let api = server.admin();
    let document =
        "subscription($id: ID!) { reevaluationProgress(id: $id) { status done total judged moved } }";
    let told = crate::backtest::subscribe(&server, document, json!({"id": id}));
    let told: Vec<&Value> = told.iter().map(|data| &data["reevaluationProgress"]).collect();
    let last = told.last().expect("it is told at least how it ended");
    assert_eq!(
        (&last["status"], &last["done"], &last["total"]),
        (&json!("FINISHED"), &json!("2000"), &json!("2000")),
        "{told:?}"
    );
    let done: Vec<i64> = told.iter().map(|pass| number(pass, "done")).collect();
    assert!(done.is_sorted(), "it never goes back: {done:?}");
    // Every lead with consent came through, whichever process judged it, and none twice.
    let funnel = api.query("{ funnel { stages { stage open entered } } }", json!({}));
    let mql = funnel["funnel"]["stages"]
        .as_array()
        .and_then(|stages| stages.iter().find(|stage| stage["stage"] == "MQL"));
    assert_eq!(
        mql.map(|mql| (&mql["open"], &mql["entered"])),
        Some((&json!("1000"), &json!("1000"))),
        "{funnel}"
    );
}

#[test]
fn a_pass_is_cancelled_and_what_cannot_be_is_refused() {
    let server = Server::start();
    let api = server.admin();
    let digest = server.push("scorecard");
    server.set("mql", &digest, &card(100));
    crowd(&api, 1_000);
    let id = start(&api, json!({"everything": true}))["id"].clone();
    let cancel = "mutation($id: ID!) { cancelReevaluation(id: $id) { reevaluation { status message } errors { code path } } }";
    let payload = api.query(cancel, json!({"id": id}))["cancelReevaluation"].clone();
    assert_eq!(
        (&payload["reevaluation"]["status"], &payload["errors"]),
        (&json!("CANCELLED"), &json!([])),
        "{payload}"
    );
    let stopped = ended(&api, &id);
    assert_eq!(stopped["message"], "cancelled by a person");
    let over = ended(&api, &start(&api, json!({"gate": "IQL"}))["id"]);
    let again = api.query(cancel, json!({"id": over["id"]}))["cancelReevaluation"].clone();
    assert_eq!(again["reevaluation"]["status"], "FINISHED", "what is over stays so");
    let absent = json!({"id": "00000000-0000-7000-8000-000000000000"});
    assert_eq!(api.query(cancel, absent)["cancelReevaluation"]["errors"][0]["code"], "NOT_FOUND");
    for gate in ["INQUIRY", "SAL", "CUSTOMER"] {
        let payload = api.attempt(
            "startReevaluation",
            "StartReevaluationInput",
            json!({"gate": gate}),
            "reevaluation { id }",
        );
        let error = &payload["errors"][0];
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(["input", "gate"])),
            "{payload}"
        );
    }
    let reader = server.token("admin", &["leads:read"]);
    let payload =
        reader.attempt("startReevaluation", "StartReevaluationInput", json!({}), "reevaluation { id }");
    assert_eq!(payload["errors"][0]["code"], "FORBIDDEN");
}
