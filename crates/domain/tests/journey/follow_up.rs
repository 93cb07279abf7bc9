//! Planned follow-ups and first meetings of one lead: who does them, what ends them, and what is sealed.

use handfast_domain::event::{ActivityKind, Direction, Fact};
use handfast_domain::follow_up::{FollowUpOutcome, NewFollowUp};
use handfast_domain::meeting::{Expectation, MeetingOutcome, MeetingPurpose};
use handfast_domain::refused::RefusalCode;
use handfast_domain::sales::Activity;
use handfast_domain::stage::{Cause, CycleOutcome, StageKind};
use handfast_domain::time::{DAY, HOUR, Instant};
use uuid::Uuid;

use crate::table::{because, call, lead_at};
use crate::world::{SUE, World, packet};

fn plan(world: &mut World, hours: i64) -> Uuid {
    let new = NewFollowUp {
        due_at: world.now.plus(hours * HOUR),
        kind: ActivityKind::Call,
        note: Some("price".into()),
    };
    world.act(0, Cause::Sales, |draft| draft.plan_follow_up(&new).map(drop)).unwrap();
    world.lead(0).follow_ups.last().unwrap().id
}

fn log(world: &mut World, activity: Activity) -> Result<(), handfast_domain::refused::Refused> {
    world.act(0, Cause::Sales, |draft| draft.log_activity(&activity))
}

/// How follow-ups ended: id, outcome and number of the attempt.
fn ended(world: &World) -> Vec<(Uuid, FollowUpOutcome, Option<u32>)> {
    let facts = world.leads[0].events.iter().map(|event| &event.body.fact);
    facts
        .filter_map(|fact| match fact {
            Fact::FollowUpEnded { follow_up, outcome, attempt, .. } => Some((*follow_up, *outcome, *attempt)),
            _ => None,
        })
        .collect()
}

#[test]
fn the_next_genuine_attempt_does_the_earliest_follow_up_and_nothing_else_does() {
    let mut world = lead_at(StageKind::Sal);
    world.wait(HOUR);
    let late = plan(&mut world, 48);
    let early = plan(&mut world, 2);
    let attempts: Vec<_> = world.lead(0).follow_ups.iter().map(|one| one.attempt).collect();
    assert_eq!(attempts, [1, 1], "the second came first when it was planned");
    assert_eq!(world.lead(0).next_follow_up_at(), Some(world.now.plus(2 * HOUR)));
    world.wait(HOUR);
    let now = world.now;
    let none = [
        Activity { kind: ActivityKind::Note, ..call(Direction::Outbound, now) },
        call(Direction::Inbound, now),
        Activity { automated: true, ..call(Direction::Outbound, Instant(now.ms() - 2 * DAY)) },
        // Told late: it was over when the follow-up was planned.
        call(Direction::Outbound, now.plus(-90 * 60_000)),
    ];
    for activity in none {
        log(&mut world, activity).unwrap();
    }
    assert_eq!(ended(&world), []);
    let attempts = world.leads[0].journey.cycle.attempts.count;
    assert_eq!(
        attempts, 1,
        "the one that was told late is an attempt, and did nothing that was planned after it"
    );
    log(&mut world, call(Direction::Outbound, now)).unwrap();
    assert_eq!(ended(&world), [(early, FollowUpOutcome::Attempted, Some(attempts + 1))]);
    log(&mut world, call(Direction::TwoWay, now)).unwrap();
    assert_eq!(ended(&world)[1], (late, FollowUpOutcome::Connected, Some(attempts + 2)));
    log(&mut world, call(Direction::Outbound, now)).unwrap();
    assert_eq!(ended(&world).len(), 2, "one attempt does one follow-up");
}

#[test]
fn a_named_follow_up_is_the_one_that_is_done_and_a_cancelled_one_is_not() {
    let mut world = lead_at(StageKind::Sal);
    let (early, late) = (plan(&mut world, 2), plan(&mut world, 48));
    let named =
        |id: Uuid, world: &World| Activity { follow_up: Some(id), ..call(Direction::Outbound, world.now) };
    let note = Activity { kind: ActivityKind::Note, ..named(late, &world) };
    assert_eq!(log(&mut world, note).unwrap_err().path, ["input", "followUp"]);
    let unknown = named(Uuid::from_u128(9), &world);
    assert_eq!(log(&mut world, unknown).unwrap_err().code, RefusalCode::NotFound);
    let activity = named(late, &world);
    log(&mut world, activity).unwrap();
    assert_eq!(ended(&world).last().map(|one| one.0), Some(late));
    world.act(0, Cause::Sales, |draft| draft.cancel_follow_up(early)).unwrap();
    assert_eq!(ended(&world).last(), Some(&(early, FollowUpOutcome::Withdrawn, None)));
    let again = world.act(0, Cause::Sales, |draft| draft.cancel_follow_up(early)).unwrap_err();
    assert_eq!(again.code, RefusalCode::IllegalTransition);
}

