//! The root secret of a workspace and the keys derived from it. The only source of random bytes in this crate.

use crate::error::{Result, StoreError};
use hkdf::Hkdf;
use sha2::Sha256;
use std::{fs, io::Write, path::Path};
use uuid::Uuid;

/// What a derived key is for. Each purpose has its own key, so that one cannot stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signs feed and page cursors.
    Cursors,
    /// Authenticates compiled rules on the node's disk.
    RulesCache,
    /// Of which the signing secrets of webhooks are derived: [`RootSecret::webhook`].
    Webhooks,
    /// Keyed hashes of suppressed identities.
    Suppression,
    /// Shows that a database and a secret belong together.
    Fingerprint,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Purpose::Cursors => "handfast/cursors/1",
            Purpose::RulesCache => "handfast/rules-cache/1",
            Purpose::Webhooks => "handfast/webhooks/1",
            Purpose::Suppression => "handfast/suppression/1",
            Purpose::Fingerprint => "handfast/fingerprint/1",
        }
    }
}

#[derive(Clone)]
pub struct RootSecret([u8; 32]);

impl RootSecret {
    pub fn from_bytes(bytes: [u8; 32]) -> RootSecret {
        RootSecret(bytes)
    }

    pub fn subkey(&self, purpose: Purpose) -> [u8; 32] {
        let mut key = [0; 32];
        // HKDF fails only for outputs of more than 255 blocks.
        Hkdf::<Sha256>::new(None, &self.0).expand(purpose.label().as_bytes(), &mut key).unwrap_or_default();
        key
    }

    /// What signs for a webhook. Nobody need keep it: it is the same whenever it is asked for, and another for each generation.
    pub fn webhook(&self, webhook: Uuid, generation: u32) -> [u8; 32] {
        let mut key = [0; 32];
        let (id, generation) = (webhook.as_bytes(), generation.to_be_bytes());
        let info: [&[u8]; 3] = [Purpose::Webhooks.label().as_bytes(), id, &generation];
        // As above: one block never fails.
        Hkdf::<Sha256>::new(None, &self.0).expand_multi_info(&info, &mut key).unwrap_or_default();
        key
    }

    /// Shows that a database belongs to this secret, and does not tell it.
    pub(crate) fn fingerprint(&self) -> String {
        handfast_domain::digest::Digest(self.subkey(Purpose::Fingerprint)).to_string()
    }

    /// Reads a secret that lies elsewhere than in a data directory.
    pub(crate) fn load(path: &Path) -> Result<RootSecret> {
        RootSecret::read(path)?.map_err(|error| StoreError::io(path, error))
    }

    fn read(path: &Path) -> Result<std::io::Result<RootSecret>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| {
            let path = path.display();
            StoreError::Open(format!("{path} has {length} bytes instead of 32: restore it from a backup"))
        })?;
        Ok(Ok(RootSecret(bytes)))
    }

    /// Reads the secret of the data directory, and makes it at the first start.
    pub(crate) fn load_or_create(path: &Path, database_exists: bool) -> Result<RootSecret> {
        match RootSecret::read(path)? {
            Ok(secret) => {
                private(path)?;
                Ok(secret)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && database_exists => {
                Err(StoreError::Open(format!(
                    "{} is missing although the database exists: restore it from the same backup",
                    path.display()
                )))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = RootSecret(random()?);
                create(path, &secret.0).map_err(|error| StoreError::io(path, error))?;
                Ok(secret)
            }
            Err(error) => Err(StoreError::io(path, error)),
        }
    }
}

impl std::fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootSecret(…)")
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Open(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// Written beside and renamed: a crash leaves either no secret or a whole one.
fn create(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    crate::blob::sync_directory(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(unix)]
fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(|error| StoreError::io(path, error))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(StoreError::Open(format!("{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`")))
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<()> {
    Ok(())
}
