//! What each declared field looked like: how it is spread, how well it predicts alone, and how it moved.

use std::collections::BTreeMap;

use crate::field::{CATALOGUE, Value};
use crate::time::Instant;

use super::statistics::{ONE, points};

/// Distinct texts of a field that are kept apart; more share 64 cells.
const TEXTS: usize = 256;

/// Good and other leads that a test of a field needs of each.
pub const ENOUGH: u64 = 30;

/// A value, coarse enough to be counted in bounded memory: numbers by eighths of an octave, texts by their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    Unknown,
    Flag(bool),
    Number(i32),
    Text(u64),
    /// Of a field with very many texts.
    Folded(u8),
}

impl Cell {
    /// Of a value at `path`. An instant counts by how long ago it was: the calendar alone predicts nothing that lasts.
    pub fn of(path: &str, value: Option<&Value>, as_of: Instant) -> Cell {
        match value {
            None => Cell::Unknown,
            Some(Value::Boolean(value)) => Cell::Flag(*value),
            Some(Value::Integer(value)) if is_instant(path) => {
                Cell::Number(bucket(as_of.ms().saturating_sub(*value), 3))
            }
            Some(Value::Integer(value)) => Cell::Number(bucket(*value, 3)),
            Some(Value::Text(text)) => Cell::Text(hash(0, text.as_bytes())),
            Some(Value::TextList(list)) => {
                Cell::Text(list.iter().fold(1, |seed, text| hash(seed, text.as_bytes())))
            }
            Some(Value::IntegerList(list)) => {
                Cell::Text(list.iter().fold(2, |seed, one| hash(seed, &one.to_le_bytes())))
            }
        }
    }
}

fn is_instant(path: &str) -> bool {
    CATALOGUE.iter().any(|field| field.path == path && field.unit == Some("ms since 1970"))
        || (path.starts_with("answers.") && path.ends_with(".at"))
}

/// Numbers below 2^(bits+1) stay what they are; above, each octave has 2^bits buckets.
pub fn bucket(value: i64, bits: u32) -> i32 {
    let size = value.unsigned_abs();
    let exact = 2_u64 << bits;
    let place = if size < exact {
        size
    } else {
        let octave = size.ilog2();
        let within = (size >> (octave - bits)) & ((1 << bits) - 1);
        exact + (u64::from(octave - bits - 1) << bits) + within
    };
    let place = i32::try_from(place).unwrap_or(i32::MAX);
    if value < 0 { -place } else { place }
}

/// The largest value of a bucket of positive numbers.
pub fn bucket_end(place: i32, bits: u32) -> u64 {
    let (place, exact) = (u64::from(place.unsigned_abs()), 2_u64 << bits);
    if place < exact {
        return place;
    }
    let (octaves, within) = ((place - exact) >> bits, (place - exact) & ((1 << bits) - 1));
    let (octave, step) = (octaves + u64::from(bits) + 1, octaves + 1);
    (1_u64 << octave.min(62)).saturating_add(((within + 1) << step.min(62)) - 1)
}

/// FNV-1a, 64 bits: the same on every machine.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// How often each cell was seen: good and other leads of the one half of the leads, then of the other half.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    cells: BTreeMap<Cell, [u32; 4]>,
    texts: usize,
    folded: bool,
}

impl Histogram {
    pub fn add(&mut self, cell: Cell, half: bool, good: bool) {
        let mut counts = [0; 4];
        counts[usize::from(half) * 2 + usize::from(!good)] = 1;
        self.put(cell, counts);
    }

    pub fn merge(&mut self, other: &Histogram) {
        if other.folded {
            self.fold();
        }
        other.cells.iter().for_each(|(cell, counts)| self.put(*cell, *counts));
    }

    /// Leads of which the field was known.
    pub fn known(&self) -> u32 {
        let known = self.cells.iter().filter(|(cell, _)| **cell != Cell::Unknown);
        known.flat_map(|(_, counts)| counts).sum()
    }

    fn put(&mut self, cell: Cell, counts: [u32; 4]) {
        let cell = match cell {
            Cell::Text(hash) if self.folded => Cell::Folded((hash % 64) as u8),
            cell => cell,
        };
        let entry = self.cells.entry(cell).or_insert_with(|| {
            self.texts += usize::from(matches!(cell, Cell::Text(_)));
            [0; 4]
        });
        entry.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
        if self.texts > TEXTS {
            self.fold();
        }
    }

