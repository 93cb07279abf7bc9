//! Days of the ledger in the charter's time zone, and promises of all that they can be given on.

use std::collections::BTreeMap;

use handfast_domain::clock::{ClockKind, SlaClock};
use handfast_domain::feedback::Feedback;
use handfast_domain::ledger::LedgerDay;
use handfast_domain::time::{DAY, Instant};
use handfast_store::lead::StoredLead;
use handfast_store::ledger::{self, ClockCounts, ClockFilter};
use handfast_store::{charter_review, feedback};
use uuid::Uuid;

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
pub fn begin(workspace: &Workspace, day: i32) -> Instant {
    let midnight = i64::from(day) * DAY;
    let (mut before, mut from) = (midnight - 2 * DAY, midnight + 2 * DAY);
    while from - before > 1 {
        let middle = before + (from - before) / 2;
        if workspace.day(Instant(middle)) >= day { from = middle } else { before = middle }
    }
    Instant(from)
}

/// What a promise was given on.
pub enum Given {
    Lead(Box<StoredLead>),
    Feedback(Box<Feedback>),
    /// Number of the charter.
    Charter(u32),
}

impl Given {
    pub fn lead(&self) -> Option<&StoredLead> {
        match self {
            Given::Lead(lead) => Some(lead),
            Given::Feedback(_) | Given::Charter(_) => None,
        }
    }
}

/// A page of promises, the earliest due time first: those on leads, those to acknowledge feedback and those to
/// review the charter have indexes of their own.
pub async fn clocks(
    app: &App,
    filter: &ClockFilter,
    from: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<(SlaClock, Given)>, Error> {
    let db = app.store.read();
    let mut found = vec![];
    let own = [ClockKind::FeedbackAck, ClockKind::CharterReview];
    if filter.kind.is_none_or(|kind| !own.contains(&kind)) {
        let rows = ledger::clocks(db, filter, from, limit).await?;
        found.extend(rows.into_iter().map(|(clock, lead)| (clock, Given::Lead(Box::new(lead)))));
    }
    if filter.kind.is_none_or(|kind| kind == ClockKind::FeedbackAck) {
        let rows = feedback::clocks(db, filter, from, limit).await?;
        found.extend(
            rows.into_iter().filter_map(|one| Some((one.clock.clone()?, Given::Feedback(Box::new(one))))),
        );
    }
    if filter.kind.is_none_or(|kind| kind == ClockKind::CharterReview) {
        let rows = charter_review::clocks(db, filter, from, limit).await?;
        found.extend(rows.into_iter().map(|(number, clock)| (clock, Given::Charter(number))));
    }
    found.sort_by_key(|(clock, _)| (clock.due_at, clock.id));
    found.truncate(usize::try_from(limit).unwrap_or(0));
    Ok(found)
}

/// How many promises of each kind were given, and where they stand. Those on leads are counted as they change; feedback is so
/// little that it is counted where it lies.
pub async fn clock_counts(app: &App) -> Result<BTreeMap<ClockKind, ClockCounts>, Error> {
    let mut counts = ledger::clock_counts(app.store.read()).await?;
    let states = feedback::clock_states(app.store.read()).await?;
    if !states.is_empty() {
        let started = states.values().sum();
        counts.insert(ClockKind::FeedbackAck, ClockCounts { started, states });
    }
    let states = charter_review::clock_states(app.store.read()).await?;
    if !states.is_empty() {
        let started = states.values().sum();
        counts.insert(ClockKind::CharterReview, ClockCounts { started, states });
    }
    Ok(counts)
}
