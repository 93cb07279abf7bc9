//! Rules: versions by digest with the result of every check, slots of the charter, and what is deployed where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Lookahead, Object, SimpleObject};
use handfast_domain::charter::{RuleSlot as Defined, SlotKind};
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::{DeploymentMode, DeploymentState, PluginStatus};
use handfast_domain::field::Kind;
use handfast_domain::time::Instant;
use handfast_rules::Descriptor;
use handfast_store::plugin::{self as store, Deployment as Ran, PluginVersion as Version, VersionFilter};

use super::directory::User;
use super::problem::{UserError, failure, payload};
use super::scalar::{Long, Uuid, global};
use super::{app, once, read_viewer, viewer};
use crate::app::App;
use crate::flows::deploy::{self, Deploy};
use crate::flows::plugin::{self, CheckResult, Upload};

/// A version of a rule. Its identity is the sha-256 of its bytes; name and label are what its author calls it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct PluginVersion {
    digest: Digest,
    /// As the plugin says; empty until it was asked.
    name: String,
    /// A label that never moves to other bytes.
    label: String,
    /// Key of the team that owns it.
    team: String,
    /// What it decides; null until the checks got that far.
    kind: Option<SlotKind>,
    status: PluginStatus,
    /// Every check with its result, in the order in which they ran.
    checks: Vec<PluginCheck>,
    /// Cases that came with it; a version without cases cannot go LIVE.
    case_count: i32,
    /// Bytes.
    size: Long,
    uploaded_at: Instant,
    #[graphql(skip)]
    version: Version,
}

/// One check of an upload.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginCheck {
    /// For example `imports`, `compile`, `cases`.
    name: String,
    ok: bool,
    /// A code for programs, for example `PLUGIN_IMPORT_FORBIDDEN`.
    code: Option<String>,
    /// What was found, and how to mend it.
    message: String,
}

impl From<CheckResult> for PluginCheck {
    fn from(CheckResult { name, ok, code, message }: CheckResult) -> PluginCheck {
        PluginCheck { name, ok, code, message }
    }
}

/// What a rule says of itself.
#[derive(Clone, Debug, SimpleObject)]
pub struct PluginDescription {
    name: String,
    version: String,
    summary: String,
    /// JSON Schema 2020-12 of the settings, as JSON.
    settings_schema: String,
    reason_codes: Vec<ReasonCode>,
    /// The fields that it declared; it is sent nothing else.
    reads: Vec<DeclaredField>,
}

/// A reason that a rule may give.
#[derive(Clone, Debug, SimpleObject)]
pub struct ReasonCode {
    code: String,
    label: String,
    description: String,
}

/// A field of the catalogue that a rule reads.
#[derive(Clone, Debug, SimpleObject)]
pub struct DeclaredField {
    path: String,
    kind: Kind,
}

impl PluginVersion {
    fn wrap(version: Version) -> PluginVersion {
        let checks: Vec<CheckResult> = serde_json::from_str(&version.checks).unwrap_or_default();
        PluginVersion {
            digest: version.digest,
            name: version.name.clone(),
            label: version.label.clone(),
            team: version.team.clone(),
            kind: version.kind.as_deref().and_then(SlotKind::parse),
            status: PluginStatus::parse(&version.status).unwrap_or(PluginStatus::Rejected),
            checks: checks.into_iter().map(PluginCheck::from).collect(),
            case_count: super::small(version.case_count),
            size: Long(version.size),
            uploaded_at: version.uploaded_at,
            version,
        }
    }
}

