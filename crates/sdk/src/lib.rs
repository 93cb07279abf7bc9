//! What the author of a Handfast rule depends on: the contract's types, typed columns, and the macros that turn a Rust
//! type into a plugin. It builds natively too, so that a rule's functions are tested with plain `cargo test`.
//!
//! A whole qualifier:
//!
//! ```
//! use handfast_sdk::*;
//!
//! reads! {
//!     pub struct Lead {
//!         employees: integer = "company.employees",
//!         industry: text = "company.industry",
//!     }
//! }
//!
//! codes! {
//!     pub enum Code {
//!         BigEnough = "big-enough", "Big enough", "The account has the employees that we ask for.";
//!     }
//! }
//!
//! #[derive(serde::Deserialize)]
//! pub struct Settings {
//!     employees: i64,
//! }
//!
//! struct Size;
//!
//! impl Qualifier for Size {
//!     type Settings = Settings;
//!
//!     fn describe() -> Descriptor {
//!         Descriptor {
//!             name: "size".into(),
//!             version: "1.0.0".into(),
//!             summary: "Advances accounts of a size".into(),
//!             settings_schema: r#"{"type": "object", "required": ["employees"]}"#.into(),
//!             reason_codes: Code::all(),
//!             reads: Lead::reads(),
//!         }
//!     }
//!
//!     fn evaluate(settings: &Settings, _: &Context, leads: &Leads) -> Vec<Verdict> {
//!         leads.rows::<Lead>().map(|lead| judge(settings, &lead)).collect()
//!     }
//! }
//!
//! fn judge(settings: &Settings, lead: &Lead) -> Verdict {
//!     match lead.employees {
//!         Some(n) if n >= settings.employees => {
//!             Verdict::new(Outcome::Advance).because(Code::BigEnough.weighs(10).on(Lead::employees))
//!         }
//!         Some(_) => Verdict::new(Outcome::Hold),
//!         None => Verdict::new(Outcome::Hold).misses(Lead::employees, 10),
//!     }
//! }
//!
//! // The folder that holds `rules.wit`, seen from the plugin's Cargo.toml; "wit" when left out.
//! export_qualifier!(Size, "../../schema/wit/handfast-rules@1.0.0");
//! ```
//!
//! `handfast plugin new` makes a folder around it, `handfast plugin build` a component of it. With the feature `cases`,
//! `cases!(qualifier Size)` runs the folder's `cases/*.json` as a plain test, without wasm.

#[cfg(any(feature = "cases", test))]
#[doc(hidden)]
pub mod cases;
mod decay;
mod export;
mod leads;
mod reads;
mod types;

pub use decay::{DAY, SCALE, decayed, remaining};
pub use leads::{Leads, TextList};
pub use reads::Row;
pub use types::*;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use wit_bindgen;

use serde::de::DeserializeOwned;

/// A rule that judges leads.
pub trait Qualifier {
    /// What the operator may set. Serde reads it from the settings document.
    type Settings: DeserializeOwned;

    fn describe() -> Descriptor;

    /// Checks that neither the JSON Schema nor serde can express.
    fn check(_settings: &Self::Settings) -> Vec<SettingsProblem> {
        Vec::new()
    }

    /// One verdict for each lead, in batch order, each from its own lead alone.
    fn evaluate(settings: &Self::Settings, context: &Context, leads: &Leads) -> Vec<Verdict>;
}

/// A rule that sends one lead to an owner or a queue.
pub trait Router {
    type Settings: DeserializeOwned;

    fn describe() -> Descriptor;

    fn check(_settings: &Self::Settings) -> Vec<SettingsProblem> {
        Vec::new()
    }

    /// `lead` has exactly one row; `owners` are the pool as it stands now.
    fn assign(settings: &Self::Settings, context: &Context, lead: &Leads, owners: &[Owner]) -> Assignment;
}

/// Reads settings, and says in one sentence what is wrong with them.
pub fn parse_settings<S: DeserializeOwned>(text: &str) -> Result<S, String> {
    serde_json::from_str(text).map_err(|error| format!("settings: {error}"))
}
