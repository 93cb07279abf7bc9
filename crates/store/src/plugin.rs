//! Plugin versions by digest, and settings by digest. The bytes are in the blob store.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::digest::Digest;
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{self, Place, small};
use crate::dialect::{self, Dialect};
use crate::error::Result;
use crate::lead::Where;
use crate::rows::{execute, fetch_all, fetch_one, fetch_value, insert_new_rows, upsert_rows};
use crate::tx::Tx;

/// An uploaded version. Its identity is its digest; name and label are what its author calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginVersion {
    pub digest: Digest,
    pub name: String,
    pub label: String,
    /// Key of the team that uploaded it.
    pub team: String,
    /// QUALIFY or ROUTE, once it is known.
    pub kind: Option<String>,
    /// VALIDATING, VALIDATED, REJECTED or RETIRED.
    pub status: String,
    /// The rule's own description as JSON, once it is known.
    pub descriptor: Option<String>,
    /// Every check with its result, as JSON.
    pub checks: String,
    pub case_count: u32,
    pub size: i64,
    pub uploaded_by: Uuid,
    pub uploaded_at: Instant,
}

#[derive(FromQueryResult)]
struct VersionRow {
    digest: String,
    name: String,
    label: String,
    team: String,
    kind: Option<String>,
    status: String,
    descriptor: Option<String>,
    checks: String,
    case_count: i64,
    size: i64,
    uploaded_by: Uuid,
    uploaded_at: i64,
}

impl VersionRow {
    fn decode(self) -> Result<PluginVersion> {
        let row = self.digest.clone();
        Ok(PluginVersion {
            digest: decode::digest(Place("plugin_version", "digest", &row), &self.digest)?,
            name: self.name,
            label: self.label,
            team: self.team,
            kind: self.kind,
            status: self.status,
            descriptor: self.descriptor,
            checks: self.checks,
            case_count: small(Place("plugin_version", "case_count", &row), self.case_count)?,
            size: self.size,
            uploaded_by: self.uploaded_by,
            uploaded_at: Instant(self.uploaded_at),
        })
    }
}

const VERSION: &str =
    "digest, name, label, team, kind, status, descriptor, checks, case_count, size, uploaded_by, uploaded_at";

pub async fn put_version(tx: &Tx, version: &PluginVersion) -> Result<()> {
    let PluginVersion {
        digest,
        name,
        label,
        team,
        kind,
        status,
        descriptor,
        checks,
        case_count,
        size,
        uploaded_by,
        uploaded_at,
    } = version;
    let row = vec![
        digest.to_string().into(),
        name.as_str().into(),
        label.as_str().into(),
        team.as_str().into(),
        kind.clone().into(),
        status.as_str().into(),
        descriptor.clone().into(),
        checks.as_str().into(),
        i64::from(*case_count).into(),
        (*size).into(),
        (*uploaded_by).into(),
        uploaded_at.ms().into(),
    ];
    let columns = &[
        "digest",
        "name",
        "label",
        "team",
        "kind",
        "status",
        "descriptor",
        "checks",
        "case_count",
        "size",
        "uploaded_by",
        "uploaded_at",
    ];
    upsert_rows(tx, "plugin_version", columns, &["digest"], vec![row]).await?;
    Ok(())
}

pub async fn version(db: &impl ConnectionTrait, digest: Digest) -> Result<Option<PluginVersion>> {
    let sql = format!("SELECT {VERSION} FROM plugin_version WHERE digest = $1");
    let row: Option<VersionRow> = fetch_one(db, &sql, vec![digest.to_string().into()]).await?;
    row.map(VersionRow::decode).transpose()
}

/// Which versions to list; all of them without conditions.
#[derive(Clone, Debug, Default)]
pub struct VersionFilter {
    pub name: Option<String>,
    pub team: Option<String>,
    pub status: Option<String>,
}

