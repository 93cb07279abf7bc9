//! Plugins in a registry of containers, against Debian's `docker-registry`. Without it these tests say so and pass.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use handfast_tests::{binary, card, plugin, registry, root};
use serde_json::{Value, json};

/// Of the user `ops`, whose password is `secret`.
const HTPASSWD: &str = "ops:$2b$05$76XSvVrOKZ1JVaZ21zA86ubNv9YGxsNoFVme5KgITAcHdG6p3si8m\n";

/// A registry with a folder of its own. It ends with the test.
struct Registry {
    child: Child,
    host: String,
    dir: tempfile::TempDir,
}

impl Registry {
    fn start(program: &Path, passwords: bool) -> Registry {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": at("data")}},
            "http": {"addr": "127.0.0.1:0"},
        });
        if passwords {
            std::fs::write(at("htpasswd"), HTPASSWD).expect("written");
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": at("htpasswd")}});
        }
        // Its configuration is YAML, of which JSON is a part.
        std::fs::write(at("config.yml"), config.to_string()).expect("written");
        let mut child = Command::new(program)
            .args(["serve", &at("config.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let host = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening on ")?.1.split('"').next()?.to_owned()));
        // Whoever stops reading stops its log.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Registry { child, host: host.expect("it says where it listens"), dir }
    }

    fn place(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.host)
    }

    /// What a plain client sees, as JSON.
    fn get(&self, path: &str) -> Value {
        let accept = "application/vnd.oci.image.manifest.v1+json, application/json";
        let mut response = ureq::get(format!("http://{}/v2/{path}", self.host))
            .header("accept", accept)
            .call()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = response.body_mut().read_to_string().expect("text");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// The file in which it keeps a blob.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.dir.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }

    /// Puts a manifest of other tools, with the blobs that it names.
    fn put(&self, repository: &str, tag: &str, manifest: &Value, blobs: &[&[u8]]) {
        for bytes in blobs {
            let started = ureq::post(format!("http://{}/v2/{repository}/blobs/uploads/", self.host))
                .send_empty()
                .expect("an upload begins");
            let location = started.headers()["location"].to_str().expect("text").to_owned();
            let location = match location.strip_prefix('/') {
                Some(path) => format!("http://{}/{path}", self.host),
                None => location,
            };
            let digest = sha256(bytes);
            let joint = if location.contains('?') { '&' } else { '?' };
            ureq::put(format!("{location}{joint}digest={digest}")).send(*bytes).expect("the blob is taken");
        }
        ureq::put(format!("http://{}/v2/{repository}/manifests/{tag}", self.host))
            .header("content-type", manifest["mediaType"].as_str().expect("a media type"))
            .send(manifest.to_string())
            .expect("the manifest is taken");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", handfast_domain::digest::Digest::of_bytes(bytes))
}

/// Runs `handfast plugin …` in a folder, knowing nobody.
fn run(dir: &Path, args: &[&str]) -> (String, String, i32) {
    run_with(dir, args, &[])
}

fn run_with(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> (String, String, i32) {
    let Output { status, stdout, stderr } = Command::new(binary())
        .arg("plugin")
        .args(args)
        .current_dir(dir)
        .env("DOCKER_CONFIG", dir.join("docker"))
        .env_remove("HANDFAST_REGISTRY_USERNAME")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the command line runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr), status.code().unwrap_or(-1))
}

fn ok((out, err, code): (String, String, i32)) -> String {
    assert_eq!(code, 0, "{out}{err}");
    out.trim().to_owned()
}

/// A folder with the scorecard, which was signed.
fn desk() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let wasm = std::fs::read(plugin("scorecard")).expect("a built plugin");
    std::fs::write(dir.path().join("card.wasm"), &wasm).expect("written");
    ok(run(dir.path(), &["keygen", "team.key", "--no-password"]));
    ok(run(dir.path(), &["sign", "card.wasm", "--key", "team.key", "--name", "scorecard", "--label", "1.0"]));
    (dir, wasm)
}

