//! The word of people in the place of a rule's: the lead goes on as if the rule had said so, beside what the other rules of the
//! gate said.

use std::sync::Arc;

use handfast_domain::change::{Change, Draft};
use handfast_domain::deployment::DeploymentMode;
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::{Decision, Evaluation, RULED_GATES, judge_gate};
use handfast_domain::stage::{Cause, StageKind};
use handfast_domain::verdict::{Outcome, Status};
use uuid::Uuid;

use super::Error;
use super::evaluate::{self, Judgment, Subject};
use crate::app::App;
use crate::workspace::Workspace;

/// Evaluations in which the last word of each rule is looked for.
const LOOK_BACK: i64 = 20;

/// What people say.
pub struct Word<'d> {
    /// Identity of the decision that it becomes.
    pub id: Uuid,
    /// What the rule decided.
    pub decision: &'d Decision,
    /// Who speaks: what stands where a rule's version does.
    pub version: Digest,
    /// Of everything that it follows from.
    pub input: Digest,
    pub outcome: Outcome,
    /// Disposition reason of RECYCLE and DISQUALIFY.
    pub disposition: Option<String>,
    pub message: String,
}

/// Whether the lead still waits at the gate, in the same cycle.
pub fn waits(draft: &Draft<'_>, cycle: u32, gate: StageKind) -> bool {
    let journey = &draft.journey;
    journey.is_open() && journey.lead.cycle == cycle && journey.lead.stage < gate
}

/// The last decision of each slot at a gate that counts, in a cycle.
pub async fn votes(app: &App, lead: Uuid, cycle: u32, gate: StageKind) -> Result<Vec<Decision>, Error> {
    let newest = handfast_store::evaluation::newest(app.store.read(), &[lead], LOOK_BACK).await?;
    let mut votes: Vec<Decision> = vec![];
    let of_cycle = newest.into_iter().filter(|evaluation| evaluation.cycle == cycle);
    for decision in of_cycle.flat_map(|evaluation| evaluation.decisions) {
        let here = decision.gate == Some(gate) && decision.counts();
        if here && !votes.iter().any(|vote| vote.slot == decision.slot) {
            votes.push(decision);
        }
    }
    Ok(votes)
}

/// What becomes of a lead that waits at the gate. `draft` holds what belongs before it.
pub async fn change(
    app: &App,
    workspace: &Workspace,
    draft: Draft<'_>,
    gate: StageKind,
    mut votes: Vec<Decision>,
    word: Word<'_>,
) -> Result<Vec<Change>, Error> {
    let (journey, scene) = (draft.journey.clone(), draft.scene);
    let ids = [journey.lead.id];
    let mut profiles =
        handfast_store::profile::profiles(app.store.read(), &ids, &workspace.readable_traits()).await?;
    let Some(profile) = profiles.remove(&journey.lead.id) else { return Ok(vec![draft.finish()]) };
    let (snapshot, persona) = profile.snapshot(&journey, &workspace.charter, false);
    let decision = decision(word, snapshot.digest());
    votes.retain(|vote| vote.slot != decision.slot);
    votes.push(decision.clone());
    let result = judge_gate(&workspace.charter.body, gate, &snapshot, &votes);
    let met = result.result == Outcome::Advance;
    let mut evaluation = Evaluation {
        id: app.id(),
        lead: journey.lead.id,
        cycle: journey.lead.cycle,
        as_of: scene.at,
        charter: workspace.charter.number,
        snapshot: snapshot.digest(),
        cause: Cause::Evaluation,
        gates: vec![result],
        decisions: vec![decision],
    };
    let subject = Subject { journey, profile, high_intent: false, as_of: scene.at };
    let next: Vec<StageKind> = RULED_GATES.into_iter().filter(|next| met && *next > gate).collect();
    let asked = std::slice::from_ref(&subject);
    // Whoever met this gate is asked at the next one, as after a rule's ADVANCE.
    for further in evaluate::judge_gates(app, workspace, Cause::Evaluation, asked, &next).await {
        evaluation.gates.extend(further.evaluation.gates);
        evaluation.decisions.extend(further.evaluation.decisions);
    }
    let judgment = Judgment { evaluation, snapshot: Arc::new(snapshot), persona };
    let changes =
        evaluate::changes(app, workspace, scene, vec![subject], vec![judgment], vec![draft]).await?;
    Ok(changes.into_iter().collect::<Result<_, _>>()?)
}

fn decision(word: Word<'_>, snapshot: Digest) -> Decision {
    let Word { id, decision, version, input, outcome, disposition, message } = word;
    Decision {
        id,
        deployment: None,
        version,
        settings: Digest::of("settings", 1, &serde_json::json!({})),
        snapshot,
        input,
        output: None,
        mode: DeploymentMode::Live,
        status: Status::Ok,
        outcome: Some(outcome),
        text: None,
        target: disposition,
        reasons: vec![],
        missing: vec![],
        review_at: None,
        fuel: 0,
        batch_size: 1,
        message: Some(message),
        ..decision.clone()
    }
}
