//! Reports in the background: started, watched, read.

use async_graphql::{
    ComplexObject, Context, ID, InputObject, Object, OneofObject, SimpleObject, Subscription,
};
use futures_util::{Stream, StreamExt};
use handfast_domain::attribution::{AttributionBy, AttributionModel};
use handfast_domain::conversion::CohortPeriod;
use handfast_domain::digest::Digest;
use handfast_domain::dimension::Dimension;
use handfast_domain::refused::Refused;
use handfast_domain::report::{Asked, ExportFormat, Report, ReportKind, ReportRun as Run};
use handfast_domain::run::RunStatus;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::{DAY, Instant};
use handfast_store::report as store;

use super::directory::User;
use super::drill::FigureInput;
use super::page::{Page, PageArgs};
use super::passage::WindowInput;
use super::problem::{UserError, failure, payload};
use super::progress::progress;
use super::scalar::{Long, Uuid, global, local};
use super::{app, once, read_viewer, viewer};
use crate::app::App;
use crate::flows::report::{self, KEEP_DAYS};
use crate::flows::window::Window;
use crate::flows::{Error, attribution};

/// A report that is made in the background. The newest 50 are kept for 30 days after their end. When somebody is erased, all of them go,
/// those that wait or run as well: they might quote that person, and can be made again.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct ReportRun {
    pub id: ID,
    /// `GET /reports/{uuid}` answers the table.
    uuid: Uuid,
    report: ReportKind,
    /// All that was asked for, as JSON.
    asked: String,
    /// The span's beginning.
    from: Instant,
    /// The span's end, which is not in it.
    to: Instant,
    format: ExportFormat,
    status: RunStatus,
    /// Rows of the past that were read so far.
    read: Long,
    /// How far in the span the reading has come. Reports that go over it twice begin again.
    read_until: Option<Instant>,
    /// Bytes of the table; null until it is FINISHED.
    bytes: Option<Long>,
    /// Why it failed or was cancelled.
    message: Option<String>,
    started_at: Instant,
    finished_at: Option<Instant>,
    /// When it is forgotten.
    kept_until: Option<Instant>,
    #[graphql(skip)]
    run: Run,
}

impl ReportRun {
    pub fn wrap(run: Run) -> ReportRun {
        ReportRun {
            id: global("ReportRun", run.id),
            uuid: Uuid(run.id),
            report: run.asked.report.kind(),
            asked: serde_json::to_string(&run.asked).unwrap_or_default(),
            from: run.asked.from,
            to: run.asked.to,
            format: run.asked.format,
            status: run.status,
            read: Long(run.read),
            read_until: run.read_until,
            bytes: run.bytes.map(Long),
            message: run.message.clone(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            kept_until: run.finished_at.map(|at| at.plus(KEEP_DAYS * DAY)),
            run,
        }
    }
}

#[ComplexObject]
impl ReportRun {
    /// Who started it.
    async fn started_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.run.started_by).map(User::wrap))
    }

    /// A part of the table: 2,000 rows at most, the header of a CSV in the first of them. Null after the last part, and until the
    /// report is FINISHED.
    async fn table(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From 0 on.", default)] part: i32,
    ) -> async_graphql::Result<Option<String>> {
        read_viewer(ctx)?;
        if self.status != RunStatus::Finished {
            return Ok(None);
        }
        let found = store::part(app(ctx)?.store.read(), &self.run, i64::from(part)).await;
        found.map_err(|error| failure(error.into()))
    }
}

/// A report over a span.
#[derive(Clone, Debug, InputObject)]
pub struct SpanReportInput {
    window: Option<WindowInput>,
}

/// A report that is counted by one dimension.
#[derive(Clone, Debug, InputObject)]
pub struct GroupedReportInput {
    window: Option<WindowInput>,
    by: Option<Dimension>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
}

/// A report of conversion from one stage to another.
#[derive(Clone, Debug, InputObject)]
pub struct ConversionReportInput {
    /// Not ANONYMOUS.
    from: StageKind,
    /// A later stage.
    to: StageKind,
    /// The period of a cohort.
    #[graphql(default_with = "CohortPeriod::Month")]
    cohort: CohortPeriod,
    window: Option<WindowInput>,
    by: Option<Dimension>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
}

/// A report that is counted by periods and one dimension.
#[derive(Clone, Debug, InputObject)]
pub struct CohortReportInput {
    /// The period of a row.
    #[graphql(default_with = "CohortPeriod::Month")]
    cohort: CohortPeriod,
    window: Option<WindowInput>,
    by: Option<Dimension>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
}

/// A report that is counted by several dimensions.
#[derive(Clone, Debug, InputObject)]
pub struct DimensionsReportInput {
    window: Option<WindowInput>,
    /// Up to three dimensions, each once; all cycles together without.
    by: Option<Vec<Dimension>>,
    /// Key of the trait, by TRAIT.
    #[graphql(name = "trait")]
    trait_key: Option<String>,
}

