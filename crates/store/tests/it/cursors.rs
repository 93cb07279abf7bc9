//! The popular ways to follow a log on PostgreSQL, beside ours, on the schedules that part them. The simulation of
//! `crates/prove` runs the same designs through thousands of other schedules.

use super::*;

/// An event with what the other ways go by: a serial number and the transaction's id, both drawn inside the transaction.
const TABLE: &str = "CREATE TABLE other (seq bigserial PRIMARY KEY, \
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(), event bigint NOT NULL)";
/// A cursor on serial numbers.
const BY_SERIAL: &str = "SELECT event, seq AS place FROM other WHERE seq > $1 ORDER BY seq";
/// A cursor on transaction ids, no further than the oldest transaction that runs.
const BY_XID: &str = "SELECT event, xid::text::bigint AS place FROM other \
    WHERE xid::text::bigint > $1 AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, seq";

#[derive(FromQueryResult)]
struct Found {
    event: i64,
    place: i64,
}

/// A reader that goes on from its cursor.
struct Reader {
    sql: &'static str,
    after: i64,
    seen: Vec<i64>,
}

impl Reader {
    fn new(sql: &'static str) -> Reader {
        Reader { sql, after: 0, seen: vec![] }
    }

    async fn read(&mut self, db: &DatabaseConnection) {
        for found in fetch_all::<Found>(db, self.sql, vec![self.after.into()]).await.unwrap() {
            self.after = self.after.max(found.place);
            self.seen.push(found.event);
        }
    }
}

impl Reader {
    /// Transactions of others on the same cluster hold a reader by transaction ids up as well.
    async fn read_up_to(&mut self, count: usize, db: &DatabaseConnection) {
        for _ in 0..200 {
            self.read(db).await;
            if self.seen.len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A transaction that writes the same event for all three ways.
struct Open(DatabaseConnection);

impl Open {
    async fn begin(dir: &TempDir) -> Open {
        let raw = raw(dir).await;
        raw.execute_unprepared("BEGIN").await.unwrap();
        Open(raw)
    }

    async fn takes_its_id(&self) {
        self.0.execute_unprepared("SELECT pg_current_xact_id()").await.unwrap();
    }

    async fn append(&self, number: u128, stream: u128, version: i64) {
        let id = uuid(number);
        let sql = format!(
            "INSERT INTO event VALUES ('{id}', 'lead', '{}', {version}, 0, 'assigned', 1, '{{}}', 0, 0); \
             INSERT INTO unnumbered (event) VALUES ('{id}'); INSERT INTO other (event) VALUES ({number})",
            uuid(stream),
        );
        self.0.execute_unprepared(&sql).await.unwrap();
    }

    async fn commit(self) {
        self.0.execute_unprepared("COMMIT").await.unwrap();
    }
}

/// All that somebody sees who follows our feed.
async fn ours(store: &Store) -> Vec<i64> {
    store.settle().await.unwrap();
    all_events(store).await.iter().map(|row| row.event.id.as_u128() as i64).collect()
}

/// Two writers that touch nothing in common: the one that began first commits last. Then one more.
#[tokio::test]
async fn a_cursor_on_serial_numbers_loses_the_writer_that_began_first_and_ours_does_not() {
    if !only_postgres() {
        return;
    }
    let (dir, store) = store().await;
    let db = raw(&dir).await;
    db.execute_unprepared(TABLE).await.unwrap();
    let mut serial = Reader::new(BY_SERIAL);
    let slow = Open::begin(&dir).await;
    slow.append(1, 1, 1).await;
    let fast = Open::begin(&dir).await;
    fast.append(2, 2, 1).await;
    fast.commit().await;
    serial.read(&db).await;
    assert_eq!(ours(&store).await, [2]);
    slow.commit().await;
    serial.read(&db).await;
    let last = Open::begin(&dir).await;
    last.append(3, 3, 1).await;
    last.commit().await;
    serial.read(&db).await;
    assert_eq!(serial.seen, [2, 3], "the event 1 is lost for ever");
    assert_eq!(ours(&store).await, [2, 1, 3]);
}

/// The second change of a lead has the lower transaction id, since its transaction wrote something else before it waited for
/// the lead's row.
#[tokio::test]
async fn a_cursor_on_transaction_ids_turns_a_leads_changes_round_and_ours_does_not() {
    if !only_postgres() {
        return;
    }
    let (dir, store) = store().await;
    let db = raw(&dir).await;
    db.execute_unprepared(TABLE).await.unwrap();
    let mut by_xid = Reader::new(BY_XID);
    let second = Open::begin(&dir).await;
    second.takes_its_id().await;
    let first = Open::begin(&dir).await;
    first.append(1, 7, 1).await;
    first.commit().await;
    assert_eq!(ours(&store).await, [1]);
    by_xid.read(&db).await;
    second.append(2, 7, 2).await;
    second.commit().await;
    by_xid.read_up_to(2, &db).await;
    assert_eq!(by_xid.seen, [2, 1], "version 2 before version 1");
    assert_eq!(ours(&store).await, [1, 2]);
}

/// One transaction writes and then hangs. It delays itself.
#[tokio::test]
async fn a_hanging_transaction_stops_every_reader_by_transaction_ids_and_none_of_ours() {
    if !only_postgres() {
        return;
    }
    let (dir, store) = store().await;
    let db = raw(&dir).await;
    db.execute_unprepared(TABLE).await.unwrap();
    let mut by_xid = Reader::new(BY_XID);
    let hangs = Open::begin(&dir).await;
    hangs.append(21, 21, 1).await;
    for number in 1..=20 {
        let other = Open::begin(&dir).await;
        other.append(number, number, 1).await;
        other.commit().await;
    }
    by_xid.read(&db).await;
    assert!(by_xid.seen.is_empty(), "nobody sees anything");
    assert_eq!(ours(&store).await, (1..=20).collect::<Vec<_>>());
    hangs.commit().await;
    by_xid.read_up_to(21, &db).await;
    assert_eq!(by_xid.seen.len(), 21);
    assert_eq!(ours(&store).await, (1..=21).collect::<Vec<_>>());
}
