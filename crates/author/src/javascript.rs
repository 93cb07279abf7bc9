//! JavaScript: jco puts the sources into a QuickJS that runs as wasm.

use std::path::Path;
use std::process::Command;

use crate::World;
use crate::tool;

/// The version that the templates ask for, and the rules that ship.
pub const JCO: &str = "1.35.0";

/// Makes a component of `<main>.js` in a folder that holds everything: its other sources, and the contract in `wit/`
/// (jco does not look outside).
pub fn javascript(
    jco: &Path,
    stage: &Path,
    main: &str,
    world: World,
    component: &Path,
) -> Result<(), String> {
    let mut command = Command::new(jco);
    command.arg("componentize").arg(format!("{main}.js"));
    command.args(["--wit", "wit", "--world-name", world.name(), "--backend", "qjs"]);
    // No import is linked at all: neither WASI nor an event loop.
    command.args(["--backend-qjs-stub-wasi", "--backend-qjs-disable-async", "--out"]).arg(component);
    tool::run(command.current_dir(stage)).map(drop)
}
