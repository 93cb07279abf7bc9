//! The counters: numbers that every change keeps in its own transaction, so that no screen has to scan. What a counter
//! must be follows from the log alone; the writer and a replay count by the same function.

use std::collections::BTreeMap;

use handfast_domain::change::Change;
use handfast_domain::clock::ClockEvent;
use handfast_domain::event::{Event, Fact};
use handfast_domain::lead::Journey;
use handfast_domain::stage::{CycleOutcome, StageKind};
use handfast_domain::time::{Instant, MINUTE};

use crate::error::Result;
use crate::rows::add_rows;
use crate::tx::Tx;

/// Family, subject, metric.
pub(crate) type Key = (&'static str, String, String);

/// What to add to each counter.
pub(crate) type Deltas = BTreeMap<Key, i64>;

pub(crate) async fn write(tx: &Tx, changes: &[Change]) -> Result<()> {
    let mut deltas = Deltas::new();
    for change in changes {
        let before = (change.expected > 0).then_some(&change.before);
        count(&mut deltas, before, &change.after, &change.events);
    }
    add(tx, deltas).await
}

/// Counts what happened to one lead between two states. From nothing to now with all events, or change by change: the
/// sums are the same.
pub(crate) fn count<'e>(
    deltas: &mut Deltas,
    before: Option<&Journey>,
    after: &Journey,
    events: impl IntoIterator<Item = &'e Event>,
) {
    let mut count = |family: &'static str, subject: &str, metric: &str, by: i64| {
        *deltas.entry((family, subject.to_owned(), metric.to_owned())).or_default() += by;
    };
    // Where leads stand now: stage and outcome of the newest cycle.
    for (journey, by) in before.map(|journey| (journey, -1)).into_iter().chain([(after, 1)]) {
        let lead = &journey.lead;
        count("funnel", lead.stage.as_str(), lead.outcome.as_str(), by);
        count("furthest", lead.furthest_stage.as_str(), "leads", by);
    }
    // Where clocks stand now. A clock that was loaded never leaves the journey.
    for clock in &after.clocks {
        let known = before.and_then(|journey| journey.clocks.iter().find(|known| known.id == clock.id));
        if let Some(known) = known {
            count("clock", known.kind.as_str(), known.state.as_str(), -1);
        }
        count("clock", clock.kind.as_str(), clock.state.as_str(), 1);
    }
    let campaign = after.lead.campaign.map(|campaign| campaign.simple().to_string());
    for event in events {
        match &event.body.fact {
            Fact::LeadCaptured { .. } => {
                if let Some(campaign) = &campaign {
                    count("campaign", campaign, "leads", 1);
                }
            }
            Fact::CycleOpened { .. } => count("ledger", &quarter(event.occurred_at), "OPENED", 1),
            Fact::StageChanged { to, skipped, .. } => {
                for stage in skipped.iter().chain([to]).filter(|stage| **stage > StageKind::Anonymous) {
                    count("entered", stage.as_str(), "cycles", 1);
                    if let Some(campaign) = &campaign {
                        count("campaign", campaign, stage.as_str(), 1);
                    }
                }
            }
            Fact::CycleClosed { outcome, amount_minor, .. } => {
                count("ledger", &quarter(event.occurred_at), outcome.as_str(), 1);
                count("closed", outcome.as_str(), "cycles", 1);
                if let Some(campaign) = campaign.as_ref().filter(|_| *outcome == CycleOutcome::Won) {
                    count("campaign", campaign, "won", 1);
                    count("campaign", campaign, "revenue", amount_minor.unwrap_or(0));
                }
            }
            // The promises that were given, beside where they stand: the two must agree (I13).
            Fact::ClockChanged { clock: ClockEvent::Started { kind, .. } } => {
                count("clock", kind.as_str(), STARTED, 1);
            }
            _ => {}
        }
    }
}

/// The subject of the ledger's counters: the quarter of an hour in UTC, for example `2026-03-01T09:30:00.000Z`. A day of any
/// time zone begins at a quarter (since 1972, when Liberia was the last to give its seconds up), so that a day is a range of
/// subjects and no counter depends on the charter's zone.
pub(crate) fn quarter(at: Instant) -> String {
    Instant(at.ms() - at.ms().rem_euclid(15 * MINUTE)).to_string()
}

/// Metric of the family `clock` that counts starts; the others are states.
pub(crate) const STARTED: &str = "started";

pub(crate) const COLUMNS: &[&str] = &["family", "subject", "metric", "value"];

pub(crate) async fn add(tx: &Tx, mut deltas: Deltas) -> Result<()> {
    deltas.retain(|_, by| *by != 0);
    let rows = deltas
        .into_iter()
        .map(|((family, subject, metric), by)| vec![family.into(), subject.into(), metric.into(), by.into()]);
    add_rows(tx, "counter", COLUMNS, &["family", "subject", "metric"], "value", rows.collect()).await?;
    Ok(())
}
