//! Uploaded files, kept by their sha-256 under `blobs/`, and the table that says what they are.

use crate::{
    error::{Result, StoreError},
    rows::{execute, fetch_one, insert_new_rows},
    tx::Tx,
};
use handfast_domain::{digest::Digest, time::Instant};
use sea_orm::{ConnectionTrait, FromQueryResult};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::io::AsyncWriteExt;

/// The folder of files.
#[derive(Clone, Debug)]
pub struct Blobs {
    dir: Arc<Path>,
    drafts: Arc<AtomicU64>,
}

impl Blobs {
    pub(crate) fn open(data_dir: &Path) -> Result<Blobs> {
        let dir = data_dir.join("blobs");
        std::fs::create_dir_all(&dir).map_err(|error| StoreError::io(&dir, error))?;
        // Uploads that a crash cut off; nobody else writes here while we hold the directory's lock.
        for entry in std::fs::read_dir(&dir).map_err(|error| StoreError::io(&dir, error))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(DRAFT) {
                std::fs::remove_file(entry.path()).map_err(|error| StoreError::io(&entry.path(), error))?;
            }
        }
        Ok(Blobs { dir: dir.into(), drafts: Arc::default() })
    }

    /// Begins a file of at most `limit` bytes.
    pub async fn create(&self, limit: u64) -> Result<BlobWriter> {
        let draft = self.dir.join(format!("{DRAFT}{}", self.drafts.fetch_add(1, Ordering::Relaxed)));
        let file =
            tokio::fs::File::create_new(&draft).await.map_err(|error| StoreError::io(&draft, error))?;
        let draft = Draft(draft);
        Ok(BlobWriter { dir: self.dir.clone(), draft, file, hash: Sha256::new(), size: 0, limit })
    }

    /// Where the file lies, whether or not it exists.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// The whole file, checked against its digest.
    pub async fn read(&self, digest: Digest) -> Result<Vec<u8>> {
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
        let digest = Digest(self.hash.finalize().into());
        let path = self.dir.join(digest.to_string());
        let failed = |error| StoreError::io(&path, error);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        tokio::fs::rename(&self.draft.0, &path).await.map_err(failed)?;
        let dir = self.dir.clone();
        let synced = tokio::task::spawn_blocking(move || sync_directory(&dir)).await;
        synced.map_err(|_| StoreError::Closed)?.map_err(failed)?;
        Ok((digest, self.size))
    }
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
