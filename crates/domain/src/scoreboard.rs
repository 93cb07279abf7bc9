//! The scoreboard: what each side promised in the charter beside what came of it.

/// Attainments by their weights, each counting as 10000 at most, so that one promise that was more than kept hides no other.
pub fn score(parts: &[(i64, u32)]) -> Option<i64> {
    let weights: i64 = parts.iter().map(|(_, weight)| i64::from(*weight)).sum();
    let sum: i64 = parts.iter().map(|(points, weight)| (*points).clamp(0, 10_000) * i64::from(*weight)).sum();
    sum.checked_div(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_more_than_kept_hides_nothing() {
        assert_eq!(score(&[(15_000, 1), (5_000, 3)]), Some(6_250));
        assert_eq!(score(&[]), None);
    }
}
