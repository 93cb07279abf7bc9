//! `cargo xtask test`: all that continuous integration runs, in order. A step that fails does not stop the others,
//! except those that need what it makes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::postgres::Cluster;
use crate::shell::{self, Failure, Workspace};
use crate::{arrows, features, languages, plugins, prove, schema, tools};

const USAGE: &str = "\
Runs everything that continuous integration runs, in order, and ends with a summary.

Usage: cargo xtask test [--only NAME...] [--allow-missing-node] [--list]

Options:
  --only NAME...         Only these steps and what they need
  --allow-missing-node   Leave the official npm clients out where node is missing, instead of failing
  --list                 Print the steps

Environment:
  HANDFAST_DATA          The folder of the real data sets. Tests that need it say so and pass when it is missing";

/// This program stays out of the server's build: it needs other features of wasm libraries, and cargo would compile
/// wasmtime a second time for them. It is tested in a run of its own.
const SERVER_CRATES: &[&str] = &["--workspace", "--exclude", "xtask"];
const THIS_CRATE: &[&str] = &["--package", "xtask"];
/// Those with tests that touch a database.
const POSTGRES_CRATES: [&str; 3] = ["handfast-store", "handfast", "handfast-tests"];

struct Step {
    name: &'static str,
    about: &'static str,
    needs: &'static [&'static str],
    run: fn(&Run) -> Result<(), String>,
}

const STEPS: &[Step] = &[
    Step { name: "format", about: "rustfmt, here and in plugins/", needs: &[], run: format },
    Step {
        name: "arrows",
        about: "which crate may name which; the domain alone; one build for all",
        needs: &[],
        run: check_arrows,
    },
    Step { name: "clippy", about: "clippy without a warning, host and wasm32", needs: &[], run: clippy },
    Step { name: "plugins", about: "plugins/ for wasm32, as components", needs: &[], run: build_plugins },
    Step { name: "clients", about: "the official npm clients of tests/clients", needs: &[], run: clients },
    Step {
        name: "nats",
        about: "the server once more, with its mirror in NATS",
        needs: &[],
        run: build_with_nats,
    },
    Step {
        name: "registry",
        about: "Debian's registry of containers, for plugins in it",
        needs: &[],
        run: registry,
    },
    // After `nats`, so that target/debug/handfast is what `cargo build` makes.
    Step { name: "build", about: "the server and every test", needs: &[], run: build },
    Step {
        name: "languages",
        about: "the scorecard in JavaScript and Python, against the same cases",
        needs: &["build"],
        run: languages,
    },
    Step {
        name: "tests",
        about: "unit, property and black-box tests",
        needs: &["plugins", "clients", "nats", "registry", "build"],
        run: tests,
    },
    Step {
        name: "postgres",
        about: "what touches the store once more, on a private PostgreSQL",
        needs: &["plugins", "clients", "nats", "registry", "build"],
        run: postgres,
    },
    Step {
        name: "bench",
        about: "the benchmark's parts at a small scale: the same answers as their opponents",
        needs: &["plugins", "build"],
        run: bench,
    },
    Step {
        name: "prove",
        about: "nodes are killed, paused and cut off for a minute: nothing lost, reordered or doubled",
        needs: &["build"],
        run: prove_short,
    },
    Step { name: "guests", about: "the plugins' own unit tests", needs: &[], run: guests },
    Step {
        name: "cases",
        about: "each plugin against its cases/*.json",
        needs: &["plugins", "build"],
        run: cases,
    },
    Step {
        name: "schema",
        about: "schema/handfast.graphql is what the server serves",
        needs: &["build"],
        run: check_schema,
    },
    Step { name: "docs", about: "rustdoc without a warning, and its examples", needs: &[], run: docs },
];

/// What the steps share.
struct Run<'a> {
    workspace: &'a Workspace,
    data: Option<PathBuf>,
    allow_missing_node: bool,
}

