//! Rules: versions by digest with the result of every check, and slots of the charter with what runs there.

use std::collections::BTreeMap;

use async_graphql::{ComplexObject, Context, InputObject, Lookahead, Object, SimpleObject};
use handfast_domain::charter::{RuleSlot as Defined, SlotKind};
use handfast_domain::deployment::DeploymentMode;
use handfast_domain::digest::Digest;
use handfast_domain::evaluation::PluginStatus;
use handfast_domain::field::Kind;
use handfast_domain::time::Instant;
use handfast_rules::Descriptor;
use handfast_store::plugin::{self as store, PluginVersion as Version, VersionFilter};
use handfast_store::signature;
use handfast_store::{decision_override, deployment};

use super::deployment::Deployment;
use super::directory::User;
use super::problem::{UserError, failure, payload};
use super::scalar::Long;
use super::signature::PluginSignature;
use super::{app, once, read_viewer, viewer};
use crate::app::App;
use crate::flows::plugin::{self, CheckResult, Upload};

/// A version of a rule. Its identity is the sha-256 of its bytes; name and label are what its author calls it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct PluginVersion {
    pub digest: Digest,
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
    /// Read with its page, where the look-ahead saw them.
    #[graphql(skip)]
    signatures: Option<Vec<PluginSignature>>,
    #[graphql(skip)]
    overridden: Option<Long>,
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
    pub fn wrap(version: Version) -> PluginVersion {
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
            signatures: None,
            overridden: None,
        }
    }

    /// Wraps any number of versions; their signatures are read together.
    pub async fn wrap_all(
        app: &App,
        versions: Vec<Version>,
        looks: &[Lookahead<'_>],
    ) -> async_graphql::Result<Vec<PluginVersion>> {
        let mut wrapped: Vec<PluginVersion> = versions.into_iter().map(PluginVersion::wrap).collect();
        if !wrapped.is_empty() && looks.iter().any(|look| look.field("signatures").exists()) {
            let digests: Vec<Digest> = wrapped.iter().map(|one| one.digest).collect();
            let found = signature::of(app.store.read(), &digests).await;
            let found = found.map_err(|error| failure(error.into()))?;
            for one in &mut wrapped {
                let mine = found.iter().filter(|signed| signed.version == one.digest).cloned();
                one.signatures = Some(mine.map(PluginSignature::wrap).collect());
            }
        }
        if !wrapped.is_empty() && looks.iter().any(|look| look.field("overridden").exists()) {
            let digests: Vec<Digest> = wrapped.iter().map(|one| one.digest).collect();
            let found = overridden(app, &digests).await?;
            for one in &mut wrapped {
                one.overridden = Some(found.get(&one.digest).copied().unwrap_or_default());
            }
        }
        Ok(wrapped)
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

    /// Signatures that counted when they came in, the newest serial first.
    async fn signatures(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<PluginSignature>> {
        if let Some(signatures) = &self.signatures {
            return Ok(signatures.clone());
        }
        let found = signature::of(app(ctx)?.store.read(), &[self.digest]).await;
        Ok(found.map_err(|error| failure(error.into()))?.into_iter().map(PluginSignature::wrap).collect())
    }

    /// Decisions of it that people overrode, in whatever slot and with whatever settings.
    async fn overridden(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        match self.overridden {
            Some(count) => Ok(count),
            None => {
                let found = overridden(app(ctx)?, &[self.digest]).await?;
                Ok(found.get(&self.digest).copied().unwrap_or_default())
            }
        }
    }

    /// Who uploaded it.
    async fn uploaded_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.version.uploaded_by).map(User::wrap))
    }
}

async fn overridden(app: &App, digests: &[Digest]) -> async_graphql::Result<BTreeMap<Digest, Long>> {
    let found = decision_override::counts_of_versions(app.store.read(), digests).await;
    let found = found.map_err(|error| failure(error.into()))?;
    let long = |count: u64| Long(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(found.into_iter().map(|(digest, count)| (digest, long(count))).collect())
}

/// The stable place where a team's rule plugs into the funnel, as the charter in force defines it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct RuleSlot {
    #[graphql(flatten)]
    defined: Defined,
    #[graphql(skip)]
    active: Vec<Deployment>,
    #[graphql(skip)]
    history: Vec<Deployment>,
}

