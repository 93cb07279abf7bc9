//! What one side tells the other, its tags, and what it caused.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0025_feedback",
    up: &[
        // `text` and `answer` are a person's words, maybe about a lead: of feedback about one they go with its erasure.
        "CREATE TABLE feedback (
            id {uuid} PRIMARY KEY NOT NULL,
            from_side {text} NOT NULL,
            to_side {text} NOT NULL,
            user_id {uuid} NOT NULL,
            kind {text} NOT NULL,
            about_kind {text},
            about_key {text},
            lead {uuid},
            text {text} NOT NULL,
            posted_at bigint NOT NULL,
            status {text} NOT NULL,
            acknowledged_by {uuid},
            acknowledged_at bigint,
            closed_by {uuid},
            closed_at bigint,
            answer {text},
            clock {text},
            clock_id {uuid},
            clock_state {text},
            due_at bigint,
            wake_at bigint)",
        "CREATE INDEX feedback_page ON feedback (posted_at DESC, id DESC)",
        "CREATE INDEX feedback_side ON feedback (to_side, status, posted_at DESC, id DESC)",
        "CREATE INDEX feedback_about ON feedback (about_kind, about_key, posted_at DESC, id DESC)
            WHERE about_kind IS NOT NULL",
        "CREATE INDEX feedback_lead ON feedback (lead) WHERE lead IS NOT NULL",
        "CREATE INDEX feedback_due ON feedback (due_at, clock_id) WHERE clock_id IS NOT NULL",
        "CREATE INDEX feedback_wake ON feedback (wake_at) WHERE wake_at IS NOT NULL",
        "CREATE TABLE feedback_tag (
            tag {text} NOT NULL,
            feedback {uuid} NOT NULL,
            PRIMARY KEY (tag, feedback))",
        "CREATE INDEX feedback_tag_feedback ON feedback_tag (feedback)",
        "CREATE TABLE feedback_effect (
            id {uuid} PRIMARY KEY NOT NULL,
            feedback {uuid} NOT NULL,
            kind {text} NOT NULL,
            subject {text} NOT NULL,
            user_id {uuid} NOT NULL,
            at bigint NOT NULL,
            UNIQUE (feedback, kind, subject))",
    ],
    sqlite: &[],
    postgres: &[],
};
