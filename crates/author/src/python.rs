//! Python: componentize-py puts the sources into a CPython that runs as wasm, after it has imported them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::World;
use crate::tool;

/// The version that the templates ask for, and the rules that ship.
pub const COMPONENTIZE_PY: &str = "0.25.1";

/// Makes a component of the module `main`; `path` are the folders where modules and files that they read stand.
pub fn python(
    componentize_py: &Path,
    wit: &Path,
    path: &[PathBuf],
    main: &str,
    world: World,
    component: &Path,
) -> Result<(), String> {
    let mut command = Command::new(componentize_py);
    // No import is linked at all, so the calls of the standard library to WASI are answered inside.
    command.arg("-d").arg(wit).args(["-w", world.name(), "componentize", "--stub-wasi"]);
    for folder in path {
        command.arg("-p").arg(folder);
    }
    tool::run(command.arg(main).arg("-o").arg(component)).map(drop)
}
