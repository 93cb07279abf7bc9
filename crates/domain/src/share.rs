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
const Z: f64 = 1.959_963_984_540_054;

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
    fn nothing_says_nothing() {
        let (_, difference) = Share::default().above(Share::of(10, 10));
        assert!(difference.low < 0.0 && Share::default().interval().high == 1.0);
    }
}
