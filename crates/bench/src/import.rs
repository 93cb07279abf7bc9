//! An import of synthetic leads from the past: each is judged by the scorecard as of its own day, and stored with its
//! decision and snapshot.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::server::{Database, Server, push_scorecard, query};
use crate::{Failed, root, table};

#[derive(Args)]
pub struct ImportArgs {
    /// Rows of the file.
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
}

pub async fn run(
    handfast: &Path,
    plugins: &Path,
    database: &Database,
    args: &ImportArgs,
) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let (file, mapping) = (scratch.path().join("leads.csv"), scratch.path().join("mapping.json"));
    std::fs::write(&file, leads(args.rows))?;
    std::fs::write(&mapping, MAPPING)?;
    let dir = scratch.path().join("data");
    let database = Database { schema: format!("{}_import", database.schema), ..database.clone() };
    let server = Server::start(
        database.command(handfast).args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&dir),
    )?;
    let address = server.address()?;
    let token = server.says("hf_", Duration::from_secs(20)).map(|rest| format!("hf_{rest}"))?;
    let cli = || {
        let mut command = Command::new(handfast);
        command
            .env("HANDFAST_URL", format!("http://{address}"))
            .env("HANDFAST_TOKEN", &token)
            .stderr(Stdio::inherit());
        command
    };
    let digest = push_scorecard(handfast, plugins, address, &token)?;
    let card = std::fs::read_to_string(root().join("plugins/scorecard/settings/default.json"))?;
    let input = json!({"slot": "mql", "digest": digest, "settings": card, "mode": "LIVE"});
    let deploy =
        "mutation($input: DeployPluginInput!) { deployPlugin(input: $input) { errors { message } } }";
    query(address, &token, deploy, json!({"input": input}))?;

    let (cpu, began) = (server.cpu(), Instant::now());
    let status =
        cli().arg("import").arg(&file).arg("--mapping").arg(&mapping).stdout(Stdio::null()).status()?;
    let (took, cpu) = (began.elapsed(), server.cpu() - cpu);
    let counted = query(address, &token, "{ funnel { stages { entered } } }", json!({}))?;
    if !status.success() || !counted.to_string().contains(&format!("\"{}\"", args.rows)) {
        return Err(Failed(format!("the import ended with {status}: {counted}")));
    }
    table::print(
        &format!("{}: an import of {} leads, a decision and a snapshot each", database.name(), args.rows),
        &["seconds", "leads/s", "server CPU µs each", "server MB at its peak"],
        &[vec![
            format!("{:.1}", took.as_secs_f64()),
            format!("{:.0}", args.rows as f64 / took.as_secs_f64()),
            format!("{:.0}", cpu.as_secs_f64() * 1e6 / args.rows as f64),
            (server.memory().1 / 1024).to_string(),
        ]],
    );
    println!();
    server.stop();
    Ok(())
}

const MAPPING: &str = r#"{"system": "synthetic", "id": "id", "occurredAt": {"column": "created", "pattern": "%Y-%m-%d %H:%M"},
"lead": {"email": "email", "name": "name", "seniority": "seniority", "source": "origin", "campaign": "campaign",
"company": {"name": "company", "domain": "domain", "industry": "industry", "employees": "staff"}},
"traits": [{"key": "seats", "kind": "integer", "from": "seats"}], "createCampaigns": "landing-page"}"#;

/// A file that is the same in every run.
fn leads(rows: u64) -> String {
    let mut text =
        String::from("id,created,email,name,seniority,company,domain,industry,staff,origin,campaign,seats\n");
    // A linear congruential generator by Knuth's constants: any spread will do.
    let mut state = 5u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for n in 0..rows {
        let (month, day, hour, minute) = (1 + draw(12), 1 + draw(28), draw(24), draw(60));
        let company = draw((rows / 5).max(1));
        let seniority = ["C_LEVEL", "VP", "DIRECTOR", "MANAGER", "STAFF"][draw(5) as usize];
        let industry = ["logistics", "retail", "food", "software", "automotive"][draw(5) as usize];
        let origin = ["organic_search", "paid_search", "social"][draw(3) as usize];
        let (staff, campaign, seats) = (5 + draw(3_000), draw(50), 1 + draw(500));
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{n},2025-{month:02}-{day:02} {hour:02}:{minute:02},p{n}@company{company}.example,Person {n},{seniority},\
             Company {company},company{company}.example,{industry},{staff},{origin},camp-{campaign},{seats}"
        );
    }
    text
}
