//! Ratings: one of each person for each thing, and what they come to.

use std::collections::BTreeMap;

use handfast_domain::rating::{Rating, RatingReason, RatingSubject, Tally};
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed, small};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{fetch_all, fetch_one, upsert_rows};
use crate::tx::Tx;

pub async fn put(tx: &Tx, rating: &Rating) -> Result<()> {
    let Rating { subject, id, user, side, stars, reasons, at } = rating;
    let row = vec![
        subject.as_str().into(),
        (*id).into(),
        (*user).into(),
        side.as_str().into(),
        i64::from(*stars).into(),
        json(reasons)?.into(),
        at.ms().into(),
    ];
    let columns = &["kind", "subject", "user_id", "side", "stars", "reasons", "at"];
    upsert_rows(tx, "rating", columns, &["kind", "subject", "user_id"], vec![row]).await?;
    Ok(())
}

/// What one person gave.
pub async fn of_user(
    db: &impl ConnectionTrait,
    kind: RatingSubject,
    subject: Uuid,
    user: Uuid,
) -> Result<Option<Rating>> {
    #[derive(FromQueryResult)]
    struct Row {
        side: String,
        stars: i64,
        reasons: String,
        at: i64,
    }
    let sql = "SELECT side, stars, reasons, at FROM rating WHERE kind = $1 AND subject = $2 AND user_id = $3";
    let row: Option<Row> =
        fetch_one(db, sql, vec![kind.as_str().into(), subject.into(), user.into()]).await?;
    row.map(|row| {
        let place = |column: &'static str| Place("rating", column, &subject);
        Ok(Rating {
            subject: kind,
            id: subject,
            user,
            side: closed(place("side"), &row.side, Side::parse)?,
            stars: small(place("stars"), row.stars)?,
            reasons: decode::json(place("reasons"), &row.reasons)?,
            at: Instant(row.at),
        })
    })
    .transpose()
}

/// What each side gave any number of things of a kind, counted by the database.
pub async fn tallies(
    db: &impl ConnectionTrait,
    kind: RatingSubject,
    subjects: &[Uuid],
) -> Result<BTreeMap<Uuid, BTreeMap<Side, Tally>>> {
    #[derive(FromQueryResult)]
    struct Row {
        subject: Uuid,
        side: String,
        stars: i64,
        reasons: String,
        ratings: i64,
    }
    let sql = format!(
        "SELECT subject, side, stars, reasons, count(*) AS ratings FROM rating WHERE kind = $2 AND subject {} \
         GROUP BY subject, side, stars, reasons",
        Dialect::of(db.get_database_backend()).uuid_list("$1")
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(subjects), kind.as_str().into()]).await?;
    let mut found: BTreeMap<Uuid, BTreeMap<Side, Tally>> = BTreeMap::new();
    for Row { subject, side, stars, reasons, ratings } in rows {
        let place = |column: &'static str| Place("rating", column, &subject);
        let side = closed(place("side"), &side, Side::parse)?;
        let stars: usize = small(place("stars"), stars)?;
        let reasons: Vec<RatingReason> = decode::json(place("reasons"), &reasons)?;
        let tally = found.entry(subject).or_default().entry(side).or_default();
        if let Some(times) = stars.checked_sub(1).and_then(|place| tally.stars.get_mut(place)) {
            *times += ratings;
        }
        for reason in reasons {
            *tally.reasons.entry(reason).or_default() += ratings;
        }
    }
    Ok(found)
}
