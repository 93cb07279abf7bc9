//! Keys of teams, what they signed, and the older versions that were let in on purpose.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0010_signature",
    up: &[
        "CREATE TABLE team_key (
            id {uuid} PRIMARY KEY NOT NULL,
            team {text} NOT NULL,
            name {text} NOT NULL,
            key_id {text} NOT NULL,
            public_key {text} NOT NULL,
            registered_by {uuid} NOT NULL,
            registered_at bigint NOT NULL,
            expires_at bigint,
            revoked_at bigint,
            revoked_by {uuid},
            revoke_reason {text},
            UNIQUE (team, public_key))",
        // Without a key it waits for the checks of its version.
        "CREATE TABLE plugin_signature (
            version {text} NOT NULL REFERENCES plugin_version (digest),
            digest {text} NOT NULL,
            text {text} NOT NULL,
            key {uuid} REFERENCES team_key (id),
            serial bigint,
            added_by {uuid} NOT NULL,
            added_at bigint NOT NULL,
            PRIMARY KEY (version, digest))",
        "CREATE TABLE downgrade (
            deployment {uuid} PRIMARY KEY NOT NULL,
            slot {text} NOT NULL,
            version {text} NOT NULL,
            serial bigint,
            newest bigint NOT NULL,
            reason {text} NOT NULL,
            allowed_by {uuid} NOT NULL,
            allowed_at bigint NOT NULL)",
    ],
    sqlite: &[],
    postgres: &[],
};
