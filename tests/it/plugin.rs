//! Rules as their teams meet them: files come in, are checked, deployed, taken back; and whatever a rule
//! does, it harms nobody but itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use handfast_tests::{Api, Server, card, eventually, fair_share, plugin, root};
use serde_json::{Value, json};

/// A request to `/blobs`: status, the header Allow, the body.
fn blobs(
    server: &Server,
    method: &str,
    query: &str,
    token: Option<&str>,
    bytes: &[u8],
) -> (u16, String, Value) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
    let agent: ureq::Agent = config.build().into();
    let mut request =
        ureq::http::Request::builder().method(method).uri(format!("{}/blobs{query}", server.url));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut response = match method {
        "GET" => agent.run(request.body(()).expect("a request")),
        _ => agent.run(request.body(bytes).expect("a request")),
    }
    .expect("the server answers");
    let allow =
        response.headers().get("allow").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    (response.status().as_u16(), allow, response.body_mut().read_json().unwrap_or_default())
}

/// A wasm file with other bytes and the same behaviour: a custom section is added at its end.
fn other_bytes(wasm: &[u8], note: &str) -> Vec<u8> {
    let length = u8::try_from(note.len()).expect("a short note");
    [wasm, &[0, length + 1, length], note.as_bytes()].concat()
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(plugin(name)).expect("a built plugin")
}

/// A case of the scorecard that holds.
fn card_case() -> String {
    let leads = json!([{"fields": {"contact.consent": true}, "expect": {"outcome": "ADVANCE", "fit": 10}}]);
    json!({"name": "consent", "settings": card(10), "asOf": "2026-03-01T09:00:00Z", "leads": leads})
        .to_string()
}

/// A case of the bombs that does not blow up.
fn quiet_case(outcome: &str) -> String {
    let leads = json!([{"fields": {"company.employees": 5}, "expect": {"outcome": outcome}}]);
    json!({"name": "quiet", "settings": {"act": "behave"}, "asOf": "2026-03-01T09:00:00Z", "leads": leads})
        .to_string()
}

const VERSION: &str = "version { digest name label team kind status caseCount }";

/// Uploads bytes and waits for their checks.
fn upload(api: &Api, bytes: &[u8], cases: Value, label: Option<&str>) -> Value {
    let digest = api.put_blob("plugin", bytes);
    let input = json!({"digest": digest, "team": "marketing", "cases": cases, "label": label});
    api.mutate("uploadPluginVersion", "UploadPluginVersionInput", input, VERSION);
    settled(api, &digest)
}

fn settled(api: &Api, digest: &str) -> Value {
    let document = "query($digest: Digest!) { pluginVersion(digest: $digest) { \
                    digest name label team kind status caseCount \
                    checks { name ok code message } } }";
    eventually(60, "the checks end", || {
        let version = api.query(document, json!({"digest": digest}))["pluginVersion"].clone();
        (version["status"] != "VALIDATING").then_some(version)
    })
}

/// The check that refused a version.
fn refusal(version: &Value) -> Value {
    let checks = version["checks"].as_array().expect("checks");
    let failed: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(failed.len(), 1, "the first refusal ends the checks: {version}");
    assert_eq!(failed[0], checks.last().expect("a check"), "{version}");
    failed[0].clone()
}

/// A version of the bombs that can be deployed.
fn bombs(api: &Api) -> String {
    let version = upload(api, &read("bombs"), json!([quiet_case("HOLD")]), None);
    assert_eq!(version["status"], "VALIDATED", "{version}");
    version["digest"].as_str().expect("a digest").to_owned()
}

/// What fails here fails on purpose: no breaker takes it back.
fn deploy(api: &Api, slot: &str, digest: &str, settings: &Value) -> Value {
    let breaker = json!({"failures": 1_000, "window": 1_000});
    let input = json!({"slot": slot, "digest": digest, "settings": settings.to_string(), "mode": "LIVE",
        "breaker": breaker});
    api.attempt("deployPlugin", "DeployPluginInput", input, DEPLOYMENT)
}

const DEPLOYMENT: &str = "deployment { id slot state versionDigest settingsDigest rollbackOf }";

fn rollback(api: &Api, slot: &str, reason: &str) -> Value {
    api.attempt("rollback", "RollbackInput", json!({"slot": slot, "reason": reason}), DEPLOYMENT)
}

/// A lead of a company with so many employees, as captured, with what the rules said.
fn judged(api: &Api, email: &str, employees: i32) -> Value {
    let lead = json!({"email": email, "consent": true,
        "company": {"name": email, "employees": employees, "industry": "steel"}});
    let selection = "lead { id stage workState outcome nextEvaluationAt greySlots evaluations { decisions { \
                     id slot status outcome output message version settings } } }";
    api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), selection)["lead"].clone()
}

#[test]
fn a_file_is_taken_only_as_what_it_is_for_and_from_whoever_may_send_it() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let (reader, importer) = (server.token("mia", &["leads:read"]), server.token("mia", &["import"]));
    let cases = [
        ("PUT", "?kind=plugin", None, 401, "UNAUTHENTICATED", "Authorization: Bearer"),
        ("PUT", "?kind=plugin", Some("hf_nobody"), 401, "UNAUTHENTICATED", "Authorization: Bearer"),
        ("PUT", "?kind=plugin", Some(reader.token.as_str()), 403, "FORBIDDEN", "plugins:deploy"),
        ("PUT", "?kind=plugin", Some(importer.token.as_str()), 403, "FORBIDDEN", "plugins:deploy"),
        ("PUT", "?kind=import", Some(reader.token.as_str()), 403, "FORBIDDEN", "scope import"),
        ("PUT", "?kind=poem", Some(mia.token.as_str()), 400, "BAD_REQUEST", "kind=plugin or ?kind=import"),
        ("PUT", "", Some(mia.token.as_str()), 400, "BAD_REQUEST", "kind=plugin or ?kind=import"),
        ("GET", "?kind=plugin", Some(mia.token.as_str()), 405, "METHOD_NOT_ALLOWED", "PUT /blobs"),
        ("POST", "?kind=plugin", Some(mia.token.as_str()), 405, "METHOD_NOT_ALLOWED", "PUT /blobs"),
        ("DELETE", "?kind=plugin", Some(mia.token.as_str()), 405, "METHOD_NOT_ALLOWED", "PUT /blobs"),
    ];
    for (method, query, token, status, code, message) in cases {
        let (found, allow, answer) = blobs(&server, method, query, token, b"abc");
        let error = &answer["errors"][0];
        assert_eq!(
            (found, &error["extensions"]["code"]),
            (status, &json!(code)),
            "{method} {query}: {answer}"
        );
        assert!(
            error["message"].as_str().unwrap_or_default().contains(message),
            "{method} {query}: {answer}"
        );
        assert_eq!(allow, if status == 405 { "PUT" } else { "" }, "{method} {query}");
    }
    for kind in ["plugin", "import"] {
        let (status, _, answer) = blobs(&server, "PUT", &format!("?kind={kind}"), Some(&mia.token), b"abc");
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((status, answer), (200, json!({"kind": kind, "sha256": sha256, "size": 3})));
    }
}

