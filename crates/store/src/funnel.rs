//! The funnel's numbers, read from counters that each change keeps in its own transaction.

use std::collections::BTreeMap;

use handfast_domain::stage::{CycleOutcome, StageKind};
use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::error::Result;
use crate::rows::fetch_all;

/// Counts by stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    standing: BTreeMap<(StageKind, CycleOutcome), i64>,
    furthest: BTreeMap<StageKind, i64>,
    entered: BTreeMap<StageKind, i64>,
}

impl Counts {
    /// Leads whose newest cycle is open and stands at the stage.
    pub fn open(&self, stage: StageKind) -> i64 {
        self.standing(stage, CycleOutcome::Open)
    }

    /// Leads whose newest cycle stands at the stage, or ended there, with this outcome.
    pub fn standing(&self, stage: StageKind, outcome: CycleOutcome) -> i64 {
        self.standing.get(&(stage, outcome)).copied().unwrap_or(0)
    }

    /// Leads that came this far at most, in all their cycles.
    pub fn furthest(&self, stage: StageKind) -> i64 {
        self.furthest.get(&stage).copied().unwrap_or(0)
    }

    /// Cycles that entered the stage, skipped ones included.
    pub fn entered(&self, stage: StageKind) -> i64 {
        self.entered.get(&stage).copied().unwrap_or(0)
    }
}

#[derive(FromQueryResult)]
struct Row {
    family: String,
    subject: String,
    metric: String,
    value: i64,
}

pub async fn counts(db: &impl ConnectionTrait) -> Result<Counts> {
    let sql = "SELECT family, subject, metric, value FROM counter WHERE family IN ('funnel', 'furthest', 'entered')";
    let mut counts = Counts::default();
    for Row { family, subject, metric, value } in fetch_all::<Row>(db, sql, vec![]).await? {
        let Some(stage) = StageKind::parse(&subject) else { continue };
        match family.as_str() {
            "funnel" => {
                if let Some(outcome) = CycleOutcome::parse(&metric) {
                    counts.standing.insert((stage, outcome), value);
                }
            }
            "furthest" => drop(counts.furthest.insert(stage, value)),
            _ => drop(counts.entered.insert(stage, value)),
        }
    }
    Ok(counts)
}
