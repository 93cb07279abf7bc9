//! The threads that run guests. A guest that spins on a tokio worker would freeze its timers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Engine and guest share a thread's stack; wasm itself may use 512 KiB of it.
const STACK: usize = 4 << 20;

/// The queue itself has no bound: how much is submitted is bounded by the host's admission.
pub struct Pool {
    jobs: mpsc::Sender<Job>,
}

impl Pool {
    /// The threads end when the pool is dropped and its last job is done.
    pub fn start(threads: usize) -> std::io::Result<Pool> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..threads {
            let queue = queue.clone();
            std::thread::Builder::new().name(format!("rules-{n}")).stack_size(STACK).spawn(move || {
                loop {
                    // The lock is held while waiting: exactly one idle thread listens, and the others wait for the lock.
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    // A panic here is a bug of the host. It fails the one call, whose answer is dropped, not the thread.
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        tracing::error!("a call of a rule panicked in the host");
                    }
                }
            })?;
        }
        Ok(Pool { jobs })
    }

    /// The answer comes through the channel; it is closed without one if the job panicked.
    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (send, answer) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more when the caller was dropped.
            let _ = send.send(job());
        });
        // Fails only when all threads are gone; then the closed channel says so.
        let _ = self.jobs.send(job);
        answer
    }
}
