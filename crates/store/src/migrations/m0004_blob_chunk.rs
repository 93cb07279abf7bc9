//! Uploaded files in the database, where several nodes share it. On SQLite the one process has them in its folder.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0004_blob_chunk",
    up: &[],
    sqlite: &[],
    postgres: &["CREATE TABLE blob_chunk (
            sha256 {blob} NOT NULL,
            number bigint NOT NULL,
            body {blob} NOT NULL,
            PRIMARY KEY (sha256, number))"],
};
