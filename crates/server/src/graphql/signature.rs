//! Keys of teams, and what they signed.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::signature::TeamKey as Row;
use handfast_domain::time::Instant;
use handfast_store::signature::{self as store, Downgrade as Allowed, PluginSignature as Kept};

use super::directory::User;
use super::problem::{UserError, failure, payload};
use super::scalar::{Long, global, local};
use super::{app, ask, read_viewer};
use crate::flows::signature::{self, NewKey};

/// A public key by which a team signs its plugins, in minisign's format.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct TeamKey {
    pub id: ID,
    /// Key of the team.
    team: String,
    /// What the team calls it.
    name: String,
    /// As minisign prints it: 16 hexadecimal digits.
    key_id: String,
    /// In base64: the second line of the `.pub` file.
    public_key: String,
    registered_at: Instant,
    /// Signatures that come in later do not count; null for one that never expires.
    expires_at: Option<Instant>,
    /// From then on its word does not count any more. What is live goes on.
    revoked_at: Option<Instant>,
    /// Why it was revoked.
    revoke_reason: Option<String>,
    #[graphql(skip)]
    registered_by_id: uuid::Uuid,
    #[graphql(skip)]
    revoked_by_id: Option<uuid::Uuid>,
}

impl TeamKey {
    fn wrap(row: Row) -> TeamKey {
        let Row {
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
        } = row;
        TeamKey {
            id: global("TeamKey", id),
            team,
            name,
            key_id,
            public_key,
            registered_at,
            expires_at,
            revoked_at,
            revoke_reason,
            registered_by_id: registered_by,
            revoked_by_id: revoked_by,
        }
    }
}

#[ComplexObject]
impl TeamKey {
    /// Who registered it.
    async fn registered_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.registered_by_id).map(User::wrap))
    }

    /// Who revoked it.
    async fn revoked_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let Some(id) = self.revoked_by_id else { return Ok(None) };
        Ok(app(ctx)?.workspace().directory.user(id).map(User::wrap))
    }
}

/// A signature of a version, which counted when it came in.
#[derive(Clone, SimpleObject)]
pub struct PluginSignature {
    /// The key, as it stands now.
    signed_by: TeamKey,
    /// Rises from version to version, by the team's count or as unix milliseconds.
    serial: Long,
    /// When the server took it in.
    at: Instant,
    /// The whole `.minisig` file, for whoever wants to check it again.
    text: String,
}

impl PluginSignature {
    pub fn wrap(kept: Kept) -> PluginSignature {
        let Kept { version: _, key, serial, text, added_by: _, added_at } = kept;
        PluginSignature { signed_by: TeamKey::wrap(key), serial: Long(serial), at: added_at, text }
    }
}

/// Why an older version was let into a slot.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Downgrade {
    /// In the words of whoever allowed it.
    reason: String,
    /// Serial of the version; null for an unsigned one.
    serial: Option<Long>,
    /// The newest that was ever LIVE in the slot.
    newest: Long,
    at: Instant,
    #[graphql(skip)]
    by_id: uuid::Uuid,
}

impl Downgrade {
    pub fn wrap(allowed: Allowed) -> Downgrade {
        let Allowed { reason, serial, newest, allowed_by, allowed_at, .. } = allowed;
        Downgrade {
            reason,
            serial: serial.map(Long),
            newest: Long(newest),
            at: allowed_at,
            by_id: allowed_by,
        }
    }
}

#[ComplexObject]
impl Downgrade {
    /// Who allowed it.
    async fn by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.by_id).map(User::wrap))
    }
}

#[derive(Default)]
pub struct SignatureQuery;

#[Object]
impl SignatureQuery {
    /// Keys by which teams sign their plugins, of one team or of all; the newest first, revoked and expired ones too.
    async fn team_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a team.")] team: Option<String>,
    ) -> async_graphql::Result<Vec<TeamKey>> {
        read_viewer(ctx)?;
        let found = store::keys(app(ctx)?.store.read(), team.as_deref()).await;
        Ok(found.map_err(|error| failure(error.into()))?.into_iter().map(TeamKey::wrap).collect())
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct RegisterTeamKeyInput {
    /// Key of the team: your own, or for an administrator any.
    team: String,
    /// What the team calls it.
    name: String,
    /// The text of a `.pub` file of minisign, or its second line.
    public_key: String,
    /// Signatures that come in later do not count.
    expires_at: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RevokeTeamKeyInput {
    /// Id of the key.
    team_key: ID,
    /// Why; the other teams read it.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct TeamKeyPayload {
    key: Option<TeamKey>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct SignatureMutation;

#[Object]
impl SignatureMutation {
    /// Lets a key sign for a team from now on.
    async fn register_team_key(
        &self,
        ctx: &Context<'_>,
        input: RegisterTeamKeyInput,
    ) -> async_graphql::Result<TeamKeyPayload> {
        let RegisterTeamKeyInput { team, name, public_key, expires_at, idempotency_key, dry_run } = input;
        let asked = (&team, &name, &public_key, expires_at);
        let ask = ask(ctx, "registerTeamKey", idempotency_key, dry_run, &asked)?;
        let new = NewKey { team, name, public_key, expires_at };
        let (key, errors) = payload(signature::register(app(ctx)?, &ask, new).await)?;
        Ok(TeamKeyPayload { key: key.map(TeamKey::wrap), errors })
    }

    /// Takes a key's word away, for ever: where signatures are required, what it signed is not deployed any more. What is
    /// live goes on, so that a lost key stops nobody. A key that is only retired had better expire.
    async fn revoke_team_key(
        &self,
        ctx: &Context<'_>,
        input: RevokeTeamKeyInput,
    ) -> async_graphql::Result<TeamKeyPayload> {
        let RevokeTeamKeyInput { team_key: id, reason, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "revokeTeamKey", idempotency_key, dry_run, &(&id, &reason))?;
        let revoked = match local("TeamKey", &id, "input/teamKey") {
            Ok(id) => signature::revoke(app(ctx)?, &ask, id, &reason).await,
            Err(refused) => Err(refused.into()),
        };
        let (key, errors) = payload(revoked)?;
        Ok(TeamKeyPayload { key: key.map(TeamKey::wrap), errors })
    }
}
