//! Looking again: which leads have changed since their last look, and long passes over all that wait before a gate, in pages,
//! with their progress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use handfast_domain::digest::Digest;
use handfast_domain::evaluation::{Decision, Evaluation, RULED_GATES};
use handfast_domain::reevaluation::{Answering, Looked, Reevaluation, ReevaluationCause, Waiting, stands};
use handfast_domain::refused::Refused;
use handfast_domain::run::RunStatus;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::stage::Cause;
use handfast_store::StoreError;
use handfast_store::person::Account;
use handfast_store::reevaluation as store;
use uuid::Uuid;

use super::commit::{Ask, Decided};
use super::evaluate::{self, Look, Subject, draws, live_rule};
use super::turn::{self, PATIENCE, patiently};
use super::{Error, scope};
use crate::app::App;
use crate::workspace::{LiveRule, Workspace};

/// Leads in one command; a group stays well below the writer's patience.
const PAGE: i64 = 64;
/// Passes that may wait.
const WAITING: usize = 1_000;
/// How often it is looked whether an import is over.
const LOOK: Duration = Duration::from_millis(500);

/// Checks what is asked for and puts the pass at the end of the queue. A dry run answers how many leads wait.
pub async fn start(
    app: &App,
    ask: &Ask<'_>,
    waiting: Waiting,
    everything: bool,
) -> Result<Reevaluation, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    if let Some(gate) = waiting.gate
        && !RULED_GATES.contains(&gate)
    {
        let message = format!("rules open the gates to IQL and MQL; the gate to {gate} needs a person");
        return Err(Refused::invalid("input/gate", message).into());
    }
    if store::unfinished(app.store.read()).await?.len() >= WAITING {
        let message = format!("{WAITING} passes wait already; wait until some are done, or cancel them");
        return Err(Refused::invalid("input", message).into());
    }
    let total = store::count(app.store.read(), &waiting, Uuid::nil()).await?;
    let run = Reevaluation {
        total,
        everything,
        started_by: Some(ask.viewer.id()),
        ..queued(app, ReevaluationCause::Person, waiting)
    };
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            store::insert(tx, std::slice::from_ref(&run)).await?;
            let id = run.id.to_string();
            Ok((run, id))
        })
    });
    match decided.await? {
        Decided::Now(run) => {
            app.reevaluations.notify_one();
            Ok(run)
        }
        Decided::Before(id) => {
            let id = Uuid::try_parse(&id).map_err(|_| Error::fault(format!("{id:?} is no re-evaluation")))?;
            get(app, id).await?.ok_or_else(|| Refused::not_found("re-evaluation").into())
        }
    }
}

pub async fn get(app: &App, id: Uuid) -> Result<Option<Reevaluation>, Error> {
    Ok(store::get(app.store.read(), id).await?)
}

/// Stops a pass, also one that waits. What it judged stays judged.
pub async fn cancel(app: &App, viewer: &super::Viewer, id: Uuid) -> Result<Reevaluation, Error> {
    viewer.require(scope::LEADS_WRITE)?;
    let now = app.now();
    let message = Some("cancelled by a person");
    app.store
        .write(move |tx| {
            Box::pin(async move { store::end(tx, id, RunStatus::Cancelled, message, now).await })
        })
        .await?;
    get(app, id).await?.ok_or_else(|| Refused::not_found("re-evaluation").at("input/id").into())
}

fn queued(app: &App, cause: ReevaluationCause, waiting: Waiting) -> Reevaluation {
    Reevaluation {
        id: app.id(),
        cause,
        waiting,
        everything: false,
        status: RunStatus::Queued,
        after: Uuid::nil(),
        looked: Looked::default(),
        total: 0,
        message: None,
        started_by: None,
        started_at: app.now(),
        finished_at: None,
    }
}

/// More is known of these companies: their other leads are to be looked at, unless nothing reads a company's fields.
pub fn of_accounts<'a>(
    app: &App,
    workspace: &Workspace,
    accounts: impl Iterator<Item = &'a Account>,
) -> Vec<Reevaluation> {
    let mut accounts = accounts.peekable();
    // Mostly nothing new is known of any, and then nothing is looked up.
    if accounts.peek().is_none() || !reads(workspace).iter().any(|path| path.starts_with("company.")) {
        return vec![];
    }
    let wait = |account: &Account| Waiting { account: Some(account.id), ..Waiting::default() };
    accounts.map(|account| queued(app, ReevaluationCause::Account, wait(account))).collect()
}

