//! The host of qualification and routing rules: columns in, verdicts out. The only crate that knows wasmtime.
//!
//! A rule is a pure function in a sandbox without imports. Every way in which it can fail is a recorded status, never an
//! error of the caller. `Host` is the door; `contract` mirrors `schema/wit`.

mod batch;
mod cache;
mod canonical;
mod cases;
mod columns;
mod compile;
mod config;
mod contract;
mod engine;
mod guest;
mod host;
mod inspect;
mod output;
mod plugin;
mod pool;
mod report;
mod rule;
mod schema;

pub use batch::{Judged, Routed};
pub use cases::{Case, CaseLead, CaseProblem, CaseResult};
pub use compile::compile_child_main;
pub use config::{Compiler, HostConfig, Limits};
pub use host::{Host, HostError, LoadError};
pub use inspect::Interfaces;
pub use plugin::{Plugin, SettingsProblem};
pub use report::{Check, CheckReport, Code};
pub use rule::{CodeInfo, Context, Descriptor, NativeRule, Rule, RuleKind, Settings};
pub use schema::{Setting, settings};
