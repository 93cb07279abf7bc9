//! GraphQL over HTTP: `GET` and `POST /graphql`.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Name, Value};
use async_graphql_axum::GraphQLResponse;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::{GzDecoder, ZlibDecoder};
use futures_util::StreamExt;
use serde_json::json;

use super::config::Limits;
use super::gate::Passed;
use super::json::Call;
use super::media::{self, Encoding, Media};
use super::problem::{self, Code, Problem};
use super::{Admission, Edge, IdempotencyKey, RequestId, address, rate, request_id, run, socket};

pub async fn handle<E: Executor, A: Admission>(
    State(edge): State<Arc<Edge<E, A>>>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let id = request_id(&parts, &edge.envelope);
    if is_upgrade(&parts.headers) {
        return match socket::upgrade(edge, &mut parts).await {
            Ok(answer) => answer,
            Err(problem) => problem.into_http(Media::Json, &id),
        };
    }
    let media = match media::negotiate(&parts.headers) {
        Ok(media) => media,
        Err(problem) => return problem.into_http(Media::Json, &id),
    };
    match answer(&edge, &parts, body, &id, media).await {
        Ok(answer) => answer,
        Err(problem) => {
            edge.refused(&parts, &problem, media);
            // What is allowed depends on the operation: a mutation that came by GET needs POST.
            let allow = if parts.method == Method::GET { "POST" } else { "GET, POST" };
            let refused = problem.code == Code::MethodNotAllowed;
            let mut answer = problem.into_http(media, &id);
            if refused {
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            answer
        }
    }
}

async fn answer<E: Executor, A: Admission>(
    edge: &Arc<Edge<E, A>>,
    parts: &Parts,
    body: Body,
    id: &RequestId,
    media: Media,
) -> Result<Response, Problem> {
    if !matches!(parts.method, Method::GET | Method::POST) {
        return Err(Problem::new(
            Code::MethodNotAllowed,
            "use GET for queries, POST for queries and mutations",
        ));
    }
    let admitted = edge.admit(&parts.headers).await?;
    let key = idempotency_key(&parts.headers)?;
    let call = read_call(parts, body, edge.gate.limits()).await?;
    let passed = edge.gate.pass(call)?;
    match passed.kind {
        OperationType::Mutation if parts.method == Method::GET => {
            return Err(Problem::new(Code::MethodNotAllowed, "a mutation changes data; send it by POST"));
        }
        OperationType::Subscription => {
            let text = "a subscription needs a stream: use graphql-transport-ws on /graphql, or SSE on /graphql/stream";
            return Err(Problem::new(Code::BadRequest, text));
        }
        _ => {}
    }
    let cost = passed.cost;
    let left = edge.spend(admitted.token, parts, cost)?;
    let turn = edge.turn(cost).await?;
    let from = address(&edge.rates, parts);
    let asked = Asked { passed, viewer: admitted.viewer, id: id.clone(), key, left, media, from };
    let answer = asked.carry_out(edge.clone());
    let mut answer = match turn {
        Some(_) => edge.aside.run("costly", answer).await,
        None => answer.await,
    };
    if let Some(left) = left {
        rate::write(left, answer.headers_mut());
    }
    Ok(answer)
}

/// An operation that nothing stands in the way of.
struct Asked<V> {
    passed: Passed,
    viewer: V,
    id: RequestId,
    key: Option<IdempotencyKey>,
    left: Option<rate::Left>,
    media: Media,
    from: IpAddr,
}

impl<V: Clone + Send + Sync + 'static> Asked<V> {
    async fn carry_out<E: Executor, A: Admission<Viewer = V>>(self, edge: Arc<Edge<E, A>>) -> Response {
        let Asked { passed, viewer, id, key, left, media, from } = self;
        let limits = edge.gate.limits();
        let cost = passed.cost;
        let execute = async |schema: &E, Passed { request, kind, .. }: Passed| {
            let mut request = request.data(viewer.clone()).data(id.clone());
            if let Some(key) = &key {
                request = request.data(key.clone());
            }
            if let Some(left) = left {
                request = request.data(left);
            }
            run::once(schema, request, kind, limits.deadline()).await
        };
        let document = passed.document.clone();
        let again = passed.is_known().then(|| passed.again());
        let schema = if again.is_some() { &edge.schemas.trusting } else { &edge.schemas.checking };
        let mut response = execute(schema, passed).await;
        if response.is_ok() {
            document.valid.store(true, Ordering::Relaxed);
        } else if let Some(again) = again
            && !response.errors.iter().all(problem::is_coded)
        {
            // What the library finds wrong is told as of a document that comes for the first time; our own refusals stand, and
            // a deadline that passed does not begin again.
            response = execute(&edge.schemas.checking, again()).await;
        }
        response.extensions.insert("cost".to_owned(), told(cost, limits.cost, left));
        if media == Media::Json && problem::refused_whole(&response) {
            edge.rates.refused(from);
        }
        if response.data == Value::Null && response.errors.is_empty() {
            // Every root field was left out; the library says null for it.
            response.data = Value::Object(IndexMap::new());
        }
        write(response, &id, media, limits)
    }
}

impl<E: Executor, A: Admission> Edge<E, A> {
    /// A refusal whose status does not show it is noted here; others the envelope sees.
    fn refused(&self, parts: &Parts, problem: &Problem, media: Media) {
        if media == Media::Json && problem.code.status().is_none() {
            self.rates.refused(address(&self.rates, parts));
        }
    }
}

