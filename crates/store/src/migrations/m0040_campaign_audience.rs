//! Whom a campaign was planned for.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0040_campaign_audience",
    up: &["ALTER TABLE campaign ADD COLUMN audience {uuid}"],
    sqlite: &[],
    postgres: &[],
};
