//! Reports in the background: over any span, with progress, kept as a table for a month.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::report::{Asked, Report, ReportRun};
use handfast_domain::run::RunStatus;
use handfast_domain::time::{DAY, Instant};
use handfast_store::StoreError;
use handfast_store::report as store;
use tokio::time::Instant as Stopwatch;
use uuid::Uuid;

use super::commit::Once;
use super::drill::{self, Drill};
use super::export::Table;
use super::lookback::Lookback;
use super::passage::Grouping;
use super::turn::{self, PATIENCE, patiently};
use super::window::Window;
use super::{
    Error, Viewer, attribution, audience_results, conversion, effort, follow_up_rate, leakage, restatement,
    retention, scope, trait_lift, velocity, win_loss,
};
use crate::app::App;
use crate::http::aside::Aside;

/// Runs that may wait, and those of one person.
const WAITING: usize = 50;
const OWN: usize = 10;
/// How often a run is begun: one that takes the server down with it does so no more.
const ATTEMPTS: i64 = 5;
/// How often progress is written, and a cancelled run noticed.
const REPORT: Duration = Duration::from_millis(300);
/// Bytes of the largest table.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How long a run and its table are kept once it is over.
pub const KEEP_DAYS: i64 = 30;
/// Runs that are over and kept, the newest.
const KEPT: i64 = 50;
/// Parts of a table that one command takes away.
const PARTS: i64 = 50;

/// Puts a report at the end of the queue. What cannot be asked for is refused here, not by the run.
pub async fn start(app: &App, viewer: &Viewer, once: Option<Once>, asked: Asked) -> Result<Uuid, Error> {
    viewer.require(scope::LEADS_READ)?;
    if let Some(answer) = Once::answered(once.as_ref(), app).await? {
        return read_id(&answer);
    }
    check(app, &asked).map_err(|refused| refused.at("input/report"))?;
    let waiting = store::unfinished(app.store.read()).await?;
    let own = waiting.iter().filter(|run| run.started_by == viewer.id()).count();
    if waiting.len() >= WAITING || own >= OWN {
        let message = format!(
            "{} reports wait already, {own} of them yours, of {WAITING} and {OWN}; cancel one, or wait until one is done",
            waiting.len()
        );
        return Err(Refused::invalid("input", message).into());
    }
    let (id, now) = (app.id(), app.now());
    let run = ReportRun {
        id,
        asked,
        status: RunStatus::Queued,
        attempt: 0,
        read: 0,
        read_until: None,
        bytes: None,
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
            store::insert(tx, &run).await?;
            Once::keep(once.as_ref(), tx, &id.to_string()).await?;
            Ok(id.to_string())
        })
    });
    let answer = answer.await?;
    app.reports.notify_one();
    read_id(&answer)
}

fn read_id(answer: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(answer).map_err(|_| Error::fault(format!("{answer:?} is no report")))
}

/// Stops a run, also one that waits. One that is over stays as it is.
pub async fn cancel(app: &App, viewer: &Viewer, id: Uuid) -> Result<(), Error> {
    viewer.require(scope::LEADS_READ)?;
    let Some(run) = store::get(app.store.read(), id).await? else {
        return Err(Refused::not_found("report").at("input/id").into());
    };
    if run.started_by != viewer.id() && !viewer.may(scope::ADMIN) {
        let message = "somebody else asked for this report; ask them, or an administrator, to cancel it";
        return Err(Refused::new(RefusalCode::Forbidden, message).at("input/id").into());
    }
    let now = app.now();
    let cancelled = app.store.write(move |tx| {
        Box::pin(async move { store::end(tx, id, RunStatus::Cancelled, "cancelled by a person", now).await })
    });
    cancelled.await?;
    Ok(())
}

fn grouping(app: &App, asked: &Asked) -> Result<Grouping, Refused> {
    Grouping::new(&app.workspace(), asked.by.clone(), asked.key.clone())
}

fn check(app: &App, asked: &Asked) -> Result<(), Refused> {
    let grouping = grouping(app, asked)?;
    let window = Window { from: asked.from, to: asked.to };
    match &asked.report {
        Report::Conversion { from, to, .. } => conversion::steps(*from, *to),
        Report::TraitLift { outcome } => trait_lift::told(*outcome),
        Report::RestatedFunnel { under_charter } => {
            restatement::charter(&app.workspace(), *under_charter).map(drop)
        }
        Report::Attribution { models, .. } => attribution::models(Some(models.clone())).map(drop),
        Report::Drill { figure, values, period } => {
            let (figure, values, period) = (figure.clone(), values.clone(), *period);
            drill::Asked { figure, window, grouping, values, period }.check(&app.workspace())
        }
        _ => Ok(()),
    }
}

/// Carries out runs in the order in which they were started. What an earlier process left unfinished starts again.
pub async fn run(app: App) {
    let unfinished = |app: App| async move { store::unfinished(app.store.read()).await };
    let one = |app: App, run| async move { one(&app, run).await };
    turn::take(app, "reports", |app| &app.reports, unfinished, one).await;
}

