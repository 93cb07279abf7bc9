//! Imports of the past: real data with known figures, hand-made files with every quirk, power cuts, dry runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use handfast_domain::time::{DAY, Instant};
use handfast_tests::{Api, Server, binary, card, data, eventually, fair_share, root};
use serde_json::{Value, json};

const RUN: &str =
    "id name status dryRun rows done total created updated unchanged refused warnings won message";

/// An import that has ended, with what became of its rows.
struct Ended {
    run: Value,
    rows: Vec<Value>,
}

impl Ended {
    /// The counts that are not 0.
    fn counts(&self) -> Value {
        let keys = ["rows", "created", "updated", "unchanged", "refused", "warnings", "won"];
        let counts = keys.into_iter().map(|key| (key.to_owned(), json!(long(&self.run[key]))));
        Value::Object(counts.filter(|(_, count)| *count != json!(0)).collect())
    }

    /// Each row's number with what became of it.
    fn told(&self) -> Vec<(i64, &str)> {
        self.rows.iter().map(|row| (long(&row["row"]), row["outcome"].as_str().unwrap_or_default())).collect()
    }

    fn refused(&self) -> Vec<&Value> {
        self.rows.iter().filter(|row| row["outcome"] == "REFUSED").collect()
    }
}

fn long(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no Long"))
}

/// `base` with other keys in it, at any depth.
fn with(base: &Value, more: Value) -> Value {
    let mut merged = base.clone();
    for (key, value) in more.as_object().into_iter().flatten() {
        let old = &merged[key];
        let both = old.is_object() && value.is_object();
        merged[key] = if both { with(old, value.clone()) } else { value.clone() };
    }
    merged
}

/// A mapping of a file with the columns `id`, `at` and `mail`.
fn mapping() -> Value {
    json!({"system": "crm", "id": "id", "occurredAt": {"column": "at"}, "lead": {"email": "mail"}})
}

/// Sends a file and begins to import it; the payload may have errors.
fn attempt(api: &Api, file: impl AsRef<[u8]>, mapping: &Value, more: Value) -> Value {
    let digest = api.put_blob("import", file.as_ref());
    let input = json!({"digest": digest, "name": "test.csv", "mapping": mapping.to_string()});
    api.attempt("startImport", "StartImportInput", with(&input, more), &format!("run {{ {RUN} }}"))
}

fn start(api: &Api, file: impl AsRef<[u8]>, mapping: &Value, more: Value) -> Value {
    let payload = attempt(api, file, mapping, more);
    assert_eq!(payload["errors"], json!([]), "{mapping}");
    payload["run"]["id"].clone()
}

fn run(api: &Api, id: &Value) -> Value {
    let document = format!("query($id: ID!) {{ importRun(id: $id) {{ {RUN} }} }}");
    api.query(&document, json!({"id": id}))["importRun"].clone()
}

fn wait(api: &Api, id: &Value) -> Ended {
    let run =
        eventually(120, "the import ends", || Some(run(api, id)).filter(|run| run["status"] != "RUNNING"));
    let document = "query($id: ID!, $after: String) { importRun(id: $id) { \
                    page: results(first: 200, after: $after) { \
                    edges { node { row outcome leadId column value message } } \
                    pageInfo { hasNextPage endCursor } } } }";
    let rows =
        pages(|after| api.query(document, json!({"id": id, "after": after}))["importRun"]["page"].clone());
    Ended { run, rows }
}

fn import(api: &Api, file: impl AsRef<[u8]>, mapping: &Value) -> Ended {
    import_with(api, file, mapping, json!({}))
}

fn import_with(api: &Api, file: impl AsRef<[u8]>, mapping: &Value, more: Value) -> Ended {
    let ended = wait(api, &start(api, file, mapping, more));
    assert_eq!(ended.run["status"], "DONE", "{}", ended.run);
    ended
}

/// Every node of a connection.
fn pages(mut page: impl FnMut(&Value) -> Value) -> Vec<Value> {
    let (mut nodes, mut after) = (vec![], Value::Null);
    loop {
        let found = page(&after);
        nodes.extend(found["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()));
        if found["pageInfo"]["hasNextPage"] != json!(true) {
            return nodes;
        }
        after = found["pageInfo"]["endCursor"].clone();
    }
}

/// Every object of a connection of the root; `more` are further arguments.
fn all(api: &Api, field: &str, more: &str, selection: &str) -> Vec<Value> {
    let document = format!(
        "query($after: String) {{ page: {field}(first: 200, after: $after{more}) {{ \
         edges {{ node {{ {selection} }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    pages(|after| api.query(&document, json!({"after": after}))["page"].clone())
}

const LEAD: &str = "id stage outcome workState source channel capturedAt \
    owner { key } queue { key } campaign { key } contact { email name title phone } \
    account { name employees annualRevenue } traits { key value observedAt } \
    cycles { number openedAt closedAt outcome reason competitor } clocks { kind state } handoff { status } \
    evaluations(first: 20) { asOf cause decisions { slot outcome } } \
    touchpoints(first: 50) { occurredAt source }";

fn lead(api: &Api, system: &str, id: &str) -> Value {
    let by = json!({"external": {"system": system, "id": id}});
    api.query(&format!("query($by: LeadRef!) {{ lead(by: $by) {{ {LEAD} }} }}"), json!({"by": by}))["lead"]
        .clone()
}

fn leads(api: &Api) -> Vec<Value> {
    all(api, "leads", "", "id contact { email }")
}

/// Where the books stand; they must balance at any time.
fn balanced(api: &Api) -> i64 {
    let now =
        api.query("{ ledgerNow { balanced captured total places { place outcome leads } } }", json!({}));
    assert_eq!(now["ledgerNow"]["balanced"], json!(true), "{now}");
    long(&now["ledgerNow"]["total"])
}

/// A server whose charter 0 is of this currency and zone.
fn server_in(currency: &str, zone: &str) -> Server {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = format!("[workspace]\ncurrency = \"{currency}\"\ntime_zone = \"{zone}\"\n");
    std::fs::write(dir.path().join("handfast.toml"), text).expect("the configuration is written");
    Server::start_in(dir, None)
}

/// A command on the data of a stopped server.
fn offline(dir: &Path, command: &str) -> Output {
    let run =
        Command::new(binary()).current_dir(dir).args([command, "--json", "--data-dir"]).arg(dir).output();
    run.expect("the command line runs")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn settings(path: &str) -> Value {
    serde_json::from_str(&read(root().join(path))).expect("JSON")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rows of a CSV file with a header, and the line on which each begins. Written anew, since the
/// product's own reader is what is tested.
fn table(text: &str) -> Vec<(i64, BTreeMap<String, String>)> {
    let (mut records, mut record, mut cell, mut quoted) = (vec![], vec![], String::new(), false);
    let (mut line, mut begins) = (1, 1);
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        line += i64::from(c == '\n');
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut cell));
                records.push((begins, std::mem::take(&mut record)));
                begins = line;
            }
            c => cell.push(c),
        }
    }
    if !record.is_empty() {
        record.push(cell);
        records.push((begins, record));
    }
    let (_, header) = records.remove(0);
    let named = |cells: Vec<String>| header.iter().cloned().zip(cells).collect();
    records.into_iter().map(|(line, cells)| (line, named(cells))).collect()
}

/// How often each text stands in a column.
fn tally<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    texts.for_each(|text| *found.entry(text.to_owned()).or_insert(0) += 1);
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

// Real data.

/// Leads and wins of each origin, counted by others.
const ORIGINS: [(&str, i64, i64); 11] = [
    ("organic_search", 1_585, 175),
    ("paid_search", 1_120, 150),
    ("social", 930, 53),
    ("unknown", 739, 119),
    ("email", 345, 11),
    ("direct_traffic", 340, 41),
    ("referral", 199, 17),
    ("other", 108, 3),
    ("display", 88, 2),
    ("other_publicities", 48, 2),
    ("", 39, 10),
];

