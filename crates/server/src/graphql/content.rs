//! Content: what there is for whom, what fits a lead, what is missing and asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::{
    ComplexObject, Context, ID, InputObject, Lookahead, MaybeUndefined, Object, SimpleObject,
};
use handfast_domain::content::{
    ContentAsset as Asset, ContentReason, ContentRequest as Asked, ContentRequestStatus,
};
use handfast_domain::digest::Digest;
use handfast_domain::rating::RatingSubject;
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_store::content as store;

use super::directory::User;
use super::inline::Inline;
use super::lead::LeadRef;
use super::page::{Page, PageArgs};
use super::problem::{UserError, coded, failure, payload};
use super::rating::Ratings;
use super::scalar::{Long, global, local};
use super::{app, ask, read_viewer};
use crate::app::App;
use crate::flows::content::{self, Cell, ContentEdit, Looked};
use crate::flows::rating::BySide;
use crate::workspace::Workspace;

/// A piece of content. A touch that names its key shows that the lead has seen it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct ContentAsset {
    pub id: ID,
    #[graphql(skip)]
    row: Arc<Asset>,
    #[graphql(skip)]
    known: Arc<Known>,
}

/// What was read of a page of content together.
#[derive(Debug, Default)]
struct Known {
    uses: Option<BTreeMap<uuid::Uuid, i64>>,
    wins: Option<BTreeMap<uuid::Uuid, i64>>,
    ratings: Option<BTreeMap<uuid::Uuid, BySide>>,
}

impl Known {
    async fn read(app: &App, assets: &[Arc<Asset>], look: Lookahead<'_>) -> async_graphql::Result<Known> {
        let ids: Vec<uuid::Uuid> = assets.iter().map(|asset| asset.id).collect();
        let (db, fault) = (app.store.read(), |error: handfast_store::StoreError| failure(error.into()));
        let mut known = Known::default();
        if look.field("uses").exists() {
            known.uses = Some(store::uses(db, &ids).await.map_err(fault)?);
        }
        if look.field("influencedWins").exists() {
            known.wins = Some(content::influenced(app, assets).await.map_err(failure)?);
        }
        if look.field("ratings").exists() {
            let found = handfast_store::rating::tallies(db, RatingSubject::Content, &ids).await;
            known.ratings = Some(found.map_err(fault)?);
        }
        Ok(known)
    }
}

impl ContentAsset {
    pub fn wrap(row: Arc<Asset>) -> ContentAsset {
        ContentAsset { id: global("ContentAsset", row.id), row, known: Arc::default() }
    }
}

#[ComplexObject]
impl ContentAsset {
    async fn key(&self) -> &str {
        &self.row.key
    }

    async fn title(&self) -> &str {
        &self.row.title
    }

    /// For example `case-study`; personas of the charter name the kinds that help at a stage.
    async fn kind(&self) -> &str {
        &self.row.kind
    }

    /// Where it is found.
    async fn url(&self) -> Option<&str> {
        self.row.url.as_deref()
    }

    /// Keys of the personas that it is for; empty is for all.
    async fn personas(&self) -> &[String] {
        &self.row.personas
    }

    /// Stages at which it helps; empty is at all.
    async fn stages(&self) -> &[StageKind] {
        &self.row.stages
    }

