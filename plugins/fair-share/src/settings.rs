//! The settings document, and what the JSON Schema cannot check of it.

use handfast_sdk::SettingsProblem;
use serde::Deserialize;

use crate::Lead;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// For people; the rule does not read it.
    #[serde(default)]
    pub description: String,
    /// The first territory whose conditions all hold is the lead's.
    #[serde(default)]
    pub territories: Vec<Territory>,
    /// A text field whose value is the territory's key, asked when no territory above holds.
    pub territory_field: Option<String>,
    /// A lead in no territory.
    #[serde(default)]
    pub without_territory: Otherwise,
    /// A lead whose territory has nobody who could take it.
    #[serde(default)]
    pub nobody_there: Otherwise,
    /// Where a lead waits that nobody can take.
    pub fallback_queue: String,
    /// The first entry that the fit reaches gives the priority; the fit itself otherwise.
    #[serde(default)]
    pub priorities: Vec<Priority>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Territory {
    pub key: String,
    pub when: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    pub field: String,
    /// For a text: it is one of these, upper and lower case being the same.
    #[serde(default)]
    pub is: Vec<String>,
    /// For a number.
    pub from: Option<i64>,
    pub below: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Otherwise {
    /// The lead waits in the fallback queue.
    #[default]
    Queue,
    /// Every owner of the pool may take it.
    Anyone,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Priority {
    pub fit_from: i64,
    pub priority: i32,
}

impl Settings {
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        let mut keys: Vec<&str> = Vec::new();
        for (at, territory) in self.territories.iter().enumerate() {
            if keys.contains(&territory.key.as_str()) {
                let message = format!("{} is named twice; put its conditions into one place", territory.key);
                problems.push(SettingsProblem::new(format!("/territories/{at}/key"), message));
            }
            keys.push(&territory.key);
            for (n, condition) in territory.when.iter().enumerate() {
                let pointer = format!("/territories/{at}/when/{n}");
                problems.extend(condition.problem().map(|message| SettingsProblem::new(pointer, message)));
            }
        }
        if let Some(field) = &self.territory_field
            && !Lead::TEXTS.contains(&field.as_str())
        {
            let message = format!("{field} is not one of {}", Lead::TEXTS.join(", "));
            problems.push(SettingsProblem::new("/territoryField", message));
        }
        let falling = self.priorities.windows(2).position(|pair| pair[0].fit_from <= pair[1].fit_from);
        if let Some(at) = falling {
            let message = "never reached: the entry before it already holds; list the highest fitFrom first";
            problems.push(SettingsProblem::new(format!("/priorities/{}", at + 1), message));
        }
        problems
    }
}

impl Condition {
    pub fn holds(&self, lead: &Lead) -> bool {
        if let Some(text) = lead.text(&self.field) {
            return self.is.iter().any(|word| same(word, text));
        }
        let Some(number) = lead.integer(&self.field) else { return false };
        self.is.is_empty()
            && self.from.is_none_or(|from| number >= from)
            && self.below.is_none_or(|below| number < below)
    }

    fn problem(&self) -> Option<String> {
        let (text, number) = (!self.is.is_empty(), self.from.is_some() || self.below.is_some());
        if Lead::TEXTS.contains(&self.field.as_str()) {
            return (!text || number).then(|| format!("{} is a text: give `is`", self.field));
        }
        if Lead::INTEGERS.contains(&self.field.as_str()) {
            return (text || !number).then(|| format!("{} is a number: give `from` or `below`", self.field));
        }
        let known = [Lead::TEXTS, Lead::INTEGERS].concat();
        Some(format!("{} is not one of {}", self.field, known.join(", ")))
    }
}

impl Lead<'_> {
    const TEXTS: &'static [&'static str] = &[
        "company.country",
        "company.region",
        "company.industry",
        "contact.country",
        "persona.key",
        "lead.source",
        "lead.channel",
        "campaign.key",
    ];
    const INTEGERS: &'static [&'static str] = &["company.employees", "verdict.fit", "verdict.engagement"];

    pub fn text(&self, path: &str) -> Option<&str> {
        match path {
            "company.country" => self.company_country,
            "company.region" => self.company_region,
            "company.industry" => self.company_industry,
            "contact.country" => self.contact_country,
            "persona.key" => self.persona,
            "lead.source" => self.source,
            "lead.channel" => self.channel,
            "campaign.key" => self.campaign,
            _ => None,
        }
    }

    fn integer(&self, path: &str) -> Option<i64> {
        match path {
            "company.employees" => self.company_employees,
            "verdict.fit" => self.fit,
            "verdict.engagement" => self.engagement,
            _ => None,
        }
    }
}

/// People type territories and countries; case and blanks at the ends are no difference.
pub fn same(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_field_but_the_score_can_make_a_territory() {
        for field in Lead::reads() {
            let listed =
                Lead::TEXTS.contains(&field.path.as_str()) || Lead::INTEGERS.contains(&field.path.as_str());
            assert!(listed, "{}", field.path);
        }
    }
}
