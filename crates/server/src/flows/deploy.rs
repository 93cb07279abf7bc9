//! What answers for a rule slot: deploying a version with settings, agreeing to it, promoting it, and one step back.

use handfast_domain::charter::{RuleSlot, SlotKind};
use handfast_domain::deployment::{
    self, Approval, Breaker, Deployment, DeploymentMode, DeploymentState, GuardrailReading, Guardrails,
    SHADOWS, Terms,
};
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::PluginStatus;
use handfast_domain::event::{Actor, Event, Fact, StreamKind};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::share::Share;
use handfast_domain::stage::Side;
use handfast_rules::{Settings, SettingsProblem};
use handfast_store::plugin::{self, PluginVersion};
use handfast_store::{Tx, change, deployment as rows};
use uuid::Uuid;

use super::commit::{Ask, Decided, Once, stream_of};
use super::evaluate::RULE;
use super::plugin::kind_text;
use super::signature::Allowed;
use super::{Error, Viewer, backtest, grey_case, scope, signature};
use crate::app::App;
use crate::workspace::Workspace;

/// Which version is to answer for which slot, how it is set, and on what terms.
#[derive(Clone, Debug)]
pub struct Deploy {
    pub slot: String,
    pub digest: Digest,
    /// JSON.
    pub settings: String,
    pub mode: DeploymentMode,
    /// Of a CANARY, in basis points.
    pub share: Option<i32>,
    pub breaker: Option<Breaker>,
    pub guardrails: Option<Guardrails>,
    pub grey_cases_a_day: Option<i32>,
    pub why: Option<String>,
    /// Why a version may go in that is older than what was LIVE there.
    pub allow_downgrade: Option<String>,
}

/// Puts a version into a slot; the next decision is its, if nobody has to agree first. Answers the deployment: the one that
/// runs already, if nothing would change.
pub async fn deploy(app: &App, ask: &Ask<'_>, input: Deploy) -> Result<Uuid, Error> {
    let viewer = ask.viewer;
    viewer.require(scope::PLUGINS_DEPLOY)?;
    if let Some(id) = answered(app, ask).await? {
        return Ok(id);
    }
    let workspace = app.workspace();
    let slot = owned_slot(&workspace, viewer, &input.slot)?;
    let mut terms = terms(&workspace, slot, &input)?;
    let version = super::plugin::version(app, input.digest).await?;
    deployable(slot, input.mode, &version)?;
    let settings = check_settings(app, &workspace, &version, &input.settings).await?;
    honours_precedents(app, &workspace, slot, input.mode, version.digest, &settings).await?;
    terms.backtest = tried(app, slot, version.digest, settings.digest()).await?;
    let step = Step::of(app, viewer, slot);
    let (mode, digest, allow) = (input.mode, version.digest, input.allow_downgrade);
    decide(app, ask, move |tx| {
        Box::pin(async move {
            let active = step.active(tx).await?;
            let same = |one: &&Deployment| {
                one.mode == mode && one.is_same(digest, settings.digest()) && one.terms.share == terms.share
            };
            if let Some(same) = active.iter().find(same) {
                return Ok(same.id);
            }
            let older = step.may_deploy(tx, mode, &version, allow.as_deref()).await?;
            plugin::put_settings(tx, settings.digest(), settings.text()).await?;
            let new = step.drafted(mode, digest, settings.digest(), terms);
            let id = step.ask_for(tx, &active, new).await?;
            step.record(tx, id, older).await?;
            Ok(id)
        })
    })
    .await
}

