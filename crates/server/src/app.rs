//! The running product: store, rules host, time, and the workspace as it stands. Flows take an `App` and decide.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use handfast_domain::time::{Clock, Ids, Instant};
use handfast_rules::{Compiler, Host, HostConfig};
use handfast_store::secret::Purpose;
use handfast_store::{OpenOptions, Store};
use uuid::Uuid;

use crate::config::Config;
use crate::flows::breaker::Breakers;
use crate::flows::shadow::Shadows;
use crate::flows::signature::Policy;
use crate::flows::{Error, setup};
use crate::outbound::Outbound;
use crate::workspace::Workspace;

/// What a data directory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To go on where the last process ended. A database that is behind its head mark is refused.
    Serve,
    /// To go on from an older state, as a new epoch.
    Restored,
    /// To be looked at, whatever state it is in.
    Examine,
}

/// Cheap to clone: one for the whole process.
#[derive(Clone)]
pub struct App(Arc<Inner>);

pub struct Inner {
    pub store: Store,
    pub host: Host,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    /// Whether an import is telling the past.
    pub importing: AtomicBool,
    /// Tokens that were revoked while the process runs: whoever listens with one is cut off.
    pub revoked: tokio::sync::watch::Sender<BTreeSet<Uuid>>,
    /// Where the feed ended before the workspace was loaded.
    pub followed_from: i64,
    /// Wakes whoever carries out imports.
    pub imports: tokio::sync::Notify,
    /// Wakes whoever carries out backtests.
    pub backtests: tokio::sync::Notify,
    /// Wakes whoever makes reports.
    pub reports: tokio::sync::Notify,
    /// Wakes whoever carries out re-evaluations.
    pub reevaluations: tokio::sync::Notify,
    /// Sends to webhooks.
    pub outbound: Outbound,
    /// How the newest calls of rules ended.
    pub breakers: Breakers,
    /// What waits for the versions that run beside those that count.
    pub shadows: Shadows,
    /// Whose versions must be signed.
    pub signatures: Policy,
    /// Whether results are looked at before the next campaign of their kind.
    pub review_campaigns: bool,
    workspace: ArcSwap<Workspace>,
    /// Reloads happen one after the other, so that an older one never overwrites a newer one.
    reloading: tokio::sync::Mutex<()>,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Opens the data directory, brings its schema up to date and loads the rules that are live.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<App, Error> {
        App::open_as(config, clock, ids, Opening::Serve).await
    }

    /// [`App::open`] for a purpose.
    pub async fn open_as(
        config: &Config,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        opening: Opening,
    ) -> Result<App, Error> {
        let outbound = Outbound::new(&config.webhooks).map_err(Error::fault)?;
        let dir = &config.server.data_dir;
        let postgres = config.database.postgres();
        let (restored, examine) = (opening == Opening::Restored, opening == Opening::Examine);
        let options = OpenOptions { postgres, restored, examine, ..OpenOptions::new(dir) };
        let store = Store::open(options).await?;
        let mut rules = HostConfig::new();
        rules.cache_dir = Some(dir.join("compiled-rules"));
        rules.cache_key = store.secret().subkey(Purpose::RulesCache);
        rules.threads = config.server.rule_threads;
        // Imports and re-evaluations wait for their turn; only a real flood is answered with BUSY.
        rules.queue = 256;
        if let Ok(program) = std::env::current_exe() {
            rules.compiler = Compiler::Child { program, args: vec!["compile-rule".to_owned()] };
        }
        let host = Host::new(rules).map_err(|error| Error::fault(error.to_string()))?;
        setup::ensure_workspace(&store, clock.as_ref(), ids.as_ref(), &config.workspace).await?;
        let followed_from = *store.head().borrow();
        let workspace = Workspace::load(&store, &host).await?;
        let inner = Inner {
            store,
            host,
            clock,
            ids,
            importing: AtomicBool::new(false),
            revoked: tokio::sync::watch::Sender::default(),
            followed_from,
            imports: tokio::sync::Notify::new(),
            backtests: tokio::sync::Notify::new(),
            reports: tokio::sync::Notify::new(),
            reevaluations: tokio::sync::Notify::new(),
            outbound,
            breakers: Breakers::default(),
            shadows: Shadows::default(),
            signatures: config.rules.require_signatures.clone(),
            review_campaigns: config.campaigns.require_review,
            workspace: ArcSwap::from_pointee(workspace),
            reloading: tokio::sync::Mutex::new(()),
        };
        Ok(App(Arc::new(inner)))
    }

    /// The workspace as it stands. A request takes it once and uses it to the end.
    pub fn workspace(&self) -> Arc<Workspace> {
        self.workspace.load_full()
    }

    /// Takes up what a set-up, charter or deployment change wrote. If that fails, the old workspace stays.
    pub async fn reload(&self) -> Result<(), Error> {
        let _turn = self.reloading.lock().await;
        let workspace = Workspace::load(&self.store, &self.host).await?;
        self.workspace.store(Arc::new(workspace));
        self.outbound.wake();
        Ok(())
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    pub fn id(&self) -> Uuid {
        self.ids.next()
    }
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Instant {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Instant(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that a demo, which lives through months in a minute, can put back behind the machine's.
#[derive(Default)]
pub struct ShiftedClock {
    pub shift_ms: std::sync::atomic::AtomicI64,
}

impl Clock for ShiftedClock {
    fn now(&self) -> Instant {
        SystemClock.now().plus(self.shift_ms.load(Ordering::Relaxed))
    }
}

/// Random UUIDv7s that rise within the process.
#[derive(Default)]
pub struct RandomIds {
    drawn: AtomicU64,
}

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws identities")]
    fn next(&self) -> Uuid {
        self.drawn.fetch_add(1, Ordering::Relaxed);
        Uuid::now_v7()
    }
}
