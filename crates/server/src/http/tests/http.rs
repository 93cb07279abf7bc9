//! GraphQL over HTTP: the cases of the bad-input catalogue, and what good requests get.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::super::EdgeConfig;
use super::super::config::{DocumentMode, Documents, Limits};
use super::super::lifecycle::{Lifecycle, readyz};
use super::{Answer, Server};

fn limits(change: impl FnOnce(&mut Limits)) -> EdgeConfig {
    let mut config = EdgeConfig::default();
    change(&mut config.limits);
    config
}

#[tokio::test]
async fn good_requests_are_answered_in_both_media_types() {
    let server = Server::start().await;
    let answer = server.query("{hello viewer}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/graphql-response+json; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json()["data"], json!({"hello": "world", "viewer": "ada"}));

    let answer = server
        .get("query=query%20A%7Bhello%7D%20query%20B%7Bviewer%7D&operationName=B&variables=%7B%7D")
        .await;
    assert_eq!(answer.json()["data"], json!({"viewer": "ada"}), "operationName counts in a GET, too");

    let head = "GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nauthorization: bearer good";
    let answer = server.raw(head, b"").await;
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

#[tokio::test]
async fn a_variable_left_to_its_default_includes_and_skips() {
    let server = Server::start().await;
    let query = "query($on:Boolean=true,$off:Boolean=false){hello@include(if:$on) node@skip(if:$off){id} viewer@include(if:$off)}";
    let answer = server.query(query).await;
    assert_eq!(answer.json()["data"], json!({"hello": "world", "node": {"id": 1}}));
    let answer = server.post(json!({"query": query, "variables": {"on": false}})).await;
    assert_eq!(answer.json()["data"], json!({"node": {"id": 1}}));
    let nested = "query($on:Boolean=true){...F} fragment F on Query{... @include(if:$on){hello}}";
    assert_eq!(server.query(nested).await.json()["data"], json!({"hello": "world"}));
}

#[tokio::test]
async fn a_document_that_is_known_is_refused_for_wrong_values_as_one_that_is_new() {
    let query =
        "query($name: String, $skip: Boolean = false) { hello(name: $name) @skip(if: $skip) node { id } }";
    for wrong in [
        json!({"name": 5}),
        json!({"name": ["a"]}),
        json!({"name": {"first": "a"}}),
        json!({"skip": "no"}),
        json!({"other": 1}),
        json!({"skip": null}),
    ] {
        let asked = json!({"query": query, "variables": wrong});
        let fresh = Server::start().await.post(asked.clone()).await;
        let known = Server::start().await;
        for _ in 0..3 {
            let good = known.post(json!({"query": query, "variables": {"name": "ada"}})).await;
            assert_eq!(good.json()["data"]["node"], json!({"id": 1}));
        }
        let known = known.post(asked).await;
        let told = |answer: &Answer| {
            let mut told = answer.json();
            // Each request has an id of its own.
            for error in told["errors"].as_array_mut().into_iter().flatten() {
                error["extensions"]["requestId"].take();
            }
            (answer.status, told)
        };
        assert_eq!(told(&known), told(&fresh), "{wrong}");
    }
}

#[tokio::test]
async fn malformed_bodies_are_bad_requests() {
    let server = Server::start().await;
    let cases: &[(&[u8], &str, &str)] = &[
        (b"", "BAD_REQUEST", "the request body is empty; send a JSON object with a query"),
        (b"{", "BAD_REQUEST", "malformed JSON at line 1"),
        (b"{\"query\": \"{hello(n:\xff)}\"}", "BAD_REQUEST", "the JSON is not UTF-8 at byte 20"),
        (br#"{"query":"{hello}\ud800"}"#, "BAD_REQUEST", "malformed JSON"),
        (b"{}", "BAD_REQUEST", "query is missing"),
        (br#"{"query":"  "}"#, "BAD_REQUEST", "query is missing"),
        (br#"{"query":null}"#, "BAD_REQUEST", "query is missing"),
        (br#"[{"query":"{hello}"}]"#, "BATCH_NOT_SUPPORTED", "the body is a list"),
        (b"[]", "BATCH_NOT_SUPPORTED", "the body is a list"),
    ];
    for (body, code, start) in cases {
        let answer = server.post_bytes(body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, *code), "{answer:?}");
        assert!(answer.message().starts_with(start), "{answer:?}");
    }
}

#[tokio::test]
async fn refused_documents_are_400_or_200_by_media_type_and_small() {
    let server = Server::start().await;
    let cases = [
        ("{".to_owned(), "VALIDATION"),
        ("{lea}".into(), "VALIDATION"),
        ("query($x:Nope){hello}".into(), "VALIDATION"),
        ("{hello ...A}".into(), "VALIDATION"),
        ("{number(n:99999999999999999999)}".into(), "VALIDATION"),
        ("{number(n:1e400)}".into(), "VALIDATION"),
        ("{number(n:\"5\")}".into(), "VALIDATION"),
        ("{number(n:null)}".into(), "VALIDATION"),
        ("query A{hello} query B{hello}".into(), "VALIDATION"),
        ("query($x:Int){hello}".into(), "VALIDATION"),
        ("query($x:Int!){number(n:$x)}".into(), "VALIDATION"),
        (format!("{{{}}}", "a ".repeat(15_000)), "DOCUMENT_TOO_LARGE"),
        (format!("{{number(n:{}1{})}}", "[".repeat(1_562), "]".repeat(1_562)), "DOCUMENT_TOO_DEEP"),
        (format!("{{{}leaf{}}}", "tree{".repeat(20), "}".repeat(20)), "QUERY_TOO_DEEP"),
        (format!("{{{}leaf{}}}", "tree{".repeat(33), "}".repeat(33)), "QUERY_TOO_DEEP"),
        (format!("{{hello{}}}", "@aa".repeat(10)), "TOO_MANY_DIRECTIVES"),
        (
            format!("{{tree{{{}}}}}", "...A ".repeat(300))
                + "fragment A on Tree{leaf leaf leaf leaf leaf leaf leaf}",
            "QUERY_TOO_COMPLEX",
        ),
    ];
    for (query, code) in &cases {
        let answer = server.query(query).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, *code), "{query}: {answer:?}");
        assert!(answer.body.len() < 4_096, "{query}: {} bytes", answer.body.len());
        assert!(answer.json().get("data").is_none());
        let error = &answer.json()["errors"][0];
        assert_eq!(error["extensions"]["requestId"].as_str(), answer.header("x-request-id"));
        assert_eq!(error["extensions"]["retryable"], false);
        let body = json!({ "query": query }).to_string();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\ncontent-length: {}",
            body.len()
        );
        assert_eq!(server.raw(&head, body.as_bytes()).await.status, 200, "{query}");
    }
}

#[tokio::test]
async fn many_errors_are_cut_to_twenty() {
    let server = Server::start().await;
    let fields: String = (0..20).map(|i| format!("unknown{i}{}: x{i} ", "y".repeat(200))).collect();
    let nested = format!("{{{fields} tree{{{}}}}}", (0..200).map(|i| format!("u{i} ")).collect::<String>());
    let answer = server.query(&nested.replacen(&fields, "", 1)).await;
    let json = answer.json();
    assert_eq!(json["errors"].as_array().map(Vec::len), Some(20), "{answer:?}");
    assert_eq!(json["extensions"]["errorsOmitted"], 180);
    assert!(answer.body.len() < 16 * 1024);
    let answer = server.query(&format!("{{{fields}}}")).await;
    assert!(answer.body.len() < 16 * 1024 && !answer.body.contains(&"y".repeat(90)), "{answer:?}");
}

#[tokio::test]
async fn variables_beyond_their_limits_are_refused() {
    let server = Server::start().await;
    let query = "query($name:String){hello(name:$name)}";
    let deep = (0..200).fold(json!(1), |inner, _| json!({ "k": inner }));
    let keys: serde_json::Map<String, serde_json::Value> =
        (0..10_000).map(|i| (format!("k{i}"), json!(1))).collect();
    for (value, code) in [
        (deep, "VARIABLES_TOO_DEEP"),
        (json!(keys), "VARIABLES_TOO_LARGE"),
        (json!("x".repeat(70_000)), "VARIABLES_TOO_LARGE"),
    ] {
        let answer = server.post(json!({"query": query, "variables": {"name": value}})).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code));
    }
    let twice = br#"{"query":"{hello}","variables":{"name":"a","name":"b"}}"#;
    assert_eq!(server.post_bytes(twice).await.code(), "BAD_REQUEST");
    for variables in [json!({"nam": "a"}), json!({"name": 5})] {
        let answer = server.post(json!({"query": query, "variables": variables})).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION"), "{answer:?}");
    }
    let answer = server.post(json!({"query": query, "variables": {"name": "nul \u{0}"}})).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION"), "no database keeps a NUL");
    assert_eq!(answer.message(), "$name holds the character U+0000; leave it out");
}

