//! The ledger: days that balance, every lead in one place, and promises that are kept, broken and corrected
//! in the open.

use std::time::Duration;

use handfast_domain::time::{DAY, Instant, SECOND};
use handfast_tests::{Api, Server, eventually};
use serde_json::{Value, json};

use crate::funnel::story;
use crate::work::{World, clock, done, look, now};

const DAYS: &str = "query($day: Date, $from: Date, $to: Date) { ledger(day: $day, from: $from, to: $to) { \
    day openAtStart opened openAtEnd balance closed { outcome cycles } } }";

fn number(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no Long"))
}

/// The day of an instant, in UTC.
fn date(at: Instant) -> String {
    at.to_string()[..10].to_owned()
}

#[test]
fn every_day_balances_and_begins_where_the_day_before_ended() {
    let world = World::start();
    let empty = world.admin.query(DAYS, json!({}))["ledger"].clone();
    assert_eq!(empty.as_array().map(Vec::len), Some(1), "without arguments it is today: {empty}");
    assert_eq!(
        (&empty[0]["opened"], &empty[0]["balance"], &empty[0]["closed"]),
        (&json!("0"), &json!("0"), &json!([]))
    );
    story(&world);
    let today = now(&world.admin);
    // Two days around, so that it does not matter where midnight is.
    let range = json!({"from": date(today.plus(-2 * DAY)), "to": date(today.plus(2 * DAY))});
    let days = world.admin.query(DAYS, range)["ledger"].as_array().unwrap().clone();
    assert_eq!(days.len(), 5);
    let mut closings = std::collections::BTreeMap::<String, i64>::new();
    for (place, day) in days.iter().enumerate() {
        assert_eq!(day["balance"], "0", "{day}");
        let closed: i64 = day["closed"].as_array().unwrap().iter().map(|one| number(&one["cycles"])).sum();
        assert_eq!(
            number(&day["openAtStart"]) + number(&day["opened"]) - closed,
            number(&day["openAtEnd"]),
            "{day}"
        );
        if place > 0 {
            assert_eq!(day["openAtStart"], days[place - 1]["openAtEnd"], "{day}");
        }
        for one in day["closed"].as_array().unwrap() {
            *closings.entry(one["outcome"].as_str().unwrap().to_owned()).or_default() +=
                number(&one["cycles"]);
        }
        let alone = world.admin.query(DAYS, json!({"day": day["day"]}))["ledger"].clone();
        assert_eq!(alone, json!([day]), "the day alone says the same");
    }
    assert_eq!(days.iter().map(|day| number(&day["opened"])).sum::<i64>(), 10);
    let told: Vec<(&str, i64)> =
        closings.iter().map(|(outcome, cycles)| (outcome.as_str(), *cycles)).collect();
    assert_eq!(told, [("DISQUALIFIED", 2), ("LOST", 1), ("RECYCLED", 2), ("WON", 1)]);
    assert_eq!(
        (&days[0]["openAtStart"], &days[4]["openAtEnd"]),
        (&json!("0"), &json!("4")),
        "four cycles are open"
    );
}

#[test]
fn a_range_of_days_that_makes_no_sense_is_refused() {
    let server = Server::start();
    let api = server.admin();
    let cases = [
        (json!({"day": "2026-02-30"}), "is no date"),
        (json!({"day": "yesterday"}), "is no date"),
        (json!({"day": "2026-03-01", "from": "2026-03-01"}), "not both"),
        (json!({"day": "2026-03-01", "to": "2026-03-01"}), "not both"),
        (json!({"from": "2026-03-02", "to": "2026-03-01"}), "must not be after"),
        (json!({"from": "2090-01-01"}), "must not be after"),
        (json!({"from": "2025-03-01", "to": "2026-03-02"}), "1 to 366 days"),
        (json!({"from": "0001-01-01", "to": "9999-12-31"}), "1 to 366 days"),
    ];
    for (variables, message) in cases {
        let error = api.error(DAYS, variables.clone());
        assert_eq!(error["extensions"]["code"], "VALIDATION", "{variables}: {error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{variables}: {error}");
    }
    for (variables, days) in [
        (json!({"from": "2025-03-01", "to": "2026-03-01"}), 366),
        (json!({"day": "9999-12-31"}), 1),
        (json!({"day": "0001-01-01"}), 1),
        (json!({"to": "2026-03-01"}), 1),
    ] {
        let found = api.query(DAYS, variables.clone())["ledger"].clone();
        assert_eq!(found.as_array().map(Vec::len), Some(days), "{variables}");
    }
}

