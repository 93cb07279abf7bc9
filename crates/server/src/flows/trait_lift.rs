//! Which traits the leads have that end in a way.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::field::Value;
use handfast_domain::passage::Passage;
use handfast_domain::refused::Refused;
use handfast_domain::stage::CycleOutcome;
use handfast_domain::time::Instant;
use handfast_domain::trait_lift::{LiftRow, Lifts, Said, Traits};
use handfast_store::passage::{Happened, Observed, Spot, cycles, facets, passages, traits};
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::lookback::Lookback;
use super::passage::{ENDS, PAGE};
use super::window::Window;
use crate::workspace::Workspace;

/// Traits that one report looks at.
pub const MOST_TRAITS: usize = 200;

/// What a lead comes with, besides its traits.
const CAME: [&str; 3] = ["lead.source", "lead.channel", "campaign.key"];

/// A key that the report tells of.
pub fn known(workspace: &Workspace, key: &str) -> Result<(), Refused> {
    let traits = workspace.readable_traits();
    if CAME.contains(&key) || traits.iter().any(|known| known == key) {
        return Ok(());
    }
    let shown: Vec<&str> = CAME.into_iter().chain(traits.iter().map(String::as_str)).take(20).collect();
    let key: String = key.chars().take(80).collect();
    Err(Refused::invalid(
        "trait",
        format!("no trait {key:?} that is told of; there are {}", shown.join(", ")),
    ))
}

/// An end that says something of the lead.
pub fn told(outcome: CycleOutcome) -> Result<(), Refused> {
    use CycleOutcome::{Disqualified, Lost, Recycled, Won};
    if matches!(outcome, Won | Lost | Recycled | Disqualified) {
        return Ok(());
    }
    let message = format!("outcome must be WON, LOST, RECYCLED or DISQUALIFIED, found {outcome}");
    Err(Refused::invalid("outcome", message))
}

/// Every lead whose cycle ended in the window, by its newest end there, with what was known of it.
pub async fn lifts(back: Lookback<'_>, outcome: CycleOutcome) -> Result<Lifts, Error> {
    told(outcome)?;
    let keys = back.app.workspace().readable_traits();
    if keys.len() > MOST_TRAITS {
        let message = format!("at most {MOST_TRAITS} traits are compared, and there are {}", keys.len());
        return Err(Refused::invalid("window", message).into());
    }
    let (mut found, mut after, mut pages) = (Traits::default(), None, back.pages(ENDS));
    loop {
        let page = Page::read(back, &keys, after).await?;
        let Some(last) = page.last else { return Ok(found.finish()) };
        after = Some(last);
        for one in &page.leads {
            let good = one.passage.outcome == outcome;
            found.lead(good);
            one.values.iter().for_each(|(key, value, late)| found.value(key, value, *late, good));
        }
        pages.turn(page.rows, last.0).await?;
    }
}

/// A lead by its newest end in the window.
pub struct Known {
    pub at: Instant,
    pub passage: Passage,
    /// Key, value, and whether it was only observed when the cycle ended or later.
    pub values: Vec<(String, Value, bool)>,
}

/// Cycles that ended, of which those tell something that are the newest of their leads.
pub struct Page {
    pub leads: Vec<Known>,
    /// Cycles that were read, and the last of them.
    pub rows: usize,
    pub last: Option<Spot>,
}

impl Page {
    pub async fn read(back: Lookback<'_>, keys: &[String], after: Option<Spot>) -> Result<Page, Error> {
        let (db, window, workspace) = (back.app.store.reports(), back.window, back.app.workspace());
        let spots = cycles(db, Happened::Ended, (window.from, window.to), after, PAGE).await?;
        let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
        let known = passages(db, &leads).await?;
        let facets = facets(db, &leads).await?;
        let mut observed: BTreeMap<Uuid, Vec<Observed>> = BTreeMap::new();
        for one in traits(db, &leads, keys).await? {
            observed.entry(one.lead).or_default().push(one);
        }
        let mut found = vec![];
        for (_, lead, cycle) in &spots {
            let Some(passage) = known.get(lead).and_then(|cycles| newest(cycles, *cycle, window)) else {
                continue;
            };
            let Some(at) = passage.closed_at else { continue };
            let traits = observed.get(lead).into_iter().flatten();
            let mut values: Vec<(String, Value, bool)> =
                traits.map(|one| (one.key.clone(), one.value.clone(), one.at >= at)).collect();
            // What the lead came with stands since its capture.
            if let Some(facets) = facets.get(lead) {
                let campaign = facets.campaign.and_then(|id| workspace.campaign(id));
                let came = [
                    Some(facets.source.clone()).filter(|source| !source.is_empty()),
                    Some(facets.channel.to_string()),
                    campaign.map(|campaign| campaign.key.clone()),
                ];
                let told = CAME.into_iter().zip(came).filter_map(|(key, text)| Some((key.to_owned(), text?)));
                values.extend(told.map(|(key, text)| (key, Value::Text(text), false)));
            }
            found.push(Known { at, passage: passage.clone(), values });
        }
        Ok(Page { leads: found, rows: spots.len(), last: spots.last().copied() })
    }
}

/// The cycle, if it tells something and none of the lead ended later in the window: each lead counts once, and what a later
/// cycle brought to light is no hindsight of it.
fn newest(cycles: &[Passage], number: u32, window: Window) -> Option<&Passage> {
    let ended = |one: &&Passage| one.is_told() && one.closed_at.is_some_and(|at| at < window.to);
    cycles.iter().filter(ended).max_by_key(|one| one.cycle).filter(|one| one.cycle == number)
}

/// A value as people read it.
pub fn said(said: &Said) -> Option<String> {
    match said {
        Said::Word(word) => Some(word.clone()),
        Said::Band(least, most) if least == most => Some(least.to_string()),
        Said::Band(least, most) => Some(format!("{least} to {most}")),
        Said::Others | Said::Unknown => None,
    }
}

pub fn table(found: &Lifts) -> Table {
    let columns = vec![
        "trait",
        "row",
        "value",
        "support",
        "ended",
        "shareBasisPoints",
        "liftBasisPoints",
        "low",
        "high",
        "small",
        "beyondChance",
    ];
    let row = |row: &LiftRow| {
        let kind = match row.said {
            Said::Word(_) | Said::Band(..) => "VALUE",
            Said::Others => "OTHERS",
            Said::Unknown => "UNKNOWN",
        };
        vec![
            row.key.clone().into(),
            kind.into(),
            said(&row.said).into(),
            row.share.of.into(),
            row.share.count.into(),
            row.share.basis_points().into(),
            row.lift.map(|lift| lift.basis_points).into(),
            row.lift.map(|lift| lift.low).into(),
            row.lift.map(|lift| lift.high).into(),
            row.small.into(),
            row.beyond_chance.into(),
        ]
    };
    Table { columns, rows: found.rows.iter().map(row).collect() }
}
