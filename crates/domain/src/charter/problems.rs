//! What keeps a charter's body from being proposed: one check for each part, each problem with its path.

use super::{CharterBody, Known, SlotKind};
use crate::clock::{ClockKind, Party};
use crate::criterion::FieldTest;
use crate::disposition::never_disqualifies;
use crate::field::is_key;
use crate::icp::PLAIN;
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

/// Longest name and longest sentence, in characters, and the most entries of a list.
const NAME: usize = 256;
const SENTENCE: usize = 2_000;
const ENTRIES: usize = 500;
/// The most criteria of an ideal customer profile.
const CRITERIA: usize = 50;

struct Problems(Vec<Refused>);

impl Problems {
    fn say(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Refused::invalid(path, message).at("input/body"));
    }

    fn text(&mut self, path: &str, text: &str, most: usize) {
        let length = text.chars().count();
        if text.trim().is_empty() || length > most {
            self.say(path, format!("1 to {most} characters, found {length}"));
        }
    }

    fn list(&mut self, path: &str, length: usize) {
        if length > ENTRIES {
            self.say(path, format!("at most {ENTRIES} entries, found {length}"));
        }
    }

    /// Keys of a list are keys, and each stands there once.
    fn keys<'k>(&mut self, path: &str, part: &str, keys: impl Iterator<Item = &'k str> + Clone) {
        for (place, key) in keys.clone().enumerate() {
            if !is_key(key) || keys.clone().take(place).any(|other| other == key) {
                let shown: String = key.chars().take(80).collect();
                self.say(&format!("{path}/{place}{part}"), format!("{shown:?} is no key, or is used twice"));
            }
        }
    }
}

/// What personas and profiles are matched by is there before they are.
fn circular(test: &FieldTest) -> Option<String> {
    let later = ["icp.", "persona.", "verdict."].iter().any(|family| test.field.starts_with(family));
    later.then(|| format!("{} follows from what is matched here, or is known later", test.field))
}

impl CharterBody {
    /// Everything that keeps this body from being proposed.
    pub fn problems(&self, known: &Known) -> Vec<Refused> {
        let mut found = Problems(vec![]);
        self.check_head(&mut found);
        self.check_stages(known, &mut found);
        self.check_slots(known, &mut found);
        self.check_personas(known, &mut found);
        self.check_profiles(known, &mut found);
        self.check_reasons(&mut found);
        self.check_clocks(&mut found);
        self.check_places(known, &mut found);
        self.check_commitments(&mut found);
        found.0
    }

    fn check_head(&self, found: &mut Problems) {
        let length = self.title.chars().count();
        if self.title.trim().is_empty() || length > NAME {
            found.say("title", format!("a charter needs a title of 1 to {NAME} characters, found {length}"));
        }
        if !(1..=3_650).contains(&self.review_after_days) {
            found.say("reviewAfterDays", format!("1 to 3650 days, found {}", self.review_after_days));
        }
        for (path, length) in [
            ("slots", self.slots.len()),
            ("personas", self.personas.len()),
            ("reasons", self.reasons.len()),
            ("glossary", self.glossary.len()),
            ("responsibilities", self.responsibilities.len()),
            ("commitments", self.commitments.len()),
            ("highIntent", self.high_intent.len()),
            ("signals", self.signals.len()),
        ] {
            found.list(path, length);
        }
        found.keys("signals", "", self.signals.iter().map(String::as_str));
        for (i, term) in self.glossary.iter().enumerate() {
            for (part, text) in
                [("marketing", &term.marketing), ("sales", &term.sales), ("meaning", &term.meaning)]
            {
                found.text(&format!("glossary/{i}/{part}"), text, SENTENCE);
            }
        }
        found.keys("glossary", "/key", self.glossary.iter().map(|term| term.key.as_str()));
        for (i, line) in self.responsibilities.iter().enumerate() {
            found.text(&format!("responsibilities/{i}/activity"), &line.activity, SENTENCE);
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
            found.text(&format!("stages/{i}/label"), &stage.label, NAME);
            found.text(&format!("stages/{i}/meaning"), &stage.meaning, SENTENCE);
            for (part, criteria) in [("entry", &stage.entry), ("exit", &stage.exit)] {
                let keys = criteria.iter().map(|criterion| criterion.key.as_str());
                found.keys(&format!("stages/{i}/{part}"), "/key", keys);
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
            found.text(&format!("personas/{i}/name"), &persona.name, NAME);
            let keys = persona.traits.iter().map(|part| part.key.as_str());
            found.keys(&format!("personas/{i}/traits"), "/key", keys);
            for (j, part) in persona.traits.iter().enumerate() {
                let path = format!("personas/{i}/traits/{j}");
                if let Some(problem) = part.test.problem(&known.traits).or_else(|| circular(&part.test)) {
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
            if let Some(problem) = test.problem(&known.traits).or_else(|| circular(test)) {
                found.say(&format!("idealCustomer/{i}"), problem);
            }
        }
    }

    fn check_profiles(&self, known: &Known, found: &mut Problems) {
        found.list("idealProfiles", self.ideal_profiles.len());
        found.keys("idealProfiles", "/key", self.ideal_profiles.iter().map(|one| one.key.as_str()));
        for (i, profile) in self.ideal_profiles.iter().enumerate() {
            let path = format!("idealProfiles/{i}");
            if profile.key == PLAIN {
                let message =
                    format!("{PLAIN} is what the tests of idealCustomer are called; take another key");
                found.say(&format!("{path}/key"), message);
            }
            found.text(&format!("{path}/name"), &profile.name, NAME);
            let count = profile.criteria.len();
            if !(1..=CRITERIA).contains(&count) {
                found.say(&format!("{path}/criteria"), format!("1 to {CRITERIA} criteria, found {count}"));
            }
            let keys = profile.criteria.iter().map(|one| one.key.as_str());
            found.keys(&format!("{path}/criteria"), "/key", keys);
            for (j, one) in profile.criteria.iter().take(CRITERIA).enumerate() {
                let path = format!("{path}/criteria/{j}");
                if let Some(problem) = one.test.problem(&known.traits) {
                    found.say(&format!("{path}/test"), problem);
                }
                if let Some(problem) = circular(&one.test) {
                    found.say(&format!("{path}/test"), problem);
                }
                if !(1..=100).contains(&one.weight) {
                    let message = format!("a weight is 1 to 100, found {}", one.weight);
                    found.say(&format!("{path}/weight"), message);
                }
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
        for (i, commitment) in self.commitments.iter().enumerate() {
            found.text(&format!("commitments/{i}/metric"), &commitment.metric, NAME);
            if commitment.target.0 < 0 {
                let message = format!("a promise of 0 or more, found {}", commitment.target);
                found.say(&format!("commitments/{i}/target"), message);
            }
            if !(1..=3_650).contains(&commitment.window_days) {
                let message = format!("1 to 3650 days, found {}", commitment.window_days);
                found.say(&format!("commitments/{i}/windowDays"), message);
            }
        }
        for party in [Party::Marketing, Party::Sales] {
            if !self.commitments.iter().any(|commitment| commitment.party == party) {
                found.say("commitments", format!("{party} commits to nothing; both parties must"));
            }
        }
    }
}
