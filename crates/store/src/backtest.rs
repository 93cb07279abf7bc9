//! Backtests: runs with what they found, and what they read of the past in pages, the newest first.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::backtest::{Flip, Report, Scope, Told, Vote};
use handfast_domain::digest::Digest;
use handfast_domain::event::{Body, Fact};
use handfast_domain::run::RunStatus;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::{Cause, CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::json;
use crate::decode::{self, Place, closed, small};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::{Where, list};
use crate::rows::{execute, fetch_all, fetch_one, fetch_value, insert_rows};
use crate::tx::Tx;

/// One backtest of a version with settings against what answered for the slot when it was started.
#[derive(Clone, Debug, PartialEq)]
pub struct BacktestRun {
    pub id: Uuid,
    pub slot: String,
    pub gate: StageKind,
    pub version: Digest,
    pub settings: Digest,
    /// Version and settings; none is the built-in rule.
    pub baseline: Option<(Digest, Digest)>,
    pub scope: Scope,
    pub status: RunStatus,
    /// Looks that were read.
    pub done: i64,
    /// Looks in all; 0 until it runs.
    pub total: i64,
    /// As JSON; see [`BacktestRun::report`].
    pub report: Option<String>,
    pub message: Option<String>,
    pub started_by: Uuid,
    pub started_at: Instant,
    pub finished_at: Option<Instant>,
}

impl BacktestRun {
    /// What it found, once it is FINISHED.
    pub fn report(&self) -> Result<Option<Report>> {
        let read = |text: &String| decode::json(Place("backtest_run", "report", &self.id), text);
        self.report.as_ref().map(read).transpose()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    slot: String,
    gate: String,
    version: String,
    settings: String,
    baseline_version: Option<String>,
    baseline_settings: Option<String>,
    scope: String,
    status: String,
    done: i64,
    total: i64,
    report: Option<String>,
    message: Option<String>,
    started_by: Uuid,
    started_at: i64,
    finished_at: Option<i64>,
}

const RUN: &str = "r.id, r.slot, r.gate, r.version, r.settings, r.baseline_version, r.baseline_settings, r.scope, \
    r.status, r.done, r.total, r.report, r.message, r.started_by, r.started_at, r.finished_at";

impl Row {
    fn decode(self) -> Result<BacktestRun> {
        let id = self.id;
        let at = |column: &'static str| Place("backtest_run", column, &id);
        let digest = |column, text: &str| decode::digest(at(column), text);
        let baseline = match (&self.baseline_version, &self.baseline_settings) {
            (Some(version), Some(settings)) => {
                Some((digest("baseline_version", version)?, digest("baseline_settings", settings)?))
            }
            _ => None,
        };
        Ok(BacktestRun {
            id,
            gate: closed(at("gate"), &self.gate, StageKind::parse)?,
            version: digest("version", &self.version)?,
            settings: digest("settings", &self.settings)?,
            baseline,
            scope: decode::json(at("scope"), &self.scope)?,
            status: closed(at("status"), &self.status, RunStatus::parse)?,
            slot: self.slot,
            done: self.done,
            total: self.total,
            report: self.report,
            message: self.message,
            started_by: self.started_by,
            started_at: Instant(self.started_at),
            finished_at: self.finished_at.map(Instant),
        })
    }
}

/// Takes in a new run, which waits for its turn. Its settings must be there.
pub async fn insert(tx: &Tx, run: &BacktestRun) -> Result<()> {
    let digest = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
    let row = vec![
        run.id.into(),
        run.slot.as_str().into(),
        run.gate.as_str().into(),
        run.version.to_string().into(),
        run.settings.to_string().into(),
        digest(run.baseline.map(|(version, _)| version)).into(),
        digest(run.baseline.map(|(_, settings)| settings)).into(),
        json(&run.scope)?.into(),
        run.status.as_str().into(),
        run.done.into(),
        run.total.into(),
        run.report.clone().into(),
        run.message.clone().into(),
        run.started_by.into(),
        run.started_at.ms().into(),
        run.finished_at.map(|at| at.ms()).into(),
    ];
    let columns = &[
        "id",
        "slot",
        "gate",
        "version",
        "settings",
        "baseline_version",
        "baseline_settings",
        "scope",
        "status",
        "done",
        "total",
        "report",
        "message",
        "started_by",
        "started_at",
        "finished_at",
    ];
    insert_rows(tx, "backtest_run", columns, vec![row]).await.map(drop)
}

pub async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<BacktestRun>> {
    let sql = format!("SELECT {RUN} FROM backtest_run r WHERE r.id = $1");
    let row: Option<Row> = fetch_one(db, &sql, vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// Runs that wait or were left in the middle, the oldest first.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<BacktestRun>> {
    let sql = format!(
        "SELECT {RUN} FROM backtest_run r WHERE r.status IN ('QUEUED', 'RUNNING') ORDER BY r.started_at, r.id"
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![]).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Runs of a slot, or of all, by their start, the newest first.
pub async fn page(
    db: &impl ConnectionTrait,
    slot: Option<&str>,
    from: Option<(i64, Uuid)>,
    backward: bool,
    limit: i64,
) -> Result<Vec<BacktestRun>> {
    let mut where_ = Where::new(db);
    where_.equals("r.slot", slot.map(str::to_owned));
    let (rest, values) = where_.page(("r.started_at", "r.id"), from, backward, limit);
    let sql = format!("SELECT {RUN} FROM backtest_run r{rest}");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    let mut runs = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>>>()?;
    if backward {
        runs.reverse();
    }
    Ok(runs)
}

/// The newest finished run of a version with these settings in a slot.
pub async fn finished(
    db: &impl ConnectionTrait,
    slot: &str,
    version: Digest,
    settings: Digest,
) -> Result<Option<BacktestRun>> {
    let sql = format!(
        "SELECT {RUN} FROM backtest_run r WHERE r.slot = $1 AND r.version = $2 AND r.settings = $3 \
         AND r.status = 'FINISHED' ORDER BY r.started_at DESC, r.id DESC LIMIT 1"
    );
    let values = vec![slot.into(), version.to_string().into(), settings.to_string().into()];
    let row: Option<Row> = fetch_one(db, &sql, values).await?;
    row.map(Row::decode).transpose()
}

const OPEN: &str = "status IN ('QUEUED', 'RUNNING')";

/// It runs from the beginning, and so many looks lie ahead; false when it is over by now.
pub async fn begin(tx: &Tx, run: Uuid, total: i64) -> Result<bool> {
    let sql =
        format!("UPDATE backtest_run SET status = 'RUNNING', done = 0, total = $2 WHERE id = $1 AND {OPEN}");
    Ok(execute(tx, &sql, vec![run.into(), total.into()]).await? == 1)
}

/// So many looks are done; false when it is over by now.
pub async fn progress(tx: &Tx, run: Uuid, done: i64) -> Result<bool> {
    let sql = "UPDATE backtest_run SET done = $2 WHERE id = $1 AND status = 'RUNNING'";
    Ok(execute(tx, sql, vec![run.into(), done.into()]).await? == 1)
}

/// Keeps what was found; false when the run is over by now, and then nothing is written.
pub async fn finish(
    tx: &Tx,
    run: Uuid,
    done: i64,
    report: &Report,
    flips: &[Flip],
    at: Instant,
) -> Result<bool> {
    let sql = "UPDATE backtest_run SET status = 'FINISHED', done = $2, total = $2, report = $3, finished_at = $4 \
               WHERE id = $1 AND status = 'RUNNING'";
    if execute(tx, sql, vec![run.into(), done.into(), json(report)?.into(), at.ms().into()]).await? != 1 {
        return Ok(false);
    }
    let rows = (0_i64..).zip(flips).map(|(number, flip)| {
        let Flip { lead, at, baseline, candidate, good } = *flip;
        vec![
            run.into(),
            number.into(),
            lead.into(),
            at.ms().into(),
            vote_text(baseline).into(),
            vote_text(candidate).into(),
            good.into(),
        ]
    });
    let columns = &["run", "number", "lead", "at", "baseline", "candidate", "good"];
    insert_rows(tx, "backtest_flip", columns, rows.collect()).await?;
    Ok(true)
}

/// Ends a run without a report; answers whether it was not over yet.
pub async fn end(tx: &Tx, run: Uuid, status: RunStatus, message: &str, at: Instant) -> Result<bool> {
    let sql = format!(
        "UPDATE backtest_run SET status = $2, message = $3, finished_at = $4 WHERE id = $1 AND {OPEN}"
    );
    let values = vec![run.into(), status.as_str().into(), message.into(), at.ms().into()];
    Ok(execute(tx, &sql, values).await? == 1)
}

fn vote_text(vote: Vote) -> Option<String> {
    let text = |outcome| serde_json::to_value(outcome).ok()?.as_str().map(str::to_owned);
    vote.and_then(text)
}

fn vote(column: &'static str, lead: Uuid, text: Option<String>) -> Result<Vote> {
    let parse = |text: &str| serde_json::from_value::<Outcome>(text.into()).ok();
    text.map(|text| closed(Place("backtest_flip", column, &lead), &text, parse)).transpose()
}

/// Flipped leads of a run with their numbers, the leads that were looked at last first.
pub async fn flips(
    db: &impl ConnectionTrait,
    run: Uuid,
    from: Option<(i64, Uuid)>,
    backward: bool,
    limit: i64,
) -> Result<Vec<(i64, Flip)>> {
    #[derive(FromQueryResult)]
    struct FlipRow {
        number: i64,
        lead: Uuid,
        at: i64,
        baseline: Option<String>,
        candidate: Option<String>,
        good: bool,
    }
    let mut where_ = Where::new(db);
    where_.equals("f.run", Some(run));
    let (after, order) = if backward { ("<", "DESC") } else { (">", "ASC") };
    if let Some((number, _)) = from {
        let number = where_.value(number);
        where_.and(format!("f.number {after} {number}"));
    }
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!(
        "SELECT f.number, f.lead, f.at, f.baseline, f.candidate, f.good FROM backtest_flip f{conditions} \
         ORDER BY f.number {order} LIMIT {limit}"
    );
    let rows: Vec<FlipRow> = fetch_all(db, &sql, values).await?;
    let decode = |row: FlipRow| {
        let FlipRow { number, lead, at, baseline, candidate, good } = row;
        let (baseline, candidate) = (vote("baseline", lead, baseline)?, vote("candidate", lead, candidate)?);
        Ok((number, Flip { lead, at: Instant(at), baseline, candidate, good }))
    };
    let mut flips = rows.into_iter().map(decode).collect::<Result<Vec<_>>>()?;
    if backward {
        flips.reverse();
    }
    Ok(flips)
}

/// A look at a lead at which the gate was asked, and what is known by now of its cycle.
#[derive(Clone, Debug)]
pub struct Look {
    pub at: Instant,
    /// The decision; with `at` the place in the order.
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    pub charter: u32,
    pub snapshot: Digest,
    pub cause: Cause,
    pub told: Told,
    /// No later look of the cycle asked the gate.
    pub last: bool,
}

/// Where a reading of looks goes on: before this place.
pub type LookPlace = (Instant, Uuid);

/// Before everything.
pub const NEWEST: LookPlace = (Instant::MAX, Uuid::max());

/// Looks at which a slot was asked, the newest first.
pub async fn looks(
    db: &impl ConnectionTrait,
    slot: &str,
    gate: StageKind,
    (from, to): (Instant, Instant),
    before: LookPlace,
    limit: i64,
) -> Result<Vec<Look>> {
    #[derive(FromQueryResult)]
    struct LookRow {
        at: i64,
        id: Uuid,
        lead: Uuid,
        cycle: i64,
        charter: i64,
        snapshot: String,
        cause: String,
        outcome: String,
        furthest_stage: String,
        last: bool,
        by_rule: bool,
    }
    // A gate that was asked stands in the evaluation with its result; who closes a cycle by a verdict does it in the instant
    // of the look. A look that several versions of the slot answered counts by the newest of their decisions.
    let sql = "SELECT p.at, p.id, p.lead, e.cycle, e.charter, e.snapshot, e.cause, c.outcome, c.furthest_stage, \
         (NOT EXISTS (SELECT 1 FROM evaluation n WHERE n.lead = e.lead AND n.cycle = e.cycle \
              AND (n.as_of, n.id) > (e.as_of, e.id) AND n.gates LIKE $7) \
          AND NOT EXISTS (SELECT 1 FROM decision x WHERE x.evaluation = e.id AND x.slot = $1 AND x.id > p.id)) AS last, \
         (c.outcome IN ('RECYCLED', 'DISQUALIFIED') AND EXISTS (SELECT 1 FROM evaluation r WHERE r.lead = e.lead \
              AND r.cycle = e.cycle AND r.as_of = c.closed_at \
              AND (r.gates LIKE '%\"result\":\"RECYCLE\"%' OR r.gates LIKE '%\"result\":\"DISQUALIFY\"%'))) AS by_rule \
         FROM (SELECT d.at, d.id, d.evaluation, d.lead FROM decision d WHERE d.slot = $1 AND d.at >= $2 AND d.at < $3 \
              AND (d.at, d.id) < ($4, $5) ORDER BY d.at DESC, d.id DESC LIMIT $6) p \
         JOIN evaluation e ON e.id = p.evaluation JOIN cycle c ON c.lead = e.lead AND c.number = e.cycle \
         ORDER BY p.at DESC, p.id DESC";
    let asked = format!("%\"gate\":\"{gate}\"%");
    let values = vec![
        slot.into(),
        from.ms().into(),
        to.ms().into(),
        before.0.ms().into(),
        before.1.into(),
        limit.into(),
        asked.into(),
    ];
    let rows: Vec<LookRow> = fetch_all(db, sql, values).await?;
    rows.into_iter()
        .map(|row| {
            let evaluation = |column: &'static str| Place("evaluation", column, &row.id);
            let cycle = |column: &'static str| Place("cycle", column, &row.lead);
            Ok(Look {
                at: Instant(row.at),
                id: row.id,
                lead: row.lead,
                cycle: small(evaluation("cycle"), row.cycle)?,
                charter: small(evaluation("charter"), row.charter)?,
                snapshot: decode::digest(evaluation("snapshot"), &row.snapshot)?,
                cause: closed(evaluation("cause"), &row.cause, Cause::parse)?,
                told: Told {
                    outcome: closed(cycle("outcome"), &row.outcome, CycleOutcome::parse)?,
                    furthest: closed(cycle("furthest_stage"), &row.furthest_stage, StageKind::parse)?,
                    by_rule: row.by_rule,
                },
                last: row.last,
            })
        })
        .collect()
}

/// How often a slot was asked in a window.
pub async fn count_looks(
    db: &impl ConnectionTrait,
    slot: &str,
    (from, to): (Instant, Instant),
) -> Result<i64> {
    let sql = "SELECT count(*) FROM decision d WHERE d.slot = $1 AND d.at >= $2 AND d.at < $3";
    let count = fetch_value(db, sql, vec![slot.into(), from.ms().into(), to.ms().into()]).await?;
    Ok(count.unwrap_or(0))
}

/// The snapshots that are still there.
pub async fn snapshots(
    db: &impl ConnectionTrait,
    wanted: &BTreeSet<(Uuid, Digest)>,
) -> Result<BTreeMap<(Uuid, Digest), Snapshot>> {
    #[derive(FromQueryResult)]
    struct SnapshotRow {
        lead: Uuid,
        digest: String,
        body: String,
    }
    let leads: BTreeSet<Uuid> = wanted.iter().map(|(lead, _)| *lead).collect();
    // An expression, so that the index is asked for the lead alone: a planner that takes both lists to it looks for each digest
    // under each lead, a quarter of a million times for a page.
    let digests = Dialect::of(db.get_database_backend()).text_list("$2");
    let sql = format!(
        "SELECT s.lead, s.digest, s.body FROM snapshot s WHERE s.lead {} AND (s.digest || '') {digests}",
        list(db)
    );
    let texts = dialect::texts(wanted.iter().map(|(_, digest)| digest.to_string()));
    let rows: Vec<SnapshotRow> = fetch_all(db, &sql, vec![dialect::uuids(&leads), texts]).await?;
    rows.into_iter()
        .map(|row| {
            let digest = decode::digest(Place("snapshot", "digest", &row.lead), &row.digest)?;
            Ok(((row.lead, digest), decode::json(Place("snapshot", "body", &row.digest), &row.body)?))
        })
        .collect()
}

/// When each of these traits of each lead was observed.
pub async fn observed(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
    keys: &[String],
) -> Result<Vec<(Uuid, String, Instant)>> {
    #[derive(FromQueryResult)]
    struct ObservedRow {
        lead: Uuid,
        key: String,
        observed_at: i64,
    }
    let keys_in = Dialect::of(db.get_database_backend()).text_list("$2");
    let sql = format!(
        "SELECT t.lead, t.key, t.observed_at FROM trait t WHERE t.lead {} AND t.key {keys_in}",
        list(db)
    );
    let rows: Vec<ObservedRow> =
        fetch_all(db, &sql, vec![dialect::uuids(leads), dialect::texts(keys)]).await?;
    Ok(rows.into_iter().map(|row| (row.lead, row.key, Instant(row.observed_at))).collect())
}

/// Owner and queue of each assignment of these leads, by lead and cycle, the first one first.
pub async fn assigned(
    db: &impl ConnectionTrait,
    leads: &BTreeSet<Uuid>,
) -> Result<BTreeMap<(Uuid, u32), Vec<(Option<Uuid>, Option<String>)>>> {
    #[derive(FromQueryResult)]
    struct AssignedRow {
        stream_id: Uuid,
        payload: String,
    }
    let sql = format!(
        "SELECT e.stream_id, e.payload FROM event e WHERE e.stream_kind = 'LEAD' AND e.stream_id {} \
         AND e.kind = 'LEAD_ASSIGNED' ORDER BY e.stream_id, e.version, e.ordinal",
        list(db)
    );
    let rows: Vec<AssignedRow> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    let mut found: BTreeMap<(Uuid, u32), Vec<_>> = BTreeMap::new();
    for AssignedRow { stream_id, payload } in rows {
        let body: Body = decode::json(Place("event", "payload", &stream_id), &payload)?;
        if let Fact::LeadAssigned { owner, queue, .. } = body.fact {
            found.entry((stream_id, body.cycle.unwrap_or(0))).or_default().push((owner, queue));
        }
    }
    Ok(found)
}

/// Open leads of each owner.
pub async fn open_leads(db: &impl ConnectionTrait) -> Result<BTreeMap<Uuid, u32>> {
    #[derive(FromQueryResult)]
    struct OpenRow {
        owner: Uuid,
        leads: i64,
    }
    let sql = "SELECT owner, count(*) AS leads FROM lead WHERE outcome = 'OPEN' AND owner IS NOT NULL GROUP BY owner";
    let rows: Vec<OpenRow> = fetch_all(db, sql, vec![]).await?;
    Ok(rows.into_iter().map(|row| (row.owner, u32::try_from(row.leads).unwrap_or(u32::MAX))).collect())
}
