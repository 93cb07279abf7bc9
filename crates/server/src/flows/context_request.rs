//! Context requests: sales asks marketing about a lead, marketing answers, and the clocks of both follow.

use handfast_domain::change::Draft;
use handfast_domain::context_request::{ContextAnswer, Question};
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, Side};
use handfast_store::context_request as rows;
use uuid::Uuid;

use super::commit::{Ask, Committed, Once, Plan};
use super::lead::{self, Target};
use super::{Error, scope};
use crate::app::App;

/// Asks marketing. Answers which question it is; none with a dry run, and after a repetition the one that was asked then.
pub async fn request(app: &App, target: &Target<'_>, question: &Question) -> Result<Option<Uuid>, Error> {
    let viewer = target.viewer;
    viewer.require(scope::LEADS_WRITE)?;
    viewer.require_side(Side::Sales, "ask marketing about a lead")?;
    if let Some(answer) = Once::answered(target.once.as_ref(), app).await? {
        return Ok(answer.parse().ok());
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = lead::load(app, target.lead).await?;
        let scene = lead::scene(app, &workspace, viewer.actor(), Cause::Context, None);
        let mut draft = Draft::new(journey, scene);
        draft.expect_version(target.expected_version)?;
        let request = draft.request_context(viewer.id(), question)?;
        if target.dry_run {
            return Ok(None);
        }
        let plan = Plan { changes: vec![draft.finish()], ..Plan::default() };
        match app.commit(plan, target.once.as_ref(), request.to_string()).await? {
            Committed::Done => return Ok(Some(request)),
            Committed::Before(answer) => return Ok(answer.parse().ok()),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, target.lead).await)
}

/// Answers a question, for marketing.
pub async fn answer(app: &App, ask: &Ask<'_>, request: Uuid, text: &str) -> Result<Uuid, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Marketing, "answer what sales asked")?;
    if Once::answered(ask.once.as_ref(), app).await?.is_some() {
        return Ok(request);
    }
    let mut tries = lead::Tries::default();
    let mut of = None;
    while tries.again() {
        let asked = rows::find(app.store.read(), request).await?;
        let asked = asked.ok_or_else(|| Refused::not_found("context request").at("input/contextRequest"))?;
        of = Some(asked.lead);
        let workspace = app.workspace();
        let journey = lead::load(app, asked.lead).await?;
        let scene = lead::scene(app, &workspace, ask.viewer.actor(), Cause::Context, None);
        let answer = ContextAnswer { text: text.to_owned(), user: ask.viewer.id(), at: scene.at };
        let mut draft = Draft::new(journey, scene);
        draft.answer_context(&asked, answer)?;
        if ask.dry_run {
            return Ok(request);
        }
        let plan = Plan { changes: vec![draft.finish()], ..Plan::default() };
        match app.commit(plan, ask.once.as_ref(), request.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(request),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    match of {
        Some(of) => Err(lead::overtaken(app, of).await),
        None => Err(Refused::not_found("context request").at("input/contextRequest").into()),
    }
}
