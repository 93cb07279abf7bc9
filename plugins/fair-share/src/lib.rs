//! Weighted round robin over the owners of a pool: territory first, then who is available, then who is owed the next lead.
//!
//! The host keeps the counts and calls with one lead at a time, so that the same input always gives the same owner. What the
//! settings mean stands in `schema.json`, in words.

mod settings;
mod share;

use handfast_sdk::*;

pub use settings::Settings;
pub use share::assign;

reads! {
    /// What a territory may be made of, and what the qualification found.
    pub struct Lead {
        company_country: text = "company.country",
        company_region: text = "company.region",
        company_industry: text = "company.industry",
        company_employees: integer = "company.employees",
        contact_country: text = "contact.country",
        persona: text = "persona.key",
        source: text = "lead.source",
        channel: text = "lead.channel",
        campaign: text = "campaign.key",
        fit: integer = "verdict.fit",
        engagement: integer = "verdict.engagement",
    }
}

codes! {
    pub enum Code {
        Territory = "territory", "Works this territory", "The owner works the territory that the lead is in.";
        FairShare = "fair-share", "Next in turn", "Of those who could take it, this owner has had the smallest share.";
        HighFit = "high-fit", "High fit first", "The fit gave the lead a priority of its own.";
        NoTerritory = "no-territory", "In no territory", "No territory of the settings names the lead.";
        NobodyThere = "nobody-there", "Nobody in the territory", "No owner of the territory could take the lead now.";
        NobodyAvailable = "nobody-available", "Nobody available", "No owner of the pool could take the lead now.";
    }
}

/// The rule.
pub struct FairShare;

impl Router for FairShare {
    type Settings = Settings;

    fn describe() -> Descriptor {
        Descriptor {
            name: "fair-share".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends each lead to the owner who is owed the next one, within territory, availability and capacity".into(),
            settings_schema: include_str!("../schema.json").into(),
            reason_codes: Code::all(),
            reads: Lead::reads(),
        }
    }

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    fn assign(settings: &Settings, context: &Context, lead: &Leads, owners: &[Owner]) -> Assignment {
        match lead.rows::<Lead>().next() {
            Some(lead) => assign(settings, context, &lead, owners),
            None => Assignment::new(Target::Fault("no lead was given".into())),
        }
    }
}

export_router!(FairShare, "../../schema/wit/handfast-rules@1.0.0");

#[cfg(test)]
handfast_sdk::cases!(router FairShare);
