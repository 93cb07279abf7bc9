//! Deployments as they are asked for, agreed to, started and ended.

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription};
use futures_util::Stream;
use handfast_domain::deployment::{DeploymentMode, DeploymentState};
use handfast_domain::digest::Digest;
use handfast_domain::event::{ActorKind, Body, Fact};
use handfast_domain::filter::EventFilter;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::deployment as store;
use handfast_store::tail::Told;

use super::super::event::{cursor, facts};
use super::super::inline::Inline;
use super::super::scalar::{FeedCursor, Uuid, global};
use super::super::{app, failure, small};
use super::{Deployment, User};
use crate::app::App;

/// What happened to a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum DeploymentChange {
    /// It waits for the agreement that the charter asks for.
    Requested,
    /// A side agreed.
    Approved,
    /// It was declined or withdrawn, and never ran.
    Declined,
    /// It judges from now on.
    Started,
    /// It judges no more.
    Ended,
}

/// A deployment was asked for, agreed to, started or ended.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct DeploymentEvent {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Give it as `after` to go on from here.
    cursor: FeedCursor,
    change: DeploymentChange,
    /// Key of the rule slot.
    slot: String,
    /// The deployment that it happened to.
    deployment_id: ID,
    /// sha-256 of the version's bytes, when it was asked for or started.
    version_digest: Option<Digest>,
    /// Digest of its settings, when it was asked for or started.
    settings_digest: Option<Digest>,
    /// Whether its verdicts count, when it was asked for or started.
    mode: Option<DeploymentMode>,
    /// Where it stands since then; null for ends of old, which do not say.
    state: Option<DeploymentState>,
    /// The sides whose agreement was missing when it was asked for.
    needs: Vec<Side>,
    /// The side that agreed.
    side: Option<Side>,
    /// RULE where a guardrail or the circuit breaker ended it.
    actor: ActorKind,
    /// Number of the charter in force.
    charter: i32,
    occurred_at: Instant,
    recorded_at: Instant,
    #[graphql(skip)]
    deployment: uuid::Uuid,
    #[graphql(skip)]
    user: Option<uuid::Uuid>,
}

#[async_graphql::ComplexObject]
impl DeploymentEvent {
    /// The deployment as it is now, which may be further on.
    async fn deployment(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Deployment>> {
        let app = app(ctx)?;
        let found = store::find(app.store.read(), self.deployment).await;
        let found = found.map_err(|error| failure(error.into()))?;
        Ok(Deployment::wrap_all(app, found.into_iter().collect(), &[ctx.look_ahead()]).await?.pop())
    }

    /// Who did it, if a person or service did.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.user.and_then(|id| workspace.directory.user(id)).map(User::wrap))
    }
}

#[derive(Default)]
pub struct DeploymentSubscription;

const KINDS: [&str; 5] = [
    "DEPLOYMENT_REQUESTED",
    "DEPLOYMENT_APPROVED",
    "DEPLOYMENT_DECLINED",
    "DEPLOYMENT_STARTED",
    "DEPLOYMENT_ENDED",
];

#[Subscription]
impl DeploymentSubscription {
    /// Everything that happens to deployments, once and in the order of each slot: also what guardrails and the circuit breaker
    /// do by themselves. Without `after` it begins now; with the cursor of the last event that you saw it goes on from there.
    async fn deployment_events(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        #[graphql(desc = "Key of a rule slot.")] slot: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<DeploymentEvent>>> + use<>>
    {
        let kinds = KINDS.map(str::to_owned).to_vec();
        let filter = EventFilter { kinds, ..EventFilter::default() };
        facts(ctx, after, filter, move |app: &App, row: &Told, body: &Body| {
            let event = told(app, row, body)?;
            slot.as_ref().is_none_or(|slot| *slot == event.slot).then_some(event)
        })
        .await
    }
}

fn told(app: &App, row: &Told, body: &Body) -> Option<DeploymentEvent> {
    use DeploymentChange::{Approved, Declined, Ended, Requested, Started};
    let (mut needs, mut agreed) = (vec![], None);
    let (change, slot, deployment, what, state) = match &body.fact {
        Fact::DeploymentRequested { slot, deployment, version, settings, mode, needs: missing } => {
            needs.clone_from(missing);
            let what = Some((*version, *settings, *mode));
            (Requested, slot, *deployment, what, Some(DeploymentState::PendingApproval))
        }
        Fact::DeploymentApproved { slot, deployment, side } => {
            agreed = Some(*side);
            (Approved, slot, *deployment, None, Some(DeploymentState::PendingApproval))
        }
        Fact::DeploymentDeclined { slot, deployment } => {
            (Declined, slot, *deployment, None, Some(DeploymentState::Declined))
        }
        Fact::DeploymentStarted { slot, deployment, version, settings, mode } => {
            let what = Some((*version, *settings, *mode));
            (Started, slot, *deployment, what, Some(DeploymentState::Running))
        }
        Fact::DeploymentEnded { slot, deployment, state, .. } => (Ended, slot, *deployment, None, *state),
        _ => return None,
    };
    let event = &row.event;
    Some(DeploymentEvent {
        id: Uuid(event.id),
        cursor: cursor(app, row),
        change,
        slot: slot.clone(),
        deployment_id: global("Deployment", deployment),
        version_digest: what.map(|(version, ..)| version),
        settings_digest: what.map(|(_, settings, _)| settings),
        mode: what.map(|(.., mode)| mode),
        state,
        needs,
        side: agreed,
        actor: body.actor.kind,
        charter: small(body.charter),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        deployment,
        user: body.actor.user,
    })
}
