//! A small qualifier to start from: points for size, industry and freshness, and two thresholds.

use handfast_sdk::*;
use serde::Deserialize;

reads! {
    /// What the rule may see of a lead. `handfast plugin check` knows the paths; `schema/fields.json` of Handfast lists them.
    pub struct Lead {
        employees: integer = "company.employees",
        industry: text = "company.industry",
        touched: integer = "engagement.last-touch",
    }
}

codes! {
    pub enum Code {
        Large = "large", "Large enough", "The company has the employees that the settings ask for.";
        Industry = "industry", "Our industry", "The company is of one of the industries of the settings.";
        Fresh = "fresh", "Touched lately", "Somebody was in touch within the days of the settings.";
    }
}

/// What the operator sets; `schema.json` says the same to people.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    employees: i64,
    industries: Vec<String>,
    #[serde(default = "a_month")]
    fresh_days: i64,
    advance: i32,
    review: Option<i32>,
}

fn a_month() -> i64 {
    30
}

pub struct NewRule;

impl Qualifier for NewRule {
    type Settings = Settings;

    fn describe() -> Descriptor {
        Descriptor {
            name: "new-rule".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Advances companies of a size and an industry, the more so while they are fresh".into(),
            settings_schema: include_str!("../schema.json").into(),
            reason_codes: Code::all(),
            reads: Lead::reads(),
        }
    }

    // What the JSON Schema cannot say.
    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        let advance = settings.advance;
        let review = settings.review.filter(|review| *review >= advance);
        let problem = |review| SettingsProblem::new("/review", format!("{review} must lie below advance, {advance}"));
        review.map(problem).into_iter().collect()
    }

    fn evaluate(settings: &Settings, context: &Context, leads: &Leads) -> Vec<Verdict> {
        leads.rows::<Lead>().map(|lead| judge(settings, context, &lead)).collect()
    }
}

fn judge(settings: &Settings, context: &Context, lead: &Lead) -> Verdict {
    let ours = |industry: &str| settings.industries.iter().any(|known| known.eq_ignore_ascii_case(industry.trim()));
    let is_fresh = |touched: i64| context.as_of - touched <= settings.fresh_days * DAY;
    let mut verdict = Verdict::new(Outcome::Hold);
    // Each line: is it so, and if it is not known, what could it be worth?
    for (holds, code, field, points) in [
        (lead.employees.map(|n| n >= settings.employees), Code::Large, Lead::employees, 40),
        (lead.industry.map(ours), Code::Industry, Lead::industry, 30),
        (lead.touched.map(is_fresh), Code::Fresh, Lead::touched, 30),
    ] {
        match holds {
            Some(true) if code == Code::Fresh => verdict.engagement += points,
            Some(true) => verdict.fit += points,
            Some(false) => continue,
            None => {
                verdict = verdict.misses(field, points);
                continue;
            }
        }
        verdict = verdict.because(code.weighs(points).on(field));
    }
    let total = verdict.fit + verdict.engagement;
    if total >= settings.advance {
        verdict.outcome = Outcome::Advance;
    } else if settings.review.is_some_and(|review| total >= review) {
        verdict.outcome = Outcome::Review(format!("{total} points; {} would advance", settings.advance));
    }
    verdict
}

export_qualifier!(NewRule);

#[cfg(test)]
handfast_sdk::cases!(qualifier NewRule);
