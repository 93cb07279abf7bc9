//! One build for all: where `cargo build` and `cargo xtask test` choose other features for a dependency, cargo compiles
//! it and all above it a second time. With wasmtime or sqlx that costs minutes, and nobody sees why.

use std::collections::BTreeSet;

use crate::shell::{self, Workspace};

/// Fails with the dependencies that would be compiled twice. `tested` chooses the packages of the test run.
pub fn check(workspace: &Workspace, tested: &[&str]) -> Result<(), String> {
    let built = tree(workspace, &["--package", "handfast", "--edges", "normal,build"])?;
    let tested = tree(workspace, &[tested, &["--edges", "normal,build,dev"]].concat())?;
    let mirror =
        tree(workspace, &["--package", "handfast", "--features", "nats", "--edges", "normal,build"])?;
    let mut twice = differing(&built, &tested);
    twice.extend(differing(&built, &mirror));
    if twice.is_empty() {
        return Ok(());
    }
    Err(format!(
        "`cargo build` and `cargo xtask test`, or the build with `nats`, choose different features for these, and compile \
         them and all above them twice. Name the missing features in [workspace.dependencies]:\n  {}",
        twice.join("\n  ")
    ))
}

/// What is built with features that no test run builds it with: `name version: features, tested with features`.
fn differing(built: &BTreeSet<String>, tested: &BTreeSet<String>) -> Vec<String> {
    let apart = |line: &str| {
        line.split_once('|').map_or((line.to_owned(), String::new()), |(a, b)| (a.to_owned(), b.to_owned()))
    };
    // Our own crates may grow features for their tests: they compile in moments.
    let foreign = |line: &&String| !line.contains(" (/") && !line.contains(":\\");
    built
        .difference(tested)
        .filter(foreign)
        .map(|line| {
            let (package, features) = apart(line);
            let others: Vec<String> = tested
                .iter()
                .map(|line| apart(line))
                .filter(|(name, _)| *name == package)
                .map(|(_, list)| list)
                .collect();
            format!("{package}: built with [{features}], tested with [{}]", others.join("] and ["))
        })
        .collect()
}

/// Each package of a resolution as `name version|features`.
fn tree(workspace: &Workspace, args: &[&str]) -> Result<BTreeSet<String>, String> {
    let format = ["tree", "--prefix", "none", "--format", "{p}|{f}"];
    let printed = shell::read(workspace.cargo().args(format).args(args))?;
    Ok(printed
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_that_tests_build_with_more_features_is_named_with_both_lists() {
        let set = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
        let built = set(&[
            "serde v1.0.0|std",
            "getrandom v0.4.3|std",
            "handfast-domain v0.1.0 (/work/crates/domain)|graphql",
        ]);
        let tested = set(&["serde v1.0.0|std", "getrandom v0.4.3|std,sys_rng", "proptest v1.0.0|std"]);
        assert_eq!(
            differing(&built, &tested),
            ["getrandom v0.4.3: built with [std], tested with [std,sys_rng]"]
        );
        assert!(differing(&built, &built).is_empty());
    }
}
