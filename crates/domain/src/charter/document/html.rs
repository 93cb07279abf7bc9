//! The document as a page of HTML.

use super::{Block, line};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
                     table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.3rem .5rem;\
                     text-align:left;vertical-align:top}";

pub(super) fn write(title: &str, blocks: &[Block]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n",
        escaped(title)
    );
    for block in blocks {
        match block {
            Block::Heading(level, text) => {
                page += &format!("<h{level}>{}</h{level}>\n", escaped(text));
            }
            Block::Text(text) => page += &format!("<p>{}</p>\n", escaped(text)),
            Block::Points(points) => {
                let points = points.iter().map(|(word, text)| match word.is_empty() {
                    true => format!("<li>{}</li>\n", escaped(text)),
                    false => format!("<li><strong>{}</strong>: {}</li>\n", escaped(word), escaped(text)),
                });
                page += &format!("<ul>\n{}</ul>\n", points.collect::<String>());
            }
            Block::Table(head, rows) => {
                let head = row("th", head.iter().copied());
                let rows = rows.iter().map(|cells| row("td", cells.iter().map(String::as_str)));
                page += &format!(
                    "<table>\n<thead>\n{head}</thead>\n<tbody>\n{}</tbody>\n</table>\n",
                    rows.collect::<String>()
                );
            }
        }
    }
    page + "</body>\n</html>\n"
}

fn row<'c>(tag: &str, cells: impl Iterator<Item = &'c str>) -> String {
    let cells = cells.map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
    format!("<tr>{}</tr>\n", cells.collect::<String>())
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
