//! Where the two sides rub, ranked, with leads that show it.

use handfast_domain::friction::{FrictionKind, STALLED_DAYS};
use handfast_domain::time::DAY;
use handfast_store::friction::{self as rows, ConflictingTouch, Counted};
use uuid::Uuid;

use super::Error;
use super::window::Window;
use crate::app::App;

/// Everything of a window, the most frequent first; stalls are of now.
pub async fn points(app: &App, window: Window, limit: usize) -> Result<Vec<(FrictionKind, Counted)>, Error> {
    let (db, span) = (app.store.reports(), (window.from, window.to));
    let mut found: Vec<(FrictionKind, Counted)> = vec![];
    let mut take = |kind, counted: Vec<Counted>| found.extend(counted.into_iter().map(|one| (kind, one)));
    take(FrictionKind::RejectedHandoff, rows::rejections(db, span).await?);
    take(FrictionKind::Drop, rows::drops(db, span).await?);
    take(FrictionKind::BrokenPromise, rows::breaches(db, span).await?);
    take(FrictionKind::Stall, rows::stalls(db, app.now().plus(-STALLED_DAYS * DAY)).await?);
    // Stable: of the same count, what sales said no to comes first.
    found.sort_by_key(|(_, one)| std::cmp::Reverse(one.count));
    found.truncate(limit);
    Ok(found)
}

/// Marketing's touches of leads while sales worked them, the newest first.
pub async fn conflicts(
    app: &App,
    window: Window,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<ConflictingTouch>, Error> {
    Ok(rows::conflicts(app.store.reports(), (window.from, window.to), after, limit).await?)
}
