//! The processes of a run: nodes of one workspace, each behind proxies, and the PostgreSQL below them. They are killed as a
//! power cut would, paused, and started again on what they left.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use handfast_bench::Failed;
use handfast_bench::server::{Database, Server};
use tempfile::TempDir;

/// A private PostgreSQL that can be killed: `xtask postgres` starts it as a user who may.
pub struct Postgres {
    child: Child,
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
    pub url: String,
}

impl Postgres {
    pub fn start(xtask: &Path) -> Result<Postgres, Failed> {
        let mut child = Command::new(xtask)
            .args(["postgres", "--fsync"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failed(format!("{}: {error}", xtask.display())))?;
        let (send, lines) = channel();
        let output = child.stdout.take();
        std::thread::spawn(move || {
            for line in
                output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok)
            {
                drop(send.send(line));
            }
        });
        let orders = child.stdin.take();
        let mut postgres = Postgres { child, orders, lines, url: String::new() };
        postgres.url = postgres.serves()?;
        Ok(postgres)
    }

    /// kill -9 of the postmaster; it serves again when this returns.
    pub fn crash(&mut self) -> Result<(), Failed> {
        if let Some(orders) = &mut self.orders {
            orders.write_all(b"crash\n")?;
            orders.flush()?;
        }
        self.serves().map(drop)
    }

    fn serves(&self) -> Result<String, Failed> {
        let line = self.lines.recv_timeout(Duration::from_secs(120));
        line.map_err(|_| Failed("PostgreSQL does not serve after two minutes".to_owned()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.orders.take());
        drop(self.child.wait());
    }
}

/// A node, or the directory that a killed one left.
pub struct Node {
    pub dir: TempDir,
    /// What it runs when it starts next.
    pub program: PathBuf,
    pub server: Option<Server>,
    pub address: SocketAddr,
    /// Paused until then.
    pub paused: Option<Instant>,
}

/// The nodes of one workspace.
pub struct Cluster {
    /// What new nodes run, and the doctor.
    pub handfast: PathBuf,
    pub database: Database,
    pub nodes: Vec<Node>,
    pub token: String,
    /// More configuration of every node.
    more: Vec<(&'static str, String)>,
    /// From start to the first answer.
    pub starts: Vec<Duration>,
}

impl Cluster {
    /// Starts so many nodes; the first of them leads.
    pub fn start(
        handfast: &Path,
        database: &Database,
        nodes: usize,
        more: &[(&'static str, &str)],
    ) -> Result<Cluster, Failed> {
        let mut cluster = Cluster::empty(handfast, database, more);
        for _ in 0..nodes {
            cluster.add(tempfile::tempdir()?)?;
        }
        Ok(cluster)
    }

    /// Starts one node on a directory inside of `folder`.
    pub fn start_in(handfast: &Path, database: &Database, folder: &Path) -> Result<Cluster, Failed> {
        let mut cluster = Cluster::empty(handfast, database, &[]);
        cluster.add(tempfile::tempdir_in(folder)?)?;
        Ok(cluster)
    }

    fn empty(handfast: &Path, database: &Database, more: &[(&'static str, &str)]) -> Cluster {
        Cluster {
            handfast: handfast.to_path_buf(),
            database: database.clone(),
            nodes: Vec::new(),
            token: String::new(),
            more: more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            starts: Vec::new(),
        }
    }

    fn add(&mut self, dir: TempDir) -> Result<(), Failed> {
        if let Some(first) = self.nodes.first() {
            std::fs::copy(first.dir.path().join("secret"), dir.path().join("secret"))?;
        }
        let (number, address) = (self.nodes.len(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let program = self.handfast.clone();
        self.nodes.push(Node { dir, program, server: None, address, paused: None });
        self.revive(number)?;
        // The first start tells the first token.
        if let (0, Some(server)) = (number, &self.nodes[0].server) {
            self.token = server.says("hf_", Duration::from_secs(20)).map(|rest| format!("hf_{rest}"))?;
        }
        Ok(())
    }

    /// The command that serves a node's directory.
    pub fn command(&self, number: usize) -> Command {
        let mut command = self.database.command(&self.nodes[number].program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.nodes[number].dir.path());
        command.current_dir(self.nodes[number].dir.path());
        command.envs(self.more.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// kill -9.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].paused = None;
        drop(self.nodes[number].server.take());
    }

    /// Starts a node on its directory. The database may be down: it is tried until it is up.
    pub fn revive(&mut self, number: usize) -> Result<(), Failed> {
        let mut command = self.command(number);
        let began = Instant::now();
        loop {
            let server = Server::start(&mut command)?;
            match server.address() {
                Ok(address) => {
                    self.starts.push(began.elapsed());
                    self.nodes[number].address = address;
                    self.nodes[number].server = Some(server);
                    return Ok(());
                }
                Err(error) if began.elapsed() > Duration::from_secs(60) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Starts a node and kills it before it can have finished starting.
    pub fn stillbirth(&self, number: usize, life: Duration) -> Result<(), Failed> {
        let server = Server::start(&mut self.command(number))?;
        std::thread::sleep(life);
        drop(server);
        Ok(())
    }

    pub fn pause(&mut self, number: usize, time: Duration) {
        let node = &mut self.nodes[number];
        if let Some(server) = &node.server {
            server.signal("STOP");
            node.paused = Some(Instant::now() + time);
        }
    }

    /// Lets those go on whose pause is over.
    pub fn wake(&mut self, all: bool) {
        for node in &mut self.nodes {
            if node.paused.is_some_and(|until| all || until < Instant::now()) {
                node.paused = None;
                if let Some(server) = &node.server {
                    server.signal("CONT");
                }
            }
        }
    }

    /// Asks every node to end, and lets the doctor look at what they left.
    pub fn examine(&mut self) -> Result<Doctor, Failed> {
        for node in &mut self.nodes {
            if let Some(server) = node.server.take() {
                server.stop();
            }
        }
        let dir = self.nodes[0].dir.path();
        let mut command = self.database.command(&self.handfast);
        let output = command
            .args(["doctor", "--json", "--data-dir"])
            .arg(dir)
            .current_dir(dir)
            .env("HANDFAST__LOG__LEVEL", "warn")
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let report = match text.trim().is_empty() {
            true => String::from_utf8_lossy(&output.stderr).into_owned(),
            false => text,
        };
        Ok(Doctor { well: output.status.success(), report })
    }
}

/// What `handfast doctor` says.
pub struct Doctor {
    pub well: bool,
    pub report: String,
}
