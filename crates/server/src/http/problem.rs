//! Refusals of the edge: a closed set of codes, and how errors are written into an answer.

use std::time::Duration;

use async_graphql::{ErrorExtensionValues, Name, PathSegment, Pos, Response, ServerError, Value};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::config::Limits;
use super::envelope::RequestId;
use super::media::Media;
use crate::telemetry;

macro_rules! codes {
    ($($name:ident = $text:literal, $status:expr, $mend:literal;)*) => {
        /// Why the edge refused. Resolvers have codes of their own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($name),* }

        impl Code {
            /// Every code, for the table in the API's documentation.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            pub const fn text(self) -> &'static str {
                match self { $(Code::$name => $text),* }
            }

            /// The HTTP status, or `None` for a GraphQL request error: 400, and 200 for `application/json`.
            pub const fn status(self) -> Option<u16> {
                match self { $(Code::$name => $status),* }
            }

            /// How the caller mends it.
            pub const fn mend(self) -> &'static str {
                match self { $(Code::$name => $mend),* }
            }
        }
    };
}

codes! {
    BadRequest = "BAD_REQUEST", Some(400), "Send a well-formed GraphQL request.";
    CursorInvalid = "CURSOR_INVALID", Some(400), "Send the cursor as it was given to you, or read from the start.";
    CursorEpochChanged = "CURSOR_EPOCH_CHANGED", Some(400), "Read again from the start: the workspace was restored.";
    CursorAhead = "CURSOR_AHEAD", Some(400), "Ask the operator whether the database was replaced, and read again from the start.";
    BatchNotSupported = "BATCH_NOT_SUPPORTED", Some(400), "Send one request at a time.";
    Unauthenticated = "UNAUTHENTICATED", Some(401), "Send a valid token.";
    Forbidden = "FORBIDDEN", Some(403), "Use a token with the scope that the message names.";
    DocumentNotTrusted = "DOCUMENT_NOT_TRUSTED", Some(403), "Send one of the documents that the operator has registered.";
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED", Some(403), "Add the page's origin to allowed_origins.";
    NotFound = "NOT_FOUND", Some(404), "Name something that exists and is yours.";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", Some(405), "Use a method named in the Allow header.";
    NotAcceptable = "NOT_ACCEPTABLE", Some(406), "Accept application/graphql-response+json.";
    BodyTimeout = "BODY_TIMEOUT", Some(408), "Send the whole body without pauses.";
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", Some(413), "Send less, or in several requests.";
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", Some(415), "Send application/json in UTF-8.";
    RateLimited = "RATE_LIMITED", Some(429), "Wait as long as Retry-After says, or ask for less.";
    HostNotAllowed = "HOST_NOT_ALLOWED", Some(421), "Add the host name to allowed_hosts.";
    Internal = "INTERNAL", Some(500), "Report the request id to the operator.";
    Busy = "BUSY", Some(503), "Try again later.";
    OutcomeUnknown = "OUTCOME_UNKNOWN", Some(503), "Send it again with the same idempotency key, with which it is made once.";
    StorageFull = "STORAGE_FULL", Some(507), "Wait until the operator has made room.";
    StorageFailed = "STORAGE_FAILED", Some(503), "Ask another node, or wait until the operator has changed the disk.";
    DeadlineExceeded = "DEADLINE_EXCEEDED", Some(503), "Ask for less, or try again later.";
    Validation = "VALIDATION", None, "Correct the document or its variables.";
    DocumentTooLarge = "DOCUMENT_TOO_LARGE", None, "Shorten the document; move values into variables.";
    DocumentTooDeep = "DOCUMENT_TOO_DEEP", None, "Nest less deeply.";
    QueryTooDeep = "QUERY_TOO_DEEP", None, "Nest fewer fields within each other.";
    QueryTooComplex = "QUERY_TOO_COMPLEX", None, "Select fewer fields or smaller pages.";
    TooManyAliases = "TOO_MANY_ALIASES", None, "Use fewer aliases, or several requests.";
    TooManyDirectives = "TOO_MANY_DIRECTIVES", None, "Use fewer directives.";
    VariablesTooDeep = "VARIABLES_TOO_DEEP", None, "Nest the variables less deeply.";
    VariablesTooLarge = "VARIABLES_TOO_LARGE", None, "Send smaller variables, or several requests.";
    IntrospectionDisabled = "INTROSPECTION_DISABLED", None, "Read the schema's file instead.";
    PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND", None, "Send the document together with its hash once.";
    PersistedQueryMismatch = "PERSISTED_QUERY_MISMATCH", None, "Send the SHA-256 of the document itself.";
    TooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS", None, "Complete a subscription, or open another socket.";
    TooManyStreams = "TOO_MANY_STREAMS", Some(429), "Close a socket or event stream of this token first.";
    SlowConsumer = "SLOW_CONSUMER", None, "Read faster; resume after the last cursor received.";
}

