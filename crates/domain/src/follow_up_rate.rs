//! The follow-up rate: of the leads that sales was given, those that it turned to, how fast and how often.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::clock::{ClockLevel, ClockState, SlaClock};
use crate::dimension::Group;
use crate::lead::Cycle;
use crate::quantile::median;
use crate::share::Share;
use crate::stage::CycleOutcome;
use crate::time::Instant;

/// A lead in somebody's hands, as long as it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Who had it first; none of a queue.
    pub owner: Option<Uuid>,
    pub at: Instant,
    /// From the assignment to the first touch, in milliseconds.
    pub touched_ms: Option<i64>,
    /// Whether the promise to touch it was broken.
    pub breached: bool,
    /// Taken back before it was due.
    pub withdrawn: bool,
    /// Not touched, and still in time.
    pub pending: bool,
    /// Genuine attempts in its cycle until now.
    pub attempts: u32,
}

/// The assignments that follow from a hand-off at `offered_at`, up to the next one of the cycle. Clocks are the FIRST_TOUCH clocks
/// of the lead; without one, what the charter did not promise is read from the cycle.
pub fn assignments(
    offered_at: Instant,
    next: Option<Instant>,
    clocks: &[SlaClock],
    cycle: &Cycle,
) -> Vec<Assignment> {
    let within = |at: Instant| at >= offered_at && next.is_none_or(|next| at < next);
    let own = |clock: &&SlaClock| {
        (clock.level, clock.cycle) == (ClockLevel::Owner, cycle.number) && within(clock.started_at)
    };
    let attempts = cycle.attempts.count;
    let mine: Vec<&SlaClock> = clocks.iter().filter(own).collect();
    let by_clock = |clock: &SlaClock| {
        let breached = clock.breached_at.is_some();
        // What was done once somebody else had the lead is that one's touch.
        let passed_on = mine.iter().map(|one| one.started_at).filter(|at| *at > clock.started_at).min();
        let until = passed_on.into_iter().chain(next).min();
        let met_at = clock.met_at.filter(|at| until.is_none_or(|until| *at < until));
        let untouched = met_at.is_none();
        Assignment {
            owner: clock.subject_owner,
            at: clock.started_at,
            touched_ms: met_at.map(|at| at.since(clock.started_at).max(0)),
            breached,
            withdrawn: untouched && !breached && clock.state == ClockState::Cancelled,
            pending: untouched && matches!(clock.state, ClockState::Running | ClockState::Paused),
            attempts,
        }
    };
    let found: Vec<Assignment> = mine.iter().map(|clock| by_clock(clock)).collect();
    if !found.is_empty() {
        return found;
    }
    // A disposition is an answer, too; a merge or an erasure is none.
    let disposed = cycle.closed_at.filter(|_| {
        !matches!(cycle.outcome, CycleOutcome::Open | CycleOutcome::Merged | CycleOutcome::Erased)
    });
    // Of attempts the first and the newest are known; what lies before the offer was another hand-off's.
    let tried =
        [cycle.attempts.first, cycle.attempts.last].into_iter().flatten().find(|at| *at >= offered_at);
    let touched = [tried, disposed].into_iter().flatten().filter(|at| within(*at)).min();
    vec![Assignment {
        owner: None,
        at: offered_at,
        touched_ms: touched.map(|at| at.since(offered_at).max(0)),
        breached: false,
        withdrawn: touched.is_none() && (next.is_some() || cycle.closed_at.is_some()),
        pending: false,
        attempts,
    }]
}

#[derive(Clone, Debug, Default)]
struct Tally {
    assigned: u64,
    pending: u64,
    touched: u64,
    breached: u64,
    withdrawn: u64,
    attempts: Vec<i64>,
    waits: Vec<i64>,
}

/// Assignments that are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUpRow {
    pub group: Group,
    /// Without those that were taken back.
    pub assigned: u64,
    /// Of them, those that are untouched and still in time.
    pub pending: u64,
    /// Touched, of those whose time does not run any more.
    pub rate: Share,
    pub breached: u64,
    /// Taken back before they were due; in none of the other figures.
    pub withdrawn: u64,
    pub median_attempts: Option<i64>,
    /// In milliseconds.
    pub median_wait: Option<i64>,
}

/// Assignments by group.
#[derive(Clone, Debug, Default)]
pub struct FollowUpRate(BTreeMap<Group, Tally>);

impl FollowUpRate {
    pub fn add(&mut self, group: Group, one: Assignment) {
        let tally = self.0.entry(group).or_default();
        if one.withdrawn {
            tally.withdrawn += 1;
            return;
        }
        tally.assigned += 1;
        tally.pending += u64::from(one.pending);
        tally.touched += u64::from(one.touched_ms.is_some());
        tally.breached += u64::from(one.breached);
        tally.attempts.push(i64::from(one.attempts));
        tally.waits.extend(one.touched_ms);
    }

