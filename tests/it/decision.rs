//! Decisions: every verdict says why and can be run again, online and offline; damage is found by name.

use std::process::Output;

use handfast_tests::{Server, card, fair_share, on_postgres};
use serde_json::{Value, json};

use crate::work::{World, done, look};

const DECISIONS: &str = "query($slot: String, $lead: ID, $first: Int, $after: String) { \
    decisions(slot: $slot, lead: $lead, first: $first, after: $after) { \
    edges { cursor node { id uuid slot gate status outcome version settings snapshot input \
    output target } } pageInfo { hasNextPage endCursor } } }";

/// All decisions, the newest first.
fn decisions(api: &handfast_tests::Api, variables: Value) -> Vec<Value> {
    let page = api.query(DECISIONS, variables)["decisions"]["edges"].clone();
    page.as_array().expect("edges").iter().map(|edge| edge["node"].clone()).collect()
}

fn verify(api: &handfast_tests::Api, decision: &Value) -> Value {
    let document = "query($id: ID!) { verifyDecision(id: $id) { comparison differences outcome output } }";
    api.query(document, json!({"id": decision["id"]}))["verifyDecision"].clone()
}

/// Standard output, standard error and exit code of a command on the server's directory.
fn offline(dir: &tempfile::TempDir, args: &[&str]) -> (String, String, i32) {
    let Output { status, stdout, stderr } = handfast_tests::offline(dir.path(), args);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr), status.code().unwrap_or(-1))
}

/// A rule in both slots, and leads that were judged alone, in a batch, and by hand.
fn judged_world() -> World {
    let world = World::unsigned();
    world.mql("routed@example.test", json!({"seniority": "C_LEVEL"}));
    let one = |n: i32| json!({"email": format!("batch{n}@example.test"), "consent": n % 2 == 0});
    let leads: Vec<Value> = (0..5).map(one).collect();
    world.mia.mutate("captureLeads", "CaptureLeadsInput", json!({"leads": leads}), "results { lead { id } }");
    let held = json!({"lead": {"email": "batch1@example.test"}});
    world.mia.mutate("evaluateLead", "LeadTarget", held, "lead { id }");
    world
}

#[test]
fn every_verdict_comes_out_the_same_again_after_a_restart_and_under_newer_rules() {
    let world = judged_world();
    let before = decisions(&world.admin, json!({}));
    let slots = |slot: &str| before.iter().filter(|decision| decision["slot"] == slot).count();
    assert_eq!((slots("mql"), slots("routing")), (7, 4), "{before:?}");
    let same = |api: &handfast_tests::Api, when: &str| {
        for decision in &before {
            let again = verify(api, decision);
            assert_eq!(
                (&again["comparison"], &again["differences"]),
                (&json!("IDENTICAL"), &json!([])),
                "{when}: {decision} {again}"
            );
            assert_eq!(
                (&again["output"], &again["outcome"]),
                (&decision["output"], &decision["outcome"]),
                "{when}: {decision}"
            );
        }
    };
    same(&world.admin, "at once");
    world.server.set(
        "mql",
        before.iter().find(|one| one["slot"] == "mql").unwrap()["version"].as_str().unwrap(),
        &card(1_000),
    );
    let pool = json!({"key": "sales", "queue": "fallback", "members": [{"user": "ada", "weight": 7}]});
    world.admin.mutate("upsertPool", "UpsertPoolInput", pool, "pool { key }");
    same(&world.admin, "with other settings live and another pool");
    world.admin.mutate(
        "rollback",
        "RollbackInput",
        json!({"slot": "routing", "reason": "none"}),
        "deployment { id }",
    );
    world.agree(|body| body["maxHoldDays"] = json!(5));
    same(&world.admin, "with no router and another charter");
    let (dir, token) = world.server.stop();
    let server = Server::start_in(dir, Some(token));
    same(&server.admin(), "after a restart");
    assert_eq!(decisions(&server.admin(), json!({})), before, "the records themselves do not change");
}

