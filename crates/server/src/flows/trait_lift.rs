//! Which traits the leads have that end in a way.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::field::Value;
use handfast_domain::passage::Passage;
use handfast_domain::refused::Refused;
use handfast_domain::stage::CycleOutcome;
use handfast_domain::trait_lift::{LiftRow, Lifts, Said, Traits};
use handfast_store::passage::{Happened, Observed, cycles, facets, passages, traits};
use uuid::Uuid;

use super::Error;
use super::export::Table;
use super::passage::{PAGE, bounded};
use super::window::Window;
use crate::app::App;

/// Traits that one report looks at.
pub const MOST_TRAITS: usize = 200;

/// Every lead whose cycle ended in the window, by its newest end there, with what was known of it.
pub async fn lifts(app: &App, outcome: CycleOutcome, window: Window) -> Result<Lifts, Error> {
    use CycleOutcome::{Disqualified, Lost, Recycled, Won};
    if !matches!(outcome, Won | Lost | Recycled | Disqualified) {
        let message = format!("outcome must be WON, LOST, RECYCLED or DISQUALIFIED, found {outcome}");
        return Err(Refused::invalid("outcome", message).into());
    }
    let (db, workspace) = (app.store.reports(), app.workspace());
    let keys = workspace.readable_traits();
    if keys.len() > MOST_TRAITS {
        let message = format!("at most {MOST_TRAITS} traits are compared, and there are {}", keys.len());
        return Err(Refused::invalid("window", message).into());
    }
    let (mut found, mut after, mut read) = (Traits::default(), None, 0);
    loop {
        let spots = cycles(db, Happened::Ended, (window.from, window.to), after, PAGE).await?;
        let Some(last) = spots.last() else { return Ok(found.finish()) };
        after = Some(*last);
        bounded(&mut read, spots.len(), "cycles ended", window)?;
        let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
        let known = passages(db, &leads).await?;
        let facets = facets(db, &leads).await?;
        let mut values: BTreeMap<Uuid, Vec<Observed>> = BTreeMap::new();
        for one in traits(db, &leads, &keys).await? {
            values.entry(one.lead).or_default().push(one);
        }
        for (_, lead, cycle) in &spots {
            let Some(passage) = known.get(lead).and_then(|cycles| newest(cycles, *cycle, window)) else {
                continue;
            };
            let Some(at) = passage.closed_at else { continue };
            let good = passage.outcome == outcome;
            found.lead(good);
            for one in values.get(lead).into_iter().flatten() {
                found.value(&one.key, &one.value, one.at >= at, good);
            }
            // What the lead came with stands since its capture.
            if let Some(facets) = facets.get(lead) {
                let campaign = facets
                    .campaign
                    .and_then(|id| workspace.campaign(id))
                    .map(|campaign| campaign.key.clone());
                let source = Some(facets.source.clone()).filter(|source| !source.is_empty());
                let came = [
                    ("lead.source", source),
                    ("lead.channel", Some(facets.channel.to_string())),
                    ("campaign.key", campaign),
                ];
                for (key, text) in came {
                    if let Some(text) = text {
                        found.value(key, &Value::Text(text), false, good);
                    }
                }
            }
        }
        // A page is worked off without a wait: others get their turn between two of them.
        tokio::task::yield_now().await;
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
