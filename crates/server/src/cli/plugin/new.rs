//! A new folder for a rule, and the component that is made of it.

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use handfast_author::{Folder, Kind, Language, files};

use crate::cli::client::CliError;

#[derive(Clone, Copy, ValueEnum)]
pub enum Lang {
    Rust,
    #[value(alias = "javascript")]
    Js,
    #[value(alias = "py")]
    Python,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Decides {
    /// Whether a lead meets a gate.
    Qualifier,
    /// Who gets a lead.
    Router,
}

/// Writes the folder; it must not be there.
pub fn new(name: &str, lang: Lang, kind: Decides, folder: &Path) -> Result<ExitCode, CliError> {
    let language = match lang {
        Lang::Rust => Language::Rust,
        Lang::Js => Language::JavaScript,
        Lang::Python => Language::Python,
    };
    let kind = match kind {
        Decides::Qualifier => Kind::Qualifier,
        Decides::Router => Kind::Router,
    };
    let files = files(name, language, kind).map_err(CliError::Usage)?;
    let failed =
        |path: &Path, error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
    if folder.exists() {
        return Err(CliError::Conflict(format!(
            "{} is there already; choose another name, or another place with --folder",
            folder.display()
        )));
    }
    for (path, text) in &files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        }
        std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    println!("{}", folder.display());
    let setup = match language {
        Language::Rust => "rustup target add wasm32-unknown-unknown",
        Language::JavaScript => "npm ci",
        Language::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    };
    eprintln!(
        "{} files. Next, in {}:\n  {setup}    # once\n  handfast plugin build && handfast plugin test",
        files.len(),
        folder.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Builds the component of a folder, and copies it to where it is wanted.
pub fn build(folder: &Path, out: Option<&Path>) -> Result<ExitCode, CliError> {
    let folder = Folder::open(folder).map_err(CliError::NotFound)?;
    let mut component = folder.build().map_err(CliError::Failed)?;
    if let Some(out) = out {
        std::fs::copy(&component, out)
            .map_err(|error| CliError::Failed(format!("{}: {error}", out.display())))?;
        component = out.to_owned();
    }
    let size = std::fs::metadata(&component).map(|data| data.len()).unwrap_or_default();
    println!("{}", component.display());
    eprintln!("{size} bytes. Next: handfast plugin test");
    Ok(ExitCode::SUCCESS)
}
