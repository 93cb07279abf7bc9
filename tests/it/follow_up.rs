//! Follow-ups that sales plans, and whether it turns to the leads that it is given, through the public API.

use std::time::Duration;

use handfast_domain::time::{DAY, HOUR, Instant, SECOND};
use handfast_tests::{Api, offline};
use serde_json::{Value, json};

use crate::import::{long, text};
use crate::work::{World, done, look, now, refused};

const PLANNED: &str = "followUp { id status kind dueAt attempt attemptsNeeded outcome note plannedBy { key } endedAt cycle leadId }";

/// Plans a follow-up; the payload.
fn plan(api: &Api, lead: &Value, due: Instant, more: Value) -> Value {
    let mut input = json!({"lead": {"id": lead["id"]}, "dueAt": due.to_string(), "kind": "CALL"});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    api.attempt("planFollowUp", "PlanFollowUpInput", input, PLANNED)
}

/// Of a lead: kind, status, outcome and attempt.
fn of_lead(api: &Api, lead: &Value) -> Vec<String> {
    let found = look(api, lead, "followUps { kind status outcome attempt }")["followUps"].clone();
    let row = |one: &Value| {
        let outcome = one["outcome"].as_str().unwrap_or("-");
        format!("{} {} {outcome} {}", text(one, "kind"), text(one, "status"), one["attempt"])
    };
    found.as_array().into_iter().flatten().map(row).collect()
}

/// E-mail addresses of the leads with follow-ups.
fn listed(api: &Api, arguments: &str) -> Vec<String> {
    let document = format!(
        "{{ followUps{arguments} {{ edges {{ node {{ followUp {{ id }} lead {{ contact {{ email }} }} }} }} }} }}"
    );
    let found = api.query(&document, json!({}))["followUps"]["edges"].clone();
    let email = |edge: &Value| text(&edge["node"]["lead"]["contact"], "email").to_owned();
    found.as_array().into_iter().flatten().map(email).collect()
}

fn queue(api: &Api, arguments: &str) -> Vec<String> {
    let document =
        format!("{{ workQueue{arguments} {{ edges {{ node {{ workReason contact {{ email }} }} }} }} }}");
    let found = api.query(&document, json!({}))["workQueue"]["edges"].clone();
    let row = |edge: &Value| {
        format!("{} {}", text(&edge["node"]["contact"], "email"), text(&edge["node"], "workReason"))
    };
    found.as_array().into_iter().flatten().map(row).collect()
}

