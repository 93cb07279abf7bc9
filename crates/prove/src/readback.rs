//! What the workspace says in the end: its whole log, and the version of each lead.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use handfast_bench::Failed;
use handfast_bench::server::query;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::checker::{Effect, Row};
use crate::subscriber::position_of;
use crate::writer::uuid_of;

const EVENTS: &str = "query($after: FeedCursor) { events(after: $after, first: 500) \
    { events { id cursor kind version ordinal leadId payload } cursor atHead } }";
const LEADS: &str = "query($after: String) { leads(first: 200, after: $after) \
    { edges { node { uuid version } } pageInfo { hasNextPage endCursor } } }";

/// The log from its beginning.
pub fn log(to: SocketAddr, token: &str) -> Result<Vec<Row>, Failed> {
    let (mut rows, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = query(to, token, EVENTS, json!({"after": after}))?["events"].take();
        for event in page["events"].as_array().into_iter().flatten() {
            rows.push(row(event)?);
        }
        after = page["cursor"].clone();
        if page["atHead"] == true {
            return Ok(rows);
        }
    }
}

fn row(event: &Value) -> Result<Row, Failed> {
    let text = |name: &str| event[name].as_str().ok_or_else(|| Failed(format!("no {name} in {event}")));
    let number = |name: &str| event[name].as_i64().ok_or_else(|| Failed(format!("no {name} in {event}")));
    let payload: Value = serde_json::from_str(text("payload")?)?;
    let fact = &payload["fact"];
    let effect = match text("kind")? {
        "LEAD_CAPTURED" => Some(Effect::Captured),
        "CYCLE_CLOSED" => Some(Effect::Closed),
        "CYCLE_OPENED" if fact["by"] == "REQUALIFY" => Some(Effect::Fired),
        "CYCLE_OPENED" if fact["cycle"].as_i64() > Some(1) => Some(Effect::Reopened),
        // A reason to reopen stays as a note.
        "ACTIVITY_LOGGED" if fact["activityKind"] == "EMAIL" => Some(Effect::Noted),
        _ => None,
    };
    Ok(Row {
        position: position_of(text("cursor")?)?,
        id: text("id")?.parse()?,
        lead: event["leadId"].as_str().and_then(uuid_of),
        version: number("version")?,
        ordinal: number("ordinal")?,
        stage_version: fact["stageVersion"].as_i64(),
        effect,
    })
}

/// Each lead with its version.
pub fn table(to: SocketAddr, token: &str) -> Result<BTreeMap<Uuid, i64>, Failed> {
    let (mut versions, mut after) = (BTreeMap::new(), Value::Null);
    loop {
        let page = query(to, token, LEADS, json!({"after": after}))?["leads"].take();
        for edge in page["edges"].as_array().into_iter().flatten() {
            let node = &edge["node"];
            let uuid = node["uuid"].as_str().unwrap_or_default().parse()?;
            versions.insert(uuid, node["version"].as_i64().unwrap_or_default());
        }
        if page["pageInfo"]["hasNextPage"] != true {
            return Ok(versions);
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}