#[test]
fn olists_funnel_comes_out_as_it_was_while_the_card_changes_under_it() {
    let (Some(contacts), Some(deals)) = (data("olist/olist_mql.csv"), data("olist/olist_closed_deals.csv"))
    else {
        return;
    };
    let demo = root().join("crates/server/src/cli/demo");
    let server = server_in("BRL", "America/Sao_Paulo");
    let api = server.admin();
    let won: BTreeMap<String, BTreeMap<String, String>> =
        table(&read(&deals)).into_iter().map(|(_, deal)| (deal["mql_id"].clone(), deal)).collect();
    for rep in won.values().map(|deal| &deal["sr_id"]).collect::<BTreeSet<_>>() {
        let user = json!({"key": format!("sr-{rep}"), "name": "A sales rep", "team": "sales"});
        api.mutate("upsertUser", "UpsertUserInput", user, "user { id }");
    }
    let first = settings("crates/server/src/cli/demo/olist-scorecard.json");
    // Nobody can reach 20 points more than the first card asks for.
    let second = with(&first, json!({"thresholds": {"advance": 32}}));
    let scorecard = server.deploy("scorecard", "mql", &first);
    server.deploy("fair-share", "routing", &fair_share());
    let bring = |file: &Path, mapping: &str| {
        let mapping = demo.join(mapping);
        server.cli(&["import", &file.to_string_lossy(), "--mapping", &mapping.to_string_lossy()])
    };

    let output = std::thread::scope(|scope| {
        let importing = scope.spawn(|| bring(&contacts, "olist-leads.json"));
        let begun = || api.query("{ importRuns { edges { node { id done total } } } }", json!({}));
        let run = |answer: &Value| answer["importRuns"]["edges"][0]["node"].clone();
        eventually(30, "the import has begun", || {
            Some(run(&begun())).filter(|run| run["id"].is_string() && long(&run["done"]) > 0)
        });
        for settings in [&second, &first, &second] {
            server.set("mql", &scorecard, settings);
            balanced(&api);
        }
        let now = run(&begun());
        assert!(long(&now["done"]) < 5_541, "the card changed while the import ran: {now}");
        while !importing.is_finished() {
            balanced(&api);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        importing.join().expect("the import ends")
    });
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    for line in ["5541 rows", "created          5541", "refused             0", "warnings            0"] {
        assert!(out(&output).lines().any(|found| found == line), "{line:?} in {}", out(&output));
    }
    let output = bring(&deals, "olist-deals.json");
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    for line in [
        "583 rows",
        "won               583",
        "created             0",
        "refused             0",
        "warnings            1",
    ] {
        assert!(out(&output).lines().any(|found| found == line), "{line:?} in {}", out(&output));
    }
    let rows = table(&read(&contacts));
    let came = |id: &str| {
        rows.iter().find(|(_, row)| row["mql_id"] == id).map(|(_, row)| row["first_contact_date"].clone())
    };
    let all_deals = table(&read(&deals));
    let before: Vec<_> = all_deals
        .iter()
        .filter(|(_, deal)| came(&deal["mql_id"]).is_some_and(|date| deal["won_date"] < date))
        .collect();
    let [(line, odd)] = before.as_slice() else {
        panic!("one win before its first contact, found {before:?}")
    };
    let warned: Vec<String> =
        out(&output).lines().filter(|line| line.starts_with("WARNING")).map(str::to_owned).collect();
    let expected = format!("row {line}, column \"won_date\", {:?}", odd["won_date"]);
    assert!(warned.len() == 1 && warned[0].contains(&expected), "{expected} in {warned:?}");

    let known = all(
        &api,
        "leads",
        "",
        "source outcome campaign { key } owner { key } cycles { openedAt closedAt outcome }",
    );
    assert_eq!((known.len(), balanced(&api)), (5_541, 5_541));
    let sources = tally(known.iter().map(|lead| text(lead, "source")));
    let wins = tally(known.iter().filter(|lead| lead["outcome"] == "WON").map(|lead| text(lead, "source")));
    let figures = |pick: fn(&(&str, i64, i64)) -> i64| -> BTreeMap<String, i64> {
        ORIGINS.iter().map(|origin| (origin.0.to_owned(), pick(origin))).collect()
    };
    assert_eq!((sources, wins), (figures(|origin| origin.1), figures(|origin| origin.2)));
    let reps = |keys: Vec<String>| tally(keys.iter().map(String::as_str));
    let owners = known.iter().filter_map(|lead| lead["owner"]["key"].as_str()).map(str::to_owned).collect();
    assert_eq!(reps(owners), reps(won.values().map(|deal| format!("sr-{}", deal["sr_id"])).collect()));

    // The year begins at midnight in São Paulo, in summer time.
    let cycles = known
        .iter()
        .map(|lead| &lead["cycles"][0])
        .filter(|cycle| text(cycle, "openedAt") >= "2018-01-01T02:00");
    let at = |cycle: &Value, key: &str| Instant::parse(text(cycle, key)).expect("an instant").ms();
    let won_cycles = cycles.filter(|cycle| cycle["outcome"] == "WON");
    let mut days: Vec<i64> = won_cycles.map(|cycle| at(cycle, "closedAt") - at(cycle, "openedAt")).collect();
    days.sort_unstable();
    let quartiles = [136, 272, 408].map(|place| format!("{:.1}", days[place - 1] as f64 / DAY as f64));
    assert_eq!((days.len(), quartiles), (543, ["5.6", "12.9", "38.8"].map(str::to_owned)));

    let pages = tally(rows.iter().map(|(_, row)| row["landing_page_id"].as_str()));
    let page_wins = tally(
        rows.iter()
            .filter(|(_, row)| won.contains_key(&row["mql_id"]))
            .map(|(_, row)| row["landing_page_id"].as_str()),
    );
    let campaigns = all(&api, "campaigns", "", "key kind results { leads won }");
    assert_eq!((campaigns.len(), pages.len()), (418, 418));
    for campaign in &campaigns {
        let (key, results) = (text(campaign, "key"), &campaign["results"]);
        let found = (&campaign["kind"], long(&results["leads"]), long(&results["won"]));
        assert_eq!(
            found,
            (&json!("landing-page"), pages[key], page_wins.get(key).copied().unwrap_or(0)),
            "{key}"
        );
    }

    let deployed =
        &api.query("{ deployments(slot: \"mql\") { settings settingsDigest } }", json!({}))["deployments"];
    let digest = |settings: &Value| {
        let mut deployments = deployed.as_array().into_iter().flatten();
        let one = deployments
            .find(|one| serde_json::from_str::<Value>(text(one, "settings")).ok().as_ref() == Some(settings));
        one.unwrap_or_else(|| panic!("{settings} among {deployed}"))["settingsDigest"].clone()
    };
    let (first, second) = (digest(&first), digest(&second));
    let decisions = all(&api, "decisions", ", slot: \"mql\"", "settings status outcome asOf lead { source }");
    assert!(decisions.len() >= 5_541, "{} decisions", decisions.len());
    for decision in &decisions {
        // The points of its origin, and ten for a touch that was warm as of then.
        let points = match text(&decision["lead"], "source") {
            "unknown" => 8,
            "paid_search" | "organic_search" | "direct_traffic" => 5,
            "referral" => 3,
            // What is unknown counts neither way.
            "" => 0,
            _ => -4,
        };
        let warm = if text(decision, "asOf") < "2018-06-01T03:00" { 10 } else { 0 };
        let advances = decision["settings"] == first && points + warm >= 12;
        assert!(decision["settings"] == first || decision["settings"] == second, "{decision}");
        let expected = if advances { "ADVANCE" } else { "HOLD" };
        assert_eq!(
            (&decision["status"], &decision["outcome"]),
            (&json!("OK"), &json!(expected)),
            "{decision}"
        );
    }
    let by_second = decisions.iter().filter(|decision| decision["settings"] == second).count();
    assert!(0 < by_second && by_second < decisions.len(), "both cards judged, the second {by_second}");

    for (file, mapping, rows) in [(&contacts, "olist-leads.json", 5_541), (&deals, "olist-deals.json", 583)] {
        let again = out(&bring(file, mapping));
        let line = format!("unchanged   {rows:>9}");
        assert!(again.lines().any(|found| found == line), "{line:?} in {again}");
        for nothing in ["created", "updated", "won", "refused", "warnings"] {
            let line = format!("{nothing:<12}        0");
            assert!(again.lines().any(|found| found == line), "{line:?} in {again}");
        }
    }
    assert_eq!(balanced(&api), 5_541);
    assert_eq!(api.query("{ funnel { won } }", json!({}))["funnel"]["won"], "583");

    let (dir, _) = server.stop();
    for (command, key, well) in [("verify", "different", json!([])), ("doctor", "ok", json!(true))] {
        let output = offline(dir.path(), command);
        let answer: Value = serde_json::from_str(&out(&output))
            .unwrap_or_else(|_| panic!("{}{}", out(&output), err(&output)));
        assert!(output.status.success() && answer[key] == well, "{command}: {answer}");
    }
}

#[test]
fn x_educations_card_flags_whom_it_should() {
    let Some(file) = data("xeducation/xeducation_leads.csv") else { return };
    let server = Server::start();
    let api = server.admin();
    server.deploy("scorecard", "mql", &settings("plugins/scorecard/settings/x-education.json"));
    let from = |key: &str, kind: &str, column: &str| json!({"key": key, "kind": kind, "from": column});
    let mapping = json!({
        "system": "x-education",
        "id": "Prospect ID",
        "occurredAt": {"otherwise": "2024-01-15T09:00:00Z"},
        "lead": {"source": "Lead Source"},
        "traits": [
            from("time-on-site", "integer", "Total Time Spent on Website"),
            from("lead-origin", "text", "Lead Origin"),
            from("occupation", "text", "What is your current occupation"),
            from("do-not-email", "boolean", "Do Not Email"),
        ],
    });
    let ended = import(&api, read(&file), &mapping);
    assert_eq!(ended.counts(), json!({"rows": 6_448, "created": 6_448}), "{:?}", ended.refused().first());
    let rows: BTreeMap<i64, _> = table(&read(&file)).into_iter().collect();
    let judged = all(&api, "leads", "", "id stage outcome greySlots fit engagement");
    let judged: BTreeMap<&str, &Value> = judged.iter().map(|lead| (text(lead, "id"), lead)).collect();
    let (mut flagged, mut right, mut converted) = (0, 0, 0);
    for told in &ended.rows {
        let (row, lead) = (&rows[&long(&told["row"])], judged[text(told, "leadId")]);
        let seconds: i64 = row["Total Time Spent on Website"].parse().expect("seconds");
        let engagement = match seconds {
            ..141 => -4,
            141..367 => -12,
            367..1_082 => 4,
            _ => 13,
        };
        let origin = if row["Lead Origin"] == "Lead Add Form" { 28 } else { -2 };
        let occupation = match row["What is your current occupation"].as_str() {
            "Working Professional" => 28,
            "Unemployed" => 2,
            "Student" => -1,
            "" => -14,
            _ => 0,
        };
        let fit = origin + occupation + if row["Do Not Email"] == "Yes" { -11 } else { 1 };
        let score = fit + engagement;
        let (stage, grey) = match score {
            0.. => ("MQL", json!([])),
            -10..0 => ("INQUIRY", json!(["mql"])),
            _ => ("INQUIRY", json!([])),
        };
        let points = json!({"fit": fit, "engagement": engagement});
        let expected = with(&points, json!({"stage": stage, "outcome": "OPEN", "greySlots": grey}));
        assert_eq!(with(lead, expected.clone()), *lead, "{}: {expected}", row["Prospect ID"]);
        let mql = lead["stage"] == "MQL";
        flagged += i64::from(mql);
        converted += i64::from(row["Converted"] == "1");
        right += i64::from(mql && row["Converted"] == "1");
    }
    let share = |part: i64, whole: i64| format!("{:.2}", part as f64 / whole as f64);
    let figures = [share(flagged, 6_448), share(right, flagged), share(right, converted)];
    assert_eq!(figures, ["0.38", "0.72", "0.71"], "share flagged, precision, recall of {flagged} flagged");
}

// Tables, however they are written.

const AT: &str = "2024-01-01T10:00:00Z";

#[test]
fn every_common_way_to_write_a_table_brings_the_same_leads() {
    let server = Server::start();
    let api = server.admin();
    let names = ["Lovelace, Ada", "Ada \"the first\" King; | Byron", "=cmd|' /C calc'!A0"];
    let csv = |separator: &str, end: &str| {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let note = quoted(&format!("two{end}lines, \"and\" more;\t|"));
        let rows =
            names.iter().enumerate().map(|(n, name)| [n.to_string(), AT.into(), note.clone(), quoted(name)]);
        let header = ["id", "at", "note", "name"].map(str::to_owned);
        std::iter::once(header).chain(rows).map(|row| row.join(separator) + end).collect::<String>()
    };
    let ndjson = |end: &str| {
        let row =
            |(n, name)| json!({"id": n, "at": AT, "note": ["two", "\nlines"], "name": name}).to_string();
        names.iter().enumerate().map(row).collect::<Vec<_>>().join(end)
    };
    let cases = [
        ("comma", csv(",", "\n"), Value::Null),
        ("bom", format!("\u{feff}{}", csv(";", "\n")), Value::Null),
        ("semicolon", csv(";", "\r\n"), Value::Null),
        ("tab", csv("\t", "\n"), Value::Null),
        ("bar", csv("|", "\n"), Value::Null),
        ("given", csv("~", "\n"), json!("~")),
        ("cr", csv(",", "\r"), Value::Null),
        ("no-end", csv(",", "\n").trim_end().to_owned(), Value::Null),
        ("blanks", csv(",", "\n").replace("\"\n", "\"\n\n\n"), Value::Null),
        ("ndjson", ndjson("\n"), Value::Null),
        ("ndjson-bom", format!("\u{feff}\r\n{}\r\n", ndjson("\r\n\r\n")), Value::Null),
    ];
    for (system, file, delimiter) in cases {
        let mapping = json!({
            "system": system, "id": "id", "occurredAt": {"column": "at"}, "lead": {"name": "name"},
            "delimiter": delimiter,
        });
        let ended = import(&api, &file, &mapping);
        assert_eq!(ended.counts(), json!({"rows": 3, "created": 3}), "{system}: {:?}", ended.refused());
        for (id, name) in names.iter().enumerate() {
            assert_eq!(lead(&api, system, &id.to_string())["contact"]["name"], *name, "{system}");
        }
    }
}

#[test]
fn a_row_has_the_number_of_the_line_that_an_editor_shows() {
    let server = Server::start();
    let api = server.admin();
    let cases = [
        ("LF", "id,at,mail\n1,A,@1\n2,never,@2\n3,A,@3\n", [2, 3, 4]),
        ("break in quotes", "id,at,mail,note\n1,A,@1,\"a\nb\nc\"\n2,never,@2,\n3,A,@3,\n", [2, 5, 6]),
        (
            "NDJSON",
            "{\"id\":1,\"at\":\"A\",\"mail\":\"@1\"}\n\n{\"id\":2,\"at\":\"never\",\"mail\":\"@2\"}\r\n\
             {\"id\":3,\"at\":\"A\",\"mail\":\"@3\"}",
            [1, 3, 4],
        ),
        ("LF and blank lines", "id,at,mail\n\n\n1,A,@1\n\n2,never,@2\n3,A,@3\n", [4, 6, 7]),
        ("CRLF", "id,at,mail\r\n1,A,@1\r\n2,never,@2\r\n3,A,@3\r\n", [2, 3, 4]),
        ("CRLF and blank lines", "id,at,mail\r\n\r\n1,A,@1\r\n\r\n2,never,@2\r\n3,A,@3\r\n", [3, 5, 6]),
        ("CR", "id,at,mail\r1,A,@1\r2,never,@2\r3,A,@3\r", [2, 3, 4]),
    ];
    let mut wrong = vec![];
    for (place, (name, file, lines)) in cases.iter().enumerate() {
        let file = file.replace('A', AT).replace('@', &format!("row{place}@"));
        let file = ["1", "2", "3"]
            .iter()
            .fold(file, |file, n| file.replace(&format!("@{n}"), &format!("{n}@example.test")));
        let mapping = with(&mapping(), json!({"system": format!("s{place}")}));
        let told = import(&api, &file, &mapping);
        let expected = [(lines[0], "CREATED"), (lines[1], "REFUSED"), (lines[2], "CREATED")];
        if told.told() != expected {
            wrong.push(format!("{name}: {:?}, not {expected:?}", told.told()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rows_that_cannot_be_read_are_named_and_the_others_are_in() {
    let server = Server::start();
    let api = server.admin();
    let mut file = b"id,at,mail,name\n".to_vec();
    let good = |n: u32| format!("{n},{AT},good{n}@example.test,Good\n").into_bytes();
    let bad: [(&[u8], Value, &str); 5] = [
        (b"1,2024-01-01T10:00:00Z,short@example.test\n", Value::Null, "3 cells, the header 4"),
        (b"2,2024-01-01T10:00:00Z,long@example.test,a,b\n", Value::Null, "5 cells, the header 4"),
        (b"3,2024-01-01T10:00:00Z,latin@example.test,M\xfcller\n", json!("name"), "save the file as UTF-8"),
        (b"4,2024-01-01T10:00:00Z,nul@example.test,M\0ller\n", json!("name"), "NUL"),
        (b"5,2024-01-01T10:00:00Z,tab@example.test,M\tller\n", json!("name"), "control characters"),
    ];
    for (n, (row, ..)) in (100..).zip(&bad) {
        file.extend(good(n));
        file.extend_from_slice(row);
    }
    file.extend(good(200));
    let ended = import(&api, &file, &with(&mapping(), json!({"lead": {"name": "name"}})));
    assert_eq!(ended.counts(), json!({"rows": 11, "created": 6, "refused": 5}));
    for ((place, (_, column, message)), row) in bad.iter().enumerate().zip(ended.refused()) {
        assert_eq!((long(&row["row"]), &row["column"]), (3 + 2 * place as i64, column), "{row}");
        assert!(text(row, "message").contains(message), "{message:?} in {row}");
    }
    assert_eq!(leads(&api).len(), 6);
}

#[test]
fn rows_of_ndjson_that_cannot_be_read_are_named_and_the_others_are_in() {
    let server = Server::start();
    let api = server.admin();
    let row = |n: u32| {
        json!({"id": n, "at": AT, "mail": format!("n{n}@example.test"), "who": {"name": "N"}}).to_string()
    };
    let file = [row(1), "{\"id\": 2".into(), "[3]".into(), row(4), "null".into(), row(6)].join("\n");
    let ended = import(&api, file, &with(&mapping(), json!({"lead": {"name": "who.name"}})));
    let expected =
        [(1, "CREATED"), (2, "REFUSED"), (3, "REFUSED"), (4, "CREATED"), (5, "REFUSED"), (6, "CREATED")];
    assert_eq!(ended.told(), expected);
    let shown: Vec<&str> = ended.refused().into_iter().map(|row| text(row, "value")).collect();
    assert_eq!(shown, ["{\"id\": 2", "[3]", "null"]);
}

#[test]
fn ndjson_in_another_encoding_is_refused_rather_than_garbled() {
    let server = Server::start();
    let api = server.admin();
    let file =
        b"{\"id\":1,\"at\":\"2024-01-01T10:00:00Z\",\"mail\":\"a@example.test\",\"name\":\"M\xfcller\"}\n\
          {\"id\":2,\"at\":\"2024-01-01T10:00:00Z\",\"mail\":\"b@example.test\",\"name\":\"Muller\"}\n";
    let ended = import(&api, file, &with(&mapping(), json!({"lead": {"name": "name"}})));
    assert_eq!(ended.told(), [(1, "REFUSED"), (2, "CREATED")], "{:?}", lead(&api, "crm", "1")["contact"]);
    assert!(text(&ended.rows[0], "message").contains("UTF-8"), "{}", ended.rows[0]);
}

#[test]
fn a_key_that_only_later_rows_of_ndjson_have_is_no_missing_column() {
    let server = Server::start();
    let api = server.admin();
    let first = json!({"id": 1, "at": AT, "mail": "first@example.test"});
    let second = json!({"id": 2, "at": AT, "mail": "second@example.test", "name": "Second"});
    let payload = attempt(
        &api,
        format!("{first}\n{second}\n"),
        &with(&mapping(), json!({"lead": {"name": "name"}})),
        json!({}),
    );
    assert_eq!(payload["errors"], json!([]), "most exports leave out what is null");
    assert_eq!(wait(&api, &payload["run"]["id"]).told(), [(1, "CREATED"), (2, "CREATED")]);
}

/// A file whose third line opens a quote that nothing closes, followed by many rows.
fn unclosed(rows: usize, columns: &str, start: &str) -> String {
    let after = (0..rows).map(|n| format!("r{n},{AT},r{n}@example.test,\n"));
    format!("{columns}\n1,{AT},one@example.test,\n{start}\n{}", after.collect::<String>())
}

fn quote_is_named(rows: usize, start: &str) {
    let server = Server::start();
    let api = server.admin();
    let ended = wait(&api, &start_unclosed(&api, rows, start));
    assert_eq!(ended.run["status"], "DONE", "{}", ended.run);
    let told = ended.told();
    assert_eq!(told[..2], [(2, "CREATED"), (3, "REFUSED")], "{:?}", ended.refused());
    assert!(text(&ended.rows[1], "message").contains("quote"), "{}", ended.rows[1]);
    // The lines that the quote swallowed are rows again.
    let rest: Vec<(i64, &str)> = (4..).zip(std::iter::repeat_n("CREATED", told.len() - 2)).collect();
    assert_eq!(told[2..], rest, "{:?}", ended.refused());
    assert!(told.len() > rows, "{} of {rows} rows", told.len());
}

fn start_unclosed(api: &Api, rows: usize, row: &str) -> Value {
    start(api, unclosed(rows, "id,at,mail,note", row), &mapping(), json!({}))
}

const OPEN: &str = "2,2024-01-01T10:00:00Z,two@example.test,\"a note";

#[test]
fn a_quote_that_swallows_some_hundred_rows_is_named_at_its_row() {
    quote_is_named(2_000, OPEN);
}

#[test]
fn a_quote_that_swallows_the_last_few_rows_is_named_at_its_row() {
    quote_is_named(3, OPEN);
}

#[test]
fn a_quote_before_an_address_is_named_and_not_the_address() {
    quote_is_named(3, "2,2024-01-01T10:00:00Z,\"two@example.test,");
}

#[test]
fn a_quote_that_swallows_a_large_file_is_named_at_its_row() {
    quote_is_named(22_000, OPEN);
}

#[test]
fn what_is_no_table_is_refused_before_it_starts() {
    let server = Server::start();
    let api = server.admin();
    let wide: String = (0..1_001).map(|n| format!("c{n},")).collect();
    let utf16 = |order: fn(u16) -> [u8; 2]| {
        "\u{feff}id,at,mail\n".encode_utf16().flat_map(order).collect::<Vec<u8>>()
    };
    let digest = ["input", "digest"];
    let columns = ["input", "mapping"];
    let cases: [(Vec<u8>, [&str; 2], &str); 11] = [
        (b"".to_vec(), digest, "empty"),
        (b" \r\n\n".to_vec(), digest, "empty"),
        ("\u{feff}".into(), digest, "empty"),
        (utf16(u16::to_le_bytes), digest, "save it as UTF-8"),
        (utf16(u16::to_be_bytes), digest, "save it as UTF-8"),
        (b"id,at,mail,stra\xdfe\n".to_vec(), digest, "header: not UTF-8"),
        (b"id,at,mail\0\n".to_vec(), digest, "NUL"),
        (b"{\"id\": 1, \"at\"\n".to_vec(), digest, "row 1: not JSON"),
        (b"id,at,mail,mail\n".to_vec(), columns, "two columns named \"mail\""),
        (b"id,at,email,name\n".to_vec(), columns, "no column \"mail\"; it has email"),
        (format!("id,at,mail,{wide}\n").into(), columns, "at most 1000 columns, found 1005"),
    ];
    for (file, path, message) in cases {
        let payload = attempt(&api, &file, &mapping(), json!({}));
        let error = &payload["errors"][0];
        assert_eq!(
            (&payload["run"], &error["path"], &error["code"]),
            (&Value::Null, &json!(path), &json!("VALIDATION")),
            "{payload}"
        );
        assert!(text(error, "message").contains(message), "{message:?} in {error}");
    }
    assert_eq!(all(&api, "importRuns", "", "id"), Vec::<Value>::new());
}

#[test]
fn a_table_without_rows_or_with_bad_rows_only_brings_nobody() {
    let server = Server::start();
    let api = server.admin();
    let ended = import(&api, "id,at,mail\n", &mapping());
    assert_eq!((ended.counts(), ended.rows.len()), (json!({}), 0));
    let file: String = (0..600).map(|n| format!("{n},never,bad{n}@example.test\n")).collect();
    let ended = import(&api, format!("id,at,mail\n{file}"), &mapping());
    assert_eq!(ended.counts(), json!({"rows": 600, "refused": 600}));
    assert_eq!(leads(&api), Vec::<Value>::new());
}

// Mappings.

#[test]
fn a_wrong_mapping_is_refused_and_says_where() {
    let server = Server::start();
    let api = server.admin();
    let cell = |path: &str, cell: Value| with(&mapping(), json!({"lead": {path: cell}}));
    let time = |key: &str, value: &str| with(&mapping(), json!({"occurredAt": {key: value}}));
    let top = |more: Value| with(&mapping(), more);
    let cases = [
        (json!("[]"), json!(["input", "mapping"]), "no mapping"),
        (
            top(json!({"occuredAt": {"column": "at"}})),
            json!(["input", "mapping"]),
            "`occuredAt`, expected one of `system`",
        ),
        (cell("emial", json!("mail")), json!(["input", "mapping"]), "`emial`, expected one of `email`"),
        (
            cell("name", json!({"colum": "mail"})),
            json!(["input", "mapping"]),
            "`colum`, expected one of `column`",
        ),
        (cell("name", json!(7)), json!(["input", "mapping"]), "the name of a column"),
        (top(json!({"system": "My CRM"})), json!(["input", "mapping", "system"]), "a key is"),
        (
            top(json!({"occurredAt": null})),
            json!(["input", "mapping", "occurredAt"]),
            "the time when it came in",
        ),
        (top(json!({"lead": null, "id": null})), json!(["input", "mapping", "id"]), "`id` of the lead"),
        (top(json!({"lead": null})), json!(["input", "mapping", "lead"]), "reads nothing"),
        (time("pattern", "%Q"), json!(["input", "mapping", "occurredAt", "pattern"]), "for example %Y-%m-%d"),
        (time("timeZone", "Europe/Berln"), json!(["input", "mapping"]), "no IANA time zone"),
        (top(json!({"delimiter": "\""})), json!(["input", "mapping", "delimiter"]), "one ASCII character"),
        (
            top(json!({"createCampaigns": "Trade Fair"})),
            json!(["input", "mapping", "createCampaigns"]),
            "a key",
        ),
        (
            top(json!({"traits": [{"key": "My Trait", "from": "id"}]})),
            json!(["input", "mapping", "traits", "0", "key"]),
            "a key is",
        ),
        (
            top(json!({"traits": [{"key": "seats", "kind": "number", "from": "id"}]})),
            json!(["input", "mapping"]),
            "`integer`",
        ),
    ];
    for (mapping, path, message) in cases {
        let payload = attempt(&api, "id,at,mail\n", &mapping, json!({}));
        let mut errors = payload["errors"].as_array().into_iter().flatten();
        let named = errors.any(|error| error["path"] == path && text(error, "message").contains(message));
        assert!(named && payload["run"].is_null(), "{message:?} at {path} in {payload}");
    }
    assert_eq!(all(&api, "importRuns", "", "id"), Vec::<Value>::new());
}

#[test]
fn a_pattern_that_reads_no_date_is_refused_before_it_starts() {
    let server = Server::start();
    let api = server.admin();
    for pattern in ["YYYY-MM-DD", "%H:%M", "%d.%m."] {
        let mapping = with(&mapping(), json!({"occurredAt": {"pattern": pattern}}));
        let payload = attempt(&api, "id,at,mail\n", &mapping, json!({}));
        assert_eq!(
            payload["errors"][0]["path"],
            json!(["input", "mapping", "occurredAt", "pattern"]),
            "{pattern}: {payload}"
        );
    }
}

#[test]
fn a_trait_that_is_mapped_twice_is_refused() {
    let server = Server::start();
    let api = server.admin();
    let one = json!({"key": "seats", "from": "id"});
    let payload = attempt(&api, "id,at,mail\n", &with(&mapping(), json!({"traits": [one, one]})), json!({}));
    assert_eq!(payload["errors"][0]["path"], json!(["input", "mapping", "traits", "1", "key"]), "{payload}");
}

#[test]
fn a_known_trait_keeps_its_kind() {
    let server = Server::start();
    let api = server.admin();
    let define = json!({"key": "seats", "kind": "INTEGER", "meaning": "Licences in use"});
    api.mutate("defineTrait", "DefineTraitInput", define, "definition { key }");
    for (kind, personal) in [("text", false), ("integer", true)] {
        let one = json!({"key": "seats", "kind": kind, "personal": personal, "from": "id"});
        let payload = attempt(&api, "id,at,mail\n", &with(&mapping(), json!({"traits": [one]})), json!({}));
        assert_eq!(payload["errors"][0]["path"], json!(["input", "mapping", "traits", "0"]), "{payload}");
        assert!(text(&payload["errors"][0], "message").contains("seats is integer"), "{payload}");
    }
}

// Cells.

/// A file with all sorts of columns, of which a case fills some and leaves the others as good as they come.
const CELLS: [(&str, &str); 18] = [
    ("id", ""),
    ("at", "29.02.2024"),
    ("mail", ""),
    ("phone", ""),
    ("name", "Ada"),
    ("channel", "ads"),
    ("employer", "Example Ltd"),
    ("revenue", "$1,117.10K"),
    ("staff", "1,250"),
    ("consent", "yes"),
    ("seats", "5"),
    ("rep", ""),
    ("fair", ""),
    ("stage", ""),
    ("result", ""),
    ("closed", "01.04.2024"),
    ("value", ""),
    ("why", ""),
];

fn cells_mapping() -> Value {
    json!({
        "system": "crm",
        "id": "id",
        "occurredAt": {"column": "at", "pattern": "%d.%m.%Y"},
        "lead": {
            "email": "mail",
            "phone": "phone",
            "name": "name",
            "channel": {"column": "channel", "values": {"ads": "PAID_SEARCH", "fair": "EVENT"}},
            "consent": "consent",
            "campaign": "fair",
            "company": {
                "name": "employer",
                "annualRevenue": {"column": "revenue", "missing": ["999"]},
                "employees": {"column": "staff", "missing": ["-1", "NA"]},
            },
        },
        "traits": [{"key": "seats", "kind": "integer", "from": "seats"}],
        "owner": "rep",
        "stage": "stage",
        "ending": {
            "outcome": {"column": "result", "values": {"gained": "WON", "gone": "LOST", "later": "RECYCLED"}},
            "at": {"column": "closed", "pattern": "%d.%m.%Y"},
            "amount": "value",
            "reason": "why",
        },
    })
}

/// A table of rows that differ from good ones in the given cells; ids and addresses are their numbers.
fn cells(rows: &[Vec<(&str, &str)>]) -> String {
    let line = |cells: Vec<String>| cells.join(";") + "\n";
    let header = line(CELLS.iter().map(|(column, _)| (*column).to_owned()).collect());
    let rows = rows.iter().enumerate().map(|(n, given)| {
        let cell = |column: &str, good: &str| match (given.iter().find(|(name, _)| *name == column), column) {
            (Some((_, text)), _) => (*text).to_owned(),
            (None, "id") => n.to_string(),
            (None, "mail") => format!("c{n}@example.test"),
            _ => good.to_owned(),
        };
        line(CELLS.iter().map(|(column, good)| cell(column, good)).collect())
    });
    header + &rows.collect::<String>()
}

/// Each case is a row of one file, with a good row after each: the first cell of a case is at fault, and the
/// message names what helps. The good rows are in.
fn at_fault(cases: &[(Vec<(&str, &str)>, &str)]) {
    let server = Server::start();
    let rows: Vec<_> = cases.iter().flat_map(|(bad, _)| [bad.clone(), vec![]]).collect();
    let ended = import(&server.admin(), cells(&rows), &cells_mapping());
    let good = ended.rows.iter().filter(|row| long(&row["row"]) % 2 == 1);
    let not_in: Vec<_> = good.filter(|row| row["outcome"] != "CREATED").collect();
    assert!(not_in.is_empty(), "{not_in:?}");
    let mut wrong = vec![];
    for (place, (cells, message)) in (0..).zip(cases) {
        let (column, value) = (cells[0].0, cells[0].1.chars().take(80).collect::<String>());
        let named = ended.refused().into_iter().find(|row| long(&row["row"]) == 2 + 2 * place);
        let found = named.map(|row| (&row["column"], &row["value"], text(row, "message").contains(message)));
        if found != Some((&json!(column), &json!(value), true)) {
            wrong.push(format!("{cells:?} and {message:?}: {}", named.unwrap_or(&Value::Null)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bad_cell_is_named_with_its_row_column_value_and_what_helps() {
    let long = "x".repeat(257);
    at_fault(&[
        (vec![("at", "31.02.2024")], "%d.%m.%Y"),
        (vec![("at", "29.02.2023")], "`pattern` in the mapping"),
        (vec![("at", "2024-02-29")], "`pattern` in the mapping"),
        (vec![("at", "1/2/03")], "`pattern` in the mapping"),
        (vec![("at", "01.01.99999")], "%d.%m.%Y"),
        (vec![("at", "")], "the time is missing"),
        (vec![("mail", "no address")], "has an @"),
        (vec![("mail", "a@b")], "for example example.com"),
        (vec![("mail", &format!("{long}@example.test"))], "at most 254 characters"),
        (vec![("mail", "a b@example.test")], "not allowed"),
        (vec![("phone", "030 901820")], "+49 30 901820"),
        (vec![("name", &long)], "1 to 256 characters, found 257"),
        (vec![("channel", "tv")], "lists ads, fair; add this text or `otherwise`"),
        (vec![("revenue", "#VALUE!")], "for example 1250.50"),
        (vec![("revenue", "1e309")], "for example 1250.50"),
        (vec![("revenue", "NaN")], "for example 1250.50"),
        (vec![("revenue", "99999999999999999999")], "2^53"),
        (vec![("staff", "12.5")], "for example 1250"),
        (vec![("consent", "nein")], "yes or no"),
        (vec![("rep", "admn")], "no user \"admn\"; nearest: admin"),
        (vec![("fair", "spring")], "no campaign \"spring\"; create it first"),
        (vec![("stage", "qualified")], "INQUIRY, IQL, MQL, SAL, SQL, OPPORTUNITY, CUSTOMER"),
        (vec![("stage", "ADVOCATE")], "INQUIRY, IQL, MQL, SAL, SQL, OPPORTUNITY, CUSTOMER"),
        (vec![("result", "perhaps")], "lists gained, gone, later; add this text or `otherwise`"),
        (vec![("closed", ""), ("result", "gained")], "the time of the ending is missing"),
        (vec![("closed", "31.04.2024"), ("result", "gained")], "%d.%m.%Y"),
        (vec![("value", "#VALUE!"), ("result", "gained")], "for example 1250.50"),
    ]);
}

#[test]
fn a_refused_trait_or_time_is_shown_with_its_value() {
    at_fault(&[
        (vec![("seats", "five")], "integer"),
        (vec![("seats", "5.5")], "integer"),
        (vec![("at", "01.01.2199")], "a day ahead"),
    ]);
}

#[test]
fn a_number_in_the_other_notation_is_refused_and_the_mapping_s_key_for_it_named() {
    at_fault(&[
        (vec![("revenue", "1.234,56")], "`decimal`"),
        // Fifteen, if a comma were dropped wherever it stands.
        (vec![("revenue", "1,5")], "`decimal`"),
        (vec![("value", "10,50"), ("result", "gained")], "`decimal`"),
    ]);
}

#[test]
fn a_number_that_cannot_be_is_refused() {
    at_fault(&[(vec![("staff", "-5")], ""), (vec![("revenue", "-1")], "")]);
}

#[test]
fn a_time_that_cannot_be_is_refused() {
    at_fault(&[
        (vec![("at", "01.01.0000")], ""),
        (vec![("at", "01.01.0203")], ""),
        (vec![("at", "01.01.24")], ""),
        (vec![("closed", "01.01.2199"), ("result", "gained")], "ahead"),
    ]);
}

#[test]
fn an_ending_that_the_charter_refuses_names_the_cell_of_its_reason() {
    at_fault(&[
        (vec![("why", "NOPE"), ("result", "gone")], "NO_BUDGET, NO_TIMELINE"),
        (vec![("why", ""), ("result", "gone")], "reason"),
        (vec![("why", "NOT_READY"), ("result", "gone")], "instead, recycle it"),
    ]);
}

#[test]
fn cells_are_read_as_people_write_them() {
    let server = Server::start();
    let api = server.admin();
    let rows = [
        vec![("mail", " Ada@A.Example.TEST "), ("phone", "0049 (30) 901-820")],
        vec![("mail", "ada@b.example.test"), ("revenue", "999"), ("staff", "-1")],
        vec![("mail", "ada@c.example.test"), ("revenue", "2.5M"), ("staff", "10K")],
        vec![("mail", "ada@d.example.test"), ("revenue", "€ 1 250.5"), ("staff", "NA"), ("channel", "fair")],
        vec![
            ("mail", "plus+tag@bücher.example.test"),
            ("employer", ""),
            ("revenue", ""),
            ("staff", ""),
            ("seats", ""),
        ],
    ];
    let ended = import(&api, cells(&rows), &cells_mapping());
    assert_eq!(ended.counts(), json!({"rows": 5, "created": 5}), "{:?}", ended.refused());
    let accounts = [
        ("Example Ltd", Some("1250"), Some("111710000")),
        ("Example Ltd", None, None),
        ("Example Ltd", Some("10000"), Some("250000000")),
        ("Example Ltd", None, Some("125050")),
        ("bücher.example.test", None, None),
    ];
    for (id, (name, employees, revenue)) in accounts.into_iter().enumerate() {
        let account = &lead(&api, "crm", &id.to_string())["account"];
        assert_eq!(
            *account,
            json!({"name": name, "employees": employees, "annualRevenue": revenue}),
            "row {id}"
        );
    }
    let first = lead(&api, "crm", "0");
    let contact =
        json!({"email": "ada@a.example.test", "name": "Ada", "title": null, "phone": "+4930901820"});
    assert_eq!((&first["contact"], &first["channel"]), (&contact, &json!("PAID_SEARCH")));
    // The charter's zone is Berlin's.
    assert_eq!(first["capturedAt"], "2024-02-28T23:00:00.000Z");
    assert_eq!(
        first["traits"],
        json!([{"key": "seats", "value": "5", "observedAt": "2024-02-28T23:00:00.000Z"}])
    );
    let (fair, plus) = (lead(&api, "crm", "3"), lead(&api, "crm", "4"));
    assert_eq!((&fair["channel"], &plus["traits"]), (&json!("EVENT"), &json!([])));

    let decimal = |cell: &str| json!({"lead": {"company": {cell: {"decimal": ","}}}});
    let mapping = with(&with(&cells_mapping(), decimal("annualRevenue")), decimal("employees"));
    let row = vec![("id", "de"), ("mail", "ada@e.example.test"), ("revenue", "1.234,56"), ("staff", "1.250")];
    import(&api, cells(&[row]), &mapping);
    let account = &lead(&api, "crm", "de")["account"];
    assert_eq!(*account, json!({"name": "Example Ltd", "employees": "1250", "annualRevenue": "123456"}));
}

#[test]
fn a_file_without_times_takes_one_for_all_rows() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"occurredAt": {"column": null, "otherwise": AT}}));
    import(&api, "id,mail\n1,ada@example.test\n", &mapping);
    assert_eq!(lead(&api, "crm", "1")["capturedAt"], "2024-01-01T10:00:00.000Z");
    let mapping = with(&mapping, json!({"occurredAt": {"column": "at"}}));
    let ended = import(
        &api,
        format!(
            "id,at,mail\n2,,b@example.test\n3,2023-05-05T05:05:05Z,c@example.test\n4,{AT}?,d@example.test\n"
        ),
        &mapping,
    );
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "CREATED"), (4, "REFUSED")]);
    let came = ["2", "3"].map(|id| lead(&api, "crm", id)["capturedAt"].clone());
    assert_eq!(came, ["2024-01-01T10:00:00.000Z", "2023-05-05T05:05:05.000Z"]);
    for (more, path) in
        [(json!({"otherwise": "yesterday"}), "otherwise"), (json!({"otherwise": null, "column": null}), "")]
    {
        let payload = attempt(&api, "id,mail\n", &with(&mapping, json!({"occurredAt": more})), json!({}));
        let path: Vec<&str> =
            ["input", "mapping", "occurredAt", path].into_iter().filter(|part| !part.is_empty()).collect();
        assert_eq!(payload["errors"][0]["path"], json!(path), "{payload}");
    }
}

#[test]
fn campaigns_that_a_file_names_are_created_if_the_mapping_says_so() {
    let server = Server::start();
    let api = server.admin();
    let known = json!({"key": "known", "name": "Known", "kind": "webinar", "channel": "WEBINAR"});
    api.mutate("createCampaign", "CreateCampaignInput", known, "campaign { id }");
    let file = format!(
        "id,at,mail,fair,way\n1,{AT},a@example.test,known,EMAIL\n2,{AT},b@example.test,new,EMAIL\n\
                        3,{AT},c@example.test,new,DISPLAY\n4,{AT},d@example.test,,DISPLAY\n"
    );
    let mapping = with(&mapping(), json!({"lead": {"campaign": "fair", "channel": "way"}}));
    let ended = import(&api, &file, &mapping);
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "REFUSED"), (4, "REFUSED"), (5, "CREATED")]);
    let ended = import(&api, &file, &with(&mapping, json!({"createCampaigns": "landing-page"})));
    assert_eq!(ended.told(), [(2, "UNCHANGED"), (3, "CREATED"), (4, "CREATED"), (5, "UNCHANGED")]);
    let mut found = all(&api, "campaigns", "", "key kind channel results { leads }");
    found.sort_by_key(|campaign| campaign["key"].to_string());
    let campaign = |key, kind, channel, leads: &str| {
        let results = json!({"leads": leads});
        json!({"key": key, "kind": kind, "channel": channel, "results": results})
    };
    assert_eq!(
        found,
        [campaign("known", "webinar", "WEBINAR", "1"), campaign("new", "landing-page", "EMAIL", "2")]
    );
}

#[test]
fn a_campaign_that_cannot_be_created_for_its_key_says_what_a_key_is() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"lead": {"campaign": "fair"}, "createCampaigns": "fair"}));
    let ended = import(&api, format!("id,at,mail,fair\n1,{AT},a@example.test,Spring Fair\n"), &mapping);
    assert_eq!(ended.told(), [(2, "REFUSED")]);
    assert!(text(&ended.rows[0], "message").contains("a-z, 0-9, - and _"), "{}", ended.rows[0]);
}

