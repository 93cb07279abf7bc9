//! How fast the funnel flows, where it is narrowest, and which ways buyers take through it.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::dimension::Dimension;
use handfast_domain::metric::MetricKey;
use handfast_domain::quantile::{days, hours};
use handfast_domain::report::ExportFormat;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::velocity::{BOTTLENECK, Dwell, Leg, StageHealth as Judged, Way};

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, grouping, shown, window};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::lookback::Lookback;
use crate::flows::velocity::{self, Found};

/// How long cycles stayed at each stage: the stays that ended in the window.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Velocity {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    by: Option<Dimension>,
    #[graphql(skip)]
    found: Arc<Vec<Dwell>>,
}

/// The stays at one stage, in hours with two places.
#[derive(Clone, Debug, SimpleObject)]
pub struct StageDwell {
    stage: StageKind,
    /// Null for cycles that do not say, and without `by`.
    key: Option<String>,
    /// Whether these are the keys beyond the 1,000 that are told apart.
    others: bool,
    /// Stays that ended.
    stays: Long,
    /// Of them, those that ended with another stage; the others ended with their cycle.
    advanced: Long,
    /// Half of the stays were no longer.
    median_hours: Option<String>,
    /// Three in four were no longer.
    p75_hours: Option<String>,
    /// Nine in ten were no longer.
    p90_hours: Option<String>,
}

#[ComplexObject]
impl Velocity {
    /// In the order of the stages, then of the keys.
    async fn stages(
        &self,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<Vec<Inline<StageDwell>>> {
        let row = |one: &Dwell| {
            Inline(StageDwell {
                stage: one.stage,
                key: one.group.key().map(str::to_owned),
                others: one.group.is_others(),
                stays: count(one.count),
                advanced: count(one.advanced),
                median_hours: one.median.map(hours),
                p75_hours: one.p75.map(hours),
                p90_hours: one.p90.map(hours),
            })
        };
        Ok(self.found.iter().take(shown(first, 500)?).map(row).collect())
    }

    /// All rows as a table; `row` is KEY, or OTHERS for keys beyond the 1,000 that are told apart.
    async fn export(&self, format: ExportFormat) -> String {
        velocity::velocity_table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::StageDwell])
    }
}

/// Each stage of the charter: what came in, what went on, how long it took, and where the funnel is narrowest.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct FunnelHealth {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    /// In the charter's order, without ANONYMOUS: a visitor has no cycle yet.
    stages: Vec<StageHealth>,
    /// The stage that is the bottleneck; null where none had 30 entries.
    bottleneck: Option<StageKind>,
    /// By which rule, and where it comes from.
    bottleneck_rule: &'static str,
    #[graphql(skip)]
    found: Arc<Vec<Judged>>,
}

/// One stage and what became of those who entered it in the window.
#[derive(Clone, Debug, SimpleObject)]
pub struct StageHealth {
    stage: StageKind,
    /// The stage that comes next in the charter; null after the last.
    next: Option<StageKind>,
    /// Cycles that entered it, skipped stages included.
    volume: Long,
    /// Of them, those that came to the next stage or beyond it until now.
    advanced: Long,
    /// Of them, those that ended before.
    dropped: Long,
    /// `advanced` of `volume` in basis points; null where nothing entered, and after the last stage.
    rate_basis_points: Option<i32>,
    /// Median of the stays that ended, in hours with two places.
    median_hours: Option<String>,
    /// Whether the funnel is narrowest here.
    bottleneck: bool,
}

impl StageHealth {
    fn wrap(one: &Judged) -> StageHealth {
        StageHealth {
            stage: one.stage,
            next: one.next,
            volume: count(one.share.of),
            advanced: count(one.share.count),
            dropped: count(one.dropped),
            rate_basis_points: one.next.filter(|_| one.share.of > 0).map(|_| one.share.basis_points()),
            median_hours: one.median.map(hours),
            bottleneck: one.bottleneck,
        }
    }
}

#[ComplexObject]
impl FunnelHealth {
    /// All stages as a table.
    async fn export(&self, format: ExportFormat) -> String {
        velocity::health_table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        use MetricKey::{Bottleneck, ConversionRate, StageDwell, StageVolume};
        definitions(&[StageVolume, ConversionRate, StageDwell, Bottleneck])
    }
}

