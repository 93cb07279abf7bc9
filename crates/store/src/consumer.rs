//! Named consumers of the log: how far each has come, what waits for it, and what it put aside.

use handfast_domain::consumer::{Consumer, DeadLetter};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::{Result, StoreError};
use crate::feed::{self, EventFilter};
use crate::rows::{execute, fetch_all, fetch_one, fetch_value, upsert_rows};
use crate::tx::Tx;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    key: String,
    description: Option<String>,
    owner: Uuid,
    filter: String,
    position: i64,
    created_at: i64,
    acked_at: Option<i64>,
}

impl Row {
    fn decode(self) -> Result<Consumer> {
        let filter = serde_json::from_str(&self.filter)
            .map_err(|why| StoreError::corrupt("consumer", "filter", self.id, why))?;
        Ok(Consumer {
            id: self.id,
            key: self.key,
            description: self.description,
            owner: self.owner,
            filter,
            position: self.position,
            created_at: Instant(self.created_at),
            acked_at: self.acked_at.map(Instant),
        })
    }
}

const COLUMNS: &[&str] =
    &["id", "key", "description", "owner", "filter", "position", "created_at", "acked_at"];
const CONSUMER: &str =
    "SELECT id, key, description, owner, filter, position, created_at, acked_at FROM consumer";

fn columns(consumer: &Consumer) -> Result<Vec<Value>> {
    let Consumer { id, key, description, owner, filter, position, created_at, acked_at } = consumer;
    let filter =
        serde_json::to_string(filter).map_err(|why| StoreError::corrupt("consumer", "filter", id, why))?;
    Ok(vec![
        (*id).into(),
        key.as_str().into(),
        description.as_deref().into(),
        (*owner).into(),
        filter.into(),
        (*position).into(),
        created_at.ms().into(),
        acked_at.map(Instant::ms).into(),
    ])
}

pub async fn put(tx: &Tx, consumer: &Consumer) -> Result<()> {
    upsert_rows(tx, "consumer", COLUMNS, &["id"], vec![columns(consumer)?]).await.map(drop)
}

pub async fn by_key(db: &impl ConnectionTrait, key: &str) -> Result<Option<Consumer>> {
    one(db, &format!("{CONSUMER} WHERE key = $1"), key.into()).await
}

