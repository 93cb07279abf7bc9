//! Rules that deploy like code: beside what counts, for a share of the leads, with the agreement of others, and back again by
//! themselves.

use std::collections::{BTreeMap, BTreeSet};

use handfast_tests::{Api, Server, card, eventually};
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::subscribe::follow;
use crate::work::{World, done, look};

const DEPLOYMENT: &str = "deployment { id uuid slot mode state share versionDigest settingsDigest stillNeeded endReason \
                          approvals { user { key } side comment } }";

/// What a deployment of the scorecard asks for.
fn wanted(digest: &str, advance: i32, mode: &str, more: Value) -> Value {
    let mut input =
        json!({"slot": "mql", "digest": digest, "settings": card(advance).to_string(), "mode": mode});
    for (key, value) in more.as_object().into_iter().flatten() {
        input[key] = value.clone();
    }
    input
}

fn try_deploy(api: &Api, input: Value) -> Value {
    api.attempt("deployPlugin", "DeployPluginInput", input, DEPLOYMENT)
}

fn deploy(api: &Api, input: Value) -> Value {
    api.mutate("deployPlugin", "DeployPluginInput", input, DEPLOYMENT)["deployment"].clone()
}

fn promote(api: &Api, deployment: &Value, mode: &str, share: Value) -> Value {
    let input = json!({"deployment": deployment["id"], "mode": mode, "share": share});
    api.attempt("promote", "PromoteInput", input, DEPLOYMENT)
}

fn end(api: &Api, deployment: &Value, reason: &str) -> Value {
    let input = json!({"slot": "mql", "deployment": deployment["id"], "reason": reason});
    api.attempt("rollback", "RollbackInput", input, DEPLOYMENT)
}

/// One as it stands now.
fn standing(api: &Api, deployment: &Value) -> Value {
    let document = "query($id: ID!) { node(id: $id) { ... on Deployment { id mode state share endReason stillNeeded \
                    evidence { metric canary baseline sample breached text } \
                    tally { decided advanced failed disagreed fuel } \
                    readings { metric sample breached } promotedFrom approvals { side user { key } } } } }";
    api.query(document, json!({"id": deployment["id"]}))["node"].clone()
}

/// Somebody with consent, whom `card(10)` lets pass and `card(1000)` holds; with what was decided at the slot.
fn captured(api: &Api, email: &str) -> Value {
    let lead = json!({"email": email, "consent": true});
    let selection = "lead { id stage version greySlots evaluations { decisions { slot mode status outcome settings version } } }";
    api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), selection)["lead"].clone()
}

/// Mode, status and outcome of what counted at the slot in the newest evaluation.
fn decided(lead: &Value) -> Vec<String> {
    said(lead).into_iter().filter(|text| !text.starts_with("SHADOW")).collect()
}

