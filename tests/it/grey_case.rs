//! Grey cases through the public API: both sides decide, the lead goes on, and later versions honour it.

use handfast_tests::{Api, card, eventually};
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::work::look;

const CASE: &str = "greyCase { id state trigger text opinions { side outcome user { key } } \
                    resolution { outcome rationale user { key } } lead { stage greySlots } decision { mode outcome } }";

fn opine(api: &Api, case: &Value, outcome: &str) -> Value {
    let input = json!({"greyCase": case["id"], "outcome": outcome, "text": format!("I say {outcome}")});
    api.attempt("giveOpinion", "GiveOpinionInput", input, CASE)
}

fn resolve(api: &Api, case: &Value, outcome: &str) -> Value {
    let input =
        json!({"greyCase": case["id"], "outcome": outcome, "rationale": "consent is enough in this segment"});
    api.attempt("resolveGreyCase", "ResolveGreyCaseInput", input, CASE)
}

fn deploy(api: &Api, digest: &str, advance: i32, mode: &str) -> Value {
    let input = json!({"slot": "mql", "digest": digest, "settings": card(advance).to_string(), "mode": mode});
    api.attempt("deployPlugin", "DeployPluginInput", input, "deployment { id state }")
}

/// A lead that the live version holds and a shadow would let pass, and the grey case of it.
fn disagreed(parties: &Parties, digest: &str) -> (Value, Value) {
    assert_eq!(deploy(&parties.marketing, digest, 10, "SHADOW")["errors"], json!([]));
    let lead = json!({"lead": {"email": "grey@example.test", "consent": true}});
    let lead = parties.marketing.mutate("captureLead", "CaptureLeadInput", lead, "lead { id stage }")["lead"]
        .clone();
    assert_eq!(lead["stage"], "INQUIRY");
    let document = "query($lead: ID) { greyCases(state: OPEN, slot: \"mql\", lead: $lead) { edges { node { id trigger text } } } }";
    let case = eventually(20, "a grey case is opened", || {
        let found = parties.sales.query(document, json!({"lead": lead["id"]}));
        found["greyCases"]["edges"].get(0).map(|edge| edge["node"].clone())
    });
    assert_eq!(case["trigger"], "DISAGREEMENT");
    assert_eq!(case["text"], "SHADOW says ADVANCE beside LIVE says HOLD");
    (lead, case)
}

