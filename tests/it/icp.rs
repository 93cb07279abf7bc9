//! Ideal customer profiles through the public API: signed in the charter, told of each lead, and a way to count results.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::work::{World, done, look};

fn test(field: &str, comparator: &str, values: &[&str]) -> Value {
    json!({"field": field, "comparator": comparator, "values": values})
}

fn criterion(key: &str, weight: u32, required: bool, test: Value) -> Value {
    json!({"key": key, "weight": weight, "required": required, "test": test})
}

/// A kind of customer: software companies of fifty people, in Germany.
fn profile() -> Value {
    json!({"key": "mid-market", "name": "Mid-market software", "criteria": [
        criterion("industry", 40, false, test("company.industry", "EQ", &["software"])),
        criterion("size", 35, false, test("company.employees", "GTE", &["50"])),
        criterion("country", 25, true, test("company.country", "EQ", &["DE"]))]})
}

const FIT: &str = "icpFit { profile name fit band matched missing unknown }";

fn company(name: &str, more: Value) -> Value {
    let mut company = json!({"name": name, "domain": format!("{name}.test")});
    company.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    json!({"company": company})
}

fn lead(world: &World, name: &str, more: Value) -> Value {
    world.mql(&format!("me@{name}.test"), company(name, more))
}

#[test]
fn profiles_are_signed_and_tell_how_well_each_lead_fits() {
    let world = World::start();
    let before = look(&world.rob, &lead(&world, "early", json!({})), FIT);
    assert_eq!(before["icpFit"], json!([]), "a charter without profiles says nothing");
    let number = world.agree(|body| {
        body["idealProfiles"] = json!([profile()]);
        body["idealCustomer"] = json!([test("company.industry", "IN", &["software", "retail"])]);
    });
    let leads = [
        ("ideal", json!({"industry": "software", "employees": "80", "country": "DE"}), 10_000, "IDEAL"),
        ("open", json!({"industry": "software", "employees": "80"}), 7_500, "GOOD"),
        ("small", json!({"industry": "software", "employees": "9", "country": "DE"}), 6_500, "GOOD"),
        ("abroad", json!({"industry": "software", "employees": "80", "country": "FR"}), 7_500, "OUTSIDE"),
        ("dark", json!({}), 0, "UNKNOWN"),
    ];
    let mut made = vec![];
    for (name, more, fit, band) in leads {
        let lead = lead(&world, name, more);
        let fits = look(&world.rob, &lead, FIT)["icpFit"].clone();
        assert_eq!(fits[0]["profile"], "ideal-customer", "the plain tests are a profile, too");
        let own = &fits[1];
        assert_eq!((&own["fit"], &own["band"]), (&json!(fit), &json!(band)), "{name}: {fits}");
        made.push(lead);
    }
    let open = look(&world.rob, &made[1], FIT)["icpFit"][1].clone();
    assert_eq!(
        (&open["matched"], &open["missing"], &open["unknown"]),
        (&json!(["industry", "size"]), &json!([]), &json!(["country"]))
    );
    // A page of leads, each with its own fit, and one profile alone.
    let document = "{ leads(first: 5) { edges { node { icpFit(profile: \"mid-market\") { band } } } } }";
    let page = world.rob.query(document, json!({}))["leads"]["edges"].clone();
    let bands: Vec<&Value> =
        page.as_array().into_iter().flatten().map(|edge| &edge["node"]["icpFit"][0]["band"]).collect();
    assert_eq!(bands, ["UNKNOWN", "OUTSIDE", "GOOD", "GOOD", "IDEAL"]);
    // Under another charter another answer; a charter that does not exist is named.
    assert_eq!(look(&world.rob, &made[0], "icpFit(charter: 0) { band }")["icpFit"], json!([]));
    let document = "query($by: LeadRef!) { lead(by: $by) { icpFit(charter: 99) { band } } }";
    let error = world.rob.error(document, json!({"by": {"id": made[0]["id"]}}));
    assert_eq!(error["extensions"]["code"], "NOT_FOUND");
    // The text that both sides signed, in words and in the difference.
    let charter = world.rob.query("{ charter { document } }", json!({}))["charter"]["document"].clone();
    let charter = charter.as_str().unwrap_or_default();
    assert!(charter.contains("Mid-market software (mid-market)") && charter.contains("counts 25; required"));
    let diff = "query($to: Int!) { charterDiff(from: 1, to: $to) { differences { section key kind } } }";
    let found = world.rob.query(diff, json!({"to": number}))["charterDiff"]["differences"].clone();
    let added = json!({"section": "IDEAL_CUSTOMER", "key": "profiles/mid-market/country", "kind": "ADDED"});
    assert!(found.as_array().is_some_and(|list| list.contains(&added)), "{found}");
}

