//! Evaluations: one look at a lead, gate by gate; one decision for each rule slot that was asked.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::charter::{CharterBody, RuleSlot};
use crate::criterion::CriterionResult;
use crate::deployment::DeploymentMode;
use crate::digest::Digest;
use crate::snapshot::Snapshot;
use crate::stage::{Cause, StageKind};
use crate::text::text_enum;
use crate::time::Instant;
use crate::verdict::{Missing, Outcome, Reason, Status};

text_enum! {
    /// How the votes of several slots at one gate become one result.
    pub enum Composition {
        /// Every slot says ADVANCE.
        All = "ALL",
        /// One ADVANCE is enough.
        Any = "ANY",
        /// The first slot in order whose vote is not HOLD decides.
        First = "FIRST",
    }
}

text_enum! {
    /// Where an uploaded version stands.
    pub enum PluginStatus {
        /// Its checks are running.
        Validating = "VALIDATING",
        /// It passed every check and can be deployed.
        Validated = "VALIDATED",
        /// A check refused it.
        Rejected = "REJECTED",
        /// It passed, and can no longer be deployed.
        Retired = "RETIRED",
    }
}

/// One rule's decision on one lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Identity of the decision.
    pub id: Uuid,
    /// Key of the rule slot.
    pub slot: String,
    /// The gate that was asked about; none for a routing.
    pub gate: Option<StageKind>,
    /// None: no rule was deployed, and the built-in rule answered.
    pub deployment: Option<Uuid>,
    /// Digest of the plugin's bytes, or of the built-in rule's name.
    pub version: Digest,
    /// Digest of the settings.
    pub settings: Digest,
    /// Digest of the snapshot that the rule's input was taken from.
    pub snapshot: Digest,
    /// Digest of everything that the rule could see.
    pub input: Digest,
    /// Digest of its answer.
    pub output: Option<Digest>,
    /// Whether the answer counts.
    pub mode: DeploymentMode,
    /// How the call ended.
    pub status: Status,
    /// None unless the status is OK, or for a router.
    pub outcome: Option<Outcome>,
    /// The text of REVIEW.
    pub text: Option<String>,
    /// The disposition reason of RECYCLE and DISQUALIFY, or the target of a routing.
    pub target: Option<String>,
    /// Fit score in points.
    pub fit: i32,
    /// Engagement score in points.
    pub engagement: i32,
    /// Basis points.
    pub confidence: u16,
    /// Why, strongest first.
    pub reasons: Vec<Reason>,
    /// Fields that were unknown, and what they could be worth.
    pub missing: Vec<Missing>,
    /// When the rule wants to look again.
    pub review_at: Option<Instant>,
    /// Fuel that the call used.
    pub fuel: u64,
    /// Leads that were judged together.
    pub batch_size: u32,
    /// Fingerprint of the engine that ran the rule.
    pub engine: String,
    /// What went wrong, for the rule's team; never part of the digest.
    pub message: Option<String>,
}

impl Decision {
    /// Whether it is a vote: what a SHADOW says changes no lead, and where a CANARY failed the LIVE version was asked instead.
    pub fn counts(&self) -> bool {
        match self.mode {
            DeploymentMode::Shadow => false,
            DeploymentMode::Canary => self.status == Status::Ok,
            DeploymentMode::Live => true,
        }
    }
}

/// How one gate was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// The stage that the gate guards.
    pub gate: StageKind,
    /// How several rules became one result.
    pub composition: Composition,
    /// ADVANCE when the gate is met.
    pub result: Outcome,
    /// The charter's criteria, each with its result.
    pub criteria: Vec<CriterionResult>,
    /// What keeps the lead from passing, in words.
    pub missing: Vec<String>,
}

/// One look at a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Identity of the evaluation.
    pub id: Uuid,
    /// The lead.
    pub lead: Uuid,
    /// Its cycle.
    pub cycle: u32,
    /// The instant that the rules took for now.
    pub as_of: Instant,
    /// Number of the charter in force.
    pub charter: u32,
    /// Digest of what the rules could have read.
    pub snapshot: Digest,
    /// What caused the look.
    pub cause: Cause,
    /// The gates that were asked, in order; the last one decided.
    pub gates: Vec<GateResult>,
    /// What each rule said.
    pub decisions: Vec<Decision>,
}

/// The gates that rules may open by themselves, in order. SAL needs a person.
pub const RULED_GATES: [StageKind; 2] = [StageKind::Iql, StageKind::Mql];

/// Composes the votes of a gate's slots, in the order of their positions. `None` is a fault: no vote, no harm, and a
/// block only where the gate cannot be met without it.
pub fn compose(composition: Composition, votes: &[Option<Outcome>]) -> Outcome {
    let advances = |vote: &&Option<Outcome>| **vote == Some(Outcome::Advance);
    let met = match composition {
        Composition::All => votes.iter().all(|vote| *vote == Some(Outcome::Advance)),
        Composition::Any => votes.is_empty() || votes.iter().any(|vote| advances(&vote)),
        Composition::First => {
            let first = votes.iter().flatten().find(|outcome| **outcome != Outcome::Hold);
            if let Some(outcome) = first {
                return *outcome;
            }
            votes.is_empty()
        }
    };
    if met {
        return Outcome::Advance;
    }
    // The strictest of the votes that are not ADVANCE: DISQUALIFY > RECYCLE > REVIEW > HOLD.
    let strictness = |outcome: &Outcome| match outcome {
        Outcome::Disqualify => 3,
        Outcome::Recycle => 2,
        Outcome::Review => 1,
        Outcome::Hold | Outcome::Advance => 0,
    };
    let strictest =
        votes.iter().flatten().filter(|outcome| **outcome != Outcome::Advance).max_by_key(|o| strictness(o));
    strictest.copied().unwrap_or(Outcome::Hold)
}

