//! Working time: weekly hours in an IANA zone, holidays and absences, and arithmetic over them in whole days.
//!
//! An instant is working time when the clock on the office wall, summer time included, then shows a time inside a
//! weekly interval of that weekday. An hour that is skipped never counts, an hour that comes twice counts twice.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeZone as _};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::refused::Refused;
use crate::text::text_enum;
use crate::time::{DAY, Instant, MINUTE, SECOND};

/// A search for working time gives up after this long without any.
const PATIENCE: i64 = 732 * DAY;
const MAX_INTERVALS: usize = 100;
const MAX_HOLIDAYS: usize = 2_000;

text_enum! {
    /// A day of the week.
    pub enum Weekday {
        /// Monday.
        Monday = "MON",
        /// Tuesday.
        Tuesday = "TUE",
        /// Wednesday.
        Wednesday = "WED",
        /// Thursday.
        Thursday = "THU",
        /// Friday.
        Friday = "FRI",
        /// Saturday.
        Saturday = "SAT",
        /// Sunday.
        Sunday = "SUN",
    }
}

/// A name of the IANA time zone database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(pub Tz);

impl TimeZone {
    pub const UTC: TimeZone = TimeZone(Tz::UTC);

    pub fn parse(name: &str) -> Result<TimeZone, String> {
        let zone = name
            .parse()
            .map_err(|_| format!("{name:?} is no IANA time zone; expected for example Europe/Berlin"))?;
        Ok(TimeZone(zone))
    }

    /// The calendar day that it is here at `at`.
    pub fn date(self, at: Instant) -> Date {
        Date(self.0.from_utc_datetime(&at.utc().naive_utc()).date_naive())
    }

    /// Reads a local date or time by a pattern of chrono's strftime, for example `%d.%m.%Y %H:%M`. A date alone is its
    /// midnight; of an hour that comes twice it is the first; in an hour that is skipped it is as late as the clock
    /// would have shown without the skip. A pattern with an offset, `%z`, needs no zone.
    pub fn read(self, text: &str, pattern: &str) -> Option<Instant> {
        if let Ok(at) = DateTime::parse_from_str(text, pattern) {
            return Some(Instant(at.timestamp_millis()));
        }
        let local = NaiveDateTime::parse_from_str(text, pattern).ok();
        let local = local.or_else(|| NaiveDate::parse_from_str(text, pattern).ok()?.and_hms_opt(0, 0, 0))?;
        let wall = local.and_utc().timestamp_millis();
        let at = match self.0.offset_from_local_datetime(&local).earliest() {
            Some(offset) => wall - i64::from(offset.fix().local_minus_utc()) * SECOND,
            None => wall - offset_at(self.0, wall - DAY),
        };
        (Instant::MIN.0..=Instant::MAX.0).contains(&at).then_some(Instant(at))
    }

    /// Whether [`TimeZone::read`] understands the pattern: whether it can read back what the pattern writes.
    pub fn is_pattern(pattern: &str) -> bool {
        if StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error)) {
            return false;
        }
        let written = Instant(1_772_355_600_000).utc().format(pattern).to_string();
        TimeZone::UTC.read(&written, pattern).is_some()
    }
}

impl TryFrom<String> for TimeZone {
    type Error = String;

    fn try_from(name: String) -> Result<TimeZone, String> {
        TimeZone::parse(&name)
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> String {
        zone.to_string()
    }
}

impl std::fmt::Display for TimeZone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

/// A day of the Gregorian calendar, in no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(pub NaiveDate);

impl Date {
    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        use chrono::Datelike;
        self.0.num_days_from_ce() - 719_163
    }

    pub fn from_days(days: i32) -> Option<Date> {
        chrono::NaiveDate::from_num_days_from_ce_opt(days.checked_add(719_163)?).map(Date)
    }

    pub fn parse(text: &str) -> Result<Date, String> {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.to_string() == text);
        date.map(Date).ok_or_else(|| format!("{text:?} is no date; expected for example 2026-12-25"))
    }

    /// Days since 1970-01-01.
    fn number(self) -> i64 {
        self.0.signed_duration_since(NaiveDate::default()).num_days()
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Date, String> {
        Date::parse(&text)
    }
}

impl From<Date> for String {
    fn from(date: Date) -> String {
        date.to_string()
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Working hours of one weekday, from `from` up to and without `to`, in minutes since midnight on the local clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "WeeklyInterval", input_name = "WeeklyIntervalInput")
)]
#[serde(rename_all = "camelCase")]
pub struct WeeklyInterval {
    /// Weekday in the calendar's zone.
    pub day: Weekday,
    /// 540 is 09:00.
    pub from: u16,
    /// At most 1440, the end of the day.
    pub to: u16,
}

