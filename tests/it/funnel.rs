//! The funnel in numbers, after a little story whose numbers are known.

use handfast_tests::{Api, Server, eventually};
use serde_json::{Value, json};

use crate::conversion::{file, lead, past};
use crate::import::{import, server_in};
use crate::work::{World, done, look};

/// Nine people and ten cycles: two inquiries of which one is no customer at all, two MQLs of which sales
/// refuses one, an SAL that goes back to nurture, an SQL that is lost, an open deal, a won one, and one who
/// is recycled, reopened and an MQL again. Answers the other MQL.
pub fn story(world: &World) -> Value {
    let World { mia, rob, .. } = world;
    let inquiry = |email: &str| {
        let input = json!({"lead": {"email": email}});
        mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id stage }")["lead"].clone()
    };
    let waits = inquiry("waits@example.test");
    done(
        mia,
        "dispositionLead",
        &inquiry("student@example.test"),
        json!({"outcome": "DISQUALIFY", "reason": "STUDENT_OR_JOB_SEEKER"}),
    );
    let new = world.mql("new@example.test", json!({}));
    done(rob, "rejectHandoff", &world.mql("refused@example.test", json!({})), json!({"reason": "NOT_ICP"}));
    done(rob, "recycleLead", &world.at("SAL", "later@example.test"), json!({"reason": "NOT_READY"}));
    done(rob, "closeLost", &world.at("SQL", "lost@example.test"), json!({"reason": "HOLDING_OFF"}));
    world.at("OPPORTUNITY", "deal@example.test");
    let eur = json!({"amount": {"amountMinor": "990000", "currency": "EUR"}});
    done(rob, "closeWon", &world.at("OPPORTUNITY", "won@example.test"), eur);
    let again = world.at("SAL", "again@example.test");
    done(rob, "recycleLead", &again, json!({"reason": "NO_BUDGET"}));
    done(rob, "reopenLead", &again, json!({"reason": "they called"}));
    eventually(10, "a reopened lead is judged", || {
        (look(rob, &again, "stage")["stage"] == "MQL").then_some(())
    });
    assert_eq!(waits["stage"], "INQUIRY");
    new
}

fn funnel(api: &Api) -> Value {
    let document = "{ funnel { charter { number signed } won lost recycled disqualified \
        stages { stage label open furthest entered standing { outcome leads } } \
        conversion { from to entered advanced rateBasisPoints } } }";
    api.query(document, json!({}))["funnel"].clone()
}

#[test]
fn an_empty_funnel_has_all_stages_with_zeros_and_no_rates() {
    let world = World::unsigned();
    let funnel = funnel(&world.admin);
    assert_eq!(funnel["charter"], json!({"number": 0, "signed": false}));
    let stages = funnel["stages"].as_array().unwrap();
    let kinds: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    let all = ["ANONYMOUS", "INQUIRY", "IQL", "MQL", "SAL", "SQL", "OPPORTUNITY", "CUSTOMER", "ADVOCATE"];
    assert_eq!(kinds, all);
    for stage in stages {
        let counts = (&stage["open"], &stage["furthest"], &stage["entered"], &stage["standing"]);
        assert_eq!(counts, (&json!("0"), &json!("0"), &json!("0"), &json!([])), "{stage}");
    }
    for step in funnel["conversion"].as_array().unwrap() {
        assert_eq!(step["rateBasisPoints"], json!(null), "nothing entered: {step}");
    }
    for total in ["won", "lost", "recycled", "disqualified"] {
        assert_eq!(funnel[total], "0", "{total}");
    }
}

