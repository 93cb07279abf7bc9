//! What buyers expect of the first meeting, and how it went.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0034_first_meeting",
    up: &[
        "CREATE TABLE meeting_expectation (
            lead {uuid} NOT NULL,
            cycle bigint NOT NULL,
            purpose {text} NOT NULL,
            expectation {text},
            stated_by {uuid},
            stated_at bigint NOT NULL,
            PRIMARY KEY (lead, cycle))",
        "ALTER TABLE activity ADD COLUMN meeting {text}",
        "ALTER TABLE handoff ADD COLUMN first_meeting {text}",
        "ALTER TABLE handoff ADD COLUMN first_meeting_at bigint",
    ],
    sqlite: &[],
    postgres: &[],
};
