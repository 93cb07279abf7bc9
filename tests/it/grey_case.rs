//! Grey cases through the public API: both sides decide, the lead goes on, and later versions honour it.

use handfast_tests::{Api, card, eventually};
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::subscribe;
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

const FOLLOWED: &str = "subscription($after: FeedCursor, $state: GreyState, $slot: String, $lead: ID) { \
    greyCases(after: $after, state: $state, slot: $slot, lead: $lead) { cursor state slot trigger outcome leadId cycle \
    greyCaseId user { key } greyCase { id state } lead { stage } } }";

#[test]
fn grey_cases_are_told_as_they_are_opened_and_decided_each_with_where_to_go_on() {
    let parties = Parties::start();
    let (server, head) =
        (&parties.server, parties.sales.query("{ feedHead }", json!({}))["feedHead"].clone());
    let digest = server.deploy("scorecard", "mql", &card(1_000));
    let mut acted = json!({});
    let live = subscribe::follow(server, "ws", FOLLOWED, json!({"after": head}), 2, || {
        let (lead, case) = disagreed(&parties, &digest);
        opine(&parties.marketing, &case, "ADVANCE");
        opine(&parties.sales, &case, "ADVANCE");
        assert_eq!(resolve(&parties.sales, &case, "ADVANCE")["errors"], json!([]));
        acted = json!({"lead": lead["id"], "case": case["id"]});
    });
    let Some(live) = live else { return };
    let [opened, decided] = &live[..] else { panic!("two events: {live:?}") };
    assert_eq!(
        (&opened["state"], &opened["trigger"], &opened["outcome"], &opened["user"]),
        (&json!("OPEN"), &json!("DISAGREEMENT"), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&decided["state"], &decided["trigger"], &decided["outcome"], &decided["user"]["key"]),
        (&json!("RESOLVED"), &Value::Null, &json!("ADVANCE"), &json!("saul"))
    );
    for event in [opened, decided] {
        assert_eq!((&event["greyCaseId"], &event["leadId"]), (&acted["case"], &acted["lead"]), "{event}");
        assert_eq!((&event["slot"], &event["cycle"]), (&json!("mql"), &json!(1)), "{event}");
    }
    assert_eq!(decided["greyCase"], json!({"id": acted["case"], "state": "RESOLVED"}));
    assert_eq!(decided["lead"], json!({"stage": "MQL"}));
    // Another case, in the middle of nothing: whatever a filter hides is passed over.
    let more = json!({"lead": {"email": "more@example.test", "consent": true}});
    let more = parties.marketing.mutate("captureLead", "CaptureLeadInput", more, "lead { id }");
    eventually(20, "another case is opened", || {
        let found = parties.sales.query("{ greyCases(state: OPEN) { edges { cursor } } }", json!({}));
        found["greyCases"]["edges"].get(0).map(|_| ())
    });
    let table = [
        (json!({"after": opened["cursor"]}), vec![("RESOLVED", true), ("OPEN", false)]),
        (json!({"after": decided["cursor"]}), vec![("OPEN", false)]),
        (json!({"after": head, "state": "OPEN"}), vec![("OPEN", true), ("OPEN", false)]),
        (json!({"after": head, "state": "RESOLVED", "slot": "mql"}), vec![("RESOLVED", true)]),
        (json!({"after": head, "lead": acted["lead"]}), vec![("OPEN", true), ("RESOLVED", true)]),
        (json!({"after": head, "lead": more["lead"]["id"]}), vec![("OPEN", false)]),
    ];
    for (variables, expected) in table {
        for mode in ["ws", "sse"] {
            let seen = subscribe::follow(server, mode, FOLLOWED, variables.clone(), expected.len(), || {});
            let seen = seen.expect("the clients are there");
            let seen: Vec<(&str, bool)> = seen
                .iter()
                .map(|event| {
                    (event["state"].as_str().unwrap_or_default(), event["greyCaseId"] == acted["case"])
                })
                .collect();
            assert_eq!(seen, expected, "{mode} {variables}");
        }
    }
}

