//! What a backtest says in the end.

use serde::{Deserialize, Serialize};

use crate::number::Long;
use crate::time::{DAY, Instant};
use crate::verdict::Outcome;

use super::field::{Histogram, alone, bucket_end, drift};
use super::finding::{Finding, findings};
use super::statistics::{Lift, Share};
use super::{Desk, FUEL_BITS, Flip, Slice, Tally, VOTES, Vote};

/// Which looks at leads were judged again, and why the others were not. A lead counts once for each of its cycles: by the last
/// look at which the gate was asked, since that one decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestPopulation"))]
#[serde(rename_all = "camelCase")]
pub struct Population {
    /// Looks at which the gate was asked.
    pub looks: Long,
    /// A later look in the same cycle decided.
    pub superseded: Long,
    /// Nobody has said yet whether the lead was good.
    pub unknown: Long,
    /// A rule closed the cycle, so that no person said anything of it.
    pub closed_by_rule: Long,
    /// The person was erased, and the snapshot with it.
    pub erased: Long,
    /// Not asked for: another persona, campaign or source.
    pub filtered: Long,
    /// Judged again by both rules.
    pub judged: Long,
}

impl Population {
    pub fn add(&mut self, more: Population) {
        self.looks += more.looks.0;
        self.superseded += more.superseded.0;
        self.unknown += more.unknown.0;
        self.closed_by_rule += more.closed_by_rule.0;
        self.erased += more.erased.0;
        self.filtered += more.filtered.0;
        self.judged += more.judged.0;
    }
}

/// One cell of the matrix of what the two rules said. On its diagonal they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestFlipCount"))]
#[serde(rename_all = "camelCase")]
pub struct FlipCount {
    /// What the version said that answers today; null when it failed.
    pub baseline: Option<Outcome>,
    /// What the candidate said; null when it failed.
    pub candidate: Option<Outcome>,
    /// Leads of which both said so.
    pub leads: Long,
    /// Good ones among them.
    pub good: Long,
}

/// How well one rule did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestScore"))]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// Leads that it let through, of all.
    pub advanced: Share,
    /// Good ones among those that it let through.
    pub precision: Share,
    /// Those that it let through, of all good ones.
    pub recall: Share,
    /// Null where there is nothing to compare: no lead or every lead passes, or none was good.
    pub lift: Option<Lift>,
    /// Leads that it failed at.
    pub faults: Long,
}

/// The leads of one persona, campaign or source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestGroup"))]
#[serde(rename_all = "camelCase")]
pub struct GroupReport {
    /// Null where it was unknown.
    pub key: Option<String>,
    pub leads: Long,
    /// Good ones, of all of them.
    pub good: Share,
    /// Leads on which the rules differ.
    pub flips: Long,
    /// Leads that both let through.
    pub both: Long,
    /// Leads that only the candidate lets through.
    pub gained: Long,
    /// Leads that only today's version lets through.
    pub lost: Long,
}

/// What the candidate would change for one owner or queue, by whom the leads were assigned to then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestOwnerLoad"))]
#[serde(rename_all = "camelCase")]
pub struct OwnerLoad {
    /// Key of the owner; null for a queue, and for leads that nobody ever got.
    pub owner: Option<String>,
    /// Key of the queue.
    pub queue: Option<String>,
    /// Of the judged leads, those that today's version lets through.
    pub before: Long,
    /// Of the judged leads, those that the candidate lets through.
    pub after: Long,
    /// `after` less `before`: negative is less work.
    pub change: Long,
    /// Leads that the owner has open now.
    pub open_leads: Option<Long>,
    /// The most open leads that the owner can have.
    pub capacity: Option<u32>,
    /// Clocks that the additional leads of an average week would start although their owner has no free place for them now:
    /// the promises of ACCEPT and FIRST_TOUCH that would be made at the limit. A queue has no limit, and no such clocks.
    pub clocks_at_risk: Long,
}

/// What the flow knows of a desk: the row without the figures, and the places of its owner.
#[derive(Clone, Debug, Default)]
pub struct Board {
    pub owner: Option<String>,
    pub queue: Option<String>,
    /// Open leads and capacity.
    pub places: Option<(u32, u32)>,
}

/// See [`OwnerLoad::clocks_at_risk`]. `clocks` is how many a lead starts that is handed over; the window is that of the leads
/// which were judged, and counts as a week at least.
pub fn clocks_at_risk(more: u32, window_ms: i64, open: u32, capacity: u32, clocks: u32) -> u32 {
    let weeks = (window_ms.max(0) as f64 / (7 * DAY) as f64).max(1.0);
    let a_week = (f64::from(more) / weeks).ceil() as u32;
    a_week.saturating_sub(capacity.saturating_sub(open)).saturating_mul(clocks)
}

