//! Values that fade with time, in integers: a replay must give the same on every machine.

/// Milliseconds of a day.
pub const DAY: i64 = 86_400_000;

/// What [`remaining`] answers when nothing has faded.
pub const SCALE: i64 = 65_536;

/// 2^(-k/16) of `SCALE`.
const STEPS: [i64; 17] = [
    65_536, 62_757, 60_097, 57_549, 55_109, 52_773, 50_535, 48_393, 46_341, 44_376, 42_495, 40_693, 38_968,
    37_316, 35_734, 34_219, 32_768,
];

/// `points` after `age` milliseconds, half of them each `half_life` days; rounded to the nearest, halves away from zero.
/// An instant in the future counts as now.
pub fn decayed(points: i32, age: i64, half_life: u32) -> i32 {
    let Some((factor, halvings)) = faded(age, half_life) else { return 0 };
    let scaled = i64::from(points.abs()) * factor;
    let whole = SCALE << halvings;
    let rounded = ((scaled + whole / 2) / whole) as i32;
    if points < 0 { -rounded } else { rounded }
}

/// What is left of [`SCALE`] after `age` milliseconds, half of it each `half_life` days.
pub fn remaining(age: i64, half_life: u32) -> i64 {
    faded(age, half_life).map_or(0, |(factor, halvings)| (factor + (1 << halvings) / 2) >> halvings)
}

/// A factor of `SCALE`, to be halved so many times; none when nothing is left.
fn faded(age: i64, half_life: u32) -> Option<(i64, i64)> {
    let (age, half_life) = (age.max(0), i64::from(half_life.max(1)) * DAY);
    let halvings = age / half_life;
    if halvings >= 32 {
        return None;
    }
    // Linear between two sixteenths of a half-life: at most 0.03 % off.
    let at = (age % half_life) * 16;
    let (step, rest) = ((at / half_life) as usize, at % half_life);
    Some((STEPS[step] - (STEPS[step] - STEPS[step + 1]) * rest / half_life, halvings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_left_after_a_half_life() {
        assert_eq!(decayed(20, 0, 14), 20);
        assert_eq!(decayed(20, 14 * DAY, 14), 10);
        assert_eq!(decayed(20, 28 * DAY, 14), 5);
        assert_eq!(decayed(-20, 14 * DAY, 14), -10);
        assert_eq!(decayed(1_000, 7 * DAY, 14), 707);
        assert_eq!(decayed(20, 10_000 * DAY, 14), 0);
        assert_eq!(decayed(20, -DAY, 14), 20);
        assert_eq!(
            (remaining(0, 14), remaining(14 * DAY, 14), remaining(28 * DAY, 14)),
            (SCALE, SCALE / 2, SCALE / 4)
        );
        assert_eq!(remaining(10_000 * DAY, 14), 0);
    }

    #[test]
    fn points_never_rise_with_age() {
        let points: Vec<i32> = (0..2_000).map(|hours| decayed(1_000, hours * DAY / 24, 10)).collect();
        assert!(points.windows(2).all(|pair| pair[0] >= pair[1]));
    }
}
