//! Clocks by example, and over random lives of many clocks.

use proptest::prelude::*;

use super::*;
use crate::calendar::{TimeZone, WeeklyInterval};
use crate::time::{DAY, HOUR};

fn at(text: &str) -> Instant {
    Instant::parse(text).expect("an instant")
}

fn policy(kind: ClockKind) -> SlaPolicy {
    SlaPolicy::defaults().into_iter().find(|policy| policy.kind == kind).expect("a policy of each kind")
}

fn begin(policy: &SlaPolicy, at: Instant, work: WorkingTime) -> ClockEvent {
    let start = ClockStart {
        id: Uuid::from_u128(7),
        party: policy.party.unwrap_or(Party::Sales),
        level: ClockLevel::Owner,
        cycle: 1,
        subject_owner: None,
        policy_charter: 3,
        at,
        target_ms: policy.target_ms(false),
    };
    SlaClock::start(policy, start, work)
}

fn run(mut clock: SlaClock, events: impl IntoIterator<Item = ClockEvent>) -> SlaClock {
    for event in events {
        clock = SlaClock::apply(Some(clock), &event).expect("a started clock");
    }
    clock
}

/// ACCEPT, four business hours, from Friday 14:00 in Berlin.
const FRIDAY: &str = "2026-03-27T13:00:00Z";

fn berlin() -> Calendar {
    Calendar::office_hours(TimeZone::parse("Europe/Berlin").expect("a zone"))
}

fn accept(work: WorkingTime) -> SlaClock {
    SlaClock::fold([&begin(&policy(ClockKind::Accept), at(FRIDAY), work)]).expect("a clock")
}

#[test]
fn a_clock_over_a_weekend_and_the_change_to_summer_time_is_due_in_working_hours() {
    let calendar = berlin();
    let work = WorkingTime::Hours { calendar: &calendar, absences: &[] };
    let clock = accept(work);
    // Friday 14:00 to 17:00 local, and one hour from 09:00 on Monday, which is 07:00Z now.
    assert_eq!(clock.due_at, at("2026-03-30T08:00:00Z"));
    assert_eq!(
        (clock.state, clock.mode, clock.target_ms),
        (ClockState::Running, CalendarMode::OwnerHours, 4 * HOUR)
    );
    assert_eq!(clock.step_at(50, work), Some(at("2026-03-27T15:00:00Z")));
    assert_eq!(clock.step_at(80, work), Some(at("2026-03-30T07:12:00Z")));
    assert_eq!(clock.step_at(100, work), Some(clock.due_at));
    assert_eq!(clock.step_at(200, work), Some(at("2026-03-30T12:00:00Z")));
    assert_eq!(clock.wake_at(), Some(clock.due_at.plus(1)));
}

#[test]
fn an_act_at_the_due_time_is_in_time_and_one_after_it_is_not() {
    let clock = accept(WorkingTime::Wall);
    assert!(clock.catch_up(clock.due_at).is_empty());
    let met = run(clock.clone(), clock.meet(clock.due_at));
    assert_eq!((met.state, met.met_at, met.wake_at()), (ClockState::Met, Some(clock.due_at), None));
    let events = clock.meet(clock.due_at.plus(1));
    assert_eq!(events[0], ClockEvent::Breached { id: clock.id, at: clock.due_at });
    let late = run(clock.clone(), events);
    assert_eq!(
        (late.state, late.breached_at, late.met_at),
        (ClockState::Breached, Some(clock.due_at), Some(clock.due_at.plus(1)))
    );
    assert_eq!(late.step_at(200, WorkingTime::Wall), None, "nobody is escalated to once the promise is kept");
}

