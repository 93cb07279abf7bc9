//! Overrides through the public API: one lead is decided otherwise than the rule did, by whom the slot is, and counted.

use handfast_tests::{Api, card};
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::work::{done, look};

const OVERRIDDEN: &str = "decision { id override { outcome disposition reason user { key } side instead: insteadId } } \
                          lead { id stage outcome version }";
const SEEN: &str = "id stage outcome version greySlots evaluations { gates { gate result missing } \
                    decisions { id slot mode outcome target message override { reason } } }";

fn attempt(api: &Api, decision: &Value, outcome: &str, more: Value) -> Value {
    let mut input =
        json!({"decision": decision["id"], "outcome": outcome, "reason": "she is the one we know"});
    for (key, value) in more.as_object().into_iter().flatten() {
        input[key] = value.clone();
    }
    api.attempt("overrideDecision", "OverrideDecisionInput", input, OVERRIDDEN)
}

fn error(payload: &Value) -> (String, String, String) {
    let error = &payload["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let path = error["path"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    (text(&error["code"]), path.join("/"), text(&error["message"]))
}

/// Somebody with consent, as the rules left them.
fn captured(api: &Api, email: &str) -> Value {
    let lead = json!({"lead": {"email": email, "consent": true}});
    let payload = api.mutate("captureLead", "CaptureLeadInput", lead, &format!("lead {{ {SEEN} }}"));
    payload["lead"].clone()
}

/// The newest decision of a slot on a lead.
fn decided<'l>(lead: &'l Value, slot: &str) -> &'l Value {
    let decisions = lead["evaluations"][0]["decisions"].as_array().expect("decisions");
    decisions.iter().find(|decision| decision["slot"] == slot).expect("the slot was asked")
}