#[test]
fn what_was_published_comes_back_byte_for_byte_with_cases_settings_and_signature() {
    let Some(program) = registry() else { return };
    let registry = Registry::start(&program, false);
    let (dir, wasm) = desk();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("settings.json"), card(10).to_string()).expect("written");
    let cases = root().join("plugins/scorecard/cases");
    let cases = cases.to_str().expect("text");
    let place = registry.place("rules/card:1.0");
    let published = ok(run(
        dir.path(),
        &["publish", "card.wasm", &place, "--cases", cases, "--settings", "settings.json"],
    ));
    let (name, digest) = published.split_once('@').expect("a name and a digest");
    assert_eq!(name, format!("{}/rules/card", registry.host));

    // As wkg reads it: one layer, whose type is application/wasm, and a config that lists exports and imports.
    let manifest = registry.get("rules/card/manifests/1.0");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    let layer = json!({"mediaType": "application/wasm", "digest": sha256(&wasm), "size": wasm.len()});
    assert_eq!(manifest["layers"], json!([layer]));
    let config = manifest["config"]["digest"].as_str().expect("a digest");
    let config = registry.get(&format!("rules/card/blobs/{config}"));
    assert_eq!(
        (&config["os"], &config["architecture"], &config["layerDigests"]),
        (&json!("wasip2"), &json!("wasm"), &json!([sha256(&wasm)]))
    );
    let exports = config["component"]["exports"].as_array().expect("exports");
    assert!(exports.contains(&json!("handfast:rules/qualify@1.0.0")), "{config}");
    assert_eq!(config["component"]["imports"], json!([]));
    assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "scorecard");

    for place in [place.clone(), registry.place(&format!("rules/card@{digest}"))] {
        let back = tempfile::tempdir().expect("a temporary directory");
        let there = |name: &str| back.path().join(name);
        let args = ["pull", &place, "-o", "back.wasm", "--cases", "cases", "--settings", "settings.json"];
        assert_eq!(format!("sha256:{}", ok(run(back.path(), &args))), sha256(&wasm));
        assert_eq!(std::fs::read(there("back.wasm")).expect("the plugin"), wasm);
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("text");
        assert_eq!(read(there("back.wasm.minisig")), read(at("card.wasm.minisig")));
        assert_eq!(read(there("settings.json")), read(at("settings.json")));
        ok(run(back.path(), &["check", "back.wasm", "--cases", "cases"]));
        let names = |dir: &Path| {
            let entries = std::fs::read_dir(dir).expect("a folder");
            let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&there("cases")), names(Path::new(cases)));
    }
    // Without an -o it is called as the plugin calls itself, and a signature of another file does not stay beside it.
    std::fs::remove_file(at("card.wasm.minisig")).expect("removed");
    ok(run(dir.path(), &["publish", "card.wasm", &registry.place("rules/card:2.0"), "--label", "2.0"]));
    std::fs::write(at("scorecard.wasm.minisig"), "of something else").expect("written");
    ok(run(dir.path(), &["pull", &registry.place("rules/card:2.0")]));
    assert!(at("scorecard.wasm").exists() && !at("scorecard.wasm.minisig").exists());
    let manifest = registry.get("rules/card/manifests/2.0");
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "2.0");
    let (_, err, code) = run(dir.path(), &["pull", &registry.place("rules/card:2.0"), "--cases", "none"]);
    assert!(code == 3 && err.contains("came without cases"), "{code} {err}");
}