#[test]
fn a_breach_is_dated_to_the_due_time_and_happens_once() {
    let clock = accept(WorkingTime::Wall);
    let breached = run(clock.clone(), clock.catch_up(clock.due_at.plus(90 * DAY)));
    assert_eq!(breached.breached_at, Some(clock.due_at));
    assert!(breached.catch_up(clock.due_at.plus(91 * DAY)).is_empty());
    assert!(breached.cancel(clock.due_at.plus(91 * DAY)).is_empty());
    let overdue = clock.cancel(clock.due_at.plus(1));
    assert_eq!(run(clock, overdue).state, ClockState::Breached, "cancelling does not forgive");
}

#[test]
fn a_late_report_of_an_act_in_time_corrects_a_breach_and_a_late_report_of_a_late_act_does_not() {
    let clock = accept(WorkingTime::Wall);
    let due = clock.due_at;
    let breached = run(clock.clone(), clock.catch_up(due.plus(HOUR)));
    let late = run(breached.clone(), breached.meet(due.plus(HOUR)));
    assert_eq!(
        (late.state, late.met_at, late.corrected),
        (ClockState::Breached, Some(due.plus(HOUR)), false)
    );
    let less_late = run(late.clone(), late.meet(due.plus(MINUTE)));
    assert_eq!((less_late.state, less_late.met_at), (ClockState::Breached, Some(due.plus(MINUTE))));
    assert!(less_late.meet(due.plus(2 * MINUTE)).is_empty());
    let corrected = run(less_late.clone(), less_late.meet(due.plus(-MINUTE)));
    assert_eq!(
        (corrected.state, corrected.met_at, corrected.corrected),
        (ClockState::Met, Some(due.plus(-MINUTE)), true)
    );
    assert_eq!(corrected.breached_at, Some(due), "the history stays visible");
    assert!(corrected.meet(due).is_empty());
    let earlier = run(corrected.clone(), corrected.meet(due.plus(-HOUR)));
    assert_eq!((earlier.state, earlier.met_at), (ClockState::Met, Some(due.plus(-HOUR))));
    assert!(clock.meet(clock.started_at.plus(-1)).is_empty(), "an act before the start keeps no promise");
}

#[test]
fn a_pause_needs_a_reason_of_the_charter_and_ends_at_its_maximum() {
    let (clock, rules) = (accept(WorkingTime::Wall), policy(ClockKind::Accept));
    let start = clock.started_at;
    let refused = clock.pause(start, "HOLIDAY", &rules, WorkingTime::Wall).expect_err("no such reason");
    assert!(refused.message.contains(CONTEXT_REQUESTED), "{refused}");
    assert!(clock.pause(clock.due_at.plus(1), CONTEXT_REQUESTED, &rules, WorkingTime::Wall).is_err());
    let route = policy(ClockKind::Route);
    assert!(clock.pause(start, CONTEXT_REQUESTED, &route, WorkingTime::Wall).is_err());

    let paused =
        run(clock.clone(), clock.pause(start.plus(HOUR), CONTEXT_REQUESTED, &rules, WorkingTime::Wall));
    let until = start.plus(17 * HOUR);
    let pause = paused.pause.as_ref().expect("a pause");
    assert_eq!((pause.until, pause.remaining_ms, paused.due_at), (until, 3 * HOUR, until.plus(3 * HOUR)));
    assert_eq!((paused.wake_at(), paused.step_at(80, WorkingTime::Wall)), (Some(until), None));
    assert!(paused.pause(until, CONTEXT_REQUESTED, &rules, WorkingTime::Wall).is_err(), "paused already");
    // The worker slept for a week: the pause still ended when it had to, and the clock breached when it had to.
    let slept = run(paused.clone(), paused.catch_up(start.plus(7 * DAY)));
    assert_eq!(
        (slept.state, slept.running_since, slept.breached_at),
        (ClockState::Breached, until, Some(until.plus(3 * HOUR)))
    );
    let resumed = run(paused.clone(), paused.resume(start.plus(7 * DAY), WorkingTime::Wall));
    assert_eq!((resumed.running_since, resumed.paused_total_ms), (until, 16 * HOUR));
    let spent =
        resumed.pause(until.plus(HOUR), CONTEXT_REQUESTED, &rules, WorkingTime::Wall).expect_err("used up");
    assert!(spent.message.contains("960 minutes"), "{spent}");
    assert_eq!(resumed.resume(until, WorkingTime::Wall), None);
}

