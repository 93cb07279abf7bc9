//! Two leads that are one person become one, through the public API.

use serde_json::{Value, json};

use crate::work::{World, clock, done, look};
use handfast_tests::Api;

const MERGED: &str = "lead { id stage outcome owner { key } cycle } duplicate { id outcome mergedInto { id } cycles { outcome } }";

fn merge(api: &Api, one: &Value, other: &Value, more: Value) -> Value {
    let mut input = json!({"lead": {"id": one["id"]}, "duplicate": {"id": other["id"]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        input[key] = value.clone();
    }
    api.attempt("mergeLeads", "MergeLeadsInput", input, MERGED)
}

fn captured(api: &Api, lead: Value) -> Value {
    api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id stage outcome }")["lead"]
        .clone()
}

fn by(api: &Api, by: Value) -> Value {
    let document = "query($by: LeadRef!) { lead(by: $by) { id } }";
    api.query(document, json!({"by": by}))["lead"]["id"].clone()
}

#[test]
fn the_older_lead_goes_on_with_all_that_was_known_of_either() {
    let world = World::start();
    let old =
        captured(&world.mia, json!({"phone": "+4930123456", "name": "Kim Example", "content": "brochure"}));
    let new = captured(
        &world.mia,
        json!({"email": "kim@example.test", "title": "CTO", "content": "webinar", "external": {"system": "crm", "id": "77"}}),
    );
    let balanced = || world.mia.query("{ ledgerNow { balanced } }", json!({}));
    // The order does not matter.
    let tried = merge(&world.rob, &new, &old, json!({"dryRun": true}));
    assert_eq!((&tried["errors"], &tried["lead"]["id"]), (&json!([]), &old["id"]));
    assert_eq!(
        look(&world.mia, &new, "outcome mergedInto { id }"),
        json!({"outcome": "OPEN", "mergedInto": null})
    );
    let once = json!({"idempotencyKey": "once"});
    let merged = merge(&world.mia, &new, &old, once.clone());
    assert_eq!(merged["errors"], json!([]), "{merged}");
    assert_eq!((&merged["lead"]["id"], &merged["lead"]["outcome"]), (&old["id"], &json!("OPEN")));
    let gone = json!({"id": new["id"], "outcome": "MERGED", "mergedInto": {"id": old["id"]}, "cycles": [{"outcome": "MERGED"}]});
    assert_eq!(merged["duplicate"], gone);
    assert_eq!(
        merge(&world.mia, &new, &old, once)["errors"],
        json!([]),
        "the same request again is answered as before"
    );

    let kept = look(&world.mia, &old, "contact { name email phone title } touchpoints { content } ");
    let person =
        json!({"name": "Kim Example", "email": "kim@example.test", "phone": "+4930123456", "title": "CTO"});
    assert_eq!(kept["contact"], person);
    assert_eq!(kept["touchpoints"], json!([{"content": "webinar"}, {"content": "brochure"}]));
    for name in [json!({"email": "kim@example.test"}), json!({"external": {"system": "crm", "id": "77"}})] {
        assert_eq!(by(&world.mia, name.clone()), old["id"], "{name}");
    }
    let again = captured(&world.mia, json!({"email": "kim@example.test"}));
    assert_eq!(again["id"], old["id"], "whoever comes again is the one that goes on");
    assert_eq!(balanced()["ledgerNow"]["balanced"], true);

    let again = merge(&world.mia, &old, &new, json!({}));
    assert_eq!(again["errors"][0]["code"], "ILLEGAL_TRANSITION");
    let same = merge(&world.mia, &old, &old, json!({}));
    assert_eq!(same["errors"][0]["path"], json!(["input", "duplicate"]), "{same}");
    let missing = json!({"lead": {"id": old["id"]}, "duplicate": {"email": "nobody@example.test"}});
    let missing = world.mia.attempt("mergeLeads", "MergeLeadsInput", missing, MERGED);
    assert_eq!(
        (&missing["errors"][0]["code"], &missing["errors"][0]["path"]),
        (&json!("NOT_FOUND"), &json!(["input", "duplicate"]))
    );
}

#[test]
fn what_sales_is_at_work_with_goes_on_where_it_stood() {
    let world = World::start();
    let old = captured(&world.mia, json!({"phone": "+4930765432"}));
    let new = world.at("OPPORTUNITY", "deal@example.test");
    let theirs = merge(&world.mia, &old, &new, json!({}));
    assert_eq!(theirs["errors"][0]["code"], "FORBIDDEN", "sales accepted it: {theirs}");
    let merged = merge(&world.rob, &old, &new, json!({}));
    assert_eq!(merged["errors"], json!([]), "{merged}");
    let lead = &merged["lead"];
    assert_eq!(
        (&lead["id"], &lead["stage"], &lead["owner"]["key"]),
        (&old["id"], &json!("OPPORTUNITY"), &json!("rob"))
    );
    let eur = json!({"amount": {"amountMinor": "240000", "currency": "EUR"}});
    assert_eq!(done(&world.rob, "closeWon", &old, eur)["outcome"], "WON");
    let ledger = world.mia.query("{ ledgerNow { balanced } }", json!({}));
    assert_eq!(ledger["ledgerNow"]["balanced"], true);
}

#[test]
fn a_closed_lead_comes_back_for_a_duplicate_that_is_open() {
    let world = World::start();
    let old = captured(&world.mia, json!({"phone": "+4930111111"}));
    done(&world.mia, "recycleLead", &old, json!({"reason": "NOT_READY"}));
    let new = world.mql("back@example.test", json!({}));
    let merged = merge(&world.mia, &old, &new, json!({}));
    assert_eq!(merged["errors"], json!([]), "{merged}");
    let lead = look(&world.mia, &old, "stage outcome cycle clocks { kind level state }");
    assert_eq!((&lead["outcome"], &lead["cycle"]), (&json!("OPEN"), &json!(2)));
    assert_eq!(lead["stage"], "MQL", "the rules looked at what is known of both");
    assert_eq!(clock(&lead, "ACCEPT", "OWNER"), "RUNNING");
    let gone = look(&world.mia, &new, "handoff { status } clocks { kind level state }");
    assert_eq!(gone["handoff"]["status"], "CANCELLED");
    assert!(
        gone["clocks"].as_array().into_iter().flatten().all(|clock| clock["state"] != "RUNNING"),
        "nobody waits for it any more: {gone}"
    );
    for verb in ["reopenLead", "routeLead", "evaluateLead"] {
        let more = if verb == "reopenLead" { json!({"reason": "again"}) } else { json!({}) };
        let refused = crate::work::refused(&world.mia, verb, &new, more);
        assert_eq!(refused["code"], "ILLEGAL_TRANSITION", "{verb}");
    }
}

#[test]
fn a_chain_of_duplicates_leads_to_the_oldest_and_nobody_who_asked_for_peace_is_found_again() {
    let world = World::start();
    let leads: Vec<Value> =
        (0..3).map(|n| captured(&world.mia, json!({"email": format!("chain{n}@example.test")}))).collect();
    assert_eq!(merge(&world.mia, &leads[1], &leads[2], json!({}))["errors"], json!([]));
    assert_eq!(merge(&world.mia, &leads[0], &leads[1], json!({}))["errors"], json!([]));
    for n in 0..3 {
        assert_eq!(by(&world.mia, json!({"email": format!("chain{n}@example.test")})), leads[0]["id"], "{n}");
    }
    assert_eq!(
        look(&world.mia, &leads[2], "mergedInto { id }"),
        json!({"mergedInto": {"id": leads[0]["id"]}})
    );

    let quiet = captured(&world.mia, json!({"email": "quiet@example.test"}));
    done(&world.mia, "dispositionLead", &quiet, json!({"outcome": "DISQUALIFY", "reason": "DO_NOT_CONTACT"}));
    let refused = merge(&world.mia, &leads[0], &quiet, json!({}));
    assert_eq!(refused["errors"][0]["code"], "ILLEGAL_TRANSITION");
    let message = refused["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("DO_NOT_CONTACT"), "it says what to do: {message}");
}