/// A SHADOW becomes a CANARY or LIVE, or a CANARY a wider one or LIVE; the one that it was ends with it.
pub async fn promote(
    app: &App,
    ask: &Ask<'_>,
    id: Uuid,
    mode: DeploymentMode,
    share: Option<i32>,
    why: Option<String>,
) -> Result<Uuid, Error> {
    let viewer = ask.viewer;
    viewer.require(scope::PLUGINS_DEPLOY)?;
    if let Some(id) = answered(app, ask).await? {
        return Ok(id);
    }
    let workspace = app.workspace();
    let from = known(app, id).await?;
    let slot = owned_slot(&workspace, viewer, &from.slot)?;
    let input = Deploy {
        slot: from.slot.clone(),
        digest: from.version,
        settings: String::new(),
        mode,
        share,
        breaker: Some(from.terms.breaker),
        guardrails: Some(from.terms.guardrails.clone()),
        grey_cases_a_day: Some(i32::try_from(from.terms.grey_cases_a_day).unwrap_or(i32::MAX)),
        why,
        allow_downgrade: None,
    };
    let mut terms = terms(&workspace, slot, &input)?;
    terms.promoted_from = Some(from.id);
    terms.backtest = tried(app, slot, from.version, from.settings).await?;
    terms.salt = Some(from.salt());
    let version = super::plugin::version(app, from.version).await?;
    deployable(slot, mode, &version)?;
    let settings = stored_settings(app, from.settings).await?;
    honours_precedents(app, &workspace, slot, mode, from.version, &settings).await?;
    let step = Step::of(app, viewer, slot);
    decide(app, ask, move |tx| {
        Box::pin(async move {
            let active = step.active(tx).await?;
            let Some(from) = active.iter().find(|one| one.id == id && one.is_running()) else {
                return Err(state("input/deployment", "it no longer runs, so it cannot be promoted").into());
            };
            let wider = mode == DeploymentMode::Canary
                && (from.mode == DeploymentMode::Shadow || terms.share > from.terms.share);
            if from.mode == DeploymentMode::Live || !(mode == DeploymentMode::Live || wider) {
                let message = format!(
                    "a SHADOW is promoted to CANARY or LIVE, a CANARY to a wider one or LIVE; this is {} with a share of {}",
                    from.mode, from.terms.share
                );
                return Err(state("input/mode", message).into());
            }
            let asked = active.iter().find(|one| {
                one.state == DeploymentState::PendingApproval && one.terms.promoted_from == Some(id)
            });
            if let Some(asked) = asked {
                let message = format!("its promotion waits for approval already: deployment {}", asked.id);
                return Err(state("input/deployment", message).into());
            }
            // What let an older version in once lets it go on.
            let allowed = downgrade(tx, id).await?;
            let older = step.may_deploy(tx, mode, &version, allowed.as_deref()).await?;
            let new = step.drafted(mode, from.version, from.settings, terms);
            let id = step.ask_for(tx, &active, new).await?;
            step.record(tx, id, older).await?;
            Ok(id)
        })
    })
    .await
}

/// Agrees for the viewer's side. With the last agreement that was missing it begins to judge.
pub async fn approve(app: &App, ask: &Ask<'_>, id: Uuid, comment: Option<String>) -> Result<Uuid, Error> {
    let side = approver(ask.viewer)?;
    if let Some(id) = answered(app, ask).await? {
        return Ok(id);
    }
    let comment = comment.map(|text| words("input/comment", &text)).transpose()?;
    let workspace = app.workspace();
    let pending = known(app, id).await?;
    let slot = slot(&workspace, &pending.slot)?;
    let version = super::plugin::version(app, pending.version).await?;
    deployable(slot, pending.mode, &version)?;
    let settings = stored_settings(app, pending.settings).await?;
    honours_precedents(app, &workspace, slot, pending.mode, pending.version, &settings).await?;
    let step = Step::of(app, ask.viewer, slot);
    decide(app, ask, move |tx| {
        Box::pin(async move {
            let active = step.active(tx).await?;
            let mut pending = pending_one(&active, id)?;
            if !pending.still_needed().contains(&side) {
                let needed: Vec<&str> = pending.still_needed().into_iter().map(Side::as_str).collect();
                let message = format!("it needs the agreement of {}; you are {side}", needed.join(" and "));
                return Err(Refused::new(RefusalCode::Forbidden, message).at("input/deployment").into());
            }
            pending.approvals.push(Approval { user: step.by, side, at: step.app.now(), comment });
            // A key may have been revoked while it waited.
            let allowed = downgrade(tx, id).await?;
            step.may_deploy(tx, pending.mode, &version, allowed.as_deref()).await?;
            let fact = Fact::DeploymentApproved { slot: step.slot.clone(), deployment: id, side };
            let mut facts = vec![fact];
            if pending.still_needed().is_empty() {
                facts.extend(step.start(tx, &active, pending).await?);
            } else {
                rows::put(tx, &pending).await?;
            }
            step.append(tx, facts).await?;
            Ok(id)
        })
    })
    .await
}

