//! Versions that run beside the one that counts: after the commit, on a bounded queue, so that no lead waits for them. What
//! they say is recorded; where they disagree, a few grey cases a day are opened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use handfast_domain::change::{Draft, Record};
use handfast_domain::evaluation::{Decision, Evaluation};
use handfast_domain::event::GreyTrigger;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::Cause;
use handfast_domain::time::{DAY, Instant};
use handfast_domain::verdict::Status;
use handfast_rules::Context;
use handfast_store::StoreError;
use handfast_store::deployment::{self as rows, ShadowDecision};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::commit::Plan;
use super::evaluate::{self, RULE};
use super::{Error, breaker, lead, route};
use crate::app::App;
use crate::workspace::{Shadow, Workspace};

/// Evaluations that may wait. Beyond that they are left out, and counted.
const QUEUE: usize = 2_048;
/// Evaluations that are looked at together.
const TOGETHER: usize = 500;

/// One evaluation that was committed, with what it was made from.
pub struct Seen {
    workspace: Arc<Workspace>,
    evaluation: Evaluation,
    snapshots: Vec<Arc<Snapshot>>,
}

/// What waits, and what was left out.
pub struct Shadows {
    sender: mpsc::Sender<Seen>,
    receiver: Mutex<Option<mpsc::Receiver<Seen>>>,
    left_out: AtomicU64,
}

impl Default for Shadows {
    fn default() -> Shadows {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Shadows { sender, receiver: Mutex::new(Some(receiver)), left_out: AtomicU64::new(0) }
    }
}

impl Shadows {
    /// Evaluations that were left out since this process began, because too many waited.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    pub fn offer(&self, seen: Vec<Seen>) {
        for one in seen {
            if self.sender.try_send(one).is_err() {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("handfast_shadow_left_out_total").increment(1);
            }
        }
    }
}

/// The evaluations of a plan that a shadow has something to say to; none, mostly, and then nothing is copied.
pub fn seen(workspace: &Arc<Workspace>, plan: &Plan) -> Vec<Seen> {
    if workspace.rules.values().all(|rules| rules.shadows.is_empty()) {
        return vec![];
    }
    let records = || plan.changes.iter().flat_map(|change| &change.records);
    // What people decided is no rule's word that a shadow could disagree with: it would ask them the same again.
    if plan.resolved.is_some() || records().any(|record| matches!(record, Record::Override(_))) {
        return vec![];
    }
    let seen = records().filter_map(|record| match record {
        Record::Evaluation { evaluation, snapshots } => Some(Seen {
            workspace: workspace.clone(),
            evaluation: evaluation.clone(),
            snapshots: snapshots.clone(),
        }),
        _ => None,
    });
    seen.collect()
}

/// Runs for as long as the server does.
pub async fn run(app: App) {
    let receiver = app.shadows.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut receiver) = receiver else { return };
    let mut budget = Budget::default();
    let mut waiting = Vec::with_capacity(TOGETHER);
    while receiver.recv_many(&mut waiting, TOGETHER).await > 0 {
        if let Err(error) = judge(&app, &mut budget, std::mem::take(&mut waiting)).await {
            tracing::warn!(%error, "what shadows said of some leads was not kept");
        }
    }
}

/// What a shadow said beside the decision that counted.
struct Said {
    lead: Uuid,
    /// The shadow's name, its verdict, and the one that counted.
    text: String,
    decision: Uuid,
}

async fn judge(app: &App, budget: &mut Budget, seen: Vec<Seen>) -> Result<(), Error> {
    let mut kept = vec![];
    let mut disagreed: Vec<(Shadow, Vec<Said>)> = vec![];
    let now = app.workspace();
    let mut shadows: BTreeMap<Uuid, (String, Shadow)> = BTreeMap::new();
    for (slot, shadow) in seen
        .iter()
        .flat_map(|one| &one.workspace.rules)
        .flat_map(|(slot, rules)| rules.shadows.iter().map(move |shadow| (slot, shadow)))
    {
        shadows.entry(shadow.deployment.id).or_insert_with(|| (slot.clone(), shadow.clone()));
    }
    // Whoever was ended meanwhile says nothing more.
    shadows.retain(|id, (slot, _)| now.rules.get(slot).is_some_and(|rules| rules.is_running(*id)));
    for (slot, shadow) in shadows.into_values() {
        let answers = ask(app, &slot, &shadow, &seen).await;
        let mut said = vec![];
        for (place, counted, decision) in answers {
            breaker::note(app, &shadow.rule, decision.status);
            if decision.status == Status::Busy {
                app.shadows.left_out.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let agrees = (decision.outcome, &decision.target) == (counted.outcome, &counted.target);
            let Seen { evaluation, .. } = &seen[place];
            if decision.status == Status::Ok && !agrees {
                let text = format!("{} beside {}", verdict(&decision), verdict(counted));
                said.push(Said { lead: evaluation.lead, text, decision: decision.id });
            }
            let (id, lead, as_of) = (evaluation.id, evaluation.lead, evaluation.as_of);
            kept.push(ShadowDecision { evaluation: id, lead, as_of, decision, agrees });
        }
        disagreed.push((shadow, said));
    }
    let written = app.store.try_write_beside::<_, StoreError, _>(move |tx| {
        Box::pin(async move { rows::put_shadow_decisions(tx, &kept).await })
    });
    written.await?;
    for (shadow, said) in disagreed {
        for one in said {
            if !budget.allows(app, &shadow).await? {
                break;
            }
            if open(app, &shadow, one).await? {
                budget.spent(&shadow);
            }
        }
    }
    Ok(())
}

/// Place of an evaluation, the decision that counted, and what it was made from.
type Asked<'d> = (usize, &'d Decision, Arc<Snapshot>);

