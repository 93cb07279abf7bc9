//! The ledger: every lead is in exactly one place, and every day balances (I1).

use std::collections::BTreeMap;

use crate::clock::ClockKind;
use crate::stage::CycleOutcome;
use crate::text::text_enum;

text_enum! {
    /// Where a lead is now: each is in exactly one place.
    pub enum LedgerPlace {
        /// Open, and a person has it.
        Owner = "OWNER",
        /// Open, and it waits in a queue.
        Queue = "QUEUE",
        /// Open, and the rules look at it again on a date.
        Reevaluation = "REEVALUATION",
        /// Closed for now; it comes back on a date.
        NurtureUntilDate = "NURTURE_UNTIL_DATE",
        /// Closed for now; it comes back on a signal.
        NurtureUntilSignal = "NURTURE_UNTIL_SIGNAL",
        /// Its newest cycle ended.
        Closed = "CLOSED",
        /// Open without owner, queue or date, or nurtured without a date or signal: it fell through the cracks.
        Nobody = "NOBODY",
    }
}

text_enum! {
    /// Why an open lead counts as unattended.
    pub enum UnattendedReason {
        /// It has no owner, no queue and no dated re-evaluation.
        Nobody = "NOBODY",
        /// Sales owes an answer to the hand-off.
        NotAccepted = "NOT_ACCEPTED",
        /// Sales owes the first human touch.
        NotTouched = "NOT_TOUCHED",
        /// Sales owes an outcome.
        NotDispositioned = "NOT_DISPOSITIONED",
    }
}

impl UnattendedReason {
    /// What an overdue clock of the kind says of its lead.
    pub fn of(kind: ClockKind) -> Option<UnattendedReason> {
        match kind {
            ClockKind::Accept => Some(UnattendedReason::NotAccepted),
            ClockKind::FirstTouch => Some(UnattendedReason::NotTouched),
            ClockKind::Disposition => Some(UnattendedReason::NotDispositioned),
            _ => None,
        }
    }
}

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
