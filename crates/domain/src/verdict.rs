//! What a rule answers, checked by the host and freed of positions: codes and paths stand in their place.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::field::Value;
use crate::snapshot::OwnerState;
use crate::time::Instant;

/// Points lie in this range, whatever the rule.
pub const POINTS: std::ops::RangeInclusive<i32> = -1000..=1000;

/// What a qualification says of one lead at one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "graphql", derive(async_graphql::Enum))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The lead meets this gate.
    Advance,
    /// Not yet: the host looks again when a declared field changes, or at the review date.
    Hold,
    /// A grey case: both sides decide.
    Review,
    /// Back to nurture, with a disposition reason.
    Recycle,
    /// Out, with a disposition reason.
    Disqualify,
}

/// How the call of a rule ended. Only OK carries a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::Enum), graphql(name = "DecisionStatus"))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// A verdict.
    Ok,
    /// The rule itself said that it could not judge this lead.
    Fault,
    /// The rule trapped.
    Trapped,
    /// The rule recursed too deeply.
    Stack,
    /// The rule used up its fuel.
    OutOfFuel,
    /// The rule ran longer than its wall-clock limit.
    Timeout,
    /// The rule asked for more memory than it may have.
    Memory,
    /// The rule answered something that the contract does not allow.
    InvalidOutput,
    /// The rules host was at capacity.
    Busy,
}

/// Why: a code of the rule, what it weighed, and the field that it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// Code that the rule declared, for example `title-senior`.
    pub code: String,
    /// The code in words.
    pub label: String,
    /// Points that it added or took.
    pub weight: i32,
    /// Path of the field that it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A declared field that was unknown, and what it could be worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "MissingField"))]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Path of the field.
    pub field: String,
    /// Points that it could be worth.
    pub worth: i32,
}

/// The verdict of a qualifier on one lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What the rule says of the lead.
    pub outcome: Outcome,
    /// What is unclear, with REVIEW.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Key of the disposition reason, with RECYCLE and DISQUALIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// Fit score in points.
    pub fit: i32,
    /// Engagement score in points.
    pub engagement: i32,
    /// Basis points, 0 to 10000.
    pub confidence: u16,
    /// Why, strongest first.
    pub reasons: Vec<Reason>,
    /// Fields that were unknown.
    pub missing: Vec<Missing>,
    /// When the rule wants to look again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_at: Option<Instant>,
    /// Lines for the rule's author.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub trace: Vec<String>,
}

impl Verdict {
    pub fn digest(&self) -> Digest {
        Digest::of("verdict", 1, self)
    }
}

/// Where a router sends a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A person.
    Owner(Uuid),
    /// Key of a queue.
    Queue(String),
}

/// The answer of a router on one lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Who gets the lead.
    pub target: Target,
    /// Order in the work queue; higher is first.
    pub priority: i32,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Lines for the rule's author.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub trace: Vec<String>,
}

impl Assignment {
    pub fn digest(&self) -> Digest {
        Digest::of("assignment", 1, self)
    }
}

/// Everything that a verdict may depend on; its digest beside the version's digest is the replay key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Input<'a> {
    pub as_of: Instant,
    pub charter: u32,
    pub settings: Digest,
    /// The declared fields that are known, in the order of the declaration.
    pub fields: Vec<(&'a str, &'a Value)>,
    #[serde(skip_serializing_if = "<[OwnerState]>::is_empty")]
    pub owners: &'a [OwnerState],
}

impl Input<'_> {
    pub fn digest(&self) -> Digest {
        Digest::of("input", 1, self)
    }
}