/// The same with what shadows said, who come a little later.
fn said(lead: &Value) -> Vec<String> {
    let decisions = lead["evaluations"][0]["decisions"].as_array().expect("decisions");
    let text = |decision: &Value| {
        let part = |name: &str| decision[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", part("mode"), part("status"), part("outcome"))
    };
    decisions.iter().filter(|decision| decision["slot"] == "mql").map(text).collect()
}

fn count(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[test]
fn a_shadow_is_recorded_beside_what_counts_and_moves_no_lead() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let digest = server.deploy("scorecard", "mql", &card(10));
    let shadow =
        deploy(&mia, wanted(&digest, 1_000, "SHADOW", json!({"greyCasesADay": 3, "why": "stricter"})));
    assert_eq!((&shadow["state"], &shadow["share"]), (&json!("RUNNING"), &json!(10_000)));
    let leads: Vec<Value> = (0..20).map(|n| captured(&mia, &format!("s{n}@example.test"))).collect();
    assert!(
        leads.iter().all(|lead| lead["stage"] == "MQL" && decided(lead) == ["LIVE OK ADVANCE"]),
        "{leads:?}"
    );

    let tally = eventually(20, "the shadow judged them all", || {
        let tally = standing(&mia, &shadow)["tally"].clone();
        (count(&tally["decided"]) == 20).then_some(tally)
    });
    assert_eq!(
        (&tally["disagreed"], &tally["advanced"], &tally["failed"]),
        (&json!("20"), &json!("0"), &json!("0"))
    );
    assert!(count(&tally["fuel"]) > 0, "{tally}");
    let selection = "stage greySlots evaluations { decisions { slot mode status outcome } }";
    let grey = || {
        let found = leads.iter().map(|lead| look(&mia, lead, selection));
        found.filter(|lead| lead["greySlots"] == json!(["mql"])).count()
    };
    eventually(20, "grey cases are opened", || (grey() == 3).then_some(()));
    let lead = look(&mia, &leads[0], selection);
    assert_eq!(lead["stage"], "MQL");
    assert_eq!(said(&lead), ["LIVE OK ADVANCE", "SHADOW OK HOLD"]);

    assert_eq!(end(&mia, &shadow, "seen enough")["errors"], json!([]));
    assert_eq!(standing(&mia, &shadow)["state"], "ROLLED_BACK");
    captured(&mia, "later@example.test");
    let slots =
        mia.query("{ ruleSlots { key live { mode state } canary { id } shadows { id } } }", json!({}));
    assert_eq!(slots["ruleSlots"][0]["live"], json!({"mode": "LIVE", "state": "RUNNING"}), "{slots}");
    assert_eq!(slots["ruleSlots"][0]["shadows"], json!([]));
    assert_eq!(standing(&mia, &shadow)["tally"]["decided"], "20", "it judges no more");
    assert_eq!(grey(), 3, "three a day");
}

#[test]
fn a_slot_has_room_for_three_shadows_and_one_canary() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let digest = server.push("scorecard");
    let shadows: Vec<Value> =
        (0..3).map(|n| deploy(&mia, wanted(&digest, 100 + n, "SHADOW", json!({})))).collect();
    let again = deploy(&mia, wanted(&digest, 100, "SHADOW", json!({})));
    assert_eq!(again["id"], shadows[0]["id"], "the same again is the same");
    let fourth = try_deploy(&mia, wanted(&digest, 200, "SHADOW", json!({})));
    assert_eq!(fourth["errors"][0]["code"], "DEPLOYMENT_STATE", "{fourth}");
    let message = fourth["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains(shadows[1]["uuid"].as_str().expect("an id")), "it names them: {message}");

    let first = deploy(&mia, wanted(&digest, 100, "CANARY", json!({})));
    assert_eq!(first["share"], 1_000);
    let second = deploy(&mia, wanted(&digest, 200, "CANARY", json!({"share": 2_000})));
    assert_eq!(standing(&mia, &first)["state"], "SUPERSEDED");
    assert_eq!(standing(&mia, &second)["state"], "RUNNING");
    for (input, path, text) in [
        (json!({"share": 0}), "share", "1 to 9999"),
        (json!({"share": 10_000}), "share", "1 to 9999"),
        (json!({"breaker": {"failures": 5, "window": 4}}), "breaker", "found 5 of 4"),
        (json!({"guardrails": {"minSample": 4, "limits": []}}), "guardrails", "found 4"),
        (json!({"greyCasesADay": 1_001}), "greyCasesADay", "found 1001"),
        (json!({"why": " "}), "why", "1 to 500 characters"),
    ] {
        let refused = try_deploy(&mia, wanted(&digest, 300, "CANARY", input.clone()));
        let error = &refused["errors"][0];
        assert_eq!(error["path"], json!(["input", path]), "{input}: {refused}");
        assert!(error["message"].as_str().unwrap_or_default().contains(text), "{input}: {refused}");
    }
    let live = try_deploy(&mia, wanted(&digest, 300, "LIVE", json!({"share": 500})));
    assert_eq!(live["errors"][0]["path"], json!(["input", "share"]), "{live}");
}

#[test]
fn a_canary_judges_the_same_share_of_the_leads_until_it_is_promoted_or_taken_back() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let digest = server.deploy("scorecard", "mql", &card(10));
    let more = json!({"share": 5_000, "guardrails": {"minSample": 30, "limits": []}});
    let canary = deploy(&mia, wanted(&digest, 1_000, "CANARY", more));
    let leads: Vec<Value> = (0..40).map(|n| captured(&mia, &format!("c{n}@example.test"))).collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for lead in &leads {
        let decided = decided(lead).join(", ");
        let stage = if decided == "CANARY OK HOLD" { "INQUIRY" } else { "MQL" };
        assert_eq!(lead["stage"], stage, "{decided}");
        *seen.entry(decided).or_default() += 1;
    }
    let counts: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(counts, ["CANARY OK HOLD", "LIVE OK ADVANCE"], "each decision names one version");
    assert!(seen.values().all(|count| (8..=32).contains(count)), "about half of them: {seen:?}");

    let held: Vec<&Value> = leads.iter().filter(|lead| lead["stage"] == "INQUIRY").collect();
    let again = |lead: &Value| {
        done(&mia, "evaluateLead", lead, json!({}));
        decided(&look(&mia, lead, "evaluations { decisions { slot mode status outcome } }"))
    };
    assert_eq!(again(held[0]), ["CANARY OK HOLD"], "a lead stays with its version");
    let wider = promote(&mia, &canary, "CANARY", json!(9_000))["deployment"].clone();
    assert_eq!(standing(&mia, &canary)["state"], "SUPERSEDED");
    assert_eq!(standing(&mia, &wider)["promotedFrom"], canary["id"]);
    for lead in held.iter().take(5) {
        assert_eq!(again(lead), ["CANARY OK HOLD"], "a wider share keeps its leads");
    }
    let narrower = promote(&mia, &wider, "CANARY", json!(100));
    assert_eq!(narrower["errors"][0]["code"], "DEPLOYMENT_STATE", "{narrower}");

    let live = promote(&mia, &wider, "LIVE", Value::Null)["deployment"].clone();
    assert_eq!(live["state"], "RUNNING");
    assert_eq!(standing(&mia, &wider)["endReason"], "promoted to LIVE");
    assert_eq!(decided(&captured(&mia, "live@example.test")), ["LIVE OK HOLD"]);
    let gone = promote(&mia, &wider, "LIVE", Value::Null);
    assert_eq!(gone["errors"][0]["code"], "DEPLOYMENT_STATE", "{gone}");
    assert_eq!(end(&mia, &live, "too strict")["deployment"]["mode"], "LIVE");
    assert_eq!(decided(&captured(&mia, "back@example.test")), ["LIVE OK ADVANCE"], "one step back, at once");
    let twice = end(&mia, &live, "too strict");
    assert!(twice["errors"][0]["message"].as_str().unwrap_or_default().contains("or no longer"), "{twice}");
}

