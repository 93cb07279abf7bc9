//! Stars that people give leads, campaigns and content.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0026_rating",
    up: &[
        // Closed reasons and no words: nothing here is personal but whose rating it is, which is a user of the workspace.
        "CREATE TABLE rating (
            kind {text} NOT NULL,
            subject {uuid} NOT NULL,
            user_id {uuid} NOT NULL,
            side {text} NOT NULL,
            stars bigint NOT NULL,
            reasons {text} NOT NULL,
            at bigint NOT NULL,
            PRIMARY KEY (kind, subject, user_id))",
    ],
    sqlite: &[],
    postgres: &[],
};
