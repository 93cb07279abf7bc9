//! Planned follow-ups: what sales means to do next with a lead, and when. The next genuine attempt to reach the lead does it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::{Draft, Record};
use crate::event::{ActivityKind, Direction, Fact};
use crate::refused::{RefusalCode, Refused};
use crate::sales::{allowed_from, check_words};
use crate::stage::{CycleOutcome, StageKind};
use crate::text::text_enum;
use crate::time::{DAY, Instant};

text_enum! {
    /// Where a planned follow-up stands.
    pub enum FollowUpStatus {
        /// Its time lies ahead.
        Planned = "PLANNED",
        /// Its time is over, and nothing was done.
        Overdue = "OVERDUE",
        /// Somebody tried to reach the lead.
        Done = "DONE",
        /// Nothing is to be done any more.
        Cancelled = "CANCELLED",
    }
}

text_enum! {
    /// How a planned follow-up ended.
    pub enum FollowUpOutcome {
        /// Buyer and seller spoke.
        Connected = "CONNECTED",
        /// Sales tried; the buyer did not answer then.
        Attempted = "ATTEMPTED",
        /// Sales called it off.
        Withdrawn = "WITHDRAWN",
        /// The cycle ended first.
        CycleEnded = "CYCLE_ENDED",
        /// The lead was found to be the same person as another one, which goes on for it.
        Merged = "MERGED",
    }
}

impl FollowUpOutcome {
    /// Whether somebody did it.
    pub fn is_done(self) -> bool {
        matches!(self, FollowUpOutcome::Connected | FollowUpOutcome::Attempted)
    }
}

/// What is still to be done, as a lead carries it along: to whomever has the lead, it is theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedFollowUp {
    pub id: Uuid,
    pub due_at: Instant,
    pub kind: ActivityKind,
    /// Number of the attempt in its cycle that it would have been when it was planned.
    pub attempt: u32,
    pub planned_at: Instant,
}

/// A follow-up with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    pub id: Uuid,
    pub lead: Uuid,
    pub cycle: u32,
    pub kind: ActivityKind,
    pub due_at: Instant,
    pub attempt: u32,
    /// What it is about, in the words of whoever planned it.
    pub note: Option<String>,
    pub planned_by: Option<Uuid>,
    pub planned_at: Instant,
    pub outcome: Option<FollowUpOutcome>,
    /// The activity that did it.
    pub activity: Option<Uuid>,
    pub ended_at: Option<Instant>,
}

impl FollowUp {
    pub fn status(&self, now: Instant) -> FollowUpStatus {
        match self.outcome {
            Some(outcome) if outcome.is_done() => FollowUpStatus::Done,
            Some(_) => FollowUpStatus::Cancelled,
            None if self.due_at <= now => FollowUpStatus::Overdue,
            None => FollowUpStatus::Planned,
        }
    }
}

/// What somebody of sales means to do.
#[derive(Clone, Debug)]
pub struct NewFollowUp {
    pub due_at: Instant,
    pub kind: ActivityKind,
    pub note: Option<String>,
}

/// Follow-ups that may wait at the same time, of one lead.
pub const OPEN: usize = 10;
/// How far ahead one may lie, in days.
const AHEAD: i64 = 366;
/// Longest note, in characters.
const NOTE: usize = 2_000;