/// A version of the bombs with a quiet case.
pub fn bombs(server: &Server, api: &Api) -> String {
    let leads = json!([{"fields": {"company.employees": 5}, "expect": {"outcome": "HOLD"}}]);
    let case = json!({"name": "quiet", "settings": {"act": "behave"}, "asOf": "2026-03-01T09:00:00Z", "leads": leads});
    let wasm = std::fs::read(handfast_tests::plugin("bombs")).expect("a built plugin");
    let digest = api.put_blob("plugin", &wasm);
    let input = json!({"digest": digest, "team": "marketing", "cases": [case.to_string()]});
    api.mutate("uploadPluginVersion", "UploadPluginVersionInput", input, "version { status }");
    eventually(60, "the checks end", || {
        let document = "query($digest: Digest!) { pluginVersion(digest: $digest) { status } }";
        let found = server.admin().query(document, json!({"digest": digest}));
        (found["pluginVersion"]["status"] == "VALIDATED").then_some(())
    });
    digest
}

pub fn trapping(digest: &str, mode: &str, share: Value) -> Value {
    json!({"slot": "mql", "digest": digest, "settings": json!({"act": "trap"}).to_string(), "mode": mode,
        "share": share, "breaker": {"failures": 6, "window": 20}, "guardrails": {"minSample": 30, "limits": []}})
}

#[test]
fn where_a_canary_fails_the_live_version_answers_and_the_breaker_takes_it_back() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    server.deploy("scorecard", "mql", &card(10));
    let canary = deploy(&mia, trapping(&bombs(&server, &mia), "CANARY", json!(9_999)));
    let mut failed = 0;
    for n in 0..6 {
        let lead = captured(&mia, &format!("f{n}@example.test"));
        assert_eq!((&lead["stage"], &lead["greySlots"]), (&json!("MQL"), &json!([])), "{lead}");
        failed += usize::from(decided(&lead) == ["CANARY TRAPPED -", "LIVE OK ADVANCE"]);
    }
    assert!(failed >= 5, "{failed}");
    let ended = eventually(20, "the breaker takes it back", || {
        if failed < 6 {
            captured(&mia, &format!("more{failed}@example.test"));
            failed += 1;
        }
        let now = standing(&mia, &canary);
        (now["state"] == "FAILED").then_some(now)
    });
    assert_eq!(ended["endReason"], "the circuit breaker: 6 of the last 6 calls failed");
    assert_eq!(decided(&captured(&mia, "after@example.test")), ["LIVE OK ADVANCE"]);
    let log = mia.query(
        "{ events(first: 50, filter: {kinds: [\"DEPLOYMENT_ENDED\"]}) { events { payload } } }",
        json!({}),
    );
    let payload: Value =
        serde_json::from_str(log["events"]["events"][0]["payload"].as_str().unwrap_or_default())
            .expect("JSON");
    assert_eq!(payload["actor"]["kind"], "RULE", "{payload}");
    assert_eq!(payload["fact"]["state"], "FAILED", "{payload}");
}

