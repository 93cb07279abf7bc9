//! Marketing's half of the machine: capture, what an evaluation does to a lead, and routing.

use std::sync::Arc;

use uuid::Uuid;

use crate::change::{Draft, Record, Routed};
use crate::clock::{ClockKind, ClockLevel, Party, SlaClock};
use crate::disposition::Disposal;
use crate::evaluation::{Decision, Evaluation, GateResult, furthest_met, scoring};
use crate::event::{Fact, GreyTrigger};
use crate::grey_case;
use crate::handoff::Packet;
use crate::persona::PersonaMatch;
use crate::refused::{RefusalCode, Refused};
use crate::snapshot::Snapshot;
use crate::stage::{Channel, CycleOpenedBy, CycleOutcome, StageKind, WorkState};
use crate::time::{DAY, Instant, MINUTE};
use crate::verdict::{Outcome, Status};

/// How soon the rules look again after a look that settled nothing.
const RETRY: i64 = MINUTE;

/// What a new lead is captured with, besides the person.
#[derive(Clone, Debug)]
pub struct Capture {
    pub account: Option<Uuid>,
    pub campaign: Option<Uuid>,
    pub source: String,
    pub channel: Channel,
}

/// An evaluation with all that was looked at.
pub struct Judgement {
    pub evaluation: Evaluation,
    pub snapshots: Vec<Arc<Snapshot>>,
    pub persona: Option<PersonaMatch>,
}

/// Where a router sends a lead, resolved against the directory and the charter.
#[derive(Clone, Debug)]
pub struct Destination {
    pub owner: Option<Uuid>,
    pub queue: Option<String>,
    pub priority: i32,
    /// The router's decision; none where no router is deployed and the fallback queue serves.
    pub decision: Option<Uuid>,
    pub pool: Option<(String, u64)>,
}

