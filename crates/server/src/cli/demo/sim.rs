//! `handfast sim`: the demo's company lives through a season on a server of its own, by the public API alone, and what must always
//! hold is held against what came out: days that balance, promises that add up, nobody who fell through the cracks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use handfast_domain::time::DAY;
use serde::Serialize;
use serde_json::{Value, json};

use super::prospects::Truth;
use super::{Demo, DemoArgs, Opened, admin, company, open, season};
use crate::cli::client::CliError;
use crate::cli::serve;
use crate::config::Config;

#[derive(Args, Clone)]
pub struct SimArgs {
    /// Folder of the built components.
    #[arg(long, value_name = "DIR", default_value = "target/plugins")]
    plugins: PathBuf,
    /// Folder of the plugins' sources, for their cases.
    #[arg(long, value_name = "DIR", default_value = "plugins")]
    sources: PathBuf,
    /// Where the season is kept; a temporary folder that is removed afterwards, without.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// People who become leads in the season.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    leads: u32,
    /// The same seed makes the same company.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// One JSON object on standard output instead of a table.
    #[arg(long)]
    json: bool,
}

/// What a season came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    seed: u64,
    leads: u32,
    /// Days of the ledger, and those that do not balance.
    days: usize,
    unbalanced: Vec<Value>,
    /// Leads by the place in which they stand now; `NOBODY` are those that fell through the cracks.
    places: BTreeMap<String, i64>,
    balanced_now: bool,
    /// Promises of each kind, and those kinds that do not add up.
    promises: BTreeMap<String, Promises>,
    crooked: Vec<String>,
    /// Share of first touches in time, in basis points.
    first_touch_in_time: i64,
    /// Charters that both sides signed and that came into force.
    charters: usize,
    /// Facts of the log by their kind.
    facts: BTreeMap<String, i64>,
    /// Cycles that ended, by outcome.
    ended: BTreeMap<String, i64>,
    revenue_minor: i64,
    /// By model: how far its division of the revenue among campaigns is from the truth, in basis points.
    attribution_error: BTreeMap<String, i64>,
}

#[derive(Debug, Serialize)]
struct Promises {
    started: i64,
    met: i64,
    breached: i64,
}

impl Outcome {
    /// What must hold, and does not.
    fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        faults.extend(self.unbalanced.iter().map(|day| format!("the ledger does not balance on {day}")));
        faults.extend(self.crooked.iter().map(|kind| format!("promises of the kind {kind} do not add up")));
        if !self.balanced_now {
            faults.push("the places in which leads stand do not add up to the leads".to_owned());
        }
        match self.places.get("NOBODY").copied().unwrap_or(0) {
            0 => {}
            lost => faults.push(format!("{lost} leads have neither owner nor queue nor date")),
        }
        faults
    }
}

pub fn sim(mut config: Config, args: SimArgs) -> Result<ExitCode, CliError> {
    serve::init_log(&config.log)?;
    let kept = args.data_dir.is_some();
    let temporary = || std::env::temp_dir().join(format!("handfast-sim-{}", std::process::id()));
    let dir = args.data_dir.clone().unwrap_or_else(temporary);
    if dir.join("handfast.db").exists() {
        let message =
            format!("{} holds a company already; a season begins in an empty folder", dir.display());
        return Err(CliError::Usage(message));
    }
    config.server.data_dir.clone_from(&dir);
    config.server.listen = "127.0.0.1:0".to_owned();
    let Opened { runtime, running, clock, url } = open(&config)?;
    let args_of_demo = DemoArgs {
        plugins: args.plugins,
        sources: args.sources,
        data: None,
        data_dir: None,
        port: 0,
        leads: args.leads,
        seed: args.seed,
        fresh: false,
    };
    let (app, handle) = (running.app.clone(), runtime.handle().clone());
    let played = std::thread::spawn(move || {
        let admin = admin(&app, &handle, &url)?;
        let stopped = Arc::<AtomicBool>::default();
        let demo = Demo { args: args_of_demo, app, clock, runtime: handle, url, admin, stopped, story: true };
        company::set_up(&demo)?;
        let life = season::play(&demo)?;
        told(&demo, &life.truths)
    });
    let outcome = runtime.block_on(async { tokio::task::spawn_blocking(move || played.join()).await });
    runtime.block_on(running.stop());
    runtime.shutdown_background();
    if !kept {
        // What is left of it is the system's to clean.
        let _ = std::fs::remove_dir_all(&dir);
    }
    let outcome = match outcome {
        Ok(Ok(outcome)) => outcome?,
        _ => return Err(CliError::Failed("the company died".to_owned())),
    };
    show(&outcome, args.json)?;
    let faults = outcome.faults();
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(CliError::Failed(faults.join("; ")))
}

