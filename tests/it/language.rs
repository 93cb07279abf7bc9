//! One rule in three languages: the scorecard in Rust, JavaScript and Python judges the same leads the same way.

use std::path::PathBuf;
use std::process::Command;

use handfast_tests::{binary, on_postgres, plugin, root};
use serde_json::{Map, Value, json};

/// splitmix64: the leads depend on nothing but the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn of<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.below(among.len())]
    }
}

const NOW: i64 = 1_772_355_600_000;
const DAY: i64 = 86_400_000;

/// A lead of which about half is known, with texts that people type.
fn lead(random: &mut Random, number: usize) -> Value {
    let mut fields = Map::new();
    let words = ["Logistics", " logistics ", "FOOD", "Retail & Food", "straße", "İstanbul", "", "øl 🍺"];
    for path in ["company.industry", "contact.title", "contact.department", "campaign.kind", "lead.source"] {
        if random.below(2) == 0 {
            fields.insert(path.into(), json!(random.of(&words)));
        }
    }
    if random.below(2) == 0 {
        fields.insert("contact.seniority".into(), json!(random.of(&["C_LEVEL", "vp", "Director", "STAFF"])));
    }
    for path in ["contact.consent", "intent.high"] {
        if random.below(2) == 0 {
            fields.insert(path.into(), json!(random.below(2) == 0));
        }
    }
    for path in
        ["company.employees", "persona.fit", "engagement.total", "engagement.webinar", "engagement.event"]
    {
        if random.below(2) == 0 {
            fields.insert(path.into(), json!(random.below(12_000) as i64 - 5));
        }
    }
    for path in ["engagement.last-touch", "lead.captured-at"] {
        if random.below(3) > 0 {
            fields.insert(
                path.into(),
                json!(NOW - (random.below(400) as i64 - 20) * DAY - random.below(86_400_000) as i64),
            );
        }
    }
    for path in ["engagement.content-touched", "history.reasons"] {
        if random.below(2) == 0 {
            let list: Vec<&str> =
                (0..random.below(4)).map(|_| random.of(&["demo-request", "NO_BUDGET", "Pricing"])).collect();
            fields.insert(path.into(), json!(list));
        }
    }
    json!({"name": number.to_string(), "fields": fields})
}

/// A card that uses every way of counting, knockouts and all thresholds.
fn card() -> Value {
    json!({
        "fit": [
            {"field": "company.employees", "bands": [{"below": 0, "points": -30}, {"from": 10, "below": 500, "points": 7}, {"from": 500, "points": 21}], "unknown": -2},
            {"field": "company.industry", "values": [{"is": ["logistics"], "points": 9}, {"contains": ["food", "stra"], "points": 5}], "otherwise": -3},
            {"field": "contact.seniority", "values": [{"is": ["c_level", "VP"], "points": 15}]},
            {"field": "contact.consent", "yes": 6, "no": -8},
            {"field": "contact.title", "values": [{"contains": ["istanbul", "🍺"], "points": 4}], "unknown": 1},
        ],
        "engagement": [
            {"field": "engagement.last-touch", "recency": 33, "halfLifeDays": 9},
            {"field": "engagement.total", "each": 3, "atMost": 40, "halfLifeDays": 21},
            {"field": "engagement.webinar", "each": -2, "atMost": -17, "since": "lead.captured-at", "halfLifeDays": 5},
            {"field": "lead.captured-at", "daysAgo": [{"below": 7, "points": 5}, {"from": 90, "points": -5}]},
            {"field": "engagement.content-touched", "values": [{"is": ["demo-request"], "points": 12}, {"contains": ["pric"], "points": 6}], "atMost": 15},
        ],
        "knockouts": [
            {"field": "history.reasons", "is": ["no_budget"], "then": "recycle", "reason": "NO_BUDGET"},
            {"field": "lead.source", "contains": ["øl"], "then": "review", "reason": "a joke?"},
            {"field": "intent.high", "answer": false, "then": "disqualify", "reason": "OUT_OF_PROFILE"},
        ],
        "thresholds": {"advance": 40, "minimumFit": 5, "minimumEngagement": -5, "holdDays": 9,
            "review": {"from": 30, "to": 39, "text": "Nearly: grüße 🍺 ".repeat(12)},
            "recycle": {"below": 5, "reason": "NOT_READY", "reviewAfterDays": 30},
            "disqualify": {"below": -20, "reason": "OUT_OF_PROFILE"}},
    })
}

/// The verdicts of a built rule on the leads of a file.
fn verdicts(wasm: &PathBuf, leads: &PathBuf) -> Vec<Value> {
    let run = Command::new(binary()).args(["plugin", "run"]).arg(wasm).arg("--leads").arg(leads).output();
    let run = run.expect("the command line runs");
    assert!(run.status.success(), "{}: {}", wasm.display(), String::from_utf8_lossy(&run.stderr));
    let lines = String::from_utf8_lossy(&run.stdout).into_owned();
    let verdict = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        line["result"].clone()
    };
    lines.lines().map(verdict).collect()
}

#[test]
fn the_scorecard_in_three_languages_gives_the_same_verdicts() {
    if on_postgres() {
        eprintln!("no database has a say in it; it ran on SQLite");
        return;
    }
    let others: Vec<PathBuf> = ["scorecard-js", "scorecard-py"]
        .iter()
        .map(|name| plugin("scorecard").with_file_name(format!("{name}.wasm")))
        .filter(|path| {
            if !path.exists() {
                eprintln!("skipped: {} is missing; `cargo xtask languages` builds it", path.display());
            }
            path.exists()
        })
        .collect();
    if others.is_empty() {
        return;
    }
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let default =
        std::fs::read_to_string(root().join("plugins/scorecard/settings/default.json")).expect("settings");
    let default: Value = serde_json::from_str(&default).expect("JSON");
    for (name, settings) in [("every way of counting", card()), ("the default card", default)] {
        let leads: Vec<Value> = (0..300).map(|number| lead(&mut random, number)).collect();
        let case =
            json!({"name": name, "asOf": "2026-03-01T09:00:00Z", "settings": settings, "leads": leads});
        let file = dir.path().join("leads.json");
        std::fs::write(&file, case.to_string()).expect("the leads are written");
        let expected = verdicts(&plugin("scorecard"), &file);
        let outcomes: std::collections::BTreeSet<String> =
            expected.iter().map(|verdict| verdict["outcome"].to_string()).collect();
        assert!(outcomes.len() >= 3, "leads that all end the same prove little: {outcomes:?}, seed {seed}");
        for other in &others {
            let found = verdicts(other, &file);
            assert_eq!(found.len(), expected.len());
            for ((lead, expected), found) in leads.iter().zip(&expected).zip(&found) {
                assert_eq!(found, expected, "{} of {name}, seed {seed}: {lead}", other.display());
            }
        }
    }
}
