//! Routing: one lead at a time, against the pool as the lead before left it.

use std::collections::BTreeMap;
use std::sync::Arc;

use handfast_domain::change::{Draft, Scene};
use handfast_domain::charter::RuleSlot;
use handfast_domain::deployment::is_canary;
use handfast_domain::digest::Digest;
use handfast_domain::directory::Territory;
use handfast_domain::evaluation::{Decision, Evaluation};
use handfast_domain::field::Value;
use handfast_domain::handoff::Packet;
use handfast_domain::meeting::Expectation;
use handfast_domain::persona::PersonaMatch;
use handfast_domain::qualify::Destination;
use handfast_domain::refused::Refused;
use handfast_domain::snapshot::{OwnerState, PoolState, Snapshot};
use handfast_domain::stage::{Cause, Side, StageKind};
use handfast_domain::verdict::{Reason, Status, Target};
use handfast_rules::{Context, Routed};
use handfast_store::SPANS;
use tracing::Instrument;
use uuid::Uuid;

use super::commit::{Committed, Once, Plan};
use super::evaluate::Judgment;
use super::{Error, breaker, lead, scope};
use crate::app::App;
use crate::workspace::{Canary, LiveRule, Workspace};

/// The pools as they stand within one command: every routing moves them.
#[derive(Default)]
pub struct Pools(BTreeMap<String, (u64, Vec<OwnerState>)>);

impl Pools {
    async fn state(&mut self, app: &App, workspace: &Workspace, key: &str) -> Result<PoolState, Error> {
        if !self.0.contains_key(key) {
            let Some(pool) = workspace.directory.pool(key) else {
                return Ok(PoolState { key: key.to_owned(), revision: 0, owners: vec![] });
            };
            let state = handfast_store::directory::pool_state(
                app.store.read(),
                &workspace.directory,
                pool,
                app.now(),
            )
            .await?;
            self.0.insert(key.to_owned(), state);
        }
        let (revision, owners) = self.0.get(key).cloned().unwrap_or_default();
        Ok(PoolState { key: key.to_owned(), revision, owners })
    }

    fn moved(&mut self, key: &str, owner: Option<uuid::Uuid>, at: i64) {
        let Some((revision, owners)) = self.0.get_mut(key) else { return };
        *revision += 1;
        if let Some(owner) = owners.iter_mut().find(|state| Some(state.id) == owner) {
            owner.assigned += 1;
            owner.open_leads += 1;
            owner.last_assigned = Some(at);
            owner.available = owner.available && owner.open_leads < owner.capacity;
        }
    }
}

/// Asks the charter's router and adds its decision to the evaluation. Without a router the fallback queue serves.
/// `qualified` is the evaluation that made it an MQL, where that is not this one.
pub async fn decide(
    app: &App,
    workspace: &Workspace,
    scene: &Scene<'_>,
    judgment: &mut Judgment,
    qualified: Option<&Evaluation>,
    snapshots: &mut Vec<Arc<Snapshot>>,
    pools: &mut Pools,
) -> Result<Destination, Error> {
    let fallback = |decision| Destination {
        owner: None,
        queue: Some(workspace.charter.body.fallback_queue.clone()),
        priority: 0,
        decision,
        pool: None,
    };
    let Some(slot) = workspace.charter.body.route_slot() else { return Ok(fallback(None)) };
    let Some(rules) = workspace.rules.get(&slot.key) else { return Ok(fallback(None)) };
    let lead = judgment.evaluation.lead;
    let drawn = |canary: &&Canary| is_canary(canary.deployment.salt(), lead, canary.deployment.terms.share);
    // The share of a CANARY is asked of it, and of what is LIVE where it fails.
    let asked: Vec<&LiveRule> = rules
        .canary
        .as_ref()
        .filter(drawn)
        .map(|canary| &canary.rule)
        .into_iter()
        .chain(&rules.live)
        .collect();
    if asked.is_empty() {
        return Ok(fallback(None));
    }
    let key = slot.pool.clone().unwrap_or_default();
    let pool = pools.state(app, workspace, &key).await?;
    let mut snapshot = (*judgment.snapshot).clone();
    add_verdict(&mut snapshot, workspace, qualified.unwrap_or(&judgment.evaluation));
    add_territories(&mut snapshot, &workspace.directory.territories);
    snapshot.pool = Some(pool.clone());
    let snapshot = Arc::new(snapshot);
    let context = Context { as_of: scene.at, charter: workspace.charter.number, explain: false };
    snapshots.push(snapshot.clone());
    let mut last = None;
    for rule in asked {
        let span = tracing::debug_span!(target: SPANS, "rule", slot = slot.key, leads = 1);
        let call = app.host.assign(&rule.rule, &rule.settings, context, snapshot.clone()).instrument(span);
        let (decision, priority) = decision(app, slot, rule, snapshot.digest(), call.await);
        breaker::note(app, rule, decision.status);
        let (id, status, target) = (decision.id, decision.status, decision.target.clone());
        judgment.evaluation.decisions.push(decision);
        last = Some(id);
        if status == Status::Ok {
            let (owner, queue) = target.as_deref().map_or((None, None), target_of);
            pools.moved(&key, owner, scene.at.ms());
            let pool = Some((key, pool.revision));
            return Ok(Destination { owner, queue, priority, decision: last, pool });
        }
    }
    Ok(fallback(last))
}

