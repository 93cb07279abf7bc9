//! What comes after a lead's first win.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0041_customer",
    up: &[
        "ALTER TABLE lead ADD COLUMN customer {text}",
        "ALTER TABLE lead ADD COLUMN renews_at bigint",
        "CREATE INDEX lead_renewal ON lead (renews_at, id) WHERE renews_at IS NOT NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
