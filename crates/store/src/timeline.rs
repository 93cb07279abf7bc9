//! The unified timeline of one lead: touches, activities, stages, evaluations and hand-offs in one statement.

use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{Place, closed};
use crate::error::Result;
use crate::rows::fetch_all;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Touchpoint,
    Activity,
    Stage,
    Evaluation,
    Handoff,
    Context,
}

impl EntryKind {
    fn parse(text: &str) -> Option<EntryKind> {
        Some(match text {
            "TOUCHPOINT" => EntryKind::Touchpoint,
            "ACTIVITY" => EntryKind::Activity,
            "STAGE" => EntryKind::Stage,
            "EVALUATION" => EntryKind::Evaluation,
            "HANDOFF" => EntryKind::Handoff,
            "CONTEXT" => EntryKind::Context,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: Instant,
    pub kind: EntryKind,
    pub summary: String,
    pub detail: Option<String>,
}

#[derive(FromQueryResult)]
struct Row {
    at: i64,
    kind: String,
    summary: String,
    detail: Option<String>,
}

/// The newest entries first.
pub async fn of(db: &impl ConnectionTrait, lead: Uuid, limit: i64) -> Result<Vec<Entry>> {
    // Of one instant, what follows from the other is the newer one: touch, evaluation, stages in their order, hand-off.
    let sql = "SELECT at, kind, summary, detail FROM ( \
        SELECT occurred_at AS at, 0 AS place, 'TOUCHPOINT' AS kind, channel AS summary, content AS detail FROM touchpoint WHERE lead = $1 \
        UNION ALL SELECT at, 1, 'ACTIVITY', kind || ' ' || direction, note FROM activity WHERE lead = $1 \
        UNION ALL SELECT as_of, 2, 'EVALUATION', cause, NULL FROM evaluation WHERE lead = $1 \
        UNION ALL SELECT at, 2 + stage_version, 'STAGE', coalesce(from_stage || ' to ', '') || to_stage, cause FROM stage_transition WHERE lead = $1 \
        UNION ALL SELECT asked_at, 1000001, 'CONTEXT', 'asked for ' || topic, question FROM context_request WHERE lead = $1 \
        UNION ALL SELECT answered_at, 1000002, 'CONTEXT', 'answered ' || topic, answer FROM context_request \
        WHERE lead = $1 AND answered_at IS NOT NULL \
        UNION ALL SELECT coalesce(answered_at, offered_at), 1000000, 'HANDOFF', status, reason FROM handoff WHERE lead = $1 \
        ) entries ORDER BY at DESC, place DESC, summary LIMIT $2";
    let rows: Vec<Row> = fetch_all(db, sql, vec![lead.into(), limit.into()]).await?;
    rows.into_iter()
        .map(|row| {
            let kind = closed(Place("timeline", "kind", &lead), &row.kind, EntryKind::parse)?;
            Ok(Entry { at: Instant(row.at), kind, summary: row.summary, detail: row.detail })
        })
        .collect()
}