    /// Those with the most assignments first; the others last.
    pub fn finish(self) -> Vec<FollowUpRow> {
        let row = |(group, mut tally): (Group, Tally)| FollowUpRow {
            group,
            assigned: tally.assigned,
            pending: tally.pending,
            rate: Share::of(tally.touched, tally.assigned - tally.pending),
            breached: tally.breached,
            withdrawn: tally.withdrawn,
            median_attempts: median(&mut tally.attempts),
            median_wait: median(&mut tally.waits),
        };
        let mut rows: Vec<FollowUpRow> = self.0.into_iter().map(row).collect();
        rows.sort_by(|a, b| {
            (a.group.is_others().cmp(&b.group.is_others()))
                .then_with(|| b.assigned.cmp(&a.assigned))
                .then_with(|| a.group.cmp(&b.group))
        });
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{CalendarMode, ClockKind, ClockStart, Party, SlaPolicy, WorkingTime};
    use crate::lead::Journey;
    use crate::time::{HOUR, MINUTE};

    fn cycle() -> Cycle {
        let mut cycle = Journey::blank(Uuid::nil(), Instant(0)).cycle;
        cycle.number = 1;
        cycle
    }

    /// An hour from `at`, in the hands of the user with this number.
    fn clock(at: i64, owner: u128) -> SlaClock {
        let policy = SlaPolicy::defaults().into_iter().find(|one| one.kind == ClockKind::FirstTouch);
        let policy = SlaPolicy { mode: CalendarMode::WallClock, ..policy.expect("a policy") };
        let start = ClockStart {
            id: Uuid::from_u128(7),
            party: Party::Sales,
            level: ClockLevel::Owner,
            cycle: 1,
            subject_owner: Some(Uuid::from_u128(owner)),
            policy_charter: 1,
            at: Instant(at),
            target_ms: HOUR,
        };
        SlaClock::apply(None, &SlaClock::start(&policy, start, WorkingTime::Wall)).expect("a clock")
    }

    fn after(clock: SlaClock, events: impl Fn(&SlaClock) -> Vec<crate::clock::ClockEvent>) -> SlaClock {
        let found = events(&clock);
        found.iter().fold(clock, |clock, event| SlaClock::apply(Some(clock), event).expect("a clock"))
    }

    #[test]
    fn each_pair_of_hands_is_judged_by_its_own_promise() {
        let met = after(clock(0, 1), |clock| clock.meet(Instant(20 * MINUTE)));
        let late = after(after(clock(0, 1), |clock| clock.catch_up(Instant(2 * HOUR))), |clock| {
            clock.meet(Instant(3 * HOUR))
        });
        let broken = after(clock(0, 1), |clock| clock.catch_up(Instant(2 * HOUR)));
        let gone = after(clock(0, 1), |clock| clock.cancel(Instant(MINUTE)).into_iter().collect());
        let told = |clocks: &[SlaClock], next: Option<i64>| {
            let found = assignments(Instant(0), next.map(Instant), clocks, &cycle());
            let row = |one: &Assignment| (one.touched_ms, one.breached, one.withdrawn, one.pending);
            found.iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(told(&[met], None), [(Some(20 * MINUTE), false, false, false)]);
        assert_eq!(told(&[late], None), [(Some(3 * HOUR), true, false, false)]);
        assert_eq!(told(&[clock(0, 1)], None), [(None, false, false, true)]);
        assert_eq!(told(&[gone], None), [(None, false, true, false)]);
        let both = told(&[broken.clone(), clock(5 * HOUR, 2)], None);
        assert_eq!(
            both,
            [(None, true, false, false), (None, false, false, true)],
            "it expired, and another has it"
        );
        // Whoever has it then touches it, which meets both promises: the first hands did not.
        let touch = |clock: &SlaClock| clock.meet(Instant(5 * HOUR + MINUTE));
        let (first, second) = (after(broken.clone(), touch), after(clock(5 * HOUR, 2), touch));
        let expected = [(None, true, false, false), (Some(MINUTE), false, false, false)];
        assert_eq!(told(&[first, second], None), expected);
        let of_first = told(&[broken, clock(5 * HOUR, 2)], Some(5 * HOUR));
        assert_eq!(of_first, [(None, true, false, false)], "the next hand-off has its own");
    }

    #[test]
    fn without_a_promise_the_cycle_tells() {
        let told = |cycle: &Cycle, next: Option<i64>| {
            let found = assignments(Instant(100), next.map(Instant), &[], cycle);
            (found[0].touched_ms, found[0].withdrawn)
        };
        let mut one = cycle();
        assert_eq!(told(&one, None), (None, false));
        assert_eq!(told(&one, Some(500)), (None, true));
        one.attempts.record("CALL", Instant(250));
        assert_eq!(told(&one, None), (Some(150), false));
        assert_eq!(told(&one, Some(200)), (None, true), "touched in other hands");
        // A returned hand-off was touched before, and this one after it was offered again.
        let mut again = cycle();
        again.attempts.record("CALL", Instant(50));
        again.attempts.record("CALL", Instant(160));
        assert_eq!(told(&again, None), (Some(60), false));
        let mut disposed = cycle();
        (disposed.closed_at, disposed.outcome) = (Some(Instant(130)), CycleOutcome::Disqualified);
        assert_eq!(told(&disposed, None), (Some(30), false));
        disposed.outcome = CycleOutcome::Merged;
        assert_eq!(told(&disposed, None), (None, true));
    }

    #[test]
    fn the_rate_is_of_what_is_due_and_medians_are_by_rank() {
        let one = |touched: Option<i64>, attempts: u32| Assignment {
            owner: None,
            at: Instant(0),
            touched_ms: touched,
            breached: touched.is_none(),
            withdrawn: false,
            pending: false,
            attempts,
        };
        let mut found = FollowUpRate::default();
        for assignment in [
            one(Some(10), 1),
            one(Some(30), 4),
            one(None, 0),
            Assignment { pending: true, breached: false, ..one(None, 0) },
            Assignment { withdrawn: true, ..one(None, 9) },
        ] {
            found.add(Group::all(), assignment);
        }
        let rows = found.finish();
        let expected = FollowUpRow {
            group: Group::all(),
            assigned: 4,
            pending: 1,
            rate: Share::of(2, 3),
            breached: 1,
            withdrawn: 1,
            median_attempts: Some(0),
            median_wait: Some(10),
        };
        assert_eq!(rows, [expected]);
    }
}
