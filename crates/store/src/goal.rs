//! What happened in a window, as metrics of goals are measured by it: four statements that read ranges of their indexes.

use handfast_domain::clock::ClockKind;
use handfast_domain::goal::Happened;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::{DAY, Instant};
use sea_orm::{ConnectionTrait, FromQueryResult, Value};

use crate::decode::{self, Place, closed};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::rows::{fetch_all, fetch_value};

/// Counted by the database. Ask the pool for reports.
pub async fn happened(db: &impl ConnectionTrait, (from, to): (Instant, Instant)) -> Result<Happened> {
    let window = || -> Vec<Value> { vec![from.ms().into(), to.ms().into()] };
    let mut found = Happened { days: (to.since(from) + DAY / 2) / DAY, ..Happened::default() };
    #[derive(FromQueryResult)]
    struct Entered {
        to_stage: String,
        skipped: String,
        cycles: i64,
    }
    // Every stage by name: the index begins with it.
    let sql = format!(
        "SELECT to_stage, skipped, count(*) AS cycles FROM stage_transition WHERE at >= $1 AND at < $2 AND to_stage {} \
         GROUP BY to_stage, skipped",
        Dialect::of(db.get_database_backend()).text_list("$3")
    );
    let stages = dialect::texts(StageKind::ALL.iter().map(|stage| stage.as_str()));
    let values = window().into_iter().chain([stages]).collect();
    for Entered { to_stage, skipped, cycles } in fetch_all(db, &sql, values).await? {
        let place = |column: &'static str| Place("stage_transition", column, &"?");
        let to_stage = closed(place("to_stage"), &to_stage, StageKind::parse)?;
        let skipped: Vec<StageKind> = decode::json(place("skipped"), &skipped)?;
        for stage in skipped.into_iter().chain([to_stage]) {
            *found.entered.entry(stage).or_default() += cycles;
        }
    }
    #[derive(FromQueryResult)]
    struct Ended {
        outcome: String,
        cycles: i64,
    }
    let sql = "SELECT outcome, count(*) AS cycles FROM cycle WHERE closed_at >= $1 AND closed_at < $2 GROUP BY outcome";
    for Ended { outcome, cycles } in fetch_all(db, sql, window()).await? {
        match closed(Place("cycle", "outcome", &"?"), &outcome, CycleOutcome::parse)? {
            CycleOutcome::Won => found.won = cycles,
            CycleOutcome::Lost => found.lost = cycles,
            _ => {}
        }
    }
    let sql = "SELECT CAST(coalesce(sum(o.amount_minor), 0) AS bigint) FROM cycle c \
               JOIN opportunity o ON o.lead = c.lead AND o.cycle = c.number \
               WHERE c.closed_at >= $1 AND c.closed_at < $2 AND c.outcome = 'WON'";
    found.revenue_minor = fetch_value(db, sql, window()).await?.unwrap_or(0);
    #[derive(FromQueryResult)]
    struct Promised {
        kind: String,
        kept: bool,
        clocks: i64,
    }
    let sql = "SELECT kind, state = 'MET' AS kept, count(*) AS clocks FROM clock \
               WHERE state IN ('MET', 'BREACHED') AND due_at >= $1 AND due_at < $2 GROUP BY kind, state";
    for Promised { kind, kept, clocks } in fetch_all(db, sql, window()).await? {
        let kind = closed(Place("clock", "kind", &"?"), &kind, ClockKind::parse)?;
        let counts = found.clocks.entry(kind).or_default();
        *(if kept { &mut counts.0 } else { &mut counts.1 }) += clocks;
    }
    Ok(found)
}