#[test]
fn a_planned_follow_up_is_done_by_the_next_attempt_and_ends_with_its_cycle() {
    let world = World::start();
    let World { rob, admin, .. } = &world;
    let lead = world.mql("plan@example.test", json!({}));
    let tomorrow = now(admin).plus(DAY);
    let planned = plan(rob, &lead, tomorrow, json!({"note": "Ask for the budget"}));
    assert_eq!(planned["errors"], json!([]), "{planned}");
    let first = planned["followUp"].clone();
    let shown =
        ["status", "kind", "attempt", "attemptsNeeded", "outcome", "note", "cycle"].map(|key| &first[key]);
    let expected = [
        json!("PLANNED"),
        json!("CALL"),
        json!(1),
        json!(2),
        json!(null),
        json!("Ask for the budget"),
        json!(1),
    ];
    assert_eq!(shown, expected.each_ref(), "{first}");
    assert_eq!((&first["plannedBy"]["key"], &first["leadId"]), (&json!("rob"), &lead["id"]));
    let second = plan(rob, &lead, tomorrow.plus(DAY), json!({"kind": "EMAIL"}))["followUp"].clone();
    assert_eq!(second["attempt"], 2);
    assert_eq!(look(rob, &lead, "nextFollowUpAt")["nextFollowUpAt"], first["dueAt"]);
    done(rob, "acceptHandoff", &lead, json!({}));
    // Neither a note nor the buyer's own call does it.
    done(rob, "logActivity", &lead, json!({"kind": "NOTE", "direction": "OUTBOUND", "note": "n"}));
    done(rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "INBOUND"}));
    assert_eq!(of_lead(rob, &lead), ["EMAIL PLANNED - 2", "CALL PLANNED - 1"]);
    done(rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "OUTBOUND"}));
    assert_eq!(of_lead(rob, &lead), ["EMAIL PLANNED - 2", "CALL DONE ATTEMPTED 1"]);
    let third = plan(rob, &lead, tomorrow, json!({"kind": "MEETING"}))["followUp"].clone();
    let by_name = json!({"kind": "CALL", "direction": "TWO_WAY", "followUp": second["id"]});
    done(rob, "logActivity", &lead, by_name.clone());
    let all = ["EMAIL DONE CONNECTED 2", "MEETING PLANNED - 2", "CALL DONE ATTEMPTED 1"];
    assert_eq!(of_lead(rob, &lead), all);
    let again = refused(rob, "logActivity", &lead, by_name);
    assert_eq!((&again["code"], &again["path"]), (&json!("NOT_FOUND"), &json!(["input", "followUp"])));

    let cancel = |id: &Value, more: Value| {
        let mut input = json!({"followUp": id});
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        rob.attempt("cancelFollowUp", "CancelFollowUpInput", input, PLANNED)
    };
    assert_eq!(cancel(&third["id"], json!({"dryRun": true}))["followUp"]["status"], "PLANNED");
    let once = json!({"idempotencyKey": "once"});
    assert_eq!(cancel(&third["id"], once.clone())["followUp"]["outcome"], "WITHDRAWN");
    assert_eq!(
        cancel(&third["id"], once)["errors"],
        json!([]),
        "the same request again is answered as before"
    );
    assert_eq!(cancel(&third["id"], json!({}))["errors"][0]["code"], "ILLEGAL_TRANSITION");

    let last = plan(rob, &lead, tomorrow, json!({}))["followUp"].clone();
    done(rob, "dispositionLead", &lead, json!({"outcome": "RECYCLE", "reason": "NOT_READY"}));
    let found = look(rob, &lead, "nextFollowUpAt followUps { id outcome status endedAt }");
    let ended = found["followUps"].as_array().expect("a list").iter().find(|one| one["id"] == last["id"]);
    let ended = ended.expect("it is still shown");
    assert_eq!((&ended["outcome"], &ended["status"]), (&json!("CYCLE_ENDED"), &json!("CANCELLED")));
    assert!(ended["endedAt"].is_string() && found["nextFollowUpAt"].is_null(), "{found}");
    assert_eq!(plan(rob, &lead, tomorrow, json!({}))["errors"][0]["code"], "ILLEGAL_TRANSITION");

    let document =
        "query($lead: ID!) { events(first: 500, filter: {lead: $lead}) { events { kind payload } } }";
    let events = world.mia.query(document, json!({"lead": lead["id"]}))["events"]["events"].clone();
    let kinds: Vec<&str> =
        events.as_array().expect("events").iter().map(|event| text(event, "kind")).collect();
    let count = |kind: &str| kinds.iter().filter(|one| **one == kind).count();
    assert_eq!(
        (count("FOLLOW_UP_PLANNED"), count("FOLLOW_UP_ENDED")),
        (4, 4),
        "marketing sees it: {kinds:?}"
    );
    assert!(!events.to_string().contains("budget"), "no words in the log");
}

