//! What both sides promised in the charter, beside what came of it.

use serde_json::{Value, json};

use crate::funnel::story;
use crate::import::text;
use crate::work::World;

const BOARD: &str = "{ scoreboard { charter { number signed } export(format: CSV) \
    marketing { party scoreBasisPoints commitments { metric measured target value attainmentBasisPoints weight pair pairValue pairPromised } } \
    sales { party scoreBasisPoints commitments { metric measured value attainmentBasisPoints pair pairValue pairPromised } } } }";

#[test]
fn volumes_stand_beside_the_quality_that_keeps_them_honest() {
    let world = World::start();
    story(&world);
    let promise = |party: &str, metric: &str, target: i64, weight: i64| json!({"party": party, "metric": metric, "target": target, "unit": "count", "windowDays": 60, "weight": weight});
    world.agree(|body| {
        body["commitments"] = json!([
            promise("MARKETING", "MQL_PER_MONTH", 2, 1),
            promise("MARKETING", "SAL_RATE", 10_000, 3),
            promise("MARKETING", "HAPPINESS", 5, 9),
            promise("SALES", "WIN_RATE", 10_000, 1),
            promise("SALES", "REVENUE", 990_000, 1),
            promise("SALES", "FIRST_TOUCH_IN_TIME", 9_000, 1),
        ]);
    });
    let board = world.rob.query(BOARD, json!({}))["scoreboard"].clone();
    assert_eq!(board, world.mia.query(BOARD, json!({}))["scoreboard"], "both sides see the same");
    assert_eq!(board["charter"], json!({"number": 2, "signed": true}));
    let lines = |side: &str| -> Vec<String> {
        let word = |value: &Value| {
            value.as_str().map_or_else(|| value.to_string().replace("null", "-"), str::to_owned)
        };
        let keys =
            ["metric", "measured", "value", "attainmentBasisPoints", "pair", "pairValue", "pairPromised"];
        let line = |one: &Value| keys.map(|key| word(&one[key])).join(" ");
        board[side]["commitments"].as_array().into_iter().flatten().map(line).collect()
    };
    // Eight MQLs in sixty days, five of which sales accepted; a deal of 9,900 euros was won, another one lost.
    let marketing = [
        "MQL_PER_MONTH true 4 20000 SAL_RATE 6250 true",
        "SAL_RATE true 6250 6250 - - -",
        "HAPPINESS false - - - - -",
    ];
    assert_eq!(lines("marketing"), marketing);
    let sales = [
        "WIN_RATE true 5000 5000 - - -",
        "REVENUE true 990000 10000 REVENUE_PER_MQL 123750 false",
        "FIRST_TOUCH_IN_TIME true - - - - -",
    ];
    assert_eq!(lines("sales"), sales);
    // Twice of what was promised counts once: (10000 + 3 × 6250) / 4.
    assert_eq!(
        [&board["marketing"]["scoreBasisPoints"], &board["sales"]["scoreBasisPoints"]],
        [&json!("7187"), &json!("7500")]
    );
    let export = text(&board, "export");
    assert!(
        export.contains("MARKETING,MQL_PER_MONTH,count,60,1,2,4,20000,SAL_RATE,6250,true\r\n"),
        "{export}"
    );
}
