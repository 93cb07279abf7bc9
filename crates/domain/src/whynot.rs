//! Why a lead does not pass a gate: the values that are worth trying, and how much a change costs. Asking the rule is the
//! caller's part.
//!
//! Tried are the fields that a rule reads. What a persona match says follows from other fields, so these are tried in its
//! place and the match is made again.

use std::collections::{BTreeMap, BTreeSet};

use crate::charter::CharterBody;
use crate::criterion::{Comparator, FieldTest};
use crate::field::{self, Kind, TraitKinds, Value};

use crate::profile::match_again;
use crate::snapshot::Snapshot;
use crate::time::{DAY, Instant};

/// Values that are tried of one field.
pub const VALUES: usize = 24;

/// One field with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub field: String,
    /// None: it was unknown.
    pub from: Option<Value>,
    pub to: Value,
}

impl FieldChange {
    /// How hard the change is to bring about, 1 to 8: to learn or to ask something is easy, another touch takes some work, a
    /// company does not grow on demand, and the past stays as it is.
    pub fn cost(&self) -> u32 {
        match self.field.split_once('.').map_or("", |(family, _)| family) {
            "answers" => 1,
            "contact" | "company" | "traits" if self.from.is_none() => 1,
            "engagement" | "intent" => 2,
            "contact" | "company" | "traits" => 4,
            "campaign" => 6,
            _ => 8,
        }
    }

    /// How far an integer is moved; 0 for other kinds.
    pub fn distance(&self) -> u64 {
        match (&self.from, &self.to) {
            (Some(Value::Integer(from)), Value::Integer(to)) => from.abs_diff(*to),
            (None, Value::Integer(to)) => to.unsigned_abs(),
            _ => 0,
        }
    }
}

/// The snapshot as it would be.
pub fn with(snapshot: &Snapshot, changes: &[FieldChange], body: &CharterBody) -> Snapshot {
    let mut changed = snapshot.clone();
    for FieldChange { field, to, .. } in changes {
        changed.fields.insert(field.clone(), to.clone());
    }
    match_again(&mut changed.fields, body);
    changed
}

/// Where values come from.
pub struct Sources<'a> {
    /// What the rule reads.
    pub reads: &'a [(String, Kind)],
    /// The rule's settings.
    pub settings: &'a serde_json::Value,
    /// Tests that the charter makes: criteria, ideal customer, traits of personas.
    pub tests: &'a [&'a FieldTest],
    pub body: &'a CharterBody,
    /// Defined traits with their kinds.
    pub traits: &'a TraitKinds,
    /// Values that other leads have.
    pub observed: &'a BTreeMap<String, Vec<Value>>,
    pub as_of: Instant,
}

/// Every change of one field that is worth trying; of each field the likeliest values first, at most [`VALUES`].
pub fn candidates(snapshot: &Snapshot, sources: &Sources<'_>) -> Vec<FieldChange> {
    let mut fields: BTreeMap<&str, Kind> = BTreeMap::new();
    for (path, kind) in sources.reads {
        // What follows from other fields is changed by those.
        let (personas, profiles) = (&sources.body.personas, &sources.body.ideal_profiles);
        let tests: Vec<&FieldTest> = match path.split('.').next() {
            Some("persona") => personas.iter().flat_map(|one| &one.traits).map(|part| &part.test).collect(),
            Some("icp") => {
                let own = profiles.iter().flat_map(|one| &one.criteria).map(|part| &part.test);
                own.chain(&sources.body.ideal_customer).collect()
            }
            _ => {
                fields.insert(path, *kind);
                continue;
            }
        };
        let known = tests.into_iter().filter_map(|test| {
            Some((test.field.as_str(), field::kind_of(&test.field, sources.traits).ok()?))
        });
        fields.extend(known);
    }
    let mut found = vec![];
    for (path, kind) in fields {
        let from = snapshot.get(path).cloned();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let fresh = values(path, kind, from.as_ref(), sources).into_iter().filter(|value| {
            from.as_ref() != Some(value) && value.is(kind) && seen.insert(format!("{value:?}"))
        });
        let change = |to| FieldChange { field: path.to_owned(), from: from.clone(), to };
        found.extend(fresh.take(VALUES).map(change));
    }
    found
}

fn values(path: &str, kind: Kind, from: Option<&Value>, sources: &Sources<'_>) -> Vec<Value> {
    let mut values = vec![];
    for test in sources.tests.iter().filter(|test| test.field == path) {
        let known = [Comparator::Eq, Comparator::In, Comparator::Gte, Comparator::Lte];
        if known.contains(&test.comparator) {
            values.extend(test.values.iter().filter_map(|text| read(text, kind, from)));
        }
    }
    let mut near = vec![];
    beside(sources.settings, path, &mut near);
    for scalar in near {
        values.extend(from_settings(scalar, kind, from));
    }
    match kind {
        Kind::Boolean => values.extend([Value::Boolean(true), Value::Boolean(false)]),
        Kind::Integer => values.extend(integers(path, from, sources.as_of).into_iter().map(Value::Integer)),
        _ => {}
    }
    values.extend(sources.observed.get(path).into_iter().flatten().cloned());
    // What is said far from the field may be about it all the same.
    let mut all = vec![];
    scalars(sources.settings, &mut all);
    for scalar in all {
        values.extend(from_settings(scalar, kind, from));
    }
    values
}

