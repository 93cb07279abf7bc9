//! Two leads that are one person: the older one goes on, the other one's cycle ends MERGED and points to it.

use uuid::Uuid;

use crate::change::Draft;
use crate::clock::{ClockKind, ClockLevel};
use crate::event::Fact;
use crate::lead::Journey;
use crate::refused::{RefusalCode, Refused};
use crate::stage::{CycleOutcome, StageKind};

/// Which of two leads goes on: the one that was captured first.
pub fn survivor<'j>(one: &'j Journey, other: &'j Journey) -> (&'j Journey, &'j Journey) {
    let age = |journey: &Journey| (journey.lead.captured_at, journey.lead.id);
    if age(one) <= age(other) { (one, other) } else { (other, one) }
}

/// Whether two leads can become one.
pub fn check(survivor: &Journey, duplicate: &Journey) -> Result<(), Refused> {
    let refuse = |message: String| Err(Refused::new(RefusalCode::IllegalTransition, message));
    if survivor.lead.id == duplicate.lead.id {
        return Err(Refused::invalid("input/duplicate", "this is the same lead; name two"));
    }
    for lead in [&survivor.lead, &duplicate.lead] {
        if let Some(at) = lead.erased_at {
            return refuse(format!("one of them was erased at {at}; nobody knows any more who it was"));
        }
        if let Some(into) = lead.merged_into {
            return refuse(format!("one of them was merged already; merge {into}, which goes on for it"));
        }
    }
    if duplicate.lead.suppressed && !survivor.lead.suppressed {
        let message = "the newer lead asked not to be contacted: end the older one by dispositionLead with DO_NOT_CONTACT (reopen \
                       it first, if it is closed), then merge";
        return refuse(message.to_owned());
    }
    Ok(())
}

impl Draft<'_> {
    /// The lead ends here and goes on as `into`.
    pub fn merge_into(&mut self, into: Uuid) {
        if self.journey.is_open() {
            self.end(CycleOutcome::Merged, None, None, Default::default());
        }
        self.cancel_clocks(|_| false);
        self.leave();
        self.emit(Fact::LeadMerged { into });
    }

    /// A lead that was merged into one which was merged itself.
    pub fn merge_further(&mut self, into: Uuid) {
        self.emit(Fact::LeadMerged { into });
    }

    /// Goes on for a duplicate as well. If sales was at work with that one, this lead stands where it stood, with whoever had it;
    /// if not, the rules look at what is known of both. Conversations and attempts count where they were held.
    pub fn take_over(&mut self, duplicate: &Journey) -> Result<(), Refused> {
        self.emit(Fact::DuplicateMerged { duplicate: duplicate.lead.id });
        let theirs = &duplicate.lead;
        self.take_over_customer(theirs);
        if !duplicate.is_open() || self.journey.lead.suppressed {
            return Ok(());
        }
        if !self.journey.is_open() {
            match self.journey.lead.comes_back_by() {
                Some(by) => self.requalify(by)?,
                None => self.reopen()?,
            }
        }
        self.take_over_follow_ups(&theirs.follow_ups);
        let at_work = (StageKind::Sal..=StageKind::Opportunity).contains(&theirs.stage);
        if !at_work || theirs.stage <= self.journey.lead.stage {
            return Ok(());
        }
        if let Some(pending) = self.journey.pending_handoff() {
            let handoff = pending.id;
            self.emit(Fact::HandoffCancelled { handoff });
        }
        self.cancel_clocks(|_| false);
        self.emit(Fact::LeadAssigned {
            owner: theirs.owner,
            queue: theirs.queue.clone(),
            decision: None,
            pool: None,
            priority: theirs.priority,
            work_state: theirs.work_state,
        });
        if let Some(deal) = &duplicate.opportunity {
            let opportunity = self.scene.ids.next();
            self.emit(Fact::OpportunityRecorded {
                opportunity,
                amount_minor: deal.amount_minor,
                currency: deal.currency.clone(),
                expected_close: deal.expected_close,
            });
        }
        self.advance(theirs.stage, None, true)?;
        if theirs.stage < StageKind::Opportunity {
            self.start_clock(ClockKind::Disposition, ClockLevel::Lead);
        }
        Ok(())
    }
}
