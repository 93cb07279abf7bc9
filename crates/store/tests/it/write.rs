//! The one writer: group commit, failures that harm nobody else, and commands that end badly.

use super::*;
use sea_orm::ConnectionTrait;

/// Starts a command in a task of its own, as a request does.
fn spawn<T: Send + 'static>(
    store: &Store,
    work: impl for<'a> FnOnce(&'a Tx) -> futures_util::future::BoxFuture<'a, Result<T, StoreError>>
    + Send
    + 'static,
) -> JoinHandle<Result<T, StoreError>> {
    let store = store.clone();
    tokio::spawn(async move { store.write(work).await })
}

#[tokio::test]
async fn a_command_is_acknowledged_only_after_the_commit_of_its_group() {
    if !only_sqlite() {
        return;
    }
    let (_dir, store) = store().await;
    let gate = Gate::close(&store).await;
    let (finish, wait) = oneshot::channel::<()>();
    let (reached, inside) = oneshot::channel::<()>();
    let first = spawn(&store, |tx| Box::pin(add_note(tx, 1)));
    let last = spawn(&store, |tx| {
        Box::pin(async move {
            reached.send(()).unwrap();
            wait.await.unwrap();
            add_note(tx, 2).await
        })
    });
    gate.open().await;
    inside.await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!first.is_finished(), "the first command has run, but its group is not committed");
    assert!(notes(store.read()).await.is_empty());
    finish.send(()).unwrap();
    assert_eq!((first.await.unwrap(), last.await.unwrap()), (Ok(1), Ok(2)));
    assert_eq!(notes(store.read()).await, [1, 2]);
}

#[tokio::test]
async fn a_failing_command_does_not_harm_its_group() {
    let (_dir, store) = store().await;
    let gate = Gate::close(&store).await;
    let before = spawn(&store, |tx| Box::pin(add_note(tx, 1)));
    let refused = spawn(&store, |tx| {
        Box::pin(async move {
            add_note(tx, 2).await?;
            Err::<(), _>(StoreError::NotFound("the lead".into()))
        })
    });
    let conflict = spawn(&store, |tx| {
        Box::pin(async move {
            add_note(tx, 3).await?;
            add_note(tx, 1).await
        })
    });
    let panicked = spawn(&store, |tx| {
        Box::pin(async move {
            add_note(tx, 4).await?;
            panic!("as a test");
            #[expect(unreachable_code, reason = "gives the block its type")]
            Ok(())
        })
    });
    let panicked_at_once = spawn::<()>(&store, |_| panic!("before its future was made"));
    let after = spawn(&store, |tx| Box::pin(add_note(tx, 5)));
    gate.open().await;
    assert_eq!(before.await.unwrap(), Ok(1));
    assert_eq!(refused.await.unwrap(), Err(StoreError::NotFound("the lead".into())));
    let constraint = if postgres_url().is_some() { "scratch_pkey" } else { "scratch.id" };
    assert_eq!(conflict.await.unwrap(), Err(StoreError::Conflict { constraint: constraint.into() }));
    assert_eq!(panicked.await.unwrap(), Err(StoreError::Panicked("as a test".into())));
    assert_eq!(
        panicked_at_once.await.unwrap(),
        Err(StoreError::Panicked("before its future was made".into()))
    );
    assert_eq!(after.await.unwrap(), Ok(5));
    assert_eq!(notes(store.read()).await, [1, 5]);
}

#[tokio::test]
async fn a_failing_command_without_company_is_undone() {
    let (_dir, store) = store().await;
    let failed = store.write(|tx| {
        Box::pin(async move {
            add_note(tx, 1).await?;
            Err::<(), _>(StoreError::Full)
        })
    });
    assert_eq!(failed.await, Err(StoreError::Full));
    assert!(notes(store.read()).await.is_empty());
}

