//! The statistics of a backtest. Every interval has a confidence of 95 %, and every number that leaves is a whole one.
//!
//! - Shares: the score interval of Wilson (1927), Journal of the American Statistical Association 22, 209-212.
//! - Ratios: the log interval of Katz, Baptista, Azen and Pike (1978), Biometrics 34, 469-474.
//! - Differences of shares: the hybrid score interval of Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.

use serde::{Deserialize, Serialize};

use crate::number::Long;

/// Of the normal distribution: 95 % lie within so many standard deviations.
const Z: f64 = 1.959_963_985;

/// What 1 is in basis points.
pub const ONE: u32 = 10_000;

/// A part of a whole, with the interval in which the true share lies with a confidence of 95 % (Wilson's score interval).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestShare"))]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Leads that are meant.
    pub part: Long,
    /// Leads among which they were counted.
    pub whole: Long,
    /// 0 to 10000; 0 where nothing was counted.
    pub basis_points: u32,
    /// Lower end of the interval, in basis points.
    pub low: u32,
    /// Upper end of the interval, in basis points.
    pub high: u32,
}

impl Share {
    /// Part and whole.
    pub(super) fn counts(self) -> (u32, u32) {
        let [part, whole] =
            [self.part, self.whole].map(|Long(count)| u32::try_from(count).unwrap_or(u32::MAX));
        (part, whole)
    }

    pub fn of(part: u32, whole: u32) -> Share {
        let (low, high) = wilson(part, whole);
        let basis_points = points(ratio(part, whole));
        Share { part: part.into(), whole: whole.into(), basis_points, low: points(low), high: points(high) }
    }
}

/// How many times as many of the advanced leads were good as of all leads: 10000 is "as many", 20000 "twice as many".
///
/// The interval is Katz's for the ratio of two shares, of the leads that advance to those that do not, carried over to the
/// base: with a share `w` of leads that advance, a ratio `r` is a lift of `r / (w r + 1 - w)`. So the lift's interval holds 1
/// exactly when the ratio's does. Where one of the two has no good lead, half a lead is added to each (Haldane and Anscombe).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestLift"))]
#[serde(rename_all = "camelCase")]
pub struct Lift {
    /// In basis points: 10000 is no lift.
    pub basis_points: u32,
    /// Lower end of the interval of 95 %, in basis points.
    pub low: u32,
    /// Upper end of the interval of 95 %, in basis points.
    pub high: u32,
}

impl Lift {
    /// `right` of `advanced` leads were good, as `good` of all `judged`. None where there is nothing to compare: no lead or
    /// every lead advances, or none was good.
    pub fn of(right: u32, advanced: u32, good: u32, judged: u32) -> Option<Lift> {
        if advanced == 0 || advanced >= judged || good == 0 {
            return None;
        }
        let (mut a, mut n1) = (f64::from(right), f64::from(advanced));
        let (mut c, mut n0) = (f64::from(good - right), f64::from(judged - advanced));
        let share = n1 / (n1 + n0);
        if right == 0 || right == good {
            (a, n1, c, n0) = (a + 0.5, n1 + 1.0, c + 0.5, n0 + 1.0);
        }
        let risk = (a / n1) / (c / n0);
        let error = (1.0 / a - 1.0 / n1 + 1.0 / c - 1.0 / n0).max(0.0).sqrt();
        let over_base = |ratio: f64| points(ratio / (share * ratio + 1.0 - share));
        let ends = [-Z, Z].map(|z| over_base(risk * (z * error).exp()));
        let lift = ratio(right, advanced) / ratio(good, judged);
        Some(Lift { basis_points: points(lift), low: ends[0], high: ends[1] })
    }

    /// Whether the interval holds 1: then nobody can say that the rule picks better than chance.
    pub fn may_be_none(self) -> bool {
        self.low <= ONE && ONE <= self.high
    }
}

/// Whether two shares differ beyond chance, by the interval of their difference.
pub fn differ(a: Share, b: Share) -> bool {
    let [(a, n), (b, m)] = [a, b].map(Share::counts);
    if n == 0 || m == 0 {
        return false;
    }
    let of = |part: u32, whole: u32| crate::share::Share::of(u64::from(part), u64::from(whole));
    let (_, interval) = of(a, n).above(of(b, m));
    interval.low > 0.0 || interval.high < 0.0
}

fn wilson(part: u32, whole: u32) -> (f64, f64) {
    let interval = crate::share::Share::of(u64::from(part), u64::from(whole)).interval();
    (interval.low, interval.high)
}

fn ratio(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
}

/// To basis points, rounded. `as` stops at the ends of the type.
pub(super) fn points(value: f64) -> u32 {
    (value * f64::from(ONE)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_interval_of_wilson() {
        // Newcombe (1998), two-sided confidence intervals for the single proportion, table I, method 3.
        for (part, whole, low, high) in
            [(81, 263, 2_553, 3_662), (15, 148, 624, 1_605), (0, 20, 0, 1_611), (1, 29, 61, 1_718)]
        {
            let share = Share::of(part, whole);
            assert_eq!((share.low, share.high), (low, high), "{part} of {whole}");
        }
        assert_eq!(
            Share::of(0, 0),
            Share { part: Long(0), whole: Long(0), basis_points: 0, low: 0, high: ONE }
        );
    }

    #[test]
    fn differences_have_the_interval_of_newcombe() {
        // Newcombe (1998), interval estimation for the difference, table II, method 10: 56/70 - 48/80 is .0524 to .3339.
        assert!(differ(Share::of(56, 70), Share::of(48, 80)));
        // 9/10 - 3/10 is .1705 to .8090, 5/56 - 0/29 is -.0381 to .1926.
        assert!(differ(Share::of(9, 10), Share::of(3, 10)));
        assert!(!differ(Share::of(5, 56), Share::of(0, 29)));
        assert!(!differ(Share::of(0, 0), Share::of(3, 10)));
    }

    #[test]
    fn lift_holds_one_exactly_when_the_ratio_of_katz_does() {
        // 30 of 60 against 20 of 80: a ratio of 2, and by hand an interval of 1.27 to 3.15.
        let lift = Lift::of(30, 60, 50, 140).unwrap();
        assert_eq!(lift.basis_points, 14_000);
        let over_base = |ratio: f64| points(ratio / (60.0 / 140.0 * ratio + 80.0 / 140.0));
        let error = (1.0 / 30.0 - 1.0 / 60.0 + 1.0 / 20.0 - 1.0 / 80.0_f64).sqrt();
        assert_eq!(lift.low, over_base(2.0 * (-Z * error).exp()));
        assert_eq!(lift.high, over_base(2.0 * (Z * error).exp()));
        assert!(!lift.may_be_none());
        assert!(Lift::of(50, 100, 100, 200).unwrap().may_be_none());
        assert!(Lift::of(0, 10, 50, 200).is_some_and(|lift| lift.low < lift.high));
        for nothing in [(0, 0, 5, 10), (5, 10, 5, 10), (0, 5, 0, 10)] {
            assert_eq!(Lift::of(nothing.0, nothing.1, nothing.2, nothing.3), None);
        }
    }
}
