//! First meetings: what the buyer expects of one, as marketing says before the hand-off, and how it went, as sales says after it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::{Draft, Record};
use crate::event::{ActivityKind, Direction, Fact};
use crate::handoff::{Handoff, HandoffStatus};
use crate::refused::{RefusalCode, Refused};
use crate::sales::{allowed_from, check_words};
use crate::stage::StageKind;
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// What a first meeting is to be about.
    pub enum MeetingPurpose {
        /// Getting to know each other.
        Introduction = "INTRODUCTION",
        /// The buyer tells of its needs.
        Discovery = "DISCOVERY",
        /// The product is shown.
        Demo = "DEMO",
        /// Specialists talk to specialists.
        Technical = "TECHNICAL",
        /// What it costs.
        Pricing = "PRICING",
        /// An offer is gone through.
        Proposal = "PROPOSAL",
        /// Something else; the words say what.
        Other = "OTHER",
    }
}

impl MeetingPurpose {
    /// As a packet tells it where nobody gave words.
    pub fn words(self) -> &'static str {
        match self {
            MeetingPurpose::Introduction => "An introduction",
            MeetingPurpose::Discovery => "A talk about their needs",
            MeetingPurpose::Demo => "A demonstration of the product",
            MeetingPurpose::Technical => "A talk among specialists",
            MeetingPurpose::Pricing => "A talk about prices",
            MeetingPurpose::Proposal => "A talk about an offer",
            MeetingPurpose::Other => "Something else",
        }
    }
}

text_enum! {
    /// How a meeting went, held against what was expected of it.
    pub enum MeetingOutcome {
        /// It was what the buyer expected.
        HeldAsExpected = "HELD_AS_EXPECTED",
        /// It was more than the buyer expected.
        HeldBetter = "HELD_BETTER",
        /// It was less than the buyer expected, or something else.
        HeldWorse = "HELD_WORSE",
        /// The buyer did not come.
        NoShow = "NO_SHOW",
        /// It was put off.
        Rescheduled = "RESCHEDULED",
        /// It was called off.
        CalledOff = "CALLED_OFF",
    }
}

impl MeetingOutcome {
    /// Whether buyer and seller met.
    pub fn is_held(self) -> bool {
        use MeetingOutcome::{HeldAsExpected, HeldBetter, HeldWorse};
        matches!(self, HeldAsExpected | HeldBetter | HeldWorse)
    }

    /// Only a meeting has an outcome, and whoever met spoke with each other.
    pub(crate) fn check(self, kind: ActivityKind, direction: Direction) -> Result<(), Refused> {
        if kind != ActivityKind::Meeting {
            let message = format!("only a MEETING has an outcome, found {kind}");
            return Err(Refused::invalid("input/meetingOutcome", message));
        }
        match (self.is_held(), direction == Direction::TwoWay) {
            (true, false) => {
                let message = format!("a meeting that was held is TWO_WAY, found {self} and {direction}");
                Err(Refused::invalid("input/direction", message))
            }
            (false, true) => {
                let message = format!(
                    "nobody spoke in a meeting that is {self}: OUTBOUND if we waited or put it off, INBOUND if the buyer did"
                );
                Err(Refused::invalid("input/direction", message))
            }
            _ => Ok(()),
        }
    }
}

/// What the buyer expects of the first meeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    pub purpose: MeetingPurpose,
    /// In the buyer's or marketing's words.
    pub text: Option<String>,
}

/// An expectation with who stated it, of one cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    pub lead: Uuid,
    pub cycle: u32,
    pub expectation: Expectation,
    pub user: Option<Uuid>,
    pub at: Instant,
}

/// Longest expectation, in characters.
const WORDS: usize = 1_000;

impl Expectation {
    /// The words that a packet shows.
    pub fn in_words(&self) -> String {
        self.text.clone().unwrap_or_else(|| self.purpose.words().to_owned())
    }

    pub fn check(&self, path: &str) -> Result<(), Refused> {
        match &self.text {
            Some(text) => check_words(path, text, WORDS),
            None if self.purpose == MeetingPurpose::Other => {
                Err(Refused::invalid(path, "OTHER needs words that say what the buyer expects"))
            }
            None => Ok(()),
        }
    }
}

