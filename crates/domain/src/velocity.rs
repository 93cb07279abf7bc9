//! Velocity: how long cycles stay at each stage, what comes in and goes on, where the funnel is narrowest, and the ways that
//! buyers take through it.

use std::collections::BTreeMap;

use crate::dimension::Group;
use crate::passage::{Passage, Stay};
use crate::quantile::quantile;
use crate::share::Share;
use crate::stage::{CycleOutcome, StageKind};

/// How long the stays at a stage took, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dwell {
    pub stage: StageKind,
    pub group: Group,
    /// Stays that ended.
    pub count: u64,
    /// Of them, those that ended with another stage.
    pub advanced: u64,
    pub median: Option<i64>,
    pub p75: Option<i64>,
    pub p90: Option<i64>,
}

/// Stays by stage and group.
#[derive(Clone, Debug, Default)]
pub struct Velocity(BTreeMap<(StageKind, Group), (Vec<i64>, u64)>);

impl Velocity {
    pub fn add(&mut self, stay: &Stay, group: Group) {
        let (took, advanced) = self.0.entry((stay.stage, group)).or_default();
        took.push(stay.ms());
        *advanced += u64::from(stay.advanced);
    }

    /// In the order of the stages.
    pub fn finish(self) -> Vec<Dwell> {
        let dwell = |((stage, group), (mut took, advanced)): ((StageKind, Group), (Vec<i64>, u64))| {
            took.sort_unstable();
            let [median, p75, p90] = [50, 75, 90].map(|percent| quantile(&took, percent));
            Dwell { stage, group, count: took.len() as u64, advanced, median, p75, p90 }
        };
        self.0.into_iter().map(dwell).collect()
    }
}

/// Entries below which a stage is not judged.
pub const LEAST_ENTRIES: u64 = 30;

/// The rule by which a bottleneck is found.
pub const BOTTLENECK: &str = "The stage from which the smallest share goes on, by the upper end of the 95 % interval of that share \
    (Wilson 1927), so that few cycles convict no stage; stages with fewer than 30 entries are not judged. Wins are the product of \
    the shares, so that mending a stage can multiply them by one over its share at most: where the share is smallest there is most \
    to gain, which is what Goldratt (1984, The Goal) calls the constraint.";

/// One stage and what becomes of those who enter it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageHealth {
    pub stage: StageKind,
    /// The stage that comes next; none after the last.
    pub next: Option<StageKind>,
    /// Those that came to the next stage or beyond, of those that entered.
    pub share: Share,
    /// Of those that entered, cycles that are over and did not come to the next stage.
    pub dropped: u64,
    /// Median of the stays that ended, in milliseconds.
    pub median: Option<i64>,
    pub bottleneck: bool,
}

/// What entered each stage, and how it went on.
#[derive(Clone, Debug)]
pub struct Health {
    stages: Vec<StageKind>,
    counts: BTreeMap<StageKind, (Share, u64, Vec<i64>)>,
}

impl Health {
    /// Of these stages, in their order.
    pub fn new(stages: Vec<StageKind>) -> Health {
        Health { stages, counts: BTreeMap::new() }
    }

    fn next(&self, stage: StageKind) -> Option<StageKind> {
        self.stages.iter().copied().find(|other| *other > stage)
    }

    /// Counts the cycle where it entered the stage.
    pub fn enter(&mut self, passage: &Passage, stage: StageKind) {
        let Some(next) = self.stages.contains(&stage).then(|| self.next(stage)) else { return };
        let reached = next.and_then(|next| passage.reached(next));
        let (share, dropped, took) = self.counts.entry(stage).or_default();
        share.of += 1;
        share.count += u64::from(reached.is_some());
        *dropped += u64::from(
            reached.is_none() && passage.closed_at.is_some() && passage.outcome != CycleOutcome::Won,
        );
        took.extend(passage.stays().iter().filter(|stay| stay.stage == stage).map(Stay::ms));
    }

    pub fn finish(mut self) -> Vec<StageHealth> {
        let mut found: Vec<StageHealth> = vec![];
        for stage in self.stages.clone() {
            let (share, dropped, mut took) = self.counts.remove(&stage).unwrap_or_default();
            took.sort_unstable();
            let (next, median) = (self.next(stage), quantile(&took, 50));
            found.push(StageHealth { stage, next, share, dropped, median, bottleneck: false });
        }
        let narrow = |one: &&mut StageHealth| {
            one.next.is_some_and(|next| next <= StageKind::Customer) && one.share.of >= LEAST_ENTRIES
        };
        let judged = found.iter_mut().filter(narrow);
        let narrowest = judged.min_by(|a, b| a.share.interval().high.total_cmp(&b.share.interval().high));
        if let Some(one) = narrowest {
            one.bottleneck = true;
        }
        found
    }
}

/// Cycles of a journey that are told; of longer ones the first.
pub const LONGEST_JOURNEY: usize = 5;
/// Different journeys that are told apart.
const MOST_JOURNEYS: usize = 10_000;

/// A cycle of a journey: the stages it came to, each with whether it was skipped, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leg {
    pub stages: Vec<(StageKind, bool)>,
    pub outcome: CycleOutcome,
}

