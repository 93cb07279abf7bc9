//! Events: the log as a query by cursor and as subscriptions. Everything is read from the feed; nothing is published
//! by a resolver.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, ID, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use handfast_domain::event::{ActorKind, Body, Fact, StreamKind};
use handfast_domain::filter::{EventFilter, STAGE_CHANGED};
use handfast_domain::refused::Refused;
use handfast_domain::stage::{Cause, StageKind};
use handfast_domain::time::Instant;
use handfast_store::tail::Told;

use super::directory::User;
use super::filter::{EventFilterInput, StageChangeFilter};
use super::funnel::FunnelStage;
use super::inline::Inline;
use super::lead::{Lead, lead_by, leads_by, want};
use super::problem::{coded, failure};
use super::scalar::{FeedCursor, Uuid, global};
use super::{app, read_viewer};
use crate::app::App;
use crate::flows::feed::{self, Asked, FeedEdge, Reading};
use crate::http::{Behind, LastEventId};

/// A fact of the log. It carries ids, enum values, digests and amounts, never personal data.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Event {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Place in the feed: give it as `after` to go on from here.
    cursor: FeedCursor,
    /// What happened, for example `STAGE_CHANGED`; `schema/events.json` lists all kinds.
    kind: String,
    stream: StreamKind,
    /// Rises by one with each change of the stream; the ordinal numbers the events of a change.
    version: i32,
    /// Counts from 0 within the change.
    ordinal: i32,
    cause: Cause,
    actor: ActorKind,
    /// Number of the charter in force.
    charter: i32,
    cycle: Option<i32>,
    occurred_at: Instant,
    recorded_at: Instant,
    /// The whole fact as JSON, in the shape of `schema/events.json`.
    payload: String,
    #[graphql(skip)]
    stream_id: uuid::Uuid,
    #[graphql(skip)]
    user: Option<uuid::Uuid>,
    /// Read with its page, where the look-ahead saw it.
    #[graphql(skip)]
    loaded: Option<Lead>,
}

impl Event {
    pub fn wrap(app: &App, row: &Told) -> async_graphql::Result<Event> {
        let body = row.body().map_err(|error| failure(error.into()))?;
        let event = &row.event;
        Ok(Event {
            id: Uuid(event.id),
            cursor: cursor(app, row),
            kind: event.kind.clone(),
            stream: StreamKind::parse(&event.stream_kind).unwrap_or(StreamKind::Lead),
            version: i32::try_from(event.version).unwrap_or(i32::MAX),
            ordinal: i32::try_from(event.ordinal).unwrap_or(i32::MAX),
            cause: body.cause,
            actor: body.actor.kind,
            charter: super::small(body.charter),
            cycle: body.cycle.map(super::small),
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            payload: event.payload.clone(),
            stream_id: event.stream_id,
            user: body.actor.user,
            loaded: None,
        })
    }
}

#[async_graphql::ComplexObject]
impl Event {
    /// Id of the lead, for events of a lead.
    async fn lead_id(&self) -> Option<ID> {
        (self.stream == StreamKind::Lead).then(|| global("Lead", self.stream_id))
    }

    /// The lead as it is now, for events of a lead.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        match self.stream {
            StreamKind::Lead if self.loaded.is_some() => Ok(self.loaded.clone()),
            StreamKind::Lead => lead_by(app(ctx)?, self.stream_id, &want(ctx.look_ahead())).await,
            _ => Ok(None),
        }
    }

    /// Who did it, if a person or service did.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.user.and_then(|id| workspace.directory.user(id)).map(User::wrap))
    }
}

/// A lead moved to another stage.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct LeadStageChange {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Give it as `after` to go on from here.
    cursor: FeedCursor,
    lead_id: ID,
    lead_uuid: Uuid,
    /// 1..n over the lead's life, without gaps: a missing number is a missed change.
    stage_version: i32,
    /// Version of the lead after the change.
    lead_version: i32,
    cycle: i32,
    /// Null for a new lead.
    from: Option<StageKind>,
    to: StageKind,
    /// Stages whose criteria were met in the same decision.
    skipped: Vec<StageKind>,
    cause: Cause,
    /// Number of the charter in force.
    charter: i32,
    occurred_at: Instant,
    recorded_at: Instant,
    #[graphql(skip)]
    uuid: uuid::Uuid,
}

#[async_graphql::ComplexObject]
impl LeadStageChange {
    /// The lead as it is now, which may be further on.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        lead_by(app(ctx)?, self.uuid, &want(ctx.look_ahead())).await
    }
}

/// A page of the log.
#[derive(SimpleObject)]
pub struct EventPage {
    events: Vec<Inline<Event>>,
    /// Read on after this cursor, also when the page is empty.
    cursor: FeedCursor,
    /// Whether the page reached the newest event.
    at_head: bool,
}