// Stories.

/// A file that says how leads ended, with dates alone.
fn endings(rows: &str) -> String {
    format!("id,at,mail,result,closed,value,why,rival\n{rows}")
}

fn endings_mapping() -> Value {
    let day = |column: &str| json!({"column": column, "pattern": "%Y-%m-%d", "timeZone": "UTC"});
    let more = json!({"occurredAt": day("at"), "ending": {
        "outcome": "result", "at": day("closed"), "amount": "value", "reason": "why", "competitor": "rival",
    }});
    with(&mapping(), more)
}

#[test]
fn a_row_can_tell_how_a_lead_came_and_how_it_ended() {
    let server = Server::start();
    let api = server.admin();
    let file = endings(
        "won,2024-01-05,a@example.test,WON,2024-02-01,\"1,100.50\",,\n\
         lost,2024-01-04,b@example.test,Lost,2024-02-02,,HOLDING_OFF,\n\
         rival,2024-01-03,c@example.test,lost,2024-02-03,,LOST_TO_COMPETITOR,Example Rival\n\
         rec,2024-01-02,d@example.test,recycled,2024-02-04,,NOT_READY,\n\
         out,2024-01-01,e@example.test,disqualified,2024-02-05,0,NOT_ICP,\n\
         open,2024-01-01,f@example.test,,,,,\n\
         early,2024-03-01,g@example.test,WON,2024-02-05,0,,\n",
    );
    let mapping = with(
        &endings_mapping(),
        json!({"lead": {"campaign": {"otherwise": "spring"}}, "createCampaigns": "fair"}),
    );
    let ended = import(&api, &file, &mapping);
    assert_eq!(
        ended.counts(),
        json!({"rows": 7, "created": 7, "won": 2, "warnings": 1}),
        "{:?}",
        ended.refused()
    );
    let told = ["WON", "LOST", "LOST", "RECYCLED", "DISQUALIFIED"];
    let twice = (2..).zip(told).flat_map(|(row, outcome)| [(row, "CREATED"), (row, outcome)]);
    let expected: Vec<_> =
        twice.chain([(7, "CREATED"), (8, "CREATED"), (8, "WON"), (8, "WARNING")]).collect();
    assert_eq!(ended.told(), expected);
    let odd = ended.rows.last().expect("a warning");
    assert_eq!((&odd["column"], &odd["value"]), (&json!("closed"), &json!("2024-02-05")), "{odd}");
    let cycles = [
        ("won", "2024-01-05", Some("2024-02-01"), "WON", None, None),
        ("lost", "2024-01-04", Some("2024-02-02"), "LOST", Some("HOLDING_OFF"), None),
        (
            "rival",
            "2024-01-03",
            Some("2024-02-03"),
            "LOST",
            Some("LOST_TO_COMPETITOR"),
            Some("Example Rival"),
        ),
        ("rec", "2024-01-02", Some("2024-02-04"), "RECYCLED", Some("NOT_READY"), None),
        ("out", "2024-01-01", Some("2024-02-05"), "DISQUALIFIED", Some("NOT_ICP"), None),
        ("open", "2024-01-01", None, "OPEN", None, None),
        ("early", "2024-03-01", Some("2024-03-01"), "WON", None, None),
    ];
    for (id, opened, closed, outcome, reason, competitor) in cycles {
        let midnight = |day: &str| format!("{day}T00:00:00.000Z");
        let expected = json!([{
            "number": 1, "openedAt": midnight(opened), "closedAt": closed.map(midnight), "outcome": outcome,
            "reason": reason, "competitor": competitor,
        }]);
        let found = lead(&api, "crm", id);
        assert_eq!(
            (&found["cycles"], &found["clocks"], &found["handoff"]),
            (&expected, &json!([]), &Value::Null),
            "{id}"
        );
    }
    assert_eq!(balanced(&api), 7);
    let funnel = api.query("{ funnel { won lost recycled disqualified } }", json!({}));
    assert_eq!(funnel["funnel"], json!({"won": "2", "lost": "2", "recycled": "1", "disqualified": "1"}));
    let results = api
        .query("{ campaign(key: \"spring\") { results { leads won revenue { amountMinor } } } }", json!({}));
    // The second win has an unknown amount: 0 is how many systems write that.
    assert_eq!(
        results["campaign"]["results"],
        json!({"leads": "7", "won": "2", "revenue": {"amountMinor": "110050"}})
    );
    let again = import(&api, &file, &mapping);
    assert_eq!(again.counts(), json!({"rows": 7, "unchanged": 13}), "{:?}", again.refused());
}