/// What a router answered, as it is kept, and the priority that it gave.
pub fn decision(
    app: &App,
    slot: &RuleSlot,
    rule: &LiveRule,
    snapshot: Digest,
    answer: Routed,
) -> (Decision, i32) {
    let Routed { status, assignment, input_digest, output_digest, fuel, message } = answer;
    let decision = Decision {
        id: app.id(),
        slot: slot.key.clone(),
        gate: None,
        deployment: rule.deployment,
        version: rule.rule.digest(),
        settings: rule.settings.digest(),
        snapshot,
        input: input_digest,
        output: output_digest,
        mode: rule.mode,
        status,
        outcome: None,
        text: None,
        target: assignment.as_ref().map(|assignment| match &assignment.target {
            Target::Owner(owner) => format!("owner:{owner}"),
            Target::Queue(queue) => format!("queue:{queue}"),
        }),
        fit: 0,
        engagement: 0,
        confidence: 0,
        reasons: assignment.as_ref().map(|assignment| assignment.reasons.clone()).unwrap_or_default(),
        missing: vec![],
        review_at: None,
        fuel,
        batch_size: 1,
        engine: app.host.fingerprint().to_owned(),
        message,
    };
    (decision, assignment.map_or(0, |assignment| assignment.priority))
}

/// A router's target, as its decision keeps it.
fn target_of(text: &str) -> (Option<Uuid>, Option<String>) {
    match text.split_once(':') {
        Some(("owner", id)) => (Uuid::try_parse(id).ok(), None),
        Some(("queue", key)) => (None, Some(key.to_owned())),
        _ => (None, None),
    }
}

/// The qualification as a router may read it.
fn add_verdict(snapshot: &mut Snapshot, workspace: &Workspace, evaluation: &Evaluation) {
    let slots: Vec<_> =
        evaluation.gates.iter().rev().flat_map(|gate| workspace.charter.body.slots_of(gate.gate)).collect();
    let scores = handfast_domain::evaluation::scoring(&slots, &evaluation.decisions);
    let codes =
        evaluation.decisions.iter().flat_map(|decision| &decision.reasons).map(|reason| reason.code.clone());
    let codes: Vec<String> = codes.take(32).collect();
    let fields = &mut snapshot.fields;
    if let Some(scores) = scores {
        fields.insert("verdict.fit".into(), Value::Integer(i64::from(scores.fit)));
        fields.insert("verdict.engagement".into(), Value::Integer(i64::from(scores.engagement)));
    }
    if !codes.is_empty() {
        fields.insert("verdict.reasons".into(), Value::TextList(codes));
    }
}

/// Territories are tests on the lead; the router compares those that hold with those that an owner works.
fn add_territories(snapshot: &mut Snapshot, territories: &[Territory]) {
    let here = territories.iter().filter(|territory| territory.test.holds(&snapshot.fields));
    let keys: Vec<String> = here.map(|territory| territory.key.clone()).collect();
    if !keys.is_empty() {
        snapshot.fields.insert("lead.territories".into(), Value::TextList(keys));
    }
}

