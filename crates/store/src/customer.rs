//! Customers: what came after their first win, and whose contract ends when.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::customer::{ChurnReason, Customer};
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, json};
use crate::dialect;
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;

/// What is told of a lead that was won.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// After its own first win.
    pub own: Option<Customer>,
    /// Of the lead that goes on for it since they were merged.
    pub since: Option<Customer>,
    /// Whether the lead that goes on was won itself: then the person is that one's customer.
    pub counts_elsewhere: bool,
}

/// What is told of these leads after their first win; those of which nothing was told are left out. One statement.
pub async fn customers(db: &impl ConnectionTrait, leads: &BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, Told>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        own: Option<String>,
        since: Option<String>,
        furthest: Option<String>,
    }
    let sql = format!(
        "SELECT l.id, l.customer AS own, o.customer AS since, o.furthest_stage AS furthest FROM lead l \
         LEFT JOIN lead o ON o.id = l.merged_into WHERE l.id {} AND (l.customer IS NOT NULL OR o.id IS NOT NULL)",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    let decode = |row: Row| {
        let customer = |text: Option<String>| {
            text.map(|text| json(Place("lead", "customer", &row.id), &text)).transpose()
        };
        let furthest = row.furthest.as_deref().and_then(StageKind::parse);
        let counts_elsewhere = furthest.is_some_and(|stage| stage >= StageKind::Customer);
        Ok((row.id, Told { own: customer(row.own)?, since: customer(row.since)?, counts_elsewhere }))
    };
    rows.into_iter().map(decode).collect()
}

impl Told {
    fn both(&self) -> impl Iterator<Item = &Customer> {
        self.own.iter().chain(&self.since)
    }

    /// When it left for the first time.
    pub fn first_churned_at(&self) -> Option<Instant> {
        self.both().filter_map(|customer| customer.first_churned_at).min()
    }

    /// Why it left, if it did not come back.
    pub fn churn_reason(&self) -> Option<ChurnReason> {
        self.since.as_ref().or(self.own.as_ref()).and_then(|customer| customer.churn_reason)
    }

    pub fn renewals(&self) -> u64 {
        self.both().map(|customer| u64::from(customer.renewals)).sum()
    }
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