/// When a team or a person works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "Calendar", input_name = "CalendarInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Calendar {
    /// IANA zone in which intervals and holidays are read, for example `Europe/Berlin`.
    pub time_zone: TimeZone,
    /// Working hours; those of one day must not overlap.
    pub weekly: Vec<WeeklyInterval>,
    /// Days without any working time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub holidays: Vec<Date>,
}

/// Time off, from `from` up to and without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "Absence", input_name = "AbsenceInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Absence {
    /// First instant off.
    pub from: Instant,
    /// First instant back.
    pub to: Instant,
}

impl Absence {
    pub fn problem(&self) -> Option<Refused> {
        let message = || format!("the absence ends at {}, not after its start at {}", self.to, self.from);
        (self.from >= self.to).then(|| Refused::invalid("to", message()))
    }
}

impl Calendar {
    /// Monday to Friday, 09:00 to 17:00.
    pub fn office_hours(time_zone: TimeZone) -> Calendar {
        let days = &Weekday::ALL[..5];
        let weekly = days.iter().map(|day| WeeklyInterval { day: *day, from: 540, to: 1020 }).collect();
        Calendar { time_zone, weekly, holidays: vec![] }
    }

    /// Everything that is wrong with the calendar, each with its path.
    pub fn problems(&self) -> Vec<Refused> {
        let mut problems = vec![];
        let mut limit = |path: &str, found: usize, most: usize| {
            if found > most {
                problems.push(Refused::invalid(
                    path,
                    format!("at most {most} entries, found {found}; remove some"),
                ));
            }
        };
        limit("weekly", self.weekly.len(), MAX_INTERVALS);
        limit("holidays", self.holidays.len(), MAX_HOLIDAYS);
        if self.weekly.is_empty() {
            problems
                .push(Refused::invalid("weekly", "a calendar needs at least one interval of working time"));
        }
        for (at, interval) in self.weekly.iter().enumerate() {
            if interval.to > 1440 {
                let message =
                    format!("{interval} ends after 24:00; the last minute is 1440, split it over two days");
                problems.push(Refused::invalid(&format!("weekly/{at}/to"), message));
            }
            if interval.from >= interval.to {
                let message = format!("{interval} ends before it has begun; `from` must be less than `to`");
                problems.push(Refused::invalid(&format!("weekly/{at}/from"), message));
            }
            let meets = |other: &&WeeklyInterval| {
                other.day == interval.day && other.from < interval.to && interval.from < other.to
            };
            if let Some(other) = self.weekly[..at].iter().find(meets) {
                let message = format!("{interval} overlaps {other}; join them into one interval");
                problems.push(Refused::invalid(&format!("weekly/{at}"), message));
            }
        }
        problems
    }

    /// The earliest instant at which `ms` of working time have passed since `start`; `start` itself for zero or less.
    /// None when two years pass without any working time, or the year 9999 ends.
    pub fn add_working(&self, start: Instant, ms: i64, absences: &[Absence]) -> Option<Instant> {
        if ms <= 0 {
            return Some(start);
        }
        let (mut left, mut worked) = (ms, start.ms());
        let mut stretches = Stretches::new(self, absences, start, Instant::MAX);
        while let Some(spans) = stretches.next() {
            for (from, to) in spans {
                if to - from >= left {
                    return Some(Instant(from + left));
                }
                left -= to - from;
                worked = to;
            }
            if stretches.cursor - worked > PATIENCE {
                return None;
            }
        }
        None
    }

    /// Milliseconds of working time from `a` to `b`; zero when `b` is not later.
    pub fn working_between(&self, a: Instant, b: Instant, absences: &[Absence]) -> i64 {
        Stretches::new(self, absences, a, b).flatten().map(|(from, to)| to - from).sum()
    }

    /// Whether the office is open at `at`; absences are the persons' own matter.
    pub fn is_working(&self, at: Instant) -> bool {
        self.working_between(at, at.plus(1), &[]) > 0
    }
}

impl std::fmt::Display for WeeklyInterval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(f, "{} {:02}:{:02}-{:02}:{:02}", self.day, from / 60, from % 60, to / 60, to % 60)
    }
}

type Span = (i64, i64);

