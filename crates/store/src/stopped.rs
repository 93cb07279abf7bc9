//! Whether this process may still write: a disk that failed a sync once is not believed again.

use crate::error::StoreError;
use std::sync::Arc;
use tokio::sync::watch;

/// Shared by everything that syncs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopped(Arc<watch::Sender<Option<StoreError>>>);

impl Stopped {
    /// From now on nothing is written. There is no way back but another process.
    pub fn tell(&self, reason: &StoreError) {
        self.0.send_if_modified(|why| {
            let first = why.is_none();
            why.get_or_insert_with(|| reason.clone());
            first
        });
    }

    pub fn why(&self) -> Option<StoreError> {
        self.0.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Option<StoreError>> {
        self.0.subscribe()
    }
}
