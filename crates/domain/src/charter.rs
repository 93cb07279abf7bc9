//! The charter: what the words mean, agreed by marketing and sales over one digest. Charter 0 serves, unsigned, until
//! the first one is activated.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{CalendarMode, ClockKind, Party, SlaPolicy};
use crate::criterion::{Criterion, FieldTest};
use crate::deployment::ApprovalRule;
use crate::digest::Digest;
use crate::directory::Directory;
use crate::disposition::{AttemptRule, DispositionReason, default_reasons};
use crate::evaluation::Composition;
use crate::field::TraitKinds;
use crate::icp::IdealCustomerProfile;
use crate::number::Long;
use crate::persona::Persona;
use crate::refused::{RefusalCode, Refused};
use crate::stage::{Side, StageKind};
use crate::text::text_enum;
use crate::time::{DAY, Instant};

pub mod diff;
pub mod document;
mod problems;
pub mod review;
pub mod words;

text_enum! {
    /// Where a charter stands.
    pub enum CharterStatus {
        /// Open for signatures.
        Proposed = "PROPOSED",
        /// Marketing and sales signed the same digest.
        Signed = "SIGNED",
        /// In force. Exactly one charter is.
        Active = "ACTIVE",
        /// Was in force, until another one was activated.
        Superseded = "SUPERSEDED",
        /// A side said no.
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
    /// The fixed kind that the stage stands for.
    pub kind: StageKind,
    /// Name of the stage in this company.
    pub label: String,
    /// What the stage means, in a sentence that both sides signed.
    pub meaning: String,
    /// Party that works leads at this stage.
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
    /// Key of the slot, unique in the charter.
    pub key: String,
    /// What the slot is asked.
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
    /// Who has to agree before a version's verdicts count here. Going back needs nobody.
    #[serde(default, skip_serializing_if = "ApprovalRule::is_none")]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub approval: ApprovalRule,
}

/// A word that the two sides use differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "GlossaryTerm", input_name = "GlossaryTermInput")
)]
#[serde(rename_all = "camelCase")]
pub struct GlossaryTerm {
    /// Key of the term.
    pub key: String,
    /// What marketing calls it.
    pub marketing: String,
    /// What sales calls it.
    pub sales: String,
    /// What both agreed that it means.
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
    /// Stage that the activity belongs to.
    pub stage: StageKind,
    /// What is done.
    pub activity: String,
    /// Who does it.
    pub responsible: String,
    /// Who answers for it.
    pub accountable: String,
    /// Who is asked before.
    pub consulted: Vec<String>,
    /// Who is told afterwards.
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
    /// Who promises.
    pub party: Party,
    /// For example `MQL_PER_MONTH`, `SAL_RATE`, `FIRST_TOUCH_IN_TIME`.
    pub metric: String,
    /// Amount that is promised, in the unit.
    pub target: Long,
    /// Unit of the target: count, basis points, minor units.
    pub unit: String,
    /// Days over which the metric is measured.
    pub window_days: u32,
    /// How much it counts among the party's commitments.
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
    /// Name of this version, for people.
    pub title: String,
    /// ISO 4217; every amount of the workspace is in it.
    pub currency: String,
    /// IANA name; days and cohorts follow it.
    pub time_zone: String,
    /// The funnel, in order.
    pub stages: Vec<StageDefinition>,
    /// Where rules plug in.
    pub slots: Vec<RuleSlot>,
    /// Typical buyers.
    pub personas: Vec<Persona>,
    /// The ideal customer profile.
    pub ideal_customer: Vec<FieldTest>,
    /// Kinds of customers that both sides want to win, each with weighted criteria; beside the plain tests above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub ideal_profiles: Vec<IdealCustomerProfile>,
    /// Disposition reasons and what each of them allows.
    pub reasons: Vec<DispositionReason>,
    /// How much sales tries before NO_RESPONSE is accepted.
    pub attempts: AttemptRule,
    /// Promises with a due time, at most one of each kind.
    pub sla: Vec<SlaPolicy>,
    /// Words that the two sides use differently.
    pub glossary: Vec<GlossaryTerm>,
    /// Who does what at each stage.
    pub responsibilities: Vec<Responsibility>,
    /// What each party promises the other; both promise something.
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
    /// Days until the charter is due for review.
    pub review_after_days: u32,
}

/// One person's signature over one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Who signed.
    pub user: Uuid,
    /// For which side.
    pub side: Side,
    /// The text that was signed.
    pub digest: Digest,
    /// When.
    pub at: Instant,
    /// What the signer had to say.
    pub comment: Option<String>,
}

