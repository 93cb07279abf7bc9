//! How deals ended, through the public API: by what they are counted by, why over time, and what everybody asks for first.

use handfast_tests::Server;
use serde_json::{Value, json};

use crate::conversion::{file, past};
use crate::import::{import, long, server_in, text};
use crate::work::{World, done, now};

const WIN_LOSS: &str = "query($by: [Dimension!], $window: WindowInput, $trait: String, $first: Int! = 100) { winLoss(by: $by, window: $window, trait: $trait) { \
    charter { number } by rowCount rows(first: $first) { values others won lost recycled disqualified winRateBasisPoints low high \
    revenue { amountMinor currency } withoutAmount medianAmount { amountMinor } medianDaysToWin medianDaysToLoss } \
    definitions { key } export(format: CSV) } }";

/// `values won/lost/recycled/disqualified rate revenue median days`.
fn told(rows: &Value) -> Vec<String> {
    let word =
        |value: &Value| value.as_str().map_or_else(|| value.to_string().replace("null", "-"), str::to_owned);
    let row = |row: &Value| {
        let values: Vec<String> = row["values"].as_array().into_iter().flatten().map(word).collect();
        let counts = ["won", "lost", "recycled", "disqualified"].map(|key| word(&row[key])).join("/");
        let rest = [
            &row["winRateBasisPoints"],
            &row["revenue"]["amountMinor"],
            &row["medianAmount"]["amountMinor"],
            &row["medianDaysToWin"],
            &row["medianDaysToLoss"],
        ];
        format!("{} {counts} {}", values.join("|"), rest.map(word).join(" "))
    };
    rows.as_array().into_iter().flatten().map(row).collect()
}

fn year() -> Value {
    json!({"from": "2024-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"})
}

/// Two won deals, one without an amount, and five that ended otherwise.
fn ended() -> String {
    let row = |id: &str, at: &str, end: &str, ended: &str, reason: &str, more: Value| {
        let mut row =
            json!({"id": id, "at": format!("{at}T12:00:00Z"), "stage": "SQL", "end": end, "reason": reason});
        row["ended"] = json!(format!("{ended}T12:00:00Z"));
        row.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        row
    };
    let of = |domain: &str, industry: &str, title: &str, source: &str| json!({"company": domain, "domain": format!("{domain}.example"), "industry": industry, "title": title, "source": source});
    let with = |mut base: Value, more: Value| {
        base.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        base
    };
    file(&[
        row(
            "w1",
            "2024-01-10",
            "WON",
            "2024-01-20",
            "",
            with(of("shop", "retail", "CEO", "ads"), json!({"amount": "100"})),
        ),
        row(
            "w2",
            "2024-01-11",
            "WON",
            "2024-01-31",
            "",
            with(of("mart", "retail", "CTO", "mail"), json!({"amount": "300.50"})),
        ),
        row("w3", "2024-02-01", "WON", "2024-02-05", "", of("shop", "retail", "CFO", "ads")),
        row("l1", "2024-01-12", "LOST", "2024-01-15", "HOLDING_OFF", of("mart", "retail", "CEO", "ads")),
        row(
            "l2",
            "2024-02-01",
            "LOST",
            "2024-02-11",
            "LOST_TO_COMPETITOR",
            with(of("bank", "finance", "CEO", "ads"), json!({"competitor": "Rival"})),
        ),
        row("l3", "2024-02-02", "LOST", "2024-02-04", "HOLDING_OFF", of("fund", "finance", "CTO", "mail")),
        row("r1", "2024-02-03", "RECYCLED", "2024-02-10", "NOT_READY", of("bank", "finance", "CFO", "mail")),
        row("d1", "2024-03-01", "DISQUALIFIED", "2024-03-02", "NOT_ICP", json!({"source": "ads"})),
    ])
}

