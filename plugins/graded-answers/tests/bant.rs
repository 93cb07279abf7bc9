//! A textbook BANT rule beside graded answers, on made-up buyers of whom the truth is known. The set is made after what the
//! fields mean: an answer is true as often as its confidence says, half as often without evidence, and money and dates fade.
//! So it shows what is gained where that is so, and proves nothing about a market where it is not. What is compared: of as
//! many leads, how many were worth the hand-over.

use graded_answers::{Settings, judge};
use handfast_sdk::{Context, DAY, Leads, Qualifier};
use serde_json::{Map, Value, json};

const SEED: u64 = 20_260_301;
const BUYERS: usize = 4_000;
const NOW: i64 = 1_772_355_600_000;
const QUESTIONS: [&str; 5] = ["need", "consequence", "authority", "budget", "timeline"];

/// splitmix64: the set depends on nothing but its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end) as i64
    }
}

/// What sales wrote down, and whether the buyer could really buy.
fn buyer(random: &mut Random) -> (Value, bool) {
    let (mut fields, mut truth) = (Map::new(), [0; 5]);
    for (at, key) in QUESTIONS.iter().enumerate() {
        let said = random.below(5);
        let days = random.below(150);
        let evidence = random.below(2) == 0;
        let confidence = if evidence { 8_000 + random.below(2_001) } else { 5_000 + random.below(4_001) };
        // Budgets are cut and dates slip; a need seldom goes away.
        let slips = if *key == "budget" || *key == "timeline" { 150 } else { 1_500 };
        let holds = random.below(10_000) < confidence && (evidence || random.below(2) == 0);
        let holds = holds && random.below(slips) >= days;
        truth[at] = if holds { said } else { said.min(random.below(2)) };
        fields.insert(format!("answers.{key}.grade"), json!(said));
        fields.insert(format!("answers.{key}.confidence"), json!(confidence));
        fields.insert(format!("answers.{key}.evidence"), json!(evidence));
        fields.insert(format!("answers.{key}.at"), json!(NOW - days * DAY));
    }
    let [need, consequence, authority, budget, timeline] = truth;
    let buys = need >= 2 && authority >= 1 && need + consequence + authority + budget + timeline >= 11;
    (Value::Object(fields), buys)
}

/// Budget, authority, need and timeline are ticked.
fn textbook(fields: &Value) -> bool {
    ["budget", "authority", "need", "timeline"]
        .iter()
        .all(|key| fields[format!("answers.{key}.grade")].as_i64().unwrap_or(0) >= 2)
}

#[test]
fn of_as_many_leads_graded_answers_find_more_that_can_buy_than_bant() {
    let mut random = Random(SEED);
    let buyers: Vec<(Value, bool)> = (0..BUYERS).map(|_| buyer(&mut random)).collect();
    let fields: Vec<Value> = buyers.iter().map(|(fields, _)| fields.clone()).collect();
    let settings: Settings = serde_json::from_str(include_str!("../settings/default.json")).unwrap();
    let leads = Leads::from_json(&graded_answers::GradedAnswers::describe().reads, &fields).unwrap();
    let context = Context { as_of: NOW, charter: 1, explain: false };
    let verdicts = judge(&settings, &context, &leads);

    let good = |chosen: &[usize]| chosen.iter().filter(|at| buyers[**at].1).count();
    let all = good(&(0..BUYERS).collect::<Vec<_>>());
    let ticked: Vec<usize> = (0..BUYERS).filter(|at| textbook(&buyers[*at].0)).collect();
    let mut ranked: Vec<usize> = (0..BUYERS).collect();
    ranked.sort_by_key(|at| std::cmp::Reverse(verdicts[*at].fit));
    ranked.truncate(ticked.len());
    let share = |part: usize, of: usize| 100.0 * part as f64 / of as f64;
    println!("seed {SEED}: {BUYERS} buyers, {all} of them could buy");
    for (name, chosen) in [("textbook BANT", &ticked), ("graded answers", &ranked)] {
        let hits = good(chosen);
        println!(
            "{name:<16}{} handed over, precision {:.1} %, recall {:.1} %",
            chosen.len(),
            share(hits, chosen.len()),
            share(hits, all)
        );
    }
    let (bant, graded) = (share(good(&ticked), ticked.len()), share(good(&ranked), ranked.len()));
    assert!(graded > 1.2 * bant, "BANT {bant:.1} %, graded answers {graded:.1} %");
}