#[test]
fn what_is_due_comes_first_in_the_work_queue_and_goes_with_the_lead() {
    let world = World::start();
    let World { mia, rob, ada, admin, .. } = &world;
    let leads: Vec<Value> = ["one", "two", "three"]
        .iter()
        .map(|name| world.mql(&format!("{name}@example.test"), json!({})))
        .collect();
    world.mql("high@example.test", json!({"seniority": "C_LEVEL"}));
    let begun = now(admin);
    for (lead, seconds) in [(&leads[0], 2), (&leads[1], 1), (&leads[2], 3_600)] {
        assert_eq!(plan(rob, lead, begun.plus(seconds * SECOND), json!({}))["errors"], json!([]));
    }
    let before = [
        "high@example.test PRIORITY",
        "three@example.test PRIORITY",
        "two@example.test PRIORITY",
        "one@example.test PRIORITY",
    ];
    let ahead = listed(rob, "");
    assert_eq!(ahead, ["two@example.test", "one@example.test", "three@example.test"], "the earliest first");
    std::thread::sleep(Duration::from_millis(2_500));
    let due = [
        "two@example.test FOLLOW_UP_DUE",
        "one@example.test FOLLOW_UP_DUE",
        "high@example.test PRIORITY",
        "three@example.test PRIORITY",
    ];
    assert_ne!(before, due);
    assert_eq!(queue(rob, ""), due);
    let document = "query($after: String) { workQueue(first: 1, after: $after) { edges { node { contact { email } } } \
                    pageInfo { hasNextPage endCursor } } }";
    let (mut walked, mut after) = (vec![], Value::Null);
    loop {
        let page = rob.query(document, json!({"after": after}))["workQueue"].clone();
        walked.push(text(&page["edges"][0]["node"]["contact"], "email").to_owned());
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
    }
    let emails: Vec<&str> = due.iter().map(|row| row.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(walked, emails, "page by page the same order");
    let rob_id = look(rob, &leads[0], "owner { id }")["owner"]["id"].clone();
    let of_rob = format!("(owner: {rob_id}, status: OVERDUE)");
    assert_eq!(listed(mia, &of_rob), ["two@example.test", "one@example.test"]);
    assert_eq!(listed(mia, "(status: PLANNED)"), ["three@example.test"]);
    assert_eq!(listed(mia, "(queue: \"fallback\")"), Vec::<String>::new());

    // Whoever has the lead has its follow-up: the queue, and then Ada.
    admin.mutate(
        "rollback",
        "RollbackInput",
        json!({"slot": "routing", "reason": "none"}),
        "deployment { id }",
    );
    done(mia, "routeLead", &leads[0], json!({}));
    assert_eq!(listed(mia, &of_rob), ["two@example.test"]);
    assert_eq!(listed(mia, "(queue: \"fallback\")"), ["one@example.test"]);
    assert_eq!(queue(ada, "(queue: \"fallback\")"), ["one@example.test FOLLOW_UP_DUE"]);
    done(ada, "acceptHandoff", &leads[0], json!({}));
    assert_eq!(queue(ada, ""), ["one@example.test FOLLOW_UP_DUE"]);
    done(ada, "logActivity", &leads[0], json!({"kind": "CALL", "direction": "OUTBOUND"}));
    assert_eq!(queue(ada, ""), ["one@example.test PRIORITY"]);
    assert_eq!(listed(mia, "(status: DONE)"), ["one@example.test"]);

    // A duplicate's follow-up is done with the lead that goes on, words and all.
    let input = json!({"lead": {"phone": "+4930123456"}});
    let older = mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id }")["lead"].clone();
    let newer = world.mql("newer@example.test", json!({}));
    done(ada, "acceptHandoff", &newer, json!({}));
    let with_words = plan(ada, &newer, begun.plus(HOUR), json!({"note": "zqwords"}));
    let input = json!({"lead": {"id": older["id"]}, "duplicate": {"id": newer["id"]}});
    let merged = ada.attempt("mergeLeads", "MergeLeadsInput", input, "lead { id owner { key } }");
    assert_eq!((&merged["errors"], &merged["lead"]["owner"]["key"]), (&json!([]), &json!("ada")), "{merged}");
    let kept = look(ada, &older, "followUps { id note status plannedBy { key } }")["followUps"].clone();
    let moved = json!([{"id": with_words["followUp"]["id"], "note": "zqwords", "status": "PLANNED", "plannedBy": {"key": "ada"}}]);
    assert_eq!(kept, moved);
    assert_eq!(of_lead(ada, &newer), Vec::<String>::new());

    // Its words go with the person, the row stays and counts.
    let officer = world.server.token("mia", &["leads:read", "leads:erase"]);
    let erased =
        officer.attempt("eraseLead", "EraseLeadInput", json!({"lead": {"id": older["id"]}}), "lead { id }");
    assert_eq!(erased["errors"], json!([]));
    let left = look(ada, &older, "followUps { note outcome }")["followUps"].clone();
    assert_eq!(left, json!([{"note": null, "outcome": "CYCLE_ENDED"}]));
    let (dir, _) = world.server.stop();
    let doctor = offline(dir.path(), &["doctor"]);
    let told =
        String::from_utf8_lossy(&doctor.stdout).into_owned() + &String::from_utf8_lossy(&doctor.stderr);
    assert!(doctor.status.success(), "the rows follow from the log: {told}");
}

