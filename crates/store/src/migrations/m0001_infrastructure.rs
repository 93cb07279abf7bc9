//! The log and its feed, idempotency keys, API tokens, uploaded files, and the few facts about the workspace itself.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0001_infrastructure",
    up: &[
        "CREATE TABLE meta (key {text} PRIMARY KEY NOT NULL, value {text} NOT NULL)",
        // Rows of `event` are never updated: what the feed knows about them stands in `feed`.
        "CREATE TABLE event (
            id {uuid} PRIMARY KEY NOT NULL,
            stream_kind {text} NOT NULL,
            stream_id {uuid} NOT NULL,
            version bigint NOT NULL,
            ordinal bigint NOT NULL,
            kind {text} NOT NULL,
            schema_version bigint NOT NULL,
            payload {text} NOT NULL,
            occurred_at bigint NOT NULL,
            recorded_at bigint NOT NULL,
            UNIQUE (stream_kind, stream_id, version, ordinal))",
        "CREATE TABLE feed (
            position {position},
            event_id {uuid} NOT NULL UNIQUE REFERENCES event (id),
            event_sha {blob} NOT NULL,
            chain {blob} NOT NULL)",
        "CREATE TABLE idempotency (
            user_id {uuid} NOT NULL,
            field {text} NOT NULL,
            key {text} NOT NULL,
            digest {blob} NOT NULL,
            answer {text},
            created_at bigint NOT NULL,
            PRIMARY KEY (user_id, field, key))",
        "CREATE INDEX idempotency_age ON idempotency (created_at)",
        "CREATE TABLE api_token (
            id {uuid} PRIMARY KEY NOT NULL,
            user_id {uuid} NOT NULL,
            name {text} NOT NULL,
            hash {blob} NOT NULL UNIQUE,
            scopes {text} NOT NULL,
            expires_at bigint,
            created_at bigint NOT NULL,
            revoked_at bigint,
            last_used_at bigint)",
        "CREATE INDEX api_token_user ON api_token (user_id, created_at)",
        "CREATE TABLE blob (
            sha256 {blob} NOT NULL,
            kind {text} NOT NULL,
            size bigint NOT NULL,
            created_at bigint NOT NULL,
            PRIMARY KEY (sha256, kind))",
    ],
    sqlite: &[],
    postgres: &[],
};
