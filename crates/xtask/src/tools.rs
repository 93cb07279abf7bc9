//! What must be installed beside cargo: rustup's components, cargo-nextest, node. Adds what rustup can add, and says in
//! one line how to get the rest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell;

/// The oldest node that the official clients run on.
const NODE: u32 = 20;

/// Adds rustfmt and clippy through rustup when cargo does not find them.
pub fn add_component(name: &'static str, subcommand: &str) -> Result<(), String> {
    if answers("cargo", &[subcommand, "--version"]) {
        return Ok(());
    }
    eprintln!("{name} is missing: adding it through rustup");
    shell::run(Command::new("rustup").args(["component", "add", name]))
        .map_err(|error| format!("{error}; install {name} beside your cargo"))
}

pub fn has_nextest() -> bool {
    answers("cargo", &["nextest", "--version"])
}

/// NATS's own server, for the tests of the mirror.
pub fn has_nats() -> bool {
    answers("nats-server", &["--version"])
}

/// Debian's registry of containers: installed, or unpacked by [`unpack_registry`].
pub fn registry(root: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&folders).map(|folder| folder.join("docker-registry"));
    let unpacked = registry_folder(root).join("usr/bin/docker-registry");
    installed.chain([unpacked]).find(|path| path.is_file())
}

/// Takes the package from the system's sources and unpacks it into a folder of ours.
pub fn unpack_registry(root: &Path) -> Result<(), String> {
    let folder = registry_folder(root);
    let part = folder.with_extension("part");
    // What an earlier try left half done.
    drop(std::fs::remove_dir_all(&part));
    std::fs::create_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
    shell::quiet(Command::new("apt-get").args(["download", "docker-registry"]).current_dir(&part))?;
    let files = std::fs::read_dir(&part).map_err(|error| error.to_string())?;
    let package =
        files.flatten().map(|file| file.path()).find(|path| path.extension() == Some("deb".as_ref()));
    let package = package.ok_or("apt-get downloaded no package")?;
    shell::quiet(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&part))?;
    drop(std::fs::remove_file(&package));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::rename(&part, &folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn registry_folder(root: &Path) -> PathBuf {
    root.join("target/tools/docker-registry")
}

/// Answers what is wrong with node and npm, and how to mend it.
pub fn check_node() -> Result<(), String> {
    let mend = format!(
        "the official GraphQL clients need node {NODE} or newer and npm: install them from https://nodejs.org or your \
         system (`apt-get install nodejs npm`), or leave them out with `cargo xtask test --allow-missing-node`"
    );
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|_| format!("node is not installed; {mend}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match major(&version) {
        Some(found) if found >= NODE => {}
        _ => return Err(format!("node answers version {version:?}; {mend}")),
    }
    if answers(npm(), &["--version"]) { Ok(()) } else { Err(format!("npm is not installed; {mend}")) }
}

/// The name under which npm can be started.
pub fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

/// The packages of a folder, as its lock file says.
pub fn install_packages(folder: &Path) -> Result<(), String> {
    if packages_are_installed(folder) {
        return Ok(());
    }
    shell::run(Command::new(npm()).args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}

/// Python's packages of a list, in a folder of their own; nothing is asked of the network when they are there.
pub fn install_modules(folder: &Path, wanted: &Path) -> Result<(), String> {
    let installed = folder.join("requirements.txt");
    if std::fs::read(&installed).ok() == std::fs::read(wanted).ok() {
        return Ok(());
    }
    let missing = "it needs python3 with venv and pip (Debian: `apt-get install python3-venv`)";
    let mut venv = Command::new("python3");
    shell::quiet(venv.args(["-m", "venv", "--clear"]).arg(folder))
        .map_err(|why| format!("{missing}: {why}"))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    shell::quiet(pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(wanted))?;
    std::fs::copy(wanted, &installed).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(())
}

/// npm leaves a copy of the lock file with what it installed.
pub fn packages_are_installed(folder: &Path) -> bool {
    let changed = |file: &str| std::fs::metadata(folder.join(file)).and_then(|data| data.modified()).ok();
    match (changed("package-lock.json"), changed("node_modules/.package-lock.json")) {
        (Some(locked), Some(installed)) => installed >= locked,
        _ => false,
    }
}

/// The major number of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn answers(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_number_is_read_from_what_node_prints() {
        let cases = [("v20.11.1", Some(20)), ("v8.0.0", Some(8)), ("20.1", None), ("", None), ("vx", None)];
        for (version, number) in cases {
            assert_eq!(major(version), number, "{version:?}");
        }
    }
}
