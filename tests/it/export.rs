//! The log as lines of JSON: whole, in parts, while others write, by HTTP and by the command line.

use std::sync::atomic::{AtomicBool, Ordering};

use handfast_domain::event::Event;
use handfast_tests::{Api, Server, eventually};
use serde_json::{Value, json};

use crate::consumer::register;

/// Lines of an export.
fn lines(api: &Api, query: &str) -> Vec<Value> {
    let (status, text) = api.get(&format!("/events.ndjson{query}"));
    assert_eq!(status, 200, "{query}: {text}");
    parsed(&text)
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The same as the query `events` tells it, in the shape of an export.
fn queried(api: &Api, filter: &str) -> Vec<Value> {
    let document = format!(
        "query($after: FeedCursor) {{ events(after: $after, first: 7{filter}) {{ events {{ id cursor stream version ordinal \
         payload }} cursor atHead }} }}"
    );
    let (mut all, mut after) = (vec![], Value::Null);
    loop {
        let page = api.query(&document, json!({"after": after}))["events"].take();
        for event in page["events"].as_array().into_iter().flatten() {
            let body: Value = serde_json::from_str(event["payload"].as_str().expect("text")).expect("JSON");
            let mut event = event.clone();
            event.as_object_mut().expect("an object").remove("payload");
            event["body"] = body;
            all.push(event);
        }
        after = page["cursor"].clone();
        if page["atHead"] == true {
            return all;
        }
    }
}

fn same(exported: &[Value], queried: &[Value]) {
    assert_eq!(exported.len(), queried.len());
    for (line, event) in exported.iter().zip(queried) {
        for (member, value) in event.as_object().expect("an object") {
            assert_eq!(line[member], *value, "{member} of {line}");
        }
        // It is what `schema/events.json` is made from, and the cursor.
        let mut plain = line.clone();
        plain.as_object_mut().expect("an object").remove("cursor");
        let read: Event = serde_json::from_value(plain.clone()).expect("an event");
        assert_eq!(serde_json::to_value(read).expect("JSON"), plain);
    }
}

fn cursor(line: &Value) -> &str {
    line["cursor"].as_str().expect("a cursor")
}

#[test]
fn an_export_is_what_the_query_tells_and_can_be_put_together_from_parts() {
    let seed = std::process::id() as usize;
    eprintln!("seed {seed}");
    let server = Server::start();
    let admin = server.admin();
    for n in 0..120 {
        admin.capture(&format!("l{n}@example.test"));
    }
    let lead = admin.capture("last@example.test");
    let all = lines(&admin, "");
    assert!(all.len() > 400, "several pages: {}", all.len());
    same(&all, &queried(&admin, ""));
    for (parameters, filter) in [
        ("?kinds=STAGE_CHANGED,CYCLE_OPENED", "kinds: [\"STAGE_CHANGED\", \"CYCLE_OPENED\"]".to_owned()),
        ("?to=INQUIRY&actors=USER", "to: [INQUIRY], actors: [USER]".to_owned()),
        ("?streams=SETUP", "streams: [SETUP]".to_owned()),
        ("?kinds=CHARTER_SIGNED", "kinds: [\"CHARTER_SIGNED\"]".to_owned()),
        (&format!("?lead={}", lead["uuid"].as_str().expect("text")), format!("lead: {}", lead["id"])),
    ] {
        same(&lines(&admin, parameters), &queried(&admin, &format!(", filter: {{{filter}}}")));
    }
    // Cut anywhere, the parts are the whole.
    for at in [0, 1, seed % all.len(), 199, 200, all.len() - 1] {
        let before = lines(&admin, &format!("?until={}", cursor(&all[at])));
        let after = lines(&admin, &format!("?after={}", cursor(&all[at])));
        assert_eq!((before.len(), after.len()), (at + 1, all.len() - at - 1));
        assert_eq!([before, after].concat(), all, "cut after {at}");
    }
    let none = format!("?after={}&until={}", cursor(&all[9]), cursor(&all[3]));
    assert_eq!(lines(&admin, &none), [] as [Value; 0]);

    register(&admin, "dwh", json!({"kinds": ["LEAD_CAPTURED"]}));
    let input = json!({"consumer": "dwh", "upTo": cursor(&all[200])});
    admin.mutate("ackEvents", "AckEventsInput", input, "advanced");
    let captured = all[201..].iter().filter(|line| line["body"]["fact"]["kind"] == "LEAD_CAPTURED").cloned();
    assert_eq!(lines(&admin, "?consumer=dwh"), captured.collect::<Vec<_>>());
}

#[test]
fn what_an_export_cannot_be_is_refused_with_a_word_of_why() {
    let server = Server::start();
    let admin = server.admin();
    register(&admin, "crm", json!({}));
    let after = admin.query("{ feedHead }", json!({}))["feedHead"].as_str().expect("a cursor").to_owned();
    let blind = server.token("admin", &["leads:write"]);
    for (query, status, word) in [
        ("?kind=STAGE_CHANGED".to_owned(), 400, "there are after"),
        ("?kinds=STAGE_CHANGD".to_owned(), 400, "nearest: STAGE_CHANGED"),
        ("?to=MLQ".to_owned(), 400, "none of ANONYMOUS"),
        ("?lead=x".to_owned(), 400, "kind Lead"),
        ("?kinds=STAGE_CHANGED&kinds=CLOCK_CHANGED".to_owned(), 400, "given twice"),
        (format!("?consumer=crm&after={after}"), 400, "after or consumer"),
        ("?consumer=crm&to=MQL".to_owned(), 400, "filter or consumer"),
        ("?consumer=none".to_owned(), 404, "no consumer"),
    ] {
        let (found, text) = admin.get(&format!("/events.ndjson{query}"));
        assert!(found == status && text.contains(word) && text.len() < 1_000, "{query}: {found} {text}");
    }
    let (status, text) = blind.get("/events.ndjson");
    assert!(status == 403 && text.contains("leads:read"), "{status} {text}");
    assert_eq!(server.api("hf_no").get("/events.ndjson").0, 401);
}

#[test]
fn an_export_while_others_write_ends_and_goes_on_without_loss() {
    let server = Server::start();
    let admin = server.admin();
    admin.capture("first@example.test");
    let stop = AtomicBool::new(false);
    let exported = std::thread::scope(|scope| {
        for writer in 0..3 {
            let (api, stop) = (server.admin(), &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    api.capture(&format!("w{writer}-{n}@example.test"));
                }
            });
        }
        let (mut all, mut parts) = (lines(&admin, ""), 0);
        while parts < 20 || all.len() < 300 {
            all.extend(lines(&admin, &format!("?after={}", cursor(all.last().expect("an event")))));
            parts += 1;
        }
        stop.store(true, Ordering::Relaxed);
        all
    });
    let rest = lines(&admin, &format!("?after={}", cursor(exported.last().expect("an event"))));
    assert_eq!([exported, rest].concat(), lines(&admin, ""));
}