enum Outcome {
    Passed,
    Failed(String),
    /// A step that it needs did not pass.
    Blocked(&'static str),
}

pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode, Failure> {
    if shell::wants_help(args) {
        println!("{USAGE}\n\nSteps:\n{}", list());
        return Ok(ExitCode::SUCCESS);
    }
    let asked = Asked::parse(args)?;
    if asked.list {
        println!("{}", list());
        return Ok(ExitCode::SUCCESS);
    }
    let run = Run { workspace, data: data(&workspace.root), allow_missing_node: asked.allow_missing_node };
    let steps = selected(&asked.only);
    let begun = Instant::now();
    let mut done: Vec<(&Step, Outcome, Duration)> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        eprintln!("\n━━ [{}/{}] {}: {}", number + 1, steps.len(), step.name, step.about);
        let start = Instant::now();
        let outcome = match blocked(step, &done) {
            Some(needed) => Outcome::Blocked(needed),
            None => (step.run)(&run).map_or_else(Outcome::Failed, |()| Outcome::Passed),
        };
        match &outcome {
            Outcome::Passed => eprintln!("   {}: ok, {}", step.name, shell::since(start)),
            Outcome::Failed(why) => eprintln!("   {}: FAILED, {}\n   {why}", step.name, shell::since(start)),
            Outcome::Blocked(needed) => eprintln!("   {}: not run, because {needed} failed", step.name),
        }
        done.push((step, outcome, start.elapsed()));
    }
    Ok(summary(&done, begun.elapsed()))
}

fn summary(done: &[(&Step, Outcome, Duration)], whole: Duration) -> ExitCode {
    eprintln!("\n━━ summary");
    for (step, outcome, time) in done {
        let (word, why) = match outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Failed(why) => ("FAILED", format!("  {}", why.lines().next().unwrap_or_default())),
            Outcome::Blocked(needed) => ("not run", format!("  {needed} failed")),
        };
        eprintln!("   {word:<8}{:<9}{:>12}{why}", step.name, shell::duration(*time));
    }
    let failed: Vec<&str> = done
        .iter()
        .filter(|(_, outcome, _)| !matches!(outcome, Outcome::Passed))
        .map(|(step, ..)| step.name)
        .collect();
    if failed.is_empty() {
        eprintln!("   all {} steps passed in {}", done.len(), shell::duration(whole));
        return ExitCode::SUCCESS;
    }
    eprintln!("   {} of {} steps did not pass in {}", failed.len(), done.len(), shell::duration(whole));
    eprintln!("   again: cargo xtask test --only {}", failed.join(" "));
    ExitCode::FAILURE
}

/// What the command line asks for.
#[derive(Default, Debug, PartialEq)]
struct Asked {
    only: Vec<&'static str>,
    allow_missing_node: bool,
    list: bool,
}

impl Asked {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let (mut asked, mut naming, mut names) = (Self::default(), false, 0);
        for arg in args {
            match arg.as_str() {
                "--list" => asked.list = true,
                "--allow-missing-node" => asked.allow_missing_node = true,
                "--only" => {}
                option if option.starts_with('-') => {
                    return Err(Failure::Usage(format!("there is no option {option:?}\n\n{USAGE}")));
                }
                words if naming => {
                    for name in words.split(',') {
                        asked.only.push(step_name(name)?);
                        names += 1;
                    }
                    continue;
                }
                other => {
                    return Err(Failure::Usage(format!(
                        "{other:?} stands alone: did you mean `--only {other}`?"
                    )));
                }
            }
            naming = arg == "--only";
        }
        if names == 0 && args.iter().any(|arg| arg == "--only") {
            return Err(Failure::Usage(format!("--only needs the name of a step:\n{}", list())));
        }
        Ok(asked)
    }
}

fn step_name(name: &str) -> Result<&'static str, Failure> {
    let names: Vec<&'static str> = STEPS.iter().map(|step| step.name).collect();
    names.iter().find(|known| **known == name).copied().ok_or_else(|| {
        let hint =
            shell::closest(name, &names).map(|near| format!(" Did you mean {near:?}?")).unwrap_or_default();
        Failure::Usage(format!("there is no step {name:?}.{hint}\n{}", list()))
    })
}

fn list() -> String {
    STEPS.iter().map(|step| format!("  {:<9} {}", step.name, step.about)).collect::<Vec<_>>().join("\n")
}

