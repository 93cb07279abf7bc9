//! The stream, by JetStream's own API: requests of JSON. The library's module for it would bring tokio's test clock into the
//! server, by a crate that retries.
//!
//! **The number of a message in the stream is the position of its event in the feed.** Where the mirror ends is therefore what
//! the stream says of itself, and nothing else needs to be remembered. A stream in which that cannot hold is deleted and made
//! anew: emptying it would go on counting from where it was.

use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use async_nats::{Client, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use handfast_store::StoreError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::judge::{Mark, State, Verdict, judge};
use super::{NatsConfig, Target, message};

/// Why the mirror stands still.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("the NATS server does not answer: {0}")]
    Unreachable(String),
    #[error("the NATS server has no JetStream, or not for this user")]
    NoJetStream,
    #[error("NATS refuses: {description} ({err_code})")]
    Refused { err_code: u32, description: String },
    #[error("NATS answered what is not understood: {0}")]
    Answer(String),
    /// Another node, or somebody else, wrote into the stream; or it is gone.
    #[error("the stream does not end where it was left")]
    Moved,
    #[error(
        "the stream {stream:?} is not this workspace's: its description is {description:?}. Name another one by \
         nats.stream, or delete it"
    )]
    Foreign { stream: String, description: String },
    #[error(
        "the stream ends at position {last}, the feed at {head}: was the database replaced by an older one? Start with \
         what belongs together, or delete the stream"
    )]
    Ahead { last: i64, head: i64 },
    #[error(
        "the stream's event at position {position} is not the feed's: was the database replaced? Delete the stream, and it \
         is made anew"
    )]
    Other { position: i64 },
    #[error(
        "the stream was made anew less than a minute ago and is no mirror again: who else writes into it?"
    )]
    Disturbed,
    #[error("the feed has no event at position {0}: run `handfast doctor`")]
    Gap(i64),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Problem {
    /// Of a closed list, for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Problem::Unreachable(_) => "unreachable",
            Problem::NoJetStream => "no_jetstream",
            Problem::Refused { .. } => "refused",
            Problem::Answer(_) => "answer",
            Problem::Moved => "moved",
            Problem::Foreign { .. } => "foreign",
            Problem::Ahead { .. } => "ahead",
            Problem::Other { .. } => "other_log",
            Problem::Disturbed => "disturbed",
            Problem::Gap(_) => "gap",
            Problem::Store(_) => "store",
        }
    }

    /// How long the next look may be put off: what only a person can mend is asked for less often.
    pub fn patience(&self) -> Duration {
        match self {
            Problem::Foreign { .. }
            | Problem::Ahead { .. }
            | Problem::Other { .. }
            | Problem::Disturbed
            | Problem::Gap(_) => Duration::from_secs(30),
            _ => Duration::from_secs(5),
        }
    }
}

/// JetStream's numbers for what is expected to happen.
const WRONG_LAST_SEQUENCE: u32 = 10_071;
const NO_MESSAGE: u32 = 10_037;
const NO_STREAM: u32 = 10_059;
const OTHER_STREAM: u32 = 10_060;

/// Somebody who writes into the stream for ever must not keep this server publishing the feed for ever.
const REBUILD_PAUSE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Error { error: Refusal },
    Good(T),
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Info {
    config: Map<String, Value>,
    state: State,
}

#[derive(Deserialize)]
struct Stored {
    message: Raw,
}

/// Its headers are base64.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    hdrs: String,
}

#[derive(Deserialize)]
struct Acknowledgement {
    seq: i64,
}

/// An answer that says nothing more.
#[derive(Deserialize)]
struct Done {}

/// Where the mirror goes on.
pub struct End {
    /// The position of the last message, 0 where there is none.
    pub position: i64,
    /// The id of its event, where it is still there.
    pub event: Option<String>,
}

pub struct Stream {
    client: Client,
    target: Target,
    mark: Mark,
    /// What NATS is asked to keep; it goes by the names of JetStream.
    kept: Map<String, Value>,
    /// Whether NATS drops old messages.
    limited: bool,
    /// When it was made anew.
    rebuilt: Option<Instant>,
}

impl Stream {
    pub fn new(client: Client, config: &NatsConfig, target: Target, mark: Mark) -> Stream {
        // 0 means no limit to us, and for an age to NATS as well; for a size it says -1.
        let bytes = if config.max_bytes == 0 { json!(-1) } else { json!(config.max_bytes) };
        let kept = json!({
            "description": mark.write(),
            "subjects": [format!("{}.>", target.prefix)],
            "num_replicas": config.replicas,
            "max_age": Duration::from_secs(config.max_age_seconds).as_nanos() as u64,
            "max_bytes": bytes,
        });
        let kept = kept.as_object().cloned().unwrap_or_default();
        let limited = config.max_age_seconds > 0 || config.max_bytes > 0;
        Stream { client, target, mark, kept, limited, rebuilt: None }
    }

