//! The one task that writes: takes the queued commands together, a SAVEPOINT each and one COMMIT for all, and answers
//! only then. A connection that failed in any unexpected way is thrown away, never repaired.

use crate::{
    command::{Ack, Command},
    error::{Result, StoreError},
    feed::{self, FeedHead},
    files::LockFile,
    mark::Marks,
    pool::{self, Deadline},
    stopped::Stopped,
    tx::Tx,
};
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// Commands in one COMMIT.
const GROUP: usize = 64;
/// A group stops taking commands after this time, so that slow ones do not delay the acknowledgement of the others.
const GROUP_TIME: Duration = Duration::from_millis(50);

pub(crate) enum Message {
    Run(Box<dyn Command>),
    /// Empty the write-ahead log; answers whether that could be done now.
    Empty(oneshot::Sender<bool>),
    /// Finish what is queued, close everything, answer.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    pub database: PathBuf,
    pub connection: DatabaseConnection,
    /// Closed before the last checkpoint, so that it can empty the write-ahead log.
    pub readers: Vec<DatabaseConnection>,
    pub head: FeedHead,
    pub publish: watch::Sender<i64>,
    pub deadline: Deadline,
    pub limit: Duration,
    /// Counts the groups that were committed.
    pub commits: Arc<AtomicU64>,
    /// Held until the last write is done, whoever dropped the store.
    pub lock: Arc<LockFile>,
    pub stopped: Stopped,
    /// The last mark is made when the last write is done.
    pub marks: Option<Arc<Marks>>,
}

