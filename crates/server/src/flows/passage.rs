//! Cycles for reports: read page by page up to a bound, each with the values of the dimensions that a report is counted by.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::dimension::{Dimension, score_band};
use handfast_domain::field::Value;
use handfast_domain::handoff::text_of;
use handfast_domain::icp::{self, IcpBand};
use handfast_domain::passage::Passage;
use handfast_domain::refused::Refused;
use handfast_domain::time::{DAY, Instant};
use handfast_store::meeting::{Words, outcomes, purposes};
use handfast_store::passage::{
    Entry, Facets, Happened, Spot, cycles, entries, facets, horizons, passages, traits,
};
use uuid::Uuid;

use super::Error;
use super::lookback::Lookback;
use super::window::Window;
use crate::app::App;
use crate::workspace::Workspace;

/// The longest span of one report.
pub const MAX_DAYS: i64 = 1_830;
/// Rows that are read at once.
pub const PAGE: i64 = 500;
/// Dimensions of one report.
pub const MAX_DIMENSIONS: usize = 3;

/// A span that a report may have.
pub fn window(app: &App, from: Option<Instant>, to: Option<Instant>) -> Result<Window, Refused> {
    let window = Window::new(app, from, to).map_err(|refused| refused.at("window"))?;
    let days = (window.to.since(window.from) + DAY - 1) / DAY;
    if days > MAX_DAYS {
        let message = format!(
            "window spans at most {MAX_DAYS} days, found {days}; ask for several spans, or by startReport"
        );
        return Err(Refused::invalid("window", message));
    }
    Ok(window)
}

/// What the rows of a report are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    pub by: Vec<Dimension>,
    /// Key of the trait, with [`Dimension::Trait`].
    pub key: Option<String>,
}

impl Grouping {
    pub fn new(workspace: &Workspace, by: Vec<Dimension>, key: Option<String>) -> Result<Grouping, Refused> {
        let twice = by.iter().enumerate().find(|(place, one)| by[..*place].contains(one));
        if let Some((_, one)) = twice {
            return Err(Refused::invalid("by", format!("{one} is named twice; keep one of them")));
        }
        if by.len() > MAX_DIMENSIONS {
            let message = format!("by names at most {MAX_DIMENSIONS} dimensions, found {}", by.len());
            return Err(Refused::invalid("by", message));
        }
        match (&key, by.contains(&Dimension::Trait)) {
            (None, true) => {
                return Err(Refused::invalid("trait", "TRAIT needs the key of a trait as `trait`"));
            }
            (Some(_), false) => return Err(Refused::invalid("trait", "a trait is only for `by: TRAIT`")),
            (None, false) => {}
            (Some(key), true) => {
                let known = workspace.readable_traits();
                if !known.contains(key) {
                    let shown: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
                    let message = format!(
                        "no trait {:?} that may be counted; there are {}",
                        key.chars().take(80).collect::<String>(),
                        shown.join(", ")
                    );
                    return Err(Refused::invalid("trait", message));
                }
            }
        }
        Ok(Grouping { by, key })
    }

    fn has(&self, dimension: Dimension) -> bool {
        self.by.contains(&dimension)
    }
}

/// What the leads of a page are counted by, read with as few statements as the grouping allows.
#[derive(Default)]
pub struct Values {
    facets: BTreeMap<Uuid, Facets>,
    traits: BTreeMap<Uuid, Value>,
    expectations: Words,
    meetings: Words,
    horizons: BTreeMap<(Uuid, u32), i64>,
    bands: BTreeMap<Uuid, IcpBand>,
}

impl Values {
    pub async fn load(app: &App, grouping: &Grouping, leads: &BTreeSet<Uuid>) -> Result<Values, Error> {
        use Dimension::{
            Competitor, FirstMeeting, Icp, MeetingOutcome, Outcome, Reason, Stage, Timeframe, Trait,
        };
        let (db, mut found) = (app.store.reports(), Values::default());
        if leads.is_empty() {
            return Ok(found);
        }
        let of_cycle = |one: &Dimension| {
            let of_end = matches!(one, Competitor | Outcome | Reason | Stage);
            of_end || matches!(one, FirstMeeting | Icp | MeetingOutcome | Timeframe | Trait)
        };
        let of_lead = |one: &Dimension| !of_cycle(one);
        if grouping.by.iter().any(of_lead) {
            found.facets = facets(db, leads).await?;
        }
        if let Some(key) = &grouping.key {
            let known = traits(db, leads, std::slice::from_ref(key)).await?;
            found.traits = known.into_iter().map(|one| (one.lead, one.value)).collect();
        }
        if grouping.has(FirstMeeting) {
            found.expectations = purposes(db, leads).await?;
        }
        if grouping.has(MeetingOutcome) {
            found.meetings = outcomes(db, leads).await?;
        }
        if grouping.has(Icp) {
            let (body, ids) = (&app.workspace().charter.body, leads.iter().copied().collect::<Vec<_>>());
            let known = super::audience::fields(app, &ids).await?.into_iter();
            found.bands =
                known.filter_map(|(id, fields)| Some((id, icp::best(body, &fields)?.band))).collect();
        }
        if grouping.has(Timeframe) {
            found.horizons = horizons(db, leads).await?;
        }
        Ok(found)
    }

