//! Figures as tables for other programs: CSV and lines of JSON.

use handfast_domain::report::ExportFormat;
use serde_json::{Map, Value};

/// Columns and rows; each row has a text, a number or null for each column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    pub fn write(&self, format: ExportFormat) -> String {
        self.part(format, true)
    }

    /// A table that is written in parts has its header in the first of them.
    pub fn part(&self, format: ExportFormat, first: bool) -> String {
        match format {
            ExportFormat::Csv => self.csv(first),
            ExportFormat::Ndjson => self.ndjson(),
        }
    }

    /// RFC 4180. A text that a spreadsheet would carry out gets an apostrophe before it: much of it was typed by strangers.
    fn csv(&self, header: bool) -> String {
        let mut writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).flexible(true).from_writer(vec![]);
        let header = header.then(|| self.columns.iter().map(|name| (*name).to_owned()).collect());
        let rows = self.rows.iter().map(|row| row.iter().map(cell).collect());
        for record in header.into_iter().chain(rows) {
            let record: Vec<String> = record;
            // Writing to memory cannot fail.
            let _ = writer.write_record(record);
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
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
    if carried_out { format!("'{text}") } else { text.clone() }
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
            let table = Table { columns: vec!["a", "b"], rows: vec![vec![value.clone(), json!(1)]] };
            assert_eq!(table.write(ExportFormat::Csv), format!("a,b\r\n{expected},1\r\n"));
            assert_eq!(table.part(ExportFormat::Csv, false), format!("{expected},1\r\n"));
            assert_eq!(table.write(ExportFormat::Ndjson), format!("{}\n", json!({"a": value, "b": 1})));
        }
    }
}
