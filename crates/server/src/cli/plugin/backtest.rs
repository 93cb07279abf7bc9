//! `handfast plugin backtest`: a version is tried on the past of a running server; here one watches, and reads what was found.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{push, read};
use crate::cli::ServerArgs;
use crate::cli::client::{CliError, Client};
use crate::cli::import::bar;

#[derive(Args)]
pub struct BacktestArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// sha-256 of a version, or a component, which is uploaded first.
    candidate: String,
    /// Key of the slot.
    #[arg(long)]
    slot: String,
    /// JSON file.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// Key of the team that owns the component, when it is uploaded.
    #[arg(long)]
    team: Option<String>,
    /// Folder of its cases, when it is uploaded.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Only leads that were looked at at this instant or later, for example 2026-03-01T00:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Only leads that were looked at before this instant.
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
    /// The newest so many leads at most; a million without.
    #[arg(long, value_name = "LEADS")]
    limit: Option<u32>,
    /// Only leads that matched this persona then.
    #[arg(long, value_name = "KEY")]
    persona: Option<String>,
    /// Only leads that came from this campaign.
    #[arg(long, value_name = "KEY")]
    campaign: Option<String>,
    /// Only leads of this source.
    #[arg(long)]
    source: Option<String>,
    /// Print the run with its report as JSON.
    #[arg(long)]
    json: bool,
}

macro_rules! share {
    () => {
        " { part whole basisPoints low high }"
    };
}

macro_rules! score {
    () => {
        concat!(
            " { advanced",
            share!(),
            " precision",
            share!(),
            " recall",
            share!(),
            " lift { basisPoints low high } faults }"
        )
    };
}

macro_rules! group {
    () => {
        concat!(" { key leads good", share!(), " flips both gained lost }")
    };
}

const START: &str = "mutation($input: StartBacktestInput!) { startBacktest(input: $input) { run { id } \
    errors { message path code } } }";
const PROGRESS: &str = "query($id: ID!) { backtest(id: $id) { status done total message } }";
const REPORT: &str = concat!(
    "query($id: ID!) { backtest(id: $id) { uuid slot gate versionDigest settingsDigest baselineVersionDigest \
     baselineSettingsDigest from to limit persona campaign source status done total startedAt finishedAt report { \
     findings { kind level field text } population { looks superseded unknown closedByRule erased filtered judged } base",
    share!(),
    " baseline",
    score!(),
    " candidate",
    score!(),
    " matrix { baseline candidate leads good } flips coverage",
    share!(),
    " fields { path known",
    share!(),
    " late restsOn",
    share!(),
    " alone drift } personas",
    group!(),
    " campaigns",
    group!(),
    " sources",
    group!(),
    " owners { owner queue before after change openLeads capacity clocksAtRisk } clocksAtRisk fuel { total mean p99 } \
     quarters { from to good",
    share!(),
    " } imported } flipped(first: 10) { edges { node { leadId at baseline candidate good better \
     lead { contact { name email } } } } } } }"
);

pub const DOCUMENTS: [&str; 3] = [START, PROGRESS, REPORT];

