//! Disks that are full, and disks that fail: what is refused, what goes on, and what it takes to be back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handfast_tests::{Api, Server, binary, eventually, on_postgres};
use serde_json::{Value, json};

/// For what is about SQLite's files.
fn only_sqlite() -> bool {
    if on_postgres() {
        eprintln!("about SQLite; on PostgreSQL its own server writes");
    }
    !on_postgres()
}

/// Whether a program does what a test needs of it here.
fn can(program: &str, args: &[&str], why: &str) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ran = command.status().is_ok_and(|status| status.success());
    if !ran {
        eprintln!("skipped: {why}");
    }
    ran
}

/// The answer to a capture: the lead, or the code of the error.
fn capture(api: &Api, email: &str) -> Result<Value, String> {
    let document = "mutation($input: CaptureLeadInput!) { captureLead(input: $input) { lead { id } errors { code message } } }";
    let input = json!({"lead": {"email": email, "source": "test"}});
    let (_, answer) = api.post(&json!({"query": document, "variables": {"input": input}}));
    match answer["errors"][0]["extensions"]["code"].as_str() {
        Some(code) => Err(code.to_owned()),
        None => Ok(answer["data"]["captureLead"]["lead"]["id"].clone()),
    }
}

fn total(api: &Api) -> usize {
    let told = api.query("{ ledgerNow { total balanced } }", json!({}))["ledgerNow"].clone();
    assert_eq!(told["balanced"], true);
    told["total"].as_str().and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else_and_needs_no_hand_when_there_is_room_again() {
    let mounted = ["-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"];
    if !only_sqlite() || !can("unshare", &mounted, "no tmpfs may be mounted here; root may") {
        return;
    }
    let cycles: u32 =
        std::env::var("HANDFAST_DISK_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let server = Server::under(|dir| {
        // The mount is the server's own and goes with it.
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o size=64m tmpfs \"$1\" && shift && exec \"$@\"";
        command.args(["-m", "sh", "-c", script, "sh"]).arg(dir).arg(binary());
        command
    });
    let api = server.admin();
    // The same folder as the server sees it.
    let inside = PathBuf::from(format!("/proc/{}/root{}", server.pid(), server.dir.path().display()));
    let (mut acknowledged, mut refused) = (0, 0);
    for cycle in 0..cycles {
        for n in 0..20 {
            capture(&api, &format!("before{cycle}-{n}@example.test")).expect("there is room");
            acknowledged += 1;
        }
        fill(&inside.join("fill"));
        // What room is left within the files is used up first.
        for n in 0..2_000 {
            match capture(&api, &format!("full{cycle}-{n}@example.test")) {
                Ok(_) => acknowledged += 1,
                Err(code) => {
                    assert_eq!(code, "STORAGE_FULL");
                    refused += 1;
                }
            }
            if refused >= 5 * (cycle + 1) {
                break;
            }
        }
        assert!(refused >= 5 * (cycle + 1), "the disk is full by now");
        assert_eq!(total(&api), acknowledged, "reading goes on, and nothing of what was refused is there");
        assert_eq!((api.get("/healthz").0, api.get("/readyz").0), (200, 200));
        fs::remove_file(inside.join("fill")).expect("removed");
        let freed = Instant::now();
        let email = format!("after{cycle}@example.test");
        eventually(5, "it writes again by itself", || capture(&api, &email).ok());
        acknowledged += 1;
        assert!(freed.elapsed() < Duration::from_secs(2), "back in {:?}", freed.elapsed());
    }
    // The folder goes with the server: what it holds is looked at through a backup.
    let (out, restored) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let to = out.path().join("copy");
    let mut command = Command::new("nsenter");
    command.args(["-m", "-t", &server.pid().to_string()]).arg(binary()).arg("backup").arg("--data-dir");
    let made = command.arg(server.dir.path()).arg("--to").arg(&to).output().expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let from = to.to_str().expect("a plain path");
    for command in [&["restore", "--from", from][..], &["doctor"]] {
        let output = handfast_tests::offline(restored.path(), command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let restored = Server::start_in(restored, Some(server.token.clone()));
    assert_eq!(total(&restored.admin()), acknowledged);
}

/// Writes zeros until nothing more goes.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).expect("a file");
    for size in [1 << 20, 4096, 1] {
        while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
    }
}

/// Watches the system calls of a running process.
struct Strace {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Strace {
    fn attach(pid: u32, args: &[&str]) -> Strace {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-p", &pid.to_string(), "-o"]).arg(log.path()).args(args);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace runs");
        // It has every thread when the kernel says so.
        let traced = || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            let all = tasks.flatten().all(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|id| id.trim() != "0"))
            });
            all.then_some(())
        };
        eventually(10, "strace follows every thread", traced);
        Strace { child, log }
    }

    /// Lets the process go, and answers what was seen.
    fn detach(mut self) -> String {
        drop(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status());
        drop(self.child.wait());
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn can_strace() -> bool {
    only_sqlite()
        && can("strace", &["-qq", "-o", "/dev/null", "true"], "strace is missing; apt-get install strace")
}

#[test]
fn every_acknowledgement_comes_after_a_sync() {
    if !can_strace() {
        return;
    }
    let server = Server::start();
    let api = server.admin();
    let strace = Strace::attach(server.pid(), &["-e", "trace=fsync,fdatasync"]);
    let captured = 30;
    for n in 0..captured {
        capture(&api, &format!("p{n}@example.test")).expect("it is kept");
    }
    let seen = strace.detach();
    // One after the other: no two share a commit.
    let synced = seen.lines().filter(|line| line.contains("sync(") && line.ends_with("= 0")).count();
    let resumed = seen.lines().filter(|line| line.contains("sync resumed") && line.ends_with("= 0")).count();
    assert!(synced + resumed >= captured, "{synced} + {resumed} syncs for {captured} answers:\n{seen}");
}

#[test]
fn a_sync_that_fails_ends_all_writing_of_the_process_and_the_next_one_has_what_was_acknowledged() {
    if !can_strace() {
        return;
    }
    let server = Server::start();
    let api = server.admin();
    for n in 0..5 {
        capture(&api, &format!("p{n}@example.test")).expect("it is kept");
    }
    assert_eq!(api.get("/readyz").0, 200);
    let inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"];
    let strace = Strace::attach(server.pid(), &inject);
    assert_eq!(capture(&api, "lost@example.test"), Err("STORAGE_FAILED".to_owned()));
    let seen = strace.detach();
    let tried = seen.lines().filter(|line| line.contains("EIO")).count();
    assert_eq!(tried, 1, "a sync that failed is not tried again:\n{seen}");
    // The disk is well again, and this process does not believe it.
    for n in 0..3 {
        assert_eq!(capture(&api, &format!("later{n}@example.test")), Err("STORAGE_FAILED".to_owned()));
    }
    let (status, why) =
        eventually(5, "readyz says so", || Some(api.get("/readyz")).filter(|told| told.0 == 503));
    assert!(status == 503 && why.contains("\"failed\"") && why.contains("check the disk"), "{why}");
    assert_eq!(api.get("/healthz").0, 200);
    assert_eq!(total(&api), 5, "reading goes on");
    let upload = api.query("{ viewer { key } }", json!({}));
    assert_eq!(upload["viewer"]["key"], "admin");
    let (dir, token) = server.stop();
    let doctor = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    let server = Server::start_in(dir, Some(token));
    let api = server.admin();
    let found = total(&api);
    assert!(found == 5 || found == 6, "what was acknowledged is there, what was not may be: {found}");
    capture(&api, "afterwards@example.test").expect("it writes again");
}
