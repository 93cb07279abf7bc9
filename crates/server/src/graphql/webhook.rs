//! Webhooks: where events are sent to, how that goes, and what is sent again.

use async_graphql::{ComplexObject, Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use handfast_domain::digest::Digest;
use handfast_domain::time::Instant;
use handfast_domain::webhook::{
    Attempt, AttemptResult, DeliveryState, DisabledReason, Header, WebhookFormat,
};
use handfast_store::delivery::{self, Delivery};
use handfast_store::webhook::Endpoint;

use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::scalar::{FeedCursor, Long, Uuid, global, local};
use super::{app, ask, viewer};
use crate::app::App;
use crate::flows::webhook::{self as flow, Range, WebhookEdit};
use crate::flows::{Error, feed};

/// A header that is sent with each delivery, for example a key of the receiver.
#[derive(Clone, Debug, SimpleObject, InputObject)]
#[graphql(input_name = "WebhookHeaderInput")]
pub struct WebhookHeader {
    name: String,
    /// At most 1,024 printable ASCII characters.
    value: String,
}

impl From<WebhookHeader> for Header {
    fn from(WebhookHeader { name, value }: WebhookHeader) -> Header {
        Header { name, value }
    }
}

/// An attempt to deliver an event.
#[derive(Clone, SimpleObject)]
pub struct WebhookAttempt {
    at: Instant,
    result: AttemptResult,
    /// The answer's status, if there was an answer.
    http_status: Option<i32>,
    /// Why it failed, in words.
    cause: Option<String>,
    /// From the request to the answer's end, in milliseconds.
    duration_ms: Long,
}

impl From<Attempt> for WebhookAttempt {
    fn from(attempt: Attempt) -> WebhookAttempt {
        let Attempt { at, duration_ms, result, http_status, cause } = attempt;
        WebhookAttempt {
            at,
            result,
            http_status: http_status.map(i32::from),
            cause,
            duration_ms: Long(duration_ms),
        }
    }
}

/// An event on its way to a webhook.
#[derive(Clone, SimpleObject)]
pub struct WebhookDelivery {
    pub id: ID,
    /// Id of the event, which is the header `webhook-id`. A replay has it again, so that receivers can tell a repetition.
    event_id: Uuid,
    /// Kind of the event; `TEST` for a test, which is no event of the log.
    kind: String,
    /// Place of the event in the feed; a test has none.
    cursor: Option<FeedCursor>,
    state: DeliveryState,
    /// Whether it comes of a replay or a test.
    replayed: bool,
    created_at: Instant,
    /// When it is sent next.
    next_attempt_at: Option<Instant>,
    /// How often it was tried.
    attempts: i32,
    /// What became of each attempt, the newest last; of many the last 30.
    tried: Vec<WebhookAttempt>,
}

impl WebhookDelivery {
    fn wrap(app: &App, delivery: Delivery) -> WebhookDelivery {
        let Delivery {
            id,
            webhook: _,
            origin,
            event,
            position,
            kind,
            stream: _,
            state,
            created_at,
            next_at,
            tried,
        } = delivery;
        WebhookDelivery {
            id: global("WebhookDelivery", id),
            event_id: Uuid(event),
            kind,
            cursor: position.map(|position| FeedCursor(app.store.cursors().feed(position))),
            state,
            replayed: !origin.is_nil(),
            created_at,
            next_attempt_at: next_at,
            attempts: i32::try_from(tried.len()).unwrap_or(i32::MAX),
            tried: tried.into_iter().map(WebhookAttempt::from).collect(),
        }
    }
}

/// Where events are sent to, after [Standard Webhooks](https://www.standardwebhooks.com): each event of the log is a `POST` with
/// the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`. It comes at least once; its id tells a repetition.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Webhook {
    pub id: ID,
    /// Where requests go.
    url: String,
    description: String,
    /// Kinds of events that are sent, for example `STAGE_CHANGED`; empty for all.
    kinds: Vec<String>,
    headers: Vec<WebhookHeader>,
    format: WebhookFormat,
    /// Whether an event waits until the earlier ones of its lead are delivered or dead. A delivery that is sent again waits for
    /// none.
    ordered: bool,
    /// Whether anything is sent. One that is switched off keeps its place and goes on there.
    enabled: bool,
    disabled_at: Option<Instant>,
    disabled_reason: Option<DisabledReason>,
    /// The reason in words.
    disabled_message: Option<String>,
    created_at: Instant,
    /// Since when no attempt has succeeded; null while they do.
    failing_since: Option<Instant>,
    last_success_at: Option<Instant>,
    last_failure: Option<WebhookAttempt>,
    #[graphql(skip)]
    endpoint: Endpoint,
}

