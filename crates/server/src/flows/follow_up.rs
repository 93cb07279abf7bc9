//! Planned follow-ups: sales says what it means to do next with a lead, and calls it off.

use handfast_domain::change::Draft;
use handfast_domain::follow_up::NewFollowUp;
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, Side};
use handfast_store::follow_up as rows;
use uuid::Uuid;

use super::commit::{Ask, Committed, Once, Plan};
use super::lead::{self, Target};
use super::{Error, scope};
use crate::app::App;

/// Plans one. Answers which it is; none with a dry run, and after a repetition the one that was planned then.
pub async fn plan(app: &App, target: &Target<'_>, new: &NewFollowUp) -> Result<Option<Uuid>, Error> {
    let viewer = target.viewer;
    viewer.require(scope::LEADS_WRITE)?;
    viewer.require_side(Side::Sales, "plan a follow-up")?;
    if let Some(answer) = Once::answered(target.once.as_ref(), app).await? {
        return Ok(answer.parse().ok());
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = lead::load(app, target.lead).await?;
        let scene = lead::scene(app, &workspace, viewer.actor(), Cause::Sales, None);
        let mut draft = Draft::new(journey, scene);
        draft.expect_version(target.expected_version)?;
        let planned = match draft.plan_follow_up(new) {
            Ok(planned) => planned,
            Err(refused) => return once_more(app, target.once.as_ref(), refused).await,
        };
        if target.dry_run {
            return Ok(None);
        }
        let plan = Plan { changes: vec![draft.finish()], ..Plan::default() };
        match app.commit(plan, target.once.as_ref(), planned.to_string()).await? {
            Committed::Done => return Ok(Some(planned)),
            Committed::Before(answer) => return Ok(answer.parse().ok()),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, target.lead).await)
}

/// The same request may have been on its way already: what it changed is what this one is refused for.
async fn once_more(app: &App, once: Option<&Once>, refused: Refused) -> Result<Option<Uuid>, Error> {
    match Once::answered(once, app).await? {
        Some(answer) => Ok(answer.parse().ok()),
        None => Err(refused.into()),
    }
}

/// Calls one off, for sales.
pub async fn cancel(app: &App, ask: &Ask<'_>, follow_up: Uuid) -> Result<Uuid, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Sales, "cancel a follow-up")?;
    if Once::answered(ask.once.as_ref(), app).await?.is_some() {
        return Ok(follow_up);
    }
    let absent = || Error::from(Refused::not_found("follow-up").at("input/followUp"));
    let found = rows::find(app.store.read(), follow_up).await?.ok_or_else(absent)?;
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let journey = lead::load(app, found.lead).await?;
        let scene = lead::scene(app, &workspace, ask.viewer.actor(), Cause::Sales, None);
        let mut draft = Draft::new(journey, scene);
        if let Err(refused) = draft.cancel_follow_up(follow_up) {
            return once_more(app, ask.once.as_ref(), refused).await.map(|_| follow_up);
        }
        if ask.dry_run {
            return Ok(follow_up);
        }
        let plan = Plan { changes: vec![draft.finish()], ..Plan::default() };
        match app.commit(plan, ask.once.as_ref(), follow_up.to_string()).await? {
            Committed::Done | Committed::Before(_) => return Ok(follow_up),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, found.lead).await)
}
