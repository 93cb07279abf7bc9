//! Conversion rates by cohorts.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::calendar::Date;
use handfast_domain::conversion::{CohortPeriod, CohortRow, Converted};
use handfast_domain::dimension::Dimension;
use handfast_domain::metric::MetricKey;
use handfast_domain::quantile::days;
use handfast_domain::report::ExportFormat;
use handfast_domain::stage::StageKind;

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, grouping, points, shown, window};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::conversion;
use crate::flows::lookback::Lookback;

/// How many of the cycles that entered a stage in the window came to another one until now, by cohorts of the days on which
/// they entered it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Conversion {
    /// The agreement in force: what its stages mean is what is counted.
    charter: FunnelCharter,
    window: ReportWindow,
    /// The stage that cycles entered.
    from: StageKind,
    /// The stage that they came to, or beyond it.
    to: StageKind,
    cohort: CohortPeriod,
    by: Option<Dimension>,
    /// Days within which nine in ten conversions of the report happened, with two places; null where nothing was converted.
    takes_days: Option<String>,
    /// Number of cohorts.
    cohort_count: Long,
    #[graphql(skip)]
    found: Arc<Converted>,
}

/// The cycles of one period and key, and what became of them.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConversionCohort {
    /// First day of the period in the charter's time zone; null for all periods together.
    begins: Option<Date>,
    /// Null for cycles that do not say, and without `by`.
    key: Option<String>,
    /// Whether these are the keys beyond the 1,000 that are told apart.
    others: bool,
    /// Cycles that entered the stage in the period.
    entered: Long,
    /// Of them, those that came to the other stage until now.
    reached: Long,
    /// `reached` of `entered` in basis points; null where nothing entered.
    rate_basis_points: Option<i32>,
    /// Lower end of the rate's interval of 95 %, in basis points.
    low: i32,
    /// Upper end of the rate's interval of 95 %, in basis points.
    high: i32,
    /// Days that half of the conversions took at most, with two places.
    median_days: Option<String>,
    /// The cohort is younger than it takes: its rate will rise.
    immature: bool,
}

impl ConversionCohort {
    fn wrap(row: &CohortRow) -> Inline<ConversionCohort> {
        let interval = row.share.interval();
        Inline(ConversionCohort {
            begins: row.begins.and_then(Date::from_days),
            key: row.group.key().map(str::to_owned),
            others: row.group.is_others(),
            entered: count(row.share.of),
            reached: count(row.share.count),
            rate_basis_points: (row.share.of > 0).then(|| row.share.basis_points()),
            low: points(interval.low),
            high: points(interval.high),
            median_days: row.median.map(days),
            immature: row.immature,
        })
    }
}

#[ComplexObject]
impl Conversion {
    /// The cohorts, the earliest first.
    async fn cohorts(
        &self,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<ConversionCohort>>> {
        Ok(self.found.rows.iter().take(shown(first, 500)?).map(ConversionCohort::wrap).collect())
    }

    /// All periods together, by key: the largest first.
    async fn totals(
        &self,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<ConversionCohort>>> {
        Ok(self.found.totals.iter().take(shown(first, 200)?).map(ConversionCohort::wrap).collect())
    }

    /// All rows as a table: `row` is COHORT, or ALL for all periods together, each with _OTHERS for keys beyond the 1,000 that
    /// are told apart.
    async fn export(&self, format: ExportFormat) -> String {
        conversion::table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::ConversionRate, MetricKey::ConversionTime])
    }
}

#[derive(Default)]
pub struct ConversionQuery;

#[Object]
impl ConversionQuery {
    /// How many of the cycles that entered a stage in the window came to another one, by cohorts. Skipped stages count as
    /// entered, as the log has them.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn conversion(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Not ANONYMOUS.")] from: StageKind,
        #[graphql(desc = "A later stage.")] to: StageKind,
        #[graphql(desc = "The period of a cohort.", default_with = "CohortPeriod::Month")]
        cohort: CohortPeriod,
        window: Option<WindowInput>,
        by: Option<Dimension>,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<Conversion> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, by, trait_key)?;
        let found = conversion::conversion(Lookback::on(app, window), (from, to), cohort, &grouping)
            .await
            .map_err(failure)?;
        Ok(Conversion {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            from,
            to,
            cohort,
            by,
            takes_days: found.takes.map(days),
            cohort_count: count(found.rows.len() as u64),
            found: Arc::new(found),
        })
    }
}
