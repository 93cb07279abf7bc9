//! Deployments: a version with settings in a slot, on what terms, who agreed, how it does, and what took it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Lookahead, Object, SimpleObject};
use handfast_domain::deployment::{
    Approval, Breaker, Deployment as Ran, DeploymentMode, DeploymentState, GuardrailReading, Guardrails,
};
use handfast_domain::digest::Digest;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::deployment as store;
use handfast_store::plugin as versions;
use handfast_store::signature;

use super::backtest::BacktestRun;
use super::directory::User;
use super::plugin::{PluginVersion, version};
use super::problem::{UserError, failure, payload};
use super::scalar::{Long, Uuid, global, local};
use super::signature::Downgrade;
use super::{app, ask, read_viewer};
use crate::app::App;
use crate::flows::deploy::{self, Deploy};
use crate::flows::{self, guardrail};

mod event;

pub use event::DeploymentSubscription;

/// A version with settings in a slot, and how that ended.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Deployment {
    pub id: ID,
    uuid: Uuid,
    /// Key of the slot.
    pub slot: String,
    /// sha-256 of the version's bytes.
    version_digest: Digest,
    /// Digest of its settings.
    settings_digest: Digest,
    pub mode: DeploymentMode,
    state: DeploymentState,
    /// Share of the leads that it judges, in basis points: 10,000 but for a CANARY.
    share: i32,
    /// When it is taken back for its failures.
    breaker: Breaker,
    /// What a CANARY is taken back for.
    guardrails: Guardrails,
    /// Grey cases a day that a SHADOW may open where it disagrees.
    grey_cases_a_day: i32,
    /// The sides whose agreement is missing before it runs.
    still_needed: Vec<Side>,
    /// Why it was started.
    why: Option<String>,
    /// When it began to judge; when it was asked for, while it waits for approval.
    started_at: Instant,
    ended_at: Option<Instant>,
    /// Why it ended.
    end_reason: Option<String>,
    /// What was read when a guardrail took it back.
    evidence: Vec<GuardrailReading>,
    /// The deployment that this one took back.
    rollback_of: Option<ID>,
    /// The SHADOW or CANARY that became this one.
    promoted_from: Option<ID>,
    #[graphql(skip)]
    ran: Arc<Ran>,
    #[graphql(skip)]
    loaded: Loaded,
}

/// What the look-ahead saw below deployments, read for all of them at once; none where it saw nothing.
#[derive(Clone, Default)]
struct Loaded {
    versions: Option<Arc<BTreeMap<Digest, PluginVersion>>>,
    settings: Option<Arc<BTreeMap<Digest, String>>>,
    downgrades: Option<Arc<BTreeMap<uuid::Uuid, signature::Downgrade>>>,
    tallies: Option<Arc<BTreeMap<uuid::Uuid, store::Tally>>>,
}

/// One person's agreement to a deployment.
#[derive(Clone, SimpleObject)]
pub struct DeploymentApproval {
    /// Who agreed; null for somebody who is no longer known.
    user: Option<User>,
    side: Side,
    at: Instant,
    comment: Option<String>,
}

/// How a deployment's calls ended so far.
#[derive(Clone, Copy, Debug, Default, SimpleObject)]
pub struct DeploymentTally {
    /// All calls, one for each lead and gate.
    decided: Long,
    /// Verdicts that let the lead pass.
    advanced: Long,
    /// Calls that failed.
    failed: Long,
    /// Of a SHADOW: verdicts that differ from the one that counted.
    disagreed: Long,
    /// Decisions that a person overrode.
    overridden: Long,
    /// Fuel of all calls.
    fuel: Long,
}

