//! Buyer personas and how well a lead matches one. Fit of a persona is in basis points; it is not the fit score.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::criterion::FieldTest;
use crate::field::Value;
use crate::stage::{Channel, StageKind};

/// A trait of a persona and how much it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "PersonaTrait", input_name = "PersonaTraitInput")
)]
#[serde(rename_all = "camelCase")]
pub struct PersonaTrait {
    /// Key of the trait, unique in the persona.
    pub key: String,
    /// Holds for leads that have the trait.
    pub test: FieldTest,
    /// 1 to 100, relative to the other traits of the persona.
    pub weight: u32,
}

/// What the persona is like at one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "PersonaStageProfile", input_name = "PersonaStageProfileInput")
)]
#[serde(rename_all = "camelCase")]
pub struct StageProfile {
    /// The stage.
    pub stage: StageKind,
    /// What the persona wants to know.
    pub questions: Vec<String>,
    /// Where it can be reached.
    pub channels: Vec<Channel>,
    /// Kinds of content that help.
    pub content_kinds: Vec<String>,
}

/// A typical buyer, agreed by both sides in the charter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "Persona", input_name = "PersonaInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Persona {
    /// Key of the persona.
    pub key: String,
    /// Name of the persona.
    pub name: String,
    /// What makes a lead one of them.
    pub traits: Vec<PersonaTrait>,
    /// What troubles them.
    pub pains: Vec<String>,
    /// What they need at each stage.
    pub stage_profiles: Vec<StageProfile>,
}

/// The best persona of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonaMatch {
    /// Key of the persona.
    pub key: String,
    /// Share of the persona's weight that holds, in basis points.
    pub fit: u16,
    /// Keys of the traits that hold.
    pub matched: Vec<String>,
    /// Keys of the traits that do not hold, or are unknown.
    pub missing: Vec<String>,
}

/// The persona with the highest fit; on a tie the first in the charter's order. None where no trait holds at all.
pub fn best_match(personas: &[Persona], fields: &BTreeMap<String, Value>) -> Option<PersonaMatch> {
    let mut best: Option<PersonaMatch> = None;
    for persona in personas {
        let (mut held, mut total) = (0u64, 0u64);
        let (mut matched, mut missing) = (vec![], vec![]);
        for part in &persona.traits {
            total += u64::from(part.weight);
            if part.test.holds(fields) {
                held += u64::from(part.weight);
                matched.push(part.key.clone());
            } else {
                missing.push(part.key.clone());
            }
        }
        let fit = u16::try_from((held * 10_000).checked_div(total).unwrap_or(0)).unwrap_or(10_000);
        if fit > best.as_ref().map_or(0, |best| best.fit) {
            best = Some(PersonaMatch { key: persona.key.clone(), fit, matched, missing });
        }
    }
    best
}