#[ComplexObject]
impl PluginVersion {
    /// What it says of itself; null until it was asked.
    async fn description(&self) -> Option<PluginDescription> {
        let said: Descriptor = serde_json::from_str(self.version.descriptor.as_deref()?).ok()?;
        let Descriptor { name, version, summary, settings_schema, reason_codes, reads } = said;
        let codes = reason_codes.into_iter();
        Some(PluginDescription {
            name,
            version,
            summary,
            settings_schema: settings_schema.to_string(),
            reason_codes: codes
                .map(|info| ReasonCode { code: info.code, label: info.label, description: info.description })
                .collect(),
            reads: reads.into_iter().map(|(path, kind)| DeclaredField { path, kind }).collect(),
        })
    }

    /// Who uploaded it.
    async fn uploaded_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.version.uploaded_by).map(User::wrap))
    }
}

/// A version with settings in a slot, and how that ended.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Deployment {
    pub id: ID,
    uuid: Uuid,
    /// Key of the slot.
    slot: String,
    /// sha-256 of the version's bytes.
    version_digest: Digest,
    /// Digest of its settings.
    settings_digest: Digest,
    mode: DeploymentMode,
    state: DeploymentState,
    started_at: Instant,
    ended_at: Option<Instant>,
    /// Why it ended.
    end_reason: Option<String>,
    /// The deployment that this one took back.
    rollback_of: Option<ID>,
    #[graphql(skip)]
    started_by_id: uuid::Uuid,
    #[graphql(skip)]
    loaded: Loaded,
}

/// What the look-ahead saw below deployments, read for all of them at once; none where it saw nothing.
#[derive(Clone, Default)]
struct Loaded {
    versions: Option<Arc<BTreeMap<Digest, Version>>>,
    settings: Option<Arc<BTreeMap<Digest, String>>>,
}

impl Deployment {
    /// Wraps any number of deployments; two statements at most for all that the selection asks for below them.
    async fn wrap_all(
        app: &App,
        ran: Vec<Ran>,
        look: &Lookahead<'_>,
    ) -> async_graphql::Result<Vec<Deployment>> {
        let (db, fault) = (app.store.read(), |error: handfast_store::StoreError| failure(error.into()));
        let mut loaded = Loaded::default();
        if look.field("version").exists() && !ran.is_empty() {
            let digests: BTreeSet<Digest> = ran.iter().map(|one| one.version).collect();
            loaded.versions = Some(Arc::new(store::versions_of(db, &digests).await.map_err(fault)?));
        }
        if look.field("settings").exists() && !ran.is_empty() {
            let digests: BTreeSet<Digest> = ran.iter().map(|one| one.settings).collect();
            loaded.settings = Some(Arc::new(store::settings_of(db, &digests).await.map_err(fault)?));
        }
        let wrap = |ran| Deployment { loaded: loaded.clone(), ..Deployment::wrap(ran) };
        Ok(ran.into_iter().map(wrap).collect())
    }

    pub fn wrap(ran: Ran) -> Deployment {
        let Ran {
            id,
            slot,
            version,
            settings,
            mode,
            state,
            started_by,
            started_at,
            ended_at,
            end_reason,
            rollback_of,
        } = ran;
        Deployment {
            id: global("Deployment", id),
            uuid: Uuid(id),
            slot,
            version_digest: version,
            settings_digest: settings,
            mode: DeploymentMode::parse(&mode).unwrap_or(DeploymentMode::Shadow),
            state: DeploymentState::parse(&state).unwrap_or(DeploymentState::Failed),
            started_at,
            ended_at,
            end_reason,
            rollback_of: rollback_of.map(|id| global("Deployment", id)),
            started_by_id: started_by,
            loaded: Loaded::default(),
        }
    }
}

#[ComplexObject]
impl Deployment {
    async fn version(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PluginVersion>> {
        match &self.loaded.versions {
            Some(versions) => Ok(versions.get(&self.version_digest).cloned().map(PluginVersion::wrap)),
            None => version(app(ctx)?, self.version_digest).await,
        }
    }

    /// The settings as canonical JSON.
    async fn settings(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        if let Some(settings) = &self.loaded.settings {
            return Ok(settings.get(&self.settings_digest).cloned());
        }
        let found = store::settings(app(ctx)?.store.read(), self.settings_digest).await;
        found.map_err(|error| failure(error.into()))
    }

    async fn started_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.started_by_id).map(User::wrap))
    }
}

