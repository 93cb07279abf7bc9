//! Named consumers of the log: the server keeps how far each has come, how much waits for it, and what it put aside.

use async_graphql::{ComplexObject, Context, Enum, InputObject, Object, OneofObject, SimpleObject};
use handfast_domain::consumer::{Consumer as Row, DeadLetter as LetterRow};
use handfast_domain::digest::Digest;
use handfast_domain::time::Instant;
use handfast_store::{consumer as rows, feed};

use super::directory::User;
use super::event::Event;
use super::filter::{EventFilter, EventFilterInput};
use super::page::{Page, PageArgs};
use super::problem::{UserError, failure, payload};
use super::scalar::{FeedCursor, Long, Uuid};
use super::{app, ask, read_viewer};
use crate::flows::consumer::{self, NewConsumer, Place, Which};
use crate::flows::feed::FeedEdge as Edge;

/// A reader of events whose place the server keeps. It belongs to the user who registered it; the administrator sees all.
/// Events come at least once: whatever was not acknowledged before a reader stopped comes again, and two readers of one
/// consumer both get everything. After a restore of the workspace a consumer is where it was in the backup.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct EventConsumer {
    key: String,
    /// What it is for.
    description: Option<String>,
    /// Which events it gets.
    filter: EventFilter,
    /// Everything up to here is acknowledged.
    cursor: FeedCursor,
    /// When it acknowledged something new for the last time.
    acked_at: Option<Instant>,
    created_at: Instant,
    #[graphql(skip)]
    row: Row,
}

/// What a consumer has not acknowledged yet.
#[derive(Clone, Copy, SimpleObject)]
pub struct ConsumerLag {
    /// Events that pass its filter.
    events: Long,
    /// Whether there may be more: the count stops at 10,000 events, and with a filter 20,000 places of the log further on.
    at_least: bool,
    /// When the oldest of them was recorded; null if there is none.
    oldest_at: Option<Instant>,
    /// The age of the oldest of them, in milliseconds; 0 if there is none.
    age_ms: Long,
}

/// An event that a consumer could not process and put aside.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct DeadLetter {
    /// Id of the event.
    event_id: Uuid,
    /// Place of the event in the feed.
    cursor: FeedCursor,
    /// Why it could not be processed, in the words of whoever put it aside.
    reason: String,
    rejected_at: Instant,
    /// Null while nobody has dealt with it.
    resolved_at: Option<Instant>,
    #[graphql(skip)]
    row: LetterRow,
    /// Read with its page, where the look-ahead saw it.
    #[graphql(skip)]
    loaded: Option<Event>,
}

impl EventConsumer {
    fn wrap(ctx: &Context<'_>, row: Row) -> async_graphql::Result<EventConsumer> {
        let cursor = FeedCursor(app(ctx)?.store.cursors().feed(row.position));
        let Row { key, description, filter, acked_at, created_at, .. } = row.clone();
        let filter = EventFilter::wrap(filter);
        Ok(EventConsumer { key, description, filter, cursor, acked_at, created_at, row })
    }
}

impl DeadLetter {
    fn wrap(ctx: &Context<'_>, row: LetterRow) -> async_graphql::Result<DeadLetter> {
        let cursor = FeedCursor(app(ctx)?.store.cursors().feed(row.position));
        let LetterRow { event, reason, rejected_at, resolved_at, .. } = row.clone();
        Ok(DeadLetter { event_id: Uuid(event), cursor, reason, rejected_at, resolved_at, row, loaded: None })
    }
}

#[ComplexObject]
impl EventConsumer {
    /// Who registered it.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.row.owner).map(User::wrap))
    }

    /// How far it is behind.
    async fn lag(&self, ctx: &Context<'_>) -> async_graphql::Result<ConsumerLag> {
        let app = app(ctx)?;
        let waiting = consumer::waiting(app, &self.row).await.map_err(failure)?;
        let age = waiting.oldest.map_or(0, |oldest| app.now().since(oldest).max(0));
        Ok(ConsumerLag {
            events: Long(waiting.events),
            at_least: waiting.at_least,
            oldest_at: waiting.oldest,
            age_ms: Long(age),
        })
    }

    /// How many events it has put aside that nobody has dealt with.
    async fn open_dead_letters(&self, ctx: &Context<'_>) -> async_graphql::Result<Long> {
        let count = rows::open_letters(app(ctx)?.store.read(), self.row.id).await;
        count.map(Long).map_err(|error| failure(error.into()))
    }

    /// What it put aside, the oldest first.
    async fn dead_letters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that were dealt with, or only those that were not")] resolved: Option<
            bool,
        >,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<DeadLetter>> {
        let app = app(ctx)?;
        let digest = Digest::of("filter", 1, &("deadLetters", self.row.id, resolved));
        let args = PageArgs { first, after, ..PageArgs::default() };
        let window = args.window(app, "rejected", digest)?;
        let read = app.store.read();
        let found = rows::letters(read, self.row.id, resolved, window.from, window.limit).await;
        let found = found.map_err(|error| failure(error.into()))?;
        let ids: Vec<uuid::Uuid> = match ctx.look_ahead().field("edges").field("node").field("event").exists()
        {
            true => found.iter().map(|letter| letter.event).collect(),
            false => vec![],
        };
        let events = feed::events_of(read, &ids).await.map_err(|error| failure(error.into()))?;
        let mut letters = Vec::with_capacity(found.len());
        for row in found {
            let mut letter = DeadLetter::wrap(ctx, row)?;
            let told = events.iter().find(|told| told.event.id == letter.row.event);
            letter.loaded = told.map(|told| Event::wrap(app, told)).transpose()?;
            letters.push(letter);
        }
        Ok(window.page(app, letters, |letter| (letter.rejected_at.ms(), letter.row.event), |letter| letter))
    }
}

