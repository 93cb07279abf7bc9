//! Which crate may name which: the arrows of `crates/ARCHITECTURE.md`, asked of cargo's own resolution.

use crate::shell::{self, Workspace};

/// Each crate with all that it may name of this workspace. What is not listed here is refused.
const ARROWS: &[(&str, &[&str])] = &[
    ("handfast-domain", &[]),
    ("handfast-store", &["handfast-domain"]),
    ("handfast-rules", &["handfast-domain"]),
    ("handfast", &["handfast-domain", "handfast-store", "handfast-rules", "handfast-author"]),
    ("handfast-sdk", &[]),
    // It runs other programs, for the command line and for xtask, and knows nobody.
    ("handfast-author", &[]),
    // It stands outside of the house: it holds the opponents, and they may name everything.
    ("handfast-bench", &["handfast", "handfast-domain", "handfast-store", "handfast-rules", "handfast-sdk"]),
    // It stands outside, too: its simulation runs the store's step functions, its processes are the benchmark's.
    ("handfast-prove", &["handfast-bench", "handfast-domain", "handfast-store"]),
    ("handfast-tests", &["handfast-domain"]),
    ("xtask", &["handfast-author"]),
];

/// What a crate must not name itself, because another one owns it: a resolver cannot contain SQL.
const OWNED: &[(&str, &[&str])] = &[
    ("handfast", &["sea-orm", "sea-orm-migration", "sea-query", "sqlx", "wasmtime", "wasmparser"]),
    ("handfast-rules", &["sea-orm", "sea-orm-migration", "sqlx", "async-graphql", "axum"]),
    ("handfast-store", &["wasmtime", "wasmparser", "async-graphql", "axum"]),
    ("handfast-tests", &["sea-orm", "sqlx", "wasmtime", "async-graphql"]),
];

/// What must stand nowhere below the domain, however deep.
const NOT_BELOW_DOMAIN: &[&str] =
    &["tokio", "async-graphql", "axum", "sea-orm", "sqlx", "wasmtime", "futures"];

/// Checks the manifests, then that the domain compiles alone.
pub fn check(workspace: &Workspace) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (package, allowed) in ARROWS {
        let named = tree(workspace, &["--package", package, "--edges", "normal,build,dev", "--depth", "1"])?;
        wrong.extend(refused(package, allowed, &named));
    }
    let below = tree(workspace, &["--package", "handfast-domain", "--edges", "normal"])?;
    // `futures` stands for the family: futures-util, futures-core and the others.
    let family = |name: &str, root: &str| {
        name == root || name.strip_prefix(root).is_some_and(|rest| rest.starts_with('-'))
    };
    for name in below.iter().filter(|name| NOT_BELOW_DOMAIN.iter().any(|root| family(name, root))) {
        wrong.push(format!(
            "{name} stands below handfast-domain, which must build without async, IO or a database"
        ));
    }
    if !wrong.is_empty() {
        return Err(format!("the arrows of crates/ARCHITECTURE.md are broken:\n  {}", wrong.join("\n  ")));
    }
    shell::run(workspace.cargo().args(["check", "--package", "handfast-domain"]))
}

/// What one crate names against the rules.
fn refused(package: &str, allowed: &[&str], named: &[String]) -> Vec<String> {
    let ours = |name: &str| ARROWS.iter().any(|(package, _)| *package == name);
    let owned = OWNED.iter().find(|(owner, _)| *owner == package).map_or(&[][..], |(_, names)| names);
    let is_wrong = |name: &&String| {
        (ours(name) && *name != package && !allowed.contains(&name.as_str()))
            || owned.contains(&name.as_str())
    };
    named.iter().filter(is_wrong).map(|name| format!("{package} names {name} in its manifest")).collect()
}

/// The names that `cargo tree` prints.
fn tree(workspace: &Workspace, args: &[&str]) -> Result<Vec<String>, String> {
    let printed =
        shell::read(workspace.cargo().args(["tree", "--prefix", "none", "--format", "{p}"]).args(args))?;
    let mut names: Vec<String> =
        printed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_is_not_drawn_is_refused() {
        let cases: &[(&str, &[&str], usize)] = &[
            ("handfast", &["handfast", "handfast-store", "handfast-rules", "handfast-domain", "axum"], 0),
            ("handfast", &["handfast", "sea-orm", "wasmtime"], 2),
            ("handfast-domain", &["handfast-domain", "handfast-store"], 1),
            ("handfast-store", &["handfast-store", "handfast-domain", "sea-orm"], 0),
            ("handfast-tests", &["handfast-tests", "handfast"], 1),
        ];
        for (package, named, count) in cases {
            let allowed =
                ARROWS.iter().find(|(name, _)| name == package).map_or(&[][..], |(_, allowed)| allowed);
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(refused(package, allowed, &named).len(), *count, "{package} names {named:?}");
        }
    }
}
