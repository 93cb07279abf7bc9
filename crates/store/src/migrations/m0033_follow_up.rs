//! Follow-ups that sales plans: what waits stands with the lead, so that its queue needs no other table; all of them in their own.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0033_follow_up",
    up: &[
        "ALTER TABLE lead ADD COLUMN follow_ups {text} NOT NULL DEFAULT '[]'",
        "ALTER TABLE lead ADD COLUMN follow_up_at bigint",
        "CREATE INDEX lead_owner_follow_up ON lead (owner, follow_up_at, id)
            WHERE outcome = 'OPEN' AND follow_up_at IS NOT NULL",
        "CREATE INDEX lead_queue_follow_up ON lead (queue, follow_up_at, id)
            WHERE outcome = 'OPEN' AND follow_up_at IS NOT NULL",
        "CREATE TABLE follow_up (
            id {uuid} PRIMARY KEY NOT NULL,
            lead {uuid} NOT NULL,
            cycle bigint NOT NULL,
            kind {text} NOT NULL,
            due_at bigint NOT NULL,
            attempt bigint NOT NULL,
            note {text},
            planned_by {uuid},
            planned_at bigint NOT NULL,
            outcome {text},
            activity {uuid},
            ended_at bigint)",
        "CREATE INDEX follow_up_lead ON follow_up (lead, due_at DESC, id DESC)",
        "CREATE INDEX follow_up_due ON follow_up (due_at, id)",
        "CREATE INDEX follow_up_open ON follow_up (due_at, id) WHERE outcome IS NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
