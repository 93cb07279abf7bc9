//! The stage machine of domain.md, a test for each row, and what the clocks make of it.

use handfast_domain::change::Draft;
use handfast_domain::clock::{CalendarMode, ClockKind, ClockLevel, ClockState, Party, SlaClock};
use handfast_domain::context_request::ContextAnswer;
use handfast_domain::customer::{Churn, ChurnReason};
use handfast_domain::deployment::DeploymentMode;
use handfast_domain::disposition::Disposal;
use handfast_domain::evaluation::Composition;
use handfast_domain::event::{ActivityKind, Direction, Fact, GreyTrigger};
use handfast_domain::grey_case;
use handfast_domain::handoff::HandoffStatus;
use handfast_domain::nurture::NurtureStatus;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::sales::Activity;
use handfast_domain::stage::{Cause, CycleOpenedBy, CycleOutcome, StageKind, WorkState};
use handfast_domain::time::{DAY, HOUR, Instant, MINUTE};
use handfast_domain::verdict::{Outcome, Status};
use uuid::Uuid;

use crate::invariants;
use crate::world::{Funnel, IVO, MIA, MONDAY, SAM, SUE, Step, Vote, World, copy, graded, packet, question};

fn world() -> World {
    World::new(&Funnel::default(), 1)
}

fn code(result: Result<(), Refused>) -> RefusalCode {
    result.expect_err("refused").code
}

pub fn because(reason: &str) -> Disposal {
    Disposal { reason: reason.into(), ..Disposal::default() }
}

fn dated(reason: &str, at: Instant) -> Disposal {
    Disposal { recycle_at: Some(at), ..because(reason) }
}

pub fn call(direction: Direction, at: Instant) -> Activity {
    Activity {
        kind: ActivityKind::Call,
        direction,
        automated: false,
        occurred_at: at,
        note: None,
        meeting: None,
        follow_up: None,
    }
}

/// A lead that has gone this far, a minute for each step.
pub fn lead_at(stage: StageKind) -> World {
    let mut world = world();
    bring(&mut world, stage);
    world
}

fn bring(world: &mut World, stage: StageKind) {
    if world.lead(0).cycle == 0 {
        world.capture(0).unwrap();
    }
    while world.lead(0).stage < stage {
        world.wait(MINUTE / 2);
        match world.lead(0).stage {
            StageKind::Inquiry | StageKind::Iql => {
                world.evaluate(0, &[Vote::Advance]).unwrap();
                world.route(0, Some(SAM), None).unwrap();
            }
            StageKind::Mql => world.act(0, Cause::Sales, |draft| draft.accept_handoff(SAM)).unwrap(),
            StageKind::Sal => {
                let call = call(Direction::TwoWay, world.now);
                world.act(0, Cause::Sales, |draft| draft.log_activity(&call)).unwrap();
                world.qualify(0).unwrap();
            }
            StageKind::Sql => {
                let record = |draft: &mut handfast_domain::change::Draft<'_>| {
                    draft.record_opportunity(100_000, "EUR", None).map(|_| ())
                };
                world.act(0, Cause::Sales, record).unwrap();
            }
            _ => world.act(0, Cause::Sales, |draft| draft.close_won(90_000, "EUR")).unwrap(),
        }
        check(world);
    }
}

fn check(world: &World) {
    invariants::check(world, &world.leads[0], &Step { result: Ok(()), change: None });
    invariants::ledger_balances(world);
}

fn close(world: &mut World, outcome: CycleOutcome, disposal: Disposal) -> Result<(), Refused> {
    let result = world.act(0, Cause::Disposition, |draft| draft.close(outcome, disposal.clone(), None));
    check(world);
    result
}

fn reject(world: &mut World, disposal: Disposal) -> Result<(), Refused> {
    let user = world.lead(0).owner.unwrap_or(SAM);
    let result = world.act(0, Cause::Sales, |draft| draft.reject_handoff(user, disposal.clone(), None));
    check(world);
    result
}

fn ask(world: &mut World, user: Uuid) -> Result<(), Refused> {
    let result = world.act(0, Cause::Context, |draft| draft.request_context(user, &question()).map(drop));
    check(world);
    result
}

/// To the oldest question.
fn reply(world: &mut World) -> Result<(), Refused> {
    let (asked, at) = (world.questions(0).remove(0), world.now);
    let said = ContextAnswer { text: "twelve".into(), user: MIA, at };
    let result = world.act(0, Cause::Context, |draft| draft.answer_context(&asked, said.clone()));
    check(world);
    result
}

fn tick(world: &mut World) {
    world
        .act(0, Cause::Clock, |draft| {
            draft.tick();
            Ok(())
        })
        .unwrap();
    check(world);
}

fn clocks(world: &World, kind: ClockKind, level: ClockLevel) -> Vec<&SlaClock> {
    let mine = |clock: &&SlaClock| clock.kind == kind && clock.level == level;
    world.leads[0].journey.clocks.iter().filter(mine).collect()
}

fn states(world: &World, kind: ClockKind, level: ClockLevel) -> Vec<ClockState> {
    clocks(world, kind, level).iter().map(|clock| clock.state).collect()
}

fn handoff(world: &World) -> HandoffStatus {
    world.leads[0].journey.handoff.as_ref().expect("a hand-off").status
}

fn grey_triggers(world: &World) -> Vec<GreyTrigger> {
    let trigger = |fact: &Fact| match fact {
        Fact::GreyCaseOpened { trigger, .. } => Some(*trigger),
        _ => None,
    };
    world.leads[0].events.iter().filter_map(|event| trigger(&event.body.fact)).collect()
}

#[test]
fn before_the_capture_there_is_no_lead_and_nothing_can_be_done_with_one() {
    let mut world = world();
    assert!(!world.leads[0].journey.is_open());
    assert_eq!(code(world.evaluate(0, &[Vote::Advance])), RefusalCode::IllegalTransition);
    assert_eq!(code(world.act(0, Cause::Sales, |draft| draft.reopen())), RefusalCode::IllegalTransition);
    assert_eq!(
        code(world.act(0, Cause::Import, |draft| draft.advance(StageKind::Anonymous, None, true))),
        RefusalCode::IllegalTransition
    );
    assert_eq!(
        code(close(&mut world, CycleOutcome::Disqualified, because("SPAM"))),
        RefusalCode::IllegalTransition
    );
}

