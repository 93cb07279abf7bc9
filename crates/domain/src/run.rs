//! Long work that is asked for once, waits for its turn, and tells how far it is.

use crate::text::text_enum;

text_enum! {
    /// Where long work stands.
    pub enum RunStatus {
        /// It waits for its turn.
        Queued = "QUEUED",
        /// It is under way.
        Running = "RUNNING",
        /// All of it is done.
        Finished = "FINISHED",
        /// Something stopped it; the message says what.
        Failed = "FAILED",
        /// A person stopped it.
        Cancelled = "CANCELLED",
    }
}

impl RunStatus {
    /// Whether it stays as it is.
    pub fn is_over(self) -> bool {
        !matches!(self, RunStatus::Queued | RunStatus::Running)
    }
}
