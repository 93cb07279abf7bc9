//! What audiences came to: who belongs to each, what the campaigns planned for it brought, and what that cost.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::report::ExportFormat;

use super::attribution::roi;
use super::audience::Audience;
use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::passage::{ReportWindow, WindowInput, window};
use super::problem::failure;
use super::scalar::{Long, Money};
use super::{app, read_viewer};
use crate::flows::audience_results::{self, Came, Row};
use crate::flows::lookback::Lookback;
use crate::workspace::Workspace;

/// Leads whose first cycle opened in the window, and what became of them until now.
#[derive(Clone, Debug, SimpleObject)]
pub struct AudienceCame {
    leads: Long,
    /// Cycles of these leads that reached MQL, be it at once.
    mql: Long,
    /// Cycles that sales accepted.
    sal: Long,
    /// Cycles that sales qualified.
    sql: Long,
    /// Cycles that became a deal.
    opportunities: Long,
    /// Deals that were won.
    won: Long,
    /// Amounts of the deals that were won, as far as they are known.
    revenue: Money,
}

/// What one audience came to.
#[derive(Clone, SimpleObject)]
pub struct AudienceResult {
    /// Null for leads that belong to none, and for campaigns that were planned for none.
    audience: Option<Audience>,
    /// Leads that pass the audience's tests, by what is known of them now. One lead may belong to several audiences.
    members: AudienceCame,
    /// Leads that campaigns brought which were planned for the audience, whether they belong to it or not. They add up over all rows.
    brought: AudienceCame,
    /// What the campaigns that began in the window and were planned for the audience cost.
    cost: Money,
    /// Revenue of `brought` less cost, of cost, in basis points: 0 is the money back, 10000 twice of it. Null without cost.
    roi_basis_points: Option<Long>,
}

/// What audiences came to in a window.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct AudienceResults {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    /// By key of the audience; the last row is nobody's.
    rows: Vec<AudienceResult>,
    #[graphql(skip)]
    found: Arc<Vec<Row>>,
}

#[ComplexObject]
impl AudienceResults {
    /// All rows as a table: one for the members of each audience, and one for what its campaigns brought.
    async fn export(&self, ctx: &Context<'_>, format: ExportFormat) -> async_graphql::Result<String> {
        let currency = app(ctx)?.workspace().charter.body.currency.clone();
        Ok(audience_results::table(&self.found, &currency).write(format))
    }
}

fn wrap(workspace: &Workspace, row: &Row) -> AudienceResult {
    let currency = &workspace.charter.body.currency;
    let money = |minor: i64| Money { amount_minor: Long(minor), currency: currency.clone() };
    let came = |came: &Came| AudienceCame {
        leads: Long(came.leads),
        mql: Long(came.mql),
        sal: Long(came.sal),
        sql: Long(came.sql),
        opportunities: Long(came.opportunities),
        won: Long(came.won),
        revenue: money(came.revenue_minor),
    };
    let audience = row.audience.and_then(|id| workspace.audiences.iter().find(|one| one.id == id));
    AudienceResult {
        audience: audience.cloned().map(Audience::wrap),
        members: came(&row.members),
        brought: came(&row.brought),
        cost: money(row.cost_minor),
        roi_basis_points: roi(row.brought.revenue_minor, row.cost_minor),
    }
}

#[derive(Default)]
pub struct AudienceResultsQuery;

#[Object]
impl AudienceResultsQuery {
    /// Which audiences are worth their campaigns: who came of each in the window, how far, and what it cost.
    async fn audience_results(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<Inline<AudienceResults>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = self::window(app, window)?;
        let found = audience_results::results(Lookback::on(app, window)).await.map_err(failure)?;
        let workspace = app.workspace();
        Ok(Inline(AudienceResults {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            rows: found.iter().map(|row| wrap(&workspace, row)).collect(),
            found: Arc::new(found),
        }))
    }
}
