//! What one request costs where no clock is needed: statements, and allocations of the whole process. Both servers answer
//! inside this one for it.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use handfast::app::{App, RandomIds, SystemClock};
use handfast::cli::serve;
use handfast::config::Config;
use handfast::http::Lifecycle;
use handfast_store::rows::counted;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region};
use tower::ServiceExt;

use crate::Failed;
use crate::load::Shot;
use crate::plain;
use crate::reads::Operation;
use crate::server::Database;

/// Statements, allocations, and allocations of the opponent, for each operation.
pub async fn of(
    database: &Database,
    dir: &Path,
    operations: &[Operation],
) -> Result<Vec<Vec<String>>, Failed> {
    let app = open(database, dir).await?;
    let lifecycle = Lifecycle::new();
    let ours = serve::router(&app, &config(database, dir)?, lifecycle.clone(), Router::new())?;
    lifecycle.ready();
    let theirs = plain::router(database, dir).await?;
    let mut found = Vec::new();
    for operation in operations {
        let (allocations, statements) = cost(&ours, &operation.handfast).await?;
        let (without, _) = cost(&theirs, &operation.plain).await?;
        found.push(vec![statements.to_string(), allocations.to_string(), without.to_string()]);
    }
    app.store.close().await;
    Ok(found)
}

pub fn config(database: &Database, dir: &Path) -> Result<Config, Failed> {
    let mut config = Config::load(None, std::iter::empty()).map_err(|error| Failed(error.to_string()))?;
    config.server.data_dir = dir.to_owned();
    // One caller asks for all here.
    (config.edge.rate.token_per_second, config.edge.rate.address_per_second) = (0, 0);
    config.database.url = database.postgres.clone().unwrap_or_default();
    if database.postgres.is_some() {
        config.database.schema.clone_from(&database.schema);
    }
    Ok(config)
}

pub async fn open(database: &Database, dir: &Path) -> Result<App, Failed> {
    let app = App::open(&config(database, dir)?, Arc::new(SystemClock), Arc::new(RandomIds::default())).await;
    app.map_err(|error| Failed(error.to_string()))
}

/// The median of some requests, after others that fill the caches.
async fn cost(router: &Router, shots: &[Shot]) -> Result<(usize, u64), Failed> {
    let mut found = Vec::new();
    for number in 0..60 {
        let request = parse(&shots[number % shots.len()])?;
        let region = Region::new(&INSTRUMENTED_SYSTEM);
        let (answer, statements) = counted(async {
            let answer = router.clone().oneshot(request).await.map_err(|error| Failed(error.to_string()))?;
            axum::body::to_bytes(answer.into_body(), usize::MAX)
                .await
                .map_err(|error| Failed(error.to_string()))
        })
        .await;
        answer?;
        if number >= 30 {
            found.push((region.change().allocations, statements));
        }
    }
    found.sort_unstable();
    Ok(found[found.len() / 2])
}

/// A shot as the request that it says.
fn parse(shot: &Shot) -> Result<Request<Body>, Failed> {
    let text = String::from_utf8_lossy(shot);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut request =
        Request::builder().method(first.next().unwrap_or("GET")).uri(first.next().unwrap_or("/"));
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_owned())).map_err(|error| Failed(error.to_string()))
}
