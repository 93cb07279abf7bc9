//! Imports: started with a file and a mapping, watched while they run, read row by row afterwards.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::time::Instant;
use handfast_store::import::{self as store, ImportRun as Run, RowResult, Status};

use super::directory::User;
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::scalar::{Long, Uuid, global, local};
use super::{app, once, read_viewer, viewer};
use crate::flows::import::{self, Start};

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ImportStatus {
    /// It is under way, or waits for its turn.
    Running,
    /// Every row was looked at.
    Done,
    /// Something stopped it; what was done stays, and the message says why.
    Failed,
    /// A person stopped it; what was done stays.
    Cancelled,
}

/// What became of a row. A row that tells of a lead and of its ending has a result for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ImportRowOutcome {
    /// A new lead.
    Created,
    /// A known lead, of whom more is known now.
    Updated,
    /// The same row was imported before.
    Unchanged,
    /// Its cycle ended as won.
    Won,
    /// Its cycle ended as lost.
    Lost,
    /// Its cycle ended as recycled.
    Recycled,
    /// Its cycle ended as disqualified.
    Disqualified,
    /// Nothing of this part of the row was taken.
    Refused,
    /// The row was taken, but something in it is odd.
    Warning,
}

const OUTCOMES: [(ImportRowOutcome, &str); 9] = [
    (ImportRowOutcome::Created, "CREATED"),
    (ImportRowOutcome::Updated, "UPDATED"),
    (ImportRowOutcome::Unchanged, "UNCHANGED"),
    (ImportRowOutcome::Won, "WON"),
    (ImportRowOutcome::Lost, "LOST"),
    (ImportRowOutcome::Recycled, "RECYCLED"),
    (ImportRowOutcome::Disqualified, "DISQUALIFIED"),
    (ImportRowOutcome::Refused, "REFUSED"),
    (ImportRowOutcome::Warning, "WARNING"),
];

/// One import of one file.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct ImportRun {
    pub id: ID,
    uuid: Uuid,
    /// sha-256 of the file.
    digest: Digest,
    /// What the uploader calls it.
    name: String,
    /// The mapping, as JSON.
    mapping: String,
    /// Whether it only checked the rows.
    dry_run: bool,
    /// Where it stands.
    status: ImportStatus,
    /// Acts that are done. A row is one act, or two where it also says how its lead ended.
    done: Long,
    /// Acts in all; 0 until the file has been read once.
    total: Long,
    /// Rows of the file.
    rows: Long,
    created: Long,
    updated: Long,
    unchanged: Long,
    refused: Long,
    warnings: Long,
    /// Cycles that the file ended as won.
    won: Long,
    /// Cycles that the file ended as lost.
    lost: Long,
    /// Cycles that the file ended as recycled.
    recycled: Long,
    /// Cycles that the file ended as disqualified.
    disqualified: Long,
    /// Why it failed or was cancelled.
    message: Option<String>,
    /// Rows from this instant on came in as live ones.
    live_from: Instant,
    started_at: Instant,
    finished_at: Option<Instant>,
    #[graphql(skip)]
    run: Run,
}

impl ImportRun {
    pub fn wrap(run: Run) -> ImportRun {
        let counts = run.counts;
        ImportRun {
            id: global("ImportRun", run.id),
            uuid: Uuid(run.id),
            digest: run.digest,
            name: run.name.clone(),
            mapping: run.mapping.clone(),
            dry_run: run.dry_run,
            status: match run.status {
                Status::Running => ImportStatus::Running,
                Status::Done => ImportStatus::Done,
                Status::Failed => ImportStatus::Failed,
                Status::Cancelled => ImportStatus::Cancelled,
            },
            done: Long(run.next),
            total: Long(run.total),
            rows: Long(counts.rows),
            created: Long(counts.created),
            updated: Long(counts.updated),
            unchanged: Long(counts.unchanged),
            refused: Long(counts.refused),
            warnings: Long(counts.warnings),
            won: Long(counts.won),
            lost: Long(counts.lost),
            recycled: Long(counts.recycled),
            disqualified: Long(counts.disqualified),
            message: run.message.clone(),
            live_from: run.live_from,
            started_at: run.started_at,
            finished_at: run.finished_at,
            run,
        }
    }
}

/// What became of one row.
#[derive(Clone, SimpleObject)]
pub struct ImportRow {
    /// The line of the file, as an editor counts: the header is 1.
    row: Long,
    outcome: ImportRowOutcome,
    /// Its lead, where it has one.
    lead_id: Option<ID>,
    /// The column that is at fault.
    column: Option<String>,
    /// What stands there, at most 80 characters of it.
    value: Option<String>,
    /// What is wrong, and how to mend it.
    message: Option<String>,
}

