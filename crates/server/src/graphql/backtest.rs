//! Backtests: started for a slot, watched while they run, kept with what they found.

use std::collections::BTreeMap;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use handfast_domain::backtest::{Flip, Report, Scope};
use handfast_domain::digest::Digest;
use handfast_domain::refused::Refused;
use handfast_domain::run::RunStatus;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_domain::verdict::Outcome;
use handfast_store::backtest::{self as store, BacktestRun as Run};

use super::directory::User;
use super::lead::{Lead, leads_by, want};
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::progress::progress;
use super::scalar::{Long, Uuid, global, local};
use super::{app, once, read_viewer, viewer};
use crate::app::App;
use crate::flows::backtest::{self, Start, USUAL};

/// One backtest of a version with settings, against what answered for the slot when it was started. It is kept for ever.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct BacktestRun {
    pub id: ID,
    uuid: Uuid,
    /// Key of the slot.
    slot: String,
    /// The gate that the slot guards.
    gate: StageKind,
    /// sha-256 of the candidate's bytes.
    version_digest: Digest,
    /// Digest of the candidate's settings.
    settings_digest: Digest,
    /// The version that answered for the slot; null for the built-in rule, which holds every lead.
    baseline_version_digest: Option<Digest>,
    /// Digest of its settings.
    baseline_settings_digest: Option<Digest>,
    /// Leads that were looked at at this instant or later.
    from: Option<Instant>,
    /// Leads that were looked at before this instant.
    to: Option<Instant>,
    /// The newest so many leads at most.
    limit: Long,
    /// Key of the persona that the leads matched then.
    persona: Option<String>,
    /// Key of the campaign that the leads came from.
    campaign: Option<String>,
    /// Source of the leads.
    source: Option<String>,
    status: RunStatus,
    /// Looks at leads that were read.
    done: Long,
    /// Looks at leads in all; 0 until it runs.
    total: Long,
    /// Why it failed or was cancelled.
    message: Option<String>,
    started_at: Instant,
    finished_at: Option<Instant>,
    #[graphql(skip)]
    run: Run,
}

impl BacktestRun {
    pub fn wrap(run: Run) -> BacktestRun {
        let Scope { from, to, limit, persona, campaign, source } = run.scope.clone();
        BacktestRun {
            id: global("BacktestRun", run.id),
            uuid: Uuid(run.id),
            slot: run.slot.clone(),
            gate: run.gate,
            version_digest: run.version,
            settings_digest: run.settings,
            baseline_version_digest: run.baseline.map(|(version, _)| version),
            baseline_settings_digest: run.baseline.map(|(_, settings)| settings),
            from,
            to,
            limit: limit.into(),
            persona,
            campaign,
            source,
            status: run.status,
            done: Long(run.done),
            total: Long(run.total),
            message: run.message.clone(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            run,
        }
    }
}

#[ComplexObject]
impl BacktestRun {
    /// Who started it.
    async fn started_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.run.started_by).map(User::wrap))
    }

    /// The candidate's settings as canonical JSON.
    async fn settings(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        let found = handfast_store::plugin::settings(app(ctx)?.store.read(), self.settings_digest).await;
        found.map_err(|error| failure(error.into()))
    }

    /// What it found; null until it is FINISHED.
    async fn report(&self) -> async_graphql::Result<Option<Report>> {
        self.run.report().map_err(|error| failure(error.into()))
    }

    /// The leads on which the two versions differ, those that were looked at last first; at most 1,000 are kept.
    async fn flipped(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<BacktestFlip>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &("flips", self.run.id));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "number", digest)?;
        let db = app.store.read();
        let rows = store::flips(db, self.run.id, window.from, window.backward, window.limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let look = ctx.look_ahead().field("edges").field("node").field("lead");
        let mut leads = BTreeMap::new();
        if look.exists() {
            let ids: Vec<uuid::Uuid> = rows.iter().map(|(_, flip)| flip.lead).collect();
            leads = leads_by(app, &ids, &want(look)).await?;
        }
        let wrap = |(_, flip): (i64, Flip)| BacktestFlip::wrap(flip, leads.get(&flip.lead).cloned());
        Ok(window.page(app, rows, |(number, flip)| (*number, flip.lead), wrap))
    }
}

/// A lead on which the two versions differ.
#[derive(Clone, SimpleObject)]
pub struct BacktestFlip {
    lead_id: ID,
    /// The lead as it is now.
    lead: Option<Lead>,
    /// When it was looked at.
    at: Instant,
    /// What the version said that answers today; null when it failed.
    baseline: Option<Outcome>,
    /// What the candidate said; null when it failed.
    candidate: Option<Outcome>,
    /// What people said later: whether the gate was right to open.
    good: bool,
    /// Whether the candidate is the one that was right; null where both let it through, or neither.
    better: Option<bool>,
}

impl BacktestFlip {
    fn wrap(flip: Flip, lead: Option<Lead>) -> BacktestFlip {
        let Flip { lead: id, at, baseline, candidate, good } = flip;
        let better = flip.is_better();
        BacktestFlip { lead_id: global("Lead", id), lead, at, baseline, candidate, good, better }
    }
}

