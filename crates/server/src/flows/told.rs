//! An event as it leaves the house outside of GraphQL: the members of `schema/events.json`, and its cursor.

use handfast_domain::time::Instant;
use handfast_store::StoreError;
use handfast_store::cursor::Cursors;
use handfast_store::feed::NewEvent;
use handfast_store::tail::Told;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Public<'a> {
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

/// An error tells that the stored event is no JSON.
pub fn public<'a>(event: &'a NewEvent, cursor: &'a str) -> Result<Public<'a>, serde_json::Error> {
    Ok(Public {
        id: event.id,
        stream: &event.stream_kind,
        stream_id: event.stream_id,
        version: event.version,
        ordinal: event.ordinal,
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        body: serde_json::from_str(&event.payload)?,
        cursor,
    })
}

/// One line of JSON.
pub fn json(told: &Told, cursors: &Cursors) -> Result<String, StoreError> {
    let line = public(&told.event, told.cursor(cursors)).and_then(|public| serde_json::to_string(&public));
    line.map_err(|why| StoreError::corrupt("event", "payload", told.event.id, why))
}
