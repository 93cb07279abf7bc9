//! A change of a lead in the making: verbs emit facts, each fact is folded at once, and the whole goes to the store.

use std::sync::Arc;

use uuid::Uuid;

use crate::charter::Charter;
use crate::clock::{
    ClockEvent, ClockKind, ClockLevel, ClockStart, ClockState, Party, SlaClock, SlaPolicy, WorkingTime,
};
use crate::context_request::{ContextAnswer, ContextRequest};
use crate::decision_override::DecisionOverride;
use crate::directory::Directory;
use crate::evaluation::Evaluation;
use crate::event::{Actor, Body, Event, Fact, GreyTrigger, StreamKind};
use crate::grey_case;
use crate::handoff::Packet;
use crate::incumbent::Incumbent;
use crate::lead::Journey;
use crate::meeting;
use crate::refused::{RefusalCode, Refused};
use crate::snapshot::Snapshot;
use crate::stage::{Cause, CycleOutcome, StageKind, WorkState};
use crate::time::{Ids, Instant};

/// Who acts, when, and under which agreement.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// When it is written down.
    pub now: Instant,
    /// When it happened.
    pub at: Instant,
    pub actor: Actor,
    pub cause: Cause,
    pub charter: &'a Charter,
    pub directory: &'a Directory,
    pub ids: &'a dyn Ids,
    /// False while the past is imported: no clocks, no routing.
    pub live: bool,
}

/// What is written beside the log: it may hold personal data, or is too large for it.
#[derive(Clone, Debug)]
pub enum Record {
    /// With every snapshot that a decision names: the qualification's, and the routing's with the pool.
    Evaluation {
        evaluation: Evaluation,
        snapshots: Vec<Arc<Snapshot>>,
    },
    Packet {
        handoff: Uuid,
        packet: Packet,
    },
    Note {
        about: Uuid,
        text: String,
    },
    GreyCase {
        case: Uuid,
        slot: String,
        decision: Uuid,
        trigger: GreyTrigger,
        text: Option<String>,
    },
    FirstMeeting(meeting::Stated),
    Override(DecisionOverride),
    ContextRequest(ContextRequest),
    ContextAnswer {
        request: Uuid,
        answer: ContextAnswer,
    },
}

/// A finished change: the journey before and after, and the events between.
#[derive(Clone, Debug)]
pub struct Change {
    /// Version that the store must still find; 0 for a new lead.
    pub expected: i64,
    pub before: Journey,
    pub after: Journey,
    pub events: Vec<Event>,
    pub records: Vec<Record>,
    /// Pool and revision that a routing was decided from, and whom it chose.
    pub routed: Option<Routed>,
}

#[derive(Clone, Debug)]
pub struct Routed {
    pub pool: String,
    pub revision: u64,
    pub owner: Option<Uuid>,
}

/// A fact with what the journey knew when it was emitted.
struct Noted {
    at: Instant,
    cycle: u32,
    fact: Fact,
}

/// A change in the making.
pub struct Draft<'a> {
    pub scene: Scene<'a>,
    before: Journey,
    pub journey: Journey,
    facts: Vec<Noted>,
    pub records: Vec<Record>,
    pub routed: Option<Routed>,
    /// An act of high intent: shorter targets apply.
    pub urgent: bool,
    /// When the contract of what the company uses today ends, as far as the caller knows it.
    pub incumbent: Incumbent,
}