#[test]
fn a_file_above_the_limit_of_its_kind_is_refused_and_leaves_nothing() {
    let server = Server::start();
    let big = vec![0; (32 << 20) + 1];
    let (status, _, answer) = blobs(&server, "PUT", "?kind=plugin", Some(&server.token), &big);
    assert_eq!(
        (status, &answer["errors"][0]["extensions"]["code"]),
        (413, &json!("PAYLOAD_TOO_LARGE")),
        "{answer}"
    );
    assert!(
        answer["errors"][0]["message"].as_str().unwrap().contains("33554432"),
        "it says the limit: {answer}"
    );
    let left = std::fs::read_dir(server.dir.path().join("blobs")).expect("the folder of files").count();
    assert_eq!(left, 0, "no draft stays behind");
    let (status, _, answer) = blobs(&server, "PUT", "?kind=plugin", Some(&server.token), b"small");
    assert_eq!(status, 200, "the next one is taken: {answer}");
}

#[test]
fn an_upload_names_a_file_that_came_before_and_a_team_of_ones_own() {
    let server = Server::start();
    let (admin, mia, rob) = (server.admin(), server.user("mia", "marketing"), server.user("rob", "sales"));
    let file = mia.put_blob("plugin", b"no rule");
    let table = mia.put_blob("import", b"email\na@example.test\n");
    let upload = |api: &Api, digest: &str, more: Value| {
        let mut input = json!({"digest": digest, "team": "marketing", "cases": []});
        for (key, value) in more.as_object().unwrap() {
            input[key] = value.clone();
        }
        api.attempt("uploadPluginVersion", "UploadPluginVersionInput", input, VERSION)
    };
    let unknown = "0".repeat(64);
    let many: Vec<String> = vec![card_case(); 201];
    let cases = [
        ("never sent", &mia, &unknown, json!({}), "NOT_FOUND", json!(["input", "digest"])),
        ("sent as an import", &mia, &table, json!({}), "NOT_FOUND", json!(["input", "digest"])),
        ("of another team", &rob, &file, json!({}), "FORBIDDEN", json!(["input", "team"])),
        ("of no team", &admin, &file, json!({"team": "poets"}), "VALIDATION", json!(["input", "team"])),
        ("an odd label", &mia, &file, json!({"label": "one two"}), "VALIDATION", json!(["input", "label"])),
        ("an empty label", &mia, &file, json!({"label": ""}), "VALIDATION", json!(["input", "label"])),
        (
            "a case that is no JSON",
            &mia,
            &file,
            json!({"cases": ["[]", "{"]}),
            "VALIDATION",
            json!(["input", "cases", "1"]),
        ),
        (
            "a case of another shape",
            &mia,
            &file,
            json!({"cases": ["{\"leads\": 3}"]}),
            "VALIDATION",
            json!(["input", "cases", "0"]),
        ),
        ("too many cases", &mia, &file, json!({"cases": many}), "VALIDATION", json!(["input", "cases"])),
    ];
    for (name, api, digest, more, code, path) in cases {
        let payload = upload(api, digest, more);
        let error = &payload["errors"][0];
        assert_eq!((&error["code"], &error["path"]), (&json!(code), &path), "{name}: {payload}");
        assert_eq!(payload["version"], json!(null), "{name}");
    }
    let reader = server.token("mia", &["leads:read", "leads:write"]);
    assert_eq!(upload(&reader, &file, json!({}))["errors"][0]["code"], "FORBIDDEN", "the scope is missing");
    let error = mia.error(
        "mutation($in: UploadPluginVersionInput!) { uploadPluginVersion(input: $in) { version { digest } } }",
        json!({"in": {"digest": "beef", "team": "marketing", "cases": []}}),
    );
    assert_eq!(error["extensions"]["code"], "VALIDATION", "{error}");
}

#[test]
fn bytes_that_are_no_rule_are_refused_with_the_reason_and_the_server_goes_on() {
    let server = Server::start();
    let api = server.admin();
    let wasm = read("scorecard");
    let flipped = |place: usize, mask: u8| {
        let mut bytes = wasm.clone();
        bytes[place] ^= mask;
        bytes
    };
    let half = wasm.len() / 2;
    let cases = [
        ("an empty file", vec![], "PLUGIN_NOT_A_COMPONENT", "does not begin like wasm"),
        (
            "a web page",
            b"<!doctype html><title>404</title>".to_vec(),
            "PLUGIN_NOT_A_COMPONENT",
            "does not begin like wasm",
        ),
        (
            "a program",
            [b"\x7fELF".as_slice(), &[2; 64]].concat(),
            "PLUGIN_NOT_A_COMPONENT",
            "does not begin like wasm",
        ),
        (
            "a core module",
            b"\0asm\x01\0\0\0".to_vec(),
            "PLUGIN_NOT_A_COMPONENT",
            "a core module, not a component",
        ),
        ("only the magic", b"\0asm".to_vec(), "PLUGIN_MALFORMED", "at byte"),
        ("half of it", wasm[..half].to_vec(), "PLUGIN_MALFORMED", "at byte"),
        ("all but the last byte", wasm[..wasm.len() - 1].to_vec(), "PLUGIN_MALFORMED", "at byte"),
        ("a flipped bit at 100", flipped(100, 0x40), "PLUGIN_MALFORMED", "at byte"),
        ("an empty component", b"\0asm\x0d\0\x01\0".to_vec(), "PLUGIN_WORLD_MISMATCH", "handfast:rules"),
    ];
    for (name, bytes, code, message) in cases {
        let version = upload(&api, &bytes, json!([]), None);
        assert_eq!(
            (&version["status"], &version["kind"]),
            (&json!("REJECTED"), &json!(null)),
            "{name}: {version}"
        );
        let check = refusal(&version);
        assert_eq!(check["code"], code, "{name}: {check}");
        assert!(check["message"].as_str().unwrap().contains(message), "{name}: {check}");
        let digest = version["digest"].as_str().unwrap();
        let refused = deploy(&api, "mql", digest, &card(10));
        assert_eq!(refused["errors"][0]["code"], "PLUGIN_REJECTED", "{name}: {refused}");
    }
    // Bits of the code itself, which differ from build to build: most of them are still wasm, and some even a rule. None of it stops the
    // server.
    for place in (0..10).map(|step| 5_000 + step * 21_001).filter(|place| *place < wasm.len()) {
        let version = upload(
            &api,
            &flipped(place, 1 << (place % 8)),
            json!([card_case()]),
            Some(&format!("bit-{place}")),
        );
        if version["status"] == "REJECTED" {
            let check = refusal(&version);
            assert!(check["code"].is_string() && check["code"] != "INTERNAL", "{place}: {version}");
            assert!(!check["message"].as_str().unwrap().is_empty(), "{place}: {version}");
        }
    }
    assert_eq!(judged(&api, "after@example.test", 5)["stage"], "INQUIRY", "the server answers");
    assert_eq!(
        upload(&api, &wasm, json!([card_case()]), None)["status"],
        "VALIDATED",
        "and takes a good one"
    );
}

