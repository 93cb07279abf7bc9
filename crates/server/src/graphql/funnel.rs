//! The funnel in numbers: where leads stand, how far they came, what converts.

use async_graphql::SimpleObject;
use handfast_domain::stage::StageKind;

use super::problem::failure;
use super::scalar::Long;
use crate::app::App;

/// One stage and the leads at it.
#[derive(Clone, Debug, SimpleObject)]
pub struct FunnelStage {
    pub stage: StageKind,
    /// The charter's word for it.
    pub label: String,
    /// Leads whose open cycle stands here.
    pub open: Long,
    /// Leads that came this far at most, in all their cycles.
    pub furthest: Long,
    /// Cycles that entered this stage, skipped stages included.
    pub entered: Long,
}

/// All stages of the charter, from counters that each change keeps.
pub async fn stages(app: &App) -> async_graphql::Result<Vec<FunnelStage>> {
    let workspace = app.workspace();
    let counts = handfast_store::funnel::counts(app.store.read()).await.map_err(|error| failure(error.into()))?;
    let wrap = |definition: &handfast_domain::charter::StageDefinition| FunnelStage {
        stage: definition.kind,
        label: definition.label.clone(),
        open: Long(counts.open(definition.kind)),
        furthest: Long(counts.furthest(definition.kind)),
        entered: Long(counts.entered(definition.kind)),
    };
    Ok(workspace.charter.body.stages.iter().map(wrap).collect())
}
