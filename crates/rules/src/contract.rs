//! `handfast:rules@1.0.0` as the host sees it: what is lowered into a guest borrows, what is lifted out of it owns.
//!
//! The types mirror `schema/wit/`; wasmtime compares them with the guest's at every call.

use handfast_domain::field;
use wasmtime::component::{ComponentType, Lift, Lower};

pub const TYPES: &str = "handfast:rules/types@1.0.0";
pub const META: &str = "handfast:rules/meta@1.0.0";
pub const QUALIFY: &str = "handfast:rules/qualify@1.0.0";
pub const ROUTE: &str = "handfast:rules/route@1.0.0";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Kind {
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "integer")]
    Integer,
    #[component(name = "text")]
    Text,
    #[component(name = "integer-list")]
    IntegerList,
    #[component(name = "text-list")]
    TextList,
}

impl From<Kind> for field::Kind {
    fn from(kind: Kind) -> field::Kind {
        match kind {
            Kind::Boolean => field::Kind::Boolean,
            Kind::Integer => field::Kind::Integer,
            Kind::Text => field::Kind::Text,
            Kind::IntegerList => field::Kind::IntegerList,
            Kind::TextList => field::Kind::TextList,
        }
    }
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Texts<'a> {
    pub distinct: &'a [&'a str],
    pub index: &'a [u32],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct IntegerLists<'a> {
    pub values: &'a [i64],
    pub ends: &'a [u32],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct TextLists<'a> {
    pub distinct: &'a [&'a str],
    pub index: &'a [u32],
    pub ends: &'a [u32],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub enum Column<'a> {
    #[component(name = "booleans")]
    Booleans(&'a [Option<bool>]),
    #[component(name = "integers")]
    Integers(&'a [Option<i64>]),
    #[component(name = "texts")]
    Texts(Texts<'a>),
    #[component(name = "integer-lists")]
    IntegerLists(IntegerLists<'a>),
    #[component(name = "text-lists")]
    TextLists(TextLists<'a>),
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Context {
    #[component(name = "as-of")]
    pub as_of: i64,
    pub charter: u32,
    pub explain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Reason {
    pub code: u16,
    pub weight: i32,
    pub field: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Missing {
    pub field: u16,
    pub worth: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub enum Outcome {
    #[component(name = "advance")]
    Advance,
    #[component(name = "hold")]
    Hold,
    #[component(name = "review")]
    Review(String),
    #[component(name = "recycle")]
    Recycle(String),
    #[component(name = "disqualify")]
    Disqualify(String),
    #[component(name = "fault")]
    Fault(String),
}

#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Verdict {
    pub outcome: Outcome,
    pub fit: i32,
    pub engagement: i32,
    pub confidence: u16,
    pub reasons: Vec<Reason>,
    pub missing: Vec<Missing>,
    #[component(name = "review-at")]
    pub review_at: Option<i64>,
    pub trace: Vec<String>,
}

#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub struct Owner<'a> {
    pub id: String,
    pub team: &'a str,
    pub territories: &'a [String],
    pub available: bool,
    #[component(name = "open-leads")]
    pub open_leads: u32,
    pub capacity: u32,
    pub weight: u32,
    pub assigned: u64,
    #[component(name = "last-assigned")]
    pub last_assigned: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub enum Target {
    #[component(name = "owner")]
    Owner(String),
    #[component(name = "queue")]
    Queue(String),
    #[component(name = "fault")]
    Fault(String),
}

#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Assignment {
    pub target: Target,
    pub priority: i32,
    pub reasons: Vec<Reason>,
    pub trace: Vec<String>,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub struct SettingsProblem {
    pub pointer: String,
    pub message: String,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub struct CodeInfo {
    pub code: String,
    pub label: String,
    pub description: String,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub struct Field {
    pub path: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub struct Descriptor {
    pub name: String,
    pub version: String,
    pub summary: String,
    #[component(name = "settings-schema")]
    pub settings_schema: String,
    #[component(name = "reason-codes")]
    pub reason_codes: Vec<CodeInfo>,
    pub reads: Vec<Field>,
}