    /// Who made it, of either side.
    async fn contributors(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<User>> {
        let workspace = app(ctx)?.workspace();
        let known = self.row.contributors.iter().filter_map(|id| workspace.directory.user(*id));
        Ok(known.map(User::wrap).collect())
    }

    async fn created_at(&self) -> Instant {
        self.row.created_at
    }

    /// Since when it is offered no more.
    async fn retired_at(&self) -> Option<Instant> {
        self.row.retired_at
    }

    /// How often sales sent it.
    async fn uses(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        let id = self.row.id;
        if let Some(uses) = &self.known.uses {
            return Ok(Long(uses.get(&id).copied().unwrap_or(0)));
        }
        let found = store::uses(app(ctx)?.store.read(), &[id]).await;
        Ok(Long(found.map_err(|error| failure(error.into()))?.get(&id).copied().unwrap_or(0)))
    }

    /// Cycles that were won in the last 365 days after their lead had seen it: by a touch that names its key, or because sales
    /// sent it.
    async fn influenced_wins(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        let id = self.row.id;
        if let Some(wins) = &self.known.wins {
            return Ok(Long(wins.get(&id).copied().unwrap_or(0)));
        }
        let found = content::influenced(app(ctx)?, std::slice::from_ref(&self.row)).await;
        Ok(Long(found.map_err(failure)?.get(&id).copied().unwrap_or(0)))
    }

    /// What people of both sides think of it.
    async fn ratings(&self, ctx: &Context<'_>) -> async_graphql::Result<Ratings> {
        match &self.known.ratings {
            Some(known) => Ok(Ratings::wrap(known.get(&self.row.id).unwrap_or(&BySide::default()))),
            None => Ratings::of(app(ctx)?, RatingSubject::Content, self.row.id).await,
        }
    }
}

/// A look of a lead at content.
#[derive(Clone, SimpleObject)]
pub struct ContentSeen {
    /// Key of the content, as the touch named it.
    key: String,
    /// The content; null for a key that was never registered.
    content: Option<ContentAsset>,
    /// The stage at which the lead stood.
    stage: StageKind,
    /// Whether sales sent it; else it was a touch.
    sent: bool,
    at: Instant,
}

impl ContentSeen {
    /// The newest looks of a lead, for its field.
    pub async fn of(
        app: &App,
        lead: uuid::Uuid,
        stage: Option<StageKind>,
        first: usize,
    ) -> async_graphql::Result<Vec<Inline<ContentSeen>>> {
        let looked = content::seen(app, lead, stage).await.map_err(failure)?;
        let wrap = |Looked { seen, content, stage }| ContentSeen {
            key: seen.key,
            content: content.map(ContentAsset::wrap),
            stage,
            sent: seen.sent,
            at: seen.at,
        };
        Ok(looked.into_iter().take(first).map(wrap).map(Inline).collect())
    }
}

/// A piece of content that fits a lead, and why.
#[derive(Clone, SimpleObject)]
pub struct ContentMatch {
    content: ContentAsset,
    /// 0 to 100, the sum of what the reasons are worth.
    points: i32,
    reasons: Vec<ContentReason>,
}

/// One persona at one stage.
#[derive(Clone, SimpleObject)]
pub struct ContentCell {
    /// Key of the persona.
    persona: String,
    stage: StageKind,
    /// Content for both, retired pieces left out.
    assets: Vec<ContentAsset>,
    /// Whether there is nothing, or not all that the persona wants.
    gap: bool,
    /// Kinds that the persona wants at the stage, by the charter, and that no asset has.
    missing_kinds: Vec<String>,
    /// Requests of sales that nobody has answered.
    open_requests: Long,
}

impl From<Cell> for ContentCell {
    fn from(cell: Cell) -> ContentCell {
        let gap = cell.gap();
        let Cell { persona, stage, assets, missing_kinds, open_requests } = cell;
        let assets = assets.into_iter().map(ContentAsset::wrap).collect();
        ContentCell { persona, stage, assets, gap, missing_kinds, open_requests: Long(open_requests) }
    }
}

/// What sales asked for: content for a persona at a stage, against an objection.
#[derive(Clone, SimpleObject)]
pub struct ContentRequest {
    pub id: ID,
    /// Key of the persona.
    persona: String,
    stage: StageKind,
    /// What buyers object, or want to know.
    objection: String,
    /// Who asked.
    user: Option<User>,
    requested_at: Instant,
    status: ContentRequestStatus,
    /// What fulfils it.
    content: Option<ContentAsset>,
    /// Why there will be none.
    reason: Option<String>,
    /// Who answered.
    closed_by: Option<User>,
    closed_at: Option<Instant>,
}

impl ContentRequest {
    fn wrap(workspace: &Workspace, asked: Asked) -> ContentRequest {
        let user = |id| workspace.directory.user(id).map(User::wrap);
        let content = asked.content.and_then(|id| workspace.content(id));
        ContentRequest {
            id: global("ContentRequest", asked.id),
            persona: asked.persona,
            stage: asked.stage,
            objection: asked.objection,
            user: user(asked.user),
            requested_at: asked.requested_at,
            status: asked.status,
            content: content.cloned().map(ContentAsset::wrap),
            reason: asked.reason,
            closed_by: asked.closed_by.and_then(user),
            closed_at: asked.closed_at,
        }
    }
}

#[derive(Default)]
pub struct ContentQuery;

#[Object]
impl ContentQuery {
    /// One piece of content by id or key; null if there is none.
    async fn content_asset(
        &self,
        ctx: &Context<'_>,
        id: Option<ID>,
        key: Option<String>,
    ) -> async_graphql::Result<Option<ContentAsset>> {
        read_viewer(ctx)?;
        let workspace = app(ctx)?.workspace();
        let found = match (id, key) {
            (Some(id), None) => {
                let id = local("ContentAsset", &id, "id").map_err(|refused| failure(refused.into()))?;
                workspace.content(id)
            }
            (None, Some(key)) => workspace.content_by_key(&key),
            _ => return Err(coded("VALIDATION", "give id or key: one of them names the content", false)),
        };
        Ok(found.cloned().map(ContentAsset::wrap))
    }

