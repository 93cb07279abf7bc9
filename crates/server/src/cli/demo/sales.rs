//! How the demo's sales people work a lead: each step follows from the one before and from the hidden truth about the buyer.

use handfast_domain::time::{DAY, HOUR, Instant, MINUTE};
use serde_json::{Value, json};
use uuid::Uuid;

use super::charter::CURRENCY;
use super::company::payload;
use super::prospects::Truth;
use super::random::Random;
use crate::cli::client::{CliError, Client};

/// What somebody will do next with a lead.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Answer,
    /// Marketing adds what sales missed, and sends the lead again.
    AddContext,
    /// Marketing answers what sales asked, and sales goes on.
    Reply,
    /// Marketing hears what sales had to say.
    Hear,
    /// Marketing says what it thinks of a grey case.
    Weigh(Uuid),
    /// Sales does, too, and both decide.
    Settle(Uuid),
    Attempt(u32),
    Qualify,
    Offer,
    Close,
}

/// A lead that is worked on.
#[derive(Clone, Debug)]
pub struct Case {
    pub lead: Value,
    pub rep: String,
    pub truth: Truth,
}

/// The next step and how long it takes until then, in milliseconds of the company's time.
pub type Next = Option<(Step, i64)>;

/// How soon somebody answers a hand-off; a few never do.
pub fn first(random: &mut Random) -> Next {
    let soon =
        if random.chance(0.8) { random.wait(12.0 * MINUTE as f64) } else { random.wait(5.0 * HOUR as f64) };
    random.chance(0.95).then_some((Step::Answer, soon as i64 + 2 * MINUTE))
}

pub struct Seller<'a> {
    pub client: &'a Client,
    /// Whether the two sides also talk with each other.
    pub story: bool,
    pub random: &'a mut Random,
    pub now: Instant,
}

