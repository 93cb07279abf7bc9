//! A guest of a version that adds something: the interface `words`.

wit_bindgen::generate!({ path: "wit", world: "qualifier" });

use exports::handfast::rules::types::{
    Column, Context, Descriptor, Field, Kind, Missing, Outcome, SettingsProblem, Verdict,
};
use exports::handfast::rules::{meta, qualify, words};

struct Guest;

impl words::Guest for Guest {
    fn summary(language: String) -> String {
        format!("in the words of {language}")
    }
}

impl meta::Guest for Guest {
    fn describe() -> Descriptor {
        Descriptor {
            name: "made-up".into(),
            version: "1.1.0".into(),
            summary: "without words".into(),
            settings_schema: "{}".into(),
            reason_codes: Vec::new(),
            reads: vec![Field { path: "company.employees".into(), kind: Kind::Integer }],
        }
    }

    fn check_settings(_: String) -> Vec<SettingsProblem> {
        Vec::new()
    }
}

impl qualify::Guest for Guest {
    fn evaluate(_: String, _: Context, _: u32, columns: Vec<Column>) -> Vec<Verdict> {
        let [Column::Integers(employees)] = &columns[..] else { panic!("other columns than were declared") };
        let judge = |employees: &Option<i64>| Verdict {
            outcome: if employees.is_some_and(|n| n >= 10) { Outcome::Advance } else { Outcome::Hold },
            fit: 0,
            engagement: 0,
            confidence: 10_000,
            reasons: Vec::new(),
            missing: employees.is_none().then_some(Missing { field: 0, worth: 1 }).into_iter().collect(),
            review_at: None,
            trace: Vec::new(),
        };
        employees.iter().map(judge).collect()
    }
}

export!(Guest);
