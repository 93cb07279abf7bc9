//! Working time against hand-made days around changes of the clock, and against a slow minute-by-minute model.

use chrono::{Datelike as _, Timelike as _};
use proptest::prelude::*;

use super::*;
use crate::time::HOUR;

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).expect("a known zone")
}

fn at(text: &str) -> Instant {
    Instant::parse(text).expect("an instant")
}

fn day(text: &str) -> Date {
    Date::parse(text).expect("a date")
}

/// The same hours on all seven days.
fn daily(name: &str, from: u16, to: u16) -> Calendar {
    let weekly = Weekday::ALL.iter().map(|day| WeeklyInterval { day: *day, from, to }).collect();
    Calendar { time_zone: zone(name), weekly, holidays: vec![] }
}

fn hours(calendar: &Calendar, from: &str, to: &str) -> f64 {
    calendar.working_between(at(from), at(to), &[]) as f64 / HOUR as f64
}

#[test]
fn a_day_around_the_clock_has_as_many_hours_as_the_zone_gives_it() {
    let berlin = daily("Europe/Berlin", 0, 1440);
    assert_eq!(hours(&berlin, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 23.0);
    assert_eq!(hours(&berlin, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 25.0);
    // Summer time began at midnight, so that the day started at 01:00.
    let sao_paulo = daily("America/Sao_Paulo", 0, 1440);
    assert_eq!(hours(&sao_paulo, "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"), 23.0);
    // It ended at midnight, so that the last hour of Saturday came twice.
    let saturday = |day: &Weekday| *day == Weekday::Saturday;
    let only = Weekday::ALL.iter().copied().filter(saturday);
    let weekly = only.map(|day| WeeklyInterval { day, from: 0, to: 1440 }).collect();
    let saturdays = Calendar { weekly, ..sao_paulo };
    assert_eq!(hours(&saturdays, "2018-02-16T00:00:00Z", "2018-02-19T00:00:00Z"), 25.0);
    // The whole island shifts by half an hour.
    let lord_howe = daily("Australia/Lord_Howe", 0, 1440);
    assert_eq!(hours(&lord_howe, "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"), 23.5);
    assert_eq!(hours(&lord_howe, "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"), 24.5);
}

#[test]
fn office_hours_keep_their_length_when_the_change_falls_outside_of_them() {
    let calendar = daily("Europe/Berlin", 540, 1020);
    for date in ["2026-03-28", "2026-03-29", "2026-10-25", "2026-10-26"] {
        let noon = at(&format!("{date}T11:00:00Z"));
        assert_eq!(
            calendar.working_between(noon.plus(-11 * HOUR), noon.plus(11 * HOUR), &[]),
            8 * HOUR,
            "{date}"
        );
    }
    // 09:00 is 08:00Z in winter and 07:00Z in summer.
    assert_eq!(
        calendar.add_working(at("2026-03-28T12:00:00Z"), 5 * HOUR, &[]),
        Some(at("2026-03-29T08:00:00Z"))
    );
    assert!(calendar.is_working(at("2026-03-29T07:00:00Z")));
    assert!(!calendar.is_working(at("2026-03-28T07:00:00Z")));
}

#[test]
fn a_skipped_time_never_counts_and_a_repeated_time_counts_twice() {
    let night = daily("Europe/Berlin", 150, 240);
    // 02:30 does not exist: the shift starts when the wall shows 03:00.
    assert_eq!(hours(&night, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 1.0);
    assert_eq!(
        night.add_working(at("2026-03-28T23:00:00Z"), 1, &[]),
        Some(Instant(at("2026-03-29T01:00:00Z").ms() + 1))
    );
    let gone = daily("Europe/Berlin", 125, 175);
    assert_eq!(hours(&gone, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 0.0);
    // 02:30 to 03:00 comes twice: 00:30Z to 01:00Z and 01:30Z to 02:00Z.
    assert_eq!(hours(&night, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 2.0);
    assert!(night.is_working(at("2026-10-25T00:45:00Z")));
    assert!(!night.is_working(at("2026-10-25T01:15:00Z")));
    assert!(night.is_working(at("2026-10-25T01:30:00Z")));
}

#[test]
fn a_day_that_a_zone_left_out_has_no_working_time() {
    // Samoa went from Thursday 29 to Saturday 31 December 2011.
    let apia = Calendar::office_hours(zone("Pacific/Apia"));
    assert_eq!(hours(&apia, "2011-12-29T10:00:00Z", "2012-01-01T09:00:00Z"), 8.0);
    assert_eq!(hours(&daily("Pacific/Apia", 0, 1440), "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z"), 48.0);
}

#[test]
fn weekends_holidays_and_leap_days_are_what_the_calendar_says() {
    let mut calendar = Calendar::office_hours(TimeZone::UTC);
    // Friday 15:00 and four hours: two today, two on Monday.
    assert_eq!(
        calendar.add_working(at("2026-01-02T15:00:00Z"), 4 * HOUR, &[]),
        Some(at("2026-01-05T11:00:00Z"))
    );
    calendar.holidays = vec![day("2026-01-06"), day("2026-01-05")];
    assert_eq!(
        calendar.add_working(at("2026-01-02T15:00:00Z"), 4 * HOUR, &[]),
        Some(at("2026-01-07T11:00:00Z"))
    );
    // 29 February 2028 is a Tuesday.
    assert_eq!(
        calendar.add_working(at("2028-02-28T16:00:00Z"), 9 * HOUR, &[]),
        Some(at("2028-02-29T17:00:00Z"))
    );
    calendar.holidays.push(day("2028-02-29"));
    assert_eq!(hours(&calendar, "2028-02-28T00:00:00Z", "2028-03-02T00:00:00Z"), 16.0);
}

#[test]
fn an_absence_takes_away_exactly_what_it_covers_of_an_interval() {
    let calendar = Calendar::office_hours(TimeZone::UTC);
    let absence = |from: &str, to: &str| Absence { from: at(from), to: at(to) };
    let (from, to) = (at("2026-01-05T00:00:00Z"), at("2026-01-07T00:00:00Z"));
    let cases = [
        (vec![absence("2026-01-05T16:00:00Z", "2026-01-06T10:00:00Z")], 14),
        (vec![absence("2026-01-05T11:00:00Z", "2026-01-05T12:00:00Z")], 15),
        (
            vec![
                absence("2026-01-05T10:00:00Z", "2026-01-05T13:00:00Z"),
                absence("2026-01-05T12:00:00Z", "2026-01-05T14:00:00Z"),
            ],
            12,
        ),
        (vec![absence("2026-01-05T17:00:00Z", "2026-01-06T09:00:00Z")], 16),
        (vec![absence("2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z")], 0),
        (vec![absence("2026-01-05T12:00:00Z", "2026-01-05T11:00:00Z")], 16),
    ];
    for (absences, expected) in cases {
        assert_eq!(calendar.working_between(from, to, &absences), expected * HOUR, "{absences:?}");
    }
    let away = [absence("2026-01-05T12:00:00Z", "2026-01-06T12:00:00Z")];
    assert_eq!(
        calendar.add_working(at("2026-01-05T11:00:00Z"), 2 * HOUR, &away),
        Some(at("2026-01-06T13:00:00Z"))
    );
    assert!(absence("2026-01-05T12:00:00Z", "2026-01-05T12:00:00Z").problem().is_some());
}

#[test]
fn a_search_without_working_time_ends() {
    let start = at("2026-01-05T09:00:00Z");
    let mut calendar = Calendar::office_hours(TimeZone::UTC);
    let years = |n: i64| [Absence { from: start, to: start.plus(n * 365 * DAY) }];
    assert!(calendar.add_working(start, 1, &years(1)).is_some());
    assert_eq!(calendar.add_working(start, 1, &years(3)), None);
    assert_eq!(calendar.add_working(start, 0, &years(3)), Some(start));
    calendar.weekly.clear();
    assert_eq!(calendar.add_working(start, 1, &[]), None);
    assert_eq!(Calendar::office_hours(TimeZone::UTC).add_working(Instant::MAX, 1, &[]), None);
}

#[test]
fn every_problem_is_named_with_its_path() {
    let interval = |day, from, to| WeeklyInterval { day, from, to };
    let (monday, tuesday) = (Weekday::Monday, Weekday::Tuesday);
    let weekly = vec![
        interval(monday, 540, 720),
        interval(monday, 700, 800),
        interval(monday, 800, 900),
        interval(tuesday, 600, 600),
        interval(tuesday, 1400, 1500),
        interval(tuesday, 540, 560),
    ];
    let calendar = Calendar { weekly, ..Calendar::office_hours(TimeZone::UTC) };
    let problems = calendar.problems();
    let paths: Vec<String> = problems.iter().map(|problem| problem.path.join("/")).collect();
    assert_eq!(paths, ["weekly/1", "weekly/3/from", "weekly/4/to"]);
    assert_eq!(problems[0].message, "MON 11:40-13:20 overlaps MON 09:00-12:00; join them into one interval");
    assert!(Calendar::office_hours(TimeZone::UTC).problems().is_empty());
    assert_eq!(Calendar { weekly: vec![], ..calendar }.problems()[0].path, ["weekly"]);
}

#[test]
fn a_calendar_is_written_as_plain_text_and_read_strictly() {
    let mut calendar = Calendar::office_hours(zone("Europe/Berlin"));
    calendar.weekly.truncate(1);
    calendar.holidays = vec![day("2026-12-25")];
    let json = serde_json::to_value(&calendar).expect("a calendar");
    let expected = serde_json::json!({
        "timeZone": "Europe/Berlin", "weekly": [{"day": "MON", "from": 540, "to": 1020}], "holidays": ["2026-12-25"]
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Calendar>(json).expect("the same calendar"), calendar);
    assert!(TimeZone::parse("Europe/Atlantis").expect_err("no such zone").contains("Europe/Berlin"));
    for odd in ["2026-2-1", "2026-02-30", "+2026-1-01", "2026-01-01T00:00:00Z", ""] {
        assert!(Date::parse(odd).is_err(), "{odd}");
    }
}

/// Zones with their odd moments: changes at midnight and of half an hour, of two hours, a day left out, odd minutes.
const ODD: [(&str, &str); 12] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2024-11-03T06:00:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Antarctica/Troll", "2023-03-26T01:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Africa/Casablanca", "2024-03-10T02:00:00Z"),
    ("Asia/Kathmandu", "2024-02-29T00:00:00Z"),
    ("UTC", "1970-01-01T00:00:00Z"),
];

/// A calendar that nobody validated, an instant within three days of an odd moment, and absences around it.
fn any_case() -> impl Strategy<Value = (Calendar, Instant, Vec<Absence>)> {
    let interval = (0usize..7, 0u16..1440, 0u16..=1440).prop_map(|(day, from, to)| WeeklyInterval {
        day: Weekday::ALL[day],
        from: from.min(to),
        to: from.max(to),
    });
    let moment = (0usize..ODD.len(), -3 * 1440i64..3 * 1440);
    let weekly = prop::collection::vec(interval, 1..14);
    let holidays = prop::collection::vec(-3i64..6, 0..3);
    let absences = prop::collection::vec((-2 * 1440i64..5 * 1440, 0i64..1440), 0..4);
    (moment, weekly, holidays, absences).prop_map(|((odd, shift), weekly, holidays, absences)| {
        let (zone, moment) = (zone(ODD[odd].0), at(ODD[odd].1));
        let holidays = holidays.iter().map(|days| zone.date(moment.plus(days * DAY))).collect();
        let absence = |(from, length): &(i64, i64)| {
            let from = moment.plus(from * MINUTE);
            Absence { from, to: from.plus(length * MINUTE) }
        };
        let absences = absences.iter().map(absence).collect();
        (Calendar { time_zone: zone, weekly, holidays }, moment.plus(shift * MINUTE), absences)
    })
}

/// Asks the wall clock, once.
fn slow(calendar: &Calendar, at: Instant, absences: &[Absence]) -> bool {
    let local = calendar.time_zone.0.from_utc_datetime(&at.utc().naive_utc());
    let (date, minute) = (Date(local.date_naive()), (local.hour() * 60 + local.minute()) as u16);
    let day = Weekday::ALL[date.0.weekday().num_days_from_monday() as usize];
    calendar.weekly.iter().any(|i| i.day == day && i.from <= minute && minute < i.to)
        && !calendar.holidays.contains(&date)
        && !absences.iter().any(|absence| absence.from <= at && at < absence.to)
}

proptest! {
    #[test]
    fn equals_a_model_that_looks_at_every_minute((calendar, start, absences) in any_case(), days in 0i64..4, extra in 0i64..1440) {
        let minutes = days * 1440 + extra;
        let counts = |minute: &i64| slow(&calendar, start.plus(minute * MINUTE), &absences);
        let expected = (0..minutes).filter(counts).count() as i64 * MINUTE;
        prop_assert_eq!(calendar.working_between(start, start.plus(minutes * MINUTE), &absences), expected);
        let some = start.plus(extra * MINUTE);
        prop_assert_eq!(calendar.is_working(some), slow(&calendar, some, &[]));
        if expected > 0 {
            let last = (0..minutes).rev().find(counts).map(|minute| start.plus((minute + 1) * MINUTE));
            prop_assert_eq!(calendar.add_working(start, expected, &absences), last);
        }
    }

    #[test]
    fn between_undoes_add((calendar, start, absences) in any_case(), ms in 0i64..40 * HOUR) {
        if let Some(end) = calendar.add_working(start, ms, &absences) {
            prop_assert_eq!(calendar.working_between(start, end, &absences), ms);
            prop_assert!(ms == 0 || calendar.working_between(start, end.plus(-1), &absences) == ms - 1, "not the earliest");
        }
    }

    #[test]
    fn adding_is_monotone_and_in_two_steps_the_same((calendar, start, absences) in any_case(), a in 0i64..30 * HOUR, b in 0i64..30 * HOUR) {
        let first = calendar.add_working(start, a, &absences);
        let both = calendar.add_working(start, a + b, &absences);
        prop_assert_eq!(first.and_then(|first| calendar.add_working(first, b, &absences)), both);
        prop_assert!(first <= both || both.is_none());
        let whole = calendar.working_between(start, start.plus(a + b), &absences);
        let parts = calendar.working_between(start, start.plus(a), &absences)
            + calendar.working_between(start.plus(a), start.plus(a + b), &absences);
        prop_assert_eq!(whole, parts);
    }
}
