//! Backtests: what a version of a rule would have said of leads whose outcome is known by now, beside what the version that
//! answers today says of them.
//!
//! The leads come in pages, the newest first; each page becomes a [`Tally`], and tallies merge in that order, so that a
//! million leads need no more memory than a thousand. Only the end is a [`Report`].

mod field;
mod finding;
mod report;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::stage::{CycleOutcome, StageKind};
use crate::time::Instant;
use crate::verdict::Outcome;

pub use field::Cell;
pub use finding::{Finding, FindingKind, FindingLevel};
pub use report::{
    Board, FieldReport, FlipCount, FuelReport, GroupReport, OwnerLoad, Population, Probed, Quarter, Report,
    Score, clocks_at_risk,
};
pub use statistics::{Lift, Share};

use field::Histogram;

/// Which of the leads with a known outcome are judged again. All given conditions hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scope {
    /// Looked at at this instant or later.
    pub from: Option<Instant>,
    /// Looked at before this instant.
    pub to: Option<Instant>,
    /// The newest so many at most.
    pub limit: u32,
    /// Key of the persona that the lead matched then.
    pub persona: Option<String>,
    /// Key of the campaign that the lead came from.
    pub campaign: Option<String>,
    /// Source of the lead.
    pub source: Option<String>,
}

/// How a cycle stands, as far as it says whether a gate was right to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub outcome: CycleOutcome,
    /// The furthest stage of the cycle.
    pub furthest: StageKind,
    /// A rule closed the cycle, not a person.
    pub by_rule: bool,
}

/// The stage by which people confirm a gate: sales took the lead on, or a deal was opened.
pub fn confirmed_by(gate: StageKind) -> StageKind {
    if gate >= StageKind::Sql { StageKind::Opportunity } else { StageKind::Sal }
}

/// Whether the gate was right to open for the lead, by what people said later; none while nobody has said anything.
///
/// The gates up to MQL promise sales a lead that it takes on, so SAL is their confirmation; the gate SQL promises a deal, so
/// OPPORTUNITY is its own. Source: the stage machine of the charter, where SAL and everything after it is a person's word.
///
/// | the cycle | known outcome |
/// |---|---|
/// | was won | good |
/// | was closed by a rule, merged or erased | none: the rule would be its own witness |
/// | was disqualified, however far it came | not good: it should never have come |
/// | reached the confirming stage, whatever came after | good |
/// | was lost or recycled before it, a rejected hand-off included | not good: people looked and said no |
/// | is open below it; returned for missing context, too | none yet |
pub fn known_outcome(gate: StageKind, told: Told) -> Option<bool> {
    match told.outcome {
        CycleOutcome::Merged | CycleOutcome::Erased => None,
        CycleOutcome::Won => Some(true),
        _ if told.by_rule => None,
        CycleOutcome::Disqualified => Some(false),
        _ if told.furthest >= confirmed_by(gate) => Some(true),
        CycleOutcome::Open => None,
        CycleOutcome::Lost | CycleOutcome::Recycled => Some(false),
    }
}

/// What a rule said; none when it failed.
pub type Vote = Option<Outcome>;

/// Votes in the order of their rows and columns in a matrix; the last is the failure.
pub const VOTES: [Vote; 6] = [
    Some(Outcome::Advance),
    Some(Outcome::Hold),
    Some(Outcome::Review),
    Some(Outcome::Recycle),
    Some(Outcome::Disqualify),
    None,
];

fn place(vote: Vote) -> usize {
    VOTES.iter().position(|known| *known == vote).unwrap_or(VOTES.len() - 1)
}

/// Who had a lead, as it was first assigned in its cycle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Desk {
    Owner(Uuid),
    /// Key of a queue.
    Queue(String),
    /// It was never given to anybody outside of marketing.
    Nobody,
}