#[ComplexObject]
impl DeadLetter {
    /// The event itself.
    async fn event(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Event>> {
        read_viewer(ctx)?;
        if self.loaded.is_some() {
            return Ok(self.loaded.clone());
        }
        let app = app(ctx)?;
        let found = feed::events_of(app.store.read(), &[self.row.event]).await;
        let found = found.map_err(|error| failure(error.into()))?.pop();
        found.map(|told| Event::wrap(app, &told)).transpose()
    }

    /// Who put it aside.
    async fn rejected_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        Ok(app(ctx)?.workspace().directory.user(self.row.rejected_by).map(User::wrap))
    }

    /// Who dealt with it.
    async fn resolved_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.row.resolved_by.and_then(|id| workspace.directory.user(id)).map(User::wrap))
    }
}

#[derive(Default)]
pub struct ConsumerQuery;

#[Object]
impl ConsumerQuery {
    /// Your consumer with a key, or for the administrator anybody's; null if there is none.
    async fn consumer(&self, ctx: &Context<'_>, key: String) -> async_graphql::Result<Option<EventConsumer>> {
        let found = consumer::find(app(ctx)?, read_viewer(ctx)?, &key).await.map_err(failure)?;
        found.map(|row| EventConsumer::wrap(ctx, row)).transpose()
    }

    /// Your consumers, or for the administrator all; the newest first.
    async fn event_consumers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 200, 50 without")] first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Page<EventConsumer>> {
        let (app, viewer) = (app(ctx)?, read_viewer(ctx)?);
        let digest = Digest::of("filter", 1, &"eventConsumers");
        let window = PageArgs { first, after, ..PageArgs::default() }.window(app, "created", digest)?;
        let found = consumer::page(app, viewer, window.from, window.limit).await.map_err(failure)?;
        let found = found.into_iter().map(|row| EventConsumer::wrap(ctx, row));
        let found = found.collect::<async_graphql::Result<Vec<_>>>()?;
        Ok(window.page(app, found, |one| (one.created_at.ms(), one.row.id), |one| one))
    }
}

/// One of the two ends of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum FeedEdge {
    /// Before the first event.
    Beginning,
    /// After the newest event.
    Now,
}

/// A place in the log.
#[derive(Clone, Debug, OneofObject)]
pub enum FeedPlace {
    /// One of its ends.
    At(FeedEdge),
    /// After the event with this cursor.
    After(FeedCursor),
}

/// One event of the log.
#[derive(Clone, Debug, OneofObject)]
pub enum EventRef {
    /// Its id.
    Id(Uuid),
    /// Its cursor.
    Cursor(FeedCursor),
}

