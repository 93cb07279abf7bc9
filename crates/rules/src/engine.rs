//! The wasmtime engine: its configuration, its fingerprint, and the thread that moves its epoch.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::Limits;

/// One step of the epoch.
pub const TICK_MS: u64 = 10;

/// An engine that compiles and nothing else: it reserves no address space, so that it fits under the child's limits.
pub fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&base())
}

/// An engine that runs guests on `threads` threads. Its compiled code is the same as that of `compiling`.
pub fn running(limits: &Limits, threads: usize) -> wasmtime::Result<Engine> {
    // One slot for each thread, since a thread runs one guest at a time, and some to spare while a slot is cleaned.
    let stores = threads as u32 + 2;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(stores)
        .total_core_instances(stores * limits.instances as u32)
        .total_memories(stores * limits.memories as u32)
        .total_tables(stores * limits.tables as u32)
        .max_core_instances_per_component(limits.instances as u32)
        .max_memories_per_component(limits.memories as u32)
        .max_memories_per_module(limits.memories as u32)
        .max_tables_per_component(limits.tables as u32)
        .max_tables_per_module(limits.tables as u32)
        .max_memory_size(limits.memory)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(stores)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(8 << 10);
    Engine::new(base().allocation_strategy(InstanceAllocationStrategy::Pooling(pool)))
}

/// Moves the engine's epoch every `TICK_MS`, on a thread of its own, as long as the engine lives.
pub fn start_ticker(engine: &Engine) -> std::io::Result<()> {
    let weak = engine.weak();
    std::thread::Builder::new().name("rules-epoch".into()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(Duration::from_millis(TICK_MS));
        }
    })?;
    Ok(())
}

/// Steps of the epoch that cover `ms`. One more, because the first may come at once.
pub fn ticks(ms: u64) -> u64 {
    ms.div_ceil(TICK_MS) + 1
}

/// Hash of everything that compiled code depends on: engine version, target, flags.
pub fn compatibility(engine: &Engine) -> String {
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn base() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_threads(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        .concurrency_support(false)
        .memory_reservation(64 << 20)
        .memory_guard_size(1 << 20);
    config
}

/// std's own hasher promises nothing between releases; this one names folders on disk.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}
