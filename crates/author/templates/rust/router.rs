//! A small router to start from: the owner with the most room gets the lead, and a queue does when nobody is free.

use handfast_sdk::*;
use serde::Deserialize;

reads! {
    /// What the rule may see of a lead. `handfast plugin check` knows the paths; `schema/fields.json` of Handfast lists them.
    pub struct Lead {
        fit: integer = "verdict.fit",
    }
}

codes! {
    pub enum Code {
        MostRoom = "most-room", "Most room", "Of those who are free, this owner has the smallest part of their capacity in use.";
        Urgent = "urgent", "High fit first", "The fit reaches what the settings call urgent.";
        NobodyFree = "nobody-free", "Nobody free", "No owner of the pool is available and below capacity.";
    }
}

/// What the operator sets; `schema.json` says the same to people.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    queue: String,
    #[serde(default = "sixty")]
    urgent_fit: i64,
}

fn sixty() -> i64 {
    60
}

pub struct NewRule;

impl Router for NewRule {
    type Settings = Settings;

    fn describe() -> Descriptor {
        Descriptor {
            name: "new-rule".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends each lead to the owner with the most room".into(),
            settings_schema: include_str!("../schema.json").into(),
            reason_codes: Code::all(),
            reads: Lead::reads(),
        }
    }

    fn assign(settings: &Settings, _: &Context, lead: &Leads, owners: &[Owner]) -> Assignment {
        let fit = lead.rows::<Lead>().next().and_then(|lead| lead.fit);
        let free = owners.iter().filter(|owner| owner.available && owner.open_leads < owner.capacity);
        // Shares are compared without dividing, and ties go by id: the same input always gives the same owner.
        let least = free.min_by(|a, b| {
            let (left, right) = (u64::from(a.open_leads), u64::from(b.open_leads));
            let shares = (left * u64::from(b.capacity)).cmp(&(right * u64::from(a.capacity)));
            shares.then_with(|| a.id.cmp(&b.id))
        });
        let mut assignment = match least {
            Some(owner) => {
                let mut given = Assignment::new(Target::Owner(owner.id.clone()));
                given.reasons.push(Code::MostRoom.weighs(0));
                given
            }
            None => {
                let mut given = Assignment::new(Target::Queue(settings.queue.clone()));
                given.reasons.push(Code::NobodyFree.weighs(0));
                given
            }
        };
        if fit.is_some_and(|fit| fit >= settings.urgent_fit) {
            assignment.priority = 100;
            assignment.reasons.push(Code::Urgent.weighs(100).on(Lead::fit));
        }
        assignment
    }
}

export_router!(NewRule);

#[cfg(test)]
handfast_sdk::cases!(router NewRule);
