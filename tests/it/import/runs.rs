//! Runs: their results page by page, cancelled, interrupted and taken up again.

use super::story::{endings, endings_mapping};
use super::*;

#[test]
fn results_are_read_page_by_page_and_by_outcome() {
    let server = Server::start();
    let api = server.admin();
    let row = |n: u32| {
        format!(
            "{n},{AT},{}\n",
            if n.is_multiple_of(3) { "broken".to_owned() } else { format!("p{n}@example.test") }
        )
    };
    let id =
        start(&api, format!("id,at,mail\n{}", (1..=20).map(row).collect::<String>()), &mapping(), json!({}));
    wait(&api, &id);
    let document = "query($id: ID!, $outcomes: [ImportRowOutcome!], $first: Int, $after: String) { \
                    importRun(id: $id) { page: results(outcomes: $outcomes, first: $first, after: $after) { \
                    edges { node { row outcome } } pageInfo { hasNextPage endCursor } } } }";
    let read = |outcomes: Value| {
        let mut sizes = vec![];
        let rows = pages(|after| {
            let variables = json!({"id": id, "outcomes": outcomes, "first": 4, "after": after});
            let page = api.query(document, variables)["importRun"]["page"].clone();
            sizes.push(page["edges"].as_array().unwrap().len());
            page
        });
        (sizes, rows.iter().map(|row| long(&row["row"])).collect::<Vec<_>>())
    };
    assert_eq!(read(json!(["REFUSED"])), (vec![4, 2], vec![4, 7, 10, 13, 16, 19]));
    assert_eq!(read(json!(["REFUSED", "CREATED"])), (vec![4; 5], (2..=21).collect()));
    assert_eq!(read(Value::Null), (vec![4; 5], (2..=21).collect()));
    assert_eq!(read(json!(["WARNING"])), (vec![0], vec![]));
    let page = api.query(document, json!({"id": id, "outcomes": ["REFUSED"], "first": 1}));
    let after = &page["importRun"]["page"]["pageInfo"]["endCursor"];
    for (more, code) in [
        (json!({"after": after, "outcomes": ["CREATED"]}), "CURSOR_INVALID"),
        (json!({"after": "AAAA"}), "CURSOR_INVALID"),
        (json!({"first": 0}), "PAGE_SIZE"),
        (json!({"first": 201}), "PAGE_SIZE"),
    ] {
        let error = api.error(document, with(&json!({"id": id}), more.clone()));
        assert_eq!(error["extensions"]["code"], code, "{more}: {error}");
    }
}

