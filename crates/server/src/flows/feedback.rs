//! Feedback: posted to the other side, answered by it in time, and linked to what it caused.

use handfast_domain::digest::Digest;
use handfast_domain::event::{Actor, ActorKind, Event, Fact, StreamKind};
use handfast_domain::feedback::{
    Answered, Effect, EffectKind, Feedback, FeedbackKind, FeedbackStatus, FeedbackSubject, Named, counterpart,
};
use handfast_domain::field::is_key;
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, Side};
use handfast_store::Tx;
use handfast_store::change::append_facts;
use handfast_store::feedback as rows;
use uuid::Uuid;

use super::Error;
use super::check::{Checks, words};
use super::commit::{Ask, Decided};
use crate::app::App;

/// Longest text, in characters.
pub const WORDS: usize = 2_000;
const TAGS: usize = 10;
/// Pieces of feedback that one thing can be based on.
const BASIS: usize = 50;
/// Promises that one round looks at.
const ROUND: i64 = 200;

/// What feedback is about.
#[derive(Clone, Debug)]
pub enum About {
    Lead(Uuid),
    Campaign(Uuid),
    Content(Uuid),
    Persona(String),
    PluginVersion(Digest),
}

impl About {
    pub fn named(&self) -> Named<FeedbackSubject> {
        let (kind, key) = match self {
            About::Lead(id) => (FeedbackSubject::Lead, id.to_string()),
            About::Campaign(id) => (FeedbackSubject::Campaign, id.to_string()),
            About::Content(id) => (FeedbackSubject::Content, id.to_string()),
            About::Persona(key) => (FeedbackSubject::Persona, key.clone()),
            About::PluginVersion(digest) => (FeedbackSubject::PluginVersion, digest.to_string()),
        };
        Named { kind, key }
    }
}

/// What feedback caused.
#[derive(Clone, Debug)]
pub enum Caused {
    Audience(Uuid),
    Form(Uuid),
    Content(Uuid),
    Campaign(Uuid),
    Deployment(Uuid),
    Charter(u32),
}

pub struct NewFeedback {
    pub kind: FeedbackKind,
    pub about: Option<About>,
    pub tags: Vec<String>,
    pub text: String,
}

/// Tells the other side something. Its clock starts.
pub async fn post(app: &App, ask: &Ask<'_>, new: NewFeedback) -> Result<Feedback, Error> {
    let from = ask.viewer.party("give feedback")?;
    let NewFeedback { kind, about, mut tags, text } = new;
    let mut checks = Checks::default();
    let text = words(&mut checks, "text", &text, WORDS);
    tags.sort();
    tags.dedup();
    checks.need(tags.len() <= TAGS, "tags", || format!("at most {TAGS} tags, found {}", tags.len()));
    for (place, tag) in tags.iter().enumerate().filter(|(_, tag)| !is_key(tag)) {
        checks.key(&format!("tags/{place}"), tag);
    }
    // Praise of nothing, and a problem of nothing, help nobody.
    let names = matches!(kind, FeedbackKind::Works | FeedbackKind::Problem);
    checks.need(about.is_some() || !names, "about", || {
        format!("{kind} is about a lead, a campaign, content, a persona or a plugin's version: say which")
    });
    checks.done()?;
    let (lead, owner) = subject(app, about.as_ref()).await?;
    let workspace = app.workspace();
    let mut feedback = Feedback {
        id: app.id(),
        from,
        to: counterpart(from),
        user: ask.viewer.id(),
        kind,
        about: about.as_ref().map(About::named),
        tags,
        text,
        posted_at: app.now(),
        status: FeedbackStatus::Open,
        acknowledged: None,
        closed: None,
        answer: None,
        clock: None,
    };
    let facts = feedback.post(app.id(), &workspace.charter, &workspace.directory, owner);
    let events = events(app, ask.viewer.actor(), feedback.id, facts);
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            rows::insert(tx, &feedback, lead).await?;
            append_facts(tx, events).await?;
            let answer = feedback.id.to_string();
            Ok((feedback, answer))
        })
    });
    told(app, decided.await?).await
}

