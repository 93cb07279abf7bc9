//! Questions of sales about a lead, and what marketing answered.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0016_context_request",
    up: &[
        "CREATE TABLE context_request (
            id {uuid} PRIMARY KEY NOT NULL,
            lead {uuid} NOT NULL,
            cycle bigint NOT NULL,
            handoff {uuid},
            topic {text} NOT NULL,
            field {text},
            question {text} NOT NULL,
            asked_by {uuid} NOT NULL,
            asked_at bigint NOT NULL,
            answer {text},
            answered_by {uuid},
            answered_at bigint)",
        "CREATE INDEX context_request_lead ON context_request (lead, asked_at DESC, id DESC)",
        "CREATE INDEX context_request_page ON context_request (asked_at DESC, id DESC)",
        "CREATE INDEX context_request_open ON context_request (asked_at DESC, id DESC) WHERE answered_at IS NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