#[test]
fn a_refusal_names_only_commands_that_exist() {
    let server = Server::start();
    let api = server.admin();
    for bytes in [b"".as_slice(), b"\0asm\x01\0\0\0", b"\0asm"] {
        let check = refusal(&upload(&api, bytes, json!([]), None));
        let message = check["message"].as_str().unwrap();
        for command in message.split('`').filter_map(|quoted| quoted.strip_prefix("handfast ")) {
            let words: Vec<&str> = command.split(' ').take(2).chain(["--help"]).collect();
            let helped = server.cli(&words);
            assert!(helped.status.success(), "`handfast {command}` does not exist: {message}");
        }
    }
}

#[test]
fn the_same_bytes_are_one_version_and_a_label_never_moves_to_others() {
    let server = Server::start();
    let api = server.admin();
    let wasm = read("scorecard");
    let first = upload(&api, &wasm, json!([card_case()]), None);
    assert_eq!((&first["status"], &first["name"]), (&json!("VALIDATED"), &json!("scorecard")), "{first}");
    let label = first["label"].as_str().unwrap().to_owned();
    assert_eq!(upload(&api, &wasm, json!([card_case()]), None), first, "the same bytes again");
    let other = other_bytes(&wasm, "rebuilt");
    let taken = upload(&api, &other, json!([card_case()]), None);
    assert_eq!(taken["status"], "REJECTED", "{taken}");
    let check = refusal(&taken);
    assert_eq!(check["code"], "PLUGIN_LABEL_TAKEN", "{check}");
    for told in [&label, first["digest"].as_str().unwrap(), "marketing", "another label"] {
        assert!(check["message"].as_str().unwrap().contains(told), "{told}: {check}");
    }
    let named = upload(&api, &other, json!([card_case()]), Some("rebuilt-1"));
    assert_eq!((&named["status"], &named["label"]), (&json!("VALIDATED"), &json!("rebuilt-1")), "{named}");
    assert_eq!(settled(&api, first["digest"].as_str().unwrap()), first, "the first one is as it was");
    let listed =
        api.query("{ pluginVersions(name: \"scorecard\") { digest label } }", json!({}))["pluginVersions"]
            .clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let rejected = api.query("{ pluginVersions(status: REJECTED) { digest } }", json!({}));
    assert_eq!(rejected["pluginVersions"], json!([]));
}

#[test]
fn a_version_without_cases_never_goes_live_and_one_whose_cases_fail_is_refused() {
    let server = Server::start();
    let api = server.admin();
    let wasm = read("bombs");
    let bare = upload(&api, &wasm, json!([]), None);
    assert_eq!((&bare["status"], &bare["caseCount"]), (&json!("VALIDATED"), &json!(0)), "{bare}");
    let warned = bare["checks"].as_array().unwrap().iter().any(|check| check["code"] == "PLUGIN_NO_CASES");
    assert!(warned, "none is a warning: {bare}");
    let digest = bare["digest"].as_str().unwrap().to_owned();
    let refused = deploy(&api, "mql", &digest, &json!({"act": "behave"}));
    let error = &refused["errors"][0];
    assert_eq!(
        (&error["code"], &error["path"]),
        (&json!("PLUGIN_REJECTED"), &json!(["input", "digest"])),
        "{refused}"
    );
    assert!(error["message"].as_str().unwrap().contains("has no cases"), "{refused}");
    let failing =
        upload(&api, &other_bytes(&wasm, "failing"), json!([quiet_case("ADVANCE")]), Some("failing"));
    assert_eq!(failing["status"], "REJECTED", "{failing}");
    let check = refusal(&failing);
    assert_eq!(check["code"], "CASE_FAILED", "{check}");
    for told in ["quiet", "lead 1", "outcome", "ADVANCE", "HOLD"] {
        assert!(check["message"].as_str().unwrap().contains(told), "which case, which lead, what: {check}");
    }
    let whole = upload(&api, &wasm, json!([quiet_case("HOLD")]), None);
    assert_eq!(
        (&whole["status"], &whole["caseCount"]),
        (&json!("VALIDATED"), &json!(1)),
        "it brings cases now: {whole}"
    );
    assert_eq!(deploy(&api, "mql", &digest, &json!({"act": "behave"}))["errors"], json!([]));
}

