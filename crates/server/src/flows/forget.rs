//! What is kept for a while only: answers under idempotency keys, and reports that were made in the background.

use std::time::{Duration, Instant};

use handfast_store::{StoreError, idempotency};

use crate::app::App;

/// Keys in one command: the other writers wait for no more than that.
const CHUNK: u32 = 500;
/// How often somebody looks, at most; sooner where little is kept.
const PAUSE: Duration = Duration::from_mins(10);

/// Forgets now and then what is too old.
pub struct Round {
    keep: Duration,
    last: Option<Instant>,
}

impl Round {
    pub fn of(keep_answers_seconds: u32) -> Round {
        Round { keep: Duration::from_secs(u64::from(keep_answers_seconds)), last: None }
    }

    /// Looks, if it is time to. A failure costs nothing but time: the next round finds the same rows.
    pub async fn run_due(&mut self, app: &App) {
        let pause = PAUSE.min(self.keep / 2);
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        super::report::forget(app).await;
        let before = app.now().plus(-i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX));
        let purge = || {
            app.store.try_write_beside::<u64, StoreError, _>(move |tx| {
                Box::pin(async move { idempotency::purge(tx, before, CHUNK).await })
            })
        };
        match purge().await {
            // More may wait than one command takes; the timers' round comes first.
            Ok(forgotten) if forgotten >= u64::from(CHUNK) => {}
            Ok(_) => self.last = Some(Instant::now()),
            Err(error) => {
                tracing::warn!(%error, "old idempotency keys were not forgotten; a later round tries again");
                self.last = Some(Instant::now());
            }
        }
    }
}
