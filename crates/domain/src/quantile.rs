//! Quantiles of durations and amounts, by nearest rank: a quantile is always a value that was seen, so that whole numbers stay
//! whole (Hyndman and Fan 1996, "Sample Quantiles in Statistical Packages", The American Statistician 50, definition 1).

use crate::time::{DAY, HOUR, MINUTE};

/// The smallest value that at least so many per cent of the values do not exceed. Values are sorted. None of none.
pub fn quantile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Median of values in any order.
pub fn median(values: &mut [i64]) -> Option<i64> {
    values.sort_unstable();
    quantile(values, 50)
}

/// Milliseconds as days, a decimal number with two places, rounded to the nearest: `12.90`.
pub fn days(ms: i64) -> String {
    decimal(ms, DAY)
}

/// Milliseconds as hours, a decimal number with two places.
pub fn hours(ms: i64) -> String {
    decimal(ms, HOUR)
}

/// Milliseconds as minutes, a decimal number with two places.
pub fn minutes(ms: i64) -> String {
    decimal(ms, MINUTE)
}

fn decimal(ms: i64, unit: i64) -> String {
    let hundredths = (i128::from(ms) * 200 + i128::from(unit)).div_euclid(2 * i128::from(unit));
    let (sign, all) = if hundredths < 0 { ("-", -hundredths) } else { ("", hundredths) };
    format!("{sign}{}.{:02}", all / 100, all % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_at_its_rank() {
        let values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let cases = [(1, 1), (10, 1), (11, 2), (25, 3), (50, 5), (75, 8), (90, 9), (91, 10), (100, 10)];
        for (percent, expected) in cases {
            assert_eq!(quantile(&values, percent), Some(expected), "{percent} %");
        }
        assert_eq!(quantile(&[], 50), None);
        assert_eq!(median(&mut [9, 1, 5]), Some(5));
    }

    #[test]
    fn durations_are_rounded_to_two_places() {
        let cases = [(0, "0.00"), (DAY, "1.00"), (DAY / 2, "0.50"), (DAY / 3, "0.33"), (2 * DAY / 3, "0.67")];
        for (ms, expected) in cases {
            assert_eq!(days(ms), expected, "{ms}");
        }
        assert_eq!(hours(DAY + HOUR / 4), "24.25");
        assert_eq!(minutes(HOUR + MINUTE / 2), "60.50");
    }
}