/// The asked steps with what they need, in order; all of them when none was asked.
fn selected(only: &[&str]) -> Vec<&'static Step> {
    let needed =
        |name: &str| STEPS.iter().any(|step| only.contains(&step.name) && step.needs.contains(&name));
    STEPS.iter().filter(|step| only.is_empty() || only.contains(&step.name) || needed(step.name)).collect()
}

/// The needed step that did not pass.
fn blocked(step: &Step, done: &[(&Step, Outcome, Duration)]) -> Option<&'static str> {
    // Without the npm clients the other tests still have something to say; theirs is then a failure of its own step.
    let needed = |other: &Step| step.needs.contains(&other.name) && other.name != "clients";
    done.iter()
        .find(|(other, outcome, _)| needed(other) && !matches!(outcome, Outcome::Passed))
        .map(|(other, ..)| other.name)
}

/// The real data: as the environment says, else where the checkouts of this project keep it.
fn data(root: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("HANDFAST_DATA").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| root.parent().map(|parent| parent.join("shared/data"))).filter(|folder| folder.is_dir())
}

impl Run<'_> {
    fn clients_folder(&self) -> PathBuf {
        self.workspace.root.join("tests/clients")
    }

    /// The server with the feature `nats`.
    fn with_nats(&self) -> PathBuf {
        self.workspace.binary("dev").with_file_name(format!("handfast-nats{}", std::env::consts::EXE_SUFFIX))
    }

    /// Tells tests where the built product is.
    fn with_product(&self, command: &mut Command) {
        command.env("HANDFAST_PLUGINS", self.workspace.components());
        command.env("HANDFAST_BIN", self.workspace.binary("dev"));
        command.env("HANDFAST_NATS_BIN", self.with_nats());
        if let Some(program) = tools::registry(&self.workspace.root) {
            command.env("HANDFAST_REGISTRY_BIN", program);
        }
        match &self.data {
            Some(data) => command.env("HANDFAST_DATA", data),
            None => command.env_remove("HANDFAST_DATA"),
        };
        if tools::packages_are_installed(&self.clients_folder()) && tools::check_node().is_ok() {
            command.env("HANDFAST_CLIENTS", self.clients_folder());
        } else {
            // Unset would mean the usual folder, whose clients may stand there without a node to run them.
            command.env("HANDFAST_CLIENTS", "");
        }
    }
}

fn format(run: &Run) -> Result<(), String> {
    tools::add_component("rustfmt", "fmt")?;
    let check = ["fmt", "--all", "--check"];
    // Both are shown before either counts.
    let here = shell::run(run.workspace.cargo().args(check));
    shell::run(run.workspace.guest_cargo().args(check)).and(here)
}

fn check_arrows(run: &Run) -> Result<(), String> {
    arrows::check(run.workspace).and(features::check(run.workspace, SERVER_CRATES))
}

fn clippy(run: &Run) -> Result<(), String> {
    tools::add_component("clippy", "clippy")?;
    plugins::add_target()?;
    let deny = ["--", "-D", "warnings"];
    let server =
        shell::run(run.workspace.cargo().arg("clippy").args(SERVER_CRATES).arg("--all-targets").args(deny));
    let mirror = ["clippy", "--package", "handfast", "--features", "nats"];
    let mirror = shell::run(run.workspace.cargo().args(mirror).args(deny));
    let this =
        shell::run(run.workspace.cargo().arg("clippy").args(THIS_CRATE).arg("--all-targets").args(deny));
    let mut guests = run.workspace.guest_cargo();
    let guests = shell::run(guests.args(["clippy", "--workspace", "--target", plugins::TARGET]).args(deny));
    let mut guest_tests = run.workspace.guest_cargo();
    let guest_tests = shell::run(guest_tests.args(["clippy", "--workspace", "--all-targets"]).args(deny));
    server.and(mirror).and(this).and(guests).and(guest_tests)
}

fn build_plugins(run: &Run) -> Result<(), String> {
    for component in plugins::build(&run.workspace.root)? {
        let size =
            std::fs::metadata(&component).map_err(|error| format!("{}: {error}", component.display()))?.len();
        eprintln!("   {} ({} KiB)", component.display(), size / 1024);
    }
    Ok(())
}

