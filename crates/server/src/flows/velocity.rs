//! How long cycles stay at their stages, where the funnel is narrowest, and which ways buyers take.

use handfast_domain::dimension::Groups;
use handfast_domain::passage::{Passage, Stay};
use handfast_domain::quantile::{days, hours};
use handfast_domain::stage::StageKind;
use handfast_domain::velocity::{Dwell, Health, Journeys, Leg, StageHealth, Velocity, Way};
use handfast_store::passage::Entry;

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{Grouping, Want, each_ended, each_entry, each_lead};

/// Every stay that ended in the window.
pub async fn velocity(back: Lookback<'_>, grouping: &Grouping) -> Result<Vec<Dwell>, Error> {
    let (mut found, mut groups) = (Velocity::default(), Groups::default());
    each_entry(back, grouping, |entry, passage, values| {
        if let Some(stay) = before(entry, passage) {
            found.add(&stay, groups.take(values));
        }
    })
    .await?;
    each_ended(back, grouping, Want::default(), |ended| {
        if let Some(stay) = ended.passage.stays().last().filter(|stay| !stay.advanced) {
            found.add(stay, groups.take(ended.values));
        }
    })
    .await?;
    Ok(found.finish())
}

/// The stay that ended with a stage change; none with the first one of a cycle.
pub fn before(entry: &Entry, passage: &Passage) -> Option<Stay> {
    let place = passage.steps.iter().position(|step| *step == entry.step)?;
    let before = passage.steps.get(place.checked_sub(1)?)?;
    Some(Stay { stage: before.to, from: before.at, to: entry.step.at, advanced: true })
}

pub fn velocity_table(rows: &[Dwell]) -> Table {
    let columns = vec!["stage", "row", "key", "stays", "advanced", "medianHours", "p75Hours", "p90Hours"];
    let row = |one: &Dwell| {
        let name = if one.group.is_others() { "OTHERS" } else { "KEY" };
        let quantiles = [one.median, one.p75, one.p90].map(|ms| ms.map(hours).into());
        let mut cells = vec![one.stage.as_str().into(), name.into(), one.group.key().into()];
        cells.extend([one.count.into(), one.advanced.into()]);
        cells.extend(quantiles);
        cells
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}

/// What entered each stage of the charter in the window, and how it went on until now.
pub async fn health(back: Lookback<'_>) -> Result<Vec<StageHealth>, Error> {
    let workspace = back.app.workspace();
    let stages = workspace.charter.body.stages.iter().map(|stage| stage.kind);
    // A visitor has no cycle yet.
    let stages: Vec<StageKind> = stages.filter(|stage| *stage > StageKind::Anonymous).collect();
    let mut found = Health::new(stages);
    each_entry(back, &Grouping::default(), |entry, passage, _| {
        for stage in entry.step.skipped.iter().chain([&entry.step.to]) {
            found.enter(passage, *stage);
        }
    })
    .await?;
    Ok(found.finish())
}

pub fn health_table(rows: &[StageHealth]) -> Table {
    let columns = vec![
        "stage",
        "next",
        "volume",
        "advanced",
        "dropped",
        "rateBasisPoints",
        "medianHours",
        "bottleneck",
    ];
    let row = |one: &StageHealth| {
        vec![
            one.stage.as_str().into(),
            one.next.map(StageKind::as_str).into(),
            one.share.of.into(),
            one.share.count.into(),
            one.dropped.into(),
            one.next.filter(|_| one.share.of > 0).map(|_| one.share.basis_points()).into(),
            one.median.map(hours).into(),
            one.bottleneck.into(),
        ]
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}

/// The ways of all leads that came in the window.
pub struct Found {
    pub ways: Vec<Way>,
    pub leads: u64,
    /// Leads whose way was one too many to be told apart.
    pub others: u64,
}

pub async fn journeys(back: Lookback<'_>) -> Result<Found, Error> {
    let mut found = Journeys::default();
    each_lead(back, |cycles| found.add(cycles)).await?;
    let (leads, others) = (found.leads, found.others);
    Ok(Found { ways: found.finish(), leads, others })
}

/// A way in one line: `INQUIRY > (IQL) > MQL RECYCLED, INQUIRY OPEN`. Skipped stages stand in brackets.
pub fn path(legs: &[Leg]) -> String {
    let leg = |leg: &Leg| {
        let stage = |(stage, skipped): &(StageKind, bool)| {
            if *skipped { format!("({stage})") } else { stage.to_string() }
        };
        let stages: Vec<String> = leg.stages.iter().map(stage).collect();
        format!("{} {}", stages.join(" > "), leg.outcome)
    };
    legs.iter().map(leg).collect::<Vec<_>>().join(", ")
}

pub fn journeys_table(found: &Found) -> Table {
    let columns = vec!["path", "cycles", "outcome", "leads", "medianDays"];
    let row = |way: &Way| {
        vec![
            path(&way.legs).into(),
            way.legs.len().into(),
            way.legs.last().map(|leg| leg.outcome.as_str()).into(),
            way.leads.into(),
            way.median.map(days).into(),
        ]
    };
    Table { columns, rows: found.ways.iter().map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_domain::stage::CycleOutcome;

    #[test]
    fn a_way_is_told_in_one_line() {
        let first = Leg {
            stages: vec![(StageKind::Inquiry, false), (StageKind::Iql, true), (StageKind::Mql, false)],
            outcome: CycleOutcome::Recycled,
        };
        let second = Leg { stages: vec![(StageKind::Inquiry, false)], outcome: CycleOutcome::Open };
        assert_eq!(path(&[first, second]), "INQUIRY > (IQL) > MQL RECYCLED, INQUIRY OPEN");
    }
}
