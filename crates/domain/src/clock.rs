//! SLA clocks: promises with a due time, on both parties. A clock is exactly the fold of its events.
//!
//! Methods look at a clock and answer with the events that follow; only `apply` makes a new state. Who may act, and
//! which act keeps which promise, is decided elsewhere.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::calendar::{Absence, Calendar};
use crate::refused::{RefusalCode, Refused};
use crate::text::text_enum;
use crate::time::{Instant, MINUTE};

mod fold;

pub use fold::{ClockEvent, ClockStart, Pause, SlaClock};

/// Pause reason of sales' clocks while marketing owes an answer.
pub const CONTEXT_REQUESTED: &str = "CONTEXT_REQUESTED";
/// Pause reason while the next step is the buyer's.
pub const WAITING_ON_BUYER: &str = "WAITING_ON_BUYER";

/// The longest target and pause that a policy can ask for: five years of 366 days.
const MAX_MINUTES: u32 = 5 * 366 * 24 * 60;
const MAX_STEP: u16 = 1_000;

text_enum! {
    /// What a clock waits for.
    pub enum ClockKind {
        /// An owner or a queue for a marketing qualified lead.
        Route = "ROUTE",
        /// Sales' answer to a hand-off.
        Accept = "ACCEPT",
        /// The first human touch: an outbound activity, a reply to a lead that wrote first, or a disposition.
        FirstTouch = "FIRST_TOUCH",
        /// The agreed number of attempts to reach the lead.
        Attempts = "ATTEMPTS",
        /// An outcome: an opportunity, or a disposition with its reason.
        Disposition = "DISPOSITION",
        /// A new qualification of a recycled lead.
        Requalify = "REQUALIFY",
        /// Marketing's answer to a question about a lead's context.
        Context = "CONTEXT",
        /// The receiver's acknowledgement of feedback.
        FeedbackAck = "FEEDBACK_ACK",
        /// The opinions of both sides on a grey case.
        GreyCase = "GREY_CASE",
        /// The next review of the charter.
        CharterReview = "CHARTER_REVIEW",
    }
}

text_enum! {
    /// Where a clock stands. MET, BREACHED and CANCELLED are final, but for a late report of an act in time.
    pub enum ClockState {
        /// Time counts.
        Running = "RUNNING",
        /// Time does not count, for a reason of the charter and not for ever.
        Paused = "PAUSED",
        /// The promise was kept in time.
        Met = "MET",
        /// The due time passed first; keeping the promise later is recorded and changes nothing.
        Breached = "BREACHED",
        /// The promise lost its object before it was due.
        Cancelled = "CANCELLED",
    }
}

text_enum! {
    /// Whose speed a clock measures.
    pub enum ClockLevel {
        /// The lead's wait: never restarts, counts for speed-to-lead.
        Lead = "LEAD",
        /// The owner's duty: restarts at reassignment.
        Owner = "OWNER",
    }
}

text_enum! {
    /// The two parties of the charter.
    pub enum Party {
        Marketing = "MARKETING",
        Sales = "SALES",
    }
}

text_enum! {
    /// Which time counts.
    pub enum CalendarMode {
        /// All of it.
        WallClock = "WALL_CLOCK",
        /// The working hours of the team.
        TeamHours = "TEAM_HOURS",
        /// The working hours of the owner without absences; the team's until somebody owns the subject.
        OwnerHours = "OWNER_HOURS",
    }
}

/// A promise of the charter: what, by whom, how fast. A business day is 480 minutes of TEAM_HOURS or OWNER_HOURS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "graphql",
    derive(async_graphql::SimpleObject, async_graphql::InputObject),
    graphql(name = "SlaPolicy", input_name = "SlaPolicyInput")
)]
#[serde(rename_all = "camelCase")]
pub struct SlaPolicy {
    /// What is promised.
    pub kind: ClockKind,
    /// Who promises. Absent where the subject says it: the receiver of feedback, each side of a grey case, both
    /// sides of the charter's review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// Which time counts.
    pub mode: CalendarMode,
    /// Time until due. A date that the lead brings along, such as its recycling date, comes first.
    pub target_minutes: u32,
    /// Shorter time after an act of high intent, such as a demo request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgent_target_minutes: Option<u32>,
    /// Rising percentages of the target at which somebody is warned; above 100 it is an escalation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub steps: Vec<u16>,
    /// Keys of the reasons for which the clock may pause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub pause_reasons: Vec<String>,
    /// Most time that all pauses of a clock may take together, counted as the target is.
    #[serde(default)]
    #[cfg_attr(feature = "graphql", graphql(default))]
    pub max_pause_minutes: u32,
    /// With ATTEMPTS: attempts before NO_RESPONSE is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_attempts: Option<u16>,
    /// With ATTEMPTS: days over which they are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u16>,
    /// With ATTEMPTS: different channels among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_channels: Option<u16>,
}

