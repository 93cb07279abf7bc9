//! Whose product a company uses today, until when, and who says so.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0038_incumbent",
    up: &[
        "ALTER TABLE account ADD COLUMN incumbent_vendor {text}",
        "ALTER TABLE account ADD COLUMN incumbent_ends_at bigint",
        "ALTER TABLE account ADD COLUMN incumbent_source {text}",
        "ALTER TABLE account ADD COLUMN incumbent_at bigint",
    ],
    sqlite: &[],
    postgres: &[],
};