impl Deployment {
    /// Wraps any number of deployments; three statements at most for all that the selections ask for below them.
    pub async fn wrap_all(
        app: &App,
        ran: Vec<Ran>,
        looks: &[Lookahead<'_>],
    ) -> async_graphql::Result<Vec<Deployment>> {
        let (db, fault) = (app.store.read(), |error: handfast_store::StoreError| failure(error.into()));
        let asked = |name: &str| !ran.is_empty() && looks.iter().any(|look| look.field(name).exists());
        let mut loaded = Loaded::default();
        if asked("version") {
            let digests: BTreeSet<Digest> = ran.iter().map(|one| one.version).collect();
            let found = versions::versions_of(db, &digests).await.map_err(fault)?.into_values().collect();
            let below: Vec<Lookahead<'_>> = looks.iter().map(|look| look.field("version")).collect();
            let found = PluginVersion::wrap_all(app, found, &below).await?;
            loaded.versions = Some(Arc::new(found.into_iter().map(|one| (one.digest, one)).collect()));
        }
        if asked("settings") {
            let digests: BTreeSet<Digest> = ran.iter().map(|one| one.settings).collect();
            loaded.settings = Some(Arc::new(versions::settings_of(db, &digests).await.map_err(fault)?));
        }
        let ids: Vec<uuid::Uuid> = ran.iter().map(|one| one.id).collect();
        if asked("downgrade") {
            loaded.downgrades = Some(Arc::new(signature::downgrades(db, &ids).await.map_err(fault)?));
        }
        if asked("tally") {
            loaded.tallies = Some(Arc::new(store::tallies(db, &ids).await.map_err(fault)?));
        }
        let wrap = |ran| Deployment { loaded: loaded.clone(), ..Deployment::wrap(ran) };
        Ok(ran.into_iter().map(wrap).collect())
    }

    pub fn wrap(ran: Ran) -> Deployment {
        let reference = |id: Option<uuid::Uuid>| id.map(|id| global("Deployment", id));
        Deployment {
            id: global("Deployment", ran.id),
            uuid: Uuid(ran.id),
            slot: ran.slot.clone(),
            version_digest: ran.version,
            settings_digest: ran.settings,
            mode: ran.mode,
            state: ran.state,
            share: i32::from(ran.terms.share),
            breaker: ran.terms.breaker,
            guardrails: ran.terms.guardrails.clone(),
            grey_cases_a_day: super::small(ran.terms.grey_cases_a_day),
            still_needed: match ran.state {
                DeploymentState::PendingApproval => ran.still_needed(),
                _ => vec![],
            },
            why: ran.terms.why.clone(),
            started_at: ran.started_at,
            ended_at: ran.ended_at,
            end_reason: ran.end_reason.clone(),
            evidence: ran.evidence.clone(),
            rollback_of: reference(ran.rollback_of),
            promoted_from: reference(ran.terms.promoted_from),
            ran: Arc::new(ran),
            loaded: Loaded::default(),
        }
    }

    pub fn is_running(&self) -> bool {
        self.state == DeploymentState::Running
    }
}

#[ComplexObject]
impl Deployment {
    async fn version(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PluginVersion>> {
        match &self.loaded.versions {
            Some(versions) => Ok(versions.get(&self.version_digest).cloned()),
            None => version(app(ctx)?, self.version_digest).await,
        }
    }

    /// The settings as canonical JSON.
    async fn settings(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        if let Some(settings) = &self.loaded.settings {
            return Ok(settings.get(&self.settings_digest).cloned());
        }
        let found = versions::settings(app(ctx)?.store.read(), self.settings_digest).await;
        found.map_err(|error| failure(error.into()))
    }

    /// The newest backtest of the version with these settings that was over when it was deployed.
    async fn backtest(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<BacktestRun>> {
        match self.ran.terms.backtest {
            Some(id) => super::backtest::found(app(ctx)?, id).await,
            None => Ok(None),
        }
    }

    async fn started_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.ran.started_by).map(User::wrap))
    }

