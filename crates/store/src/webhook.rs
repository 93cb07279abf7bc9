//! Webhooks: what they are, how far each has come in the feed, and how its endpoint fares. What is sent stands in
//! [`crate::delivery`].

use handfast_domain::time::Instant;
use handfast_domain::webhook::{Attempt, AttemptResult, Webhook};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place};
use crate::error::Result;
use crate::rows::{execute, fetch_all, fetch_one, insert_rows};
use crate::tx::Tx;
use crate::{delivery, job};

/// A webhook as its endpoint left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub webhook: Webhook,
    /// Events up to here have become deliveries.
    pub position: i64,
    /// Since when no attempt has succeeded.
    pub failing_since: Option<Instant>,
    pub last_success_at: Option<Instant>,
    pub last_failure: Option<Attempt>,
}

/// All webhooks, the oldest first. They are few.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Webhook>> {
    Ok(endpoints(db).await?.into_iter().map(|endpoint| endpoint.webhook).collect())
}

/// The same with how they fare.
pub async fn endpoints(db: &impl ConnectionTrait) -> Result<Vec<Endpoint>> {
    let rows: Vec<Row> = fetch_all(db, &format!("{SELECT} ORDER BY created_at, id"), vec![]).await?;
    rows.into_iter().map(Row::decode).collect()
}

pub async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Endpoint>> {
    let row: Option<Row> = fetch_one(db, &format!("{SELECT} WHERE id = $1"), vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// A new webhook gets the events after `position`.
pub async fn insert(tx: &Tx, webhook: &Webhook, position: i64) -> Result<()> {
    let row = vec![webhook.id.into(), json(webhook)?.into(), webhook.created_at.ms().into(), position.into()];
    insert_rows(tx, "webhook", &["id", "body", "created_at", "position"], vec![row]).await.map(drop)
}

/// What it is; how far it has come stays. One that is switched on again begins without a past.
pub async fn update(tx: &Tx, webhook: &Webhook) -> Result<()> {
    let past = if webhook.disabled.is_none() { "NULL" } else { "failing_since" };
    let sql = format!("UPDATE webhook SET body = $2, failing_since = {past} WHERE id = $1");
    execute(tx, &sql, vec![webhook.id.into(), json(webhook)?.into()]).await.map(drop)
}

/// Takes it away with its deliveries and jobs.
pub async fn remove(tx: &Tx, id: Uuid) -> Result<()> {
    let lane = id.to_string();
    job::clear(tx, delivery::JOB, &lane).await?;
    job::clear(tx, delivery::REPLAY_JOB, &lane).await?;
    execute(tx, "DELETE FROM webhook_delivery WHERE webhook = $1", vec![id.into()]).await?;
    execute(tx, "DELETE FROM webhook WHERE id = $1", vec![id.into()]).await.map(drop)
}

/// Moves it on in the feed and answers how it is now; none when another node did so before, or it is gone. Until the command ends
/// nobody else plans for it.
pub async fn advance(tx: &Tx, id: Uuid, from: i64, to: i64) -> Result<Option<Endpoint>> {
    let sql = format!("UPDATE webhook SET position = $3 WHERE id = $1 AND position = $2 RETURNING {COLUMNS}");
    let row: Option<Row> = fetch_one(tx, &sql, vec![id.into(), from.into(), to.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Nobody else plans or ends deliveries of it until the command ends; none when it is gone.
pub async fn lock(tx: &Tx, id: Uuid) -> Result<Option<Endpoint>> {
    let sql = format!("{SELECT} WHERE id = $1{}", tx.dialect().for_update());
    let row: Option<Row> = fetch_one(tx, &sql, vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// How an endpoint that the caller has locked fared in some attempts; answers since when it has been failing.
pub async fn fared(tx: &Tx, before: &Endpoint, attempts: &[Attempt]) -> Result<Option<Instant>> {
    let taken = |attempt: &&Attempt| attempt.result == AttemptResult::Delivered;
    let taken_at = attempts.iter().filter(taken).map(|attempt| attempt.at).max();
    let failed = || attempts.iter().filter(|attempt| !taken(attempt));
    let last = failed().max_by_key(|attempt| attempt.at).or(before.last_failure.as_ref());
    let since = match taken_at {
        Some(_) => None,
        None => before.failing_since.or(failed().map(|attempt| attempt.at).min()),
    };
    let sql = "UPDATE webhook SET failing_since = $2, last_success_at = $3, last_failure = $4 WHERE id = $1";
    let values = vec![
        before.webhook.id.into(),
        since.map(Instant::ms).into(),
        taken_at.or(before.last_success_at).map(Instant::ms).into(),
        last.map(json).transpose()?.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(since)
}

const COLUMNS: &str = "id, body, position, failing_since, last_success_at, last_failure";

const SELECT: &str = "SELECT id, body, position, failing_since, last_success_at, last_failure FROM webhook";

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    body: String,
    position: i64,
    failing_since: Option<i64>,
    last_success_at: Option<i64>,
    last_failure: Option<String>,
}

impl Row {
    fn decode(self) -> Result<Endpoint> {
        let at = |column: &'static str| Place("webhook", column, &self.id);
        let failure = self.last_failure.as_deref();
        Ok(Endpoint {
            webhook: decode::json(at("body"), &self.body)?,
            last_failure: failure.map(|text| decode::json(at("last_failure"), text)).transpose()?,
            position: self.position,
            failing_since: self.failing_since.map(Instant),
            last_success_at: self.last_success_at.map(Instant),
        })
    }
}
