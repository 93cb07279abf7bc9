//! What comes after a win, through the public API: renewals, advocates, churn, and winning back.

use handfast_domain::time::DAY;
use handfast_tests::eventually;
use serde_json::{Value, json};

use crate::import::text;
use crate::work::{World, act, done, look, now, refused};

const CUSTOMER: &str = "stage cycle outcome customer { renewals renewedAt renewsAt churnedAt churnReason competitor } \
    cycles { number openedBy outcome }";

fn eur(more: Value) -> Value {
    let mut input = json!({"amount": {"amountMinor": "240000", "currency": "EUR"}});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    input
}

fn won(world: &World, email: &str, more: Value) -> Value {
    done(&world.rob, "closeWon", &world.at("OPPORTUNITY", email), eur(more))
}

fn due(world: &World, until: Option<String>) -> Vec<(Value, Value)> {
    let document = "query($until: DateTime, $after: String) { renewalsDue(until: $until, first: 1, after: $after) { \
        pageInfo { endCursor hasNextPage } edges { node { renewsAt lead { id } } } } }";
    let (mut found, mut after) = (vec![], Value::Null);
    loop {
        let page = world.mia.query(document, json!({"until": until, "after": after}))["renewalsDue"].clone();
        for edge in page["edges"].as_array().into_iter().flatten() {
            found.push((edge["node"]["lead"]["id"].clone(), edge["node"]["renewsAt"].clone()));
        }
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] != true {
            return found;
        }
    }
}

#[test]
fn a_customer_renews_speaks_for_us_leaves_and_is_won_back() {
    let world = World::start();
    let open = world.at("OPPORTUNITY", "open@example.test");
    for (verb, more) in [
        ("recordRenewal", json!({})),
        ("dateRenewal", json!({})),
        ("recordChurn", json!({"reason": "PRICE"})),
        ("recordAdvocacy", json!({"advocacy": "REFERRAL"})),
    ] {
        assert_eq!(refused(&world.mia, verb, &open, more)["code"], "ILLEGAL_TRANSITION", "{verb}");
    }
    assert_eq!(look(&world.mia, &open, "customer { renewals }")["customer"], Value::Null);
    let today = now(&world.mia);
    let (soon, later) = (today.plus(30 * DAY).to_string(), today.plus(395 * DAY).to_string());
    let lead = won(&world, "won@example.test", json!({"renewsAt": soon}));
    let next = won(&world, "next@example.test", json!({"renewsAt": today.plus(40 * DAY).to_string()}));
    won(&world, "undated@example.test", json!({}));
    let listed: Vec<Value> = due(&world, None).into_iter().map(|(lead, _)| lead).collect();
    assert_eq!(listed, [lead["id"].clone(), next["id"].clone()], "the next one first");
    assert_eq!(due(&world, Some(soon.clone())), vec![]);

    let past = today.plus(-DAY).to_string();
    assert_eq!(
        refused(&world.rob, "dateRenewal", &lead, json!({"renewsAt": past}))["path"],
        json!(["input", "renewsAt"])
    );
    let tried = act(&world.rob, "recordRenewal", &lead, json!({"renewsAt": later, "dryRun": true}));
    assert_eq!(tried["errors"], json!([]));
    let renewal = json!({"renewsAt": later, "idempotencyKey": "renewal-1"});
    done(&world.rob, "recordRenewal", &lead, renewal.clone());
    done(&world.rob, "recordRenewal", &lead, renewal);
    let seen = look(&world.mia, &lead, CUSTOMER);
    assert_eq!(
        (&seen["customer"]["renewals"], &seen["customer"]["renewsAt"], &seen["stage"]),
        (&json!(1), &json!(later), &json!("CUSTOMER")),
        "once, and whoever only stays is no advocate"
    );
    assert_eq!(due(&world, None).len(), 1);
    assert_eq!(
        done(&world.mia, "recordAdvocacy", &lead, json!({"advocacy": "REFERENCE"}))["stage"],
        "ADVOCATE"
    );
    done(&world.mia, "recordAdvocacy", &lead, json!({"advocacy": "REFERRAL"}));

    let misplaced = json!({"reason": "PRICE", "competitor": "Acme"});
    assert_eq!(refused(&world.rob, "recordChurn", &lead, misplaced)["path"], json!(["input", "competitor"]));
    let early = json!({"reason": "PRICE", "occurredAt": "2020-01-01T00:00:00Z"});
    assert_eq!(refused(&world.rob, "recordChurn", &lead, early)["path"], json!(["input", "occurredAt"]));
    let back = now(&world.mia).plus(2_000).to_string();
    let churn = json!({"reason": "LOST_TO_COMPETITOR", "competitor": "Acme", "winBackAt": back});
    done(&world.rob, "recordChurn", &lead, churn);
    let left =
        look(&world.mia, &lead, "customer { churnedAt churnReason competitor renewsAt }")["customer"].clone();
    assert!(left["churnedAt"].is_string(), "{left}");
    assert_eq!(
        (&left["churnReason"], &left["competitor"], &left["renewsAt"]),
        (&json!("LOST_TO_COMPETITOR"), &json!("Acme"), &json!(null))
    );
    assert_eq!(refused(&world.rob, "recordRenewal", &lead, json!({}))["code"], "ILLEGAL_TRANSITION");
    let opened = eventually(20, "a cycle opens to win it back", || {
        let seen = look(&world.mia, &lead, CUSTOMER);
        Some(seen).filter(|seen| seen["cycle"] == 2)
    });
    assert_eq!(opened["cycles"][1]["openedBy"], "WINBACK", "{opened}");
    let ledger = world.mia.query("{ ledgerNow { balanced } }", json!({}));
    assert_eq!(ledger["ledgerNow"]["balanced"], true);
}

