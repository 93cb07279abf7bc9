//! Evaluations, decisions and the snapshots that they were made from.

use handfast_domain::digest::Digest;
use handfast_domain::evaluation::{Decision, Evaluation, GateResult};
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::Cause;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{self, Place, closed, small};
use crate::dialect;
use crate::error::Result;
use crate::lead::{Where, list};
use crate::rows::{fetch_all, fetch_one, fetch_value};

/// A decision with the evaluation that it belongs to.
#[derive(Clone, Debug)]
pub struct StoredDecision {
    pub decision: Decision,
    pub evaluation: Uuid,
    pub lead: Uuid,
    pub as_of: Instant,
    pub charter: u32,
}

#[derive(FromQueryResult)]
struct DecisionRow {
    id: Uuid,
    evaluation: Uuid,
    lead: Uuid,
    at: i64,
    charter: i64,
    body: String,
}

impl DecisionRow {
    fn decode(self) -> Result<StoredDecision> {
        Ok(StoredDecision {
            decision: decode::json(Place("decision", "body", &self.id), &self.body)?,
            evaluation: self.evaluation,
            lead: self.lead,
            as_of: Instant(self.at),
            charter: small(Place("evaluation", "charter", &self.evaluation), self.charter)?,
        })
    }
}

const DECISION: &str = "SELECT d.id, d.evaluation, d.lead, d.at, e.charter, d.body FROM decision d \
    JOIN evaluation e ON e.id = d.evaluation";

pub async fn decision(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<StoredDecision>> {
    let row: Option<DecisionRow> =
        fetch_one(db, &format!("{DECISION} WHERE d.id = $1"), vec![id.into()]).await?;
    row.map(DecisionRow::decode).transpose()
}

/// Decisions in the order in which they were made.
pub async fn decisions_after(
    db: &impl ConnectionTrait,
    after: Option<(Instant, Uuid)>,
    limit: i64,
) -> Result<Vec<StoredDecision>> {
    let (at, id) = after.map_or((i64::MIN, Uuid::nil()), |(at, id)| (at.ms(), id));
    let sql = format!("{DECISION} WHERE (d.at, d.id) > ($1, $2) ORDER BY d.at, d.id LIMIT $3");
    let rows: Vec<DecisionRow> = fetch_all(db, &sql, vec![at.into(), id.into(), limit.into()]).await?;
    rows.into_iter().map(DecisionRow::decode).collect()
}

/// The newest decisions first, of one slot or of all, after a place in that order.
pub async fn decisions(
    db: &impl ConnectionTrait,
    slot: Option<&str>,
    lead: Option<Uuid>,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<StoredDecision>> {
    let mut where_ = Where::new(db);
    where_.equals("d.slot", slot.map(str::to_owned));
    where_.equals("d.lead", lead);
    let (rest, values) = where_.page(("d.at", "d.id"), from, false, limit);
    let sql = format!("{DECISION}{rest}");
    let rows: Vec<DecisionRow> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(DecisionRow::decode).collect()
}

pub async fn snapshot(db: &impl ConnectionTrait, lead: Uuid, digest: Digest) -> Result<Option<Snapshot>> {
    let sql = "SELECT body FROM snapshot WHERE lead = $1 AND digest = $2";
    let body: Option<String> = fetch_value(db, sql, vec![lead.into(), digest.to_string().into()]).await?;
    body.map(|text| decode::json(Place("snapshot", "body", &digest), &text)).transpose()
}

#[derive(FromQueryResult)]
struct EvaluationRow {
    id: Uuid,
    lead: Uuid,
    cycle: i64,
    as_of: i64,
    charter: i64,
    snapshot: String,
    cause: String,
    gates: String,
}

/// The newest evaluations of each lead with their decisions: two statements for any number of leads.
pub async fn newest(db: &impl ConnectionTrait, leads: &[Uuid], per_lead: i64) -> Result<Vec<Evaluation>> {
    let sql = format!(
        "SELECT id, lead, cycle, as_of, charter, snapshot, cause, gates FROM (SELECT e.*, row_number() OVER \
         (PARTITION BY e.lead ORDER BY e.as_of DESC, e.id DESC) AS rank FROM evaluation e WHERE e.lead {}) ranked \
         WHERE rank <= $2 ORDER BY lead, as_of DESC, id DESC",
        list(db)
    );
    let rows: Vec<EvaluationRow> = fetch_all(db, &sql, vec![dialect::uuids(leads), per_lead.into()]).await?;
    with_decisions(db, rows).await
}

/// The next evaluations of a span after a place, the earliest first, with their decisions: two statements.
pub async fn looks(
    db: &impl ConnectionTrait,
    (from, to): (Instant, Instant),
    after: Option<(Instant, Uuid)>,
    limit: i64,
) -> Result<Vec<Evaluation>> {
    let (at, id) = after.unwrap_or((from, Uuid::nil()));
    let sql = "SELECT e.id, e.lead, e.cycle, e.as_of, e.charter, e.snapshot, e.cause, e.gates FROM evaluation e \
               WHERE e.as_of >= $1 AND (e.as_of, e.id) > ($1, $2) AND e.as_of < $3 ORDER BY e.as_of, e.id LIMIT $4";
    let values = vec![at.ms().into(), id.into(), to.ms().into(), limit.into()];
    let rows: Vec<EvaluationRow> = fetch_all(db, sql, values).await?;
    with_decisions(db, rows).await
}

async fn with_decisions(db: &impl ConnectionTrait, rows: Vec<EvaluationRow>) -> Result<Vec<Evaluation>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let sql = format!("{DECISION} WHERE d.evaluation {} ORDER BY d.evaluation, d.id", list(db));
    let decisions: Vec<DecisionRow> =
        if ids.is_empty() { vec![] } else { fetch_all(db, &sql, vec![dialect::uuids(&ids)]).await? };
    let decisions = decisions.into_iter().map(DecisionRow::decode).collect::<Result<Vec<_>>>()?;
    rows.into_iter()
        .map(|row| {
            let at = |column: &'static str| Place("evaluation", column, &row.id);
            let gates: Vec<GateResult> = decode::json(at("gates"), &row.gates)?;
            let mine = decisions.iter().filter(|stored| stored.evaluation == row.id);
            Ok(Evaluation {
                id: row.id,
                lead: row.lead,
                cycle: small(at("cycle"), row.cycle)?,
                as_of: Instant(row.as_of),
                charter: small(at("charter"), row.charter)?,
                snapshot: decode::digest(at("snapshot"), &row.snapshot)?,
                cause: closed(at("cause"), &row.cause, Cause::parse)?,
                gates,
                decisions: mine.map(|stored| stored.decision.clone()).collect(),
            })
        })
        .collect()
}
