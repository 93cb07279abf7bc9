//! What a database can take at most: callers that insert one short row each in a transaction of its own, and wait until it is
//! on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait, Database as Orm};

use crate::Failed;
use crate::server::Database;

/// Inserts a second.
pub async fn per_second(
    database: &Database,
    dir: &Path,
    callers: usize,
    time: Duration,
) -> Result<f64, Failed> {
    let url = match &database.postgres {
        Some(url) => url.clone(),
        None => format!("sqlite://{}?mode=rwc", dir.join("plain.db").display()),
    };
    let mut options = ConnectOptions::new(url);
    // SQLite lets one write at a time: more connections only find it busy.
    options.max_connections(if database.postgres.is_some() { callers as u32 } else { 1 });
    let db = Orm::connect(options).await?;
    if database.postgres.is_none() {
        db.execute_unprepared("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").await?;
    }
    let name = format!("plain_{}", std::process::id());
    db.execute_unprepared(&format!("CREATE TABLE {name} (id text PRIMARY KEY, at bigint, what text)"))
        .await?;
    let (made, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (db, made, name) = (db.clone(), made.clone(), name.clone());
            tokio::spawn(async move {
                for number in 0u64.. {
                    if began.elapsed() > time {
                        break;
                    }
                    let row = format!(
                        "INSERT INTO {name} VALUES ('{caller}-{number}', {number}, 'a stage change')"
                    );
                    db.execute_unprepared(&row).await?;
                    made.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Failed>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let rate = made.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    db.execute_unprepared(&format!("DROP TABLE {name}")).await?;
    db.close().await?;
    Ok(rate)
}
