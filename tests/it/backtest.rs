//! Backtests: what a version would have said of leads whose outcome is known, beside what answers today.

use std::collections::BTreeMap;
use std::path::Path;

use handfast_tests::{Api, Server, card, data, eventually, on_postgres, root};
use serde_json::{Value, json};

mod real;

const RUN: &str =
    "id uuid slot gate status done total message versionDigest settingsDigest baselineVersionDigest limit";
const SHARE: &str = "{ part whole basisPoints low high }";

fn report() -> String {
    let score = format!(
        "{{ advanced {SHARE} precision {SHARE} recall {SHARE} lift {{ basisPoints low high }} faults }}"
    );
    let group = format!("{{ key leads good {SHARE} flips both gained lost }}");
    format!(
        "report {{ findings {{ kind level field text }} \
         population {{ looks superseded unknown closedByRule erased filtered judged }} base {SHARE} baseline {score} \
         candidate {score} matrix {{ baseline candidate leads good }} flips coverage {SHARE} \
         fields {{ path known {SHARE} late restsOn {SHARE} alone drift }} personas {group} campaigns {group} \
         sources {group} owners {{ owner queue before after change openLeads capacity clocksAtRisk }} clocksAtRisk \
         fuel {{ total mean p99 }} quarters {{ from to good {SHARE} }} imported }}"
    )
}

fn attempt(api: &Api, slot: &str, digest: &str, settings: &Value, more: Value) -> Value {
    let mut input = json!({"slot": slot, "digest": digest, "settings": settings.to_string()});
    for (key, value) in more.as_object().into_iter().flatten() {
        input[key] = value.clone();
    }
    api.attempt("startBacktest", "StartBacktestInput", input, &format!("run {{ {RUN} }}"))
}

fn start(api: &Api, slot: &str, digest: &str, settings: &Value, more: Value) -> Value {
    let payload = attempt(api, slot, digest, settings, more);
    assert_eq!(payload["errors"], json!([]), "{settings}");
    payload["run"]["id"].clone()
}

fn run(api: &Api, id: &Value) -> Value {
    let document = format!("query($id: ID!) {{ backtest(id: $id) {{ {RUN} {} }} }}", report());
    api.query(&document, json!({"id": id}))["backtest"].clone()
}

fn wait(api: &Api, id: &Value) -> Value {
    let done = eventually(300, "the backtest ends", || {
        let document = format!("query($id: ID!) {{ backtest(id: $id) {{ {RUN} }} }}");
        let run = api.query(&document, json!({"id": id}))["backtest"].clone();
        (run["status"] != "QUEUED" && run["status"] != "RUNNING").then_some(run)
    });
    assert_eq!(done["status"], "FINISHED", "{done}");
    run(api, id)
}

fn backtest(api: &Api, slot: &str, digest: &str, settings: &Value, more: Value) -> Value {
    wait(api, &start(api, slot, digest, settings, more))["report"].clone()
}

/// The kinds of what a report warns of or notes.
fn found<'r>(report: &'r Value, level: &str) -> Vec<&'r str> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings.filter(|one| one["level"] == level).filter_map(|one| one["kind"].as_str()).collect()
}

/// The fields that a report says something of.
fn fields_of<'r>(report: &'r Value, kind: &str) -> Vec<&'r str> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings.filter(|one| one["kind"] == kind).filter_map(|one| one["field"].as_str()).collect()
}

fn long(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no Long"))
}

fn count(share: &Value) -> (u64, u64) {
    (long(&share["part"]), long(&share["whole"]))
}

/// Imports a file and waits until it is done.
fn import(api: &Api, file: impl AsRef<[u8]>, mapping: &Value) {
    let digest = api.put_blob("import", file.as_ref());
    let input = json!({"digest": digest, "name": "test.csv", "mapping": mapping.to_string()});
    let started = api.mutate("startImport", "StartImportInput", input, "run { id }");
    let id = started["run"]["id"].clone();
    let counts = "status total created refused message results(first: 3, outcomes: [REFUSED]) { edges { node { row message } } }";
    let document = format!("query($id: ID!) {{ importRun(id: $id) {{ {counts} }} }}");
    let ended = eventually(900, "the import ends", || {
        let run = api.query(&document, json!({"id": id}))["importRun"].clone();
        (run["status"] != "RUNNING").then_some(run)
    });
    assert!(ended["status"] == "DONE" && ended["refused"] == "0", "{ended}");
}

