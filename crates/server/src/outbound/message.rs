//! The form of a delivery: its body, and its signature after Standard Webhooks.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handfast_domain::time::Instant;
use handfast_domain::webhook::{Header, Webhook, WebhookFormat};
use handfast_store::delivery::Delivery;
use handfast_store::feed::NewEvent;
use ring::hmac;
use serde::Serialize;

use crate::flows::told;

/// The key of a signature.
pub type Key = [u8; 32];

/// The kind of a test, which is no event of the log.
pub const TEST: &str = "TEST";

/// As receivers keep it.
pub fn secret(key: &Key) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

/// A signature by each key, over what is sent and when.
pub fn signatures(keys: &[Key], id: &str, seconds: i64, body: &[u8]) -> String {
    let signed = keys.iter().map(|key| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    });
    signed.collect::<Vec<String>>().join(" ")
}

/// What stands in for an event when a webhook is tested.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Test<'a> {
    id: uuid::Uuid,
    kind: &'a str,
    occurred_at: Instant,
}

/// CloudEvents 1.0, structured mode.
#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    specversion: &'a str,
    id: uuid::Uuid,
    source: &'a str,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    datacontenttype: &'a str,
    data: T,
}

/// The body of a delivery; an error tells that the stored event is no JSON.
pub fn body(
    format: WebhookFormat,
    delivery: &Delivery,
    event: Option<&NewEvent>,
    cursor: &str,
) -> Result<Vec<u8>, serde_json::Error> {
    let Some(event) = event else {
        let data = Test { id: delivery.event, kind: TEST, occurred_at: delivery.created_at };
        return write(format, delivery, None, delivery.created_at, data);
    };
    let data = told::public(event, cursor)?;
    let subject = format!("{}/{}", event.stream_kind.to_lowercase(), event.stream_id);
    write(format, delivery, Some(subject), event.occurred_at, data)
}

fn write(
    format: WebhookFormat,
    delivery: &Delivery,
    subject: Option<String>,
    at: Instant,
    data: impl Serialize,
) -> Result<Vec<u8>, serde_json::Error> {
    match format {
        WebhookFormat::Standard => serde_json::to_vec(&data),
        WebhookFormat::Cloudevents => serde_json::to_vec(&Envelope {
            specversion: "1.0",
            id: delivery.event,
            source: "/handfast",
            r#type: format!("handfast.{}", delivery.kind.to_lowercase()),
            subject,
            time: at.to_string(),
            datacontenttype: "application/json",
            data,
        }),
    }
}

/// The headers of a delivery, signed as of `now`.
pub fn headers(webhook: &Webhook, delivery: &Delivery, keys: &[Key], now: Instant, body: &[u8]) -> HeaderMap {
    let (id, seconds) = (delivery.event.to_string(), now.ms().div_euclid(1_000));
    let mut headers = HeaderMap::new();
    for Header { name, value } in &webhook.headers {
        let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        if let (Ok(name), Ok(value)) = pair {
            headers.append(name, value);
        }
    }
    let media = match webhook.format {
        WebhookFormat::Standard => "application/json",
        WebhookFormat::Cloudevents => "application/cloudevents+json",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    let agent = concat!("handfast/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    let signed = signatures(keys, &id, seconds, body);
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", seconds.to_string()), ("webhook-signature", signed)]
    {
        // Digits, letters and base64 are always a value.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// Why a header of somebody's own cannot be sent.
pub fn check_header(header: &Header) -> Result<(), String> {
    let Header { name, value } = header;
    let lower = name.to_ascii_lowercase();
    if name.len() > 64 || HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("a header's name is 1 to 64 letters, digits and hyphens".to_owned());
    }
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("webhook-") || lower.starts_with("proxy-") {
        return Err(format!("{lower} is set by the server: choose another name"));
    }
    if value.len() > 1_024 || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err("a header's value is at most 1,024 printable ASCII characters, on one line".to_owned());
    }
    Ok(())
}

/// What frames the request, or says what it is.
const RESERVED: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        context.update(b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}");
        assert_eq!(STANDARD.encode(context.sign()), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = signatures(&[[1; 32], [2; 32]], "a", 1, b"{}");
        let parts: Vec<&str> = two.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(signatures(&[[2; 32]], "a", 1, b"{}"), parts[1]);
    }

    #[test]
    fn a_header_cannot_end_its_line_nor_take_the_place_of_ours() {
        for (name, value, good) in [
            ("X-Tenant", "a b", true),
            ("authorization", "Bearer x", true),
            ("X-Tenant", "a\r\nx-evil: 1", false),
            ("X-Tenant", "a\nb", false),
            ("X-Tenant", "a\0b", false),
            ("X-Tenant", "é", false),
            ("X\r\nY", "a", false),
            ("X Y", "a", false),
            ("", "a", false),
            ("Host", "a", false),
            ("Content-Length", "0", false),
            ("transfer-encoding", "chunked", false),
            ("Webhook-Signature", "v1,x", false),
            ("proxy-authorization", "x", false),
        ] {
            let header = Header { name: name.into(), value: value.into() };
            assert_eq!(check_header(&header).is_ok(), good, "{name:?}: {value:?}");
        }
    }
}
