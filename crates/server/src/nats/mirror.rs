//! The node that leads publishes what the feed has and the stream has not, in order, many at once.
//!
//! NATS takes a message only where its number in the stream will be the position of its event. So it does not matter who
//! publishes, nor how often: a node that was paused, lost its lease and wakes up can only repeat what is there already, which is
//! refused. The number alone would let the next message follow a stranger's that took the place of the one before; that one is
//! expected by its id, too. (Not by the id alone: a NATS server that starts anew after a quiet time has forgotten the last one.)
//! Whenever an expectation fails, the connection is a new one, or half a minute has passed in silence, the stream is asked again
//! where it ends.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use futures_util::StreamExt;
use handfast_store::feed::EventFilter;
use handfast_store::secret::Purpose;
use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::judge::Mark;
use super::stream::{End, Problem, Stream, acknowledged};
use super::{NatsConfig, Target, message};
use crate::app::App;

/// Events that are read at once.
const PAGE: usize = 500;
/// Messages on their way that NATS has not acknowledged; what the mirror holds in memory besides a page.
const WINDOW: i64 = 1_000;
/// An acknowledgement that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so much silence the stream is looked at: somebody may have deleted it.
const LOOK: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);

pub struct Mirror {
    app: App,
    target: Target,
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    config: NatsConfig,
}

/// The connection; a change of it ends what is waited for.
#[derive(Default)]
struct Link {
    connected: bool,
    /// Why not.
    reason: String,
}

impl Mirror {
    pub fn new(app: App, config: &NatsConfig, target: Target) -> Result<Mirror, String> {
        let server = |url: &String| url.parse::<ServerAddr>().map_err(|error| format!("nats.url: {error}"));
        let servers = target.urls.iter().map(server).collect::<Result<Vec<_>, String>>()?;
        let mut options = ConnectOptions::new()
            .name("handfast")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .request_timeout(Some(PATIENCE))
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(|attempts| {
                FIRST_PAUSE
                    .saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX))
                    .min(Duration::from_secs(4))
            });
        if !config.token.is_empty() {
            options = options.token(config.token.clone());
        }
        if let Some(file) = &config.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let (Some(certificate), Some(key)) = (&config.certificate_file, &config.key_file) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        metrics::describe_gauge!(
            "handfast_nats_position",
            "Position that the stream in NATS is known to have"
        );
        metrics::describe_gauge!(
            "handfast_nats_lag",
            "Events that the feed has and the stream in NATS is not known to have; 0 on nodes that do not mirror"
        );
        metrics::describe_counter!("handfast_nats_published_total", "Messages that NATS acknowledged");
        metrics::describe_counter!(
            "handfast_nats_failures_total",
            "What stopped the mirror for a while, by reason"
        );
        metrics::describe_counter!("handfast_nats_rebuilt_total", "Streams that were deleted and made anew");
        Ok(Mirror { app, target, servers, options, config: config.clone() })
    }

    /// Runs for as long as the server does.
    pub async fn run(self) {
        let Mirror { app, target, servers, options, config } = self;
        let (tell, link) = watch::channel(Link { connected: false, reason: "not connected yet".to_owned() });
        let options = options.event_callback(move |event| {
            note(&tell, &event);
            std::future::ready(())
        });
        // It connects in the background; only an address that cannot be read fails at once, and those are read already.
        let client = match options.connect(servers).await {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "the feed is not mirrored in NATS"),
        };
        let workspace = app.store.secret().subkey(Purpose::Fingerprint);
        let workspace = workspace[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let mark = Mark { workspace, epoch: app.store.cursors().epoch() };
        let stream = Stream::new(client.clone(), &config, target.clone(), mark);
        Running { app, target, client, stream, link, looked: 0, mirrored: 0, told: None }.run().await;
    }
}

fn note(tell: &watch::Sender<Link>, event: &Event) {
    let connected = match event {
        Event::Connected => true,
        Event::Disconnected | Event::Closed => false,
        // A reason is no change: nobody need wake up for it.
        Event::ClientError(_) | Event::ServerError(_) => {
            tell.send_if_modified(|link| {
                link.reason = event.to_string();
                false
            });
            return;
        }
        _ => return,
    };
    tell.send_modify(|link| *link = Link { connected, reason: event.to_string() });
}

struct Running {
    app: App,
    target: Target,
    client: Client,
    stream: Stream,
    link: watch::Receiver<Link>,
    /// Up to where the stream had the feed when it was looked at.
    looked: i64,
    /// Up to where it is known to have it by now.
    mirrored: i64,
    /// What was last told to the operator: one line for each trouble, not for each try.
    told: Option<&'static str>,
}