pub async fn by_id(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Consumer>> {
    one(db, &format!("{CONSUMER} WHERE id = $1"), id.into()).await
}

/// Nobody else moves or changes it until the command ends.
pub async fn lock(tx: &Tx, key: &str) -> Result<Option<Consumer>> {
    one(tx, &format!("{CONSUMER} WHERE key = $1{}", tx.dialect().for_update()), key.into()).await
}

async fn one(db: &impl ConnectionTrait, sql: &str, value: Value) -> Result<Option<Consumer>> {
    let row: Option<Row> = fetch_one(db, sql, vec![value]).await?;
    row.map(Row::decode).transpose()
}

/// Consumers by their registration, the newest first: those of one user, or all; after a place.
pub async fn page(
    db: &impl ConnectionTrait,
    owner: Option<Uuid>,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Consumer>> {
    let mut values: Vec<Value> = vec![limit.into()];
    let mut conditions = vec![];
    if let Some(owner) = owner {
        values.push(owner.into());
        conditions.push(format!("owner = ${}", values.len()));
    }
    if let Some((at, id)) = from {
        values.extend([at.into(), id.into()]);
        let last = values.len();
        conditions.push(format!("(created_at, id) < (${}, ${last})", last - 1));
    }
    let conditions =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let sql = format!("{CONSUMER}{conditions} ORDER BY created_at DESC, id DESC LIMIT $1");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Consumers of a user.
pub async fn count(db: &impl ConnectionTrait, owner: Uuid) -> Result<i64> {
    let sql = "SELECT count(*) FROM consumer WHERE owner = $1";
    Ok(fetch_value(db, sql, vec![owner.into()]).await?.unwrap_or(0))
}

/// With what it put aside.
pub async fn remove(tx: &Tx, id: Uuid) -> Result<()> {
    execute(tx, "DELETE FROM dead_letter WHERE consumer = $1", vec![id.into()]).await?;
    execute(tx, "DELETE FROM consumer WHERE id = $1", vec![id.into()]).await.map(drop)
}

/// What a consumer has not acknowledged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub events: i64,
    /// There may be more: the count stops somewhere.
    pub at_least: bool,
    /// When the oldest of them was recorded.
    pub oldest: Option<Instant>,
}

/// Positions that are looked at for a filter, and events that are counted.
const LOOKED_AT: i64 = 20_000;
const COUNTED: i64 = 10_000;

/// Counts what passes the filter after a position, up to the head. One statement whose cost does not grow with the log.
pub async fn waiting(
    db: &impl ConnectionTrait,
    position: i64,
    head: i64,
    filter: &EventFilter,
) -> Result<Waiting> {
    if position >= head {
        return Ok(Waiting::default());
    }
    // Positions are dense: without a filter nothing needs to be counted.
    let dense = filter.is_empty();
    let whole = dense || filter.stream.is_some();
    let end = if whole { head } else { head.min(position.saturating_add(LOOKED_AT)) };
    let limit = if dense { 1 } else { COUNTED };
    let mut values: Vec<Value> = vec![position.into(), end.into(), limit.into()];
    let conditions = feed::conditions(Dialect::of(db.get_database_backend()), filter, &mut values);
    let sql = format!(
        "SELECT count(*) AS events, min(recorded_at) AS oldest FROM (SELECT e.recorded_at FROM event e \
         JOIN feed f ON f.event_id = e.id WHERE f.position > $1 AND f.position <= $2{conditions} \
         ORDER BY f.position LIMIT $3) AS waiting"
    );
    let counted: Option<Counted> = fetch_one(db, &sql, values).await?;
    let Some(Counted { events, oldest }) = counted else { return Ok(Waiting::default()) };
    let (events, at_least) =
        if dense { (head - position, false) } else { (events, events == COUNTED || end < head) };
    Ok(Waiting { events, at_least, oldest: oldest.map(Instant) })
}

#[derive(FromQueryResult)]
struct Counted {
    events: i64,
    oldest: Option<i64>,
}

#[derive(FromQueryResult)]
struct LetterRow {
    consumer: Uuid,
    event: Uuid,
    position: i64,
    reason: String,
    rejected_at: i64,
    rejected_by: Uuid,
    resolved_at: Option<i64>,
    resolved_by: Option<Uuid>,
}

impl From<LetterRow> for DeadLetter {
    fn from(row: LetterRow) -> DeadLetter {
        DeadLetter {
            consumer: row.consumer,
            event: row.event,
            position: row.position,
            reason: row.reason,
            rejected_at: Instant(row.rejected_at),
            rejected_by: row.rejected_by,
            resolved_at: row.resolved_at.map(Instant),
            resolved_by: row.resolved_by,
        }
    }
}

const LETTER_COLUMNS: &[&str] =
    &["consumer", "event", "position", "reason", "rejected_at", "rejected_by", "resolved_at", "resolved_by"];
const LETTER: &str = "SELECT consumer, event, position, reason, rejected_at, rejected_by, resolved_at, resolved_by \
                      FROM dead_letter";

pub async fn put_letter(tx: &Tx, letter: &DeadLetter) -> Result<()> {
    let DeadLetter { consumer, event, position, reason, rejected_at, rejected_by, resolved_at, resolved_by } =
        letter;
    let row = vec![
        (*consumer).into(),
        (*event).into(),
        (*position).into(),
        reason.as_str().into(),
        rejected_at.ms().into(),
        (*rejected_by).into(),
        resolved_at.map(Instant::ms).into(),
        (*resolved_by).into(),
    ];
    upsert_rows(tx, "dead_letter", LETTER_COLUMNS, &["consumer", "event"], vec![row]).await.map(drop)
}

pub async fn letter(db: &impl ConnectionTrait, consumer: Uuid, event: Uuid) -> Result<Option<DeadLetter>> {
    let sql = format!("{LETTER} WHERE consumer = $1 AND event = $2");
    let row: Option<LetterRow> = fetch_one(db, &sql, vec![consumer.into(), event.into()]).await?;
    Ok(row.map(DeadLetter::from))
}

/// How many events a consumer put aside that nobody has resolved.
pub async fn open_letters(db: &impl ConnectionTrait, consumer: Uuid) -> Result<i64> {
    let sql = "SELECT count(*) FROM dead_letter WHERE consumer = $1 AND resolved_at IS NULL";
    Ok(fetch_value(db, sql, vec![consumer.into()]).await?.unwrap_or(0))
}

/// What a consumer put aside, the oldest first; `resolved` asks for those that are, or are not.
pub async fn letters(
    db: &impl ConnectionTrait,
    consumer: Uuid,
    resolved: Option<bool>,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<DeadLetter>> {
    let mut values: Vec<Value> = vec![consumer.into(), limit.into()];
    let mut conditions = match resolved {
        None => String::new(),
        Some(true) => " AND resolved_at IS NOT NULL".to_owned(),
        Some(false) => " AND resolved_at IS NULL".to_owned(),
    };
    if let Some((at, event)) = from {
        values.extend([at.into(), event.into()]);
        conditions.push_str(" AND (rejected_at, event) > ($3, $4)");
    }
    let sql = format!("{LETTER} WHERE consumer = $1{conditions} ORDER BY rejected_at, event LIMIT $2");
    let rows: Vec<LetterRow> = fetch_all(db, &sql, values).await?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}
