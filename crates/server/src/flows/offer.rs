//! Offers: a story and an incentive that marketing makes an audience for a time.

use std::sync::Arc;

use handfast_domain::offer::Offer;
use handfast_domain::refused::Refused;
use handfast_domain::stage::Side;
use handfast_domain::time::Instant;
use uuid::Uuid;

use super::check::Checks;
use super::commit::Ask;
use super::{Error, audience, document, scope};
use crate::app::App;

pub struct NewOffer {
    pub key: String,
    pub title: String,
    pub incentive: String,
    pub content: Option<Uuid>,
    pub audience: Uuid,
    pub from: Option<Instant>,
    pub until: Option<Instant>,
}

/// Makes an offer, or replaces the one of the key.
pub async fn upsert(app: &App, ask: &Ask<'_>, new: NewOffer) -> Result<Offer, Error> {
    ask.viewer.require(scope::LEADS_WRITE)?;
    ask.viewer.require_side(Side::Marketing, "make an offer")?;
    let NewOffer { key, title, incentive, content, audience: to, from, until } = new;
    let (workspace, now) = (app.workspace(), app.now());
    let mut checks = Checks::default();
    checks.key("key", &key);
    checks.text("title", &title, 200);
    checks.text("incentive", &incentive, 500);
    if content.is_some_and(|id| workspace.content(id).is_none()) {
        checks.refuse(Refused::not_found("content").at("content"));
    }
    if audience::find(&workspace, to).is_none() {
        checks.refuse(Refused::not_found("audience").at("audience"));
    }
    let begin = from.unwrap_or(now);
    checks.need(until.is_none_or(|until| begin < until), "until", || {
        format!("it begins at {begin} and ends before that")
    });
    checks.done()?;
    document::put(app, ask, move |all: &[Offer], id| {
        let before = all.iter().find(|offer| offer.key == key);
        let (id, created_at) = before.map_or((id, now), |offer| (offer.id, offer.created_at));
        let from = from.or(before.map(|offer| offer.from)).unwrap_or(now);
        Ok(Offer { id, key, title, incentive, content, audience: to, from, until, created_at })
    })
    .await
}

/// What a lead can be offered now: what holds for an audience that it belongs to.
pub async fn offers_for(app: &App, lead: Uuid) -> Result<Vec<Arc<Offer>>, Error> {
    let (workspace, now) = (app.workspace(), app.now());
    let segments = audience::segments(app, lead).await?;
    let fits = |offer: &&Arc<Offer>| {
        offer.holds_at(now) && segments.iter().any(|audience| audience.id == offer.audience)
    };
    Ok(workspace.offers.iter().filter(fits).cloned().collect())
}