#[test]
fn a_step_that_passed_before_a_pause_does_not_come_again() {
    let (clock, rules) = (accept(WorkingTime::Wall), policy(ClockKind::Accept));
    let paused = run(
        clock.clone(),
        clock.pause(clock.started_at.plus(3 * HOUR), CONTEXT_REQUESTED, &rules, WorkingTime::Wall),
    );
    let resumed = run(paused.clone(), paused.resume(clock.started_at.plus(5 * HOUR), WorkingTime::Wall));
    assert_eq!(resumed.due_at, clock.due_at.plus(2 * HOUR));
    assert_eq!(resumed.step_at(50, WorkingTime::Wall), None);
    assert_eq!(resumed.step_at(80, WorkingTime::Wall), Some(clock.started_at.plus(2 * HOUR + 192 * MINUTE)));
}

#[test]
fn without_working_time_in_sight_the_wall_clock_counts_to_the_end() {
    let calendar = berlin();
    let absences = [Absence { from: at(FRIDAY), to: at(FRIDAY).plus(1_200 * DAY) }];
    let work = WorkingTime::Hours { calendar: &calendar, absences: &absences };
    let clock = accept(work);
    assert_eq!((clock.mode, clock.due_at), (CalendarMode::WallClock, at(FRIDAY).plus(4 * HOUR)));
    let rules = policy(ClockKind::Accept);
    let paused = run(clock.clone(), clock.pause(at(FRIDAY).plus(HOUR), CONTEXT_REQUESTED, &rules, work));
    let resumed = run(paused.clone(), paused.resume(at(FRIDAY).plus(2 * HOUR), work));
    assert_eq!(resumed.due_at, at(FRIDAY).plus(5 * HOUR));
}

#[test]
fn hours_that_change_during_a_pause_count_from_the_resumption_and_never_beyond_the_maximum() {
    let (office, rules) = (berlin(), policy(ClockKind::Accept));
    let weekly =
        crate::calendar::Weekday::ALL.iter().map(|day| WeeklyInterval { day: *day, from: 0, to: 1440 });
    let always = Calendar { weekly: weekly.collect(), ..berlin() };
    let [before, after] = [&office, &always].map(|calendar| WorkingTime::Hours { calendar, absences: &[] });
    let clock = accept(before);
    let paused = run(clock.clone(), clock.pause(at(FRIDAY), CONTEXT_REQUESTED, &rules, before));
    let monday = at("2026-03-30T08:00:00Z");
    let resumed = run(paused.clone(), paused.resume(monday, after));
    assert_eq!((resumed.due_at, resumed.paused_total_ms), (monday.plus(4 * HOUR), 16 * HOUR));
}

#[test]
fn the_defaults_are_the_agreed_ones_and_sound() {
    let defaults = SlaPolicy::defaults();
    assert!(defaults.iter().all(|policy| policy.problems().is_empty()));
    assert!(defaults.iter().map(|policy| policy.kind).eq(ClockKind::ALL.iter().copied()));
    let minutes = |kind| policy(kind).target_minutes;
    assert_eq!((minutes(ClockKind::Route), policy(ClockKind::Route).mode), (1, CalendarMode::WallClock));
    assert_eq!((minutes(ClockKind::Accept), minutes(ClockKind::FirstTouch)), (240, 60));
    assert_eq!(policy(ClockKind::FirstTouch).target_ms(true), 5 * MINUTE);
    assert_eq!(policy(ClockKind::Accept).target_ms(true), 4 * HOUR);
    assert_eq!(policy(ClockKind::Disposition).target_ms(false), 14 * DAY);
    assert_eq!(
        (minutes(ClockKind::Context), minutes(ClockKind::FeedbackAck), minutes(ClockKind::GreyCase)),
        (480, 960, 1440)
    );
}

