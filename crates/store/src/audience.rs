//! Leads in the order of their capture, as audiences look at them, and those that were won.

use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::error::Result;
use crate::lead::Where;
use crate::rows::fetch_all;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    at: i64,
}

/// Leads that marketing may address, the newest capture first, after a place in that order: their ids and instants.
pub async fn addressable(
    db: &impl ConnectionTrait,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<(i64, Uuid)>> {
    let mut where_ = Where::new(db);
    where_.and("NOT l.suppressed AND l.outcome NOT IN ('MERGED', 'ERASED')".to_owned());
    let (rest, values) = where_.page(("l.captured_at", "l.id"), from, false, limit);
    let sql = format!("SELECT l.id, l.captured_at AS at FROM lead l{rest}");
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    Ok(rows.into_iter().map(|row| (row.at, row.id)).collect())
}

/// Leads that were won in a span of time, each once, the newest wins first.
pub async fn won(db: &impl ConnectionTrait, (from, to): (Instant, Instant), limit: i64) -> Result<Vec<Uuid>> {
    let sql = "SELECT lead AS id, max(closed_at) AS at FROM cycle WHERE closed_at >= $1 AND closed_at < $2 \
               AND outcome = 'WON' GROUP BY lead ORDER BY at DESC, lead LIMIT $3";
    let rows: Vec<Row> = fetch_all(db, sql, vec![from.ms().into(), to.ms().into(), limit.into()]).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