#[test]
fn what_became_of_customers_is_told_by_cohorts_reasons_and_time() {
    let world = World::start();
    let customers: Vec<Value> =
        (0..4).map(|n| won(&world, &format!("c{n}@example.test"), json!({}))).collect();
    done(&world.rob, "recordRenewal", &customers[0], json!({}));
    done(&world.rob, "recordChurn", &customers[1], json!({"reason": "PRICE"}));
    done(&world.rob, "recordChurn", &customers[2], json!({"reason": "NEVER_ADOPTED"}));
    // One of them comes again by itself, and is won back.
    let visit = json!({"touchpoints": [{"lead": {"id": customers[2]["id"]}, "channel": "DIRECT", "content": "demo-request"}]});
    world.mia.mutate("recordTouchpoints", "RecordTouchpointsInput", visit, "highIntent");
    let again = look(&world.mia, &customers[2], CUSTOMER);
    assert_eq!((&again["cycle"], &again["cycles"][1]["openedBy"]), (&json!(2), &json!("WINBACK")), "{again}");
    let document = "{ retention(cohort: MONTH) { renewed churnReasons { reason customers } \
        kept { days } cohorts { customers churned churnBasisPoints } totals { customers churned } export(format: CSV) } }";
    let found = world.mia.query(document, json!({}))["retention"].clone();
    assert_eq!(found["renewed"], "1");
    assert_eq!(found["totals"], json!([{"customers": "4", "churned": "2"}]));
    assert_eq!(found["cohorts"][0]["churnBasisPoints"], 5_000);
    assert_eq!(found["kept"], json!([]), "nobody has been a customer for 30 days");
    let reasons =
        json!([{"reason": "PRICE", "customers": "1"}, {"reason": "NEVER_ADOPTED", "customers": "1"}]);
    assert_eq!(found["churnReasons"], reasons);
    assert!(found["export"].as_str().unwrap_or_default().contains(",true,2\r\n"), "{found}");
}

#[test]
fn a_merged_customer_renews_and_leaves_as_the_lead_that_goes_on() {
    let world = World::start();
    let old = world.mql("old@example.test", json!({}));
    let date = now(&world.mia).plus(30 * DAY).to_string();
    let customer = won(&world, "customer@example.test", json!({"renewsAt": date}));
    let pair = json!({"lead": {"id": old["id"]}, "duplicate": {"id": customer["id"]}});
    world.rob.mutate("mergeLeads", "MergeLeadsInput", pair, "lead { id }");
    assert_eq!(due(&world, None), [(old["id"].clone(), json!(date))]);
    assert_eq!(
        refused(&world.rob, "recordChurn", &customer, json!({"reason": "NO_NEED"}))["code"],
        "ILLEGAL_TRANSITION"
    );
    done(&world.rob, "recordChurn", &old, json!({"reason": "NO_NEED"}));
    let document = "{ retention { totals { customers churned } } }";
    let found = world.mia.query(document, json!({}))["retention"]["totals"].clone();
    assert_eq!(found, json!([{"customers": "1", "churned": "1"}]));
}

