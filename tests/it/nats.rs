//! The mirror of the feed in NATS JetStream, against Debian's `nats-server`. Without it these tests say so and pass.
//!
//! `HANDFAST_NATS_ROUNDS=100` wipes the stream a hundred times, `HANDFAST_NATS_LEADS=8000` does it with 40,000 events; both take
//! longer than nextest lets a test run: `cargo test -p handfast-tests --test it nats::`.

mod wire;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use handfast_tests::{Api, Server, binary, database, eventually, nats, on_postgres, prepared};
use serde_json::{Value, json};
use wire::{Message, NatsServer};

const STREAM: &str = "handfast";

/// A server whose feed is mirrored.
fn mirrored(program: &Path, nats: &NatsServer) -> Server {
    let dir = prepared();
    let environment = environment(dir.path(), nats);
    Server::of(program, dir, None, environment)
}

/// That of a workspace whose first node has its data in `dir`.
fn environment(dir: &Path, nats: &NatsServer) -> Vec<(&'static str, String)> {
    let mut environment = database(dir);
    environment.push(("HANDFAST__NATS__URL", nats.url()));
    environment.push(("HANDFAST__NATS__STREAM", STREAM.to_owned()));
    environment.push(("HANDFAST__NATS__SUBJECTS", "acme.funnel".to_owned()));
    environment
}

