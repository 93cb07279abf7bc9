//! Which traits the leads have that end in a way: the lift of each value over all leads, with an interval, and without what was
//! only known afterwards.

use std::collections::{BTreeMap, BTreeSet};

use crate::backtest::Lift;
use crate::field::Value;
use crate::share::{Share, holm};

/// Leads of which a value needs at least so many, as all others together do, to be told from chance.
pub const LEAST_SUPPORT: u64 = 30;
/// Leads with and without the ending that would be expected of a value at least.
const LEAST_EXPECTED: f64 = 5.0;
/// A trait leaks if so many per cent of its values were observed after the end.
pub const LEAKING_PERCENT: u64 = 5;
/// Values of a trait that are told apart.
const MOST_VALUES: usize = 200;
/// Different numbers of a trait that are kept; beyond it, neighbours are joined.
const MOST_NUMBERS: usize = 4_096;
/// Bands that numbers are cut into, each with the same number of leads.
const BANDS: u64 = 4;

/// What is said of a trait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// A text, or yes and no.
    Word(String),
    /// Numbers from one to another, both included.
    Band(i64, i64),
    /// Values beyond the 200 that are told apart.
    Others,
    /// The lead does not have the trait.
    Unknown,
}

/// The words of a value that is told by words; a number is told by the band that it lies in.
pub fn words(value: &Value) -> Option<BTreeSet<String>> {
    match value {
        Value::Boolean(yes) => Some(BTreeSet::from([yes.to_string()])),
        Value::Text(text) => Some(BTreeSet::from([text.clone()])),
        Value::Integer(_) => None,
        Value::IntegerList(list) => Some(list.iter().map(i64::to_string).collect()),
        Value::TextList(list) => Some(list.iter().cloned().collect()),
    }
}

/// One value of a trait.
#[derive(Clone, Debug, PartialEq)]
pub struct LiftRow {
    pub key: String,
    pub said: Said,
    /// Leads that ended so, of those with the value: its support.
    pub share: Share,
    /// None where there is nothing to compare with.
    pub lift: Option<Lift>,
    /// Too few leads to be told from chance.
    pub small: bool,
    /// Whether the value differs from all others beyond chance, with all values of the report looked at together.
    pub beyond_chance: bool,
}

/// A trait that knows how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaking {
    pub key: String,
    /// Values that were observed when or after the cycle ended, of all.
    pub late: Share,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Lifts {
    /// Leads that ended so, of all that ended.
    pub base: Share,
    /// The farthest from no lift first; small ones last.
    pub rows: Vec<LiftRow>,
    pub leaking: Vec<Leaking>,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    words: BTreeMap<String, Share>,
    others: Share,
    numbers: BTreeMap<i64, Share>,
    /// Numbers are kept without so many of their last binary digits.
    coarse: u32,
    known: Share,
    late: Share,
}

/// Leads with a known ending, and what was known of them.
#[derive(Clone, Debug, Default)]
pub struct Traits {
    base: Share,
    traits: BTreeMap<String, Counted>,
}

fn add(share: &mut Share, good: bool) {
    share.of += 1;
    share.count += u64::from(good);
}

fn merge(share: &mut Share, other: Share) {
    share.of += other.of;
    share.count += other.count;
}

fn rest(all: Share, part: Share) -> Share {
    Share::of(all.count.saturating_sub(part.count), all.of.saturating_sub(part.of))
}

impl Counted {
    fn word(&mut self, word: String, good: bool) {
        let many = self.words.len() >= MOST_VALUES && !self.words.contains_key(&word);
        let share = if many { &mut self.others } else { self.words.entry(word).or_default() };
        add(share, good);
    }

    fn number(&mut self, number: i64, good: bool) {
        add(self.numbers.entry(number >> self.coarse).or_default(), good);
        while self.numbers.len() > MOST_NUMBERS {
            self.coarse += 1;
            for (number, share) in std::mem::take(&mut self.numbers) {
                merge(self.numbers.entry(number >> 1).or_default(), share);
            }
        }
    }