    /// The values of a cycle in the order of the dimensions.
    pub fn of(&self, workspace: &Workspace, grouping: &Grouping, passage: &Passage) -> Vec<Option<String>> {
        let value = |dimension: &Dimension| self.value(workspace, *dimension, passage);
        grouping.by.iter().map(value).map(|value| value.filter(|text| !text.is_empty())).collect()
    }

    fn value(&self, workspace: &Workspace, dimension: Dimension, passage: &Passage) -> Option<String> {
        let facets = || self.facets.get(&passage.lead);
        let at = (passage.lead, passage.cycle);
        match dimension {
            Dimension::Source => facets().map(|known| known.source.clone()),
            Dimension::Channel => facets().map(|known| known.channel.to_string()),
            Dimension::Campaign => {
                workspace.campaign(facets()?.campaign?).map(|campaign| campaign.key.clone())
            }
            Dimension::Audience => {
                let audience = workspace.campaign(facets()?.campaign?)?.audience?;
                workspace.audiences.iter().find(|one| one.id == audience).map(|one| one.key.clone())
            }
            Dimension::Icp => self.bands.get(&passage.lead).map(IcpBand::to_string),
            Dimension::Persona => facets()?.persona.clone(),
            Dimension::Owner => workspace.directory.user(facets()?.owner?).map(|user| user.key.clone()),
            Dimension::Team => workspace.directory.user(facets()?.owner?).map(|user| user.team.clone()),
            Dimension::Queue => facets()?.queue.clone(),
            Dimension::Industry => facets()?.industry.clone(),
            Dimension::Title => facets()?.title.clone(),
            Dimension::FirstMeeting => self.expectations.get(&at).cloned(),
            Dimension::MeetingOutcome => self.meetings.get(&at).cloned(),
            Dimension::Timeframe => self.horizons.get(&at).map(|ahead| band(*ahead).to_owned()),
            Dimension::Competitor => passage.competitor.clone(),
            Dimension::Reason => passage.reason.clone(),
            Dimension::Outcome => Some(passage.outcome.to_string()),
            Dimension::Stage => passage.steps.iter().map(|step| step.to).max().map(|to| to.to_string()),
            Dimension::ScoreBand => facets().map(|known| score_band(known.score).to_owned()),
            Dimension::Trait => self.traits.get(&passage.lead).map(text_of),
        }
    }
}

/// How far ahead, in words.
fn band(ms: i64) -> &'static str {
    match ms / DAY {
        ..=30 => "UP_TO_30_DAYS",
        31..=90 => "UP_TO_90_DAYS",
        91..=180 => "UP_TO_180_DAYS",
        _ => "LATER",
    }
}

/// What pages of a report hold.
pub const CHANGES: &str = "stage changes happened";
pub const ENDS: &str = "cycles ended";

/// A page of stage changes with the cycles that they belong to.
pub struct EntryPage {
    pub entries: Vec<Entry>,
    cycles: BTreeMap<Uuid, Vec<Passage>>,
    values: Values,
}

impl EntryPage {
    /// The next changes of the window after a place.
    pub async fn read(
        back: Lookback<'_>,
        grouping: &Grouping,
        after: Option<Spot>,
    ) -> Result<EntryPage, Error> {
        let (db, window) = (back.app.store.reports(), back.window);
        let entries = entries(db, (window.from, window.to), after, PAGE).await?;
        let leads: BTreeSet<Uuid> = entries.iter().map(|entry| entry.lead).collect();
        let cycles = passages(db, &leads).await?;
        Ok(EntryPage { entries, cycles, values: Values::load(back.app, grouping, &leads).await? })
    }

