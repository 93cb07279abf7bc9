//! Audiences: leads by tests on their fields, and the tests by which past wins stand out from everybody else.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::criterion::{Comparator, FieldTest};
use crate::field::Value;
use crate::share::basis_points;
use crate::time::Instant;

/// What an audience was made of, beside its tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Basis {
    /// Feedback that asked for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<Uuid>,
    /// Past wins that it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wins: Option<WinBasis>,
}

/// The wins that an audience was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WinBasis {
    pub from: Instant,
    pub to: Instant,
    /// Leads that were won.
    pub wins: i64,
    /// Leads that they were held against.
    pub others: i64,
    pub traits: Vec<Lift>,
}

/// A value that wins have more often than others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "AudienceTrait"))]
#[serde(rename_all = "camelCase")]
pub struct Lift {
    /// Path in the field catalogue.
    pub field: String,
    /// The value, as text.
    pub value: String,
    /// Share of the won leads that have it, in basis points.
    pub win_share_basis_points: i32,
    /// Share of all leads that have it, in basis points.
    pub lead_share_basis_points: i32,
    /// The first divided by the second, in basis points: 20000 is twice as often.
    pub lift_basis_points: i32,
}

/// One version of an audience; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudienceVersion {
    pub number: u32,
    /// All of them hold.
    pub tests: Vec<FieldTest>,
    pub based_on: Basis,
    /// Leads when it was made.
    pub size: i64,
    pub created_by: Uuid,
    pub created_at: Instant,
}

/// An audience with all of its versions, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audience {
    pub id: Uuid,
    pub key: String,
    pub name: String,
    pub versions: Vec<AudienceVersion>,
}

impl Audience {
    pub fn current(&self) -> Option<&AudienceVersion> {
        self.versions.last()
    }

    /// Whether a lead with these fields belongs to it, as it is defined now.
    pub fn holds(&self, fields: &BTreeMap<String, Value>) -> bool {
        self.current().is_some_and(|version| hold(&version.tests, fields))
    }
}

/// Whether all tests hold; without any nobody is meant.
pub fn hold(tests: &[FieldTest], fields: &BTreeMap<String, Value>) -> bool {
    !tests.is_empty() && tests.iter().all(|test| test.holds(fields))
}

/// What a lead is, and not what was done with it: by these wins are told from others.
const DESCRIBING: [&str; 11] = [
    "company.industry",
    "company.country",
    "company.region",
    "company.incumbent",
    "contact.seniority",
    "contact.department",
    "contact.country",
    "persona.key",
    "campaign.kind",
    "lead.channel",
    "lead.source",
];

/// A value stands out from here on: a fifth more often among wins than among all leads.
const LEAST_LIFT: i64 = 12_000;
/// Fields of one audience: more of them leave too few people.
const FIELDS: usize = 3;

