//! Black-box tests of the built product, one file a noun.

mod campaign;
mod catalogue;
mod charter;
mod consumer;
mod decision;
mod directory;
mod export;
mod funnel;
mod fuzz;
mod graphiql;
mod guard;
mod import;
mod language;
mod lead;
mod ledger;
mod nodes;
mod oidc;
mod plugin;
mod schema;
mod subscribe;
mod telemetry;
mod token;
mod webhook;
mod work;
