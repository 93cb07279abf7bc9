//! What a lead did in a window, in few words: touches by channel, what it saw at which stage, and whether it does more or less than in
//! the window before.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::stage::{Channel, StageKind};
use crate::text::text_enum;
use crate::time::{DAY, Instant};

/// Lines of one list, the strongest first.
const LINES: usize = 20;

text_enum! {
    /// How a window compares with the one of the same length before it.
    pub enum Trend {
        /// At least a quarter more.
        Rising = "RISING",
        /// Neither a quarter more nor a quarter less.
        Steady = "STEADY",
        /// At least a quarter less.
        Falling = "FALLING",
        /// Something, after nothing.
        New = "NEW",
        /// Nothing, after something.
        Silent = "SILENT",
        /// Nothing, as before.
        Nothing = "NOTHING",
    }
}

impl Trend {
    /// By quarters of what was before: 5 after 4 rises, 3 after 4 falls.
    pub fn of(now: u32, before: u32) -> Trend {
        let (now, before) = (u64::from(now), u64::from(before));
        match (now, before) {
            (0, 0) => Trend::Nothing,
            (0, _) => Trend::Silent,
            (_, 0) => Trend::New,
            _ if now * 4 >= before * 5 => Trend::Rising,
            _ if now * 4 <= before * 3 => Trend::Falling,
            _ => Trend::Steady,
        }
    }
}

/// One touch as a summary reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    pub at: Instant,
    pub channel: Channel,
    pub content: Option<String>,
    pub campaign: Option<Uuid>,
    /// Whether the charter lists the content as an act of high intent.
    pub high_intent: bool,
}

/// What a lead did in one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
pub struct ChannelBehaviour {
    /// The channel.
    pub channel: Channel,
    /// Touches in the window.
    pub touches: u32,
    /// Touches in the window before.
    pub touches_before: u32,
    /// How the two compare.
    pub trend: Trend,
    /// The last touch, in either of the windows.
    pub last_at: Instant,
}

/// What was seen, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
pub struct Seen {
    /// Key of the content.
    pub key: String,
    /// How often in the window.
    pub times: u32,
    /// The last time.
    pub last_at: Instant,
}

/// What was seen while the lead stood at a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
pub struct StageContent {
    /// The stage.
    pub stage: StageKind,
    /// The most frequent 20.
    pub content: Vec<Seen>,
}

/// An act of high intent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
pub struct IntentAct {
    /// What was asked for, as the charter lists it.
    pub content: String,
    /// When.
    pub at: Instant,
}

/// Everything at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub touches: u32,
    pub touches_before: u32,
    pub trend: Trend,
    pub last_at: Option<Instant>,
    /// Those with the most touches first; channels of the window before are among them.
    pub channels: Vec<ChannelBehaviour>,
    /// In the order of the stages.
    pub content: Vec<StageContent>,
    /// Those with the most touches first.
    pub campaigns: Vec<(Uuid, u32)>,
    /// The newest first.
    pub intent: Vec<IntentAct>,
}

/// Whole days from one instant to a later one.
pub fn days_since(then: Instant, now: Instant) -> u32 {
    u32::try_from(now.since(then).max(0) / DAY).unwrap_or(u32::MAX)
}