async fn one(app: &App, run: ReportRun) {
    let id = run.id;
    let kind = run.asked.report.kind();
    tracing::info!(report = %id, %kind, "a report begins");
    // A bug in a page must not end the task that carries out all of them.
    let work = patiently(|| carry_out(app.clone(), run.clone()));
    let done = AssertUnwindSafe(work).catch_unwind().await;
    let done =
        done.unwrap_or_else(|_| Err(Error::fault("the server failed while it counted; its log says more")));
    let message = match done {
        Ok(()) => return forget(app).await,
        Err(Error::Store(StoreError::Closed)) => return tokio::time::sleep(PATIENCE).await,
        // Another node goes on with it.
        Err(_) if !app.store.leads() => return,
        Err(error) => error.to_string(),
    };
    let now = app.now();
    // A run that was cancelled stays so.
    let ended = app
        .store
        .write(move |tx| Box::pin(async move { store::end(tx, id, RunStatus::Failed, &message, now).await }));
    if let Err(error) = ended.await {
        tracing::error!(report = %id, %error, "the end of a report could not be recorded; it starts again soon");
        tokio::time::sleep(PATIENCE).await;
    }
}

async fn carry_out(app: App, run: ReportRun) -> Result<(), Error> {
    let id = run.id;
    let begun = app.store.write(move |tx| Box::pin(async move { store::begin(tx, id).await })).await?;
    let Some(attempt) = begun else { return Ok(()) };
    if attempt > ATTEMPTS {
        return Err(Error::fault(format!(
            "it was begun {ATTEMPTS} times and never came to its end; ask for less"
        )));
    }
    let aside = Aside::new(1).map_err(|error| Error::fault(format!("no threads: {error}")))?;
    aside.run("report", async move { on_thread(&app, &run, attempt).await }).await
}

async fn on_thread(app: &App, run: &ReportRun, attempt: i64) -> Result<(), Error> {
    let (run, asked) = ((run.id, attempt), &run.asked);
    let progress = Progress { app: app.clone(), run, told: Mutex::new((0, Stopwatch::now())) };
    let window = Window { from: asked.from, to: asked.to };
    let back = Lookback::of_run(app, window, &progress);
    let mut kept = Kept { app, run, asked, parts: 0, bytes: 0, rest: Table::default() };
    if let Report::Drill { figure, values, period } = &asked.report {
        let (figure, values, period) = (figure.clone(), values.clone(), *period);
        let grouping = grouping(app, asked)?;
        let drilled = drill::Asked { figure, window, grouping, values, period };
        let currency = app.workspace().charter.body.currency.clone();
        kept.add(drill::table(&[], &currency)).await?;
        let mut drill = Drill::new(back, &drilled, None)?;
        while let Some(rows) = drill.next().await? {
            kept.add(drill::table(&rows, &currency)).await?;
        }
    } else {
        kept.add(table(back, asked).await?).await?;
    }
    kept.part().await?;
    let (read, bytes) = (progress.so_far(), i64::try_from(kept.bytes).unwrap_or(i64::MAX));
    let now = app.now();
    app.store
        .write(move |tx| Box::pin(async move { store::finish(tx, run, read, bytes, now).await }))
        .await?;
    Ok(())
}

/// Forgets reports that are too old or too many, a bounded piece of work at a time. What is left a later round forgets.
pub async fn forget(app: &App) {
    let before = app.now().plus(-KEEP_DAYS * DAY);
    let work = async {
        for run in store::stale(app.store.read(), before, KEPT).await? {
            shrink(app, Some(run)).await?;
            app.store
                .try_write_beside::<(), StoreError, _>(move |tx| {
                    Box::pin(async move { store::forget(tx, run).await })
                })
                .await?;
        }
        Ok::<(), StoreError>(())
    };
    if let Err(error) = work.await {
        tracing::warn!(%error, "old reports were not forgotten; a later round tries again");
    }
}

/// Takes away the tables of a run, or of all, in commands that keep nobody waiting for long.
pub async fn shrink(app: &App, run: Option<Uuid>) -> Result<(), StoreError> {
    let some = || {
        app.store.try_write_beside::<u64, StoreError, _>(move |tx| {
            Box::pin(async move { store::shrink(tx, run, PARTS).await })
        })
    };
    while some().await? > 0 {}
    Ok(())
}

