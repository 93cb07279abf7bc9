//! Audiences with their versions, and offers to them.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0030_audience",
    up: &[
        "CREATE TABLE audience (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
        "CREATE TABLE offer (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
    ],
    sqlite: &[],
    postgres: &[],
};
