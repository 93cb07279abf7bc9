//! Sales' half of the machine: the answer to a hand-off, work, the opportunity, the win.

use uuid::Uuid;

use crate::change::{Draft, Record};
use crate::clock::{CONTEXT_REQUESTED, ClockKind, ClockLevel};
use crate::context_request::Question;
use crate::disposition::{Disposal, Return};
use crate::evaluation::{Evaluation, furthest_met, is_guarded};
use crate::event::{ActivityKind, Direction, Fact};
use crate::meeting::MeetingOutcome;
use crate::refused::{RefusalCode, Refused};
use crate::snapshot::Snapshot;
use crate::stage::{Cause, CycleOutcome, StageKind, WorkState};
use crate::time::{DAY, Instant};
use crate::verdict::Outcome;

/// One thing that a person, or an automation, did with a lead.
#[derive(Clone, Debug)]
pub struct Activity {
    /// What was done.
    pub kind: ActivityKind,
    /// Who turned to whom.
    pub direction: Direction,
    /// Sent by a machine: an attempt only if the lead wrote first.
    pub automated: bool,
    /// When; it may be reported later.
    pub occurred_at: Instant,
    /// What was said; it is kept outside of the log.
    pub note: Option<String>,
    /// How it went, of a meeting.
    pub meeting: Option<MeetingOutcome>,
    /// The planned follow-up that it does; the earliest one without.
    pub follow_up: Option<Uuid>,
}

