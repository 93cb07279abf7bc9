//! Turns `reads.txt` into a table at build time: a rule runs in a fresh instance each call and should not read a text first.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=reads.txt");
    let text = fs::read_to_string("reads.txt").expect("reads.txt stands beside Cargo.toml");
    let mut table = String::from("static FIELDS: &[Declared] = &[\n");
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((path, kind, label)) = parts(line) else {
            panic!("reads.txt, line {number}: path, kind and label, found {line:?}")
        };
        let kind = match kind {
            "boolean" => "Boolean",
            "integer" => "Integer",
            "text" => "Text",
            "integer-list" => "IntegerList",
            "text-list" => "TextList",
            _ => panic!(
                "reads.txt, line {number}: boolean, integer, text, integer-list or text-list, found {kind:?}"
            ),
        };
        table += &format!("    Declared {{ path: {path:?}, kind: Kind::{kind}, label: {label:?} }},\n");
    }
    table += "];\n";
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("fields.rs"), table).expect("OUT_DIR can be written");
}

fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (path, rest) = line.split_once(' ')?;
    let (kind, label) = rest.trim_start().split_once(' ')?;
    Some((path, kind, label.trim_start()))
}