#[test]
fn what_has_no_verdict_is_not_comparable_and_what_is_no_decision_is_refused() {
    let world = World::unsigned();
    let api = &world.admin;
    let lead = world.mql("routed@example.test", json!({}));
    for slot in ["mql", "routing"] {
        api.mutate("rollback", "RollbackInput", json!({"slot": slot, "reason": "none"}), "deployment { id }");
    }
    let held = world.mql("held@example.test", json!({}));
    let mine = decisions(api, json!({"lead": held["id"]}));
    assert_eq!(mine.len(), 1, "{mine:?}");
    let told = (&mine[0]["slot"], &mine[0]["status"], &mine[0]["outcome"]);
    assert_eq!(told, (&json!("mql"), &json!("OK"), &json!("HOLD")), "the built-in rule holds: {mine:?}");
    assert_eq!(verify(api, &mine[0])["comparison"], "NOT_COMPARABLE");
    let document = "query($id: ID!) { verifyDecision(id: $id) { comparison } }";
    for (id, code) in [(&lead["id"], "VALIDATION"), (&json!("nonsense"), "VALIDATION")] {
        assert_eq!(api.error(document, json!({"id": id}))["extensions"]["code"], code, "{id}");
        let error = api.error("query($id: ID!) { decision(id: $id) { id } }", json!({"id": id}));
        assert_eq!(error["extensions"]["code"], code, "{error}");
    }
    let found = api
        .query("query($id: ID!) { decision(id: $id) { id slot lead { id } } }", json!({"id": mine[0]["id"]}));
    assert_eq!(found["decision"], json!({"id": mine[0]["id"], "slot": "mql", "lead": {"id": held["id"]}}));
}

#[test]
fn a_decision_says_why_by_what_and_until_when() {
    let world = World::unsigned();
    let lead = world.mql("why@example.test", json!({"seniority": "C_LEVEL"}));
    let selection = "evaluations { decisions { gate mode status outcome version settings snapshot output fit \
                     confidence reasons { code label weight field } missing { field worth } reviewAt target \
                     fuel batchSize message } gates { gate result missing } }";
    let evaluation = look(&world.admin, &lead, selection)["evaluations"][0].clone();
    let live =
        world.admin.query("{ ruleSlots { live { versionDigest settingsDigest } } }", json!({}))["ruleSlots"]
            .clone();
    let (card_, route) = (&evaluation["decisions"][0], &evaluation["decisions"][1]);
    for (decision, slot) in [(card_, &live[0]), (route, &live[1])] {
        let place = (&decision["version"], &decision["settings"]);
        assert_eq!(place, (&slot["live"]["versionDigest"], &slot["live"]["settingsDigest"]), "{decision}");
        assert_eq!(
            (&decision["status"], &decision["mode"], &decision["message"]),
            (&json!("OK"), &json!("LIVE"), &json!(null))
        );
        assert!(
            decision["fuel"].as_str().unwrap().parse::<u64>().unwrap() > 0 && decision["output"].is_string(),
            "{decision}"
        );
        assert_eq!(decision["batchSize"], 1, "{decision}");
    }
    assert_eq!(
        (&card_["outcome"], &card_["fit"], &card_["gate"]),
        (&json!("ADVANCE"), &json!(30), &json!("MQL")),
        "{card_}"
    );
    let reasons = json!([
        {"code": "contact-seniority", "label": "Seniority", "weight": 20, "field": "contact.seniority"},
        {"code": "contact-consent", "label": "Consent to marketing", "weight": 10,
            "field": "contact.consent"},
    ]);
    assert_eq!(card_["reasons"], reasons, "strongest first");
    assert_eq!((&card_["missing"], &card_["confidence"]), (&json!([]), &json!(10_000)), "{card_}");
    assert_eq!(
        (&route["outcome"], &route["gate"]),
        (&json!(null), &json!(null)),
        "a router has no outcome: {route}"
    );
    let rob = look(&world.admin, &lead, "owner { uuid }")["owner"]["uuid"].clone();
    assert_eq!(route["target"], json!(format!("owner:{}", rob.as_str().unwrap())));
    assert!(!route["reasons"].as_array().unwrap().is_empty(), "{route}");
    assert_ne!(route["snapshot"], card_["snapshot"], "a routing saw the pool as well");
    let input = json!({"lead": {"email": "hold@example.test"}});
    let held =
        world.mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id nextEvaluationAt }")["lead"]
            .clone();
    let evaluation = look(&world.admin, &held, selection)["evaluations"][0].clone();
    let decision = &evaluation["decisions"][0];
    assert_eq!((&decision["outcome"], &decision["reasons"]), (&json!("HOLD"), &json!([])), "{decision}");
    let missing =
        json!([{"field": "contact.seniority", "worth": 20}, {"field": "contact.consent", "worth": 10}]);
    assert_eq!(decision["missing"], missing, "what it would be worth to know");
    assert!(decision["confidence"].as_i64() < Some(10_000), "{decision}");
    assert!(
        decision["reviewAt"].is_string() && decision["reviewAt"] == held["nextEvaluationAt"],
        "{decision} {held}"
    );
    assert_eq!(evaluation["gates"], json!([{"gate": "MQL", "result": "HOLD", "missing": ["mql says HOLD"]}]));
}

