//! Forms: what they ask, version by version, and which of their fields tell who buys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::field::is_key;
use crate::share::basis_points;
use crate::stage::StageKind;
use crate::time::Instant;

/// One question of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "FormField", input_name = "FormFieldInput")
)]
#[serde(rename_all = "camelCase")]
pub struct FormField {
    /// What of the captured lead it fills: `email`, `phone`, `name`, `title`, `seniority`, `department`, `country`, `consent`,
    /// `company.name`, `company.domain`, `company.industry`, `company.employees`, `company.annualRevenue`, `company.country`,
    /// `company.region`, `company.incumbent`, `company.incumbentVendor`, `company.incumbentContractEndsAt`, or `traits.<key>`.
    pub fills: String,
    /// The question, as the form puts it.
    pub label: String,
    /// A capture by the form is refused without it.
    #[serde(default)]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub required: bool,
}

/// What a form asked from some day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormVersion {
    pub number: u32,
    pub fields: Vec<FormField>,
    pub defined_at: Instant,
    /// Feedback that it was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub based_on: Vec<Uuid>,
}

/// A form with all of its versions, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormDefinition {
    pub id: Uuid,
    pub key: String,
    pub name: String,
    pub versions: Vec<FormVersion>,
}

impl FormDefinition {
    /// What it asks now.
    pub fn current(&self) -> Option<&FormVersion> {
        self.versions.last()
    }
}

/// What a field fills, and the path under which rules read it; those that no rule can read have none.
const FILLS: [(&str, Option<&str>); 18] = [
    ("email", Some("contact.email-domain")),
    ("phone", None),
    ("name", None),
    ("title", Some("contact.title")),
    ("seniority", Some("contact.seniority")),
    ("department", Some("contact.department")),
    ("country", Some("contact.country")),
    ("consent", Some("contact.consent")),
    ("company.name", None),
    ("company.domain", None),
    ("company.industry", Some("company.industry")),
    ("company.employees", Some("company.employees")),
    ("company.annualRevenue", Some("company.annual-revenue")),
    ("company.country", Some("company.country")),
    ("company.region", Some("company.region")),
    ("company.incumbent", Some("company.incumbent")),
    ("company.incumbentVendor", Some("company.incumbent-vendor")),
    ("company.incumbentContractEndsAt", Some("company.incumbent-contract-end")),
];

/// Everything but traits that a field can fill.
pub fn fillable() -> impl Iterator<Item = &'static str> + Clone {
    FILLS.iter().map(|(fills, _)| *fills)
}

/// Whether it can be filled; of traits only the form of the key is looked at.
pub fn is_fillable(fills: &str) -> bool {
    fillable().any(|known| known == fills) || fills.strip_prefix("traits.").is_some_and(is_key)
}

/// The path in the catalogue under which rules read what a field fills.
pub fn path_of(fills: &str) -> Option<String> {
    if fills.starts_with("traits.") {
        return Some(fills.to_owned());
    }
    FILLS.iter().find(|(known, _)| *known == fills).and_then(|(_, path)| path.map(str::to_owned))
}

/// Submissions that are alike: what was filled, how far the lead came, whether it bought, and how many they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    pub version: u32,
    pub filled: Vec<String>,
    pub furthest: StageKind,
    pub won: bool,
    pub count: i64,
}

/// Submissions of one kind: how many, and what became of their leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Became {
    pub submissions: i64,
    pub mql: i64,
    pub won: i64,
}

impl Became {
    fn add(&mut self, one: &Submitted) {
        self.submissions += one.count;
        self.mql += if one.furthest >= StageKind::Mql { one.count } else { 0 };
        self.won += if one.won { one.count } else { 0 };
    }

    /// Share that reached MQL, in basis points; none without submissions.
    pub fn mql_share(&self) -> Option<i32> {
        basis_points(self.mql, self.submissions)
    }

    /// Share that bought, in basis points; none without submissions.
    pub fn won_share(&self) -> Option<i32> {
        basis_points(self.won, self.submissions)
    }
}

/// What one field of a form is good for: what became of those who filled it, beside those who left it empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usefulness {
    pub filled: Became,
    pub empty: Became,
}

/// Of each field, over the versions that asked it.
pub fn usefulness(form: &FormDefinition, submitted: &[Submitted]) -> BTreeMap<String, Usefulness> {
    let mut found: BTreeMap<String, Usefulness> = BTreeMap::new();
    for one in submitted {
        let version = form.versions.iter().find(|version| version.number == one.version);
        for field in version.into_iter().flat_map(|version| &version.fields) {
            let of = found.entry(field.fills.clone()).or_default();
            let side = if one.filled.contains(&field.fills) { &mut of.filled } else { &mut of.empty };
            side.add(one);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(fills: &str) -> FormField {
        FormField { fills: fills.into(), label: fills.into(), required: false }
    }

    fn submitted(version: u32, filled: &[&str], furthest: StageKind, won: bool, count: i64) -> Submitted {
        let filled = filled.iter().map(|one| (*one).to_owned()).collect();
        Submitted { version, filled, furthest, won, count }
    }

    /// Ten who name their company's size, six of whom become an MQL and three buy; forty who do not, four of whom become one.
    #[test]
    fn a_field_is_useful_if_those_who_fill_it_go_further() {
        let version =
            |number, fields| FormVersion { number, fields, defined_at: Instant(0), based_on: vec![] };
        let form = FormDefinition {
            id: Uuid::nil(),
            key: "demo".into(),
            name: "Demo".into(),
            versions: vec![
                version(1, vec![field("email")]),
                version(2, vec![field("email"), field("company.employees")]),
            ],
        };
        let all = [
            submitted(1, &["email"], StageKind::Inquiry, false, 100),
            submitted(2, &["email", "company.employees"], StageKind::Inquiry, false, 4),
            submitted(2, &["email", "company.employees"], StageKind::Mql, false, 3),
            submitted(2, &["email", "company.employees"], StageKind::Customer, true, 3),
            submitted(2, &["email"], StageKind::Inquiry, false, 36),
            submitted(2, &["email"], StageKind::Sql, false, 4),
        ];
        let found = usefulness(&form, &all);
        let size = &found["company.employees"];
        assert_eq!(size.filled, Became { submissions: 10, mql: 6, won: 3 });
        assert_eq!(size.empty, Became { submissions: 40, mql: 4, won: 0 }, "nobody was asked by version 1");
        assert_eq!((size.filled.mql_share(), size.empty.mql_share()), (Some(6_000), Some(1_000)));
        assert_eq!(size.filled.won_share(), Some(3_000));
        assert_eq!(found["email"].filled.submissions, 150);
        assert_eq!(found["email"].empty.won_share(), None);
    }

    #[test]
    fn what_a_field_fills_is_known_and_so_is_where_rules_read_it() {
        for fills in ["email", "company.annualRevenue", "traits.seats"] {
            assert!(is_fillable(fills), "{fills}");
        }
        for fills in ["mail", "company", "traits.", "traits.Seats", "lead.stage"] {
            assert!(!is_fillable(fills), "{fills}");
        }
        assert_eq!(path_of("company.annualRevenue").as_deref(), Some("company.annual-revenue"));
        assert_eq!(path_of("traits.seats").as_deref(), Some("traits.seats"));
        assert_eq!(path_of("name"), None);
    }
}