#[test]
fn a_follow_up_lies_ahead_has_somebody_of_sales_and_there_are_ten_of_a_lead() {
    let world = World::start();
    let lead = world.mql("limits@example.test", json!({}));
    let (now, hour) = (now(&world.admin), now(&world.admin).plus(HOUR));
    let cases = [
        (&world.mia, hour, json!({}), "FORBIDDEN", json!([])),
        (&world.rob, now.plus(-HOUR), json!({}), "VALIDATION", json!(["input", "dueAt"])),
        (&world.rob, now.plus(400 * DAY), json!({}), "VALIDATION", json!(["input", "dueAt"])),
        (&world.rob, hour, json!({"kind": "NOTE"}), "VALIDATION", json!(["input", "kind"])),
        (&world.rob, hour, json!({"note": " "}), "VALIDATION", json!(["input", "note"])),
        (&world.rob, hour, json!({"note": "x".repeat(2_001)}), "VALIDATION", json!(["input", "note"])),
        (&world.rob, hour, json!({"expectedVersion": 99}), "VERSION_CONFLICT", json!([])),
    ];
    for (who, due, more, code, path) in cases {
        let error = plan(who, &lead, due, more.clone())["errors"][0].clone();
        let found = error["path"].as_array().cloned().unwrap_or_default();
        assert_eq!((&error["code"], json!(found)), (&json!(code), path), "{more}: {error}");
    }
    assert_eq!(plan(&world.rob, &lead, hour, json!({"dryRun": true}))["followUp"], json!(null));
    let once = json!({"idempotencyKey": "one"});
    let first = plan(&world.rob, &lead, hour, once.clone())["followUp"]["id"].clone();
    assert_eq!(plan(&world.rob, &lead, hour, once)["followUp"]["id"], first);
    for _ in 0..9 {
        assert_eq!(plan(&world.rob, &lead, hour, json!({}))["errors"], json!([]));
    }
    let full = plan(&world.rob, &lead, hour, json!({}))["errors"][0].clone();
    assert!(text(&full, "message").contains("10 follow-ups"), "{full}");
    assert_eq!(of_lead(&world.rob, &lead).len(), 10);
    let error = world.rob.error("{ followUps(first: 201) { edges { cursor } } }", json!({}));
    assert_eq!(error["extensions"]["code"], "PAGE_SIZE");
}

const RATE: &str = "query($by: Dimension! = OWNER, $window: WindowInput) { followUp(groupBy: $by, window: $window) { charter { number signed } \
    groupBy rowCount definitions { key unit toldBy } export(format: CSV) rows { key others assigned pending touched rateBasisPoints \
    low high breached withdrawn medianAttempts medianMinutes } } }";

/// `key assigned/pending/touched/breached/withdrawn rate attempts`.
fn told(report: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let counts = ["assigned", "pending", "touched", "breached", "withdrawn"].map(|key| text(row, key));
        let (key, attempts) =
            (row["key"].as_str().unwrap_or("-"), row["medianAttempts"].as_str().unwrap_or("-"));
        format!("{key} {} {} {attempts}", counts.join("/"), row["rateBasisPoints"]).replace("null", "-")
    };
    report["rows"].as_array().into_iter().flatten().map(row).collect()
}

