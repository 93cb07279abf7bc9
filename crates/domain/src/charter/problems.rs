//! What keeps a charter's body from being proposed: one check for each part, each problem with its path.

use super::{CharterBody, Known, SlotKind};
use crate::clock::{ClockKind, Party};
use crate::disposition::never_disqualifies;
use crate::field::is_key;
use crate::refused::Refused;
use crate::stage::StageKind;

/// Stages that every funnel has; IQL, ANONYMOUS and ADVOCATE are a matter of taste.
const NEEDED_STAGES: [StageKind; 6] = [
    StageKind::Inquiry,
    StageKind::Mql,
    StageKind::Sal,
    StageKind::Sql,
    StageKind::Opportunity,
    StageKind::Customer,
];

/// Reasons that the machine itself knows by name.
const NEEDED_REASONS: [&str; 3] = ["NO_BUDGET", "NO_TIMELINE", "NO_CONTEXT"];

/// Clocks without which leads would be forgotten: a hand-off that never expires, a date that never comes.
const NEEDED_CLOCKS: [ClockKind; 2] = [ClockKind::Accept, ClockKind::Requalify];

struct Problems(Vec<Refused>);

impl Problems {
    fn say(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Refused::invalid(path, message).at("input/body"));
    }
}

impl CharterBody {
    /// Everything that keeps this body from being proposed.
    pub fn problems(&self, known: &Known) -> Vec<Refused> {
        let mut found = Problems(vec![]);
        self.check_head(&mut found);
        self.check_stages(known, &mut found);
        self.check_slots(known, &mut found);
        self.check_personas(known, &mut found);
        self.check_reasons(&mut found);
        self.check_clocks(&mut found);
        self.check_places(known, &mut found);
        self.check_commitments(&mut found);
        found.0
    }

    fn check_head(&self, found: &mut Problems) {
        if self.title.trim().is_empty() {
            found.say("title", "a charter needs a title");
        }
        if self.time_zone.parse::<chrono_tz::Tz>().is_err() {
            let message = format!("{:?} is no IANA time zone, for example Europe/Berlin", self.time_zone);
            found.say("timeZone", message);
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|c| c.is_ascii_uppercase()) {
            found.say("currency", format!("{:?} is no ISO 4217 code, for example EUR", self.currency));
        }
        if !(1..=365).contains(&self.max_hold_days) {
            found.say("maxHoldDays", format!("1 to 365 days, found {}", self.max_hold_days));
        }
    }

    fn check_stages(&self, known: &Known, found: &mut Problems) {
        for (i, pair) in self.stages.windows(2).enumerate() {
            if pair[0].kind >= pair[1].kind {
                let message = format!("{} must not follow {}", pair[1].kind, pair[0].kind);
                found.say(&format!("stages/{}", i + 1), message);
            }
        }
        for kind in NEEDED_STAGES.iter().filter(|kind| self.stage(**kind).is_none()) {
            found.say("stages", format!("{kind} is not defined"));
        }
        for (i, stage) in self.stages.iter().enumerate() {
            for (part, criteria) in [("entry", &stage.entry), ("exit", &stage.exit)] {
                for (j, criterion) in criteria.iter().enumerate() {
                    let path = format!("stages/{i}/{part}/{j}");
                    if criterion.test.is_none() && criterion.reason_code.is_none() {
                        found.say(&path, "a criterion needs a test or a reason code");
                    }
                    if let Some(problem) =
                        criterion.test.as_ref().and_then(|test| test.problem(&known.traits))
                    {
                        found.say(&format!("{path}/test"), problem);
                    }
                }
            }
        }
    }