#[test]
fn the_numbers_of_the_funnel_are_those_of_the_story() {
    let world = World::start();
    story(&world);
    let found = funnel(&world.admin);
    assert_eq!(found["charter"], json!({"number": 1, "signed": true}));
    // Stage, open leads, leads that came this far at most, cycles that entered it.
    let counts = [
        ("ANONYMOUS", "0", "0", "0"),
        ("INQUIRY", "1", "2", "10"),
        ("IQL", "0", "0", "8"),
        ("MQL", "2", "2", "8"),
        ("SAL", "0", "2", "5"),
        ("SQL", "0", "1", "3"),
        ("OPPORTUNITY", "1", "1", "2"),
        ("CUSTOMER", "0", "1", "1"),
        ("ADVOCATE", "0", "0", "0"),
    ];
    for (stage, (kind, open, furthest, entered)) in found["stages"].as_array().unwrap().iter().zip(counts) {
        let told = (&stage["stage"], &stage["open"], &stage["furthest"], &stage["entered"]);
        assert_eq!(told, (&json!(kind), &json!(open), &json!(furthest), &json!(entered)), "{stage}");
    }
    let standing = [
        ("INQUIRY", "OPEN", 1),
        ("INQUIRY", "DISQUALIFIED", 1),
        ("MQL", "OPEN", 2),
        ("MQL", "DISQUALIFIED", 1),
        ("SAL", "RECYCLED", 1),
        ("SQL", "LOST", 1),
        ("OPPORTUNITY", "OPEN", 1),
        ("CUSTOMER", "WON", 1),
    ];
    let mut told: Vec<(String, String, i64)> = vec![];
    for stage in found["stages"].as_array().unwrap() {
        for one in stage["standing"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            told.push((text(&stage["stage"]), text(&one["outcome"]), text(&one["leads"]).parse().unwrap()));
        }
    }
    let mut expected: Vec<(String, String, i64)> = standing
        .iter()
        .map(|(stage, outcome, leads)| ((*stage).to_owned(), (*outcome).to_owned(), *leads))
        .collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    for (stage, outcome, leads) in expected {
        let document = "query($filter: LeadFilterInput) { leads(filter: $filter) { edges { node { id } } } }";
        let page = world.admin.query(document, json!({"filter": {"stages": [stage], "outcomes": [outcome]}}));
        let listed = page["leads"]["edges"].as_array().unwrap().len();
        assert_eq!(
            i64::try_from(listed),
            Ok(leads),
            "the list of {stage} {outcome} is as long as it is counted"
        );
    }
    let rates = [
        ("INQUIRY", "IQL", "10", "8", 8_000),
        ("IQL", "MQL", "8", "8", 10_000),
        ("MQL", "SAL", "8", "5", 6_250),
        ("SAL", "SQL", "5", "3", 6_000),
        ("SQL", "OPPORTUNITY", "3", "2", 6_667),
        ("OPPORTUNITY", "CUSTOMER", "2", "1", 5_000),
        ("CUSTOMER", "ADVOCATE", "1", "0", 0),
    ];
    let expected = rates.map(|(from, to, entered, advanced, rate)| {
        json!({"from": from, "to": to, "entered": entered, "advanced": advanced, "rateBasisPoints": rate})
    });
    assert_eq!(found["conversion"], json!(expected));
    for (total, count) in [("won", "1"), ("lost", "1"), ("recycled", "2"), ("disqualified", "2")] {
        assert_eq!(found[total], count, "{total}");
    }
}

#[test]
fn the_funnel_is_the_same_after_a_crash_and_moves_with_the_next_change() {
    let world = World::start();
    let new = story(&world);
    let before = funnel(&world.admin);
    let (dir, token) = world.server.kill();
    let server = Server::start_in(dir, Some(token));
    let api = server.admin();
    assert_eq!(funnel(&api), before);
    let rob = server.token("rob", &["leads:read", "leads:write"]);
    done(&rob, "acceptHandoff", &new, json!({}));
    let counts = |funnel: &Value, at: usize| {
        (funnel["stages"][at]["open"].clone(), funnel["stages"][at]["entered"].clone())
    };
    let after = funnel(&api);
    assert_eq!(counts(&before, 3), (json!("2"), json!("8")));
    assert_eq!(counts(&after, 3), (json!("1"), json!("8")), "it left MQL");
    assert_eq!(counts(&before, 4), (json!("0"), json!("5")));
    assert_eq!(counts(&after, 4), (json!("1"), json!("6")), "and is an SAL");
}

const AS_OF: &str = "query($asOf: DateTime, $basis: FunnelBasis! = RECORDED) { funnel(asOf: $asOf, basis: $basis) { asOf charter { number signed } \
    won lost recycled disqualified stages { stage label open furthest entered standing { outcome leads } } \
    conversion { from to entered advanced rateBasisPoints } } }";

