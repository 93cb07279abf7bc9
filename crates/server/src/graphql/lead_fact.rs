//! What is known of a lead, with where it comes from; and what somebody learned of it.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::lead_fact::{FactOrigin, LeadFact as Known, LeadFactKind, Observation};
use handfast_domain::time::Instant;
use handfast_store::loaded::LoadedLead;

use super::directory::User;
use super::inline::Inline;
use super::work::{LeadPayload, LeadTarget, changed};
use crate::flows::lead_fact::{self, Value};
use crate::workspace::Workspace;

/// One thing that is known of a lead, and what was thought of it before.
#[derive(Clone, SimpleObject)]
pub struct LeadFact {
    kind: LeadFactKind,
    /// Key of the trait, or of the qualification's question.
    key: String,
    /// The value that counts: the one that was observed last. Of a graded answer, `3 of 4`.
    value: String,
    /// Who says so: the lead source, a system, or a side.
    source: String,
    /// How it came to be known; null for what was kept before that was.
    origin: Option<FactOrigin>,
    observed_at: Instant,
    /// What it rests on: the form that asked, or what somebody wrote down.
    evidence: Option<String>,
    /// Who wrote it down; null for what nobody did.
    recorded_by: Option<User>,
    /// Grade of an answer, 0 to 4.
    grade: Option<i32>,
    /// How sure whoever gave the grade was, in basis points.
    confidence: Option<i32>,
    /// Whether somebody else said otherwise: ask before you rely on it.
    conflicting: bool,
    /// Other values, the newest first, at most 20. An answer has those of earlier cycles.
    earlier: Vec<LeadFactValue>,
}

/// A value that was thought right once.
#[derive(Clone, SimpleObject)]
pub struct LeadFactValue {
    /// The value as text.
    value: String,
    source: String,
    origin: Option<FactOrigin>,
    observed_at: Instant,
    /// What it rested on.
    evidence: Option<String>,
    recorded_by: Option<User>,
}

/// Of a lead that was read with its facts, by kind and key.
pub fn of(workspace: &Workspace, loaded: &LoadedLead) -> Option<Vec<Inline<LeadFact>>> {
    let (traits, history) = loaded.traits.as_ref().zip(loaded.history.as_ref())?;
    let found = lead_fact::of(traits, history, loaded.answers.as_ref()?);
    Some(found.into_iter().map(|known| Inline(wrap(workspace, known))).collect())
}

fn wrap(workspace: &Workspace, known: Known) -> LeadFact {
    let user = |id: Option<uuid::Uuid>| id.and_then(|id| workspace.directory.user(id)).map(User::wrap);
    let Known { kind, key, now, earlier, conflicting } = known;
    let Observation { value, source, origin, evidence, by, observed_at, graded } = now;
    let earlier = earlier.into_iter().map(|one| LeadFactValue {
        value: one.value,
        source: one.source,
        origin: one.origin,
        observed_at: one.observed_at,
        evidence: one.evidence,
        recorded_by: user(one.by),
    });
    LeadFact {
        kind,
        key,
        value,
        source,
        origin,
        observed_at,
        evidence,
        recorded_by: user(by),
        grade: graded.map(|(grade, _)| i32::from(grade)),
        confidence: graded.map(|(_, confidence)| i32::from(confidence)),
        conflicting,
        earlier: earlier.collect(),
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct SetTraitInput {
    #[graphql(flatten)]
    target: LeadTarget,
    /// Key of a defined trait.
    key: String,
    /// As text: `true`, `42`, `enterprise`, lists with commas.
    value: String,
    /// Who says so, 1 to 256 characters; your side without, and of a service its key.
    source: Option<String>,
    /// What it rests on, 1 to 2000 characters.
    evidence: Option<String>,
    /// When it was observed; now without. What was observed before the value that is known becomes history.
    observed_at: Option<Instant>,
}

#[derive(Default)]
pub struct LeadFactMutation;

#[Object]
impl LeadFactMutation {
    /// Somebody, or a service, learned something of a lead: the value of a defined trait, with what it rests on. The value before
    /// stays in its history, and rules that read the trait look again.
    async fn set_trait(&self, ctx: &Context<'_>, input: SetTraitInput) -> async_graphql::Result<LeadPayload> {
        let SetTraitInput { target, key, value, source, evidence, observed_at } = input;
        let learned = Value { key, text: value, source, evidence, observed_at };
        changed(ctx, "setTrait", target, async |app, target| lead_fact::set(app, target, learned).await).await
    }
}
