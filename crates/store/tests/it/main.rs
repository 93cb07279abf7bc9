//! The store on real files: each test gets a data directory of its own.

mod feed;
mod open;
mod records;
mod rows;
mod write;

use handfast_domain::time::Instant;
use handfast_store::{
    OpenOptions, Store, StoreError, Tx,
    feed::{EventFilter, EventRow, NewEvent},
    rows::{execute, fetch_value},
};
use sea_orm::{ConnectionTrait, Value};
use std::time::Duration;
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
    OpenOptions { command_limit: Duration::from_secs(3), ..OpenOptions::new(dir.path().join("data")) }
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
    let ids = "SELECT coalesce(json_group_array(id), '[]') FROM (SELECT id FROM scratch ORDER BY id)";
    let json: String = value(db, ids, vec![]).await;
    serde_json::from_str(&json).unwrap()
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

async fn all_events(store: &Store) -> Vec<EventRow> {
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
