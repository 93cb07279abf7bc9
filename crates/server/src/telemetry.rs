//! What the process counts of itself, for Prometheus: `GET /metrics`. Numbers, words of closed lists, and the ids of webhooks,
//! which are few: no key of a caller, no contact data. It needs no token, as `/healthz` does; a proxy keeps it from strangers.

use std::sync::OnceLock;
use std::time::Duration;

use async_graphql::Response as GraphQlResponse;
use async_graphql::parser::types::OperationType;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use handfast_domain::evaluation::Decision;
use handfast_domain::webhook::AttemptResult;
use metrics::{Counter, Histogram, SharedString, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tracing_subscriber::filter::Directive;
use uuid::Uuid;

use crate::app::App;

/// Seconds, from a look-up to what no user waits for.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Objects: one, a page, a page with parents, all that is allowed.
const COSTS: [f64; 6] = [1.0, 10.0, 100.0, 500.0, 2_500.0, 10_000.0];

/// What lets the spans of `[log] spans` through; all have one target. Without it they cost next to nothing.
pub fn spans() -> Directive {
    format!("{}=debug", handfast_store::SPANS).parse().unwrap_or_default()
}

/// Begins to count, once in a process.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_cost".to_owned()), &COSTS)?
        .install_recorder()?;
    metrics::describe_counter!("handfast_http_requests_total", "Answers, by route and status");
    metrics::describe_histogram!("handfast_http_request_seconds", "Time to the first byte of an answer");
    metrics::describe_counter!(
        "handfast_graphql_operations_total",
        "Operations that were carried out, by kind"
    );
    metrics::describe_histogram!(
        "handfast_graphql_operation_seconds",
        "Time of an operation; of a subscription none"
    );
    metrics::describe_counter!("handfast_errors_total", "Errors in answers, by code");
    metrics::describe_histogram!(
        "handfast_graphql_cost",
        "What operations cost: objects that their answers may hold"
    );
    metrics::describe_counter!(
        "handfast_documents_total",
        "Documents that came as text, by whether they are trusted; where edge.documents says so"
    );
    metrics::describe_gauge!("handfast_streams_open", "Sockets and event streams");
    metrics::describe_counter!("handfast_decisions_total", "Decisions of rules, by status and outcome");
    metrics::describe_counter!("handfast_rule_fuel_total", "Fuel that rules have used");
    metrics::describe_gauge!("handfast_rule_calls_waiting", "Calls of rules that run or wait for a thread");
    metrics::describe_counter!("handfast_writes_total", "Write commands, by result");
    metrics::describe_gauge!("handfast_writes_waiting", "Write commands that run or wait for the writer");
    metrics::describe_histogram!(
        "handfast_write_seconds",
        "Time of a write command, from asking to its acknowledgement"
    );
    metrics::describe_gauge!("handfast_feed_position", "Newest position of the feed that this process knows");
    metrics::describe_counter!("handfast_webhook_attempts_total", "Attempts to deliver an event, by result");
    metrics::describe_counter!("handfast_webhook_dead_total", "Deliveries of which every attempt failed");
    metrics::describe_gauge!(
        "handfast_webhook_lag",
        "Events between a webhook's place and the end of the feed; told by the node that plans"
    );
    metrics::describe_gauge!(
        "handfast_webhook_waiting",
        "Deliveries that are not closed; told by the node that plans"
    );
    metrics::describe_gauge!("handfast_importing", "1 while an import is under way");
    metrics::describe_gauge!("process_resident_memory_bytes", "Memory of this process");
    Ok(handle)
}

#[derive(Clone)]
struct Told {
    app: App,
    handle: PrometheusHandle,
}

pub fn routes(app: App, handle: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(tell)).with_state(Told { app, handle })
}

async fn tell(State(Told { app, handle }): State<Told>) -> Response {
    gauge!("handfast_feed_position").set(*app.store.head().borrow() as f64);
    gauge!("handfast_rule_calls_waiting").set(app.host.waiting() as f64);
    let importing = app.importing.load(std::sync::atomic::Ordering::Relaxed);
    gauge!("handfast_importing").set(f64::from(u8::from(importing)));
    if let Some(bytes) = resident() {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    handle.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response()
}

/// Memory of this process in bytes, where the kernel tells it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Paths with names of their own. One that somebody made up is none: the list of names must not grow with them.
const ROUTES: [&str; 9] = [
    "/graphql",
    "/graphql/stream",
    "/graphiql",
    "/blobs",
    "/events.ndjson",
    "/healthz",
    "/readyz",
    "/metrics",
    "other",
];

fn route_number(path: &str) -> usize {
    ROUTES.iter().position(|route| *route == path).unwrap_or(ROUTES.len() - 1)
}

/// The name of a path.
pub fn route(path: &str) -> &'static str {
    ROUTES[route_number(path)]
}

