//! The edge of the server: who is asking, what a request may cost, and the transports of GraphQL.
//!
//! Nothing here knows leads. A request passes `envelope` (id, host, origin), then a transport (`graphql`,
//! `socket` or `sse`), which asks `Admission` who it is, sends the document through the `gate`, and only then
//! executes.

pub mod aside;
pub mod blob;
pub mod config;
pub mod cost;
mod document;
mod envelope;
pub mod export;
mod gate;
mod graphiql;
mod graphql;
mod json;
mod lifecycle;
pub mod media;
mod places;
pub mod problem;
pub mod rate;
pub mod report;
mod run;
mod scan;
mod serve;
mod socket;
mod sse;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod trusted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_graphql::Executor;
use axum::Router;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::routing::{any, get};
use futures_util::future::BoxFuture;
use handfast_domain::time::{Clock, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

pub use config::EdgeConfig;
pub use envelope::RequestId;
pub use lifecycle::Lifecycle;
pub use serve::serve;

use aside::Aside;
use config::SocketLimits;
use cost::{Costs, Weight};
use places::Places;
use problem::{Code, Problem};
use rate::{Peer, Rates};
use trusted::Trusted;

/// Decides who is asking.
pub trait Admission: Clone + Send + Sync + 'static {
    /// Resolvers find it in the request's data.
    type Viewer: Clone + Send + Sync + 'static;

    /// `bearer` is the token alone, `None` when none was sent.
    fn admit(
        &self,
        bearer: Option<&str>,
    ) -> impl Future<Output = Result<Admitted<Self::Viewer>, NotAdmitted>> + Send;

    /// Resolves when the viewer may no longer listen, for example because its token was revoked.
    fn ended(&self, _viewer: &Self::Viewer) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Somebody who may ask.
#[derive(Clone, Debug)]
pub struct Admitted<V> {
    pub viewer: V,
    /// The token that it came with: whose budget and places it uses.
    pub token: Uuid,
    /// Sockets and event streams end at this instant.
    pub expires_at: Option<Instant>,
}

/// Somebody who may not. All get the same answer, so that it tells nothing about tokens; log the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied;

/// Why nobody was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    Denied,
    /// Who it is could not be looked up now. Whoever has a valid token must not think that it has none.
    Busy,
}

impl From<Denied> for NotAdmitted {
    fn from(Denied: Denied) -> Self {
        NotAdmitted::Denied
    }
}

impl From<NotAdmitted> for Problem {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::Denied => Problem::unauthenticated(),
            NotAdmitted::Busy => {
                Problem::new(problem::Code::Busy, "tokens cannot be looked up now, try again later")
            }
        }
    }
}

/// The `Idempotency-Key` header, in the request's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

/// The `Last-Event-ID` header of an event stream, in the request's data: the cursor to resume after. It
/// counts more than an `after` argument, because browsers repeat the first request unchanged when they
/// reconnect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEventId(pub String);

/// `/graphql`, `/graphql/stream`, `/graphiql`, `/healthz` and `/readyz`, with `routes` beside them behind the same host, origin
/// and request id checks. `own` are the documents of the product's own clients. An error says what of the configuration cannot
/// be.
pub fn router<E: Executor, A: Admission>(
    schemas: Schemas<E>,
    admission: A,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
    config: EdgeConfig,
    routes: Router,
    own: &[String],
) -> Result<Router, String> {
    let rates = Arc::new(Rates::new(&config.rate, &config.trusted_proxies));
    let aside = Aside::new(aside::threads()).map_err(|error| format!("no threads for long work: {error}"))?;
    let envelope = Arc::new(envelope::Envelope::new(&config, rates.clone(), aside.clone()));
    let trusted = Trusted::load(&config.documents, &config.limits, own)?;
    let gate = gate::Gate::new(config.limits, schemas.costs.clone(), trusted);
    let edge = Arc::new(Edge {
        schemas,
        admission,
        clock,
        gate,
        rates,
        places: Places::new(&config.socket),
        costly: Semaphore::new(aside::threads()),
        aside,
        socket: config.socket,
        lifecycle: lifecycle.clone(),
        envelope: envelope.clone(),
    });
    let router = Router::new()
        .route("/graphql", any(graphql::handle::<E, A>))
        .route("/graphql/stream", any(sse::handle::<E, A>))
        .with_state(edge)
        .route("/healthz", get(lifecycle::healthz))
        .route("/readyz", get(lifecycle::readyz).with_state(lifecycle))
        .merge(graphiql::routes())
        .merge(routes)
        .layer(axum::middleware::from_fn_with_state(envelope, envelope::wrap));
    Ok(router)
}