#[test]
fn both_sides_decide_a_grey_case_and_the_lead_goes_where_they_said() {
    let parties = Parties::start();
    let digest = parties.server.deploy("scorecard", "mql", &card(1_000));
    let (lead, case) = disagreed(&parties, &digest);
    let alone = resolve(&parties.marketing, &case, "ADVANCE");
    assert_eq!(alone["errors"][0]["code"], "GREY_CASE_STATE", "{alone}");
    assert_eq!(opine(&parties.marketing, &case, "ADVANCE")["errors"], json!([]));
    opine(&parties.sales, &case, "HOLD");
    let apart = resolve(&parties.sales, &case, "ADVANCE");
    let message = apart["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("MARKETING says ADVANCE; SALES says HOLD"), "{message}");
    let said = opine(&parties.sales, &case, "ADVANCE")["greyCase"]["opinions"].clone();
    assert_eq!(
        said,
        json!([{"side": "MARKETING", "outcome": "ADVANCE", "user": {"key": "mara"}},
            {"side": "SALES", "outcome": "ADVANCE", "user": {"key": "saul"}}])
    );
    let tried = parties.sales.attempt(
        "resolveGreyCase",
        "ResolveGreyCaseInput",
        json!({"greyCase": case["id"], "outcome": "ADVANCE", "rationale": "tried", "dryRun": true}),
        CASE,
    );
    assert_eq!(tried["greyCase"]["state"], "OPEN", "{tried}");
    let done = resolve(&parties.sales, &case, "ADVANCE")["greyCase"].clone();
    assert_eq!(done["state"], "RESOLVED");
    assert_eq!(done["resolution"]["user"]["key"], "saul");
    assert_eq!(done["lead"], json!({"stage": "MQL", "greySlots": []}), "it went on: {done}");
    let decided = look(
        &parties.sales,
        &lead,
        "evaluations { gates { gate result } decisions { slot outcome message } }",
    );
    let newest = &decided["evaluations"][0];
    assert_eq!(newest["gates"], json!([{"gate": "MQL", "result": "ADVANCE"}]), "{decided}");
    assert_eq!(newest["decisions"][0]["message"], "both sides decided a grey case");
    assert_eq!(resolve(&parties.sales, &case, "ADVANCE")["errors"][0]["code"], "GREY_CASE_STATE");
    assert_eq!(opine(&parties.sales, &case, "HOLD")["errors"][0]["code"], "GREY_CASE_STATE");
    let kinds = "[\"GREY_CASE_OPENED\", \"GREY_CASE_RESOLVED\"]";
    let log = parties
        .sales
        .query(&format!("{{ events(filter: {{kinds: {kinds}}}) {{ events {{ kind }} }} }}"), json!({}));
    assert_eq!(
        log["events"]["events"],
        json!([{"kind": "GREY_CASE_OPENED"}, {"kind": "GREY_CASE_RESOLVED"}])
    );
    let (dir, _) = parties.server.stop();
    for command in ["doctor", "verify"] {
        let looked = handfast_tests::offline(dir.path(), &[command]);
        assert!(looked.status.success(), "{command}: {looked:?}");
    }
}

#[test]
fn a_version_that_contradicts_a_precedent_waits_until_both_sides_waive_it() {
    let parties = Parties::start();
    let digest = parties.server.deploy("scorecard", "mql", &card(1_000));
    let input = json!({"slot": "mql", "digest": digest, "settings": card(900).to_string(), "mode": "LIVE",
        "idempotencyKey": "before"});
    let earlier =
        || parties.marketing.attempt("deployPlugin", "DeployPluginInput", input.clone(), "deployment { id }");
    let first = earlier();
    assert_eq!(first["errors"], json!([]), "{first}");
    let (_, case) = disagreed(&parties, &digest);
    opine(&parties.marketing, &case, "ADVANCE");
    opine(&parties.sales, &case, "ADVANCE");
    resolve(&parties.sales, &case, "ADVANCE");
    let precedents = parties
        .sales
        .query("{ precedents(slot: \"mql\") { id uuid expected rationale waivers { side } } }", json!({}));
    let precedent = &precedents["precedents"][0];
    assert_eq!(
        (&precedent["expected"], &precedent["waivers"]),
        (&json!("ADVANCE"), &json!([])),
        "{precedents}"
    );

    assert_eq!(earlier(), first, "a repetition is answered as before, whatever was decided since");
    for mode in ["LIVE", "CANARY"] {
        let refused = deploy(&parties.marketing, &digest, 500, mode);
        let error = &refused["errors"][0];
        assert_eq!(error["code"], "PRECEDENT_CONTRADICTED", "{mode}: {refused}");
        let message = error["message"].as_str().unwrap_or_default();
        let named = format!(
            "{} expects ADVANCE (consent is enough in this segment), found HOLD",
            precedent["uuid"].as_str().expect("an id")
        );
        assert!(message.contains(&named), "{message}");
    }
    let beside = deploy(&parties.marketing, &digest, 500, "SHADOW");
    assert_eq!(beside["errors"], json!([]), "a shadow moves no lead: {beside}");
    let input = json!({"deployment": beside["deployment"]["id"], "mode": "LIVE"});
    let promoted =
        parties.marketing.attempt("promote", "PromoteInput", input.clone(), "deployment { state }");
    assert_eq!(promoted["errors"][0]["code"], "PRECEDENT_CONTRADICTED", "{promoted}");
    let honest = deploy(&parties.marketing, &digest, 9, "LIVE");
    assert_eq!(honest["deployment"]["state"], "RUNNING", "whoever honours it is welcome: {honest}");

    let waive = |api: &Api| {
        let input =
            json!({"precedent": precedent["id"], "digest": digest, "reason": "the segment was given up"});
        api.mutate("waivePrecedent", "WaivePrecedentInput", input, "precedent { waivers { side } }")["precedent"].clone()
    };
    assert_eq!(waive(&parties.marketing)["waivers"], json!([{"side": "MARKETING"}]));
    let one = parties.marketing.attempt("promote", "PromoteInput", input.clone(), "deployment { state }");
    assert_eq!(one["errors"][0]["code"], "PRECEDENT_CONTRADICTED", "one side is not enough");
    waive(&parties.sales);
    let both = parties.marketing.attempt("promote", "PromoteInput", input, "deployment { state }");
    assert_eq!(both["deployment"]["state"], "RUNNING", "{both}");
}
