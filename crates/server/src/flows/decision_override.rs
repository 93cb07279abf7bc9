//! Overrides: somebody of the side that answers for a slot decides one lead otherwise than its rule did. The rule goes on, and
//! how often it was overridden is counted.

use handfast_domain::change::{Change, Draft};
use handfast_domain::decision_override::DecisionOverride;
use handfast_domain::digest::Digest;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{Cause, Side, StageKind};
use handfast_domain::verdict::Outcome;
use handfast_store::decision_override as rows;
use handfast_store::evaluation::StoredDecision;
use uuid::Uuid;

use super::commit::{Ask, Committed, Once, Plan};
use super::instead::{self, Word};
use super::{Error, Viewer, lead, scope};
use crate::app::App;
use crate::workspace::Workspace;

/// Longest reason, in characters.
const WORDS: usize = 2_000;

/// What is to come out instead.
#[derive(Clone, Debug)]
pub struct Override {
    pub decision: Uuid,
    pub outcome: Outcome,
    pub reason: String,
    /// Disposition reason of RECYCLE and DISQUALIFY.
    pub disposition: Option<String>,
    /// Version that the lead must still have.
    pub expected_version: Option<i64>,
}

/// Decides one lead otherwise than a rule did. The lead goes where the gate's votes send it with this one.
pub async fn override_decision(app: &App, ask: &Ask<'_>, input: Override) -> Result<Uuid, Error> {
    person(ask.viewer)?;
    let (reason, length) = (input.reason.trim().to_owned(), input.reason.trim().chars().count());
    if !(1..=WORDS).contains(&length) {
        let message = format!("say in 1 to {WORDS} characters why, found {length}");
        return Err(Refused::invalid("input/reason", message).into());
    }
    if Once::answered(ask.once.as_ref(), app).await?.is_some() {
        return Ok(input.decision);
    }
    let input = Override { reason, ..input };
    let mut tries = lead::Tries::default();
    let mut of = None;
    while tries.again() {
        let stored = handfast_store::evaluation::decision(app.store.read(), input.decision).await?;
        let stored = stored.ok_or_else(|| Refused::not_found("decision").at("input/decision"))?;
        of = Some(stored.lead);
        let changes = change(app, ask.viewer, &stored, &input).await?;
        if ask.dry_run {
            return Ok(input.decision);
        }
        let plan = Plan { changes, ..Plan::default() };
        match app.commit(plan, ask.once.as_ref(), input.decision.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(input.decision),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, of.unwrap_or_default()).await)
}

async fn change(
    app: &App,
    viewer: &Viewer,
    stored: &StoredDecision,
    input: &Override,
) -> Result<Vec<Change>, Error> {
    let workspace = app.workspace();
    let decision = &stored.decision;
    let side = responsible(&workspace, viewer, &decision.slot)?;
    let gate = asked(stored)?;
    let journey = lead::load(app, stored.lead).await?;
    let cycle = journey.lead.cycle;
    let scene = lead::scene(app, &workspace, viewer.actor(), Cause::Evaluation, None);
    let mut draft = Draft::new(journey, scene);
    draft.expect_version(input.expected_version)?;
    let instead = app.id();
    draft.override_decision(
        gate,
        DecisionOverride {
            decision: decision.id,
            instead,
            lead: stored.lead,
            slot: decision.slot.clone(),
            deployment: decision.deployment,
            version: decision.version,
            was: decision.outcome,
            outcome: input.outcome,
            disposition: input.disposition.clone(),
            reason: input.reason.clone(),
            user: viewer.id(),
            side,
            at: scene.at,
        },
    )?;
    let votes = instead::votes(app, stored.lead, cycle, gate).await?;
    let counts = votes.iter().find(|vote| vote.slot == decision.slot);
    if let Some(other) = counts.filter(|vote| vote.id != decision.id) {
        let before = rows::of(app.store.read(), &[decision.id]).await?;
        let why = match before.contains_key(&decision.id) {
            true => "it was overridden already",
            false => "the slot has decided on this lead again",
        };
        let message = format!("{why}: the decision that counts is {}", other.id);
        return Err(Refused::new(RefusalCode::DecisionState, message).at("input/decision").into());
    }
    if counts.is_none() {
        let message =
            "the decision is of another cycle of the lead, or too long ago; evaluate the lead again";
        return Err(Refused::new(RefusalCode::DecisionState, message).at("input/decision").into());
    }
    let word = Word {
        id: instead,
        decision,
        version: Digest::of("override", 1, &decision.id),
        input: Digest::of("override", 1, &(decision.id, &input.outcome)),
        outcome: input.outcome,
        disposition: input.disposition.clone(),
        message: format!("somebody of {side} decided otherwise than the rule"),
    };
    instead::change(app, &workspace, draft, gate, votes, word).await
}

/// The gate of a decision that counts.
fn asked(stored: &StoredDecision) -> Result<StageKind, Refused> {
    let decision = &stored.decision;
    let refuse = |message: String| Refused::new(RefusalCode::DecisionState, message).at("input/decision");
    let Some(gate) = decision.gate else {
        return Err(refuse("a router decided it, and who has a lead is changed by routeLead".to_owned()));
    };
    if !decision.counts() {
        return Err(refuse(format!("what a {} said counts for no lead", decision.mode)));
    }
    Ok(gate)
}

fn person(viewer: &Viewer) -> Result<(), Refused> {
    viewer.require(scope::LEADS_WRITE)?;
    let side = viewer.user.side;
    if viewer.user.service || !matches!(side, Side::Marketing | Side::Sales) {
        let message =
            format!("people of MARKETING or of SALES, whose slot it is, override decisions; you are {side}");
        return Err(Refused::new(RefusalCode::Forbidden, message));
    }
    Ok(())
}

/// Whoever answers for the slot: the side of its team; either side, where operations own it.
fn responsible(workspace: &Workspace, viewer: &Viewer, key: &str) -> Result<Side, Refused> {
    let side = viewer.user.side;
    let slot = workspace.charter.body.slots.iter().find(|slot| slot.key == key);
    let slot = slot.ok_or_else(|| {
        let message = format!("the charter in force has no slot {key:?} any more");
        Refused::new(RefusalCode::DecisionState, message).at("input/decision")
    })?;
    let team = workspace.directory.teams.iter().find(|team| team.key == slot.team);
    let owner = team.map_or(Side::Ops, |team| team.side);
    if owner == side || owner == Side::Ops {
        return Ok(side);
    }
    let message = format!("only {owner} can override what {key} decides, whose slot it is; you are {side}");
    Err(Refused::new(RefusalCode::Forbidden, message).at("input/decision"))
}
