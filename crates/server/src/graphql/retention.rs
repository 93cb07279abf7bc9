//! Whether customers stay and come back.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::calendar::Date;
use handfast_domain::conversion::{CohortPeriod, CohortRow};
use handfast_domain::customer::ChurnReason;
use handfast_domain::dimension::Dimension;
use handfast_domain::metric::MetricKey;
use handfast_domain::quantile::days;
use handfast_domain::report::ExportFormat;

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, grouping, points, shown, window};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::lookback::Lookback;
use crate::flows::retention::{self, Found};

/// Whether the leads that were won for the first time in the window are still customers, and whether they bought again until now.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Retention {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    cohort: CohortPeriod,
    by: Option<Dimension>,
    /// Customers of the window that became advocates.
    advocates: Long,
    /// How often customers of the window renewed.
    renewed: Long,
    #[graphql(skip)]
    found: Arc<Found>,
}

/// The share of customers that stays for a time: the estimate of Kaplan and Meier (1958), in which whoever has not left yet counts for as
/// long as it has been a customer.
#[derive(Clone, Debug, SimpleObject)]
pub struct CustomersKept {
    /// Days since the first win.
    days: i32,
    /// Customers that were seen for so long: the figure rests on them.
    at_risk: Long,
    /// The share that has not left by then, in basis points.
    basis_points: i32,
    /// Lower end of its interval of 95 %, in basis points.
    low: i32,
    /// Upper end of its interval of 95 %, in basis points.
    high: i32,
}

/// Why customers left.
#[derive(Clone, Debug, SimpleObject)]
pub struct ChurnCount {
    reason: ChurnReason,
    /// Those that left for it and were not won back.
    customers: Long,
}

/// Customers whose first win lies in one period.
#[derive(Clone, Debug, SimpleObject)]
pub struct RetentionCohort {
    /// First day of the period in the charter's time zone; null for all periods together.
    begins: Option<Date>,
    /// Null for customers that do not say, and without `by`.
    key: Option<String>,
    /// Whether these are the keys beyond the 1,000 that are told apart.
    others: bool,
    /// Leads that were won for the first time.
    customers: Long,
    /// Of them, those that were won again until now.
    returned: Long,
    /// `returned` of `customers` in basis points; null without customers.
    rate_basis_points: Option<i32>,
    /// Lower end of the rate's interval of 95 %, in basis points.
    low: i32,
    /// Upper end of the rate's interval of 95 %, in basis points.
    high: i32,
    /// Days from the first win to the next that half of those who returned took at most, with two places.
    median_days: Option<String>,
    /// The cohort is younger than it takes to return: its rate will rise.
    immature: bool,
    /// Of the customers, those that left until now, be it that they were won back.
    churned: Long,
    /// `churned` of `customers` in basis points; null without customers.
    churn_basis_points: Option<i32>,
}

impl RetentionCohort {
    fn wrap((row, churned): (&CohortRow, &CohortRow)) -> Inline<RetentionCohort> {
        let rate = |row: &CohortRow| (row.share.of > 0).then(|| row.share.basis_points());
        let interval = row.share.interval();
        Inline(RetentionCohort {
            begins: row.begins.and_then(Date::from_days),
            key: row.group.key().map(str::to_owned),
            others: row.group.is_others(),
            customers: count(row.share.of),
            returned: count(row.share.count),
            rate_basis_points: rate(row),
            low: points(interval.low),
            high: points(interval.high),
            median_days: row.median.map(days),
            immature: row.immature,
            churned: count(churned.share.count),
            churn_basis_points: rate(churned),
        })
    }
}

#[ComplexObject]
impl Retention {
    /// The cohorts, the earliest first.
    async fn cohorts(
        &self,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<RetentionCohort>>> {
        Ok(self.found.rows().take(shown(first, 500)?).map(RetentionCohort::wrap).collect())
    }

    /// All periods together, by key: the largest first.
    async fn totals(
        &self,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<RetentionCohort>>> {
        Ok(self.found.totals().take(shown(first, 200)?).map(RetentionCohort::wrap).collect())
    }

    /// The share that stays for 30, 90, 180, 365, 730 and 1,095 days, as far as anybody was seen for so long.
    async fn kept(&self) -> Vec<Inline<CustomersKept>> {
        let kept = self.found.kept.iter().map(|one| CustomersKept {
            days: super::small(one.days),
            at_risk: count(one.at_risk),
            basis_points: points(one.share),
            low: points(one.interval.low),
            high: points(one.interval.high),
        });
        kept.map(Inline).collect()
    }

    /// Why those left that did not come back, the most frequent reason first.
    async fn churn_reasons(&self) -> Vec<Inline<ChurnCount>> {
        let reasons = self.found.reasons.iter();
        reasons
            .map(|(reason, customers)| Inline(ChurnCount { reason: *reason, customers: count(*customers) }))
            .collect()
    }

    /// All rows as a table: `row` is COHORT, or ALL for all periods together, each with _OTHERS for keys beyond the 1,000 that
    /// are told apart.
    async fn export(&self, format: ExportFormat) -> String {
        retention::table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::Retention, MetricKey::Kept])
    }
}

#[derive(Default)]
pub struct RetentionQuery;

#[Object]
impl RetentionQuery {
    /// Whether customers stay and come back: those that were won for the first time in the window, by cohorts.
    async fn retention(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The period of a cohort.", default_with = "CohortPeriod::Quarter")]
        cohort: CohortPeriod,
        window: Option<WindowInput>,
        by: Option<Dimension>,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<Retention> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, by, trait_key)?;
        let found =
            retention::retention(Lookback::on(app, window), cohort, &grouping).await.map_err(failure)?;
        Ok(Retention {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            cohort,
            by,
            advocates: count(found.advocates),
            renewed: count(found.renewals),
            found: Arc::new(found),
        })
    }
}
