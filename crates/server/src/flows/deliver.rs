//! Sending events to webhooks. One node plans: it reads the feed after each webhook's position and writes deliveries with their
//! jobs and the new position in one transaction. Every node sends: each webhook has a task of its own, which claims its jobs, a
//! bounded number at a time, so that an endpoint that hangs keeps nobody else waiting. A crash between anything repeats an
//! attempt, and loses none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handfast_domain::time::Instant;
use handfast_domain::webhook::{
    self as rules, Attempt, AttemptResult, DisabledReason, Next, Webhook, is_given_up,
};
use handfast_store::delivery::{self, Delivery, Ended, JOB, REPLAY_JOB};
use handfast_store::feed::{EventFilter, NewEvent};
use handfast_store::job::{self, Claimed};
use handfast_store::tail::Told;
use handfast_store::{StoreError, webhook as rows};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Error, webhook};
use crate::app::App;
use crate::outbound::message;
use crate::telemetry;

/// Events that one transaction plans.
const PAGE: usize = 200;
/// A node that is silent for so long has lost its jobs. Attempts may take longer: their locks are extended.
const LOCK: Duration = Duration::from_secs(10);
/// How often places in the feed are written where no event was wanted, and waiting deliveries are counted.
const TIDY: Duration = Duration::from_secs(5);
/// Deliveries that one round forgets.
const PURGE: i64 = 1_000;
/// The longest text of a cause that is kept.
const CAUSE: usize = 300;

/// What is left of a range that is sent again; the payload of its job.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Replay {
    pub after: i64,
    pub through: i64,
}

/// Runs until the server closes.
pub async fn run(app: App, interval_ms: u64) {
    let interval = Duration::from_millis(interval_ms);
    tokio::select! {
        () = plan(&app, interval) => {}
        () = send(&app, interval) => {}
    }
}

// ---- From the feed to deliveries: the node that holds the lease.

/// How far a webhook has been read, and how far that is written.
#[derive(Clone, Copy)]
struct Place {
    written: i64,
    read: i64,
}

async fn plan(app: &App, interval: Duration) {
    let mut places = BTreeMap::<Uuid, Place>::new();
    let (mut head, mut woken) = (app.store.head(), app.outbound.woken());
    let mut tidied = tokio::time::Instant::now();
    loop {
        app.store.lead().await;
        let known = *head.borrow_and_update();
        woken.mark_unchanged();
        let mut more = false;
        for one in app.workspace().webhooks.iter().filter(|one| one.disabled.is_none()) {
            match plan_one(app, one, &mut places, known).await {
                Ok(behind) => more |= behind,
                Err(error) => {
                    places.remove(&one.id);
                    tracing::warn!(webhook = %one.id, %error, "events could not be planned; trying again");
                }
            }
        }
        if tidied.elapsed() >= TIDY {
            tidied = tokio::time::Instant::now();
            if let Err(error) = tidy(app, &mut places).await {
                tracing::warn!(%error, "webhooks could not be tidied");
            }
        }
        telemetry::webhook_lags(places.iter().map(|(id, place)| (*id, known - place.read)));
        if !more {
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return },
                _ = woken.changed() => {}
                () = tokio::time::sleep(interval.max(Duration::from_millis(100))) => {}
            }
        }
    }
}

/// Plans a page; answers whether there is more to plan at once.
async fn plan_one(
    app: &App,
    webhook: &Webhook,
    places: &mut BTreeMap<Uuid, Place>,
    head: i64,
) -> Result<bool, Error> {
    let id = webhook.id;
    let place = match places.get(&id) {
        Some(place) => *place,
        None => {
            let Some(found) = rows::get(app.store.read(), id).await? else { return Ok(false) };
            Place { written: found.position, read: found.position }
        }
    };
    places.insert(id, place);
    if place.read >= head {
        return Ok(false);
    }
    let filter = EventFilter { kinds: webhook.kinds.clone(), ..EventFilter::default() };
    let page = app.store.events_after(place.read, PAGE, &filter).await?;
    let next = Place { read: page.next, ..place };
    if page.events.is_empty() {
        places.insert(id, next);
        return Ok(next.read < head);
    }
    // The feed keeps what an endpoint cannot take.
    if is_full(app, id).await? {
        return Ok(false);
    }
    let planned = of_events(app, webhook, Uuid::nil(), &page.events);
    let (from, to) = (place.written, next.read);
    let moved = app.store.try_write_beside::<bool, StoreError, _>(move |tx| {
        Box::pin(async move {
            let Some(endpoint) = rows::advance(tx, id, from, to).await? else { return Ok(false) };
            // As it is now: what is in memory may be older.
            delivery::plan(tx, planned, endpoint.webhook.ordered).await?;
            Ok(true)
        })
    });
    match moved.await? {
        true => drop(places.insert(id, Place { written: to, read: to })),
        // Another node has planned meanwhile, or the webhook is gone.
        false => drop(places.remove(&id)),
    }
    app.outbound.wake();
    Ok(true)
}

