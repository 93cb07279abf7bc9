//! The scorecard in JavaScript and in Python, beside the one in Rust: built where npm and pip answer, left out with a line
//! that says why where they do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use handfast_author::World;

use crate::shell::{self, Failure, Workspace};
use crate::tools;

const USAGE: &str = "\
Builds the rules that are written in JavaScript (by node and npm) and in Python (by python3 with venv and pip) into
target/plugins/*.wasm, and prints the path of each component. A language whose tools are missing is left out.

Usage: cargo xtask languages";

/// A rule, and how its language becomes a component.
struct Language {
    rule: &'static str,
    build: fn(&Workspace, &Path) -> Result<(), String>,
}

const LANGUAGES: &[Language] =
    &[Language { rule: "scorecard-js", build: javascript }, Language { rule: "scorecard-py", build: python }];

const WIT: &str = "schema/wit/handfast-rules@1.0.0";

pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode, Failure> {
    if shell::wants_help(args) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    shell::no_more(args, "languages")?;
    for component in build(workspace)? {
        println!("{}", component.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The components that could be built.
pub fn build(workspace: &Workspace) -> Result<Vec<PathBuf>, String> {
    let folder = workspace.components();
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut built = Vec::new();
    for Language { rule, build } in LANGUAGES {
        let component = folder.join(format!("{rule}.wasm"));
        let sources = ["crates/author/src", "crates/sdk", "plugins/scorecard", WIT].map(str::to_owned);
        let sources = sources.into_iter().chain([format!("plugins/{rule}")]);
        let newest = sources.filter_map(|source| newest(&workspace.root.join(source))).max();
        let made = fs::metadata(&component).and_then(|data| data.modified()).ok();
        if made.is_some() && made >= newest {
            built.push(component);
            continue;
        }
        // What cannot be built anew must not stand there as if it were.
        let _ = fs::remove_file(&component);
        match build(workspace, &component) {
            Ok(()) => built.push(component),
            Err(why) => eprintln!("   {rule} is left out: {why}"),
        }
    }
    Ok(built)
}

/// The newest change below a path; what tools put there does not count.
fn newest(path: &Path) -> Option<SystemTime> {
    let data = fs::metadata(path).ok()?;
    if !data.is_dir() {
        return data.modified().ok();
    }
    let entries = fs::read_dir(path).ok()?.flatten();
    entries
        .filter(|entry| !["node_modules", "__pycache__"].iter().any(|made| entry.file_name() == *made))
        .filter_map(|entry| newest(&entry.path()))
        .max()
}

/// jco puts the sources into a QuickJS that runs as wasm. They stand together in one folder for it, with what the rule
/// shares with the other languages.
fn javascript(workspace: &Workspace, component: &Path) -> Result<(), String> {
    tools::check_node()?;
    let root = &workspace.root;
    let (package, sdk) = (root.join("plugins/scorecard-js"), root.join("crates/sdk/js"));
    tools::install_packages(&package)?;
    let stage = root.join("target/guests/scorecard-js");
    let _ = fs::remove_dir_all(&stage);
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
        for entry in fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?.flatten() {
            let copied = fs::copy(entry.path(), to.join(entry.file_name()));
            copied.map_err(|error| format!("{}: {error}", entry.path().display()))?;
        }
        Ok::<_, String>(())
    };
    copy(&package.join("src"), &stage)?;
    copy(&sdk, &stage)?;
    copy(&root.join(WIT), &stage.join("wit"))?;
    let text = |file: &str| {
        let path = root.join("plugins/scorecard").join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    // Rust writes a text with the escapes that JavaScript reads.
    let shared = format!(
        "export const READS = {:?};\nexport const SCHEMA = {:?};\n",
        text("reads.txt")?,
        text("schema.json")?
    );
    fs::write(stage.join("shared.js"), shared).map_err(|error| format!("{}: {error}", stage.display()))?;
    let jco = package.join("node_modules/.bin/jco");
    handfast_author::javascript(&jco, &stage, "scorecard", World::Qualifier, component)
}

/// componentize-py puts the sources into a CPython that runs as wasm, after it has imported them.
fn python(workspace: &Workspace, component: &Path) -> Result<(), String> {
    let root = &workspace.root;
    let package = root.join("plugins/scorecard-py");
    let tools = root.join("target/guests/python");
    tools::install_modules(&tools, &package.join("requirements.txt"))?;
    let path = [package.join("src"), root.join("crates/sdk/python"), root.join("plugins/scorecard")];
    let tool = tools.join("bin/componentize-py");
    handfast_author::python(&tool, &root.join(WIT), &path, "scorecard", World::Qualifier, component)
}
