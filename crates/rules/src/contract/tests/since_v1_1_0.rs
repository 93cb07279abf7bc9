//! `handfast:rules@1.1.0`, which was never released: an interface more, which a guest need not have. Everything else is
//! called as in 1.0.0.

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance};

use crate::contract::since_v1_0_0::Exports;
use crate::contract::{
    Adapter, Assignment, Column, Context, Contract, Descriptor, Owner, SettingsProblem, Verdict, function,
};
use crate::guest::Guard;
use crate::rule::RuleKind;

pub struct V1_1_0;

struct Words {
    base: Exports,
    summary: Option<ComponentExportIndex>,
}

impl Contract for V1_1_0 {
    fn version(&self) -> &'static str {
        "1.1.0"
    }

    fn adapter(&self, component: &Component, kind: RuleKind) -> Result<Box<dyn Adapter>, String> {
        let base = Exports::find(component, kind, self.version())?;
        let summary = function(component, "words", self.version(), "summary").ok();
        Ok(Box::new(Words { base, summary }))
    }
}

impl Adapter for Words {
    fn check_shapes(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<()> {
        if let Some(summary) = &self.summary {
            instance.get_typed_func::<(&str,), (String,)>(&mut *store, summary)?;
        }
        self.base.check_shapes(store, instance)
    }

    fn describe(&self, store: &mut Store<Guard>, instance: &Instance) -> wasmtime::Result<Descriptor> {
        let mut descriptor = self.base.describe(store, instance)?;
        if let Some(summary) = &self.summary {
            let summary = instance.get_typed_func::<(&str,), (String,)>(&mut *store, summary)?;
            descriptor.summary = summary.call(store, ("en",))?.0;
        }
        Ok(descriptor)
    }

    fn check_settings(
        &self,
        store: &mut Store<Guard>,
        instance: &Instance,
        settings: &str,
    ) -> wasmtime::Result<Vec<SettingsProblem>> {
        self.base.check_settings(store, instance, settings)
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
        self.base.evaluate(store, instance, settings, context, leads, columns)
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
        self.base.assign(store, instance, settings, context, columns, owners)
    }
}