impl Writer {
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut queue = VecDeque::with_capacity(GROUP);
        let mut messages = Vec::with_capacity(GROUP);
        let (mut closing, mut emptying) = (Vec::new(), Vec::new());
        let mut failures = 0;
        while !queue.is_empty() || inbox.recv_many(&mut messages, GROUP).await > 0 {
            for message in messages.drain(..) {
                match message {
                    Message::Run(command) => queue.push_back(command),
                    Message::Empty(done) => emptying.push(done),
                    Message::Close(done) => {
                        inbox.close();
                        closing.push(done);
                    }
                }
            }
            let waiting = queue.len();
            if let Err(reason) = self.run_group(&mut queue).await {
                if let StoreError::Unsynced(_) = reason {
                    self.stop(reason, &mut queue, &mut inbox, &mut closing).await;
                    break;
                }
                tracing::warn!(%reason, "the write connection failed and is replaced");
                // Commands that have not run get another chance, once: a database that cannot even begin is down.
                failures = if queue.len() == waiting { failures + 1 } else { 0 };
                if failures > 1 {
                    queue.drain(..).for_each(|command| command.fail(reason.clone()));
                }
                self.reconnect(&mut queue, &mut inbox).await;
            } else {
                failures = 0;
            }
            if !emptying.is_empty() {
                let empty = pool::empty_log(&self.connection).await.unwrap_or(false);
                for done in emptying.drain(..) {
                    let _ = done.send(empty);
                }
            }
        }
        self.finish().await;
        for done in closing {
            let _ = done.send(());
        }
    }

    /// An error means that the connection must be thrown away. Commands that have not run stay in the queue.
    async fn run_group(&mut self, queue: &mut VecDeque<Box<dyn Command>>) -> Result<()> {
        if queue.is_empty() {
            return Ok(());
        }
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let outer = self.connection.begin_with_options(immediate).await?;
        if queue.len() == 1
            && let Some(command) = queue.pop_front()
        {
            return self.run_alone(outer, command).await;
        }
        let started = Instant::now();
        let mut head = self.head;
        let mut acks: Vec<Ack> = Vec::with_capacity(queue.len());
        while started.elapsed() < GROUP_TIME
            && let Some(command) = queue.pop_front()
        {
            let savepoint = match outer.begin().await {
                Ok(savepoint) => savepoint,
                Err(error) => {
                    queue.push_front(command);
                    return Err(undo(acks, error.into()));
                }
            };
            let tx = Tx::new(savepoint, head);
            let ended = self.run_command(command, &tx).await;
            let (broken, new_head, savepoint) = (tx.broken(), tx.head(), tx.into_connection());
            match ended {
                Ok(ack) => {
                    acks.push(ack);
                    if let Err(error) = savepoint.commit().await {
                        return Err(undo(acks, broken.unwrap_or_else(|| error.into())));
                    }
                    head = new_head;
                }
                Err(ack) => {
                    let undone = savepoint.rollback().await;
                    self.deadline.clear();
                    ack(Ok(()));
                    if let Err(error) = undone {
                        return Err(undo(acks, broken.unwrap_or_else(|| error.into())));
                    }
                }
            }
        }
        self.commit(outer, head, acks).await
    }

    /// Without company a command needs no savepoint: two round trips less.
    async fn run_alone(&mut self, outer: DatabaseTransaction, command: Box<dyn Command>) -> Result<()> {
        let tx = Tx::new(outer, self.head);
        let ended = self.run_command(command, &tx).await;
        let (broken, head, outer) = (tx.broken(), tx.head(), tx.into_connection());
        match ended {
            Ok(ack) => self.commit(outer, head, vec![ack]).await,
            Err(ack) => {
                let undone = outer.rollback().await;
                self.deadline.clear();
                ack(Ok(()));
                undone.map_err(|error| broken.unwrap_or_else(|| error.into()))
            }
        }
    }

    async fn run_command(&self, command: Box<dyn Command>, tx: &Tx) -> Result<Ack, Ack> {
        self.deadline.set(self.limit);
        let ended = command.run(tx, self.limit).await;
        // A statement that outlived its command still holds the connection: the limit stays until it has ended.
        if ended.is_ok() {
            self.deadline.clear();
        }
        ended
    }

    async fn commit(&mut self, outer: DatabaseTransaction, head: FeedHead, acks: Vec<Ack>) -> Result<()> {
        let ended = outer.commit().await;
        self.commits.fetch_add(1, Ordering::Release);
        match ended {
            Ok(()) => {
                self.set_head(head);
                acks.into_iter().for_each(|ack| ack(Ok(())));
                Ok(())
            }
            Err(error) => {
                let reason = match StoreError::from(error) {
                    known @ (StoreError::Full | StoreError::Unsynced(_)) => known,
                    other => StoreError::Unknown(other.to_string()),
                };
                acks.into_iter().for_each(|ack| ack(Err(reason.clone())));
                Err(reason)
            }
        }
    }

    fn set_head(&mut self, head: FeedHead) {
        self.head = head;
        self.publish.send_if_modified(|position| std::mem::replace(position, head.position) != head.position);
    }

    /// Tries until it has a connection; meanwhile commands are answered with the reason instead of waiting.
    async fn reconnect(
        &mut self,
        queue: &mut VecDeque<Box<dyn Command>>,
        inbox: &mut mpsc::Receiver<Message>,
    ) {
        let _ = timeout(Duration::from_secs(5), self.connection.close_by_ref()).await;
        self.deadline.clear();
        let mut pause = Duration::from_millis(50);
        loop {
            match self.connect().await {
                Ok(()) => return,
                Err(reason) => {
                    tracing::error!(%reason, "the database cannot be opened for writing");
                    queue.drain(..).for_each(|command| command.fail(reason.clone()));
                    let until = Instant::now() + pause;
                    while let Some(left) = until.checked_duration_since(Instant::now()) {
                        match timeout(left, inbox.recv()).await {
                            Ok(Some(Message::Run(command))) => command.fail(reason.clone()),
                            // Nobody can be told more than this: the sender is dropped and the loop above ends.
                            Ok(Some(Message::Empty(_))) => {}
                            Ok(Some(Message::Close(_))) => inbox.close(),
                            Ok(None) => return,
                            Err(_) => break,
                        }
                    }
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<()> {
        self.connection = pool::writer(&self.database, &self.deadline).await?;
        // On a full disk this gives back the room of the write-ahead log; elsewhere it is cheap.
        let _ = pool::checkpoint(&self.connection).await;
        let head = feed::load_head(&self.connection).await?;
        self.set_head(head);
        Ok(())
    }

    /// No sync is tried again, and no checkpoint: what the log's file holds may not be what this process wrote to it. The
    /// next process reads it with its checksums.
    async fn stop(
        &mut self,
        reason: StoreError,
        queue: &mut VecDeque<Box<dyn Command>>,
        inbox: &mut mpsc::Receiver<Message>,
        closing: &mut Vec<oneshot::Sender<()>>,
    ) {
        tracing::error!(%reason, "nothing is written any more");
        self.stopped.tell(&reason);
        queue.drain(..).for_each(|command| command.fail(reason.clone()));
        while let Some(message) = inbox.recv().await {
            match message {
                Message::Run(command) => command.fail(reason.clone()),
                Message::Empty(_) => {}
                Message::Close(done) => {
                    inbox.close();
                    closing.push(done);
                }
            }
        }
    }

    async fn finish(self) {
        if self.stopped.why().is_some() {
            // Whoever only reads makes no checkpoint when it is the last to go.
            let _ = timeout(Duration::from_secs(5), self.connection.close_by_ref()).await;
        }
        for reader in &self.readers {
            let _ = timeout(Duration::from_secs(5), reader.close_by_ref()).await;
        }
        if self.stopped.why().is_none()
            && let Err(error) = pool::checkpoint(&self.connection).await
        {
            tracing::warn!(%error, "the write-ahead log was not emptied: the next start will do it");
        }
        let _ = timeout(Duration::from_secs(5), self.connection.close_by_ref()).await;
        if let Some(marks) = &self.marks
            && self.head.position > 0
        {
            marks.put(self.head);
        }
        self.lock.release();
    }
}

/// The group is lost: nobody's work in it was kept.
fn undo(acks: Vec<Ack>, reason: StoreError) -> StoreError {
    let answer = match &reason {
        StoreError::Full => StoreError::Full,
        other => StoreError::Aborted(other.to_string()),
    };
    acks.into_iter().for_each(|ack| ack(Err(answer.clone())));
    reason
}
