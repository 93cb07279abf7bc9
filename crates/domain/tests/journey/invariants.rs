//! The invariants of domain.md, each as a check over a lead and its log.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::calendar::TimeZone;
use handfast_domain::clock::{ClockEvent, ClockKind, ClockLevel, ClockState, Party, SlaClock};
use handfast_domain::disposition::never_disqualifies;
use handfast_domain::event::{Body, Event, Fact};
use handfast_domain::handoff::HandoffStatus;
use handfast_domain::lead::Journey;
use handfast_domain::ledger::LedgerDay;
use handfast_domain::nurture::NurtureStatus;
use handfast_domain::stage::{CycleOutcome, StageKind};
use uuid::Uuid;

use crate::world::{Lead, MONDAY, Step, World};

/// Everything that must hold of a lead after each change.
pub fn check(world: &World, lead: &Lead, step: &Step) {
    stages_rise_within_a_cycle(&lead.events);
    cycles_open_one_at_a_time(lead);
    somebody_or_some_date_cares(world, &lead.journey);
    drops_are_no_bad_leads(&lead.events);
    the_log_tells_everything(lead);
    clocks_are_counted_once(lead);
    clocks_wait_only_for_what_can_come(&lead.journey);
    nurture_waits_for_sales(&lead.journey);
    nobody_follows_up_on_what_is_over(lead);
    versions_are_dense(&lead.events);
    handoffs_follow_one_another(&lead.events);
    if let Some(change) = &step.change {
        rejections_have_a_reason_and_a_next_owner(&change.events, &change.after);
        assert_eq!(
            change.after.lead.version,
            change.before.lead.version + i64::from(!change.events.is_empty())
        );
    }
}

/// I2, and what every transition says of itself.
fn stages_rise_within_a_cycle(events: &[Event]) {
    let mut reached: BTreeMap<u32, StageKind> = BTreeMap::new();
    let (mut last, mut count) = (None, 0);
    for event in events {
        let Fact::StageChanged { from, to, skipped, stage_version, .. } = &event.body.fact else { continue };
        let cycle = event.body.cycle.expect("an event of a lead names the cycle");
        let before = reached.insert(cycle, *to);
        assert!(before.is_none_or(|before| before < *to), "I2: {before:?} to {to} in cycle {cycle}");
        assert_eq!(*from, last, "a transition starts where the one before it ended");
        let start = before.unwrap_or(StageKind::Anonymous);
        assert_eq!(*skipped, StageKind::between(start, *to));
        assert!(before.is_some() || *to >= StageKind::Inquiry, "a cycle opens at INQUIRY or above");
        count += 1;
        assert_eq!(*stage_version, count, "stage versions are 1..n");
        last = Some(*to);
    }
}

/// I3: at most one open cycle, numbers 1..n.
fn cycles_open_one_at_a_time(lead: &Lead) {
    let (mut open, mut count) = (None, 0);
    for event in &lead.events {
        match &event.body.fact {
            Fact::CycleOpened { cycle, resumed_from, .. } => {
                assert_eq!(open, None, "I3: a cycle opens while another is open");
                assert_eq!(*resumed_from, (count > 0).then_some(count));
                count += 1;
                assert_eq!(*cycle, count, "I3: cycle numbers are 1..n");
                open = Some(*cycle);
            }
            Fact::CycleClosed { cycle, outcome, .. } => {
                assert_eq!(open, Some(*cycle), "I3: only the open cycle can close");
                assert_ne!(*outcome, CycleOutcome::Open);
                open = None;
            }
            Fact::StageChanged { to: StageKind::Advocate, .. } => {}
            Fact::StageChanged { .. } | Fact::LeadEvaluated { .. } | Fact::HandoffOffered { .. } => {
                assert!(open.is_some(), "nothing moves in a closed cycle");
            }
            _ => {}
        }
        if !matches!(event.body.fact, Fact::LeadCaptured { .. }) {
            assert_eq!(event.body.cycle, Some(count), "an event names the cycle of its moment");
        }
    }
    assert_eq!(open.is_some(), lead.journey.is_open());
    assert_eq!(lead.journey.lead.cycle, count);
}

/// I4.
fn somebody_or_some_date_cares(world: &World, journey: &Journey) {
    let lead = &journey.lead;
    if let Some(owner) = lead.owner {
        assert!(world.directory.user(owner).is_some(), "owners exist");
        assert_eq!(lead.queue, None, "an owner or a queue, not both");
    }
    if let Some(queue) = &lead.queue {
        assert!(world.directory.queue(queue).is_some(), "queues exist");
    }
    if journey.is_open() {
        let cared_for = lead.is_assigned() || lead.next_evaluation_at.is_some();
        assert!(cared_for, "I4: nobody and no date cares for this lead: {lead:?}");
        let with_sales = lead.stage > StageKind::Mql && lead.stage < StageKind::Customer;
        assert!(!with_sales || lead.is_assigned(), "I4: no rule looks after a lead at {}", lead.stage);
    } else if lead.cycle > 0 {
        assert_eq!(lead.next_evaluation_at, None, "the rules do not look at closed leads");
    }
}

