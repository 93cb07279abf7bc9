//! The types of `handfast:rules/types@1.0.0` as plain Rust, with the few helpers that make a verdict short to write.
//!
//! The bindings that `export_qualifier!` and `export_router!` generate map the contract's types to these, one by one: a
//! shape that drifts from `rules.wit` does not compile.

/// The kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    Boolean,
    Integer,
    Text,
    IntegerList,
    TextList,
}

/// A field of the host's catalogue that the rule reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub path: String,
    pub kind: Kind,
}

impl Field {
    pub fn new(path: &str, kind: Kind) -> Field {
        Field { path: path.to_owned(), kind }
    }
}

/// Text by dictionary: index 0 is unknown, k is `distinct[k - 1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    pub distinct: Vec<String>,
    pub index: Vec<u32>,
}

/// For each lead the end of its values; they start where the lead before it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegerLists {
    pub values: Vec<i64>,
    pub ends: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextLists {
    pub distinct: Vec<String>,
    pub index: Vec<u32>,
    pub ends: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    Booleans(Vec<Option<bool>>),
    Integers(Vec<Option<i64>>),
    Texts(Texts),
    IntegerLists(IntegerLists),
    TextLists(TextLists),
}

/// "Now", the charter in force, and whether the trace is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub as_of: i64,
    pub charter: u32,
    pub explain: bool,
}

/// A reason: position of its code, what it weighed, position of the field that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub code: u16,
    pub weight: i32,
    pub field: Option<u16>,
}

impl Reason {
    /// Names the field that the reason rests on.
    pub fn on(mut self, field: u16) -> Reason {
        self.field = Some(field);
        self
    }
}

/// A declared field that was unknown, and what it could be worth.
// The bindings hand a list of plain records to the host as it lies in memory: its layout is part of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Missing {
    pub field: u16,
    pub worth: i32,
}

const _: () = assert!(std::mem::offset_of!(Missing, field) == 0 && std::mem::offset_of!(Missing, worth) == 4);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The lead meets this gate.
    Advance,
    /// Not yet.
    Hold,
    /// A grey case; the text says what is unclear.
    Review(String),
    /// Back to nurture, with a disposition reason.
    Recycle(String),
    /// Out, with a disposition reason.
    Disqualify(String),
    /// The rule could not judge this lead.
    Fault(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub fit: i32,
    pub engagement: i32,
    /// 0 to 10000.
    pub confidence: u16,
    pub reasons: Vec<Reason>,
    pub missing: Vec<Missing>,
    pub review_at: Option<i64>,
    pub trace: Vec<String>,
}

impl Verdict {
    /// A verdict without scores, sure of itself.
    pub fn new(outcome: Outcome) -> Verdict {
        Verdict {
            outcome,
            fit: 0,
            engagement: 0,
            confidence: 10_000,
            reasons: Vec::new(),
            missing: Vec::new(),
            review_at: None,
            trace: Vec::new(),
        }
    }

    pub fn because(mut self, reason: Reason) -> Verdict {
        self.reasons.push(reason);
        self
    }

    pub fn misses(mut self, field: u16, worth: i32) -> Verdict {
        self.missing.push(Missing { field, worth });
        self
    }
}

/// An owner of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub id: String,
    pub team: String,
    pub territories: Vec<String>,
    pub available: bool,
    pub open_leads: u32,
    pub capacity: u32,
    pub weight: u32,
    /// Assignments that the host's ledger counts for this pool.
    pub assigned: u64,
    pub last_assigned: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Owner(String),
    Queue(String),
    Fault(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub target: Target,
    pub priority: i32,
    pub reasons: Vec<Reason>,
    pub trace: Vec<String>,
}

impl Assignment {
    pub fn new(target: Target) -> Assignment {
        Assignment { target, priority: 0, reasons: Vec::new(), trace: Vec::new() }
    }
}

/// What is wrong with the settings, and where (JSON Pointer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProblem {
    pub pointer: String,
    pub message: String,
}

impl SettingsProblem {
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> SettingsProblem {
        SettingsProblem { pointer: pointer.into(), message: message.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    pub code: String,
    pub label: String,
    pub description: String,
}

/// What a rule says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema 2020-12 of the settings document.
    pub settings_schema: String,
    pub reason_codes: Vec<CodeInfo>,
    /// The columns that the rule receives, in this order.
    pub reads: Vec<Field>,
}

/// Declares the reason codes of a rule as an enum: code, label, description. A variant's position is its code's position.
#[macro_export]
macro_rules! codes {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($variant:ident = $code:literal, $label:literal, $description:literal;)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        $vis enum $name { $(#[doc = $description] $variant),+ }

        impl $name {
            /// Every code, for the descriptor.
            $vis fn all() -> ::std::vec::Vec<$crate::CodeInfo> {
                ::std::vec![$($crate::CodeInfo {
                    code: $code.into(),
                    label: $label.into(),
                    description: $description.into(),
                }),+]
            }

            /// A reason with this code.
            $vis fn weighs(self, weight: i32) -> $crate::Reason {
                $crate::Reason { code: self as u16, weight, field: None }
            }
        }
    };
}
