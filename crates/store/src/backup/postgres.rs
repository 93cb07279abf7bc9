//! A schema of PostgreSQL: every table by COPY from one snapshot, and back into a new schema that gets its name at the end.

use super::{BackupError, Engine, Manifest, Progress, Result, TableEntry, files, io, make::Snapshot};
use crate::{
    PostgresOptions,
    feed::FeedHead,
    migrations,
    open::{EPOCH, FINGERPRINT, begin_epoch, meta},
    postgres::{check_schema, check_url, connect, lock_key},
    rows::fetch_value,
};
use futures_util::TryStreamExt;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, TransactionTrait,
    sqlx::{self, AssertSqlSafe, PgConnection, Postgres},
};
use std::{collections::BTreeSet, path::Path, time::Duration};
use tokio::io::AsyncReadExt;

const FOLDER: &str = "tables";
/// What holds the migrations; they are carried out again instead of being copied.
const MIGRATIONS: &str = "seaql_migrations";
/// No limit: a statement takes as long as the data is large.
const PATIENT: Duration = Duration::ZERO;
/// Bytes that are sent at once.
const CHUNK: usize = 256 << 10;

/// Copies the schema into `folder`, as of one moment.
pub(super) async fn dump(
    postgres: &PostgresOptions,
    folder: &Path,
    progress: &mut Progress<'_>,
) -> Result<Snapshot> {
    check_url(&postgres.url)?;
    check_schema(&postgres.schema)?;
    files::create_folder(&folder.join(FOLDER))?;
    let db = connect(postgres, 1, PATIENT, true).await?;
    let mut connection = db.get_postgres_connection_pool().acquire().await?;
    // Whoever writes waits for nothing here, and nothing that is committed from now on is seen.
    run(&mut connection, "SET idle_in_transaction_session_timeout = 0").await?;
    run(&mut connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let names = tables(&mut connection).await?;
    if !names.iter().any(|name| name == MIGRATIONS) {
        return Err(BackupError::NotFound(format!(
            "the schema {} has no Handfast data: check [database] url and schema",
            postgres.schema
        )));
    }
    let total = texts::<i64>(
        &mut connection,
        "SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint FROM pg_class c \
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'",
    );
    let total = total.await?.first().map_or(0, |size| size.unsigned_abs());
    let (mut entries, mut files, mut done) = (vec![], vec![], 0);
    for name in in_order(&mut connection, names).await? {
        if name == MIGRATIONS {
            continue;
        }
        let columns = columns(&mut connection, &name).await?;
        let path = folder.join(FOLDER).join(format!("{name}.copy"));
        let mut file = files::Hashed::create(&path)?;
        let mut rows = 0;
        let sql = format!("COPY {name} ({}) TO STDOUT", columns.join(", "));
        let mut stream = connection.copy_out_raw(&sql).await?;
        while let Some(chunk) = stream.try_next().await? {
            // A line break inside of a value is written as two characters.
            rows += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            done += chunk.len() as u64;
            file.write(&chunk)?;
            progress(&name, done, total.max(done));
        }
        drop(stream);
        files.push(file.finish(format!("{FOLDER}/{name}.copy"))?);
        entries.push(TableEntry { name, rows, columns });
    }
    let migrations =
        texts(&mut connection, "SELECT version::text FROM seaql_migrations ORDER BY version").await?;
    let told = |key: &str| format!("SELECT value::text FROM meta WHERE key = '{key}'");
    let epoch: Vec<String> = texts(&mut connection, &told(EPOCH)).await?;
    let fingerprint: Vec<String> = texts(&mut connection, &told(FINGERPRINT)).await?;
    let head: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT position, chain FROM feed_head").fetch_optional(&mut *connection).await?;
    let (position, chain) = head.unwrap_or((0, vec![0; 32]));
    run(&mut connection, "COMMIT").await?;
    drop(connection);
    db.close().await?;
    Ok(Snapshot {
        engine: Engine::Postgres,
        migrations,
        epoch: epoch.into_iter().next().unwrap_or_default(),
        fingerprint: fingerprint.into_iter().next().unwrap_or_default(),
        head: FeedHead { position, chain: chain.try_into().unwrap_or_default() },
        tables: entries,
        files,
    })
}

/// What a restore found where it should put the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Empty,
    /// With data of this epoch, which a restore that was cut off may have put there.
    Holds(Option<u64>),
}

