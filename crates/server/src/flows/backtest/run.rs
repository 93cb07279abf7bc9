//! Carrying out runs, one after the other: pages of looks are read in order, judged on threads of low priority that read
//! through the connections of reports, and counted in order. A few pages are in memory at a time, however many leads there are.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use handfast_domain::backtest::{Board, Desk, Probed, Report, Tally};
use handfast_domain::clock::ClockKind;
use handfast_domain::digest::Digest;
use handfast_domain::run::RunStatus;
use handfast_domain::time::Instant;
use handfast_rules::Settings;
use handfast_store::StoreError;
use handfast_store::backtest::{self as store, BacktestRun, Look, NEWEST};
use tokio::time::Instant as Stopwatch;

use super::super::Error;
use super::super::evaluate::live_rule;
use super::super::turn::{self, PATIENCE, patiently};
use super::judge::{Job, Page, Seen, Tried};
use crate::app::App;
use crate::http::aside::Aside;
use crate::workspace::Workspace;

/// Looks of a page.
const PAGE: i64 = 500;
/// Leads on which it is tried what the candidate rests on.
const SAMPLE: usize = 256;
/// How often progress is written, and a cancelled run noticed.
const REPORT: Duration = Duration::from_millis(300);

/// Carries out runs in the order in which they were started. What an earlier process left unfinished starts again.
pub async fn run(app: App) {
    let unfinished = |app: App| async move { store::unfinished(app.store.read()).await };
    turn::take(
        app,
        "backtests",
        |app| &app.backtests,
        unfinished,
        |app, run| async move { one(&app, run).await },
    )
    .await;
}

async fn one(app: &App, run: BacktestRun) {
    let id = run.id;
    tracing::info!(backtest = %id, slot = run.slot, version = %run.version, "a backtest begins");
    // A bug in a page must not end the task that carries out all of them.
    let work = patiently(|| carry_out(app.clone(), run.clone()));
    let done = AssertUnwindSafe(work).catch_unwind().await;
    let done =
        done.unwrap_or_else(|_| Err(Error::fault("the server failed while it judged; its log says more")));
    let message = match done {
        // Finished, cancelled, or another node's by now.
        Ok(()) => return,
        Err(Error::Store(StoreError::Closed)) => return tokio::time::sleep(PATIENCE).await,
        Err(error) => {
            tracing::error!(backtest = %id, %error, "a backtest failed");
            error.to_string()
        }
    };
    let now = app.now();
    let ended = app
        .store
        .write(move |tx| Box::pin(async move { store::end(tx, id, RunStatus::Failed, &message, now).await }));
    if let Err(error) = ended.await {
        tracing::error!(backtest = %id, %error, "the end of a backtest could not be recorded; it starts again soon");
        tokio::time::sleep(PATIENCE).await;
    }
}

async fn carry_out(app: App, run: BacktestRun) -> Result<(), Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let aside = Aside::new(threads).map_err(|error| Error::fault(format!("no threads: {error}")))?;
    let own = aside.clone();
    // The reading, too, is done there: it takes the connections of reports.
    aside.run("backtest", async move { on_threads(app, run, own, threads).await }).await
}

