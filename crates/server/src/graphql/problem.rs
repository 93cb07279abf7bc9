//! Refusals as data of a payload, and faults as errors of the answer: the two ways to say no.

use async_graphql::{ErrorExtensions, Interface, SimpleObject};
use handfast_domain::refused::{RefusalCode, Refused};
use handfast_store::StoreError;

use crate::flows::Error;
use crate::http::problem::clip;

/// Bytes of a message. What somebody sent is repeated in it, but for the rest of its longest words.
const MESSAGE: usize = 1_000;

/// Why a change was refused: expected, and never an error of the whole request.
#[derive(Clone, Debug, Interface)]
#[graphql(
    field(name = "message", ty = "&String", desc = "What is wrong and how to mend it."),
    field(
        name = "path",
        ty = "&Vec<String>",
        desc = "Where in the input, for example `[\"input\", \"leads\", \"3\", \"email\"]`."
    ),
    field(name = "code", ty = "&RefusalCode", desc = "Why, as a closed code.")
)]
pub enum UserError {
    Simple(InvalidRequest),
    Gate(GateNotMet),
    Version(VersionConflict),
    Transition(IllegalTransition),
}

/// A refusal that its message, path and code tell whole.
#[derive(Clone, Debug, SimpleObject)]
pub struct InvalidRequest {
    message: String,
    path: Vec<String>,
    code: RefusalCode,
}

/// The criteria of a gate do not hold.
#[derive(Clone, Debug, SimpleObject)]
pub struct GateNotMet {
    message: String,
    path: Vec<String>,
    code: RefusalCode,
    /// What is missing, in the charter's words.
    missing: Vec<String>,
}

/// The row changed since it was read.
#[derive(Clone, Debug, SimpleObject)]
pub struct VersionConflict {
    message: String,
    path: Vec<String>,
    code: RefusalCode,
    /// The version that it has now.
    current: i32,
}

/// The stage machine has no such arrow from here.
#[derive(Clone, Debug, SimpleObject)]
pub struct IllegalTransition {
    message: String,
    path: Vec<String>,
    code: RefusalCode,
    /// The verbs that this stage knows.
    allowed: Vec<String>,
}

impl From<Refused> for UserError {
    fn from(refused: Refused) -> UserError {
        let Refused { code, message, path, missing, allowed, current } = refused;
        let message = clip(&message, MESSAGE);
        match code {
            RefusalCode::GateNotMet => UserError::Gate(GateNotMet { message, path, code, missing }),
            RefusalCode::IllegalTransition => {
                UserError::Transition(IllegalTransition { message, path, code, allowed })
            }
            RefusalCode::VersionConflict => {
                let current = i32::try_from(current.unwrap_or(0)).unwrap_or(i32::MAX);
                UserError::Version(VersionConflict { message, path, code, current })
            }
            _ => UserError::Simple(InvalidRequest { message, path, code }),
        }
    }
}

/// Splits a flow's answer: refusals go to the payload's `errors`, faults to the answer's.
pub fn payload<T>(result: Result<T, Error>) -> async_graphql::Result<(Option<T>, Vec<UserError>)> {
    match result {
        Ok(value) => Ok((Some(value), vec![])),
        Err(Error::Refused(refused)) => Ok((None, refused.into_iter().map(UserError::from).collect())),
        Err(fault) => Err(failure(fault)),
    }
}

/// An error of the answer. What went wrong inside is logged; the client learns whether to try again.
pub fn failure(error: Error) -> async_graphql::Error {
    match error {
        // A query has no payload: its refusal is an error of the field.
        Error::Refused(refused) => {
            let first = refused.into_iter().next();
            let (code, message) =
                first.map_or(("VALIDATION", "refused".to_owned()), |one| (one.code.as_str(), one.message));
            coded(code, clip(&message, MESSAGE), false)
        }
        Error::Store(StoreError::Full) => {
            tracing::error!("the disk is full");
            coded("STORAGE_FULL", "the server's disk is full; nothing was changed; reading still works", true)
        }
        Error::Store(StoreError::Unsynced(_)) => coded("STORAGE_FAILED", STORAGE_FAILED, false),
        Error::Store(StoreError::Unknown(why)) => {
            tracing::warn!(%why, "nobody knows whether a change was committed");
            coded("OUTCOME_UNKNOWN", OUTCOME_UNKNOWN, true)
        }
        Error::Store(error) if error.retryable() => coded("BUSY", error.to_string(), true),
        Error::Store(StoreError::Timeout(why)) => coded("TIMEOUT", why, true),
        other => {
            tracing::error!(error = %other, "a request failed");
            coded("INTERNAL", "the server failed; the request id finds the reason in its log", false)
        }
    }
}

const OUTCOME_UNKNOWN: &str = "the database was lost while the change was committed: it was made, or was not; send it again with \
                               the same idempotency key, with which it is made once";
const STORAGE_FAILED: &str = "the server's disk failed, and it writes nothing any more: this change was not made, or may be lost; \
                              reading still works";

pub fn coded(code: &'static str, message: impl Into<String>, retryable: bool) -> async_graphql::Error {
    async_graphql::Error::new(message).extend_with(|_, extensions| {
        extensions.set("code", code);
        if retryable {
            extensions.set("retryable", true);
        }
    })
}
