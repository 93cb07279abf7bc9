//! The scoreboard: what each side promised in the charter beside what came of it. A metric of volume stands beside the one of quality
//! that keeps it honest, whether or not anybody promised that one.

use crate::clock::ClockKind;
use crate::share::Share;
use crate::stage::StageKind;
use crate::text::text_enum;
use crate::time::DAY;

text_enum! {
    /// What a commitment can be measured by. Beside these, `ACCEPT_IN_TIME`, `FIRST_TOUCH_IN_TIME` and so on for every kind of clock:
    /// the share of the promises due in the window that were kept, in basis points.
    pub enum Measure {
        /// Cycles that entered MQL, for each 30 days.
        MqlPerMonth = "MQL_PER_MONTH",
        /// Cycles that entered SAL, for each 30 days.
        SalPerMonth = "SAL_PER_MONTH",
        /// Cycles that entered SQL, for each 30 days.
        SqlPerMonth = "SQL_PER_MONTH",
        /// Cycles that entered OPPORTUNITY, for each 30 days.
        OpportunitiesPerMonth = "OPPORTUNITIES_PER_MONTH",
        /// Cycles that were won, for each 30 days.
        WinsPerMonth = "WINS_PER_MONTH",
        /// What deals were won with, in minor units.
        Revenue = "REVENUE",
        /// Of the cycles that entered MQL, those that came to SAL, in basis points.
        SalRate = "SAL_RATE",
        /// Of the cycles that entered SAL, those that came to SQL, in basis points.
        SqlRate = "SQL_RATE",
        /// Of the cycles that entered SQL, those that came to OPPORTUNITY, in basis points.
        OpportunityRate = "OPPORTUNITY_RATE",
        /// Won, of won and lost, in basis points.
        WinRate = "WIN_RATE",
        /// What deals were won with, for each cycle that entered MQL, in minor units.
        RevenuePerMql = "REVENUE_PER_MQL",
    }
}

/// What a commitment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Measure(Measure),
    /// Promises of a clock that were kept.
    InTime(ClockKind),
}

impl Named {
    /// None for a metric that only its authors can measure.
    pub fn parse(metric: &str) -> Option<Named> {
        let clock = metric.strip_suffix("_IN_TIME").and_then(ClockKind::parse).map(Named::InTime);
        clock.or_else(|| Measure::parse(metric).map(Named::Measure))
    }
}

impl Measure {
    /// The measure that keeps this one honest: a volume by the share of it that went on.
    pub fn pair(self) -> Option<Measure> {
        match self {
            Measure::MqlPerMonth => Some(Measure::SalRate),
            Measure::SalPerMonth => Some(Measure::SqlRate),
            Measure::SqlPerMonth => Some(Measure::OpportunityRate),
            Measure::OpportunitiesPerMonth => Some(Measure::WinRate),
            Measure::WinsPerMonth | Measure::Revenue => Some(Measure::RevenuePerMql),
            _ => None,
        }
    }
}

/// Stages whose entries are counted, each with the one that its rate is about.
pub const STAGES: [(StageKind, StageKind); 4] = [
    (StageKind::Mql, StageKind::Sal),
    (StageKind::Sal, StageKind::Sql),
    (StageKind::Sql, StageKind::Opportunity),
    (StageKind::Opportunity, StageKind::Customer),
];

/// What was counted in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub days: u32,
    /// Of the cycles that entered a stage, those that went on, in the order of [`STAGES`].
    pub stages: [Share; 4],
    pub won: u64,
    pub lost: u64,
    pub revenue_minor: i64,
    /// Promises due in the window that were kept, of those that were kept or broken.
    pub clocks: Vec<(ClockKind, Share)>,
}

impl Counted {
    /// In the unit of the measure; none where there is nothing to measure.
    pub fn value(&self, named: Named) -> Option<i64> {
        let measure = match named {
            Named::Measure(measure) => measure,
            Named::InTime(kind) => {
                let share = self.clocks.iter().find(|(known, _)| *known == kind).map(|(_, share)| *share);
                return rate(share?);
            }
        };
        let [mql, sal, sql, opportunity] = self.stages;
        match measure {
            Measure::MqlPerMonth => Some(self.monthly(mql.of)),
            Measure::SalPerMonth => Some(self.monthly(sal.of)),
            Measure::SqlPerMonth => Some(self.monthly(sql.of)),
            Measure::OpportunitiesPerMonth => Some(self.monthly(opportunity.of)),
            Measure::WinsPerMonth => Some(self.monthly(self.won)),
            Measure::Revenue => Some(self.revenue_minor),
            Measure::SalRate => rate(mql),
            Measure::SqlRate => rate(sal),
            Measure::OpportunityRate => rate(sql),
            Measure::WinRate => rate(Share::of(self.won, self.won + self.lost)),
            Measure::RevenuePerMql => {
                self.revenue_minor.checked_div(i64::try_from(mql.of).unwrap_or(i64::MAX))
            }
        }
    }

    /// For each 30 days, rounded to the nearest.
    fn monthly(&self, count: u64) -> i64 {
        let days = u64::from(self.days.max(1));
        i64::try_from((count * 60 + days) / (2 * days)).unwrap_or(i64::MAX)
    }

    /// Milliseconds of the window.
    pub fn span(days: u32) -> i64 {
        i64::from(days) * DAY
    }
}

fn rate(share: Share) -> Option<i64> {
    (share.of > 0).then(|| i64::from(share.basis_points()))
}

/// What was reached of a target, in basis points: 10000 is all of it. None for a target of 0 or less.
pub fn attainment(value: i64, target: i64) -> Option<i64> {
    let points = (i128::from(value) * 10_000).checked_div(i128::from(target)).filter(|_| target > 0)?;
    Some(i64::try_from(points).unwrap_or(i64::MAX))
}

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
    fn volumes_are_monthly_and_rates_are_shares_of_what_came_in() {
        let counted = Counted {
            days: 90,
            stages: [Share::of(30, 60), Share::of(10, 30), Share::of(0, 0), Share::of(1, 4)],
            won: 3,
            lost: 1,
            revenue_minor: 12_000,
            clocks: vec![(ClockKind::FirstTouch, Share::of(9, 10))],
        };
        let cases = [
            ("MQL_PER_MONTH", Some(20)),
            ("WINS_PER_MONTH", Some(1)),
            ("SAL_RATE", Some(5_000)),
            ("SQL_RATE", Some(3_333)),
            ("OPPORTUNITY_RATE", None),
            ("WIN_RATE", Some(7_500)),
            ("REVENUE", Some(12_000)),
            ("REVENUE_PER_MQL", Some(200)),
            ("FIRST_TOUCH_IN_TIME", Some(9_000)),
            ("ACCEPT_IN_TIME", None),
        ];
        for (metric, expected) in cases {
            let named = Named::parse(metric).unwrap_or_else(|| panic!("{metric}"));
            assert_eq!(counted.value(named), expected, "{metric}");
        }
        assert_eq!(Named::parse("HAPPINESS"), None);
        assert_eq!(Measure::MqlPerMonth.pair(), Some(Measure::SalRate));
    }

    #[test]
    fn what_was_more_than_kept_hides_nothing() {
        assert_eq!(
            (attainment(15, 10), attainment(1, 3), attainment(1, 0)),
            (Some(15_000), Some(3_333), None)
        );
        assert_eq!(score(&[(15_000, 1), (5_000, 3)]), Some(6_250));
        assert_eq!(score(&[]), None);
    }
}
