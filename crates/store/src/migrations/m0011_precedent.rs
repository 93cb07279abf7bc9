//! What both sides think of a grey case, how they decided it, and what follows for later versions of the rule.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0011_precedent",
    up: &[
        "ALTER TABLE grey_case ADD COLUMN opinions {text} NOT NULL DEFAULT '[]'",
        "ALTER TABLE grey_case ADD COLUMN resolution {text}",
        "CREATE INDEX grey_case_page ON grey_case (opened_at DESC, id DESC)",
        "CREATE INDEX grey_case_open ON grey_case (slot) WHERE resolution IS NULL",
        // The snapshot is the lead's, copied: it tells of a person, and goes with an erasure.
        "CREATE TABLE precedent (
            id {uuid} PRIMARY KEY NOT NULL,
            slot {text} NOT NULL,
            grey_case {uuid} NOT NULL UNIQUE REFERENCES grey_case (id),
            lead {uuid} NOT NULL,
            as_of bigint NOT NULL,
            charter bigint NOT NULL,
            snapshot {text} NOT NULL,
            expected {text} NOT NULL,
            rationale {text} NOT NULL,
            created_at bigint NOT NULL)",
        "CREATE INDEX precedent_slot ON precedent (slot, created_at DESC, id DESC)",
        "CREATE TABLE waiver (
            precedent {uuid} NOT NULL REFERENCES precedent (id),
            version {text} NOT NULL,
            side {text} NOT NULL,
            body {text} NOT NULL,
            PRIMARY KEY (precedent, version, side))",
    ],
    sqlite: &[],
    postgres: &[],
};