#[tokio::test]
async fn a_command_happens_even_if_its_caller_stops_waiting() {
    let (_dir, store) = store().await;
    let gate = Gate::close(&store).await;
    let dropped = spawn(&store, |tx| Box::pin(add_note(tx, 1)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    dropped.abort();
    gate.open().await;
    store.write(|tx| Box::pin(add_note(tx, 2))).await.unwrap();
    assert_eq!(notes(store.read()).await, [1, 2]);
}

#[tokio::test]
async fn a_lost_transaction_fails_its_group_and_spares_the_commands_that_had_not_run() {
    if !only_sqlite() {
        return;
    }
    let (dir, store) = store().await;
    store.write(|tx| Box::pin(add_note(tx, 1))).await.unwrap();
    let gate = Gate::close(&store).await;
    let before = spawn(&store, |tx| Box::pin(add_note(tx, 2)));
    // SQLite rolls the whole transaction back by itself.
    let culprit = spawn(&store, |tx| {
        Box::pin(async move { execute(tx, "INSERT OR ROLLBACK INTO scratch (id) VALUES (1)", vec![]).await })
    });
    let after = spawn(&store, |tx| Box::pin(add_note(tx, 3)));
    gate.open().await;
    assert!(matches!(before.await.unwrap(), Err(StoreError::Aborted(_))));
    assert!(matches!(culprit.await.unwrap(), Err(StoreError::Conflict { .. })));
    assert_eq!(after.await.unwrap(), Ok(3));
    assert_eq!(notes(store.read()).await, [1, 3]);
    // A connection that was kept would begin later transactions without their lock.
    let gate = Gate::close(&store).await;
    let raw = raw(&dir).await;
    raw.execute_unprepared("PRAGMA busy_timeout = 0").await.unwrap();
    let other = raw.execute_unprepared("INSERT INTO scratch (id) VALUES (77)").await.unwrap_err();
    assert!(matches!(StoreError::from(other), StoreError::Busy(_)), "another process could write meanwhile");
    gate.open().await;
    // And it would not undo commands as a whole.
    let failed = store.write(|tx| {
        Box::pin(async move {
            add_note(tx, 4).await?;
            Err::<(), _>(StoreError::Closed)
        })
    });
    failed.await.unwrap_err();
    assert_eq!(notes(store.read()).await, [1, 3]);
}

#[tokio::test]
async fn a_command_that_ends_the_transaction_itself_is_not_acknowledged() {
    if !only_sqlite() {
        return;
    }
    let (_dir, store) = store().await;
    for ending in ["ROLLBACK", "COMMIT"] {
        let ended = store.write(move |tx| {
            Box::pin(async move {
                add_note(tx, 1).await?;
                tx.execute_unprepared(ending).await?;
                Ok(())
            })
        });
        assert!(matches!(ended.await, Err(StoreError::Unknown(_))), "{ending}");
    }
    store.write(|tx| Box::pin(add_note(tx, 2))).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_apart_and_ends_by_itself() {
    if !only_sqlite() {
        return;
    }
    let (_dir, store) = store().await;
    let pages: i64 = value(store.read(), "PRAGMA page_count", vec![]).await;
    let filled = store.write(move |tx| {
        Box::pin(async move {
            tx.execute_unprepared(&format!("PRAGMA max_page_count = {}", pages + 20)).await?;
            let fill = "INSERT INTO scratch (id, text) VALUES ($1, hex(zeroblob(100000)))";
            let full = execute(tx, fill, vec![1.into()]).await;
            // A command that goes on after it lost its transaction must not write outside of one.
            let more = execute(tx, "INSERT INTO scratch (id) VALUES (2)", vec![]).await;
            tx.execute_unprepared("PRAGMA max_page_count = 1000000").await.ok();
            assert!(full.is_err() && more.is_err());
            Ok(())
        })
    });
    assert_eq!(filled.await, Err(StoreError::Full));
    store.write(|tx| Box::pin(create_note(tx))).await.unwrap();
    assert!(notes(store.read()).await.is_empty());
    let again = store.write(|tx| {
        Box::pin(async move {
            tx.execute_unprepared("PRAGMA max_page_count = 1000000").await?;
            add_note(tx, 3).await
        })
    });
    assert_eq!(again.await, Ok(3));
}

#[tokio::test]
async fn a_command_that_does_not_end_is_stopped_and_undone() {
    let dir = TempDir::new().unwrap();
    let limit = Duration::from_millis(300);
    let store = Store::open(OpenOptions { command_limit: limit, ..options(&dir) }).await.unwrap();
    store.write(|tx| Box::pin(create_note(tx))).await.unwrap();
    let waits = store.write(|tx| {
        Box::pin(async move {
            add_note(tx, 1).await?;
            std::future::pending::<Result<(), StoreError>>().await
        })
    });
    assert!(matches!(waits.await, Err(StoreError::Timeout(_))));
    let gate = Gate::close(&store).await;
    let computes = spawn(&store, |tx| {
        Box::pin(async move {
            let endless =
                "INSERT INTO scratch (id, size) WITH RECURSIVE c(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM c)
                           SELECT 2, count(*) FROM c";
            execute(tx, endless, vec![]).await
        })
    });
    let behind = spawn(&store, |tx| Box::pin(add_note(tx, 3)));
    gate.open().await;
    let computed =
        tokio::time::timeout(Duration::from_secs(10), computes).await.expect("the statement was not stopped");
    assert!(matches!(computed.unwrap(), Err(StoreError::Timeout(_))));
    assert_eq!(behind.await.unwrap(), Ok(3));
    assert_eq!(notes(store.read()).await, [3]);
}

#[tokio::test]
async fn a_write_inside_a_write_is_refused_instead_of_waiting_for_itself() {
    let (_dir, store) = store().await;
    let inner = store.clone();
    let nested =
        store.write(move |_| Box::pin(async move { inner.write(|tx| Box::pin(add_note(tx, 1))).await }));
    assert_eq!(nested.await, Err(StoreError::Nested));
}

#[tokio::test]
async fn a_refusal_of_the_callers_own_type_undoes_the_command() {
    #[derive(Debug, PartialEq)]
    enum Refused {
        NotYours,
        Store(StoreError),
    }
    impl From<StoreError> for Refused {
        fn from(error: StoreError) -> Refused {
            Refused::Store(error)
        }
    }
    let (_dir, store) = store().await;
    let refused = store.try_write(|tx| {
        Box::pin(async move {
            add_note(tx, 1).await?;
            Err::<(), _>(Refused::NotYours)
        })
    });
    assert_eq!(refused.await, Err(Refused::NotYours));
    let failed: Result<i64, Refused> = store
        .try_write(|tx| {
            Box::pin(async move {
                add_note(tx, 1).await?;
                Ok(add_note(tx, 1).await?)
            })
        })
        .await;
    assert!(matches!(failed, Err(Refused::Store(StoreError::Conflict { .. }))));
    assert!(notes(store.read()).await.is_empty());
}

#[tokio::test]
async fn a_closed_store_has_written_what_was_queued_and_takes_nothing_more() {
    let (dir, store) = store().await;
    let gate = Gate::close(&store).await;
    let queued: Vec<_> = (0..200).map(|id| spawn(&store, move |tx| Box::pin(add_note(tx, id)))).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    gate.open().await;
    closing.await.unwrap();
    for command in queued {
        command.await.unwrap().unwrap();
    }
    assert_eq!(store.write(|tx| Box::pin(add_note(tx, 999))).await, Err(StoreError::Closed));
    store.close().await;
    let wal = store.dir().join("handfast.db-wal");
    assert!(!wal.exists() || wal.metadata().unwrap().len() == 0, "the write-ahead log was not emptied");
    let again = Store::open(options(&dir)).await.unwrap();
    assert_eq!(notes(again.read()).await, (0..200).collect::<Vec<_>>());
}
