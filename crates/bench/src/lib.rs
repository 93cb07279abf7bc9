//! What Handfast costs, beside others that do the same work on the same machine in the same run. Ratios travel to other
//! machines, times do not. Started by `cargo xtask bench`, which builds everything in release.
//!
//! This crate stands outside of the house: it holds the opponents, and they write SQL of their own.

pub mod advance;
pub mod attacks;
pub mod counts;
pub mod fanout;
pub mod feed;
pub mod import;
pub mod inserts;
pub mod load;
pub mod million;
pub mod plain;
pub mod reads;
pub mod rules;
pub mod server;
pub mod table;

use std::path::{Path, PathBuf};

/// Why a part ended early.
#[derive(Debug)]
pub struct Failed(pub String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(error.to_string())
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