impl Seller<'_> {
    /// Takes a step and answers what comes after it. A refusal ends the story: somebody else was faster.
    pub fn take(&mut self, case: &Case, step: Step) -> Result<Next, CliError> {
        let next = match step {
            Step::Answer => self.answer(case),
            Step::AddContext => self.add_context(case),
            Step::Reply => self.reply(case).map(|()| Some((Step::Answer, HOUR))),
            Step::Hear => self.hear().map(|()| None),
            Step::Weigh(grey) => self.weigh(case, grey).map(|wait| Some((Step::Settle(grey), wait))),
            Step::Settle(grey) => self.settle(case, grey).map(|()| None),
            Step::Attempt(number) => self.attempt(case, number),
            Step::Qualify => self.qualify(case),
            Step::Offer => self.offer(case),
            Step::Close => self.close(case),
        };
        match next {
            Err(CliError::Failed(why)) if why.starts_with("no answer from") => Err(CliError::Failed(why)),
            Err(refused) => {
                tracing::debug!(%refused, ?step, "the demo's sales was refused");
                Ok(None)
            }
            next => next,
        }
    }

    fn answer(&mut self, case: &Case) -> Result<Next, CliError> {
        let Truth { fit, intent, .. } = case.truth;
        if self.story && self.random.chance(0.08) {
            let question = json!({"topic": "BACKGROUND", "field": "company.employees", "question": "How large are they really?"});
            self.ask("requestContext", "RequestContextInput", with(case, question))?;
            return Ok(Some((Step::Reply, HOUR + self.random.wait(4.0 * HOUR as f64) as i64)));
        }
        let poor = self.random.chance((0.75 - fit).clamp(0.02, 0.6));
        if poor && intent < 0.55 {
            let reason = match self.random.whole(0, 9) {
                0..=4 => "NOT_ICP",
                5..=6 => "NOT_READY",
                7 => "NO_CONTEXT",
                _ => "INVALID_CONTACT",
            };
            let returned = reason == "NO_CONTEXT";
            let mut why = json!({"reason": reason});
            if self.story && returned {
                why["question"] = json!({"topic": "INSIGHTS", "question": "Why should we call?"});
            }
            self.ask("rejectHandoff", "RejectHandoffInput", with(case, why))?;
            if reason == "NOT_ICP" {
                return self.tell(case, "PROBLEM", "Not our kind of company.");
            }
            return Ok(returned.then_some((Step::AddContext, 5 * HOUR)));
        }
        self.ask("acceptHandoff", "LeadTarget", with(case, json!({})))?;
        Ok(Some((Step::Attempt(1), 2 * MINUTE + self.random.wait(9.0 * MINUTE as f64) as i64)))
    }

    fn add_context(&mut self, case: &Case) -> Result<Next, CliError> {
        if self.story {
            self.reply(case)?;
        }
        self.ask("routeLead", "RouteLeadInput", with(case, json!({}))).map(|()| None)
    }

    /// Answers every question about the lead.
    fn reply(&mut self, case: &Case) -> Result<(), CliError> {
        let document = "query($by: LeadRef!) { lead(by: $by) { contextRequests { id state } } }";
        let found = self.client.query(document, json!({"by": {"id": case.lead}}))?;
        for one in found["lead"]["contextRequests"].as_array().into_iter().flatten() {
            if one["state"] == "OPEN" {
                let input = json!({"contextRequest": one["id"], "answer": format!("About {} people.", case.truth.employees)});
                self.ask("answerContext", "AnswerContextInput", input)?;
            }
        }
        Ok(())
    }

    /// Reads what waits, and does something about most of it.
    fn hear(&mut self) -> Result<(), CliError> {
        let found = self
            .client
            .query("{ feedback(status: OPEN, first: 20) { edges { node { id } } } }", json!({}))?;
        for one in found["feedback"]["edges"].as_array().into_iter().flatten() {
            let feedback = &one["node"]["id"];
            self.ask("acknowledgeFeedback", "AcknowledgeFeedbackInput", json!({"feedback": feedback}))?;
            if self.random.chance(0.7) {
                let done =
                    json!({"feedback": feedback, "text": "The audience of the next letter leaves them out."});
                self.ask("actOnFeedback", "ActOnFeedbackInput", done)?;
            }
        }
        Ok(())
    }

    fn weigh(&mut self, case: &Case, grey: Uuid) -> Result<i64, CliError> {
        let text = "Reads everything we send, and never says what for.";
        let opinion = json!({"greyCase": grey.to_string(), "outcome": verdict(case), "text": text});
        self.ask("giveOpinion", "GiveOpinionInput", opinion)?;
        Ok(HOUR + self.random.wait(6.0 * HOUR as f64) as i64)
    }

    fn settle(&mut self, case: &Case, grey: Uuid) -> Result<(), CliError> {
        let outcome = verdict(case);
        let text = "We talked to others like that.";
        let opinion = json!({"greyCase": grey.to_string(), "outcome": outcome, "text": text});
        self.ask("giveOpinion", "GiveOpinionInput", opinion)?;
        let decided =
            json!({"greyCase": grey.to_string(), "outcome": outcome, "rationale": "Both sides see it so."});
        self.ask("resolveGreyCase", "ResolveGreyCaseInput", decided)
    }

    fn attempt(&mut self, case: &Case, number: u32) -> Result<Next, CliError> {
        let reached = self.random.chance(0.08 + 0.42 * case.truth.intent);
        let kind = if number % 2 == 1 { "CALL" } else { "EMAIL" };
        let (direction, note) = match reached {
            true => ("TWO_WAY", "Talked about the warehouse and what is missing there."),
            false => ("OUTBOUND", "Nobody there."),
        };
        let activity = json!({"kind": kind, "direction": direction, "note": note});
        self.ask("logActivity", "LogActivityInput", with(case, activity))?;
        let minutes = if reached { self.random.whole(10, 40) } else { self.random.whole(2, 8) };
        self.spend(case, kind, minutes)?;
        if reached {
            return Ok(Some((Step::Qualify, self.random.wait(30.0 * HOUR as f64) as i64 + HOUR)));
        }
        if number < 5 {
            let wait = (1.4 * DAY as f64 + self.random.wait(DAY as f64)) as i64;
            if self.story {
                let next = if kind == "CALL" { "EMAIL" } else { "CALL" };
                let plan = json!({"dueAt": self.now.plus(wait).to_string(), "kind": next});
                self.ask("planFollowUp", "PlanFollowUpInput", with(case, plan))?;
            }
            return Ok(Some((Step::Attempt(number + 1), wait)));
        }
        let end = json!({"outcome": "RECYCLE", "reason": "NO_RESPONSE", "recycleAt": self.later(25, 50)});
        self.ask("dispositionLead", "DispositionLeadInput", with(case, end))?;
        Ok(None)
    }

    fn qualify(&mut self, case: &Case) -> Result<Next, CliError> {
        let Truth { fit, intent, authority, budget, .. } = case.truth;
        if self.story {
            let outcome = match self.random.whole(0, 9) {
                0 => "NO_SHOW",
                1..=2 => "HELD_WORSE",
                3..=4 => "HELD_BETTER",
                _ => "HELD_AS_EXPECTED",
            };
            let direction = if outcome == "NO_SHOW" { "OUTBOUND" } else { "TWO_WAY" };
            let met = json!({"kind": "MEETING", "direction": direction, "meetingOutcome": outcome});
            self.ask("logActivity", "LogActivityInput", with(case, met))?;
            self.spend(case, "MEETING", 45)?;
        }
        let grade = |share: f64, random: &mut Random| {
            ((share * 3.6 + 0.6 * random.bell()).round() as i64).clamp(0, 4)
        };
        let answers = json!([
            {"key": "need", "grade": grade(0.4 * fit + 0.6 * intent, self.random), "evidence": "Asked what happens at peak times."},
            {"key": "authority", "grade": grade(authority, self.random)},
            {"key": "budget", "grade": grade(budget, self.random)},
            {"key": "timeline", "grade": grade(intent, self.random)},
        ]);
        match self.ask("qualify", "QualifyInput", with(case, json!({"answers": answers}))) {
            Ok(()) => Ok(Some((Step::Offer, DAY + self.random.wait(4.0 * DAY as f64) as i64))),
            Err(CliError::Gate(_)) => {
                let reason = match self.random.whole(0, 5) {
                    0 | 1 => "NO_TIMELINE",
                    2 => "NO_BUDGET",
                    3 => "NO_AUTHORITY",
                    _ => "NOT_READY",
                };
                let end = json!({"outcome": "RECYCLE", "reason": reason, "recycleAt": self.later(20, 60)});
                self.ask("dispositionLead", "DispositionLeadInput", with(case, end))?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn offer(&mut self, case: &Case) -> Result<Next, CliError> {
        let amount = amount(case, self.random);
        let deal = json!({"amount": amount, "expectedClose": self.later(10, 40)});
        self.ask("recordOpportunity", "RecordOpportunityInput", with(case, deal))?;
        Ok(Some((Step::Close, 4 * DAY + self.random.wait(11.0 * DAY as f64) as i64)))
    }

    fn close(&mut self, case: &Case) -> Result<Next, CliError> {
        let Truth { fit, budget, .. } = case.truth;
        if self.random.chance(0.3 * fit + 0.2 * budget) {
            let amount = amount(case, self.random);
            let won = match self.story {
                true => json!({"amount": amount, "renewsAt": self.later(360, 370)}),
                false => json!({"amount": amount}),
            };
            self.ask("closeWon", "CloseWonInput", with(case, won))?;
            return self.tell(case, "WORKS", "They had read the guide, and knew what they wanted.");
        }
        let (reason, competitor) = match self.random.whole(0, 4) {
            0 | 1 => ("HOLDING_OFF", None),
            2 => ("LOST_TO_COMPETITOR", Some("Conveyor Sample")),
            3 => ("NO_BUDGET", None),
            _ => ("INCUMBENT_CONTRACT", None),
        };
        let end = json!({"reason": reason, "competitor": competitor, "recycleAt": self.later(60, 120)});
        self.ask("closeLost", "CloseLostInput", with(case, end))?;
        self.tell(case, "FIELD_NOTE", "Whoever has a machine already asks for the payback first.")
    }

    fn spend(&mut self, case: &Case, kind: &str, minutes: i64) -> Result<(), CliError> {
        if !self.story {
            return Ok(());
        }
        let spent = json!({"lead": {"id": case.lead}, "minutes": minutes.to_string(), "kind": kind});
        self.ask("logEffort", "LogEffortInput", spent)
    }

    /// What a deal taught goes back to marketing, mostly.
    fn tell(&mut self, case: &Case, kind: &str, text: &str) -> Result<Next, CliError> {
        if !(self.story && self.random.chance(0.6)) {
            return Ok(None);
        }
        let told = json!({"kind": kind, "about": {"lead": case.lead}, "tags": ["deal"], "text": text});
        self.ask("postFeedback", "PostFeedbackInput", told)?;
        Ok(Some((Step::Hear, 3 * HOUR + self.random.wait(DAY as f64) as i64)))
    }

    fn later(&mut self, from: i64, to: i64) -> String {
        self.now.plus(self.random.whole(from, to) * DAY).to_string()
    }

    fn ask(&self, field: &str, kind: &str, input: Value) -> Result<(), CliError> {
        payload(self.client, field, kind, input, "__typename").map(drop)
    }
}

/// What people who know the lead would say.
fn verdict(case: &Case) -> &'static str {
    if case.truth.fit + case.truth.intent > 0.9 { "ADVANCE" } else { "HOLD" }
}

fn amount(case: &Case, random: &mut Random) -> Value {
    let euros = (8_000.0 + 60.0 * case.truth.employees as f64) * random.between(0.7, 1.5);
    json!({"amountMinor": ((euros / 100.0).round() as i64 * 10_000).to_string(), "currency": CURRENCY})
}

fn with(case: &Case, mut more: Value) -> Value {
    more["lead"] = json!({"id": case.lead});
    more
}
