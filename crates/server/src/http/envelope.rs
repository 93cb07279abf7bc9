//! Around every route: a request id, the host and origin lists with CORS, and one log line for each answer.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use handfast_store::SPANS;
use tracing::Instrument;

use super::aside::Aside;
use super::config::EdgeConfig;
use super::media::Media;
use super::problem::{Code, Problem};
use super::rate::{PATIENCE, Rates, Turn};
use crate::telemetry;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names one request in its answer and in the log. A caller may choose it by the header `x-request-id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For a request that came without passing the envelope.
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    #[cfg(test)]
    pub fn for_tests(text: &str) -> Self {
        Self(text.into())
    }
}

/// What the middleware knows.
pub struct Envelope {
    origins: Vec<String>,
    hosts: Vec<String>,
    rates: Arc<Rates>,
    aside: Aside,
    process: u64,
    requests: AtomicU64,
}

impl Envelope {
    pub fn new(config: &EdgeConfig, rates: Arc<Rates>, aside: Aside) -> Self {
        let lower = |list: &[String]| {
            list.iter().map(|item| item.trim_end_matches('/').to_ascii_lowercase()).collect()
        };
        Self {
            origins: lower(&config.allowed_origins),
            hosts: lower(&config.allowed_hosts),
            rates,
            aside,
            // The standard library seeds its hashers at random, which is all that telling processes apart
            // takes.
            process: RandomState::new().hash_one("request id"),
            requests: AtomicU64::new(0),
        }
    }

    pub fn next_id(&self) -> RequestId {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        RequestId(format!("{:016x}-{number:x}", self.process).into())
    }

    fn id(&self, headers: &HeaderMap) -> RequestId {
        let fits = |text: &&str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(fits);
        given.map_or_else(|| self.next_id(), |text| RequestId(text.into()))
    }

    fn host_allowed(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        self.hosts.is_empty() || self.hosts.iter().any(|allowed| allowed == name || allowed == host)
    }

    fn origin_allowed(&self, origin: &str, host: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed == origin) || same_origin(origin, host)
    }
}

/// The middleware.
pub async fn wrap(State(envelope): State<Arc<Envelope>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = envelope.id(request.headers());
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(id.clone());
    // For routes beside the API that cost more than a knock.
    parts.extensions.insert(envelope.rates.clone());
    let address = super::address(&envelope.rates, &parts);
    let request = Request::from_parts(parts, body);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::debug_span!(target: SPANS, "request", request_id = id.as_str(), %method, route = telemetry::route(&path));
    // Whoever watches over the server is never told to wait.
    let watched = matches!(path.as_str(), "/healthz" | "/readyz");
    let mut answer = match envelope.rates.knock(address) {
        Err(problem) if !watched => {
            tokio::time::sleep(PATIENCE).await;
            problem.into_http(Media::Json, &id)
        }
        Ok(Turn::AfterOthers) if !watched => {
            let work = answer(envelope.clone(), id.clone(), request, next).instrument(span);
            envelope.aside.run("ahead", work).await
        }
        _ => answer(envelope.clone(), id.clone(), request, next).instrument(span).await,
    };
    if answer.status().is_client_error() {
        envelope.rates.refused(address);
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    telemetry::answered(&path, answer.status().as_u16(), began.elapsed());
    tracing::debug!(
        request_id = id.as_str(), %method, route = telemetry::route(&path), status = answer.status().as_u16(), micros = began.elapsed().as_micros() as u64,
        "answered"
    );
    answer
}

async fn answer(envelope: Arc<Envelope>, id: RequestId, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Problem::new(Code::BadRequest, "the header Host is given twice").into_http(Media::Json, &id);
    }
    // An absolute address counts more than the header (RFC 9112, 3.2.2).
    let named = request.uri().authority().map(|authority| authority.as_str());
    let host = named.or_else(|| header_text(headers, header::HOST)).unwrap_or_default().to_ascii_lowercase();
    // Programs send no Origin; a browser cannot leave it out or forge it.
    let origin = header_text(headers, header::ORIGIN).map(str::to_ascii_lowercase);
    let preflight =
        request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !envelope.host_allowed(&host) {
        let text = format!("this server does not answer to the host {host}");
        return Problem::new(Code::HostNotAllowed, text).into_http(Media::Json, &id);
    }
    let Some(origin) = origin else { return next.run(request).await };
    if !envelope.origin_allowed(&origin, &host) {
        let text = format!("pages of the origin {origin} may not call this server");
        return Problem::new(Code::OriginNotAllowed, text).into_http(Media::Json, &id);
    }
    let mut answer = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = answer.headers_mut();
    if let Ok(origin) = HeaderValue::from_str(&origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let fixed: &[(HeaderName, &str)] = if preflight {
        &[
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-encoding, content-type, idempotency-key, last-event-id, x-request-id",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ]
    } else {
        &[(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "x-request-id, retry-after, ratelimit, ratelimit-policy, handfast-cursor",
        )]
    };
    for (name, value) in fixed {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    answer
}

fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // A header that is there but unreadable must not count as absent.
    headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"))
}

/// Whether the page came from this server: its origin without the scheme is the host that was asked.
fn same_origin(origin: &str, host: &str) -> bool {
    match origin.split_once("://") {
        Some(("https", rest)) => rest == host || host.strip_suffix(":443") == Some(rest),
        Some(("http", rest)) => rest == host || host.strip_suffix(":80") == Some(rest),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(origins: &[&str], hosts: &[&str]) -> Envelope {
        let list = |items: &[&str]| items.iter().map(|item| item.to_string()).collect();
        let config = EdgeConfig {
            allowed_origins: list(origins),
            allowed_hosts: list(hosts),
            ..EdgeConfig::default()
        };
        let rates = Arc::new(Rates::new(&config.rate, &[]));
        Envelope::new(&config, rates, Aside::new(0).expect("no thread"))
    }

    #[test]
    fn origins_are_the_same_or_listed() {
        let here = envelope(&["https://Board.example.com/"], &[]);
        let cases = [
            ("http://127.0.0.1:4000", "127.0.0.1:4000", true),
            ("https://leads.example.com", "leads.example.com", true),
            ("https://leads.example.com", "leads.example.com:443", true),
            ("https://board.example.com", "leads.example.com", true),
            ("http://board.example.com", "leads.example.com", false),
            ("https://evil.example", "leads.example.com", false),
            ("https://leads.example.com.evil.example", "leads.example.com", false),
            ("http://127.0.0.1:4001", "127.0.0.1:4000", false),
            ("null", "127.0.0.1:4000", false),
            ("", "", false),
        ];
        for (origin, host, expect) in cases {
            assert_eq!(here.origin_allowed(origin, host), expect, "{origin} at {host}");
        }
        assert!(envelope(&["*"], &[]).origin_allowed("https://evil.example", "h"));
    }

    #[test]
    fn hosts_are_any_or_listed() {
        assert!(envelope(&[], &[]).host_allowed("whatever:1"));
        let here = envelope(&[], &["leads.example.com", "[::1]"]);
        for (host, expect) in [
            ("leads.example.com", true),
            ("leads.example.com:4000", true),
            ("[::1]:80", true),
            ("evil.example", false),
            ("", false),
        ] {
            assert_eq!(here.host_allowed(host), expect, "{host}");
        }
    }

    #[test]
    fn request_ids_are_unique_and_only_harmless_ones_are_taken_over() {
        let here = envelope(&[], &[]);
        let given = |text: &str| {
            here.id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(text).expect("ascii"))]))
        };
        assert_eq!(given("trace-1").as_str(), "trace-1");
        for bad in ["", "a b", "x{y}", &"a".repeat(65)] {
            assert_ne!(given(bad).as_str(), bad);
        }
        assert_ne!(here.next_id(), here.next_id());
    }
}