/// A report that is small whatever it looks at.
async fn table(back: Lookback<'_>, asked: &Asked) -> Result<Table, Error> {
    let workspace = back.app.workspace();
    let (grouping, currency) = (grouping(back.app, asked)?, &workspace.charter.body.currency);
    Ok(match &asked.report {
        Report::Conversion { from, to, cohort } => {
            conversion::table(&conversion::conversion(back, (*from, *to), *cohort, &grouping).await?)
        }
        Report::Velocity => velocity::velocity_table(&velocity::velocity(back, &grouping).await?),
        Report::FunnelHealth => velocity::health_table(&velocity::health(back).await?),
        Report::Journeys => velocity::journeys_table(&velocity::journeys(back).await?),
        Report::WinLoss => win_loss::table(&asked.by, &win_loss::win_loss(back, &grouping).await?, currency),
        Report::Dispositions { cohort } => {
            win_loss::dispositions_table(&win_loss::dispositions(back, *cohort, &grouping).await?)
        }
        Report::Kpis => {
            let now = win_loss::kpis(back).await?;
            let before = win_loss::kpis(back.over(win_loss::before(back.window))).await?;
            win_loss::kpis_table(&[&now, &before], currency)
        }
        Report::HandoffLeakage => leakage::leakage_table(&leakage::leakage(back).await?.rows(), currency),
        Report::TraitLift { outcome } => trait_lift::table(&trait_lift::lifts(back, *outcome).await?),
        Report::DefinitionDrift => leakage::drift_table(&leakage::drift(back).await?.criteria()),
        Report::RestatedFunnel { under_charter } => {
            let (_, found) = restatement::restate(back, *under_charter).await?;
            restatement::table(&found.gates())
        }
        Report::Retention { cohort } => {
            retention::table(&retention::retention(back, *cohort, &grouping).await?)
        }
        Report::FollowUp => follow_up_rate::table(&follow_up_rate::follow_up(back, &grouping).await?),
        Report::EffortBy => {
            effort::table(&asked.by, &effort::effort_by(back, &grouping).await?.rows, currency)
        }
        Report::AudienceResults => audience_results::table(&audience_results::results(back).await?, currency),
        Report::Attribution { by, models } => {
            let tally = attribution::report(back, *by, models.clone()).await?.tally;
            attribution::table(&tally, &attribution::sorted(&tally), currency)
        }
        Report::Drill { .. } => return Err(Error::fault("rows are told one by one")),
    })
}

/// The table of a run, kept in parts as it grows.
struct Kept<'a> {
    app: &'a App,
    run: (Uuid, i64),
    asked: &'a Asked,
    parts: i64,
    bytes: usize,
    /// Rows that make no part yet.
    rest: Table,
}

/// Rows of a part, at most.
const ROWS: usize = 2_000;

impl Kept<'_> {
    async fn add(&mut self, table: Table) -> Result<(), Error> {
        self.rest.columns = table.columns;
        for row in table.rows {
            self.rest.rows.push(row);
            if self.rest.rows.len() >= ROWS {
                self.part().await?;
            }
        }
        Ok(())
    }

    /// Keeps what there is; the first part has the header, be there a row or not.
    async fn part(&mut self) -> Result<(), Error> {
        if self.rest.rows.is_empty() && self.parts > 0 {
            return Ok(());
        }
        let text = self.rest.part(self.asked.format, self.parts == 0);
        self.rest.rows.clear();
        self.bytes += text.len();
        if self.bytes > MOST_BYTES {
            let message = format!("the table is larger than {MOST_BYTES} bytes; ask for shorter spans");
            return Err(Refused::invalid("window", message).into());
        }
        let (run, number) = (self.run, self.parts);
        self.parts += 1;
        let keep = || {
            let (app, text) = (self.app.clone(), text.clone());
            async move {
                let kept = app.store.try_write_beside::<bool, Error, _>(move |tx| {
                    Box::pin(async move { Ok(store::keep(tx, run, number, &text).await?) })
                });
                kept.await
            }
        };
        if patiently(keep).await? { Ok(()) } else { Err(over()) }
    }
}

fn over() -> Error {
    Refused::new(RefusalCode::NotFound, "the report was cancelled").into()
}

/// How far a run is.
pub struct Progress {
    app: App,
    run: (Uuid, i64),
    /// Rows so far, and when it was last told.
    told: Mutex<(i64, Stopwatch)>,
}

impl Progress {
    fn so_far(&self) -> i64 {
        self.told.lock().map_or(0, |told| told.0)
    }

    /// So many more rows were read, up to then; refused once the run is over.
    pub async fn read(&self, rows: usize, until: Instant) -> Result<(), Error> {
        let read = {
            let Ok(mut told) = self.told.lock() else { return Ok(()) };
            told.0 += i64::try_from(rows).unwrap_or(0);
            if told.1.elapsed() < REPORT {
                return Ok(());
            }
            told.1 = Stopwatch::now();
            told.0
        };
        let run = self.run;
        let told = self.app.store.try_write_beside::<bool, StoreError, _>(move |tx| {
            Box::pin(async move { store::progress(tx, run, read, until).await })
        });
        let ours = match told.await {
            Ok(ours) => ours,
            Err(StoreError::Closed) => return Err(StoreError::Closed.into()),
            // It is told the next time.
            Err(error) => {
                tracing::debug!(%error, "how far a report is could not be told");
                true
            }
        };
        if ours && self.app.store.leads() { Ok(()) } else { Err(over()) }
    }
}
