//! Content: registered by marketing, asked for and sent by sales, and found by what fits a lead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handfast_domain::content::{ContentAsset, ContentReason, ContentRequest, ContentRequestStatus, Fit};
use handfast_domain::event::SetupNoun;
use handfast_domain::field::is_key;
use handfast_domain::persona::Persona;
use handfast_domain::rating::{RatingSubject, Tally};
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Side, StageKind};
use handfast_domain::time::{DAY, Instant};
use handfast_store::Tx;
use handfast_store::change::append_fact;
use handfast_store::content::{self as rows, ContentUse, Seen};
use handfast_store::directory::{self, Noun};
use uuid::Uuid;

use super::check::{Checks, words};
use super::commit::{Ask, Decided};
use super::{Error, document, lead, scope};
use crate::app::App;
use crate::workspace::Workspace;

const LIST: usize = 50;
/// Longest objection and reason, in characters.
pub const WORDS: usize = 1_000;
/// Looks at content of one lead that are read, the newest ones.
const LOOKS: i64 = 500;
/// Days over which wins are counted.
const WINS: i64 = 365;

#[derive(Clone, Debug, Default)]
pub struct ContentEdit {
    pub title: Option<String>,
    pub kind: Option<String>,
    pub url: Option<Option<String>>,
    pub personas: Option<Vec<String>>,
    pub stages: Option<Vec<StageKind>>,
    /// Keys of users.
    pub contributors: Option<Vec<String>>,
    pub retired: Option<bool>,
}

/// Registers a piece of content under a key that touches name it by.
pub async fn register(
    app: &App,
    ask: &Ask<'_>,
    key: String,
    new: ContentEdit,
) -> Result<ContentAsset, Error> {
    may(ask, "register content")?;
    let (workspace, now) = (app.workspace(), app.now());
    document::put(app, ask, move |all: &[ContentAsset], id| {
        document::unused(all, &key, "content", "updateContent").map_err(|refused| vec![refused])?;
        let blank = ContentAsset {
            id,
            key: key.clone(),
            title: String::new(),
            kind: String::new(),
            url: None,
            personas: vec![],
            stages: vec![],
            contributors: vec![],
            created_at: now,
            retired_at: None,
        };
        let mut checks = Checks::default();
        checks.key("key", &key);
        edited(&workspace, checks, blank, new, now)
    })
    .await
}

/// Edits it; what is left out stays.
pub async fn update(app: &App, ask: &Ask<'_>, id: Uuid, edit: ContentEdit) -> Result<ContentAsset, Error> {
    may(ask, "edit content")?;
    let (workspace, now) = (app.workspace(), app.now());
    document::put(app, ask, move |all: &[ContentAsset], _| {
        let before = all.iter().find(|content| content.id == id).cloned();
        let before = before.ok_or_else(|| vec![Refused::not_found("content").at("input/content")])?;
        edited(&workspace, Checks::default(), before, edit, now)
    })
    .await
}

fn may(ask: &Ask<'_>, verb: &str) -> Result<(), Refused> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Marketing, verb)
}

fn edited(
    workspace: &Workspace,
    mut checks: Checks,
    before: ContentAsset,
    edit: ContentEdit,
    now: Instant,
) -> Result<ContentAsset, Vec<Refused>> {
    let ContentEdit { title, kind, url, personas, stages, contributors, retired } = edit;
    let contributors = contributors.map(|keys| users(workspace, &mut checks, &keys));
    let retired_at = match retired {
        Some(true) => before.retired_at.or(Some(now)),
        Some(false) => None,
        None => before.retired_at,
    };
    let content = ContentAsset {
        title: title.unwrap_or(before.title),
        kind: kind.unwrap_or(before.kind),
        url: url.unwrap_or(before.url),
        personas: personas.unwrap_or(before.personas),
        stages: stages.unwrap_or(before.stages),
        contributors: contributors.unwrap_or(before.contributors),
        retired_at,
        ..before
    };
    checks.text("title", &content.title, 200);
    checks.key("kind", &content.kind);
    if let Some(url) = &content.url {
        let web = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
        let plain = url.len() <= 2_000 && !url.chars().any(|c| c.is_whitespace() || c.is_control());
        checks.need(web && plain, "url", || {
            "an address of the web of up to 2000 bytes, for example https://example.com/paper".to_owned()
        });
    }
    let known = workspace.charter.body.personas.iter().map(|persona| persona.key.as_str());
    checks.need(content.personas.len() <= LIST, "personas", || format!("at most {LIST} personas"));
    for (place, persona) in content.personas.iter().take(LIST).enumerate() {
        checks.exists(
            &format!("personas/{place}"),
            "persona of the charter in force",
            persona,
            known.clone(),
        );
    }
    checks.need(content.stages.len() <= StageKind::ALL.len(), "stages", || "each stage once".to_owned());
    checks.done()?;
    Ok(content)
}

