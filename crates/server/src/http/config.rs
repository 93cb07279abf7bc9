//! The limits and lists that the edge is built with. Every default is written down here and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use serde::Deserialize;

/// Everything about the edge that an operator may change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    pub limits: Limits,
    pub rate: RateLimits,
    pub documents: Documents,
    pub socket: SocketLimits,
    pub connection: ConnectionLimits,
    /// Origins of browser pages that may call the API besides pages of this server itself, for example
    /// `https://board.example.com`. `*` allows any.
    pub allowed_origins: Vec<String>,
    /// Host names that this server answers to (421 otherwise), against DNS rebinding. Empty: any.
    pub allowed_hosts: Vec<String>,
    /// Networks of the proxies in front, for example `10.0.0.0/8`: what they say by `X-Forwarded-For` is whom a request came
    /// from. Without them everybody behind a proxy shares the budget of its one address.
    pub trusted_proxies: Vec<IpNet>,
}

/// What a caller may cost over time, counted as a request is: objects of the answer, a tenth for each scalar, and ten for a
/// change. 0 for no limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    pub token_per_second: u32,
    pub token_burst: u32,
    /// Of all tokens that come from one address together, and of requests without a valid one.
    pub address_per_second: u32,
    pub address_burst: u32,
}

/// Which documents are carried out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Documents {
    pub mode: DocumentMode,
    /// JSON: an object of ids and documents, or Apollo's manifest of persisted queries.
    pub file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentMode {
    /// Any.
    #[default]
    Open,
    /// Any; those that the file does not have are written to the log, to learn what would be refused.
    Log,
    /// Those of the file.
    Only,
}

/// What one request may cost before it is executed.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub body_bytes: usize,
    /// From the first to the last byte of a body.
    pub body_timeout_ms: u64,
    pub document_bytes: usize,
    pub document_tokens: usize,
    /// Brackets of any kind within each other, in the text and after fragments are expanded.
    pub nesting: usize,
    /// Fields, spreads and inline fragments after fragments are expanded.
    pub fields: u64,
    pub aliases: usize,
    pub root_fields: u64,
    /// Objects that an answer may hold, a tenth for each scalar, and ten for a change.
    pub cost: u64,
    /// Whether the schema tells about itself.
    pub introspection: bool,
    pub directives: usize,
    pub directives_per_place: usize,
    pub variable_depth: usize,
    pub variable_string_bytes: usize,
    pub variable_values: usize,
    pub variable_keys: usize,
    /// For validation and execution of a query or mutation.
    pub deadline_ms: u64,
    /// Errors shown in one answer, and their size together.
    pub errors: usize,
    pub error_bytes: usize,
    /// Parsed documents kept, and the memory they may take.
    pub cached_documents: usize,
    pub cached_bytes: usize,
}

/// What one WebSocket or event stream may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketLimits {
    /// Sockets and event streams that are open at once in this process.
    pub streams: usize,
    /// Of them, those of one token.
    pub streams_per_token: usize,
    pub subscriptions: usize,
    pub message_bytes: usize,
    /// Messages from the client in any ten seconds.
    pub messages_per_ten_seconds: u32,
    pub init_timeout_ms: u64,
    /// How long a reader may leave one message unread before it counts as too slow.
    pub send_timeout_ms: u64,
    /// Events kept for an event stream whose reader is behind, and their bytes together.
    pub queue: usize,
    pub queue_bytes: usize,
    /// A ping or a comment is sent after so much silence; three unanswered ones end a socket.
    pub keep_alive_ms: u64,
}

/// What one connection may do before it says anything, and when the server stops.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionLimits {
    /// Open at once; more wait to be accepted.
    pub connections: usize,
    /// Of them, those from one address (of IPv6: one network of 64 bits); more are closed at once. A proxy counts as one address.
    pub connections_per_address: usize,
    /// From the first to the last byte of a request's head, and between two requests.
    pub head_timeout_ms: u64,
    pub head_bytes: usize,
    /// What the system keeps for a reader that is behind, before the connection counts as full; at most so much is on its way at
    /// once.
    pub send_buffer_bytes: u32,
    /// How long the other side may take nothing of what is sent to it.
    pub write_timeout_ms: u64,
    /// How long requests may go on when the server stops.
    pub drain_ms: u64,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 5_000,
            head_timeout_ms: 30_000,
            head_bytes: 128 * 1024,
            send_buffer_bytes: 128 * 1024,
            write_timeout_ms: 20_000,
            drain_ms: 15_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            body_timeout_ms: 10_000,
            document_bytes: 32 * 1024,
            document_tokens: 2_000,
            nesting: 40,
            fields: 2_000,
            aliases: 30,
            root_fields: 20,
            cost: 10_000,
            introspection: true,
            directives: 20,
            directives_per_place: 4,
            variable_depth: 32,
            variable_string_bytes: 64 * 1024,
            variable_values: 20_000,
            variable_keys: 1_000,
            deadline_ms: 30_000,
            errors: 20,
            error_bytes: 16 * 1024,
            cached_documents: 1_000,
            cached_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            token_per_second: 50_000,
            token_burst: 500_000,
            address_per_second: 200_000,
            address_burst: 2_000_000,
        }
    }
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            streams: 10_000,
            streams_per_token: 1_000,
            subscriptions: 50,
            message_bytes: 64 * 1024,
            messages_per_ten_seconds: 100,
            init_timeout_ms: 10_000,
            send_timeout_ms: 10_000,
            queue: 256,
            queue_bytes: 32 * 1024,
            keep_alive_ms: 15_000,
        }
    }
}

impl Limits {
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

impl SocketLimits {
    pub fn init_timeout(&self) -> Duration {
        Duration::from_millis(self.init_timeout_ms)
    }

    pub fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms)
    }

    pub fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms.max(1))
    }
}
