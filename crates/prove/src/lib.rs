//! Proofs that the log keeps its promises: what was acknowledged is never lost, a subscriber that resumes sees each change
//! once and in order, one key has one effect, and a node that was paused does nothing twice.
//!
//! One [`checker`] judges both a seeded simulation of the log's parts ([`sim`]), which runs in the ordinary tests, and real
//! processes that are killed, paused and cut off. Started by `cargo xtask prove`.
//!
//! This crate stands outside of the house: its processes talk to the public API alone.

pub mod checker;
pub mod cluster;
pub mod dice;
pub mod faults;
pub mod kills;
pub mod latency;
pub mod proxy;
pub mod readback;
pub mod sim;
pub mod subscriber;
pub mod writer;

/// Time since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a harness lives in real time; what it proves does not depend on it"
)]
pub fn now() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// A line on how far it is.
pub fn tell(text: &str) {
    eprintln!("   {text}");
}

/// Says what was wrong, and how the program ends.
pub fn outcome(wrong: &[String]) -> std::process::ExitCode {
    if wrong.is_empty() {
        println!("\nnothing was lost, reordered or doubled");
        return std::process::ExitCode::SUCCESS;
    }
    println!("\n{} violations:", wrong.len());
    wrong.iter().take(50).for_each(|line| println!("  {line}"));
    std::process::ExitCode::FAILURE
}
