//! Named consumers of the log, and the events that they put aside.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0007_consumer",
    up: &[
        // The filter is a document: it grows with what a reader may ask for.
        "CREATE TABLE consumer (
            id {uuid} PRIMARY KEY NOT NULL,
            key {text} NOT NULL UNIQUE,
            description {text},
            owner {uuid} NOT NULL,
            filter {text} NOT NULL,
            position bigint NOT NULL,
            created_at bigint NOT NULL,
            acked_at bigint)",
        "CREATE INDEX consumer_owner ON consumer (owner, created_at, id)",
        "CREATE TABLE dead_letter (
            consumer {uuid} NOT NULL REFERENCES consumer (id),
            event {uuid} NOT NULL REFERENCES event (id),
            position bigint NOT NULL,
            reason {text} NOT NULL,
            rejected_at bigint NOT NULL,
            rejected_by {uuid} NOT NULL,
            resolved_at bigint,
            resolved_by {uuid},
            PRIMARY KEY (consumer, event))",
        "CREATE INDEX dead_letter_page ON dead_letter (consumer, rejected_at, event)",
        "CREATE INDEX dead_letter_open ON dead_letter (consumer) WHERE resolved_at IS NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
