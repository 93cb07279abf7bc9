//! Nurture: what a lead that is not ready gets to see, step by step, until it is. Whoever sends it reads the events; while sales works
//! the lead, nothing is due.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::Draft;
use crate::event::Fact;
use crate::refused::{RefusalCode, Refused};
use crate::sales::allowed_from;
use crate::stage::{Channel, CycleOutcome, StageKind};
use crate::text::text_enum;
use crate::time::{DAY, Instant};

/// One thing to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "NurtureStep", input_name = "NurtureStepInput")
)]
#[serde(rename_all = "camelCase")]
pub struct NurtureStep {
    /// Days after the step before; of the first one, after the enrolment.
    pub after_days: u32,
    /// Where it is sent.
    pub channel: Channel,
    /// Key of the content that is sent.
    pub content: String,
}

/// A series of steps for leads that are not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NurtureTrack {
    pub id: Uuid,
    /// A disposition reason of the charter names it.
    pub key: String,
    pub name: String,
    /// Personas whose leads are enrolled when they reach IQL.
    pub personas: Vec<String>,
    pub steps: Vec<NurtureStep>,
}

text_enum! {
    /// Where an enrolment stands.
    pub enum NurtureStatus {
        /// Steps come due.
        Active = "ACTIVE",
        /// Sales works the lead: nothing is due until it comes back.
        Suppressed = "SUPPRESSED",
        /// Every step was due.
        Completed = "COMPLETED",
        /// The lead left before the end.
        Left = "LEFT",
    }
}

/// A lead's newest enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "NurtureEnrolment"))]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// Key of the track.
    pub track: String,
    /// Where it stands.
    pub status: NurtureStatus,
    /// Steps that were due so far.
    pub steps_done: u32,
    /// When the next step is due; none while nothing is.
    pub next_step_at: Option<Instant>,
    /// When it began.
    pub enrolled_at: Instant,
}

impl Enrolment {
    /// Whether it goes on, now or when the lead comes back.
    pub fn is_open(&self) -> bool {
        matches!(self.status, NurtureStatus::Active | NurtureStatus::Suppressed)
    }
}

impl Draft<'_> {
    fn track(&self, key: &str) -> Option<&NurtureTrack> {
        self.scene.directory.tracks.iter().find(|track| track.key == key)
    }

    /// Marketing enrols a lead that sales does not work, in place of what it was enrolled in.
    pub fn enrol(&mut self, key: &str) -> Result<(), Refused> {
        let lead = &self.journey.lead;
        if lead.suppressed {
            let message = "this person asked not to be contacted; nothing may be sent";
            return Err(Refused::new(RefusalCode::Suppressed, message));
        }
        let left = lead.outcome == CycleOutcome::Won && lead.churned();
        let resting = left || matches!(lead.outcome, CycleOutcome::Recycled | CycleOutcome::Lost);
        let early = self.journey.is_open() && lead.stage < StageKind::Mql;
        if lead.merged_into.is_some() || !(resting || early || self.returned()) {
            return Err(Refused::illegal(lead.stage, "enrol", &allowed_from(lead.stage)));
        }
        let Some(track) = self.track(key) else {
            let known: Vec<&str> =
                self.scene.directory.tracks.iter().map(|track| track.key.as_str()).collect();
            let message = format!("no nurture track {key:?}; there are {}", known.join(", "));
            return Err(Refused::invalid("input/track", message));
        };
        let after = track.steps.first().map_or(0, |step| step.after_days);
        let next_step_at = Some(self.scene.at.plus(i64::from(after) * DAY));
        self.leave();
        self.emit(Fact::NurtureEnrolled { track: key.to_owned(), next_step_at });
        Ok(())
    }

    /// Ends the enrolment before its last step.
    pub fn leave_nurture(&mut self) -> Result<(), Refused> {
        if self.leave() {
            return Ok(());
        }
        Err(Refused::new(RefusalCode::IllegalTransition, "the lead is enrolled in no nurture track"))
    }

    pub(crate) fn leave(&mut self) -> bool {
        let open = self.journey.lead.nurture.as_ref().filter(|enrolment| enrolment.is_open());
        let Some(track) = open.map(|enrolment| enrolment.track.clone()) else { return false };
        self.emit(Fact::NurtureEnded { track, completed: false });
        true
    }

    /// The track of a reason or a persona, if there is one and the past is not told.
    pub(crate) fn enrol_by(&mut self, key: Option<&str>) {
        if let Some(key) = key.filter(|key| self.scene.live && self.track(key).is_some()) {
            // Refused only for a lead that nothing may be sent to.
            let _ = self.enrol(key);
        }
    }

    /// A lead that reaches IQL is enrolled by its persona, unless it is enrolled already.
    pub(crate) fn enrol_by_persona(&mut self) {
        let lead = &self.journey.lead;
        if lead.nurture.as_ref().is_some_and(Enrolment::is_open) {
            return;
        }
        let Some(persona) = &lead.persona else { return };
        let mut tracks = self.scene.directory.tracks.iter();
        let track = tracks.find(|track| track.personas.contains(persona)).map(|track| track.key.clone());
        self.enrol_by(track.as_deref());
    }

    /// Sales has the lead now: nothing else is sent to it.
    pub(crate) fn suppress_nurture(&mut self) {
        let active = self.journey.lead.nurture.as_ref().filter(|one| one.status == NurtureStatus::Active);
        if let Some(track) = active.map(|enrolment| enrolment.track.clone()) {
            self.emit(Fact::NurtureSuppressed { track });
        }
    }

    /// Sales gave it back: what was left goes on, the next step after its days.
    pub(crate) fn resume_nurture(&mut self) {
        let Some(enrolment) = self.journey.lead.nurture.as_ref() else { return };
        if enrolment.status != NurtureStatus::Suppressed {
            return;
        }
        let (key, done) = (enrolment.track.clone(), enrolment.steps_done);
        let step = self.track(&key).and_then(|track| track.steps.get(done as usize));
        match step.map(|step| self.scene.at.plus(i64::from(step.after_days) * DAY)) {
            Some(at) => self.emit(Fact::NurtureResumed { track: key, next_step_at: at }),
            None => drop(self.leave()),
        }
    }

    /// The step whose time has come, if one is; a track that was cut short meanwhile ends.
    pub(crate) fn nurture_due(&mut self) {
        let now = self.scene.now;
        let Some(enrolment) = self.journey.lead.nurture.clone() else { return };
        let Some(due) = enrolment.next_step_at.filter(|at| *at <= now) else { return };
        let (key, number) = (enrolment.track, enrolment.steps_done);
        let steps = self.track(&key).map(|track| track.steps.clone()).unwrap_or_default();
        let Some(step) = steps.get(number as usize) else {
            let completed = number > 0;
            return self.emit(Fact::NurtureEnded { track: key, completed });
        };
        // However late it is seen, the next one keeps its distance from this one.
        let next = steps.get(number as usize + 1);
        let next_step_at = next.map(|next| due.max(now).plus(i64::from(next.after_days) * DAY));
        let (channel, content) = (step.channel, step.content.clone());
        self.emit(Fact::NurtureStepDue {
            track: key.clone(),
            step: number + 1,
            channel,
            content,
            next_step_at,
        });
        if next_step_at.is_none() {
            self.emit(Fact::NurtureEnded { track: key, completed: true });
        }
    }

    fn returned(&self) -> bool {
        self.journey.is_open()
            && self
                .journey
                .handoff
                .as_ref()
                .is_some_and(|one| one.status == crate::handoff::HandoffStatus::Returned)
    }
}
