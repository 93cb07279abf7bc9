//! Context requests: sales asks marketing what it must know of a lead before it can go on. The question runs on marketing's time
//! and stops sales' own.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::{Draft, Record};
use crate::clock::{CONTEXT_REQUESTED, ClockKind, ClockLevel, ClockState, SlaClock};
use crate::digest::Digest;
use crate::event::Fact;
use crate::field::CATALOGUE;
use crate::handoff::HandoffStatus;
use crate::refused::{RefusalCode, Refused};
use crate::sales::{allowed_from, check_words};
use crate::stage::StageKind;
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    /// What is missing: a part of the hand-off's packet.
    pub enum ContextTopic {
        /// Who the prospect is.
        Background = "BACKGROUND",
        /// What the prospect did.
        Behaviour = "BEHAVIOUR",
        /// What the prospect has read or watched.
        ContentSeen = "CONTENT_SEEN",
        /// Why this lead is thought to be ready.
        Insights = "INSIGHTS",
        /// What to talk about.
        TalkingPoints = "TALKING_POINTS",
        /// What was promised or offered.
        Promises = "PROMISES",
        /// What the prospect expects of the first meeting.
        FirstMeeting = "FIRST_MEETING",
        /// Something that no packet has.
        Other = "OTHER",
    }
}

text_enum! {
    /// Where a context request stands.
    pub enum ContextState {
        /// Marketing owes the answer.
        Open = "OPEN",
        /// Marketing answered.
        Answered = "ANSWERED",
    }
}

/// What marketing said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextAnswer {
    pub text: String,
    pub user: Uuid,
    pub at: Instant,
}

/// A question of sales to marketing about one lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRequest {
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    /// The hand-off that it is about, if there is one.
    pub handoff: Option<Uuid>,
    pub topic: ContextTopic,
    /// Path of a field of the catalogue, if it is one that is missing.
    pub field: Option<String>,
    pub question: String,
    pub asked_by: Uuid,
    pub asked_at: Instant,
    pub answer: Option<ContextAnswer>,
}

impl ContextRequest {
    pub fn state(&self) -> ContextState {
        if self.answer.is_some() { ContextState::Answered } else { ContextState::Open }
    }
}

/// What somebody of sales asks.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    pub topic: ContextTopic,
    pub field: Option<String>,
    pub text: String,
}

/// Longest question and answer, in characters.
const WORDS: usize = 2_000;
/// Questions that may wait for an answer at the same time, of one lead.
const OPEN: usize = 10;
/// Sales' promises, which wait while marketing owes an answer.
const WAITING: [ClockKind; 4] =
    [ClockKind::Accept, ClockKind::FirstTouch, ClockKind::Attempts, ClockKind::Disposition];

/// Identity of the clock of a question. It follows from the question (a UUID of version 8, as no other clock of the kind has),
/// so that whoever answers needs to know nothing else.
pub fn clock(request: Uuid) -> Uuid {
    let Digest(digest) = Digest::of("context-clock", 1, &request);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Whether a clock waits for the answer to a question, and not for context that a returned hand-off lacked.
fn is_of_question(clock: &SlaClock) -> bool {
    clock.kind == ClockKind::Context && clock.id.get_version_num() == 8
}

impl Draft<'_> {
    /// Sales asks; whoever has the lead may. Its own clocks stop as far as the charter lets them, marketing's starts.
    pub fn request_context(&mut self, user: Uuid, question: &Question) -> Result<Uuid, Refused> {
        self.require_open("ask for context")?;
        let lead = &self.journey.lead;
        if lead.stage < StageKind::Mql {
            return Err(Refused::illegal(lead.stage, "ask marketing about", &allowed_from(lead.stage)));
        }
        let queued = lead.queue.as_ref().is_some_and(|queue| self.scene.directory.works_queue(user, queue));
        if lead.owner != Some(user) && !queued {
            let message = "you cannot ask for context: the lead is neither yours nor in a queue of your team";
            return Err(Refused::new(RefusalCode::Forbidden, message).at("input/lead"));
        }
        let waits = |clock: &&SlaClock| is_of_question(clock) && clock.state == ClockState::Running;
        if self.journey.clocks.iter().filter(waits).count() >= OPEN {
            let message =
                format!("{OPEN} questions about this lead wait for an answer; ask when one is answered");
            return Err(Refused::invalid("input/question", message));
        }
        let request = self.ask(user, question)?;
        for kind in WAITING {
            self.pause_clocks(kind, CONTEXT_REQUESTED);
        }
        Ok(request)
    }

    /// Writes the question down and starts marketing's clock.
    pub(crate) fn ask(&mut self, user: Uuid, question: &Question) -> Result<Uuid, Refused> {
        check_words("input/question", &question.text, WORDS)?;
        if let Some(path) = &question.field
            && !path.starts_with("traits.")
            && !CATALOGUE.iter().any(|field| field.path == *path)
        {
            let message = format!(
                "the catalogue has no field {path:?}; `handfast fields` lists them, traits are traits.<key>"
            );
            return Err(Refused::invalid("input/field", message));
        }
        let (id, lead) = (self.scene.ids.next(), &self.journey.lead);
        let (cycle, handoff) = (lead.cycle, self.journey.handoff.as_ref().map(|handoff| handoff.id));
        let request = ContextRequest {
            id,
            lead: lead.id,
            cycle,
            handoff,
            topic: question.topic,
            field: question.field.clone(),
            question: question.text.clone(),
            asked_by: user,
            asked_at: self.scene.at,
            answer: None,
        };
        let (topic, field) = (request.topic, request.field.clone());
        self.emit(Fact::ContextRequested { request: id, handoff, topic, field });
        self.records.push(Record::ContextRequest(request));
        self.start_own_clock(ClockKind::Context, clock(id), ClockLevel::Lead);
        Ok(id)
    }

    /// Marketing answers, be the cycle open or not. With the last answer sales' clocks run again, unless marketing still has
    /// the lead.
    pub fn answer_context(&mut self, request: &ContextRequest, answer: ContextAnswer) -> Result<(), Refused> {
        check_words("input/answer", &answer.text, WORDS)?;
        if let Some(before) = &request.answer {
            let message = format!("this question was answered at {}; ask another one for more", before.at);
            return Err(Refused::new(RefusalCode::AlreadyExists, message).at("input/contextRequest"));
        }
        self.emit(Fact::ContextAnswered { request: request.id });
        self.records.push(Record::ContextAnswer { request: request.id, answer });
        self.meet_clock(clock(request.id));
        let returned =
            self.journey.handoff.as_ref().map(|handoff| handoff.status) == Some(HandoffStatus::Returned);
        if !returned && !self.waits(ClockKind::Context) {
            for kind in WAITING {
                self.resume_clocks(kind);
            }
        }
        Ok(())
    }

    /// A new hand-off is the answer to one that was returned; it answers no question.
    pub(crate) fn meet_returned(&mut self) {
        let (at, cycle) = (self.scene.at, self.journey.lead.cycle);
        let of_return = |clock: &SlaClock| {
            clock.kind == ClockKind::Context && clock.cycle == cycle && !is_of_question(clock)
        };
        self.change_clocks(of_return, |clock, _| clock.meet(at));
    }
}
