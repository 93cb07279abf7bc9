//! What a decision costs: batches of 500 and less, with 12 fields, through the whole host.
//!
//! `cargo xtask plugins && cargo run --release --example batch -p handfast-rules`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant as Watch};

use handfast_domain::field::{CATALOGUE_VERSION, TraitKinds, Value};
use handfast_domain::snapshot::Snapshot;
use handfast_domain::time::{DAY, Instant};
use handfast_rules::{Context, Descriptor, Host, HostConfig, NativeRule, Rule, Settings};

const NOW: Instant = Instant(1_772_355_600_000);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let plugins =
        std::env::var_os("HANDFAST_PLUGINS").map_or_else(|| root.join("target/plugins"), PathBuf::from);
    let host = Host::new(HostConfig { threads: 1, ..HostConfig::new() })?;
    let wasm = std::fs::read(plugins.join("scorecard.wasm"))?;
    let watch = Watch::now();
    let plugin = host.load(&wasm, &TraitKinds::new()).await?;
    println!("engine {}; compiled in {:.0?}", host.fingerprint(), watch.elapsed());
    let card = std::fs::read_to_string(root.join("plugins/scorecard/settings/default.json"))?;
    let settings = Settings::parse(&card)?;
    let leads: Vec<Arc<Snapshot>> = (0..20_000).map(lead).collect();

    let scorecard = Rule::from(plugin);
    let nothing = Rule::Native(Arc::new(native(scorecard.descriptor())));
    for size in [1usize, 10, 100, 500] {
        let (wasm, fuel) = cost(&host, &scorecard, &settings, &leads, size).await;
        let (native, _) = cost(&host, &nothing, &settings, &leads, size).await;
        println!(
            "batch of {size:>3}: {wasm:>8.2?} and {fuel:>6} fuel a lead; rows, digests and queue alone {native:>8.2?}"
        );
    }
    Ok(())
}

/// Time and fuel for each lead, the best of seven rounds.
async fn cost(
    host: &Host,
    rule: &Rule,
    settings: &Settings,
    leads: &[Arc<Snapshot>],
    size: usize,
) -> (Duration, u64) {
    let context = Context { as_of: NOW, charter: 1, explain: false };
    let leads = &leads[..leads.len().min(size * 200)];
    let (mut best, mut fuel) = (Duration::MAX, 0);
    for _ in 0..7 {
        let batches: Vec<Vec<Arc<Snapshot>>> = leads.chunks(size).map(<[_]>::to_vec).collect();
        let watch = Watch::now();
        for batch in batches {
            let judged = host.evaluate(rule, settings, context, batch).await;
            assert!(judged.iter().all(|judged| judged.verdict.is_some()));
            fuel = judged[0].fuel;
        }
        best = best.min(watch.elapsed() / leads.len() as u32);
    }
    (best, fuel)
}

/// A lead with twelve fields that the default card reads, in a spread of values.
fn lead(n: i64) -> Arc<Snapshot> {
    let pick = |words: &[&str]| Value::Text(words[n as usize % words.len()].to_owned());
    let fields = [
        ("company.country", pick(&["DE", "AT", "SE", "FR", "US"])),
        ("company.employees", Value::Integer(n * 37 % 5_000)),
        ("company.industry", pick(&["steel", "software", "retail", "glass", "health", "banking"])),
        ("contact.email-domain", Value::Text(format!("company-{}.example", n % 400))),
        ("contact.seniority", pick(&["C_LEVEL", "VP", "DIRECTOR", "MANAGER", "STAFF"])),
        ("contact.title", pick(&["Head of Sales", "Buyer", "Director of IT", "Clerk"])),
        ("engagement.content", Value::Integer(n % 5)),
        ("engagement.last-touch", Value::Integer(NOW.ms() - n % 90 * DAY)),
        ("engagement.total", Value::Integer(n % 23)),
        ("engagement.webinar", Value::Integer(n % 3)),
        ("lead.captured-at", Value::Integer(NOW.ms() - n % 120 * DAY)),
        ("persona.fit", Value::Integer(n * 91 % 10_000)),
    ];
    Arc::new(Snapshot {
        catalogue: CATALOGUE_VERSION,
        lead: uuid::Uuid::from_u128(n as u128),
        salt: String::new(),
        charter: 1,
        fields: BTreeMap::from(fields.map(|(path, value)| (path.to_owned(), value))),
        pool: None,
    })
}

/// The host's own share: a rule that does nothing.
fn native(like: &Descriptor) -> NativeRule {
    NativeRule::qualifier(like.clone(), |_, _, _| handfast_domain::verdict::Verdict {
        outcome: handfast_domain::verdict::Outcome::Hold,
        text: None,
        disposition: None,
        fit: 0,
        engagement: 0,
        confidence: 0,
        reasons: Vec::new(),
        missing: Vec::new(),
        review_at: None,
        trace: Vec::new(),
    })
}
