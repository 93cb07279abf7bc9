//! Figures as tables for other programs: CSV and lines of JSON.

use serde_json::{Map, Value};

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

/// Columns and rows; each row has a text, a number or null for each column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Csv => self.csv(),
            Format::Ndjson => self.ndjson(),
        }
    }

    /// RFC 4180 with a header. A text that a spreadsheet would carry out gets an apostrophe before it: much of it was typed by
    /// strangers.
    fn csv(&self) -> String {
        let mut text = self.columns.join(",") + "\r\n";
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(cell).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }

    fn ndjson(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let named = self.columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned());
            text.push_str(&Value::Object(named.collect::<Map<_, _>>()).to_string());
            text.push('\n');
        }
        text
    }
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text,
        other => return other.to_string(),
    };
    let carried_out = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if carried_out { format!("'{text}") } else { text.clone() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_strangers_typed_stays_one_cell_and_is_not_carried_out() {
        let cases = [
            (json!("plain"), "plain"),
            (json!(null), ""),
            (json!(-7), "-7"),
            (json!("a,b"), "\"a,b\""),
            (json!("say \"so\""), "\"say \"\"so\"\"\""),
            (json!("two\nlines"), "\"two\nlines\""),
            (json!("=1+1"), "'=1+1"),
            (json!("@SUM(A1,B1)"), "\"'@SUM(A1,B1)\""),
        ];
        for (value, expected) in cases {
            assert_eq!(cell(&value), expected, "{value}");
            let table = Table { columns: vec!["a", "b"], rows: vec![vec![value.clone(), json!(1)]] };
            assert_eq!(table.write(Format::Csv), format!("a,b\r\n{expected},1\r\n"));
            assert_eq!(table.write(Format::Ndjson), format!("{}\n", json!({"a": value, "b": 1})));
        }
    }
}
