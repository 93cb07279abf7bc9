//! Stars for leads, campaigns and content, counted by side.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::rating::{Rating, RatingReason, RatingSubject, Tally};
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use handfast_store::rating as store;

use super::problem::{UserError, failure, payload};
use super::scalar::{Long, local};
use super::{app, ask, read_viewer};
use crate::app::App;
use crate::flows::rating::{self, BySide};

/// What people gave something: of both sides together, and of each.
#[derive(Clone, SimpleObject)]
pub struct Ratings {
    /// People who rated it.
    count: Long,
    /// Mean in hundredths of a star: 425 is 4.25 stars; null without ratings.
    mean_hundredths: Option<i32>,
    /// How often one star was given, two, and so on up to five.
    distribution: Vec<Long>,
    /// Reasons that were given, the most frequent first.
    reasons: Vec<RatingReasonCount>,
    /// The same of each side that rated it.
    sides: Vec<SideRatings>,
}

/// What people of one side gave something.
#[derive(Clone, SimpleObject)]
pub struct SideRatings {
    side: Side,
    /// People of the side who rated it.
    count: Long,
    /// Mean in hundredths of a star.
    mean_hundredths: Option<i32>,
    /// How often one star was given, two, and so on up to five.
    distribution: Vec<Long>,
    /// Reasons that were given, the most frequent first.
    reasons: Vec<RatingReasonCount>,
}

/// How often a reason was given.
#[derive(Clone, SimpleObject)]
pub struct RatingReasonCount {
    reason: RatingReason,
    /// People who gave it.
    count: Long,
}

/// What one person gave something.
#[derive(Clone, SimpleObject)]
pub struct OwnRating {
    /// 1 to 5.
    stars: i32,
    reasons: Vec<RatingReason>,
    at: Instant,
}

fn reasons(tally: &Tally) -> Vec<RatingReasonCount> {
    let mut counted: Vec<(i64, RatingReason)> =
        tally.reasons.iter().map(|(one, times)| (*times, *one)).collect();
    counted.sort_by_key(|(times, reason)| (std::cmp::Reverse(*times), *reason));
    counted.into_iter().map(|(times, reason)| RatingReasonCount { reason, count: Long(times) }).collect()
}

impl Ratings {
    pub fn wrap(by_side: &BySide) -> Ratings {
        let mut all = Tally::default();
        by_side.values().for_each(|tally| all.add(tally));
        let side = |(side, tally): (&Side, &Tally)| SideRatings {
            side: *side,
            count: Long(tally.count()),
            mean_hundredths: tally.mean_hundredths(),
            distribution: tally.stars.map(Long).to_vec(),
            reasons: reasons(tally),
        };
        Ratings {
            count: Long(all.count()),
            mean_hundredths: all.mean_hundredths(),
            distribution: all.stars.map(Long).to_vec(),
            reasons: reasons(&all),
            sides: by_side.iter().map(side).collect(),
        }
    }

    /// Of one thing.
    pub async fn of(app: &App, subject: RatingSubject, id: uuid::Uuid) -> async_graphql::Result<Ratings> {
        let found = store::tallies(app.store.read(), subject, &[id]).await;
        let found = found.map_err(|error| failure(error.into()))?;
        Ok(Ratings::wrap(found.get(&id).unwrap_or(&BySide::default())))
    }
}

fn read(subject: RatingSubject, id: &ID, path: &str) -> async_graphql::Result<uuid::Uuid> {
    let kind = match subject {
        RatingSubject::Campaign => "Campaign",
        RatingSubject::Content => "ContentAsset",
        RatingSubject::Lead => "Lead",
    };
    local(kind, id, path).map_err(|refused| failure(refused.into()))
}

#[derive(Default)]
pub struct RatingQuery;

#[Object]
impl RatingQuery {
    /// What people gave a lead, a campaign or a piece of content.
    async fn ratings(
        &self,
        ctx: &Context<'_>,
        subject: RatingSubject,
        #[graphql(desc = "Of the lead, campaign or content.")] id: ID,
    ) -> async_graphql::Result<Ratings> {
        read_viewer(ctx)?;
        let id = read(subject, &id, "id")?;
        Ratings::of(app(ctx)?, subject, id).await
    }

    /// What you gave it; null if nothing.
    async fn own_rating(
        &self,
        ctx: &Context<'_>,
        subject: RatingSubject,
        #[graphql(desc = "Of the lead, campaign or content.")] id: ID,
    ) -> async_graphql::Result<Option<OwnRating>> {
        let viewer = read_viewer(ctx)?;
        let id = read(subject, &id, "id")?;
        let found = store::of_user(app(ctx)?.store.read(), subject, id, viewer.id()).await;
        let wrap = |Rating { stars, reasons, at, .. }| OwnRating { stars: i32::from(stars), reasons, at };
        Ok(found.map_err(|error| failure(error.into()))?.map(wrap))
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct RateInput {
    subject: RatingSubject,
    /// Of the lead, campaign or content.
    id: ID,
    /// 1 to 5; it takes the place of what you gave before.
    stars: i32,
    /// Why.
    reasons: Option<Vec<RatingReason>>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct RatePayload {
    /// What people gave it by now; null when it was refused.
    ratings: Option<Ratings>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct RatingMutation;

#[Object]
impl RatingMutation {
    /// Says how good a lead, a campaign or a piece of content is, and why: one word of each person.
    async fn rate(&self, ctx: &Context<'_>, input: RateInput) -> async_graphql::Result<RatePayload> {
        let RateInput { subject, id, stars, reasons, idempotency_key, dry_run } = input;
        let ask = ask(ctx, "rate", idempotency_key, dry_run, &(subject, &id.0, stars, &reasons))?;
        let (app, id) = (app(ctx)?, read(subject, &id, "input/id")?);
        let rated = rating::rate(app, &ask, (subject, id), stars, reasons.unwrap_or_default()).await;
        let (rated, errors) = payload(rated)?;
        let ratings = match rated {
            Some(()) => Some(Ratings::of(app, subject, id).await?),
            None => None,
        };
        Ok(RatePayload { ratings, errors })
    }
}