#[test]
fn a_capture_opens_the_first_cycle_at_inquiry_and_asks_for_a_look_at_once() {
    let mut world = world();
    world.capture(0).unwrap();
    let lead = world.lead(0);
    assert_eq!((lead.stage, lead.cycle, lead.work_state), (StageKind::Inquiry, 1, WorkState::Unrouted));
    assert_eq!(lead.next_evaluation_at, Some(MONDAY));
    assert_eq!(code(world.capture(0)), RefusalCode::AlreadyExists);
    check(&world);
}

#[test]
fn an_inquiry_becomes_iql_when_its_gate_is_met_and_the_next_one_holds() {
    let mut world = World::new(&Funnel { iql_slots: 1, ..Funnel::default() }, 1);
    world.capture(0).unwrap();
    world.evaluate(0, &[Vote::Advance, Vote::Hold(Some(3))]).unwrap();
    assert_eq!(world.lead(0).stage, StageKind::Iql);
    assert_eq!(world.lead(0).next_evaluation_at, Some(MONDAY.plus(3 * DAY)));
    world.evaluate(0, &[Vote::Hold(Some(300))]).unwrap();
    assert_eq!(world.lead(0).next_evaluation_at, Some(MONDAY.plus(30 * DAY)), "the charter's longest hold");
    check(&world);
}

#[test]
fn an_mql_may_skip_iql_which_is_stored_and_starts_the_clock_of_routing() {
    let mut world = World::new(&Funnel { employees: Some(50), ..Funnel::default() }, 1);
    world.capture(0).unwrap();
    world.evaluate(0, &[Vote::Advance]).unwrap();
    assert_eq!(world.lead(0).stage, StageKind::Inquiry, "a required criterion does not hold");
    world.leads[0].profile.company.employees = Some(50);
    world.evaluate(0, &[Vote::Advance]).unwrap();
    let moved = world.leads[0].events.iter().rev().find_map(|event| match &event.body.fact {
        Fact::StageChanged { to, skipped, asserted, .. } => Some((*to, skipped.clone(), *asserted)),
        _ => None,
    });
    assert_eq!(moved, Some((StageKind::Mql, vec![StageKind::Iql], false)));
    assert_eq!(states(&world, ClockKind::Route, ClockLevel::Lead), [ClockState::Running]);
    assert_eq!(world.lead(0).next_evaluation_at, Some(MONDAY.plus(MINUTE)), "until it is routed");
    world.wait(MINUTE);
    world.evaluate(0, &[]).unwrap();
    assert_eq!(world.lead(0).next_evaluation_at, Some(world.now.plus(MINUTE)), "it is owed until it is done");
    check(&world);
}

#[test]
fn a_routed_mql_has_an_owner_or_the_fallback_queue_and_a_sealed_hand_off() {
    for (owner, queue, owned_by, queued_in) in [
        (Some(SAM), None, Some(SAM), None),
        (None, Some("inside"), None, Some("inside")),
        (None, Some("no-such-queue"), None, Some("fallback")),
        (Some(uuid::Uuid::from_u128(99)), None, None, Some("fallback")),
        (None, None, None, Some("fallback")),
    ] {
        let mut world = world();
        world.capture(0).unwrap();
        assert_eq!(
            code(world.route(0, owner, queue)),
            RefusalCode::IllegalTransition,
            "an INQUIRY is not routed"
        );
        world.evaluate(0, &[Vote::Advance]).unwrap();
        world.route(0, owner, queue).unwrap();
        let lead = world.lead(0);
        assert_eq!((lead.owner, lead.queue.as_deref()), (owned_by, queued_in));
        let expected = if owned_by.is_some() { WorkState::Assigned } else { WorkState::Queued };
        assert_eq!((lead.work_state, lead.next_evaluation_at), (expected, None));
        let handoff = world.leads[0].journey.pending_handoff().unwrap();
        assert_eq!(handoff.packet_digest, packet().digest());
        assert_eq!(states(&world, ClockKind::Route, ClockLevel::Lead), [ClockState::Met]);
        assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner), [ClockState::Running]);
        for level in [ClockLevel::Lead, ClockLevel::Owner] {
            assert_eq!(states(&world, ClockKind::FirstTouch, level), [ClockState::Running]);
        }
        check(&world);
    }
}

#[test]
fn sales_accepts_only_what_it_owns_or_what_waits_in_a_queue_of_its_team() {
    for (owner, queue, user, allowed) in [
        (Some(SAM), None, SAM, true),
        (Some(SAM), None, SUE, false),
        (None, Some("fallback"), SUE, true),
        (None, Some("fallback"), IVO, false),
        (None, Some("inside"), IVO, true),
        (None, Some("inside"), MIA, false),
    ] {
        let mut world = world();
        world.capture(0).unwrap();
        world.evaluate(0, &[Vote::Advance]).unwrap();
        world.route(0, owner, queue).unwrap();
        let result = world.act(0, Cause::Sales, |draft| draft.accept_handoff(user));
        check(&world);
        if !allowed {
            assert_eq!(code(result), RefusalCode::Forbidden);
            continue;
        }
        result.unwrap();
        let lead = world.lead(0);
        assert_eq!(
            (lead.stage, lead.owner, lead.work_state),
            (StageKind::Sal, Some(user), WorkState::Working)
        );
        assert_eq!(handoff(&world), HandoffStatus::Accepted);
        assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner), [ClockState::Met]);
        assert_eq!(states(&world, ClockKind::Disposition, ClockLevel::Lead), [ClockState::Running]);
        let again = world.act(0, Cause::Sales, |draft| draft.accept_handoff(user));
        assert_eq!(code(again), RefusalCode::IllegalTransition);
    }
}

