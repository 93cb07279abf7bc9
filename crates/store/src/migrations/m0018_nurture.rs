//! Nurture tracks, and each lead's enrolment.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0018_nurture",
    up: &[
        "CREATE TABLE nurture_track (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
        "ALTER TABLE lead ADD COLUMN nurture {text}",
        "ALTER TABLE lead ADD COLUMN nurture_at bigint",
        "CREATE INDEX lead_nurture ON lead (nurture_at) WHERE nurture_at IS NOT NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
