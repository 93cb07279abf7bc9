//! The folders to start from: `handfast plugin new`. Each builds and passes its cases as it comes.

use crate::folder::{Language, Manifest, World};
use crate::sdk;

/// What the new rule decides.
pub type Kind = World;

/// The name that the templates bear, in the three ways of writing it.
const NAME: &str = "new-rule";
const TYPE: &str = "NewRule";

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../templates/", $path))
    };
}

/// Path and text of each file of a new folder. Refuses a name that is none for a crate, a package and a reader.
pub fn files(name: &str, language: Language, kind: Kind) -> Result<Vec<(String, String)>, String> {
    check_name(name)?;
    let mut files: Vec<(&str, String)> = match language {
        Language::Rust => rust(kind),
        Language::JavaScript => javascript(kind),
        Language::Python => python(kind),
    };
    let (schema, settings, cases): (_, _, &[(&str, &str)]) = match kind {
        World::Qualifier => (
            template!("qualifier/schema.json"),
            template!("qualifier/settings.json"),
            &[
                ("cases/advances.json", template!("qualifier/cases/advances.json")),
                ("cases/holds.json", template!("qualifier/cases/holds.json")),
            ],
        ),
        World::Router => (
            template!("router/schema.json"),
            template!("router/settings.json"),
            &[
                ("cases/least-loaded.json", template!("router/cases/least-loaded.json")),
                ("cases/nobody.json", template!("router/cases/nobody.json")),
            ],
        ),
    };
    files.push(("schema.json", schema.into()));
    files.push(("settings/default.json", settings.into()));
    files.extend(cases.iter().map(|(path, text)| (*path, (*text).to_owned())));
    files.push(("wit/rules.wit", sdk::WIT.into()));
    files.push(("README.md", readme(language, kind)));
    let own = |path: &str| !path.starts_with("sdk/") && !path.starts_with("wit/");
    let named = |path: &str, text: String| match own(path) {
        true => text.replace(NAME, name).replace(TYPE, &pascal(name)),
        false => text,
    };
    Ok(files.into_iter().map(|(path, text)| (path.to_owned(), named(path, text))).collect())
}

fn rust(kind: Kind) -> Vec<(&'static str, String)> {
    let source = match kind {
        World::Qualifier => template!("rust/qualifier.rs"),
        World::Router => template!("rust/router.rs"),
    };
    let mut files = vec![
        ("Cargo.toml", template!("rust/Cargo.toml").to_owned()),
        // The versions that were tried; cargo drops what this rule does not use.
        ("Cargo.lock", include_str!("../../../plugins/Cargo.lock").to_owned()),
        (".cargo/config.toml", template!("rust/config.toml").to_owned()),
        (".gitignore", "/target\n".to_owned()),
        ("src/lib.rs", source.to_owned()),
        ("sdk/Cargo.toml", sdk::RUST_MANIFEST.to_owned()),
    ];
    files.extend(sdk::RUST.iter().map(|(path, text)| (*path, (*text).to_owned())));
    files
}

fn javascript(kind: Kind) -> Vec<(&'static str, String)> {
    let source = match kind {
        World::Qualifier => template!("javascript/qualifier.js"),
        World::Router => template!("javascript/router.js"),
    };
    // The tool as the rules that ship use it, with everything below it at the versions that were tried.
    let lock = include_str!("../../../plugins/scorecard-js/package-lock.json");
    vec![
        ("package.json", template!("javascript/package.json").to_owned()),
        ("package-lock.json", lock.replace("scorecard-js", NAME)),
        (".gitignore", "/node_modules\n/target\n".to_owned()),
        ("rule.json", manifest(Language::JavaScript, kind)),
        ("src/rule.js", source.to_owned()),
        ("sdk/handfast.js", sdk::JAVASCRIPT.to_owned()),
    ]
}

fn python(kind: Kind) -> Vec<(&'static str, String)> {
    let source = match kind {
        World::Qualifier => template!("python/qualifier.py"),
        World::Router => template!("python/router.py"),
    };
    vec![
        ("requirements.txt", template!("python/requirements.txt").to_owned()),
        (".gitignore", "/.venv\n/target\n__pycache__\n".to_owned()),
        ("rule.json", manifest(Language::Python, kind)),
        ("src/rule.py", source.to_owned()),
        ("sdk/handfast.py", sdk::PYTHON.to_owned()),
    ]
}

fn manifest(language: Language, world: World) -> String {
    let manifest = Manifest { language, world, main: "rule".into() };
    // Plain data: it always serialises.
    serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n"
}

