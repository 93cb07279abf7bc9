//! Checks the hash chain of the feed: which row, if any, was changed, deleted, reordered or slipped in.

use crate::{
    dialect::Dialect,
    error::Result,
    feed::{COLUMNS_OF_E, FeedHead, NewEvent, event_sha, highest_given, link},
    rows::{fetch_all, fetch_one, fetch_value},
    sequencer,
};
use handfast_domain::{digest::Digest, time::Instant};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Rows that were checked and found right, up to the first fault.
    pub checked: i64,
    /// The position of the last of them.
    pub head: i64,
    /// Stands for the whole log up to `head`: keep it elsewhere to notice a log that was rewritten as a whole.
    pub chain: Digest,
    pub fault: Option<ChainFault>,
}

/// The first bad row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {position}{}: {kind}", event.map(|id| format!(", event {id}")).unwrap_or_default())]
pub struct ChainFault {
    pub position: i64,
    pub event: Option<Uuid>,
    pub kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("the feed's row is missing")]
    Missing,
    #[error("the event was deleted")]
    EventDeleted,
    #[error("the event was changed after it was written")]
    EventChanged,
    #[error("the feed's row was changed or moved after it was written")]
    LinkBroken,
    #[error("the event stands in the log but not in the feed")]
    NotInFeed,
    #[error("a row of the feed stands where no position was given")]
    Surplus,
    #[error("the head of the feed was changed: it is not that of the last row")]
    HeadChanged,
}

/// Reads the whole feed in pages; `progress` gets (rows checked, rows in all).
pub async fn verify(db: &impl ConnectionTrait, progress: impl FnMut(i64, i64)) -> Result<ChainReport> {
    let mut report = verify_after(db, 0, progress).await?;
    if report.fault.is_none() {
        report.fault = first_outside_feed(db, report.head).await?;
    }
    Ok(report)
}

/// Reads the newest `rows` of the feed, and takes the one before them at its word.
pub async fn verify_newest(
    db: &impl ConnectionTrait,
    rows: i64,
    progress: impl FnMut(i64, i64),
) -> Result<ChainReport> {
    verify_after(db, highest_given(db).await?.saturating_sub(rows).max(0), progress).await
}

async fn verify_after(
    db: &impl ConnectionTrait,
    after: i64,
    mut progress: impl FnMut(i64, i64),
) -> Result<ChainReport> {
    let given = given(db).await?;
    let end = given.position;
    let mut head = FeedHead { position: after, chain: chain_at(db, after).await? };
    let mut checked = 0;
    let mut fault = None;
    let sql = format!(
        "SELECT f.position, f.event_id, f.event_sha, f.chain, {COLUMNS_OF_E} FROM feed f \
         LEFT JOIN event e ON e.id = f.event_id WHERE f.position > $1 AND f.position <= $2 \
         ORDER BY f.position LIMIT {PAGE}"
    );
    while fault.is_none() && head.position < end {
        let rows: Vec<Row> = fetch_all(db, &sql, vec![head.position.into(), end.into()]).await?;
        if rows.is_empty() {
            fault = Some(ChainFault { position: head.position + 1, event: None, kind: FaultKind::Missing });
        }
        for row in rows {
            match row.check(&head) {
                Ok(next) => {
                    head = next;
                    checked += 1;
                }
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            }
        }
        progress(checked, end);
    }
    if fault.is_none() && given.chain.is_some_and(|chain| chain != head.chain) {
        fault = Some(ChainFault { position: end, event: None, kind: FaultKind::HeadChanged });
    }
    if fault.is_none() {
        fault = first_surplus(db).await?;
    }
    Ok(ChainReport { checked, head: head.position, chain: Digest(head.chain), fault })
}

const PAGE: usize = 1_000;

/// The last position that was given, and its link where it stands beside the feed, too.
struct Given {
    position: i64,
    chain: Option<[u8; 32]>,
}

async fn given(db: &impl ConnectionTrait) -> Result<Given> {
    match Dialect::of(db.get_database_backend()) {
        Dialect::Sqlite => Ok(Given { position: highest_given(db).await?, chain: None }),
        Dialect::Postgres => {
            let FeedHead { position, chain } = sequencer::head(db).await?;
            Ok(Given { position, chain: Some(chain) })
        }
    }
}

