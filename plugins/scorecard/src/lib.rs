//! A scorecard that people who do not code can own: criteria, bands, weights, decay and thresholds are settings.
//!
//! Fit says who the lead is, engagement says what the lead did; each is the sum of its criteria. The thresholds turn the
//! total into an outcome, after the knockouts had their say. What may be read stands in `reads.txt`; what the settings mean
//! stands in `schema.json`, in words. `settings/` holds two cards to start from.

mod condition;
mod criterion;
mod fields;
mod score;
mod settings;

use handfast_sdk::*;

pub use score::judge;
pub use settings::Settings;

/// The rule.
pub struct Scorecard;

impl Qualifier for Scorecard {
    type Settings = Settings;

    fn describe() -> Descriptor {
        Descriptor {
            name: "scorecard".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Scores fit and engagement by a card that stands in the settings".into(),
            settings_schema: include_str!("../schema.json").into(),
            reason_codes: score::codes(),
            reads: fields::all().map(|field| Field::new(field.path, field.kind)).collect(),
        }
    }

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    fn evaluate(settings: &Settings, context: &Context, leads: &Leads) -> Vec<Verdict> {
        judge(settings, context, leads)
    }
}

export_qualifier!(Scorecard, "../../schema/wit/handfast-rules@1.0.0");

#[cfg(test)]
handfast_sdk::cases!(qualifier Scorecard);