    /// Where the stream ends, which is made if it is not there, and made anew if it cannot be gone on with. `head` is where
    /// the feed ends.
    pub async fn end(&mut self, head: i64) -> Result<End, Problem> {
        let name = &self.target.stream;
        let info: Info = match self.ask(&format!("STREAM.INFO.{name}"), &json!({})).await {
            Err(Problem::Refused { err_code: NO_STREAM, .. }) => return self.create().await,
            answer => answer?,
        };
        let description = info.config.get("description").and_then(Value::as_str).unwrap_or_default();
        let end = match judge(info.state, Mark::read(description).as_ref(), &self.mark, self.limited) {
            Verdict::Foreign => {
                let (stream, description) = (name.clone(), description.chars().take(200).collect());
                return Err(Problem::Foreign { stream, description });
            }
            Verdict::Rebuild(why) => return self.rebuild(why).await,
            Verdict::GoOn(position) => End { position, event: None },
            Verdict::Check(position) => match self.last(position).await? {
                Some(event) => End { position, event: Some(event) },
                None => return self.rebuild("somebody else wrote into it").await,
            },
        };
        if end.position > head {
            return Err(Problem::Ahead { last: end.position, head });
        }
        if self.kept.iter().any(|(key, value)| info.config.get(key) != Some(value)) {
            let mut config = info.config;
            config.extend(self.kept.clone());
            self.ask::<Info>(&format!("STREAM.UPDATE.{name}"), &Value::Object(config)).await?;
        }
        Ok(end)
    }

    /// The id of the event of the last message; none if it is not a message of ours.
    async fn last(&self, position: i64) -> Result<Option<String>, Problem> {
        let asked = format!("STREAM.MSG.GET.{}", self.target.stream);
        let stored: Stored = match self.ask(&asked, &json!({"seq": position})).await {
            // It was dropped between the two questions.
            Err(Problem::Refused { err_code: NO_MESSAGE, .. }) => return Err(Problem::Moved),
            answer => answer?,
        };
        let headers = BASE64_STANDARD.decode(&stored.message.hdrs).unwrap_or_default();
        let headers = String::from_utf8_lossy(&headers);
        let find = |name: &str| {
            let mut pairs = headers.lines().filter_map(|line| line.split_once(':'));
            pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let ours = find("Nats-Msg-Id") == Some(message::id(&self.mark.epoch, position));
        Ok(find(message::EVENT_ID).filter(|_| ours))
    }

    async fn rebuild(&mut self, why: &'static str) -> Result<End, Problem> {
        if self.rebuilt.is_some_and(|at| at.elapsed() < REBUILD_PAUSE) {
            return Err(Problem::Disturbed);
        }
        self.rebuilt = Some(Instant::now());
        tracing::warn!(
            stream = self.target.stream,
            why,
            "the stream is deleted and made anew; its consumers begin anew, too"
        );
        metrics::counter!("handfast_nats_rebuilt_total").increment(1);
        self.ask::<Done>(&format!("STREAM.DELETE.{}", self.target.stream), &json!({})).await?;
        self.create().await
    }

    async fn create(&self) -> Result<End, Problem> {
        let mut config = self.kept.clone();
        let more = json!({
            "name": self.target.stream,
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "max_msgs": -1,
            "max_consumers": -1,
            // NATS keeps the ids of so much time in memory. Nothing here needs them: what is expected before a message says it.
            "duplicate_window": 1_000_000_000_u64,
        });
        config.extend(more.as_object().cloned().unwrap_or_default());
        self.ask::<Info>(&format!("STREAM.CREATE.{}", self.target.stream), &Value::Object(config)).await?;
        Ok(End { position: 0, event: None })
    }

    async fn ask<T: DeserializeOwned>(&self, what: &str, body: &Value) -> Result<T, Problem> {
        let asked = self.client.request(format!("$JS.API.{what}"), body.to_string().into()).await;
        let answer = asked.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Problem::NoJetStream,
            _ => Problem::Unreachable(error.to_string()),
        })?;
        read(&answer.payload)
    }
}

/// The position that an acknowledgement is for; an error for a refusal.
pub fn acknowledged(answer: &async_nats::Message) -> Result<i64, Problem> {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(Problem::Moved);
    }
    match read::<Acknowledgement>(&answer.payload) {
        Ok(acknowledgement) => Ok(acknowledgement.seq),
        Err(Problem::Refused { err_code: WRONG_LAST_SEQUENCE | OTHER_STREAM, .. }) => Err(Problem::Moved),
        Err(problem) => Err(problem),
    }
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice(payload) {
        Ok(Answer::Good(good)) => Ok(good),
        Ok(Answer::Error { error: Refusal { err_code, description } }) => {
            Err(Problem::Refused { err_code, description })
        }
        Err(error) => Err(Problem::Answer(error.to_string())),
    }
}
