//! Effort: the time that sales spends on leads, beside what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::dimension::Group;
use crate::passage::Passage;
use crate::refused::Refused;
use crate::share::basis_points;
use crate::stage::{CycleOutcome, StageKind};
use crate::text::text_enum;
use crate::time::{DAY, Instant};

text_enum! {
    /// What time was spent on.
    pub enum EffortKind {
        /// Finding out about the buyer.
        Research = "RESEARCH",
        /// Telephone calls.
        Call = "CALL",
        /// Reading and writing.
        Email = "EMAIL",
        /// Meetings, with what prepares them.
        Meeting = "MEETING",
        /// On the way.
        Travel = "TRAVEL",
        /// Writing an offer.
        Proposal = "PROPOSAL",
        /// Records, forms, appointments.
        Administration = "ADMINISTRATION",
        /// Anything else.
        Other = "OTHER",
    }
}

/// Time that somebody spent on a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    pub id: Uuid,
    pub lead: Uuid,
    /// The cycle that was open then.
    pub cycle: u32,
    pub user: Uuid,
    pub minutes: u32,
    pub kind: EffortKind,
    /// When the work was done.
    pub at: Instant,
    pub recorded_at: Instant,
    /// It counts no more since then.
    pub withdrawn_at: Option<Instant>,
}

/// Most minutes of one entry: a day.
pub const MOST_MINUTES: i64 = 24 * 60;

/// Minutes and time of an entry, as far as they make sense.
pub fn check(minutes: i64, at: Instant, now: Instant) -> Result<u32, Refused> {
    if at < Instant(0) || at > now.plus(DAY) {
        let message = format!("time was spent between 1970 and a day ahead, found {at}");
        return Err(Refused::invalid("input/at", message));
    }
    let fits =
        u32::try_from(minutes).ok().filter(|minutes| (1..=MOST_MINUTES).contains(&i64::from(*minutes)));
    fits.ok_or_else(|| {
        let message = format!(
            "1 to {MOST_MINUTES} minutes in one entry, found {minutes}; to correct an entry withdraw it by withdrawEffort"
        );
        Refused::invalid("input/minutes", message)
    })
}

/// Whether a cycle was a poor prospect: sales put it aside before there was a deal.
pub fn is_poor(passage: &Passage) -> bool {
    match passage.outcome {
        CycleOutcome::Disqualified => true,
        CycleOutcome::Recycled => passage.reached(StageKind::Opportunity).is_none(),
        _ => false,
    }
}

#[derive(Clone, Debug, Default)]
struct Tally {
    minutes: i64,
    poor_minutes: i64,
    leads: BTreeSet<Uuid>,
    won: u64,
    revenue_minor: i64,
    open: u64,
    pipeline_minor: i64,
}

/// Time and deals that are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffortRow {
    pub group: Group,
    pub minutes: i64,
    /// Of them, those on poor prospects.
    pub poor_minutes: i64,
    /// Leads on which time was spent.
    pub leads: u64,
    /// Of all minutes, in basis points; none without any.
    pub share: Option<i32>,
    /// Deals that were won in the window.
    pub won: u64,
    /// What they were won with, in minor units.
    pub revenue_minor: i64,
    /// Deals that are open now.
    pub open: u64,
    /// What they are worth, in minor units.
    pub pipeline_minor: i64,
}

impl EffortRow {
    /// Minutes for each deal that was won, to the nearest; none without one.
    pub fn per_win(&self) -> Option<i64> {
        per_win(self.minutes, self.won)
    }
}

fn per_win(minutes: i64, won: u64) -> Option<i64> {
    let won = i64::try_from(won).ok().filter(|won| *won > 0)?;
    Some((2 * minutes + won) / (2 * won))
}

/// Time and deals by group.
#[derive(Clone, Debug, Default)]
pub struct Efforts(BTreeMap<Group, Tally>);

/// What a report of effort comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffortFound {
    /// All groups together.
    pub all: EffortRow,
    /// Those with the most time first; the others last.
    pub rows: Vec<EffortRow>,
}

impl Efforts {
    /// Time of the window.
    pub fn spent(&mut self, group: Group, passage: &Passage, minutes: u32) {
        let tally = self.0.entry(group).or_default();
        tally.minutes += i64::from(minutes);
        if is_poor(passage) {
            tally.poor_minutes += i64::from(minutes);
        }
        tally.leads.insert(passage.lead);
    }

    /// A deal that was won in the window.
    pub fn won(&mut self, group: Group, amount_minor: Option<i64>) {
        let tally = self.0.entry(group).or_default();
        tally.won += 1;
        tally.revenue_minor = tally.revenue_minor.saturating_add(amount_minor.unwrap_or(0));
    }

