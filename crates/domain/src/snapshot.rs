//! The snapshot: everything that a rule could have read of one lead at one instant, sealed by its digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::field::Value;

/// An owner of a routing pool as a router sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerState {
    pub id: Uuid,
    /// Key of the owner's team.
    pub team: String,
    /// Keys of the territories that the owner works.
    pub territories: Vec<String>,
    /// Within working hours, not absent, below capacity.
    pub available: bool,
    pub open_leads: u32,
    pub capacity: u32,
    pub weight: u32,
    /// Assignments that the ledger counts for this pool.
    pub assigned: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_assigned: Option<i64>,
}

/// Keyed by lead and digest; deleted by an erasure, after which the digest in the log says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Version of the field catalogue.
    pub catalogue: u32,
    pub lead: Uuid,
    /// Random per lead, so that a digest cannot be guessed from likely values.
    pub salt: String,
    pub charter: u32,
    /// Path to value; unknown fields are absent.
    pub fields: BTreeMap<String, Value>,
    /// Only for routing: the whole pool as it stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolState>,
}

/// The pool that a routing decision was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolState {
    pub key: String,
    pub revision: u64,
    pub owners: Vec<OwnerState>,
}

impl Snapshot {
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.fields.get(path)
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        match self.fields.get(path) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn digest(&self) -> Digest {
        Digest::of("snapshot", 1, self)
    }
}