pub(super) async fn target(postgres: &PostgresOptions) -> Result<Target> {
    check_url(&postgres.url)?;
    check_schema(&postgres.schema)?;
    let db = connect(postgres, 1, PATIENT, false).await?;
    let sql = "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1)";
    let things: i64 = fetch_value(&db, sql, vec![postgres.schema.as_str().into()]).await?.unwrap_or(0);
    if things == 0 {
        return Ok(Target::Empty);
    }
    // Another program's tables have no epoch.
    let epoch = meta(&db, EPOCH).await.ok().flatten();
    Ok(Target::Holds(epoch.and_then(|text| u64::from_str_radix(&text, 16).ok())))
}

/// Fills a schema beside, and gives it its name when all of it is there. `began` is told the new epoch before that.
pub(super) async fn load(
    postgres: &PostgresOptions,
    folder: &Path,
    manifest: &Manifest,
    progress: &mut Progress<'_>,
    began: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let (schema, staging) = (&postgres.schema, format!("{}_restoring", postgres.schema));
    let setup = connect(postgres, 1, PATIENT, false).await?;
    let key = lock_key(schema);
    // Nobody else restores into it, and no server makes it meanwhile; the lock ends with the connection.
    setup.execute_unprepared(&format!("SELECT pg_advisory_lock({key})")).await?;
    // What a restore that was cut off left.
    setup
        .execute_unprepared(&format!("DROP SCHEMA IF EXISTS {staging} CASCADE; CREATE SCHEMA {staging}"))
        .await?;
    let loaded = async {
        let beside = PostgresOptions { schema: staging.clone(), ..postgres.clone() };
        let db = connect(&beside, 1, PATIENT, false).await?;
        fill(&db, folder, manifest, progress).await?;
        let epochs = begin_epoch(&db).await?;
        let tables: Vec<&str> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
        // Not of the whole database: other schemas are others' business.
        db.execute_unprepared(&format!("ANALYZE {}", tables.join(", "))).await?;
        db.close().await?;
        began(&epochs.now)?;
        let tx = setup.begin().await?;
        tx.execute_unprepared(&format!("DROP SCHEMA IF EXISTS {schema}")).await?;
        tx.execute_unprepared(&format!("ALTER SCHEMA {staging} RENAME TO {schema}")).await?;
        Ok(tx.commit().await?)
    };
    let loaded = loaded.await;
    if loaded.is_err() {
        let _ = setup.execute_unprepared(&format!("DROP SCHEMA IF EXISTS {staging} CASCADE")).await;
    }
    setup.close().await?;
    loaded
}

