//! Compiled code on disk: `<folder>/<engine>/<sha-256 of the wasm>`, each file sealed with an HMAC.
//!
//! Loading compiled code is as good as running it, so that nothing is loaded whose seal does not match. An author's
//! `.cwasm` never comes near: the only writer is this host.

use std::io::Write;
use std::path::{Path, PathBuf};

use handfast_domain::digest::Digest;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

const SEAL: usize = 32;

#[derive(Clone)]
pub struct Cache {
    folder: Option<PathBuf>,
    engine: String,
    key: [u8; 32],
}

impl Cache {
    pub fn new(folder: Option<&Path>, engine: &str, key: [u8; 32]) -> Cache {
        Cache { folder: folder.map(|folder| folder.join(engine)), engine: engine.to_owned(), key }
    }

    /// The stored component; `None` when there is none, or when anything about the file is not as this host wrote it.
    pub fn get(&self, engine: &Engine, wasm: Digest) -> Option<Component> {
        let path = self.folder.as_ref()?.join(wasm.to_string());
        let file = std::fs::read(&path).ok()?;
        let (seal, compiled) = file.split_at_checked(SEAL)?;
        if self.mac(wasm, compiled).verify_slice(seal).is_err() {
            tracing::warn!(path = %path.display(), "compiled rule with a wrong seal; it is compiled again");
            return None;
        }
        match deserialize(engine, compiled) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %error, "compiled rule that does not load; it is compiled again");
                None
            }
        }
    }

    /// Loads what `compile` made and stores it. A cache that cannot be written costs time, not service.
    pub fn put(&self, engine: &Engine, wasm: Digest, compiled: &[u8]) -> wasmtime::Result<Component> {
        let component = deserialize(engine, compiled)?;
        if let Some(folder) = &self.folder
            && let Err(error) = self.store(folder, wasm, compiled)
        {
            tracing::warn!(folder = %folder.display(), %error, "compiled rule was not stored");
        }
        Ok(component)
    }

    /// Under a temporary name first, so that a crash leaves either the whole file or none.
    fn store(&self, folder: &Path, wasm: Digest, compiled: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let temporary = folder.join(format!("{wasm}.{}.tmp", std::process::id()));
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&self.mac(wasm, compiled).finalize().into_bytes())?;
        file.write_all(compiled)?;
        file.sync_all()?;
        std::fs::rename(&temporary, folder.join(wasm.to_string()))?;
        // The rename itself must survive a power cut too; where folders cannot be synced, the seal still guards.
        if let Ok(handle) = std::fs::File::open(folder) {
            let _ = handle.sync_all();
        }
        Ok(())
    }

    /// Over the engine and the wasm too: a file must not serve under another name.
    fn mac(&self, wasm: Digest, compiled: &[u8]) -> Hmac<Sha256> {
        // HMAC pads short keys with zeros to its block.
        let mut block = [0; 64];
        block[..self.key.len()].copy_from_slice(&self.key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(format!("handfast/compiled/1\n{}\n{wasm}\n", self.engine).as_bytes());
        mac.update(compiled);
        mac
    }
}

#[expect(
    unsafe_code,
    reason = "loads machine code: only bytes that this host compiled, or that carry its seal"
)]
fn deserialize(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from our own compiler, or from a file whose HMAC was just checked.
    unsafe { Component::deserialize(engine, compiled) }
}
