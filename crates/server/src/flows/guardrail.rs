//! Guardrails: what became of the leads that a canary judged, beside those of the live version; and what follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use handfast_domain::deployment::{Deployment, DeploymentMode, GuardrailReading, Observed, Passed, readings};
use handfast_domain::share::Share;
use handfast_store::deployment::{self as rows, Ends, Load};
use uuid::Uuid;

use super::{Error, deploy};
use crate::app::App;

/// How often canaries are looked at.
const PAUSE: Duration = Duration::from_secs(2);
/// Verdicts that tell what is usual, and those that tell what comes in now: so many of a canary's weeks hide no change of
/// yesterday.
const WINDOW: u64 = 2_000;

/// Looks at all canaries now and then, on the node that works the timers.
#[derive(Default)]
pub struct Round(Option<std::time::Instant>);

impl Round {
    pub async fn run_due(&mut self, app: &App) {
        if self.0.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        self.0 = Some(std::time::Instant::now());
        let workspace = app.workspace();
        for canary in workspace.rules.values().filter_map(|rules| rules.canary.as_ref()) {
            if let Err(error) = watch(app, &canary.deployment).await {
                tracing::warn!(deployment = %canary.deployment.id, %error, "a canary was not looked at");
            }
        }
    }
}

async fn watch(app: &App, canary: &Deployment) -> Result<(), Error> {
    let found = read(app, canary).await?;
    if found.iter().any(|reading| reading.breached) {
        deploy::breach(app, canary.id, found).await?;
    }
    Ok(())
}

/// What the guardrails of a canary show now; nothing for another deployment.
pub async fn read(app: &App, canary: &Deployment) -> Result<Vec<GuardrailReading>, Error> {
    if canary.mode != DeploymentMode::Canary || canary.terms.guardrails.limits.is_empty() {
        return Ok(vec![]);
    }
    let workspace = app.workspace();
    let began = rows::first_id(canary.started_at);
    let live = workspace.rules.get(&canary.slot).and_then(|rules| rules.live.as_ref()?.deployment);
    let mine = observed(app, canary.id, None).await?;
    let theirs = match live {
        Some(live) => observed(app, live, Some(began)).await?,
        None => Observed::default(),
    };
    let passed = passed(app, canary, live, mine.advanced.of + theirs.advanced.of).await?;
    Ok(readings(&canary.terms.guardrails, &mine, &theirs, passed))
}

/// Who was let pass lately, and before. `judged` are all verdicts since the canary began.
async fn passed(app: &App, canary: &Deployment, live: Option<Uuid>, judged: u64) -> Result<Passed, Error> {
    let db = app.store.read();
    let (began, both) = (rows::first_id(canary.started_at), (canary.id, live));
    let before = rows::advanced_before(db, &canary.slot, began, WINDOW).await?;
    if before.of >= u64::from(canary.terms.guardrails.min_sample) {
        let now = rows::advanced_since(db, both, began, Ends::Newest, WINDOW).await?;
        return Ok(Passed { now, before });
    }
    // A canary from the first day on: what came first was usual.
    let window = WINDOW.min(judged / 2);
    let before = rows::advanced_since(db, both, began, Ends::Oldest, window).await?;
    Ok(Passed { now: rows::advanced_since(db, both, began, Ends::Newest, window).await?, before })
}

async fn observed(app: &App, deployment: Uuid, since: Option<Uuid>) -> Result<Observed, Error> {
    let db = app.store.read();
    let since = since.unwrap_or(Uuid::nil());
    let workspace = app.workspace();
    let capacities: BTreeMap<Uuid, u32> =
        workspace.directory.users.iter().map(|user| (user.id, user.capacity)).collect();
    let mut observed = rows::observed(db, deployment, since).await?;
    let mut overloaded = Share::default();
    for Load { owner, leads, open_leads } in rows::loads(db, deployment, since).await? {
        overloaded.of += leads;
        if capacities.get(&owner).is_some_and(|capacity| open_leads > u64::from(*capacity)) {
            overloaded.count += leads;
        }
    }
    observed.overloaded = overloaded;
    Ok(observed)
}
