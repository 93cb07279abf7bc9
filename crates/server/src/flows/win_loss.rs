//! How deals ended, by what they are counted by: win/loss analysis, deal shapes, reasons over time, and the figures that
//! everybody asks for first.

use std::collections::BTreeMap;

use handfast_domain::calendar::Date;
use handfast_domain::conversion::CohortPeriod;
use handfast_domain::dimension::{Dimension, Group, Groups};
use handfast_domain::quantile::days;
use handfast_domain::stage::CycleOutcome;
use handfast_domain::time::DAY;
use handfast_domain::win_loss::{Ends, EndsRow, WinLoss};

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{Grouping, Want, each_ended};
use super::window::Window;

/// What cycles that ended in the window are counted with.
const AMOUNTS: Want = Want { amounts: true };

/// Every cycle that ended in the window, by group.
pub async fn win_loss(back: Lookback<'_>, grouping: &Grouping) -> Result<Vec<EndsRow>, Error> {
    let (mut found, mut groups) = (WinLoss::default(), Groups::default());
    each_ended(back, grouping, AMOUNTS, |ended| {
        if ended.passage.is_told() {
            found.add(&ended.passage, ended.amount_minor, groups.take(ended.values));
        }
    })
    .await?;
    Ok(found.finish())
}

pub fn table(by: &[Dimension], rows: &[EndsRow], currency: &str) -> Table {
    let mut columns = vec!["row"];
    columns.extend(by.iter().map(|dimension| dimension.as_str()));
    columns.extend([
        "won",
        "lost",
        "recycled",
        "disqualified",
        "winRateBasisPoints",
        "low",
        "high",
        "revenueMinor",
        "medianMinor",
        "currency",
        "medianDaysToWin",
        "medianDaysToLoss",
    ]);
    let row = |row: &EndsRow| {
        let (ends, interval) = (&row.ends, row.rate.interval());
        let points = |fraction: f64| (fraction * 10_000.0).round() as i32;
        let mut cells = vec![if row.group.is_others() { "OTHERS".into() } else { "KEY".into() }];
        cells.extend((0..by.len()).map(|place| row.group.values().get(place).cloned().flatten().into()));
        cells.extend([ends.won, ends.lost, ends.recycled, ends.disqualified].map(serde_json::Value::from));
        cells.extend([
            (row.rate.of > 0).then(|| row.rate.basis_points()).into(),
            points(interval.low).into(),
            points(interval.high).into(),
            ends.revenue_minor.into(),
            row.median_minor.into(),
            currency.into(),
            row.median_won.map(days).into(),
            row.median_lost.map(days).into(),
        ]);
        cells
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}

/// Cycles that ended alike in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposed {
    /// First day of the period.
    pub begins: i32,
    pub group: Group,
    pub outcome: CycleOutcome,
    pub cycles: u64,
}

/// Why cycles ended, over time: the earliest period first, and in it the most frequent.
pub async fn dispositions(
    back: Lookback<'_>,
    period: CohortPeriod,
    grouping: &Grouping,
) -> Result<Vec<Disposed>, Error> {
    let workspace = back.app.workspace();
    let (mut found, mut groups) = (BTreeMap::<(i32, Group, CycleOutcome), u64>::new(), Groups::default());
    each_ended(back, grouping, Want::default(), |ended| {
        let Some(at) = ended.passage.closed_at.filter(|_| ended.passage.is_told()) else { return };
        let begins = period.begin(workspace.day(at));
        *found.entry((begins, groups.take(ended.values), ended.passage.outcome)).or_default() += 1;
    })
    .await?;
    let row = |((begins, group, outcome), cycles)| Disposed { begins, group, outcome, cycles };
    let mut rows: Vec<Disposed> = found.into_iter().map(row).collect();
    rows.sort_by_key(|row| (row.begins, std::cmp::Reverse(row.cycles)));
    Ok(rows)
}

pub fn dispositions_table(rows: &[Disposed]) -> Table {
    let columns = vec!["row", "begins", "key", "outcome", "cycles"];
    let row = |row: &Disposed| {
        vec![
            if row.group.is_others() { "OTHERS".into() } else { "KEY".into() },
            Date::from_days(row.begins).map(|date| date.to_string()).into(),
            row.group.key().into(),
            row.outcome.as_str().into(),
            row.cycles.into(),
        ]
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}

/// The figures of a span.
pub struct Kpis {
    pub window: Window,
    pub ends: EndsRow,
    /// Companies that bought for the first time; a buyer without a company is one of its own.
    pub new_accounts: u64,
}

pub async fn kpis(back: Lookback<'_>) -> Result<Kpis, Error> {
    let (mut ends, window) = (Ends::default(), back.window);
    each_ended(back, &Grouping::default(), AMOUNTS, |ended| ends.add(&ended.passage, ended.amount_minor))
        .await?;
    // Whoever is new in one piece is so in no later one: the pieces add up, and no statement reads more than a year.
    let (mut from, mut new_accounts) = (window.from, 0);
    while from < window.to {
        let to = from.plus(366 * DAY).min(window.to);
        new_accounts += handfast_store::passage::new_accounts(back.app.store.reports(), (from, to)).await?;
        from = to;
    }
    Ok(Kpis { window, ends: ends.finish(Group::all()), new_accounts })
}

/// The span of the same length that ended when this one began.
pub fn before(window: Window) -> Window {
    Window { from: window.from.plus(-window.to.since(window.from)), to: window.from }
}

pub fn kpis_table(spans: &[&Kpis], currency: &str) -> Table {
    let columns = vec![
        "from",
        "to",
        "won",
        "lost",
        "winRateBasisPoints",
        "newAccounts",
        "revenueMinor",
        "currency",
        "medianMinor",
        "medianDaysToWin",
    ];
    let row = |one: &&Kpis| {
        let EndsRow { ends, rate, median_minor, median_won, .. } = &one.ends;
        vec![
            one.window.from.to_string().into(),
            one.window.to.to_string().into(),
            ends.won.into(),
            ends.lost.into(),
            (rate.of > 0).then(|| rate.basis_points()).into(),
            one.new_accounts.into(),
            ends.revenue_minor.into(),
            currency.into(),
            (*median_minor).into(),
            median_won.map(days).into(),
        ]
    };
    Table { columns, rows: spans.iter().map(row).collect() }
}
