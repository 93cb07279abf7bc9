//! Hand-offs of a span of time, as reports read them.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::clock::SlaClock;
use handfast_domain::criterion::CriterionResult;
use handfast_domain::evaluation::GateResult;
use handfast_domain::handoff::HandoffStatus;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed, json, small};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;

/// A hand-off without its packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    pub status: HandoffStatus,
    pub reason: Option<String>,
    pub at: Instant,
}

/// The next hand-offs that were offered in a span, after a place, the earliest first.
pub async fn offered(
    db: &impl ConnectionTrait,
    (from, to): (Instant, Instant),
    after: Option<(Instant, Uuid)>,
    limit: i64,
) -> Result<Vec<Offered>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        lead: Uuid,
        cycle: i64,
        status: String,
        reason: Option<String>,
        offered_at: i64,
    }
    let (at, id) = after.unwrap_or((from, Uuid::nil()));
    let sql = "SELECT h.id, h.lead, h.cycle, h.status, h.reason, h.offered_at FROM handoff h WHERE h.offered_at >= $1 \
               AND (h.offered_at, h.id) > ($1, $2) AND h.offered_at < $3 ORDER BY h.offered_at, h.id LIMIT $4";
    let rows: Vec<Row> =
        fetch_all(db, sql, vec![at.ms().into(), id.into(), to.ms().into(), limit.into()]).await?;
    rows.into_iter()
        .map(|row| {
            let place = |column| Place("handoff", column, &row.id);
            Ok(Offered {
                id: row.id,
                lead: row.lead,
                cycle: small(place("cycle"), row.cycle)?,
                status: closed(place("status"), &row.status, HandoffStatus::parse)?,
                reason: row.reason.clone(),
                at: Instant(row.offered_at),
            })
        })
        .collect()
}

/// The clocks FIRST_TOUCH of leads, the oldest first. One statement.
pub async fn first_touches(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeMap<Uuid, Vec<SlaClock>>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        lead: Uuid,
        body: String,
    }
    let sql = format!(
        "SELECT c.id, c.lead, c.body FROM clock c WHERE c.kind = 'FIRST_TOUCH' AND c.lead {} ORDER BY c.lead, c.id",
        list(db)
    );
    let mut found: BTreeMap<Uuid, Vec<SlaClock>> = BTreeMap::new();
    for row in fetch_all::<Row>(db, &sql, vec![dialect::uuids(leads)]).await? {
        found.entry(row.lead).or_default().push(json(Place("clock", "body", &row.id), &row.body)?);
    }
    Ok(found)
}

/// When leads were handed off in each of their cycles, the earliest first. One statement.
pub async fn offers(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeMap<(Uuid, u32), Vec<Instant>>> {
    #[derive(FromQueryResult)]
    struct Row {
        lead: Uuid,
        cycle: i64,
        offered_at: i64,
    }
    let sql = format!(
        "SELECT h.lead, h.cycle, h.offered_at FROM handoff h WHERE h.lead {} ORDER BY h.lead, h.cycle, h.offered_at",
        list(db)
    );
    let mut found: BTreeMap<(Uuid, u32), Vec<Instant>> = BTreeMap::new();
    for row in fetch_all::<Row>(db, &sql, vec![dialect::uuids(leads)]).await? {
        let cycle = small(Place("handoff", "cycle", &row.lead), row.cycle)?;
        found.entry((row.lead, cycle)).or_default().push(Instant(row.offered_at));
    }
    Ok(found)
}

/// The criteria of the look that each of these hand-offs came from, with their results: of the newest evaluation of its cycle
/// up to the offer. One statement.
pub async fn criteria(
    db: &impl ConnectionTrait,
    handoffs: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<CriterionResult>>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        evaluation: Uuid,
        gates: String,
    }
    let sql = format!(
        "SELECT h.id, e.id AS evaluation, e.gates FROM handoff h JOIN evaluation e ON e.id = \
         (SELECT n.id FROM evaluation n WHERE n.lead = h.lead AND n.cycle = h.cycle AND n.as_of <= h.offered_at \
          ORDER BY n.as_of DESC, n.id DESC LIMIT 1) WHERE h.id {}",
        Dialect::of(db.get_database_backend()).uuid_list("$1")
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(handoffs)]).await?;
    rows.into_iter()
        .map(|row| {
            let gates: Vec<GateResult> = json(Place("evaluation", "gates", &row.evaluation), &row.gates)?;
            Ok((row.id, gates.into_iter().flat_map(|gate| gate.criteria).collect()))
        })
        .collect()
}
