//! Opening a store: its lock, its durability settings, kills, copies, and directories that cannot be trusted.

use super::*;
use handfast_store::{
    cursor::CursorError,
    open::{meta, set_meta},
};
use std::fs;

/// What a `kill -9` leaves: the files as the kernel has them, without any goodbye.
fn image(store: &Store) -> TempDir {
    let copy = TempDir::new().unwrap();
    let data = copy.path().join("data");
    fs::create_dir(&data).unwrap();
    for name in ["handfast.db", "handfast.db-wal", "secret"] {
        fs::copy(store.dir().join(name), data.join(name)).unwrap();
    }
    copy
}

fn refusal(opened: Result<Store, StoreError>) -> String {
    match opened {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn every_acknowledged_write_survives_a_kill() {
    if !only_sqlite() {
        return;
    }
    let (_dir, store) = store().await;
    for id in 1..=30 {
        store
            .write(move |tx| {
                Box::pin(async move {
                    handfast_store::feed::append_events(tx, vec![event(id, 1, id as i64, 0)]).await?;
                    add_note(tx, id as i64).await
                })
            })
            .await
            .unwrap();
    }
    let copy = image(&store);
    let again = Store::open(options(&copy)).await.unwrap();
    assert_eq!(notes(again.read()).await, (1..=30).collect::<Vec<_>>());
    assert_eq!(all_events(&again).await, all_events(&store).await);
    assert_eq!(again.verify_chain(|_, _| ()).await.unwrap().fault, None);
    let cursor = store.cursors().feed(7);
    assert_eq!(again.cursors().read_feed(&cursor, 30), Ok(7), "cursors outlive the process");
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_by_whom() {
    let (dir, store) = store().await;
    let text = refusal(Store::open(options(&dir)).await);
    let expected =
        format!("is in use by process {}; stop it or choose another --data-dir", std::process::id());
    assert!(text.ends_with(&expected), "{text}");
    store.close().await;
    Store::open(options(&dir)).await.unwrap();
}

#[tokio::test]
async fn the_lock_goes_with_the_last_clone_of_the_store() {
    let (dir, store) = store().await;
    let clone = store.clone();
    drop(store);
    assert!(Store::open(options(&dir)).await.is_err());
    drop(clone);
    for _ in 0..100 {
        if Store::open(options(&dir)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lock is still held");
}

#[tokio::test]
async fn connections_have_the_settings_that_durability_needs() {
    if !only_sqlite() {
        return;
    }
    let (_dir, store) = store().await;
    let settings = store.write(|tx| {
        Box::pin(async move {
            let mut found = Vec::new();
            for name in ["synchronous", "foreign_keys", "secure_delete"] {
                found.push(value::<i64>(tx, &format!("PRAGMA {name}"), vec![]).await);
            }
            Ok((found, value::<String>(tx, "PRAGMA journal_mode", vec![]).await))
        })
    });
    assert_eq!(settings.await.unwrap(), (vec![2, 1, 1], "wal".to_owned()));
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_dir, store) = store().await;
    for pool in [store.read(), store.reports()] {
        assert!(execute(pool, "DELETE FROM scratch", vec![]).await.is_err(), "a reader can write");
    }
}

#[tokio::test]
async fn a_report_that_does_not_end_is_stopped_and_the_pool_goes_on() {
    let dir = TempDir::new().unwrap();
    let report_limit = Duration::from_millis(200);
    let store =
        Store::open(OpenOptions { report_limit, report_connections: 1, ..options(&dir) }).await.unwrap();
    let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
    for _ in 0..2 {
        let stopped = fetch_value::<i64>(store.reports(), endless, vec![]).await;
        assert!(matches!(stopped, Err(StoreError::Timeout(_))), "{stopped:?}");
        assert_eq!(value::<i64>(store.reports(), "SELECT CAST(1 AS bigint)", vec![]).await, 1);
    }
}

#[tokio::test]
async fn a_restored_directory_begins_a_new_epoch() {
    let (dir, store) = store().await;
    let cursor = store.cursors().feed(0);
    store.close().await;
    let same = Store::open(options(&dir)).await.unwrap();
    assert_eq!(same.cursors().read_feed(&cursor, 0), Ok(0));
    same.close().await;
    let restored = Store::open(OpenOptions { restored: true, ..options(&dir) }).await.unwrap();
    assert_eq!(restored.cursors().read_feed(&cursor, 0), Err(CursorError::EpochChanged));
}

#[tokio::test]
async fn a_directory_that_cannot_be_trusted_is_refused_with_the_remedy() {
    let (dir, store) = store().await;
    store.write(|tx| Box::pin(async move { set_meta(tx, "note", "kept").await })).await.unwrap();
    store.close().await;
    let secret = store.dir().join("secret");
    let bytes = fs::read(&secret).unwrap();

    fs::remove_file(&secret).unwrap();
    let text = refusal(Store::open(options(&dir)).await);
    assert!(text.contains("is missing although the database exists: restore it"), "{text}");
    fs::write(&secret, [1; 31]).unwrap();
    let text = refusal(Store::open(options(&dir)).await);
    assert!(text.contains("has 31 bytes instead of 32"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::write(&secret, [1; 32]).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        let text = refusal(Store::open(options(&dir)).await);
        assert!(text.contains("run `chmod 600"), "{text}");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let text = refusal(Store::open(options(&dir)).await);
    assert!(text.contains("does not belong to this database"), "{text}");

    fs::write(&secret, bytes).unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    assert_eq!(meta(store.read(), "note").await.unwrap().as_deref(), Some("kept"));
    store.close().await;
}

/// Writes into the schema what a newer version's migration would have written.
async fn upgrade(store: &Store, serves_from: &'static str) {
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_flying_cars', 0) ON CONFLICT DO NOTHING";
    let written = store.write(move |tx| {
        Box::pin(async move {
            execute(tx, newer, vec![]).await?;
            set_meta(tx, "serves_from", serves_from).await
        })
    });
    written.await.unwrap();
}

#[tokio::test]
async fn a_version_serves_a_newer_schema_only_if_that_says_so() {
    let (dir, store) = store().await;
    // An additive migration: what was there stays as it was.
    let raw = raw(&dir).await;
    for sql in [
        "CREATE TABLE flying_car (id bigint PRIMARY KEY, wings bigint NOT NULL)",
        "ALTER TABLE event ADD COLUMN altitude bigint",
        "ALTER TABLE meta ADD COLUMN hue text NOT NULL DEFAULT 'red'",
    ] {
        raw.execute_unprepared(sql).await.unwrap();
    }
    let append = |store: Store, number: u128| async move {
        let event = vec![event(number, 1, number as i64, 0)];
        store
            .write(|tx| Box::pin(async move { handfast_store::feed::append_events(tx, event).await }))
            .await
            .unwrap();
    };
    append(store.clone(), 1).await;
    upgrade(&store, "m0005_ledger_quarter").await;
    store.close().await;
    let store = Store::open(options(&dir)).await.unwrap();
    append(store.clone(), 2).await;
    assert_eq!(all_events(&store).await.len(), 2);
    assert_eq!(store.verify_chain(|_, _| ()).await.unwrap().fault, None);
    assert_eq!(meta(store.read(), "serves_from").await.unwrap().as_deref(), Some("m0005_ledger_quarter"));
    // One that this version could not live with.
    upgrade(&store, "m9999_flying_cars").await;
    store.close().await;
    let text = refusal(Store::open(options(&dir)).await);
    assert!(text.contains("written by a newer version of handfast (it has `m9999_flying_cars`)"), "{text}");
}

#[tokio::test]
async fn a_ledger_that_was_counted_by_days_is_counted_by_quarters_of_an_hour_after_the_upgrade() {
    let (dir, store) = store().await;
    // Quarters before and after 1970, as they stood before the migration: by the day, in whatever zone.
    let rows = "INSERT INTO cycle (lead, number, opened_at, opened_by, closed_at, outcome, furthest_stage, conversations, attempts) \
                VALUES ($1, 1, 1772357400001, 'CAPTURE', 1772358299999, 'WON', 'CUSTOMER', 0, '[]'), \
                       ($1, 2, 1772358300000, 'WINBACK', NULL, 'OPEN', 'INQUIRY', 0, '[]'), \
                       ($1, 3, -1, 'CAPTURE', NULL, 'OPEN', 'INQUIRY', 0, '[]')";
    let old = "INSERT INTO counter (family, subject, metric, value) VALUES ('ledger', '20513', 'OPENED', 3)";
    let undo = "DELETE FROM seaql_migrations WHERE version = 'm0005_ledger_quarter'";
    store
        .write(move |tx| {
            Box::pin(async move {
                execute(tx, rows, vec![uuid(1).into()]).await?;
                execute(tx, old, vec![]).await?;
                execute(tx, undo, vec![]).await
            })
        })
        .await
        .unwrap();
    store.close().await;
    let store = Store::open(options(&dir)).await.unwrap();
    #[derive(sea_orm::FromQueryResult)]
    struct Row {
        name: String,
    }
    let sql = "SELECT subject || ' ' || metric || ' ' || value AS name FROM counter WHERE family = 'ledger' ORDER BY 1";
    let found: Vec<Row> = fetch_all(store.read(), sql, vec![]).await.unwrap();
    let expected = [
        "1969-12-31T23:45:00.000Z OPENED 1",
        "2026-03-01T09:30:00.000Z OPENED 1",
        "2026-03-01T09:30:00.000Z WON 1",
        "2026-03-01T09:45:00.000Z OPENED 1",
    ];
    assert_eq!(found.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), expected);
    let edges = [Instant(-86_400_000), Instant(0), Instant(1772323200000), Instant(1772358300000)];
    let days = handfast_store::ledger::days(store.read(), -1, &edges).await.unwrap();
    let numbers: Vec<_> = days.iter().map(|day| (day.opened, day.open_at_end, day.balance())).collect();
    assert_eq!(numbers, [(1, 1, 0), (0, 1, 0), (1, 1, 0)]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_data_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, store) = store().await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.dir()), 0o700);
    assert_eq!(mode(&store.dir().join("secret")), 0o600);
}
