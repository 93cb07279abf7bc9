//! Tokens of an OpenID Connect issuer, which is a real one: `oidc-provider`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use handfast_tests::{Api, Server, clients, eventually};
use serde_json::{Value, json};

/// The issuer. It ends with the test.
struct Issuer {
    child: Child,
    url: String,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Issuer {
    /// None without the npm clients.
    fn start() -> Option<Issuer> {
        let mut node = Command::new("node");
        node.arg("issuer.mjs").current_dir(clients()?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node.stderr(Stdio::null()).spawn().expect("node runs");
        let say = child.stdin.take().expect("a pipe");
        let hear = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut issuer = Issuer { child, url: String::new(), say, hear };
        issuer.url = issuer.line();
        Some(issuer)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.hear.read_line(&mut line).expect("the issuer answers");
        line.trim().to_owned()
    }

    fn ask(&mut self, what: Value) -> String {
        writeln!(self.say, "{what}").expect("the issuer listens");
        self.line()
    }

    /// A token that the issuer itself gives out.
    fn issue(&mut self, resource: &str, scope: &str) -> String {
        self.ask(json!({"kind": "issue", "resource": resource, "scope": scope}))
    }

    /// A token with other headers and claims than the issuer's, signed with its key unless a stranger's.
    fn forge(&mut self, header: Value, claims: Value, stranger: bool) -> String {
        self.ask(json!({"kind": "forge", "header": header, "claims": claims, "stranger": stranger}))
    }

    /// A server that trusts it and knows its user ada.
    fn trusted(&self) -> Server {
        let server = Server::configured(&[("HANDFAST__OIDC__ISSUER", &self.url)]);
        server.user("ada", "marketing");
        server
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn reads(api: &Api) -> (u16, Value) {
    api.post(&json!({"query": "{ funnel { won } }"}))
}

#[test]
fn a_token_of_the_issuer_speaks_for_its_user_within_its_scopes() {
    let Some(mut issuer) = Issuer::start() else { return };
    let server = issuer.trusted();
    let reader = server.api(&issuer.issue("urn:handfast", "leads:read"));
    assert_eq!(reads(&reader).0, 200);
    let input = json!({"lead": {"email": "a@example.test", "source": "test"}});
    let capture = "mutation($input: CaptureLeadInput!) { captureLead(input: $input) { lead { id } errors { code message } } }";
    let (_, refused) = reader.post(&json!({"query": capture, "variables": {"input": input}}));
    assert!(refused.to_string().contains("leads:write"), "the missing scope is named: {refused}");
    let writer = server.api(&issuer.issue("urn:handfast", "leads:read leads:write"));
    writer.capture("b@example.test");
    let events = writer.query(
        "{ events(first: 500, filter: {kinds: [\"LEAD_CAPTURED\"]}) { events { user { key } } } }",
        json!({}),
    );
    assert_eq!(events["events"]["events"][0]["user"]["key"], "ada", "{events}");
}

#[test]
fn whatever_is_wrong_with_a_token_the_answer_is_the_same() {
    let Some(mut issuer) = Issuer::start() else { return };
    let server = issuer.trusted();
    assert_eq!(reads(&server.api(&issuer.forge(json!({}), json!({}), false))).0, 200, "a good one passes");
    let none = json!({});
    let far = 9_000_000_000_000_000_000_i64;
    let mut tokens: Vec<(&str, String)> = vec![
        ("another audience", issuer.issue("urn:other", "leads:read")),
        ("no dots", "hello".into()),
        ("one dot", "a.b".into()),
        ("not base64url", "a+b.c/d.e=f".into()),
        ("empty parts", "..".into()),
        ("longer than any token", format!("a.b.{}", "c".repeat(16 * 1024))),
    ];
    for (what, header, claims, stranger) in [
        ("alg none", json!({"alg": "none"}), &none, false),
        ("HS256 signed with the public key", json!({"alg": "HS256"}), &none, false),
        ("another algorithm of the family", json!({"alg": "RS512"}), &none, false),
        ("a stranger's signature", json!({}), &none, true),
        ("a stranger's key in the header", json!({"jku": "https://attacker.example.test/keys"}), &none, true),
        ("a key id that is a path", json!({"kid": "../../../../etc/passwd"}), &none, false),
        ("a key id that is SQL", json!({"kid": "' OR 1=1 --"}), &none, false),
        ("no key id", json!({"kid": null}), &none, false),
        ("the type of an ID token", json!({"typ": "JWT"}), &none, false),
        ("no type", json!({"typ": null}), &none, false),
        ("critical extensions", json!({"crit": ["exp"]}), &none, false),
        ("another issuer", json!({}), &json!({"iss": "https://other.example.test"}), false),
        ("other audiences", json!({}), &json!({"aud": ["a", "b"]}), false),
        ("no audience", json!({}), &json!({"aud": null}), false),
        ("expired", json!({}), &json!({"exp": "now-1"}), false),
        ("no end", json!({}), &json!({"exp": null}), false),
        ("an end in the far future", json!({}), &json!({"exp": far}), false),
        ("an end that is no whole number", json!({}), &json!({"exp": 9e18}), false),
        ("an end that is a text", json!({}), &json!({"exp": "1999999999"}), false),
        ("not valid yet", json!({}), &json!({"nbf": "now+3600"}), false),
        ("nobody that there is", json!({}), &json!({"sub": "nobody"}), false),
        ("no subject", json!({}), &json!({"sub": null}), false),
    ] {
        tokens.push((what, issuer.forge(header, claims.clone(), stranger)));
    }
    let mut told = None;
    for (what, token) in &tokens {
        let (status, answer) = reads(&server.api(token));
        let error = &answer["errors"][0];
        assert_eq!(
            (status, &error["extensions"]["code"]),
            (401, &json!("UNAUTHENTICATED")),
            "{what}: {answer}"
        );
        let told = told.get_or_insert_with(|| error["message"].clone());
        assert_eq!(&error["message"], told, "{what}");
    }
    let log = server.log().join("\n");
    for (what, token) in &tokens {
        assert!(token.len() < 20 || !log.contains(token.as_str()), "{what}: the token stands in the log");
    }
}

#[test]
fn new_keys_of_the_issuer_are_found_and_its_silence_ends_nothing() {
    let Some(mut issuer) = Issuer::start() else { return };
    let server = issuer.trusted();
    let old = server.api(&issuer.issue("urn:handfast", "leads:read"));
    assert_eq!(reads(&old).0, 200);
    issuer.ask(json!({"kind": "rotate"}));
    let new = server.api(&issuer.issue("urn:handfast", "leads:read"));
    eventually(20, "the new key is found", || (reads(&new).0 == 200).then_some(()));
    assert_eq!(reads(&old).0, 200, "the old key is still among them");
    drop(issuer);
    assert_eq!((reads(&old).0, reads(&new).0), (200, 200), "known keys serve on");
}

#[test]
fn a_stream_ends_with_the_token_that_opened_it() {
    let Some(mut issuer) = Issuer::start() else { return };
    let server = issuer.trusted();
    let token = issuer.forge(json!({}), json!({"exp": "now+3"}), false);
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build().into();
    let began = Instant::now();
    let mut answer = agent
        .get(format!("{}/graphql/stream?query=subscription%7BleadStageChanged%7Bcursor%7D%7D", server.url))
        .header("authorization", format!("Bearer {token}"))
        .call()
        .expect("the stream opens");
    let heard = answer.body_mut().read_to_string().expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(!heard.contains("event: complete"), "it was cut: {heard}");
    assert_eq!(reads(&server.api(&token)).0, 401);
}
