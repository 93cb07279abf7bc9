//! Several processes that serve one workspace on PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handfast_tests::{Api, Server, card, eventually, on_postgres};
use serde_json::{Value, json};

const CHANGES: &str = "query($after: FeedCursor) { events(after: $after, first: 500, filter: {kinds: [\"STAGE_CHANGED\"]}) \
     { events { id leadId payload } cursor atHead } }";

/// Reads on after a cursor, up to the head.
fn read_on(api: &Api, after: &mut Value, seen: &mut Vec<Value>) {
    loop {
        let page = api.query(CHANGES, json!({"after": after}))["events"].take();
        seen.extend(page["events"].as_array().into_iter().flatten().cloned());
        *after = page["cursor"].clone();
        if page["atHead"] == true {
            return;
        }
    }
}

/// Captures, disqualifies and reopens leads until told to stop. Answers the stage changes that were acknowledged, by lead.
fn write(api: &Api, name: &str, stop: &AtomicBool) -> BTreeMap<String, usize> {
    let mut acknowledged = BTreeMap::new();
    // A killed server answers nothing; whether its last change was made stays open.
    let ask = |document: &str, variables: Value| {
        let (_, answer) = api.try_post(&json!({"query": document, "variables": variables}))?;
        assert!(answer["errors"].is_null(), "{}", answer["errors"]);
        Some(answer["data"].clone()).filter(|_| !stop.load(Ordering::Relaxed))
    };
    for n in 0.. {
        let lead = json!({"email": format!("{name}-{n}@example.test")});
        let document = "mutation($lead: LeadInput!) { captureLead(input: {lead: $lead}) { lead { id } errors { message } } }";
        let Some(answer) = ask(document, json!({"lead": lead})) else { return acknowledged };
        let id = answer["captureLead"]["lead"]["id"].as_str().expect("a new lead").to_owned();
        acknowledged.insert(id.clone(), 1);
        let document = "mutation($id: ID!) { dispositionLead(input: {lead: {id: $id}, outcome: DISQUALIFY, reason: \"NOT_ICP\"}) \
                        { errors { message } } reopenLead(input: {lead: {id: $id}, reason: \"again\"}) { errors { message } } }";
        let Some(answer) = ask(document, json!({"id": id})) else { return acknowledged };
        assert_eq!(answer["reopenLead"]["errors"], json!([]));
        acknowledged.insert(id, 2);
    }
    acknowledged
}

#[test]
fn a_killed_leader_loses_reorders_and_doubles_nothing_and_the_other_node_takes_over() {
    if !on_postgres() {
        return;
    }
    let first = Server::start();
    let second = first.beside();
    let reader = second.admin();
    let (mut after, mut seen) = (reader.query("{ feedHead }", json!({}))["feedHead"].clone(), Vec::new());
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<BTreeMap<String, usize>> = std::thread::scope(|scope| {
        let stop = &stop;
        let on_first: Vec<_> = (0..4).map(|n| (first.admin(), format!("first{n}"))).collect();
        let on_second: Vec<_> = (0..4).map(|n| (second.admin(), format!("second{n}"))).collect();
        let writers: Vec<_> = on_first
            .into_iter()
            .chain(on_second)
            .map(|(api, name)| scope.spawn(move || write(&api, &name, stop)))
            .collect();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(300));
            read_on(&reader, &mut after, &mut seen);
        }
        // It was there first: it numbers the feed.
        drop(first.kill());
        // The lease is silent for ten seconds before the other one may take it.
        let before = seen.len();
        eventually(30, "the feed goes on", || {
            read_on(&reader, &mut after, &mut seen);
            (seen.len() > before + 40).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer ends")).collect()
    });
    read_on(&reader, &mut after, &mut seen);

    let ids: BTreeSet<&str> = seen.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), seen.len(), "an event came twice");
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &seen {
        let payload: Value =
            serde_json::from_str(event["payload"].as_str().expect("a payload")).expect("JSON");
        let version = payload["fact"]["stageVersion"].as_u64().expect("a version") as usize;
        let last = versions.entry(event["leadId"].as_str().expect("a lead")).or_default();
        assert_eq!(version, *last + 1, "a change of {} is missing or out of its order", event["leadId"]);
        *last = version;
    }
    let all: BTreeMap<String, usize> = acknowledged.into_iter().flatten().collect();
    assert!(all.len() > 40, "only {} leads were written", all.len());
    for (lead, changes) in &all {
        let found = versions.get(lead.as_str()).copied().unwrap_or(0);
        assert!(found >= *changes, "{found} of {changes} acknowledged changes of {lead} arrived");
    }
}

#[test]
fn a_cursor_of_one_node_is_taken_by_the_other_at_once() {
    if !on_postgres() {
        return;
    }
    let first = Server::start();
    let second = first.beside();
    let (here, there) = (first.admin(), second.admin());
    for n in 0..40 {
        here.capture(&format!("ahead-{n}@example.test"));
        let cursor = here.query("{ feedHead }", json!({}))["feedHead"].clone();
        let document = "query($after: FeedCursor) { events(after: $after) { events { id } atHead } }";
        let page = there.query(document, json!({"after": cursor}))["events"].take();
        assert_eq!(page, json!({"events": [], "atHead": true}), "round {n}");
    }
}

