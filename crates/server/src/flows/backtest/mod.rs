//! Backtests: a version with settings against what answers for a slot today, over the stored snapshots of leads whose outcome
//! is known by now. A run is kept for ever; one that a restart cut off starts again from the beginning.

mod judge;
mod run;

use handfast_domain::backtest::Scope;
use handfast_domain::charter::{RuleSlot, SlotKind};
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::PluginStatus;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::run::RunStatus;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_rules::Settings;
use handfast_store::backtest::{self as store, BacktestRun};
use handfast_store::plugin::{self, PluginVersion};
use uuid::Uuid;

use super::commit::Once;
use super::plugin::kind_text;
use super::{Error, Viewer, scope};
use crate::app::App;
use crate::workspace::Workspace;

pub use run::run;

/// What is to be tried, and on which leads.
#[derive(Clone, Debug)]
pub struct Start {
    /// Key of a slot.
    pub slot: String,
    /// The candidate.
    pub digest: Digest,
    /// Its settings, as JSON.
    pub settings: String,
    pub scope: Scope,
}

/// The most leads of one run.
pub const MOST: u32 = 5_000_000;
/// What a run judges at most unless it is told otherwise.
pub const USUAL: u32 = 1_000_000;
/// Runs that may wait.
const WAITING: usize = 50;

/// Checks what is asked for and puts the run at the end of the queue.
pub async fn start(app: &App, viewer: &Viewer, once: Option<Once>, input: Start) -> Result<Uuid, Error> {
    viewer.require(scope::PLUGINS_DEPLOY)?;
    if let Some(answer) = Once::answered(once.as_ref(), app).await? {
        return read_id(&answer);
    }
    let Start { slot, digest, settings, scope } = input;
    let workspace = app.workspace();
    let gate = gate_of(qualifying(&workspace, &slot)?)?;
    check_scope(&scope)?;
    let version = super::plugin::version(app, digest).await?;
    testable(&slot, &version)?;
    let settings = check_settings(app, &workspace, digest, &settings).await?;
    if store::unfinished(app.store.read()).await?.len() >= WAITING {
        let message = format!("{WAITING} backtests wait already; cancel one, or wait until one is done");
        return Err(Refused::invalid("input", message).into());
    }
    let live = workspace.rules.get(&slot).and_then(|rules| rules.live.as_ref());
    let (id, now) = (app.id(), app.now());
    let run = BacktestRun {
        id,
        slot,
        gate,
        version: digest,
        settings: settings.digest(),
        baseline: live.map(|live| (live.rule.digest(), live.settings.digest())),
        scope,
        status: RunStatus::Queued,
        done: 0,
        total: 0,
        report: None,
        message: None,
        started_by: viewer.id(),
        started_at: now,
        finished_at: None,
    };
    let answer = app.store.try_write::<_, Error, _>(move |tx| {
        Box::pin(async move {
            if let Some(answer) = Once::reserve(once.as_ref(), tx, now).await? {
                return Ok(answer);
            }
            plugin::put_settings(tx, settings.digest(), settings.text()).await?;
            store::insert(tx, &run).await?;
            Once::keep(once.as_ref(), tx, &id.to_string()).await?;
            Ok(id.to_string())
        })
    });
    let answer = answer.await?;
    app.backtests.notify_one();
    read_id(&answer)
}

/// Stops a run, also one that waits. One that is over stays as it is.
pub async fn cancel(app: &App, viewer: &Viewer, id: Uuid) -> Result<(), Error> {
    viewer.require(scope::PLUGINS_DEPLOY)?;
    let now = app.now();
    let cancelled = app.store.write(move |tx| {
        Box::pin(async move { store::end(tx, id, RunStatus::Cancelled, "cancelled by a person", now).await })
    });
    if !cancelled.await? && store::get(app.store.read(), id).await?.is_none() {
        return Err(Refused::not_found("backtest").at("input/id").into());
    }
    Ok(())
}

