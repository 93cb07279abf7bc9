//! What is deployed where, and what became of the leads that a deployment judged.

use std::collections::BTreeMap;

use handfast_domain::deployment::{Deployment, DeploymentMode, DeploymentState, Observed};
use handfast_domain::evaluation::Decision;
use handfast_domain::share::Share;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::{DECISION_COLUMNS, decision_row, json};
use crate::decision_override;
use crate::decode::{self, Place, closed};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{fetch_all, fetch_one, fetch_value, insert_rows, upsert_rows};
use crate::tx::Tx;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    slot: String,
    version: String,
    settings: String,
    mode: String,
    state: String,
    terms: String,
    approvals: String,
    evidence: String,
    started_by: Uuid,
    started_at: i64,
    ended_at: Option<i64>,
    end_reason: Option<String>,
    rollback_of: Option<Uuid>,
}

impl Row {
    fn decode(self) -> Result<Deployment> {
        let id = self.id;
        let at = |column: &'static str| Place("deployment", column, &id);
        Ok(Deployment {
            id,
            slot: self.slot,
            version: decode::digest(at("version"), &self.version)?,
            settings: decode::digest(at("settings"), &self.settings)?,
            mode: closed(at("mode"), &self.mode, DeploymentMode::parse)?,
            state: closed(at("state"), &self.state, DeploymentState::parse)?,
            terms: decode::json(at("terms"), &self.terms)?,
            approvals: decode::json(at("approvals"), &self.approvals)?,
            evidence: decode::json(at("evidence"), &self.evidence)?,
            started_by: self.started_by,
            started_at: Instant(self.started_at),
            ended_at: self.ended_at.map(Instant),
            end_reason: self.end_reason,
            rollback_of: self.rollback_of,
        })
    }
}

const COLUMNS: &[&str] = &[
    "id",
    "slot",
    "version",
    "settings",
    "mode",
    "state",
    "terms",
    "approvals",
    "evidence",
    "started_by",
    "started_at",
    "ended_at",
    "end_reason",
    "rollback_of",
];
const DEPLOYMENT: &str = "id, slot, version, settings, mode, state, terms, approvals, evidence, started_by, \
    started_at, ended_at, end_reason, rollback_of";

/// Starts, ends or edits a deployment. End the old one before the new one starts: one LIVE and one CANARY a slot.
pub async fn put(tx: &Tx, deployment: &Deployment) -> Result<()> {
    let Deployment {
        id,
        slot,
        version,
        settings,
        mode,
        state,
        terms,
        approvals,
        started_by,
        started_at,
        ended_at,
        end_reason,
        evidence,
        rollback_of,
    } = deployment;
    let row = vec![
        (*id).into(),
        slot.as_str().into(),
        version.to_string().into(),
        settings.to_string().into(),
        mode.as_str().into(),
        state.as_str().into(),
        json(terms)?.into(),
        json(approvals)?.into(),
        json(evidence)?.into(),
        (*started_by).into(),
        started_at.ms().into(),
        ended_at.map(|at| at.ms()).into(),
        end_reason.clone().into(),
        (*rollback_of).into(),
    ];
    upsert_rows(tx, "deployment", COLUMNS, &["id"], vec![row]).await?;
    Ok(())
}

/// Deployments of a slot, or of all, the newest first.
pub async fn page(db: &impl ConnectionTrait, slot: Option<&str>, limit: i64) -> Result<Vec<Deployment>> {
    let condition = if slot.is_some() { "WHERE slot = $1" } else { "WHERE $1 IS NULL" };
    let sql =
        format!("SELECT {DEPLOYMENT} FROM deployment {condition} ORDER BY started_at DESC, id DESC LIMIT $2");
    all(db, &sql, vec![slot.map(str::to_owned).into(), limit.into()]).await
}

