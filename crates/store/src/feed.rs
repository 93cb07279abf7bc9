//! The log of events and the feed that numbers them: appending inside a command, reading by position, and checking the
//! hash chain. What a payload means is `handfast_domain::event`'s business.

use crate::{
    dialect::{self, Dialect},
    error::Result,
    rows::{fetch_all, fetch_one, fetch_value, insert_both, insert_rows},
    sequencer,
    tail::Told,
    tx::Tx,
};
pub use handfast_domain::filter::EventFilter;
use handfast_domain::filter::STAGE_CHANGED;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// An event to append. `(stream_kind, stream_id, version, ordinal)` is its place in its stream and unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub id: Uuid,
    pub stream_kind: String,
    pub stream_id: Uuid,
    pub version: i64,
    pub ordinal: i64,
    pub kind: String,
    pub schema_version: i64,
    pub payload: String,
    pub occurred_at: Instant,
    pub recorded_at: Instant,
}

/// An event with its place in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub position: i64,
    pub event: NewEvent,
}

#[derive(Clone, Debug)]
pub struct EventPage {
    pub events: Vec<Arc<Told>>,
    /// Read on after this position: nothing that passes the filter lies between the last event and it.
    pub next: i64,
    /// The newest position when the page was read.
    pub head: i64,
}

/// Where the feed ends, and the hash that stands for all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedHead {
    pub position: i64,
    pub chain: [u8; 32],
}

/// An event's place: the head after it, its id and its hash.
pub type Place = (FeedHead, Uuid, [u8; 32]);

/// All that an event's place is made of: its id and its hash.
pub type Hashed = (Uuid, [u8; 32]);

pub fn hashed(event: &NewEvent) -> Hashed {
    (event.id, event_sha(event))
}

/// The places of `events` after `head`, dense and in this order. Answers the new head, too.
pub fn number(mut head: FeedHead, events: impl IntoIterator<Item = Hashed>) -> (FeedHead, Vec<Place>) {
    let events = events.into_iter();
    let mut places = Vec::with_capacity(events.size_hint().0);
    for (event, sha) in events {
        let position = head.position + 1;
        head = FeedHead { position, chain: link(&head.chain, position, &event, &sha) };
        places.push((head, event, sha));
    }
    (head, places)
}

/// Appends `events` in this order. On SQLite they get their places in the feed at once, since nobody else writes; on
/// PostgreSQL the sequencer gives them, after the commit. Positions are dense either way.
pub async fn append_events(tx: &Tx, events: Vec<NewEvent>) -> Result<()> {
    match tx.dialect() {
        Dialect::Sqlite => {
            let (head, numbered) = number(tx.head(), events.iter().map(hashed));
            insert_rows(tx, "event", EVENT_COLUMNS, event_rows(events)).await?;
            insert_rows(tx, "feed", FEED_COLUMNS, feed_rows(numbered)).await?;
            tx.set_head(head);
        }
        Dialect::Postgres => {
            // Hashed here, by many, so that the one who numbers them need not read them.
            let waiting = events.iter().map(hashed).map(|(event, sha)| vec![event.into(), bytes(&sha)]);
            let waiting = waiting.collect();
            let tables = [("event", EVENT_COLUMNS), ("unnumbered", &["event", "sha"])];
            insert_both(tx, tables, [event_rows(events), waiting]).await?;
        }
    }
    Ok(())
}

fn event_rows(events: Vec<NewEvent>) -> Vec<Vec<Value>> {
    let row = |event: NewEvent| {
        vec![
            event.id.into(),
            event.stream_kind.into(),
            event.stream_id.into(),
            event.version.into(),
            event.ordinal.into(),
            event.kind.into(),
            event.schema_version.into(),
            event.payload.into(),
            event.occurred_at.ms().into(),
            event.recorded_at.ms().into(),
        ]
    };
    events.into_iter().map(row).collect()
}

pub(crate) const FEED_COLUMNS: &[&str] = &["position", "event_id", "event_sha", "chain"];

/// Rows of the feed.
pub(crate) fn feed_rows(numbered: Vec<Place>) -> Vec<Vec<Value>> {
    let row =
        |(head, event, sha): Place| vec![head.position.into(), event.into(), bytes(&sha), bytes(&head.chain)];
    numbered.into_iter().map(row).collect()
}