#[tokio::test]
async fn large_and_slow_bodies_end_at_their_limits() {
    let server = Server::with(limits(|limits| limits.body_timeout_ms = 300)).await;
    let head = |more: &str| {
        format!(
            "POST /graphql HTTP/1.1\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\n{more}"
        )
    };
    let large = vec![b' '; 2 * 1024 * 1024];
    let answer = server.post_bytes(&large).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));

    let mut chunked = Vec::new();
    for part in large.chunks(64 * 1024) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    let answer = server.raw(&head("transfer-encoding: chunked"), &chunked).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"), "also without a length");

    let began = Instant::now();
    let mut stream = server.connect().await;
    let slow = format!("{}\r\nhost: {}\r\n\r\n", head("content-length: 100"), server.at);
    stream.write_all(slow.as_bytes()).await.expect("head");
    stream.write_all(b"{").await.expect("one byte");
    let answer = Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "BODY_TIMEOUT"));
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(answer.json()["errors"][0]["extensions"]["retryable"], true);

    let mut exact = br#"{"query":"{hello}"}"#.to_vec();
    exact.resize(1024 * 1024, b' ');
    assert_eq!(server.post_bytes(&exact).await.status, 200, "1 MiB is allowed");
}

#[tokio::test]
async fn a_compressed_body_is_read_as_what_it_unfolds_to_and_a_bomb_ends_at_the_limit() {
    use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
    use std::io::Write;
    let server = Server::start().await;
    let post = async |encoding: &str, body: Vec<u8>| {
        let head = format!(
            "POST /graphql HTTP/1.1\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\n\
             content-encoding: {encoding}\r\ncontent-length: {}",
            body.len()
        );
        server.raw(&head, &body).await
    };
    let gzip = |text: &[u8]| {
        let mut writer = GzEncoder::new(Vec::new(), Compression::best());
        writer.write_all(text).and_then(|()| writer.finish()).expect("folds")
    };
    let deflate = |text: &[u8]| {
        let mut writer = ZlibEncoder::new(Vec::new(), Compression::best());
        writer.write_all(text).and_then(|()| writer.finish()).expect("folds")
    };
    let query = br#"{"query":"{hello}"}"#;
    assert_eq!(post("gzip", gzip(query)).await.json()["data"], json!({"hello": "world"}));
    assert_eq!(post("deflate", deflate(query)).await.json()["data"], json!({"hello": "world"}));
    let bomb = gzip(&vec![b' '; 300 * 1024 * 1024]);
    assert!(bomb.len() < 512 * 1024, "{}", bomb.len());
    let answer = post("gzip", bomb).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    assert!(answer.message().ends_with("when it is unfolded"), "{answer:?}");
    let answer = post("gzip", query.to_vec()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"));
}

#[tokio::test]
async fn every_answer_tells_what_it_cost_and_whoever_spent_the_budget_waits() {
    let mut config = EdgeConfig::default();
    (config.rate.token_per_second, config.rate.token_burst) = (1, 5);
    let server = Server::with(config).await;
    let answer = server.query("{hello}").await;
    let cost = &answer.json()["extensions"]["cost"];
    assert_eq!(cost, &json!({"requested": 1, "limit": 10_000, "budgetLeft": 4}));
    assert_eq!(
        (answer.header("ratelimit"), answer.header("ratelimit-policy")),
        (Some("\"token\";r=4;t=1"), Some("\"token\";q=5"))
    );
    for _ in 0..4 {
        assert_eq!(server.query("{hello}").await.status, 200);
    }
    let refused = server.query("{hello}").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_LIMITED"));
    assert_eq!(
        (refused.header("retry-after"), refused.json()["errors"][0]["extensions"]["retryable"].as_bool()),
        (Some("1"), Some(true))
    );
    assert!(
        refused.message().contains("budget of 5 with 1 more each second; the request costs 1"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_address_that_only_guesses_is_told_to_wait_and_the_watchman_is_not() {
    let mut config = EdgeConfig::default();
    (config.rate.address_per_second, config.rate.address_burst) = (1, 1_000);
    let server = Server::with(config).await;
    let head = "GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nauthorization: Bearer guess";
    let mut statuses = vec![];
    for _ in 0..1_200 {
        let answer = server.raw(head, b"").await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_eq!(answer.code(), "RATE_LIMITED");
            break;
        }
    }
    assert_eq!((statuses.first(), statuses.last()), (Some(&401), Some(&429)), "after {}", statuses.len());
    assert_eq!(server.query("{hello}").await.status, 429, "whoever shares the address waits with it");
    assert_eq!(server.raw("GET /healthz HTTP/1.1", b"").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_could_be_too_large_is_refused_with_its_size() {
    let server = Server::with(limits(|limits| limits.cost = 999)).await;
    assert_eq!(server.query("{ hello }").await.status, 200);
    let answer = server.query("{ __schema { types { name } } }").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "QUERY_TOO_COMPLEX"));
    assert_eq!(answer.message(), "the answer may hold 1000 objects, limit 999");
}

#[tokio::test]
async fn the_schema_tells_about_itself_when_it_may_and_never_in_circles() {
    let server = Server::start().await;
    let circle = "{__schema{types{fields{type{fields{type{fields{name}}}}}}}}";
    let by_fragment = "{__schema{types{...a}}} fragment a on __Type{fields{type{...b}}} fragment b on __Type{interfaces{possibleTypes{name}}}";
    for document in [circle, by_fragment] {
        let answer = server.query(document).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "QUERY_TOO_DEEP"), "{document}");
    }
    assert_eq!(server.query("{__schema{types{fields{type{interfaces{name}}}}}}").await.status, 200);
    let silent = Server::with(limits(|limits| limits.introspection = false)).await;
    for document in ["{__schema{types{name}}}", "{hello ...on Query{__type(name:\"Query\"){name}}}"] {
        let answer = silent.query(document).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "INTROSPECTION_DISABLED"), "{document}");
    }
    assert_eq!(silent.query("{hello __typename}").await.status, 200, "a client may ask what it has got");
}

