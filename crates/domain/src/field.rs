//! The field catalogue: everything that a rule or a criterion may read of a lead, with its kind, unit and meaning.
//!
//! New data is a new path here, never a new shape. `schema/fields.json` is generated from this file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Rises whenever a path is added or its meaning changes; stored with every snapshot.
pub const CATALOGUE_VERSION: u32 = 3;

/// The kind of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::Enum), graphql(name = "FieldKind"))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A text.
    Text,
    /// Whole numbers.
    IntegerList,
    /// Texts.
    TextList,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Text => "text",
            Kind::IntegerList => "integer-list",
            Kind::TextList => "text-list",
        })
    }
}

/// A value of a field. An unknown value is absent, never null.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number within ±2^53.
    Integer(i64),
    /// A text.
    Text(String),
    /// Whole numbers.
    IntegerList(Vec<i64>),
    /// Texts.
    TextList(Vec<String>),
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Value::Boolean(_) => Kind::Boolean,
            Value::Integer(_) => Kind::Integer,
            Value::Text(_) => Kind::Text,
            Value::IntegerList(_) => Kind::IntegerList,
            Value::TextList(_) => Kind::TextList,
        }
    }

    /// Whether the value can stand in a column of `kind`. An empty list is a list of either kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind() == kind
            || matches!((self, kind), (Value::IntegerList(list), Kind::TextList) if list.is_empty())
    }
}

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Field {
    /// Path by which rules name it.
    pub path: &'static str,
    /// Kind of its values.
    pub kind: Kind,
    /// "ms since 1970", "minor units", "basis points", "points", "count", "people", "days", or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// What it says.
    pub meaning: &'static str,
    /// Whether the value alone can point to a person. Contact data itself is never in the catalogue.
    pub personal: bool,
    /// Readable only by a router, after the qualification.
    pub routing: bool,
}

const fn field(path: &'static str, kind: Kind, unit: &'static str, meaning: &'static str) -> Field {
    let unit = if unit.is_empty() { None } else { Some(unit) };
    Field { path, kind, unit, meaning, personal: false, routing: false }
}

const fn routing(path: &'static str, kind: Kind, unit: &'static str, meaning: &'static str) -> Field {
    let mut field = field(path, kind, unit, meaning);
    field.routing = true;
    field
}

use Kind::{Boolean, Integer, Text, TextList};

/// Every path except the open families `traits.<key>` and `answers.<key>.…`.
pub static CATALOGUE: &[Field] = &[
    field(
        "lead.stage",
        Text,
        "",
        "Lifecycle stage kind of the open cycle: INQUIRY, IQL, MQL, SAL, SQL, OPPORTUNITY …",
    ),
    field("lead.cycle", Integer, "count", "Number of the open cycle; 1 is the first"),
    field("lead.captured-at", Integer, "ms since 1970", "When the lead was captured"),
    field("lead.source", Text, "", "Lead source as captured, for example organic_search"),
    field("lead.channel", Text, "", "Channel of the capture: ORGANIC_SEARCH, PAID_SEARCH, EMAIL …"),
    field("contact.title", Text, "", "Job title"),
    field("contact.seniority", Text, "", "Seniority of the title: C_LEVEL, VP, DIRECTOR, MANAGER, STAFF"),
    field("contact.department", Text, "", "Department of the contact"),
    field("contact.country", Text, "", "Country of the contact, ISO 3166 alpha-2"),
    field(
        "contact.email-domain",
        Text,
        "",
        "Domain of the e-mail address; the address itself is never readable",
    ),
    field("contact.consent", Boolean, "", "Whether the contact may be marketed to"),
    field("company.industry", Text, "", "Industry of the account"),
    field("company.employees", Integer, "people", "Employees of the account"),
    field(
        "company.annual-revenue",
        Integer,
        "minor units",
        "Annual revenue of the account, in the workspace's currency",
    ),
    field("company.country", Text, "", "Country of the account, ISO 3166 alpha-2"),
    field("company.region", Text, "", "Sales region of the account"),
    field("company.incumbent", Text, "", "Product that the account uses today"),
    field("company.incumbent-vendor", Text, "", "Vendor of the product that the account uses today"),
    field(
        "company.incumbent-contract-end",
        Integer,
        "ms since 1970",
        "When the contract of the product that the account uses today ends",
    ),
    field("persona.key", Text, "", "Key of the best matching persona"),
    field("persona.fit", Integer, "basis points", "How well the best persona matches, 0 to 10000"),
    field("persona.matched", TextList, "", "Traits of the best persona that hold"),
    field("persona.missing", TextList, "", "Traits of the best persona that do not hold or are unknown"),
    field("icp.key", Text, "", "Key of the ideal customer profile that fits best"),
    field("icp.fit", Integer, "basis points", "How well that profile fits, 0 to 10000"),
    field("icp.band", Text, "", "The same in words: IDEAL, GOOD, POOR, OUTSIDE, UNKNOWN"),
    field("engagement.first-touch", Integer, "ms since 1970", "First touchpoint"),
    field("engagement.last-touch", Integer, "ms since 1970", "Newest touchpoint"),
    field("engagement.total", Integer, "count", "Touchpoints in all channels"),
    field("engagement.organic-search", Integer, "count", "Touchpoints by organic search"),
    field("engagement.paid-search", Integer, "count", "Touchpoints by paid search"),
    field("engagement.paid-social", Integer, "count", "Touchpoints by paid social media"),
    field("engagement.organic-social", Integer, "count", "Touchpoints by organic social media"),
    field("engagement.email", Integer, "count", "Touchpoints by e-mail"),
    field("engagement.retargeting", Integer, "count", "Touchpoints by retargeting advertisements"),
    field("engagement.display", Integer, "count", "Touchpoints by display advertisements"),
    field("engagement.content", Integer, "count", "Touchpoints by content: articles, papers, downloads"),
    field("engagement.webinar", Integer, "count", "Touchpoints by webinars"),
    field("engagement.event", Integer, "count", "Touchpoints at events"),
    field("engagement.referral", Integer, "count", "Touchpoints by referral"),
    field("engagement.partner", Integer, "count", "Touchpoints by partners"),
    field("engagement.outbound", Integer, "count", "Touchpoints by outbound contact"),
    field("engagement.direct", Integer, "count", "Direct visits"),
    field("engagement.other", Integer, "count", "Touchpoints in any other channel"),
    field(
        "engagement.content-touched",
        TextList,
        "",
        "Content that the lead touched, oldest first, at most 32",
    ),
    field("campaign.key", Text, "", "Key of the campaign that the lead came from"),
    field("campaign.kind", Text, "", "Kind of that campaign"),
    field("campaign.channel", Text, "", "Channel of that campaign"),
    field("history.outcomes", TextList, "", "Outcomes of the closed cycles, oldest first"),
    field("history.reasons", TextList, "", "Disposition reasons of the closed cycles, oldest first"),
    field("history.furthest-stages", TextList, "", "Furthest stages of the closed cycles, oldest first"),
    field(
        "intent.high",
        Boolean,
        "",
        "Whether this evaluation was caused by a high-intent act that the charter lists",
    ),
    routing(
        "lead.territories",
        TextList,
        "",
        "Keys of the territories that the lead lies in; an owner works the territories that it lists",
    ),
    routing("verdict.fit", Integer, "points", "Fit score of the qualification"),
    routing("verdict.engagement", Integer, "points", "Engagement score of the qualification"),
    routing("verdict.reasons", TextList, "", "Reason codes of the qualification"),
];

