//! First meetings, through the public API: what marketing states before the hand-off, what is sealed, and how they went.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::import::text;
use crate::work::{World, act, done, look, refused};

const MEETING: &str = "handoff { status completeness intact packet { firstMeetingExpectation firstMeetingPurpose } \
    firstMeeting { purpose expectation outcome at } }";

fn handoff(api: &Api, lead: &Value) -> Value {
    look(api, lead, MEETING)["handoff"].clone()
}

#[test]
fn what_marketing_states_is_sealed_into_the_packet_and_held_against_the_meeting() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let plain = world.mql("plain@example.test", json!({}));
    let without = handoff(rob, &plain);
    assert_eq!(
        (&without["firstMeeting"], &without["packet"]["firstMeetingPurpose"]),
        (&json!(null), &json!(null))
    );

    // Before the hand-off, of a lead that is not ready yet.
    let input = json!({"lead": {"email": "early@example.test"}});
    let early = mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id stage }")["lead"].clone();
    assert_eq!(early["stage"], "INQUIRY");
    done(mia, "expectFirstMeeting", &early, json!({"purpose": "PRICING"}));
    let words = json!({"purpose": "DEMO", "expectation": "To see the export with their own data"});
    done(mia, "expectFirstMeeting", &early, words.clone());
    let input = json!({"lead": {"email": "early@example.test", "consent": true}});
    mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id }");
    let sealed = handoff(rob, &early);
    let expected = json!({"firstMeetingExpectation": "To see the export with their own data", "firstMeetingPurpose": "DEMO"});
    assert_eq!((&sealed["packet"], &sealed["intact"]), (&expected, &json!(true)), "{sealed}");
    let share = |handoff: &Value| handoff["completeness"].as_i64().unwrap_or_default();
    assert_eq!(share(&sealed) - share(&without), 1_429, "one part of seven more: {sealed} {without}");

    // With the lead itself, as a form tells it.
    let lead = world.mql("form@example.test", json!({"firstMeeting": {"purpose": "TECHNICAL"}}));
    let first = handoff(rob, &lead)["firstMeeting"].clone();
    let talk = json!({"purpose": "TECHNICAL", "expectation": "A talk among specialists", "outcome": null, "at": null});
    assert_eq!(first, talk);
    // What sales has is sealed: the lead is sent again with what is known now.
    let late = refused(mia, "expectFirstMeeting", &lead, words.clone());
    assert_eq!((&late["code"], &late["allowed"]), (&json!("ILLEGAL_TRANSITION"), &json!(["routeLead"])));
    done(mia, "routeLead", &lead, json!({"firstMeeting": words}));
    assert_eq!(handoff(rob, &lead)["firstMeeting"]["purpose"], "DEMO");
    done(mia, "routeLead", &lead, json!({}));
    assert_eq!(handoff(rob, &lead)["firstMeeting"]["purpose"], "DEMO", "it stays until another is stated");

    done(rob, "acceptHandoff", &lead, json!({}));
    assert_eq!(
        refused(mia, "expectFirstMeeting", &lead, json!({"purpose": "DEMO"}))["code"],
        "ILLEGAL_TRANSITION"
    );
    let meet = |outcome: &str, direction: &str| json!({"kind": "MEETING", "direction": direction, "meetingOutcome": outcome, "note": "so it was"});
    done(rob, "logActivity", &lead, meet("NO_SHOW", "OUTBOUND"));
    assert_eq!(handoff(mia, &lead)["firstMeeting"]["outcome"], "NO_SHOW");
    done(rob, "logActivity", &lead, meet("HELD_WORSE", "TWO_WAY"));
    done(rob, "logActivity", &lead, meet("HELD_BETTER", "TWO_WAY"));
    let first = handoff(mia, &lead)["firstMeeting"].clone();
    assert_eq!((&first["purpose"], &first["outcome"]), (&json!("DEMO"), &json!("HELD_WORSE")), "{first}");
    assert!(first["at"].is_string(), "{first}");

    let officer = world.server.token("mia", &["leads:read", "leads:erase"]);
    officer.mutate("eraseLead", "EraseLeadInput", json!({"lead": {"id": lead["id"]}}), "lead { id }");
    let left = handoff(mia, &lead)["firstMeeting"].clone();
    assert_eq!(
        (&left["expectation"], &left["outcome"]),
        (&json!(null), &json!("HELD_WORSE")),
        "the words are gone"
    );
}

