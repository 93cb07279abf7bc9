//! Time that sales spent on leads, and the deals that stand beside it.

use std::collections::BTreeMap;

use handfast_domain::effort::{Effort, EffortKind};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed, small};
use crate::dialect;
use crate::error::Result;
use crate::lead::list;
use crate::rows::{execute, fetch_all, fetch_one, insert_rows};
use crate::tx::Tx;

const COLUMNS: &[&str] = &["id", "lead", "cycle", "user_id", "minutes", "kind", "at", "recorded_at"];

pub async fn insert(tx: &Tx, effort: &Effort) -> Result<()> {
    let Effort { id, lead, cycle, user, minutes, kind, at, recorded_at, withdrawn_at: _ } = effort;
    let row = vec![
        (*id).into(),
        (*lead).into(),
        i64::from(*cycle).into(),
        (*user).into(),
        i64::from(*minutes).into(),
        kind.as_str().into(),
        at.ms().into(),
        recorded_at.ms().into(),
    ];
    insert_rows(tx, "effort", COLUMNS, vec![row]).await?;
    Ok(())
}

/// It counts no more; whether it did until now.
pub async fn withdraw(tx: &Tx, id: Uuid, at: Instant) -> Result<bool> {
    let sql = "UPDATE effort SET withdrawn_at = $1 WHERE id = $2 AND withdrawn_at IS NULL";
    Ok(execute(tx, sql, vec![at.ms().into(), id.into()]).await? == 1)
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    lead: Uuid,
    cycle: i64,
    user_id: Uuid,
    minutes: i64,
    kind: String,
    at: i64,
    recorded_at: i64,
    withdrawn_at: Option<i64>,
}

impl Row {
    fn decode(self) -> Result<Effort> {
        let id = self.id;
        let at = |column: &'static str| Place("effort", column, &id);
        Ok(Effort {
            id,
            lead: self.lead,
            cycle: small(at("cycle"), self.cycle)?,
            user: self.user_id,
            minutes: small(at("minutes"), self.minutes)?,
            kind: closed(at("kind"), &self.kind, EffortKind::parse)?,
            at: Instant(self.at),
            recorded_at: Instant(self.recorded_at),
            withdrawn_at: self.withdrawn_at.map(Instant),
        })
    }
}

const EFFORT: &str = "SELECT e.id, e.lead, e.cycle, e.user_id, e.minutes, e.kind, e.at, e.recorded_at, e.withdrawn_at FROM effort e";

pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Effort>> {
    let row: Option<Row> = fetch_one(db, &format!("{EFFORT} WHERE e.id = $1"), vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// The newest of a lead, with those that were withdrawn.
pub async fn of_lead(db: &impl ConnectionTrait, lead: Uuid, limit: i64) -> Result<Vec<Effort>> {
    let sql = format!("{EFFORT} WHERE e.lead = $1 ORDER BY e.at DESC, e.id DESC LIMIT $2");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![lead.into(), limit.into()]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Minutes that count, of a lead.
pub async fn minutes_of(db: &impl ConnectionTrait, lead: Uuid) -> Result<i64> {
    let sql =
        "SELECT CAST(sum(e.minutes) AS bigint) FROM effort e WHERE e.lead = $1 AND e.withdrawn_at IS NULL";
    let sum: Option<Option<i64>> = crate::rows::fetch_value(db, sql, vec![lead.into()]).await?;
    Ok(sum.flatten().unwrap_or(0))
}

/// The cycle of a lead that was open at an instant, or the last one before; the first of those that opened later.
pub async fn cycle_at(db: &impl ConnectionTrait, lead: Uuid, at: Instant) -> Result<Option<u32>> {
    #[derive(FromQueryResult)]
    struct Row {
        number: i64,
        opened_at: i64,
    }
    let sql = "SELECT c.number, c.opened_at FROM cycle c WHERE c.lead = $1 ORDER BY c.number";
    let cycles: Vec<Row> = fetch_all(db, sql, vec![lead.into()]).await?;
    let begun = cycles.iter().rev().find(|cycle| cycle.opened_at <= at.ms());
    let found = begun.or(cycles.first()).map(|cycle| cycle.number);
    found.map(|number| small(Place("cycle", "number", &lead), number)).transpose()
}

/// What counts of a span, after a place, the earliest first.
pub async fn spent(
    db: &impl ConnectionTrait,
    (from, to): (Instant, Instant),
    after: Option<(Instant, Uuid)>,
    limit: i64,
) -> Result<Vec<Effort>> {
    let (at, id) = after.unwrap_or((from, Uuid::nil()));
    let sql = format!(
        "{EFFORT} WHERE e.withdrawn_at IS NULL AND e.at >= $1 AND (e.at, e.id) > ($1, $2) AND e.at < $3 \
         ORDER BY e.at, e.id LIMIT $4"
    );
    let rows: Vec<Row> =
        fetch_all(db, &sql, vec![at.ms().into(), id.into(), to.ms().into(), limit.into()]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// A deal of a cycle that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDeal {
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    pub amount_minor: Option<i64>,
}

/// The next deals that are open, in the order of their ids.
pub async fn open_deals(db: &impl ConnectionTrait, after: Option<Uuid>, limit: i64) -> Result<Vec<OpenDeal>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        lead: Uuid,
        cycle: i64,
        amount_minor: Option<i64>,
    }
    // A deal that another one of its cycle took the place of is none.
    let sql = "SELECT o.id, o.lead, o.cycle, o.amount_minor FROM opportunity o JOIN cycle c ON c.lead = o.lead AND c.number = o.cycle \
               WHERE c.outcome = 'OPEN' AND o.id > $1 AND NOT EXISTS (SELECT 1 FROM opportunity n WHERE n.lead = o.lead \
               AND n.cycle = o.cycle AND (n.opened_at, n.id) > (o.opened_at, o.id)) ORDER BY o.id LIMIT $2";
    let rows: Vec<Row> = fetch_all(db, sql, vec![after.unwrap_or(Uuid::nil()).into(), limit.into()]).await?;
    rows.into_iter()
        .map(|row| {
            let cycle = small(Place("opportunity", "cycle", &row.id), row.cycle)?;
            Ok(OpenDeal { id: row.id, lead: row.lead, cycle, amount_minor: row.amount_minor })
        })
        .collect()
}

/// Time that went to the leads of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CampaignEffort {
    pub minutes: i64,
    /// Of them, those on cycles that ended DISQUALIFIED, or RECYCLED before there was an opportunity.
    pub poor_minutes: i64,
}

/// Of any number of campaigns, by the campaign that each lead was captured with, in one statement.
pub async fn of_campaigns(
    db: &impl ConnectionTrait,
    campaigns: &[Uuid],
) -> Result<BTreeMap<Uuid, CampaignEffort>> {
    #[derive(FromQueryResult)]
    struct Row {
        campaign: Uuid,
        minutes: i64,
        poor: i64,
    }
    let sql = format!(
        "SELECT l.campaign, CAST(sum(e.minutes) AS bigint) AS minutes, CAST(sum(CASE WHEN c.outcome = 'DISQUALIFIED' \
         OR (c.outcome = 'RECYCLED' AND c.furthest_stage NOT IN ('OPPORTUNITY', 'CUSTOMER', 'ADVOCATE')) \
         THEN e.minutes ELSE 0 END) AS bigint) AS poor FROM lead l JOIN effort e ON e.lead = l.id \
         JOIN cycle c ON c.lead = e.lead AND c.number = e.cycle WHERE e.withdrawn_at IS NULL AND l.campaign {} GROUP BY l.campaign",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(campaigns)]).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.campaign, CampaignEffort { minutes: row.minutes, poor_minutes: row.poor }))
        .collect())
}
