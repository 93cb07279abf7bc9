//! Tests on fields: the shared small language of gate criteria, persona traits and the ideal customer profile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::field::{self, Kind, TraitKinds, Value};
use crate::text::text_enum;

text_enum! {
    /// How a field is compared with the given values.
    pub enum Comparator {
        /// Equal to the one value; for a list, contains it.
        Eq = "EQ",
        /// Known, and different from the one value.
        Neq = "NEQ",
        /// Equal to one of the values; for a list, contains one of them.
        In = "IN",
        /// An integer of at least the one value.
        Gte = "GTE",
        /// An integer of at most the one value.
        Lte = "LTE",
        /// Known, whatever its value.
        Known = "KNOWN",
    }
}

/// A test on one field of the catalogue, for example `company.employees GTE 50`. An unknown field never holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "FieldTest", input_name = "FieldTestInput")
)]
#[serde(rename_all = "camelCase")]
pub struct FieldTest {
    /// Path in the field catalogue.
    pub field: String,
    /// How the field is compared.
    pub comparator: Comparator,
    /// Values as text: `true`, `50`, `software`. Integers in the field's own unit.
    pub values: Vec<String>,
}

impl FieldTest {
    pub fn new(field: &str, comparator: Comparator, values: &[&str]) -> FieldTest {
        FieldTest {
            field: field.to_owned(),
            comparator,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        }
    }

    pub fn holds(&self, fields: &BTreeMap<String, Value>) -> bool {
        let Some(found) = fields.get(&self.field) else { return false };
        let first = self.values.first().map(String::as_str).unwrap_or_default();
        match self.comparator {
            Comparator::Known => true,
            Comparator::Eq => equals(found, first),
            Comparator::Neq => !equals(found, first),
            Comparator::In => self.values.iter().any(|value| equals(found, value)),
            Comparator::Gte => {
                integer(found).zip(first.parse().ok()).is_some_and(|(a, b): (i64, i64)| a >= b)
            }
            Comparator::Lte => {
                integer(found).zip(first.parse().ok()).is_some_and(|(a, b): (i64, i64)| a <= b)
            }
        }
    }

    /// What is wrong with the test itself, if anything.
    pub fn problem(&self, traits: &TraitKinds) -> Option<String> {
        let kind = match field::kind_of(&self.field, traits) {
            Ok(kind) => kind,
            Err(unknown) => return Some(unknown.to_string()),
        };
        let wanted = match self.comparator {
            Comparator::Known => 0..=0,
            Comparator::In => 1..=100,
            _ => 1..=1,
        };
        if !wanted.contains(&self.values.len()) {
            return Some(format!(
                "{} takes {} to {} values, found {}",
                self.comparator,
                wanted.start(),
                wanted.end(),
                self.values.len()
            ));
        }
        if matches!(self.comparator, Comparator::Gte | Comparator::Lte) && kind != Kind::Integer {
            return Some(format!("{} needs an integer field; {} is {kind}", self.comparator, self.field));
        }
        let fits = |value: &String| match kind {
            Kind::Boolean => value == "true" || value == "false",
            Kind::Integer | Kind::IntegerList => value.parse::<i64>().is_ok(),
            Kind::Text | Kind::TextList => !value.is_empty(),
        };
        let odd = self.values.iter().find(|value| !fits(value))?;
        Some(format!("{odd:?} is no value of {}, which is {kind}", self.field))
    }
}

impl std::fmt::Display for FieldTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.field, self.comparator, self.values.join(", "))
    }
}

fn equals(found: &Value, wanted: &str) -> bool {
    match found {
        Value::Boolean(value) => wanted.parse() == Ok(*value),
        Value::Integer(value) => wanted.parse() == Ok(*value),
        Value::Text(value) => value == wanted,
        Value::IntegerList(list) => wanted.parse().is_ok_and(|wanted| list.contains(&wanted)),
        Value::TextList(list) => list.iter().any(|value| value == wanted),
    }
}

fn integer(found: &Value) -> Option<i64> {
    match found {
        Value::Integer(value) => Some(*value),
        _ => None,
    }
}

/// A sentence of the charter that a gate checks, by a field or by a reason code that a rule gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "Criterion", input_name = "CriterionInput")
)]
#[serde(rename_all = "camelCase")]
pub struct Criterion {
    /// Key of the criterion, stable over charters.
    pub key: String,
    /// The criterion in words that both sides signed.
    pub text: String,
    /// Holds when this test does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<FieldTest>,
    /// Holds when a rule of the gate gave this reason code with a positive weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// Only a required criterion can hold a lead back; the others are recorded.
    pub required: bool,
}

/// The result of one criterion, stored with each evaluation so that drift of definitions can be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct CriterionResult {
    /// Key of the criterion.
    pub key: String,
    /// The criterion in words, as it was then.
    pub text: String,
    /// Whether it could hold the lead back.
    pub required: bool,
    /// Whether it held.
    pub holds: bool,
}

impl Criterion {
    pub fn judge(&self, fields: &BTreeMap<String, Value>, codes: &[&str]) -> CriterionResult {
        let test = self.test.as_ref().is_none_or(|test| test.holds(fields));
        let code = self.reason_code.as_ref().is_none_or(|code| codes.contains(&code.as_str()));
        CriterionResult {
            key: self.key.clone(),
            text: self.text.clone(),
            required: self.required,
            holds: test && code,
        }
    }
}
