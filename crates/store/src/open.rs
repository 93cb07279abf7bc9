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
    funnel::{CampaignCounts, Counts, Kept, Revision},
    lease::{self, Lease},
    mark::{self, Epochs, MarkFault, Marks},
    migrations,
    pool::{self, Deadline},
    postgres::{self, PostgresOptions, Writers},
    rows::{execute, fetch_value},
    secret::{Purpose, RootSecret, random},
    sequencer::{self, Sequencer},
    stopped::Stopped,
    tail::Tail,
    tx::Tx,
    writer::{Message, Writer},
};
use futures_util::future::BoxFuture;
use handfast_domain::time::Clock;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::Instrument;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Holds `handfast.db`, `secret`, `handfast.lock` and `blobs/`. Made if it does not exist.
    pub dir: PathBuf,
    /// Instead of the file `handfast.db`.
    pub postgres: Option<PostgresOptions>,
    pub read_connections: u32,
    pub report_connections: u32,
    /// A statement of a report is stopped after this time.
    pub report_limit: Duration,
    /// A write command is stopped and undone after this time.
    pub command_limit: Duration,
    /// The directory comes from a backup: begins a new epoch, so that older cursors are refused.
    pub restored: bool,
    /// To be looked at: a database that is behind its head mark is opened, too, and the mark stays as it is.
    pub examine: bool,
    /// How long a node of several on PostgreSQL may be silent before another one takes over its work.
    pub lease_term: Duration,
}

