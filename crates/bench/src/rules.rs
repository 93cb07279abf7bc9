//! What a decision costs through the whole host: queue, columns, a fresh instance, the card, the checks of what comes back
//! and both digests; beside the same card written in Rust for the same host, and beside that function alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant as Watch};

use clap::Args;
use handfast_domain::field::{CATALOGUE_VERSION, TraitKinds, Value};
use handfast_domain::snapshot::Snapshot;
use handfast_domain::time::{DAY, Instant};
use handfast_domain::verdict::{Missing, Outcome, Reason, Verdict};
use handfast_rules::{Context, Descriptor, Host, HostConfig, NativeRule, Rule, Settings};
use handfast_sdk::decayed;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

use crate::{Failed, table};

const NOW: Instant = Instant(1_772_355_600_000);
const LEADS: usize = 5_000;
const CARD: &str = include_str!("rules/card.json");

#[derive(Args)]
pub struct RuleArgs {
    /// Length of one of the seven rounds that each figure is the best of.
    #[arg(long, default_value_t = 0.7)]
    seconds: f64,
}

pub async fn run(plugins: &Path, args: &RuleArgs) -> Result<(), Failed> {
    let round = Duration::from_secs_f64(args.seconds);
    let host = Host::new(HostConfig { threads: 2, ..HostConfig::new() })?;
    let wasm = std::fs::read(plugins.join("scorecard.wasm"))
        .map_err(|error| Failed(format!("scorecard.wasm: {error}; run `cargo xtask plugins`")))?;
    let plugin = host.load(&wasm, &TraitKinds::new()).await?;
    let settings = Settings::parse(CARD)?;
    host.check_settings(&plugin, CARD).await.map_err(|problems| Failed(format!("{problems:?}")))?;
    let card = Arc::new(settings.value().clone());
    let leads: Vec<Arc<Snapshot>> = (0..LEADS as i64).map(lead).collect();

    let scorecard = Rule::from(plugin);
    let descriptor = scorecard.descriptor().clone();
    let own = descriptor.clone();
    let native =
        Rule::Native(Arc::new(NativeRule::qualifier(descriptor, move |_, _, lead| judge(&own, lead))));
    let mut rows = Vec::new();
    for size in [1, 10, 100, 500] {
        let ours = cost(&host, &scorecard, &settings, &leads, size, round).await?;
        let theirs = cost(&host, &native, &settings, &leads, size, round).await?;
        rows.push(vec![
            size.to_string(),
            format!("{:.2}", ours.cpu),
            format!("{:.2}", theirs.cpu),
            format!("{:.1}", ours.cpu / theirs.cpu),
            format!("{:.2}", ours.wall),
            ours.fuel.to_string(),
            format!("{:.1}", ours.allocations),
            format!("{:.1}", theirs.allocations),
        ]);
    }
    let alone = alone(&scorecard, &leads);
    table::print(
        &format!("A decision by a scorecard of 12 fields, µs for each lead; engine {}", host.fingerprint()),
        &["batch", "CPU in wasm", "CPU in Rust", "ratio", "wall in wasm", "fuel", "allocations", "in Rust"],
        &rows,
    );
    println!(
        "The Rust function alone, without host, digests and queue: {alone:.2} µs. The card has {} lines.\n",
        lines(&card)
    );
    Ok(())
}

/// Of one decision.
struct Cost {
    /// Microseconds of all threads of the process.
    cpu: f64,
    wall: f64,
    fuel: u64,
    allocations: f64,
}

/// The best of seven rounds.
async fn cost(
    host: &Host,
    rule: &Rule,
    settings: &Settings,
    leads: &[Arc<Snapshot>],
    size: usize,
    round: Duration,
) -> Result<Cost, Failed> {
    let context = Context { as_of: NOW, charter: 1, explain: false };
    let leads = &leads[..leads.len().min(size * 200)];
    let mut best = Cost { cpu: f64::MAX, wall: f64::MAX, fuel: 0, allocations: 0.0 };
    for _ in 0..7 {
        // Processor time is told in hundredths of a second only.
        let (mut judged, cpu, watch) = (0, cpu(), Watch::now());
        while watch.elapsed() < round {
            for batch in leads.chunks(size) {
                let answers = host.evaluate(rule, settings, context, batch.to_vec()).await;
                if let Some(failed) = answers.iter().find(|answer| answer.verdict.is_none()) {
                    return Err(Failed(format!("a lead got no verdict: {failed:?}")));
                }
                judged += answers.len();
                best.fuel = answers[0].fuel;
            }
        }
        best.wall = best.wall.min(watch.elapsed().as_secs_f64() * 1e6 / judged as f64);
        best.cpu = best.cpu.min((self::cpu() - cpu).as_secs_f64() * 1e6 / judged as f64);
    }
    let (batch, region) = (leads[..size.min(leads.len())].to_vec(), Region::new(&INSTRUMENTED_SYSTEM));
    let answers = host.evaluate(rule, settings, context, batch).await;
    best.allocations = region.change().allocations as f64 / answers.len() as f64;
    same(&answers, leads, rule)?;
    Ok(best)
}

/// Both rules say the same of every lead.
fn same(answers: &[handfast_rules::Judged], leads: &[Arc<Snapshot>], rule: &Rule) -> Result<(), Failed> {
    for (answer, lead) in answers.iter().zip(leads) {
        let expected = judge(rule.descriptor(), lead);
        if answer.verdict.as_ref() != Some(&expected) {
            return Err(Failed(format!("{:?}\nis not\n{expected:?}", answer.verdict)));
        }
    }
    Ok(())
}

