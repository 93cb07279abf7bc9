//! The funnel as pure values and functions: no IO, no clock, no randomness, no async.

pub mod calendar;
pub mod change;
pub mod charter;
pub mod clock;
pub mod criterion;
pub mod digest;
pub mod directory;
pub mod disposition;
pub mod ending;
pub mod evaluation;
pub mod event;
pub mod field;
pub mod handoff;
pub mod lead;
pub mod ledger;
pub mod number;
pub mod persona;
pub mod profile;
pub mod qualify;
pub mod refused;
pub mod sales;
pub mod snapshot;
pub mod stage;
mod text;
pub mod time;
pub mod verdict;