#[test]
fn wins_and_losses_are_told_by_whatever_they_are_counted_by() {
    let server = server_in("EUR", "Europe/Berlin");
    let api = server.admin();
    let imported = import(&api, ended(), &past());
    assert!(imported.refused().is_empty(), "{:?}", imported.refused());
    let asked = |by: Value| api.query(WIN_LOSS, json!({"by": by, "window": year()}))["winLoss"].clone();
    let cases = [
        (json!([]), vec![" 3/3/1/1 5000 40050 10000 10.00 3.00"]),
        (
            json!(["INDUSTRY"]),
            vec![
                "retail 3/1/0/0 7500 40050 10000 10.00 3.00",
                "finance 0/2/1/0 0 0 - - 2.00",
                "- 0/0/0/1 - 0 - - -",
            ],
        ),
        (
            json!(["SOURCE"]),
            vec!["ads 2/2/0/1 5000 10000 10000 4.00 3.00", "mail 1/1/1/0 5000 30050 30050 20.00 2.00"],
        ),
        (
            json!(["TITLE"]),
            vec![
                "CEO 1/2/0/0 3333 10000 10000 10.00 3.00",
                "CTO 1/1/0/0 5000 30050 30050 20.00 2.00",
                "CFO 1/0/1/0 10000 0 - 4.00 -",
                "- 0/0/0/1 - 0 - - -",
            ],
        ),
        (json!(["COMPETITOR"]), vec!["- 3/2/1/1 6000 40050 10000 10.00 2.00", "Rival 0/1/0/0 0 0 - - 10.00"]),
        (
            json!(["INDUSTRY", "SOURCE"]),
            vec![
                "retail|ads 2/1/0/0 6667 10000 10000 4.00 3.00",
                "finance|mail 0/1/1/0 0 0 - - 2.00",
                "finance|ads 0/1/0/0 0 0 - - 10.00",
                "retail|mail 1/0/0/0 10000 30050 30050 20.00 -",
                "-|ads 0/0/0/1 - 0 - - -",
            ],
        ),
        (json!(["FIRST_MEETING", "TIMEFRAME"]), vec!["-|- 3/3/1/1 5000 40050 10000 10.00 3.00"]),
    ];
    for (by, expected) in cases {
        let found = asked(by.clone());
        assert_eq!(told(&found["rows"]), expected, "{by}");
        assert_eq!(long(&found["rowCount"]), expected.len() as i64, "{by}");
    }
    let all = asked(json!([]));
    let row = &all["rows"][0];
    assert_eq!((&row["withoutAmount"], &row["revenue"]["currency"]), (&json!("1"), &json!("EUR")));
    // Wilson's interval of three in six.
    assert_eq!((&row["low"], &row["high"]), (&json!(1876), &json!(8124)));
    let export = asked(json!(["INDUSTRY"]))["export"].clone();
    let lines: Vec<&str> = export.as_str().unwrap_or_default().lines().collect();
    assert!(
        lines[0].starts_with("row,INDUSTRY,won,lost,recycled,disqualified,winRateBasisPoints"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("KEY,retail,3,1,0,0,7500,"), "{lines:?}");

    let document = "query($window: WindowInput, $by: Dimension) { dealShape(window: $window, by: $by) { rows { key won \
        lowerQuartile { amountMinor } medianAmount { amountMinor } upperQuartile { amountMinor } medianCycleDays } } }";
    let shapes = api.query(document, json!({"window": year(), "by": "SOURCE"}))["dealShape"]["rows"].clone();
    assert_eq!(shapes[0]["key"], "ads", "{shapes}");
    assert_eq!((&shapes[0]["won"], &shapes[0]["medianCycleDays"]), (&json!("2"), &json!("4.00")), "{shapes}");
    assert_eq!(shapes.as_array().map(Vec::len), Some(2), "{shapes}");

    let document = "query($window: WindowInput, $by: Dimension! = REASON) { dispositions(window: $window, groupBy: $by) { groupBy rowCount \
        rows { begins key outcome cycles } export(format: NDJSON) } }";
    let found = api.query(document, json!({"window": year()}))["dispositions"].clone();
    let rows: Vec<String> = found["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {}",
                text(row, "begins"),
                row["key"].as_str().unwrap_or("-"),
                text(row, "outcome"),
                text(row, "cycles")
            )
        })
        .collect();
    let expected = [
        "2024-01-01 - WON 2",
        "2024-01-01 HOLDING_OFF LOST 1",
        "2024-02-01 - WON 1",
        "2024-02-01 HOLDING_OFF LOST 1",
        "2024-02-01 LOST_TO_COMPETITOR LOST 1",
        "2024-02-01 NOT_READY RECYCLED 1",
        "2024-03-01 NOT_ICP DISQUALIFIED 1",
    ];
    assert_eq!(rows, expected);

    let document = "query($window: WindowInput) { kpis(window: $window) { revenueGrowthBasisPoints export(format: CSV) \
        now { won lost winRateBasisPoints newAccounts revenue { amountMinor } medianAmount { amountMinor } medianCycleDays } \
        before { won lost winRateBasisPoints newAccounts revenue { amountMinor } } } }";
    // In February a company bought again, which is no new account.
    let february = json!({"from": "2024-02-01T00:00:00Z", "to": "2024-03-03T00:00:00Z"});
    let kpis = api.query(document, json!({"window": february}))["kpis"].clone();
    let figures = |span: &Value| ["won", "lost", "newAccounts"].map(|key| text(span, key).to_owned());
    assert_eq!(figures(&kpis["now"]), ["1", "2", "0"], "{kpis}");
    assert_eq!(figures(&kpis["before"]), ["2", "1", "2"], "{kpis}");
    let money = [&kpis["now"]["revenue"]["amountMinor"], &kpis["before"]["revenue"]["amountMinor"]];
    assert_eq!(
        (money, &kpis["revenueGrowthBasisPoints"]),
        ([&json!("0"), &json!("40050")], &json!("-10000"))
    );
    assert_eq!(kpis["export"].as_str().unwrap_or_default().lines().count(), 3);
}

