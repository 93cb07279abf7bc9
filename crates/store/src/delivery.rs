//! What is sent to webhooks: a delivery for each event and webhook, with a job while it is to be sent. Planning, ending and
//! repeating a delivery changes both in one transaction, so that a crash between anything loses nothing.

use std::collections::BTreeSet;

use handfast_domain::time::Instant;
use handfast_domain::webhook::{Attempt, DeliveryState, Next};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::feed::{COLUMNS_OF_E, EventData, NewEvent};
use crate::job::{self, NewJob};
use crate::lead::Where;
use crate::rows::{execute, fetch_all, fetch_one, fetch_value, insert_rows};
use crate::tx::Tx;

/// The kind of job that sends a delivery. Its lane is the webhook's id, its own id the delivery's.
pub const JOB: &str = "webhook";
/// The kind of job that makes deliveries of events of the past.
pub const REPLAY_JOB: &str = "webhook-replay";

/// An event on its way to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: Uuid,
    pub webhook: Uuid,
    /// What made it: nil for the feed, else a replay or a test. Order is kept within it.
    pub origin: Uuid,
    /// Id of the event; of a test its own.
    pub event: Uuid,
    /// Place of the event in the feed; a test has none.
    pub position: Option<i64>,
    /// Kind of the event.
    pub kind: String,
    /// What the event belongs to.
    pub stream: Uuid,
    pub state: DeliveryState,
    pub created_at: Instant,
    /// When it is sent next.
    pub next_at: Option<Instant>,
    pub tried: Vec<Attempt>,
}

impl Delivery {
    /// One that nobody has tried yet.
    pub fn new(id: Uuid, webhook: Uuid, event: Uuid, kind: &str, now: Instant) -> Delivery {
        Delivery {
            id,
            webhook,
            origin: Uuid::nil(),
            event,
            position: None,
            kind: kind.to_owned(),
            stream: Uuid::nil(),
            state: DeliveryState::Pending,
            created_at: now,
            next_at: Some(now),
            tried: vec![],
        }
    }

    fn job(&self, run_at: Instant) -> NewJob {
        new_job(self.webhook, self.id, run_at)
    }
}

fn new_job(webhook: Uuid, delivery: Uuid, run_at: Instant) -> NewJob {
    NewJob {
        id: delivery,
        kind: JOB,
        lane: webhook.to_string(),
        key: format!("webhook/{delivery}"),
        run_at,
        payload: String::new(),
    }
}

/// Writes new deliveries of one webhook, all of one origin and in the order of the feed. With `ordered` one waits while
/// another of its stream is open. The caller holds the webhook's row.
pub async fn plan(tx: &Tx, mut deliveries: Vec<Delivery>, ordered: bool) -> Result<()> {
    let Some(first) = deliveries.first() else { return Ok(()) };
    if ordered {
        let mut busy = busy(tx, first.webhook, first.origin, &deliveries).await?;
        for delivery in &mut deliveries {
            if !busy.insert(delivery.stream) {
                (delivery.state, delivery.next_at) = (DeliveryState::Waiting, None);
            }
        }
    }
    let due = deliveries.iter().filter_map(|delivery| Some(delivery.job(delivery.next_at?)));
    let due: Vec<NewJob> = due.collect();
    let rows = deliveries.iter().map(|delivery| {
        let Delivery {
            id,
            webhook,
            origin,
            event,
            position,
            kind,
            stream,
            state,
            created_at,
            next_at,
            tried,
        } = delivery;
        Ok(vec![
            (*id).into(),
            (*webhook).into(),
            (*origin).into(),
            (*event).into(),
            (*position).into(),
            kind.as_str().into(),
            (*stream).into(),
            state.as_str().into(),
            created_at.ms().into(),
            next_at.map(Instant::ms).into(),
            json(tried)?.into(),
        ])
    });
    insert_rows(tx, "webhook_delivery", COLUMNS, rows.collect::<Result<_>>()?).await?;
    job::insert(tx, &due).await.map(drop)
}

/// Streams of which a delivery is open.
async fn busy(tx: &Tx, webhook: Uuid, origin: Uuid, deliveries: &[Delivery]) -> Result<BTreeSet<Uuid>> {
    #[derive(FromQueryResult)]
    struct Busy {
        stream: Uuid,
    }
    let list = tx.dialect().uuid_list("$3");
    let sql = format!(
        "SELECT DISTINCT stream FROM webhook_delivery WHERE webhook = $1 AND origin = $2 AND stream {list} AND {OPEN}"
    );
    let streams = dialect::uuids(deliveries.iter().map(|delivery| &delivery.stream));
    let rows: Vec<Busy> = fetch_all(tx, &sql, vec![webhook.into(), origin.into(), streams]).await?;
    Ok(rows.into_iter().map(|row| row.stream).collect())
}

