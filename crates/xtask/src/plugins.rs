//! Builds `plugins/` for wasm32 and wraps each module into a component: `target/plugins/<name>.wasm`.

use std::path::{Path, PathBuf};
use std::process::Command;

pub use handfast_author::TARGET;

/// Builds every plugin and answers the components' paths, sorted by name.
pub fn build(root: &Path) -> Result<Vec<PathBuf>, String> {
    add_target()?;
    let out = root.join("target/plugins");
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut built = Vec::new();
    for (name, module) in handfast_author::rust(&root.join("plugins"), &root.join("target/guests"))? {
        let component = out.join(format!("{name}.wasm"));
        handfast_author::encode(&module, &component)?;
        built.push(component);
    }
    Ok(built)
}

/// The folders of `plugins/` that hold a crate.
pub fn names(plugins: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(plugins).map_err(|error| format!("{}: {error}", plugins.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Adds the wasm target through rustup when it is missing. Without rustup the build itself says what is missing.
pub fn add_target() -> Result<(), String> {
    let Ok(output) = Command::new("rustup").args(["target", "list", "--installed"]).output() else {
        return Ok(());
    };
    if String::from_utf8_lossy(&output.stdout).lines().any(|line| line == TARGET) {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
