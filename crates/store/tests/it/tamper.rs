//! Whoever can write to the database can change the log, and is found out: by the chain, or by the head mark.

use super::*;
use handfast_store::{
    chain::{self, FaultKind},
    dialect::Dialect,
    feed::append_events,
    mark::MarkFault,
};
use sea_orm::TransactionTrait;

const EVENTS: i64 = 60;

/// Edits in a run; `HANDFAST_TAMPER_EDITS=10000` for more, `HANDFAST_TAMPER_SEED` for the same again.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A step of splitmix64: the run depends on nothing but its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as i64
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as i64) as usize]
    }

    /// Two different positions, the lower one first.
    fn two(&mut self) -> (i64, i64) {
        let (a, b) = (1 + self.below(EVENTS), 1 + self.below(EVENTS - 1));
        let b = if b >= a { b + 1 } else { b };
        (a.min(b), a.max(b))
    }
}

async fn filled() -> (TempDir, Store) {
    let (dir, store) = store().await;
    for number in 1..=EVENTS {
        let event = event(number as u128, number as u128 % 5, number, 0);
        store.write(move |tx| Box::pin(async move { append_events(tx, vec![event]).await })).await.unwrap();
    }
    store.settle().await.unwrap();
    (dir, store)
}

/// A connection that minds no reference.
async fn unbound(dir: &TempDir) -> DatabaseConnection {
    let raw = raw(dir).await;
    let unbound = match Dialect::of(raw.get_database_backend()) {
        Dialect::Sqlite => "PRAGMA foreign_keys = OFF",
        Dialect::Postgres => "SET session_replication_role = replica",
    };
    raw.execute_unprepared(unbound).await.unwrap();
    raw
}

/// Statements, and where the first bad row is; of which kinds it may be.
struct Edit {
    sql: Vec<String>,
    position: i64,
    kinds: &'static [FaultKind],
}

