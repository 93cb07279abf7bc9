//! What was learned of a lead at which stage, and what it did of late: read from what happened, within bounds.

use handfast_domain::behaviour::{self, Summary, Touch};
use handfast_domain::insight::{Insight, InsightKind, Learned, insights, persona_changes, stood};
use handfast_domain::stage::StageKind;
use handfast_domain::time::Instant;
use handfast_store::insight as rows;
use handfast_store::{content, evaluation, touchpoint};
use uuid::Uuid;

use super::Error;
use super::window::Window;
use crate::app::App;
use crate::workspace::Workspace;

/// Looks of the rules whose reasons are told, the newest.
const LOOKS: i64 = 100;
/// Touches that a summary looks at, the newest.
pub const TOUCHES: i64 = 2_000;

/// Of which stages insights are asked for.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// All of them without.
    pub stage: Option<StageKind>,
    /// Those of earlier stages, too.
    pub up_to: bool,
}

/// What was learned of a lead, the newest first: five statements.
pub async fn of(app: &App, lead: Uuid, at: At) -> Result<Vec<Insight>, Error> {
    let (db, workspace) = (app.store.read(), app.workspace());
    let stages = content::stages(db, lead).await?;
    let told = rows::told(db, lead).await?;
    let mut learned: Vec<Learned> =
        told.into_iter().map(|(one, person)| in_words(&workspace, one, person)).collect();
    learned.extend(persona_changes(rows::personas(db, lead).await?));
    for look in evaluation::newest(db, &[lead], LOOKS).await? {
        let decisions = look.decisions.iter().filter(|decision| decision.counts());
        let reasons = decisions.flat_map(|decision| decision.reasons.iter().map(move |one| (decision, one)));
        learned.extend(reasons.map(|(decision, reason)| Learned {
            kind: InsightKind::Reason,
            key: reason.code.clone(),
            value: reason.label.clone(),
            source: decision.slot.clone(),
            evidence: reason.field.clone(),
            at: look.as_of,
        }));
    }
    let mut found = insights(learned, &stages);
    if let Some(stage) = at.stage {
        found.retain(|one| one.stage == stage || (at.up_to && one.stage < stage));
    }
    Ok(found)
}

fn in_words(workspace: &Workspace, mut one: Learned, person: Option<Uuid>) -> Learned {
    if one.source.is_empty() {
        let user = person.and_then(|id| workspace.directory.user(id));
        one.source = user.map_or_else(|| "somebody".to_owned(), |user| user.key.clone());
    }
    match one.kind {
        InsightKind::Answer => one.value = format!("{} of 4", one.value),
        InsightKind::Content => {
            let content = workspace.content_by_key(&one.key);
            one.value = content.map_or_else(|| one.key.clone(), |content| content.title.clone());
            if workspace.charter.body.high_intent.contains(&one.key) {
                one.kind = InsightKind::Intent;
            }
        }
        _ => {}
    }
    one
}

/// What a lead did in a window, and what could be read of it.
pub struct Behaviour {
    pub summary: Summary,
    pub conversations: i64,
    /// Kinds of content with their touches, those with the most first.
    pub topics: Vec<(String, u32)>,
    /// Whether all touches of both windows were looked at.
    pub whole: bool,
}

/// The window and the one before it: three statements.
pub async fn behaviour(app: &App, lead: Uuid, window: Window) -> Result<Behaviour, Error> {
    let (db, workspace) = (app.store.read(), app.workspace());
    let Window { from, to } = window;
    let before = from.plus(-to.since(from));
    let mut touches = touchpoint::latest(db, lead, (before, to), TOUCHES + 1).await?;
    let limit = usize::try_from(TOUCHES).unwrap_or(0);
    let whole = touches.len() <= limit;
    touches.truncate(limit);
    let high = &workspace.charter.body.high_intent;
    let touch = |one: &touchpoint::Touchpoint| Touch {
        at: one.occurred_at,
        channel: one.channel,
        content: one.content.clone(),
        campaign: one.campaign,
        high_intent: one.content.as_ref().is_some_and(|content| high.contains(content)),
    };
    let touches: Vec<Touch> = touches.iter().map(touch).collect();
    let stages = content::stages(db, lead).await?;
    let summary = behaviour::summary(&touches, from, |at: Instant| stood(&stages, at));
    let topics = topics(&workspace, touches.iter().filter(|touch| touch.at >= from));
    let conversations = touchpoint::conversations(db, lead, (from, to)).await?;
    Ok(Behaviour { summary, conversations, topics, whole })
}

fn topics<'t>(workspace: &Workspace, touches: impl Iterator<Item = &'t Touch>) -> Vec<(String, u32)> {
    let mut found = std::collections::BTreeMap::<String, u32>::new();
    for key in touches.filter_map(|touch| touch.content.as_deref()) {
        if let Some(content) = workspace.content_by_key(key) {
            *found.entry(content.kind.clone()).or_default() += 1;
        }
    }
    let mut found: Vec<(String, u32)> = found.into_iter().collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found
}
