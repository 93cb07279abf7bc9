//! The charter: what the words mean, agreed by marketing and sales over one digest. Charter 0 serves, unsigned, until
//! the first one is activated.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{ClockKind, Party, SlaPolicy};
use crate::criterion::{Criterion, FieldTest};
use crate::digest::Digest;
use crate::disposition::{AttemptRule, DispositionReason, default_reasons};
use crate::evaluation::Composition;
use crate::field::{TraitKinds, is_key};
use crate::persona::Persona;
use crate::refused::{RefusalCode, Refused};
use crate::stage::{Side, StageKind};
use crate::text::text_enum;
use crate::time::Instant;

text_enum! {
    pub enum CharterStatus {
        Proposed = "PROPOSED",
        /// Marketing and sales signed the same digest.
        Signed = "SIGNED",
        /// In force. Exactly one charter is.
        Active = "ACTIVE",
        Superseded = "SUPERSEDED",
        Rejected = "REJECTED",
    }
}

text_enum! {
    /// What a rule slot is asked.
    pub enum SlotKind {
        /// Does the lead meet the gate?
        Qualify = "QUALIFY",
        /// Who works the lead?
        Route = "ROUTE",
    }
}

/// A stage of the funnel, in the charter's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "StageDefinition", input_name = "StageDefinitionInput")
)]
#[serde(rename_all = "camelCase")]
pub struct StageDefinition {
    pub kind: StageKind,
    pub label: String,
    /// What the stage means, in a sentence that both sides signed.
    pub meaning: String,
    pub owner: Party,
    /// What must hold for a lead to enter.
    pub entry: Vec<Criterion>,
    /// What should hold before a lead leaves; recorded, never enforced.
    pub exit: Vec<Criterion>,
    /// How several rules at this gate become one result.
    pub composition: Composition,
}

/// The stable place where a team's rule plugs into the funnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "RuleSlotDefinition", input_name = "RuleSlotInput")
)]
#[serde(rename_all = "camelCase")]
pub struct RuleSlot {
    pub key: String,
    pub kind: SlotKind,
    /// The stage that the slot guards, for QUALIFY.
    pub gate: Option<StageKind>,
    /// Key of the team that deploys to it.
    pub team: String,
    /// Order among the slots of a gate; lower is asked first.
    pub position: u32,
    /// Whether the lead's fit and engagement come from this slot.
    pub scoring: bool,
    /// Key of the pool that a ROUTE slot distributes to.
    pub pool: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "GlossaryTerm", input_name = "GlossaryTermInput")
)]
#[serde(rename_all = "camelCase")]
pub struct GlossaryTerm {
    pub key: String,
    pub marketing: String,
    pub sales: String,
    pub meaning: String,
}

/// Who does what, in the columns of a RACI table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "Responsibility", input_name = "ResponsibilityInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Responsibility {
    pub stage: StageKind,
    pub activity: String,
    pub responsible: String,
    pub accountable: String,
    pub consulted: Vec<String>,
    pub informed: Vec<String>,
}

/// What one party promises the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "Commitment", input_name = "CommitmentInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Commitment {
    pub party: Party,
    /// For example `MQL_PER_MONTH`, `SAL_RATE`, `FIRST_TOUCH_IN_TIME`.
    pub metric: String,
    pub target: i32,
    /// Unit of the target: count, basis points, minor units.
    pub unit: String,
    pub window_days: u32,
    pub weight: u32,
}

/// Everything that the two sides sign. Its digest is what a signature covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "CharterBody", input_name = "CharterBodyInput")
)]
#[serde(rename_all = "camelCase")]
pub struct CharterBody {
    pub title: String,
    /// ISO 4217; every amount of the workspace is in it.
    pub currency: String,
    /// IANA name; days and cohorts follow it.
    pub time_zone: String,
    pub stages: Vec<StageDefinition>,
    pub slots: Vec<RuleSlot>,
    pub personas: Vec<Persona>,
    /// The ideal customer profile.
    pub ideal_customer: Vec<FieldTest>,
    pub reasons: Vec<DispositionReason>,
    pub attempts: AttemptRule,
    pub sla: Vec<SlaPolicy>,
    pub glossary: Vec<GlossaryTerm>,
    pub responsibilities: Vec<Responsibility>,
    pub commitments: Vec<Commitment>,
    /// Queue that owns a lead when nobody is available.
    pub fallback_queue: String,
    /// Queue that owns a hand-off which sales returned for want of context.
    pub marketing_queue: String,
    /// A lead that a rule holds is looked at again after this many days at the latest.
    pub max_hold_days: u32,
    /// Content or touch kinds that trigger an evaluation at once, for example `demo-request`.
    pub high_intent: Vec<String>,
    /// Signals that can bring a recycled lead back, for example `feature-sso-released`.
    pub signals: Vec<String>,
    pub review_after_days: u32,
}

