//! The checker has teeth: a good history passes, and each way to spoil it is found and named.

use super::*;
use crate::dice::Dice;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Three leads are captured, closed and reopened by turns; two subscribers see it, one of them is cut and reads a part again.
fn good() -> History {
    let mut history = History::default();
    for round in 1..=3i64 {
        for lead in 1..=3u128 {
            let effect =
                [Effect::Captured, Effect::Closed, Effect::Reopened][usize::try_from(round - 1).unwrap()];
            let stage = [Some(1), None, Some(2)][usize::try_from(round - 1).unwrap()];
            for ordinal in 0..2 {
                let position = history.feed.len() as i64 + 1;
                history.feed.push(Row {
                    position,
                    id: id(1_000 + position as u128),
                    lead: Some(id(lead)),
                    version: round,
                    ordinal,
                    stage_version: stage.filter(|_| ordinal == 1),
                    effect: (ordinal == 0).then_some(effect),
                });
            }
            let answer = Answer { lead: id(lead), version: round };
            // Some are asked again, since their answer was cut.
            let answers = vec![answer; 1 + usize::from(lead == 2)];
            history.asked.push(Asked { key: format!("{lead}-{round}"), effect, answers });
            history.table.insert(id(lead), round);
        }
    }
    let changes: Vec<Seen> = history.feed.iter().filter_map(change).map(Seen::Change).collect();
    let mut whole = vec![Seen::Resumed { after: 0 }];
    whole.extend(changes.clone());
    // Cut after three changes; its cursor is that of the second.
    let mut cut = vec![Seen::Resumed { after: 0 }];
    cut.extend(changes[..3].to_vec());
    let Seen::Change(second) = &changes[1] else { unreachable!() };
    cut.push(Seen::Resumed { after: second.position });
    cut.extend(changes[2..].to_vec());
    history.subscribers = vec![whole, cut];
    history
}

fn at(seen: &Seen, position: i64) -> bool {
    matches!(seen, Seen::Change(change) if change.position == position)
}

fn change(row: &Row) -> Option<Change> {
    let (lead, stage_version) = (row.lead?, row.stage_version?);
    Some(Change { position: row.position, id: row.id, lead, version: row.version, stage_version })
}

#[test]
fn a_good_history_has_no_violation_and_is_counted() {
    let (found, summary) = check(&good());
    assert_eq!(found, []);
    let expected = Summary { acknowledged: 9, open: 0, events: 18, deliveries: 13, repeated: 1, resumes: 3 };
    assert_eq!(summary, expected);
}

#[test]
fn a_change_that_nobody_was_told_of_is_no_violation() {
    let mut history = good();
    history.asked[8].answers.clear();
    assert_eq!(check(&history).0, []);
}

/// Renumbers what follows, so that only the removal itself is wrong.
fn remove_event(history: &mut History, at: usize) {
    let gone = history.feed.remove(at).position;
    let shift = |position: &mut i64| *position -= i64::from(*position > gone);
    history.feed.iter_mut().for_each(|row| shift(&mut row.position));
    for seen in history.subscribers.iter_mut().flatten() {
        match seen {
            Seen::Resumed { after } => shift(after),
            Seen::Change(change) => shift(&mut change.position),
        }
    }
}