/// One lead with a known outcome, judged by both rules as of then.
#[derive(Clone, Debug)]
pub struct Judged {
    pub lead: Uuid,
    /// When it was looked at.
    pub at: Instant,
    pub good: bool,
    pub baseline: Vote,
    pub candidate: Vote,
    /// What the candidate used.
    pub fuel: u64,
    /// One for each field that the candidate declares.
    pub cells: Vec<Cell>,
    /// Fields that were unknown then and are known now, by their places.
    pub late: Vec<usize>,
    /// Persona, campaign and source of the lead, as they were then.
    pub groups: [Option<String>; 3],
    pub desk: Desk,
    /// An import of the past told of it.
    pub imported: bool,
}

/// A lead on which the two rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    pub lead: Uuid,
    /// When it was looked at.
    pub at: Instant,
    pub baseline: Vote,
    pub candidate: Vote,
    pub good: bool,
}

/// Flipped leads that are kept by name, the newest ones.
pub const FLIPS: usize = 1_000;
/// Personas, campaigns or sources that are told apart; the leads of all others are counted together.
const GROUPS: usize = 500;
/// Parts of the time that are told apart until the quarters are cut out of them.
const SLICES: usize = 32;
/// The name of the group in which the others are counted.
const OTHERS: &str = "(others)";
/// The fuel of a lead is counted to about 3 %.
const FUEL_BITS: u32 = 5;

/// Counts of some leads, the newest first. Two of them merge to the counts of all.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Not good and good leads by what the baseline and the candidate said.
    matrix: [[[u32; 6]; 6]; 2],
    groups: [BTreeMap<Option<String>, Group>; 3],
    desks: BTreeMap<Desk, Load>,
    fuel: u64,
    fuels: BTreeMap<i32, u32>,
    /// Leads of which every declared field was known.
    covered: u32,
    imported: u32,
    slices: Vec<Slice>,
    /// Leads of a slice, until slices are joined.
    slice: u32,
    flips: Vec<Flip>,
    pub population: Population,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Group {
    leads: u32,
    good: u32,
    /// Both rules let it through, the baseline alone, the candidate alone.
    both: u32,
    lost: u32,
    gained: u32,
    flips: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    before: u32,
    after: u32,
}

/// Leads that were looked at one after the other.
#[derive(Clone, Debug)]
struct Slice {
    from: Instant,
    to: Instant,
    leads: u32,
    good: u32,
    fields: Vec<(Histogram, u32)>,
}

impl Tally {
    /// For about so many leads.
    pub fn new(expected: usize) -> Tally {
        Tally {
            matrix: [[[0; 6]; 6]; 2],
            groups: Default::default(),
            desks: BTreeMap::new(),
            fuel: 0,
            fuels: BTreeMap::new(),
            covered: 0,
            imported: 0,
            slices: vec![],
            slice: u32::try_from(expected / 8).unwrap_or(u32::MAX).max(16),
            flips: vec![],
            population: Population::default(),
        }
    }

    /// Leads so far.
    pub fn judged(&self) -> u32 {
        self.matrix.iter().flatten().flatten().sum()
    }

    /// Flipped leads that were kept, the newest first.
    pub fn flips(&self) -> &[Flip] {
        &self.flips
    }

