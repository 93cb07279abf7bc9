//! Which media types a caller sends and accepts.

use axum::http::{HeaderMap, HeaderValue, header};

use super::problem::{Code, Problem};

/// The two forms of an answer. They differ in the status of GraphQL request errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    GraphQl,
    Json,
}

impl Media {
    pub const fn content_type(self) -> HeaderValue {
        match self {
            Media::GraphQl => HeaderValue::from_static("application/graphql-response+json; charset=utf-8"),
            Media::Json => HeaderValue::from_static("application/json; charset=utf-8"),
        }
    }
}

/// The form of answer that the caller likes best; without an `Accept` header that is `application/json`.
pub fn negotiate(headers: &HeaderMap) -> Result<Media, Problem> {
    best(headers, |media| match media {
        "application/graphql-response+json" => Some(Media::GraphQl),
        "application/json" | "application/*" | "*/*" => Some(Media::Json),
        _ => None,
    })
    .unwrap_or(Some(Media::Json))
    .ok_or_else(|| {
        let hint = "this address answers application/graphql-response+json or application/json";
        Problem::new(Code::NotAcceptable, format!("{hint}; for text/event-stream use /graphql/stream"))
    })
}

/// Whether the caller takes an event stream.
pub fn accepts_events(headers: &HeaderMap) -> bool {
    best(headers, |media| matches!(media, "text/event-stream" | "text/*" | "*/*").then_some(()))
        .is_none_or(|found| found.is_some())
}

/// How the bytes of a body are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

/// A body must be JSON in UTF-8, as it is or compressed once.
pub fn check_body(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let refuse = |text: String| Err(Problem::new(Code::UnsupportedMediaType, text));
    let found: Vec<&[u8]> =
        headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes).collect();
    let known = match found[..] {
        [] => Some(Encoding::Identity),
        [name] if name.eq_ignore_ascii_case(b"identity") => Some(Encoding::Identity),
        [name] if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
            Some(Encoding::Gzip)
        }
        [name] if name.eq_ignore_ascii_case(b"deflate") => Some(Encoding::Deflate),
        _ => None,
    };
    let Some(encoding) = known else {
        let found = String::from_utf8_lossy(&found.join(&b", "[..])).into_owned();
        return refuse(format!("the Content-Encoding is {found}; send gzip, deflate, or the body as it is"));
    };
    let Some(found) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the Content-Type is missing; send application/json".into());
    };
    let found = found.to_str().unwrap_or("?").to_ascii_lowercase();
    let mut parts = found.split(';').map(str::trim);
    if parts.next() != Some("application/json") {
        return refuse(format!("the Content-Type is {found}; send application/json"));
    }
    let charset = parts.find_map(|part| part.strip_prefix("charset=")).map(|name| name.trim_matches('"'));
    match charset {
        None | Some("utf-8" | "utf8") => Ok(encoding),
        Some(other) => refuse(format!("the charset is {other}; send utf-8")),
    }
}

/// `None` without an `Accept` header, `Some(None)` when nothing in it will do.
fn best<T>(headers: &HeaderMap, known: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    let mut found: Option<(f32, T)> = None;
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        asked = true;
        for range in value.to_str().unwrap_or_default().to_ascii_lowercase().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if quality <= 0.0 || found.as_ref().is_some_and(|(best, _)| quality <= *best) {
                continue;
            }
            if let Some(media) = known(media) {
                found = Some((quality, media));
            }
        }
    }
    asked.then(|| found.map(|(_, media)| media))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))])
    }

    #[test]
    fn the_best_known_media_type_is_answered() {
        let cases = [
            ("application/graphql-response+json", Some(Media::GraphQl)),
            (
                "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
                Some(Media::GraphQl),
            ),
            ("application/json;q=0.9, application/graphql-response+json", Some(Media::GraphQl)),
            ("Application/JSON", Some(Media::Json)),
            ("*/*", Some(Media::Json)),
            ("text/html, */*;q=0.1", Some(Media::Json)),
            ("application/json;q=0", None),
            ("application/json;q=high", None),
            ("text/event-stream", None),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(negotiate(&accept(text)).ok(), expect, "{text}");
        }
        assert_eq!(negotiate(&HeaderMap::new()).ok(), Some(Media::Json));
    }

    #[test]
    fn only_plain_utf8_json_is_read() {
        let cases = [
            ("application/json", true),
            ("application/json; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=iso-8859-1", false),
            ("application/graphql", false),
            ("text/plain", false),
            ("multipart/form-data; boundary=x", false),
            ("application/x-www-form-urlencoded", false),
        ];
        for (text, expect) in cases {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(check_body(&headers).is_ok(), expect, "{text}");
        }
        assert!(check_body(&HeaderMap::new()).is_err());
    }
}
