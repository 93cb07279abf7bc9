//! First meetings: what the buyer expects, as marketing states it, and how they went.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use handfast_domain::handoff::{Handoff, Packet};
use handfast_domain::meeting::{Expectation, MeetingOutcome, MeetingPurpose};
use handfast_domain::stage::{Cause, Side};
use handfast_domain::time::Instant;

use super::work::{LeadPayload, LeadTarget, changed};
use crate::flows::lead::change;

/// What was expected of the first meeting beside how it went.
#[derive(Clone, Debug, SimpleObject)]
pub struct FirstMeeting {
    /// What it was to be about, as the packet says; null where marketing stated nothing, or after an erasure.
    purpose: Option<MeetingPurpose>,
    /// The same in words.
    expectation: Option<String>,
    /// How it went: of the first meeting that was held, else of the newest that was not.
    outcome: Option<MeetingOutcome>,
    at: Option<Instant>,
}

impl FirstMeeting {
    /// None where nothing was expected and nobody met.
    pub fn of(handoff: &Handoff, packet: Option<&Packet>) -> Option<FirstMeeting> {
        let found = FirstMeeting {
            purpose: packet.and_then(|packet| packet.first_meeting_purpose),
            expectation: packet.and_then(|packet| packet.first_meeting_expectation.clone()),
            outcome: handoff.first_meeting,
            at: handoff.first_meeting_at,
        };
        (found.expectation.is_some() || found.outcome.is_some()).then_some(found)
    }
}

/// What the buyer expects of the first meeting.
#[derive(Clone, Debug, InputObject)]
pub struct FirstMeetingInput {
    purpose: MeetingPurpose,
    /// In the buyer's words, 1 to 1000 characters; OTHER needs them. They stay out of the log of events.
    expectation: Option<String>,
}

impl FirstMeetingInput {
    pub fn read(self) -> Expectation {
        Expectation { purpose: self.purpose, text: self.expectation }
    }
}

#[derive(Clone, Debug, InputObject)]
pub struct ExpectFirstMeetingInput {
    #[graphql(flatten)]
    target: LeadTarget,
    #[graphql(flatten)]
    meeting: FirstMeetingInput,
}

#[derive(Default)]
pub struct MeetingMutation;

#[Object]
impl MeetingMutation {
    /// Marketing states what the buyer expects of the first meeting. It is sealed into the packet of the next hand-off; one that sales
    /// has already is sealed without it, and routeLead sends the lead again with it.
    async fn expect_first_meeting(
        &self,
        ctx: &Context<'_>,
        input: ExpectFirstMeetingInput,
    ) -> async_graphql::Result<LeadPayload> {
        let expectation = input.meeting.read();
        changed(ctx, "expectFirstMeeting", input.target, async |app, target| {
            target.viewer.require_side(Side::Marketing, "state what the first meeting is expected to be")?;
            change(app, target, Cause::Context, None, |draft| draft.expect_first_meeting(&expectation, false))
                .await
        })
        .await
    }
}