#[test]
fn a_live_version_that_keeps_failing_gives_its_place_back_to_what_answered_before() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let digest = server.deploy("scorecard", "mql", &card(10));
    deploy(&mia, trapping(&bombs(&server, &mia), "LIVE", Value::Null));
    for n in 0..6 {
        assert_eq!(decided(&captured(&mia, &format!("t{n}@example.test"))), ["LIVE TRAPPED -"]);
    }
    eventually(20, "the breaker takes it back", || {
        let slots = mia.query("{ ruleSlots { live { versionDigest rollbackOf } } }", json!({}));
        let live = &slots["ruleSlots"][0]["live"];
        (live["versionDigest"] == json!(digest) && live["rollbackOf"].is_string()).then_some(())
    });
    assert_eq!(decided(&captured(&mia, "after@example.test")), ["LIVE OK ADVANCE"]);
}

#[test]
fn what_the_charter_asks_to_agree_waits_until_they_did_and_goes_back_without_them() {
    let parties = Parties::start();
    let (server, marketing, sales) = (&parties.server, &parties.marketing, &parties.sales);
    let digest = server.deploy("scorecard", "mql", &card(10));
    parties.enforce(&parties.body(|body| body["slots"][0]["approval"] = json!("OTHER_SIDE")));

    let shadow = deploy(marketing, wanted(&digest, 50, "SHADOW", json!({})));
    assert_eq!(shadow["state"], "RUNNING", "it moves no lead, so it needs nobody");
    let asked = deploy(marketing, wanted(&digest, 1_000, "LIVE", json!({"why": "too many poor ones"})));
    assert_eq!((&asked["state"], &asked["stillNeeded"]), (&json!("PENDING_APPROVAL"), &json!(["SALES"])));
    assert_eq!(
        decided(&captured(marketing, "waiting@example.test")),
        ["LIVE OK ADVANCE"],
        "it does not judge yet"
    );
    let slots = sales.query("{ ruleSlots { pending { id why } } }", json!({}));
    assert_eq!(slots["ruleSlots"][0]["pending"][0]["id"], asked["id"], "sales sees it: {slots}");

    let approve = |api: &Api, comment: &str| {
        let input = json!({"deployment": asked["id"], "comment": comment});
        api.attempt("approveDeployment", "ApproveDeploymentInput", input, DEPLOYMENT)
    };
    let own = approve(marketing, "mine");
    assert_eq!(own["errors"][0]["code"], "FORBIDDEN", "{own}");
    let robot = json!({"key": "robot", "name": "Robot", "team": "sales", "service": true});
    parties.admin.mutate("upsertUser", "UpsertUserInput", robot, "user { id }");
    let robot = server.token("robot", &["leads:read", "charter:sign"]);
    assert_eq!(approve(&robot, "beep")["errors"][0]["code"], "FORBIDDEN", "people agree");
    let agreed = approve(sales, "agreed on Monday")["deployment"].clone();
    assert_eq!(agreed["state"], "RUNNING");
    assert_eq!(
        agreed["approvals"],
        json!([{"user": {"key": "saul"}, "side": "SALES", "comment": "agreed on Monday"}])
    );
    assert_eq!(decided(&captured(marketing, "agreed@example.test")), ["LIVE OK HOLD"]);
    assert_eq!(approve(sales, "again")["errors"][0]["code"], "DEPLOYMENT_STATE");

    let unloved = deploy(marketing, wanted(&digest, 2_000, "CANARY", json!({})));
    let input = json!({"deployment": unloved["id"], "reason": "not in the last week of the quarter"});
    let declined = sales.mutate("declineDeployment", "DeclineDeploymentInput", input, DEPLOYMENT);
    assert_eq!(declined["deployment"]["state"], "DECLINED");
    assert_eq!(end(marketing, &agreed, "back")["errors"], json!([]), "the way back needs nobody");
    assert_eq!(decided(&captured(marketing, "back@example.test")), ["LIVE OK ADVANCE"]);
    let kinds = "[\"DEPLOYMENT_REQUESTED\", \"DEPLOYMENT_APPROVED\", \"DEPLOYMENT_DECLINED\"]";
    let log = sales.query(
        &format!("{{ events(first: 50, filter: {{kinds: {kinds}}}) {{ events {{ kind }} }} }}"),
        json!({}),
    );
    let told: Vec<&str> = log["events"]["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert_eq!(
        told,
        ["DEPLOYMENT_REQUESTED", "DEPLOYMENT_APPROVED", "DEPLOYMENT_REQUESTED", "DEPLOYMENT_DECLINED"]
    );
}