#[test]
fn a_repeated_start_is_one_run() {
    let server = Server::start();
    let api = server.admin();
    let file = format!("id,at,mail\n1,{AT},a@example.test\n");
    let ids = [0, 1].map(|_| start(&api, &file, &mapping(), json!({"idempotencyKey": "once"})));
    assert_eq!(ids[0], ids[1]);
    let other = attempt(&api, &file, &mapping(), json!({"idempotencyKey": "once", "dryRun": true}));
    assert_eq!(other["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    wait(&api, &ids[0]);
    let runs = all(&api, "importRuns", "", "id name digest startedBy { key } startedAt finishedAt mapping");
    assert_eq!((runs.len(), &runs[0]["id"], &runs[0]["startedBy"]["key"]), (1, &ids[0], &json!("admin")));
    assert!(text(&runs[0], "startedAt") <= text(&runs[0], "finishedAt"), "{}", runs[0]);
}

/// A file of `rows` people out of time order, a third of whom became customers.
fn crowd(rows: usize) -> String {
    let row = |n: usize| {
        let (month, day) = (1 + n * 7 % 12, 1 + n % 28);
        let ending = if n.is_multiple_of(3) { "WON,2025-02-01,10" } else { ",," };
        format!("{n},2024-{month:02}-{day:02},crowd{n}@example.test,{ending},,\n")
    };
    endings(&(0..rows).map(row).collect::<String>())
}

fn crowd_counts(rows: usize) -> Value {
    json!({"rows": rows, "created": rows, "won": rows.div_ceil(3)})
}

/// Waits until some of a run is done, and answers whether more is to come.
fn midway(api: &Api, id: &Value) -> bool {
    let now =
        eventually(30, "some rows are done", || Some(run(api, id)).filter(|run| long(&run["done"]) > 0));
    long(&now["done"]) < long(&now["total"])
}

#[test]
fn a_cancelled_import_keeps_what_is_done_and_can_be_taken_up_again() {
    let server = Server::start();
    let api = server.admin();
    let cancel = |id: &Value| {
        let document = format!(
            "mutation($id: ID!) {{ cancelImport(id: $id) {{ \
             run {{ {RUN} }} errors {{ message path code }} }} }}"
        );
        api.query(&document, json!({"id": id}))["cancelImport"].clone()
    };
    let rows = 3_000;
    let id = start(&api, crowd(rows), &endings_mapping(), json!({}));
    assert!(midway(&api, &id), "{rows} rows are too few to be cancelled midway");
    let cancelled = cancel(&id);
    assert_eq!(
        (&cancelled["errors"], &cancelled["run"]["status"]),
        (&json!([]), &json!("CANCELLED")),
        "{cancelled}"
    );
    let (done, total) = (long(&cancelled["run"]["done"]), long(&cancelled["run"]["total"]));
    assert!(0 < done && done < total, "{cancelled}");
    let ended = wait(&api, &id);
    assert_eq!((&ended.run, ended.rows.len() as i64), (&cancelled["run"], done));
    assert_eq!((leads(&api).len() as i64, balanced(&api)), (done, done));
    let again = cancel(&id);
    assert_eq!(
        (&again["errors"], &again["run"]),
        (&json!([]), &cancelled["run"]),
        "cancelled once is cancelled"
    );
    let ended = import(&api, crowd(rows), &endings_mapping());
    let expected =
        json!({"rows": rows, "created": rows as i64 - done, "unchanged": done, "won": rows.div_ceil(3)});
    assert_eq!((ended.counts(), balanced(&api)), (expected, rows as i64));
    let unknown = json!("SW1wb3J0UnVuOjAwMDAwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMA");
    assert_eq!(cancel(&unknown)["errors"][0]["code"], "NOT_FOUND");
    assert_eq!(cancel(&json!("nonsense"))["errors"][0]["code"], "VALIDATION");
}

/// Ends the server midway, and answers how the import ended after the restart.
fn interrupted(more: Value, end: fn(Server) -> (tempfile::TempDir, String)) -> (Server, usize, Ended) {
    let mut rows = 3_000;
    loop {
        let server = Server::start();
        let id = start(&server.admin(), crowd(rows), &endings_mapping(), more.clone());
        let inside = midway(&server.admin(), &id);
        let (dir, token) = end(server);
        let server = Server::start_in(dir, Some(token));
        // Proof that it ended midway: the run goes on only now.
        if inside && run(&server.admin(), &id)["status"] == "RUNNING" {
            let ended = wait(&server.admin(), &id);
            assert_eq!(ended.run["status"], "DONE", "{}", ended.run);
            return (server, rows, ended);
        }
        rows *= 2;
        assert!(rows < 50_000, "the server never ended inside of an import");
    }
}

#[test]
fn an_import_goes_on_after_a_power_cut_and_brings_everybody_once() {
    let (server, rows, ended) = interrupted(json!({}), Server::kill);
    let api = server.admin();
    assert_eq!(ended.counts(), crowd_counts(rows), "{:?}", ended.refused().first());
    let told: BTreeSet<_> = ended.told().into_iter().collect();
    assert_eq!(
        (told.len(), ended.rows.len()),
        (rows + rows.div_ceil(3), rows + rows.div_ceil(3)),
        "each act is told once"
    );
    let known = all(&api, "leads", "", "contact { email } touchpoints(first: 5) { id }");
    let people: BTreeSet<&str> = known.iter().map(|lead| text(&lead["contact"], "email")).collect();
    assert_eq!((known.len(), people.len(), balanced(&api)), (rows, rows, rows as i64));
    assert!(
        known.iter().all(|lead| lead["touchpoints"].as_array().is_some_and(|touches| touches.len() == 1))
    );
    assert_eq!(
        api.query("{ funnel { won } }", json!({}))["funnel"]["won"],
        json!(rows.div_ceil(3).to_string())
    );
    let again = import(&api, crowd(rows), &endings_mapping());
    assert_eq!(again.counts(), json!({"rows": rows, "unchanged": rows + rows.div_ceil(3)}));
    let (dir, _) = server.stop();
    let doctor = offline(dir.path(), "doctor");
    assert!(doctor.status.success(), "{}", out(&doctor));
}

#[test]
fn an_import_goes_on_after_an_orderly_stop() {
    let (server, rows, ended) = interrupted(json!({}), Server::stop);
    assert_eq!(ended.counts(), crowd_counts(rows), "{:?}", ended.refused().first());
    assert_eq!(balanced(&server.admin()), rows as i64);
}

#[test]
fn imports_that_wait_for_their_turn_keep_it_through_a_power_cut() {
    let server = Server::start();
    let file = crowd(3_000);
    let contacts = with(&endings_mapping(), json!({"ending": null}));
    let deals = with(&endings_mapping(), json!({"lead": null, "occurredAt": null}));
    let won: String =
        file.lines().filter(|line| line.contains("WON")).map(|line| format!("{line}\n")).collect();
    let ids = [(&file, &contacts), (&endings(&won), &deals)]
        .map(|(file, mapping)| start(&server.admin(), file, mapping, json!({})));
    assert!(midway(&server.admin(), &ids[0]), "the file is too small to be stopped midway");
    let (mut server, mut before) = (server, 0);
    for cut in 1..=6 {
        let (dir, token) = server.kill();
        server = Server::start_in(dir, Some(token));
        let goes_on = || {
            let [first, second] = ids.each_ref().map(|id| long(&run(&server.admin(), id)["done"]));
            (first > before || second > 0).then_some((first, second))
        };
        let (first, second) = eventually(30, "an import goes on", goes_on);
        assert!(
            first == 3_000 || second == 0,
            "power cut {cut}: {second} deals are told after {first} contacts"
        );
        before = first;
        if first == 3_000 {
            break;
        }
    }
    let [first, second] = ids.map(|id| wait(&server.admin(), &id).counts());
    assert_eq!(
        (first, second),
        (json!({"rows": 3_000, "created": 3_000}), json!({"rows": 1_000, "won": 1_000}))
    );
}

#[test]
fn a_dry_run_goes_on_after_a_power_cut_and_tells_the_same() {
    let (server, rows, ended) = interrupted(json!({"dryRun": true}), Server::kill);
    assert_eq!(leads(&server.admin()), Vec::<Value>::new());
    assert_eq!(ended.counts(), crowd_counts(rows), "{:?}", ended.refused().first());
}

// Rights, and the command line.

#[test]
fn an_import_needs_its_scope() {
    let server = Server::start();
    let admin = server.admin();
    let digest = admin.put_blob("import", b"id,at,mail\n");
    let id = start(&admin, format!("id,at,mail\n1,{AT},a@example.test\n"), &mapping(), json!({}));
    let reader = server.token("admin", &["leads:read", "leads:write"]);
    let begin = "mutation($input: StartImportInput!) { \
                 startImport(input: $input) { run { id } errors { message code } } }";
    let input = json!({"digest": digest, "name": "test.csv", "mapping": mapping().to_string()});
    let cancel = "mutation($id: ID!) { cancelImport(id: $id) { run { id } errors { message code } } }";
    for (document, variables) in [(begin, json!({"input": input})), (cancel, json!({"id": id}))] {
        let (_, answer) = reader.post(&json!({"query": document, "variables": variables}));
        let payload =
            answer["data"].as_object().and_then(|data| data.values().next()).unwrap_or(&Value::Null);
        let errors = json!([{"code": "FORBIDDEN", "message": "your token lacks the scope import"}]);
        let error = json!({"run": null, "errors": errors});
        assert_eq!(*payload, error, "{answer}");
    }
    assert_eq!(wait(&reader, &id).told(), [(2, "CREATED")], "who may read may see what was imported");
    let importer = server.token("admin", &["import"]);
    let payload = attempt(&importer, "id,at,mail\n", &mapping(), json!({}));
    assert_eq!(payload["errors"], json!([]), "the scope alone is enough to begin");
    let (file, map) = (server.dir.path().join("rows.csv"), server.dir.path().join("map.json"));
    std::fs::write(&file, "id,at,mail\n").expect("written");
    std::fs::write(&map, mapping().to_string()).expect("written");
    for (token, named) in [(reader.token.as_str(), "lacks the scope import"), ("hf_nonsense", "token")] {
        let output = server.cli(&[
            "import",
            &file.to_string_lossy(),
            "--mapping",
            &map.to_string_lossy(),
            "--token",
            token,
        ]);
        assert!(
            output.status.code() == Some(4) && err(&output).contains(named),
            "{:?} {}",
            output.status,
            err(&output)
        );
    }
}