fn clients(run: &Run) -> Result<(), String> {
    if let Err(missing) = tools::check_node() {
        if run.allow_missing_node {
            eprintln!("   left out: {missing}");
            return Ok(());
        }
        return Err(missing);
    }
    let folder = run.clients_folder();
    let root = &run.workspace.root;
    // The library of Standard Webhooks in a second language: what it would say is left out where Python is missing.
    let python = root.join("target/clients-python");
    if let Err(why) = tools::install_modules(&python, &folder.join("requirements.txt")) {
        eprintln!("   the client in Python is left out: {why}");
    }
    tools::install_packages(&folder)
}

/// The scorecard's cases, once for each language that could be built.
fn languages(run: &Run) -> Result<(), String> {
    let mut outcome = Ok(());
    for component in languages::build(run.workspace)? {
        let mut command = Command::new(run.workspace.binary("dev"));
        command.args(["plugin", "test", "plugins/scorecard", "--wasm"]).arg(&component);
        outcome = shell::run(command.current_dir(&run.workspace.root)).and(outcome);
    }
    outcome
}

/// Everything else is tested without the feature, as most people run it. Only the server itself is compiled a second time.
fn build_with_nats(run: &Run) -> Result<(), String> {
    if !tools::has_nats() {
        eprintln!("   left out: nats-server is missing; install it with apt-get install nats-server");
        return Ok(());
    }
    shell::run(run.workspace.cargo().args([
        "build",
        "--package",
        "handfast",
        "--features",
        "nats",
        "--bins",
    ]))?;
    let (built, kept) = (run.workspace.binary("dev"), run.with_nats());
    // Cargo replaces its file by the one without the feature: the content must be a file of its own.
    std::fs::copy(&built, &kept).map(drop).map_err(|error| format!("{}: {error}", kept.display()))
}

/// Unpacked from Debian's package where it is not installed; nothing of the system is changed.
fn registry(run: &Run) -> Result<(), String> {
    if tools::registry(&run.workspace.root).is_some() {
        return Ok(());
    }
    if let Err(why) = tools::unpack_registry(&run.workspace.root) {
        eprintln!(
            "   left out: docker-registry is missing; install it with apt-get install docker-registry ({why})"
        );
    }
    Ok(())
}

fn build(run: &Run) -> Result<(), String> {
    // Binaries and tests in one go, so that both are built with the same features.
    shell::run(run.workspace.cargo().arg("build").args(SERVER_CRATES).args(["--bins", "--tests"]))
}

fn tests(run: &Run) -> Result<(), String> {
    match &run.data {
        Some(data) => eprintln!("   real data: {}", data.display()),
        None => eprintln!("   no real data: set HANDFAST_DATA to its folder; tests that need it are skipped"),
    }
    let mut server = test_command(run, tools::has_nextest());
    run.with_product(server.args(SERVER_CRATES).env_remove("HANDFAST_TEST_POSTGRES"));
    let mut this = test_command(run, tools::has_nextest());
    let this = shell::run(this.args(THIS_CRATE));
    shell::run(&mut server).and(this)
}

/// The same tests as on SQLite: those of the store, of the server's flows, and the black-box tests.
fn postgres(run: &Run) -> Result<(), String> {
    let cluster = Cluster::start()?;
    let nextest = tools::has_nextest();
    let mut command = test_command(run, nextest);
    if nextest {
        // Chosen of what the step before has built: another choice of packages has other features, and is compiled anew.
        command
            .args(SERVER_CRATES)
            .args(["-E", &POSTGRES_CRATES.map(|name| format!("package({name})")).join(" | ")]);
    } else {
        command.args(POSTGRES_CRATES.iter().flat_map(|name| ["--package", name]));
    }
    run.with_product(command.env("HANDFAST_TEST_POSTGRES", &cluster.url));
    shell::run(&mut command)
}

/// Whether they are fast is not asked here, only whether both sides of each comparison do the same.
fn bench(run: &Run) -> Result<(), String> {
    let cluster = Cluster::start()?;
    let handfast = run.workspace.binary("dev");
    for part in [
        "rules --seconds 0.05",
        "reads --leads 300 --season 60 --seconds 0.1 --rounds 1 --changes 20",
        "feed --seconds 0.2 --rounds 1 --callers 4",
        "import --rows 500",
        "fanout --subscribers 3 --deliveries 300",
        "attacks --short",
    ] {
        let mut command = Command::new(handfast.with_file_name("handfast-bench"));
        command.arg("--handfast").arg(&handfast).arg("--postgres").arg(&cluster.url);
        shell::run(command.args(part.split(' ')))?;
    }
    Ok(())
}

