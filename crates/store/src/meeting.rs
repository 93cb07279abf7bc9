//! What buyers expect of the first meeting of a cycle, and how those meetings went.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::meeting::{Expectation, Stated};
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::decode::{Place, small};
use crate::dialect;
use crate::error::Result;
use crate::lead::list;
use crate::rows::fetch_all;

pub(crate) const COLUMNS: &[&str] = &["lead", "cycle", "purpose", "expectation", "stated_by", "stated_at"];

pub(crate) fn row(stated: &Stated) -> Vec<Value> {
    let Stated { lead, cycle, expectation: Expectation { purpose, text }, user, at } = stated;
    vec![
        (*lead).into(),
        i64::from(*cycle).into(),
        purpose.as_str().into(),
        text.clone().into(),
        (*user).into(),
        at.ms().into(),
    ]
}

/// A word for each cycle that has one.
pub type Words = BTreeMap<(Uuid, u32), String>;

#[derive(FromQueryResult)]
struct Row {
    lead: Uuid,
    cycle: i64,
    word: String,
}

/// What first meetings were expected to be about, as marketing stated it. One statement.
pub async fn purposes(db: &impl ConnectionTrait, leads: &BTreeSet<Uuid>) -> Result<Words> {
    let sql = format!(
        "SELECT m.lead, m.cycle, m.purpose AS word FROM meeting_expectation m WHERE m.lead {}",
        list(db)
    );
    words(db, &sql, leads).await
}

/// How first meetings went, by the newest hand-off of a cycle that had one. One statement.
pub async fn outcomes(db: &impl ConnectionTrait, leads: &BTreeSet<Uuid>) -> Result<Words> {
    let sql = format!(
        "SELECT h.lead, h.cycle, h.first_meeting AS word FROM handoff h WHERE h.lead {} AND h.first_meeting IS NOT NULL \
         ORDER BY h.lead, h.offered_at, h.id",
        list(db)
    );
    words(db, &sql, leads).await
}

async fn words(db: &impl ConnectionTrait, sql: &str, leads: &BTreeSet<Uuid>) -> Result<Words> {
    let rows: Vec<Row> = fetch_all(db, sql, vec![dialect::uuids(leads)]).await?;
    let cycle = |row: &Row| small(Place("meeting_expectation", "cycle", &row.lead), row.cycle);
    rows.into_iter().map(|row| Ok(((row.lead, cycle(&row)?), row.word))).collect()
}