async fn on_threads(app: App, run: BacktestRun, aside: Aside, threads: usize) -> Result<(), Error> {
    let workspace = app.workspace();
    let job = Arc::new(job(&app, &workspace, &run).await?);
    let window = (run.scope.from.unwrap_or(Instant::MIN), run.scope.to.unwrap_or(Instant::MAX));
    let slot = asked_slot(&app, &workspace, &run).await?;
    let total = store::count_looks(app.store.read(), &slot, window).await?;
    let id = run.id;
    if !app.store.write(move |tx| Box::pin(async move { store::begin(tx, id, total).await })).await? {
        return Ok(());
    }
    let pages = pages(app.clone(), slot, run.gate, window);
    let judged = pages.map(|looks| {
        let (job, aside) = (job.clone(), aside.clone());
        async move {
            let looks = looks?;
            let page = patiently(|| {
                let (job, looks) = (job.clone(), looks.clone());
                aside.run("backtest", async move { job.page(&looks, u32::MAX).await })
            })
            .await?;
            Ok::<_, Error>((looks, page))
        }
    });
    let mut judged = std::pin::pin!(judged.buffered(2 * threads));
    let mut so_far = SoFar::default();
    while let Some(page) = judged.next().await {
        let (looks, page) = page?;
        let left = run.scope.limit.saturating_sub(so_far.tally().judged());
        let full = page.tally.judged() >= left;
        let page = match page.tally.judged() > left {
            true => job.page(&looks, left).await?,
            false => page,
        };
        so_far.add(page, looks.len());
        if full {
            break;
        }
        if so_far.told.elapsed() >= REPORT {
            let done = so_far.done;
            let ours = app
                .store
                .write(move |tx| Box::pin(async move { store::progress(tx, id, done).await }))
                .await?;
            if !ours || !app.store.leads() {
                return Ok(());
            }
            so_far.told = Stopwatch::now();
        }
    }
    let probed = probe(&job, &aside, threads, so_far.sample.clone()).await?;
    let report = report(&app, &workspace, so_far.tally(), &probed).await?;
    let (now, done, tally) = (app.now(), so_far.done, so_far.tally);
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let flips = tally.as_ref().map_or(&[][..], Tally::flips);
                store::finish(tx, id, done, &report, flips, now).await
            })
        })
        .await?;
    Ok(())
}

