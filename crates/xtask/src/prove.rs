//! `cargo xtask prove`: processes are killed, paused and cut off, and nothing may be lost, reordered or doubled. Builds in
//! release and leaves the proving to `crates/prove`, which starts this program again for a PostgreSQL that it may kill.

use std::process::{Command, ExitCode};

use crate::shell::{self, Failure, Workspace};

const USAGE: &str = "\
Kills, pauses and cuts off real processes under load, and compares what was acknowledged, what subscribers saw and what is
there. Prints its seed and its figures, and fails when something was lost, reordered or doubled.

Usage: cargo xtask prove [options]

Options:
  --store sqlite|postgres|both   On which databases (default both)
  --only PART,...    kills       16 writers and 8 subscribers on 3 nodes; kill -9 of nodes and of PostgreSQL, pauses
                     timers      100,000 leads come back at a date, while the nodes are killed and paused
                     latency     from acknowledgement to delivery, for 1 and 1,000 subscribers on two nodes
                     throughput  acknowledged changes a second beside plain inserts
                     clock       the clock of a node jumps by hours and days (needs faketime)
                     disk        the disk of a node fills up and is freed (needs the right to mount)
                     fsync       no fsync of a node succeeds for a while (needs strace)
  --kills N          Kills of each store (default 200)
  --seconds N        At most so long for the kills of each store (default 900)
  --timers N         Leads with a timer (default 100000)
  --seed N           The seed of an earlier run; its chance is the same, the timing of processes is not
  --older PROGRAM    A server of an earlier version: nodes of both serve side by side and change places under load
  --short            A small form: about a minute in all

All of it takes about an hour on two cores. The simulation runs with the ordinary tests; more of it by
`HANDFAST_SIM_SEEDS=100000 cargo test -p handfast-prove sim`.";

pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode, Failure> {
    if shell::wants_help(args) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let packages = ["--package", "handfast", "--package", "handfast-prove"];
    shell::run(workspace.cargo().args(["build", "--release"]).args(packages))?;
    shell::run(command(workspace, "release")?.args(args))?;
    Ok(ExitCode::SUCCESS)
}

/// The program of a profile, with the server of the same.
pub fn command(workspace: &Workspace, profile: &str) -> Result<Command, String> {
    let handfast = workspace.binary(profile);
    let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let mut command = Command::new(handfast.with_file_name("handfast-prove"));
    command.arg("--handfast").arg(handfast).arg("--xtask").arg(this);
    Ok(command)
}
