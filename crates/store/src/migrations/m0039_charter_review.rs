//! Promises to review the charter in force, and what each side said of it.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0039_charter_review",
    up: &[
        "ALTER TABLE charter ADD COLUMN reviewed_at bigint",
        "CREATE TABLE charter_clock (
            id {uuid} PRIMARY KEY NOT NULL,
            number bigint NOT NULL,
            party {text} NOT NULL,
            state {text} NOT NULL,
            due_at bigint NOT NULL,
            wake_at bigint,
            body {text} NOT NULL)",
        "CREATE INDEX charter_clock_due ON charter_clock (due_at, id)",
        "CREATE INDEX charter_clock_wake ON charter_clock (wake_at) WHERE wake_at IS NOT NULL",
        "CREATE INDEX charter_clock_number ON charter_clock (number)",
        "CREATE TABLE charter_review (
            id {uuid} PRIMARY KEY NOT NULL,
            number bigint NOT NULL,
            user_id {uuid} NOT NULL,
            side {text} NOT NULL,
            verdict {text} NOT NULL,
            comment {text},
            at bigint NOT NULL)",
        "CREATE INDEX charter_review_number ON charter_review (number, at)",
    ],
    sqlite: &[],
    postgres: &[],
};