#[test]
fn a_hand_off_without_context_returns_to_marketing_and_stops_sales_clock() {
    let mut world = lead_at(StageKind::Mql);
    reject(&mut world, because("NO_CONTEXT")).unwrap();
    let lead = world.lead(0);
    assert_eq!((lead.stage, lead.queue.as_deref()), (StageKind::Mql, Some("marketing")));
    assert_eq!(handoff(&world), HandoffStatus::Returned);
    assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner), [ClockState::Met]);
    assert_eq!(states(&world, ClockKind::Context, ClockLevel::Lead), [ClockState::Running]);
    assert_eq!(states(&world, ClockKind::FirstTouch, ClockLevel::Lead), [ClockState::Paused]);
    world.wait(HOUR);
    world.route(0, Some(SUE), None).unwrap();
    check(&world);
    assert_eq!(states(&world, ClockKind::Context, ClockLevel::Lead), [ClockState::Met]);
    assert_eq!(states(&world, ClockKind::FirstTouch, ClockLevel::Lead), [ClockState::Running]);
    let owners = [ClockState::Cancelled, ClockState::Running];
    assert_eq!(states(&world, ClockKind::FirstTouch, ClockLevel::Owner), owners, "restarts at reassignment");
}

#[test]
fn a_question_stops_sales_clocks_until_the_last_one_is_answered() {
    let mut world = lead_at(StageKind::Mql);
    let due = |world: &World| clocks(world, ClockKind::Accept, ClockLevel::Owner)[0].due_at;
    let before = due(&world);
    world.wait(HOUR);
    ask(&mut world, SAM).unwrap();
    ask(&mut world, SAM).unwrap();
    assert_eq!(states(&world, ClockKind::Context, ClockLevel::Lead), [ClockState::Running; 2]);
    assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner), [ClockState::Paused]);
    for level in [ClockLevel::Lead, ClockLevel::Owner] {
        assert_eq!(states(&world, ClockKind::FirstTouch, level), [ClockState::Paused]);
    }
    world.wait(HOUR);
    reply(&mut world).unwrap();
    assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner), [ClockState::Paused], "one is open");
    world.wait(HOUR);
    reply(&mut world).unwrap();
    assert_eq!(states(&world, ClockKind::Context, ClockLevel::Lead), [ClockState::Met; 2]);
    assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner), [ClockState::Running]);
    assert_eq!(due(&world), before.plus(2 * HOUR), "marketing's two hours are not sales'");
}

#[test]
fn a_question_is_answered_by_no_other_hand_off_and_only_once() {
    let mut world = lead_at(StageKind::Mql);
    ask(&mut world, SAM).unwrap();
    let asked = world.questions(0).remove(0);
    world.wait(HOUR);
    world.route(0, Some(SUE), None).unwrap();
    check(&world);
    assert_eq!(states(&world, ClockKind::Context, ClockLevel::Lead), [ClockState::Running]);
    reply(&mut world).unwrap();
    let said = ContextAnswer { text: "twelve".into(), user: MIA, at: world.now };
    let known = handfast_domain::context_request::ContextRequest { answer: Some(said.clone()), ..asked };
    let again = world.act(0, Cause::Context, |draft| draft.answer_context(&known, said.clone()));
    assert_eq!(code(again), RefusalCode::AlreadyExists);
}

#[test]
fn a_rejection_with_a_question_waits_for_its_answer_and_for_the_next_hand_off() {
    let mut world = lead_at(StageKind::Mql);
    let (no_context, asked) = (because("NO_CONTEXT"), question());
    world.act(0, Cause::Sales, |draft| draft.reject_handoff(SAM, no_context.clone(), Some(&asked))).unwrap();
    check(&world);
    assert_eq!(
        states(&world, ClockKind::Context, ClockLevel::Lead),
        [ClockState::Running],
        "one promise, not two"
    );
    world.wait(HOUR);
    reply(&mut world).unwrap();
    assert_eq!(states(&world, ClockKind::Context, ClockLevel::Lead), [ClockState::Met]);
    assert_eq!(
        states(&world, ClockKind::FirstTouch, ClockLevel::Lead),
        [ClockState::Paused],
        "marketing has it"
    );
    world.route(0, Some(SAM), None).unwrap();
    assert_eq!(states(&world, ClockKind::FirstTouch, ClockLevel::Lead), [ClockState::Running]);
    let not_icp = because("NOT_ICP");
    let ends = world.act(0, Cause::Sales, |draft| draft.reject_handoff(SAM, not_icp.clone(), Some(&asked)));
    assert_eq!(code(ends), RefusalCode::Validation, "whoever ends a cycle asks nothing");
}

#[test]
fn only_whoever_has_the_lead_asks_and_not_without_end() {
    let mut world = lead_at(StageKind::Mql);
    for stranger in [SUE, IVO, MIA] {
        assert_eq!(code(ask(&mut world, stranger)), RefusalCode::Forbidden);
    }
    for _ in 0..10 {
        ask(&mut world, SAM).unwrap();
    }
    assert_eq!(code(ask(&mut world, SAM)), RefusalCode::Validation, "ten wait");
    let mut late = lead_at(StageKind::Sal);
    ask(&mut late, SAM).unwrap();
    assert_eq!(states(&late, ClockKind::Disposition, ClockLevel::Lead), [ClockState::Paused]);
    late.act(0, Cause::Disposition, |draft| {
        draft.close(CycleOutcome::Disqualified, because("NOT_ICP"), None)
    })
    .unwrap();
    check(&late);
    assert_eq!(states(&late, ClockKind::Context, ClockLevel::Lead), [ClockState::Cancelled]);
    reply(&mut late).unwrap();
    assert_eq!(code(ask(&mut late, SAM)), RefusalCode::IllegalTransition, "the cycle is over");
}

