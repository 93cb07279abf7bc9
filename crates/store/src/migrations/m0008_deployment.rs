//! Deployments in three modes: on what terms, who agreed, what took one back; and what a decision must say to be counted.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0008_deployment",
    up: &[
        // Documents: they grow with what a deployment can be told.
        "ALTER TABLE deployment ADD COLUMN terms {text} NOT NULL DEFAULT '{}'",
        "ALTER TABLE deployment ADD COLUMN approvals {text} NOT NULL DEFAULT '[]'",
        "ALTER TABLE deployment ADD COLUMN evidence {text} NOT NULL DEFAULT '[]'",
        "CREATE UNIQUE INDEX deployment_canary ON deployment (slot) WHERE mode = 'CANARY' AND state = 'RUNNING'",
        "CREATE INDEX deployment_active ON deployment (state) WHERE state IN ('RUNNING', 'PENDING_APPROVAL')",
        // Whether a shadow said what the version said that counted; none for what counts.
        "ALTER TABLE decision ADD COLUMN agrees boolean",
        "ALTER TABLE decision ADD COLUMN fuel bigint",
        // Identities rise with the time at which a decision was made, also where it speaks of the past.
        "CREATE INDEX decision_deployment ON decision (deployment, id) WHERE deployment IS NOT NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
