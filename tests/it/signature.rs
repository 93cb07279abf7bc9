//! Signatures of plugins: whose key counts, what an upload says about them, what may be deployed, and what older versions
//! have to pass.

use std::path::Path;
use std::process::Command;

use handfast_domain::time::Instant;
use handfast_tests::{Api, Server, binary, card, eventually, plugin};
use serde_json::{Value, json};

/// A folder with keys, in which plugins are signed.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(keys: &[&str]) -> Desk {
        let desk = Desk(tempfile::tempdir().expect("a temporary directory"));
        for key in keys {
            desk.run(&["keygen", &format!("{key}.key"), "--no-password"]);
        }
        desk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> String {
        let (out, err, code) = run(self.0.path(), args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out.trim().to_owned()
    }

    fn public(&self, key: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{key}.pub"))).expect("a public key")
    }

    /// The text of a signature over these bytes.
    fn sign(&self, wasm: &[u8], key: &str, label: &str, serial: i64) -> String {
        std::fs::write(self.path("it.wasm"), wasm).expect("written");
        let (key, serial) = (format!("{key}.key"), serial.to_string());
        let what = ["--name", "scorecard", "--label", label, "--serial", &serial];
        self.run(&[&["sign", "it.wasm", "--key", &key][..], &what].concat());
        std::fs::read_to_string(self.path("it.wasm.minisig")).expect("a signature")
    }
}