/// The GREY_CASE clocks of a lead: party, state, whether it was met.
fn clocks(api: &Api, lead: &Value) -> Vec<(String, String, bool)> {
    let lead = look(api, lead, "clocks { kind party state metAt dueAt }");
    let clocks = lead["clocks"].as_array().into_iter().flatten().filter(|clock| clock["kind"] == "GREY_CASE");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut clocks: Vec<_> = clocks
        .map(|clock| (text(&clock["party"]), text(&clock["state"]), !clock["metAt"].is_null()))
        .collect();
    clocks.sort();
    clocks
}

#[test]
fn each_side_owes_its_opinion_in_time_and_who_was_silent_is_told_as_any_breach() {
    let parties = Parties::start();
    let digest = parties.server.deploy("scorecard", "mql", &card(1_000));
    let is = |party: &str, state: &str, met| (party.to_owned(), state.to_owned(), met);
    let (lead, case) = disagreed(&parties, &digest);
    assert_eq!(
        clocks(&parties.sales, &lead),
        [is("MARKETING", "RUNNING", false), is("SALES", "RUNNING", false)],
        "three business days for each side, as charter 0 says"
    );
    opine(&parties.marketing, &case, "ADVANCE");
    assert_eq!(clocks(&parties.sales, &lead), [is("MARKETING", "MET", true), is("SALES", "RUNNING", false)]);
    opine(&parties.marketing, &case, "HOLD");
    opine(&parties.sales, &case, "HOLD");
    assert_eq!(clocks(&parties.sales, &lead), [is("MARKETING", "MET", true), is("SALES", "MET", true)]);
    assert_eq!(resolve(&parties.sales, &case, "HOLD")["errors"], json!([]));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let again = "query($lead: ID) { greyCases(state: OPEN, lead: $lead) { edges { node { id } } } }";
    let again = parties.sales.query(again, json!({"lead": lead["id"]}));
    assert_eq!(again["greyCases"]["edges"], json!([]), "the shadow does not ask what was just decided");

    // A charter that names a party and leaves it a minute: one clock, which waits until the case is decided.
    parties.enforce(&parties.body(|body| {
        let policies = body["sla"].as_array_mut().expect("policies");
        let grey = policies.iter_mut().find(|policy| policy["kind"] == "GREY_CASE").expect("a policy");
        (grey["party"], grey["mode"], grey["targetMinutes"]) =
            (json!("SALES"), json!("WALL_CLOCK"), json!(1));
    }));
    let lead = json!({"lead": {"email": "late@example.test", "consent": true}});
    let lead = parties.marketing.mutate("captureLead", "CaptureLeadInput", lead, "lead { id stage }")["lead"]
        .clone();
    let case = eventually(20, "a grey case is opened", || {
        let document = "query($lead: ID) { greyCases(state: OPEN, lead: $lead) { edges { node { id } } } }";
        let found = parties.sales.query(document, json!({"lead": lead["id"]}));
        found["greyCases"]["edges"].get(0).map(|edge| edge["node"].clone())
    });
    opine(&parties.sales, &case, "HOLD");
    assert_eq!(clocks(&parties.sales, &lead), [is("SALES", "RUNNING", false)], "it is not decided");
    eventually(90, "the promise is broken", || {
        (clocks(&parties.sales, &lead) == [is("SALES", "BREACHED", false)]).then_some(())
    });
    let log = "query($lead: ID!) { events(filter: {lead: $lead, kinds: [\"CLOCK_CHANGED\"]}) { events { payload } } }";
    let log = parties.sales.query(log, json!({"lead": lead["id"]}));
    let told: Vec<Value> = log["events"]["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| serde_json::from_str(event["payload"].as_str()?).ok())
        .map(|payload: Value| payload["fact"]["clock"]["clockEvent"].clone())
        .collect();
    assert_eq!(told, [json!("STARTED"), json!("BREACHED")]);
    opine(&parties.marketing, &case, "HOLD");
    assert_eq!(resolve(&parties.sales, &case, "HOLD")["errors"], json!([]));
    assert_eq!(clocks(&parties.sales, &lead), [is("SALES", "BREACHED", true)], "it says how late");
    let (dir, _) = parties.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
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
