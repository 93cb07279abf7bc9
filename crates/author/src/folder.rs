//! An author's folder: what it is written in, and how it becomes `target/<name>.wasm`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::javascript::{JCO, javascript};
use crate::python::{COMPONENTIZE_PY, python};
use crate::rust::{encode, rust};
use crate::tool::{self, Missing};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Rust,
    JavaScript,
    Python,
}

/// What a component exports: a rule that judges, or one that distributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    Qualifier,
    Router,
}

impl World {
    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            World::Qualifier => "qualifier",
            World::Router => "router",
        }
    }
}

/// `rule.json` of a folder in JavaScript or Python; in Rust, `Cargo.toml` and the macro say as much.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub language: Language,
    pub world: World,
    /// The module in `src/` that exports the rule, without its ending.
    pub main: String,
}

/// A folder that holds a rule.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    name: String,
}

impl Folder {
    /// Says what is missing where this is no folder of a rule.
    pub fn open(path: &Path) -> Result<Folder, String> {
        let whole = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = Folder { path: whole, name };
        if folder.has("rule.json") || folder.has("Cargo.toml") {
            return Ok(folder);
        }
        Err(format!(
            "{} holds neither Cargo.toml (a rule in Rust) nor rule.json (JavaScript, Python); \
             `handfast plugin new <name> --lang rust|js|python` makes a folder to start from",
            path.display()
        ))
    }

    /// The component that `build` writes.
    pub fn component(&self) -> PathBuf {
        self.path.join("target").join(format!("{}.wasm", self.name))
    }

    /// Builds the component and answers where it is.
    pub fn build(&self) -> Result<PathBuf, String> {
        let component = self.component();
        let target = self.path.join("target");
        std::fs::create_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
        // What cannot be built anew must not stand there as if it were.
        let _ = std::fs::remove_file(&component);
        match self.manifest()? {
            None => self.rust(&component)?,
            Some(Manifest { language: Language::Rust, .. }) => {
                return Err("rule.json is for JavaScript and Python; a rule in Rust needs none".into());
            }
            Some(manifest) => {
                let stage = self.stage(&manifest)?;
                match manifest.language {
                    Language::Python => self.python(&manifest, &stage, &component)?,
                    _ => javascript(&self.jco()?, &stage, &manifest.main, manifest.world, &component)?,
                }
            }
        }
        Ok(component)
    }

    /// `rule.json`, unless the rule is in Rust.
    fn manifest(&self) -> Result<Option<Manifest>, String> {
        let path = self.path.join("rule.json");
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let example = r#"{"language": "python", "world": "qualifier", "main": "rule"}"#;
            format!("{}: {error}; it looks like {example}", path.display())
        })
    }

    fn rust(&self, component: &Path) -> Result<(), String> {
        // Who has one place for all builds keeps it.
        let shared = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let built = rust(&self.path, &shared.unwrap_or_else(|| self.path.join("target")))?;
        match &built[..] {
            [(_, module)] => encode(module, component),
            _ => {
                let names: Vec<&str> = built.iter().map(|(name, _)| name.as_str()).collect();
                Err(format!("one folder is one rule, but this one builds {}", names.join(", ")))
            }
        }
    }

    /// Sources, the SDK, the schema and the contract side by side, as both tools want them.
    fn stage(&self, manifest: &Manifest) -> Result<PathBuf, String> {
        let stage = self.path.join("target/stage");
        tool::empty(&stage)?;
        tool::copy(&self.path.join("src"), &stage)?;
        tool::copy(&self.path.join("sdk"), &stage)?;
        tool::copy(&self.path.join("wit"), &stage.join("wit"))?;
        let schema = self.path.join("schema.json");
        let text =
            std::fs::read_to_string(&schema).map_err(|error| format!("{}: {error}", schema.display()))?;
        // A schema that is no JSON is easier to mend here than in the guest.
        serde_json::from_str::<serde_json::Value>(&text)
            .map_err(|error| format!("{}: {error}", schema.display()))?;
        let (file, text) = match manifest.language {
            Language::Python => ("schema.json", text),
            // A module, since QuickJS reads no files. Rust writes a text with the escapes that JavaScript reads.
            _ => ("schema.js", format!("export const SCHEMA = {text:?};\n")),
        };
        let path = stage.join(file);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(stage)
    }

    fn python(&self, manifest: &Manifest, stage: &Path, component: &Path) -> Result<(), String> {
        let own = if cfg!(windows) { ".venv/Scripts" } else { ".venv/bin" };
        let mut folders = vec![self.path.join(own)];
        if let Some(active) = std::env::var_os("VIRTUAL_ENV") {
            folders.push(Path::new(&active).join(if cfg!(windows) { "Scripts" } else { "bin" }));
        }
        let found = tool::find("componentize-py", &folders).ok_or_else(|| {
            let missing = Missing {
                tool: "componentize-py",
                looked: format!("in {own} and on PATH"),
                mend: format!(
                    "In {}: `python3 -m venv .venv && {own}/pip install -r requirements.txt` \
                     (componentize-py {COMPONENTIZE_PY}; Debian's python3 also needs python3-venv)",
                    self.path.display()
                ),
            };
            missing.to_string()
        })?;
        let wit = stage.join("wit");
        python(&found, &wit, &[stage.to_owned()], &manifest.main, manifest.world, component)
    }

    fn jco(&self) -> Result<PathBuf, String> {
        let node = Missing {
            tool: "node",
            looked: "on PATH".into(),
            mend: "Install node 20 or newer with npm from https://nodejs.org or your system \
                   (`apt-get install nodejs npm`)"
                .into(),
        };
        if tool::find("node", &[]).is_none() {
            return Err(node.to_string());
        }
        tool::find("jco", &[self.path.join("node_modules/.bin")]).ok_or_else(|| {
            let missing = Missing {
                tool: "jco",
                looked: "in node_modules/.bin and on PATH".into(),
                mend: format!(
                    "In {}: `npm ci` (@bytecodealliance/jco {JCO}, as package-lock.json says)",
                    self.path.display()
                ),
            };
            missing.to_string()
        })
    }

    fn has(&self, file: &str) -> bool {
        self.path.join(file).is_file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_rule_says_how_to_begin() {
        let folder = tempfile::tempdir().unwrap();
        let error = Folder::open(folder.path()).unwrap_err();
        assert!(error.contains("rule.json") && error.contains("plugin new"), "{error}");
        let error = Folder::open(&folder.path().join("nowhere")).unwrap_err();
        assert!(error.contains("nowhere"), "{error}");
    }

    #[test]
    fn a_manifest_that_is_wrong_says_where_and_shows_a_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("rule.json"), text).unwrap();
        for (text, words) in [
            ("{", "line 1"),
            (r#"{"language": "perl", "world": "qualifier", "main": "rule"}"#, "unknown variant `perl`"),
            (r#"{"language": "python", "world": "judge", "main": "rule"}"#, "`qualifier` or `router`"),
            (r#"{"language": "python", "world": "router"}"#, "missing field `main`"),
        ] {
            write(text);
            let error = Folder::open(folder.path()).unwrap().build().unwrap_err();
            assert!(error.contains(words) && error.contains("it looks like {"), "{text}: {error}");
        }
    }
}
