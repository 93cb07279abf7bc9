//! Evaluations are read by the time at which they were made, page by page.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0021_looks",
    up: &["CREATE INDEX evaluation_time ON evaluation (as_of, id)"],
    sqlite: &[],
    postgres: &[],
};
