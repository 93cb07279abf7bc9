//! A rule at its author's desk: from an empty place to a component in three languages, and what it tells of itself, of
//! another version, and of a lead.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use handfast_tests::{Server, binary, card, on_postgres, plugin, root};
use serde_json::{Value, json};

/// Where `cargo xtask languages` and `plugins` put the tools of the other languages and what cargo has built.
fn prepared() -> PathBuf {
    plugin("scorecard").ancestors().nth(3).expect("plugins stand in target/plugins").to_owned()
}

fn jco() -> Option<PathBuf> {
    there(prepared().join("plugins/scorecard-js/node_modules/.bin/jco"))
}

fn componentize_py() -> Option<PathBuf> {
    there(prepared().join("target/guests/python/bin/componentize-py"))
}

fn there(tool: PathBuf) -> Option<PathBuf> {
    if !tool.is_file() {
        eprintln!("skipped: {} is missing; `cargo xtask languages` installs it", tool.display());
    }
    tool.is_file().then_some(tool)
}

/// The command line in a folder, with the tools of all languages on its path.
fn handfast(folder: &Path, args: &[&str]) -> Output {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let tools = [
        prepared().join("plugins/scorecard-js/node_modules/.bin"),
        prepared().join("target/guests/python/bin"),
    ];
    let path = std::env::join_paths(tools.into_iter().chain(std::env::split_paths(&own))).expect("a path");
    command(folder, args).env("PATH", path).output().expect("the command line runs")
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    // What the rules that ship were built of is there already.
    command
        .arg("plugin")
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", root().join("target/guests"));
    command
}

fn said(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

/// The same that must succeed.
fn done(folder: &Path, args: &[&str]) -> String {
    let (out, err, code) = said(&handfast(folder, args));
    assert_eq!(code, 0, "{args:?} in {}: {out}{err}", folder.display());
    out
}

/// A new rule, built and checked with its cases as it comes, or after a change of it.
fn made(place: &Path, lang: &str, kind: &str, change: impl FnOnce(&Path)) -> PathBuf {
    let name = format!("fleet-{lang}-{kind}");
    done(place, &["new", &name, "--lang", lang, "--kind", kind]);
    let folder = place.join(&name);
    change(&folder);
    let built = done(&folder, &["build"]);
    let component = folder.join("target").join(format!("{name}.wasm"));
    assert_eq!(Path::new(built.trim()), component.canonicalize().expect("the component"), "{built}");
    let checked = done(&folder, &["check", &format!("target/{name}.wasm")]);
    let cases = checked.lines().last().unwrap_or_default();
    assert!(cases.starts_with("ok        cases") && cases.contains("fuel a lead, at most"), "{checked}");
    assert!(checked.contains(&format!("{kind} of handfast:rules@1.0.0")), "{checked}");
    folder
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("a file");
    assert!(text.contains(from), "{} says nothing of {from}", path.display());
    std::fs::write(path, text.replace(from, to)).expect("it is written");
}

#[test]
fn a_new_rule_in_rust_builds_and_passes_natively_and_in_wasm_with_the_same_words() {
    if on_postgres() {
        return eprintln!("no database has a say in it; it ran on SQLite");
    }
    let place = tempfile::tempdir().expect("a directory");
    let folders = ["router", "qualifier"].map(|kind| {
        let folder = made(place.path(), "rust", kind, |_| {});
        let tested = done(&folder, &["test"]);
        assert!(tested.contains(&format!("2 of 2 cases of fleet-rust-{kind} pass")), "{tested}");
        assert!(tested.contains("fuel a lead"), "{tested}");
        let wasm = format!("target/fleet-rust-{kind}.wasm");
        let page: Value = serde_json::from_str(&done(&folder, &["describe", &wasm, "--json"])).expect("JSON");
        assert_eq!(
            (&page["name"], &page["version"]),
            (&json!(format!("fleet-rust-{kind}")), &json!("0.1.0"))
        );
        let settings = page["settings"].as_array().expect("settings");
        assert!(settings.iter().all(|setting| setting["meaning"] != "" && setting["form"] != ""), "{page:#}");
        folder
    });
    let [_, folder] = folders;
    let native = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["test", "--quiet"]).current_dir(&folder);
        said(&cargo.env("CARGO_TARGET_DIR", root().join("target/guests")).output().expect("cargo runs"))
    };
    let (out, err, code) = native();
    assert!(code == 0 && out.contains("1 passed"), "{out}{err}");
    edit(&folder.join("cases/holds.json"), "\"text\": \"60 points", "\"text\": \"61 points");
    let words = "small, right and fresh: nearly: text: expected \"61 points; 70 would advance\", found \"60 points; 70 would advance\"";
    let (out, err, code) = native();
    assert!(code != 0 && format!("{out}{err}").contains(words), "{out}{err}");
    let (out, err, code) = said(&handfast(&folder, &["test"]));
    assert!(code == 6 && err.contains(words), "{out}{err}");
}

