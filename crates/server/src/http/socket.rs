//! GraphQL over WebSocket: our own loop for the protocol `graphql-transport-ws`.
//!
//! One task serves one socket. It takes the next answer only when the last one was handed to the connection,
//! so a slow reader holds back its own subscriptions and nobody else's; after the send timeout it is closed
//! with 4290.

mod message;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_graphql::http::WebSocketProtocols;
use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Response};
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header;
use axum::http::request::Parts;
use futures_util::future::BoxFuture;
use futures_util::stream::{AbortHandle, BoxStream, SelectAll, abortable};
use futures_util::{FutureExt, SinkExt, StreamExt, stream};
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

use self::message::{ClientMessage, Next};
use super::gate::Passed;
use super::json::Call;
use super::lifecycle::Stay;
use super::places::Place;
use super::problem::{self, Code, Problem, clip};
use super::run::Told;
use super::{Admission, Admitted, Denied, Edge, NotAdmitted, address, bearer, run};

/// Why a socket is closed. The numbers are those of graphql-ws, but for 4290.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Close(u16, String);

const GOING_AWAY: u16 = 1001;
const TOO_BIG: u16 = 1009;
const TRY_AGAIN: u16 = 1013;
const SLOW_CONSUMER: u16 = 4290;
const BAD_REQUEST: u16 = 4400;
const UNAUTHORIZED: u16 = 4401;
const FORBIDDEN: u16 = 4403;
const BAD_SUBPROTOCOL: u16 = 4406;
const INIT_TIMEOUT: u16 = 4408;
const DUPLICATE_ID: u16 = 4409;
const TOO_MANY: u16 = 4429;

/// Answers the handshake. A page's origin was checked before.
pub async fn upgrade<E: Executor, A: Admission>(
    edge: Arc<Edge<E, A>>,
    parts: &mut Parts,
) -> Result<axum::response::Response, Problem> {
    let protocol = WebSocketProtocols::GraphQLWS.sec_websocket_protocol();
    let asked = parts.headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    let token = bearer(&parts.headers).map_err(|Denied| Problem::unauthenticated())?.map(str::to_owned);
    if let Some(token) = &token {
        edge.admission.admit(Some(token)).await?;
    }
    let handshake = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|rejection| {
        Problem::new(Code::BadRequest, format!("this is no WebSocket handshake: {}", rejection.body_text()))
    })?;
    let limits = &edge.socket;
    // The library's buffers of 128 KiB would be most of what an idle socket costs. Clients say little: what is longer than
    // its buffer is read in several turns.
    let handshake = handshake
        .protocols([protocol])
        .read_buffer_size(1024)
        .write_buffer_size(2048)
        // A frame beyond this is not read, which resets the connection; up to it the close with 1009 arrives.
        .max_message_size(4 * limits.message_bytes)
        .max_frame_size(4 * limits.message_bytes);
    let spoken = handshake.selected_protocol().is_some();
    if asked && !spoken {
        return Err(Problem::new(Code::BadRequest, format!("the only subprotocol here is {protocol}")));
    }
    if edge.lifecycle.is_draining() {
        return Err(Problem::new(Code::Busy, "the server is shutting down"));
    }
    let from = address(&edge.rates, parts);
    let rates = edge.rates.clone();
    let mut stay = edge.lifecycle.stay();
    Ok(handshake.on_upgrade(async move |mut socket| {
        let close = if spoken {
            Session::new(edge, token, from).serve(&mut socket, &mut stay).await
        } else {
            Some(Close(BAD_SUBPROTOCOL, format!("Subprotocol not acceptable; use {protocol}")))
        };
        if let Some(close) = close {
            // Whoever breaks a rule pays as for a refused request; that a token has ended is no fault.
            if !matches!(close.0, GOING_AWAY | SLOW_CONSUMER | FORBIDDEN | TRY_AGAIN) {
                rates.refused(from);
            }
            hang_up(&mut socket, close).await;
        }
    }))
}

/// Says why, then waits a moment for the other side to hear it.
async fn hang_up(socket: &mut WebSocket, Close(code, reason): Close) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const REASON_BYTES: usize = 120;
    let frame = CloseFrame { code, reason: clip(&reason, REASON_BYTES).into() };
    let goodbye = async {
        socket.send(Message::Close(Some(frame))).await.ok()?;
        while let Some(Ok(_)) = socket.recv().await {}
        Some(())
    };
    // The connection is dropped in any case.
    let _ = tokio::time::timeout(PATIENCE, goodbye).await;
}

