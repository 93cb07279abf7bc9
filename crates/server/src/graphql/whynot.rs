//! Why a lead does not pass a gate, and what would have to change.

use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};
use handfast_domain::criterion::{CriterionResult, FieldTest};
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Outcome, Status};
use handfast_domain::whynot::{FieldChange as Change, text};

use super::lead::{Lead, lead_by, want};
use super::problem::failure;
use super::scalar::local;
use super::{app, read_viewer};
use crate::flows::whynot;

/// Why a lead does not pass a gate, as of now. Nothing is recorded.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct WhyNot {
    /// The stage that the gate guards.
    stage: StageKind,
    /// The instant that the rules took for now.
    as_of: Instant,
    /// What the gate would decide now.
    result: Outcome,
    /// The charter's required criteria that do not hold.
    criteria: Vec<UnmetCriterion>,
    /// The rules of the gate, in the order of their positions.
    slots: Vec<WhyNotSlot>,
    #[graphql(skip)]
    lead_id: uuid::Uuid,
}

#[ComplexObject]
impl WhyNot {
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        lead_by(app(ctx)?, self.lead_id, &want(ctx.look_ahead())).await
    }
}

/// A required criterion of the charter that does not hold.
#[derive(Clone, SimpleObject)]
pub struct UnmetCriterion {
    criterion: CriterionResult,
    /// What it asks of a field; null for one that asks for a rule's reason.
    test: Option<FieldTest>,
    /// The value that the field has, as the charter writes values; null for an unknown one.
    found: Option<String>,
}

/// What one rule of the gate says, and what would make it say ADVANCE.
#[derive(Clone, SimpleObject)]
pub struct WhyNotSlot {
    /// Key of the rule slot.
    slot: String,
    status: Status,
    /// What the rule says now; null where it failed.
    outcome: Option<Outcome>,
    /// Up to five changes that would do, the smallest first: fewer fields, then less effort. Each was tried on the rule. Empty
    /// where the rule says ADVANCE already, and where none was found; `note` says which.
    answers: Vec<WhyNotAnswer>,
    /// How many variants of the lead the rule has judged for it.
    tried: i32,
    /// What the search came to, in words.
    note: String,
}

/// A change of one field, or of two, with which the rule says ADVANCE.
#[derive(Clone, SimpleObject)]
pub struct WhyNotAnswer {
    changes: Vec<FieldChange>,
    /// How hard it is to bring about: for each field 1 for what can be asked or learned, 2 for another touch, 4 for what has to
    /// become so, up to 8 for what cannot be changed.
    effort: i32,
    /// What the whole gate would decide then: other rules and criteria see the changed lead, too.
    result: Outcome,
    /// What would still keep the lead from passing.
    missing: Vec<String>,
}

/// One field with another value. Values are written as the charter writes them: `true`, `50`, `software`.
#[derive(Clone, SimpleObject)]
pub struct FieldChange {
    /// Path in the field catalogue.
    field: String,
    /// Null for an unknown one.
    from: Option<String>,
    /// What it would have to be.
    to: String,
}

impl FieldChange {
    fn wrap(change: &Change) -> FieldChange {
        let Change { field, from, to } = change;
        FieldChange { field: field.clone(), from: from.as_ref().map(text), to: text(to) }
    }
}

impl WhyNot {
    fn wrap(found: whynot::WhyNot) -> WhyNot {
        let whynot::WhyNot { lead, stage, as_of, result, criteria, slots } = found;
        let criteria = criteria.into_iter().map(|unmet| {
            let whynot::Unmet { criterion, test, found } = unmet;
            UnmetCriterion { criterion, test, found: found.as_ref().map(text) }
        });
        let slots = slots.into_iter().map(|one| {
            let whynot::SlotAnswer { slot, status, outcome, answers, tried, note } = one;
            let answers = answers.iter().map(|answer| {
                let whynot::Answer { changes, cost, gate, missing } = answer;
                WhyNotAnswer {
                    changes: changes.iter().map(FieldChange::wrap).collect(),
                    effort: super::small(*cost),
                    result: *gate,
                    missing: missing.clone(),
                }
            });
            let tried = i32::try_from(tried).unwrap_or(i32::MAX);
            WhyNotSlot { slot, status, outcome, answers: answers.collect(), tried, note }
        });
        WhyNot { stage, as_of, result, criteria: criteria.collect(), slots: slots.collect(), lead_id: lead }
    }
}

#[derive(Default)]
pub struct WhyNotQuery;

#[Object]
impl WhyNotQuery {
    /// Why a lead does not pass a gate: a bounded search for the smallest change of one field that a live rule reads, else of
    /// two, that makes the rule say ADVANCE; and the charter's criteria that are missing. Values come from the charter, the
    /// rule's settings, other leads, and from around what the lead has.
    async fn why_not(
        &self,
        ctx: &Context<'_>,
        lead: ID,
        #[graphql(desc = "A stage whose gate rules guard; the next one above the lead without.")]
        stage: Option<StageKind>,
    ) -> async_graphql::Result<WhyNot> {
        read_viewer(ctx)?;
        let id = local("Lead", &lead, "lead").map_err(|refused| failure(refused.into()))?;
        whynot::why_not(app(ctx)?, id, stage).await.map(WhyNot::wrap).map_err(failure)
    }
}
