//! How tasks run other programs: where the workspace is, a cargo that shares its build with plain cargo, durations.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Why a task ended: it was called wrongly (exit 2) or something it ran failed (exit 1).
#[derive(Debug)]
pub enum Failure {
    Usage(String),
    Task(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Task(message)
    }
}

/// The checkout and the target directory that cargo uses for it.
#[derive(Debug)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
}

impl Workspace {
    pub fn find() -> Result<Self, String> {
        // The folder where this binary was compiled. A moved checkout makes cargo compile it again.
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.ancestors().nth(2).ok_or("crates/xtask has no workspace above it")?.to_path_buf();
        // This program runs as `<target>/<profile>/xtask`, whatever flag, variable or file chose the target directory.
        let program = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let target = program.ancestors().nth(2).map_or_else(|| root.join("target"), Path::to_path_buf);
        Ok(Self { root, target })
    }

    /// Where `plugins::build` puts the components.
    pub fn components(&self) -> PathBuf {
        self.root.join("target/plugins")
    }

    /// The server's binary as a profile builds it.
    pub fn binary(&self, profile: &str) -> PathBuf {
        let folder = if profile == "dev" { "debug" } else { profile };
        self.target.join(folder).join(format!("handfast{}", std::env::consts::EXE_SUFFIX))
    }

    /// Cargo in the workspace's root.
    pub fn cargo(&self) -> Command {
        let mut cargo = cargo();
        cargo.current_dir(&self.root);
        cargo
    }

    /// Cargo in `plugins/`, whose `.cargo/config.toml` holds the guests' linker flag, on the guests' target directory.
    pub fn guest_cargo(&self) -> Command {
        let mut cargo = cargo();
        cargo.current_dir(self.root.join("plugins"));
        cargo.env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", self.root.join("target/guests"));
        cargo
    }
}

/// Runs a command with this terminal; its output is streamed as it is.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", shown(command))) }
}

/// Runs a command and answers what it printed on stdout. Its stderr is streamed.
pub fn read(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if !output.status.success() {
        return Err(format!("`{}` ended with {}", shown(command), output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| format!("`{}` printed no UTF-8: {error}", shown(command)))
}

/// Runs a command and shows what it said only if it failed.
pub fn quiet(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("`{}`: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("`{}` ended with {}: {last}", shown(command), output.status))
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The time since an instant: `0.4 s`, `12.3 s`, `3 min 05 s`.
pub fn since(start: Instant) -> String {
    duration(start.elapsed())
}

pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

pub fn wants_help(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-h")
}

/// Refuses arguments that a task does not know.
pub fn no_more(args: &[String], task: &str) -> Result<(), Failure> {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(Failure::Usage(format!(
            "`cargo xtask {task}` takes no argument {arg:?}; `cargo xtask {task} --help` lists what it takes"
        ))),
    }
}

/// The name that was probably meant: at most two letters away, or one that begins like it.
pub fn closest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|name| (distance(typed, name), *name)).min_by_key(|(distance, _)| *distance);
    let begins = || names.iter().find(|name| typed.len() > 1 && name.starts_with(typed)).copied();
    near.filter(|(distance, name)| *distance <= 2 && *distance < name.len())
        .map(|(_, name)| name)
        .or_else(begins)
}

/// Cargo without what `cargo run` told this program about the package `xtask`: a build script that watches one of those
/// variables (ring's does) would otherwise run again each time the caller alternates between `cargo xtask` and `cargo`.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os().filter(|(name, _)| describes_package(name)) {
        cargo.env_remove(name);
    }
    cargo
}

fn describes_package(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let single = ["CARGO_CRATE_NAME", "CARGO_BIN_NAME", "CARGO_PRIMARY_PACKAGE"];
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || single.contains(&name.as_ref())
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("`{}` cannot be started: {error}", shown(command))
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 0..b.len() {
            let changed = diagonal + usize::from(letter != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_two_letters_is_recognised_and_nonsense_is_not() {
        let names = ["demo", "test", "plugins", "schema"];
        let cases = [
            ("demo", Some("demo")),
            ("dmo", Some("demo")),
            ("tests", Some("test")),
            ("plugin", Some("plugins")),
            ("sch", Some("schema")),
            ("shcema", Some("schema")),
            ("deploy", None),
            ("x", None),
            ("", None),
        ];
        for (typed, meant) in cases {
            assert_eq!(closest(typed, &names), meant, "{typed:?}");
        }
    }

    #[test]
    fn durations_read_like_a_clock() {
        let cases = [
            (40, "0.0 s"),
            (12_340, "12.3 s"),
            (59_940, "59.9 s"),
            (60_000, "1 min 00 s"),
            (185_000, "3 min 05 s"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn cargo_forgets_the_package_but_not_the_users_settings() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_BIN_NAME"] {
            assert!(describes_package(&name.into()), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "RUSTFLAGS", "PATH"] {
            assert!(!describes_package(&name.into()), "{name}");
        }
    }
}