/// The newest versions first.
pub async fn versions(
    db: &impl ConnectionTrait,
    filter: &VersionFilter,
    limit: i64,
) -> Result<Vec<PluginVersion>> {
    let VersionFilter { name, team, status } = filter.clone();
    let mut where_ = Where::new(db);
    where_.equals("name", name);
    where_.equals("team", team);
    where_.equals("status", status);
    let limit = where_.value(limit);
    let (conditions, values) = where_.finish();
    let sql = format!(
        "SELECT {VERSION} FROM plugin_version{conditions} ORDER BY uploaded_at DESC, digest LIMIT {limit}"
    );
    let rows: Vec<VersionRow> = fetch_all(db, &sql, values).await?;
    rows.into_iter().map(VersionRow::decode).collect()
}

/// Any number of versions in one statement.
pub async fn versions_of(
    db: &impl ConnectionTrait,
    digests: &BTreeSet<Digest>,
) -> Result<BTreeMap<Digest, PluginVersion>> {
    let sql = format!("SELECT {VERSION} FROM plugin_version WHERE digest {}", text_list(db));
    let rows: Vec<VersionRow> = fetch_all(db, &sql, vec![digest_list(digests)]).await?;
    rows.into_iter().map(|row| row.decode().map(|version| (version.digest, version))).collect()
}

/// Keeps the cases that an upload carries, as a JSON array.
pub async fn put_cases(tx: &Tx, digest: Digest, cases: &str) -> Result<()> {
    let sql = "UPDATE plugin_version SET cases = $2 WHERE digest = $1";
    execute(tx, sql, vec![digest.to_string().into(), cases.into()]).await.map(drop)
}

/// The cases of a version, as a JSON array.
pub async fn cases(db: &impl ConnectionTrait, digest: Digest) -> Result<Option<String>> {
    fetch_value(db, "SELECT cases FROM plugin_version WHERE digest = $1", vec![digest.to_string().into()])
        .await
}

/// Versions of one name with one label: the same label with other bytes is refused.
pub async fn labelled(db: &impl ConnectionTrait, name: &str, label: &str) -> Result<Vec<PluginVersion>> {
    let sql = format!("SELECT {VERSION} FROM plugin_version WHERE name = $1 AND label = $2");
    let rows: Vec<VersionRow> = fetch_all(db, &sql, vec![name.into(), label.into()]).await?;
    rows.into_iter().map(VersionRow::decode).collect()
}

pub async fn put_settings(tx: &Tx, digest: Digest, body: &str) -> Result<()> {
    let row = vec![digest.to_string().into(), body.into()];
    insert_new_rows(tx, "settings", &["digest", "body"], &["digest"], vec![row]).await?;
    Ok(())
}

pub async fn settings(db: &impl ConnectionTrait, digest: Digest) -> Result<Option<String>> {
    fetch_value(db, "SELECT body FROM settings WHERE digest = $1", vec![digest.to_string().into()]).await
}

/// Any number of settings in one statement.
pub async fn settings_of(
    db: &impl ConnectionTrait,
    digests: &BTreeSet<Digest>,
) -> Result<BTreeMap<Digest, String>> {
    #[derive(FromQueryResult)]
    struct Row {
        digest: String,
        body: String,
    }
    let sql = format!("SELECT digest, body FROM settings WHERE digest {}", text_list(db));
    let rows: Vec<Row> = fetch_all(db, &sql, vec![digest_list(digests)]).await?;
    rows.into_iter()
        .map(|row| {
            let digest = decode::digest(Place("settings", "digest", &row.digest), &row.digest)?;
            Ok((digest, row.body))
        })
        .collect()
}

/// Retires a version: it can no longer be deployed.
pub async fn retire(tx: &Tx, digest: Digest) -> Result<bool> {
    let sql = "UPDATE plugin_version SET status = 'RETIRED' WHERE digest = $1 AND status = 'VALIDATED'";
    Ok(execute(tx, sql, vec![digest.to_string().into()]).await? == 1)
}

fn text_list(db: &impl ConnectionTrait) -> String {
    Dialect::of(db.get_database_backend()).text_list("$1")
}

fn digest_list(digests: &BTreeSet<Digest>) -> sea_orm::Value {
    dialect::texts(digests.iter().map(Digest::to_string))
}
