//! Uploaded files, kept by their sha-256 under `blobs/`, and the table that says what they are. On PostgreSQL their bytes lie
//! in the database too, since another node may need them; each node's folder is a copy then.

use crate::{
    error::{Result, StoreError},
    rows::{execute, fetch_one, fetch_value, insert_new_rows},
    stopped::Stopped,
    tx::Tx,
};
use handfast_domain::{digest::Digest, time::Instant};
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The folder of files.
#[derive(Clone, Debug)]
pub struct Blobs {
    dir: Arc<Path>,
    drafts: Arc<AtomicU64>,
    /// Where the bytes lie for all nodes.
    shared: Option<DatabaseConnection>,
    stopped: Stopped,
}

/// Bytes of a file that one row of `blob_chunk` holds.
const CHUNK: usize = 256 << 10;

impl Blobs {
    pub(crate) fn open(data_dir: &Path, stopped: Stopped) -> Result<Blobs> {
        let dir = data_dir.join("blobs");
        std::fs::create_dir_all(&dir).map_err(|error| StoreError::io(&dir, error))?;
        // Uploads that a crash cut off; nobody else writes here while we hold the directory's lock.
        for entry in std::fs::read_dir(&dir).map_err(|error| StoreError::io(&dir, error))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(DRAFT) {
                std::fs::remove_file(entry.path()).map_err(|error| StoreError::io(&entry.path(), error))?;
            }
        }
        Ok(Blobs { dir: dir.into(), drafts: Arc::default(), shared: None, stopped })
    }

    /// The same folder as a copy of what the database holds.
    pub(crate) fn shared(self, db: DatabaseConnection) -> Blobs {
        Blobs { shared: Some(db), ..self }
    }

    /// Begins a file of at most `limit` bytes.
    pub async fn create(&self, limit: u64) -> Result<BlobWriter> {
        let draft = self.dir.join(format!("{DRAFT}{}", self.drafts.fetch_add(1, Ordering::Relaxed)));
        let file =
            tokio::fs::File::create_new(&draft).await.map_err(|error| StoreError::io(&draft, error))?;
        let draft = Draft(draft);
        let (dir, shared, stopped) = (self.dir.clone(), self.shared.clone(), self.stopped.clone());
        Ok(BlobWriter { dir, shared, stopped, draft, file, hash: Sha256::new(), size: 0, limit })
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// Where the file lies. One that was uploaded to another node is fetched first; one that is nowhere does not exist there.
    pub async fn file(&self, digest: Digest) -> Result<PathBuf> {
        let path = self.path(digest);
        if let Some(db) = &self.shared
            && !tokio::fs::try_exists(&path).await.map_err(|error| StoreError::io(&path, error))?
        {
            self.fetch(db, digest).await?;
        }
        Ok(path)
    }

    async fn fetch(&self, db: &DatabaseConnection, digest: Digest) -> Result<()> {
        // It is a copy: the one that is written to the database is not written there again.
        let mut writer = Blobs { shared: None, ..self.clone() }.create(u64::MAX).await?;
        let sql = "SELECT body FROM blob_chunk WHERE sha256 = $1 AND number = $2";
        for number in 0i64.. {
            let key = vec![digest.0.to_vec().into(), number.into()];
            let Some(chunk) = fetch_value::<Vec<u8>>(db, sql, key).await? else { break };
            writer.write(&chunk).await?;
        }
        if writer.size == 0 {
            return Ok(());
        }
        match writer.finish().await? {
            (found, _) if found == digest => Ok(()),
            (found, _) => {
                self.remove_copy(found).await?;
                Err(StoreError::Open(format!(
                    "the file {digest} was changed in the database; restore it from a backup"
                )))
            }
        }
    }

    /// The whole file, checked against its digest. A copy that was damaged is fetched again.
    pub async fn read(&self, digest: Digest) -> Result<Vec<u8>> {
        match (self.read_copy(digest).await, &self.shared) {
            (Err(StoreError::Open(_)), Some(db)) => {
                self.fetch(db, digest).await?;
                self.read_copy(digest).await
            }
            (read, _) => read,
        }
    }

    async fn read_copy(&self, digest: Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = tokio::fs::read(&path).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                StoreError::Open(format!("the file {} is missing; restore it from a backup", path.display()))
            }
            _ => StoreError::io(&path, error),
        })?;
        if Digest::of_bytes(&bytes) != digest {
            let message =
                format!("the file {} was changed on disk; restore it from a backup", path.display());
            return Err(StoreError::Open(message));
        }
        Ok(bytes)
    }

    /// Removes the file itself. [`forget`] its row first.
    pub async fn remove(&self, digest: Digest) -> Result<()> {
        if let Some(db) = &self.shared {
            let sql = "DELETE FROM blob_chunk WHERE sha256 = $1";
            execute(db, sql, vec![digest.0.to_vec().into()]).await?;
        }
        self.remove_copy(digest).await
    }

    async fn remove_copy(&self, digest: Digest) -> Result<()> {
        let path = self.path(digest);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(&path, error)),
            _ => Ok(()),
        }
    }
}