#[test]
fn a_new_rule_in_javascript_passes_and_an_exception_is_one_leads_fault() {
    if on_postgres() || jco().is_none() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    made(place.path(), "js", "router", |_| {});
    let folder = made(place.path(), "js", "qualifier", |folder| {
        let judge = "function judge(settings, context, lead) {";
        let thrown = format!("{judge}\n  if (lead[\"company.industry\"] === \"boom\") lead.nobody.asks;");
        edit(&folder.join("src/rule.js"), judge, &thrown);
        boom(folder, "FAULT");
    });
    boom(&folder, "OK");
    let (out, err, code) = said(&handfast(&folder, &["test"]));
    assert!(code == 6 && err.contains("TypeError"), "the exception's own words: {out}{err}");
    let unflagged = [
        "componentize",
        "rule.js",
        "--wit",
        "wit",
        "--world-name",
        "qualifier",
        "--backend",
        "qjs",
        "--backend-qjs-disable-async",
        "--out",
        "../wasi.wasm",
    ];
    let made =
        Command::new(jco().expect("jco")).args(unflagged).current_dir(folder.join("target/stage")).output();
    let made = made.expect("jco runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (out, _, code) = said(&handfast(&folder, &["check", "target/wasi.wasm"]));
    assert!(code == 6 && out.contains("made by jco") && out.contains("--backend-qjs-stub-wasi"), "{out}");
}

#[test]
fn a_new_rule_in_python_passes_and_an_exception_is_one_leads_fault() {
    if on_postgres() || componentize_py().is_none() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let folder = made(place.path(), "python", "qualifier", |folder| {
        let judge = "    fresh = settings.get";
        let raised = format!("    if industry == \"boom\":\n        raise KeyError(industry)\n{judge}");
        edit(&folder.join("src/rule.py"), judge, &raised);
        boom(folder, "FAULT");
    });
    let unflagged = ["-d", "wit", "-w", "qualifier", "componentize", "-p", ".", "rule", "-o", "../wasi.wasm"];
    let mut made = Command::new(componentize_py().expect("componentize-py"));
    let made =
        made.args(unflagged).current_dir(folder.join("target/stage")).output().expect("componentize-py runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (out, _, code) = said(&handfast(&folder, &["check", "target/wasi.wasm"]));
    assert!(code == 6 && out.contains("made by componentize-py") && out.contains("--stub-wasi"), "{out}");
}

#[test]
fn a_new_router_in_python_passes() {
    if on_postgres() || componentize_py().is_none() {
        return;
    }
    made(tempfile::tempdir().expect("a directory").path(), "python", "router", |_| {});
}

/// A case of three leads, of which one makes the rule throw: it alone ends with a status.
fn boom(folder: &Path, status: &str) {
    let lead = |industry: &str, expect: Value| json!({"fields": {"company.employees": 80, "company.industry": industry}, "expect": expect});
    let advances = || lead("logistics", json!({"outcome": "ADVANCE"}));
    let leads = [advances(), lead("boom", json!({"status": status})), advances()];
    let case = json!({"name": "boom", "settingsFile": "../settings/default.json", "asOf": "2026-03-01T09:00:00Z", "leads": leads});
    std::fs::write(folder.join("cases/boom.json"), case.to_string()).expect("it is written");
}

#[test]
fn what_cannot_be_made_says_what_is_missing_and_what_to_type() {
    if on_postgres() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    done(place, &["new", "there", "--lang", "js"]);
    done(place, &["new", "snake", "--lang", "python"]);
    let wants = |folder: &str, args: &[&str], code: i32, words: &[&str]| {
        // No tool at all is on this path.
        let output = command(&place.join(folder), args).env("PATH", place).env_remove("VIRTUAL_ENV").output();
        let (out, err, found) = said(&output.expect("the command line runs"));
        assert_eq!((found, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{args:?} says not {words:?}: {err}");
    };
    wants(".", &["new", "there", "--lang", "rust"], 5, &["there already", "--folder"]);
    wants(".", &["new", "Fleet Size", "--lang", "rust"], 2, &["no name for a rule", "fleet-size"]);
    wants(".", &["new", "fleet", "--lang", "cobol"], 2, &["rust", "js", "python"]);
    wants(".", &["build"], 3, &["neither Cargo.toml", "rule.json", "plugin new"]);
    wants(".", &["build", "nowhere"], 3, &["nowhere"]);
    wants("there", &["build"], 1, &["node is missing", "nodejs.org"]);
    wants(
        "snake",
        &["build"],
        1,
        &["componentize-py is missing", "python3 -m venv .venv", "requirements.txt"],
    );
    std::fs::write(place.join("there/schema.json"), "{").expect("it is written");
    std::fs::write(place.join("node"), "").expect("it is written");
    wants("there", &["build"], 1, &["schema.json: EOF"]);
    done(place, &["new", "bare", "--lang", "js"]);
    wants("bare", &["build"], 1, &["jco is missing", "npm ci"]);
}

#[test]
fn a_component_describes_itself_as_a_page_with_every_setting() {
    if on_postgres() {
        return;
    }
    let here = tempfile::tempdir().expect("a directory");
    let wasm = plugin("graded-answers").to_string_lossy().into_owned();
    let page = done(here.path(), &["describe", &wasm]);
    for words in [
        "graded-answers 0.1.0, a qualifier",
        "sha256 ",
        "answers.budget.grade",
        "below-minimum",
        "/questions/*/weight",
        "required",
        "/withoutEvidence",
    ] {
        assert!(page.contains(words), "{words} is not in:\n{page}");
    }
    assert!(page.lines().all(|line| line.chars().count() <= 112), "it fits on a page:\n{page}");
    assert_eq!(page, done(here.path(), &["settings", &wasm]), "one page, two names");
    let (out, err, code) =
        said(&handfast(here.path(), &["describe", &here.path().join("none").to_string_lossy()]));
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    std::fs::write(here.path().join("page.html"), "<html>").expect("it is written");
    let (_, err, code) = said(&handfast(here.path(), &["describe", "page.html"]));
    assert!(code == 6 && err.contains("PLUGIN_NOT_A_COMPONENT") && err.contains("plugin build"), "{err}");
}

#[test]
fn two_versions_are_compared_by_what_they_read_say_and_judge() {
    let server = Server::start();
    let here = server.dir.path();
    let (card_wasm, graded) = (
        plugin("scorecard").to_string_lossy().into_owned(),
        plugin("graded-answers").to_string_lossy().into_owned(),
    );
    let digest = server.push("scorecard");
    let (out, _, code) = said(&server.cli(&["plugin", "diff", &card_wasm, &digest]));
    assert!(
        code == 0 && out.ends_with("nothing differs\n"),
        "a file and its version on the server are one: {out}"
    );
    let (out, _, code) = said(&server.cli(&["plugin", "diff", &card_wasm, &graded]));
    assert_eq!(code, 1, "{out}");
    for words in [
        "reads\n",
        "- company.employees: integer",
        "+ answers.budget.grade: integer",
        "reason codes\n",
        "+ below-minimum: An answer is too weak",
        "settings\n",
        "- /thresholds/advance: integer",
        "+ /questions: list of object",
    ] {
        assert!(out.contains(words), "{words:?} is not in:\n{out}");
    }
    let bombs = plugin("bombs").to_string_lossy().into_owned();
    let cases = here.join("cases");
    std::fs::create_dir(&cases).expect("a folder");
    let case = json!({"name": "card", "settings": card(10), "asOf": 0, "leads": [{"fields": {"contact.consent": true}}]});
    std::fs::write(cases.join("card.json"), case.to_string()).expect("it is written");
    let cases = cases.to_string_lossy().into_owned();
    let (out, _, code) = said(&server.cli(&["plugin", "diff", &card_wasm, &card_wasm, "--cases", &cases]));
    assert!(code == 0 && out.contains("fuel a lead") && out.contains("nothing differs"), "{out}");
    let (out, _, code) = said(&server.cli(&["plugin", "diff", &card_wasm, &bombs, "--cases", &cases]));
    assert!(code == 1 && out.contains("verdicts\n  card"), "{out}");
    for (args, code) in [
        (vec!["plugin", "diff", "nowhere", &card_wasm], 3),
        (
            vec![
                "plugin",
                "diff",
                "0000000000000000000000000000000000000000000000000000000000000000",
                &card_wasm,
            ],
            3,
        ),
        (vec!["plugin", "diff", &digest, &card_wasm, "--cases", &cases], 2),
    ] {
        let (out, err, found) = said(&server.cli(&args));
        assert!(found == code && !err.is_empty(), "{args:?}: {found} {out}{err}");
    }
}

#[test]
fn a_server_tells_what_is_live_which_versions_there_are_and_why_a_lead_stands_where_it_stands() {
    let server = Server::start();
    let (out, err, code) = said(&server.cli(&["plugin", "versions"]));
    assert!(code == 0 && out.is_empty() && err.contains("plugin push"), "{out}{err}");
    let (out, _, code) = said(&server.cli(&["plugin", "status"]));
    assert!(code == 0 && out.contains("mql") && out.contains("built in: holds every lead"), "{out}");
    let digest = server.deploy("scorecard", "mql", &card(10));
    let (out, _, code) = said(&server.cli(&["plugin", "status"]));
    let slot = out.lines().find(|line| line.trim_start().starts_with("mql")).unwrap_or_default();
    assert!(
        code == 0 && slot.contains("MQL?") && slot.contains("scorecard") && slot.contains(&digest[..12]),
        "{out}"
    );
    let (out, _, code) = said(&server.cli(&["plugin", "versions", "--name", "scorecard"]));
    assert!(code == 0 && out.contains(&digest) && out.contains("VALIDATED"), "{out}");
    let (out, _, _) = said(&server.cli(&["plugin", "versions", "--team", "sales"]));
    assert!(!out.contains(&digest), "{out}");

    let api = server.admin();
    let lead = json!({"email": "ada@example.test", "consent": true});
    let payload =
        api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id uuid stage }");
    let lead = &payload["lead"];
    assert_eq!(lead["stage"], "MQL", "{lead}");
    let (told, err, code) = said(&server.cli(&["plugin", "explain", "ada@example.test"]));
    assert_eq!(code, 0, "{err}");
    for words in
        ["Gate MQL: met", "mql says ADVANCE (fit 10", "  +10  ", "contact.consent", &digest[..12], "fuel]"]
    {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }
    for id in ["id", "uuid"] {
        let id = lead[id].as_str().expect("an id");
        assert_eq!(said(&server.cli(&["plugin", "explain", id])).0, told, "{id}");
    }
    let (_, err, code) = said(&server.cli(&["plugin", "explain", "nobody@example.test"]));
    assert!(code == 3 && err.contains("there is no lead"), "{err}");
}