impl ImportRow {
    fn wrap(row: RowResult) -> ImportRow {
        let outcome = OUTCOMES.iter().find(|(_, text)| *text == row.result).map(|(outcome, _)| *outcome);
        ImportRow {
            row: Long(row.row_number),
            outcome: outcome.unwrap_or(ImportRowOutcome::Warning),
            lead_id: row.lead.map(|lead| global("Lead", lead)),
            column: row.column_name,
            value: row.value,
            message: row.message,
        }
    }
}

#[ComplexObject]
impl ImportRun {
    /// Who started it.
    async fn started_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.run.started_by).map(User::wrap))
    }

    /// What became of its rows, by their lines; only those with one of the outcomes, or all. Whoever may not read leads sees
    /// those of an own import.
    async fn results(
        &self,
        ctx: &Context<'_>,
        outcomes: Option<Vec<ImportRowOutcome>>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<ImportRow>> {
        if viewer(ctx)?.id() != self.run.started_by {
            read_viewer(ctx)?;
        }
        let app = app(ctx)?;
        let outcomes = outcomes.unwrap_or_default();
        let kinds = OUTCOMES.iter().filter(|(outcome, _)| outcomes.contains(outcome));
        let kinds: Vec<String> = kinds.map(|(_, text)| (*text).to_owned()).collect();
        let digest = Digest::of("filter", 1, &(self.run.id, &kinds));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "row", digest)?;
        let rows =
            store::results(app.store.read(), self.run.id, &kinds, window.from, window.backward, window.limit);
        let rows = rows.await.map_err(|error| failure(error.into()))?;
        Ok(window.page(app, rows, |row| (row.row_number, row.id), ImportRow::wrap))
    }
}

#[derive(Default)]
pub struct ImportQuery;

#[Object]
impl ImportQuery {
    /// One import; null if there is none.
    async fn import_run(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<ImportRun>> {
        read_viewer(ctx)?;
        let id = local("ImportRun", &id, "id").map_err(|refused| failure(refused.into()))?;
        let run = store::get(app(ctx)?.store.read(), id).await.map_err(|error| failure(error.into()))?;
        Ok(run.map(ImportRun::wrap))
    }

    /// Imports, the newest first.
    async fn import_runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> async_graphql::Result<Page<ImportRun>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &"imports");
        let window = PageArgs { first, after, last, before }.window(app, "started", digest)?;
        let runs = store::page(app.store.read(), window.from, window.backward, window.limit).await;
        let runs = runs.map_err(|error| failure(error.into()))?;
        Ok(window.page(app, runs, |run| (run.started_at.ms(), run.id), ImportRun::wrap))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct StartImportInput {
    /// sha-256 of a file that came by `PUT /blobs?kind=import`: CSV with a header, or NDJSON.
    digest: Digest,
    /// What you call it.
    name: String,
    /// JSON: which column is which field; `handfast import --help` shows the shape.
    mapping: String,
    /// Checks every row, and writes nothing but the results.
    dry_run: Option<bool>,
    /// Rows that happened from this instant on are routed and get clocks. Without: all of them are the past.
    live_from: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct ImportPayload {
    /// The run as it stands; ask for it again to see it go on.
    run: Option<ImportRun>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ImportMutation;

#[Object]
impl ImportMutation {
    /// Begins to import a file in the background. A run survives restarts; the same file again changes nothing.
    async fn start_import(
        &self,
        ctx: &Context<'_>,
        input: StartImportInput,
    ) -> async_graphql::Result<ImportPayload> {
        let StartImportInput { digest, name, mapping, dry_run, live_from, idempotency_key } = input;
        let dry_run = dry_run.unwrap_or(false);
        let once = once(ctx, "startImport", idempotency_key, &(digest, &name, &mapping, dry_run, live_from))?;
        let start = Start { digest, name, mapping, dry_run, live_from };
        answer(ctx, import::start(app(ctx)?, viewer(ctx)?, once, start).await).await
    }

    /// Stops an import. The rows that are done stay.
    async fn cancel_import(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<ImportPayload> {
        let result = match local("ImportRun", &id, "id") {
            Ok(id) => import::cancel(app(ctx)?, viewer(ctx)?, id).await.map(|()| id),
            Err(refused) => Err(refused.into()),
        };
        answer(ctx, result).await
    }
}

async fn answer(
    ctx: &Context<'_>,
    result: Result<uuid::Uuid, crate::flows::Error>,
) -> async_graphql::Result<ImportPayload> {
    let (id, errors) = payload(result)?;
    let run = match id {
        Some(id) => store::get(app(ctx)?.store.read(), id).await.map_err(|error| failure(error.into()))?,
        None => None,
    };
    Ok(ImportPayload { run: run.map(ImportRun::wrap), errors })
}
