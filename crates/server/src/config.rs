//! Configuration: the embedded default file, then `handfast.toml`, then `HANDFAST__SECTION__KEY`, then flags. An unknown
//! key is an error with a suggestion, never silently ignored.

use std::path::{Path, PathBuf};

use handfast_store::PostgresOptions;
use serde::Deserialize;

use crate::flows::signature::Policy;
use crate::http::config::EdgeConfig;
use crate::nats::NatsConfig;
use crate::oidc::OidcConfig;
use crate::outbound::config::WebhookConfig;

/// The commented defaults; this file is the reference.
pub const DEFAULT: &str = include_str!("config.default.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub database: DatabaseConfig,
    pub workspace: WorkspaceConfig,
    pub log: LogConfig,
    pub oidc: OidcConfig,
    #[serde(default)]
    pub edge: EdgeConfig,
    #[serde(default)]
    pub webhooks: WebhookConfig,
    #[serde(default)]
    pub nats: NatsConfig,
    #[serde(default)]
    pub rules: RulesConfig,
    #[serde(default)]
    pub campaigns: CampaignsConfig,
}

/// How campaigns are planned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CampaignsConfig {
    pub require_review: bool,
}

/// What versions of rules must be like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    pub require_signatures: Policy,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    pub listen: String,
    pub data_dir: PathBuf,
    pub rule_threads: usize,
    pub timer_interval_ms: u64,
    pub keep_answers_seconds: u32,
}

/// Where the workspace's data lives.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    pub url: String,
    pub schema: String,
    pub write_connections: u32,
}

impl DatabaseConfig {
    /// None for the file in the data directory.
    pub fn postgres(&self) -> Option<PostgresOptions> {
        (!self.url.is_empty()).then(|| PostgresOptions {
            url: self.url.clone(),
            schema: self.schema.clone(),
            write_connections: self.write_connections.max(1),
        })
    }
}

/// What charter 0 says at the very first start; afterwards the charter in force says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceConfig {
    pub currency: String,
    pub time_zone: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub level: String,
    pub format: LogFormat,
    pub spans: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Human,
    Json,
}

impl Config {
    /// `file` is the one that the user named; without one, `handfast.toml` here, if there is one.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, String> {
        let mut merged: toml::Table =
            DEFAULT.parse().map_err(|error| format!("the embedded defaults: {error}"))?;
        let path = file
            .map(Path::to_path_buf)
            .or_else(|| Some(PathBuf::from("handfast.toml")).filter(|path| path.exists()));
        if let Some(path) = path {
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let given: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
            merge(&mut merged, given);
        }
        for (name, value) in environment {
            if let Some(path) = name.strip_prefix("HANDFAST__") {
                let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
                set(&mut merged, &keys, &value).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        // Serde names an unknown key together with those that it knows.
        Config::deserialize(toml::Value::Table(merged))
            .map_err(|error| format!("configuration: {}", error.message()))
    }
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(known)), toml::Value::Table(given)) => merge(known, given),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn set(table: &mut toml::Table, keys: &[String], value: &str) -> Result<(), String> {
    match keys {
        [] => Err("no key is named".into()),
        [key] => {
            // Numbers, booleans and lists are written as in the file; everything else is text.
            let parsed =
                format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("v"));
            table.insert(key.clone(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())));
            Ok(())
        }
        [section, rest @ ..] => {
            let inner =
                table.entry(section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let inner = inner.as_table_mut().ok_or_else(|| format!("{section} is no section"))?;
            set(inner, rest, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, environment)
    }

    #[test]
    fn the_embedded_defaults_are_complete() {
        let config = load(&[]).unwrap();
        assert_eq!(config.server.listen, "127.0.0.1:7171");
        // The file is the reference, and says what the code does.
        assert_eq!(format!("{:?}", config.edge), format!("{:?}", EdgeConfig::default()));
        assert_eq!(format!("{:?}", config.webhooks), format!("{:?}", WebhookConfig::default()));
        assert_eq!(format!("{:?}", config.nats), format!("{:?}", NatsConfig::default()));
        assert_eq!(format!("{:?}", config.rules), format!("{:?}", RulesConfig::default()));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config =
            load(&[("HANDFAST__EDGE__LIMITS__FIELDS", "77"), ("HANDFAST__LOG__LEVEL", "debug")]).unwrap();
        assert_eq!((config.edge.limits.fields, config.log.level.as_str()), (77, "debug"));
    }

    #[test]
    fn an_unknown_key_is_refused_and_names_the_known_ones() {
        let problem = load(&[("HANDFAST__SERVER__LISTEM", "x")]).unwrap_err();
        assert!(problem.contains("listem") && problem.contains("listen"), "{problem}");
    }
}
