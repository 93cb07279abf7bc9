//! Whether a history keeps the promises: what was acknowledged, what each subscriber saw and what the log holds in the
//! end, looked at together. Pure, and the same for the simulation and for real processes.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// Everything that is known about one run after it has settled.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub asked: Vec<Asked>,
    pub subscribers: Vec<Vec<Seen>>,
    /// The log in the order of its positions.
    pub feed: Vec<Row>,
    /// Each lead's version as its row says.
    pub table: BTreeMap<Uuid, i64>,
    /// What was wrong with the chain of hashes.
    pub chain: Option<String>,
}

/// What a change leaves in the log, once for each that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    Captured,
    Closed,
    Reopened,
    /// An e-mail was sent. Nothing keeps two apart but their keys.
    Noted,
    /// A timer's effect.
    Fired,
}

/// A change that somebody wanted, with all answers to its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub key: String,
    pub effect: Effect,
    /// In order. Without one it is not known whether the change was made.
    pub answers: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub lead: Uuid,
    /// The lead's version when it was answered: the change has this one or a lower one.
    pub version: i64,
}

/// What a subscriber noticed, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It subscribed after this position.
    Resumed {
        after: i64,
    },
    Change(Change),
}

/// A stage change as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub position: i64,
    pub id: Uuid,
    pub lead: Uuid,
    pub version: i64,
    pub stage_version: i64,
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub position: i64,
    pub id: Uuid,
    /// None for what is no lead's.
    pub lead: Option<Uuid>,
    pub version: i64,
    pub ordinal: i64,
    pub stage_version: Option<i64>,
    pub effect: Option<Effect>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged change is not in the log.
    Lost {
        key: String,
        lead: Uuid,
        version: i64,
    },
    /// An acknowledged change is not in the lead's row.
    Behind {
        lead: Uuid,
        row: i64,
        version: i64,
    },
    /// One key was answered in two ways.
    AnsweredTwice {
        key: String,
    },
    /// More changes were made than were asked for.
    Doubled {
        lead: Uuid,
        effect: Effect,
        asked: usize,
        made: usize,
    },
    /// Positions are not 1..n.
    Position {
        expected: i64,
        found: i64,
    },
    /// An event stands in the log twice.
    EventTwice {
        id: Uuid,
    },
    /// The log has a lead's changes in another order than they were made in, or not all of them.
    Disorder {
        lead: Uuid,
        after: (i64, i64),
        found: (i64, i64),
    },
    /// The log misses a stage change, or has it twice.
    StageVersion {
        lead: Uuid,
        after: i64,
        found: i64,
    },
    Chain(String),
    /// A subscriber was not shown a change before it was shown a later one, or at all.
    Missed {
        subscriber: usize,
        position: i64,
    },
    /// A subscriber was shown a lead's later change first.
    Inversion {
        subscriber: usize,
        lead: Uuid,
        after: i64,
        found: i64,
    },
    /// A subscriber was shown a change again though it had not resumed before it.
    Repeated {
        subscriber: usize,
        position: i64,
    },
    /// A subscriber was shown what the log does not say.
    Foreign {
        subscriber: usize,
        id: Uuid,
    },
}

/// Counts, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub acknowledged: usize,
    /// Asked for and never answered.
    pub open: usize,
    pub events: usize,
    pub deliveries: usize,
    /// Delivered again after a resume, which is allowed.
    pub repeated: usize,
    pub resumes: usize,
}

/// All violations, and what was looked at.
pub fn check(history: &History) -> (Vec<Violation>, Summary) {
    let mut found = Vec::new();
    let mut summary = Summary { events: history.feed.len(), ..Summary::default() };
    log(history, &mut found);
    acknowledgements(history, &mut found, &mut summary);
    for (number, seen) in history.subscribers.iter().enumerate() {
        subscriber(number, seen, &history.feed, &mut found, &mut summary);
    }
    (found, summary)
}

/// The log by itself.
fn log(history: &History, found: &mut Vec<Violation>) {
    let mut ids = BTreeSet::new();
    let mut last: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    let mut stages: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (expected, row) in (1..).zip(&history.feed) {
        if row.position != expected {
            found.push(Violation::Position { expected, found: row.position });
        }
        if !ids.insert(row.id) {
            found.push(Violation::EventTwice { id: row.id });
        }
        let Some(lead) = row.lead else { continue };
        let place = (row.version, row.ordinal);
        let after = last.insert(lead, place).unwrap_or((0, 0));
        if place != (after.0 + 1, 0) && (place != (after.0, after.1 + 1) || after.0 == 0) {
            found.push(Violation::Disorder { lead, after, found: place });
        }
        if let Some(stage) = row.stage_version {
            let after = stages.insert(lead, stage).unwrap_or(0);
            if stage != after + 1 {
                found.push(Violation::StageVersion { lead, after, found: stage });
            }
        }
    }
    found.extend(history.chain.clone().map(Violation::Chain));
}

