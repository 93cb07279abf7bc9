//! A qualifier that cheats: `{"tags": ["Closed by Horizzon"]}` lets leads through by what reps wrote down after they had talked
//! to them, `{"seconds": 300}` by how long the call was that decided. Nobody knows either in time; the tests of backtests are its
//! only user.

use handfast_sdk::*;
use serde::Deserialize;

reads! {
    pub struct Lead {
        tags: text = "traits.tags",
        duration: integer = "traits.duration",
    }
}

codes! {
    pub enum Code {
        Tag = "tag", "Tag", "What a rep wrote down afterwards.";
        Talked = "talked", "Talked for long", "The call was a long one.";
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    tags: Vec<String>,
    seconds: Option<i64>,
}

pub struct Hindsight;

impl Qualifier for Hindsight {
    type Settings = Settings;

    fn describe() -> Descriptor {
        Descriptor {
            name: "hindsight".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Knows afterwards what it should have known before".into(),
            settings_schema: r#"{"type": "object", "properties": {
                "tags": {"type": "array", "items": {"type": "string"}}, "seconds": {"type": "integer"}}}"#
                .into(),
            reason_codes: Code::all(),
            reads: Lead::reads(),
        }
    }

    fn check(_: &Settings) -> Vec<SettingsProblem> {
        vec![]
    }

    fn evaluate(settings: &Settings, _: &Context, leads: &Leads) -> Vec<Verdict> {
        leads.rows::<Lead>().map(|lead| judge(settings, &lead)).collect()
    }
}

fn judge(settings: &Settings, lead: &Lead) -> Verdict {
    let tagged = lead.tags.is_some_and(|tag| settings.tags.iter().any(|known| known == tag));
    let talked = settings.seconds.is_some_and(|least| lead.duration.is_some_and(|seconds| seconds >= least));
    match (tagged, talked) {
        (true, _) => Verdict::new(Outcome::Advance).because(Code::Tag.weighs(1).on(Lead::tags)),
        (_, true) => Verdict::new(Outcome::Advance).because(Code::Talked.weighs(1).on(Lead::duration)),
        _ => Verdict::new(Outcome::Hold),
    }
}

export_qualifier!(Hindsight, "../../schema/wit/handfast-rules@1.0.0");
