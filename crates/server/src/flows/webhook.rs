//! Setting up webhooks: where events go, with which secret, and what of the past is sent again. What is sent, and when, decides
//! [`super::deliver`].

use handfast_domain::event::{Fact, SetupNoun};
use handfast_domain::field::nearest;
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_domain::webhook::{Disabled, DisabledReason, Header, Webhook, WebhookFormat};
use handfast_store::change::append_fact;
use handfast_store::delivery::{self as deliveries, Delivery};
use handfast_store::job::{self, NewJob};
use handfast_store::webhook::{self as rows, Endpoint};
use uuid::Uuid;

use super::check::Checks;
use super::commit::{Ask, Decided};
use super::deliver::Replay;
use super::{Error, Viewer, scope};
use crate::app::App;
use crate::outbound::message::{self, Key, TEST};
use crate::outbound::target::MOST_BYTES;

/// Webhooks of a workspace: each is read by itself, and each costs a look now and then.
const MOST: usize = 50;
const MOST_HEADERS: usize = 20;
/// Dead deliveries that one request sends again.
pub const MOST_REVIVED: usize = 1_000;

/// What a webhook is made of; the rest has a default.
#[derive(Clone, Debug, Default)]
pub struct WebhookEdit {
    pub url: Option<String>,
    pub description: Option<String>,
    pub kinds: Option<Vec<String>>,
    pub headers: Option<Vec<Header>>,
    pub format: Option<WebhookFormat>,
    pub ordered: Option<bool>,
    pub enabled: Option<bool>,
}

/// Which events are sent again: those after one position up to another.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub after: i64,
    pub through: i64,
}

/// The secret that signs now, as its receiver keeps it.
pub fn secret(app: &App, webhook: &Webhook) -> String {
    message::secret(&app.store.secret().webhook(webhook.id, webhook.generation))
}

/// All keys that sign at this moment, the newest first.
pub fn keys(app: &App, webhook: &Webhook) -> Vec<Key> {
    let generations = webhook.generations(app.now()).into_iter();
    generations.map(|generation| app.store.secret().webhook(webhook.id, generation)).collect()
}

/// Whoever may set webhooks up may see them: their URLs and headers may hold keys of the receivers.
pub async fn list(app: &App, viewer: &Viewer) -> Result<Vec<Endpoint>, Error> {
    viewer.require(scope::WEBHOOKS_WRITE)?;
    Ok(rows::endpoints(app.store.read()).await?)
}

pub async fn find(app: &App, viewer: &Viewer, id: Uuid) -> Result<Option<Endpoint>, Error> {
    viewer.require(scope::WEBHOOKS_WRITE)?;
    Ok(rows::get(app.store.read(), id).await?)
}

/// A webhook gets the events after `after`, or those from now on.
pub async fn create(
    app: &App,
    ask: &Ask<'_>,
    new: WebhookEdit,
    after: Option<i64>,
) -> Result<Endpoint, Error> {
    ask.viewer.require(scope::WEBHOOKS_WRITE)?;
    // What was committed before this request is none of it.
    app.store.settle().await?;
    let position = after.unwrap_or_else(|| *app.store.head().borrow());
    let blank = Webhook {
        id: app.id(),
        url: String::new(),
        description: String::new(),
        kinds: vec![],
        headers: vec![],
        format: WebhookFormat::Standard,
        ordered: false,
        disabled: None,
        generation: 1,
        old_secrets: vec![],
        created_at: app.now(),
    };
    let webhook = edited(app, blank, new)?;
    decided(app, ask, What::Insert(webhook, position)).await
}

/// What is left out stays. One that is switched on again goes on where it stood.
pub async fn update(app: &App, ask: &Ask<'_>, id: Uuid, edit: WebhookEdit) -> Result<Endpoint, Error> {
    ask.viewer.require(scope::WEBHOOKS_WRITE)?;
    decided(app, ask, What::Edit(id, edit)).await
}

/// A new secret signs from now on, and the old one besides it for a day.
pub async fn rotate(app: &App, ask: &Ask<'_>, id: Uuid) -> Result<Endpoint, Error> {
    ask.viewer.require(scope::WEBHOOKS_WRITE)?;
    decided(app, ask, What::Rotate(id)).await
}

/// Takes a webhook away with all that is not sent yet.
pub async fn delete(app: &App, ask: &Ask<'_>, id: Uuid) -> Result<Uuid, Error> {
    ask.viewer.require(scope::WEBHOOKS_WRITE)?;
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let done = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            known(rows::get(tx, id).await?)?;
            rows::remove(tx, id).await?;
            append_fact(tx, own.setup_changed(actor, SetupNoun::Webhook, id)).await?;
            Ok((id, id.to_string()))
        })
    });
    done.await?;
    taken_up(app, ask).await?;
    Ok(id)
}

