//! The review of the charter in force: promised by both sides when it comes into force, kept by saying whether it stays, broken by
//! time alone.

use handfast_domain::charter::review::{CharterReview, Promises, ReviewVerdict};
use handfast_domain::charter::{Charter, CharterStatus};
use handfast_domain::event::{Actor, ActorKind, Event, Fact, StreamKind};
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, Side};
use handfast_domain::time::Instant;
use handfast_store::change::append_facts;
use handfast_store::{Tx, charter as charters, charter_review as rows};
use uuid::Uuid;

use super::Error;
use super::check::{Checks, words};
use super::commit::{Ask, Decided, stream_of};
use crate::app::App;

/// Longest comment, in characters.
const WORDS: usize = 2_000;
/// Reviews of one charter that are shown, the newest.
pub const SHOWN: i64 = 50;

/// What a side says after it went through the charter in force.
#[derive(Clone, Debug)]
pub struct Word {
    pub number: u32,
    pub verdict: ReviewVerdict,
    pub comment: Option<String>,
}

/// Keeps what the viewer's side says. With the last side's word the next round of promises begins.
pub async fn record(app: &App, ask: &Ask<'_>, word: Word) -> Result<Charter, Error> {
    let side = ask.viewer.party("review the charter")?;
    let mut checks = Checks::default();
    let comment = word.comment.map(|text| words(&mut checks, "comment", &text, WORDS));
    checks.need(word.verdict == ReviewVerdict::Keep || comment.is_some(), "comment", || {
        "REVISE needs a comment: say what should change".to_owned()
    });
    checks.done()?;
    let (own, actor, number) = (app.clone(), ask.viewer.actor(), word.number);
    let said = Said { user: ask.viewer.id(), side, verdict: word.verdict, comment };
    // Alone: the charter itself changes with the last side's word.
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let charter = find(tx, number).await?;
            let charter = say(&own, tx, actor, charter, said).await?;
            Ok((charter, number.to_string()))
        })
    });
    match decided.await? {
        Decided::Now(charter) => {
            if !ask.dry_run {
                app.reload().await?;
            }
            Ok(charter)
        }
        Decided::Before(_) => {
            let all = charters::all(app.store.read()).await?;
            let found = all.into_iter().find(|charter| charter.number == number);
            found.ok_or_else(|| Refused::not_found("charter").into())
        }
    }
}

/// One side's word.
#[derive(Clone, Debug)]
pub struct Said {
    pub user: Uuid,
    pub side: Side,
    pub verdict: ReviewVerdict,
    pub comment: Option<String>,
}

/// Writes one side's word inside of a command.
pub async fn say(
    app: &App,
    tx: &Tx,
    actor: Actor,
    mut charter: Charter,
    said: Said,
) -> Result<Charter, Error> {
    let Said { user, side, verdict, comment } = said;
    let (number, now) = (charter.number, app.now());
    let mut promises = rows::promises(tx, number).await?;
    let facts = promises.review(&mut charter, (side, verdict), now, app.ids.as_ref());
    let facts = facts.map_err(|refused| refused.at("input/number"))?;
    let review = CharterReview { id: app.id(), number, user, side, verdict, comment, at: now };
    rows::insert(tx, &review).await?;
    charters::put(tx, &charter).await?;
    keep(app, tx, actor, number, &promises, facts).await?;
    Ok(charter)
}

/// A meeting of both sides went through the charter in force: whoever has not said so yet says so now.
pub async fn say_both(app: &App, tx: &Tx, actor: Actor, people: &[(Side, Uuid)]) -> Result<(), Error> {
    let all = charters::all(tx).await?;
    let active = all.into_iter().find(|charter| charter.status == CharterStatus::Active);
    let Some(mut charter) = active else { return Ok(()) };
    let open: Vec<Side> = {
        let promises = rows::promises(tx, charter.number).await?;
        let met = |side: &Side| {
            let own = |party: &str| party == side.as_str();
            promises.round().iter().any(|clock| own(clock.party.as_str()) && clock.met_at.is_some())
        };
        [Side::Marketing, Side::Sales].into_iter().filter(|side| !met(side)).collect()
    };
    for side in open {
        let Some((_, user)) = people.iter().find(|(of, _)| *of == side) else { continue };
        let said = Said { user: *user, side, verdict: ReviewVerdict::Keep, comment: None };
        charter = say(app, tx, actor, charter, said).await?;
    }
    Ok(())
}

