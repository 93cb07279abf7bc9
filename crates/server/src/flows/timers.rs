//! What time does: clocks that come due, hand-offs that expire, leads that come back, rules that look again. Everything
//! is found by a due index, so a restart forgets nothing; everything is idempotent, so a repetition does no harm.

use std::sync::atomic::Ordering;

use handfast_domain::change::{Draft, Scene};
use handfast_domain::clock::{ClockKind, ClockState};
use handfast_domain::event::{Actor, ActorKind};
use handfast_domain::lead::Journey;
use handfast_domain::stage::{Cause, CycleOpenedBy, CycleOutcome};
use handfast_domain::time::{Instant, MINUTE};
use handfast_store::StoreError;
use uuid::Uuid;

use super::commit::{Committed, Plan};
use super::evaluate::Look;
use super::{Error, charter_review, evaluate, feedback, forget, guardrail, lead, nurture};
use crate::app::App;
use crate::config::ServerConfig;

/// Leads in one command; a group stays well below the writer's patience.
const CHUNK: usize = 64;
/// Leads that one round looks at.
const ROUND: i64 = 1_000;

/// Does what is due, and answers at how many leads and how much feedback it looked.
pub async fn run_due(app: &App) -> Result<usize, Error> {
    let feedback = feedback::run_due(app).await? + charter_review::run_due(app).await?;
    let due = handfast_store::lead::due(app.store.read(), app.now(), ROUND).await?;
    for ids in due.clocks.chunks(CHUNK) {
        tick(app, ids).await?;
    }
    // While the past is told, the rules do not look at its leads as of now: the story may not be at its end.
    if app.importing.load(Ordering::Relaxed) {
        return Ok(feedback + due.clocks.len());
    }
    for ids in due.evaluations.chunks(CHUNK) {
        evaluate::evaluate(app, evaluate::RULE, Cause::Evaluation, ids, Look::All).await?;
    }
    Ok(feedback + due.clocks.len() + due.evaluations.len())
}

/// A node whose clock is further from the database's works no timers: it would breach a promise that is still kept, or keep
/// quiet about one that is broken.
const SKEW: i64 = 5_000;

/// Runs for as long as the server does.
pub async fn run(app: App, config: &ServerConfig) {
    let interval_ms = config.timer_interval_ms;
    let mut forgetting = forget::Round::of(config.keep_answers_seconds);
    let mut guardrails = guardrail::Round::default();
    let (mut sane, mut promised) = (true, false);
    loop {
        app.store.lead().await;
        let ahead = app.store.clock_ahead(app.clock.as_ref()).await.unwrap_or(0);
        metrics::gauge!("handfast_clock_ahead_ms").set(ahead as f64);
        if ahead.abs() > SKEW {
            if std::mem::take(&mut sane) {
                tracing::error!(
                    ahead_ms = ahead,
                    "this node's clock is not the database's: due clocks wait until it is set right"
                );
            }
            tokio::time::sleep(std::time::Duration::from_millis(interval_ms.max(1_000))).await;
            continue;
        }
        sane = true;
        if !promised {
            promised = charter_review::begin_missing(&app)
                .await
                .inspect_err(|error| tracing::warn!(%error, "the charter's review was not promised yet"))
                .is_ok();
        }
        forgetting.run_due(&app).await;
        guardrails.run_due(&app).await;
        match run_due(&app).await {
            // More may be due than one round takes.
            Ok(done) if done as i64 >= ROUND => {}
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(interval_ms)).await,
            Err(error) => {
                tracing::warn!(%error, "due clocks were not worked; the next round tries again");
                tokio::time::sleep(std::time::Duration::from_millis(interval_ms.max(1_000))).await;
            }
        }
    }
}

async fn tick(app: &App, ids: &[Uuid]) -> Result<(), Error> {
    let workspace = app.workspace();
    let journeys = handfast_store::lead::journeys(app.store.read(), ids).await?;
    let mut plan = Plan::default();
    let mut idle = vec![];
    let now = app.now();
    let sends = |journey: &Journey| {
        let nurture = journey.lead.nurture.as_ref();
        nurture.and_then(|one| one.next_step_at).is_some_and(|at| at <= now)
    };
    let nurtured: Vec<Uuid> = journeys.iter().filter(|(_, one)| sends(one)).map(|(id, _)| *id).collect();
    let unwilling = match nurtured.is_empty() {
        true => Default::default(),
        false => nurture::unwilling(app, &nurtured).await?,
    };
    for (id, journey) in journeys {
        let clock = Actor::of(ActorKind::Clock);
        let scene = lead::scene(app, &workspace, clock, Cause::Clock, None);
        let mut draft = match returns(&journey, scene.now) {
            // The date that was named is when the lead comes back, however late we look.
            Some(at) => {
                let mut draft = Draft::new(journey, Scene { at, cause: Cause::Requalify, ..scene });
                draft.requalify(CycleOpenedBy::Requalify).map_err(Error::from)?;
                draft
            }
            None => Draft::new(journey, scene),
        };
        if unwilling.contains(&id) {
            // Consent was withdrawn since; the lead leaves before anything is sent.
            let _ = draft.leave_nurture();
        }
        draft.tick();
        if draft.is_empty() {
            idle.push(id);
        } else {
            plan.changes.push(draft.finish());
        }
    }
    // Somebody else changed one of them meanwhile: the next round sees it as it is then.
    if let Committed::Overtaken(with) = app.commit(plan, None, String::new()).await? {
        tracing::debug!(?with, "a due lead was changed meanwhile");
    }
    if !idle.is_empty() {
        let (until, now) = (app.now().plus(MINUTE), app.now());
        let snoozed = app.store.try_write_beside::<_, StoreError, _>(move |tx| {
            Box::pin(async move { handfast_store::lead::snooze(tx, &idle, now, until).await })
        });
        snoozed.await?;
    }
    Ok(())
}

/// When a recycled or lost lead comes back, if that is due.
fn returns(journey: &Journey, now: Instant) -> Option<Instant> {
    let closed = matches!(journey.lead.outcome, CycleOutcome::Recycled | CycleOutcome::Lost);
    let waiting = journey.clocks.iter().filter(|clock| clock.kind == ClockKind::Requalify);
    let mut due = waiting.filter(|clock| clock.state == ClockState::Running && clock.due_at < now);
    if closed && !journey.lead.suppressed { due.next().map(|clock| clock.due_at) } else { None }
}