#[test]
fn every_problem_of_a_policy_is_named_with_its_path() {
    let odd = SlaPolicy {
        target_minutes: 0,
        urgent_target_minutes: Some(9),
        steps: vec![80, 80],
        pause_reasons: vec!["A".into(), "A".into()],
        min_attempts: Some(3),
        ..policy(ClockKind::Route)
    };
    let paths: Vec<String> = odd.problems().iter().map(|problem| problem.path.join("/")).collect();
    assert_eq!(
        paths,
        ["targetMinutes", "urgentTargetMinutes", "steps", "maxPauseMinutes", "pauseReasons/1", "minAttempts"]
    );
    let none = SlaPolicy { min_attempts: None, ..policy(ClockKind::Attempts) };
    assert_eq!(none.problems()[0].path, ["minAttempts"]);
}

#[test]
fn events_and_policies_are_written_in_the_names_of_the_api() {
    let clock = accept(WorkingTime::Wall);
    let started = begin(&policy(ClockKind::Accept), at(FRIDAY), WorkingTime::Wall);
    let expected = serde_json::json!({
        "clockEvent": "STARTED", "id": clock.id, "kind": "ACCEPT", "party": "SALES", "level": "OWNER", "cycle": 1,
        "policyCharter": 3, "mode": "WALL_CLOCK", "at": at(FRIDAY), "targetMs": 14_400_000, "dueAt": clock.due_at
    });
    assert_eq!(serde_json::to_value(&started).expect("json"), expected);
    let route = serde_json::json!({
        "kind": "ROUTE", "party": "MARKETING", "mode": "WALL_CLOCK", "targetMinutes": 1, "steps": [50, 80, 100, 200],
        "maxPauseMinutes": 0
    });
    assert_eq!(serde_json::to_value(policy(ClockKind::Route)).expect("json"), route);
    assert_eq!(SlaClock::fold(&clock.meet(clock.due_at)), None, "a life without a start is no clock");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Start,
    Pause,
    Resume,
    /// Reports an act that occurred this long ago.
    Meet(i64),
    Wake,
    Cancel,
}

/// Who acts, on which of the clocks, and how long after the act before.
fn lives() -> impl Strategy<Value = Vec<(Act, usize, i64)>> {
    let act = prop_oneof![
        4 => Just(Act::Start),
        4 => Just(Act::Pause),
        4 => Just(Act::Resume),
        3 => (0i64..5 * HOUR).prop_map(Act::Meet),
        3 => Just(Act::Wake),
        1 => Just(Act::Cancel),
    ];
    prop::collection::vec((act, 0usize..8, 0i64..3 * HOUR), 1..80)
}

/// Days whose length is not 24 h, with hours through the night, and somebody who leaves in between.
fn hours(from: Instant, open: u16, length: u16, away: i64) -> (Calendar, Vec<Absence>) {
    let zone = TimeZone::parse("Australia/Lord_Howe").expect("a zone");
    let days = crate::calendar::Weekday::ALL;
    let weekly = days.iter().map(|day| WeeklyInterval { day: *day, from: open, to: open + length }).collect();
    let absence = Absence { from: from.plus(away), to: from.plus(away + 5 * HOUR) };
    (Calendar { time_zone: zone, weekly, holidays: vec![] }, vec![absence])
}