#[test]
fn a_deployment_is_refused_with_the_place_that_has_to_change() {
    let server = Server::start();
    let (api, rob) = (server.admin(), server.user("rob", "sales"));
    let (scorecard, router, bomb) = (server.push("scorecard"), server.push("fair-share"), bombs(&api));
    let unknown = "0".repeat(64);
    let card_with = |edit: &dyn Fn(&mut Value)| {
        let mut settings = card(10);
        edit(&mut settings);
        settings.to_string()
    };
    let good = card(10).to_string();
    let settings = |steps: &[&str]| -> Value {
        ["input", "settings"].iter().chain(steps).map(|step| json!(step)).collect()
    };
    let digest = json!(["input", "digest"]);
    let cases = [
        (
            "an unknown slot",
            &api,
            "sql",
            &scorecard,
            good.clone(),
            "LIVE",
            "NOT_FOUND",
            json!(["input", "slot"]),
            "it has mql, routing",
        ),
        (
            "a slot of another team",
            &rob,
            "mql",
            &scorecard,
            good.clone(),
            "LIVE",
            "FORBIDDEN",
            json!(["input", "slot"]),
            "belongs to the team marketing",
        ),
        (
            "an unknown version",
            &api,
            "mql",
            &unknown,
            good.clone(),
            "LIVE",
            "NOT_FOUND",
            digest.clone(),
            "no plugin version",
        ),
        (
            "a router in a qualify slot",
            &api,
            "mql",
            &router,
            good.clone(),
            "LIVE",
            "PLUGIN_REJECTED",
            digest.clone(),
            "the slot mql asks QUALIFY",
        ),
        (
            "a qualifier in a route slot",
            &api,
            "routing",
            &scorecard,
            good.clone(),
            "LIVE",
            "PLUGIN_REJECTED",
            digest,
            "the slot routing asks ROUTE",
        ),
        (
            "no JSON",
            &api,
            "mql",
            &scorecard,
            "{".into(),
            "LIVE",
            "PLUGIN_REJECTED",
            settings(&[]),
            "not JSON",
        ),
        ("a list", &api, "mql", &scorecard, "[]".into(), "LIVE", "PLUGIN_REJECTED", settings(&[]), "object"),
        (
            "a missing part",
            &api,
            "mql",
            &scorecard,
            "{}".into(),
            "LIVE",
            "PLUGIN_REJECTED",
            settings(&[]),
            "thresholds",
        ),
        (
            "points that the schema forbids",
            &api,
            "mql",
            &scorecard,
            card_with(&|card| card["fit"][1]["values"][0]["points"] = json!(5_000)),
            "LIVE",
            "PLUGIN_REJECTED",
            settings(&["fit", "1", "values", "0", "points"]),
            "maximum of 1000",
        ),
        (
            "a key with a slash",
            &api,
            "mql",
            &scorecard,
            card_with(&|card| card["fit"][0]["a/b~c"] = json!(1)),
            "LIVE",
            "PLUGIN_REJECTED",
            settings(&["fit", "0"]),
            "a/b~c",
        ),
        (
            "a field that the rule does not read",
            &api,
            "mql",
            &scorecard,
            card_with(&|card| card["fit"][0]["field"] = json!("contact.titel")),
            "LIVE",
            "PLUGIN_REJECTED",
            settings(&["fit", "0", "field"]),
            "did you mean contact.title",
        ),
        (
            "what only the rule itself can check",
            &api,
            "mql",
            &bomb,
            json!({"act": "behave", "on": -1}).to_string(),
            "LIVE",
            "PLUGIN_REJECTED",
            settings(&["on"]),
            "no account has fewer than 0 employees",
        ),
    ];
    for (name, by, slot, version, settings, mode, code, path, message) in cases {
        let input = json!({"slot": slot, "digest": version, "settings": settings, "mode": mode});
        let payload = by.attempt("deployPlugin", "DeployPluginInput", input, "deployment { id }");
        let error = &payload["errors"][0];
        assert_eq!((&error["code"], &error["path"]), (&json!(code), &path), "{name}: {payload}");
        assert!(error["message"].as_str().unwrap().contains(message), "{name}: {payload}");
        assert_eq!(payload["deployment"], json!(null), "{name}");
    }
    let live = api.query("{ deployments { id } ruleSlots { live { id } } }", json!({}));
    assert_eq!(
        live,
        json!({"deployments": [], "ruleSlots": [{"live": null}, {"live": null}]}),
        "nothing was deployed"
    );
}

#[test]
fn a_rule_that_misbehaves_is_a_recorded_decision_and_a_grey_case_and_no_lead_is_lost() {
    let server = Server::start();
    let api = server.admin();
    let digest = bombs(&api);
    let acts = [
        ("loop", "OUT_OF_FUEL", "fuel"),
        ("recurse", "STACK", "recursed"),
        ("grow", "MEMORY", "memory"),
        ("aliased-return", "INVALID_OUTPUT", "too much data"),
        ("trap", "TRAPPED", "unreachable"),
        ("too-many", "INVALID_OUTPUT", "2 verdicts for 1 lead"),
        ("too-few", "INVALID_OUTPUT", "0 verdicts for 1 lead"),
        ("code-out-of-range", "INVALID_OUTPUT", "reason code 999"),
        ("field-out-of-range", "INVALID_OUTPUT", "field 999"),
        ("points-out-of-range", "INVALID_OUTPUT", "1001"),
        ("long-text", "INVALID_OUTPUT", "257 bytes"),
        ("control-character", "INVALID_OUTPUT", "control characters"),
        ("many-reasons", "INVALID_OUTPUT", "33 reasons"),
        ("fault", "FAULT", "asked to"),
    ];
    let events = "query($lead: ID!) { events(filter: {lead: $lead, kinds: [\"GREY_CASE_OPENED\"]}) { \
                  events { payload } } }";
    for (act, status, message) in acts {
        assert_eq!(deploy(&api, "mql", &digest, &json!({"act": act}))["errors"], json!([]), "{act}");
        let begun = Instant::now();
        let lead = judged(&api, &format!("{act}@example.test"), 13);
        assert!(begun.elapsed() < Duration::from_secs(10), "{act} took {:?}", begun.elapsed());
        assert_eq!(
            (&lead["stage"], &lead["outcome"], &lead["workState"], &lead["greySlots"]),
            (&json!("INQUIRY"), &json!("OPEN"), &json!("UNROUTED"), &json!(["mql"])),
            "{act}: {lead}"
        );
        assert!(lead["nextEvaluationAt"].is_string(), "{act}: it is looked at again on a date: {lead}");
        let decision = &lead["evaluations"][0]["decisions"][0];
        assert_eq!(
            (&decision["status"], &decision["outcome"], &decision["output"], &decision["version"]),
            (&json!(status), &json!(null), &json!(null), &json!(digest)),
            "{act}: {lead}"
        );
        let told = decision["message"].as_str().unwrap_or_default();
        assert!(told.contains(message) && !told.chars().any(char::is_control), "{act}: {told:?}");
        let cases = api.query(events, json!({"lead": lead["id"]}))["events"]["events"].clone();
        assert_eq!(cases.as_array().map(Vec::len), Some(1), "{act}: {cases}");
        let fact: Value = serde_json::from_str(cases[0]["payload"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&fact["fact"]["slot"], &fact["fact"]["trigger"]),
            (&json!("mql"), &json!("FAULT")),
            "{act}: {fact}"
        );
    }
    for act in ["behave", "count-company", "long-trace", "work"] {
        assert_eq!(deploy(&api, "mql", &digest, &json!({"act": act}))["errors"], json!([]), "{act}");
        let lead = judged(&api, &format!("{act}@example.test"), 13);
        let decision = &lead["evaluations"][0]["decisions"][0];
        assert_eq!(
            (&decision["status"], &decision["outcome"]),
            (&json!("OK"), &json!("HOLD")),
            "{act} is harmless: {lead}"
        );
        assert_eq!(lead["greySlots"], json!([]), "{act}");
    }
    let ledger = api.query("{ ledgerNow { balanced captured } }", json!({}))["ledgerNow"].clone();
    assert_eq!(ledger, json!({"balanced": true, "captured": (acts.len() + 4).to_string()}));
    server.deploy("scorecard", "mql", &card(10));
    let target = json!({"lead": {"email": "trap@example.test"}});
    let healed = api.mutate("evaluateLead", "LeadTarget", target, "lead { stage }");
    assert_eq!(healed["lead"]["stage"], "MQL", "a good version takes over at once");
}