#[test]
fn a_canary_whose_leads_sales_rejects_is_taken_back_with_what_was_read() {
    let world = World::unsigned();
    let slots = world.mia.query("{ ruleSlots { live { versionDigest } } }", json!({}));
    let digest = slots["ruleSlots"][0]["live"]["versionDigest"].as_str().expect("a digest").to_owned();
    let guardrails = json!({"minSample": 5, "limits": [{"metric": "REJECT_RATE", "allowed": 2_000},
        {"metric": "FAILURE_RATE", "allowed": 500}]});
    // It lets the same leads pass; only what sales says of them differs.
    let more = json!({"share": 5_000, "guardrails": guardrails});
    let canary = deploy(&world.mia, wanted(&digest, 9, "CANARY", more));
    let mut answered = BTreeMap::from([("CANARY", 0), ("LIVE", 0)]);
    for n in 0..60 {
        if answered.values().all(|count| *count >= 8) {
            break;
        }
        let lead = captured(&world.mia, &format!("r{n}@example.test"));
        let by = if decided(&lead) == ["CANARY OK ADVANCE"] { "CANARY" } else { "LIVE" };
        if answered[by] >= 8 {
            continue;
        }
        *answered.entry(by).or_default() += 1;
        match by {
            "CANARY" => done(&world.rob, "rejectHandoff", &lead, json!({"reason": "NOT_READY"})),
            _ => done(&world.rob, "acceptHandoff", &lead, json!({})),
        };
    }
    let ended = eventually(30, "the guardrail takes it back", || {
        let now = standing(&world.mia, &canary);
        (now["state"] == "ROLLED_BACK").then_some(now)
    });
    let evidence = ended["evidence"].as_array().expect("readings");
    let reject = evidence.iter().find(|reading| reading["metric"] == "REJECT_RATE").expect("its reading");
    assert_eq!((&reject["breached"], &reject["baseline"]), (&json!(true), &json!(0)), "{reject}");
    assert!(reject["canary"].as_i64().unwrap_or_default() >= 5_000, "{reject}");
    let reason = ended["endReason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("guardrail: REJECT_RATE: "), "{reason}");
    let quiet = evidence.iter().find(|reading| reading["metric"] == "FAILURE_RATE").expect("its reading");
    assert_eq!(quiet["breached"], false, "{quiet}");
    let after = captured(&world.mia, "after@example.test");
    assert_eq!(decided(&after), ["LIVE OK ADVANCE"]);
}

#[test]
fn a_canary_that_lets_far_fewer_pass_is_taken_back_however_it_came_about() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let digest = server.deploy("scorecard", "mql", &card(10));
    let guardrails = json!({"minSample": 5, "limits": [{"metric": "ADVANCE_SHIFT", "allowed": 2_500}]});
    let more = json!({"share": 5_000, "guardrails": guardrails});
    let canary = deploy(&mia, wanted(&digest, 1_000, "CANARY", more));
    let mut number = 0;
    let ended = eventually(60, "the guardrail takes it back", || {
        captured(&mia, &format!("a{number}@example.test"));
        number += 1;
        let now = standing(&mia, &canary);
        (now["state"] == "ROLLED_BACK").then_some(now)
    });
    assert!(ended["endReason"].as_str().unwrap_or_default().contains("ADVANCE_SHIFT: 0.0 %"), "{ended}");
}

