//! Schema changes: nodes that start together take turns, a kill in the middle costs nothing, and versions that are apart by
//! one serve side by side or refuse by name.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use handfast_tests::{Server, binary, database, offline, on_postgres};
use serde_json::{Value, json};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Gives a directory the root secret that all nodes of a test have.
fn secret(dir: &Path) {
    std::fs::write(dir.join("secret"), [7; 32]).expect("a secret");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.join("secret"), private).expect("a private file");
}

fn migrate(dir: &Path, of: &Path) -> std::process::Child {
    let mut command = Command::new(binary());
    command.arg("migrate").arg("--data-dir").arg(dir).current_dir(dir).envs(database(of));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

#[test]
fn a_kill_in_the_middle_of_the_migrations_leaves_a_schema_that_the_next_start_completes() {
    let once = || {
        let whole = folder();
        secret(whole.path());
        let begun = Instant::now();
        let ended = migrate(whole.path(), whole.path()).wait().expect("it ends");
        assert!(ended.success());
        begun.elapsed()
    };
    // The quickest of three: on a busy machine one alone may take so long that every kill comes too late.
    let took = [once(), once(), once()].into_iter().min().unwrap_or_default();
    let seed = std::process::id();
    eprintln!("seed {seed}; a migration takes {took:?}");
    let mut killed = 0;
    for n in 0..12u32 {
        let dir = folder();
        secret(dir.path());
        // From the first statement to the last, each time a little later, and by chance.
        for step in 0..3u32 {
            let random =
                seed.wrapping_mul(2_654_435_761).wrapping_add(n * 7 + step).wrapping_mul(40_503) % 1_000;
            let mut child = migrate(dir.path(), dir.path());
            std::thread::sleep(took * (n * 60 + random / 3) / 1_000);
            killed += usize::from(child.try_wait().expect("a child").is_none());
            drop(child.kill());
            drop(child.wait());
        }
        let child = migrate(dir.path(), dir.path()).wait_with_output().expect("it ends");
        assert!(child.status.success(), "seed {seed}, {n}: {}", String::from_utf8_lossy(&child.stderr));
        let doctor = offline(dir.path(), &["doctor", "--json"]);
        assert!(doctor.status.success(), "seed {seed}, {n}: {}", String::from_utf8_lossy(&doctor.stdout));
    }
    eprintln!("{killed} of 36 were killed before they had ended");
    assert!(killed > 6, "the kills came too late to say anything");
}

#[test]
fn three_nodes_that_start_at_once_on_an_empty_schema_make_one_workspace() {
    if !on_postgres() {
        eprintln!("about PostgreSQL; `cargo xtask test --only postgres` runs it");
        return;
    }
    for _ in 0..3 {
        let nodes = [folder(), folder(), folder()];
        nodes.iter().for_each(|node| secret(node.path()));
        let environment = database(nodes[0].path());
        let children = nodes.each_ref().map(|node| {
            let mut command = Command::new(binary());
            command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(node.path());
            command.current_dir(node.path()).envs(environment.clone()).stdin(Stdio::null());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        });
        let ended = children.map(|mut child| {
            let mut lines =
                std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("piped")));
            let mut log = vec![];
            while let Some(Ok(line)) = lines.next() {
                log.push(line);
                if log.last().is_some_and(|line| line.contains("Handfast serves")) {
                    break;
                }
            }
            // It must go on being read: a server that cannot write its log waits.
            std::thread::spawn(move || lines.for_each(drop));
            (child, log)
        });
        let mut tokens = vec![];
        for (mut child, log) in ended {
            assert!(log.iter().any(|line| line.contains("Handfast serves")), "{log:?}");
            std::thread::sleep(Duration::from_millis(100));
            drop(Command::new("kill").args(["-TERM", &child.id().to_string()]).status());
            let mut out = String::new();
            let stdout = child.stdout.as_mut().expect("piped");
            std::io::Read::read_to_string(stdout, &mut out).expect("text");
            drop(child.wait());
            tokens.extend(out.lines().map(str::to_owned));
        }
        assert_eq!(tokens.len(), 1, "one admin, one token: {tokens:?}");
        let [first, ..] = nodes;
        let server = Server::start_in(first, tokens.pop());
        let found = server.admin().query("{ charters { number } teams { key } queues { key } }", json!({}));
        let keys = |what: &str| -> Vec<&str> {
            let mut keys: Vec<&str> = found[what]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|one| one["key"].as_str())
                .collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(found["charters"].as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(keys("teams"), ["marketing", "ops", "sales"]);
        assert_eq!(keys("queues"), ["fallback", "marketing"]);
        let (dir, _) = server.stop();
        let doctor: Value =
            serde_json::from_slice(&offline(dir.path(), &["doctor", "--json"]).stdout).expect("JSON");
        assert_eq!(doctor["ok"], true, "{doctor}");
    }
}
