//! The review of the charter in force: both sides promise to go through it in time, and say whether it stays as it is. A round of
//! promises begins when the charter comes into force, and again when everybody has kept the last one.

use uuid::Uuid;

use super::{Charter, CharterStatus};
use crate::clock::{ClockEvent, ClockKind, ClockLevel, ClockStart, ClockState, Party, SlaClock, WorkingTime};
use crate::event::Fact;
use crate::refused::{RefusalCode, Refused};
use crate::stage::Side;
use crate::text::text_enum;
use crate::time::{Ids, Instant};

text_enum! {
    /// What a side says after it went through the charter.
    pub enum ReviewVerdict {
        /// It stays as it is.
        Keep = "KEEP",
        /// It should change: somebody proposes another one.
        Revise = "REVISE",
    }
}

/// One side's word on the charter in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterReview {
    pub id: Uuid,
    /// Number of the charter.
    pub number: u32,
    pub user: Uuid,
    pub side: Side,
    pub verdict: ReviewVerdict,
    /// What should change, or what was talked about.
    pub comment: Option<String>,
    pub at: Instant,
}

/// The promises on one charter, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises(pub Vec<SlaClock>);

impl Promises {
    /// The newest round, which begins for both sides at the same instant.
    pub fn round(&self) -> Vec<&SlaClock> {
        let newest = self.0.iter().map(|clock| clock.started_at).max();
        self.0.iter().filter(|clock| Some(clock.started_at) == newest).collect()
    }

    /// Begins a round for everybody whom the charter's policy names, due when the charter is. A charter that nobody signed, or
    /// without the policy, promises nothing.
    pub fn begin(&mut self, charter: &Charter, at: Instant, ids: &dyn Ids) -> Vec<Fact> {
        let policy = charter.body.policy(ClockKind::CharterReview);
        let in_force = charter.status == CharterStatus::Active && !charter.unsigned();
        let (Some(policy), Some(due), true) = (policy, charter.review_due_at(), in_force) else {
            return vec![];
        };
        let parties = policy.party.map_or(vec![Party::Marketing, Party::Sales], |party| vec![party]);
        let events = parties.into_iter().map(|party| {
            let start = ClockStart {
                id: ids.next(),
                party,
                level: ClockLevel::Lead,
                cycle: 0,
                subject_owner: None,
                policy_charter: charter.number,
                at,
                target_ms: due.since(at),
            };
            // The charter says the day itself, whatever the hours of the policy.
            SlaClock::start(policy, start, WorkingTime::Wall)
        });
        let events = events.collect();
        self.fold(events)
    }

    /// A side went through the charter. Where it was the last one, the charter counts as reviewed and the next round begins.
    pub fn review(
        &mut self,
        charter: &mut Charter,
        (side, verdict): (Side, ReviewVerdict),
        at: Instant,
        ids: &dyn Ids,
    ) -> Result<Vec<Fact>, Refused> {
        let (number, digest) = (charter.number, charter.digest);
        if charter.status != CharterStatus::Active {
            let message =
                format!("charter {number} is {}; only the charter in force is reviewed", charter.status);
            return Err(Refused::new(RefusalCode::CharterState, message));
        }
        if charter.unsigned() {
            let message = "charter 0 is a default that nobody signed: propose one instead of reviewing it";
            return Err(Refused::new(RefusalCode::CharterState, message));
        }
        let party = match side {
            Side::Marketing => Party::Marketing,
            Side::Sales => Party::Sales,
            other => {
                let message = format!("MARKETING and SALES review the charter; your side is {other}");
                return Err(Refused::new(RefusalCode::Forbidden, message));
            }
        };
        let round = self.round();
        let own = round.iter().find(|clock| clock.party == party);
        if let Some(met) = own.and_then(|clock| clock.met_at) {
            let rest: Vec<&str> = round
                .iter()
                .filter(|clock| clock.met_at.is_none())
                .map(|clock| clock.party.as_str())
                .collect();
            let rest = rest.join(" and ");
            let message = format!("{side} reviewed charter {number} at {met}; it waits for {rest}");
            return Err(Refused::new(RefusalCode::AlreadyExists, message));
        }
        let met = own.map(|clock| clock.meet(at)).unwrap_or_default();
        let mut facts = vec![Fact::CharterReviewed { number, digest, side, verdict }];
        facts.extend(self.fold(met));
        // Of a charter that promises no review nobody's word is the last one.
        let round = self.round();
        if !round.is_empty() && round.iter().all(|clock| clock.met_at.is_some()) {
            charter.reviewed_at = Some(at);
            facts.extend(self.begin(charter, at, ids));
        }
        Ok(facts)
    }