fn users(workspace: &Workspace, checks: &mut Checks, keys: &[String]) -> Vec<Uuid> {
    let all = &workspace.directory.users;
    checks.need(keys.len() <= LIST, "contributors", || format!("at most {LIST} contributors"));
    for (place, key) in keys.iter().take(LIST).enumerate() {
        checks.exists(
            &format!("contributors/{place}"),
            "user",
            key,
            all.iter().map(|user| user.key.as_str()),
        );
    }
    all.iter().filter(|user| keys.contains(&user.key)).map(|user| user.id).collect()
}

/// Sales asks for content that is missing.
pub async fn request(
    app: &App,
    ask: &Ask<'_>,
    persona: String,
    stage: StageKind,
    objection: &str,
) -> Result<ContentRequest, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Sales, "request content")?;
    let workspace = app.workspace();
    let mut checks = Checks::default();
    let known = workspace.charter.body.personas.iter().map(|persona| persona.key.as_str());
    checks.exists("persona", "persona of the charter in force", &persona, known);
    let objection = words(&mut checks, "objection", objection, WORDS);
    checks.done()?;
    let request = ContentRequest {
        id: app.id(),
        persona,
        stage,
        objection,
        user: ask.viewer.id(),
        requested_at: app.now(),
        status: ContentRequestStatus::Open,
        content: None,
        reason: None,
        closed_by: None,
        closed_at: None,
    };
    let fact = app.setup_changed(ask.viewer.actor(), SetupNoun::ContentRequest, request.id);
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            rows::insert_request(tx, &request).await?;
            append_fact(tx, fact).await?;
            let answer = request.id.to_string();
            Ok((request, answer))
        })
    });
    requested(app, decided.await?).await
}

/// Marketing says by what a request is fulfilled, or why it will not be. Who asked is a contributor of the content.
pub async fn close_request(
    app: &App,
    ask: &Ask<'_>,
    id: Uuid,
    how: Result<Uuid, String>,
) -> Result<ContentRequest, Error> {
    may(ask, "answer requests for content")?;
    let mut checks = Checks::default();
    let how = how.map_err(|reason| words(&mut checks, "reason", &reason, WORDS));
    checks.done()?;
    let (user, now) = (ask.viewer.id(), app.now());
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let found = rows::request(tx, id, true).await?;
            let mut request = found.ok_or_else(|| Refused::not_found("request").at("input/request"))?;
            request.close(how.clone(), user, now).map_err(|refused| refused.at("input/request"))?;
            rows::put_request(tx, &request).await?;
            append_fact(tx, own.setup_changed(actor, SetupNoun::ContentRequest, id)).await?;
            if let Ok(content) = how {
                let content = contributed(tx, content, request.user).await?;
                append_fact(tx, own.setup_changed(actor, ContentAsset::NOUN, content)).await?;
            }
            Ok((request, id.to_string()))
        })
    });
    let request = requested(app, decided.await?).await?;
    if !ask.dry_run {
        app.reload().await?;
    }
    Ok(request)
}

async fn contributed(tx: &Tx, id: Uuid, user: Uuid) -> Result<Uuid, Error> {
    let all = directory::all::<ContentAsset>(tx).await?;
    let found = all.into_iter().find(|content| content.id == id);
    let mut content = found.ok_or_else(|| Refused::not_found("content").at("input/content"))?;
    if !content.contributors.contains(&user) && content.contributors.len() < LIST {
        content.contributors.push(user);
        directory::put(tx, &content).await?;
    }
    Ok(id)
}

async fn requested(app: &App, decided: Decided<ContentRequest>) -> Result<ContentRequest, Error> {
    match decided {
        Decided::Now(request) => Ok(request),
        Decided::Before(id) => {
            let id = Uuid::try_parse(&id).map_err(|error| Error::fault(error.to_string()))?;
            let found = rows::request(app.store.read(), id, false).await?;
            found.ok_or_else(|| Error::fault("a request that was written before is gone"))
        }
    }
}

/// Notes that sales sent a lead a piece of content: the lead has seen it from then on.
pub async fn record_use(
    app: &App,
    ask: &Ask<'_>,
    lead: Uuid,
    content: Uuid,
    at: Option<Instant>,
) -> Result<Arc<ContentAsset>, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Sales, "record what was sent")?;
    let (workspace, now) = (app.workspace(), app.now());
    let at = at.unwrap_or(now);
    if at > now {
        return Err(Refused::invalid("input/at", format!("it is {now}: nothing is sent later")).into());
    }
    let found = workspace.content(content).cloned();
    let found = found.ok_or_else(|| Refused::not_found("content").at("input/content"))?;
    if handfast_store::lead::leads(app.store.read(), &[lead]).await?.is_empty() {
        return Err(Refused::not_found("lead").at("input/lead").into());
    }
    let sent = ContentUse { id: app.id(), content, lead, user: ask.viewer.id(), at };
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            rows::insert_use(tx, &sent).await?;
            Ok(((), String::new()))
        })
    });
    decided.await?;
    Ok(found)
}

/// A look of a lead at content, and the stage that it stood at.
pub struct Looked {
    pub seen: Seen,
    pub content: Option<Arc<ContentAsset>>,
    pub stage: StageKind,
}