/// The newest finished run of a version with these settings in a slot: what a deployment of the three was tried by.
pub async fn finished(
    app: &App,
    slot: &str,
    version: Digest,
    settings: Digest,
) -> Result<Option<BacktestRun>, Error> {
    Ok(store::finished(app.store.read(), slot, version, settings).await?)
}

fn read_id(answer: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(answer).map_err(|_| Error::fault(format!("{answer:?} is no backtest")))
}

/// The slot, which must ask for qualifications: what a router chooses is not told by what became of the lead.
fn qualifying<'w>(workspace: &'w Workspace, key: &str) -> Result<&'w RuleSlot, Refused> {
    let slots = &workspace.charter.body.slots;
    let known = || slots.iter().filter(|slot| slot.kind == SlotKind::Qualify).map(|slot| slot.key.as_str());
    let listed = || known().collect::<Vec<_>>().join(", ");
    match slots.iter().find(|slot| slot.key == key) {
        Some(slot) if slot.kind == SlotKind::Qualify => Ok(slot),
        Some(_) => {
            let message = format!(
                "the slot {key} routes, and a backtest compares qualifications; it can try {}",
                listed()
            );
            Err(Refused::invalid("input/slot", message))
        }
        None => {
            let shown: String = key.chars().take(80).collect();
            let message = format!("the charter in force has no slot {shown:?}; it has {}", listed());
            Err(Refused::new(RefusalCode::NotFound, message).at("input/slot"))
        }
    }
}

fn gate_of(slot: &RuleSlot) -> Result<StageKind, Refused> {
    slot.gate.ok_or_else(|| Refused::invalid("input/slot", format!("the slot {} guards no gate", slot.key)))
}

fn check_scope(scope: &Scope) -> Result<(), Error> {
    let Scope { from, to, limit, persona, campaign, source } = scope;
    let mut wrong = vec![];
    if from.unwrap_or(Instant::MIN) >= to.unwrap_or(Instant::MAX) {
        wrong.push(Refused::invalid("input/to", "the window ends before it begins: to must lie after from"));
    }
    if !(1..=MOST).contains(limit) {
        wrong.push(Refused::invalid("input/limit", format!("1 to {MOST} leads, found {limit}")));
    }
    for (path, text) in [("persona", persona), ("campaign", campaign), ("source", source)] {
        let length = text.as_ref().map_or(1, |text| text.chars().count());
        if !(1..=256).contains(&length) {
            let message = format!("1 to 256 characters, found {length}");
            wrong.push(Refused::invalid(&format!("input/{path}"), message));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}

/// Cases are not asked for: a version is tried before it may go anywhere.
fn testable(slot: &str, version: &PluginVersion) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::new(RefusalCode::PluginRejected, why).at("input/digest"));
    if version.status != PluginStatus::Validated.as_str() {
        return refuse(format!("the version is {}, only VALIDATED ones can be tried", version.status));
    }
    let kind = version.kind.as_deref().unwrap_or_default();
    if kind != SlotKind::Qualify.as_str() {
        return refuse(format!("{} decides {kind}, but the slot {slot} asks QUALIFY", version.name));
    }
    Ok(())
}

/// By the plugin's JSON Schema, then by its own `check-settings`.
async fn check_settings(
    app: &App,
    workspace: &Workspace,
    digest: Digest,
    settings: &str,
) -> Result<Settings, Error> {
    let wasm = app.store.blobs().read(digest).await?;
    let loaded = app.host.load(&wasm, &workspace.trait_kinds()).await;
    let plugin = loaded
        .map_err(|error| Refused::new(RefusalCode::PluginRejected, error.to_string()).at("input/digest"))?;
    debug_assert_eq!(kind_text(plugin.kind), SlotKind::Qualify.as_str());
    let checked = app.host.check_settings(&plugin, settings).await;
    checked.map_err(|problems| {
        Error::Refused(problems.into_iter().map(super::deploy::settings_refused).collect())
    })
}
