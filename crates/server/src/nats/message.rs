//! An event as a message: CloudEvents 1.0 in binary mode, by the protocol binding for NATS.

use async_nats::HeaderMap;
use async_nats::header::{
    NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID,
};
use handfast_store::StoreError;
use handfast_store::cursor::Cursors;
use handfast_store::tail::Told;

use super::Target;
use crate::flows::told;

/// The header that holds the event's id.
pub const EVENT_ID: &str = "ce-id";

pub struct Message {
    pub subject: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// The message of an event. NATS takes it only where its number in the stream will be its position, and only right after the
/// message of the event before it if that was `sent` as well and not looked at.
pub fn of(told: &Told, sent: bool, cursors: &Cursors, target: &Target) -> Result<Message, StoreError> {
    let event = &told.event;
    let noun = event.stream_kind.to_lowercase();
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert(EVENT_ID, event.id.to_string());
    headers.insert("ce-source", "/handfast");
    headers.insert("ce-type", format!("handfast.{}", event.kind.to_lowercase()));
    headers.insert("ce-subject", format!("{noun}/{}", event.stream_id));
    headers.insert("ce-time", event.occurred_at.to_string());
    // The binding's name for it, and the one that its first libraries look for.
    headers.insert("ce-datacontenttype", "application/json");
    headers.insert("content-type", "application/json");
    headers.insert(NATS_MESSAGE_ID, id(&cursors.epoch(), told.position));
    headers.insert(NATS_EXPECTED_STREAM, target.stream.as_str());
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, told.position.saturating_sub(1).to_string());
    if sent {
        headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, id(&cursors.epoch(), told.position.saturating_sub(1)));
    }
    let subject = format!("{}.{noun}.{}", target.prefix, event.kind);
    Ok(Message { subject, headers, body: told::json(told, cursors)? })
}

/// The identity of a message: no two events of a workspace share it, also after a restore.
pub fn id(epoch: &str, position: i64) -> String {
    format!("{epoch}:{position}")
}
