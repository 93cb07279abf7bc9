//! What both sides answer for together: goals, projects and the decisions of their meetings.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0031_shared",
    up: &[
        // Words of users about their work, not about leads.
        "CREATE TABLE shared_goal (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
        "CREATE TABLE shared_project (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
        "CREATE TABLE alignment_review (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
        // Rejections of hand-offs are few, and reports ask for them by time.
        "CREATE INDEX handoff_rejected ON handoff (answered_at) WHERE reason IS NOT NULL",
    ],
    sqlite: &[],
    postgres: &[],
};
