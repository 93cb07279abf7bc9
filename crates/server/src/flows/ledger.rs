//! Days of the ledger in the charter's time zone.

use handfast_domain::ledger::LedgerDay;
use handfast_domain::time::{DAY, Instant};
use handfast_store::ledger;

use super::Error;
use crate::app::App;
use crate::workspace::Workspace;

/// The most days of one request.
pub const MAX_DAYS: i32 = 366;

/// The days from `first` to `last`, counted from 1970-01-01 in the charter's time zone.
pub async fn days(app: &App, first: i32, last: i32) -> Result<Vec<LedgerDay>, Error> {
    let workspace = app.workspace();
    let edges: Vec<Instant> = (first..=last.saturating_add(1)).map(|day| begin(&workspace, day)).collect();
    Ok(ledger::days(app.store.reports(), first, &edges).await?)
}

/// When a day begins: the first instant that counts to it. A day that a zone skipped is empty.
fn begin(workspace: &Workspace, day: i32) -> Instant {
    let midnight = i64::from(day) * DAY;
    let (mut before, mut from) = (midnight - 2 * DAY, midnight + 2 * DAY);
    while from - before > 1 {
        let middle = before + (from - before) / 2;
        if workspace.day(Instant(middle)) >= day { from = middle } else { before = middle }
    }
    Instant(from)
}
