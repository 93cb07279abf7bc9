//! What numbering costs: events that are appended to the log and numbered by the sequencer, beside the same rows in a plain table
//! of the same database. Both read the stream's version and insert the row in one transaction, and wait for its commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use handfast::app::RandomIds;
use handfast_domain::event::{Actor, ActorKind, Fact, StreamKind};
use handfast_domain::time::Ids;
use handfast_store::StoreError;
use handfast_store::change::append_fact;
use sea_orm::{ConnectOptions, ConnectionTrait, Database as Orm, Statement, TransactionTrait, Value};
use uuid::Uuid;

use crate::server::Database;
use crate::{Failed, counts, table};

#[derive(Args, Clone)]
pub struct FeedArgs {
    /// Length of one round in seconds. Both have as many rounds, in turn.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 16)]
    callers: usize,
}

pub async fn run(database: &Database, args: &FeedArgs) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let time = Duration::from_secs_f64(args.seconds);
    let (mut plain, mut numbered, mut late) = (Vec::new(), Vec::new(), Duration::ZERO);
    for _ in 0..args.rounds {
        plain.push(inserted(database, dir.path(), args.callers, time).await?);
        let (rate, after) = appended(database, dir.path(), args.callers, time).await?;
        numbered.push(rate);
        late = late.max(after);
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (plain, numbered) = (median(&mut plain), median(&mut numbered));
    let row = vec![
        database.name().to_owned(),
        format!("{numbered:.0}"),
        format!("{plain:.0}"),
        format!("{:.2}", numbered / plain),
        format!("{:.0}", late.as_secs_f64() * 1e3),
    ];
    let title = format!(
        "Events a second in the log, beside the same rows in a plain table; {} callers, medians of {} rounds of {} s; SQLite \
         waits for the disk, PostgreSQL as its server is set",
        args.callers, args.rounds, args.seconds
    );
    let head = ["store", "numbered events/s", "plain rows/s", "ratio", "last number after ms"];
    table::print(&title, &head, &[row]);
    Ok(())
}

/// Calls `one` for as long as `time` lasts, from so many callers; answers how often a second.
async fn per_second<F, R>(callers: usize, time: Duration, one: F) -> Result<f64, Failed>
where
    F: Fn(usize) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), Failed>> + Send,
{
    let (made, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (one, made) = (one.clone(), made.clone());
            tokio::spawn(async move {
                while began.elapsed() < time {
                    one(caller).await?;
                    made.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Failed>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(made.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// Events through the store, and how long after the last acknowledgement the last one had its number.
async fn appended(
    database: &Database,
    dir: &Path,
    callers: usize,
    time: Duration,
) -> Result<(f64, Duration), Failed> {
    let app = counts::open(database, dir).await?;
    app.store.lead().await;
    let streams: Arc<[Uuid]> = (0..callers).map(|_| app.id()).collect();
    let (from, made) = (*app.store.head().borrow(), Arc::new(AtomicU64::new(0)));
    let (own, count) = (app.clone(), made.clone());
    let rate = per_second(callers, time, move |caller| {
        let (app, stream, count) = (own.clone(), streams[caller], count.clone());
        async move {
            let fact = Fact::CampaignChanged { campaign: stream };
            let event = app.fact(Actor::of(ActorKind::Rule), StreamKind::Campaign, stream, fact);
            let written = app.store.try_write_beside::<_, StoreError, _>(move |tx| {
                Box::pin(async move { append_fact(tx, event).await })
            });
            written.await?;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    let rate = rate.await?;
    let acknowledged = Instant::now();
    let last = from + i64::try_from(made.load(Ordering::Relaxed))?;
    let mut head = app.store.head();
    let numbered = head.wait_for(|head| *head >= last);
    tokio::time::timeout(Duration::from_secs(60), numbered).await??;
    let late = acknowledged.elapsed();
    app.store.close().await;
    Ok((rate, late))
}

/// The same rows, by the same two statements, without a number.
async fn inserted(database: &Database, dir: &Path, callers: usize, time: Duration) -> Result<f64, Failed> {
    let url = match &database.postgres {
        Some(url) => url.clone(),
        None => format!("sqlite://{}?mode=rwc", dir.join("plain.db").display()),
    };
    let mut options = ConnectOptions::new(url);
    // SQLite lets one write at a time: more connections only find it busy.
    options.max_connections(if database.postgres.is_some() { u32::try_from(callers)? } else { 1 });
    let db = Orm::connect(options).await?;
    if database.postgres.is_none() {
        db.execute_unprepared("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").await?;
    }
    let table = format!("plain_event_{}", std::process::id());
    let id = if database.postgres.is_some() { "uuid" } else { "blob" };
    db.execute_unprepared(&format!(
        "CREATE TABLE {table} (id {id} PRIMARY KEY NOT NULL, stream_kind text NOT NULL, stream_id {id} NOT NULL, \
         version bigint NOT NULL, ordinal bigint NOT NULL, kind text NOT NULL, schema_version bigint NOT NULL, \
         payload text NOT NULL, occurred_at bigint NOT NULL, recorded_at bigint NOT NULL, \
         UNIQUE (stream_kind, stream_id, version, ordinal))"
    ))
    .await?;
    let read = format!(
        "SELECT coalesce(max(version), 0) AS last FROM {table} WHERE stream_kind = $1 AND stream_id = $2"
    );
    let insert = format!("INSERT INTO {table} VALUES ($1, $2, $3, $4, 0, $5, 1, $6, $7, $7)");
    let ids = Arc::new(RandomIds::default());
    let streams: Arc<[Uuid]> = (0..callers).map(|_| ids.next()).collect();
    let (own, backend) = (db.clone(), db.get_database_backend());
    let rate = per_second(callers, time, move |caller| {
        let (db, ids, stream) = (own.clone(), ids.clone(), streams[caller]);
        let (read, insert) = (read.clone(), insert.clone());
        async move {
            let tx = db.begin().await?;
            let values: Vec<Value> = vec!["campaign".into(), stream.into()];
            let last = tx.query_one_raw(Statement::from_sql_and_values(backend, read, values)).await?;
            let version: i64 = last.map_or(Ok(0), |row| row.try_get("", "last"))? + 1;
            let payload = format!(
                r#"{{"actor":{{"kind":"RULE"}},"cause":"SETUP","charter":0,"fact":{{"kind":"campaignChanged","campaign":"{stream}"}}}}"#
            );
            let values: Vec<Value> = vec![
                ids.next().into(),
                "campaign".into(),
                stream.into(),
                version.into(),
                "campaignChanged".into(),
                payload.into(),
                1_764_000_000_000_i64.into(),
            ];
            tx.execute_raw(Statement::from_sql_and_values(backend, insert, values)).await?;
            tx.commit().await?;
            Ok(())
        }
    });
    let rate = rate.await?;
    db.execute_unprepared(&format!("DROP TABLE {table}")).await?;
    db.close().await?;
    Ok(rate)
}
