//! Where the two sides rub: kinds of trouble that are counted and ranked.

use crate::text::text_enum;

text_enum! {
    /// What kind of trouble it is.
    pub enum FrictionKind {
        /// Sales rejected or returned hand-offs for a reason.
        RejectedHandoff = "REJECTED_HANDOFF",
        /// Cycles ended for a reason without a win.
        Drop = "DROP",
        /// A promise of a kind was broken.
        BrokenPromise = "BROKEN_PROMISE",
        /// Open leads have stood at a stage of sales' for two weeks or longer.
        Stall = "STALL",
    }
}

/// Days after which an open lead at one of sales' stages stalls.
pub const STALLED_DAYS: i64 = 14;
