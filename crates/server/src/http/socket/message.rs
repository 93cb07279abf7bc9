//! The messages of `graphql-transport-ws`.

use async_graphql::Value;
use axum::extract::ws::{Message, Utf8Bytes};
use serde::Serialize;

use super::super::config::Limits;
use super::super::json::{self, Call, Object};
use super::super::problem::{Problem, clip};
use super::super::{Denied, bearer_text};

pub const ACK: Utf8Bytes = Utf8Bytes::from_static(r#"{"type":"connection_ack"}"#);
pub const PONG: Utf8Bytes = Utf8Bytes::from_static(r#"{"type":"pong"}"#);

/// What a client may say.
#[derive(Debug)]
pub enum ClientMessage {
    /// `Err` when the token is there in a form that cannot be one.
    Init {
        token: Option<Result<String, Denied>>,
    },
    Ping,
    Pong,
    /// A request that cannot be read is refused under its id, the socket lives on.
    Subscribe {
        id: String,
        call: Box<Result<Call, Problem>>,
    },
    Complete {
        id: String,
    },
}

impl ClientMessage {
    /// `Err` is the reason to close with.
    pub fn read(text: &str, limits: &Limits) -> Result<ClientMessage, String> {
        // The message is two levels above the variables: itself, its payload.
        let value = json::read(text.as_bytes(), limits.variable_depth + 2, limits);
        let mut message = match value.map_err(|problem| bad(&problem.message))? {
            Value::Object(message) => message,
            other => return Err(bad(&format!("a message is an object, not {}", json::kind(&other)))),
        };
        let kind = string(&mut message, "type")?;
        match kind.as_str() {
            "connection_init" => Ok(ClientMessage::Init { token: token(payload(&mut message)?) }),
            "ping" => payload(&mut message).map(|_| ClientMessage::Ping),
            "pong" => payload(&mut message).map(|_| ClientMessage::Pong),
            "complete" => Ok(ClientMessage::Complete { id: id(&mut message)? }),
            "subscribe" => {
                let id = id(&mut message)?;
                let payload = payload(&mut message)?.ok_or_else(|| bad("subscribe needs a payload"))?;
                Ok(ClientMessage::Subscribe { id, call: Box::new(Call::from_object(payload)) })
            }
            other => Err(bad(&format!("unknown message type {}", clip(other, 40)))),
        }
    }
}

/// `next` and `error`.
#[derive(Serialize)]
pub struct Next<'a, T> {
    pub r#type: &'static str,
    pub id: &'a str,
    pub payload: &'a T,
}

pub fn complete(id: &str) -> Message {
    #[derive(Serialize)]
    struct Complete<'a> {
        r#type: &'static str,
        id: &'a str,
    }
    write(&Complete { r#type: "complete", id })
}

pub fn write(message: &impl Serialize) -> Message {
    // Only maps whose keys are not strings fail, and a GraphQL answer has none.
    Message::Text(serde_json::to_string(message).unwrap_or_default().into())
}

fn bad(text: &str) -> String {
    format!("Bad request: {text}")
}

fn string(message: &mut Object, key: &str) -> Result<String, String> {
    match message.swap_remove(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(bad(&format!("{key} must be a string"))),
    }
}

fn id(message: &mut Object) -> Result<String, String> {
    const BYTES: usize = 128;
    let id = string(message, "id")?;
    if id.is_empty() || id.len() > BYTES {
        Err(bad(&format!("id must have 1 to {BYTES} bytes")))
    } else {
        Ok(id)
    }
}

fn payload(message: &mut Object) -> Result<Option<Object>, String> {
    match message.swap_remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(other) => Err(bad(&format!("payload is {}; it must be an object", json::kind(&other)))),
    }
}

/// `{"authorization": "Bearer …"}` in any case, as clients copy it from HTTP, or `{"token": "…"}`.
fn token(payload: Option<Object>) -> Option<Result<String, Denied>> {
    let (key, value) = payload?
        .into_iter()
        .find(|(key, _)| key.eq_ignore_ascii_case("authorization") || key.as_str() == "token")?;
    let Value::String(text) = value else { return Some(Err(Denied)) };
    if key.as_str() == "token" {
        return Some(if text.is_empty() || text.len() > super::super::TOKEN_BYTES {
            Err(Denied)
        } else {
            Ok(text)
        });
    }
    Some(bearer_text(&text).map(str::to_owned).ok_or(Denied))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<ClientMessage, String> {
        ClientMessage::read(text, &Limits::default())
    }

    #[test]
    fn tokens_are_found_in_the_forms_that_clients_send() {
        let token =
            |payload: &str| match read(&format!(r#"{{"type":"connection_init","payload":{payload}}}"#)) {
                Ok(ClientMessage::Init { token }) => token,
                other => panic!("{other:?}"),
            };
        assert_eq!(token(r#"{"authorization":"Bearer hf_1"}"#), Some(Ok("hf_1".into())));
        assert_eq!(token(r#"{"Authorization":"bearer hf_1"}"#), Some(Ok("hf_1".into())));
        assert_eq!(token(r#"{"token":"hf_1"}"#), Some(Ok("hf_1".into())));
        assert_eq!(token("null"), None);
        assert_eq!(token("{}"), None);
        for bad in [
            r#"{"authorization":"hf_1"}"#,
            r#"{"authorization":"Basic hf_1"}"#,
            r#"{"token":7}"#,
            r#"{"token":""}"#,
        ] {
            assert_eq!(token(bad), Some(Err(Denied)), "{bad}");
        }
        assert!(matches!(read(r#"{"type":"connection_init"}"#), Ok(ClientMessage::Init { token: None })));
    }

    #[test]
    fn what_is_no_message_is_a_bad_request() {
        for text in [
            "",
            "{",
            "[]",
            "7",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"start"}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":7,"payload":{}}"#,
            r#"{"type":"subscribe","id":"","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":[]}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"ping","type":"pong"}"#,
        ] {
            let reason = read(text).expect_err(text);
            assert!(reason.starts_with("Bad request: ") && reason.len() < 200, "{text}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
            let _ = read(&text);
        }
    }
}
