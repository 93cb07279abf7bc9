//! Named consumers as integrators use them: they crash, come back, go on elsewhere, and put aside what they cannot process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};

use handfast_tests::{Api, Server, eventually, on_postgres};
use serde_json::{Value, json};

const CONSUMER: &str = "key cursor lag { events atLeast oldestAt ageMs } openDeadLetters ackedAt";

/// Registers a consumer with a filter, at the beginning of the log.
pub fn register(api: &Api, key: &str, filter: Value) -> Value {
    let input = json!({"key": key, "filter": filter, "start": {"at": "BEGINNING"}});
    let selection = format!("created consumer {{ {CONSUMER} }}");
    api.mutate("registerConsumer", "RegisterConsumerInput", input, &selection)
}

fn consumer(api: &Api, key: &str) -> Value {
    let document = format!("query($key: String!) {{ consumer(key: $key) {{ {CONSUMER} }} }}");
    api.query(&document, json!({"key": key}))["consumer"].clone()
}

fn ack(api: &Api, key: &str, cursor: &Value) -> Value {
    let input = json!({"consumer": key, "upTo": cursor});
    api.attempt("ackEvents", "AckEventsInput", input, &format!("advanced consumer {{ {CONSUMER} }}"))
}

fn page(api: &Api, key: &str, first: i32) -> Value {
    let document = "query($key: String, $first: Int!) { events(consumer: $key, first: $first) \
                    { events { id cursor kind } cursor atHead } }";
    api.query(document, json!({"key": key, "first": first}))["events"].clone()
}

fn events(page: &Value) -> &[Value] {
    page["events"].as_array().map_or(&[], Vec::as_slice)
}

fn head(api: &Api) -> Value {
    api.query("{ feedHead }", json!({}))["feedHead"].clone()
}

/// The cursors of the whole log.
fn log(api: &Api) -> Vec<Value> {
    let document = "query($after: FeedCursor) { events(after: $after, first: 500) { events { id cursor kind } cursor atHead } }";
    let (mut all, mut after) = (vec![], Value::Null);
    loop {
        let page = api.query(document, json!({"after": after}))["events"].take();
        all.extend(events(&page).iter().cloned());
        after = page["cursor"].clone();
        if page["atHead"] == true {
            return all;
        }
    }
}