#[test]
fn nurture_waits_while_sales_works_the_lead_and_goes_on_when_it_comes_back() {
    let status = |world: &World| world.lead(0).nurture.as_ref().map(|one| (one.status, one.next_step_at));
    let mut world = world();
    world.capture(0).unwrap();
    world.act(0, Cause::Nurture, |draft| draft.enrol("slow")).unwrap();
    assert_eq!(status(&world), Some((NurtureStatus::Active, Some(world.now.plus(30 * DAY)))));
    bring(&mut world, StageKind::Mql);
    assert_eq!(status(&world), Some((NurtureStatus::Suppressed, None)));
    let again = world.act(0, Cause::Nurture, |draft| draft.enrol("value"));
    assert_eq!(code(again), RefusalCode::IllegalTransition, "sales has it");
    world.wait(40 * DAY);
    tick(&mut world);
    reject(&mut world, because("NO_CONTEXT")).unwrap_or(());
    // The hand-off expired meanwhile, and whoever works the fallback queue sends it back.
    assert_eq!(
        status(&world),
        Some((NurtureStatus::Active, Some(world.now.plus(30 * DAY)))),
        "its days begin again"
    );
    let recycle = dated("NO_BUDGET", world.now.plus(9 * DAY));
    close(&mut world, CycleOutcome::Recycled, recycle).unwrap();
    let enrolled = world.lead(0).nurture.clone().unwrap();
    assert_eq!(
        (enrolled.track.as_str(), enrolled.status),
        ("value", NurtureStatus::Active),
        "the reason's track"
    );
    for (days, done, status) in [(1, 1, NurtureStatus::Active), (3, 2, NurtureStatus::Completed)] {
        world.wait(days * DAY);
        tick(&mut world);
        let now = world.lead(0).nurture.clone().unwrap();
        assert_eq!((now.steps_done, now.status), (done, status));
    }
}

#[test]
fn any_other_rejection_is_a_disposition_with_a_reason_of_the_charter() {
    for (reason, expected) in [
        ("NOT_ICP", Ok(CycleOutcome::Disqualified)),
        ("NOT_READY", Ok(CycleOutcome::Recycled)),
        ("NO_BUDGET", Ok(CycleOutcome::Recycled)),
        ("NO_TIMELINE", Err(RefusalCode::Validation)),
        ("NO_RESPONSE", Err(RefusalCode::AttemptsMissing)),
        ("LOST_TO_COMPETITOR", Err(RefusalCode::ReasonNotAllowed)),
        ("BAD_MOOD", Err(RefusalCode::Validation)),
        ("", Err(RefusalCode::Validation)),
    ] {
        let mut world = lead_at(StageKind::Mql);
        let result = reject(&mut world, because(reason));
        match expected {
            Ok(outcome) => {
                result.unwrap();
                assert_eq!((world.lead(0).outcome, handoff(&world)), (outcome, HandoffStatus::Rejected));
                assert_eq!(world.lead(0).queue.as_deref(), Some("marketing"));
            }
            Err(expected) => assert_eq!(code(result), expected, "{reason}"),
        }
    }
}

#[test]
fn sql_needs_a_conversation_and_the_charters_criteria() {
    let mut world = World::new(&Funnel { grade: Some(2), ..Funnel::default() }, 1);
    bring(&mut world, StageKind::Sal);
    let missing = |world: &mut World| world.qualify(0).unwrap_err().missing.len();
    assert_eq!(missing(&mut world), 2);
    // Neither a machine's answer nor a note is a conversation, and our own call is none either.
    for (kind, direction, automated) in [
        (ActivityKind::Email, Direction::Inbound, true),
        (ActivityKind::Note, Direction::Inbound, false),
        (ActivityKind::Call, Direction::Outbound, false),
    ] {
        let activity = Activity { kind, automated, ..call(direction, world.now) };
        world.act(0, Cause::Sales, |draft| draft.log_activity(&activity)).unwrap();
    }
    assert_eq!(missing(&mut world), 2);
    let reply = call(Direction::Inbound, world.now);
    world.act(0, Cause::Sales, |draft| draft.log_activity(&reply)).unwrap();
    assert_eq!(world.lead(0).work_state, WorkState::Connected);
    assert_eq!(missing(&mut world), 1);
    world.leads[0].profile.answers.insert("need".into(), graded(2, world.now));
    world.qualify(0).unwrap();
    assert_eq!(world.lead(0).stage, StageKind::Sql);
    assert_eq!(code(world.qualify(0)), RefusalCode::IllegalTransition);
    check(&world);
}

#[test]
fn an_opportunity_has_an_amount_in_the_charters_currency_and_keeps_the_promise_of_a_disposition() {
    let mut world = lead_at(StageKind::Sql);
    for (amount, currency, expected) in [
        (100, "USD", RefusalCode::CurrencyMismatch),
        (0, "EUR", RefusalCode::Validation),
        (i64::MAX, "EUR", RefusalCode::Validation),
    ] {
        let result =
            world.act(0, Cause::Sales, |draft| draft.record_opportunity(amount, currency, None).map(|_| ()));
        assert_eq!(code(result), expected);
    }
    bring(&mut world, StageKind::Opportunity);
    assert_eq!(states(&world, ClockKind::Disposition, ClockLevel::Lead), [ClockState::Met]);
    assert_eq!(world.leads[0].journey.opportunity.as_ref().unwrap().amount_minor, Some(100_000));
}