/// Every field that decides before a person does: by a rule, by a criterion, by a persona.
fn reads(workspace: &Workspace) -> BTreeSet<&str> {
    let body = &workspace.charter.body;
    let personas = body.personas.iter().flat_map(|persona| &persona.traits).map(|one| &one.test);
    let criteria = RULED_GATES.iter().filter_map(|gate| body.stage(*gate)).flat_map(|stage| &stage.entry);
    let ideal = body.ideal_profiles.iter().flat_map(|profile| &profile.criteria).map(|one| &one.test);
    let personas = personas.chain(ideal).chain(&body.ideal_customer);
    let tests = personas.chain(criteria.filter_map(|criterion| criterion.test.as_ref()));
    let rules = workspace
        .rules
        .values()
        .flat_map(|slot| slot.live.iter().chain(slot.canary.iter().map(|canary| &canary.rule)));
    let declared = rules.flat_map(|rule| &rule.rule.descriptor().reads).map(|(path, _)| path.as_str());
    tests.map(|test| test.field.as_str()).chain(declared).collect()
}

/// Carries out passes one after the other. What an earlier process left unfinished goes on where it was.
pub async fn run(app: App) {
    let unfinished = |app: App| async move { store::unfinished(app.store.read()).await };
    let one = |app: App, run| async move { one(&app, run).await };
    turn::take(app, "re-evaluations", |app| &app.reevaluations, unfinished, one).await;
}

async fn one(app: &App, run: Reevaluation) {
    let id = run.id;
    let (status, message) = match carry_out(app, run).await {
        Ok(true) => (RunStatus::Finished, None),
        // Somebody cancelled it, or another node goes on with it.
        Ok(false) => return,
        Err(Error::Store(StoreError::Closed)) => return tokio::time::sleep(PATIENCE).await,
        Err(error) => {
            tracing::error!(reevaluation = %id, %error, "a re-evaluation failed");
            (RunStatus::Failed, Some(error.to_string()))
        }
    };
    let now = app.now();
    let ended = app
        .store
        .write(move |tx| Box::pin(async move { store::end(tx, id, status, message.as_deref(), now).await }));
    if let Err(error) = ended.await {
        tracing::error!(reevaluation = %id, %error, "the end of a re-evaluation could not be recorded; it goes on soon");
        tokio::time::sleep(PATIENCE).await;
    }
}

/// Answers whether all of it is done; not when the pass is no longer ours.
async fn carry_out(app: &App, run: Reevaluation) -> Result<bool, Error> {
    let Reevaluation { id, waiting, everything, mut after, mut looked, .. } = run;
    let look = if everything { Look::All } else { Look::Changed };
    let total = looked.leads + store::count(app.store.read(), &waiting, after).await?;
    let mut ours = app.store.write(move |tx| Box::pin(store::begin(tx, id, total))).await?;
    while ours && app.store.leads() {
        // While the past is told, the rules do not look at its leads as of now.
        if app.importing.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let page = store::leads(app.store.read(), &waiting, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(true) };
        after = *last;
        let judge = || evaluate::evaluate(app, evaluate::RULE, Cause::Evaluation, &page, look);
        looked = looked.plus(patiently(judge).await?);
        ours = app
            .store
            .write(move |tx| Box::pin(async move { store::progress(tx, id, after, &looked).await }))
            .await?;
    }
    Ok(false)
}

/// Leads about which the rules would say what they said the last time: three statements for any number of leads.
pub async fn unchanged(
    app: &App,
    workspace: &Workspace,
    subjects: impl Iterator<Item = &Subject>,
) -> Result<BTreeSet<Uuid>, Error> {
    let charter = &workspace.charter;
    let now = subjects.map(|Subject { journey, profile, high_intent, .. }| {
        (journey.lead.id, profile.snapshot(journey, charter, *high_intent).0)
    });
    let now: BTreeMap<Uuid, Snapshot> = now.collect();
    if now.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids: Vec<Uuid> = now.keys().copied().collect();
    let last = handfast_store::evaluation::newest(app.store.read(), &ids, 1).await?;
    let wanted: Vec<(Uuid, Digest)> = last.iter().map(|one| (one.lead, one.snapshot)).collect();
    let before = handfast_store::judged::snapshots(app.store.read(), &wanted).await?;
    let stands = |last: &&Evaluation| {
        let answering = |decision: &Decision| answering(workspace, &decision.slot, last.lead);
        let snapshots = before.get(&(last.lead, last.snapshot)).zip(now.get(&last.lead));
        snapshots.is_some_and(|snapshots| stands(last, &charter.body, snapshots, answering))
    };
    Ok(last.iter().filter(stands).map(|last| last.lead).collect())
}

/// The rule that would answer for a lead in a slot now.
fn answering<'w>(workspace: &'w Workspace, slot: &str, lead: Uuid) -> Option<Answering<'w>> {
    let slot = workspace.charter.body.slots.iter().find(|known| known.key == slot)?;
    let canary = workspace.rules.get(&slot.key).and_then(|rules| rules.canary.as_ref());
    let drawn = canary.filter(|canary| draws(canary, lead)).map(|canary| &canary.rule);
    let LiveRule { rule, settings, .. } = drawn.unwrap_or_else(|| live_rule(workspace, slot));
    let reads = rule.descriptor().reads.iter().map(|(path, _)| path.as_str()).collect();
    Some(Answering { version: rule.digest(), settings: settings.digest(), reads })
}