/// What the shadow says of each evaluation in which its slot decided, beside the decision that counted.
async fn ask<'s>(
    app: &App,
    slot: &str,
    shadow: &Shadow,
    seen: &'s [Seen],
) -> Vec<(usize, &'s Decision, Decision)> {
    let mut gates: BTreeMap<(Instant, u32), Vec<Asked<'_>>> = BTreeMap::new();
    let mut answers = vec![];
    for (place, one) in seen.iter().enumerate() {
        let Some(defined) = one.workspace.charter.body.slots.iter().find(|defined| defined.key == slot)
        else {
            continue;
        };
        let counted = one.evaluation.decisions.iter().filter(|d| d.slot == slot && d.counts());
        for decision in counted {
            let snapshot = one.snapshots.iter().find(|snapshot| snapshot.digest() == decision.snapshot);
            let Some(snapshot) = snapshot.cloned() else { continue };
            let (as_of, charter) = (one.evaluation.as_of, one.evaluation.charter);
            if decision.gate.is_some() {
                gates.entry((as_of, charter)).or_default().push((place, decision, snapshot));
                continue;
            }
            // A router is asked with the owners as they were then: they stand in the snapshot.
            let context = Context { as_of, charter, explain: false };
            let digest = snapshot.digest();
            let routed = app.host.assign(&shadow.rule.rule, &shadow.rule.settings, context, snapshot).await;
            let (said, _) = route::decision(app, defined, &shadow.rule, digest, routed);
            answers.push((place, decision, said));
        }
    }
    for ((as_of, charter), asked) in gates {
        let context = Context { as_of, charter, explain: false };
        let leads = asked.iter().map(|(_, _, snapshot)| snapshot.clone()).collect();
        let judged = app.host.evaluate(&shadow.rule.rule, &shadow.rule.settings, context, leads).await;
        for ((place, counted, snapshot), answer) in asked.into_iter().zip(judged) {
            let body = &seen[place].workspace.charter.body;
            let Some((defined, gate)) = body.slots.iter().find(|one| one.key == slot).zip(counted.gate)
            else {
                continue;
            };
            let said = evaluate::decision(app, defined, gate, &shadow.rule, snapshot.digest(), answer);
            answers.push((place, counted, said));
        }
    }
    answers
}

fn verdict(decision: &Decision) -> String {
    let outcome = decision.outcome.map(handfast_domain::evaluation::outcome_text);
    let said = outcome.or(decision.target.as_deref()).unwrap_or("nothing");
    format!("{} says {said}", decision.mode)
}

/// Opens a grey case, unless one is open or the lead has moved on; answers whether it did.
async fn open(app: &App, shadow: &Shadow, said: Said) -> Result<bool, Error> {
    let workspace = app.workspace();
    let journey = lead::load(app, said.lead).await?;
    let slot = shadow.deployment.slot.clone();
    if !journey.is_open() || journey.lead.grey_slots.contains(&slot) {
        return Ok(false);
    }
    let mut draft = Draft::new(journey, lead::scene(app, &workspace, RULE, Cause::Evaluation, None));
    draft.open_grey_case(slot, said.decision, GreyTrigger::Disagreement, Some(said.text));
    let plan = Plan { changes: vec![draft.finish()], ..Plan::default() };
    // Whoever changes the lead meanwhile does something more important.
    Ok(matches!(app.commit(plan, None, String::new()).await?, super::commit::Committed::Done))
}

/// Grey cases of today, by deployment.
#[derive(Default)]
struct Budget(BTreeMap<Uuid, (i32, i64)>);

impl Budget {
    async fn allows(&mut self, app: &App, shadow: &Shadow) -> Result<bool, Error> {
        let deployment = &shadow.deployment;
        let workspace = app.workspace();
        let today = workspace.day(app.now());
        if self.0.get(&deployment.id).is_none_or(|(day, _)| *day != today) {
            let since = app.now().plus(-DAY);
            let opened = rows::grey_cases(app.store.read(), deployment.id, since).await?;
            self.0.insert(deployment.id, (today, opened));
        }
        let spent = self.0.get(&deployment.id).map_or(0, |(_, spent)| *spent);
        Ok(spent < i64::from(deployment.terms.grey_cases_a_day))
    }

    fn spent(&mut self, shadow: &Shadow) {
        if let Some((_, spent)) = self.0.get_mut(&shadow.deployment.id) {
            *spent += 1;
        }
    }
}