/// What it is about must exist; of a lead its owner, too.
async fn subject(app: &App, about: Option<&About>) -> Result<(Option<Uuid>, Option<Uuid>), Error> {
    let workspace = app.workspace();
    let absent = |what: &str| Err(Refused::not_found(what).at("input/about").into());
    match about {
        Some(About::Lead(id)) => {
            let found = handfast_store::lead::leads(app.store.read(), &[*id]).await?;
            let Some(found) = found.first() else { return absent("lead") };
            Ok((Some(*id), found.lead.owner))
        }
        Some(About::Campaign(id)) if workspace.campaign(*id).is_none() => absent("campaign"),
        Some(About::Content(id)) if workspace.content(*id).is_none() => absent("content"),
        Some(About::Persona(key)) if workspace.charter.body.personas.iter().all(|one| one.key != *key) => {
            absent("persona of the charter in force")
        }
        Some(About::PluginVersion(digest)) => {
            match handfast_store::plugin::version(app.store.read(), *digest).await? {
                Some(_) => Ok((None, None)),
                None => absent("plugin version"),
            }
        }
        _ => Ok((None, None)),
    }
}

/// Says that it was read, for somebody of the side that it was given to.
pub async fn acknowledge(app: &App, ask: &Ask<'_>, id: Uuid) -> Result<Feedback, Error> {
    let side = ask.viewer.party("acknowledge feedback")?;
    let by = Answered { user: ask.viewer.id(), at: app.now() };
    change(app, ask, id, move |feedback| feedback.acknowledge(side, by)).await
}

/// Says what was done about it, or why nothing is.
pub async fn close(
    app: &App,
    ask: &Ask<'_>,
    id: Uuid,
    status: FeedbackStatus,
    text: Option<String>,
) -> Result<Feedback, Error> {
    let side = ask.viewer.party("answer feedback")?;
    let path = if status == FeedbackStatus::Declined { "reason" } else { "text" };
    let mut checks = Checks::default();
    let text = text.map(|text| words(&mut checks, path, &text, WORDS));
    checks.done()?;
    let by = Answered { user: ask.viewer.id(), at: app.now() };
    change(app, ask, id, move |feedback| feedback.close(side, status, text, by)).await
}

/// Says what it caused; the same twice is said once.
pub async fn link(app: &App, ask: &Ask<'_>, id: Uuid, caused: Caused) -> Result<Feedback, Error> {
    ask.viewer.party("say what feedback caused")?;
    let of = effect(app, &caused).await?;
    let effect = Effect { id: app.id(), feedback: id, of, user: ask.viewer.id(), at: app.now() };
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let feedback = note(&own, tx, actor, effect, "input/feedback").await?;
            Ok((feedback, id.to_string()))
        })
    });
    told(app, decided.await?).await
}

async fn effect(app: &App, caused: &Caused) -> Result<Named<EffectKind>, Error> {
    let workspace = app.workspace();
    let (kind, key, exists, what) = match caused {
        Caused::Audience(id) => {
            let known = super::audience::find(&workspace, *id).is_some();
            (EffectKind::Audience, id.to_string(), known, "audience")
        }
        Caused::Form(id) => {
            let known = workspace.forms.iter().any(|form| form.id == *id);
            (EffectKind::Form, id.to_string(), known, "form")
        }
        Caused::Content(id) => {
            (EffectKind::Content, id.to_string(), workspace.content(*id).is_some(), "content")
        }
        Caused::Campaign(id) => {
            (EffectKind::Campaign, id.to_string(), workspace.campaign(*id).is_some(), "campaign")
        }
        Caused::Deployment(id) => {
            let found = handfast_store::deployment::find(app.store.read(), *id).await?;
            (EffectKind::Deployment, id.to_string(), found.is_some(), "deployment")
        }
        Caused::Charter(number) => {
            let known = workspace.charters.iter().any(|charter| charter.number == *number);
            (EffectKind::Charter, number.to_string(), known, "charter")
        }
    };
    if !exists {
        return Err(Refused::not_found(what).at("input/effect").into());
    }
    Ok(Named { kind, key })
}

