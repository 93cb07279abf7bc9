//! The ledger: every lead is in exactly one place, and every day balances (I1).

use std::collections::BTreeMap;

use crate::stage::CycleOutcome;

/// One day, counted in cycles: open at start + opened − closed = open at end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerDay {
    /// Days since 1970-01-01 in the workspace's time zone.
    pub day: i32,
    /// Cycles open when the day began.
    pub open_at_start: i64,
    /// Cycles opened in the day.
    pub opened: i64,
    /// Cycles closed in the day, by how they ended.
    pub closed: BTreeMap<CycleOutcome, i64>,
    /// Cycles open when the day ended.
    pub open_at_end: i64,
}

impl LedgerDay {
    /// 0 unless a lead was lost or counted twice.
    pub fn balance(&self) -> i64 {
        self.open_at_start + self.opened - self.closed.values().sum::<i64>() - self.open_at_end
    }
}
