//! What happened in a window, as measures are counted by it: three statements that read ranges of their indexes.

use handfast_domain::measure::Counted;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};

use crate::decode::{self, Place, closed};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::ledger::kept;
use crate::rows::fetch_all;

/// Counted by the database, over a window of so many days. Ask the pool for reports.
pub async fn counted(db: &impl ConnectionTrait, span: (Instant, Instant), days: u32) -> Result<Counted> {
    let window = || -> Vec<Value> { vec![span.0.ms().into(), span.1.ms().into()] };
    let clocks = kept(db, span).await?.into_iter().collect();
    let mut found = Counted { days, clocks, ..Counted::default() };
    #[derive(FromQueryResult)]
    struct Entered {
        to_stage: String,
        skipped: String,
        furthest_stage: String,
        cycles: i64,
    }
    let sql = "SELECT t.to_stage, t.skipped, c.furthest_stage, count(*) AS cycles FROM stage_transition t \
               JOIN cycle c ON c.lead = t.lead AND c.number = t.cycle WHERE t.at >= $1 AND t.at < $2 \
               GROUP BY t.to_stage, t.skipped, c.furthest_stage";
    let whole = |count: i64| u64::try_from(count).unwrap_or(0);
    for Entered { to_stage, skipped, furthest_stage, cycles } in fetch_all(db, sql, window()).await? {
        let place = |column: &'static str| Place("stage_transition", column, &"?");
        let to = closed(place("to_stage"), &to_stage, StageKind::parse)?;
        let skipped: Vec<StageKind> = decode::json(place("skipped"), &skipped)?;
        let furthest = closed(Place("cycle", "furthest_stage", &"?"), &furthest_stage, StageKind::parse)?;
        found.enter(to, &skipped, furthest, whole(cycles));
    }
    #[derive(FromQueryResult)]
    struct Ended {
        outcome: String,
        cycles: i64,
        minor: i64,
    }
    // What a deal was won with is what the log says, which knows it also of those that only an import told of.
    let dialect = Dialect::of(db.get_database_backend());
    let whole_of = |member| format!("CAST({} AS bigint)", dialect.json_text("e.payload", ["fact", member]));
    let (cycle, amount) = (whole_of("cycle"), whole_of("amountMinor"));
    let sql = format!(
        "SELECT c.outcome, count(*) AS cycles, CAST(coalesce(sum({amount}), 0) AS bigint) AS minor FROM cycle c \
         LEFT JOIN event e ON c.outcome = 'WON' AND e.stream_id = c.lead AND e.stream_kind = 'LEAD' \
             AND e.kind = 'CYCLE_CLOSED' AND {cycle} = c.number \
         WHERE c.closed_at >= $1 AND c.closed_at < $2 GROUP BY c.outcome"
    );
    for Ended { outcome, cycles, minor } in fetch_all(db, &sql, window()).await? {
        match closed(Place("cycle", "outcome", &"?"), &outcome, CycleOutcome::parse)? {
            CycleOutcome::Won => (found.won, found.revenue_minor) = (whole(cycles), minor),
            CycleOutcome::Lost => found.lost = whole(cycles),
            _ => {}
        }
    }
    Ok(found)
}
