//! The relational store: the only SQL of the workspace. Writes go through one writer ([`Store::write`]), reads through
//! pools of read-only connections; the log and its feed tell everyone what changed.
//!
//! SQL texts are portable between SQLite and PostgreSQL; what cannot be stands in [`dialect`].

pub mod answer;
pub mod attribution;
pub mod audience;
pub mod backtest;
pub mod backup;
pub mod blob;
pub mod campaign;
pub mod chain;
pub mod change;
pub mod charter;
pub mod charter_review;
pub mod consumer;
pub mod content;
pub mod context_request;
pub mod cursor;
pub mod customer;
pub mod decision_override;
pub mod delivery;
pub mod deployment;
pub mod dialect;
pub mod directory;
pub mod effort;
pub mod error;
pub mod evaluation;
pub mod examine;
pub mod feed;
pub mod feedback;
pub mod follow_up;
pub mod form;
pub mod friction;
pub mod funnel;
pub mod grey_case;
pub mod handoff;
pub mod idempotency;
pub mod import;
pub mod insight;
pub mod job;
pub mod judged;
pub mod lead;
pub mod lease;
pub mod ledger;
pub mod loaded;
pub mod mark;
pub mod measure;
pub mod meeting;
pub mod merge;
pub mod open;
pub mod passage;
pub mod person;
pub mod personal;
pub mod plugin;
pub mod profile;
pub mod pulse;
pub mod rating;
pub mod rebuild;
pub mod reevaluation;
pub mod report;
pub mod rows;
pub mod secret;
pub mod signature;
pub mod suppression;
pub mod tail;
pub mod timeline;
pub mod token;
pub mod touchpoint;
pub mod tx;
pub mod webhook;

mod command;
mod counter;
mod decode;
mod files;
mod migrations;
mod pool;
mod postgres;
mod sequencer;
mod stopped;
mod writer;

/// The target of spans that tell where time goes.
pub const SPANS: &str = "handfast_spans";

pub use error::StoreError;
pub use open::{OpenOptions, Store};
pub use pool::be_patient;
pub use postgres::PostgresOptions;
pub use tx::Tx;
