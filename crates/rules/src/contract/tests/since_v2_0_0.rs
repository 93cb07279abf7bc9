//! `handfast:rules@2.0.0`, which was never released: every shape is another one. Each is converted to what the host knows,
//! in both directions.

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Instance, Lift, Lower};

use crate::contract::{
    self as latest, Adapter, Assignment, Contract, Descriptor, Owner, SettingsProblem, Verdict, function,
};
use crate::guest::Guard;
use crate::rule::RuleKind;

pub struct V2_0_0;

struct Exports {
    describe: ComponentExportIndex,
    check_settings: ComponentExportIndex,
    evaluate: ComponentExportIndex,
}

impl Contract for V2_0_0 {
    fn version(&self) -> &'static str {
        "2.0.0"
    }

    fn adapter(&self, component: &Component, kind: RuleKind) -> Result<Box<dyn Adapter>, String> {
        if kind == RuleKind::Route {
            return Err("handfast:rules@2.0.0 has no routers".into());
        }
        let find = |interface, name| function(component, interface, self.version(), name);
        Ok(Box::new(Exports {
            describe: find("meta", "describe")?,
            check_settings: find("meta", "check-settings")?,
            evaluate: find("qualify", "evaluate")?,
        }))
    }
}

impl Adapter for Exports {
    fn check_shapes(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<()> {
        instance.get_typed_func::<(), (Described,)>(&mut *store, &self.describe)?;
        instance.get_typed_func::<(&str,), (Option<Problem>,)>(&mut *store, &self.check_settings)?;
        instance.get_typed_func::<(Batch,), (Vec<Judgement>,)>(store, &self.evaluate).map(drop)
    }

    fn describe(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<Descriptor> {
        let describe = instance.get_typed_func::<(), (Described,)>(&mut *store, &self.describe)?;
        describe.call(store, ()).map(|(described,)| described.into())
    }

    fn check_settings(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
    ) -> wasmtime::Result<Vec<SettingsProblem>> {
        let check =
            instance.get_typed_func::<(&str,), (Option<Problem>,)>(&mut *store, &self.check_settings)?;
        let (problem,) = check.call(store, (settings,))?;
        Ok(problem
            .map(|Problem { at, words }| SettingsProblem { pointer: at, message: words })
            .into_iter()
            .collect())
    }

    fn evaluate(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
        context: latest::Context,
        leads: u32,
        columns: &[latest::Column<'_>],
    ) -> wasmtime::Result<Vec<Verdict>> {
        let evaluate = instance.get_typed_func::<(Batch,), (Vec<Judgement>,)>(&mut *store, &self.evaluate)?;
        let latest::Context { as_of, charter, explain } = context;
        let columns = columns.iter().map(|column| Column::from(*column)).collect();
        let batch = Batch { settings, now_s: as_of / 1_000, charter, explain, leads, columns };
        let (judgements,) = evaluate.call(store, (batch,))?;
        Ok(judgements.into_iter().map(Verdict::from).collect())
    }

    fn assign(
        &self,
        _: &mut Store<Guard>,
        _: &Instance,
        _: &str,
        _: latest::Context,
        _: &[latest::Column<'_>],
        _: &[Owner<'_>],
    ) -> wasmtime::Result<Assignment> {
        Err(wasmtime::Error::msg("handfast:rules@2.0.0 has no routers"))
    }
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only guests make them")]
enum Kind {
    #[component(name = "text")]
    Text,
    #[component(name = "text-list")]
    TextList,
    #[component(name = "integer")]
    Integer,
    #[component(name = "integer-list")]
    IntegerList,
    #[component(name = "boolean")]
    Boolean,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Read {
    path: String,
    kind: Kind,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct CodeOf {
    key: String,
    words: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Described {
    name: String,
    version: String,
    schema: String,
    codes: Vec<CodeOf>,
    reads: Vec<Read>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Problem {
    at: String,
    words: String,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Texts<'a> {
    distinct: &'a [&'a str],
    index: &'a [u32],
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum Column<'a> {
    #[component(name = "texts")]
    Texts(Texts<'a>),
    #[component(name = "text-lists")]
    TextLists(Vec<Vec<&'a str>>),
    #[component(name = "integers")]
    Integers(&'a [Option<i64>]),
    #[component(name = "integer-lists")]
    IntegerLists(Vec<&'a [i64]>),
    #[component(name = "booleans")]
    Booleans(&'a [Option<bool>]),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Batch<'a> {
    settings: &'a str,
    #[component(name = "now-s")]
    now_s: i64,
    charter: u32,
    explain: bool,
    leads: u32,
    columns: Vec<Column<'a>>,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only guests make them")]
enum Answer {
    #[component(name = "no")]
    No,
    #[component(name = "yes")]
    Yes,
    #[component(name = "ask")]
    Ask,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Cause {
    code: u16,
    points: i32,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Judgement {
    answer: Answer,
    words: Option<String>,
    score: i32,
    #[component(name = "sure-percent")]
    sure_percent: u8,
    causes: Vec<Cause>,
}

impl From<Described> for Descriptor {
    fn from(Described { name, version, schema, codes, reads }: Described) -> Descriptor {
        let code =
            |CodeOf { key, words }| latest::CodeInfo { code: key, label: words, description: String::new() };
        let kind = |kind| match kind {
            Kind::Text => latest::Kind::Text,
            Kind::TextList => latest::Kind::TextList,
            Kind::Integer => latest::Kind::Integer,
            Kind::IntegerList => latest::Kind::IntegerList,
            Kind::Boolean => latest::Kind::Boolean,
        };
        let field = |read: Read| latest::Field { path: read.path, kind: kind(read.kind) };
        Descriptor {
            name,
            version,
            summary: String::new(),
            settings_schema: schema,
            reason_codes: codes.into_iter().map(code).collect(),
            reads: reads.into_iter().map(field).collect(),
        }
    }
}

impl<'a> From<latest::Column<'a>> for Column<'a> {
    fn from(column: latest::Column<'a>) -> Column<'a> {
        /// What stands between each end and the one before it.
        fn spans<'a, T>(ends: &'a [u32], items: &'a [T]) -> impl Iterator<Item = &'a [T]> {
            let starts = std::iter::once(&0).chain(ends);
            starts.zip(ends).map(|(start, end)| &items[*start as usize..*end as usize])
        }
        match column {
            latest::Column::Booleans(values) => Column::Booleans(values),
            latest::Column::Integers(values) => Column::Integers(values),
            latest::Column::Texts(latest::Texts { distinct, index }) => {
                Column::Texts(Texts { distinct, index })
            }
            latest::Column::IntegerLists(latest::IntegerLists { values, ends }) => {
                Column::IntegerLists(spans(ends, values).collect())
            }
            latest::Column::TextLists(latest::TextLists { distinct, index, ends }) => {
                let text = |at: &u32| distinct[*at as usize - 1];
                Column::TextLists(spans(ends, index).map(|span| span.iter().map(text).collect()).collect())
            }
        }
    }
}

impl From<Judgement> for Verdict {
    fn from(Judgement { answer, words, score, sure_percent, causes }: Judgement) -> Verdict {
        let outcome = match answer {
            Answer::No => latest::Outcome::Hold,
            Answer::Yes => latest::Outcome::Advance,
            Answer::Ask => latest::Outcome::Review(words.unwrap_or_default()),
        };
        let reason = |cause: Cause| latest::Reason { code: cause.code, weight: cause.points, field: None };
        Verdict {
            outcome,
            fit: score,
            engagement: 0,
            confidence: u16::from(sure_percent) * 100,
            reasons: causes.into_iter().map(reason).collect(),
            missing: Vec::new(),
            review_at: None,
            trace: Vec::new(),
        }
    }
}