/// A server that was killed starts again.
fn again(program: &Path, nats: &NatsServer, (dir, token): (tempfile::TempDir, String)) -> Server {
    let environment = environment(dir.path(), nats);
    Server::of(program, dir, Some(token), environment)
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The whole feed, as the API tells it.
fn feed(api: &Api) -> Vec<Value> {
    read_on(api, Value::Null)
}

fn read_on(api: &Api, mut after: Value) -> Vec<Value> {
    let document = "query($after: FeedCursor) { events(after: $after, first: 500) { \
                    events { id cursor kind stream version ordinal occurredAt payload } cursor atHead } }";
    let mut events = Vec::new();
    loop {
        let page = api.query(document, json!({"after": after}))["events"].take();
        events.extend(page["events"].as_array().into_iter().flatten().cloned());
        after = page["cursor"].clone();
        if page["atHead"] == true {
            return events;
        }
    }
}

/// What is wrong with a stream, if it is not the feed: each event once, in order, none besides.
fn difference(stream: &[Message], feed: &[Value]) -> Option<String> {
    if stream.len() != feed.len() {
        return Some(format!("{} messages, {} events", stream.len(), feed.len()));
    }
    for (place, (message, event)) in stream.iter().zip(feed).enumerate() {
        let position = place as u64 + 1;
        let id = |message: &Message| message.headers.get("ce-id").cloned();
        let numbered =
            message.headers.get("Nats-Msg-Id").is_some_and(|id| id.ends_with(&format!(":{position}")));
        if message.number() != position || !numbered || json!(id(message)) != event["id"] {
            return Some(format!("at {position}: {message:?} instead of {event}"));
        }
    }
    None
}

/// Waits until the stream is the feed, and answers it.
fn healed(nats: &NatsServer, api: &Api) -> Vec<Message> {
    let mut last = None;
    for _ in 0..600 {
        let events = feed(api);
        match nats.stream(STREAM) {
            None => last = Some("no stream".to_owned()),
            Some(stream) => match difference(&stream, &events) {
                None => return stream,
                wrong => last = wrong,
            },
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the stream is not the feed within a minute: {last:?}");
}

/// Each lead brings several events.
fn capture(api: &Api, name: &str, leads: usize) {
    for n in 0..leads {
        api.capture(&format!("{name}-{n}@example.test"));
    }
}

fn metric(api: &Api, name: &str) -> f64 {
    let (_, text) = api.get("/metrics");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn the_stream_holds_each_event_once_in_order_as_a_cloudevent_whose_cursor_goes_on_in_the_api() {
    let Some((program, nats)) = nats() else { return };
    let nats = NatsServer::start(&nats);
    let server = mirrored(&program, &nats);
    let api = server.admin();
    capture(&api, "ada", 5);
    let stream = healed(&nats, &api);
    let events = feed(&api);

    let place =
        events.iter().position(|event| event["kind"] == "STAGE_CHANGED").expect("a stage was reached");
    let (message, event) = (&stream[place], &events[place]);
    let lead = message.body["streamId"].as_str().expect("a lead");
    assert_eq!(message.subject, "acme.funnel.lead.STAGE_CHANGED");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-source", "/handfast"),
        ("ce-type", "handfast.stage_changed"),
        ("ce-subject", &format!("lead/{lead}")),
        ("ce-time", event["occurredAt"].as_str().expect("a time")),
        ("ce-datacontenttype", "application/json"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(message.header(name), value, "{name}");
    }
    // The body is the event in the shape of schema/events.json.
    let payload: Value = serde_json::from_str(event["payload"].as_str().expect("a payload")).expect("JSON");
    assert_eq!(message.body["body"], payload);
    for member in ["id", "cursor", "stream", "version", "ordinal"] {
        assert_eq!(message.body[member], event[member], "{member}");
    }
    for member in ["occurredAt", "recordedAt"] {
        assert!(message.body[member].is_i64(), "{member} in {}", message.body);
    }

    // What a node that was paused would send once more is refused by what it says itself, also when NATS has forgotten its id.
    std::thread::sleep(Duration::from_millis(1_200));
    for late in [message, &stream[stream.len() - 1]] {
        let headers = late.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let answer = nats.wire().publish(&late.subject, headers);
        assert_eq!(answer["error"]["err_code"], 10_071, "{answer}");
    }

    // Whoever read the stream up to here goes on in the API.
    let rest = read_on(&api, message.body["cursor"].clone());
    assert_eq!(rest, events[place + 1..]);

    eventually(10, "the counts say so", || {
        let position = metric(&api, "handfast_nats_position");
        let caught_up = position >= events.len() as f64 && metric(&api, "handfast_nats_lag") == 0.0;
        (caught_up && metric(&api, "handfast_nats_published_total") >= events.len() as f64).then_some(())
    });
}

/// A history by import: many events at once.
fn import(api: &Api, leads: usize) {
    let mut file = String::from("id,at,email\n");
    for n in 0..leads {
        file.push_str(&format!("{n},2026-01-05T09:00:00Z,import-{n}@example.test\n"));
    }
    let digest = api.put_blob("import", file.as_bytes());
    let mapping =
        json!({"system": "crm", "id": "id", "occurredAt": {"column": "at"}, "lead": {"email": "email"}});
    let input = json!({"digest": digest, "name": "leads", "mapping": mapping.to_string()});
    let run = api.mutate("startImport", "StartImportInput", input, "run { id }")["run"]["id"].clone();
    eventually(600, "the import ends", || {
        let found = api.query("query($id: ID!) { importRun(id: $id) { status } }", json!({"id": run}));
        (found["importRun"]["status"] == "DONE").then_some(())
    });
}

#[test]
fn a_nats_server_that_is_killed_and_wiped_holds_the_feed_again_however_often() {
    let Some((program, nats)) = nats() else { return };
    let mut nats = NatsServer::start(&nats);
    let server = mirrored(&program, &nats);
    let api = server.admin();
    import(&api, number("HANDFAST_NATS_LEADS", 300));
    healed(&nats, &api);
    for round in 0..number("HANDFAST_NATS_ROUNDS", 6) {
        // In the middle of new events; every third time it keeps what it had.
        let capturing = api.clone();
        let writer = std::thread::spawn(move || capture(&capturing, &format!("round-{round}"), 5));
        nats.kill();
        if round % 3 != 2 {
            nats.wipe();
        }
        let begun = Instant::now();
        nats.start_again();
        // Every second time it dies once more, in the middle of being filled.
        if round % 2 == 1 {
            std::thread::sleep(Duration::from_millis(50 * (round as u64 % 10)));
            nats.kill();
            nats.start_again();
        }
        writer.join().expect("the API works without NATS");
        let count = feed(&api).len() as u64;
        let state = || nats.ask(&format!("STREAM.INFO.{STREAM}"), &json!({}))["state"]["messages"].as_u64();
        eventually(300, "the stream has as many", || state().filter(|messages| *messages >= count));
        let took = begun.elapsed().as_millis();
        eprintln!("round {round}: {count} events, {took} ms after the start of NATS");
        healed(&nats, &api);
    }
    // Somebody deletes the stream of a living server: the next event shows it.
    nats.ask(&format!("STREAM.DELETE.{STREAM}"), &json!({}));
    capture(&api, "deleted", 1);
    healed(&nats, &api);
}

#[test]
fn a_server_that_is_killed_leaves_no_gap_and_nothing_twice_in_the_stream() {
    let Some((program, nats)) = nats() else { return };
    let nats = NatsServer::start(&nats);
    let mut server = mirrored(&program, &nats);
    let mut count = 0;
    for round in 0..3 {
        let api = server.admin();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let api = api.clone();
                std::thread::spawn(move || {
                    for n in 0.. {
                        let lead = json!({"email": format!("k{round}-{writer}-{n}@example.test")});
                        let document = "mutation($lead: LeadInput!) { captureLead(input: {lead: $lead}) { lead { id } } }";
                        if api.try_post(&json!({"query": document, "variables": {"lead": lead}})).is_none() {
                            return;
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(700));
        let left = server.kill();
        for writer in writers {
            writer.join().expect("a writer ends");
        }
        server = again(&program, &nats, left);
        let api = server.admin();
        capture(&api, &format!("after-{round}"), 1);
        // On PostgreSQL the lease of the killed one must end first.
        eventually(30, "the feed goes on", || (feed(&api).len() > count).then_some(()));
        count = healed(&nats, &api).len();
        eprintln!("round {round}: {count} events");
    }
}

#[test]
fn a_stream_of_another_epoch_or_with_a_foreign_message_is_made_anew() {
    let Some((program, nats)) = nats() else { return };
    let nats = NatsServer::start(&nats);
    let server = mirrored(&program, &nats);
    let api = server.admin();
    capture(&api, "ada", 2);
    healed(&nats, &api);

    // Somebody writes into our subjects, and again in the middle of the feed.
    let answer = nats.wire().request("acme.funnel.lead.STAGE_CHANGED", &json!({"not": "ours"}));
    assert!(answer.is_some_and(|answer| answer["seq"].is_u64()), "NATS took it");
    capture(&api, "bob", 1);
    healed(&nats, &api);

    // As if the workspace had been restored from a backup since.
    let left = server.stop();
    let mut config = nats.ask(&format!("STREAM.INFO.{STREAM}"), &json!({}))["config"].take();
    let description = config["description"].as_str().expect("a description").to_owned();
    let (whose, _) = description.rsplit_once(' ').expect("an epoch at its end");
    config["description"] = json!(format!("{whose} 0123456789abcdef"));
    assert!(nats.ask(&format!("STREAM.UPDATE.{STREAM}"), &config)["error"].is_null());
    let server = again(&program, &nats, left);
    eventually(20, "it says that it makes the stream anew", || {
        server.log().iter().any(|line| line.contains("restored from a backup")).then_some(())
    });
    healed(&nats, &server.admin());
    let info = nats.ask(&format!("STREAM.INFO.{STREAM}"), &json!({}));
    assert_eq!(info["config"]["description"], json!(description));
}

#[test]
fn a_stream_that_is_not_ours_or_knows_more_than_the_feed_is_left_alone_and_the_operator_is_told() {
    let Some((program, nats)) = nats() else { return };
    let nats = NatsServer::start(&nats);
    let orders = json!({"name": STREAM, "subjects": ["orders.>"], "storage": "file", "retention": "limits"});
    assert!(nats.ask(&format!("STREAM.CREATE.{STREAM}"), &orders)["error"].is_null());
    nats.wire().request("orders.new", &json!({"order": 1}));
    let server = mirrored(&program, &nats);
    let api = server.admin();
    let told = |server: &Server, what: &str| {
        eventually(40, what, || server.log().iter().any(|line| line.contains(what)).then_some(()))
    };
    told(&server, "is not this workspace's");
    capture(&api, "ada", 1);
    let kept = nats.stream(STREAM).expect("the stream is there");
    assert_eq!(kept.iter().map(|message| message.subject.as_str()).collect::<Vec<_>>(), ["orders.new"]);
    nats.ask(&format!("STREAM.DELETE.{STREAM}"), &json!({}));
    healed(&nats, &api);

    // As if the database had been replaced by an older one.
    let left = server.stop();
    let last = nats.stream(STREAM).and_then(|mut stream| stream.pop()).expect("a message");
    let (epoch, _) = last.header("Nats-Msg-Id").split_once(':').expect("an epoch");
    for number in last.number() + 1..last.number() + 4 {
        let id = format!("{epoch}:{number}");
        let headers = [("Nats-Msg-Id", id.as_str()), ("ce-id", last.header("ce-id"))];
        let answer = nats.wire().publish(&last.subject, headers.into_iter());
        assert!(answer["error"].is_null(), "{answer}");
    }
    let before = nats.stream(STREAM).map(|stream| stream.len());
    let server = again(&program, &nats, left);
    told(&server, "was the database replaced by an older one");
    assert_eq!(server.admin().get("/readyz").0, 200);
    assert_eq!(nats.stream(STREAM).map(|stream| stream.len()), before);
}

#[test]
fn without_nats_everything_else_works_and_the_log_says_it_once() {
    let Some((program, nats)) = nats() else { return };
    let mut nats = NatsServer::start(&nats);
    nats.kill();
    let server = mirrored(&program, &nats);
    let api = server.admin();
    capture(&api, "ada", 3);
    let said = || {
        let lines = server.log().into_iter();
        lines.filter(|line| line.to_lowercase().contains("nats")).collect::<Vec<_>>()
    };
    eventually(20, "it says so", || (!said().is_empty()).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(said().len(), 1, "{:#?}", said());
    assert_eq!(api.get("/readyz").0, 200);
    assert!(metric(&api, "handfast_nats_lag") > 0.0);
    nats.start_again();
    healed(&nats, &api);
}

#[test]
fn a_server_built_without_the_feature_refuses_to_start_and_names_it() {
    let dir = prepared();
    let output = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .current_dir(dir.path())
        .envs(database(dir.path()))
        .env("HANDFAST__NATS__URL", "nats://127.0.0.1:4222")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--features nats"), "{said}");
}

#[test]
fn a_leader_that_is_paused_or_killed_is_followed_by_the_other_node_and_changes_nothing_when_it_wakes() {
    let Some((program, nats)) = nats() else { return };
    if !on_postgres() {
        return;
    }
    let mut nats = NatsServer::start(&nats);
    let first = mirrored(&program, &nats);
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::copy(first.dir.path().join("secret"), dir.path().join("secret"))
        .expect("nodes share the secret");
    let environment = environment(first.dir.path(), &nats);
    let second = Server::of(&program, dir, Some(first.token.clone()), environment.clone());
    let (here, there) = (first.admin(), second.admin());
    import(&here, 300);
    healed(&nats, &there);

    let signal = |signal: &str, server: &Server| {
        let sent = Command::new("kill").args([signal, &server.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    };
    // In the middle of a stream that is filled again, so that much of what it reads and sends is still on its way.
    for attempt in 0.. {
        nats.kill();
        nats.wipe();
        nats.start_again();
        let state = || nats.ask(&format!("STREAM.INFO.{STREAM}"), &json!({}))["state"]["messages"].as_u64();
        eventually(20, "the stream is filled again", || state().filter(|count| *count > 0));
        signal("-STOP", &first);
        let (there, all) = (state().unwrap_or(0), feed(&there).len() as u64);
        eprintln!("stopped at {there} of {all}");
        // Between two pages of 500 it has nothing under way.
        if there < all && there % 500 != 0 {
            break;
        }
        assert!(attempt < 20, "it is never stopped in the middle");
        signal("-CONT", &first);
    }
    // Longer than its lease of ten seconds. What it was asked for meanwhile waits with it.
    let on_first = std::thread::spawn(move || capture(&here, "on-first", 40));
    let on_second = there.clone();
    let on_second = std::thread::spawn(move || capture(&on_second, "on-second", 60));
    on_second.join().expect("the other node works");
    // Paused between two statements, it holds the head of the feed until the database ends its transaction.
    eventually(100, "the other node mirrors", || {
        let (_, text) = there.get("/metrics");
        let published = text.lines().find_map(|line| line.strip_prefix("handfast_nats_published_total "));
        published.is_some_and(|count| count != "0").then_some(())
    });
    healed(&nats, &there);
    signal("-CONT", &first);
    on_first.join().expect("the woken node works");
    healed(&nats, &there);
    for node in [&first, &second] {
        let (_, text) = node.admin().get("/metrics");
        assert!(!text.contains("\nhandfast_nats_rebuilt_total "), "nothing was out of its order");
    }

    capture(&there, "after", 5);
    healed(&nats, &there);
    // The one that leads now is killed; the one that slept takes over.
    let left = second.kill();
    let back = first.admin();
    capture(&back, "killed", 5);
    healed(&nats, &back);
    drop(left);
}