proptest! {
    #[test]
    fn a_clock_is_the_fold_of_its_events_and_every_clock_is_counted_once(
        lives in lives(), open in 0u16..600, length in 60u16..840, away in 0i64..2 * DAY, wall: bool,
    ) {
        let mut now = at("2026-10-02T20:00:00Z");
        let (calendar, absences) = hours(now, open, length, away);
        let work = if wall { WorkingTime::Wall } else { WorkingTime::Hours { calendar: &calendar, absences: &absences } };
        let rules = policy(ClockKind::Accept);
        let mut clocks: Vec<(SlaClock, Vec<ClockEvent>)> = vec![];
        for (act, which, wait) in lives {
            now = now.plus(wait);
            let of = which % clocks.len().max(1);
            let events = match (act, clocks.get(of).map(|(clock, _)| clock)) {
                (Act::Start, _) | (_, None) => {
                    let first = begin(&rules, now, work);
                    clocks.push((SlaClock::fold([&first]).expect("a clock"), vec![first]));
                    continue;
                }
                (Act::Pause, Some(clock)) => clock.pause(now, CONTEXT_REQUESTED, &rules, work).into_iter().collect(),
                (Act::Resume, Some(clock)) => clock.resume(now, work).into_iter().collect(),
                (Act::Meet(ago), Some(clock)) => clock.meet(now.plus(-ago)),
                (Act::Wake, Some(clock)) => clock.catch_up(now),
                (Act::Cancel, Some(clock)) => clock.cancel(now),
            };
            let (clock, log) = &mut clocks[of];
            for event in events {
                let next = run(clock.clone(), [event.clone()]);
                let ended = matches!(clock.state, ClockState::Met | ClockState::Breached | ClockState::Cancelled);
                let corrects = (clock.state, next.state, next.corrected) == (ClockState::Breached, ClockState::Met, true);
                prop_assert!(!ended || next.state == clock.state || corrects, "{:?} after {:?}", event, clock);
                prop_assert!(next.met_at.is_none_or(|met| met >= next.started_at));
                prop_assert!(next.state != ClockState::Met || next.met_at.is_some_and(|met| met <= next.due_at));
                prop_assert_eq!(next.pause.is_some(), next.state == ClockState::Paused);
                *clock = next;
                log.push(event);
            }
            let breaches = log.iter().filter(|event| matches!(event, ClockEvent::Breached { .. })).count();
            prop_assert!(breaches <= 1);
            prop_assert_eq!(breaches == 1, clock.breached_at.is_some());
            prop_assert_eq!(SlaClock::fold(log.iter()), Some(clock.clone()));
            let json = serde_json::to_string(&log).expect("json");
            prop_assert_eq!(&serde_json::from_str::<Vec<ClockEvent>>(&json).expect("events"), log);
            // What the target and the ended pauses took is the time from start to due, whatever happened between.
            if matches!(clock.state, ClockState::Running | ClockState::Breached) {
                prop_assert_eq!(work.between(clock.started_at, clock.due_at), clock.target_ms + clock.paused_total_ms);
            }
            prop_assert!(clock.paused_total_ms <= i64::from(rules.max_pause_minutes) * MINUTE);
        }
        let count = |state| clocks.iter().filter(|(clock, _)| clock.state == state).count();
        prop_assert_eq!(ClockState::ALL.iter().map(|state| count(*state)).sum::<usize>(), clocks.len());
    }

    #[test]
    fn a_pause_shifts_the_due_time_by_exactly_the_paused_working_time(
        open in 0u16..600, length in 60u16..840, away in 0i64..2 * DAY, before in 0i64..4 * HOUR, paused in 0i64..2 * DAY,
    ) {
        let start = at("2026-10-02T20:00:00Z");
        let (calendar, absences) = hours(start, open, length, away);
        let work = WorkingTime::Hours { calendar: &calendar, absences: &absences };
        let rules = policy(ClockKind::Accept);
        let clock = SlaClock::fold([&begin(&rules, start, work)]).expect("a clock");
        let from = work.after(start, before).expect("working time");
        let to = from.plus(paused);
        let after = run(clock.clone(), clock.pause(from, CONTEXT_REQUESTED, &rules, work));
        let after = run(after.clone(), after.resume(to, work));
        prop_assert_eq!(after.state, ClockState::Running);
        let shift = work.between(from, to).min(i64::from(rules.max_pause_minutes) * MINUTE);
        prop_assert_eq!(after.paused_total_ms, shift);
        prop_assert_eq!(Some(after.due_at), work.after(start, clock.target_ms + shift));
    }
}
