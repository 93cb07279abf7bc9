//! Handfast, the funnel that marketing and sales own together: flows that decide, GraphQL that wraps, HTTP that admits.

pub mod admission;
pub mod app;
pub mod cli;
pub mod config;
pub mod flows;
pub mod graphql;
pub mod http;
pub mod nats;
pub mod oci;
mod oidc;
pub mod outbound;
pub mod telemetry;
pub mod workspace;