/// Says no to what waits for approval, for the viewer's side. It never runs.
pub async fn decline(app: &App, ask: &Ask<'_>, id: Uuid, reason: &str) -> Result<Uuid, Error> {
    approver(ask.viewer)?;
    let reason = words("input/reason", reason)?;
    let workspace = app.workspace();
    let pending = known(app, id).await?;
    let slot = slot(&workspace, &pending.slot)?;
    let step = Step::of(app, ask.viewer, slot);
    decide(app, ask, move |tx| {
        Box::pin(async move {
            let pending = pending_one(&step.active(tx).await?, id)?;
            let fact = step.decline(tx, pending, &reason).await?;
            step.append(tx, vec![fact]).await?;
            Ok(id)
        })
    })
    .await
}

/// What is LIVE in a slot goes one step back, to what answered before: a version with its settings, or the built-in rule. With
/// `id` that deployment: a CANARY or SHADOW ends, and what waits for approval never runs. It needs no second signature and
/// counts from the next decision on.
pub async fn rollback(
    app: &App,
    ask: &Ask<'_>,
    slot: &str,
    id: Option<Uuid>,
    reason: &str,
) -> Result<(), Error> {
    ask.viewer.require(scope::PLUGINS_DEPLOY)?;
    let workspace = app.workspace();
    let slot = owned_slot(&workspace, ask.viewer, slot)?;
    let reason = words("input/reason", reason)?;
    let step = Step::of(app, ask.viewer, slot);
    decide(app, ask, move |tx| {
        Box::pin(async move {
            let wanted = |one: &Deployment| match id {
                Some(id) => one.id == id,
                None => one.mode == DeploymentMode::Live && one.is_running(),
            };
            let Some(old) = step.active(tx).await?.into_iter().find(wanted) else {
                let message = match id {
                    Some(_) => format!("that deployment does not run in {}, or no longer", step.slot),
                    None => {
                        format!("nothing is deployed in {}: the built-in rule answers already", step.slot)
                    }
                };
                let path = if id.is_some() { "input/deployment" } else { "input/slot" };
                return Err(Refused::invalid(path, message).into());
            };
            let id = old.id;
            let facts = match old.is_running() {
                true => step.take_back(tx, old, DeploymentState::RolledBack, &reason, vec![]).await?,
                false => vec![step.decline(tx, old, &reason).await?],
            };
            step.append(tx, facts).await?;
            Ok(id)
        })
    })
    .await?;
    Ok(())
}

/// The circuit breaker: a version that keeps failing is taken back.
pub async fn fail(app: &App, id: Uuid, seen: Share) -> Result<(), Error> {
    let reason = format!("the circuit breaker: {} of the last {} calls failed", seen.count, seen.of);
    by_itself(app, id, DeploymentState::Failed, reason, vec![]).await
}

/// A guardrail was breached: the canary is taken back, with what was read.
pub async fn breach(app: &App, id: Uuid, readings: Vec<GuardrailReading>) -> Result<(), Error> {
    let breached = readings.iter().filter(|reading| reading.breached).map(|reading| reading.text.as_str());
    let reason = format!("guardrail: {}", breached.collect::<Vec<_>>().join("; "));
    by_itself(app, id, DeploymentState::RolledBack, reason, readings).await
}

