//! Whole numbers that may outgrow 32 bits, which is all that a GraphQL `Int` has.

use serde::{Deserialize, Serialize};

/// A 64-bit integer. The API writes it as a decimal string, since JSON numbers lose digits in many readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Long(pub i64);

impl std::fmt::Display for Long {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u32> for Long {
    fn from(value: u32) -> Long {
        Long(i64::from(value))
    }
}

impl std::ops::AddAssign<i64> for Long {
    fn add_assign(&mut self, more: i64) {
        self.0 = self.0.saturating_add(more);
    }
}

/// A 64-bit integer as a decimal string, for example `"9007199254740993"`.
#[cfg(feature = "graphql")]
#[async_graphql::Scalar(name = "Long")]
impl async_graphql::ScalarType for Long {
    fn parse(value: async_graphql::Value) -> async_graphql::InputValueResult<Self> {
        let parsed = match &value {
            async_graphql::Value::String(text) => text.parse().ok(),
            async_graphql::Value::Number(number) => number.as_i64(),
            _ => None,
        };
        parsed.map(Long).ok_or_else(|| {
            async_graphql::InputValueError::custom("expected a whole number as a decimal string")
        })
    }

    fn to_value(&self) -> async_graphql::Value {
        async_graphql::Value::String(self.0.to_string())
    }
}
