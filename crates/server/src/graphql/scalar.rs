//! Scalars and global ids. No 64-bit integer is ever a GraphQL `Int`.

use async_graphql::{
    ID, InputObject, InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use handfast_domain::number::Long;
use handfast_domain::refused::Refused;
use uuid::Uuid as RawUuid;

/// A UUID in its usual form with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid(pub RawUuid);

/// A UUID in its usual form with hyphens.
#[Scalar(name = "UUID", specified_by_url = "https://scalars.graphql.org/andimarek/uuid")]
impl ScalarType for Uuid {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => {
                RawUuid::try_parse(text).map(Uuid).map_err(|_| InputValueError::custom("expected a UUID"))
            }
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An opaque place in the feed of events. Cursors of pages are other things and are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCursor(pub String);

/// An opaque place in the feed of events. Cursors of pages are other things and are refused.
#[Scalar(name = "FeedCursor")]
impl ScalarType for FeedCursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(FeedCursor(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// An amount in minor units of a currency: 1999 EUR-cents are EUR 19.99.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject, InputObject)]
#[graphql(name = "Money", input_name = "MoneyInput")]
pub struct Money {
    pub amount_minor: Long,
    /// ISO 4217; the workspace has one.
    pub currency: String,
}

/// A global id: opaque to clients, `Type:uuid` to us.
pub fn global(kind: &str, id: RawUuid) -> ID {
    ID(URL_SAFE_NO_PAD.encode(format!("{kind}:{id}")))
}

/// Type and uuid of a global id.
pub fn read_global(id: &ID) -> Option<(String, RawUuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(id.as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (kind, uuid) = text.split_once(':')?;
    Some((kind.to_owned(), RawUuid::try_parse(uuid).ok()?))
}

/// The uuid of a global id of the given type; a plain UUID is understood too.
pub fn local(kind: &str, id: &ID, path: &str) -> Result<RawUuid, Refused> {
    if let Ok(uuid) = RawUuid::try_parse(id.as_str()) {
        return Ok(uuid);
    }
    match read_global(id) {
        Some((found, uuid)) if found == kind => Ok(uuid),
        Some((found, _)) => Err(Refused::invalid(
            path,
            format!("expected an id of the kind {kind}, found one of the kind {found}"),
        )),
        None => Err(Refused::invalid(path, format!("expected an id of the kind {kind}"))),
    }
}