fn test_command(run: &Run, nextest: bool) -> Command {
    let mut command = run.workspace.cargo();
    if nextest {
        let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
        command.args(["nextest", "run", "--no-fail-fast", "--profile", profile]);
    } else {
        eprintln!(
            "   cargo-nextest is missing: plain `cargo test` runs instead, slower and without time limits"
        );
        eprintln!("   `cargo install --locked cargo-nextest` adds it");
        command.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    }
    command
}

fn prove_short(run: &Run) -> Result<(), String> {
    shell::run(prove::command(run.workspace, "dev")?.arg("--short"))
}

fn guests(run: &Run) -> Result<(), String> {
    shell::run(run.workspace.guest_cargo().args(["test", "--workspace", "--no-fail-fast"]))
}

fn cases(run: &Run) -> Result<(), String> {
    let plugins = run.workspace.root.join("plugins");
    let mut outcome = Ok(());
    for name in plugins::names(&plugins)?.iter().filter(|name| plugins.join(name).join("cases").is_dir()) {
        let mut command = Command::new(run.workspace.binary("dev"));
        command
            .args(["plugin", "test"])
            .arg(Path::new("plugins").join(name))
            .current_dir(&run.workspace.root);
        run.with_product(&mut command);
        outcome = shell::run(&mut command).and(outcome);
    }
    outcome
}

fn check_schema(run: &Run) -> Result<(), String> {
    schema::check(run.workspace)
}

fn docs(run: &Run) -> Result<(), String> {
    let mut doc = run.workspace.cargo();
    doc.arg("doc").args(SERVER_CRATES).args(["--no-deps", "--document-private-items"]);
    let pages = shell::run(doc.env("RUSTDOCFLAGS", "-D warnings"));
    shell::run(run.workspace.cargo().args(["test", "--doc"]).args(SERVER_CRATES)).and(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked, Failure> {
        Asked::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn steps_are_named_by_words_or_commas_and_unknown_words_are_usage_errors() {
        let only = |names: &[&'static str]| Asked { only: names.to_vec(), ..Asked::default() };
        assert_eq!(parse("").expect("nothing"), Asked::default());
        assert_eq!(parse("--only tests cases").expect("words"), only(&["tests", "cases"]));
        assert_eq!(
            parse("--only tests,cases --only docs").expect("commas"),
            only(&["tests", "cases", "docs"])
        );
        assert!(parse("--only docs --allow-missing-node").expect("mixed").allow_missing_node);
        for wrong in ["tests", "--only", "--only tset", "--fast", "--only docs --list tests"] {
            assert!(matches!(parse(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_chosen_step_brings_what_it_needs_and_keeps_the_order() {
        let names = |only: &[&str]| selected(only).iter().map(|step| step.name).collect::<Vec<_>>();
        assert_eq!(names(&["tests"]), ["plugins", "clients", "nats", "registry", "build", "tests"]);
        assert_eq!(names(&["languages"]), ["build", "languages"]);
        assert_eq!(names(&["docs", "format"]), ["format", "docs"]);
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn needs_name_earlier_steps() {
        for (at, step) in STEPS.iter().enumerate() {
            for need in step.needs {
                assert!(
                    STEPS[..at].iter().any(|earlier| earlier.name == *need),
                    "{} needs {need}",
                    step.name
                );
            }
        }
    }

    #[test]
    fn a_step_is_not_run_when_what_it_needs_failed_except_for_the_clients() {
        let step = |name: &str| STEPS.iter().find(|step| step.name == name).expect("a step");
        let failed = |name: &str| vec![(step(name), Outcome::Failed("broken".to_owned()), Duration::ZERO)];
        assert_eq!(blocked(step("tests"), &failed("build")), Some("build"));
        assert_eq!(blocked(step("tests"), &failed("clients")), None);
        assert_eq!(blocked(step("tests"), &failed("format")), None);
    }
}
