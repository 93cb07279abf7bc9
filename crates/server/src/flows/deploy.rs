//! What answers for a rule slot: deploying a version with settings, and one step back.

use handfast_domain::charter::RuleSlot;
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::{DeploymentMode, DeploymentState, PluginStatus};
use handfast_domain::event::{Actor, Event, Fact, StreamKind};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_rules::{Settings, SettingsProblem};
use handfast_store::plugin::{self, Deployment, PluginVersion};
use handfast_store::{Tx, change};
use uuid::Uuid;

use super::commit::{Once, stream_of};
use super::plugin::kind_text;
use super::{Error, Viewer, scope};
use crate::app::App;
use crate::workspace::Workspace;

/// Which version is to answer for which slot, and how it is set.
#[derive(Clone, Debug)]
pub struct Deploy {
    pub slot: String,
    pub digest: Digest,
    /// JSON.
    pub settings: String,
    pub mode: DeploymentMode,
}

/// Puts a version into a slot; the next decision is its. Answers the deployment: the one that runs already, if nothing
/// would change.
pub async fn deploy(app: &App, viewer: &Viewer, once: Option<Once>, input: Deploy) -> Result<Uuid, Error> {
    viewer.require(scope::PLUGINS_DEPLOY)?;
    if let Some(answer) = Once::answered(once.as_ref(), app).await? {
        return deployed_before(&answer);
    }
    let workspace = app.workspace();
    let slot = owned_slot(&workspace, viewer, &input.slot)?;
    if input.mode != DeploymentMode::Live {
        let message = format!("deployments in the mode {} are not offered yet; deploy LIVE", input.mode);
        return Err(Refused::invalid("input/mode", message).into());
    }
    let version = super::plugin::version(app, input.digest).await?;
    deployable(slot, &version)?;
    let settings = check_settings(app, &workspace, &version, &input.settings).await?;
    let step = Step { app: app.clone(), actor: viewer.actor(), by: viewer.id(), slot: input.slot };
    let answer = app.store.try_write::<_, Error, _>(move |tx| {
        Box::pin(async move {
            if let Some(answer) = Once::reserve(once.as_ref(), tx, step.app.now()).await? {
                return Ok(answer);
            }
            let live = step.live(tx).await?;
            let id = match &live {
                Some(live) if live.version == version.digest && live.settings == settings.digest() => live.id,
                _ => {
                    plugin::put_settings(tx, settings.digest(), settings.text()).await?;
                    let new = step.starting(version.digest, settings.digest(), None);
                    let id = new.id;
                    step.replace(tx, live, DeploymentState::Superseded, "superseded", Some(new)).await?;
                    id
                }
            };
            Once::keep(once.as_ref(), tx, &id.to_string()).await?;
            Ok(id.to_string())
        })
    });
    let answer = answer.await?;
    app.reload().await?;
    deployed_before(&answer)
}

/// One step back, to what answered before the deployment that is live: a version with its settings, or the built-in rule.
/// It needs no second signature and counts from the next decision on.
pub async fn rollback(
    app: &App,
    viewer: &Viewer,
    once: Option<Once>,
    slot: &str,
    reason: &str,
) -> Result<(), Error> {
    viewer.require(scope::PLUGINS_DEPLOY)?;
    if Once::answered(once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let workspace = app.workspace();
    owned_slot(&workspace, viewer, slot)?;
    let reason = reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > REASON {
        let message = format!("say in 1 to {REASON} characters why; the other teams read it");
        return Err(Refused::invalid("input/reason", message).into());
    }
    let step = Step { app: app.clone(), actor: viewer.actor(), by: viewer.id(), slot: slot.to_owned() };
    let done = app.store.try_write::<_, Error, _>(move |tx| {
        Box::pin(async move {
            if Once::reserve(once.as_ref(), tx, step.app.now()).await?.is_some() {
                return Ok(());
            }
            let Some(live) = step.live(tx).await? else {
                let message =
                    format!("nothing is deployed in {}: the built-in rule answers already", step.slot);
                return Err(Refused::invalid("input/slot", message).into());
            };
            let mut history = plugin::history(tx, std::slice::from_ref(&step.slot), HISTORY).await?;
            history.reverse();
            let back = before(&history, live.id);
            let new = back.map(|back| step.starting(back.version, back.settings, Some(live.id)));
            step.replace(tx, Some(live), DeploymentState::RolledBack, &reason, new).await?;
            Ok(Once::keep(once.as_ref(), tx, &step.slot).await?)
        })
    });
    done.await?;
    app.reload().await
}

/// Longest reason of a rollback, in characters.
const REASON: usize = 500;
/// How far back a rollback looks.
const HISTORY: i64 = 1_000;

/// What answered for the slot before the deployment `live`, of a history with the oldest first. A rollback's row stands
/// in the place of the one that it restored, so that the next step back goes further.
fn before(history: &[Deployment], live: Uuid) -> Option<&Deployment> {
    let mut stack: Vec<&Deployment> = vec![];
    for deployment in history {
        if let Some(undone) = deployment.rollback_of
            && let Some(at) = stack.iter().rposition(|other| other.id == undone)
        {
            stack.truncate(at);
            stack.pop();
        }
        if deployment.id == live {
            break;
        }
        stack.push(deployment);
    }
    // What was rolled back to the built-in rule never comes back by itself.
    stack.into_iter().rev().find(|deployment| deployment.state == DeploymentState::Superseded.as_str())
}

fn deployed_before(answer: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(answer).map_err(|_| Error::fault(format!("{answer:?} is no deployment")))
}

fn owned_slot<'w>(workspace: &'w Workspace, viewer: &Viewer, key: &str) -> Result<&'w RuleSlot, Refused> {
    let slots = &workspace.charter.body.slots;
    let Some(slot) = slots.iter().find(|slot| slot.key == key) else {
        let known: Vec<&str> = slots.iter().map(|slot| slot.key.as_str()).collect();
        let message = format!("the charter in force has no slot {key:?}; it has {}", known.join(", "));
        return Err(Refused::new(RefusalCode::NotFound, message).at("input/slot"));
    };
    if viewer.user.team == slot.team || viewer.may(scope::ADMIN) {
        return Ok(slot);
    }
    let message =
        format!("the slot {key} belongs to the team {}; you are in {}", slot.team, viewer.user.team);
    Err(Refused::new(RefusalCode::Forbidden, message).at("input/slot"))
}