async fn fill(
    db: &DatabaseConnection,
    folder: &Path,
    manifest: &Manifest,
    progress: &mut Progress<'_>,
) -> Result<()> {
    migrations::migrate_up_to(db, &manifest.migrations).await?;
    let mut connection = db.get_postgres_connection_pool().acquire().await?;
    run(&mut connection, "SET idle_in_transaction_session_timeout = 0").await?;
    run(&mut connection, "BEGIN").await?;
    let mine: BTreeSet<String> =
        tables(&mut connection).await?.into_iter().filter(|name| name != MIGRATIONS).collect();
    let theirs: BTreeSet<String> = manifest.tables.iter().map(|table| table.name.clone()).collect();
    if let Some(table) = mine.symmetric_difference(&theirs).next() {
        return Err(BackupError::Unfit(format!(
            "the schema of the backup has a table more or less ({table}) than its migrations make: restore it with \
             handfast {}",
            manifest.product
        )));
    }
    // Migrations write rows of their own, which the backup has, too.
    let all: Vec<&str> = mine.iter().map(String::as_str).collect();
    run(&mut connection, &format!("TRUNCATE {}", all.join(", "))).await?;
    // To sort once is cheaper than to find a place for each row.
    let indexes = indexes(&mut connection).await?;
    for (name, _) in &indexes {
        run(&mut connection, &format!("DROP INDEX {name}")).await?;
    }
    let (mut done, total) = (0, manifest.size());
    for TableEntry { name, rows, columns } in &manifest.tables {
        let path = folder.join(FOLDER).join(format!("{name}.copy"));
        let mut file = tokio::fs::File::open(&path).await.map_err(|error| io(&path, error))?;
        let sql = format!("COPY {name} ({}) FROM STDIN WITH (FREEZE)", columns.join(", "));
        let mut copy = connection.copy_in_raw(&sql).await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let size = file.read(&mut chunk).await.map_err(|error| io(&path, error))?;
            if size == 0 {
                break;
            }
            copy.send(&chunk[..size]).await?;
            done += size as u64;
            progress(name, done, total);
        }
        let copied = copy.finish().await?;
        if copied != *rows {
            return Err(BackupError::Damaged(format!(
                "the table {name} has {copied} rows instead of {rows}: take another backup"
            )));
        }
    }
    for (name, definition) in &indexes {
        progress(name, total, total);
        run(&mut connection, definition).await?;
    }
    // Leases are of nodes that are not here.
    run(&mut connection, "DELETE FROM lease").await?;
    for (table, column) in identities(&mut connection).await? {
        let sql = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(max({column}), 0) + 1, false) FROM {table}"
        );
        run(&mut connection, &sql).await?;
    }
    run(&mut connection, "COMMIT").await?;
    Ok(())
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?;
    Ok(())
}

async fn texts<T>(connection: &mut PgConnection, sql: &str) -> Result<Vec<T>>
where
    T: Send + Unpin + sqlx::Type<Postgres> + for<'r> sqlx::Decode<'r, Postgres>,
{
    Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await?)
}

async fn tables(connection: &mut PgConnection) -> Result<Vec<String>> {
    let sql = "SELECT relname::text FROM pg_class \
               WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' ORDER BY relname";
    texts(connection, sql).await
}

async fn columns(connection: &mut PgConnection, table: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 \
         AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
    );
    texts(connection, &sql).await
}

/// Names and definitions of those that no key or constraint needs.
async fn indexes(connection: &mut PgConnection) -> Result<Vec<(String, String)>> {
    let sql = "SELECT c.relname::text, pg_get_indexdef(i.indexrelid) FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indexrelid \
               WHERE c.relnamespace = current_schema()::regnamespace \
               AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

async fn identities(connection: &mut PgConnection) -> Result<Vec<(String, String)>> {
    let sql = "SELECT c.relname::text, a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
               WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attidentity <> '' \
               AND NOT a.attisdropped";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

/// Tables after those that they refer to.
async fn in_order(connection: &mut PgConnection, mut left: Vec<String>) -> Result<Vec<String>> {
    let sql = "SELECT c.relname::text, f.relname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
               JOIN pg_class f ON f.oid = k.confrelid \
               WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace";
    let refers: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(connection).await?;
    let mut ordered: Vec<String> = vec![];
    while !left.is_empty() {
        let waits =
            |name: &String| refers.iter().any(|(from, to)| from == name && to != name && left.contains(to));
        let (later, now): (Vec<_>, Vec<_>) = left.iter().cloned().partition(waits);
        if now.is_empty() {
            return Err(BackupError::Unfit(format!("tables refer to each other in a circle: {later:?}")));
        }
        ordered.extend(now);
        left = later;
    }
    Ok(ordered)
}