/// Reads up to `limit` events after `position`. `head` is a position that was committed before the call.
pub(crate) async fn events_after(
    db: &impl ConnectionTrait,
    position: i64,
    head: i64,
    limit: usize,
    filter: &EventFilter,
) -> Result<EventPage> {
    let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
    let end = head.min(position.saturating_add(window(filter)));
    let mut values: Vec<Value> = vec![position.into(), end.into(), limit.into()];
    let conditions = conditions(Dialect::of(db.get_database_backend()), filter, &mut values);
    let sql = format!(
        "SELECT f.position, {COLUMNS_OF_E} FROM event e JOIN feed f ON f.event_id = e.id \
         WHERE f.position > $1 AND f.position <= $2{conditions} ORDER BY f.position LIMIT $3"
    );
    let rows: Vec<Row> = fetch_all(db, &sql, values).await?;
    let full = rows.len() as i64 == limit;
    let next = match rows.last() {
        Some(last) if full => last.position,
        _ => end.max(position),
    };
    Ok(EventPage { events: rows.into_iter().map(Row::told).collect(), next, head })
}

/// Positions that one filtered call looks at: a rare kind must not make it read the whole log. A stream has an index of its
/// own.
pub(crate) fn window(filter: &EventFilter) -> i64 {
    if filter.is_empty() || filter.stream.is_some() { i64::MAX } else { SCAN_WINDOW }
}

/// What a filter asks of the event `e`, for the end of a WHERE: the same as [`EventFilter::passes`] of a row in memory.
pub(crate) fn conditions(dialect: Dialect, filter: &EventFilter, values: &mut Vec<Value>) -> String {
    let EventFilter { kinds, stream, streams, actors, to, from } = filter;
    let mut conditions = String::new();
    if let Some((kind, id)) = stream {
        values.extend([kind.as_str().into(), (*id).into()]);
        let at = values.len();
        conditions.push_str(&format!(" AND e.stream_kind = ${} AND e.stream_id = ${at}", at - 1));
    }
    if filter.asks_for_stages() {
        values.push(STAGE_CHANGED.into());
        conditions.push_str(&format!(" AND e.kind = ${}", values.len()));
    }
    let payload = |path| dialect.json_text("e.payload", path);
    let lists: [(String, Vec<&str>); 5] = [
        ("e.kind".to_owned(), kinds.iter().map(String::as_str).collect()),
        ("e.stream_kind".to_owned(), streams.iter().map(|one| one.as_str()).collect()),
        (payload(["actor", "kind"]), actors.iter().map(|one| one.as_str()).collect()),
        (payload(["fact", "to"]), to.iter().map(|one| one.as_str()).collect()),
        (payload(["fact", "from"]), from.iter().map(|one| one.as_str()).collect()),
    ];
    for (what, wanted) in lists.into_iter().filter(|(_, wanted)| !wanted.is_empty()) {
        values.push(dialect::texts(wanted));
        let list = dialect.text_list(&format!("${}", values.len()));
        conditions.push_str(&format!(" AND {what} {list}"));
    }
    conditions
}

/// The events with these ids, in the order of the feed. One that has no place in it yet is left out.
pub async fn events_of(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Arc<Told>>> {
    let list = Dialect::of(db.get_database_backend()).uuid_list("$1");
    let sql = format!(
        "SELECT f.position, {COLUMNS_OF_E} FROM event e JOIN feed f ON f.event_id = e.id WHERE e.id {list} \
         ORDER BY f.position"
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(ids)]).await?;
    Ok(rows.into_iter().map(Row::told).collect())
}

/// The event at a position.
pub async fn event_at(db: &impl ConnectionTrait, position: i64) -> Result<Option<Arc<Told>>> {
    let sql = format!(
        "SELECT f.position, {COLUMNS_OF_E} FROM event e JOIN feed f ON f.event_id = e.id WHERE f.position = $1"
    );
    let row: Option<Row> = fetch_one(db, &sql, vec![position.into()]).await?;
    Ok(row.map(Row::told))
}