/// What is known of a field that the candidate declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestField"))]
#[serde(rename_all = "camelCase")]
pub struct FieldReport {
    pub path: String,
    /// Leads of which it was known when they were looked at.
    pub known: Share,
    /// Leads of which it became known only afterwards. Told of traits, which say when they were observed.
    pub late: Long,
    /// How often the verdict or its points change when the field is taken away, tried on a sample of the leads: whether the
    /// candidate rests on it with these settings.
    pub rests_on: Share,
    /// How well the field alone tells good leads from others, in basis points: the area under the curve, learned on one half
    /// of the leads and tried on the other, within quarters of the time. 5000 is chance. Null with fewer than 30 good or 30
    /// other leads.
    pub alone: Option<u32>,
    /// How far it moved from the first quarter of the time to the last: the population stability index in basis points. From
    /// 2500 on it is another population. Null where there are too few leads.
    pub drift: Option<u32>,
}

/// A field that the candidate declares, and how many of the sample's verdicts changed without it.
#[derive(Clone, Debug)]
pub struct Probed {
    pub path: String,
    pub changed: u32,
    pub sample: u32,
}

/// What the candidate used. A lead's share is that of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestFuel"))]
#[serde(rename_all = "camelCase")]
pub struct FuelReport {
    /// Of all leads.
    pub total: Long,
    /// A lead, on average.
    pub mean: Long,
    /// 99 of 100 leads need no more, to about 3 %.
    pub p99: Long,
}

/// A quarter of the judged leads, by the time at which they were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestQuarter"))]
#[serde(rename_all = "camelCase")]
pub struct Quarter {
    /// Its earliest look.
    pub from: Instant,
    /// Its latest look.
    pub to: Instant,
    /// Good leads, of all of the quarter: the base rate.
    pub good: Share,
}

/// What a backtest found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "BacktestReport"))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What there is to say, the gravest first.
    pub findings: Vec<Finding>,
    pub population: Population,
    /// Good leads, of all: what a rule that picks blindly would get.
    pub base: Share,
    /// The version that answers today.
    pub baseline: Score,
    pub candidate: Score,
    /// The cells of the matrix that are not empty.
    pub matrix: Vec<FlipCount>,
    /// Leads on which the rules differ.
    pub flips: Long,
    /// Snapshots that hold every field that the candidate declares.
    pub coverage: Share,
    /// The declared fields, in the candidate's order.
    pub fields: Vec<FieldReport>,
    /// By the number of flips.
    pub personas: Vec<GroupReport>,
    /// By the number of flips.
    pub campaigns: Vec<GroupReport>,
    /// By the number of flips.
    pub sources: Vec<GroupReport>,
    /// By the size of the change.
    pub owners: Vec<OwnerLoad>,
    /// The sum over all owners.
    pub clocks_at_risk: Long,
    pub fuel: FuelReport,
    /// The oldest first; fewer than four where there are few leads.
    pub quarters: Vec<Quarter>,
    /// Of them, those that an import of the past brought.
    #[serde(default)]
    pub imported: Long,
}

impl Tally {
    /// The end. `probed` are the declared fields in their order; `board` says what is known of a desk, `clocks` how many a
    /// handed-over lead starts.
    pub fn report(&self, probed: &[Probed], board: impl Fn(&Desk) -> Board, clocks: u32) -> Report {
        let quarters = self.quarters();
        let judged = self.judged();
        let base = Share::of(self.count(|_, _, good| good), judged);
        let owners = self.owners(board, clocks);
        let mut report = Report {
            findings: vec![],
            population: self.population,
            base,
            baseline: self.score(|baseline, _| baseline),
            candidate: self.score(|_, candidate| candidate),
            matrix: self.matrix(),
            flips: self.count(|baseline, candidate, _| baseline != candidate).into(),
            coverage: Share::of(self.covered, judged),
            fields: probed
                .iter()
                .enumerate()
                .map(|(at, probed)| field(at, probed, &quarters, judged))
                .collect(),
            personas: self.grouped(0),
            campaigns: self.grouped(1),
            sources: self.grouped(2),
            clocks_at_risk: Long(owners.iter().map(|one| one.clocks_at_risk.0).sum()),
            owners,
            fuel: self.fuel(judged),
            quarters: quarters.iter().map(Slice::quarter).collect(),
            imported: self.imported.into(),
        };
        report.findings = findings(&report);
        report
    }

    fn count(&self, which: impl Fn(Vote, Vote, bool) -> bool) -> u32 {
        let mut sum = 0;
        for (good, matrix) in self.matrix.iter().enumerate() {
            for (baseline, row) in VOTES.iter().zip(matrix) {
                let cells = VOTES.iter().zip(row);
                let meant = cells.filter(|(candidate, _)| which(*baseline, **candidate, good == 1));
                sum += meant.map(|(_, count)| count).sum::<u32>();
            }
        }
        sum
    }

    fn score(&self, of: impl Fn(Vote, Vote) -> Vote) -> Score {
        let advances = |baseline, candidate| of(baseline, candidate) == Some(Outcome::Advance);
        let (judged, good) = (self.judged(), self.count(|_, _, good| good));
        let advanced = self.count(|baseline, candidate, _| advances(baseline, candidate));
        let right = self.count(|baseline, candidate, good| good && advances(baseline, candidate));
        Score {
            advanced: Share::of(advanced, judged),
            precision: Share::of(right, advanced),
            recall: Share::of(right, good),
            lift: Lift::of(right, advanced, good, judged),
            faults: self.count(|baseline, candidate, _| of(baseline, candidate).is_none()).into(),
        }
    }