#[test]
fn closed_won_makes_a_customer_and_only_an_advocate_follows() {
    let mut world = lead_at(StageKind::Opportunity);
    assert_eq!(code(world.act(0, Cause::Sales, |draft| draft.close_won(0, "EUR"))), RefusalCode::Validation);
    bring(&mut world, StageKind::Customer);
    let lead = world.lead(0);
    assert_eq!(
        (lead.stage, lead.outcome, lead.work_state),
        (StageKind::Customer, CycleOutcome::Won, WorkState::Closed)
    );
    assert_eq!(world.leads[0].journey.opportunity.as_ref().unwrap().amount_minor, Some(90_000));
    assert!(world.act(0, Cause::Sales, |draft| draft.close_won(1, "EUR")).is_err());
    assert!(close(&mut world, CycleOutcome::Recycled, because("NOT_READY")).is_err());
    world.act(0, Cause::Sales, |draft| draft.advance(StageKind::Advocate, None, false)).unwrap();
    assert_eq!(world.lead(0).furthest_stage, StageKind::Advocate);
    check(&world);
    assert!(world.act(0, Cause::Requalify, |draft| draft.requalify(CycleOpenedBy::Requalify)).is_err());
    assert!(world.act(0, Cause::Sales, |draft| draft.reopen()).is_err());
    world.act(0, Cause::Requalify, |draft| draft.requalify(CycleOpenedBy::Expansion)).unwrap();
    let lead = world.lead(0);
    assert_eq!((lead.stage, lead.cycle, lead.owner), (StageKind::Inquiry, 2, None));
    assert_eq!(lead.furthest_stage, StageKind::Advocate, "the furthest of all cycles stays");
    check(&world);
}

#[test]
fn any_open_lead_can_be_recycled_and_comes_back_on_the_date_whatever_the_hours() {
    for stage in [StageKind::Inquiry, StageKind::Mql, StageKind::Sal, StageKind::Sql, StageKind::Opportunity]
    {
        let mut world = lead_at(stage);
        // The next Sunday at four in the morning: a date is a date, also for a promise in office hours.
        let policy = world.charter.body.sla.iter_mut().find(|policy| policy.kind == ClockKind::Requalify);
        policy.unwrap().mode = CalendarMode::TeamHours;
        let date = MONDAY.plus(5 * DAY + 19 * HOUR);
        close(&mut world, CycleOutcome::Recycled, dated("NO_TIMELINE", date)).unwrap();
        let lead = world.lead(0);
        assert_eq!((lead.outcome, lead.work_state), (CycleOutcome::Recycled, WorkState::Nurturing));
        assert_eq!(lead.queue.as_deref(), Some("marketing"));
        assert_eq!(clocks(&world, ClockKind::Requalify, ClockLevel::Lead)[0].due_at, date);
        world.now = date.plus(-1);
        tick(&mut world);
        assert!(!world.leads[0].journey.is_open());
        world.now = date.plus(3 * MINUTE);
        tick(&mut world);
        let cycle = &world.leads[0].journey.cycle;
        assert_eq!((cycle.number, cycle.opened_by, cycle.opened_at), (2, CycleOpenedBy::Requalify, date));
        assert_eq!(states(&world, ClockKind::Requalify, ClockLevel::Lead), [ClockState::Met]);
        assert_eq!(world.lead(0).next_evaluation_at, Some(date));
    }
}

#[test]
fn a_lead_is_recycled_until_a_signal_of_the_charter_and_a_touch_brings_it_back_early() {
    let mut world = lead_at(StageKind::Sal);
    let on = |signal: &str| Disposal { recycle_on: Some(signal.into()), ..because("MISSING_FEATURE") };
    assert_eq!(code(close(&mut world, CycleOutcome::Recycled, on("weather"))), RefusalCode::Validation);
    let yesterday = world.now.plus(-DAY);
    let past = close(&mut world, CycleOutcome::Recycled, dated("NOT_READY", yesterday));
    assert_eq!(code(past), RefusalCode::Validation);
    close(&mut world, CycleOutcome::Recycled, on("feature-sso")).unwrap();
    assert_eq!(world.lead(0).recycle_on.as_deref(), Some("feature-sso"));
    assert_eq!(states(&world, ClockKind::Requalify, ClockLevel::Lead), []);
    world.act(0, Cause::Requalify, |draft| draft.requalify(CycleOpenedBy::Requalify)).unwrap();
    assert_eq!((world.lead(0).cycle, world.lead(0).recycle_on.as_deref()), (2, None));
    close(&mut world, CycleOutcome::Recycled, because("NO_BUDGET")).unwrap();
    let due = clocks(&world, ClockKind::Requalify, ClockLevel::Lead)[0].due_at;
    assert_eq!(due, world.now.plus(90 * DAY), "the reason's own number of days");
    world.wait(DAY);
    world.act(0, Cause::Requalify, |draft| draft.requalify(CycleOpenedBy::Requalify)).unwrap();
    assert_eq!(states(&world, ClockKind::Requalify, ClockLevel::Lead), [ClockState::Met]);
    check(&world);
}

#[test]
fn no_response_is_refused_until_enough_was_tried_in_this_cycle() {
    let mut world = lead_at(StageKind::Sal);
    let captured = world.lead(0).captured_at;
    // Attempts from before the cycle count for nothing, and neither do a machine's.
    for (at, automated) in [(captured.plus(-20 * DAY), false), (captured.plus(MINUTE), true)] {
        let activity = Activity { automated, ..call(Direction::Outbound, at) };
        world.act(0, Cause::Sales, |draft| draft.log_activity(&activity)).unwrap();
    }
    assert_eq!(world.leads[0].journey.cycle.attempts.count, 0);
    for day in 0..6 {
        let result = close(&mut world, CycleOutcome::Recycled, because("NO_RESPONSE"));
        assert_eq!(code(result), RefusalCode::AttemptsMissing);
        let kind = if day == 3 { ActivityKind::Email } else { ActivityKind::Call };
        let activity = Activity { kind, ..call(Direction::Outbound, world.now) };
        world.act(0, Cause::Sales, |draft| draft.log_activity(&activity)).unwrap();
        world.wait(3 * DAY);
    }
    close(&mut world, CycleOutcome::Recycled, because("NO_RESPONSE")).unwrap();
}

