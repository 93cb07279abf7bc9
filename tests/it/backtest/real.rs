//! Real leads with known leaks, drift, and nothing to learn: what a report must say of each.

use std::fmt::Write as _;

use handfast_tests::on_postgres;

use super::*;

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// The rows of a file without quotes in it.
fn rows(text: &str, separator: char) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(separator).collect();
    lines.map(|line| header.iter().copied().zip(line.split(separator)).collect()).collect()
}

/// A minute for each row, so that their order is an order of time.
fn minute(number: usize) -> String {
    let (day, rest) = (number / 1_440, number % 1_440);
    format!("2025-{:02}-{:02}T{:02}:{:02}:00Z", 1 + day / 28, 1 + day % 28, rest / 60, rest % 60)
}

fn ending(outcome: &str, good: &str, other: &str, at: Value) -> Value {
    json!({
        "outcome": {"column": outcome, "values": {good: "WON", other: "LOST"}},
        "at": at, "reason": {"otherwise": "HOLDING_OFF"},
    })
}

fn hundredths(share: &Value) -> String {
    format!("{:.2}", share["basisPoints"].as_f64().unwrap_or(0.0) / 1e4)
}

#[test]
fn x_educations_honest_card_has_lift_and_one_that_reads_tags_leaks() {
    let Some(file) = data("xeducation/xeducation_leads.csv") else { return };
    let server = Server::start();
    let api = server.admin();
    let from = |key: &str, kind: &str, column: &str| json!({"key": key, "kind": kind, "from": column});
    let at = json!({"otherwise": "2024-01-15T09:00:00Z"});
    import(
        &api,
        read(&file),
        &json!({
            "system": "x-education", "id": "Prospect ID", "occurredAt": at,
            "lead": {"source": "Lead Source"},
            "traits": [
                from("time-on-site", "integer", "Total Time Spent on Website"),
                from("lead-origin", "text", "Lead Origin"),
                from("occupation", "text", "What is your current occupation"),
                from("do-not-email", "boolean", "Do Not Email"),
                from("tags", "text", "Tags"),
            ],
            "ending": ending("Converted", "1", "0", json!({"otherwise": "2024-03-01T09:00:00Z"})),
        }),
    );
    let scorecard = server.push("scorecard");
    let settings = read(root().join("plugins/scorecard/settings/x-education.json"));
    let honest = serde_json::from_str(&settings).expect("JSON");
    let report = backtest(&api, "mql", &scorecard, &honest, json!({}));
    assert_eq!(report["population"]["judged"], "6448", "{}", report["population"]);
    let candidate = &report["candidate"];
    let figures = ["advanced", "precision", "recall"].map(|key| hundredths(&candidate[key]));
    assert_eq!(figures, ["0.38", "0.72", "0.71"], "{candidate}");
    assert!(candidate["lift"]["low"].as_u64() > Some(17_000), "{candidate}");
    assert_eq!(found(&report, "WARNING"), Vec::<&str>::new(), "{}", report["findings"]);
    let moves = |path: &str| {
        let fields = report["fields"].as_array().into_iter().flatten();
        fields.filter(|field| field["path"] == path).all(|field| field["restsOn"]["part"] != "0")
    };
    assert!(moves("traits.time-on-site") && moves("traits.occupation"), "{}", report["fields"]);

    let hindsight = server.push("hindsight");
    let cheat =
        json!({"tags": ["Will revert after reading the email", "Closed by Horizzon", "Lost to EINS"]});
    let report = backtest(&api, "mql", &hindsight, &cheat, json!({}));
    assert_eq!(fields_of(&report, "LEAKING_FIELD"), ["traits.tags"], "{}", report["findings"]);
    let tags = &report["fields"][0];
    assert!(tags["alone"].as_u64() > Some(8_800) && tags["path"] == "traits.tags", "{tags}");
    // A rule that declares the field and does not rest on it cheats nobody.
    let idle = backtest(&api, "mql", &hindsight, &json!({"seconds": 300}), json!({}));
    assert_eq!(fields_of(&idle, "LEAKING_FIELD"), Vec::<&str>::new(), "{}", idle["findings"]);
}

