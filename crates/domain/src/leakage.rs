//! What is lost at the hand-off from marketing to sales: what became of the leads that were offered, why, and what that was worth.

use std::collections::BTreeMap;

use crate::handoff::HandoffStatus;
use crate::share::Share;

/// Hand-offs that went the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakageRow {
    pub status: HandoffStatus,
    /// Disposition reason of a rejection.
    pub reason: Option<String>,
    /// Of all hand-offs that were offered.
    pub share: Share,
    /// What as many accepted hand-offs brought, in minor units.
    pub value_minor: i64,
}

/// Hand-offs by what became of them.
#[derive(Clone, Debug, Default)]
pub struct Leakage {
    counts: BTreeMap<(HandoffStatus, Option<String>), u64>,
    /// Hand-offs that were offered.
    pub offered: u64,
    /// Of them, those that sales took on.
    pub accepted: u64,
    /// What the cycles that sales took on were won with until now, in minor units.
    pub revenue_minor: i64,
}

impl Leakage {
    /// Counts a hand-off; the amount is that of its cycle, if it was won.
    pub fn add(&mut self, status: HandoffStatus, reason: Option<String>, won_minor: Option<i64>) {
        self.offered += 1;
        if status == HandoffStatus::Accepted {
            self.accepted += 1;
            self.revenue_minor = self.revenue_minor.saturating_add(won_minor.unwrap_or(0));
        }
        *self.counts.entry((status, reason)).or_default() += 1;
    }

    /// Whether a lead that went so was lost on the way.
    pub fn is_lost(status: HandoffStatus) -> bool {
        matches!(status, HandoffStatus::Rejected | HandoffStatus::Returned | HandoffStatus::Expired)
    }

    /// What an accepted hand-off brought on average, in minor units, rounded down.
    pub fn per_accepted(&self) -> i64 {
        self.revenue_minor.checked_div(i64::try_from(self.accepted).unwrap_or(i64::MAX)).unwrap_or(0)
    }

    /// Hand-offs that were lost.
    pub fn lost(&self) -> u64 {
        let lost = self.counts.iter().filter(|((status, _), _)| Leakage::is_lost(*status));
        lost.map(|(_, count)| count).sum()
    }

    /// The most frequent first.
    pub fn rows(&self) -> Vec<LeakageRow> {
        let row = |((status, reason), count): (&(HandoffStatus, Option<String>), &u64)| {
            // The mean is applied to the sum, so that rounding does not add up.
            let value =
                i128::from(self.revenue_minor) * i128::from(*count) / i128::from(self.accepted.max(1));
            let lost = Leakage::is_lost(*status);
            LeakageRow {
                status: *status,
                reason: reason.clone(),
                share: Share::of(*count, self.offered),
                value_minor: if lost { i64::try_from(value).unwrap_or(i64::MAX) } else { 0 },
            }
        };
        let mut rows: Vec<LeakageRow> = self.counts.iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.share.count));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HandoffStatus::{Accepted, Expired, Pending, Rejected};

    #[test]
    fn what_leaks_is_worth_what_as_many_accepted_hand_offs_brought() {
        let mut found = Leakage::default();
        found.add(Accepted, None, Some(1_000));
        found.add(Accepted, None, None);
        found.add(Accepted, None, None);
        for reason in ["NOT_ICP", "NOT_ICP", "SPAM"] {
            found.add(Rejected, Some(reason.to_owned()), None);
        }
        found.add(Expired, None, None);
        found.add(Pending, None, None);
        assert_eq!((found.offered, found.accepted, found.lost(), found.per_accepted()), (8, 3, 4, 333));
        let told: Vec<_> = found
            .rows()
            .into_iter()
            .map(|row| (row.status, row.reason.unwrap_or_default(), row.share.count, row.value_minor))
            .collect();
        assert!(told.contains(&(Rejected, "NOT_ICP".into(), 2, 666)), "{told:?}");
        assert!(
            told.contains(&(Expired, String::new(), 1, 333))
                && told.contains(&(Accepted, String::new(), 3, 0))
        );
        assert_eq!(Leakage::default().per_accepted(), 0);
    }
}