#[test]
fn one_lead_that_blows_up_does_not_sink_its_batch() {
    let server = Server::start();
    let api = server.admin();
    let digest = bombs(&api);
    for (act, status) in
        [("trap", "TRAPPED"), ("loop", "OUT_OF_FUEL"), ("too-few", "INVALID_OUTPUT"), ("grow", "MEMORY")]
    {
        deploy(&api, "mql", &digest, &json!({"act": act, "on": 13}));
        let leads: Vec<Value> = (0..12)
            .map(|n| {
                let employees = if n == 7 { 13 } else { 20 };
                let company =
                    json!({"name": format!("{act} {n}"), "employees": employees, "industry": "steel"});
                json!({"email": format!("{act}{n}@example.test"), "company": company})
            })
            .collect();
        let selection =
            "results { lead { stage evaluations { decisions { slot status } } } errors { message } }";
        let batch = api.mutate("captureLeads", "CaptureLeadsInput", json!({"leads": leads}), selection);
        for (n, result) in batch["results"].as_array().unwrap().iter().enumerate() {
            let (stage, said) = if n == 7 { ("INQUIRY", status) } else { ("MQL", "OK") };
            let lead = &result["lead"];
            let found = (&lead["stage"], &lead["evaluations"][0]["decisions"][0]["status"]);
            assert_eq!(found, (&json!(stage), &json!(said)), "{act}, lead {n}: {result}");
        }
    }
}

#[test]
fn while_a_rule_loops_over_a_batch_everybody_else_is_answered() {
    let server = Server::start();
    let api = server.admin();
    let digest = bombs(&api);
    deploy(&api, "mql", &digest, &json!({"act": "loop", "on": 13}));
    let leads: Vec<Value> = (0..30)
        .map(|n| {
            let company = json!({"name": format!("l{n}"), "employees": 13});
            json!({"email": format!("l{n}@example.test"), "company": company})
        })
        .collect();
    let running = AtomicBool::new(true);
    let (waits, batch) = std::thread::scope(|scope| {
        let looping = scope.spawn(|| {
            let selection = "results { errors { message } \
                             lead { stage nextEvaluationAt evaluations { decisions { status } } } }";
            let batch = api.mutate("captureLeads", "CaptureLeadsInput", json!({"leads": leads}), selection);
            running.store(false, Ordering::Relaxed);
            batch
        });
        let mut waits = vec![];
        for n in 0.. {
            if !running.load(Ordering::Relaxed) {
                break;
            }
            let begun = Instant::now();
            api.query("{ funnel { won } ruleSlots { key } }", json!({}));
            waits.push(("a query", begun.elapsed()));
            let begun = Instant::now();
            assert_eq!(judged(&api, &format!("calm{n}@example.test"), 5)["stage"], "MQL");
            waits.push(("a capture", begun.elapsed()));
            std::thread::sleep(Duration::from_millis(20));
        }
        (waits, looping.join().expect("the batch is answered"))
    });
    assert!(waits.len() > 4, "the batch was too fast to see anything: {waits:?}");
    let longest = waits.iter().max_by_key(|(_, wait)| *wait).unwrap();
    assert!(longest.1 < Duration::from_secs(5), "{longest:?} of {} requests", waits.len());
    for result in batch["results"].as_array().unwrap() {
        let (lead, status) = (&result["lead"], &result["lead"]["evaluations"][0]["decisions"][0]["status"]);
        assert!(lead["stage"] == "INQUIRY" && lead["nextEvaluationAt"].is_string(), "{result}");
        assert!(["OUT_OF_FUEL", "TIMEOUT"].map(|one| json!(one)).contains(status), "{result}");
    }
}

#[test]
fn a_rule_that_loops_on_every_thread_keeps_nobody_else_waiting_beyond_its_budget() {
    let server = Server::start();
    let api = server.admin();
    let digest = bombs(&api);
    deploy(&api, "mql", &digest, &json!({"act": "loop", "on": 13}));
    let (waited, batches) = std::thread::scope(|scope| {
        // Two large batches would take every thread of a machine with two cores.
        let batches = [0, 1].map(|batch| {
            let api = &api;
            scope.spawn(move || {
                let company = json!({"name": "Loops", "employees": 13});
                let one = |n: i32| json!({"email": format!("{batch}-{n}@example.test"), "company": company});
                let input = json!({"leads": (0..40).map(one).collect::<Vec<_>>()});
                let begun = Instant::now();
                api.mutate("captureLeads", "CaptureLeadsInput", input, "results { lead { id } }");
                begun.elapsed()
            })
        });
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        assert_eq!(judged(&api, "calm@example.test", 5)["stage"], "MQL");
        let waited = begun.elapsed();
        (waited, batches.map(|batch| batch.join().expect("the batch is answered")))
    });
    // A call with 40 leads has 330 ms of wall clock. Halving and repeating it must not add up before others have a
    // turn. The limit is a share of what the batches took, so that a busy machine stretches both.
    let first = *batches.iter().min().expect("two");
    assert!(
        waited < first / 2,
        "one lead waited {waited:?} behind a looping rule; its batches took {batches:?}"
    );
}

