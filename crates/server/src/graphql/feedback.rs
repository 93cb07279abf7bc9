//! Feedback of one side to the other, how it was answered, and what it caused.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, OneofObject, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::feedback::{
    Effect, EffectKind, Feedback as Told, FeedbackKind, FeedbackStatus, FeedbackSubject, Named,
};
use handfast_domain::persona::Persona;
use handfast_domain::refused::Refused;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::feedback::{self as store, FeedbackFilter};

use super::campaign::Campaign;
use super::content::ContentAsset;
use super::directory::User;
use super::lead::{Clock, Lead, lead_by, want};
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::scalar::{Uuid, global, local};
use super::{app, ask, read_viewer};
use crate::app::App;
use crate::flows::feedback::{self, About, Caused, NewFeedback};
use crate::workspace::Workspace;

mod event;

pub use event::FeedbackSubscription;

/// What one side tells the other. The receiving side owes an acknowledgement in the time that the charter names, and an answer.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Feedback {
    pub id: ID,
    uuid: Uuid,
    /// The side that gave it.
    from: Side,
    /// The side that owes an answer.
    to: Side,
    /// Who gave it; null for somebody who is no longer known.
    user: Option<User>,
    kind: FeedbackKind,
    /// What it is about; null: the work of the two sides in general.
    about: Option<FeedbackAbout>,
    /// Keys to find it by, in their order.
    tags: Vec<String>,
    /// The words of whoever gave it.
    text: String,
    posted_at: Instant,
    status: FeedbackStatus,
    /// Who of the receiving side read it first.
    acknowledged_by: Option<User>,
    acknowledged_at: Option<Instant>,
    /// Who of the receiving side acted on it or declined it.
    closed_by: Option<User>,
    closed_at: Option<Instant>,
    /// What was done, or why nothing is.
    answer: Option<String>,
    /// The receiver's promise to acknowledge it; null where the charter in force at the time had none.
    clock: Option<Clock>,
    #[graphql(skip)]
    own: uuid::Uuid,
    #[graphql(skip)]
    effects: Option<Arc<Vec<Effect>>>,
}

/// What feedback is about.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct FeedbackAbout {
    kind: FeedbackSubject,
    /// Id of the lead, campaign or content, key of the persona, or sha-256 of the version.
    key: String,
}

/// What feedback caused.
#[derive(Clone, SimpleObject)]
pub struct FeedbackEffect {
    kind: EffectKind,
    /// Global id of the audience, content, campaign, form or deployment, or number of the charter.
    key: String,
    /// Who said so.
    user: Option<User>,
    at: Instant,
}

fn person(workspace: &Workspace, id: uuid::Uuid) -> Option<User> {
    workspace.directory.user(id).map(User::wrap)
}

impl Feedback {
    pub fn wrap(workspace: &Workspace, told: Told) -> Feedback {
        let clock = told.clock.as_ref().map(Clock::wrap);
        let by = |answered: Option<handfast_domain::feedback::Answered>| {
            (answered.and_then(|one| person(workspace, one.user)), answered.map(|one| one.at))
        };
        let (acknowledged_by, acknowledged_at) = by(told.acknowledged);
        let (closed_by, closed_at) = by(told.closed);
        Feedback {
            id: global("Feedback", told.id),
            uuid: Uuid(told.id),
            from: told.from,
            to: told.to,
            user: person(workspace, told.user),
            kind: told.kind,
            about: told.about.map(|Named { kind, key }| FeedbackAbout { kind, key }),
            tags: told.tags,
            text: told.text,
            posted_at: told.posted_at,
            status: told.status,
            acknowledged_by,
            acknowledged_at,
            closed_by,
            closed_at,
            answer: told.answer,
            clock,
            own: told.id,
            effects: None,
        }
    }
}

#[ComplexObject]
impl Feedback {
    /// What it caused, the oldest first.
    async fn effects(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<FeedbackEffect>> {
        let app = app(ctx)?;
        let effects = match &self.effects {
            Some(effects) => effects.clone(),
            None => {
                let mut found = effects(app, &[self.own]).await?;
                Arc::new(found.remove(&self.own).unwrap_or_default())
            }
        };
        let workspace = app.workspace();
        let wrap = |effect: &Effect| FeedbackEffect {
            kind: effect.of.kind,
            key: effect_key(&effect.of),
            user: person(&workspace, effect.user),
            at: effect.at,
        };
        Ok(effects.iter().map(wrap).collect())
    }
}

async fn effects(app: &App, ids: &[uuid::Uuid]) -> async_graphql::Result<BTreeMap<uuid::Uuid, Vec<Effect>>> {
    store::effects(app.store.read(), ids).await.map_err(|error| failure(error.into()))
}

/// The global id of what was caused; a charter has its number.
fn effect_key(of: &Named<EffectKind>) -> String {
    let kind = match of.kind {
        EffectKind::Audience => "Audience",
        EffectKind::Content => "ContentAsset",
        EffectKind::Campaign => "Campaign",
        EffectKind::Form => "FormDefinition",
        EffectKind::Deployment => "Deployment",
        EffectKind::Charter => return of.key.clone(),
    };
    uuid::Uuid::try_parse(&of.key).map_or_else(|_| of.key.clone(), |id| global(kind, id).0)
}

#[ComplexObject]
impl FeedbackAbout {
    /// The lead, if it is about one.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        read_viewer(ctx)?;
        match self.id_of(FeedbackSubject::Lead) {
            Some(id) => lead_by(app(ctx)?, id, &want(ctx.look_ahead())).await,
            None => Ok(None),
        }
    }

