//! Who said that they read which charter.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0014_charter_reading",
    up: &[
        // Users of the workspace, no leads: an erasure has nothing to do here.
        "CREATE TABLE charter_acknowledgement (
            number bigint NOT NULL,
            user_id {uuid} NOT NULL,
            at bigint NOT NULL,
            PRIMARY KEY (number, user_id))",
    ],
    sqlite: &[],
    postgres: &[],
};
