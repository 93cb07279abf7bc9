//! Named consumers: registered, acknowledged, stepped back, removed; and the events that they put aside.

use handfast_domain::consumer::{Consumer, DeadLetter};
use handfast_domain::event::SetupNoun;
use handfast_domain::filter::EventFilter;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_store::Tx;
use handfast_store::change::append_fact;
use handfast_store::consumer::{self as rows, Waiting};
use handfast_store::feed;
use uuid::Uuid;

use super::check::Checks;
use super::commit::{Ask, Decided};
use super::feed::{FeedEdge, place};
use super::{Error, Viewer, scope};
use crate::app::App;

/// Consumers of one user.
const MOST: i64 = 100;
/// Events that one consumer has put aside and nobody has resolved.
const LETTERS: i64 = 10_000;

/// A place in the log, as somebody names it.
#[derive(Clone, Debug)]
pub enum Place {
    At(FeedEdge),
    After(String),
}

impl Place {
    async fn position(&self, app: &App, path: &str) -> Result<i64, Error> {
        match self {
            Place::At(edge) => {
                // Now is after everything that the caller could have seen.
                app.store.settle().await?;
                Ok(edge.position(app))
            }
            Place::After(cursor) => place(app, cursor).await.map_err(|error| at(error, path)),
        }
    }
}

/// An event, as somebody names it.
#[derive(Clone, Debug)]
pub enum Which {
    Id(Uuid),
    Cursor(String),
}

pub struct NewConsumer {
    pub key: String,
    pub description: Option<String>,
    pub filter: EventFilter,
    pub start: Place,
}

/// Registers a consumer, or edits its description and filter: programs may do so at each start. Answers whether it is new.
pub async fn register(app: &App, ask: &Ask<'_>, new: NewConsumer) -> Result<(Consumer, bool), Error> {
    ask.viewer.require(scope::LEADS_READ)?;
    let NewConsumer { key, description, filter, start } = new;
    let mut checks = Checks::default();
    checks.key("key", &key);
    if let Some(description) = &description {
        checks.text("description", description, 256);
    }
    let filter = match filter.checked() {
        Ok(filter) => filter,
        Err(refused) => {
            checks.refuse(refused.at("filter"));
            EventFilter::default()
        }
    };
    checks.done()?;
    let position = start.position(app, "input/start").await?;
    let (own, actor, now, id) = (app.clone(), ask.viewer.actor(), app.now(), app.id());
    let (user, admin) = (ask.viewer.id(), ask.viewer.may(scope::ADMIN));
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let before = rows::lock(tx, &key).await?;
            let consumer = match &before {
                Some(before) if !admin && before.owner != user => {
                    let message = format!("the key {key:?} is taken; choose another");
                    return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/key").into());
                }
                Some(before) => Consumer { description, filter, ..before.clone() },
                None if rows::count(tx, user).await? >= MOST => {
                    let message = format!("you have {MOST} consumers; remove those that nobody reads with");
                    return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/key").into());
                }
                None => Consumer {
                    id,
                    key,
                    description,
                    owner: user,
                    filter,
                    position,
                    created_at: now,
                    acked_at: None,
                },
            };
            if before.as_ref() != Some(&consumer) {
                rows::put(tx, &consumer).await?;
                append_fact(tx, own.setup_changed(actor, SetupNoun::Consumer, consumer.id)).await?;
            }
            let answer = format!("{} {}", consumer.id, before.is_none());
            Ok(((consumer, before.is_none()), answer))
        })
    });
    told(app, decided.await?).await
}

