//! Re-evaluations: passes over the leads that wait before a gate, started by a person or by what became known of a company.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use handfast_domain::digest::Digest;
use handfast_domain::reevaluation::{self as domain, ReevaluationCause, Waiting};
use handfast_domain::run::RunStatus;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_store::reevaluation as store;

use super::directory::User;
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::progress::progress;
use super::scalar::{Long, Uuid, global, local};
use super::{app, ask, read_viewer, viewer};
use crate::app::App;
use crate::flows::{Error, reevaluation};

/// A pass over the open leads that wait before a gate. A lead of which nothing changed that its rules read is left alone. A pass
/// goes on after a restart where it was.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Reevaluation {
    pub id: ID,
    uuid: Uuid,
    /// Why the leads are looked at again.
    cause: ReevaluationCause,
    /// Only leads below this gate; null for all that wait for a rule.
    gate: Option<StageKind>,
    /// Only leads of this company.
    account_id: Option<ID>,
    /// Whether leads are judged also if nothing changed.
    everything: bool,
    status: RunStatus,
    /// Leads that were looked at.
    done: Long,
    /// Leads that waited when it began.
    total: Long,
    /// Of those done, the leads that were left alone: the same charter and rules, and nothing changed that they read.
    unchanged: Long,
    /// Of those done, the leads that were judged.
    judged: Long,
    /// Of the judged, the leads whose stage or outcome changed by it.
    moved: Long,
    /// Why it failed or was cancelled.
    message: Option<String>,
    started_at: Instant,
    finished_at: Option<Instant>,
    #[graphql(skip)]
    run: domain::Reevaluation,
}

impl Reevaluation {
    pub fn wrap(run: domain::Reevaluation) -> Reevaluation {
        let looked = run.looked;
        Reevaluation {
            id: global("Reevaluation", run.id),
            uuid: Uuid(run.id),
            cause: run.cause,
            gate: run.waiting.gate,
            account_id: run.waiting.account.map(|account| global("Account", account)),
            everything: run.everything,
            status: run.status,
            done: Long(looked.leads),
            total: Long(run.total),
            unchanged: Long(looked.unchanged),
            judged: Long(looked.judged),
            moved: Long(looked.moved),
            message: run.message.clone(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            run,
        }
    }
}

#[ComplexObject]
impl Reevaluation {
    /// Who started it; null where it followed from what became known of a company.
    async fn started_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.run.started_by.and_then(|user| workspace.directory.user(user)).map(User::wrap))
    }
}

async fn found(app: &App, id: uuid::Uuid) -> async_graphql::Result<Option<domain::Reevaluation>> {
    reevaluation::get(app, id).await.map_err(failure)
}

#[derive(Default)]
pub struct ReevaluationQuery;

#[Object]
impl ReevaluationQuery {
    /// One re-evaluation; null if there is none.
    async fn reevaluation(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Reevaluation>> {
        read_viewer(ctx)?;
        let id = local("Reevaluation", &id, "id").map_err(|refused| failure(refused.into()))?;
        Ok(found(app(ctx)?, id).await?.map(Reevaluation::wrap))
    }

    /// Re-evaluations, the newest first.
    async fn reevaluations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> async_graphql::Result<Page<Reevaluation>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &"reevaluations");
        let window = PageArgs { first, after, last, before }.window(app, "started", digest)?;
        let runs = store::page(app.store.read(), window.from, window.backward, window.limit).await;
        let runs = runs.map_err(|error| failure(error.into()))?;
        Ok(window.page(app, runs, |run| (run.started_at.ms(), run.id), Reevaluation::wrap))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct StartReevaluationInput {
    /// IQL or MQL: only leads below this gate. Without it all open leads below MQL.
    gate: Option<StageKind>,
    /// Judge also leads of which nothing changed that their rules read.
    everything: Option<bool>,
    /// Count the leads that wait, and look at none.
    dry_run: Option<bool>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct ReevaluationPayload {
    /// The pass as it stands; `reevaluationProgress` tells how it goes on.
    reevaluation: Option<Reevaluation>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ReevaluationMutation;

#[Object]
impl ReevaluationMutation {
    /// Begins to look again at the leads that wait for a rule, in the background: after a new version went LIVE, or a charter took
    /// force. A change of rules moves no lead by itself; without this each lead is judged again when something changes that its
    /// rules read, or when its next look is due.
    async fn start_reevaluation(
        &self,
        ctx: &Context<'_>,
        input: StartReevaluationInput,
    ) -> async_graphql::Result<ReevaluationPayload> {
        let StartReevaluationInput { gate, everything, dry_run, idempotency_key } = input;
        let everything = everything.unwrap_or(false);
        let ask = ask(ctx, "startReevaluation", idempotency_key, dry_run, &(gate, everything))?;
        let waiting = Waiting { gate, ..Waiting::default() };
        answer(reevaluation::start(app(ctx)?, &ask, waiting, everything).await)
    }

    /// Stops a re-evaluation, also one that waits. What it judged stays judged.
    async fn cancel_reevaluation(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> async_graphql::Result<ReevaluationPayload> {
        answer(match local("Reevaluation", &id, "id") {
            Ok(id) => reevaluation::cancel(app(ctx)?, viewer(ctx)?, id).await,
            Err(refused) => Err(refused.into()),
        })
    }
}

fn answer(result: Result<domain::Reevaluation, Error>) -> async_graphql::Result<ReevaluationPayload> {
    let (run, errors) = payload(result)?;
    Ok(ReevaluationPayload { reevaluation: run.map(Reevaluation::wrap), errors })
}

#[derive(Default)]
pub struct ReevaluationSubscription;

#[Subscription]
impl ReevaluationSubscription {
    /// A re-evaluation as it stands now, and whenever it got further, until it is over.
    async fn reevaluation_progress(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Reevaluation>> + use<>> {
        read_viewer(ctx)?;
        let app = app(ctx)?.clone();
        let id = local("Reevaluation", &id, "id").map_err(|refused| failure(refused.into()))?;
        let first = found(&app, id).await?.ok_or_else(|| super::not_found("re-evaluation"))?;
        let look = move || {
            let app = app.clone();
            async move { found(&app, id).await }
        };
        Ok(progress(first, look, |run| run.status.is_over()).map(|run| run.map(Reevaluation::wrap)))
    }
}