/// Sends the events of a range again, in the background. Answers whether anything new was begun.
pub async fn replay(app: &App, ask: &Ask<'_>, id: Uuid, range: Range) -> Result<Endpoint, Error> {
    ask.viewer.require(scope::WEBHOOKS_WRITE)?;
    if range.after >= range.through {
        let message = "there is no event in this range: `through` must be a later cursor than `after`";
        return Err(Refused::invalid("input/through", message).into());
    }
    let (own, job) = (app.clone(), app.id());
    let now = app.now();
    let done = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let endpoint = switched_on(rows::get(tx, id).await?)?;
            let payload = serde_json::to_string(&Replay { after: range.after, through: range.through });
            let new = NewJob {
                id: job,
                kind: deliveries::REPLAY_JOB,
                lane: id.to_string(),
                key: format!("webhook-replay/{job}"),
                run_at: now,
                payload: payload.map_err(|error| Error::fault(error.to_string()))?,
            };
            job::insert(tx, &[new]).await?;
            Ok((endpoint, id.to_string()))
        })
    });
    let endpoint = answered(&own, done.await?).await?;
    own.outbound.wake();
    Ok(endpoint)
}

/// Sends a message that is no event, once.
pub async fn test(app: &App, ask: &Ask<'_>, id: Uuid) -> Result<Delivery, Error> {
    ask.viewer.require(scope::WEBHOOKS_WRITE)?;
    let (test, origin, now) = (app.id(), app.id(), app.now());
    let done = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            switched_on(rows::get(tx, id).await?)?;
            let delivery = Delivery { origin, stream: test, ..Delivery::new(test, id, test, TEST, now) };
            deliveries::plan(tx, vec![delivery.clone()], false).await?;
            Ok((delivery, test.to_string()))
        })
    });
    let delivery = match done.await? {
        Decided::Now(delivery) => delivery,
        Decided::Before(test) => {
            let found = match Uuid::try_parse(&test) {
                Ok(test) => deliveries::get(app.store.read(), test).await?,
                Err(_) => None,
            };
            found.ok_or_else(|| Refused::not_found("delivery"))?
        }
    };
    app.outbound.wake();
    Ok(delivery)
}

/// Sends dead deliveries again: those that are named, or the oldest. Answers how many.
pub async fn revive(
    app: &App,
    ask: &Ask<'_>,
    id: Uuid,
    named: Option<Vec<Uuid>>,
) -> Result<(Endpoint, u64), Error> {
    ask.viewer.require(scope::WEBHOOKS_WRITE)?;
    let most = i64::try_from(MOST_REVIVED).unwrap_or(i64::MAX);
    if let Some(found) = named.as_ref().map(Vec::len).filter(|count| !(1..=MOST_REVIVED).contains(count)) {
        let message = format!("1 to {MOST_REVIVED} deliveries at a time, found {found}");
        return Err(Refused::invalid("input/deliveries", message).into());
    }
    let now = app.now();
    let done = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let endpoint = switched_on(rows::get(tx, id).await?)?;
            let count = deliveries::revive(tx, id, named.as_deref(), now, most).await?;
            Ok(((endpoint, count), format!("{id}/{count}")))
        })
    });
    let revived = match done.await? {
        Decided::Now(revived) => revived,
        Decided::Before(answer) => {
            let count = answer.split_once('/').and_then(|(_, count)| count.parse().ok()).unwrap_or(0);
            (known(rows::get(app.store.read(), id).await?)?, count)
        }
    };
    app.outbound.wake();
    Ok(revived)
}

/// Switches a webhook off because of how its endpoint answers. Nothing of it is lost: it goes on there when it is on again.
pub async fn give_up(app: &App, id: Uuid, reason: DisabledReason, message: &str) -> Result<(), Error> {
    use handfast_domain::event::{Actor, ActorKind};
    let (own, now, message) = (app.clone(), app.now(), message.to_owned());
    let done = app.decide(None, false, move |tx| {
        Box::pin(async move {
            let Some(Endpoint { mut webhook, .. }) = rows::get(tx, id).await? else {
                return Ok((false, String::new()));
            };
            if webhook.disabled.is_some() {
                return Ok((false, String::new()));
            }
            webhook.disabled = Some(Disabled { at: now, reason, message });
            rows::update(tx, &webhook).await?;
            append_fact(tx, own.setup_changed(Actor::of(ActorKind::Clock), SetupNoun::Webhook, id)).await?;
            Ok((true, String::new()))
        })
    });
    if let Decided::Now(true) = done.await? {
        tracing::warn!(webhook = %id, reason = reason.as_str(), "a webhook was switched off");
        app.reload().await?;
    }
    Ok(())
}

enum What {
    Insert(Webhook, i64),
    Edit(Uuid, WebhookEdit),
    Rotate(Uuid),
}