#[test]
fn a_second_file_tells_how_known_leads_ended() {
    let server = Server::start();
    let api = server.admin();
    let first = ["1", "2", "3"].map(|id| format!("{id},2024-01-01,n{id}@example.test,,,,,\n")).concat();
    import(&api, endings(&first), &endings_mapping());
    let mapping = with(&endings_mapping(), json!({"lead": null, "occurredAt": null}));
    let file = endings(
        "1,,,WON,2024-02-03,,,\n\
         1,,,WON,2024-02-03,,,\n\
         1,,,WON,2024-02-04,,,\n\
         1,,,LOST,2024-02-05,,HOLDING_OFF,\n\
         9,,,WON,2024-02-01,,,\n\
         ,,,WON,2024-02-01,,,\n\
         2,,,LOST,2024-02-01,,HOLDING_OFF,\n",
    );
    let ended = import(&api, file, &mapping);
    let expected = ["WON", "UNCHANGED", "REFUSED", "REFUSED", "REFUSED", "REFUSED", "LOST"];
    assert_eq!(ended.told(), (2..).zip(expected).collect::<Vec<_>>(), "{:?}", ended.refused());
    let why = [
        (json!("closed"), "cycle 1 of this lead ended WON before"),
        (json!("closed"), "cycle 1 of this lead ended WON before"),
        (json!("id"), "no lead 9 of crm is known; import the leads first"),
        (Value::Null, "does not say which lead"),
    ];
    for ((column, message), row) in why.iter().zip(ended.refused()) {
        assert!(
            row["column"] == *column && text(row, "message").contains(message),
            "{column} {message:?}: {row}"
        );
    }
    assert_eq!(lead(&api, "crm", "1")["cycles"][0]["closedAt"], "2024-02-03T00:00:00.000Z");
    assert_eq!(balanced(&api), 3);
}