#[tokio::test]
async fn only_trusted_documents_are_carried_out_where_the_operator_says_so() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), r#"{"greet": "{hello}"}"#).expect("written");
    let documents = Documents { mode: DocumentMode::Only, file: Some(file.path().to_owned()) };
    let config = EdgeConfig { documents, ..EdgeConfig::default() };
    let server = Server::with(config).await;
    let world = json!({"hello": "world"});
    assert_eq!(server.post(json!({"documentId": "greet"})).await.json()["data"], world);
    assert_eq!(server.get("documentId=greet").await.json()["data"], world);
    assert_eq!(
        server.query("{hello}").await.json()["data"],
        world,
        "the text of a trusted document is as good"
    );
    let other = server.query("{ hello }").await;
    assert_eq!((other.status, other.code().as_str()), (403, "DOCUMENT_NOT_TRUSTED"));
    let unknown = server.post(json!({"documentId": "leave"})).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "PERSISTED_QUERY_NOT_FOUND"));
    let both = server.post(json!({"documentId": "greet", "query": "{hello}"})).await;
    assert_eq!((both.status, both.code().as_str()), (400, "BAD_REQUEST"));
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_not_kept() {
    let mut config = limits(|limits| limits.root_fields = 30);
    config.connection.write_timeout_ms = 300;
    let server = Server::with(config).await;
    let fields: String = (0..29).map(|n| format!("a{n}:hello(name:$n) ")).collect();
    let query = format!("query($n:String){{ {fields} }}");
    let body = json!({"query": query, "variables": {"n": "x".repeat(60_000)}}).to_string();
    let one = format!(
        "POST /graphql HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        server.at,
        body.len()
    );
    // More than the kernel holds between the two.
    let mut stream = server.connect().await;
    stream.write_all(one.repeat(20).as_bytes()).await.ok();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let answers = Answer::read(&mut stream).await;
    let whole = answers.body.matches("HTTP/1.1 200").count();
    assert!(answers.status == 200 && whole < 19, "{whole} answers waited for a reader");
}