#[test]
fn a_rollback_goes_one_step_back_and_the_next_one_further() {
    let server = Server::start();
    let (api, mia) = (server.admin(), server.user("mia", "marketing"));
    let rob = server.user("rob", "sales");
    let wasm = read("scorecard");
    let a = upload(&api, &wasm, json!([card_case()]), None)["digest"].as_str().unwrap().to_owned();
    let b = upload(&api, &other_bytes(&wasm, "b"), json!([card_case()]), Some("b"))["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let first = deploy(&mia, "mql", &a, &card(10))["deployment"].clone();
    let again = deploy(&mia, "mql", &a, &card(10))["deployment"].clone();
    assert_eq!(again, first, "what runs already is not deployed again");
    let second = deploy(&mia, "mql", &a, &card(1_000))["deployment"].clone();
    let third = deploy(&mia, "mql", &b, &card(1_000))["deployment"].clone();
    let live = || {
        api.query("{ ruleSlots { key live { id versionDigest settingsDigest } } }", json!({}))["ruleSlots"][0]
            ["live"]
            .clone()
    };
    let answers = |email: &str| {
        let lead = judged(&api, email, 5);
        let decision = &lead["evaluations"][0]["decisions"][0];
        (decision["version"].clone(), decision["settings"].clone())
    };
    let place =
        |deployment: &Value| (deployment["versionDigest"].clone(), deployment["settingsDigest"].clone());
    assert_eq!(live()["id"], third["id"]);
    assert_eq!(answers("third@example.test"), place(&third));
    assert_eq!(rollback(&rob, "mql", "not mine")["errors"][0]["code"], "FORBIDDEN");
    assert_eq!(rollback(&mia, "mql", "  ")["errors"][0]["path"], json!(["input", "reason"]));
    for (name, back_to) in [("second", &second), ("first", &first)] {
        let payload = rollback(&mia, "mql", &format!("back to the {name}"));
        assert_eq!(payload["errors"], json!([]));
        let now = &payload["deployment"];
        assert_eq!((place(now), &now["state"]), (place(back_to), &json!("RUNNING")), "{name}: {payload}");
        assert_ne!(now["id"], back_to["id"], "a rollback is a deployment of its own");
        assert!(now["rollbackOf"].is_string(), "{payload}");
        assert_eq!(live()["id"], now["id"]);
        assert_eq!(
            answers(&format!("{name}@example.test")),
            place(back_to),
            "it counts with the next decision"
        );
    }
    assert_eq!(rollback(&mia, "mql", "to the built-in rule"), json!({"deployment": null, "errors": []}));
    assert_eq!(live(), json!(null));
    let nothing = rollback(&mia, "mql", "further");
    assert_eq!(nothing["errors"][0]["path"], json!(["input", "slot"]), "{nothing}");
    assert_eq!(
        judged(&api, "built-in@example.test", 5)["stage"],
        "INQUIRY",
        "the built-in rule holds everybody"
    );
    let document =
        "{ ruleSlots { key history { id state endReason endedAt startedBy { key } version { label } } } }";
    let history = api.query(document, json!({}))["ruleSlots"][0]["history"].clone();
    let story: Vec<(&str, &str)> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["state"].as_str().unwrap(), one["endReason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        story,
        [
            ("ROLLED_BACK", "to the built-in rule"),
            ("ROLLED_BACK", "back to the first"),
            ("ROLLED_BACK", "back to the second"),
            ("SUPERSEDED", "superseded"),
            ("SUPERSEDED", "superseded"),
        ],
        "newest first"
    );
    for one in history.as_array().unwrap() {
        assert!(one["endedAt"].is_string() && one["startedBy"]["key"] == "mia", "{one}");
    }
    let log = api.query(
        "{ events(first: 100, filter: {kinds: [\"DEPLOYMENT_STARTED\", \"DEPLOYMENT_ENDED\"]}) { \
         events { kind stream version ordinal payload user { key } } } }",
        json!({}),
    );
    let log = log["events"]["events"].as_array().unwrap().clone();
    let kinds: Vec<&str> = log.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let (start, end) = ("DEPLOYMENT_STARTED", "DEPLOYMENT_ENDED");
    assert_eq!(kinds, [start, end, start, end, start, end, start, end, start, end]);
    let places: Vec<(i64, i64)> = log
        .iter()
        .map(|event| (event["version"].as_i64().unwrap(), event["ordinal"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        places,
        [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1), (5, 0), (5, 1), (6, 0)],
        "one version a change"
    );
    assert!(log.iter().all(|event| event["stream"] == "SLOT" && event["user"]["key"] == "mia"), "{log:?}");
    let fact: Value = serde_json::from_str(log[0]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&fact["fact"]["version"], &fact["fact"]["settings"]),
        (&first["versionDigest"], &first["settingsDigest"]),
        "{fact}"
    );
}

#[test]
fn a_deployment_with_an_idempotency_key_happens_once() {
    let server = Server::start();
    let api = server.admin();
    let digest = server.push("scorecard");
    let input = |advance: i32| {
        let settings = card(advance).to_string();
        json!({"slot": "mql", "digest": digest, "settings": settings, "mode": "LIVE",
            "idempotencyKey": "d-1"})
    };
    let first = api.mutate("deployPlugin", "DeployPluginInput", input(10), DEPLOYMENT);
    deploy(&api, "mql", &digest, &card(20));
    let again = api.mutate("deployPlugin", "DeployPluginInput", input(10), DEPLOYMENT);
    assert_eq!(again["deployment"]["id"], first["deployment"]["id"], "{again}");
    let other = api.attempt("deployPlugin", "DeployPluginInput", input(30), DEPLOYMENT);
    assert_eq!(other["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED", "{other}");
    let back = json!({"slot": "mql", "reason": "too strict", "idempotencyKey": "r-1"});
    let first = api.mutate("rollback", "RollbackInput", back.clone(), DEPLOYMENT);
    assert_eq!(api.mutate("rollback", "RollbackInput", back, DEPLOYMENT), first);
    let history = api.query("{ deployments(slot: \"mql\") { state } }", json!({}))["deployments"].clone();
    assert_eq!(history, json!([{"state": "RUNNING"}, {"state": "ROLLED_BACK"}, {"state": "SUPERSEDED"}]));
}

#[test]
fn captures_during_deployments_are_all_answered_by_one_rule_that_was_live() {
    let server = Server::start();
    let api = server.admin();
    let wasm = read("scorecard");
    let versions = [("a", wasm.clone()), ("b", other_bytes(&wasm, "b"))].map(|(label, bytes)| {
        upload(&api, &bytes, json!([card_case()]), Some(label))["digest"].as_str().unwrap().to_owned()
    });
    assert_eq!(deploy(&api, "mql", &versions[0], &card(10))["errors"], json!([]));
    let running = AtomicBool::new(true);
    let (answers, last) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (api, running) = (api.clone(), &running);
                scope.spawn(move || {
                    let mut answers = vec![];
                    for n in 0.. {
                        if !running.load(Ordering::Relaxed) {
                            break;
                        }
                        let email = |k: i32| format!("w{writer}-{n}-{k}@example.test");
                        let one = |k: i32| json!({"email": email(k), "consent": true});
                        let leads: Vec<Value> = (0..4).map(one).collect();
                        let selection = "results { lead { evaluations { asOf \
                                         decisions { version settings status } } } errors { message } }";
                        let input = json!({"leads": leads});
                        let payload = api.mutate("captureLeads", "CaptureLeadsInput", input, selection);
                        answers.push(payload["results"].clone());
                    }
                    answers
                })
            })
            .collect();
        for step in 0..16 {
            let deployed = deploy(&api, "mql", &versions[step % 2], &card(11 + i32::try_from(step).unwrap()));
            assert_eq!(deployed["errors"], json!([]), "{deployed}");
        }
        let back = rollback(&api, "mql", "one step");
        assert_eq!(back["errors"], json!([]));
        running.store(false, Ordering::Relaxed);
        let answers: Vec<Value> =
            writers.into_iter().flat_map(|writer| writer.join().expect("no capture fails")).collect();
        (answers, back["deployment"].clone())
    });
    let history = api.query(
        "{ deployments(slot: \"mql\", first: 200) { versionDigest settingsDigest startedAt } }",
        json!({}),
    );
    let history = history["deployments"].as_array().unwrap().clone();
    assert_eq!(history.len(), 18);
    let mut seen = BTreeSet::new();
    for request in &answers {
        let mut of_request = BTreeSet::new();
        for result in request.as_array().unwrap() {
            assert_eq!(result["errors"], json!([]), "{result}");
            let evaluation = &result["lead"]["evaluations"][0];
            let decision = &evaluation["decisions"][0];
            assert_eq!(decision["status"], "OK", "{result}");
            // The rollback runs the same version with the same settings a second time: the first of both
            // counts.
            let pair = |one: &&Value| {
                one["versionDigest"] == decision["version"] && one["settingsDigest"] == decision["settings"]
            };
            let ran = history.iter().rev().find(pair);
            let ran =
                ran.unwrap_or_else(|| panic!("no deployment had this version with these settings: {result}"));
            assert!(
                evaluation["asOf"].as_str() >= ran["startedAt"].as_str(),
                "it judged before it was live: {result} {ran}"
            );
            of_request.insert(decision["settings"].to_string());
        }
        assert_eq!(of_request.len(), 1, "one request, one rule: {request}");
        seen.extend(of_request);
    }
    assert!(seen.len() > 2, "the captures saw only {} of the deployments", seen.len());
    let after = judged(&api, "after@example.test", 5);
    let decision = &after["evaluations"][0]["decisions"][0];
    assert_eq!(
        (&decision["version"], &decision["settings"]),
        (&last["versionDigest"], &last["settingsDigest"]),
        "{after}"
    );
}

