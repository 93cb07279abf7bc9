//! A qualifier that touches everything that `handfast:rules@1.0.0` offers one: each kind of column, each outcome, reasons
//! with and without a field, missing fields, a review date, a trace, a fault, a trap, and settings that it refuses.

wit_bindgen::generate!({ path: "wit", world: "qualifier" });

use exports::handfast::rules::types::{
    CodeInfo, Column, Context, Descriptor, Field, Kind, Missing, Outcome, Reason, SettingsProblem, Verdict,
};
use exports::handfast::rules::{meta, qualify};

struct Frozen;

impl meta::Guest for Frozen {
    fn describe() -> Descriptor {
        let field = |path: &str, kind| Field { path: path.into(), kind };
        let code = |code: &str, label: &str| CodeInfo { code: code.into(), label: label.into(), description: String::new() };
        Descriptor {
            name: "frozen-qualifier".into(),
            version: "1.0.0".into(),
            summary: "Touches everything that the contract offers a qualifier".into(),
            settings_schema: r#"{"type": "object", "required": ["floor"], "properties": {"floor": {"type": "integer"}}}"#.into(),
            reason_codes: vec![code("even", "An even text"), code("odd", "An odd text")],
            reads: vec![
                field("contact.consent", Kind::Boolean),
                field("company.employees", Kind::Integer),
                field("company.industry", Kind::Text),
                field("traits.numbers", Kind::IntegerList),
                field("engagement.content-touched", Kind::TextList),
            ],
        }
    }

    fn check_settings(settings: String) -> Vec<SettingsProblem> {
        if floor(&settings) >= 0 {
            return Vec::new();
        }
        vec![SettingsProblem { pointer: "/floor".into(), message: "must not be negative".into() }]
    }
}

impl qualify::Guest for Frozen {
    fn evaluate(settings: String, context: Context, leads: u32, columns: Vec<Column>) -> Vec<Verdict> {
        let [Column::Booleans(consents), Column::Integers(employees), Column::Texts(industries), Column::IntegerLists(numbers), Column::TextLists(contents)] =
            &columns[..]
        else {
            panic!("other columns than were declared")
        };
        let floor = floor(&settings);
        let judge = |lead: usize| {
            let start = |ends: &[u32]| if lead == 0 { 0 } else { ends[lead - 1] as usize };
            let industry = match industries.index[lead] {
                0 => "",
                at => &industries.distinct[at as usize - 1],
            };
            let outcome = match industry {
                "review" => Outcome::Review("both sides decide".into()),
                "recycle" => Outcome::Recycle("NO_BUDGET".into()),
                "disqualify" => Outcome::Disqualify("OUT_OF_PROFILE".into()),
                "fault" => Outcome::Fault("asked to".into()),
                "trap" => panic!("asked to"),
                _ if employees[lead].is_some_and(|n| n >= floor) => Outcome::Advance,
                _ => Outcome::Hold,
            };
            let sum: i64 = numbers.values[start(&numbers.ends)..numbers.ends[lead] as usize].iter().sum();
            let texts = &contents.index[start(&contents.ends)..contents.ends[lead] as usize];
            let reason = |(place, at): (usize, &u32)| {
                let length = contents.distinct[*at as usize - 1].len();
                Reason { code: (length % 2) as u16, weight: length as i32, field: (place == 0).then_some(4) }
            };
            Verdict {
                outcome,
                fit: employees[lead].unwrap_or(-1).clamp(-1000, 1000) as i32,
                engagement: sum.clamp(-1000, 1000) as i32,
                confidence: consents[lead].map_or(0, |consent| if consent { 10_000 } else { 5_000 }),
                reasons: texts.iter().enumerate().map(reason).collect(),
                missing: employees[lead].is_none().then_some(Missing { field: 1, worth: 10 }).into_iter().collect(),
                review_at: (context.charter > 0).then(|| context.as_of + i64::from(context.charter) * 1_000),
                trace: if context.explain { vec![industry.into()] } else { Vec::new() },
            }
        };
        (0..leads as usize).map(judge).collect()
    }
}

/// The number after the key: `{"floor":10}`. Enough, since the host sends canonical JSON that its schema has passed.
fn floor(settings: &str) -> i64 {
    let digits = settings.split("\"floor\":").nth(1).unwrap_or_default();
    let end = digits.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

export!(Frozen);
