//! Passes over the leads that wait: what was asked for, and how far each got.

use handfast_domain::reevaluation::{Looked, Reevaluation, ReevaluationCause, Waiting};
use handfast_domain::run::RunStatus;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed};
use crate::error::Result;
use crate::lead::Where;
use crate::rows::{execute, fetch_all, fetch_one, fetch_value, insert_rows};
use crate::tx::Tx;

const COLUMNS: &[&str] = &[
    "id",
    "cause",
    "waiting",
    "everything",
    "status",
    "after_lead",
    "looked",
    "total",
    "message",
    "started_by",
    "started_at",
    "finished_at",
];

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    cause: String,
    waiting: String,
    everything: bool,
    status: String,
    after_lead: Uuid,
    looked: String,
    total: i64,
    message: Option<String>,
    started_by: Option<Uuid>,
    started_at: i64,
    finished_at: Option<i64>,
}

impl Row {
    fn decode(self) -> Result<Reevaluation> {
        let id = self.id;
        let at = |column: &'static str| Place("reevaluation", column, &id);
        Ok(Reevaluation {
            cause: closed(at("cause"), &self.cause, ReevaluationCause::parse)?,
            waiting: decode::json(at("waiting"), &self.waiting)?,
            status: closed(at("status"), &self.status, RunStatus::parse)?,
            looked: decode::json(at("looked"), &self.looked)?,
            id,
            everything: self.everything,
            after: self.after_lead,
            total: self.total,
            message: self.message,
            started_by: self.started_by,
            started_at: Instant(self.started_at),
            finished_at: self.finished_at.map(Instant),
        })
    }
}

fn selected() -> String {
    COLUMNS.join(", ")
}

pub async fn insert(tx: &Tx, runs: &[Reevaluation]) -> Result<()> {
    let mut rows = Vec::with_capacity(runs.len());
    for run in runs {
        rows.push(vec![
            run.id.into(),
            run.cause.as_str().into(),
            json(&run.waiting)?.into(),
            run.everything.into(),
            run.status.as_str().into(),
            run.after.into(),
            json(&run.looked)?.into(),
            run.total.into(),
            run.message.clone().into(),
            run.started_by.into(),
            run.started_at.ms().into(),
            run.finished_at.map(|at| at.ms()).into(),
        ]);
    }
    insert_rows(tx, "reevaluation", COLUMNS, rows).await?;
    Ok(())
}

pub async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Reevaluation>> {
    let sql = format!("SELECT {} FROM reevaluation WHERE id = $1", selected());
    let row: Option<Row> = fetch_one(db, &sql, vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Passes that are not over, the oldest first.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<Reevaluation>> {
    let sql = format!(
        "SELECT {} FROM reevaluation WHERE status IN ('QUEUED', 'RUNNING') ORDER BY started_at, id",
        selected()
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Passes by their start, the newest first; backward the oldest of those that are newer.
pub async fn page(
    db: &impl ConnectionTrait,
    from: Option<(i64, Uuid)>,
    backward: bool,
    limit: i64,
) -> Result<Vec<Reevaluation>> {
    let (rest, values) = Where::new(db).page(("started_at", "id"), from, backward, limit);
    let rows: Vec<Row> =
        fetch_all(db, &format!("SELECT {} FROM reevaluation{rest}", selected()), values).await?;
    let mut runs = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    if backward {
        runs.reverse();
    }
    Ok(runs)
}

/// Its turn has come; answers whether it is still to be done.
pub async fn begin(tx: &Tx, id: Uuid, total: i64) -> Result<bool> {
    let sql = "UPDATE reevaluation SET status = 'RUNNING', total = $1 WHERE id = $2 AND status IN ('QUEUED', 'RUNNING')";
    Ok(execute(tx, sql, vec![total.into(), id.into()]).await? == 1)
}

/// Leads up to `after` are done; answers whether it goes on.
pub async fn progress(tx: &Tx, id: Uuid, after: Uuid, looked: &Looked) -> Result<bool> {
    let sql = "UPDATE reevaluation SET after_lead = $1, looked = $2 WHERE id = $3 AND status = 'RUNNING'";
    Ok(execute(tx, sql, vec![after.into(), json(looked)?.into(), id.into()]).await? == 1)
}

/// Ends what is not over; answers whether it was not.
pub async fn end(tx: &Tx, id: Uuid, status: RunStatus, message: Option<&str>, at: Instant) -> Result<bool> {
    let sql = "UPDATE reevaluation SET status = $1, message = $2, finished_at = $3 \
               WHERE id = $4 AND status IN ('QUEUED', 'RUNNING')";
    let values = vec![status.as_str().into(), message.map(str::to_owned).into(), at.ms().into(), id.into()];
    Ok(execute(tx, sql, values).await? == 1)
}

/// The condition of the leads that wait for the rules of a gate. The stage is kept from its index: the leads are walked by their
/// ids, a page at a time, and each page would sort all of a stage.
fn waiting(db: &impl ConnectionTrait, which: &Waiting) -> Where {
    let mut where_ = Where::new(db);
    let gate = which.gate.unwrap_or(StageKind::Mql);
    where_.and("l.outcome = 'OPEN'".to_owned());
    let below = StageKind::ALL.iter().filter(|stage| **stage < gate).map(|stage| stage.as_str());
    where_.texts("COALESCE(l.stage, '')", below);
    where_.equals("l.account", which.account);
    where_
}

/// How many leads wait behind `after`.
pub async fn count(db: &impl ConnectionTrait, which: &Waiting, after: Uuid) -> Result<i64> {
    let mut where_ = waiting(db, which);
    let after = where_.value(after);
    where_.and(format!("l.id > {after}"));
    let (conditions, values) = where_.finish();
    Ok(fetch_value(db, &format!("SELECT count(*) FROM lead l{conditions}"), values).await?.unwrap_or(0))
}

/// The next leads that wait, by their ids.
pub async fn leads(db: &impl ConnectionTrait, which: &Waiting, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    #[derive(FromQueryResult)]
    struct Id {
        id: Uuid,
    }
    let mut where_ = waiting(db, which);
    let after = where_.value(after);
    where_.and(format!("l.id > {after}"));
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!("SELECT l.id FROM lead l{conditions} ORDER BY l.id LIMIT {limit}");
    let rows: Vec<Id> = fetch_all(db, &sql, values).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