#[test]
fn a_second_file_tells_more_about_known_leads_and_nothing_the_second_time() {
    let server = Server::start();
    let api = server.admin();
    server.user("rep", "sales");
    import(&api, format!("id,at,mail\n1,{AT},a@example.test\n"), &mapping());
    let seats = json!({"key": "seats", "kind": "integer", "from": "seats"});
    let mapping = with(&mapping(), json!({"lead": null, "owner": "rep", "traits": [seats]}));
    let row = |id: u32, seats: &str| format!("{id},2024-02-01T00:00:00Z,rep,{seats}\n");
    let file = &["id,at,rep,seats\n".into(), row(1, "5"), row(2, "5"), row(1, "five")].concat();
    assert_eq!(import(&api, file, &mapping).told(), [(2, "UPDATED"), (3, "REFUSED"), (4, "REFUSED")]);
    let found = lead(&api, "crm", "1");
    let traits = json!([{"key": "seats", "value": "5", "observedAt": "2024-02-01T00:00:00.000Z"}]);
    assert_eq!((&found["traits"], &found["owner"]["key"]), (&traits, &json!("rep")));
    assert_eq!(import(&api, file, &mapping).told(), [(2, "UNCHANGED"), (3, "REFUSED"), (4, "REFUSED")]);
}