#[test]
fn decisions_are_paged_newest_first_by_slot_and_lead() {
    let world = judged_world();
    let api = &world.admin;
    let all = decisions(api, json!({}));
    for filter in [json!({}), json!({"slot": "mql"}), json!({"slot": "routing"}), json!({"slot": "none"})] {
        let wanted: Vec<Value> = all
            .iter()
            .filter(|one| filter["slot"].is_null() || one["slot"] == filter["slot"])
            .cloned()
            .collect();
        let (mut walked, mut after) = (vec![], Value::Null);
        loop {
            let mut variables = json!({"first": 2, "after": after});
            variables["slot"] = filter["slot"].clone();
            let page = api.query(DECISIONS, variables)["decisions"].clone();
            walked.extend(page["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()));
            if page["pageInfo"]["hasNextPage"] == json!(false) {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(walked, wanted, "{filter}");
    }
    let lead = api.query("{ lead(by: {email: \"batch1@example.test\"}) { id } }", json!({}))["lead"].clone();
    assert_eq!(decisions(api, json!({"lead": lead["id"]})).len(), 2, "judged at the capture and by hand");
    assert_eq!(decisions(api, json!({"lead": lead["id"], "slot": "routing"})), Vec::<Value>::new());
    let cursor =
        api.query(DECISIONS, json!({"first": 1, "slot": "mql"}))["decisions"]["pageInfo"]["endCursor"]
            .clone();
    for (variables, code) in [
        (json!({"first": 0}), "PAGE_SIZE"),
        (json!({"first": 201}), "PAGE_SIZE"),
        (json!({"first": 1, "after": cursor}), "CURSOR_INVALID"),
        (json!({"lead": "nonsense"}), "VALIDATION"),
    ] {
        assert_eq!(api.error(DECISIONS, variables.clone())["extensions"]["code"], code, "{variables}");
    }
}

#[test]
fn verify_runs_all_decisions_of_a_stopped_server_again_and_keeps_off_a_running_one() {
    let world = judged_world();
    let held = json!({"lead": {"email": "late@example.test"}});
    world.admin.mutate(
        "rollback",
        "RollbackInput",
        json!({"slot": "mql", "reason": "none"}),
        "deployment { id }",
    );
    world.mia.mutate("captureLead", "CaptureLeadInput", held, "lead { id }");
    for command in ["verify", "doctor"] {
        let (out, err, code) = offline(&world.server.dir, &[command]);
        assert_ne!(code, 0, "{command} while the server runs: {out}");
        assert!(
            out.is_empty() && err.contains("in use by process") && err.contains("stop it"),
            "{command}: {out}{err}"
        );
    }
    let (dir, _) = world.server.stop();
    let (out, err, code) = offline(&dir, &["verify"]);
    assert_eq!(code, 0, "{out}{err}");
    let counts: Vec<(&str, u64)> = out
        .lines()
        .filter_map(|line| {
            line.rsplit_once(' ').map(|(name, count)| (name.trim(), count.parse().unwrap_or(u64::MAX)))
        })
        .collect();
    let expected = [
        ("identical", 11),
        ("same verdict, other engine", 0),
        ("not comparable (no verdict)", 1),
        ("erased", 0),
        ("different", 0),
    ];
    assert_eq!(counts, expected, "{out}");
    let (out, _, code) = offline(&dir, &["verify", "--json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let expected = json!({"identical": 11, "sameVerdictOtherEngine": 0, "notComparable": 1, "erased": 0,
        "different": []});
    assert_eq!((code, told), (0, expected));
    let (_, err, code) = offline(&tempfile::tempdir().expect("an empty folder"), &["verify"]);
    assert!(code == 3 && err.contains("no Handfast data in"), "{code} {err}");
}

#[test]
fn the_doctor_finds_nothing_wrong_with_what_nobody_touched() {
    let world = World::start();
    let lead = world.at("OPPORTUNITY", "won@example.test");
    done(&world.rob, "closeWon", &lead, json!({"amount": {"amountMinor": "100", "currency": "EUR"}}));
    let lead = world.at("SAL", "recycled@example.test");
    done(&world.rob, "recycleLead", &lead, json!({"reason": "NOT_READY"}));
    done(&world.rob, "reopenLead", &lead, json!({"reason": "they called"}));
    let lead = world.mql("context@example.test", json!({}));
    done(&world.rob, "rejectHandoff", &lead, json!({"reason": "NO_CONTEXT"}));
    done(&world.mia, "routeLead", &lead, json!({}));
    let (dir, _) = world.server.stop();
    let (out, err, code) = offline(&dir, &["doctor"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let checks = [
        "file",
        "head",
        "log",
        "feed",
        "projections",
        "counters",
        "ledger",
        "nobody",
        "rows",
        "rules",
        "settings",
        "files",
        "decisions",
        "snapshots",
        "keys",
        "charters",
        "imports",
    ];
    let found: Vec<(&str, &str)> = out
        .lines()
        .filter_map(|line| line.split_whitespace().next().zip(line.split_whitespace().nth(1)))
        .collect();
    assert_eq!(found, checks.map(|check| ("ok", check)), "{out}");
    let (out, _, code) = offline(&dir, &["doctor", "--json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &told["ok"]), (0, &json!(true)), "{told}");
    assert_eq!(told["findings"].as_array().map(Vec::len), Some(checks.len()), "{told}");
}

/// What a stopped server whose scorecard judged a lead left: the directory and its token, the scorecard's
/// digest and file.
fn stopped(live: bool) -> (tempfile::TempDir, String, String, std::path::PathBuf) {
    let server = Server::start();
    let api = server.admin();
    let digest = server.deploy("scorecard", "mql", &card(10));
    server.deploy("fair-share", "routing", &fair_share());
    let input = json!({"lead": {"email": "judged@example.test", "consent": true}});
    api.mutate("captureLead", "CaptureLeadInput", input, "lead { id }");
    if !live {
        api.mutate(
            "rollback",
            "RollbackInput",
            json!({"slot": "mql", "reason": "none"}),
            "deployment { id }",
        );
    }
    let (dir, token) = server.stop();
    let path = dir.path().join("blobs").join(&digest);
    (dir, token, digest, path)
}

fn doctor_names_the_damage(live: bool) {
    // There the database has the bytes, and a copy is fetched again.
    if on_postgres() {
        return;
    }
    let (dir, _, digest, path) = stopped(live);
    let bytes = std::fs::read(&path).expect("the rule's bytes");
    let damages: [(&str, Option<Vec<u8>>); 3] = [
        ("truncated", Some(bytes[..1_000].to_vec())),
        ("changed", Some([&bytes[..bytes.len() - 1], &[!bytes[bytes.len() - 1]]].concat())),
        ("missing", None),
    ];
    for (name, damaged) in damages {
        match damaged {
            Some(damaged) => std::fs::write(&path, damaged).expect("written"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
        let (out, err, code) = offline(&dir, &["doctor"]);
        assert_eq!(code, 1, "{name}: {out}{err}");
        let line = out
            .lines()
            .find(|line| line.contains("rules"))
            .unwrap_or_else(|| panic!("{name}: no report: {out}{err}"));
        assert!(line.starts_with("WRONG"), "{name}: {out}");
        assert!(
            out.contains("scorecard") && out.contains(&digest),
            "{name}: it names the rule and the file: {out}"
        );
        let others = out.lines().filter(|line| line.starts_with("ok ")).count();
        assert_eq!(others, 16, "{name}: everything else is sound: {out}");
    }
    std::fs::write(&path, &bytes).expect("restored from a backup");
    let (out, _, code) = offline(&dir, &["doctor"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn the_doctor_names_a_damaged_file_of_a_rule_that_judged_once() {
    doctor_names_the_damage(false);
}

#[test]
fn the_doctor_names_a_damaged_file_of_a_rule_that_is_live() {
    doctor_names_the_damage(true);
}

#[test]
fn the_doctor_offers_a_repair_only_for_what_it_can_repair() {
    // There the database has the bytes, and a copy is fetched again.
    if on_postgres() {
        return;
    }
    let (dir, _, _, path) = stopped(false);
    std::fs::remove_file(&path).expect("removed");
    let (out, err, code) = offline(&dir, &["doctor"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(!err.contains("--repair"), "no repair brings a file back: {err}");
}

#[test]
fn verify_says_which_decisions_cannot_run_again_when_a_rules_file_is_damaged() {
    // There the database has the bytes, and a copy is fetched again.
    if on_postgres() {
        return;
    }
    let (dir, _, digest, path) = stopped(false);
    let bytes = std::fs::read(&path).expect("the rule's bytes");
    for (name, damaged) in [("truncated", Some(&bytes[..1_000])), ("missing", None)] {
        match damaged {
            Some(damaged) => std::fs::write(&path, damaged).expect("written"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
        let (out, err, code) = offline(&dir, &["verify", "--json"]);
        assert_eq!(code, 1, "{name}: {out}{err}");
        assert!(format!("{out}{err}").contains(&digest), "{name}: it names the file: {out}{err}");
        assert!(!err.contains("no the file") && !err.contains("with this id or key"), "{name}: {err}");
        let told: Value = serde_json::from_str(&out).unwrap_or_default();
        assert_eq!(told["identical"], 1, "{name}: the routing still runs again: {out}{err}");
    }
}

#[test]
fn a_damaged_copy_of_a_rule_is_fetched_again_where_the_database_has_its_bytes() {
    if !on_postgres() {
        return;
    }
    let (dir, _, _, path) = stopped(true);
    let bytes = std::fs::read(&path).expect("the rule's bytes");
    for (name, damaged) in [("truncated", Some(&bytes[..1_000])), ("missing", None)] {
        match damaged {
            Some(damaged) => std::fs::write(&path, damaged).expect("written"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
        for command in ["doctor", "verify"] {
            let (out, err, code) = offline(&dir, &[command]);
            assert_eq!(code, 0, "{name}, {command}: {out}{err}");
        }
        assert_eq!(std::fs::read(&path).expect("it is here again"), bytes, "{name}");
    }
}

#[test]
fn a_server_starts_and_answers_when_the_file_of_one_rule_is_damaged() {
    // There the database has the bytes, and a copy is fetched again.
    if on_postgres() {
        return;
    }
    let (dir, token, _, path) = stopped(true);
    let bytes = std::fs::read(&path).expect("the rule's bytes");
    std::fs::write(&path, &bytes[..1_000]).expect("written");
    // The rule of one team must not stop the funnel of all.
    let server = Server::start_in(dir, Some(token));
    let input = json!({"lead": {"email": "after@example.test", "consent": true}});
    let payload =
        server.admin().mutate("captureLead", "CaptureLeadInput", input, "lead { outcome nextEvaluationAt }");
    assert!(
        payload["lead"]["outcome"] == "OPEN" && payload["lead"]["nextEvaluationAt"].is_string(),
        "{payload}"
    );
}

/// Changes rows of a stopped server's file; false where Python is missing.
fn by_hand(dir: &tempfile::TempDir, change: &str) -> bool {
    let script = format!(
        "import json, sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n\
         rows = db.execute(\"SELECT id, body FROM decision WHERE slot = 'mql'\").fetchall()\n\
         for id, text in rows:\n    body = json.loads(text)\n    {change}\n    \
         db.execute('UPDATE decision SET body = ? WHERE id = ?', (json.dumps(body), id))\n\
         db.commit()\ndb.close()"
    );
    let mut python = std::process::Command::new("python3");
    python.args(["-c", &script]).arg(dir.path().join("handfast.db"));
    python.status().is_ok_and(|ended| ended.success())
}

#[test]
fn what_ran_on_another_engine_was_changed_or_was_erased_is_told_apart() {
    // Its file can be changed by hand.
    if on_postgres() {
        return;
    }
    let (mut dir, token, ..) = stopped(true);
    if !by_hand(&dir, "pass") {
        eprintln!("skipped: python3 with sqlite3 is missing");
        return;
    }
    let steps = [
        ("pass", "IDENTICAL", json!([])),
        ("body['engine'] = 'wasmtime-1/other'", "SAME_VERDICT_OTHER_ENGINE", json!([])),
        ("body.update(output='0' * 64, fit=body['fit'] + 1)", "DIFFERENT", json!(["output", "fit"])),
        ("db.execute('DELETE FROM snapshot')", "ERASED", json!([])),
    ];
    for (change, comparison, differences) in steps {
        assert!(by_hand(&dir, change), "{change}");
        let server = Server::start_in(dir, Some(token.clone()));
        let api = server.admin();
        let again = verify(&api, &decisions(&api, json!({"slot": "mql"}))[0]);
        let told = (&again["comparison"], &again["differences"]);
        assert_eq!(told, (&json!(comparison), &differences), "{change}: {again}");
        dir = server.stop().0;
    }
}
