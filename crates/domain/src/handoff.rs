//! The hand-off: marketing gives a lead to sales with everything it knows, sealed by a digest.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::meeting::{Expectation, MeetingOutcome, MeetingPurpose};
use crate::snapshot::Snapshot;
use crate::text::text_enum;
use crate::time::Instant;
use crate::verdict::Reason;

text_enum! {
    /// Where a hand-off stands.
    pub enum HandoffStatus {
        /// It waits for sales.
        Pending = "PENDING",
        /// Sales took it on.
        Accepted = "ACCEPTED",
        /// Sales said no, and the cycle ended.
        Rejected = "REJECTED",
        /// Nobody answered in time; the fallback queue has the lead.
        Expired = "EXPIRED",
        /// Back to marketing, which owes the missing context.
        Returned = "RETURNED",
        /// Another hand-off, or the end of the cycle, took its place.
        Cancelled = "CANCELLED",
    }
}

/// A hand-off, without its packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "HandoffState"))]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
    /// Identity of the hand-off.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    pub id: Uuid,
    /// Where it stands.
    pub status: HandoffStatus,
    /// Seal of the packet as it was when sales got it.
    pub packet_digest: Digest,
    /// Share of the packet's parts that are filled, in basis points.
    pub completeness: u16,
    /// When sales got it.
    pub offered_at: Instant,
    /// When it was answered, expired or cancelled.
    pub answered_at: Option<Instant>,
    /// Disposition reason of a rejection.
    pub reason: Option<String>,
    /// How the first meeting after it went.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_meeting: Option<MeetingOutcome>,
    /// When that was.
    #[cfg_attr(feature = "graphql", graphql(skip))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_meeting_at: Option<Instant>,
}

/// A line of the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
#[serde(rename_all = "camelCase")]
pub struct PacketLine {
    /// Path of the field, or a short heading.
    pub key: String,
    /// The value in words.
    pub value: String,
}

/// What sales gets to know with the lead. It may hold personal data, so it lives outside of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject), graphql(name = "HandoffPacket"))]
#[serde(rename_all = "camelCase")]
pub struct Packet {
    /// Who the prospect is: contact and company.
    pub background: Vec<PacketLine>,
    /// What the prospect did: touches by channel, first and last.
    pub behaviour: Vec<PacketLine>,
    /// Content that the prospect has seen, oldest first.
    pub content_seen: Vec<String>,
    /// Why the rules think that this lead is ready.
    pub insights: Vec<Reason>,
    /// What to talk about: the persona's pains and open questions.
    pub talking_points: Vec<String>,
    /// What marketing promised or offered.
    pub promises: Vec<String>,
    /// What the prospect expects of the first meeting.
    pub first_meeting_expectation: Option<String>,
    /// What the first meeting is to be about. Packets from before nobody could state it have none, and keep their digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_meeting_purpose: Option<MeetingPurpose>,
}

impl Packet {
    /// Fills the packet from the snapshot that qualified the lead.
    pub fn of(snapshot: &Snapshot, insights: &[Reason], pains: &[String], promises: Vec<String>) -> Packet {
        let lines = |family: &str| {
            let mine = snapshot.fields.iter().filter(|(path, _)| path.starts_with(family));
            mine.map(|(path, value)| PacketLine { key: path.clone(), value: in_words(path, value) })
                .collect::<Vec<_>>()
        };
        let content_seen = match snapshot.get("engagement.content-touched") {
            Some(crate::field::Value::TextList(list)) => list.clone(),
            _ => vec![],
        };
        let mut talking_points = pains.to_vec();
        if let Some(crate::field::Value::TextList(missing)) = snapshot.get("persona.missing") {
            talking_points.extend(missing.iter().map(|trait_| format!("Find out: {trait_}")));
        }
        let background = [lines("contact."), lines("company."), lines("traits.")].concat();
        let behaviour = [lines("engagement."), lines("campaign.")].concat();
        let insights = insights.to_vec();
        Packet {
            background,
            behaviour,
            content_seen,
            insights,
            talking_points,
            promises,
            first_meeting_expectation: None,
            first_meeting_purpose: None,
        }
    }

    /// With what the prospect expects of the first meeting, if marketing said so.
    pub fn expecting(self, expectation: Option<&Expectation>) -> Packet {
        Packet {
            first_meeting_expectation: expectation.map(Expectation::in_words),
            first_meeting_purpose: expectation.map(|expectation| expectation.purpose),
            ..self
        }
    }

    pub fn digest(&self) -> Digest {
        Digest::of("packet", 1, self)
    }

    /// Share of the seven parts that say something, in basis points.
    pub fn completeness(&self) -> u16 {
        let parts = [
            !self.background.is_empty(),
            !self.behaviour.is_empty(),
            !self.content_seen.is_empty(),
            !self.insights.is_empty(),
            !self.talking_points.is_empty(),
            !self.promises.is_empty(),
            self.first_meeting_expectation.is_some(),
        ];
        let filled = u16::try_from(parts.iter().filter(|part| **part).count()).unwrap_or(0);
        filled * 10_000 / 7
    }
}

/// A field as people read it: an instant is a time and not a number.
fn in_words(path: &str, value: &crate::field::Value) -> String {
    let unit = crate::field::CATALOGUE.iter().find(|field| field.path == path).and_then(|field| field.unit);
    match (unit, value) {
        (Some("ms since 1970"), crate::field::Value::Integer(ms)) => crate::time::Instant(*ms).to_string(),
        _ => text_of(value),
    }
}

/// A value as people read it.
pub fn text_of(value: &crate::field::Value) -> String {
    use crate::field::Value;
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::IntegerList(list) => list.iter().map(i64::to_string).collect::<Vec<_>>().join(", "),
        Value::TextList(list) => list.join(", "),
    }
}