/// LIVE needs a version that passed its checks, decides what the slot asks, and brought cases.
fn deployable(slot: &RuleSlot, version: &PluginVersion) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::new(RefusalCode::PluginRejected, why).at("input/digest"));
    if version.status != PluginStatus::Validated.as_str() {
        return refuse(format!("the version is {}, only VALIDATED ones can be deployed", version.status));
    }
    let kind = version.kind.as_deref().unwrap_or_default();
    if kind != slot.kind.as_str() {
        return refuse(format!(
            "{} decides {kind}, but the slot {} asks {}",
            version.name, slot.key, slot.kind
        ));
    }
    if version.case_count == 0 {
        return refuse(format!(
            "{} has no cases; upload the version again with cases to deploy it LIVE",
            version.name
        ));
    }
    Ok(())
}

/// By the plugin's JSON Schema, then by its own `check-settings`.
async fn check_settings(
    app: &App,
    workspace: &Workspace,
    version: &PluginVersion,
    settings: &str,
) -> Result<Settings, Error> {
    let wasm = app.store.blobs().read(version.digest).await?;
    let loaded = app.host.load(&wasm, &workspace.trait_kinds()).await;
    let plugin = loaded
        .map_err(|error| Refused::new(RefusalCode::PluginRejected, error.to_string()).at("input/digest"))?;
    debug_assert_eq!(version.kind.as_deref(), Some(kind_text(plugin.kind)));
    let checked = app.host.check_settings(&plugin, settings).await;
    checked.map_err(|problems| Error::Refused(problems.into_iter().map(settings_refused).collect()))
}

/// A JSON Pointer becomes the rest of the path: `/fit/0/points` is `input settings fit 0 points`.
fn settings_refused(problem: SettingsProblem) -> Refused {
    let steps = problem.pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let path = steps.collect();
    let place = if problem.pointer.is_empty() { "the settings" } else { problem.pointer.as_str() };
    let message = format!("{place}: {}", problem.message);
    Refused { path, ..Refused::new(RefusalCode::PluginRejected, message) }.at("input/settings")
}

/// One change of one slot.
struct Step {
    app: App,
    actor: Actor,
    by: Uuid,
    slot: String,
}

impl Step {
    async fn live(&self, tx: &Tx) -> Result<Option<Deployment>, Error> {
        Ok(plugin::running(tx, std::slice::from_ref(&self.slot)).await?.pop())
    }

    fn starting(&self, version: Digest, settings: Digest, rollback_of: Option<Uuid>) -> Deployment {
        Deployment {
            id: self.app.id(),
            slot: self.slot.clone(),
            version,
            settings,
            mode: DeploymentMode::Live.to_string(),
            state: DeploymentState::Running.to_string(),
            started_by: self.by,
            started_at: self.app.now(),
            ended_at: None,
            end_reason: None,
            rollback_of,
        }
    }

    /// Ends the old deployment before the new one starts: a slot has one that is live.
    async fn replace(
        &self,
        tx: &Tx,
        old: Option<Deployment>,
        end: DeploymentState,
        reason: &str,
        new: Option<Deployment>,
    ) -> Result<(), Error> {
        let mut facts = vec![];
        if let Some(old) = old {
            let rolled_back = end == DeploymentState::RolledBack;
            facts.push(Fact::DeploymentEnded { slot: self.slot.clone(), deployment: old.id, rolled_back });
            let ended = Deployment {
                state: end.to_string(),
                ended_at: Some(self.app.now()),
                end_reason: Some(reason.to_owned()),
                ..old
            };
            plugin::put_deployment(tx, &ended).await?;
        }
        if let Some(new) = new {
            plugin::put_deployment(tx, &new).await?;
            let Deployment { id, version, settings, .. } = new;
            let (slot, mode) = (self.slot.clone(), DeploymentMode::Live);
            facts.push(Fact::DeploymentStarted { slot, deployment: id, version, settings, mode });
        }
        Ok(change::append_facts(tx, facts.into_iter().map(|fact| self.event(fact)).collect()).await?)
    }

    fn event(&self, fact: Fact) -> Event {
        self.app.fact(self.actor, StreamKind::Slot, stream_of(StreamKind::Slot, &self.slot), fact)
    }
}