/// Two hundred leads of the past: every second one has consent, and of those that have it two of three were won. Each was
/// looked at in a minute of its own.
fn past(api: &Api) {
    let rep = json!({"key": "rep", "name": "A rep", "team": "sales", "capacity": 1});
    api.mutate("upsertUser", "UpsertUserInput", rep, "user { id }");
    let mut file = String::from("id,at,consent,source,end,ended,rep\n");
    for number in 0..200 {
        let (consent, good) = (number % 2 == 0, number % 6 < 4 && number % 2 == 0);
        let source = ["web", "event"][number / 100];
        let (end, day) = (if good { "WON" } else { "LOST" }, 1 + number / 50);
        let (hour, minute) = (number % 50 / 10, number % 10);
        let at = format!("2025-03-{day:02}T{hour:02}:{minute:02}:00Z");
        file += &format!("l{number},{at},{consent},{source},{end},2025-04-01T00:00:00Z,rep\n");
    }
    let mapping = json!({
        "system": "crm", "id": "id", "occurredAt": {"column": "at"}, "owner": "rep",
        "lead": {"consent": "consent", "source": "source"},
        "ending": {"outcome": "end", "at": {"column": "ended"}, "reason": {"otherwise": "HOLDING_OFF"}},
    });
    import(api, file, &mapping);
}

