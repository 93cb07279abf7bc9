//! GraphQL over server-sent events, as graphql-sse does with distinct connections: `GET` and `POST
//! /graphql/stream`.
//!
//! Each event is named `next` and has the cursor that it carries as its id; `complete` ends the stream. A
//! stream that ends without `complete` was cut (by a restart, an expired token or a slow reader) and resumes
//! by `Last-Event-ID`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::gate::Passed;
use super::lifecycle::Stay;
use super::media::{self, Media};
use super::problem::{Code, Problem};
use super::run::Told;
use super::{Admission, Edge, LastEventId, RequestId, address, graphql, request_id, run};

pub async fn handle<E: Executor, A: Admission>(
    State(edge): State<Arc<Edge<E, A>>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let id = request_id(&parts, &edge.envelope);
    match open(&edge, &parts, body, &id).await {
        Ok(answer) => answer,
        Err(problem) => {
            let refused = problem.code == Code::MethodNotAllowed;
            // A refusal is always told by its status here: a stream's client looks at nothing else.
            let mut answer = problem.into_http(Media::GraphQl, &id);
            if refused {
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
            }
            answer
        }
    }
}

async fn open<E: Executor, A: Admission>(
    edge: &Arc<Edge<E, A>>,
    parts: &Parts,
    body: Body,
    id: &RequestId,
) -> Result<Response, Problem> {
    if !matches!(parts.method, Method::GET | Method::POST) {
        return Err(Problem::new(Code::MethodNotAllowed, "use GET or POST for an event stream"));
    }
    if !media::accepts_events(&parts.headers) {
        return Err(Problem::new(Code::NotAcceptable, "this address answers text/event-stream only"));
    }
    let admitted = edge.admit(&parts.headers).await?;
    let last = last_event_id(&parts.headers)?;
    let call = graphql::read_call(parts, body, edge.gate.limits()).await?;
    let Passed { mut request, kind, cost, .. } = edge.gate.pass(call)?;
    if kind == OperationType::Mutation {
        return Err(Problem::new(Code::MethodNotAllowed, "send mutations by POST to /graphql"));
    }
    if edge.lifecycle.is_draining() {
        return Err(Problem::new(Code::Busy, "the server is shutting down"));
    }
    let place = edge.places.take(admitted.token)?;
    if let Some(left) = edge.spend(admitted.token, parts, cost)? {
        request = request.data(left);
    }
    let left = edge.time_left(admitted.expires_at);
    let ended = edge.admission.ended(&admitted.viewer);
    request = request.data(admitted.viewer).data(id.clone());
    if let Some(last) = last {
        request = request.data(last);
    }
    let answers = run::many(edge, request, kind, cost, id.clone());
    let answers = match kind {
        OperationType::Subscription => {
            edge.rates.paced(answers, admitted.token, address(&edge.rates, parts), cost)
        }
        _ => answers,
    };
    let (sender, receiver) = mpsc::channel(edge.socket.queue.max(1));
    let stay = edge.lifecycle.stay();
    let room = Arc::new(Semaphore::new(edge.socket.queue_bytes.clamp(1, Semaphore::MAX_PERMITS)));
    let pump = Pump { edge: edge.clone(), answers, sender, room };
    tokio::spawn(async move {
        pump.run(left.map(Duration::from_millis), ended, stay).await;
        drop(place);
    });
    let keep_alive = edge.socket.keep_alive();
    let events = stream::unfold(receiver, move |mut receiver| async move {
        let bytes = match tokio::time::timeout(keep_alive, receiver.recv()).await {
            // Its room is free as soon as the connection has it.
            Ok(event) => event?.0,
            // A comment, in the only form that graphql-sse takes for one.
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((Ok::<Bytes, Infallible>(bytes), receiver))
    });
    let headers = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        // Proxies that buffer would hold events back.
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// Moves answers into a bounded queue. It is a task of its own because a connection that nobody reads is not
/// polled.
struct Pump<E, A> {
    edge: Arc<Edge<E, A>>,
    answers: BoxStream<'static, Told>,
    sender: mpsc::Sender<(Bytes, OwnedSemaphorePermit)>,
    /// Bytes that the queue still takes: events may be large, so that their number alone bounds nothing.
    room: Arc<Semaphore>,
}

impl<E: Executor, A: Admission> Pump<E, A> {
    async fn run(mut self, left: Option<Duration>, ended: BoxFuture<'static, ()>, mut stay: Stay) {
        let expired = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let gone = self.sender.clone();
        tokio::select! {
            () = self.pump() => {}
            () = expired => {}
            () = ended => {}
            () = stay.over() => {}
            () = gone.closed() => {}
        }
    }

    async fn pump(&mut self) {
        let timeout = self.edge.socket.send_timeout();
        while let Some(told) = self.answers.next().await {
            let (event, last) = match told {
                Told::Next { text, cursor } => (write(cursor.as_deref(), text.get()), false),
                Told::Refused(response) => {
                    let Ok(data) = serde_json::to_string(&response) else { return };
                    (write(None, &data), true)
                }
            };
            // The reader is gone, or so slow that the stream is cut.
            if !self.send(event, timeout).await {
                return;
            }
            if last {
                break;
            }
        }
        // A reader that is gone needs no end.
        self.send(Bytes::from_static(COMPLETE), timeout).await;
    }

    /// Whether the queue took it in time.
    async fn send(&mut self, event: Bytes, timeout: Duration) -> bool {
        // An event that is larger than the queue takes all of it.
        let wanted = event.len().min(self.edge.socket.queue_bytes.max(1));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let send = async {
            let room = self.room.clone().acquire_many_owned(wanted).await.ok()?;
            self.sender.send((event, room)).await.ok()
        };
        matches!(tokio::time::timeout(timeout, send).await, Ok(Some(())))
    }
}

/// Without its data line a browser would not see this event at all.
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";

/// An event is a few lines; JSON has no line breaks, and a cursor with one is left out.
fn write(cursor: Option<&str>, data: &str) -> Bytes {
    let mut event = String::with_capacity(data.len() + 64);
    event.push_str("event: next\n");
    if let Some(cursor) = cursor.filter(|text| !text.contains(['\n', '\r', '\0'])) {
        // Writing to a string does not fail.
        let _ = writeln!(event, "id: {cursor}");
    }
    event.push_str("data: ");
    event.push_str(data);
    event.push_str("\n\n");
    event.into()
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<LastEventId>, Problem> {
    const CHARS: usize = 512;
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    match value.to_str() {
        Ok("") => Ok(None),
        Ok(text) if text.len() <= CHARS => Ok(Some(LastEventId(text.to_owned()))),
        _ => Err(Problem::new(
            Code::BadRequest,
            format!("Last-Event-ID must be at most {CHARS} ASCII characters"),
        )),
    }
}