/// The stable place where a team's rule plugs into the funnel, as the charter in force defines it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct RuleSlot {
    #[graphql(flatten)]
    defined: Defined,
    #[graphql(skip)]
    live: Option<Deployment>,
    #[graphql(skip)]
    history: Vec<Deployment>,
}

#[ComplexObject]
impl RuleSlot {
    /// What answers for it now; null where the built-in rule does, which holds every lead.
    async fn live(&self) -> Option<Deployment> {
        self.live.clone()
    }

    /// The last 20 that answered for it, the newest first.
    async fn history(&self) -> Vec<Deployment> {
        self.history.clone()
    }
}

/// How far `history` goes back; `deployments` goes further.
const HISTORY: i64 = 20;

async fn version(app: &App, digest: Digest) -> async_graphql::Result<Option<PluginVersion>> {
    let found = store::version(app.store.read(), digest).await.map_err(|error| failure(error.into()))?;
    Ok(found.map(PluginVersion::wrap))
}

#[derive(Default)]
pub struct PluginQuery;

#[Object]
impl PluginQuery {
    /// One version by the sha-256 of its bytes; null if it was never uploaded.
    async fn plugin_version(
        &self,
        ctx: &Context<'_>,
        digest: Digest,
    ) -> async_graphql::Result<Option<PluginVersion>> {
        read_viewer(ctx)?;
        version(app(ctx)?, digest).await
    }