/// Everything up to a cursor is done with. Answers whether that was news: an older one changes nothing. It is no event, or
/// whoever reads the log would write it.
pub async fn ack(app: &App, ask: &Ask<'_>, key: String, up_to: String) -> Result<(Consumer, bool), Error> {
    ask.viewer.require(scope::LEADS_READ)?;
    let position = place(app, &up_to).await.map_err(|error| at(error, "input/upTo"))?;
    let (viewer, now) = (ask.viewer.clone(), app.now());
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let mut consumer = locked(tx, &viewer, &key).await?;
            let advanced = consumer.ack(position, now);
            if advanced {
                rows::put(tx, &consumer).await?;
            }
            let answer = format!("{} {advanced}", consumer.id);
            Ok(((consumer, advanced), answer))
        })
    });
    told(app, decided.await?).await
}

/// Goes back to a place that was acknowledged before: everything after it comes again.
pub async fn rewind(app: &App, ask: &Ask<'_>, key: String, to: Place) -> Result<Consumer, Error> {
    ask.viewer.require(scope::LEADS_READ)?;
    let position = to.position(app, "input/to").await?;
    let (viewer, own) = (ask.viewer.clone(), app.clone());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let mut consumer = locked(tx, &viewer, &key).await?;
            if consumer.rewind(position).map_err(|refused| refused.at("input"))? {
                rows::put(tx, &consumer).await?;
                append_fact(tx, own.setup_changed(viewer.actor(), SetupNoun::Consumer, consumer.id)).await?;
            }
            let answer = format!("{} true", consumer.id);
            Ok(((consumer, true), answer))
        })
    });
    Ok(told(app, decided.await?).await?.0)
}

/// Forgets a consumer with all that it put aside. A repetition with the same idempotency key has nothing to show any more.
pub async fn remove(app: &App, ask: &Ask<'_>, key: String) -> Result<Option<Consumer>, Error> {
    ask.viewer.require(scope::LEADS_READ)?;
    let (viewer, own) = (ask.viewer.clone(), app.clone());
    let decided = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let consumer = locked(tx, &viewer, &key).await?;
            rows::remove(tx, consumer.id).await?;
            append_fact(tx, own.setup_changed(viewer.actor(), SetupNoun::Consumer, consumer.id)).await?;
            Ok((consumer, String::new()))
        })
    });
    Ok(match decided.await? {
        Decided::Now(consumer) => Some(consumer),
        Decided::Before(_) => None,
    })
}

/// Puts an event aside that cannot be processed. The place of the consumer stays: it is acknowledged like any other.
pub async fn reject(
    app: &App,
    ask: &Ask<'_>,
    key: String,
    event: Which,
    reason: String,
) -> Result<DeadLetter, Error> {
    ask.viewer.require(scope::LEADS_READ)?;
    let mut checks = Checks::default();
    checks.text("reason", &reason, 500);
    checks.done()?;
    app.store.settle().await?;
    let found = match event {
        Which::Id(id) => feed::events_of(app.store.read(), &[id]).await?.pop(),
        Which::Cursor(cursor) => {
            let position = place(app, &cursor).await.map_err(|error| at(error, "input/event/cursor"))?;
            feed::event_at(app.store.read(), position).await?
        }
    };
    let found = found.ok_or_else(|| Refused::not_found("event").at("input/event"))?;
    let (event, position) = (found.event.id, found.position);
    let (viewer, now) = (ask.viewer.clone(), app.now());
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let consumer = locked(tx, &viewer, &key).await?;
            let before = rows::letter(tx, consumer.id, event).await?;
            let opens = before.as_ref().is_none_or(|letter| letter.resolved_at.is_some());
            if opens && rows::open_letters(tx, consumer.id).await? >= LETTERS {
                let message = format!("{LETTERS} dead letters wait; resolve some before there can be more");
                return Err(Refused::invalid("input/event", message).into());
            }
            let letter = match before {
                Some(mut letter) => {
                    letter.reject_again(reason, &viewer.actor(), now);
                    letter
                }
                None => DeadLetter {
                    consumer: consumer.id,
                    event,
                    position,
                    reason,
                    rejected_at: now,
                    rejected_by: viewer.id(),
                    resolved_at: None,
                    resolved_by: None,
                },
            };
            if opens {
                rows::put_letter(tx, &letter).await?;
            }
            let answer = format!("{} {event}", consumer.id);
            Ok((letter, answer))
        })
    });
    told_letter(app, decided.await?).await
}

