//! Any sequence of verbs, sensible or not, at any times: the invariants hold after each step.

use std::collections::BTreeSet;

use handfast_domain::clock::ClockKind;
use handfast_domain::context_request::ContextAnswer;
use handfast_domain::customer::{Advocacy, Churn, ChurnReason};
use handfast_domain::disposition::{Disposal, default_reasons};
use handfast_domain::evaluation::{Composition, GateResult};
use handfast_domain::event::{ActivityKind, Direction, Fact, GreyTrigger};
use handfast_domain::follow_up::NewFollowUp;
use handfast_domain::lead::Journey;
use handfast_domain::meeting::{Expectation, MeetingOutcome, MeetingPurpose};
use handfast_domain::merge::{check, survivor};
use handfast_domain::qualify::Capture;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::sales::Activity;
use handfast_domain::stage::{Cause, Channel, CycleOpenedBy, CycleOutcome, StageKind, WorkState};
use handfast_domain::time::{DAY, HOUR, Instant, MINUTE};
use handfast_domain::verdict::{Outcome, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use crate::invariants;
use crate::world::{
    Funnel, IVO, MIA, PEOPLE, SUE, Step, Vote, World, copy, destination, graded, packet, question,
};

const LEADS: usize = 3;

#[derive(Clone, Debug)]
struct Op {
    lead: usize,
    wait: i64,
    urgent: bool,
    verb: Verb,
}

#[derive(Clone, Debug)]
enum Verb {
    Capture,
    /// The votes of the slots; the lead is routed at once if it reached MQL and `route` says so.
    Evaluate {
        votes: Vec<Vote>,
        route: Option<Target>,
    },
    /// Gate results as no host would compute them.
    Forged {
        gates: Vec<(StageKind, Outcome)>,
        votes: Vec<Vote>,
    },
    Route(Target),
    Accept(usize),
    /// With a question, or without.
    Reject(usize, Answer, bool),
    Ask(usize),
    /// To the oldest question that waits.
    Reply,
    Enrol(&'static str),
    Leave,
    /// With another lead; the older one goes on.
    Merge(usize),
    Erase,
    Log {
        kind: ActivityKind,
        direction: Direction,
        automated: bool,
        ago: i64,
        meeting: Option<MeetingOutcome>,
    },
    /// A follow-up so many milliseconds ahead.
    Plan(ActivityKind, i64),
    /// The follow-up that was planned last.
    Unplan,
    Expect(MeetingPurpose),
    Qualify,
    Opportunity {
        amount: i64,
        foreign: bool,
    },
    Won {
        amount: i64,
    },
    Lost(Answer),
    Close(CycleOutcome, Answer),
    Requalify(CycleOpenedBy),
    Reopen,
    Tick,
    Advocate(Advocacy),
    Renew(Option<i64>),
    Churn(ChurnReason, Option<i64>),
    DateRenewal(Option<i64>),
    /// What usually comes next, whatever it is: so that sequences get far.
    Ahead,
    Profile {
        employees: i64,
        grade: i64,
    },
    Import {
        ago: i64,
        steps: Vec<Past>,
    },
}

#[derive(Clone, Debug)]
enum Target {
    Owner(usize),
    Queue(&'static str),
    Nobody,
}

/// A disposition as a person gives it.
#[derive(Clone, Debug)]
struct Answer {
    reason: String,
    in_days: Option<i64>,
    on: Option<&'static str>,
    competitor: bool,
}

/// A row of an import.
#[derive(Clone, Debug)]
enum Past {
    Stage(StageKind),
    Won(Option<i64>),
    Ended(CycleOutcome, Answer),
    Requalified,
    Reopened,
    Called,
}

fn reasons() -> Vec<String> {
    let known = default_reasons().into_iter().map(|reason| reason.key);
    known.chain(["NO_SUCH_REASON".to_owned(), String::new()]).collect()
}

fn reason() -> impl Strategy<Value = String> {
    // NO_RESPONSE depends on more than the others do, and would seldom be met at the right moment.
    prop_oneof![8 => select(reasons()), 1 => Just("NO_RESPONSE".to_owned())]
}

fn answer() -> impl Strategy<Value = Answer> {
    let on = prop_oneof![6 => Just(None), 2 => Just(Some("feature-sso")), 1 => Just(Some("no-such-signal"))];
    (reason(), option::of(-1..200i64), on, any::<bool>())
        .prop_map(|(reason, in_days, on, competitor)| Answer { reason, in_days, on, competitor })
}

fn vote() -> impl Strategy<Value = Vote> {
    let failed = select(vec![
        Status::Fault,
        Status::Trapped,
        Status::Stack,
        Status::OutOfFuel,
        Status::Timeout,
        Status::Memory,
        Status::InvalidOutput,
        Status::Busy,
    ]);
    prop_oneof![
        8 => Just(Vote::Advance),
        2 => option::of(-1..60i64).prop_map(Vote::Hold),
        1 => Just(Vote::Review),
        1 => (reason(), option::of(-1..60i64)).prop_map(|(reason, days)| Vote::Recycle(reason, days)),
        1 => reason().prop_map(Vote::Disqualify),
        2 => failed.prop_map(Vote::Failed),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    select(vec![Outcome::Advance, Outcome::Hold, Outcome::Review, Outcome::Recycle, Outcome::Disqualify])
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        // One more than there are: a person who left.
        4 => (0..PEOPLE.len() + 1).prop_map(Target::Owner),
        2 => select(vec!["inside", "fallback", "marketing", "no-such-queue"]).prop_map(Target::Queue),
        1 => Just(Target::Nobody),
    ]
}

fn past() -> impl Strategy<Value = Past> {
    prop_oneof![
        4 => select(StageKind::ALL).prop_map(Past::Stage),
        1 => option::of(1..1_000_000i64).prop_map(Past::Won),
        2 => (select(CycleOutcome::ALL), answer()).prop_map(|(outcome, answer)| Past::Ended(outcome, answer)),
        1 => Just(Past::Requalified),
        1 => Just(Past::Reopened),
        1 => Just(Past::Called),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    let user = || 0..PEOPLE.len();
    prop_oneof![
        3 => Just(Verb::Capture),
        6 => (vec(vote(), 1..4), option::of(target())).prop_map(|(votes, route)| Verb::Evaluate { votes, route }),
        1 => (vec((select(StageKind::ALL), outcome()), 0..3), vec(vote(), 0..3))
            .prop_map(|(gates, votes)| Verb::Forged { gates, votes }),
        3 => target().prop_map(Verb::Route),
        3 => user().prop_map(Verb::Accept),
        4 => (user(), answer(), any::<bool>()).prop_map(|(user, answer, asks)| Verb::Reject(user, answer, asks)),
        3 => user().prop_map(Verb::Ask),
        3 => Just(Verb::Reply),
        5 => select(vec!["value", "slow", "no-such-track"]).prop_map(Verb::Enrol),
        1 => Just(Verb::Leave),
        1 => (0..LEADS).prop_map(Verb::Merge),
        1 => Just(Verb::Erase),
        6 => (
            select(ActivityKind::ALL),
            select(Direction::ALL),
            any::<bool>(),
            -2 * DAY..10 * DAY,
            prop_oneof![2 => Just(None), 1 => select(MeetingOutcome::ALL).prop_map(Some)],
        )
            .prop_map(|(kind, direction, automated, ago, meeting)| {
                let meeting = meeting.filter(|_| kind == ActivityKind::Meeting);
                Verb::Log { kind, direction, automated, ago, meeting }
            }),
        2 => (select(ActivityKind::ALL), -HOUR..400 * DAY).prop_map(|(kind, ahead)| Verb::Plan(kind, ahead)),
        1 => Just(Verb::Unplan),
        1 => select(MeetingPurpose::ALL).prop_map(Verb::Expect),
        3 => Just(Verb::Qualify),
        2 => (-1..1_000_000i64, any::<bool>()).prop_map(|(amount, foreign)| Verb::Opportunity { amount, foreign }),
        2 => (-1..1_000_000i64).prop_map(|amount| Verb::Won { amount }),
        2 => answer().prop_map(Verb::Lost),
        4 => (select(CycleOutcome::ALL), answer()).prop_map(|(outcome, answer)| Verb::Close(outcome, answer)),
        3 => select(CycleOpenedBy::ALL).prop_map(Verb::Requalify),
        2 => Just(Verb::Reopen),
        8 => Just(Verb::Tick),
        1 => select(Advocacy::ALL).prop_map(Verb::Advocate),
        1 => option::of(-1..400i64).prop_map(Verb::Renew),
        2 => (select(ChurnReason::ALL), option::of(-1..90i64)).prop_map(|(why, days)| Verb::Churn(why, days)),
        1 => option::of(-1..400i64).prop_map(Verb::DateRenewal),
        20 => Just(Verb::Ahead),
        2 => (0..200i64, 0..5i64).prop_map(|(employees, grade)| Verb::Profile { employees, grade }),
        2 => (1..400i64, vec(past(), 0..6)).prop_map(|(ago, steps)| Verb::Import { ago, steps }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let wait = prop_oneof![
        4 => Just(0),
        4 => 0..10 * MINUTE,
        4 => 0..10 * HOUR,
        2 => 0..20 * DAY,
        1 => 0..400 * DAY,
    ];
    (0..LEADS, wait, any::<bool>(), verb()).prop_map(|(lead, wait, urgent, verb)| Op {
        lead,
        wait,
        urgent,
        verb,
    })
}

fn funnel() -> impl Strategy<Value = Funnel> {
    (
        0..2usize,
        0..3usize,
        select(Composition::ALL),
        option::of(0..100i64),
        option::of(0..4i64),
        any::<bool>(),
    )
        .prop_map(|(iql_slots, mql_slots, composition, employees, grade, strict_attempts)| Funnel {
            iql_slots,
            mql_slots,
            composition,
            employees,
            grade,
            strict_attempts,
        })
}

impl Answer {
    fn disposal(&self, at: Instant) -> Disposal {
        Disposal {
            reason: self.reason.clone(),
            competitor: self.competitor.then(|| "Acme".to_owned()),
            recycle_at: self.in_days.map(|days| at.plus(days * DAY)),
            recycle_on: self.on.map(str::to_owned),
        }
    }
}

impl Target {
    fn destination(&self) -> handfast_domain::qualify::Destination {
        match self {
            Target::Owner(n) => {
                destination(Some(PEOPLE.get(*n).copied().unwrap_or(Uuid::from_u128(99))), None)
            }
            Target::Queue(queue) => destination(None, Some(queue)),
            Target::Nobody => destination(None, None),
        }
    }
}

/// What usually comes next for this lead.
fn ahead(world: &World, lead: usize) -> Verb {
    let journey = &world.leads[lead].journey;
    let user = match (journey.lead.owner, journey.lead.queue.as_deref()) {
        (Some(owner), _) => owner,
        (None, Some("inside")) => IVO,
        (None, Some("marketing")) => MIA,
        (None, _) => SUE,
    };
    let user = PEOPLE.iter().position(|known| *known == user).unwrap_or(0);
    let called = Verb::Log {
        kind: ActivityKind::Call,
        direction: Direction::TwoWay,
        automated: false,
        ago: 0,
        meeting: None,
    };
    match (journey.lead.outcome, journey.lead.stage) {
        _ if journey.lead.cycle == 0 => Verb::Capture,
        (CycleOutcome::Open, StageKind::Inquiry | StageKind::Iql) => {
            Verb::Evaluate { votes: vec![Vote::Advance], route: Some(Target::Owner(1)) }
        }
        (CycleOutcome::Open, StageKind::Mql) => match &journey.handoff {
            Some(handoff) if handoff.answered_at.is_none() => Verb::Accept(user),
            _ => Verb::Route(Target::Owner(2)),
        },
        (CycleOutcome::Open, StageKind::Sal) if journey.cycle.conversations == 0 => called,
        (CycleOutcome::Open, StageKind::Sal) => Verb::Qualify,
        (CycleOutcome::Open, StageKind::Sql) => Verb::Opportunity { amount: 100, foreign: false },
        (CycleOutcome::Open, _) => Verb::Won { amount: 100 },
        (CycleOutcome::Won, StageKind::Customer) if journey.lead.cycle.is_multiple_of(2) => {
            Verb::Advocate(Advocacy::Reference)
        }
        (CycleOutcome::Won, _) if journey.lead.customer.is_none() => Verb::Renew(None),
        (CycleOutcome::Won, _) => match journey.lead.comes_back_by() {
            Some(CycleOpenedBy::Winback) => Verb::Requalify(CycleOpenedBy::Winback),
            _ if journey.lead.cycle.is_multiple_of(3) => Verb::Churn(ChurnReason::Price, None),
            _ => Verb::Requalify(CycleOpenedBy::Expansion),
        },
        (CycleOutcome::Disqualified, _) => Verb::Reopen,
        _ => Verb::Requalify(CycleOpenedBy::Requalify),
    }
}

/// Runs one step and checks what it left.
fn run(world: &mut World, op: &Op) -> Vec<Step> {
    world.wait(op.wait);
    let (lead, now) = (op.lead, world.now);
    let verb = if matches!(op.verb, Verb::Ahead) { ahead(world, lead) } else { op.verb.clone() };
    let steps = match &verb {
        Verb::Import { ago, steps } => import(world, lead, now.plus(-ago * DAY), steps),
        Verb::Profile { employees, grade } => {
            let profile = &mut world.leads[lead].profile;
            profile.company.employees = Some(*employees);
            profile.answers.insert("need".into(), graded(*grade, now));
            vec![]
        }
        Verb::Evaluate { votes, route } => {
            let judgement = world.judgement(lead, votes);
            vec![world.step(lead, Cause::Evaluation, now, true, |draft| {
                draft.urgent = op.urgent;
                draft.evaluated(copy(&judgement))?;
                match route {
                    Some(target) if draft.journey.is_open() && draft.journey.lead.stage == StageKind::Mql => {
                        draft.route(target.destination(), packet())
                    }
                    _ => Ok(()),
                }
            })]
        }
        Verb::Forged { gates, votes } => {
            let mut judgement = world.judgement(lead, votes);
            let gates = gates.iter().map(|(gate, result)| GateResult {
                gate: (*gate).min(StageKind::Mql),
                composition: Composition::All,
                result: *result,
                criteria: vec![],
                missing: vec![],
            });
            judgement.evaluation.gates = gates.collect();
            vec![world.step(lead, Cause::Evaluation, now, true, |draft| draft.evaluated(copy(&judgement)))]
        }
        Verb::Qualify => {
            let before = world.leads[lead].journey.clone();
            let result = world.qualify(lead);
            if before.cycle.conversations == 0 {
                assert!(result.is_err(), "no SQL without a conversation");
            }
            vec![Step { result, change: None }]
        }
        Verb::Merge(other) => merged(world, lead, *other),
        Verb::Reply => {
            let Some(asked) = world.questions(lead).into_iter().next() else { return vec![] };
            let said = ContextAnswer { text: "twelve".into(), user: MIA, at: now };
            vec![
                world.step(lead, Cause::Context, now, true, |draft| {
                    draft.answer_context(&asked, said.clone())
                }),
            ]
        }
        verb => vec![world.step(lead, Cause::Sales, now, true, |draft| simple(draft, verb, op.urgent, now))],
    };
    for step in &steps {
        invariants::check(world, &world.leads[lead], step);
    }
    if steps.is_empty() {
        invariants::check(world, &world.leads[lead], &Step { result: Ok(()), change: None });
    }
    steps
}

/// Both changes of a merge, or its refusal.
fn merged(world: &mut World, one: usize, other: usize) -> Vec<Step> {
    let both = [one, other].map(|lead| world.leads[lead].journey.clone());
    let (kept, gone) = survivor(&both[0], &both[1]);
    if both.iter().any(|journey| journey.lead.cycle == 0) {
        return vec![];
    }
    if let Err(refused) = check(kept, gone) {
        return vec![Step { result: Err(refused), change: None }];
    }
    let place =
        |journey: &Journey| world.leads.iter().position(|lead| lead.journey.lead.id == journey.lead.id);
    let (Some(into), Some(from)) = (place(kept), place(gone)) else { return vec![] };
    let (gone, into_id, now) = (gone.clone(), kept.lead.id, world.now);
    let ended = world.step(from, Cause::Merge, now, true, |draft| {
        draft.merge_into(into_id);
        Ok(())
    });
    invariants::check(world, &world.leads[from], &ended);
    let went_on = world.step(into, Cause::Merge, now, true, |draft| draft.take_over(&gone));
    assert_eq!(went_on.result, Ok(()), "what was checked can be merged");
    invariants::check(world, &world.leads[into], &went_on);
    vec![]
}

fn simple(
    draft: &mut handfast_domain::change::Draft<'_>,
    verb: &Verb,
    urgent: bool,
    now: Instant,
) -> Result<(), Refused> {
    draft.urgent = urgent;
    match verb {
        Verb::Capture => draft.capture(capture()),
        Verb::Route(target) => draft.route(target.destination(), packet()),
        Verb::Accept(user) => draft.accept_handoff(PEOPLE[*user]),
        Verb::Reject(user, answer, asks) => {
            draft.reject_handoff(PEOPLE[*user], answer.disposal(now), asks.then(question).as_ref())
        }
        Verb::Ask(user) => draft.request_context(PEOPLE[*user], &question()).map(drop),
        Verb::Log { kind, direction, automated, ago, meeting } => draft.log_activity(&Activity {
            kind: *kind,
            direction: *direction,
            automated: *automated,
            occurred_at: now.plus(-ago),
            note: Some("a note".into()),
            meeting: *meeting,
            follow_up: None,
        }),
        Verb::Plan(kind, ahead) => {
            let new = NewFollowUp { due_at: now.plus(*ahead), kind: *kind, note: Some("their offer".into()) };
            draft.plan_follow_up(&new).map(drop)
        }
        Verb::Unplan => {
            let last = draft.journey.lead.follow_ups.last().map_or(Uuid::nil(), |one| one.id);
            draft.cancel_follow_up(last)
        }
        Verb::Expect(purpose) => {
            draft.expect_first_meeting(&Expectation { purpose: *purpose, text: None }, false)
        }
        Verb::Opportunity { amount, foreign } => {
            draft.record_opportunity(*amount, if *foreign { "USD" } else { "EUR" }, None).map(|_| ())
        }
        Verb::Won { amount } => draft.close_won(*amount, "EUR"),
        Verb::Lost(answer) => draft.close_lost(answer.disposal(now)),
        Verb::Close(outcome, answer) => draft.close(*outcome, answer.disposal(now), None),
        Verb::Requalify(by) => draft.requalify(*by),
        Verb::Reopen => draft.reopen(),
        Verb::Enrol(track) => draft.enrol(track),
        Verb::Leave => draft.leave_nurture(),
        Verb::Erase => draft.erase(),
        Verb::Advocate(advocacy) => draft.advocate(*advocacy),
        Verb::Renew(days) => draft.renew(days.map(|days| now.plus(days * DAY))),
        Verb::DateRenewal(days) => draft.date_renewal(days.map(|days| now.plus(days * DAY))),
        Verb::Churn(reason, days) => {
            let competitor = (*reason == ChurnReason::LostToCompetitor).then(|| "Acme".to_owned());
            let win_back_at = days.map(|days| now.plus(days * DAY));
            draft.churn(Churn { reason: *reason, competitor, win_back_at })
        }
        _ => {
            draft.tick();
            Ok(())
        }
    }
}

fn capture() -> Capture {
    let (source, channel) = ("organic_search".to_owned(), Channel::OrganicSearch);
    Capture { account: None, campaign: None, source, channel }
}

/// The past of a lead that nobody knows yet, a row after the other; what does not fit is refused and skipped.
fn import(world: &mut World, lead: usize, start: Instant, rows: &[Past]) -> Vec<Step> {
    if world.lead(lead).cycle > 0 {
        return vec![];
    }
    let mut at = start;
    let mut steps = vec![world.step(lead, Cause::Import, at, false, |draft| draft.capture(capture()))];
    for row in rows {
        at = at.plus((world.now.since(at) / 4).min(30 * DAY));
        steps.push(world.step(lead, Cause::Import, at, false, |draft| match row {
            Past::Stage(stage) => draft.advance(*stage, None, true),
            Past::Won(amount) => draft.assert_won(*amount),
            Past::Ended(outcome, answer) => draft.close(*outcome, answer.disposal(at), None),
            Past::Requalified => draft.requalify(CycleOpenedBy::Requalify),
            Past::Reopened => draft.reopen(),
            Past::Called => draft.log_activity(&Activity {
                kind: ActivityKind::Call,
                direction: Direction::TwoWay,
                automated: false,
                occurred_at: at,
                note: None,
                meeting: None,
                follow_up: None,
            }),
        }));
    }
    let now = world.now;
    let clocks = &world.leads[lead].journey.clocks;
    assert!(
        clocks.iter().all(|clock| clock.kind == ClockKind::Requalify && clock.due_at > now),
        "the past starts no clock, but for a date that still lies ahead"
    );
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn the_invariants_hold_under_any_sequence_of_verbs(funnel in funnel(), ops in vec(op(), 1..70)) {
        let mut world = World::new(&funnel, LEADS);
        for op in &ops {
            run(&mut world, op);
        }
        invariants::ledger_balances(&world);
    }
}

/// What the generated sequences ran into: a machine that only ever refuses would prove nothing.
#[test]
fn the_sequences_reach_every_corner_of_the_machine() {
    let mut runner = TestRunner::deterministic();
    let strategy = (funnel(), vec(op(), 70));
    let (mut facts, mut refusals, mut ends) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut openings, mut stages, mut work, mut greys) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..200 {
        let (funnel, ops) = strategy.new_tree(&mut runner).unwrap().current();
        let mut world = World::new(&funnel, LEADS);
        for op in &ops {
            refusals.extend(
                run(&mut world, op).into_iter().filter_map(|step| step.result.err()).map(|no| no.code),
            );
            work.insert(world.lead(op.lead).work_state);
        }
        for event in world.leads.iter().flat_map(|lead| &lead.events) {
            facts.insert(event.body.fact.kind());
            match &event.body.fact {
                Fact::CycleClosed { outcome, .. } => _ = ends.insert(*outcome),
                Fact::CycleOpened { by, .. } => _ = openings.insert(*by),
                Fact::StageChanged { to, .. } => _ = stages.insert(*to),
                Fact::GreyCaseOpened { trigger, .. } => _ = greys.insert(*trigger),
                _ => {}
            }
        }
    }
    let expected = [
        "ACTIVITY_LOGGED",
        "ADVOCACY_RECORDED",
        "CLOCK_CHANGED",
        "CONTEXT_ANSWERED",
        "CONTEXT_REQUESTED",
        "CUSTOMER_CHURNED",
        "CUSTOMER_RENEWED",
        "CYCLE_CLOSED",
        "CYCLE_OPENED",
        "DUPLICATE_MERGED",
        "FIRST_MEETING_EXPECTED",
        "FOLLOW_UP_ENDED",
        "FOLLOW_UP_PLANNED",
        "GREY_CASE_OPENED",
        "HANDOFF_ACCEPTED",
        "HANDOFF_CANCELLED",
        "HANDOFF_EXPIRED",
        "HANDOFF_OFFERED",
        "HANDOFF_REJECTED",
        "LEAD_ASSIGNED",
        "LEAD_CAPTURED",
        "LEAD_ERASED",
        "LEAD_EVALUATED",
        "LEAD_MERGED",
        "NURTURE_ENDED",
        "NURTURE_ENROLLED",
        "NURTURE_STEP_DUE",
        "NURTURE_SUPPRESSED",
        "OPPORTUNITY_RECORDED",
        "RENEWAL_DATED",
        "STAGE_CHANGED",
        "WORK_STATE_CHANGED",
    ];
    // What is given back goes on: `table` shows it, chance seldom does.
    facts.remove("NURTURE_RESUMED");
    assert_eq!(facts.into_iter().collect::<Vec<_>>(), expected);
    use CycleOutcome::{Disqualified, Erased, Lost, Merged, Recycled, Won};
    assert_eq!(ends, BTreeSet::from([Won, Lost, Recycled, Disqualified, Merged, Erased]));
    assert_eq!(openings, BTreeSet::from_iter(CycleOpenedBy::ALL.iter().copied()));
    assert_eq!(stages, StageKind::ALL[1..].iter().copied().collect());
    assert_eq!(work, WorkState::ALL.iter().copied().collect());
    // Where two versions disagree is seen beside the machine.
    let own = GreyTrigger::ALL.iter().copied().filter(|trigger| *trigger != GreyTrigger::Disagreement);
    assert_eq!(greys, own.collect());
    for code in [
        RefusalCode::IllegalTransition,
        RefusalCode::GateNotMet,
        RefusalCode::ReasonNotAllowed,
        RefusalCode::AttemptsMissing,
        RefusalCode::CurrencyMismatch,
        RefusalCode::Suppressed,
        RefusalCode::Forbidden,
        RefusalCode::AlreadyExists,
        RefusalCode::Validation,
    ] {
        assert!(refusals.contains(&code), "{code} was never reached");
    }
}