/// The bank's calls as a table, line by line: every so manieth row keeps the order, and a test short.
fn calls(text: &str, every: usize) -> Vec<String> {
    let mut lines = vec!["id,at,source,duration,y\n".to_owned()];
    for (number, row) in rows(text, ';').iter().enumerate().step_by(every) {
        let (contact, duration, y) = (row["contact"], row["duration"], row["y"]);
        lines.push(format!("b{number},{},{contact},{duration},{y}\n", minute(number)));
    }
    lines
}

fn bank() -> Value {
    json!({
        "system": "bank", "id": "id", "occurredAt": {"column": "at"}, "lead": {"source": "source"},
        "traits": [{"key": "duration", "kind": "integer", "from": "duration"}],
        "ending": ending("y", "yes", "no", json!({"otherwise": "2025-12-31T00:00:00Z"})),
    })
}

fn by_phone(advance: i32) -> Value {
    json!({
        "fit": [{"field": "lead.source", "values": [{"is": ["cellular"], "points": 10}]}],
        "thresholds": {"advance": advance},
    })
}

#[test]
fn the_bank_file_in_its_order_drifts_and_the_length_of_a_call_leaks() {
    let Some(file) = data("bank/bank_additional.csv") else { return };
    let server = Server::start();
    let api = server.admin();
    // Of fewer rows chance hides the leak: it shows within a quarter of the time, where one half of the leads teaches what a
    // value is worth and the other half is told apart by it. PostgreSQL takes minutes for so many, and reads them as SQLite does.
    let every = if on_postgres() { 4 } else { 2 };
    import(&api, calls(&read(&file), every).concat(), &bank());
    let hindsight = server.push("hindsight");
    let report = backtest(&api, "mql", &hindsight, &json!({"seconds": 300}), json!({}));
    let warnings = found(&report, "WARNING");
    assert!(warnings.contains(&"BASE_RATE_DRIFT"), "{}", report["findings"]);
    if !on_postgres() {
        assert_eq!(fields_of(&report, "LEAKING_FIELD"), ["traits.duration"], "{}", report["findings"]);
    }
    let rates: Vec<u64> = report["quarters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|quarter| quarter["good"]["basisPoints"].as_u64().unwrap_or(0))
        .collect();
    assert!(rates.len() == 4 && rates[0] < 600 && rates[3] > 2_000, "{rates:?}");

    let scorecard = server.push("scorecard");
    let report = backtest(&api, "mql", &scorecard, &by_phone(10), json!({}));
    assert_eq!(fields_of(&report, "LEAKING_FIELD"), Vec::<&str>::new(), "{}", report["findings"]);
    assert_eq!(fields_of(&report, "FIELD_DRIFT"), ["lead.source"], "telephones gave way to mobiles");
    assert!(found(&report, "WARNING").contains(&"BASE_RATE_DRIFT"), "{}", report["findings"]);
}

/// Imports calls while a canary that says the same as the live version judges half of them: all of them, or those after the
/// first `before`. Answers how the canary stands.
fn canary(lines: &[String], before: usize) -> Value {
    let server = Server::start();
    let api = server.admin();
    let digest = server.deploy("scorecard", "mql", &by_phone(10));
    let (header, lines) = lines.split_first().expect("a header");
    let take = |lines: &[String]| import(&api, format!("{header}{}", lines.concat()), &bank());
    if before > 0 {
        take(&lines[..before]);
    }
    let input = json!({"slot": "mql", "digest": digest, "settings": by_phone(9).to_string(), "mode": "CANARY",
        "share": 5_000});
    let deployed = api.mutate("deployPlugin", "DeployPluginInput", input, "deployment { id state }");
    take(&lines[before..]);
    // Canaries are looked at every two seconds.
    std::thread::sleep(std::time::Duration::from_secs(5));
    let document = "query($id: ID!) { node(id: $id) { ... on Deployment { state endReason \
        evidence { metric canary baseline sample breached text } readings { metric canary baseline sample breached } } } }";
    api.query(document, json!({"id": deployed["deployment"]["id"]}))["node"].clone()
}

#[test]
fn the_bank_file_in_its_order_takes_a_canary_back_and_in_another_it_does_not() {
    let Some(file) = data("bank/bank_additional.csv") else { return };
    let lines = calls(&read(&file), 16);
    for before in [400, 0] {
        let found = canary(&lines, before);
        assert_eq!(found["state"], "ROLLED_BACK", "{before}: {found}");
        let breached: Vec<&Value> = found["evidence"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|reading| reading["breached"] == json!(true))
            .collect();
        assert!(breached.len() == 1 && breached[0]["metric"] == "DRIFT", "{before}: {found}");
        let (usual, now) = (breached[0]["baseline"].as_i64(), breached[0]["canary"].as_i64());
        assert!(usual < now, "{before}: telephones gave way to mobiles: {found}");
        assert!(before == 0 || usual == Some(0), "{before}: nobody was called on a mobile before: {found}");
        let words = breached[0]["text"].as_str().unwrap_or_default();
        assert!(found["endReason"].as_str().unwrap_or_default().contains(words), "{before}: {found}");
    }
    // The same calls, each in the place of another.
    let (header, calls) = lines.split_first().expect("a header");
    let steps = (0..calls.len()).map(|place| &calls[place * 7_919 % calls.len()]);
    let at = |line: &str| line.split(',').nth(1).unwrap_or_default().to_owned();
    let shuffled = steps.zip(calls).map(|(call, place)| call.replacen(&at(call), &at(place), 1));
    let shuffled: Vec<String> = std::iter::once(header.clone()).chain(shuffled).collect();
    let found = canary(&shuffled, 400);
    assert_eq!(found["state"], "RUNNING", "{found}");
    let readings = found["readings"].as_array().expect("readings");
    let drift = readings.iter().find(|one| one["metric"] == "DRIFT").expect("it is watched");
    assert!(drift["sample"].as_str().and_then(|text| text.parse::<u64>().ok()) >= Some(1_000), "{drift}");
}

#[test]
fn mavens_deals_show_no_lift_and_the_report_says_so() {
    let (Some(deals), Some(accounts)) =
        (data("maven_crm/sales_pipeline.csv"), data("maven_crm/accounts.csv"))
    else {
        return;
    };
    let server = Server::start();
    let api = server.admin();
    let (deals, accounts) = (read(&deals), read(&accounts));
    let accounts: BTreeMap<&str, BTreeMap<&str, &str>> =
        rows(&accounts, ',').into_iter().map(|row| (row["account"], row)).collect();
    let mut table = String::from("id,at,product,account,sector,employees,end,ended\n");
    for deal in rows(&deals, ',').iter().filter(|deal| ["Won", "Lost"].contains(&deal["deal_stage"])) {
        let account = &accounts[deal["account"]];
        let cells = ["opportunity_id", "engage_date", "product", "account"].map(|key| deal[key]);
        let more = [account["sector"], account["employees"], deal["deal_stage"], deal["close_date"]];
        writeln!(table, "{},{}", cells.join(","), more.join(",")).expect("a text grows");
    }
    import(
        &api,
        table,
        &json!({
            "system": "maven", "id": "id", "occurredAt": {"column": "at", "pattern": "%Y-%m-%d"},
            "lead": {"source": "product", "company": {"name": "account"}},
            "traits": [
                {"key": "lead-origin", "kind": "text", "from": "sector"},
                {"key": "time-on-site", "kind": "integer", "from": "employees"},
            ],
            "ending": ending("end", "Won", "Lost", json!({"column": "ended", "pattern": "%Y-%m-%d"})),
        }),
    );
    let scorecard = server.push("scorecard");
    let plausible = json!({
        "fit": [
            {"field": "traits.time-on-site", "label": "Employees", "bands": [{"from": 2000, "points": 10}]},
            {"field": "traits.lead-origin", "label": "Sector",
             "values": [{"is": ["technolgy", "medical", "finance"], "points": 10}]},
            {"field": "lead.source", "label": "Product", "values": [{"contains": ["GTX"], "points": 5}]},
        ],
        "thresholds": {"advance": 10},
    });
    let report = backtest(&api, "mql", &scorecard, &plausible, json!({}));
    assert_eq!(count(&report["base"]), (4_238, 6_711));
    let lift = &report["candidate"]["lift"];
    assert!(lift["low"].as_u64() < Some(10_000) && lift["high"].as_u64() > Some(10_000), "{lift}");
    assert_eq!(found(&report, "WARNING"), ["NO_LIFT"], "{}", report["findings"]);
    let words = report["findings"][0]["text"].as_str().unwrap_or_default();
    assert!(words.starts_with("No lift:"), "{words}");
}