    /// A deal that is open now.
    pub fn open(&mut self, group: Group, amount_minor: Option<i64>) {
        let tally = self.0.entry(group).or_default();
        tally.open += 1;
        tally.pipeline_minor = tally.pipeline_minor.saturating_add(amount_minor.unwrap_or(0));
    }

    pub fn finish(self) -> EffortFound {
        let mut all = Tally::default();
        for one in self.0.values() {
            all.minutes += one.minutes;
            all.poor_minutes += one.poor_minutes;
            all.leads.extend(&one.leads);
            all.won += one.won;
            all.revenue_minor = all.revenue_minor.saturating_add(one.revenue_minor);
            all.open += one.open;
            all.pipeline_minor = all.pipeline_minor.saturating_add(one.pipeline_minor);
        }
        let minutes = all.minutes;
        let row = |(group, tally): (Group, Tally)| EffortRow {
            group,
            minutes: tally.minutes,
            poor_minutes: tally.poor_minutes,
            leads: tally.leads.len() as u64,
            share: basis_points(tally.minutes, minutes).filter(|_| minutes > 0),
            won: tally.won,
            revenue_minor: tally.revenue_minor,
            open: tally.open,
            pipeline_minor: tally.pipeline_minor,
        };
        let mut rows: Vec<EffortRow> = self.0.into_iter().map(row).collect();
        rows.sort_by(|a, b| {
            (a.group.is_others().cmp(&b.group.is_others()))
                .then_with(|| (b.minutes, b.pipeline_minor).cmp(&(a.minutes, a.pipeline_minor)))
                .then_with(|| a.group.cmp(&b.group))
        });
        EffortFound { all: row((Group::all(), all)), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::tests::passage;
    use StageKind::{Inquiry, Mql, Opportunity, Sal};

    #[test]
    fn what_sales_put_aside_before_a_deal_was_a_poor_prospect() {
        let ended = |furthest: StageKind, outcome| {
            passage(&[(0, Inquiry, &[]), (1, Mql, &[]), (2, furthest, &[])], Some((9, outcome)))
        };
        for (furthest, outcome, expected) in [
            (Sal, CycleOutcome::Disqualified, true),
            (Opportunity, CycleOutcome::Disqualified, true),
            (Sal, CycleOutcome::Recycled, true),
            (Opportunity, CycleOutcome::Recycled, false),
            (Opportunity, CycleOutcome::Lost, false),
            (StageKind::Customer, CycleOutcome::Won, false),
            (Sal, CycleOutcome::Merged, false),
        ] {
            assert_eq!(is_poor(&ended(furthest, outcome)), expected, "{furthest} {outcome}");
        }
        assert!(!is_poor(&passage(&[(0, Inquiry, &[])], None)), "an open one may still become a deal");
    }

    #[test]
    fn shares_add_up_and_deals_stand_beside_the_time() {
        let group = |key: &str| Group::Values(vec![Some(key.to_owned())]);
        let poor = passage(&[(0, Sal, &[])], Some((3, CycleOutcome::Disqualified)));
        let open = passage(&[(0, Opportunity, &[])], None);
        let mut found = Efforts::default();
        found.spent(group("low"), &poor, 90);
        found.spent(group("low"), &poor, 30);
        found.spent(group("high"), &open, 60);
        found.spent(Group::Others, &open, 500);
        found.won(group("high"), Some(9_000));
        found.won(group("high"), None);
        found.open(group("high"), Some(100_000));
        let EffortFound { all, rows } = found.finish();
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (row.group.key().unwrap_or("others"), row.minutes, row.poor_minutes, row.leads, row.share)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("low", 120, 120, 1, Some(1_765)),
                ("high", 60, 0, 1, Some(882)),
                ("others", 500, 0, 1, Some(7_353)),
            ]
        );
        assert_eq!((rows[1].won, rows[1].revenue_minor, rows[1].per_win()), (2, 9_000, Some(30)));
        assert_eq!((rows[1].open, rows[1].pipeline_minor, rows[0].per_win()), (1, 100_000, None));
        assert_eq!((all.minutes, all.poor_minutes, all.per_win()), (680, 120, Some(340)));
        assert_eq!(Efforts::default().finish().all.share, None);
        assert_eq!(per_win(5, 2), Some(3), "half a minute counts up");
    }

    #[test]
    fn an_entry_has_a_day_of_minutes_at_most() {
        let now = Instant(10 * DAY);
        for (minutes, at, fits) in [
            (1, now, true),
            (1_440, now, true),
            (0, now, false),
            (-5, now, false),
            (1_441, now, false),
            (i64::MAX, now, false),
            (5, now.plus(2 * DAY), false),
            (5, Instant(-1), false),
        ] {
            assert_eq!(check(minutes, at, now).is_ok(), fits, "{minutes} {at}");
        }
    }
}