#[tokio::test]
async fn only_plain_json_is_posted() {
    let server = Server::start().await;
    let body = br#"{"query":"mutation{set(x:1)}"}"#;
    for header in [
        "content-type: text/plain",
        "content-type: application/x-www-form-urlencoded",
        "content-type: multipart/form-data; boundary=x",
        "content-type: application/json; charset=utf-16",
        "content-type: application/json\r\ncontent-encoding: zstd",
        "content-type: application/json\r\ncontent-encoding: gzip, gzip",
        "content-type: application/json\r\ncontent-encoding: gzip\r\ncontent-encoding: gzip",
        "x-none: 1",
    ] {
        let head = format!(
            "POST /graphql HTTP/1.1\r\nauthorization: Bearer good\r\n{header}\r\ncontent-length: {}",
            body.len()
        );
        let answer = server.raw(&head, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"), "{header}");
    }
}

#[tokio::test]
async fn methods_follow_the_operation() {
    let server = Server::start().await;
    let answer = server.get("query=mutation%7Bset(x:1)%7D").await;
    assert_eq!((answer.status, answer.code().as_str()), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(answer.header("allow"), Some("post"));
    let both = "query=query%20A%7Bhello%7D%20mutation%20B%7Bset(x:1)%7D&operationName=";
    assert_eq!(server.get(&format!("{both}A")).await.json()["data"], json!({"hello": "world"}));
    assert_eq!(server.get(&format!("{both}B")).await.status, 405);
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer =
            server.raw(&format!("{method} /graphql HTTP/1.1\r\nauthorization: Bearer good"), b"").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("get, post")), "{method}");
    }
    let answer = server.query("subscription{endless}").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"));
    assert!(
        answer.message().contains("graphql-transport-ws") && answer.message().contains("/graphql/stream")
    );
    let answer = server.get("query=subscription%7Bendless%7D").await;
    assert_eq!(answer.status, 400);
    let answer = server.raw("GET /graphql?query=%7Bhello%7D HTTP/1.1\r\naccept: text/html", b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (406, "NOT_ACCEPTABLE"));
}

