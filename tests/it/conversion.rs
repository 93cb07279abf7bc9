//! Conversion by cohorts, through the public API: whom the charter's days put together, what skipped stages count as, and which
//! cohorts are too young.

use handfast_tests::{Api, Server};
use serde_json::{Value, json};

use crate::funnel::story;
use crate::import::{import, server_in, text};
use crate::work::World;

pub const COHORTS: &str = "\
    query($from: StageKind!, $to: StageKind!, $cohort: CohortPeriod, $window: WindowInput, $by: Dimension, $trait: String, $first: Int! = 100) { \
    conversion(from: $from, to: $to, cohort: $cohort, window: $window, by: $by, trait: $trait) { \
    charter { number signed } window { from to } from to cohort by takesDays cohortCount \
    cohorts(first: $first) { begins key others entered reached rateBasisPoints low high medianDays immature } \
    totals { begins key others entered reached rateBasisPoints low high medianDays immature } \
    definitions { key version unit formula { kind of over percents } meaning origin toldBy } } }";

pub fn conversion(api: &Api, variables: Value) -> Value {
    let mut asked = json!({"cohort": "MONTH"});
    asked.as_object_mut().expect("an object").extend(variables.as_object().cloned().unwrap_or_default());
    api.query(COHORTS, asked)["conversion"].clone()
}

/// `begins key entered/reached medianDays`, and `young` where it is.
pub fn told(rows: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let word = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let young = if row["immature"] == json!(true) { " young" } else { "" };
        let [begins, key, reached, entered, days] =
            ["begins", "key", "reached", "entered", "medianDays"].map(word);
        format!("{begins} {key} {reached}/{entered} {days}{young}")
    };
    rows.as_array().into_iter().flatten().map(row).collect()
}

/// Rows of leads with a stage that is asserted, and maybe an ending.
pub fn past() -> Value {
    json!({
        "system": "crm", "id": "id", "occurredAt": {"column": "at"}, "stage": "stage",
        "lead": {"source": "source", "channel": "channel", "title": "title",
            "company": {"name": "company", "domain": "domain", "industry": "industry"}},
        "traits": [{"key": "size", "from": "size", "kind": "integer"}, {"key": "tone", "from": "tone"}],
        "ending": {"outcome": "end", "at": {"column": "ended"}, "amount": "amount", "reason": "reason",
            "competitor": "competitor"},
    })
}

/// A file for [`past`]; each row names its columns.
pub fn file(rows: &[Value]) -> String {
    let columns = [
        "id",
        "at",
        "stage",
        "source",
        "channel",
        "title",
        "company",
        "domain",
        "industry",
        "size",
        "tone",
        "end",
        "ended",
        "amount",
        "reason",
        "competitor",
    ];
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |row: &Value| columns.map(|column| cell(row, column)).join(",");
    let lines: Vec<String> = rows.iter().map(line).collect();
    format!("{}\n{}\n", columns.join(","), lines.join("\n"))
}

/// A lead that came at `at` and was an MQL at once; with an ending or without.
pub fn lead(id: &str, at: &str, source: &str, end: Option<(&str, &str)>) -> Value {
    let mut row = json!({"id": id, "at": at, "stage": "MQL", "source": source});
    if let Some((end, ended)) = end {
        (row["end"], row["ended"]) = (json!(end), json!(ended));
        row["reason"] = if end == "WON" { json!("") } else { json!("HOLDING_OFF") };
    }
    row
}

