//! How a host is set up: its limits, its threads, where compiled code is kept and who compiles.

use std::path::PathBuf;

/// Everything that a guest may use. The defaults are the product's; tests make some of them smaller.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of an upload.
    pub upload: usize,
    /// Bytes of a linear memory.
    pub memory: usize,
    pub memories: usize,
    pub tables: usize,
    pub table_elements: usize,
    /// Core instances in one component.
    pub instances: usize,
    /// Bytes that one call may return.
    pub returned: usize,
    /// Leads in one call.
    pub batch: usize,
    /// Fuel of a batch: `fuel_base + fuel_per_lead × leads`, at most `fuel_max`.
    pub fuel_base: u64,
    pub fuel_per_lead: u64,
    pub fuel_max: u64,
    /// Fuel of `describe` and `check-settings`, instantiation included.
    pub fuel_meta: u64,
    /// Wall clock of a batch: `ms_base + ms_per_lead × leads`. Only a backstop: fuel decides first.
    pub ms_base: u64,
    pub ms_per_lead: u64,
    /// Leads of one batch that may fail on their own before the rest abstains.
    pub failures: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            upload: 32 << 20,
            memory: 64 << 20,
            memories: 8,
            tables: 16,
            table_elements: 40_000,
            instances: 64,
            returned: 4 << 20,
            batch: 500,
            fuel_base: 10_000_000,
            fuel_per_lead: 2_000_000,
            fuel_max: 1_000_000_000,
            fuel_meta: 50_000_000,
            ms_base: 250,
            ms_per_lead: 2,
            failures: 8,
        }
    }
}

impl Limits {
    /// The fuel that a batch of `leads` gets. A verdict from that batch is replayed under the same amount.
    pub fn fuel(&self, leads: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_lead.saturating_mul(leads as u64)).min(self.fuel_max)
    }

    pub fn ms(&self, leads: usize) -> u64 {
        self.ms_base.saturating_add(self.ms_per_lead.saturating_mul(leads as u64))
    }
}

/// Who compiles an upload.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// This process. For tests and the command line, where the author compiles their own plugin.
    InProcess,
    /// A child with limits on CPU time and memory, because compile-time denial of service is outside wasmtime's security
    /// policy. It reads wasm on stdin and writes compiled code on stdout: a program that calls `compile_child_main`.
    Child { program: PathBuf, args: Vec<String> },
}

#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where compiled code is kept between starts; nowhere when `None`.
    pub cache_dir: Option<PathBuf>,
    /// Seals the compiled code: only files written with this key are loaded.
    pub cache_key: [u8; 32],
    /// Threads that run guests.
    pub threads: usize,
    /// Threads of others that may judge on their own at the same time (`Host::judge_here`).
    pub beside: usize,
    /// Calls that may run or wait at the same time; one more is BUSY.
    pub queue: usize,
    pub compiler: Compiler,
    pub limits: Limits,
}

impl HostConfig {
    /// A host without a disk cache that compiles in this process, one thread for each core.
    pub fn new() -> HostConfig {
        HostConfig {
            cache_dir: None,
            cache_key: [0; 32],
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            beside: std::thread::available_parallelism().map_or(2, usize::from),
            queue: 256,
            compiler: Compiler::InProcess,
            limits: Limits::default(),
        }
    }
}

impl Default for HostConfig {
    fn default() -> HostConfig {
        HostConfig::new()
    }
}