impl Draft<'_> {
    /// Sales takes the lead on: MQL becomes SAL.
    pub fn accept_handoff(&mut self, user: Uuid) -> Result<(), Refused> {
        let handoff = self.answerable(user, "accept")?;
        self.emit(Fact::HandoffAccepted { handoff });
        let lead = &self.journey.lead;
        let (priority, work_state) = (lead.priority, WorkState::Working);
        if lead.owner == Some(user) {
            self.work_state(work_state);
        } else {
            self.emit(Fact::LeadAssigned {
                owner: Some(user),
                queue: None,
                decision: None,
                pool: None,
                priority,
                work_state,
            });
        }
        self.meet_clocks(ClockKind::Accept);
        self.advance(StageKind::Sal, None, false)?;
        self.start_clock(ClockKind::Disposition, ClockLevel::Lead);
        Ok(())
    }

    /// Sales sends the lead back with a reason; the lead always has a next owner (I15). A question says what is missing, where
    /// the reason sends it back to marketing.
    pub fn reject_handoff(
        &mut self,
        user: Uuid,
        disposal: Disposal,
        question: Option<&Question>,
    ) -> Result<(), Refused> {
        let handoff = self.answerable(user, "reject")?;
        let reason = self.scene.charter.body.reason(&disposal.reason)?.clone();
        let returned = reason.returns_to_marketing;
        let outcome = if reason.disqualify { CycleOutcome::Disqualified } else { CycleOutcome::Recycled };
        if !returned {
            self.allowed(outcome, &disposal)?;
            if question.is_some() {
                let message = format!(
                    "a question goes with a reason that sends the lead back to marketing; {} ends its cycle",
                    reason.key
                );
                return Err(Refused::invalid("input/question", message));
            }
        }
        self.emit(Fact::HandoffRejected { handoff, reason: reason.key, returned });
        self.meet_clocks(ClockKind::Accept);
        self.hand_to_marketing();
        if returned {
            self.pause_clocks(ClockKind::FirstTouch, CONTEXT_REQUESTED);
            self.resume_nurture();
            return match question {
                Some(question) => self.ask(user, question).map(drop),
                None => {
                    self.start_clock(ClockKind::Context, ClockLevel::Lead);
                    Ok(())
                }
            };
        }
        self.close(outcome, disposal, None)
    }

    /// Records work. A human outbound contact is the first touch; an answer of the buyer makes the lead CONNECTED.
    pub fn log_activity(&mut self, activity: &Activity) -> Result<(), Refused> {
        self.require_open("log an activity")?;
        if activity.occurred_at < Instant(0) {
            return Err(Refused::invalid("input/occurredAt", "an activity cannot lie before 1970"));
        }
        if let Some(note) = &activity.note {
            check_words("input/note", note, NOTE)?;
        }
        if activity.occurred_at > self.scene.now.plus(DAY) {
            return Err(Refused::invalid("input/occurredAt", "an activity cannot lie more than a day ahead"));
        }
        let Activity { kind, direction, automated, meeting, .. } = *activity;
        meeting.map_or(Ok(()), |outcome| outcome.check(kind, direction))?;
        let contact = kind != ActivityKind::Note;
        let wrote_first = self.journey.cycle.conversations > 0;
        let (at, id) = (activity.occurred_at, self.scene.ids.next());
        // What was tried before the cycle opened belongs to an earlier one: NO_RESPONSE counts this one's.
        let of_now = at >= self.journey.cycle.opened_at;
        let genuine = (!automated || wrote_first) && of_now;
        let attempt = contact && genuine && direction != Direction::Inbound;
        let follow_up = self.followed_up(activity.follow_up, attempt, at)?;
        // A note is no answer of the buyer, whoever wrote it.
        let direction = if contact { direction } else { Direction::Outbound };
        self.emit_at(
            at,
            Fact::ActivityLogged {
                activity: id,
                activity_kind: kind,
                direction,
                automated,
                attempt,
                meeting,
            },
        );
        if let Some(text) = activity.note.clone() {
            self.records.push(Record::Note { about: id, text });
        }
        if attempt {
            self.meet_clocks_at(ClockKind::FirstTouch, at);
        }
        if let Some(follow_up) = follow_up {
            self.do_follow_up(follow_up, id, direction, at);
        }
        if self.journey.lead.stage >= StageKind::Sal && contact && of_now {
            let answered = direction != Direction::Outbound && !automated;
            let waits =
                self.journey.lead.work_state == WorkState::Connected && direction == Direction::Outbound;
            if answered {
                self.work_state(WorkState::Connected);
            } else if waits {
                self.work_state(WorkState::WaitingOnBuyer);
            }
        }
        Ok(())
    }

    /// SAL becomes SQL: buyer and seller talked, and the charter's criteria for SQL hold.
    pub fn qualify(
        &mut self,
        evaluation: Evaluation,
        snapshots: Vec<std::sync::Arc<Snapshot>>,
    ) -> Result<(), Refused> {
        self.require_open("qualify")?;
        if self.journey.lead.stage != StageKind::Sal {
            return Err(Refused::illegal(
                self.journey.lead.stage,
                "qualify",
                &allowed_from(self.journey.lead.stage),
            ));
        }
        // A charter without rule or criterion at this gate leaves it to the person.
        let guarded = is_guarded(&self.scene.charter.body, StageKind::Sql);
        let met = !guarded || furthest_met(&evaluation.gates) == Some(StageKind::Sql);
        let mut missing: Vec<String> =
            evaluation.gates.iter().flat_map(|gate| gate.missing.clone()).collect();
        if !met && missing.is_empty() {
            missing.push("the criteria of the gate: none were judged".to_owned());
        }
        if self.journey.cycle.conversations == 0 {
            missing.push("a conversation with the buyer: log an INBOUND or TWO_WAY activity".to_owned());
        }
        if !met || self.journey.cycle.conversations == 0 {
            return Err(Refused::gate(StageKind::Sql, missing));
        }
        let lead = &self.journey.lead;
        let (id, fit, engagement, persona) = (evaluation.id, lead.fit, lead.engagement, lead.persona.clone());
        self.emit(Fact::LeadEvaluated {
            evaluation: id,
            snapshot: evaluation.snapshot,
            gate: evaluation.gates.last().map(|gate| gate.gate),
            result: Outcome::Advance,
            decisions: evaluation.decisions.iter().map(|decision| decision.id).collect(),
            persona,
            fit,
            engagement,
            next_evaluation_at: None,
        });
        self.records.push(Record::Evaluation { evaluation, snapshots });
        self.advance(StageKind::Sql, Some(id), false)
    }

    /// A deal is open: SQL becomes OPPORTUNITY.
    pub fn record_opportunity(
        &mut self,
        amount_minor: i64,
        currency: &str,
        expected_close: Option<Instant>,
    ) -> Result<Uuid, Refused> {
        self.require_open("record an opportunity")?;
        self.check_money(amount_minor, currency)?;
        if self.journey.lead.stage != StageKind::Sql {
            let stage = self.journey.lead.stage;
            return Err(Refused::illegal(stage, "record an opportunity for", &allowed_from(stage)));
        }
        let opportunity = self.scene.ids.next();
        let currency = currency.to_owned();
        self.emit(Fact::OpportunityRecorded {
            opportunity,
            amount_minor: Some(amount_minor),
            currency,
            expected_close,
        });
        self.meet_clocks(ClockKind::Disposition);
        self.advance(StageKind::Opportunity, None, false)?;
        Ok(opportunity)
    }

    /// Closed-won: the buyer is a customer.
    pub fn close_won(&mut self, amount_minor: i64, currency: &str) -> Result<(), Refused> {
        self.require_open("win")?;
        self.check_money(amount_minor, currency)?;
        if self.journey.lead.stage != StageKind::Opportunity {
            let stage = self.journey.lead.stage;
            return Err(Refused::illegal(stage, "win", &allowed_from(stage)));
        }
        self.advance(StageKind::Customer, None, false)?;
        self.end(CycleOutcome::Won, None, Some(amount_minor), Return::default());
        Ok(())
    }

    fn answerable(&self, user: Uuid, verb: &str) -> Result<Uuid, Refused> {
        self.require_open(&format!("{verb} the hand-off"))?;
        let lead = &self.journey.lead;
        // An expired hand-off still waits in the fallback queue for whoever takes it.
        let waiting = self.journey.handoff.as_ref().filter(|handoff| {
            use crate::handoff::HandoffStatus::{Expired, Pending};
            matches!(handoff.status, Pending | Expired)
        });
        let Some(handoff) = waiting.filter(|_| lead.stage == StageKind::Mql) else {
            // What cannot be answered now is not among the things that can be done.
            let mut allowed = allowed_from(lead.stage);
            allowed.retain(|verb| !matches!(*verb, "acceptHandoff" | "rejectHandoff"));
            return Err(Refused::illegal(lead.stage, &format!("{verb} the hand-off of"), &allowed));
        };
        let mine = lead.owner == Some(user);
        let queued = lead.queue.as_ref().is_some_and(|queue| self.scene.directory.works_queue(user, queue));
        let import = self.scene.cause == Cause::Import;
        if !(mine || queued || import) {
            let message =
                format!("you cannot {verb} this hand-off: it is neither yours nor in a queue of your team");
            return Err(Refused::new(RefusalCode::Forbidden, message));
        }
        Ok(handoff.id)
    }

    fn check_money(&self, amount_minor: i64, currency: &str) -> Result<(), Refused> {
        let ours = &self.scene.charter.body.currency;
        if currency != ours {
            let message = format!("amounts are in {ours} by the charter; found {currency}");
            return Err(Refused::new(RefusalCode::CurrencyMismatch, message).at("input/amount/currency"));
        }
        if !(1..=1_000_000_000_000_000).contains(&amount_minor) {
            let message = format!("an amount is 1 to 10^15 minor units, found {amount_minor}");
            return Err(Refused::invalid("input/amount/amountMinor", message));
        }
        Ok(())
    }
}

