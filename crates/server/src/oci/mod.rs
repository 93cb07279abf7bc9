//! Plugins as OCI artifacts: in any registry of containers, in the format that `wkg` of wasm-pkg-tools pushes and pulls.
//! `artifact` is the format, `registry` the way to a registry. Only the command line comes here; the server pulls nothing.

pub mod artifact;
pub mod registry;

/// Bytes of a plugin; what an upload to the server may have.
pub const MAX_PLUGIN: u64 = 32 << 20;
/// Bytes of what travels beside it: cases, settings.
pub const MAX_BESIDE: u64 = 8 << 20;
