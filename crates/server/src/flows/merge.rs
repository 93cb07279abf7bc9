//! Merging: two leads that are one person become one, with everything that was known of either.

use handfast_domain::change::Draft;
use handfast_domain::merge::{check, survivor};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::stage::{Cause, Side, StageKind};
use handfast_store::merge as rows;
use uuid::Uuid;

use super::commit::{Ask, Committed, Once, Plan};
use super::evaluate::{self, Look};
use super::{Error, Viewer, lead, scope};
use crate::app::App;

/// Which of two leads went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    pub lead: Uuid,
    pub duplicate: Uuid,
}

/// Makes two leads one; the older one goes on. The rules look at it afterwards, if it is theirs to decide.
pub async fn merge(app: &App, ask: &Ask<'_>, one: Uuid, other: Uuid) -> Result<Merged, Error> {
    may(ask.viewer)?;
    if let Some(answer) = Once::answered(ask.once.as_ref(), app).await? {
        return read_answer(&answer);
    }
    let mut tries = lead::Tries::default();
    while tries.again() {
        let workspace = app.workspace();
        let (one, other) = (lead::load(app, one).await?, lead::load(app, other).await?);
        let (kept, gone) = survivor(&one, &other);
        check(kept, gone)?;
        if gone.is_open() && gone.lead.stage >= StageKind::Sal {
            ask.viewer.require_side(Side::Sales, "merge a lead that sales accepted")?;
        }
        let merged = Merged { lead: kept.lead.id, duplicate: gone.lead.id };
        let scene = lead::scene(app, &workspace, ask.viewer.actor(), Cause::Merge, None);
        let mut duplicate = Draft::new(gone.clone(), scene);
        duplicate.merge_into(merged.lead);
        let mut draft = Draft::new(kept.clone(), scene);
        draft.take_over(gone)?;
        let reached = draft.journey.lead.stage;
        let mut plan = Plan { merged: vec![(merged.duplicate, merged.lead)], ..Plan::default() };
        plan.changes.extend([duplicate.finish(), draft.finish()]);
        for earlier in rows::duplicates(app.store.read(), merged.duplicate).await? {
            let mut draft = Draft::new(lead::load(app, earlier).await?, scene);
            draft.merge_further(merged.lead);
            plan.changes.push(draft.finish());
        }
        if ask.dry_run {
            return Ok(merged);
        }
        let answer = format!("{} {}", merged.lead, merged.duplicate);
        match app.commit(plan, ask.once.as_ref(), answer).await? {
            Committed::Done => {
                if reached < StageKind::Mql {
                    look_again(app, merged.lead).await;
                }
                return Ok(merged);
            }
            Committed::Before(answer) => return read_answer(&answer),
            Committed::Overtaken(by) => tries.overtaken(&by),
        }
    }
    Err(lead::overtaken(app, one).await)
}

/// The merge stands, whatever becomes of this: the lead's date brings it to the rules in any case.
async fn look_again(app: &App, lead: Uuid) {
    let looked = evaluate::evaluate(app, evaluate::RULE, Cause::Merge, &[lead], Look::All).await;
    if let Err(error) = looked {
        tracing::warn!(%lead, ?error, "a merged lead was not evaluated at once");
    }
}

fn read_answer(answer: &str) -> Result<Merged, Error> {
    let mut ids = answer.split(' ').map(str::parse);
    match (ids.next(), ids.next()) {
        (Some(Ok(lead)), Some(Ok(duplicate))) => Ok(Merged { lead, duplicate }),
        _ => Err(Error::fault("a stored answer names no two leads")),
    }
}

fn may(viewer: &Viewer) -> Result<(), Refused> {
    viewer.require(scope::LEADS_WRITE)?;
    let side = viewer.user.side;
    if matches!(side, Side::Marketing | Side::Sales) || viewer.may(scope::ADMIN) {
        return Ok(());
    }
    let message = format!("MARKETING and SALES merge leads; you are {side}");
    Err(Refused::new(RefusalCode::Forbidden, message))
}
