//! Grey cases with what both sides said, precedents, and waivers of them.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::digest::Digest;
use handfast_domain::event::GreyTrigger;
use handfast_domain::grey_case::{GreyCase, GreyState, Opinion, Precedent, Waiver};
use handfast_domain::refused::Refused;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::change::{json, text};
use crate::decode::{self, Place, closed, small};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::{Where, list};
use crate::rows::{execute, fetch_all, fetch_one, insert_rows, upsert_rows};
use crate::tx::Tx;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    lead: Uuid,
    cycle: i64,
    slot: String,
    decision: Uuid,
    trigger_kind: String,
    text: Option<String>,
    opened_at: i64,
    opinions: String,
    resolution: Option<String>,
}

impl Row {
    fn decode(self) -> Result<GreyCase> {
        let id = self.id;
        let at = |column: &'static str| Place("grey_case", column, &id);
        Ok(GreyCase {
            id,
            lead: self.lead,
            cycle: small(at("cycle"), self.cycle)?,
            slot: self.slot,
            decision: self.decision,
            trigger: closed(at("trigger_kind"), &self.trigger_kind, GreyTrigger::parse)?,
            text: self.text,
            opened_at: Instant(self.opened_at),
            opinions: decode::json(at("opinions"), &self.opinions)?,
            resolution: self
                .resolution
                .map(|resolution| decode::json(at("resolution"), &resolution))
                .transpose()?,
        })
    }
}

const CASE: &str = "SELECT id, lead, cycle, slot, decision, trigger_kind, text, opened_at, opinions, resolution FROM grey_case";

pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<GreyCase>> {
    let row: Option<Row> = fetch_one(db, &format!("{CASE} WHERE id = $1"), vec![id.into()]).await?;
    row.map(Row::decode).transpose()
}

