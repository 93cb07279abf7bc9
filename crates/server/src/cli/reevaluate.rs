//! `handfast reevaluate`: the leads that wait for a rule are looked at again by a running server; here one watches.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::ServerArgs;
use super::client::CliError;
use super::import::bar;

#[derive(Args)]
pub struct ReevaluateArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only leads below this gate; without it all open leads below MQL.
    #[arg(long, value_enum)]
    gate: Option<Gate>,
    /// Judge also leads of which nothing changed that their rules read.
    #[arg(long)]
    everything: bool,
    /// Say how many leads wait, and look at none.
    #[arg(long)]
    dry_run: bool,
    /// Print the pass as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Gate {
    Iql,
    Mql,
}

macro_rules! pass {
    () => {
        "id uuid cause gate everything status done total unchanged judged moved message"
    };
}

const START: &str = concat!(
    "mutation($input: StartReevaluationInput!) { startReevaluation(input: $input) { reevaluation { ",
    pass!(),
    " } errors { message path code } } }"
);
const PASS: &str = concat!("query($id: ID!) { reevaluation(id: $id) { ", pass!(), " } }");

pub const DOCUMENTS: [&str; 2] = [START, PASS];

pub fn reevaluate(args: ReevaluateArgs) -> Result<ExitCode, CliError> {
    let client = args.server.client();
    let gate = args.gate.map(|gate| match gate {
        Gate::Iql => "IQL",
        Gate::Mql => "MQL",
    });
    let input = json!({"gate": gate, "everything": args.everything, "dryRun": args.dry_run});
    let answer = client.mutate("startReevaluation", START, json!({"input": input}))?;
    let mut pass = answer["reevaluation"].clone();
    let bar = bar();
    while !args.dry_run && (pass["status"] == "QUEUED" || pass["status"] == "RUNNING") {
        let number = |key: &str| pass[key].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        bar.set_length(number("total"));
        bar.set_position(number("done"));
        std::thread::sleep(Duration::from_millis(200));
        pass = client.query(PASS, json!({"id": pass["id"]}))?["reevaluation"].clone();
    }
    bar.finish_and_clear();
    let text = |key: &str| pass[key].as_str().unwrap_or_default().to_owned();
    match (args.json, args.dry_run) {
        (true, _) => println!("{pass}"),
        (_, true) => println!("{} leads wait for a rule", text("total")),
        _ => println!(
            "{} leads: {} judged, {} of them moved, {} unchanged and left alone",
            text("done"),
            text("judged"),
            text("moved"),
            text("unchanged")
        ),
    }
    match pass["status"].as_str() {
        Some("FINISHED") => Ok(ExitCode::SUCCESS),
        _ if args.dry_run => Ok(ExitCode::SUCCESS),
        _ => Err(CliError::Failed(pass["message"].as_str().unwrap_or("the pass did not end").to_owned())),
    }
}