/// Thresholds around the value that is there, and what the unit suggests.
fn integers(path: &str, from: Option<&Value>, as_of: Instant) -> Vec<i64> {
    let unit = field::CATALOGUE.iter().find(|field| field.path == path).and_then(|field| field.unit);
    let answer = path.strip_prefix("answers.").and_then(|rest| rest.split_once('.'));
    match (unit, answer) {
        (Some("ms since 1970"), _) | (_, Some((_, "at"))) => {
            [0, 1, 7, 30, 90].map(|days| as_of.plus(-days * DAY).ms()).to_vec()
        }
        (_, Some((_, "grade"))) => vec![4, 3, 2, 1, 0],
        (Some("basis points"), _) | (_, Some((_, "confidence"))) => vec![10_000, 7_500, 5_000, 2_500, 0],
        _ => match from {
            Some(Value::Integer(now)) => {
                let now = *now;
                vec![now + 1, now - 1, now.saturating_mul(2), now / 2, now.saturating_mul(10), now / 10, 0]
            }
            _ => vec![1, 10, 100, 1_000, 10_000, 0],
        },
    }
}

/// Scalars of the objects that name the field.
fn beside<'s>(settings: &'s serde_json::Value, path: &str, found: &mut Vec<&'s serde_json::Value>) {
    use serde_json::Value::{Array, Object, String};
    match settings {
        Object(map) if map.values().any(|value| matches!(value, String(text) if text == path)) => {
            let others = map.values().filter(|value| !matches!(value, String(text) if text == path));
            others.for_each(|value| scalars(value, found));
        }
        Object(map) => {
            for (key, value) in map {
                // Some settings are keyed by the field.
                if key == path { scalars(value, found) } else { beside(value, path, found) }
            }
        }
        Array(list) => list.iter().for_each(|value| beside(value, path, found)),
        _ => {}
    }
}

/// At most this many are looked at: settings may be long lists.
const SCALARS: usize = 200;

fn scalars<'s>(settings: &'s serde_json::Value, found: &mut Vec<&'s serde_json::Value>) {
    use serde_json::Value::{Array, Bool, Number, Object, String};
    match settings {
        Object(map) => map.values().for_each(|value| scalars(value, found)),
        Array(list) => list.iter().for_each(|value| scalars(value, found)),
        Bool(_) | Number(_) | String(_) if found.len() < SCALARS => found.push(settings),
        _ => {}
    }
}

/// A threshold may be met at it, above it or below it.
fn from_settings(scalar: &serde_json::Value, kind: Kind, from: Option<&Value>) -> Vec<Value> {
    use serde_json::Value::{Bool, Number, String};
    match (scalar, kind) {
        (Bool(value), Kind::Boolean) => vec![Value::Boolean(*value)],
        (Number(number), Kind::Integer) => {
            let around = |number: i64| [number, number.saturating_add(1), number.saturating_sub(1)];
            number.as_i64().map(around).into_iter().flatten().map(Value::Integer).collect()
        }
        (Number(number), Kind::IntegerList) => {
            number.as_i64().and_then(|number| read(&number.to_string(), kind, from)).into_iter().collect()
        }
        (String(text), Kind::Text | Kind::TextList) if !is_path(text) => {
            read(text, kind, from).into_iter().collect()
        }
        _ => vec![],
    }
}

fn is_path(text: &str) -> bool {
    field::CATALOGUE.iter().any(|field| field.path == text)
        || text.starts_with("traits.")
        || text.starts_with("answers.")
}

/// A value as the charter writes it. One that a list does not have yet is added to it.
fn read(text: &str, kind: Kind, from: Option<&Value>) -> Option<Value> {
    Some(match kind {
        Kind::Boolean => Value::Boolean(text.parse().ok()?),
        Kind::Integer => Value::Integer(text.parse().ok()?),
        Kind::Text => Value::Text(text.to_owned()),
        Kind::IntegerList => {
            let mut list = match from {
                Some(Value::IntegerList(list)) => list.clone(),
                _ => vec![],
            };
            let number = text.parse().ok()?;
            if list.contains(&number) {
                return None;
            }
            list.push(number);
            Value::IntegerList(list)
        }
        Kind::TextList => {
            let mut list = match from {
                Some(Value::TextList(list)) => list.clone(),
                _ => vec![],
            };
            if list.iter().any(|known| known == text) {
                return None;
            }
            list.push(text.to_owned());
            Value::TextList(list)
        }
    })
}

/// The value as the charter writes it; a list with commas between.
pub fn text(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::IntegerList(list) => list.iter().map(i64::to_string).collect::<Vec<_>>().join(", "),
        Value::TextList(list) => list.join(", "),
    }
}

