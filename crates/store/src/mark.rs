//! The head mark: where the feed ended when this process last looked, in a file beside the database. A database that was put
//! back to an older state behind our back is found by it at the next start.
//!
//! It is not synced, and so costs the write path nothing: what it says was durable before it was said.

use crate::{
    error::{Result, StoreError},
    feed::FeedHead,
    rows::fetch_value,
};
use handfast_domain::digest::Digest;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// The file's name in the data directory.
const FILE: &str = "head-mark";
/// How often it is written while the head moves.
const EVERY: Duration = Duration::from_secs(1);

/// What one process saw of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadMark {
    /// Of the cursors, in hexadecimal digits.
    pub epoch: String,
    pub position: i64,
    /// The hash that stands for the log up to there.
    pub chain: Digest,
}

/// How a database is not the one that the mark speaks of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkFault {
    #[error(
        "the feed ends at position {head}, but position {marked} was seen here before: newer changes are gone"
    )]
    Behind { marked: i64, head: i64 },
    #[error("the feed's row {marked} is not the one that was seen here before: the log is another one")]
    OtherChain { marked: i64 },
    #[error("the epoch {epoch} that was seen here before is none of this database's: it is another database")]
    OtherEpoch { epoch: String },
}

impl MarkFault {
    /// Why the store is not opened, and what to do.
    pub(crate) fn refusal(&self, dir: &Path) -> StoreError {
        StoreError::Open(format!(
            "the database is behind its own head mark ({}): {self}. Was an older copy put back? For the newest state, \
             `handfast restore` the newest backup into an empty directory. To go on from this state, start once with \
             `handfast serve --restored`: it begins a new epoch, so that subscribers are told to read again",
            dir.join(FILE).display()
        ))
    }
}

/// The mark of a data directory; none before the first second of the first process.
pub(crate) fn read(dir: &Path) -> Result<Option<HeadMark>> {
    let path = dir.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            let mark = serde_json::from_slice(&bytes);
            // A power cut may leave it empty, since it is not synced. It says nothing then, and the log is whole.
            if let Err(error) = &mark {
                tracing::warn!(path = %path.display(), %error, "the head mark cannot be read and is made again");
            }
            Ok(mark.ok())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(&path, error)),
    }
}

/// Holds a mark against the database. An epoch that began after the one of the mark was begun on purpose.
pub(crate) async fn check(
    db: &impl ConnectionTrait,
    mark: &HeadMark,
    epochs: &Epochs,
    head: i64,
) -> Result<Option<MarkFault>> {
    if epochs.former.contains(&mark.epoch) {
        return Ok(None);
    }
    if epochs.now != mark.epoch {
        return Ok(Some(MarkFault::OtherEpoch { epoch: mark.epoch.clone() }));
    }
    let marked = mark.position;
    if head < marked {
        return Ok(Some(MarkFault::Behind { marked, head }));
    }
    let same = marked == 0 || chain_at(db, marked).await? == Some(mark.chain);
    Ok((!same).then_some(MarkFault::OtherChain { marked }))
}

async fn chain_at(db: &impl ConnectionTrait, position: i64) -> Result<Option<Digest>> {
    let sql = "SELECT chain FROM feed WHERE position = $1";
    let chain: Option<Vec<u8>> = fetch_value(db, sql, vec![position.into()]).await?;
    Ok(chain.and_then(|chain| chain.try_into().ok()).map(Digest))
}

/// The epoch that cursors belong to, and those before it, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epochs {
    pub now: String,
    pub former: Vec<String>,
}

/// Writes the mark.
pub(crate) struct Marks {
    path: PathBuf,
    epoch: String,
}

impl Marks {
    pub fn new(dir: &Path, epoch: String) -> Marks {
        Marks { path: dir.join(FILE), epoch }
    }

    /// A disk that is full, or worse, is noticed by the writer; the old mark still holds then.
    pub fn put(&self, head: FeedHead) {
        let mark = HeadMark { epoch: self.epoch.clone(), position: head.position, chain: Digest(head.chain) };
        let draft = self.path.with_extension("new");
        let bytes = serde_json::to_vec(&mark).unwrap_or_default();
        if let Err(error) = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, &self.path)) {
            tracing::debug!(%error, "the head mark was not written");
        }
    }

    /// Reads the hash that belongs to a position, and writes the mark.
    pub async fn keep(&self, db: &impl ConnectionTrait, position: i64) {
        if let Ok(Some(Digest(chain))) = chain_at(db, position).await {
            self.put(FeedHead { position, chain });
        }
    }

    /// Follows the head until the store is closed, which writes the last mark itself.
    pub async fn follow(self: Arc<Self>, db: DatabaseConnection, mut head: watch::Receiver<i64>) {
        while head.changed().await.is_ok() {
            let position = *head.borrow_and_update();
            self.keep(&db, position).await;
            tokio::time::sleep(EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_a_power_cut_tore_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Ok(None));
        Marks::new(dir.path(), "00".into()).put(FeedHead { position: 7, chain: [1; 32] });
        let mark = HeadMark { epoch: "00".into(), position: 7, chain: Digest([1; 32]) };
        assert_eq!(read(dir.path()), Ok(Some(mark)));
        for torn in ["", "{\"epoch\":", "\0\0\0"] {
            fs::write(dir.path().join(FILE), torn).unwrap();
            assert_eq!(read(dir.path()), Ok(None), "{torn:?}");
        }
    }
}
