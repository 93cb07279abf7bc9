//! PostgreSQL: connections, and a transaction for each command. A workspace is a schema.
//!
//! A command that was decided from anything else than the rows that it locks must be alone: it takes the workspace's
//! lock, which the others share. That is what the one writer of SQLite gives for nothing.

use crate::{
    command::Command,
    error::{Result, StoreError},
    feed::FeedHead,
    pool,
    tx::Tx,
};
use handfast_domain::digest::Digest;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, TransactionTrait};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Where the workspace lives, for a store on PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`
    pub url: String,
    /// Made if it does not exist.
    pub schema: String,
    /// Commands that are carried out at the same time.
    pub write_connections: u32,
}

/// A name that needs no quotes, so that it is the same in SQL, in a channel's name and in a log.
pub(crate) fn check_schema(schema: &str) -> Result<()> {
    let first = schema.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest = schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if first && rest && schema.len() <= 48 && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "{schema:?} is no name for a schema: 1 to 48 characters of a-z, 0-9 and _, a letter first, not pg_…"
    )))
}

/// Another scheme would open another kind of database. The URL is not repeated: it may hold a password.
pub(crate) fn check_url(url: &str) -> Result<()> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(());
    }
    let message = "[database] url begins with postgres://, as in postgres://user:password@host:5432/name; \
                   leave it empty for the file in the data directory";
    Err(StoreError::Open(message.to_owned()))
}

/// A pool whose statements are stopped after `limit`.
pub(crate) async fn connect(
    postgres: &PostgresOptions,
    connections: u32,
    limit: Duration,
    read_only: bool,
) -> Result<DatabaseConnection> {
    let mut options = pool::patient(&postgres.url, connections);
    options.min_connections(1);
    let schema = postgres.schema.clone();
    options.map_sqlx_postgres_opts(move |postgres| {
        let limit = limit.as_millis().to_string();
        let settings = [
            ("search_path", schema.as_str()),
            ("statement_timeout", limit.as_str()),
            // A process that hangs inside a transaction, because it is paused or its network is gone, keeps others waiting
            // for its locks. No command of one that runs takes so long.
            ("idle_in_transaction_session_timeout", "15000"),
            ("default_transaction_read_only", if read_only { "on" } else { "off" }),
            // An acknowledgement means that the change is on disk, whatever the server's own default is.
            ("synchronous_commit", "on"),
            ("timezone", "UTC"),
        ];
        postgres.options(settings).application_name("handfast").statement_cache_capacity(512)
    });
    Database::connect(options).await.map_err(|error| {
        StoreError::Open(format!(
            "the database cannot be reached ({error}): check [database] url, and that PostgreSQL runs there"
        ))
    })
}

/// Makes the schema, before any connection looks into it.
pub(crate) async fn make_schema(postgres: &PostgresOptions) -> Result<()> {
    check_url(&postgres.url)?;
    check_schema(&postgres.schema)?;
    let db = connect(postgres, 1, Duration::from_secs(60), false).await?;
    let key = setup_key(&postgres.schema);
    // Nodes that start together take turns; the lock ends with the transaction.
    let tx = db.begin().await?;
    tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({key})")).await?;
    tx.execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS {}", postgres.schema)).await?;
    tx.commit().await?;
    Ok(db.close().await?)
}

/// The workspace's lock among the advisory locks of the database.
pub(crate) fn lock_key(schema: &str) -> i64 {
    key("schema-lock", schema)
}

/// The lock of those who start: no writer waits for them, nor they for a writer, unless there is something to migrate.
pub(crate) fn setup_key(schema: &str) -> i64 {
    key("schema-setup", schema)
}

fn key(kind: &str, schema: &str) -> i64 {
    let Digest(digest) = Digest::of(kind, 1, &schema);
    i64::from_be_bytes(digest[..8].try_into().unwrap_or_default())
}

/// Commands that run or wait for a connection; more wait for a place.
const QUEUE: usize = 1024;
pub(crate) const QUEUE_LIMIT: Duration = Duration::from_secs(10);

/// Carries out commands.
#[derive(Clone)]
pub(crate) struct Writers {
    pub connections: DatabaseConnection,
    pub schema: String,
    pub limit: Duration,
    /// Wakes the sequencer.
    pub committed: Arc<Notify>,
    /// Counts them.
    commits: Arc<AtomicU64>,
    places: Arc<Semaphore>,
}

impl Writers {
    pub fn new(
        connections: DatabaseConnection,
        schema: String,
        limit: Duration,
        committed: Arc<Notify>,
        commits: Arc<AtomicU64>,
    ) -> Writers {
        Writers { connections, schema, limit, committed, commits, places: Arc::new(Semaphore::new(QUEUE)) }
    }

    /// Starts the command in a task of its own: it happens even if the caller stops waiting.
    pub async fn start(&self, command: Box<dyn Command>, alone: bool) {
        match timeout(QUEUE_LIMIT, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => drop(tokio::spawn(self.clone().carry_out(command, alone, place))),
            Ok(Err(_)) => command.fail(StoreError::Closed),
            Err(_) => command.fail(StoreError::Busy(format!(
                "{QUEUE} changes wait to be written, none was finished in {QUEUE_LIMIT:?}"
            ))),
        }
    }

    async fn carry_out(self, command: Box<dyn Command>, alone: bool, _place: OwnedSemaphorePermit) {
        let transaction = match self.begin(alone).await {
            Ok(transaction) => transaction,
            Err(error) => return command.fail(error),
        };
        let tx = Tx::new(transaction, FeedHead::default());
        match command.run(&tx, self.limit).await {
            Ok(ack) => {
                let ended = commit(tx.into_connection()).await;
                self.commits.fetch_add(1, Ordering::Release);
                self.committed.notify_one();
                ack(ended);
            }
            Err(ack) => {
                // If this fails, the connection is gone, and the transaction with it.
                let _ = tx.into_connection().rollback().await;
                ack(Ok(()));
            }
        }
    }

    async fn begin(&self, alone: bool) -> Result<DatabaseTransaction> {
        let transaction = self.connections.begin().await?;
        let lock = if alone { "pg_advisory_xact_lock" } else { "pg_advisory_xact_lock_shared" };
        let (key, limit) = (lock_key(&self.schema), self.limit.as_millis());
        // The wait for the lock is the queue; the command's own limit begins after it.
        let sql = format!("SELECT {lock}({key}); SET LOCAL statement_timeout = {limit}");
        match transaction.execute_unprepared(&sql).await.map_err(StoreError::from) {
            Ok(_) => Ok(transaction),
            Err(StoreError::Timeout(_)) => {
                Err(StoreError::Busy(format!("another change holds the workspace for {QUEUE_LIMIT:?}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the commands that run; later ones are answered with [`StoreError::Closed`].
    pub async fn close(&self) {
        let all = u32::try_from(QUEUE).unwrap_or(u32::MAX);
        if let Ok(places) = self.places.acquire_many(all).await {
            self.places.close();
            places.forget();
        }
        let _ = timeout(Duration::from_secs(5), self.connections.close_by_ref()).await;
    }
}

/// A transaction that an error ended would answer COMMIT with a rollback, and the driver says Ok: [`Tx`] noticed the error, and
/// such a command does not come here.
async fn commit(transaction: DatabaseTransaction) -> Result<()> {
    transaction.commit().await.map_err(|error| match StoreError::from(error) {
        known @ (StoreError::Full | StoreError::Conflict { .. } | StoreError::Overtaken(_)) => known,
        other => StoreError::Unknown(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_of_database_is_refused_and_no_password_is_repeated() {
        for good in ["postgres://a@b/c", "postgresql://a@b/c"] {
            assert_eq!(check_url(good), Ok(()));
        }
        for bad in ["sqlite://x.db", "mysql://a:secret@b/c", "host=b password=secret", "POSTGRES://a@b/c"] {
            let refused = check_url(bad).unwrap_err().to_string();
            assert!(refused.contains("postgres://user") && !refused.contains("secret"), "{bad}: {refused}");
        }
    }

    #[test]
    fn a_schema_is_a_name_that_needs_no_quotes() {
        for good in ["handfast", "_a", "team_9", &"x".repeat(48)] {
            assert_eq!(check_schema(good), Ok(()), "{good}");
        }
        for bad in ["", "9a", "Team", "a-b", "a b", "a\"; DROP", "pg_x", "é", &"x".repeat(49)] {
            assert!(check_schema(bad).is_err(), "{bad}");
        }
    }
}
