//! What the doctor asks of tables that no replay looks at: whether the database is sound, whether rows have what they refer
//! to, and whether what is kept by digest still has it.

use std::collections::BTreeSet;

use handfast_domain::digest::Digest;
use handfast_domain::snapshot::Snapshot;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::error::{Result, StoreError};
use crate::rows::{fetch_all, fetch_value};

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

/// Whether the database itself is sound: its pages and indexes, and rows that other rows must have. The first findings.
pub async fn database_faults(db: &impl ConnectionTrait, quick: bool, limit: usize) -> Result<Vec<String>> {
    let mut found = vec![];
    match Dialect::of(db.get_database_backend()) {
        Dialect::Sqlite => {
            // The quick one leaves out whether indexes and tables agree.
            let check = if quick { "quick_check" } else { "integrity_check" };
            let text: Option<String> = fetch_value(db, &format!("PRAGMA {check}(1)"), vec![]).await?;
            found.extend(text.filter(|text| text != "ok"));
            let sql = format!(
                "SELECT \"table\" || ' refers to a row of ' || parent || ' that is missing' AS name \
                 FROM pragma_foreign_key_check() LIMIT {limit}"
            );
            let rows: Vec<Name> = fetch_all(db, &sql, vec![]).await?;
            found.extend(rows.into_iter().map(|row| row.name));
        }
        // It checks its pages itself when they are read; what was begun and never finished stands in its catalogue.
        Dialect::Postgres => {
            for (what, sql) in [
                (
                    "index",
                    "SELECT c.relname::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                     WHERE c.relnamespace = current_schema()::regnamespace AND NOT (i.indisvalid AND i.indisready)",
                ),
                (
                    "constraint",
                    "SELECT conname::text AS name FROM pg_constraint \
                     WHERE connamespace = current_schema()::regnamespace AND NOT convalidated",
                ),
            ] {
                let rows: Vec<Name> = fetch_all(db, sql, vec![]).await?;
                found.extend(rows.into_iter().map(|row| format!("the {what} {} is not valid", row.name)));
            }
        }
    }
    Ok(found)
}

/// Table, column, and the table that its values are ids of.
const REFERENCES: &[(&str, &str, &str, &str)] = &[
    ("lead", "person", "person", "id"),
    ("lead", "account", "account", "id"),
    ("lead", "campaign", "campaign", "id"),
    // A person whom no lead leads to is found by no erasure.
    ("person", "id", "lead", "person"),
    ("external_ref", "lead", "lead", "id"),
    ("cycle", "lead", "lead", "id"),
    ("clock", "lead", "lead", "id"),
    ("handoff", "lead", "lead", "id"),
    ("opportunity", "lead", "lead", "id"),
    ("stage_transition", "lead", "lead", "id"),
    ("activity", "lead", "lead", "id"),
    ("touchpoint", "lead", "lead", "id"),
    ("engagement", "lead", "lead", "id"),
    ("trait", "lead", "lead", "id"),
    ("trait_history", "lead", "lead", "id"),
    ("answer", "lead", "lead", "id"),
    ("snapshot", "lead", "lead", "id"),
    ("evaluation", "lead", "lead", "id"),
    ("decision", "lead", "lead", "id"),
    ("grey_case", "lead", "lead", "id"),
    ("grey_case", "decision", "decision", "id"),
    ("precedent", "grey_case", "grey_case", "id"),
    ("precedent", "lead", "lead", "id"),
    ("waiver", "precedent", "precedent", "id"),
    ("decision_override", "decision", "decision", "id"),
    ("decision_override", "instead", "decision", "id"),
    ("decision_override", "lead", "lead", "id"),
    ("lead", "merged_into", "lead", "id"),
    ("context_request", "lead", "lead", "id"),
    ("context_request", "handoff", "handoff", "id"),
    ("feedback", "lead", "lead", "id"),
    ("feedback", "user_id", "app_user", "id"),
    ("feedback_tag", "feedback", "feedback", "id"),
    ("feedback_effect", "feedback", "feedback", "id"),
    ("rating", "user_id", "app_user", "id"),
    ("follow_up", "lead", "lead", "id"),
    ("follow_up", "planned_by", "app_user", "id"),
    ("follow_up", "activity", "activity", "id"),
    ("meeting_expectation", "lead", "lead", "id"),
    ("effort", "lead", "lead", "id"),
    ("effort", "user_id", "app_user", "id"),
    ("charter_clock", "number", "charter", "number"),
    ("charter_review", "number", "charter", "number"),
    ("charter_review", "user_id", "app_user", "id"),
    ("campaign", "audience", "audience", "id"),
    ("content_use", "content", "content", "id"),
    ("content_use", "lead", "lead", "id"),
    ("content_request", "content", "content", "id"),
    ("pulse", "user_id", "app_user", "id"),
    ("form_submission", "form", "form", "id"),
    ("form_submission", "lead", "lead", "id"),
    ("deployment", "version", "plugin_version", "digest"),
    ("deployment", "settings", "settings", "digest"),
    ("plugin_signature", "version", "plugin_version", "digest"),
    ("plugin_signature", "key", "team_key", "id"),
    ("downgrade", "deployment", "deployment", "id"),
    ("api_token", "user_id", "app_user", "id"),
    ("charter_acknowledgement", "number", "charter", "number"),
    ("charter_acknowledgement", "user_id", "app_user", "id"),
];