    /// Each change with its cycle and the values of the dimensions.
    pub fn rows<'p>(
        &'p self,
        workspace: &'p Workspace,
        grouping: &'p Grouping,
    ) -> impl Iterator<Item = (&'p Entry, &'p Passage, Vec<Option<String>>)> {
        self.entries.iter().filter_map(move |entry| {
            let passage = self.cycles.get(&entry.lead)?.iter().find(|one| one.cycle == entry.cycle)?;
            Some((entry, passage, self.values.of(workspace, grouping, passage)))
        })
    }
}

/// Hands over every stage change of the window with its cycle, the earliest first.
pub async fn each_entry(
    back: Lookback<'_>,
    grouping: &Grouping,
    mut take: impl FnMut(&Entry, &Passage, Vec<Option<String>>),
) -> Result<(), Error> {
    let workspace = back.app.workspace();
    let (mut after, mut pages) = (None, back.pages(CHANGES));
    loop {
        let page = EntryPage::read(back, grouping, after).await?;
        let Some(last) = page.entries.last() else { return Ok(()) };
        after = Some(last.spot());
        page.rows(&workspace, grouping).for_each(|(entry, passage, values)| take(entry, passage, values));
        pages.turn(page.entries.len(), last.step.at).await?;
    }
}

/// A cycle that ended, with what it was won with and what it is counted by.
pub struct Ended {
    pub passage: Passage,
    /// None where nobody knows, and of cycles that were not won.
    pub amount_minor: Option<i64>,
    pub values: Vec<Option<String>>,
}

/// What of ended cycles is read beside themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want {
    pub amounts: bool,
}

/// The next cycles that ended in the window, after a place; their number tells whether there are more.
pub async fn ended(
    back: Lookback<'_>,
    grouping: &Grouping,
    want: Want,
    after: Option<Spot>,
) -> Result<(Vec<Ended>, Option<Spot>), Error> {
    let (db, window, workspace) = (back.app.store.reports(), back.window, back.app.workspace());
    let spots = cycles(db, Happened::Ended, (window.from, window.to), after, PAGE).await?;
    let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
    let known = passages(db, &leads).await?;
    let values = Values::load(back.app, grouping, &leads).await?;
    let amounts = match want.amounts {
        true => handfast_store::attribution::amounts(db, &leads).await?,
        false => BTreeMap::new(),
    };
    let ended = |(_, lead, cycle): &Spot| {
        let passage = known.get(lead)?.iter().find(|one| one.cycle == *cycle)?.clone();
        Some(Ended {
            amount_minor: amounts.get(&(*lead, *cycle)).copied(),
            values: values.of(&workspace, grouping, &passage),
            passage,
        })
    };
    Ok((spots.iter().filter_map(ended).collect(), spots.last().copied()))
}

/// Hands over every cycle that ended in the window, the earliest first.
pub async fn each_ended(
    back: Lookback<'_>,
    grouping: &Grouping,
    want: Want,
    mut take: impl FnMut(Ended),
) -> Result<(), Error> {
    let (mut after, mut pages) = (None, back.pages(ENDS));
    loop {
        let (page, last) = ended(back, grouping, want, after).await?;
        let Some(last) = last else { return Ok(()) };
        after = Some(last);
        let rows = page.len();
        page.into_iter().for_each(&mut take);
        pages.turn(rows, last.0).await?;
    }
}

/// Hands over all cycles of every lead whose first one opened in the window.
pub async fn each_lead(back: Lookback<'_>, mut take: impl FnMut(&[Passage])) -> Result<(), Error> {
    let (db, window) = (back.app.store.reports(), back.window);
    let (mut after, mut pages) = (None, back.pages("leads came"));
    loop {
        let spots = cycles(db, Happened::FirstOpened, (window.from, window.to), after, PAGE).await?;
        let Some(last) = spots.last() else { return Ok(()) };
        after = Some(*last);
        let leads: BTreeSet<Uuid> = spots.iter().map(|(_, lead, _)| *lead).collect();
        passages(db, &leads).await?.values().for_each(|cycles| take(cycles));
        pages.turn(spots.len(), last.0).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_lies_in_one_band() {
        let cases = [
            (0, "UP_TO_30_DAYS"),
            (30, "UP_TO_30_DAYS"),
            (31, "UP_TO_90_DAYS"),
            (180, "UP_TO_180_DAYS"),
            (181, "LATER"),
        ];
        for (days, expected) in cases {
            assert_eq!(band(days * DAY), expected, "{days}");
        }
    }
}