/// The token of an `Authorization: Bearer` header: `Ok(None)` without the header, `Err` when it is something
/// else.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(bearer_text).map(Some).ok_or(Denied),
        (Some(_), Some(_)) => Err(Denied),
    }
}

/// One schema in two forms. To hold a document against the schema costs more than a small answer, so that one which agreed
/// before is taken at its word.
#[derive(Clone)]
pub struct Schemas<E> {
    /// Holds every document against itself.
    pub checking: E,
    /// Executes what it gets.
    pub trusting: E,
    costs: Arc<Costs>,
}

impl<E: Executor> Schemas<E> {
    pub fn new(checking: E, trusting: E, weights: &'static [Weight]) -> Self {
        let costs = Arc::new(Costs::of(&trusting, weights));
        Self { checking, trusting, costs }
    }
}

/// Whether a subscription tells the past, in the request's data: its source sets it, and its events are then made aside.
#[derive(Clone, Debug, Default)]
pub struct Behind(Arc<AtomicBool>);

impl Behind {
    pub fn set(&self, behind: bool) {
        self.0.store(behind, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What every transport shares.
struct Edge<E, A> {
    schemas: Schemas<E>,
    admission: A,
    clock: Arc<dyn Clock>,
    gate: gate::Gate,
    rates: Arc<Rates>,
    places: Places,
    /// Costly requests that run at once: more of them would only take the database's connections from all others.
    costly: Semaphore,
    aside: Aside,
    socket: SocketLimits,
    lifecycle: Lifecycle,
    envelope: Arc<envelope::Envelope>,
}

/// From this cost on a request takes a core for milliseconds, and is answered aside.
const COSTLY: u64 = 1_000;

impl<E: Executor, A: Admission> Edge<E, A> {
    async fn admit(&self, headers: &HeaderMap) -> Result<Admitted<A::Viewer>, Problem> {
        let bearer = bearer(headers).map_err(|Denied| Problem::unauthenticated())?;
        Ok(self.admission.admit(bearer).await?)
    }

    /// Takes what an operation costs out of the budgets of a token and of the address that it came from.
    fn spend(&self, token: Uuid, parts: &Parts, cost: u64) -> Result<Option<rate::Left>, Problem> {
        self.rates.spend(token, address(&self.rates, parts), cost)
    }

    /// Waits for the turn of a request that is costly; any other has it at once.
    async fn turn(&self, cost: u64) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if cost < COSTLY {
            return Ok(None);
        }
        let turn = tokio::time::timeout(self.gate.limits().deadline(), self.costly.acquire()).await;
        let busy =
            || Problem::new(Code::Busy, "too many costly requests wait; ask for less, or try again later");
        turn.ok().and_then(Result::ok).map(Some).ok_or_else(busy)
    }

    /// How long a viewer may stay, in milliseconds.
    fn time_left(&self, expires_at: Option<Instant>) -> Option<u64> {
        expires_at.map(|at| u64::try_from(at.since(self.clock.now())).unwrap_or(0))
    }
}

/// Tokens are short; anything longer than this is not worth a look.
const TOKEN_BYTES: usize = 8 * 1024;

fn bearer_text(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_BYTES)
        .then_some(token)
}

/// Where a request came from. One that came over no connection is a test's.
fn address(rates: &Rates, parts: &Parts) -> std::net::IpAddr {
    let peer = parts.extensions.get::<Peer>().copied();
    rates.address(peer.unwrap_or(Peer(std::net::Ipv4Addr::UNSPECIFIED.into())), &parts.headers)
}

/// The request id that the envelope gave; a request always has one.
fn request_id(parts: &Parts, envelope: &envelope::Envelope) -> RequestId {
    parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| envelope.next_id())
}
