//! How fast the store writes, on real files with real syncs: `cargo run --release -p handfast-store --example throughput`.

use handfast_domain::time::Instant as At;
use handfast_store::{
    OpenOptions, Store, StoreError, Tx,
    feed::{EventFilter, NewEvent, append_events},
    rows::{execute, insert_rows},
};
use sea_orm::Value;
use std::time::{Duration, Instant};
use uuid::Uuid;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = match std::env::args().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let store = Store::open(OpenOptions::new(dir.path())).await?;
    store.write(|tx| Box::pin(schema(tx))).await?;
    for rows in [1, 8, 15, 64, 640, 6400] {
        insert(&store, rows).await?;
    }
    for leads in [1, 8, 64, 256] {
        import(&store, leads).await?;
    }
    for callers in [1, 4, 16, 64] {
        commits(&store, callers, false).await?;
        commits(&store, callers, true).await?;
    }
    read(&store).await?;
    store.close().await;
    Ok(())
}

const WIDE: &[&str] = &[
    "id", "lead", "kind", "source", "campaign", "content", "at", "received", "position", "cost", "flag",
    "note",
];

async fn schema(tx: &Tx) -> Result<(), StoreError> {
    for sql in [
        "CREATE TABLE bench_wide (id blob PRIMARY KEY NOT NULL, lead blob NOT NULL, kind text, source text, campaign text,
         content text, at bigint, received bigint, position bigint, cost bigint, flag boolean, note text)",
        "CREATE INDEX bench_wide_lead ON bench_wide (lead, at)",
        "CREATE TABLE bench_lead (id blob PRIMARY KEY NOT NULL, version bigint NOT NULL, stage text)",
    ] {
        execute(tx, sql, vec![]).await?;
    }
    Ok(())
}

/// Twelve columns as a touchpoint has them: ids, short texts, numbers, a null.
fn row(id: u128, lead: u128) -> Vec<Value> {
    vec![
        Uuid::from_u128(id).into(),
        scattered(lead).into(),
        "TOUCH".into(),
        "ORGANIC_SEARCH".into(),
        "spring campaign 2026".into(),
        "white paper on lead routing".into(),
        1_750_000_000_000i64.into(),
        1_750_000_000_100i64.into(),
        (id as i64).into(),
        1200i64.into(),
        true.into(),
        Option::<String>::None.into(),
    ]
}

/// Ids of leads arrive in no order.
fn scattered(number: u128) -> Uuid {
    Uuid::from_u128(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

async fn insert(store: &Store, rows: u128) -> Result<(), StoreError> {
    store.write(|tx| Box::pin(async move { execute(tx, "DELETE FROM bench_wide", vec![]).await })).await?;
    let (started, mut written) = (Instant::now(), 0u128);
    while started.elapsed() < Duration::from_secs(2) {
        store
            .write(move |tx| {
                Box::pin(async move {
                    let rows = (written..written + rows).map(|id| row(id, id / 15)).collect();
                    insert_rows(tx, "bench_wide", WIDE, rows).await
                })
            })
            .await?;
        written += rows;
    }
    let rate = written as f64 / started.elapsed().as_secs_f64();
    println!("insert_rows, {rows:>4} rows a command: {rate:>8.0} rows/s");
    Ok(())
}

/// A command writes `leads` leads: 12 wide rows, 2 events and their 2 feed rows each.
async fn import(store: &Store, leads: u128) -> Result<(), StoreError> {
    let (started, mut written) = (Instant::now(), leads << 64);
    let first = written;
    while started.elapsed() < Duration::from_secs(3) {
        store
            .write(move |tx| {
                Box::pin(async move {
                    let range = written..written + leads;
                    let rows = range.clone().flat_map(|lead| (0..12).map(move |n| row(lead << 8 | n, lead)));
                    insert_rows(tx, "bench_wide", WIDE, rows.collect()).await?;
                    let events = range.flat_map(|lead| {
                        (0..2).map(move |n| event(lead << 8 | n, scattered(lead), 1, n as i64))
                    });
                    append_events(tx, events.collect()).await
                })
            })
            .await?;
        written += leads;
    }
    let rate = (written - first) as f64 / started.elapsed().as_secs_f64();
    println!(
        "import, {leads:>3} leads of 12 + 2 + 2 rows a command: {rate:>7.0} leads/s, {:>8.0} rows/s",
        rate * 16.0
    );
    Ok(())
}

fn event(id: u128, stream: Uuid, version: i64, ordinal: i64) -> NewEvent {
    NewEvent {
        id: Uuid::from_u128(id),
        stream_kind: "lead".into(),
        stream_id: stream,
        version,
        ordinal,
        kind: "stageChanged".into(),
        schema_version: 1,
        payload: r#"{"after":"MQL","before":"INQUIRY","cause":"IMPORT","charter":1,"cycle":1,"reason":null}"#
            .into(),
        occurred_at: At(1_750_000_000_000),
        recorded_at: At(1_750_000_000_000),
    }
}

async fn commits(store: &Store, callers: u128, events: bool) -> Result<(), StoreError> {
    store.write(|tx| Box::pin(async move { execute(tx, "DELETE FROM bench_lead", vec![]).await })).await?;
    let started = Instant::now();
    let base = (callers << 1 | u128::from(events)) << 96;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                let lead = scattered(base | caller);
                let mut done = 0u64;
                while started.elapsed() < Duration::from_secs(2) {
                    let version = done as i64 + 1;
                    let id = base | caller << 32 | u128::from(done);
                    store.write(move |tx| Box::pin(advance(tx, lead, version, id, events))).await?;
                    done += 1;
                }
                Ok::<u64, StoreError>(done)
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.map_err(|error| StoreError::Panicked(error.to_string()))??;
    }
    let rate = done as f64 / started.elapsed().as_secs_f64();
    let what = if events { "an upsert, an event, its feed row" } else { "an upsert" };
    println!("{callers:>2} callers, {what}: {rate:>6.0} commands/s");
    Ok(())
}

async fn advance(tx: &Tx, lead: Uuid, version: i64, id: u128, events: bool) -> Result<(), StoreError> {
    let sql = "INSERT INTO bench_lead (id, version, stage) VALUES ($1, $2, 'MQL')
               ON CONFLICT (id) DO UPDATE SET version = excluded.version";
    execute(tx, sql, vec![lead.into(), version.into()]).await?;
    if events {
        append_events(tx, vec![event(id, lead, version, 0)]).await?;
    }
    Ok(())
}

async fn read(store: &Store) -> Result<(), StoreError> {
    let (started, mut position, mut seen) = (Instant::now(), 0, 0);
    while position < *store.head().borrow() {
        let page = store.events_after(position, 500, &EventFilter::default()).await?;
        (position, seen) = (page.next, seen + page.events.len());
    }
    println!("tailing in pages of 500: {:.0} events/s", seen as f64 / started.elapsed().as_secs_f64());
    let started = Instant::now();
    let report = store.verify_chain(|_, _| ()).await?;
    let rate = report.checked as f64 / started.elapsed().as_secs_f64();
    println!("verifying the chain: {rate:.0} events/s, fault: {:?}", report.fault);
    Ok(())
}