#[test]
fn each_way_to_spoil_a_history_is_found() {
    type Spoil = fn(&mut History);
    type Expect = fn(&Violation) -> bool;
    let cases: &[(&str, Spoil, Expect)] = &[
        (
            "an acknowledged change is not in the log",
            |h| h.feed.truncate(16),
            |v| matches!(v, Violation::Lost { key, .. } if key == "3-3"),
        ),
        (
            "an event in the middle is gone",
            |h| remove_event(h, 6),
            |v| matches!(v, Violation::Lost { key, .. } if key == "1-2"),
        ),
        (
            "a lead's changes have a hole",
            |h| remove_event(h, 6),
            |v| matches!(v, Violation::Disorder { after: (1, 1), found: (2, 1), .. }),
        ),
        (
            "a lead's row is behind",
            |h| h.table.extend([(id(1), 2)]),
            |v| matches!(v, Violation::Behind { row: 2, version: 3, .. }),
        ),
        (
            "a lead's row is gone",
            |h| h.table.retain(|lead, _| *lead != id(1)),
            |v| matches!(v, Violation::Behind { row: 0, .. }),
        ),
        (
            "a key has an answer of another lead",
            |h| h.asked[1].answers[1].lead = id(1),
            |v| matches!(v, Violation::AnsweredTwice { key } if key == "2-1"),
        ),
        (
            "a key's second answer is of an earlier version",
            |h| h.asked[4].answers[1].version = 1,
            |v| matches!(v, Violation::AnsweredTwice { key } if key == "2-2"),
        ),
        (
            "two keys were told one change",
            |h| {
                let mut twin = h.asked[4].clone();
                twin.key = "twin".to_owned();
                h.asked.push(twin);
            },
            |v| matches!(v, Violation::Lost { key, .. } if key == "twin"),
        ),
        (
            "a change was made twice",
            |h| h.feed[17].effect = Some(Effect::Reopened),
            |v| matches!(v, Violation::Doubled { asked: 1, made: 2, .. }),
        ),
        (
            "a position is missing",
            |h| h.feed.last_mut().unwrap().position = 19,
            |v| *v == Violation::Position { expected: 18, found: 19 },
        ),
        (
            "an event stands there twice",
            |h| h.feed[5].id = h.feed[4].id,
            |v| matches!(v, Violation::EventTwice { .. }),
        ),
        (
            "a lead's changes are turned round",
            |h| {
                for (a, b) in [(0, 6), (1, 7)] {
                    let first = h.feed[a].position;
                    h.feed.swap(a, b);
                    h.feed[b].position = h.feed[a].position;
                    h.feed[a].position = first;
                }
            },
            |v| matches!(v, Violation::Disorder { after: (0, 0), found: (2, 0), .. }),
        ),
        (
            "a stage version is missing",
            |h| h.feed[13].stage_version = Some(3),
            |v| matches!(v, Violation::StageVersion { after: 1, found: 3, .. }),
        ),
        (
            "the chain is broken",
            |h| h.chain = Some("position 3".to_owned()),
            |v| matches!(v, Violation::Chain(_)),
        ),
        (
            "a subscriber missed one",
            |h| h.subscribers[0].retain(|seen| !at(seen, 4)),
            |v| matches!(v, Violation::Missed { subscriber: 0, position: 4 }),
        ),
        (
            "a subscriber missed the last",
            |h| h.subscribers[1].retain(|seen| !at(seen, 18)),
            |v| matches!(v, Violation::Missed { subscriber: 1, position: 18 }),
        ),
        (
            "a resume skipped one",
            |h| {
                h.subscribers[1][4] = Seen::Resumed { after: 14 };
                h.subscribers[1].drain(5..7);
            },
            |v| matches!(v, Violation::Missed { subscriber: 1, position: 14 }),
        ),
        (
            "two deliveries are turned round",
            |h| h.subscribers[0].swap(1, 4),
            |v| matches!(v, Violation::Inversion { subscriber: 0, found: 1, .. }),
        ),
        (
            "one came again without a resume",
            |h| {
                let again = h.subscribers[0][3].clone();
                h.subscribers[0].insert(4, again);
            },
            |v| matches!(v, Violation::Repeated { subscriber: 0, position: 6 }),
        ),
        (
            "a delivery is not in the log",
            |h| {
                if let Seen::Change(change) = &mut h.subscribers[0][1] {
                    change.stage_version = 2;
                }
            },
            |v| matches!(v, Violation::Foreign { subscriber: 0, .. }),
        ),
    ];
    for (name, spoil, expect) in cases {
        let mut history = good();
        spoil(&mut history);
        let (found, _) = check(&history);
        assert!(found.iter().any(expect), "{name}: {found:?}");
    }
}

/// Anything that is taken away from what was seen, or put into the log beside what was asked for, is noticed.
#[test]
fn no_single_loss_or_repetition_passes() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    for case in 0..500 {
        let (mut dice, mut history) = (Dice::of(seed, case), good());
        let chosen = dice.below(2);
        let seen = &mut history.subscribers[chosen];
        let at = 1 + dice.below(seen.len() - 1);
        match dice.below(3) {
            // What comes again after a resume may be missing before it: those are not taken.
            0 if matches!(&seen[at], Seen::Change(change) if change.position != 6) => {
                seen.remove(at);
            }
            1 if matches!(seen[at], Seen::Change(_)) => seen.insert(at, seen[at].clone()),
            _ => {
                let at = dice.below(history.feed.len());
                let mut row = history.feed[at].clone();
                row.id = id(99);
                history.feed.insert(at, row);
                let renumbered = history.feed.iter_mut().zip(1..);
                renumbered.for_each(|(row, position)| row.position = position);
            }
        }
        assert_ne!(check(&history).0, [], "seed {seed}, case {case}: {history:#?}");
    }
}