    /// All content, the newest first; retired pieces only if they are asked for.
    async fn content_assets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Also those that are offered no more.", default)] retired: bool,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<ContentAsset>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &("content", retired));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "created", digest)?;
        let place = |asset: &Arc<Asset>| (asset.created_at.ms(), asset.id);
        let mut rows = app.workspace().contents.clone();
        rows.retain(|asset| retired || asset.retired_at.is_none());
        rows.retain(|asset| window.from.is_none_or(|from| place(asset) < from));
        rows.sort_by_key(|asset| std::cmp::Reverse(place(asset)));
        rows.truncate(usize::try_from(window.limit).unwrap_or(0));
        let look = ctx.look_ahead().field("edges").field("node");
        let known = Arc::new(Known::read(app, &rows, look).await?);
        Ok(window
            .page(app, rows, place, |row| ContentAsset { known: known.clone(), ..ContentAsset::wrap(row) }))
    }

    /// What fits a lead where it stands, the best first, each with its reasons: made for its persona and stage, of a kind that the
    /// persona wants, not seen yet, well rated. What is made for others is left out.
    async fn content_for(
        &self,
        ctx: &Context<'_>,
        lead: LeadRef,
        #[graphql(desc = "1 to 50", default = 10)] first: i32,
    ) -> async_graphql::Result<Vec<ContentMatch>> {
        read_viewer(ctx)?;
        let first = usize::try_from(super::bounded("first", first, 50)?).unwrap_or(0);
        let app = app(ctx)?;
        let key = lead.key().map_err(|refused| failure(refused.into()))?;
        let id = crate::flows::lead::find(app, &key).await.map_err(failure)?;
        let found = content::matches(app, id, first).await.map_err(failure)?;
        let rows: Vec<Arc<Asset>> = found.iter().map(|one| one.content.clone()).collect();
        let known = Arc::new(Known::read(app, &rows, ctx.look_ahead().field("content")).await?);
        let wrap = |one: content::Match| ContentMatch {
            content: ContentAsset { known: known.clone(), ..ContentAsset::wrap(one.content) },
            points: super::small(one.points),
            reasons: one.reasons,
        };
        Ok(found.into_iter().map(wrap).collect())
    }

