//! Import runs: what was asked for, how far it got, and what was wrong with which row. Progress is written in the
//! transaction of the rows that it counts.

use handfast_domain::digest::Digest;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed};
use crate::dialect::{self, Dialect};
use crate::error::{Result, StoreError};
use crate::lead::Where;
use crate::rows::{execute, fetch_all, fetch_one, insert_rows};
use crate::tx::Tx;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    Done,
    Failed,
    Cancelled,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Running => "RUNNING",
            Status::Done => "DONE",
            Status::Failed => "FAILED",
            Status::Cancelled => "CANCELLED",
        }
    }

    pub fn parse(text: &str) -> Option<Status> {
        [Status::Running, Status::Done, Status::Failed, Status::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What became of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Rows of the file.
    pub rows: i64,
    pub created: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub refused: i64,
    pub warnings: i64,
    /// Cycles that the file ended as won.
    pub won: i64,
    pub lost: i64,
    pub recycled: i64,
    pub disqualified: i64,
}

impl Counts {
    /// Adds what one batch did; `rows` is a property of the file.
    pub fn plus(self, more: Counts) -> Counts {
        Counts {
            rows: self.rows + more.rows,
            created: self.created + more.created,
            updated: self.updated + more.updated,
            unchanged: self.unchanged + more.unchanged,
            refused: self.refused + more.refused,
            warnings: self.warnings + more.warnings,
            won: self.won + more.won,
            lost: self.lost + more.lost,
            recycled: self.recycled + more.recycled,
            disqualified: self.disqualified + more.disqualified,
        }
    }
}

/// One import of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRun {
    pub id: Uuid,
    /// The uploaded file.
    pub digest: Digest,
    /// What the uploader called it.
    pub name: String,
    /// The mapping, as it was given.
    pub mapping: String,
    pub dry_run: bool,
    pub status: Status,
    /// How many acts are done; a row is one act, or two if it also says how its lead ended.
    pub next: i64,
    /// Acts in all; 0 until the file has been read once.
    pub total: i64,
    pub counts: Counts,
    pub message: Option<String>,
    /// Rows that happened at or after this instant start clocks and are routed.
    pub live_from: Instant,
    pub started_by: Uuid,
    pub started_at: Instant,
    pub finished_at: Option<Instant>,
}

/// What became of one row. A row that tells of a capture and of an ending has a result for each.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct RowResult {
    pub id: Uuid,
    pub row_number: i64,
    /// CREATED, UPDATED, UNCHANGED, an ending's outcome, REFUSED or WARNING.
    pub result: String,
    pub lead: Option<Uuid>,
    pub column_name: Option<String>,
    pub value: Option<String>,
    pub message: Option<String>,
}

/// A step of a run: the acts `from..next` are done with the transaction that this is written in.
#[derive(Clone, Debug)]
pub struct ImportProgress {
    pub run: Uuid,
    pub from: i64,
    pub next: i64,
    pub counts: Counts,
    pub results: Vec<RowResult>,
}

const RUN: &str = "r.id, r.digest, r.name, r.mapping, r.dry_run, r.status, r.next_act, r.total_acts, r.counts, \
    r.message, r.live_from, r.started_by, r.started_at, r.finished_at";

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    digest: String,
    name: String,
    mapping: String,
    dry_run: bool,
    status: String,
    next_act: i64,
    total_acts: i64,
    counts: String,
    message: Option<String>,
    live_from: i64,
    started_by: Uuid,
    started_at: i64,
    finished_at: Option<i64>,
}

impl Row {
    fn decode(self) -> Result<ImportRun> {
        let id = self.id;
        let at = |column: &'static str| Place("import_run", column, &id);
        Ok(ImportRun {
            digest: decode::digest(at("digest"), &self.digest)?,
            status: closed(at("status"), &self.status, Status::parse)?,
            counts: decode::json(at("counts"), &self.counts)?,
            id,
            name: self.name,
            mapping: self.mapping,
            dry_run: self.dry_run,
            next: self.next_act,
            total: self.total_acts,
            message: self.message,
            live_from: Instant(self.live_from),
            started_by: self.started_by,
            started_at: Instant(self.started_at),
            finished_at: self.finished_at.map(Instant),
        })
    }
}

pub async fn insert(tx: &Tx, run: &ImportRun) -> Result<()> {
    let row = vec![
        run.id.into(),
        run.digest.to_string().into(),
        run.name.as_str().into(),
        run.mapping.as_str().into(),
        run.dry_run.into(),
        run.status.as_str().into(),
        run.next.into(),
        run.total.into(),
        json(&run.counts)?.into(),
        run.message.clone().into(),
        run.live_from.ms().into(),
        run.started_by.into(),
        run.started_at.ms().into(),
        run.finished_at.map(|at| at.ms()).into(),
    ];
    let columns = &[
        "id",
        "digest",
        "name",
        "mapping",
        "dry_run",
        "status",
        "next_act",
        "total_acts",
        "counts",
        "message",
        "live_from",
        "started_by",
        "started_at",
        "finished_at",
    ];
    insert_rows(tx, "import_run", columns, vec![row]).await?;
    Ok(())
}