impl Webhook {
    fn wrap(endpoint: Endpoint) -> Webhook {
        let one = endpoint.webhook.clone();
        let off = one.disabled.as_ref();
        Webhook {
            id: global("Webhook", one.id),
            enabled: off.is_none(),
            disabled_at: off.map(|off| off.at),
            disabled_reason: off.map(|off| off.reason),
            disabled_message: off.map(|off| off.message.clone()),
            url: one.url,
            description: one.description,
            kinds: one.kinds,
            headers: one
                .headers
                .into_iter()
                .map(|Header { name, value }| WebhookHeader { name, value })
                .collect(),
            format: one.format,
            ordered: one.ordered,
            created_at: one.created_at,
            failing_since: endpoint.failing_since,
            last_success_at: endpoint.last_success_at,
            last_failure: endpoint.last_failure.clone().map(WebhookAttempt::from),
            endpoint,
        }
    }
}

/// Counts of deliveries end here: they are for looking at, not for adding up.
const COUNTED: i64 = 100_000;

#[ComplexObject]
impl Webhook {
    /// The secret that signs, `whsec_…`. A library of Standard Webhooks takes it as it is.
    async fn secret(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        Ok(flow::secret(app(ctx)?, &self.endpoint.webhook))
    }

    /// Until when replaced secrets sign besides it, the newest first.
    async fn old_secrets_until(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Instant>> {
        let now = app(ctx)?.now();
        let ends = self.endpoint.webhook.old_secrets.iter().map(|old| old.until);
        Ok(ends.filter(|until| now < *until).collect())
    }

    /// Its place in the feed: events up to here are delivered, dead, or on their way.
    async fn position(&self, ctx: &Context<'_>) -> async_graphql::Result<FeedCursor> {
        Ok(FeedCursor(app(ctx)?.store.cursors().feed(self.endpoint.position)))
    }

    /// Events between its place and the end of the feed, whether it wants them or not.
    async fn lag(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        let head = *app(ctx)?.store.head().borrow();
        Ok(Long((head - self.endpoint.position).max(0)))
    }

    /// Deliveries that are to be sent, or wait for one that is; counted up to 100,000.
    async fn waiting(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        let count = delivery::open(app(ctx)?.store.read(), self.endpoint.webhook.id, COUNTED).await;
        count.map(Long).map_err(|error| failure(error.into()))
    }

    /// Deliveries of which every attempt failed; counted up to 100,000. `resendWebhookDeliveries` sends them again.
    async fn dead(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        let count = delivery::dead(app(ctx)?.store.read(), self.endpoint.webhook.id, COUNTED).await;
        count.map(Long).map_err(|error| failure(error.into()))
    }

    /// What was sent and is to be sent, the newest first; only in some states, for example `DEAD`, or all. What was delivered is
    /// remembered for a week, unless the operator has set another time.
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        states: Option<Vec<DeliveryState>>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> async_graphql::Result<Page<WebhookDelivery>> {
        let (app, id) = (app(ctx)?, self.endpoint.webhook.id);
        let states = states.unwrap_or_default();
        let digest = Digest::of("filter", 1, &(id, &states));
        let window = PageArgs { first, after, last, before }.window(app, "created", digest)?;
        let rows = delivery::page(app.store.read(), id, &states, window.from, window.backward, window.limit);
        let rows = rows.await.map_err(|error| failure(error.into()))?;
        Ok(window.page(app, rows, |row| (row.created_at.ms(), row.id), |row| WebhookDelivery::wrap(app, row)))
    }
}

#[derive(Default)]
pub struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// All webhooks, the oldest first. A URL or header may hold a key of its receiver, so that they are shown to whoever may set
    /// them up.
    async fn webhooks(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Webhook>> {
        let found = flow::list(app(ctx)?, viewer(ctx)?).await.map_err(failure)?;
        Ok(found.into_iter().map(Webhook::wrap).collect())
    }

    /// One webhook; null if there is none.
    async fn webhook(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Webhook>> {
        let id = local("Webhook", &id, "id");
        // Whoever may not see them is told that first.
        let viewer = viewer(ctx)?;
        viewer.require(crate::flows::scope::WEBHOOKS_WRITE).map_err(|refused| failure(refused.into()))?;
        let id = id.map_err(|refused| failure(refused.into()))?;
        Ok(flow::find(app(ctx)?, viewer, id).await.map_err(failure)?.map(Webhook::wrap))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct CreateWebhookInput {
    /// `https://…`, on the open internet, port 443, 80 or from 1024 on.
    url: String,
    description: Option<String>,
    /// Kinds of events, for example `STAGE_CHANGED`; `schema/events.json` lists them. Without, or empty: all.
    kinds: Option<Vec<String>>,
    /// At most 20, sent with each delivery.
    headers: Option<Vec<WebhookHeader>>,
    /// Without: STANDARD.
    format: Option<WebhookFormat>,
    /// Whether a lead's later event waits for its earlier one. Without: no.
    ordered: Option<bool>,
    /// Without: yes.
    enabled: Option<bool>,
    /// Events after this cursor are sent; without, those from now on.
    after: Option<FeedCursor>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

/// What changes; what is left out stays.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateWebhookInput {
    webhook: ID,
    /// As in `createWebhook`.
    url: Option<String>,
    /// Null takes it away.
    description: MaybeUndefined<String>,
    /// Null takes the choice away: all kinds.
    kinds: MaybeUndefined<Vec<String>>,
    /// Null takes them away.
    headers: MaybeUndefined<Vec<WebhookHeader>>,
    format: Option<WebhookFormat>,
    /// Whether a lead's later event waits for its earlier one.
    ordered: Option<bool>,
    /// Switches it off, or on again: then it goes on where it stood.
    enabled: Option<bool>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct DeleteWebhookInput {
    webhook: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RotateWebhookSecretInput {
    webhook: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ReplayWebhookInput {
    webhook: ID,
    /// Events after this cursor; without, from the beginning.
    after: Option<FeedCursor>,
    /// Up to the event of this cursor; without, up to the newest.
    through: Option<FeedCursor>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct TestWebhookInput {
    webhook: ID,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ResendWebhookDeliveriesInput {
    webhook: ID,
    /// Dead ones of it, at most 1,000; others are passed over. Without: the oldest 1,000 that are dead.
    deliveries: Option<Vec<ID>>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct WebhookPayload {
    webhook: Option<Webhook>,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct DeleteWebhookPayload {
    /// What is gone.
    id: Option<ID>,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct TestWebhookPayload {
    /// As it stands; ask for the webhook's deliveries to see what became of it.
    delivery: Option<WebhookDelivery>,
    errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct ResendWebhookDeliveriesPayload {
    webhook: Option<Webhook>,
    /// How many are sent again.
    resent: Option<Long>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct WebhookMutation;

/// The position of a cursor, if one is given.
async fn place(app: &App, cursor: Option<FeedCursor>) -> Result<Option<i64>, Error> {
    match cursor {
        Some(cursor) => feed::place(app, &cursor.0).await.map(Some),
        None => Ok(None),
    }
}

#[Object]
impl WebhookMutation {
    /// Sends events to a URL from now on, and by it lets its receiver read them. Give it the secret, by which it verifies what it
    /// gets.
    async fn create_webhook(
        &self,
        ctx: &Context<'_>,
        input: CreateWebhookInput,
    ) -> async_graphql::Result<WebhookPayload> {
        let said =
            format!("{:?}", CreateWebhookInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let CreateWebhookInput { url, description, kinds, headers, format, ordered, enabled, .. } = input;
        let ask = ask(ctx, "createWebhook", input.idempotency_key, input.dry_run, &said)?;
        let headers = headers.map(|headers| headers.into_iter().map(Header::from).collect());
        let new = WebhookEdit { url: Some(url), description, kinds, headers, format, ordered, enabled };
        let app = app(ctx)?;
        answer(match place(app, input.after).await {
            Ok(after) => flow::create(app, &ask, new, after).await,
            Err(error) => Err(error),
        })
    }

    /// Edits a webhook, or switches it off or on again.
    async fn update_webhook(
        &self,
        ctx: &Context<'_>,
        input: UpdateWebhookInput,
    ) -> async_graphql::Result<WebhookPayload> {
        let said =
            format!("{:?}", UpdateWebhookInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let UpdateWebhookInput {
            webhook, url, description, kinds, headers, format, ordered, enabled, ..
        } = input;
        let ask = ask(ctx, "updateWebhook", input.idempotency_key, input.dry_run, &said)?;
        let headers = given(headers).map(|headers| headers.into_iter().map(Header::from).collect());
        let (description, kinds) = (given(description), given(kinds));
        let edit = WebhookEdit { url, description, kinds, headers, format, ordered, enabled };
        answer(match local("Webhook", &webhook, "input/webhook") {
            Ok(id) => flow::update(app(ctx)?, &ask, id, edit).await,
            Err(refused) => Err(refused.into()),
        })
    }

    /// Takes a webhook away, with its deliveries and all that is not sent yet.
    async fn delete_webhook(
        &self,
        ctx: &Context<'_>,
        input: DeleteWebhookInput,
    ) -> async_graphql::Result<DeleteWebhookPayload> {
        let ask = ask(ctx, "deleteWebhook", input.idempotency_key, input.dry_run, &input.webhook)?;
        let (id, errors) = payload(match local("Webhook", &input.webhook, "input/webhook") {
            Ok(id) => flow::delete(app(ctx)?, &ask, id).await,
            Err(refused) => Err(refused.into()),
        })?;
        Ok(DeleteWebhookPayload { id: id.map(|id| global("Webhook", id)), errors })
    }

    /// Makes a new secret. For a day each delivery is signed by the old one, too, so that the receiver can change it in its own
    /// time.
    async fn rotate_webhook_secret(
        &self,
        ctx: &Context<'_>,
        input: RotateWebhookSecretInput,
    ) -> async_graphql::Result<WebhookPayload> {
        let ask = ask(ctx, "rotateWebhookSecret", input.idempotency_key, input.dry_run, &input.webhook)?;
        answer(match local("Webhook", &input.webhook, "input/webhook") {
            Ok(id) => flow::rotate(app(ctx)?, &ask, id).await,
            Err(refused) => Err(refused.into()),
        })
    }

    /// Sends the events of a range again, in the background and besides what is new. They have the ids that they had.
    async fn replay_webhook(
        &self,
        ctx: &Context<'_>,
        input: ReplayWebhookInput,
    ) -> async_graphql::Result<WebhookPayload> {
        let said = (&input.webhook, &input.after, &input.through);
        let ask = ask(ctx, "replayWebhook", input.idempotency_key.clone(), input.dry_run, &said)?;
        let app = app(ctx)?;
        app.store.settle().await.map_err(|error| failure(error.into()))?;
        let head = *app.store.head().borrow();
        let replayed = async {
            let id = local("Webhook", &input.webhook, "input/webhook")?;
            let after = place(app, input.after).await?.unwrap_or(0);
            let through = place(app, input.through).await?.unwrap_or(head);
            flow::replay(app, &ask, id, Range { after, through }).await
        };
        answer(replayed.await)
    }

    /// Sends a signed message of the kind `TEST`, once, to see whether the receiver takes it.
    async fn test_webhook(
        &self,
        ctx: &Context<'_>,
        input: TestWebhookInput,
    ) -> async_graphql::Result<TestWebhookPayload> {
        let ask = ask(ctx, "testWebhook", input.idempotency_key, input.dry_run, &input.webhook)?;
        let (sent, errors) = payload(match local("Webhook", &input.webhook, "input/webhook") {
            Ok(id) => flow::test(app(ctx)?, &ask, id).await,
            Err(refused) => Err(refused.into()),
        })?;
        let app = app(ctx)?;
        Ok(TestWebhookPayload { delivery: sent.map(|sent| WebhookDelivery::wrap(app, sent)), errors })
    }

    /// Sends dead deliveries again, by the whole schedule.
    async fn resend_webhook_deliveries(
        &self,
        ctx: &Context<'_>,
        input: ResendWebhookDeliveriesInput,
    ) -> async_graphql::Result<ResendWebhookDeliveriesPayload> {
        let said = (&input.webhook, &input.deliveries);
        let ask = ask(ctx, "resendWebhookDeliveries", input.idempotency_key.clone(), input.dry_run, &said)?;
        let named = input.deliveries.map(|ids| {
            let read = |(place, id): (usize, &ID)| {
                local("WebhookDelivery", id, &format!("input/deliveries/{place}"))
            };
            ids.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()
        });
        let found = local("Webhook", &input.webhook, "input/webhook");
        let (done, errors) = payload(match (found, named.transpose()) {
            (Ok(id), Ok(named)) => flow::revive(app(ctx)?, &ask, id, named).await,
            (Err(refused), _) | (_, Err(refused)) => Err(refused.into()),
        })?;
        let (webhook, resent) = done.unzip();
        let resent = resent.map(|count| Long(i64::try_from(count).unwrap_or(i64::MAX)));
        Ok(ResendWebhookDeliveriesPayload { webhook: webhook.map(Webhook::wrap), resent, errors })
    }
}

fn answer(result: Result<Endpoint, crate::flows::Error>) -> async_graphql::Result<WebhookPayload> {
    let (endpoint, errors) = payload(result)?;
    Ok(WebhookPayload { webhook: endpoint.map(Webhook::wrap), errors })
}

/// Null is what there is without it.
fn given<T: Default>(value: MaybeUndefined<T>) -> Option<T> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(T::default()),
        MaybeUndefined::Value(value) => Some(value),
    }
}
