//! Reports that are made in the background: what was asked for, how far each got, and its table in parts.

use handfast_domain::report::ReportRun;
use handfast_domain::run::RunStatus;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed};
use crate::error::Result;
use crate::lead::Where;
use crate::rows::{execute, fetch_all, fetch_one, fetch_value, insert_rows};
use crate::tx::Tx;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    asked: String,
    status: String,
    rows_read: i64,
    read_until: Option<i64>,
    bytes: Option<i64>,
    message: Option<String>,
    started_by: Uuid,
    started_at: i64,
    finished_at: Option<i64>,
}

const COLUMNS: &[&str] = &[
    "id",
    "asked",
    "status",
    "rows_read",
    "read_until",
    "bytes",
    "message",
    "started_by",
    "started_at",
    "finished_at",
];
const RUN: &str = "r.id, r.asked, r.status, r.rows_read, r.read_until, r.bytes, r.message, r.started_by, r.started_at, r.finished_at";
const OPEN: &str = "status IN ('QUEUED', 'RUNNING')";

impl Row {
    fn decode(self) -> Result<ReportRun> {
        let id = self.id;
        let at = |column: &'static str| Place("report_run", column, &id);
        Ok(ReportRun {
            asked: decode::json(at("asked"), &self.asked)?,
            status: closed(at("status"), &self.status, RunStatus::parse)?,
            id,
            read: self.rows_read,
            read_until: self.read_until.map(Instant),
            bytes: self.bytes,
            message: self.message,
            started_by: self.started_by,
            started_at: Instant(self.started_at),
            finished_at: self.finished_at.map(Instant),
        })
    }
}

/// Takes in a new run, which waits for its turn.
pub async fn insert(tx: &Tx, run: &ReportRun) -> Result<()> {
    let row = vec![
        run.id.into(),
        json(&run.asked)?.into(),
        run.status.as_str().into(),
        run.read.into(),
        run.read_until.map(Instant::ms).into(),
        run.bytes.into(),
        run.message.clone().into(),
        run.started_by.into(),
        run.started_at.ms().into(),
        run.finished_at.map(Instant::ms).into(),
    ];
    insert_rows(tx, "report_run", COLUMNS, vec![row]).await.map(drop)
}

pub async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<ReportRun>> {
    let row: Option<Row> =
        fetch_one(db, &format!("SELECT {RUN} FROM report_run r WHERE r.id = $1"), vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Runs that wait or were left in the middle, the oldest first.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<ReportRun>> {
    let sql = format!("SELECT {RUN} FROM report_run r WHERE r.{OPEN} ORDER BY r.started_at, r.id");
    fetch_all::<Row>(db, &sql, vec![]).await?.into_iter().map(Row::decode).collect()
}

/// Runs by their start, the newest first; backward the oldest of those that are newer.
pub async fn page(
    db: &impl ConnectionTrait,
    from: Option<(i64, Uuid)>,
    backward: bool,
    limit: i64,
) -> Result<Vec<ReportRun>> {
    let (rest, values) = Where::new(db).page(("r.started_at", "r.id"), from, backward, limit);
    let rows: Vec<Row> = fetch_all(db, &format!("SELECT {RUN} FROM report_run r{rest}"), values).await?;
    let mut runs = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    if backward {
        runs.reverse();
    }
    Ok(runs)
}

/// It runs from the beginning, without what an earlier attempt left; false when it is over by now.
pub async fn begin(tx: &Tx, run: Uuid) -> Result<bool> {
    execute(tx, "DELETE FROM report_part WHERE run = $1", vec![run.into()]).await?;
    let sql = format!(
        "UPDATE report_run SET status = 'RUNNING', rows_read = 0, read_until = NULL WHERE id = $1 AND {OPEN}"
    );
    Ok(execute(tx, &sql, vec![run.into()]).await? == 1)
}

/// So far it has come; false when it is over by now.
pub async fn progress(tx: &Tx, run: Uuid, read: i64, until: Instant) -> Result<bool> {
    let sql = "UPDATE report_run SET rows_read = $2, read_until = $3 WHERE id = $1 AND status = 'RUNNING'";
    Ok(execute(tx, sql, vec![run.into(), read.into(), until.ms().into()]).await? == 1)
}

/// Keeps the next part of its table; false when it is over by now.
pub async fn keep(tx: &Tx, run: Uuid, number: i64, body: &str) -> Result<bool> {
    let running = "SELECT count(*) FROM report_run WHERE id = $1 AND status = 'RUNNING'";
    if fetch_value::<i64>(tx, running, vec![run.into()]).await? != Some(1) {
        return Ok(false);
    }
    let row = vec![run.into(), number.into(), body.into()];
    insert_rows(tx, "report_part", &["run", "number", "body"], vec![row]).await?;
    Ok(true)
}

/// The table is whole; false when the run is over by now.
pub async fn finish(tx: &Tx, run: Uuid, read: i64, bytes: i64, at: Instant) -> Result<bool> {
    let sql = "UPDATE report_run SET status = 'FINISHED', rows_read = $2, bytes = $3, finished_at = $4 \
               WHERE id = $1 AND status = 'RUNNING'";
    Ok(execute(tx, sql, vec![run.into(), read.into(), bytes.into(), at.ms().into()]).await? == 1)
}

/// Ends a run without a table; answers whether it was not over yet.
pub async fn end(tx: &Tx, run: Uuid, status: RunStatus, message: &str, at: Instant) -> Result<bool> {
    let sql =
        format!("UPDATE report_run SET status = $2, message = $3, finished_at = $4 WHERE id = $1 AND {OPEN}");
    let values = vec![run.into(), status.as_str().into(), message.into(), at.ms().into()];
    let ended = execute(tx, &sql, values).await? == 1;
    if ended {
        execute(tx, "DELETE FROM report_part WHERE run = $1", vec![run.into()]).await?;
    }
    Ok(ended)
}

/// One part of a table, from 0; none after the last.
pub async fn part(db: &impl ConnectionTrait, run: Uuid, number: i64) -> Result<Option<String>> {
    let sql = "SELECT body FROM report_part WHERE run = $1 AND number = $2";
    fetch_value(db, sql, vec![run.into(), number.into()]).await
}

/// Forgets at most so many runs that ended before `before`; answers how many.
pub async fn purge(tx: &Tx, before: Instant, limit: u32) -> Result<u64> {
    let old = "SELECT id FROM report_run WHERE finished_at < $1 ORDER BY finished_at, id LIMIT $2";
    let values = || vec![before.ms().into(), i64::from(limit).into()];
    execute(tx, &format!("DELETE FROM report_part WHERE run IN ({old})"), values()).await?;
    execute(tx, &format!("DELETE FROM report_run WHERE id IN ({old})"), values()).await
}
