//! Win/loss analysis: how cycles ended, why, what they were worth and how long they took, by whatever they are counted by.

use std::collections::BTreeMap;

use crate::dimension::Group;
use crate::passage::Passage;
use crate::quantile::{median, quantile};
use crate::share::Share;
use crate::stage::CycleOutcome;

/// Cycles that ended, of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub won: u64,
    pub lost: u64,
    pub recycled: u64,
    pub disqualified: u64,
    /// What won deals were won with; unknown amounts count as 0.
    pub revenue_minor: i64,
    /// Won deals whose amount nobody knows.
    pub without_amount: u64,
    amounts: Vec<i64>,
    won_took: Vec<i64>,
    lost_took: Vec<i64>,
}

/// What came of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndsRow {
    pub group: Group,
    pub ends: Ends,
    /// Won, of those that were won or lost.
    pub rate: Share,
    /// Of the won deals whose amount is known, in minor units.
    pub median_minor: Option<i64>,
    /// From opening to win, in milliseconds.
    pub median_won: Option<i64>,
    /// From opening to loss, in milliseconds.
    pub median_lost: Option<i64>,
}

impl Ends {
    pub fn add(&mut self, passage: &Passage, amount_minor: Option<i64>) {
        match passage.outcome {
            CycleOutcome::Won => {
                self.won += 1;
                self.won_took.extend(passage.lasted());
                match amount_minor {
                    Some(minor) => {
                        self.revenue_minor = self.revenue_minor.saturating_add(minor);
                        self.amounts.push(minor);
                    }
                    None => self.without_amount += 1,
                }
            }
            CycleOutcome::Lost => {
                self.lost += 1;
                self.lost_took.extend(passage.lasted());
            }
            CycleOutcome::Recycled => self.recycled += 1,
            CycleOutcome::Disqualified => self.disqualified += 1,
            CycleOutcome::Open | CycleOutcome::Merged | CycleOutcome::Erased => {}
        }
    }

    pub fn finish(mut self, group: Group) -> EndsRow {
        let rate = Share::of(self.won, self.won + self.lost);
        let (median_minor, median_won) = (median(&mut self.amounts), median(&mut self.won_took));
        let median_lost = median(&mut self.lost_took);
        EndsRow { group, rate, median_minor, median_won, median_lost, ends: self }
    }
}

impl EndsRow {
    /// Amounts that a quarter and three quarters of the won deals did not exceed, in minor units.
    pub fn middle_half(&self) -> Option<(i64, i64)> {
        quantile(&self.ends.amounts, 25).zip(quantile(&self.ends.amounts, 75))
    }
}

/// Ended cycles by group.
#[derive(Clone, Debug, Default)]
pub struct WinLoss(BTreeMap<Group, Ends>);

impl WinLoss {
    pub fn add(&mut self, passage: &Passage, amount_minor: Option<i64>, group: Group) {
        if passage.is_told() {
            self.0.entry(group).or_default().add(passage, amount_minor);
        }
    }

    /// The groups with the most decided deals first; the others last.
    pub fn finish(self) -> Vec<EndsRow> {
        let mut rows: Vec<EndsRow> = self.0.into_iter().map(|(group, ends)| ends.finish(group)).collect();
        rows.sort_by(|a, b| {
            let size = |row: &EndsRow| (row.rate.of, row.ends.recycled + row.ends.disqualified);
            (a.group.is_others().cmp(&b.group.is_others()))
                .then_with(|| size(b).cmp(&size(a)))
                .then_with(|| a.group.cmp(&b.group))
        });
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::tests::passage;
    use crate::stage::StageKind::Inquiry;
    use crate::time::DAY;

    #[test]
    fn a_group_tells_rate_amounts_and_times_of_its_deals() {
        let mut found = WinLoss::default();
        let group = |key: &str| Group::Values(vec![Some(key.to_owned())]);
        let ended = |days: i64, outcome| passage(&[(0, Inquiry, &[])], Some((days, outcome)));
        for (days, minor) in [(10, Some(300)), (20, Some(100)), (40, None)] {
            found.add(&ended(days, CycleOutcome::Won), minor, group("a"));
        }
        for days in [1, 3] {
            found.add(&ended(days, CycleOutcome::Lost), None, group("a"));
        }
        found.add(&ended(5, CycleOutcome::Recycled), None, group("b"));
        found.add(&ended(5, CycleOutcome::Merged), None, group("c"));
        found.add(&passage(&[(0, Inquiry, &[])], None), None, group("c"));
        let rows = found.finish();
        assert_eq!(rows.iter().map(|row| row.group.key()).collect::<Vec<_>>(), [Some("a"), Some("b")]);
        let a = &rows[0];
        assert_eq!((a.rate, a.ends.revenue_minor, a.ends.without_amount), (Share::of(3, 5), 400, 1));
        let told = (a.median_minor, a.median_won, a.median_lost, a.middle_half());
        assert_eq!(told, (Some(100), Some(20 * DAY), Some(DAY), Some((100, 300))));
        assert_eq!((rows[1].rate.of, rows[1].ends.recycled), (0, 1));
    }
}
