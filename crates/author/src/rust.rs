//! Rust: cargo makes a core module for `wasm32-unknown-unknown`, which has no imports, and it is wrapped into a component.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use wit_component::ComponentEncoder;

use crate::tool::{self, Missing};

pub const TARGET: &str = "wasm32-unknown-unknown";

/// What cargo says of something that it built; other messages have other fields.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

/// Builds the crate or workspace of a folder for release, and answers the name and path of each core module, sorted by
/// name. Where they are depends on who set what; so cargo is asked.
pub fn rust(folder: &Path, target_dir: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    check_target()?;
    let mut cargo = Command::new(cargo());
    // The current folder decides which `.cargo/config.toml` applies: the author's has the linker flag. What is set for
    // builds of the host is not meant.
    cargo.current_dir(folder).env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    cargo.args([
        "build",
        "--release",
        "--quiet",
        "--target",
        TARGET,
        "--message-format",
        "json-render-diagnostics",
    ]);
    let said = tool::run(cargo.arg("--target-dir").arg(target_dir))?;
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let mut built: Vec<(String, PathBuf)> = messages
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|message| {
            let target =
                message.target.filter(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))?;
            let module =
                message.filenames.into_iter().find(|file| file.extension() == Some("wasm".as_ref()))?;
            // A library is called like its package, but with underscores.
            Some((target.name.replace('_', "-"), module))
        })
        .collect();
    built.sort();
    if built.is_empty() {
        return Err(format!(
            "{} builds no cdylib; its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\", \"rlib\"]`",
            folder.display()
        ));
    }
    Ok(built)
}

/// Wraps a core module that wit-bindgen described into a component.
pub fn encode(module: &Path, component: &Path) -> Result<(), String> {
    let bytes = std::fs::read(module).map_err(|error| format!("{}: {error}", module.display()))?;
    let encoded = ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| {
            format!(
                "{} cannot be wrapped into a component: {error:#}; does the crate say export_qualifier! or export_router!?",
                module.display()
            )
        })?;
    std::fs::write(component, encoded).map_err(|error| format!("{}: {error}", component.display()))
}

/// Whether cargo is there, and rustup has the target. Without rustup the build itself says what is missing.
fn check_target() -> Result<(), String> {
    let cargo = Missing {
        tool: "cargo",
        looked: "on PATH".into(),
        mend: format!("Install Rust from https://rustup.rs, then `rustup target add {TARGET}`"),
    };
    if std::env::var_os("CARGO").is_none() && tool::find("cargo", &[]).is_none() {
        return Err(cargo.to_string());
    }
    let Ok(output) = Command::new("rustup").args(["target", "list", "--installed"]).output() else {
        return Ok(());
    };
    if String::from_utf8_lossy(&output.stdout).lines().any(|line| line == TARGET) {
        return Ok(());
    }
    let target = Missing {
        tool: "Rust's wasm target",
        looked: "with `rustup target list --installed`".into(),
        mend: format!("Type `rustup target add {TARGET}`"),
    };
    Err(target.to_string())
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