#[derive(Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// The log after a cursor, or after what a consumer acknowledged; from the beginning without either.
    async fn events(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        filter: Option<EventFilterInput>,
        #[graphql(
            desc = "Key of a consumer: its place and its filter, in place of `after` and `filter`. Acknowledge \
                          the page's cursor to get the next page"
        )]
        consumer: Option<String>,
        #[graphql(desc = "1 to 500", default = 100)] first: i32,
    ) -> async_graphql::Result<EventPage> {
        let (app, viewer) = (app(ctx)?, read_viewer(ctx)?);
        let limit = usize::try_from(super::bounded("first", first, 500)?).unwrap_or(1);
        let asked = asked(after, consumer, filter.unwrap_or_default().read())?;
        let Reading { after, filter } =
            feed::reading(app, viewer, asked, FeedEdge::Beginning).await.map_err(failure)?;
        app.store.settle().await.map_err(|error| failure(error.into()))?;
        let page =
            app.store.events_after(after, limit, &filter).await.map_err(|error| failure(error.into()))?;
        let mut events =
            page.events.iter().map(|row| Event::wrap(app, row)).collect::<async_graphql::Result<Vec<_>>>()?;
        let look = ctx.look_ahead().field("events").field("lead");
        if look.exists() {
            let of_leads = events.iter().filter(|event| event.stream == StreamKind::Lead);
            let ids: Vec<uuid::Uuid> = of_leads.map(|event| event.stream_id).collect();
            let leads = leads_by(app, &ids, &want(look)).await?;
            events.iter_mut().for_each(|event| event.loaded = leads.get(&event.stream_id).cloned());
        }
        let cursor = FeedCursor(app.store.cursors().feed(page.next));
        let events = events.into_iter().map(Inline).collect();
        Ok(EventPage { events, cursor, at_head: page.next >= page.head })
    }

    /// Where the log ends now: subscribe after it to see everything that follows.
    async fn feed_head(&self, ctx: &Context<'_>) -> async_graphql::Result<FeedCursor> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        app.store.settle().await.map_err(|error| failure(error.into()))?;
        let head = *app.store.head().borrow();
        Ok(FeedCursor(app.store.cursors().feed(head)))
    }
}

#[derive(Default)]
pub struct EventSubscription;

#[Subscription]
impl EventSubscription {
    /// Every stage change, once and in the order of each lead. Without `after` it begins now; with the cursor of the
    /// last event that you saw it goes on from there, however long ago that was; with `consumer`, after what that one
    /// acknowledged.
    async fn lead_stage_changed(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        filter: Option<StageChangeFilter>,
        #[graphql(
            desc = "Key of a consumer of stage changes alone: its place and its filter, in place of `after` and \
                          `filter`"
        )]
        consumer: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<LeadStageChange>>> + use<>>
    {
        let (app, viewer) = (app(ctx)?.clone(), read_viewer(ctx)?);
        let named = consumer.is_some();
        let asked = resumed(ctx, asked(after, consumer, filter.unwrap_or_default().read())?);
        let mut reading = feed::reading(&app, viewer, asked, FeedEdge::Now).await.map_err(failure)?;
        if named && !reading.filter.is_of_stages() {
            let message = "this consumer gets other events, too, which its acknowledgements would pass over here: read \
                           leadEvents, or register one with kinds [STAGE_CHANGED]";
            return Err(coded("VALIDATION", message, false));
        }
        reading.filter.kinds = vec![STAGE_CHANGED.to_owned()];
        let rows = follow(ctx, app.clone(), reading);
        Ok(rows.filter_map(move |row| {
            let change = row.and_then(|row| stage_change(&app, &row));
            std::future::ready(change.map(|change| change.map(Inline)).transpose())
        }))
    }

    /// Every event of the log, or those of one lead or some kinds; with `consumer`, those of that one after what it
    /// acknowledged.
    async fn lead_events(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        filter: Option<EventFilterInput>,
        #[graphql(desc = "Key of a consumer: its place and its filter, in place of `after` and `filter`")]
        consumer: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<Event>>> + use<>> {
        let (app, viewer) = (app(ctx)?.clone(), read_viewer(ctx)?);
        let asked = resumed(ctx, asked(after, consumer, filter.unwrap_or_default().read())?);
        let reading = feed::reading(&app, viewer, asked, FeedEdge::Now).await.map_err(failure)?;
        let rows = follow(ctx, app.clone(), reading);
        Ok(rows.map(move |row| row.and_then(|row| Event::wrap(&app, &row).map(Inline))))
    }

    /// How many leads stand at each stage, whenever that changed, at most once in `intervalMs`.
    async fn funnel_counts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "250 to 60000", default = 1000)] interval_ms: i32,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Vec<Inline<FunnelStage>>>> + use<>>
    {
        read_viewer(ctx)?;
        let interval = u64::try_from(interval_ms).ok().filter(|ms| (250..=60_000).contains(ms));
        let interval =
            interval.ok_or_else(|| coded("VALIDATION", "intervalMs must be 250 to 60000", false))?;
        let app = app(ctx)?.clone();
        let mut head = app.store.head();
        head.mark_changed();
        Ok(futures_util::stream::unfold((app, head), move |(app, mut head)| async move {
            head.changed().await.ok()?;
            // Changes of the last moment are told together.
            tokio::time::sleep(Duration::from_millis(interval)).await;
            head.mark_unchanged();
            let counts = super::funnel::stages(&app).await;
            Some((counts, (app, head)))
        }))
    }
}

