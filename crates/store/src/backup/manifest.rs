//! What a backup says of itself, sealed by its own digest.

use super::{BackupError, Result, io};
use handfast_domain::{digest::Digest, time::Instant};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs,
    path::{Component, Path},
};

/// The newest format that this version reads, and the one that it writes.
pub const FORMAT: u64 = 1;
pub(super) const FILE: &str = "manifest.json";
const KIND: &str = "backup";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// What a backup holds, and from which moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u64,
    /// Version of the product that made it.
    pub product: String,
    pub engine: Engine,
    /// When it was begun, in unix milliseconds.
    pub made_at: Instant,
    /// Migrations of the schema, oldest first.
    pub migrations: Vec<String>,
    /// Of the cursors, in hexadecimal digits.
    pub epoch: String,
    /// Where the feed ends.
    pub position: i64,
    /// Stands for the log up to there.
    pub chain: Digest,
    /// Of the root secret; says nothing about it.
    pub fingerprint: String,
    /// Whether the root secret is in it.
    pub secret: bool,
    /// In the order in which they can be filled.
    pub tables: Vec<TableEntry>,
    pub files: Vec<FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    pub name: String,
    pub rows: u64,
    /// In the order of its file; empty where the database is one file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Below the backup's folder, with `/`.
    pub path: String,
    pub size: u64,
    pub sha256: Digest,
}

impl Manifest {
    pub fn rows(&self, table: &str) -> u64 {
        self.tables.iter().find(|entry| entry.name == table).map_or(0, |entry| entry.rows)
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Names are those of our own tables and files: nothing outside of the folder is ever read or written.
    fn is_plain(&self) -> bool {
        let name = |text: &str| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            !text.is_empty() && text.len() <= 63 && text.chars().all(known)
        };
        let names =
            self.tables.iter().all(|table| name(&table.name) && table.columns.iter().all(|c| name(c)));
        let below = |path: &str| {
            !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        };
        names && self.files.iter().all(|file| below(&file.path))
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let manifest = serde_json::to_value(self).unwrap_or_default();
        let sealed = serde_json::json!({"sha256": Digest::of(KIND, 1, &manifest), "manifest": manifest});
        let mut text = serde_json::to_vec_pretty(&sealed).unwrap_or_default();
        text.push(b'\n');
        text
    }

    pub(super) fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join(FILE);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                BackupError::NotFound(format!(
                    "{} is no backup: it has no {FILE}; name the folder that `handfast backup --to` made",
                    folder.display()
                ))
            }
            _ => io(&path, error),
        })?;
        Manifest::parse(&bytes).map_err(|error| match error {
            BackupError::Damaged(why) => BackupError::Damaged(format!("{}: {why}", path.display())),
            other => other,
        })
    }

    fn parse(bytes: &[u8]) -> Result<Manifest> {
        let damaged = |why: String| BackupError::Damaged(format!("{why}; take another backup"));
        let sealed: Value = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let manifest = &sealed["manifest"];
        // Before the seal: a newer one may be sealed in another way.
        let format = manifest["format"].as_u64();
        if let Some(format) = format.filter(|format| *format > FORMAT) {
            let product = manifest["product"].as_str().unwrap_or("a newer version");
            return Err(BackupError::Unfit(format!(
                "the backup has format {format}, and this version reads formats up to {FORMAT}: restore it with handfast \
                 {product} or newer"
            )));
        }
        if sealed["sha256"].as_str() != Some(&Digest::of(KIND, 1, manifest).to_string()) {
            return Err(damaged("the manifest was changed after it was written".to_owned()));
        }
        let manifest: Manifest =
            serde_json::from_value(manifest.clone()).map_err(|error| damaged(error.to_string()))?;
        match manifest.is_plain() {
            true => Ok(manifest),
            false => Err(damaged("the manifest names a table or file that no backup has".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            product: "0.1.0".into(),
            engine: Engine::Postgres,
            made_at: Instant(1),
            migrations: vec!["m0001_infrastructure".into()],
            epoch: "00".into(),
            position: 3,
            chain: Digest([1; 32]),
            fingerprint: "ff".into(),
            secret: true,
            tables: vec![TableEntry { name: "meta".into(), rows: 2, columns: vec!["key".into()] }],
            files: vec![FileEntry { path: "tables/meta.copy".into(), size: 9, sha256: Digest([2; 32]) }],
        }
    }

    #[test]
    fn a_manifest_comes_back_and_no_byte_can_change() {
        let bytes = manifest().to_json();
        assert_eq!(Manifest::parse(&bytes), Ok(manifest()));
        let mut refused = 0;
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            match Manifest::parse(&changed) {
                // A blank between two values says nothing.
                Ok(same) => assert_eq!(same, manifest(), "byte {at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > bytes.len() / 2, "{refused}");
    }

    #[test]
    fn a_newer_format_names_the_version_that_reads_it() {
        let newer = Manifest { format: FORMAT + 1, product: "9.9.9".into(), ..manifest() };
        let Err(BackupError::Unfit(text)) = Manifest::parse(&newer.to_json()) else { panic!("it was read") };
        assert!(text.contains("handfast 9.9.9 or newer"), "{text}");
    }

    #[test]
    fn a_manifest_reaches_for_nothing_outside_of_its_folder() {
        for path in ["../secret", "/etc/passwd", "blobs/../../x", ""] {
            let mut bad = manifest();
            bad.files[0].path = path.into();
            assert!(matches!(Manifest::parse(&bad.to_json()), Err(BackupError::Damaged(_))), "{path}");
        }
        for name in ["lead; DROP TABLE lead", "Lead", "\"x\"", ""] {
            let mut bad = manifest();
            bad.tables[0].name = name.into();
            assert!(matches!(Manifest::parse(&bad.to_json()), Err(BackupError::Damaged(_))), "{name}");
        }
    }
}