#[test]
fn a_dry_run_deploys_nothing_and_a_repetition_deploys_once() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let digest = server.push("scorecard");
    let tried = try_deploy(&mia, wanted(&digest, 10, "LIVE", json!({"dryRun": true})));
    assert_eq!(tried["errors"], json!([]), "{tried}");
    let none = mia.query("{ deployments { id } ruleSlots { live { id } } }", json!({}));
    assert_eq!(none["deployments"], json!([]));
    let first = deploy(&mia, wanted(&digest, 10, "CANARY", json!({"idempotencyKey": "k"})));
    let again = deploy(&mia, wanted(&digest, 10, "CANARY", json!({"idempotencyKey": "k"})));
    assert_eq!(first["id"], again["id"]);
    let promotion = json!({"deployment": first["id"], "mode": "LIVE", "idempotencyKey": "p"});
    let promoted = mia.mutate("promote", "PromoteInput", promotion.clone(), DEPLOYMENT)["deployment"].clone();
    let repeated = mia.mutate("promote", "PromoteInput", promotion, DEPLOYMENT)["deployment"].clone();
    assert_eq!(promoted["id"], repeated["id"], "no step is taken twice");
}

#[test]
fn the_command_line_takes_a_version_from_shadow_to_live_and_back_and_tells_where_it_stands() {
    let server = Server::start();
    let digest = server.deploy("scorecard", "mql", &card(10));
    let settings = server.dir.path().join("stricter.json");
    std::fs::write(&settings, card(1_000).to_string()).expect("it is written");
    let settings = settings.to_string_lossy().into_owned();
    let run = |args: &[&str]| {
        let output = server.cli(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
    };
    let deploy = ["plugin", "deploy", &digest, "--slot", "mql", "--settings", &settings];
    let (shadow, next, code) = run(&[&deploy[..], &["--shadow", "--why", "too many poor ones"]].concat());
    assert!(code == 0 && next.contains(&format!("plugin promote {shadow} --canary 10")), "{next}");
    let (canary, _, code) = run(&["plugin", "promote", &shadow, "--canary", "12.5"]);
    assert_eq!(code, 0);
    let (status, _, _) = run(&["plugin", "status"]);
    let line = status.lines().find(|line| line.contains(&canary)).unwrap_or_default();
    assert!(line.contains("CANARY 12.5 %") && line.contains("scorecard"), "{status}");
    assert!(!status.contains(&shadow) && status.contains("LIVE"), "{status}");
    let (live, _, code) = run(&["plugin", "promote", &canary, "--live"]);
    assert_eq!(code, 0);
    let (_, _, code) = run(&["plugin", "promote", &canary, "--live"]);
    assert_eq!(code, 5, "it no longer runs");
    let back = ["plugin", "rollback", "--slot", "mql", "--reason", "the old card did better"];
    let (before, _, code) = run(&[&back[..], &["--deployment", &live]].concat());
    assert_eq!((before, code), (digest.clone(), 0));
    for (args, expected) in [
        ([&deploy[..], &["--shadow", "--live"]].concat(), 2),
        ([&deploy[..], &["--canary", "100"]].concat(), 2),
        (vec!["plugin", "promote", "00000000-0000-7000-8000-000000000001", "--live"], 3),
        (vec!["plugin", "approve", &live], 4),
    ] {
        let (out, err, code) = run(&args);
        assert!(code == expected && !err.is_empty(), "{args:?}: {code} {out}{err}");
    }
}

#[test]
fn a_command_waits_until_its_budget_has_filled() {
    let server = Server::configured(&[
        ("HANDFAST__EDGE__RATE__TOKEN_PER_SECOND", "1000"),
        ("HANDFAST__EDGE__RATE__TOKEN_BURST", "1000"),
    ]);
    for _ in 0..4 {
        let output = server.cli(&["plugin", "status"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

const FOLLOWED: &str = "subscription($after: FeedCursor, $slot: String) { deploymentEvents(after: $after, slot: $slot) { \
    cursor change slot deploymentId versionDigest mode state needs side actor user { key } deployment { state } } }";

#[test]
fn what_happens_to_deployments_is_told_to_whoever_follows_each_with_where_to_go_on() {
    let parties = Parties::start();
    let (server, mara) = (&parties.server, &parties.marketing);
    let digest = server.push("scorecard");
    parties.enforce(&parties.body(|body| body["slots"][0]["approval"] = json!("OTHER_SIDE")));
    let head = parties.sales.query("{ feedHead }", json!({}))["feedHead"].clone();
    let mut asked = json!({});
    let told = follow(server, "ws", FOLLOWED, json!({"after": head, "slot": "mql"}), 6, || {
        server.deploy("fair-share", "routing", &handfast_tests::fair_share());
        asked = deploy(mara, wanted(&digest, 10, "LIVE", json!({})));
        let approve = json!({"deployment": asked["id"], "comment": "go on"});
        parties.sales.mutate("approveDeployment", "ApproveDeploymentInput", approve, "deployment { id }");
        let shadow = deploy(mara, wanted(&digest, 20, "SHADOW", json!({})));
        assert_eq!(end(mara, &shadow, "seen enough")["errors"], json!([]));
        let declined = deploy(mara, wanted(&digest, 30, "LIVE", json!({})));
        let decline = json!({"deployment": declined["id"], "reason": "too strict"});
        parties.sales.mutate("declineDeployment", "DeclineDeploymentInput", decline, "deployment { id }");
    });
    let Some(told) = told else { return };
    // The seventh, the decline, comes after the six that were asked for.
    let told = [
        told,
        follow(server, "sse", FOLLOWED, json!({"after": head, "slot": "mql"}), 7, || {})
            .expect("the clients are there")
            .split_off(6),
    ]
    .concat();
    let lines: Vec<String> = told
        .iter()
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let word = |name: &str| text(&event[name]);
            let who = text(&event["user"]["key"]);
            format!(
                "{} {} {} {} {who} {}",
                word("change"),
                word("mode"),
                word("state"),
                word("side"),
                event["needs"]
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "REQUESTED LIVE PENDING_APPROVAL - mara [\"SALES\"]",
            "APPROVED - PENDING_APPROVAL SALES saul []",
            "STARTED LIVE RUNNING - saul []",
            "STARTED SHADOW RUNNING - mara []",
            "ENDED - ROLLED_BACK - mara []",
            "REQUESTED LIVE PENDING_APPROVAL - mara [\"SALES\"]",
            "DECLINED - DECLINED - saul []",
        ]
    );
    assert!(told.iter().all(|event| event["slot"] == "mql" && event["actor"] == "USER"), "{told:?}");
    assert_eq!((&told[0]["deploymentId"], &told[0]["versionDigest"]), (&asked["id"], &json!(digest)));
    assert_eq!(told[2]["deployment"], json!({"state": "RUNNING"}));
    for (mode, from) in [("ws", 0), ("sse", 4)] {
        let after = json!({"after": told[from]["cursor"], "slot": "mql"});
        let rest = follow(server, mode, FOLLOWED, after, 6 - from, || {}).expect("the clients are there");
        let cursors =
            |events: &[Value]| events.iter().map(|event| event["cursor"].clone()).collect::<Vec<_>>();
        assert_eq!(cursors(&rest), cursors(&told[from + 1..]), "{mode} goes on right after {from}");
    }
    let all =
        follow(server, "ws", FOLLOWED, json!({"after": head}), 8, || {}).expect("the clients are there");
    assert_eq!(
        all.iter().filter(|event| event["slot"] == "routing").count(),
        1,
        "without a slot, of all slots"
    );
}

/// Two teams guard one gate. Each step of each team is asked for while the server is killed, and asked for again with its key.
/// HANDFAST_DEPLOY_ROUNDS=50 kills it 500 times.
#[test]
fn every_decision_names_one_version_however_often_deployments_are_killed_in_their_middle() {
    let rounds =
        std::env::var("HANDFAST_DEPLOY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2);
    let parties = Parties::start();
    let digest = parties.server.push("scorecard");
    parties.enforce(&parties.body(|body| {
        let mut second = body["slots"][0].clone();
        (second["key"], second["position"], second["scoring"]) = (json!("mql-fit"), json!(2), json!(false));
        body["slots"].as_array_mut().expect("slots").push(second);
    }));
    let (team, token) = (parties.marketing.token.clone(), parties.admin.token.clone());
    let mut server = Some(parties.server);
    let mut seed = 2_026_u64;
    let mut captured_leads = vec![];
    // The list shows the newest 200, and there will be more.
    let mut ran = BTreeSet::new();
    for round in 0..rounds {
        let mut newest: BTreeMap<&str, Value> = BTreeMap::new();
        for (step, slot) in (0..5).flat_map(|step| ["mql", "mql-fit"].map(|slot| (step, slot))) {
            let on = newest.get(slot).cloned().unwrap_or_default();
            let key = format!("{round}-{step}-{slot}");
            let advance = if slot == "mql" { 10 } else { 9 };
            let fresh = |mode: &str, more: Value| {
                let mut input = wanted(&digest, advance - round, mode, more);
                (input["slot"], input["idempotencyKey"]) = (json!(slot), json!(key));
                ("deployPlugin", "DeployPluginInput", input)
            };
            let up = |mode: &str, share: Value| {
                let input = json!({"deployment": on, "mode": mode, "share": share, "idempotencyKey": key});
                ("promote", "PromoteInput", input)
            };
            let (field, kind, input) = match step {
                0 => fresh("LIVE", json!({})),
                1 => fresh("SHADOW", json!({"greyCasesADay": 0, "settings": card(1_000).to_string()})),
                2 => up("CANARY", json!(5_000)),
                3 => up("LIVE", Value::Null),
                _ => {
                    let input =
                        json!({"slot": slot, "deployment": on, "reason": "back", "idempotencyKey": key});
                    ("rollback", "RollbackInput", input)
                }
            };
            let running = server.take().expect("a server");
            let api = running.api(&team);
            let document = format!(
                "mutation($input: {kind}!) {{ {field}(input: $input) {{ deployment {{ id }} errors {{ code message }} }} }}"
            );
            let body = json!({"query": document, "variables": {"input": input}});
            let asked = std::thread::spawn({
                let (api, body) = (api.clone(), body.clone());
                move || drop(api.try_post(&body))
            });
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(std::time::Duration::from_millis((seed >> 33) % 40));
            let (dir, token) = running.kill();
            asked.join().expect("it was asked");
            let again = Server::restarted(dir, token, &[]);
            let api = again.api(&team);
            let (_, answer) = api.post(&body);
            let payload = &answer["data"][field];
            assert_eq!(payload["errors"], json!([]), "{key} (seed 2026): {answer}");
            if step < 4 {
                newest.insert(slot, payload["deployment"]["id"].clone());
            }
            let document = "{ deployments(first: 200) { slot mode state versionDigest settingsDigest } }";
            let mut found = api.query(document, json!({}));
            for one in found["deployments"].as_array_mut().expect("deployments") {
                ran.insert(["versionDigest", "settingsDigest"].map(|key| one[key].take().to_string()));
                let one = one.as_object_mut().expect("a deployment");
                one.retain(|key, _| ["slot", "mode", "state"].contains(&key.as_str()));
            }
            for slot in ["mql", "mql-fit"] {
                for mode in ["LIVE", "CANARY"] {
                    let one = json!({"slot": slot, "mode": mode, "state": "RUNNING"});
                    let all = found["deployments"].as_array().expect("deployments");
                    assert!(all.iter().filter(|found| **found == one).count() <= 1, "{key}: {found}");
                }
            }
            captured_leads.push(captured(&api, &format!("k{round}-{step}-{slot}@example.test")));
            server = Some(again);
        }
    }
    let server = server.expect("a server");
    let api = server.api(&token);
    for lead in &captured_leads {
        let decisions = lead["evaluations"][0]["decisions"].as_array().expect("decisions");
        let mut slots = vec![];
        for decision in decisions.iter().filter(|decision| decision["mode"] != "SHADOW") {
            slots.push(decision["slot"].as_str().expect("a slot"));
            let named = ["version", "settings"].map(|key| decision[key].to_string());
            let native = decision["version"] != json!(digest);
            assert!(native || ran.contains(&named), "{decision} names what never ran");
        }
        slots.retain(|slot| slot.starts_with("mql"));
        assert_eq!(slots, ["mql", "mql-fit"], "one counts for each slot: {lead}");
    }
    // The lease of the node that was killed last may have to run out before anything is numbered.
    let last = captured(&api, "last@example.test");
    eventually(40, "every event has its place", || {
        let told = api.query(
            "query($lead: ID!) { events(filter: {lead: $lead}) { events { id } } }",
            json!({"lead": last["id"]}),
        );
        told["events"]["events"].as_array().is_some_and(|events| !events.is_empty()).then_some(())
    });
    let (dir, _) = server.stop();
    for command in ["doctor", "verify"] {
        let looked = handfast_tests::offline(dir.path(), &[command]);
        assert!(looked.status.success(), "{command}: {looked:?}");
    }
}
