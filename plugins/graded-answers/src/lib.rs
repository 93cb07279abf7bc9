//! Qualification beyond tick-boxes. What the buyer said to each question has a grade from 0 to 4, a confidence, evidence or
//! none, and an age; together they say how much of the answer can be built on. BANT, PACT or MEDDIC are settings: which
//! questions count, how much, how fast an answer grows old, and which one no sum may outweigh.
//!
//! It is meant for the gate to SQL, where a salesperson has talked to the buyer.

mod answer;
mod judge;
mod settings;

use handfast_sdk::*;

pub use judge::judge;
pub use settings::Settings;

/// The rule.
pub struct GradedAnswers;

impl Qualifier for GradedAnswers {
    type Settings = Settings;

    fn describe() -> Descriptor {
        Descriptor {
            name: "graded-answers".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Qualifies by answers with grade, evidence, confidence and age".into(),
            settings_schema: include_str!("../schema.json").into(),
            reason_codes: judge::codes(),
            reads: answer::reads(),
        }
    }

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    fn evaluate(settings: &Settings, context: &Context, leads: &Leads) -> Vec<Verdict> {
        judge(settings, context, leads)
    }
}

export_qualifier!(GradedAnswers, "../../schema/wit/handfast-rules@1.0.0");

#[cfg(test)]
handfast_sdk::cases!(qualifier GradedAnswers);