    /// Numbers by quantiles: a band ends with the number at its rank, so that equal numbers stay together.
    fn bands(&self) -> Vec<(Said, Share)> {
        let total: u64 = self.numbers.values().map(|share| share.of).sum();
        let mut bands: Vec<(Said, Share)> = vec![];
        let (mut seen, mut filled, mut open) = (0, 0, None);
        for (number, share) in &self.numbers {
            let (first, mut sum) = open.take().unwrap_or((*number, Share::default()));
            merge(&mut sum, *share);
            seen += share.of;
            // The band is full when its upper quantile is reached; a number that many leads have may fill several of them.
            if seen * BANDS >= (filled + 1) * total {
                let last = ((*number + 1) << self.coarse) - 1;
                bands.push((Said::Band(first << self.coarse, last), sum));
                filled = seen * BANDS / total;
                continue;
            }
            open = Some((first, sum));
        }
        if let (Some((_, sum)), Some((Said::Band(_, last), share))) = (open, bands.last_mut()) {
            merge(share, sum);
            *last = self.numbers.keys().next_back().map_or(*last, |number| ((number + 1) << self.coarse) - 1);
        }
        bands
    }

    fn leaks(&self) -> bool {
        self.late.of > 0 && self.late.of * 100 >= LEAKING_PERCENT * (self.known.of + self.late.of)
    }
}

impl Traits {
    /// A lead that ended; `good` if it ended in the way that is looked at.
    pub fn lead(&mut self, good: bool) {
        add(&mut self.base, good);
    }

    /// What is known of a lead that was counted. `late`: it was observed when or after the cycle ended.
    pub fn value(&mut self, key: &str, value: &Value, late: bool, good: bool) {
        if !self.traits.contains_key(key) {
            self.traits.insert(key.to_owned(), Counted::default());
        }
        let Some(counted) = self.traits.get_mut(key) else { return };
        if late {
            return add(&mut counted.late, good);
        }
        add(&mut counted.known, good);
        match (value, words(value)) {
            (Value::Integer(number), _) => counted.number(*number, good),
            (_, words) => words.into_iter().flatten().for_each(|word| counted.word(word, good)),
        }
    }

    pub fn finish(self) -> Lifts {
        let (base, mut rows, mut leaking) = (self.base, vec![], vec![]);
        for (key, counted) in self.traits {
            if counted.leaks() {
                leaking.push(Leaking {
                    key,
                    late: Share::of(counted.late.of, counted.known.of + counted.late.of),
                });
                continue;
            }
            let mut said = counted.bands();
            // Those who were late take no part, as if they were not here.
            let all = rest(base, counted.late);
            let unknown = rest(all, counted.known);
            said.extend(counted.words.into_iter().map(|(word, share)| (Said::Word(word), share)));
            said.extend([(Said::Others, counted.others), (Said::Unknown, unknown)]);
            let told = said.into_iter().filter(|(_, share)| share.of > 0);
            rows.extend(told.map(|(said, share)| row(&key, said, share, all)));
        }
        let (mut rows, values): (Vec<LiftRow>, Vec<Option<f64>>) = rows.into_iter().unzip();
        for (row, beyond) in rows.iter_mut().zip(holm(&values)) {
            row.beyond_chance = beyond;
        }
        let away = |row: &LiftRow| {
            row.lift.map_or(0.0, |lift| (f64::from(lift.basis_points.max(1)) / 10_000.0).ln().abs())
        };
        rows.sort_by(|a, b| {
            let rank = |row: &LiftRow| (!row.beyond_chance, row.small);
            rank(a)
                .cmp(&rank(b))
                .then_with(|| away(b).total_cmp(&away(a)))
                .then_with(|| (&a.key, &a.said).cmp(&(&b.key, &b.said)))
        });
        Lifts { base, rows, leaking }
    }
}