/// What the writer of SQLite continues from. A position that was once given is not given again, even if its row was
/// deleted.
pub(crate) async fn load_head(db: &impl ConnectionTrait) -> Result<FeedHead> {
    let last: Option<ChainRow> =
        fetch_one(db, "SELECT position, chain FROM feed ORDER BY position DESC LIMIT 1", vec![]).await?;
    let last = last.unwrap_or(ChainRow { position: 0, chain: vec![0; 32] });
    let position = last.position.max(highest_given(db).await?);
    Ok(FeedHead { position, chain: last.chain.try_into().unwrap_or_default() })
}

pub(crate) async fn highest_given(db: &impl ConnectionTrait) -> Result<i64> {
    match Dialect::of(db.get_database_backend()) {
        Dialect::Sqlite => {
            let seq = fetch_value(db, "SELECT seq FROM sqlite_sequence WHERE name = 'feed'", vec![]).await?;
            Ok(seq.unwrap_or(0))
        }
        Dialect::Postgres => Ok(sequencer::head(db).await?.position),
    }
}

/// Covers every column of the event, each with its length, so that no two events share a text.
pub(crate) fn event_sha(event: &NewEvent) -> [u8; 32] {
    let NewEvent {
        id,
        stream_kind,
        stream_id,
        version,
        ordinal,
        kind,
        schema_version,
        payload,
        occurred_at,
        recorded_at,
    } = event;
    let mut hash = Sha256::new();
    hash.update(b"handfast/event/1\n");
    hash.update(id.as_bytes());
    hash.update(stream_id.as_bytes());
    for number in [*version, *ordinal, *schema_version, occurred_at.ms(), recorded_at.ms()] {
        hash.update(number.to_be_bytes());
    }
    for text in [stream_kind, kind, payload] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// sha-256(previous link ‖ position ‖ event id ‖ hash of the event)
pub(crate) fn link(previous: &[u8; 32], position: i64, event: &Uuid, event_sha: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(position.to_be_bytes());
    hash.update(event.as_bytes());
    hash.update(event_sha);
    hash.finalize().into()
}

/// The newest version of a stream, 0 when it has no event yet.
pub async fn stream_version(db: &impl ConnectionTrait, stream_kind: &str, stream_id: Uuid) -> Result<i64> {
    let sql = "SELECT coalesce(max(version), 0) FROM event WHERE stream_kind = $1 AND stream_id = $2";
    Ok(fetch_value(db, sql, vec![stream_kind.into(), stream_id.into()]).await?.unwrap_or(0))
}

pub(crate) const COLUMNS_OF_E: &str = "e.id, e.stream_kind, e.stream_id, e.version, e.ordinal, e.kind, \
     e.schema_version, e.payload, e.occurred_at, e.recorded_at";

const EVENT_COLUMNS: &[&str] = &[
    "id",
    "stream_kind",
    "stream_id",
    "version",
    "ordinal",
    "kind",
    "schema_version",
    "payload",
    "occurred_at",
    "recorded_at",
];

const SCAN_WINDOW: i64 = 10_000;

#[derive(FromQueryResult)]
struct ChainRow {
    position: i64,
    chain: Vec<u8>,
}

#[derive(FromQueryResult)]
struct Row {
    position: i64,
    #[sea_orm(nested)]
    event: EventData,
}

impl Row {
    fn told(self) -> Arc<Told> {
        Told::new(EventRow { position: self.position, event: self.event.decode() })
    }
}

/// [`NewEvent`] as its columns.
#[derive(FromQueryResult)]
pub(crate) struct EventData {
    id: Uuid,
    stream_kind: String,
    stream_id: Uuid,
    version: i64,
    ordinal: i64,
    kind: String,
    schema_version: i64,
    payload: String,
    occurred_at: i64,
    recorded_at: i64,
}

impl EventData {
    pub fn decode(self) -> NewEvent {
        NewEvent {
            id: self.id,
            stream_kind: self.stream_kind,
            stream_id: self.stream_id,
            version: self.version,
            ordinal: self.ordinal,
            kind: self.kind,
            schema_version: self.schema_version,
            payload: self.payload,
            occurred_at: Instant(self.occurred_at),
            recorded_at: Instant(self.recorded_at),
        }
    }
}

fn bytes(hash: &[u8; 32]) -> Value {
    hash.to_vec().into()
}
