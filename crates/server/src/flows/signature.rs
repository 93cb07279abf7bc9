//! Keys of teams and what they sign: registering and revoking, the check of an upload, and whether a version may go into a
//! slot. What counts, and why, stands in `domain::signature`.

use handfast_domain::deployment::{Deployment, DeploymentMode};
use handfast_domain::digest::Digest;
use handfast_domain::event::SetupNoun;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::signature::{self as rules, MAX_PUBLIC_KEY, Signed, TeamKey};
use handfast_domain::time::Instant;
use handfast_store::change::append_fact;
use handfast_store::plugin::PluginVersion;
use handfast_store::signature::{self as store, Downgrade, PluginSignature};
use handfast_store::{StoreError, Tx, deployment};
use serde::Deserialize;
use uuid::Uuid;

use super::check::Checks;
use super::commit::{Ask, Decided};
use super::plugin::{CheckResult, require_team};
use super::{Error, Viewer, scope};
use crate::app::App;

/// Whose versions must be signed: `[rules] require_signatures` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "\"all\", or a list of teams' keys")]
pub enum Policy {
    Teams(Vec<String>),
    Everybody(All),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    All,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::Teams(vec![])
    }
}

impl Policy {
    pub fn requires(&self, team: &str) -> bool {
        match self {
            Policy::Teams(teams) => teams.iter().any(|one| one == team),
            Policy::Everybody(All::All) => true,
        }
    }
}

/// Keys of one team, revoked ones included.
const MOST_KEYS: usize = 100;
/// Longest reason, in characters.
const REASON: usize = 500;

/// A key that a team is to sign with from now on.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub team: String,
    pub name: String,
    /// A `.pub` file, or its second line.
    pub public_key: String,
    pub expires_at: Option<Instant>,
}

/// Members of a team register its keys, and administrators those of all.
pub async fn register(app: &App, ask: &Ask<'_>, new: NewKey) -> Result<TeamKey, Error> {
    ask.viewer.require(scope::PLUGINS_DEPLOY)?;
    require_team(&app.workspace(), ask.viewer, &new.team)?;
    let key = checked(app, ask.viewer, new)?;
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let known = store::keys(tx, Some(&key.team)).await?;
            if let Some(same) = known.iter().find(|other| other.public_key == key.public_key) {
                let state = if same.revoked_at.is_some() { "and was revoked" } else { "already" };
                let message =
                    format!("the team {} has the key {} as {} {state}", key.team, key.key_id, same.name);
                return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/publicKey").into());
            }
            if known.len() >= MOST_KEYS {
                let message = format!("the team {} has {MOST_KEYS} keys; use one of them", key.team);
                return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/team").into());
            }
            store::put_key(tx, &key).await?;
            append_fact(tx, own.setup_changed(actor, SetupNoun::TeamKey, key.id)).await?;
            let answer = key.id.to_string();
            Ok((key, answer))
        })
    });
    answered(app, decided.await?).await
}

/// Takes a key's word away, for ever. What is live goes on.
pub async fn revoke(app: &App, ask: &Ask<'_>, id: Uuid, reason: &str) -> Result<TeamKey, Error> {
    ask.viewer.require(scope::PLUGINS_DEPLOY)?;
    let found = store::key(app.store.read(), id).await?;
    let found = found.ok_or_else(|| Refused::not_found("key of a team").at("input/teamKey"))?;
    require_team(&app.workspace(), ask.viewer, &found.team)
        .map_err(|refused| Refused { path: vec![], ..refused }.at("input/teamKey"))?;
    let mut checks = Checks::default();
    checks.text("reason", reason, REASON);
    checks.done()?;
    let (own, actor, by) = (app.clone(), ask.viewer.actor(), ask.viewer.id());
    let (now, reason) = (app.now(), reason.trim().to_owned());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            store::revoke_key(tx, id, by, now, &reason).await?;
            append_fact(tx, own.setup_changed(actor, SetupNoun::TeamKey, id)).await?;
            let key = store::key(tx, id).await?.ok_or_else(|| Refused::not_found("key of a team"))?;
            Ok((key, id.to_string()))
        })
    });
    answered(app, decided.await?).await
}