    /// Another charter came into force, which is the most thorough review.
    pub fn replaced(&mut self, at: Instant) -> Vec<Fact> {
        let open = self.0.iter().filter(|clock| clock.met_at.is_none());
        let events = open.flat_map(|clock| clock.meet(at)).collect();
        self.fold(events)
    }

    /// What time alone did.
    pub fn catch_up(&mut self, now: Instant) -> Vec<Fact> {
        let events = self.0.iter().flat_map(|clock| clock.catch_up(now)).collect();
        self.fold(events)
    }

    /// Whether a promise is broken that nobody has kept since.
    pub fn overdue(&self) -> bool {
        self.round().iter().any(|clock| clock.state == ClockState::Breached && clock.met_at.is_none())
    }

    fn fold(&mut self, events: Vec<ClockEvent>) -> Vec<Fact> {
        for event in &events {
            let place = self.0.iter().position(|clock| clock.id == event.clock());
            let before = place.map(|place| self.0[place].clone());
            match (place, SlaClock::apply(before, event)) {
                (Some(place), Some(after)) => self.0[place] = after,
                (None, Some(after)) => self.0.push(after),
                (_, None) => {}
            }
        }
        events.into_iter().map(|clock| Fact::ClockChanged { clock }).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::charter::CharterBody;
    use crate::time::DAY;

    struct Counting(AtomicU64);

    impl Ids for Counting {
        fn next(&self) -> Uuid {
            Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
        }
    }

    fn active() -> Charter {
        let body = CharterBody::unsigned("EUR", "UTC");
        Charter {
            number: 3,
            digest: body.digest(),
            status: CharterStatus::Active,
            body,
            signatures: vec![],
            proposed_by: None,
            proposed_at: Instant(0),
            activated_at: Some(Instant(0)),
            reviewed_at: None,
            rejection: None,
        }
    }

    fn kinds(facts: &[Fact]) -> Vec<&'static str> {
        facts.iter().map(Fact::kind).collect()
    }

    /// The default is 90 days from the activation on.
    #[test]
    fn both_sides_owe_a_review_and_the_next_round_begins_with_the_last_one() {
        let (mut charter, mut promises, ids) = (active(), Promises::default(), Counting(AtomicU64::new(1)));
        assert_eq!(kinds(&promises.begin(&charter, Instant(0), &ids)), ["CLOCK_CHANGED"; 2]);
        let due: Vec<Instant> = promises.round().iter().map(|clock| clock.due_at).collect();
        assert_eq!(due, [Instant(90 * DAY); 2]);
        let by = |side| (side, ReviewVerdict::Keep);
        let facts = promises.review(&mut charter, by(Side::Sales), Instant(80 * DAY), &ids).unwrap();
        assert_eq!(kinds(&facts), ["CHARTER_REVIEWED", "CLOCK_CHANGED"]);
        let again = promises.review(&mut charter, by(Side::Sales), Instant(81 * DAY), &ids).unwrap_err();
        assert_eq!(again.code, RefusalCode::AlreadyExists);
        assert!(again.message.ends_with("it waits for MARKETING"), "{}", again.message);
        assert_eq!(
            kinds(&promises.catch_up(Instant(91 * DAY))),
            ["CLOCK_CHANGED"],
            "marketing alone is late"
        );
        assert!(promises.overdue());
        let facts = promises.review(&mut charter, by(Side::Marketing), Instant(95 * DAY), &ids).unwrap();
        assert_eq!(kinds(&facts), ["CHARTER_REVIEWED", "CLOCK_CHANGED", "CLOCK_CHANGED", "CLOCK_CHANGED"]);
        assert_eq!(charter.review_due_at(), Some(Instant(185 * DAY)));
        assert!(promises.round().iter().all(|clock| clock.due_at == Instant(185 * DAY)));
        assert!(!promises.overdue());
        assert_eq!(promises.replaced(Instant(100 * DAY)).len(), 2);
        assert!(promises.round().iter().all(|clock| clock.state == ClockState::Met));
    }

    #[test]
    fn nobody_promises_to_review_what_nobody_signed() {
        let (mut charter, mut promises, ids) = (active(), Promises::default(), Counting(AtomicU64::new(1)));
        charter.number = 0;
        assert!(promises.begin(&charter, Instant(0), &ids).is_empty());
        let by = (Side::Sales, ReviewVerdict::Keep);
        let refused = promises.review(&mut charter, by, Instant(1), &ids).unwrap_err();
        assert_eq!(refused.code, RefusalCode::CharterState);
        charter.number = 3;
        let ops = promises.review(&mut charter, (Side::Ops, ReviewVerdict::Keep), Instant(1), &ids);
        assert_eq!(ops.unwrap_err().code, RefusalCode::Forbidden);
    }
}
