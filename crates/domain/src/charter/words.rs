//! The charter's values in plain words, for everybody who reads it.

use crate::clock::{CalendarMode, ClockKind};
use crate::criterion::{Comparator, FieldTest};

/// `company.employees is at least "50"`.
pub fn test(test: &FieldTest) -> String {
    let FieldTest { field, comparator, values } = test;
    let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    let values = values.join(" or ");
    match comparator {
        Comparator::Eq => format!("{field} is {values}"),
        Comparator::Neq => format!("{field} is known and not {values}"),
        Comparator::In => format!("{field} is one of {values}"),
        Comparator::Gte => format!("{field} is at least {values}"),
        Comparator::Lte => format!("{field} is at most {values}"),
        Comparator::Known => format!("{field} is known"),
    }
}

/// `4 hours`, `1 hour 30 minutes`. Days only where all hours count: a working day is shorter.
pub fn minutes(minutes: u32, mode: CalendarMode) -> String {
    let (mut left, mut parts) = (minutes, vec![]);
    if mode == CalendarMode::WallClock {
        parts.push((left / 1_440, "day"));
        left %= 1_440;
    }
    parts.extend([(left / 60, "hour"), (left % 60, "minute")]);
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, one)| counted(count, one)).collect();
    if parts.is_empty() { "0 minutes".to_owned() } else { parts.join(" ") }
}

/// `1 day`, `2 days`.
pub fn counted(count: u32, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Which hours count.
pub fn hours(mode: CalendarMode) -> &'static str {
    match mode {
        CalendarMode::WallClock => "all hours",
        CalendarMode::TeamHours => "the team's working hours",
        CalendarMode::OwnerHours => "the owner's working hours",
    }
}

/// What a service level promises.
pub fn promise(kind: ClockKind) -> &'static str {
    match kind {
        ClockKind::Route => "Give a qualified lead an owner or a queue",
        ClockKind::Accept => "Answer a hand-off",
        ClockKind::FirstTouch => "Touch a lead first",
        ClockKind::Attempts => "Try to reach a lead as often as agreed",
        ClockKind::Disposition => "Say what became of a lead",
        ClockKind::Requalify => "Look at a recycled lead again",
        ClockKind::Context => "Answer a question about a lead's context",
        ClockKind::FeedbackAck => "Acknowledge feedback",
        ClockKind::GreyCase => "Give an opinion on a grey case",
        ClockKind::CharterReview => "Review the charter",
    }
}

pub fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

/// `MARKETING` as `Marketing`, `AT_OPPORTUNITY` as `At opportunity`.
pub fn spoken(spelling: &str) -> String {
    let mut text = spelling.replace('_', " ").to_lowercase();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_lose_nothing_and_a_working_day_is_not_taken_for_a_day() {
        let said = |count, mode| minutes(count, mode);
        assert_eq!(said(90, CalendarMode::OwnerHours), "1 hour 30 minutes");
        assert_eq!(said(1_441, CalendarMode::WallClock), "1 day 1 minute");
        assert_eq!(said(2_880, CalendarMode::TeamHours), "48 hours");
        assert_eq!(said(0, CalendarMode::WallClock), "0 minutes");
        assert_eq!(spoken("AT_OPPORTUNITY"), "At opportunity");
        assert_eq!(
            test(&FieldTest::new("company.industry", Comparator::In, &["a", "b"])),
            "company.industry is one of \"a\" or \"b\""
        );
    }
}
