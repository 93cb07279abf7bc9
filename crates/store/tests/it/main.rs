//! The store on real files: each test gets a data directory of its own.

mod cursors;
mod feed;
mod filter;
mod job;
mod open;
mod personal;
mod postgres;
mod records;
mod rows;
mod tamper;
mod write;

use handfast_domain::time::Instant;
use handfast_store::{
    OpenOptions, PostgresOptions, Store, StoreError, Tx,
    feed::{EventFilter, NewEvent},
    rows::{execute, fetch_all, fetch_value},
    tail::Told,
};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, FromQueryResult, Value};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

const NOW: Instant = Instant(1_750_000_000_000);

async fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    store.write(|tx| Box::pin(create_note(tx))).await.unwrap();
    (dir, store)
}

fn options(dir: &TempDir) -> OpenOptions {
    let postgres =
        postgres_url().map(|url| PostgresOptions { url, schema: schema(dir), write_connections: 8 });
    let command_limit = Duration::from_secs(3);
    OpenOptions { command_limit, postgres, ..OpenOptions::new(dir.path().join("data")) }
}

/// With it, the whole suite runs on PostgreSQL instead of SQLite.
fn postgres_url() -> Option<String> {
    std::env::var("HANDFAST_TEST_POSTGRES").ok()
}

/// A schema for each directory.
fn schema(dir: &TempDir) -> String {
    let name = dir.path().file_name().unwrap_or_default().to_string_lossy();
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("s_{hex}")
}

/// A connection behind the store's back.
async fn raw(dir: &TempDir) -> DatabaseConnection {
    let mut options = match postgres_url() {
        Some(url) => ConnectOptions::new(url),
        None => ConnectOptions::new(format!("sqlite://{}", dir.path().join("data/handfast.db").display())),
    };
    options.max_connections(1).set_schema_search_path(schema(dir));
    Database::connect(options).await.unwrap()
}

/// For a test about the file of SQLite, or its one writer.
fn only_sqlite() -> bool {
    let here = postgres_url().is_none();
    if !here {
        eprintln!("about SQLite; nothing to test on PostgreSQL");
    }
    here
}

/// A table of the tests' own, so that they say nothing about the product's.
async fn create_note(tx: &Tx) -> Result<(), StoreError> {
    execute(tx, "CREATE TABLE IF NOT EXISTS scratch (id bigint PRIMARY KEY, text text, size bigint)", vec![])
        .await?;
    Ok(())
}

async fn add_note(tx: &Tx, id: i64) -> Result<i64, StoreError> {
    execute(tx, "INSERT INTO scratch (id, text) VALUES ($1, 'x')", vec![id.into()]).await?;
    Ok(id)
}

async fn notes(db: &impl ConnectionTrait) -> Vec<i64> {
    #[derive(FromQueryResult)]
    struct Note {
        id: i64,
    }
    let notes: Vec<Note> = fetch_all(db, "SELECT id FROM scratch ORDER BY id", vec![]).await.unwrap();
    notes.into_iter().map(|note| note.id).collect()
}

/// For a test about many writers, or several nodes.
fn only_postgres() -> bool {
    let here = postgres_url().is_some();
    if !here {
        eprintln!("about PostgreSQL; `cargo xtask test --only postgres` runs it");
    }
    here
}

async fn value<T: sea_orm::TryGetable>(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> T {
    fetch_value(db, sql, values).await.unwrap().unwrap()
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn event(number: u128, stream: u128, version: i64, ordinal: i64) -> NewEvent {
    NewEvent {
        id: uuid(number),
        stream_kind: "lead".into(),
        stream_id: uuid(stream),
        version,
        ordinal,
        kind: if number.is_multiple_of(3) { "stageChanged".into() } else { "assigned".into() },
        schema_version: 1,
        payload: format!(r#"{{"number":{number}}}"#),
        occurred_at: NOW,
        recorded_at: NOW.plus(5),
    }
}

async fn all_events(store: &Store) -> Vec<Arc<Told>> {
    store.settle().await.unwrap();
    store.events_after(0, 1_000_000, &EventFilter::default()).await.unwrap().events
}

/// Holds the writer, so that what is written meanwhile becomes one group.
struct Gate {
    open: oneshot::Sender<()>,
    held: JoinHandle<Result<(), StoreError>>,
}

impl Gate {
    async fn close(store: &Store) -> Gate {
        let (open, wait) = oneshot::channel::<()>();
        let (entered, inside) = oneshot::channel();
        let store = store.clone();
        let held = tokio::spawn(async move {
            store
                .write(|_| {
                    Box::pin(async move {
                        entered.send(()).unwrap();
                        wait.await.unwrap();
                        Ok(())
                    })
                })
                .await
        });
        inside.await.unwrap();
        Gate { open, held }
    }

    /// Lets the queued commands run, after a pause in which all of them have reached the queue.
    async fn open(self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.open.send(()).unwrap();
        self.held.await.unwrap().unwrap();
    }
}
