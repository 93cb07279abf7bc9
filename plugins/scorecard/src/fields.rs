//! The fields of `reads.txt`, in its order. Their positions are the positions of the columns and, shifted, of the codes.

use handfast_sdk::Kind;

const LINES: &str = include_str!("../reads.txt");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    pub path: &'static str,
    pub kind: Kind,
    pub label: &'static str,
}

pub fn all() -> impl Iterator<Item = Declared> {
    LINES.lines().filter_map(parse)
}

/// Position and declaration of a path.
pub fn find(path: &str) -> Option<(u16, Declared)> {
    (0..).zip(all()).find(|(_, field)| field.path == path)
}

/// The declared path that comes nearest, for a sentence about one that is not declared.
pub fn nearest(path: &str) -> Option<&'static str> {
    all()
        .map(|field| (distance(path, field.path), field.path))
        .min()
        .filter(|(far, _)| *far <= path.len() / 2)
        .map(|(_, path)| path)
}

/// Path, kind, and the rest of the line as the label. Empty lines and comments are no fields.
fn parse(line: &'static str) -> Option<Declared> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (path, rest) = line.split_once(' ')?;
    let (kind, label) = rest.trim_start().split_once(' ')?;
    let kind = match kind {
        "boolean" => Kind::Boolean,
        "integer" => Kind::Integer,
        "text" => Kind::Text,
        "integer-list" => Kind::IntegerList,
        "text-list" => Kind::TextList,
        _ => return None,
    };
    Some(Declared { path, kind, label: label.trim_start() })
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(80).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = before + usize::from(ca != *cb);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_a_field_or_a_comment() {
        let lines = LINES.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).count();
        assert_eq!(all().count(), lines);
        let mut paths: Vec<_> = all().map(|field| field.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), lines, "each path once");
    }

    #[test]
    fn labels_fit_into_a_reason() {
        assert!(all().all(|field| !field.label.is_empty() && field.label.len() <= 60));
    }
}