pub async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<ImportRun>> {
    let sql = format!("SELECT {RUN} FROM import_run r WHERE r.id = $1");
    let row: Option<Row> = fetch_one(db, &sql, vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Runs that a process left unfinished, the oldest first.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<ImportRun>> {
    let sql =
        format!("SELECT {RUN} FROM import_run r WHERE r.status = 'RUNNING' ORDER BY r.started_at, r.id");
    let rows: Vec<Row> = fetch_all(db, &sql, vec![]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Runs by their start, the newest first.
pub async fn page(
    db: &impl ConnectionTrait,
    from: Option<(i64, Uuid)>,
    backward: bool,
    limit: i64,
) -> Result<Vec<ImportRun>> {
    let where_ = Where::new(db);
    let (rest, values) = where_.page(("r.started_at", "r.id"), from, backward, limit);
    let sql = format!("SELECT {RUN} FROM import_run r{rest}");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    let mut runs = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    if backward {
        runs.reverse();
    }
    Ok(runs)
}

/// Results of a run by the rows of its file; only those of the given kinds, or all.
pub async fn results(
    db: &impl ConnectionTrait,
    run: Uuid,
    kinds: &[String],
    from: Option<(i64, Uuid)>,
    backward: bool,
    limit: i64,
) -> Result<Vec<RowResult>> {
    let mut where_ = Where::new(db);
    where_.equals("p.run", Some(run));
    if !kinds.is_empty() {
        let list = where_.value(dialect::texts(kinds));
        where_.and(format!("p.result {}", Dialect::of(db.get_database_backend()).text_list(&list)));
    }
    let (after, order) = if backward { ("<", "DESC") } else { (">", "ASC") };
    if let Some((row, id)) = from {
        let (a, b) = (where_.value(row), where_.value(id));
        where_.and(format!("(p.row_number, p.id) {after} ({a}, {b})"));
    }
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!(
        "SELECT p.id, p.row_number, p.result, p.lead, p.column_name, p.value, p.message FROM import_row p{conditions} \
         ORDER BY p.row_number {order}, p.id {order} LIMIT {limit}"
    );
    let mut rows: Vec<RowResult> = fetch_all(db, &sql, values).await?;
    if backward {
        rows.reverse();
    }
    Ok(rows)
}

/// The file was read once: so many acts lie ahead.
pub async fn set_total(tx: &Tx, run: Uuid, total: i64, counts: Counts) -> Result<()> {
    let sql = "UPDATE import_run SET total_acts = $1, counts = $2 WHERE id = $3 AND status = 'RUNNING'";
    execute(tx, sql, vec![total.into(), json(&counts)?.into(), run.into()]).await?;
    Ok(())
}

/// Writes a step. It is refused when the run was cancelled, or somebody else took the same step: then nothing of the
/// transaction may stay.
pub async fn advance(tx: &Tx, progress: &ImportProgress) -> Result<()> {
    let ImportProgress { run, from, next, counts, results } = progress;
    let sql = "UPDATE import_run SET next_act = $1, counts = $2 WHERE id = $3 AND next_act = $4 AND status = 'RUNNING'";
    let values = vec![(*next).into(), json(counts)?.into(), (*run).into(), (*from).into()];
    if execute(tx, sql, values).await? != 1 {
        return Err(StoreError::NotFound("the running import at this step".to_owned()));
    }
    let rows = results.iter().map(|row| {
        let RowResult { id, row_number, result, lead, column_name, value, message } = row;
        vec![
            (*id).into(),
            (*run).into(),
            (*row_number).into(),
            result.as_str().into(),
            (*lead).into(),
            column_name.clone().into(),
            value.clone().into(),
            message.clone().into(),
        ]
    });
    let columns = &["id", "run", "row_number", "result", "lead", "column_name", "value", "message"];
    insert_rows(tx, "import_row", columns, rows.collect()).await?;
    Ok(())
}

/// Ends a running import; answers whether it was running.
pub async fn finish(tx: &Tx, run: Uuid, status: Status, message: Option<&str>, at: Instant) -> Result<bool> {
    let sql = "UPDATE import_run SET status = $1, message = $2, finished_at = $3 WHERE id = $4 AND status = 'RUNNING'";
    let values = vec![status.as_str().into(), message.map(str::to_owned).into(), at.ms().into(), run.into()];
    Ok(execute(tx, sql, values).await? == 1)
}

/// Which rows of a source system were imported before, by their ids there, and the lead that each one became.
pub async fn seen(db: &impl ConnectionTrait, system: &str, ids: &[String]) -> Result<BTreeMap<String, Uuid>> {
    #[derive(FromQueryResult)]
    struct Seen {
        external_id: String,
        lead: Uuid,
    }
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let texts = Dialect::of(db.get_database_backend()).text_list("$2");
    let sql = format!(
        "SELECT t.external_id, t.lead FROM touchpoint t \
         WHERE t.system = $1 AND t.external_id {texts} AND t.lead IS NOT NULL"
    );
    let rows: Vec<Seen> = fetch_all(db, &sql, vec![system.into(), dialect::texts(ids)]).await?;
    Ok(rows.into_iter().map(|row| (row.external_id, row.lead)).collect())
}