#[tokio::test]
async fn whoever_is_unknown_gets_one_same_answer() {
    let server = Server::start().await;
    let long = format!("authorization: Bearer {}", "x".repeat(20_000));
    let mut texts = Vec::new();
    for header in [
        "x-none: 1",
        "authorization: Bearer wrong",
        "authorization: Basic Z29vZA==",
        "authorization: good",
        "authorization: Bearer ",
        "authorization: Bearer good\r\nauthorization: Bearer wrong",
        &long,
    ] {
        let answer = server
            .raw(&format!("GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nx-request-id: one\r\n{header}"), b"")
            .await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("bearer")), "{header:.40}");
        texts.push(answer.body);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
}

#[tokio::test]
async fn failing_resolvers_are_told_without_their_insides() {
    let server = Server::start().await;
    let answer = server.query("{refused broken hello}").await;
    let json = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(json["data"], json!({"refused": null, "broken": null, "hello": "world"}));
    assert_eq!(json["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(json["errors"][0]["path"], json!(["refused"]));
    assert_eq!(json["errors"][1]["extensions"]["code"], "INTERNAL");
    assert!(!answer.body.contains("secret"), "{answer:?}");

    let answer = server.query("{panics}").await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "INTERNAL"));
    assert_eq!(server.query("{hello}").await.status, 200, "the server lives on");
}

#[tokio::test]
async fn the_deadline_ends_queries_and_names_what_a_mutation_may_have_done() {
    let server = Server::with(limits(|limits| limits.deadline_ms = 100)).await;
    let answer = server.query("{slow(ms:60000)}").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "DEADLINE_EXCEEDED"));
    assert_eq!(answer.json()["errors"][0]["extensions"]["retryable"], true);
    assert_eq!(server.query("{slow(ms:1)}").await.status, 200);
}

#[tokio::test]
async fn idempotency_keys_reach_the_resolver() {
    let server = Server::start().await;
    let body = br#"{"query":"mutation{key}"}"#;
    let head = |header: &str| {
        format!(
            "POST /graphql HTTP/1.1\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\n{header}content-length: {}",
            body.len()
        )
    };
    for (header, expect) in [
        ("", json!(null)),
        ("idempotency-key: k-1\r\n", json!("k-1")),
        ("Idempotency-Key: \"k-2\"\r\n", json!("k-2")),
    ] {
        assert_eq!(server.raw(&head(header), body).await.json()["data"]["key"], expect);
    }
    for bad in ["x".repeat(1_000), String::new(), "ü".into()] {
        let answer = server.raw(&head(&format!("idempotency-key: {bad}\r\n")), body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"));
    }
}

#[tokio::test]
async fn persisted_queries_work_as_apollo_sends_them() {
    let server = Server::start().await;
    // The SHA-256 of `{hello}`.
    let hash = "2d9d5d10bfb4fc2f6fd25b2ea2bc15fb8b5b1ac4fb7dcca4d25fba4f6dd4d4c1";
    let extensions = |hash: &str| json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});
    let answer = server.post(json!({"extensions": extensions(hash)})).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "PERSISTED_QUERY_NOT_FOUND"));
    let answer = server.post(json!({"query": "{hello}", "extensions": extensions(hash)})).await;
    assert_eq!(answer.code(), "PERSISTED_QUERY_MISMATCH");
    let right = answer.message().rsplit(' ').next().unwrap_or_default().to_owned();
    assert_eq!(server.post(json!({"query": "{hello}", "extensions": extensions(&right)})).await.status, 200);
    let answer = server.post(json!({"extensions": extensions(&right)})).await;
    assert_eq!(answer.json()["data"], json!({"hello": "world"}));
}

