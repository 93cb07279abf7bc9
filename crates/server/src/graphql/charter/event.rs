//! Charters as they are proposed, signed, rejected, put into force and read.

use async_graphql::{Context, Enum, SimpleObject, Subscription};
use futures_util::Stream;
use handfast_domain::clock::ClockEvent;
use handfast_domain::digest::Digest;
use handfast_domain::event::{Body, Fact, StreamKind};
use handfast_domain::filter::EventFilter;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::tail::Told;

use super::super::event::{cursor, facts};
use super::super::inline::Inline;
use super::super::scalar::{FeedCursor, Uuid};
use super::super::{app, small};
use super::{Charter, User};
use crate::app::App;
use crate::flows::commit::stream_of;

/// What happened to a charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum CharterChange {
    /// It is open for signatures.
    Proposed,
    /// A side signed it.
    Signed,
    /// A side said no.
    Rejected,
    /// It came into force.
    Activated,
    /// Somebody said that they read it.
    Acknowledged,
    /// A side went through it.
    Reviewed,
    /// The day of its review passed, and a side still owes it.
    ReviewOverdue,
}

/// A charter was proposed, signed, rejected, put into force or read.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct CharterEvent {
    /// Unique; use it to tell a repetition.
    id: Uuid,
    /// Give it as `after` to go on from here.
    cursor: FeedCursor,
    change: CharterChange,
    /// Number of the charter that it happened to.
    number: i32,
    /// Digest of its text.
    digest: Digest,
    /// The side that signed it, said no, or went through it. Who owes its review says the charter.
    side: Option<Side>,
    /// Number of the charter that was in force before, when it came into force.
    replaces: Option<i32>,
    occurred_at: Instant,
    recorded_at: Instant,
    #[graphql(skip)]
    user: Option<uuid::Uuid>,
}

#[async_graphql::ComplexObject]
impl CharterEvent {
    /// The charter as it is now, which may be further on.
    async fn charter(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Charter>> {
        let workspace = app(ctx)?.workspace();
        let found = workspace.charters.iter().find(|charter| small(charter.number) == self.number);
        Ok(found.map(|charter| Charter::wrap(&workspace, charter)))
    }

    /// Who did it.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.user.and_then(|id| workspace.directory.user(id)).map(User::wrap))
    }
}

#[derive(Default)]
pub struct CharterSubscription;

const KINDS: [(CharterChange, &str); 7] = [
    (CharterChange::Proposed, "CHARTER_PROPOSED"),
    (CharterChange::Signed, "CHARTER_SIGNED"),
    (CharterChange::Rejected, "CHARTER_REJECTED"),
    (CharterChange::Activated, "CHARTER_ACTIVATED"),
    (CharterChange::Acknowledged, "CHARTER_ACKNOWLEDGED"),
    (CharterChange::Reviewed, "CHARTER_REVIEWED"),
    (CharterChange::ReviewOverdue, "CLOCK_CHANGED"),
];

#[Subscription]
impl CharterSubscription {
    /// Everything that happens to charters, once and in order. Without `after` it begins now; with the cursor of the last event
    /// that you saw it goes on from there.
    async fn charter_changed(
        &self,
        ctx: &Context<'_>,
        after: Option<FeedCursor>,
        #[graphql(desc = "What to be told of; everything without it.")] changes: Option<Vec<CharterChange>>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Inline<CharterEvent>>> + use<>> {
        let wanted = |change| changes.as_ref().is_none_or(|changes| changes.contains(change));
        let kinds = KINDS.iter().filter(|(change, _)| wanted(change)).map(|(_, kind)| (*kind).to_owned());
        // Promises on leads are others' business.
        let streams = vec![StreamKind::Charter];
        let filter = EventFilter { kinds: kinds.collect(), streams, ..EventFilter::default() };
        facts(ctx, after, filter, told).await
    }
}

fn told(app: &App, row: &Told, body: &Body) -> Option<CharterEvent> {
    use CharterChange::{Acknowledged, Activated, Proposed, Rejected, ReviewOverdue, Reviewed, Signed};
    let (change, number, digest, side, replaces) = match &body.fact {
        Fact::CharterProposed { number, digest } => (Proposed, *number, *digest, None, None),
        Fact::CharterSigned { number, digest, side } => (Signed, *number, *digest, Some(*side), None),
        Fact::CharterRejected { number, digest, side } => (Rejected, *number, *digest, Some(*side), None),
        Fact::CharterActivated { number, digest, replaces } => {
            (Activated, *number, *digest, None, Some(small(*replaces)))
        }
        Fact::CharterAcknowledged { number, digest } => (Acknowledged, *number, *digest, None, None),
        Fact::CharterReviewed { number, digest, side, .. } => (Reviewed, *number, *digest, Some(*side), None),
        Fact::ClockChanged { clock: ClockEvent::Breached { .. } } => {
            let workspace = app.workspace();
            let found = workspace.charters.iter().find(|charter| {
                stream_of(StreamKind::Charter, &charter.number.to_string()) == row.event.stream_id
            })?;
            (ReviewOverdue, found.number, found.digest, None, None)
        }
        _ => return None,
    };
    let event = &row.event;
    Some(CharterEvent {
        id: Uuid(event.id),
        cursor: cursor(app, row),
        change,
        number: small(number),
        digest,
        side,
        replaces,
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        user: body.actor.user,
    })
}