async fn chain_at(db: &impl ConnectionTrait, position: i64) -> Result<[u8; 32]> {
    // The first link has none before it, whatever row somebody put there.
    if position == 0 {
        return Ok(FeedHead::default().chain);
    }
    let sql = "SELECT chain FROM feed WHERE position = $1";
    let chain: Option<Vec<u8>> = fetch_value(db, sql, vec![position.into()]).await?;
    Ok(chain.and_then(|chain| chain.try_into().ok()).unwrap_or_default())
}

/// A row where no reader of the feed looks. What is numbered meanwhile is seen together with its head.
async fn first_surplus(db: &impl ConnectionTrait) -> Result<Option<ChainFault>> {
    let head = match Dialect::of(db.get_database_backend()) {
        Dialect::Sqlite => "SELECT seq FROM sqlite_sequence WHERE name = 'feed'",
        Dialect::Postgres => "SELECT position FROM feed_head",
    };
    let sql = format!(
        "SELECT position, event_id FROM feed WHERE position < 1 OR position > coalesce(({head}), 0) ORDER BY position LIMIT 1"
    );
    let row: Option<Surplus> = fetch_one(db, &sql, vec![]).await?;
    let fault = |row: Surplus| ChainFault {
        position: row.position,
        event: Some(row.event_id),
        kind: FaultKind::Surplus,
    };
    Ok(row.map(fault))
}

#[derive(FromQueryResult)]
struct Surplus {
    position: i64,
    event_id: Uuid,
}

/// Each event that is visible has a position, or waits for the sequencer to give it one.
async fn first_outside_feed(db: &impl ConnectionTrait, end: i64) -> Result<Option<ChainFault>> {
    let waits = match Dialect::of(db.get_database_backend()) {
        Dialect::Sqlite => "",
        Dialect::Postgres => "AND NOT EXISTS (SELECT 1 FROM unnumbered u WHERE u.event = e.id)",
    };
    let sql = format!(
        "SELECT e.id FROM event e WHERE NOT EXISTS (SELECT 1 FROM feed f WHERE f.event_id = e.id) {waits} LIMIT 1"
    );
    let row: Option<Stray> = fetch_one(db, &sql, vec![]).await?;
    Ok(row.map(|row| ChainFault { position: end, event: Some(row.id), kind: FaultKind::NotInFeed }))
}

#[derive(FromQueryResult)]
struct Stray {
    id: Uuid,
}

#[derive(FromQueryResult)]
struct Row {
    position: i64,
    event_id: Uuid,
    event_sha: Vec<u8>,
    chain: Vec<u8>,
    id: Option<Uuid>,
    stream_kind: Option<String>,
    stream_id: Option<Uuid>,
    version: Option<i64>,
    ordinal: Option<i64>,
    kind: Option<String>,
    schema_version: Option<i64>,
    payload: Option<String>,
    occurred_at: Option<i64>,
    recorded_at: Option<i64>,
}

impl Row {
    fn check(self, before: &FeedHead) -> Result<FeedHead, ChainFault> {
        let expected = before.position + 1;
        if self.position != expected {
            return Err(ChainFault { position: expected, event: None, kind: FaultKind::Missing });
        }
        let event = Some(self.event_id);
        let fault = |kind| ChainFault { position: expected, event, kind };
        let chain = link(&before.chain, expected, &self.event_id, &self.event_sha);
        if chain[..] != self.chain[..] {
            return Err(fault(FaultKind::LinkBroken));
        }
        let sha = self.event_sha.clone();
        match self.event() {
            None => Err(fault(FaultKind::EventDeleted)),
            Some(event) if event_sha(&event)[..] != sha[..] => Err(fault(FaultKind::EventChanged)),
            Some(_) => Ok(FeedHead { position: expected, chain }),
        }
    }

    fn event(self) -> Option<NewEvent> {
        Some(NewEvent {
            id: self.id?,
            stream_kind: self.stream_kind?,
            stream_id: self.stream_id?,
            version: self.version?,
            ordinal: self.ordinal?,
            kind: self.kind?,
            schema_version: self.schema_version?,
            payload: self.payload?,
            occurred_at: Instant(self.occurred_at?),
            recorded_at: Instant(self.recorded_at?),
        })
    }
}
