//! Tokens: whom they act for, what they may do, and how they end.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use handfast_tests::{Api, Server, card, eventually};
use serde_json::{Value, json};

use crate::charter::Parties;

const SCOPES: [&str; 6] = ["leads:read", "leads:write", "charter:sign", "plugins:deploy", "import", "admin"];
const TOKEN: &str = "secret token { id name scopes createdAt expiresAt revokedAt lastUsedAt user { key } }";

fn ask(user: &str, more: Value) -> Value {
    let mut input = json!({"user": user, "name": "a test", "scopes": ["leads:read"]});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    input
}

fn create(api: &Api, user: &str, more: Value) -> Value {
    api.mutate("createToken", "CreateTokenInput", ask(user, more), TOKEN)
}

fn revoke(api: &Api, token: &Value) -> Value {
    api.attempt("revokeToken", "RevokeTokenInput", json!({"token": token}), "token { id revokedAt }")
}

fn list(api: &Api, user: Option<&str>) -> Vec<Value> {
    let document = "query($user: String) { tokens(user: $user) { id name scopes createdAt expiresAt \
                    revokedAt lastUsedAt user { key } } }";
    api.query(document, json!({"user": user}))["tokens"].as_array().cloned().unwrap_or_default()
}

/// The server's clock, some seconds from now.
fn in_seconds(api: &Api, seconds: i64) -> Value {
    let now = api.query("{ ledgerNow { asOf } }", json!({}))["ledgerNow"]["asOf"].clone();
    let now = handfast_domain::time::Instant::parse(now.as_str().expect("an instant")).expect("an instant");
    json!(now.plus(seconds * 1_000).to_string())
}

fn status(api: &Api) -> (u16, Value) {
    let (status, answer) = api.post(&json!({"query": "{ viewer { key } }"}));
    (status, answer["errors"][0]["extensions"]["code"].clone())
}

fn denied(api: &Api, what: &str) {
    assert_eq!(status(api), (401, json!("UNAUTHENTICATED")), "{what}");
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["code"]
}

#[test]
fn the_text_of_a_token_is_told_once_to_whoever_made_it() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let tried = create(&admin, "mara", json!({"dryRun": true}));
    assert_eq!((&tried["secret"], &tried["token"]["user"]["key"]), (&Value::Null, &json!("mara")), "{tried}");
    let before = list(&admin, Some("mara")).len();
    let input = json!({"idempotencyKey": "k", "scopes": ["leads:write", "leads:read", "leads:write"]});
    let made = create(&admin, "mara", input.clone());
    let secret = made["secret"].as_str().expect("a text");
    assert!(secret.starts_with("hf_") && secret.len() == 41, "{secret}");
    assert_eq!(made["token"]["scopes"], json!(["leads:read", "leads:write"]), "each scope once");
    assert_eq!(status(&server.api(secret)).0, 200);
    let again = create(&admin, "mara", input);
    assert_eq!(
        (&again["secret"], &again["token"]["id"]),
        (&Value::Null, &made["token"]["id"]),
        "a repetition tells nothing"
    );
    let all = list(&admin, Some("mara"));
    assert_eq!((all.len(), &all[0]["id"]), (before + 1, &made["token"]["id"]), "one token, the newest first");
    assert!(!json!(all).to_string().contains(secret), "no answer tells it again");
    let other = create(&admin, "mara", json!({}));
    assert_ne!(other["secret"], made["secret"]);
    let (dir, token) = server.stop();
    for entry in std::fs::read_dir(dir.path()).expect("the data directory") {
        let path = entry.expect("an entry").path();
        let bytes = if path.is_file() { std::fs::read(&path).expect("a file") } else { vec![] };
        let found = [secret, &token]
            .into_iter()
            .any(|text| bytes.windows(text.len()).any(|part| part == text.as_bytes()));
        assert!(!found, "{} holds a token", path.display());
    }
    let server = Server::start_in(dir, Some(token));
    assert_eq!(status(&server.api(secret)).0, 200, "a token outlives a restart");
}

