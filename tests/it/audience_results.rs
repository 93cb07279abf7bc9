//! What audiences came to, through the public API: by who belongs to them, and by the campaigns that were planned for them.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::work::{World, done};

fn cents(amount: i64) -> Value {
    json!({"amountMinor": amount.to_string(), "currency": "EUR"})
}

fn audience(api: &Api, key: &str, industry: &str) {
    let tests = json!([{"field": "company.industry", "comparator": "EQ", "values": [industry]}]);
    let input = json!({"key": key, "name": key, "tests": tests});
    api.mutate("createAudience", "CreateAudienceInput", input, "audience { key }");
}

fn campaign(api: &Api, key: &str, cost: i64, audience: Value) -> Value {
    let input = json!({"key": key, "name": key, "kind": "mailing", "channel": "EMAIL", "cost": cents(cost),
        "audience": audience});
    api.attempt("createCampaign", "CreateCampaignInput", input, "campaign { id key audience { key } }")
}

const CAME: &str = "{ leads mql sal sql opportunities won revenue { amountMinor } }";

fn results(api: &Api) -> Value {
    let document = format!(
        "{{ audienceResults {{ rows {{ audience {{ key }} members {CAME} brought {CAME} cost {{ amountMinor }} \
         roiBasisPoints }} export(format: CSV) }} }}"
    );
    api.query(&document, json!({}))["audienceResults"].clone()
}

/// `leads mql sal sql opportunities won revenue`.
fn told(came: &Value) -> String {
    let mut parts: Vec<&str> = ["leads", "mql", "sal", "sql", "opportunities", "won"]
        .iter()
        .map(|key| came[*key].as_str().unwrap_or("-"))
        .collect();
    parts.push(came["revenue"]["amountMinor"].as_str().unwrap_or("-"));
    parts.join(" ")
}

#[test]
fn an_audience_is_worth_what_its_campaigns_brought() {
    let world = World::start();
    let (mia, rob) = (&world.mia, &world.rob);
    audience(mia, "software", "software");
    audience(mia, "retail", "retail");
    let made = campaign(mia, "spring", 40_000, json!("software"));
    assert_eq!(made["campaign"]["audience"]["key"], "software", "{made}");
    let summer = campaign(mia, "summer", 10_000, json!("software"))["campaign"].clone();
    campaign(mia, "shops", 5_000, json!("retail"));
    campaign(mia, "general", 7_000, Value::Null);
    let wrong = campaign(mia, "wrong", 1, json!("softwear"))["errors"][0].clone();
    assert_eq!(
        (&wrong["code"], &wrong["path"]),
        (&json!("VALIDATION"), &json!(["input", "audience"])),
        "{wrong}"
    );
    let lead = |name: &str, industry: &str, campaign: &str| {
        let company = json!({"name": name, "domain": format!("{name}.test"), "industry": industry});
        world.mql(&format!("me@{name}.test"), json!({"company": company, "campaign": campaign}))
    };
    let amount = json!({"amount": cents(100_000)});
    let won = lead("won", "software", "spring");
    for (verb, more) in [
        ("acceptHandoff", json!({})),
        ("logActivity", json!({"kind": "CALL", "direction": "TWO_WAY"})),
        ("qualify", json!({"answers": [{"key": "need", "grade": 3}]})),
        ("recordOpportunity", amount.clone()),
        ("closeWon", amount),
    ] {
        done(rob, verb, &won, more);
    }
    let accepted = lead("accepted", "software", "summer");
    done(rob, "acceptHandoff", &accepted, json!({}));
    lead("stray", "retail", "spring");
    lead("walk-in", "logistics", "general");
    let found = results(rob);
    let row = |key: Value| {
        let rows = found["rows"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["audience"]["key"] == key).unwrap_or_else(|| panic!("{key}: {found}"))
    };
    let software = row(json!("software"));
    assert_eq!(told(&software["members"]), "2 2 2 1 1 1 100000");
    assert_eq!(
        told(&software["brought"]),
        "3 3 2 1 1 1 100000",
        "also whom its campaigns only happened to bring"
    );
    assert_eq!(
        (&software["cost"]["amountMinor"], &software["roiBasisPoints"]),
        (&json!("50000"), &json!("10000")),
        "twice the money back"
    );
    let retail = row(json!("retail"));
    assert_eq!(
        (told(&retail["members"]), told(&retail["brought"])),
        ("1 1 0 0 0 0 0".into(), "0 0 0 0 0 0 0".into())
    );
    assert_eq!(retail["roiBasisPoints"], "-10000");
    let nobody = row(Value::Null);
    assert_eq!(
        (told(&nobody["members"]), told(&nobody["brought"])),
        ("1 1 0 0 0 0 0".into(), "1 1 0 0 0 0 0".into())
    );
    assert_eq!(nobody["cost"]["amountMinor"], "7000");
    let csv = found["export"].as_str().unwrap_or_default();
    assert!(csv.contains("software,CAMPAIGNS,3,3,2,1,1,1,100000,50000,EUR"), "{csv}");

    // The same by the other reports: campaigns of an audience, deals by audience, money back by audience.
    let document = "{ audience(key: \"software\") { campaigns { key } results { leads won revenue { amountMinor } \
        cost { amountMinor } costPerWon { amountMinor } } } \
        winLoss(by: [AUDIENCE]) { rows { values won } } \
        roi(by: AUDIENCE, model: FIRST_TOUCH) { key cost { amountMinor } revenue { amountMinor } } }";
    let found = rob.query(document, json!({}));
    assert_eq!(found["audience"]["campaigns"], json!([{"key": "summer"}, {"key": "spring"}]));
    assert_eq!(
        found["audience"]["results"],
        json!({"leads": "3", "won": "1", "revenue": {"amountMinor": "100000"}, "cost": {"amountMinor": "50000"},
            "costPerWon": {"amountMinor": "50000"}})
    );
    assert_eq!(found["winLoss"]["rows"], json!([{"values": ["software"], "won": "1"}]));
    let money = |key: &str, cost: &str, revenue: &str| json!({"key": key, "cost": {"amountMinor": cost}, "revenue": {"amountMinor": revenue}});
    let roi = found["roi"].as_array().cloned().unwrap_or_default();
    assert!(roi.contains(&money("software", "50000", "100000")), "{roi:?}");
    // A campaign may be planned for somebody else later.
    let input = json!({"campaign": summer["id"], "audience": null});
    let edited = mia.mutate("updateCampaign", "UpdateCampaignInput", input, "campaign { audience { key } }");
    assert_eq!(edited["campaign"]["audience"], Value::Null);
}