    fn fold(&mut self) {
        if !self.folded {
            self.folded = true;
            let cells = std::mem::take(&mut self.cells);
            cells.into_iter().for_each(|(cell, counts)| self.put(cell, counts));
            self.texts = 0;
        }
    }

    fn total(&self, cell: Cell) -> u64 {
        self.cells.get(&cell).map_or(0, |counts| counts.iter().map(|count| u64::from(*count)).sum())
    }
}

/// How well a field alone tells good leads from the others: the probability, in basis points, that of a good lead and another
/// one of the same quarter the field points at the good one (AUC, the area under the curve). 5000 is chance.
///
/// What a value is worth is learned from one half of a quarter's leads and tried on the other half, and the other way round,
/// so that a field with many values does not look clever by having learned its leads by heart; and leads are compared within
/// their quarter, so that a field which only tells the time does not look clever because the base rate drifted.
pub fn alone(quarters: &[Histogram]) -> Option<u32> {
    let (mut won, mut pairs, mut good, mut other) = (0.0, 0.0, 0_u64, 0_u64);
    for quarter in quarters {
        for half in 0..2 {
            let learned =
                |counts: &[u32; 4]| (f64::from(counts[2 - 2 * half]), f64::from(counts[3 - 2 * half]));
            let (all_good, all_other) = quarter.cells.values().map(learned).fold((0.0, 0.0), add);
            if all_good + all_other == 0.0 {
                continue;
            }
            let base = all_good / (all_good + all_other);
            let mut tried: Vec<(f64, u64, u64)> = quarter
                .cells
                .values()
                .map(|counts| {
                    let (yes, no) = learned(counts);
                    // A value that was hardly seen is worth about what all are worth.
                    let worth = (yes + PRIOR * base) / (yes + no + PRIOR);
                    (worth, u64::from(counts[2 * half]), u64::from(counts[2 * half + 1]))
                })
                .collect();
            tried.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (yes, no) = tried.iter().fold((0, 0), |sum, one| (sum.0 + one.1, sum.1 + one.2));
            (good, other) = (good + yes, other + no);
            pairs += yes as f64 * no as f64;
            let mut below = 0;
            for tie in tried.chunk_by(|a, b| a.0 == b.0) {
                let (yes, no) = tie.iter().fold((0, 0), |sum, one| (sum.0 + one.1, sum.1 + one.2));
                won += yes as f64 * (below as f64 + no as f64 / 2.0);
                below += no;
            }
        }
    }
    (good >= ENOUGH && other >= ENOUGH && pairs > 0.0).then(|| points(won / pairs))
}

/// As so many leads of the base rate weighs what is believed of a value before it was seen.
const PRIOR: f64 = 20.0;

fn add(sum: (f64, f64), one: (f64, f64)) -> (f64, f64) {
    (sum.0 + one.0, sum.1 + one.1)
}

/// How far a field moved between two times: the population stability index in basis points, over at most ten bins by the
/// deciles of the earlier one for numbers, and the ten commonest values for texts. Below 1000 is calm, from 2500 on another
/// population (Siddiqi, Credit Risk Scorecards, 2006). Half a lead is added to each bin, so that an empty one has a logarithm.
pub fn drift(first: &Histogram, last: &Histogram) -> u32 {
    let bins = bins(first, last);
    let half = bins.len() as f64 / 2.0;
    let (before, after) = bins.iter().fold((0, 0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1));
    if before == 0 || after == 0 {
        return 0;
    }
    let share = |count: u64, whole: u64| (count as f64 + 0.5) / (whole as f64 + half);
    let parts = bins.iter().map(|bin| (share(bin.0, before), share(bin.1, after)));
    points(parts.map(|(a, b)| (a - b) * (a / b).ln()).sum()).min(100 * ONE)
}

const BINS: u64 = 10;