impl Leg {
    pub fn of(passage: &Passage) -> Leg {
        let mut stages = vec![];
        for step in &passage.steps {
            stages.extend(step.skipped.iter().map(|stage| (*stage, true)));
            stages.push((step.to, false));
        }
        Leg { stages, outcome: passage.outcome }
    }
}

/// The way of a lead by all of its cycles, in order.
pub fn way(cycles: &[Passage]) -> Vec<Leg> {
    cycles.iter().take(LONGEST_JOURNEY).map(Leg::of).collect()
}

/// Leads that went the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub legs: Vec<Leg>,
    pub leads: u64,
    /// Median from the first opening to the last ending, in milliseconds; none while the newest cycle is open.
    pub median: Option<i64>,
}

/// Journeys of leads, by the way they went.
#[derive(Clone, Debug, Default)]
pub struct Journeys {
    ways: BTreeMap<Vec<Leg>, (u64, Vec<i64>)>,
    /// Leads whose way was one too many to be told apart.
    pub others: u64,
    pub leads: u64,
}

impl Journeys {
    /// A lead by all of its cycles, in order.
    pub fn add(&mut self, cycles: &[Passage]) {
        let Some((first, last)) = cycles.first().zip(cycles.last()) else { return };
        self.leads += 1;
        let legs = way(cycles);
        if !self.ways.contains_key(&legs) && self.ways.len() >= MOST_JOURNEYS {
            self.others += 1;
            return;
        }
        let (leads, took) = self.ways.entry(legs).or_default();
        *leads += 1;
        took.extend(last.closed_at.map(|at| at.since(first.opened_at).max(0)));
    }

    /// Those that most leads went first.
    pub fn finish(self) -> Vec<Way> {
        let way = |(legs, (leads, mut took)): (Vec<Leg>, (u64, Vec<i64>))| {
            took.sort_unstable();
            Way { legs, leads, median: quantile(&took, 50) }
        };
        let mut ways: Vec<Way> = self.ways.into_iter().map(way).collect();
        ways.sort_by(|a, b| b.leads.cmp(&a.leads).then_with(|| a.legs.cmp(&b.legs)));
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::tests::passage;
    use crate::time::DAY;
    use StageKind::{Customer, Inquiry, Iql, Mql, Opportunity, Sal, Sql};

    #[test]
    fn stays_are_told_by_quantiles() {
        let mut found = Velocity::default();
        for day in 1..=10 {
            let one = passage(&[(0, Mql, &[]), (day, Sal, &[])], Some((20, CycleOutcome::Lost)));
            one.stays().iter().for_each(|stay| found.add(stay, Group::all()));
        }
        let told: Vec<_> = found
            .finish()
            .into_iter()
            .map(|one| {
                (
                    one.stage,
                    one.count,
                    one.advanced,
                    [one.median, one.p75, one.p90].map(|ms| ms.unwrap() / DAY),
                )
            })
            .collect();
        assert_eq!(told, [(Mql, 10, 10, [5, 8, 9]), (Sal, 10, 0, [14, 17, 18])]);
    }

    #[test]
    fn the_narrowest_stage_is_the_bottleneck_unless_few_entered_it() {
        let mut health = Health::new(vec![Inquiry, Iql, Mql, Sal, Sql, Opportunity, Customer]);
        let mut enter = |count: usize, passage: &Passage| {
            for _ in 0..count {
                [Inquiry, Iql, Mql, Sal, Sql]
                    .into_iter()
                    .filter(|stage| passage.entered(*stage).is_some())
                    .for_each(|stage| health.enter(passage, stage));
            }
        };
        enter(60, &passage(&[(0, Inquiry, &[])], None));
        enter(35, &passage(&[(0, Inquiry, &[]), (1, Mql, &[Iql])], Some((2, CycleOutcome::Recycled))));
        enter(5, &passage(&[(0, Inquiry, &[]), (1, Mql, &[Iql]), (2, Sal, &[])], None));
        let found = health.finish();
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.stage, one.share.count, one.share.of, one.dropped, one.bottleneck))
            .collect();
        let expected = [
            (Inquiry, 40, 100, 0, false),
            (Iql, 40, 40, 0, false),
            (Mql, 5, 40, 35, true),
            (Sal, 0, 5, 0, false),
            (Sql, 0, 0, 0, false),
            (Opportunity, 0, 0, 0, false),
            (Customer, 0, 0, 0, false),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn leads_that_went_the_same_way_are_counted_together() {
        let mut journeys = Journeys::default();
        let first = passage(&[(0, Inquiry, &[]), (1, Mql, &[Iql])], Some((4, CycleOutcome::Recycled)));
        let second = Passage { cycle: 2, ..passage(&[(5, Inquiry, &[])], Some((10, CycleOutcome::Lost))) };
        journeys.add(&[first.clone(), second]);
        journeys.add(std::slice::from_ref(&first));
        journeys.add(std::slice::from_ref(&first));
        journeys.add(&[]);
        assert_eq!((journeys.leads, journeys.others), (3, 0));
        let ways = journeys.finish();
        let told: Vec<_> =
            ways.iter().map(|way| (way.legs.len(), way.leads, way.median.map(|ms| ms / DAY))).collect();
        assert_eq!(told, [(1, 2, Some(4)), (2, 1, Some(10))]);
        assert_eq!(ways[0].legs[0].stages, [(Inquiry, false), (Iql, true), (Mql, false)]);
    }
}
