//! Versions of plugins: taken in, checked in the background, and never changed afterwards.

use std::time::Duration;

use handfast_domain::digest::Digest;
use handfast_domain::evaluation::PluginStatus;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::signature::Signed;
use handfast_rules::{Case, Check, RuleKind};
use handfast_store::plugin::{self, PluginVersion, VersionFilter};
use handfast_store::{Tx, blob, signature};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::commit::Once;
use super::{Error, Viewer, scope};
use crate::app::App;
use crate::workspace::Workspace;

/// What a team uploads. The bytes came before, by `PUT /blobs?kind=plugin`.
#[derive(Clone, Debug)]
pub struct Upload {
    /// sha-256 of the bytes.
    pub digest: Digest,
    /// Key of the team that owns the version.
    pub team: String,
    /// What the team calls it; the version that the plugin says of itself without.
    pub label: Option<String>,
    /// JSON documents: each one a case, or an array of cases.
    pub cases: Vec<String>,
    /// Text of a `.minisig` file.
    pub signature: Option<String>,
}

/// One check of an upload, as it is kept with the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub name: String,
    pub ok: bool,
    pub code: Option<String>,
    pub message: String,
}

impl From<&Check> for CheckResult {
    fn from(check: &Check) -> CheckResult {
        CheckResult {
            name: check.name.to_owned(),
            ok: check.ok,
            code: check.code.map(|code| code.as_str().to_owned()),
            message: check.message.clone(),
        }
    }
}

/// Takes a version in and begins to check it. The same bytes again are the same version: it is checked once more only if
/// it had been refused, or had come without cases and brings some now. A signature that it brings is added in any case.
pub async fn upload(app: &App, viewer: &Viewer, once: Option<Once>, upload: Upload) -> Result<(), Error> {
    viewer.require(scope::PLUGINS_DEPLOY)?;
    if Once::answered(once.as_ref(), app).await?.is_some() {
        return Ok(());
    }
    let Upload { digest, team, label, cases, signature } = upload;
    require_team(&app.workspace(), viewer, &team)?;
    check_label(label.as_deref())?;
    let cases = read_cases(&cases)?;
    let Some(file) = blob::find(app.store.read(), digest, "plugin").await? else {
        let message = format!("no uploaded file {digest}; send it with PUT /blobs?kind=plugin first");
        return Err(Refused::new(RefusalCode::NotFound, message).at("input/digest").into());
    };
    let new = PluginVersion {
        digest,
        name: String::new(),
        label: label.unwrap_or_default(),
        team,
        kind: None,
        status: PluginStatus::Validating.to_string(),
        descriptor: None,
        checks: "[]".to_owned(),
        case_count: u32::try_from(cases.len()).unwrap_or(u32::MAX),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        uploaded_by: viewer.id(),
        uploaded_at: app.now(),
    };
    let text = serde_json::to_string(&cases).map_err(|error| Error::fault(error.to_string()))?;
    let signed = match signature {
        Some(text) => Some(Brought { signed: sign_known(app, &new, &text).await?, text }),
        None => None,
    };
    let begun = app
        .store
        .try_write(move |tx| Box::pin(async move { begin(tx, once, new, text, signed).await }))
        .await?;
    if begun {
        tokio::spawn(validate(app.clone(), digest));
    }
    Ok(())
}