/// One person's signature over one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    pub user: Uuid,
    pub side: Side,
    pub digest: Digest,
    pub at: Instant,
    pub comment: Option<String>,
}

/// A charter and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charter {
    pub number: u32,
    pub digest: Digest,
    pub status: CharterStatus,
    pub body: CharterBody,
    pub signatures: Vec<Signature>,
    pub proposed_by: Option<Uuid>,
    pub proposed_at: Instant,
    pub activated_at: Option<Instant>,
}

/// What the workspace knows besides the charter, as far as a charter must agree with it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub teams: Vec<String>,
    pub queues: Vec<String>,
    pub pools: Vec<String>,
    pub traits: TraitKinds,
}

impl CharterBody {
    pub fn digest(&self) -> Digest {
        Digest::of("charter", 1, self)
    }

    pub fn stage(&self, kind: StageKind) -> Option<&StageDefinition> {
        self.stages.iter().find(|stage| stage.kind == kind)
    }

    /// QUALIFY slots at a gate, in the order of their positions.
    pub fn slots_of(&self, gate: StageKind) -> impl Iterator<Item = &RuleSlot> {
        let mut slots: Vec<&RuleSlot> =
            self.slots.iter().filter(|slot| slot.kind == SlotKind::Qualify && slot.gate == Some(gate)).collect();
        slots.sort_by_key(|slot| slot.position);
        slots.into_iter()
    }

    pub fn route_slot(&self) -> Option<&RuleSlot> {
        self.slots.iter().filter(|slot| slot.kind == SlotKind::Route).min_by_key(|slot| slot.position)
    }

    pub fn reason(&self, key: &str) -> Result<&DispositionReason, Refused> {
        self.reasons.iter().find(|reason| reason.key == key).ok_or_else(|| {
            let known: Vec<&str> = self.reasons.iter().map(|reason| reason.key.as_str()).collect();
            Refused::invalid("input/reason", format!("no reason {key:?} in the charter; it has {}", known.join(", ")))
        })
    }

    pub fn policy(&self, kind: ClockKind) -> Option<&SlaPolicy> {
        self.sla.iter().find(|policy| policy.kind == kind)
    }

