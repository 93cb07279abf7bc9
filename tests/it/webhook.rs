//! Webhooks, from the outside: what receivers get, how they verify it, and what becomes of what they do not take.

pub mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use handfast_tests::{Api, Server, clients, eventually, on_postgres, root};
use receiver::{Got, Receiver, Say, nobody};
use serde_json::{Value, json};

/// Receivers stand on this machine, without TLS.
pub const HERE: [(&str, &str); 2] = [
    ("HANDFAST__WEBHOOKS__ALLOW_HTTP", "true"),
    ("HANDFAST__WEBHOOKS__ALLOW_NETWORKS", "[\"127.0.0.1/32\"]"),
];

/// A place in the lane of an endpoint that hangs is soon free again.
const IMPATIENT: [(&str, &str); 3] = [HERE[0], HERE[1], (TIMEOUT, "500")];

const SCHEDULE: &str = "HANDFAST__WEBHOOKS__SCHEDULE_SECONDS";
const TIMEOUT: &str = "HANDFAST__WEBHOOKS__TIMEOUT_MS";

pub fn server(more: &[(&'static str, &str)]) -> Server {
    Server::configured(&[&HERE, more].concat())
}

pub fn create(api: &Api, url: &str, more: Value) -> Value {
    let mut input = json!({ "url": url });
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let made =
        api.mutate("createWebhook", "CreateWebhookInput", input, "webhook { id secret enabled position }");
    made["webhook"].clone()
}

fn update(api: &Api, webhook: &Value, more: Value) {
    let mut input = json!({"webhook": webhook["id"]});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    api.mutate("updateWebhook", "UpdateWebhookInput", input, "webhook { id }");
}

/// The webhook with how it fares.
fn state(api: &Api, webhook: &Value) -> Value {
    let document = "query($id: ID!) { webhook(id: $id) { enabled disabledReason disabledMessage waiting dead lag failingSince \
                    oldSecretsUntil secret lastFailure { result httpStatus cause } } }";
    api.query(document, json!({"id": webhook["id"]}))["webhook"].clone()
}

/// Its deliveries in some states, the newest first.
fn deliveries(api: &Api, webhook: &Value, states: Value) -> Vec<Value> {
    let document = "query($id: ID!, $states: [DeliveryState!], $after: String) { webhook(id: $id) { \
        deliveries(states: $states, first: 100, after: $after) { pageInfo { hasNextPage endCursor } edges { node { \
        id eventId kind cursor state replayed attempts nextAttemptAt createdAt \
        tried { at result httpStatus cause durationMs } } } } } }";
    let (mut found, mut after) = (vec![], Value::Null);
    loop {
        let variables = json!({"id": webhook["id"], "states": states, "after": after});
        let page = api.query(document, variables)["webhook"]["deliveries"].take();
        found.extend(page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()));
        if page["pageInfo"]["hasNextPage"] != true {
            return found;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

fn capture(api: &Api, count: usize, name: &str) {
    for batch in (0..count).collect::<Vec<_>>().chunks(50) {
        let leads: Vec<Value> = batch
            .iter()
            .map(|n| json!({"email": format!("{name}-{n}@example.test"), "source": "test"}))
            .collect();
        api.mutate("captureLeads", "CaptureLeadsInput", json!({ "leads": leads }), "results { created }");
    }
}

/// All events of some kinds in the order of the feed.
fn events(api: &Api, kinds: &[&str]) -> Vec<Value> {
    let document = "query($after: FeedCursor, $kinds: [String!]) { events(after: $after, first: 500, filter: {kinds: $kinds}) \
                    { events { id cursor kind version ordinal payload } cursor atHead } }";
    let (mut found, mut after) = (vec![], Value::Null);
    loop {
        let page = api.query(document, json!({"after": after, "kinds": kinds}))["events"].take();
        found.extend(page["events"].as_array().into_iter().flatten().cloned());
        if page["atHead"] == true {
            return found;
        }
        after = page["cursor"].clone();
    }
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["id"].as_str()).collect()
}

/// What the reference library of a language says to deliveries: `ok`, or why not.
fn verify(mut library: Command, deliveries: &[(&str, &Got, &str)]) -> Vec<String> {
    let mut child = library.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let (mut say, hear) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    for (secret, got, body) in deliveries {
        writeln!(say, "{}", json!({"secret": secret, "headers": got.headers, "body": body}))
            .expect("it listens");
    }
    drop(say);
    let said = BufReader::new(hear).lines().map_while(Result::ok).collect();
    drop(child.wait());
    said
}

/// The reference libraries that are installed.
fn libraries() -> Vec<Command> {
    let mut found = vec![];
    if let Some(folder) = clients() {
        let mut node = Command::new("node");
        node.arg("webhook.mjs").current_dir(folder);
        found.push(node);
    }
    let python = std::env::var_os("HANDFAST_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| root().join("target/clients-python/bin/python3"));
    if python.exists() {
        let mut command = Command::new(python);
        command.arg("webhook.py").current_dir(root().join("tests/clients"));
        found.push(command);
    } else {
        eprintln!("skipped for Python: {} is missing; `cargo xtask test` makes it", python.display());
    }
    found
}

#[test]
fn the_reference_libraries_verify_what_comes_and_refuse_what_was_touched() {
    let (server, receiver) = (server(&[]), Receiver::good());
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    let secret = webhook["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    capture(&api, 1, "ada");
    let got = receiver.await_got(1).remove(0);
    let rotate = json!({"webhook": webhook["id"]});
    let rotated = api.mutate("rotateWebhookSecret", "RotateWebhookSecretInput", rotate, "webhook { secret }");
    let renewed = rotated["webhook"]["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(renewed, secret);
    assert_eq!(state(&api, &webhook)["oldSecretsUntil"].as_array().map(Vec::len), Some(1));
    capture(&api, 1, "bob");
    let both = receiver.await_got(2).remove(1);
    assert_eq!(both.headers["webhook-signature"].split(' ').count(), 2, "two secrets sign meanwhile");
    let touched = got.body.replacen('1', "2", 1);
    for library in libraries() {
        let name = format!("{library:?}");
        let asked = [
            (secret.as_str(), &got, got.body.as_str()),
            (&secret, &got, &touched),
            (&renewed, &got, &got.body),
            (&secret, &both, &both.body),
            (&renewed, &both, &both.body),
        ];
        let said: Vec<bool> = verify(library, &asked).iter().map(|answer| answer == "ok").collect();
        assert_eq!(said, [true, false, false, true, true], "{name}");
    }
}

#[test]
fn an_old_secret_stops_signing_when_its_time_is_over() {
    let (server, receiver) = (server(&[("HANDFAST__WEBHOOKS__OLD_SECRET_SECONDS", "1")]), Receiver::good());
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    let rotate = json!({"webhook": webhook["id"]});
    api.mutate("rotateWebhookSecret", "RotateWebhookSecretInput", rotate, "webhook { id }");
    eventually(10, "the old secret is over", || {
        (state(&api, &webhook)["oldSecretsUntil"] == json!([])).then_some(())
    });
    capture(&api, 1, "ada");
    let got = receiver.await_got(1).remove(0);
    assert_eq!(got.headers["webhook-signature"].split(' ').count(), 1);
}

#[test]
fn a_delivery_is_the_event_of_the_log_with_its_cursor_and_the_headers_that_were_asked_for() {
    let (server, plain, cloud) = (server(&[]), Receiver::good(), Receiver::good());
    let api = server.admin();
    let headers = json!([{"name": "Authorization", "value": "Bearer of-the-receiver"}]);
    create(&api, &plain.url(), json!({"headers": headers, "kinds": ["LEAD_CAPTURED", "STAGE_CHANGED"]}));
    create(&api, &cloud.url(), json!({"format": "CLOUDEVENTS", "kinds": ["STAGE_CHANGED"]}));
    capture(&api, 1, "ada");
    let got = plain.await_got(2);
    let logged = events(&api, &["LEAD_CAPTURED", "STAGE_CHANGED"]);
    for event in &logged {
        let one = got.iter().find(|one| one.id() == event["id"]).expect("each event comes");
        let (told, payload) = (one.json(), event["payload"].as_str().expect("a payload"));
        assert_eq!(told["body"], serde_json::from_str::<Value>(payload).expect("JSON"));
        assert_eq!((&told["cursor"], &told["id"]), (&event["cursor"], &event["id"]));
        assert_eq!((&told["version"], &told["ordinal"]), (&event["version"], &event["ordinal"]));
        assert_eq!(told["stream"], "LEAD");
        assert_eq!(one.headers["authorization"], "Bearer of-the-receiver");
        assert_eq!(one.headers["content-type"], "application/json");
        assert!(!one.body.contains("example.test"), "no personal data: {}", one.body);
    }
    let got = cloud.await_got(1).remove(0);
    let (envelope, stage) = (got.json(), &logged[1]);
    assert_eq!(got.headers["content-type"], "application/cloudevents+json");
    assert_eq!(
        (&envelope["specversion"], &envelope["type"]),
        (&json!("1.0"), &json!("handfast.stage_changed"))
    );
    assert_eq!((&envelope["id"], &envelope["data"]["id"]), (&stage["id"], &stage["id"]));
    assert_eq!(got.id(), stage["id"]);
    assert!(
        envelope["source"].is_string() && envelope["time"].is_string() && envelope["subject"].is_string()
    );
}

#[test]
fn a_request_is_carried_out_once_and_a_dry_run_not_at_all() {
    let (server, receiver) = (server(&[]), Receiver::good());
    let api = server.admin();
    let input = json!({"url": receiver.url(), "dryRun": true});
    let tried = api.mutate("createWebhook", "CreateWebhookInput", input, "webhook { url }");
    assert_eq!(tried["webhook"]["url"], receiver.url());
    assert_eq!(api.query("{ webhooks { id } }", json!({}))["webhooks"], json!([]));
    let input = json!({"url": receiver.url(), "kinds": ["LEAD_CAPTURED"], "idempotencyKey": "once"});
    let make = || api.mutate("createWebhook", "CreateWebhookInput", input.clone(), "webhook { id secret }");
    let webhook = make()["webhook"].clone();
    assert_eq!(make()["webhook"], webhook);
    let input = json!({"webhook": webhook["id"], "idempotencyKey": "test"});
    let test = || api.mutate("testWebhook", "TestWebhookInput", input.clone(), "delivery { id kind }");
    assert_eq!(test(), test());
    let got = receiver.await_got(1);
    assert_eq!(
        (got[0].json()["kind"].clone(), got[0].id()),
        (json!("TEST"), got[0].json()["id"].as_str().unwrap_or_default())
    );
    for (edit, path) in [
        (json!({"kinds": ["STAGE_CHANGE"]}), json!(["input", "kinds", "0"])),
        (
            json!({"headers": [{"name": "a", "value": "1"}, {"name": "A", "value": "2"}]}),
            json!(["input", "headers", "1"]),
        ),
        (json!({"description": "two\nlines"}), json!(["input", "description"])),
    ] {
        let mut input = json!({"webhook": webhook["id"]});
        input.as_object_mut().expect("an object").extend(edit.as_object().cloned().unwrap_or_default());
        let refused = api.attempt("updateWebhook", "UpdateWebhookInput", input, "webhook { id }");
        assert_eq!(
            (&refused["errors"][0]["code"], &refused["errors"][0]["path"]),
            (&json!("VALIDATION"), &path)
        );
    }
    let id = json!({"webhook": webhook["id"]});
    api.mutate("deleteWebhook", "DeleteWebhookInput", id.clone(), "id");
    assert!(state(&api, &webhook).is_null());
    let gone = api.attempt("deleteWebhook", "DeleteWebhookInput", id, "id");
    assert_eq!(gone["errors"][0]["code"], "NOT_FOUND");
}

#[test]
fn an_endpoint_that_is_gone_is_switched_off_and_goes_on_where_it_stood() {
    let (server, receiver) =
        (server(&[(SCHEDULE, "[0, 0, 0, 0]")]), Receiver::start(|_, _| Say::Status(410)));
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    capture(&api, 1, "ada");
    let off = eventually(20, "it is switched off", || {
        Some(state(&api, &webhook)).filter(|state| state["enabled"] == false)
    });
    assert_eq!((&off["disabledReason"], &off["dead"]), (&json!("GONE"), &json!("0")));
    let changed = events(&api, &["SETUP_CHANGED"]);
    assert!(changed.iter().any(|event| event["payload"].to_string().contains("WEBHOOK")), "{changed:?}");
    receiver.answers(|_, _| Say::Status(200));
    receiver.forget();
    capture(&api, 2, "bob");
    let id = json!({"webhook": webhook["id"]});
    let refused = api.attempt("testWebhook", "TestWebhookInput", id, "delivery { id }");
    assert_eq!(refused["errors"][0]["code"], "VALIDATION", "{refused}");
    assert_eq!(receiver.got().len(), 0, "nothing is sent while it is off");
    update(&api, &webhook, json!({"enabled": true}));
    let got = receiver.await_got(3);
    let logged = events(&api, &["LEAD_CAPTURED"]);
    assert_eq!(got.iter().map(Got::id).collect::<BTreeSet<_>>(), ids(&logged).into_iter().collect());
}

#[test]
fn an_endpoint_that_fails_for_long_is_switched_off_with_the_reason() {
    let more = [(SCHEDULE, "[0, 1, 1, 1, 1, 1]"), ("HANDFAST__WEBHOOKS__DISABLE_AFTER_SECONDS", "1")];
    let (server, receiver) = (server(&more), Receiver::start(|_, _| Say::Status(500)));
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({}));
    capture(&api, 1, "ada");
    let off = eventually(30, "it is switched off", || {
        Some(state(&api, &webhook)).filter(|state| state["enabled"] == false)
    });
    assert_eq!(off["disabledReason"], "FAILING");
    let told = off["disabledMessage"].as_str().unwrap_or_default();
    assert!(told.contains("HTTP status 500"), "{told}");
}

#[test]
fn retry_after_makes_a_pause_longer() {
    let answer = |number, _: &Got| match number {
        0 => Say::With(503, "retry-after", "3".into()),
        _ => Say::Status(200),
    };
    let (server, receiver) = (server(&[(SCHEDULE, "[0, 0, 0]")]), Receiver::start(answer));
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    capture(&api, 1, "ada");
    let got = receiver.await_got(2);
    assert!(got[1].at - got[0].at > Duration::from_millis(2_900), "{:?}", got[1].at - got[0].at);
    assert_eq!(got[0].id(), got[1].id(), "a repetition has the same id");
    let done = eventually(10, "it is delivered", || {
        Some(deliveries(&api, &webhook, json!(["DELIVERED"]))).filter(|done| done.len() == 1)
    });
    let tried: Vec<_> =
        done[0]["tried"].as_array().into_iter().flatten().map(|one| &one["httpStatus"]).collect();
    assert_eq!(tried, [503, 200]);
}

#[test]
fn whatever_an_endpoint_does_the_delivery_dies_with_its_cause_and_can_be_sent_again() {
    let more = [(SCHEDULE, "[0, 0]"), (TIMEOUT, "1000")];
    let server = server(&more);
    let api = server.admin();
    let inside = Receiver::good();
    let elsewhere = inside.url();
    let cases: Vec<(Say, &str, &str)> = vec![
        (Say::Status(500), "HTTP_STATUS", "500"),
        (Say::Status(404), "HTTP_STATUS", "404"),
        (Say::With(301, "location", elsewhere.clone()), "HTTP_STATUS", "redirects are not followed"),
        (Say::With(307, "location", elsewhere), "HTTP_STATUS", "redirects are not followed"),
        (Say::Hang, "TIMEOUT", "within 1000 ms"),
        (Say::Drip, "TIMEOUT", "within 1000 ms"),
        (Say::Cut, "CONNECTION", "cut"),
        (Say::Noise, "ANSWER", "no HTTP"),
        (Say::Flood, "ANSWER", "longer than 65536 bytes"),
    ];
    let started: Vec<(Receiver, Value, &str, &str)> = cases
        .into_iter()
        .map(|(say, result, cause)| {
            let receiver = Receiver::start(move |_, _| say.clone());
            let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
            (receiver, webhook, result, cause)
        })
        .collect();
    let silent = create(&api, &format!("http://{}/", nobody()), json!({"kinds": ["LEAD_CAPTURED"]}));
    capture(&api, 1, "ada");
    for (_, webhook, result, cause) in &started {
        let dead = eventually(30, &format!("{cause}: it is dead"), || {
            deliveries(&api, webhook, json!(["DEAD"])).pop()
        });
        let last = &dead["tried"][1];
        assert_eq!((&dead["attempts"], &last["result"]), (&json!(2), &json!(result)), "{dead}");
        assert!(last["cause"].as_str().unwrap_or_default().contains(cause), "{last}");
        assert!(dead["nextAttemptAt"].is_null());
    }
    let refused = eventually(30, "nobody is there", || deliveries(&api, &silent, json!(["DEAD"])).pop());
    assert_eq!(refused["tried"][0]["result"], "CONNECTION");
    assert_eq!(inside.got().len(), 0, "no redirect was followed");
    // They mend themselves, and what was dead is sent again: the one by its id, the others all together.
    for (number, (receiver, webhook, ..)) in started.iter().enumerate() {
        receiver.answers(|_, _| Say::Status(200));
        let dead = deliveries(&api, webhook, json!(["DEAD"]));
        let mut input = json!({"webhook": webhook["id"]});
        if number == 0 {
            input["deliveries"] = json!([dead[0]["id"]]);
        }
        let again = api.mutate("resendWebhookDeliveries", "ResendWebhookDeliveriesInput", input, "resent");
        assert_eq!(again["resent"], "1");
    }
    for (_, webhook, _, cause) in &started {
        eventually(30, &format!("{cause}: it is delivered"), || {
            Some(deliveries(&api, webhook, json!(["DELIVERED"]))).filter(|done| done.len() == 1)
        });
        assert_eq!(state(&api, webhook)["dead"], "0");
    }
}

#[test]
fn an_endpoint_that_hangs_delays_no_other() {
    let server = server(&[]);
    let api = server.admin();
    let (bad, good) = (Receiver::start(|_, _| Say::Hang), Receiver::good());
    let stuck = create(&api, &bad.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    create(&api, &good.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    capture(&api, 200, "lead");
    // An attempt may take fifteen seconds: none of the bad one's has ended when all of the good one's have.
    let began = std::time::Instant::now();
    let got = good.await_got(200);
    assert!(began.elapsed() < Duration::from_secs(14), "{:?}", began.elapsed());
    assert_eq!(got.iter().map(Got::id).collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(state(&api, &stuck)["waiting"], "200");
    assert!(bad.got().len() <= 8, "{} at the same time", bad.got().len());
    // A lock lasts ten seconds, but for those who are still at it.
    std::thread::sleep(Duration::from_secs(12).saturating_sub(began.elapsed()));
    if began.elapsed() < Duration::from_secs(14) {
        assert!(bad.got().len() <= 8, "what is on its way is nobody else's: {}", bad.got().len());
    }
}

#[test]
fn an_endpoint_that_takes_nothing_fills_only_its_own_backlog() {
    let more = [("HANDFAST__WEBHOOKS__BACKLOG", "100"), (SCHEDULE, "[0, 3600]")];
    let (server, receiver) = (server(&more), Receiver::start(|_, _| Say::Status(500)));
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    for batch in 0..12 {
        capture(&api, 50, &format!("batch{batch}"));
    }
    eventually(30, "the backlog is full", || {
        let state = state(&api, &webhook);
        let count = |name: &str| state[name].as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        (receiver.got().len() >= 100 && count("waiting") <= 300 && count("lag") > 500).then_some(())
    });
}

#[test]
fn with_order_a_leads_later_event_waits_for_its_earlier_one() {
    // Every third request fails: which ones is nobody's choice.
    let answer = |number: usize, _: &Got| Say::Status(if number.is_multiple_of(3) { 500 } else { 200 });
    let more = [(SCHEDULE, "[0, 0, 0, 0, 0, 0, 0, 0]")];
    let (server, receiver) = (server(&more), Receiver::start(answer));
    let api = server.admin();
    create(&api, &receiver.url(), json!({"ordered": true}));
    for n in 0..8 {
        let lead = api.capture(&format!("ordered-{n}@example.test"));
        let input = json!({"lead": {"id": lead["id"]}, "outcome": "DISQUALIFY", "reason": "NOT_ICP"});
        api.mutate("dispositionLead", "DispositionLeadInput", input, "lead { id }");
        let input = json!({"lead": {"id": lead["id"]}, "reason": "again"});
        api.mutate("reopenLead", "ReopenLeadInput", input, "lead { id }");
    }
    let logged = events(&api, &[]);
    let logged: BTreeSet<&str> = ids(&logged).into_iter().collect();
    let got = eventually(60, "all events come", || {
        let got = receiver.got();
        let taken: BTreeSet<String> = got
            .iter()
            .enumerate()
            .filter(|(n, _)| !n.is_multiple_of(3))
            .map(|(_, one)| one.id().to_owned())
            .collect();
        logged.iter().all(|id| taken.contains(*id)).then_some(got)
    });
    let mut last = BTreeMap::<String, (i64, i64)>::new();
    for (number, one) in got.iter().enumerate() {
        let told = one.json();
        let at = (told["version"].as_i64().unwrap_or(0), told["ordinal"].as_i64().unwrap_or(0));
        let stream = told["streamId"].as_str().unwrap_or_default().to_owned();
        let before = last.get(&stream).copied().unwrap_or((0, -1));
        assert!(at > before, "{stream}: {at:?} came after {before:?} was taken");
        if !number.is_multiple_of(3) {
            last.insert(stream, at);
        }
    }
}

#[test]
fn when_order_is_no_longer_wanted_nobody_waits_any_more() {
    let (server, receiver) = (server(&[(SCHEDULE, "[0, 3600]")]), Receiver::start(|_, _| Say::Status(500)));
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({"ordered": true}));
    api.capture("ada@example.test");
    eventually(20, "the later events wait", || {
        (!deliveries(&api, &webhook, json!(["WAITING"])).is_empty() && !receiver.got().is_empty())
            .then_some(())
    });
    update(&api, &webhook, json!({"ordered": false}));
    assert_eq!(deliveries(&api, &webhook, json!(["WAITING"])).len(), 0);
    receiver.await_got(events(&api, &["LEAD_CAPTURED", "CYCLE_OPENED", "STAGE_CHANGED"]).len());
}

#[test]
fn a_range_is_sent_again_with_its_ids_and_nothing_beside_it() {
    let (server, receiver) = (server(&[]), Receiver::good());
    let api = server.admin();
    capture(&api, 30, "before");
    let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    let logged = events(&api, &["LEAD_CAPTURED"]);
    assert_eq!(receiver.got().len(), 0, "it begins when it was made");
    let input = json!({"webhook": webhook["id"], "after": logged[4]["cursor"], "through": logged[24]["cursor"], "idempotencyKey": "x"});
    let replay = || api.mutate("replayWebhook", "ReplayWebhookInput", input.clone(), "webhook { id }");
    replay();
    replay();
    let got = receiver.await_got(20);
    assert_eq!(got.iter().map(Got::id).collect::<BTreeSet<_>>(), ids(&logged[5..25]).into_iter().collect());
    capture(&api, 1, "after");
    let got = receiver.await_got(21);
    assert_eq!(got.len(), 21, "the same request had no second effect");
    let sent = deliveries(&api, &webhook, Value::Null);
    assert_eq!(sent.iter().filter(|one| one["replayed"] == true).count(), 20);
    let input =
        json!({"webhook": webhook["id"], "after": logged[9]["cursor"], "through": logged[3]["cursor"]});
    let refused = api.attempt("replayWebhook", "ReplayWebhookInput", input, "webhook { id }");
    assert_eq!(refused["errors"][0]["path"], json!(["input", "through"]));
    // From its beginning, by a webhook that is told where to begin.
    let (second, start) = (Receiver::good(), &logged[0]["cursor"]);
    create(&api, &second.url(), json!({"kinds": ["LEAD_CAPTURED"], "after": start}));
    assert_eq!(second.await_got(30).len(), 30, "29 before it was made and one after");
}

/// Nodes are killed while they send; HANDFAST_WEBHOOK_ROUNDS=1000 kills a thousand of them. Beside the good endpoint one fails
/// and one hangs.
#[test]
fn kills_in_the_middle_lose_nothing() {
    let rounds = std::env::var("HANDFAST_WEBHOOK_ROUNDS");
    let rounds: usize = rounds.ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let receiver = Receiver::start(|_, _| {
        std::thread::sleep(Duration::from_millis(5));
        Say::Status(200)
    });
    let failing = Receiver::start(|_, _| Say::Status(500));
    let hanging = Receiver::start(|_, _| Say::Hang);
    let mut server = Server::configured(&IMPATIENT);
    let api = server.admin();
    for endpoint in [&receiver, &failing, &hanging] {
        create(&api, &endpoint.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    }
    // On PostgreSQL another node goes on meanwhile; a file has one server.
    let _second = on_postgres().then(|| server.configured_beside(&IMPATIENT));
    for round in 0..rounds {
        server = killed_while_it_sends(server, &receiver, round);
        if round % 100 == 99 {
            eprintln!("{} kills, {} deliveries", round + 1, receiver.got().len());
        }
    }
    let api = server.admin();
    capture(&api, 20, "later");
    let logged = events(&api, &["LEAD_CAPTURED"]);
    assert!(logged.len() >= 20 + 10 * rounds, "{} leads in {rounds} rounds", logged.len());
    eventually(120, "every event has come", || {
        let got = receiver.got();
        let came: BTreeSet<&str> = got.iter().map(Got::id).collect();
        ids(&logged).iter().all(|id| came.contains(id)).then_some(())
    });
    let got = receiver.got();
    let doubles = got.len() - got.iter().map(Got::id).collect::<BTreeSet<_>>().len();
    assert!(doubles <= 16 * rounds, "{doubles} came twice in {rounds} kills: more than were on their way");
    eprintln!("{rounds} kills, {} events, {doubles} came twice", logged.len());
}

/// Killed in the middle, and started again.
fn killed_while_it_sends(server: Server, receiver: &Receiver, round: usize) -> Server {
    let (stop, before) = (std::sync::atomic::AtomicBool::new(false), receiver.got().len());
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let (api, stop) = (server.admin(), &stop);
            scope.spawn(move || {
                for n in 0..400 {
                    let email = format!("{name}{round}-{n}@example.test");
                    let query =
                        "mutation($lead: LeadInput!) { captureLead(input: {lead: $lead}) { lead { id } } }";
                    let variables = json!({"lead": {"email": email, "source": "test"}});
                    let alive = api.try_post(&json!({"query": query, "variables": variables})).is_some();
                    if !alive || stop.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        receiver.await_got(before + 10);
        let (dir, token) = server.kill();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        Server::restarted(dir, token, &IMPATIENT)
    })
}

#[test]
fn only_certificates_of_known_authorities_are_trusted() {
    let ca = root().join("tests/keys/ca.pem");
    let trusting = [("HANDFAST__WEBHOOKS__ALLOW_NETWORKS", "[\"127.0.0.1/32\"]"), (SCHEDULE, "[0]")];
    let (secure, plain) = (Receiver::secure(), Receiver::good());
    let fate = |server: &Server, url: &str| {
        let api = server.admin();
        let webhook = create(&api, url, json!({"kinds": ["LEAD_CAPTURED"]}));
        api.capture(&format!("lead-{}@example.test", events(&api, &[]).len()));
        let done = || deliveries(&api, &webhook, json!(["DELIVERED", "DEAD"])).pop();
        eventually(20, url, done)["tried"][0].clone()
    };
    let stranger = Server::configured(&trusting);
    let refused = fate(&stranger, &secure.url());
    assert_eq!(refused["result"], "TLS");
    assert!(refused["cause"].as_str().unwrap_or_default().contains("certificate"), "{refused}");
    assert_eq!(fate(&stranger, &plain.url().replace("http:", "https:"))["result"], "TLS");
    let path = ca.to_string_lossy().into_owned();
    let friend =
        Server::configured(&[&trusting[..], &[("HANDFAST__WEBHOOKS__CA_FILE", path.as_str())]].concat());
    assert_eq!(fate(&friend, &secure.url())["result"], "DELIVERED");
    // Its certificate is for this address and for no other name of it.
    assert_eq!(
        fate(&friend, &secure.url().replace("127.0.0.1", "0x7f.1"))["result"],
        "DELIVERED",
        "one address"
    );
}

#[test]
fn attempts_lag_and_what_waits_are_counted() {
    let answer = |number: usize, _: &Got| Say::Status(if number == 0 { 500 } else { 200 });
    let (server, receiver) = (server(&[(SCHEDULE, "[0, 0, 0]")]), Receiver::start(answer));
    let api = server.admin();
    let webhook = create(&api, &receiver.url(), json!({"kinds": ["LEAD_CAPTURED"]}));
    capture(&api, 2, "ada");
    receiver.await_got(3);
    eventually(20, "all is counted", || {
        let (_, text) = api.get("/metrics");
        let has = |line: &str| text.lines().any(|one| one.starts_with(line));
        (has("handfast_webhook_attempts_total{result=\"DELIVERED\"} 2")
            && has("handfast_webhook_attempts_total{result=\"HTTP_STATUS\"} 1")
            && has("handfast_webhook_lag{webhook=")
            && has("handfast_webhook_waiting 0"))
        .then_some(())
    });
    assert_eq!(state(&api, &webhook)["waiting"], "0");
}