#[ComplexObject]
impl RuleSlot {
    /// What answers for it now; null where the built-in rule does, which holds every lead.
    async fn live(&self) -> Option<Deployment> {
        self.running(DeploymentMode::Live).next().cloned()
    }

    /// What judges a share of the leads.
    async fn canary(&self) -> Option<Deployment> {
        self.running(DeploymentMode::Canary).next().cloned()
    }

    /// What runs beside it, the oldest first.
    async fn shadows(&self) -> Vec<Deployment> {
        self.running(DeploymentMode::Shadow).cloned().collect()
    }

    /// What waits for approval, the oldest first.
    async fn pending(&self) -> Vec<Deployment> {
        self.active.iter().filter(|one| !one.is_running()).cloned().collect()
    }

    /// The last 20 that answered for it, the newest first.
    async fn history(&self) -> Vec<Deployment> {
        self.history.clone()
    }
}

impl RuleSlot {
    fn running(&self, mode: DeploymentMode) -> impl Iterator<Item = &Deployment> {
        self.active.iter().filter(move |one| one.is_running() && one.mode == mode)
    }
}

/// How far `history` goes back; `deployments` goes further.
const HISTORY: i64 = 20;

pub async fn version(app: &App, digest: Digest) -> async_graphql::Result<Option<PluginVersion>> {
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
        let app = app(ctx)?;
        let found = store::versions(app.store.read(), &filter, first).await;
        let found = found.map_err(|error| failure(error.into()))?;
        PluginVersion::wrap_all(app, found, &[ctx.look_ahead()]).await
    }

    /// The slots of the charter in force.
    async fn rule_slots(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<RuleSlot>> {
        read_viewer(ctx)?;
        let (app, look) = (app(ctx)?, ctx.look_ahead());
        let (workspace, db) = (app.workspace(), app.store.read());
        let slots = &workspace.charter.body.slots;
        let keys: Vec<String> = slots.iter().map(|slot| slot.key.clone()).collect();
        let fault = |error: handfast_store::StoreError| failure(error.into());
        let below = ["live", "canary", "shadows", "pending"].map(|name| look.field(name));
        let active = match below.iter().any(Lookahead::exists) {
            true => deployment::active(db, &keys).await.map_err(fault)?,
            false => vec![],
        };
        let history = match look.field("history").exists() {
            true => deployment::history(db, &keys, HISTORY).await.map_err(fault)?,
            false => vec![],
        };
        let active = Deployment::wrap_all(app, active, &below).await?;
        let history = Deployment::wrap_all(app, history, &[look.field("history")]).await?;
        let slot = |defined: &Defined| RuleSlot {
            active: active.iter().filter(|one| one.slot == defined.key).cloned().collect(),
            history: history.iter().filter(|one| one.slot == defined.key).cloned().collect(),
            defined: defined.clone(),
        };
        Ok(slots.iter().map(slot).collect())
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
    /// The text of a `.minisig` file: a signature by a key of the team, about this name and version.
    signature: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
}

#[derive(SimpleObject)]
pub struct PluginVersionPayload {
    /// The version, VALIDATING at first; ask for it again to see what the checks found.
    version: Option<PluginVersion>,
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
        let UploadPluginVersionInput { digest, team, label, cases, signature, idempotency_key } = input;
        let asked = (digest, &team, &label, &cases, &signature);
        let once = once(ctx, "uploadPluginVersion", idempotency_key, &asked)?;
        let app = app(ctx)?;
        let upload = Upload { digest, team, label, cases, signature };
        let (done, errors) = payload(plugin::upload(app, viewer(ctx)?, once, upload).await)?;
        let version = match done {
            Some(()) => version(app, digest).await?,
            None => None,
        };
        Ok(PluginVersionPayload { version, errors })
    }
}