#[test]
fn an_expectation_is_marketings_and_an_outcome_belongs_to_a_meeting() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let lead = world.mql("rules@example.test", json!({}));
    done(rob, "acceptHandoff", &lead, json!({}));
    let outcomes = [
        (json!({"kind": "CALL", "direction": "TWO_WAY", "meetingOutcome": "HELD_BETTER"}), "meetingOutcome"),
        (json!({"kind": "MEETING", "direction": "OUTBOUND", "meetingOutcome": "HELD_BETTER"}), "direction"),
        (json!({"kind": "MEETING", "direction": "TWO_WAY", "meetingOutcome": "NO_SHOW"}), "direction"),
    ];
    for (more, place) in outcomes {
        let error = refused(rob, "logActivity", &lead, more.clone());
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(["input", place])),
            "{more}"
        );
    }
    let input = json!({"lead": {"email": "new@example.test"}});
    let new = mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id }")["lead"].clone();
    assert_eq!(refused(rob, "expectFirstMeeting", &new, json!({"purpose": "DEMO"}))["code"], "FORBIDDEN");
    for more in [
        json!({"purpose": "OTHER"}),
        json!({"purpose": "DEMO", "expectation": " "}),
        json!({"purpose": "DEMO", "expectation": "x".repeat(1_001)}),
    ] {
        let error = refused(mia, "expectFirstMeeting", &new, more.clone());
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(["input", "expectation"])),
            "{more}"
        );
    }
    let input = json!({"lead": {"email": "other@example.test", "firstMeeting": {"purpose": "OTHER"}}});
    let error = mia.attempt("captureLead", "CaptureLeadInput", input, "lead { id }")["errors"][0].clone();
    assert_eq!(error["path"], json!(["input", "lead", "firstMeeting", "expectation"]), "{error}");
    let tried = act(mia, "expectFirstMeeting", &new, json!({"purpose": "DEMO", "dryRun": true}));
    assert_eq!(tried["errors"], json!([]));
    let once = json!({"purpose": "DEMO", "idempotencyKey": "once"});
    let first = done(mia, "expectFirstMeeting", &new, once.clone())["version"].clone();
    assert_eq!(done(mia, "expectFirstMeeting", &new, once)["version"], first, "once");
}

#[test]
fn wins_and_losses_are_told_by_what_the_first_meeting_was_to_be_and_how_it_went() {
    let world = World::start();
    let World { rob, .. } = &world;
    let eur = json!({"amount": {"amountMinor": "70000", "currency": "EUR"}});
    for (number, purpose, outcome, wins) in [
        (1, "DEMO", Some("HELD_AS_EXPECTED"), true),
        (2, "DEMO", Some("HELD_WORSE"), false),
        (3, "PRICING", Some("HELD_WORSE"), false),
        (4, "DEMO", None, true),
    ] {
        let more = json!({"firstMeeting": {"purpose": purpose}});
        let lead = world.mql(&format!("deal-{number}@example.test"), more);
        done(rob, "acceptHandoff", &lead, json!({}));
        let met = match outcome {
            Some(outcome) => json!({"kind": "MEETING", "direction": "TWO_WAY", "meetingOutcome": outcome}),
            None => json!({"kind": "CALL", "direction": "TWO_WAY"}),
        };
        done(rob, "logActivity", &lead, met);
        done(rob, "qualify", &lead, json!({"answers": [{"key": "need", "grade": 3}]}));
        done(rob, "recordOpportunity", &lead, eur.clone());
        match wins {
            true => drop(done(rob, "closeWon", &lead, eur.clone())),
            false => drop(done(rob, "closeLost", &lead, json!({"reason": "HOLDING_OFF"}))),
        }
    }
    let told = |by: &[&str]| {
        let document = "query($by: [Dimension!]) { winLoss(by: $by) { rows { values won lost } } }";
        let found = world.mia.query(document, json!({"by": by}))["winLoss"]["rows"].clone();
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let row = |row: &Value| {
            let values: Vec<String> = row["values"].as_array().into_iter().flatten().map(word).collect();
            format!("{} {}/{}", values.join("|"), text(row, "won"), text(row, "lost"))
        };
        found.as_array().into_iter().flatten().map(row).collect::<Vec<_>>()
    };
    assert_eq!(told(&["FIRST_MEETING"]), ["DEMO 2/1", "PRICING 0/1"]);
    assert_eq!(told(&["MEETING_OUTCOME"]), ["HELD_WORSE 0/2", "- 1/0", "HELD_AS_EXPECTED 1/0"]);
    assert_eq!(
        told(&["FIRST_MEETING", "MEETING_OUTCOME"]),
        ["DEMO|- 1/0", "DEMO|HELD_AS_EXPECTED 1/0", "DEMO|HELD_WORSE 0/1", "PRICING|HELD_WORSE 0/1"]
    );
}
