//! Charters with their signatures. Bodies never change once proposed; only status and signatures do.

use handfast_domain::charter::{Charter, CharterStatus};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed, small};
use crate::error::Result;
use crate::rows::{fetch_all, fetch_value, insert_new_rows, upsert_rows};
use crate::tx::Tx;

#[derive(FromQueryResult)]
struct Row {
    number: i64,
    digest: String,
    status: String,
    body: String,
    signatures: String,
    proposed_by: Option<Uuid>,
    proposed_at: i64,
    activated_at: Option<i64>,
    reviewed_at: Option<i64>,
    rejection: Option<String>,
}

impl Row {
    fn decode(self) -> Result<Charter> {
        let number = self.number;
        let at = |column: &'static str| Place("charter", column, &number);
        Ok(Charter {
            number: small(at("number"), number)?,
            digest: decode::digest(at("digest"), &self.digest)?,
            status: closed(at("status"), &self.status, CharterStatus::parse)?,
            body: decode::json(at("body"), &self.body)?,
            signatures: decode::json(at("signatures"), &self.signatures)?,
            proposed_by: self.proposed_by,
            proposed_at: Instant(self.proposed_at),
            activated_at: self.activated_at.map(Instant),
            reviewed_at: self.reviewed_at.map(Instant),
            rejection: self.rejection.map(|text| decode::json(at("rejection"), &text)).transpose()?,
        })
    }
}

pub async fn put(tx: &Tx, charter: &Charter) -> Result<()> {
    let Charter {
        number,
        digest,
        status,
        body,
        signatures,
        proposed_by,
        proposed_at,
        activated_at,
        reviewed_at,
        rejection,
    } = charter;
    let row = vec![
        i64::from(*number).into(),
        digest.to_string().into(),
        status.as_str().into(),
        json(body)?.into(),
        json(signatures)?.into(),
        (*proposed_by).into(),
        proposed_at.ms().into(),
        activated_at.map(|at| at.ms()).into(),
        reviewed_at.map(|at| at.ms()).into(),
        rejection.as_ref().map(json).transpose()?.into(),
    ];
    let columns = &[
        "number",
        "digest",
        "status",
        "body",
        "signatures",
        "proposed_by",
        "proposed_at",
        "activated_at",
        "reviewed_at",
        "rejection",
    ];
    upsert_rows(tx, "charter", columns, &["number"], vec![row]).await?;
    Ok(())
}

/// All charters, the oldest first.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Charter>> {
    let sql = "SELECT number, digest, status, body, signatures, proposed_by, proposed_at, activated_at, reviewed_at, rejection \
               FROM charter ORDER BY number";
    let rows: Vec<Row> = fetch_all(db, sql, vec![]).await?;
    rows.into_iter().map(Row::decode).collect()
}

pub async fn next_number(db: &impl ConnectionTrait) -> Result<u32> {
    let last =
        fetch_value::<i64>(db, "SELECT coalesce(max(number), -1) FROM charter", vec![]).await?.unwrap_or(-1);
    small(Place("charter", "number", &last), last + 1)
}

/// Notes that somebody read a charter; false if it was noted before.
pub async fn acknowledge(tx: &Tx, number: u32, user: Uuid, at: Instant) -> Result<bool> {
    let row = vec![i64::from(number).into(), user.into(), at.ms().into()];
    let (columns, key) = (&["number", "user_id", "at"], &["number", "user_id"]);
    Ok(insert_new_rows(tx, "charter_acknowledgement", columns, key, vec![row]).await? > 0)
}

#[derive(FromQueryResult)]
struct Reading {
    user_id: Uuid,
    at: i64,
}

/// Who said that they read a charter, the first first.
pub async fn acknowledged(db: &impl ConnectionTrait, number: u32) -> Result<Vec<(Uuid, Instant)>> {
    let sql = "SELECT user_id, at FROM charter_acknowledgement WHERE number = $1 ORDER BY at, user_id";
    let rows: Vec<Reading> = fetch_all(db, sql, vec![i64::from(number).into()]).await?;
    Ok(rows.into_iter().map(|Reading { user_id, at }| (user_id, Instant(at))).collect())
}

/// Which amounts are kept in the currency in force and would become wrong under another one, if there are any.
pub async fn amounts(db: &impl ConnectionTrait, other_than: &str) -> Result<Option<String>> {
    let sql = "SELECT what FROM (SELECT 'deals' AS what, 1 AS place FROM opportunity WHERE currency <> $1 \
               UNION ALL SELECT 'deals', 1 FROM counter WHERE metric = 'revenue' AND value <> 0 \
               UNION ALL SELECT 'costs of campaigns', 2 FROM campaign WHERE cost_minor <> 0 \
               UNION ALL SELECT 'revenues of accounts', 3 FROM account WHERE annual_revenue IS NOT NULL) kept \
               ORDER BY place LIMIT 1";
    fetch_value(db, sql, vec![other_than.into()]).await
}