/// Follows what passes a filter after a place, or from now on. Each event becomes an item by `wrap`; what that leaves out is
/// not told.
pub(super) async fn facts<T, F>(
    ctx: &Context<'_>,
    after: Option<FeedCursor>,
    filter: EventFilter,
    wrap: F,
) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<T>>> + use<T, F>>
where
    T: Send + 'static,
    F: Fn(&App, &Told, &Body) -> Option<T> + Send + 'static,
{
    let (app, viewer) = (app(ctx)?.clone(), read_viewer(ctx)?);
    let asked = resumed(ctx, asked(after, None, Ok(filter))?);
    let reading = feed::reading(&app, viewer, asked, FeedEdge::Now).await.map_err(failure)?;
    let rows = follow(ctx, app.clone(), reading);
    Ok(rows.filter_map(move |row| {
        let item = row.and_then(|row| {
            let body = row.body().map_err(|error| failure(error.into()))?;
            Ok(wrap(&app, &row, body))
        });
        std::future::ready(item.map(|item| item.map(Inline)).transpose())
    }))
}

/// Events of one page of a subscriber.
const PAGE: usize = 200;
/// From how many positions on a subscriber is far behind. Its pages are its own, and stay in memory for as long as it does not
/// read; those near the head share theirs.
const FAR: i64 = 500;
const PAGE_OF_FAR: usize = 32;

/// Follows the feed from a place: pages while it is behind, then a wake-up for every commit. Each subscriber reads the
/// log at its own pace, so a slow one costs a page and never a growing buffer.
fn follow(
    ctx: &Context<'_>,
    app: App,
    reading: Reading,
) -> impl Stream<Item = async_graphql::Result<Arc<Told>>> + use<> {
    let Reading { after: start, filter } = reading;
    let behind = ctx.data_opt::<Behind>().cloned().unwrap_or_default();
    let head = app.store.head();
    behind.set(*head.borrow() - start > FAR);
    let pages = futures_util::stream::unfold(Some((app, head, start)), move |state| {
        let (filter, behind) = (filter.clone(), behind.clone());
        async move {
            let (app, mut head, position) = state?;
            loop {
                let known = *head.borrow_and_update();
                if position < known {
                    let far = known - position > FAR;
                    behind.set(far);
                    let limit = if far { PAGE_OF_FAR } else { PAGE };
                    match app.store.events_after(position, limit, &filter).await {
                        Ok(page) if page.events.is_empty() && page.next > position => {
                            return Some((vec![], Some((app, head, page.next))));
                        }
                        Ok(page) => {
                            let rows = page.events.into_iter().map(Ok).collect();
                            return Some((rows, Some((app, head, page.next))));
                        }
                        Err(error) => return Some((vec![Err(failure(error.into()))], None)),
                    }
                }
                head.changed().await.ok()?;
            }
        }
    });
    pages.flat_map(futures_util::stream::iter)
}

fn asked(
    after: Option<FeedCursor>,
    consumer: Option<String>,
    filter: Result<EventFilter, Refused>,
) -> async_graphql::Result<Asked> {
    let filter = filter.map_err(|refused| failure(refused.into()))?;
    Ok(Asked { after: after.map(|cursor| cursor.0), consumer, filter, resumed: None })
}

/// With where a connection was that broke.
fn resumed(ctx: &Context<'_>, asked: Asked) -> Asked {
    Asked { resumed: ctx.data_opt::<LastEventId>().map(|last| last.0.clone()), ..asked }
}

pub(super) fn cursor(app: &App, row: &Told) -> FeedCursor {
    FeedCursor(row.cursor(app.store.cursors()).to_string())
}

fn stage_change(app: &App, row: &Told) -> async_graphql::Result<Option<LeadStageChange>> {
    let body = row.body().map_err(|error| failure(error.into()))?;
    let Fact::StageChanged { from, to, skipped, stage_version, .. } = &body.fact else { return Ok(None) };
    let (from, to, skipped, stage_version) = (*from, *to, skipped.clone(), *stage_version);
    let event = &row.event;
    Ok(Some(LeadStageChange {
        id: Uuid(event.id),
        cursor: cursor(app, row),
        lead_id: global("Lead", event.stream_id),
        lead_uuid: Uuid(event.stream_id),
        stage_version: super::small(stage_version),
        lead_version: i32::try_from(event.version).unwrap_or(i32::MAX),
        cycle: body.cycle.map_or(0, super::small),
        from,
        to,
        skipped,
        cause: body.cause,
        charter: super::small(body.charter),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        uuid: event.stream_id,
    }))
}
