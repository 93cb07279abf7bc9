//! The review of the charter in force: who owes it, and what each side said.

use async_graphql::{Context, InputObject, SimpleObject};
use handfast_domain::charter::Charter as Agreed;
use handfast_domain::charter::review::{CharterReview as Kept, ReviewVerdict};
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::charter_review as store;

use super::super::app;
use super::super::directory::User;
use super::super::lead::Clock;
use super::super::problem::failure;
use crate::app::App;
use crate::flows::charter_review::SHOWN;

/// One side's word on the charter in force.
#[derive(Clone, SimpleObject)]
pub struct CharterReview {
    side: Side,
    verdict: ReviewVerdict,
    /// What should change, or what was talked about.
    comment: Option<String>,
    at: Instant,
    /// Who said it; null for somebody who is no longer known.
    user: Option<User>,
}

/// Who owes the review of a charter, and what was said of it. A round of promises begins when a charter comes into force, and again
/// when everybody has kept the last one.
#[derive(Clone, SimpleObject)]
pub struct CharterReviewState {
    /// When the charter in force is due; null of any other.
    due_at: Option<Instant>,
    /// Whether the day passed and somebody still owes it.
    overdue: bool,
    /// Sides that owe it, in this round.
    awaiting: Vec<Side>,
    /// The promises of this round; empty where the charter makes none.
    clocks: Vec<Clock>,
    /// What the sides said of this charter, the newest 50.
    reviews: Vec<CharterReview>,
}

/// Of any charter, in two statements.
pub async fn state(app: &App, charter: &Agreed) -> async_graphql::Result<CharterReviewState> {
    let db = app.store.read();
    let promises = store::promises(db, charter.number).await.map_err(|error| failure(error.into()))?;
    let reviews = store::reviews(db, charter.number, SHOWN).await.map_err(|error| failure(error.into()))?;
    let workspace = app.workspace();
    let round = promises.round();
    let open = round.iter().filter(|clock| clock.met_at.is_none());
    let wrap = |Kept { side, verdict, comment, at, user, .. }| CharterReview {
        side,
        verdict,
        comment,
        at,
        user: workspace.directory.user(user).map(User::wrap),
    };
    Ok(CharterReviewState {
        due_at: charter.review_due_at(),
        overdue: promises.overdue(),
        awaiting: open.filter_map(|clock| Side::parse(clock.party.as_str())).collect(),
        clocks: round.into_iter().map(Clock::wrap).collect(),
        reviews: reviews.into_iter().map(wrap).collect(),
    })
}

/// The same for a field.
pub(super) async fn of(ctx: &Context<'_>, charter: &Agreed) -> async_graphql::Result<CharterReviewState> {
    state(app(ctx)?, charter).await
}

#[derive(Clone, Debug, InputObject)]
pub struct RecordCharterReviewInput {
    /// Number of the charter in force.
    pub number: i32,
    pub verdict: ReviewVerdict,
    /// What should change, or what was talked about: 1 to 2000 characters; needed with REVISE. Name no lead.
    pub comment: Option<String>,
    /// The same key again has no second effect and is answered as before.
    pub idempotency_key: Option<String>,
    /// Decide, and write nothing.
    pub dry_run: Option<bool>,
}