#[test]
fn whether_sales_turns_to_its_leads_is_counted_for_whoever_had_them() {
    let world = World::start();
    world.agree(|body| {
        for policy in body["sla"].as_array_mut().expect("policies") {
            if policy["kind"] == "FIRST_TOUCH" {
                policy["mode"] = json!("WALL_CLOCK");
                (policy["targetMinutes"], policy["urgentTargetMinutes"]) = (json!(1), json!(null));
            }
        }
    });
    let World { mia, rob, ada, admin, .. } = &world;
    let call = json!({"kind": "CALL", "direction": "OUTBOUND"});
    let silent = world.mql("silent@example.test", json!({}));
    let begun = now(admin);
    done(rob, "acceptHandoff", &silent, json!({}));
    let twice = world.mql("twice@example.test", json!({}));
    done(rob, "acceptHandoff", &twice, json!({}));
    done(rob, "logActivity", &twice, call.clone());
    done(rob, "logActivity", &twice, call.clone());
    // An automated mail to somebody who never wrote is no touch; a rejection is one.
    let mailed = world.mql("mailed@example.test", json!({}));
    done(rob, "acceptHandoff", &mailed, json!({}));
    done(rob, "logActivity", &mailed, json!({"kind": "EMAIL", "direction": "OUTBOUND", "automated": true}));
    let rejected = world.mql("rejected@example.test", json!({}));
    done(rob, "rejectHandoff", &rejected, json!({"reason": "NOT_ICP"}));
    // Taken back before it was due: nobody's fault.
    let taken = world.mql("taken@example.test", json!({}));
    admin.mutate(
        "rollback",
        "RollbackInput",
        json!({"slot": "routing", "reason": "none"}),
        "deployment { id }",
    );
    done(mia, "routeLead", &taken, json!({}));
    let asked = |by: &str| mia.query(RATE, json!({"by": by}))["followUp"].clone();
    assert_eq!(told(&asked("OWNER")), ["rob 4/2/2/0/1 10000 0", "- 1/1/0/0/0 - 0"], "it is early");
    done(ada, "acceptHandoff", &taken, json!({}));
    done(ada, "logActivity", &taken, call);

    let wait = begun.plus(62 * SECOND).since(now(admin)).max(0);
    std::thread::sleep(Duration::from_millis(wait.unsigned_abs()));
    handfast_tests::eventually(20, "both promises are broken", || {
        let rows = told(&asked("OWNER"));
        (rows == ["rob 4/0/2/2/1 5000 0", "ada 1/0/1/0/0 10000 1"]).then_some(())
    });
    let found = asked("OWNER");
    let row = &found["rows"][0];
    // Wilson's interval of two in four.
    assert_eq!((&row["low"], &row["high"]), (&json!(1_500), &json!(8_500)), "{row}");
    assert!(text(row, "medianMinutes").starts_with("0."), "{row}");
    assert_eq!((&found["charter"]["number"], &found["rowCount"]), (&json!(2), &json!("2")));
    let keys: Vec<&str> =
        found["definitions"].as_array().expect("definitions").iter().map(|one| text(one, "key")).collect();
    assert_eq!(keys, ["FOLLOW_UP_RATE", "FIRST_TOUCH_TIME", "ATTEMPTS_MADE"]);
    assert_eq!(told(&asked("TEAM")), ["sales 5/0/3/2/1 6000 0"]);
    let table = text(&found, "export").to_owned();
    let lines: Vec<&str> = table.lines().collect();
    let head = "row,key,assigned,pending,touched,rateBasisPoints,low,high,breached,withdrawn,medianAttempts,medianMinutes";
    assert_eq!(lines[0], head);
    assert!(lines[1].starts_with("KEY,rob,4,0,2,5000,1500,8500,2,1,0,0."), "{lines:?}");

    // Touched late is touched, and stays broken.
    done(rob, "logActivity", &silent, json!({"kind": "CALL", "direction": "OUTBOUND"}));
    assert_eq!(told(&asked("OWNER"))[0], "rob 4/0/3/2/1 7500 0");
    let drill = |figure: &str| {
        let document = format!(
            "{{ drill(figure: {{followUp: {{groupBy: OWNER, values: [\"rob\"], {figure}}}}}) {{ edges {{ node {{ reachedAt lead {{ contact {{ email }} }} }} }} }} }}"
        );
        let found = mia.query(&document, json!({}))["drill"]["edges"].clone();
        let email = |edge: &Value| text(&edge["node"]["lead"]["contact"], "email").to_owned();
        found.as_array().into_iter().flatten().map(email).collect::<Vec<_>>()
    };
    assert_eq!(drill("touched: false"), ["mailed@example.test"]);
    assert_eq!(drill("touched: true").len(), 3);
    assert_eq!(drill("").len(), 4, "as many as were assigned");
    let past = json!({"to": begun.plus(-DAY).to_string()});
    assert_eq!(long(&mia.query(RATE, json!({"window": past}))["followUp"]["rowCount"]), 0);
    for (variables, word) in [
        (json!({"by": "TRAIT"}), "needs the key"),
        (json!({"window": {"from": "2000-01-01T00:00:00Z"}}), "at most 1830 days"),
    ] {
        let error = mia.error(RATE, variables);
        assert!(text(&error, "message").contains(word), "{error}");
    }
}