    /// Everything that keeps this body from being proposed.
    pub fn problems(&self, known: &Known) -> Vec<Refused> {
        let mut found = vec![];
        let mut say = |path: String, message: String| found.push(Refused::invalid(&format!("input/body/{path}"), message));
        if self.time_zone.parse::<chrono_tz::Tz>().is_err() {
            say("timeZone".into(), format!("{:?} is no IANA time zone, for example Europe/Berlin", self.time_zone));
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|c| c.is_ascii_uppercase()) {
            say("currency".into(), format!("{:?} is no ISO 4217 code, for example EUR", self.currency));
        }
        for (i, pair) in self.stages.windows(2).enumerate() {
            if pair[0].kind >= pair[1].kind {
                say(format!("stages/{}", i + 1), format!("{} must not follow {}", pair[1].kind, pair[0].kind));
            }
        }
        for kind in [StageKind::Inquiry, StageKind::Mql, StageKind::Sal, StageKind::Sql, StageKind::Opportunity, StageKind::Customer] {
            if self.stage(kind).is_none() {
                say("stages".into(), format!("{kind} is not defined"));
            }
        }
        for (i, stage) in self.stages.iter().enumerate() {
            for (part, criteria) in [("entry", &stage.entry), ("exit", &stage.exit)] {
                for (j, criterion) in criteria.iter().enumerate() {
                    let path = format!("stages/{i}/{part}/{j}");
                    if criterion.test.is_none() && criterion.reason_code.is_none() {
                        say(path.clone(), "a criterion needs a test or a reason code".into());
                    }
                    if let Some(problem) = criterion.test.as_ref().and_then(|test| test.problem(&known.traits)) {
                        say(format!("{path}/test"), problem);
                    }
                }
            }
        }
        for (i, slot) in self.slots.iter().enumerate() {
            if !is_key(&slot.key) || self.slots[..i].iter().any(|other| other.key == slot.key) {
                say(format!("slots/{i}/key"), format!("{:?} is no key, or is used twice", slot.key));
            }
            if !known.teams.contains(&slot.team) {
                say(format!("slots/{i}/team"), format!("no team {:?}; create it first", slot.team));
            }
            match (slot.kind, slot.gate, &slot.pool) {
                (SlotKind::Qualify, Some(StageKind::Iql | StageKind::Mql), None) => {}
                (SlotKind::Qualify, Some(StageKind::Sql), None) => {}
                (SlotKind::Qualify, gate, _) => {
                    let gate = gate.map_or("no gate".to_owned(), |gate| gate.to_string());
                    say(format!("slots/{i}/gate"), format!("a QUALIFY slot guards IQL, MQL or SQL and has no pool; found {gate}"));
                }
                (SlotKind::Route, None, Some(pool)) if known.pools.contains(pool) => {}
                (SlotKind::Route, _, pool) => {
                    say(format!("slots/{i}/pool"), format!("a ROUTE slot names a known pool and no gate; found {pool:?}"));
                }
            }
        }
        for (i, persona) in self.personas.iter().enumerate() {
            for (j, part) in persona.traits.iter().enumerate() {
                if let Some(problem) = part.test.problem(&known.traits) {
                    say(format!("personas/{i}/traits/{j}/test"), problem);
                }
                if !(1..=100).contains(&part.weight) {
                    say(format!("personas/{i}/traits/{j}/weight"), format!("a weight is 1 to 100, found {}", part.weight));
                }
            }
        }
        for (i, test) in self.ideal_customer.iter().enumerate() {
            if let Some(problem) = test.problem(&known.traits) {
                say(format!("idealCustomer/{i}"), problem);
            }
        }
        for (i, reason) in self.reasons.iter().enumerate() {
            if matches!(reason.key.as_str(), "NO_BUDGET" | "NO_TIMELINE") && reason.disqualify {
                say(format!("reasons/{i}/disqualify"), format!("{} never disqualifies: a drop is not a bad lead", reason.key));
            }
            if self.reasons[..i].iter().any(|other| other.key == reason.key) {
                say(format!("reasons/{i}/key"), format!("{} is listed twice", reason.key));
            }
        }
        for needed in ["NO_BUDGET", "NO_TIMELINE", "NO_CONTEXT"] {
            if !self.reasons.iter().any(|reason| reason.key == needed) {
                say("reasons".into(), format!("{needed} is missing"));
            }
        }
        for (i, policy) in self.sla.iter().enumerate() {
            found.extend(policy.problems().into_iter().map(|problem| problem.at(&format!("input/body/sla/{i}"))));
        }
        let mut say = |path: String, message: String| found.push(Refused::invalid(&format!("input/body/{path}"), message));
        for (path, queue) in [("fallbackQueue", &self.fallback_queue), ("marketingQueue", &self.marketing_queue)] {
            if !known.queues.contains(queue) {
                say(path.into(), format!("no queue {queue:?}; create it first"));
            }
        }
        if !(1..=365).contains(&self.max_hold_days) {
            say("maxHoldDays".into(), format!("1 to 365 days, found {}", self.max_hold_days));
        }
        for party in [Party::Marketing, Party::Sales] {
            if !self.commitments.iter().any(|commitment| commitment.party == party) {
                say("commitments".into(), format!("{party} commits to nothing; both parties must"));
            }
        }
        found
    }

