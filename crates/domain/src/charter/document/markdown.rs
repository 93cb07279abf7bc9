//! The document in CommonMark, with tables as GitHub has them.

use super::{Block, line};

pub(super) fn write(blocks: &[Block]) -> String {
    let blocks = blocks.iter().map(|block| match block {
        Block::Heading(level, text) => format!("{} {}\n", "#".repeat(usize::from(*level)), escaped(text)),
        Block::Text(text) => format!("{}\n", escaped(text)),
        Block::Points(points) => points
            .iter()
            .map(|(word, text)| match word.is_empty() {
                true => format!("- {}\n", escaped(text)),
                false => format!("- **{}**: {}\n", escaped(word), escaped(text)),
            })
            .collect(),
        Block::Table(head, rows) => {
            let rule = head.iter().map(|_| "---").collect::<Vec<_>>().join(" | ");
            let head = row(head.iter().copied());
            let rows = rows.iter().map(|cells| row(cells.iter().map(String::as_str)));
            format!("{head}| {rule} |\n{}", rows.collect::<String>())
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn row<'c>(cells: impl Iterator<Item = &'c str>) -> String {
    format!("| {} |\n", cells.map(escaped).collect::<Vec<_>>().join(" | "))
}

/// No character of the text is taken for markup, neither inside of it nor where it begins a line.
fn escaped(text: &str) -> String {
    let text = line(text);
    let mut safe = String::with_capacity(text.len());
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    for (place, c) in text.char_indices() {
        let inside = matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '$');
        let begins = place == 0 && matches!(c, '#' | '+' | '-' | '=');
        let numbers = place > 0 && place == digits && matches!(c, '.' | ')');
        // A heading may be closed by such signs.
        let ends = c == '#' && text[place..].bytes().all(|c| c == b'#');
        if inside || begins || numbers || ends {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}
