//! Why a lead does not pass a gate: a bounded search for the smallest change of what a rule reads that makes it say ADVANCE.
//!
//! All values of a field are one column of a batch, so that thousands of questions cost a few calls of the rule. Nothing is
//! written: no decision, no event.

use handfast_domain::criterion::{CriterionResult, FieldTest};
use handfast_domain::evaluation::{RULED_GATES, is_guarded};
use handfast_domain::field::Value;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{Cause, StageKind};
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Outcome, Status};
use handfast_domain::whynot::FieldChange;
use uuid::Uuid;

use super::evaluate::{Subject, judge_gates};
use super::{Error, lead};
use crate::app::App;
use crate::workspace::Workspace;

mod search;

use search::Search;

/// Why a lead does not pass.
#[derive(Clone, Debug)]
pub struct WhyNot {
    pub lead: Uuid,
    pub stage: StageKind,
    pub as_of: Instant,
    /// What the gate would decide now.
    pub result: Outcome,
    /// The charter's required criteria that do not hold, with the test of each and the value that it found.
    pub criteria: Vec<Unmet>,
    pub slots: Vec<SlotAnswer>,
}

/// A required criterion that does not hold.
#[derive(Clone, Debug)]
pub struct Unmet {
    pub criterion: CriterionResult,
    pub test: Option<FieldTest>,
    pub found: Option<Value>,
}

/// What one rule of the gate would need.
#[derive(Clone, Debug)]
pub struct SlotAnswer {
    pub slot: String,
    pub status: Status,
    /// None: the rule failed.
    pub outcome: Option<Outcome>,
    /// The smallest first: fewer fields, then less effort.
    pub answers: Vec<Answer>,
    /// Snapshots that were judged.
    pub tried: usize,
    /// What the search came to, in words.
    pub note: String,
}

/// Changes that together make the rule say ADVANCE.
#[derive(Clone, Debug)]
pub struct Answer {
    pub changes: Vec<FieldChange>,
    pub cost: u32,
    /// What the whole gate would decide then.
    pub gate: Outcome,
    /// What would still keep the lead from passing.
    pub missing: Vec<String>,
}

/// Looks for the smallest changes. Without a stage, at the next gate above the lead.
pub async fn why_not(app: &App, id: Uuid, stage: Option<StageKind>) -> Result<WhyNot, Error> {
    let workspace = app.workspace();
    let journey = lead::load(app, id).await?;
    let stage = gate(&workspace, journey.lead.stage, stage)?;
    let profiles =
        handfast_store::profile::profiles(app.store.read(), &[id], &workspace.readable_traits()).await?;
    let profile = profiles.into_values().next().ok_or_else(|| Refused::not_found("lead"))?;
    let as_of = app.now();
    let mut asked = journey;
    // A lead that is past the gate is asked as if it stood before it.
    asked.lead.stage = asked.lead.stage.min(before(stage));
    let (snapshot, _) = profile.snapshot(&asked, &workspace.charter, false);
    let subject = Subject { journey: asked, profile, high_intent: false, as_of };
    let judged =
        judge_gates(app, &workspace, Cause::Evaluation, std::slice::from_ref(&subject), &[stage]).await;
    let evaluation = judged.into_iter().next().map(|judgment| judgment.evaluation);
    let evaluation = evaluation.ok_or_else(|| Error::fault("nobody was judged"))?;
    let result = evaluation.gates.last().ok_or_else(|| Error::fault("no gate was asked"))?;
    let definition = workspace.charter.body.stage(stage);
    let unmet = result.criteria.iter().filter(|criterion| criterion.required && !criterion.holds);
    let criteria = unmet.map(|criterion| {
        let defined =
            definition.into_iter().flat_map(|stage| &stage.entry).find(|one| one.key == criterion.key);
        let test = defined.and_then(|one| one.test.clone());
        let found = test.as_ref().and_then(|test| snapshot.get(&test.field)).cloned();
        Unmet { criterion: criterion.clone(), test, found }
    });
    let mut found =
        WhyNot { lead: id, stage, as_of, result: result.result, criteria: criteria.collect(), slots: vec![] };
    let search = Search { app, workspace: &workspace, stage, snapshot, as_of };
    for slot in workspace.charter.body.slots_of(stage) {
        let decision =
            evaluation.decisions.iter().find(|decision| decision.slot == slot.key && decision.counts());
        found.slots.push(search.slot(slot, decision).await?);
    }
    Ok(found)
}

/// The gate that is asked about: one that rules or criteria guard.
fn gate(workspace: &Workspace, stands: StageKind, wanted: Option<StageKind>) -> Result<StageKind, Refused> {
    let guarded: Vec<StageKind> =
        RULED_GATES.into_iter().filter(|gate| is_guarded(&workspace.charter.body, *gate)).collect();
    let names = || guarded.iter().map(StageKind::to_string).collect::<Vec<_>>().join(", ");
    match wanted {
        Some(stage) if guarded.contains(&stage) => Ok(stage),
        Some(stage) => {
            let message = format!("no rule guards the gate to {stage}; guarded are {}", names());
            Err(Refused::new(RefusalCode::Validation, message).at("stage"))
        }
        None => guarded.iter().copied().find(|gate| *gate > stands).ok_or_else(|| {
            let message = format!("the lead is at {stands}, past the gates that rules guard: {}", names());
            Refused::new(RefusalCode::Validation, message).at("stage")
        }),
    }
}

/// The ruled stage below a gate.
fn before(stage: StageKind) -> StageKind {
    RULED_GATES.into_iter().rev().find(|gate| *gate < stage).unwrap_or(StageKind::Inquiry)
}
