//! Reports that are made in the background, with their tables in parts.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0042_report_run",
    up: &[
        "CREATE TABLE report_run (
            id {uuid} PRIMARY KEY NOT NULL,
            asked {text} NOT NULL,
            status {text} NOT NULL,
            attempt bigint NOT NULL,
            rows_read bigint NOT NULL,
            read_until bigint,
            bytes bigint,
            message {text},
            started_by {uuid} NOT NULL,
            started_at bigint NOT NULL,
            finished_at bigint)",
        "CREATE INDEX report_run_page ON report_run (started_at DESC, id DESC)",
        "CREATE INDEX report_run_open ON report_run (started_at, id) WHERE status IN ('QUEUED', 'RUNNING')",
        "CREATE TABLE report_part (
            run {uuid} NOT NULL REFERENCES report_run (id),
            attempt bigint NOT NULL,
            number bigint NOT NULL,
            body {text} NOT NULL,
            PRIMARY KEY (run, attempt, number))",
    ],
    sqlite: &[],
    postgres: &[],
};