#[test]
fn a_person_who_comes_back_after_an_ending_stops_no_import() {
    let server = Server::start();
    let api = server.admin();
    let file = endings(
        "1,2024-01-01,ada@example.test,RECYCLED,2024-02-01,,NOT_READY,\n\
         2,2024-03-01,ada@example.test,,,,,\n\
         3,2024-04-01,bob@example.test,,,,,\n",
    );
    let ended = wait(&api, &start(&api, file, &endings_mapping(), json!({})));
    let told = [(2, "CREATED"), (2, "RECYCLED"), (3, "UPDATED"), (4, "CREATED")];
    assert_eq!(
        (&ended.run["status"], ended.told().as_slice()),
        (&json!("DONE"), told.as_slice()),
        "{}",
        ended.run
    );
    assert_eq!(balanced(&api), 2);
}

#[test]
fn a_row_that_is_older_than_its_lead_moves_it_at_no_earlier_time() {
    let server = Server::start();
    let api = server.admin();
    server.deploy("scorecard", "mql", &card(10));
    api.capture("ada@example.test");
    let mapping = with(&mapping(), json!({"lead": {"consent": "ok"}}));
    let ended = import(&api, format!("id,at,mail,ok\n1,{AT},ada@example.test,yes\n"), &mapping);
    assert_eq!(ended.told(), [(2, "UPDATED")]);
    let document = "{ leads { edges { node { stage capturedAt enteredStageAt } } } }";
    let answer = api.query(document, json!({}));
    let found = &answer["leads"]["edges"][0]["node"];
    assert_eq!(found["stage"], "MQL");
    assert!(text(found, "capturedAt") <= text(found, "enteredStageAt"), "{found}");
}

#[test]
fn ndjson_brings_the_same_as_csv() {
    let row = |n: i64, more: Value| {
        with(&json!({"id": n, "at": "05.02.2024", "mail": format!("n{n}@example.test")}), more)
    };
    let rows = [
        row(1, json!({"name": "Ada", "channel": "ads", "revenue": 1250.5, "staff": 12, "consent": true})),
        row(2, json!({"seats": 5, "result": "gained", "closed": "01.03.2024", "value": "10.50"})),
        row(3, json!({"seats": "five"})),
        row(4, json!({"channel": "tv", "consent": false})),
        row(5, json!({"staff": -1, "revenue": "999", "phone": "+49 30 901820"})),
    ];
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |row: &Value| CELLS.map(|(column, _)| cell(row, column)).join(";") + "\n";
    let csv = CELLS.map(|(column, _)| column).join(";") + "\n" + &rows.iter().map(line).collect::<String>();
    // The first row names all keys.
    let nulls = CELLS.iter().map(|(column, _)| ((*column).to_owned(), Value::Null)).collect();
    let first = with(&Value::Object(nulls), rows[0].clone());
    let ndjson = std::iter::once(&first).chain(&rows[1..]).map(|row| format!("{row}\n")).collect::<String>();
    let [from_csv, from_ndjson] = [(csv, 2), (ndjson, 1)].map(|(file, first)| {
        let server = Server::start();
        let api = server.admin();
        let ended = import(&api, file, &cells_mapping());
        let tell =
            |row: &Value| json!([long(&row["row"]) - first, row["outcome"], row["column"], row["message"]]);
        let told: Vec<Value> = ended.rows.iter().map(tell).collect();
        // Ids and what the rules do about open leads later are of each server.
        let known =
            ["1", "2", "5"].map(|id| with(&lead(&api, "crm", id), json!({"id": null, "evaluations": null})));
        (ended.counts(), told, known)
    });
    assert_eq!(from_csv, from_ndjson);
    assert_eq!(from_csv.0, json!({"rows": 5, "created": 3, "won": 1, "refused": 2}));
}

#[test]
fn rows_are_told_in_the_order_in_which_they_happened() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"lead": {"title": "title", "source": "source"}}));
    let row = |id: &str, month: u32, mail: &str, title: &str, source: &str| {
        format!("{id},2024-{month:02}-01T00:00:00Z,{mail},{title},{source}\n")
    };
    let file = row("c", 9, "ada@example.test", "CTO", "fair")
        + &row("b", 5, "Ada@Example.test", "", "search")
        + &row("a", 1, "ADA@example.test", "Engineer", "newsletter");
    import(&api, format!("id,at,mail,title,source\n{file}"), &mapping);
    assert_eq!(leads(&api).len(), 1, "one person");
    for id in ["a", "b", "c"] {
        let found = lead(&api, "crm", id);
        assert_eq!(
            (&found["source"], &found["contact"]["title"]),
            (&json!("newsletter"), &json!("CTO")),
            "{id}: {found}"
        );
        assert_eq!(found["capturedAt"], "2024-01-01T00:00:00.000Z");
        let touches: Vec<&str> =
            found["touchpoints"].as_array().unwrap().iter().map(|touch| text(touch, "source")).collect();
        assert_eq!(touches, ["fair", "search", "newsletter"], "newest first");
    }
}

#[test]
fn a_lead_is_counted_as_new_once_however_often_its_file_names_it() {
    let server = Server::start();
    let api = server.admin();
    let row = |id: &str, month: u32| format!("{id},2024-{month:02}-01T00:00:00Z,ada@example.test\n");
    let ended =
        import(&api, ["id,at,mail\n".into(), row("a", 1), row("b", 2), row("a", 3)].concat(), &mapping());
    assert_eq!(leads(&api).len(), 1);
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "UPDATED"), (4, "UNCHANGED")]);
}

#[test]
fn a_decision_about_the_past_knows_nothing_of_what_came_later() {
    let server = Server::start();
    let api = server.admin();
    server.deploy("scorecard", "mql", &card(10));
    let mapping =
        with(&mapping(), json!({"lead": {"consent": "ok"}, "traits": [{"key": "plan", "from": "plan"}]}));
    let rows = |mail: &str| {
        let row = |id: &str, at: &str, ok: &str, plan: &str| {
            format!("{mail}-{id},{at},{mail}@example.test,{ok},{plan}\n")
        };
        let header = "id,at,mail,ok,plan\n".to_owned();
        [
            header,
            row("2", "2024-03-01T00:00:00Z", "yes", "pro"),
            row("1", "2024-01-01T00:00:00Z", "no", "free"),
        ]
    };
    let [header, late, early] = rows("parts");
    import(&api, header.clone() + &early, &mapping);
    import(&api, header + &late, &mapping);
    import(&api, rows("whole").concat(), &mapping);
    for mail in ["parts", "whole"] {
        let found = lead(&api, "crm", &format!("{mail}-1"));
        let mut past: Vec<_> =
            found["evaluations"].as_array().unwrap().iter().filter(|one| one["cause"] == "IMPORT").collect();
        past.sort_by_key(|one| text(one, "asOf"));
        let judged: Vec<_> =
            past.iter().map(|one| (&text(one, "asOf")[..7], text(&one["decisions"][0], "outcome"))).collect();
        assert_eq!(judged, [("2024-01", "HOLD"), ("2024-03", "ADVANCE")], "{mail}");
        let plan = json!([{"key": "plan", "value": "pro", "observedAt": "2024-03-01T00:00:00.000Z"}]);
        assert_eq!(found["traits"], plan, "{mail}");
    }
}

#[test]
fn a_stage_is_asserted_and_nobody_asks_the_rules() {
    let server = Server::start();
    let api = server.admin();
    server.user("rep", "sales");
    server.deploy("scorecard", "mql", &card(10));
    let mapping = with(&mapping(), json!({"stage": "stage", "owner": "rep"}));
    let cases = [
        ("MQL", "", "MQL", "OPEN", "QUEUED", Value::Null, json!("fallback")),
        ("sql", "", "SQL", "OPEN", "QUEUED", Value::Null, json!("fallback")),
        ("SQL", "rep", "SQL", "OPEN", "WORKING", json!("rep"), Value::Null),
        ("MQL", "rep", "MQL", "OPEN", "ASSIGNED", json!("rep"), Value::Null),
        ("opportunity", "", "OPPORTUNITY", "OPEN", "QUEUED", Value::Null, json!("fallback")),
        ("CUSTOMER", "rep", "CUSTOMER", "WON", "CLOSED", json!("rep"), Value::Null),
    ];
    let mut file = "id,at,mail,stage,rep\n".to_owned();
    for (n, (stage, rep, ..)) in cases.iter().enumerate() {
        file += &format!("{n},{AT},s{n}@example.test,{stage},{rep}\n");
    }
    let ended = import(&api, file, &mapping);
    assert_eq!(ended.counts()["created"], json!(6), "{:?}", ended.refused());
    for (n, (_, _, stage, outcome, work, owner, queue)) in cases.iter().enumerate() {
        let found = lead(&api, "crm", &n.to_string());
        let state = (text(&found, "stage"), text(&found, "outcome"), text(&found, "workState"));
        assert_eq!(state, (*stage, *outcome, *work), "{found}");
        assert_eq!((&found["owner"]["key"], &found["queue"]["key"]), (owner, queue), "{found}");
        assert_eq!((&found["evaluations"], &found["clocks"]), (&json!([]), &json!([])), "{found}");
    }
    assert_eq!(balanced(&api), 6);
}

