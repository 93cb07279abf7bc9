//! What the process counts of itself.

use std::collections::BTreeMap;

use handfast_tests::{Server, card, eventually, fair_share};
use serde_json::{Value, json};

/// Name with labels to value.
fn counts(server: &Server) -> BTreeMap<String, f64> {
    let (status, text) = server.api("").get("/metrics");
    assert_eq!(status, 200, "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

#[test]
fn requests_decisions_writes_and_refusals_are_counted() {
    let server = Server::start();
    server.deploy("scorecard", "mql", &card(10));
    server.deploy("fair-share", "routing", &fair_share());
    let before = counts(&server);
    let admin = server.admin();
    let lead =
        json!({"lead": {"email": "ada.lovelace@example.test", "name": "Ada Lovelace", "consent": true}});
    admin.mutate("captureLead", "CaptureLeadInput", lead, "lead { id }");
    admin.error("{ nothing }", json!({}));
    server.api("hf_nobody").post(&json!({"query": "{ charter { number } }"}));
    // Asking for the head waits until the feed has what was committed.
    admin.query("{ feedHead }", json!({}));
    let after = counts(&server);
    let grown = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
    for (name, least) in [
        ("handfast_http_requests_total{route=\"/graphql\",status=\"200\"}", 1.0),
        ("handfast_http_requests_total{route=\"/graphql\",status=\"401\"}", 1.0),
        ("handfast_graphql_operations_total{kind=\"mutation\"}", 1.0),
        ("handfast_errors_total{code=\"UNAUTHENTICATED\"}", 1.0),
        ("handfast_errors_total{code=\"VALIDATION\"}", 1.0),
        ("handfast_decisions_total{status=\"OK\",outcome=\"ADVANCE\"}", 1.0),
        ("handfast_rule_fuel_total", 1_000.0),
        ("handfast_writes_total{result=\"ok\"}", 1.0),
        ("handfast_write_seconds_count", 1.0),
        ("handfast_feed_position", 3.0),
    ] {
        assert!(grown(name) >= least, "{name} grew by {}: {after:#?}", grown(name));
    }
    assert!(after["process_resident_memory_bytes"] > 1e6);
    assert_eq!(after["handfast_rule_calls_waiting"], 0.0);
}

#[test]
fn no_count_names_a_person_a_path_or_a_token() {
    let server = Server::start();
    let admin = server.admin();
    let lead =
        json!({"lead": {"email": "ada.lovelace@example.test", "name": "Ada Lovelace", "source": "a-source"}});
    admin.mutate("captureLead", "CaptureLeadInput", lead, "lead { id }");
    for path in ["/ada.lovelace", "/graphql/../x", "/metrics/ada", "/%00"] {
        admin.get(path);
    }
    let (_, text) = admin.get("/metrics");
    let lower = text.to_lowercase();
    for word in ["ada", "lovelace", "a-source", "/..", "%00", "hf_"] {
        assert!(!lower.contains(word), "{word} stands in {text}");
    }
    assert!(text.contains("route=\"other\",status=\"404\""), "{text}");
}

#[test]
fn an_open_stream_is_counted_as_long_as_it_is_open() {
    let server = Server::start();
    let open = || counts(&server).get("handfast_streams_open").copied().unwrap_or(0.0);
    assert_eq!(open(), 0.0);
    let stream = std::net::TcpStream::connect(server.url.trim_start_matches("http://")).expect("it listens");
    let body = json!({"query": "subscription { leadStageChanged { cursor } }"}).to_string();
    let head = format!(
        "POST /graphql/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        server.token,
        body.len()
    );
    std::io::Write::write_all(&mut &stream, head.as_bytes()).expect("the request is sent");
    handfast_tests::eventually(5, "the stream is counted", || (open() == 1.0).then_some(()));
    drop(stream);
    handfast_tests::eventually(20, "the stream is gone", || (open() == 0.0).then_some(()));
}

#[test]
fn spans_tell_where_the_time_of_a_request_goes_and_nothing_about_anybody() {
    let server = Server::configured(&[("HANDFAST__LOG__SPANS", "true"), ("HANDFAST__LOG__FORMAT", "json")]);
    server.deploy("scorecard", "mql", &card(10));
    let lead = json!({"email": "ada.lovelace@example.test", "name": "Ada Lovelace", "consent": true});
    let document = "mutation($lead: LeadInput!) { captureLead(input: {lead: $lead}) { lead { stage } } }";
    let body = json!({"query": document, "variables": {"lead": lead}});
    let answer = ureq::post(format!("{}/graphql", server.url))
        .header("authorization", format!("Bearer {}", server.token))
        .header("x-request-id", "ada-1")
        .send_json(body);
    assert_eq!(answer.expect("the server answers").status(), 200);
    let spans = || {
        let lines = server.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let of_request = |line: &Value| line.to_string().contains("ada-1");
        lines.filter(of_request).collect::<Vec<Value>>()
    };
    let closed = eventually(10, "the request's span ends", || {
        let spans = spans();
        spans.iter().any(|line| line["span"]["name"] == "request").then_some(spans)
    });
    for name in ["request", "operation", "rule", "write"] {
        let span = closed.iter().find(|line| line["span"]["name"] == name);
        let span = span.unwrap_or_else(|| panic!("no span {name} in {closed:#?}"));
        assert!(span["fields"]["time.busy"].is_string(), "{span}");
    }
    let text = server.log().join("\n");
    for secret in ["lovelace", "Lovelace", "example.test", server.token.as_str()] {
        assert!(!text.contains(secret), "{secret} stands in the log");
    }
}
