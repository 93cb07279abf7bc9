//! Reports read stage changes and hand-offs by the time at which they happened, page by page.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0020_report",
    up: &[
        "CREATE INDEX stage_transition_time ON stage_transition (at, lead, stage_version)",
        "CREATE INDEX handoff_offered ON handoff (offered_at, id)",
    ],
    sqlite: &[],
    postgres: &[],
};
