//! Every column is classed as personal or not, so that an erasure forgets none.

use super::*;
use handfast_store::personal::{Of, TABLES};
use std::collections::BTreeMap;

#[derive(FromQueryResult)]
struct Column {
    table_name: String,
    column_name: String,
}

#[tokio::test]
async fn every_column_of_every_table_is_classed_once() {
    let (dir, store) = store().await;
    let db = raw(&dir).await;
    let sql = match postgres_url() {
        Some(_) => format!(
            "SELECT table_name::text AS table_name, column_name::text AS column_name FROM information_schema.columns \
             WHERE table_schema = '{}'",
            schema(&dir)
        ),
        None => "SELECT m.name AS table_name, c.name AS column_name FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
            .to_owned(),
    };
    let columns: Vec<Column> = fetch_all(&db, &sql, vec![]).await.unwrap();
    let mut there: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Column { table_name, column_name } in columns {
        // The record of migrations, and what this suite itself makes.
        if !["seaql_migrations", "scratch"].contains(&table_name.as_str()) {
            there.entry(table_name).or_default().push(column_name);
        }
    }
    let mut classed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for table in TABLES {
        let personal = table.personal.iter().map(|(column, _)| *column);
        let all: Vec<String> = personal.chain(table.plain.split_whitespace()).map(str::to_owned).collect();
        let blanks = !table.personal.is_empty();
        assert_eq!(
            blanks,
            matches!(table.of, Of::Kept(_)),
            "{}: what is kept has something to blank",
            table.name
        );
        assert!(classed.insert(table.name.to_owned(), all).is_none(), "{} stands twice", table.name);
    }
    // PostgreSQL alone numbers events later, and holds files; SQLite has neither table.
    if postgres_url().is_none() {
        for only in ["unnumbered", "feed_head", "lease", "blob_chunk"] {
            if !there.contains_key(only) {
                classed.remove(only);
            }
        }
    }
    for columns in there.values_mut().chain(classed.values_mut()) {
        columns.sort();
    }
    assert_eq!(there, classed, "left: the database; right: store/personal.rs");
    store.close().await;
}
