//! `handfast:rules@1.0.0`: its shapes, which are the host's own, and how its guests are called.
//!
//! The types mirror `schema/wit/`; wasmtime compares them with the guest's at every call. What is lowered into a guest
//! borrows, what is lifted out of it owns.

use handfast_domain::field;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Instance, Lift, Lower};

use super::{Adapter, Contract, function};
use crate::guest::Guard;
use crate::rule::RuleKind;

pub struct V1_0_0;

impl Contract for V1_0_0 {
    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn adapter(&self, component: &Component, kind: RuleKind) -> Result<Box<dyn Adapter>, String> {
        Ok(Box::new(Exports::find(component, kind, self.version())?))
    }
}

/// The functions of a guest whose shapes are those of 1.0.0, under the names of that version or of a later one that left
/// them alone.
pub struct Exports {
    kind: RuleKind,
    describe: ComponentExportIndex,
    check_settings: ComponentExportIndex,
    decide: ComponentExportIndex,
}

type CheckSettings<'a> = (&'a str,);
type Evaluate<'a> = (&'a str, Context, u32, &'a [Column<'a>]);
type Assign<'a> = (&'a str, Context, &'a [Column<'a>], &'a [Owner<'a>]);

impl Exports {
    pub fn find(component: &Component, kind: RuleKind, version: &str) -> Result<Exports, String> {
        let (interface, decide) = match kind {
            RuleKind::Qualify => ("qualify", "evaluate"),
            RuleKind::Route => ("route", "assign"),
        };
        Ok(Exports {
            kind,
            describe: function(component, "meta", version, "describe")?,
            check_settings: function(component, "meta", version, "check-settings")?,
            decide: function(component, interface, version, decide)?,
        })
    }
}

impl Adapter for Exports {
    fn check_shapes(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<()> {
        instance.get_typed_func::<(), (Descriptor,)>(&mut *store, &self.describe)?;
        instance
            .get_typed_func::<CheckSettings, (Vec<SettingsProblem>,)>(&mut *store, &self.check_settings)?;
        match self.kind {
            RuleKind::Qualify => {
                instance.get_typed_func::<Evaluate, (Vec<Verdict>,)>(store, &self.decide).map(drop)
            }
            RuleKind::Route => {
                instance.get_typed_func::<Assign, (Assignment,)>(store, &self.decide).map(drop)
            }
        }
    }

    fn describe(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<Descriptor> {
        let describe = instance.get_typed_func::<(), (Descriptor,)>(&mut *store, &self.describe)?;
        describe.call(store, ()).map(|(descriptor,)| descriptor)
    }

    fn check_settings(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
    ) -> wasmtime::Result<Vec<SettingsProblem>> {
        let check = instance
            .get_typed_func::<CheckSettings, (Vec<SettingsProblem>,)>(&mut *store, &self.check_settings)?;
        check.call(store, (settings,)).map(|(problems,)| problems)
    }

    fn evaluate(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
        context: Context,
        leads: u32,
        columns: &[Column<'_>],
    ) -> wasmtime::Result<Vec<Verdict>> {
        let evaluate = instance.get_typed_func::<Evaluate, (Vec<Verdict>,)>(&mut *store, &self.decide)?;
        evaluate.call(store, (settings, context, leads, columns)).map(|(verdicts,)| verdicts)
    }

    fn assign(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
        context: Context,
        columns: &[Column<'_>],
        owners: &[Owner<'_>],
    ) -> wasmtime::Result<Assignment> {
        let assign = instance.get_typed_func::<Assign, (Assignment,)>(&mut *store, &self.decide)?;
        assign.call(store, (settings, context, columns, owners)).map(|(assignment,)| assignment)
    }
}

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
