//! Reports that are made in the background, and the rows behind their figures, through the public API.

use handfast_tests::{Api, Server, eventually};
use serde_json::{Value, json};

use crate::backtest::subscribe;
use crate::conversion::{file, lead, past};
use crate::funnel::story;
use crate::import::{import, server_in, text};
use crate::work::{World, done};

const RUN: &str =
    "id uuid report status read readUntil bytes message keptUntil from to format asked startedBy { key }";

fn attempt(api: &Api, report: Value, more: Value) -> Value {
    let mut input = json!({"report": report});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    api.attempt("startReport", "StartReportInput", input, &format!("run {{ {RUN} }}"))
}

fn start(api: &Api, report: Value, more: Value) -> Value {
    let payload = attempt(api, report.clone(), more);
    assert_eq!(payload["errors"], json!([]), "{report}");
    payload["run"].clone()
}

fn look(api: &Api, run: &Value) -> Value {
    api.query(&format!("query($id: ID!) {{ report(id: $id) {{ {RUN} }} }}"), json!({"id": run["id"]}))["report"]
        .clone()
}

/// The run once it is over.
fn over(api: &Api, run: &Value) -> Value {
    eventually(60, "the report is made", || {
        let run = look(api, run);
        (run["status"] != "QUEUED" && run["status"] != "RUNNING").then_some(run)
    })
}

/// The table as it is downloaded.
fn table(api: &Api, report: Value, more: Value) -> String {
    let run = over(api, &start(api, report.clone(), more));
    assert_eq!(run["status"], "FINISHED", "{report}: {run}");
    let (status, table) = api.get(&format!("/reports/{}", text(&run, "uuid")));
    assert_eq!((status, table.len().to_string()), (200, text(&run, "bytes").to_owned()), "{report}: {table}");
    table
}

fn year() -> Value {
    json!({"from": "2024-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"})
}

/// Sixty leads of 2024: some won, some lost, some open, with a trait and a number.
fn company() -> Server {
    let server = server_in("EUR", "UTC");
    let rows: Vec<Value> = (0..60)
        .map(|number: i64| {
            let at = format!("2024-{:02}-{:02}T12:00:00Z", number % 6 + 1, number % 20 + 1);
            let ended = format!("2024-{:02}-{:02}T12:00:00Z", number % 6 + 3, number % 20 + 5);
            let end = ["WON", "LOST", ""][usize::try_from(number % 3).unwrap_or(0)];
            let end = (!end.is_empty()).then_some((end, ended.as_str()));
            let mut row = lead(&format!("l{number}"), &at, if number % 2 == 0 { "ads" } else { "mail" }, end);
            row["tone"] = json!(if number % 5 == 0 {
                ""
            } else {
                ["warm", "cold"][usize::try_from(number % 2).unwrap_or(0)]
            });
            row["size"] = json!(number);
            row["amount"] = json!(if end.is_some_and(|(end, _)| end == "WON") { "100" } else { "" });
            row
        })
        .collect();
    let ended = import(&server.admin(), file(&rows), &past());
    assert!(ended.refused().is_empty(), "{:?}", ended.refused());
    server
}

#[test]
fn a_report_of_the_background_is_the_table_of_its_query() {
    let server = company();
    let api = server.admin();
    let exported = |field: &str| {
        let document = format!("query($window: WindowInput) {{ {field} {{ export(format: CSV) }} }}");
        let found = api.query(&document, json!({"window": year()}));
        let (_, found) = found.as_object().and_then(|found| found.iter().next()).expect("an answer");
        text(found, "export").to_owned()
    };
    let window = year();
    let cases = [
        (
            json!({"conversion": {"from": "MQL", "to": "CUSTOMER", "window": window, "by": "SOURCE"}}),
            "conversion(from: MQL, to: CUSTOMER, by: SOURCE, window: $window)",
        ),
        (json!({"velocity": {"window": window, "by": "SOURCE"}}), "velocity(by: SOURCE, window: $window)"),
        (json!({"funnelHealth": {"window": window}}), "funnelHealth(window: $window)"),
        (json!({"journeys": {"window": window}}), "journeys(window: $window)"),
        (
            json!({"winLoss": {"window": window, "by": ["SOURCE", "INDUSTRY"]}}),
            "winLoss(by: [SOURCE, INDUSTRY], window: $window)",
        ),
        (json!({"dispositions": {"window": window}}), "dispositions(window: $window)"),
        (json!({"kpis": {"window": window}}), "kpis(window: $window)"),
        (json!({"handoffLeakage": {"window": window}}), "handoffLeakage(window: $window)"),
        (json!({"traitLift": {"window": window}}), "traitLift(window: $window)"),
        (json!({"definitionDrift": {"window": window}}), "definitionDrift(window: $window)"),
        (
            json!({"restatedFunnel": {"window": window, "underCharter": 0}}),
            "restatedFunnel(underCharter: 0, window: $window)",
        ),
        (json!({"retention": {"window": window}}), "retention(cohort: MONTH, window: $window)"),
        (
            json!({"followUp": {"window": window, "by": "SOURCE"}}),
            "followUp(groupBy: SOURCE, window: $window)",
        ),
        (
            json!({"effortBy": {"window": window, "by": ["OUTCOME"]}}),
            "effortBy(by: [OUTCOME], window: $window)",
        ),
        (json!({"audienceResults": {"window": window}}), "audienceResults(window: $window)"),
    ];
    for (report, query) in cases {
        let expected = exported(query);
        assert!(expected.lines().count() > 0, "{query}");
        assert_eq!(table(&api, report, json!({})), expected, "{query}");
    }
    let query = "{ attribution(from: \"2024-01-01T00:00:00Z\", to: \"2025-01-01T00:00:00Z\") { export(format: NDJSON) } }";
    let expected = api.query(query, json!({}))["attribution"]["export"].clone();
    let report = json!({"attribution": {"window": window}});
    assert_eq!(json!(table(&api, report, json!({"format": "NDJSON"}))), expected);
}

