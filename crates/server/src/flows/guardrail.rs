//! Guardrails: what became of the leads that a canary judged, beside those of the live version; and what follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use handfast_domain::deployment::{Deployment, DeploymentMode, GuardrailReading, Observed, readings};
use handfast_domain::share::Share;
use handfast_store::deployment::{self as rows, Load};
use uuid::Uuid;

use super::{Error, deploy};
use crate::app::App;

/// How often canaries are looked at.
const PAUSE: Duration = Duration::from_secs(2);
/// Verdicts from before the canary that tell what was usual.
const BEFORE: i64 = 2_000;

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
    let db = app.store.read();
    let workspace = app.workspace();
    let began = rows::first_id(canary.started_at);
    let live = workspace.rules.get(&canary.slot).and_then(|rules| rules.live.as_ref()?.deployment);
    let mine = observed(app, canary.id, None).await?;
    let theirs = match live {
        Some(live) => observed(app, live, Some(began)).await?,
        None => Observed::default(),
    };
    let advanced = rows::advanced_before(db, &canary.slot, began, BEFORE).await?;
    let before = Observed { advanced, ..Observed::default() };
    Ok(readings(&canary.terms.guardrails, &mine, &theirs, &before))
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
