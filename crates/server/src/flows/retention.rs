//! Whether customers stay and come back: cohorts of leads by their first win.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::calendar::Date;
use handfast_domain::conversion::{CohortPeriod, CohortRow, Cohorts, Converted};
use handfast_domain::customer::ChurnReason;
use handfast_domain::dimension::Groups;
use handfast_domain::quantile::days;
use handfast_domain::retention::{Kept, Stays, Won, won};
use handfast_store::customer::{Told, customers};
use handfast_store::passage::{Happened, cycles, passages};
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{ENDS, Grouping, PAGE, Values};

/// Customers of a window by cohorts.
pub struct Found {
    /// Those that were won again.
    pub cohorts: Converted,
    /// The same customers, by those that left.
    pub churned: Converted,
    /// Customers that became advocates.
    pub advocates: u64,
    /// Renewals of all of them.
    pub renewals: u64,
    /// Why those left that did not come back; the most frequent first.
    pub reasons: Vec<(ChurnReason, u64)>,
    /// How many stay how long.
    pub kept: Vec<Kept>,
}

/// Days after the first win that it is told of who is still a customer.
const TOLD: [u32; 6] = [30, 90, 180, 365, 730, 1_095];

impl Found {
    /// Each cohort of those that came back, with the same one of those that left.
    pub fn rows(&self) -> impl Iterator<Item = (&CohortRow, &CohortRow)> {
        self.cohorts.rows.iter().zip(&self.churned.rows)
    }

    /// The same for all periods together.
    pub fn totals(&self) -> impl Iterator<Item = (&CohortRow, &CohortRow)> {
        self.cohorts.totals.iter().zip(&self.churned.totals)
    }
}

/// Every lead whose first win lies in the window.
pub async fn retention(
    back: Lookback<'_>,
    period: CohortPeriod,
    grouping: &Grouping,
) -> Result<Found, Error> {
    let (db, window, workspace) = (back.app.store.reports(), back.window, back.app.workspace());
    let (mut found, mut churned) = (Cohorts::new(period), Cohorts::new(period));
    let (mut groups, mut advocates, mut renewals) = (Groups::default(), 0, 0);
    let (mut reasons, mut stays, now) =
        (BTreeMap::<ChurnReason, u64>::new(), Stays::default(), back.app.now());
    let (mut after, mut pages) = (None, back.pages(ENDS));
    loop {
        let spots = cycles(db, Happened::Ended, (window.from, window.to), after, PAGE).await?;
        let Some(last) = spots.last() else { break };
        after = Some(*last);
        let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
        let known = passages(db, &leads).await?;
        let values = Values::load(back.app, grouping, &leads).await?;
        let told = customers(db, &leads).await?;
        for (at, lead, cycle) in &spots {
            let Some(cycles) = known.get(lead) else { continue };
            let Some(Won { first, returned, advocate }) = won(cycles) else { continue };
            if first.cycle != *cycle {
                continue;
            }
            let group = groups.take(values.of(&workspace, grouping, first));
            let told = told.get(lead);
            // A person whose two leads were both won is the customer of the one that goes on.
            if told.is_some_and(|told| told.counts_elsewhere) {
                continue;
            }
            let left = told.and_then(Told::first_churned_at);
            let stayed = left.unwrap_or(now).since(*at).max(0);
            stays.add(stayed, left.is_some());
            churned.add(workspace.day(*at), group.clone(), left.map(|_| stayed));
            found.add(workspace.day(*at), group, returned);
            advocates += u64::from(advocate);
            renewals += told.map_or(0, Told::renewals);
            if let Some(reason) = told.and_then(Told::churn_reason) {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        pages.turn(spots.len(), last.0).await?;
    }
    let today = workspace.day(now);
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, customers)| std::cmp::Reverse(*customers));
    let (cohorts, churned) = (found.finish(today), churned.finish(today));
    Ok(Found { cohorts, churned, advocates, renewals, reasons, kept: stays.kept(&TOLD) })
}

pub fn table(found: &Found) -> Table {
    let columns = vec![
        "row",
        "begins",
        "key",
        "customers",
        "returned",
        "rateBasisPoints",
        "medianDays",
        "immature",
        "churned",
    ];
    let row = |(row, churned): (&CohortRow, &CohortRow)| {
        vec![
            super::conversion::name(row).into(),
            row.begins.and_then(Date::from_days).map(|date| date.to_string()).into(),
            row.group.key().into(),
            row.share.of.into(),
            row.share.count.into(),
            (row.share.of > 0).then(|| row.share.basis_points()).into(),
            row.median.map(days).into(),
            row.immature.into(),
            churned.share.count.into(),
        ]
    };
    Table { columns, rows: found.rows().chain(found.totals()).map(row).collect() }
}
