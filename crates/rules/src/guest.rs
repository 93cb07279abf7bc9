//! One call of a guest: a fresh store and instance, the limits, and what became of it.

use handfast_domain::verdict::Status;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{
    Engine, PoolConcurrencyLimitError, ResourceLimiter, Store, StoreLimits, StoreLimitsBuilder, Trap,
    WasmBacktrace,
};

use crate::config::Limits;
use crate::engine;
use crate::output;

/// Store data: the limits, and whether one of them was hit, which wasmtime reports only in words.
pub struct Guard {
    limits: StoreLimits,
    denied: bool,
}

/// Fuel and wall clock of one call.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub fuel: u64,
    pub ms: u64,
}

impl Budget {
    pub fn batch(limits: &Limits, leads: usize) -> Budget {
        Budget { fuel: limits.fuel(leads), ms: limits.ms(leads) }
    }

    pub fn meta(limits: &Limits) -> Budget {
        Budget { fuel: limits.fuel_meta, ms: limits.ms_base }
    }
}

/// How a call failed, and why, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: Status,
    pub message: String,
}

/// Where guests run, and within which limits.
#[derive(Clone, Copy)]
pub struct Sandbox<'a> {
    pub engine: &'a Engine,
    pub limits: &'a Limits,
}

impl Sandbox<'_> {
    /// Instantiates and calls; answers the result and the fuel. The instance is dropped afterwards: one that trapped cannot
    /// be entered again, and one that did not would carry its memory into the next batch.
    pub fn call<R>(
        self,
        pre: &InstancePre<Guard>,
        budget: Budget,
        run: impl FnOnce(&mut Store<Guard>, &Instance) -> wasmtime::Result<R>,
    ) -> (Result<R, Failure>, u64) {
        let limits = self.limits;
        let guard = StoreLimitsBuilder::new()
            .memory_size(limits.memory)
            .memories(limits.memories)
            .tables(limits.tables)
            .table_elements(limits.table_elements)
            .instances(limits.instances)
            .trap_on_grow_failure(true)
            .build();
        let mut store = Store::new(self.engine, Guard { limits: guard, denied: false });
        store.limiter(|guard| guard);
        store.set_hostcall_fuel(limits.returned);
        store.set_epoch_deadline(engine::ticks(budget.ms));
        if let Err(error) = store.set_fuel(budget.fuel) {
            return (Err(Failure { status: Status::Trapped, message: error.to_string() }), 0);
        }
        let result = pre.instantiate(&mut store).and_then(|instance| run(&mut store, &instance));
        let fuel = budget.fuel.saturating_sub(store.get_fuel().unwrap_or_default());
        (result.map_err(|error| failure(&error, store.data().denied, budget)), fuel)
    }
}

fn failure(error: &wasmtime::Error, denied: bool, budget: Budget) -> Failure {
    let cause = error.root_cause().to_string();
    let (status, message) = match error.downcast_ref::<Trap>() {
        _ if denied => (Status::Memory, format!("asked for more than its limits: {cause}")),
        Some(Trap::OutOfFuel) => (Status::OutOfFuel, format!("used up its {} units of fuel", budget.fuel)),
        Some(Trap::Interrupt) => (Status::Timeout, format!("ran longer than {} ms", budget.ms)),
        Some(Trap::StackOverflow) => (Status::Stack, "recursed too deeply".to_owned()),
        Some(_) => (Status::Trapped, cause + &place(error)),
        None if error.is::<PoolConcurrencyLimitError>() => (Status::Busy, cause),
        // Every other error is about what the guest handed over: bad pointers, bad UTF-8, too much of it.
        None => (Status::InvalidOutput, cause),
    };
    Failure { status, message: output::tidy(&message) }
}

/// Where it trapped, if the guest still has the names of its functions: the innermost that are not the panic's own.
fn place(error: &wasmtime::Error) -> String {
    const SHOWN: usize = 3;
    let machinery = ["panic", "abort", "unwrap_failed", "expect_failed", "rust_begin_unwind"];
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let names: Vec<String> = frames
        .iter()
        .filter_map(|frame| frame.func_name())
        .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
        .filter(|name| !machinery.iter().any(|word| name.contains(word)))
        .take(SHOWN)
        .collect();
    if names.is_empty() { String::new() } else { format!(" in {}", names.join(", from ")) }
}

impl ResourceLimiter for Guard {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let result = self.limits.memory_growing(current, desired, maximum);
        self.denied |= !matches!(result, Ok(true));
        result
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let result = self.limits.table_growing(current, desired, maximum);
        self.denied |= !matches!(result, Ok(true));
        result
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
