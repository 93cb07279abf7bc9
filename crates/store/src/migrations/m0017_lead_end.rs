//! How a lead ends besides its cycles: as a duplicate of another one, or erased.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0017_lead_end",
    up: &[
        "ALTER TABLE lead ADD COLUMN merged_into {uuid}",
        "ALTER TABLE lead ADD COLUMN erased_at bigint",
        "CREATE INDEX lead_merged ON lead (merged_into) WHERE merged_into IS NOT NULL",
        // Keyed hashes of e-mails and phones of people who are not to be contacted: they say nothing of anybody by themselves.
        "CREATE TABLE suppression (
            identity {blob} PRIMARY KEY NOT NULL,
            reason {text} NOT NULL,
            at bigint NOT NULL)",
    ],
    sqlite: &[],
    postgres: &[],
};
