//! Ratings: how many stars people of either side give a lead, a campaign or a piece of content, and for which closed reasons.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::stage::Side;
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// What can be rated.
    pub enum RatingSubject {
        /// A campaign.
        Campaign = "CAMPAIGN",
        /// A piece of content.
        Content = "CONTENT",
        /// A lead.
        Lead = "LEAD",
    }
}

text_enum! {
    /// Why somebody rated as they did.
    pub enum RatingReason {
        /// It reached those who buy.
        RightPeople = "RIGHT_PEOPLE",
        /// It reached others than those who buy.
        WrongPeople = "WRONG_PEOPLE",
        /// It came when it was needed.
        RightTime = "RIGHT_TIME",
        /// It came too early or too late.
        WrongTime = "WRONG_TIME",
        /// It helped a conversation on.
        Helped = "HELPED",
        /// Nobody answered to it.
        NoResponse = "NO_RESPONSE",
        /// What it says is right and of today.
        Accurate = "ACCURATE",
        /// What it says is wrong or of yesterday.
        Outdated = "OUTDATED",
        /// What one needs to go on is missing.
        Incomplete = "INCOMPLETE",
    }
}

/// One person's rating of one thing; a newer one takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    pub subject: RatingSubject,
    pub id: Uuid,
    pub user: Uuid,
    pub side: Side,
    /// 1 to 5.
    pub stars: u8,
    pub reasons: Vec<RatingReason>,
    pub at: Instant,
}

/// How often each number of stars was given; the place is stars − 1.
pub type Distribution = [i64; 5];

/// What people gave something, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub stars: Distribution,
    pub reasons: BTreeMap<RatingReason, i64>,
}

impl Tally {
    pub fn count(&self) -> i64 {
        self.stars.iter().sum()
    }

    /// The mean in hundredths of a star, half of one counted up; none without ratings.
    pub fn mean_hundredths(&self) -> Option<i32> {
        let count = self.count();
        let sum: i64 = self.stars.iter().zip(1..).map(|(times, stars)| times * stars).sum();
        let mean = (sum * 200 + count).checked_div(2 * count)?;
        i32::try_from(mean).ok()
    }

    pub fn add(&mut self, other: &Tally) {
        for (sum, times) in self.stars.iter_mut().zip(other.stars) {
            *sum += times;
        }
        for (reason, times) in &other.reasons {
            *self.reasons.entry(*reason).or_default() += times;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_whole_hundredths_rounded_to_the_nearest() {
        let cases = [
            ([0, 0, 0, 0, 0], None),
            ([0, 0, 0, 0, 3], Some(500)),
            ([1, 0, 0, 0, 1], Some(300)),
            // (1 + 2 + 2) / 3 = 1.6667
            ([1, 2, 0, 0, 0], Some(167)),
            // (4 + 4 + 5) / 3 = 4.3333
            ([0, 0, 0, 2, 1], Some(433)),
            // 1,000 of five and one of four: 4.999
            ([0, 0, 0, 1, 1_000], Some(500)),
        ];
        for (stars, mean) in cases {
            assert_eq!(Tally { stars, ..Tally::default() }.mean_hundredths(), mean, "{stars:?}");
        }
    }

    #[test]
    fn both_sides_together_are_the_sum_of_each() {
        let side = |stars, reason| Tally { stars, reasons: [(reason, 1)].into() };
        let mut both = side([1, 0, 0, 0, 0], RatingReason::Helped);
        both.add(&side([0, 0, 0, 0, 2], RatingReason::Helped));
        assert_eq!((both.count(), both.mean_hundredths()), (3, Some(367)));
        assert_eq!(both.reasons[&RatingReason::Helped], 2);
    }
}
