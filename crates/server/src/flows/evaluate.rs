//! Evaluation: gate by gate, all leads of a batch together, every rule slot asked once for all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use futures_util::stream::{self, StreamExt};
use handfast_domain::change::{Change, Draft, Scene};
use handfast_domain::charter::RuleSlot;
use handfast_domain::deployment::{Breaker, DeploymentMode, is_canary};
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::{Decision, Evaluation, RULED_GATES, furthest_met, is_guarded, judge_gate};
use handfast_domain::event::{Actor, ActorKind};
use handfast_domain::lead::Journey;
use handfast_domain::persona::PersonaMatch;
use handfast_domain::profile::Profile;
use handfast_domain::qualify::Judgement;
use handfast_domain::reevaluation::Looked;
use handfast_domain::refused::Refused;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::{Cause, StageKind};
use handfast_domain::time::Instant;
use handfast_domain::verdict::{Outcome, Verdict};
use handfast_rules::{Context, Descriptor, Judged, NativeRule, Rule, Settings};
use handfast_store::SPANS;
use tracing::Instrument;
use uuid::Uuid;

use super::commit::{Committed, Once, Plan};
use super::route::{self, Pools};
use super::{Error, breaker, lead, reevaluation, scope};
use crate::app::App;
use crate::telemetry;
use crate::workspace::{Canary, LiveRule, Workspace};

/// Calls of one rule that are under way for one batch.
const CALLS: usize = 4;

/// A lead to be judged: where it stands and what is known of it.
pub struct Subject {
    pub journey: Journey,
    pub profile: Profile,
    /// Caused by an act of high intent.
    pub high_intent: bool,
    pub as_of: Instant,
}

/// A judged lead: its evaluation so far, and the snapshot that it was judged by.
pub struct Judgment {
    pub evaluation: Evaluation,
    pub snapshot: Arc<Snapshot>,
    pub persona: Option<PersonaMatch>,
}

/// Judges all subjects at the gates that rules may open, each up to its first closed gate.
pub async fn judge(app: &App, workspace: &Workspace, cause: Cause, subjects: &[Subject]) -> Vec<Judgment> {
    judge_gates(app, workspace, cause, subjects, &RULED_GATES).await
}

/// Judges all subjects at the given gates, in order.
pub async fn judge_gates(
    app: &App,
    workspace: &Workspace,
    cause: Cause,
    subjects: &[Subject],
    gates: &[StageKind],
) -> Vec<Judgment> {
    let charter = &workspace.charter;
    let mut judged: Vec<Judgment> = subjects
        .iter()
        .map(|subject| {
            let (snapshot, persona) =
                subject.profile.snapshot(&subject.journey, charter, subject.high_intent);
            let lead = &subject.journey.lead;
            let evaluation = Evaluation {
                id: app.id(),
                lead: lead.id,
                cycle: lead.cycle,
                as_of: subject.as_of,
                charter: charter.number,
                snapshot: snapshot.digest(),
                cause,
                gates: vec![],
                decisions: vec![],
            };
            Judgment { evaluation, snapshot: Arc::new(snapshot), persona }
        })
        .collect();
    for gate in gates.iter().copied().filter(|gate| is_guarded(&charter.body, *gate)) {
        let waits = |place: &usize| {
            let below = subjects[*place].journey.lead.stage < gate;
            below && judged[*place].evaluation.gates.last().is_none_or(|last| last.result == Outcome::Advance)
        };
        let asked: Vec<usize> = (0..subjects.len()).filter(waits).collect();
        for slot in charter.body.slots_of(gate) {
            ask(app, workspace, slot, gate, subjects, &asked, &mut judged).await;
        }
        for place in asked {
            let Judgment { evaluation, snapshot, .. } = &mut judged[place];
            let result = judge_gate(&charter.body, gate, snapshot, &evaluation.decisions);
            evaluation.gates.push(result);
        }
    }
    judged
}

