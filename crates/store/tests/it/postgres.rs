//! What only PostgreSQL can get wrong: many writers at once, positions given after the commit, several nodes.

use super::*;
use handfast_store::{change, feed::append_events};
use std::{collections::BTreeSet, fs};

/// A second node of the workspace: a data directory of its own with the same secret.
async fn second_node(dir: &TempDir, term: Duration) -> (TempDir, Store) {
    let own = TempDir::new().unwrap();
    let data = own.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::copy(dir.path().join("data/secret"), data.join("secret")).unwrap();
    let options = OpenOptions { dir: data, lease_term: term, ..options(dir) };
    (own, Store::open(options).await.unwrap())
}

async fn seen(store: &Store) -> Vec<u128> {
    all_events(store).await.iter().map(|row| row.event.id.as_u128()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_takes_over_when_the_one_that_numbers_is_gone() {
    if !only_postgres() {
        return;
    }
    let (dir, first) = store().await;
    let term = Duration::from_millis(600);
    let (_own, second) = second_node(&dir, term).await;
    let append = |store: Store, number: u128| async move {
        let events = vec![event(number, number, 1, 0)];
        store.write(|tx| Box::pin(async move { append_events(tx, events).await })).await.unwrap();
    };
    append(second.clone(), 1).await;
    assert_eq!(seen(&second).await, [1], "what this node commits is numbered by the other");
    assert_eq!(seen(&first).await, [1]);
    let holder = async || value::<String>(second.read(), "SELECT holder FROM lease", vec![]).await;
    let fence = async || value::<i64>(second.read(), "SELECT fence FROM lease", vec![]).await;
    let (before, number) = (holder().await, fence().await);
    let soon = Duration::from_millis(200);
    assert!(tokio::time::timeout(soon, second.lead()).await.is_err(), "two nodes lead");
    first.close().await;
    second.lead().await;
    append(second.clone(), 2).await;
    assert_eq!(seen(&second).await, [1, 2], "a lease that was given back is taken at once");
    assert_ne!(holder().await, before);
    assert_eq!(fence().await, number + 1, "the fence rises with the holder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_paused_numbers_nothing_with_an_old_fence() {
    if !only_postgres() {
        return;
    }
    let (dir, store) = store().await;
    let raw = raw(&dir).await;
    append_one(&store, 1).await;
    store.settle().await.unwrap();
    // While this node slept, another one took the lease, and holds it.
    let taken = "UPDATE lease SET holder = 'another node', fence = fence + 1, until = 9000000000000";
    raw.execute_unprepared(taken).await.unwrap();
    append_one(&store, 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(value::<i64>(&raw, "SELECT position FROM feed_head", vec![]).await, 1);
    // Its term is over: this node goes on, with a new fence.
    raw.execute_unprepared("UPDATE lease SET until = 0").await.unwrap();
    store.settle().await.unwrap();
    assert_eq!(seen(&store).await, [1, 2]);
    assert_eq!(value::<i64>(&raw, "SELECT fence FROM lease", vec![]).await, 3);
}

async fn append_one(store: &Store, number: u128) {
    let events = vec![event(number, number, 1, 0)];
    store.write(|tx| Box::pin(async move { append_events(tx, events).await })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_on_two_nodes_and_a_killed_sequencer_lose_nothing() {
    if !only_postgres() {
        return;
    }
    let seed = std::process::id();
    println!("seed {seed}");
    let (dir, first) = store().await;
    let (_own, second) = second_node(&dir, Duration::from_millis(400)).await;
    first
        .write(|tx| {
            Box::pin(async move {
                tx.execute_unprepared("CREATE TABLE stream (id bigint PRIMARY KEY, version bigint NOT NULL)")
                    .await?;
                tx.execute_unprepared("INSERT INTO stream SELECT n, 0 FROM generate_series(0, 4) n").await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    let writers: Vec<_> = (0..16u64)
        .map(|number| {
            let store = if number % 2 == 0 { first.clone() } else { second.clone() };
            tokio::spawn(async move {
                for step in 0..25u64 {
                    let stream = (u64::from(seed) + number * 7 + step * 3) % 5;
                    let id = u128::from(number) << 64 | u128::from(step);
                    // As a lead's change does it: its row is locked, its version rises, its event follows.
                    let done = store.try_write_beside::<_, StoreError, _>(move |tx| {
                        Box::pin(async move {
                            let sql =
                                "UPDATE stream SET version = version + 1 WHERE id = $1 RETURNING version";
                            let version = value::<i64>(tx, sql, vec![(stream as i64).into()]).await;
                            append_events(tx, vec![event(id, stream.into(), version, 0)]).await
                        })
                    });
                    done.await.unwrap();
                }
            })
        })
        .collect();
    // The lease is taken away from whoever has it, again and again, as if that node were paused.
    let raw = raw(&dir).await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let taken = "UPDATE lease SET holder = 'a node that dies', fence = fence + 1, \
                     until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 50";
        raw.execute_unprepared(taken).await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    first.settle().await.unwrap();
    let events = all_events(&second).await;
    assert_eq!(events.len(), 16 * 25, "seed {seed}");
    assert!(events.iter().map(|row| row.position).eq(1..=400), "dense, seed {seed}");
    for stream in 0..5 {
        let versions = events.iter().filter(|row| row.event.stream_id == uuid(stream));
        let versions: Vec<i64> = versions.map(|row| row.event.version).collect();
        assert!(
            versions.iter().copied().eq(1..=versions.len() as i64),
            "seed {seed}, {stream}: {versions:?}"
        );
    }
    assert_eq!(second.verify_chain(|_, _| ()).await.unwrap().fault, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_beside_each_other_run_together_and_one_that_is_alone_waits_for_them() {
    if !only_postgres() {
        return;
    }
    let (_dir, store) = store().await;
    let (open, wait) = oneshot::channel::<()>();
    let (entered, inside) = oneshot::channel();
    let beside = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .try_write_beside::<_, StoreError, _>(|tx| {
                    Box::pin(async move {
                        add_note(tx, 1).await?;
                        entered.send(()).unwrap();
                        wait.await.unwrap();
                        Ok(())
                    })
                })
                .await
        }
    });
    inside.await.unwrap();
    let other = store.try_write_beside::<_, StoreError, _>(|tx| Box::pin(add_note(tx, 2)));
    assert_eq!(other.await, Ok(2), "it did not wait for the open one");
    let alone = tokio::spawn({
        let store = store.clone();
        async move { store.write(|tx| Box::pin(async move { Ok(notes(tx).await) })).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!alone.is_finished());
    open.send(()).unwrap();
    beside.await.unwrap().unwrap();
    assert_eq!(alone.await.unwrap(), Ok(vec![1, 2]), "it saw all that came before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_waits_for_no_writer_and_keeps_none_waiting() {
    if !only_postgres() {
        return;
    }
    let (dir, store) = store().await;
    // As a node that sleeps in the middle of a change.
    let (open, wait) = oneshot::channel::<()>();
    let (entered, inside) = oneshot::channel();
    let sleeping = tokio::spawn({
        let store = store.clone();
        async move {
            let slept = store.try_write_beside::<_, StoreError, _>(|tx| {
                Box::pin(async move {
                    add_note(tx, 1).await?;
                    entered.send(()).unwrap();
                    wait.await.unwrap();
                    Ok(())
                })
            });
            slept.await
        }
    });
    inside.await.unwrap();
    let limit = Duration::from_secs(2);
    let started = tokio::time::timeout(limit, second_node(&dir, Duration::from_secs(10))).await;
    let (_own, second) = started.expect("it starts beside the open change");
    second.try_write_beside::<_, StoreError, _>(|tx| Box::pin(add_note(tx, 2))).await.unwrap();
    open.send(()).unwrap();
    sleeping.await.unwrap().unwrap();
}

#[tokio::test]
async fn two_that_wait_for_each_other_are_told_apart_from_a_fault() {
    if !only_postgres() {
        return;
    }
    let (_dir, store) = store().await;
    store
        .write(|tx| {
            Box::pin(async move {
                add_note(tx, 1).await?;
                add_note(tx, 2).await
            })
        })
        .await
        .unwrap();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let cross = |first: i64, second: i64| {
        let (store, barrier) = (store.clone(), barrier.clone());
        tokio::spawn(async move {
            store
                .try_write_beside::<_, StoreError, _>(move |tx| {
                    Box::pin(async move {
                        let sql = "UPDATE scratch SET size = 1 WHERE id = $1";
                        execute(tx, sql, vec![first.into()]).await?;
                        barrier.wait().await;
                        execute(tx, sql, vec![second.into()]).await
                    })
                })
                .await
        })
    };
    let (one, two) = (cross(1, 2), cross(2, 1));
    let ended = [one.await.unwrap(), two.await.unwrap()];
    assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 1, "{ended:?}");
    assert!(ended.iter().any(|end| matches!(end, Err(StoreError::Overtaken(_)))), "{ended:?}");
}

#[tokio::test]
async fn a_command_that_tolerated_an_error_is_not_acknowledged() {
    if !only_postgres() {
        return;
    }
    let (_dir, store) = store().await;
    store.write(|tx| Box::pin(add_note(tx, 1))).await.unwrap();
    // COMMIT of such a transaction undoes it, and the driver says Ok.
    let tolerated = store.write(|tx| {
        Box::pin(async move {
            add_note(tx, 2).await?;
            let _ = add_note(tx, 1).await;
            Ok(())
        })
    });
    assert!(tolerated.await.is_err());
    assert_eq!(notes(store.read()).await, [1]);
}

#[tokio::test]
async fn locking_leads_that_do_not_exist_is_no_error() {
    let (_dir, store) = store().await;
    let locked = store
        .write(|tx| Box::pin(async move { change::lock(tx, &BTreeSet::from([uuid(1), uuid(2)])).await }));
    assert_eq!(locked.await, Ok(()));
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_says_where_to_look() {
    let dir = TempDir::new().unwrap();
    let url = "postgres://nobody@127.0.0.1:1/none".to_owned();
    let postgres = PostgresOptions { url, schema: "handfast".into(), write_connections: 1 };
    let opened = Store::open(OpenOptions { postgres: Some(postgres), ..OpenOptions::new(dir.path()) }).await;
    let text = opened.err().unwrap().to_string();
    assert!(text.contains("[database] url"), "{text}");
}

#[tokio::test]
async fn what_a_node_of_the_version_before_wrote_gets_its_hash_when_it_is_numbered() {
    if !only_postgres() {
        return;
    }
    let (_dir, store) = store().await;
    let written = store.write(|tx| {
        Box::pin(async move {
            append_events(tx, (1..=3).map(|n| event(n, 7, n as i64, 0)).collect()).await?;
            // That version names no such column.
            execute(tx, "UPDATE unnumbered SET sha = NULL WHERE event = $1", vec![uuid(2).into()]).await
        })
    });
    assert_eq!(written.await.unwrap(), 1);
    assert_eq!(seen(&store).await, [1, 2, 3]);
    let report = store.verify_chain(|_, _| ()).await.unwrap();
    assert_eq!((report.checked, report.fault), (3, None), "the chain is as if it had been there");
    store.close().await;
}
