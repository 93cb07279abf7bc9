//! Where a trait's value comes from, and the values that it replaced.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0037_fact",
    up: &[
        "ALTER TABLE trait ADD COLUMN origin {text}",
        "ALTER TABLE trait ADD COLUMN evidence {text}",
        "ALTER TABLE trait ADD COLUMN recorded_by {uuid}",
        "CREATE TABLE trait_history (
            lead {uuid} NOT NULL,
            key {text} NOT NULL,
            observed_at bigint NOT NULL,
            source {text} NOT NULL,
            value {text} NOT NULL,
            origin {text},
            evidence {text},
            recorded_by {uuid},
            PRIMARY KEY (lead, key, observed_at, source))",
    ],
    sqlite: &[],
    postgres: &[],
};