async fn answered(app: &App, decided: Decided<TeamKey>) -> Result<TeamKey, Error> {
    let id = match decided {
        Decided::Now(key) => return Ok(key),
        Decided::Before(id) => Uuid::try_parse(&id).map_err(|_| Error::fault(format!("{id:?} is no key")))?,
    };
    let found = store::key(app.store.read(), id).await?;
    found.ok_or_else(|| Refused::not_found("key of a team").into())
}

fn checked(app: &App, viewer: &Viewer, new: NewKey) -> Result<TeamKey, Error> {
    let NewKey { team, name, public_key, expires_at } = new;
    let now = app.now();
    let mut checks = Checks::default();
    checks.text("name", &name, 128);
    checks.need(expires_at.is_none_or(|end| end > now), "expiresAt", || {
        format!("a key that expires must do so later than now, which is {now}")
    });
    let read = match public_key.len() {
        ..=MAX_PUBLIC_KEY => rules::public_key(&public_key),
        more => Err(format!("a public key has at most {MAX_PUBLIC_KEY} bytes, found {more}")),
    };
    let (key_id, public_key) = read.unwrap_or_else(|why| {
        checks.say("publicKey", why);
        Default::default()
    });
    checks.done()?;
    Ok(TeamKey {
        id: app.id(),
        team,
        name: name.trim().to_owned(),
        key_id,
        public_key,
        registered_by: viewer.id(),
        registered_at: now,
        expires_at,
        revoked_at: None,
        revoked_by: None,
        revoke_reason: None,
    })
}

/// The check `signature` of an upload: nothing, where none came and none is required.
pub async fn check(
    app: &App,
    version: &PluginVersion,
    name: &str,
    label: &str,
    wasm: &[u8],
) -> Result<Option<(CheckResult, Option<Signed>)>, Error> {
    let result = |ok: bool, message: String| CheckResult {
        name: "signature".to_owned(),
        ok,
        code: (!ok).then(|| RefusalCode::PluginSignature.as_str().to_owned()),
        message,
    };
    let Some(text) = store::waiting(app.store.read(), version.digest).await? else {
        if !app.signatures.requires(&version.team) {
            return Ok(None);
        }
        let message = format!(
            "the team {} must sign its versions, and no signature came: `handfast plugin sign`, then upload it again with the \
             signature",
            version.team
        );
        return Ok(Some((result(false, message), None)));
    };
    let signed = verified(app, version, &text, wasm).await?;
    Ok(Some(match signed.and_then(|signed| signed.is_about(name, label).map(|()| signed)) {
        Ok(signed) => (result(true, format!("signed, serial {}", signed.statement.serial)), Some(signed)),
        Err(why) => (result(false, why), None),
    }))
}

/// A signature for a version whose checks are done. The file is known, so that the answer comes at once.
pub async fn sign_again(app: &App, version: &PluginVersion, text: &str) -> Result<Signed, Error> {
    let wasm = app.store.blobs().read(version.digest).await?;
    let signed = verified(app, version, text, &wasm).await?;
    let signed = signed.and_then(|signed| signed.is_about(&version.name, &version.label).map(|()| signed));
    signed.map_err(|why| Refused::new(RefusalCode::PluginSignature, why).at("input/signature").into())
}

async fn verified(
    app: &App,
    version: &PluginVersion,
    text: &str,
    wasm: &[u8],
) -> Result<Result<Signed, String>, Error> {
    let keys = store::keys(app.store.read(), None).await?;
    Ok(rules::verify(wasm, version.digest, text, &keys, &version.team, app.now()))
}

