//! Evaluations: one look at a lead, gate by gate; one decision for each rule slot that was asked.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::charter::{CharterBody, RuleSlot};
use crate::criterion::CriterionResult;
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
    /// Whether a deployment's verdicts count.
    pub enum DeploymentMode {
        Shadow = "SHADOW",
        Canary = "CANARY",
        Live = "LIVE",
    }
}

/// One rule's decision on one lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub id: Uuid,
    pub slot: String,
    pub gate: Option<StageKind>,
    /// None: no rule was deployed, and the built-in rule answered.
    pub deployment: Option<Uuid>,
    /// Digest of the plugin's bytes, or of the built-in rule's name.
    pub version: Digest,
    pub settings: Digest,
    pub input: Digest,
    pub output: Option<Digest>,
    pub mode: DeploymentMode,
    pub status: Status,
    /// None unless the status is OK, or for a router.
    pub outcome: Option<Outcome>,
    /// The text of REVIEW.
    pub text: Option<String>,
    /// The disposition reason of RECYCLE and DISQUALIFY, or the target of a routing.
    pub target: Option<String>,
    pub fit: i32,
    pub engagement: i32,
    pub confidence: u16,
    pub reasons: Vec<Reason>,
    pub missing: Vec<Missing>,
    pub review_at: Option<Instant>,
    pub fuel: u64,
    pub batch_size: u32,
    /// Fingerprint of the engine that ran the rule.
    pub engine: String,
    /// What went wrong, for the rule's team; never part of the digest.
    pub message: Option<String>,
}

/// How one gate was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// The stage that the gate guards.
    pub gate: StageKind,
    pub composition: Composition,
    pub result: Outcome,
    pub criteria: Vec<CriterionResult>,
    /// What keeps the lead from passing, in words.
    pub missing: Vec<String>,
}

/// One look at a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    pub as_of: Instant,
    pub charter: u32,
    pub snapshot: Digest,
    pub cause: Cause,
    pub gates: Vec<GateResult>,
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
    let strictest = votes.iter().flatten().filter(|outcome| **outcome != Outcome::Advance).max_by_key(|o| strictness(o));
    strictest.copied().unwrap_or(Outcome::Hold)
}

/// Judges one gate from its slots' decisions, in the order of the slots, and the charter's criteria.
pub fn judge_gate(charter: &CharterBody, gate: StageKind, snapshot: &Snapshot, decisions: &[Decision]) -> GateResult {
    let definition = charter.stage(gate);
    let composition = definition.map_or(Composition::All, |definition| definition.composition);
    let here: Vec<&Decision> = decisions.iter().filter(|decision| decision.gate == Some(gate)).collect();
    let votes: Vec<Option<Outcome>> = here.iter().map(|decision| decision.outcome).collect();
    let codes: Vec<&str> = here
        .iter()
        .flat_map(|decision| &decision.reasons)
        .filter(|reason| reason.weight > 0)
        .map(|reason| reason.code.as_str())
        .collect();
    let criteria: Vec<CriterionResult> =
        definition.iter().flat_map(|definition| &definition.entry).map(|c| c.judge(&snapshot.fields, &codes)).collect();
    let mut missing: Vec<String> =
        criteria.iter().filter(|c| c.required && !c.holds).map(|criterion| criterion.text.clone()).collect();
    let mut result = compose(composition, &votes);
    if result == Outcome::Advance && !missing.is_empty() {
        result = Outcome::Hold;
    }
    if result != Outcome::Advance {
        for decision in here.iter().filter(|decision| decision.outcome != Some(Outcome::Advance)) {
            missing.push(match decision.outcome {
                Some(outcome) => format!("{} says {}", decision.slot, outcome_text(outcome)),
                None => format!("{} could not judge the lead", decision.slot),
            });
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

/// The decision whose scores become the lead's: of the slot marked as scoring, else of the first slot that judged.
pub fn scoring<'a>(slots: &[&RuleSlot], decisions: &'a [Decision]) -> Option<&'a Decision> {
    let judged = |decision: &&Decision| decision.status == Status::Ok && decision.outcome.is_some();
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
