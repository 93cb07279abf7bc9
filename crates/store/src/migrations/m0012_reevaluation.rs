//! Passes over the leads that wait before a gate: which leads, how far, and what became of them.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0012_reevaluation",
    up: &[
        // Leads up to `after_lead` are done. Nobody started what a change of an account asks for.
        "CREATE TABLE reevaluation (
            id {uuid} PRIMARY KEY NOT NULL,
            cause {text} NOT NULL,
            waiting {text} NOT NULL,
            everything boolean NOT NULL,
            status {text} NOT NULL,
            after_lead {uuid} NOT NULL,
            looked {text} NOT NULL,
            total bigint NOT NULL,
            message {text},
            started_by {uuid},
            started_at bigint NOT NULL,
            finished_at bigint)",
        "CREATE INDEX reevaluation_page ON reevaluation (started_at DESC, id DESC)",
        "CREATE INDEX reevaluation_open ON reevaluation (started_at, id) WHERE status IN ('QUEUED', 'RUNNING')",
    ],
    sqlite: &[],
    postgres: &[],
};
