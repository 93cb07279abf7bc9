//! Retention: whether a customer bought again, and whether it brings others.

use crate::passage::Passage;
use crate::share::{Interval, Share, Z};
use crate::stage::{CycleOutcome, StageKind};
use crate::time::DAY;

/// A lead that was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Won<'p> {
    /// The cycle of its first win.
    pub first: &'p Passage,
    /// Milliseconds from the first win to the next one.
    pub returned: Option<i64>,
    /// Whether it became an advocate.
    pub advocate: bool,
}

/// By all cycles of the lead, in order; none if it was never won.
pub fn won(cycles: &[Passage]) -> Option<Won<'_>> {
    let mut wins = cycles.iter().filter(|one| one.outcome == CycleOutcome::Won);
    let first = wins.next()?;
    let again = wins.next().and_then(|next| next.closed_at);
    let returned = again.zip(first.closed_at).map(|(again, first)| again.since(first).max(0));
    let advocate = cycles.iter().any(|one| one.entered(StageKind::Advocate).is_some());
    Some(Won { first, returned, advocate })
}

/// How long customers stay: time from the first win until they left, or until now for those that did not leave yet.
#[derive(Clone, Debug, Default)]
pub struct Stays {
    /// Milliseconds, and whether the customer left then.
    stays: Vec<(i64, bool)>,
}

/// The share of customers that had not left after a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Days since the first win.
    pub days: u32,
    /// Customers that were seen for so long and had not left before.
    pub at_risk: u64,
    /// The share that stays so long.
    pub share: f64,
    /// With 95 % confidence.
    pub interval: Interval,
}

impl Stays {
    pub fn add(&mut self, ms: i64, left: bool) {
        self.stays.push((ms.max(0), left));
    }

    /// The product-limit estimate of E. L. Kaplan and P. Meier (1958): whoever has not left yet counts for as long as it was seen,
    /// so that young customers make the share neither better nor worse. Its interval is M. Greenwood's (1926) on the scale of
    /// log(-log), which stays between 0 and 1. None for a time that nobody was seen for.
    pub fn kept(mut self, days: &[u32]) -> Vec<Kept> {
        // Who left at an instant was still at risk when others were last seen at it.
        self.stays.sort_unstable_by_key(|(ms, left)| (*ms, !left));
        let mut found = vec![];
        let (mut share, mut spread, mut place) = (1.0_f64, 0.0_f64, 0);
        for days in days {
            let until = i64::from(*days) * DAY;
            while let Some((_, left)) = self.stays.get(place).filter(|(ms, _)| *ms < until) {
                let at_risk = (self.stays.len() - place) as f64;
                if *left {
                    share *= 1.0 - 1.0 / at_risk;
                    spread += 1.0 / (at_risk * (at_risk - 1.0).max(f64::MIN_POSITIVE));
                }
                place += 1;
            }
            let at_risk = (self.stays.len() - place) as u64;
            if share <= 0.0 {
                // All of them left: of so many none stayed so long.
                let none = Share::of(0, self.stays.len() as u64);
                found.push(Kept { days: *days, at_risk, share: 0.0, interval: none.interval() });
                continue;
            }
            if at_risk == 0 {
                break;
            }
            let interval = if share < 1.0 {
                let log = share.ln();
                let width = Z * spread.sqrt() / log.abs();
                Interval { low: share.powf(width.exp()), high: share.powf((-width).exp()) }
            } else {
                // Nobody left: what so many can say of a share.
                Share::of(at_risk, at_risk).interval()
            };
            found.push(Kept { days: *days, at_risk, share, interval });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::tests::passage;
    use StageKind::{Advocate, Customer as Won, Inquiry};

    #[test]
    fn a_customer_returns_with_the_next_win() {
        let lost = passage(&[(0, Inquiry, &[])], Some((1, CycleOutcome::Lost)));
        let first = passage(&[(2, Inquiry, &[]), (5, Won, &[])], Some((5, CycleOutcome::Won)));
        let again =
            passage(&[(6, Inquiry, &[]), (15, Won, &[]), (16, Advocate, &[])], Some((15, CycleOutcome::Won)));
        let told =
            |cycles: &[Passage]| won(cycles).map(|one| (one.returned.map(|ms| ms / DAY), one.advocate));
        assert_eq!(told(std::slice::from_ref(&lost)), None);
        assert_eq!(told(&[lost.clone(), first.clone()]), Some((None, false)));
        assert_eq!(told(&[first.clone(), lost, again]), Some((Some(10), true)));
    }

    #[test]
    fn whoever_has_not_left_counts_for_as_long_as_it_was_seen() {
        // The remission times of 21 patients on 6-MP (Freireich et al. 1963), as textbooks work them out: weeks, and whether it ended.
        let seen = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+";
        let mut stays = Stays::default();
        for one in seen.split(' ') {
            let weeks: i64 = one.trim_end_matches('+').parse().unwrap();
            stays.add(weeks * 7 * DAY, !one.ends_with('+'));
        }
        let after = |weeks: u32| weeks * 7 + 1;
        let kept = stays.kept(&[6, 7, 10, 13, 16, 22, 23, 36].map(after));
        let told: Vec<(u64, f64)> =
            kept.iter().map(|one| (one.at_risk, (one.share * 1_000.0).round() / 1_000.0)).collect();
        let expected =
            [(17, 0.857), (16, 0.807), (13, 0.753), (11, 0.690), (10, 0.627), (6, 0.538), (5, 0.448)];
        assert_eq!(told, expected, "none for a time that nobody was seen for");
        let last = kept.last().unwrap().interval;
        assert_eq!([(last.low * 1_000.0).round(), (last.high * 1_000.0).round()], [188.0, 680.0]);
    }

    #[test]
    fn where_nobody_left_few_customers_promise_little() {
        let mut stays = Stays::default();
        (0..4).for_each(|_| stays.add(100 * DAY, false));
        let kept = stays.kept(&[90])[0];
        assert_eq!((kept.at_risk, kept.share, kept.interval.high), (4, 1.0, 1.0));
        assert!(kept.interval.low < 0.6, "{:?}", kept.interval);
    }

    #[test]
    fn that_everybody_left_is_told() {
        let mut stays = Stays::default();
        (0..4).for_each(|_| stays.add(10 * DAY, true));
        let kept = stays.kept(&[5, 30, 365]);
        let told: Vec<_> = kept.iter().map(|one| (one.days, one.at_risk, one.share)).collect();
        assert_eq!(told, [(5, 4, 1.0), (30, 0, 0.0), (365, 0, 0.0)]);
        assert!(kept[1].interval.high > 0.4, "four customers say little: {:?}", kept[1].interval);
    }
}
