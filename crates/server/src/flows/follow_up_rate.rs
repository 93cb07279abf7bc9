//! The follow-up rate: hand-offs of a window, in whose hands their leads were, and whether and how fast those turned to them.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::dimension::{Dimension, Groups};
use handfast_domain::follow_up_rate::{Assignment, FollowUpRate, FollowUpRow, assignments};
use handfast_domain::lead::Cycle;
use handfast_domain::passage::Passage;
use handfast_domain::quantile::minutes;
use handfast_domain::time::Instant;
use handfast_store::handoff::{first_touches, offered, offers};
use handfast_store::lead::cycles;
use handfast_store::passage::passages;
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{Grouping, PAGE, Values};

/// What pages of assignments hold.
pub const ASSIGNED: &str = "leads were assigned";

/// An assignment with its cycle.
pub struct Assigned {
    /// Its place in the order, beside the hand-off's time.
    pub row: Uuid,
    pub offered_at: Instant,
    pub assignment: Assignment,
    pub passage: Passage,
    pub values: Vec<Option<String>>,
}

/// Assignments of one hand-off that are told apart in the order: it expires once, so that there are two.
const ROWS: u128 = 16;

/// The place of an assignment: that of its hand-off, and the next ones, which no other hand-off has.
fn row(handoff: Uuid, number: usize) -> Uuid {
    Uuid::from_u128(handoff.as_u128().saturating_add((number as u128).min(ROWS - 1)))
}

/// The next assignments of the window, after a place; none after the last. Six statements, and those of the grouping.
pub async fn assigned(
    back: Lookback<'_>,
    grouping: &Grouping,
    after: &mut Option<(Instant, Uuid)>,
) -> Result<Option<Vec<Assigned>>, Error> {
    let Lookback { app, window, .. } = back;
    let (db, workspace) = (app.store.reports(), app.workspace());
    let shown = *after;
    // A hand-off of which only some rows were shown is read again.
    let from = shown.map(|(at, row)| (at, Uuid::from_u128(row.as_u128().saturating_sub(ROWS - 1))));
    let page = offered(db, (window.from, window.to), from, PAGE).await?;
    let Some(last) = page.last() else { return Ok(None) };
    *after = Some((last.at, row(last.id, usize::MAX)));
    let leads: BTreeSet<Uuid> = page.iter().map(|one| one.lead).collect();
    let ids: Vec<Uuid> = leads.iter().copied().collect();
    let known: BTreeMap<(Uuid, u32), Cycle> =
        cycles(db, &ids).await?.into_iter().map(|(lead, cycle)| ((lead, cycle.number), cycle)).collect();
    let (clocks, all) = (first_touches(db, &leads).await?, offers(db, &leads).await?);
    let told = passages(db, &leads).await?;
    let values = Values::load(app, grouping, &leads).await?;
    let mut found = vec![];
    for one in page {
        let at = (one.lead, one.cycle);
        let passage = told.get(&one.lead).and_then(|all| all.iter().find(|told| told.cycle == one.cycle));
        let Some((cycle, passage)) = known.get(&at).zip(passage) else { continue };
        let next = all.get(&at).and_then(|all| all.iter().copied().find(|next| *next > one.at));
        let own = clocks.get(&one.lead).map_or(&[][..], Vec::as_slice);
        for (number, assignment) in assignments(one.at, next, own, cycle).into_iter().enumerate() {
            let mut values = values.of(&workspace, grouping, passage);
            // Whoever had it then, not whoever has it now.
            if let Some(owner) = assignment.owner.and_then(|id| workspace.directory.user(id)) {
                for (place, dimension) in grouping.by.iter().enumerate() {
                    match dimension {
                        Dimension::Owner => values[place] = Some(owner.key.clone()),
                        Dimension::Team => values[place] = Some(owner.team.clone()),
                        _ => {}
                    }
                }
            }
            let (row, offered_at, passage) = (row(one.id, number), one.at, passage.clone());
            if shown.is_none_or(|shown| (offered_at, row) > shown) {
                found.push(Assigned { row, offered_at, assignment, passage, values });
            }
        }
    }
    Ok(Some(found))
}

/// Every assignment of the window, by group.
pub async fn follow_up(back: Lookback<'_>, grouping: &Grouping) -> Result<Vec<FollowUpRow>, Error> {
    let (mut found, mut groups) = (FollowUpRate::default(), Groups::default());
    let (mut after, mut pages) = (None, back.pages(ASSIGNED));
    while let Some(page) = assigned(back, grouping, &mut after).await? {
        let rows = page.len();
        page.into_iter().for_each(|one| found.add(groups.take(one.values), one.assignment));
        pages.turn(rows, after.map_or(back.window.from, |(at, _)| at)).await?;
    }
    Ok(found.finish())
}

pub fn table(rows: &[FollowUpRow]) -> Table {
    let columns = vec![
        "row",
        "key",
        "assigned",
        "pending",
        "touched",
        "rateBasisPoints",
        "low",
        "high",
        "breached",
        "withdrawn",
        "medianAttempts",
        "medianMinutes",
    ];
    let points = |fraction: f64| (fraction * 10_000.0).round() as i32;
    let row = |row: &FollowUpRow| {
        let interval = row.rate.interval();
        vec![
            if row.group.is_others() { "OTHERS".into() } else { "KEY".into() },
            row.group.key().into(),
            row.assigned.into(),
            row.pending.into(),
            row.rate.count.into(),
            (row.rate.of > 0).then(|| row.rate.basis_points()).into(),
            points(interval.low).into(),
            points(interval.high).into(),
            row.breached.into(),
            row.withdrawn.into(),
            row.median_attempts.into(),
            row.median_wait.map(minutes).into(),
        ]
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}
