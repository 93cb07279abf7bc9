//! Ratings: one of each person for each lead, campaign or piece of content.

use std::collections::BTreeMap;

use handfast_domain::rating::{Rating, RatingReason, RatingSubject, Tally};
use handfast_domain::refused::Refused;
use handfast_domain::stage::Side;
use handfast_store::rating as rows;
use uuid::Uuid;

use super::Error;
use super::check::Checks;
use super::commit::Ask;
use crate::app::App;

/// What each side gave something.
pub type BySide = BTreeMap<Side, Tally>;

/// Rates something, in the place of what the same person said before.
pub async fn rate(
    app: &App,
    ask: &Ask<'_>,
    (subject, id): (RatingSubject, Uuid),
    stars: i32,
    mut reasons: Vec<RatingReason>,
) -> Result<(), Error> {
    let side = ask.viewer.party("rate")?;
    let mut checks = Checks::default();
    let given = u8::try_from(stars).ok().filter(|stars| (1..=5).contains(stars));
    checks.need(given.is_some(), "stars", || format!("1 to 5 stars, found {stars}"));
    checks.done()?;
    reasons.sort();
    reasons.dedup();
    if !exists(app, subject, id).await? {
        return Err(Refused::not_found(subject.as_str().to_lowercase().as_str()).at("input/id").into());
    }
    let stars = given.unwrap_or(1);
    let rating = Rating { subject, id, user: ask.viewer.id(), side, stars, reasons, at: app.now() };
    let decided = app.decide_beside(ask.once.as_ref(), ask.dry_run, move |tx| {
        Box::pin(async move {
            rows::put(tx, &rating).await?;
            Ok(((), String::new()))
        })
    });
    decided.await?;
    Ok(())
}

/// Whether there is something to rate.
pub async fn exists(app: &App, subject: RatingSubject, id: Uuid) -> Result<bool, Error> {
    let workspace = app.workspace();
    Ok(match subject {
        RatingSubject::Campaign => workspace.campaign(id).is_some(),
        RatingSubject::Content => workspace.content(id).is_some(),
        RatingSubject::Lead => !handfast_store::lead::leads(app.store.read(), &[id]).await?.is_empty(),
    })
}