async fn by_itself(
    app: &App,
    id: Uuid,
    end: DeploymentState,
    reason: String,
    evidence: Vec<GuardrailReading>,
) -> Result<(), Error> {
    let running = rows::find(app.store.read(), id).await?.filter(Deployment::is_running);
    let Some(deployment) = running else { return Ok(()) };
    tracing::warn!(slot = deployment.slot, deployment = %id, reason, "a deployment is taken back");
    let step = Step {
        app: app.clone(),
        actor: RULE,
        by: deployment.started_by,
        side: None,
        team: String::new(),
        slot: deployment.slot,
    };
    app.store
        .try_write::<_, Error, _>(move |tx| {
            Box::pin(async move {
                let running = step.active(tx).await?.into_iter().find(|one| one.id == id && one.is_running());
                // Somebody, or another node, was faster.
                let Some(old) = running else { return Ok(()) };
                let facts = step.take_back(tx, old, end, &reason, evidence).await?;
                step.append(tx, facts).await
            })
        })
        .await?;
    app.reload().await
}

/// Longest reason and comment, in characters.
const WORDS: usize = 500;
/// How far back a rollback looks.
const HISTORY: i64 = 1_000;
/// Most grey cases that a SHADOW may be allowed.
const GREY_CASES: i32 = 1_000;

/// Decides once, or tries, and takes up what was decided.
async fn decide<F>(app: &App, ask: &Ask<'_>, work: F) -> Result<Uuid, Error>
where
    F: for<'t> FnOnce(&'t Tx) -> futures_util::future::BoxFuture<'t, Result<Uuid, Error>> + Send + 'static,
{
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let id = work(tx).await?;
            Ok((id, id.to_string()))
        })
    });
    match decided.await? {
        Decided::Now(id) => {
            if !ask.dry_run {
                app.reload().await?;
            }
            Ok(id)
        }
        Decided::Before(answer) => read(&answer),
    }
}

/// What the same request was answered before: checks that came in between must not refuse a repetition.
async fn answered(app: &App, ask: &Ask<'_>) -> Result<Option<Uuid>, Error> {
    let answer = Once::answered(ask.once.as_ref(), app).await?;
    answer.as_deref().map(read).transpose()
}

fn read(answer: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(answer).map_err(|_| Error::fault(format!("{answer:?} is no deployment")))
}

async fn known(app: &App, id: Uuid) -> Result<Deployment, Error> {
    let found = rows::find(app.store.read(), id).await?;
    found.ok_or_else(|| Refused::not_found("deployment").at("input/deployment").into())
}

fn pending_one(active: &[Deployment], id: Uuid) -> Result<Deployment, Refused> {
    let pending = |one: &&Deployment| one.id == id && one.state == DeploymentState::PendingApproval;
    let found = active.iter().find(pending).cloned();
    found.ok_or_else(|| state("input/deployment", "it does not wait for approval"))
}

fn state(path: &str, message: impl Into<String>) -> Refused {
    Refused::new(RefusalCode::DeploymentState, message.into()).at(path)
}

fn words(path: &str, text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > WORDS {
        let message = format!("say in 1 to {WORDS} characters why; the other teams read it");
        return Err(Refused::invalid(path, message));
    }
    Ok(text.to_owned())
}

/// Who agrees: a person of marketing or sales.
fn approver(viewer: &Viewer) -> Result<Side, Refused> {
    viewer.require(scope::CHARTER_SIGN)?;
    let side = viewer.user.side;
    if viewer.user.service || !matches!(side, Side::Marketing | Side::Sales) {
        let message = format!("people of marketing and of sales agree to a deployment; you are {side}");
        return Err(Refused::new(RefusalCode::Forbidden, message));
    }
    Ok(side)
}

fn slot<'w>(workspace: &'w Workspace, key: &str) -> Result<&'w RuleSlot, Refused> {
    let slots = &workspace.charter.body.slots;
    slots.iter().find(|slot| slot.key == key).ok_or_else(|| {
        let known: Vec<&str> = slots.iter().map(|slot| slot.key.as_str()).collect();
        let message = format!("the charter in force has no slot {key:?}; it has {}", known.join(", "));
        Refused::new(RefusalCode::NotFound, message).at("input/slot")
    })
}