/// Pages of looks, each read once it is its turn; an error is the last.
fn pages(
    app: App,
    slot: String,
    gate: handfast_domain::stage::StageKind,
    window: (Instant, Instant),
) -> impl futures_util::Stream<Item = Result<Arc<[Look]>, StoreError>> {
    stream::unfold(Some((app, slot, NEWEST)), move |state| async move {
        let (app, slot, before) = state?;
        match store::looks(app.store.read(), &slot, gate, window, before, PAGE).await {
            Ok(looks) => {
                let last = looks.last()?;
                let next = (last.at, last.id);
                Some((Ok(looks.into()), Some((app, slot, next))))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// What was counted up to here.
struct SoFar {
    tally: Option<Tally>,
    empty: Tally,
    sample: Vec<Seen>,
    /// Every so manieth lead is kept, so that the sample is spread over all.
    stride: usize,
    counted: usize,
    done: i64,
    told: Stopwatch,
}

impl Default for SoFar {
    fn default() -> SoFar {
        let (empty, told) = (Tally::new(0), Stopwatch::now());
        SoFar { tally: None, empty, sample: vec![], stride: 1, counted: 0, done: 0, told }
    }
}

impl SoFar {
    fn tally(&self) -> &Tally {
        self.tally.as_ref().unwrap_or(&self.empty)
    }

    fn add(&mut self, page: Page, looks: usize) {
        let Page { tally, seen } = page;
        match &mut self.tally {
            Some(sum) => sum.merge(tally),
            None => self.tally = Some(tally),
        }
        for one in seen {
            if self.counted.is_multiple_of(self.stride) {
                self.sample.push(one);
            }
            self.counted += 1;
            if self.sample.len() > SAMPLE {
                let mut place = 0;
                self.sample.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride *= 2;
            }
        }
        self.done += i64::try_from(looks).unwrap_or(0);
    }
}

/// Whose looks are read: those of the slot, or, while it was never asked, those of another slot of its gate.
async fn asked_slot(app: &App, workspace: &Workspace, run: &BacktestRun) -> Result<String, StoreError> {
    let everything = (Instant::MIN, Instant::MAX);
    let others = workspace.charter.body.slots_of(run.gate).map(|slot| slot.key.clone());
    for slot in std::iter::once(run.slot.clone()).chain(others) {
        if !store::looks(app.store.read(), &slot, run.gate, everything, NEWEST, 1).await?.is_empty() {
            return Ok(slot);
        }
    }
    Ok(run.slot.clone())
}

async fn job(app: &App, workspace: &Workspace, run: &BacktestRun) -> Result<Job, Error> {
    let candidate = load(app, workspace, run.version, run.settings).await?;
    let baseline = match run.baseline {
        Some((version, settings)) => load(app, workspace, version, settings).await?,
        None => built_in(workspace, &run.slot)?,
    };
    let reads = candidate.rule.descriptor().reads.iter();
    let paths: Vec<String> = reads.map(|(path, _)| path.clone()).collect();
    let traits = paths.iter().filter_map(|path| path.strip_prefix("traits.")).map(str::to_owned).collect();
    Ok(Job {
        app: app.clone(),
        gate: run.gate,
        scope: run.scope.clone(),
        baseline,
        candidate,
        paths,
        traits,
        marketing_queue: workspace.charter.body.marketing_queue.clone(),
    })
}

/// What answers for a slot without a deployment.
fn built_in(workspace: &Workspace, slot: &str) -> Result<Tried, Error> {
    let defined = workspace.charter.body.slots.iter().find(|known| known.key == slot);
    let defined = defined.ok_or_else(|| Error::fault(format!("the charter in force has no slot {slot}")))?;
    let mut empty = Workspace::clone(workspace);
    empty.rules.clear();
    let rule = live_rule(&empty, defined);
    Ok(Tried { rule: rule.rule.clone(), settings: rule.settings.clone() })
}

async fn load(app: &App, workspace: &Workspace, version: Digest, settings: Digest) -> Result<Tried, Error> {
    let wasm = app.store.blobs().read(version).await?;
    let plugin = app.host.load(&wasm, &workspace.trait_kinds()).await;
    let plugin = plugin.map_err(|error| Error::fault(error.to_string()))?;
    let text = handfast_store::plugin::settings(app.store.read(), settings).await?;
    let text = text.ok_or_else(|| Error::fault(format!("the settings {settings} are missing")))?;
    let settings = Settings::parse(&text).map_err(|error| Error::fault(error.to_string()))?;
    Ok(Tried { rule: plugin.into(), settings })
}

/// Which declared fields the candidate rests on, by taking each away.
async fn probe(
    job: &Arc<Job>,
    aside: &Aside,
    threads: usize,
    sample: Vec<Seen>,
) -> Result<Vec<Probed>, Error> {
    let sample: Arc<[Seen]> = sample.into();
    let probes = job.paths.iter().cloned().map(|path| {
        let (job, sample) = (job.clone(), sample.clone());
        aside.run("backtest", async move {
            let changed = job.changed_without(&path, &sample).await?;
            Ok(Probed { path, changed, sample: u32::try_from(sample.len()).unwrap_or(u32::MAX) })
        })
    });
    let probes: Vec<_> = probes.collect();
    stream::iter(probes).buffered(2 * threads).try_collect().await
}

async fn report(app: &App, workspace: &Workspace, tally: &Tally, probed: &[Probed]) -> Result<Report, Error> {
    let open = store::open_leads(app.store.read()).await?;
    let board = |desk: &Desk| match desk {
        Desk::Owner(id) => {
            let user = workspace.directory.user(*id);
            let owner = user.map_or_else(|| id.to_string(), |user| user.key.clone());
            let places = user.map(|user| (open.get(id).copied().unwrap_or(0), user.capacity));
            Board { owner: Some(owner), queue: None, places }
        }
        Desk::Queue(queue) => Board { queue: Some(queue.clone()), ..Board::default() },
        Desk::Nobody => Board::default(),
    };
    let promised = |policy: &&handfast_domain::clock::SlaPolicy| {
        matches!(policy.kind, ClockKind::Accept | ClockKind::FirstTouch)
    };
    let clocks = workspace.charter.body.sla.iter().filter(promised).count();
    Ok(tally.report(probed, board, u32::try_from(clocks).unwrap_or(0)))
}
