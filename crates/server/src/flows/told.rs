//! An event as it leaves the house outside of GraphQL: the members of `schema/events.json`, and its cursor.

use handfast_domain::time::Instant;
use handfast_store::StoreError;
use handfast_store::cursor::Cursors;
use handfast_store::tail::Told;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Public<'a> {
    id: Uuid,
    stream: &'a str,
    stream_id: Uuid,
    version: i64,
    ordinal: i64,
    occurred_at: Instant,
    recorded_at: Instant,
    /// As it was written, which is what the feed's chain covers.
    body: &'a RawValue,
    cursor: &'a str,
}

/// One line of JSON.
pub fn json(told: &Told, cursors: &Cursors) -> Result<String, StoreError> {
    let event = &told.event;
    let corrupt = |why: serde_json::Error| StoreError::corrupt("event", "payload", event.id, why);
    let public = Public {
        id: event.id,
        stream: &event.stream_kind,
        stream_id: event.stream_id,
        version: event.version,
        ordinal: event.ordinal,
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        body: serde_json::from_str(&event.payload).map_err(corrupt)?,
        cursor: told.cursor(cursors),
    };
    serde_json::to_string(&public).map_err(corrupt)
}
