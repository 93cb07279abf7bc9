//! Idempotency keys: the same key gives the same answer, the same key with another input is refused.

use crate::{
    error::{Result, StoreError},
    rows::{execute, fetch_one, insert_new_rows},
    tx::Tx,
};
use handfast_domain::{digest::Digest, time::Instant};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

/// Whose key it is, and for which mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub user: Uuid,
    pub field: String,
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The key is new: run the command, then [`answer`] in the same transaction.
    New,
    /// It was answered before: this is the answer.
    Answered(String),
}

/// What was answered before, for a look before the command is prepared.
pub async fn lookup(
    db: &impl ConnectionTrait,
    key: &IdempotencyKey,
    input: Digest,
) -> Result<Option<String>> {
    let sql = "SELECT digest, answer FROM idempotency WHERE user_id = $1 AND field = $2 AND key = $3";
    let row: Option<Row> = fetch_one(db, sql, key.values()).await?;
    match row {
        Some(row) if row.digest != input.0 => Err(StoreError::IdempotencyKeyReused { key: key.key.clone() }),
        Some(row) => Ok(row.answer),
        None => Ok(None),
    }
}

/// Takes the key inside the command's transaction. Of two commands with one key the second waits for the first, and
/// then gets its answer.
pub async fn reserve(tx: &Tx, key: &IdempotencyKey, input: Digest, now: Instant) -> Result<Reservation> {
    let mut row = key.values();
    row.extend([input.0.to_vec().into(), now.ms().into()]);
    let columns = ["user_id", "field", "key", "digest", "created_at"];
    if insert_new_rows(tx, "idempotency", &columns, &["user_id", "field", "key"], vec![row]).await? == 1 {
        return Ok(Reservation::New);
    }
    match lookup(tx, key, input).await? {
        Some(answer) => Ok(Reservation::Answered(answer)),
        // A command that reserved and committed without an answer: nothing to replay, so it counts as new.
        None => Ok(Reservation::New),
    }
}

/// Keeps what the command produced: ids, versions and refusals as JSON, never personal data.
pub async fn answer(tx: &Tx, key: &IdempotencyKey, json: &str) -> Result<()> {
    let sql = "UPDATE idempotency SET answer = $4 WHERE user_id = $1 AND field = $2 AND key = $3";
    let mut values = key.values();
    values.push(json.into());
    match execute(tx, sql, values).await? {
        1 => Ok(()),
        _ => Err(StoreError::NotFound(format!("the reservation of idempotency key `{}`", key.key))),
    }
}

/// Forgets keys made before `before`, at most `limit` at a time; answers how many.
pub async fn purge(tx: &Tx, before: Instant, limit: u32) -> Result<u64> {
    let sql = "DELETE FROM idempotency WHERE (user_id, field, key) IN \
               (SELECT user_id, field, key FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
    execute(tx, sql, vec![before.ms().into(), i64::from(limit).into()]).await
}

impl IdempotencyKey {
    fn values(&self) -> Vec<sea_orm::Value> {
        vec![self.user.into(), self.field.as_str().into(), self.key.as_str().into()]
    }
}

#[derive(FromQueryResult)]
struct Row {
    digest: Vec<u8>,
    answer: Option<String>,
}