/// Standard output, standard error and exit code.
fn said(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

#[test]
fn plugin_check_prints_every_check_and_says_no_with_6() {
    let server = Server::start();
    let (wasm, folder) = (plugin("scorecard"), root().join("plugins/scorecard/cases"));
    let (wasm, folder) = (wasm.to_string_lossy(), folder.to_string_lossy());
    let (out, err, code) = said(&server.cli(&["plugin", "check", &wasm, "--cases", &folder]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lines: Vec<(&str, &str)> = out
        .lines()
        .filter_map(|line| line.split_whitespace().next().zip(line.split_whitespace().nth(1)))
        .collect();
    let checks = [
        "size",
        "valid",
        "component",
        "imports",
        "exports",
        "resources",
        "compile",
        "describe",
        "schema",
        "reads",
        "cases",
    ];
    assert_eq!(lines[0].0, "sha256", "{out}");
    assert_eq!(lines[1..], checks.map(|check| ("ok", check)), "{out}");
    let (out, _, code) = said(&server.cli(&["plugin", "check", &wasm]));
    assert!(code == 0 && out.contains("PLUGIN_NO_CASES"), "no cases is a warning: {out}");
    let page = write(server.dir.path(), "page.html", "<html>");
    let (out, _, code) = said(&server.cli(&["plugin", "check", &page]));
    assert_eq!(code, 6, "{out}");
    assert!(
        out.lines().last().unwrap().starts_with("REFUSED") && out.contains("PLUGIN_NOT_A_COMPONENT"),
        "{out}"
    );
    let wrong = write(server.dir.path(), "wrong/quiet.json", &quiet_case("ADVANCE"));
    let wrong = Path::new(&wrong).parent().unwrap().to_string_lossy().into_owned();
    let (out, _, code) =
        said(&server.cli(&["plugin", "check", &plugin("bombs").to_string_lossy(), "--cases", &wrong]));
    assert!(code == 6 && out.contains("CASE_FAILED"), "{out}");
}

#[test]
fn plugin_run_prints_verdicts_reasons_and_fuel_as_json() {
    let server = Server::start();
    let dir = server.dir.path();
    let leads = write(dir, "leads.json", &card_case());
    let wasm = plugin("scorecard").to_string_lossy().into_owned();
    let (out, err, code) = said(&server.cli(&["plugin", "run", &wasm, "--leads", &leads]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let line: Value = serde_json::from_str(out.trim()).expect("one line of JSON for one lead");
    assert_eq!(
        (&line["result"]["outcome"], &line["result"]["fit"]),
        (&json!("ADVANCE"), &json!(10)),
        "{out}"
    );
    assert!(
        line["fuel"].as_u64() > Some(0) && line["result"]["reasons"][0]["code"] == "contact-consent",
        "{out}"
    );
    let strict = write(dir, "strict.json", &card(1_000).to_string());
    let (out, _, code) =
        said(&server.cli(&["plugin", "run", &wasm, "--leads", &leads, "--settings", &strict]));
    assert!(code == 0 && out.contains("\"HOLD\""), "the settings replace those of the file: {out}");
    let bomb = json!({"name": "bomb", "settings": {"act": "loop"}, "asOf": 0, "leads": [{"fields": {}}]});
    let bomb = write(dir, "bomb.json", &bomb.to_string());
    let (out, _, code) =
        said(&server.cli(&["plugin", "run", &plugin("bombs").to_string_lossy(), "--leads", &bomb]));
    assert!(code == 0 && out.contains("OUT_OF_FUEL"), "a failing rule is a result, too: {code} {out}");
    let refused = write(dir, "refused.json", "{\"thresholds\": {}}");
    let (out, err, code) =
        said(&server.cli(&["plugin", "run", &wasm, "--leads", &leads, "--settings", &refused]));
    assert!(err.contains("SETTINGS_INVALID") && err.contains("/thresholds"), "{err}");
    assert_eq!((code, out.as_str()), (6, ""), "the rule refused its settings, so there is no result");
}

#[test]
fn plugin_test_runs_the_cases_and_writes_new_verdicts_only_when_asked() {
    let server = Server::start();
    let folder = root().join("plugins/scorecard");
    let wasm = plugin("scorecard").to_string_lossy().into_owned();
    let (out, err, code) = said(&server.cli(&["plugin", "test", &folder.to_string_lossy(), "--wasm", &wasm]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let count = std::fs::read_dir(folder.join("cases")).unwrap().count();
    assert!(out.contains(&format!("{count} of {count} cases of scorecard pass")), "{out}");
    let wrong = card_case().replace("\"ADVANCE\"", "\"HOLD\"");
    let file = write(server.dir.path(), "mine/cases/one.json", &wrong);
    let mine = server.dir.path().join("mine").to_string_lossy().into_owned();
    let (out, err, code) = said(&server.cli(&["plugin", "test", &mine, "--wasm", &wasm]));
    assert_eq!(code, 6, "{out}");
    assert!(out.contains("FAILED") && out.contains("0 of 1 cases of mine pass"), "{out}");
    for told in ["lead 1: outcome: expected \"HOLD\", found \"ADVANCE\"", "--update"] {
        assert!(err.contains(told), "{err}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), wrong, "nothing was written");
    let (_, err, code) = said(&server.cli(&["plugin", "test", &mine, "--wasm", &wasm, "--update"]));
    assert!(code == 0 && err.contains("written"), "{err}");
    let (out, _, code) = said(&server.cli(&["plugin", "test", &mine, "--wasm", &wasm]));
    assert!(code == 0 && out.contains("1 of 1 cases of mine pass"), "{out}");
}

#[test]
fn the_command_line_says_3_for_what_is_missing_4_for_what_is_denied_and_6_for_what_is_refused() {
    let server = Server::start();
    let rob = server.user("rob", "sales");
    let dir = server.dir.path();
    let (wasm, leads) =
        (plugin("scorecard").to_string_lossy().into_owned(), write(dir, "leads.json", &card_case()));
    let (folder, page) =
        (root().join("plugins/scorecard").to_string_lossy().into_owned(), write(dir, "page.html", "<html>"));
    let (good, bad) = (write(dir, "good.json", &card(10).to_string()), write(dir, "bad.json", "{}"));
    let empty = write(dir, "empty/readme.txt", "no cases here");
    let empty = Path::new(&empty).parent().unwrap().to_string_lossy().into_owned();
    let (digest, unknown) = (server.push("scorecard"), "0".repeat(64));
    let token = rob.token.clone();
    let deploy = |digest: &str, slot: &str, settings: &str| {
        ["plugin", "deploy", digest, "--slot", slot, "--settings", settings].map(str::to_owned).to_vec()
    };
    let words = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
    let none = "/nowhere/at-all";
    let cases: Vec<(i32, Vec<String>)> = vec![
        (3, words(&format!("plugin|check|{none}.wasm"))),
        (3, words(&format!("plugin|check|{wasm}|--cases|{none}"))),
        (3, words(&format!("plugin|run|{none}.wasm|--leads|{leads}"))),
        (3, words(&format!("plugin|run|{wasm}|--leads|{none}.json"))),
        (3, words(&format!("plugin|run|{wasm}|--leads|{leads}|--settings|{none}.json"))),
        (3, words(&format!("plugin|test|{none}|--wasm|{wasm}"))),
        (3, words(&format!("plugin|test|{empty}|--wasm|{wasm}"))),
        (3, words(&format!("plugin|test|{folder}|--wasm|{none}.wasm"))),
        (3, words(&format!("plugin|push|{none}.wasm|--team|marketing"))),
        (3, words(&format!("plugin|push|{wasm}|--team|marketing|--cases|{none}"))),
        (3, deploy(&digest, "mql", none)),
        (3, deploy(&unknown, "mql", &good)),
        (3, deploy(&digest, "sql", &good)),
        (4, [deploy(&digest, "mql", &good), vec!["--token".into(), token]].concat()),
        (4, [deploy(&digest, "mql", &good), vec!["--token".into(), "hf_nobody".into()]].concat()),
        (6, words(&format!("plugin|run|{page}|--leads|{leads}"))),
        (6, words(&format!("plugin|push|{page}|--team|marketing"))),
        (6, deploy(&digest, "mql", &bad)),
        (2, words(&format!("plugin|push|{wasm}"))),
        (2, words("plugin|dance")),
        (0, deploy(&digest, "mql", &good)),
        (0, ["plugin", "rollback", "--slot", "mql", "--reason", "enough"].map(str::to_owned).to_vec()),
    ];
    let mut wrong = vec![];
    for (expected, args) in cases {
        let (out, err, code) = said(&server.cli(&args.iter().map(String::as_str).collect::<Vec<_>>()));
        if code != expected || (expected != 0 && (err.trim().is_empty() || !out.is_empty())) {
            wrong.push(format!(
                "{expected} expected, found {code}: handfast {}\n  {out}{err}",
                args.join(" ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_router_is_deployed_checked_and_rolled_back_as_any_other_rule() {
    let server = Server::start();
    let (api, rob) = (server.admin(), server.user("rob", "sales"));
    let digest = server.push("fair-share");
    let refused = deploy(&rob, "routing", &digest, &json!({"fallbackQueue": 3}));
    assert_eq!(refused["errors"][0]["path"], json!(["input", "settings", "fallbackQueue"]), "{refused}");
    assert_eq!(deploy(&rob, "routing", &digest, &fair_share())["errors"], json!([]));
    server.deploy("scorecard", "mql", &card(10));
    let pool = json!({"key": "sales", "queue": "fallback", "members": [{"user": "rob"}]});
    api.mutate("upsertPool", "UpsertPoolInput", pool, "pool { key }");
    let owner = |email: &str| {
        let input = json!({"lead": {"email": email, "consent": true}});
        let payload =
            api.mutate("captureLead", "CaptureLeadInput", input, "lead { owner { key } queue { key } }");
        payload["lead"].clone()
    };
    assert_eq!(owner("routed@example.test"), json!({"owner": {"key": "rob"}, "queue": null}));
    let nowhere = deploy(&rob, "routing", &digest, &json!({"fallbackQueue": "lost-and-found"}));
    if nowhere["errors"] == json!([]) {
        // A queue that nobody knows: the lead still has a place.
        let pool = json!({"key": "sales", "queue": "fallback", "members": []});
        api.mutate("upsertPool", "UpsertPoolInput", pool, "pool { key }");
        assert_eq!(owner("nowhere@example.test"), json!({"owner": null, "queue": {"key": "fallback"}}));
    }
    assert_eq!(rollback(&rob, "routing", "back")["errors"], json!([]));
}
