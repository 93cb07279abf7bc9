//! `cargo xtask demo`: from a clone to a living funnel. Builds what is stale and becomes the server; the synthetic
//! company, the tokens and the printed operations are the server's own work.

use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::plugins;
use crate::shell::{self, Failure, Workspace};

const USAGE: &str = "\
Builds plugins and server and starts a living funnel. Ctrl-C ends it.

Usage: cargo xtask demo [options] [options of `handfast demo`]

Options:
  --profile NAME   The cargo profile that builds the server [default: dev]
  --release        The same as --profile release

Everything else goes on to `handfast demo`, such as:
  --data DIR       Run on a real data set, for example $HANDFAST_DATA/olist, instead of the synthetic company
  --port N         Listen on another port of 127.0.0.1";

/// Does not return on unix when all went well: the server takes this process's place.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode, Failure> {
    if shell::wants_help(args) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let (profile, passed) = split(args)?;
    let steps = Steps { begun: Instant::now() };

    steps.say(1, "The wasm target");
    plugins::add_target()?;
    steps.say(2, "Plugins, for wasm32");
    plugins::build(&workspace.root)?;
    steps.say(3, "Server (the first build takes minutes, the next one moments)");
    shell::run(workspace.cargo().args(["build", "--package", "handfast", "--profile", &profile]))?;
    steps.say(4, "Start");

    let mut server = Command::new(workspace.binary(&profile));
    server.arg("demo").arg("--plugins").arg(workspace.components());
    server.arg("--sources").arg(workspace.root.join("plugins")).args(passed);
    become_process(&mut server)
}

/// The headings, with the time since the start: `[2/4]  0.3 s  Plugins`.
struct Steps {
    begun: Instant,
}

impl Steps {
    fn say(&self, step: usize, what: &str) {
        eprintln!("[{step}/4] {:>10}  {what}", shell::since(self.begun));
    }
}

/// Our own options apart from those of `handfast demo`.
fn split(args: &[String]) -> Result<(String, Vec<String>), Failure> {
    let (mut profile, mut passed) = ("dev".to_owned(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--profile" {
            let missing =
                || Failure::Usage("--profile needs a name: dev, release or another of Cargo.toml".to_owned());
            profile = args.next().ok_or_else(missing)?.clone();
        } else if let Some(name) = arg.strip_prefix("--profile=") {
            profile = name.to_owned();
        } else if arg == "--release" {
            profile = "release".to_owned();
        } else if arg != "--" {
            passed.push(arg.clone());
        }
    }
    Ok((profile, passed))
}

/// The server takes this process's place, so that Ctrl-C and `kill` reach it and nothing stands in between.
#[cfg(unix)]
fn become_process(command: &mut Command) -> Result<ExitCode, Failure> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(Failure::Task(format!("`{}` cannot be started: {error}", shell::shown(command))))
}

#[cfg(not(unix))]
fn become_process(command: &mut Command) -> Result<ExitCode, Failure> {
    shell::run(command)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_words(line: &str) -> (String, Vec<String>) {
        split(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).expect("a good line")
    }

    #[test]
    fn own_options_are_taken_wherever_they_stand_and_the_rest_is_passed_on_in_order() {
        let cases = [
            ("", "dev", ""),
            ("--port 4000", "dev", "--port 4000"),
            ("--release --data x", "release", "--data x"),
            ("--data x --profile fast --port 1", "fast", "--data x --port 1"),
            ("--profile=release -- --port 1", "release", "--port 1"),
        ];
        for (line, profile, rest) in cases {
            let (found, passed) = split_words(line);
            assert_eq!((found.as_str(), passed.join(" ").as_str()), (profile, rest), "{line:?}");
        }
    }

    #[test]
    fn a_profile_without_a_name_is_a_usage_error() {
        assert!(matches!(split(&["--profile".to_owned()]), Err(Failure::Usage(_))));
    }
}
