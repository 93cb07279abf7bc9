//! Opening a data directory, and the `Store` that the rest of the server holds.

use crate::{
    blob::Blobs,
    chain::{self, ChainReport},
    command::{Task, inside_command},
    cursor::Cursors,
    dialect::Dialect,
    error::{Result, StoreError},
    feed::{self, EventFilter, EventPage},
    files::{self, LockFile},
    migrations,
    pool::{self, Deadline},
    rows::{execute, fetch_value},
    secret::{Purpose, RootSecret, random},
    tx::Tx,
    writer::{Message, Writer},
};
use futures_util::future::BoxFuture;
use handfast_domain::digest::Digest;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};

#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Holds `handfast.db`, `secret`, `handfast.lock` and `blobs/`. Made if it does not exist.
    pub dir: PathBuf,
    pub read_connections: u32,
    pub report_connections: u32,
    /// A statement of a report is stopped after this time.
    pub report_limit: Duration,
    /// A write command is stopped and undone after this time.
    pub command_limit: Duration,
    /// The directory comes from a backup: begins a new epoch, so that older cursors are refused.
    pub restored: bool,
}

impl OpenOptions {
    pub fn new(dir: impl Into<PathBuf>) -> OpenOptions {
        OpenOptions {
            dir: dir.into(),
            read_connections: 4,
            report_connections: 2,
            report_limit: Duration::from_secs(10),
            command_limit: Duration::from_secs(10),
            restored: false,
        }
    }
}

/// One workspace. Cheap to clone; [`Store::close`] before the process ends, though nothing is lost without.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    queue: mpsc::Sender<Message>,
    read: DatabaseConnection,
    reports: DatabaseConnection,
    head: watch::Receiver<i64>,
    secret: RootSecret,
    cursors: Cursors,
    blobs: Blobs,
}

/// Commands that wait for the writer; more wait for a place.
const QUEUE: usize = 1024;
const QUEUE_LIMIT: Duration = Duration::from_secs(10);

impl Store {
    pub async fn open(options: OpenOptions) -> Result<Store> {
        let dir = files::prepare(&options.dir)?;
        let lock = Arc::new(LockFile::acquire(&dir)?);
        let database = dir.join("handfast.db");
        let secret = RootSecret::load_or_create(&dir.join("secret"), database.exists())?;
        let blobs = Blobs::open(&dir)?;

        let deadline = Deadline::new();
        // Migrations get a connection of their own: prepared statements do not survive a changed schema.
        let connection = pool::writer(&database, &deadline).await?;
        migrations::migrate(&connection).await?;
        let epoch = epoch(&connection, &secret, options.restored).await?;
        connection.close().await?;

        let connection = pool::writer(&database, &deadline).await?;
        let read = pool::readers(&database, options.read_connections).await?;
        let reports = pool::reports(&database, options.report_connections, options.report_limit).await?;
        let feed_head = feed::load_head(&connection).await?;
        let (publish, head) = watch::channel(feed_head.position);
        let (queue, inbox) = mpsc::channel(QUEUE);
        let writer = Writer {
            database,
            connection,
            readers: vec![read.clone(), reports.clone()],
            head: feed_head,
            publish,
            deadline,
            limit: options.command_limit,
            lock,
        };
        tokio::spawn(writer.run(inbox));
        let cursors = Cursors::new(secret.subkey(Purpose::Cursors), epoch);
        Ok(Store { shared: Arc::new(Shared { dir, queue, read, reports, head, secret, cursors, blobs }) })
    }

    /// Runs `work` in a transaction and answers when it is committed on disk, or undone.
    ///
    /// The change happens even if the caller stops waiting. `work` must not call `write` nor wait for anything but the
    /// database: all other writers wait for it.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        self.try_write(work).await
    }

    /// [`Store::write`] for a command that may also end with an error of the caller's own, for example a refusal. Every
    /// error undoes the command.
    pub async fn try_write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if inside_command() {
            return Err(StoreError::Nested.into());
        }
        let (answer, result) = oneshot::channel();
        let command = Message::Run(Box::new(Task { work, answer }));
        self.shared.queue.send_timeout(command, QUEUE_LIMIT).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => StoreError::Busy(format!(
                "{QUEUE} changes wait to be written, none was taken in {QUEUE_LIMIT:?}"
            )),
            mpsc::error::SendTimeoutError::Closed(_) => StoreError::Closed,
        })?;
        result.await.map_err(|_| E::from(StoreError::Closed))?
    }

    /// The read-only pool, for queries whose cost is bounded.
    pub fn read(&self) -> &DatabaseConnection {
        &self.shared.read
    }

    /// A small pool of its own for aggregates, so that they cannot starve the other queries.
    pub fn reports(&self) -> &DatabaseConnection {
        &self.shared.reports
    }

    pub fn dialect(&self) -> Dialect {
        Dialect::of(self.shared.read.get_database_backend())
    }

    /// The newest position of the feed; changes wake those who wait for it.
    pub fn head(&self) -> watch::Receiver<i64> {
        self.shared.head.clone()
    }

    /// Up to `limit` events after `position` that pass `filter`, in order.
    pub async fn events_after(&self, position: i64, limit: usize, filter: &EventFilter) -> Result<EventPage> {
        let head = *self.shared.head.borrow();
        feed::events_after(self.read(), position, head, limit, filter).await
    }

    /// Reads the whole log and checks its hash chain; `progress` gets (rows checked, rows in all).
    pub async fn verify_chain(&self, progress: impl FnMut(i64, i64)) -> Result<ChainReport> {
        chain::verify(self.read(), progress).await
    }

    pub fn cursors(&self) -> &Cursors {
        &self.shared.cursors
    }

    pub fn secret(&self) -> &RootSecret {
        &self.shared.secret
    }

    pub fn blobs(&self) -> &Blobs {
        &self.shared.blobs
    }

    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Finishes what is queued, empties the write-ahead log and gives the data directory free. Later calls answer
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        let (done, finished) = oneshot::channel();
        if self.shared.queue.send(Message::Close(done)).await.is_ok() {
            let _ = finished.await;
        }
    }
}

/// The epoch of the cursors; also checks that the secret is the one that this database was made with.
async fn epoch(db: &DatabaseConnection, secret: &RootSecret, restored: bool) -> Result<[u8; 8]> {
    let fingerprint = Digest(secret.subkey(Purpose::Fingerprint)).to_string();
    match meta(db, "secret_fingerprint").await? {
        Some(known) if known != fingerprint => {
            return Err(StoreError::Open(
                "the file `secret` does not belong to this database: restore both from the same backup"
                    .to_owned(),
            ));
        }
        Some(_) => {}
        None => set_meta(db, "secret_fingerprint", &fingerprint).await?,
    }
    if let Some(text) = meta(db, "epoch").await?
        && !restored
    {
        let epoch = u64::from_str_radix(&text, 16);
        return epoch.map(u64::to_be_bytes).map_err(|why| StoreError::corrupt("meta", "value", "epoch", why));
    }
    let epoch = u64::from_be_bytes(random()?);
    set_meta(db, "epoch", &format!("{epoch:016x}")).await?;
    Ok(epoch.to_be_bytes())
}

/// A fact about the workspace as a whole.
pub async fn meta(db: &impl ConnectionTrait, key: &str) -> Result<Option<String>> {
    fetch_value(db, "SELECT value FROM meta WHERE key = $1", vec![key.into()]).await
}

pub async fn set_meta(db: &impl ConnectionTrait, key: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    execute(db, sql, vec![key.into(), value.into()]).await.map(drop)
}
