//! Measures: what goals and commitments are about, each known by its name, with one definition for all who read it. What happened in
//! a window is counted once; the measures follow from it.

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::ClockKind;
use crate::share::Share;
use crate::stage::StageKind;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// `MQL_COUNT`: cycles that entered the stage in the window, be it that it was skipped.
    Entered(StageKind),
    /// `MQL_PER_MONTH`, `OPPORTUNITIES_PER_MONTH`: the same for each 30 days.
    EnteredPerMonth(StageKind),
    /// `SAL_RATE`: of the cycles that entered the stage before in the window, those that came to this one or beyond it until now, in
    /// basis points: the conversion from that stage to this one.
    Rate(StageKind),
    /// `WON_COUNT`: deals that were won.
    Won,
    /// `WINS_PER_MONTH`: the same for each 30 days.
    WonPerMonth,
    /// `WIN_RATE`: won of won and lost deals, in basis points.
    WinRate,
    /// `REVENUE`: what deals were won with, in minor units.
    Revenue,
    /// `REVENUE_PER_MQL`: revenue for each cycle that entered MQL, in minor units.
    RevenuePerMql,
    /// `FIRST_TOUCH_IN_TIME`: promises of the kind that were kept, of those that came due, in basis points.
    InTime(ClockKind),
}

/// What happened in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub days: u32,
    /// Cycles that entered a stage, and those of them that came to the next one or beyond it.
    pub entered: BTreeMap<StageKind, Share>,
    pub won: u64,
    pub lost: u64,
    pub revenue_minor: i64,
    /// Promises that came due, and those of them that were kept.
    pub clocks: BTreeMap<ClockKind, Share>,
}

impl Counted {
    /// So many cycles came to a stage in the window, passed over others with it, and got that far until now.
    pub fn enter(&mut self, to: StageKind, skipped: &[StageKind], furthest: StageKind, cycles: u64) {
        for stage in skipped.iter().chain([&to]) {
            let share = self.entered.entry(*stage).or_default();
            share.of += cycles;
            if after(*stage).is_some_and(|next| furthest >= next) {
                share.count += cycles;
            }
        }
    }

    fn of(&self, stage: StageKind) -> Share {
        self.entered.get(&stage).copied().unwrap_or_default()
    }

    /// For each 30 days, to the nearest; none of a window without days.
    fn monthly(&self, count: u64) -> Option<i64> {
        let days = u64::from(self.days);
        let monthly = (count * 60 + days).checked_div(2 * days)?;
        i64::try_from(monthly).ok()
    }
}

fn before(stage: StageKind) -> Option<StageKind> {
    StageKind::ALL.get(stage.ordinal().checked_sub(1)?).copied()
}

fn after(stage: StageKind) -> Option<StageKind> {
    StageKind::ALL.get(stage.ordinal() + 1).copied()
}

impl Measure {
    /// None of a name that the server does not measure.
    pub fn parse(name: &str) -> Option<Measure> {
        match name {
            "WON_COUNT" => return Some(Measure::Won),
            "WINS_PER_MONTH" => return Some(Measure::WonPerMonth),
            "OPPORTUNITIES_PER_MONTH" => return Some(Measure::EnteredPerMonth(StageKind::Opportunity)),
            "WIN_RATE" => return Some(Measure::WinRate),
            "REVENUE" => return Some(Measure::Revenue),
            "REVENUE_PER_MQL" => return Some(Measure::RevenuePerMql),
            _ => {}
        }
        if let Some(kind) = name.strip_suffix("_IN_TIME") {
            return ClockKind::parse(kind).map(Measure::InTime);
        }
        let stage = |suffix: &str| name.strip_suffix(suffix).and_then(StageKind::parse);
        let stage = |suffix: &str| stage(suffix).filter(|stage| *stage > StageKind::Anonymous);
        if let Some(stage) = stage("_PER_MONTH") {
            return Some(Measure::EnteredPerMonth(stage));
        }
        if let Some(stage) = stage("_COUNT") {
            return Some(Measure::Entered(stage));
        }
        stage("_RATE").filter(|stage| *stage > StageKind::Inquiry).map(Measure::Rate)
    }

    /// Whether it only says how many, and nothing of how good.
    pub fn is_count(self) -> bool {
        use Measure::{Entered, EnteredPerMonth, Won, WonPerMonth};
        matches!(self, Entered(_) | EnteredPerMonth(_) | Won | WonPerMonth)
    }

    /// The measure that keeps this one honest: a volume by the share of it that went on, money by what it took to earn it.
    pub fn pair(self) -> Option<Measure> {
        match self {
            Measure::Entered(StageKind::Opportunity) | Measure::EnteredPerMonth(StageKind::Opportunity) => {
                Some(Measure::WinRate)
            }
            Measure::Entered(stage) | Measure::EnteredPerMonth(stage) => after(stage).map(Measure::Rate),
            Measure::Won | Measure::WonPerMonth | Measure::Revenue => Some(Measure::RevenuePerMql),
            _ => None,
        }
    }