/// The version once its checks are done, or as it stands after `limit`.
pub async fn settled(app: &App, digest: Digest, limit: Duration) -> Result<PluginVersion, Error> {
    const PAUSE: Duration = Duration::from_millis(50);
    let begun = std::time::Instant::now();
    loop {
        let version = version(app, digest).await?;
        if version.status != PluginStatus::Validating.as_str() || begun.elapsed() >= limit {
            return Ok(version);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

pub async fn version(app: &App, digest: Digest) -> Result<PluginVersion, Error> {
    let version = plugin::version(app.store.read(), digest).await?;
    version.ok_or_else(|| Refused::not_found("plugin version").at("input/digest").into())
}

/// Checks again what an earlier process left in the middle of its checks.
pub async fn resume(app: &App) -> Result<(), Error> {
    let left =
        VersionFilter { status: Some(PluginStatus::Validating.to_string()), ..VersionFilter::default() };
    for version in plugin::versions(app.store.read(), &left, i64::MAX).await? {
        tokio::spawn(validate(app.clone(), version.digest));
    }
    Ok(())
}

/// The slots' word for what a plugin decides.
pub fn kind_text(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Qualify => "QUALIFY",
        RuleKind::Route => "ROUTE",
    }
}

/// Plugins belong to teams: one acts for one's own, an administrator for all.
pub fn require_team(workspace: &Workspace, viewer: &Viewer, team: &str) -> Result<(), Refused> {
    if !workspace.directory.teams.iter().any(|known| known.key == team) {
        let known: Vec<&str> = workspace.directory.teams.iter().map(|team| team.key.as_str()).collect();
        return Err(Refused::invalid(
            "input/team",
            format!("no team {team:?}; there are {}", known.join(", ")),
        ));
    }
    if viewer.user.team == team || viewer.may(scope::ADMIN) {
        return Ok(());
    }
    let message = format!("you are in the team {}, not in {team}", viewer.user.team);
    Err(Refused::new(RefusalCode::Forbidden, message).at("input/team"))
}

/// An upload's cases together. They travel in one request and their leads are judged several times each.
const MAX_CASES: usize = 200;
const MAX_CASE_LEADS: usize = 500;

/// Validations hold the whole file in memory; two at a time are enough.
static TURNS: Semaphore = Semaphore::const_new(2);

fn check_label(label: Option<&str>) -> Result<(), Refused> {
    let fits = |label: &str| {
        (1..=64).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
    };
    match label {
        Some(label) if !fits(label) => Err(Refused::invalid(
            "input/label",
            "a label is 1 to 64 of letters, digits, dot, plus, hyphen and underscore, for example 1.4.0",
        )),
        _ => Ok(()),
    }
}

fn read_cases(documents: &[String]) -> Result<Vec<Case>, Error> {
    let mut cases = vec![];
    for (index, document) in documents.iter().enumerate() {
        let path = format!("input/cases/{index}");
        let refuse = |why: String| Refused::invalid(&path, why);
        let parsed: serde_json::Value =
            serde_json::from_str(document).map_err(|error| refuse(format!("not JSON: {error}")))?;
        let list = match parsed {
            serde_json::Value::Array(list) => list,
            one => vec![one],
        };
        for (number, one) in list.into_iter().enumerate() {
            let case: Case = serde_json::from_value(one)
                .map_err(|error| refuse(format!("case {}: {error}", number + 1)))?;
            if case.settings_file.is_some() {
                let message =
                    format!("case {:?}: put the settings into the case; the server has no files", case.name);
                return Err(refuse(message).into());
            }
            cases.push(case);
        }
    }
    let leads: usize = cases.iter().map(|case| case.leads.len()).sum();
    if cases.len() > MAX_CASES || leads > MAX_CASE_LEADS {
        let message = format!(
            "at most {MAX_CASES} cases with {MAX_CASE_LEADS} leads, found {} with {leads}; keep those that show a rule each",
            cases.len()
        );
        return Err(Refused::invalid("input/cases", message).into());
    }
    Ok(cases)
}

/// The signature of an upload.
struct Brought {
    text: String,
    /// None: it is checked together with its version.
    signed: Option<Signed>,
}

/// Checks the signature of a version that is known and needs no other check.
async fn sign_known(app: &App, new: &PluginVersion, text: &str) -> Result<Option<Signed>, Error> {
    let Some(known) = plugin::version(app.store.read(), new.digest).await? else { return Ok(None) };
    match PluginStatus::parse(&known.status) {
        Some(PluginStatus::Validated | PluginStatus::Retired)
            if known.case_count > 0 || new.case_count == 0 =>
        {
            if known.team != new.team {
                let message =
                    format!("these bytes are a version of the team {}, which alone signs it", known.team);
                return Err(Refused::new(RefusalCode::Forbidden, message).at("input/team").into());
            }
            super::signature::sign_again(app, &known, text).await.map(Some)
        }
        Some(PluginStatus::Validating) => {
            let message = "the version is being checked; send the signature when that is done";
            Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/signature").into())
        }
        _ => Ok(None),
    }
}

/// Answers whether there is something to check.
async fn begin(
    tx: &Tx,
    once: Option<Once>,
    new: PluginVersion,
    cases: String,
    brought: Option<Brought>,
) -> Result<bool, Error> {
    if Once::reserve(once.as_ref(), tx, new.uploaded_at).await?.is_some() {
        return Ok(false);
    }
    let begun = match plugin::version(tx, new.digest).await? {
        Some(known)
            if known.status == PluginStatus::Rejected.as_str()
                || known.case_count == 0 && new.case_count > 0 =>
        {
            if known.team != new.team {
                let message = format!(
                    "these bytes were uploaded by the team {}, which alone may try again",
                    known.team
                );
                return Err(Refused::new(RefusalCode::Forbidden, message).at("input/team").into());
            }
            known.status != PluginStatus::Validating.as_str()
        }
        Some(_) => false,
        None => true,
    };
    let digest = new.digest;
    if begun {
        plugin::put_version(tx, &new).await?;
        plugin::put_cases(tx, digest, &cases).await?;
        signature::settle(tx, digest, None).await?;
    }
    if let Some(Brought { text, signed }) = brought.filter(|brought| begun || brought.signed.is_some()) {
        let signed = signed.as_ref();
        signature::put_signature(tx, digest, &text, signed, new.uploaded_by, new.uploaded_at).await?;
    }
    Once::keep(once.as_ref(), tx, &digest.to_string()).await?;
    Ok(begun)
}

/// All checks of one version. Whatever goes wrong, the version does not stay in the middle of them.
async fn validate(app: App, digest: Digest) {
    // The semaphore is never closed.
    let Ok(_turn) = TURNS.acquire().await else { return };
    let judged = match judge(&app, digest).await {
        Ok(None) => return,
        Ok(Some(judged)) => judged,
        Err(error) => {
            tracing::error!(%digest, %error, "an uploaded plugin could not be checked");
            let message = "the server failed while it checked; upload the version again".to_owned();
            let check =
                CheckResult { name: "server".into(), ok: false, code: Some("INTERNAL".into()), message };
            Judged { checks: vec![check], ..Judged::default() }
        }
    };
    let written = app.store.write(move |tx| Box::pin(async move { finish(tx, digest, judged).await })).await;
    if let Err(error) = written {
        tracing::error!(%digest, %error, "the checks of a plugin could not be recorded; the next start repeats them");
    }
}

#[derive(Default)]
struct Judged {
    name: String,
    version: String,
    kind: Option<String>,
    descriptor: Option<String>,
    checks: Vec<CheckResult>,
    signed: Option<Signed>,
}

async fn judge(app: &App, digest: Digest) -> Result<Option<Judged>, Error> {
    let db = app.store.read();
    let waiting = plugin::version(db, digest)
        .await?
        .filter(|version| version.status == PluginStatus::Validating.as_str());
    let Some(version) = waiting else { return Ok(None) };
    let cases = plugin::cases(db, digest).await?.unwrap_or_default();
    let cases: Vec<Case> = serde_json::from_str(&cases).map_err(|error| Error::fault(error.to_string()))?;
    let wasm = app.store.blobs().read(digest).await?;
    let report = app.host.check(&wasm, &cases, &app.workspace().trait_kinds()).await;
    let descriptor = report.descriptor.as_ref();
    let text = descriptor.map(serde_json::to_string).transpose();
    let mut judged = Judged {
        name: descriptor.map(|said| said.name.clone()).unwrap_or_default(),
        version: descriptor.map(|said| said.version.clone()).unwrap_or_default(),
        kind: report.kind.map(|kind| kind_text(kind).to_owned()),
        descriptor: text.map_err(|error| Error::fault(error.to_string()))?,
        checks: report.checks.iter().map(CheckResult::from).collect(),
        signed: None,
    };
    if report.ok() {
        let label = if version.label.is_empty() { &judged.version } else { &version.label };
        let checked = super::signature::check(app, &version, &judged.name, label, &wasm).await?;
        if let Some((check, signed)) = checked {
            judged.checks.push(check);
            judged.signed = signed;
        }
    }
    Ok(Some(judged))
}

async fn finish(tx: &Tx, digest: Digest, judged: Judged) -> Result<(), handfast_store::StoreError> {
    let Judged { name, version: said, kind, descriptor, mut checks, signed } = judged;
    let Some(mut version) = plugin::version(tx, digest).await? else { return Ok(()) };
    if version.label.is_empty() {
        version.label = said;
    }
    if checks.iter().all(|check| check.ok) {
        let namesakes = plugin::labelled(tx, &name, &version.label).await?;
        let taken = namesakes
            .iter()
            .find(|other| other.digest != digest && other.status != PluginStatus::Rejected.as_str());
        checks.push(label_check(&name, &version.label, taken));
    }
    let passed = checks.iter().all(|check| check.ok);
    version.status = if passed { PluginStatus::Validated } else { PluginStatus::Rejected }.to_string();
    version.checks = serde_json::to_string(&checks).unwrap_or_else(|_| "[]".to_owned());
    (version.name, version.kind, version.descriptor) = (name, kind, descriptor);
    signature::settle(tx, digest, signed.as_ref().filter(|_| passed)).await?;
    plugin::put_version(tx, &version).await
}

/// A label says which bytes are meant; two answers to that question are one too many.
fn label_check(name: &str, label: &str, taken: Option<&PluginVersion>) -> CheckResult {
    let (ok, code, message) = match taken {
        None => (true, None, format!("{name} {label} is a new label")),
        Some(other) => (
            false,
            Some("PLUGIN_LABEL_TAKEN".to_owned()),
            format!(
                "{name} {label} is the version {} of the team {} already; raise the plugin's version or give another label",
                other.digest, other.team
            ),
        ),
    };
    CheckResult { name: "label".to_owned(), ok, code, message }
}
