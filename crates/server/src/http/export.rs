//! `GET /events.ndjson`: the log as lines of JSON, page by page, up to where it ended when the request came.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_graphql::ID;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use handfast_domain::event::{ActorKind, StreamKind};
use handfast_domain::filter::EventFilter;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::StageKind;
use handfast_store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::media::Media;
use super::problem::{Code, Problem};
use super::rate::{self, Peer, Rates};
use super::{Admission, Lifecycle, RequestId, bearer};
use crate::admission::Tokens;
use crate::app::App;
use crate::flows::feed::{self, Asked, FeedEdge, Reading};
use crate::flows::{Error, scope, told};
use crate::graphql::scalar::local;

/// Where to go on from once the whole answer was read.
pub const CURSOR: HeaderName = HeaderName::from_static("handfast-cursor");

/// Events of one page, and what each costs: an object of ten scalars, as in an answer of GraphQL.
const PAGE: usize = 200;
const EVENT_COST: u64 = 2;
/// What asking costs, besides.
const REQUEST_COST: u64 = 10;
/// Exports that go on at once in this process; each holds a page in memory.
const AT_ONCE: usize = 32;

const PARAMETERS: &[&str] =
    &["after", "until", "consumer", "kinds", "streams", "lead", "actors", "to", "from"];

#[derive(Clone)]
struct Door {
    app: App,
    tokens: Tokens,
    lifecycle: Lifecycle,
    places: Arc<Semaphore>,
}

pub fn routes(app: App, tokens: Tokens, lifecycle: Lifecycle) -> Router {
    let door = Door { app, tokens, lifecycle, places: Arc::new(Semaphore::new(AT_ONCE)) };
    Router::new().route("/events.ndjson", any(get)).with_state(door)
}

async fn get(State(door): State<Door>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::unknown);
    match open(&door, &parts).await {
        Ok(answer) => answer,
        Err(problem) => {
            let refused = problem.code == Code::MethodNotAllowed;
            // As for an event stream: a refusal is told by its status.
            let mut answer = problem.into_http(Media::GraphQl, &id);
            if refused {
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            answer
        }
    }
}

