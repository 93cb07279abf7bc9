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
use super::lookback::{Lookback, Pages};
use super::passage::PAGE;

async fn page(
    back: Lookback<'_>,
    after: &mut Option<(handfast_domain::time::Instant, Uuid)>,
    pages: &mut Pages<'_>,
) -> Result<Vec<Offered>, Error> {
    let found = offered(back.app.store.reports(), (back.window.from, back.window.to), *after, PAGE).await?;
    if let Some(last) = found.last() {
        *after = Some((last.at, last.id));
        pages.turn(found.len(), last.at).await?;
    }
    Ok(found)
}

const OFFERS: &str = "hand-offs were offered";

/// Every hand-off that was offered in the window.
pub async fn leakage(back: Lookback<'_>) -> Result<Leakage, Error> {
    let (mut found, mut after, mut pages) = (Leakage::default(), None, back.pages(OFFERS));
    loop {
        let handoffs = page(back, &mut after, &mut pages).await?;
        if handoffs.is_empty() {
            return Ok(found);
        }
        let accepted = handoffs.iter().filter(|one| one.status == HandoffStatus::Accepted);
        let leads: BTreeSet<Uuid> = accepted.map(|one| one.lead).collect();
        let amounts = handfast_store::attribution::amounts(back.app.store.reports(), &leads).await?;
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
pub async fn drift(back: Lookback<'_>) -> Result<Drift, Error> {
    let (mut found, mut after, mut pages) = (Drift::default(), None, back.pages(OFFERS));
    loop {
        let handoffs = page(back, &mut after, &mut pages).await?;
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
        let results = criteria(back.app.store.reports(), &ids).await?;
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
