//! A process that serves: started, asked what it costs, and stopped.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::{Failed, root};

pub struct Server {
    child: Child,
    lines: Receiver<String>,
    /// What it said so far: its two outputs come in no order.
    heard: RefCell<Vec<String>>,
}

impl Server {
    /// Starts a program that one caller asks for all.
    pub fn start(command: &mut Command) -> Result<Server, Failed> {
        command
            .env("HANDFAST__EDGE__RATE__TOKEN_PER_SECOND", "0")
            .env("HANDFAST__EDGE__RATE__ADDRESS_PER_SECOND", "0")
            .env("HANDFAST__EDGE__SOCKET__STREAMS_PER_TOKEN", "20000")
            .env("HANDFAST__EDGE__CONNECTION__CONNECTIONS_PER_ADDRESS", "20000");
        Server::guarded(command)
    }

    /// Starts a program with the budgets of its callers, and listens to both of its outputs.
    pub fn guarded(command: &mut Command) -> Result<Server, Failed> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("HANDFAST__LOG__LEVEL", "warn")
            .env("NO_COLOR", "1")
            .spawn()
            .map_err(|error| Failed(format!("{}: {error}", command.get_program().display())))?;
        let (send, lines) = channel();
        let outputs: [Option<Box<dyn std::io::Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|out| Box::new(out) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    drop(send.send(line));
                }
            });
        }
        Ok(Server { child, lines, heard: RefCell::default() })
    }

    /// The rest of the first line that begins so.
    pub fn says(&self, beginning: &str, patience: Duration) -> Result<String, Failed> {
        let deadline = Instant::now() + patience;
        let mut heard = self.heard.borrow_mut();
        loop {
            let found = heard.iter().find_map(|line| line.trim_start().strip_prefix(beginning));
            if let Some(rest) = found {
                return Ok(rest.trim().to_owned());
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => heard.push(line),
                Err(_) => {
                    let heard = heard.join("\n  ");
                    return Err(Failed(format!("the server did not say {beginning:?}, but:\n  {heard}")));
                }
            }
        }
    }

    /// The address of a server that says `Handfast serves http://…/graphql`.
    pub fn address(&self) -> Result<SocketAddr, Failed> {
        let url = self.says("Handfast serves http://", Duration::from_secs(120))?;
        url.trim_end_matches("/graphql").parse().map_err(|error| Failed(format!("{url}: {error}")))
    }

    /// Time of both cores, in user and in system mode together.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // The second field is the name in parentheses; user and system time are the fields 14 and 15, in hundredths.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let field =
            |n: usize| after.split_whitespace().nth(n - 3).and_then(|text| text.parse().ok()).unwrap_or(0u64);
        Duration::from_millis((field(14) + field(15)) * 10)
    }

    /// Resident memory in KiB: now, and at its peak.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// From now on the peak is that of what comes.
    pub fn forget_peak(&self) {
        // Where the kernel does not let us, the peak is that of the whole life.
        drop(std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5"));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, for example `STOP`.
    pub fn signal(&self, name: &str) {
        drop(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status());
    }

    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The database of a run: a file in its data directory, or a schema of PostgreSQL.
#[derive(Clone, Debug)]
pub struct Database {
    pub postgres: Option<String>,
    pub schema: String,
}

impl Database {
    pub fn name(&self) -> &'static str {
        if self.postgres.is_some() { "PostgreSQL" } else { "SQLite" }
    }

    /// A program of ours on a data directory with this database.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(url) = &self.postgres {
            command.env("HANDFAST__DATABASE__URL", url).env("HANDFAST__DATABASE__SCHEMA", &self.schema);
        }
        command
    }
}

/// Asks for something by GraphQL, outside of what is measured.
pub fn query(to: SocketAddr, token: &str, document: &str, variables: Value) -> Result<Value, Failed> {
    let mut response = ureq::post(format!("http://{to}/graphql"))
        .config()
        .http_status_as_error(false)
        .build()
        .header("authorization", format!("Bearer {token}"))
        .send_json(serde_json::json!({"query": document, "variables": variables}))
        .map_err(|error| Failed(error.to_string()))?;
    let answer: Value = response
        .body_mut()
        .with_config()
        .limit(1 << 30)
        .read_json()
        .map_err(|error| Failed(error.to_string()))?;
    match answer["errors"].is_null() {
        true => Ok(answer["data"].clone()),
        false => Err(Failed(format!("{document}: {}", answer["errors"]))),
    }
}

/// Uploads the scorecard with its cases. Answers its sha-256.
pub fn push_scorecard(
    handfast: &Path,
    plugins: &Path,
    to: SocketAddr,
    token: &str,
) -> Result<String, Failed> {
    let pushed = Command::new(handfast)
        .args(["plugin", "push"])
        .arg(plugins.join("scorecard.wasm"))
        .args(["--team", "marketing", "--cases"])
        .arg(root().join("plugins/scorecard/cases"))
        .env("HANDFAST_URL", format!("http://{to}"))
        .env("HANDFAST_TOKEN", token)
        .output()?;
    match pushed.status.success() {
        true => Ok(String::from_utf8_lossy(&pushed.stdout).trim().to_owned()),
        false => Err(Failed(String::from_utf8_lossy(&pushed.stderr).into_owned())),
    }
}

/// On which data an opponent works.
#[derive(Args)]
pub struct OpponentArgs {
    #[arg(long)]
    pub dir: PathBuf,
    #[arg(long)]
    postgres: Option<String>,
    #[arg(long, default_value = "")]
    schema: String,
}

impl OpponentArgs {
    pub fn database(&self) -> Database {
        Database { postgres: self.postgres.clone(), schema: self.schema.clone() }
    }
}

/// Starts an opponent. Its program stands beside this one, with the allocator of the product.
pub fn opponent(kind: &str, database: &Database, dir: &Path) -> Result<Server, Failed> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("handfast-opponent"));
    command.arg(kind).arg("--dir").arg(dir).arg("--schema").arg(&database.schema);
    if let Some(url) = &database.postgres {
        command.arg("--postgres").arg(url);
    }
    Server::start(&mut command)
}
