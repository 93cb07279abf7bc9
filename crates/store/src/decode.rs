//! From text columns back to closed values; what cannot be read names table, column and row.

use handfast_domain::digest::Digest;
use serde::de::DeserializeOwned;

use crate::error::{Result, StoreError};

/// Where a value stands: table, column, row.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a>(pub &'static str, pub &'static str, pub &'a dyn std::fmt::Display);

impl Place<'_> {
    fn corrupt(self, why: impl ToString) -> StoreError {
        StoreError::corrupt(self.0, self.1, self.2, why)
    }
}

pub(crate) fn closed<T>(place: Place<'_>, text: &str, parse: fn(&str) -> Option<T>) -> Result<T> {
    parse(text).ok_or_else(|| place.corrupt(format!("unknown value {text:?}")))
}

pub(crate) fn closed_opt<T>(
    place: Place<'_>,
    text: Option<&str>,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>> {
    text.map(|text| closed(place, text, parse)).transpose()
}

pub(crate) fn json<T: DeserializeOwned>(place: Place<'_>, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| place.corrupt(error))
}

pub(crate) fn digest(place: Place<'_>, text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| place.corrupt("no digest"))
}

/// Counts, ordinals and scores are stored as bigint and are small in the domain.
pub(crate) fn small<T: TryFrom<i64>>(place: Place<'_>, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| place.corrupt(format!("{value} is out of range")))
}
