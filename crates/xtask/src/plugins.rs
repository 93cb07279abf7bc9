//! Builds `plugins/` for wasm32 and wraps each module into a component: `target/plugins/<name>.wasm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::ComponentEncoder;

pub const TARGET: &str = "wasm32-unknown-unknown";

/// Builds every plugin and answers the components' paths, sorted by name.
pub fn build(root: &Path) -> Result<Vec<PathBuf>, String> {
    add_target()?;
    let guests = root.join("target/guests");
    let mut cargo = Command::new(cargo());
    // The current folder decides which `.cargo/config.toml` applies: the plugins' own has the linker flag. What cargo or
    // rustup set for us is about the host's build.
    cargo.current_dir(root.join("plugins")).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    run(cargo.args(["build", "--release", "--quiet", "--target", TARGET, "--target-dir"]).arg(&guests))?;

    let out = root.join("target/plugins");
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let modules = guests.join(TARGET).join("release");
    let mut built = Vec::new();
    for name in names(&root.join("plugins"))? {
        // Cargo names a library's file by its crate, with underscores.
        let module = modules.join(format!("{}.wasm", name.replace('-', "_")));
        let component = out.join(format!("{name}.wasm"));
        encode(&module, &component)?;
        built.push(component);
    }
    Ok(built)
}

/// Wraps a core module that wit-bindgen described into a component.
pub fn encode(module: &Path, component: &Path) -> Result<(), String> {
    let bytes = std::fs::read(module).map_err(|error| format!("{}: {error}", module.display()))?;
    let encoded = ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| format!("{}: {error:#}", module.display()))?;
    std::fs::write(component, encoded).map_err(|error| format!("{}: {error}", component.display()))
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

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
