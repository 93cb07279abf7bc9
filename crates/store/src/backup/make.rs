//! Making a backup. It takes no lock: the server that works in the directory goes on.

use super::{BackupError, Engine, FORMAT, FileEntry, Manifest, Progress, Result, TableEntry, files, io};
use super::{manifest, postgres, sqlite};
use crate::{PostgresOptions, feed::FeedHead, files::RESTORING};
use handfast_domain::{digest::Digest, time::Instant};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The data directory of the server.
    pub dir: PathBuf,
    /// Where its database is, if not in the directory.
    pub postgres: Option<PostgresOptions>,
    /// The folder to make.
    pub to: PathBuf,
    /// Whether the root secret comes along.
    pub secret: bool,
    /// Version of the product.
    pub product: String,
    pub now: Instant,
}

/// What an engine wrote into the folder.
pub(super) struct Snapshot {
    pub engine: Engine,
    pub migrations: Vec<String>,
    pub epoch: String,
    pub fingerprint: String,
    pub head: FeedHead,
    pub tables: Vec<TableEntry>,
    pub files: Vec<FileEntry>,
}

/// Copies everything that a workspace is made of, as of one moment, and answers what it wrote and where.
pub async fn backup(options: BackupOptions, progress: &mut Progress<'_>) -> Result<(PathBuf, Manifest)> {
    let BackupOptions { dir, postgres, to, secret, product, now } = options;
    let own = dir.join("secret");
    if !own.exists() || dir.join(RESTORING).exists() {
        return Err(BackupError::NotFound(format!("no Handfast data in {}", dir.display())));
    }
    let draft = files::Draft::begin(&to)?;
    let mut folders = vec![];
    let mut snapshot = match postgres {
        Some(postgres) => {
            folders.push("tables");
            postgres::dump(&postgres, &draft.folder, progress).await?
        }
        None => {
            folders.push("blobs");
            let blobs = draft.folder.join("blobs");
            files::create_folder(&blobs)?;
            // A file that is removed while the database is copied stands in the copy and needs its bytes.
            let mut copied = Copied { from: dir.join("blobs"), to: blobs, entries: BTreeMap::new(), done: 0 };
            copied.all(progress)?;
            let (mut snapshot, named) =
                sqlite::copy(&dir.join("handfast.db"), &draft.folder, progress).await?;
            snapshot.files.extend(copied.finish(named, progress)?);
            snapshot
        }
    };
    if secret {
        let entry = files::copy(&own, &draft.folder.join("secret"), "secret".to_owned(), &mut |_| ())?;
        snapshot.files.push(entry);
    }
    let Snapshot { engine, migrations, epoch, fingerprint, head, tables, files } = snapshot;
    let manifest = Manifest {
        format: FORMAT,
        product,
        engine,
        made_at: now,
        migrations,
        epoch,
        position: head.position,
        chain: Digest(head.chain),
        fingerprint,
        secret,
        tables,
        files,
    };
    let mut file = files::Hashed::create(&draft.folder.join(manifest::FILE))?;
    file.write(&manifest.to_json())?;
    file.finish(String::new())?;
    Ok((draft.keep(&folders)?, manifest))
}

/// The uploaded files of a data directory, on their way.
struct Copied {
    from: PathBuf,
    to: PathBuf,
    entries: BTreeMap<String, FileEntry>,
    done: u64,
}

impl Copied {
    fn all(&mut self, progress: &mut Progress<'_>) -> Result<()> {
        let listed = match fs::read_dir(&self.from) {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(&self.from, error)),
        };
        for entry in listed.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if Digest::parse(&name).is_some() {
                self.one(&name, progress)?;
            }
        }
        Ok(())
    }

    /// One that is gone by now, is none.
    fn one(&mut self, name: &str, progress: &mut Progress<'_>) -> Result<()> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        if !from.exists() {
            return Ok(());
        }
        let mut done = self.done;
        let entry = files::copy(&from, &to, format!("blobs/{name}"), &mut |bytes| {
            done += bytes;
            progress("uploaded files", done, 0);
        })?;
        self.done = done;
        // The doctor says more; a backup that cannot be restored must not look like one.
        if entry.sha256.to_string() != name {
            return Err(BackupError::Damaged(format!(
                "the uploaded file {} was changed on disk: put its bytes there again, or restore it from a backup",
                from.display()
            )));
        }
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Those that the copied database names, and no others.
    fn finish(mut self, named: Vec<String>, progress: &mut Progress<'_>) -> Result<Vec<FileEntry>> {
        for name in &named {
            if !self.entries.contains_key(name) {
                self.one(name, progress)?;
            }
            if !self.entries.contains_key(name) {
                return Err(BackupError::Damaged(format!(
                    "the uploaded file {} is missing: put its bytes there again, or restore it from a backup",
                    self.from.join(name).display()
                )));
            }
        }
        let (kept, rest): (BTreeMap<_, _>, _) =
            self.entries.into_iter().partition(|(name, _)| named.contains(name));
        for name in rest.into_keys() {
            remove(&self.to.join(name))?;
        }
        Ok(kept.into_values().collect())
    }
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|error| io(path, error))
}
