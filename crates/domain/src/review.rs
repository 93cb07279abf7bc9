//! The meeting of both managers, week by week: who came, and what was decided.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Instant;

/// One thing that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewDecision {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Instant>,
}

/// One meeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewMeeting {
    pub recorded_by: Uuid,
    pub recorded_at: Instant,
    /// People of both sides.
    pub attendees: Vec<Uuid>,
    pub decisions: Vec<ReviewDecision>,
}

/// The meetings of a week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlignmentReview {
    pub id: Uuid,
    /// The Monday of the week, as `2026-03-02`.
    pub key: String,
    pub meetings: Vec<ReviewMeeting>,
}
