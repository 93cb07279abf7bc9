//! The table of jobs: work that is due at a time, taken by one node at a time, whichever it is. What may be taken, and what a
//! fence is worth, says [`handfast_domain::job`]. Timers of leads are no jobs: they are rows of the lead, fenced by its version.

use std::time::Duration;

use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, small};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::rows::{execute, fetch_all, fetch_value, insert_new_rows};
use crate::tx::Tx;

/// A job to be done. Of two with one key only the first is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    pub id: Uuid,
    pub kind: &'static str,
    /// Lanes of a kind are claimed apart, so that one that is full keeps no other from its turn.
    pub lane: String,
    pub key: String,
    pub run_at: Instant,
    pub payload: String,
}

/// A job that is this node's until its lock ends, or somebody else takes it with a higher fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub id: Uuid,
    pub payload: String,
    /// Attempts that ended before.
    pub attempts: u32,
    pub fence: i64,
}

const COLUMNS: &[&str] = &["id", "kind", "lane", "key", "run_at", "payload", "attempts", "fence"];

/// Answers how many of them are new.
pub async fn insert(tx: &Tx, jobs: &[NewJob]) -> Result<u64> {
    let rows = jobs.iter().map(|job| {
        let NewJob { id, kind, lane, key, run_at, payload } = job;
        vec![
            (*id).into(),
            (*kind).into(),
            lane.as_str().into(),
            key.as_str().into(),
            run_at.ms().into(),
            payload.as_str().into(),
            0_i64.into(),
            0_i64.into(),
        ]
    });
    insert_new_rows(tx, "job", COLUMNS, &["key"], rows.collect()).await
}

/// Whether there is anything to claim.
pub async fn due(db: &impl ConnectionTrait, kind: &str, lane: &str, now: Instant) -> Result<bool> {
    let clock = Dialect::of(db.get_database_backend()).now_ms();
    let sql = format!(
        "SELECT count(*) FROM (SELECT id FROM job WHERE kind = $1 AND lane = $2 AND run_at <= $3 \
         AND (locked_until IS NULL OR locked_until <= {clock}) LIMIT 1) AS free"
    );
    Ok(fetch_value::<i64>(db, &sql, vec![kind.into(), lane.into(), now.ms().into()]).await?.unwrap_or(0) > 0)
}

/// Takes up to `limit` due jobs of a lane, those that wait longest first.
pub async fn claim(
    tx: &Tx,
    kind: &str,
    lane: &str,
    now: Instant,
    lock: Duration,
    limit: usize,
) -> Result<Vec<Claimed>> {
    let (clock, skip) = (tx.dialect().now_ms(), tx.dialect().for_update_skip_locked());
    // MATERIALIZED: a planner that runs the inner statement again would lock more than it takes.
    let sql = format!(
        "WITH free AS MATERIALIZED (SELECT id FROM job WHERE kind = $1 AND lane = $2 AND run_at <= $3 \
         AND (locked_until IS NULL OR locked_until <= {clock}) ORDER BY run_at, id LIMIT $4{skip}) \
         UPDATE job SET locked_until = {clock} + $5, fence = fence + 1 WHERE id IN (SELECT id FROM free) \
         RETURNING id, run_at, payload, attempts, fence"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = vec![kind.into(), lane.into(), now.ms().into(), limit.into(), ms(lock).into()];
    let mut rows: Vec<Row> = fetch_all(tx, &sql, values).await?;
    // RETURNING has no order.
    rows.sort_by_key(|row| (row.run_at, row.id));
    rows.into_iter().map(Row::decode).collect()
}

/// Keeps a claimed job for longer; false when it is somebody else's by now.
pub async fn extend(tx: &Tx, id: Uuid, fence: i64, lock: Duration) -> Result<bool> {
    let clock = tx.dialect().now_ms();
    let sql = format!("UPDATE job SET locked_until = {clock} + $3 WHERE {HELD}");
    Ok(execute(tx, &sql, vec![id.into(), fence.into(), ms(lock).into()]).await? == 1)
}

/// The job is done and gone; false when it is somebody else's by now, and then nothing else may be written for it either.
pub async fn complete(tx: &Tx, id: Uuid, fence: i64) -> Result<bool> {
    let sql = format!("DELETE FROM job WHERE {HELD}");
    Ok(execute(tx, &sql, vec![id.into(), fence.into()]).await? == 1)
}

/// The attempt failed: the job is anybody's again from `run_at` on. As [`complete`], false for a stale fence.
pub async fn retry(tx: &Tx, id: Uuid, fence: i64, run_at: Instant) -> Result<bool> {
    let sql =
        format!("UPDATE job SET run_at = $3, attempts = attempts + 1, locked_until = NULL WHERE {HELD}");
    Ok(execute(tx, &sql, vec![id.into(), fence.into(), run_at.ms().into()]).await? == 1)
}

/// A step of it is done, and the next one is anybody's from `run_at` on. As [`complete`], false for a stale fence.
pub async fn proceed(tx: &Tx, id: Uuid, fence: i64, run_at: Instant, payload: &str) -> Result<bool> {
    let sql = format!("UPDATE job SET run_at = $3, payload = $4, locked_until = NULL WHERE {HELD}");
    Ok(execute(tx, &sql, vec![id.into(), fence.into(), run_at.ms().into(), payload.into()]).await? == 1)
}

/// Takes away all jobs of a lane, whoever is at them.
pub async fn clear(tx: &Tx, kind: &str, lane: &str) -> Result<u64> {
    execute(tx, "DELETE FROM job WHERE kind = $1 AND lane = $2", vec![kind.into(), lane.into()]).await
}

/// A process that is alone with its database has nobody who could still be at a job when it starts.
pub async fn unlock_all(tx: &Tx) -> Result<u64> {
    execute(tx, "UPDATE job SET locked_until = NULL WHERE locked_until IS NOT NULL", vec![]).await
}

/// The job `$1` is still held under the fence `$2`.
const HELD: &str = "id = $1 AND fence = $2 AND locked_until IS NOT NULL";

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    run_at: i64,
    payload: String,
    attempts: i64,
    fence: i64,
}

impl Row {
    fn decode(self) -> Result<Claimed> {
        let attempts = small(Place("job", "attempts", &self.id), self.attempts)?;
        Ok(Claimed { id: self.id, payload: self.payload, attempts, fence: self.fence })
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
