//! What the figures mean, one definition for both sides, and the leads behind them.

use handfast_domain::time::{DAY, HOUR, Instant};
use handfast_tests::Api;
use serde_json::{Value, json};

use crate::conversion::{conversion, file, lead, past};
use crate::import::{import, long, server_in};
use crate::schema::{list, name, types};
use crate::work::World;

#[test]
fn both_sides_read_one_definition_of_each_figure() {
    let world = World::unsigned();
    let document =
        "{ metricDefinitions { key version unit meaning origin toldBy formula { kind of over percents } } }";
    let [marketing, sales] =
        [&world.mia, &world.rob].map(|side| side.query(document, json!({}))["metricDefinitions"].clone());
    assert_eq!(marketing, sales);
    let types = types(&world.admin);
    let roots: Vec<&str> = list(&types["Query"], "fields").map(name).collect();
    let keys: Vec<&Value> = list(&types["MetricKey"], "enumValues").map(|value| &value["name"]).collect();
    let defined = marketing.as_array().expect("definitions");
    assert_eq!(defined.iter().map(|one| &one["key"]).collect::<Vec<_>>(), keys, "each key once");
    for one in defined {
        let told: Vec<&str> =
            one["toldBy"].as_array().expect("fields").iter().filter_map(Value::as_str).collect();
        assert!(!told.is_empty() && told.iter().all(|field| roots.contains(field)), "{one}");
        let two = ["RATIO", "LIFT", "DIFFERENCE", "SURVIVAL"]
            .contains(&one["formula"]["kind"].as_str().unwrap_or_default());
        assert_eq!(one["formula"]["over"].is_string(), two, "{one}");
        let found = world.rob.query(
            "query($key: MetricKey!) { metricDefinition(key: $key) { key meaning } }",
            json!({"key": one["key"]}),
        );
        assert_eq!(found["metricDefinition"]["meaning"], one["meaning"]);
    }
}

const DRILL: &str = "query($figure: FigureInput!, $first: Int, $after: String) { drill(figure: $figure, first: $first, after: $after) { \
    edges { node { cycle at reachedAt days outcome reason amount { amountMinor currency } lead { id source } } } pageInfo { hasNextPage endCursor } } }";

/// Every cycle behind a figure, some at a time.
fn behind(api: &Api, figure: &Value, first: i64) -> Vec<Value> {
    let (mut found, mut after) = (vec![], Value::Null);
    loop {
        let page =
            api.query(DRILL, json!({"figure": figure, "first": first, "after": after}))["drill"].clone();
        found.extend(page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()));
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return found;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

#[test]
fn the_leads_behind_a_figure_are_as_many_as_it_counts() {
    let server = server_in("EUR", "America/Sao_Paulo");
    let api = server.admin();
    // A few weeks of leads from three sources; some are won, some lost, one source is not told.
    let rows: Vec<Value> = (0..90)
        .map(|number: i64| {
            let at = Instant::parse("2024-01-25T01:00:00Z").expect("an instant").plus(number * 7 * HOUR);
            let end = at.plus((1 + number % 9) * DAY).to_string();
            let source = ["ads", "mail", ""][(number % 3) as usize];
            let ending = match number % 5 {
                0 => Some(("WON", end.as_str())),
                1 => Some(("LOST", end.as_str())),
                _ => None,
            };
            let mut row = lead(&format!("l{number}"), &at.to_string(), source, ending);
            row["amount"] = if number % 5 == 0 { json!(100 + number) } else { json!("") };
            row
        })
        .collect();
    let ended = import(&api, file(&rows), &past());
    assert!(ended.refused().is_empty(), "{:?}", ended.refused());
    let window = json!({"from": "2024-01-01T00:00:00Z", "to": "2024-06-01T00:00:00Z"});
    let asked = json!({"from": "MQL", "to": "CUSTOMER", "window": window, "by": "SOURCE", "cohort": "WEEK"});
    let report = conversion(&api, asked.clone());
    let mut all = 0;
    for cohort in report["cohorts"].as_array().expect("cohorts") {
        for (reached, key) in [(json!(true), "reached"), (Value::Null, "entered")] {
            let mut figure = asked.clone();
            figure["values"] = json!([cohort["key"]]);
            (figure["begins"], figure["reached"]) = (cohort["begins"].clone(), reached);
            let rows = behind(&api, &json!({"conversion": figure}), 3);
            assert_eq!(rows.len() as i64, long(&cohort[key]), "{cohort}");
            let source = cohort["key"].as_str().unwrap_or_default();
            assert!(rows.iter().all(|row| row["lead"]["source"] == source), "{cohort}: {rows:?}");
            all += rows.len();
        }
    }
    assert_eq!(all, 90 + 18);
    let document = "query($window: WindowInput) { winLoss(window: $window, by: [SOURCE]) { rows { values won lost revenue { amountMinor } } } }";
    for row in api.query(document, json!({"window": window}))["winLoss"]["rows"].as_array().expect("rows") {
        for (outcome, key) in [("WON", "won"), ("LOST", "lost")] {
            let figure =
                json!({"outcome": outcome, "window": window, "by": ["SOURCE"], "values": row["values"]});
            let rows = behind(&api, &json!({"ending": figure}), 4);
            assert_eq!(rows.len() as i64, long(&row[key]), "{row}");
            let money: i64 = rows
                .iter()
                .filter(|one| !one["amount"].is_null())
                .map(|one| long(&one["amount"]["amountMinor"]))
                .sum();
            assert_eq!(
                money,
                if outcome == "WON" { long(&row["revenue"]["amountMinor"]) } else { 0 },
                "{row}"
            );
        }
    }
    let mut seen: Vec<String> = behind(&api, &json!({"ending": {"window": window}}), 7)
        .iter()
        .map(|row| row["lead"]["id"].to_string())
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 36, "each lead once");
    let cases = [
        (json!({"conversion": {"from": "SQL", "to": "MQL"}}), "a later stage"),
        (
            json!({"ending": {"by": ["SOURCE"], "values": []}}),
            "a value for each of the 1 dimensions, found 0",
        ),
        (json!({"ending": {"cohort": "MONTH"}}), "needs both"),
        (json!({"ending": {}, "conversion": {"from": "MQL", "to": "SAL"}}), "Oneof"),
    ];
    for (figure, word) in cases {
        let error = api.error(DRILL, json!({"figure": figure}));
        assert!(
            error["message"].as_str().unwrap_or_default().to_lowercase().contains(&word.to_lowercase()),
            "{word}: {error}"
        );
    }
    let error = api.error(DRILL, json!({"figure": {"ending": {}}, "after": "nonsense"}));
    assert_eq!(error["extensions"]["code"], "CURSOR_INVALID");
}