#[test]
fn a_past_moment_is_told_from_the_log_as_the_live_counters_told_it_then() {
    let world = World::start();
    let World { mia, rob, admin, .. } = &world;
    let mut told: Vec<Value> = vec![];
    let mut remember = || {
        // The moment after the change, and before the next one.
        std::thread::sleep(std::time::Duration::from_millis(20));
        told.push(admin.query(AS_OF, json!({}))["funnel"].clone());
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    remember();
    let refused = world.mql("first@example.test", json!({}));
    remember();
    done(rob, "rejectHandoff", &refused, json!({"reason": "NOT_ICP"}));
    remember();
    let later = world.at("SAL", "second@example.test");
    remember();
    done(rob, "recycleLead", &later, json!({"reason": "NOT_READY"}));
    remember();
    let won = world.at("OPPORTUNITY", "third@example.test");
    world.agree(|body| {
        let stages = body["stages"].as_array_mut().expect("stages");
        stages.iter_mut().for_each(|stage| {
            stage["label"] = json!(format!("our {}", stage["kind"].as_str().unwrap_or_default()))
        });
    });
    remember();
    done(rob, "closeWon", &won, json!({"amount": {"amountMinor": "990000", "currency": "EUR"}}));
    done(mia, "reopenLead", &later, json!({"reason": "they called"}));
    eventually(10, "a reopened lead is judged", || {
        (look(rob, &later, "stage")["stage"] == "MQL").then_some(())
    });
    remember();
    story(&world);
    assert!(
        told.windows(2).all(|pair| pair[0]["stages"] != pair[1]["stages"]),
        "each moment has numbers of its own"
    );
    for then in &told {
        assert_eq!(admin.query(AS_OF, json!({"asOf": then["asOf"]}))["funnel"], *then);
        // What happens live is written down at once.
        assert_eq!(admin.query(AS_OF, json!({"asOf": then["asOf"], "basis": "OCCURRED"}))["funnel"], *then);
    }
    let before = admin.query(AS_OF, json!({"asOf": "2001-01-01T00:00:00Z"}))["funnel"].clone();
    assert_eq!((&before["charter"]["number"], &before["stages"][1]["entered"]), (&json!(0), &json!("0")));
    let error = admin.error(AS_OF, json!({"asOf": "2999-01-01T00:00:00Z"}));
    assert!(error["message"].as_str().unwrap_or_default().contains("asOf must be a past moment"), "{error}");
}

#[test]
fn an_imported_past_is_known_from_its_import_on_and_was_so_before() {
    let server = server_in("EUR", "UTC");
    let api = server.admin();
    let before = api.query(AS_OF, json!({}))["funnel"].clone();
    let rows = [
        lead("a", "2024-01-10T12:00:00Z", "ads", Some(("WON", "2024-01-20T12:00:00Z"))),
        lead("b", "2024-02-01T12:00:00Z", "ads", None),
    ];
    let ended = import(&api, file(&rows), &past());
    assert!(ended.refused().is_empty(), "{:?}", ended.refused());
    let entered = |at: &Value, basis: &str| {
        let funnel = api.query(AS_OF, json!({"asOf": at, "basis": basis}))["funnel"].clone();
        let stages = funnel["stages"].as_array().expect("stages").clone();
        let mql = stages.iter().find(|stage| stage["stage"] == "MQL").expect("MQL").clone();
        (mql["entered"].clone(), mql["open"].clone(), funnel["won"].clone())
    };
    let zero = (json!("0"), json!("0"), json!("0"));
    assert_eq!(entered(&before["asOf"], "RECORDED"), zero);
    assert_eq!(entered(&json!("2024-01-15T00:00:00Z"), "RECORDED"), zero, "nobody knew");
    assert_eq!(entered(&json!("2024-01-09T00:00:00Z"), "OCCURRED"), zero);
    assert_eq!(entered(&json!("2024-01-15T00:00:00Z"), "OCCURRED"), (json!("1"), json!("1"), json!("0")));
    assert_eq!(entered(&json!("2024-01-25T00:00:00Z"), "OCCURRED"), (json!("1"), json!("0"), json!("1")));
    assert_eq!(entered(&before["asOf"], "OCCURRED"), (json!("2"), json!("1"), json!("1")));
}
