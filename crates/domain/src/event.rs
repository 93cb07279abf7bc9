//! The log's closed set of facts. Append-only and free of personal data: ids, enum values, digests and amounts.
//!
//! `schema/events.json` is generated from here. Changes are additive; `SCHEMA_VERSION` rises with each of them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::charter::review::ReviewVerdict;
use crate::clock::ClockEvent;
use crate::context_request::ContextTopic;
use crate::customer::{Advocacy, ChurnReason};
use crate::deployment::{DeploymentMode, DeploymentState};
use crate::digest::Digest;
use crate::feedback::{EffectKind, FeedbackKind, FeedbackStatus, FeedbackSubject};
use crate::follow_up::FollowUpOutcome;
use crate::meeting::{MeetingOutcome, MeetingPurpose};
use crate::stage::{Cause, Channel, CycleOpenedBy, CycleOutcome, Side, StageKind, WorkState};
use crate::text::text_enum;
use crate::time::Instant;
use crate::verdict::Outcome;

/// Version of the payloads below; stored with each event.
pub const SCHEMA_VERSION: u32 = 1;

text_enum! {
    /// What an event belongs to. Versions rise by one per change of a stream; the ordinal numbers the events of a change.
    pub enum StreamKind {
        /// A lead.
        Lead = "LEAD",
        /// A charter.
        Charter = "CHARTER",
        /// A rule slot.
        Slot = "SLOT",
        /// A campaign.
        Campaign = "CAMPAIGN",
        /// A grey case.
        Case = "CASE",
        /// Feedback of one side to the other.
        Feedback = "FEEDBACK",
        /// A noun of the set-up, by its own id.
        Setup = "SETUP",
    }
}

text_enum! {
    /// What the set-up consists of, besides charters, campaigns and rules.
    pub enum SetupNoun {
        /// A team.
        Team = "TEAM",
        /// A user.
        User = "USER",
        /// A calendar.
        Calendar = "CALENDAR",
        /// A queue.
        Queue = "QUEUE",
        /// A pool.
        Pool = "POOL",
        /// A territory.
        Territory = "TERRITORY",
        /// A nurture track.
        NurtureTrack = "NURTURE_TRACK",
        /// A trait definition.
        Trait = "TRAIT",
        /// A token. It changes by being revoked.
        Token = "TOKEN",
        /// A named consumer of events: registered, stepped back or removed. Acknowledgements are no change.
        Consumer = "CONSUMER",
        /// A webhook.
        Webhook = "WEBHOOK",
        /// A key by which a team signs its plugins: registered or revoked.
        TeamKey = "TEAM_KEY",
        /// A piece of content.
        Content = "CONTENT",
        /// A request for content: asked, fulfilled or declined.
        ContentRequest = "CONTENT_REQUEST",
        /// A form.
        Form = "FORM",
        /// An audience.
        Audience = "AUDIENCE",
        /// An offer.
        Offer = "OFFER",
        /// A goal of both sides.
        SharedGoal = "SHARED_GOAL",
        /// A project of both sides.
        SharedProject = "SHARED_PROJECT",
        /// What both sides decided in a week.
        Review = "REVIEW",
    }
}

text_enum! {
    /// What kind of actor did it.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// The person or service, for USER.
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
    /// What was done.
    pub enum ActivityKind {
        /// A telephone call.
        Call = "CALL",
        /// An e-mail.
        Email = "EMAIL",
        /// A meeting.
        Meeting = "MEETING",
        /// A note: no contact, and no answer.
        Note = "NOTE",
    }
}

