//! Numbering on PostgreSQL: what has been committed gets its place in the feed, by one node at a time.
//!
//! A position that is drawn inside the writing transaction loses events: one that starts earlier and commits later gets a
//! number that readers have passed. Here a row of `unnumbered` is drawn under the lock of its stream and numbered only
//! after it is visible; whoever sees a lead's second change sees its first, and numbers it lower.

use crate::{
    dialect::{self, Dialect},
    error::{Result, StoreError},
    feed::{COLUMNS_OF_E, EventData, FeedHead, Hashed, feed_rows, hashed, number},
    lease::Lease,
    rows::{execute, fetch_all, fetch_one, insert_rows},
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, FromQueryResult, TransactionTrait, sqlx::postgres::PgListener,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::timeout,
};
use uuid::Uuid;

/// Events that one transaction numbers.
const BATCH: i64 = 2_000;
/// How often a node looks for what others committed; its own commits wake it at once.
const POLL: Duration = Duration::from_millis(50);
/// The same for a node that does not number: a notification wakes it, this is the truth behind it.
const POLL_STANDBY: Duration = Duration::from_millis(250);
/// The name of the lease.
pub(crate) const SEQUENCER: &str = "sequencer";

pub(crate) struct Sequencer {
    /// Two connections at most: the lease's and the transaction's.
    pub db: DatabaseConnection,
    pub schema: String,
    pub lease: Lease,
    pub committed: Arc<Notify>,
    pub publish: watch::Sender<i64>,
    /// Whether this node holds the lease.
    pub leads: watch::Sender<bool>,
}

#[derive(Debug, FromQueryResult)]
struct HeadRow {
    position: i64,
    chain: Vec<u8>,
}

impl Sequencer {
    /// Runs until `closing` is told; then numbers what is left and gives the lease back.
    pub async fn run(mut self, mut closing: oneshot::Receiver<oneshot::Sender<()>>) {
        let mut listener = self.listen().await;
        let mut quiet = true;
        let done = loop {
            let leads = match self.turn().await {
                Ok(leads) => {
                    quiet = true;
                    leads
                }
                Err(reason) => {
                    if std::mem::take(&mut quiet) {
                        tracing::warn!(%reason, "the feed cannot be numbered now; trying again");
                    }
                    // Whatever fails at once must not be tried without a pause.
                    tokio::time::sleep(POLL_STANDBY).await;
                    false
                }
            };
            self.leads.send_if_modified(|before| std::mem::replace(before, leads) != leads);
            let pause = if leads { POLL } else { POLL_STANDBY };
            let woken = async {
                match &mut listener {
                    Some(listener) if !leads => drop(listener.recv().await),
                    _ => self.committed.notified().await,
                }
            };
            tokio::select! {
                done = &mut closing => break done.ok(),
                _ = timeout(pause, woken) => {}
            }
            if listener.is_none() {
                listener = self.listen().await;
            }
        };
        self.leads.send_replace(false);
        if self.turn().await.unwrap_or(false) {
            let _ = self.lease.give_back(&self.db).await;
        }
        // It holds one of the connections.
        drop(listener);
        let _ = timeout(Duration::from_secs(5), self.db.close_by_ref()).await;
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// Numbers everything that is there, if this node holds the lease; answers whether it does.
    async fn turn(&mut self) -> Result<bool> {
        let Some(fence) = self.lease.hold(&self.db).await? else {
            self.tell(head(&self.db).await?.position);
            return Ok(false);
        };
        loop {
            match step(&self.db, &self.schema, fence).await? {
                Step::Numbered(head) => self.tell(head),
                Step::Nothing(head) => {
                    self.tell(head);
                    return Ok(true);
                }
                Step::Fenced => {
                    self.lease.lost();
                    return Ok(false);
                }
            }
        }
    }

    fn tell(&self, head: i64) {
        self.publish.send_if_modified(|position| {
            let newer = head > *position;
            *position = head.max(*position);
            newer
        });
    }

    async fn listen(&self) -> Option<PgListener> {
        let mut listener = PgListener::connect_with(self.db.get_postgres_connection_pool()).await.ok()?;
        listener.listen(&channel(&self.schema)).await.ok()?;
        Some(listener)
    }
}

/// The wake-up channel of a workspace.
fn channel(schema: &str) -> String {
    format!("handfast_{schema}")
}

/// How one step ended; with the position of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Numbered(i64),
    Nothing(i64),
    /// Another node holds the lease by now.
    Fenced,
}

