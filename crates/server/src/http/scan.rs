//! One pass over a document's bytes, before anything that recurses may see it.

use async_graphql::Pos;

use super::config::Limits;
use super::problem::{Code, Problem};

/// Counts tokens and nesting without recursion; the parser after it may recurse, because this bounds it.
pub fn prescan(text: &str, limits: &Limits) -> Result<usize, Problem> {
    if text.len() > limits.document_bytes {
        let message = format!("the document has {} bytes, limit {}", text.len(), limits.document_bytes);
        return Err(Problem::new(Code::DocumentTooLarge, message));
    }
    let bytes = text.as_bytes();
    let (mut i, mut tokens, mut nesting) = (0, 0, 0usize);
    // Where the limit was passed, and how deep it goes: a refusal says what was found.
    let (mut passed, mut deepest) = (None, 0);
    while let Some(&byte) = bytes.get(i) {
        let start = i;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                i += 1;
                continue;
            }
            b'#' => {
                i += bytes[i..].iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(bytes.len() - i);
                continue;
            }
            b'"' => i = string_end(bytes, i),
            b'{' | b'[' | b'(' => {
                nesting += 1;
                i += 1;
            }
            b'}' | b']' | b')' => {
                nesting = nesting.saturating_sub(1);
                i += 1;
            }
            b'.' if bytes[i..].starts_with(b"...") => i += 3,
            _ if in_word(byte) => {
                i += bytes[i..].iter().position(|b| !in_word(*b)).unwrap_or(bytes.len() - i)
            }
            _ => i += 1,
        }
        tokens += 1;
        deepest = deepest.max(nesting);
        if nesting > limits.nesting {
            passed = passed.or(Some(start));
        }
    }
    if let Some(start) = passed {
        let message = format!("nesting deeper than {} at byte {start}, found {deepest}", limits.nesting);
        return Err(Problem::new(Code::DocumentTooDeep, message).at([position(text, start)]));
    }
    if tokens > limits.document_tokens {
        let message = format!("the document has {tokens} tokens, limit {}", limits.document_tokens);
        return Err(Problem::new(Code::DocumentTooLarge, message));
    }
    Ok(tokens)
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The index behind a string or block string that opens at `at`; the end of the text when it never closes.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let block = bytes[at..].starts_with(b"\"\"\"");
    let mut i = at + if block { 3 } else { 1 };
    while i < bytes.len() {
        let rest = &bytes[i..];
        match (block, rest[0]) {
            (true, b'\\') if rest.starts_with(b"\\\"\"\"") => i += 4,
            (true, b'"') if rest.starts_with(b"\"\"\"") => return i + 3,
            (false, b'\\') => i += 2,
            // A line break ends a string that is not closed; the parser says so.
            (false, b'"' | b'\n' | b'\r') => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

fn position(text: &str, byte: usize) -> Pos {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    Pos { line, column }
}
