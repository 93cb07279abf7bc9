//! Pieces of content, what sales sent of them, and what it asked for.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0027_content",
    up: &[
        "CREATE TABLE content (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
        "CREATE TABLE content_use (
            id {uuid} PRIMARY KEY NOT NULL,
            content {uuid} NOT NULL,
            lead {uuid} NOT NULL,
            user_id {uuid} NOT NULL,
            at bigint NOT NULL)",
        "CREATE INDEX content_use_content ON content_use (content, at)",
        "CREATE INDEX content_use_lead ON content_use (lead, at DESC, id DESC)",
        // `objection` and `reason` are words about buyers in general, not about a lead.
        "CREATE TABLE content_request (
            id {uuid} PRIMARY KEY NOT NULL,
            persona {text} NOT NULL,
            stage {text} NOT NULL,
            objection {text} NOT NULL,
            user_id {uuid} NOT NULL,
            requested_at bigint NOT NULL,
            status {text} NOT NULL,
            content {uuid},
            reason {text},
            closed_by {uuid},
            closed_at bigint)",
        "CREATE INDEX content_request_page ON content_request (requested_at DESC, id DESC)",
        "CREATE INDEX content_request_open ON content_request (persona, stage) WHERE status = 'OPEN'",
    ],
    sqlite: &[],
    postgres: &[],
};
