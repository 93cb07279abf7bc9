//! Hand-offs as they go forth and back between the two sides.

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription};
use futures_util::Stream;
use handfast_domain::clock::Party;
use handfast_domain::context_request::ContextTopic;
use handfast_domain::event::{Body, Fact, StreamKind};
use handfast_domain::filter::EventFilter;
use handfast_domain::time::Instant;
use handfast_store::tail::Told;

use super::directory::User;
use super::event::{cursor, facts};
use super::inline::Inline;
use super::lead::{Lead, lead_by, want};
use super::problem::failure;
use super::scalar::{FeedCursor, Uuid, global, local};
use super::{app, read_viewer, small};
use crate::app::App;

/// What happened to a hand-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum HandoffChange {
    /// Marketing offered a lead to sales.
    Offered,
    /// Sales took it on.
    Accepted,
    /// Sales said no, and the cycle ended.
    Rejected,
    /// Sales sent it back; marketing owes context.
    Returned,
    /// Nobody answered in time; the fallback queue has the lead.
    Expired,
    /// Another hand-off, or the end of the cycle, took its place.
    Cancelled,
    /// Sales asked marketing about the lead.
    ContextRequested,
    /// Marketing answered.
    ContextAnswered,
}

impl HandoffChange {
    /// Whether a side learns of something that it did not do itself.
    fn concerns(self, side: Party) -> bool {
        use HandoffChange::*;
        match self {
            Offered | ContextAnswered => side == Party::Sales,
            Accepted | Rejected | Returned | ContextRequested => side == Party::Marketing,
            Expired | Cancelled => true,
        }
    }
}

/// A step of a hand-off, or a question about its lead.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct HandoffEvent {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Give it as `after` to go on from here.
    cursor: FeedCursor,
    change: HandoffChange,
    /// Null for a question about a lead that was never handed off.
    handoff_id: Option<ID>,
    /// The question, with CONTEXT_REQUESTED and CONTEXT_ANSWERED.
    request_id: Option<ID>,
    /// Share of the packet that is filled, in basis points, with OFFERED.
    completeness: Option<i32>,
    /// Key of the disposition reason, with REJECTED and RETURNED.
    reason: Option<String>,
    /// The part of the packet that is missing, with CONTEXT_REQUESTED.
    topic: Option<ContextTopic>,
    lead_id: ID,
    /// Version of the lead after the change.
    lead_version: i32,
    cycle: i32,
    /// Number of the charter in force.
    charter: i32,
    occurred_at: Instant,
    recorded_at: Instant,
    #[graphql(skip)]
    lead: uuid::Uuid,
    #[graphql(skip)]
    user: Option<uuid::Uuid>,
}

#[async_graphql::ComplexObject]
impl HandoffEvent {
    /// The lead as it is now.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        lead_by(app(ctx)?, self.lead, &want(ctx.look_ahead())).await
    }

    /// Who did it; null where a rule or a clock did.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.user.and_then(|id| workspace.directory.user(id)).map(User::wrap))
    }
}

const KINDS: [&str; 7] = [
    "HANDOFF_OFFERED",
    "HANDOFF_ACCEPTED",
    "HANDOFF_REJECTED",
    "HANDOFF_EXPIRED",
    "HANDOFF_CANCELLED",
    "CONTEXT_REQUESTED",
    "CONTEXT_ANSWERED",
];

#[derive(Default)]
pub struct HandoffSubscription;

#[Subscription]
impl HandoffSubscription {
    /// Every hand-off that is offered, answered or asked about, once and in the order of each lead. Without `after` it begins
    /// now; with the cursor of the last event that you saw it goes on from there. All given conditions hold together.
    async fn handoffs(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        #[graphql(
            desc = "What this side learns from the other one: SALES of offers and answers, MARKETING of what became of its \
                          offers and of questions. Both sides learn what expired or was cancelled. Everything without"
        )]
        side: Option<Party>,
        lead: Option<ID>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<HandoffEvent>>> + use<>> {
        read_viewer(ctx)?;
        let lead = lead.map(|id| local("Lead", &id, "lead")).transpose();
        let lead = lead.map_err(|refused| failure(refused.into()))?;
        let filter = EventFilter {
            kinds: KINDS.iter().map(|kind| (*kind).to_owned()).collect(),
            stream: lead.map(|lead| (StreamKind::Lead.as_str().to_owned(), lead)),
            ..EventFilter::default()
        };
        facts(ctx, after, filter, move |app: &App, row: &Told, body: &Body| {
            let event = told(app, row, body)?;
            side.is_none_or(|side| event.change.concerns(side)).then_some(event)
        })
        .await
    }
}

fn told(app: &App, row: &Told, body: &Body) -> Option<HandoffEvent> {
    let event = &row.event;
    let blank = |change: HandoffChange, handoff: Option<uuid::Uuid>| HandoffEvent {
        id: Uuid(event.id),
        cursor: cursor(app, row),
        change,
        handoff_id: handoff.map(|id| global("Handoff", id)),
        request_id: None,
        completeness: None,
        reason: None,
        topic: None,
        lead_id: global("Lead", event.stream_id),
        lead_version: i32::try_from(event.version).unwrap_or(i32::MAX),
        cycle: body.cycle.map_or(0, small),
        charter: small(body.charter),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        lead: event.stream_id,
        user: body.actor.user,
    };
    Some(match &body.fact {
        Fact::HandoffOffered { handoff, completeness, .. } => HandoffEvent {
            completeness: Some(i32::from(*completeness)),
            ..blank(HandoffChange::Offered, Some(*handoff))
        },
        Fact::HandoffAccepted { handoff } => blank(HandoffChange::Accepted, Some(*handoff)),
        Fact::HandoffRejected { handoff, reason, returned } => {
            let change = if *returned { HandoffChange::Returned } else { HandoffChange::Rejected };
            HandoffEvent { reason: Some(reason.clone()), ..blank(change, Some(*handoff)) }
        }
        Fact::HandoffExpired { handoff } => blank(HandoffChange::Expired, Some(*handoff)),
        Fact::HandoffCancelled { handoff } => blank(HandoffChange::Cancelled, Some(*handoff)),
        Fact::ContextRequested { request, handoff, topic, .. } => HandoffEvent {
            request_id: Some(global("ContextRequest", *request)),
            topic: Some(*topic),
            ..blank(HandoffChange::ContextRequested, *handoff)
        },
        Fact::ContextAnswered { request } => HandoffEvent {
            request_id: Some(global("ContextRequest", *request)),
            ..blank(HandoffChange::ContextAnswered, None)
        },
        _ => return None,
    })
}
