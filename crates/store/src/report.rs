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
    attempt: i64,
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
    "attempt",
    "rows_read",
    "read_until",
    "bytes",
    "message",
    "started_by",
    "started_at",
    "finished_at",
];
const RUN: &str = "r.id, r.asked, r.status, r.attempt, r.rows_read, r.read_until, r.bytes, r.message, r.started_by, r.started_at, r.finished_at";
const OPEN: &str = "status IN ('QUEUED', 'RUNNING')";

impl Row {
    fn decode(self) -> Result<ReportRun> {
        let id = self.id;
        let at = |column: &'static str| Place("report_run", column, &id);
        Ok(ReportRun {
            asked: decode::json(at("asked"), &self.asked)?,
            status: closed(at("status"), &self.status, RunStatus::parse)?,
            id,
            attempt: self.attempt,
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
        run.attempt.into(),
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

/// It runs from the beginning, as another attempt, whose number is answered; none when it is over by now.
pub async fn begin(tx: &Tx, run: Uuid) -> Result<Option<i64>> {
    let sql = format!(
        "UPDATE report_run SET status = 'RUNNING', attempt = attempt + 1, rows_read = 0, read_until = NULL \
         WHERE id = $1 AND {OPEN} RETURNING attempt"
    );
    fetch_value(tx, &sql, vec![run.into()]).await
}

/// Whether this attempt goes on: nobody ended the run, and no other attempt began.
const GOES_ON: &str = "id = $1 AND attempt = $2 AND status = 'RUNNING'";

/// So far it has come; false when the attempt is over by now.
pub async fn progress(tx: &Tx, (run, attempt): (Uuid, i64), read: i64, until: Instant) -> Result<bool> {
    let sql = format!("UPDATE report_run SET rows_read = $3, read_until = $4 WHERE {GOES_ON}");
    Ok(execute(tx, &sql, vec![run.into(), attempt.into(), read.into(), until.ms().into()]).await? == 1)
}

/// Keeps the next part of its table; false when the attempt is over by now.
pub async fn keep(tx: &Tx, (run, attempt): (Uuid, i64), number: i64, body: &str) -> Result<bool> {
    let running = format!("SELECT count(*) FROM report_run WHERE {GOES_ON}");
    if fetch_value::<i64>(tx, &running, vec![run.into(), attempt.into()]).await? != Some(1) {
        return Ok(false);
    }
    let row = vec![run.into(), attempt.into(), number.into(), body.into()];
    insert_rows(tx, "report_part", &["run", "attempt", "number", "body"], vec![row]).await?;
    Ok(true)
}

/// The table is whole; false when the attempt is over by now.
pub async fn finish(
    tx: &Tx,
    (run, attempt): (Uuid, i64),
    read: i64,
    bytes: i64,
    at: Instant,
) -> Result<bool> {
    let sql = format!(
        "UPDATE report_run SET status = 'FINISHED', rows_read = $3, bytes = $4, finished_at = $5 WHERE {GOES_ON}"
    );
    let values = vec![run.into(), attempt.into(), read.into(), bytes.into(), at.ms().into()];
    Ok(execute(tx, &sql, values).await? == 1)
}

/// Ends a run without a table; answers whether it was not over yet.
pub async fn end(tx: &Tx, run: Uuid, status: RunStatus, message: &str, at: Instant) -> Result<bool> {
    let sql =
        format!("UPDATE report_run SET status = $2, message = $3, finished_at = $4 WHERE id = $1 AND {OPEN}");
    let values = vec![run.into(), status.as_str().into(), message.into(), at.ms().into()];
    Ok(execute(tx, &sql, values).await? == 1)
}

/// One part of the table of a run, from 0; none after the last.
pub async fn part(db: &impl ConnectionTrait, run: &ReportRun, number: i64) -> Result<Option<String>> {
    let sql = "SELECT body FROM report_part WHERE run = $1 AND attempt = $2 AND number = $3";
    fetch_value(db, sql, vec![run.id.into(), run.attempt.into(), number.into()]).await
}

/// Runs that are to be forgotten, the oldest first: those that ended before `before`, and all but the `keep` newest.
pub async fn stale(db: &impl ConnectionTrait, before: Instant, keep: i64) -> Result<Vec<Uuid>> {
    #[derive(FromQueryResult)]
    struct Ended {
        id: Uuid,
        finished_at: i64,
    }
    let sql = "SELECT id, finished_at FROM report_run WHERE finished_at IS NOT NULL ORDER BY finished_at DESC, id DESC";
    let ended: Vec<Ended> = fetch_all(db, sql, vec![]).await?;
    let newest = usize::try_from(keep).unwrap_or(0);
    let old = ended.iter().enumerate().filter(|(n, run)| *n >= newest || run.finished_at < before.ms());
    Ok(old.map(|(_, run)| run.id).rev().collect())
}

/// Takes away some parts of tables: of a run, or of all. Answers how many; a table may be too large for one command.
pub async fn shrink(tx: &Tx, run: Option<Uuid>, parts: i64) -> Result<u64> {
    let (condition, values) = match run {
        Some(run) => ("WHERE p.run = $2", vec![parts.into(), run.into()]),
        None => ("", vec![parts.into()]),
    };
    let sql = format!(
        "DELETE FROM report_part WHERE (run, attempt, number) IN \
         (SELECT p.run, p.attempt, p.number FROM report_part p {condition} LIMIT $1)"
    );
    execute(tx, &sql, values).await
}

/// Forgets a run that is over and has no parts any more.
pub async fn forget(tx: &Tx, run: Uuid) -> Result<()> {
    execute(tx, "DELETE FROM report_part WHERE run = $1", vec![run.into()]).await?;
    execute(tx, "DELETE FROM report_run WHERE id = $1 AND finished_at IS NOT NULL", vec![run.into()])
        .await
        .map(drop)
}
