//! A lead, its open cycle and its clocks: a fold of the log, and nothing else (I6).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::SlaClock;
use crate::customer::Customer;
use crate::disposition::Attempts;
use crate::event::{Direction, Fact};
use crate::follow_up::PlannedFollowUp;
use crate::handoff::{Handoff, HandoffStatus};
use crate::meeting;
use crate::nurture::{Enrolment, NurtureStatus};
use crate::stage::{Channel, CycleOpenedBy, CycleOutcome, StageKind, WorkState};
use crate::time::Instant;

/// A lead as it stands. Stage is never written directly: it follows from the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "LeadState"))]
#[serde(rename_all = "camelCase")]
pub struct Lead {
    /// Identity of the lead.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub id: Uuid,
    /// Rises by one with each change.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub version: i64,
    /// The account.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub account: Option<Uuid>,
    /// The campaign that brought it.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub campaign: Option<Uuid>,
    /// Lead source as it was captured, for example `organic_search`.
    pub source: String,
    /// Channel of the capture.
    pub channel: Channel,
    /// When the lead got an identity.
    pub captured_at: Instant,
    /// Number of the newest cycle; 1 is the first.
    pub cycle: u32,
    /// OPEN, or how the newest cycle ended.
    pub outcome: CycleOutcome,
    /// How qualified the lead is in its newest cycle.
    pub stage: StageKind,
    /// Furthest stage of all its cycles.
    pub furthest_stage: StageKind,
    /// Number of stage changes so far.
    pub stage_version: u32,
    /// When it reached its stage.
    pub entered_stage_at: Instant,
    /// What is being done with it.
    pub work_state: WorkState,
    /// Who has it.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub owner: Option<Uuid>,
    /// Key of the queue that has it.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub queue: Option<String>,
    /// Order in the work queue; higher is first.
    pub priority: i32,
    /// Key of the persona that matches best.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub persona: Option<String>,
    /// Fit score in points, from the scoring slot: how well the lead suits us.
    pub fit: i32,
    /// Engagement score in points, from the scoring slot: how much the lead wants us.
    pub engagement: i32,
    /// When the rules look at it again at the latest.
    pub next_evaluation_at: Option<Instant>,
    /// The signal that brings it back, if one does.
    pub recycle_on: Option<String>,
    /// Whether the person asked never to be contacted: no cycle opens again.
    pub suppressed: bool,
    /// Rule slots with an open grey case on this lead.
    pub grey_slots: Vec<String>,
    /// What it gets to see until it is ready; the newest enrolment in a nurture track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nurture: Option<Enrolment>,
    /// What came after its first win; none until something was told of it.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    /// What sales planned to do next and did not do yet.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<PlannedFollowUp>,
    /// The lead that goes on for this one, which was found to be the same person.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Uuid>,
    /// When everything that said who it was was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Instant>,
}

impl Lead {
    /// Whether a person can open a new cycle: the newest one ended without success, and nobody asked us to stay away.
    pub fn reopens(&self) -> bool {
        use CycleOutcome::{Disqualified, Lost, Recycled};
        let ended = self.suppressed || self.merged_into.is_some();
        matches!(self.outcome, Disqualified | Lost | Recycled) && !ended
    }

    /// When sales means to turn to it again, at the earliest.
    pub fn next_follow_up_at(&self) -> Option<Instant> {
        self.follow_ups.iter().map(|one| one.due_at).min()
    }

    /// Whether a person or a queue has the lead.
    pub fn is_assigned(&self) -> bool {
        self.owner.is_some() || self.queue.is_some()
    }
}

/// One run of a lead through the funnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct Cycle {
    /// 1..n without gaps.
    pub number: u32,
    /// When it began.
    pub opened_at: Instant,
    /// What opened it.
    pub opened_by: CycleOpenedBy,
    /// The cycle that this one continues.
    pub resumed_from: Option<u32>,
    /// When it ended.
    pub closed_at: Option<Instant>,
    /// OPEN, or how it ended.
    pub outcome: CycleOutcome,
    /// Furthest stage of this cycle.
    pub furthest_stage: StageKind,
    /// Disposition reason of its end.
    pub reason: Option<String>,
    /// Who won the deal instead.
    pub competitor: Option<String>,
    /// Genuine answers of the buyer.
    pub conversations: u32,
    /// What sales tried.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub attempts: Attempts,
}