/// Asks one slot for all leads that wait at its gate: the CANARY for its share, what is LIVE for the others, and for those with
/// which the CANARY failed.
async fn ask(
    app: &App,
    workspace: &Workspace,
    slot: &RuleSlot,
    gate: StageKind,
    subjects: &[Subject],
    asked: &[usize],
    judged: &mut [Judgment],
) {
    let live = live_rule(workspace, slot);
    let Some(canary) = workspace.rules.get(&slot.key).and_then(|rules| rules.canary.as_ref()) else {
        return ask_rule(app, workspace, (slot, gate), live, subjects, asked, judged).await;
    };
    let drawn = |place: &&usize| draws(canary, subjects[**place].journey.lead.id);
    let (few, mut rest): (Vec<usize>, Vec<usize>) = asked.iter().partition(drawn);
    ask_rule(app, workspace, (slot, gate), &canary.rule, subjects, &few, judged).await;
    let failed = |place: &usize| {
        let last = judged[*place].evaluation.decisions.last();
        last.is_none_or(|decision| !decision.counts())
    };
    rest.extend(few.into_iter().filter(failed));
    ask_rule(app, workspace, (slot, gate), live, subjects, &rest, judged).await;
}

/// Whether a lead is one of the CANARY's share.
pub fn draws(canary: &Canary, lead: Uuid) -> bool {
    is_canary(canary.deployment.salt(), lead, canary.deployment.terms.share)
}

/// Asks one rule. Leads of one call share the instant, since it is an input.
async fn ask_rule(
    app: &App,
    workspace: &Workspace,
    (slot, gate): (&RuleSlot, StageKind),
    rule: &LiveRule,
    subjects: &[Subject],
    asked: &[usize],
    judged: &mut [Judgment],
) {
    let mut by_instant: BTreeMap<Instant, Vec<usize>> = BTreeMap::new();
    for place in asked {
        by_instant.entry(subjects[*place].as_of).or_default().push(*place);
    }
    let calls: Vec<_> = by_instant
        .into_iter()
        .map(|(as_of, places)| {
            let context = Context { as_of, charter: workspace.charter.number, explain: false };
            let leads = places.iter().map(|place| judged[*place].snapshot.clone()).collect();
            let span = tracing::debug_span!(target: SPANS, "rule", slot = slot.key, leads = places.len());
            let call = app.host.evaluate(&rule.rule, &rule.settings, context, leads).instrument(span);
            async move { (places, call.await) }
        })
        .collect();
    // The past has an instant for each lead, and so a call: some at a time, so that no thread waits for the next one.
    let answered: Vec<_> = stream::iter(calls).buffered(CALLS).collect().await;
    for (places, answers) in answered {
        for (place, answer) in places.into_iter().zip(answers) {
            let evaluation = &mut judged[place].evaluation;
            let decision = decision(app, slot, gate, rule, evaluation.snapshot, answer);
            breaker::note(app, rule, decision.status);
            evaluation.decisions.push(decision);
        }
    }
}

/// What a rule answered, as it is kept.
pub fn decision(
    app: &App,
    slot: &RuleSlot,
    gate: StageKind,
    live: &LiveRule,
    snapshot: Digest,
    answer: Judged,
) -> Decision {
    let Judged { status, verdict, input_digest, output_digest, fuel, batch_size, message } = answer;
    let verdict = verdict.as_ref();
    let decision = Decision {
        id: app.id(),
        slot: slot.key.clone(),
        gate: Some(gate),
        deployment: live.deployment,
        version: live.rule.digest(),
        settings: live.settings.digest(),
        snapshot,
        input: input_digest,
        output: output_digest,
        mode: live.mode,
        status,
        outcome: verdict.map(|verdict| verdict.outcome),
        text: verdict.and_then(|verdict| verdict.text.clone()),
        target: verdict.and_then(|verdict| verdict.disposition.clone()),
        fit: verdict.map_or(0, |verdict| verdict.fit),
        engagement: verdict.map_or(0, |verdict| verdict.engagement),
        confidence: verdict.map_or(0, |verdict| verdict.confidence),
        reasons: verdict.map(|verdict| verdict.reasons.clone()).unwrap_or_default(),
        missing: verdict.map(|verdict| verdict.missing.clone()).unwrap_or_default(),
        review_at: verdict.and_then(|verdict| verdict.review_at),
        fuel,
        batch_size,
        engine: app.host.fingerprint().to_owned(),
        message,
    };
    telemetry::decided(&decision);
    decision
}

