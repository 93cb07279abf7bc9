//! `handfast serve`: opens the data, starts timers and transports, and ends in order.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Args;
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tracing_subscriber::fmt::format::FmtSpan;

use super::client::CliError;
use super::{DataArgs, runtime};
use crate::admission::Tokens;
use crate::app::{App, Opening, RandomIds, SystemClock};
use crate::config::{Config, LogConfig, LogFormat};
use crate::flows::{self, Error};
use crate::http::{self, Lifecycle};
use crate::nats;
use crate::oidc::Oidc;
use crate::telemetry;

#[derive(Args, Clone)]
pub struct ServeArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Address and port, for example 127.0.0.1:7171; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Go on from a database that is older than what was served here before: begins a new epoch, so that cursors from
    /// before are refused. Say it once, with all other nodes stopped; `handfast restore` does it by itself.
    #[arg(long)]
    restored: bool,
}

pub fn serve(mut config: Config, args: ServeArgs) -> Result<ExitCode, CliError> {
    init_log(&config.log)?;
    config.server.data_dir = args.data.data_dir.unwrap_or(config.server.data_dir);
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    runtime()?.block_on(async {
        let opening = if args.restored { Opening::Restored } else { Opening::Serve };
        let app = open_as(&config, opening).await?;
        let running = start(app, &config).await?;
        // Before anybody is told that it serves: whoever stops it then must not kill it.
        let stop = stop_signal();
        eprintln!("Handfast serves http://{}/graphql", running.address);
        if let Some(token) = &running.first_token {
            eprintln!("This is the first start. An admin token, shown only once:");
            // The one line that a script may want to read.
            println!("{token}");
        }
        stop.await;
        eprintln!("Stopping: open requests may finish.");
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Opens the data directory with the machine's clock.
pub async fn open_as(config: &Config, opening: Opening) -> Result<App, CliError> {
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds::default()));
    let app = App::open_as(config, clock, ids, opening).await;
    app.map_err(|error: Error| CliError::Failed(error.to_string()))
}

/// A server that answers.
pub struct Running {
    pub app: App,
    pub address: SocketAddr,
    pub lifecycle: Lifecycle,
    /// Printed once, at the first start.
    pub first_token: Option<String>,
    served: tokio::task::JoinHandle<()>,
    timers: tokio::task::JoinHandle<()>,
    imports: tokio::task::JoinHandle<()>,
    backtests: tokio::task::JoinHandle<()>,
    reevaluations: tokio::task::JoinHandle<()>,
    reports: tokio::task::JoinHandle<()>,
    follower: tokio::task::JoinHandle<()>,
    shadows: tokio::task::JoinHandle<()>,
    deliveries: tokio::task::JoinHandle<()>,
    mirror: Option<tokio::task::JoinHandle<()>>,
}

/// Binds, starts the timers and what an earlier process left unfinished, and answers requests.
pub async fn start(app: App, config: &Config) -> Result<Running, CliError> {
    let failed = |error: Error| CliError::Failed(error.to_string());
    let listen = &config.server.listen;
    let bind = TcpListener::bind(listen).await;
    let listener = bind.map_err(|error| {
        CliError::Failed(format!("cannot listen on {listen}: {error}; choose another with --listen"))
    })?;
    let address = listener.local_addr().map_err(|error| CliError::Failed(error.to_string()))?;
    let lifecycle = Lifecycle::new();
    let counts = telemetry::install().map_err(|error| CliError::Failed(format!("metrics: {error}")))?;
    // Before the first token is made: a configuration that cannot be must not take it away unread.
    let router = router(&app, config, lifecycle.clone(), telemetry::routes(app.clone(), counts))?;
    let mirror = nats::mirror(&app, config);
    let mirror = mirror.map_err(|why| CliError::Usage(format!("configuration: {why}")))?;
    let first_token = flows::token::bootstrap(&app).await.map_err(failed)?;
    flows::resume(&app).await.map_err(failed)?;
    let served =
        tokio::spawn(http::serve(listener, router, lifecycle.clone(), config.edge.connection.clone()));
    let (timed, often) = (app.clone(), config.server.clone());
    let timers = tokio::spawn(async move { flows::timers::run(timed, &often).await });
    let imports = tokio::spawn(flows::import::run(app.clone()));
    let backtests = tokio::spawn(flows::backtest::run(app.clone()));
    let reevaluations = tokio::spawn(flows::reevaluation::run(app.clone()));
    let reports = tokio::spawn(flows::report::run(app.clone()));
    let follower = tokio::spawn(flows::follow::run(app.clone()));
    let shadows = tokio::spawn(flows::shadow::run(app.clone()));
    let deliveries = tokio::spawn(flows::deliver::run(app.clone(), config.server.timer_interval_ms));
    let mirror = mirror.map(tokio::spawn);
    tokio::spawn(tell_failure(app.clone(), lifecycle.clone()));
    lifecycle.ready();
    Ok(Running {
        app,
        address,
        lifecycle,
        first_token,
        served,
        timers,
        imports,
        backtests,
        reevaluations,
        reports,
        follower,
        shadows,
        deliveries,
        mirror,
    })
}

/// A disk that failed is told to whoever asks whether this process takes work.
async fn tell_failure(app: App, lifecycle: Lifecycle) {
    let mut stopped = app.store.stopped();
    drop(app);
    if let Ok(why) = stopped.wait_for(Option::is_some).await
        && let Some(why) = &*why
    {
        lifecycle.fail(&why.to_string());
    }
}

/// The API of a running product, with routes beside it.
pub fn router(app: &App, config: &Config, lifecycle: Lifecycle, beside: Router) -> Result<Router, CliError> {
    let schemas = crate::graphql::schemas(app.clone());
    let wrong = |why| CliError::Usage(format!("configuration: {why}"));
    let oidc = Oidc::new(&config.oidc).map_err(wrong)?;
    let (tokens, clock) = (Tokens::new(app.clone(), oidc), app.clock.clone());
    let beside = beside.merge(http::blob::routes(app.clone(), tokens.clone()));
    let beside = beside.merge(http::report::routes(app.clone(), tokens.clone()));
    let beside = beside.merge(http::export::routes(app.clone(), tokens.clone(), lifecycle.clone()));
    let own = super::documents();
    http::router(schemas, tokens, clock, lifecycle, config.edge.clone(), beside, &own).map_err(wrong)
}

impl Running {
    /// Lets requests finish, closes sockets with 1001 and closes the store.
    pub async fn stop(mut self) {
        self.lifecycle.drain();
        // What is on its way to a webhook would be sent once more.
        self.app.outbound.close();
        if let Err(error) = self.served.await {
            tracing::error!(%error, "the server task failed");
        }
        let patience = Duration::from_millis(self.app.outbound.config.timeout_ms);
        if tokio::time::timeout(patience, &mut self.deliveries).await.is_err() {
            self.deliveries.abort();
        }
        self.timers.abort();
        self.imports.abort();
        self.backtests.abort();
        self.reevaluations.abort();
        self.reports.abort();
        self.follower.abort();
        self.shadows.abort();
        if let Some(mirror) = self.mirror {
            mirror.abort();
        }
        self.app.store.close().await;
    }
}

/// Watches for SIGINT and SIGTERM from now on, not only once it is waited for.
pub fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let watched = [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| {
            let watched = signal(kind);
            watched.inspect_err(|error| tracing::warn!(%error, "a signal cannot be watched"))
        });
        let heard =
            watched.into_iter().flatten().map(|mut signal| async move { signal.recv().await }.boxed());
        let heard: Vec<_> = heard.collect();
        async move {
            match heard.is_empty() {
                true => std::future::pending().await,
                false => drop(futures_util::future::select_all(heard).await),
            }
        }
    }
    #[cfg(not(unix))]
    async {
        drop(tokio::signal::ctrl_c().await);
    }
}

/// Logs go to stderr, so that stdout stays data.
pub fn init_log(config: &LogConfig) -> Result<(), CliError> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.level)
        .map_err(|error| CliError::Usage(format!("log.level {:?}: {error}", config.level)))?;
    let (filter, ends) = match config.spans {
        true => (filter.add_directive(telemetry::spans()), FmtSpan::CLOSE),
        false => (filter, FmtSpan::NONE),
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_span_events(ends).with_writer(std::io::stderr);
    let done = match config.format {
        LogFormat::Human => builder
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    done.map_err(|error| CliError::Failed(format!("logging does not start: {error}")))
}