impl OpenOptions {
    pub fn new(dir: impl Into<PathBuf>) -> OpenOptions {
        OpenOptions {
            dir: dir.into(),
            postgres: None,
            read_connections: 4,
            report_connections: 2,
            report_limit: Duration::from_secs(10),
            command_limit: Duration::from_secs(10),
            restored: false,
            examine: false,
            lease_term: Duration::from_secs(10),
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
    engine: Engine,
    read: DatabaseConnection,
    reports: DatabaseConnection,
    head: watch::Receiver<i64>,
    leads: watch::Receiver<bool>,
    /// Commands that were carried out here.
    commits: Arc<AtomicU64>,
    numbers: Kept,
    tail: Tail,
    secret: RootSecret,
    cursors: Cursors,
    blobs: Blobs,
    lock: Arc<LockFile>,
    stopped: Stopped,
    marks: Option<Arc<Marks>>,
    mark_fault: Option<MarkFault>,
}

/// What carries out commands.
enum Engine {
    Sqlite {
        queue: mpsc::Sender<Message>,
    },
    Postgres {
        writers: Writers,
        /// Taken by whoever closes the store.
        sequencer: Mutex<Option<oneshot::Sender<oneshot::Sender<()>>>>,
    },
}

/// Counts a command from asking to its acknowledgement.
struct Waiting;

impl Waiting {
    fn new() -> Waiting {
        metrics::gauge!("handfast_writes_waiting").increment(1.0);
        Waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!("handfast_writes_waiting").decrement(1.0);
    }
}

/// Commands that wait for the writer; more wait for a place.
const QUEUE: usize = 1024;
const QUEUE_LIMIT: Duration = Duration::from_secs(10);
/// How long a reader of the feed waits for events that are committed and not yet numbered.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);
pub(crate) const FINGERPRINT: &str = "secret_fingerprint";
pub(crate) const EPOCH: &str = "epoch";
/// Those before it, oldest first.
const FORMER_EPOCHS: &str = "former_epochs";

impl Store {
    pub async fn open(options: OpenOptions) -> Result<Store> {
        let dir = files::prepare(&options.dir)?;
        let lock = Arc::new(LockFile::acquire(&dir)?);
        files::refuse_half_restored(&dir)?;
        let stopped = Stopped::default();
        let blobs = Blobs::open(&dir, stopped.clone())?;
        match options.postgres.clone() {
            None => Store::open_sqlite(dir, lock, blobs, stopped, options).await,
            Some(postgres) => Store::open_postgres(dir, lock, blobs, stopped, options, postgres).await,
        }
    }

    async fn open_sqlite(
        dir: PathBuf,
        lock: Arc<LockFile>,
        blobs: Blobs,
        stopped: Stopped,
        options: OpenOptions,
    ) -> Result<Store> {
        let database = dir.join("handfast.db");
        let secret = RootSecret::load_or_create(&dir.join("secret"), database.exists())?;

        let deadline = Deadline::new();
        // Migrations get a connection of their own: prepared statements do not survive a changed schema.
        let connection = pool::writer(&database, &deadline).await?;
        migrations::migrate(&connection).await?;
        let (epoch, mark_fault) = identity(&connection, &secret, &dir, &options).await?;
        connection.close().await?;

        let connection = pool::writer(&database, &deadline).await?;
        let read = pool::readers(&database, options.read_connections).await?;
        let reports = pool::reports(&database, options.report_connections, options.report_limit).await?;
        let feed_head = feed::load_head(&connection).await?;
        let (publish, head) = watch::channel(feed_head.position);
        let (queue, inbox) = mpsc::channel(QUEUE);
        let commits = Arc::<AtomicU64>::default();
        let marks = marks(&dir, epoch, &options);
        let writer = Writer {
            database,
            connection,
            readers: vec![read.clone(), reports.clone()],
            head: feed_head,
            publish,
            deadline,
            limit: options.command_limit,
            commits: commits.clone(),
            lock: lock.clone(),
            marks: marks.clone(),
            stopped: stopped.clone(),
        };
        follow(&marks, &read, &head);
        tokio::spawn(writer.run(inbox));
        let cursors = Cursors::new(secret.subkey(Purpose::Cursors), epoch);
        let engine = Engine::Sqlite { queue };
        // The lock on the directory lets one process in: it leads.
        let (_, leads) = watch::channel(true);
        let (numbers, tail) = (Kept::default(), Tail::default());
        let shared = Shared {
            dir,
            engine,
            read,
            reports,
            head,
            leads,
            commits,
            numbers,
            tail,
            secret,
            cursors,
            blobs,
            lock,
            stopped,
            marks,
            mark_fault,
        };
        Ok(Store { shared: Arc::new(shared) })
    }

    async fn open_postgres(
        dir: PathBuf,
        lock: Arc<LockFile>,
        blobs: Blobs,
        stopped: Stopped,
        options: OpenOptions,
        postgres: PostgresOptions,
    ) -> Result<Store> {
        postgres::make_schema(&postgres).await?;
        let (secret, epoch, mark_fault) = {
            let setup = postgres::connect(&postgres, 1, Duration::from_secs(600), false).await?;
            // Nodes that start together take turns; the lock ends with the connection.
            let key = postgres::setup_key(&postgres.schema);
            setup.execute_unprepared(&format!("SELECT pg_advisory_lock({key})")).await?;
            if !migrations::is_current(&setup).await? {
                let key = postgres::lock_key(&postgres.schema);
                setup.execute_unprepared(&format!("SELECT pg_advisory_lock({key})")).await?;
            }
            migrations::migrate(&setup).await?;
            let known = meta(&setup, FINGERPRINT).await?.is_some();
            let secret = RootSecret::load_or_create(&dir.join("secret"), known)?;
            let (epoch, mark_fault) = identity(&setup, &secret, &dir, &options).await?;
            setup.close().await?;
            (secret, epoch, mark_fault)
        };

        let minute = Duration::from_secs(60);
        let read = postgres::connect(&postgres, options.read_connections, minute, true).await?;
        let reports =
            postgres::connect(&postgres, options.report_connections, options.report_limit, true).await?;
        let write =
            postgres::connect(&postgres, postgres.write_connections, postgres::QUEUE_LIMIT, false).await?;
        let own = postgres::connect(&postgres, 2, options.command_limit, false).await?;
        let (publish, head) = watch::channel(sequencer::head(&read).await?.position);
        let (lead, leads) = watch::channel(false);
        let marks = marks(&dir, epoch, &options);
        follow(&marks, &read, &head);
        let committed = Arc::new(Notify::new());
        let holder = format!("{:016x}", u64::from_be_bytes(random()?));
        let schema = postgres.schema;
        let sequencer = Sequencer {
            db: own,
            schema: schema.clone(),
            lease: Lease::new(sequencer::SEQUENCER, holder, options.lease_term),
            committed: committed.clone(),
            publish,
            leads: lead,
        };
        let (close, closing) = oneshot::channel();
        tokio::spawn(sequencer.run(closing));
        let commits = Arc::<AtomicU64>::default();
        let blobs = blobs.shared(write.clone());
        let writers = Writers::new(write, schema, options.command_limit, committed, commits.clone());
        let cursors = Cursors::new(secret.subkey(Purpose::Cursors), epoch);
        let engine = Engine::Postgres { writers, sequencer: Mutex::new(Some(close)) };
        let (numbers, tail) = (Kept::default(), Tail::default());
        let shared = Shared {
            dir,
            engine,
            read,
            reports,
            head,
            leads,
            commits,
            numbers,
            tail,
            secret,
            cursors,
            blobs,
            lock,
            stopped,
            marks,
            mark_fault,
        };
        Ok(Store { shared: Arc::new(shared) })
    }

    /// Runs `work` in a transaction, while nobody else writes, and answers when it is committed on disk, or undone.
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
        self.carry_out(work, true).await
    }

    /// [`Store::try_write`] for a command that may run beside others of its kind: it locks the rows that it was decided
    /// from before it changes anything, and answers a conflict when they are not as they were. SQLite has one writer, so
    /// that there it is alone all the same.
    pub async fn try_write_beside<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.carry_out(work, false).await
    }