#[test]
fn cohorts_follow_the_days_of_the_charter_and_the_young_are_marked() {
    let server = server_in("EUR", "America/Sao_Paulo");
    let api = server.admin();
    let mut inquiry = lead("d", "2024-02-10T12:00:00Z", "mail", None);
    inquiry["stage"] = json!("INQUIRY");
    let rows = [
        lead("a", "2024-01-10T12:00:00Z", "ads", Some(("WON", "2024-01-20T12:00:00Z"))),
        // Still January in São Paulo.
        lead("b", "2024-02-01T02:00:00Z", "mail", Some(("WON", "2024-02-03T02:00:00Z"))),
        lead("c", "2024-02-01T12:00:00Z", "ads", None),
        inquiry,
        lead("e", "2024-02-20T12:00:00Z", "ads", Some(("LOST", "2024-03-01T12:00:00Z"))),
        lead("f", "2024-04-01T12:00:00Z", "", Some(("WON", "2024-04-01T18:00:00Z"))),
        // Nobody knows how it ends, and it came a few days ago.
        lead("g", &ago(&api, 3), "mail", None),
    ];
    let ended = import(&api, file(&rows), &past());
    assert_eq!(ended.counts()["rows"], 7, "{:?}", ended.refused());
    assert!(ended.refused().is_empty(), "{:?}", ended.refused());
    let window = json!({"from": "2024-01-01T00:00:00Z", "to": "2024-07-01T00:00:00Z"});
    let asked = |more: Value| {
        let mut variables = json!({"from": "MQL", "to": "CUSTOMER", "window": window});
        variables.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        conversion(&api, variables)
    };
    let months = asked(json!({}));
    let expected = ["2024-01-01 - 2/2 2.00", "2024-02-01 - 0/2 -", "2024-04-01 - 1/1 0.25"];
    assert_eq!(told(&months["cohorts"]), expected);
    assert_eq!(told(&months["totals"]), ["- - 3/5 2.00"]);
    assert_eq!((&months["takesDays"], &months["cohortCount"]), (&json!("10.00"), &json!("3")));
    let january = &months["cohorts"][0];
    // Wilson's interval of two in two.
    assert_eq!(
        [&january["rateBasisPoints"], &january["low"], &january["high"]],
        [&json!(10_000), &json!(3_424), &json!(10_000)]
    );
    assert_eq!(
        told(&asked(json!({"cohort": "QUARTER"}))["cohorts"]),
        ["2024-01-01 - 2/4 2.00", "2024-04-01 - 1/1 0.25"]
    );
    let weeks =
        ["2024-01-08 - 1/1 10.00", "2024-01-29 - 1/2 2.00", "2024-02-19 - 0/1 -", "2024-04-01 - 1/1 0.25"];
    assert_eq!(told(&asked(json!({"cohort": "WEEK"}))["cohorts"]), weeks);
    let days = told(&asked(json!({"cohort": "DAY"}))["cohorts"]);
    assert_eq!(
        days,
        [
            "2024-01-10 - 1/1 10.00",
            "2024-01-31 - 1/1 2.00",
            "2024-02-01 - 0/1 -",
            "2024-02-20 - 0/1 -",
            "2024-04-01 - 1/1 0.25"
        ]
    );
    let by_source = asked(json!({"by": "SOURCE"}));
    assert_eq!(told(&by_source["totals"]), ["- ads 1/3 10.00", "- - 1/1 0.25", "- mail 1/1 2.00"]);
    assert_eq!(asked(json!({"first": 1}))["cohorts"].as_array().map(Vec::len), Some(1));
    // An inquiry that never became an MQL is no MQL that was not won; SAL and all between were skipped by the wins.
    assert_eq!(told(&asked(json!({"from": "INQUIRY"}))["totals"]), ["- - 3/6 2.00"]);
    assert_eq!(told(&asked(json!({"from": "SAL"}))["totals"]), ["- - 3/3 0.00"]);

    let young = conversion(&api, json!({"from": "MQL", "to": "CUSTOMER", "cohort": "DAY"}));
    assert_eq!(young["cohorts"][0]["immature"], false, "nothing tells how long it takes: {young}");
    let all = json!({"from": "2024-01-01T00:00:00Z"});
    let young = conversion(&api, json!({"from": "MQL", "to": "CUSTOMER", "cohort": "DAY", "window": all}));
    let marks: Vec<_> =
        young["cohorts"].as_array().expect("cohorts").iter().map(|row| &row["immature"]).collect();
    assert_eq!(marks, [false, false, false, false, false, true], "{young}");

    let definition = &young["definitions"][0];
    assert_eq!(
        (&definition["key"], &definition["formula"]["kind"]),
        (&json!("CONVERSION_RATE"), &json!("RATIO"))
    );
    let document = "query($window: WindowInput) { conversion(from: MQL, to: CUSTOMER, by: SOURCE, window: $window) { export(format: CSV) } }";
    let table = api.query(document, json!({"window": window}))["conversion"]["export"].clone();
    let lines: Vec<&str> = table.as_str().unwrap_or_default().lines().collect();
    assert_eq!(lines[0], "row,begins,key,entered,reached,rateBasisPoints,low,high,medianDays,immature");
    assert!(lines.contains(&"ALL,,ads,3,1,3333,615,7923,10.00,false"), "{lines:?}");
    assert!(lines.contains(&"COHORT,2024-04-01,,1,1,10000,2065,10000,0.25,false"), "{lines:?}");
}

