//! Answers to the alignment pulse, and their sums.

use std::collections::BTreeMap;

use handfast_domain::pulse::{Pulse, Said};
use handfast_domain::stage::Side;
use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::decode::{Place, closed};
use crate::error::Result;
use crate::rows::{fetch_all, upsert_rows};
use crate::tx::Tx;

/// What somebody says in a month takes the place of what it said before in the same month.
pub async fn put(tx: &Tx, pulse: &Pulse) -> Result<()> {
    let Pulse { month, user, side, knows_needs, delivers, other_knows_needs, other_delivers, at } = pulse;
    let row = vec![
        month.as_str().into(),
        (*user).into(),
        side.as_str().into(),
        i64::from(*knows_needs).into(),
        i64::from(*delivers).into(),
        i64::from(*other_knows_needs).into(),
        i64::from(*other_delivers).into(),
        at.ms().into(),
    ];
    let columns =
        &["month", "user_id", "side", "knows_needs", "delivers", "other_knows_needs", "other_delivers", "at"];
    upsert_rows(tx, "pulse", columns, &["month", "user_id"], vec![row]).await?;
    Ok(())
}

/// What each side said in the newest months, by month and side.
pub async fn said(db: &impl ConnectionTrait, months: i64) -> Result<BTreeMap<String, BTreeMap<Side, Said>>> {
    #[derive(FromQueryResult)]
    struct Row {
        month: String,
        side: String,
        answers: i64,
        knows_needs: i64,
        delivers: i64,
        other_knows_needs: i64,
        other_delivers: i64,
    }
    let sql = "SELECT month, side, count(*) AS answers, CAST(sum(knows_needs) AS bigint) AS knows_needs, \
               CAST(sum(delivers) AS bigint) AS delivers, CAST(sum(other_knows_needs) AS bigint) AS other_knows_needs, \
               CAST(sum(other_delivers) AS bigint) AS other_delivers FROM pulse \
               WHERE month IN (SELECT DISTINCT month FROM pulse ORDER BY month DESC LIMIT $1) GROUP BY month, side";
    let mut found: BTreeMap<String, BTreeMap<Side, Said>> = BTreeMap::new();
    for row in fetch_all::<Row>(db, sql, vec![months.into()]).await? {
        let side = closed(Place("pulse", "side", &row.month), &row.side, Side::parse)?;
        let said = Said {
            answers: row.answers,
            knows_needs: row.knows_needs,
            delivers: row.delivers,
            other_knows_needs: row.other_knows_needs,
            other_delivers: row.other_delivers,
        };
        found.entry(row.month).or_default().insert(side, said);
    }
    Ok(found)
}