fn of_events(app: &App, webhook: &Webhook, origin: Uuid, events: &[Arc<Told>]) -> Vec<Delivery> {
    let now = app.now();
    let planned = |told: &Arc<Told>| Delivery {
        origin,
        position: Some(told.position),
        stream: told.event.stream_id,
        ..Delivery::new(app.id(), webhook.id, told.event.id, &told.event.kind, now)
    };
    events.iter().map(planned).collect()
}

async fn is_full(app: &App, webhook: Uuid) -> Result<bool, Error> {
    let most = i64::from(app.outbound.config.backlog);
    Ok(delivery::open(app.store.read(), webhook, most).await? >= most)
}

async fn tidy(app: &App, places: &mut BTreeMap<Uuid, Place>) -> Result<(), Error> {
    let webhooks = app.workspace().webhooks.clone();
    places.retain(|id, _| webhooks.iter().any(|webhook| webhook.id == *id && webhook.disabled.is_none()));
    for (id, place) in places.iter_mut().filter(|(_, place)| place.read > place.written) {
        let (id, from, to) = (*id, place.written, place.read);
        let moved = app.store.try_write_beside::<bool, StoreError, _>(move |tx| {
            Box::pin(async move { Ok(rows::advance(tx, id, from, to).await?.is_some()) })
        });
        if moved.await? {
            place.written = to;
        }
    }
    let before = app.now().plus(-i64::from(app.outbound.config.keep_delivered_seconds) * 1_000);
    let mut waiting = 0;
    for webhook in &webhooks {
        let id = webhook.id;
        waiting += delivery::open(app.store.read(), id, i64::MAX).await?;
        app.store
            .try_write_beside::<u64, StoreError, _>(move |tx| {
                Box::pin(async move { delivery::purge(tx, id, before, PURGE).await })
            })
            .await?;
    }
    telemetry::webhook_waiting(waiting);
    Ok(())
}

// ---- From deliveries to endpoints: every node.

async fn send(app: &App, interval: Duration) {
    let mut woken = app.outbound.woken();
    let mut workers = JoinSet::new();
    let mut busy = BTreeMap::<Uuid, tokio::task::AbortHandle>::new();
    loop {
        woken.mark_unchanged();
        busy.retain(|_, worker| !worker.is_finished());
        while workers.try_join_next().is_some() {}
        if app.outbound.is_closing() {
            while workers.join_next().await.is_some() {}
            return;
        }
        for webhook in app.workspace().webhooks.iter().filter(|webhook| webhook.disabled.is_none()) {
            let id = webhook.id;
            busy.entry(id).or_insert_with(|| workers.spawn(work(app.clone(), id, interval)));
        }
        tokio::select! {
            _ = woken.changed() => {}
            () = tokio::time::sleep(interval.max(Duration::from_millis(500))) => {}
        }
    }
}

/// The webhook, if something may be sent to it now.
fn on(app: &App, id: Uuid) -> Option<Arc<Webhook>> {
    let found = app.workspace().webhook(id).filter(|webhook| webhook.disabled.is_none()).cloned();
    found.filter(|_| !app.outbound.is_closing())
}

