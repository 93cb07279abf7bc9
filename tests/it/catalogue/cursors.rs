//! Cases 55 to 60: cursors and ids that are not what they seem.
//!
//! 57 (older than the log is kept) has no door: the log is kept for ever.

use handfast_tests::{Api, Server, on_postgres};
use serde_json::{Value, json};

use super::{fault, sane};

const EVENTS: &str = "query($after: FeedCursor) { events(after: $after, first: 2) { cursor } }";

/// Every list with cursors of its own.
const LISTS: &[&str] =
    &["campaigns", "decisions", "importRuns", "leads", "slaClocks", "unattended", "workQueue"];

fn list(field: &str) -> String {
    format!("query($after: String) {{ {field}(after: $after, first: 1) {{ edges {{ cursor }} }} }}")
}

/// The code of the error that a cursor or id gets; the error itself must be fit to be shown.
fn code(api: &Api, document: &str, variables: Value) -> String {
    let error = api.error(document, variables.clone());
    assert_eq!(fault(&error), None, "{document} {variables}: {error}");
    assert!(error.to_string().len() < 4_096, "{document} {variables}: {error}");
    error["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

/// Texts that differ from a cursor by little, or are nothing like one.
fn forged(cursor: &str) -> Vec<String> {
    let mut all: Vec<String> = (0..cursor.len()).map(|end| cursor[..end].to_owned()).collect();
    for at in 0..cursor.len() {
        for bit in [1, 4, 32] {
            let mut bytes = cursor.as_bytes().to_vec();
            bytes[at] ^= bit;
            all.extend(String::from_utf8(bytes));
        }
    }
    let more = ["A", "=", "-1", "0", "null", "undefined", "%00", "' or 1=1 --", "\u{1}", "\u{1f4a9}"];
    all.extend(more.map(str::to_owned));
    all.extend([
        format!("{cursor}A"),
        format!("{cursor}="),
        format!(" {cursor}"),
        cursor.repeat(2),
        cursor.repeat(100),
    ]);
    all
}

#[test]
fn a_cursor_that_was_changed_or_belongs_elsewhere_is_refused() {
    let server = Server::start();
    let admin = server.admin();
    for n in 0..3 {
        admin.capture(&format!("l{n}@example.test"));
    }
    let feed = admin.query("{ feedHead }", json!({}))["feedHead"].as_str().expect("a cursor").to_owned();
    let leads = admin.query(&list("leads"), json!({}))["leads"]["edges"][0]["cursor"].clone();
    let leads = leads.as_str().expect("a cursor").to_owned();
    assert_eq!(admin.query(EVENTS, json!({"after": feed}))["events"]["cursor"], feed);
    admin.query(&list("leads"), json!({ "after": leads }));

    for wrong in forged(&feed).into_iter().chain([leads.clone()]) {
        assert_eq!(code(&admin, EVENTS, json!({"after": wrong})), "CURSOR_INVALID", "{wrong:?}");
    }
    for wrong in forged(&leads).into_iter().chain([feed.clone()]) {
        assert_eq!(code(&admin, &list("leads"), json!({"after": wrong})), "CURSOR_INVALID", "{wrong:?}");
    }
    for field in LISTS.iter().filter(|field| **field != "leads") {
        for wrong in [&leads, &feed] {
            assert_eq!(
                code(&admin, &list(field), json!({"after": wrong})),
                "CURSOR_INVALID",
                "{field} {wrong}"
            );
        }
    }
    // The same list in another order or by another filter is another list.
    for other in ["order: BOARD", "filter: {source: \"test\"}", "filter: {outcomes: [OPEN]}"] {
        let document =
            format!("query($after: String) {{ leads({other}, after: $after) {{ edges {{ cursor }} }} }}");
        assert_eq!(code(&admin, &document, json!({"after": leads})), "CURSOR_INVALID", "{other}");
    }
    for wrong in [json!(7), json!(true), json!(["x"]), json!({"a": 1})] {
        assert_eq!(code(&admin, EVENTS, json!({"after": wrong})), "VALIDATION", "{wrong}");
        assert_eq!(code(&admin, &list("leads"), json!({"after": wrong})), "VALIDATION", "{wrong}");
    }
    // 60: ids of another kind, and what programs send by mistake.
    let lead = admin.capture("l0@example.test")["id"].clone();
    let campaign = json!({"key": "c", "name": "C", "kind": "fair", "channel": "EVENT"});
    let campaign =
        admin.mutate("createCampaign", "CreateCampaignInput", campaign, "campaign { id }")["campaign"]["id"]
            .clone();
    let cut = |id: &Value| json!(id.as_str().map(|id| &id[..id.len() - 3]));
    let wrongs = [
        json!(""),
        json!("undefined"),
        json!("null"),
        json!("[object Object]"),
        json!("Lead:1"),
        json!(7),
        json!(-1),
        json!("%%%"),
        cut(&lead),
        json!("x".repeat(9_000)),
    ];
    let by_id = [
        ("query($id: ID!) { lead(by: {id: $id}) { id } }", &campaign),
        ("query($id: ID!) { campaign(id: $id) { id } }", &lead),
        ("query($id: ID!) { decision(id: $id) { id } }", &lead),
        ("query($id: ID!) { importRun(id: $id) { id } }", &lead),
        ("query($id: ID!) { verifyDecision(id: $id) { __typename } }", &lead),
        ("query($id: ID!) { events(filter: {lead: $id}) { cursor } }", &campaign),
        ("query($id: ID!) { decisions(lead: $id) { edges { cursor } } }", &campaign),
        ("query($id: ID!) { leads(filter: {campaign: $id}) { edges { cursor } } }", &lead),
        ("query($id: ID!) { leads(filter: {owner: $id}) { edges { cursor } } }", &lead),
        ("query($id: ID!) { workQueue(owner: $id) { edges { cursor } } }", &lead),
        ("query($id: ID!) { node(id: $id) { id } }", &wrongs[0]),
    ];
    let mut differ = vec![];
    for (document, of_another) in by_id {
        for wrong in wrongs.iter().chain([of_another]) {
            let (_, answer) = admin.post(&json!({"query": document, "variables": {"id": wrong}}));
            if answer["errors"][0]["extensions"]["code"] != "VALIDATION" {
                differ.push(format!("{document} {wrong}: {answer}"));
            }
        }
    }
    assert!(differ.is_empty(), "{} ids are not refused:\n{}", differ.len(), differ.join("\n"));
    let evaluate = |by: Value| {
        let payload = admin.attempt("evaluateLead", "LeadTarget", json!({"lead": by}), "lead { id }");
        payload["errors"][0].clone()
    };
    for wrong in wrongs.iter().chain([&campaign]) {
        let error = evaluate(json!({"id": wrong}));
        assert_eq!(error["code"], "VALIDATION", "{wrong}: {error}");
    }
    sane(&server).expect("the server answers");
}

/// 56 and 59. All test servers have one root secret, so that only the workspace tells them apart.
#[test]
fn what_belongs_to_another_workspace_is_not_there() {
    let (server, other) = (Server::start(), Server::start());
    let (admin, stranger) = (server.admin(), other.admin());
    let (here, there) = (admin.capture("here@example.test"), stranger.capture("there@example.test"));
    let cursor = |api: &Api| api.query("{ feedHead }", json!({}))["feedHead"].clone();
    assert_eq!(code(&admin, EVENTS, json!({"after": cursor(&stranger)})), "CURSOR_EPOCH_CHANGED");
    assert_eq!(admin.query(EVENTS, json!({"after": cursor(&admin)}))["events"]["cursor"], cursor(&admin));

    // Made up, and of the right form.
    let (absent, absent_id) =
        ("01a217bd-64ad-72bd-a568-66069bd71436", "TGVhZDowMWEyMTdiNi02NGFkLTcyYmQtYTU2OC02NjA2OWJkNzE0MzY");
    let read = |id: &Value| {
        admin.query(
            "query($id: ID!) { node(id: $id) { id } lead(by: {id: $id}) { id } events(filter: {lead: $id}) { events { id } } }",
            json!({ "id": id }),
        )
    };
    let nothing = json!({"node": null, "lead": null, "events": {"events": []}});
    assert_eq!((read(&there["id"]), read(&json!(absent_id))), (nothing.clone(), nothing));
    assert_ne!(read(&here["id"])["lead"], Value::Null);
    let write = |id: &Value| {
        let input = json!({"lead": {"id": id}, "outcome": "DISQUALIFY", "reason": "NOT_ICP"});
        admin.attempt("dispositionLead", "DispositionLeadInput", input, "lead { id }")
    };
    for (foreign, none) in [(&there["id"], json!(absent_id)), (&there["uuid"], json!(absent))] {
        let (foreign, none) = (write(foreign), write(&none));
        assert_eq!(foreign["errors"][0]["code"], "NOT_FOUND", "{foreign}");
        assert_eq!(foreign, none, "a lead of others is as one that never was");
    }
}

/// 58, and what a copy of the database that was put back means for whoever was further.
#[test]
fn a_cursor_beyond_the_end_of_the_log_is_refused() {
    if on_postgres() {
        // The files of a database that is not ours are not copied.
        return;
    }
    let server = Server::start();
    server.admin().capture("first@example.test");
    let (dir, token) = server.stop();
    let copy = tempfile::tempdir().expect("a temporary directory");
    let files = |from: &std::path::Path, to: &std::path::Path| {
        let entries =
            std::fs::read_dir(from).expect("the data directory").map(|entry| entry.expect("an entry"));
        for path in entries.map(|entry| entry.path()).filter(|path| path.is_file()) {
            let name = path.file_name().expect("a name");
            if name.to_string_lossy().starts_with("handfast.db") {
                std::fs::copy(&path, to.join(name)).expect("a copy");
            }
        }
    };
    files(dir.path(), copy.path());
    let server = Server::start_in(dir, Some(token));
    let head = |server: &Server| server.admin().query("{ feedHead }", json!({}))["feedHead"].clone();
    let before = head(&server);
    server.admin().capture("second@example.test");
    let ahead = head(&server);
    let (dir, token) = server.stop();
    // With its head mark the server would not start on what was put back.
    for name in ["handfast.db", "handfast.db-wal", "handfast.db-shm", "head-mark"] {
        drop(std::fs::remove_file(dir.path().join(name)));
    }
    files(copy.path(), dir.path());
    let server = Server::start_in(dir, Some(token));
    let admin = server.admin();
    assert_eq!(code(&admin, EVENTS, json!({"after": ahead})), "CURSOR_AHEAD");
    let message = admin.error(EVENTS, json!({"after": ahead}))["message"].clone();
    assert!(message.as_str().is_some_and(|text| text.contains("the feed ends at ")), "{message}");
    assert_eq!(
        admin.query(EVENTS, json!({"after": before}))["events"]["cursor"],
        before,
        "an older one is good"
    );
    sane(&server).expect("the server answers");
}
