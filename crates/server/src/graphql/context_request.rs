//! Questions of sales about a lead, and marketing's answers.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::context_request::{ContextRequest as Asked, ContextState, ContextTopic, Question};
use handfast_domain::digest::Digest;
use handfast_domain::time::Instant;
use handfast_store::context_request as store;

use super::directory::User;
use super::inline::Inline;
use super::lead::{Lead, lead_by, want};
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::scalar::{Long, global, local};
use super::work::LeadTarget;
use super::{app, ask, once, read_viewer, viewer};
use crate::flows::window::Window;
use crate::flows::{context_request, scope};
use crate::workspace::Workspace;

/// Something that sales must know about a lead before it can go on. It runs on marketing's time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct ContextRequest {
    pub id: ID,
    state: ContextState,
    /// The part of the packet that is missing.
    topic: ContextTopic,
    /// Path of the catalogue's field that is missing, if it is one.
    field: Option<String>,
    /// In the words of whoever asked.
    question: String,
    /// Null for somebody who is no longer known.
    asked_by: Option<Inline<User>>,
    asked_at: Instant,
    /// What marketing said; null while it owes the answer.
    answer: Option<String>,
    answered_by: Option<Inline<User>>,
    answered_at: Option<Instant>,
    cycle: i32,
    /// The hand-off that it is about.
    handoff_id: Option<ID>,
    lead_id: ID,
    #[graphql(skip)]
    lead: uuid::Uuid,
}

impl ContextRequest {
    pub fn wrap(workspace: &Workspace, asked: Asked) -> ContextRequest {
        let user = |id| workspace.directory.user(id).map(User::wrap).map(Inline);
        ContextRequest {
            id: global("ContextRequest", asked.id),
            state: asked.state(),
            topic: asked.topic,
            field: asked.field,
            question: asked.question,
            asked_by: user(asked.asked_by),
            asked_at: asked.asked_at,
            answered_by: asked.answer.as_ref().and_then(|answer| user(answer.user)),
            answered_at: asked.answer.as_ref().map(|answer| answer.at),
            answer: asked.answer.map(|answer| answer.text),
            cycle: super::small(asked.cycle),
            handoff_id: asked.handoff.map(|id| global("Handoff", id)),
            lead_id: global("Lead", asked.lead),
            lead: asked.lead,
        }
    }
}

#[ComplexObject]
impl ContextRequest {
    /// The lead as it is now.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        lead_by(app(ctx)?, self.lead, &want(ctx.look_ahead())).await
    }
}

/// What sales asks for most, and how fast it gets it.
#[derive(SimpleObject)]
pub struct RequestedContext {
    /// The part of the packet.
    topic: ContextTopic,
    /// Path of a field of the catalogue, for questions that named one.
    field: Option<String>,
    /// Questions in the window.
    count: Long,
    /// Of these: answered by now.
    answered: Long,
    /// From question to answer, the mean of those that were answered, in milliseconds of wall-clock time.
    mean_answer_ms: Option<Long>,
}

#[derive(Default)]
pub struct ContextRequestQuery;

#[Object]
impl ContextRequestQuery {
    /// What sales asked marketing, the newest first.
    async fn context_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "OPEN are those that marketing owes an answer.")] state: Option<ContextState>,
        topic: Option<ContextTopic>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<ContextRequest>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &(state.map(|one| one.as_str()), topic.map(|one| one.as_str())));
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "asked", digest)?;
        let rows = store::page(app.store.read(), state, topic, window.from, window.limit).await;
        let rows = rows.map_err(|error| failure(error.into()))?;
        let workspace = app.workspace();
        let place = |asked: &Asked| (asked.asked_at.ms(), asked.id);
        Ok(window.page(app, rows, place, |asked| ContextRequest::wrap(&workspace, asked)))
    }

    /// What sales asks for most: what a packet should hold next time. The last 30 days without a window.
    async fn most_requested_context(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Questions from then on; the last 30 days without.")] from: Option<Instant>,
        #[graphql(desc = "Questions before then; up to now without.")] to: Option<Instant>,
        #[graphql(desc = "1 to 50", default = 10)] first: i32,
    ) -> async_graphql::Result<Vec<RequestedContext>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let first = super::bounded("first", first, 50)?;
        let Window { from, to } = Window::new(app, from, to).map_err(|refused| failure(refused.into()))?;
        let found = store::most_requested(app.store.read(), from, to, first).await;
        let wrap = |one: store::Asked| RequestedContext {
            topic: one.topic,
            field: one.field,
            count: Long(one.count),
            answered: Long(one.answered),
            mean_answer_ms: one.mean_ms.map(Long),
        };
        Ok(found.map_err(|error| failure(error.into()))?.into_iter().map(wrap).collect())
    }
}