#[test]
fn every_lead_is_in_exactly_one_place() {
    let world = World::start();
    let now_ = |api: &Api| {
        let document = "{ ledgerNow { captured total balanced places { place outcome leads } } }";
        api.query(document, json!({}))["ledgerNow"].clone()
    };
    assert_eq!(now_(&world.admin), json!({"captured": "0", "total": "0", "balanced": true, "places": []}));
    story(&world);
    let waits = world.at("SAL", "signal@example.test");
    done(
        &world.rob,
        "recycleLead",
        &waits,
        json!({"reason": "MISSING_FEATURE", "recycleOn": "feature-released"}),
    );
    let returned = world.mql("returned@example.test", json!({}));
    done(&world.rob, "rejectHandoff", &returned, json!({"reason": "NO_CONTEXT"}));
    let ledger = now_(&world.admin);
    assert_eq!(
        (&ledger["captured"], &ledger["total"], &ledger["balanced"]),
        (&json!("11"), &json!("11"), &json!(true)),
        "{ledger}"
    );
    let mut places: Vec<String> = ledger["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "{} {} {}",
                one["place"].as_str().unwrap(),
                one["outcome"].as_str().unwrap_or("-"),
                one["leads"].as_str().unwrap()
            )
        })
        .collect();
    places.sort();
    let expected = [
        "CLOSED DISQUALIFIED 2",
        "CLOSED WON 1",
        "NURTURE_UNTIL_DATE LOST 1",
        "NURTURE_UNTIL_DATE RECYCLED 1",
        "NURTURE_UNTIL_SIGNAL RECYCLED 1",
        "OWNER - 3",
        "QUEUE - 1",
        "REEVALUATION - 1",
    ];
    assert_eq!(places, expected);
    let total: i64 = ledger["places"].as_array().unwrap().iter().map(|one| number(&one["leads"])).sum();
    assert_eq!(total, number(&ledger["total"]));
    let forgotten = world.admin.query("{ unattended { edges { node { reason } } } }", json!({}));
    assert_eq!(
        forgotten["unattended"]["edges"],
        json!([]),
        "nobody is forgotten, and nothing is overdue yet"
    );
}

#[test]
fn a_lead_that_was_reopened_is_looked_at_again_on_a_date() {
    let world = World::start();
    let lead = world.at("SAL", "reopened@example.test");
    done(&world.rob, "recycleLead", &lead, json!({"reason": "NOT_READY"}));
    let reopened = done(&world.rob, "reopenLead", &lead, json!({"reason": "they called"}));
    let open = look(&world.rob, &reopened, "outcome nextEvaluationAt owner { key } queue { key }");
    let cared_for = ["nextEvaluationAt", "owner", "queue"].iter().any(|place| !open[place].is_null());
    assert!(open["outcome"] == "OPEN" && cared_for, "{open}");
}

const CLOCKS: &str = "\
    query($state: ClockState, $kind: ClockKind, $party: Party, $first: Int, $after: String) { \
    slaClocks(state: $state, kind: $kind, party: $party, first: $first, after: $after) { \
    edges { node { clock { id kind state dueAt } lead { id } } } pageInfo { hasNextPage endCursor } } }";

const SUMMARY: &str = "{ slaSummary { kind started running paused met breached cancelled balanced } }";

/// Promises by kind: started, running, paused, met, breached, cancelled. Each kind must be balanced.
fn summary(api: &Api) -> Vec<(String, [i64; 6])> {
    let found = api.query(SUMMARY, json!({}))["slaSummary"].clone();
    let kinds = found.as_array().unwrap().iter().map(|kind| {
        let counts = ["started", "running", "paused", "met", "breached", "cancelled"]
            .map(|state| number(&kind[state]));
        assert_eq!(kind["balanced"], true, "{kind}");
        assert_eq!(counts[0], counts[1..].iter().sum::<i64>(), "{kind}");
        (kind["kind"].as_str().unwrap().to_owned(), counts)
    });
    kinds.collect()
}

