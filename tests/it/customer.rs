//! What comes after a win, through the public API: renewals, advocates, churn, and winning back.

use handfast_domain::time::DAY;
use handfast_tests::eventually;
use serde_json::{Value, json};

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
