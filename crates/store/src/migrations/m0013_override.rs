//! What people decided in the place of a rule, one lead at a time.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0013_override",
    up: &[
        // The reason is a person's words about a lead: it goes with an erasure.
        "CREATE TABLE decision_override (
            decision {uuid} PRIMARY KEY NOT NULL,
            instead {uuid} NOT NULL UNIQUE,
            lead {uuid} NOT NULL,
            slot {text} NOT NULL,
            deployment {uuid},
            version {text} NOT NULL,
            was {text},
            outcome {text} NOT NULL,
            disposition {text},
            reason {text} NOT NULL,
            user_id {uuid} NOT NULL,
            side {text} NOT NULL,
            at bigint NOT NULL)",
        "CREATE INDEX decision_override_lead ON decision_override (lead)",
        "CREATE INDEX decision_override_deployment ON decision_override (deployment) WHERE deployment IS NOT NULL",
        "CREATE INDEX decision_override_version ON decision_override (version)",
    ],
    sqlite: &[],
    postgres: &[],
};