/// The newest first, after a place in that order.
pub async fn page(
    db: &impl ConnectionTrait,
    state: Option<GreyState>,
    slot: Option<&str>,
    lead: Option<Uuid>,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<GreyCase>> {
    let mut where_ = Where::new(db);
    where_.equals("slot", slot.map(str::to_owned));
    where_.equals("lead", lead);
    match state {
        Some(GreyState::Open) => where_.and("resolution IS NULL".to_owned()),
        Some(GreyState::Resolved) => where_.and("resolution IS NOT NULL".to_owned()),
        None => {}
    }
    let (rest, values) = where_.page(("opened_at", "id"), from, false, limit);
    let sql = format!("{CASE}{rest}");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(Row::decode).collect()
}

/// What both sides said, and how it was decided.
pub async fn put(tx: &Tx, case: &GreyCase) -> Result<()> {
    let sql = "UPDATE grey_case SET opinions = $2, resolution = $3 WHERE id = $1";
    let resolution = case.resolution.as_ref().map(json).transpose()?;
    execute(tx, sql, vec![case.id.into(), json(&case.opinions)?.into(), resolution.into()]).await?;
    Ok(())
}

/// What a side says, beside what the other one said meanwhile: the row is read inside of the command, and locked.
pub async fn give(tx: &Tx, id: Uuid, opinion: Opinion) -> Result<std::result::Result<(), Refused>> {
    let lock = match Dialect::of(tx.get_database_backend()) {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE",
    };
    let row: Option<Row> = fetch_one(tx, &format!("{CASE} WHERE id = $1{lock}"), vec![id.into()]).await?;
    let Some(row) = row else { return Ok(Err(Refused::not_found("grey case").at("input/greyCase"))) };
    let mut case = row.decode()?;
    match case.give(opinion) {
        Ok(()) => Ok(Ok(put(tx, &case).await?)),
        Err(refused) => Ok(Err(refused.at("input/greyCase"))),
    }
}

#[derive(FromQueryResult)]
struct PrecedentRow {
    id: Uuid,
    slot: String,
    grey_case: Uuid,
    lead: Uuid,
    as_of: i64,
    charter: i64,
    snapshot: String,
    expected: String,
    rationale: String,
    created_at: i64,
}

impl PrecedentRow {
    fn decode(self) -> Result<(Precedent, Snapshot)> {
        let id = self.id;
        let at = |column: &'static str| Place("precedent", column, &id);
        let precedent = Precedent {
            id,
            slot: self.slot,
            case: self.grey_case,
            lead: self.lead,
            as_of: Instant(self.as_of),
            charter: small(at("charter"), self.charter)?,
            expected: decode::json(at("expected"), &format!("\"{}\"", self.expected))?,
            rationale: self.rationale,
            created_at: Instant(self.created_at),
        };
        Ok((precedent, decode::json(at("snapshot"), &self.snapshot)?))
    }
}

/// One precedent.
pub async fn precedent(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Precedent>> {
    Ok(select(db, None, Some(id), 1).await?.pop().map(|(precedent, _)| precedent))
}

/// The newest precedents of a slot, or of all, each with what the rule could read.
pub async fn precedents(
    db: &impl ConnectionTrait,
    slot: Option<&str>,
    limit: i64,
) -> Result<Vec<(Precedent, Snapshot)>> {
    select(db, slot, None, limit).await
}

async fn select(
    db: &impl ConnectionTrait,
    slot: Option<&str>,
    id: Option<Uuid>,
    limit: i64,
) -> Result<Vec<(Precedent, Snapshot)>> {
    let mut where_ = Where::new(db);
    where_.equals("slot", slot.map(str::to_owned));
    where_.equals("id", id);
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!(
        "SELECT id, slot, grey_case, lead, as_of, charter, snapshot, expected, rationale, created_at FROM precedent\
         {conditions} ORDER BY created_at DESC, id DESC LIMIT {limit}"
    );
    let rows: Vec<PrecedentRow> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(PrecedentRow::decode).collect()
}

pub async fn put_precedent(tx: &Tx, precedent: &Precedent, snapshot: &Snapshot) -> Result<()> {
    let Precedent { id, slot, case, lead, as_of, charter, expected, rationale, created_at } = precedent;
    let row = vec![
        (*id).into(),
        slot.as_str().into(),
        (*case).into(),
        (*lead).into(),
        as_of.ms().into(),
        i64::from(*charter).into(),
        json(snapshot)?.into(),
        text(expected).into(),
        rationale.as_str().into(),
        created_at.ms().into(),
    ];
    let columns = &[
        "id",
        "slot",
        "grey_case",
        "lead",
        "as_of",
        "charter",
        "snapshot",
        "expected",
        "rationale",
        "created_at",
    ];
    insert_rows(tx, "precedent", columns, vec![row]).await?;
    Ok(())
}

/// One side's word for one version; it takes the place of what the side said before.
pub async fn put_waiver(tx: &Tx, precedent: Uuid, version: Digest, waiver: &Waiver) -> Result<()> {
    let row =
        vec![precedent.into(), version.to_string().into(), waiver.side.as_str().into(), json(waiver)?.into()];
    let columns = &["precedent", "version", "side", "body"];
    upsert_rows(tx, "waiver", columns, &["precedent", "version", "side"], vec![row]).await?;
    Ok(())
}

/// Waivers of any number of precedents, with the version that each is for.
pub async fn waivers(
    db: &impl ConnectionTrait,
    precedents: &BTreeSet<Uuid>,
) -> Result<BTreeMap<Uuid, Vec<(Digest, Waiver)>>> {
    #[derive(FromQueryResult)]
    struct Row {
        precedent: Uuid,
        version: String,
        body: String,
    }
    let sql = format!(
        "SELECT precedent, version, body FROM waiver WHERE precedent {} ORDER BY precedent, version, side",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(precedents)]).await?;
    let mut found: BTreeMap<Uuid, Vec<(Digest, Waiver)>> = BTreeMap::new();
    for Row { precedent, version, body } in rows {
        let at = |column: &'static str| Place("waiver", column, &precedent);
        let version = decode::digest(at("version"), &version)?;
        found.entry(precedent).or_default().push((version, decode::json(at("body"), &body)?));
    }
    Ok(found)
}