#[test]
fn a_disqualified_lead_has_no_clock_and_a_person_can_reopen_it() {
    for stage in [StageKind::Inquiry, StageKind::Mql, StageKind::Sal, StageKind::Sql, StageKind::Opportunity]
    {
        let mut world = lead_at(stage);
        close(&mut world, CycleOutcome::Disqualified, because("NOT_ICP")).unwrap();
        assert_eq!(
            (world.lead(0).outcome, world.lead(0).work_state),
            (CycleOutcome::Disqualified, WorkState::Closed)
        );
        let waits = |clock: &SlaClock| matches!(clock.state, ClockState::Running | ClockState::Paused);
        assert!(!world.leads[0].journey.clocks.iter().any(waits));
        assert!(world.act(0, Cause::Requalify, |draft| draft.requalify(CycleOpenedBy::Requalify)).is_err());
        world.act(0, Cause::Reopen, |draft| draft.reopen()).unwrap();
        let cycle = &world.leads[0].journey.cycle;
        assert_eq!((cycle.number, cycle.opened_by, cycle.resumed_from), (2, CycleOpenedBy::Reopen, Some(1)));
        check(&world);
    }
}

#[test]
fn whoever_asked_not_to_be_contacted_never_comes_back() {
    for (stage, outcome) in
        [(StageKind::Mql, CycleOutcome::Disqualified), (StageKind::Opportunity, CycleOutcome::Lost)]
    {
        let mut world = lead_at(stage);
        let date = world.now.plus(DAY);
        close(&mut world, outcome, dated("DO_NOT_CONTACT", date)).unwrap();
        world.wait(400 * DAY);
        tick(&mut world);
        assert!(world.lead(0).suppressed && !world.leads[0].journey.is_open());
        assert_eq!(code(world.act(0, Cause::Reopen, |draft| draft.reopen())), RefusalCode::Suppressed);
        let requalified = world.act(0, Cause::Requalify, |draft| draft.requalify(CycleOpenedBy::Requalify));
        assert_eq!(code(requalified), RefusalCode::Suppressed);
    }
}

#[test]
fn a_cycle_is_lost_from_sql_and_opportunity_only_and_names_the_competitor() {
    for stage in [StageKind::Inquiry, StageKind::Mql, StageKind::Sal] {
        let mut world = lead_at(stage);
        let lost = world.act(0, Cause::Sales, |draft| draft.close_lost(because("HOLDING_OFF")));
        assert_eq!(code(lost), RefusalCode::IllegalTransition);
        let lost = close(&mut world, CycleOutcome::Lost, because("HOLDING_OFF"));
        assert_eq!(code(lost), RefusalCode::IllegalTransition, "nor by the general verb");
    }
    for stage in [StageKind::Sql, StageKind::Opportunity] {
        let mut world = lead_at(stage);
        let lost = world.act(0, Cause::Sales, |draft| draft.close_lost(because("LOST_TO_COMPETITOR")));
        assert_eq!(code(lost), RefusalCode::Validation);
        let acme = Disposal { competitor: Some("Acme".into()), ..because("LOST_TO_COMPETITOR") };
        world.act(0, Cause::Sales, |draft| draft.close_lost(acme.clone())).unwrap();
        assert_eq!(world.leads[0].journey.cycle.competitor.as_deref(), Some("Acme"));
        assert_eq!(world.lead(0).work_state, WorkState::Nurturing, "a lost lead may requalify later");
        world.wait(366 * DAY);
        tick(&mut world);
        assert_eq!(world.lead(0).cycle, 2);
    }
}

#[test]
fn no_disposition_opens_wins_merges_or_erases() {
    use CycleOutcome::{Erased, Merged, Open, Won};
    for outcome in [Open, Won, Merged, Erased] {
        let mut world = lead_at(StageKind::Opportunity);
        let result = close(&mut world, outcome, because("HOLDING_OFF"));
        assert_eq!(code(result), RefusalCode::IllegalTransition, "{outcome}");
    }
}

#[test]
fn no_budget_and_no_timeline_disqualify_nobody_even_by_a_charter_that_says_so() {
    for reason in ["NO_BUDGET", "NO_TIMELINE"] {
        let mut world = lead_at(StageKind::Mql);
        for known in &mut world.charter.body.reasons {
            known.disqualify = true;
        }
        let result = close(&mut world, CycleOutcome::Disqualified, because(reason));
        assert_eq!(code(result), RefusalCode::ReasonNotAllowed);
        assert_eq!(code(reject(&mut world, because(reason))), RefusalCode::ReasonNotAllowed);
    }
}

#[test]
fn a_rule_ends_a_cycle_only_by_a_reason_that_the_charter_allows_else_people_look_at_it() {
    for (vote, expected, greys) in [
        (Vote::Disqualify("NOT_ICP".into()), CycleOutcome::Disqualified, vec![]),
        (Vote::Disqualify("NO_BUDGET".into()), CycleOutcome::Open, vec![GreyTrigger::NotAllowed]),
        (Vote::Disqualify("MOOD".into()), CycleOutcome::Open, vec![GreyTrigger::NotAllowed]),
        (Vote::Recycle("NO_BUDGET".into(), None), CycleOutcome::Recycled, vec![]),
        (Vote::Recycle("NO_TIMELINE".into(), None), CycleOutcome::Open, vec![GreyTrigger::NotAllowed]),
        (Vote::Recycle("NO_TIMELINE".into(), Some(10)), CycleOutcome::Recycled, vec![]),
        (Vote::Recycle("SPAM".into(), None), CycleOutcome::Open, vec![GreyTrigger::NotAllowed]),
    ] {
        let mut world = world();
        world.capture(0).unwrap();
        world.evaluate(0, std::slice::from_ref(&vote)).unwrap();
        check(&world);
        assert_eq!(world.lead(0).outcome, expected, "{vote:?}");
        assert_eq!(grey_triggers(&world), greys, "{vote:?}");
    }
}