#[test]
fn promises_add_up_and_are_listed_by_state_kind_and_party() {
    let world = World::start();
    story(&world);
    let returned = world.mql("returned@example.test", json!({}));
    done(&world.rob, "rejectHandoff", &returned, json!({"reason": "NO_CONTEXT"}));
    let told = summary(&world.admin);
    let of = |kind: &str| told.iter().find(|(name, _)| name == kind).map(|(_, counts)| *counts);
    // Started, running, paused, met, breached, cancelled.
    assert_eq!(of("ROUTE"), Some([9, 0, 0, 9, 0, 0]), "eight of the story and the returned one: {told:?}");
    assert_eq!(of("ACCEPT"), Some([9, 2, 0, 7, 0, 0]), "two wait for an answer: {told:?}");
    assert_eq!(of("DISPOSITION"), Some([5, 0, 0, 5, 0, 0]), "{told:?}");
    assert_eq!(of("CONTEXT"), Some([1, 1, 0, 0, 0, 0]), "{told:?}");
    assert_eq!(of("REQUALIFY"), Some([3, 2, 0, 1, 0, 0]), "{told:?}");
    let first_touch = of("FIRST_TOUCH").expect("first touches");
    assert_eq!(
        (first_touch[0], first_touch[2]),
        (18, 2),
        "the lead's wait and the owner's duty, paused for one lead: {told:?}"
    );
    let list = |variables: Value| -> Vec<Value> {
        let (mut all, mut after) = (vec![], Value::Null);
        loop {
            let mut asked = variables.clone();
            (asked["first"], asked["after"]) = (json!(7), after);
            let page = world.admin.query(CLOCKS, asked)["slaClocks"].clone();
            all.extend(page["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()));
            if page["pageInfo"]["hasNextPage"] == json!(false) {
                return all;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    };
    let all = list(json!({}));
    assert_eq!(
        i64::try_from(all.len()),
        Ok(told.iter().map(|(_, counts)| counts[0]).sum()),
        "every promise is listed"
    );
    let due: Vec<&str> = all.iter().map(|one| one["clock"]["dueAt"].as_str().unwrap()).collect();
    assert!(due.is_sorted(), "the earliest due time first: {due:?}");
    let unique: std::collections::BTreeSet<String> =
        all.iter().map(|one| one["clock"]["id"].to_string()).collect();
    assert_eq!(unique.len(), all.len(), "each once");
    for (kind, counts) in &told {
        for (state, count) in ["RUNNING", "PAUSED", "MET", "BREACHED", "CANCELLED"].iter().zip(&counts[1..]) {
            let found = list(json!({"kind": kind, "state": state}));
            assert_eq!(i64::try_from(found.len()), Ok(*count), "{kind} {state}");
            assert!(
                found
                    .iter()
                    .all(|one| one["clock"]["kind"] == json!(kind) && one["clock"]["state"] == *state)
            );
        }
    }
    let marketing = list(json!({"party": "MARKETING", "state": "RUNNING"}));
    let kinds: std::collections::BTreeSet<&str> =
        marketing.iter().map(|one| one["clock"]["kind"].as_str().unwrap()).collect();
    let owed = ["CHARTER_REVIEW", "CONTEXT", "REQUALIFY"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), owed, "what marketing owes now");
}

/// Who is unattended, by e-mail, with the reason; whoever waits longest first.
fn unattended(api: &Api) -> Vec<(String, String)> {
    let document =
        "{ unattended { edges { node { reason since clock { dueAt metAt } lead { contact { email } } } } } }";
    let found = api.query(document, json!({}))["unattended"]["edges"].clone();
    let nodes: Vec<&Value> = found.as_array().unwrap().iter().map(|edge| &edge["node"]).collect();
    let since: Vec<&str> = nodes.iter().map(|node| node["since"].as_str().unwrap()).collect();
    assert!(since.is_sorted(), "{since:?}");
    let told = nodes.iter().map(|node| {
        assert_eq!(node["since"], node["clock"]["dueAt"], "it waits since the promise was due: {node}");
        assert!(node["clock"]["metAt"].is_null(), "{node}");
        let email = node["lead"]["contact"]["email"].as_str().unwrap();
        (email.trim_end_matches("@example.test").to_owned(), node["reason"].as_str().unwrap().to_owned())
    });
    told.collect()
}

/// The smallest target of a charter is a minute, so this test waits for one. Meanwhile the server is
/// restarted and another charter comes into force, neither of which may touch a promise that was given.
#[test]
fn a_broken_promise_is_seen_stays_broken_and_is_corrected_only_by_an_act_in_time() {
    let mut world = World::start();
    world.agree(|body| {
        for policy in body["sla"].as_array_mut().unwrap() {
            if ["ACCEPT", "FIRST_TOUCH", "DISPOSITION"].contains(&policy["kind"].as_str().unwrap()) {
                policy["mode"] = json!("WALL_CLOCK");
                (policy["targetMinutes"], policy["urgentTargetMinutes"]) = (json!(1), json!(null));
            }
        }
    });
    let call = json!({"kind": "CALL", "direction": "OUTBOUND"});
    let begun = now(&world.admin);
    let waiting = world.mql("not-accepted@example.test", json!({}));
    let silent = world.mql("not-touched@example.test", json!({}));
    done(&world.rob, "acceptHandoff", &silent, json!({}));
    let late = world.mql("touched-late@example.test", json!({}));
    done(&world.rob, "acceptHandoff", &late, json!({}));
    let open = world.mql("no-outcome@example.test", json!({}));
    done(&world.rob, "acceptHandoff", &open, json!({}));
    done(&world.rob, "logActivity", &open, call.clone());
    let kept = world.mql("kept@example.test", json!({}));
    done(&world.rob, "rejectHandoff", &kept, json!({"reason": "NOT_ICP"}));
    let in_time = now(&world.admin);
    assert_eq!(unattended(&world.admin), [], "nothing is due yet");
    let due = |lead: &Value| {
        look(&world.admin, lead, "clocks { id kind level state startedAt dueAt charter }")["clocks"].clone()
    };
    let before: Vec<Value> = [&waiting, &silent, &late, &open].map(due).to_vec();
    world.agree(|body| {
        for policy in body["sla"].as_array_mut().unwrap() {
            if policy["kind"] == "FIRST_TOUCH" {
                policy["targetMinutes"] = json!(500);
            }
        }
    });
    let (dir, token) = world.server.stop();
    world.server = Server::start_in(dir, Some(token));
    world.admin = world.server.admin();
    world.rob = world.server.token("rob", &["leads:read", "leads:write"]);
    let after: Vec<Value> = [&waiting, &silent, &late, &open]
        .map(|lead| {
            look(&world.admin, lead, "clocks { id kind level state startedAt dueAt charter }")["clocks"]
                .clone()
        })
        .to_vec();
    assert_eq!(after, before, "neither a new charter nor a restart touches a running promise");

    let wait = in_time.plus(61 * SECOND).since(now(&world.admin)).max(0);
    std::thread::sleep(Duration::from_millis(wait.unsigned_abs()));
    let (rob, admin) = (&world.rob, &world.admin);
    let states = |lead: &Value, kind: &str, level: &str| {
        let now = look(admin, lead, "clocks { kind level state metAt breachedAt dueAt }");
        let clocks = now["clocks"].as_array().unwrap();
        let found =
            clocks.iter().rev().find(|clock| clock["kind"] == kind && clock["level"] == level).cloned();
        found.unwrap_or_default()
    };
    let owed = [
        ("not-accepted", "NOT_ACCEPTED"),
        ("not-touched", "NOT_TOUCHED"),
        ("touched-late", "NOT_TOUCHED"),
        ("no-outcome", "NOT_DISPOSITIONED"),
    ];
    let owed = owed.map(|(email, reason)| (email.to_owned(), reason.to_owned()));
    eventually(5, "the promises are overdue", || (unattended(admin) == owed).then_some(()));
    let document = "query($first: Int, $after: String) { unattended(first: $first, after: $after) { \
                    edges { node { lead { id } } } pageInfo { hasNextPage endCursor } } }";
    let (mut walked, mut after) = (vec![], Value::Null);
    loop {
        let page = admin.query(document, json!({"first": 1, "after": after}))["unattended"].clone();
        walked
            .extend(page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["lead"]["id"].clone()));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(
        walked,
        [&waiting, &silent, &late, &open].map(|lead| lead["id"].clone()),
        "page by page the same"
    );
    for (lead, kind, level) in [
        (&waiting, "ACCEPT", "OWNER"),
        (&silent, "FIRST_TOUCH", "LEAD"),
        (&silent, "FIRST_TOUCH", "OWNER"),
        (&open, "DISPOSITION", "LEAD"),
    ] {
        let broken = eventually(5, "the breach is written down", || {
            Some(states(lead, kind, level)).filter(|clock| clock["state"] == "BREACHED")
        });
        assert_eq!(broken["breachedAt"], broken["dueAt"], "dated to the moment itself: {broken}");
        assert_eq!(broken["metAt"], json!(null), "{broken}");
    }
    let document = "query($lead: ID!) { events(filter: {lead: $lead, kinds: [\"CLOCK_CHANGED\"]}) { \
                    events { payload } } }";
    let events = admin.query(document, json!({"lead": silent["id"]}))["events"]["events"].to_string();
    assert_eq!(
        events.matches("BREACHED").count(),
        3,
        "each breach is emitted once: first touch twice, disposition once: {events}"
    );

    // Too late: kept, and broken all the same.
    assert_eq!(done(rob, "acceptHandoff", &waiting, json!({}))["stage"], "SAL", "a late yes is a yes");
    let accepted = states(&waiting, "ACCEPT", "OWNER");
    assert!(
        accepted["state"] == "BREACHED"
            && accepted["metAt"].is_string()
            && accepted["breachedAt"].is_string(),
        "{accepted}"
    );
    done(rob, "logActivity", &late, call.clone());
    let touched = states(&late, "FIRST_TOUCH", "LEAD");
    assert!(touched["state"] == "BREACHED" && touched["metAt"].is_string(), "{touched}");
    // In time, but reported late: the breach is corrected, and stays on record.
    let at = begun.plus(in_time.since(begun)).to_string();
    let reported = json!({"kind": "CALL", "direction": "OUTBOUND", "occurredAt": at});
    for lead in [&silent, &late] {
        done(rob, "logActivity", lead, reported.clone());
        for level in ["LEAD", "OWNER"] {
            let corrected = states(lead, "FIRST_TOUCH", level);
            assert_eq!(
                (&corrected["state"], &corrected["metAt"]),
                (&json!("MET"), &json!(at)),
                "{level}: {corrected}"
            );
            assert_eq!(
                corrected["breachedAt"], corrected["dueAt"],
                "the breach stays on record: {corrected}"
            );
        }
    }
    // An outcome that comes too late ends what was owed.
    done(rob, "recycleLead", &open, json!({"reason": "NOT_READY"}));
    let outcome = states(&open, "DISPOSITION", "LEAD");
    assert!(outcome["state"] == "BREACHED" && outcome["metAt"].is_string(), "{outcome}");
    let left: Vec<(String, String)> = unattended(admin);
    let owed = [
        ("not-accepted", "NOT_TOUCHED"),
        ("not-touched", "NOT_DISPOSITIONED"),
        ("touched-late", "NOT_DISPOSITIONED"),
    ];
    assert_eq!(left, owed.map(|(email, reason)| (email.to_owned(), reason.to_owned())), "what is still owed");
    let told = summary(admin);
    let of = |kind: &str| {
        told.iter().find(|(name, _)| name == kind).map(|(_, counts)| *counts).unwrap_or_default()
    };
    // Started, running, paused, met, breached, cancelled.
    assert_eq!(of("ACCEPT"), [5, 0, 0, 4, 1, 0], "{told:?}");
    assert_eq!(of("FIRST_TOUCH"), [10, 0, 0, 8, 2, 0], "{told:?}");
    assert_eq!(clock(&done(rob, "logActivity", &waiting, call), "FIRST_TOUCH", "LEAD"), "BREACHED");
    let ledger = admin.query("{ ledgerNow { balanced } ledger { balance } }", json!({}));
    assert_eq!(ledger, json!({"ledgerNow": {"balanced": true}, "ledger": [{"balance": "0"}]}));
    let (dir, _) = world.server.stop();
    let doctor = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
}
