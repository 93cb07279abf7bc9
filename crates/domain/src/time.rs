//! Instants, and the two sources of the outside world that the domain takes as arguments: time and identity.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Instant(pub i64);

impl Instant {
    /// The first and last instants that RFC 3339 can write: years 0000 to 9999.
    pub const MIN: Instant = Instant(-62_167_219_200_000);
    pub const MAX: Instant = Instant(253_402_300_799_999);

    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Moves by `ms`, and stops at the ends of the calendar instead of overflowing.
    pub fn plus(self, ms: i64) -> Instant {
        Instant(self.0.saturating_add(ms).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn since(self, earlier: Instant) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339, for example `2026-03-01T09:30:00Z`.
    pub fn parse(text: &str) -> Option<Instant> {
        let at = chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        (Self::MIN.0..=Self::MAX.0).contains(&at).then_some(Instant(at))
    }

    pub fn utc(self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp_millis(self.0.clamp(Self::MIN.0, Self::MAX.0)).unwrap_or_default()
    }
}

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    }
}

/// An instant in RFC 3339 with milliseconds, always in UTC: `2026-03-01T09:30:00.000Z`.
#[cfg(feature = "graphql")]
#[async_graphql::Scalar(
    name = "DateTime",
    specified_by_url = "https://scalars.graphql.org/chillicream/date-time.html"
)]
impl async_graphql::ScalarType for Instant {
    fn parse(value: async_graphql::Value) -> async_graphql::InputValueResult<Self> {
        match &value {
            async_graphql::Value::String(text) => Instant::parse(text).ok_or_else(|| {
                async_graphql::InputValueError::custom("expected RFC 3339, for example 2026-03-01T09:30:00Z")
            }),
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> async_graphql::Value {
        async_graphql::Value::String(self.to_string())
    }
}

/// The only source of "now". The server owns the real one, tests a fixed one.
pub trait Clock: Send + Sync {
    fn now(&self) -> Instant;
}

/// The only source of new identities: UUIDv7, so that ids sort by the time they were made.
pub trait Ids: Send + Sync {
    fn next(&self) -> Uuid;
}
