//! `cargo xtask <task>`: the set-up that plain cargo cannot do. It only runs other programs and depends on next to
//! nothing, so that it compiles in seconds on a fresh clone.

mod arrows;
mod bench;
mod demo;
mod features;
mod languages;
mod plugins;
mod postgres;
mod prove;
mod schema;
mod shell;
mod test;
mod tools;

use std::process::ExitCode;

use shell::{Failure, Workspace};

const USAGE: &str = "\
The tasks of this repository that plain cargo cannot do.

Usage: cargo xtask <task> [options]

Tasks:
  demo      Build plugins and server and start a living funnel on 127.0.0.1
  test      Run everything that continuous integration runs, in order
  bench     Measure speed, memory and costs beside others, in one run
  prove     Kill processes under load and look whether anything was lost, reordered or doubled
  plugins   Build plugins/ for wasm32 into target/plugins/*.wasm
  languages Build the rules that are written in JavaScript and Python
  postgres  Start a private PostgreSQL and print its URL
  schema    Write schema/handfast.graphql from the server's types (--check: only compare)

`cargo xtask <task> --help` tells more.";

const PLUGINS_USAGE: &str = "\
Builds every crate of plugins/ for wasm32 and wraps it into a component. Adds the wasm target through rustup when it
is missing. Prints the path of each component.

Usage: cargo xtask plugins";

const TASKS: &[&str] =
    &["demo", "test", "bench", "prove", "plugins", "languages", "postgres", "schema", "help"];

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Task(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = args.collect();
    let workspace = Workspace::find()?;
    match task.as_str() {
        "demo" => demo::run(&workspace, &rest),
        "test" => test::run(&workspace, &rest),
        "bench" => bench::run(&workspace, &rest),
        "prove" => prove::run(&workspace, &rest),
        "languages" => languages::run(&workspace, &rest),
        "postgres" => postgres::run(&workspace, &rest),
        "schema" => schema::run(&workspace, &rest),
        "plugins" if shell::wants_help(&rest) => Ok(print(PLUGINS_USAGE)),
        "plugins" => {
            shell::no_more(&rest, "plugins")?;
            for component in plugins::build(&workspace.root)? {
                println!("{}", component.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        "help" | "--help" | "-h" => Ok(print(USAGE)),
        other => {
            let hint =
                shell::closest(other, TASKS).map(|task| format!(" Did you mean `cargo xtask {task}`?"));
            Err(Failure::Usage(format!("there is no task {other:?}.{}\n\n{USAGE}", hint.unwrap_or_default())))
        }
    }
}

fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}