/// Whether a version may go into a slot so that its verdicts count. `allow` is the reason to let an older one in; the answer
/// is then what [`Allowed::record`] has to write. Ask inside of the transaction that starts the deployment.
///
/// Where the slot's team or the version's must sign, a signature by a key that is not revoked is needed. Then the version is
/// compared with the newest serial that was ever LIVE in the slot.
pub async fn may_deploy(
    tx: &Tx,
    policy: &Policy,
    (slot, team): (&str, &str),
    version: &PluginVersion,
    allow: Option<&str>,
) -> Result<Option<Allowed>, Error> {
    let signatures = store::of(tx, &[version.digest]).await?;
    let counting: Vec<&PluginSignature> =
        signatures.iter().filter(|one| one.key.revoked_at.is_none()).collect();
    if counting.is_empty()
        && let Some(team) = [team, version.team.as_str()].into_iter().find(|team| policy.requires(team))
    {
        let why = match signatures.first() {
            None => "it is not signed; upload it again with a signature".to_owned(),
            Some(PluginSignature { key, .. }) => format!(
                "the key {} ({}) that signed it was revoked: {}; sign it with another one",
                key.key_id,
                key.name,
                key.revoke_reason.as_deref().unwrap_or("no reason given")
            ),
        };
        let message = format!("the team {team} deploys signed versions only: {why}");
        return Err(Refused::new(RefusalCode::PluginSignature, message).at("input/digest").into());
    }
    let serial = counting.iter().map(|one| one.serial).max();
    let newest = store::newest_live(tx, slot, &version.name).await?;
    if !rules::is_older(serial, newest) {
        return Ok(None);
    }
    let active = deployment::active(tx, &[slot.to_owned()]).await?;
    let live = |one: &&Deployment| one.mode == DeploymentMode::Live && one.is_running();
    if active.iter().filter(live).any(|live| live.version == version.digest) {
        return Ok(None);
    }
    let newest = newest.unwrap_or_default();
    let Some(reason) = allow else {
        let found = serial.map_or("it is unsigned".to_owned(), |serial| format!("its serial is {serial}"));
        let message = format!(
            "{} {} is older than what was LIVE in {}: {found}, the newest was {newest}. Sign it again, go one step back \
             with `rollback`, or say in `allowDowngrade` why",
            version.name, version.label, slot
        );
        return Err(Refused::new(RefusalCode::PluginDowngrade, message).at("input/digest").into());
    };
    let reason = reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > REASON {
        let message = format!("say in 1 to {REASON} characters why; the other teams read it");
        return Err(Refused::invalid("input/allowDowngrade", message).into());
    }
    Ok(Some(Allowed { slot: slot.to_owned(), version: version.digest, serial, newest, reason }))
}

/// An older version that is let in on purpose.
#[derive(Clone, Debug)]
pub struct Allowed {
    slot: String,
    version: Digest,
    serial: Option<i64>,
    newest: i64,
    reason: String,
}

impl Allowed {
    /// Writes it down beside the deployment.
    pub async fn record(self, tx: &Tx, deployment: Uuid, by: Uuid, at: Instant) -> Result<(), StoreError> {
        let Allowed { slot, version, serial, newest, reason } = self;
        let (allowed_by, allowed_at) = (by, at);
        store::put_downgrade(
            tx,
            &Downgrade { deployment, slot, version, serial, newest, reason, allowed_by, allowed_at },
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_a_list_of_teams_or_all() {
        let read = |text: &str| {
            let table: toml::Table = format!("v = {text}").parse().unwrap();
            Policy::deserialize(table["v"].clone()).map_err(|error| error.to_string())
        };
        assert!(!read("[]").unwrap().requires("sales"));
        let one = read("[\"sales\"]").unwrap();
        assert!(one.requires("sales") && !one.requires("marketing"));
        assert!(read("\"all\"").unwrap().requires("anybody"));
        assert!(read("\"sales\"").unwrap_err().contains("a list of teams"));
    }
}