#[test]
fn a_candidate_is_held_against_todays_version_over_what_people_said() {
    let server = Server::start();
    let api = server.admin();
    past(&api);
    let digest = server.push("scorecard");
    let id = start(&api, "mql", &digest, &card(10), json!({}));
    let done = wait(&api, &id);
    let report = &done["report"];
    assert_eq!((&done["gate"], &done["baselineVersionDigest"]), (&json!("MQL"), &Value::Null));
    assert_eq!((&done["done"], &done["total"]), (&json!("200"), &json!("200")));
    assert_eq!(report["population"]["judged"], "200", "{}", report["population"]);
    assert_eq!(count(&report["base"]), (67, 200));
    let candidate = &report["candidate"];
    assert_eq!(count(&candidate["advanced"]), (100, 200));
    assert_eq!((count(&candidate["precision"]), count(&candidate["recall"])), ((67, 100), (67, 67)));
    assert!(candidate["lift"]["low"].as_u64() > Some(10_000), "{candidate}");
    assert_eq!(report["baseline"]["lift"], Value::Null, "the built-in rule lets nobody through");
    assert_eq!(
        report["matrix"],
        json!([
            {"baseline": "HOLD", "candidate": "ADVANCE", "leads": "100", "good": "67"},
            {"baseline": "HOLD", "candidate": "HOLD", "leads": "100", "good": "0"},
        ])
    );
    let by_source: BTreeMap<&str, u64> = report["sources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|group| (group["key"].as_str().unwrap_or("-"), long(&group["gained"])))
        .collect();
    assert_eq!(by_source, BTreeMap::from([("event", 50), ("web", 50)]));
    // A hundred more leads in four days with one place: two clocks for each but one.
    assert_eq!(
        report["owners"],
        json!([{"owner": "rep", "queue": null, "before": "0", "after": "100", "change": "100", "openLeads": "0",
            "capacity": 1, "clocksAtRisk": "198"}])
    );
    assert!(found(report, "WARNING").contains(&"CLOCKS_AT_RISK"), "{}", report["findings"]);
    assert!(found(report, "NOTE").contains(&"IMPORTED_PAST"));
    let rests: Vec<&str> = report["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|field| field["restsOn"]["part"] != "0")
        .filter_map(|field| field["path"].as_str())
        .collect();
    assert_eq!(rests, ["contact.consent"], "of all that it declares the card rests on this alone");
    let mean: i64 = report["fuel"]["mean"].as_str().and_then(|text| text.parse().ok()).expect("fuel");
    assert!(mean > 0, "{}", report["fuel"]);

    let document = "query($id: ID!, $after: String) { backtest(id: $id) { flipped(first: 60, after: $after) { \
        edges { node { leadId at baseline candidate good better lead { id source } } } \
        pageInfo { hasNextPage endCursor } } } }";
    let first = api.query(document, json!({"id": id}))["backtest"]["flipped"].clone();
    let second = api.query(document, json!({"id": id, "after": first["pageInfo"]["endCursor"]}))["backtest"]
        ["flipped"]
        .clone();
    let nodes = |page: &Value| -> Vec<Value> {
        page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()).collect()
    };
    let flips = [nodes(&first), nodes(&second)].concat();
    assert_eq!((flips.len(), &second["pageInfo"]["hasNextPage"]), (100, &json!(false)));
    assert_eq!(flips.iter().filter(|flip| flip["better"] == json!(true)).count(), 67);
    assert!(flips.iter().all(|flip| flip["leadId"] == flip["lead"]["id"] && flip["good"] == flip["better"]));
    assert!(flips.is_sorted_by(|a, b| a["at"].as_str() >= b["at"].as_str()), "the newest first");

    // With a version that answers today: it is the baseline, and the same version never differs from itself.
    server.set("mql", &digest, &card(10));
    let same = backtest(&api, "mql", &digest, &card(10), json!({}));
    assert_eq!((&same["flips"], found(&same, "NOTE").contains(&"NO_DIFFERENCE")), (&json!("0"), true));
    assert_eq!(same["baseline"], same["candidate"]);
    let stricter = backtest(&api, "mql", &digest, &card(20), json!({}));
    assert_eq!(
        stricter["matrix"],
        json!([
            {"baseline": "ADVANCE", "candidate": "HOLD", "leads": "100", "good": "67"},
            {"baseline": "HOLD", "candidate": "HOLD", "leads": "100", "good": "0"},
        ])
    );
    assert!(found(&stricter, "WARNING").contains(&"NO_LIFT"));
    // What was found once stays as it was.
    assert_eq!(&run(&api, &id)["report"], report);
    let listed = api.query("{ backtests(slot: \"mql\") { edges { node { id status } } } }", json!({}));
    let listed = listed["backtests"]["edges"].as_array().expect("a list").clone();
    assert_eq!((listed.len(), &listed[2]["node"]["id"]), (3, &id), "the newest first");
    assert_eq!(api.query("query($id: ID!) { node(id: $id) { id } }", json!({"id": id}))["node"]["id"], id);
}

#[test]
fn a_window_a_source_and_a_limit_cut_out_which_leads_are_judged() {
    let server = Server::start();
    let api = server.admin();
    past(&api);
    let digest = server.push("scorecard");
    let judged = |more: Value| {
        let report = backtest(&api, "mql", &digest, &card(10), more);
        (long(&report["population"]["judged"]), count(&report["base"]).0)
    };
    let day = |day: u32| format!("2025-03-{day:02}T00:00:00Z");
    let table = [
        (json!({}), (200, 67)),
        (json!({"from": day(3)}), (100, 33)),
        (json!({"from": day(2), "to": day(3)}), (50, 17)),
        (json!({"source": "web"}), (100, 34)),
        (json!({"source": "nowhere"}), (0, 0)),
        (json!({"limit": 30}), (30, 10)),
        (json!({"limit": 30, "to": day(2)}), (30, 10)),
        (json!({"from": "2030-01-01T00:00:00Z"}), (0, 0)),
    ];
    for (more, expected) in table {
        assert_eq!(judged(more.clone()), expected, "{more}");
    }
}

/// A lead that is handed over by a card, worked by sales, or rejected: its outcome is sales' word, not the rule's.
#[test]
fn an_outcome_is_the_word_of_people_and_counts_once_for_each_cycle() {
    let server = Server::start();
    let api = server.admin();
    let digest = server.push("scorecard");
    server.set("mql", &digest, &card(0));
    let capture = |mail: &str, consent: bool| {
        let input = json!({"lead": {"email": mail, "source": "web", "consent": consent}});
        let payload = api.mutate("captureLead", "CaptureLeadInput", input, "lead { id stage }");
        payload["lead"].clone()
    };
    let (accepted, rejected) = (capture("yes@example.test", true), capture("no@example.test", true));
    let (open, held) = (capture("open@example.test", true), capture("held@example.test", false));
    assert_eq!([&accepted, &rejected, &open].map(|lead| &lead["stage"]), [&json!("MQL"); 3]);
    assert_eq!(held["stage"], "INQUIRY");
    let seller = server.user("seller", "sales");
    let act =
        |field: &str, kind: &str, input: Value| drop(seller.mutate(field, kind, input, "lead { id stage }"));
    act("acceptHandoff", "LeadTarget", json!({"lead": {"id": accepted["id"]}}));
    act("rejectHandoff", "RejectHandoffInput", json!({"lead": {"id": rejected["id"]}, "reason": "NOT_ICP"}));
    // One is looked at several times, and counts once.
    for _ in 0..3 {
        let by = json!({"lead": {"id": held["id"]}});
        api.mutate("evaluateLead", "LeadTarget", by, "lead { id }");
    }
    let report = backtest(&api, "mql", &digest, &card(0), json!({}));
    let population = &report["population"];
    assert_eq!(
        (&population["judged"], &population["unknown"], &population["superseded"], &population["looks"]),
        (&json!("2"), &json!("2"), &json!("3"), &json!("7")),
        "{population}"
    );
    assert_eq!(count(&report["base"]), (1, 2));
    assert!(found(&report, "WARNING").contains(&"SMALL_SAMPLE"), "{}", report["findings"]);
    assert!(found(&report, "NOTE").contains(&"SELECTION"), "{}", report["findings"]);
    assert_eq!(report["imported"], "0");
}

#[test]
fn what_cannot_be_tried_is_refused_with_what_can() {
    let server = Server::start();
    let api = server.admin();
    let (scorecard, router) = (server.push("scorecard"), server.push("fair-share"));
    let none = "0".repeat(64);
    // slot, digest, settings, more, code, path, words
    let table = [
        ("nowhere", &scorecard, card(1), json!({}), "NOT_FOUND", "slot", "it has mql"),
        ("routing", &router, json!({}), json!({}), "VALIDATION", "slot", "it can try mql"),
        ("mql", &router, json!({}), json!({}), "PLUGIN_REJECTED", "digest", "decides ROUTE"),
        ("mql", &none, card(1), json!({}), "NOT_FOUND", "digest", "plugin version"),
        ("mql", &scorecard, json!({}), json!({}), "PLUGIN_REJECTED", "settings", "thresholds"),
        (
            "mql",
            &scorecard,
            card(1),
            json!({"limit": 0}),
            "VALIDATION",
            "limit",
            "1 to 5000000 leads, found 0",
        ),
        ("mql", &scorecard, card(1), json!({"limit": -5}), "VALIDATION", "limit", "1 to 5000000"),
        (
            "mql",
            &scorecard,
            card(1),
            json!({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
            "VALIDATION",
            "to",
            "ends before it begins",
        ),
        ("mql", &scorecard, card(1), json!({"source": ""}), "VALIDATION", "source", "1 to 256 characters"),
    ];
    for (slot, digest, settings, more, code, path, words) in table {
        let payload = attempt(&api, slot, digest, &settings, more);
        let error = &payload["errors"][0];
        assert_eq!((&error["code"], &payload["run"]), (&json!(code), &Value::Null), "{payload}");
        assert_eq!(error["path"][1], json!(path), "{error}");
        assert!(
            error["message"].as_str().is_some_and(|message| message.contains(words)),
            "{words:?} in {error}"
        );
    }
    let reader = server.user("reader", "sales");
    let of_sales = attempt(&reader, "mql", &scorecard, &card(1), json!({}));
    assert_eq!(of_sales["errors"], json!([]), "another team may try what it may not deploy");
    let absent = api.query("{ backtest(id: \"00000000-0000-7000-8000-000000000000\") { id } }", json!({}));
    assert_eq!(absent["backtest"], Value::Null);
    // Nothing was judged, and the report says no more than that.
    let report = wait(&api, &of_sales["run"]["id"])["report"].clone();
    assert_eq!((found(&report, "WARNING"), found(&report, "NOTE")), (vec!["SMALL_SAMPLE"], vec![]));
}

#[test]
fn a_run_survives_a_power_cut_and_a_cancelled_one_stays_cancelled() {
    let server = Server::start();
    let api = server.admin();
    past(&api);
    let digest = server.push("scorecard");
    let input =
        json!({"slot": "mql", "digest": digest, "settings": card(10).to_string(), "idempotencyKey": "once"});
    let begin = |api: &Api| {
        api.mutate("startBacktest", "StartBacktestInput", input.clone(), "run { id }")["run"]["id"].clone()
    };
    let id = begin(&api);
    assert_eq!(begin(&api), id, "the same key begins one run");
    let second = start(&api, "mql", &digest, &card(20), json!({}));
    let cancel = "mutation($id: ID!) { cancelBacktest(id: $id) { run { status } errors { code } } }";
    let cancelled = api.query(cancel, json!({"id": second}))["cancelBacktest"]["run"]["status"].clone();
    assert!(cancelled == "CANCELLED" || cancelled == "FINISHED", "{cancelled}");
    let (dir, token) = server.kill();
    let server = Server::start_in(dir, Some(token));
    let api = server.admin();
    let report = wait(&api, &id)["report"].clone();
    assert_eq!(count(&report["candidate"]["precision"]), (67, 100));
    // Whatever is taken up after the first one would be over by now.
    wait(&api, &start(&api, "mql", &digest, &card(30), json!({})));
    assert_eq!(run(&api, &second)["status"], cancelled, "it stays as it was");
    // What is over stays so.
    let again = api.query(cancel, json!({"id": id}))["cancelBacktest"].clone();
    assert_eq!((&again["run"]["status"], &again["errors"]), (&json!("FINISHED"), &json!([])));
    let absent = json!({"id": "00000000-0000-7000-8000-000000000000"});
    assert_eq!(api.query(cancel, absent)["cancelBacktest"]["errors"][0]["code"], "NOT_FOUND");
}

#[test]
fn progress_is_told_until_the_report_is_there() {
    let server = Server::start();
    let api = server.admin();
    past(&api);
    let digest = server.push("scorecard");
    let id = start(&api, "mql", &digest, &card(10), json!({}));
    let document =
        "subscription($id: ID!) { backtestProgress(id: $id) { status done total report { flips } } }";
    let told = subscribe(&server, document, json!({"id": id}));
    let states: Vec<&Value> = told.iter().map(|data| &data["backtestProgress"]).collect();
    let last = states.last().expect("it is told at least how it ended");
    assert_eq!((&last["status"], &last["report"]["flips"]), (&json!("FINISHED"), &json!("100")), "{told:?}");
    assert!(states.iter().rev().skip(1).all(|state| state["report"].is_null()), "{told:?}");
}

/// Everything that a subscription tells over server-sent events until it ends by itself.
pub fn subscribe(server: &Server, document: &str, variables: Value) -> Vec<Value> {
    let body = json!({"query": document, "variables": variables});
    let mut response = ureq::post(format!("{}/graphql/stream", server.url))
        .header("authorization", format!("Bearer {}", server.token))
        .header("accept", "text/event-stream")
        .send_json(body)
        .expect("the stream opens");
    let text = response.body_mut().read_to_string().expect("the stream ends");
    let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let parsed = events.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok());
    parsed.filter(|event| event["data"].is_object()).map(|event| event["data"].clone()).collect()
}

#[test]
fn the_command_line_tries_a_file_and_prints_what_was_found() {
    let server = Server::start();
    let api = server.admin();
    past(&api);
    let wasm = handfast_tests::plugin("scorecard");
    let settings = server.dir.path().join("card.json");
    std::fs::write(&settings, card(10).to_string()).expect("the settings are written");
    let cases = root().join("plugins/scorecard/cases");
    let told = |more: &[&str]| {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let (wasm, settings, cases) = (path(&wasm), path(&settings), path(&cases));
        let fixed = ["plugin", "backtest", &wasm, "--slot", "mql", "--settings", &settings];
        let fixed = fixed.into_iter().chain(["--team", "marketing", "--cases", &cases]);
        server.cli(&fixed.chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let output = told(&[]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    for words in [
        "200 leads with a known outcome of 200 looks, 33.5 % of them good",
        "CLOCKS_AT_RISK",
        "67.0 % (57.3 – 75.4)",
        "HOLD       → ADVANCE         100       67",
        "contact.consent",
        "not good",
    ] {
        assert!(out.contains(words), "{words:?} in\n{out}");
    }
    let output = told(&["--json", "--from", "2025-03-03T00:00:00Z"]);
    let run: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&run["status"], &run["report"]["population"]["judged"]), (&json!("FINISHED"), &json!("100")));
    let output = told(&["--limit", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn another_node_carries_out_what_this_one_started() {
    if !on_postgres() {
        return;
    }
    let server = Server::start();
    past(&server.admin());
    let digest = server.push("scorecard");
    let beside = server.beside();
    let api = beside.admin();
    let id = start(&api, "mql", &digest, &card(10), json!({}));
    assert_eq!(count(&wait(&api, &id)["report"]["candidate"]["precision"]), (67, 100));
}