fn run(dir: &Path, args: &[&str]) -> (String, String, i32) {
    let mut command = Command::new(binary());
    let output = command.arg("plugin").args(args).current_dir(dir).output().expect("the command line runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap_or(-1))
}

/// The scorecard with other bytes and the same behaviour: a custom section is added at its end.
fn version(number: u8) -> Vec<u8> {
    let wasm = std::fs::read(plugin("scorecard")).expect("a built plugin");
    [wasm.as_slice(), &[0, 3, 1, b'v', number]].concat()
}

/// A case that the scorecard passes.
fn case() -> String {
    let leads = json!([{"fields": {"contact.consent": true}, "expect": {"outcome": "ADVANCE", "fit": 10}}]);
    json!({"name": "consent", "settings": card(10), "asOf": "2026-03-01T09:00:00Z", "leads": leads})
        .to_string()
}

const VERSION: &str = "digest label status checks { name ok code message } signatures { serial at text signedBy { keyId team name } }";

/// Uploads and waits for the checks; the payload's errors, or the version.
fn upload(api: &Api, wasm: &[u8], label: &str, signature: Option<&str>) -> Value {
    let digest = api.put_blob("plugin", wasm);
    let input = json!({"digest": digest, "team": "marketing", "label": label, "cases": [case()],
        "signature": signature});
    let payload = api.attempt("uploadPluginVersion", "UploadPluginVersionInput", input, "version { digest }");
    if payload["errors"] != json!([]) {
        return payload["errors"][0].clone();
    }
    let document = format!("query($digest: Digest!) {{ pluginVersion(digest: $digest) {{ {VERSION} }} }}");
    eventually(60, "the checks end", || {
        let version = api.query(&document, json!({"digest": digest}))["pluginVersion"].clone();
        (version["status"] != "VALIDATING").then_some(version)
    })
}

/// The check that was about the signature.
fn check(version: &Value) -> Value {
    let checks = version["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == "signature").cloned().unwrap_or_default()
}

/// The server's time.
fn now(api: &Api) -> Instant {
    let input = json!({"team": "marketing", "name": "clock", "publicKey": PUBLIC, "dryRun": true});
    let made = api.mutate("registerTeamKey", "RegisterTeamKeyInput", input, "key { registeredAt }");
    Instant::parse(made["key"]["registeredAt"].as_str().expect("a time")).expect("RFC 3339")
}

/// Of nobody in these tests.
const PUBLIC: &str = include_str!("../../crates/domain/src/signature/key.pub");

fn register(api: &Api, team: &str, public: &str, expires_at: Value) -> Value {
    let input = json!({"team": team, "name": "release", "publicKey": public, "expiresAt": expires_at});
    api.attempt("registerTeamKey", "RegisterTeamKeyInput", input, "key { id keyId team name }")
}

fn revoke(api: &Api, key: &Value, reason: &str) -> Value {
    let input = json!({"teamKey": key, "reason": reason});
    api.attempt(
        "revokeTeamKey",
        "RevokeTeamKeyInput",
        input,
        "key { id revokedAt revokeReason revokedBy { key } }",
    )
}

fn deploy(api: &Api, version: &Value, points: i32, allow: Option<&str>) -> Value {
    let input = json!({"slot": "mql", "digest": version["digest"], "settings": card(points).to_string(),
        "mode": "LIVE", "allowDowngrade": allow});
    let selection = "deployment { id versionDigest downgrade { reason serial newest by { key } } }";
    api.attempt("deployPlugin", "DeployPluginInput", input, selection)
}

fn code(payload: &Value) -> &str {
    payload["errors"][0]["code"].as_str().unwrap_or_default()
}

#[test]
fn keys_are_of_a_team_and_registered_and_revoked_by_its_members_alone() {
    let server = Server::start();
    let (mia, rob) = (server.user("mia", "marketing"), server.user("rob", "sales"));
    let desk = Desk::new(&["a"]);
    let public = desk.public("a");
    assert_eq!(code(&register(&rob, "marketing", &public, json!(null))), "FORBIDDEN");
    for (public, expires, path) in [
        ("nonsense", json!(null), "publicKey"),
        (&*"x".repeat(5_000), json!(null), "publicKey"),
        (&*public, json!("2020-01-01T00:00:00Z"), "expiresAt"),
    ] {
        let payload = register(&mia, "marketing", public, expires);
        assert_eq!((code(&payload), &payload["errors"][0]["path"]), ("VALIDATION", &json!(["input", path])));
    }
    let key = register(&mia, "marketing", &public, json!(null))["key"].clone();
    assert!(public.contains(key["keyId"].as_str().expect("an id")), "as minisign prints it: {key}");
    assert_eq!(code(&register(&mia, "marketing", &public, json!(null))), "ALREADY_EXISTS");
    let listed = |api: &Api, team: &str| {
        let document = "query($team: String) { teamKeys(team: $team) { id team revokedAt } }";
        api.query(document, json!({"team": team}))["teamKeys"].as_array().expect("keys").len()
    };
    assert_eq!((listed(&rob, "marketing"), listed(&rob, "sales")), (1, 0), "reading is open");
    assert_eq!(code(&revoke(&rob, &key["id"], "not mine")), "FORBIDDEN");
    assert_eq!(code(&revoke(&mia, &key["id"], " ")), "VALIDATION");
    let first = revoke(&mia, &key["id"], "the laptop was stolen");
    assert_eq!(first["key"]["revokeReason"], "the laptop was stolen");
    assert_eq!(first["key"]["revokedBy"]["key"], "mia");
    let again = revoke(&server.admin(), &key["id"], "once more");
    assert_eq!(again["key"], first["key"], "the first revocation stays");
    assert_eq!(
        code(&register(&mia, "marketing", &public, json!(null))),
        "ALREADY_EXISTS",
        "it never comes back"
    );
    let kinds = server.admin().query("{ events(first: 200) { events { kind payload } } }", json!({}));
    assert!(kinds.to_string().contains("TEAM_KEY"), "{kinds}");
}

#[test]
fn where_signatures_are_required_only_a_good_one_lets_a_version_in() {
    let server = Server::configured(&[("HANDFAST__RULES__REQUIRE_SIGNATURES", "[\"marketing\"]")]);
    let mia = server.user("mia", "marketing");
    let desk = Desk::new(&["a", "b", "expiring", "sales"]);
    let wasm = version(1);
    let refused = |version: &Value, said: &str| {
        let found = check(version);
        assert_eq!(
            (&version["status"], &found["code"]),
            (&json!("REJECTED"), &json!("PLUGIN_SIGNATURE")),
            "{version}"
        );
        assert!(found["message"].as_str().is_some_and(|message| message.contains(said)), "{said}: {found}");
        assert_eq!(version["signatures"], json!([]));
    };
    let good = desk.sign(&wasm, "a", "1.0", 1);
    refused(&upload(&mia, &wasm, "1.0", None), "must sign its versions");
    refused(&upload(&mia, &wasm, "1.0", Some(&good)), "is not known");
    let key = register(&mia, "marketing", &desk.public("a"), json!(null))["key"].clone();
    register(&server.admin(), "sales", &desk.public("sales"), json!(null));
    let soon = eventually(5, "a key that expires at once", || {
        let at = now(&mia).plus(400);
        let made = register(&mia, "marketing", &desk.public("expiring"), json!(at.to_string()));
        (made["errors"] == json!([])).then_some(at)
    });
    eventually(5, "it expired", || (now(&mia) > soon).then_some(()));
    refused(&upload(&mia, &wasm, "1.0", Some("nonsense")), "no signature of minisign");
    refused(&upload(&mia, &wasm, "1.0", Some(&desk.sign(&wasm, "expiring", "1.0", 1))), "expired");
    refused(&upload(&mia, &wasm, "1.0", Some(&desk.sign(&wasm, "sales", "1.0", 1))), "of the team sales");
    refused(&upload(&mia, &wasm, "1.0", Some(&desk.sign(&version(2), "a", "1.0", 1))), "is about the file");
    refused(&upload(&mia, &wasm, "1.0", Some(&good.replace("serial:1", "serial:9"))), "does not fit");
    refused(&upload(&mia, &wasm, "1.0", Some(&desk.sign(&wasm, "a", "2.0", 1))), "about the version 2.0");
    refused(&upload(&mia, &wasm, "1.0", Some(&desk.sign(&wasm, "a", "1.0", 1 << 50))), "in the future");

    let version1 = upload(&mia, &wasm, "1.0", Some(&good));
    assert_eq!(
        (&version1["status"], &check(&version1)["ok"]),
        (&json!("VALIDATED"), &json!(true)),
        "{version1}"
    );
    let signed = &version1["signatures"][0];
    assert_eq!((&signed["serial"], &signed["text"]), (&json!("1"), &json!(good)));
    assert_eq!(signed["signedBy"], json!({"keyId": key["keyId"], "team": "marketing", "name": "release"}));
    assert_eq!(deploy(&mia, &version1, 10, None)["errors"], json!([]));

    // A stolen key: what it signed does not go in again, what is live goes on, and another key's word helps.
    revoke(&mia, &key["id"], "the laptop was stolen");
    refused(&upload(&mia, &version(3), "3.0", Some(&desk.sign(&version(3), "a", "3.0", 3))), "was revoked");
    let lead = json!({"lead": {"email": "live@example.test", "consent": true}});
    let lead = mia.mutate("captureLead", "CaptureLeadInput", lead, "lead { stage }");
    assert_eq!(lead["lead"]["stage"], "MQL", "what is live goes on");
    let payload = deploy(&mia, &version1, 20, None);
    assert_eq!(code(&payload), "PLUGIN_SIGNATURE", "{payload}");
    assert!(payload["errors"][0]["message"].as_str().expect("a text").contains("the laptop was stolen"));
    register(&mia, "marketing", &desk.public("b"), json!(null));
    let error = upload(&mia, &wasm, "1.0", Some(&desk.sign(&wasm, "b", "1.1", 2)));
    assert_eq!(error["code"], "PLUGIN_SIGNATURE", "a known version is answered at once: {error}");
    let again = upload(&mia, &wasm, "1.0", Some(&desk.sign(&wasm, "b", "1.0", 2)));
    assert_eq!(again["signatures"].as_array().map(Vec::len), Some(2), "{again}");
    assert_eq!(deploy(&mia, &version1, 20, None)["errors"], json!([]));

    // Sales need not sign.
    let digest = server.push("fair-share");
    server.set("routing", &digest, &handfast_tests::fair_share());
    let (dir, token) = server.stop();
    let server = Server::restarted(dir, token, &[("HANDFAST__RULES__REQUIRE_SIGNATURES", "all")]);
    let input = json!({"slot": "routing", "digest": digest, "settings": "{}", "mode": "LIVE"});
    let payload = server.admin().attempt("deployPlugin", "DeployPluginInput", input, "deployment { id }");
    assert_eq!(payload["deployment"], json!(null), "{payload}");
    let mut fair = handfast_tests::fair_share();
    fair["withoutTerritory"] = json!("queue");
    let input = json!({"slot": "routing", "digest": digest, "settings": fair.to_string(), "mode": "LIVE"});
    let payload = server.admin().attempt("deployPlugin", "DeployPluginInput", input, "deployment { id }");
    assert_eq!(code(&payload), "PLUGIN_SIGNATURE", "{payload}");
}

#[test]
fn an_older_version_does_not_come_back_by_itself() {
    let server = Server::start();
    let mia = server.user("mia", "marketing");
    let desk = Desk::new(&["a"]);
    register(&mia, "marketing", &desk.public("a"), json!(null));
    let signed = |number: u8, serial: i64| {
        let (wasm, label) = (version(number), format!("{number}.0"));
        let version = upload(&mia, &wasm, &label, Some(&desk.sign(&wasm, "a", &label, serial)));
        assert_eq!(version["status"], "VALIDATED", "{version}");
        version
    };
    let (v1, v2, v3) = (signed(1, 100), signed(2, 200), signed(3, 200));
    let unsigned = upload(&mia, &version(4), "4.0", None);
    assert_eq!(unsigned["status"], "VALIDATED", "nobody asks for signatures here: {unsigned}");
    let live = |payload: Value, version: &Value| {
        assert_eq!(payload["errors"], json!([]));
        assert_eq!(payload["deployment"]["versionDigest"], version["digest"]);
        payload["deployment"]["downgrade"].clone()
    };
    assert_eq!(live(deploy(&mia, &unsigned, 10, None), &unsigned), json!(null), "there was no signed one");
    assert_eq!(live(deploy(&mia, &v1, 10, None), &v1), json!(null));
    assert_eq!(live(deploy(&mia, &v2, 10, None), &v2), json!(null));
    assert_eq!(live(deploy(&mia, &v3, 10, None), &v3), json!(null), "the same serial is not older");
    for older in [&v1, &unsigned] {
        let payload = deploy(&mia, older, 10, None);
        assert_eq!(code(&payload), "PLUGIN_DOWNGRADE", "{payload}");
        let message = payload["errors"][0]["message"].as_str().expect("a text");
        assert!(message.contains("200") && message.contains("allowDowngrade"), "{message}");
    }
    let back = json!({"slot": "mql", "reason": "it was wrong"});
    let rollback = || mia.mutate("rollback", "RollbackInput", back.clone(), "deployment { versionDigest }");
    assert_eq!(rollback()["deployment"]["versionDigest"], v2["digest"]);
    assert_eq!(rollback()["deployment"]["versionDigest"], v1["digest"], "one step back needs no more");
    assert_eq!(live(deploy(&mia, &v1, 20, None), &v1), json!(null), "what is live takes other settings");
    assert_eq!(live(deploy(&mia, &v2, 10, None), &v2), json!(null));
    assert_eq!(code(&deploy(&mia, &v1, 10, Some(" "))), "VALIDATION");
    let told = live(deploy(&mia, &v1, 10, Some("v2 and v3 read a field that is wrong")), &v1);
    let expected = json!({"reason": "v2 and v3 read a field that is wrong", "serial": "100", "newest": "200",
        "by": {"key": "mia"}});
    assert_eq!(told, expected);
    let history = "{ ruleSlots { key history { versionDigest downgrade { reason } } } }";
    let slots = mia.query(history, json!({}))["ruleSlots"].clone();
    let slot =
        slots.as_array().expect("slots").iter().find(|slot| slot["key"] == "mql").expect("mql").clone();
    let reasons: Vec<&Value> =
        slot["history"].as_array().expect("a history").iter().map(|one| &one["downgrade"]).collect();
    assert_eq!(reasons.iter().filter(|one| !one.is_null()).count(), 1, "{slot}");
    // Signing it again says that it is meant.
    live(deploy(&mia, &v2, 10, None), &v2);
    let again = upload(&mia, &version(1), "1.0", Some(&desk.sign(&version(1), "a", "1.0", 300)));
    assert_eq!(again["signatures"][0]["serial"], "300", "{again}");
    assert_eq!(live(deploy(&mia, &v1, 10, None), &v1), json!(null));
    assert_eq!(code(&deploy(&mia, &v3, 10, None)), "PLUGIN_DOWNGRADE");
}

#[test]
fn the_command_line_makes_keys_signs_registers_and_pushes() {
    let server = Server::start();
    let desk = Desk::new(&[]);
    std::fs::write(desk.path("word"), "a pass phrase\n").expect("written");
    let id = desk.run(&["keygen", "team.key", "--password-file", "word"]);
    assert!(desk.public("team").contains(&id), "{id}");
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(desk.path("team.key")).expect("a file").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077, 0, "for its owner alone");
    }
    let (_, err, code) = run(desk.0.path(), &["keygen", "team.key", "--no-password"]);
    assert!(code == 5 && err.contains("exists"), "{code} {err}");
    std::fs::write(desk.path("card.wasm"), version(1)).expect("written");
    std::fs::write(desk.path("wrong"), "another one\n").expect("written");
    let sign = ["sign", "card.wasm", "--key", "team.key", "--password-file"];
    let (_, err, code) = run(desk.0.path(), &[&sign[..], &["wrong"]].concat());
    assert!(code == 4 && !err.contains("another one"), "{code} {err}");
    let (_, err, code) = run(desk.0.path(), &[&sign[..], &["word", "--label", "1 0"]].concat());
    assert!(code == 2 && err.contains("no spaces"), "{code} {err}");
    desk.run(&[&sign[..], &["word", "--label", "1.4.0"]].concat());
    let public = desk.path("team.pub");
    let key = server.cli(&[
        "plugin",
        "register-key",
        public.to_str().expect("text"),
        "--team",
        "marketing",
        "--name",
        "release",
    ]);
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(key.status.success(), "{key:?}");
    let wasm = desk.path("card.wasm");
    let pushed = server.cli(&["plugin", "push", wasm.to_str().expect("text"), "--team", "marketing"]);
    assert!(pushed.status.success(), "{pushed:?}");
    let document = "query($digest: Digest!) { pluginVersion(digest: $digest) { label signatures { signedBy { keyId } } } }";
    let found = server.admin().query(document, json!({"digest": text(&pushed)}));
    let expected = json!({"label": "1.4.0", "signatures": [{"signedBy": {"keyId": id}}]});
    assert_eq!(found["pluginVersion"], expected, "the signature beside it goes along");
    std::fs::write(desk.path("card.wasm"), version(2)).expect("written");
    let stale = server.cli(&["plugin", "push", wasm.to_str().expect("text"), "--team", "marketing"]);
    let said = String::from_utf8_lossy(&stale.stderr);
    assert!(stale.status.code() == Some(6) && said.contains("sign it again"), "{said}");
    let keys = text(&server.cli(&["plugin", "keys"]));
    assert!(keys.contains(&id) && keys.ends_with("good"), "{keys}");
    let revoked = server.cli(&["plugin", "revoke-key", &text(&key), "--reason", "an exercise"]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert!(text(&server.cli(&["plugin", "keys", "--team", "marketing"])).ends_with("an exercise"));
}
