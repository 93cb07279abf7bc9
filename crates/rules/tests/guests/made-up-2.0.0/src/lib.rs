//! A guest of a version that changed every shape.

wit_bindgen::generate!({ path: "wit", world: "qualifier" });

use exports::handfast::rules::types::{
    Answer, Batch, Cause, Code, Column, Descriptor, Judgement, Kind, Problem, Read,
};
use exports::handfast::rules::{meta, qualify};

struct Guest;

impl meta::Guest for Guest {
    fn describe() -> Descriptor {
        let read = |path: &str, kind| Read { path: path.into(), kind };
        Descriptor {
            name: "made-up".into(),
            version: "2.0.0".into(),
            schema: "{}".into(),
            codes: vec![Code { key: "sum".into(), words: "The sum of the numbers".into() }],
            reads: vec![
                read("traits.numbers", Kind::IntegerList),
                read("company.industry", Kind::Text),
                read("contact.consent", Kind::Boolean),
                read("engagement.content-touched", Kind::TextList),
                read("engagement.last-touch", Kind::Integer),
            ],
        }
    }

    fn check_settings(settings: String) -> Option<Problem> {
        settings.contains("\"no\"").then(|| Problem { at: "/no".into(), words: "never".into() })
    }
}

impl qualify::Guest for Guest {
    fn evaluate(batch: Batch) -> Vec<Judgement> {
        let [Column::IntegerLists(numbers), Column::Texts(industries), Column::Booleans(consents), Column::TextLists(contents), Column::Integers(touched)] =
            &batch.columns[..]
        else {
            panic!("other columns than were declared")
        };
        let judge = |lead: usize| {
            let sum: i64 = numbers[lead].iter().sum();
            let industry = industries.index[lead].checked_sub(1).map(|at| industries.distinct[at as usize].clone());
            let answer = match industry.as_deref() {
                Some("ask") => Answer::Ask,
                _ if consents[lead] == Some(true) && contents[lead].iter().any(|text| text == "demo") => Answer::Yes,
                _ => Answer::No,
            };
            // Seconds since the last touch, so that a clock in another unit would be seen.
            let age = touched[lead].map(|at| batch.now_s - at / 1_000);
            Judgement {
                answer,
                words: age.map(|age| format!("{age} s ago")),
                score: sum as i32,
                sure_percent: 75,
                causes: vec![Cause { code: 0, points: sum as i32 }],
            }
        };
        (0..batch.leads as usize).map(judge).collect()
    }
}

export!(Guest);
