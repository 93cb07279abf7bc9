//! `handfast import`: a file and its mapping go to a running server, which imports them; here one watches.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::ServerArgs;
use super::client::{CliError, Client};

const MAPPING_HELP: &str = r#"A mapping says which column is which field, as JSON:

  {
    "system": "crm",                                     key of the system that the ids come from
    "id": "lead_id",                                     the same id again is the same row
    "occurredAt": {"column": "created", "pattern": "%d.%m.%Y %H:%M", "timeZone": "Europe/Berlin"},
                  or, for a file without times: {"otherwise": "2026-03-01T00:00:00Z"}
    "lead": {
      "email": "mail",                                   a column's name alone, or
      "source": {"column": "origin", "missing": ["n/a"]},    texts that mean unknown
      "channel": {"column": "origin", "values": {"ads": "PAID_SEARCH"}, "otherwise": "OTHER"},
      "campaign": "landing_page",
      "company": {"employees": {"column": "staff", "decimal": ","}}
    },
    "traits": [{"key": "seats", "kind": "integer", "from": "seats"}],
    "owner": {"column": "rep", "prefix": "rep-"},        key of a user
    "stage": {"column": "status", "values": {"qualified": "SQL"}},   asserted; without it the rules decide
    "ending": {"outcome": {"column": "result", "values": {"won": "WON", "lost": "LOST"}},
               "at": {"column": "closed"}, "amount": "value", "reason": {"otherwise": "HOLDING_OFF"}},
    "createCampaigns": "landing-page",                   kind of the campaigns that do not exist yet
    "touches": true                                      each row is a touch; a lead may have any number of them
  }

Fields of `lead`: email, phone, anonymousId, name, title, seniority, department, country, consent, source, channel,
campaign, content, company {name, domain, industry, employees, annualRevenue, country, region, incumbent,
incumbentVendor, incumbentContractEndsAt}.
Without `lead`, rows tell more about leads that are known by `id`. `delimiter` is found by itself, or given.
A file is CSV with a header, or NDJSON, in UTF-8; keys of NDJSON within objects are written `company.name`."#;

#[derive(Args)]
#[command(after_long_help = MAPPING_HELP)]
pub struct ImportArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// CSV with a header, or NDJSON.
    file: PathBuf,
    /// JSON that says which column is which field; `--help` shows the shape.
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,
    /// Check every row, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Rows from this instant on are routed and get clocks, for example 2026-03-01T00:00:00Z; without it all are the past.
    #[arg(long, value_name = "INSTANT")]
    live_from: Option<String>,
    /// Print the result of every row, not only of those that were refused or odd.
    #[arg(long)]
    all: bool,
    /// Print rows and summary as JSON, one a line.
    #[arg(long)]
    json: bool,
}

pub fn import(args: ImportArgs) -> Result<ExitCode, CliError> {
    let client = args.server.client();
    let mapping = std::fs::read_to_string(&args.mapping)
        .map_err(|error| CliError::NotFound(format!("{}: {error}", args.mapping.display())))?;
    let name = args.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let run = run(&client, &args.file, &name, &mapping, args.dry_run, args.live_from.as_deref(), &bar())?;
    let rows = results(&client, &run["id"], args.all, |row| print_row(row, args.json))?;
    print_summary(&run, args.json, rows);
    match run["status"].as_str() {
        Some("DONE") if run["refused"] == "0" => Ok(ExitCode::SUCCESS),
        // Rows that were refused are a failure for a script, although the others are in.
        Some("DONE") => Ok(ExitCode::from(1)),
        _ => Err(CliError::Failed(run["message"].as_str().unwrap_or("the import did not end").to_owned())),
    }
}

macro_rules! run {
    () => {
        "id status dryRun rows done total created updated unchanged refused warnings won lost recycled disqualified message"
    };
}

const START: &str = concat!(
    "mutation($input: StartImportInput!) { startImport(input: $input) { run { ",
    run!(),
    " } errors { message path code } } }"
);
const RUN: &str = concat!("query($id: ID!) { importRun(id: $id) { ", run!(), " } }");
const RESULTS: &str = "query($id: ID!, $outcomes: [ImportRowOutcome!], $after: String) { importRun(id: $id) { \
    results(outcomes: $outcomes, first: 200, after: $after) { edges { node { row outcome leadId column value message } } \
    pageInfo { hasNextPage endCursor } } } }";

pub const DOCUMENTS: [&str; 3] = [START, RUN, RESULTS];

/// Sends a file and waits until it is imported. Answers the run.
pub fn run(
    client: &Client,
    file: &std::path::Path,
    name: &str,
    mapping: &str,
    dry_run: bool,
    live_from: Option<&str>,
    bar: &ProgressBar,
) -> Result<Value, CliError> {
    let found = |error: std::io::Error| CliError::NotFound(format!("{}: {error}", file.display()));
    let reader = File::open(file).map_err(found)?;
    let size = reader.metadata().map_err(found)?.len();
    let digest = client.put_blob("import", size, reader)?;
    let input =
        json!({"digest": digest, "name": name, "mapping": mapping, "dryRun": dry_run, "liveFrom": live_from});
    let mut run = client.mutate("startImport", START, json!({"input": input}))?["run"].clone();
    while run["status"] == "RUNNING" {
        let number = |key: &str| run[key].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        bar.set_length(number("total"));
        bar.set_position(number("done"));
        std::thread::sleep(Duration::from_millis(200));
        run = client.query(RUN, json!({"id": run["id"]}))?["importRun"].clone();
    }
    bar.finish_and_clear();
    Ok(run)
}

/// A bar on stderr; nothing where that is no terminal.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Reads what became of the rows, page by page; answers how many were shown.
fn results(client: &Client, run: &Value, all: bool, mut show: impl FnMut(&Value)) -> Result<u64, CliError> {
    let outcomes = if all { Value::Null } else { json!(["REFUSED", "WARNING"]) };
    let (mut after, mut shown) = (Value::Null, 0);
    loop {
        let answer = client.query(RESULTS, json!({"id": run, "outcomes": outcomes, "after": after}))?;
        let page = &answer["importRun"]["results"];
        for edge in page["edges"].as_array().into_iter().flatten() {
            show(&edge["node"]);
            shown += 1;
        }
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return Ok(shown);
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

fn print_row(row: &Value, json: bool) {
    if json {
        println!("{row}");
        return;
    }
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let place = match (row["column"].as_str(), row["value"].as_str()) {
        (Some(column), Some(value)) => format!(", column {column:?}, {value:?}"),
        (Some(column), None) => format!(", column {column:?}"),
        (None, Some(value)) => format!(", {value:?}"),
        (None, None) => String::new(),
    };
    let message = row["message"].as_str().map(|message| format!(": {message}")).unwrap_or_default();
    println!("{:<12} row {}{place}{message}", text("outcome"), text("row"));
}

fn print_summary(run: &Value, json: bool, shown: u64) {
    if json {
        println!("{run}");
        return;
    }
    let text = |key: &str| run[key].as_str().unwrap_or_default();
    let tried = if run["dryRun"] == json!(true) { " (dry run: nothing was written)" } else { "" };
    if shown > 0 {
        println!();
    }
    println!("{} rows{tried}", text("rows"));
    let always = ["created", "updated", "unchanged", "won", "refused", "warnings"];
    let ends = ["lost", "recycled", "disqualified"].into_iter().filter(|key| text(key) != "0");
    for key in always.into_iter().chain(ends) {
        println!("{key:<12}{:>9}", text(key));
    }
    if run["dryRun"] == json!(true) {
        eprintln!("Next: the same command without --dry-run.");
    }
}