#[test]
fn a_token_is_for_somebody_with_a_purpose_and_known_scopes() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let long = "n".repeat(129);
    let past = in_seconds(&admin, -60);
    let cases = [
        (json!({"user": "marra"}), "user", "nearest: mara"),
        (json!({"name": " "}), "name", "1 to 128"),
        (json!({"name": long}), "name", "found 129"),
        (json!({"name": "two\nlines"}), "name", "line breaks"),
        (
            json!({"scopes": []}),
            "scopes",
            "leads:read, leads:write, leads:erase, charter:sign, plugins:deploy, import, webhooks:write, admin",
        ),
        (json!({"scopes": ["leads:read", "leads:all"]}), "scopes/1", "leads:all"),
        (json!({"scopes": ["ADMIN"]}), "scopes/0", "ADMIN"),
        (json!({"expiresAt": past}), "expiresAt", "later than now"),
    ];
    for (more, path, word) in cases {
        let refused = admin.attempt("createToken", "CreateTokenInput", ask("mara", more.clone()), TOKEN);
        let error = &refused["errors"][0];
        let wanted: Vec<&str> = ["input"].into_iter().chain(path.split('/')).collect();
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(wanted)),
            "{more}: {refused}"
        );
        assert!(error["message"].as_str().is_some_and(|text| text.contains(word)), "{more}: {refused}");
        assert_eq!(
            (&refused["secret"], &refused["token"]),
            (&Value::Null, &Value::Null),
            "{more}: {refused}"
        );
    }
    // Only the administrator makes tokens, also one's own.
    let all = ["leads:read", "leads:write", "charter:sign", "plugins:deploy", "import"];
    for (user, scopes) in
        [("mara", json!(["leads:read"])), ("mara", json!(["admin"])), ("admin", json!(["admin"]))]
    {
        let refused = server.token("mara", &all).attempt(
            "createToken",
            "CreateTokenInput",
            ask(user, json!({"scopes": scopes})),
            TOKEN,
        );
        assert_eq!(
            (code(&refused), &refused["secret"]),
            (&json!("FORBIDDEN"), &Value::Null),
            "{user} {scopes}: {refused}"
        );
    }
}

#[test]
fn a_user_has_no_more_than_a_hundred_valid_tokens() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let mut made = list(&admin, Some("mara")).len();
    let mut last = json!(null);
    while made < 100 {
        last = create(&admin, "mara", json!({}))["token"]["id"].clone();
        made += 1;
    }
    let refused = admin.attempt("createToken", "CreateTokenInput", ask("mara", json!({})), TOKEN);
    assert_eq!(refused["errors"][0]["path"], json!(["input", "user"]), "{refused}");
    assert!(
        refused["errors"][0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("100") && text.contains("revoke")),
        "{refused}"
    );
    revoke(&admin, &last);
    create(&admin, "mara", json!({}));
    create(&admin, "admin", json!({}));
}

#[test]
fn a_token_does_what_its_scopes_say_and_nothing_else() {
    let parties = Parties::start();
    let server = &parties.server;
    let lead = parties.admin.capture("lead@example.test");
    let digest = server.push("scorecard");
    let rows = server.admin().put_blob("import", b"email\nrow@example.test\n");
    let body = parties.body(|_| {});
    let at = json!({"otherwise": "2026-03-01T00:00:00Z"});
    let mapping =
        json!({"system": "crm", "id": "email", "occurredAt": at, "lead": {"email": "email"}}).to_string();
    // What each does, the scope that it needs, and an input that is good but for the rights.
    let does = [
        ("captureLead", "CaptureLeadInput", "leads:write", json!({"lead": {"email": "new@example.test"}})),
        (
            "recordTouchpoints",
            "RecordTouchpointsInput",
            "leads:write",
            json!({"touchpoints": [{"lead": {"id": lead["id"]}, "channel": "EMAIL"}]}),
        ),
        ("evaluateLead", "LeadTarget", "leads:write", json!({"lead": {"id": lead["id"]}})),
        (
            "createCampaign",
            "CreateCampaignInput",
            "leads:write",
            json!({"key": "c", "name": "C", "kind": "fair", "channel": "EVENT"}),
        ),
        ("proposeCharter", "ProposeCharterInput", "charter:sign", json!({"body": body})),
        (
            "deployPlugin",
            "DeployPluginInput",
            "plugins:deploy",
            json!({"slot": "mql", "digest": digest, "settings": card(10).to_string(), "mode": "LIVE"}),
        ),
        (
            "startImport",
            "StartImportInput",
            "import",
            json!({"digest": rows, "name": "rows", "mapping": mapping}),
        ),
        ("upsertQueue", "UpsertQueueInput", "admin", json!({"key": "q", "name": "Q", "team": "sales"})),
        ("createToken", "CreateTokenInput", "admin", ask("mara", json!({}))),
    ];
    let reads = [
        "{ leads { edges { cursor } } }",
        "{ charter { number } }",
        "{ funnel { asOf } }",
        "{ users { key } }",
        "{ feedHead }",
    ];
    for scope in SCOPES {
        let api = server.token("mara", &[scope]);
        for document in reads {
            let (_, answer) = api.post(&json!({"query": document}));
            match scope {
                "leads:read" | "admin" => {
                    assert_eq!(answer["errors"], Value::Null, "{scope} {document}: {answer}")
                }
                _ => {
                    let error = &answer["errors"][0];
                    assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{scope} {document}: {answer}");
                    assert!(
                        error["message"].as_str().is_some_and(|text| text.contains("leads:read")),
                        "{scope} {document}: {answer}"
                    );
                }
            }
        }
        for (field, kind, needs, input) in &does {
            let answer = api.attempt(field, kind, input.clone(), "__typename");
            let forbidden = *code(&answer) == "FORBIDDEN";
            let may = [*needs, "admin"].contains(&scope);
            assert_eq!(forbidden, !may, "{field} with {scope}: {answer}");
            // The second who may find some of it done.
            let done = answer["errors"] == json!([]) || *code(&answer) == "ALREADY_EXISTS";
            assert!(done || !may, "{field} with {scope}: {answer}");
            if forbidden {
                let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
                assert!(message.contains(needs), "{field} with {scope}: {message}");
            }
        }
        let viewer = api.query("{ viewer { key } tokens { id } }", json!({}));
        assert_eq!(viewer["viewer"]["key"], "mara", "everybody may know who they are: {scope}");
    }
}