/// Judges one gate from its slots' decisions, in the order of the slots, and the charter's criteria.
pub fn judge_gate(
    charter: &CharterBody,
    gate: StageKind,
    snapshot: &Snapshot,
    decisions: &[Decision],
) -> GateResult {
    let definition = charter.stage(gate);
    let composition = definition.map_or(Composition::All, |definition| definition.composition);
    // A slot that was not asked is no vote, as a fault is.
    let asked = |slot: &RuleSlot| {
        let of_slot = |d: &&Decision| d.counts() && d.gate == Some(gate) && d.slot == slot.key;
        decisions.iter().find(of_slot)
    };
    let slots: Vec<(&RuleSlot, Option<&Decision>)> =
        charter.slots_of(gate).map(|slot| (slot, asked(slot))).collect();
    let here: Vec<&Decision> = slots.iter().filter_map(|(_, decision)| *decision).collect();
    let votes: Vec<Option<Outcome>> =
        slots.iter().map(|(_, decision)| decision.and_then(|d| d.outcome)).collect();
    let codes: Vec<&str> = here
        .iter()
        .flat_map(|decision| &decision.reasons)
        .filter(|reason| reason.weight > 0)
        .map(|reason| reason.code.as_str())
        .collect();
    let criteria: Vec<CriterionResult> = definition
        .iter()
        .flat_map(|definition| &definition.entry)
        .map(|c| c.judge(&snapshot.fields, &codes))
        .collect();
    let mut missing: Vec<String> =
        criteria.iter().filter(|c| c.required && !c.holds).map(|criterion| criterion.text.clone()).collect();
    let mut result = compose(composition, &votes);
    if result == Outcome::Advance && !missing.is_empty() {
        result = Outcome::Hold;
    }
    if result != Outcome::Advance {
        for ((slot, _), vote) in slots.iter().zip(&votes) {
            match vote {
                Some(Outcome::Advance) => {}
                Some(outcome) => missing.push(format!("{} says {}", slot.key, outcome_text(*outcome))),
                None => missing.push(format!("{} could not judge the lead", slot.key)),
            }
        }
    }
    GateResult { gate, composition, result, criteria, missing }
}

/// A gate that nothing guards neither holds a lead nor moves it: the next gate is asked, and decides for both.
pub fn is_guarded(charter: &CharterBody, gate: StageKind) -> bool {
    charter.slots_of(gate).next().is_some()
        || charter.stage(gate).is_some_and(|stage| stage.entry.iter().any(|criterion| criterion.required))
}

/// The highest gate that was met without a gap, counting unguarded gates below it as met.
pub fn furthest_met(gates: &[GateResult]) -> Option<StageKind> {
    gates.iter().take_while(|gate| gate.result == Outcome::Advance).last().map(|gate| gate.gate)
}

/// The decision whose scores become the lead's: of the slot that is marked as scoring; where none is, of the first that
/// judged. Scores of different slots are not comparable, so nobody stands in for a marked slot that failed.
pub fn scoring<'a>(slots: &[&RuleSlot], decisions: &'a [Decision]) -> Option<&'a Decision> {
    let judged = |decision: &&Decision| {
        decision.counts() && decision.status == Status::Ok && decision.outcome.is_some()
    };
    let marked = slots.iter().find(|slot| slot.scoring).map(|slot| slot.key.as_str());
    decisions.iter().filter(judged).find(|d| marked.is_none_or(|key| key == d.slot))
}

pub fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Advance => "ADVANCE",
        Outcome::Hold => "HOLD",
        Outcome::Review => "REVIEW",
        Outcome::Recycle => "RECYCLE",
        Outcome::Disqualify => "DISQUALIFY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Composition::{All, Any, First};
    use Outcome::{Advance, Disqualify, Hold, Recycle, Review};

    #[test]
    fn votes_compose_as_the_charter_says() {
        let cases: &[(Composition, &[Option<Outcome>], Outcome)] = &[
            (All, &[], Advance),
            (All, &[Some(Advance), Some(Advance)], Advance),
            (All, &[Some(Advance), Some(Hold)], Hold),
            (All, &[Some(Advance), None], Hold),
            (All, &[Some(Recycle), Some(Disqualify)], Disqualify),
            (All, &[Some(Review), Some(Hold)], Review),
            (Any, &[Some(Disqualify), Some(Advance)], Advance),
            (Any, &[None, Some(Advance)], Advance),
            (Any, &[Some(Hold), Some(Recycle), Some(Review)], Recycle),
            (First, &[Some(Hold), None, Some(Recycle), Some(Advance)], Recycle),
            (First, &[None, Some(Advance), Some(Disqualify)], Advance),
            (First, &[Some(Hold), None], Hold),
        ];
        for (composition, votes, expected) in cases {
            assert_eq!(compose(*composition, votes), *expected, "{composition} of {votes:?}");
        }
    }
}
