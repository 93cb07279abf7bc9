//! What a lead did of late, in few words.

use std::sync::Arc;

use async_graphql::SimpleObject;
use handfast_domain::behaviour::{ChannelBehaviour, IntentAct, StageContent, Trend, days_since};
use handfast_domain::time::Instant;

use super::campaign::Campaign;
use super::inline::Inline;
use super::passage::ReportWindow;
use crate::flows::insight::Behaviour;
use crate::flows::window::Window;
use crate::workspace::Workspace;

/// What a lead did in a window, beside the window of the same length before it. Of both together the newest 2,000 touches count.
#[derive(Clone, SimpleObject)]
pub struct BehaviourSummary {
    window: ReportWindow,
    /// Touches in the window.
    touches: i32,
    /// Touches in the window before.
    touches_before: i32,
    /// How the two compare.
    trend: Trend,
    /// The last touch of both windows.
    last_at: Option<Instant>,
    /// Whole days from then to the window's end.
    days_since_last: Option<i32>,
    /// Conversations in the window: what the buyer said to us, by any means and not by a machine.
    conversations: i32,
    /// Channels, those with the most touches in the window first.
    channels: Vec<ChannelBehaviour>,
    /// What it saw in the window, by the stage at which it stood then.
    content: Vec<StageContent>,
    /// Kinds of the content that it saw, the most frequent first: what it cares about. Content that was never registered has none.
    topics: Vec<BehaviourTopic>,
    /// Campaigns that touched it in the window, the most frequent 20 first.
    campaigns: Vec<BehaviourCampaign>,
    /// Acts of high intent in the window, the newest 20 first.
    intent: Vec<IntentAct>,
    /// Whole days from the last of them to the window's end.
    days_since_intent: Option<i32>,
    /// Whether all touches of both windows were looked at.
    whole: bool,
}

/// A kind of content, and how often it was looked at.
#[derive(Clone, Debug, SimpleObject)]
pub struct BehaviourTopic {
    /// A key, as the content was registered with it.
    kind: String,
    /// Touches of content of the kind, in the window.
    touches: i32,
}

/// A campaign, and how often it touched the lead.
#[derive(Clone, SimpleObject)]
pub struct BehaviourCampaign {
    campaign: Inline<Campaign>,
    /// Its touches in the window.
    touches: i32,
}

impl BehaviourSummary {
    pub fn wrap(workspace: &Workspace, window: Window, found: Behaviour, now: Instant) -> BehaviourSummary {
        let Behaviour { summary, conversations, topics, whole } = found;
        let small = super::small;
        let days = |then: Instant| small(days_since(then, window.to.min(now)));
        let campaigns = summary.campaigns.iter().filter_map(|(id, touches)| {
            let campaign = Inline(Campaign::wrap(Arc::clone(workspace.campaign(*id)?)));
            Some(BehaviourCampaign { campaign, touches: small(*touches) })
        });
        BehaviourSummary {
            window: window.into(),
            touches: small(summary.touches),
            touches_before: small(summary.touches_before),
            trend: summary.trend,
            last_at: summary.last_at,
            days_since_last: summary.last_at.map(days),
            conversations: i32::try_from(conversations).unwrap_or(i32::MAX),
            channels: summary.channels,
            content: summary.content,
            topics: topics
                .into_iter()
                .map(|(kind, touches)| BehaviourTopic { kind, touches: small(touches) })
                .collect(),
            campaigns: campaigns.collect(),
            days_since_intent: summary.intent.first().map(|act| days(act.at)),
            intent: summary.intent,
            whole,
        }
    }
}
