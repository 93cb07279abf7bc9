//! The data directory: who holds it, and whether its file system can be trusted with a database.

use crate::error::{Result, StoreError};
use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

/// An exclusive lock on the data directory. The system releases it when the process ends, however it ends.
pub(crate) struct LockFile(File);

impl LockFile {
    pub fn acquire(dir: &Path) -> Result<LockFile> {
        let path = dir.join("handfast.lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| StoreError::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process =
                    match fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u32>().ok()) {
                        Some(id) => format!("process {id}"),
                        None => "another process".to_owned(),
                    };
                return Err(StoreError::InUse { dir: dir.display().to_string(), process });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io(&path, error)),
        }
        // Only a hint for whoever is refused: the lock counts, not the text.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(LockFile(file))
    }

    pub fn release(&self) {
        let _ = self.0.unlock();
    }
}

/// The folder in a data directory that a restore fills before it puts everything in its place.
pub(crate) const RESTORING: &str = "restoring";

/// A restore that was cut off may have left the secret without its database: a start would make a new workspace.
pub(crate) fn refuse_half_restored(dir: &Path) -> Result<()> {
    if !dir.join(RESTORING).exists() {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "a restore into {} was cut off: run `handfast restore` again, it begins anew",
        dir.display()
    )))
}

/// Makes the data directory, for its owner only, and answers its real path.
pub(crate) fn prepare(dir: &Path) -> Result<PathBuf> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| StoreError::io(dir, error))?;
    let dir = dir.canonicalize().map_err(|error| StoreError::io(dir, error))?;
    // Elsewhere than on Linux there is no such table, and nothing to refuse.
    if let Ok(mounts) = fs::read_to_string("/proc/self/mounts")
        && let Some(kind) = file_system(&mounts, &dir)
        && is_network(kind)
    {
        return Err(StoreError::Open(format!(
            "{} is on a network file system ({kind}), whose locks and syncs cannot be relied on: \
             choose a --data-dir on a local disk",
            dir.display()
        )));
    }
    Ok(dir)
}

/// The type of the file system that holds `path`: that of the longest mount point above it, the newest one first.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mut found = (0, None);
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (fields.next(), fields.next()) else { continue };
        // The kernel writes blanks in octal.
        let point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
        let length = Path::new(&point).components().count();
        if path.starts_with(&point) && length >= found.0 {
            found = (length, Some(kind));
        }
    }
    found.1
}

fn is_network(kind: &str) -> bool {
    const NETWORK: &[&str] = &[
        "9p",
        "afs",
        "ceph",
        "cifs",
        "coda",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    ];
    const NETWORK_FUSE: &[&str] = &["ceph", "gcsfuse", "glusterfs", "goofys", "rclone", "s3fs", "sshfs"];
    let in_list = |list: &[&str], kind| list.contains(&kind);
    in_list(NETWORK, kind) || kind.strip_prefix("fuse.").is_some_and(|kind| in_list(NETWORK_FUSE, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_newest_mount_point_decides() {
        let mounts = "/dev/vda / ext4 rw 0 0\nnas:/a /data nfs4 rw 0 0\n/dev/vdb /data/local xfs rw 0 0\n\
                      tmpfs /tmp tmpfs rw 0 0\nme@host: /my\\040files fuse.sshfs rw 0 0\nnas:/b /tmp cifs rw 0 0\n";
        for (path, kind) in [
            ("/", "ext4"),
            ("/database", "ext4"),
            ("/data", "nfs4"),
            ("/data/x", "nfs4"),
            ("/data/local/x", "xfs"),
            ("/my files/x", "fuse.sshfs"),
            ("/tmp/x", "cifs"),
        ] {
            assert_eq!(file_system(mounts, Path::new(path)), Some(kind), "{path}");
        }
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn only_network_file_systems_are_refused() {
        assert!(["nfs", "nfs4", "cifs", "fuse.sshfs", "9p"].iter().all(|kind| is_network(kind)));
        assert!(
            ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuse.mergerfs"]
                .iter()
                .all(|kind| !is_network(kind))
        );
    }
}
