//! Promises to review the charter in force, and what each side said of it. They are few: two for each round.

use std::collections::BTreeMap;

use handfast_domain::charter::review::{CharterReview, Promises, ReviewVerdict};
use handfast_domain::clock::{ClockState, SlaClock};
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed, small};
use crate::error::Result;
use crate::ledger::ClockFilter;
use crate::rows::{fetch_all, insert_rows, upsert_rows};
use crate::tx::Tx;

#[derive(FromQueryResult)]
struct ClockRow {
    id: Uuid,
    number: i64,
    body: String,
}

impl ClockRow {
    fn decode(self) -> Result<(u32, SlaClock)> {
        let place = |column: &'static str| Place("charter_clock", column, &self.id);
        Ok((small(place("number"), self.number)?, decode::json(place("body"), &self.body)?))
    }
}

/// The promises on a charter, the oldest round first.
pub async fn promises(db: &impl ConnectionTrait, number: u32) -> Result<Promises> {
    let sql = "SELECT id, number, body FROM charter_clock WHERE number = $1 ORDER BY due_at, id";
    let rows: Vec<ClockRow> = fetch_all(db, sql, vec![i64::from(number).into()]).await?;
    Ok(Promises(rows.into_iter().map(|row| Ok(row.decode()?.1)).collect::<Result<_>>()?))
}

pub async fn put(tx: &Tx, number: u32, promises: &Promises) -> Result<()> {
    let mut rows = vec![];
    for clock in &promises.0 {
        rows.push(vec![
            clock.id.into(),
            i64::from(number).into(),
            clock.party.as_str().into(),
            clock.state.as_str().into(),
            clock.due_at.ms().into(),
            clock.wake_at().map(|at| at.ms()).into(),
            json(clock)?.into(),
        ]);
    }
    let columns = &["id", "number", "party", "state", "due_at", "wake_at", "body"];
    upsert_rows(tx, "charter_clock", columns, &["id"], rows).await?;
    Ok(())
}

/// Charters with a promise that has something to do.
pub async fn due(db: &impl ConnectionTrait, now: Instant) -> Result<Vec<u32>> {
    #[derive(FromQueryResult)]
    struct Row {
        number: i64,
    }
    let sql = "SELECT DISTINCT number FROM charter_clock WHERE wake_at <= $1 ORDER BY number";
    let rows: Vec<Row> = fetch_all(db, sql, vec![now.ms().into()]).await?;
    rows.into_iter().map(|row| small(Place("charter_clock", "number", &row.number), row.number)).collect()
}

/// Promises with the number of their charter, the earliest due time first, after a place in that order.
pub async fn clocks(
    db: &impl ConnectionTrait,
    filter: &ClockFilter,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<(u32, SlaClock)>> {
    let mut where_ = filter.conditions(db, from);
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!(
        "SELECT c.id, c.number, c.body FROM charter_clock c{conditions} ORDER BY c.due_at, c.id LIMIT {limit}"
    );
    let rows: Vec<ClockRow> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(ClockRow::decode).collect()
}

/// How many promises to review the charter stand in each state.
pub async fn clock_states(db: &impl ConnectionTrait) -> Result<BTreeMap<ClockState, i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        state: String,
        clocks: i64,
    }
    let sql = "SELECT state, count(*) AS clocks FROM charter_clock GROUP BY state";
    let rows: Vec<Row> = fetch_all(db, sql, vec![]).await?;
    let state = |row: &Row| closed(Place("charter_clock", "state", &"?"), &row.state, ClockState::parse);
    rows.iter().map(|row| Ok((state(row)?, row.clocks))).collect()
}

pub async fn insert(tx: &Tx, review: &CharterReview) -> Result<()> {
    let CharterReview { id, number, user, side, verdict, comment, at } = review;
    let row = vec![
        (*id).into(),
        i64::from(*number).into(),
        (*user).into(),
        side.as_str().into(),
        verdict.as_str().into(),
        comment.clone().into(),
        at.ms().into(),
    ];
    let columns = &["id", "number", "user_id", "side", "verdict", "comment", "at"];
    insert_rows(tx, "charter_review", columns, vec![row]).await?;
    Ok(())
}

/// What was said of a charter, the newest first.
pub async fn reviews(db: &impl ConnectionTrait, number: u32, limit: i64) -> Result<Vec<CharterReview>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        number: i64,
        user_id: Uuid,
        side: String,
        verdict: String,
        comment: Option<String>,
        at: i64,
    }
    let sql = "SELECT id, number, user_id, side, verdict, comment, at FROM charter_review WHERE number = $1 \
               ORDER BY at DESC, id DESC LIMIT $2";
    let rows: Vec<Row> = fetch_all(db, sql, vec![i64::from(number).into(), limit.into()]).await?;
    rows.into_iter()
        .map(|row| {
            let place = |column: &'static str| Place("charter_review", column, &row.id);
            Ok(CharterReview {
                id: row.id,
                number: small(place("number"), row.number)?,
                user: row.user_id,
                side: closed(place("side"), &row.side, Side::parse)?,
                verdict: closed(place("verdict"), &row.verdict, ReviewVerdict::parse)?,
                comment: row.comment,
                at: Instant(row.at),
            })
        })
        .collect()
}