fn readme(language: Language, kind: Kind) -> String {
    let (spoken, setup, source, now, more) = match language {
        Language::Rust => (
            "Rust",
            "rustup target add wasm32-unknown-unknown               # once",
            "src/lib.rs",
            "context.as_of",
            "\n`cargo test` runs the same cases natively, without wasm: in a debugger if you like, and a panic says what it was.\n",
        ),
        Language::JavaScript => (
            "JavaScript",
            "npm ci                                                  # once: jco, which makes components",
            "src/rule.js",
            "context.asOf",
            "| `rule.json` | what `build` must know: language, world, main module |\n",
        ),
        Language::Python => (
            "Python",
            "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt   # once: componentize-py",
            "src/rule.py",
            "context.as_of",
            "| `rule.json` | what `build` must know: language, world, main module |\n",
        ),
    };
    let (named, what, parts, case, slot) = match kind {
        World::Qualifier => (
            "qualifier",
            "It says of each lead whether it meets a gate, and why.",
            "what it reads, its reason codes, its settings, `judge`",
            "advances",
            "mql",
        ),
        World::Router => (
            "router",
            "It says who gets a lead, and why.",
            "what it reads, its reason codes, its settings, `assign`",
            "least-loaded",
            "routing",
        ),
    };
    [
        ("{{kind}}", named),
        ("{{language}}", spoken),
        ("{{what}}", what),
        ("{{setup}}", setup),
        ("{{source}}", source),
        ("{{parts}}", parts),
        ("{{case}}", case),
        ("{{now}}", now),
        ("{{slot}}", slot),
        ("{{more}}", more),
    ]
    .iter()
    .fold(template!("README.md").to_owned(), |text, (place, word)| text.replace(place, word))
}

fn check_name(name: &str) -> Result<(), String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.chars().all(letter);
    // A crate of these names would hide the one that the rule depends on, or be refused by cargo.
    let taken = ["handfast-sdk", "serde", "serde-json", "core", "std", "alloc", "test", "wit-bindgen"];
    if !good {
        return Err(format!(
            "{name:?} is no name for a rule: lower-case letters, digits and single dashes, a letter first, \
             for example fleet-size"
        ));
    }
    if taken.contains(&name) {
        return Err(format!("{name} is the name of something that the rule depends on; choose another"));
    }
    Ok(())
}

/// `fleet-size` as a type's name: `FleetSize`.
fn pascal(name: &str) -> String {
    let upper = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    name.split('-').map(upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANGUAGES: [Language; 3] = [Language::Rust, Language::JavaScript, Language::Python];

    #[test]
    fn a_new_folder_bears_its_name_everywhere_and_leaves_no_blank() {
        for language in LANGUAGES {
            for kind in [World::Qualifier, World::Router] {
                let files = files("fleet-size", language, kind).unwrap();
                for (path, text) in &files {
                    for left in ["new-rule", "new_rule", "NewRule", "{{", "scorecard-js"] {
                        assert!(!text.contains(left), "{language:?} {kind:?} {path} still says {left}");
                    }
                    if path.ends_with(".json") {
                        let read = serde_json::from_str::<serde_json::Value>(text);
                        assert!(read.is_ok(), "{path}: {read:?}");
                    }
                }
                let has = |wanted: &str| files.iter().any(|(path, _)| path == wanted);
                for wanted in
                    ["README.md", "schema.json", "settings/default.json", "wit/rules.wit", ".gitignore"]
                {
                    assert!(has(wanted), "{language:?} {kind:?} has no {wanted}");
                }
                assert!(files.iter().filter(|(path, _)| path.starts_with("cases/")).count() >= 2);
            }
        }
    }

    #[test]
    fn a_name_that_no_tool_would_take_is_refused_at_once() {
        for name in
            ["", "A", "1st", "fleet_size", "fleet size", "-x", "x-", "x--y", "../x", "é", "handfast-sdk"]
        {
            assert!(files(name, Language::Rust, World::Qualifier).is_err(), "{name:?}");
        }
        for name in ["x", "fleet-size", "b2b"] {
            assert!(files(name, Language::Rust, World::Qualifier).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn the_tools_of_the_templates_are_those_of_the_rules_that_ship() {
        let js = include_str!("../../../plugins/scorecard-js/package.json");
        let jco = format!("\"@bytecodealliance/jco\": \"{}\"", crate::javascript::JCO);
        assert!(js.contains(&jco) && template!("javascript/package.json").contains(&jco));
        let py = include_str!("../../../plugins/scorecard-py/requirements.txt");
        let tool = format!("componentize-py=={}", crate::python::COMPONENTIZE_PY);
        assert!(py.contains(&tool) && template!("python/requirements.txt").contains(&tool));
    }
}
