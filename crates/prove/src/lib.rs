//! Proofs that the log keeps its promises: what was acknowledged is never lost, a subscriber that resumes sees each change
//! once and in order, one key has one effect, and a node that was paused does nothing twice.
//!
//! One [`checker`] judges both a seeded simulation of the log's parts ([`sim`]), which runs in the ordinary tests, and real
//! processes that are killed, paused and cut off. Started by `cargo xtask prove`.
//!
//! This crate stands outside of the house: its processes talk to the public API alone.

pub mod checker;
pub mod dice;
pub mod sim;
