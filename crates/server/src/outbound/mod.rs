//! What leaves the server by itself: requests to webhooks, signed, to addresses that were looked at before, and no further read
//! than they are worth. When and what is sent decides `flows::deliver`.

pub mod address;
pub mod client;
pub mod config;
pub mod message;
pub mod target;

use tokio::sync::watch;

use client::Client;
use config::WebhookConfig;
use target::Policy;

/// One for the whole process.
pub struct Outbound {
    pub config: WebhookConfig,
    pub policy: Policy,
    pub client: Client,
    /// Counts reasons to look for something to send.
    wake: watch::Sender<u64>,
    closing: watch::Sender<bool>,
}

impl Outbound {
    /// An error says what of the configuration cannot be.
    pub fn new(config: &WebhookConfig) -> Result<Outbound, String> {
        let policy = Policy::new(config);
        let client = Client::new(config, policy.clone())?;
        if config.schedule_seconds.is_empty() {
            return Err("webhooks.schedule_seconds is empty: nothing would ever be sent".to_owned());
        }
        let (wake, closing) = (watch::Sender::new(0), watch::Sender::new(false));
        Ok(Outbound { config: config.clone(), policy, client, wake, closing })
    }

    /// There may be something to send now.
    pub fn wake(&self) {
        self.wake.send_modify(|count| *count += 1);
    }

    pub fn woken(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    /// From now on nothing new is sent; what is on its way may end.
    pub fn close(&self) {
        self.closing.send_replace(true);
        self.wake();
    }

    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}