    /// Every persona of the charter in force at every stage from INQUIRY up to OPPORTUNITY: what there is, and where the gaps are.
    async fn content_matrix(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ContentCell>> {
        read_viewer(ctx)?;
        let cells = content::matrix(app(ctx)?).await.map_err(failure)?;
        Ok(cells.into_iter().map(ContentCell::from).collect())
    }

    /// What sales asked for, the newest first. All given conditions hold together.
    async fn content_requests(
        &self,
        ctx: &Context<'_>,
        status: Option<ContentRequestStatus>,
        #[graphql(desc = "Key of a persona.")] persona: Option<String>,
        stage: Option<StageKind>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<ContentRequest>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &(status, &persona, stage));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "requested", digest)?;
        let (from, limit) = (window.from, window.limit);
        let rows = store::requests(app.store.read(), status, persona.as_deref(), stage, from, limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let workspace = app.workspace();
        let place = |asked: &Asked| (asked.requested_at.ms(), asked.id);
        Ok(window.page(app, rows, place, |asked| ContentRequest::wrap(&workspace, asked)))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct RegisterContentInput {
    /// Unique; touches name the content by it.
    key: String,
    title: String,
    /// A key, for example `case-study`.
    kind: String,
    /// An address of the web.
    url: Option<String>,
    /// Keys of the personas that it is for; all without.
    personas: Option<Vec<String>>,
    /// Stages at which it helps; all without.
    stages: Option<Vec<StageKind>>,
    /// Keys of the users who made it, of either side.
    contributors: Option<Vec<String>>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

/// What changes; what is left out stays. The key stays for good, since touches have named it.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateContentInput {
    content: ID,
    title: Option<String>,
    /// A key, for example `case-study`.
    kind: Option<String>,
    /// An address of the web; null takes it away.
    url: MaybeUndefined<String>,
    /// Keys of the personas that it is for; an empty list is for all.
    personas: Option<Vec<String>>,
    /// Stages at which it helps; an empty list is at all.
    stages: Option<Vec<StageKind>>,
    /// Keys of the users who made it, of either side.
    contributors: Option<Vec<String>>,
    /// True: it is offered no more. False: it is offered again.
    retired: Option<bool>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RequestContentInput {
    /// Key of a persona of the charter in force.
    persona: String,
    stage: StageKind,
    /// What buyers object, or want to know, in 1 to 1000 characters. Name no buyer.
    objection: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct FulfilContentRequestInput {
    /// One that is open.
    request: ID,
    /// What fulfils it. Who asked becomes one of its contributors.
    content: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct DeclineContentRequestInput {
    /// One that is open.
    request: ID,
    /// Why there will be none, in 1 to 1000 characters.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordContentUseInput {
    lead: LeadRef,
    /// What was sent.
    content: ID,
    /// When; now without.
    at: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct ContentPayload {
    /// The content as it is now; null when it was refused.
    content: Option<ContentAsset>,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct ContentRequestPayload {
    /// The request as it is now; null when it was refused.
    request: Option<ContentRequest>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ContentMutation;

#[Object]
impl ContentMutation {
    /// Marketing registers a piece of content, for whom and when it helps. A workspace keeps up to 1000.
    async fn register_content(
        &self,
        ctx: &Context<'_>,
        input: RegisterContentInput,
    ) -> async_graphql::Result<ContentPayload> {
        let said =
            format!("{:?}", RegisterContentInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let RegisterContentInput {
            key,
            title,
            kind,
            url,
            personas,
            stages,
            contributors,
            idempotency_key,
            dry_run,
        } = input;
        let ask = ask(ctx, "registerContent", idempotency_key, dry_run, &said)?;
        let new = ContentEdit {
            title: Some(title),
            kind: Some(kind),
            url: Some(url),
            personas,
            stages,
            contributors,
            retired: None,
        };
        answer(content::register(app(ctx)?, &ask, key, new).await)
    }

    /// Edits a piece of content, retires it or offers it again.
    async fn update_content(
        &self,
        ctx: &Context<'_>,
        input: UpdateContentInput,
    ) -> async_graphql::Result<ContentPayload> {
        let said =
            format!("{:?}", UpdateContentInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let UpdateContentInput {
            content: id,
            title,
            kind,
            url,
            personas,
            stages,
            contributors,
            retired,
            idempotency_key,
            dry_run,
        } = input;
        let ask = ask(ctx, "updateContent", idempotency_key, dry_run, &said)?;
        let url = match url {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(url) => Some(Some(url)),
        };
        let edit = ContentEdit { title, kind, url, personas, stages, contributors, retired };
        match local("ContentAsset", &id, "input/content") {
            Ok(id) => answer(content::update(app(ctx)?, &ask, id, edit).await),
            Err(refused) => answer(Err(refused.into())),
        }
    }

    /// Sales asks for content that is missing for a persona at a stage.
    async fn request_content(
        &self,
        ctx: &Context<'_>,
        input: RequestContentInput,
    ) -> async_graphql::Result<ContentRequestPayload> {
        let RequestContentInput { persona, stage, objection, idempotency_key, dry_run } = input;
        let asked = (&persona, stage, &objection);
        let ask = ask(ctx, "requestContent", idempotency_key, dry_run, &asked)?;
        requested(ctx, content::request(app(ctx)?, &ask, persona, stage, &objection).await)
    }

    /// Marketing says which content fulfils a request.
    async fn fulfil_content_request(
        &self,
        ctx: &Context<'_>,
        input: FulfilContentRequestInput,
    ) -> async_graphql::Result<ContentRequestPayload> {
        let FulfilContentRequestInput { request, content: id, idempotency_key, dry_run } = input;
        let asked = (&request.0, &id.0);
        let ask = ask(ctx, "fulfilContentRequest", idempotency_key, dry_run, &asked)?;
        let ids = local("ContentRequest", &request, "input/request");
        let ids = ids.and_then(|request| Ok((request, local("ContentAsset", &id, "input/content")?)));
        match ids {
            Ok((request, id)) => {
                requested(ctx, content::close_request(app(ctx)?, &ask, request, Ok(id)).await)
            }
            Err(refused) => requested(ctx, Err(refused.into())),
        }
    }

    /// Marketing says why there will be no content for a request.
    async fn decline_content_request(
        &self,
        ctx: &Context<'_>,
        input: DeclineContentRequestInput,
    ) -> async_graphql::Result<ContentRequestPayload> {
        let DeclineContentRequestInput { request, reason, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "declineContentRequest", idempotency_key, dry_run, &(&request.0, &reason))?;
        match local("ContentRequest", &request, "input/request") {
            Ok(request) => {
                requested(ctx, content::close_request(app(ctx)?, &ask, request, Err(reason)).await)
            }
            Err(refused) => requested(ctx, Err(refused.into())),
        }
    }

    /// Notes that sales sent a lead a piece of content: the lead has seen it from then on.
    async fn record_content_use(
        &self,
        ctx: &Context<'_>,
        input: RecordContentUseInput,
    ) -> async_graphql::Result<ContentPayload> {
        let RecordContentUseInput { lead, content: id, at, idempotency_key, dry_run } = input;
        let asked = (format!("{lead:?}"), &id.0, at);
        let ask = ask(ctx, "recordContentUse", idempotency_key, dry_run, &asked)?;
        answer(sent(app(ctx)?, &ask, &lead, &id, at).await.map(|content| (*content).clone()))
    }
}

async fn sent(
    app: &App,
    ask: &crate::flows::commit::Ask<'_>,
    lead: &LeadRef,
    content: &ID,
    at: Option<Instant>,
) -> Result<Arc<Asset>, crate::flows::Error> {
    // Whoever may not write learns nothing of leads.
    ask.viewer.require(crate::flows::scope::LEADS_WRITE)?;
    ask.viewer.require_side(handfast_domain::stage::Side::Sales, "record what was sent")?;
    let content = local("ContentAsset", content, "input/content")?;
    let lead = crate::flows::lead::find(app, &lead.key()?).await?;
    content::record_use(app, ask, lead, content, at).await
}

fn answer(done: Result<Asset, crate::flows::Error>) -> async_graphql::Result<ContentPayload> {
    let (content, errors) = payload(done)?;
    Ok(ContentPayload { content: content.map(Arc::new).map(ContentAsset::wrap), errors })
}

fn requested(
    ctx: &Context<'_>,
    done: Result<Asked, crate::flows::Error>,
) -> async_graphql::Result<ContentRequestPayload> {
    let (asked, errors) = payload(done)?;
    let workspace = app(ctx)?.workspace();
    Ok(ContentRequestPayload { request: asked.map(|asked| ContentRequest::wrap(&workspace, asked)), errors })
}
