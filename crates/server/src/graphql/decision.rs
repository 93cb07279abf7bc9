//! Decisions of rules, and running them again.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use handfast_domain::deployment::DeploymentMode;
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::Decision as Made;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Missing, Outcome, Reason, Status};

use handfast_store::evaluation::{self, StoredDecision};

use super::decision_override::DecisionOverride;
use super::lead::{Lead, lead_by, leads_by, want};
use super::page::{Page, PageArgs};
use super::problem::failure;
use super::scalar::{Long, Uuid, global, local};
use super::{app, read_viewer};
use crate::flows::verify;

/// What one rule said of one lead, with everything that it takes to run it again.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Decision {
    pub id: ID,
    uuid: Uuid,
    /// Key of the rule slot.
    slot: String,
    /// The stage that the slot guards; null for a router.
    gate: Option<StageKind>,
    as_of: Instant,
    /// Number of the charter in force.
    charter: i32,
    /// sha-256 of the plugin's bytes, or of the built-in rule's name when nothing was deployed.
    version: Digest,
    /// Digest of the settings that it ran with.
    settings: Digest,
    /// Seal of everything that a rule could have read of the lead.
    snapshot: Digest,
    /// Digest of the columns that it was given.
    input: Digest,
    /// Null unless the status is OK.
    output: Option<Digest>,
    mode: DeploymentMode,
    status: Status,
    /// Null for a router, and when the rule failed.
    outcome: Option<Outcome>,
    /// What is unclear, with REVIEW.
    text: Option<String>,
    /// Disposition reason of RECYCLE and DISQUALIFY; `owner:…` or `queue:…` of a routing.
    target: Option<String>,
    /// Points for who the lead is.
    fit: i32,
    /// Points for what the lead did.
    engagement: i32,
    /// Basis points.
    confidence: i32,
    reasons: Vec<Reason>,
    missing: Vec<Missing>,
    review_at: Option<Instant>,
    /// What it cost, in the engine's unit of work.
    fuel: Long,
    /// How many leads were judged in the same call.
    batch_size: i32,
    /// Fingerprint of the engine that ran the rule.
    engine: String,
    /// What went wrong, for the rule's team.
    message: Option<String>,
    #[graphql(skip)]
    lead: uuid::Uuid,
    /// Read with its page, where the look-ahead saw it.
    #[graphql(skip)]
    loaded: Option<Lead>,
    /// The same; none inside where nobody did.
    #[graphql(skip)]
    overridden: Option<Option<Box<DecisionOverride>>>,
}

impl Decision {
    pub fn wrap(made: Made, lead: uuid::Uuid, as_of: Instant, charter: u32) -> Decision {
        Decision {
            id: global("Decision", made.id),
            uuid: Uuid(made.id),
            slot: made.slot,
            gate: made.gate,
            as_of,
            charter: super::small(charter),
            version: made.version,
            settings: made.settings,
            snapshot: made.snapshot,
            input: made.input,
            output: made.output,
            mode: made.mode,
            status: made.status,
            outcome: made.outcome,
            text: made.text,
            target: made.target,
            fit: made.fit,
            engagement: made.engagement,
            confidence: i32::from(made.confidence),
            reasons: made.reasons,
            missing: made.missing,
            review_at: made.review_at,
            fuel: Long(i64::try_from(made.fuel).unwrap_or(i64::MAX)),
            batch_size: super::small(made.batch_size),
            engine: made.engine,
            message: made.message,
            lead,
            loaded: None,
            overridden: None,
        }
    }
}

#[async_graphql::ComplexObject]
impl Decision {
    /// The lead that was judged.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        match &self.loaded {
            Some(lead) => Ok(Some(lead.clone())),
            None => lead_by(app(ctx)?, self.lead, &want(ctx.look_ahead())).await,
        }
    }

    /// What a person decided instead; null where nobody did.
    #[graphql(name = "override")]
    async fn overridden(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<DecisionOverride>> {
        match &self.overridden {
            Some(overridden) => Ok(overridden.as_deref().cloned()),
            None => Ok(DecisionOverride::of(app(ctx)?, &[self.uuid.0]).await?.remove(&self.uuid.0)),
        }
    }
}