/// Notes that feedback caused what is made of it, inside of the command that makes it. Refused where some does not exist, or was
/// declined.
pub async fn caused(
    app: &App,
    tx: &Tx,
    actor: Actor,
    ids: &[Uuid],
    (kind, made): (EffectKind, Uuid),
) -> Result<(), Error> {
    if ids.len() > BASIS {
        let message = format!("at most {BASIS} pieces of feedback, found {}", ids.len());
        return Err(Refused::invalid("input/basedOn", message).into());
    }
    for (place, id) in ids.iter().copied().enumerate() {
        let of = Named { kind, key: made.to_string() };
        let user = actor.user.unwrap_or_default();
        let effect = Effect { id: app.id(), feedback: id, of, user, at: app.now() };
        note(app, tx, actor, effect, &format!("input/basedOn/{place}")).await?;
    }
    Ok(())
}

async fn note(app: &App, tx: &Tx, actor: Actor, effect: Effect, path: &str) -> Result<Feedback, Error> {
    let id = effect.feedback;
    let feedback = rows::locked(tx, id).await?.ok_or_else(|| Refused::not_found("feedback").at(path))?;
    let fact = feedback.link(&effect.of).map_err(|refused| refused.at(path))?;
    if rows::link(tx, &effect).await? {
        append_facts(tx, events(app, actor, id, vec![fact])).await?;
    }
    Ok(feedback)
}

/// Changes one by a verb of the domain, while nobody else does.
async fn change(
    app: &App,
    ask: &Ask<'_>,
    id: Uuid,
    verb: impl FnOnce(&mut Feedback) -> Result<Vec<Fact>, Refused> + Send + 'static,
) -> Result<Feedback, Error> {
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let mut feedback = known(rows::locked(tx, id).await?)?;
            let facts = verb(&mut feedback).map_err(|refused| refused.at("input/feedback"))?;
            rows::put(tx, &feedback).await?;
            append_facts(tx, events(&own, actor, id, facts)).await?;
            Ok((feedback, id.to_string()))
        })
    });
    told(app, decided.await?).await
}

/// Breaks the promises that are overdue; answers how many it looked at.
pub async fn run_due(app: &App) -> Result<usize, Error> {
    let due = rows::due(app.store.read(), app.now(), ROUND).await?;
    for id in &due {
        let (own, id) = (app.clone(), *id);
        app.decide_beside(None, false, move |tx| {
            Box::pin(async move {
                let Some(mut feedback) = rows::locked(tx, id).await? else { return Ok(((), String::new())) };
                let facts = feedback.catch_up(own.now());
                rows::put(tx, &feedback).await?;
                append_facts(tx, events(&own, Actor::of(ActorKind::Clock), id, facts)).await?;
                Ok(((), String::new()))
            })
        })
        .await?;
    }
    Ok(due.len())
}

/// Facts of the stream of one feedback. What a clock says happened when the clock says.
fn events(app: &App, actor: Actor, id: Uuid, facts: Vec<Fact>) -> Vec<Event> {
    let by_clock = actor.kind == ActorKind::Clock;
    let event = |fact: Fact| {
        let at = match &fact {
            Fact::ClockChanged { clock } => Some(clock.at()),
            _ => None,
        };
        let mut event = app.fact(actor, StreamKind::Feedback, id, fact);
        event.occurred_at = at.unwrap_or(event.occurred_at);
        if by_clock {
            event.body.cause = Cause::Clock;
        }
        event
    };
    facts.into_iter().map(event).collect()
}

async fn told(app: &App, decided: Decided<Feedback>) -> Result<Feedback, Error> {
    match decided {
        Decided::Now(feedback) => Ok(feedback),
        Decided::Before(id) => {
            let id = Uuid::try_parse(&id).map_err(|error| Error::fault(error.to_string()))?;
            let found = rows::find(app.store.read(), id).await?;
            found.ok_or_else(|| Error::fault("feedback that was written before is gone"))
        }
    }
}

fn known(feedback: Option<Feedback>) -> Result<Feedback, Refused> {
    feedback.ok_or_else(|| Refused::not_found("feedback").at("input/feedback"))
}

/// Whose answer is owed: the side that a filter names, by the wish of a subscriber.
pub fn concerns(side: Option<Side>, to: Side) -> bool {
    side.is_none_or(|side| side == to)
}