fn owned_slot<'w>(workspace: &'w Workspace, viewer: &Viewer, key: &str) -> Result<&'w RuleSlot, Refused> {
    let slot = slot(workspace, key)?;
    if viewer.user.team == slot.team || viewer.may(scope::ADMIN) {
        return Ok(slot);
    }
    let message =
        format!("the slot {key} belongs to the team {}; you are in {}", slot.team, viewer.user.team);
    Err(Refused::new(RefusalCode::Forbidden, message).at("input/slot"))
}

/// The terms as they were asked for, and the sides that the charter wants to agree.
fn terms(workspace: &Workspace, slot: &RuleSlot, input: &Deploy) -> Result<Terms, Refused> {
    let mut terms = Terms::default();
    terms.share = match (input.mode, input.share) {
        (DeploymentMode::Canary, Some(share)) => match u16::try_from(share) {
            Ok(share @ 1..=9_999) => share,
            _ => {
                let message = format!("a CANARY judges 1 to 9999 basis points of the leads, found {share}");
                return Err(Refused::invalid("input/share", message));
            }
        },
        (DeploymentMode::Canary, None) => terms.share,
        (_, None) => 10_000,
        (mode, Some(_)) => {
            return Err(Refused::invalid(
                "input/share",
                format!("only a CANARY has a share; this is {mode}"),
            ));
        }
    };
    if let Some(breaker) = input.breaker {
        if let Some(problem) = breaker.problem() {
            return Err(Refused::invalid("input/breaker", problem));
        }
        terms.breaker = breaker;
    }
    if let Some(guardrails) = &input.guardrails {
        if let Some(problem) = guardrails.problem() {
            return Err(Refused::invalid("input/guardrails", problem));
        }
        terms.guardrails = guardrails.clone();
    }
    if let Some(most) = input.grey_cases_a_day {
        if !(0..=GREY_CASES).contains(&most) {
            let message = format!("a SHADOW opens 0 to {GREY_CASES} grey cases a day, found {most}");
            return Err(Refused::invalid("input/greyCasesADay", message));
        }
        terms.grey_cases_a_day = most.unsigned_abs();
    }
    terms.why = input.why.as_deref().map(|why| words("input/why", why)).transpose()?;
    let team = workspace.directory.teams.iter().find(|team| team.key == slot.team);
    terms.needs = slot.approval.sides(team.map_or(Side::Ops, |team| team.side), input.mode);
    Ok(terms)
}

/// It needs a version that passed its checks and decides what the slot asks; LIVE needs one that brought cases, too.
fn deployable(slot: &RuleSlot, mode: DeploymentMode, version: &PluginVersion) -> Result<(), Refused> {
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
    if mode == DeploymentMode::Live && version.case_count == 0 {
        return refuse(format!(
            "{} has no cases; upload the version again with cases to deploy it LIVE",
            version.name
        ));
    }
    Ok(())
}

/// A version whose verdicts count decides grey cases as both sides did.
async fn honours_precedents(
    app: &App,
    workspace: &Workspace,
    slot: &RuleSlot,
    mode: DeploymentMode,
    version: Digest,
    settings: &Settings,
) -> Result<(), Error> {
    if mode == DeploymentMode::Shadow || slot.kind != SlotKind::Qualify {
        return Ok(());
    }
    let wasm = app.store.blobs().read(version).await?;
    let plugin = app.host.load(&wasm, &workspace.trait_kinds()).await;
    let plugin = plugin.map_err(|error| Error::fault(error.to_string()))?;
    let found = grey_case::contradictions(app, &slot.key, version, &plugin.into(), settings).await?;
    Ok(grey_case::refuse(&found)?)
}

/// The backtest that these three were tried by, if there was one.
async fn tried(app: &App, slot: &RuleSlot, version: Digest, settings: Digest) -> Result<Option<Uuid>, Error> {
    Ok(backtest::finished(app, &slot.key, version, settings).await?.map(|run| run.id))
}

