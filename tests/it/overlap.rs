//! Two teams at one gate: what both claim, what nobody claims, and how it would be with a candidate.

use handfast_tests::{card, eventually};
use serde_json::{Value, json};

use crate::deployment::{bombs, trapping};
use crate::work::World;

const OVERLAP: &str = "query($gate: StageKind!, $from: DateTime, $to: DateTime, $candidate: OverlapCandidateInput, \
    $first: Int! = 20) { overlap(gate: $gate, from: $from, to: $to, candidate: $candidate, first: $first) { \
    leads byMany byOne byNobody erased truncated slots { slot team claimed alone silent } \
    pairs { first second both onlyFirst onlySecond neither } \
    claimedByMany { id } claimedByNobody { id } } }";

/// A card with one line.
fn line(fit: Value, advance: i32) -> Value {
    json!({"fit": [fit], "thresholds": {"advance": advance}})
}

fn consent() -> Value {
    line(json!({"field": "contact.consent", "yes": 10}), 10)
}

fn senior() -> Value {
    line(json!({"field": "contact.seniority", "values": [{"is": ["C_LEVEL"], "points": 10}]}), 10)
}

/// Marketing claims who consents, sales claims who is senior; either is enough.
fn world() -> (World, String, Vec<Value>) {
    let world = World::unsigned();
    world.agree(|body| {
        let stages = body["stages"].as_array_mut().expect("stages");
        let mql = stages.iter_mut().find(|stage| stage["kind"] == "MQL").expect("the stage MQL");
        mql["composition"] = json!("ANY");
        let slot = json!({"key": "mql-sales", "kind": "QUALIFY", "gate": "MQL", "team": "sales", "position": 2,
            "scoring": false, "pool": null});
        body["slots"].as_array_mut().expect("slots").push(slot);
    });
    let digest = world.server.push("scorecard");
    world.server.set("mql", &digest, &consent());
    world.server.set("mql-sales", &digest, &senior());
    // Neither a version that fails for almost everybody nor one that would claim everybody beside it changes who claims whom.
    let canary = trapping(&bombs(&world.server, &world.mia), "CANARY", json!(9_999));
    world.mia.mutate("deployPlugin", "DeployPluginInput", canary, "deployment { id }");
    let shadow = json!({"slot": "mql-sales", "digest": digest, "settings": card(-1_000).to_string(), "mode": "SHADOW",
        "greyCasesADay": 0});
    let shadow = world.rob.mutate("deployPlugin", "DeployPluginInput", shadow, "deployment { id }");
    let lead = |email: &str, consent: Value, seniority: Value| {
        let lead = json!({"email": email, "consent": consent, "seniority": seniority});
        let input = json!({"lead": lead});
        world.mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id }")["lead"]["id"].clone()
    };
    let leads = vec![
        lead("both@example.test", json!(true), json!("C_LEVEL")),
        lead("marketing@example.test", json!(true), json!("STAFF")),
        lead("sales@example.test", json!(null), json!("C_LEVEL")),
        lead("nobody@example.test", json!(null), json!(null)),
        lead("nobody2@example.test", json!(null), json!("STAFF")),
    ];
    eventually(20, "the shadow judged them all", || {
        let document = "query($id: ID!) { node(id: $id) { ... on Deployment { tally { advanced } } } }";
        let found = world.admin.query(document, json!({"id": shadow["deployment"]["id"]}));
        (found["node"]["tally"]["advanced"] == "5").then_some(())
    });
    (world, digest, leads)
}

#[test]
fn leads_of_two_teams_and_of_none_are_counted_and_named() {
    let (world, digest, leads) = world();
    let ask = |variables: Value| {
        let mut all = json!({"gate": "MQL"});
        for (key, value) in variables.as_object().expect("an object") {
            all[key] = value.clone();
        }
        world.rob.query(OVERLAP, all)["overlap"].clone()
    };
    let found = ask(json!({}));
    let counts =
        |found: &Value| ["leads", "byMany", "byOne", "byNobody", "erased"].map(|key| found[key].clone());
    assert_eq!(counts(&found), ["5", "1", "2", "2", "0"].map(Value::from), "{found}");
    assert_eq!(found["claimedByMany"], json!([{"id": leads[0]}]));
    assert_eq!(found["claimedByNobody"], json!([{"id": leads[4]}, {"id": leads[3]}]), "the newest first");
    let slots = json!([
        {"slot": "mql", "team": "marketing", "claimed": "2", "alone": "1", "silent": "0"},
        {"slot": "mql-sales", "team": "sales", "claimed": "2", "alone": "1", "silent": "0"},
    ]);
    assert_eq!(found["slots"], slots);
    let pairs = json!([{"first": "mql", "second": "mql-sales", "both": "1", "onlyFirst": "1", "onlySecond": "1", "neither": "2"}]);
    assert_eq!(found["pairs"], pairs);
    assert_eq!(ask(json!({"first": 1}))["claimedByNobody"].as_array().map(Vec::len), Some(1));

    // If sales took over marketing's rule: who consents is claimed twice, everybody else by nobody.
    let candidate = json!({"slot": "mql-sales", "digest": digest, "settings": consent().to_string()});
    let found = ask(json!({"candidate": candidate}));
    assert_eq!(counts(&found), ["5", "2", "0", "3", "0"].map(Value::from), "{found}");
    let live = world.rob.query("{ ruleSlots { key live { settings } } }", json!({}));
    assert!(live.to_string().contains("seniority"), "nothing was deployed: {live}");

    // A lead counts as its newest evaluation saw it; what is no claim any more is none.
    let lead = |email: &str| json!({"lead": {"email": email}});
    world.server.set("mql", &digest, &line(json!({"field": "contact.consent", "yes": 10}), 1_000));
    world.mia.mutate("evaluateLead", "LeadTarget", lead("nobody@example.test"), "lead { id }");
    assert_eq!(counts(&ask(json!({}))), ["5", "1", "2", "2", "0"].map(Value::from));
    assert_eq!(ask(json!({}))["claimedByNobody"][0], json!({"id": leads[3]}), "it was judged last");

    let past = ask(json!({"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}));
    assert_eq!((&past["leads"], &past["truncated"]), (&json!("0"), &json!(false)));
}

#[test]
fn what_cannot_be_compared_is_refused_with_what_can() {
    let (world, digest, _) = world();
    let bad = |slot: &str, digest: &str, settings: &str| json!({"gate": "MQL", "candidate": {"slot": slot, "digest": digest, "settings": settings}});
    let router = world.server.push("fair-share");
    let unknown = "a".repeat(64);
    let cases = [
        (json!({"gate": "IQL"}), "NOT_FOUND", "it has some at MQL"),
        (json!({"gate": "MQL", "first": 0}), "PAGE_SIZE", "first"),
        (
            json!({"gate": "MQL", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
            "VALIDATION",
            "empty",
        ),
        (bad("routing", &digest, "{}"), "NOT_FOUND", "mql, mql-sales"),
        (bad("mql", &unknown, "{}"), "NOT_FOUND", "plugin version"),
        (bad("mql", &router, "{}"), "PLUGIN_REJECTED", "no VALIDATED qualifier"),
        (bad("mql", &digest, "{}"), "PLUGIN_REJECTED", "thresholds"),
    ];
    for (variables, code, said) in cases {
        let error = world.admin.error(OVERLAP, variables.clone());
        assert_eq!(error["extensions"]["code"], code, "{variables}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(said)), "{said}: {error}");
    }
}
