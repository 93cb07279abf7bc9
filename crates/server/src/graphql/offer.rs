//! Offers: a story and an incentive for an audience.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};
use handfast_domain::offer::Offer as Kept;
use handfast_domain::refused::Refused;
use handfast_domain::time::Instant;

use super::audience::Audience;
use super::content::ContentAsset;
use super::lead::LeadRef;
use super::problem::{UserError, failure, payload};
use super::scalar::{global, local};
use super::{app, ask, read_viewer};
use crate::flows::offer::{self, NewOffer};

/// What an audience is offered for a time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Offer {
    pub id: ID,
    /// Unique in the workspace.
    key: String,
    /// The story, in a line.
    title: String,
    /// What the buyer gets for deciding now.
    incentive: String,
    /// When it begins.
    from: Instant,
    /// When it ends, not included; null until it is taken back.
    until: Option<Instant>,
    #[graphql(skip)]
    kept: Arc<Kept>,
}

impl Offer {
    fn wrap(kept: Arc<Kept>) -> Offer {
        Offer {
            id: global("Offer", kept.id),
            key: kept.key.clone(),
            title: kept.title.clone(),
            incentive: kept.incentive.clone(),
            from: kept.from,
            until: kept.until,
            kept,
        }
    }
}

#[ComplexObject]
impl Offer {
    /// Content that tells the story.
    async fn content(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ContentAsset>> {
        let workspace = app(ctx)?.workspace();
        Ok(self.kept.content.and_then(|id| workspace.content(id)).cloned().map(ContentAsset::wrap))
    }

    /// Whom it is for.
    async fn audience(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Audience>> {
        let workspace = app(ctx)?.workspace();
        let found = crate::flows::audience::find(&workspace, self.kept.audience);
        Ok(found.cloned().map(Audience::wrap))
    }
}

#[derive(Default)]
pub struct OfferQuery;

#[Object]
impl OfferQuery {
    /// All offers, by key. A workspace keeps up to 1000.
    async fn offers(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Offer>> {
        read_viewer(ctx)?;
        Ok(app(ctx)?.workspace().offers.iter().cloned().map(Offer::wrap).collect())
    }

    /// What a lead can be offered now: what holds today for an audience that it belongs to.
    async fn offers_for(&self, ctx: &Context<'_>, lead: LeadRef) -> async_graphql::Result<Vec<Offer>> {
        read_viewer(ctx)?;
        let app = app(ctx)?;
        let key = lead.key().map_err(|refused| failure(refused.into()))?;
        let id = crate::flows::lead::find(app, &key).await.map_err(failure)?;
        let found = offer::offers_for(app, id).await.map_err(failure)?;
        Ok(found.into_iter().map(Offer::wrap).collect())
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct UpsertOfferInput {
    /// Unique; a known one is replaced.
    key: String,
    /// The story, in a line of up to 200 characters.
    title: String,
    /// What the buyer gets for deciding now, in up to 500 characters.
    incentive: String,
    /// Content that tells the story.
    content: Option<ID>,
    /// Whom it is for.
    audience: ID,
    /// When it begins; now without.
    from: Option<Instant>,
    /// When it ends; never without.
    until: Option<Instant>,
    /// The same key again has no second effect and is answered as before.
    idempotency_key: Option<String>,
    /// Decide, and write nothing.
    dry_run: Option<bool>,
}

#[derive(SimpleObject)]
pub struct OfferPayload {
    /// The offer as it is now; null when it was refused.
    offer: Option<Offer>,
    errors: Vec<UserError>,
}

#[derive(Default)]
pub struct OfferMutation;

#[Object]
impl OfferMutation {
    /// Marketing makes an audience an offer for a time.
    async fn upsert_offer(
        &self,
        ctx: &Context<'_>,
        input: UpsertOfferInput,
    ) -> async_graphql::Result<OfferPayload> {
        let said =
            format!("{:?}", UpsertOfferInput { idempotency_key: None, dry_run: None, ..input.clone() });
        let UpsertOfferInput {
            key,
            title,
            incentive,
            content,
            audience,
            from,
            until,
            idempotency_key,
            dry_run,
        } = input;
        let ask = ask(ctx, "upsertOffer", idempotency_key, dry_run, &said)?;
        let ids = || {
            let content = content.map(|id| local("ContentAsset", &id, "input/content")).transpose()?;
            Ok::<_, Refused>((content, local("Audience", &audience, "input/audience")?))
        };
        let made = match ids() {
            Ok((content, audience)) => {
                let new = NewOffer { key, title, incentive, content, audience, from, until };
                offer::upsert(app(ctx)?, &ask, new).await
            }
            Err(refused) => Err(refused.into()),
        };
        let (offer, errors) = payload(made)?;
        Ok(OfferPayload { offer: offer.map(Arc::new).map(Offer::wrap), errors })
    }
}
