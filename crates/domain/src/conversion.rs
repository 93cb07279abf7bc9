//! Conversion by cohorts: how many of the cycles that entered a stage came to another one, how long it took them, and which
//! cohorts are too young to say.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};

use crate::calendar::Date;
use crate::dimension::Group;
use crate::quantile::{median, quantile};
use crate::share::Share;
use crate::text::text_enum;
use crate::time::DAY;

text_enum! {
    /// Which cycles are counted together by the day, in the charter's time zone.
    pub enum CohortPeriod {
        /// Days.
        Day = "DAY",
        /// Weeks from Monday on (ISO 8601).
        Week = "WEEK",
        /// Months of the calendar.
        Month = "MONTH",
        /// Quarters of the calendar.
        Quarter = "QUARTER",
    }
}

impl CohortPeriod {
    /// The first day of the period that a day lies in; days count from 1970-01-01.
    pub fn begin(self, day: i32) -> i32 {
        let Some(Date(date)) = Date::from_days(day) else { return day };
        let first = match self {
            CohortPeriod::Day => Some(date),
            CohortPeriod::Week => {
                date.checked_sub_days(chrono::Days::new(u64::from(date.weekday().num_days_from_monday())))
            }
            CohortPeriod::Month => date.with_day(1),
            CohortPeriod::Quarter => NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1),
        };
        first.map_or(day, |first| Date(first).days())
    }

    /// The first day after the period that begins at a day.
    pub fn next(self, begin: i32) -> i32 {
        // Longer than the period, and shorter than two of them.
        let days = match self {
            CohortPeriod::Day => 1,
            CohortPeriod::Week => 7,
            CohortPeriod::Month => 32,
            CohortPeriod::Quarter => 93,
        };
        self.begin(begin.saturating_add(days))
    }
}

/// A cohort: those of one period and group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cohort {
    /// Those that came.
    pub entered: u64,
    /// How long each took that went on, in milliseconds.
    took: Vec<i64>,
}

/// What became of a cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortRow {
    /// First day of the period; none for all periods together.
    pub begins: Option<i32>,
    pub group: Group,
    /// Those that went on, of those that came.
    pub share: Share,
    /// Milliseconds that half of them took at most.
    pub median: Option<i64>,
    pub immature: bool,
}

/// Cohorts by their periods and groups.
#[derive(Clone, Debug)]
pub struct Cohorts {
    period: CohortPeriod,
    cohorts: BTreeMap<(i32, Group), Cohort>,
}

/// All cohorts with what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    pub rows: Vec<CohortRow>,
    /// All periods together, by group.
    pub totals: Vec<CohortRow>,
    /// Milliseconds within which nine in ten conversions of the report happened.
    pub takes: Option<i64>,
}

impl Cohorts {
    pub fn new(period: CohortPeriod) -> Cohorts {
        Cohorts { period, cohorts: BTreeMap::new() }
    }

    /// Counts one that came on that day, with the milliseconds that it took to go on, if it did.
    pub fn add(&mut self, day: i32, group: Group, took: Option<i64>) {
        let cohort = self.cohorts.entry((self.period.begin(day), group)).or_default();
        cohort.entered += 1;
        cohort.took.extend(took);
    }

    /// A cohort is immature while its youngest members have had less time than nine in ten conversions took; where nothing was
    /// converted, until its period is over.
    pub fn finish(self, today: i32) -> Converted {
        let mut all: Vec<i64> =
            self.cohorts.values().flat_map(|cohort| cohort.took.iter().copied()).collect();
        all.sort_unstable();
        let takes = quantile(&all, 90);
        drop(all);
        let needed = takes.map_or(0, |ms| (ms + DAY - 1) / DAY);
        let (mut rows, mut totals) = (vec![], BTreeMap::<Group, (Cohort, bool)>::new());
        for ((begin, group), mut cohort) in self.cohorts {
            let had = i64::from(today) - i64::from(self.period.next(begin)) + 1;
            let immature = had < needed.max(1);
            let share = Share::of(cohort.took.len() as u64, cohort.entered);
            let row = CohortRow {
                begins: Some(begin),
                group: group.clone(),
                share,
                median: median(&mut cohort.took),
                immature,
            };
            rows.push(row);
            let (total, young) = totals.entry(group).or_default();
            total.entered += cohort.entered;
            total.took.append(&mut cohort.took);
            *young |= immature;
        }
        let total = |(group, (mut cohort, immature)): (Group, (Cohort, bool))| {
            let share = Share::of(cohort.took.len() as u64, cohort.entered);
            CohortRow { begins: None, group, share, median: median(&mut cohort.took), immature }
        };
        let mut totals: Vec<CohortRow> = totals.into_iter().map(total).collect();
        totals.sort_by_key(|row| (row.group.is_others(), std::cmp::Reverse(row.share.of)));
        Converted { rows, totals, takes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::Passage;
    use crate::passage::tests::passage;
    use crate::stage::{CycleOutcome, StageKind};
    use StageKind::{Inquiry, Iql, Mql, Sal, Sql};

    fn day(text: &str) -> i32 {
        Date::parse(text).unwrap().days()
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        use CohortPeriod::{Day, Month, Quarter, Week};
        let cases = [
            (Day, "2024-02-29", "2024-02-29", "2024-03-01"),
            (Week, "2024-03-03", "2024-02-26", "2024-03-04"),
            (Week, "2024-03-04", "2024-03-04", "2024-03-11"),
            (Month, "2024-02-29", "2024-02-01", "2024-03-01"),
            (Month, "2023-12-31", "2023-12-01", "2024-01-01"),
            (Quarter, "2024-05-31", "2024-04-01", "2024-07-01"),
            (Quarter, "2024-12-31", "2024-10-01", "2025-01-01"),
        ];
        for (period, at, begins, next) in cases {
            assert_eq!(
                (period.begin(day(at)), period.next(day(begins))),
                (day(begins), day(next)),
                "{period} {at}"
            );
        }
    }

    #[test]
    fn a_cohort_is_young_until_most_conversions_had_their_time() {
        let mut found = Cohorts::new(CohortPeriod::Month);
        let add = |found: &mut Cohorts, one: Passage, day: i32| {
            if let Some(took) = one.took(Mql, Sal) {
                found.add(day, Group::all(), took);
            }
        };
        let january = day("2024-01-10");
        // Ten conversions: nine within 10 days, one after 100.
        for number in 0..10 {
            let took = if number == 9 { 100 } else { number + 2 };
            let one = passage(&[(0, Inquiry, &[]), (1, Mql, &[Iql]), (1 + took, Sql, &[Sal])], None);
            add(&mut found, one, january);
        }
        let lost = passage(&[(0, Inquiry, &[]), (1, Mql, &[Iql])], Some((3, CycleOutcome::Recycled)));
        add(&mut found, lost, day("2024-02-29"));
        add(&mut found, passage(&[(0, Inquiry, &[])], None), january);
        let told = |today: &str| {
            let found = found.clone().finish(day(today));
            assert_eq!(found.takes, Some(10 * DAY));
            let rows = found
                .rows
                .iter()
                .map(|row| (row.share.count, row.share.of, row.median.map(|ms| ms / DAY), row.immature));
            rows.collect::<Vec<_>>()
        };
        assert_eq!(told("2024-03-09"), [(10, 10, Some(6), false), (0, 1, None, true)]);
        // The youngest are of February 29; ten days later they had their time.
        assert_eq!(told("2024-03-10"), [(10, 10, Some(6), false), (0, 1, None, false)]);
        assert_eq!(found.clone().finish(day("2024-04-01")).totals[0].share, Share::of(10, 11));
    }
}
