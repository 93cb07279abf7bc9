//! Files that are hashed on their way, private to their owner and synced; and the folder that gets its name at the end.

use super::{BackupError, FileEntry, Progress, Result, io};
use crate::blob::sync_directory;
use handfast_domain::digest::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, TryLockError},
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// A new file that only its owner may read.
pub fn create(path: &Path) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| io(path, error))
}

/// A new folder that only its owner may look into.
pub fn create_folder(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| io(path, error))
}

/// A file that is being written.
pub struct Hashed {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
}

impl Hashed {
    pub fn create(path: &Path) -> Result<Hashed> {
        let file = BufWriter::with_capacity(CHUNK, create(path)?);
        Ok(Hashed { path: path.to_owned(), file, hash: Sha256::new(), size: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| io(&self.path, error))
    }

    /// On disk, under this name below the backup's folder.
    pub fn finish(mut self, name: String) -> Result<FileEntry> {
        let failed = |error| io(&self.path, error);
        self.file.flush().map_err(failed)?;
        self.file.get_ref().sync_all().map_err(failed)?;
        Ok(FileEntry { path: name, size: self.size, sha256: Digest(self.hash.finalize().into()) })
    }
}

/// Copies a file, and answers what it was.
pub fn copy(from: &Path, to: &Path, name: String, done: &mut dyn FnMut(u64)) -> Result<FileEntry> {
    let mut copy = Hashed::create(to)?;
    read(from, |chunk| {
        done(chunk.len() as u64);
        copy.write(chunk)
    })?;
    copy.finish(name)
}

/// What a file is.
pub fn examine(path: &Path, name: String, done: &mut dyn FnMut(u64)) -> Result<FileEntry> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    read(path, |chunk| {
        done(chunk.len() as u64);
        size += chunk.len() as u64;
        hash.update(chunk);
        Ok(())
    })?;
    Ok(FileEntry { path: name, size, sha256: Digest(hash.finalize().into()) })
}

fn read(path: &Path, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut file = File::open(path).map_err(|error| io(path, error))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk).map_err(|error| io(path, error))? {
            0 => return Ok(()),
            size => take(&chunk[..size])?,
        }
    }
}

/// Checks each file of a backup against its manifest; the first that is not as it was is named.
pub fn check(folder: &Path, files: &[FileEntry], progress: &mut Progress<'_>) -> Result<()> {
    let total = files.iter().map(|file| file.size).sum();
    let mut done = 0;
    for file in files {
        let path = folder.join(&file.path);
        let damaged = |how: &str| {
            BackupError::Damaged(format!("the backup's file {} {how}: take another backup", path.display()))
        };
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(damaged("is missing")),
            Err(error) => return Err(io(&path, error)),
            Ok(found) if found.len() != file.size => {
                let how = format!("has {} bytes instead of {}", found.len(), file.size);
                return Err(damaged(&how));
            }
            Ok(_) => {}
        }
        let found = examine(&path, file.path.clone(), &mut |bytes| {
            done += bytes;
            progress("checking", done, total);
        })?;
        if found != *file {
            return Err(damaged("was changed"));
        }
    }
    Ok(())
}

/// A folder on its way: it has another name until everything in it is on disk.
pub struct Draft {
    pub folder: PathBuf,
    target: PathBuf,
    /// Tells whether whoever made it still lives.
    _lock: File,
    kept: bool,
}

impl Draft {
    /// Begins `target`, which must not exist. What a killed run left is thrown away.
    pub fn begin(target: &Path) -> Result<Draft> {
        let exists = || {
            BackupError::Exists(format!(
                "{} exists already: a backup overwrites nothing; choose another name",
                target.display()
            ))
        };
        if target.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let name = target.file_name().ok_or_else(exists)?.to_string_lossy().into_owned();
        let parent = match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(exists()),
        };
        if !parent.is_dir() {
            return Err(BackupError::NotFound(format!("the folder {} does not exist", parent.display())));
        }
        let folder = parent.join(format!("{name}.partial"));
        create_folder(&folder)?;
        let path = folder.join(LOCK);
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(|error| io(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(BackupError::Exists(format!(
                    "another `handfast backup` writes {} just now",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(io(&path, error)),
        }
        let draft = Draft { folder, target: parent.join(name), _lock: lock, kept: false };
        empty(&draft.folder, &[LOCK])?;
        Ok(draft)
    }

    /// Gives it its name. What was written before must be synced; folders are synced here.
    pub fn keep(mut self, folders: &[&str]) -> Result<PathBuf> {
        let lock = self.folder.join(LOCK);
        fs::remove_file(&lock).map_err(|error| io(&lock, error))?;
        for folder in folders {
            let path = self.folder.join(folder);
            sync_directory(&path).map_err(|error| io(&path, error))?;
        }
        sync_directory(&self.folder).map_err(|error| io(&self.folder, error))?;
        fs::rename(&self.folder, &self.target).map_err(|error| io(&self.target, error))?;
        self.kept = true;
        let parent = self.target.parent().unwrap_or(Path::new("."));
        sync_directory(parent).map_err(|error| io(parent, error))?;
        Ok(self.target.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

const LOCK: &str = "lock";

/// Removes everything in a folder but these names.
pub fn empty(folder: &Path, but: &[&str]) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| io(folder, error))?.flatten() {
        if but.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| io(&path, error))?;
    }
    Ok(())
}