/// What defines past wins: for up to three describing fields the values that stand out, where together they cover at least half
/// of the wins. Lift is the share among wins divided by the share among all leads; a value counts from `support` wins on.
pub fn defining(
    wins: &[BTreeMap<String, Value>],
    all: &[BTreeMap<String, Value>],
    support: i64,
) -> (Vec<FieldTest>, Vec<Lift>) {
    let traits: BTreeSet<&str> = wins
        .iter()
        .flat_map(BTreeMap::keys)
        .map(String::as_str)
        .filter(|path| path.starts_with("traits."))
        .collect();
    let mut chosen: Vec<(i64, FieldTest, Vec<Lift>)> = vec![];
    for field in DESCRIBING.into_iter().chain(traits) {
        let (among_wins, among_all) = (count(wins, field), count(all, field));
        let (mut lifts, mut covered, mut weighted) = (vec![], 0, 0);
        for (value, times) in &among_wins {
            let others = among_all.get(value).copied().unwrap_or(0).max(*times);
            let (of_wins, of_all) = (i64::try_from(wins.len()), i64::try_from(all.len().max(wins.len())));
            let (Ok(of_wins), Ok(of_all)) = (of_wins, of_all) else { continue };
            // (times / wins) / (others / all), in basis points.
            let lift = (times * of_all * 10_000).checked_div(others * of_wins).unwrap_or(0);
            if *times < support || lift < LEAST_LIFT {
                continue;
            }
            (covered, weighted) = (covered + times, weighted + times * lift);
            lifts.push(Lift {
                field: field.to_owned(),
                value: value.clone(),
                win_share_basis_points: basis_points(*times, of_wins).unwrap_or(0),
                lead_share_basis_points: basis_points(others, of_all).unwrap_or(0),
                lift_basis_points: i32::try_from(lift).unwrap_or(i32::MAX),
            });
        }
        let half = i64::try_from(wins.len()).is_ok_and(|wins| covered * 2 >= wins);
        if half && !lifts.is_empty() && lifts.len() <= 100 {
            lifts.sort_by(|a, b| {
                b.lift_basis_points.cmp(&a.lift_basis_points).then_with(|| a.value.cmp(&b.value))
            });
            let values: Vec<&str> = lifts.iter().map(|lift| lift.value.as_str()).collect();
            let test = match values[..] {
                [one] => FieldTest::new(field, Comparator::Eq, &[one]),
                _ => FieldTest::new(field, Comparator::In, &values),
            };
            chosen.push((weighted / covered, test, lifts));
        }
    }
    chosen.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.field.cmp(&b.1.field)));
    chosen.truncate(FIELDS);
    let lifts = chosen.iter().flat_map(|(_, _, lifts)| lifts.clone()).collect();
    (chosen.into_iter().map(|(_, test, _)| test).collect(), lifts)
}

/// How often each value of a field occurs, as text; numbers and lists define nobody.
fn count(leads: &[BTreeMap<String, Value>], field: &str) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for fields in leads {
        let text = match fields.get(field) {
            Some(Value::Text(text)) if !text.is_empty() => text.clone(),
            Some(Value::Boolean(yes)) => yes.to_string(),
            _ => continue,
        };
        *counts.entry(text).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(industry: &str, channel: &str) -> BTreeMap<String, Value> {
        [("company.industry", industry), ("lead.channel", channel)]
            .map(|(field, value)| (field.to_owned(), Value::Text(value.to_owned())))
            .into()
    }

    /// Eight of ten wins are of software, as are twenty of a hundred leads: four times as often. Channels tell nothing.
    #[test]
    fn wins_are_defined_by_what_they_have_more_often_than_others() {
        let wins: Vec<_> =
            (0..10).map(|n| lead(if n < 8 { "software" } else { "retail" }, "EVENT")).collect();
        let all: Vec<_> =
            (0..100).map(|n| lead(if n < 20 { "software" } else { "retail" }, "EVENT")).collect();
        let (tests, lifts) = defining(&wins, &all, 3);
        assert_eq!(tests, [FieldTest::new("company.industry", Comparator::Eq, &["software"])]);
        let [lift] = &lifts[..] else { panic!("{lifts:?}") };
        assert_eq!((lift.win_share_basis_points, lift.lead_share_basis_points), (8_000, 2_000));
        assert_eq!(lift.lift_basis_points, 40_000);
        assert!(hold(&tests, &lead("software", "EMAIL")) && !hold(&tests, &lead("retail", "EVENT")));
    }

    #[test]
    fn a_value_of_few_wins_and_a_field_that_covers_few_define_nothing() {
        let wins: Vec<_> =
            (0..10).map(|n| lead(if n < 2 { "software" } else { "retail" }, "EVENT")).collect();
        let all: Vec<_> =
            (0..100).map(|n| lead(if n < 2 { "software" } else { "retail" }, "EVENT")).collect();
        assert_eq!(defining(&wins, &all, 3), (vec![], vec![]), "two wins are too few");
        assert_eq!(defining(&wins, &all, 1), (vec![], vec![]), "and cover less than half");
        assert_eq!(defining(&[], &all, 1), (vec![], vec![]));
        assert!(!hold(&[], &lead("software", "EVENT")), "no test is nobody, and not everybody");
    }
}
