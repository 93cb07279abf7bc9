//! What is lost at the hand-off, and whether signed criteria still tell whom sales accepts.

use std::collections::BTreeSet;

use handfast_domain::drift::{CriterionDrift, Drift};
use handfast_domain::handoff::HandoffStatus;
use handfast_domain::leakage::{Leakage, LeakageRow};
use handfast_domain::share::Share;
use handfast_store::handoff::{Offered, criteria, offered};
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::passage::{PAGE, bounded};
use super::window::Window;
use crate::app::App;

async fn page(
    app: &App,
    window: Window,
    after: &mut Option<(handfast_domain::time::Instant, Uuid)>,
    read: &mut usize,
) -> Result<Vec<Offered>, Error> {
    let found = offered(app.store.reports(), (window.from, window.to), *after, PAGE).await?;
    *after = found.last().map(|last| (last.at, last.id)).or(*after);
    bounded(read, found.len(), "hand-offs were offered", window)?;
    // Pages are worked off without a wait: others get their turn between two of them.
    tokio::task::yield_now().await;
    Ok(found)
}

/// Every hand-off that was offered in the window.
pub async fn leakage(app: &App, window: Window) -> Result<Leakage, Error> {
    let (mut found, mut after, mut read) = (Leakage::default(), None, 0);
    loop {
        let handoffs = page(app, window, &mut after, &mut read).await?;
        if handoffs.is_empty() {
            return Ok(found);
        }
        let accepted = handoffs.iter().filter(|one| one.status == HandoffStatus::Accepted);
        let leads: BTreeSet<Uuid> = accepted.map(|one| one.lead).collect();
        let amounts = handfast_store::attribution::amounts(app.store.reports(), &leads).await?;
        for one in handoffs {
            let won = amounts.get(&(one.lead, one.cycle)).copied();
            found.add(one.status, one.reason, won);
        }
    }
}

pub fn leakage_table(rows: &[LeakageRow], currency: &str) -> Table {
    let columns = vec!["status", "reason", "handoffs", "shareBasisPoints", "valueMinor", "currency"];
    let row = |row: &LeakageRow| {
        vec![
            row.status.as_str().into(),
            row.reason.clone().into(),
            row.share.count.into(),
            row.share.basis_points().into(),
            row.value_minor.into(),
            currency.into(),
        ]
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}

/// Every answer of sales to a hand-off of the window, beside the criteria of the look that it came from.
pub async fn drift(app: &App, window: Window) -> Result<Drift, Error> {
    let (mut found, mut after, mut read) = (Drift::default(), None, 0);
    loop {
        let handoffs = page(app, window, &mut after, &mut read).await?;
        if handoffs.is_empty() {
            return Ok(found);
        }
        let answer = |one: &Offered| match one.status {
            HandoffStatus::Accepted => Some((one.id, true)),
            // RETURNED asks for context; it is no word about the lead.
            HandoffStatus::Rejected => Some((one.id, false)),
            _ => None,
        };
        let answers: Vec<(Uuid, bool)> = handoffs.iter().filter_map(answer).collect();
        let ids: Vec<Uuid> = answers.iter().map(|(id, _)| *id).collect();
        let results = criteria(app.store.reports(), &ids).await?;
        for (id, accepted) in answers {
            found.add(accepted, results.get(&id).map_or(&[], Vec::as_slice));
        }
    }
}

pub fn drift_table(rows: &[&CriterionDrift]) -> Table {
    let columns = vec![
        "criterion",
        "required",
        "met",
        "metAccepted",
        "missed",
        "missedAccepted",
        "differenceBasisPoints",
        "low",
        "high",
        "prediction",
    ];
    let points = |fraction: f64| (fraction * 10_000.0).round() as i32;
    let row = |one: &&CriterionDrift| {
        let (difference, interval) = Share::above(one.met, one.missed);
        vec![
            one.key.clone().into(),
            one.required.into(),
            one.met.of.into(),
            one.met.count.into(),
            one.missed.of.into(),
            one.missed.count.into(),
            points(difference).into(),
            points(interval.low).into(),
            points(interval.high).into(),
            one.prediction().as_str().into(),
        ]
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}
