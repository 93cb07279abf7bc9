//! Feedback as it is posted, answered, and found to have caused something.

use async_graphql::{Context, ID, SimpleObject, Subscription};
use futures_util::Stream;
use handfast_domain::event::{Body, Fact};
use handfast_domain::feedback::{EffectKind, FeedbackStatus};
use handfast_domain::filter::EventFilter;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::feedback as store;
use handfast_store::tail::Told;

use super::super::event::{cursor, facts};
use super::super::inline::Inline;
use super::super::scalar::{FeedCursor, Uuid, global};
use super::super::{app, failure, read_viewer};
use super::{Feedback, User, person};
use crate::app::App;
use crate::flows::feedback::concerns;

/// Feedback was posted, answered, or found to have caused something.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct FeedbackEvent {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Give it as `after` to go on from here.
    cursor: FeedCursor,
    /// The feedback that it is about.
    feedback_id: ID,
    /// The side that gave it.
    from: Side,
    /// The side that owes an answer.
    to: Side,
    /// Where it stands by this event; null when it was found to have caused something.
    status: Option<FeedbackStatus>,
    /// What it caused, when that was said.
    effect: Option<EffectKind>,
    occurred_at: Instant,
    recorded_at: Instant,
    #[graphql(skip)]
    feedback: uuid::Uuid,
    #[graphql(skip)]
    user: Option<uuid::Uuid>,
}

#[async_graphql::ComplexObject]
impl FeedbackEvent {
    /// The feedback as it is now.
    async fn feedback(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Feedback>> {
        let app = app(ctx)?;
        let found = store::find(app.store.read(), self.feedback).await;
        let found = found.map_err(|error| failure(error.into()))?;
        Ok(found.map(|told| Feedback::wrap(&app.workspace(), told)))
    }

    /// Who did it.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.user.and_then(|id| person(&workspace, id)))
    }
}

#[derive(Default)]
pub struct FeedbackSubscription;

#[Subscription]
impl FeedbackSubscription {
    /// Feedback of both sides as it is posted, answered and found to have caused something, once and in order. Without `after`
    /// it begins now; with the cursor of the last event that you saw it goes on from there.
    async fn feedback(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        #[graphql(desc = "The side that owes an answer; both without.")] side: Option<Side>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<FeedbackEvent>>> + use<>> {
        read_viewer(ctx)?;
        let kinds = ["FEEDBACK_POSTED", "FEEDBACK_ANSWERED", "FEEDBACK_EFFECT_LINKED"];
        let filter = EventFilter { kinds: kinds.map(str::to_owned).to_vec(), ..EventFilter::default() };
        facts(ctx, after, filter, move |app: &App, row: &Told, body: &Body| {
            told(app, row, body).filter(|event| concerns(side, event.to))
        })
        .await
    }
}

fn told(app: &App, row: &Told, body: &Body) -> Option<FeedbackEvent> {
    let (feedback, from, to, status, effect) = match &body.fact {
        Fact::FeedbackPosted { feedback, from, to, .. } => {
            (*feedback, *from, *to, Some(FeedbackStatus::Open), None)
        }
        Fact::FeedbackAnswered { feedback, from, to, status } => (*feedback, *from, *to, Some(*status), None),
        Fact::FeedbackEffectLinked { feedback, from, to, effect, .. } => {
            (*feedback, *from, *to, None, Some(*effect))
        }
        _ => return None,
    };
    let event = &row.event;
    Some(FeedbackEvent {
        id: Uuid(event.id),
        cursor: cursor(app, row),
        feedback_id: global("Feedback", feedback),
        from,
        to,
        status,
        effect,
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        feedback,
        user: body.actor.user,
    })
}
