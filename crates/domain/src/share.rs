//! Shares of small samples, with what can honestly be said of them.

use serde::{Deserialize, Serialize};

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Those that it is true of.
    pub count: u64,
    /// All that were looked at.
    pub of: u64,
}

/// `part` of `of` in basis points, to the nearest; none of nothing.
pub fn basis_points(part: i64, of: i64) -> Option<i32> {
    let points = (i128::from(part) * 20_000 + i128::from(of)).checked_div(2 * i128::from(of))?;
    i32::try_from(points).ok()
}

/// Both ends of a 95 % interval, as fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The 97.5th percentile of the standard normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

impl Share {
    pub fn of(count: u64, of: u64) -> Share {
        Share { count: count.min(of), of }
    }

    /// Zero of nothing.
    pub fn fraction(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    pub fn basis_points(self) -> i32 {
        (self.fraction() * 10_000.0).round() as i32
    }

    /// The score interval of E. B. Wilson (1927), which holds its promise for small samples and shares near 0 or 1.
    pub fn interval(self) -> Interval {
        if self.of == 0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let (n, p) = (self.of as f64, self.fraction());
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Interval { low: ((centre - spread) / scale).max(0.0), high: ((centre + spread) / scale).min(1.0) }
    }

    /// By how much this share is above the other one, with the interval of R. G. Newcombe (1998, method 10), which joins two
    /// Wilson intervals.
    pub fn above(self, other: Share) -> (f64, Interval) {
        let (a, b) = (self.interval(), other.interval());
        let (p, q) = (self.fraction(), other.fraction());
        let difference = p - q;
        let low = difference - ((p - a.low).powi(2) + (b.high - q).powi(2)).sqrt();
        let high = difference + ((a.high - p).powi(2) + (q - b.low).powi(2)).sqrt();
        (difference, Interval { low, high })
    }

    /// The probability that chance alone sets two equal shares as far apart: the two-sided test of two proportions with the
    /// pooled share, which is Pearson's chi-square with one degree of freedom (1900).
    pub fn chance(self, other: Share) -> f64 {
        if self.of == 0 || other.of == 0 {
            return 1.0;
        }
        let (n, m) = (self.of as f64, other.of as f64);
        let pooled = (self.count + other.count) as f64 / (n + m);
        let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
        if error == 0.0 {
            return 1.0;
        }
        tails((self.fraction() - other.fraction()) / error)
    }
}

/// The share of the standard normal distribution beyond `z` on both sides, by the series of the error function near the middle
/// and its continued fraction in the tails (Abramowitz and Stegun 1964, 7.1.5 and 7.1.14).
fn tails(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    if x < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return 1.0 - std::f64::consts::FRAC_2_SQRT_PI * sum;
    }
    let fraction = (1..60).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below);
    (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt())
}

/// Which of many tests differ beyond chance when all are looked at together: the step-down procedure of S. Holm (1979,
/// Scandinavian Journal of Statistics 6, 65-70) keeps the probability of one false finding among all of them at 5 %. None takes
/// no part.
pub fn holm(chances: &[Option<f64>]) -> Vec<bool> {
    let mut order: Vec<(usize, f64)> =
        chances.iter().enumerate().filter_map(|(place, chance)| Some((place, (*chance)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (tests, mut found) = (order.len(), vec![false; chances.len()]);
    for (rank, (place, chance)) in order.into_iter().enumerate() {
        if chance * (tests - rank) as f64 > 0.05 {
            break;
        }
        found[place] = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.000_5, "{found} is not {expected}");
    }

    #[test]
    fn the_intervals_are_those_of_the_literature() {
        // Newcombe (1998), tables I and II: 81/263, 15/148, 0/20, 1/29; 56/70 against 48/80, 9/10 against 3/10.
        for ((count, of), (low, high)) in [
            ((81, 263), (0.2553, 0.3662)),
            ((15, 148), (0.0624, 0.1605)),
            ((0, 20), (0.0, 0.1611)),
            ((1, 29), (0.0061, 0.1718)),
        ] {
            let found = Share::of(count, of).interval();
            near(found.low, low);
            near(found.high, high);
        }
        for (a, b, (low, high)) in [
            (Share::of(56, 70), Share::of(48, 80), (0.0524, 0.3339)),
            (Share::of(9, 10), Share::of(3, 10), (0.1705, 0.8090)),
        ] {
            let (_, found) = a.above(b);
            near(found.low, low);
            near(found.high, high);
        }
    }

    #[test]
    fn chance_is_that_of_the_normal_distribution() {
        for (z, expected) in [
            (0.0, 1.0),
            (1.0, 0.317_311),
            (1.959_964, 0.05),
            (2.575_829, 0.01),
            (3.6, 0.000_318),
            (5.0, 5.733e-7),
        ] {
            let found = tails(z);
            assert!((found - expected).abs() < expected * 0.001, "{z}: {found} is not {expected}");
        }
        // By hand: a difference of 0.2 over a standard error of 0.07547.
        near(Share::of(56, 70).chance(Share::of(48, 80)), 0.008_04);
        assert_eq!(Share::of(0, 10).chance(Share::of(0, 10)), 1.0);
    }

    #[test]
    fn of_many_tests_the_procedure_of_holm_keeps_few() {
        let chances = [Some(0.01), None, Some(0.04), Some(0.03), Some(0.005)];
        assert_eq!(holm(&chances), [true, false, false, false, true]);
        assert_eq!(holm(&[]), Vec::<bool>::new());
    }

    #[test]
    fn nothing_says_nothing() {
        let (_, difference) = Share::default().above(Share::of(10, 10));
        assert!(difference.low < 0.0 && Share::default().interval().high == 1.0);
    }
}