impl Code {
    /// Whether the refusal may come before the body was read. What is left of it would be read as the next request, so that
    /// the connection ends, and says so.
    const fn leaves_body(self) -> bool {
        matches!(
            self,
            Code::BodyTimeout
                | Code::Forbidden
                | Code::HostNotAllowed
                | Code::MethodNotAllowed
                | Code::NotAcceptable
                | Code::OriginNotAllowed
                | Code::PayloadTooLarge
                | Code::RateLimited
                | Code::Unauthenticated
                | Code::UnsupportedMediaType
        )
    }

    /// Whether the same request may succeed when it is sent again.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Code::BodyTimeout | Code::Busy | Code::DeadlineExceeded | Code::RateLimited | Code::SlowConsumer
        )
    }
}

/// One refusal: what, where, the limit and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub code: Code,
    pub message: String,
    pub at: Vec<Pos>,
    /// When the same request may succeed.
    pub after: Option<Duration>,
}

impl Problem {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: Vec::new(), after: None }
    }

    pub fn at(self, at: impl IntoIterator<Item = Pos>) -> Self {
        Self { at: at.into_iter().collect(), ..self }
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after: Some(after), ..self }
    }

    /// The one answer to anybody who may not enter; the reason stands only in the server's log.
    pub fn unauthenticated() -> Self {
        Self::new(
            Code::Unauthenticated,
            "a valid token is required; send it as `Authorization: Bearer hf_...`",
        )
    }

    pub fn internal() -> Self {
        Self::new(Code::Internal, "the server failed to answer; quote the request id to its operator")
    }

    /// The problem as the only error of a GraphQL response, for transports that have no status code.
    pub fn into_graphql(self) -> Response {
        let mut error = ServerError::new(clip(&self.message, MESSAGE_CHARS), None);
        error.locations = self.at;
        let extensions = error.extensions.get_or_insert_default();
        mark(extensions, self.code);
        Response::from_errors(vec![error])
    }

    /// The problem as an HTTP answer.
    pub fn into_http(self, media: Media, id: &RequestId) -> axum::response::Response {
        let code = self.code;
        telemetry::error(code.text());
        let mut error = json!({
            "message": clip(&self.message, MESSAGE_CHARS),
            "extensions": {
                "code": code.text(), "help": code.mend(), "requestId": id.as_str(), "retryable": code.retryable(),
            },
        });
        if !self.at.is_empty() {
            error["locations"] = json!(self.at);
        }
        let status = match (code.status(), media) {
            (Some(status), _) => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            (None, Media::GraphQl) => StatusCode::BAD_REQUEST,
            (None, Media::Json) => StatusCode::OK,
        };
        let body = json!({ "errors": [error] }).to_string();
        let mut answer = (status, [(header::CONTENT_TYPE, media.content_type())], body).into_response();
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if code.leaves_body() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let after = self.after.or_else(|| (code == Code::Busy).then_some(Duration::from_secs(1)));
        if let Some(after) = after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

/// Gives every error of an answer its code, request id and `retryable`, and keeps the answer within its
/// limits.
pub fn finish(response: &mut Response, id: &RequestId, limits: &Limits) {
    for error in &response.errors {
        show_null(&mut response.data, &error.path);
    }
    let found = response.errors.len();
    response.errors.truncate(limits.errors);
    let mut bytes = 0;
    let mut shown = 0;
    for error in &mut response.errors {
        describe(error, id);
        bytes += serde_json::to_string(error).map_or(usize::MAX, |text| text.len());
        if bytes > limits.error_bytes && shown > 0 {
            break;
        }
        shown += 1;
    }
    response.errors.truncate(shown);
    telemetry::errors(response);
    if shown < found {
        response.extensions.insert("errorsOmitted".into(), Value::from(found - shown));
    }
}

/// Whether the request was refused as a whole, before any field was resolved.
pub fn refused_whole(response: &Response) -> bool {
    response.data == Value::Null && response.errors.iter().any(|error| error.path.is_empty())
}

/// Shortens `text` for an error message: words of more than 80 characters and anything beyond `limit`.
pub fn clip(text: &str, limit: usize) -> String {
    let mut short = String::with_capacity(text.len().min(limit + 4));
    for (i, word) in text.split(' ').enumerate() {
        if i > 0 {
            short.push(' ');
        }
        match word.char_indices().nth(WORD_CHARS) {
            Some((end, _)) => {
                short.push_str(&word[..end]);
                short.push('…');
            }
            None => short.push_str(word),
        }
        if short.len() > limit {
            let mut end = limit;
            while !short.is_char_boundary(end) {
                end -= 1;
            }
            short.truncate(end);
            short.push('…');
            break;
        }
    }
    short
}

const MESSAGE_CHARS: usize = 400;
const WORD_CHARS: usize = 80;

/// Whether an error is one of ours; the library's own have no code yet.
pub fn is_coded(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    matches!(code, Some(Value::String(_) | Value::Enum(_)))
}

fn describe(error: &mut ServerError, id: &RequestId) {
    let coded = is_coded(error);
    let extensions = error.extensions.get_or_insert_default();
    if !coded {
        let (code, message) = match recognise(&error.message) {
            Some(known) => known,
            // A source means that a foreign error was converted by `?`: its text is not for the caller.
            None if error.source.is_some() => {
                tracing::error!(request_id = id.as_str(), path = ?error.path, error = %error.message, "resolver failed");
                (Code::Internal, Problem::internal().message)
            }
            None => (Code::Validation, clip(&error.message, MESSAGE_CHARS)),
        };
        mark(extensions, code);
        error.message = message;
    } else if error.message.len() > 4 * MESSAGE_CHARS {
        error.message = clip(&error.message, 4 * MESSAGE_CHARS);
    }
    if extensions.get("retryable").is_none() {
        extensions.set("retryable", false);
    }
    extensions.set("requestId", id.as_str());
    error.locations.truncate(4);
}

fn mark(extensions: &mut ErrorExtensionValues, code: Code) {
    extensions.set("code", code.text());
    extensions.set("help", code.mend());
    extensions.set("retryable", code.retryable());
}

/// The library leaves a field that failed out of the data; a client expects it as null.
fn show_null(data: &mut Value, path: &[PathSegment]) {
    let Some((first, rest)) = path.split_first() else { return };
    match (first, data) {
        (PathSegment::Field(key), Value::Object(map)) => match map.get_mut(key.as_str()) {
            Some(inner) => show_null(inner, rest),
            None => {
                map.insert(Name::new(key), Value::Null);
            }
        },
        (PathSegment::Index(index), Value::List(list)) => {
            if let Some(inner) = list.get_mut(*index) {
                show_null(inner, rest);
            }
        }
        _ => {}
    }
}

/// The library's own limits have no codes; their texts are matched, and a test notices when they change.
fn recognise(message: &str) -> Option<(Code, String)> {
    let code = match message {
        "Query is too complex." => Code::QueryTooComplex,
        "Query is nested too deep." => Code::QueryTooDeep,
        _ if message.starts_with("The recursion depth of the query") => Code::QueryTooDeep,
        _ if message.starts_with("The number of directives on the field") => Code::TooManyDirectives,
        _ => return None,
    };
    Some((code, clip(message, MESSAGE_CHARS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_mendable() {
        for (i, code) in Code::ALL.iter().enumerate() {
            assert!(code.mend().ends_with('.'), "{}", code.text());
            assert!(Code::ALL[..i].iter().all(|other| other.text() != code.text()), "{} twice", code.text());
        }
    }

    #[test]
    fn long_words_and_long_messages_are_cut() {
        let cut = clip(&format!("unknown field {}", "x".repeat(5_000)), 400);
        assert_eq!(cut, format!("unknown field {}…", "x".repeat(80)));
        let cut = clip(&"ü ".repeat(1_000), 101);
        assert!(cut.len() <= 104 && cut.ends_with('…'), "{cut}");
    }

    #[test]
    fn foreign_errors_are_hidden_and_plain_ones_are_validation() {
        let id = RequestId::for_tests("r1");
        let hidden =
            async_graphql::Error::new_with_source("password=hunter2").into_server_error(Pos::default());
        let plain = async_graphql::Error::new("first must be 1-200").into_server_error(Pos::default());
        let mut response = Response::from_errors(vec![hidden, plain]);
        finish(&mut response, &id, &Limits::default());
        let text = serde_json::to_value(&response.errors).unwrap_or_default();
        assert_eq!(text[0]["extensions"]["code"], "INTERNAL");
        assert!(!text.to_string().contains("hunter2"));
        assert_eq!(text[1]["extensions"]["code"], "VALIDATION");
        assert_eq!(text[1]["extensions"]["requestId"], "r1");
        assert_eq!(text[1]["message"], "first must be 1-200");
    }

    #[test]
    fn an_answer_shows_at_most_twenty_errors_in_sixteen_kibibytes() {
        let id = RequestId::for_tests("r1");
        let many = |n: usize, text: &str| (0..n).map(|_| ServerError::new(text, None)).collect();
        let mut response = Response::from_errors(many(5_000, "no"));
        finish(&mut response, &id, &Limits::default());
        assert_eq!(response.errors.len(), 20);
        assert_eq!(response.extensions["errorsOmitted"], Value::from(4_980));

        let long = "word ".repeat(1_000);
        let mut error = ServerError::new(long.clone(), None);
        error.extensions.get_or_insert_default().set("code", "LEAD");
        let mut response = Response::from_errors(vec![error; 20]);
        finish(&mut response, &id, &Limits::default());
        assert!(serde_json::to_string(&response.errors).unwrap_or_default().len() <= 16 * 1024);
        assert!(response.errors.len() < 20);
    }
}