#[test]
fn results_are_counted_by_how_well_leads_fit() {
    let world = World::start();
    world.agree(|body| body["idealProfiles"] = json!([profile()]));
    let amount = json!({"amount": {"amountMinor": "100000", "currency": "EUR"}});
    for (name, employees, won) in [("won", "80", true), ("lost", "9", false)] {
        let lead =
            lead(&world, name, json!({"industry": "software", "employees": employees, "country": "DE"}));
        done(&world.rob, "acceptHandoff", &lead, json!({}));
        done(&world.rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY"}));
        done(&world.rob, "qualify", &lead, json!({"answers": [{"key": "need", "grade": 3}]}));
        done(&world.rob, "recordOpportunity", &lead, amount.clone());
        match won {
            true => done(&world.rob, "closeWon", &lead, amount.clone()),
            false => done(&world.rob, "closeLost", &lead, json!({"reason": "HOLDING_OFF"})),
        };
    }
    let document = "{ winLoss(by: [ICP]) { rows { values won lost } } }";
    let rows = world.rob.query(document, json!({}))["winLoss"]["rows"].clone();
    let told: Vec<String> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| format!("{} {} {}", row["values"], row["won"], row["lost"]))
        .collect();
    assert!(told.contains(&r#"["IDEAL"] "1" "0""#.to_owned()), "{rows}");
    assert!(told.contains(&r#"["GOOD"] "0" "1""#.to_owned()), "{rows}");
}

/// A criterion of a gate reads the fit like any other field.
#[test]
fn a_gate_can_ask_for_a_fit() {
    let world = World::start();
    world.agree(|body| {
        body["idealProfiles"] = json!([profile()]);
        let stages = body["stages"].as_array_mut().expect("stages");
        let mql = stages.iter_mut().find(|stage| stage["kind"] == "MQL").expect("the stage MQL");
        mql["entry"] = json!([{"key": "icp", "text": "It fits our profile", "required": true,
            "test": test("icp.fit", "GTE", &["7000"])}]);
    });
    let good = lead(&world, "fits", json!({"industry": "software", "employees": "80"}));
    let poor = lead(&world, "does-not", json!({"industry": "retail", "employees": "80"}));
    assert_eq!((&good["stage"], &poor["stage"]), (&json!("MQL"), &json!("INQUIRY")));
}

#[test]
fn a_profile_that_cannot_be_judged_is_refused_at_its_place() {
    let parties = Parties::start();
    let problem = |api: &Api, profiles: Value| {
        let body = parties.body(|body| body["idealProfiles"] = profiles);
        let payload =
            api.attempt("proposeCharter", "ProposeCharterInput", json!({"body": body}), "charter { number }");
        let error = payload["errors"][0].clone();
        let path: Vec<&str> =
            error["path"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        path[2..].join("/")
    };
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut one = profile();
        edit(&mut one);
        json!([one])
    };
    type Edit<'e> = &'e dyn Fn(&mut Value);
    let cases: [(Edit<'_>, &str); 6] = [
        (&|one| one["key"] = json!("ideal-customer"), "idealProfiles/0/key"),
        (&|one| one["name"] = json!(" "), "idealProfiles/0/name"),
        (&|one| one["criteria"] = json!([]), "idealProfiles/0/criteria"),
        (&|one| one["criteria"][1]["weight"] = json!(0), "idealProfiles/0/criteria/1/weight"),
        (&|one| one["criteria"][1]["key"] = json!("industry"), "idealProfiles/0/criteria/1/key"),
        (&|one| one["criteria"][0]["test"]["field"] = json!("icp.fit"), "idealProfiles/0/criteria/0/test"),
    ];
    for (edit, path) in cases {
        assert_eq!(problem(&parties.marketing, with(edit)), path);
    }
    assert_eq!(problem(&parties.sales, json!([profile(), profile()])), "idealProfiles/1/key");
}