/// Works for one webhook until it is switched off or gone.
async fn work(app: App, id: Uuid, interval: Duration) {
    let mut woken = app.outbound.woken();
    let mut flying = JoinSet::<Option<Ended>>::new();
    let mut ended = Vec::<Ended>::new();
    let most = app.outbound.config.concurrency.max(1);
    loop {
        woken.mark_unchanged();
        let webhook = on(&app, id);
        let free = if webhook.is_some() { most.saturating_sub(flying.len()) } else { 0 };
        match turn(&app, id, &ended, free).await {
            Ok(claimed) => {
                ended.clear();
                for (claimed, delivery, event) in claimed {
                    let Some(webhook) = webhook.clone() else { continue };
                    flying.spawn(attempt(app.clone(), webhook, claimed, delivery, event));
                }
            }
            Err(error) => {
                tracing::warn!(webhook = %id, %error, "deliveries could not be written; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        match &webhook {
            None if flying.is_empty() && ended.is_empty() => return,
            Some(webhook) => match replay(&app, webhook).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(webhook = %id, %error, "a replay did not go on; trying again"),
            },
            None => {}
        }
        tokio::select! {
            Some(done) = flying.join_next() => {
                ended.extend(done.ok().flatten());
                while let Some(done) = flying.try_join_next() {
                    ended.extend(done.ok().flatten());
                }
            }
            _ = woken.changed() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

type Work = (Claimed, Delivery, Option<NewEvent>);

/// Writes how attempts ended and claims the next ones, in one transaction.
async fn turn(app: &App, id: Uuid, ended: &[Ended], free: usize) -> Result<Vec<Work>, Error> {
    let (now, lane) = (app.now(), id.to_string());
    let claims = free > 0 && (!ended.is_empty() || job::due(app.store.read(), JOB, &lane, now).await?);
    if ended.is_empty() && !claims {
        return Ok(vec![]);
    }
    // Whoever is gone gets nothing more: what failed just now would be due again.
    let claims = claims && !ended.iter().any(is_gone);
    let (attempts, closing) = (ended.to_vec(), ended.to_vec());
    let written = app.store.try_write_beside::<_, StoreError, _>(move |tx| {
        Box::pin(async move {
            let Some(endpoint) = rows::lock(tx, id).await? else { return Ok((vec![], None)) };
            let mut counted = vec![];
            for one in &attempts {
                if delivery::end(tx, one, now).await? {
                    counted.push(one.attempt.clone());
                }
            }
            let since = if counted.is_empty() { None } else { rows::fared(tx, &endpoint, &counted).await? };
            let limit = if claims { free } else { 0 };
            let claimed =
                if limit > 0 { job::claim(tx, JOB, &lane, now, LOCK, limit).await? } else { vec![] };
            Ok((claimed, since))
        })
    });
    let (claimed, since) = written.await?;
    closing.iter().for_each(|one| telemetry::webhook_attempt(one.attempt.result, one.next == Next::Dead));
    judge(app, id, &closing, since).await?;
    if claimed.is_empty() {
        return Ok(vec![]);
    }
    let ids: Vec<Uuid> = claimed.iter().map(|claimed| claimed.id).collect();
    let mut found: BTreeMap<Uuid, (Delivery, Option<NewEvent>)> =
        delivery::with_events(app.store.read(), &ids)
            .await?
            .into_iter()
            .map(|(delivery, event)| (delivery.id, (delivery, event)))
            .collect();
    let with = |claimed: Claimed| {
        let (delivery, event) = found.remove(&claimed.id)?;
        Some((claimed, delivery, event))
    };
    Ok(claimed.into_iter().filter_map(with).collect())
}

fn is_gone(ended: &Ended) -> bool {
    ended.attempt.http_status == Some(410)
}

/// Whether the endpoint is given up.
async fn judge(app: &App, id: Uuid, ended: &[Ended], since: Option<Instant>) -> Result<(), Error> {
    if ended.iter().any(is_gone) {
        let message = "the endpoint answered with 410 Gone";
        return webhook::give_up(app, id, DisabledReason::Gone, message).await;
    }
    let patience = i64::from(app.outbound.config.disable_after_seconds) * 1_000;
    if let Some(since) = since.filter(|since| is_given_up(Some(*since), app.now(), patience)) {
        let last = ended.iter().rev().find_map(|one| one.attempt.cause.as_deref()).unwrap_or("it failed");
        let message = format!("no attempt has succeeded since {since}; the last one: {last}");
        return webhook::give_up(app, id, DisabledReason::Failing, &message).await;
    }
    Ok(())
}

/// Sends a delivery once. None when the job was somebody else's before the endpoint answered.
async fn attempt(
    app: App,
    webhook: Arc<Webhook>,
    claimed: Claimed,
    delivery: Delivery,
    event: Option<NewEvent>,
) -> Option<Ended> {
    let at = app.now();
    let began = tokio::time::Instant::now();
    let answer = tokio::select! {
        answer = post(&app, &webhook, &delivery, event.as_ref()) => answer,
        () = keep(&app, claimed.id, claimed.fence) => return None,
    };
    let (result, http_status, retry_after, cause) = answer;
    let duration_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let cause = cause.map(|cause| cause.chars().take(CAUSE).collect());
    let attempt = Attempt { at, duration_ms, result, http_status, cause };
    // A test is tried once: whoever asked for it looks at it now.
    let steps = if delivery.position.is_some() { app.outbound.config.steps() } else { vec![0] };
    let seed = delivery.id.as_u128() as u64 ^ u64::from(claimed.attempts).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let asked = retry_after.and_then(|text| rules::retry_after(&text, app.now()));
    let next = rules::next(result, &steps, claimed.attempts.saturating_add(1), seed, asked);
    Some(Ended { delivery, fence: claimed.fence, attempt, next })
}

/// Keeps the job for as long as it is waited; ends when somebody else has it.
async fn keep(app: &App, id: Uuid, fence: i64) {
    loop {
        tokio::time::sleep(LOCK / 3).await;
        let kept = app.store.try_write_beside::<bool, StoreError, _>(move |tx| {
            Box::pin(async move { job::extend(tx, id, fence, LOCK).await })
        });
        if let Ok(false) = kept.await {
            return;
        }
    }
}

type Answered = (AttemptResult, Option<u16>, Option<String>, Option<String>);

async fn post(app: &App, webhook: &Webhook, delivery: &Delivery, event: Option<&NewEvent>) -> Answered {
    let cursor = app.store.cursors().feed(delivery.position.unwrap_or(0));
    let body = match message::body(webhook.format, delivery, event, &cursor) {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(event = %delivery.event, %error, "a stored event cannot be told");
            return (AttemptResult::Connection, None, None, Some("the event cannot be read".to_owned()));
        }
    };
    let keys = webhook::keys(app, webhook);
    let headers = message::headers(webhook, delivery, &keys, app.now(), &body);
    match app.outbound.client.post(&webhook.url, headers, body).await {
        Ok(answer) if (200..300).contains(&answer.status) => {
            (AttemptResult::Delivered, Some(answer.status), None, None)
        }
        Ok(answer) => {
            let cause = match answer.status {
                300..400 => format!("HTTP status {}; redirects are not followed", answer.status),
                410 => "HTTP status 410: the endpoint is gone".to_owned(),
                status => format!("HTTP status {status}"),
            };
            (AttemptResult::HttpStatus, Some(answer.status), answer.retry_after, Some(cause))
        }
        Err(failed) => (failed.result, failed.status, None, Some(failed.why)),
    }
}

// ---- The past, once more.

/// Plans a page of a range that somebody wants again; answers whether there was one.
async fn replay(app: &App, webhook: &Webhook) -> Result<bool, Error> {
    let (id, lane, now) = (webhook.id, webhook.id.to_string(), app.now());
    if !job::due(app.store.read(), REPLAY_JOB, &lane, now).await? || is_full(app, id).await? {
        return Ok(false);
    }
    let claimed = app.store.try_write_beside::<_, StoreError, _>(move |tx| {
        Box::pin(async move { job::claim(tx, REPLAY_JOB, &lane, now, LOCK, 1).await })
    });
    let Some(claimed) = claimed.await?.pop() else { return Ok(false) };
    let left: Replay = serde_json::from_str(&claimed.payload)
        .map_err(|why| StoreError::corrupt("job", "payload", claimed.id, why))?;
    let filter = EventFilter { kinds: webhook.kinds.clone(), ..EventFilter::default() };
    let page = app.store.events_after(left.after, PAGE, &filter).await?;
    let within = page.events.partition_point(|told| told.position <= left.through);
    let planned = of_events(app, webhook, claimed.id, &page.events[..within]);
    let next = Replay { after: page.next, ..left };
    let payload = serde_json::to_string(&next).map_err(|error| Error::fault(error.to_string()))?;
    let written = app.store.try_write_beside::<(), StoreError, _>(move |tx| {
        Box::pin(async move {
            let Some(endpoint) = rows::lock(tx, id).await? else { return Ok(()) };
            let ours = match next.after >= next.through {
                true => job::complete(tx, claimed.id, claimed.fence).await?,
                false => job::proceed(tx, claimed.id, claimed.fence, now, &payload).await?,
            };
            if ours {
                delivery::plan(tx, planned, endpoint.webhook.ordered).await?;
            }
            Ok(())
        })
    });
    written.await?;
    app.outbound.wake();
    Ok(true)
}