#[test]
fn a_review_or_a_fault_opens_one_grey_case_a_slot_and_a_busy_host_none() {
    let mut world =
        World::new(&Funnel { mql_slots: 3, composition: Composition::Any, ..Funnel::default() }, 1);
    world.capture(0).unwrap();
    for _ in 0..2 {
        world
            .evaluate(0, &[Vote::Review, Vote::Failed(Status::Trapped), Vote::Failed(Status::Busy)])
            .unwrap();
        check(&world);
    }
    assert_eq!(grey_triggers(&world), [GreyTrigger::Review, GreyTrigger::Fault]);
    let soon = world.now.plus(MINUTE);
    assert_eq!(world.lead(0).next_evaluation_at, Some(soon), "the busy host is asked again soon");
    world.evaluate(0, &[Vote::Hold(None), Vote::Review, Vote::Advance]).unwrap();
    assert_eq!(world.lead(0).stage, StageKind::Mql, "one ADVANCE is enough");
    assert_eq!(grey_triggers(&world).len(), 2, "both slots have a case already");
}

#[test]
fn each_side_owes_its_opinion_on_a_grey_case_in_time() {
    let mut world = World::new(&Funnel { mql_slots: 2, ..Funnel::default() }, 1);
    world.capture(0).unwrap();
    world.evaluate(0, &[Vote::Review, Vote::Failed(Status::Trapped)]).unwrap();
    check(&world);
    let opened = |event: &handfast_domain::event::Event| match &event.body.fact {
        Fact::GreyCaseOpened { case, slot, .. } => Some((*case, slot.clone())),
        _ => None,
    };
    let cases: Vec<_> = world.leads[0].events.iter().filter_map(opened).collect();
    let [(first, slot), (second, _)] = &cases[..] else { panic!("{cases:?}") };
    let states = |world: &World, case| {
        [Party::Marketing, Party::Sales].map(|party| {
            let id = grey_case::clock(case, Some(party));
            let clocks = &world.leads[0].journey.clocks;
            let clock = clocks.iter().find(|clock| clock.id == id).expect("a clock for each side");
            assert_eq!((clock.kind, clock.party), (ClockKind::GreyCase, party));
            (clock.state, clock.met_at.is_some())
        })
    };
    use ClockState::{Breached, Met, Running};
    let opine = |world: &mut World, party| {
        world.act(0, Cause::Evaluation, |draft| {
            draft.opine(*first, party);
            Ok(())
        })
    };
    opine(&mut world, Party::Marketing).unwrap();
    assert_eq!(states(&world, *first), [(Met, true), (Running, false)]);
    assert_eq!(states(&world, *second), [(Running, false); 2], "another case asks for its own opinions");
    world.wait(10 * DAY);
    tick(&mut world);
    check(&world);
    assert_eq!(states(&world, *first), [(Met, true), (Breached, false)], "only who was silent is late");
    world
        .act(0, Cause::Evaluation, |draft| {
            draft.resolve_grey_case(*first, slot, Outcome::Hold);
            Ok(())
        })
        .unwrap();
    check(&world);
    assert_eq!(states(&world, *first), [(Met, true), (Breached, true)], "it says how late");
    assert_eq!(states(&world, *second), [(Breached, false); 2]);
}

#[test]
fn what_a_shadow_says_changes_no_lead() {
    let mut world = World::new(&Funnel { mql_slots: 1, ..Funnel::default() }, 1);
    world.capture(0).unwrap();
    for vote in
        [Vote::Disqualify("SPAM".into()), Vote::Review, Vote::Failed(Status::Trapped), Vote::Hold(Some(1))]
    {
        let mut judgement = world.judgement(0, &[Vote::Hold(None)]);
        let mut shadow = judgement.evaluation.decisions[0].clone();
        let answer = world.judgement(0, &[vote]).evaluation.decisions.remove(0);
        (shadow.id, shadow.mode) = (uuid::Uuid::from_u128(77), DeploymentMode::Shadow);
        (shadow.outcome, shadow.status, shadow.target) = (answer.outcome, answer.status, answer.target);
        (shadow.fit, shadow.review_at) = (999, answer.review_at);
        judgement.evaluation.decisions.insert(0, shadow);
        world.act(0, Cause::Evaluation, |draft| draft.evaluated(copy(&judgement))).unwrap();
        let lead = world.lead(0);
        assert_eq!((lead.outcome, lead.fit), (CycleOutcome::Open, 10));
        assert_eq!(lead.next_evaluation_at, Some(world.now.plus(30 * DAY)));
        assert_eq!(grey_triggers(&world), []);
        check(&world);
    }
}

#[test]
fn an_unanswered_hand_off_goes_to_the_fallback_queue_which_can_still_answer_it() {
    let mut world = lead_at(StageKind::Mql);
    // Routed half a minute after nine: four business hours are over by 14:00, eight the next morning.
    world.now = MONDAY.plus(5 * HOUR);
    tick(&mut world);
    assert_eq!(handoff(&world), HandoffStatus::Pending);
    assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner), [ClockState::Breached]);
    world.now = MONDAY.plus(DAY + MINUTE);
    tick(&mut world);
    assert_eq!(handoff(&world), HandoffStatus::Expired);
    assert_eq!((world.lead(0).owner, world.lead(0).queue.as_deref()), (None, Some("fallback")));
    let before = world.leads[0].events.len();
    tick(&mut world);
    assert_eq!(world.leads[0].events.len(), before, "a second tick has nothing to say");
    assert_eq!(world.lead(0).version, world.leads[0].events.last().unwrap().version);
    world.act(0, Cause::Sales, |draft| draft.accept_handoff(SUE)).unwrap();
    assert_eq!(handoff(&world), HandoffStatus::Accepted);
    assert_eq!(
        states(&world, ClockKind::Accept, ClockLevel::Owner),
        [ClockState::Breached],
        "too late stays late"
    );
    assert!(clocks(&world, ClockKind::Accept, ClockLevel::Owner)[0].met_at.is_some());
    check(&world);
}

