//! The follow-up rate: of the leads that sales was given, those that it turned to.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::dimension::Dimension;
use handfast_domain::follow_up_rate::FollowUpRow as Counted;
use handfast_domain::metric::MetricKey;
use handfast_domain::quantile::minutes;
use handfast_domain::report::ExportFormat;

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, grouping, points, shown, window};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::follow_up_rate;
use crate::flows::lookback::Lookback;

/// How sales follows up on what marketing hands over: the hand-offs that were offered in the window.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct FollowUpReport {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    group_by: Dimension,
    /// Number of rows.
    row_count: Long,
    #[graphql(skip)]
    found: Arc<Vec<Counted>>,
}

/// Leads that were assigned to the same key.
#[derive(Clone, Debug, SimpleObject)]
pub struct FollowUpRow {
    /// By OWNER and TEAM whoever had the lead then; null for a queue, and for leads that do not say.
    key: Option<String>,
    /// Whether these are the keys beyond the 1,000 that are told apart.
    others: bool,
    /// Leads that were given to it: by a hand-off, or because the time of another one was over. Without `withdrawn`.
    assigned: Long,
    /// Of them, those that nobody touched yet and whose time still runs.
    pending: Long,
    /// Of them, those that were touched, in time or not: a human outbound activity, an automated one only if the lead wrote first, or
    /// a disposition.
    touched: Long,
    /// `touched` of `assigned` without `pending`, in basis points; null without any.
    rate_basis_points: Option<i32>,
    /// Lower end of the rate's interval of 95 %, in basis points.
    low: i32,
    /// Upper end of the rate's interval of 95 %, in basis points.
    high: i32,
    /// Promises FIRST_TOUCH that were broken.
    breached: Long,
    /// Leads that were taken back before they were due; they count for nothing.
    withdrawn: Long,
    /// Half of the assigned leads were tried no more often in their cycle until now.
    median_attempts: Option<Long>,
    /// Minutes of wall-clock time that half of the touched leads waited at most, with two places.
    median_minutes: Option<String>,
}

impl FollowUpRow {
    fn wrap(row: &Counted) -> Inline<FollowUpRow> {
        let interval = row.rate.interval();
        Inline(FollowUpRow {
            key: row.group.key().map(str::to_owned),
            others: row.group.is_others(),
            assigned: count(row.assigned),
            pending: count(row.pending),
            touched: count(row.rate.count),
            rate_basis_points: (row.rate.of > 0).then(|| row.rate.basis_points()),
            low: points(interval.low),
            high: points(interval.high),
            breached: count(row.breached),
            withdrawn: count(row.withdrawn),
            median_attempts: row.median_attempts.map(Long),
            median_minutes: row.median_wait.map(minutes),
        })
    }
}

#[ComplexObject]
impl FollowUpReport {
    /// Those with the most leads first; the others last.
    async fn rows(
        &self,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<FollowUpRow>>> {
        Ok(self.found.iter().take(shown(first, 500)?).map(FollowUpRow::wrap).collect())
    }

    /// All rows as a table; `row` is KEY, or OTHERS for keys beyond the 1,000 that are told apart.
    async fn export(&self, format: ExportFormat) -> String {
        follow_up_rate::table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::FollowUpRate, MetricKey::FirstTouchTime, MetricKey::AttemptsMade])
    }
}

#[derive(Default)]
pub struct FollowUpRateQuery;

#[Object]
impl FollowUpRateQuery {
    /// Whether sales turns to the leads that it is given, how fast and how often: the hand-offs of the window.
    async fn follow_up(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
        #[graphql(default_with = "Dimension::Owner")] group_by: Dimension,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<FollowUpReport> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, [group_by], trait_key)?;
        let found = follow_up_rate::follow_up(Lookback::on(app, window), &grouping).await.map_err(failure)?;
        Ok(FollowUpReport {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            group_by,
            row_count: count(found.len() as u64),
            found: Arc::new(found),
        })
    }
}
