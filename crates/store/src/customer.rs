//! Customers: what came after their first win, and whose contract ends when.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::customer::Customer;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, json};
use crate::dialect;
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;

/// What came after the first win of these leads, or of the leads that go on for them; those of which nothing was told are left out.
/// One statement.
pub async fn customers(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeMap<Uuid, Customer>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        customer: String,
    }
    let sql = format!(
        "SELECT l.id, coalesce(o.customer, l.customer) AS customer FROM lead l LEFT JOIN lead o ON o.id = l.merged_into \
         WHERE l.id {} AND coalesce(o.customer, l.customer) IS NOT NULL",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    let decode = |row: Row| Ok((row.id, json(Place("lead", "customer", &row.id), &row.customer)?));
    rows.into_iter().map(decode).collect()
}

/// Customers whose contract ends before `until`, the next one first, after a place.
pub async fn renewals(
    db: &impl ConnectionTrait,
    until: Instant,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<(Instant, Uuid)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        renews_at: i64,
    }
    let (at, id) = from.unwrap_or((i64::MIN, Uuid::nil()));
    let sql = "SELECT l.id, l.renews_at FROM lead l WHERE l.renews_at IS NOT NULL AND l.renews_at < $1 \
               AND (l.renews_at, l.id) > ($2, $3) ORDER BY l.renews_at, l.id LIMIT $4";
    let values = vec![until.ms().into(), at.into(), id.into(), limit.into()];
    let rows: Vec<Row> = fetch_all(db, sql, values).await?;
    Ok(rows.into_iter().map(|row| (Instant(row.renews_at), row.id)).collect())
}