/// The newest of each slot that were LIVE: one statement for any number of slots.
pub async fn history(db: &impl ConnectionTrait, slots: &[String], per_slot: i64) -> Result<Vec<Deployment>> {
    let sql = format!(
        "SELECT {DEPLOYMENT} FROM (SELECT d.*, row_number() OVER (PARTITION BY d.slot ORDER BY d.started_at DESC, \
         d.id DESC) AS rank FROM deployment d WHERE d.mode = 'LIVE' AND d.state NOT IN ('PENDING_APPROVAL', 'DECLINED') \
         AND d.slot {}) ranked WHERE rank <= $2 ORDER BY slot, started_at DESC, id DESC",
        text_list(db)
    );
    all(db, &sql, vec![dialect::texts(slots), per_slot.into()]).await
}

/// What runs in each of the slots, or waits for approval: the LIVE one, the CANARY, and the SHADOWs in the order of their start.
pub async fn active(db: &impl ConnectionTrait, slots: &[String]) -> Result<Vec<Deployment>> {
    let sql = format!(
        "SELECT {DEPLOYMENT} FROM deployment WHERE state IN ('RUNNING', 'PENDING_APPROVAL') AND slot {} \
         ORDER BY slot, started_at, id",
        text_list(db)
    );
    all(db, &sql, vec![dialect::texts(slots)]).await
}

/// Everything that runs in any slot.
pub async fn running(db: &impl ConnectionTrait) -> Result<Vec<Deployment>> {
    let sql =
        format!("SELECT {DEPLOYMENT} FROM deployment WHERE state = 'RUNNING' ORDER BY slot, started_at, id");
    all(db, &sql, vec![]).await
}

pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Deployment>> {
    let sql = format!("SELECT {DEPLOYMENT} FROM deployment WHERE id = $1");
    let row: Option<Row> = fetch_one(db, &sql, vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

async fn all(db: &impl ConnectionTrait, sql: &str, values: Vec<sea_orm::Value>) -> Result<Vec<Deployment>> {
    let rows: Vec<Row> = fetch_all(db, sql, values).await?;
    rows.into_iter().map(Row::decode).collect()
}

fn text_list(db: &impl ConnectionTrait) -> String {
    Dialect::of(db.get_database_backend()).text_list("$1")
}

/// What a SHADOW said of a lead.
#[derive(Clone, Debug)]
pub struct ShadowDecision {
    pub evaluation: Uuid,
    pub lead: Uuid,
    pub as_of: Instant,
    pub decision: Decision,
    /// Whether the version that counted said the same.
    pub agrees: bool,
}

pub async fn put_shadow_decisions(tx: &Tx, said: &[ShadowDecision]) -> Result<()> {
    let mut decisions = vec![];
    for ShadowDecision { evaluation, lead, as_of, decision, agrees } in said {
        let mut row = decision_row(*evaluation, *lead, *as_of, decision)?;
        row.push((*agrees).into());
        decisions.push(row);
    }
    let columns: Vec<&str> = DECISION_COLUMNS.iter().copied().chain(["agrees"]).collect();
    insert_rows(tx, "decision", &columns, decisions).await?;
    Ok(())
}

/// Grey cases that a shadow opened since then.
pub async fn grey_cases(db: &impl ConnectionTrait, deployment: Uuid, since: Instant) -> Result<i64> {
    let sql = "SELECT count(*) FROM grey_case g JOIN decision d ON d.id = g.decision \
               WHERE g.trigger_kind = 'DISAGREEMENT' AND g.opened_at >= $2 AND d.deployment = $1";
    Ok(fetch_value(db, sql, vec![deployment.into(), since.ms().into()]).await?.unwrap_or(0))
}

/// How a deployment's calls ended so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub decided: u64,
    pub advanced: u64,
    pub failed: u64,
    /// Of a SHADOW: verdicts that differ from the one that counted.
    pub disagreed: u64,
    /// Decisions that a person overrode.
    pub overridden: u64,
    pub fuel: u64,
}

#[derive(FromQueryResult)]
struct TallyRow {
    deployment: Uuid,
    status: String,
    outcome: Option<String>,
    agrees: Option<bool>,
    calls: i64,
    fuel: i64,
}

/// Of any number of deployments in one statement.
pub async fn tallies(db: &impl ConnectionTrait, deployments: &[Uuid]) -> Result<BTreeMap<Uuid, Tally>> {
    let sql = format!(
        "{TALLY} WHERE deployment {} GROUP BY deployment, status, outcome, agrees",
        Dialect::of(db.get_database_backend()).uuid_list("$1")
    );
    let rows: Vec<TallyRow> = fetch_all(db, &sql, vec![dialect::uuids(deployments)]).await?;
    let mut tallies = tally(rows);
    for (deployment, overrides) in decision_override::counts(db, deployments).await? {
        tallies.entry(deployment).or_default().overridden = overrides;
    }
    Ok(tallies)
}

const TALLY: &str = "SELECT deployment, status, outcome, agrees, count(*) AS calls, \
    CAST(coalesce(sum(fuel), 0) AS bigint) AS fuel FROM decision";

fn tally(rows: Vec<TallyRow>) -> BTreeMap<Uuid, Tally> {
    let mut tallies: BTreeMap<Uuid, Tally> = BTreeMap::new();
    for TallyRow { deployment, status, outcome, agrees, calls, fuel } in rows {
        let (calls, fuel) = (calls.unsigned_abs(), fuel.unsigned_abs());
        let tally = tallies.entry(deployment).or_default();
        tally.decided += calls;
        tally.fuel += fuel;
        tally.failed += if status == "OK" { 0 } else { calls };
        tally.advanced += if outcome.as_deref() == Some("ADVANCE") { calls } else { 0 };
        tally.disagreed += if status == "OK" && agrees == Some(false) { calls } else { 0 };
    }
    tallies
}

/// The least identity of a decision that was made at this instant or later.
pub fn first_id(at: Instant) -> Uuid {
    Uuid::from_u128(u128::from(at.ms().unsigned_abs()) << 80)
}

/// What became of the leads that a deployment judged from `since` on; `overloaded` is left to whoever knows capacities.
pub async fn observed(db: &impl ConnectionTrait, deployment: Uuid, since: Uuid) -> Result<Observed> {
    let values = || vec![deployment.into(), since.into()];
    let sql =
        format!("{TALLY} WHERE deployment = $1 AND id >= $2 GROUP BY deployment, status, outcome, agrees");
    let tally = tally(fetch_all(db, &sql, values()).await?).remove(&deployment).unwrap_or_default();
    let (ok, all) = (tally.decided - tally.failed, tally.decided);
    let mut observed = Observed {
        advanced: Share::of(tally.advanced, ok),
        failed: Share::of(tally.failed, all),
        fuel: tally.fuel,
        ..Observed::default()
    };
    let sql = format!(
        "SELECT h.status AS kind, h.reason AS reason, count(*) AS found FROM ({ADVANCED}) a \
         JOIN handoff h ON h.lead = a.lead AND h.cycle = a.cycle WHERE h.answered_at IS NOT NULL GROUP BY h.status, h.reason"
    );
    for Found { kind, reason, found } in fetch_all::<Found>(db, &sql, values()).await? {
        let found = found.unsigned_abs();
        let no_context = reason.as_deref() == Some("NO_CONTEXT");
        match kind.as_str() {
            "ACCEPTED" => {}
            "REJECTED" | "RETURNED" => observed.rejected.count += found,
            _ => continue,
        }
        observed.no_context.count += if no_context { found } else { 0 };
        observed.rejected.of += found;
        observed.no_context.of += found;
    }
    let sql = format!(
        "SELECT c.state AS kind, CAST(NULL AS text) AS reason, count(*) AS found FROM ({ADVANCED}) a \
         JOIN clock c ON c.lead = a.lead AND c.cycle = a.cycle WHERE c.state IN ('MET', 'BREACHED') \
         AND c.kind <> 'GREY_CASE' GROUP BY c.state"
    );
    for Found { kind, found, .. } in fetch_all::<Found>(db, &sql, values()).await? {
        observed.late.of += found.unsigned_abs();
        observed.late.count += if kind == "BREACHED" { found.unsigned_abs() } else { 0 };
    }
    Ok(observed)
}

/// Leads that a deployment let pass, each once in a cycle.
const ADVANCED: &str = "SELECT DISTINCT d.lead, e.cycle FROM decision d JOIN evaluation e ON e.id = d.evaluation \
    WHERE d.deployment = $1 AND d.id >= $2 AND d.outcome = 'ADVANCE'";

#[derive(FromQueryResult)]
struct Found {
    kind: String,
    reason: Option<String>,
    found: i64,
}

/// An owner of leads that a deployment let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub owner: Uuid,
    /// Open ones of the deployment.
    pub leads: u64,
    /// All open ones.
    pub open_leads: u64,
}

