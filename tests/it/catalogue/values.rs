//! Cases 5, 22, 23 and 32 to 35: wrong values in documents that are well formed.
//!
//! 34 (stale versions, moves that the stage does not know) is in `lead` and `work`:
//! `every_verb_refuses_a_stale_version` and others there; here is only one of each. 35 (idempotency keys) is in `lead`,
//! `work`, `charter`, `campaign` and `directory`, but for keys that are too long.

use handfast_tests::Server;
use serde_json::{Value, json};

use super::{Row, Sent, check, short};
use crate::schema::{bare, list, name, needed, types};

const CAPTURE: &str = "mutation($input: CaptureLeadInput!) { captureLead(input: $input) { lead { id } errors { message path code } } }";

#[test]
fn every_wrong_value_is_refused_where_it_stands() {
    let server = Server::start();
    let (validation, size) = ("VALIDATION", "PAGE_SIZE");
    let first = "query($first: Int) { leads(first: $first) { edges { cursor } } }";
    let id = "query($id: ID!) { node(id: $id) { id } }";
    let int = "Invalid value for argument \"first\", expected type \"Int\"";
    let after = ") { edges { cursor } } }";
    let and = format!("{{ leads(filter: {}{}{after}", "{and:".repeat(2_000), "}".repeat(2_000));
    check(
        &server,
        vec![
            Row(22, "3,000,000", Sent::With(first, json!({"first": 3_000_000})), 200, size, "first must be 1 to 200, found 3000000"),
            Row(22, "-1", Sent::With(first, json!({"first": -1})), 200, size, "first must be 1 to 200, found -1"),
            Row(22, "first and last", "{ leads(first: 5, last: 5) { edges { cursor } } }".into(), 200, size, "give first or last, not both"),
            Row(22, "nested", "{ leads { edges { node { evaluations(first: 21) { id } } } } __typename leads2: leads(last: 0) { edges { cursor } } }".into(), 200, size, "last must be 1 to 200, found 0"),
            Row(23, "a long number", format!("{{ leads(first: 99999999999999999999{after}").into(), 400, validation, int),
            Row(23, "beyond 32 bits", format!("{{ leads(first: 2147483648{after}").into(), 200, validation, "Only integers from -2147483648 to 2147483647"),
            Row(23, "1e400", format!("{{ leads(first: 1e400{after}").into(), 400, validation, "line 1, column 16"),
            Row(23, "1.5", format!("{{ leads(first: 1.5{after}").into(), 400, validation, int),
            Row(23, "\"5\"", format!("{{ leads(first: \"5\"{after}").into(), 400, validation, int),
            Row(23, "null for what must be", "{ nodes(ids: null) { id } }".into(), 400, validation, "argument \"ids\", expected type \"[ID!]"),
            Row(23, "null in a list", "{ nodes(ids: [null]) { id } }".into(), 400, validation, "argument \"ids.0\""),
            Row(23, "a long number by variable", Sent::Body(format!("{{\"query\":\"{first}\",\"variables\":{{\"first\":99999999999999999999}}}}").into_bytes()), 400, validation, int),
            Row(23, "1e400 by variable", Sent::Body(format!("{{\"query\":\"{first}\",\"variables\":{{\"first\":1e400}}}}").into_bytes()), 400, "BAD_REQUEST", "number out of range"),
            Row(23, "\"5\" by variable", Sent::With(first, json!({"first": "5"})), 400, validation, int),
            Row(23, "true by variable", Sent::With(first, json!({"first": true})), 400, validation, int),
            Row(23, "null by variable", Sent::With(id, json!({"id": null})), 400, validation, "the variable $id is required; give it a value of ID!"),
            Row(23, "an object by variable", Sent::With(id, json!({"id": {"a": 1}})), 400, validation, "\"id\", expected type \"ID\""),
            Row(23, "an unknown word", format!("{{ leads(order: {}{after}", "SECRET".repeat(500)).into(), 400, validation, "enumeration type \"LeadOrder\" does not contain"),
            Row(33, "sorted by a column", format!("{{ leads(order: password_hash{after}").into(), 400, validation, "does not contain"),
            Row(33, "an argument that is none", format!("{{ leads(orderBy: \"email\"{after}").into(), 400, validation, "Unknown argument \"orderBy\""),
            Row(33, "a filter that is none", format!("{{ leads(filter: {{email: \"a\"}}{after}").into(), 400, validation, "unknown field \"email\" of type \"LeadFilterInput\""),
            Row(33, "a filter of 2,000 ands", and.into(), 400, "DOCUMENT_TOO_DEEP", "nesting deeper than 40"),
            Row(35, "a key of 1,000 characters", Sent::With(CAPTURE, json!({"input": {"idempotencyKey": "k".repeat(1_000), "lead": {"email": "a@example.test"}}})), 200, validation, "1 to 128 characters, found 1000"),
            Row(35, "a header of 1,000 characters", Sent::Raw(format!("GET /graphql?query=%7Bviewer%7Bkey%7D%7D HTTP/1.1\r\nidempotency-key: {}", "k".repeat(1_000)), vec![]), 400, "BAD_REQUEST", "has 1000 bytes; use 1 to 128"),
        ],
    );
}