fn edit(random: &mut Random, dialect: Dialect) -> Edit {
    use FaultKind::{EventChanged, EventDeleted, HeadChanged, LinkBroken, Missing, NotInFeed, Surplus};
    let postgres = dialect == Dialect::Postgres;
    let id = |number: i64| match postgres {
        false => format!("x'{}'", uuid(number as u128).simple()),
        true => format!("'{}'::uuid", uuid(number as u128)),
    };
    let bytes = |byte: i64| match postgres {
        false => format!("x'{}'", format!("{byte:02x}").repeat(32)),
        true => format!("decode(repeat('{byte:02x}', 32), 'hex')"),
    };
    let (at, (low, high)) = (1 + random.below(EVENTS), random.two());
    // Nothing that we write looks like these.
    let (stranger, noise) = (1_000_000 + random.below(1_000_000), bytes(random.below(256)));
    let one = |sql: String, position, kinds| Edit { sql: vec![sql], position, kinds };
    match random.below(17) {
        0 => {
            let change = random.pick(&[
                "payload = payload || ' '",
                "payload = '{}'",
                "kind = kind || 'x'",
                "stream_kind = 'LEAD'",
                "version = version + 1000",
                "ordinal = ordinal + 1",
                "schema_version = 2",
                "occurred_at = occurred_at + 1",
                "recorded_at = recorded_at - 1",
            ]);
            one(format!("UPDATE event SET {change} WHERE id = {}", id(at)), at, &[EventChanged])
        }
        1 => one(
            format!("UPDATE event SET stream_id = {} WHERE id = {}", id(stranger), id(at)),
            at,
            &[EventChanged],
        ),
        2 => {
            one(format!("UPDATE event SET id = {} WHERE id = {}", id(stranger), id(at)), at, &[EventDeleted])
        }
        3 => one(format!("DELETE FROM event WHERE id = {}", id(at)), at, &[EventDeleted]),
        4 => one(format!("DELETE FROM feed WHERE position = {at}"), at, &[Missing]),
        5 => one(format!("DELETE FROM feed WHERE position BETWEEN {low} AND {high}"), low, &[Missing]),
        6 => one(format!("DELETE FROM feed WHERE position >= {at}"), at, &[Missing]),
        7 => Edit {
            sql: vec![
                format!("DELETE FROM feed WHERE position = {at}"),
                format!("DELETE FROM event WHERE id = {}", id(at)),
            ],
            position: at,
            kinds: &[Missing],
        },
        8 => one(format!("UPDATE feed SET chain = {noise} WHERE position = {at}"), at, &[LinkBroken]),
        9 => one(format!("UPDATE feed SET event_sha = {noise} WHERE position = {at}"), at, &[LinkBroken]),
        10 => one(
            format!("UPDATE feed SET event_id = {} WHERE position = {at}", id(stranger)),
            at,
            &[LinkBroken],
        ),
        // Two rows change places.
        11 => Edit {
            sql: vec![
                format!("UPDATE feed SET event_id = {} WHERE position = {low}", id(stranger)),
                format!("UPDATE feed SET event_id = {} WHERE position = {high}", id(low)),
                format!("UPDATE feed SET event_id = {} WHERE position = {low}", id(high)),
            ],
            position: low,
            kinds: &[LinkBroken],
        },
        12 => Edit {
            sql: vec![
                format!("UPDATE feed SET position = -1 WHERE position = {low}"),
                format!("UPDATE feed SET position = {low} WHERE position = {high}"),
                format!("UPDATE feed SET position = {high} WHERE position = -1"),
            ],
            position: low,
            kinds: &[LinkBroken],
        },
        // Two events change what they say.
        13 => Edit {
            sql: vec![
                format!("UPDATE event SET id = {} WHERE id = {}", id(stranger), id(low)),
                format!("UPDATE event SET id = {} WHERE id = {}", id(low), id(high)),
                format!("UPDATE event SET id = {} WHERE id = {}", id(high), id(stranger)),
            ],
            position: low,
            kinds: &[EventChanged],
        },
        // Rows slip in: an event without a place, a place that was not given, before the first or after the last.
        14 => one(
            format!(
                "INSERT INTO event SELECT {}, stream_kind, stream_id, {stranger}, 0, kind, 1, payload, 0, 0 FROM event \
                 WHERE id = {}",
                id(stranger),
                id(at)
            ),
            EVENTS,
            &[NotInFeed],
        ),
        15 => {
            let position = random.pick(&[EVENTS + 1, 0, -5]);
            let sql = vec![
                format!(
                    "INSERT INTO event SELECT {}, stream_kind, stream_id, {stranger}, 0, kind, 1, payload, 0, 0 FROM event \
                     WHERE id = {}",
                    id(stranger),
                    id(at)
                ),
                format!(
                    "INSERT INTO feed SELECT {position}, {}, event_sha, chain FROM feed WHERE position = {at}",
                    id(stranger)
                ),
            ];
            Edit { sql, position, kinds: &[LinkBroken, Surplus] }
        }
        _ if postgres => {
            let (sql, position, kinds): (_, _, &[FaultKind]) = match random.below(3) {
                0 => (format!("UPDATE feed_head SET chain = {noise}"), EVENTS, &[HeadChanged]),
                1 => (format!("UPDATE feed_head SET position = position + {at}"), EVENTS + 1, &[Missing]),
                _ => {
                    let kinds = &[HeadChanged];
                    (format!("UPDATE feed_head SET position = {low}"), low, kinds)
                }
            };
            one(sql, position, kinds)
        }
        _ => {
            let sql = format!("UPDATE sqlite_sequence SET seq = seq + {at} WHERE name = 'feed'");
            one(sql, EVENTS + 1, &[Missing])
        }
    }
}

#[tokio::test]
async fn every_edit_of_the_log_is_found_and_the_first_bad_row_is_named() {
    let (edits, seed) =
        (number("HANDFAST_TAMPER_EDITS", 400), number("HANDFAST_TAMPER_SEED", std::process::id().into()));
    println!("{edits} edits, seed {seed}");
    let (dir, store) = filled().await;
    assert_eq!(store.verify_chain(|_, _| ()).await.unwrap().fault, None);
    store.close().await;
    let raw = unbound(&dir).await;
    let dialect = Dialect::of(raw.get_database_backend());
    let mut random = Random(seed);
    for number in 0..edits {
        let Edit { sql, position, kinds } = edit(&mut random, dialect);
        let tx = raw.begin().await.unwrap();
        for statement in &sql {
            let done = tx.execute_unprepared(statement).await;
            let done =
                done.unwrap_or_else(|error| panic!("seed {seed}, edit {number}, {statement}: {error}"));
            assert!(done.rows_affected() > 0, "seed {seed}, edit {number} changes something: {statement}");
        }
        let report = chain::verify(&tx, |_, _| ()).await.unwrap();
        let fault =
            report.fault.unwrap_or_else(|| panic!("seed {seed}, edit {number} is not found: {sql:?}"));
        assert_eq!(fault.position, position, "seed {seed}, edit {number}: {sql:?}: {fault}");
        assert!(kinds.contains(&fault.kind), "seed {seed}, edit {number}: {sql:?}: {fault}");
        tx.rollback().await.unwrap();
    }
    assert_eq!(chain::verify(&raw, |_, _| ()).await.unwrap().fault, None, "all of it was undone");
}