/// Of the touches of a window and of the one before it, which begins as long before `from`. `stood` tells at which stage the lead
/// stood at an instant.
pub fn summary(touches: &[Touch], from: Instant, stood: impl Fn(Instant) -> StageKind) -> Summary {
    let (mut now, mut before) = (0, 0);
    let mut channels: BTreeMap<Channel, ChannelBehaviour> = BTreeMap::new();
    let mut content: BTreeMap<StageKind, BTreeMap<&str, Seen>> = BTreeMap::new();
    let mut campaigns: BTreeMap<Uuid, u32> = BTreeMap::new();
    let mut intent = vec![];
    for touch in touches {
        let inside = touch.at >= from;
        let (here, there) = (u32::from(inside), u32::from(!inside));
        (now, before) = (now + here, before + there);
        let channel = channels.entry(touch.channel).or_insert_with(|| ChannelBehaviour {
            channel: touch.channel,
            touches: 0,
            touches_before: 0,
            trend: Trend::Nothing,
            last_at: touch.at,
        });
        (channel.touches, channel.touches_before) = (channel.touches + here, channel.touches_before + there);
        channel.last_at = channel.last_at.max(touch.at);
        if !inside {
            continue;
        }
        if let Some(key) = touch.content.as_deref() {
            let blank = || Seen { key: key.to_owned(), times: 0, last_at: touch.at };
            let seen = content.entry(stood(touch.at)).or_default().entry(key).or_insert_with(blank);
            (seen.times, seen.last_at) = (seen.times + 1, seen.last_at.max(touch.at));
            if touch.high_intent {
                intent.push(IntentAct { content: key.to_owned(), at: touch.at });
            }
        }
        if let Some(campaign) = touch.campaign {
            *campaigns.entry(campaign).or_default() += 1;
        }
    }
    let mut channels: Vec<ChannelBehaviour> = channels.into_values().collect();
    for channel in &mut channels {
        channel.trend = Trend::of(channel.touches, channel.touches_before);
    }
    channels.sort_by_key(|one| std::cmp::Reverse((one.touches, one.last_at)));
    let content = content.into_iter().map(|(stage, seen)| {
        let mut content: Vec<Seen> = seen.into_values().collect();
        content
            .sort_by(|a, b| (b.times, b.last_at).cmp(&(a.times, a.last_at)).then_with(|| a.key.cmp(&b.key)));
        content.truncate(LINES);
        StageContent { stage, content }
    });
    let mut campaigns: Vec<(Uuid, u32)> = campaigns.into_iter().collect();
    campaigns.sort_by_key(|(id, times)| (std::cmp::Reverse(*times), *id));
    campaigns.truncate(LINES);
    intent.sort_by_key(|act| std::cmp::Reverse(act.at));
    intent.truncate(LINES);
    Summary {
        touches: now,
        touches_before: before,
        trend: Trend::of(now, before),
        last_at: touches.iter().map(|touch| touch.at).max(),
        channels,
        content: content.collect(),
        campaigns,
        intent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_told_in_quarters() {
        let cases = [
            (0, 0, Trend::Nothing),
            (1, 0, Trend::New),
            (0, 1, Trend::Silent),
            (4, 4, Trend::Steady),
            (5, 4, Trend::Rising),
            (3, 4, Trend::Falling),
            (11, 9, Trend::Steady),
            (1, 1, Trend::Steady),
        ];
        for (now, before, expected) in cases {
            assert_eq!(Trend::of(now, before), expected, "{now} after {before}");
        }
    }

    #[test]
    fn a_window_is_summed_up_and_held_against_the_one_before() {
        let campaign = Uuid::from_u128(7);
        let touch = |day: i64, channel, content: &str| Touch {
            at: Instant(day * DAY),
            channel,
            content: Some(content.to_owned()),
            campaign: (channel == Channel::Email).then_some(campaign),
            high_intent: content == "pricing",
        };
        let touches = [
            touch(3, Channel::Email, "letter"),
            touch(4, Channel::Webinar, "demo"),
            touch(11, Channel::Email, "letter"),
            touch(12, Channel::Email, "letter"),
            touch(16, Channel::Direct, "pricing"),
        ];
        let stood = |at: Instant| if at >= Instant(15 * DAY) { StageKind::Mql } else { StageKind::Inquiry };
        let found = summary(&touches, Instant(10 * DAY), stood);
        assert_eq!((found.touches, found.touches_before, found.trend), (3, 2, Trend::Rising));
        assert_eq!(found.last_at, Some(Instant(16 * DAY)));
        let channels: Vec<_> =
            found.channels.iter().map(|one| (one.channel, one.touches, one.trend)).collect();
        let expected = [
            (Channel::Email, 2, Trend::Rising),
            (Channel::Direct, 1, Trend::New),
            (Channel::Webinar, 0, Trend::Silent),
        ];
        assert_eq!(channels, expected);
        let seen: Vec<_> = found
            .content
            .iter()
            .map(|one| (one.stage, one.content[0].key.as_str(), one.content[0].times))
            .collect();
        assert_eq!(seen, [(StageKind::Inquiry, "letter", 2), (StageKind::Mql, "pricing", 1)]);
        assert_eq!(found.campaigns, [(campaign, 2)]);
        assert_eq!(found.intent, [IntentAct { content: "pricing".into(), at: Instant(16 * DAY) }]);
        assert_eq!(days_since(Instant(16 * DAY), Instant(18 * DAY - 1)), 1);
    }
}