fn bins(first: &Histogram, last: &Histogram) -> Vec<(u64, u64)> {
    let cells: std::collections::BTreeSet<Cell> =
        first.cells.keys().chain(last.cells.keys()).copied().collect();
    let counted = |cell: &Cell| (first.total(*cell), last.total(*cell));
    let (numbers, others): (Vec<Cell>, Vec<Cell>) =
        cells.into_iter().partition(|cell| matches!(cell, Cell::Number(_)));
    let mut bins: Vec<(u64, u64)> = vec![];
    let (all, mut seen) = (numbers.iter().map(|cell| first.total(*cell)).sum::<u64>(), 0);
    let mut at = None;
    for cell in &numbers {
        let (before, after) = counted(cell);
        let bin = (seen * BINS).checked_div(all).unwrap_or(0);
        seen += before;
        match bins.last_mut().filter(|_| at == Some(bin)) {
            Some(open) => *open = (open.0 + before, open.1 + after),
            None => bins.push((before, after)),
        }
        at = Some(bin);
    }
    let mut rest: Vec<(u64, u64)> = others.iter().map(counted).collect();
    rest.sort_by_key(|(before, after)| std::cmp::Reverse(before + after));
    let tail = rest.split_off(rest.len().min(BINS as usize - 1));
    bins.append(&mut rest);
    if !tail.is_empty() {
        bins.push(tail.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)));
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(leads: impl Iterator<Item = (Cell, bool)>) -> Histogram {
        let mut histogram = Histogram::default();
        leads.enumerate().for_each(|(at, (cell, good))| histogram.add(cell, at / 2 % 2 == 0, good));
        histogram
    }

    #[test]
    fn a_field_that_knows_all_is_perfect_and_one_that_knows_nothing_is_chance() {
        let knows = histogram((0..400).map(|at| (Cell::Flag(at % 3 == 0), at % 3 == 0)));
        assert_eq!(alone(&[knows]), Some(10_000));
        let guesses = histogram((0..4_000).map(|at| (Cell::Text(at * 7 % 11), at % 5 == 0)));
        assert!(alone(&[guesses]).is_some_and(|auc| (4_700..5_300).contains(&auc)));
        // A text of its own for each lead says nothing about the next one.
        let names = histogram((0..200).map(|at| (Cell::Text(at), at % 2 == 0)));
        assert!(alone(&[names]).is_some_and(|auc| (4_500..5_500).contains(&auc)));
        let few = histogram((0..20).map(|at| (Cell::Flag(at % 2 == 0), at % 2 == 0)));
        assert_eq!(alone(&[few]), None, "too few leads to say anything");
    }

    #[test]
    fn a_field_that_only_tells_the_time_is_chance_within_its_quarter() {
        let quarter = |time: i32, good: usize| {
            histogram((0..1_000).map(move |at| (Cell::Number(time), at % 10 < good)))
        };
        let quarters = [quarter(1, 1), quarter(2, 2), quarter(3, 5), quarter(4, 9)];
        assert_eq!(alone(&quarters), Some(5_000));
    }

    #[test]
    fn drift_is_none_for_the_same_and_large_for_another_population() {
        let spread =
            |from: i64| histogram((0..1_000).map(move |at| (Cell::Number(bucket(from + at, 3)), true)));
        assert_eq!(drift(&spread(0), &spread(0)), 0);
        assert!(drift(&spread(0), &spread(5)) < 1_000);
        assert!(drift(&spread(0), &spread(700)) > 2_500);
        let texts = |modulo: u64| histogram((0..1_000).map(move |at| (Cell::Text(at % modulo), true)));
        assert!(drift(&texts(4), &texts(4)) == 0 && drift(&texts(4), &texts(12)) > 2_500);
        assert_eq!(drift(&Histogram::default(), &spread(0)), 0);
    }

    proptest! {
        #[test]
        fn buckets_rise_with_their_numbers_and_end_where_they_say(value in 0_i64..1 << 60, bits in 1_u32..6) {
            let place = bucket(value, bits);
            let end = bucket_end(place, bits);
            prop_assert!(end >= value as u64 && end as f64 <= (value as f64 * (1.0 + 1.0 / f64::from(1 << bits))).max(1.0) + 1.0);
            prop_assert_eq!(bucket(end as i64, bits), place);
            prop_assert_eq!(bucket(end as i64 + 1, bits), place + 1);
            prop_assert_eq!(bucket(-value, bits), -place);
        }

        #[test]
        fn halves_of_a_histogram_merge_to_the_whole(
            leads in prop::collection::vec((0_u64..400, any::<bool>(), any::<bool>()), 0..900), cut in 0_usize..900
        ) {
            let all = |leads: &[(u64, bool, bool)]| {
                let mut histogram = Histogram::default();
                leads.iter().for_each(|(text, half, good)| histogram.add(Cell::Text(*text), *half, *good));
                histogram
            };
            let (left, right) = leads.split_at(cut.min(leads.len()));
            let mut merged = all(left);
            merged.merge(&all(right));
            prop_assert_eq!(merged.cells, all(&leads).cells);
        }
    }
}
