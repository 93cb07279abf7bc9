//! Subscriptions as integrators use them: cut off at random, resumed by cursor, under many writers.

use std::collections::BTreeMap;
use std::process::Command;

use handfast_tests::{Server, clients};
use serde_json::{Value, json};

const DOCUMENT: &str = "subscription($after: FeedCursor) { leadStageChanged(after: $after) { cursor leadUuid stageVersion to } }";

/// Every lead is captured, disqualified and reopened, so that each changes its stage several times.
fn write_changes(server: &Server, writers: usize, leads: usize) -> usize {
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..writers)
            .map(|writer| {
                let api = server.admin();
                scope.spawn(move || {
                    let mut changes = 0;
                    for n in 0..leads {
                        let lead = api.capture(&format!("w{writer}-{n}@example.test"));
                        changes += 1;
                        for _ in 0..2 {
                            let target = json!({"lead": {"id": lead["id"]}, "outcome": "DISQUALIFY", "reason": "NOT_ICP"});
                            api.mutate("dispositionLead", "DispositionLeadInput", target, "lead { id }");
                            let target = json!({"lead": {"id": lead["id"]}, "reason": "again"});
                            api.mutate("reopenLead", "ReopenLeadInput", target, "lead { id }");
                            changes += 1;
                        }
                    }
                    changes
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().expect("the writer ends")).collect()
    });
    counts.into_iter().sum()
}

/// Each change of each lead once, in order: stage versions 1..n without a gap.
fn check(events: &[Value], expected: usize) {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for event in events {
        let change = &event["data"]["leadStageChanged"];
        let change = if change.is_null() { &event["leadStageChanged"] } else { change };
        let lead = change["leadUuid"].as_str().expect("a lead").to_owned();
        let version = change["stageVersion"].as_i64().expect("a version");
        let before = last.insert(lead.clone(), version).unwrap_or(0);
        assert_eq!(version, before + 1, "lead {lead}: {version} after {before}");
    }
    assert_eq!(events.len(), expected);
}

fn run_client(mode: &str, writers: usize, leads: usize) {
    let Some(dir) = clients() else { return };
    let server = Server::start();
    let expected = writers * leads * 3;
    let head = server.admin().query("{ feedHead }", json!({}))["feedHead"].clone();
    let seed = std::process::id().to_string();
    eprintln!("seed {seed}");
    let child = Command::new("node")
        .current_dir(&dir)
        .args(["subscribe.mjs", &server.url, &server.token, "--document", DOCUMENT, "--mode", mode, "--cut"])
        .args(["--count", &expected.to_string(), "--seed", &seed, "--idle", "60"])
        .args(["--variables", &json!({"after": head}).to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("node runs");
    assert_eq!(write_changes(&server, writers, leads), expected);
    let output = child.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "the client saw all events");
    let lines = String::from_utf8(output.stdout).expect("text");
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    check(&events, expected);
}

/// Events that an official client sees by a subscription from a cursor on, which `acts` bring about meanwhile.
pub fn follow(
    server: &Server,
    mode: &str,
    document: &str,
    variables: Value,
    count: usize,
    acts: impl FnOnce(),
) -> Option<Vec<Value>> {
    let child = Command::new("node")
        .current_dir(clients()?)
        .args(["subscribe.mjs", &server.url, &server.token, "--document", document, "--mode", mode])
        .args(["--count", &count.to_string(), "--variables", &variables.to_string(), "--idle", "30"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("node runs");
    acts();
    let output = child.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "{mode}: the client saw {count} events");
    let lines = String::from_utf8(output.stdout).expect("text");
    let event = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let of = |event: Value| {
        let data = if event["data"].is_object() { event["data"].clone() } else { event };
        data.as_object().and_then(|data| data.values().next().cloned()).expect("a root field")
    };
    Some(lines.lines().map(event).map(of).collect())
}

#[test]
fn graphql_ws_cut_off_at_random_sees_each_change_once_and_in_order() {
    run_client("ws", 16, 6);
}

#[test]
fn graphql_sse_cut_off_at_random_sees_each_change_once_and_in_order() {
    run_client("sse", 16, 6);
}

// The clients below stand on those above. What is asked here is whether their caches and wrappers lose or repeat an event,
// which fewer of them show as well.

#[test]
fn apollo_client_cut_off_at_random_sees_each_change_once_and_in_order() {
    run_client("apollo-ws", 8, 3);
}

#[test]
fn urql_over_graphql_ws_cut_off_at_random_sees_each_change_once_and_in_order() {
    run_client("urql-ws", 8, 3);
}

#[test]
fn urql_over_graphql_sse_cut_off_at_random_sees_each_change_once_and_in_order() {
    run_client("urql-sse", 8, 3);
}

/// What a page does: see `operations.mjs`. Its lead must be in the server as it is on the page.
fn run_operations(client: &str, options: &[&str]) {
    let Some(dir) = clients() else { return };
    let server = Server::start();
    let output = Command::new("node")
        .current_dir(&dir)
        .args(["operations.mjs", client, &server.url, &server.token])
        .args(options)
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let document = "query($id: ID!) { lead(by: {id: $id}) { outcome cycle } }";
    let lead = server.admin().query(document, json!({"id": id}))["lead"].clone();
    assert_eq!(lead["outcome"], "OPEN", "reopened: {lead}");
}

#[test]
fn apollo_client_queries_mutates_and_keeps_its_cache_by_events() {
    run_operations("apollo", &[]);
}

#[test]
fn apollo_client_sends_a_persisted_document_once_and_then_its_hash_by_get() {
    run_operations("apollo", &["--persisted"]);
}

#[test]
fn urql_queries_by_get_mutates_and_refreshes_its_cache() {
    run_operations("urql", &[]);
}

#[test]
fn urql_sends_a_persisted_document_once_and_then_its_hash_by_get() {
    run_operations("urql", &["--persisted"]);
}

#[test]
fn the_log_by_query_equals_what_happened_and_a_forged_cursor_is_refused() {
    let server = Server::start();
    let api = server.admin();
    let expected = write_changes(&server, 4, 3);
    let document = "query($after: FeedCursor) { events(after: $after, first: 7, filter: {kinds: [\"STAGE_CHANGED\"]}) \
                    { events { cursor kind leadId payload } cursor atHead } }";
    let (mut after, mut count) = (Value::Null, 0);
    loop {
        let page = api.query(document, json!({"after": after}))["events"].clone();
        count += page["events"].as_array().unwrap().len();
        after = page["cursor"].clone();
        if page["atHead"] == json!(true) {
            break;
        }
    }
    assert_eq!(count, expected);
    let mut forged = after.as_str().unwrap().to_owned().into_bytes();
    forged[4] = if forged[4] == b'A' { b'B' } else { b'A' };
    let error = api.error(document, json!({"after": String::from_utf8(forged).unwrap()}));
    assert_eq!(error["extensions"]["code"], "CURSOR_INVALID");
}

#[test]
fn all_official_http_audits_pass() {
    let Some(dir) = clients() else { return };
    let server = Server::start();
    let url = format!("{}/graphql", server.url);
    let output = Command::new("node")
        .current_dir(&dir)
        .args(["audits.mjs", &url, &server.token])
        .output()
        .expect("node runs");
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}");
    assert!(output.status.success(), "every audit passes");
}