/// One transaction: up to [`BATCH`] events get their positions and links.
pub async fn step(db: &DatabaseConnection, schema: &str, fence: i64) -> Result<Step> {
    // Most looks find nothing: one statement, no lock.
    if !anything(db).await? {
        return Ok(Step::Nothing(head(db).await?.position));
    }
    let tx = db.begin().await?;
    // A statement of its own: the next one sees what was committed until the lock was granted.
    let sql = "SELECT h.position, h.chain FROM feed_head h JOIN lease l ON l.name = $1 AND l.fence = $2 FOR UPDATE OF h";
    let held: Option<HeadRow> = fetch_one(&tx, sql, vec![SEQUENCER.into(), fence.into()]).await?;
    let Some(held) = held else {
        tx.rollback().await?;
        return Ok(Step::Fenced);
    };
    // By their numbers, and never by a bound: a lower one may be committed only now.
    let sql = "DELETE FROM unnumbered WHERE seq = ANY (ARRAY(SELECT seq FROM unnumbered ORDER BY seq LIMIT $1)) \
               RETURNING seq, event, sha";
    let mut waiting: Vec<Unnumbered> = fetch_all(&tx, sql, vec![BATCH.into()]).await?;
    waiting.sort_unstable_by_key(|row| row.seq);
    let (head, numbered) = number(held.decode()?, hashes(&tx, waiting).await?);
    insert_rows(&tx, "feed", crate::feed::FEED_COLUMNS, feed_rows(numbered)).await?;
    let sql = "UPDATE feed_head SET position = $1, chain = $2 WHERE id = 1";
    execute(&tx, sql, vec![head.position.into(), head.chain.to_vec().into()]).await?;
    tx.execute_unprepared(&format!("SELECT pg_notify('{}', '{}')", channel(schema), head.position)).await?;
    tx.commit().await?;
    Ok(Step::Numbered(head.position))
}

/// Those that a node of an earlier version wrote have no hash: it is made here, from the event.
async fn hashes(db: &impl ConnectionTrait, waiting: Vec<Unnumbered>) -> Result<Vec<Hashed>> {
    let without: Vec<Uuid> = waiting.iter().filter(|row| row.sha.is_none()).map(|row| row.event).collect();
    let mut made: HashMap<Uuid, [u8; 32]> = HashMap::new();
    if !without.is_empty() {
        let list = Dialect::Postgres.uuid_list("$1");
        let sql = format!("SELECT {COLUMNS_OF_E} FROM event e WHERE e.id {list}");
        let events: Vec<EventData> = fetch_all(db, &sql, vec![dialect::uuids(&without)]).await?;
        made.extend(events.into_iter().map(|event| hashed(&event.decode())));
    }
    let whole = |Unnumbered { event, sha, .. }: Unnumbered| {
        let sha = sha.and_then(|sha| sha.try_into().ok()).or_else(|| made.get(&event).copied());
        let corrupt = || StoreError::corrupt("unnumbered", "sha", event, "not 32 bytes, and no such event");
        Ok((event, sha.ok_or_else(corrupt)?))
    };
    waiting.into_iter().map(whole).collect()
}

async fn anything(db: &impl ConnectionTrait) -> Result<bool> {
    // In the order of the index, which forgets rows that were deleted; the table itself keeps them until it is vacuumed.
    let sql = "SELECT EXISTS (SELECT 1 FROM unnumbered ORDER BY seq LIMIT 1)";
    Ok(crate::rows::fetch_value(db, sql, vec![]).await?.unwrap_or(false))
}

pub(crate) async fn head(db: &impl ConnectionTrait) -> Result<FeedHead> {
    let row: Option<HeadRow> = fetch_one(db, "SELECT position, chain FROM feed_head", vec![]).await?;
    row.ok_or_else(|| StoreError::Open("the table feed_head has no row".to_owned()))?.decode()
}

/// The position that the newest committed event has, or will have at least.
pub(crate) async fn end(db: &impl ConnectionTrait) -> Result<i64> {
    let sql = "SELECT h.position + (SELECT count(*) FROM unnumbered) FROM feed_head h";
    Ok(crate::rows::fetch_value(db, sql, vec![]).await?.unwrap_or(0))
}

impl HeadRow {
    fn decode(self) -> Result<FeedHead> {
        let chain = self.chain.try_into();
        let chain = chain.map_err(|_| StoreError::corrupt("feed_head", "chain", 1, "not 32 bytes"))?;
        Ok(FeedHead { position: self.position, chain })
    }
}

#[derive(FromQueryResult)]
struct Unnumbered {
    seq: i64,
    event: Uuid,
    sha: Option<Vec<u8>>,
}