impl Draft<'_> {
    /// Sales plans to turn to the lead again. Whoever has the lead then does it.
    pub fn plan_follow_up(&mut self, new: &NewFollowUp) -> Result<Uuid, Refused> {
        self.require_open("plan a follow-up")?;
        let stage = self.journey.lead.stage;
        if stage < StageKind::Mql {
            return Err(Refused::illegal(stage, "plan a follow-up for", &allowed_from(stage)));
        }
        if new.kind == ActivityKind::Note {
            let message = "a note reaches nobody; plan a CALL, an EMAIL or a MEETING";
            return Err(Refused::invalid("input/kind", message));
        }
        let (now, latest) = (self.scene.now, self.scene.now.plus(AHEAD * DAY));
        if new.due_at <= now || new.due_at > latest {
            let message = format!(
                "a follow-up lies ahead, by {AHEAD} days at most: after {now} and up to {latest}, found {}",
                new.due_at
            );
            return Err(Refused::invalid("input/dueAt", message));
        }
        if let Some(note) = &new.note {
            check_words("input/note", note, NOTE)?;
        }
        let planned = &self.journey.lead.follow_ups;
        if planned.len() >= OPEN {
            let message = format!("{OPEN} follow-ups of this lead wait already; do one, or cancel one first");
            return Err(Refused::invalid("input", message));
        }
        let earlier = planned.iter().filter(|one| one.due_at <= new.due_at).count();
        let attempt = self.journey.cycle.attempts.count + 1 + u32::try_from(earlier).unwrap_or(0);
        let id = self.scene.ids.next();
        let (due_at, activity_kind) = (new.due_at, new.kind);
        self.emit(Fact::FollowUpPlanned { follow_up: id, due_at, activity_kind, attempt });
        if let Some(text) = new.note.clone() {
            self.records.push(Record::Note { about: id, text });
        }
        Ok(id)
    }

    /// Sales calls a follow-up off.
    pub fn cancel_follow_up(&mut self, follow_up: Uuid) -> Result<(), Refused> {
        if !self.journey.lead.follow_ups.iter().any(|one| one.id == follow_up) {
            let message = "this follow-up was done or cancelled already";
            return Err(Refused::new(RefusalCode::IllegalTransition, message).at("input/followUp"));
        }
        self.end_follow_up(follow_up, FollowUpOutcome::Withdrawn);
        Ok(())
    }

    /// Which follow-up an activity does: the one that is named, or the earliest that was planned before it. Nothing but a genuine
    /// attempt to reach the lead does one.
    pub(crate) fn followed_up(
        &self,
        named: Option<Uuid>,
        attempt: bool,
        at: Instant,
    ) -> Result<Option<Uuid>, Refused> {
        let planned = &self.journey.lead.follow_ups;
        let Some(named) = named else {
            let before = planned.iter().filter(|one| attempt && one.planned_at <= at);
            return Ok(before.min_by_key(|one| (one.due_at, one.id)).map(|one| one.id));
        };
        if !planned.iter().any(|one| one.id == named) {
            let message =
                "no follow-up with this id waits for this lead: it was done, cancelled, or is another lead's";
            return Err(Refused::new(RefusalCode::NotFound, message).at("input/followUp"));
        }
        if !attempt {
            let message = "only a genuine attempt to reach the lead does a follow-up: no note, nothing that the buyer began, and \
                           nothing that a machine sent before the buyer wrote";
            return Err(Refused::invalid("input/followUp", message));
        }
        Ok(Some(named))
    }

    /// The activity that was noted just now did it.
    pub(crate) fn do_follow_up(
        &mut self,
        follow_up: Uuid,
        activity: Uuid,
        direction: Direction,
        at: Instant,
    ) {
        let outcome = match direction {
            Direction::TwoWay => FollowUpOutcome::Connected,
            Direction::Outbound | Direction::Inbound => FollowUpOutcome::Attempted,
        };
        let attempt = Some(self.journey.cycle.attempts.count);
        self.emit_at(at, Fact::FollowUpEnded { follow_up, outcome, attempt, activity: Some(activity) });
    }

    /// Nobody follows up on a cycle that is over.
    pub(crate) fn end_follow_ups(&mut self, ended: CycleOutcome) {
        let outcome = match ended {
            CycleOutcome::Merged => FollowUpOutcome::Merged,
            _ => FollowUpOutcome::CycleEnded,
        };
        let waiting: Vec<Uuid> = self.journey.lead.follow_ups.iter().map(|one| one.id).collect();
        waiting.into_iter().for_each(|id| self.end_follow_up(id, outcome));
    }

    fn end_follow_up(&mut self, follow_up: Uuid, outcome: FollowUpOutcome) {
        self.emit(Fact::FollowUpEnded { follow_up, outcome, attempt: None, activity: None });
    }

    /// What was planned for a duplicate is done with the lead that goes on, as far as that is still open.
    pub(crate) fn take_over_follow_ups(&mut self, theirs: &[PlannedFollowUp]) {
        if !self.journey.is_open() {
            return;
        }
        for PlannedFollowUp { id, due_at, kind, attempt, .. } in theirs.iter().cloned() {
            self.emit(Fact::FollowUpPlanned { follow_up: id, due_at, activity_kind: kind, attempt });
        }
    }
}