#[test]
fn only_rows_from_the_given_instant_on_are_routed_and_get_clocks() {
    let server = Server::start();
    let api = server.admin();
    server.user("rep", "sales");
    let pool = json!({"key": "sales", "queue": "fallback", "members": [{"user": "rep"}]});
    api.mutate("upsertPool", "UpsertPoolInput", pool, "pool { key }");
    server.deploy("scorecard", "mql", &card(10));
    server.deploy("fair-share", "routing", &fair_share());
    let now = Instant::parse(text(&api.query("{ ledgerNow { asOf } }", json!({}))["ledgerNow"], "asOf"))
        .expect("an instant");
    let day = |days: i64| now.plus(days * DAY).to_string();
    let rows = [
        ("old", -9, "yes"),
        ("last", -3, "yes"),
        ("from", -2, "yes"),
        ("new", -1, "yes"),
        ("cold", -1, "no"),
    ];
    let row = |(id, days, ok): &(&str, i64, &str)| format!("{id},{},{id}@example.test,{ok}\n", day(*days));
    let file = format!("id,at,mail,ok\n{}", rows.iter().rev().map(row).collect::<String>());
    let mapping = with(&mapping(), json!({"lead": {"consent": "ok"}}));
    import_with(&api, file, &mapping, json!({"liveFrom": day(-2)}));
    for (id, days, ok) in rows {
        let found = lead(&api, "crm", id);
        let live = days >= -2 && ok == "yes";
        let slots: Vec<&str> = found["evaluations"][0]["decisions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| text(one, "slot"))
            .collect();
        assert_eq!(slots, if live { vec!["mql", "routing"] } else { vec!["mql"] }, "{id}");
        assert_eq!(found["stage"], if ok == "yes" { "MQL" } else { "INQUIRY" }, "{id}");
        assert_eq!(found["owner"]["key"], if live { json!("rep") } else { Value::Null }, "{id}");
        assert_eq!(found["handoff"]["status"], if live { json!("PENDING") } else { Value::Null }, "{id}");
        let running =
            found["clocks"].as_array().unwrap().iter().filter(|clock| clock["state"] == "RUNNING").count();
        assert_eq!(running > 0, live, "{id}: {}", found["clocks"]);
    }
    assert_eq!(balanced(&api), 5);
}

// Runs.

#[test]
fn a_dry_run_writes_nothing_but_its_results() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&endings_mapping(), json!({"lead": {"campaign": "why"}, "createCampaigns": "fair"}));
    let file =
        endings("1,2024-01-01,a@example.test,WON,2024-02-01,7,new-campaign,\n2,2024-01-01,broken,,,,,\n");
    let state = "{ feedHead leads { edges { cursor } } campaigns { edges { cursor } } }";
    let before = api.query(state, json!({}));
    let ended = import_with(&api, &file, &mapping, json!({"dryRun": true}));
    assert_eq!(ended.told(), [(2, "CREATED"), (2, "WON"), (3, "REFUSED")], "{:?}", ended.rows);
    assert_eq!(
        (ended.counts(), &ended.run["dryRun"]),
        (json!({"rows": 2, "created": 1, "won": 1, "refused": 1}), &json!(true))
    );
    assert_eq!(api.query(state, json!({})), before);
    let ended = import(&api, &file, &mapping);
    assert_eq!(ended.counts(), json!({"rows": 2, "created": 1, "won": 1, "refused": 1}));
}

#[test]
fn a_dry_run_defines_no_trait() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"traits": [{"key": "seats", "kind": "integer", "from": "seats"}]}));
    let file = format!("id,at,mail,seats\n1,{AT},a@example.test,5\n2,{AT},b@example.test,five\n");
    let ended = import_with(&api, file, &mapping, json!({"dryRun": true}));
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "REFUSED")], "the values are checked all the same");
    assert_eq!(api.query("{ traitDefinitions { key } }", json!({}))["traitDefinitions"], json!([]));
}

/// What a dry run tells of each row, and what the import tells then.
fn foretells(file: &str, mapping: &Value) {
    let server = Server::start();
    let api = server.admin();
    let tell = |dry: bool| {
        let ended = import_with(&api, file, mapping, json!({"dryRun": dry}));
        let told = ["row", "outcome", "column", "value", "message"];
        ended.rows.iter().map(|row| json!(told.map(|key| row[key].clone()))).collect::<Vec<_>>()
    };
    let (dry, real) = (tell(true), tell(false));
    let differ: Vec<String> =
        real.iter().filter(|row| !dry.contains(row)).map(|row| format!("{row}")).collect();
    assert!(dry == real, "the dry run did not foretell {}\nit told {dry:#?}", differ.join("\n"));
}

#[test]
fn a_dry_run_foretells_which_cells_are_refused() {
    let rows = [
        vec![],
        vec![("mail", "no address")],
        vec![("at", "31.02.2024")],
        vec![("seats", "five")],
        vec![("rep", "nobody")],
        vec![("fair", "spring")],
        vec![("result", "gained")],
        vec![("result", "gained"), ("value", "#VALUE!")],
        vec![("result", "later"), ("why", "NOT_READY")],
    ];
    foretells(&cells(&rows), &cells_mapping());
}

#[test]
fn a_dry_run_foretells_that_the_charter_refuses_an_ending() {
    let row = |n: u32, outcome: &str, why: &str| {
        format!("{n},2024-01-01,d{n}@example.test,{outcome},2024-02-01,,{why},\n")
    };
    let rows =
        row(1, "LOST", "NOPE") + &row(2, "DISQUALIFIED", "NO_BUDGET") + &row(3, "LOST", "LOST_TO_COMPETITOR");
    foretells(&endings(&rows), &endings_mapping());
}

#[test]
fn a_dry_run_foretells_endings_of_people_without_ids() {
    let mapping = with(&endings_mapping(), json!({"id": null}));
    foretells(&endings(",2024-01-01,Ada@Example.test,WON,2024-02-01,,,\n"), &mapping);
}

#[test]
fn a_dry_run_foretells_that_a_campaign_s_key_is_none() {
    let mapping = with(&mapping(), json!({"lead": {"campaign": "fair"}, "createCampaigns": "fair"}));
    foretells(&format!("id,at,mail,fair\n1,{AT},a@example.test,Spring Fair\n"), &mapping);
}

#[test]
fn a_dry_run_foretells_that_a_lead_ends_twice() {
    let file = endings(
        "1,2024-01-01,a@example.test,WON,2024-02-01,,,\n\
         1,2024-01-01,a@example.test,LOST,2024-03-01,,HOLDING_OFF,\n",
    );
    foretells(&file, &endings_mapping());
}

#[test]
fn results_are_read_page_by_page_and_by_outcome() {
    let server = Server::start();
    let api = server.admin();
    let row = |n: u32| {
        format!(
            "{n},{AT},{}\n",
            if n.is_multiple_of(3) { "broken".to_owned() } else { format!("p{n}@example.test") }
        )
    };
    let id =
        start(&api, format!("id,at,mail\n{}", (1..=20).map(row).collect::<String>()), &mapping(), json!({}));
    wait(&api, &id);
    let document = "query($id: ID!, $outcomes: [ImportRowOutcome!], $first: Int, $after: String) { \
                    importRun(id: $id) { page: results(outcomes: $outcomes, first: $first, after: $after) { \
                    edges { node { row outcome } } pageInfo { hasNextPage endCursor } } } }";
    let read = |outcomes: Value| {
        let mut sizes = vec![];
        let rows = pages(|after| {
            let variables = json!({"id": id, "outcomes": outcomes, "first": 4, "after": after});
            let page = api.query(document, variables)["importRun"]["page"].clone();
            sizes.push(page["edges"].as_array().unwrap().len());
            page
        });
        (sizes, rows.iter().map(|row| long(&row["row"])).collect::<Vec<_>>())
    };
    assert_eq!(read(json!(["REFUSED"])), (vec![4, 2], vec![4, 7, 10, 13, 16, 19]));
    assert_eq!(read(json!(["REFUSED", "CREATED"])), (vec![4; 5], (2..=21).collect()));
    assert_eq!(read(Value::Null), (vec![4; 5], (2..=21).collect()));
    assert_eq!(read(json!(["WARNING"])), (vec![0], vec![]));
    let page = api.query(document, json!({"id": id, "outcomes": ["REFUSED"], "first": 1}));
    let after = &page["importRun"]["page"]["pageInfo"]["endCursor"];
    for (more, code) in [
        (json!({"after": after, "outcomes": ["CREATED"]}), "CURSOR_INVALID"),
        (json!({"after": "AAAA"}), "CURSOR_INVALID"),
        (json!({"first": 0}), "PAGE_SIZE"),
        (json!({"first": 201}), "PAGE_SIZE"),
    ] {
        let error = api.error(document, with(&json!({"id": id}), more.clone()));
        assert_eq!(error["extensions"]["code"], code, "{more}: {error}");
    }
}