#[test]
fn what_one_node_changes_the_other_goes_by_within_moments() {
    if !on_postgres() {
        return;
    }
    let first = Server::start();
    let second = first.beside();
    let (here, there) = (first.admin(), second.admin());

    // A user, a rule with its bytes, a campaign.
    let mia = first.user("mia", "marketing");
    first.deploy("scorecard", "mql", &card(10));
    let campaign = json!({"key": "fair", "name": "A fair", "kind": "fair", "channel": "EVENT"});
    mia.mutate("createCampaign", "CreateCampaignInput", campaign, "campaign { id }");
    let elsewhere = second.api(&mia.token);
    eventually(5, "the other node has the rule", || {
        let live = there.query("{ ruleSlots { key live { mode } } }", json!({}));
        (live["ruleSlots"].to_string().contains("LIVE")).then_some(())
    });
    eventually(5, "the other node has the campaign", || {
        let found = elsewhere.query("{ campaign(key: \"fair\") { name } }", json!({}));
        (found["campaign"]["name"] == "A fair").then_some(())
    });
    let input = json!({"lead": {"email": "ada@example.test", "consent": true, "campaign": "fair"}});
    let made = elsewhere.mutate("captureLead", "CaptureLeadInput", input, "lead { stage campaign { key } }");
    assert_eq!(made["lead"], json!({"stage": "MQL", "campaign": {"key": "fair"}}), "its rule judged here");

    // Numbers that are kept in memory.
    let mql = |api: &Api| {
        let funnel = api.query("{ funnel { stages { stage open } } }", json!({}))["funnel"].take();
        let stages = funnel["stages"].as_array().cloned().unwrap_or_default();
        stages.into_iter().find(|stage| stage["stage"] == "MQL").map(|stage| stage["open"].clone())
    };
    assert_eq!(mql(&there), Some(json!("1")), "its own change is counted at once");
    eventually(5, "the other node counts it", || (mql(&here) == Some(json!("1"))).then_some(()));

    // A file that was uploaded to the node that does not import.
    let digest = there.put_blob("import", b"id,at,email\n1,2026-01-05T09:00:00Z,bob@example.test\n");
    let mapping =
        json!({"system": "crm", "id": "id", "occurredAt": {"column": "at"}, "lead": {"email": "email"}});
    let mapping = mapping.to_string();
    let input = json!({"digest": digest, "name": "leads", "mapping": mapping});
    let run = there.mutate("startImport", "StartImportInput", input, "run { id }")["run"]["id"].clone();
    eventually(30, "the import ends", || {
        let found = there.query("query($id: ID!) { importRun(id: $id) { status } }", json!({"id": run}));
        (found["importRun"]["status"] == "DONE").then_some(())
    });

    // A token that was revoked on one is refused by both.
    let tokens = here.query("{ tokens(user: \"mia\") { id } }", json!({}))["tokens"].take();
    let input = json!({"token": tokens[0]["id"]});
    here.mutate("revokeToken", "RevokeTokenInput", input, "token { id }");
    eventually(5, "the other node refuses the token", || {
        (elsewhere.post(&json!({"query": "{ feedHead }"})).0 == 401).then_some(())
    });
}

/// The node that imports may see a file's turn come before it hears of the trait that the file's mapping defines.
#[test]
fn long_work_asked_for_on_one_node_finds_what_was_defined_with_it_on_the_other() {
    if !on_postgres() {
        return;
    }
    const RUN: &str = "query($id: ID!) { importRun(id: $id) { status refused results(first: 3) { edges { node { message } } } } }";
    let first = Server::start();
    let second = first.beside();
    let there = second.admin();
    let digest = there.put_blob("import", b"id,at,email,seats\n1,2026-01-05T09:00:00Z,bob@example.test,7\n");
    let over = |run: &Value| {
        let ended = eventually(60, "the import ends", || {
            let run = there.query(RUN, json!({"id": run}))["importRun"].take();
            (run["status"] != "RUNNING").then_some(run)
        });
        assert_eq!((&ended["status"], &ended["refused"]), (&json!("DONE"), &json!("0")), "{ended}");
    };
    // One in the works while the next is asked for: its turn comes as soon as it stands.
    let mut working = None;
    for round in 0..20 {
        let mapping = json!({
            "system": format!("crm-{round}"), "id": "id", "occurredAt": {"column": "at"}, "lead": {"email": "email"},
            "traits": [{"key": format!("seats-{round}"), "from": "seats", "kind": "integer"}],
        });
        let input = json!({"digest": digest, "name": "leads", "mapping": mapping.to_string()});
        let run = there.mutate("startImport", "StartImportInput", input, "run { id }")["run"]["id"].take();
        if let Some(earlier) = working.replace(run) {
            over(&earlier);
        }
    }
    working.iter().for_each(over);
}
