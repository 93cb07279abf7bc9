//! How fast the funnel flows, where it is narrowest and which ways leads take, through the public API.

use serde_json::{Value, json};

use crate::conversion::{file, lead, past};
use crate::funnel::story;
use crate::import::{import, server_in};
use crate::work::World;

const VELOCITY: &str = "query($window: WindowInput, $by: Dimension, $trait: String) { velocity(window: $window, by: $by, trait: $trait) { \
    charter { number } stages { stage key others stays advanced medianHours p75Hours p90Hours } export(format: CSV) \
    definitions { key unit } } }";

const HEALTH: &str = "query($window: WindowInput) { funnelHealth(window: $window) { bottleneck bottleneckRule export(format: NDJSON) \
    stages { stage next volume advanced dropped rateBasisPoints medianHours bottleneck } definitions { key } } }";

const JOURNEYS: &str = "query($window: WindowInput, $first: Int! = 20) { journeys(window: $window) { leads ways others export(format: CSV) \
    journeys(first: $first) { path outcome leads medianDays cycles { outcome stages { stage skipped } } } } }";

/// Cells of each row, with a dash for null.
fn cells(rows: &Value, keys: &[&str]) -> Vec<String> {
    let cell = |row: &Value, key: &str| {
        row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned).replace("null", "-")
    };
    let row = |row: &Value| keys.iter().map(|key| cell(row, key)).collect::<Vec<_>>().join(" ");
    rows.as_array().into_iter().flatten().map(row).collect()
}

#[test]
fn the_story_is_told_by_stays_by_stages_and_by_ways() {
    let world = World::start();
    story(&world);
    let api = &world.admin;
    let velocity = api.query(VELOCITY, json!({}))["velocity"].clone();
    let stays = ["INQUIRY 9 8", "MQL 6 5", "SAL 5 3", "SQL 3 2", "OPPORTUNITY 1 1"];
    assert_eq!(
        cells(&velocity["stages"], &["stage", "stays", "advanced"]),
        stays,
        "nobody stays at a stage that was skipped"
    );
    let health = api.query(HEALTH, json!({}))["funnelHealth"].clone();
    let stages = [
        "INQUIRY IQL 10 8 1 8000",
        "IQL MQL 8 8 0 10000",
        "MQL SAL 8 5 1 6250",
        "SAL SQL 5 3 2 6000",
        "SQL OPPORTUNITY 3 2 1 6667",
        "OPPORTUNITY CUSTOMER 2 1 0 5000",
        "CUSTOMER ADVOCATE 1 0 0 0",
        "ADVOCATE - 0 0 0 -",
    ];
    let keys = ["stage", "next", "volume", "advanced", "dropped", "rateBasisPoints"];
    assert_eq!(cells(&health["stages"], &keys), stages);
    assert_eq!(health["bottleneck"], Value::Null, "ten cycles convict no stage");
    let rule = health["bottleneckRule"].as_str().unwrap_or_default();
    assert!(rule.contains("Wilson") && rule.contains("Goldratt"), "{rule}");

    let found = api.query(JOURNEYS, json!({}))["journeys"].clone();
    assert_eq!(
        [&found["leads"], &found["ways"], &found["others"]],
        [&json!("9"), &json!("9"), &json!("0")],
        "{found}"
    );
    let mut ways: Vec<&str> =
        found["journeys"].as_array().expect("ways").iter().filter_map(|way| way["path"].as_str()).collect();
    ways.sort_unstable();
    let mql = "INQUIRY > (IQL) > MQL";
    let mut expected = [
        "INQUIRY OPEN".to_owned(),
        "INQUIRY DISQUALIFIED".to_owned(),
        format!("{mql} OPEN"),
        format!("{mql} DISQUALIFIED"),
        format!("{mql} > SAL RECYCLED"),
        format!("{mql} > SAL > SQL LOST"),
        format!("{mql} > SAL > SQL > OPPORTUNITY OPEN"),
        format!("{mql} > SAL > SQL > OPPORTUNITY > CUSTOMER WON"),
        format!("{mql} > SAL RECYCLED, {mql} OPEN"),
    ];
    expected.sort_unstable();
    assert_eq!(ways, expected);
    let twice = found["journeys"]
        .as_array()
        .expect("ways")
        .iter()
        .find(|way| way["cycles"].as_array().map(Vec::len) == Some(2));
    let twice = twice.expect("one came back");
    assert_eq!((&twice["outcome"], &twice["medianDays"]), (&json!("OPEN"), &Value::Null));
    assert_eq!(twice["cycles"][0]["stages"][1], json!({"stage": "IQL", "skipped": true}));
    assert_eq!(
        api.query(JOURNEYS, json!({"first": 2}))["journeys"]["journeys"].as_array().map(Vec::len),
        Some(2)
    );
}

