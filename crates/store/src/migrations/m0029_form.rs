//! Forms with their versions, and which of their fields each submission filled.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0029_form",
    up: &[
        "CREATE TABLE form (id {uuid} PRIMARY KEY NOT NULL, key {text} NOT NULL UNIQUE, body {text} NOT NULL)",
        // What was filled are names of fields, never what somebody wrote into them.
        "CREATE TABLE form_submission (
            id {uuid} PRIMARY KEY NOT NULL,
            form {uuid} NOT NULL,
            version bigint NOT NULL,
            lead {uuid} NOT NULL,
            at bigint NOT NULL,
            filled {text} NOT NULL)",
        "CREATE INDEX form_submission_form ON form_submission (form, at)",
        "CREATE INDEX form_submission_lead ON form_submission (lead)",
    ],
    sqlite: &[],
    postgres: &[],
};
