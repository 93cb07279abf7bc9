//! Backups: a consistent copy of a workspace that is taken while its server runs, and putting it back as a new epoch.
//!
//! A backup is a folder: `manifest.json`, the database (`handfast.db`, or `tables/` of PostgreSQL), `blobs/` and, unless it
//! was left out, `secret`. It is written under another name and renamed when everything is on disk.

mod files;
mod make;
mod manifest;
mod postgres;
mod restore;
mod sqlite;

pub use make::{BackupOptions, backup};
pub use manifest::{Engine, FORMAT, FileEntry, Manifest, TableEntry};
pub use restore::{RestoreOptions, check, restore};

use crate::error::StoreError;
use std::path::Path;

/// Why there is no backup, or nothing was restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// Something is where the result belongs.
    #[error("{0}")]
    Exists(String),
    /// The backup is not as it was made.
    #[error("{0}")]
    Damaged(String),
    /// The backup is sound, but not for this place or this version.
    #[error("{0}")]
    Unfit(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sea_orm::DbErr> for BackupError {
    fn from(error: sea_orm::DbErr) -> BackupError {
        BackupError::Store(error.into())
    }
}

impl From<sea_orm::SqlxError> for BackupError {
    fn from(error: sea_orm::SqlxError) -> BackupError {
        sea_orm::DbErr::Query(sea_orm::RuntimeErr::SqlxError(error.into())).into()
    }
}

pub type Result<T, E = BackupError> = std::result::Result<T, E>;

/// How far it is: what is worked on, bytes done, bytes in all as far as they are known.
pub type Progress<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// A full disk is the one that is written to.
fn io(path: &Path, error: std::io::Error) -> BackupError {
    match StoreError::io(path, error) {
        StoreError::Full => BackupError::Store(StoreError::Io {
            path: path.display().to_string(),
            why: "the disk is full: nothing was kept; free space or choose another place".to_owned(),
        }),
        other => BackupError::Store(other),
    }
}