/// So many days ago, by the server's clock.
fn ago(api: &Api, days: i64) -> String {
    crate::work::now(api).plus(-days * handfast_domain::time::DAY).to_string()
}

#[test]
fn the_conversions_of_the_story_are_those_of_the_live_funnel() {
    let world = World::start();
    story(&world);
    let api = &world.admin;
    let live = api.query("{ funnel { conversion { from to entered advanced rateBasisPoints } } }", json!({}));
    for step in live["funnel"]["conversion"].as_array().expect("steps") {
        let found = conversion(api, json!({"from": step["from"], "to": step["to"]}));
        let empty = json!({"entered": "0", "reached": "0", "rateBasisPoints": null});
        let total = found["totals"].get(0).unwrap_or(&empty);
        let told = ["entered", "reached", "rateBasisPoints"].map(|key| &total[key]);
        assert_eq!(told, [&step["entered"], &step["advanced"], &step["rateBasisPoints"]], "{step}");
        assert_eq!(found["charter"], json!({"number": 1, "signed": true}));
    }
    // By who has them: what nobody has is counted, too.
    let found = conversion(api, json!({"from": "INQUIRY", "to": "MQL", "by": "OWNER"}));
    let sums = |key: &str| -> i64 {
        let totals = found["totals"].as_array().expect("totals");
        totals.iter().map(|row| text(row, key).parse::<i64>().expect("a number")).sum()
    };
    assert_eq!((sums("entered"), sums("reached")), (10, 8));
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_limit() {
    let server = Server::start();
    let api = server.admin();
    let key = json!({"key": "mail", "kind": "TEXT", "meaning": "his address", "personal": true});
    api.mutate("defineTrait", "DefineTraitInput", key, "errors { code }");
    let cases = [
        (json!({"from": "ANONYMOUS"}), "begins with INQUIRY"),
        (json!({"from": "SAL"}), "a later stage than SAL, found SAL"),
        (json!({"from": "CUSTOMER"}), "a later stage"),
        (
            json!({"window": {"from": "2019-01-01T00:00:00Z", "to": "2024-01-06T00:00:00Z"}}),
            "at most 1830 days, found 1831",
        ),
        (json!({"window": {"from": "2024-01-02T00:00:00Z", "to": "2024-01-01T00:00:00Z"}}), "empty"),
        (json!({"by": "TRAIT"}), "needs the key"),
        (json!({"trait": "size"}), "only for `by: TRAIT`"),
        (json!({"by": "TRAIT", "trait": "mail"}), "no trait \"mail\" that may be counted"),
        (json!({"by": "WEATHER"}), "WEATHER"),
        (json!({"cohort": "YEAR"}), "YEAR"),
    ];
    for (more, word) in cases {
        let mut variables = json!({"from": "MQL", "to": "SAL", "cohort": "MONTH"});
        variables.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let error = api.error(COHORTS, variables);
        assert!(text(&error, "message").contains(word), "{word}: {error}");
        assert_eq!(error["extensions"]["code"], "VALIDATION", "{word}: {error}");
    }
    for first in [0, 501] {
        let error =
            api.error(COHORTS, json!({"from": "MQL", "to": "SAL", "cohort": "MONTH", "first": first}));
        assert_eq!(error["extensions"]["code"], "PAGE_SIZE", "{first}: {error}");
    }
}