/// Why a side said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Who said it.
    pub user: Uuid,
    /// For which side.
    pub side: Side,
    /// When.
    pub at: Instant,
    /// What has to change, in the person's words.
    pub reason: String,
}

/// A charter and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charter {
    /// 0 is the unsigned default; the others count from 1.
    pub number: u32,
    /// Digest of the body, which is what people sign.
    pub digest: Digest,
    /// Where it stands.
    pub status: CharterStatus,
    /// The text.
    pub body: CharterBody,
    /// Who signed it, in order.
    pub signatures: Vec<Signature>,
    /// Who proposed it; nobody did with charter 0.
    pub proposed_by: Option<Uuid>,
    /// When it was proposed.
    pub proposed_at: Instant,
    /// When it last came into force.
    pub activated_at: Option<Instant>,
    /// When everybody who promised it had gone through it for the last time, since it came into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed_at: Option<Instant>,
    /// Why it was rejected, if it was.
    pub rejection: Option<Rejection>,
}

/// What the workspace knows besides the charter, as far as a charter must agree with it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Keys of the teams.
    pub teams: Vec<String>,
    /// Keys of the queues.
    pub queues: Vec<String>,
    /// Keys of the pools.
    pub pools: Vec<String>,
    /// Traits that rules may read: key to kind.
    pub traits: TraitKinds,
}

impl Known {
    pub fn of(directory: &Directory, traits: TraitKinds) -> Known {
        Known {
            teams: directory.teams.iter().map(|team| team.key.clone()).collect(),
            queues: directory.queues.iter().map(|queue| queue.key.clone()).collect(),
            pools: directory.pools.iter().map(|pool| pool.key.clone()).collect(),
            traits,
        }
    }
}

impl CharterBody {
    /// Milliseconds after which it is due for review, as [`Charter::review_due_at`] says.
    pub fn review_after(&self) -> i64 {
        let policy = self.policy(ClockKind::CharterReview);
        let promised = policy.filter(|policy| policy.mode == CalendarMode::WallClock);
        let promised = promised.map_or(i64::MAX, |policy| policy.target_ms(false));
        promised.min(i64::from(self.review_after_days) * DAY)
    }

    pub fn digest(&self) -> Digest {
        Digest::of("charter", 1, self)
    }

    pub fn stage(&self, kind: StageKind) -> Option<&StageDefinition> {
        self.stages.iter().find(|stage| stage.kind == kind)
    }

    /// QUALIFY slots at a gate, in the order of their positions.
    pub fn slots_of(&self, gate: StageKind) -> impl Iterator<Item = &RuleSlot> {
        let mut slots: Vec<&RuleSlot> = self
            .slots
            .iter()
            .filter(|slot| slot.kind == SlotKind::Qualify && slot.gate == Some(gate))
            .collect();
        slots.sort_by_key(|slot| slot.position);
        slots.into_iter()
    }

    pub fn route_slot(&self) -> Option<&RuleSlot> {
        self.slots.iter().filter(|slot| slot.kind == SlotKind::Route).min_by_key(|slot| slot.position)
    }

    pub fn reason(&self, key: &str) -> Result<&DispositionReason, Refused> {
        self.reasons.iter().find(|reason| reason.key == key).ok_or_else(|| {
            let known: Vec<&str> = self.reasons.iter().map(|reason| reason.key.as_str()).collect();
            Refused::invalid(
                "input/reason",
                format!("no reason {key:?} in the charter; it has {}", known.join(", ")),
            )
        })
    }