#[tokio::test]
async fn the_newest_rows_alone_are_checked_as_the_whole_is() {
    let (dir, store) = filled().await;
    let whole = store.verify_chain(|_, _| ()).await.unwrap();
    for (rows, checked) in [(10, 10), (EVENTS, EVENTS), (EVENTS * 2, EVENTS), (0, 0)] {
        let newest = store.verify_newest(rows, |_, _| ()).await.unwrap();
        assert_eq!(
            (newest.checked, newest.head, newest.chain, newest.fault),
            (checked, EVENTS, whole.chain, None)
        );
    }
    store.close().await;
    let raw = unbound(&dir).await;
    raw.execute_unprepared("UPDATE event SET payload = '[]' WHERE version = 55").await.unwrap();
    for (rows, found) in [(5, None), (6, Some(55))] {
        let report = chain::verify_newest(&raw, rows, |_, _| ()).await.unwrap();
        assert_eq!(report.fault.map(|fault| fault.position), found, "{rows}");
    }
}

/// Takes the last events out of the log as somebody who knows how: the chain of what is left is whole.
async fn cut_off(dir: &TempDir, from: i64) {
    let raw = unbound(dir).await;
    let head = match Dialect::of(raw.get_database_backend()) {
        Dialect::Sqlite => format!("UPDATE sqlite_sequence SET seq = {} WHERE name = 'feed'", from - 1),
        Dialect::Postgres => format!(
            "UPDATE feed_head SET (position, chain) = (SELECT position, chain FROM feed WHERE position = {})",
            from - 1
        ),
    };
    for sql in [
        format!("DELETE FROM event WHERE version >= {from}"),
        format!("DELETE FROM feed WHERE position >= {from}"),
        head,
    ] {
        raw.execute_unprepared(&sql).await.unwrap();
    }
    assert_eq!(chain::verify(&raw, |_, _| ()).await.unwrap().fault, None, "the chain alone cannot know");
    raw.close().await.unwrap();
}

#[tokio::test]
async fn a_log_that_was_cut_off_at_its_end_is_noticed_by_the_head_mark() {
    let (dir, store) = filled().await;
    let cursor = store.cursors().feed(EVENTS);
    store.close().await;
    cut_off(&dir, 50).await;
    let refused = Store::open(options(&dir)).await.err().unwrap().to_string();
    assert!(
        refused.contains("behind its own head mark") && refused.contains("ends at position 49"),
        "{refused}"
    );
    // To be looked at, it opens, again and again: the mark stays.
    for _ in 0..2 {
        let examined = Store::open(OpenOptions { examine: true, ..options(&dir) }).await.unwrap();
        assert_eq!(examined.mark_fault(), Some(&MarkFault::Behind { marked: EVENTS, head: 49 }));
        examined.close().await;
    }
    let restored = Store::open(OpenOptions { restored: true, ..options(&dir) }).await.unwrap();
    assert!(restored.cursors().read_feed(&cursor, EVENTS).is_err());
    // Other events at the same places.
    for number in 50..=EVENTS {
        let event = event(1_000 + number as u128, 7, number, 0);
        restored
            .write(move |tx| Box::pin(async move { append_events(tx, vec![event]).await }))
            .await
            .unwrap();
    }
    restored.settle().await.unwrap();
    restored.close().await;
    Store::open(options(&dir)).await.unwrap().close().await;
}

#[tokio::test]
async fn a_log_that_was_written_again_from_some_place_on_is_noticed_by_the_head_mark() {
    let (dir, store) = filled().await;
    store.close().await;
    let mark = store.dir().join("head-mark");
    let seen = std::fs::read(&mark).unwrap();
    cut_off(&dir, 50).await;
    std::fs::remove_file(&mark).unwrap();
    let forged = Store::open(options(&dir)).await.unwrap();
    for number in 50..=EVENTS + 5 {
        let event = event(2_000 + number as u128, 7, number, 0);
        forged.write(move |tx| Box::pin(async move { append_events(tx, vec![event]).await })).await.unwrap();
    }
    forged.settle().await.unwrap();
    assert_eq!(forged.verify_chain(|_, _| ()).await.unwrap().fault, None);
    forged.close().await;
    std::fs::write(&mark, seen).unwrap();
    let refused = Store::open(options(&dir)).await.err().unwrap().to_string();
    assert!(refused.contains("the feed's row 60 is not the one that was seen here before"), "{refused}");
}