/// An attempt that has ended, and what follows from it.
#[derive(Clone, Debug)]
pub struct Ended {
    pub delivery: Delivery,
    /// Of the job under which it was tried.
    pub fence: i64,
    pub attempt: Attempt,
    pub next: Next,
}

/// Attempts that a delivery remembers; one that is sent again and again must not grow for ever.
const REMEMBERED: usize = 30;

/// Writes how an attempt ended, and lets the next of the stream go if this one is closed. False, and nothing is written, when
/// somebody else has the job by now. The caller holds the webhook's row.
pub async fn end(tx: &Tx, ended: &Ended, now: Instant) -> Result<bool> {
    let Ended { delivery, fence, attempt, next } = ended;
    let (ours, state, next_at) = match next {
        Next::Done => (job::complete(tx, delivery.id, *fence).await?, DeliveryState::Delivered, None),
        Next::Dead => (job::complete(tx, delivery.id, *fence).await?, DeliveryState::Dead, None),
        Next::Retry(pause) => {
            let at = now.plus(*pause);
            (job::retry(tx, delivery.id, *fence, at).await?, DeliveryState::Pending, Some(at))
        }
    };
    if !ours {
        return Ok(false);
    }
    let mut tried = delivery.tried.clone();
    tried.push(attempt.clone());
    let tried = &tried[tried.len().saturating_sub(REMEMBERED)..];
    let sql = "UPDATE webhook_delivery SET state = $2, next_at = $3, tried = $4 WHERE id = $1";
    let next_at = next_at.map(Instant::ms).into();
    execute(tx, sql, vec![delivery.id.into(), state.as_str().into(), next_at, json(&tried)?.into()]).await?;
    if state != DeliveryState::Pending {
        release(tx, delivery, now).await?;
    }
    Ok(true)
}

/// Whoever waits behind a closed delivery and before all others of its stream is sent now.
async fn release(tx: &Tx, closed: &Delivery, now: Instant) -> Result<()> {
    #[derive(FromQueryResult)]
    struct First {
        id: Uuid,
        state: String,
    }
    let sql = format!(
        "SELECT id, state FROM webhook_delivery WHERE webhook = $1 AND origin = $2 AND stream = $3 AND {OPEN} \
         ORDER BY position LIMIT 1"
    );
    let values = vec![closed.webhook.into(), closed.origin.into(), closed.stream.into()];
    match fetch_one::<First>(tx, &sql, values).await? {
        Some(first) if first.state == DeliveryState::Waiting.as_str() => {
            send_now(tx, closed.webhook, &[first.id], now).await
        }
        _ => Ok(()),
    }
}

/// Nobody waits for anybody any more, since the webhook keeps no order from now on.
pub async fn release_all(tx: &Tx, webhook: Uuid, now: Instant) -> Result<()> {
    let sql = format!("SELECT id FROM webhook_delivery WHERE webhook = $1 AND {OPEN} AND state = 'WAITING'");
    let waiting: Vec<Id> = fetch_all(tx, &sql, vec![webhook.into()]).await?;
    let waiting: Vec<Uuid> = waiting.into_iter().map(|row| row.id).collect();
    send_now(tx, webhook, &waiting, now).await
}

async fn send_now(tx: &Tx, webhook: Uuid, deliveries: &[Uuid], now: Instant) -> Result<()> {
    let list = tx.dialect().uuid_list("$1");
    let sql = format!("UPDATE webhook_delivery SET state = 'PENDING', next_at = $2 WHERE id {list}");
    execute(tx, &sql, vec![dialect::uuids(deliveries), now.ms().into()]).await?;
    let jobs: Vec<NewJob> = deliveries.iter().map(|id| new_job(webhook, *id, now)).collect();
    job::insert(tx, &jobs).await.map(drop)
}

/// Sends dead deliveries of a webhook again: those that are named, or the oldest; answers how many, at most `limit`.
pub async fn revive(tx: &Tx, webhook: Uuid, named: Option<&[Uuid]>, now: Instant, limit: i64) -> Result<u64> {
    let mut where_ = Where::new(tx);
    where_.equals("webhook", Some(webhook));
    where_.equals("state", Some(DeliveryState::Dead.as_str()));
    if let Some(named) = named {
        let list = where_.value(dialect::uuids(named));
        where_.and(format!("id {}", tx.dialect().uuid_list(&list)));
    }
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!("SELECT id FROM webhook_delivery{conditions} ORDER BY created_at, id LIMIT {limit}");
    let dead: Vec<Id> = fetch_all(tx, &sql, values).await?;
    let dead: Vec<Uuid> = dead.into_iter().map(|row| row.id).collect();
    send_now(tx, webhook, &dead, now).await?;
    Ok(dead.len() as u64)
}

