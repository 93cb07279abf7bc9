//! Backups: taken under load, put back as a new epoch, refused by name when they are damaged, whole or not there at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handfast_tests::{Api, Server, binary, card, database, eventually, on_postgres};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::work::World;

const EVENTS: &str =
    "query($after: FeedCursor) { events(after: $after, first: 500) { cursor atHead events { id kind } } }";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Standard output, standard error and exit code.
fn told(output: Output) -> (String, String, i32) {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap_or(-1))
}

/// A command on a data directory.
fn on(dir: &Path, args: &[&str]) -> (String, String, i32) {
    told(handfast_tests::offline(dir, args))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Backs up what a directory holds, and answers the manifest.
fn back_up(dir: &Path, to: &Path) -> Value {
    let (out, err, code) = on(dir, &["backup", "--json", "--to", path(to)]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("Next: `handfast restore"), "{err}");
    serde_json::from_str::<Value>(&out).expect("JSON")["manifest"].clone()
}

fn restore(from: &Path, dir: &Path) -> Value {
    let (out, err, code) = on(dir, &["restore", "--json", "--from", path(from)]);
    assert_eq!(code, 0, "{out}{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["ok"], true, "{told}");
    told
}

/// Every event up to the end.
fn log(api: &Api) -> Vec<Value> {
    let (mut events, mut after) = (vec![], Value::Null);
    loop {
        let page = api.query(EVENTS, json!({"after": after}))["events"].clone();
        events.extend(page["events"].as_array().into_iter().flatten().cloned());
        if page["atHead"] == true {
            return events;
        }
        after = page["cursor"].clone();
    }
}

fn head(api: &Api) -> Value {
    api.query("{ feedHead }", json!({}))["feedHead"].clone()
}

/// What the two workspaces should say alike.
fn answers(api: &Api) -> Value {
    api.query(
        "{ ledgerNow { total captured balanced } charter { number digest } pluginVersions { digest } \
         funnel { stages { label open entered } won lost } \
         leads(first: 100) { edges { node { uuid version stage stageVersion contact { email name } fit workState } } } \
         decisions(first: 50) { edges { node { uuid outcome input output } } } }",
        json!({}),
    )
}

fn doctor(dir: &Path) -> Value {
    let (out, err, code) = on(dir, &["doctor", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn known(api: &Api, email: &str) -> bool {
    let document = "query($email: String!) { lead(by: {email: $email}) { uuid } }";
    !api.query(document, json!({"email": email}))["lead"].is_null()
}

#[test]
fn a_backup_under_eight_writers_comes_back_as_it_was_and_old_cursors_are_refused_at_every_door() {
    let world = World::unsigned();
    world.at("SAL", "worked@example.test");
    let server = &world.server;
    let old = head(&world.admin);
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let backups = folder();
    let to = backups.path().join("monday");
    let (before, manifest) = std::thread::scope(|scope| {
        for writer in 0..8 {
            let (api, stop, written) = (world.mia.clone(), &stop, &written);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let lead = json!({"lead": {"email": format!("w{writer}-{n}@example.test"), "consent": writer == 0}});
                    api.mutate("captureLead", "CaptureLeadInput", lead, "lead { id }");
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let wrote = |more: usize| {
            let from = written.load(Ordering::Relaxed);
            eventually(60, "writers write", || {
                (written.load(Ordering::Relaxed) >= from + more).then_some(())
            });
        };
        wrote(60);
        // Each writer's newest is acknowledged: the one before it was, in any case.
        let before = written.load(Ordering::Relaxed);
        let (out, err, code) =
            told(server.cli(&["backup", "--json", "--data-dir", path(server.dir.path()), "--to", path(&to)]));
        let during = written.load(Ordering::Relaxed) - before;
        assert_eq!(code, 0, "{out}{err}");
        wrote(16);
        stop.store(true, Ordering::Relaxed);
        eprintln!("{during} leads were captured while the backup was taken");
        let manifest: Value = serde_json::from_str(&out).expect("JSON");
        (before, manifest["manifest"].clone())
    });
    let rows = |name: &str| {
        let tables = manifest["tables"].as_array().expect("tables");
        tables
            .iter()
            .find(|table| table["name"] == name)
            .map_or(0, |table| table["rows"].as_u64().expect("a number"))
    };
    assert!(
        rows("lead") > before as u64,
        "what was acknowledged before is in it: {} of {before}",
        rows("lead")
    );
    assert!(rows("lead") < written.load(Ordering::Relaxed) as u64 + 1, "writers went on after it");
    let (out, err, code) = told(server.cli(&["restore", "--check", "--from", path(&to)]));
    assert_eq!(code, 0, "{out}{err}");

    let dir = folder();
    let restored = restore(&to, dir.path());
    assert_eq!(restored["manifest"], manifest);
    let report = doctor(dir.path());
    let finding = |name: &str| {
        let findings = report["findings"].as_array().expect("findings");
        findings.iter().find(|finding| finding["name"] == name).expect("it is looked at")["summary"].clone()
    };
    if !on_postgres() {
        // There, what was committed and not yet numbered gets its place now.
        let chain = format!(
            "{} events, chain {}",
            manifest["position"],
            manifest["chain"].as_str().expect("a digest")
        );
        assert_eq!(finding("log"), chain);
    }
    assert_eq!(finding("projections"), format!("{} leads are as the log says", rows("lead")));
    let (out, err, code) = on(dir.path(), &["verify"]);
    assert_eq!(code, 0, "{out}{err}");

    let again = Server::start_in(dir, Some(world.mia.token.clone()));
    let mia = again.admin();
    let (all, then) = (log(&world.mia), log(&mia));
    let position = manifest["position"].as_u64().expect("a number") as usize;
    assert!(then.len() >= position && all.len() > then.len(), "{} {position} {}", then.len(), all.len());
    assert_eq!(then[..position], all[..position], "the same log up to the manifest's position");
    assert_eq!(rows("event"), then.len() as u64);
    assert_eq!(
        mia.query("{ ledgerNow { total balanced } }", json!({}))["ledgerNow"],
        json!({"total": rows("lead").to_string(), "balanced": true})
    );

    let error = mia.error(EVENTS, json!({"after": old}));
    assert_eq!(error["extensions"]["code"], "CURSOR_EPOCH_CHANGED", "{error}");
    let refused = |by: &str, message: Value| {
        assert_eq!(message["extensions"]["code"], "CURSOR_EPOCH_CHANGED", "{by}: {message}");
    };
    refused("SSE", first_event(&mia, &old, false)["errors"][0].clone());
    refused("Last-Event-ID", first_event(&mia, &old, true)["errors"][0].clone());
    refused("WebSocket", first_message(&mia, &old));
    let new = head(&mia);
    assert_eq!(mia.query(EVENTS, json!({"after": new}))["events"]["events"], json!([]));

    mia.capture("afterwards@example.test");
    assert!(
        log(&mia).len() > then.len() && log(&mia)[..then.len()] == then[..],
        "the log goes on where it ended"
    );
    assert!(known(&mia, "afterwards@example.test") && known(&mia, "worked@example.test"));
    let (dir, _) = again.stop();
    doctor(dir.path());
}

/// The first thing that an event stream says.
fn first_event(api: &Api, after: &Value, by_header: bool) -> Value {
    let document = "subscription($after: FeedCursor) { leadStageChanged(after: $after) { cursor } }";
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}/graphql/stream", api.url)).header("accept", "text/event-stream");
    let request = request.header("authorization", format!("Bearer {}", api.token));
    let (request, after) = match by_header {
        true => (request.header("last-event-id", after.as_str().expect("a cursor")), Value::Null),
        false => (request, after.clone()),
    };
    let answer =
        request.send_json(json!({"query": document, "variables": {"after": after}})).expect("an answer");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(answer.into_body().into_reader()));
    let told = lines.map_while(Result::ok).map(|line| line.strip_prefix("data:").unwrap_or(&line).to_owned());
    told.filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .find(Value::is_object)
        .expect("a message")
}

/// The first error that a socket says about a subscription.
fn first_message(api: &Api, after: &Value) -> Value {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut request = format!("{}/graphql", api.url.replace("http", "ws")).into_client_request().expect("a URL");
        let protocol = "graphql-transport-ws".parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a socket");
        let init = json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {}", api.token)}});
        let document = "subscription($after: FeedCursor) { leadStageChanged(after: $after) { cursor } }";
        let subscribe = json!({"id": "1", "type": "subscribe", "payload": {"query": document, "variables": {"after": after}}});
        socket.send(Message::text(init.to_string())).await.expect("sent");
        let ack = socket.next().await.expect("an answer").expect("a message");
        assert!(ack.to_text().expect("text").contains("connection_ack"), "{ack:?}");
        socket.send(Message::text(subscribe.to_string())).await.expect("sent");
        let said = socket.next().await.expect("an answer").expect("a message");
        let said: Value = serde_json::from_str(said.to_text().expect("text")).expect("JSON");
        let inner = &said["payload"];
        if inner.is_array() { inner[0].clone() } else { inner["errors"][0].clone() }
    })
}

/// A stopped server with a rule and a few leads.
fn stopped() -> (TempDir, String) {
    let server = Server::start();
    server.deploy("scorecard", "mql", &card(10));
    people(server)
}

fn people(server: Server) -> (TempDir, String) {
    (0..5).for_each(|n| drop(server.admin().capture(&format!("p{n}@example.test"))));
    server.stop()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// Files and folders in a folder, by name.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_backup_of_a_stopped_server_answers_every_question_alike() {
    let (dir, token) = stopped();
    let backups = folder();
    let to = backups.path().join("one");
    let manifest = back_up(dir.path(), &to);
    assert_eq!(names(backups.path()), BTreeSet::from(["one".to_owned()]), "nothing else is left");
    let here = if on_postgres() { "tables" } else { "blobs" };
    let mut expected = BTreeSet::from(["manifest.json", "secret", here].map(str::to_owned));
    if !on_postgres() {
        expected.insert("handfast.db".to_owned());
    }
    assert_eq!(names(&to), expected);
    for file in manifest["files"].as_array().expect("files") {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(to.join(file["path"].as_str().expect("a path"))).expect("there").permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // Twice the same, but for the time: nothing was changed by looking.
    let twice = back_up(dir.path(), &backups.path().join("two"));
    assert_eq!((&twice["chain"], &twice["tables"]), (&manifest["chain"], &manifest["tables"]));
    let (out, err, code) = on(dir.path(), &["backup", "--to", path(&to)]);
    assert!(code == 5 && err.contains("overwrites nothing"), "{code} {out}{err}");
    let (_, err, code) = on(dir.path(), &["backup", "--to", "no/such/folder/x"]);
    assert!(code == 3 && err.contains("no/such/folder does not exist"), "{code} {err}");
    let (_, err, code) = on(backups.path(), &["backup", "--to", path(&backups.path().join("three"))]);
    assert!(code == 3 && err.contains("no Handfast data in"), "{code} {err}");

    let there = folder();
    restore(&to, there.path());
    let (first, second) = (Server::start_in(dir, Some(token.clone())), Server::start_in(there, Some(token)));
    assert_eq!(answers(&first.admin()), answers(&second.admin()));
    assert_eq!(log(&first.admin()), log(&second.admin()));
}

#[test]
fn a_backup_without_the_secret_is_restored_with_a_copy_of_it_and_with_no_other() {
    let (dir, token) = stopped();
    let backups = folder();
    let to = backups.path().join("one");
    let (out, err, code) = on(dir.path(), &["backup", "--without-secret", "--to", path(&to)]);
    assert!(
        code == 0 && out.trim() == path(&to) && err.contains("does not hold the root secret"),
        "{code} {out}{err}"
    );
    assert!(!to.join("secret").exists());
    let there = folder();
    let from = ["restore", "--from", path(&to)];
    let (_, err, code) = on(there.path(), &from);
    assert!(code == 3 && err.contains("--secret"), "{code} {err}");
    let wrong = backups.path().join("wrong");
    for (bytes, why) in
        [(vec![9; 32], "does not belong to this backup"), (vec![9; 31], "31 bytes instead of 32")]
    {
        fs::write(&wrong, bytes).expect("written");
        let (_, err, code) = on(there.path(), &[&from[..], &["--secret", path(&wrong)]].concat());
        assert!(code == 1 && err.contains(why), "{code} {err}");
    }
    assert_eq!(names(there.path()), BTreeSet::new(), "nothing was begun");
    let secret = dir.path().join("secret");
    let (out, err, code) = on(there.path(), &[&from[..], &["--secret", path(&secret)]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let server = Server::start_in(there, Some(token));
    assert!(known(&server.admin(), "p1@example.test"));
}

#[test]
fn every_damaged_backup_is_refused_by_name_and_nothing_is_begun() {
    let (dir, _) = stopped();
    let backups = folder();
    let sound = backups.path().join("sound");
    let manifest = back_up(dir.path(), &sound);
    let files: Vec<&str> = manifest["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| file["path"].as_str().expect("a path"))
        .collect();
    let data = if on_postgres() { "tables/lead.copy" } else { "handfast.db" };
    let other =
        files.iter().find(|file| file.starts_with(if on_postgres() { "tables/blob_" } else { "blobs/" }));
    let other = *other.expect("the rule's bytes");
    let reseal = |edit: &dyn Fn(&mut Value), folder: &Path| {
        let path = folder.join("manifest.json");
        let mut sealed: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        edit(&mut sealed["manifest"]);
        let digest = handfast_domain::digest::Digest::of("backup", 1, &sealed["manifest"]);
        sealed["sha256"] = digest.to_string().into();
        fs::write(&path, sealed.to_string()).expect("written");
    };
    let flip = |path: PathBuf| {
        let mut bytes = fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("written");
    };
    let cut = |path: PathBuf, by: usize| {
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() - by]).expect("written");
    };
    type Damage<'a> = Box<dyn Fn(&Path) + 'a>;
    let damages: Vec<(String, Damage<'_>, String)> = vec![
        (
            "no manifest".into(),
            Box::new(|dir| fs::remove_file(dir.join("manifest.json")).expect("gone")),
            "is no backup: it has no manifest.json".into(),
        ),
        ("cut manifest".into(), Box::new(|dir| cut(dir.join("manifest.json"), 2)), "manifest.json: ".into()),
        (
            "changed manifest".into(),
            Box::new(|dir| {
                let path = dir.join("manifest.json");
                let text =
                    fs::read_to_string(&path).expect("read").replace("\"position\": ", "\"position\": 1");
                fs::write(path, text).expect("written");
            }),
            "the manifest was changed after it was written".into(),
        ),
        (
            "newer format".into(),
            Box::new(|dir| {
                reseal(
                    &|m| {
                        m["format"] = json!(2);
                        m["product"] = json!("7.0.0");
                    },
                    dir,
                )
            }),
            "restore it with handfast 7.0.0 or newer".into(),
        ),
        (
            "newer schema".into(),
            Box::new(|dir| {
                reseal(
                    &|m| m["migrations"].as_array_mut().expect("a list").push(json!("m9999_flying_cars")),
                    dir,
                )
            }),
            "it has `m9999_flying_cars`".into(),
        ),
        (
            "a path outside".into(),
            Box::new(|dir| reseal(&|m| m["files"][0]["path"] = json!("../../secret"), dir)),
            "names a table or file that no backup has".into(),
        ),
        (
            "missing data".into(),
            Box::new(|dir| fs::remove_file(dir.join(data)).expect("gone")),
            format!("{data} is missing"),
        ),
        ("changed data".into(), Box::new(|dir| flip(dir.join(data))), format!("{data} was changed")),
        ("cut data".into(), Box::new(|dir| cut(dir.join(data), 1)), format!("{data} has ")),
        (
            "missing file".into(),
            Box::new(|dir| fs::remove_file(dir.join(other)).expect("gone")),
            format!("{other} is missing"),
        ),
        ("changed file".into(), Box::new(|dir| flip(dir.join(other))), format!("{other} was changed")),
        (
            "changed secret".into(),
            Box::new(|dir| flip(dir.join("secret"))),
            "secret does not belong to this backup".into(),
        ),
        (
            "missing secret".into(),
            Box::new(|dir| fs::remove_file(dir.join("secret")).expect("gone")),
            "name the file by --secret".into(),
        ),
    ];
    for (n, (name, damage, expected)) in damages.into_iter().enumerate() {
        let bad = backups.path().join(format!("bad{n}"));
        copy(&sound, &bad);
        damage(&bad);
        let there = folder();
        let (out, err, code) = on(there.path(), &["restore", "--from", path(&bad)]);
        assert!(code == 1 || code == 3, "{name}: {code} {out}{err}");
        assert!(err.contains(&expected), "{name}: {err}");
        assert_eq!(names(there.path()), BTreeSet::new(), "{name}: nothing was begun");
        fs::remove_dir_all(&bad).expect("gone");
    }

    // Sound, but not for this place.
    let (out, err, code) = on(dir.path(), &["restore", "--from", path(&sound)]);
    assert!(code == 5 && err.contains("is not empty"), "{code} {out}{err}");
    let there = folder();
    fs::write(there.path().join("notes.txt"), "mine").expect("written");
    let (_, err, code) = on(there.path(), &["restore", "--from", path(&sound)]);
    assert!(code == 5 && err.contains("it has `notes.txt`"), "{code} {err}");
    assert_eq!(fs::read_to_string(there.path().join("notes.txt")).expect("read"), "mine");
    let mut other_engine = Command::new(binary());
    other_engine.args(["restore", "--from", path(&sound), "--data-dir", path(folder().path())]);
    if !on_postgres() {
        other_engine.env("HANDFAST__DATABASE__URL", "postgres://nobody@127.0.0.1:1/none");
    }
    let (_, err, code) = told(other_engine.stdin(Stdio::null()).output().expect("it runs"));
    assert!(code == 1 && err.contains("[database] url"), "{code} {err}");
    let there = folder();
    restore(&sound, there.path());
    let (_, err, code) = on(there.path(), &["restore", "--from", path(&sound)]);
    assert!(code == 5, "a second time: {code} {err}");
}

/// Moments of a run at which it is killed.
const ROUNDS: u32 = 4;

/// Starts a command, kills it after so long, and answers whether it had ended by itself.
fn killed_after(dir: &Path, args: &[&str], after: Duration) -> bool {
    let mut child = Command::new(binary())
        .args(args)
        .arg("--data-dir")
        .arg(dir)
        .current_dir(dir)
        .envs(database(dir))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    std::thread::sleep(after);
    let ended = child.try_wait().expect("a child").is_some();
    drop(child.kill());
    drop(child.wait());
    ended
}

#[test]
fn a_backup_or_restore_that_is_killed_leaves_nothing_that_looks_whole() {
    let server = Server::start();
    server.admin().put_blob("import", b"mail\np@example.test\n");
    let (dir, token) = people(server);
    let backups = folder();
    let sound = backups.path().join("sound");
    let begun = Instant::now();
    back_up(dir.path(), &sound);
    let took = begun.elapsed();
    let mut left = 0;
    for n in 1..=ROUNDS {
        let to = backups.path().join("killed");
        let ended = killed_after(dir.path(), &["backup", "--to", path(&to)], took * n / ROUNDS);
        left += usize::from(backups.path().join("killed.partial").exists());
        if to.exists() {
            let (out, err, code) = on(dir.path(), &["restore", "--check", "--from", path(&to)]);
            assert_eq!(code, 0, "{n}, ended {ended}: {out}{err}");
            fs::remove_dir_all(&to).expect("gone");
        } else {
            let (_, _, code) = on(dir.path(), &["restore", "--check", "--from", path(&to)]);
            assert_eq!(code, 3, "{n}");
        }
    }
    eprintln!("{left} of {ROUNDS} left their draft");
    // The next one takes the draft over.
    back_up(dir.path(), &backups.path().join("killed"));
    assert_eq!(names(backups.path()), BTreeSet::from(["killed", "sound"].map(str::to_owned)));

    let begun = Instant::now();
    let there = folder();
    restore(&sound, there.path());
    let took = begun.elapsed();
    for n in 1..=ROUNDS {
        let there = folder();
        killed_after(there.path(), &["restore", "--from", path(&sound)], took * n / ROUNDS);
        let half = there.path().join("restoring").exists();
        if half {
            let (out, err, code) = on(there.path(), &["serve", "--listen", "127.0.0.1:0"]);
            assert!(
                code == 1 && err.contains("was cut off: run `handfast restore` again"),
                "{n}: {code} {out}{err}"
            );
        }
        let (_, err, code) = on(there.path(), &["restore", "--from", path(&sound)]);
        // Either it was done before, or it is now.
        assert!(code == 0 || (code == 5 && !half), "{n}: {code} {err}");
        let (out, err, code) = on(there.path(), &["doctor", "--quick"]);
        assert_eq!(code, 0, "{n}: {out}{err}");
        if n == ROUNDS {
            let server = Server::start_in(there, Some(token.clone()));
            assert!(known(&server.admin(), "p4@example.test"));
        }
    }
}

#[test]
fn a_database_that_is_behind_what_was_seen_here_is_refused_until_a_new_epoch_begins() {
    let (dir, token) = stopped();
    let old = folder();
    if !on_postgres() {
        fs::copy(dir.path().join("handfast.db"), old.path().join("handfast.db")).expect("copied");
    }
    let server = Server::start_in(dir, Some(token.clone()));
    server.admin().capture("newer@example.test");
    let cursor = head(&server.admin());
    let (dir, _) = server.stop();
    let mark = dir.path().join("head-mark");
    let seen: Value = serde_json::from_slice(&fs::read(&mark).expect("a mark")).expect("JSON");
    if on_postgres() {
        // As if the database had been put back to where it was before.
        let mut ahead = seen.clone();
        ahead["position"] = json!(seen["position"].as_i64().expect("a number") + 10);
        fs::write(&mark, ahead.to_string()).expect("written");
    } else {
        fs::copy(old.path().join("handfast.db"), dir.path().join("handfast.db")).expect("put back");
    }
    let refused = |why: &str| {
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
            let (out, err, code) = on(dir.path(), command);
            assert!(
                code == 1 && err.contains("behind its own head mark") && err.contains(why),
                "{code} {out}{err}"
            );
            assert!(
                err.contains("handfast restore") && err.contains("serve --restored"),
                "what to do: {err}"
            );
        }
    };
    refused("newer changes are gone");
    let (out, _, code) = on(dir.path(), &["doctor"]);
    let wrong: Vec<&str> = out.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert!(
        code == 1 && wrong.len() == 1 && wrong[0].contains("head"),
        "the doctor may look, and names it: {out}"
    );

    // The same length, another log.
    let kept = fs::read(&mark).expect("read");
    let mut other = seen.clone();
    other["chain"] = json!("00".repeat(32));
    other["position"] = json!(3);
    fs::write(&mark, other.to_string()).expect("written");
    refused("the log is another one");
    other["epoch"] = json!("00".repeat(8));
    fs::write(&mark, other.to_string()).expect("written");
    refused("it is another database");
    fs::write(&mark, kept).expect("written");

    let mut child = Command::new(binary())
        .args(["serve", "--restored", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .current_dir(dir.path())
        .envs(database(dir.path()))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stderr = child.stderr.take().expect("piped");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr)).map_while(Result::ok);
    assert!(lines.any(|line| line.contains("Handfast serves")), "it goes on from the older state");
    drop(Command::new("kill").args(["-TERM", &child.id().to_string()]).status());
    drop(child.wait());
    let server = Server::start_in(dir, Some(token));
    let api = server.admin();
    let error = api.error(EVENTS, json!({"after": cursor}));
    assert_eq!(error["extensions"]["code"], "CURSOR_EPOCH_CHANGED", "{error}");
    assert_eq!(known(&api, "newer@example.test"), on_postgres());
    api.capture("again@example.test");
    let (dir, _) = server.stop();
    doctor(dir.path());
}

#[test]
fn a_mark_is_written_while_the_server_runs() {
    let server = Server::start();
    let mark = server.dir.path().join("head-mark");
    let position = || {
        let mark: Value = serde_json::from_slice(&fs::read(&mark).ok()?).ok()?;
        mark["position"].as_i64()
    };
    server.admin().capture("first@example.test");
    let before = eventually(10, "a mark", position);
    server.admin().capture("second@example.test");
    eventually(10, "a newer mark", || position().filter(|now| *now > before));
    // A power cut takes nothing that it speaks of.
    let (dir, token) = server.kill();
    let server = Server::start_in(dir, Some(token));
    assert!(known(&server.admin(), "second@example.test"));
}