async fn decided(app: &App, ask: &Ask<'_>, what: What) -> Result<Endpoint, Error> {
    let (own, actor) = (app.clone(), ask.viewer.actor());
    let overlap = i64::from(app.outbound.config.old_secret_seconds) * 1_000;
    let done = app.decide(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            let id = match what {
                What::Insert(webhook, position) => {
                    let count = rows::all(tx).await?.len();
                    if count >= MOST {
                        let message =
                            format!("there are {MOST} webhooks; delete one that is not used any more");
                        return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input").into());
                    }
                    rows::insert(tx, &webhook, position).await?;
                    webhook.id
                }
                What::Edit(id, edit) => {
                    let before = known(rows::get(tx, id).await?)?.webhook;
                    let keeps_order = before.ordered;
                    let webhook = edited(&own, before, edit)?;
                    rows::update(tx, &webhook).await?;
                    if keeps_order && !webhook.ordered {
                        deliveries::release_all(tx, id, own.now()).await?;
                    }
                    id
                }
                What::Rotate(id) => {
                    let mut webhook = known(rows::get(tx, id).await?)?.webhook;
                    webhook.rotate(own.now(), overlap);
                    rows::update(tx, &webhook).await?;
                    id
                }
            };
            append_fact(tx, own.setup_changed(actor, SetupNoun::Webhook, id)).await?;
            let endpoint = known(rows::get(tx, id).await?)?;
            Ok((endpoint, id.to_string()))
        })
    });
    let endpoint = answered(app, done.await?).await?;
    taken_up(app, ask).await?;
    Ok(endpoint)
}

/// What a repetition is told is how the webhook is now.
async fn answered(app: &App, decided: Decided<Endpoint>) -> Result<Endpoint, Error> {
    match decided {
        Decided::Now(endpoint) => Ok(endpoint),
        Decided::Before(id) => match Uuid::try_parse(&id) {
            Ok(id) => known(rows::get(app.store.read(), id).await?),
            Err(_) => known(None),
        },
    }
}

async fn taken_up(app: &App, ask: &Ask<'_>) -> Result<(), Error> {
    if ask.dry_run { Ok(()) } else { app.reload().await }
}

fn known(found: Option<Endpoint>) -> Result<Endpoint, Error> {
    found.ok_or_else(|| Refused::not_found("webhook").at("input/webhook").into())
}

fn switched_on(found: Option<Endpoint>) -> Result<Endpoint, Error> {
    let endpoint = known(found)?;
    if endpoint.webhook.disabled.is_some() {
        let message = "the webhook is switched off: switch it on by updateWebhook first";
        return Err(Refused::invalid("input/webhook", message).into());
    }
    Ok(endpoint)
}

/// Every problem of an edit is told.
fn edited(app: &App, before: Webhook, edit: WebhookEdit) -> Result<Webhook, Error> {
    let WebhookEdit { url, description, kinds, headers, format, ordered, enabled } = edit;
    let mut checks = Checks::default();
    let mut after = before;
    if let Some(text) = url {
        after.url = checked_url(app, &mut checks, &text).unwrap_or(text);
    }
    if let Some(text) = description {
        if !text.is_empty() {
            checks.text("description", &text, 256);
        }
        after.description = text;
    }
    if let Some(kinds) = kinds {
        for (place, kind) in
            kinds.iter().enumerate().filter(|(_, kind)| !Fact::KINDS.contains(&kind.as_str()))
        {
            let shown: String = kind.chars().take(80).collect();
            let near = nearest(kind, Fact::KINDS.iter().map(|kind| (*kind).to_owned()));
            let hint =
                if near.is_empty() { String::new() } else { format!("; nearest: {}", near.join(", ")) };
            checks.say(&format!("kinds/{place}"), format!("no kind of event {shown:?}{hint}"));
        }
        after.kinds = Fact::KINDS
            .iter()
            .filter(|kind| kinds.iter().any(|one| one == *kind))
            .map(|kind| (*kind).to_owned())
            .collect();
    }
    if let Some(headers) = headers {
        checks.need(headers.len() <= MOST_HEADERS, "headers", || {
            format!("at most {MOST_HEADERS} headers, found {}", headers.len())
        });
        let mut names: Vec<String> = vec![];
        for (place, header) in headers.iter().enumerate() {
            let path = format!("headers/{place}");
            if let Err(why) = message::check_header(header) {
                checks.say(&path, why);
            }
            let name = header.name.to_ascii_lowercase();
            checks.need(!names.contains(&name), &path, || "this header stands twice in the list".to_owned());
            names.push(name);
        }
        after.headers = headers;
    }
    after.format = format.unwrap_or(after.format);
    after.ordered = ordered.unwrap_or(after.ordered);
    match enabled {
        Some(true) => after.disabled = None,
        Some(false) if after.disabled.is_none() => {
            let (at, reason) = (app.now(), DisabledReason::ByHand);
            after.disabled = Some(Disabled { at, reason, message: "somebody switched it off".to_owned() });
        }
        _ => {}
    }
    checks.done()?;
    Ok(after)
}

fn checked_url(app: &App, checks: &mut Checks, text: &str) -> Option<String> {
    if text.len() > MOST_BYTES {
        checks.say("url", format!("at most {MOST_BYTES} bytes, found {}", text.len()));
        return None;
    }
    match app.outbound.policy.check(text) {
        Ok(url) => Some(url.to_string()),
        Err(why) => {
            checks.refuse(Refused::new(RefusalCode::WebhookTargetForbidden, why).at("url"));
            None
        }
    }
}
