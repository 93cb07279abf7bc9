//! What people of each side think of how well the two know and serve each other, month by month.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0032_pulse",
    up: &[
        // Numbers of users of the workspace, told as sums of a side: no lead is in it.
        "CREATE TABLE pulse (
            month {text} NOT NULL,
            user_id {uuid} NOT NULL,
            side {text} NOT NULL,
            knows_needs bigint NOT NULL,
            delivers bigint NOT NULL,
            other_knows_needs bigint NOT NULL,
            other_delivers bigint NOT NULL,
            at bigint NOT NULL,
            PRIMARY KEY (month, user_id))",
    ],
    sqlite: &[],
    postgres: &[],
};
