//! Which earlier campaigns somebody looked at before a new one was planned.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0028_campaign_review",
    up: &[
        // A list of ids; none is an empty list, which the version before leaves out.
        "ALTER TABLE campaign ADD COLUMN reviewed {text}",
    ],
    sqlite: &[],
    postgres: &[],
};