    pub fn policy(&self, kind: ClockKind) -> Option<&SlaPolicy> {
        self.sla.iter().find(|policy| policy.kind == kind)
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
        let slot =
            |key: &str, kind: SlotKind, gate: Option<StageKind>, team: &str, pool: Option<&str>| RuleSlot {
                key: key.to_owned(),
                kind,
                gate,
                team: team.to_owned(),
                position: 1,
                scoring: kind == SlotKind::Qualify,
                pool: pool.map(str::to_owned),
                approval: ApprovalRule::None,
            };
        use Party::{Marketing, Sales};
        CharterBody {
            title: "Charter 0: defaults that nobody signed".into(),
            currency: currency.into(),
            time_zone: time_zone.into(),
            stages: vec![
                stage(StageKind::Anonymous, "Visitor", Marketing, "Came by, without a name."),
                stage(StageKind::Inquiry, "Inquiry", Marketing, "Left a name and a way to answer."),
                stage(
                    StageKind::Iql,
                    "Information qualified",
                    Marketing,
                    "Wants to learn and fits at first sight.",
                ),
                stage(
                    StageKind::Mql,
                    "Marketing qualified",
                    Marketing,
                    "Marketing says that sales should talk to it.",
                ),
                stage(StageKind::Sal, "Sales accepted", Sales, "A person in sales took it on."),
                stage(
                    StageKind::Sql,
                    "Sales qualified",
                    Sales,
                    "Sales talked with the buyer and confirms the need.",
                ),
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
            ideal_profiles: vec![],
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

    pub fn propose(
        number: u32,
        body: CharterBody,
        by: Uuid,
        known: &Known,
        now: Instant,
    ) -> Result<Charter, Vec<Refused>> {
        let problems = body.problems(known);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (digest, status, proposed_by) = (body.digest(), CharterStatus::Proposed, Some(by));
        Ok(Charter {
            number,
            digest,
            status,
            body,
            signatures: vec![],
            proposed_by,
            proposed_at: now,
            activated_at: None,
            reviewed_at: None,
            rejection: None,
        })
    }

    /// A signature counts for the digest that the person saw; marketing and sales together make the charter SIGNED.
    pub fn sign(&mut self, signature: Signature) -> Result<(), Refused> {
        if !matches!(self.status, CharterStatus::Proposed | CharterStatus::Signed) {
            let message =
                format!("charter {} is {}; only a proposed charter can be signed", self.number, self.status);
            return Err(Refused::new(RefusalCode::CharterState, message));
        }
        if signature.digest != self.digest {
            let message =
                format!("you signed another text: the digest of charter {} is {}", self.number, self.digest);
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

    /// Either side can block a charter that is not in force yet, even after it has signed.
    pub fn reject(&mut self, rejection: Rejection) -> Result<(), Refused> {
        if !matches!(self.status, CharterStatus::Proposed | CharterStatus::Signed) {
            let message = format!(
                "charter {} is {}; only one that is not in force yet can be rejected",
                self.number, self.status
            );
            return Err(Refused::new(RefusalCode::CharterState, message));
        }
        if !matches!(rejection.side, Side::Marketing | Side::Sales) {
            let message = format!("only MARKETING and SALES reject; your side is {}", rejection.side);
            return Err(Refused::new(RefusalCode::Forbidden, message));
        }
        self.status = CharterStatus::Rejected;
        self.rejection = Some(rejection);
        Ok(())
    }

    /// Forward needs both signatures; back to a charter that was signed by both needs nothing more. Nothing leads back to
    /// charter 0, which nobody signed.
    pub fn activate(&mut self, now: Instant) -> Result<(), Refused> {
        let signed = match self.status {
            CharterStatus::Signed => true,
            CharterStatus::Superseded => self.has_both_sides(),
            CharterStatus::Proposed | CharterStatus::Active | CharterStatus::Rejected => false,
        };
        if !signed {
            let lacks = |side: &&Side| !self.signatures.iter().any(|signature| signature.side == **side);
            let sides = [Side::Marketing, Side::Sales];
            let lacking: Vec<&str> = sides.iter().filter(lacks).map(|side| side.as_str()).collect();
            let why = match (self.status, lacking.as_slice()) {
                (CharterStatus::Proposed | CharterStatus::Superseded, [_, ..]) => {
                    format!("it lacks the signature of {}", lacking.join(" and "))
                }
                _ => "only a signed one, or one that was in force before, can be activated".to_owned(),
            };
            let message = format!("charter {} is {}; {why}", self.number, self.status);
            return Err(Refused::new(RefusalCode::CharterState, message));
        }
        self.status = CharterStatus::Active;
        (self.activated_at, self.reviewed_at) = (Some(now), None);
        Ok(())
    }

    /// People say that they read the charter in force, and no other.
    pub fn acknowledge(&self) -> Result<(), Refused> {
        if self.status == CharterStatus::Active {
            return Ok(());
        }
        let (number, status) = (self.number, self.status);
        let message = format!("charter {number} is {status}; only the charter in force can be acknowledged");
        Err(Refused::new(RefusalCode::CharterState, message))
    }

    /// When the charter in force is due for review: so many days after it came into force, or was reviewed last, as it says; or
    /// earlier, where the policy CHARTER_REVIEW promises less of the wall clock. Both were signed.
    pub fn review_due_at(&self) -> Option<Instant> {
        let since =
            self.activated_at.max(self.reviewed_at).filter(|_| self.status == CharterStatus::Active)?;
        Some(since.plus(self.body.review_after()))
    }

    /// Whether marketing and sales signed it.
    pub fn has_both_sides(&self) -> bool {
        let has = |side: Side| self.signatures.iter().any(|signature| signature.side == side);
        has(Side::Marketing) && has(Side::Sales)
    }
}