/// The rule that answers for a slot: the live one, or the built-in rule that holds every lead.
pub fn live_rule<'w>(workspace: &'w Workspace, slot: &RuleSlot) -> &'w LiveRule {
    let live = workspace.rules.get(&slot.key).and_then(|rules| rules.live.as_ref());
    live.unwrap_or(&HOLD)
}

/// The built-in rule of a slot without a deployment: nothing passes a gate that nobody guards.
static HOLD: LazyLock<LiveRule> = LazyLock::new(|| {
    let descriptor = Descriptor {
        name: "built-in/hold".into(),
        version: "1".into(),
        summary: "Holds every lead until a rule is deployed to the slot.".into(),
        settings_schema: serde_json::json!({}),
        reason_codes: vec![],
        reads: vec![],
    };
    let hold = |_: &serde_json::Value, _: &Context, _: &Snapshot| Verdict {
        outcome: Outcome::Hold,
        text: None,
        disposition: None,
        fit: 0,
        engagement: 0,
        confidence: 0,
        reasons: vec![],
        missing: vec![],
        review_at: None,
        trace: vec![],
    };
    LiveRule {
        deployment: None,
        mode: DeploymentMode::Live,
        rule: Rule::Native(Arc::new(NativeRule::qualifier(descriptor, hold))),
        settings: Settings::from(serde_json::json!({})),
        breaker: Breaker::default(),
    }
});

/// Which of the leads that are named a look is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Those of which something changed that their rules read.
    Changed,
    /// All of them: time has passed, or somebody asks.
    All,
    /// All of them, and closed ones come back: they showed high intent.
    HighIntent,
}

/// From judgments to changes: what the domain makes of each, and a route for those that reached MQL. `prepare` does to
/// each draft what belongs before the evaluation: a capture, an activity, nothing.
pub async fn changes(
    app: &App,
    workspace: &Workspace,
    scene: Scene<'_>,
    subjects: Vec<Subject>,
    judged: Vec<Judgment>,
    prepared: Vec<Draft<'_>>,
) -> Result<Vec<Result<Change, Refused>>, Error> {
    let mut pools = Pools::default();
    let mut done = Vec::with_capacity(judged.len());
    for ((mut draft, subject), mut judgment) in prepared.into_iter().zip(subjects).zip(judged) {
        draft.urgent = subject.high_intent;
        draft.incumbent = subject.profile.company.incumbent.clone();
        let reached = furthest_met(&judgment.evaluation.gates);
        let routes =
            scene.live && reached == Some(StageKind::Mql) && subject.journey.lead.stage < StageKind::Mql;
        let mut snapshots = vec![judgment.snapshot.clone()];
        let routed = match routes {
            true => Some(
                route::decide(app, workspace, &scene, &mut judgment, None, &mut snapshots, &mut pools)
                    .await?,
            ),
            false => None,
        };
        let Judgment { evaluation, snapshot, persona } = judgment;
        let expectation = subject.profile.expectation.as_ref();
        let packet = routed
            .as_ref()
            .map(|_| route::packet(workspace, &evaluation, &snapshot, persona.as_ref(), expectation));
        let result =
            draft.evaluated(Judgement { evaluation, snapshots, persona }).and_then(|()| {
                match routed.zip(packet) {
                    Some((destination, packet)) => draft.route(destination, packet),
                    None => Ok(()),
                }
            });
        done.push(result.map(|()| draft.finish()));
    }
    Ok(done)
}

/// Evaluates known leads as of now. Leads that are closed, or past the ruled gates, are left alone.
pub async fn evaluate(
    app: &App,
    actor: Actor,
    cause: Cause,
    leads: &[Uuid],
    look: Look,
) -> Result<Looked, Error> {
    evaluate_once(app, actor, cause, leads, look, None, None).await
}

