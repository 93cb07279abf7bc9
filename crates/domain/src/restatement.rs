//! A span told again under another charter: which cycles would have met its gates, by its criteria over what was known then and
//! by what the rules said then. No rule is asked again, and nobody is moved.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::charter::CharterBody;
use crate::evaluation::{
    Decision, Evaluation, GateResult, RULED_GATES, furthest_met, is_guarded, judge_gate,
};
use crate::field::Value;
use crate::profile::match_again;
use crate::snapshot::Snapshot;
use crate::stage::StageKind;
use crate::verdict::Outcome;

/// The gates of one look under another charter, and whether a slot of theirs was never asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub gates: Vec<GateResult>,
    pub unknown: bool,
}

/// Judges a look again. Personas and ideal profiles are matched as the other charter describes them.
pub fn look(body: &CharterBody, snapshot: &Snapshot, decisions: &[Decision]) -> Look {
    let mut snapshot = snapshot.clone();
    match_again(&mut snapshot.fields, body);
    let waits =
        |gate: &StageKind| stood(&snapshot).is_none_or(|stage| stage < *gate) && is_guarded(body, *gate);
    let mut found = Look { gates: vec![], unknown: false };
    let waiting: Vec<StageKind> = RULED_GATES.into_iter().filter(waits).collect();
    for gate in waiting {
        let result = judge_gate(body, gate, &snapshot, decisions);
        let asked = |slot: &str| {
            decisions.iter().any(|one| one.counts() && one.gate == Some(gate) && one.slot == slot)
        };
        let met = result.result == Outcome::Advance;
        found.unknown |= !met && body.slots_of(gate).any(|slot| !asked(&slot.key));
        found.gates.push(result);
        if !met {
            break;
        }
    }
    found
}

/// Where the lead stood when it was looked at.
fn stood(snapshot: &Snapshot) -> Option<StageKind> {
    match snapshot.get("lead.stage") {
        Some(Value::Text(stage)) => StageKind::parse(stage),
        _ => None,
    }
}

/// A cycle under both charters.
#[derive(Clone, Copy, Debug, Default)]
struct Both {
    was: Option<StageKind>,
    now: Option<StageKind>,
    unknown: bool,
}

/// How many cycles met a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateCount {
    pub gate: StageKind,
    /// Under the charters of their time.
    pub was: u64,
    /// Under the other one.
    pub now: u64,
    /// Only under the other one.
    pub gained: u64,
    /// Only under those of their time.
    pub lost: u64,
}

/// All looks of a span.
#[derive(Clone, Debug, Default)]
pub struct Restatement {
    cycles: HashMap<(Uuid, u32), Both>,
    /// Looks that were judged again.
    pub looks: u64,
    /// Looks whose snapshot was erased.
    pub erased: u64,
    /// Key of a required criterion that did not hold to its text and the looks that it held back.
    pub missing: BTreeMap<String, (String, u64)>,
}

impl Restatement {
    /// Counts a look; without its snapshot, only that it is gone.
    pub fn add(&mut self, body: &CharterBody, evaluation: &Evaluation, snapshot: Option<&Snapshot>) {
        let Some(snapshot) = snapshot else {
            self.erased += 1;
            return;
        };
        // From MQL on people decide.
        if stood(snapshot) >= RULED_GATES.last().copied() {
            return;
        }
        self.looks += 1;
        let look = look(body, snapshot, &evaluation.decisions);
        let both = self.cycles.entry((evaluation.lead, evaluation.cycle)).or_default();
        both.was = both.was.max(furthest_met(&evaluation.gates));
        both.now = both.now.max(furthest_met(&look.gates));
        both.unknown |= look.unknown;
        for one in look.gates.iter().flat_map(|gate| &gate.criteria).filter(|one| one.required && !one.holds)
        {
            let (text, looks) = self.missing.entry(one.key.clone()).or_default();
            one.text.clone_into(text);
            *looks += 1;
        }
    }

    /// Cycles that were looked at.
    pub fn cycles(&self) -> u64 {
        self.cycles.len() as u64
    }

    /// Cycles for which a slot of the other charter had never been asked.
    pub fn unknown(&self) -> u64 {
        self.cycles.values().filter(|both| both.unknown).count() as u64
    }

    pub fn gates(&self) -> Vec<GateCount> {
        let count = |gate: StageKind| {
            let mut found = GateCount { gate, was: 0, now: 0, gained: 0, lost: 0 };
            for both in self.cycles.values() {
                let [was, now] = [both.was, both.now].map(|stage| stage >= Some(gate));
                found.was += u64::from(was);
                found.now += u64::from(now);
                found.gained += u64::from(now && !was);
                found.lost += u64::from(was && !now);
            }
            found
        };
        RULED_GATES.into_iter().map(count).collect()
    }
}