impl<'a> Draft<'a> {
    /// Begins a change of a lead as it was loaded, or of [`Journey::blank`].
    pub fn new(journey: Journey, scene: Scene<'a>) -> Draft<'a> {
        Draft {
            scene,
            before: journey.clone(),
            journey,
            facts: vec![],
            records: vec![],
            routed: None,
            urgent: false,
            incumbent: Incumbent::default(),
        }
    }

    /// Refuses unless the caller saw this version.
    pub fn expect_version(&self, expected: Option<i64>) -> Result<(), Refused> {
        match expected {
            Some(version) if version != self.before.lead.version => {
                Err(Refused::version(self.before.lead.version))
            }
            _ => Ok(()),
        }
    }

    /// Writes a fact down and folds it at once.
    pub fn emit(&mut self, fact: Fact) {
        self.emit_at(self.scene.at, fact);
    }

    /// A fact that happened at another instant than the scene.
    pub fn emit_at(&mut self, at: Instant, fact: Fact) {
        self.journey.apply(&fact, at);
        // A capture comes just before the cycle that it belongs to.
        let cycle = self.journey.lead.cycle.max(1);
        self.facts.push(Noted { at, cycle, fact });
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.records.is_empty()
    }

    /// Seals the change: one version of the lead, its events numbered from 0.
    pub fn finish(mut self) -> Change {
        let scene = &self.scene;
        // Versions are gapless in the log: a change without facts is no new version.
        self.journey.lead.version = self.before.lead.version + i64::from(!self.facts.is_empty());
        let lead = &self.journey.lead;
        let events = self.facts.into_iter().zip(0..).map(|(Noted { at, cycle, fact }, ordinal)| Event {
            id: scene.ids.next(),
            stream: StreamKind::Lead,
            stream_id: lead.id,
            version: lead.version,
            ordinal,
            occurred_at: at,
            recorded_at: scene.now,
            body: Body {
                actor: scene.actor,
                cause: scene.cause,
                charter: scene.charter.number,
                cycle: Some(cycle),
                fact,
            },
        });
        let events = events.collect();
        Change {
            expected: self.before.lead.version,
            before: self.before,
            after: self.journey,
            events,
            records: self.records,
            routed: self.routed,
        }
    }

    /// Moves the lead forward. It never goes backward inside a cycle (I2), nor below INQUIRY. After a win only ADVOCATE
    /// is left.
    pub fn advance(
        &mut self,
        to: StageKind,
        evaluation: Option<Uuid>,
        asserted: bool,
    ) -> Result<(), Refused> {
        let lead = &self.journey.lead;
        if !(lead.outcome == CycleOutcome::Won && to == StageKind::Advocate) {
            self.require_open(&format!("move to {to}"))?;
        }
        let fresh = self.journey.cycle.furthest_stage == StageKind::Anonymous;
        if to < StageKind::Inquiry || (!fresh && to <= lead.stage) {
            let message = format!("a lead at {} cannot move to {to}; a cycle only goes forward", lead.stage);
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        let from = (lead.stage_version > 0).then_some(lead.stage);
        let skipped = StageKind::between(if fresh { StageKind::Anonymous } else { lead.stage }, to);
        let stage_version = lead.stage_version + 1;
        self.emit(Fact::StageChanged { from, to, skipped, asserted, stage_version, evaluation });
        // An import tells the stage and not always the owner, and the past is not routed; from MQL on no rule looks after
        // a lead any more (I4).
        let with_sales = to >= StageKind::Mql && to < StageKind::Customer;
        let unrouted = asserted || !self.scene.live;
        if unrouted && with_sales && !self.journey.lead.is_assigned() {
            self.hand_to_queue(self.scene.charter.body.fallback_queue.clone());
        }
        Ok(())
    }

    /// Says what is being done with the lead, if that is news.
    pub fn work_state(&mut self, to: WorkState) {
        let from = self.journey.lead.work_state;
        if from != to {
            self.emit(Fact::WorkStateChanged { from, to });
        }
    }

    /// Starts a clock by the charter's policy, in the hours of whoever has the lead now.
    pub fn start_clock(&mut self, kind: ClockKind, level: ClockLevel) {
        let id = self.scene.ids.next();
        self.start_own_clock(kind, id, level);
    }

    /// Starts a clock whose identity follows from what it waits for.
    pub(crate) fn start_own_clock(&mut self, kind: ClockKind, id: Uuid, level: ClockLevel) {
        let Some(policy) = self.scene.charter.body.policy(kind).filter(|_| self.scene.live) else { return };
        self.start_in_hours(policy, id, policy.party, level);
    }

    /// Starts the clocks of a grey case: one for the party that the policy names, or one for each side, which owes its opinion.
    pub(crate) fn start_grey_clocks(&mut self, case: Uuid) {
        let kind = ClockKind::GreyCase;
        let Some(policy) = self.scene.charter.body.policy(kind).filter(|_| self.scene.live) else { return };
        match policy.party {
            Some(party) => {
                self.start_in_hours(policy, grey_case::clock(case, None), Some(party), ClockLevel::Lead)
            }
            None => {
                for party in [Party::Marketing, Party::Sales] {
                    let id = grey_case::clock(case, Some(party));
                    self.start_in_hours(policy, id, Some(party), ClockLevel::Lead);
                }
            }
        }
    }

    /// An act that keeps the promise of one clock, if there is such a clock.
    pub(crate) fn meet_clock(&mut self, id: Uuid) {
        let (at, cycle) = (self.scene.at, self.journey.lead.cycle);
        // What an earlier cycle promised ended with it; the store does not load it any more.
        self.change_clocks(|clock| clock.id == id && clock.cycle == cycle, |clock, _| clock.meet(at));
    }

    fn start_in_hours(&mut self, policy: &SlaPolicy, id: Uuid, party: Option<Party>, level: ClockLevel) {
        let lead = &self.journey.lead;
        let hours = self.scene.directory.working_time(policy.mode, lead.owner, lead.queue.as_deref());
        let target_ms = policy.target_ms(self.urgent);
        self.start(policy, id, party, level, target_ms, hours);
    }

    /// Starts a clock that is due on a date of its own, for example the one that a buyer named, whatever the policy's
    /// hours. In an import of the past only a date that still lies ahead needs one.
    pub fn start_clock_until(&mut self, kind: ClockKind, level: ClockLevel, date: Instant) {
        let wanted = self.scene.live || date > self.scene.now;
        let Some(policy) = self.scene.charter.body.policy(kind).filter(|_| wanted) else { return };
        let id = self.scene.ids.next();
        self.start(policy, id, policy.party, level, date.since(self.scene.at), WorkingTime::Wall);
    }

    fn start(
        &mut self,
        policy: &SlaPolicy,
        id: Uuid,
        party: Option<Party>,
        level: ClockLevel,
        target_ms: i64,
        hours: WorkingTime<'_>,
    ) {
        let lead = &self.journey.lead;
        let start = ClockStart {
            id,
            party: party.unwrap_or(Party::Sales),
            level,
            cycle: lead.cycle,
            subject_owner: lead.owner,
            policy_charter: self.scene.charter.number,
            at: self.scene.at,
            target_ms,
        };
        let clock = SlaClock::start(policy, start, hours);
        self.emit(Fact::ClockChanged { clock });
    }

    /// An act of the open cycle that keeps a promise: meets every clock of the kind. A clock that breached says how late.
    pub fn meet_clocks(&mut self, kind: ClockKind) {
        self.meet_clocks_at(kind, self.scene.at);
    }

    pub(crate) fn meet_clocks_at(&mut self, kind: ClockKind, at: Instant) {
        let cycle = self.journey.lead.cycle;
        self.change_clocks(|clock| clock.kind == kind && clock.cycle == cycle, |clock, _| clock.meet(at));
    }

    /// Ends what lost its object: every clock that still waits, but those to keep.
    pub fn cancel_clocks(&mut self, keep: impl Fn(&SlaClock) -> bool) {
        let at = self.scene.at;
        self.change_clocks(|clock| !keep(clock), |clock, _| clock.cancel(at));
    }

    /// Stops sales' clocks for a reason of the charter; a clock whose policy knows no such pause runs on.
    pub fn pause_clocks(&mut self, kind: ClockKind, reason: &str) {
        let Some(policy) = self.scene.charter.body.policy(kind) else { return };
        let at = self.scene.at;
        self.change_clocks(
            |clock| clock.kind == kind,
            |clock, hours| clock.pause(at, reason, policy, hours).ok().into_iter().collect(),
        );
    }

    /// Lets paused clocks of the kind run again.
    pub fn resume_clocks(&mut self, kind: ClockKind) {
        let at = self.scene.at;
        self.change_clocks(
            |clock| clock.kind == kind,
            |clock, hours| clock.resume(at, hours).into_iter().collect(),
        );
    }

    /// Writes down what time alone did: pauses that lapsed, promises that were broken.
    pub fn catch_up_clocks(&mut self) {
        let now = self.scene.now;
        self.change_clocks(|_| true, |clock, _| clock.catch_up(now));
    }

    pub(crate) fn change_clocks(
        &mut self,
        which: impl Fn(&SlaClock) -> bool,
        change: impl Fn(&SlaClock, WorkingTime<'_>) -> Vec<ClockEvent>,
    ) {
        let chosen = self.journey.clocks.iter().filter(|clock| which(clock));
        let events: Vec<ClockEvent> = chosen.flat_map(|clock| change(clock, self.hours_of(clock))).collect();
        for clock in events {
            self.emit_at(clock.at(), Fact::ClockChanged { clock });
        }
    }

    /// The hours in which a clock counts: its owner's, or those of whoever has the lead.
    pub fn hours_of(&self, clock: &SlaClock) -> WorkingTime<'a> {
        let lead = &self.journey.lead;
        let owner = clock.subject_owner.or(lead.owner);
        self.scene.directory.working_time(clock.mode, owner, lead.queue.as_deref())
    }

    /// Whether a clock of the kind is running or paused.
    pub fn waits(&self, kind: ClockKind) -> bool {
        let waiting = |clock: &SlaClock| matches!(clock.state, ClockState::Running | ClockState::Paused);
        self.journey.clocks.iter().any(|clock| clock.kind == kind && waiting(clock))
    }

    pub(crate) fn require_open(&self, verb: &str) -> Result<(), Refused> {
        if self.journey.is_open() {
            return Ok(());
        }
        let lead = &self.journey.lead;
        if lead.cycle == 0 {
            let message = format!("cannot {verb}: this lead has not been captured yet");
            let allowed = vec!["captureLead".to_owned()];
            return Err(Refused { allowed, ..Refused::new(RefusalCode::IllegalTransition, message) });
        }
        let message = format!("cannot {verb}: cycle {} of this lead ended {}", lead.cycle, lead.outcome);
        let allowed = if lead.reopens() { vec!["reopenLead".to_owned()] } else { vec![] };
        Err(Refused { allowed, ..Refused::new(RefusalCode::IllegalTransition, message) })
    }
}
