//! The log's closed set of facts. Append-only and free of personal data: ids, enum values, digests and amounts.
//!
//! `schema/events.json` is generated from here. Changes are additive; `SCHEMA_VERSION` rises with each of them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::ClockEvent;
use crate::digest::Digest;
use crate::evaluation::DeploymentMode;
use crate::stage::{Cause, Channel, CycleOpenedBy, CycleOutcome, Side, StageKind, WorkState};
use crate::text::text_enum;
use crate::time::Instant;
use crate::verdict::Outcome;

pub const SCHEMA_VERSION: u32 = 1;

text_enum! {
    /// What an event belongs to. Versions rise by one per change of a stream; the ordinal numbers the events of a change.
    pub enum StreamKind {
        Lead = "LEAD",
        Charter = "CHARTER",
        Slot = "SLOT",
        Campaign = "CAMPAIGN",
        Case = "CASE",
    }
}

text_enum! {
    pub enum ActorKind {
        /// A person or service with a token.
        User = "USER",
        /// A rule's verdict.
        Rule = "RULE",
        /// A clock that came due.
        Clock = "CLOCK",
        /// An import of the past.
        Import = "IMPORT",
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    pub kind: ActorKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Uuid>,
}

impl Actor {
    pub const fn user(id: Uuid) -> Actor {
        Actor { kind: ActorKind::User, user: Some(id) }
    }

    pub const fn of(kind: ActorKind) -> Actor {
        Actor { kind, user: None }
    }
}

text_enum! {
    pub enum ActivityKind {
        Call = "CALL",
        Email = "EMAIL",
        Meeting = "MEETING",
        Note = "NOTE",
    }
}

text_enum! {
    pub enum Direction {
        Inbound = "INBOUND",
        Outbound = "OUTBOUND",
        /// Both sides spoke.
        TwoWay = "TWO_WAY",
    }
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum Fact {
    /// A lead got an identity.
    LeadCaptured { account: Option<Uuid>, campaign: Option<Uuid>, source: String, channel: Channel },
    CycleOpened { cycle: u32, by: CycleOpenedBy, resumed_from: Option<u32> },
    /// The lead moved forward. `stage_version` counts 1..n over the lead's whole life.
    StageChanged {
        from: Option<StageKind>,
        to: StageKind,
        /// Stages whose criteria were met in the same decision.
        skipped: Vec<StageKind>,
        /// An import says so; no guard was asked.
        asserted: bool,
        stage_version: u32,
        evaluation: Option<Uuid>,
    },
    LeadEvaluated {
        evaluation: Uuid,
        snapshot: Digest,
        /// The result of the last gate that was asked.
        gate: Option<StageKind>,
        result: Outcome,
        decisions: Vec<Uuid>,
        persona: Option<String>,
        fit: i32,
        engagement: i32,
        next_evaluation_at: Option<Instant>,
    },
    LeadAssigned {
        owner: Option<Uuid>,
        queue: Option<String>,
        decision: Option<Uuid>,
        pool: Option<String>,
        priority: i32,
        work_state: WorkState,
    },
    HandoffOffered { handoff: Uuid, packet: Digest, completeness: u16 },
    HandoffAccepted { handoff: Uuid },
    /// Sales said no. RETURNED when marketing owes context, else the reason closes the cycle.
    HandoffRejected { handoff: Uuid, reason: String, returned: bool },
    HandoffExpired { handoff: Uuid },
    HandoffCancelled { handoff: Uuid },
    ActivityLogged { activity: Uuid, activity_kind: ActivityKind, direction: Direction, automated: bool, attempt: bool },
    WorkStateChanged { from: WorkState, to: WorkState },
    ClockChanged { clock: ClockEvent },
    OpportunityRecorded { opportunity: Uuid, amount_minor: Option<i64>, currency: String, expected_close: Option<Instant> },
    CycleClosed {
        cycle: u32,
        outcome: CycleOutcome,
        reason: Option<String>,
        competitor: Option<String>,
        attempts: u32,
        amount_minor: Option<i64>,
        recycle_at: Option<Instant>,
        recycle_on: Option<String>,
        permanent: bool,
        work_state: WorkState,
    },
    /// A rule could not decide, or failed: both sides look at it.
    GreyCaseOpened { case: Uuid, slot: String, decision: Uuid, trigger: GreyTrigger },
    CharterProposed { number: u32, digest: Digest },
    CharterSigned { number: u32, digest: Digest, side: Side },
    CharterActivated { number: u32, digest: Digest, replaces: u32 },
    DeploymentStarted { slot: String, deployment: Uuid, version: Digest, settings: Digest, mode: DeploymentMode },
    DeploymentEnded { slot: String, deployment: Uuid, rolled_back: bool },
    CampaignChanged { campaign: Uuid },
}

text_enum! {
    pub enum GreyTrigger {
        /// A rule said REVIEW.
        Review = "REVIEW",
        /// A rule failed.
        Fault = "FAULT",
    }
}

impl Fact {
    /// The kind as it is written: `STAGE_CHANGED`.
    pub fn kind(&self) -> &'static str {
        match self {
            Fact::LeadCaptured { .. } => "LEAD_CAPTURED",
            Fact::CycleOpened { .. } => "CYCLE_OPENED",
            Fact::StageChanged { .. } => "STAGE_CHANGED",
            Fact::LeadEvaluated { .. } => "LEAD_EVALUATED",
            Fact::LeadAssigned { .. } => "LEAD_ASSIGNED",
            Fact::HandoffOffered { .. } => "HANDOFF_OFFERED",
            Fact::HandoffAccepted { .. } => "HANDOFF_ACCEPTED",
            Fact::HandoffRejected { .. } => "HANDOFF_REJECTED",
            Fact::HandoffExpired { .. } => "HANDOFF_EXPIRED",
            Fact::HandoffCancelled { .. } => "HANDOFF_CANCELLED",
            Fact::ActivityLogged { .. } => "ACTIVITY_LOGGED",
            Fact::WorkStateChanged { .. } => "WORK_STATE_CHANGED",
            Fact::ClockChanged { .. } => "CLOCK_CHANGED",
            Fact::OpportunityRecorded { .. } => "OPPORTUNITY_RECORDED",
            Fact::CycleClosed { .. } => "CYCLE_CLOSED",
            Fact::GreyCaseOpened { .. } => "GREY_CASE_OPENED",
            Fact::CharterProposed { .. } => "CHARTER_PROPOSED",
            Fact::CharterSigned { .. } => "CHARTER_SIGNED",
            Fact::CharterActivated { .. } => "CHARTER_ACTIVATED",
            Fact::DeploymentStarted { .. } => "DEPLOYMENT_STARTED",
            Fact::DeploymentEnded { .. } => "DEPLOYMENT_ENDED",
            Fact::CampaignChanged { .. } => "CAMPAIGN_CHANGED",
        }
    }
}

/// A fact with its place in its stream: what subscribers, webhooks and the audit view read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub id: Uuid,
    pub stream: StreamKind,
    pub stream_id: Uuid,
    pub version: i64,
    pub ordinal: u32,
    /// When it happened; recorded may be later.
    pub occurred_at: Instant,
    pub recorded_at: Instant,
    pub body: Body,
}

/// The part of an event that is stored as JSON and covered by the feed's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    pub actor: Actor,
    pub cause: Cause,
    /// Number of the charter in force.
    pub charter: u32,
    /// Cycle of the lead, for events of a lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<u32>,
    pub fact: Fact,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_written_under_its_kind() {
        let fact = Fact::HandoffAccepted { handoff: Uuid::nil() };
        assert_eq!(serde_json::to_value(&fact).unwrap()["kind"], fact.kind());
    }
}
