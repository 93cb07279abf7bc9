//! Whether customers come back: cohorts of leads by their first win.

use std::collections::BTreeSet;

use handfast_domain::calendar::Date;
use handfast_domain::conversion::{CohortPeriod, CohortRow, Cohorts, Converted};
use handfast_domain::dimension::Groups;
use handfast_domain::quantile::days;
use handfast_domain::retention::{Customer, customer};
use handfast_store::passage::{Happened, cycles, passages};
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::passage::{Grouping, PAGE, Values, bounded};
use super::window::Window;
use crate::app::App;

/// Customers of a window by cohorts.
pub struct Found {
    pub cohorts: Converted,
    /// Customers that became advocates.
    pub advocates: u64,
}

/// Every lead whose first win lies in the window.
pub async fn retention(
    app: &App,
    period: CohortPeriod,
    window: Window,
    grouping: &Grouping,
) -> Result<Found, Error> {
    let (db, workspace) = (app.store.reports(), app.workspace());
    let (mut found, mut groups, mut advocates) = (Cohorts::new(period), Groups::default(), 0);
    let (mut after, mut read) = (None, 0);
    loop {
        let spots = cycles(db, Happened::Ended, (window.from, window.to), after, PAGE).await?;
        let Some(last) = spots.last() else { break };
        after = Some(*last);
        bounded(&mut read, spots.len(), "cycles ended", window)?;
        let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
        let known = passages(db, &leads).await?;
        let values = Values::load(app, grouping, &leads).await?;
        for (at, lead, cycle) in &spots {
            let Some(cycles) = known.get(lead) else { continue };
            let Some(Customer { first, returned, advocate }) = customer(cycles) else { continue };
            if first.cycle != *cycle {
                continue;
            }
            advocates += u64::from(advocate);
            let group = groups.take(values.of(&workspace, grouping, first));
            found.add(workspace.day(*at), group, returned);
        }
        // A page is worked off without a wait: others get their turn between two of them.
        tokio::task::yield_now().await;
    }
    Ok(Found { cohorts: found.finish(workspace.day(app.now())), advocates })
}

pub fn table(found: &Converted) -> Table {
    let columns =
        vec!["row", "begins", "key", "customers", "returned", "rateBasisPoints", "medianDays", "immature"];
    let row = |row: &CohortRow| {
        vec![
            super::conversion::name(row).into(),
            row.begins.and_then(Date::from_days).map(|date| date.to_string()).into(),
            row.group.key().into(),
            row.share.of.into(),
            row.share.count.into(),
            (row.share.of > 0).then(|| row.share.basis_points()).into(),
            row.median.map(days).into(),
            row.immature.into(),
        ]
    };
    Table { columns, rows: found.rows.iter().chain(&found.totals).map(row).collect() }
}