#[test]
fn a_second_hand_off_has_its_own_time_and_the_leads_wait_goes_on() {
    let mut world = lead_at(StageKind::Mql);
    world.now = MONDAY.plus(DAY + MINUTE);
    tick(&mut world);
    world.route(0, Some(SUE), None).unwrap();
    world.wait(HOUR);
    tick(&mut world);
    assert_eq!(handoff(&world), HandoffStatus::Pending, "the first one's clock does not expire the second");
    let breached = [ClockState::Breached];
    assert_eq!(
        states(&world, ClockKind::FirstTouch, ClockLevel::Lead),
        breached,
        "speed to lead never restarts"
    );
    assert_eq!(states(&world, ClockKind::FirstTouch, ClockLevel::Owner).len(), 3, "each owner's duty does");
    world.route(0, Some(SAM), None).unwrap();
    check(&world);
    assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner).last(), Some(&ClockState::Running));
    assert_eq!(states(&world, ClockKind::Accept, ClockLevel::Owner)[1], ClockState::Cancelled);
}

#[test]
fn a_touch_counts_when_it_happened_and_a_late_report_corrects_a_breach() {
    let mut world = lead_at(StageKind::Mql);
    let touched = world.now.plus(10 * MINUTE);
    world.now = MONDAY.plus(3 * HOUR);
    tick(&mut world);
    assert_eq!(states(&world, ClockKind::FirstTouch, ClockLevel::Lead), [ClockState::Breached]);
    let call = call(Direction::Outbound, touched);
    world.act(0, Cause::Sales, |draft| draft.log_activity(&call)).unwrap();
    let clock = clocks(&world, ClockKind::FirstTouch, ClockLevel::Lead)[0];
    assert_eq!((clock.state, clock.met_at, clock.corrected), (ClockState::Met, Some(touched), true));
    assert_eq!(world.leads[0].events.last().unwrap().occurred_at, touched);
    check(&world);
    let tomorrow = Activity { occurred_at: world.now.plus(2 * DAY), ..call };
    let early = world.act(0, Cause::Sales, |draft| draft.log_activity(&tomorrow));
    assert_eq!(code(early), RefusalCode::Validation);
}

#[test]
fn the_next_cycle_keeps_no_promise_of_an_earlier_one() {
    let mut world = lead_at(StageKind::Mql);
    world.now = MONDAY.plus(5 * HOUR);
    tick(&mut world);
    close(&mut world, CycleOutcome::Disqualified, because("NOT_ICP")).unwrap();
    world.act(0, Cause::Reopen, |draft| draft.reopen()).unwrap();
    bring(&mut world, StageKind::Sal);
    let accepts = clocks(&world, ClockKind::Accept, ClockLevel::Owner);
    assert_eq!((accepts[0].state, accepts[0].met_at), (ClockState::Breached, None));
    assert_eq!((accepts[1].state, accepts[1].cycle), (ClockState::Met, 2));
}

#[test]
fn an_import_asserts_the_past_and_starts_clocks_only_for_dates_ahead() {
    let mut world = world();
    let past = MONDAY.plus(-100 * DAY);
    let mut import =
        |at: Instant, verb: &dyn Fn(&mut handfast_domain::change::Draft<'_>) -> Result<(), Refused>| {
            let step = world.step(0, Cause::Import, at, false, verb);
            invariants::check(&world, &world.leads[0], &step);
            step.result
        };
    let capture = handfast_domain::qualify::Capture {
        account: None,
        campaign: None,
        source: "import".into(),
        channel: handfast_domain::stage::Channel::Other,
    };
    import(past, &|draft| draft.capture(capture.clone())).unwrap();
    import(past.plus(DAY), &|draft| draft.advance(StageKind::Sql, None, true)).unwrap();
    import(past.plus(2 * DAY), &|draft| draft.assert_won(None)).unwrap();
    assert!(import(past.plus(3 * DAY), &|draft| draft.assert_won(None)).is_err(), "a cycle is won once");
    let back = |draft: &mut Draft<'_>| draft.requalify(CycleOpenedBy::Winback);
    assert!(import(past.plus(3 * DAY), &back).is_err(), "whoever did not leave is not won back");
    let churn = Churn { reason: ChurnReason::Price, competitor: None, win_back_at: None };
    import(past.plus(4 * DAY), &|draft| draft.churn(churn.clone())).unwrap();
    import(past.plus(4 * DAY), &back).unwrap();
    import(past.plus(4 * DAY), &|draft| {
        draft.advance(StageKind::Sal, None, true)?;
        assert_eq!(draft.journey.lead.queue.as_deref(), Some("fallback"), "whose lead it is was not told");
        Ok(())
    })
    .unwrap();
    import(past.plus(5 * DAY), &|draft| draft.close(CycleOutcome::Lost, because("HOLDING_OFF"), None))
        .unwrap();
    import(past.plus(90 * DAY), &|draft| draft.reopen()).unwrap();
    import(past.plus(91 * DAY), &|draft| draft.close(CycleOutcome::Recycled, because("NO_BUDGET"), None))
        .unwrap();
    let asserted = world.leads[0].events.iter().filter_map(|event| match &event.body.fact {
        Fact::StageChanged { to, asserted: true, .. } => Some((*to, event.occurred_at, event.recorded_at)),
        _ => None,
    });
    let expected = [
        (StageKind::Sql, past.plus(DAY), MONDAY),
        (StageKind::Customer, past.plus(2 * DAY), MONDAY),
        (StageKind::Sal, past.plus(4 * DAY), MONDAY),
    ];
    assert_eq!(asserted.collect::<Vec<_>>(), expected);
    let clocks = &world.leads[0].journey.clocks;
    assert_eq!(
        clocks.len(),
        1,
        "60 days after the loss were over before the import; 90 after the recycling are not"
    );
    assert_eq!((clocks[0].kind, clocks[0].due_at), (ClockKind::Requalify, past.plus(181 * DAY)));
    invariants::ledger_balances(&world);
}

#[test]
fn a_change_without_facts_is_no_new_version() {
    let mut world = lead_at(StageKind::Inquiry);
    let version = world.lead(0).version;
    tick(&mut world);
    assert_eq!(world.lead(0).version, version);
    let stale = world.act(0, Cause::Sales, |draft| draft.expect_version(Some(version + 1)));
    assert_eq!(stale.unwrap_err().current, Some(version));
}
