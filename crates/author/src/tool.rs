//! Programs that an author needs: where they are looked for, and what to do where they are missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that is not there, and what to type so that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub tool: &'static str,
    /// Where it was looked for.
    pub looked: String,
    pub mend: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is missing (looked {}). {}", self.tool, self.looked, self.mend)
    }
}

/// A program in one of the folders, or else on `PATH`.
pub fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = if cfg!(windows) {
        [format!("{name}.exe"), format!("{name}.cmd")].to_vec()
    } else {
        vec![name.to_owned()]
    };
    let places = folders.iter().chain(&on_path);
    places.flat_map(|folder| names.iter().map(|name| folder.join(name))).find(|path| path.is_file())
}

/// Runs a command and answers what it printed on stdout; what it said is told only if it failed.
pub fn run(command: &mut Command) -> Result<String, String> {
    /// Lines of an error: compilers say the most important thing near the end, and Python at the very end.
    const LINES: usize = 40;
    let output = command.output().map_err(|error| format!("`{}`: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { said };
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    Err(format!("`{}` ended with {}:\n{last}", shown(command), output.status))
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(OsStr::new(""));
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A folder without what was in it.
pub fn empty(folder: &Path) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// The files of a folder, not those of folders within, into another.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let entries = std::fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        let copied = std::fs::copy(entry.path(), to.join(entry.file_name()));
        copied.map_err(|error| format!("{}: {error}", entry.path().display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_folder_comes_before_what_is_on_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let name = if cfg!(windows) { "cargo.exe" } else { "cargo" };
        std::fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(find("cargo", &[folder.path().into()]), Some(folder.path().join(name)));
        assert_ne!(find("cargo", &[]), Some(folder.path().join(name)));
        assert_eq!(find("no-such-program-of-handfast", &[]), None);
    }

    #[test]
    fn a_failed_command_says_what_it_said() {
        let error = run(Command::new("cargo").arg("--no-such-flag")).unwrap_err();
        assert!(error.starts_with("`cargo --no-such-flag` ended with"), "{error}");
        assert!(error.contains("unexpected argument"), "{error}");
    }
}
