//! Connections to SQLite: one that writes, a pool that reads, and a small pool for reports with a time limit.

use crate::error::Result;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, SqlxError,
    sqlx::SqliteConnection,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    cell::Cell,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// SQLite looks at the clock once in so many instructions, about every millisecond.
const INSTRUCTIONS: i32 = 20_000;

/// When the running command must end. A dropped future stops no statement; the connection's own thread looks here.
#[derive(Clone)]
pub(crate) struct Deadline {
    started: Instant,
    /// Milliseconds after `started`; 0 for none.
    at: Arc<AtomicU64>,
}

impl Deadline {
    pub fn new() -> Deadline {
        Deadline { started: Instant::now(), at: Arc::default() }
    }

    pub fn set(&self, limit: Duration) {
        self.at.store(self.now() + millis(limit) + 1, Ordering::Relaxed);
    }

    pub fn clear(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    fn passed(&self) -> bool {
        let at = self.at.load(Ordering::Relaxed);
        at != 0 && self.now() > at
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

pub(crate) async fn writer(database: &Path, deadline: &Deadline) -> Result<DatabaseConnection> {
    let database = database.to_owned();
    let mut options = options(1);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        common(sqlite, &database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(512)
            .pragma("secure_delete", "ON")
            .pragma("cache_size", "-32768")
            // Fewer checkpoints: each one syncs the database file too, while commands wait.
            .pragma("wal_autocheckpoint", "8000")
            .pragma("journal_size_limit", "67108864")
    });
    let deadline = deadline.clone();
    options.map_sqlx_sqlite_pool_opts(move |pool| {
        let deadline = deadline.clone();
        pool.after_connect(move |connection, _| {
            let deadline = deadline.clone();
            Box::pin(async move {
                connection
                    .lock_handle()
                    .await?
                    .set_progress_handler(INSTRUCTIONS, move || !deadline.passed());
                Ok(())
            })
        })
    });
    Ok(Database::connect(options).await?)
}

pub(crate) async fn readers(database: &Path, connections: u32) -> Result<DatabaseConnection> {
    let database = database.to_owned();
    let mut options = options(connections);
    options.map_sqlx_sqlite_opts(move |sqlite| read_only(common(sqlite, &database)));
    Ok(Database::connect(options).await?)
}

/// One connection of a process that is not the server: it reads what is committed, and writes nothing. On a copy that nobody
/// writes, `alone` leaves no file beside it.
pub(crate) async fn visitor(database: &Path, alone: bool) -> Result<DatabaseConnection> {
    let database = database.to_owned();
    let mut options = options(1);
    options.map_sqlx_sqlite_opts(move |sqlite| common(sqlite, &database).read_only(true).immutable(alone));
    Ok(Database::connect(options).await?)
}

/// One connection that changes a copy which no server has opened yet.
pub(crate) async fn owner(database: &Path) -> Result<DatabaseConnection> {
    let database = database.to_owned();
    let mut options = options(1);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        common(sqlite, &database).synchronous(SqliteSynchronous::Full).pragma("secure_delete", "ON")
    });
    Ok(Database::connect(options).await?)
}

/// Like [`readers`], but each statement is stopped after `limit`.
pub(crate) async fn reports(
    database: &Path,
    connections: u32,
    limit: Duration,
) -> Result<DatabaseConnection> {
    let database = database.to_owned();
    let mut options = options(connections);
    options.map_sqlx_sqlite_opts(move |sqlite| read_only(common(sqlite, &database)));
    options.map_sqlx_sqlite_pool_opts(move |pool| {
        pool.before_acquire(move |connection, _| {
            Box::pin(async move { arm(connection, limit).await.map(|()| true) })
        })
        .after_connect(move |connection, _| Box::pin(arm(connection, limit)))
    });
    Ok(Database::connect(options).await?)
}

/// A connection is taken from the pool for each statement, or for a transaction of several: the time starts here.
async fn arm(connection: &mut SqliteConnection, limit: Duration) -> Result<(), SqlxError> {
    let until = Instant::now() + limit;
    connection.lock_handle().await?.set_progress_handler(INSTRUCTIONS, move || Instant::now() < until);
    Ok(())
}

thread_local! {
    static PATIENT: Cell<bool> = const { Cell::new(false) };
}

/// How long a statement waits for another connection's lock.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long the writer stands still to see whether readers let go of an older state.
const EMPTY_WAIT: Duration = Duration::from_millis(100);

/// From now on what runs on this thread reads through the connections of reports.
pub fn be_patient() {
    PATIENT.set(true);
}

pub(crate) fn is_patient() -> bool {
    PATIENT.get()
}

/// Moves all of the write-ahead log into the database file and empties it.
pub(crate) async fn checkpoint(writer: &DatabaseConnection) -> Result<()> {
    writer.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    Ok(())
}

/// The same without waiting for long: whoever reads an older state of the database keeps the log from being emptied. Answers
/// whether it is empty.
pub(crate) async fn empty_log(writer: &DatabaseConnection) -> Result<bool> {
    writer.execute_unprepared(&format!("PRAGMA busy_timeout = {}", EMPTY_WAIT.as_millis())).await?;
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: Result<Option<i64>> = crate::rows::fetch_value(writer, sql, vec![]).await;
    writer.execute_unprepared(&format!("PRAGMA busy_timeout = {}", BUSY_WAIT.as_millis())).await?;
    Ok(busy? == Some(0))
}

/// The path is set as a path below: in a URL it would need escapes.
fn options(connections: u32) -> ConnectOptions {
    patient("sqlite://handfast.db", connections)
}

/// Connections that stay, and are waited for.
pub(crate) fn patient(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(connections)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .test_before_acquire(false)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .acquire_timeout(Duration::from_secs(10));
    options
}

fn common(sqlite: SqliteConnectOptions, database: &Path) -> SqliteConnectOptions {
    sqlite
        .filename(database)
        .foreign_keys(true)
        .busy_timeout(BUSY_WAIT)
        .statement_cache_capacity(256)
        .pragma("temp_store", "MEMORY")
}

fn read_only(sqlite: SqliteConnectOptions) -> SqliteConnectOptions {
    sqlite.read_only(true).pragma("query_only", "ON").pragma("cache_size", "-2048")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}