#[test]
fn a_deal_of_today_tells_its_time_frame_and_a_dimension_has_its_limits() {
    let world = World::start();
    let lead = world.mql("frame@example.test", json!({}));
    let close = now(&world.admin).plus(60 * handfast_domain::time::DAY).to_string();
    let steps = [
        ("acceptHandoff", json!({})),
        ("logActivity", json!({"kind": "CALL", "direction": "TWO_WAY"})),
        ("qualify", json!({"answers": [{"key": "need", "grade": 3}]})),
        (
            "recordOpportunity",
            json!({"amount": {"amountMinor": "1", "currency": "EUR"}, "expectedClose": close}),
        ),
        ("closeWon", json!({"amount": {"amountMinor": "700", "currency": "EUR"}})),
    ];
    steps.into_iter().for_each(|(verb, more)| drop(done(&world.rob, verb, &lead, more)));
    let found = world.admin.query(WIN_LOSS, json!({"by": ["TIMEFRAME", "OWNER"]}))["winLoss"].clone();
    assert_eq!(found["rows"][0]["values"], json!(["UP_TO_90_DAYS", "rob"]), "{found}");
    assert_eq!(found["charter"]["number"], 1);

    let cases = [
        (json!({"by": ["SOURCE", "SOURCE"]}), "SOURCE is named twice"),
        (json!({"by": ["SOURCE", "CHANNEL", "OWNER", "TITLE"]}), "at most 3 dimensions, found 4"),
        (json!({"by": ["TRAIT"]}), "needs the key"),
        (json!({"window": {"from": "2000-01-01T00:00:00Z"}}), "at most 1830 days"),
    ];
    for (variables, word) in cases {
        let error = world.admin.error(WIN_LOSS, variables);
        assert!(text(&error, "message").contains(word), "{word}: {error}");
    }
    let error = world.admin.error("{ traitLift(outcome: OPEN) { leads } }", json!({}));
    assert!(text(&error, "message").contains("WON, LOST, RECYCLED or DISQUALIFIED, found OPEN"), "{error}");
}

#[test]
fn an_empty_workspace_has_figures_without_rates() {
    let server = Server::start();
    let api = server.admin();
    let found = api.query(
        "{ winLoss { rowCount rows { won } } kpis { now { won winRateBasisPoints newAccounts } revenueGrowthBasisPoints } \
         traitLift { leads ended baseBasisPoints rows { trait } leaking { key } } handoffLeakage { offered leakedBasisPoints rows { status } } }",
        json!({}),
    );
    let more = api.query(
        "{ dispositions { rowCount } dealShape { rows { won } } definitionDrift { accepted criteria { key } } funnelHealth { bottleneck } \
         journeys { leads } velocity { stages { stage } } }",
        json!({}),
    );
    assert_eq!((&more["dispositions"]["rowCount"], &more["journeys"]["leads"]), (&json!("0"), &json!("0")));
    assert_eq!((&more["definitionDrift"]["criteria"], &more["velocity"]["stages"]), (&json!([]), &json!([])));
    assert_eq!(found["winLoss"], json!({"rowCount": "0", "rows": []}));
    assert_eq!(found["kpis"]["now"], json!({"won": "0", "winRateBasisPoints": null, "newAccounts": "0"}));
    assert_eq!(found["kpis"]["revenueGrowthBasisPoints"], Value::Null);
    assert_eq!(found["handoffLeakage"], json!({"offered": "0", "leakedBasisPoints": null, "rows": []}));
    assert_eq!(
        found["traitLift"],
        json!({"leads": "0", "ended": "0", "baseBasisPoints": 0, "rows": [], "leaking": []})
    );
}