#[test]
fn the_narrowest_stage_of_many_leads_is_the_bottleneck_and_stays_have_quantiles() {
    let server = server_in("EUR", "UTC");
    let api = server.admin();
    let mut rows = vec![];
    for number in 0..60 {
        let day = 1 + number % 20;
        let mut row = lead(&format!("l{number}"), &format!("2024-03-{day:02}T00:00:00Z"), "ads", None);
        // Forty MQLs of sixty inquiries; ten of them are won after one to ten days, ten are lost after a day.
        match number {
            0..20 => row["stage"] = json!("INQUIRY"),
            20..30 => {
                (row["end"], row["amount"]) = (json!("WON"), json!("10"));
                row["ended"] = json!(format!("2024-03-{:02}T00:00:00Z", day + number - 19));
            }
            30..40 => {
                (row["end"], row["reason"]) = (json!("LOST"), json!("HOLDING_OFF"));
                row["ended"] = json!(format!("2024-03-{:02}T00:00:00Z", day + 1));
            }
            _ => {}
        }
        rows.push(row);
    }
    let ended = import(&api, file(&rows), &past());
    assert!(ended.refused().is_empty(), "{:?}", ended.refused());
    let march = json!({"window": {"from": "2024-03-01T00:00:00Z", "to": "2024-05-01T00:00:00Z"}});
    let velocity = api.query(VELOCITY, march.clone())["velocity"].clone();
    let keys = ["stage", "stays", "advanced", "medianHours", "p75Hours", "p90Hours"];
    // Twenty stays: ten of a day, and those of one to ten days.
    let expected = ["INQUIRY 40 40 0.00 0.00 0.00", "MQL 20 10 24.00 120.00 192.00"];
    let found: Vec<String> =
        cells(&velocity["stages"], &keys).into_iter().filter(|row| !row.starts_with("INQUIRY 0")).collect();
    assert!(found.contains(&expected[1].to_owned()), "{found:?}");
    let by = json!({"window": march["window"], "by": "TRAIT", "trait": "size"});
    assert_eq!(
        cells(&api.query(VELOCITY, by)["velocity"]["stages"], &["stage", "key"]).last().map(String::as_str),
        Some("MQL -")
    );

    let health = api.query(HEALTH, march.clone())["funnelHealth"].clone();
    assert_eq!(health["bottleneck"], "MQL", "{health}");
    let keys = ["stage", "volume", "advanced", "dropped", "rateBasisPoints", "bottleneck"];
    let stages = cells(&health["stages"], &keys);
    assert!(stages.contains(&"MQL 40 10 10 2500 true".to_owned()), "{stages:?}");
    assert!(stages.contains(&"SAL 10 10 0 10000 false".to_owned()), "{stages:?}");
    let lines: Vec<Value> = health["export"]
        .as_str()
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.iter().filter(|line| line["bottleneck"] == json!(true)).count(), 1, "{lines:?}");

    let journeys = api.query(JOURNEYS, march)["journeys"].clone();
    assert_eq!(journeys["leads"], "60");
    let won = journeys["journeys"]
        .as_array()
        .expect("ways")
        .iter()
        .find(|way| way["outcome"] == "WON")
        .expect("wins");
    assert_eq!((&won["leads"], &won["medianDays"]), (&json!("10"), &json!("5.00")), "{won}");
    assert!(
        journeys["export"]
            .as_str()
            .unwrap_or_default()
            .starts_with("path,cycles,outcome,leads,medianDays\r\n")
    );
    let refused = api.error(VELOCITY, json!({"window": {"from": "2010-01-01T00:00:00Z"}}));
    assert!(refused["message"].as_str().unwrap_or_default().contains("at most 1830 days"), "{refused}");
}