/// Rows that refer to something that is not there; how many kinds of references were looked at, and the first findings.
pub async fn strays(db: &impl ConnectionTrait, limit: usize) -> Result<(usize, Vec<String>)> {
    let mut found = vec![];
    for (table, column, parent, key) in REFERENCES {
        let sql = format!(
            "SELECT count(*) FROM {table} t WHERE t.{column} IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = t.{column})"
        );
        let count: i64 = fetch_value(db, &sql, vec![]).await?.unwrap_or(0);
        if count > 0 && found.len() < limit {
            found.push(format!("{count} rows of {table} have no {parent} by their {column}"));
        }
    }
    Ok((REFERENCES.len(), found))
}

/// Events that are committed and have no place in the feed yet.
pub async fn unnumbered(db: &impl ConnectionTrait) -> Result<i64> {
    match Dialect::of(db.get_database_backend()) {
        Dialect::Sqlite => Ok(0),
        Dialect::Postgres => {
            Ok(fetch_value(db, "SELECT count(*) FROM unnumbered", vec![]).await?.unwrap_or(0))
        }
    }
}

/// Idempotency keys, and those of them that were taken and never answered.
pub async fn keys(db: &impl ConnectionTrait) -> Result<(i64, i64)> {
    let all = fetch_value(db, "SELECT count(*) FROM idempotency", vec![]).await?.unwrap_or(0);
    let sql = "SELECT count(*) FROM idempotency WHERE answer IS NULL";
    Ok((all, fetch_value(db, sql, vec![]).await?.unwrap_or(0)))
}

#[derive(FromQueryResult)]
struct Sha {
    sha256: Vec<u8>,
}

/// The uploaded files that the table names.
pub async fn blobs(db: &impl ConnectionTrait) -> Result<BTreeSet<Digest>> {
    let rows: Vec<Sha> = fetch_all(db, "SELECT DISTINCT sha256 FROM blob", vec![]).await?;
    let digest = |row: Sha| row.sha256.try_into().map(Digest);
    let wrong = |_| StoreError::corrupt("blob", "sha256", "?", "not 32 bytes");
    rows.into_iter().map(|row| digest(row).map_err(wrong)).collect()
}

#[derive(FromQueryResult)]
struct SettingsRow {
    digest: String,
    body: String,
}

/// Settings that are not what their digest says, and how many there are.
pub async fn settings(db: &impl ConnectionTrait) -> Result<(usize, Vec<String>)> {
    let rows: Vec<SettingsRow> = fetch_all(db, "SELECT digest, body FROM settings", vec![]).await?;
    let count = rows.len();
    let changed = rows.into_iter().filter(|row| {
        let value: Option<serde_json::Value> = serde_json::from_str(&row.body).ok();
        value.is_none_or(|value| Digest::of("settings", 1, &value).to_string() != row.digest)
    });
    Ok((count, changed.map(|row| row.digest).collect()))
}

#[derive(FromQueryResult)]
struct SnapshotRow {
    lead: Uuid,
    digest: String,
    body: String,
}

/// A walk through all snapshots.
#[derive(Default)]
pub struct Snapshots {
    after: (Uuid, String),
}

impl Snapshots {
    /// How many the next page has, and those whose text is not what their digest says; none after the last.
    pub async fn next(&mut self, db: &impl ConnectionTrait) -> Result<Option<(usize, Vec<String>)>> {
        let sql = "SELECT lead, digest, body FROM snapshot WHERE (lead, digest) > ($1, $2) ORDER BY lead, digest LIMIT 500";
        let (lead, digest) = self.after.clone();
        let rows: Vec<SnapshotRow> = fetch_all(db, sql, vec![lead.into(), digest.into()]).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = (last.lead, last.digest.clone());
        let count = rows.len();
        let changed = rows.into_iter().filter(|row| {
            let snapshot: Option<Snapshot> = serde_json::from_str(&row.body).ok();
            snapshot.is_none_or(|snapshot| snapshot.digest().to_string() != row.digest)
        });
        let named = |row: SnapshotRow| format!("snapshot {} of lead {}", row.digest, row.lead);
        Ok(Some((count, changed.map(named).collect())))
    }
}
