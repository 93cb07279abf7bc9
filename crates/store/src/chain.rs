//! Checks the hash chain of the feed: which row, if any, was changed, deleted, reordered or slipped in.

use crate::{
    dialect::Dialect,
    error::Result,
    feed::{COLUMNS_OF_E, FeedHead, NewEvent, event_sha, highest_given, link},
    rows::{fetch_all, fetch_one},
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
}

/// Reads the whole feed in pages; `progress` gets (rows checked, rows in all).
pub(crate) async fn verify(
    db: &impl ConnectionTrait,
    mut progress: impl FnMut(i64, i64),
) -> Result<ChainReport> {
    let end = highest_given(db).await?;
    let mut head = FeedHead::default();
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
    if fault.is_none() {
        fault = first_outside_feed(db, end).await?;
    }
    Ok(ChainReport { checked, head: head.position, chain: Digest(head.chain), fault })
}

const PAGE: usize = 1_000;

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
