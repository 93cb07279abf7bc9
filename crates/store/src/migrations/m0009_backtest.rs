//! Backtests of rule versions: what was asked for, how far it got, what it found, and the leads on which the rules differ.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0009_backtest",
    up: &[
        // The baseline is that of the start; without a version it is the built-in rule.
        "CREATE TABLE backtest_run (
            id {uuid} PRIMARY KEY NOT NULL,
            slot {text} NOT NULL,
            gate {text} NOT NULL,
            version {text} NOT NULL REFERENCES plugin_version (digest),
            settings {text} NOT NULL REFERENCES settings (digest),
            baseline_version {text},
            baseline_settings {text},
            scope {text} NOT NULL,
            status {text} NOT NULL,
            done bigint NOT NULL,
            total bigint NOT NULL,
            report {text},
            message {text},
            started_by {uuid} NOT NULL,
            started_at bigint NOT NULL,
            finished_at bigint)",
        "CREATE INDEX backtest_run_page ON backtest_run (slot, started_at DESC, id DESC)",
        "CREATE INDEX backtest_run_open ON backtest_run (started_at, id) WHERE status IN ('QUEUED', 'RUNNING')",
        "CREATE TABLE backtest_flip (
            run {uuid} NOT NULL REFERENCES backtest_run (id),
            number bigint NOT NULL,
            lead {uuid} NOT NULL,
            at bigint NOT NULL,
            baseline {text},
            candidate {text},
            good boolean NOT NULL,
            PRIMARY KEY (run, number))",
    ],
    sqlite: &[],
    postgres: &[],
};