#[test]
fn an_export_goes_on_at_the_pace_of_its_budget() {
    let budget =
        [("HANDFAST__EDGE__RATE__TOKEN_PER_SECOND", "1000"), ("HANDFAST__EDGE__RATE__TOKEN_BURST", "1000")];
    let server = Server::configured(&budget);
    let admin = server.admin();
    for n in 0..75 {
        admin.capture(&format!("l{n}@example.test"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let began = std::time::Instant::now();
    let mut total = 0;
    for _ in 0..3 {
        // To begin is refused while there is nothing left, as any request is.
        let text = eventually(10, "the budget lets it begin", || {
            let (status, text) = admin.get("/events.ndjson");
            assert!(status == 200 || status == 429, "{status} {text}");
            (status == 200).then_some(text)
        });
        total += parsed(&text).len();
    }
    // 400 for each page of 200, of 1000 a second after the burst.
    let pages = 3 * (total / 3).div_ceil(200);
    let least = std::time::Duration::from_millis(pages as u64 * 400)
        .saturating_sub(std::time::Duration::from_secs(1));
    assert!(began.elapsed() >= least, "{pages} pages in {:?}", began.elapsed());
}

#[test]
fn the_command_line_writes_a_file_and_takes_it_up_again_where_it_stopped() {
    let server = Server::start();
    let admin = server.admin();
    for n in 0..90 {
        admin.capture(&format!("l{n}@example.test"));
    }
    let run = |args: &[&str]| {
        let output = server.cli(&[&["export", "events"], args].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let all = lines(&admin, "");
    let (code, out, told) = run(&[]);
    assert_eq!((code, parsed(&out)), (Some(0), all.clone()));
    assert!(
        told.contains(&format!("{} events; go on with --after {}", all.len(), cursor(&all[all.len() - 1]))),
        "{told}"
    );

    let file = server.dir.path().join("events.ndjson");
    let path = file.to_str().expect("a path");
    let read = || parsed(&std::fs::read_to_string(&file).expect("the file"));
    let (code, out, told) = run(&["--out", path, "--until", cursor(&all[40])]);
    assert_eq!((code, out.as_str(), read()), (Some(0), "", all[..41].to_vec()), "{told}");
    let (code, _, told) = run(&["--out", path]);
    assert!(code == Some(5) && told.contains("--resume"), "{code:?} {told}");
    // Half a line is what a crash leaves.
    let mut half = std::fs::read(&file).expect("the file");
    half.truncate(half.len() - 30);
    std::fs::write(&file, half).expect("cut");
    let (code, _, told) = run(&["--out", path, "--resume"]);
    assert_eq!((code, read()), (Some(0), all.clone()), "{told}");
    admin.capture("more@example.test");
    run(&["--out", path, "--resume"]);
    assert_eq!(read(), lines(&admin, ""));
    let (code, _, told) = run(&["--after", "nonsense"]);
    assert!(code == Some(2) && told.contains("CURSOR_INVALID"), "{code:?} {told}");

    register(&admin, "dwh", json!({"kinds": ["LEAD_CAPTURED"]}));
    let of_consumer = server.dir.path().join("captured.ndjson");
    let args = ["--consumer", "dwh", "--ack", "--out", of_consumer.to_str().expect("a path")];
    assert_eq!(run(&args).0, Some(0));
    assert_eq!(parsed(&std::fs::read_to_string(&of_consumer).expect("the file")).len(), 91);
    let lag = admin.query("{ consumer(key: \"dwh\") { lag { events } } }", json!({}));
    assert_eq!(lag["consumer"]["lag"]["events"], "0");
    assert_eq!(run(&["--consumer", "dwh"]).1, "", "nothing is left");
}
