//! The command line's way to a running server: typed errors, GraphQL by POST, files by PUT.

use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};

/// Why a command failed, and with which exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Gate(String),
}

impl CliError {
    /// 1 failure, 2 usage, 3 not found, 4 denied, 5 conflict, 6 gate failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Failed(_) => 1,
            CliError::Usage(_) => 2,
            CliError::NotFound(_) => 3,
            CliError::Denied(_) => 4,
            CliError::Conflict(_) => 5,
            CliError::Gate(_) => 6,
        }
    }

    /// By the code of a user error or of an error of the answer.
    pub fn coded(code: &str, message: String) -> CliError {
        match code {
            "NOT_FOUND" => CliError::NotFound(message),
            "UNAUTHENTICATED" | "FORBIDDEN" | "SUPPRESSED" => CliError::Denied(message),
            "VERSION_CONFLICT" | "ALREADY_EXISTS" | "IDEMPOTENCY_KEY_REUSED" | "DEPLOYMENT_STATE" => {
                CliError::Conflict(message)
            }
            "GATE_NOT_MET"
            | "PLUGIN_REJECTED"
            | "PLUGIN_SIGNATURE"
            | "PLUGIN_DOWNGRADE"
            | "PRECEDENT_CONTRADICTED"
            | "CHARTER_STATE" => CliError::Gate(message),
            _ => CliError::Failed(message),
        }
    }

    /// Whether it may go by itself: the server is gone for now, or has too much to do.
    pub fn is_passing(&self) -> bool {
        matches!(self, CliError::Failed(_))
    }
}

/// How often a command waits for its budget to fill.
const PATIENCE: usize = 10;
/// It waits no longer than so many seconds at a time.
const LONGEST: u64 = 10;

fn told_to_wait(response: &ureq::http::Response<ureq::Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after").filter(|_| response.status() == 429)?;
    let seconds: u64 = seconds.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST)))
}

/// A server and a token for it.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Client {
    pub fn new(url: &str, token: &str) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(600)))
            .http_status_as_error(false)
            .build();
        Client { agent: config.into(), url: url.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs an operation and answers its `data`. An error of the answer is an error here.
    pub fn query(&self, document: &str, variables: Value) -> Result<Value, CliError> {
        let body = json!({"query": document, "variables": variables});
        let ask = || {
            self.agent
                .post(format!("{}/graphql", self.url))
                .header("authorization", format!("Bearer {}", self.token))
                .header("accept", "application/graphql-response+json, application/json")
                .send_json(&body)
        };
        let mut response = ask();
        // Whoever has spent a budget is told how long to wait.
        for _ in 0..PATIENCE {
            let Some(wait) = response.as_ref().ok().and_then(told_to_wait) else { break };
            std::thread::sleep(wait);
            response = ask();
        }
        let answer = self.read(response)?;
        match answer["errors"].as_array().and_then(|errors| errors.first()) {
            Some(error) => {
                let code = error["extensions"]["code"].as_str().unwrap_or_default();
                Err(CliError::coded(
                    code,
                    error["message"].as_str().unwrap_or("the server refused").to_owned(),
                ))
            }
            None => Ok(answer["data"].clone()),
        }
    }

    /// Runs a mutation whose payload has `errors`, and answers the payload.
    pub fn mutate(&self, field: &str, document: &str, variables: Value) -> Result<Value, CliError> {
        let payload = self.query(document, variables)?[field].clone();
        let errors = payload["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(first) = errors.first() else { return Ok(payload) };
        let lines = errors.iter().map(|error| {
            let path: Vec<&str> =
                error["path"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let message = error["message"].as_str().unwrap_or("the server refused");
            let place = if path.is_empty() { String::new() } else { format!(" (at {})", path.join("/")) };
            format!("{message}{place}")
        });
        let code = first["code"].as_str().unwrap_or_default();
        Err(CliError::coded(code, lines.collect::<Vec<_>>().join("\n  ")))
    }

    /// Streams a file to the server and answers its sha-256.
    pub fn put_blob(&self, kind: &str, size: u64, reader: impl Read) -> Result<String, CliError> {
        let mut reader = reader;
        let response = self
            .agent
            .put(format!("{}/blobs?kind={kind}", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/octet-stream")
            .header("content-length", size.to_string())
            .send(ureq::SendBody::from_reader(&mut reader));
        let answer = self.read(response)?;
        match answer["sha256"].as_str() {
            Some(digest) => Ok(digest.to_owned()),
            None => {
                let error = &answer["errors"][0];
                let code = error["extensions"]["code"].as_str().unwrap_or_default();
                Err(CliError::coded(
                    code,
                    error["message"].as_str().unwrap_or("the upload failed").to_owned(),
                ))
            }
        }
    }

    /// Opens a stream of lines: the cursor to go on from after its end, and its bytes. It may take as long as it likes.
    pub fn stream<'q>(
        &self,
        path: &str,
        query: impl Iterator<Item = (&'q str, &'q str)>,
    ) -> Result<(String, Box<dyn Read>), CliError> {
        let response = self
            .agent
            .get(format!("{}{path}", self.url))
            .query_pairs(query)
            .header("authorization", format!("Bearer {}", self.token))
            .config()
            .timeout_global(None)
            .build()
            .call();
        let cursor = response.as_ref().ok().filter(|response| response.status() == 200);
        let cursor = cursor.and_then(|response| response.headers().get("handfast-cursor"));
        if let Some(cursor) = cursor.and_then(|value| value.to_str().ok()).map(str::to_owned) {
            let body = response.map_err(|error| CliError::Failed(error.to_string()))?.into_body();
            return Ok((cursor, Box::new(body.into_reader())));
        }
        let error = &self.read(response)?["errors"][0];
        let code = error["extensions"]["code"].as_str().unwrap_or_default();
        let message = error["message"].as_str().unwrap_or("the server refused").to_owned();
        Err(match code.starts_with("CURSOR_") || code == "BAD_REQUEST" {
            true => CliError::Usage(format!("{message} ({code})")),
            false => CliError::coded(code, message),
        })
    }

    fn read(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, CliError> {
        let unreachable = |error: ureq::Error| {
            CliError::Failed(format!(
                "no answer from {}: {error}; is `handfast serve` running there?",
                self.url
            ))
        };
        let mut response = response.map_err(unreachable)?;
        let status = response.status();
        let answer: Value =
            response.body_mut().with_config().limit(64 * 1024 * 1024).read_json().map_err(|error| {
                CliError::Failed(format!(
                    "{} answered {status} with something else than JSON: {error}",
                    self.url
                ))
            })?;
        Ok(answer)
    }
}