/// Marks a dead letter as dealt with.
pub async fn resolve(app: &App, ask: &Ask<'_>, key: String, event: Uuid) -> Result<DeadLetter, Error> {
    ask.viewer.require(scope::LEADS_READ)?;
    let (viewer, now) = (ask.viewer.clone(), app.now());
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let consumer = locked(tx, &viewer, &key).await?;
            let letter = rows::letter(tx, consumer.id, event).await?;
            let mut letter = letter.ok_or_else(|| Refused::not_found("dead letter").at("input/event"))?;
            if letter.resolve(&viewer.actor(), now) {
                rows::put_letter(tx, &letter).await?;
            }
            let answer = format!("{} {event}", consumer.id);
            Ok((letter, answer))
        })
    });
    told_letter(app, decided.await?).await
}

/// One's own consumer, or for the administrator anybody's.
pub async fn find(app: &App, viewer: &Viewer, key: &str) -> Result<Option<Consumer>, Error> {
    let found = rows::by_key(app.store.read(), key).await?;
    Ok(found.filter(|consumer| may_use(viewer, consumer)))
}

/// One's own consumers, or for the administrator all, the newest first.
pub async fn page(
    app: &App,
    viewer: &Viewer,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Consumer>, Error> {
    let owner = (!viewer.may(scope::ADMIN)).then(|| viewer.id());
    Ok(rows::page(app.store.read(), owner, from, limit).await?)
}

/// What waits for a consumer now.
pub async fn waiting(app: &App, consumer: &Consumer) -> Result<Waiting, Error> {
    app.store.settle().await?;
    let head = *app.store.head().borrow();
    Ok(rows::waiting(app.store.reports(), consumer.position, head, &consumer.filter).await?)
}

fn may_use(viewer: &Viewer, consumer: &Consumer) -> bool {
    consumer.owner == viewer.id() || viewer.may(scope::ADMIN)
}

/// What belongs to somebody else is as if it were not there.
async fn locked(tx: &Tx, viewer: &Viewer, key: &str) -> Result<Consumer, Error> {
    let found = rows::lock(tx, key).await?.filter(|consumer| may_use(viewer, consumer));
    found.ok_or_else(|| Refused::not_found("consumer").at("input/consumer").into())
}

fn at(error: Error, path: &str) -> Error {
    match error {
        Error::Refused(refused) => refused.into_iter().map(|one| one.at(path)).collect::<Vec<_>>().into(),
        other => other,
    }
}

/// A repetition is told of the consumer as it is now, and of its own effect as it was.
async fn told(app: &App, decided: Decided<(Consumer, bool)>) -> Result<(Consumer, bool), Error> {
    let before = match decided {
        Decided::Now(done) => return Ok(done),
        Decided::Before(answer) => answer,
    };
    let (id, done) = before.split_once(' ').unwrap_or_default();
    let consumer = match Uuid::try_parse(id) {
        Ok(id) => rows::by_id(app.store.read(), id).await?,
        Err(_) => None,
    };
    Ok((consumer.ok_or_else(|| Refused::not_found("consumer").at("input"))?, done == "true"))
}

async fn told_letter(app: &App, decided: Decided<DeadLetter>) -> Result<DeadLetter, Error> {
    let before = match decided {
        Decided::Now(letter) => return Ok(letter),
        Decided::Before(answer) => answer,
    };
    let ids = before
        .split_once(' ')
        .and_then(|(consumer, event)| Some((Uuid::try_parse(consumer).ok()?, Uuid::try_parse(event).ok()?)));
    let letter = match ids {
        Some((consumer, event)) => rows::letter(app.store.read(), consumer, event).await?,
        None => None,
    };
    letter.ok_or_else(|| Refused::not_found("dead letter").at("input").into())
}