/// A charter came into force: what was promised for the one before is kept by that, and the promises on this one begin. Answers the
/// facts of its stream.
pub async fn activated(
    app: &App,
    tx: &Tx,
    actor: Actor,
    charter: &Charter,
    before: Option<u32>,
) -> Result<Vec<Fact>, Error> {
    let now = app.now();
    if let Some(number) = before {
        let mut promises = rows::promises(tx, number).await?;
        let facts = promises.replaced(now);
        keep(app, tx, actor, number, &promises, facts).await?;
    }
    let mut promises = rows::promises(tx, charter.number).await?;
    let facts = promises.begin(charter, now, app.ids.as_ref());
    rows::put(tx, charter.number, &promises).await?;
    Ok(facts)
}

/// Begins the promises of a charter that came into force before there were any.
pub async fn begin_missing(app: &App) -> Result<(), Error> {
    let workspace = app.workspace();
    let number = workspace.charter.number;
    if workspace.charter.unsigned() || !rows::promises(app.store.read(), number).await?.0.is_empty() {
        return Ok(());
    }
    let own = app.clone();
    app.decide(None, false, move |tx| {
        Box::pin(async move {
            let charter = find(tx, number).await?;
            let mut promises = rows::promises(tx, number).await?;
            let since = charter.activated_at.filter(|_| promises.0.is_empty());
            if let Some(since) = since {
                let facts = promises.begin(&charter, since, own.ids.as_ref());
                keep(&own, tx, Actor::of(ActorKind::Clock), number, &promises, facts).await?;
            }
            Ok(((), String::new()))
        })
    })
    .await?;
    Ok(())
}

/// Breaks the promises that are overdue; answers on how many charters it looked at them.
pub async fn run_due(app: &App) -> Result<usize, Error> {
    let due = rows::due(app.store.read(), app.now()).await?;
    for number in &due {
        let (own, number) = (app.clone(), *number);
        app.decide(None, false, move |tx| {
            Box::pin(async move {
                let mut promises = rows::promises(tx, number).await?;
                let facts = promises.catch_up(own.now());
                keep(&own, tx, Actor::of(ActorKind::Clock), number, &promises, facts).await?;
                Ok(((), String::new()))
            })
        })
        .await?;
    }
    Ok(due.len())
}

async fn find(tx: &Tx, number: u32) -> Result<Charter, Error> {
    let all = charters::all(tx).await?;
    let found = all.into_iter().find(|charter| charter.number == number);
    Ok(found.ok_or_else(|| Refused::not_found("charter").at("input/number"))?)
}

async fn keep(
    app: &App,
    tx: &Tx,
    actor: Actor,
    number: u32,
    promises: &Promises,
    facts: Vec<Fact>,
) -> Result<(), Error> {
    if facts.is_empty() {
        return Ok(());
    }
    rows::put(tx, number, promises).await?;
    append_facts(tx, events(app, actor, number, facts)).await?;
    Ok(())
}

/// Facts of the charter's stream. What a clock says happened when the clock says.
pub fn events(app: &App, actor: Actor, number: u32, facts: Vec<Fact>) -> Vec<Event> {
    let stream = stream_of(StreamKind::Charter, &number.to_string());
    let event = |fact: Fact| {
        let at: Option<Instant> = match &fact {
            Fact::ClockChanged { clock } => Some(clock.at()),
            _ => None,
        };
        let mut event = app.fact(actor, StreamKind::Charter, stream, fact);
        event.occurred_at = at.unwrap_or(event.occurred_at);
        if actor.kind == ActorKind::Clock {
            event.body.cause = Cause::Clock;
        }
        event
    };
    facts.into_iter().map(event).collect()
}
