//! The table of jobs does as the rules of `handfast_domain::job` say, on either database.

use std::collections::BTreeSet;

use handfast_domain::job::Job;
use handfast_domain::time::Instant;
use handfast_store::job::{self, Claimed, NewJob};
use handfast_store::{OpenOptions, Store, StoreError};

use super::*;

const LONG: Duration = Duration::from_secs(60);
const NONE: Duration = Duration::ZERO;

fn new(number: u128, run_at: Instant) -> NewJob {
    let key = format!("key {number}");
    NewJob { id: uuid(number), kind: "test", lane: "a".into(), key, run_at, payload: format!("p{number}") }
}

async fn add(store: &Store, jobs: Vec<NewJob>) -> u64 {
    store.write(move |tx| Box::pin(async move { job::insert(tx, &jobs).await })).await.unwrap()
}

async fn claim(store: &Store, now: Instant, lock: Duration, limit: usize) -> Vec<Claimed> {
    store
        .try_write_beside(move |tx| {
            Box::pin(async move { job::claim(tx, "test", "a", now, lock, limit).await })
        })
        .await
        .unwrap()
}

async fn complete(store: &Store, id: Uuid, fence: i64) -> bool {
    store.write(move |tx| Box::pin(async move { job::complete(tx, id, fence).await })).await.unwrap()
}

