//! Where the two sides rub: rejected hand-offs, drops, broken promises and stalls, each kind counted with its newest leads, and
//! marketing's touches of leads that sales works.

use handfast_domain::stage::Channel;
use handfast_domain::time::{DAY, Instant};
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use crate::decode::{Place, closed};
use crate::error::Result;
use crate::rows::fetch_all;

/// Leads that stand for all of a kind.
pub const EVIDENCE: i64 = 5;

/// One kind of trouble: what, how often, and the newest leads of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// A reason, a stage, or the kind of a promise.
    pub key: String,
    /// The party that promised, or the outcome of a drop.
    pub of: String,
    pub count: i64,
    pub leads: Vec<Uuid>,
}

/// Hand-offs that sales rejected or returned in a window, by reason.
pub async fn rejections(db: &impl ConnectionTrait, (from, to): (Instant, Instant)) -> Result<Vec<Counted>> {
    let sql = "SELECT reason AS key, status AS whose, lead, answered_at AS at, id FROM handoff \
               WHERE reason IS NOT NULL AND answered_at >= $1 AND answered_at < $2";
    counted(db, sql, vec![from.ms().into(), to.ms().into()]).await
}

/// Cycles that ended in a window and were not won, by reason and outcome.
pub async fn drops(db: &impl ConnectionTrait, (from, to): (Instant, Instant)) -> Result<Vec<Counted>> {
    let sql = "SELECT reason AS key, outcome AS whose, lead, closed_at AS at, lead AS id FROM cycle \
               WHERE closed_at >= $1 AND closed_at < $2 AND reason IS NOT NULL \
               AND outcome IN ('LOST', 'RECYCLED', 'DISQUALIFIED')";
    counted(db, sql, vec![from.ms().into(), to.ms().into()]).await
}

/// Promises on leads that were broken in a window, by kind and party.
pub async fn breaches(db: &impl ConnectionTrait, (from, to): (Instant, Instant)) -> Result<Vec<Counted>> {
    let sql = "SELECT kind AS key, party AS whose, lead, due_at AS at, id FROM clock \
               WHERE state = 'BREACHED' AND due_at >= $1 AND due_at < $2";
    counted(db, sql, vec![from.ms().into(), to.ms().into()]).await
}

/// Open leads that have stood at a stage of sales' since before an instant, by stage.
pub async fn stalls(db: &impl ConnectionTrait, before: Instant) -> Result<Vec<Counted>> {
    let sql = "SELECT stage AS key, '' AS whose, id AS lead, entered_stage_at AS at, id FROM lead \
               WHERE stage IN ('MQL', 'SAL', 'SQL', 'OPPORTUNITY') AND entered_stage_at < $1 AND outcome = 'OPEN'";
    counted(db, sql, vec![before.ms().into()]).await
}

/// How many rows of `rows` there are of each (key, of), and the leads of the newest.
async fn counted(db: &impl ConnectionTrait, rows: &str, values: Vec<Value>) -> Result<Vec<Counted>> {
    #[derive(FromQueryResult)]
    struct Row {
        key: String,
        whose: String,
        lead: Uuid,
        times: i64,
    }
    let sql = format!(
        "SELECT key, whose, lead, times FROM (SELECT f.key, f.whose, f.lead, \
             count(*) OVER (PARTITION BY f.key, f.whose) AS times, \
             row_number() OVER (PARTITION BY f.key, f.whose ORDER BY f.at DESC, f.id) AS place FROM ({rows}) f) ranked \
         WHERE place <= {EVIDENCE} ORDER BY times DESC, key, whose, place"
    );
    let mut found: Vec<Counted> = vec![];
    for Row { key, whose: of, lead, times } in fetch_all::<Row>(db, &sql, values).await? {
        match found.last_mut().filter(|last| (&last.key, &last.of) == (&key, &of)) {
            Some(last) if !last.leads.contains(&lead) => last.leads.push(lead),
            Some(_) => {}
            None => found.push(Counted { key, of, count: times, leads: vec![lead] }),
        }
    }
    Ok(found)
}

/// A touch of marketing's while sales worked the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictingTouch {
    pub id: Uuid,
    pub lead: Uuid,
    pub campaign: Option<Uuid>,
    pub channel: Channel,
    pub content: Option<String>,
    pub at: Instant,
    /// Since when sales worked the lead.
    pub worked_since: Instant,
}

/// Cycles that sales accepted longer ago than this are not looked at.
const LONGEST: i64 = 365 * DAY;

/// Touches in channels in which marketing turns to a lead by itself, in a window, from when sales accepted the lead to the end of
/// the cycle; the newest first, after a place in that order. Ask the pool for reports.
pub async fn conflicts(
    db: &impl ConnectionTrait,
    (from, to): (Instant, Instant),
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<ConflictingTouch>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        lead: Uuid,
        campaign: Option<Uuid>,
        channel: String,
        content: Option<String>,
        occurred_at: i64,
        since: i64,
    }
    let mut values: Vec<Value> =
        vec![from.ms().into(), to.ms().into(), from.plus(-LONGEST).ms().into(), limit.into()];
    let further = match after {
        Some((at, id)) => {
            values.extend([at.into(), id.into()]);
            " AND (t.occurred_at, t.id) < ($5, $6)"
        }
        None => "",
    };
    let sql = format!(
        "SELECT t.id, t.lead, t.campaign, t.channel, t.content, t.occurred_at, w.since FROM ( \
             SELECT s.lead, s.cycle, min(s.at) AS since FROM stage_transition s \
                 WHERE s.to_stage IN ('SAL', 'SQL', 'OPPORTUNITY') AND s.at >= $3 AND s.at < $2 GROUP BY s.lead, s.cycle) w \
         JOIN cycle c ON c.lead = w.lead AND c.number = w.cycle AND (c.closed_at IS NULL OR c.closed_at >= $1) \
         JOIN touchpoint t ON t.lead = w.lead AND t.occurred_at >= $1 AND t.occurred_at < $2 \
         WHERE t.occurred_at >= w.since AND (c.closed_at IS NULL OR t.occurred_at < c.closed_at) \
         AND t.channel IN ('EMAIL', 'RETARGETING', 'DISPLAY', 'PAID_SOCIAL', 'OUTBOUND'){further} \
         ORDER BY t.occurred_at DESC, t.id DESC LIMIT $4"
    );
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    rows.into_iter()
        .map(|row| {
            Ok(ConflictingTouch {
                id: row.id,
                lead: row.lead,
                campaign: row.campaign,
                channel: closed(Place("touchpoint", "channel", &row.id), &row.channel, Channel::parse)?,
                content: row.content,
                at: Instant(row.occurred_at),
                worked_since: Instant(row.since),
            })
        })
        .collect()
}
