//! Time that sales spends on leads.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0035_effort",
    up: &[
        "CREATE TABLE effort (
            id {uuid} PRIMARY KEY NOT NULL,
            lead {uuid} NOT NULL,
            cycle bigint NOT NULL,
            user_id {uuid} NOT NULL,
            minutes bigint NOT NULL,
            kind {text} NOT NULL,
            at bigint NOT NULL,
            recorded_at bigint NOT NULL,
            withdrawn_at bigint)",
        "CREATE INDEX effort_lead ON effort (lead, at DESC, id DESC)",
        "CREATE INDEX effort_at ON effort (at, id) WHERE withdrawn_at IS NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
