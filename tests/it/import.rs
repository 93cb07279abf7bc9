//! Imports of the past: real data with known figures, hand-made files with every quirk, power cuts, dry runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Output;

use handfast_domain::time::{DAY, Instant};
use handfast_tests::{Api, Server, card, data, eventually, fair_share, root};
use serde_json::{Value, json};

mod cells;
mod cli;
mod dry;
mod real;
mod runs;
mod story;
mod table;

const AT: &str = "2024-01-01T10:00:00Z";

const RUN: &str =
    "id name status dryRun rows done total created updated unchanged refused warnings won message";

/// An import that has ended, with what became of its rows.
pub struct Ended {
    pub run: Value,
    pub rows: Vec<Value>,
}

impl Ended {
    /// The counts that are not 0.
    pub fn counts(&self) -> Value {
        let keys = ["rows", "created", "updated", "unchanged", "refused", "warnings", "won"];
        let counts = keys.into_iter().map(|key| (key.to_owned(), json!(long(&self.run[key]))));
        Value::Object(counts.filter(|(_, count)| *count != json!(0)).collect())
    }

    /// Each row's number with what became of it.
    fn told(&self) -> Vec<(i64, &str)> {
        self.rows.iter().map(|row| (long(&row["row"]), row["outcome"].as_str().unwrap_or_default())).collect()
    }

    pub fn refused(&self) -> Vec<&Value> {
        self.rows.iter().filter(|row| row["outcome"] == "REFUSED").collect()
    }
}

pub fn long(value: &Value) -> i64 {
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

pub fn start(api: &Api, file: impl AsRef<[u8]>, mapping: &Value, more: Value) -> Value {
    let payload = attempt(api, file, mapping, more);
    assert_eq!(payload["errors"], json!([]), "{mapping}");
    payload["run"]["id"].clone()
}

pub fn run(api: &Api, id: &Value) -> Value {
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

pub fn import(api: &Api, file: impl AsRef<[u8]>, mapping: &Value) -> Ended {
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
pub fn all(api: &Api, field: &str, more: &str, selection: &str) -> Vec<Value> {
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
pub fn server_in(currency: &str, zone: &str) -> Server {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = format!("[workspace]\ncurrency = \"{currency}\"\ntime_zone = \"{zone}\"\n");
    std::fs::write(dir.path().join("handfast.toml"), text).expect("the configuration is written");
    Server::start_in(dir, None)
}

/// A command on the data of a stopped server, with its result as JSON.
fn offline(dir: &Path, command: &str) -> Output {
    handfast_tests::offline(dir, &[command, "--json"])
}

pub fn read(path: impl AsRef<Path>) -> String {
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
pub fn table(text: &str) -> Vec<(i64, BTreeMap<String, String>)> {
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
pub fn tally<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    texts.for_each(|text| *found.entry(text.to_owned()).or_insert(0) += 1);
    found
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

// Real data.
