//! Keys of teams, signatures of plugin versions, and the older versions that were let in on purpose.

use std::collections::BTreeMap;

use handfast_domain::digest::Digest;
use handfast_domain::signature::{Signed, TeamKey};
use handfast_domain::time::Instant;
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::decode::{self, Place};
use crate::dialect::{self, Dialect};
use crate::error::{Result, StoreError};
use crate::lead::{Where, list};
use crate::rows::{execute, fetch_all, fetch_one, fetch_value, insert_new_rows, insert_rows, upsert_rows};
use crate::tx::Tx;

/// A signature that counted when it came in, with its key as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSignature {
    pub version: Digest,
    pub key: TeamKey,
    pub serial: i64,
    /// The whole text, for whoever wants to check it again.
    pub text: String,
    pub added_by: Uuid,
    pub added_at: Instant,
}

/// A deployment that took an older version on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downgrade {
    pub deployment: Uuid,
    pub slot: String,
    pub version: Digest,
    /// None: unsigned, or by revoked keys only.
    pub serial: Option<i64>,
    /// The newest that was ever LIVE in the slot.
    pub newest: i64,
    pub reason: String,
    pub allowed_by: Uuid,
    pub allowed_at: Instant,
}

#[derive(FromQueryResult)]
struct KeyRow {
    id: Uuid,
    team: String,
    name: String,
    key_id: String,
    public_key: String,
    registered_by: Uuid,
    registered_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    revoked_by: Option<Uuid>,
    revoke_reason: Option<String>,
}

impl From<KeyRow> for TeamKey {
    fn from(row: KeyRow) -> TeamKey {
        let KeyRow { id, team, name, key_id, public_key, registered_by, registered_at, .. } = row;
        TeamKey {
            id,
            team,
            name,
            key_id,
            public_key,
            registered_by,
            registered_at: Instant(registered_at),
            expires_at: row.expires_at.map(Instant),
            revoked_at: row.revoked_at.map(Instant),
            revoked_by: row.revoked_by,
            revoke_reason: row.revoke_reason,
        }
    }
}

const KEY: &str = "SELECT id, team, name, key_id, public_key, registered_by, registered_at, expires_at, revoked_at, \
                   revoked_by, revoke_reason FROM team_key";

/// A new key.
pub async fn put_key(tx: &Tx, key: &TeamKey) -> Result<()> {
    let TeamKey {
        id,
        team,
        name,
        key_id,
        public_key,
        registered_by,
        registered_at,
        expires_at,
        revoked_at,
        revoked_by,
        revoke_reason,
    } = key;
    let row = vec![
        (*id).into(),
        team.as_str().into(),
        name.as_str().into(),
        key_id.as_str().into(),
        public_key.as_str().into(),
        (*registered_by).into(),
        registered_at.ms().into(),
        expires_at.map(Instant::ms).into(),
        revoked_at.map(Instant::ms).into(),
        (*revoked_by).into(),
        revoke_reason.clone().into(),
    ];
    let columns = &[
        "id",
        "team",
        "name",
        "key_id",
        "public_key",
        "registered_by",
        "registered_at",
        "expires_at",
        "revoked_at",
        "revoked_by",
        "revoke_reason",
    ];
    insert_rows(tx, "team_key", columns, vec![row]).await.map(drop)
}

/// Ends a key; one that was revoked before keeps its time and reason.
pub async fn revoke_key(tx: &Tx, id: Uuid, by: Uuid, at: Instant, reason: &str) -> Result<()> {
    let sql = "UPDATE team_key SET revoked_at = $2, revoked_by = $3, revoke_reason = $4 \
               WHERE id = $1 AND revoked_at IS NULL";
    execute(tx, sql, vec![id.into(), at.ms().into(), by.into(), reason.into()]).await.map(drop)
}