#[test]
fn a_token_that_may_only_write_learns_nothing_about_a_known_person() {
    let server = Server::start();
    let input =
        json!({"lead": {"email": "known@example.test", "name": "Known Person", "phone": "+4930901820"}});
    server.admin().mutate("captureLead", "CaptureLeadInput", input, "created");
    server.user("form", "marketing");
    let form = server.token("form", &["leads:write"]);
    let selection = "lead { contact { name phone } timeline { detail } }";
    let cases = [
        ("captureLead", "CaptureLeadInput", json!({"lead": {"email": "known@example.test"}})),
        ("evaluateLead", "LeadTarget", json!({"lead": {"email": "known@example.test"}})),
    ];
    for (field, kind, input) in cases {
        let query = format!(
            "mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} errors {{ code }} }} }}"
        );
        let (_, answer) = form.post(&json!({"query": query, "variables": {"input": input}}));
        let text = answer.to_string();
        assert!(!text.contains("Known Person") && !text.contains("+4930901820"), "{field}: {text}");
    }
}

#[test]
fn a_token_without_a_scope_does_not_learn_who_is_known() {
    let server = Server::start();
    server.admin().capture("known@example.test");
    server.user("mara", "marketing");
    let api = server.token("mara", &["charter:sign"]);
    let cases = [
        ("evaluateLead", "LeadTarget", json!({})),
        ("recycleLead", "RecycleLeadInput", json!({"reason": "NOT_READY"})),
    ];
    for (field, kind, more) in cases {
        let of = |email: &str| {
            let mut input = more.clone();
            input["lead"] = json!({"email": email});
            api.attempt(field, kind, input, "lead { id }")["errors"].clone()
        };
        assert_eq!(of("unknown@example.test"), of("known@example.test"), "{field}: both are refused alike");
    }
    let touch = |email: &str| {
        let input = json!({"touchpoints": [{"lead": {"email": email}, "channel": "EMAIL"}]});
        api.attempt("recordTouchpoints", "RecordTouchpointsInput", input, "leads")["errors"].clone()
    };
    assert_eq!(touch("unknown@example.test"), touch("known@example.test"));
}

