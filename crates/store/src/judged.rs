//! Decisions of a span of time, as reports read them: page by page, and of their documents no more than is needed.

use std::collections::BTreeMap;

use handfast_domain::deployment::DeploymentMode;
use handfast_domain::digest::Digest;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Outcome, Status};
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::Deserialize;
use uuid::Uuid;

use crate::decode::{self, Place};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;

/// A decision without what only a single reader wants.
#[derive(Clone, Debug)]
pub struct Vote {
    pub id: Uuid,
    pub lead: Uuid,
    pub evaluation: Uuid,
    pub slot: String,
    pub at: Instant,
    pub gate: Option<StageKind>,
    pub mode: DeploymentMode,
    pub status: Status,
    pub outcome: Option<Outcome>,
    /// `owner:…` or `queue:…` of a routing.
    pub target: Option<String>,
    /// Digest of what the rule could have read.
    pub snapshot: Digest,
}

impl Vote {
    /// As [`handfast_domain::evaluation::Decision::counts`]: what a SHADOW says is no vote, and where a CANARY failed the LIVE
    /// version was asked instead.
    pub fn counts(&self) -> bool {
        match self.mode {
            DeploymentMode::Shadow => false,
            DeploymentMode::Canary => self.status == Status::Ok,
            DeploymentMode::Live => true,
        }
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    lead: Uuid,
    evaluation: Uuid,
    slot: String,
    at: i64,
    body: String,
}

#[derive(Deserialize)]
struct Body {
    gate: Option<StageKind>,
    mode: DeploymentMode,
    status: Status,
    outcome: Option<Outcome>,
    target: Option<String>,
    snapshot: Digest,
}

impl Row {
    fn decode(self) -> Result<Vote> {
        let Row { id, lead, evaluation, slot, at, body } = self;
        let Body { gate, mode, status, outcome, target, snapshot } =
            decode::json(Place("decision", "body", &id), &body)?;
        Ok(Vote {
            id,
            lead,
            evaluation,
            slot,
            at: Instant(at),
            gate,
            mode,
            status,
            outcome,
            target,
            snapshot,
        })
    }
}

/// Decisions of slots from `from` up to but without `to`, the newest first, after a place in that order.
pub async fn votes(
    db: &impl ConnectionTrait,
    slots: &[String],
    (from, to): (Instant, Instant),
    before: Option<(Instant, Uuid)>,
    limit: i64,
) -> Result<Vec<Vote>> {
    let (at, id) = before.map_or((to.ms(), Uuid::nil()), |(at, id)| (at.ms(), id));
    let sql = format!(
        "SELECT id, lead, evaluation, slot, at, body FROM decision WHERE slot {} AND at >= $2 AND (at, id) < ($3, $4) \
         ORDER BY at DESC, id DESC LIMIT $5",
        Dialect::of(db.get_database_backend()).text_list("$1")
    );
    let values = vec![dialect::texts(slots), from.ms().into(), at.into(), id.into(), limit.into()];
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(Row::decode).collect()
}

#[derive(FromQueryResult)]
struct SnapshotRow {
    lead: Uuid,
    digest: String,
    body: String,
}

/// Snapshots of leads by their digests, in one statement. Those that were erased are missing.
pub async fn snapshots(
    db: &impl ConnectionTrait,
    wanted: &[(Uuid, Digest)],
) -> Result<BTreeMap<(Uuid, Digest), Snapshot>> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT lead, digest, body FROM snapshot WHERE lead {} AND digest {}",
        list(db),
        Dialect::of(db.get_database_backend()).text_list("$2")
    );
    let leads = dialect::uuids(wanted.iter().map(|(lead, _)| lead));
    let digests = dialect::texts(wanted.iter().map(|(_, digest)| digest.to_string()));
    let rows: Vec<SnapshotRow> = fetch_all(db, &sql, vec![leads, digests]).await?;
    rows.into_iter()
        .map(|row| {
            let digest = decode::digest(Place("snapshot", "digest", &row.lead), &row.digest)?;
            Ok(((row.lead, digest), decode::json(Place("snapshot", "body", &row.digest), &row.body)?))
        })
        .collect()
}