    fn matrix(&self) -> Vec<FlipCount> {
        let mut cells = vec![];
        for (row, baseline) in VOTES.into_iter().enumerate() {
            for (column, candidate) in VOTES.into_iter().enumerate() {
                let [other, good] = [0, 1].map(|good: usize| self.matrix[good][row][column]);
                let leads = (other + good).into();
                cells.push(FlipCount { baseline, candidate, leads, good: good.into() });
            }
        }
        cells.retain(|cell| cell.leads.0 > 0);
        cells
    }

    fn grouped(&self, which: usize) -> Vec<GroupReport> {
        let mut groups: Vec<GroupReport> = self.groups[which]
            .iter()
            .map(|(key, one)| GroupReport {
                key: key.clone(),
                leads: one.leads.into(),
                good: Share::of(one.good, one.leads),
                flips: one.flips.into(),
                both: one.both.into(),
                gained: one.gained.into(),
                lost: one.lost.into(),
            })
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.flips, group.leads)));
        groups
    }

    fn owners(&self, board: impl Fn(&Desk) -> Board, clocks: u32) -> Vec<OwnerLoad> {
        let from = self.slices.iter().map(|slice| slice.from).min().unwrap_or_default();
        let to = self.slices.iter().map(|slice| slice.to).max().unwrap_or_default();
        let row = |(desk, load): (&Desk, &super::Load)| {
            let Board { owner, queue, places } = board(desk);
            let more = load.after.saturating_sub(load.before);
            let at_risk =
                places.map(|(open, capacity)| clocks_at_risk(more, to.since(from), open, capacity, clocks));
            OwnerLoad {
                owner,
                queue,
                before: load.before.into(),
                after: load.after.into(),
                change: Long(i64::from(load.after) - i64::from(load.before)),
                open_leads: places.map(|(open, _)| open.into()),
                capacity: places.map(|(_, capacity)| capacity),
                clocks_at_risk: at_risk.unwrap_or(0).into(),
            }
        };
        let mut rows: Vec<OwnerLoad> = self.desks.iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.change.0.unsigned_abs(), row.after)));
        rows
    }

    fn fuel(&self, judged: u32) -> FuelReport {
        let enough = u64::from(judged).saturating_mul(99).div_ceil(100);
        let mut seen = 0;
        let p99 = self.fuels.iter().find(|(_, count)| {
            seen += u64::from(**count);
            seen >= enough
        });
        let p99 = p99.map_or(0, |(bucket, _)| bucket_end(*bucket, FUEL_BITS));
        let long = |value: u64| Long(i64::try_from(value).unwrap_or(i64::MAX));
        let mean = self.fuel / u64::from(judged.max(1));
        FuelReport { total: long(self.fuel), mean: long(mean), p99: long(p99) }
    }

    /// The slices joined to quarters, the oldest first.
    fn quarters(&self) -> Vec<Slice> {
        let all = u64::from(self.judged()).max(1);
        let (mut quarters, mut seen, mut at) = (Vec::<Slice>::new(), 0, None);
        for slice in self.slices.iter().rev() {
            // By its middle, so that a slice across the border goes where most of it lies.
            let quarter = (2 * seen + u64::from(slice.leads)) * 2 / all;
            seen += u64::from(slice.leads);
            match quarters.last_mut().filter(|_| at == Some(quarter)) {
                Some(open) => open.merge(slice),
                None => quarters.push(slice.clone()),
            }
            at = Some(quarter);
        }
        quarters
    }
}

impl Slice {
    fn quarter(&self) -> Quarter {
        Quarter { from: self.from, to: self.to, good: Share::of(self.good, self.leads) }
    }
}

/// The least leads of a quarter of which a drift can be told.
pub(super) const QUARTER: u32 = 50;

fn field(at: usize, probed: &Probed, quarters: &[Slice], judged: u32) -> FieldReport {
    let histograms: Vec<Histogram> = quarters.iter().map(|quarter| quarter.fields[at].0.clone()).collect();
    let drift = match quarters {
        [first, .., last] if first.leads >= QUARTER && last.leads >= QUARTER => {
            Some(drift(&first.fields[at].0, &last.fields[at].0))
        }
        _ => None,
    };
    FieldReport {
        path: probed.path.clone(),
        known: Share::of(histograms.iter().map(Histogram::known).sum(), judged),
        late: Long(quarters.iter().map(|quarter| i64::from(quarter.fields[at].1)).sum()),
        rests_on: Share::of(probed.changed, probed.sample),
        alone: alone(&histograms),
        drift,
    }
}

impl Flip {
    /// Whether the candidate is the one that was right: it lets a good lead through, or keeps another one back.
    pub fn is_better(self) -> Option<bool> {
        let [before, after] = [self.baseline, self.candidate].map(|vote| vote == Some(Outcome::Advance));
        (before != after).then_some(after == self.good)
    }
}
