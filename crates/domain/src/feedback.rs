//! Feedback of one side to the other: a closed kind, what it is about, and an answer that is owed in time. Texts live in their
//! rows; the log is told kinds, sides and ids alone.

use uuid::Uuid;

use crate::charter::Charter;
use crate::clock::{ClockEvent, ClockKind, ClockLevel, ClockStart, Party, SlaClock};
use crate::directory::Directory;
use crate::event::Fact;
use crate::refused::{RefusalCode, Refused};
use crate::stage::Side;
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// What kind of feedback it is.
    pub enum FeedbackKind {
        /// Something works, and should go on.
        Works = "WORKS",
        /// Something does not work.
        Problem = "PROBLEM",
        /// Something is wanted.
        Request = "REQUEST",
        /// What makes the customer tick, learned by one side for the other.
        Insight = "INSIGHT",
        /// An observation of the day's work, for whoever plans the next campaign.
        FieldNote = "FIELD_NOTE",
    }
}

text_enum! {
    /// Where feedback stands with its receiver.
    pub enum FeedbackStatus {
        /// Nobody of the receiving side has answered.
        Open = "OPEN",
        /// Somebody of the receiving side read it.
        Acknowledged = "ACKNOWLEDGED",
        /// The receiving side did something about it.
        Acted = "ACTED",
        /// The receiving side does nothing about it, and said why.
        Declined = "DECLINED",
    }
}

text_enum! {
    /// What feedback can be about.
    pub enum FeedbackSubject {
        /// One lead.
        Lead = "LEAD",
        /// A campaign.
        Campaign = "CAMPAIGN",
        /// A piece of content.
        Content = "CONTENT",
        /// A persona of the charter.
        Persona = "PERSONA",
        /// A version of a plugin.
        PluginVersion = "PLUGIN_VERSION",
    }
}

text_enum! {
    /// What feedback can have caused.
    pub enum EffectKind {
        /// An audience was made or revised.
        Audience = "AUDIENCE",
        /// Content was made, changed or taken back.
        Content = "CONTENT",
        /// A campaign was planned or changed.
        Campaign = "CAMPAIGN",
        /// A form asks something else.
        Form = "FORM",
        /// A rule was deployed or rolled back.
        Deployment = "DEPLOYMENT",
        /// A charter was proposed.
        Charter = "CHARTER",
    }
}

/// What feedback is about, or what it caused: a kind, and an id, key, digest or number of that kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<K> {
    pub kind: K,
    pub key: String,
}

/// Who of the receiving side answered, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub user: Uuid,
    pub at: Instant,
}

/// What one side tells the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    pub id: Uuid,
    pub from: Side,
    pub to: Side,
    pub user: Uuid,
    pub kind: FeedbackKind,
    /// None: the work of the two sides in general.
    pub about: Option<Named<FeedbackSubject>>,
    pub tags: Vec<String>,
    pub text: String,
    pub posted_at: Instant,
    pub status: FeedbackStatus,
    pub acknowledged: Option<Answered>,
    pub closed: Option<Answered>,
    /// What was done, or why nothing is.
    pub answer: Option<String>,
    /// The receiver's promise to acknowledge it; none where the charter has none.
    pub clock: Option<SlaClock>,
}

/// Something that feedback caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub id: Uuid,
    pub feedback: Uuid,
    pub of: Named<EffectKind>,
    pub user: Uuid,
    pub at: Instant,
}

/// The other of the two sides.
pub fn counterpart(side: Side) -> Side {
    if side == Side::Marketing { Side::Sales } else { Side::Marketing }
}

