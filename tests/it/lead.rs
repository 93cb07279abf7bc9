//! The life of a lead through the public API: capture, evaluation, hand-off, work, every ending.

use handfast_tests::Server;
use serde_json::{Value, json};

const STATE: &str =
    "lead { id uuid version stage workState outcome cycle furthestStage owner { key } queue { key } }";

fn target(lead: &Value) -> Value {
    json!({"lead": {"id": lead["id"]}})
}

fn with(lead: &Value, more: Value) -> Value {
    let mut input = target(lead);
    for (key, value) in more.as_object().into_iter().flatten() {
        input[key] = value.clone();
    }
    input
}

#[test]
fn a_captured_person_is_an_inquiry_that_waits_for_a_rule() {
    let server = Server::start();
    let api = server.admin();
    let lead = api.capture("ada@example.test");
    assert_eq!((&lead["stage"], &lead["workState"]), (&json!("INQUIRY"), &json!("UNROUTED")));
    let document = "query($by: LeadRef!) { lead(by: $by) { version contact { email } nextEvaluationAt cycles { number openedBy } \
                    evaluations { cause gates { gate result missing } decisions { slot status outcome } } timeline { kind summary } } }";
    let found = &api.query(document, json!({"by": {"email": "ADA@example.test "}}))["lead"];
    assert_eq!(found["contact"]["email"], "ada@example.test");
    assert!(found["nextEvaluationAt"].is_string(), "a lead that is held has a dated re-evaluation: {found}");
    assert_eq!(found["cycles"], json!([{"number": 1, "openedBy": "CAPTURE"}]));
    assert_eq!(
        found["evaluations"][0]["decisions"][0]["outcome"], "HOLD",
        "the built-in rule holds: {found}"
    );
    assert_eq!(found["evaluations"][0]["gates"][0]["gate"], "MQL");
}

#[test]
fn the_same_person_is_one_lead() {
    let server = Server::start();
    let api = server.admin();
    let first = api.capture("bob@example.test");
    let input = json!({"lead": {"email": "Bob@Example.test", "phone": "+49 (30) 901820", "title": "CTO"}});
    let again =
        api.mutate("captureLead", "CaptureLeadInput", input, "created lead { id contact { title phone } }");
    assert_eq!((&again["created"], &again["lead"]["id"]), (&json!(false), &first["id"]));
    assert_eq!(again["lead"]["contact"], json!({"title": "CTO", "phone": "+4930901820"}));
    let input = json!({"leads": [
        {"phone": "0049 30 901820"},
        {"email": "new@example.test"},
        {"email": "new@example.test", "external": {"system": "crm", "id": "7"}},
        {"email": "not an address"},
        {"name": "Nobody"},
    ]});
    let batch = api.mutate(
        "captureLeads",
        "CaptureLeadsInput",
        input,
        "results { created lead { id } errors { path message code } }",
    );
    let results = batch["results"].as_array().unwrap();
    assert_eq!(results[0]["lead"]["id"], first["id"]);
    assert_eq!((&results[1]["created"], &results[2]["created"]), (&json!(true), &json!(true)));
    assert_eq!(results[1]["lead"]["id"], results[2]["lead"]["id"]);
    assert_eq!(results[3]["errors"][0]["path"], json!(["input", "leads", "3", "email"]));
    assert_eq!(results[4]["errors"][0]["code"], "VALIDATION");
    let by_ref = api.query(
        "query($by: LeadRef!) { lead(by: $by) { id } }",
        json!({"by": {"external": {"system": "crm", "id": "7"}}}),
    );
    assert_eq!(by_ref["lead"]["id"], results[1]["lead"]["id"]);
}