#[test]
fn marketings_verbs_are_not_for_sales_and_sales_verbs_not_for_marketing() {
    let parties = Parties::start();
    let Parties { server, admin, marketing, sales } = &parties;
    parties.ready_for_deals();
    let lead = json!({"lead": {"email": "mql@example.test", "consent": true}});
    let lead = admin.mutate("captureLead", "CaptureLeadInput", lead, "lead { id stage }")["lead"].clone();
    assert_eq!(lead["stage"], "MQL", "{lead}");
    let with = |more: Value| {
        let mut input = json!({"lead": {"id": lead["id"]}});
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        input
    };
    let money = json!({"amount": {"amountMinor": "100", "currency": "EUR"}});
    let cases = [
        (
            "MARKETING",
            "createCampaign",
            "CreateCampaignInput",
            json!({"key": "c", "name": "C", "kind": "fair", "channel": "EVENT"}),
        ),
        ("MARKETING", "routeLead", "RouteLeadInput", with(json!({}))),
        ("SALES", "acceptHandoff", "LeadTarget", with(json!({}))),
        ("SALES", "rejectHandoff", "RejectHandoffInput", with(json!({"reason": "NO_CONTEXT"}))),
        ("SALES", "logActivity", "LogActivityInput", with(json!({"kind": "CALL", "direction": "OUTBOUND"}))),
        ("SALES", "qualify", "QualifyInput", with(json!({"answers": []}))),
        ("SALES", "recordOpportunity", "RecordOpportunityInput", with(money.clone())),
        ("SALES", "closeWon", "CloseWonInput", with(money)),
        ("SALES", "closeLost", "CloseLostInput", with(json!({"reason": "HOLDING_OFF"}))),
    ];
    let ops = server.user("olga", "ops");
    for (side, field, kind, input) in cases {
        let (wrong, name) = if side == "SALES" { (marketing, "MARKETING") } else { (sales, "SALES") };
        for (api, name) in [(wrong, name), (&ops, "OPS")] {
            let refused = api.attempt(field, kind, input.clone(), "__typename");
            assert_eq!(*code(&refused), "FORBIDDEN", "{field} by {name}: {refused}");
            let message = refused["errors"][0]["message"].as_str().unwrap_or_default();
            assert!(message.contains(side) && message.contains(name), "{field} by {name}: {message}");
        }
    }
    let announce = |api: &Api| {
        let document = "mutation { announceSignal(signal: \"none\") { errors { code message } } }";
        api.query(document, json!({}))["announceSignal"]["errors"][0]["code"].clone()
    };
    assert_eq!(
        (announce(sales), announce(&ops), announce(marketing)),
        (json!("FORBIDDEN"), json!("FORBIDDEN"), json!("VALIDATION"))
    );
    // A plugin is deployed by the team whose slot it is.
    let digest = server.push("scorecard");
    let input = json!({"slot": "mql", "digest": digest, "settings": card(20).to_string(), "mode": "LIVE"});
    let refused = sales.attempt("deployPlugin", "DeployPluginInput", input, "deployment { id }");
    assert_eq!(*code(&refused), "FORBIDDEN", "{refused}");
}

#[test]
fn a_token_ends_when_it_expires() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let made = create(&admin, "mara", json!({"expiresAt": in_seconds(&admin, 2)}));
    assert!(made["token"]["expiresAt"].is_string(), "{made}");
    let api = server.api(made["secret"].as_str().expect("a text"));
    assert_eq!(status(&api).0, 200, "valid until then");
    // A stream that is open then ends, too.
    let (begun, stream) = (Instant::now(), open_stream(&api));
    let lines = stream.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n");
    assert!(begun.elapsed() < Duration::from_secs(20), "the stream lasted {:?}", begun.elapsed());
    assert!(!lines.contains("event: complete"), "it was cut, not completed: {lines}");
    denied(&api, "expired");
    let kept = list(&admin, Some("mara"))
        .into_iter()
        .find(|token| token["id"] == made["token"]["id"])
        .expect("it is listed");
    assert_eq!(kept["revokedAt"], Value::Null, "{kept}");
}

/// An event stream of stage changes, as its lines come.
fn open_stream(api: &Api) -> impl BufRead + use<> {
    let body = json!({"query": "subscription { leadStageChanged { to } }"});
    let response = ureq::post(format!("{}/graphql/stream", api.url))
        .header("authorization", format!("Bearer {}", api.token))
        .header("accept", "text/event-stream")
        .send_json(&body)
        .expect("a stream");
    BufReader::new(response.into_body().into_reader())
}

#[test]
fn a_revoked_token_ends_at_once() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let made = create(&admin, "mara", json!({"scopes": ["leads:read", "leads:write"]}));
    let api = server.api(made["secret"].as_str().expect("a text"));
    assert_eq!(status(&api).0, 200);
    let tried = admin.mutate(
        "revokeToken",
        "RevokeTokenInput",
        json!({"token": made["token"]["id"], "dryRun": true}),
        "token { revokedAt }",
    );
    assert!(tried["token"]["revokedAt"].is_string(), "{tried}");
    assert_eq!(status(&api).0, 200, "a dry run ends nothing");
    let ended = revoke(&api, &made["token"]["id"]);
    assert!(ended["token"]["revokedAt"].is_string(), "one's own needs no other right: {ended}");
    denied(&api, "revoked");
    let again = revoke(&admin, &made["token"]["id"]);
    assert_eq!(again["token"], ended["token"], "revoked once more, it keeps its time");
    for (bad, expected) in [("nonsense", "VALIDATION"), ("01a217bd-0000-7000-8000-000000000000", "NOT_FOUND")]
    {
        let refused = revoke(&admin, &json!(bad));
        assert_eq!(
            (code(&refused), &refused["errors"][0]["path"]),
            (&json!(expected), &json!(["input", "token"])),
            "{refused}"
        );
    }
    let (dir, token) = server.stop();
    let server = Server::start_in(dir, Some(token));
    denied(&server.api(made["secret"].as_str().expect("a text")), "revoked before the restart");
}