impl From<FeedPlace> for Place {
    fn from(place: FeedPlace) -> Place {
        match place {
            FeedPlace::At(FeedEdge::Beginning) => Place::At(Edge::Beginning),
            FeedPlace::At(FeedEdge::Now) => Place::At(Edge::Now),
            FeedPlace::After(cursor) => Place::After(cursor.0),
        }
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct RegisterConsumerInput {
    /// Unique in the workspace.
    key: String,
    /// What it is for.
    description: Option<String>,
    /// Which events it gets; all without.
    filter: Option<EventFilterInput>,
    /// Where a new consumer begins: now, unless you say otherwise. One that exists stays where it is.
    start: Option<FeedPlace>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct RegisterConsumerPayload {
    consumer: Option<EventConsumer>,
    /// Whether it did not exist before.
    created: bool,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct AckEventsInput {
    /// Key of the consumer.
    consumer: String,
    /// Cursor of an event or of a page: everything up to there is done with.
    up_to: FeedCursor,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct AckEventsPayload {
    consumer: Option<EventConsumer>,
    /// Whether the consumer went forward. A cursor that is not newer than what was acknowledged changes nothing.
    advanced: bool,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RewindConsumerInput {
    /// Key of the consumer.
    consumer: String,
    /// A place that it has acknowledged already: everything after it comes again.
    to: FeedPlace,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RemoveConsumerInput {
    /// Key of the consumer.
    consumer: String,
    /// The same key again has no second effect; a repetition is answered without the consumer.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct ConsumerPayload {
    consumer: Option<EventConsumer>,
    errors: Vec<UserError>,
}

#[derive(Clone, Debug, InputObject)]
pub struct RejectEventInput {
    /// Key of the consumer.
    consumer: String,
    event: EventRef,
    /// Why it cannot be processed: 1 to 500 characters, and nothing about people.
    reason: String,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(Clone, Debug, InputObject)]
pub struct ResolveDeadLetterInput {
    /// Key of the consumer.
    consumer: String,
    /// Id of the event that was put aside.
    event: Uuid,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct DeadLetterPayload {
    /// The event that was put aside.
    dead_letter: Option<DeadLetter>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ConsumerMutation;

#[Object]
impl ConsumerMutation {
    /// Registers a consumer of events, or changes description and filter of yours. A program may do so at each start.
    async fn register_consumer(
        &self,
        ctx: &Context<'_>,
        input: RegisterConsumerInput,
    ) -> async_graphql::Result<RegisterConsumerPayload> {
        let said =
            format!("{:?}", RegisterConsumerInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let RegisterConsumerInput { key, description, filter, start, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "registerConsumer", idempotency_key, dry_run, &said)?;
        let start = start.map_or(Place::At(Edge::Now), Place::from);
        let made = match filter.unwrap_or_default().read() {
            Ok(filter) => {
                consumer::register(app(ctx)?, &ask, NewConsumer { key, description, filter, start }).await
            }
            Err(refused) => Err(refused.at("input").into()),
        };
        let (made, errors) = payload(made)?;
        let created = made.as_ref().is_some_and(|(_, created)| *created);
        let consumer = made.map(|(row, _)| EventConsumer::wrap(ctx, row)).transpose()?;
        Ok(RegisterConsumerPayload { consumer, created, errors })
    }

    /// Says that everything up to a cursor is done with, so that a reader who comes back goes on after it. It only goes
    /// forward, and is no event itself.
    async fn ack_events(
        &self,
        ctx: &Context<'_>,
        input: AckEventsInput,
    ) -> async_graphql::Result<AckEventsPayload> {
        let AckEventsInput { consumer: key, up_to, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "ackEvents", idempotency_key, dry_run, &(&key, &up_to))?;
        let (acked, errors) = payload(consumer::ack(app(ctx)?, &ask, key, up_to.0).await)?;
        let advanced = acked.as_ref().is_some_and(|(_, advanced)| *advanced);
        let consumer = acked.map(|(row, _)| EventConsumer::wrap(ctx, row)).transpose()?;
        Ok(AckEventsPayload { consumer, advanced, errors })
    }

    /// Steps back on purpose, so that events come again.
    async fn rewind_consumer(
        &self,
        ctx: &Context<'_>,
        input: RewindConsumerInput,
    ) -> async_graphql::Result<ConsumerPayload> {
        let RewindConsumerInput { consumer: key, to, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "rewindConsumer", idempotency_key, dry_run, &(&key, &to))?;
        let (row, errors) = payload(consumer::rewind(app(ctx)?, &ask, key, to.into()).await)?;
        let consumer = row.map(|row| EventConsumer::wrap(ctx, row)).transpose()?;
        Ok(ConsumerPayload { consumer, errors })
    }

    /// Forgets a consumer with all that it put aside.
    async fn remove_consumer(
        &self,
        ctx: &Context<'_>,
        input: RemoveConsumerInput,
    ) -> async_graphql::Result<ConsumerPayload> {
        let RemoveConsumerInput { consumer: key, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "removeConsumer", idempotency_key, dry_run, &key)?;
        let (row, errors) = payload(consumer::remove(app(ctx)?, &ask, key).await)?;
        let consumer = row.flatten().map(|row| EventConsumer::wrap(ctx, row)).transpose()?;
        Ok(ConsumerPayload { consumer, errors })
    }

    /// Puts an event aside that a consumer cannot process, instead of being stuck at it. The consumer stays where it is:
    /// acknowledge the event as any other. An event that waits already stays as it was put aside first.
    async fn reject_event(
        &self,
        ctx: &Context<'_>,
        input: RejectEventInput,
    ) -> async_graphql::Result<DeadLetterPayload> {
        let RejectEventInput { consumer: key, event, reason, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "rejectEvent", idempotency_key, dry_run, &(&key, &event, &reason))?;
        let event = match event {
            EventRef::Id(id) => Which::Id(id.0),
            EventRef::Cursor(cursor) => Which::Cursor(cursor.0),
        };
        let (row, errors) = payload(consumer::reject(app(ctx)?, &ask, key, event, reason).await)?;
        let dead_letter = row.map(|row| DeadLetter::wrap(ctx, row)).transpose()?;
        Ok(DeadLetterPayload { dead_letter, errors })
    }

    /// Says that an event that was put aside has been dealt with. It stays on the list.
    async fn resolve_dead_letter(
        &self,
        ctx: &Context<'_>,
        input: ResolveDeadLetterInput,
    ) -> async_graphql::Result<DeadLetterPayload> {
        let ResolveDeadLetterInput { consumer: key, event, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "resolveDeadLetter", idempotency_key, dry_run, &(&key, event))?;
        let (row, errors) = payload(consumer::resolve(app(ctx)?, &ask, key, event.0).await)?;
        let dead_letter = row.map(|row| DeadLetter::wrap(ctx, row)).transpose()?;
        Ok(DeadLetterPayload { dead_letter, errors })
    }
}