#[test]
fn a_repeated_start_is_one_run() {
    let server = Server::start();
    let api = server.admin();
    let file = format!("id,at,mail\n1,{AT},a@example.test\n");
    let ids = [0, 1].map(|_| start(&api, &file, &mapping(), json!({"idempotencyKey": "once"})));
    assert_eq!(ids[0], ids[1]);
    let other = attempt(&api, &file, &mapping(), json!({"idempotencyKey": "once", "dryRun": true}));
    assert_eq!(other["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    wait(&api, &ids[0]);
    let runs = all(&api, "importRuns", "", "id name digest startedBy { key } startedAt finishedAt mapping");
    assert_eq!((runs.len(), &runs[0]["id"], &runs[0]["startedBy"]["key"]), (1, &ids[0], &json!("admin")));
    assert!(text(&runs[0], "startedAt") <= text(&runs[0], "finishedAt"), "{}", runs[0]);
}

/// A file of `rows` people out of time order, a third of whom became customers.
fn crowd(rows: usize) -> String {
    let row = |n: usize| {
        let (month, day) = (1 + n * 7 % 12, 1 + n % 28);
        let ending = if n.is_multiple_of(3) { "WON,2025-02-01,10" } else { ",," };
        format!("{n},2024-{month:02}-{day:02},crowd{n}@example.test,{ending},,\n")
    };
    endings(&(0..rows).map(row).collect::<String>())
}

fn crowd_counts(rows: usize) -> Value {
    json!({"rows": rows, "created": rows, "won": rows.div_ceil(3)})
}

/// Waits until some of a run is done, and answers whether more is to come.
fn midway(api: &Api, id: &Value) -> bool {
    let now =
        eventually(30, "some rows are done", || Some(run(api, id)).filter(|run| long(&run["done"]) > 0));
    long(&now["done"]) < long(&now["total"])
}

#[test]
fn a_cancelled_import_keeps_what_is_done_and_can_be_taken_up_again() {
    let server = Server::start();
    let api = server.admin();
    let cancel = |id: &Value| {
        let document = format!(
            "mutation($id: ID!) {{ cancelImport(id: $id) {{ \
             run {{ {RUN} }} errors {{ message path code }} }} }}"
        );
        api.query(&document, json!({"id": id}))["cancelImport"].clone()
    };
    let rows = 3_000;
    let id = start(&api, crowd(rows), &endings_mapping(), json!({}));
    assert!(midway(&api, &id), "{rows} rows are too few to be cancelled midway");
    let cancelled = cancel(&id);
    assert_eq!(
        (&cancelled["errors"], &cancelled["run"]["status"]),
        (&json!([]), &json!("CANCELLED")),
        "{cancelled}"
    );
    let (done, total) = (long(&cancelled["run"]["done"]), long(&cancelled["run"]["total"]));
    assert!(0 < done && done < total, "{cancelled}");
    let ended = wait(&api, &id);
    assert_eq!((&ended.run, ended.rows.len() as i64), (&cancelled["run"], done));
    assert_eq!((leads(&api).len() as i64, balanced(&api)), (done, done));
    let again = cancel(&id);
    assert_eq!(
        (&again["errors"], &again["run"]),
        (&json!([]), &cancelled["run"]),
        "cancelled once is cancelled"
    );
    let ended = import(&api, crowd(rows), &endings_mapping());
    let expected =
        json!({"rows": rows, "created": rows as i64 - done, "unchanged": done, "won": rows.div_ceil(3)});
    assert_eq!((ended.counts(), balanced(&api)), (expected, rows as i64));
    let unknown = json!("SW1wb3J0UnVuOjAwMDAwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMA");
    assert_eq!(cancel(&unknown)["errors"][0]["code"], "NOT_FOUND");
    assert_eq!(cancel(&json!("nonsense"))["errors"][0]["code"], "VALIDATION");
}

/// Ends the server midway, and answers how the import ended after the restart.
fn interrupted(more: Value, end: fn(Server) -> (tempfile::TempDir, String)) -> (Server, usize, Ended) {
    let mut rows = 3_000;
    loop {
        let server = Server::start();
        let id = start(&server.admin(), crowd(rows), &endings_mapping(), more.clone());
        let inside = midway(&server.admin(), &id);
        let (dir, token) = end(server);
        let server = Server::start_in(dir, Some(token));
        // Proof that it ended midway: the run goes on only now.
        if inside && run(&server.admin(), &id)["status"] == "RUNNING" {
            let ended = wait(&server.admin(), &id);
            assert_eq!(ended.run["status"], "DONE", "{}", ended.run);
            return (server, rows, ended);
        }
        rows *= 2;
        assert!(rows < 50_000, "the server never ended inside of an import");
    }
}

#[test]
fn an_import_goes_on_after_a_power_cut_and_brings_everybody_once() {
    let (server, rows, ended) = interrupted(json!({}), Server::kill);
    let api = server.admin();
    assert_eq!(ended.counts(), crowd_counts(rows), "{:?}", ended.refused().first());
    let told: BTreeSet<_> = ended.told().into_iter().collect();
    assert_eq!(
        (told.len(), ended.rows.len()),
        (rows + rows.div_ceil(3), rows + rows.div_ceil(3)),
        "each act is told once"
    );
    let known = all(&api, "leads", "", "contact { email } touchpoints(first: 5) { id }");
    let people: BTreeSet<&str> = known.iter().map(|lead| text(&lead["contact"], "email")).collect();
    assert_eq!((known.len(), people.len(), balanced(&api)), (rows, rows, rows as i64));
    assert!(
        known.iter().all(|lead| lead["touchpoints"].as_array().is_some_and(|touches| touches.len() == 1))
    );
    assert_eq!(
        api.query("{ funnel { won } }", json!({}))["funnel"]["won"],
        json!(rows.div_ceil(3).to_string())
    );
    let again = import(&api, crowd(rows), &endings_mapping());
    assert_eq!(again.counts(), json!({"rows": rows, "unchanged": rows + rows.div_ceil(3)}));
    let (dir, _) = server.stop();
    let doctor = offline(dir.path(), "doctor");
    assert!(doctor.status.success(), "{}", out(&doctor));
}

#[test]
fn an_import_goes_on_after_an_orderly_stop() {
    let (server, rows, ended) = interrupted(json!({}), Server::stop);
    assert_eq!(ended.counts(), crowd_counts(rows), "{:?}", ended.refused().first());
    assert_eq!(balanced(&server.admin()), rows as i64);
}

#[test]
fn imports_that_wait_for_their_turn_keep_it_through_a_power_cut() {
    let server = Server::start();
    let file = crowd(3_000);
    let contacts = with(&endings_mapping(), json!({"ending": null}));
    let deals = with(&endings_mapping(), json!({"lead": null, "occurredAt": null}));
    let won: String =
        file.lines().filter(|line| line.contains("WON")).map(|line| format!("{line}\n")).collect();
    let ids = [(&file, &contacts), (&endings(&won), &deals)]
        .map(|(file, mapping)| start(&server.admin(), file, mapping, json!({})));
    assert!(midway(&server.admin(), &ids[0]), "the file is too small to be stopped midway");
    let (mut server, mut before) = (server, 0);
    for cut in 1..=6 {
        let (dir, token) = server.kill();
        server = Server::start_in(dir, Some(token));
        let goes_on = || {
            let [first, second] = ids.each_ref().map(|id| long(&run(&server.admin(), id)["done"]));
            (first > before || second > 0).then_some((first, second))
        };
        let (first, second) = eventually(30, "an import goes on", goes_on);
        assert!(
            first == 3_000 || second == 0,
            "power cut {cut}: {second} deals are told after {first} contacts"
        );
        before = first;
        if first == 3_000 {
            break;
        }
    }
    let [first, second] = ids.map(|id| wait(&server.admin(), &id).counts());
    assert_eq!(
        (first, second),
        (json!({"rows": 3_000, "created": 3_000}), json!({"rows": 1_000, "won": 1_000}))
    );
}

#[test]
fn a_dry_run_goes_on_after_a_power_cut_and_tells_the_same() {
    let (server, rows, ended) = interrupted(json!({"dryRun": true}), Server::kill);
    assert_eq!(leads(&server.admin()), Vec::<Value>::new());
    assert_eq!(ended.counts(), crowd_counts(rows), "{:?}", ended.refused().first());
}

// Rights, and the command line.

#[test]
fn an_import_needs_its_scope() {
    let server = Server::start();
    let admin = server.admin();
    let digest = admin.put_blob("import", b"id,at,mail\n");
    let id = start(&admin, format!("id,at,mail\n1,{AT},a@example.test\n"), &mapping(), json!({}));
    let reader = server.token("admin", &["leads:read", "leads:write"]);
    let begin = "mutation($input: StartImportInput!) { \
                 startImport(input: $input) { run { id } errors { message code } } }";
    let input = json!({"digest": digest, "name": "test.csv", "mapping": mapping().to_string()});
    let cancel = "mutation($id: ID!) { cancelImport(id: $id) { run { id } errors { message code } } }";
    for (document, variables) in [(begin, json!({"input": input})), (cancel, json!({"id": id}))] {
        let (_, answer) = reader.post(&json!({"query": document, "variables": variables}));
        let payload =
            answer["data"].as_object().and_then(|data| data.values().next()).unwrap_or(&Value::Null);
        let errors = json!([{"code": "FORBIDDEN", "message": "your token lacks the scope import"}]);
        let error = json!({"run": null, "errors": errors});
        assert_eq!(*payload, error, "{answer}");
    }
    assert_eq!(wait(&reader, &id).told(), [(2, "CREATED")], "who may read may see what was imported");
    let importer = server.token("admin", &["import"]);
    let payload = attempt(&importer, "id,at,mail\n", &mapping(), json!({}));
    assert_eq!(payload["errors"], json!([]), "the scope alone is enough to begin");
    let (file, map) = (server.dir.path().join("rows.csv"), server.dir.path().join("map.json"));
    std::fs::write(&file, "id,at,mail\n").expect("written");
    std::fs::write(&map, mapping().to_string()).expect("written");
    for (token, named) in [(reader.token.as_str(), "lacks the scope import"), ("hf_nonsense", "token")] {
        let output = server.cli(&[
            "import",
            &file.to_string_lossy(),
            "--mapping",
            &map.to_string_lossy(),
            "--token",
            token,
        ]);
        assert!(
            output.status.code() == Some(4) && err(&output).contains(named),
            "{:?} {}",
            output.status,
            err(&output)
        );
    }
}

/// A server with files beside it, and the command `handfast import` on them.
struct Desk {
    server: Server,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { server: Server::start() };
        desk.write("map.json", &mapping().to_string());
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.server.dir.path().join(name), text).expect("the file is written");
    }

    /// Exit code, data and messages.
    fn import(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.server.cli(&[&["import"], args].concat());
        (output.status.code(), out(&output), err(&output))
    }
}

fn summary(rows: u32, dry: bool, counts: [u32; 6]) -> String {
    let note = if dry { " (dry run: nothing was written)" } else { "" };
    let names = ["created", "updated", "unchanged", "won", "refused", "warnings"];
    let lines = names.iter().zip(counts).map(|(name, count)| format!("{name:<12}{count:>9}\n"));
    format!("{rows} rows{note}\n{}", lines.collect::<String>())
}

#[test]
fn the_command_line_tells_what_became_of_a_file() {
    let desk = Desk::new();
    let row = |n: u32, mail: &str| format!("{n},{AT},{mail}\n");
    desk.write("good.csv", &format!("id,at,mail\n{}", row(1, "a@example.test")));
    desk.write(
        "mixed.csv",
        &format!("id,at,mail\n{}{}{}", row(1, "a@example.test"), row(2, "broken"), row(3, "c@example.test")),
    );
    let refused = "REFUSED      row 3, column \"mail\", \"broken\": an e-mail address has an @\n";

    let (code, data, messages) = desk.import(&["good.csv", "--mapping", "map.json", "--dry-run"]);
    assert_eq!((code, data), (Some(0), summary(1, true, [1, 0, 0, 0, 0, 0])));
    assert_eq!(messages, "Next: the same command without --dry-run.\n");
    assert_eq!(leads(&desk.server.admin()), Vec::<Value>::new());

    let quiet = String::new;
    let answer = desk.import(&["good.csv", "--mapping", "map.json"]);
    assert_eq!(answer, (Some(0), summary(1, false, [1, 0, 0, 0, 0, 0]), quiet()));
    let answer = desk.import(&["mixed.csv", "--mapping", "map.json"]);
    assert_eq!(answer, (Some(1), format!("{refused}\n{}", summary(3, false, [1, 0, 1, 0, 1, 0])), quiet()));
    let (code, data, _) = desk.import(&["mixed.csv", "--mapping", "map.json", "--all"]);
    let rows = format!("UNCHANGED    row 2\n{refused}UNCHANGED    row 4\n");
    assert_eq!((code, data), (Some(1), format!("{rows}\n{}", summary(3, false, [0, 0, 2, 0, 1, 0]))));

    let (code, data, _) = desk.import(&["mixed.csv", "--mapping", "map.json", "--json"]);
    let lines: Vec<Value> = data.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [row, run] = lines.as_slice() else { panic!("a row and the run, found {data}") };
    assert_eq!(
        (code, &row["row"], &row["outcome"], &row["value"]),
        (Some(1), &json!("3"), &json!("REFUSED"), &json!("broken"))
    );
    assert_eq!((&run["status"], &run["rows"], &run["unchanged"]), (&json!("DONE"), &json!("3"), &json!("2")));
}

#[test]
fn the_command_line_fails_with_the_code_of_the_failure() {
    let desk = Desk::new();
    desk.write("good.csv", &format!("id,at,mail\n1,{AT},a@example.test\n"));
    desk.write("other.csv", "id,at,email\n");
    desk.write("empty.csv", "");
    desk.write("typo.json", "{\"system\": \"crm\",}");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["good.csv"], 2, "--mapping"),
        (&["good.csv", "--mapping", "map.json", "--dry"], 2, "--dry-run"),
        (&["none.csv", "--mapping", "map.json"], 3, "none.csv"),
        (&["good.csv", "--mapping", "none.json"], 3, "none.json"),
        (&["other.csv", "--mapping", "map.json"], 1, "no column \"mail\"; it has email (at input/mapping)"),
        (&["empty.csv", "--mapping", "map.json"], 1, "the file is empty"),
        (&["good.csv", "--mapping", "typo.json"], 1, "no mapping: trailing comma at line 1"),
        (&["good.csv", "--mapping", "map.json", "--live-from", "yesterday"], 1, "RFC 3339"),
        (
            &["good.csv", "--mapping", "map.json", "--url", "http://127.0.0.1:9"],
            1,
            "is `handfast serve` running there?",
        ),
    ];
    for (args, expected, message) in cases {
        let (code, data, messages) = desk.import(args);
        assert_eq!((code, data.as_str()), (Some(expected), ""), "{args:?}: {messages}");
        assert!(messages.contains(message), "{args:?}: {message:?} in {messages}");
    }
    assert_eq!(leads(&desk.server.admin()), Vec::<Value>::new());
}

#[test]
fn the_command_line_names_every_missing_column_at_once() {
    let desk = Desk::new();
    desk.write("rows.csv", "key,when,email\n");
    let (code, _, messages) = desk.import(&["rows.csv", "--mapping", "map.json"]);
    assert_eq!(code, Some(1));
    for column in ["id", "at", "mail"] {
        assert!(messages.contains(&format!("no column {column:?}")), "{column}: {messages}");
    }
}
