//! `handfast demo`: a server on a living funnel. A synthetic company lives through a season of 90 days in a minute, by the
//! same public API that everybody uses, and goes on living while the server runs. With `--data` a real data set is imported
//! instead.

mod charter;
mod company;
mod market;
mod olist;
mod prospects;
mod random;
mod sales;
mod season;
mod sim;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use handfast_domain::time::{Clock, DAY, Instant};
pub use sim::{SimArgs, sim};

use super::client::{CliError, Client};
use super::{runtime, serve};
use crate::app::{App, RandomIds, ShiftedClock, SystemClock};
use crate::config::Config;
use crate::flows::{self, scope};

#[derive(Args, Clone)]
pub struct DemoArgs {
    /// Folder of the built components.
    #[arg(long, value_name = "DIR", default_value = "target/plugins")]
    plugins: PathBuf,
    /// Folder of the plugins' sources, for their cases.
    #[arg(long, value_name = "DIR", default_value = "plugins")]
    sources: PathBuf,
    /// Folder of a real data set, for example $HANDFAST_DATA/olist, instead of the synthetic company.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the demo keeps its data; handfast-data/demo, or demo-olist, without.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Port on 127.0.0.1.
    #[arg(long, default_value_t = 7171)]
    port: u16,
    /// People who become leads in the season.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    leads: u32,
    /// The same seed makes the same company.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Make the company anew.
    #[arg(long)]
    fresh: bool,
}

/// What the parts of the demo share.
struct Demo {
    args: DemoArgs,
    app: App,
    clock: Arc<ShiftedClock>,
    runtime: tokio::runtime::Handle,
    url: String,
    admin: Client,
    stopped: Arc<AtomicBool>,
    /// Whether the two sides also talk with each other: questions, feedback, a second charter, nurture, duplicates, erasures.
    story: bool,
}

impl Demo {
    fn client(&self, token: &str) -> Client {
        Client::new(&self.url, token)
    }

    /// A token of a demo user, made as an operator at the machine would.
    fn token(&self, user: &str) -> Result<String, CliError> {
        let expires = Some(SystemClock.now().plus(30 * DAY));
        let made = flows::token::create_offline(&self.app, user, TOKEN_NAME, scopes(user), expires);
        self.runtime.block_on(made).map_err(failed)
    }

    /// Puts the server's clock to an instant that is over.
    fn set_clock(&self, to: Instant) {
        let shift = to.since(SystemClock.now());
        self.clock.shift_ms.store(shift.min(0), Ordering::Relaxed);
    }