pub async fn key(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<TeamKey>> {
    let row: Option<KeyRow> = fetch_one(db, &format!("{KEY} WHERE id = $1"), vec![id.into()]).await?;
    Ok(row.map(TeamKey::from))
}

/// The keys of a team, or of all, the newest first. Revoked and expired ones are among them.
pub async fn keys(db: &impl ConnectionTrait, team: Option<&str>) -> Result<Vec<TeamKey>> {
    let mut where_ = Where::new(db);
    where_.equals("team", team.map(str::to_owned));
    let (conditions, values) = where_.finish();
    let sql = format!("{KEY}{conditions} ORDER BY registered_at DESC, id DESC");
    let rows: Vec<KeyRow> = fetch_all(db, &sql, values).await?;
    Ok(rows.into_iter().map(TeamKey::from).collect())
}

/// Any number of keys in one statement.
async fn keys_by(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<BTreeMap<Uuid, TeamKey>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<KeyRow> =
        fetch_all(db, &format!("{KEY} WHERE id {}", list(db)), vec![dialect::uuids(ids)]).await?;
    Ok(rows.into_iter().map(|row| (row.id, TeamKey::from(row))).collect())
}

/// Keeps the text of a signature. Without `signed` it waits until the checks of its version are done.
pub async fn put_signature(
    tx: &Tx,
    version: Digest,
    text: &str,
    signed: Option<&Signed>,
    by: Uuid,
    at: Instant,
) -> Result<()> {
    let row = vec![
        version.to_string().into(),
        Digest::of_bytes(text.as_bytes()).to_string().into(),
        text.into(),
        signed.map(|signed| signed.key).into(),
        signed.map(|signed| signed.statement.serial).into(),
        by.into(),
        at.ms().into(),
    ];
    let columns = &["version", "digest", "text", "key", "serial", "added_by", "added_at"];
    insert_new_rows(tx, "plugin_signature", columns, &["version", "digest"], vec![row]).await.map(drop)
}

/// The text that waits for the checks of its version.
pub async fn waiting(db: &impl ConnectionTrait, version: Digest) -> Result<Option<String>> {
    let sql =
        "SELECT text FROM plugin_signature WHERE version = $1 AND key IS NULL ORDER BY added_at DESC LIMIT 1";
    fetch_value(db, sql, vec![version.to_string().into()]).await
}

/// Ends the waiting: a signature that counts is kept, everything else is forgotten.
pub async fn settle(tx: &Tx, version: Digest, signed: Option<&Signed>) -> Result<()> {
    let version = version.to_string();
    if let Some(signed) = signed {
        let sql = "UPDATE plugin_signature SET key = $2, serial = $3 WHERE version = $1 AND key IS NULL";
        let values = vec![version.as_str().into(), signed.key.into(), signed.statement.serial.into()];
        execute(tx, sql, values).await?;
    }
    let sql = "DELETE FROM plugin_signature WHERE version = $1 AND key IS NULL";
    execute(tx, sql, vec![version.into()]).await.map(drop)
}

#[derive(FromQueryResult)]
struct SignatureRow {
    version: String,
    text: String,
    key: Uuid,
    serial: i64,
    added_by: Uuid,
    added_at: i64,
}

/// The signatures of any number of versions, the newest serial first: two statements.
pub async fn of(db: &impl ConnectionTrait, versions: &[Digest]) -> Result<Vec<PluginSignature>> {
    if versions.is_empty() {
        return Ok(vec![]);
    }
    let sql = format!(
        "SELECT version, text, key, serial, added_by, added_at FROM plugin_signature \
         WHERE key IS NOT NULL AND version {} ORDER BY serial DESC, added_at DESC",
        Dialect::of(db.get_database_backend()).text_list("$1")
    );
    let rows: Vec<SignatureRow> =
        fetch_all(db, &sql, vec![dialect::texts(versions.iter().map(Digest::to_string))]).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.key).collect();
    let keys = keys_by(db, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let SignatureRow { version, text, key, serial, added_by, added_at } = row;
            let missing = || StoreError::corrupt("plugin_signature", "key", &version, "there is no such key");
            Ok(PluginSignature {
                key: keys.get(&key).cloned().ok_or_else(missing)?,
                version: decode::digest(Place("plugin_signature", "version", &version), &version)?,
                serial,
                text,
                added_by,
                added_at: Instant(added_at),
            })
        })
        .collect()
}

/// The newest serial among the versions of a plugin that were ever LIVE in a slot, of keys that were not revoked.
pub async fn newest_live(db: &impl ConnectionTrait, slot: &str, name: &str) -> Result<Option<i64>> {
    let sql = "SELECT max(s.serial) FROM deployment d JOIN plugin_version v ON v.digest = d.version \
               JOIN plugin_signature s ON s.version = d.version JOIN team_key k ON k.id = s.key \
               WHERE d.slot = $1 AND d.mode = 'LIVE' AND d.state NOT IN ('PENDING_APPROVAL', 'DECLINED') AND v.name = $2 \
               AND k.revoked_at IS NULL";
    Ok(fetch_value::<Option<i64>>(db, sql, vec![slot.into(), name.into()]).await?.flatten())
}

/// Records why an older version was let in.
pub async fn put_downgrade(tx: &Tx, downgrade: &Downgrade) -> Result<()> {
    let Downgrade { deployment, slot, version, serial, newest, reason, allowed_by, allowed_at } = downgrade;
    let row = vec![
        (*deployment).into(),
        slot.as_str().into(),
        version.to_string().into(),
        (*serial).into(),
        (*newest).into(),
        reason.as_str().into(),
        (*allowed_by).into(),
        allowed_at.ms().into(),
    ];
    let columns =
        &["deployment", "slot", "version", "serial", "newest", "reason", "allowed_by", "allowed_at"];
    upsert_rows(tx, "downgrade", columns, &["deployment"], vec![row]).await.map(drop)
}

/// Those of any number of deployments, in one statement.
pub async fn downgrades(
    db: &impl ConnectionTrait,
    deployments: &[Uuid],
) -> Result<BTreeMap<Uuid, Downgrade>> {
    #[derive(FromQueryResult)]
    struct Row {
        deployment: Uuid,
        slot: String,
        version: String,
        serial: Option<i64>,
        newest: i64,
        reason: String,
        allowed_by: Uuid,
        allowed_at: i64,
    }
    if deployments.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT deployment, slot, version, serial, newest, reason, allowed_by, allowed_at FROM downgrade \
         WHERE deployment {}",
        list(db)
    );
    let rows: Vec<Row> = fetch_all(db, &sql, vec![dialect::uuids(deployments)]).await?;
    rows.into_iter()
        .map(|row| {
            let Row { deployment, slot, version, serial, newest, reason, allowed_by, allowed_at } = row;
            let version = decode::digest(Place("downgrade", "version", &deployment), &version)?;
            let allowed_at = Instant(allowed_at);
            let found =
                Downgrade { deployment, slot, version, serial, newest, reason, allowed_by, allowed_at };
            Ok((deployment, found))
        })
        .collect()
}