#[test]
fn a_span_that_is_too_long_for_a_query_is_one_for_the_background() {
    let server = company();
    let api = server.admin();
    let decades = json!({"from": "1990-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"});
    let query = "query($window: WindowInput) { winLoss(window: $window) { export(format: CSV) } }";
    let refused = api.error(query, json!({"window": decades}));
    assert!(refused["message"].as_str().unwrap_or_default().contains("startReport"), "{refused}");
    let long = table(&api, json!({"winLoss": {"window": decades}}), json!({}));
    assert_eq!(long, table(&api, json!({"winLoss": {"window": year()}}), json!({})));

    let empty = json!({"from": "2024-01-01T00:00:00Z", "to": "2023-01-01T00:00:00Z"});
    for (report, code) in [
        (json!({"winLoss": {"window": empty}}), "VALIDATION"),
        (json!({"winLoss": {"by": ["SOURCE", "SOURCE"]}}), "VALIDATION"),
        (json!({"velocity": {"by": "TRAIT"}}), "VALIDATION"),
        (json!({"conversion": {"from": "SQL", "to": "MQL"}}), "VALIDATION"),
        (json!({"traitLift": {"outcome": "OPEN"}}), "VALIDATION"),
        (json!({"attribution": {"models": []}}), "VALIDATION"),
        (json!({"restatedFunnel": {"underCharter": 99}}), "NOT_FOUND"),
        (json!({"restatedFunnel": {"underCharter": -1}}), "NOT_FOUND"),
        (json!({"drill": {"lift": {"trait": "no-such-trait"}}}), "VALIDATION"),
        (json!({"drill": {"customer": {"cohort": "MONTH"}}}), "VALIDATION"),
    ] {
        let payload = attempt(&api, report.clone(), json!({}));
        let error = &payload["errors"][0];
        assert_eq!((&payload["run"], &error["code"]), (&Value::Null, &json!(code)), "{report}");
        let path: Vec<&str> =
            error["path"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(path.starts_with(&["input", "report"]), "{report}: {error}");
    }
    let window = json!({"from": "1990-01-01T00:00:00Z", "to": "1991-01-01T00:00:00Z"});
    let nobody = table(&api, json!({"drill": {"ending": {"window": window}}}), json!({}));
    assert_eq!(nobody, "lead,cycle,at,reachedAt,days,outcome,reason,amountMinor,currency,minutes\r\n");
}

/// Lead ids of the rows behind a figure, by the query and by the background; both must tell the same.
fn behind(api: &Api, figure: Value) -> Vec<String> {
    const DRILL: &str = "query($figure: FigureInput!, $after: String) { drill(figure: $figure, first: 7, after: $after) { \
        pageInfo { hasNextPage endCursor } edges { node { lead { uuid } at days } } } }";
    let (mut found, mut after) = (vec![], Value::Null);
    loop {
        let page = api.query(DRILL, json!({"figure": figure, "after": after}))["drill"].clone();
        for edge in page["edges"].as_array().expect("edges") {
            found.push(text(&edge["node"]["lead"], "uuid").to_owned());
        }
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
    }
    let lines = table(api, json!({"drill": figure}), json!({"format": "NDJSON"}));
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    assert_eq!(lines.map(|line| text(&line, "lead").to_owned()).collect::<Vec<_>>(), found, "{figure}");
    found
}

#[test]
fn as_many_rows_lie_behind_each_figure_as_it_counts() {
    let server = company();
    let api = server.admin();
    let window = year();
    let asked = |document: &str| api.query(document, json!({"window": window}));
    let number = |row: &Value, key: &str| text(row, key).parse::<usize>().expect("a number");

    let found = asked(
        "query($window: WindowInput) { velocity(window: $window, by: SOURCE) { stages { stage key stays advanced } } }",
    );
    for row in found["velocity"]["stages"].as_array().expect("stages") {
        for (advanced, count) in
            [(true, number(row, "advanced")), (false, number(row, "stays") - number(row, "advanced"))]
        {
            let figure = json!({"stay": {"stage": row["stage"], "advanced": advanced, "window": window, "by": "SOURCE", "values": [row["key"]]}});
            assert_eq!(behind(&api, figure).len(), count, "{row} {advanced}");
        }
    }
    let found =
        asked("query($window: WindowInput) { journeys(window: $window) { journeys { path leads } } }");
    let ways = found["journeys"]["journeys"].as_array().expect("ways").clone();
    assert!(ways.len() > 2, "{ways:?}");
    for way in &ways {
        let figure = json!({"journey": {"path": way["path"], "window": window}});
        assert_eq!(behind(&api, figure).len(), number(way, "leads"), "{way}");
    }
    let found = asked(
        "query($window: WindowInput) { traitLift(window: $window) { rows(first: 500) { trait value least most support ended others } } }",
    );
    let rows = found["traitLift"]["rows"].as_array().expect("rows").clone();
    assert!(
        rows.iter().any(|row| !row["least"].is_null()) && rows.iter().any(|row| row["value"].is_null()),
        "{rows:?}"
    );
    for row in rows.iter().filter(|row| row["others"] == false) {
        let mut figure = json!({"trait": row["trait"], "window": window});
        if row["least"].is_null() {
            figure["value"] = row["value"].clone();
        } else {
            (figure["least"], figure["most"]) = (row["least"].clone(), row["most"].clone());
        }
        assert_eq!(behind(&api, json!({"lift": figure})).len(), number(row, "support"), "{row}");
        figure["ended"] = json!(true);
        assert_eq!(behind(&api, json!({"lift": figure})).len(), number(row, "ended"), "{row}");
    }
    let found = asked(
        "query($window: WindowInput) { retention(cohort: MONTH, window: $window) { cohorts { begins customers returned churned } } }",
    );
    for row in found["retention"]["cohorts"].as_array().expect("cohorts") {
        let cohort = json!({"window": window, "cohort": "MONTH", "begins": row["begins"]});
        assert_eq!(behind(&api, json!({"customer": cohort})).len(), number(row, "customers"), "{row}");
        let mut returned = cohort.clone();
        returned["returned"] = json!(true);
        assert_eq!(behind(&api, json!({"customer": returned})).len(), number(row, "returned"), "{row}");
    }
    let ended = json!({"ending": {"outcome": "WON", "window": window}});
    assert_eq!(behind(&api, ended).len(), 20);
}

#[test]
fn hand_offs_and_customers_that_left_are_told_one_by_one() {
    let world = World::start();
    story(&world);
    let api = &world.admin;
    let found = api.query("{ handoffLeakage { rows { status reason handoffs } } }", json!({}));
    for row in found["handoffLeakage"]["rows"].as_array().expect("rows") {
        let figure = json!({"handoff": {"status": row["status"], "reason": row["reason"]}});
        assert_eq!(behind(api, figure).len().to_string(), text(row, "handoffs"), "{row}");
    }
    assert_eq!(behind(api, json!({"handoff": {}})).len(), 8);
    let customer = behind(api, json!({"customer": {}}));
    assert_eq!((customer.len(), behind(api, json!({"customer": {"churned": true}})).len()), (1, 0));
    let won = json!({"id": customer[0]});
    done(&world.rob, "recordChurn", &won, json!({"reason": "SERVICE"}));
    assert_eq!(behind(api, json!({"customer": {"churned": true}})), customer);
    assert_eq!(behind(api, json!({"customer": {"churned": false}})), Vec::<String>::new());
    for wrong in [
        json!({"lift": {"trait": "tone", "least": "1"}}),
        json!({"lift": {"trait": "tone", "least": "2", "most": "1"}}),
        json!({"lift": {"trait": "tone", "value": "warm", "least": "2", "most": "1"}}),
        json!({"lift": {"trait": "tone", "outcome": "MERGED"}}),
        json!({"stay": {"stage": "MQL", "advanced": true, "values": ["ads"]}}),
        json!({"customer": {"cohort": "MONTH"}}),
    ] {
        let document = "query($figure: FigureInput!) { drill(figure: $figure) { edges { node { at } } } }";
        let refused = api.error(document, json!({"figure": wrong}));
        assert_eq!(refused["extensions"]["code"], "VALIDATION", "{wrong}");
    }
}

#[test]
fn a_report_is_made_once_told_of_and_gone_with_whom_it_might_quote() {
    let world = World::start();
    let lead = world.mql("quoted@example.test", json!({"title": "Keeper of the Seal"}));
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    done(&world.rob, "dispositionLead", &lead, json!({"outcome": "DISQUALIFY", "reason": "NOT_ICP"}));
    let api = &world.mia;
    let report = || json!({"winLoss": {"by": ["TITLE"]}});
    let once = json!({"idempotencyKey": "report-1"});
    let first = start(api, report(), once.clone());
    assert_eq!(start(api, report(), once)["id"], first["id"]);
    assert_eq!((&first["report"], &first["startedBy"]["key"]), (&json!("WIN_LOSS"), &json!("mia")));
    let told = subscribe(
        &world.server,
        "subscription($id: ID!) { reportProgress(id: $id) { status } }",
        json!({"id": first["id"]}),
    );
    assert_eq!(
        told.last().map(|data| &data["reportProgress"]["status"]),
        Some(&json!("FINISHED")),
        "{told:?}"
    );
    let run = over(api, &first);
    assert!(run["keptUntil"].is_string() && text(&run, "asked").contains("winLoss"), "{run}");
    let path = format!("/reports/{}", text(&run, "uuid"));
    let (status, downloaded) = api.get(&path);
    assert!(status == 200 && downloaded.contains("Keeper of the Seal"), "{status} {downloaded}");
    let part = |part: i64| {
        let document = "query($id: ID!, $part: Int) { report(id: $id) { table(part: $part) } }";
        api.query(document, json!({"id": run["id"], "part": part}))["report"]["table"].clone()
    };
    assert_eq!((part(0), part(1)), (json!(downloaded), Value::Null));
    let listed =
        api.query("{ reports(first: 5) { edges { node { id } } } }", json!({}))["reports"]["edges"].clone();
    assert_eq!(listed, json!([{"node": {"id": run["id"]}}]));
    let node = api.query("query($id: ID!) { node(id: $id) { __typename } }", json!({"id": run["id"]}));
    assert_eq!(node["node"]["__typename"], "ReportRun");

    let blind = world.server.token("mia", &["leads:write"]);
    let nobody = world.server.api("hf_none");
    for (who, path, expected) in [
        (&blind, path.as_str(), 403),
        (&nobody, path.as_str(), 401),
        (api, "/reports/nothing", 404),
        (api, "/reports/00000000-0000-7000-8000-000000000000", 404),
    ] {
        assert_eq!(who.get(path).0, expected, "{path}");
    }
    let eraser = world.server.token("mia", &["leads:read", "leads:write", "leads:erase"]);
    eraser.mutate("eraseLead", "EraseLeadInput", json!({"lead": {"id": lead["id"]}}), "lead { id }");
    assert_eq!(look(api, &run), Value::Null, "it quotes a title of somebody whom nobody may name any more");
    assert_eq!(api.get(&path).0, 404);
    let again = table(api, report(), json!({}));
    assert!(!again.contains("Keeper of the Seal"), "{again}");
}

#[test]
fn a_cancelled_report_stays_so_and_one_that_was_cut_off_is_made() {
    let server = company();
    let api = server.admin();
    let report = || json!({"journeys": {"window": year()}});
    let runs: Vec<Value> = (0..3).map(|_| start(&api, report(), json!({}))).collect();
    let cancel = "mutation($id: ID!) { cancelReport(id: $id) { run { status message } errors { code } } }";
    let cancelled = api.query(cancel, json!({"id": runs[2]["id"]}))["cancelReport"]["run"].clone();
    let (dir, token) = server.kill();
    let server = Server::start_in(dir, Some(token));
    let api = server.admin();
    for run in &runs[..2] {
        assert_eq!(over(&api, run)["status"], "FINISHED");
    }
    over(&api, &start(&api, report(), json!({})));
    assert_eq!(over(&api, &runs[2])["status"], cancelled["status"], "{cancelled}");
    if cancelled["status"] == "CANCELLED" {
        assert_eq!(api.get(&format!("/reports/{}", text(&runs[2], "uuid"))).0, 404);
    }
    let absent = json!({"id": "00000000-0000-7000-8000-000000000000"});
    assert_eq!(api.query(cancel, absent)["cancelReport"]["errors"][0]["code"], "NOT_FOUND");
    let (mia, rob) = (server.user("mia", "marketing"), server.user("rob", "sales"));
    let theirs = start(&mia, report(), json!({}));
    let refused = rob.query(cancel, json!({"id": theirs["id"]}))["cancelReport"]["errors"].clone();
    assert_eq!(refused[0]["code"], "FORBIDDEN", "it is not theirs to stop");
    assert_eq!(api.query(cancel, json!({"id": theirs["id"]}))["cancelReport"]["errors"], json!([]));
}