#[test]
fn a_revoked_token_hears_nothing_more_on_an_open_stream() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let made = create(&admin, "mara", json!({}));
    let api = server.api(made["secret"].as_str().expect("a text"));
    let stream = open_stream(&api);
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || stream.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    admin.capture("before@example.test");
    eventually(5, "the stream tells of a lead", || lines.try_iter().find(|line| line.contains("INQUIRY")));
    revoke(&admin, &made["token"]["id"]);
    std::thread::sleep(Duration::from_secs(1));
    admin.capture("after@example.test");
    std::thread::sleep(Duration::from_secs(1));
    let heard: Vec<String> = lines.try_iter().filter(|line| line.starts_with("data:")).collect();
    assert_eq!(heard, Vec::<String>::new(), "it heard of leads after its end");
}

#[test]
fn nobody_sees_or_ends_the_tokens_of_others() {
    let server = Server::start();
    let admin = server.admin();
    let (mara, saul) = (server.user("mara", "marketing"), server.user("saul", "sales"));
    // When it was used last changes with every look.
    let list = |api: &Api, user| {
        let mut tokens = list(api, user);
        tokens.iter_mut().for_each(|token| token["lastUsedAt"] = Value::Null);
        tokens
    };
    let mine = list(&mara, None);
    assert!(mine.len() == 1 && mine[0]["user"]["key"] == "mara", "{mine:?}");
    assert_eq!(list(&mara, Some("mara")), mine, "one's own by name as well");
    assert_eq!(list(&admin, Some("mara")), mine, "the administrator sees anybody's");
    let document = "query($user: String) { tokens(user: $user) { id } }";
    for (api, user, expected) in
        [(&mara, "saul", "FORBIDDEN"), (&mara, "nobody", "FORBIDDEN"), (&admin, "nobody", "NOT_FOUND")]
    {
        assert_eq!(api.error(document, json!({"user": user}))["extensions"]["code"], expected, "{user}");
    }
    let refused = revoke(&saul, &mine[0]["id"]);
    assert_eq!(
        (code(&refused), &refused["token"]),
        (&json!("NOT_FOUND"), &Value::Null),
        "as if it were not there: {refused}"
    );
    assert_eq!(status(&mara).0, 200);
    revoke(&admin, &mine[0]["id"]);
    denied(&mara, "the administrator ends any");
}

#[test]
fn a_token_shows_when_it_was_used_last() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let made = create(&admin, "mara", json!({}));
    assert_eq!(made["token"]["lastUsedAt"], Value::Null, "never yet: {made}");
    let api = server.api(made["secret"].as_str().expect("a text"));
    assert_eq!(status(&api).0, 200);
    eventually(5, "the use is noted", || {
        list(&admin, Some("mara"))[0]["lastUsedAt"].as_str().map(str::to_owned)
    });
}

#[test]
fn every_wrong_token_gets_the_same_answer() {
    let server = Server::start();
    let admin = server.admin();
    server.user("mara", "marketing");
    let made = create(&admin, "mara", json!({}));
    let good = made["secret"].as_str().expect("a text").to_owned();
    revoke(&admin, &made["token"]["id"]);
    let changed = format!("{}{}", &good[..40], if good.ends_with('0') { '1' } else { '0' });
    let wrong = [
        good.clone(),
        changed,
        good.to_lowercase(),
        format!("{good}x"),
        good[3..].to_owned(),
        "x".repeat(9_000),
        String::new(),
    ];
    let answers: Vec<Value> = wrong
        .iter()
        .map(|token| {
            let (status, mut answer) = server.api(token).post(&json!({"query": "{ viewer { key } }"}));
            assert_eq!(status, 401, "{token}");
            answer["errors"][0]["extensions"].as_object_mut().expect("extensions").remove("requestId");
            answer
        })
        .collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}
