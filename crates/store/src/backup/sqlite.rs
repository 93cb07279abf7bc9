//! The file of SQLite: one statement copies what is committed when it begins, while the server goes on writing.

use super::{BackupError, Engine, Result, TableEntry, files, io, make::Snapshot};
use crate::{
    backup::Progress,
    error::StoreError,
    feed,
    open::{EPOCH, FINGERPRINT, meta},
    pool,
    rows::{execute, fetch_all, fetch_value},
};
use handfast_domain::digest::Digest;
use sea_orm::{ConnectionTrait, FromQueryResult};
use std::{fs, path::Path, time::Duration};

const NAME: &str = "handfast.db";

/// Copies the database into `folder`; answers it with the digests of the uploaded files that it names.
pub(super) async fn copy(
    database: &Path,
    folder: &Path,
    progress: &mut Progress<'_>,
) -> Result<(Snapshot, Vec<String>)> {
    if !database.exists() {
        return Err(BackupError::NotFound(format!("{} does not exist", database.display())));
    }
    let target = folder.join(NAME);
    // Private before there is anything in it: SQLite takes an empty file for a new one.
    drop(files::create(&target)?);
    let text = target.to_str().ok_or_else(|| {
        BackupError::Unfit(format!("{} is no UTF-8: choose another name", target.display()))
    })?;
    let source = pool::visitor(database, false).await?;
    let size = size_of(&source).await?;
    let mut copying = Box::pin(execute(&source, "VACUUM INTO $1", vec![text.into()]));
    let copied = loop {
        tokio::select! {
            ended = copying.as_mut() => break ended,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let written = fs::metadata(&target).map_or(0, |found| found.len());
                progress("database", written.min(size), size);
            }
        }
    };
    drop(copying);
    copied.map_err(|error| match error {
        StoreError::Full => io(&target, std::io::ErrorKind::StorageFull.into()),
        other => other.into(),
    })?;
    source.close().await?;
    let written = fs::File::open(&target).and_then(|file| file.sync_all());
    written.map_err(|error| io(&target, error))?;
    let mut snapshot = describe(&target).await?;
    let mut done = 0;
    let entry = files::examine(&target, NAME.to_owned(), &mut |bytes| {
        done += bytes;
        progress("digest", done, size);
    })?;
    snapshot.0.files.push(entry);
    Ok(snapshot)
}

async fn size_of(db: &impl ConnectionTrait) -> Result<u64> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
    let size: i64 = fetch_value(db, sql, vec![]).await?.unwrap_or(0);
    Ok(size.unsigned_abs())
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

#[derive(FromQueryResult)]
struct Sha {
    sha256: Vec<u8>,
}

/// Reads the copy, so that everything is said of the same moment.
async fn describe(copy: &Path) -> Result<(Snapshot, Vec<String>)> {
    let db = pool::visitor(copy, true).await?;
    let list =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let names: Vec<Name> = fetch_all(&db, list, vec![]).await?;
    if !names.iter().any(|table| table.name == "seaql_migrations") {
        return Err(BackupError::NotFound(
            "the database has no Handfast data yet: start the server once".into(),
        ));
    }
    let mut tables = vec![];
    for Name { name } in names {
        let sql = format!("SELECT count(*) FROM \"{name}\"");
        let rows: i64 = fetch_value(&db, &sql, vec![]).await?.unwrap_or(0);
        tables.push(TableEntry { name, rows: rows.unsigned_abs(), columns: vec![] });
    }
    let sql = "SELECT version AS name FROM seaql_migrations ORDER BY version";
    let migrations: Vec<Name> = fetch_all(&db, sql, vec![]).await?;
    let blobs: Vec<Sha> = fetch_all(&db, "SELECT DISTINCT sha256 FROM blob", vec![]).await?;
    let named = blobs.into_iter().filter_map(|row| row.sha256.try_into().ok());
    let snapshot = Snapshot {
        engine: Engine::Sqlite,
        migrations: migrations.into_iter().map(|row| row.name).collect(),
        epoch: meta(&db, EPOCH).await?.unwrap_or_default(),
        fingerprint: meta(&db, FINGERPRINT).await?.unwrap_or_default(),
        head: feed::load_head(&db).await?,
        tables,
        files: vec![],
    };
    let named = named.map(|sha| Digest(sha).to_string()).collect();
    db.close().await?;
    Ok((snapshot, named))
}