/// Longest note, in characters.
const NOTE: usize = 10_000;

/// Words of people: something in them, not too many, nothing that a terminal would obey.
pub(crate) fn check_words(path: &str, text: &str, most: usize) -> Result<(), Refused> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > most {
        return Err(Refused::invalid(path, format!("1 to {most} characters, found {length}")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Refused::invalid(path, "control characters are not allowed"));
    }
    Ok(())
}

/// The verbs that a lead at this stage knows.
pub fn allowed_from(stage: StageKind) -> Vec<&'static str> {
    match stage {
        StageKind::Anonymous | StageKind::Inquiry | StageKind::Iql => {
            vec!["evaluateLead", "dispositionLead", "recycleLead"]
        }
        StageKind::Mql => {
            vec![
                "acceptHandoff",
                "rejectHandoff",
                "requestContext",
                "routeLead",
                "dispositionLead",
                "recycleLead",
            ]
        }
        StageKind::Sal => vec!["logActivity", "requestContext", "qualify", "dispositionLead", "recycleLead"],
        StageKind::Sql => vec!["recordOpportunity", "closeLost", "dispositionLead", "recycleLead"],
        StageKind::Opportunity => vec!["closeWon", "closeLost", "dispositionLead", "recycleLead"],
        StageKind::Customer | StageKind::Advocate => vec![],
    }
}