pub async fn loads(db: &impl ConnectionTrait, deployment: Uuid, since: Uuid) -> Result<Vec<Load>> {
    #[derive(FromQueryResult)]
    struct Row {
        owner: Uuid,
        leads: i64,
        open_leads: i64,
    }
    let sql = format!(
        "SELECT mine.owner, mine.leads, (SELECT count(*) FROM lead o WHERE o.owner = mine.owner AND o.outcome = 'OPEN') \
         AS open_leads FROM (SELECT l.owner, count(*) AS leads FROM ({ADVANCED}) a JOIN lead l ON l.id = a.lead \
         WHERE l.owner IS NOT NULL AND l.outcome = 'OPEN' GROUP BY l.owner) mine ORDER BY mine.owner"
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![deployment.into(), since.into()]).await?;
    let load = |Row { owner, leads, open_leads }| Load {
        owner,
        leads: leads.unsigned_abs(),
        open_leads: open_leads.unsigned_abs(),
    };
    Ok(rows.into_iter().map(load).collect())
}

/// Of the newest verdicts of a slot that counted and were made before: how many let the lead pass.
pub async fn advanced_before(
    db: &impl ConnectionTrait,
    slot: &str,
    before: Uuid,
    limit: u64,
) -> Result<Share> {
    let sql = format!(
        "{ADVANCED_OF} (SELECT outcome FROM decision WHERE slot = $1 AND id < $2 AND status = 'OK' \
         AND deployment IS NOT NULL AND agrees IS NULL ORDER BY at DESC, id DESC LIMIT $3) newest"
    );
    share(db, &sql, vec![slot.into(), before.into(), count(limit).into()]).await
}

/// Which of some verdicts are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Newest,
    Oldest,
}

/// Of the verdicts of a CANARY and of what is LIVE that were made from `since` on: how many of the newest, or of the oldest,
/// let the lead pass.
pub async fn advanced_since(
    db: &impl ConnectionTrait,
    (canary, live): (Uuid, Option<Uuid>),
    since: Uuid,
    ends: Ends,
    limit: u64,
) -> Result<Share> {
    let order = match ends {
        Ends::Newest => "DESC",
        Ends::Oldest => "ASC",
    };
    // Each by its own index, however many there are.
    let of = |deployment: &str| {
        format!(
            "SELECT * FROM (SELECT id, outcome FROM decision WHERE deployment = {deployment} AND id >= $3 \
             AND status = 'OK' AND agrees IS NULL ORDER BY id {order} LIMIT $4) of_{}",
            deployment.trim_start_matches('$')
        )
    };
    let sql = format!(
        "{ADVANCED_OF} (SELECT id, outcome FROM ({} UNION ALL {}) both_of_them ORDER BY id {order} LIMIT $4) looked_at",
        of("$1"),
        of("$2")
    );
    let live = live.unwrap_or(Uuid::nil());
    share(db, &sql, vec![canary.into(), live.into(), since.into(), count(limit).into()]).await
}

const ADVANCED_OF: &str = "SELECT CAST(coalesce(sum(CASE WHEN outcome = 'ADVANCE' THEN 1 ELSE 0 END), 0) AS bigint) \
    AS advanced, count(*) AS judged FROM";

async fn share(db: &impl ConnectionTrait, sql: &str, values: Vec<sea_orm::Value>) -> Result<Share> {
    #[derive(FromQueryResult)]
    struct Row {
        advanced: i64,
        judged: i64,
    }
    let row: Option<Row> = fetch_one(db, sql, values).await?;
    Ok(row.map_or(Share::default(), |row| Share::of(row.advanced.unsigned_abs(), row.judged.unsigned_abs())))
}

fn count(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
