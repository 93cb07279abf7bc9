//! Effort: the time that sales spends on leads, beside what comes of it.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::dimension::Dimension;
use handfast_domain::effort::{Effort as Entry, EffortFound, EffortKind, EffortRow as Counted};
use handfast_domain::metric::MetricKey;
use handfast_domain::report::ExportFormat;
use handfast_domain::share::basis_points;
use handfast_domain::time::Instant;
use handfast_store::effort as store;

use super::directory::User;
use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::lead::LeadRef;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, grouping, shown, window};
use super::problem::{UserError, failure, payload};
use super::scalar::{Long, Money, global, local};
use super::{app, ask, read_viewer, small, viewer};
use crate::app::App;
use crate::flows::effort::{self, Spent};
use crate::flows::lookback::Lookback;
use crate::flows::{Error, lead, scope};
use crate::workspace::Workspace;

/// Time that somebody of sales spent on a lead.
#[derive(Clone, Debug, SimpleObject)]
pub struct Effort {
    pub id: ID,
    /// How long it took.
    minutes: Long,
    kind: EffortKind,
    /// When the work was done.
    at: Instant,
    /// Who spent it.
    user: Option<Inline<User>>,
    /// The cycle that was open then.
    cycle: i32,
    lead_id: ID,
    recorded_at: Instant,
    /// It counts no more since then.
    withdrawn_at: Option<Instant>,
}

impl Effort {
    fn wrap(workspace: &Workspace, entry: &Entry) -> Effort {
        Effort {
            id: global("Effort", entry.id),
            minutes: Long(i64::from(entry.minutes)),
            kind: entry.kind,
            at: entry.at,
            user: workspace.directory.user(entry.user).map(User::wrap).map(Inline),
            cycle: small(entry.cycle),
            lead_id: global("Lead", entry.lead),
            recorded_at: entry.recorded_at,
            withdrawn_at: entry.withdrawn_at,
        }
    }
}

/// The time that went to one lead.
#[derive(Clone, Debug, SimpleObject)]
pub struct LeadEffort {
    /// All of it, without what was withdrawn.
    minutes: Long,
    /// The newest entries, with those that were withdrawn.
    entries: Vec<Inline<Effort>>,
}

impl LeadEffort {
    pub async fn of(app: &App, lead: uuid::Uuid, first: i64) -> async_graphql::Result<LeadEffort> {
        let (db, workspace) = (app.store.read(), app.workspace());
        let found = async {
            let entries = store::of_lead(db, lead, first).await?;
            Ok::<_, handfast_store::StoreError>((store::minutes_of(db, lead).await?, entries))
        };
        let (minutes, entries) = found.await.map_err(|error| failure(error.into()))?;
        let entries = entries.iter().map(|entry| Inline(Effort::wrap(&workspace, entry))).collect();
        Ok(LeadEffort { minutes: Long(minutes), entries })
    }
}

/// What sales' time went to, and what came of it: entries of the window, deals that were won in it, and deals that are open now.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct EffortReport {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    by: Vec<Dimension>,
    /// Everything together.
    total: EffortRow,
    /// Of all minutes, those on poor prospects, in basis points; null without any. A poor prospect is a cycle that ended DISQUALIFIED,
    /// or RECYCLED before there was an opportunity.
    poor_share_basis_points: Option<i32>,
    /// Number of rows.
    row_count: Long,
    #[graphql(skip)]
    found: Arc<EffortFound>,
    #[graphql(skip)]
    workspace: Arc<Workspace>,
}

/// Time and deals that are counted together.
#[derive(Clone, Debug, SimpleObject)]
pub struct EffortRow {
    /// A value for each dimension, in their order; null where cycles do not say. By OWNER and TEAM time counts for whoever spent it, and
    /// deals for whoever has their lead now. Empty for the others.
    values: Vec<Option<String>>,
    /// Whether these are the combinations beyond the 1,000 that are told apart.
    others: bool,
    /// Minutes that were logged for work in the window.
    minutes: Long,
    /// Of them, those on poor prospects.
    poor_minutes: Long,
    /// Leads that they were spent on.
    leads: Long,
    /// Of all minutes, in basis points; null without any.
    share_basis_points: Option<i32>,
    /// Deals that were won in the window.
    won: Long,
    /// What they were won with.
    revenue: Money,
    /// Minutes for each deal that was won, to the nearest; null without one.
    minutes_per_win: Option<Long>,
    /// Deals that are open now, whether time was spent on them or not.
    open_deals: Long,
    /// What they are worth.
    pipeline_value: Money,
}

impl EffortRow {
    fn wrap(workspace: &Workspace, row: &Counted) -> EffortRow {
        let money = |minor: i64| Money {
            amount_minor: Long(minor),
            currency: workspace.charter.body.currency.clone(),
        };
        EffortRow {
            values: row.group.values().to_vec(),
            others: row.group.is_others(),
            minutes: Long(row.minutes),
            poor_minutes: Long(row.poor_minutes),
            leads: count(row.leads),
            share_basis_points: row.share,
            won: count(row.won),
            revenue: money(row.revenue_minor),
            minutes_per_win: row.per_win().map(Long),
            open_deals: count(row.open),
            pipeline_value: money(row.pipeline_minor),
        }
    }
}