#[test]
fn a_follow_up_goes_with_the_lead_and_ends_with_its_cycle() {
    let mut world = lead_at(StageKind::Mql);
    let id = plan(&mut world, 24);
    world.route(0, Some(SUE), None).unwrap();
    assert_eq!(world.lead(0).follow_ups.len(), 1, "it is Sue's now");
    world
        .act(0, Cause::Sales, |draft| draft.close(CycleOutcome::Recycled, because("NOT_READY"), None))
        .unwrap();
    assert_eq!(ended(&world), [(id, FollowUpOutcome::CycleEnded, None)]);
    assert_eq!(world.lead(0).follow_ups, []);
}

#[test]
fn a_follow_up_lies_ahead_reaches_somebody_and_there_are_ten() {
    let mut world = lead_at(StageKind::Inquiry);
    let try_at = |world: &mut World, ahead: i64, kind| {
        let new = NewFollowUp { due_at: world.now.plus(ahead), kind, note: None };
        world
            .act(0, Cause::Sales, |draft| draft.plan_follow_up(&new).map(drop))
            .map_err(|refused| refused.code)
    };
    assert_eq!(try_at(&mut world, HOUR, ActivityKind::Call), Err(RefusalCode::IllegalTransition));
    let mut world = lead_at(StageKind::Mql);
    for (ahead, kind) in [
        (0, ActivityKind::Call),
        (-HOUR, ActivityKind::Call),
        (367 * DAY, ActivityKind::Email),
        (HOUR, ActivityKind::Note),
    ] {
        assert_eq!(try_at(&mut world, ahead, kind), Err(RefusalCode::Validation), "{ahead} {kind}");
    }
    for hour in 1..=10 {
        assert_eq!(try_at(&mut world, hour * HOUR, ActivityKind::Email), Ok(()));
    }
    assert_eq!(try_at(&mut world, HOUR, ActivityKind::Email), Err(RefusalCode::Validation));
}

#[test]
fn what_is_expected_is_sealed_into_the_next_packet_and_held_against_the_meeting() {
    let demo = Expectation { purpose: MeetingPurpose::Demo, text: None };
    let sealed = packet().expecting(Some(&demo));
    assert_ne!(sealed.digest(), packet().digest());
    assert_eq!(packet().expecting(None).digest(), packet().digest(), "packets from before keep their seal");
    assert!(sealed.completeness() > packet().completeness());
    assert_eq!(sealed.first_meeting_expectation.as_deref(), Some("A demonstration of the product"));

    let mut world = lead_at(StageKind::Mql);
    let pending = world.act(0, Cause::Context, |draft| draft.expect_first_meeting(&demo, false)).unwrap_err();
    assert_eq!(
        (pending.code, pending.allowed),
        (RefusalCode::IllegalTransition, vec!["routeLead".to_owned()])
    );
    world.act(0, Cause::Routing, |draft| draft.expect_first_meeting(&demo, true)).unwrap();
    let other = Expectation { purpose: MeetingPurpose::Other, text: None };
    let wordless =
        world.act(0, Cause::Routing, |draft| draft.expect_first_meeting(&other, true)).unwrap_err();
    assert_eq!(wordless.path, ["input", "expectation"]);

    let mut world = lead_at(StageKind::Sal);
    let late = world.act(0, Cause::Context, |draft| draft.expect_first_meeting(&demo, false)).unwrap_err();
    assert_eq!(late.code, RefusalCode::IllegalTransition);
    let now = world.now;
    let meeting = |direction, outcome| Activity {
        kind: ActivityKind::Meeting,
        meeting: Some(outcome),
        ..call(direction, now)
    };
    log(&mut world, meeting(Direction::Outbound, MeetingOutcome::NoShow)).unwrap();
    log(&mut world, meeting(Direction::TwoWay, MeetingOutcome::HeldBetter)).unwrap();
    let handoff = world.leads[0].journey.handoff.clone().unwrap();
    assert_eq!(
        (handoff.first_meeting, handoff.first_meeting_at),
        (Some(MeetingOutcome::HeldBetter), Some(now))
    );
    let wrong = meeting(Direction::TwoWay, MeetingOutcome::NoShow);
    assert_eq!(log(&mut world, wrong).unwrap_err().path, ["input", "direction"]);
}
