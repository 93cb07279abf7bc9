//! Our own tokens, and case 54: whoever may not enter learns nothing about why.
//!
//! A token without a scope is told the scope that it lacks: `token::a_token_does_what_its_scopes_say_and_nothing_else`.

use std::time::Duration;

use handfast_domain::time::Instant;
use handfast_tests::{Server, eventually};
use serde_json::{Value, json};

use super::{Answer, raw, sane, short};

const ASKED: &str = "GET /graphql?query=%7Bviewer%7Bkey%7D%7D HTTP/1.1\r\nx-request-id: one";

fn bearer(server: &Server, token: &str) -> Answer {
    raw(server, &format!("{ASKED}\r\nauthorization: Bearer {token}"), b"")
}

#[test]
fn every_wrong_token_is_refused_with_the_same_words() {
    let server = Server::start();
    let admin = server.admin();
    let make = |more: Value| {
        let mut input = json!({"user": "admin", "name": "a test", "scopes": ["leads:read"]});
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let made = admin.mutate("createToken", "CreateTokenInput", input, "secret token { id }");
        (made["secret"].as_str().expect("a text").to_owned(), made["token"]["id"].clone())
    };
    let (good, _) = make(json!({}));
    let (revoked, id) = make(json!({}));
    admin.mutate("revokeToken", "RevokeTokenInput", json!({"token": id}), "token { id }");
    let now = admin.query("{ ledgerNow { asOf } }", json!({}))["ledgerNow"]["asOf"].clone();
    let now = Instant::parse(now.as_str().expect("an instant")).expect("an instant");
    let (expired, _) = make(json!({"expiresAt": now.plus(2_000).to_string()}));
    assert_eq!(bearer(&server, &good).status, 200);
    eventually(10, "the token expires", || (bearer(&server, &expired).status == 401).then_some(()));

    // Of another workspace, and whole: only this one does not know it.
    let other = Server::start();
    let foreign = other.token.clone();
    assert_eq!(bearer(&other, &foreign).status, 200);
    let flipped = |at: usize| {
        let other = if good.as_bytes()[at] == b'0' { "1" } else { "0" };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    };
    let headers = [
        "x-none: 1".to_owned(),
        format!("authorization: Bearer {revoked}"),
        format!("authorization: Bearer {expired}"),
        format!("authorization: Bearer {foreign}"),
        format!("authorization: Bearer {}", flipped(40)),
        format!("authorization: Bearer {}", flipped(10)),
        format!("authorization: Bearer {}", &good[..40]),
        format!("authorization: Bearer {good}0"),
        format!("authorization: Bearer {}", good.to_uppercase()),
        format!("authorization: Bearer {good} {good}"),
        format!("authorization: Bearer {good},{good}"),
        "authorization: Bearer hf_".to_owned(),
        "authorization: Bearer ".to_owned(),
        "authorization: Bearer undefined".to_owned(),
        "authorization: Bearer ' or 1=1 --".to_owned(),
        "authorization: Bearer ../../etc/passwd".to_owned(),
        format!("authorization: Bearer {}", "x".repeat(9_000)),
        format!("authorization: Bearer {}", "x".repeat(100_000)),
        "authorization: Bearer hf_\u{fc}\u{1f4a9}".to_owned(),
        format!("authorization: Basic {good}"),
        format!("authorization: {good}"),
        format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}"),
        format!("authorization: Bearer {good}\r\nAuthorization: Bearer wrong"),
    ];
    let mut texts = vec![];
    for header in &headers {
        let answer = raw(&server, &format!("{ASKED}\r\n{header}"), b"");
        let what = short(header, 80);
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer")),
            "{what}: {answer:?}"
        );
        assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{what}: {answer:?}");
        texts.push(answer.body);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "they differ: {texts:#?}");
    // A megabyte of head is not read to its end, whatever stands in it.
    let answer = raw(&server, &format!("{ASKED}\r\nauthorization: Bearer {}", "x".repeat(1_000_000)), b"");
    assert!(answer.status == 431 && answer.body.is_empty(), "{answer:?}");
    // Whoever is unknown is not heard at all: the body is not read.
    let long = "POST /graphql HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 10000000000";
    let began = std::time::Instant::now();
    assert_eq!(raw(&server, long, b"{").status, 401);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(bearer(&server, &good).status, 200, "the good one is still good");
    sane(&server).expect("the server answers");
}
