//! Grey cases as they are opened and decided.

use async_graphql::{Context, ID, SimpleObject, Subscription};
use futures_util::Stream;
use handfast_domain::event::{Body, Fact, GreyTrigger, StreamKind};
use handfast_domain::filter::EventFilter;
use handfast_domain::grey_case::GreyState;
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use handfast_store::grey_case as store;
use handfast_store::tail::Told;

use super::super::event::{cursor, facts};
use super::super::inline::Inline;
use super::super::lead::{Lead, lead_by, want};
use super::super::scalar::{FeedCursor, Uuid, global, local};
use super::super::{app, failure, read_viewer, small};
use super::{GreyCase, User, person};
use crate::app::App;

/// A grey case was opened, or decided by both sides.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct GreyCaseEvent {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Give it as `after` to go on from here.
    cursor: FeedCursor,
    /// The case that was opened or decided.
    grey_case_id: ID,
    /// OPEN when it was opened, RESOLVED when it was decided.
    state: GreyState,
    /// Key of the rule slot.
    slot: String,
    /// Why it is grey, when it was opened.
    trigger: Option<GreyTrigger>,
    /// What both sides said, when it was decided.
    outcome: Option<Outcome>,
    lead_id: ID,
    /// Version of the lead after the change.
    lead_version: i32,
    cycle: i32,
    /// Number of the charter in force.
    charter: i32,
    occurred_at: Instant,
    recorded_at: Instant,
    #[graphql(skip)]
    case: uuid::Uuid,
    #[graphql(skip)]
    lead: uuid::Uuid,
    #[graphql(skip)]
    user: Option<uuid::Uuid>,
}

#[async_graphql::ComplexObject]
impl GreyCaseEvent {
    /// The case as it is now, which may be decided since.
    async fn grey_case(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<GreyCase>> {
        let app = app(ctx)?;
        let found = store::find(app.store.read(), self.case).await.map_err(|error| failure(error.into()))?;
        Ok(found.map(|case| GreyCase::wrap(&app.workspace(), case)))
    }

    /// The lead as it is now.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        lead_by(app(ctx)?, self.lead, &want(ctx.look_ahead())).await
    }

    /// Who decided it; null when it was opened.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.user.and_then(|id| person(&workspace, id)))
    }
}

#[derive(Default)]
pub struct GreyCaseSubscription;

#[Subscription]
impl GreyCaseSubscription {
    /// Every grey case that is opened or decided, once and in the order of each lead. Without `after` it begins now; with the
    /// cursor of the last event that you saw it goes on from there. All given conditions hold together.
    async fn grey_cases(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        #[graphql(desc = "OPEN: those that are opened; RESOLVED: those that are decided. Both without.")]
        state: Option<GreyState>,
        #[graphql(desc = "Key of a rule slot.")] slot: Option<String>,
        lead: Option<ID>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<GreyCaseEvent>>> + use<>> {
        read_viewer(ctx)?;
        let lead = lead.map(|id| local("Lead", &id, "lead")).transpose();
        let lead = lead.map_err(|refused| failure(refused.into()))?;
        let kinds = match state {
            Some(GreyState::Open) => &["GREY_CASE_OPENED"][..],
            Some(GreyState::Resolved) => &["GREY_CASE_RESOLVED"],
            None => &["GREY_CASE_OPENED", "GREY_CASE_RESOLVED"],
        };
        let filter = EventFilter {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            stream: lead.map(|lead| (StreamKind::Lead.as_str().to_owned(), lead)),
            ..EventFilter::default()
        };
        facts(ctx, after, filter, move |app: &App, row: &Told, body: &Body| {
            let event = told(app, row, body)?;
            slot.as_ref().is_none_or(|slot| *slot == event.slot).then_some(event)
        })
        .await
    }
}

fn told(app: &App, row: &Told, body: &Body) -> Option<GreyCaseEvent> {
    let (case, slot, trigger, outcome) = match &body.fact {
        Fact::GreyCaseOpened { case, slot, trigger, .. } => (case, slot, Some(*trigger), None),
        Fact::GreyCaseResolved { case, slot, outcome } => (case, slot, None, Some(*outcome)),
        _ => return None,
    };
    let event = &row.event;
    Some(GreyCaseEvent {
        id: Uuid(event.id),
        cursor: cursor(app, row),
        grey_case_id: global("GreyCase", *case),
        state: if outcome.is_some() { GreyState::Resolved } else { GreyState::Open },
        slot: slot.clone(),
        trigger,
        outcome,
        lead_id: global("Lead", event.stream_id),
        lead_version: i32::try_from(event.version).unwrap_or(i32::MAX),
        cycle: body.cycle.map_or(0, small),
        charter: small(body.charter),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        case: *case,
        lead: event.stream_id,
        user: outcome.and(body.actor.user),
    })
}
