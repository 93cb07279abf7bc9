//! The fields of `reads.txt`, in its order. Their positions are the positions of the columns and, shifted, of the codes.

use handfast_sdk::Kind;

// `FIELDS`, written by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/fields.rs"));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    pub path: &'static str,
    pub kind: Kind,
    pub label: &'static str,
}

pub fn all() -> impl Iterator<Item = Declared> {
    FIELDS.iter().copied()
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
    fn each_path_is_declared_once() {
        let mut paths: Vec<_> = all().map(|field| field.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), all().count());
    }

    #[test]
    fn labels_fit_into_a_reason() {
        assert!(all().all(|field| !field.label.is_empty() && field.label.len() <= 60));
    }
}