/// Points between two integers at which a rule may change its mind: at most `count`, the lower one left out.
pub fn between(from: i64, to: i64, count: i64) -> Vec<i64> {
    let span = i128::from(to) - i128::from(from);
    let points = (1..=i128::from(count)).map(|step| i128::from(from) + span * step / i128::from(count));
    let mut points: Vec<i64> = points.filter_map(|point| i64::try_from(point).ok()).collect();
    points.retain(|point| *point != from);
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn snapshot(fields: &[(&str, Value)]) -> Snapshot {
        Snapshot {
            catalogue: field::CATALOGUE_VERSION,
            lead: Uuid::nil(),
            salt: "salt".into(),
            charter: 0,
            fields: fields.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect(),
            pool: None,
        }
    }

    fn tried(snapshot: &Snapshot, path: &str, kind: Kind, settings: serde_json::Value) -> Vec<Value> {
        let test = FieldTest::new("company.industry", Comparator::In, &["steel"]);
        let sources = Sources {
            reads: &[(path.to_owned(), kind)],
            settings: &settings,
            tests: &[&test],
            body: &CharterBody::unsigned("EUR", "UTC"),
            traits: &TraitKinds::new(),
            observed: &BTreeMap::from([("company.industry".to_owned(), vec![Value::Text("wood".into())])]),
            as_of: Instant(100 * DAY),
        };
        candidates(snapshot, &sources).into_iter().map(|change| change.to).collect()
    }

    #[test]
    fn values_come_from_the_charter_the_settings_other_leads_and_around_what_is_there() {
        let settings = json!({"fit": [
            {"field": "company.employees", "ranges": [{"from": 50, "points": 3}]},
            {"field": "company.industry", "values": [{"is": ["paper"], "points": 7}]},
        ]});
        let known = snapshot(&[("company.employees", Value::Integer(20))]);
        let employees = tried(&known, "company.employees", Kind::Integer, settings.clone());
        for value in [50, 51, 49, 21, 19, 40, 10, 200] {
            assert!(employees.contains(&Value::Integer(value)), "{value} of {employees:?}");
        }
        assert!(!employees.contains(&Value::Integer(20)), "what it is already changes nothing");
        let industry = tried(&known, "company.industry", Kind::Text, settings);
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(industry, [text("steel"), text("paper"), text("wood")]);
        let days = tried(&known, "engagement.last-touch", Kind::Integer, json!({}));
        assert!(days.contains(&Value::Integer(93 * DAY)), "{days:?}");
        let touched =
            tried(&known, "engagement.content-touched", Kind::TextList, json!({"wants": ["pricing"]}));
        assert_eq!(touched, [Value::TextList(vec!["pricing".into()])]);
    }

    #[test]
    fn to_ask_is_cheaper_than_to_change_what_is_so() {
        let change = |field: &str, from: Option<i64>| FieldChange {
            field: field.into(),
            from: from.map(Value::Integer),
            to: Value::Integer(9),
        };
        let costs = [
            change("answers.need.grade", None).cost(),
            change("company.employees", None).cost(),
            change("engagement.email", Some(1)).cost(),
            change("company.employees", Some(1)).cost(),
            change("lead.cycle", Some(1)).cost(),
        ];
        assert_eq!(costs, [1, 1, 2, 4, 8]);
        assert_eq!(change("company.employees", Some(7)).distance(), 2);
    }

    #[test]
    fn points_between_close_in_on_a_threshold() {
        assert_eq!(between(0, 10, 5), [2, 4, 6, 8, 10]);
        assert_eq!(between(0, 2, 5), [1, 2]);
        assert_eq!(between(10, 7, 3), [9, 8, 7]);
        assert_eq!(between(i64::MIN, i64::MAX, 2), [-1, i64::MAX]);
        assert!(between(3, 3, 4).is_empty());
    }

    #[test]
    fn a_persona_and_a_profile_are_matched_again() {
        let mut body = CharterBody::unsigned("EUR", "UTC");
        body.ideal_customer = vec![FieldTest::new("contact.seniority", Comparator::Eq, &["C_LEVEL"])];
        let persona = crate::persona::Persona {
            key: "boss".into(),
            name: "Boss".into(),
            traits: vec![crate::persona::PersonaTrait {
                key: "senior".into(),
                test: FieldTest::new("contact.seniority", Comparator::Eq, &["C_LEVEL"]),
                weight: 1,
            }],
            pains: vec![],
            stage_profiles: vec![],
        };
        body.personas = vec![persona];
        let plain = snapshot(&[]);
        let change =
            FieldChange { field: "contact.seniority".into(), from: None, to: Value::Text("C_LEVEL".into()) };
        let changed = with(&plain, &[change], &body);
        assert_eq!(changed.text("persona.key"), Some("boss"));
        assert_eq!(changed.get("icp.fit"), Some(&Value::Integer(10_000)));
        let back =
            FieldChange { field: "contact.seniority".into(), from: None, to: Value::Text("STAFF".into()) };
        let back = with(&changed, &[back], &body);
        assert_eq!((back.get("persona.key"), back.get("icp.fit")), (None, Some(&Value::Integer(0))));
    }
}