    /// Counts a lead that was looked at before all others so far.
    pub fn add(&mut self, judged: Judged) {
        let Judged { lead, at, good, baseline, candidate, fuel, cells, late, groups, desk, imported } =
            judged;
        self.matrix[usize::from(good)][place(baseline)][place(candidate)] += 1;
        let [before, after] = [baseline, candidate].map(|vote| vote == Some(Outcome::Advance));
        let one = Group {
            leads: 1,
            good: u32::from(good),
            both: u32::from(before && after),
            lost: u32::from(before && !after),
            gained: u32::from(after && !before),
            flips: u32::from(baseline != candidate),
        };
        for (kept, key) in self.groups.iter_mut().zip(groups) {
            group(kept, key, one);
        }
        if before || after {
            let load = Load { before: u32::from(before), after: u32::from(after) };
            self.desks.entry(desk).or_default().add(load);
        }
        self.fuel = self.fuel.saturating_add(fuel);
        let bucket = field::bucket(i64::try_from(fuel).unwrap_or(i64::MAX), FUEL_BITS);
        *self.fuels.entry(bucket).or_default() += 1;
        self.covered += u32::from(cells.iter().all(|cell| *cell != Cell::Unknown));
        self.imported += u32::from(imported);
        if baseline != candidate && self.flips.len() < FLIPS {
            self.flips.push(Flip { lead, at, baseline, candidate, good });
        }
        let full = self.slices.last().is_none_or(|slice| slice.leads >= self.slice);
        if full {
            let fields = vec![Default::default(); cells.len()];
            self.slices.push(Slice { from: at, to: at, leads: 0, good: 0, fields });
            self.join();
        }
        if let Some(slice) = self.slices.last_mut() {
            (slice.from, slice.to) = (slice.from.min(at), slice.to.max(at));
            (slice.leads, slice.good) = (slice.leads + 1, slice.good + u32::from(good));
            // A half of the leads that no order of theirs follows.
            let half = lead.as_bytes().iter().fold(0, |sum, byte| sum ^ byte).count_ones() % 2 == 0;
            for (cell, (histogram, _)) in cells.into_iter().zip(&mut slice.fields) {
                histogram.add(cell, half, good);
            }
            late.into_iter().for_each(|at| slice.fields[at].1 += 1);
        }
    }

    /// Takes in the counts of leads that were looked at before all of this one's.
    pub fn merge(&mut self, older: Tally) {
        let Tally {
            matrix,
            groups,
            desks,
            fuel,
            fuels,
            covered,
            imported,
            slices,
            slice: _,
            flips,
            population,
        } = older;
        let sums = self.matrix.iter_mut().flatten().flatten();
        sums.zip(matrix.into_iter().flatten().flatten()).for_each(|(sum, more)| *sum += more);
        for (kept, more) in self.groups.iter_mut().zip(groups) {
            more.into_iter().for_each(|(key, one)| group(kept, key, one));
        }
        desks.into_iter().for_each(|(desk, load)| self.desks.entry(desk).or_default().add(load));
        self.fuel = self.fuel.saturating_add(fuel);
        fuels.into_iter().for_each(|(bucket, count)| *self.fuels.entry(bucket).or_default() += count);
        (self.covered, self.imported) = (self.covered + covered, self.imported + imported);
        let free = FLIPS.saturating_sub(self.flips.len());
        self.flips.extend(flips.into_iter().take(free));
        self.slices.extend(slices);
        self.join();
        self.population.add(population);
    }

    /// Joins the smallest neighbours until there are few enough slices.
    fn join(&mut self) {
        while self.slices.len() > SLICES {
            let pairs = self.slices.windows(2).map(|pair| pair[0].leads + pair[1].leads);
            let Some((at, _)) = pairs.enumerate().min_by_key(|(_, leads)| *leads) else { return };
            let next = self.slices.remove(at + 1);
            self.slices[at].merge(&next);
        }
    }
}

impl Slice {
    fn merge(&mut self, other: &Slice) {
        (self.from, self.to) = (self.from.min(other.from), self.to.max(other.to));
        (self.leads, self.good) = (self.leads + other.leads, self.good + other.good);
        for ((histogram, late), (more, later)) in self.fields.iter_mut().zip(&other.fields) {
            histogram.merge(more);
            *late += later;
        }
    }
}

impl Load {
    fn add(&mut self, more: Load) {
        (self.before, self.after) = (self.before + more.before, self.after + more.after);
    }
}

fn group(kept: &mut BTreeMap<Option<String>, Group>, key: Option<String>, more: Group) {
    let key = if kept.len() < GROUPS || kept.contains_key(&key) { key } else { Some(OTHERS.to_owned()) };
    let sum = kept.entry(key).or_default();
    *sum = Group {
        leads: sum.leads + more.leads,
        good: sum.good + more.good,
        both: sum.both + more.both,
        lost: sum.lost + more.lost,
        gained: sum.gained + more.gained,
        flips: sum.flips + more.flips,
    };
}