/// Asks the company what it came to.
fn told(demo: &Demo, truths: &BTreeMap<String, Truth>) -> Result<Outcome, CliError> {
    let ask = |document: &str, variables: Value| demo.admin.query(document, variables);
    let (from, to) = (season::start(), demo.app.now());
    let day = |at: handfast_domain::time::Instant| at.to_string()[..10].to_owned();
    // A day on either side: the charter's zone begins its days elsewhere.
    let span = json!({"from": day(from.plus(-DAY)), "to": day(to.plus(DAY))});
    let ledger =
        ask("query($from: Date!, $to: Date!) { ledger(from: $from, to: $to) { day balance } }", span)?;
    let days = ledger["ledger"].as_array().cloned().unwrap_or_default();
    let unbalanced = days.iter().filter(|day| day["balance"] != "0").map(|day| day["day"].clone()).collect();

    let document = "{ ledgerNow { balanced places { place leads } } slaSummary { kind started met breached balanced } \
                    charters { status signed } funnel { won lost recycled disqualified } }";
    let now = ask(document, json!({}))?;
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let mut places = BTreeMap::new();
    for one in now["ledgerNow"]["places"].as_array().into_iter().flatten() {
        *places.entry(text(&one["place"])).or_insert(0) += number(&one["leads"]);
    }
    let (mut promises, mut crooked) = (BTreeMap::new(), vec![]);
    for one in now["slaSummary"].as_array().into_iter().flatten() {
        let [started, met, breached] = ["started", "met", "breached"].map(|name| number(&one[name]));
        if one["balanced"] != true {
            crooked.push(text(&one["kind"]));
        }
        promises.insert(text(&one["kind"]), Promises { started, met, breached });
    }
    let touched = promises.get("FIRST_TOUCH").map_or((0, 0), |one| (one.met, one.met + one.breached));
    let signed = now["charters"].as_array().into_iter().flatten();
    let charters = signed.filter(|one| one["signed"] == true).count();

    let (mut facts, mut ended, mut wins) = (BTreeMap::new(), BTreeMap::new(), vec![]);
    let mut after = Value::Null;
    loop {
        let document = "query($after: FeedCursor) { events(after: $after, first: 500) { events { kind leadId payload } cursor atHead } }";
        let page = ask(document, json!({"after": after}))?["events"].clone();
        for event in page["events"].as_array().into_iter().flatten() {
            let kind = text(&event["kind"]);
            if kind == "CYCLE_CLOSED" {
                let body = event["payload"].as_str().unwrap_or_default();
                let fact =
                    serde_json::from_str::<Value>(body).map(|body| body["fact"].clone()).unwrap_or_default();
                *ended.entry(text(&fact["outcome"])).or_insert(0) += 1;
                if fact["outcome"] == "WON" {
                    wins.push((event["leadId"].clone(), fact["amountMinor"].as_i64().unwrap_or(0)));
                }
            }
            *facts.entry(kind).or_insert(0) += 1;
        }
        after = page["cursor"].clone();
        if page["atHead"] == true {
            break;
        }
    }
    Ok(Outcome {
        seed: demo.args.seed,
        leads: demo.args.leads,
        days: days.len(),
        unbalanced,
        places,
        balanced_now: now["ledgerNow"]["balanced"] == true,
        promises,
        crooked,
        first_touch_in_time: (touched.0 * 10_000).checked_div(touched.1).unwrap_or(0),
        charters,
        facts,
        ended,
        revenue_minor: wins.iter().map(|(_, minor)| minor).sum(),
        attribution_error: misled(demo, truths, &wins)?,
    })
}