/// What every request counts is looked up once: its name and labels would be put together for each.
struct Kept<const N: usize>([OnceLock<(Counter, Histogram)>; N]);

impl<const N: usize> Kept<N> {
    const fn new() -> Self {
        Kept([const { OnceLock::new() }; N])
    }

    fn count(&self, number: usize, find: impl FnOnce() -> (Counter, Histogram), time: Option<Duration>) {
        let (counter, histogram) = self.0[number].get_or_init(find);
        counter.increment(1);
        if let Some(time) = time {
            histogram.record(time);
        }
    }
}

/// An answer went out.
pub fn answered(path: &str, status: u16, time: Duration) {
    static GOOD: Kept<{ ROUTES.len() }> = Kept::new();
    let number = route_number(path);
    let route = ROUTES[number];
    let find = || {
        let counter =
            counter!("handfast_http_requests_total", "route" => route, "status" => status.to_string());
        (counter, histogram!("handfast_http_request_seconds", "route" => route))
    };
    if status == 200 {
        return GOOD.count(number, find, Some(time));
    }
    let (counter, histogram) = find();
    counter.increment(1);
    histogram.record(time);
}

/// A query or mutation was carried out, or a subscription began.
pub fn operation(kind: OperationType, time: Option<Duration>) {
    static KINDS: Kept<3> = Kept::new();
    let (number, kind) = match kind {
        OperationType::Query => (0, "query"),
        OperationType::Mutation => (1, "mutation"),
        OperationType::Subscription => (2, "subscription"),
    };
    let find = || {
        let counter = counter!("handfast_graphql_operations_total", "kind" => kind);
        (counter, histogram!("handfast_graphql_operation_seconds", "kind" => kind))
    };
    KINDS.count(number, find, time);
}

/// An operation passed the gate at a cost.
pub fn cost(cost: u64) {
    static COST: OnceLock<Histogram> = OnceLock::new();
    COST.get_or_init(|| histogram!("handfast_graphql_cost")).record(cost as f64);
}

/// A document came as text.
pub fn document(known: bool) {
    let trusted = if known { "yes" } else { "no" };
    counter!("handfast_documents_total", "trusted" => trusted).increment(1);
}

/// The errors of an answer, each with its code.
pub fn errors(response: &GraphQlResponse) {
    for one in &response.errors {
        let code = match one.extensions.as_ref().and_then(|extensions| extensions.get("code")) {
            Some(async_graphql::Value::String(code)) => code.clone(),
            Some(async_graphql::Value::Enum(code)) => code.to_string(),
            _ => continue,
        };
        error(code);
    }
}

/// A refusal, by its code.
pub fn error(code: impl Into<SharedString>) {
    counter!("handfast_errors_total", "code" => code.into()).increment(1);
}

/// A rule has judged, or could not.
pub fn decided(decision: &Decision) {
    let outcome = decision.outcome.as_ref().map_or_else(|| "NONE".to_owned(), word);
    counter!("handfast_decisions_total", "status" => word(&decision.status), "outcome" => outcome)
        .increment(1);
    counter!("handfast_rule_fuel_total").increment(decision.fuel);
}

/// An attempt to deliver an event has ended.
pub fn webhook_attempt(result: AttemptResult, dead: bool) {
    counter!("handfast_webhook_attempts_total", "result" => result.as_str()).increment(1);
    if dead {
        counter!("handfast_webhook_dead_total").increment(1);
    }
}

/// How many events lie between each webhook's place and the end of the feed.
pub fn webhook_lags(lags: impl Iterator<Item = (Uuid, i64)>) {
    for (webhook, lag) in lags {
        gauge!("handfast_webhook_lag", "webhook" => webhook.to_string()).set(lag.max(0) as f64);
    }
}

/// Deliveries that are to be sent or wait for one that is.
pub fn webhook_waiting(count: i64) {
    gauge!("handfast_webhook_waiting").set(count as f64);
}

/// A word of a closed list, as the API spells it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A place among the open sockets and event streams; it is counted as long as it lives.
pub struct Stream(#[expect(dead_code, reason = "held, so that the place is taken")] OwnedSemaphorePermit);

impl Stream {
    pub fn new(place: OwnedSemaphorePermit) -> Stream {
        gauge!("handfast_streams_open").increment(1.0);
        Stream(place)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        gauge!("handfast_streams_open").decrement(1.0);
    }
}