/// The working spans of each stretch of at most a day in which the zone keeps its offset, in order of time.
struct Stretches {
    zone: Tz,
    /// Per weekday, milliseconds since midnight.
    week: [Vec<Span>; 7],
    /// Sorted days since 1970-01-01.
    holidays: Vec<i64>,
    away: Vec<Span>,
    cursor: i64,
    end: i64,
}

impl Stretches {
    fn new(calendar: &Calendar, absences: &[Absence], start: Instant, end: Instant) -> Stretches {
        let ms = |minute: u16| (i64::from(minute) * MINUTE).min(DAY);
        let of = |day: Weekday| {
            merged(calendar.weekly.iter().filter(|i| i.day == day).map(|i| (ms(i.from), ms(i.to))))
        };
        let mut holidays: Vec<i64> = calendar.holidays.iter().map(|day| day.number()).collect();
        holidays.sort_unstable();
        Stretches {
            zone: calendar.time_zone.0,
            week: std::array::from_fn(|day| of(Weekday::ALL[day])),
            holidays,
            away: merged(absences.iter().map(|absence| (absence.from.ms(), absence.to.ms()))),
            cursor: start.ms().max(Instant::MIN.ms()),
            end: end.ms().min(Instant::MAX.ms()),
        }
    }

    /// Where the offset at `from` ends, at most a day later. Two changes of one zone are never less than four days
    /// apart in the whole database, therefore one probe finds each.
    fn stretch_end(&self, from: i64, offset: i64) -> i64 {
        let (mut same, mut other) = (from, from + DAY);
        if offset_at(self.zone, other) == offset {
            return other;
        }
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if offset_at(self.zone, middle) == offset { same = middle } else { other = middle }
        }
        other
    }

    /// Adds to `spans` what no absence covers of one span.
    fn present(&self, (mut from, to): Span, spans: &mut Vec<Span>) {
        let first = self.away.partition_point(|away| away.1 <= from);
        for &(leaves, returns) in self.away[first..].iter().take_while(|away| away.0 < to) {
            if from < leaves {
                spans.push((from, leaves));
            }
            from = returns;
        }
        if from < to {
            spans.push((from, to));
        }
    }
}

impl Iterator for Stretches {
    type Item = Vec<Span>;

    fn next(&mut self) -> Option<Vec<Span>> {
        let start = self.cursor;
        if start >= self.end {
            return None;
        }
        let offset = offset_at(self.zone, start);
        let end = self.stretch_end(start, offset).min(self.end);
        let mut spans = vec![];
        for day in (start + offset).div_euclid(DAY)..=(end - 1 + offset).div_euclid(DAY) {
            if self.holidays.binary_search(&day).is_ok() {
                continue;
            }
            // Day 0, 1970-01-01, was a Thursday.
            let midnight = day * DAY - offset;
            for (from, to) in &self.week[(day + 3).rem_euclid(7) as usize] {
                let span = ((midnight + from).max(start), (midnight + to).min(end));
                if span.0 < span.1 {
                    self.present(span, &mut spans);
                }
            }
        }
        self.cursor = end;
        Some(spans)
    }
}

/// Sorted, without empty spans, overlaps joined: also a calendar that was never validated has one meaning.
fn merged(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut sorted: Vec<Span> = spans.filter(|(from, to)| from < to).collect();
    sorted.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(sorted.len());
    for (from, to) in sorted {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// Milliseconds that the local clock is ahead of UTC.
fn offset_at(zone: Tz, at: i64) -> i64 {
    let utc = DateTime::from_timestamp_millis(at).unwrap_or_default().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000
}

/// A name of the IANA time zone database: `Europe/Berlin`.
#[cfg(feature = "graphql")]
#[async_graphql::Scalar(name = "TimeZone")]
impl async_graphql::ScalarType for TimeZone {
    fn parse(value: async_graphql::Value) -> async_graphql::InputValueResult<Self> {
        match &value {
            async_graphql::Value::String(name) => {
                TimeZone::parse(name).map_err(async_graphql::InputValueError::custom)
            }
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> async_graphql::Value {
        async_graphql::Value::String(self.to_string())
    }
}

/// A day without a time or a zone: `2026-12-25`.
#[cfg(feature = "graphql")]
#[async_graphql::Scalar(name = "Date")]
impl async_graphql::ScalarType for Date {
    fn parse(value: async_graphql::Value) -> async_graphql::InputValueResult<Self> {
        match &value {
            async_graphql::Value::String(text) => {
                Date::parse(text).map_err(async_graphql::InputValueError::custom)
            }
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> async_graphql::Value {
        async_graphql::Value::String(self.to_string())
    }
}

#[cfg(test)]
mod tests;