impl Running {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        // A server that is there answers sooner; nobody is told of trouble before.
        let _ = timeout(Duration::from_secs(3), self.link.wait_for(|link| link.connected)).await;
        loop {
            self.app.store.lead().await;
            let before = self.mirrored;
            let Err(problem) = self.session().await else { continue };
            counter!("handfast_nats_failures_total", "why" => problem.word()).increment(1);
            self.measure();
            if self.mirrored > before {
                pause = FIRST_PAUSE;
            }
            match problem {
                Problem::Moved => tracing::debug!(%problem, "the stream is looked at again"),
                _ if self.told == Some(problem.word()) => {}
                _ => {
                    tracing::warn!(%problem, "the mirror of the feed in NATS stands still; trying again");
                    self.told = Some(problem.word());
                }
            }
            // A new connection is worth a try at once.
            let _ = timeout(pause, self.link.changed()).await;
            pause = pause.saturating_mul(2).min(problem.patience());
        }
    }

    /// Looks where the stream ends, and publishes from there until that must be asked again.
    async fn session(&mut self) -> Result<(), Problem> {
        {
            let link = self.link.borrow_and_update();
            if !link.connected {
                return Err(Problem::Unreachable(link.reason.clone()));
            }
        }
        self.looked = self.look().await?;
        self.mirrored = self.looked;
        if self.told.take().is_some() {
            tracing::info!("the mirror of the feed in NATS goes on");
        }
        let inbox = self.client.new_inbox();
        let acks = self.client.subscribe(format!("{inbox}.*")).await;
        let mut acks = acks.map_err(|error| Problem::Unreachable(error.to_string()))?;
        let (mut sent, mut head) = (self.mirrored, self.app.store.head());
        loop {
            let known = *head.borrow_and_update();
            self.measure();
            if !self.app.store.leads() {
                gauge!("handfast_nats_lag").set(0.0);
                return Ok(());
            }
            if sent < known {
                sent = self.publish(sent, &inbox, &mut acks).await?;
                continue;
            }
            if self.mirrored < sent {
                self.acknowledgement(&mut acks).await?;
                continue;
            }
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                _ = self.link.changed() => return Ok(()),
                () = sleep(LOOK) => return Ok(()),
            }
        }
    }

    /// Where the stream ends, if its last message is the event that the feed has there.
    async fn look(&mut self) -> Result<i64, Problem> {
        let head = *self.app.store.head().borrow();
        let End { position, event } = self.stream.end(head).await?;
        if let Some(event) = event {
            let page = self.app.store.events_after(position - 1, 1, &EventFilter::default()).await?;
            let same = |ours: &str| ours == event;
            if !page
                .events
                .first()
                .is_some_and(|told| told.position == position && same(&told.event.id.to_string()))
            {
                return Err(Problem::Other { position });
            }
        }
        Ok(position)
    }

    /// Sends a page, and answers the position of its last event.
    async fn publish(&mut self, after: i64, inbox: &str, acks: &mut Subscriber) -> Result<i64, Problem> {
        let page = self.app.store.events_after(after, PAGE, &EventFilter::default()).await?;
        let mut sent = after;
        for told in &page.events {
            if told.position != sent + 1 {
                break;
            }
            while sent - self.mirrored >= WINDOW {
                self.acknowledgement(acks).await?;
            }
            let message = message::of(told, sent > self.looked, self.app.store.cursors(), &self.target)?;
            let reply = format!("{inbox}.{}", told.position);
            let (subject, body) = (message.subject, message.body.into());
            let published =
                self.client.publish_with_reply_and_headers(subject, reply, message.headers, body).await;
            published.map_err(|error| Problem::Unreachable(error.to_string()))?;
            sent = told.position;
        }
        if sent == after { Err(Problem::Gap(after + 1)) } else { Ok(sent) }
    }

    /// Waits for the next acknowledgement. They come in the order of the messages.
    async fn acknowledgement(&mut self, acks: &mut Subscriber) -> Result<(), Problem> {
        let answer = tokio::select! {
            answer = timeout(PATIENCE, acks.next()) => answer,
            _ = self.link.changed() => return Err(Problem::Unreachable("the connection broke".to_owned())),
        };
        let lost = || Problem::Unreachable("a message was not acknowledged".to_owned());
        let answer = answer.map_err(|_| lost())?.ok_or_else(lost)?;
        let position = self.mirrored + 1;
        if acknowledged(&answer)? != position {
            return Err(Problem::Moved);
        }
        counter!("handfast_nats_published_total").increment(1);
        self.mirrored = position;
        Ok(())
    }

    fn measure(&self) {
        let head = *self.app.store.head().borrow();
        gauge!("handfast_nats_position").set(self.mirrored as f64);
        gauge!("handfast_nats_lag").set(head.saturating_sub(self.mirrored).max(0) as f64);
    }
}