fn alone(rule: &Rule, leads: &[Arc<Snapshot>]) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..20 {
        let watch = Watch::now();
        for lead in leads {
            std::hint::black_box(judge(rule.descriptor(), lead));
        }
        best = best.min(watch.elapsed().as_secs_f64() * 1e6 / leads.len() as f64);
    }
    best
}

fn lines(card: &serde_json::Value) -> usize {
    ["fit", "engagement", "knockouts"].iter().filter_map(|part| card[*part].as_array()).map(Vec::len).sum()
}

/// Processor time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let field =
        |n: usize| after.split_whitespace().nth(n - 3).and_then(|text| text.parse().ok()).unwrap_or(0u64);
    Duration::from_millis((field(14) + field(15)) * 10)
}

/// A lead with the twelve fields that the card reads, in a spread of values.
fn lead(n: i64) -> Arc<Snapshot> {
    let pick = |words: &[&str]| Value::Text(words[n as usize % words.len()].to_owned());
    let fields = [
        ("company.country", pick(&["DE", "AT", "SE", "FR", "US"])),
        ("company.employees", Value::Integer(n * 37 % 5_000)),
        ("company.industry", pick(&["steel", "software", "retail", "glass", "health", "banking"])),
        ("contact.consent", Value::Boolean(n % 7 != 0)),
        ("contact.seniority", pick(&["C_LEVEL", "VP", "DIRECTOR", "MANAGER", "STAFF"])),
        (
            "contact.title",
            pick(&["Head of Sales", "Buyer", "Director of IT", "Clerk", "Student of economics"]),
        ),
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

/// The card of `card.json` as a Rust function.
fn judge(descriptor: &Descriptor, lead: &Snapshot) -> Verdict {
    let text = |path: &str| match lead.fields.get(path) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let integer = |path: &str| match lead.fields.get(path) {
        Some(Value::Integer(value)) => *value,
        _ => 0,
    };
    let age = |path: &str| NOW.ms() - integer(path);
    let touched = age("engagement.last-touch");
    let fit = [
        (
            "contact.seniority",
            match text("contact.seniority") {
                "C_LEVEL" | "VP" => 20,
                "DIRECTOR" => 15,
                "MANAGER" => 8,
                _ => -5,
            },
        ),
        (
            "company.employees",
            match integer("company.employees") {
                ..10 => -10,
                10..50 => 5,
                50..1_000 => 15,
                _ => 20,
            },
        ),
        (
            "company.industry",
            match text("company.industry") {
                "software" | "banking" => 10,
                "retail" => 5,
                _ => 0,
            },
        ),
        (
            "company.country",
            match text("company.country") {
                "DE" | "AT" => 5,
                _ => 0,
            },
        ),
        (
            "persona.fit",
            match integer("persona.fit") {
                8_000.. => 15,
                5_000..8_000 => 8,
                _ => 0,
            },
        ),
    ];
    let consent = matches!(lead.fields.get("contact.consent"), Some(Value::Boolean(true)));
    let each = |path: &str, each: i64, most: i64| (integer(path) * each).min(most) as i32;
    let engagement = [
        ("engagement.last-touch", decayed(10, touched, 14)),
        ("engagement.total", decayed(each("engagement.total", 1, 8), touched, 30)),
        ("engagement.webinar", decayed(each("engagement.webinar", 6, 12), touched, 60)),
        ("engagement.content", decayed(each("engagement.content", 2, 8), touched, 30)),
        ("lead.captured-at", if age("lead.captured-at") / DAY >= 90 { -8 } else { 0 }),
        ("contact.consent", if consent { 5 } else { -15 }),
    ];
    let sum = |points: &[(&str, i32)]| points.iter().map(|(_, points)| points).sum::<i32>();
    let mut verdict = Verdict {
        outcome: Outcome::Hold,
        text: None,
        disposition: None,
        fit: sum(&fit),
        engagement: sum(&engagement),
        confidence: 10_000,
        reasons: Vec::with_capacity(12),
        missing: Vec::<Missing>::new(),
        review_at: None,
        trace: Vec::new(),
    };
    let reason = |code: &str, weight: i32, field: Option<&str>| {
        let info = descriptor.reason_codes.iter().find(|info| info.code == code);
        let label = info.map(|info| info.label.clone()).unwrap_or_default();
        Reason { code: code.to_owned(), label, weight, field: field.map(str::to_owned) }
    };
    for (path, points) in fit.iter().chain(&engagement).filter(|(_, points)| *points != 0) {
        verdict.reasons.push(reason(&path.replace('.', "-"), *points, Some(path)));
    }
    verdict.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.weight.abs()));
    let total = verdict.fit + verdict.engagement;
    let held = Some(NOW.plus(14 * DAY));
    let title = text("contact.title").to_lowercase();
    if title.contains("student") || title.contains("intern") {
        verdict.outcome = Outcome::Disqualify;
        verdict.disposition = Some("STUDENT_OR_JOB_SEEKER".to_owned());
        verdict.reasons.insert(0, reason("knockout", 0, Some("contact.title")));
    } else if total >= 45 && verdict.fit < 15 {
        verdict.reasons.insert(0, reason("fit-too-low", 0, None));
        verdict.review_at = held;
    } else if total >= 45 {
        verdict.outcome = Outcome::Advance;
    } else if (38..=44).contains(&total) {
        verdict.outcome = Outcome::Review;
        verdict.text = Some(format!("Nearly there: {total} points; 45 would advance"));
    } else if total < -10 {
        verdict.outcome = Outcome::Recycle;
        verdict.disposition = Some("NOT_READY".to_owned());
        verdict.review_at = Some(NOW.plus(60 * DAY));
    } else {
        verdict.review_at = held;
    }
    verdict
}
