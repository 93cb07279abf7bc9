//! `cargo xtask schema`: `schema/handfast.graphql` is what `handfast schema` prints. A drift is shown by its first line.

use std::process::{Command, ExitCode};

use crate::shell::{self, Failure, Workspace};

const FILE: &str = "schema/handfast.graphql";

const USAGE: &str = "\
Writes schema/handfast.graphql from the server's types.

Usage: cargo xtask schema [--check]

Options:
  --check   Only compare, and fail when the committed file differs";

pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode, Failure> {
    if shell::wants_help(args) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let only_check = args.first().is_some_and(|arg| arg == "--check");
    shell::no_more(&args[usize::from(only_check)..], "schema")?;
    shell::run(workspace.cargo().args(["build", "--package", "handfast"]))?;
    if only_check {
        check(workspace)?;
    } else {
        let printed = printed(workspace)?;
        std::fs::write(workspace.root.join(FILE), printed).map_err(|error| format!("{FILE}: {error}"))?;
        eprintln!("wrote {FILE}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares the committed file with what the built server prints.
pub fn check(workspace: &Workspace) -> Result<(), String> {
    let printed = printed(workspace)?;
    let committed =
        std::fs::read_to_string(workspace.root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    match first_difference(&committed, &printed) {
        None => Ok(()),
        Some(drift) => Err(format!(
            "{FILE} has drifted from the server's types.\n{drift}\n`cargo xtask schema` writes it again"
        )),
    }
}

fn printed(workspace: &Workspace) -> Result<String, String> {
    shell::read(Command::new(workspace.binary("dev")).arg("schema"))
}

fn first_difference(committed: &str, printed: &str) -> Option<String> {
    if committed == printed {
        return None;
    }
    let (mut old, mut new) = (committed.lines(), printed.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (old.next(), new.next()) {
            (None, None) => return Some("Only the ends of lines differ.".to_owned()),
            (a, b) if a == b => {}
            (a, b) => {
                let shown = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return Some(format!("line {line}\n  committed: {}\n  now:       {}", shown(a), shown(b)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_shown_by_its_first_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        let cases = [
            ("a\nb\n", "a\nc\n", "line 2\n  committed: b\n  now:       c"),
            ("a\n", "a\nb\n", "line 2\n  committed: (the end)\n  now:       b"),
            ("a\nb\n", "a\n", "line 2\n  committed: b\n  now:       (the end)"),
            ("a\r\n", "a\n", "Only the ends of lines differ."),
        ];
        for (committed, printed, shown) in cases {
            assert_eq!(
                first_difference(committed, printed).as_deref(),
                Some(shown),
                "{committed:?} {printed:?}"
            );
        }
    }
}