impl Feedback {
    /// Posts it: the receiver's clock starts, in the hours of the team that serves the side's queue of the charter, or of the
    /// lead's owner.
    pub fn post(
        &mut self,
        clock: Uuid,
        charter: &Charter,
        directory: &Directory,
        owner: Option<Uuid>,
    ) -> Vec<Fact> {
        let about = self.about.as_ref();
        let mut facts = vec![Fact::FeedbackPosted {
            feedback: self.id,
            from: self.from,
            to: self.to,
            feedback_kind: self.kind,
            about: about.map(|about| about.kind),
            subject: about.map(|about| about.key.clone()),
        }];
        let party = if self.to == Side::Marketing { Party::Marketing } else { Party::Sales };
        let policy = charter.body.policy(ClockKind::FeedbackAck);
        // A policy that names one party binds that one alone.
        if let Some(policy) = policy.filter(|policy| policy.party.is_none_or(|named| named == party)) {
            let body = &charter.body;
            let queue = if self.to == Side::Marketing { &body.marketing_queue } else { &body.fallback_queue };
            let owner = owner.filter(|owner| directory.user(*owner).is_some_and(|user| user.side == self.to));
            let hours = directory.working_time(policy.mode, owner, Some(queue));
            let start = ClockStart {
                id: clock,
                party,
                level: ClockLevel::Lead,
                cycle: 0,
                subject_owner: owner,
                policy_charter: charter.number,
                at: self.posted_at,
                target_ms: policy.target_ms(false),
            };
            facts.extend(self.fold(vec![SlaClock::start(policy, start, hours)]));
        }
        facts
    }

    /// Somebody of the receiving side read it.
    pub fn acknowledge(&mut self, side: Side, by: Answered) -> Result<Vec<Fact>, Refused> {
        self.require_receiver(side, "acknowledge it")?;
        if self.status != FeedbackStatus::Open {
            return Err(self.answered_already());
        }
        self.acknowledged = Some(by);
        Ok(self.move_to(FeedbackStatus::Acknowledged, by.at))
    }

    /// The receiving side did something, or does nothing. Whoever answers has read it.
    pub fn close(
        &mut self,
        side: Side,
        status: FeedbackStatus,
        answer: Option<String>,
        by: Answered,
    ) -> Result<Vec<Fact>, Refused> {
        self.require_receiver(side, "answer it")?;
        if self.closed.is_some() {
            return Err(self.answered_already());
        }
        self.acknowledged.get_or_insert(by);
        self.closed = Some(by);
        self.answer = answer;
        Ok(self.move_to(status, by.at))
    }

    /// Either side says what it caused. What was declined caused nothing.
    pub fn link(&self, of: &Named<EffectKind>) -> Result<Fact, Refused> {
        if self.status == FeedbackStatus::Declined {
            let message = "it was declined, and caused nothing; post it again if that has changed";
            return Err(Refused::new(RefusalCode::FeedbackState, message));
        }
        let (feedback, from, to) = (self.id, self.from, self.to);
        Ok(Fact::FeedbackEffectLinked { feedback, from, to, effect: of.kind, subject: of.key.clone() })
    }

    /// What time alone did to the promise.
    pub fn catch_up(&mut self, now: Instant) -> Vec<Fact> {
        let events = self.clock.as_ref().map(|clock| clock.catch_up(now)).unwrap_or_default();
        self.fold(events)
    }

    fn move_to(&mut self, status: FeedbackStatus, at: Instant) -> Vec<Fact> {
        self.status = status;
        let mut facts =
            vec![Fact::FeedbackAnswered { feedback: self.id, from: self.from, to: self.to, status }];
        let met = self.clock.as_ref().map(|clock| clock.meet(at)).unwrap_or_default();
        facts.extend(self.fold(met));
        facts
    }

    fn fold(&mut self, events: Vec<ClockEvent>) -> Vec<Fact> {
        for event in &events {
            self.clock = SlaClock::apply(self.clock.take(), event);
        }
        events.into_iter().map(|clock| Fact::ClockChanged { clock }).collect()
    }

    fn require_receiver(&self, side: Side, verb: &str) -> Result<(), Refused> {
        if side == self.to {
            return Ok(());
        }
        let message =
            format!("{} gave this feedback to {}, who can {verb}; you are {side}", self.from, self.to);
        Err(Refused::new(RefusalCode::Forbidden, message))
    }