/// A file that is being written. Dropped before [`BlobWriter::finish`], it leaves nothing.
pub struct BlobWriter {
    dir: Arc<Path>,
    shared: Option<DatabaseConnection>,
    stopped: Stopped,
    draft: Draft,
    file: tokio::fs::File,
    hash: Sha256,
    size: u64,
    limit: u64,
}

impl BlobWriter {
    pub async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.size += chunk.len() as u64;
        if self.size > self.limit {
            return Err(StoreError::TooLarge { limit: self.limit });
        }
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(|error| StoreError::io(&self.draft.0, error))
    }

    /// Makes the file durable under its digest. [`register`] it then.
    pub async fn finish(mut self) -> Result<(Digest, u64)> {
        let digest = Digest(std::mem::take(&mut self.hash).finalize().into());
        let path = self.dir.join(digest.to_string());
        let failed = |error| StoreError::io(&path, error);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(|error| self.unsynced(failed(error)))?;
        if let Some(db) = &self.shared {
            share(db, digest, &self.draft.0).await?;
        }
        tokio::fs::rename(&self.draft.0, &path).await.map_err(failed)?;
        let dir = self.dir.clone();
        let synced = tokio::task::spawn_blocking(move || sync_directory(&dir)).await;
        synced.map_err(|_| StoreError::Closed)?.map_err(|error| self.unsynced(failed(error)))?;
        Ok((digest, self.size))
    }

    /// Where the database holds the bytes, this is only a copy.
    fn unsynced(&self, error: StoreError) -> StoreError {
        if error == StoreError::Full || self.shared.is_some() {
            return error;
        }
        let error = StoreError::Unsynced(error.to_string());
        self.stopped.tell(&error);
        error
    }
}

/// Writes the bytes where all nodes find them. Whoever wrote some of them before has written the same.
async fn share(db: &DatabaseConnection, digest: Digest, path: &Path) -> Result<()> {
    let failed = |error| StoreError::io(path, error);
    let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
    for number in 0i64.. {
        let mut chunk = Vec::with_capacity(CHUNK);
        if (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await.map_err(failed)? == 0 {
            break;
        }
        let row = vec![digest.0.to_vec().into(), number.into(), chunk.into()];
        let columns = ["sha256", "number", "body"];
        insert_new_rows(db, "blob_chunk", &columns, &["sha256", "number"], vec![row]).await?;
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub digest: Digest,
    pub kind: String,
    pub size: u64,
    pub created_at: Instant,
}

/// Says what a finished file is. The same file twice is one row.
pub async fn register(tx: &Tx, blob: &Blob) -> Result<()> {
    let Blob { digest, kind, size, created_at } = blob;
    let size = i64::try_from(*size).unwrap_or(i64::MAX);
    let row = vec![digest.0.to_vec().into(), kind.as_str().into(), size.into(), created_at.ms().into()];
    let columns = ["sha256", "kind", "size", "created_at"];
    insert_new_rows(tx, "blob", &columns, &["sha256", "kind"], vec![row]).await.map(drop)
}

pub async fn find(db: &impl ConnectionTrait, digest: Digest, kind: &str) -> Result<Option<Blob>> {
    let sql = "SELECT kind, size, created_at FROM blob WHERE sha256 = $1 AND kind = $2";
    let row: Option<Row> = fetch_one(db, sql, vec![digest.0.to_vec().into(), kind.into()]).await?;
    Ok(row.map(|row| Blob {
        digest,
        kind: row.kind,
        size: row.size.unsigned_abs(),
        created_at: Instant(row.created_at),
    }))
}

/// Deletes the row of one kind; answers whether the file serves no other and can be removed.
pub async fn forget(tx: &Tx, digest: Digest, kind: &str) -> Result<bool> {
    let sha = digest.0.to_vec();
    execute(tx, "DELETE FROM blob WHERE sha256 = $1 AND kind = $2", vec![sha.clone().into(), kind.into()])
        .await?;
    let others =
        fetch_one::<Row>(tx, "SELECT kind, size, created_at FROM blob WHERE sha256 = $1", vec![sha.into()]);
    Ok(others.await?.is_none())
}

/// A rename is durable only when its directory is.
pub(crate) fn sync_directory(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

const DRAFT: &str = "draft-";

/// Removes the file when dropped; after the rename there is none of that name.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[derive(FromQueryResult)]
struct Row {
    kind: String,
    size: i64,
    created_at: i64,
}
