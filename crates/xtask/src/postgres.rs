//! A private PostgreSQL for tests: a new cluster in a temporary folder, on a free port, gone afterwards.

use std::fs;
use std::io::{BufRead, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::shell::{self, Failure, Workspace};

const USAGE: &str = "\
Starts a private PostgreSQL cluster, prints its URL, and deletes it when standard input ends (Ctrl-D). It does not wait for
the disk, unless it is told to.

Usage: cargo xtask postgres [--fsync]

A line `crash` on standard input kills the server (kill -9) and starts it again; its URL is printed again when it serves.";

const MISSING: &str = "PostgreSQL's server programs are missing: install PostgreSQL 15 or newer (Debian: `apt-get install \
                       postgresql`), or put its folder with `initdb` on the PATH. No server needs to run; the tests start \
                       their own";

/// A running cluster. It ends, and its files go, when this is dropped.
pub struct Cluster {
    server: Child,
    programs: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    port: u16,
    fsync: bool,
    pub url: String,
}

/// Root may start no PostgreSQL: it runs as this user then.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

pub fn run(_: &Workspace, args: &[String]) -> Result<ExitCode, Failure> {
    if shell::wants_help(args) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let fsync = args.first().is_some_and(|arg| arg == "--fsync");
    shell::no_more(&args[usize::from(fsync)..], "postgres")?;
    let mut cluster = if fsync { Cluster::on_disk() } else { Cluster::start() }?;
    println!("{}", cluster.url);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line.trim() == "crash" {
            cluster.crash()?;
            println!("{}", cluster.url);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Cluster {
    /// One that does not wait for the disk: the machine may not crash under a test; processes may, and they lose nothing.
    pub fn start() -> Result<Cluster, String> {
        Cluster::make(false)
    }

    /// One that has on disk what it acknowledges.
    pub fn on_disk() -> Result<Cluster, String> {
        Cluster::make(true)
    }

    fn make(fsync: bool) -> Result<Cluster, String> {
        let programs = programs().ok_or(MISSING)?;
        let folder = std::env::temp_dir().join(format!("handfast-postgres-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let user = unprivileged()?;
        if let Some(user) = user {
            own(&folder, user)?;
        }
        let begun = Instant::now();
        let mut initdb = as_user(&programs.join("initdb"), user, &folder);
        // Texts sort as in a dictionary here, so that an order that leans on bytes by accident is found.
        initdb.args(["--username=handfast", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        initdb.args(["--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8", "-D"]);
        let made = initdb.arg(folder.join("data")).output().map_err(|error| format!("initdb: {error}"))?;
        if !made.status.success() {
            let _ = fs::remove_dir_all(&folder);
            return Err(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        let port = free_port()?;
        let server = serve(&programs, &folder, user, port, fsync)?;
        let url = format!("postgres://handfast@127.0.0.1:{port}/postgres");
        let mut cluster = Cluster { server, programs, folder, user, port, fsync, url };
        cluster.wait()?;
        eprintln!("   a private PostgreSQL on port {port}, in {}", shell::since(begun));
        Ok(cluster)
    }

    /// Kills the server as a power cut would, and starts it again on what it left.
    pub fn crash(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        drop(self.server.kill());
        drop(self.server.wait());
        // Its children end by themselves when they notice; until then they hold its shared memory, and it refuses to start.
        loop {
            self.server = serve(&self.programs, &self.folder, self.user, self.port, self.fsync)?;
            match self.wait() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Until it listens: it does so when its recovery is over.
    fn wait(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Ok(Some(status)) = self.server.try_wait() {
                return Err(format!("postgres ended with {status} before it listened"));
            }
            if Instant::now() > deadline {
                return Err("postgres does not listen after a minute".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT: a fast shutdown, which takes the children along.
        let pid = self.server.id().to_string();
        let asked = Command::new("kill").args(["-INT", &pid]).status();
        if !asked.is_ok_and(|status| status.success()) {
            drop(self.server.kill());
        }
        drop(self.server.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn serve(
    programs: &Path,
    folder: &Path,
    user: Option<User>,
    port: u16,
    fsync: bool,
) -> Result<Child, String> {
    let mut command = as_user(&programs.join("postgres"), user, folder);
    command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=500",
        "autovacuum_naptime=5s",
        "log_min_messages=fatal",
        "log_min_error_statement=panic",
    ] {
        command.args(["-c", setting]);
    }
    if !fsync {
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    server.map_err(|error| format!("postgres: {error}"))
}

/// The folder of `initdb` and `postgres`: as pg_config says, on the PATH, or where Debian puts the newest.
fn programs() -> Option<PathBuf> {
    let has = |folder: &Path| folder.join("initdb").exists() && folder.join("postgres").exists();
    let told = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok();
    let told = told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    debian.sort();
    told.into_iter()
        .chain(std::env::split_paths(&path))
        .chain(debian.into_iter().rev())
        .find(|folder| has(folder))
}

/// None when this process is no root.
fn unprivileged() -> Result<Option<User>, String> {
    let id = Command::new("id").arg("-u").output().map_err(|error| format!("id: {error}"))?;
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
    let user = user_of(&users, "postgres").or_else(|| user_of(&users, "nobody"));
    user.map(Some).ok_or_else(|| {
        "root may start no PostgreSQL, and there is neither a user `postgres` nor `nobody`".to_owned()
    })
}

fn user_of(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(unix)]
fn own(folder: &Path, user: User) -> Result<(), String> {
    std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid))
        .map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(not(unix))]
fn own(_: &Path, _: User) -> Result<(), String> {
    Ok(())
}

fn as_user(program: &Path, user: Option<User>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    #[cfg(unix)]
    if let Some(user) = user {
        std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        std::os::unix::process::CommandExt::uid(&mut command, user.uid);
    }
    command
}

fn free_port() -> Result<u16, String> {
    let found = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => "no port of 127.0.0.1 is free".to_owned(),
        _ => format!("127.0.0.1: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        let found = user_of(users, "postgres").expect("it is there");
        assert_eq!((found.uid, found.gid), (101, 104));
        assert!(user_of(users, "nobody").is_none());
    }
}
