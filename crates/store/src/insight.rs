//! What was learned of one lead: read from where it stands, each source within a bound. Nothing of it is kept twice.

use handfast_domain::event::{Body, Fact};
use handfast_domain::handoff::text_of;
use handfast_domain::insight::{InsightKind, Learned};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{self, Place, closed};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::rows::fetch_all;

/// Rows that are read of each source, the newest.
pub const MOST: i64 = 500;

/// What people, forms and touches told, the newest first, in one statement, each with the person who said it. Touches stand as
/// CONTENT; which of them are acts of high intent the charter says.
pub async fn told(db: &impl ConnectionTrait, lead: Uuid) -> Result<Vec<(Learned, Option<Uuid>)>> {
    #[derive(FromQueryResult)]
    struct Row {
        kind: String,
        key: String,
        value: String,
        source: String,
        evidence: Option<String>,
        person: Option<Uuid>,
        at: i64,
    }
    // kind, key, value, source, evidence, person, at, and where they stand.
    let sources = [
        "'TRAIT' AS kind, key, value, source, evidence, recorded_by AS person, observed_at AS at FROM trait WHERE lead = $1",
        "'TRAIT', key, value, source, evidence, recorded_by, observed_at AS at FROM trait_history WHERE lead = $1",
        "'ANSWER', key, CAST(grade AS text), '', evidence, given_by, at FROM answer WHERE lead = $1",
        "'CONTENT', content, '', channel, NULL, CAST(NULL AS {uuid}), occurred_at AS at FROM touchpoint \
         WHERE lead = $1 AND content IS NOT NULL",
        "'NOTE', kind, note, '', NULL, actor, at FROM activity WHERE lead = $1 AND note IS NOT NULL",
        "'CONTEXT', topic, answer, '', question, answered_by, answered_at AS at FROM context_request \
         WHERE lead = $1 AND answer IS NOT NULL",
        "'FEEDBACK', kind, text, from_side, answer, user_id, posted_at AS at FROM feedback WHERE lead = $1 AND text <> ''",
    ];
    let newest =
        |select: &str| format!("SELECT * FROM (SELECT {select} ORDER BY at DESC LIMIT {MOST}) newest");
    let parts: Vec<String> = sources.iter().map(|select| newest(select)).collect();
    let sql = format!(
        "SELECT kind, key, value, source, evidence, person, at FROM ({}) told ORDER BY at DESC",
        parts.join(" UNION ALL ")
    );
    let sql = Dialect::of(db.get_database_backend()).ddl(&sql);
    let rows: Vec<Row> = fetch_all(db, &sql, vec![lead.into()]).await?;
    let learned = rows.into_iter().map(|Row { kind, key, value, source, evidence, person, at }| {
        let kind = closed(Place("insight", "kind", &lead), &kind, InsightKind::parse)?;
        let value = match kind {
            // A trait's value is kept as JSON.
            InsightKind::Trait => text_of(&decode::json(Place("trait", "value", &lead), &value)?),
            _ => value,
        };
        Ok((Learned { kind, key, value, source, evidence, at: Instant(at) }, person))
    });
    learned.collect()
}

/// Which persona matched best at the newest looks, the first one first.
pub async fn personas(db: &impl ConnectionTrait, lead: Uuid) -> Result<Vec<(Instant, Option<String>)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        payload: String,
        occurred_at: i64,
    }
    let sql = "SELECT id, payload, occurred_at FROM (SELECT e.id, e.payload, e.occurred_at, e.version, e.ordinal FROM event e \
               WHERE e.stream_kind = 'LEAD' AND e.stream_id = $1 AND e.kind = 'LEAD_EVALUATED' \
               ORDER BY e.version DESC, e.ordinal DESC LIMIT $2) newest ORDER BY version, ordinal";
    let rows: Vec<Row> = fetch_all(db, sql, vec![lead.into(), MOST.into()]).await?;
    let mut found = vec![];
    for row in rows {
        let body: Body = decode::json(Place("event", "payload", &row.id), &row.payload)?;
        if let Fact::LeadEvaluated { persona, .. } = body.fact {
            found.push((Instant(row.occurred_at), persona));
        }
    }
    Ok(found)
}