async fn open(door: &Door, parts: &Parts) -> Result<Response, Problem> {
    if parts.method != Method::GET {
        return Err(Problem::new(Code::MethodNotAllowed, "read the log with GET /events.ndjson"));
    }
    let Door { app, tokens, lifecycle, places } = door;
    let token = bearer(&parts.headers).map_err(|_| Problem::unauthenticated())?;
    let admitted = tokens.admit(token).await?;
    let viewer = &admitted.viewer;
    viewer.require(scope::LEADS_READ).map_err(|refused| refusal(&refused))?;
    let (asked, until) = read(parts)?;
    if lifecycle.is_draining() {
        return Err(Problem::new(Code::Busy, "the server is shutting down"));
    }
    let place = places.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::new(Code::Busy, "too many exports go on, try again later"))?;
    let rates = parts.extensions.get::<Arc<Rates>>().cloned();
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(Peer(Ipv4Addr::UNSPECIFIED.into()));
    let address = rates.as_ref().map(|rates| rates.address(peer, &parts.headers));
    let left = match rates.as_ref().zip(address) {
        Some((rates, address)) => rates.spend(admitted.token, address, REQUEST_COST)?,
        None => None,
    };
    app.store.settle().await.map_err(|error| failed(error.into()))?;
    let reading = feed::reading(app, viewer, asked, FeedEdge::Beginning).await.map_err(failed)?;
    let head = *app.store.head().borrow();
    let end = match until {
        Some(cursor) => feed::place(app, &cursor).await.map_err(failed)?.min(head),
        None => head,
    };
    let end = end.max(reading.after);
    let expired = admitted.expires_at.map(|at| u64::try_from(at.since(app.now())).unwrap_or(0));
    let (ended, mut stay) = (tokens.ended(viewer), lifecycle.stay());
    let stop: BoxFuture<'static, &'static str> = Box::pin(async move {
        let expired = async {
            match expired {
                Some(left) => tokio::time::sleep(std::time::Duration::from_millis(left)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => "the token has expired",
            () = ended => "the token was revoked",
            () = stay.over() => "the server is shutting down",
        }
    });
    let next_cursor = app.store.cursors().feed(end);
    let pages = Pages { app: app.clone(), reading, end, stop, _place: place };
    let pages = stream::unfold(Some(pages), Pages::next).boxed();
    let pages = match rates.zip(address) {
        Some((rates, address)) => rates.paced(pages, admitted.token, address, PAGE as u64 * EVENT_COST),
        None => pages,
    };
    let mut answer = Body::from_stream(pages).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if let Ok(cursor) = HeaderValue::from_str(&next_cursor) {
        headers.insert(CURSOR, cursor);
    }
    if let Some(left) = left {
        rate::write(left, headers);
    }
    Ok(answer)
}

/// What is still to be read. It holds one page at a time.
struct Pages {
    app: App,
    reading: Reading,
    end: i64,
    /// Says why nothing more may be told.
    stop: BoxFuture<'static, &'static str>,
    _place: OwnedSemaphorePermit,
}

impl Pages {
    /// The next lines; an error cuts the answer off, so that nobody takes it for whole.
    async fn next(rest: Option<Pages>) -> Option<(io::Result<Bytes>, Option<Pages>)> {
        let mut pages = rest?;
        let Pages { app, reading, end, stop, .. } = &mut pages;
        if reading.after >= *end {
            return None;
        }
        let page = tokio::select! {
            page = lines(app, reading, *end) => page,
            why = stop => return Some((Err(io::Error::other(why)), None)),
        };
        // A page on which nothing passes the filter is none on the wire, and is paid for all the same.
        match page {
            Ok(lines) => Some((Ok(lines), Some(pages))),
            Err(error) => {
                tracing::error!(%error, "an export could not go on");
                Some((Err(io::Error::other("the log could not be read")), None))
            }
        }
    }
}

async fn lines(app: &App, reading: &mut Reading, end: i64) -> Result<Bytes, StoreError> {
    let page = app.store.events_after(reading.after, PAGE, &reading.filter).await?;
    reading.after = page.next;
    let mut lines = String::new();
    for event in page.events.iter().take_while(|event| event.position <= end) {
        lines.push_str(&told::json(event, app.store.cursors())?);
        lines.push('\n');
    }
    Ok(lines.into())
}

/// What the query string asks for, and up to which cursor.
fn read(parts: &Parts) -> Result<(Asked, Option<String>), Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|_| Problem::new(Code::BadRequest, "the query string is not UTF-8 in percent encoding"))?;
    let mut given = HashMap::new();
    for (name, value) in pairs.0 {
        if !PARAMETERS.contains(&name.as_str()) {
            let text = format!("no parameter {name:?}; there are {}", PARAMETERS.join(", "));
            return Err(Problem::new(Code::BadRequest, text));
        }
        if given.insert(name.clone(), value).is_some() {
            let text = format!("{name} is given twice; several values of one are joined by commas");
            return Err(Problem::new(Code::BadRequest, text));
        }
    }
    let mut take = |name: &str| given.remove(name).filter(|text| !text.is_empty());
    let (after, until, consumer) = (take("after"), take("until"), take("consumer"));
    let lead = take("lead").map(|text| local("Lead", &ID(text), "lead")).transpose();
    let lead = lead.map_err(|refused| refusal(&refused))?;
    let filter = EventFilter {
        kinds: list("kinds", take("kinds"), |text| Some(text.to_owned()), &[])?,
        stream: lead.map(|id| (StreamKind::Lead.as_str().to_owned(), id)),
        streams: list(
            "streams",
            take("streams"),
            StreamKind::parse,
            &names(StreamKind::ALL, StreamKind::as_str),
        )?,
        actors: list("actors", take("actors"), ActorKind::parse, &names(ActorKind::ALL, ActorKind::as_str))?,
        to: list("to", take("to"), StageKind::parse, &names(StageKind::ALL, StageKind::as_str))?,
        from: list("from", take("from"), StageKind::parse, &names(StageKind::ALL, StageKind::as_str))?,
    };
    Ok((Asked { after, consumer, filter, resumed: None }, until))
}

fn names<T: Copy>(all: &[T], text: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|one| text(*one)).collect()
}

fn list<T>(
    name: &str,
    given: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
) -> Result<Vec<T>, Problem> {
    let given = given.unwrap_or_default();
    let words = given.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            parse(word).ok_or_else(|| {
                let text = format!("{name}: {word:?} is none of {}", known.join(", "));
                Problem::new(Code::BadRequest, text)
            })
        })
        .collect()
}

/// A refusal of the product as one of the edge; cursors keep their codes.
fn refusal(refused: &Refused) -> Problem {
    let code = match refused.code {
        RefusalCode::Forbidden => Code::Forbidden,
        RefusalCode::NotFound => Code::NotFound,
        RefusalCode::CursorInvalid => Code::CursorInvalid,
        RefusalCode::CursorEpochChanged => Code::CursorEpochChanged,
        RefusalCode::CursorAhead => Code::CursorAhead,
        _ => Code::BadRequest,
    };
    Problem::new(code, refused.message.clone())
}

fn failed(error: Error) -> Problem {
    match error {
        Error::Refused(refused) => refused.first().map_or_else(Problem::internal, refusal),
        Error::Store(error) if error.retryable() => Problem::new(Code::Busy, error.to_string()),
        error => {
            tracing::error!(%error, "an export could not begin");
            Problem::internal()
        }
    }
}
