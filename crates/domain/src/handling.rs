//! How a lead was handled, beside how good it was: whether sales kept its promises on it, and how hard it tried.

use crate::clock::{ClockKind, ClockLevel, ClockState, Party, SlaClock};
use crate::lead::Cycle;
use crate::number::Long;
use crate::text::text_enum;

text_enum! {
    /// Whether a party keeps its promises on a lead.
    pub enum HandlingState {
        /// Nothing was promised.
        Nothing = "NOTHING",
        /// Every promise was kept in time, or still runs.
        InTime = "IN_TIME",
        /// One was kept too late.
        Late = "LATE",
        /// One is overdue.
        Overdue = "OVERDUE",
    }
}

/// How sales handled a lead in its newest cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "graphql", derive(async_graphql::SimpleObject))]
pub struct Handling {
    /// From the hand-off to the first genuine touch, in milliseconds of wall-clock time, whoever had the lead; null before it
    /// (speed-to-lead).
    pub speed_to_lead_ms: Option<Long>,
    /// Genuine attempts to reach the lead.
    pub attempts: u32,
    /// Different kinds of contact among them.
    pub channels: u32,
    /// Genuine answers of the buyer.
    pub conversations: u32,
    /// Promises of sales that were broken.
    pub breaches: u32,
    /// Whether sales keeps its promises on it.
    pub state: HandlingState,
}

/// Of the newest cycle, with its clocks.
pub fn handling(cycle: &Cycle, clocks: &[SlaClock]) -> Handling {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let own = || clocks.iter().filter(|clock| clock.cycle == cycle.number && clock.party == Party::Sales);
    let touched = own().find(|clock| (clock.kind, clock.level) == (ClockKind::FirstTouch, ClockLevel::Lead));
    let speed = touched.and_then(|clock| Some(clock.met_at?.since(clock.started_at).max(0)));
    let breached = || own().filter(|clock| clock.state == ClockState::Breached);
    let state = match (own().next(), breached().next(), breached().any(|clock| clock.met_at.is_none())) {
        (None, ..) => HandlingState::Nothing,
        (Some(_), None, _) => HandlingState::InTime,
        // What was broken in a cycle that is over is overdue no more.
        (Some(_), Some(_), true) if cycle.closed_at.is_none() => HandlingState::Overdue,
        _ => HandlingState::Late,
    };
    Handling {
        speed_to_lead_ms: speed.map(Long),
        attempts: cycle.attempts.count,
        channels: small(cycle.attempts.kinds.len()),
        conversations: cycle.conversations,
        breaches: small(breached().count()),
        state,
    }
}