#[ComplexObject]
impl EffortReport {
    /// Those with the most time first; the others last.
    async fn rows(
        &self,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<EffortRow>>> {
        let row = |row: &Counted| Inline(EffortRow::wrap(&self.workspace, row));
        Ok(self.found.rows.iter().take(shown(first, 500)?).map(row).collect())
    }

    /// All rows as a table; `row` is KEY, or OTHERS for combinations beyond the 1,000 that are told apart.
    async fn export(&self, format: ExportFormat) -> String {
        let currency = &self.workspace.charter.body.currency;
        effort::table(&self.by, &self.found.rows, currency).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        use MetricKey::{Effort, EffortPerWin, OpenPipeline, PoorEffort, Revenue};
        definitions(&[Effort, PoorEffort, EffortPerWin, Revenue, OpenPipeline])
    }
}

#[derive(Default)]
pub struct EffortQuery;

#[Object]
impl EffortQuery {
    /// What sales' time goes to, and what comes of it: by OUTCOME or REASON what was in vain, by SCORE_BAND or STAGE what better deals
    /// got less of it.
    async fn effort_by(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Up to three dimensions, each once; everything together without.")] by: Option<
            Vec<Dimension>,
        >,
        window: Option<WindowInput>,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<EffortReport> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, by.unwrap_or_default(), trait_key)?;
        let found = effort::effort_by(Lookback::on(app, window), &grouping).await.map_err(failure)?;
        let all = &found.all;
        Ok(EffortReport {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            by: grouping.by,
            total: EffortRow::wrap(&workspace, all),
            poor_share_basis_points: poor_share(all.minutes, all.poor_minutes),
            row_count: count(found.rows.len() as u64),
            found: Arc::new(found),
            workspace,
        })
    }
}

/// Of all minutes, those on poor prospects; none without any.
pub fn poor_share(minutes: i64, poor: i64) -> Option<i32> {
    if minutes > 0 { basis_points(poor, minutes) } else { None }
}

#[derive(Clone, Debug, InputObject)]
pub struct LogEffortInput {
    lead: LeadRef,
    /// 1 to 1440; to correct an entry withdraw it.
    minutes: Long,
    kind: EffortKind,
    /// When the work was done; now without. It counts for the cycle that was open then.
    at: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct WithdrawEffortInput {
    /// An entry of your own.
    effort: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct EffortPayload {
    /// The entry as it is now; null when it was refused or only tried, or when your token may not read leads.
    effort: Option<Effort>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct EffortMutation;

#[Object]
impl EffortMutation {
    /// Sales logs time that it spent on a lead, be its cycle open or not.
    async fn log_effort(
        &self,
        ctx: &Context<'_>,
        input: LogEffortInput,
    ) -> async_graphql::Result<EffortPayload> {
        let LogEffortInput { lead: of, minutes: Long(minutes), kind, at, idempotency_key, dry_run } = input;
        let asked = (format!("{of:?}"), minutes, kind, at);
        let ask = ask(ctx, "logEffort", idempotency_key, dry_run, &asked)?;
        let app = app(ctx)?;
        let logged = async {
            // Whoever may not write learns nothing of leads.
            ask.viewer.require(scope::LEADS_WRITE)?;
            let of = lead::find(app, &of.key()?).await?;
            effort::log(app, &ask, of, Spent { minutes, kind, at }).await
        };
        let (logged, errors) = payload(logged.await)?;
        answered(ctx, logged.flatten(), errors).await
    }

    /// Takes an entry of time back: it counts no more, and stays to be seen.
    async fn withdraw_effort(
        &self,
        ctx: &Context<'_>,
        input: WithdrawEffortInput,
    ) -> async_graphql::Result<EffortPayload> {
        let WithdrawEffortInput { effort: id, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "withdrawEffort", idempotency_key, dry_run, &id.0)?;
        let withdrawn = async {
            let id = local("Effort", &id, "input/effort").map_err(Error::from)?;
            effort::withdraw(app(ctx).map_err(|_| Error::fault("no product"))?, &ask, id).await
        };
        let (withdrawn, errors) = payload(withdrawn.await)?;
        answered(ctx, withdrawn, errors).await
    }
}

async fn answered(
    ctx: &Context<'_>,
    id: Option<uuid::Uuid>,
    errors: Vec<UserError>,
) -> async_graphql::Result<EffortPayload> {
    let Some(id) = id.filter(|_| viewer(ctx).is_ok_and(|viewer| viewer.may(scope::LEADS_READ))) else {
        return Ok(EffortPayload { effort: None, errors });
    };
    let app = app(ctx)?;
    let found = store::find(app.store.read(), id).await.map_err(|error| failure(error.into()))?;
    let workspace = app.workspace();
    Ok(EffortPayload { effort: found.map(|entry| Effort::wrap(&workspace, &entry)), errors })
}