/// The deal of the open cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opportunity {
    /// Identity of the opportunity.
    pub id: Uuid,
    /// Unknown for imported deals.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: String,
    /// When it is expected to close.
    pub expected_close: Option<Instant>,
    /// When it was recorded.
    pub opened_at: Instant,
}

/// Everything that a change of a lead starts from and ends in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journey {
    /// The lead itself.
    pub lead: Lead,
    /// The newest cycle.
    pub cycle: Cycle,
    /// Clocks of the newest cycle, and those that still run.
    pub clocks: Vec<SlaClock>,
    /// The newest hand-off of the cycle.
    pub handoff: Option<Handoff>,
    /// The deal of the open cycle.
    pub opportunity: Option<Opportunity>,
}

impl Journey {
    /// What stands before the first event.
    pub fn blank(id: Uuid, at: Instant) -> Journey {
        let cycle = Cycle {
            number: 0,
            opened_at: at,
            opened_by: CycleOpenedBy::Capture,
            resumed_from: None,
            closed_at: None,
            outcome: CycleOutcome::Open,
            furthest_stage: StageKind::Anonymous,
            reason: None,
            competitor: None,
            conversations: 0,
            attempts: Attempts::default(),
        };
        let lead = Lead {
            id,
            version: 0,
            account: None,
            campaign: None,
            source: String::new(),
            channel: Channel::Other,
            captured_at: at,
            cycle: 0,
            outcome: CycleOutcome::Open,
            stage: StageKind::Anonymous,
            furthest_stage: StageKind::Anonymous,
            stage_version: 0,
            entered_stage_at: at,
            work_state: WorkState::Unrouted,
            owner: None,
            queue: None,
            priority: 0,
            persona: None,
            fit: 0,
            engagement: 0,
            next_evaluation_at: None,
            recycle_on: None,
            suppressed: false,
            grey_slots: vec![],
            nurture: None,
            customer: None,
            follow_ups: vec![],
            merged_into: None,
            erased_at: None,
        };
        Journey { lead, cycle, clocks: vec![], handoff: None, opportunity: None }
    }

    /// Whether a cycle is open: false before the capture and after every end.
    pub fn is_open(&self) -> bool {
        self.lead.cycle > 0 && self.lead.outcome == CycleOutcome::Open
    }

    /// The hand-off that waits for sales' answer.
    pub fn pending_handoff(&self) -> Option<&Handoff> {
        self.handoff.as_ref().filter(|handoff| handoff.status == HandoffStatus::Pending)
    }