text_enum! {
    /// Who turned to whom.
    pub enum Direction {
        /// The lead turned to us.
        Inbound = "INBOUND",
        /// We turned to the lead.
        Outbound = "OUTBOUND",
        /// Both sides spoke.
        TwoWay = "TWO_WAY",
    }
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum Fact {
    /// A lead got an identity.
    LeadCaptured {
        /// Account of the lead.
        account: Option<Uuid>,
        /// Campaign that brought it.
        campaign: Option<Uuid>,
        /// Lead source as captured.
        source: String,
        /// Channel of the capture.
        channel: Channel,
    },
    /// A run through the funnel began.
    CycleOpened {
        /// Number of the cycle; 1 is the first.
        cycle: u32,
        /// What opened it.
        by: CycleOpenedBy,
        /// The cycle that it continues.
        resumed_from: Option<u32>,
    },
    /// The lead moved forward. `stage_version` counts 1..n over the lead's whole life.
    StageChanged {
        /// Stage before; of the earlier cycle at the start of a new one, none at the very first.
        from: Option<StageKind>,
        /// Stage that was reached.
        to: StageKind,
        /// Stages whose criteria were met in the same decision.
        skipped: Vec<StageKind>,
        /// An import says so; no guard was asked.
        asserted: bool,
        /// 1..n over the lead's whole life.
        stage_version: u32,
        /// The evaluation that moved it, if one did.
        evaluation: Option<Uuid>,
    },
    /// The rules and criteria looked at the lead.
    LeadEvaluated {
        /// The evaluation.
        evaluation: Uuid,
        /// Digest of what the rules could have read.
        snapshot: Digest,
        /// The result of the last gate that was asked.
        gate: Option<StageKind>,
        /// What the gate came to.
        result: Outcome,
        /// The decisions of the rules.
        decisions: Vec<Uuid>,
        /// Key of the persona that matches best.
        persona: Option<String>,
        /// Fit score in points.
        fit: i32,
        /// Engagement score in points.
        engagement: i32,
        /// When the rules look again at the latest.
        next_evaluation_at: Option<Instant>,
    },
    /// Somebody, or a queue, has the lead from now on.
    LeadAssigned {
        /// The owner, or none.
        owner: Option<Uuid>,
        /// Key of the queue, or none.
        queue: Option<String>,
        /// The router's decision, if a router decided.
        decision: Option<Uuid>,
        /// Key of the pool that was distributed to.
        pool: Option<String>,
        /// Order in the work queue; higher is first.
        priority: i32,
        /// What is being done with the lead.
        work_state: WorkState,
    },
    /// Marketing offered the lead to sales with a sealed packet.
    HandoffOffered {
        /// The hand-off.
        handoff: Uuid,
        /// Seal of the packet.
        packet: Digest,
        /// Share of the packet that is filled, in basis points.
        completeness: u16,
    },
    /// Sales took it on.
    HandoffAccepted {
        /// The hand-off.
        handoff: Uuid,
    },
    /// Sales said no. RETURNED when marketing owes context, else the reason closes the cycle.
    HandoffRejected {
        /// The hand-off.
        handoff: Uuid,
        /// Key of the disposition reason.
        reason: String,
        /// Whether marketing gets it back and owes context.
        returned: bool,
    },
    /// Nobody answered in time; the fallback queue has the lead.
    HandoffExpired {
        /// The hand-off.
        handoff: Uuid,
    },
    /// Another hand-off, or the end of the cycle, took its place.
    HandoffCancelled {
        /// The hand-off.
        handoff: Uuid,
    },
    /// Somebody, or an automation, did something with the lead.
    ActivityLogged {
        /// The activity.
        activity: Uuid,
        /// What was done.
        activity_kind: ActivityKind,
        /// Who turned to whom.
        direction: Direction,
        /// Whether a machine did it.
        automated: bool,
        /// Whether it counts as an attempt to reach the lead.
        attempt: bool,
        /// How it went, of a meeting; the words stand with the activity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meeting: Option<MeetingOutcome>,
    },
    /// Marketing said what the buyer expects of the first meeting. The words stand outside of the log.
    FirstMeetingExpected {
        /// What it is to be about.
        purpose: MeetingPurpose,
    },
    /// Sales means to turn to the lead again. The words stand outside of the log.
    FollowUpPlanned {
        /// The follow-up.
        follow_up: Uuid,
        /// When.
        due_at: Instant,
        /// How.
        activity_kind: ActivityKind,
        /// Number of the attempt in its cycle that it will be, as far as one can tell.
        attempt: u32,
    },
    /// A planned follow-up was done, or is not to be done any more.
    FollowUpEnded {
        /// The follow-up.
        follow_up: Uuid,
        /// How it ended.
        outcome: FollowUpOutcome,
        /// Number of the attempt in its cycle that it was, if it was done.
        attempt: Option<u32>,
        /// The activity that did it.
        activity: Option<Uuid>,
    },
    /// What is being done with the lead changed.
    WorkStateChanged {
        /// Before.
        from: WorkState,
        /// From now on.
        to: WorkState,
    },
    /// A promise was given, kept, broken, paused or called off.
    ClockChanged {
        /// What happened to the clock.
        clock: ClockEvent,
    },
    /// Sales asked marketing about the lead. The words stand outside of the log.
    ContextRequested {
        /// The question.
        request: Uuid,
        /// The hand-off that it is about.
        handoff: Option<Uuid>,
        /// The part of the packet that is missing.
        topic: ContextTopic,
        /// Path of the catalogue's field that is missing.
        field: Option<String>,
    },
    /// Marketing answered a question of sales.
    ContextAnswered {
        /// The question.
        request: Uuid,
    },
    /// Somebody said what the lead's company uses today; vendor and product stand with the company.
    IncumbentRecorded {
        /// The company.
        account: Uuid,
        /// When the contract ends, if that is known.
        contract_ends_at: Option<Instant>,
    },
    /// Somebody said what it learned of the lead; the value stands with its traits.
    TraitSet {
        /// Key of the trait.
        key: String,
    },
    /// A deal is open.
    OpportunityRecorded {
        /// The opportunity.
        opportunity: Uuid,
        /// Amount in minor units; unknown for some imported deals.
        amount_minor: Option<i64>,
        /// ISO 4217.
        currency: String,
        /// When the deal is expected to close.
        expected_close: Option<Instant>,
    },
    /// A run through the funnel ended.
    CycleClosed {
        /// Number of the cycle.
        cycle: u32,
        /// How it ended.
        outcome: CycleOutcome,
        /// Key of the disposition reason.
        reason: Option<String>,
        /// Who won the deal instead.
        competitor: Option<String>,
        /// Attempts to reach the lead in this cycle.
        attempts: u32,
        /// Amount of the deal in minor units, when it was won.
        amount_minor: Option<i64>,
        /// When the lead is looked at again.
        recycle_at: Option<Instant>,
        /// Signal on which the lead is looked at again.
        recycle_on: Option<String>,
        /// Whether no cycle may open again.
        permanent: bool,
        /// What is done with the lead now.
        work_state: WorkState,
    },
    /// Somebody said when the contract of a customer ends.
    RenewalDated {
        /// When it ends unless it renews; none where nobody knows.
        renews_at: Option<Instant>,
    },
    /// A customer renewed.
    CustomerRenewed {
        /// When its contract ends now unless it renews again.
        renews_at: Option<Instant>,
    },
    /// A customer left.
    CustomerChurned {
        /// Why.
        reason: ChurnReason,
        /// To whom it went.
        competitor: Option<String>,
        /// When somebody tries to win it back.
        win_back_at: Option<Instant>,
    },
    /// A customer spoke for us.
    AdvocacyRecorded {
        /// How.
        advocacy: Advocacy,
    },
    /// The lead gets a series of content from now on.
    NurtureEnrolled {
        /// Key of the track.
        track: String,
        /// When the first step is due.
        next_step_at: Option<Instant>,
    },
    /// Something is to be sent to the lead now, if the person consents.
    NurtureStepDue {
        /// Key of the track.
        track: String,
        /// Number of the step, from 1.
        step: u32,
        /// Where it is to be sent.
        channel: Channel,
        /// Key of the content.
        content: String,
        /// When the next step is due; none after the last.
        next_step_at: Option<Instant>,
    },
    /// Sales works the lead: nothing is due.
    NurtureSuppressed {
        /// Key of the track.
        track: String,
    },
    /// The lead is marketing's again, and the series goes on.
    NurtureResumed {
        /// Key of the track.
        track: String,
        /// When the next step is due.
        next_step_at: Instant,
    },
    /// The series is over.
    NurtureEnded {
        /// Key of the track.
        track: String,
        /// Whether every step was due.
        completed: bool,
    },
    /// The lead was found to be the same person as another one, which goes on for both.
    LeadMerged {
        /// The lead that goes on.
        into: Uuid,
    },
    /// Another lead was found to be the same person; what was known of it belongs here now.
    DuplicateMerged {
        /// The lead that ended.
        duplicate: Uuid,
    },
    /// Everything that said who it was is gone; the lead still counts.
    LeadErased {},
    /// A rule could not decide, or failed: both sides look at it.
    GreyCaseOpened {
        /// The grey case.
        case: Uuid,
        /// Key of the rule slot.
        slot: String,
        /// The decision that is in question.
        decision: Uuid,
        /// Why it is grey.
        trigger: GreyTrigger,
    },
    /// Both sides decided a grey case.
    GreyCaseResolved {
        /// The grey case.
        case: Uuid,
        /// Key of the rule slot.
        slot: String,
        /// What both sides said.
        outcome: Outcome,
    },
    /// A person decided this one lead otherwise than a rule did. The rule goes on as before.
    DecisionOverridden {
        /// The decision that was overridden; why stands with it.
        decision: Uuid,
        /// The decision that stands in its place.
        instead: Uuid,
        /// Key of the rule slot.
        slot: String,
        /// The deployment whose decision it was; none of the built-in rule.
        deployment: Option<Uuid>,
        /// Digest of the rule's bytes.
        version: Digest,
        /// What the rule said; none where it failed.
        was: Option<Outcome>,
        /// What the person said.
        outcome: Outcome,
        /// Key of the disposition reason, with RECYCLE and DISQUALIFY.
        disposition: Option<String>,
        /// The side that answers for the slot.
        side: Side,
    },
    /// One side told the other something; the words stand with the feedback. The receiver's clock is a CLOCK_CHANGED of the
    /// same stream.
    FeedbackPosted {
        /// The feedback.
        feedback: Uuid,
        /// The side that gave it.
        from: Side,
        /// The side that owes an answer.
        to: Side,
        /// What kind of feedback.
        feedback_kind: FeedbackKind,
        /// What it is about, if it is about something.
        about: Option<FeedbackSubject>,
        /// Id of the lead, campaign or content, key of the persona, or digest of the version.
        subject: Option<String>,
    },
    /// The receiving side answered feedback.
    FeedbackAnswered {
        /// The feedback.
        feedback: Uuid,
        /// The side that gave it.
        from: Side,
        /// The side that answered.
        to: Side,
        /// Where it stands now.
        status: FeedbackStatus,
    },
    /// Somebody said what feedback caused.
    FeedbackEffectLinked {
        /// The feedback.
        feedback: Uuid,
        /// The side that gave it.
        from: Side,
        /// The side that owed an answer.
        to: Side,
        /// What kind of thing it caused.
        effect: EffectKind,
        /// Id of the audience, content, campaign or deployment, or number of the charter.
        subject: String,
    },
    /// A charter is open for signatures.
    CharterProposed {
        /// Number of the charter.
        number: u32,
        /// Digest of its body.
        digest: Digest,
    },
    /// A side signed a charter.
    CharterSigned {
        /// Number of the charter.
        number: u32,
        /// Digest of its body.
        digest: Digest,
        /// The side that signed.
        side: Side,
    },
    /// A side said no to a charter.
    CharterRejected {
        /// Number of the charter.
        number: u32,
        /// Digest of its body.
        digest: Digest,
        /// The side that said no.
        side: Side,
    },
    /// A charter came into force.
    CharterActivated {
        /// Number of the charter.
        number: u32,
        /// Digest of its body.
        digest: Digest,
        /// Number of the charter that was in force before.
        replaces: u32,
    },
    /// Somebody said that they read the charter in force.
    CharterAcknowledged {
        /// Number of the charter.
        number: u32,
        /// Digest of its body.
        digest: Digest,
    },
    /// A side went through the charter in force; what it said stands with the charter. The promise that it keeps is a
    /// CLOCK_CHANGED of the same stream.
    CharterReviewed {
        /// Number of the charter.
        number: u32,
        /// Digest of its body.
        digest: Digest,
        /// The side that went through it.
        side: Side,
        /// Whether the charter stays as it is.
        verdict: ReviewVerdict,
    },
    /// A rule version waits for the agreement that the charter asks for.
    DeploymentRequested {
        /// Key of the rule slot.
        slot: String,
        /// The deployment.
        deployment: Uuid,
        /// Digest of the rule's bytes.
        version: Digest,
        /// Digest of its settings.
        settings: Digest,
        /// Whether its verdicts will count.
        mode: DeploymentMode,
        /// The sides whose agreement is missing.
        needs: Vec<Side>,
    },
    /// A side agreed to a deployment.
    DeploymentApproved {
        /// Key of the rule slot.
        slot: String,
        /// The deployment.
        deployment: Uuid,
        /// The side that agreed.
        side: Side,
    },
    /// Somebody said no to a deployment that waited for approval.
    DeploymentDeclined {
        /// Key of the rule slot.
        slot: String,
        /// The deployment.
        deployment: Uuid,
    },
    /// A rule version began to judge in a slot.
    DeploymentStarted {
        /// Key of the rule slot.
        slot: String,
        /// The deployment.
        deployment: Uuid,
        /// Digest of the rule's bytes.
        version: Digest,
        /// Digest of its settings.
        settings: Digest,
        /// Whether its verdicts count.
        mode: DeploymentMode,
    },
    /// A rule version no longer judges in a slot.
    DeploymentEnded {
        /// Key of the rule slot.
        slot: String,
        /// The deployment.
        deployment: Uuid,
        /// Whether it was rolled back.
        rolled_back: bool,
        /// How it ended; events before the modes do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<DeploymentState>,
    },
    /// A campaign was created or edited.
    CampaignChanged {
        /// The campaign.
        campaign: Uuid,
    },
    /// A part of the set-up was made or edited.
    SetupChanged {
        /// What kind of part.
        noun: SetupNoun,
        /// Which one.
        id: Uuid,
    },
}

text_enum! {
    /// Why a case is grey.
    pub enum GreyTrigger {
        /// A rule said REVIEW.
        Review = "REVIEW",
        /// A rule failed.
        Fault = "FAULT",
        /// A rule asked for an ending that the charter does not allow.
        NotAllowed = "NOT_ALLOWED",
        /// A version that runs beside the one that counts said something else.
        Disagreement = "DISAGREEMENT",
    }
}

impl Fact {
    /// Every kind, in the order of the facts.
    pub const KINDS: &'static [&'static str] = &[
        "LEAD_CAPTURED",
        "CYCLE_OPENED",
        "STAGE_CHANGED",
        "LEAD_EVALUATED",
        "LEAD_ASSIGNED",
        "HANDOFF_OFFERED",
        "HANDOFF_ACCEPTED",
        "HANDOFF_REJECTED",
        "HANDOFF_EXPIRED",
        "HANDOFF_CANCELLED",
        "ACTIVITY_LOGGED",
        "FIRST_MEETING_EXPECTED",
        "FOLLOW_UP_PLANNED",
        "FOLLOW_UP_ENDED",
        "WORK_STATE_CHANGED",
        "CLOCK_CHANGED",
        "CONTEXT_REQUESTED",
        "CONTEXT_ANSWERED",
        "INCUMBENT_RECORDED",
        "TRAIT_SET",
        "OPPORTUNITY_RECORDED",
        "CYCLE_CLOSED",
        "RENEWAL_DATED",
        "CUSTOMER_RENEWED",
        "CUSTOMER_CHURNED",
        "ADVOCACY_RECORDED",
        "NURTURE_ENROLLED",
        "NURTURE_STEP_DUE",
        "NURTURE_SUPPRESSED",
        "NURTURE_RESUMED",
        "NURTURE_ENDED",
        "LEAD_MERGED",
        "DUPLICATE_MERGED",
        "LEAD_ERASED",
        "GREY_CASE_OPENED",
        "GREY_CASE_RESOLVED",
        "DECISION_OVERRIDDEN",
        "FEEDBACK_POSTED",
        "FEEDBACK_ANSWERED",
        "FEEDBACK_EFFECT_LINKED",
        "CHARTER_PROPOSED",
        "CHARTER_SIGNED",
        "CHARTER_REJECTED",
        "CHARTER_ACTIVATED",
        "CHARTER_ACKNOWLEDGED",
        "CHARTER_REVIEWED",
        "DEPLOYMENT_REQUESTED",
        "DEPLOYMENT_APPROVED",
        "DEPLOYMENT_DECLINED",
        "DEPLOYMENT_STARTED",
        "DEPLOYMENT_ENDED",
        "CAMPAIGN_CHANGED",
        "SETUP_CHANGED",
    ];

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
            Fact::FirstMeetingExpected { .. } => "FIRST_MEETING_EXPECTED",
            Fact::FollowUpPlanned { .. } => "FOLLOW_UP_PLANNED",
            Fact::FollowUpEnded { .. } => "FOLLOW_UP_ENDED",
            Fact::WorkStateChanged { .. } => "WORK_STATE_CHANGED",
            Fact::ClockChanged { .. } => "CLOCK_CHANGED",
            Fact::ContextRequested { .. } => "CONTEXT_REQUESTED",
            Fact::ContextAnswered { .. } => "CONTEXT_ANSWERED",
            Fact::IncumbentRecorded { .. } => "INCUMBENT_RECORDED",
            Fact::TraitSet { .. } => "TRAIT_SET",
            Fact::OpportunityRecorded { .. } => "OPPORTUNITY_RECORDED",
            Fact::CycleClosed { .. } => "CYCLE_CLOSED",
            Fact::RenewalDated { .. } => "RENEWAL_DATED",
            Fact::CustomerRenewed { .. } => "CUSTOMER_RENEWED",
            Fact::CustomerChurned { .. } => "CUSTOMER_CHURNED",
            Fact::AdvocacyRecorded { .. } => "ADVOCACY_RECORDED",
            Fact::NurtureEnrolled { .. } => "NURTURE_ENROLLED",
            Fact::NurtureStepDue { .. } => "NURTURE_STEP_DUE",
            Fact::NurtureSuppressed { .. } => "NURTURE_SUPPRESSED",
            Fact::NurtureResumed { .. } => "NURTURE_RESUMED",
            Fact::NurtureEnded { .. } => "NURTURE_ENDED",
            Fact::LeadMerged { .. } => "LEAD_MERGED",
            Fact::DuplicateMerged { .. } => "DUPLICATE_MERGED",
            Fact::LeadErased {} => "LEAD_ERASED",
            Fact::GreyCaseOpened { .. } => "GREY_CASE_OPENED",
            Fact::GreyCaseResolved { .. } => "GREY_CASE_RESOLVED",
            Fact::DecisionOverridden { .. } => "DECISION_OVERRIDDEN",
            Fact::FeedbackPosted { .. } => "FEEDBACK_POSTED",
            Fact::FeedbackAnswered { .. } => "FEEDBACK_ANSWERED",
            Fact::FeedbackEffectLinked { .. } => "FEEDBACK_EFFECT_LINKED",
            Fact::CharterProposed { .. } => "CHARTER_PROPOSED",
            Fact::CharterSigned { .. } => "CHARTER_SIGNED",
            Fact::CharterRejected { .. } => "CHARTER_REJECTED",
            Fact::CharterActivated { .. } => "CHARTER_ACTIVATED",
            Fact::CharterAcknowledged { .. } => "CHARTER_ACKNOWLEDGED",
            Fact::CharterReviewed { .. } => "CHARTER_REVIEWED",
            Fact::DeploymentRequested { .. } => "DEPLOYMENT_REQUESTED",
            Fact::DeploymentApproved { .. } => "DEPLOYMENT_APPROVED",
            Fact::DeploymentDeclined { .. } => "DEPLOYMENT_DECLINED",
            Fact::DeploymentStarted { .. } => "DEPLOYMENT_STARTED",
            Fact::DeploymentEnded { .. } => "DEPLOYMENT_ENDED",
            Fact::CampaignChanged { .. } => "CAMPAIGN_CHANGED",
            Fact::SetupChanged { .. } => "SETUP_CHANGED",
        }
    }
}

/// A fact with its place in its stream: what subscribers, webhooks and the audit view read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// UUIDv7 of the event.
    pub id: Uuid,
    /// What it belongs to.
    pub stream: StreamKind,
    /// Identity of what it belongs to.
    pub stream_id: Uuid,
    /// Version of the stream: 1..n without gaps, one for each change.
    pub version: i64,
    /// Place within the change, from 0.
    pub ordinal: u32,
    /// When it happened; recorded may be later.
    pub occurred_at: Instant,
    /// When it was written down.
    pub recorded_at: Instant,
    /// What happened.
    pub body: Body,
}

/// The part of an event that is stored as JSON and covered by the feed's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// Who did it.
    pub actor: Actor,
    /// Why.
    pub cause: Cause,
    /// Number of the charter in force.
    pub charter: u32,
    /// Cycle of the lead, for events of a lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<u32>,
    /// What happened.
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