/// `extensions.cost`.
fn told(requested: u64, limit: u64, left: Option<rate::Left>) -> Value {
    let mut told = IndexMap::from([
        (Name::new("requested"), Value::from(requested)),
        (Name::new("limit"), Value::from(limit)),
    ]);
    if let Some(left) = left {
        told.insert(Name::new("budgetLeft"), Value::from(left.remaining));
    }
    Value::Object(told)
}

/// Reads the request of a GET or POST.
pub async fn read_call(parts: &Parts, body: Body, limits: &Limits) -> Result<Call, Problem> {
    if parts.method == Method::GET {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| {
            Problem::new(Code::BadRequest, "the query string is not UTF-8 in percent encoding")
        })?;
        return Call::from_query(pairs.0, limits);
    }
    let encoding = media::check_body(&parts.headers)?;
    let body = read_body(&parts.headers, body, limits).await?;
    match encoding {
        Encoding::Identity => Call::from_body(&body, limits),
        Encoding::Gzip => Call::from_body(&inflate(GzDecoder::new(&body[..]), limits)?, limits),
        Encoding::Deflate => Call::from_body(&inflate(ZlibDecoder::new(&body[..]), limits)?, limits),
    }
}

/// Unfolds a compressed body, up to the limit that holds for one that is not compressed.
fn inflate(folded: impl Read, limits: &Limits) -> Result<Vec<u8>, Problem> {
    let mut unfolded = Vec::new();
    let read = folded.take(limits.body_bytes as u64 + 1).read_to_end(&mut unfolded);
    read.map_err(|_| Problem::new(Code::BadRequest, "the body is not what its Content-Encoding says"))?;
    if unfolded.len() > limits.body_bytes {
        return Err(too_large(limits, " when it is unfolded"));
    }
    Ok(unfolded)
}

fn too_large(limits: &Limits, when: &str) -> Problem {
    let text = format!("the body is larger than the limit of {} bytes{when}", limits.body_bytes);
    Problem::new(Code::PayloadTooLarge, text)
}

/// Reads a body to its end, its limit or its deadline, whichever is first.
async fn read_body(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large = || too_large(limits, "");
    if announced.is_some_and(|bytes| bytes > limits.body_bytes as u64) {
        discard(stream).await;
        return Err(too_large());
    }
    let read = async {
        let mut read = Vec::with_capacity(announced.map_or(0, |bytes| bytes as usize));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk
                .map_err(|_| Problem::new(Code::BadRequest, "the body ended before its announced length"))?;
            if read.len() + chunk.len() > limits.body_bytes {
                return Err(too_large());
            }
            read.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(read))
    };
    let Ok(read) = tokio::time::timeout(limits.body_timeout(), read).await else {
        let text = format!("the body did not arrive within {} ms", limits.body_timeout_ms);
        return Err(Problem::new(Code::BodyTimeout, text));
    };
    if read.as_ref().is_err_and(|problem| problem.code == Code::PayloadTooLarge) {
        discard(stream).await;
    }
    read
}

/// Closing a connection with unread bytes resets it, and the client may never see the answer: so a little
/// more is read and thrown away.
pub(super) async fn discard(mut stream: axum::body::BodyDataStream) {
    const BYTES: usize = 4 * 1024 * 1024;
    const TIME: std::time::Duration = std::time::Duration::from_millis(500);
    let drain = async {
        let mut seen = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            seen += chunk.len();
            if seen > BYTES {
                break;
            }
        }
    };
    // Whether the time or the bytes ran out makes no difference.
    let _ = tokio::time::timeout(TIME, drain).await;
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    const CHARS: usize = 128;
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().map(|text| text.trim().trim_matches('"')).unwrap_or_default();
    if text.is_empty() || text.len() > CHARS {
        let found = value.len();
        let text =
            format!("the Idempotency-Key has {found} bytes; use 1 to {CHARS} printable ASCII characters");
        return Err(Problem::new(Code::BadRequest, text));
    }
    Ok(Some(IdempotencyKey(text.to_owned())))
}

fn write(mut response: async_graphql::Response, id: &RequestId, media: Media, limits: &Limits) -> Response {
    problem::finish(&mut response, id, limits);
    let refused = problem::refused_whole(&response);
    let status = if refused { refusal_status(&response, media) } else { StatusCode::OK };
    let mut answer = if refused {
        // A request that was refused as a whole has no data, not even null.
        let mut body = json!({ "errors": response.errors });
        if !response.extensions.is_empty() {
            body["extensions"] = json!(response.extensions);
        }
        body.to_string().into_response()
    } else {
        GraphQLResponse::from(response).into_response()
    };
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    answer.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

fn refusal_status(response: &async_graphql::Response, media: Media) -> StatusCode {
    let code = response.errors.first().and_then(|error| match error.extensions.as_ref()?.get("code")? {
        async_graphql::Value::String(code) => Code::ALL.iter().find(|known| known.text() == code),
        _ => None,
    });
    match (code.and_then(|code| code.status()), media) {
        (Some(status), _) => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        (None, Media::GraphQl) => StatusCode::BAD_REQUEST,
        (None, Media::Json) => StatusCode::OK,
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