    /// The one way in which a lead changes: a fact of the log is applied. Replaying all of them gives the same journey.
    pub fn apply(&mut self, fact: &Fact, at: Instant) {
        let Journey { lead, cycle, clocks, handoff, opportunity } = self;
        match fact {
            Fact::LeadCaptured { account, campaign, source, channel } => {
                (lead.account, lead.campaign) = (*account, *campaign);
                (lead.source, lead.channel, lead.captured_at) = (source.clone(), *channel, at);
            }
            Fact::CycleOpened { cycle: number, by, resumed_from } => {
                *cycle = Cycle {
                    number: *number,
                    opened_at: at,
                    opened_by: *by,
                    resumed_from: *resumed_from,
                    closed_at: None,
                    outcome: CycleOutcome::Open,
                    furthest_stage: StageKind::Anonymous,
                    reason: None,
                    competitor: None,
                    conversations: 0,
                    attempts: Attempts::default(),
                };
                (lead.cycle, lead.outcome, lead.recycle_on) = (*number, CycleOutcome::Open, None);
                (lead.work_state, lead.owner, lead.queue) = (WorkState::Unrouted, None, None);
                (*handoff, *opportunity) = (None, None);
                lead.next_evaluation_at = Some(at);
                lead.grey_slots.clear();
                lead.follow_ups.clear();
            }
            Fact::StageChanged { to, stage_version, .. } => {
                (lead.stage, lead.stage_version, lead.entered_stage_at) = (*to, *stage_version, at);
                lead.furthest_stage = lead.furthest_stage.max(*to);
                cycle.furthest_stage = cycle.furthest_stage.max(*to);
            }
            Fact::LeadEvaluated { persona, fit, engagement, next_evaluation_at, .. } => {
                (lead.persona, lead.fit, lead.engagement) = (persona.clone(), *fit, *engagement);
                lead.next_evaluation_at = *next_evaluation_at;
            }
            Fact::LeadAssigned { owner, queue, priority, work_state, .. } => {
                (lead.owner, lead.queue) = (*owner, queue.clone());
                (lead.priority, lead.work_state) = (*priority, *work_state);
                // Whoever has the lead decides what comes next, not a date.
                lead.next_evaluation_at = None;
            }
            Fact::HandoffOffered { handoff: id, packet, completeness } => {
                *handoff = Some(Handoff {
                    id: *id,
                    status: HandoffStatus::Pending,
                    packet_digest: *packet,
                    completeness: *completeness,
                    offered_at: at,
                    answered_at: None,
                    reason: None,
                    first_meeting: None,
                    first_meeting_at: None,
                });
            }
            Fact::HandoffAccepted { .. } => answer(handoff, HandoffStatus::Accepted, at, None),
            Fact::HandoffRejected { reason, returned, .. } => {
                let status = if *returned { HandoffStatus::Returned } else { HandoffStatus::Rejected };
                answer(handoff, status, at, Some(reason));
            }
            Fact::HandoffExpired { .. } => answer(handoff, HandoffStatus::Expired, at, None),
            Fact::HandoffCancelled { .. } => answer(handoff, HandoffStatus::Cancelled, at, None),
            Fact::ActivityLogged { activity_kind, direction, automated, attempt, meeting, .. } => {
                if let Some((outcome, handoff)) = meeting.zip(handoff.as_mut())
                    && at >= cycle.opened_at.max(handoff.offered_at)
                {
                    meeting::met(handoff, outcome, at);
                }
                if *attempt {
                    cycle.attempts.record(activity_kind.as_str(), at);
                }
                // What was said before the cycle began is another cycle's conversation.
                if *direction != Direction::Outbound && !*automated && at >= cycle.opened_at {
                    cycle.conversations += 1;
                }
            }
            Fact::FollowUpPlanned { follow_up, due_at, activity_kind, attempt } => {
                lead.follow_ups.push(PlannedFollowUp {
                    id: *follow_up,
                    due_at: *due_at,
                    kind: *activity_kind,
                    attempt: *attempt,
                    planned_at: at,
                });
            }
            Fact::FollowUpEnded { follow_up, .. } => lead.follow_ups.retain(|one| one.id != *follow_up),
            Fact::WorkStateChanged { to, .. } => lead.work_state = *to,
            Fact::ClockChanged { clock: event } => {
                let place = clocks.iter().position(|clock| clock.id == event.clock());
                let before = place.map(|place| clocks[place].clone());
                if let Some(after) = SlaClock::apply(before, event) {
                    match place {
                        Some(place) => clocks[place] = after,
                        None => clocks.push(after),
                    }
                }
            }
            Fact::OpportunityRecorded { opportunity: id, amount_minor, currency, expected_close } => {
                *opportunity = Some(Opportunity {
                    id: *id,
                    amount_minor: *amount_minor,
                    currency: currency.clone(),
                    expected_close: *expected_close,
                    opened_at: at,
                });
            }
            Fact::CycleClosed {
                outcome,
                reason,
                competitor,
                amount_minor,
                recycle_on,
                permanent,
                work_state,
                ..
            } => {
                (cycle.outcome, cycle.closed_at) = (*outcome, Some(at));
                (cycle.reason, cycle.competitor) = (reason.clone(), competitor.clone());
                (lead.outcome, lead.work_state, lead.next_evaluation_at) = (*outcome, *work_state, None);
                lead.recycle_on = recycle_on.clone();
                lead.suppressed |= *permanent;
                customer(lead, fact, at);
                if let Some(opportunity) = opportunity
                    && amount_minor.is_some()
                {
                    opportunity.amount_minor = *amount_minor;
                }
            }
            Fact::NurtureEnrolled { track, next_step_at } => {
                lead.nurture = Some(Enrolment {
                    track: track.clone(),
                    status: NurtureStatus::Active,
                    steps_done: 0,
                    next_step_at: *next_step_at,
                    enrolled_at: at,
                });
            }
            Fact::NurtureStepDue { step, next_step_at, .. } => {
                enrolled(lead, |one| (one.steps_done, one.next_step_at) = (*step, *next_step_at));
            }
            Fact::NurtureSuppressed { .. } => {
                enrolled(lead, |one| (one.status, one.next_step_at) = (NurtureStatus::Suppressed, None));
            }
            Fact::NurtureResumed { next_step_at, .. } => enrolled(lead, |one| {
                (one.status, one.next_step_at) = (NurtureStatus::Active, Some(*next_step_at));
            }),
            Fact::NurtureEnded { completed, .. } => {
                let status = if *completed { NurtureStatus::Completed } else { NurtureStatus::Left };
                enrolled(lead, |one| (one.status, one.next_step_at) = (status, None));
            }
            Fact::LeadMerged { into } => {
                (lead.merged_into, lead.recycle_on) = (Some(*into), None);
                customer(lead, fact, at);
            }
            // No cycle opens again of somebody whom nobody can name.
            Fact::LeadErased {} => {
                (lead.erased_at, lead.suppressed, lead.recycle_on) = (Some(at), true, None);
                customer(lead, fact, at);
            }
            Fact::GreyCaseOpened { slot, .. } => lead.grey_slots.push(slot.clone()),
            Fact::GreyCaseResolved { slot, .. } => lead.grey_slots.retain(|open| open != slot),
            Fact::RenewalDated { .. } | Fact::CustomerRenewed { .. } | Fact::CustomerChurned { .. } => {
                lead.customer.get_or_insert_default().apply(fact, at);
            }
            Fact::DuplicateMerged { .. }
            | Fact::AdvocacyRecorded { .. }
            | Fact::FirstMeetingExpected { .. }
            | Fact::ContextRequested { .. }
            | Fact::ContextAnswered { .. }
            | Fact::IncumbentRecorded { .. }
            | Fact::TraitSet { .. }
            | Fact::FeedbackPosted { .. }
            | Fact::FeedbackAnswered { .. }
            | Fact::FeedbackEffectLinked { .. }
            | Fact::DecisionOverridden { .. }
            | Fact::CharterProposed { .. }
            | Fact::CharterSigned { .. }
            | Fact::CharterRejected { .. }
            | Fact::CharterActivated { .. }
            | Fact::CharterAcknowledged { .. }
            | Fact::CharterReviewed { .. }
            | Fact::DeploymentRequested { .. }
            | Fact::DeploymentApproved { .. }
            | Fact::DeploymentDeclined { .. }
            | Fact::DeploymentStarted { .. }
            | Fact::DeploymentEnded { .. }
            | Fact::CampaignChanged { .. }
            | Fact::SetupChanged { .. } => {}
        }
    }
}

fn enrolled(lead: &mut Lead, change: impl FnOnce(&mut Enrolment)) {
    if let Some(enrolment) = &mut lead.nurture {
        change(enrolment);
    }
}

fn customer(lead: &mut Lead, fact: &Fact, at: Instant) {
    if let Some(customer) = &mut lead.customer {
        customer.apply(fact, at);
    }
}

fn answer(handoff: &mut Option<Handoff>, status: HandoffStatus, at: Instant, reason: Option<&String>) {
    if let Some(handoff) = handoff {
        (handoff.status, handoff.answered_at, handoff.reason) = (status, Some(at), reason.cloned());
    }
}