pub fn backtest(args: BacktestArgs) -> Result<ExitCode, CliError> {
    let client = args.server.client();
    let settings = read(&args.settings)?;
    let digest = candidate(&client, &args)?;
    let input = json!({
        "slot": args.slot, "digest": digest, "settings": settings, "from": args.from, "to": args.to,
        "limit": args.limit, "persona": args.persona, "campaign": args.campaign, "source": args.source,
    });
    let id = client.mutate("startBacktest", START, json!({"input": input}))?["run"]["id"].clone();
    watch(&client, &id)?;
    let run = client.query(REPORT, json!({"id": id}))?["backtest"].clone();
    if args.json {
        println!("{run}");
    } else {
        print!("{}", told(&run));
        eprintln!(
            "Next: handfast plugin deploy {digest} --slot {} --settings {}",
            args.slot,
            args.settings.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A digest as it is; a file is uploaded.
fn candidate(client: &Client, args: &BacktestArgs) -> Result<String, CliError> {
    let text = &args.candidate;
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    let path = Path::new(text);
    if !path.is_file() {
        return Err(CliError::NotFound(format!("{text:?} is neither the sha-256 of a version nor a file")));
    }
    let team = args.team.as_deref();
    let team = team.ok_or_else(|| CliError::Usage("--team says who owns the component".to_owned()))?;
    push(client, path, team, None, args.cases.as_deref(), None)
}

fn watch(client: &Client, id: &Value) -> Result<(), CliError> {
    let bar = bar();
    loop {
        let run = client.query(PROGRESS, json!({"id": id}))?["backtest"].clone();
        match run["status"].as_str() {
            Some("QUEUED" | "RUNNING") => {
                let number = |key: &str| run[key].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
                bar.set_length(number("total"));
                bar.set_position(number("done"));
                std::thread::sleep(Duration::from_millis(200));
            }
            Some("FINISHED") => {
                bar.finish_and_clear();
                return Ok(());
            }
            _ => {
                bar.finish_and_clear();
                let why = run["message"].as_str().unwrap_or("the backtest did not end");
                return Err(CliError::Failed(why.to_owned()));
            }
        }
    }
}

/// The report for people.
fn told(run: &Value) -> String {
    let report = &run["report"];
    let (mut out, text) = (String::new(), |value: &Value| value.as_str().unwrap_or("-").to_owned());
    let mut line = |words: String| out.extend([words.trim_end(), "\n"]);
    let judged = number(&report["population"]["judged"]);
    line(format!(
        "{judged} leads with a known outcome of {} looks, {} of them good",
        number(&report["population"]["looks"]),
        percent(&report["base"])
    ));
    for (level, title) in [("WARNING", "Warnings"), ("NOTE", "Notes")] {
        let of_level = |finding: &&Value| finding["level"] == level;
        let findings: Vec<&Value> = list(&report["findings"]).iter().filter(of_level).collect();
        if !findings.is_empty() {
            line(String::new());
            line(title.to_owned());
        }
        findings.iter().for_each(|one| line(format!("  {:<16} {}", text(&one["kind"]), text(&one["text"]))));
    }
    line(String::new());
    line(format!("{:<12}{:>26}{:>26}", "", "today", "candidate"));
    for (name, key) in [("advance", "advanced"), ("precision", "precision"), ("recall", "recall")] {
        let [today, candidate] = ["baseline", "candidate"].map(|rule| interval(&report[rule][key]));
        line(format!("{name:<12}{today:>26}{candidate:>26}"));
    }
    let [today, candidate] = ["baseline", "candidate"].map(|rule| lift(&report[rule]["lift"]));
    line(format!("{:<12}{today:>26}{candidate:>26}", "lift"));
    let [today, candidate] = ["baseline", "candidate"].map(|rule| number(&report[rule]["faults"]));
    line(format!("{:<12}{today:>26}{candidate:>26}", "faults"));
    line(String::new());
    line(format!("{} flips (today → candidate: leads, good ones)", number(&report["flips"])));
    for cell in list(&report["matrix"]) {
        let vote = |key: &str| cell[key].as_str().unwrap_or("FAULT").to_owned();
        let (baseline, candidate) = (vote("baseline"), vote("candidate"));
        line(format!(
            "  {baseline:<10} → {candidate:<10}{:>9}{:>9}",
            number(&cell["leads"]),
            number(&cell["good"])
        ));
    }
    for (title, key) in [("persona", "personas"), ("campaign", "campaigns"), ("source", "sources")] {
        let groups: Vec<&Value> = list(&report[key]).iter().filter(|group| !group["key"].is_null()).collect();
        if groups.is_empty() {
            continue;
        }
        line(String::new());
        line(format!(
            "{:<28}{:>8}{:>8}{:>8}{:>8}{:>8}",
            format!("by {title}"),
            "leads",
            "good",
            "flips",
            "gained",
            "lost"
        ));
        for group in groups.iter().take(SHOWN) {
            let number = |key: &str| number(&group[key]);
            let name: String = text(&group["key"]).chars().take(26).collect();
            let (leads, flips, gained, lost) =
                (number("leads"), number("flips"), number("gained"), number("lost"));
            line(format!(
                "  {name:<26}{leads:>8}{:>8}{flips:>8}{gained:>8}{lost:>8}",
                percent(&group["good"])
            ));
        }
        if groups.len() > SHOWN {
            line(format!("  and {} more (--json)", groups.len() - SHOWN));
        }
    }
    let rested = |field: &&Value| field["restsOn"]["part"] != "0" || field["late"] != "0";
    let fields: Vec<&Value> = list(&report["fields"]).iter().filter(rested).collect();
    if !fields.is_empty() {
        line(String::new());
        line(format!(
            "{:<34}{:>8}{:>8}{:>10}{:>8}{:>8}",
            "fields that it rests on", "known", "late", "rests on", "alone", "drift"
        ));
    }
    for field in fields {
        let hundredths = |value: &Value| {
            value.as_u64().map_or("-".to_owned(), |value| format!("{:.2}", value as f64 / 1e4))
        };
        line(format!(
            "  {:<32}{:>8}{:>8}{:>10}{:>8}{:>8}",
            text(&field["path"]),
            percent(&field["known"]),
            number(&field["late"]),
            percent(&field["restsOn"]),
            hundredths(&field["alone"]),
            hundredths(&field["drift"])
        ));
    }
    let moved: Vec<&Value> = list(&report["owners"]).iter().filter(|owner| owner["change"] != "0").collect();
    if !moved.is_empty() {
        line(String::new());
        line(format!(
            "{:<28}{:>8}{:>11}{:>8}{:>16}",
            "leads that reach", "today", "candidate", "change", "clocks at risk"
        ));
    }
    for owner in moved.iter().take(SHOWN) {
        let name = owner["owner"].as_str().or(owner["queue"].as_str()).unwrap_or("(nobody)");
        let number = |key: &str| number(&owner[key]);
        line(format!(
            "  {name:<26}{:>8}{:>11}{:>8}{:>16}",
            number("before"),
            number("after"),
            number("change"),
            number("clocksAtRisk")
        ));
    }
    line(String::new());
    let fuel = |key: &str| text(&report["fuel"][key]);
    line(format!(
        "fuel a lead {} on average, {} for 99 of 100; {} in all",
        fuel("mean"),
        fuel("p99"),
        fuel("total")
    ));
    line(format!("coverage    {} of the leads had every declared field", percent(&report["coverage"])));
    let quarters: Vec<String> =
        list(&report["quarters"]).iter().map(|quarter| percent(&quarter["good"])).collect();
    line(format!("base rate   {} from the oldest quarter to the newest", quarters.join(", ")));
    let flips = list(&run["flipped"]["edges"]);
    if !flips.is_empty() {
        line(String::new());
        line("The flips that were looked at last (backtest { flipped } has more)".to_owned());
    }
    for edge in flips {
        let node = &edge["node"];
        let vote = |key: &str| node[key].as_str().unwrap_or("FAULT").to_owned();
        let contact = &node["lead"]["contact"];
        let name = contact["name"].as_str().or(contact["email"].as_str()).unwrap_or_default();
        let good = if node["good"] == json!(true) { "good" } else { "not good" };
        line(format!(
            "  {} {} → {}  {good:<9}{} {name}",
            text(&node["at"]),
            vote("baseline"),
            vote("candidate"),
            text(&node["leadId"])
        ));
    }
    out
}

/// Rows of a table.
const SHOWN: usize = 12;

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A count, which is a text in the API.
fn number(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn percent(share: &Value) -> String {
    format!("{:.1} %", points(share, "basisPoints") / 100.0)
}

fn interval(share: &Value) -> String {
    let [value, low, high] = ["basisPoints", "low", "high"].map(|key| points(share, key) / 100.0);
    if share["whole"] == "0" { "-".to_owned() } else { format!("{value:.1} % ({low:.1} – {high:.1})") }
}

fn lift(lift: &Value) -> String {
    let [value, low, high] = ["basisPoints", "low", "high"].map(|key| points(lift, key) / 1e4);
    if lift.is_null() { "-".to_owned() } else { format!("{value:.2} ({low:.2} – {high:.2})") }
}

fn points(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or(0.0)
}