async fn stored_settings(app: &App, digest: Digest) -> Result<Settings, Error> {
    let text = plugin::settings(app.store.read(), digest).await?;
    let text = text.ok_or_else(|| Error::fault(format!("the settings {digest} are missing")))?;
    Settings::parse(&text).map_err(|error| Error::fault(error.to_string()))
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
pub(super) fn settings_refused(problem: SettingsProblem) -> Refused {
    let steps = problem.pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let path = steps.collect();
    let place = if problem.pointer.is_empty() { "the settings" } else { problem.pointer.as_str() };
    let message = format!("{place}: {}", problem.message);
    Refused { path, ..Refused::new(RefusalCode::PluginRejected, message) }.at("input/settings")
}

/// Why a deployment may have an older version, if it was allowed.
async fn downgrade(tx: &Tx, id: Uuid) -> Result<Option<String>, Error> {
    let found = handfast_store::signature::downgrades(tx, &[id]).await?.remove(&id);
    Ok(found.map(|downgrade| downgrade.reason))
}

/// One change of one slot.
struct Step {
    app: App,
    actor: Actor,
    by: Uuid,
    /// The side for which whoever asks may agree; none for a service and for operations.
    side: Option<Side>,
    slot: String,
    /// Key of the team that owns the slot.
    team: String,
}

impl Step {
    fn of(app: &App, viewer: &Viewer, slot: &RuleSlot) -> Step {
        let side = approver(viewer).ok();
        let (slot, team) = (slot.key.clone(), slot.team.clone());
        Step { app: app.clone(), actor: viewer.actor(), by: viewer.id(), side, slot, team }
    }

    /// Whether signatures let the version in. A SHADOW moves no lead, and needs none.
    async fn may_deploy(
        &self,
        tx: &Tx,
        mode: DeploymentMode,
        version: &PluginVersion,
        allow: Option<&str>,
    ) -> Result<Option<Allowed>, Error> {
        if mode == DeploymentMode::Shadow {
            return Ok(None);
        }
        signature::may_deploy(tx, &self.app.signatures, (&self.slot, &self.team), version, allow).await
    }

    async fn record(&self, tx: &Tx, id: Uuid, older: Option<Allowed>) -> Result<(), Error> {
        match older {
            Some(older) => Ok(older.record(tx, id, self.by, self.app.now()).await?),
            None => Ok(()),
        }
    }

    async fn active(&self, tx: &Tx) -> Result<Vec<Deployment>, Error> {
        Ok(rows::active(tx, std::slice::from_ref(&self.slot)).await?)
    }

    fn drafted(&self, mode: DeploymentMode, version: Digest, settings: Digest, terms: Terms) -> Deployment {
        Deployment {
            id: self.app.id(),
            slot: self.slot.clone(),
            version,
            settings,
            mode,
            state: DeploymentState::PendingApproval,
            terms,
            approvals: vec![],
            started_by: self.by,
            started_at: self.app.now(),
            ended_at: None,
            end_reason: None,
            evidence: vec![],
            rollback_of: None,
        }
    }

    fn ended(&self, old: Deployment, state: DeploymentState, reason: &str) -> Deployment {
        Deployment { state, ended_at: Some(self.app.now()), end_reason: Some(reason.to_owned()), ..old }
    }

    /// Starts it, or lets it wait for those who have to agree. Who asks agrees by asking.
    async fn ask_for(&self, tx: &Tx, active: &[Deployment], mut new: Deployment) -> Result<Uuid, Error> {
        let id = new.id;
        if new.mode == DeploymentMode::Shadow {
            let shadows: Vec<String> = active
                .iter()
                .filter(|one| one.mode == DeploymentMode::Shadow)
                .map(|one| one.id.to_string())
                .collect();
            if shadows.len() >= SHADOWS {
                let message = format!(
                    "{} runs {SHADOWS} SHADOWs already, which is the most; end one of them first: {}",
                    self.slot,
                    shadows.join(", ")
                );
                return Err(state("input/mode", message).into());
            }
        }
        if let Some(side) = self.side.filter(|side| new.terms.needs.contains(side)) {
            new.approvals.push(Approval { user: self.by, side, at: self.app.now(), comment: None });
        }
        let facts = match new.still_needed() {
            missing if missing.is_empty() => self.start(tx, active, new).await?,
            missing => {
                rows::put(tx, &new).await?;
                let Deployment { id, version, settings, mode, .. } = new;
                let slot = self.slot.clone();
                vec![Fact::DeploymentRequested {
                    slot,
                    deployment: id,
                    version,
                    settings,
                    mode,
                    needs: missing,
                }]
            }
        };
        self.append(tx, facts).await?;
        Ok(id)
    }

    /// Ends what it takes the place of, and lets it judge.
    async fn start(&self, tx: &Tx, active: &[Deployment], mut new: Deployment) -> Result<Vec<Fact>, Error> {
        let mut facts = vec![];
        let replaced = |one: &&Deployment| {
            let place = one.mode == new.mode && new.mode != DeploymentMode::Shadow;
            one.id != new.id && one.is_running() && (place || new.terms.promoted_from == Some(one.id))
        };
        for old in active.iter().filter(replaced) {
            let promoted = new.terms.promoted_from == Some(old.id);
            let reason = if promoted { format!("promoted to {}", new.mode) } else { "superseded".to_owned() };
            // A wider share of the same version keeps its leads.
            if new.mode == DeploymentMode::Canary && old.is_same(new.version, new.settings) {
                new.terms.salt = Some(old.salt());
            }
            facts.push(self.end(tx, old.clone(), DeploymentState::Superseded, &reason).await?);
        }
        new.state = DeploymentState::Running;
        new.started_at = self.app.now();
        rows::put(tx, &new).await?;
        facts.push(self.started(&new));
        Ok(facts)
    }

    /// Ends it; where it was LIVE, what answered before takes its place again.
    async fn take_back(
        &self,
        tx: &Tx,
        old: Deployment,
        end: DeploymentState,
        reason: &str,
        evidence: Vec<GuardrailReading>,
    ) -> Result<Vec<Fact>, Error> {
        let mut back = None;
        if old.mode == DeploymentMode::Live {
            let mut history = rows::history(tx, std::slice::from_ref(&self.slot), HISTORY).await?;
            history.reverse();
            back = deployment::before(&history, old.id).map(|before| {
                let terms = Terms { why: Some(format!("rolled back: {reason}")), ..before.terms.clone() };
                let new = self.drafted(DeploymentMode::Live, before.version, before.settings, terms);
                let (approvals, rollback_of) = (before.approvals.clone(), Some(old.id));
                Deployment { state: DeploymentState::Running, approvals, rollback_of, ..new }
            });
        }
        let mut facts = vec![self.end(tx, Deployment { evidence, ..old }, end, reason).await?];
        if let Some(back) = back {
            rows::put(tx, &back).await?;
            facts.push(self.started(&back));
        }
        Ok(facts)
    }

    async fn decline(&self, tx: &Tx, pending: Deployment, reason: &str) -> Result<Fact, Error> {
        let declined = self.ended(pending, DeploymentState::Declined, reason);
        rows::put(tx, &declined).await?;
        Ok(Fact::DeploymentDeclined { slot: self.slot.clone(), deployment: declined.id })
    }

    async fn end(
        &self,
        tx: &Tx,
        old: Deployment,
        state: DeploymentState,
        reason: &str,
    ) -> Result<Fact, Error> {
        let ended = self.ended(old, state, reason);
        rows::put(tx, &ended).await?;
        let rolled_back = matches!(state, DeploymentState::RolledBack | DeploymentState::Failed);
        let (slot, deployment, state) = (self.slot.clone(), ended.id, Some(state));
        Ok(Fact::DeploymentEnded { slot, deployment, rolled_back, state })
    }

    fn started(&self, new: &Deployment) -> Fact {
        let Deployment { id, version, settings, mode, .. } = *new;
        Fact::DeploymentStarted { slot: self.slot.clone(), deployment: id, version, settings, mode }
    }

    async fn append(&self, tx: &Tx, facts: Vec<Fact>) -> Result<(), Error> {
        let events = facts.into_iter().map(|fact| self.event(fact)).collect();
        Ok(change::append_facts(tx, events).await?)
    }

    fn event(&self, fact: Fact) -> Event {
        self.app.fact(self.actor, StreamKind::Slot, stream_of(StreamKind::Slot, &self.slot), fact)
    }
}