/// What was planned is done once, called off once, or waits in an open cycle.
fn nobody_follows_up_on_what_is_over(lead: &Lead) {
    let mut waiting = BTreeSet::new();
    for event in &lead.events {
        match &event.body.fact {
            Fact::FollowUpPlanned { follow_up, .. } => assert!(waiting.insert(*follow_up), "planned once"),
            Fact::FollowUpEnded { follow_up, outcome, activity, attempt } => {
                assert!(waiting.remove(follow_up), "what ends was planned, and ends once");
                assert_eq!(activity.is_some(), outcome.is_done());
                assert_eq!(attempt.is_some(), outcome.is_done());
            }
            _ => {}
        }
    }
    let known: BTreeSet<Uuid> = lead.journey.lead.follow_ups.iter().map(|one| one.id).collect();
    assert_eq!(known, waiting, "the lead carries what waits");
    assert!(lead.journey.is_open() || waiting.is_empty(), "nobody follows up on a cycle that is over");
}

/// I5.
fn drops_are_no_bad_leads(events: &[Event]) {
    for event in events {
        if let Fact::CycleClosed { outcome: CycleOutcome::Disqualified, reason, .. } = &event.body.fact {
            let reason = reason.as_deref().expect("a disqualification has a reason");
            assert!(!never_disqualifies(reason), "I5: {reason} disqualified a lead");
        }
    }
}

/// I6: the journey is the fold of its log, also after the log was written and read.
fn the_log_tells_everything(lead: &Lead) {
    let mut replayed = Journey::blank(lead.journey.lead.id, MONDAY);
    for event in &lead.events {
        let written = serde_json::to_string(&event.body).expect("facts can be written");
        let read: Body = serde_json::from_str(&written).expect("facts can be read");
        assert_eq!(read, event.body, "a fact survives JSON");
        replayed.apply(&read.fact, event.occurred_at);
        replayed.lead.version = event.version;
    }
    assert_eq!(replayed, lead.journey, "I6: the journey is a replay of its log");
}

/// I13.
fn clocks_are_counted_once(lead: &Lead) {
    let mut started = 0;
    let mut by_clock: BTreeMap<Uuid, Vec<&ClockEvent>> = BTreeMap::new();
    for event in &lead.events {
        if let Fact::ClockChanged { clock } = &event.body.fact {
            started += usize::from(matches!(clock, ClockEvent::Started { .. }));
            by_clock.entry(clock.clock()).or_default().push(clock);
            assert_eq!(event.occurred_at, clock.at());
        }
    }
    let counted: usize = ClockState::ALL
        .iter()
        .map(|state| lead.journey.clocks.iter().filter(|clock| clock.state == *state).count())
        .sum();
    assert_eq!(counted, started, "I13: met + breached + cancelled + running + paused = started");
    assert_eq!(by_clock.len(), started);
    for clock in &lead.journey.clocks {
        let events = by_clock[&clock.id].iter().copied();
        assert_eq!(SlaClock::fold(events).as_ref(), Some(clock), "a clock is the fold of its events");
        let breaches =
            by_clock[&clock.id].iter().filter(|e| matches!(e, ClockEvent::Breached { .. })).count();
        assert!(breaches <= 1, "a breach is emitted once");
    }
}

fn clocks_wait_only_for_what_can_come(journey: &Journey) {
    let waits = |clock: &&SlaClock| matches!(clock.state, ClockState::Running | ClockState::Paused);
    let of_cases = |clock: &&SlaClock| clock.kind == ClockKind::GreyCase;
    // Several questions may wait, each for its own answer.
    let several = |clock: &SlaClock| matches!(clock.kind, ClockKind::GreyCase | ClockKind::Context);
    let others = journey.clocks.iter().filter(waits).filter(|clock| !several(clock));
    let waiting: Vec<_> = others.map(|clock| (clock.kind, clock.level)).collect();
    let distinct: BTreeSet<_> = waiting.iter().collect();
    assert_eq!(distinct.len(), waiting.len(), "one clock waits for one thing: {waiting:?}");
    for party in [Party::Marketing, Party::Sales] {
        let owed = journey.clocks.iter().filter(waits).filter(of_cases).filter(|clock| clock.party == party);
        assert!(owed.count() <= journey.lead.grey_slots.len(), "{party} owes an opinion on each open case");
    }
    for clock in journey.clocks.iter().filter(waits) {
        assert_eq!(clock.cycle, journey.lead.cycle, "no clock outlives its cycle");
        assert_eq!(clock.kind == ClockKind::Requalify, !journey.is_open(), "{} waits", clock.kind);
    }
    for cycle in 1..=journey.lead.cycle {
        let speed_to_lead = journey.clocks.iter().filter(|clock| {
            (clock.kind, clock.level, clock.cycle) == (ClockKind::FirstTouch, ClockLevel::Lead, cycle)
        });
        assert!(speed_to_lead.count() <= 1, "the lead's own wait never restarts");
    }
    if journey.pending_handoff().is_none() {
        assert!(!waiting.iter().any(|(kind, _)| *kind == ClockKind::Accept), "ACCEPT without a hand-off");
    }
    if journey.lead.suppressed {
        assert!(
            waiting.is_empty() && journey.lead.recycle_on.is_none(),
            "nobody comes back to the suppressed"
        );
    }
}

