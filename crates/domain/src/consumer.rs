//! Named consumers of the log: the server keeps how far each has come, and what it could not process.

use uuid::Uuid;

use crate::event::Actor;
use crate::filter::EventFilter;
use crate::refused::Refused;
use crate::time::Instant;

/// A reader of the log whose place the server keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    pub id: Uuid,
    /// Unique in the workspace.
    pub key: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who registered it, and alone uses it besides the administrator.
    pub owner: Uuid,
    pub filter: EventFilter,
    /// Everything up to here is acknowledged.
    pub position: i64,
    pub created_at: Instant,
    pub acked_at: Option<Instant>,
}

impl Consumer {
    /// Goes forward. An older place changes nothing: acknowledgements may overtake each other on their way.
    pub fn ack(&mut self, position: i64, now: Instant) -> bool {
        let advanced = position > self.position;
        if advanced {
            (self.position, self.acked_at) = (position, Some(now));
        }
        advanced
    }

    /// Goes back, on purpose, and answers whether that is a change.
    pub fn rewind(&mut self, position: i64) -> Result<bool, Refused> {
        if position > self.position {
            let message = "this place lies ahead of what the consumer acknowledged; ackEvents goes forward";
            return Err(Refused::invalid("to", message));
        }
        let changed = position != self.position;
        self.position = position;
        Ok(changed)
    }
}

/// An event that a consumer could not process and put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub consumer: Uuid,
    pub event: Uuid,
    pub position: i64,
    pub reason: String,
    pub rejected_at: Instant,
    pub rejected_by: Uuid,
    pub resolved_at: Option<Instant>,
    pub resolved_by: Option<Uuid>,
}

impl DeadLetter {
    /// Again: one that is open stays as it was, one that was resolved has failed once more.
    pub fn reject_again(&mut self, reason: String, by: &Actor, now: Instant) -> bool {
        let failed = self.resolved_at.is_some();
        if failed {
            let rejected_by = by.user.unwrap_or(self.rejected_by);
            (self.reason, self.rejected_at, self.rejected_by) = (reason, now, rejected_by);
            (self.resolved_at, self.resolved_by) = (None, None);
        }
        failed
    }

    /// One that was resolved before keeps its time.
    pub fn resolve(&mut self, by: &Actor, now: Instant) -> bool {
        let open = self.resolved_at.is_none();
        if open {
            (self.resolved_at, self.resolved_by) = (Some(now), by.user);
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_only_go_forward_and_a_step_back_only_back() {
        let id = Uuid::from_u128(1);
        let mut consumer = Consumer {
            id,
            key: "crm".into(),
            description: None,
            owner: id,
            filter: EventFilter::default(),
            position: 5,
            created_at: Instant(1),
            acked_at: None,
        };
        for (position, advanced) in [(4, false), (5, false), (9, true), (7, false), (9, false)] {
            assert_eq!(consumer.ack(position, Instant(position)), advanced, "{position}");
        }
        assert_eq!((consumer.position, consumer.acked_at), (9, Some(Instant(9))));
        assert!(consumer.rewind(10).is_err());
        assert_eq!((consumer.rewind(9), consumer.rewind(3), consumer.position), (Ok(false), Ok(true), 3));
    }

    #[test]
    fn a_dead_letter_is_resolved_once_and_may_fail_again() {
        let (id, by) = (Uuid::from_u128(1), Actor::user(Uuid::from_u128(2)));
        let mut letter = DeadLetter {
            consumer: id,
            event: id,
            position: 3,
            reason: "down".into(),
            rejected_at: Instant(1),
            rejected_by: id,
            resolved_at: None,
            resolved_by: None,
        };
        assert!(!letter.reject_again("still down".into(), &by, Instant(2)), "it is open: {letter:?}");
        assert!(letter.resolve(&by, Instant(3)) && !letter.resolve(&by, Instant(4)));
        assert_eq!(letter.resolved_at, Some(Instant(3)));
        assert!(letter.reject_again("down again".into(), &by, Instant(5)));
        assert_eq!((letter.reason.as_str(), letter.resolved_at), ("down again", None));
    }
}