/// A report of the traits of those that ended in a way.
#[derive(Clone, Debug, InputObject)]
pub struct TraitLiftReportInput {
    /// WON, LOST, RECYCLED or DISQUALIFIED.
    #[graphql(default_with = "CycleOutcome::Won")]
    outcome: CycleOutcome,
    window: Option<WindowInput>,
}

/// A report of a span under another charter.
#[derive(Clone, Debug, InputObject)]
pub struct RestatedReportInput {
    /// Number of a charter.
    under_charter: i32,
    window: Option<WindowInput>,
}

/// A report of what deals are owed to.
#[derive(Clone, Debug, InputObject)]
pub struct AttributionReportInput {
    #[graphql(default_with = "AttributionBy::Channel")]
    by: AttributionBy,
    /// All of them without; each at most once.
    models: Option<Vec<AttributionModel>>,
    window: Option<WindowInput>,
}

/// What is to be made. Each is what the query of that name answers, over a span of any length.
#[derive(Clone, Debug, OneofObject)]
pub enum ReportInput {
    /// How many of the cycles that entered a stage came to another one.
    Conversion(ConversionReportInput),
    /// How long cycles stay at their stages.
    Velocity(GroupedReportInput),
    /// What entered each stage, and how it went on.
    FunnelHealth(SpanReportInput),
    /// The ways that leads went.
    Journeys(SpanReportInput),
    /// How deals ended, with their sizes and lengths.
    WinLoss(DimensionsReportInput),
    /// Why cycles ended, over time; by REASON without `by`.
    Dispositions(CohortReportInput),
    /// Win rate, new accounts and revenue, and those of the span before.
    Kpis(SpanReportInput),
    /// What became of hand-offs.
    HandoffLeakage(SpanReportInput),
    /// Which traits the leads have that end in a way.
    TraitLift(TraitLiftReportInput),
    /// Whether signed criteria still tell whom sales accepts.
    DefinitionDrift(SpanReportInput),
    /// The span told again under another charter.
    RestatedFunnel(RestatedReportInput),
    /// Whether customers stay and come back.
    Retention(CohortReportInput),
    /// Whether, how fast and how often sales turns to what it is given.
    FollowUp(GroupedReportInput),
    /// What time of sales went to.
    EffortBy(DimensionsReportInput),
    /// What audiences came to.
    AudienceResults(SpanReportInput),
    /// Won deals, divided among what led to them.
    Attribution(AttributionReportInput),
    /// The cycles behind a figure, all of them.
    Drill(FigureInput),
}

fn window(app: &App, span: Option<WindowInput>) -> Result<Window, Refused> {
    let WindowInput { from, to } = span.unwrap_or_default();
    Window::new(app, from, to).map_err(|refused| refused.at("window"))
}