    /// In its unit; none where there is nothing to divide by.
    pub fn value(self, counted: &Counted) -> Option<i64> {
        let whole = |count: u64| i64::try_from(count).ok();
        match self {
            Measure::Entered(stage) => whole(counted.of(stage).of),
            Measure::EnteredPerMonth(stage) => counted.monthly(counted.of(stage).of),
            Measure::Rate(stage) => rate(counted.of(before(stage)?)),
            Measure::Won => whole(counted.won),
            Measure::WonPerMonth => counted.monthly(counted.won),
            Measure::WinRate => rate(Share::of(counted.won, counted.won + counted.lost)),
            Measure::Revenue => Some(counted.revenue_minor),
            Measure::RevenuePerMql => {
                counted.revenue_minor.checked_div(whole(counted.of(StageKind::Mql).of)?)
            }
            Measure::InTime(kind) => rate(counted.clocks.get(&kind).copied()?),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Measure::EnteredPerMonth(StageKind::Opportunity) => f.write_str("OPPORTUNITIES_PER_MONTH"),
            Measure::Entered(stage) => write!(f, "{stage}_COUNT"),
            Measure::EnteredPerMonth(stage) => write!(f, "{stage}_PER_MONTH"),
            Measure::Rate(stage) => write!(f, "{stage}_RATE"),
            Measure::Won => f.write_str("WON_COUNT"),
            Measure::WonPerMonth => f.write_str("WINS_PER_MONTH"),
            Measure::WinRate => f.write_str("WIN_RATE"),
            Measure::Revenue => f.write_str("REVENUE"),
            Measure::RevenuePerMql => f.write_str("REVENUE_PER_MQL"),
            Measure::InTime(kind) => write!(f, "{kind}_IN_TIME"),
        }
    }
}

fn rate(share: Share) -> Option<i64> {
    (share.of > 0).then(|| i64::from(share.basis_points()))
}

/// What was reached of a target, in basis points: 10000 is all of it. None for a target of 0 or less.
pub fn attainment(value: i64, target: i64) -> Option<i64> {
    let points = (i128::from(value) * 10_000).checked_div(i128::from(target)).filter(|_| target > 0)?;
    i64::try_from(points).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use StageKind::{Customer, Inquiry, Iql, Mql, Opportunity, Sal, Sql};

    #[test]
    fn a_measure_is_known_by_its_name_and_follows_from_what_happened() {
        let mut counted =
            Counted { days: 60, won: 6, lost: 2, revenue_minor: 1_000_000, ..Counted::default() };
        counted.enter(Mql, &[Iql], Mql, 10);
        counted.enter(Mql, &[], Customer, 30);
        // They entered MQL before the window.
        counted.enter(Sal, &[], Sal, 5);
        counted.enter(Customer, &[Sal, Sql, Opportunity], Customer, 30);
        counted.clocks.insert(ClockKind::FirstTouch, Share::of(3, 4));
        let cases = [
            ("MQL_COUNT", Some(40)),
            ("MQL_PER_MONTH", Some(20)),
            ("MQL_RATE", Some(10_000)),
            ("SAL_RATE", Some(7_500)),
            ("SQL_RATE", Some(8_571)),
            ("INQUIRY_COUNT", Some(0)),
            ("IQL_RATE", None),
            ("WON_COUNT", Some(6)),
            ("WINS_PER_MONTH", Some(3)),
            ("OPPORTUNITIES_PER_MONTH", Some(15)),
            ("OPPORTUNITY_COUNT", Some(30)),
            ("CUSTOMER_RATE", Some(10_000)),
            ("WIN_RATE", Some(7_500)),
            ("REVENUE", Some(1_000_000)),
            ("REVENUE_PER_MQL", Some(25_000)),
            ("FIRST_TOUCH_IN_TIME", Some(7_500)),
            ("ACCEPT_IN_TIME", None),
        ];
        for (name, value) in cases {
            let measure = Measure::parse(name).unwrap_or_else(|| panic!("{name} is no measure"));
            assert_eq!(measure.value(&counted), value, "{name}");
            assert_eq!(measure.to_string(), name);
        }
        for name in ["", "HAPPINESS", "INQUIRY_RATE", "ANONYMOUS_COUNT", "MQL", "_IN_TIME"] {
            assert_eq!(Measure::parse(name), None, "{name}");
        }
        let nothing = Counted::default();
        assert_eq!(Measure::WonPerMonth.value(&nothing), None, "a window of no days has no month");
        assert_eq!(
            Measure::Rate(Iql).value(&Counted { entered: [(Inquiry, Share::default())].into(), ..nothing }),
            None
        );
    }

    #[test]
    fn a_volume_is_kept_honest_by_what_became_of_it() {
        let pairs = [
            ("MQL_PER_MONTH", Some("SAL_RATE")),
            ("MQL_COUNT", Some("SAL_RATE")),
            ("OPPORTUNITIES_PER_MONTH", Some("WIN_RATE")),
            ("WINS_PER_MONTH", Some("REVENUE_PER_MQL")),
            ("REVENUE", Some("REVENUE_PER_MQL")),
            ("SAL_RATE", None),
            ("ACCEPT_IN_TIME", None),
        ];
        for (name, pair) in pairs {
            let found = Measure::parse(name).and_then(Measure::pair).map(|pair| pair.to_string());
            assert_eq!(found.as_deref(), pair, "{name}");
        }
    }

    #[test]
    fn more_than_the_target_is_more_than_all_and_a_target_of_nothing_is_none() {
        assert_eq!(
            (attainment(15, 10), attainment(1, 3), attainment(1, 0)),
            (Some(15_000), Some(3_333), None)
        );
    }
}
