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
    pub key: String,
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
    pub stage: StageKind,
    pub questions: Vec<String>,
    pub channels: Vec<Channel>,
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
    pub key: String,
    pub name: String,
    pub traits: Vec<PersonaTrait>,
    pub pains: Vec<String>,
    pub stage_profiles: Vec<StageProfile>,
}

/// The best persona of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonaMatch {
    pub key: String,
    /// Share of the persona's weight that holds, in basis points.
    pub fit: u16,
    pub matched: Vec<String>,
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