/// The mutation: one lead, by a person.
pub async fn by_hand(app: &App, target: &lead::Target<'_>) -> Result<(), Error> {
    target.viewer.require(scope::LEADS_WRITE)?;
    if Once::answered(target.once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let journey = lead::load(app, target.lead).await?;
    if target.expected_version.is_some_and(|expected| expected != journey.lead.version) {
        return Err(Refused::version(journey.lead.version).into());
    }
    if !journey.is_open() || journey.lead.stage >= StageKind::Mql {
        let allowed = handfast_domain::sales::allowed_from(journey.lead.stage);
        return Err(Refused::illegal(journey.lead.stage, "evaluate", &allowed).into());
    }
    if target.dry_run {
        return Ok(());
    }
    let actor = target.viewer.actor();
    let (once, expected) = (target.once.as_ref(), target.expected_version);
    evaluate_once(app, actor, Cause::Evaluation, &[target.lead], Look::All, once, expected).await?;
    Ok(())
}

async fn evaluate_once(
    app: &App,
    actor: Actor,
    cause: Cause,
    leads: &[Uuid],
    look: Look,
    once: Option<&Once>,
    expected: Option<i64>,
) -> Result<Looked, Error> {
    let high_intent = look == Look::HighIntent;
    let mut conflict = None;
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journeys = handfast_store::lead::journeys(app.store.read(), leads).await?;
        if let Some((expected, journey)) = expected.zip(journeys.values().next())
            && journey.lead.version != expected
        {
            return Err(Refused::version(journey.lead.version).into());
        }
        let ids: Vec<Uuid> = journeys.keys().copied().collect();
        let mut profiles =
            handfast_store::profile::profiles(app.store.read(), &ids, &workspace.readable_traits()).await?;
        let scene = lead::scene(app, &workspace, actor, cause, None);
        let (mut subjects, mut drafts) = (vec![], vec![]);
        for (id, journey) in journeys {
            let cycle = journey.lead.cycle;
            let mut draft = Draft::new(journey, scene);
            if high_intent {
                come_back(&mut draft);
            }
            let Some(mut profile) = profiles.remove(&id) else { continue };
            if draft.journey.lead.cycle != cycle {
                profile.begin_cycle();
            }
            if draft.journey.is_open() && draft.journey.lead.stage < StageKind::Mql {
                let journey = draft.journey.clone();
                subjects.push(Subject { journey, profile, high_intent, as_of: scene.at });
                drafts.push(draft);
            }
        }
        let all = subjects.len();
        if look == Look::Changed {
            let unchanged = reevaluation::unchanged(app, &workspace, subjects.iter()).await?;
            (subjects, drafts) = subjects
                .into_iter()
                .zip(drafts)
                .filter(|(subject, _)| !unchanged.contains(&subject.journey.lead.id))
                .unzip();
        }
        let judged = judge(app, &workspace, cause, &subjects).await;
        let changes = changes(app, &workspace, scene, subjects, judged, drafts).await?;
        let changes: Vec<Change> = changes.into_iter().collect::<Result<_, _>>()?;
        let looked = looked(all, &changes);
        if changes.is_empty() {
            return Ok(looked);
        }
        let plan = Plan { changes, ..Plan::default() };
        let answer = leads.first().map(Uuid::to_string).unwrap_or_default();
        match app.commit(plan, once, answer).await? {
            Committed::Done | Committed::Before(_) => return Ok(looked),
            Committed::Overtaken(with) => {
                tries.overtaken(&with);
                conflict = Some(with);
            }
        }
    }
    Err(conflict.as_ref().map_or_else(|| Refused::version(0), lead::conflict).into())
}

fn looked(leads: usize, changes: &[Change]) -> Looked {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let moved = |change: &&Change| {
        let (before, after) = (&change.before.lead, &change.after.lead);
        (before.stage, before.outcome) != (after.stage, after.outcome)
    };
    Looked {
        leads: count(leads),
        unchanged: count(leads - changes.len()),
        judged: count(changes.len()),
        moved: count(changes.iter().filter(moved).count()),
    }
}

/// A closed lead that shows high intent opens its next cycle, in the same change in which the rules judge it; whoever
/// asked never to be contacted stays closed.
fn come_back(draft: &mut Draft<'_>) {
    let Some(by) = draft.journey.lead.comes_back_by() else { return };
    if !draft.journey.lead.suppressed {
        // Refused only for what was asked just now.
        let _ = draft.requalify(by);
    }
}

/// The actor of what rules do by themselves.
pub const RULE: Actor = Actor::of(ActorKind::Rule);