/// What sales has to know.
#[derive(Clone, Debug, InputObject)]
pub struct QuestionInput {
    /// The part of the packet that is missing.
    topic: ContextTopic,
    /// Path of the catalogue's field that is missing, if it is one: `company.employees`, `traits.<key>`.
    field: Option<String>,
    /// The question, in 1 to 2000 characters; it stays out of the log of events.
    question: String,
}

impl QuestionInput {
    pub fn read(self) -> Question {
        let QuestionInput { topic, field, question } = self;
        Question { topic, field, text: question }
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct RequestContextInput {
    #[graphql(flatten)]
    target: LeadTarget,
    #[graphql(flatten)]
    question: QuestionInput,
}

#[derive(Clone, Debug, InputObject)]
pub struct AnswerContextInput {
    /// A question that is open.
    context_request: ID,
    /// What sales wants to know, in 1 to 2000 characters.
    answer: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct ContextRequestPayload {
    /// The question as it is now; null when it was refused or only tried, or when your token may not read leads.
    context_request: Option<ContextRequest>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ContextRequestMutation;

#[Object]
impl ContextRequestMutation {
    /// Asks marketing about a lead that you have, or that waits in a queue of your team. Your clocks stop as far as the charter
    /// lets them; marketing's clock CONTEXT starts. At most ten questions about a lead wait at the same time.
    async fn request_context(
        &self,
        ctx: &Context<'_>,
        input: RequestContextInput,
    ) -> async_graphql::Result<ContextRequestPayload> {
        let RequestContextInput { target, question } = input;
        let (app, viewer) = (app(ctx)?, viewer(ctx)?);
        let arguments = ctx.field().arguments().unwrap_or_default();
        let once = once(ctx, "requestContext", target.idempotency_key.clone(), &arguments)?;
        let result = async {
            let target = target.find(app, viewer, scope::LEADS_WRITE, once).await?;
            context_request::request(app, &target, &question.read()).await
        };
        let (request, errors) = payload(result.await)?;
        answered(ctx, request.flatten(), errors).await
    }

    /// Marketing answers a question of sales. With the last answer sales' clocks run again.
    async fn answer_context(
        &self,
        ctx: &Context<'_>,
        input: AnswerContextInput,
    ) -> async_graphql::Result<ContextRequestPayload> {
        let AnswerContextInput { context_request: request, answer, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "answerContext", idempotency_key, dry_run, &(&request.0, &answer))?;
        let request = local("ContextRequest", &request, "input/contextRequest");
        let request = request.map_err(|refused| failure(refused.into()))?;
        let (request, errors) = payload(context_request::answer(app(ctx)?, &ask, request, &answer).await)?;
        answered(ctx, request, errors).await
    }
}

async fn answered(
    ctx: &Context<'_>,
    request: Option<uuid::Uuid>,
    errors: Vec<UserError>,
) -> async_graphql::Result<ContextRequestPayload> {
    let Some(request) = request.filter(|_| viewer(ctx).is_ok_and(|viewer| viewer.may(scope::LEADS_READ)))
    else {
        return Ok(ContextRequestPayload { context_request: None, errors });
    };
    let app = app(ctx)?;
    let found = store::find(app.store.read(), request).await.map_err(|error| failure(error.into()))?;
    let workspace = app.workspace();
    let context_request = found.map(|one| ContextRequest::wrap(&workspace, one));
    Ok(ContextRequestPayload { context_request, errors })
}
