//! The host against real guests: `cargo xtask plugins` builds them, and `HANDFAST_PLUGINS` may name another folder.

mod batches;
mod bombs;
mod cache;
mod cases;
mod frozen;
mod native;
mod settings;
mod uploads;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use handfast_domain::field::{CATALOGUE_VERSION, TraitKinds, Value};
use handfast_domain::snapshot::Snapshot;
use handfast_domain::time::Instant;
use handfast_rules::{Context, Host, HostConfig, Limits, Plugin, Rule, Settings};

const NOW: Context = Context { as_of: Instant(1_772_355_600_000), charter: 1, explain: false };

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The bytes of a built guest.
fn guest(name: &str) -> Vec<u8> {
    let folder =
        std::env::var_os("HANDFAST_PLUGINS").map_or_else(|| root().join("target/plugins"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask plugins", path.display()))
}

/// One host for the tests that need nothing of their own. Compiled code is kept for the run.
fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    // On a busy machine the clock would judge before the fuel does.
    let limits = Limits { ms_base: 30_000, ..Limits::default() };
    HOST.get_or_init(|| Host::new(HostConfig { threads: 2, limits, ..HostConfig::new() }).unwrap()).clone()
}

async fn load(name: &str) -> Arc<Plugin> {
    load_in(&host(), name).await
}

async fn load_in(host: &Host, name: &str) -> Arc<Plugin> {
    host.load(&guest(name), &TraitKinds::new()).await.unwrap()
}

fn settings(value: serde_json::Value) -> Settings {
    Settings::from(value)
}

fn rule(plugin: &Arc<Plugin>) -> Rule {
    Rule::from(plugin.clone())
}

/// A lead with these fields.
fn lead(fields: serde_json::Value) -> Arc<Snapshot> {
    let fields = serde_json::from_value(fields).unwrap();
    Arc::new(Snapshot {
        catalogue: CATALOGUE_VERSION,
        lead: uuid::Uuid::nil(),
        salt: "salt".into(),
        charter: 1,
        fields,
        pool: None,
    })
}

/// Leads that differ in their employees: 0, 1, 2 …
fn leads(count: usize) -> Vec<Arc<Snapshot>> {
    let industry = |n: usize| if n.is_multiple_of(2) { "steel" } else { "glass" };
    let fields = |n: usize| {
        [
            ("company.employees".to_owned(), Value::Integer(n as i64)),
            ("company.industry".to_owned(), Value::Text(industry(n).into())),
        ]
    };
    (0..count)
        .map(|n| lead(serde_json::to_value(std::collections::BTreeMap::from(fields(n))).unwrap()))
        .collect()
}
