//! The table of what the product can do, held against the schema and these tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use handfast_tests::root;

/// `Type.field` for every field of an object and of an input in the schema's own language.
fn fields(sdl: &str) -> BTreeSet<String> {
    let (mut found, mut within, mut text) = (BTreeSet::new(), None, false);
    for line in sdl.lines() {
        if line.trim() == "\"\"\"" {
            text = !text;
        } else if text {
        } else if let Some(rest) = line.strip_prefix("type ").or_else(|| line.strip_prefix("input ")) {
            within = rest.split_whitespace().next().map(str::to_owned);
        } else if line.starts_with('}') {
            within = None;
        } else if let (Some(kind), Some(field)) = (&within, line.strip_prefix('\t')) {
            let name = field.split(['(', ':']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('\t') {
                found.insert(format!("{kind}.{name}"));
            }
        }
    }
    found
}

/// The names of the tests below a folder, as nextest writes them: `file::test`.
fn tests(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the folder of the tests") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            tests(&path, &format!("{prefix}{stem}::"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a test file");
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if line != "#[test]" {
                    continue;
                }
                let name =
                    lines.find_map(|line| line.strip_prefix("fn ")?.split('(').next().map(str::to_owned));
                found.extend(name.map(|name| format!("{prefix}{stem}::{name}")));
            }
        }
    }
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn what_the_table_says_is_done_has_its_operations_in_the_schema_and_its_tests_here() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("a file of the repository");
    let (table, fields) = (read("schema/capabilities.md"), fields(&read("schema/handfast.graphql")));
    let mut known = BTreeSet::new();
    tests(&root().join("tests/it"), "", &mut known);
    assert!(
        fields.contains("Query.lead") && known.len() > 300,
        "{} fields, {} tests",
        fields.len(),
        known.len()
    );
    let mut numbers = BTreeMap::new();
    let mut wrong = vec![];
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, name, operations, driven] = cells[..] else {
            wrong.push(format!("not four cells: {line}"));
            continue;
        };
        *numbers.entry(number.parse::<u32>().unwrap_or(0)).or_insert(0) += 1;
        let (operations, driven) = (quoted(operations), quoted(driven));
        if operations.is_empty() != driven.is_empty() {
            wrong.push(format!("{number} {name}: an operation without a test, or a test without one"));
        }
        wrong.extend(
            operations
                .iter()
                .filter(|one| !fields.contains(*one))
                .map(|one| format!("{number}: no field {one}")),
        );
        wrong.extend(
            driven.iter().filter(|one| !known.contains(*one)).map(|one| format!("{number}: no test {one}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let expected: BTreeMap<u32, i32> = (1..=110).map(|number| (number, 1)).collect();
    assert_eq!(numbers, expected, "each number once");
}