/// One answer of one subscription; `None` when it has no more.
type Item = (Arc<str>, u64, Option<Told>);

struct Session<E: Executor, A: Admission> {
    edge: Arc<Edge<E, A>>,
    /// From the handshake's header; one in `connection_init` counts more.
    token: Option<String>,
    from: IpAddr,
    viewer: Option<A::Viewer>,
    /// The token's place, and with it whose budget is spent.
    place: Option<Place>,
    expires_at: Option<handfast_domain::time::Instant>,
    /// Resolves when the token was revoked.
    ended: BoxFuture<'static, ()>,
    opened: Instant,
    heard: Instant,
    /// When the last messages came, for the rate.
    recent: VecDeque<Instant>,
    live: HashMap<Arc<str>, Live>,
    serial: u64,
    /// Takes turns between the subscriptions that have something to say.
    answers: SelectAll<BoxStream<'static, Item>>,
    /// Of the last event that was handed over.
    cursor: String,
}

struct Live {
    serial: u64,
    abort: AbortHandle,
}

/// What to do after one step; `Err` ends the session.
type Step<T = ()> = Result<T, Option<Close>>;

impl<E: Executor, A: Admission> Session<E, A> {
    fn new(edge: Arc<Edge<E, A>>, token: Option<String>, from: IpAddr) -> Self {
        let now = Instant::now();
        Self {
            edge,
            token,
            from,
            viewer: None,
            place: None,
            expires_at: None,
            ended: std::future::pending().boxed(),
            opened: now,
            heard: now,
            recent: VecDeque::new(),
            live: HashMap::new(),
            serial: 0,
            answers: SelectAll::new(),
            cursor: String::new(),
        }
    }

    /// Serves until somebody closes; `None` when the other side is gone.
    async fn serve(&mut self, socket: &mut WebSocket, stay: &mut Stay) -> Option<Close> {
        let mut alarm =
            pin!(tokio::time::sleep(self.edge.socket.init_timeout().min(self.edge.socket.keep_alive())));
        loop {
            let step = tokio::select! {
                biased;
                () = stay.over() => Err(close(GOING_AWAY, "the server is shutting down; reconnect")),
                () = &mut self.ended => Err(close(FORBIDDEN, "Forbidden: the token was revoked")),
                () = &mut alarm => self.ring(socket, alarm.as_mut()).await,
                message = socket.recv() => self.hear(socket, message, alarm.as_mut()).await,
                Some(item) = self.answers.next(), if !self.answers.is_empty() => self.tell_all(socket, item).await,
            };
            if let Err(close) = step {
                return close;
            }
        }
    }

    /// Timers: no init, an expired token, silence.
    async fn ring(&mut self, socket: &mut WebSocket, alarm: Pin<&mut Sleep>) -> Step {
        let limits = &self.edge.socket;
        let keep_alive = limits.keep_alive();
        if self.viewer.is_none() && self.opened.elapsed() >= limits.init_timeout() {
            return Err(close(INIT_TIMEOUT, "Connection initialisation timeout"));
        }
        if self.edge.time_left(self.expires_at) == Some(0) {
            return Err(close(FORBIDDEN, "Forbidden: the token has expired; connect again with a new one"));
        }
        if self.heard.elapsed() > 3 * keep_alive {
            return Err(None);
        }
        if self.viewer.is_some() {
            self.send(socket, Message::Ping(Default::default())).await?;
        }
        self.set(alarm);
        Ok(())
    }

    /// Sets the alarm to whatever must be looked at next. The clock may be set, so expiry is looked at again
    /// and again.
    fn set(&self, alarm: Pin<&mut Sleep>) {
        let limits = &self.edge.socket;
        let mut next = limits.keep_alive();
        if self.viewer.is_none() {
            next = next.min(limits.init_timeout().saturating_sub(self.opened.elapsed()));
        }
        if let Some(left) = self.edge.time_left(self.expires_at) {
            next = next.min(Duration::from_millis(left));
        }
        alarm.reset(Instant::now() + next);
    }