impl SlaPolicy {
    /// One policy of each kind, as a new charter proposes them.
    pub fn defaults() -> Vec<SlaPolicy> {
        use CalendarMode::{OwnerHours, TeamHours, WallClock};
        use ClockKind::*;
        use Party::{Marketing, Sales};
        const DAY: u32 = 24 * 60;
        const BUSINESS_DAY: u32 = 8 * 60;
        let policy =
            |kind, party, mode, target_minutes, pause_reasons: &[&str], max_pause_minutes| SlaPolicy {
                kind,
                party,
                mode,
                target_minutes,
                urgent_target_minutes: None,
                steps: vec![50, 80, 100, 200],
                pause_reasons: pause_reasons.iter().map(|key| (*key).to_owned()).collect(),
                max_pause_minutes,
                min_attempts: None,
                within_days: None,
                min_channels: None,
            };
        let asked = &[CONTEXT_REQUESTED][..];
        let both = &[CONTEXT_REQUESTED, WAITING_ON_BUYER][..];
        vec![
            policy(Route, Some(Marketing), WallClock, 1, &[], 0),
            policy(Accept, Some(Sales), OwnerHours, 4 * 60, asked, 2 * BUSINESS_DAY),
            SlaPolicy {
                urgent_target_minutes: Some(5),
                ..policy(FirstTouch, Some(Sales), OwnerHours, 60, asked, 2 * BUSINESS_DAY)
            },
            SlaPolicy {
                min_attempts: Some(6),
                within_days: Some(14),
                min_channels: Some(2),
                ..policy(Attempts, Some(Sales), WallClock, 14 * DAY, both, 14 * DAY)
            },
            policy(Disposition, Some(Sales), WallClock, 14 * DAY, both, 30 * DAY),
            policy(Requalify, Some(Marketing), WallClock, 90 * DAY, &[], 0),
            policy(Context, Some(Marketing), TeamHours, BUSINESS_DAY, &[], 0),
            policy(FeedbackAck, None, TeamHours, 2 * BUSINESS_DAY, &[], 0),
            policy(GreyCase, None, TeamHours, 3 * BUSINESS_DAY, &[], 0),
            policy(CharterReview, None, WallClock, 90 * DAY, &[], 0),
        ]
    }

    /// The target in milliseconds; the shorter one when the act was `urgent` and the policy has one.
    pub fn target_ms(&self, urgent: bool) -> i64 {
        let minutes = self.urgent_target_minutes.filter(|_| urgent).unwrap_or(self.target_minutes);
        i64::from(minutes) * MINUTE
    }

    /// Everything that is wrong with the policy, each with its path.
    pub fn problems(&self) -> Vec<Refused> {
        let mut found = vec![];
        let mut need = |holds: bool, path: &str, message: String| {
            if !holds {
                found.push(Refused::invalid(path, message));
            }
        };
        let (kind, target) = (self.kind, self.target_minutes);
        let range = |minutes: u32| format!("{kind}: a target is 1 to {MAX_MINUTES} minutes, found {minutes}");
        need((1..=MAX_MINUTES).contains(&target), "targetMinutes", range(target));
        if let Some(urgent) = self.urgent_target_minutes {
            let message = format!(
                "{kind}: the urgent target is 1 to {target} minutes, not longer than the target, found {urgent}"
            );
            need((1..=target).contains(&urgent), "urgentTargetMinutes", message);
        }
        let rises = self.steps.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = self.steps.iter().all(|step| (1..=MAX_STEP).contains(step));
        let message = format!("{kind}: steps rise from 1 to {MAX_STEP} percent, found {:?}", self.steps);
        need(rises && in_range, "steps", message);
        let most = self.max_pause_minutes;
        let message = format!("{kind}: a pause is at most {MAX_MINUTES} minutes, found {most}");
        need(most <= MAX_MINUTES, "maxPauseMinutes", message);
        let message =
            format!("{kind}: pause reasons and a maximum above 0 go together; give both or neither");
        need(self.pause_reasons.is_empty() == (most == 0), "maxPauseMinutes", message);
        for (at, reason) in self.pause_reasons.iter().enumerate() {
            let fresh = !reason.trim().is_empty() && !self.pause_reasons[..at].contains(reason);
            need(
                fresh,
                &format!("pauseReasons/{at}"),
                format!("{kind}: the pause reason {reason:?} is empty or named twice"),
            );
        }
        for (path, value) in [
            ("minAttempts", self.min_attempts),
            ("withinDays", self.within_days),
            ("minChannels", self.min_channels),
        ] {
            let fits =
                if kind == ClockKind::Attempts { value.is_some_and(|n| n > 0) } else { value.is_none() };
            need(
                fits,
                path,
                format!("{kind}: {path} is a number above 0 with ATTEMPTS and absent with every other kind"),
            );
        }
        found
    }
}

/// The time in which a clock runs.
#[derive(Clone, Copy, Debug)]
pub enum WorkingTime<'a> {
    /// All of it.
    Wall,
    /// The hours of a calendar without the absences.
    Hours { calendar: &'a Calendar, absences: &'a [Absence] },
}

impl WorkingTime<'_> {
    /// When `ms` will have passed since `at`; None when no working time is in sight.
    pub fn after(self, at: Instant, ms: i64) -> Option<Instant> {
        match self {
            WorkingTime::Wall => Some(at.plus(ms.max(0))),
            WorkingTime::Hours { calendar, absences } => calendar.add_working(at, ms, absences),
        }
    }

    /// Milliseconds from `a` to `b`; zero when `b` is not later.
    pub fn between(self, a: Instant, b: Instant) -> i64 {
        match self {
            WorkingTime::Wall => b.since(a).max(0),
            WorkingTime::Hours { calendar, absences } => calendar.working_between(a, b, absences),
        }
    }
}

#[cfg(test)]
mod tests;
