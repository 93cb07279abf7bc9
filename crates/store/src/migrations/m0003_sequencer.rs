//! What numbers the feed on PostgreSQL, where many write at once. SQLite has one writer and needs none of it.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0003_sequencer",
    up: &[],
    sqlite: &[],
    postgres: &[
        // CACHE 1: a session that kept numbers in reserve would draw them in another order than it writes.
        "CREATE TABLE unnumbered (
            seq bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
            event {uuid} NOT NULL REFERENCES event (id))",
        "CREATE TABLE feed_head (
            id bigint PRIMARY KEY CHECK (id = 1),
            position bigint NOT NULL,
            chain {blob} NOT NULL)",
        "INSERT INTO feed_head (id, position, chain) VALUES (1, 0, decode(repeat('00', 32), 'hex'))",
        "CREATE TABLE lease (
            name {text} PRIMARY KEY NOT NULL,
            holder {text} NOT NULL,
            fence bigint NOT NULL,
            until bigint NOT NULL)",
    ],
};