/// What sales gets with the lead: the snapshot, the rules' reasons, and what the persona cares about.
pub fn packet(
    workspace: &Workspace,
    evaluation: &Evaluation,
    snapshot: &Snapshot,
    persona: Option<&PersonaMatch>,
    expectation: Option<&Expectation>,
) -> Packet {
    let reasons: Vec<Reason> = evaluation
        .decisions
        .iter()
        .filter(|decision| decision.gate.is_some())
        .flat_map(|decision| decision.reasons.clone())
        .filter(|reason| reason.weight != 0)
        .collect();
    let found =
        persona.and_then(|found| workspace.charter.body.personas.iter().find(|one| one.key == found.key));
    let pains = found.map(|persona| persona.pains.clone()).unwrap_or_default();
    let campaign = snapshot.text("campaign.key").and_then(|key| workspace.campaign_by_key(key));
    let promises = campaign.map(|campaign| format!("Answered to: {}", campaign.name)).into_iter().collect();
    Packet::of(snapshot, &reasons, &pains, promises).expecting(expectation)
}

/// The mutation: marketing sends an MQL again, for example after it added the context that sales asked for, or with what the buyer
/// expects of the first meeting.
pub async fn by_hand(
    app: &App,
    target: &lead::Target<'_>,
    expectation: Option<&Expectation>,
) -> Result<(), Error> {
    target.viewer.require(scope::LEADS_WRITE)?;
    target.viewer.require_side(Side::Marketing, "route a lead")?;
    if Once::answered(target.once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = lead::load(app, target.lead).await?;
        let scene = lead::scene(app, &workspace, target.viewer.actor(), Cause::Routing, None);
        let mut draft = Draft::new(journey.clone(), scene);
        draft.expect_version(target.expected_version)?;
        if !journey.is_open() || journey.lead.stage != StageKind::Mql {
            let allowed = handfast_domain::sales::allowed_from(journey.lead.stage);
            return Err(Refused::illegal(journey.lead.stage, "route", &allowed).into());
        }
        if let Some(expectation) = expectation {
            let stated = draft.expect_first_meeting(expectation, true);
            stated.map_err(|refused| {
                Refused { path: vec![], ..refused }.at("input/firstMeeting/expectation")
            })?;
        }
        let ids = [target.lead];
        let profiles =
            handfast_store::profile::profiles(app.store.read(), &ids, &workspace.readable_traits()).await?;
        let Some(profile) = profiles.into_values().next() else {
            return Err(Refused::not_found("lead").into());
        };
        let expectation = expectation.cloned().or(profile.expectation.clone());
        let subject = super::evaluate::Subject { journey, profile, high_intent: false, as_of: scene.at };
        // No gate is asked again: the lead is an MQL, only its owner is in question.
        let judged = super::evaluate::judge_gates(
            app,
            &workspace,
            Cause::Routing,
            std::slice::from_ref(&subject),
            &[],
        )
        .await;
        let Some(mut judgment) = judged.into_iter().next() else { return Ok(()) };
        let mut snapshots = vec![judgment.snapshot.clone()];
        let mut pools = Pools::default();
        // What once qualified it is still why sales should care.
        let earlier = handfast_store::evaluation::newest(app.store.read(), &ids, 20).await?;
        let qualified = earlier.iter().find(|evaluation| !evaluation.gates.is_empty());
        let routed = decide(app, &workspace, &scene, &mut judgment, qualified, &mut snapshots, &mut pools);
        let destination = routed.await?;
        let reasons = qualified.unwrap_or(&judgment.evaluation);
        let packet =
            packet(&workspace, reasons, &judgment.snapshot, judgment.persona.as_ref(), expectation.as_ref());
        let mut evaluation = judgment.evaluation;
        // The log names the decision that counted; a canary that failed before it is no part of the story.
        evaluation.decisions.retain(|decision| Some(decision.id) == destination.decision);
        draft.records.push(handfast_domain::change::Record::Evaluation { evaluation, snapshots });
        draft.route(destination, packet)?;
        if target.dry_run {
            return Ok(());
        }
        let plan = Plan { changes: vec![draft.finish()], ..Plan::default() };
        match app.commit(plan, target.once.as_ref(), target.lead.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(()),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, target.lead).await)
}
