//! Follow-ups that sales planned, with what became of them.

use handfast_domain::event::{ActivityKind, Event, Fact};
use handfast_domain::follow_up::{FollowUp, FollowUpOutcome, FollowUpStatus};
use handfast_domain::stage::Cause;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::decode::{Place, closed, closed_opt, small};
use crate::dialect;
use crate::error::Result;
use crate::lead::{Where, list};
use crate::rows::{execute, fetch_all, fetch_one, insert_new_rows};
use crate::tx::Tx;

const COLUMNS: &[&str] =
    &["id", "lead", "cycle", "kind", "due_at", "attempt", "note", "planned_by", "planned_at"];

/// Writes down what events of leads say of follow-ups, in their order; `note` gives the words that stand outside of the log.
pub(crate) async fn write<'n>(
    tx: &Tx,
    events: impl Iterator<Item = &Event>,
    note: impl Fn(Uuid) -> Option<&'n str>,
) -> Result<()> {
    for event in events {
        let cycle = i64::from(event.body.cycle.unwrap_or(0));
        match &event.body.fact {
            // One that comes with a duplicate keeps its words, and who planned it.
            Fact::FollowUpPlanned { follow_up, .. } if event.body.cause == Cause::Merge => {
                let sql = "UPDATE follow_up SET lead = $1, cycle = $2, outcome = NULL, ended_at = NULL WHERE id = $3";
                execute(tx, sql, vec![event.stream_id.into(), cycle.into(), (*follow_up).into()]).await?;
            }
            Fact::FollowUpPlanned { follow_up, due_at, activity_kind, attempt } => {
                let row: Vec<Value> = vec![
                    (*follow_up).into(),
                    event.stream_id.into(),
                    cycle.into(),
                    activity_kind.as_str().into(),
                    due_at.ms().into(),
                    i64::from(*attempt).into(),
                    note(*follow_up).map(str::to_owned).into(),
                    event.body.actor.user.into(),
                    event.occurred_at.ms().into(),
                ];
                insert_new_rows(tx, "follow_up", COLUMNS, &["id"], vec![row]).await?;
            }
            Fact::FollowUpEnded { follow_up, outcome, attempt, activity } => {
                let sql = "UPDATE follow_up SET outcome = $1, attempt = coalesce($2, attempt), activity = $3, ended_at = $4 \
                           WHERE id = $5";
                let values = vec![
                    outcome.as_str().into(),
                    attempt.map(i64::from).into(),
                    (*activity).into(),
                    event.occurred_at.ms().into(),
                    (*follow_up).into(),
                ];
                execute(tx, sql, values).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    lead: Uuid,
    cycle: i64,
    kind: String,
    due_at: i64,
    attempt: i64,
    note: Option<String>,
    planned_by: Option<Uuid>,
    planned_at: i64,
    outcome: Option<String>,
    activity: Option<Uuid>,
    ended_at: Option<i64>,
}

impl Row {
    fn decode(self) -> Result<FollowUp> {
        let id = self.id;
        let at = |column: &'static str| Place("follow_up", column, &id);
        Ok(FollowUp {
            id,
            lead: self.lead,
            cycle: small(at("cycle"), self.cycle)?,
            kind: closed(at("kind"), &self.kind, ActivityKind::parse)?,
            due_at: Instant(self.due_at),
            attempt: small(at("attempt"), self.attempt)?,
            note: self.note,
            planned_by: self.planned_by,
            planned_at: Instant(self.planned_at),
            outcome: closed_opt(at("outcome"), self.outcome.as_deref(), FollowUpOutcome::parse)?,
            activity: self.activity,
            ended_at: self.ended_at.map(Instant),
        })
    }
}

const FOLLOW_UP: &str = "SELECT f.id, f.lead, f.cycle, f.kind, f.due_at, f.attempt, f.note, f.planned_by, f.planned_at, f.outcome, \
                         f.activity, f.ended_at FROM follow_up f";

pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<FollowUp>> {
    let row: Option<Row> = fetch_one(db, &format!("{FOLLOW_UP} WHERE f.id = $1"), vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Follow-ups of one lead that are shown, the newest.
const MOST: i64 = 50;

/// Of any number of leads: the 50 of each that are, or were, due last, the latest first.
pub async fn of(db: &impl ConnectionTrait, leads: &[Uuid]) -> Result<Vec<FollowUp>> {
    let ranked = "SELECT r.*, row_number() OVER (PARTITION BY r.lead ORDER BY r.due_at DESC, r.id DESC) AS rank FROM follow_up r \
                  WHERE r.lead";
    let sql = format!(
        "{} ({ranked} {}) f WHERE f.rank <= {MOST} ORDER BY f.lead, f.due_at DESC, f.id DESC",
        FOLLOW_UP.trim_end_matches("follow_up f"),
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Whose follow-ups, and where they stand.
#[derive(Clone, Debug, Default)]
pub struct FollowUpFilter {
    /// Of leads that this user has.
    pub owner: Option<Uuid>,
    /// Of leads in the queue of this key.
    pub queue: Option<String>,
    /// Those that are still to be done without.
    pub status: Option<FollowUpStatus>,
}

/// The earliest first, after a place in that order.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &FollowUpFilter,
    now: Instant,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<FollowUp>> {
    let mut where_ = Where::new(db);
    match filter.status {
        None => where_.and("f.outcome IS NULL".to_owned()),
        Some(FollowUpStatus::Planned) => {
            let now = where_.value(now.ms());
            where_.and(format!("f.outcome IS NULL AND f.due_at > {now}"));
        }
        Some(FollowUpStatus::Overdue) => {
            let now = where_.value(now.ms());
            where_.and(format!("f.outcome IS NULL AND f.due_at <= {now}"));
        }
        Some(FollowUpStatus::Done) => where_.and("f.outcome IN ('CONNECTED', 'ATTEMPTED')".to_owned()),
        Some(FollowUpStatus::Cancelled) => {
            where_.and("f.outcome IN ('WITHDRAWN', 'CYCLE_ENDED', 'MERGED')".to_owned());
        }
    }
    where_.equals("l.owner", filter.owner);
    where_.equals("l.queue", filter.queue.clone());
    if let Some((due, id)) = from {
        let (a, b) = (where_.value(due), where_.value(id));
        where_.and(format!("(f.due_at, f.id) > ({a}, {b})"));
    }
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql =
        format!("{FOLLOW_UP} JOIN lead l ON l.id = f.lead{conditions} ORDER BY f.due_at, f.id LIMIT {limit}");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(Row::decode).collect()
}
