//! What is lost at the hand-off, and whether signed criteria still tell whom sales accepts.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::drift::{CriterionDrift as Judged, Drift, Prediction};
use handfast_domain::handoff::HandoffStatus;
use handfast_domain::leakage::{Leakage, LeakageRow};
use handfast_domain::metric::MetricKey;
use handfast_domain::report::ExportFormat;
use handfast_domain::share::Share;

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, points, window};
use super::problem::failure;
use super::scalar::{Long, Money};
use super::{app, read_viewer};
use crate::flows::leakage;
use crate::flows::lookback::Lookback;
use crate::workspace::Workspace;

/// What became of the hand-offs that were offered in the window, and what was lost with those that leaked.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct HandoffLeakage {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    /// Hand-offs that were offered in the window.
    offered: Long,
    /// Of them, those that sales took on.
    accepted: Long,
    /// Of them, those that were lost on the way: REJECTED, RETURNED or EXPIRED.
    leaked: Long,
    /// `leaked` of `offered` in basis points; null where nothing was offered.
    leaked_basis_points: Option<i32>,
    /// What an accepted hand-off of the window brought on average until now: the measure of what the others were worth.
    per_accepted: Money,
    /// The most frequent first.
    rows: Vec<HandoffLeakageRow>,
    #[graphql(skip)]
    found: Arc<Vec<LeakageRow>>,
}

/// Hand-offs that went the same way.
#[derive(Clone, Debug, SimpleObject)]
pub struct HandoffLeakageRow {
    status: HandoffStatus,
    /// Disposition reason of a rejection.
    reason: Option<String>,
    /// Hand-offs that went so.
    handoffs: Long,
    /// Of all that were offered, in basis points.
    share_basis_points: i32,
    /// What as many accepted hand-offs brought, for those that were lost on the way; 0 for the others. An estimate.
    value: Money,
}

#[ComplexObject]
impl HandoffLeakage {
    /// All rows as a table.
    async fn export(&self, format: ExportFormat) -> String {
        leakage::leakage_table(&self.found, &self.per_accepted.currency).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::HandoffLeakage])
    }
}

fn wrap(workspace: &Workspace, window: ReportWindow, found: &Leakage) -> HandoffLeakage {
    let rows = found.rows();
    let currency = workspace.charter.body.currency.clone();
    let money = |minor: i64| Money { amount_minor: Long(minor), currency: currency.clone() };
    let row = |row: &LeakageRow| HandoffLeakageRow {
        status: row.status,
        reason: row.reason.clone(),
        handoffs: count(row.share.count),
        share_basis_points: row.share.basis_points(),
        value: money(row.value_minor),
    };
    HandoffLeakage {
        charter: FunnelCharter::of(workspace),
        window,
        offered: count(found.offered),
        accepted: count(found.accepted),
        leaked: count(found.lost()),
        leaked_basis_points: (found.offered > 0)
            .then(|| Share::of(found.lost(), found.offered).basis_points()),
        per_accepted: money(found.per_accepted()),
        rows: rows.iter().map(row).collect(),
        found: Arc::new(rows),
    }
}

/// Whether the criteria that both sides signed still tell whom sales accepts: the answers to hand-offs of the window, beside the
/// criteria of the look that each came from, as evaluations stored them.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct DefinitionDrift {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    /// Hand-offs that sales accepted.
    accepted: Long,
    /// Hand-offs that sales rejected; one that was returned for want of context is no word about the lead.
    rejected: Long,
    /// Accepted leads that missed a criterion, required or not.
    accepted_missing: Long,
    /// Rejected leads that met all criteria.
    rejected_meeting_all: Long,
    /// Answers about leads that no criterion had looked at.
    without_criteria: Long,
    /// Those that no longer tell anything first.
    criteria: Vec<CriterionDrift>,
    #[graphql(skip)]
    found: Arc<Drift>,
}

/// A criterion beside the answers of sales.
#[derive(Clone, Debug, SimpleObject)]
pub struct CriterionDrift {
    /// Key of the criterion, stable over charters.
    key: String,
    /// In words, as it was at the newest answer.
    text: String,
    /// Whether it could hold a lead back.
    required: bool,
    /// Answers about leads that met it.
    met: Long,
    /// Of them, accepted.
    met_accepted: Long,
    /// Answers about leads that missed it.
    missed: Long,
    /// Of them, accepted.
    missed_accepted: Long,
    /// Share of the accepted among those that met it, less that among those that missed it, in basis points.
    difference_basis_points: i32,
    /// Lower end of the difference's interval of 95 %, in basis points.
    low: i32,
    /// Upper end of the difference's interval of 95 %, in basis points.
    high: i32,
    prediction: Prediction,
}

impl CriterionDrift {
    fn wrap(one: &Judged) -> CriterionDrift {
        let (difference, interval) = one.met.above(one.missed);
        CriterionDrift {
            key: one.key.clone(),
            text: one.text.clone(),
            required: one.required,
            met: count(one.met.of),
            met_accepted: count(one.met.count),
            missed: count(one.missed.of),
            missed_accepted: count(one.missed.count),
            difference_basis_points: points(difference),
            low: points(interval.low),
            high: points(interval.high),
            prediction: one.prediction(),
        }
    }
}

#[ComplexObject]
impl DefinitionDrift {
    /// All criteria as a table.
    async fn export(&self, format: ExportFormat) -> String {
        leakage::drift_table(&self.found.criteria()).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::DefinitionDrift])
    }
}

#[derive(Default)]
pub struct LeakageQuery;

#[Object]
impl LeakageQuery {
    /// What is lost in the transition from marketing to sales: hand-offs of the window by what became of them.
    async fn handoff_leakage(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<HandoffLeakage> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = self::window(app, window)?;
        let found = leakage::leakage(Lookback::on(app, window)).await.map_err(failure)?;
        Ok(wrap(&app.workspace(), window.into(), &found))
    }

    /// Whether the signed criteria still tell whom sales accepts.
    async fn definition_drift(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<DefinitionDrift> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = self::window(app, window)?;
        let found = leakage::drift(Lookback::on(app, window)).await.map_err(failure)?;
        Ok(DefinitionDrift {
            charter: FunnelCharter::of(&app.workspace()),
            window: window.into(),
            accepted: count(found.accepted),
            rejected: count(found.rejected),
            accepted_missing: count(found.accepted_missing),
            rejected_meeting_all: count(found.rejected_meeting_all),
            without_criteria: count(found.without_criteria),
            criteria: found.criteria().into_iter().map(CriterionDrift::wrap).collect(),
            found: Arc::new(found),
        })
    }
}
