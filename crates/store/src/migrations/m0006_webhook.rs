//! Webhooks with their place in the feed, what is sent to them, and the jobs that send it.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0006_webhook",
    up: &[
        // `run_at` is business time, `locked_until` the database's. A lane is worked apart from the others of its kind.
        "CREATE TABLE job (
            id {uuid} PRIMARY KEY NOT NULL,
            kind {text} NOT NULL,
            lane {text} NOT NULL,
            key {text} NOT NULL UNIQUE,
            run_at bigint NOT NULL,
            payload {text} NOT NULL,
            attempts bigint NOT NULL,
            locked_until bigint,
            fence bigint NOT NULL)",
        "CREATE INDEX job_due ON job (kind, lane, run_at, id)",
        // Events up to `position` have become deliveries.
        "CREATE TABLE webhook (
            id {uuid} PRIMARY KEY NOT NULL,
            body {text} NOT NULL,
            created_at bigint NOT NULL,
            position bigint NOT NULL,
            failing_since bigint,
            last_success_at bigint,
            last_failure {text})",
        // `origin` is what made it: nil for the feed, else a replay or a test. `stream` is what its event belongs to.
        "CREATE TABLE webhook_delivery (
            id {uuid} PRIMARY KEY NOT NULL,
            webhook {uuid} NOT NULL,
            origin {uuid} NOT NULL,
            event {uuid} NOT NULL,
            position bigint,
            kind {text} NOT NULL,
            stream {uuid} NOT NULL,
            state {text} NOT NULL,
            created_at bigint NOT NULL,
            next_at bigint,
            tried {text} NOT NULL)",
        "CREATE INDEX webhook_delivery_page ON webhook_delivery (webhook, created_at DESC, id DESC)",
        "CREATE INDEX webhook_delivery_state ON webhook_delivery (webhook, state, created_at DESC, id DESC)",
        "CREATE INDEX webhook_delivery_open ON webhook_delivery (webhook, origin, stream, position)
            WHERE state IN ('WAITING', 'PENDING')",
    ],
    sqlite: &[],
    postgres: &[],
};
