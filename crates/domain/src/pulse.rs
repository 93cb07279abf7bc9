//! The alignment pulse: each side says how well it knows and serves the other, and how well it is known and served; where the two
//! pictures differ is the perception gap.

use uuid::Uuid;

use crate::stage::Side;
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// What a side is judged by, by itself and by the other one.
    pub enum PulseQuestion {
        /// Whether it knows what the other side needs.
        KnowsNeeds = "KNOWS_NEEDS",
        /// Whether it delivers what the other side needs.
        Delivers = "DELIVERS",
    }
}

/// What one person says in a month; each answer is 1, not at all, to 5, fully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The month in the charter's time zone, as `2026-03`.
    pub month: String,
    pub user: Uuid,
    pub side: Side,
    /// I know what the other side needs of us.
    pub knows_needs: u8,
    /// We deliver what the other side needs.
    pub delivers: u8,
    /// The other side knows what we need of it.
    pub other_knows_needs: u8,
    /// The other side delivers what we need.
    pub other_delivers: u8,
    pub at: Instant,
}

/// Sums of what one side said in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub answers: i64,
    pub knows_needs: i64,
    pub delivers: i64,
    pub other_knows_needs: i64,
    pub other_delivers: i64,
}

/// How a side sees itself beside how the other one sees it, in hundredths of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The side that is judged.
    pub side: Side,
    pub question: PulseQuestion,
    /// What it says of itself; none if nobody of it answered.
    pub own: Option<i32>,
    /// What the other side says of it.
    pub others: Option<i32>,
}

impl Gap {
    /// Above zero: the side thinks better of itself than the other one does.
    pub fn gap(&self) -> Option<i32> {
        Some(self.own? - self.others?)
    }
}

/// The gaps of both sides, for what each said.
pub fn gaps(marketing: &Said, sales: &Said) -> Vec<Gap> {
    let mean = |sum: i64, said: &Said| {
        let mean = (sum * 200 + said.answers).checked_div(2 * said.answers)?;
        i32::try_from(mean).ok()
    };
    let of = |side: Side, own: &Said, other: &Said| {
        [
            (PulseQuestion::KnowsNeeds, own.knows_needs, other.other_knows_needs),
            (PulseQuestion::Delivers, own.delivers, other.other_delivers),
        ]
        .map(|(question, said, heard)| Gap {
            side,
            question,
            own: mean(said, own),
            others: mean(heard, other),
        })
    };
    of(Side::Marketing, marketing, sales).into_iter().chain(of(Side::Sales, sales, marketing)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two of marketing are sure that they know what sales needs (5 and 4); three of sales are not (2, 2 and 1).
    #[test]
    fn a_side_that_thinks_better_of_itself_than_the_other_does_has_a_gap() {
        let marketing =
            Said { answers: 2, knows_needs: 9, delivers: 6, other_knows_needs: 4, other_delivers: 10 };
        let sales =
            Said { answers: 3, knows_needs: 9, delivers: 15, other_knows_needs: 5, other_delivers: 9 };
        let found: Vec<_> =
            gaps(&marketing, &sales).into_iter().map(|gap| (gap.side, gap.question, gap.gap())).collect();
        assert_eq!(
            found,
            [
                (Side::Marketing, PulseQuestion::KnowsNeeds, Some(450 - 167)),
                (Side::Marketing, PulseQuestion::Delivers, Some(0)),
                (Side::Sales, PulseQuestion::KnowsNeeds, Some(100)),
                (Side::Sales, PulseQuestion::Delivers, Some(0)),
            ]
        );
        let alone = gaps(&marketing, &Said::default());
        assert_eq!((alone[0].own, alone[0].others, alone[0].gap()), (Some(450), None, None));
    }
}
