//! The circuit breaker: a version that keeps failing is taken back by itself, before anybody has to look.

use std::sync::{Mutex, PoisonError};

use handfast_domain::deployment::Recent;
use handfast_domain::verdict::Status;

use super::deploy;
use crate::app::App;
use crate::workspace::LiveRule;

/// How the newest calls of each deployment ended, on this node.
#[derive(Default)]
pub struct Breakers(Mutex<Recent>);

/// Notes how a call ended. BUSY is the host's fault, and no rule's.
pub fn note(app: &App, rule: &LiveRule, status: Status) {
    let Some(deployment) = rule.deployment.filter(|_| status != Status::Busy) else { return };
    let mut recent = app.breakers.0.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(seen) = recent.note(deployment, status != Status::Ok, rule.breaker) else { return };
    let workspace = app.workspace();
    recent.retain(|id| workspace.rules.values().any(|slot| slot.is_running(id)));
    drop(recent);
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = deploy::fail(&app, deployment, seen).await {
            tracing::error!(%deployment, %error, "a failing version could not be taken back");
        }
    });
}
