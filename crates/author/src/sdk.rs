//! The contract and the SDKs as they were when this binary was built, so that a new folder needs no registry of ours.

/// `rules.wit` of the latest release.
pub const WIT: &str = include_str!("../../../schema/wit/handfast-rules@1.0.0/rules.wit");

macro_rules! sources {
    ($($name:literal),+ $(,)?) => {
        &[$((concat!("sdk/src/", $name), include_str!(concat!("../../sdk/src/", $name)))),+]
    };
}

/// The crate `handfast-sdk`, without its manifest, which names this workspace.
pub const RUST: &[(&str, &str)] =
    sources!["cases.rs", "decay.rs", "export.rs", "leads.rs", "lib.rs", "reads.rs", "types.rs"];

pub const RUST_MANIFEST: &str = include_str!("../templates/rust/sdk.toml");

pub const JAVASCRIPT: &str = include_str!("../../sdk/js/handfast.js");

pub const PYTHON: &str = include_str!("../../sdk/python/handfast.py");

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_source_of_the_sdk_is_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/src");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("sdk/src/{}", entry.unwrap().file_name().to_string_lossy()))
            .collect();
        there.sort();
        let embedded: Vec<&str> = RUST.iter().map(|(path, _)| *path).collect();
        assert_eq!(embedded, there);
    }

    #[test]
    fn the_manifest_that_travels_asks_for_the_same_bindings_and_features() {
        let ours = include_str!("../../sdk/Cargo.toml");
        let line = |text: &str, name: &str| {
            text.lines().find(|line| line.starts_with(name)).map(str::to_owned).unwrap_or_default()
        };
        for name in ["wit-bindgen = ", "cases = ", "description = "] {
            assert_eq!(line(RUST_MANIFEST, name), line(ours, name), "{name}");
            assert!(!line(ours, name).is_empty(), "{name}");
        }
        for name in ["serde.workspace", "serde_json.workspace", "chrono = { workspace"] {
            assert!(!line(ours, name).is_empty(), "{name}: the manifest that travels names its version");
        }
    }
}
