//! The log and its feed: dense, in order, resumed anywhere, and tampering is found.

use super::*;
use handfast_store::{
    chain::{ChainFault, FaultKind},
    dialect::Dialect,
    feed::{append_events, stream_version},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

async fn append(store: &Store, events: Vec<NewEvent>) {
    store.write(|tx| Box::pin(async move { append_events(tx, events).await })).await.unwrap();
    store.settle().await.unwrap();
}

/// One writer: appends up to three events to a stream it picks, and fails in one of several ways now and then.
async fn writer(store: Store, number: u128, seed: u64, commands: u64) -> u64 {
    let mut acknowledged = 0;
    for step in 0..commands {
        // A step of splitmix64: the run depends on nothing but its seed.
        let mut random =
            seed.wrapping_add((number as u64 + 1) * 1_000_003 + step).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        random ^= random >> 29;
        let (stream, count, fate) = (random as u128 % 5, 1 + (random >> 8) as i64 % 3, (random >> 16) % 8);
        let id = number << 64 | u128::from(step) << 8;
        let done = store.write(move |tx| {
            Box::pin(async move {
                let version = stream_version(tx, "lead", uuid(stream)).await? + 1;
                let events = (0..count).map(|ordinal| event(id | ordinal as u128, stream, version, ordinal));
                append_events(tx, events.collect()).await?;
                match fate {
                    0 => Err(StoreError::NotFound("the lead".into())),
                    1 => append_events(tx, vec![event(id, stream, version, 0)]).await,
                    2 => panic!("as a test"),
                    3 if step % 10 == 0 => {
                        let lost = match tx.dialect() {
                            Dialect::Sqlite => {
                                "INSERT OR ROLLBACK INTO meta (key, value) VALUES ('epoch', '')"
                            }
                            Dialect::Postgres => "INSERT INTO meta (key, value) VALUES ('epoch', '')",
                        };
                        execute(tx, lost, vec![]).await?;
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })
        });
        match done.await {
            Ok(()) => acknowledged += count as u64,
            Err(StoreError::NotFound(_) | StoreError::Conflict { .. } | StoreError::Panicked(_)) => {}
            Err(StoreError::Aborted(_)) => {}
            Err(error) => panic!("seed {seed}, writer {number}, step {step}: {error}"),
        }
    }
    acknowledged
}

/// Reads as a subscriber does: a page, then wait for the head to move.
async fn tail(store: Store, mut done: oneshot::Receiver<()>) -> Vec<Arc<Told>> {
    let (mut head, mut seen, mut position) = (store.head(), Vec::new(), 0);
    loop {
        let page = store.events_after(position, 7, &EventFilter::default()).await.unwrap();
        position = page.next;
        seen.extend(page.events);
        if position == *head.borrow_and_update() {
            tokio::select! {
                biased;
                _ = head.changed() => {}
                _ = &mut done => return seen,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_that_fail_at_random_leave_a_dense_feed_in_order_of_each_stream() {
    let seed = std::process::id().into();
    println!("seed {seed}");
    let (_dir, store) = store().await;
    let (finish, done) = oneshot::channel();
    let reader = tokio::spawn(tail(store.clone(), done));
    let writers: Vec<_> =
        (0..16).map(|number| tokio::spawn(writer(store.clone(), number, seed, 40))).collect();
    let mut acknowledged = 0;
    for writer in writers {
        acknowledged += writer.await.unwrap();
    }
    store.settle().await.unwrap();
    finish.send(()).unwrap();
    let seen = reader.await.unwrap();

    let events = all_events(&store).await;
    assert_eq!(events.len() as u64, acknowledged, "acknowledged and nothing else");
    let positions: Vec<i64> = events.iter().map(|row| row.position).collect();
    assert_eq!(positions, (1..=events.len() as i64).collect::<Vec<_>>());
    assert_eq!(seen, events, "the subscriber saw each event once and in order");
    let mut streams: BTreeMap<Uuid, Vec<(i64, i64)>> = BTreeMap::new();
    for row in &events {
        streams.entry(row.event.stream_id).or_default().push((row.event.version, row.event.ordinal));
    }
    for (stream, places) in streams {
        assert!(places.is_sorted(), "{stream}: {places:?}");
        let versions: Vec<i64> = places.iter().filter(|place| place.1 == 0).map(|place| place.0).collect();
        assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>(), "{stream}");
    }
    let report = store.verify_chain(|_, _| ()).await.unwrap();
    assert_eq!((report.checked, report.fault), (acknowledged as i64, None));
}

#[tokio::test]
async fn a_reader_that_resumes_anywhere_sees_what_follows_once_and_in_order() {
    let (_dir, store) = store().await;
    for number in 1..=40u128 {
        append(&store, vec![event(number, number % 3, number as i64, 0)]).await;
    }
    let all = all_events(&store).await;
    let stream = EventFilter { stream: Some(("lead".into(), uuid(1))), ..EventFilter::default() };
    let kind = EventFilter { kinds: vec!["stageChanged".into()], ..EventFilter::default() };
    let both = EventFilter {
        stream: Some(("lead".into(), uuid(2))),
        kinds: vec!["none".into(), "assigned".into()],
        ..EventFilter::default()
    };
    let cursors = store.cursors();
    for filter in [EventFilter::default(), stream, kind, both] {
        let passes = |row: &&Arc<Told>| {
            (filter.kinds.is_empty() || filter.kinds.contains(&row.event.kind))
                && filter.stream.as_ref().is_none_or(|stream| stream.1 == row.event.stream_id)
        };
        for start in 0..=40 {
            for limit in [1, 2, 7, 100] {
                let (mut seen, mut position) = (Vec::new(), start);
                while position < 40 {
                    // Each page begins from a cursor, as after a lost connection.
                    position = cursors.read_feed(&cursors.feed(position), 40).unwrap();
                    let page = store.events_after(position, limit, &filter).await.unwrap();
                    assert!(page.next > position && page.events.len() <= limit && page.head == 40);
                    seen.extend(page.events);
                    position = page.next;
                }
                let expected: Vec<_> = all.iter().filter(|row| row.position > start).filter(passes).collect();
                assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "after {start} by {limit}, {filter:?}");
            }
        }
    }
    assert_eq!(store.events_after(40, 10, &EventFilter::default()).await.unwrap().next, 40);
}

#[tokio::test]
async fn an_event_has_one_place_in_its_stream() {
    let (_dir, store) = store().await;
    append(&store, vec![event(1, 1, 1, 0), event(2, 1, 1, 1)]).await;
    let again =
        store.write(|tx| Box::pin(async move { append_events(tx, vec![event(3, 1, 1, 1)]).await })).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    append(&store, vec![event(3, 1, 2, 0)]).await;
    assert_eq!(all_events(&store).await.last().unwrap().position, 3, "the failed one left no gap");
}

#[tokio::test]
async fn the_head_wakes_readers_after_the_commit() {
    let (_dir, store) = store().await;
    let mut head = store.head();
    assert_eq!(*head.borrow_and_update(), 0);
    store.write(|tx| Box::pin(add_note(tx, 1))).await.unwrap();
    assert!(!head.has_changed().unwrap(), "a command without events wakes nobody");
    append(&store, vec![event(1, 1, 1, 0), event(2, 1, 1, 1)]).await;
    assert!(head.has_changed().unwrap());
    assert_eq!(*head.borrow(), 2);
}

#[tokio::test]
async fn a_rare_kind_is_found_in_bounded_steps() {
    let (_dir, store) = store().await;
    let common = (1..=12_000).filter(|number| number % 3 != 0).map(|number| event(number, number, 1, 0));
    append(&store, common.collect()).await;
    append(&store, vec![event(30_000, 1, 2, 0), event(30_001, 1, 2, 1)]).await;
    append(
        &store,
        (12_001..=18_000).filter(|n| n % 3 != 0).map(|number| event(number, number, 1, 0)).collect(),
    )
    .await;
    let filter = EventFilter { kinds: vec!["stageChanged".into()], ..EventFilter::default() };
    let (mut seen, mut position, mut pages) = (Vec::new(), 0, 0);
    while position < *store.head().borrow() {
        let page = store.events_after(position, 50, &filter).await.unwrap();
        (position, pages) = (page.next, pages + 1);
        seen.extend(page.events);
    }
    assert_eq!(seen.iter().map(|row| row.position).collect::<Vec<_>>(), [8_001]);
    assert_eq!(pages, 2);
}

/// Changes the file behind the store's back, as somebody with access to the disk would.
async fn tamper(sql: &[String]) -> (i64, Option<ChainFault>) {
    let (dir, store) = store().await;
    for number in 1..=20 {
        append(&store, vec![event(number, number % 2, number as i64, 0)]).await;
    }
    store.close().await;
    let raw = raw(&dir).await;
    let unbound = match Dialect::of(raw.get_database_backend()) {
        Dialect::Sqlite => "PRAGMA foreign_keys = OFF",
        Dialect::Postgres => "SET session_replication_role = replica",
    };
    raw.execute_unprepared(unbound).await.unwrap();
    for statement in sql {
        raw.execute_unprepared(statement).await.unwrap();
    }
    raw.close().await.unwrap();
    // What the head mark would refuse, too, is to be named here.
    let store = Store::open(OpenOptions { examine: true, ..options(&dir) }).await.unwrap();
    let mut last = (0, 0);
    let report = store.verify_chain(|done, all| last = (done, all)).await.unwrap();
    assert_eq!(last, (report.checked, 20), "{sql:?}");
    assert_eq!(report.head, report.checked);
    // What is appended now must not hide the fault, nor take a position that was given before.
    append(&store, vec![event(99, 99, 1, 0)]).await;
    assert_eq!(*store.head().borrow(), 21, "{sql:?}");
    let again = store.verify_chain(|_, _| ()).await.unwrap();
    assert_eq!(again.fault.is_some(), report.fault.is_some(), "{sql:?}");
    (report.checked, report.fault)
}

#[tokio::test]
async fn the_chain_names_the_first_row_that_was_tampered_with() {
    let on_postgres = postgres_url().is_some();
    let id = |number: u128| match on_postgres {
        false => format!("x'{}'", uuid(number).simple()),
        true => format!("'{}'::uuid", uuid(number)),
    };
    let zeros = if on_postgres { "decode(repeat('00', 32), 'hex')" } else { "zeroblob(32)" };
    let fault = |position: i64, event: Option<u128>, kind| {
        Some(ChainFault { position, event: event.map(uuid), kind })
    };
    let text = |sql: &str| vec![sql.to_owned()];
    assert_eq!(tamper(&[]).await, (20, None));
    let cases = [
        (
            text("UPDATE event SET payload = '{}' WHERE version = 7"),
            fault(7, Some(7), FaultKind::EventChanged),
        ),
        (
            text("UPDATE event SET kind = 'x' WHERE version IN (7, 9)"),
            fault(7, Some(7), FaultKind::EventChanged),
        ),
        (
            text("UPDATE event SET occurred_at = 0 WHERE version = 20"),
            fault(20, Some(20), FaultKind::EventChanged),
        ),
        (text("DELETE FROM event WHERE version = 7"), fault(7, Some(7), FaultKind::EventDeleted)),
        (text("DELETE FROM feed WHERE position = 7"), fault(7, None, FaultKind::Missing)),
        (text("DELETE FROM feed WHERE position = 20"), fault(20, None, FaultKind::Missing)),
        (text("DELETE FROM feed"), fault(1, None, FaultKind::Missing)),
        (
            text(&format!("UPDATE feed SET chain = {zeros} WHERE position = 7")),
            fault(7, Some(7), FaultKind::LinkBroken),
        ),
        (
            text(&format!("UPDATE feed SET event_sha = {zeros} WHERE position = 7")),
            fault(7, Some(7), FaultKind::LinkBroken),
        ),
        (
            vec![
                format!("UPDATE feed SET event_id = {} WHERE position = 7", id(0)),
                format!("UPDATE feed SET event_id = {} WHERE position = 8", id(7)),
                format!("UPDATE feed SET event_id = {} WHERE position = 7", id(8)),
            ],
            fault(7, Some(8), FaultKind::LinkBroken),
        ),
        (
            vec![format!(
                "INSERT INTO event SELECT {}, stream_kind, stream_id, 500, 0, kind, 1, payload, 0, 0 FROM event LIMIT 1",
                id(500)
            )],
            fault(20, Some(500), FaultKind::NotInFeed),
        ),
    ];
    for (sql, expected) in cases {
        let (checked, found) = tamper(&sql).await;
        assert_eq!(found, expected, "{sql:?}");
        let position = expected.map_or(0, |fault| fault.position);
        assert_eq!(
            checked,
            if found.is_some_and(|f| f.kind == FaultKind::NotInFeed) { 20 } else { position - 1 }
        );
    }
}

#[test]
fn a_fault_reads_as_a_sentence() {
    let fault = ChainFault { position: 7, event: Some(uuid(1)), kind: FaultKind::EventDeleted };
    assert_eq!(
        fault.to_string(),
        "position 7, event 00000000-0000-0000-0000-000000000001: the event was deleted"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever the commands do, positions are those of the committed events and nothing else.
    #[test]
    fn positions_count_committed_events(commands in prop::collection::vec((0..4i64, any::<bool>()), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_dir, store) = store().await;
            let mut expected = 0;
            let mut running = Vec::new();
            for (number, (count, keep)) in commands.into_iter().enumerate() {
                let store = store.clone();
                expected += if keep { count } else { 0 };
                running.push(tokio::spawn(async move {
                    let events = (0..count).map(|ordinal| {
                        event((number as u128) << 8 | ordinal as u128, number as u128, 1, ordinal)
                    }).collect();
                    store.write(move |tx| Box::pin(async move {
                        append_events(tx, events).await?;
                        if keep { Ok(()) } else { Err(StoreError::Closed) }
                    })).await
                }));
            }
            for command in running {
                let _ = command.await.unwrap();
            }
            let positions: Vec<i64> = all_events(&store).await.iter().map(|row| row.position).collect();
            assert_eq!(positions, (1..=expected).collect::<Vec<_>>());
            assert_eq!(store.verify_chain(|_, _| ()).await.unwrap().fault, None);
        });
    }
}
