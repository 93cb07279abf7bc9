//! Work that may keep a core for long, done on threads that get what the rest of the server leaves of the machine.
//!
//! An answer of thousands of objects, the past of the log told again, requests of an address that spends faster than its budget
//! fills: on the runtime's own threads each would keep everybody else waiting for as long as it computes. Here the operating
//! system takes the core away from it as soon as somebody else needs one. Connections and timers stay the runtime's.

use std::io;
use std::sync::Arc;

use async_executor::Executor;
use handfast_store::be_patient;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What threads have that answer requests. A rule that judges here shares it, and the guest alone may use 512 KiB; resolvers lie
/// inside one another, and without optimisation each of them takes much. Only what is used is ever given.
pub const STACK: usize = 8 << 20;

/// The threads. They end with the last of its clones.
#[derive(Clone)]
pub struct Aside {
    executor: Arc<Executor<'static>>,
    _open: Arc<watch::Sender<()>>,
}

impl Aside {
    /// Inside of a runtime, whose connections and timers the work uses.
    pub fn new(threads: usize) -> io::Result<Aside> {
        let executor = Arc::new(Executor::new());
        let (open, closed) = watch::channel(());
        for number in 0..threads {
            let (executor, mut closed, runtime) = (executor.clone(), closed.clone(), Handle::current());
            let thread = std::thread::Builder::new().name(format!("aside-{number}")).stack_size(STACK);
            thread.spawn(move || {
                yield_to_others();
                be_patient();
                runtime.block_on(executor.run(async { while closed.changed().await.is_ok() {} }));
            })?;
        }
        Ok(Aside { executor, _open: Arc::new(open) })
    }

    /// Whoever stops waiting stops the work.
    pub async fn run<T: Send + 'static>(
        &self,
        why: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        metrics::counter!("handfast_aside_total", "why" => why).increment(1);
        self.executor.spawn(work).await
    }
}

/// How many may run at once, so that they leave a core to the others even where threads have no priorities.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// On Linux each thread has a niceness of its own, elsewhere it is the whole process's. At 10 a thread that computes gets a
/// tenth of what one of the others would.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::warn!(%error, "threads for long work run with the same priority as all others");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn work_uses_the_runtimes_timers_and_others_go_on_meanwhile() {
        let aside = Aside::new(1).expect("threads");
        let long = aside.run("test", async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let began = std::time::Instant::now();
            while began.elapsed() < Duration::from_millis(200) {}
            std::thread::current().name().map(str::to_owned)
        });
        let (mut long, mut turns) = (std::pin::pin!(long), 0);
        let name = loop {
            tokio::select! {
                name = &mut long => break name,
                () = tokio::time::sleep(Duration::from_millis(5)) => turns += 1,
            }
        };
        assert_eq!(name.as_deref(), Some("aside-0"));
        assert!(turns > 1, "{turns}");
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_dropped_and_a_panic_is_the_askers() {
        let aside = Aside::new(1).expect("threads");
        let (dropped, gone) = tokio::sync::oneshot::channel::<()>();
        let forever = aside.run("test", async move {
            std::future::pending::<()>().await;
            drop(dropped);
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), forever).await.is_err());
        assert!(gone.await.is_err());
        let panics = aside.clone();
        let panicked =
            tokio::spawn(async move { panics.run("test", async { panic!("on purpose") }).await }).await;
        assert!(panicked.is_err_and(|error| error.is_panic()));
        assert_eq!(aside.run("test", async { 7 }).await, 7, "the thread lives");
    }
}