#[test]
fn a_repeated_request_has_its_effect_once() {
    let server = Server::start();
    let api = server.admin();
    let input = json!({"lead": {"email": "once@example.test"}, "idempotencyKey": "k-1"});
    let first = api.mutate("captureLead", "CaptureLeadInput", input.clone(), "created lead { id version }");
    let again = api.mutate("captureLead", "CaptureLeadInput", input, "created lead { id version }");
    assert_eq!(first, again, "the stored answer is told again");
    let other = json!({"lead": {"email": "other@example.test"}, "idempotencyKey": "k-1"});
    let reused = api.attempt("captureLead", "CaptureLeadInput", other, "lead { id }");
    assert_eq!(reused["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    let page = api.query("{ leads { edges { node { id } } } }", json!({}));
    assert_eq!(page["leads"]["edges"].as_array().unwrap().len(), 1);
}

#[test]
fn a_request_that_comes_again_while_it_is_carried_out_is_answered_as_the_first() {
    let server = Server::start();
    let api = server.admin();
    for n in 0..40 {
        let lead = api.capture(&format!("twice-{n}@example.test"));
        let input = json!({"lead": {"id": lead["id"]}, "outcome": "DISQUALIFY", "reason": "NOT_ICP",
            "idempotencyKey": format!("k-{n}")});
        // A client whose answer was cut off asks again before it can know that it is being served.
        let ask =
            &|| api.attempt("dispositionLead", "DispositionLeadInput", input.clone(), "lead { outcome }");
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let later = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
            let asking = (0..8).map(|at| scope.spawn(move || (later(at * (n % 4 + 1)), ask()).1));
            let asking: Vec<_> = asking.collect();
            asking.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        let first = json!({"lead": {"outcome": "DISQUALIFIED"}, "errors": []});
        assert!(answers.iter().all(|answer| *answer == first), "{answers:?}");
        let closed = json!({"lead": lead["id"], "kinds": ["CYCLE_CLOSED"]});
        let document = "query($filter: EventFilterInput) { events(filter: $filter) { events { kind } } }";
        let log = api.query(document, json!({"filter": closed}))["events"].take();
        assert_eq!(log, json!({"events": [{"kind": "CYCLE_CLOSED"}]}), "it was closed once");
    }
}

#[test]
fn a_lead_moves_only_along_the_arrows_of_the_machine() {
    let server = Server::start();
    let api = server.admin();
    let lead = api.capture("arrow@example.test");
    let cases = [
        ("acceptHandoff", "LeadTarget", target(&lead)),
        (
            "closeWon",
            "CloseWonInput",
            with(&lead, json!({"amount": {"amountMinor": "100", "currency": "EUR"}})),
        ),
        ("closeLost", "CloseLostInput", with(&lead, json!({"reason": "HOLDING_OFF"}))),
        (
            "recordOpportunity",
            "RecordOpportunityInput",
            with(&lead, json!({"amount": {"amountMinor": "100", "currency": "EUR"}})),
        ),
        ("routeLead", "RouteLeadInput", target(&lead)),
    ];
    for (field, kind, input) in cases {
        let refused = api.attempt(field, kind, input, "lead { id }");
        assert_eq!(refused["errors"][0]["code"], "ILLEGAL_TRANSITION", "{field}: {refused}");
        assert!(
            refused["errors"][0]["allowed"].as_array().unwrap().contains(&json!("evaluateLead")),
            "{field}: {refused}"
        );
    }
    let stale =
        api.attempt("evaluateLead", "LeadTarget", with(&lead, json!({"expectedVersion": 99})), "lead { id }");
    assert_eq!(
        (&stale["errors"][0]["code"], &stale["errors"][0]["current"]),
        (&json!("VERSION_CONFLICT"), &lead["version"])
    );
}

#[test]
fn a_drop_for_want_of_budget_is_never_a_bad_lead() {
    let server = Server::start();
    let api = server.admin();
    let lead = api.capture("budget@example.test");
    let input = with(&lead, json!({"outcome": "DISQUALIFY", "reason": "NO_BUDGET"}));
    let refused = api.attempt("dispositionLead", "DispositionLeadInput", input, STATE);
    assert_eq!(refused["errors"][0]["code"], "REASON_NOT_ALLOWED");
    let input = with(&lead, json!({"outcome": "RECYCLE", "reason": "NO_BUDGET"}));
    let recycled = api.mutate("dispositionLead", "DispositionLeadInput", input, &format!("{STATE} "));
    assert_eq!(recycled["lead"]["outcome"], "RECYCLED");
    assert_eq!(recycled["lead"]["workState"], "NURTURING");
    let clocks = api.query(
        "query($by: LeadRef!) { lead(by: $by) { clocks { kind state dueAt party } } }",
        json!({"by": {"id": lead["id"]}}),
    );
    assert_eq!(clocks["lead"]["clocks"][0]["kind"], "REQUALIFY", "it comes back on a date: {clocks}");
}

#[test]
fn a_disqualified_lead_can_be_reopened_unless_it_asked_not_to_be_contacted() {
    let server = Server::start();
    let api = server.admin();
    for (email, reason, reopens) in
        [("icp@example.test", "NOT_ICP", true), ("stop@example.test", "DO_NOT_CONTACT", false)]
    {
        let lead = api.capture(email);
        let input = with(&lead, json!({"outcome": "DISQUALIFY", "reason": reason}));
        let closed = api.mutate("dispositionLead", "DispositionLeadInput", input, STATE);
        assert_eq!(closed["lead"]["outcome"], "DISQUALIFIED");
        let again = api.attempt(
            "reopenLead",
            "ReopenLeadInput",
            with(&lead, json!({"reason": "we were wrong"})),
            STATE,
        );
        match reopens {
            true => assert_eq!(
                (&again["lead"]["cycle"], &again["lead"]["outcome"]),
                (&json!(2), &json!("OPEN")),
                "{again}"
            ),
            false => assert_eq!(again["errors"][0]["code"], "SUPPRESSED"),
        }
    }
}

#[test]
fn pages_walk_forward_and_backward_over_the_same_leads() {
    let server = Server::start();
    let api = server.admin();
    let leads: Vec<Value> = (0..25).map(|n| json!({"email": format!("p{n}@example.test")})).collect();
    api.mutate("captureLeads", "CaptureLeadsInput", json!({"leads": leads}), "results { created }");
    let document = "query($first: Int, $after: String, $last: Int, $before: String) { leads(first: $first, after: $after, last: $last, before: $before) \
                    { edges { cursor node { id contact { email } } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let (mut seen, mut after) = (vec![], Value::Null);
    loop {
        let page = &api.query(document, json!({"first": 10, "after": after}))["leads"];
        seen.extend(page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["id"].clone()));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen.len(), 25);
    let unique: std::collections::BTreeSet<String> = seen.iter().map(Value::to_string).collect();
    assert_eq!(unique.len(), 25);
    let page = &api.query(document, json!({"last": 5, "before": after}))["leads"];
    let back: Vec<Value> =
        page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["id"].clone()).collect();
    assert_eq!(back, seen[14..19], "the five before the last page's cursor");
    for bad in [json!({"first": 0}), json!({"first": 201}), json!({"first": 5, "last": 5})] {
        assert_eq!(api.error(document, bad)["extensions"]["code"], "PAGE_SIZE");
    }
    assert_eq!(
        api.error(document, json!({"first": 5, "after": "AAAA"}))["extensions"]["code"],
        "CURSOR_INVALID"
    );
}

