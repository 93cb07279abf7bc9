//! Service levels as they run: promises that are given, kept, broken, paused or called off.

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use handfast_domain::clock::{ClockEvent, ClockKind, Party};
use handfast_domain::event::{Body, Fact, StreamKind};
use handfast_domain::filter::EventFilter;
use handfast_domain::time::Instant;
use handfast_store::tail::Told;

use super::event::{cursor, facts};
use super::inline::Inline;
use super::lead::{Clock, Lead, lead_by, want};
use super::problem::failure;
use super::scalar::{FeedCursor, Uuid, global, local};
use super::{app, read_viewer, small};
use crate::app::App;

/// What happened to a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SlaChange {
    /// It was given.
    Started,
    /// Time does not count for now.
    Paused,
    /// Time counts again.
    Resumed,
    /// It was kept; of one that was broken: too late.
    Met,
    /// The due time passed.
    Breached,
    /// An act in time became known later.
    Corrected,
    /// It lost its object.
    Cancelled,
}

/// A change of one service level.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct SlaEvent {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Give it as `after` to go on from here.
    cursor: FeedCursor,
    change: SlaChange,
    /// The service level as it is now, which may be further on.
    clock: Clock,
    /// When it happened: of BREACHED, the due time.
    at: Instant,
    /// Key of the charter's reason, with PAUSED.
    reason: Option<String>,
    lead_id: ID,
    /// Version of the lead after the change.
    lead_version: i32,
    recorded_at: Instant,
    /// Number of the charter in force.
    charter: i32,
    #[graphql(skip)]
    lead: uuid::Uuid,
}

#[async_graphql::ComplexObject]
impl SlaEvent {
    /// The lead as it is now.
    async fn lead(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Lead>> {
        lead_by(app(ctx)?, self.lead, &want(ctx.look_ahead())).await
    }
}

/// Clocks that one statement looks up for a subscriber.
const LOOK: usize = 64;

#[derive(Default)]
pub struct ClockSubscription;

#[Subscription]
impl ClockSubscription {
    /// Every change of a service level on a lead, once and in the order of each lead. Without `after` it begins now; with the cursor of
    /// the last event that you saw it goes on from there. All given conditions hold together.
    async fn sla_events(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        #[graphql(desc = "Only these; all without.")] changes: Option<Vec<SlaChange>>,
        #[graphql(desc = "Only service levels of these kinds; all without.")] kinds: Option<Vec<ClockKind>>,
        #[graphql(desc = "Who owes.")] party: Option<Party>,
        lead: Option<ID>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<SlaEvent>>> + use<>> {
        read_viewer(ctx)?;
        let lead = lead.map(|id| local("Lead", &id, "lead")).transpose();
        let lead = lead.map_err(|refused| failure(refused.into()))?;
        let filter = EventFilter {
            kinds: vec!["CLOCK_CHANGED".to_owned()],
            // Feedback has a promise of its own, in its own stream.
            streams: vec![StreamKind::Lead],
            stream: lead.map(|lead| (StreamKind::Lead.as_str().to_owned(), lead)),
            ..EventFilter::default()
        };
        let wanted = move |app: &App, row: &Told, body: &Body| {
            let told = told(app, row, body)?;
            changes.as_ref().is_none_or(|changes| changes.contains(&told.change)).then_some(told)
        };
        let app = app(ctx)?.clone();
        let bare = facts(ctx, after, filter, wanted).await?;
        // Only its start says what a promise is about: the others are looked up, as many at once as there are.
        let pages = bare.ready_chunks(LOOK).then(move |page| whole(app.clone(), page));
        let rows = pages.flat_map(futures_util::stream::iter);
        Ok(rows.filter(move |row| {
            let passes = match row {
                Ok(Inline(event)) => {
                    kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.clock.kind))
                        && party.is_none_or(|party| event.clock.party == party)
                }
                Err(_) => true,
            };
            std::future::ready(passes)
        }))
    }
}

/// As the event tells it, with the clock's id alone.
struct Bare {
    change: SlaChange,
    clock: uuid::Uuid,
    at: Instant,
    reason: Option<String>,
    id: uuid::Uuid,
    cursor: FeedCursor,
    lead: uuid::Uuid,
    version: i64,
    recorded_at: Instant,
    charter: u32,
}

fn told(app: &App, row: &Told, body: &Body) -> Option<Bare> {
    let Fact::ClockChanged { clock } = &body.fact else { return None };
    let (change, reason) = match clock {
        ClockEvent::Started { .. } => (SlaChange::Started, None),
        ClockEvent::Paused { reason, .. } => (SlaChange::Paused, Some(reason.clone())),
        ClockEvent::Resumed { .. } => (SlaChange::Resumed, None),
        ClockEvent::Met { .. } => (SlaChange::Met, None),
        ClockEvent::Breached { .. } => (SlaChange::Breached, None),
        ClockEvent::Corrected { .. } => (SlaChange::Corrected, None),
        ClockEvent::Cancelled { .. } => (SlaChange::Cancelled, None),
    };
    let event = &row.event;
    Some(Bare {
        change,
        clock: clock.clock(),
        at: clock.at(),
        reason,
        id: event.id,
        cursor: cursor(app, row),
        lead: event.stream_id,
        version: event.version,
        recorded_at: event.recorded_at,
        charter: body.charter,
    })
}

type Events = Vec<async_graphql::Result<Inline<SlaEvent>>>;

async fn whole(app: App, page: Vec<async_graphql::Result<Inline<Bare>>>) -> Events {
    let ids: Vec<uuid::Uuid> = page.iter().flatten().map(|Inline(bare)| bare.clock).collect();
    let clocks = match handfast_store::lead::clocks_by_id(app.store.read(), &ids).await {
        Ok(clocks) => clocks,
        Err(error) => return vec![Err(failure(error.into()))],
    };
    let wrap = |bare: Bare| {
        let clock = clocks.get(&bare.clock)?;
        Some(SlaEvent {
            id: Uuid(bare.id),
            cursor: bare.cursor,
            change: bare.change,
            clock: Clock::wrap(clock),
            at: bare.at,
            reason: bare.reason,
            lead_id: global("Lead", bare.lead),
            lead_version: i32::try_from(bare.version).unwrap_or(i32::MAX),
            recorded_at: bare.recorded_at,
            charter: small(bare.charter),
            lead: bare.lead,
        })
    };
    let told = page.into_iter().filter_map(|one| match one {
        Ok(Inline(bare)) => wrap(bare).map(Inline).map(Ok),
        Err(error) => Some(Err(error)),
    });
    told.collect()
}
