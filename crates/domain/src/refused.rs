//! A no of the domain: what, where, and how to mend it. Expected, and part of every payload; never a fault of ours.

use serde::{Deserialize, Serialize};

use crate::stage::StageKind;
use crate::text::text_enum;

text_enum! {
    /// Why a change was refused. The set is closed; additions are announced in the changelog.
    pub enum RefusalCode {
        /// A value is malformed or out of its range; `path` names it.
        Validation = "VALIDATION",
        /// The row does not exist, or is not visible to you.
        NotFound = "NOT_FOUND",
        /// The row changed since you read it; read it again and repeat. `current` is its version.
        VersionConflict = "VERSION_CONFLICT",
        /// The stage machine has no such arrow from here; `allowed` lists those that it has.
        IllegalTransition = "ILLEGAL_TRANSITION",
        /// The criteria of a gate do not hold; `missing` names them.
        GateNotMet = "GATE_NOT_MET",
        /// The disposition reason does not allow this outcome.
        ReasonNotAllowed = "REASON_NOT_ALLOWED",
        /// NO_RESPONSE needs more attempts first.
        AttemptsMissing = "ATTEMPTS_MISSING",
        /// Another currency than the workspace's.
        CurrencyMismatch = "CURRENCY_MISMATCH",
        /// The person asked not to be contacted.
        Suppressed = "SUPPRESSED",
        /// Your side, team or scopes do not allow it.
        Forbidden = "FORBIDDEN",
        /// Something of that key exists already.
        AlreadyExists = "ALREADY_EXISTS",
        /// The charter lacks a signature or is in another state.
        CharterState = "CHARTER_STATE",
        /// The deployment is in another state, or its slot has no room.
        DeploymentState = "DEPLOYMENT_STATE",
        /// The grey case is decided already, or the two sides do not agree yet.
        GreyCaseState = "GREY_CASE_STATE",
        /// The feedback was answered already, or declined.
        FeedbackState = "FEEDBACK_STATE",
        /// The request for content was answered already.
        ContentRequestState = "CONTENT_REQUEST_STATE",
        /// Look at what earlier campaigns of the kind came to first, and name those that you looked at.
        ReviewMissing = "REVIEW_MISSING",
        /// The decision is not the one that counts at its slot, or was overridden already.
        DecisionState = "DECISION_STATE",
        /// The version decides otherwise than both sides did in a grey case.
        PrecedentContradicted = "PRECEDENT_CONTRADICTED",
        /// The plugin or its settings did not pass the checks.
        PluginRejected = "PLUGIN_REJECTED",
        /// A signature is missing, does not fit, or its key does not count.
        PluginSignature = "PLUGIN_SIGNATURE",
        /// The version's signature is older than the newest that was ever LIVE in the slot; say why, or sign it again.
        PluginDowngrade = "PLUGIN_DOWNGRADE",
        /// The cursor is not one of this server's, or was changed on its way.
        CursorInvalid = "CURSOR_INVALID",
        /// The workspace was restored from a backup after the cursor was made.
        CursorEpochChanged = "CURSOR_EPOCH_CHANGED",
        /// The cursor lies beyond the end of the log.
        CursorAhead = "CURSOR_AHEAD",
        /// The address of a webhook is one that this server does not send to.
        WebhookTargetForbidden = "WEBHOOK_TARGET_FORBIDDEN",
        /// The idempotency key was used with another input.
        IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
    }
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    pub code: RefusalCode,
    pub message: String,
    /// Path into the input, for example `["input", "leads", "3", "email"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// With GATE_NOT_MET: what is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// With ILLEGAL_TRANSITION: where the lead may go from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// With VERSION_CONFLICT: the version that the row has now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<i64>,
}

impl Refused {
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Refused {
        let (path, missing, allowed) = (vec![], vec![], vec![]);
        Refused { code, message: message.into(), path, missing, allowed, current: None }
    }

    pub fn invalid(path: &str, message: impl Into<String>) -> Refused {
        Refused::new(RefusalCode::Validation, message).at(path)
    }

    pub fn not_found(what: &str) -> Refused {
        Refused::new(RefusalCode::NotFound, format!("no {what} with this id or key"))
    }

    pub fn version(current: i64) -> Refused {
        let message =
            format!("the row changed meanwhile and is at version {current}; read it again and repeat");
        Refused { current: Some(current), ..Refused::new(RefusalCode::VersionConflict, message) }
    }

    pub fn illegal(from: StageKind, verb: &str, allowed: &[&str]) -> Refused {
        let message = format!("cannot {verb} a lead at {from}; from here: {}", allowed.join(", "));
        let allowed = allowed.iter().map(|verb| (*verb).to_owned()).collect();
        Refused { allowed, ..Refused::new(RefusalCode::IllegalTransition, message) }
    }

    pub fn gate(stage: StageKind, missing: Vec<String>) -> Refused {
        let message = format!("the gate to {stage} is not met: {}", missing.join("; "));
        Refused { missing, ..Refused::new(RefusalCode::GateNotMet, message) }
    }

    /// Puts a path, written with `/`, below what is already there.
    pub fn at(mut self, path: &str) -> Refused {
        self.path =
            path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).chain(self.path).collect();
        self
    }
}
