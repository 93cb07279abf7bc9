//! What people decided in the place of a rule, and how often they did.

use std::collections::BTreeMap;

use handfast_domain::decision_override::DecisionOverride;
use handfast_domain::digest::Digest;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::change::text;
use crate::decode::{self, Place, closed};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;

pub(crate) const COLUMNS: &[&str] = &[
    "decision",
    "instead",
    "lead",
    "slot",
    "deployment",
    "version",
    "was",
    "outcome",
    "disposition",
    "reason",
    "user_id",
    "side",
    "at",
];

pub(crate) fn row(told: &DecisionOverride) -> Vec<Value> {
    let DecisionOverride {
        decision,
        instead,
        lead,
        slot,
        deployment,
        version,
        was,
        outcome,
        disposition,
        reason,
        user,
        side,
        at,
    } = told;
    vec![
        (*decision).into(),
        (*instead).into(),
        (*lead).into(),
        slot.as_str().into(),
        (*deployment).into(),
        version.to_string().into(),
        was.as_ref().map(text).into(),
        text(outcome).into(),
        disposition.clone().into(),
        reason.as_str().into(),
        (*user).into(),
        side.as_str().into(),
        at.ms().into(),
    ]
}

#[derive(FromQueryResult)]
struct Row {
    decision: Uuid,
    instead: Uuid,
    lead: Uuid,
    slot: String,
    deployment: Option<Uuid>,
    version: String,
    was: Option<String>,
    outcome: String,
    disposition: Option<String>,
    reason: String,
    user_id: Uuid,
    side: String,
    at: i64,
}

impl Row {
    fn decode(self) -> Result<DecisionOverride> {
        let id = self.decision;
        let at = |column: &'static str| Place("decision_override", column, &id);
        let outcome = |column, text: &str| decode::json::<Outcome>(at(column), &format!("\"{text}\""));
        Ok(DecisionOverride {
            decision: id,
            instead: self.instead,
            lead: self.lead,
            slot: self.slot,
            deployment: self.deployment,
            version: decode::digest(at("version"), &self.version)?,
            was: self.was.as_deref().map(|text| outcome("was", text)).transpose()?,
            outcome: outcome("outcome", &self.outcome)?,
            disposition: self.disposition,
            reason: self.reason,
            user: self.user_id,
            side: closed(at("side"), &self.side, Side::parse)?,
            at: Instant(self.at),
        })
    }
}

/// What people decided in the place of any number of decisions.
pub async fn of(db: &impl ConnectionTrait, decisions: &[Uuid]) -> Result<BTreeMap<Uuid, DecisionOverride>> {
    let sql = format!("SELECT {} FROM decision_override WHERE decision {}", COLUMNS.join(", "), list(db));
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(decisions)]).await?;
    rows.into_iter().map(|row| Ok((row.decision, row.decode()?))).collect()
}

/// How often people decided otherwise than any number of deployments; those that nobody overrode are left out.
pub async fn counts(db: &impl ConnectionTrait, deployments: &[Uuid]) -> Result<BTreeMap<Uuid, u64>> {
    #[derive(FromQueryResult)]
    struct Row {
        deployment: Uuid,
        overrides: i64,
    }
    let sql = format!(
        "SELECT deployment, count(*) AS overrides FROM decision_override WHERE deployment {} GROUP BY deployment",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(deployments)]).await?;
    Ok(rows.into_iter().map(|row| (row.deployment, row.overrides.unsigned_abs())).collect())
}

/// The same of any number of versions, in whatever slot and with whatever settings.
pub async fn counts_of_versions(
    db: &impl ConnectionTrait,
    versions: &[Digest],
) -> Result<BTreeMap<Digest, u64>> {
    #[derive(FromQueryResult)]
    struct Row {
        version: String,
        overrides: i64,
    }
    let sql = format!(
        "SELECT version, count(*) AS overrides FROM decision_override WHERE version {} GROUP BY version",
        Dialect::of(db.get_database_backend()).text_list("$1")
    );
    let versions: Vec<String> = versions.iter().map(Digest::to_string).collect();
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::texts(&versions)]).await?;
    rows.into_iter()
        .map(|Row { version, overrides }| {
            let at = Place("decision_override", "version", &version);
            Ok((decode::digest(at, &version)?, overrides.unsigned_abs()))
        })
        .collect()
}
