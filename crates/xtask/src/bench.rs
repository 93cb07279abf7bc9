//! `cargo xtask bench`: figures beside others, taken in one run. Builds what is measured in release, starts a private
//! PostgreSQL where there is one, and leaves the measuring to `crates/bench`.

use std::process::{Command, ExitCode};

use crate::plugins;
use crate::postgres::Cluster;
use crate::shell::{self, Failure, Workspace};

const USAGE: &str = "\
Measures Handfast beside others that do the same work, in one run. Nothing here can fail for being slow.

Usage: cargo xtask bench [PART...] [options of the parts]

Parts, all of them without:
  rules     The rules host for batches of 1, 10, 100 and 500, beside the same card in Rust [--seconds N]
  import    100,000 synthetic leads with a decision and a snapshot each [--rows N]
  reads     Six operations over a million leads, beside the same rows without GraphQL
            [--leads N] [--seconds N] [--rounds N] [--connections N] [--keep DIR]
  feed      Events that are numbered by the sequencer, beside the same rows in a plain table
            [--seconds N] [--rounds N] [--callers N]
  fanout    Stage changes to 1, 100, 1,000 and 5,000 subscribers, with the memory of each [--deliveries N]
  attacks   Attacks of thirteen families while ordinary users ask, with and without the budget of an address
            [--seconds N] [--rounds N] [--rate N] [--budget with|without] [--only FAMILY] [--short]

Options:
  --sqlite  Leave PostgreSQL out

The parts with a database run on SQLite and on a private PostgreSQL, which does not wait for the disk. All of it takes
about an hour on two cores, and the first build in release ten minutes more.";

const PARTS: &[&str] = &["rules", "import", "reads", "feed", "fanout", "attacks"];

pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode, Failure> {
    if shell::wants_help(args) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let Asked { parts, sqlite, options } = Asked::parse(args)?;
    plugins::add_target()?;
    plugins::build(&workspace.root)?;
    let packages = ["--package", "handfast", "--package", "handfast-bench"];
    shell::run(workspace.cargo().args(["build", "--release"]).args(packages))?;
    let handfast = workspace.binary("release");
    let cluster = if sqlite || parts == ["rules"] { None } else { Some(Cluster::start()?) };
    for part in parts {
        let mut command = Command::new(handfast.with_file_name("handfast-bench"));
        command.arg("--handfast").arg(&handfast);
        if let Some(cluster) = &cluster {
            command.arg("--postgres").arg(&cluster.url);
        }
        shell::run(command.arg(part).args(&options))?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Asked {
    parts: Vec<&'static str>,
    sqlite: bool,
    /// Of the one part that was named.
    options: Vec<String>,
}

impl Asked {
    fn parse(args: &[String]) -> Result<Asked, Failure> {
        let mut asked = Asked { parts: Vec::new(), sqlite: false, options: Vec::new() };
        let mut args = args.iter().peekable();
        while let Some(arg) = args.next() {
            if arg == "--sqlite" {
                asked.sqlite = true;
            } else if arg.starts_with("--") {
                asked.options.push(arg.clone());
                // `--name value`, unless it is `--name=value`.
                let value =
                    (!arg.contains('=')).then(|| args.next_if(|next| !next.starts_with("--"))).flatten();
                asked.options.extend(value.cloned());
            } else {
                let part = PARTS.iter().find(|part| *part == arg);
                let hint = shell::closest(arg, PARTS).map(|part| format!(" Did you mean {part}?"));
                let unknown =
                    || Failure::Usage(format!("there is no part {arg:?}.{}", hint.unwrap_or_default()));
                asked.parts.push(part.ok_or_else(unknown)?);
            }
        }
        if !asked.options.is_empty() && asked.parts.len() != 1 {
            let message =
                format!("{} belongs to one part: name it, as in `cargo xtask bench reads`", asked.options[0]);
            return Err(Failure::Usage(message));
        }
        if asked.parts.is_empty() {
            asked.parts = PARTS.to_vec();
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked, Failure> {
        Asked::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn parts_and_their_options_are_told_apart() {
        let all = parse("--sqlite").expect("a good line");
        assert_eq!((all.parts.as_slice(), all.sqlite), (PARTS, true));
        let reads = parse("reads --leads 20000 --sqlite --seconds=1").expect("a good line");
        assert_eq!((reads.parts.as_slice(), reads.sqlite), (&["reads"][..], true));
        assert_eq!(reads.options, ["--leads", "20000", "--seconds=1"]);
        for bad in ["read", "--leads 5", "reads rules --leads 5"] {
            assert!(matches!(parse(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
