//! A lead moves on, durably: sales accepts hand-offs over GraphQL, and by the same flow behind a plain route.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use handfast::app::App;
use handfast::flows::lead::{Target, change};
use handfast::flows::{Error, Viewer, scope};
use handfast_domain::stage::Cause;
use handfast_store::lead::leads;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::load::{self, Shot};
use crate::million::Tokens;
use crate::server::{Database, OpponentArgs, Server, opponent, push_scorecard, query};
use crate::{Failed, counts, table};

const ACCEPT: &str = "mutation Accept($id: ID!) { acceptHandoff(input: {lead: {id: $id}}) { lead { uuid stage version } \
     errors { message } } }";
/// Key of the demo's head of sales.
const SALES: &str = "sam-sales";

pub async fn run(
    handfast: &Path,
    plugins: &Path,
    database: &Database,
    dir: &Path,
    tokens: &Tokens,
    connections: usize,
    changes: usize,
) -> Result<(), Failed> {
    let serve = || database.command(handfast);
    let server = Server::start(serve().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir))?;
    let address = server.address()?;
    let offered = offer(handfast, plugins, address, &tokens.ops, 2 * changes)?;
    let (ours, theirs) = offered[..2 * changes].split_at(changes);
    let accept =
        |lead| load::post("/graphql", &tokens.sales, &json!({"query": ACCEPT, "variables": {"id": lead}}));
    let shots: Vec<Shot> = ours.iter().map(accept).collect();
    let before = accepted(address, &tokens.ops)?;
    let with = timed(&server, address, shots, connections).await?;
    let moved = accepted(address, &tokens.ops)? - before;
    server.stop();
    // A refusal is an answer, too, and a quick one.
    if moved != changes as i64 {
        return Err(Failed(format!("{moved} of {changes} hand-offs were accepted over GraphQL")));
    }

    let server = opponent("flows", database, dir)?;
    let address = server.address()?;
    let shots = theirs.iter().map(|lead| load::post(&format!("/accept/{lead}/{SALES}"), "", &json!({})));
    let without = timed(&server, address, shots.collect(), connections).await?;
    server.stop();

    let row = |name: &str, (per_second, cpu, p99): (f64, f64, f64)| {
        vec![name.to_owned(), format!("{per_second:.0}"), format!("{cpu:.3}"), format!("{p99:.1}")]
    };
    table::print(
        &format!(
            "{}: a lead moves on to SAL, {} each, acknowledged when it is on disk",
            database.name(),
            ours.len()
        ),
        &["", "changes/s", "CPU ms", "p99 ms"],
        &[row("acceptHandoff over GraphQL", with), row("the same flow without GraphQL", without)],
    );
    println!("Ratio {:.2}.\n", with.0 / without.0);
    Ok(())
}

/// Cycles that have entered SAL.
fn accepted(address: SocketAddr, token: &str) -> Result<i64, Failed> {
    let answer = query(address, token, "{ funnel { stages { stage entered } } }", json!({}))?;
    let stages = answer["funnel"]["stages"].as_array().cloned().unwrap_or_default();
    let entered = stages.iter().find(|stage| stage["stage"] == "SAL").map(|stage| &stage["entered"]);
    entered
        .and_then(|entered| entered.as_str()?.parse().ok())
        .ok_or_else(|| Failed(format!("no count of SAL in {answer}")))
}

async fn timed(
    server: &Server,
    to: SocketAddr,
    shots: Vec<Shot>,
    connections: usize,
) -> Result<(f64, f64, f64), Failed> {
    let before = server.cpu();
    let round = load::fire(to, Arc::new(shots), connections, Duration::from_secs(600), true).await?;
    let cpu = (server.cpu() - before).as_secs_f64() * 1e3 / round.requests.max(1) as f64;
    Ok((round.per_second(), cpu, round.p99.as_secs_f64() * 1e3))
}