impl Draft<'_> {
    /// Marketing says what the buyer expects of the first meeting. It is sealed into the packet of the next hand-off; one that sales
    /// has already is not changed by it, unless the lead is sent again in the same change.
    pub fn expect_first_meeting(
        &mut self,
        expectation: &Expectation,
        sent_again: bool,
    ) -> Result<(), Refused> {
        self.require_open("state what the first meeting is expected to be")?;
        let stage = self.journey.lead.stage;
        let verb = "state the expectation of the first meeting of";
        if stage > StageKind::Mql {
            return Err(Refused::illegal(stage, verb, &allowed_from(stage)));
        }
        // One that expired still waits for whoever takes it from the queue, with its packet.
        let waits = |one: &&Handoff| matches!(one.status, HandoffStatus::Pending | HandoffStatus::Expired);
        if self.journey.handoff.as_ref().filter(waits).is_some() && !sent_again {
            let message = "sales has the packet already, and it is sealed: send the lead again by routeLead with firstMeeting";
            let allowed = vec!["routeLead".to_owned()];
            return Err(Refused { allowed, ..Refused::new(RefusalCode::IllegalTransition, message) });
        }
        expectation.check("input/expectation")?;
        self.emit(Fact::FirstMeetingExpected { purpose: expectation.purpose });
        self.records.push(Record::FirstMeeting(Stated {
            lead: self.journey.lead.id,
            cycle: self.journey.lead.cycle,
            expectation: expectation.clone(),
            user: self.scene.actor.user,
            at: self.scene.at,
        }));
        Ok(())
    }
}

/// Holds a meeting against the hand-off: the first that was held counts, and until one was, the newest of those that were not.
pub(crate) fn met(handoff: &mut Handoff, outcome: MeetingOutcome, at: Instant) {
    let counts = match (handoff.first_meeting, handoff.first_meeting_at) {
        (Some(known), Some(known_at)) => match (known.is_held(), outcome.is_held()) {
            (true, true) => at < known_at,
            (true, false) => false,
            (false, true) => true,
            (false, false) => at >= known_at,
        },
        _ => true,
    };
    if counts {
        (handoff.first_meeting, handoff.first_meeting_at) = (Some(outcome), Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::handoff::HandoffStatus;
    use MeetingOutcome::{HeldBetter, HeldWorse, NoShow, Rescheduled};

    #[test]
    fn the_first_meeting_that_was_held_counts_and_until_then_the_newest_that_was_not() {
        let after = |told: &[(MeetingOutcome, i64)]| {
            let mut handoff = Handoff {
                id: Uuid::nil(),
                status: HandoffStatus::Accepted,
                packet_digest: Digest([0; 32]),
                completeness: 0,
                offered_at: Instant(0),
                answered_at: None,
                reason: None,
                first_meeting: None,
                first_meeting_at: None,
            };
            told.iter().for_each(|(outcome, at)| met(&mut handoff, *outcome, Instant(*at)));
            handoff.first_meeting.zip(handoff.first_meeting_at.map(Instant::ms))
        };
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[(NoShow, 1), (Rescheduled, 2)]), Some((Rescheduled, 2)));
        assert_eq!(after(&[(Rescheduled, 2), (NoShow, 1)]), Some((Rescheduled, 2)), "told late");
        assert_eq!(after(&[(NoShow, 1), (HeldBetter, 5), (NoShow, 9)]), Some((HeldBetter, 5)));
        assert_eq!(
            after(&[(HeldBetter, 5), (HeldWorse, 3)]),
            Some((HeldWorse, 3)),
            "the earlier one, told late"
        );
        assert_eq!(after(&[(HeldBetter, 5), (HeldWorse, 8)]), Some((HeldBetter, 5)));
    }

    #[test]
    fn an_outcome_belongs_to_a_meeting_and_fits_who_spoke() {
        use ActivityKind::{Call, Meeting};
        use Direction::{Inbound, Outbound, TwoWay};
        let fits = [
            (HeldBetter, Meeting, TwoWay, true),
            (HeldBetter, Meeting, Outbound, false),
            (HeldBetter, Call, TwoWay, false),
            (NoShow, Meeting, Outbound, true),
            (Rescheduled, Meeting, Inbound, true),
            (NoShow, Meeting, TwoWay, false),
        ];
        for (outcome, kind, direction, expected) in fits {
            assert_eq!(outcome.check(kind, direction).is_ok(), expected, "{outcome} {kind} {direction}");
        }
    }
}