/// Ids of the events that one consumer finds until it has all; it crashes with some of its pages in hand.
fn work(api: &Api, key: &str, seed: u64, seen: &mut BTreeMap<String, usize>) {
    let mut random = seed;
    loop {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let page = page(api, key, 1 + (random >> 33) as i32 % 7);
        for event in events(&page) {
            *seen.entry(event["id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
        // Processed and not acknowledged: what a crash leaves.
        if (random >> 40).is_multiple_of(3) {
            continue;
        }
        assert_eq!(ack(api, key, &page["cursor"])["errors"], json!([]));
        if page["atHead"] == true {
            return;
        }
    }
}

#[test]
fn a_consumer_that_crashes_between_processing_and_acknowledging_loses_nothing() {
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let server = Server::start();
    let admin = server.admin();
    let filter = json!({"kinds": ["STAGE_CHANGED", "CYCLE_OPENED"]});
    assert_eq!(register(&admin, "crm", filter.clone())["created"], true);
    for n in 0..25 {
        admin.capture(&format!("l{n}@example.test"));
    }
    let mut seen = BTreeMap::new();
    work(&admin, "crm", seed, &mut seen);
    let wanted: Vec<String> = log(&admin)
        .iter()
        .filter(|event| ["STAGE_CHANGED", "CYCLE_OPENED"].iter().any(|kind| event["kind"] == *kind))
        .map(|event| event["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(wanted.len(), 50);
    let wanted: BTreeSet<String> = wanted.into_iter().collect();
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    assert!(seen.values().any(|times| *times > 1), "a crash brought something again");
    assert_eq!(consumer(&admin, "crm")["lag"]["events"], "0");

    // A restart keeps it, and a program that registers at each start moves nothing.
    let (before, (dir, token)) = (consumer(&admin, "crm"), server.kill());
    let server = Server::start_in(dir, Some(token));
    let admin = server.admin();
    let again = register(&admin, "crm", filter);
    assert_eq!((&again["created"], &again["consumer"]["cursor"]), (&json!(false), &before["cursor"]));
    admin.capture("after@example.test");
    // On PostgreSQL the killed node's lease must end before another numbers the log.
    let found = eventually(30, "the new events come", || {
        let found = page(&admin, "crm", 10);
        (!events(&found).is_empty()).then_some(found)
    });
    let kinds: Vec<Value> = events(&found).iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["CYCLE_OPENED", "STAGE_CHANGED"]);
}

#[test]
fn acknowledgements_go_forward_and_lag_is_what_is_left() {
    let server = Server::start();
    let admin = server.admin();
    register(&admin, "all", json!({}));
    register(&admin, "stages", json!({"to": ["INQUIRY"]}));
    let before = log(&admin).len();
    for n in 0..40 {
        admin.capture(&format!("l{n}@example.test"));
    }
    // Right after the burst.
    let (all, stages) = (consumer(&admin, "all"), consumer(&admin, "stages"));
    let log = log(&admin);
    assert!(log.len() >= before + 120, "{} events", log.len());
    assert_eq!(all["lag"]["events"], log.len().to_string());
    assert_eq!((&stages["lag"]["events"], &stages["lag"]["atLeast"]), (&json!("40"), &json!(false)));
    assert!(stages["lag"]["oldestAt"].is_string() && all["ackedAt"].is_null(), "{all} {stages}");

    let cursor = |at: usize| &log[at]["cursor"];
    let moved = |answer: &Value| (answer["advanced"].clone(), answer["consumer"]["cursor"].clone());
    for (at, advanced, stands) in
        [(10, true, 10), (4, false, 10), (10, false, 10), (30, true, 30), (11, false, 30)]
    {
        let answer = ack(&admin, "all", cursor(at));
        assert_eq!(moved(&answer), (json!(advanced), cursor(stands).clone()), "{at}");
        assert_eq!(answer["consumer"]["lag"]["events"], (log.len() - 1 - stands).to_string());
    }
    assert!(consumer(&admin, "all")["ackedAt"].is_string());
    // Tried, and not done; done once, whatever is asked twice.
    let input = json!({"consumer": "all", "upTo": cursor(50), "dryRun": true});
    let tried = admin.mutate("ackEvents", "AckEventsInput", input, "advanced");
    assert_eq!(
        (&tried["advanced"], consumer(&admin, "all")["cursor"].clone()),
        (&json!(true), cursor(30).clone())
    );
    for _ in 0..2 {
        let input = json!({"consumer": "all", "upTo": cursor(60), "idempotencyKey": "k"});
        assert_eq!(admin.mutate("ackEvents", "AckEventsInput", input, "advanced")["advanced"], true);
    }
    // Acknowledgements are no events.
    assert_eq!(head(&admin), log[log.len() - 1]["cursor"]);

    // Back on purpose, and only back.
    let rewind = |to: Value| {
        let input = json!({"consumer": "all", "to": to});
        admin.attempt("rewindConsumer", "RewindConsumerInput", input, "consumer { cursor }")
    };
    let ahead = rewind(json!({"after": cursor(61)}));
    assert_eq!(
        (&ahead["errors"][0]["code"], &ahead["errors"][0]["path"]),
        (&json!("VALIDATION"), &json!(["input", "to"]))
    );
    assert_eq!(rewind(json!({"after": cursor(20)}))["consumer"]["cursor"], *cursor(20));
    assert_eq!(events(&page(&admin, "all", 1))[0]["cursor"], *cursor(21));
    rewind(json!({"at": "BEGINNING"}));
    assert_eq!(events(&page(&admin, "all", 1))[0]["cursor"], *cursor(0));
    let told = "query($after: FeedCursor) { events(after: $after) { events { payload } } }";
    let told = admin.query(told, json!({"after": cursor(log.len() - 1)})).to_string();
    assert_eq!(told.matches("CONSUMER").count(), 2, "two steps back are in the log: {told}");

    let input = json!({"consumer": "all", "idempotencyKey": "k"});
    for gone in [json!({"key": "all"}), Value::Null] {
        let removed =
            admin.mutate("removeConsumer", "RemoveConsumerInput", input.clone(), "consumer { key }");
        assert_eq!(removed["consumer"], gone);
    }
    assert_eq!(consumer(&admin, "all"), Value::Null);
}

#[test]
fn a_cursor_that_is_none_of_this_log_is_refused_at_every_door_with_its_own_code() {
    let (server, other) = (Server::start(), Server::start());
    let admin = server.admin();
    register(&admin, "crm", json!({}));
    admin.capture("here@example.test");
    let good = head(&admin);
    let mut flipped = good.as_str().expect("a cursor").as_bytes().to_vec();
    flipped[9] ^= 1;
    let flipped = json!(String::from_utf8(flipped).expect("text"));
    let lists = admin.query("{ leads(first: 1) { edges { cursor } } }", json!({}));
    let of_page = lists["leads"]["edges"][0]["cursor"].clone();
    let wrongs = [
        (flipped, "CURSOR_INVALID"),
        (json!(""), "CURSOR_INVALID"),
        (of_page, "CURSOR_INVALID"),
        (head(&other.admin()), "CURSOR_EPOCH_CHANGED"),
    ];
    for (wrong, code) in &wrongs {
        let variables = json!({"after": wrong});
        let query =
            admin.error("query($after: FeedCursor) { events(after: $after) { cursor } }", variables.clone());
        let mut codes = vec![query["extensions"]["code"].clone()];
        for field in ["leadEvents", "leadStageChanged"] {
            let query = format!("subscription($after: FeedCursor) {{ {field}(after: $after) {{ id }} }}");
            let first = stream(&admin, &json!({"query": query, "variables": variables}), None, 1).remove(0);
            codes.push(first["errors"][0]["extensions"]["code"].clone());
        }
        for (field, kind, input) in [
            ("ackEvents", "AckEventsInput", json!({"consumer": "crm", "upTo": wrong})),
            ("rewindConsumer", "RewindConsumerInput", json!({"consumer": "crm", "to": {"after": wrong}})),
            ("registerConsumer", "RegisterConsumerInput", json!({"key": "new", "start": {"after": wrong}})),
            (
                "rejectEvent",
                "RejectEventInput",
                json!({"consumer": "crm", "event": {"cursor": wrong}, "reason": "r"}),
            ),
        ] {
            let answer = admin.attempt(field, kind, input, "__typename");
            codes.push(answer["errors"][0]["code"].clone());
        }
        // An empty parameter is none.
        for parameter in ["after", "until"].iter().filter(|_| wrong != "") {
            let (status, text) =
                admin.get(&format!("/events.ndjson?{parameter}={}", wrong.as_str().expect("text")));
            assert_eq!(status, 400, "{text}");
            codes.push(
                serde_json::from_str::<Value>(&text).expect("JSON")["errors"][0]["extensions"]["code"]
                    .clone(),
            );
        }
        assert!(codes.iter().all(|found| found == code), "{wrong} should be {code}: {codes:?}");
    }
    assert_eq!(consumer(&admin, "crm")["lag"]["events"], log(&admin).len().to_string(), "nothing moved");
    assert_eq!(admin.query("{ consumer(key: \"new\") { key } }", json!({}))["consumer"], Value::Null);
}

/// A copy of the database that was put back knows less than whoever read on meanwhile.
#[test]
fn an_acknowledgement_beyond_the_end_of_the_log_is_refused() {
    if on_postgres() {
        // The files of a database that is not ours are not copied.
        return;
    }
    let server = Server::start();
    register(&server.admin(), "crm", json!({}));
    let (dir, token) = server.stop();
    let copy = tempfile::tempdir().expect("a directory");
    std::fs::copy(dir.path().join("handfast.db"), copy.path().join("db")).expect("a copy");
    let server = Server::start_in(dir, Some(token));
    server.admin().capture("second@example.test");
    let ahead = head(&server.admin());
    let (dir, token) = server.stop();
    // With its head mark the server would not start on what was put back.
    for name in ["handfast.db-wal", "handfast.db-shm", "head-mark"] {
        drop(std::fs::remove_file(dir.path().join(name)));
    }
    std::fs::copy(copy.path().join("db"), dir.path().join("handfast.db")).expect("put back");
    let server = Server::start_in(dir, Some(token));
    let admin = server.admin();
    assert_eq!(ack(&admin, "crm", &ahead)["errors"][0]["code"], "CURSOR_AHEAD");
    let (status, text) = admin.get(&format!("/events.ndjson?after={}", ahead.as_str().expect("text")));
    assert!(status == 400 && text.contains("CURSOR_AHEAD"), "{status} {text}");
}

#[test]
fn a_consumer_is_its_owners_and_nobody_elses() {
    let server = Server::start();
    let admin = server.admin();
    let (mia, sam) = (server.user("mia", "marketing"), server.user("sam", "sales"));
    register(&mia, "mias", json!({}));
    let cursor = head(&mia);
    let event = log(&mia)[0]["id"].clone();
    let tries = [
        ("ackEvents", "AckEventsInput", json!({"consumer": "mias", "upTo": cursor})),
        ("rewindConsumer", "RewindConsumerInput", json!({"consumer": "mias", "to": {"at": "BEGINNING"}})),
        (
            "rejectEvent",
            "RejectEventInput",
            json!({"consumer": "mias", "event": {"id": event}, "reason": "r"}),
        ),
        ("resolveDeadLetter", "ResolveDeadLetterInput", json!({"consumer": "mias", "event": event})),
        ("removeConsumer", "RemoveConsumerInput", json!({"consumer": "mias"})),
    ];
    for (field, kind, input) in &tries {
        let mut absent = input.clone();
        absent["consumer"] = json!("nobodys");
        let foreign = sam.attempt(field, kind, input.clone(), "__typename");
        assert_eq!(foreign["errors"][0]["code"], "NOT_FOUND", "{field}: {foreign}");
        assert_eq!(foreign, sam.attempt(field, kind, absent, "__typename"), "as one that never was");
    }
    let taken = sam.attempt("registerConsumer", "RegisterConsumerInput", json!({"key": "mias"}), "created");
    assert_eq!(taken["errors"][0]["code"], "ALREADY_EXISTS");
    assert_eq!(consumer(&sam, "mias"), Value::Null);
    let read = "{ events(consumer: \"mias\") { cursor } }";
    assert_eq!(sam.error(read, json!({}))["extensions"]["code"], "NOT_FOUND");
    assert_eq!(sam.get("/events.ndjson?consumer=mias").0, 404);
    let stream =
        stream(&sam, &json!({"query": "subscription { leadEvents(consumer: \"mias\") { id } }"}), None, 1);
    assert_eq!(stream[0]["errors"][0]["extensions"]["code"], "NOT_FOUND");

    register(&sam, "sams", json!({}));
    let keys = |api: &Api, first: i32| {
        let document = "query($first: Int, $after: String) { eventConsumers(first: $first, after: $after) \
                        { edges { node { key user { key } } } pageInfo { endCursor hasNextPage } } }";
        let (mut keys, mut after) = (vec![], Value::Null);
        loop {
            let page = api.query(document, json!({"first": first, "after": after}))["eventConsumers"].take();
            keys.extend(
                page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"]["key"].clone()),
            );
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                return keys;
            }
        }
    };
    assert_eq!((keys(&mia, 5), keys(&sam, 5)), (vec![json!("mias")], vec![json!("sams")]));
    assert_eq!(
        (keys(&admin, 1), keys(&admin, 5)),
        (vec![json!("sams"), json!("mias")], vec![json!("sams"), json!("mias")])
    );
    assert_eq!(ack(&admin, "mias", &cursor)["errors"], json!([]), "the administrator may");
}

#[test]
fn what_cannot_be_processed_is_put_aside_and_dealt_with_later() {
    let server = Server::start();
    let admin = server.admin();
    register(&admin, "crm", json!({"kinds": ["LEAD_CAPTURED"]}));
    for n in 0..5 {
        admin.capture(&format!("l{n}@example.test"));
    }
    let found = page(&admin, "crm", 10);
    let reject = |event: Value, reason: &str| {
        let input = json!({"consumer": "crm", "event": event, "reason": reason});
        admin.attempt("rejectEvent", "RejectEventInput", input, "deadLetter { eventId reason resolvedAt }")
    };
    for event in events(&found) {
        assert_eq!(reject(json!({"id": event["id"]}), "no such account")["errors"], json!([]));
        // By its cursor it is the same, and stays as it was.
        let again = reject(json!({"cursor": event["cursor"]}), "something else");
        assert_eq!(
            again["deadLetter"],
            json!({"eventId": event["id"], "reason": "no such account", "resolvedAt": null})
        );
    }
    assert_eq!(ack(&admin, "crm", &found["cursor"])["consumer"]["openDeadLetters"], "5");
    let absent = json!({"id": "01a217bd-0000-7000-8000-000000000000"});
    for (event, reason, code) in
        [(absent, "r", "NOT_FOUND"), (json!({"id": events(&found)[0]["id"]}), " ", "VALIDATION")]
    {
        assert_eq!(reject(event, reason)["errors"][0]["code"], code);
    }

    let letters = |resolved: Value| {
        let document = "query($resolved: Boolean, $after: String) { consumer(key: \"crm\") { deadLetters(resolved: $resolved, \
                        first: 2, after: $after) { edges { node { eventId rejectedBy { key } resolvedBy { key } \
                        event { id kind leadId } } } pageInfo { hasNextPage endCursor } } } }";
        let (mut all, mut after) = (vec![], Value::Null);
        loop {
            let answer = admin.query(document, json!({"resolved": resolved, "after": after}));
            let page = &answer["consumer"]["deadLetters"];
            all.extend(page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                return all;
            }
        }
    };
    let all = letters(Value::Null);
    assert_eq!(all.len(), 5);
    for (letter, event) in all.iter().zip(events(&found)) {
        assert_eq!((&letter["eventId"], &letter["event"]["id"]), (&event["id"], &event["id"]));
        assert_eq!(
            (&letter["event"]["kind"], &letter["rejectedBy"]["key"]),
            (&json!("LEAD_CAPTURED"), &json!("admin"))
        );
    }
    for _ in 0..2 {
        let input = json!({"consumer": "crm", "event": all[0]["eventId"]});
        let done =
            admin.mutate("resolveDeadLetter", "ResolveDeadLetterInput", input, "deadLetter { resolvedAt }");
        assert!(done["deadLetter"]["resolvedAt"].is_string());
    }
    assert_eq!((letters(json!(true)).len(), letters(json!(false)).len()), (1, 4));
    assert_eq!(reject(json!({"id": all[0]["eventId"]}), "again")["deadLetter"]["reason"], "again");
    assert_eq!((letters(json!(true)).len(), letters(json!(false)).len()), (0, 5));
}

/// The first messages of an event stream.
pub fn stream(api: &Api, body: &Value, last: Option<&str>, count: usize) -> Vec<Value> {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.timeout_global(Some(std::time::Duration::from_secs(30))).build().into();
    let mut asked = agent.post(format!("{}/graphql/stream", api.url)).header("accept", "text/event-stream");
    asked = asked.header("authorization", format!("Bearer {}", api.token));
    if let Some(last) = last {
        asked = asked.header("last-event-id", last);
    }
    let answer = asked.send_json(body).expect("an answer");
    let lines = BufReader::new(answer.into_body().into_reader()).lines().map_while(Result::ok);
    let told = lines.map(|line| line.strip_prefix("data:").unwrap_or(&line).to_owned());
    told.filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter(Value::is_object)
        .take(count)
        .collect()
}

#[test]
fn subscriptions_go_on_after_what_was_acknowledged_with_the_consumers_filter() {
    let server = Server::start();
    let admin = server.admin();
    register(&admin, "all", json!({}));
    register(&admin, "stages", json!({"kinds": ["STAGE_CHANGED"], "to": ["INQUIRY"]}));
    for n in 0..6 {
        admin.capture(&format!("l{n}@example.test"));
    }
    let log = log(&admin);
    let changes: Vec<&Value> = log.iter().filter(|event| event["kind"] == "STAGE_CHANGED").collect();
    ack(&admin, "all", &log[7]["cursor"]);
    ack(&admin, "stages", &changes[1]["cursor"]);
    let subscribe = |field: &str, args: &str, last: Option<&str>, count: usize| -> Vec<Value> {
        let query = format!("subscription {{ {field}({args}) {{ cursor }} }}");
        let told = stream(&admin, &json!({"query": query}), last, count);
        told.iter()
            .map(|one| match one["errors"][0].is_object() {
                true => one["errors"][0]["extensions"]["code"].clone(),
                false => one["data"][field]["cursor"].clone(),
            })
            .collect()
    };
    let cursors = |events: &[&Value]| events.iter().map(|event| event["cursor"].clone()).collect::<Vec<_>>();
    let rest: Vec<&Value> = log[8..12].iter().collect();
    assert_eq!(subscribe("leadEvents", "consumer: \"all\"", None, 4), cursors(&rest));
    assert_eq!(subscribe("leadEvents", "consumer: \"stages\"", None, 4), cursors(&changes[2..]));
    assert_eq!(subscribe("leadStageChanged", "consumer: \"stages\"", None, 4), cursors(&changes[2..]));
    // Where a connection was counts more; the filter stays.
    let last = changes[3]["cursor"].as_str();
    assert_eq!(subscribe("leadStageChanged", "consumer: \"stages\"", last, 2), cursors(&changes[4..]));
    for args in ["consumer: \"stages\", filter: {to: [MQL]}", "consumer: \"none\"", "consumer: \"all\""] {
        let code = if args.contains("none") { "NOT_FOUND" } else { "VALIDATION" };
        assert_eq!(subscribe("leadStageChanged", args, None, 1), [json!(code)], "{args}");
    }
    let both = format!("consumer: \"stages\", after: \"{}\"", log[0]["cursor"].as_str().expect("text"));
    assert_eq!(subscribe("leadEvents", &both, None, 1), [json!("VALIDATION")]);
    let unknown = admin.error("{ events(filter: {kinds: [\"STAGE_CHANGD\"]}) { cursor } }", json!({}));
    assert!(
        unknown["message"].as_str().is_some_and(|text| text.contains("nearest: STAGE_CHANGED")),
        "{unknown}"
    );
}

#[test]
fn what_is_acknowledged_on_one_node_is_done_with_on_the_other() {
    if !on_postgres() {
        return;
    }
    let first = Server::start();
    let second = first.beside();
    let (here, there) = (first.admin(), second.admin());
    register(&here, "crm", json!({}));
    let mut seen = BTreeMap::new();
    for n in 0..20 {
        let (writer, reader) = if n % 2 == 0 { (&here, &there) } else { (&there, &here) };
        writer.capture(&format!("n{n}@example.test"));
        // The cursor may be newer than what this node has heard of.
        let found = page(writer, "crm", 500);
        for event in events(&found) {
            *seen.entry(event["id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
        let acked = ack(reader, "crm", &found["cursor"]);
        assert_eq!((&acked["errors"], &acked["advanced"]), (&json!([]), &json!(true)), "{n}");
        assert_eq!(events(&page(reader, "crm", 500)), [] as [Value; 0], "{n}");
    }
    let log = log(&here);
    assert_eq!(seen.len(), log.len());
    assert!(seen.values().all(|times: &usize| *times == 1), "everything once: {seen:?}");
    eventually(5, "both nodes say the same", || {
        let lag = |api: &Api| consumer(api, "crm")["lag"]["events"].clone();
        (lag(&here) == "0" && lag(&there) == "0").then_some(())
    });
}