/// The ways that leads took through the funnel: those whose first cycle opened in the window.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct JourneyReport {
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    /// Leads that came in the window.
    leads: Long,
    /// Different ways that they took, of which 10,000 at most are told apart.
    ways: Long,
    /// Leads whose way was one too many to be told apart.
    others: Long,
    #[graphql(skip)]
    found: Arc<Found>,
}

/// Leads that went the same way.
#[derive(Clone, Debug, SimpleObject)]
pub struct JourneyWay {
    /// In one line: skipped stages in brackets, and how each cycle stands.
    path: String,
    /// The cycles, in order; of more than five the first five.
    cycles: Vec<JourneyCycle>,
    /// How the last of these cycles stands.
    outcome: CycleOutcome,
    /// Leads that went this way.
    leads: Long,
    /// Median from the first opening to the last ending, in days with two places; null while the newest cycle is open.
    median_days: Option<String>,
}

/// One cycle of a way.
#[derive(Clone, Debug, SimpleObject)]
pub struct JourneyCycle {
    /// The stages it came to, in order.
    stages: Vec<JourneyStage>,
    /// How it stands.
    outcome: CycleOutcome,
}

/// A stage of a way.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct JourneyStage {
    stage: StageKind,
    /// Whether a decision passed over it.
    skipped: bool,
}

impl JourneyWay {
    fn wrap(way: &Way) -> JourneyWay {
        let cycle = |leg: &Leg| JourneyCycle {
            stages: leg
                .stages
                .iter()
                .map(|(stage, skipped)| JourneyStage { stage: *stage, skipped: *skipped })
                .collect(),
            outcome: leg.outcome,
        };
        JourneyWay {
            path: velocity::path(&way.legs),
            cycles: way.legs.iter().map(cycle).collect(),
            outcome: way.legs.last().map_or(CycleOutcome::Open, |leg| leg.outcome),
            leads: count(way.leads),
            median_days: way.median.map(days),
        }
    }
}

#[ComplexObject]
impl JourneyReport {
    /// The ways that most leads took.
    async fn journeys(
        &self,
        #[graphql(desc = "1 to 200", default = 20)] first: i32,
    ) -> async_graphql::Result<Vec<JourneyWay>> {
        Ok(self.found.ways.iter().take(shown(first, 200)?).map(JourneyWay::wrap).collect())
    }

    /// All ways as a table.
    async fn export(&self, format: ExportFormat) -> String {
        velocity::journeys_table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::Journey])
    }
}

#[derive(Default)]
pub struct VelocityQuery;

#[Object]
impl VelocityQuery {
    /// How long cycles stayed at each stage: the stays that ended in the window, in hours.
    async fn velocity(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
        by: Option<Dimension>,
        #[graphql(name = "trait", desc = "Key of the trait, by TRAIT.")] trait_key: Option<String>,
    ) -> async_graphql::Result<Velocity> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let grouping = grouping(&workspace, by, trait_key)?;
        let found = velocity::velocity(Lookback::on(app, window), &grouping).await.map_err(failure)?;
        Ok(Velocity {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            by,
            found: Arc::new(found),
        })
    }

    /// What is wrong with the funnel: what enters each stage, what goes on, how long it takes, and the bottleneck.
    async fn funnel_health(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<FunnelHealth> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let (workspace, window) = (app.workspace(), self::window(app, window)?);
        let found = velocity::health(Lookback::on(app, window)).await.map_err(failure)?;
        Ok(FunnelHealth {
            charter: FunnelCharter::of(&workspace),
            window: window.into(),
            stages: found.iter().map(StageHealth::wrap).collect(),
            bottleneck: found.iter().find(|one| one.bottleneck).map(|one| one.stage),
            bottleneck_rule: BOTTLENECK,
            found: Arc::new(found),
        })
    }

    /// Which ways leads took through the funnel, over all their cycles: buyers do not follow one pattern.
    async fn journeys(
        &self,
        ctx: &Context<'_>,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<JourneyReport> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = self::window(app, window)?;
        let found = velocity::journeys(Lookback::on(app, window)).await.map_err(failure)?;
        Ok(JourneyReport {
            charter: FunnelCharter::of(&app.workspace()),
            window: window.into(),
            leads: count(found.leads),
            ways: count(found.ways.len() as u64),
            others: count(found.others),
            found: Arc::new(found),
        })
    }
}
