//! The ledger is counted by quarters of an hour in UTC instead of days of the charter's zone, of which any zone's days are
//! made: to change the zone counts nothing again, and no node can count by a zone that another has just replaced.

use super::SqlMigration;

pub(super) const MIGRATION: SqlMigration = SqlMigration {
    name: "m0005_ledger_quarter",
    up: &["DELETE FROM counter WHERE family = 'ledger'"],
    sqlite: &["INSERT INTO counter (family, subject, metric, value) \
         SELECT 'ledger', strftime('%Y-%m-%dT%H:%M:00.000Z', (at - ((at % 900000) + 900000) % 900000) / 1000, 'unixepoch'), metric, count(*) \
         FROM (SELECT opened_at AS at, 'OPENED' AS metric FROM cycle \
               UNION ALL SELECT closed_at, outcome FROM cycle WHERE closed_at IS NOT NULL) GROUP BY 2, 3"],
    postgres: &["INSERT INTO counter (family, subject, metric, value) \
         SELECT 'ledger', to_char(to_timestamp((at - ((at % 900000) + 900000) % 900000) / 1000) AT TIME ZONE 'UTC', \
             'YYYY-MM-DD\"T\"HH24:MI:00.000\"Z\"'), metric, count(*) \
         FROM (SELECT opened_at AS at, 'OPENED' AS metric FROM cycle \
               UNION ALL SELECT closed_at, outcome FROM cycle WHERE closed_at IS NOT NULL) AS moment GROUP BY 2, 3"],
};