/// The newest looks of a lead at content; with a stage, those while it stood there.
pub async fn seen(app: &App, lead: Uuid, stage: Option<StageKind>) -> Result<Vec<Looked>, Error> {
    let (db, workspace) = (app.store.read(), app.workspace());
    let looks = rows::seen(db, lead, LOOKS).await?;
    if looks.is_empty() {
        return Ok(vec![]);
    }
    let stages = rows::stages(db, lead).await?;
    let stood = |at: Instant| {
        let reached = stages.iter().take_while(|(since, _)| *since <= at).last();
        reached.map_or(StageKind::Anonymous, |(_, stage)| *stage)
    };
    let looked = looks.into_iter().map(|seen| {
        let content = workspace.content_by_key(&seen.key).cloned();
        Looked { stage: stood(seen.at), content, seen }
    });
    Ok(looked.filter(|one| stage.is_none_or(|stage| stage == one.stage)).collect())
}

/// A piece of content that fits a lead.
pub struct Match {
    pub content: Arc<ContentAsset>,
    pub points: u32,
    pub reasons: Vec<ContentReason>,
}

/// What fits a lead where it stands, the best first.
pub async fn matches(app: &App, id: Uuid, limit: usize) -> Result<Vec<Match>, Error> {
    let workspace = app.workspace();
    let journey = lead::load(app, id).await?;
    let persona = journey.lead.persona.as_ref();
    let persona: Option<&Persona> =
        persona.and_then(|key| workspace.charter.body.personas.iter().find(|one| one.key == *key));
    let looks = rows::seen(app.store.read(), id, LOOKS).await?;
    let seen: BTreeSet<&str> = looks.iter().map(|look| look.key.as_str()).collect();
    let offered: Vec<&Arc<ContentAsset>> =
        workspace.contents.iter().filter(|content| content.retired_at.is_none()).collect();
    let ids: Vec<Uuid> = offered.iter().map(|content| content.id).collect();
    let ratings = handfast_store::rating::tallies(app.store.read(), RatingSubject::Content, &ids).await?;
    let mean = |id: &Uuid| {
        let mut all = Tally::default();
        ratings.get(id).into_iter().flat_map(BTreeMap::values).for_each(|tally| all.add(tally));
        all.mean_hundredths()
    };
    let mut found: Vec<Match> = vec![];
    for content in offered {
        let seen = seen.contains(content.key.as_str());
        let fit = Fit { persona, stage: journey.lead.stage, seen, mean_hundredths: mean(&content.id) };
        if let Some((points, reasons)) = fit.of(content) {
            found.push(Match { content: content.clone(), points, reasons });
        }
    }
    found.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.content.key.cmp(&b.content.key)));
    found.truncate(limit);
    Ok(found)
}

/// One persona at one stage.
pub struct Cell {
    pub persona: String,
    pub stage: StageKind,
    pub assets: Vec<Arc<ContentAsset>>,
    /// Kinds that the persona wants at the stage and no asset has.
    pub missing_kinds: Vec<String>,
    pub open_requests: i64,
}

impl Cell {
    /// Whether there is nothing at all, or not what the persona wants.
    pub fn gap(&self) -> bool {
        self.assets.is_empty() || !self.missing_kinds.is_empty()
    }
}

/// Every persona of the charter in force at every stage of its funnel from INQUIRY up to OPPORTUNITY.
pub async fn matrix(app: &App) -> Result<Vec<Cell>, Error> {
    let workspace = app.workspace();
    let open = rows::open_requests(app.store.read()).await?;
    let body = &workspace.charter.body;
    let mut stages: Vec<StageKind> = body.stages.iter().map(|stage| stage.kind).collect();
    stages.retain(|stage| (StageKind::Inquiry..=StageKind::Opportunity).contains(stage));
    stages.dedup();
    let mut cells = vec![];
    for persona in &body.personas {
        for stage in &stages {
            let serves = |content: &&Arc<ContentAsset>| {
                content.retired_at.is_none() && content.serves(&persona.key, *stage)
            };
            let assets: Vec<Arc<ContentAsset>> = workspace.contents.iter().filter(serves).cloned().collect();
            let profiles = persona.stage_profiles.iter().filter(|profile| profile.stage == *stage);
            let mut missing_kinds: Vec<String> = profiles.flat_map(|one| one.content_kinds.clone()).collect();
            missing_kinds.retain(|kind| is_key(kind) && !assets.iter().any(|asset| asset.kind == *kind));
            let open_requests = open.get(&(persona.key.clone(), *stage)).copied().unwrap_or(0);
            let (persona, stage) = (persona.key.clone(), *stage);
            cells.push(Cell { persona, stage, assets, missing_kinds, open_requests });
        }
    }
    Ok(cells)
}

/// In how many wins of the last 365 days the lead had seen any number of pieces.
pub async fn influenced(app: &App, contents: &[Arc<ContentAsset>]) -> Result<BTreeMap<Uuid, i64>, Error> {
    let from = app.now().plus(-WINS * DAY);
    Ok(rows::influenced(app.store.reports(), contents, from).await?)
}