/// How far each model is from what really made people buy. In this company a campaign adds to the interest of those whom it brings, and
/// what they see afterwards follows from their interest: so a deal is owed to the campaign that brought it, for the share of the
/// interest that the campaign made. The error is half the sum of all differences between two divisions of the whole (the total
/// variation distance): 0 is the truth, 10000 is all of it elsewhere.
fn misled(
    demo: &Demo,
    truths: &BTreeMap<String, Truth>,
    wins: &[(Value, i64)],
) -> Result<BTreeMap<String, i64>, CliError> {
    let mut truth = BTreeMap::<String, f64>::new();
    let document = "query($by: LeadRef!) { lead(by: $by) { contact { email } campaign { key } } }";
    for (lead, minor) in wins {
        let lead = demo.admin.query(document, json!({"by": {"id": lead}}))?["lead"].clone();
        let known = lead["contact"]["email"].as_str().and_then(|email| truths.get(email));
        // Of whom nobody knows any more who it was, nobody knows why it bought.
        let Some((campaign, known)) = lead["campaign"]["key"].as_str().zip(known) else { continue };
        *truth.entry(campaign.to_owned()).or_default() += *minor as f64 * known.caused;
    }
    let document =
        "query($from: DateTime) { attribution(by: CAMPAIGN, from: $from) { export(format: NDJSON) } }";
    let found = demo.admin.query(document, json!({"from": season::start().to_string()}))?;
    let mut models = BTreeMap::<String, BTreeMap<String, f64>>::new();
    for line in text(&found["attribution"]["export"]).lines() {
        let row: Value = serde_json::from_str(line).unwrap_or_default();
        let revenue = row["revenueMinor"].as_f64().unwrap_or(0.0);
        let model = models.entry(text(&row["model"])).or_default();
        *model.entry(text(&row["key"])).or_default() += revenue;
    }
    Ok(models.into_iter().map(|(model, found)| (model, distance(&truth, &found))).collect())
}

/// In basis points; as far as can be, where one of them divides nothing.
fn distance(one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>) -> i64 {
    let (whole, others): (f64, f64) = (one.values().sum(), other.values().sum());
    if whole <= 0.0 || others <= 0.0 {
        return 10_000;
    }
    let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let share =
        |of: &BTreeMap<String, f64>, key: &String, whole: f64| of.get(key).copied().unwrap_or(0.0) / whole;
    let apart: f64 =
        keys.into_iter().map(|key| (share(one, key, whole) - share(other, key, others)).abs()).sum();
    (apart * 5_000.0).round() as i64
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn show(outcome: &Outcome, as_json: bool) -> Result<(), CliError> {
    if as_json {
        let told = serde_json::to_string(outcome).map_err(|error| CliError::Failed(error.to_string()))?;
        println!("{told}");
        return Ok(());
    }
    let list = |counts: &BTreeMap<String, i64>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    println!("A season of {} leads, seed {}.", outcome.leads, outcome.seed);
    println!("Days that balance   {} of {}", outcome.days - outcome.unbalanced.len(), outcome.days);
    println!("Where leads stand   {}", list(&outcome.places));
    println!("Cycles that ended   {}", list(&outcome.ended));
    println!("Won                 {} minor units", outcome.revenue_minor);
    println!("First touch in time {:.1} %", outcome.first_touch_in_time as f64 / 100.0);
    for (kind, Promises { started, met, breached }) in &outcome.promises {
        println!("Promise {kind:<14} {started} given, {met} kept in time, {breached} broken");
    }
    println!("Facts of the log    {}", list(&outcome.facts));
    println!("Attribution error   {} (basis points, by model)", list(&outcome.attribution_error));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_division_is_the_part_of_the_whole_that_stands_elsewhere() {
        let of = |parts: &[(&str, f64)]| parts.iter().map(|(key, part)| ((*key).to_owned(), *part)).collect();
        let truth = of(&[("a", 3.0), ("b", 1.0)]);
        assert_eq!(distance(&truth, &truth), 0);
        assert_eq!(distance(&truth, &of(&[("a", 300.0), ("b", 100.0)])), 0, "shares are compared");
        assert_eq!(distance(&truth, &of(&[("a", 1.0), ("b", 1.0)])), 2_500);
        assert_eq!(distance(&truth, &of(&[("c", 1.0)])), 10_000);
        assert_eq!(distance(&truth, &BTreeMap::new()), 10_000);
    }
}