/// Deliveries with their events; a test has none.
pub async fn with_events(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<Vec<(Delivery, Option<NewEvent>)>> {
    let list = Dialect::of(db.get_database_backend()).uuid_list("$1");
    let sql = format!("SELECT {D} FROM webhook_delivery d WHERE d.id {list}");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    let deliveries = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    let sql = format!("SELECT {COLUMNS_OF_E} FROM event e WHERE e.id {list}");
    let events = dialect::uuids(deliveries.iter().map(|delivery| &delivery.event));
    let events: Vec<EventData> = fetch_all(db, &sql, vec![events]).await?;
    let events: Vec<NewEvent> = events.into_iter().map(EventData::decode).collect();
    let with = |delivery: Delivery| {
        let event = events.iter().find(|event| event.id == delivery.event).cloned();
        (delivery, event)
    };
    Ok(deliveries.into_iter().map(with).collect())
}

/// One delivery of a webhook.
pub async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Delivery>> {
    let sql = format!("SELECT {D} FROM webhook_delivery d WHERE d.id = $1");
    let row: Option<Row> = fetch_one(db, &sql, vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Deliveries of a webhook in some states, or in any, the newest first.
pub async fn page(
    db: &impl ConnectionTrait,
    webhook: Uuid,
    states: &[DeliveryState],
    from: Option<(i64, Uuid)>,
    backward: bool,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let mut where_ = Where::new(db);
    where_.equals("d.webhook", Some(webhook));
    where_.texts("d.state", states.iter().map(|state| state.as_str()));
    let (rest, values) = where_.page(("d.created_at", "d.id"), from, backward, limit);
    let sql = format!("SELECT {D} FROM webhook_delivery d{rest}");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    let mut rows = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    if backward {
        rows.reverse();
    }
    Ok(rows)
}

/// How many of a webhook are not closed yet, counted up to `limit`.
pub async fn open(db: &impl ConnectionTrait, webhook: Uuid, limit: i64) -> Result<i64> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT id FROM webhook_delivery WHERE webhook = $1 AND {OPEN} LIMIT $2) AS open_ones"
    );
    Ok(fetch_value(db, &sql, vec![webhook.into(), limit.into()]).await?.unwrap_or(0))
}

/// How many of a webhook are dead, counted up to `limit`.
pub async fn dead(db: &impl ConnectionTrait, webhook: Uuid, limit: i64) -> Result<i64> {
    let sql = "SELECT count(*) FROM \
               (SELECT id FROM webhook_delivery WHERE webhook = $1 AND state = 'DEAD' LIMIT $2) AS dead_ones";
    Ok(fetch_value(db, sql, vec![webhook.into(), limit.into()]).await?.unwrap_or(0))
}

/// Forgets what was delivered and is older than `before`, at most `limit` at a time; answers how many.
pub async fn purge(tx: &Tx, webhook: Uuid, before: Instant, limit: i64) -> Result<u64> {
    let sql = "DELETE FROM webhook_delivery WHERE id IN (SELECT id FROM webhook_delivery \
               WHERE webhook = $1 AND state = 'DELIVERED' AND created_at < $2 ORDER BY created_at LIMIT $3)";
    execute(tx, sql, vec![webhook.into(), before.ms().into(), limit.into()]).await
}

/// As the index says it, so that SQLite takes it.
const OPEN: &str = "state IN ('WAITING', 'PENDING')";

const COLUMNS: &[&str] = &[
    "id",
    "webhook",
    "origin",
    "event",
    "position",
    "kind",
    "stream",
    "state",
    "created_at",
    "next_at",
    "tried",
];

const D: &str = "d.id, d.webhook, d.origin, d.event, d.position, d.kind, d.stream, d.state, d.created_at, \
     d.next_at, d.tried";

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    webhook: Uuid,
    origin: Uuid,
    event: Uuid,
    position: Option<i64>,
    kind: String,
    stream: Uuid,
    state: String,
    created_at: i64,
    next_at: Option<i64>,
    tried: String,
}

impl Row {
    fn decode(self) -> Result<Delivery> {
        let at = |column: &'static str| Place("webhook_delivery", column, &self.id);
        Ok(Delivery {
            state: closed(at("state"), &self.state, DeliveryState::parse)?,
            tried: decode::json(at("tried"), &self.tried)?,
            id: self.id,
            webhook: self.webhook,
            origin: self.origin,
            event: self.event,
            position: self.position,
            kind: self.kind,
            stream: self.stream,
            created_at: Instant(self.created_at),
            next_at: self.next_at.map(Instant),
        })
    }
}