    /// Versions, the newest first. All given conditions hold together.
    async fn plugin_versions(
        &self,
        ctx: &Context<'_>,
        name: Option<String>,
        team: Option<String>,
        status: Option<PluginStatus>,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<PluginVersion>> {
        read_viewer(ctx)?;
        let first = super::bounded("first", first, 200)?;
        let filter = VersionFilter { name, team, status: status.map(|status| status.to_string()) };
        let found = store::versions(app(ctx)?.store.read(), &filter, first).await;
        Ok(found.map_err(|error| failure(error.into()))?.into_iter().map(PluginVersion::wrap).collect())
    }

    /// The slots of the charter in force.
    async fn rule_slots(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<RuleSlot>> {
        read_viewer(ctx)?;
        let (app, look) = (app(ctx)?, ctx.look_ahead());
        let (workspace, db) = (app.workspace(), app.store.read());
        let slots = &workspace.charter.body.slots;
        let keys: Vec<String> = slots.iter().map(|slot| slot.key.clone()).collect();
        let fault = |error: handfast_store::StoreError| failure(error.into());
        let live = match look.field("live").exists() {
            true => store::running(db, &keys).await.map_err(fault)?,
            false => vec![],
        };
        let history = match look.field("history").exists() {
            true => store::history(db, &keys, HISTORY).await.map_err(fault)?,
            false => vec![],
        };
        let live = Deployment::wrap_all(app, live, &look.field("live")).await?;
        let history = Deployment::wrap_all(app, history, &look.field("history")).await?;
        let slot = |defined: &Defined| RuleSlot {
            live: live.iter().find(|one| one.slot == defined.key).cloned(),
            history: history.iter().filter(|one| one.slot == defined.key).cloned().collect(),
            defined: defined.clone(),
        };
        Ok(slots.iter().map(slot).collect())
    }

    /// Deployments of a slot, or of all of them, the newest first.
    async fn deployments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of a slot.")] slot: Option<String>,
        #[graphql(desc = "1 to 200", default = 50)] first: i32,
    ) -> async_graphql::Result<Vec<Deployment>> {
        read_viewer(ctx)?;
        let first = super::bounded("first", first, 200)?;
        let app = app(ctx)?;
        let found = store::deployments(app.store.read(), slot.as_deref(), first).await;
        Deployment::wrap_all(app, found.map_err(|error| failure(error.into()))?, &ctx.look_ahead()).await
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct UploadPluginVersionInput {
    /// sha-256 of the bytes, which came before by `PUT /blobs?kind=plugin`.
    digest: Digest,
    /// Key of the team that owns the version.
    team: String,
    /// What you call it, for example `1.4.0`; without it, what the plugin says of itself.
    label: Option<String>,
    /// JSON documents, each one a case or an array of cases; `handfast plugin push` reads them from `cases/*.json`.
    cases: Vec<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct PluginVersionPayload {
    /// The version, VALIDATING at first; ask for it again to see what the checks found.
    version: Option<PluginVersion>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct DeployPluginInput {
    /// Key of a slot of the charter in force.
    slot: String,
    /// The version.
    digest: Digest,
    /// The settings as JSON.
    settings: String,
    mode: DeploymentMode,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RollbackInput {
    /// Key of a slot.
    slot: String,
    /// Why; the other teams read it.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct DeploymentPayload {
    /// What answers for the slot now; null where the built-in rule does, or when it was refused.
    deployment: Option<Deployment>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct PluginMutation;

#[Object]
impl PluginMutation {
    /// Takes a version in, answers at once, and checks it in the background: size, imports, exports, compilation within
    /// limits, its description, its cases. The same bytes again are the same version.
    async fn upload_plugin_version(
        &self,
        ctx: &Context<'_>,
        input: UploadPluginVersionInput,
    ) -> async_graphql::Result<PluginVersionPayload> {
        let UploadPluginVersionInput { digest, team, label, cases, idempotency_key } = input;
        let once = once(ctx, "uploadPluginVersion", idempotency_key, &(digest, &team, &label, &cases))?;
        let app = app(ctx)?;
        let (done, errors) =
            payload(plugin::upload(app, viewer(ctx)?, once, Upload { digest, team, label, cases }).await)?;
        let version = match done {
            Some(()) => version(app, digest).await?,
            None => None,
        };
        Ok(PluginVersionPayload { version, errors })
    }

    /// Puts a version with settings into a slot: the next decision is its. Requests that began before end with the rule
    /// that they began with.
    async fn deploy_plugin(
        &self,
        ctx: &Context<'_>,
        input: DeployPluginInput,
    ) -> async_graphql::Result<DeploymentPayload> {
        let DeployPluginInput { slot, digest, settings, mode, idempotency_key } = input;
        let once = once(ctx, "deployPlugin", idempotency_key, &(&slot, digest, &settings, mode))?;
        let app = app(ctx)?;
        let deployed = deploy::deploy(app, viewer(ctx)?, once, Deploy { slot, digest, settings, mode }).await;
        let (id, errors) = payload(deployed)?;
        let deployment = match id {
            Some(id) => {
                store::deployment(app.store.read(), id).await.map_err(|error| failure(error.into()))?
            }
            None => None,
        };
        Ok(DeploymentPayload { deployment: deployment.map(Deployment::wrap), errors })
    }

    /// One step back, to what answered for the slot before. It takes effect with the next decision.
    async fn rollback(
        &self,
        ctx: &Context<'_>,
        input: RollbackInput,
    ) -> async_graphql::Result<DeploymentPayload> {
        let RollbackInput { slot, reason, idempotency_key } = input;
        let once = once(ctx, "rollback", idempotency_key, &(&slot, &reason))?;
        let app = app(ctx)?;
        let (done, errors) = payload(deploy::rollback(app, viewer(ctx)?, once, &slot, &reason).await)?;
        let running = match done {
            Some(()) => {
                store::running(app.store.read(), &[slot]).await.map_err(|error| failure(error.into()))?.pop()
            }
            None => None,
        };
        Ok(DeploymentPayload { deployment: running.map(Deployment::wrap), errors })
    }
}
