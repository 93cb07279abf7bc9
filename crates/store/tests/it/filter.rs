//! A filter lets the same events pass in a statement, in memory and in a count.

use super::*;
use handfast_domain::event::{Actor, ActorKind, Body, Fact, StreamKind};
use handfast_domain::stage::{Cause, CycleOpenedBy, StageKind, WorkState};
use handfast_store::consumer::waiting;
use handfast_store::feed::append_events;
use proptest::{prelude::*, strategy::ValueTree};

/// More than are read from memory, so that a reader from the beginning asks the database.
const EVENTS: u128 = 700;

/// Facts with stages, with work states under the same names, and without either.
fn body(random: u64) -> Body {
    let pick = |at: u32, of: usize| (random >> at) as usize % of;
    let stage = |at: u32| StageKind::ALL[pick(at, StageKind::ALL.len())];
    let fact = match pick(0, 4) {
        0 | 1 => Fact::StageChanged {
            from: (pick(8, 4) > 0).then(|| stage(12)),
            to: stage(20),
            skipped: vec![],
            asserted: false,
            stage_version: 1,
            evaluation: None,
        },
        2 => Fact::WorkStateChanged {
            from: WorkState::ALL[pick(12, WorkState::ALL.len())],
            to: WorkState::ALL[pick(20, WorkState::ALL.len())],
        },
        _ => Fact::CycleOpened { cycle: 1, by: CycleOpenedBy::Capture, resumed_from: None },
    };
    let actor = Actor::of(ActorKind::ALL[pick(28, ActorKind::ALL.len())]);
    Body { actor, cause: Cause::Evaluation, charter: 0, cycle: Some(1), fact }
}

fn random_event(number: u128, seed: u64) -> NewEvent {
    let mut random = seed.wrapping_add(number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    random ^= random >> 29;
    let body = body(random.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    let stream = StreamKind::ALL[(random >> 40) as usize % StreamKind::ALL.len()];
    NewEvent {
        stream_kind: stream.as_str().into(),
        kind: body.fact.kind().into(),
        payload: serde_json::to_string(&body).unwrap(),
        recorded_at: NOW.plus(number as i64),
        ..event(number, (random >> 50) as u128 % 4, number as i64, 0)
    }
}

fn some<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(vec![]), 1 => prop::sample::subsequence(all, 0..=all.len().min(4))]
}

fn filter() -> impl Strategy<Value = EventFilter> {
    let kinds = some(&["STAGE_CHANGED", "WORK_STATE_CHANGED", "CYCLE_OPENED"][..]);
    let stream =
        prop_oneof![3 => Just(None), 1 => (0..4u128).prop_map(|id| Some(("LEAD".to_owned(), uuid(id))))];
    let rest = (some(StreamKind::ALL), some(ActorKind::ALL), some(StageKind::ALL), some(StageKind::ALL));
    (kinds, stream, rest).prop_map(|(kinds, stream, (streams, actors, to, from))| EventFilter {
        kinds: kinds.into_iter().map(str::to_owned).collect(),
        stream,
        streams,
        actors,
        to,
        from,
    })
}

/// What the documentation says, said once more.
fn wanted(filter: &EventFilter, row: &Told) -> bool {
    let (event, body) = (&row.event, row.body().unwrap());
    let stages = match &body.fact {
        Fact::StageChanged { from, to, .. } => Some((*from, *to)),
        _ => None,
    };
    [
        filter.kinds.is_empty() || filter.kinds.contains(&event.kind),
        filter.stream.as_ref().is_none_or(|(kind, id)| *kind == event.stream_kind && *id == event.stream_id),
        filter.streams.is_empty() || filter.streams.iter().any(|one| one.as_str() == event.stream_kind),
        filter.actors.is_empty() || filter.actors.contains(&body.actor.kind),
        filter.to.is_empty() || stages.is_some_and(|(_, to)| filter.to.contains(&to)),
        filter.from.is_empty()
            || stages.and_then(|(from, _)| from).is_some_and(|from| filter.from.contains(&from)),
    ]
    .into_iter()
    .all(|holds| holds)
}

async fn read(store: &Store, mut position: i64, filter: &EventFilter) -> Vec<i64> {
    let mut seen = vec![];
    while position < EVENTS as i64 {
        let page = store.events_after(position, 97, filter).await.unwrap();
        position = page.next;
        seen.extend(page.events.iter().map(|row| row.position));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_passes_the_same_events_in_a_statement_in_memory_and_in_a_count() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let (_dir, store) = store().await;
    let events = (1..=EVENTS).map(|number| random_event(number, seed)).collect();
    store.write(|tx| Box::pin(async move { append_events(tx, events).await })).await.unwrap();
    store.settle().await.unwrap();
    let all = all_events(&store).await;
    let mut passed = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..150 {
        let filter = filter().new_tree(&mut runner).unwrap().current();
        let expected: Vec<i64> =
            all.iter().filter(|row| wanted(&filter, row)).map(|row| row.position).collect();
        // From the beginning a statement, near the head the window in memory.
        for start in [0, EVENTS as i64 - 300] {
            let of_it: Vec<i64> = expected.iter().copied().filter(|position| *position > start).collect();
            assert_eq!(read(&store, start, &filter).await, of_it, "after {start}: {filter:?}");
            let count = waiting(store.read(), start, EVENTS as i64, &filter).await.unwrap();
            assert_eq!((count.events, count.at_least), (of_it.len() as i64, false), "{filter:?}");
            assert_eq!(count.oldest, of_it.first().map(|position| NOW.plus(*position)), "{filter:?}");
            passed += of_it.len();
        }
    }
    assert!(passed > 1_000, "hardly anything passed: {passed}");
}

#[tokio::test]
async fn a_count_stops_where_the_log_is_long_and_says_so() {
    let (_dir, store) = store().await;
    for block in 0..21u128 {
        let events = (1..=1_000).map(|number| random_event(block * 1_000 + number, 7)).collect();
        store.write(|tx| Box::pin(async move { append_events(tx, events).await })).await.unwrap();
    }
    store.settle().await.unwrap();
    let kinds = |kind: &str| EventFilter { kinds: vec![kind.into()], ..EventFilter::default() };
    let count = async |filter| waiting(store.read(), 0, 21_000, &filter).await.unwrap();
    let none = count(kinds("CHARTER_SIGNED")).await;
    assert_eq!(
        (none.events, none.at_least, none.oldest),
        (0, true, None),
        "what lies beyond is not looked at"
    );
    let many = count(kinds("STAGE_CHANGED")).await;
    assert!(many.at_least && (9_000..=10_000).contains(&many.events), "{many:?}");
    let all = count(EventFilter::default()).await;
    assert_eq!((all.events, all.at_least, all.oldest), (21_000, false, Some(NOW.plus(1))));
}
