//! Nurture through the public API: tracks by reason and by hand, steps that come due, and nothing that is sent to whom it must not be.

use handfast_tests::{Api, eventually};
use serde_json::{Value, json};

use crate::work::{World, done, look, now, refused};
use handfast_domain::time::DAY;

const NURTURE: &str = "nurture { track status stepsDone nextStepAt }";

/// A track with these days between its steps.
fn track(api: &Api, key: &str, days: &[i64]) -> Value {
    let steps: Vec<_> = days
        .iter()
        .enumerate()
        .map(|(n, days)| json!({"afterDays": days, "channel": "EMAIL", "content": format!("letter-{}", n + 1)}))
        .collect();
    let input = json!({"key": key, "name": key, "steps": steps});
    api.attempt(
        "upsertNurtureTrack",
        "UpsertNurtureTrackInput",
        input,
        "track { id key steps { content } forReasons }",
    )
}

fn captured(world: &World, lead: Value) -> Value {
    world.mia.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id stage }")["lead"]
        .clone()
}

/// Content of the steps that came due, in order.
fn sent(world: &World, lead: &Value) -> Vec<String> {
    let document = "query($filter: EventFilterInput) { events(filter: $filter, first: 500) { events { leadId payload } } }";
    let found = world.mia.query(document, json!({"filter": {"kinds": ["NURTURE_STEP_DUE"]}}));
    let events = found["events"]["events"].as_array().into_iter().flatten();
    let mine = events.filter(|event| event["leadId"] == lead["id"]);
    let payloads = mine.filter_map(|event| serde_json::from_str::<Value>(event["payload"].as_str()?).ok());
    payloads.filter_map(|body| body["fact"]["content"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_recycled_lead_gets_the_track_of_its_reason_step_by_step_and_comes_back() {
    let world = World::start();
    world.agree(|body| {
        let reasons = body["reasons"].as_array_mut().expect("reasons");
        let reason = reasons.iter_mut().find(|reason| reason["key"] == "NOT_READY").expect("NOT_READY");
        reason["track"] = json!("warm-up");
    });
    let made = track(&world.mia, "warm-up", &[0, 0, 2]);
    assert_eq!(
        (&made["errors"], &made["track"]["forReasons"]),
        (&json!([]), &json!(["NOT_READY"])),
        "{made}"
    );
    let lead = captured(&world, json!({"email": "rest@example.test"}));
    let back = now(&world.mia).plus(5 * DAY);
    done(&world.mia, "recycleLead", &lead, json!({"reason": "NOT_READY", "recycleAt": back.to_string()}));
    let seen = eventually(20, "two steps come due", || {
        let seen = look(&world.mia, &lead, NURTURE)["nurture"].clone();
        Some(seen).filter(|seen| seen["stepsDone"] == 2)
    });
    assert_eq!((&seen["track"], &seen["status"]), (&json!("warm-up"), &json!("ACTIVE")));
    assert!(seen["nextStepAt"].is_string(), "the third one is due in two days: {seen}");
    assert_eq!(sent(&world, &lead), ["letter-1", "letter-2"]);

    let due = |until: Option<String>| {
        let document = "query($until: DateTime) { requalifyDue(until: $until) { edges { node { clock { dueAt } lead { id } } } } }";
        let found = world.mia.query(document, json!({"until": until}));
        found["requalifyDue"]["edges"].as_array().cloned().unwrap_or_default()
    };
    let expected = json!([{"node": {"clock": {"dueAt": back.to_string()}, "lead": {"id": lead["id"]}}}]);
    assert_eq!(json!(due(None)), expected);
    assert_eq!(due(Some(now(&world.mia).plus(DAY).to_string())), Vec::<Value>::new(), "not tomorrow");
    done(&world.mia, "reopenLead", &lead, json!({"reason": "they called"}));
    assert_eq!(due(None), Vec::<Value>::new());
}

#[test]
fn nothing_is_due_while_sales_works_the_lead() {
    let world = World::start();
    track(&world.mia, "slow", &[7]);
    let lead = captured(&world, json!({"email": "early@example.test"}));
    let enrol = json!({"track": "slow"});
    done(&world.mia, "enrolInNurture", &lead, enrol.clone());
    let status = |lead: &Value| look(&world.mia, lead, NURTURE)["nurture"]["status"].clone();
    assert_eq!(status(&lead), "ACTIVE");
    let again = captured(&world, json!({"email": "early@example.test", "consent": true}));
    assert_eq!((&again["id"], &again["stage"]), (&lead["id"], &json!("MQL")));
    let seen = look(&world.mia, &lead, NURTURE);
    assert_eq!(
        (&seen["nurture"]["status"], &seen["nurture"]["nextStepAt"]),
        (&json!("SUPPRESSED"), &json!(null))
    );
    assert_eq!(refused(&world.mia, "enrolInNurture", &lead, enrol)["code"], "ILLEGAL_TRANSITION");
    done(&world.rob, "rejectHandoff", &lead, json!({"reason": "NO_CONTEXT"}));
    let seen = look(&world.mia, &lead, NURTURE);
    assert_eq!(seen["nurture"]["status"], "ACTIVE", "marketing has it back");
    assert!(seen["nurture"]["nextStepAt"].is_string(), "{seen}");
    done(&world.mia, "routeLead", &lead, json!({}));
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    assert_eq!(status(&lead), "SUPPRESSED");
    done(&world.rob, "dispositionLead", &lead, json!({"outcome": "DISQUALIFY", "reason": "NOT_ICP"}));
    assert_eq!(status(&lead), "LEFT", "it is out");
}

#[test]
fn whoever_does_not_consent_gets_nothing() {
    let world = World::start();
    track(&world.mia, "slow", &[1]);
    track(&world.mia, "now", &[0, 0]);
    let never = captured(&world, json!({"email": "never@example.test", "consent": false}));
    let no = refused(&world.mia, "enrolInNurture", &never, json!({"track": "now"}));
    assert!(no["message"].as_str().unwrap_or_default().contains("does not consent"), "{no}");
    // What a lead was enrolled in before is ended, too, when its next step comes.
    let later = captured(&world, json!({"email": "later@example.test"}));
    done(&world.mia, "enrolInNurture", &later, json!({"track": "slow"}));
    captured(&world, json!({"email": "later@example.test", "consent": false}));
    assert_eq!(look(&world.mia, &later, NURTURE)["nurture"]["status"], "ACTIVE");
    assert_eq!(refused(&world.mia, "enrolInNurture", &later, json!({"track": "now"}))["code"], "VALIDATION");
    // A track that was cut short ends.
    let whole = captured(&world, json!({"email": "whole@example.test"}));
    done(&world.mia, "enrolInNurture", &whole, json!({"track": "now"}));
    let ended = eventually(20, "the track ends", || {
        let seen = look(&world.mia, &whole, NURTURE)["nurture"].clone();
        Some(seen).filter(|seen| seen["status"] == "COMPLETED")
    });
    assert_eq!((&ended["stepsDone"], &ended["nextStepAt"]), (&json!(2), &json!(null)));
    assert_eq!(sent(&world, &whole), ["letter-1", "letter-2"]);
    assert!(sent(&world, &later).is_empty() && sent(&world, &never).is_empty());

    done(&world.mia, "leaveNurture", &later, json!({}));
    let twice = refused(&world.mia, "leaveNurture", &later, json!({}));
    assert_eq!(twice["code"], "ILLEGAL_TRANSITION");
    let quiet = captured(&world, json!({"email": "quiet@example.test"}));
    done(&world.mia, "dispositionLead", &quiet, json!({"outcome": "DISQUALIFY", "reason": "DO_NOT_CONTACT"}));
    assert_eq!(refused(&world.mia, "enrolInNurture", &quiet, json!({"track": "now"}))["code"], "SUPPRESSED");
}

#[test]
fn a_track_that_cannot_work_is_refused_where_it_is_wrong() {
    let world = World::start();
    let input = |more: Value| {
        let mut input =
            json!({"key": "t", "name": "T", "steps": [{"afterDays": 1, "channel": "EMAIL", "content": "a"}]});
        for (key, value) in more.as_object().into_iter().flatten() {
            input[key] = value.clone();
        }
        input
    };
    let step =
        |days: i64, content: &str| json!([{"afterDays": days, "channel": "EMAIL", "content": content}]);
    let table = [
        (json!({"key": "Not A Key"}), json!(["input", "key"])),
        (json!({"steps": []}), json!(["input", "steps"])),
        (json!({"steps": step(367, "a")}), json!(["input", "steps", "0", "afterDays"])),
        (json!({"steps": step(1, " ")}), json!(["input", "steps", "0", "content"])),
        (json!({"personas": ["nobody"]}), json!(["input", "personas", "0"])),
    ];
    for (more, path) in table {
        let payload = world.mia.attempt(
            "upsertNurtureTrack",
            "UpsertNurtureTrackInput",
            input(more.clone()),
            "track { key }",
        );
        assert_eq!(payload["errors"][0]["path"], path, "{more}: {payload}");
    }
    let theirs =
        world.rob.attempt("upsertNurtureTrack", "UpsertNurtureTrackInput", input(json!({})), "track { key }");
    assert_eq!(theirs["errors"][0]["code"], "FORBIDDEN");
    let lead = captured(&world, json!({"email": "which@example.test"}));
    let unknown = refused(&world.mia, "enrolInNurture", &lead, json!({"track": "no-such"}));
    assert_eq!((&unknown["code"], &unknown["path"]), (&json!("VALIDATION"), &json!(["input", "track"])));
}