#[test]
fn what_is_no_plugin_or_is_not_what_its_digest_says_is_refused_and_nothing_is_written() {
    let Some(program) = registry() else { return };
    let registry = Registry::start(&program, false);
    let (dir, wasm) = desk();
    ok(run(dir.path(), &["publish", "card.wasm", &registry.place("rules/card:1")]));
    let config = b"{}";
    let descriptor =
        |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": sha256(bytes), "size": bytes.len()});
    let manifest = |layers: Value| {
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.wasm.config.v0+json", config), "layers": layers})
    };
    let tar = manifest(json!([descriptor("application/vnd.oci.image.layer.v1.tar+gzip", b"a tar")]));
    registry.put("images/tar", "1", &tar, &[config, b"a tar"]);
    let text = manifest(json!([descriptor("application/wasm", b"hello")]));
    registry.put("images/text", "1", &text, &[config, b"hello"]);
    let mut huge = descriptor("application/wasm", b"hello");
    huge["size"] = json!(33 << 20);
    registry.put("images/huge", "1", &manifest(json!([huge])), &[config, b"hello"]);
    // The manifest says little, and more comes.
    let zeros = vec![0; (32 << 20) + 1];
    let mut lying = descriptor("application/wasm", &zeros);
    lying["size"] = json!(5);
    registry.put("images/lying", "1", &manifest(json!([lying])), &[config, &zeros]);
    let cases = [
        ("rules/none:1", 3, "is not in the registry"),
        ("rules/card:2", 3, "is not in the registry"),
        (&format!("rules/card@sha256:{}", "a".repeat(64)), 3, "is not in the registry"),
        ("images/tar:1", 6, "tar+gzip"),
        ("images/text:1", 6, "does not begin like it"),
        ("images/huge:1", 6, "at most 33554432"),
        ("images/lying:1", 6, "more than 33554432"),
    ];
    for (place, exit, said) in cases {
        let (out, err, code) = run(dir.path(), &["pull", &registry.place(place), "-o", "new.wasm"]);
        assert!(code == exit && err.contains(said), "{place}: {code} {err}");
        assert!(out.is_empty() && !dir.path().join("new.wasm").exists(), "{place}");
    }
    // The registry's disk changed a byte.
    let mut damaged = wasm.clone();
    damaged[100] ^= 1;
    std::fs::write(registry.blob(&sha256(&wasm)), &damaged).expect("written");
    let (out, err, code) = run(dir.path(), &["pull", &registry.place("rules/card:1"), "-o", "new.wasm"]);
    assert!(code == 6 && err.contains(&sha256(&wasm)), "{code} {err}");
    assert!(out.is_empty() && !dir.path().join("new.wasm").exists());
    // Publishing is refused before anything is sent.
    std::fs::write(dir.path().join("new.wasm"), [&wasm[..], &[0, 2, 1, b'x']].concat()).expect("written");
    std::fs::copy(dir.path().join("card.wasm.minisig"), dir.path().join("new.wasm.minisig")).expect("copied");
    std::fs::write(dir.path().join("text.wasm"), "hello").expect("written");
    let cases = [
        ("text.wasm", "rules/card:3", 6, "PLUGIN_NOT_A_COMPONENT"),
        ("none.wasm", "rules/card:3", 3, "none.wasm"),
        ("new.wasm", "rules/card:3", 6, "sign it again"),
        ("card.wasm", &format!("rules/card@sha256:{}", "a".repeat(64)), 2, "under a tag"),
    ];
    for (file, place, exit, said) in cases {
        let (_, err, code) = run(dir.path(), &["publish", file, &registry.place(place)]);
        assert!(code == exit && err.contains(said), "{file} {place}: {code} {err}");
    }
    for place in ["scorecard", "https://registry.example.test/a:1", "oci://registry.example.test/A:1"] {
        let (_, err, code) = run(dir.path(), &["pull", place]);
        assert!(code == 2 && err.contains("oci://host/repository:tag"), "{place}: {code} {err}");
    }
}

#[test]
fn a_registry_with_passwords_takes_them_from_flags_the_environment_and_dockers_configuration() {
    let Some(program) = registry() else { return };
    let registry = Registry::start(&program, true);
    let (dir, _) = desk();
    let place = registry.place("rules/card:1");
    let publish = ["publish", "card.wasm", place.as_str()];
    let pull = ["pull", place.as_str(), "-o", "new.wasm"];
    let by_flags = ["--username", "ops", "--password", "secret"];
    let variables = [("HANDFAST_REGISTRY_USERNAME", "ops"), ("HANDFAST_REGISTRY_PASSWORD", "secret")];
    let (_, err, code) = run(dir.path(), &publish);
    assert!(code == 4 && err.contains("docker login"), "{code} {err}");
    ok(run(dir.path(), &[&publish[..], &by_flags].concat()));
    let (_, err, code) = run(dir.path(), &pull);
    assert!(code == 4 && err.contains("somebody without a name"), "{code} {err}");
    let wrong = [&pull[..], &["--username", "ops", "--password", "guess"]].concat();
    let (_, err, code) = run(dir.path(), &wrong);
    assert!(code == 4 && err.contains("the user \"ops\"") && !err.contains("guess"), "{code} {err}");
    ok(run_with(dir.path(), &pull, &variables));
    std::fs::create_dir(dir.path().join("docker")).expect("a folder");
    // "ops:secret" in base64.
    let config = json!({"auths": {&registry.host: {"auth": "b3BzOnNlY3JldA=="}}});
    std::fs::write(dir.path().join("docker/config.json"), config.to_string()).expect("written");
    ok(run(dir.path(), &pull));
}

#[test]
fn another_machine_is_asked_by_tls_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Nothing listens there, so that what it would have been asked can be told from the message.
    let (_, err, code) = run(dir.path(), &["pull", "oci://registry.invalid:1/rules/card:1"]);
    assert!(code == 1 && err.contains("--plain-http"), "{code} {err}");
    let (_, err, code) = run(dir.path(), &["pull", "oci://127.0.0.1:1/rules/card:1"]);
    assert!(code == 1 && err.contains("127.0.0.1:1") && !err.contains("--plain-http"), "{code} {err}");
}