impl Draft<'_> {
    /// A person becomes a lead.
    pub fn capture(&mut self, capture: Capture) -> Result<(), Refused> {
        if self.journey.lead.cycle > 0 {
            let message = "this lead has been captured before; record the touch on it instead";
            return Err(Refused::new(RefusalCode::AlreadyExists, message));
        }
        let Capture { account, campaign, source, channel } = capture;
        self.emit(Fact::LeadCaptured { account, campaign, source, channel });
        self.open_cycle(CycleOpenedBy::Capture)
    }

    /// Opens the next cycle at INQUIRY. A lead has at most one open cycle (I3).
    pub fn open_cycle(&mut self, by: CycleOpenedBy) -> Result<(), Refused> {
        if self.journey.is_open() {
            let message = format!("cycle {} of this lead is still open", self.journey.lead.cycle);
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        let number = self.journey.cycle.number;
        let resumed_from = (number > 0).then_some(number);
        self.emit(Fact::CycleOpened { cycle: number + 1, by, resumed_from });
        self.advance(StageKind::Inquiry, None, false)
    }

    /// Applies what the rules and criteria said. The caller routes afterwards, if the lead has reached MQL.
    pub fn evaluated(&mut self, judgement: Judgement) -> Result<(), Refused> {
        self.require_open("evaluate")?;
        let Judgement { evaluation, snapshots, persona } = judgement;
        let body = &self.scene.charter.body;
        let last = evaluation.gates.last();
        let result = last.map_or(Outcome::Hold, |gate| gate.result);
        let ends = match result {
            Outcome::Recycle => Some(CycleOutcome::Recycled),
            Outcome::Disqualify => Some(CycleOutcome::Disqualified),
            Outcome::Advance | Outcome::Hold | Outcome::Review => None,
        };
        let ruled = ends.zip(last).and_then(|(end, gate)| self.ending(&evaluation, gate, end));
        let furthest = furthest_met(&evaluation.gates);
        let next_evaluation_at = self.next_look(&evaluation, furthest);
        let slots: Vec<_> = evaluation.gates.iter().rev().flat_map(|gate| body.slots_of(gate.gate)).collect();
        let scores = scoring(&slots, &evaluation.decisions);
        let lead = &self.journey.lead;
        self.emit(Fact::LeadEvaluated {
            evaluation: evaluation.id,
            snapshot: evaluation.snapshot,
            gate: last.map(|gate| gate.gate),
            result,
            decisions: evaluation.decisions.iter().map(|decision| decision.id).collect(),
            persona: persona.map(|persona| persona.key),
            fit: scores.map_or(lead.fit, |decision| decision.fit),
            engagement: scores.map_or(lead.engagement, |decision| decision.engagement),
            next_evaluation_at,
        });
        if let Some(to) = furthest.filter(|to| *to > self.journey.lead.stage) {
            self.advance(to, Some(evaluation.id), false)?;
            if to == StageKind::Mql {
                self.start_clock(ClockKind::Route, ClockLevel::Lead);
            }
            if to == StageKind::Iql && self.scene.live {
                self.enrol_by_persona();
            }
        }
        let unheard = (ends.is_some() && ruled.is_none()).then_some(result);
        self.open_grey_cases(&evaluation, unheard);
        let id = evaluation.id;
        self.records.push(Record::Evaluation { evaluation, snapshots });
        if let Some(ended) = ruled {
            self.close(ended.outcome, ended.disposal, Some(id))?;
        }
        Ok(())
    }

    /// Which ending a rule asked for, if the charter allows it; a rule that names another reason is heard as a grey case.
    fn ending(&self, evaluation: &Evaluation, gate: &GateResult, outcome: CycleOutcome) -> Option<Ended> {
        let here = |d: &&Decision| d.counts() && d.gate == Some(gate.gate) && d.outcome == Some(gate.result);
        evaluation.decisions.iter().filter(here).find_map(|decision| {
            let disposal = Disposal {
                reason: decision.target.clone().unwrap_or_default(),
                recycle_at: decision.review_at.filter(|at| *at > self.scene.at),
                ..Disposal::default()
            };
            self.allowed(outcome, &disposal).ok().map(|_| Ended { outcome, disposal })
        })
    }

    /// Whatever the rules said, somebody or some date takes care of an open lead (I4).
    fn next_look(&self, evaluation: &Evaluation, furthest: Option<StageKind>) -> Option<Instant> {
        let (lead, as_of) = (&self.journey.lead, evaluation.as_of);
        let stage = furthest.map_or(lead.stage, |furthest| furthest.max(lead.stage));
        if stage >= StageKind::Mql && lead.is_assigned() {
            return None;
        }
        // Routing follows in the same change and clears this. Should it fail, it is owed at once; and a host that was busy
        // said nothing about the lead at all.
        let busy =
            evaluation.decisions.iter().any(|decision| decision.counts() && decision.status == Status::Busy);
        if busy || stage == StageKind::Mql {
            return Some(as_of.plus(RETRY));
        }
        let latest = as_of.plus(i64::from(self.scene.charter.body.max_hold_days) * DAY);
        let counted = evaluation.decisions.iter().filter(|decision| decision.counts());
        let named = counted.filter_map(|decision| decision.review_at).filter(|at| *at > as_of).min();
        Some(named.unwrap_or(latest).min(latest))
    }

    fn open_grey_cases(&mut self, evaluation: &Evaluation, unheard: Option<Outcome>) {
        for decision in evaluation.decisions.iter().filter(|decision| decision.counts()) {
            let trigger = match (decision.status, decision.outcome) {
                (Status::Busy, _) => continue,
                (Status::Ok, Some(Outcome::Review)) => GreyTrigger::Review,
                (Status::Ok, outcome) if outcome.is_some() && outcome == unheard => GreyTrigger::NotAllowed,
                (Status::Ok, _) => continue,
                _ => GreyTrigger::Fault,
            };
            self.open_grey_case(decision.slot.clone(), decision.id, trigger, decision.text.clone());
        }
    }

    /// Asks both sides to look at a decision, unless they are asked about this slot already.
    pub fn open_grey_case(
        &mut self,
        slot: String,
        decision: Uuid,
        trigger: GreyTrigger,
        text: Option<String>,
    ) {
        if self.journey.lead.grey_slots.contains(&slot) {
            return;
        }
        let case = self.scene.ids.next();
        self.emit(Fact::GreyCaseOpened { case, slot: slot.clone(), decision, trigger });
        self.start_grey_clocks(case);
        self.records.push(Record::GreyCase { case, slot, decision, trigger, text });
    }

    /// A side said what it thinks of a case: it keeps the promise of that side.
    pub fn opine(&mut self, case: Uuid, party: Party) {
        self.meet_clock(grey_case::clock(case, Some(party)));
    }

    /// Both sides decided: the slot may open another case.
    pub fn resolve_grey_case(&mut self, case: Uuid, slot: &str, outcome: Outcome) {
        self.emit(Fact::GreyCaseResolved { case, slot: slot.to_owned(), outcome });
        for party in [None, Some(Party::Marketing), Some(Party::Sales)] {
            self.meet_clock(grey_case::clock(case, party));
        }
    }

    /// Gives an MQL to an owner or a queue and offers it with its packet. A lead is never "not routed".
    pub fn route(&mut self, destination: Destination, packet: Packet) -> Result<(), Refused> {
        self.require_open("route")?;
        if self.journey.lead.stage != StageKind::Mql {
            return Err(Refused::illegal(self.journey.lead.stage, "route", &["evaluateLead"]));
        }
        if let Some(pending) = self.journey.pending_handoff() {
            let handoff = pending.id;
            self.emit(Fact::HandoffCancelled { handoff });
        }
        // The owner's duties end with the owner; the lead's own wait goes on.
        self.cancel_clocks(|clock| clock.level == ClockLevel::Lead);
        let Destination { owner, queue, priority, decision, pool } = destination;
        let owner = owner.filter(|owner| self.scene.directory.user(*owner).is_some());
        let queue = match (owner, queue) {
            (Some(_), _) => None,
            (None, Some(queue)) if self.scene.directory.queue(&queue).is_some() => Some(queue),
            (None, _) => Some(self.scene.charter.body.fallback_queue.clone()),
        };
        let work_state = if owner.is_some() { WorkState::Assigned } else { WorkState::Queued };
        let pool_key = pool.as_ref().map(|(key, _)| key.clone());
        self.emit(Fact::LeadAssigned { owner, queue, decision, pool: pool_key, priority, work_state });
        self.routed = pool.map(|(pool, revision)| Routed { pool, revision, owner });
        self.meet_clocks(ClockKind::Route);
        self.meet_returned();
        self.resume_clocks(ClockKind::FirstTouch);
        let handoff = self.scene.ids.next();
        self.emit(Fact::HandoffOffered {
            handoff,
            packet: packet.digest(),
            completeness: packet.completeness(),
        });
        self.records.push(Record::Packet { handoff, packet });
        self.suppress_nurture();
        self.start_clock(ClockKind::Accept, ClockLevel::Owner);
        let cycle = self.journey.lead.cycle;
        let speed_to_lead = |clock: &SlaClock| {
            (clock.kind, clock.level, clock.cycle) == (ClockKind::FirstTouch, ClockLevel::Lead, cycle)
        };
        if !self.journey.clocks.iter().any(speed_to_lead) {
            self.start_clock(ClockKind::FirstTouch, ClockLevel::Lead);
        }
        self.start_clock(ClockKind::FirstTouch, ClockLevel::Owner);
        Ok(())
    }
}

struct Ended {
    outcome: CycleOutcome,
    disposal: Disposal,
}
