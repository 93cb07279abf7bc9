//! Cases 83 to 86 and 88: where webhooks may not go, what endpoints may not do, and what may not stand in a header. There is no
//! door for webhooks of others, so that case 87 has no place here.

use handfast_tests::{Server, eventually};
use serde_json::{Value, json};

use super::{Row, Sent, check, echo_of, sane};
use crate::webhook::receiver::{Receiver, Say};
use crate::webhook::{HERE, create, server};

const DELIVERIES: &str = "query($id: ID!) { webhook(id: $id) { deliveries(states: [DEAD], first: 1) { edges { node { tried \
                          { result httpStatus cause } } } } } }";

/// The only attempt of a webhook to a receiver, of which the first event is dead.
fn attempt(server: &Server, url: &str) -> Value {
    let api = server.admin();
    let webhook = create(&api, url, json!({}));
    api.mutate("testWebhook", "TestWebhookInput", json!({"webhook": webhook["id"]}), "delivery { id }");
    let dead = eventually(30, "the attempt fails", || {
        let found = api.query(DELIVERIES, json!({"id": webhook["id"]}));
        let tried = found["webhook"]["deliveries"]["edges"][0]["node"]["tried"][0].clone();
        tried.is_object().then_some(tried)
    });
    sane(server).expect("the server answers");
    dead
}

fn refusal(server: &Server, input: Value) -> Value {
    let payload =
        server.admin().attempt("createWebhook", "CreateWebhookInput", input.clone(), "webhook { id }");
    assert!(payload["webhook"].is_null(), "{input}");
    let error = payload["errors"][0].clone();
    let message = error["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty() && echo_of(message).is_none(), "{input}: {message}");
    sane(server).expect("the server answers");
    error
}

/// Case 83.
#[test]
fn no_url_leads_inside_whatever_way_it_is_written() {
    let server = Server::start();
    for url in [
        "http://127.0.0.1",
        "https://127.0.0.1",
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254",
        "https://[::ffff:127.0.0.1]",
        "https://0x7f.1",
        "https://2130706433",
        "https://[::1%25eth0]",
        "https://[::1]",
        "https://localhost.",
        "https://100.64.0.1",
        "file:///etc/passwd",
        "gopher://hooks.example.test",
        "https://user:pw@hooks.example.test",
        "https://hooks.example.test:22",
        "http://hooks.example.test",
        "hello",
        "",
    ] {
        let error = refusal(&server, json!({ "url": url }));
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("WEBHOOK_TARGET_FORBIDDEN"), &json!(["input", "url"])),
            "{url}"
        );
    }
    let long = format!("https://hooks.example.test/{}", "a".repeat(3_000));
    assert_eq!(refusal(&server, json!({ "url": long }))["code"], "VALIDATION");
    assert_eq!(server.admin().query("{ webhooks { id } }", json!({}))["webhooks"], json!([]));
}

/// Case 84. What a name turns into is looked at when it is connected to; that a resolver may change its mind is a test beside the
/// client, which has a resolver of its own.
#[test]
fn a_name_of_the_inside_is_found_out_when_it_is_connected_to() {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let names = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: std::net::IpAddr = words.next()?.parse().ok()?;
        let name = words.find(|name| !name.contains("localhost"))?;
        address.is_loopback().then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        eprintln!("skipped: /etc/hosts has no other name for this machine");
    }
    let server = Server::start();
    for name in names.iter().take(2) {
        let tried = attempt(&server, &format!("https://{name}:8443/"));
        assert_eq!(tried["result"], "TARGET_FORBIDDEN", "{name}: {tried}");
        let cause = tried["cause"].as_str().unwrap_or_default();
        assert!(
            !cause.contains("127.0") && !cause.contains("::1"),
            "it tells nothing of the inside: {cause}"
        );
    }
}

/// Case 85.
#[test]
fn a_redirect_to_the_inside_is_a_failure() {
    let server = server(&[]);
    let inside = Receiver::good();
    let location = inside.url();
    let receiver = Receiver::start(move |_, _| Say::With(301, "location", location.clone()));
    let tried = attempt(&server, &receiver.url());
    assert_eq!((&tried["result"], &tried["httpStatus"]), (&json!("HTTP_STATUS"), &json!(301)));
    assert_eq!(inside.got().len(), 0);
}

/// Case 86. The memory of the server does not grow with what it is sent.
#[test]
fn endless_answers_and_bad_tls_are_failed_attempts() {
    let server = server(&[("HANDFAST__WEBHOOKS__TIMEOUT_MS", "1500")]);
    let secure = Receiver::secure();
    let before = server.resident_kb().expect("it runs");
    for (receiver, scheme, result) in [
        (Receiver::start(|_, _| Say::Drip), "http", "TIMEOUT"),
        (Receiver::start(|_, _| Say::Hang), "http", "TIMEOUT"),
        (Receiver::start(|_, _| Say::Flood), "http", "ANSWER"),
        (Receiver::good(), "https", "TLS"),
        (secure, "https", "TLS"),
    ] {
        let url = format!("{scheme}://{}/", receiver.address);
        let tried = attempt(&server, &url);
        assert_eq!(tried["result"], result, "{tried}");
        assert!(tried["cause"].is_string(), "{tried}");
    }
    let after = server.resident_kb().expect("it runs");
    assert!(after < before + 40_000, "{before} KB before, {after} KB after");
}

/// Case 88.
#[test]
fn no_header_ends_its_line_or_takes_the_place_of_ours() {
    let server = Server::configured(&HERE);
    let bad = [
        ("X-Tenant", "a\r\nx-evil: 1"),
        ("X-Tenant", "a\nb"),
        ("X-Tenant\r\nX-Evil", "a"),
        ("Host", "inside.example.test"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("webhook-signature", "v1,x"),
        ("", "a"),
    ];
    for (name, value) in bad {
        let header = json!({"name": name, "value": value});
        let error = refusal(&server, json!({"url": "https://hooks.example.test/", "headers": [header]}));
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(["input", "headers", "0"])),
            "{name:?}: {value:?}"
        );
    }
    let document = "mutation { createWebhook(input: {url: \"https://hooks.example.test/\", kinds: [1]}) { errors { code } } }";
    check(&server, vec![Row(88, "a kind that is no text", Sent::from(document), 400, "VALIDATION", "")]);
}