/// Cases 5, 32, 34 and 35: refused in the payload, or not at all.
#[test]
fn text_is_text_whatever_it_looks_like() {
    let server = Server::start();
    let admin = server.admin();
    let lead = admin.capture("ada@example.test");
    for (field, value) in [
        ("name", "nul \u{0} nul"),
        ("source", "a\u{0}"),
        ("title", "two\u{1b}[2Jlines"),
        ("email", "nul\u{0}@example.test"),
        ("country", "\u{0}"),
    ] {
        let mut input = json!({"lead": {"email": "eve@example.test"}});
        input["lead"][field] = json!(value);
        if value.contains('\0') {
            let document =
                "mutation($input: CaptureLeadInput!) { captureLead(input: $input) { lead { id } } }";
            let refused = admin.error(document, json!({ "input": input }));
            let message = format!("$input.lead.{field} holds the character U+0000; leave it out");
            let found = (&refused["extensions"]["code"], &refused["message"]);
            assert_eq!(found, (&json!("VALIDATION"), &json!(message)), "{field}");
            continue;
        }
        let refused = admin.attempt("captureLead", "CaptureLeadInput", input, "lead { id }");
        let error = &refused["errors"][0];
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(["input", "lead", field])),
            "{field}: {refused}"
        );
    }
    let leads = "query($text: String) { leads(filter: {source: $text}) { edges { node { id } } } }";
    let others = [
        ("query($text: String!) { persona(key: $text) { key } }", json!({"persona": null})),
        ("query($text: String) { users(team: $text) { key } }", json!({"users": []})),
        (
            "query($text: String) { workQueue(queue: $text) { edges { cursor } } }",
            json!({"workQueue": {"edges": []}}),
        ),
        (
            "query($text: String) { decisions(slot: $text) { edges { cursor } } }",
            json!({"decisions": {"edges": []}}),
        ),
    ];
    let texts = [
        "%".repeat(10_000),
        "_".repeat(10_000),
        "'; drop table lead; --".to_owned(),
        "' or 1=1 --".to_owned(),
        "(a+)+$".repeat(500),
        "\\".repeat(9_999),
        "te%".to_owned(),
        "t_st".to_owned(),
        "\u{202e}tset".to_owned(),
        "ZA̡͊͠͝LGΌ \u{1f4a9}".repeat(100),
    ];
    for text in &texts {
        let began = std::time::Instant::now();
        let found = admin.query(leads, json!({ "text": text }));
        assert_eq!(found["leads"]["edges"], json!([]), "{}", short(text, 40));
        for (document, nothing) in &others {
            let found = admin.query(document, json!({ "text": text }));
            assert_eq!(found, *nothing, "{document}: {}", short(text, 40));
        }
        assert!(began.elapsed().as_secs() < 5, "{} took {:?}", short(text, 40), began.elapsed());
    }
    let found = admin.query(leads, json!({"text": "test"}));
    assert_eq!(found["leads"]["edges"][0]["node"]["id"], lead["id"], "and the lead is still there");

    let target = |more: Value| {
        let mut input = json!({"lead": {"id": lead["id"]}, "outcome": "DISQUALIFY", "reason": "NOT_ICP"});
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        admin.attempt("dispositionLead", "DispositionLeadInput", input, "lead { id }")["errors"][0].clone()
    };
    let stale = target(json!({"expectedVersion": 77}));
    assert_eq!(
        (&stale["code"], &stale["current"]),
        (&json!("VERSION_CONFLICT"), &lead["version"]),
        "{stale}"
    );
    let input = json!({"lead": {"id": lead["id"]}});
    let jump = admin.attempt("acceptHandoff", "LeadTarget", input, "lead { id }")["errors"][0].clone();
    assert_eq!(jump["code"], "ILLEGAL_TRANSITION", "{jump}");
    assert!(jump["allowed"].as_array().is_some_and(|allowed| !allowed.is_empty()), "{jump}");
    let key = json!({"idempotencyKey": "once"});
    assert_eq!(target(key.clone()), Value::Null, "the first time it is done");
    let other = json!({"idempotencyKey": "once", "reason": "NO_BUDGET"});
    assert_eq!(target(other)["code"], "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(target(key), Value::Null, "the same again is answered as before");
}

/// Case 22 for every list, those to come included.
#[test]
fn no_list_gives_a_page_that_is_too_large_or_none() {
    let server = Server::start();
    let (admin, types) = (server.admin(), types(&server.admin()));
    let (mut asked, mut wrong) = (0, vec![]);
    for field in list(&types["Query"], "fields") {
        for arg in list(field, "args").map(name).filter(|arg| ["first", "last"].contains(arg)) {
            for size in [3_000_000, 501, 0, -1, i64::from(i32::MIN)] {
                let more = list(field, "args").filter_map(|one| match name(one) {
                    "gate" => Some(", gate: MQL"),
                    "by" => Some(", by: CHANNEL"),
                    "figure" => Some(", figure: {ending: {}}"),
                    "model" => Some(", model: LINEAR"),
                    "lead" if needed(one) => Some(", lead: {email: \"a@example.test\"}"),
                    _ => None,
                });
                let more: String = more.collect();
                let document = format!("{{ {}({arg}: {size}{more}) {{ __typename }} }}", name(field));
                let (_, answer) = admin.post(&json!({ "query": document }));
                let error = &answer["errors"][0];
                let said = error["message"].as_str().unwrap_or_default();
                let tells =
                    said.starts_with(&format!("{arg} must be 1 to ")) && said.ends_with(&size.to_string());
                if error["extensions"]["code"] != "PAGE_SIZE" || !tells {
                    wrong.push(format!("{document}: {answer}"));
                }
                asked += 1;
            }
        }
        let of = &types[bare(&field["type"])];
        let grows = name(of).ends_with("Connection") && !list(field, "args").any(|arg| name(arg) == "first");
        if grows {
            wrong.push(format!("{} has pages and no `first`", name(field)));
        }
    }
    assert!(asked > 50, "{asked}");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}
