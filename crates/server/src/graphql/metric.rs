//! What the figures mean.

use async_graphql::{Context, Object, SimpleObject};
use handfast_domain::metric::{METRICS, Metric, MetricKey, metric};

use super::inline::Inline;
use super::read_viewer;

/// What a figure means.
#[derive(Clone, Debug, SimpleObject)]
pub struct MetricDefinition {
    #[graphql(flatten)]
    metric: Metric,
    /// Fields of the root that tell it.
    told_by: Vec<&'static str>,
}

impl MetricDefinition {
    fn wrap(metric: &Metric) -> Inline<MetricDefinition> {
        Inline(MetricDefinition { metric: *metric, told_by: metric.told_by.to_vec() })
    }
}

#[derive(Default)]
pub struct MetricQuery;

#[Object]
impl MetricQuery {
    /// What every figure of the reports means: formula, unit, origin. Both sides get the same.
    async fn metric_definitions(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Inline<MetricDefinition>>> {
        read_viewer(ctx)?;
        Ok(METRICS.iter().map(MetricDefinition::wrap).collect())
    }

    /// What one figure means.
    async fn metric_definition(
        &self,
        ctx: &Context<'_>,
        key: MetricKey,
    ) -> async_graphql::Result<Option<Inline<MetricDefinition>>> {
        read_viewer(ctx)?;
        Ok(metric(key).map(MetricDefinition::wrap))
    }
}

/// The definitions of a report's figures.
pub fn definitions(keys: &[MetricKey]) -> Vec<Inline<MetricDefinition>> {
    keys.iter().filter_map(|key| metric(*key)).map(MetricDefinition::wrap).collect()
}
