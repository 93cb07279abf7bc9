//! Graded answers of a qualification: grades with evidence, no tick-boxes.

use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, small};
use crate::dialect;
use crate::error::Result;
use crate::lead::list;
use crate::rows::{fetch_all, upsert_rows};
use crate::tx::Tx;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub lead: Uuid,
    pub cycle: u32,
    /// For example `need`, `budget`, `authority`, `timeline`.
    pub key: String,
    /// 0 unknown or no, 4 proven.
    pub grade: u8,
    /// What the grade rests on.
    pub evidence: Option<String>,
    /// Basis points.
    pub confidence: u16,
    pub given_by: Option<Uuid>,
    pub at: Instant,
}

#[derive(FromQueryResult)]
struct Row {
    lead: Uuid,
    cycle: i64,
    key: String,
    grade: i64,
    evidence: Option<String>,
    confidence: i64,
    given_by: Option<Uuid>,
    at: i64,
}

/// The newest answer of each key in a cycle counts.
pub async fn put(tx: &Tx, answers: Vec<Answer>) -> Result<()> {
    let rows = answers.into_iter().map(|answer| {
        let Answer { lead, cycle, key, grade, evidence, confidence, given_by, at } = answer;
        vec![
            lead.into(),
            i64::from(cycle).into(),
            key.into(),
            i64::from(grade).into(),
            evidence.into(),
            i64::from(confidence).into(),
            given_by.into(),
            at.ms().into(),
        ]
    });
    let columns = &["lead", "cycle", "key", "grade", "evidence", "confidence", "given_by", "at"];
    upsert_rows(tx, "answer", columns, &["lead", "cycle", "key"], rows.collect()).await?;
    Ok(())
}

/// Answers of these leads in all their cycles.
pub async fn of(db: &impl ConnectionTrait, leads: &[Uuid]) -> Result<Vec<Answer>> {
    let sql = format!(
        "SELECT lead, cycle, key, grade, evidence, confidence, given_by, at FROM answer WHERE lead {} \
         ORDER BY lead, cycle, key",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(leads)]).await?;
    rows.into_iter()
        .map(|row| {
            let at = |column: &'static str| Place("answer", column, &row.lead);
            Ok(Answer {
                lead: row.lead,
                cycle: small(at("cycle"), row.cycle)?,
                grade: small(at("grade"), row.grade)?,
                confidence: small(at("confidence"), row.confidence)?,
                key: row.key,
                evidence: row.evidence,
                given_by: row.given_by,
                at: Instant(row.at),
            })
        })
        .collect()
}