#[tokio::test]
async fn hosts_and_origins_are_checked_on_every_route() {
    let config = EdgeConfig {
        allowed_hosts: vec!["127.0.0.1".into()],
        allowed_origins: vec!["https://board.example.com".into()],
        ..EdgeConfig::default()
    };
    let server = Server::with(config).await;
    for path in ["/graphql?query=%7Bhello%7D", "/graphql/stream", "/healthz", "/beside"] {
        let foreign = server.raw(&format!("GET {path} HTTP/1.1\r\norigin: https://evil.example"), b"").await;
        assert_eq!((foreign.status, foreign.code().as_str()), (403, "ORIGIN_NOT_ALLOWED"), "{path}");
        let mut stream = server.connect().await;
        let rebound = format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
        stream.write_all(rebound.as_bytes()).await.expect("head");
        assert_eq!(Answer::read(&mut stream).await.status, 421, "{path}");
    }
    let head = "GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nauthorization: Bearer good\r\norigin: https://board.example.com";
    let answer = server.raw(head, b"").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://board.example.com"))
    );
    assert_eq!(answer.header("vary"), Some("origin"));
    let same = format!("GET /healthz HTTP/1.1\r\norigin: http://{}", server.at);
    assert_eq!(server.raw(&same, b"").await.status, 200);
    let preflight = "OPTIONS /graphql HTTP/1.1\r\norigin: https://board.example.com\r\naccess-control-request-method: POST";
    let answer = server.raw(preflight, b"").await;
    assert_eq!(answer.status, 204);
    assert!(
        answer.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization"))
    );
}

#[tokio::test]
async fn health_and_readiness_follow_the_lifecycle() {
    let server = Server::start().await;
    assert_eq!(server.raw("GET /healthz HTTP/1.1", b"").await.status, 200);
    let ready = server.raw("GET /readyz HTTP/1.1\r\nx-request-id: mine-1", b"").await;
    assert_eq!((ready.status, ready.header("x-request-id")), (200, Some("mine-1")));
    let lifecycle = Lifecycle::new();
    assert_eq!(readyz(State(lifecycle.clone())).await.into_response().status(), 503);
    lifecycle.drain();
    lifecycle.ready();
    assert_eq!(
        readyz(State(lifecycle)).await.into_response().status(),
        503,
        "there is no way back from draining"
    );
}

#[tokio::test]
async fn a_draining_server_finishes_what_it_began_and_takes_nothing_new() {
    let server = Server::start().await;
    let (answer, ()) = tokio::join!(server.query("{slow(ms:400)}"), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.lifecycle.drain();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(TcpStream::connect(server.at).await.is_err(), "nobody listens any more");
    });
    assert_eq!(answer.json()["data"], json!({"slow": true}));
    tokio::time::timeout(Duration::from_secs(5), server.ended).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn slow_and_large_heads_end_at_their_limits() {
    let mut config = EdgeConfig::default();
    config.connection.head_timeout_ms = 200;
    let server = Server::with(config).await;
    let began = Instant::now();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("a part of the head");
    Answer::read(&mut stream).await;
    assert!(began.elapsed() < Duration::from_secs(5), "a head that does not end is not waited for");
    let answer =
        server.raw(&format!("GET /healthz HTTP/1.1\r\nx-big: {}", "x".repeat(1024 * 1024)), b"").await;
    assert!(matches!(answer.status, 431 | 0), "{answer:?}");
    assert_eq!(server.raw("GET /healthz HTTP/1.1", b"").await.status, 200);
}