#[derive(Default)]
pub struct DecisionQuery;

#[Object]
impl DecisionQuery {
    /// One decision; null if there is none.
    async fn decision(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Decision>> {
        read_viewer(ctx)?;
        let id = local("Decision", &id, "id").map_err(|refused| failure(refused.into()))?;
        let stored = evaluation::decision(app(ctx)?.store.read(), id).await;
        let stored = stored.map_err(|error| failure(error.into()))?;
        Ok(stored.map(|one| Decision::wrap(one.decision, one.lead, one.as_of, one.charter)))
    }

    /// Decisions, the newest first, of one slot or one lead or all.
    async fn decisions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a rule slot.")] slot: Option<String>,
        lead: Option<ID>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<Decision>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let lead = lead
            .map(|id| local("Lead", &id, "lead"))
            .transpose()
            .map_err(|refused| failure(refused.into()))?;
        let digest = Digest::of("filter", 1, &(&slot, lead));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "decided", digest)?;
        let rows =
            evaluation::decisions(app.store.read(), slot.as_deref(), lead, window.from, window.limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let look = ctx.look_ahead().field("edges").field("node").field("lead");
        let leads = match look.exists() {
            true => leads_by(app, &rows.iter().map(|one| one.lead).collect::<Vec<_>>(), &want(look)).await?,
            false => Default::default(),
        };
        let overrides = match ctx.look_ahead().field("edges").field("node").field("override").exists() {
            true => {
                let ids: Vec<uuid::Uuid> = rows.iter().map(|one| one.decision.id).collect();
                Some(DecisionOverride::of(app, &ids).await?)
            }
            false => None,
        };
        let place = |one: &StoredDecision| (one.as_of.ms(), one.decision.id);
        let wrap = |one: StoredDecision| Decision {
            loaded: leads.get(&one.lead).cloned(),
            overridden: overrides.as_ref().map(|found| found.get(&one.decision.id).cloned().map(Box::new)),
            ..Decision::wrap(one.decision, one.lead, one.as_of, one.charter)
        };
        Ok(window.page(app, rows, place, wrap))
    }

    /// Runs a decision again: same version, settings and input must give the same verdict, years later.
    async fn verify_decision(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Verification> {
        read_viewer(ctx)?;
        let id = local("Decision", &id, "id").map_err(|refused| failure(refused.into()))?;
        verify::decision(app(ctx)?, id).await.map(Verification::from).map_err(failure)
    }
}

/// What came out when a decision was run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "verify::Comparison")]
pub enum Comparison {
    /// The same verdict, byte for byte, on the same engine.
    Identical,
    /// The same verdict on another version of the engine.
    SameVerdictOtherEngine,
    /// The verdict, its input or its settings are others now.
    Different,
    /// The snapshot was erased with the person.
    Erased,
    /// The rule had failed, or none was deployed: there is no verdict to compare.
    NotComparable,
}

/// A decision that was run again.
#[derive(Clone, Debug, SimpleObject)]
pub struct Verification {
    comparison: Comparison,
    /// Names of the parts that differ: `snapshot`, `settings`, `version`, `status`, `input`, `output`, and of the output
    /// `outcome`, `fit`, `engagement`, `confidence`, `reasons`, `missing`, `text`, `target`, `reviewAt`.
    differences: Vec<String>,
    /// The outcome of the new run, where there is one.
    outcome: Option<Outcome>,
    /// Digest of the new answer, where there is one.
    output: Option<Digest>,
}

impl From<verify::Verification> for Verification {
    fn from(again: verify::Verification) -> Verification {
        let verify::Verification { comparison, differences, outcome, output } = again;
        Verification { comparison: comparison.into(), differences, outcome, output }
    }
}