pub async fn found(app: &App, id: uuid::Uuid) -> async_graphql::Result<Option<BacktestRun>> {
    Ok(run_of(app, id).await?.map(BacktestRun::wrap))
}

async fn run_of(app: &App, id: uuid::Uuid) -> async_graphql::Result<Option<Run>> {
    store::get(app.store.read(), id).await.map_err(|error| failure(error.into()))
}

fn id_of(id: &ID, path: &str) -> Result<uuid::Uuid, Refused> {
    local("BacktestRun", id, path)
}

#[derive(Default)]
pub struct BacktestQuery;

#[Object]
impl BacktestQuery {
    /// One backtest; null if there is none.
    async fn backtest(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<BacktestRun>> {
        read_viewer(ctx)?;
        found(app(ctx)?, id_of(&id, "id").map_err(|refused| failure(refused.into()))?).await
    }

    /// Backtests of a slot, or of all of them, the newest first.
    async fn backtests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a slot.")] slot: Option<String>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> async_graphql::Result<Page<BacktestRun>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &("backtests", &slot));
        let window = PageArgs { first, after, last, before }.window(app, "started", digest)?;
        let db = app.store.read();
        let runs = store::page(db, slot.as_deref(), window.from, window.backward, window.limit).await;
        let runs = runs.map_err(|error| failure(error.into()))?;
        Ok(window.page(app, runs, |run| (run.started_at.ms(), run.id), BacktestRun::wrap))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct StartBacktestInput {
    /// Key of a slot of the charter in force that qualifies leads.
    slot: String,
    /// The candidate: a version that passed its checks. It needs no deployment.
    digest: Digest,
    /// The candidate's settings as JSON.
    settings: String,
    /// Only leads that were looked at at this instant or later.
    from: Option<Instant>,
    /// Only leads that were looked at before this instant.
    to: Option<Instant>,
    /// The newest so many leads at most, 1 to 5,000,000; 1,000,000 without.
    limit: Option<Long>,
    /// Only leads that matched this persona then.
    persona: Option<String>,
    /// Only leads that came from this campaign.
    campaign: Option<String>,
    /// Only leads of this source.
    source: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct BacktestPayload {
    /// The run as it stands; `backtestProgress` tells how it goes on.
    run: Option<BacktestRun>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct BacktestMutation;

#[Object]
impl BacktestMutation {
    /// Begins to try a version on the leads whose outcome is known by now, in the background: it judges their snapshots as of
    /// then, beside what answers for the slot today, and compares both with what people said later. Decisions on leads that
    /// come in meanwhile go first. A run that a restart cuts off starts again.
    async fn start_backtest(
        &self,
        ctx: &Context<'_>,
        input: StartBacktestInput,
    ) -> async_graphql::Result<BacktestPayload> {
        let StartBacktestInput {
            slot,
            digest,
            settings,
            from,
            to,
            limit,
            persona,
            campaign,
            source,
            idempotency_key,
        } = input;
        // What is no number of leads is refused as 0 is.
        let limit = limit.map_or(USUAL, |Long(limit)| u32::try_from(limit).unwrap_or(0));
        let scope = Scope { from, to, limit, persona, campaign, source };
        let once = once(ctx, "startBacktest", idempotency_key, &(&slot, digest, &settings, &scope))?;
        let start = Start { slot, digest, settings, scope };
        answer(ctx, backtest::start(app(ctx)?, viewer(ctx)?, once, start).await).await
    }

    /// Stops a backtest, also one that waits. One that is over stays as it is.
    async fn cancel_backtest(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<BacktestPayload> {
        let result = match id_of(&id, "id") {
            Ok(id) => backtest::cancel(app(ctx)?, viewer(ctx)?, id).await.map(|()| id),
            Err(refused) => Err(refused.into()),
        };
        answer(ctx, result).await
    }
}

async fn answer(
    ctx: &Context<'_>,
    result: Result<uuid::Uuid, crate::flows::Error>,
) -> async_graphql::Result<BacktestPayload> {
    let (id, errors) = payload(result)?;
    let run = match id {
        Some(id) => found(app(ctx)?, id).await?,
        None => None,
    };
    Ok(BacktestPayload { run, errors })
}

#[derive(Default)]
pub struct BacktestSubscription;

#[Subscription]
impl BacktestSubscription {
    /// A backtest as it stands now, and whenever it got further, until it is over; the last one has the report.
    async fn backtest_progress(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<BacktestRun>> + use<>> {
        read_viewer(ctx)?;
        let app = app(ctx)?.clone();
        let id = id_of(&id, "id").map_err(|refused| failure(refused.into()))?;
        let first = run_of(&app, id).await?.ok_or_else(|| super::not_found("backtest"))?;
        let look = move || {
            let app = app.clone();
            async move { run_of(&app, id).await }
        };
        Ok(progress(first, look, |run| run.status.is_over()).map(|run| run.map(BacktestRun::wrap)))
    }
}
