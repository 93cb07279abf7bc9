//! Putting a backup back: into an empty place only, as a new epoch, and whole or not at all.

use super::{BackupError, Engine, Manifest, Progress, Result, files, io, postgres};
use crate::{
    PostgresOptions,
    blob::sync_directory,
    files::{LockFile, RESTORING, prepare},
    migrations,
    open::begin_epoch,
    pool,
    secret::RootSecret,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The folder that `backup` made.
    pub from: PathBuf,
    /// An empty data directory; made if it does not exist.
    pub dir: PathBuf,
    /// A database whose schema is empty, or not there.
    pub postgres: Option<PostgresOptions>,
    /// The root secret, where the backup does not hold it.
    pub secret: Option<PathBuf>,
}

/// Whether a backup is as it was made: manifest first, then every file.
pub fn check(from: &Path, progress: &mut Progress<'_>) -> Result<Manifest> {
    let manifest = Manifest::read(from)?;
    files::check(from, &manifest.files, progress)?;
    Ok(manifest)
}

/// Checks a backup and puts it back. Until the last step nothing of it can be seen where it belongs; after a run that was
/// cut off, the next one begins anew.
pub async fn restore(options: RestoreOptions, progress: &mut Progress<'_>) -> Result<Manifest> {
    let RestoreOptions { from, dir, postgres, secret } = options;
    let manifest = Manifest::read(&from)?;
    fits(&manifest, postgres.as_ref())?;
    let secret = secret.unwrap_or_else(|| from.join("secret"));
    if !secret.exists() {
        return Err(BackupError::NotFound(format!(
            "{} does not exist: this backup was made without the root secret; name the file by --secret",
            secret.display()
        )));
    }
    if manifest.fingerprint != RootSecret::load(&secret)?.fingerprint() {
        return Err(BackupError::Unfit(format!(
            "the file {} does not belong to this backup: its workspace has another root secret",
            secret.display()
        )));
    }
    files::check(&from, &manifest.files, progress)?;

    let dir = prepare(&dir)?;
    let lock = LockFile::acquire(&dir)?;
    let staging = dir.join(RESTORING);
    if let Some(postgres) = &postgres
        && is_done(postgres, &staging).await?
    {
        fs::remove_dir_all(&staging).map_err(|error| io(&staging, error))?;
        lock.release();
        return Ok(manifest);
    }
    clear(&dir, &staging)?;
    files::create_folder(&staging)?;
    sync_directory(&dir).map_err(|error| io(&dir, error))?;
    let filled = async {
        files::copy(&secret, &staging.join("secret"), String::new(), &mut |_| ())?;
        match &postgres {
            None => {
                copy_files(&from, &staging, &manifest, progress)?;
                let database = pool::owner(&staging.join("handfast.db")).await?;
                begin_epoch(&database).await?;
                database.close().await?;
                // Last: without it the directory is no workspace.
                for name in ["blobs", "secret", "handfast.db"] {
                    put(&staging, &dir, name)?;
                }
            }
            Some(postgres) => {
                let began = |epoch: &str| {
                    let path = staging.join(EPOCH);
                    let mut file = files::Hashed::create(&path)?;
                    file.write(epoch.as_bytes())?;
                    file.finish(String::new())?;
                    put(&staging, &dir, "secret")
                };
                postgres::load(postgres, &from, &manifest, progress, began).await?;
            }
        }
        Ok(())
    };
    let filled: Result<()> = filled.await;
    if filled.is_err() && !dir.join("handfast.db").exists() {
        // Nothing of it was put anywhere, and the disk may be full.
        let _ = clear(&dir, &staging);
    }
    filled?;
    fs::remove_dir_all(&staging).map_err(|error| io(&staging, error))?;
    sync_directory(&dir).map_err(|error| io(&dir, error))?;
    lock.release();
    Ok(manifest)
}

/// In the folder of a restore into PostgreSQL: the epoch that it begins.
const EPOCH: &str = "epoch";
/// What an empty directory may hold: our lock, and what file systems put there.
const ALLOWED: [&str; 2] = ["handfast.lock", "lost+found"];
/// What a restore puts there.
const OURS: [&str; 3] = ["secret", "blobs", "handfast.db"];

fn fits(manifest: &Manifest, postgres: Option<&PostgresOptions>) -> Result<()> {
    let why = match (manifest.engine, postgres) {
        (Engine::Sqlite, Some(_)) => {
            "the backup is of a file handfast.db, and [database] url names PostgreSQL: leave the url empty"
        }
        (Engine::Postgres, None) => {
            "the backup is of PostgreSQL: name the database by [database] url or HANDFAST__DATABASE__URL"
        }
        _ => return migrations::known(&manifest.migrations).map_err(newer(manifest)),
    };
    Err(BackupError::Unfit(why.to_owned()))
}

fn newer(manifest: &Manifest) -> impl Fn(String) -> BackupError {
    let product = manifest.product.clone();
    move |migration| {
        BackupError::Unfit(format!(
            "the backup was made by a newer version of handfast (it has `{migration}`): restore it with {product} or newer"
        ))
    }
}

/// Whether an earlier run was cut off after its last step but one.
async fn is_done(postgres: &PostgresOptions, staging: &Path) -> Result<bool> {
    let began =
        fs::read_to_string(staging.join(EPOCH)).ok().and_then(|text| u64::from_str_radix(&text, 16).ok());
    match postgres::target(postgres).await? {
        postgres::Target::Empty => Ok(false),
        postgres::Target::Holds(epoch) if began.is_some() && epoch == began => Ok(true),
        postgres::Target::Holds(_) => Err(BackupError::Exists(format!(
            "the schema {} is not empty: a restore overwrites nothing; name another one by [database] schema",
            postgres.schema
        ))),
    }
}

/// Makes sure that the directory is empty; what a restore that was cut off left is removed.
fn clear(dir: &Path, staging: &Path) -> Result<()> {
    if staging.exists() {
        for name in OURS {
            let path = dir.join(name);
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&path, error)),
                _ => {}
            }
        }
        fs::remove_dir_all(staging).map_err(|error| io(staging, error))?;
    }
    for entry in fs::read_dir(dir).map_err(|error| io(dir, error))?.flatten() {
        let name = entry.file_name();
        if !ALLOWED.iter().any(|allowed| name == *allowed) {
            return Err(BackupError::Exists(format!(
                "{} is not empty (it has `{}`): a restore overwrites nothing; name another --data-dir",
                dir.display(),
                name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

fn copy_files(from: &Path, staging: &Path, manifest: &Manifest, progress: &mut Progress<'_>) -> Result<()> {
    let blobs = staging.join("blobs");
    files::create_folder(&blobs)?;
    let (mut done, total) = (0, manifest.size());
    for file in manifest.files.iter().filter(|file| file.path != "secret") {
        let copied = files::copy(
            &from.join(&file.path),
            &staging.join(&file.path),
            file.path.clone(),
            &mut |bytes| {
                done += bytes;
                progress("copying", done, total);
            },
        )?;
        if copied != *file {
            return Err(BackupError::Damaged(format!("{} changes while it is read", file.path)));
        }
    }
    sync_directory(&blobs).map_err(|error| io(&blobs, error))
}

fn put(staging: &Path, dir: &Path, name: &str) -> Result<()> {
    let (from, to) = (staging.join(name), dir.join(name));
    fs::rename(&from, &to).and_then(|()| sync_directory(dir)).map_err(|error| io(&to, error))
}
