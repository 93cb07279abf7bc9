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

    /// Fills in the column types that have two names: `{uuid}`, `{blob}`, `{text}` and `{position}`, the key of the feed.
    pub fn ddl(self, text: &str) -> String {
        let names = match self {
            // AUTOINCREMENT: a position that a subscriber may have seen is never given twice.
            Dialect::Sqlite => [
                ("{uuid}", "blob"),
                ("{blob}", "blob"),
                ("{text}", "text"),
                ("{position}", "integer PRIMARY KEY AUTOINCREMENT"),
            ],
            // Texts compare by their bytes, as on SQLite, so that pages and keys have one order.
            Dialect::Postgres => [
                ("{uuid}", "uuid"),
                ("{blob}", "bytea"),
                ("{text}", "text COLLATE \"C\""),
                ("{position}", "bigint PRIMARY KEY"),
            ],
        };
        names.into_iter().fold(text.to_owned(), |text, (name, own)| text.replace(name, own))
    }

    /// A condition: one of the values of a parameter made by [`uuids`], as in `e.id {uuid_list("$1")}`.
    pub fn uuid_list(self, parameter: &str) -> String {
        match self {
            Dialect::Sqlite => format!("IN (SELECT unhex(value) FROM json_each({parameter}))"),
            // An array, so that the planner takes the index however little it knows about the list.
            Dialect::Postgres => {
                format!("= ANY (ARRAY(SELECT value::uuid FROM json_array_elements_text({parameter}::json)))")
            }
        }
    }

    /// A condition: one of the values of a parameter made by [`texts`].
    pub fn text_list(self, parameter: &str) -> String {
        match self {
            Dialect::Sqlite => format!("IN (SELECT value FROM json_each({parameter}))"),
            Dialect::Postgres => {
                format!("= ANY (ARRAY(SELECT value FROM json_array_elements_text({parameter}::json)))")
            }
        }
    }

    /// `t`, the newest rows of a table for each lead of `$1`, made by [`uuids`], and at most `$2` of each: the index of
    /// (lead, instant, id) is read no further.
    pub fn newest_of_each(self, table: &str, at: &str) -> String {
        match self {
            // A table without rows in its middle: `+` keeps the planner from starting with the other side.
            Dialect::Sqlite => format!(
                "json_each($1) k CROSS JOIN {table} t ON t.rowid IN (SELECT n.rowid FROM {table} n \
                 WHERE n.lead = unhex(k.value) ORDER BY n.{at} DESC, n.id DESC LIMIT $2)"
            ),
            Dialect::Postgres => format!(
                "json_array_elements_text($1::json) k CROSS JOIN LATERAL (SELECT n.* FROM {table} n \
                 WHERE n.lead = k.value::uuid ORDER BY n.{at} DESC, n.id DESC LIMIT $2) t"
            ),
        }
    }

    /// The text at a path of the JSON in a column; null where there is none.
    pub fn json_text(self, column: &str, path: [&str; 2]) -> String {
        let [outer, inner] = path;
        match self {
            Dialect::Sqlite => format!("json_extract({column}, '$.{outer}.{inner}')"),
            Dialect::Postgres => format!("({column}::json #>> '{{{outer},{inner}}}')"),
        }
    }

    /// At the end of a SELECT: the rows stay as they are until the command ends. SQLite has one writer.
    pub fn for_update(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    }

    /// At the end of a SELECT: the rows are this command's, and those that are another's are passed over.
    pub fn for_update_skip_locked(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// The database's own clock, in milliseconds: what nodes agree about.
    pub fn now_ms(self) -> &'static str {
        match self {
            Dialect::Sqlite => "CAST(unixepoch('subsec') * 1000 AS integer)",
            Dialect::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        }
    }

    /// The values of a parameter made by [`texts`] as a table of (key, value) to select from; keys count from 0.
    pub fn text_table(self, parameter: &str) -> String {
        match self {
            Dialect::Sqlite => format!("json_each({parameter})"),
            Dialect::Postgres => format!(
                "(SELECT ordinality - 1 AS key, value FROM json_array_elements_text({parameter}::json) WITH ORDINALITY) AS listed"
            ),
        }
    }

    /// `(?,?),(?,?)` for many rows; the statement has `before` parameters already. Numbered parameters would make SQLite search
    /// the name of each by a scan of all.
    pub(crate) fn push_rows(self, sql: &mut String, before: usize, rows: usize, columns: usize) {
        let mut number = before;
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
