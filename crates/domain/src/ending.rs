//! How a cycle ends, how the next one begins, and what time alone does to a lead.

use uuid::Uuid;

use crate::change::Draft;
use crate::clock::{ClockKind, ClockLevel, ClockState, SlaClock};
use crate::disposition::{Disposal, Return, unknown_signal};
use crate::event::Fact;
use crate::incumbent::returns_at;
use crate::refused::{RefusalCode, Refused};
use crate::sales::{allowed_from, check_words};
use crate::stage::{Cause, CycleOpenedBy, CycleOutcome, StageKind, WorkState};
use crate::time::Instant;

/// Longest name of a competitor, in characters. It stands in the log: the name of a company and nothing else.
pub(crate) const COMPETITOR: usize = 128;

impl Draft<'_> {
    /// Closed-lost, from SQL or OPPORTUNITY.
    pub fn close_lost(&mut self, disposal: Disposal) -> Result<(), Refused> {
        self.require_open("lose")?;
        if !matches!(self.journey.lead.stage, StageKind::Sql | StageKind::Opportunity) {
            let stage = self.journey.lead.stage;
            return Err(Refused::illegal(stage, "lose", &allowed_from(stage)));
        }
        self.close(CycleOutcome::Lost, disposal, None)
    }

    /// Ends the open cycle as RECYCLED, DISQUALIFIED or LOST, if the reason allows it. `_by` is the evaluation that asked
    /// for it, if a rule did.
    pub fn close(
        &mut self,
        outcome: CycleOutcome,
        disposal: Disposal,
        _by: Option<Uuid>,
    ) -> Result<(), Refused> {
        self.require_open("close")?;
        let stage = self.journey.lead.stage;
        let asserted = self.scene.cause == Cause::Import;
        let fits = match outcome {
            CycleOutcome::Recycled | CycleOutcome::Disqualified => true,
            CycleOutcome::Lost => asserted || matches!(stage, StageKind::Sql | StageKind::Opportunity),
            _ => false,
        };
        if !fits {
            return Err(Refused::illegal(stage, &format!("close as {outcome}"), &allowed_from(stage)));
        }
        let returns = self.allowed(outcome, &disposal)?;
        self.end(outcome, Some(disposal), None, returns);
        Ok(())
    }

    pub(crate) fn allowed(&self, outcome: CycleOutcome, disposal: &Disposal) -> Result<Return, Refused> {
        let body = &self.scene.charter.body;
        let reason = body.reason(&disposal.reason)?;
        if let Some(competitor) = &disposal.competitor {
            check_words("input/competitor", competitor, COMPETITOR)?;
        }
        if let Some(signal) = disposal.recycle_on.as_ref().filter(|signal| !body.signals.contains(signal)) {
            return Err(Refused::invalid("input/recycleOn", unknown_signal(signal, &body.signals)));
        }
        let lead = &self.journey.lead;
        if self.scene.cause == Cause::Import && !self.scene.live {
            return reason.allow_past(outcome, disposal, self.scene.at);
        }
        let (attempts, at) = (&self.journey.cycle.attempts, self.scene.at);
        let allowed = reason.allow(outcome, lead.stage, disposal, attempts, body.attempts, at)?;
        let comes_back = matches!(outcome, CycleOutcome::Recycled | CycleOutcome::Lost);
        let named = disposal.recycle_at.is_some() || disposal.recycle_on.is_some();
        // Nobody named a date: a contract that is known says more than the reason's usual days.
        let date = returns_at(&reason.key, disposal.competitor.as_deref(), &self.incumbent, at);
        match date.filter(|_| comes_back && !named) {
            Some(at) => Ok(Return { at: Some(at), ..allowed }),
            None => Ok(allowed),
        }
    }

    /// A person says what the company uses today. The words stand with the company; the log is told whose they are and when the
    /// contract ends.
    pub fn record_incumbent(&mut self, contract_ends_at: Option<Instant>) -> Result<(), Refused> {
        self.refuse_gone()?;
        let Some(account) = self.journey.lead.account else {
            let message = "this lead has no company; capture it with one first";
            return Err(Refused::new(RefusalCode::NotFound, message).at("input/lead"));
        };
        self.emit(Fact::IncumbentRecorded { account, contract_ends_at });
        Ok(())
    }

    /// A person says what it learned of the lead. The value stands with the lead's traits; the log is told the key.
    pub fn record_trait(&mut self, key: &str) -> Result<(), Refused> {
        self.refuse_gone()?;
        self.emit(Fact::TraitSet { key: key.to_owned() });
        Ok(())
    }

    /// Imports of the past may end an open cycle as WON from any stage and with an unknown amount.
    pub fn assert_won(&mut self, amount_minor: Option<i64>) -> Result<(), Refused> {
        self.require_open("win")?;
        if self.journey.lead.stage < StageKind::Customer {
            self.advance(StageKind::Customer, None, true)?;
        }
        self.end(CycleOutcome::Won, None, amount_minor, Return::default());
        Ok(())
    }

    /// An import says who has, or had, the lead.
    pub fn assert_owner(&mut self, owner: Uuid) -> Result<(), Refused> {
        if self.scene.directory.user(owner).is_none() {
            return Err(Refused::not_found("user"));
        }
        let lead = &self.journey.lead;
        if lead.owner == Some(owner) {
            return Ok(());
        }
        let working = lead.stage > StageKind::Mql && self.journey.is_open();
        let work_state = match self.journey.is_open() {
            true if working => WorkState::Working,
            true => WorkState::Assigned,
            false => lead.work_state,
        };
        let (priority, owner) = (lead.priority, Some(owner));
        self.emit(Fact::LeadAssigned {
            owner,
            queue: None,
            decision: None,
            pool: None,
            priority,
            work_state,
        });
        Ok(())
    }

    pub(crate) fn end(
        &mut self,
        outcome: CycleOutcome,
        disposal: Option<Disposal>,
        amount_minor: Option<i64>,
        returns: Return,
    ) {
        let disposal = disposal.unwrap_or_default();
        let reason = Some(disposal.reason).filter(|reason| !reason.is_empty());
        let permanent = reason
            .as_ref()
            .and_then(|key| self.scene.charter.body.reason(key).ok())
            .is_some_and(|r| r.permanent);
        // Nobody looks again at a person who asked to be left alone.
        let returns = if permanent { Return::default() } else { returns };
        if let Some(pending) = self.journey.pending_handoff() {
            let handoff = pending.id;
            self.emit(Fact::HandoffCancelled { handoff });
        }
        // A disposition is an answer: it meets what waited for one. Everything else is called off.
        if !matches!(outcome, CycleOutcome::Merged | CycleOutcome::Erased) {
            for kind in [ClockKind::Disposition, ClockKind::FirstTouch] {
                self.meet_clocks(kind);
            }
        }
        self.cancel_clocks(|_| false);
        self.end_follow_ups(outcome);
        // A date that an import of the past names and that is over calls nobody back.
        let ahead = returns.at.is_some_and(|at| self.scene.live || at > self.scene.now);
        let comes_back =
            matches!(outcome, CycleOutcome::Recycled | CycleOutcome::Lost) && (ahead || returns.on.is_some());
        if comes_back && self.journey.lead.queue.as_deref() != Some(&self.scene.charter.body.marketing_queue)
        {
            self.hand_to_marketing();
        }
        let (cycle, reason_key) = (&self.journey.cycle, reason.clone());
        self.emit(Fact::CycleClosed {
            cycle: cycle.number,
            outcome,
            reason,
            competitor: disposal.competitor,
            attempts: cycle.attempts.count,
            amount_minor,
            recycle_at: returns.at,
            recycle_on: returns.on,
            permanent,
            work_state: if comes_back { WorkState::Nurturing } else { WorkState::Closed },
        });
        let track = reason_key
            .and_then(|key| self.scene.charter.body.reason(&key).ok())
            .and_then(|one| one.track.clone());
        match (comes_back, track) {
            (true, Some(track)) if self.scene.directory.tracks.iter().any(|known| known.key == track) => {
                self.enrol_by(Some(&track));
            }
            (true, _) => self.resume_nurture(),
            (false, _) => drop(self.leave()),
        }
        if let Some(at) = returns.at {
            self.start_clock_until(ClockKind::Requalify, ClockLevel::Lead, at);
        }
    }

    pub(crate) fn hand_to_marketing(&mut self) {
        self.hand_to_queue(self.scene.charter.body.marketing_queue.clone());
    }

    pub(crate) fn hand_to_queue(&mut self, queue: String) {
        let (priority, work_state) = (self.journey.lead.priority, WorkState::Queued);
        let queue = Some(queue);
        self.emit(Fact::LeadAssigned {
            owner: None,
            queue,
            decision: None,
            pool: None,
            priority,
            work_state,
        });
    }

    /// A lead comes back that was recycled, lost or won: its date is due, or it showed interest again.
    pub fn requalify(&mut self, by: CycleOpenedBy) -> Result<(), Refused> {
        self.refuse_suppressed()?;
        let lead = &self.journey.lead;
        if lead.comes_back_by() != Some(by) {
            let message = format!("cycle {} is {}; {by} opens no other one", lead.cycle, lead.outcome);
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        self.meet_requalify();
        self.open_cycle(by)
    }

    /// A person opens a lead again that was disqualified, recycled or lost.
    pub fn reopen(&mut self) -> Result<(), Refused> {
        self.refuse_suppressed()?;
        let lead = &self.journey.lead;
        if !lead.reopens() {
            let message = format!(
                "cycle {} is {}; only a closed, unsuccessful one can be reopened",
                lead.cycle, lead.outcome
            );
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        self.meet_requalify();
        self.open_cycle(CycleOpenedBy::Reopen)
    }

    /// Refuses a lead that another one goes on for, and one of whom nobody knows who it was.
    pub(crate) fn refuse_gone(&self) -> Result<(), Refused> {
        let lead = &self.journey.lead;
        if let Some(into) = lead.merged_into {
            let message = format!("this lead was merged into {into}, which goes on for it");
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        if let Some(at) = lead.erased_at {
            let message =
                format!("this lead was erased at {at}; nothing more is told of it, and no cycle opens again");
            return Err(Refused::new(RefusalCode::IllegalTransition, message));
        }
        Ok(())
    }

    fn refuse_suppressed(&self) -> Result<(), Refused> {
        self.refuse_gone()?;
        if !self.journey.lead.suppressed {
            return Ok(());
        }
        let message = "this person asked not to be contacted; no cycle opens again";
        Err(Refused::new(RefusalCode::Suppressed, message))
    }

    /// The date itself opens the next cycle; that a machine sees it a moment later breaks no promise.
    fn meet_requalify(&mut self) {
        let date = self.requalify_clock().map(|clock| clock.due_at);
        let at = self.scene.at;
        self.meet_clocks_at(ClockKind::Requalify, date.map_or(at, |date| date.min(at)));
    }

    fn requalify_clock(&self) -> Option<&SlaClock> {
        let (lead, clocks) = (&self.journey.lead, &self.journey.clocks);
        let waits =
            |clock: &&SlaClock| clock.kind == ClockKind::Requalify && clock.state == ClockState::Running;
        clocks.iter().find(|clock| waits(clock) && clock.cycle == lead.cycle)
    }

    /// What the passing of time does: the date of a re-qualification opens the next cycle, promises are broken, and a
    /// hand-off that nobody answered goes to the fallback queue.
    pub fn tick(&mut self) {
        let now = self.scene.now;
        if let Some(date) = self.requalify_clock().map(|clock| clock.due_at).filter(|date| *date <= now) {
            (self.scene.at, self.scene.cause) = (date, Cause::Requalify);
            // Refused only for whom no date brings back any more.
            let by = self.journey.lead.comes_back_by().unwrap_or(CycleOpenedBy::Requalify);
            if self.requalify(by).is_err() {
                self.cancel_clocks(|_| false);
            }
        }
        self.scene.at = now;
        self.nurture_due();
        self.catch_up_clocks();
        let Some(pending) = self.journey.pending_handoff() else { return };
        // Earlier hand-offs of the cycle had clocks of their own.
        let mut accepts = self.journey.clocks.iter().rev().filter(|clock| clock.kind == ClockKind::Accept);
        let clock = accepts.next().filter(|clock| clock.started_at >= pending.offered_at);
        let expires_at = clock.and_then(|clock| clock.step_at(200, self.hours_of(clock)));
        if expires_at.is_some_and(|at| at <= now) {
            let handoff = pending.id;
            self.emit(Fact::HandoffExpired { handoff });
            self.cancel_clocks(|clock| clock.level == ClockLevel::Lead);
            self.hand_to_queue(self.scene.charter.body.fallback_queue.clone());
            self.start_clock(ClockKind::FirstTouch, ClockLevel::Owner);
        }
    }
}
