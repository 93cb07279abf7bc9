//! What the store answers when it cannot do what it was asked: one enum, from the drivers' errors to the caller's words.

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlxError};
use std::{path::Path, time::Duration};

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{0} does not exist")]
    NotFound(String),
    #[error(
        "the row was changed meanwhile, its version is now {current}: read it again and repeat the change"
    )]
    VersionConflict { current: i64 },
    #[error("a row with the same key exists already ({constraint})")]
    Conflict { constraint: String },
    /// Two commands waited for each other, and this one was undone.
    #[error("another change of the same rows was faster ({0}): nothing was changed; repeat the request")]
    Overtaken(String),
    #[error(
        "the idempotency key `{key}` was used before with another input: take a new key for a new request"
    )]
    IdempotencyKeyReused { key: String },
    #[error("the disk that holds the data directory is full: nothing was changed; free space and repeat")]
    Full,
    /// A sync failed. What the kernel dropped then it does not try to write again, so that no later sync can be believed.
    #[error(
        "the disk did not keep what was written ({0}): nothing is written any more; check the disk, then start the server again"
    )]
    Unsynced(String),
    #[error("the database is busy ({0}): nothing was changed; repeat the request")]
    Busy(String),
    #[error("{0}")]
    Timeout(String),
    /// Not the fault of this command, and nothing of it was applied.
    #[error("the change was undone together with its group ({0}): nothing was changed; repeat the request")]
    Aborted(String),
    /// The COMMIT itself failed, so only the database knows.
    #[error(
        "the connection broke while the change was committed ({0}): repeat it with the same idempotency key"
    )]
    Unknown(String),
    #[error("the command panicked and was undone: {0}")]
    Panicked(String),
    #[error(
        "a write command called `write` again: it would wait for itself for ever; use its own transaction"
    )]
    Nested,
    #[error("table `{table}`, column `{column}`, row {id}: {why}; restore the row from a backup")]
    Corrupt { table: String, column: String, id: String, why: String },
    #[error("the store is closed")]
    Closed,
    #[error("{dir} is in use by {process}; stop it or choose another --data-dir")]
    InUse { dir: String, process: String },
    /// Why the store could not be opened, with the remedy.
    #[error("{0}")]
    Open(String),
    #[error("{path}: {why}")]
    Io { path: String, why: String },
    #[error("a file of more than {limit} bytes: split it or raise the limit for this kind")]
    TooLarge { limit: u64 },
    #[error("database: {0}")]
    Db(String),
}

impl StoreError {
    /// For a value that was read but is not one that we ever write.
    pub fn corrupt(table: &str, column: &str, id: impl ToString, why: impl ToString) -> StoreError {
        StoreError::Corrupt {
            table: table.to_owned(),
            column: column.to_owned(),
            id: id.to_string(),
            why: why.to_string(),
        }
    }

    /// True when the same request may well succeed on the next attempt.
    pub fn retryable(&self) -> bool {
        matches!(self, StoreError::Busy(_) | StoreError::Aborted(_) | StoreError::Overtaken(_))
    }

    pub(crate) fn io(path: &Path, error: std::io::Error) -> StoreError {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full,
            _ => StoreError::Io { path: path.display().to_string(), why: error.to_string() },
        }
    }

    pub(crate) fn command_timeout(limit: Duration) -> StoreError {
        StoreError::Timeout(format!(
            "the command ran longer than {} ms and was undone: split it into smaller ones",
            limit.as_millis()
        ))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> StoreError {
        if let Some(code) = code_of(&error) {
            let text = error.to_string();
            // The low byte of SQLite's code is the class. PostgreSQL's codes have five characters.
            return match (code.parse::<i32>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff), code.as_str()) {
                (Some(FULL), _) | (_, "53100" | IOERR_SHMSIZE) => StoreError::Full,
                (Some(IOERR), IOERR_FSYNC | IOERR_DIR_FSYNC) => StoreError::Unsynced(text),
                (Some(BUSY | LOCKED), _) | (_, "55P03" | "53300") => StoreError::Busy(text),
                (_, "40001" | "40P01") => StoreError::Overtaken(text),
                (Some(INTERRUPT), _) | (_, "57014") => StoreError::Timeout(
                    "the statement ran longer than its time limit and was stopped: narrow the period or the filter"
                        .to_owned(),
                ),
                (Some(CONSTRAINT), "1555" | "2067" | "2579") => {
                    StoreError::Conflict { constraint: after_colon(&text) }
                }
                (_, "23505") => StoreError::Conflict { constraint: in_quotes(&text) },
                _ => StoreError::Db(text),
            };
        }
        match error {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => {
                StoreError::Busy("no connection became free in time".to_owned())
            }
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => StoreError::Closed,
            other => StoreError::Db(other.to_string()),
        }
    }
}

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CONSTRAINT: i32 = 19;
const IOERR_FSYNC: &str = "1034";
const IOERR_DIR_FSYNC: &str = "1290";
/// The index of the write-ahead log finds no room to grow.
const IOERR_SHMSIZE: &str = "4874";

/// True for the errors after which SQLite may have rolled the whole transaction back by itself: whatever ran next would
/// be committed on its own.
pub(crate) fn breaks_transaction(error: &DbErr) -> bool {
    match code_of(error) {
        Some(code) => code
            .parse::<i32>()
            .is_ok_and(|code| matches!(code & 0xff, BUSY | NOMEM | INTERRUPT | IOERR | CORRUPT | FULL)),
        // A dead worker or a lost connection; a value that cannot be decoded is harmless.
        None => {
            matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_))
                || sqlx_error(error).is_some_and(|error| {
                    matches!(error, SqlxError::WorkerCrashed | SqlxError::Io(_) | SqlxError::Protocol(_))
                })
        }
    }
}

/// Whether the database refused the statement, which is not the same as that it was not reached.
pub(crate) fn of_database(error: &DbErr) -> bool {
    code_of(error).is_some()
}

fn sqlx_error(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

fn code_of(error: &DbErr) -> Option<String> {
    sqlx_error(error)?.as_database_error()?.code().map(|code| code.into_owned())
}

/// `… violates unique constraint "person_email_key"` → `person_email_key`
fn in_quotes(text: &str) -> String {
    text.split('"').nth(1).unwrap_or(text).to_owned()
}

/// `… UNIQUE constraint failed: lead.id` → `lead.id`
fn after_colon(text: &str) -> String {
    text.rsplit(": ").next().unwrap_or(text).to_owned()
}
