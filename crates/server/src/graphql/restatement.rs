//! A span told again under another charter, before anyone signs it.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject};
use handfast_domain::metric::MetricKey;
use handfast_domain::refused::Refused;
use handfast_domain::report::ExportFormat;
use handfast_domain::restatement::GateCount;
use handfast_domain::stage::StageKind;

use super::funnel::FunnelCharter;
use super::inline::Inline;
use super::metric::{MetricDefinition, definitions};
use super::passage::{ReportWindow, WindowInput, count, window};
use super::problem::failure;
use super::scalar::Long;
use super::{app, read_viewer};
use crate::flows::lookback::Lookback;
use crate::flows::restatement;

/// The gates that rules may open, as the looks of the window went and as they would have gone under another charter: its criteria
/// over what was known then, its composition of what the rules said then. No rule is asked again. Stages from SAL on need a
/// person and cannot be restated.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct RestatedFunnel {
    /// The other charter; signed or not.
    under: FunnelCharter,
    /// The agreement in force.
    charter: FunnelCharter,
    window: ReportWindow,
    /// Looks that were judged again.
    looks: Long,
    /// Cycles that they were about.
    cycles: Long,
    /// Looks whose snapshot was erased: nobody can judge them again.
    erased: Long,
    /// Cycles held back where a slot of the other charter had never been asked: backtest its rule to know more.
    unknown: Long,
    /// IQL and MQL.
    stages: Vec<RestatedStage>,
    /// Required criteria of the other charter that did not hold, the one that held back the most first.
    missing: Vec<RestatedCriterion>,
    #[graphql(skip)]
    found: Arc<Vec<GateCount>>,
}

/// How many cycles met a gate in the window.
#[derive(Clone, Debug, SimpleObject)]
pub struct RestatedStage {
    stage: StageKind,
    /// Under the charters of their time.
    was: Long,
    /// Under the other one.
    restated: Long,
    /// Only under the other one.
    gained: Long,
    /// Only under those of their time.
    lost: Long,
}

/// A criterion that would have held leads back.
#[derive(Clone, Debug, SimpleObject)]
pub struct RestatedCriterion {
    /// Key of the criterion.
    key: String,
    /// In words.
    text: String,
    /// Looks at which it did not hold.
    looks: Long,
}

#[ComplexObject]
impl RestatedFunnel {
    /// The stages as a table.
    async fn export(&self, format: ExportFormat) -> String {
        restatement::table(&self.found).write(format)
    }

    /// What the figures mean.
    async fn definitions(&self) -> Vec<Inline<MetricDefinition>> {
        definitions(&[MetricKey::Restatement])
    }
}

#[derive(Default)]
pub struct RestatementQuery;

#[Object]
impl RestatementQuery {
    /// What a span would have been under another charter, one that waits for signatures included.
    async fn restated_funnel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of a charter; at most 100,000 looks are judged again.")] under_charter: i32,
        window: Option<WindowInput>,
    ) -> async_graphql::Result<RestatedFunnel> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let window = self::window(app, window)?;
        let number = u32::try_from(under_charter);
        let number =
            number.map_err(|_| failure(Refused::invalid("underCharter", "charters count from 0").into()))?;
        let (under, found) =
            restatement::restate(Lookback::on(app, window), number).await.map_err(failure)?;
        let gates = found.gates();
        let mut missing: Vec<RestatedCriterion> = vec![];
        for (key, (text, looks)) in &found.missing {
            missing.push(RestatedCriterion { key: key.clone(), text: text.clone(), looks: count(*looks) });
        }
        missing.sort_by_key(|one| std::cmp::Reverse(one.looks));
        let stage = |one: &GateCount| RestatedStage {
            stage: one.gate,
            was: count(one.was),
            restated: count(one.now),
            gained: count(one.gained),
            lost: count(one.lost),
        };
        Ok(RestatedFunnel {
            under: FunnelCharter::wrap(&under),
            charter: FunnelCharter::of(&app.workspace()),
            window: window.into(),
            looks: count(found.looks),
            cycles: count(found.cycles()),
            erased: count(found.erased),
            unknown: count(found.unknown()),
            stages: gates.iter().map(stage).collect(),
            missing,
            found: Arc::new(gates),
        })
    }
}
