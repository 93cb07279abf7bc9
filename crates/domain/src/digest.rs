//! Digests: sha-256 over `handfast/<kind>/<version>\n` and the canonical JSON (RFC 8785) of a value.
//!
//! Integers stay within ±2^53, instants are unix milliseconds, sets are sorted, absent values are left out. The golden
//! vectors in the tests below must never change: a stored digest outlives the code that made it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A sha-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of plain bytes, for example an uploaded file: what `sha256sum` prints.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Of a value, in canonical JSON below a header that names what it is.
    pub fn of(kind: &str, version: u32, value: &impl Serialize) -> Digest {
        let mut hash = Sha256::new();
        hash.update(format!("handfast/{kind}/{version}\n"));
        // The values that we digest are plain data: maps with text keys and integers.
        hash.update(serde_json_canonicalizer::to_vec(value).unwrap_or_default());
        Digest(hash.finalize().into())
    }

    pub fn parse(hex: &str) -> Option<Digest> {
        let mut bytes = [0u8; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Digest(bytes))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::parse(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A sha-256, written as 64 lower-case hexadecimal digits.",
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
        })
    }
}

/// A sha-256 as 64 lower-case hexadecimal digits.
#[cfg(feature = "graphql")]
#[async_graphql::Scalar(name = "Digest")]
impl async_graphql::ScalarType for Digest {
    fn parse(value: async_graphql::Value) -> async_graphql::InputValueResult<Self> {
        match &value {
            async_graphql::Value::String(text) => Digest::parse(text)
                .ok_or_else(|| async_graphql::InputValueError::custom("expected 64 hexadecimal digits")),
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> async_graphql::Value {
        async_graphql::Value::String(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_the_golden_vectors() {
        let value = serde_json::json!({"b": [3, 1], "a": "é", "at": 1_700_000_000_000i64});
        let digest = Digest::of("test", 1, &value);
        assert_eq!(
            digest,
            Digest::of_bytes("handfast/test/1\n{\"a\":\"é\",\"at\":1700000000000,\"b\":[3,1]}".as_bytes())
        );
        assert_eq!(digest.to_string(), "de23efbe06dcbbfbc003635f765a04f401b313f35129a8bbb1af060dfb164cc6");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
    }

    #[test]
    fn kind_and_version_separate_equal_values() {
        assert_ne!(Digest::of("a", 1, &1), Digest::of("b", 1, &1));
        assert_ne!(Digest::of("a", 1, &1), Digest::of("a", 2, &1));
    }
}