/// Nothing is sent to whom sales works, to whoever asked for peace, and to nobody.
fn nurture_waits_for_sales(journey: &Journey) {
    let Some(nurture) = &journey.lead.nurture else { return };
    let active = nurture.status == NurtureStatus::Active;
    assert_eq!(active, nurture.next_step_at.is_some(), "a step is due of what is active: {nurture:?}");
    assert!(!(active && journey.pending_handoff().is_some()), "suppressed while sales has it");
    assert!(!(nurture.is_open() && journey.lead.suppressed), "nothing is sent to the suppressed");
    let ended = journey.lead.merged_into.is_some() || journey.lead.erased_at.is_some();
    assert!(!(ended && nurture.is_open()), "nothing is sent to nobody");
}

/// (version, ordinal) is unique and dense: versions 1..n, ordinals 0..k in each.
fn versions_are_dense(events: &[Event]) {
    let mut expected = (1, 0);
    let mut ids = BTreeSet::new();
    for event in events {
        let place = (event.version, event.ordinal);
        assert!(place == expected || place == (expected.0 + 1, 0), "{place:?} follows {expected:?}");
        assert!(events[0].version == 1 && events[0].ordinal == 0);
        expected = (event.version, event.ordinal + 1);
        assert!(ids.insert(event.id), "event ids are unique");
    }
}

fn handoffs_follow_one_another(events: &[Event]) {
    let mut status: BTreeMap<Uuid, HandoffStatus> = BTreeMap::new();
    for event in events {
        let (handoff, next) = match &event.body.fact {
            Fact::HandoffOffered { handoff, .. } => {
                assert!(!status.values().any(|status| *status == HandoffStatus::Pending), "one pending");
                assert_eq!(status.insert(*handoff, HandoffStatus::Pending), None);
                continue;
            }
            Fact::HandoffAccepted { handoff } => (handoff, HandoffStatus::Accepted),
            Fact::HandoffRejected { handoff, returned: true, .. } => (handoff, HandoffStatus::Returned),
            Fact::HandoffRejected { handoff, .. } => (handoff, HandoffStatus::Rejected),
            Fact::HandoffExpired { handoff } => (handoff, HandoffStatus::Expired),
            Fact::HandoffCancelled { handoff } => (handoff, HandoffStatus::Cancelled),
            _ => continue,
        };
        let before = status.insert(*handoff, next);
        let late = before == Some(HandoffStatus::Expired)
            && !matches!(next, HandoffStatus::Expired | HandoffStatus::Cancelled);
        assert!(before == Some(HandoffStatus::Pending) || late, "{before:?} to {next}");
    }
}

/// I15.
fn rejections_have_a_reason_and_a_next_owner(events: &[Event], after: &Journey) {
    for event in events {
        if let Fact::HandoffRejected { reason, returned, .. } = &event.body.fact {
            assert!(!reason.is_empty(), "I15: a rejection has a reason");
            assert!(after.lead.is_assigned(), "I15: a rejected lead has a next owner");
            assert_eq!(after.is_open(), *returned, "a rejection returns the lead or closes the cycle");
        }
    }
}

/// I1: on every day, cycles open at its start + opened − closed = open at its end, where what is open is read from the
/// folded journeys and what moved from the events.
pub fn ledger_balances(world: &World) {
    let zone = TimeZone::parse(&world.charter.body.time_zone).expect("charter 0 has a zone");
    let day = |event: &Event| zone.date(event.occurred_at);
    let days: BTreeSet<_> = world.leads.iter().flat_map(|lead| &lead.events).map(day).collect();
    let open_after = |until| {
        let is_open = |lead: &&Lead| {
            let mut journey = Journey::blank(lead.journey.lead.id, MONDAY);
            for event in lead.events.iter().filter(|event| day(event) <= until) {
                journey.apply(&event.body.fact, event.occurred_at);
            }
            journey.is_open()
        };
        world.leads.iter().filter(is_open).count() as i64
    };
    let mut open_at_start = 0;
    for today in days {
        let mut ledger = LedgerDay { open_at_start, open_at_end: open_after(today), ..LedgerDay::default() };
        for event in world.leads.iter().flat_map(|lead| &lead.events).filter(|event| day(event) == today) {
            match &event.body.fact {
                Fact::CycleOpened { .. } => ledger.opened += 1,
                Fact::CycleClosed { outcome, .. } => *ledger.closed.entry(*outcome).or_default() += 1,
                _ => {}
            }
        }
        assert_eq!(ledger.balance(), 0, "I1: {today} does not balance: {ledger:?}");
        open_at_start = ledger.open_at_end;
    }
    let open_now = world.leads.iter().filter(|lead| lead.journey.is_open()).count() as i64;
    assert_eq!(open_at_start, open_now, "I1: the ledger ends in what is open now");
}
