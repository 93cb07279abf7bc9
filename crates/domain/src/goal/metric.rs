//! Metrics that shared goals are about, measured from what happened in a window. A metric is known by its name; the formula
//! follows from it.

use std::collections::BTreeMap;

use crate::clock::ClockKind;
use crate::share::basis_points;
use crate::stage::StageKind;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `MQL_COUNT`: cycles that came to the stage in the window, or beyond it at once.
    Entered(StageKind),
    /// `MQL_PER_MONTH`, `OPPORTUNITIES_PER_MONTH`: the same for 30 days.
    EnteredPerMonth(StageKind),
    /// `SAL_RATE`: cycles that came to the stage for each that came to the one before, in basis points.
    Rate(StageKind),
    /// `WON_COUNT`: deals that were won.
    Won,
    /// `WINS_PER_MONTH`: the same for 30 days.
    WonPerMonth,
    /// `WIN_RATE`: won of won and lost deals, in basis points.
    WinRate,
    /// `REVENUE`: amounts of won deals, in minor units.
    Revenue,
    /// `REVENUE_PER_MQL`: revenue for each cycle that came to MQL, in minor units.
    RevenuePerMql,
    /// `FIRST_TOUCH_IN_TIME`: promises of the kind that were kept of those that came due, in basis points.
    InTime(ClockKind),
}

/// What happened in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    pub days: i64,
    pub entered: BTreeMap<StageKind, i64>,
    pub won: i64,
    pub lost: i64,
    pub revenue_minor: i64,
    /// Kept and broken promises that came due.
    pub clocks: BTreeMap<ClockKind, (i64, i64)>,
}

impl Metric {
    pub fn parse(name: &str) -> Option<Metric> {
        match name {
            "WON_COUNT" => return Some(Metric::Won),
            "WINS_PER_MONTH" => return Some(Metric::WonPerMonth),
            "OPPORTUNITIES_PER_MONTH" => return Some(Metric::EnteredPerMonth(StageKind::Opportunity)),
            "WIN_RATE" => return Some(Metric::WinRate),
            "REVENUE" => return Some(Metric::Revenue),
            "REVENUE_PER_MQL" => return Some(Metric::RevenuePerMql),
            _ => {}
        }
        if let Some(kind) = name.strip_suffix("_IN_TIME") {
            return ClockKind::parse(kind).map(Metric::InTime);
        }
        let stage = |suffix: &str| name.strip_suffix(suffix).and_then(StageKind::parse);
        let stage = |suffix: &str| stage(suffix).filter(|stage| *stage > StageKind::Anonymous);
        if let Some(stage) = stage("_PER_MONTH") {
            return Some(Metric::EnteredPerMonth(stage));
        }
        if let Some(stage) = stage("_COUNT") {
            return Some(Metric::Entered(stage));
        }
        stage("_RATE").filter(|stage| *stage > StageKind::Inquiry).map(Metric::Rate)
    }

    /// Whether it only says how many, and nothing of how good.
    pub fn is_count(self) -> bool {
        matches!(self, Metric::Entered(_) | Metric::EnteredPerMonth(_) | Metric::Won | Metric::WonPerMonth)
    }

    /// Its value; none where there is nothing to divide by.
    pub fn measure(self, happened: &Happened) -> Option<i64> {
        let entered = |stage: StageKind| happened.entered.get(&stage).copied().unwrap_or(0);
        let month = |count: i64| (count * 30).checked_div(happened.days);
        match self {
            Metric::Entered(stage) => Some(entered(stage)),
            Metric::EnteredPerMonth(stage) => month(entered(stage)),
            Metric::Rate(stage) => {
                let before = StageKind::ALL.get(stage.ordinal().checked_sub(1)?)?;
                basis_points(entered(stage), entered(*before)).map(i64::from)
            }
            Metric::Won => Some(happened.won),
            Metric::WonPerMonth => month(happened.won),
            Metric::WinRate => basis_points(happened.won, happened.won + happened.lost).map(i64::from),
            Metric::Revenue => Some(happened.revenue_minor),
            Metric::RevenuePerMql => happened.revenue_minor.checked_div(entered(StageKind::Mql)),
            Metric::InTime(kind) => {
                let (kept, broken) = happened.clocks.get(&kind).copied().unwrap_or_default();
                basis_points(kept, kept + broken).map(i64::from)
            }
        }
    }
}

/// How much of a target is reached, in basis points; none of a target of zero.
pub fn attainment(value: i64, target: i64) -> Option<i32> {
    basis_points(value, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_known_by_its_name_and_measured_by_its_formula() {
        let happened = Happened {
            days: 60,
            entered: [(StageKind::Iql, 100), (StageKind::Mql, 40), (StageKind::Sal, 30)].into(),
            won: 6,
            lost: 2,
            revenue_minor: 1_000_000,
            clocks: [(ClockKind::FirstTouch, (3, 1))].into(),
        };
        let cases = [
            ("MQL_COUNT", Some(40)),
            ("MQL_PER_MONTH", Some(20)),
            ("MQL_RATE", Some(4_000)),
            ("SAL_RATE", Some(7_500)),
            ("OPPORTUNITY_COUNT", Some(0)),
            ("OPPORTUNITY_RATE", None),
            ("WON_COUNT", Some(6)),
            ("WINS_PER_MONTH", Some(3)),
            ("OPPORTUNITIES_PER_MONTH", Some(0)),
            ("WIN_RATE", Some(7_500)),
            ("REVENUE", Some(1_000_000)),
            ("REVENUE_PER_MQL", Some(25_000)),
            ("FIRST_TOUCH_IN_TIME", Some(7_500)),
            ("ACCEPT_IN_TIME", None),
        ];
        for (name, value) in cases {
            let metric = Metric::parse(name).unwrap_or_else(|| panic!("{name} is no metric"));
            assert_eq!(metric.measure(&happened), value, "{name}");
        }
        for name in ["", "HAPPINESS", "INQUIRY_RATE", "ANONYMOUS_COUNT", "MQL", "_IN_TIME"] {
            assert_eq!(Metric::parse(name), None, "{name}");
        }
        assert_eq!(
            Metric::WonPerMonth.measure(&Happened::default()),
            None,
            "a window of no days has no month"
        );
        assert_eq!((attainment(15, 20), attainment(1, 0)), (Some(7_500), None));
    }
}