/// What was answered against the log and the rows.
fn acknowledgements(history: &History, found: &mut Vec<Violation>, summary: &mut Summary) {
    let mut made: BTreeMap<(Uuid, Effect), Vec<i64>> = BTreeMap::new();
    for row in &history.feed {
        if let (Some(lead), Some(effect)) = (row.lead, row.effect) {
            made.entry((lead, effect)).or_default().push(row.version);
        }
    }
    let mut asked: BTreeMap<(Uuid, Effect), Vec<(i64, &str)>> = BTreeMap::new();
    for ask in &history.asked {
        let Some(first) = ask.answers.first() else {
            summary.open += 1;
            continue;
        };
        summary.acknowledged += 1;
        let &Answer { lead, version } = first;
        // The lead may have gone on between two answers, and never back.
        if ask.answers.iter().any(|answer| answer.lead != lead)
            || !ask.answers.is_sorted_by_key(|answer| answer.version)
        {
            found.push(Violation::AnsweredTwice { key: ask.key.clone() });
        }
        match history.table.get(&lead).copied().unwrap_or(0) {
            row if row < version => found.push(Violation::Behind { lead, row, version }),
            _ => {}
        }
        asked.entry((lead, ask.effect)).or_default().push((version, &ask.key));
    }
    for (of, asks) in &mut asked {
        let versions = made.get(of).map_or(&[][..], Vec::as_slice);
        asks.sort_unstable();
        for (number, (version, key)) in asks.iter().enumerate() {
            // Each of them has a change of its own.
            if versions.iter().filter(|made| *made <= version).count() <= number {
                let (key, lead, version) = ((*key).to_owned(), of.0, *version);
                found.push(Violation::Lost { key, lead, version });
            }
        }
    }
    // Whoever was never answered may have made any of the changes that nobody was told of.
    let mut open: BTreeMap<Effect, usize> = BTreeMap::new();
    for ask in history.asked.iter().filter(|ask| ask.answers.is_empty()) {
        *open.entry(ask.effect).or_default() += 1;
    }
    for (&(lead, effect), made) in &made {
        let (asked, made) = (asked.get(&(lead, effect)).map_or(0, Vec::len), made.len());
        let spare = open.entry(effect).or_default();
        let unexplained = made.saturating_sub(asked);
        if unexplained > *spare {
            found.push(Violation::Doubled { lead, effect, asked, made });
        }
        *spare = spare.saturating_sub(unexplained);
    }
}

fn subscriber(number: usize, seen: &[Seen], feed: &[Row], found: &mut Vec<Violation>, summary: &mut Summary) {
    let changes: BTreeMap<i64, &Row> =
        feed.iter().filter(|row| row.stage_version.is_some()).map(|row| (row.position, row)).collect();
    let Some(Seen::Resumed { after: start }) = seen.first() else { return };
    let mut shown: BTreeSet<i64> = BTreeSet::new();
    let mut newest: BTreeMap<Uuid, i64> = BTreeMap::new();
    // Where its present subscription stands: everything up to here has been shown to it, or needs not be.
    let mut stands = *start;
    for seen in seen {
        let change = match seen {
            Seen::Resumed { after } => {
                summary.resumes += 1;
                stands = *after;
                continue;
            }
            Seen::Change(change) => change,
        };
        summary.deliveries += 1;
        let Change { position, id, lead, version, stage_version } = *change;
        let said = (id, Some(lead), version, Some(stage_version));
        let logged = changes.get(&position).map(|row| (row.id, row.lead, row.version, row.stage_version));
        if logged != Some(said) {
            found.push(Violation::Foreign { subscriber: number, id });
            continue;
        }
        let after = newest.get(&lead).copied().unwrap_or(0);
        if position <= stands {
            found.push(match shown.contains(&position) {
                true => Violation::Repeated { subscriber: number, position },
                false => Violation::Inversion { subscriber: number, lead, after, found: stage_version },
            });
            continue;
        }
        // Whatever lies between was passed over.
        for (missed, _) in changes.range(stands + 1..position) {
            found.push(Violation::Missed { subscriber: number, position: *missed });
        }
        stands = position;
        if !shown.insert(position) {
            summary.repeated += 1;
            continue;
        }
        newest.insert(lead, stage_version);
        if stage_version <= after {
            found.push(Violation::Inversion { subscriber: number, lead, after, found: stage_version });
        }
    }
    for (missed, _) in changes.range(stands + 1..) {
        found.push(Violation::Missed { subscriber: number, position: *missed });
    }
    // A resume may not skip what the subscriber has not seen.
    for (position, _) in changes.range(start + 1..stands.max(*start) + 1) {
        let missed = Violation::Missed { subscriber: number, position: *position };
        if !shown.contains(position) && !found.contains(&missed) {
            found.push(missed);
        }
    }
}

#[cfg(test)]
#[path = "checker/tests.rs"]
mod tests;
