//! The few differences between SQLite and PostgreSQL. All other SQL of this crate runs unchanged on both.

use sea_orm::{DbBackend, Value};
use std::fmt::Write;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub fn of(backend: DbBackend) -> Dialect {
        match backend {
            DbBackend::Postgres => Dialect::Postgres,
            _ => Dialect::Sqlite,
        }
    }

    /// Fills in the column types that have two names: `{uuid}`, `{blob}` and `{position}`, the key of the feed.
    pub fn ddl(self, text: &str) -> String {
        let (uuid, blob, position) = match self {
            // AUTOINCREMENT: a position that a subscriber may have seen is never given twice.
            Dialect::Sqlite => ("blob", "blob", "integer PRIMARY KEY AUTOINCREMENT"),
            Dialect::Postgres => ("uuid", "bytea", "bigint PRIMARY KEY"),
        };
        text.replace("{uuid}", uuid).replace("{blob}", blob).replace("{position}", position)
    }

    /// The values of a parameter made by [`uuids`], as the right side of `IN`: `e.id IN {uuid_list("$1")}`.
    pub fn uuid_list(self, parameter: &str) -> String {
        match self {
            Dialect::Sqlite => format!("(SELECT unhex(value) FROM json_each({parameter}))"),
            Dialect::Postgres => {
                format!("(SELECT value::uuid FROM json_array_elements_text({parameter}::json))")
            }
        }
    }

    /// The values of a parameter made by [`texts`], as the right side of `IN`.
    pub fn text_list(self, parameter: &str) -> String {
        match self {
            Dialect::Sqlite => format!("(SELECT value FROM json_each({parameter}))"),
            Dialect::Postgres => format!("(SELECT value FROM json_array_elements_text({parameter}::json))"),
        }
    }

    /// The values of a parameter made by [`texts`] as a table of (key, value) to select from; keys count from 0.
    pub fn text_table(self, parameter: &str) -> String {
        match self {
            Dialect::Sqlite => format!("json_each({parameter})"),
            Dialect::Postgres => format!(
                "(SELECT ordinality - 1 AS key, value FROM json_array_elements_text({parameter}::json) WITH ORDINALITY)"
            ),
        }
    }

    /// `(?,?),(?,?)` for many rows. Numbered parameters would make SQLite search the name of each by a scan of all.
    pub(crate) fn push_rows(self, sql: &mut String, rows: usize, columns: usize) {
        let mut number = 0;
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..columns {
                if column > 0 {
                    sql.push(',');
                }
                number += 1;
                match self {
                    Dialect::Sqlite => sql.push('?'),
                    Dialect::Postgres => write!(sql, "${number}").unwrap_or_default(),
                }
            }
            sql.push(')');
        }
    }
}

/// One parameter that holds a list, so that the text of a statement does not vary with its length.
pub fn uuids<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> Value {
    let ids: Vec<String> = ids.into_iter().map(|id| id.simple().to_string()).collect();
    texts(ids)
}

/// See [`uuids`].
pub fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Value {
    let list = texts.into_iter().map(|text| serde_json::Value::from(text.as_ref())).collect();
    Value::from(serde_json::Value::Array(list).to_string())
}