    /// The campaign, if it is about one.
    async fn campaign(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Campaign>> {
        let workspace = app(ctx)?.workspace();
        let id = self.id_of(FeedbackSubject::Campaign);
        Ok(id.and_then(|id| workspace.campaign(id)).cloned().map(Campaign::wrap))
    }

    /// The content, if it is about some.
    async fn content(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ContentAsset>> {
        let workspace = app(ctx)?.workspace();
        let id = self.id_of(FeedbackSubject::Content);
        Ok(id.and_then(|id| workspace.content(id)).cloned().map(ContentAsset::wrap))
    }

    /// The persona, if it is about one of the charter in force.
    async fn persona(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Persona>> {
        let workspace = app(ctx)?.workspace();
        let mut personas = workspace.charter.body.personas.iter();
        let own = self.kind == FeedbackSubject::Persona;
        Ok(personas.find(|persona| own && persona.key == self.key).cloned())
    }
}

impl FeedbackAbout {
    fn id_of(&self, kind: FeedbackSubject) -> Option<uuid::Uuid> {
        (self.kind == kind).then(|| uuid::Uuid::try_parse(&self.key).ok()).flatten()
    }
}

/// Exactly one thing that feedback is about.
#[derive(Clone, Debug, OneofObject)]
pub enum FeedbackAboutInput {
    Lead(ID),
    Campaign(ID),
    Content(ID),
    /// Key of a persona of the charter in force.
    Persona(String),
    /// sha-256 of a version.
    PluginVersion(Digest),
}

impl FeedbackAboutInput {
    fn read(&self, path: &str) -> Result<About, Refused> {
        Ok(match self {
            FeedbackAboutInput::Lead(id) => About::Lead(local("Lead", id, path)?),
            FeedbackAboutInput::Campaign(id) => About::Campaign(local("Campaign", id, path)?),
            FeedbackAboutInput::Content(id) => About::Content(local("ContentAsset", id, path)?),
            FeedbackAboutInput::Persona(key) => About::Persona(key.clone()),
            FeedbackAboutInput::PluginVersion(digest) => About::PluginVersion(*digest),
        })
    }
}

/// Exactly one thing that feedback caused.
#[derive(Clone, Debug, OneofObject)]
pub enum FeedbackEffectInput {
    /// One that was made or revised.
    Audience(ID),
    /// One that asks something else.
    Form(ID),
    Content(ID),
    Campaign(ID),
    /// One that was started or ended.
    Deployment(ID),
    /// Number of the charter.
    Charter(u32),
}

impl FeedbackEffectInput {
    fn read(&self) -> Result<Caused, Refused> {
        let path = "input/effect";
        Ok(match self {
            FeedbackEffectInput::Audience(id) => Caused::Audience(local("Audience", id, path)?),
            FeedbackEffectInput::Form(id) => Caused::Form(local("FormDefinition", id, path)?),
            FeedbackEffectInput::Content(id) => Caused::Content(local("ContentAsset", id, path)?),
            FeedbackEffectInput::Campaign(id) => Caused::Campaign(local("Campaign", id, path)?),
            FeedbackEffectInput::Deployment(id) => Caused::Deployment(local("Deployment", id, path)?),
            FeedbackEffectInput::Charter(number) => Caused::Charter(*number),
        })
    }
}

#[derive(Default)]
pub struct FeedbackQuery;

#[Object]
impl FeedbackQuery {
    /// Feedback of both sides, the newest first. All given conditions hold together.
    #[expect(clippy::too_many_arguments, reason = "each is a condition of its own")]
    async fn feedback(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The side that owes an answer.")] side: Option<Side>,
        status: Option<FeedbackStatus>,
        kind: Option<FeedbackKind>,
        about: Option<FeedbackAboutInput>,
        #[graphql(desc = "One of its tags, exactly.")] tag: Option<String>,
        #[graphql(desc = "Only what is open although its acknowledgement was due.", default)] overdue: bool,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<Feedback>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let about = about.map(|about| about.read("about").map(|about| about.named())).transpose();
        let about = about.map_err(|refused| failure(refused.into()))?;
        let asked = (side, status, kind, &about, &tag, overdue);
        let digest = Digest::of("filter", 1, &format!("{asked:?}"));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "posted", digest)?;
        let overdue = overdue.then(|| app.now());
        let filter = FeedbackFilter { to: side, status, kind, about, tag, overdue };
        let rows = store::page(app.store.read(), &filter, window.from, window.limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let mut caused = BTreeMap::new();
        let asks = ctx.look_ahead().field("edges").field("node").field("effects").exists();
        if asks && !rows.is_empty() {
            caused = effects(app, &rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
        }
        let workspace = app.workspace();
        let place = |row: &Told| (row.posted_at.ms(), row.id);
        Ok(window.page(app, rows, place, |row| {
            let effects = asks.then(|| Arc::new(caused.remove(&row.id).unwrap_or_default()));
            Feedback { effects, ..Feedback::wrap(&workspace, row) }
        }))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct PostFeedbackInput {
    kind: FeedbackKind,
    /// Null: the work of the two sides in general. WORKS and PROBLEM are about something.
    about: Option<FeedbackAboutInput>,
    /// At most 10 keys to find it by.
    tags: Option<Vec<String>>,
    /// 1 to 2000 characters.
    text: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct AcknowledgeFeedbackInput {
    /// Open, and given to your side.
    feedback: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ActOnFeedbackInput {
    /// Given to your side, and not answered yet.
    feedback: ID,
    /// What was done, in 1 to 2000 characters.
    text: Option<String>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct DeclineFeedbackInput {
    /// Given to your side, and not answered yet.
    feedback: ID,
    /// Why nothing is done about it, in 1 to 2000 characters.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct LinkEffectInput {
    /// One that was not declined.
    feedback: ID,
    effect: FeedbackEffectInput,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct FeedbackPayload {
    /// The feedback as it is now; null when it was refused.
    feedback: Option<Feedback>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct FeedbackMutation;

#[Object]
impl FeedbackMutation {
    /// Tells the other side something. It owes an acknowledgement in the time that the charter names.
    async fn post_feedback(
        &self,
        ctx: &Context<'_>,
        input: PostFeedbackInput,
    ) -> async_graphql::Result<FeedbackPayload> {
        let PostFeedbackInput { kind, about, tags, text, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "postFeedback", idempotency_key, dry_run, &(kind, &about, &tags, &text))?;
        let posted = match about.map(|about| about.read("input/about")).transpose() {
            Ok(about) => {
                let new = NewFeedback { kind, about, tags: tags.unwrap_or_default(), text };
                feedback::post(app(ctx)?, &ask, new).await
            }
            Err(refused) => Err(refused.into()),
        };
        answer(ctx, posted)
    }

    /// Says that your side has read it, which keeps its promise.
    async fn acknowledge_feedback(
        &self,
        ctx: &Context<'_>,
        input: AcknowledgeFeedbackInput,
    ) -> async_graphql::Result<FeedbackPayload> {
        let AcknowledgeFeedbackInput { feedback: id, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "acknowledgeFeedback", idempotency_key, dry_run, &id.0)?;
        let id = read(&id)?;
        answer(ctx, feedback::acknowledge(app(ctx)?, &ask, id).await)
    }

    /// Says that your side did something about it. Link what it caused by linkEffect.
    async fn act_on_feedback(
        &self,
        ctx: &Context<'_>,
        input: ActOnFeedbackInput,
    ) -> async_graphql::Result<FeedbackPayload> {
        let ActOnFeedbackInput { feedback: id, text, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "actOnFeedback", idempotency_key, dry_run, &(&id.0, &text))?;
        let id = read(&id)?;
        answer(ctx, feedback::close(app(ctx)?, &ask, id, FeedbackStatus::Acted, text).await)
    }

    /// Says why your side does nothing about it.
    async fn decline_feedback(
        &self,
        ctx: &Context<'_>,
        input: DeclineFeedbackInput,
    ) -> async_graphql::Result<FeedbackPayload> {
        let DeclineFeedbackInput { feedback: id, reason, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "declineFeedback", idempotency_key, dry_run, &(&id.0, &reason))?;
        let id = read(&id)?;
        answer(ctx, feedback::close(app(ctx)?, &ask, id, FeedbackStatus::Declined, Some(reason)).await)
    }

    /// Says what feedback caused. The same effect twice is one.
    async fn link_effect(
        &self,
        ctx: &Context<'_>,
        input: LinkEffectInput,
    ) -> async_graphql::Result<FeedbackPayload> {
        let LinkEffectInput { feedback: id, effect, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "linkEffect", idempotency_key, dry_run, &(&id.0, &effect))?;
        let id = read(&id)?;
        let linked = match effect.read() {
            Ok(caused) => feedback::link(app(ctx)?, &ask, id, caused).await,
            Err(refused) => Err(refused.into()),
        };
        answer(ctx, linked)
    }
}

fn read(id: &ID) -> async_graphql::Result<uuid::Uuid> {
    local("Feedback", id, "input/feedback").map_err(|refused| failure(refused.into()))
}

fn answer(
    ctx: &Context<'_>,
    done: Result<Told, crate::flows::Error>,
) -> async_graphql::Result<FeedbackPayload> {
    let (told, errors) = payload(done)?;
    let workspace = app(ctx)?.workspace();
    Ok(FeedbackPayload { feedback: told.map(|told| Feedback::wrap(&workspace, told)), errors })
}
