//! Webhooks: where events are sent to, and the rules of sending them: what an answer means, when it is tried again, and when an
//! endpoint has been silent for too long. After Standard Webhooks.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text::text_enum;
use crate::time::{DAY, Instant, SECOND};

text_enum! {
    /// How an event is written into the body.
    pub enum WebhookFormat {
        /// The event as `schema/events.json` has it, and its cursor.
        Standard = "STANDARD",
        /// The same as `data` of a CloudEvents 1.0 envelope in structured mode.
        Cloudevents = "CLOUDEVENTS",
    }
}

text_enum! {
    /// Where a delivery stands.
    pub enum DeliveryState {
        /// An earlier event of the same lead comes first.
        Waiting = "WAITING",
        /// It is sent as soon as its time has come.
        Pending = "PENDING",
        /// The endpoint has taken it.
        Delivered = "DELIVERED",
        /// Every attempt failed. It is kept, and can be sent again.
        Dead = "DEAD",
    }
}

text_enum! {
    /// How an attempt to deliver ended.
    pub enum AttemptResult {
        /// It was answered with 2xx.
        Delivered = "DELIVERED",
        /// It was answered with another status. Redirects are not followed; 410 switches the webhook off.
        HttpStatus = "HTTP_STATUS",
        /// No whole answer came in time.
        Timeout = "TIMEOUT",
        /// The name of the host has no address.
        Dns = "DNS",
        /// The host has an address that this server does not send to.
        TargetForbidden = "TARGET_FORBIDDEN",
        /// The host took no connection, or cut it.
        Connection = "CONNECTION",
        /// There is no TLS, or no certificate that is trusted.
        Tls = "TLS",
        /// What came back is no HTTP, or is too long.
        Answer = "ANSWER",
    }
}

text_enum! {
    /// Why a webhook was switched off.
    pub enum DisabledReason {
        /// Somebody did it.
        ByHand = "BY_HAND",
        /// The endpoint answered with 410 Gone.
        Gone = "GONE",
        /// No attempt has succeeded for days.
        Failing = "FAILING",
    }
}

/// One attempt to deliver an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub at: Instant,
    pub duration_ms: i64,
    pub result: AttemptResult,
    pub http_status: Option<u16>,
    /// Why it failed, in words.
    pub cause: Option<String>,
}

/// A header that is sent with each delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// Since when a webhook is off, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    pub at: Instant,
    pub reason: DisabledReason,
    /// In words.
    pub message: String,
}

/// A secret that was replaced and is good for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    pub generation: u32,
    pub until: Instant,
}

/// Where events are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    pub id: Uuid,
    pub url: String,
    pub description: String,
    /// Empty for all kinds.
    pub kinds: Vec<String>,
    pub headers: Vec<Header>,
    pub format: WebhookFormat,
    /// Whether a lead's later event waits for its earlier one.
    pub ordered: bool,
    /// None while it is on.
    pub disabled: Option<Disabled>,
    /// Which of its secrets signs; each is derived from the root secret.
    pub generation: u32,
    pub old_secrets: Vec<OldSecret>,
    pub created_at: Instant,
}

/// Secrets that are good at the same time; rotating more often ends the oldest.
const SECRETS: usize = 4;

impl Webhook {
    /// The generations of the secrets that sign now, the newest first.
    pub fn generations(&self, now: Instant) -> Vec<u32> {
        let old = self.old_secrets.iter().filter(|old| now < old.until).map(|old| old.generation);
        std::iter::once(self.generation).chain(old).collect()
    }

    /// A new secret signs from now on; the one before does so too for `overlap_ms`.
    pub fn rotate(&mut self, now: Instant, overlap_ms: i64) {
        self.old_secrets.retain(|old| now < old.until);
        self.old_secrets.insert(0, OldSecret { generation: self.generation, until: now.plus(overlap_ms) });
        self.old_secrets.truncate(SECRETS - 1);
        self.generation += 1;
    }

    /// Whether it wants events of this kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }
}

/// What is to be done after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Done,
    /// Again in so many milliseconds.
    Retry(i64),
    /// Every attempt failed.
    Dead,
}

/// The longest time that an endpoint may ask for by `retry-after`.
pub const MOST_PATIENCE: i64 = DAY;

/// `attempts` have ended, this one included. What the endpoint asks for makes a pause longer, never shorter.
pub fn next(
    result: AttemptResult,
    steps: &[i64],
    attempts: u32,
    seed: u64,
    retry_after: Option<i64>,
) -> Next {
    if result == AttemptResult::Delivered {
        return Next::Done;
    }
    let asked = retry_after.unwrap_or(0).clamp(0, MOST_PATIENCE);
    crate::job::backoff(steps, attempts, seed).map_or(Next::Dead, |pause| Next::Retry(pause.max(asked)))
}

/// Milliseconds that a `retry-after` asks for: seconds, or an instant as HTTP writes it.
pub fn retry_after(text: &str, now: Instant) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds) * SECOND);
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    Some(Instant(at).since(now).max(0))
}

/// Whether an endpoint that has failed since then is given up.
pub fn is_given_up(failing_since: Option<Instant>, now: Instant, patience_ms: i64) -> bool {
    failing_since.is_some_and(|since| now.since(since) >= patience_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(784_111_777_000);

    fn webhook() -> Webhook {
        Webhook {
            id: Uuid::from_u128(1),
            url: "https://hooks.example.test/".into(),
            description: String::new(),
            kinds: vec![],
            headers: vec![],
            format: WebhookFormat::Standard,
            ordered: false,
            disabled: None,
            generation: 1,
            old_secrets: vec![],
            created_at: NOW,
        }
    }

    #[test]
    fn an_old_secret_signs_beside_the_new_one_until_its_time_is_over() {
        let mut webhook = webhook();
        webhook.rotate(NOW, DAY);
        assert_eq!(webhook.generations(NOW.plus(DAY - 1)), [2, 1]);
        assert_eq!(webhook.generations(NOW.plus(DAY)), [2]);
        for _ in 0..20 {
            webhook.rotate(NOW, DAY);
        }
        assert_eq!(webhook.generations(NOW), [22, 21, 20, 19], "a header must not grow for ever");
    }

    #[test]
    fn a_pause_is_what_the_schedule_says_or_what_the_endpoint_asks_for_within_a_day() {
        let steps = [0, 5_000];
        let failed = |attempts, asked| next(AttemptResult::HttpStatus, &steps, attempts, 0, asked);
        assert_eq!(next(AttemptResult::Delivered, &steps, 1, 0, Some(7)), Next::Done);
        assert_eq!(failed(1, None), Next::Retry(5_000));
        assert_eq!(failed(1, Some(1)), Next::Retry(5_000));
        assert_eq!(failed(1, Some(60_000)), Next::Retry(60_000));
        assert_eq!(failed(1, Some(i64::MAX)), Next::Retry(DAY));
        assert_eq!(failed(2, Some(60_000)), Next::Dead);
    }

    #[test]
    fn retry_after_is_seconds_or_an_instant_and_anything_else_is_nothing() {
        for (text, expected) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("99999999999999999999", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, NOW), expected, "{text:?}");
        }
    }

    #[test]
    fn an_endpoint_is_given_up_after_it_failed_for_long_and_not_after_one_failure() {
        assert!(!is_given_up(None, NOW, DAY));
        assert!(!is_given_up(Some(NOW), NOW.plus(DAY - 1), DAY));
        assert!(is_given_up(Some(NOW), NOW.plus(DAY), DAY));
    }
}
