//! How many of the cycles that entered a stage came to another one, by cohorts.

use handfast_domain::calendar::Date;
use handfast_domain::conversion::{CohortPeriod, CohortRow, Cohorts, Converted};
use handfast_domain::dimension::Groups;
use handfast_domain::quantile::days;
use handfast_domain::refused::Refused;
use handfast_domain::stage::StageKind;

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{Grouping, each_entry};

/// From where to where. A visitor has no cycle yet, so that nothing converts from ANONYMOUS.
pub fn steps(from: StageKind, to: StageKind) -> Result<(), Refused> {
    if from == StageKind::Anonymous {
        return Err(Refused::invalid("from", "a visitor has no cycle yet; conversion begins with INQUIRY"));
    }
    if from >= to {
        return Err(Refused::invalid("to", format!("to must be a later stage than {from}, found {to}")));
    }
    Ok(())
}

/// Counts every cycle that entered `from` in the window.
pub async fn conversion(
    back: Lookback<'_>,
    (from, to): (StageKind, StageKind),
    period: CohortPeriod,
    grouping: &Grouping,
) -> Result<Converted, Error> {
    steps(from, to)?;
    let workspace = back.app.workspace();
    let (mut found, mut groups) = (Cohorts::new(period), Groups::default());
    each_entry(back, grouping, |entry, passage, values| {
        if let Some(took) = passage.took(from, to).filter(|_| entry.enters(from)) {
            found.add(workspace.day(entry.step.at), groups.take(values), took);
        }
    })
    .await?;
    Ok(found.finish(workspace.day(back.app.now())))
}

/// All cohorts as a table, then all periods together.
pub fn table(found: &Converted) -> Table {
    let columns = vec![
        "row",
        "begins",
        "key",
        "entered",
        "reached",
        "rateBasisPoints",
        "low",
        "high",
        "medianDays",
        "immature",
    ];
    let row = |row: &CohortRow| {
        let (name, interval) = (name(row), row.share.interval());
        let points = |fraction: f64| (fraction * 10_000.0).round() as i32;
        vec![
            name.into(),
            row.begins.and_then(Date::from_days).map(|date| date.to_string()).into(),
            row.group.key().into(),
            row.share.of.into(),
            row.share.count.into(),
            (row.share.of > 0).then(|| row.share.basis_points()).into(),
            points(interval.low).into(),
            points(interval.high).into(),
            row.median.map(days).into(),
            row.immature.into(),
        ]
    };
    Table { columns, rows: found.rows.iter().chain(&found.totals).map(row).collect() }
}

/// What a row of a table is.
pub fn name(row: &CohortRow) -> &'static str {
    match (row.begins.is_some(), row.group.is_others()) {
        (true, false) => "COHORT",
        (true, true) => "COHORT_OTHERS",
        (false, false) => "ALL",
        (false, true) => "ALL_OTHERS",
    }
}