#[test]
fn nobody_asks_without_a_token() {
    let server = Server::start();
    for token in ["", "hf_0000", "hf_00000000000000000000000000000000000000"] {
        let (status, answer) = server.api(token).post(&json!({"query": "{ leads { edges { cursor } } }"}));
        assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")));
    }
}

#[test]
fn each_field_of_a_lead_reads_alone_as_it_reads_with_all_others() {
    let server = Server::start();
    let api = server.admin();
    let company =
        json!({"name": "Steel AG", "domain": "steel.example", "industry": "steel", "country": "DE"});
    let lead =
        json!({"email": "ada@steel.example", "source": "fair", "channel": "EVENT", "company": company});
    api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id }");
    // Columns are read for the fields that were asked for: each must be there when nothing else is.
    let document = "{ __type(name: \"Lead\") { fields { name type { kind ofType { kind ofType { kind ofType { kind } } } } } } }";
    let fields = api.query(document, json!({}))["__type"]["fields"].take();
    let select = |field: &Value| {
        let name = field["name"].as_str().expect("a name");
        let nested = field["type"].to_string().contains("OBJECT");
        if nested { format!("{name} {{ __typename }}") } else { name.to_owned() }
    };
    let selections: Vec<String> = fields.as_array().into_iter().flatten().map(select).collect();
    assert!(selections.len() > 30, "{selections:?}");
    let read = |selection: &str| {
        let document = format!("{{ leads(first: 1) {{ edges {{ node {{ {selection} }} }} }} }}");
        api.query(&document, json!({}))["leads"]["edges"][0]["node"].take()
    };
    let all = read(&selections.join(" "));
    assert_eq!((&all["channel"], &all["source"]), (&json!("EVENT"), &json!("fair")));
    for selection in &selections {
        let alone = read(selection);
        let (name, value) = alone.as_object().and_then(|fields| fields.iter().next()).expect("a field");
        assert_eq!(value, &all[name], "{selection}");
        let aliased = read(&format!("... on Lead {{ it: {selection} }}"));
        assert_eq!(&aliased["it"], &all[name], "{selection} under another name, in a fragment");
    }
    let twice = read("account { name } ... on Node { id } account { domain }");
    assert_eq!(
        twice["account"],
        json!({"name": "Steel AG", "domain": "steel.example"}),
        "selections are merged"
    );
    assert_eq!(twice["id"], all["id"]);
}