    async fn hear(
        &mut self,
        socket: &mut WebSocket,
        message: Option<Result<Message, axum::Error>>,
        alarm: Pin<&mut Sleep>,
    ) -> Step {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(unreadable(&error, self.edge.socket.message_bytes)),
            None => return Err(None),
        };
        self.heard = Instant::now();
        self.count()?;
        let limit = self.edge.socket.message_bytes;
        let text = match message {
            Message::Text(text) if text.len() > limit => return Err(too_big(limit)),
            Message::Text(text) => text,
            Message::Binary(_) => {
                return Err(close(BAD_REQUEST, "Bad request: binary frames are not part of the protocol"));
            }
            // Pings are answered by the library, and a close is echoed by it.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            // The library has an answer ready, which only goes out if somebody sends it.
            Message::Close(_) => {
                let _ = self.deliver(socket.flush()).await;
                return Err(None);
            }
        };
        match ClientMessage::read(&text, self.edge.gate.limits()).map_err(|text| close(BAD_REQUEST, text))? {
            ClientMessage::Init { token } => {
                self.init(token).await?;
                self.set(alarm);
                self.send(socket, Message::Text(message::ACK)).await
            }
            ClientMessage::Ping => self.send(socket, Message::Text(message::PONG)).await,
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, call } => self.subscribe(socket, id, *call).await,
            ClientMessage::Complete { id } => {
                if let Some(live) = self.live.remove(id.as_str()) {
                    live.abort.abort();
                }
                Ok(())
            }
        }
    }

    /// A window that slides: no ten seconds hold more than the limit.
    fn count(&mut self) -> Step {
        const WINDOW: Duration = Duration::from_secs(10);
        let limit = self.edge.socket.messages_per_ten_seconds as usize;
        while self.recent.front().is_some_and(|at| at.elapsed() >= WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= limit {
            return Err(close(TOO_MANY, format!("Too many messages: more than {limit} in ten seconds")));
        }
        self.recent.push_back(self.heard);
        Ok(())
    }

    async fn init(&mut self, token: Option<Result<String, Denied>>) -> Step {
        if self.viewer.is_some() {
            return Err(close(TOO_MANY, "Too many initialisation requests"));
        }
        let token = match token {
            Some(Ok(token)) => Some(token),
            Some(Err(Denied)) => return Err(unauthorized()),
            None => self.token.take(),
        };
        match self.edge.admission.admit(token.as_deref()).await {
            Ok(Admitted { viewer, token, expires_at }) => {
                // Not before: whoever never says who it is must not take the places of those who do.
                let place = self.edge.places.take(token);
                self.place = Some(place.map_err(|problem| {
                    let code = if problem.code == Code::Busy { TRY_AGAIN } else { TOO_MANY };
                    Some(Close(code, problem.message))
                })?);
                self.ended = self.edge.admission.ended(&viewer);
                self.viewer = Some(viewer);
                self.expires_at = expires_at;
                Ok(())
            }
            Err(NotAdmitted::Denied) => Err(unauthorized()),
            Err(NotAdmitted::Busy) => {
                Err(close(TRY_AGAIN, "tokens cannot be looked up now, try again later"))
            }
        }
    }

    async fn subscribe(&mut self, socket: &mut WebSocket, id: String, call: Result<Call, Problem>) -> Step {
        let Some(viewer) = self.viewer.clone() else { return Err(close(UNAUTHORIZED, "Unauthorized")) };
        if self.live.contains_key(id.as_str()) {
            return Err(close(DUPLICATE_ID, format!("Subscriber for {} already exists", clip(&id, 60))));
        }
        let request_id = self.edge.envelope.next_id();
        let limit = self.edge.socket.subscriptions;
        let passed = if self.live.len() >= limit {
            Err(Problem::new(
                Code::TooManySubscriptions,
                format!("this socket has {limit} subscriptions, limit {limit}"),
            ))
        } else {
            call.and_then(|call| self.edge.gate.pass(call))
        };
        let passed = passed.and_then(|passed| match passed.kind {
            OperationType::Mutation => Err(Problem::new(
                Code::MethodNotAllowed,
                "mutations are not taken over a socket; send them by POST to /graphql",
            )),
            _ => Ok(passed),
        });
        if passed.is_err() {
            self.edge.rates.refused(self.from);
        }
        let token = self.place.as_ref().map_or(Uuid::nil(), |place| place.token);
        let passed = passed.and_then(|passed| {
            self.edge.rates.spend(token, self.from, passed.cost)?;
            Ok(passed)
        });
        let Passed { request, kind, cost, .. } = match passed {
            Ok(passed) => passed,
            Err(problem) => {
                let mut refused = problem.into_graphql();
                problem::finish(&mut refused, &request_id, self.edge.gate.limits());
                return self.error(socket, &id, &refused).await;
            }
        };
        let request = request.data(viewer).data(request_id.clone());
        let answers = run::many(&self.edge, request, kind, cost, request_id);
        let answers = match kind {
            OperationType::Subscription => self.edge.rates.paced(answers, token, self.from, cost),
            _ => answers,
        };
        let (answers, abort) = abortable(answers);
        self.serial += 1;
        let (id, serial) = (Arc::<str>::from(id), self.serial);
        let name = id.clone();
        let items = answers.map(Some).chain(stream::once(async { None }));
        self.answers.push(items.map(move |answer| (name.clone(), serial, answer)).boxed());
        self.live.insert(id, Live { serial, abort });
        Ok(())
    }

    /// Passes on what is ready, with one flush for all of it.
    async fn tell_all(&mut self, socket: &mut WebSocket, first: Item) -> Step {
        // Bounded, so that the client is heard in between.
        const TOGETHER: usize = 32;
        self.tell(socket, first).await?;
        for _ in 1..TOGETHER {
            // The main loop polls again with its own waker.
            let Some(Some(item)) = self.answers.next().now_or_never() else { break };
            self.tell(socket, item).await?;
        }
        self.deliver(socket.flush()).await
    }

    /// Hands over one answer without a flush.
    async fn tell(&mut self, socket: &mut WebSocket, (id, serial, answer): Item) -> Step {
        // A completed subscription may have left an answer behind, and its id may be in use again.
        if self.live.get(&id).is_none_or(|live| live.serial != serial) {
            return Ok(());
        }
        match answer {
            None => {
                self.live.remove(&id);
                self.deliver(socket.feed(message::complete(&id))).await
            }
            Some(Told::Refused(response)) => {
                if let Some(live) = self.live.remove(&id) {
                    live.abort.abort();
                }
                self.error(socket, &id, &response).await
            }
            Some(Told::Next { text, cursor }) => {
                if let Some(cursor) = cursor {
                    self.cursor = cursor;
                }
                let next = message::write(&Next { r#type: "next", id: &id, payload: &text });
                self.deliver(socket.feed(next)).await
            }
        }
    }

    async fn error(&mut self, socket: &mut WebSocket, id: &str, refused: &Response) -> Step {
        self.send(socket, message::write(&Next { r#type: "error", id, payload: &refused.errors })).await
    }

    async fn send(&mut self, socket: &mut WebSocket, message: Message) -> Step {
        self.deliver(socket.send(message)).await
    }

    /// Waits for the connection to take something, as long as a reader may be slow.
    async fn deliver(&mut self, work: impl Future<Output = Result<(), axum::Error>>) -> Step {
        let timeout = self.edge.socket.send_timeout();
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) if self.cursor.is_empty() => Err(close(SLOW_CONSUMER, "SLOW_CONSUMER")),
            // It may not have arrived: the client resumes after the last cursor that it has seen.
            Err(_) => Err(close(SLOW_CONSUMER, format!("SLOW_CONSUMER after {}", clip(&self.cursor, 80)))),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form that a step ends with")]
fn close(code: u16, reason: impl Into<String>) -> Option<Close> {
    Some(Close(code, reason.into()))
}

fn too_big(limit: usize) -> Option<Close> {
    close(TOO_BIG, format!("the message is larger than {limit} bytes"))
}

fn unauthorized() -> Option<Close> {
    close(UNAUTHORIZED, "Unauthorized: a valid token is required in connection_init")
}

/// The library's error types are not ours to name; its texts tell sizes from the rest.
fn unreadable(error: &axum::Error, limit: usize) -> Option<Close> {
    let text = error.to_string();
    if text.contains("too long") || text.contains("too big") {
        return too_big(limit);
    }
    if text.contains("utf-8") || text.contains("UTF-8") {
        return close(BAD_REQUEST, "Bad request: a text frame is not UTF-8");
    }
    None
}