    async fn carry_out<T, E, F>(&self, work: F, alone: bool) -> Result<T, E>
    where
        F: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if inside_command() {
            return Err(StoreError::Nested.into());
        }
        if let Some(why) = self.shared.stopped.why() {
            return Err(why.into());
        }
        let began = Instant::now();
        let _waiting = Waiting::new();
        let (answer, result) = oneshot::channel();
        let command = Box::new(Task { work, answer });
        match &self.shared.engine {
            Engine::Postgres { writers, .. } => writers.start(command, alone).await,
            Engine::Sqlite { queue } => {
                let sent = queue.send_timeout(Message::Run(command), QUEUE_LIMIT).await;
                sent.map_err(|error| match error {
                    mpsc::error::SendTimeoutError::Timeout(_) => StoreError::Busy(format!(
                        "{QUEUE} changes wait to be written, none was taken in {QUEUE_LIMIT:?}"
                    )),
                    mpsc::error::SendTimeoutError::Closed(_) => StoreError::Closed,
                })?;
            }
        }
        let span = tracing::debug_span!(target: crate::SPANS, "write");
        let ended = result.instrument(span).await.map_err(|_| E::from(StoreError::Closed))?;
        let word = if ended.is_ok() { "ok" } else { "undone" };
        metrics::counter!("handfast_writes_total", "result" => word).increment(1);
        metrics::histogram!("handfast_write_seconds").record(began.elapsed());
        ended
    }

    /// The read-only pool, for queries whose cost is bounded. Threads for long work get that of reports: twenty pages of an
    /// answer at once would take every connection from all others.
    pub fn read(&self) -> &DatabaseConnection {
        if pool::is_patient() { &self.shared.reports } else { &self.shared.read }
    }

    /// A small pool of its own for aggregates, so that they cannot starve the other queries.
    pub fn reports(&self) -> &DatabaseConnection {
        &self.shared.reports
    }

    /// Whether other processes may work on the same workspace.
    pub fn is_shared(&self) -> bool {
        self.dialect() == Dialect::Postgres
    }

    /// Says so when this process has stopped writing because its disk failed; reading goes on.
    pub fn stopped(&self) -> watch::Receiver<Option<StoreError>> {
        self.shared.stopped.watch()
    }

    pub fn dialect(&self) -> Dialect {
        Dialect::of(self.shared.read.get_database_backend())
    }

    /// The newest position of the feed; changes wake those who wait for it.
    pub fn head(&self) -> watch::Receiver<i64> {
        self.shared.head.clone()
    }

    /// Waits until this node is the one that does what only one may do: numbering the feed, timers, imports.
    pub async fn lead(&self) {
        // An error means that the store is closed; then nothing is done any more anyway.
        let _ = self.shared.leads.clone().wait_for(|leads| *leads).await;
    }

    /// By how many milliseconds a node's clock is ahead of the database's, by which all nodes can be held against each other.
    /// A process that is alone has only its own.
    pub async fn clock_ahead(&self, clock: &dyn Clock) -> Result<i64> {
        if !self.is_shared() {
            return Ok(0);
        }
        let before = clock.now().0;
        let database = lease::now(self.read()).await?;
        // It was told at some moment between the two.
        Ok((before - database).max(0) + (clock.now().0 - database).min(0))
    }

    /// Whether this node is that one now.
    pub fn leads(&self) -> bool {
        *self.shared.leads.borrow()
    }

    /// Waits until everything that was committed before this call can be read from the feed. On SQLite it always can.
    pub async fn settle(&self) -> Result<()> {
        if let Engine::Postgres { writers, .. } = &self.shared.engine {
            writers.committed.notify_one();
            let end = sequencer::end(self.read()).await?;
            let mut head = self.head();
            let reached = head.wait_for(|position| *position >= end);
            // No node numbers now: what is numbered can still be read.
            let _ = tokio::time::timeout(SETTLE_LIMIT, reached).await;
        }
        Ok(())
    }

    /// Up to `limit` events after `position` that pass `filter`, in order.
    pub async fn events_after(&self, position: i64, limit: usize, filter: &EventFilter) -> Result<EventPage> {
        let head = *self.shared.head.borrow();
        self.shared.tail.events_after(self.read(), position, head, limit, filter).await
    }

    /// Where leads stand, from counters that each change keeps. Between changes nothing is read.
    pub async fn funnel(&self) -> Result<Arc<Counts>> {
        self.shared.numbers.funnel(self.read(), self.revision()).await
    }

    /// Results of any number of campaigns, by one statement for those that are not known. Between changes nothing is read.
    pub async fn campaign_results(&self, campaigns: &[Uuid]) -> Result<BTreeMap<Uuid, Arc<CampaignCounts>>> {
        self.shared.numbers.campaigns(self.read(), self.revision(), campaigns).await
    }

    /// Results of a campaign that were read since the last change.
    pub fn known_results(&self, campaign: Uuid) -> Option<Arc<CampaignCounts>> {
        self.shared.numbers.known(self.revision(), campaign)
    }

    fn revision(&self) -> Revision {
        (*self.shared.head.borrow(), self.shared.commits.load(Ordering::Acquire))
    }

    /// Reads the whole log and checks its hash chain; `progress` gets (rows checked, rows in all).
    pub async fn verify_chain(&self, progress: impl FnMut(i64, i64)) -> Result<ChainReport> {
        chain::verify(self.read(), progress).await
    }

    /// [`Store::verify_chain`] of the newest `rows` alone.
    pub async fn verify_newest(&self, rows: i64, progress: impl FnMut(i64, i64)) -> Result<ChainReport> {
        chain::verify_newest(self.read(), rows, progress).await
    }

    /// How the database is not the one that was seen here before. Only a store that was opened to be looked at has a fault.
    pub fn mark_fault(&self) -> Option<&MarkFault> {
        self.shared.mark_fault.as_ref()
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

    /// After something was deleted that must not be found again: waits until the file of the write-ahead log holds none of it,
    /// for as long as `limit`. Answers whether it does. PostgreSQL reuses the room of deleted rows when it vacuums.
    pub async fn scrub(&self, limit: Duration) -> bool {
        let Engine::Sqlite { queue } = &self.shared.engine else { return true };
        let until = tokio::time::Instant::now() + limit;
        loop {
            let (done, empty) = oneshot::channel();
            if queue.send(Message::Empty(done)).await.is_err() {
                return false;
            }
            if empty.await.unwrap_or(false) {
                return true;
            }
            if tokio::time::Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Finishes what is queued, empties the write-ahead log and gives the data directory free. Later calls answer
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        let Shared { engine, read, reports, lock, marks, head, .. } = &*self.shared;
        match engine {
            Engine::Sqlite { queue } => {
                let (done, finished) = oneshot::channel();
                if queue.send(Message::Close(done)).await.is_ok() {
                    let _ = finished.await;
                }
            }
            Engine::Postgres { writers, sequencer } => {
                writers.close().await;
                let sequencer = sequencer.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(sequencer) = sequencer {
                    let (done, finished) = oneshot::channel();
                    if sequencer.send(done).is_ok() {
                        let _ = finished.await;
                    }
                }
                if let Some(marks) = marks {
                    let position = *head.borrow();
                    marks.keep(read, position).await;
                }
                for pool in [read, reports] {
                    let _ = tokio::time::timeout(Duration::from_secs(5), pool.close_by_ref()).await;
                }
                lock.release();
            }
        }
    }
}

/// The epoch of the cursors. Also checks that the secret is the one that this database was made with, and the database
/// the one that this directory has seen.
async fn identity(
    db: &DatabaseConnection,
    secret: &RootSecret,
    dir: &Path,
    options: &OpenOptions,
) -> Result<([u8; 8], Option<MarkFault>)> {
    let fingerprint = secret.fingerprint();
    match meta(db, FINGERPRINT).await? {
        Some(known) if known != fingerprint => {
            return Err(StoreError::Open(
                "the file `secret` does not belong to this database: restore both from the same backup"
                    .to_owned(),
            ));
        }
        Some(_) => {}
        None => set_meta(db, FINGERPRINT, &fingerprint).await?,
    }
    let epochs = match epochs(db).await? {
        Some(epochs) if !options.restored => epochs,
        _ => begin_epoch(db).await?,
    };
    let epoch = u64::from_str_radix(&epochs.now, 16)
        .map_err(|why| StoreError::corrupt("meta", "value", "epoch", why))?;
    let mut fault = None;
    if !options.restored
        && let Some(mark) = mark::read(dir)?
    {
        fault = mark::check(db, &mark, &epochs, feed::highest_given(db).await?).await?;
    }
    match fault {
        Some(fault) if !options.examine => Err(fault.refusal(dir)),
        fault => Ok((epoch.to_be_bytes(), fault)),
    }
}

async fn epochs(db: &impl ConnectionTrait) -> Result<Option<Epochs>> {
    let former = meta(db, FORMER_EPOCHS).await?.unwrap_or_default();
    let former = former.split_whitespace().map(str::to_owned).collect();
    Ok(meta(db, EPOCH).await?.map(|now| Epochs { now, former }))
}

/// Cursors of the epochs before are refused from now on.
pub(crate) async fn begin_epoch(db: &impl ConnectionTrait) -> Result<Epochs> {
    let mut former = vec![];
    if let Some(epochs) = epochs(db).await? {
        former = epochs.former;
        former.push(epochs.now);
        // Before the epoch: a crash between the two must not make this one a stranger.
        set_meta(db, FORMER_EPOCHS, &former.join(" ")).await?;
    }
    let now = format!("{:016x}", u64::from_be_bytes(random()?));
    set_meta(db, EPOCH, &now).await?;
    Ok(Epochs { now, former })
}

/// Whoever only looks leaves no mark.
fn marks(dir: &Path, epoch: [u8; 8], options: &OpenOptions) -> Option<Arc<Marks>> {
    let epoch = format!("{:016x}", u64::from_be_bytes(epoch));
    (!options.examine).then(|| Arc::new(Marks::new(dir, epoch)))
}

fn follow(marks: &Option<Arc<Marks>>, read: &DatabaseConnection, head: &watch::Receiver<i64>) {
    if let Some(marks) = marks {
        let mut head = head.clone();
        // What stands there now is marked, too: a new epoch makes the old mark worthless.
        head.mark_changed();
        tokio::spawn(marks.clone().follow(read.clone(), head));
    }
}

/// A fact about the workspace as a whole.
pub async fn meta(db: &impl ConnectionTrait, key: &str) -> Result<Option<String>> {
    fetch_value(db, "SELECT value FROM meta WHERE key = $1", vec![key.into()]).await
}

pub async fn set_meta(db: &impl ConnectionTrait, key: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    execute(db, sql, vec![key.into(), value.into()]).await.map(drop)
}