    /// Charter 0: unsigned defaults, so that a funnel lives before anyone has signed.
    pub fn unsigned(currency: &str, time_zone: &str) -> CharterBody {
        let stage = |kind: StageKind, label: &str, owner: Party, meaning: &str| StageDefinition {
            kind,
            label: label.to_owned(),
            meaning: meaning.to_owned(),
            owner,
            entry: vec![],
            exit: vec![],
            composition: Composition::All,
        };
        let slot = |key: &str, kind: SlotKind, gate: Option<StageKind>, team: &str, pool: Option<&str>| RuleSlot {
            key: key.to_owned(),
            kind,
            gate,
            team: team.to_owned(),
            position: 1,
            scoring: kind == SlotKind::Qualify,
            pool: pool.map(str::to_owned),
        };
        use Party::{Marketing, Sales};
        CharterBody {
            title: "Charter 0: defaults that nobody signed".into(),
            currency: currency.into(),
            time_zone: time_zone.into(),
            stages: vec![
                stage(StageKind::Anonymous, "Visitor", Marketing, "Came by, without a name."),
                stage(StageKind::Inquiry, "Inquiry", Marketing, "Left a name and a way to answer."),
                stage(StageKind::Iql, "Information qualified", Marketing, "Wants to learn and fits at first sight."),
                stage(StageKind::Mql, "Marketing qualified", Marketing, "Marketing says that sales should talk to it."),
                stage(StageKind::Sal, "Sales accepted", Sales, "A person in sales took it on."),
                stage(StageKind::Sql, "Sales qualified", Sales, "Sales talked with the buyer and confirms the need."),
                stage(StageKind::Opportunity, "Opportunity", Sales, "A deal with an amount is open."),
                stage(StageKind::Customer, "Customer", Sales, "The deal was won."),
                stage(StageKind::Advocate, "Advocate", Marketing, "Brings others."),
            ],
            slots: vec![
                slot("mql", SlotKind::Qualify, Some(StageKind::Mql), "marketing", None),
                slot("routing", SlotKind::Route, None, "sales", Some("sales")),
            ],
            personas: vec![],
            ideal_customer: vec![],
            reasons: default_reasons(),
            attempts: AttemptRule::default(),
            sla: SlaPolicy::defaults(),
            glossary: vec![],
            responsibilities: vec![],
            commitments: vec![],
            fallback_queue: "fallback".into(),
            marketing_queue: "marketing".into(),
            max_hold_days: 30,
            high_intent: vec!["demo-request".into(), "pricing".into()],
            signals: vec![],
            review_after_days: 90,
        }
    }
}

impl Charter {
    pub fn unsigned(&self) -> bool {
        self.number == 0
    }

    pub fn propose(number: u32, body: CharterBody, by: Uuid, known: &Known, now: Instant) -> Result<Charter, Vec<Refused>> {
        let problems = body.problems(known);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (digest, status, proposed_by) = (body.digest(), CharterStatus::Proposed, Some(by));
        Ok(Charter { number, digest, status, body, signatures: vec![], proposed_by, proposed_at: now, activated_at: None })
    }

    /// A signature counts for the digest that the person saw; marketing and sales together make the charter SIGNED.
    pub fn sign(&mut self, signature: Signature) -> Result<(), Refused> {
        if !matches!(self.status, CharterStatus::Proposed | CharterStatus::Signed) {
            let message = format!("charter {} is {}; only a proposed charter can be signed", self.number, self.status);
            return Err(Refused::new(RefusalCode::CharterState, message));
        }
        if signature.digest != self.digest {
            let message = format!("you signed another text: the digest of charter {} is {}", self.number, self.digest);
            return Err(Refused::invalid("input/digest", message));
        }
        if !matches!(signature.side, Side::Marketing | Side::Sales) {
            let message = format!("only MARKETING and SALES sign; your side is {}", signature.side);
            return Err(Refused::new(RefusalCode::Forbidden, message));
        }
        if self.signatures.iter().any(|given| given.user == signature.user) {
            return Err(Refused::new(RefusalCode::AlreadyExists, "you have signed this charter already"));
        }
        self.signatures.push(signature);
        if self.has_both_sides() {
            self.status = CharterStatus::Signed;
        }
        Ok(())
    }

    /// Forward needs both signatures; back to a charter that was signed by both needs nothing more.
    pub fn activate(&mut self, now: Instant) -> Result<(), Refused> {
        let signed = self.status == CharterStatus::Signed
            || (self.status == CharterStatus::Superseded && (self.has_both_sides() || self.unsigned()));
        if !signed {
            let lacking: Vec<&str> = [Side::Marketing, Side::Sales]
                .iter()
                .filter(|side| !self.signatures.iter().any(|signature| signature.side == **side))
                .map(|side| side.as_str())
                .collect();
            let lacking = if lacking.is_empty() { "nothing".to_owned() } else { lacking.join(" and ") };
            let message = format!("charter {} is {} and lacks the signature of {lacking}", self.number, self.status);
            return Err(Refused::new(RefusalCode::CharterState, message));
        }
        self.status = CharterStatus::Active;
        self.activated_at = Some(now);
        Ok(())
    }

    fn has_both_sides(&self) -> bool {
        let has = |side: Side| self.signatures.iter().any(|signature| signature.side == side);
        has(Side::Marketing) && has(Side::Sales)
    }
}
