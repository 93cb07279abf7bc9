//! The section `[webhooks]` of the configuration. The commented defaults stand in `config.default.toml`.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    pub allow_http: bool,
    pub allow_networks: Vec<IpNet>,
    pub ca_file: Option<PathBuf>,
    pub schedule_seconds: Vec<u32>,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub answer_bytes: usize,
    pub concurrency: usize,
    pub backlog: u32,
    pub disable_after_seconds: u32,
    pub old_secret_seconds: u32,
    pub keep_delivered_seconds: u32,
}

impl Default for WebhookConfig {
    fn default() -> WebhookConfig {
        WebhookConfig {
            allow_http: false,
            allow_networks: vec![],
            ca_file: None,
            schedule_seconds: vec![0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
            connect_timeout_ms: 5_000,
            timeout_ms: 15_000,
            answer_bytes: 65_536,
            concurrency: 8,
            backlog: 10_000,
            disable_after_seconds: 432_000,
            old_secret_seconds: 86_400,
            keep_delivered_seconds: 604_800,
        }
    }
}

impl WebhookConfig {
    /// The pauses before each attempt, in milliseconds.
    pub fn steps(&self) -> Vec<i64> {
        self.schedule_seconds.iter().map(|seconds| i64::from(*seconds) * 1_000).collect()
    }
}