    /// Puts the server's clock to an instant, and lets what is due happen.
    fn travel(&self, to: Instant) -> Result<(), CliError> {
        self.set_clock(to);
        self.runtime
            .block_on(async {
                // Rules and clocks look again until nothing is due any more.
                for _ in 0..4 {
                    if flows::timers::run_due(&self.app).await? == 0 {
                        break;
                    }
                }
                Ok(())
            })
            .map_err(failed)
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

const TOKEN_NAME: &str = "demo";

/// What each of the demo's people may do.
fn scopes(user: &str) -> Vec<String> {
    let all: &[&str] = match user {
        company::MARKETING => &[
            scope::LEADS_READ,
            scope::LEADS_WRITE,
            scope::CHARTER_SIGN,
            scope::PLUGINS_DEPLOY,
            scope::IMPORT,
        ],
        company::OPS => &scope::ALL,
        _ => &[scope::LEADS_READ, scope::LEADS_WRITE, scope::CHARTER_SIGN],
    };
    all.iter().map(|scope| (*scope).to_owned()).collect()
}

fn failed(error: flows::Error) -> CliError {
    CliError::Failed(error.to_string())
}

pub fn demo(mut config: Config, args: DemoArgs) -> Result<ExitCode, CliError> {
    serve::init_log(&config.log)?;
    let name = if args.data.is_some() { "demo-olist" } else { "demo" };
    let dir = args.data_dir.clone().unwrap_or_else(|| config.server.data_dir.join(name));
    if args.fresh && !config.database.url.is_empty() {
        let schema = &config.database.schema;
        let message = format!("--fresh deletes no schema of PostgreSQL: `DROP SCHEMA {schema} CASCADE` does");
        return Err(CliError::Failed(message));
    }
    if args.fresh && dir.join("handfast.db").exists() {
        std::fs::remove_dir_all(&dir)
            .map_err(|error| CliError::Failed(format!("{}: {error}", dir.display())))?;
    }
    config.server.data_dir = dir;
    config.server.listen = format!("127.0.0.1:{}", args.port);
    let Opened { runtime, running, clock, url } = open(&config)?;
    eprintln!("Handfast serves {url}/graphql");
    let (app, handle) = (running.app.clone(), runtime.handle().clone());
    let stopped = Arc::new(AtomicBool::new(false));
    // The server answers meanwhile: whoever is impatient can watch the season go by.
    let made = std::thread::spawn({
        let stopped = stopped.clone();
        move || live(args, app, clock, handle, url, stopped)
    });
    let stop = stopped.clone();
    let failure = runtime.block_on(async {
        let watch = tokio::task::spawn_blocking(move || made.join());
        tokio::select! {
            () = serve::stop_signal() => None,
            ended = watch => match ended {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(error),
                _ => Some(CliError::Failed("the demo's company died".to_owned())),
            },
        }
    });
    stop.store(true, Ordering::Relaxed);
    eprintln!("Stopping: open requests may finish.");
    runtime.block_on(running.stop());
    // The company's thread may wait for an answer that never comes; it ends with the process.
    runtime.shutdown_background();
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// A server whose clock can be put back.
struct Opened {
    runtime: tokio::runtime::Runtime,
    running: serve::Running,
    clock: Arc<ShiftedClock>,
    url: String,
}

fn open(config: &Config) -> Result<Opened, CliError> {
    let (runtime, clock) = (runtime()?, Arc::new(ShiftedClock::default()));
    let running = runtime.block_on(async {
        let ids = Arc::new(RandomIds::default());
        let app = App::open(config, clock.clone(), ids);
        serve::start(app.await.map_err(failed)?, config).await
    })?;
    let url = format!("http://{}", running.address);
    Ok(Opened { runtime, running, clock, url })
}

/// Who sets the company up.
fn admin(app: &App, runtime: &tokio::runtime::Handle, url: &str) -> Result<Client, CliError> {
    let token = runtime.block_on(async {
        end_old_tokens(app).await?;
        let all = scope::ALL.iter().map(|scope| (*scope).to_owned()).collect();
        let expires = Some(SystemClock.now().plus(30 * DAY));
        flows::token::create_offline(app, flows::setup::ADMIN, TOKEN_NAME, all, expires).await
    });
    Ok(Client::new(url, &token.map_err(failed)?))
}

/// Sets the company up, tells how to look at it, and lets it live until the end.
fn live(
    args: DemoArgs,
    app: App,
    clock: Arc<ShiftedClock>,
    runtime: tokio::runtime::Handle,
    url: String,
    stopped: Arc<AtomicBool>,
) -> Result<(), CliError> {
    let begun = std::time::Instant::now();
    let admin = admin(&app, &runtime, &url)?;
    let demo = Demo { args, app, clock, runtime, url, admin, stopped, story: false };
    let known = demo.app.workspace().directory.users.iter().any(|user| user.key == company::MARKETING);
    let mut life = match (&demo.args.data, known) {
        (None, false) => {
            company::set_up(&demo)?;
            season::play(&demo)?
        }
        (Some(data), false) => {
            olist::set_up(&demo, data)?;
            season::Life::new(&demo)?
        }
        (_, true) => season::Life::new(&demo)?,
    };
    demo.clock.shift_ms.store(0, Ordering::Relaxed);
    tell(&demo, begun.elapsed())?;
    life.go_on()
}

/// Tokens of earlier starts: each start prints new ones.
async fn end_old_tokens(app: &App) -> Result<(), flows::Error> {
    let users: Vec<_> = app.workspace().directory.users.iter().map(|user| user.id).collect();
    let now = SystemClock.now();
    for user in users {
        for token in handfast_store::token::list(app.store.read(), user).await? {
            if token.name == TOKEN_NAME && token.is_valid(now) {
                let id = token.id;
                app.store
                    .write(move |tx| {
                        Box::pin(async move { handfast_store::token::revoke(tx, id, now).await })
                    })
                    .await?;
            }
        }
    }
    Ok(())
}

/// Where to look, as whom, and what to ask.
fn tell(demo: &Demo, took: std::time::Duration) -> Result<(), CliError> {
    let funnel = demo
        .admin
        .query("{ funnel { charter { number signed } stages { label open } won } }", serde_json::json!({}))?;
    let stages = funnel["funnel"]["stages"].as_array().cloned().unwrap_or_default();
    let standing: Vec<String> = stages
        .iter()
        .filter(|stage| stage["open"] != "0")
        .map(|stage| {
            format!(
                "{} {}",
                stage["open"].as_str().unwrap_or("0"),
                stage["label"].as_str().unwrap_or_default()
            )
        })
        .collect();
    let bold = |text: &str| match std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    println!();
    println!("{}", bold(&format!("A living funnel, after {:.1} s.", took.as_secs_f64())));
    println!(
        "Open now: {}; won so far: {}.",
        standing.join(", "),
        funnel["funnel"]["won"].as_str().unwrap_or("0")
    );
    println!();
    println!("GraphQL        {}/graphql", demo.url);
    println!("WebSocket      {}/graphql (graphql-transport-ws)", demo.url.replacen("http", "ws", 1));
    println!("Server-sent    {}/graphql/stream", demo.url);
    println!();
    println!("Tokens, for `Authorization: Bearer …`, valid for 30 days or until the next start:");
    println!("  marketing    {}", demo.token(company::MARKETING)?);
    println!("  sales        {}", demo.token(company::SALES)?);
    println!("  ops          {}", demo.token(company::OPS)?);
    println!();
    println!("{}", bold("1. Where leads stand, and what campaigns came to"));
    println!(
        "  {{ funnel {{ charter {{ number signed }} stages {{ label open entered }} conversion {{ from to rateBasisPoints }} }}"
    );
    println!(
        "    campaigns(first: 5) {{ edges {{ node {{ name results {{ leads mql won revenue {{ amountMinor }} costPerMql {{ amountMinor }} }} }} }} }} }}"
    );
    println!();
    println!("{}", bold("2. What sales was handed, and why the rule said so"));
    println!(
        "  {{ leads(first: 3, filter: {{stages: [MQL, SAL], outcomes: [OPEN]}}) {{ edges {{ node {{ contact {{ name title }} owner {{ name }} fit engagement"
    );
    println!(
        "    handoff {{ status completeness intact }} clocks {{ kind state dueAt }} evaluations(first: 1) {{ decisions {{ slot outcome reasons {{ code weight }} }} }} }} }} }} }}"
    );
    println!();
    println!("{}", bold("3. Every stage change as it happens"));
    println!(
        "  subscription {{ leadStageChanged {{ cursor from to lead {{ contact {{ name }} owner {{ name }} }} }} }}"
    );
    println!();
    println!("Ctrl-C ends it; the next start goes on with the same company (--fresh makes a new one).");
    Ok(())
}
