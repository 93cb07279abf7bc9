//! Six operations over a million leads, beside the same rows without GraphQL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use handfast_domain::time::Instant;
use serde_json::{Value, json};

use crate::load::{self, Shot};
use crate::server::{Database, Server, opponent, query};
use crate::{Failed, advance, counts, million, table};

#[derive(Args, Clone)]
pub struct ReadArgs {
    /// Leads in the database.
    #[arg(long, default_value_t = 1_000_000)]
    leads: u64,
    /// Length of one round in seconds. Each operation has this many rounds of both servers, in turn.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Leads of the season that the others are copies of.
    #[arg(long, default_value_t = 2_000)]
    season: u64,
    /// Leads that each of the two moves on.
    #[arg(long, default_value_t = 3_000)]
    changes: usize,
    /// Keep the database here, and use it again.
    #[arg(long)]
    keep: Option<PathBuf>,
}

const LEAD: &str = "query Lead($id: ID!) { lead(by: {id: $id}) { uuid stage outcome workState source fit engagement \
     capturedAt account { name domain industry country } persona { key name } } }";
const PAGE: &str = "query Page($after: String) { leads(first: 50, after: $after) { edges { node { uuid stage outcome \
     workState source fit engagement capturedAt account { name domain industry country } campaign { key name kind } } } \
     pageInfo { hasNextPage endCursor } } }";
const TOUCHES: &str = "query Touches($after: String) { leads(first: 50, after: $after) { edges { node { uuid stage outcome \
     workState source fit engagement capturedAt account { name domain industry country } campaign { key name kind } \
     touchpoints(first: 5) { channel content occurredAt campaign { name } } } } pageInfo { hasNextPage endCursor } } }";
const FUNNEL: &str = "{ funnel { stages { stage label open entered } won lost } }";
const RESULTS: &str = "{ campaigns(first: 200) { edges { node { key name results { leads mql sal sql won \
     revenue { amountMinor currency } costPerMql { amountMinor currency } } } } pageInfo { hasNextPage endCursor } } }";

/// One read: what it is called, and what is sent to each server.
pub struct Operation {
    pub name: &'static str,
    pub handfast: Vec<Shot>,
    pub plain: Vec<Shot>,
}

pub async fn run(
    handfast: &Path,
    plugins: &Path,
    database: &Database,
    args: &ReadArgs,
) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let dir =
        args.keep.clone().map_or_else(|| scratch.path().join("data"), |keep| keep.join(database.name()));
    std::fs::create_dir_all(&dir)?;
    let noted = dir.join("tokens.json");
    // A database that is kept has one schema in all runs.
    let database = &Database {
        schema: if args.keep.is_some() { "bench_kept".to_owned() } else { database.schema.clone() },
        ..database.clone()
    };
    if !noted.exists() {
        let tokens = million::season(handfast, plugins, &dir, database, args.season)?;
        let (leads, touches) = million::multiply(database, &dir, args.leads).await?;
        eprintln!("   {}: {leads} leads, {touches} touches", database.name());
        std::fs::write(&noted, serde_json::to_string(&tokens)?)?;
    }
    let tokens: million::Tokens = serde_json::from_str(&std::fs::read_to_string(&noted)?)?;

    let server = Server::start(
        database.command(handfast).args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&dir),
    )?;
    let address = server.address()?;
    let plain = opponent("plain", database, &dir)?;
    let plain_address = plain.address()?;

    let operations = operations(address, &tokens.ops).await?;
    let before = server.memory().0;
    let mut rows = Vec::new();
    for operation in &operations {
        same(address, plain_address, operation).await?;
        rows.push(measure((&server, address), (&plain, plain_address), operation, args).await?);
    }
    let (after, peak) = server.memory();
    let (plain_after, _) = plain.memory();
    server.stop();
    plain.stop();

    let counts = counts::of(database, &dir, &operations).await?;
    for (row, counts) in rows.iter_mut().zip(counts) {
        row.extend(counts);
    }
    table::print(
        &format!(
            "{}: reads over {} leads, {} connections, medians of {} rounds of {} s",
            database.name(),
            args.leads,
            args.connections,
            args.rounds,
            args.seconds
        ),
        &[
            "operation",
            "requests/s",
            "without GraphQL",
            "ratio",
            "CPU ms",
            "without",
            "p99 ms",
            "without",
            "statements",
            "allocations",
            "without",
        ],
        &rows,
    );
    println!(
        "Memory of the server: {} MB at first, {} MB after the reads, {} MB at its peak; the one without GraphQL {} MB.\n",
        before / 1024,
        after / 1024,
        peak / 1024,
        plain_after / 1024
    );
    advance::run(handfast, plugins, database, &dir, &tokens, args.connections, args.changes).await
}

