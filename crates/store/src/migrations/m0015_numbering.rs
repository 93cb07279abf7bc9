//! What waits for its place in the feed brings its hash along.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0015_numbering",
    up: &[],
    sqlite: &[],
    postgres: &[
        // Empty in rows of the version before.
        "ALTER TABLE unnumbered ADD COLUMN sha {blob}",
        // Both rows come by one statement, so the check finds nothing, and locks the row of each event for it.
        "ALTER TABLE unnumbered DROP CONSTRAINT unnumbered_event_fkey",
    ],
};
