//! Jobs: work that is due at a time, and done by one node at a time. The rules of taking one are pure, so that a simulation can
//! drive them; the table in the store follows them.

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// The state of a job. `run_at` is business time; `locked_until` is the database's, which all nodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub run_at: Instant,
    /// Attempts that have ended and are to be repeated.
    pub attempts: u32,
    pub locked_until: Option<Instant>,
    /// Rises whenever somebody takes the job: whoever holds a lower one has been overtaken.
    pub fence: i64,
}

impl Job {
    pub fn new(run_at: Instant) -> Job {
        Job { run_at, attempts: 0, locked_until: None, fence: 0 }
    }

    /// Whether it is due, and nobody is at it, or whoever was has been silent for too long.
    pub fn is_free(&self, now: Instant, database: Instant) -> bool {
        self.run_at <= now && self.locked_until.is_none_or(|until| until <= database)
    }

    /// Takes the job until `lock_ms` from now; answers the fence under which it may be ended.
    pub fn claim(&mut self, now: Instant, database: Instant, lock_ms: i64) -> Option<i64> {
        if !self.is_free(now, database) {
            return None;
        }
        self.locked_until = Some(database.plus(lock_ms));
        self.fence += 1;
        Some(self.fence)
    }

    /// Whoever is still at it keeps it. A lock that has ended and was not taken over counts as kept.
    pub fn extend(&mut self, fence: i64, database: Instant, lock_ms: i64) -> bool {
        let ours = self.fence == fence && self.locked_until.is_some();
        if ours {
            self.locked_until = Some(database.plus(lock_ms));
        }
        ours
    }

    /// Whether the job may be ended under this fence; then it is gone.
    pub fn completes(&self, fence: i64) -> bool {
        self.fence == fence && self.locked_until.is_some()
    }

    /// It failed and is tried again at `run_at`.
    pub fn retry(&mut self, fence: i64, run_at: Instant) -> bool {
        let ours = self.completes(fence);
        if ours {
            (self.run_at, self.locked_until) = (run_at, None);
            self.attempts = self.attempts.saturating_add(1);
        }
        ours
    }
}

/// When the next attempt comes: each step is a pause in milliseconds, counted from the end of the attempt before. `seed` spreads
/// what failed together over a tenth of the pause. None after the last step.
pub fn backoff(steps: &[i64], attempts: u32, seed: u64) -> Option<i64> {
    let step = *steps.get(usize::try_from(attempts).ok()?)?;
    let spread = i64::try_from(seed % 1_001).unwrap_or(0);
    Some(step.saturating_add(step / 10_000 * spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const NOW: Instant = Instant(1_000_000);

    #[test]
    fn a_job_is_taken_when_it_is_due_and_again_when_its_lock_ended() {
        let mut job = Job::new(NOW);
        assert_eq!(job.claim(NOW.plus(-1), NOW, 10), None, "not due");
        assert_eq!(job.claim(NOW, NOW, 10), Some(1));
        assert_eq!(job.claim(NOW.plus(50), NOW.plus(9), 10), None, "somebody is at it");
        assert_eq!(job.claim(NOW.plus(50), NOW.plus(10), 10), Some(2));
    }

    #[test]
    fn a_stale_fence_ends_extends_and_repeats_nothing() {
        let mut job = Job::new(NOW);
        let old = job.claim(NOW, NOW, 10).unwrap();
        let new = job.claim(NOW, NOW.plus(10), 10).unwrap();
        let before = job;
        assert!(!job.completes(old) && !job.retry(old, NOW) && !job.extend(old, NOW, 99));
        assert_eq!(job, before);
        assert!(job.retry(new, NOW.plus(5)));
        assert!(!job.completes(new), "what was given back is nobody's");
        assert_eq!((job.run_at, job.attempts, job.locked_until), (NOW.plus(5), 1, None));
    }

    #[test]
    fn whoever_was_late_and_not_overtaken_may_still_end_its_job() {
        let mut job = Job::new(NOW);
        let fence = job.claim(NOW, NOW, 10).unwrap();
        assert!(job.completes(fence));
        assert!(job.extend(fence, NOW.plus(60), 10));
        assert_eq!(job.claim(NOW, NOW.plus(69), 10), None);
    }

    #[test]
    fn pauses_grow_by_at_most_a_tenth_and_end_with_the_last_step() {
        let steps = [0, 5 * SECOND, 300 * SECOND];
        for seed in [0, 1, 999, 1_000, 1_001, u64::MAX] {
            assert_eq!(backoff(&steps, 0, seed), Some(0));
            let pause = backoff(&steps, 1, seed).unwrap();
            assert!((5_000..=5_500).contains(&pause), "{seed}: {pause}");
            assert_eq!(backoff(&steps, 3, seed), None);
        }
        assert_ne!(backoff(&steps, 2, 3), backoff(&steps, 2, 700), "they are spread");
    }
}