#[test]
fn whose_slot_it_is_overrides_one_decision_and_the_rule_goes_on() {
    let parties = Parties::start();
    let digest = parties.server.deploy("scorecard", "mql", &card(1_000));
    let (marketing, sales) = (&parties.marketing, &parties.sales);
    let lead = captured(marketing, "known@example.test");
    let decision = decided(&lead, "mql");
    assert_eq!((&lead["stage"], &decision["outcome"]), (&json!("INQUIRY"), &json!("HOLD")));
    let (code, path, message) = error(&attempt(sales, decision, "ADVANCE", json!({})));
    assert_eq!((code.as_str(), path.as_str()), ("FORBIDDEN", "input/decision"));
    assert!(message.contains("only MARKETING can override what mql decides"), "{message}");
    let tried = attempt(marketing, decision, "ADVANCE", json!({"dryRun": true}));
    assert_eq!((&tried["lead"]["stage"], &tried["decision"]["override"]), (&json!("INQUIRY"), &Value::Null));

    let once = json!({"idempotencyKey": "once", "expectedVersion": lead["version"]});
    let told = attempt(marketing, decision, "ADVANCE", once.clone());
    assert_eq!(told["errors"], json!([]), "{told}");
    assert_eq!(told["lead"]["stage"], "MQL", "it went on as if the rule had said so: {told}");
    let override_ = &told["decision"]["override"];
    assert_eq!(
        (&override_["outcome"], &override_["reason"], &override_["user"]["key"], &override_["side"]),
        (&json!("ADVANCE"), &json!("she is the one we know"), &json!("mara"), &json!("MARKETING"))
    );
    assert_eq!(attempt(marketing, decision, "ADVANCE", once), told, "a repetition is answered as before");
    let (code, _, message) = error(&attempt(marketing, decision, "REVIEW", json!({})));
    assert!(code == "ILLEGAL_TRANSITION" && message.contains("stands at MQL"), "{code} {message}");

    let now = look(marketing, &lead, SEEN);
    let instead = decided(&now, "mql");
    assert_eq!(instead["id"], override_["instead"]);
    assert_eq!(instead["message"], "somebody of MARKETING decided otherwise than the rule");
    assert_eq!(now["evaluations"][0]["gates"][0]["result"], "ADVANCE");
    assert_eq!(now["evaluations"][1]["decisions"][0]["override"]["reason"], "she is the one we know");
    let page = "query($lead: ID) { decisions(lead: $lead, slot: \"mql\") { edges { node { override { outcome } } } } }";
    let page = sales.query(page, json!({"lead": lead["id"]}));
    let overrides: Vec<&Value> = page["decisions"]["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|edge| &edge["node"]["override"])
        .collect();
    assert_eq!(overrides, [&Value::Null, &json!({"outcome": "ADVANCE"})], "the newest first");

    let other = captured(marketing, "other@example.test");
    assert_eq!((&other["stage"], &decided(&other, "mql")["outcome"]), (&json!("INQUIRY"), &json!("HOLD")));
    let counts = "query($digest: Digest!) { pluginVersion(digest: $digest) { overridden } \
                  ruleSlots { live { state versionDigest tally { decided overridden } } } }";
    let counts = sales.query(counts, json!({"digest": digest}));
    assert_eq!(counts["pluginVersion"]["overridden"], "1");
    let live =
        json!({"state": "RUNNING", "versionDigest": digest, "tally": {"decided": "2", "overridden": "1"}});
    assert_eq!(counts["ruleSlots"][0]["live"], live);

    let log =
        "{ events(filter: {kinds: [\"DECISION_OVERRIDDEN\"]}) { events { leadId user { key } payload } } }";
    let log = sales.query(log, json!({}));
    let [event] = &log["events"]["events"].as_array().expect("events")[..] else { panic!("one: {log}") };
    assert_eq!((&event["leadId"], &event["user"]["key"]), (&lead["id"], &json!("mara")));
    let payload: Value = serde_json::from_str(event["payload"].as_str().unwrap_or_default()).expect("JSON");
    let fact = &payload["fact"];
    assert_eq!(
        (&fact["was"], &fact["outcome"], &fact["slot"]),
        (&json!("HOLD"), &json!("ADVANCE"), &json!("mql"))
    );
    assert_eq!(fact["version"], json!(digest));
    assert!(!event["payload"].to_string().contains("the one we know"), "words stay out of the log");

    let (dir, _) = parties.server.stop();
    for command in ["doctor", "verify"] {
        let looked = handfast_tests::offline(dir.path(), &[command]);
        assert!(looked.status.success(), "{command}: {looked:?}");
    }
}

#[test]
fn what_cannot_be_overridden_is_refused_and_says_why() {
    let parties = Parties::start();
    let digest = parties.server.deploy("scorecard", "mql", &card(1_000));
    let marketing = &parties.marketing;
    let lead = captured(marketing, "lead@example.test");
    let decision = decided(&lead, "mql").clone();
    let none = json!({"id": "RGVjaXNpb246MDAwMDAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw"});
    let long = "x".repeat(2_001);
    let table = [
        (&decision, "HOLD", json!({}), "VALIDATION", "input/outcome", "the rule said HOLD itself"),
        (&decision, "ADVANCE", json!({"reason": " "}), "VALIDATION", "input/reason", "1 to 2000 characters"),
        (&decision, "ADVANCE", json!({"reason": long}), "VALIDATION", "input/reason", "found 2001"),
        (&decision, "RECYCLE", json!({}), "VALIDATION", "input/disposition", "needs a disposition reason"),
        (
            &decision,
            "ADVANCE",
            json!({"disposition": "SPAM"}),
            "VALIDATION",
            "input/disposition",
            "only RECYCLE",
        ),
        (
            &decision,
            "RECYCLE",
            json!({"disposition": "SPAM"}),
            "REASON_NOT_ALLOWED",
            "input/disposition",
            "SPAM",
        ),
        (
            &decision,
            "DISQUALIFY",
            json!({"disposition": "MOOD"}),
            "VALIDATION",
            "input/disposition",
            "no reason",
        ),
        (&decision, "ADVANCE", json!({"expectedVersion": 9}), "VERSION_CONFLICT", "", "at version"),
        (&none, "ADVANCE", json!({}), "NOT_FOUND", "input/decision", "no decision"),
    ];
    for (decision, outcome, more, code, path, words) in table {
        let payload = attempt(marketing, decision, outcome, more.clone());
        let found = error(&payload);
        assert_eq!((found.0.as_str(), found.1.as_str()), (code, path), "{outcome} {more}: {payload}");
        assert!(found.2.contains(words), "{words:?} in {payload}");
        assert_eq!((&payload["lead"], &payload["decision"]), (&Value::Null, &Value::Null));
    }
    let robot = json!({"key": "robot", "name": "A robot", "team": "marketing", "service": true});
    parties.admin.mutate("upsertUser", "UpsertUserInput", robot, "user { id }");
    let robot = parties.server.token("robot", &["leads:read", "leads:write"]);
    assert_eq!(error(&attempt(&robot, &decision, "ADVANCE", json!({}))).0, "FORBIDDEN");

    // What was decided again since does not count any more; neither does what a SHADOW says.
    let input = json!({"slot": "mql", "digest": digest, "settings": card(10).to_string(), "mode": "SHADOW",
        "greyCasesADay": 0});
    marketing.mutate("deployPlugin", "DeployPluginInput", input, "deployment { id }");
    done(marketing, "evaluateLead", &lead, json!({}));
    let (code, path, message) = error(&attempt(marketing, &decision, "ADVANCE", json!({})));
    assert_eq!((code.as_str(), path.as_str()), ("DECISION_STATE", "input/decision"), "{message}");
    assert!(message.contains("decided on this lead again"), "{message}");
    let shadow = handfast_tests::eventually(20, "the shadow speaks", || {
        let now = look(marketing, &lead, SEEN);
        let decisions = now["evaluations"][0]["decisions"].as_array().cloned().unwrap_or_default();
        decisions.into_iter().find(|decision| decision["mode"] == "SHADOW")
    });
    let (code, _, message) = error(&attempt(marketing, &shadow, "HOLD", json!({})));
    assert!(code == "DECISION_STATE" && message.contains("what a SHADOW said"), "{code} {message}");

    let now = look(marketing, &lead, SEEN);
    let newest = decided(&now, "mql");
    let ended = attempt(marketing, newest, "DISQUALIFY", json!({"disposition": "SPAM"}));
    assert_eq!(ended["lead"]["outcome"], "DISQUALIFIED", "{ended}");
    assert_eq!(ended["decision"]["override"]["disposition"], "SPAM");
    let (code, ..) = error(&attempt(marketing, newest, "ADVANCE", json!({})));
    assert_eq!(code, "ILLEGAL_TRANSITION", "the cycle is over");
}

#[test]
fn an_override_is_one_vote_beside_those_of_the_other_teams() {
    let parties = Parties::start();
    let digest = parties.server.deploy("scorecard", "mql", &card(1_000));
    parties.enforce(&parties.body(|body| {
        let mut second = body["slots"][0].clone();
        (second["key"], second["position"], second["scoring"]) = (json!("mql-fit"), json!(2), json!(false));
        second["team"] = json!("sales");
        body["slots"].as_array_mut().expect("slots").push(second);
    }));
    let (marketing, sales) = (&parties.marketing, &parties.sales);
    let input =
        json!({"slot": "mql-fit", "digest": digest, "settings": card(1_000).to_string(), "mode": "LIVE"});
    sales.mutate("deployPlugin", "DeployPluginInput", input, "deployment { id }");
    let lead = captured(marketing, "two@example.test");
    let (first, second) = (decided(&lead, "mql").clone(), decided(&lead, "mql-fit").clone());
    assert_eq!(
        error(&attempt(marketing, &second, "ADVANCE", json!({}))).0,
        "FORBIDDEN",
        "it is the other team's"
    );
    let told = attempt(marketing, &first, "ADVANCE", json!({}));
    assert_eq!((&told["errors"], &told["lead"]["stage"]), (&json!([]), &json!("INQUIRY")), "{told}");
    let now = look(marketing, &lead, SEEN);
    assert_eq!(now["evaluations"][0]["gates"][0]["missing"], json!(["mql-fit says HOLD"]));
    let (code, _, message) = error(&attempt(marketing, &first, "REVIEW", json!({})));
    assert!(code == "DECISION_STATE" && message.contains("overridden already"), "{code} {message}");
    // Its own decision is of the look before, and still the last word of its slot.
    let told = attempt(sales, &second, "ADVANCE", json!({}));
    assert_eq!((&told["errors"], &told["lead"]["stage"]), (&json!([]), &json!("MQL")), "{told}");
}