/// Captures leads under a card that lets everybody pass and without a router, so that each waits in a queue of sales, whatever
/// the hour: a router would give them to whoever works just then.
fn offer(
    handfast: &Path,
    plugins: &Path,
    address: SocketAddr,
    token: &str,
    changes: usize,
) -> Result<Vec<String>, Failed> {
    let mutate = |document: &str, variables: Value| query(address, token, document, variables);
    let digest = push_scorecard(handfast, plugins, address, token)?;
    let card = json!({"thresholds": {"advance": -1000}}).to_string();
    let input = json!({"slot": "mql", "digest": digest, "settings": card, "mode": "LIVE"});
    let deploy =
        "mutation($input: DeployPluginInput!) { deployPlugin(input: $input) { errors { message } } }";
    let answer = mutate(deploy, json!({"input": input}))?;
    if answer["deployPlugin"]["errors"] != json!([]) {
        return Err(Failed(answer.to_string()));
    }
    let input = json!({"slot": "routing", "reason": "the benchmark accepts from queues"});
    let back = "mutation($input: RollbackInput!) { rollback(input: $input) { errors { path message } } }";
    let answer = mutate(back, json!({"input": input}))?;
    // In a database that is used again it went back before.
    let errors = answer["rollback"]["errors"].as_array().cloned().unwrap_or_default();
    if errors.iter().any(|error| error["path"] != json!(["input", "slot"])) {
        return Err(Failed(answer.to_string()));
    }
    let run = std::process::id();
    let mut found = Vec::new();
    let capture = "mutation($leads: [LeadInput!]!) { captureLeads(input: {leads: $leads}) { results { lead { uuid stage owner { key } } } } }";
    for batch in 0..changes.div_ceil(100) {
        let leads: Vec<Value> = (0..100)
            .map(|n| {
                let company = json!({"name": format!("Buyer {batch}-{n}"), "industry": "retail", "country": "DE", "employees": "200"});
                let email = format!("buyer-{n}@{batch}.run-{run}.example");
                json!({"email": email, "consent": true, "country": "DE", "company": company})
            })
            .collect();
        let answer = mutate(capture, json!({"leads": leads}))?;
        for result in answer["captureLeads"]["results"].as_array().into_iter().flatten() {
            let lead = &result["lead"];
            if lead["stage"] == "MQL" {
                found.push(lead["uuid"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    if found.len() < changes {
        return Err(Failed(format!("only {} leads were handed over", found.len())));
    }
    Ok(found)
}

/// The flow behind a plain route.
pub async fn serve(args: OpponentArgs) -> Result<(), Failed> {
    let app = counts::open(&args.database(), &args.dir).await?;
    let router = Router::new().route("/accept/{lead}/{user}", post(accept)).with_state(app.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("Handfast serves http://{}/graphql", listener.local_addr()?);
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // Whatever comes, it is the signal.
            let _ = ended.recv().await;
        })
        .await?;
    app.store.close().await;
    Ok(())
}

async fn accept(
    State(app): State<App>,
    UrlPath((lead, user)): UrlPath<(Uuid, String)>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let wrong = |error: Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let workspace = app.workspace();
    let found = workspace.directory.users.iter().find(|found| found.key == user);
    let user =
        found.and_then(|found| workspace.user(found.id)).cloned().ok_or((StatusCode::NOT_FOUND, user))?;
    let viewer = Viewer { user, token: None, scopes: [scope::LEADS_WRITE.to_owned()].into() };
    let target = Target { viewer: &viewer, lead, expected_version: None, once: None, dry_run: false };
    change(&app, &target, Cause::Sales, None, |draft| draft.accept_handoff(viewer.id()))
        .await
        .map_err(wrong)?;
    let found = leads(app.store.read(), &[lead]).await.map_err(|error| wrong(error.into()))?;
    let lead = found.first().map(|stored| json!({"uuid": stored.lead.id, "stage": stored.lead.stage.as_str(), "version": stored.lead.version}));
    Ok(Json(json!({"lead": lead})))
}