/// A value beside all other leads, and the probability that chance alone sets them as far apart; none for small samples.
fn row(key: &str, said: Said, share: Share, all: Share) -> (LiftRow, Option<f64>) {
    let others = rest(all, share);
    let whole = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let lift = Lift::of(whole(share.count), whole(share.of), whole(all.count), whole(all.of));
    let expected = |of: u64, rate: f64| of as f64 * rate.min(1.0 - rate);
    let rate = all.fraction();
    let few = share.of.min(others.of);
    let small = few < LEAST_SUPPORT || expected(few, rate) < LEAST_EXPECTED;
    let chance = (!small && lift.is_some()).then(|| share.chance(others));
    (LiftRow { key: key.to_owned(), said, share, lift, small, beyond_chance: false }, chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_value_that_ends_well_more_often_has_lift_and_one_known_afterwards_takes_no_part() {
        let mut found = Traits::default();
        for number in 0..400u64 {
            let expert = number % 4 == 0;
            // Of experts three in four are won, of the others one in four.
            let good = if expert { number % 16 != 0 } else { number % 4 == 1 && number % 16 < 13 };
            found.lead(good);
            found.value("role", &word(if expert { "expert" } else { "student" }), false, good);
            found.value("coin", &word(if number % 10 < 5 { "heads" } else { "tails" }), false, good);
            found.value("tag", &word(if good { "will buy" } else { "no" }), number % 10 == 0, good);
            if number < 20 {
                found.value("rare", &Value::Boolean(true), false, good);
            }
        }
        let found = found.finish();
        assert_eq!((found.base.of, found.leaking.len()), (400, 1));
        assert_eq!((found.leaking[0].key.as_str(), found.leaking[0].late), ("tag", Share::of(40, 400)));
        let row =
            |key: &str, said: Said| found.rows.iter().find(|row| row.key == key && row.said == said).unwrap();
        let expert = row("role", Said::Word("expert".into()));
        assert!(expert.beyond_chance && !expert.small && expert.share == Share::of(75, 100), "{expert:?}");
        assert!(expert.lift.is_some_and(|lift| lift.low > 10_000));
        assert!(!row("coin", Said::Word("heads".into())).beyond_chance);
        let rare = row("rare", Said::Word("true".into()));
        assert!(rare.small && !rare.beyond_chance, "{rare:?}");
        assert_eq!(row("rare", Said::Unknown).share.of, 380);
        assert!(found.rows.iter().all(|row| row.key != "tag"));
    }

    #[test]
    fn numbers_are_cut_into_bands_of_equally_many_leads() {
        let bands = |numbers: &[i64]| {
            let mut found = Traits::default();
            for number in numbers {
                found.lead(number % 2 == 0);
                found.value("size", &Value::Integer(*number), false, number % 2 == 0);
            }
            let mut rows: Vec<(Said, u64)> =
                found.finish().rows.into_iter().map(|row| (row.said, row.share.of)).collect();
            rows.sort();
            rows
        };
        let band = |from, to, of| (Said::Band(from, to), of);
        assert_eq!(
            bands(&(1..=100).collect::<Vec<_>>()),
            [band(1, 25, 25), band(26, 50, 25), band(51, 75, 25), band(76, 100, 25)]
        );
        // Half of all leads have the same number.
        let same: Vec<i64> = [7; 50].into_iter().chain(8..58).collect();
        assert_eq!(bands(&same), [band(7, 7, 50), band(8, 32, 25), band(33, 57, 25)]);
        let many: Vec<i64> = (0..20_000).collect();
        let sum: u64 = bands(&many).iter().map(|(_, of)| of).sum();
        assert_eq!((bands(&many).len(), sum), (4, 20_000));
        assert_eq!(bands(&[-5, -5, -5]), [band(-5, -5, 3)]);
    }
}