/// What is asked: leads by chance, pages from many places.
async fn operations(address: SocketAddr, token: &str) -> Result<Vec<Operation>, Failed> {
    let graphql = |document: &str, variables: Value| {
        load::post("/graphql", token, &json!({"query": document, "variables": variables}))
    };
    let walk = "query($after: String) { leads(first: 200, after: $after) { edges { node { uuid capturedAt } } pageInfo { endCursor } } }";
    let (mut leads, mut pages, mut after) = (Vec::new(), Vec::new(), Value::Null);
    for _ in 0..100 {
        let page = query(address, token, walk, json!({"after": after}))?["leads"].take();
        let nodes: Vec<&Value> =
            page["edges"].as_array().into_iter().flatten().map(|edge| &edge["node"]).collect();
        leads.extend(nodes.iter().filter_map(|node| node["uuid"].as_str()).map(str::to_owned));
        let Some(last) = nodes.last().filter(|_| nodes.len() == 200) else { break };
        let at = last["capturedAt"].as_str().and_then(Instant::parse).unwrap_or(Instant(0));
        after = page["pageInfo"]["endCursor"].clone();
        pages.push((after.clone(), at.ms(), last["uuid"].as_str().unwrap_or_default().to_owned()));
    }
    // Neighbours of one page are not asked for one after the other.
    let step = 7919 % leads.len().max(1);
    let mixed: Vec<&String> = (0..leads.len()).map(|n| &leads[n * step.max(1) % leads.len()]).collect();
    let page = |document: &str, more: &str| Operation {
        name: if more.is_empty() { "page of 50, two parents" } else { "the same, last five touches" },
        handfast: pages.iter().map(|(after, ..)| graphql(document, json!({"after": after}))).collect(),
        plain: pages.iter().map(|(_, at, id)| load::get(&format!("/leads?at={at}&id={id}{more}"))).collect(),
    };
    Ok(vec![
        Operation {
            name: "lead, account, persona",
            handfast: mixed.iter().map(|id| graphql(LEAD, json!({"id": id}))).collect(),
            plain: mixed.iter().map(|id| load::get(&format!("/lead/{id}"))).collect(),
        },
        page(PAGE, ""),
        page(TOUCHES, "&touches=true"),
        Operation {
            name: "funnel counts",
            handfast: vec![graphql(FUNNEL, json!({}))],
            plain: vec![load::get("/funnel")],
        },
        Operation {
            name: "results of 200 campaigns",
            handfast: vec![graphql(RESULTS, json!({}))],
            plain: vec![load::get("/campaigns")],
        },
    ])
}

/// Both answer the same rows, but for the form of their page cursors, and for what ours says of its cost.
async fn same(handfast: SocketAddr, plain: SocketAddr, operation: &Operation) -> Result<(), Failed> {
    for number in [0, operation.handfast.len() / 2, operation.handfast.len() - 1] {
        let mut ours = load::once(handfast, &operation.handfast[number]).await?;
        let mut theirs = load::once(plain, &operation.plain[number]).await?;
        for answer in [&mut ours, &mut theirs] {
            for list in ["leads", "campaigns"] {
                if let Some(info) =
                    answer["data"].get_mut(list).and_then(|list| list["pageInfo"].as_object_mut())
                {
                    info.remove("endCursor");
                }
            }
        }
        let (ours, theirs) = (ours["data"].to_string(), theirs["data"].to_string());
        if let Some(at) = ours.bytes().zip(theirs.bytes()).position(|(a, b)| a != b) {
            let near = |text: &str| text.chars().skip(at.saturating_sub(60)).take(200).collect::<String>();
            let (ours, theirs) = (near(&ours), near(&theirs));
            return Err(Failed(format!("{}: the answers differ:\n…{ours}…\n…{theirs}…", operation.name)));
        }
    }
    Ok(())
}

async fn measure(
    handfast: (&Server, SocketAddr),
    plain: (&Server, SocketAddr),
    operation: &Operation,
    args: &ReadArgs,
) -> Result<Vec<String>, Failed> {
    let time = Duration::from_secs_f64(args.seconds);
    let sides =
        [(handfast, Arc::new(operation.handfast.clone())), (plain, Arc::new(operation.plain.clone()))];
    let mut found = [const { Vec::new() }; 2];
    for round in 0..=args.rounds {
        for (side, ((server, address), shots)) in sides.iter().enumerate() {
            // The first round only warms up.
            let time = if round == 0 { time / 4 } else { time };
            let before = server.cpu();
            let round_ = load::fire(*address, shots.clone(), args.connections, time, false).await?;
            let cpu = (server.cpu() - before).as_secs_f64() * 1e3 / round_.requests.max(1) as f64;
            if round > 0 {
                found[side].push([round_.per_second(), cpu, round_.p99.as_secs_f64() * 1e3]);
            }
        }
    }
    let [ours, theirs] = found
        .map(|rounds| [0, 1, 2].map(|figure| median(rounds.iter().map(|round| round[figure]).collect())));
    eprintln!("   {}: {:.0} and {:.0} a second", operation.name, ours[0], theirs[0]);
    Ok(vec![
        operation.name.to_owned(),
        format!("{:.0}", ours[0]),
        format!("{:.0}", theirs[0]),
        format!("{:.2}", ours[0] / theirs[0]),
        format!("{:.3}", ours[1]),
        format!("{:.3}", theirs[1]),
        format!("{:.1}", ours[2]),
        format!("{:.1}", theirs[2]),
    ])
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