impl ReportInput {
    fn asked(self, app: &App, format: ExportFormat) -> Result<Asked, Refused> {
        let (report, span, by, key) = match self {
            ReportInput::Conversion(input) => {
                let ConversionReportInput { from, to, cohort, window, by, trait_key } = input;
                (Report::Conversion { from, to, cohort }, window, Vec::from_iter(by), trait_key)
            }
            ReportInput::Velocity(GroupedReportInput { window, by, trait_key }) => {
                (Report::Velocity, window, Vec::from_iter(by), trait_key)
            }
            ReportInput::FunnelHealth(span) => (Report::FunnelHealth, span.window, vec![], None),
            ReportInput::Journeys(span) => (Report::Journeys, span.window, vec![], None),
            ReportInput::WinLoss(DimensionsReportInput { window, by, trait_key }) => {
                (Report::WinLoss, window, by.unwrap_or_default(), trait_key)
            }
            ReportInput::Dispositions(CohortReportInput { cohort, window, by, trait_key }) => {
                (Report::Dispositions { cohort }, window, vec![by.unwrap_or(Dimension::Reason)], trait_key)
            }
            ReportInput::Kpis(span) => (Report::Kpis, span.window, vec![], None),
            ReportInput::HandoffLeakage(span) => (Report::HandoffLeakage, span.window, vec![], None),
            ReportInput::TraitLift(TraitLiftReportInput { outcome, window }) => {
                (Report::TraitLift { outcome }, window, vec![], None)
            }
            ReportInput::DefinitionDrift(span) => (Report::DefinitionDrift, span.window, vec![], None),
            ReportInput::RestatedFunnel(RestatedReportInput { under_charter, window }) => {
                // No charter has a negative number.
                let under_charter = u32::try_from(under_charter).unwrap_or(u32::MAX);
                (Report::RestatedFunnel { under_charter }, window, vec![], None)
            }
            ReportInput::Retention(CohortReportInput { cohort, window, by, trait_key }) => {
                (Report::Retention { cohort }, window, Vec::from_iter(by), trait_key)
            }
            ReportInput::FollowUp(GroupedReportInput { window, by, trait_key }) => {
                (Report::FollowUp, window, Vec::from_iter(by), trait_key)
            }
            ReportInput::EffortBy(DimensionsReportInput { window, by, trait_key }) => {
                (Report::EffortBy, window, by.unwrap_or_default(), trait_key)
            }
            ReportInput::AudienceResults(span) => (Report::AudienceResults, span.window, vec![], None),
            ReportInput::Attribution(AttributionReportInput { by, models, window }) => {
                let models = attribution::models(models).map_err(|refused| refused.at("attribution"))?;
                (Report::Attribution { by, models }, window, vec![], None)
            }
            ReportInput::Drill(figure) => {
                let drilled = figure.asked(app, |span| window(app, span))?;
                let crate::flows::drill::Asked {
                    figure,
                    window: Window { from, to },
                    grouping,
                    values,
                    period,
                } = drilled;
                let report = Report::Drill { figure, values, period };
                let (by, key) = (grouping.by, grouping.key);
                return Ok(Asked { report, from, to, by, key, format });
            }
        };
        let Window { from, to } = window(app, span)?;
        Ok(Asked { report, from, to, by, key, format })
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct StartReportInput {
    report: ReportInput,
    #[graphql(default_with = "ExportFormat::Csv")]
    format: ExportFormat,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct ReportPayload {
    /// The run as it stands; `reportProgress` tells how it goes on.
    run: Option<ReportRun>,
    errors: Vec<UserError>,
}

pub async fn found(app: &App, id: uuid::Uuid) -> async_graphql::Result<Option<ReportRun>> {
    Ok(run_of(app, id).await?.map(ReportRun::wrap))
}

async fn run_of(app: &App, id: uuid::Uuid) -> async_graphql::Result<Option<Run>> {
    store::get(app.store.read(), id).await.map_err(|error| failure(error.into()))
}

fn id_of(id: &ID) -> Result<uuid::Uuid, Refused> {
    local("ReportRun", id, "id")
}

#[derive(Default)]
pub struct ReportQuery;

#[Object]
impl ReportQuery {
    /// One report of the background; null if there is none.
    async fn report(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<ReportRun>> {
        read_viewer(ctx)?;
        found(app(ctx)?, id_of(&id).map_err(|refused| failure(refused.into()))?).await
    }

    /// Reports of the background, the newest first.
    async fn reports(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> async_graphql::Result<Page<ReportRun>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &"reports");
        let window = PageArgs { first, after, last, before }.window(app, "started", digest)?;
        let runs = store::page(app.store.read(), window.from, window.backward, window.limit).await;
        let runs = runs.map_err(|error| failure(error.into()))?;
        Ok(window.page(app, runs, |run| (run.started_at.ms(), run.id), ReportRun::wrap))
    }
}

#[derive(Default)]
pub struct ReportMutation;

#[Object]
impl ReportMutation {
    /// Begins to make a report in the background, over a span of any length: 20 million rows of a kind instead of the 400,000 of the
    /// queries. Requests go first. A run that a restart cuts off starts again, five times at most. Each person has ten at most that wait
    /// or run.
    async fn start_report(
        &self,
        ctx: &Context<'_>,
        input: StartReportInput,
    ) -> async_graphql::Result<ReportPayload> {
        let StartReportInput { report, format, idempotency_key } = input;
        // As it was sent: the end of an open span moves.
        let once = once(ctx, "startReport", idempotency_key, &(&report, format))?;
        let (app, viewer) = (app(ctx)?, viewer(ctx)?);
        let result = match report.asked(app, format) {
            Ok(asked) => report::start(app, viewer, once, asked).await,
            Err(refused) => Err(refused.at("input/report").into()),
        };
        answer(ctx, result).await
    }

    /// Stops a report of one's own, also one that waits; an administrator stops any. One that is over stays as it is.
    async fn cancel_report(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<ReportPayload> {
        let result = match id_of(&id) {
            Ok(id) => report::cancel(app(ctx)?, viewer(ctx)?, id).await.map(|()| id),
            Err(refused) => Err(refused.into()),
        };
        answer(ctx, result).await
    }
}

async fn answer(
    ctx: &Context<'_>,
    result: Result<uuid::Uuid, Error>,
) -> async_graphql::Result<ReportPayload> {
    let found = match result {
        // What was started before may be forgotten by now.
        Ok(id) => match found(app(ctx)?, id).await? {
            Some(run) => Ok(run),
            None => Err(Refused::not_found("report").at("input").into()),
        },
        Err(error) => Err(error),
    };
    let (run, errors) = payload(found)?;
    Ok(ReportPayload { run, errors })
}

#[derive(Default)]
pub struct ReportSubscription;

#[Subscription]
impl ReportSubscription {
    /// A report as it stands now, and whenever it got further, until it is over.
    async fn report_progress(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<ReportRun>> + use<>> {
        read_viewer(ctx)?;
        let app = app(ctx)?.clone();
        let id = id_of(&id).map_err(|refused| failure(refused.into()))?;
        let first = run_of(&app, id).await?.ok_or_else(|| super::not_found("report"))?;
        let look = move || {
            let app = app.clone();
            async move { run_of(&app, id).await }
        };
        Ok(progress(first, look, |run| run.status.is_over()).map(|run| run.map(ReportRun::wrap)))
    }
}