    fn check_slots(&self, known: &Known, found: &mut Problems) {
        for (i, slot) in self.slots.iter().enumerate() {
            if !is_key(&slot.key) || self.slots[..i].iter().any(|other| other.key == slot.key) {
                found.say(&format!("slots/{i}/key"), format!("{:?} is no key, or is used twice", slot.key));
            }
            if !known.teams.contains(&slot.team) {
                let message = format!("no team {:?}; create it first", slot.team);
                found.say(&format!("slots/{i}/team"), message);
            }
            match (slot.kind, slot.gate, &slot.pool) {
                (SlotKind::Qualify, Some(StageKind::Iql | StageKind::Mql | StageKind::Sql), None) => {}
                (SlotKind::Qualify, gate, _) => {
                    let gate = gate.map_or("no gate".to_owned(), |gate| gate.to_string());
                    let message =
                        format!("a QUALIFY slot guards IQL, MQL or SQL and has no pool; found {gate}");
                    found.say(&format!("slots/{i}/gate"), message);
                }
                (SlotKind::Route, None, Some(pool)) if known.pools.contains(pool) => {}
                (SlotKind::Route, _, pool) => {
                    let pool = pool.as_deref().unwrap_or("no pool");
                    let message = format!("a ROUTE slot names a known pool and no gate; found {pool}");
                    found.say(&format!("slots/{i}/pool"), message);
                }
            }
        }
    }

    fn check_personas(&self, known: &Known, found: &mut Problems) {
        for (i, persona) in self.personas.iter().enumerate() {
            if !is_key(&persona.key) || self.personas[..i].iter().any(|other| other.key == persona.key) {
                let message = format!("{:?} is no key, or is used twice", persona.key);
                found.say(&format!("personas/{i}/key"), message);
            }
            for (j, part) in persona.traits.iter().enumerate() {
                let path = format!("personas/{i}/traits/{j}");
                if let Some(problem) = part.test.problem(&known.traits) {
                    found.say(&format!("{path}/test"), problem);
                }
                if !(1..=100).contains(&part.weight) {
                    found.say(
                        &format!("{path}/weight"),
                        format!("a weight is 1 to 100, found {}", part.weight),
                    );
                }
            }
        }
        for (i, test) in self.ideal_customer.iter().enumerate() {
            if let Some(problem) = test.problem(&known.traits) {
                found.say(&format!("idealCustomer/{i}"), problem);
            }
        }
    }

    fn check_reasons(&self, found: &mut Problems) {
        for (i, reason) in self.reasons.iter().enumerate() {
            if never_disqualifies(&reason.key) && reason.disqualify {
                let message = format!("{} never disqualifies: a drop is not a bad lead", reason.key);
                found.say(&format!("reasons/{i}/disqualify"), message);
            }
            if reason.key == "NO_CONTEXT" && !reason.returns_to_marketing {
                let message = "NO_CONTEXT returns to marketing, which owes the answer";
                found.say(&format!("reasons/{i}/returnsToMarketing"), message);
            }
            if self.reasons[..i].iter().any(|other| other.key == reason.key) {
                found.say(&format!("reasons/{i}/key"), format!("{} is listed twice", reason.key));
            }
        }
        for needed in NEEDED_REASONS {
            if !self.reasons.iter().any(|reason| reason.key == needed) {
                found.say("reasons", format!("{needed} is missing"));
            }
        }
    }

    fn check_clocks(&self, found: &mut Problems) {
        for (i, policy) in self.sla.iter().enumerate() {
            let path = format!("sla/{i}");
            if self.sla[..i].iter().any(|other| other.kind == policy.kind) {
                found.say(&format!("{path}/kind"), format!("{} is promised twice", policy.kind));
            }
            let problems = policy.problems().into_iter();
            found.0.extend(problems.map(|problem| problem.at(&path).at("input/body")));
        }
        for needed in NEEDED_CLOCKS.iter().filter(|kind| self.policy(**kind).is_none()) {
            found.say("sla", format!("{needed} is missing; without it leads are forgotten"));
        }
    }

    fn check_places(&self, known: &Known, found: &mut Problems) {
        let places = [("fallbackQueue", &self.fallback_queue), ("marketingQueue", &self.marketing_queue)];
        for (path, queue) in places {
            if !known.queues.contains(queue) {
                found.say(path, format!("no queue {queue:?}; create it first"));
            }
        }
    }

    fn check_commitments(&self, found: &mut Problems) {
        for party in [Party::Marketing, Party::Sales] {
            if !self.commitments.iter().any(|commitment| commitment.party == party) {
                found.say("commitments", format!("{party} commits to nothing; both parties must"));
            }
        }
    }
}