    fn answered_already(&self) -> Refused {
        let message = format!("it is {} already, and an answer stays", self.status);
        Refused::new(RefusalCode::FeedbackState, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charter::{CharterBody, CharterStatus};
    use crate::clock::ClockState;
    use crate::time::MINUTE;

    fn posted() -> (Feedback, Vec<Fact>) {
        let body = CharterBody::unsigned("EUR", "UTC");
        let charter = Charter {
            number: 3,
            digest: body.digest(),
            status: CharterStatus::Active,
            body,
            signatures: vec![],
            proposed_by: None,
            proposed_at: Instant(0),
            activated_at: None,
            reviewed_at: None,
            rejection: None,
        };
        let mut feedback = Feedback {
            id: Uuid::from_u128(1),
            from: Side::Sales,
            to: Side::Marketing,
            user: Uuid::nil(),
            kind: FeedbackKind::Problem,
            about: Some(Named { kind: FeedbackSubject::Persona, key: "buyer".into() }),
            tags: vec![],
            text: "They ask for references".into(),
            posted_at: Instant(0),
            status: FeedbackStatus::Open,
            acknowledged: None,
            closed: None,
            answer: None,
            clock: None,
        };
        let facts = feedback.post(Uuid::from_u128(2), &charter, &Directory::default(), None);
        (feedback, facts)
    }

    fn by(minutes: i64) -> Answered {
        Answered { user: Uuid::nil(), at: Instant(minutes * MINUTE) }
    }

    fn kinds(facts: &[Fact]) -> Vec<&'static str> {
        facts.iter().map(Fact::kind).collect()
    }

    /// Without a calendar the wall clock counts: two business days of the default are 960 minutes.
    #[test]
    fn the_receiver_owes_an_answer_from_the_post_on() {
        let (mut feedback, facts) = posted();
        assert_eq!(kinds(&facts), ["FEEDBACK_POSTED", "CLOCK_CHANGED"]);
        let clock = feedback.clock.clone().expect("a clock");
        assert_eq!((clock.party, clock.due_at), (Party::Marketing, Instant(960 * MINUTE)));
        assert!(feedback.catch_up(Instant(960 * MINUTE)).is_empty(), "the due time itself is in time");
        assert_eq!(kinds(&feedback.catch_up(Instant(961 * MINUTE))), ["CLOCK_CHANGED"]);
        assert!(feedback.catch_up(Instant(970 * MINUTE)).is_empty(), "a promise is broken once");
        feedback.acknowledge(Side::Marketing, by(980)).unwrap();
        let clock = feedback.clock.expect("a clock");
        assert_eq!((clock.state, clock.met_at), (ClockState::Breached, Some(Instant(980 * MINUTE))));
    }

    #[test]
    fn only_the_receiver_answers_and_once() {
        let (mut feedback, _) = posted();
        assert_eq!(feedback.acknowledge(Side::Sales, by(1)).unwrap_err().code, RefusalCode::Forbidden);
        let facts = feedback.acknowledge(Side::Marketing, by(1)).unwrap();
        assert_eq!(kinds(&facts), ["FEEDBACK_ANSWERED", "CLOCK_CHANGED"]);
        assert_eq!(feedback.clock.as_ref().map(|clock| clock.state), Some(ClockState::Met));
        assert_eq!(
            feedback.acknowledge(Side::Marketing, by(2)).unwrap_err().code,
            RefusalCode::FeedbackState
        );
        let declined = Some("the page was retired".to_owned());
        let facts = feedback.close(Side::Marketing, FeedbackStatus::Declined, declined, by(3)).unwrap();
        assert_eq!(kinds(&facts), ["FEEDBACK_ANSWERED"], "the promise was kept before");
        assert_eq!(feedback.acknowledged, Some(by(1)));
        assert!(feedback.close(Side::Marketing, FeedbackStatus::Acted, None, by(4)).is_err());
        let of = Named { kind: EffectKind::Charter, key: "4".into() };
        assert_eq!(feedback.link(&of).unwrap_err().code, RefusalCode::FeedbackState);
    }

    #[test]
    fn whoever_acts_at_once_has_acknowledged() {
        let (mut feedback, _) = posted();
        let facts = feedback.close(Side::Marketing, FeedbackStatus::Acted, None, by(7)).unwrap();
        assert_eq!(kinds(&facts), ["FEEDBACK_ANSWERED", "CLOCK_CHANGED"]);
        assert_eq!((feedback.acknowledged, feedback.closed), (Some(by(7)), Some(by(7))));
    }
}