async fn retry(store: &Store, id: Uuid, fence: i64, at: Instant) -> bool {
    store.write(move |tx| Box::pin(async move { job::retry(tx, id, fence, at).await })).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_in_once_and_the_first_of_its_jobs_stays() {
    let (_dir, store) = store().await;
    assert_eq!(add(&store, vec![new(1, NOW), new(2, NOW)]).await, 2);
    let again = NewJob { id: uuid(3), payload: "other".into(), ..new(1, NOW) };
    assert_eq!(add(&store, vec![again]).await, 0);
    let claimed = claim(&store, NOW, LONG, 10).await;
    assert_eq!(claimed.iter().map(|job| job.payload.as_str()).collect::<Vec<_>>(), ["p1", "p2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_due_of_the_lane_is_taken_and_the_longest_waiting_first() {
    let (_dir, store) = store().await;
    let other = NewJob { lane: "b".into(), ..new(9, NOW) };
    let jobs = vec![new(1, NOW.plus(-1)), new(2, NOW.plus(-2)), new(3, NOW.plus(1)), other];
    add(&store, jobs).await;
    let due = async |now| job::due(store.read(), "test", "a", now).await.unwrap();
    assert!(!due(NOW.plus(-3)).await && due(NOW).await);
    assert_eq!(claim(&store, NOW, LONG, 1).await[0].id, uuid(2));
    assert_eq!(claim(&store, NOW, LONG, 9).await.iter().map(|job| job.id).collect::<Vec<_>>(), [uuid(1)]);
    assert!(!due(NOW).await, "what is being worked at is not due");
    assert_eq!(claim(&store, NOW, LONG, 9).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_fence_completes_repeats_and_extends_nothing() {
    let (_dir, store) = store().await;
    add(&store, vec![new(1, NOW)]).await;
    let old = claim(&store, NOW, NONE, 1).await.remove(0);
    let new = claim(&store, NOW, LONG, 1).await.remove(0);
    assert!(new.fence > old.fence);
    let (id, fence) = (old.id, old.fence);
    assert!(!complete(&store, id, fence).await && !retry(&store, id, fence, NOW).await);
    let extended =
        store.write(move |tx| Box::pin(async move { job::extend(tx, id, fence, LONG).await })).await.unwrap();
    let proceeded = store
        .write(move |tx| Box::pin(async move { job::proceed(tx, id, fence, NOW, "x").await }))
        .await
        .unwrap();
    assert!(!extended && !proceeded);
    assert!(complete(&store, id, new.fence).await);
    assert!(!complete(&store, id, new.fence).await, "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_picked_up_when_the_lock_of_a_silent_node_ends_and_an_extended_lock_does_not_end() {
    let (_dir, store) = store().await;
    add(&store, vec![new(1, NOW)]).await;
    let lost = claim(&store, NOW, Duration::from_millis(300), 1).await.remove(0);
    assert_eq!(claim(&store, NOW, LONG, 1).await, [], "somebody is at it");
    tokio::time::sleep(Duration::from_millis(350)).await;
    let found = claim(&store, NOW, Duration::from_millis(300), 1).await.remove(0);
    assert_eq!((found.id, found.attempts), (lost.id, 0), "a crash is no attempt");
    let (id, fence) = (found.id, found.fence);
    assert!(
        store.write(move |tx| Box::pin(async move { job::extend(tx, id, fence, LONG).await })).await.unwrap()
    );
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(claim(&store, NOW, LONG, 1).await, []);
    // A process that is alone knows at its start that nobody is at anything.
    store.write(|tx| Box::pin(job::unlock_all(tx))).await.unwrap();
    assert_eq!(claim(&store, NOW, LONG, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_claimers_never_both_get_a_job_and_all_are_got() {
    let (dir, store) = store().await;
    // On PostgreSQL the other claimer is another node; on SQLite there is one process.
    let beside = TempDir::new().unwrap();
    let second = match postgres_url() {
        None => store.clone(),
        Some(_) => {
            std::fs::create_dir_all(beside.path().join("data")).unwrap();
            let data = |of: &TempDir| of.path().join("data/secret");
            std::fs::copy(data(&dir), data(&beside)).unwrap();
            let of_first = options(&dir).postgres;
            Store::open(OpenOptions { postgres: of_first, ..options(&beside) }).await.unwrap()
        }
    };
    add(&store, (0..200).map(|number| new(number, NOW)).collect()).await;
    let work = |store: Store| {
        tokio::spawn(async move {
            let (mut got, mut empty) = (vec![], 0);
            // A claimer that finds all rows locked by another gets none for the moment.
            while empty < 20 {
                let claimed = claim(&store, NOW, LONG, 7).await;
                empty = if claimed.is_empty() { empty + 1 } else { 0 };
                for job in claimed {
                    assert!(complete(&store, job.id, job.fence).await);
                    got.push(job.id);
                }
            }
            got
        })
    };
    let workers: Vec<_> =
        (0..6).map(|n| work(if n % 2 == 0 { store.clone() } else { second.clone() })).collect();
    let mut all = vec![];
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    let distinct: BTreeSet<Uuid> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (200, 200));
}

/// Random steps on the table and on the model of the rules: both answer the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_does_as_the_rules_say() -> Result<(), StoreError> {
    let (_dir, store) = store().await;
    let mut seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut dice = move |sides: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % sides
    };
    // Locks either hold for as long as the test runs or not at all, so that the model need not know the database's clock.
    let (mut model, mut fences, mut now) = (None::<Job>, vec![0_i64], NOW);
    for _ in 0..120 {
        now = now.plus(dice(3) as i64);
        let fence = fences[dice(fences.len() as u64) as usize];
        match dice(4) {
            0 => {
                let added = add(&store, vec![new(1, now)]).await == 1;
                assert_eq!(added, model.is_none());
                model.get_or_insert(Job::new(now));
            }
            1 => {
                let lock = if dice(2) == 0 { NONE } else { LONG };
                let claimed = claim(&store, now, lock, 1).await;
                let expected = model
                    .as_mut()
                    .and_then(|job| job.claim(now, NOW, lock.as_millis() as i64).map(|f| (f, job.attempts)));
                assert_eq!(claimed.first().map(|job| (job.fence, job.attempts)), expected);
                fences.extend(expected.map(|(fence, _)| fence));
            }
            2 => {
                let done = model.is_some_and(|job| job.completes(fence));
                assert_eq!(complete(&store, uuid(1), fence).await, done);
                if done {
                    (model, fences) = (None, vec![0]);
                }
            }
            _ => {
                let again = model.as_mut().is_some_and(|job| job.retry(fence, now.plus(1)));
                assert_eq!(retry(&store, uuid(1), fence, now.plus(1)).await, again);
            }
        }
    }
    Ok(())
}