/// What may be read of each graded answer, as `answers.<key>.<part>`.
pub static ANSWER_PARTS: &[Field] = &[
    field("grade", Integer, "0 to 4", "Grade of the answer: 0 unknown or no, 4 proven"),
    field("confidence", Integer, "basis points", "How sure whoever gave the grade was"),
    field("evidence", Boolean, "", "Whether it is written down what the grade rests on"),
    field("at", Integer, "ms since 1970", "When the answer was given"),
];

/// Traits that the workspace defined: key to kind. Personal traits are left out by the caller, since no rule may read them.
pub type TraitKinds = BTreeMap<String, Kind>;

/// A path that is not in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown field {path:?}{}", if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) })]
pub struct UnknownField {
    /// The path that is not in the catalogue.
    pub path: String,
    /// The paths that come nearest.
    pub nearest: Vec<String>,
}

/// The kind of the values at `path`, or the names that come nearest.
pub fn kind_of(path: &str, traits: &TraitKinds) -> Result<Kind, UnknownField> {
    if let Some(field) = CATALOGUE.iter().find(|field| field.path == path) {
        return Ok(field.kind);
    }
    if let Some(kind) = path.strip_prefix("traits.").and_then(|key| traits.get(key)) {
        return Ok(*kind);
    }
    if let Some((key, part)) = path.strip_prefix("answers.").and_then(|rest| rest.split_once('.'))
        && let Some(part) = ANSWER_PARTS.iter().find(|known| known.path == part)
        && is_key(key)
    {
        return Ok(part.kind);
    }
    let known = CATALOGUE
        .iter()
        .map(|field| field.path.to_owned())
        .chain(traits.keys().map(|key| format!("traits.{key}")))
        .chain(ANSWER_PARTS.iter().map(|part| format!("answers.<key>.{}", part.path)));
    Err(UnknownField { path: path.to_owned(), nearest: nearest(path, known) })
}

/// A key of a trait, campaign, queue, persona …: 1 to 64 of a-z, 0-9, `-` and `_`, beginning with a letter or digit.
pub fn is_key(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && text.as_bytes()[0].is_ascii_alphanumeric()
}

/// Up to three names within an edit distance of half of the word, nearest first.
pub fn nearest(word: &str, known: impl Iterator<Item = String>) -> Vec<String> {
    let word: String = word.chars().take(80).collect();
    let limit = word.chars().count() / 2;
    let mut scored: Vec<(usize, String)> = known.map(|name| (distance(&word, &name), name)).collect();
    scored.retain(|(score, _)| *score <= limit);
    scored.sort();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = before + usize::from(ca != *cb);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_path_names_the_nearest() {
        let refused = kind_of("company.employes", &TraitKinds::new()).unwrap_err();
        assert_eq!(refused.nearest[0], "company.employees");
        assert_eq!(refused.to_string().split(';').next(), Some("unknown field \"company.employes\""));
    }

    #[test]
    fn traits_are_readable_once_defined() {
        let traits = TraitKinds::from([("seats".to_owned(), Integer)]);
        assert_eq!(kind_of("traits.seats", &traits), Ok(Integer));
        assert_eq!(kind_of("traits.seat", &traits).unwrap_err().nearest, ["traits.seats"]);
        assert_eq!(kind_of("answers.budget.grade", &traits), Ok(Integer));
        assert_eq!(kind_of("answers.budget.evidence", &traits), Ok(Boolean));
        assert!(kind_of("answers.budget.words", &traits).is_err());
        assert!(kind_of("answers.Budget.grade", &traits).is_err());
    }

    #[test]
    fn paths_are_unique_and_none_is_contact_data() {
        let mut paths: Vec<_> = CATALOGUE.iter().map(|field| field.path).collect();
        paths.sort_unstable();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count);
        assert!(!CATALOGUE.iter().any(|field| field.personal), "personal data never enters the catalogue");
    }
}
