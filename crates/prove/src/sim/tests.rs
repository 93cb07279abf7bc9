//! Thousands of seeds in each test run. `HANDFAST_SIM_SEEDS=100000` runs more, `HANDFAST_SIM_SEED=7` one again.

use super::*;
use crate::checker::{Violation, check};

const SCALE: Scale = Scale { nodes: 3, clients: 4, changes: 5, subscribers: 3 };

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// From a seed that is another one each time, unless it is named.
fn seeds(ordinary: u64) -> std::ops::Range<u64> {
    if let Some(seed) = number_of("HANDFAST_SIM_SEED") {
        return seed..seed + 1;
    }
    let first = crate::now().as_nanos() as u64 % 1_000_000_000_000;
    let count = number_of("HANDFAST_SIM_SEEDS").unwrap_or(ordinary);
    println!("HANDFAST_SIM_SEED={first} and {count} after it");
    first..first + count
}

#[test]
fn nothing_is_lost_reordered_or_doubled_whatever_is_paused_killed_or_cut_off() {
    let (mut summary, mut steps) = (crate::checker::Summary::default(), 0);
    for seed in seeds(2_000) {
        let run = super::run(seed, Design::Feed, SCALE);
        let (found, counted) = check(&run.history);
        assert_eq!(found, [], "HANDFAST_SIM_SEED={seed}");
        assert!(run.settled, "it does not come to rest: HANDFAST_SIM_SEED={seed}");
        steps += run.steps;
        summary.acknowledged += counted.acknowledged;
        summary.deliveries += counted.deliveries;
        summary.repeated += counted.repeated;
        summary.resumes += counted.resumes;
    }
    println!("{steps} steps: {summary:?}");
}

/// Whether the checker finds such a fault of a design within a hundred seeds.
fn fails(design: Design, fault: fn(&Violation) -> bool) -> Option<u64> {
    (0..100).find(|seed| check(&super::run(*seed, design, SCALE).history).0.iter().any(fault))
}

#[test]
fn a_cursor_on_serial_numbers_loses_changes_and_the_checker_says_so() {
    let found = fails(Design::Serial, |fault| matches!(fault, Violation::Missed { .. }));
    println!("seed {found:?}");
    assert!(found.is_some());
}

#[test]
fn a_cursor_on_transaction_ids_turns_changes_round_and_the_checker_says_so() {
    let found = fails(Design::Xmin, |fault| matches!(fault, Violation::Inversion { .. }));
    println!("seed {found:?}");
    assert!(found.is_some());
    // It loses nothing: that is why it is popular.
    let lost = fails(Design::Xmin, |fault| matches!(fault, Violation::Missed { .. }));
    assert_eq!(lost, None);
}

#[test]
fn a_job_without_a_fence_is_done_twice_and_the_checker_says_so() {
    let found = fails(Design::NoFence, |fault| matches!(fault, Violation::Doubled { .. }));
    println!("seed {found:?}");
    assert!(found.is_some());
}

#[test]
fn the_same_seed_is_the_same_run() {
    let [one, two] = [(); 2].map(|()| super::run(42, Design::Feed, SCALE));
    assert_eq!(one.steps, two.steps);
    assert_eq!(one.history.feed, two.history.feed);
    assert_eq!(one.history.subscribers, two.history.subscribers);
}