#[test]
fn what_was_told_wrongly_of_a_customer_is_told_again_and_what_cannot_be_is_refused() {
    let world = World::start();
    let customer = |lead: &Value| {
        look(&world.mia, lead, "customer { renewals renewedAt renewsAt churnedAt churnReason }")["customer"]
            .clone()
    };
    let lead = won(&world, "told@example.test", json!({}));
    let at = now(&world.mia);
    done(&world.rob, "recordRenewal", &lead, json!({"renewsAt": at.plus(400 * DAY).to_string()}));
    let renewed = customer(&lead);
    // A late word of an earlier renewal counts, and moves nothing back.
    let earlier = json!({"occurredAt": now(&world.mia).plus(-1).to_string(), "renewsAt": at.plus(30 * DAY).to_string()});
    let before = text(&renewed, "renewedAt");
    if earlier["occurredAt"].as_str() < Some(before) {
        done(&world.rob, "recordRenewal", &lead, earlier);
        let seen = customer(&lead);
        assert_eq!((&seen["renewals"], &seen["renewsAt"]), (&json!(2), &renewed["renewsAt"]));
    }
    done(&world.rob, "recordChurn", &lead, json!({"reason": "PRICE"}));
    done(&world.rob, "recordChurn", &lead, json!({"reason": "SERVICE"}));
    assert_eq!(customer(&lead)["churnReason"], "SERVICE", "a second word is a correction");
    let found = world.mia.query("{ retention { churnReasons { reason customers } } }", json!({}));
    assert_eq!(found["retention"]["churnReasons"], json!([{"reason": "SERVICE", "customers": "1"}]));

    // Whoever is out comes back by a person alone: no date can be promised.
    let out = won(&world, "out@example.test", json!({}));
    let visit =
        json!({"touchpoints": [{"lead": {"id": out["id"]}, "channel": "DIRECT", "content": "demo-request"}]});
    world.mia.mutate("recordTouchpoints", "RecordTouchpointsInput", visit, "highIntent");
    let later = json!({"reason": "PRICE", "winBackAt": now(&world.mia).plus(DAY).to_string()});
    let refusal = refused(&world.rob, "recordChurn", &out, later.clone());
    assert!(text(&refusal, "message").contains("is open"), "{refusal}");
    done(&world.mia, "dispositionLead", &out, json!({"outcome": "DISQUALIFY", "reason": "NOT_ICP"}));
    let refusal = refused(&world.rob, "recordChurn", &out, later.clone());
    assert!(text(&refusal, "message").contains("reopenLead"), "{refusal}");

    let gone = won(&world, "gone@example.test", json!({}));
    let eraser = world.server.token("mia", &["leads:read", "leads:write", "leads:erase"]);
    eraser.mutate("eraseLead", "EraseLeadInput", json!({"lead": {"id": gone["id"]}}), "lead { id }");
    for (verb, more) in [
        ("recordRenewal", json!({})),
        ("dateRenewal", json!({"renewsAt": now(&world.mia).plus(DAY).to_string()})),
        ("recordChurn", json!({"reason": "PRICE"})),
        ("recordAdvocacy", json!({"advocacy": "REFERRAL"})),
    ] {
        assert_eq!(refused(&world.rob, verb, &gone, more)["code"], "ILLEGAL_TRANSITION", "{verb}");
    }
}

#[test]
fn two_leads_of_one_customer_are_one_customer() {
    let world = World::start();
    let merged = |one: &Value, other: &Value| {
        let pair = json!({"lead": {"id": one["id"]}, "duplicate": {"id": other["id"]}});
        world.rob.mutate("mergeLeads", "MergeLeadsInput", pair, "lead { id }");
    };
    let retention = || {
        let document = "{ retention { renewed totals { customers churned } churnReasons { customers } } }";
        world.mia.query(document, json!({}))["retention"].clone()
    };
    // The older one left, and the other one is a customer still.
    let old = won(&world, "old@example.test", json!({}));
    let back = now(&world.mia).plus(30 * DAY).to_string();
    done(&world.rob, "recordChurn", &old, json!({"reason": "PRICE", "winBackAt": back}));
    let date = now(&world.mia).plus(40 * DAY).to_string();
    let new = won(&world, "new@example.test", json!({"renewsAt": date}));
    merged(&old, &new);
    let seen = look(&world.mia, &old, "customer { churnedAt renewsAt } clocks { kind level state }");
    assert_eq!(seen["customer"], json!({"churnedAt": null, "renewsAt": date}), "the person is a customer");
    assert_eq!(crate::work::clock(&seen, "REQUALIFY", "LEAD"), "CANCELLED", "nobody has to win it back");
    assert_eq!(due(&world, None), [(old["id"].clone(), json!(date))]);
    done(&world.rob, "recordRenewal", &old, json!({}));
    let found = retention();
    assert_eq!(
        (&found["totals"], &found["renewed"]),
        (&json!([{"customers": "1", "churned": "1"}]), &json!("1"))
    );
    assert_eq!(found["churnReasons"], json!([]));

    // What is known of a customer before it was merged into a lead that was never won stays known.
    let lead = world.mql("lead@example.test", json!({}));
    let loyal = won(&world, "loyal@example.test", json!({}));
    done(&world.rob, "recordRenewal", &loyal, json!({}));
    merged(&lead, &loyal);
    done(&world.rob, "recordRenewal", &lead, json!({}));
    let found = retention();
    assert_eq!(
        (&found["totals"], &found["renewed"]),
        (&json!([{"customers": "2", "churned": "1"}]), &json!("3"))
    );
}