    /// Why it took a version that is older than what was LIVE before; null where it did not.
    async fn downgrade(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Downgrade>> {
        let id = self.ran.id;
        if let Some(found) = &self.loaded.downgrades {
            return Ok(found.get(&id).cloned().map(Downgrade::wrap));
        }
        let found = signature::downgrades(app(ctx)?.store.read(), &[id]).await;
        Ok(found.map_err(|error| failure(error.into()))?.remove(&id).map(Downgrade::wrap))
    }

    /// Who agreed, in order.
    async fn approvals(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<DeploymentApproval>> {
        let workspace = app(ctx)?.workspace();
        let approval = |approval: &Approval| DeploymentApproval {
            user: workspace.directory.user(approval.user).map(User::wrap),
            side: approval.side,
            at: approval.at,
            comment: approval.comment.clone(),
        };
        Ok(self.ran.approvals.iter().map(approval).collect())
    }

    /// How its calls ended so far.
    async fn tally(&self, ctx: &Context<'_>) -> async_graphql::Result<DeploymentTally> {
        let tally = match &self.loaded.tallies {
            Some(tallies) => tallies.get(&self.ran.id).copied(),
            None => {
                let found = store::tallies(app(ctx)?.store.read(), &[self.ran.id]).await;
                found.map_err(|error| failure(error.into()))?.remove(&self.ran.id)
            }
        };
        let store::Tally { decided, advanced, failed, disagreed, overridden, fuel } =
            tally.unwrap_or_default();
        let long = |count: u64| Long(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(DeploymentTally {
            decided: long(decided),
            advanced: long(advanced),
            failed: long(failed),
            disagreed: long(disagreed),
            overridden: long(overridden),
            fuel: long(fuel),
        })
    }

    /// What the guardrails of a CANARY that runs show at this moment; of one that was taken back, see `evidence`.
    async fn readings(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<GuardrailReading>> {
        match self.state {
            DeploymentState::Running => guardrail::read(app(ctx)?, &self.ran).await.map_err(failure),
            _ => Ok(vec![]),
        }
    }
}

#[derive(Default)]
pub struct DeploymentQuery;

#[Object]
impl DeploymentQuery {
    /// Deployments of a slot, or of all of them, the newest first.
    async fn deployments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a slot.")] slot: Option<String>,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Deployment>> {
        read_viewer(ctx)?;
        let first = super::bounded("first", first, 200)?;
        let app = app(ctx)?;
        let found = store::page(app.store.read(), slot.as_deref(), first).await;
        Deployment::wrap_all(app, found.map_err(|error| failure(error.into()))?, &[ctx.look_ahead()]).await
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct DeployPluginInput {
    /// Key of a slot of the charter in force.
    slot: String,
    /// The version.
    digest: Digest,
    /// The settings as JSON.
    settings: String,
    mode: DeploymentMode,
    /// Share of the leads that a CANARY judges, in basis points, 1 to 9999; 1000 without.
    share: Option<i32>,
    /// When it is taken back for its failures; 10 of the last 50 calls without.
    breaker: Option<Breaker>,
    /// What a CANARY is taken back for; the defaults without.
    guardrails: Option<Guardrails>,
    /// Grey cases a day that a SHADOW may open where it disagrees, 0 to 1000; 10 without.
    grey_cases_a_day: Option<i32>,
    /// Why, for the other teams; up to 500 characters.
    why: Option<String>,
    /// Why a version may go in whose signature is older than the newest that was ever LIVE in the slot, in 1 to 500
    /// characters; it is recorded, and the other teams read it.
    allow_downgrade: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct PromoteInput {
    /// A SHADOW or CANARY that runs.
    deployment: ID,
    /// CANARY or LIVE.
    mode: DeploymentMode,
    /// Share of the leads that a CANARY judges, in basis points; of a CANARY, a wider one than before.
    share: Option<i32>,
    /// Why, for the other teams; up to 500 characters.
    why: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ApproveDeploymentInput {
    /// One that waits for approval.
    deployment: ID,
    /// What you have to say to it; up to 500 characters.
    comment: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct DeclineDeploymentInput {
    /// One that waits for approval.
    deployment: ID,
    /// Why not.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RollbackInput {
    /// Key of a slot.
    slot: String,
    /// Which deployment of the slot; what is LIVE without. A CANARY or SHADOW ends, a LIVE one goes one step back, and one
    /// that waits for approval never runs. With it a repetition never goes two steps.
    deployment: Option<ID>,
    /// Why; the other teams read it.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct DeploymentPayload {
    /// The deployment; after a rollback, what is LIVE in the slot now, null where the built-in rule is. Null when it was refused.
    deployment: Option<Deployment>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct DeploymentMutation;

#[Object]
impl DeploymentMutation {
    /// Puts a version with settings into a slot: the next decision is its, once everybody agreed whom the charter asks. Requests
    /// that began before end with the rule that they began with.
    async fn deploy_plugin(
        &self,
        ctx: &Context<'_>,
        input: DeployPluginInput,
    ) -> async_graphql::Result<DeploymentPayload> {
        let DeployPluginInput { slot, digest, settings, mode, share, breaker, guardrails, .. } =
            input.clone();
        let (grey_cases_a_day, why) = (input.grey_cases_a_day, input.why.clone());
        let allow_downgrade = input.allow_downgrade.clone();
        let asked = (
            (&slot, digest, &settings, mode, share, breaker, &guardrails),
            (grey_cases_a_day, &why, &allow_downgrade),
        );
        let ask = ask(ctx, "deployPlugin", input.idempotency_key, input.dry_run, &asked)?;
        let wanted = Deploy {
            slot,
            digest,
            settings,
            mode,
            share,
            breaker,
            guardrails,
            grey_cases_a_day,
            why,
            allow_downgrade,
        };
        answer(ctx, deploy::deploy(app(ctx)?, &ask, wanted).await).await
    }

    /// Lets a SHADOW or CANARY judge more leads, as a CANARY or LIVE; the one that it was ends when the new one begins.
    async fn promote(
        &self,
        ctx: &Context<'_>,
        input: PromoteInput,
    ) -> async_graphql::Result<DeploymentPayload> {
        let PromoteInput { deployment, mode, share, why, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "promote", idempotency_key, dry_run, &(&deployment.0, mode, share, &why))?;
        let id = read(&deployment)?;
        answer(ctx, deploy::promote(app(ctx)?, &ask, id, mode, share, why).await).await
    }

    /// Agrees for your side to a deployment that waits. With the last agreement that was missing it begins to judge.
    async fn approve_deployment(
        &self,
        ctx: &Context<'_>,
        input: ApproveDeploymentInput,
    ) -> async_graphql::Result<DeploymentPayload> {
        let ApproveDeploymentInput { deployment, comment, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "approveDeployment", idempotency_key, dry_run, &(&deployment.0, &comment))?;
        let id = read(&deployment)?;
        answer(ctx, deploy::approve(app(ctx)?, &ask, id, comment).await).await
    }

    /// Says no for your side to a deployment that waits for approval. It never runs. The team that asked takes it back by
    /// `rollback`.
    async fn decline_deployment(
        &self,
        ctx: &Context<'_>,
        input: DeclineDeploymentInput,
    ) -> async_graphql::Result<DeploymentPayload> {
        let DeclineDeploymentInput { deployment, reason, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "declineDeployment", idempotency_key, dry_run, &(&deployment.0, &reason))?;
        let id = read(&deployment)?;
        answer(ctx, deploy::decline(app(ctx)?, &ask, id, &reason).await).await
    }

    /// One step back, to what answered for the slot before; or the end of a CANARY or SHADOW. It needs nobody's agreement and
    /// takes effect with the next decision.
    async fn rollback(
        &self,
        ctx: &Context<'_>,
        input: RollbackInput,
    ) -> async_graphql::Result<DeploymentPayload> {
        let RollbackInput { slot, deployment, reason, idempotency_key, dry_run } = input;
        let named = deployment.as_ref().map(|id| id.0.clone());
        let ask = ask(ctx, "rollback", idempotency_key, dry_run, &(&slot, &named, &reason))?;
        let id = deployment.as_ref().map(read).transpose()?;
        let app = app(ctx)?;
        let (done, errors) = payload(deploy::rollback(app, &ask, &slot, id, &reason).await)?;
        if done.is_none() {
            return Ok(DeploymentPayload { deployment: None, errors });
        }
        let active = store::active(app.store.read(), &[slot]).await.map_err(|error| failure(error.into()))?;
        let live = active.into_iter().find(|one| one.mode == DeploymentMode::Live && one.is_running());
        Ok(DeploymentPayload { deployment: live.map(Deployment::wrap), errors })
    }
}

fn read(id: &ID) -> async_graphql::Result<uuid::Uuid> {
    local("Deployment", id, "input/deployment").map_err(|refused| failure(refused.into()))
}

async fn answer(
    ctx: &Context<'_>,
    done: Result<uuid::Uuid, flows::Error>,
) -> async_graphql::Result<DeploymentPayload> {
    let (id, errors) = payload(done)?;
    let Some(id) = id else { return Ok(DeploymentPayload { deployment: None, errors }) };
    let found = store::find(app(ctx)?.store.read(), id).await.map_err(|error| failure(error.into()))?;
    Ok(DeploymentPayload { deployment: found.map(Deployment::wrap), errors })
}
