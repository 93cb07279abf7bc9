//! A mirror of the feed in a stream of NATS JetStream, for those who listen there already. The feed stays the record: JetStream
//! acknowledges before a message is safe on its disk, so the mirror is checked against the feed and mended from it.
//!
//! It is built with the feature `nats`. Its configuration is read without it, too, so that a server that was built without it
//! says so instead of being silent.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use crate::app::App;
use crate::config::Config;

#[cfg(any(feature = "nats", test))]
mod judge;
#[cfg(feature = "nats")]
mod message;
#[cfg(feature = "nats")]
mod mirror;
#[cfg(feature = "nats")]
mod stream;

/// Where the feed is mirrored.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// Empty: nowhere.
    pub url: String,
    /// Empty: as `database.schema`.
    pub stream: String,
    /// Empty: as `database.schema`.
    pub subjects: String,
    pub replicas: u32,
    /// 0: for ever.
    pub max_age_seconds: u64,
    /// 0: no limit.
    pub max_bytes: u64,
    pub token: String,
    pub ca_file: Option<PathBuf>,
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

impl Default for NatsConfig {
    fn default() -> Self {
        NatsConfig {
            url: String::new(),
            stream: String::new(),
            subjects: String::new(),
            replicas: 1,
            max_age_seconds: 0,
            max_bytes: 0,
            token: String::new(),
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

/// A configuration that was found sound, with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub urls: Vec<String>,
    pub stream: String,
    /// What subjects begin with.
    pub prefix: String,
}

impl NatsConfig {
    /// None when nothing is to be mirrored. `built_in` tells whether this program can.
    pub(crate) fn target(&self, schema: &str, built_in: bool) -> Result<Option<Target>, String> {
        if self.url.is_empty() {
            return Ok(None);
        }
        if !built_in {
            return Err("nats.url is set, but this program was built without the feature \"nats\": build it with `cargo \
                        build --release -p handfast --features nats`, or leave nats.url empty"
                .to_owned());
        }
        let or_schema = |given: &str| if given.is_empty() { word(schema) } else { given.to_owned() };
        let (stream, prefix) = (or_schema(&self.stream), or_schema(&self.subjects));
        let is_word = |text: &str| !text.is_empty() && word(text) == text;
        if !is_word(&stream) || stream.len() > 200 {
            return Err(format!(
                "nats.stream is {stream:?}; a stream's name has 1 to 200 letters, digits, \"-\" and \"_\""
            ));
        }
        if !prefix.split('.').all(is_word) || prefix.len() > 200 {
            return Err(format!(
                "nats.subjects is {prefix:?}; it is words of letters, digits, \"-\" and \"_\" with dots between them, at most \
                 200 characters, as in \"acme.handfast\""
            ));
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(format!("nats.replicas is {}; NATS keeps 1 to 5", self.replicas));
        }
        for (limit, value) in [("max_age_seconds", self.max_age_seconds), ("max_bytes", self.max_bytes)] {
            if value > LARGEST {
                return Err(format!("nats.{limit} is {value}; at most {LARGEST}, and 0 for no limit"));
            }
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            return Err(
                "nats.certificate_file and nats.key_file belong together: give both or none".to_owned()
            );
        }
        for (key, file) in [
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ] {
            if let Some(file) = file
                && let Err(error) = std::fs::File::open(file)
            {
                return Err(format!("nats.{key}: {}: {error}", file.display()));
            }
        }
        let urls = self.url.split(',').map(|url| url.trim().to_owned()).collect();
        Ok(Some(Target { urls, stream, prefix }))
    }
}

/// What NATS can count: nanoseconds of an age in 63 bits.
const LARGEST: u64 = i64::MAX as u64 / 1_000_000_000;

/// A text as a name that NATS takes: no dots, blanks or wildcards.
fn word(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    text.chars().map(safe).collect()
}

/// What mirrors the feed for as long as the server runs, if the configuration asks for it.
pub fn mirror(app: &App, config: &Config) -> Result<Option<BoxFuture<'static, ()>>, String> {
    let target = config.nats.target(&config.database.schema, cfg!(feature = "nats"))?;
    #[cfg(feature = "nats")]
    if let Some(target) = target {
        let mirror = mirror::Mirror::new(app.clone(), &config.nats, target)?;
        return Ok(Some(Box::pin(mirror.run())));
    }
    #[cfg(not(feature = "nats"))]
    let _ = (app, target);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(change: impl Fn(&mut NatsConfig)) -> Result<Option<Target>, String> {
        let mut config = NatsConfig { url: "nats://localhost".to_owned(), ..NatsConfig::default() };
        change(&mut config);
        config.target("acme.sales eu", true)
    }

    #[test]
    fn a_program_without_the_feature_refuses_an_address_and_names_the_feature() {
        let config = NatsConfig { url: "nats://localhost".to_owned(), ..NatsConfig::default() };
        let problem = config.target("handfast", false).unwrap_err();
        assert!(problem.contains("--features nats"), "{problem}");
        assert_eq!(NatsConfig::default().target("handfast", false), Ok(None));
    }

    #[test]
    fn stream_and_subjects_are_named_after_the_schema_where_nothing_else_is_said() {
        let found = target(|config| config.url = "nats://a.example.test, nats://b.example.test".to_owned());
        let found = found.unwrap().unwrap();
        assert_eq!((found.stream.as_str(), found.prefix.as_str()), ("acme_sales_eu", "acme_sales_eu"));
        assert_eq!(found.urls, ["nats://a.example.test", "nats://b.example.test"]);
        let found = target(|config| config.subjects = "acme.funnel".to_owned()).unwrap().unwrap();
        assert_eq!(found.prefix, "acme.funnel");
    }

    #[test]
    fn what_nats_would_not_take_is_refused_by_name() {
        type Change = fn(&mut NatsConfig);
        let cases: [(&str, Change); 8] = [
            ("nats.stream", |config| config.stream = "a.b".to_owned()),
            ("nats.subjects", |config| config.subjects = "acme.>".to_owned()),
            ("nats.subjects", |config| config.subjects = "acme..funnel".to_owned()),
            ("nats.replicas", |config| config.replicas = 0),
            ("nats.max_age_seconds", |config| config.max_age_seconds = u64::MAX),
            ("nats.max_bytes", |config| config.max_bytes = u64::MAX),
            ("nats.key_file", |config| config.certificate_file = Some("cert.pem".into())),
            ("nats.ca_file", |config| config.ca_file = Some("no-such-file.pem".into())),
        ];
        for (name, change) in cases {
            let problem = target(change).unwrap_err();
            assert!(problem.contains(name), "{name}: {problem}");
        }
    }
}
