//! What rows tell: how leads came and ended, in the order in which it happened.

use super::cells::{CELLS, cells_mapping};
use super::*;

/// A file that says how leads ended, with dates alone.
pub(super) fn endings(rows: &str) -> String {
    format!("id,at,mail,result,closed,value,why,rival\n{rows}")
}

pub(super) fn endings_mapping() -> Value {
    let day = |column: &str| json!({"column": column, "pattern": "%Y-%m-%d", "timeZone": "UTC"});
    let more = json!({"occurredAt": day("at"), "ending": {
        "outcome": "result", "at": day("closed"), "amount": "value", "reason": "why", "competitor": "rival",
    }});
    with(&mapping(), more)
}

#[test]
fn a_row_can_tell_how_a_lead_came_and_how_it_ended() {
    let server = Server::start();
    let api = server.admin();
    let file = endings(
        "won,2024-01-05,a@example.test,WON,2024-02-01,\"1,100.50\",,\n\
         lost,2024-01-04,b@example.test,Lost,2024-02-02,,HOLDING_OFF,\n\
         rival,2024-01-03,c@example.test,lost,2024-02-03,,LOST_TO_COMPETITOR,Example Rival\n\
         rec,2024-01-02,d@example.test,recycled,2024-02-04,,NOT_READY,\n\
         out,2024-01-01,e@example.test,disqualified,2024-02-05,0,NOT_ICP,\n\
         open,2024-01-01,f@example.test,,,,,\n\
         early,2024-03-01,g@example.test,WON,2024-02-05,0,,\n",
    );
    let mapping = with(
        &endings_mapping(),
        json!({"lead": {"campaign": {"otherwise": "spring"}}, "createCampaigns": "fair"}),
    );
    let ended = import(&api, &file, &mapping);
    assert_eq!(
        ended.counts(),
        json!({"rows": 7, "created": 7, "won": 2, "warnings": 1}),
        "{:?}",
        ended.refused()
    );
    let told = ["WON", "LOST", "LOST", "RECYCLED", "DISQUALIFIED"];
    let twice = (2..).zip(told).flat_map(|(row, outcome)| [(row, "CREATED"), (row, outcome)]);
    let expected: Vec<_> =
        twice.chain([(7, "CREATED"), (8, "CREATED"), (8, "WON"), (8, "WARNING")]).collect();
    assert_eq!(ended.told(), expected);
    let odd = ended.rows.last().expect("a warning");
    assert_eq!((&odd["column"], &odd["value"]), (&json!("closed"), &json!("2024-02-05")), "{odd}");
    let cycles = [
        ("won", "2024-01-05", Some("2024-02-01"), "WON", None, None),
        ("lost", "2024-01-04", Some("2024-02-02"), "LOST", Some("HOLDING_OFF"), None),
        (
            "rival",
            "2024-01-03",
            Some("2024-02-03"),
            "LOST",
            Some("LOST_TO_COMPETITOR"),
            Some("Example Rival"),
        ),
        ("rec", "2024-01-02", Some("2024-02-04"), "RECYCLED", Some("NOT_READY"), None),
        ("out", "2024-01-01", Some("2024-02-05"), "DISQUALIFIED", Some("NOT_ICP"), None),
        ("open", "2024-01-01", None, "OPEN", None, None),
        ("early", "2024-03-01", Some("2024-03-01"), "WON", None, None),
    ];
    for (id, opened, closed, outcome, reason, competitor) in cycles {
        let midnight = |day: &str| format!("{day}T00:00:00.000Z");
        let expected = json!([{
            "number": 1, "openedAt": midnight(opened), "closedAt": closed.map(midnight), "outcome": outcome,
            "reason": reason, "competitor": competitor,
        }]);
        let found = lead(&api, "crm", id);
        assert_eq!(
            (&found["cycles"], &found["clocks"], &found["handoff"]),
            (&expected, &json!([]), &Value::Null),
            "{id}"
        );
    }
    assert_eq!(balanced(&api), 7);
    let funnel = api.query("{ funnel { won lost recycled disqualified } }", json!({}));
    assert_eq!(funnel["funnel"], json!({"won": "2", "lost": "2", "recycled": "1", "disqualified": "1"}));
    let results = api
        .query("{ campaign(key: \"spring\") { results { leads won revenue { amountMinor } } } }", json!({}));
    // The second win has an unknown amount: 0 is how many systems write that.
    assert_eq!(
        results["campaign"]["results"],
        json!({"leads": "7", "won": "2", "revenue": {"amountMinor": "110050"}})
    );
    let again = import(&api, &file, &mapping);
    assert_eq!(again.counts(), json!({"rows": 7, "unchanged": 13}), "{:?}", again.refused());
}

#[test]
fn a_second_file_tells_how_known_leads_ended() {
    let server = Server::start();
    let api = server.admin();
    let first = ["1", "2", "3"].map(|id| format!("{id},2024-01-01,n{id}@example.test,,,,,\n")).concat();
    import(&api, endings(&first), &endings_mapping());
    let mapping = with(&endings_mapping(), json!({"lead": null, "occurredAt": null}));
    let file = endings(
        "1,,,WON,2024-02-03,,,\n\
         1,,,WON,2024-02-03,,,\n\
         1,,,WON,2024-02-04,,,\n\
         1,,,LOST,2024-02-05,,HOLDING_OFF,\n\
         9,,,WON,2024-02-01,,,\n\
         ,,,WON,2024-02-01,,,\n\
         2,,,LOST,2024-02-01,,HOLDING_OFF,\n",
    );
    let ended = import(&api, file, &mapping);
    let expected = ["WON", "UNCHANGED", "REFUSED", "REFUSED", "REFUSED", "REFUSED", "LOST"];
    assert_eq!(ended.told(), (2..).zip(expected).collect::<Vec<_>>(), "{:?}", ended.refused());
    let why = [
        (json!("closed"), "cycle 1 of this lead ended WON before"),
        (json!("closed"), "cycle 1 of this lead ended WON before"),
        (json!("id"), "no lead 9 of crm is known; import the leads first"),
        (Value::Null, "does not say which lead"),
    ];
    for ((column, message), row) in why.iter().zip(ended.refused()) {
        assert!(
            row["column"] == *column && text(row, "message").contains(message),
            "{column} {message:?}: {row}"
        );
    }
    assert_eq!(lead(&api, "crm", "1")["cycles"][0]["closedAt"], "2024-02-03T00:00:00.000Z");
    assert_eq!(balanced(&api), 3);
}

#[test]
fn a_second_file_tells_more_about_known_leads_and_nothing_the_second_time() {
    let server = Server::start();
    let api = server.admin();
    server.user("rep", "sales");
    import(&api, format!("id,at,mail\n1,{AT},a@example.test\n"), &mapping());
    let seats = json!({"key": "seats", "kind": "integer", "from": "seats"});
    let mapping = with(&mapping(), json!({"lead": null, "owner": "rep", "traits": [seats]}));
    let row = |id: u32, seats: &str| format!("{id},2024-02-01T00:00:00Z,rep,{seats}\n");
    let file = &["id,at,rep,seats\n".into(), row(1, "5"), row(2, "5"), row(1, "five")].concat();
    assert_eq!(import(&api, file, &mapping).told(), [(2, "UPDATED"), (3, "REFUSED"), (4, "REFUSED")]);
    let found = lead(&api, "crm", "1");
    let traits = json!([{"key": "seats", "value": "5", "observedAt": "2024-02-01T00:00:00.000Z"}]);
    assert_eq!((&found["traits"], &found["owner"]["key"]), (&traits, &json!("rep")));
    assert_eq!(import(&api, file, &mapping).told(), [(2, "UNCHANGED"), (3, "REFUSED"), (4, "REFUSED")]);
}

#[test]
fn a_person_who_comes_back_after_an_ending_stops_no_import() {
    let server = Server::start();
    let api = server.admin();
    let file = endings(
        "1,2024-01-01,ada@example.test,RECYCLED,2024-02-01,,NOT_READY,\n\
         2,2024-03-01,ada@example.test,,,,,\n\
         3,2024-04-01,bob@example.test,,,,,\n",
    );
    let ended = wait(&api, &start(&api, file, &endings_mapping(), json!({})));
    let told = [(2, "CREATED"), (2, "RECYCLED"), (3, "UPDATED"), (4, "CREATED")];
    assert_eq!(
        (&ended.run["status"], ended.told().as_slice()),
        (&json!("DONE"), told.as_slice()),
        "{}",
        ended.run
    );
    assert_eq!(balanced(&api), 2);
}

#[test]
fn a_row_that_is_older_than_its_lead_moves_it_at_no_earlier_time() {
    let server = Server::start();
    let api = server.admin();
    server.deploy("scorecard", "mql", &card(10));
    api.capture("ada@example.test");
    let mapping = with(&mapping(), json!({"lead": {"consent": "ok"}}));
    let ended = import(&api, format!("id,at,mail,ok\n1,{AT},ada@example.test,yes\n"), &mapping);
    assert_eq!(ended.told(), [(2, "UPDATED")]);
    let document = "{ leads { edges { node { stage capturedAt enteredStageAt } } } }";
    let answer = api.query(document, json!({}));
    let found = &answer["leads"]["edges"][0]["node"];
    assert_eq!(found["stage"], "MQL");
    assert!(text(found, "capturedAt") <= text(found, "enteredStageAt"), "{found}");
}

#[test]
fn ndjson_brings_the_same_as_csv() {
    let row = |n: i64, more: Value| {
        with(&json!({"id": n, "at": "05.02.2024", "mail": format!("n{n}@example.test")}), more)
    };
    let rows = [
        row(1, json!({"name": "Ada", "channel": "ads", "revenue": 1250.5, "staff": 12, "consent": true})),
        row(2, json!({"seats": 5, "result": "gained", "closed": "01.03.2024", "value": "10.50"})),
        row(3, json!({"seats": "five"})),
        row(4, json!({"channel": "tv", "consent": false})),
        row(5, json!({"staff": -1, "revenue": "999", "phone": "+49 30 901820"})),
    ];
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |row: &Value| CELLS.map(|(column, _)| cell(row, column)).join(";") + "\n";
    let csv = CELLS.map(|(column, _)| column).join(";") + "\n" + &rows.iter().map(line).collect::<String>();
    // The first row names all keys.
    let nulls = CELLS.iter().map(|(column, _)| ((*column).to_owned(), Value::Null)).collect();
    let first = with(&Value::Object(nulls), rows[0].clone());
    let ndjson = std::iter::once(&first).chain(&rows[1..]).map(|row| format!("{row}\n")).collect::<String>();
    let [from_csv, from_ndjson] = [(csv, 2), (ndjson, 1)].map(|(file, first)| {
        let server = Server::start();
        let api = server.admin();
        let ended = import(&api, file, &cells_mapping());
        let tell =
            |row: &Value| json!([long(&row["row"]) - first, row["outcome"], row["column"], row["message"]]);
        let told: Vec<Value> = ended.rows.iter().map(tell).collect();
        // Ids and what the rules do about open leads later are of each server.
        let known =
            ["1", "2", "5"].map(|id| with(&lead(&api, "crm", id), json!({"id": null, "evaluations": null})));
        (ended.counts(), told, known)
    });
    assert_eq!(from_csv, from_ndjson);
    assert_eq!(from_csv.0, json!({"rows": 5, "created": 3, "won": 1, "refused": 2}));
}

#[test]
fn rows_are_told_in_the_order_in_which_they_happened() {
    let server = Server::start();
    let api = server.admin();
    let mapping = with(&mapping(), json!({"lead": {"title": "title", "source": "source"}}));
    let row = |id: &str, month: u32, mail: &str, title: &str, source: &str| {
        format!("{id},2024-{month:02}-01T00:00:00Z,{mail},{title},{source}\n")
    };
    let file = row("c", 9, "ada@example.test", "CTO", "fair")
        + &row("b", 5, "Ada@Example.test", "", "search")
        + &row("a", 1, "ADA@example.test", "Engineer", "newsletter");
    import(&api, format!("id,at,mail,title,source\n{file}"), &mapping);
    assert_eq!(leads(&api).len(), 1, "one person");
    for id in ["a", "b", "c"] {
        let found = lead(&api, "crm", id);
        assert_eq!(
            (&found["source"], &found["contact"]["title"]),
            (&json!("newsletter"), &json!("CTO")),
            "{id}: {found}"
        );
        assert_eq!(found["capturedAt"], "2024-01-01T00:00:00.000Z");
        let touches: Vec<&str> =
            found["touchpoints"].as_array().unwrap().iter().map(|touch| text(touch, "source")).collect();
        assert_eq!(touches, ["fair", "search", "newsletter"], "newest first");
    }
}

#[test]
fn a_lead_is_counted_as_new_once_however_often_its_file_names_it() {
    let server = Server::start();
    let api = server.admin();
    let row = |id: &str, month: u32| format!("{id},2024-{month:02}-01T00:00:00Z,ada@example.test\n");
    let ended =
        import(&api, ["id,at,mail\n".into(), row("a", 1), row("b", 2), row("a", 3)].concat(), &mapping());
    assert_eq!(leads(&api).len(), 1);
    assert_eq!(ended.told(), [(2, "CREATED"), (3, "UPDATED"), (4, "UNCHANGED")]);
}

#[test]
fn a_decision_about_the_past_knows_nothing_of_what_came_later() {
    let server = Server::start();
    let api = server.admin();
    server.deploy("scorecard", "mql", &card(10));
    let mapping =
        with(&mapping(), json!({"lead": {"consent": "ok"}, "traits": [{"key": "plan", "from": "plan"}]}));
    let rows = |mail: &str| {
        let row = |id: &str, at: &str, ok: &str, plan: &str| {
            format!("{mail}-{id},{at},{mail}@example.test,{ok},{plan}\n")
        };
        let header = "id,at,mail,ok,plan\n".to_owned();
        [
            header,
            row("2", "2024-03-01T00:00:00Z", "yes", "pro"),
            row("1", "2024-01-01T00:00:00Z", "no", "free"),
        ]
    };
    let [header, late, early] = rows("parts");
    import(&api, header.clone() + &early, &mapping);
    import(&api, header + &late, &mapping);
    import(&api, rows("whole").concat(), &mapping);
    for mail in ["parts", "whole"] {
        let found = lead(&api, "crm", &format!("{mail}-1"));
        let mut past: Vec<_> =
            found["evaluations"].as_array().unwrap().iter().filter(|one| one["cause"] == "IMPORT").collect();
        past.sort_by_key(|one| text(one, "asOf"));
        let judged: Vec<_> =
            past.iter().map(|one| (&text(one, "asOf")[..7], text(&one["decisions"][0], "outcome"))).collect();
        assert_eq!(judged, [("2024-01", "HOLD"), ("2024-03", "ADVANCE")], "{mail}");
        let plan = json!([{"key": "plan", "value": "pro", "observedAt": "2024-03-01T00:00:00.000Z"}]);
        assert_eq!(found["traits"], plan, "{mail}");
    }
}

#[test]
fn a_stage_is_asserted_and_nobody_asks_the_rules() {
    let server = Server::start();
    let api = server.admin();
    server.user("rep", "sales");
    server.deploy("scorecard", "mql", &card(10));
    let mapping = with(&mapping(), json!({"stage": "stage", "owner": "rep"}));
    let cases = [
        ("MQL", "", "MQL", "OPEN", "QUEUED", Value::Null, json!("fallback")),
        ("sql", "", "SQL", "OPEN", "QUEUED", Value::Null, json!("fallback")),
        ("SQL", "rep", "SQL", "OPEN", "WORKING", json!("rep"), Value::Null),
        ("MQL", "rep", "MQL", "OPEN", "ASSIGNED", json!("rep"), Value::Null),
        ("opportunity", "", "OPPORTUNITY", "OPEN", "QUEUED", Value::Null, json!("fallback")),
        ("CUSTOMER", "rep", "CUSTOMER", "WON", "CLOSED", json!("rep"), Value::Null),
    ];
    let mut file = "id,at,mail,stage,rep\n".to_owned();
    for (n, (stage, rep, ..)) in cases.iter().enumerate() {
        file += &format!("{n},{AT},s{n}@example.test,{stage},{rep}\n");
    }
    let ended = import(&api, file, &mapping);
    assert_eq!(ended.counts()["created"], json!(6), "{:?}", ended.refused());
    for (n, (_, _, stage, outcome, work, owner, queue)) in cases.iter().enumerate() {
        let found = lead(&api, "crm", &n.to_string());
        let state = (text(&found, "stage"), text(&found, "outcome"), text(&found, "workState"));
        assert_eq!(state, (*stage, *outcome, *work), "{found}");
        assert_eq!((&found["owner"]["key"], &found["queue"]["key"]), (owner, queue), "{found}");
        assert_eq!((&found["evaluations"], &found["clocks"]), (&json!([]), &json!([])), "{found}");
    }
    assert_eq!(balanced(&api), 6);
}

#[test]
fn only_rows_from_the_given_instant_on_are_routed_and_get_clocks() {
    let server = Server::start();
    let api = server.admin();
    server.user("rep", "sales");
    let pool = json!({"key": "sales", "queue": "fallback", "members": [{"user": "rep"}]});
    api.mutate("upsertPool", "UpsertPoolInput", pool, "pool { key }");
    server.deploy("scorecard", "mql", &card(10));
    server.deploy("fair-share", "routing", &fair_share());
    let now = Instant::parse(text(&api.query("{ ledgerNow { asOf } }", json!({}))["ledgerNow"], "asOf"))
        .expect("an instant");
    let day = |days: i64| now.plus(days * DAY).to_string();
    let rows = [
        ("old", -9, "yes"),
        ("last", -3, "yes"),
        ("from", -2, "yes"),
        ("new", -1, "yes"),
        ("cold", -1, "no"),
    ];
    let row = |(id, days, ok): &(&str, i64, &str)| format!("{id},{},{id}@example.test,{ok}\n", day(*days));
    let file = format!("id,at,mail,ok\n{}", rows.iter().rev().map(row).collect::<String>());
    let mapping = with(&mapping(), json!({"lead": {"consent": "ok"}}));
    import_with(&api, file, &mapping, json!({"liveFrom": day(-2)}));
    for (id, days, ok) in rows {
        let found = lead(&api, "crm", id);
        let live = days >= -2 && ok == "yes";
        let slots: Vec<&str> = found["evaluations"][0]["decisions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| text(one, "slot"))
            .collect();
        assert_eq!(slots, if live { vec!["mql", "routing"] } else { vec!["mql"] }, "{id}");
        assert_eq!(found["stage"], if ok == "yes" { "MQL" } else { "INQUIRY" }, "{id}");
        assert_eq!(found["owner"]["key"], if live { json!("rep") } else { Value::Null }, "{id}");
        assert_eq!(found["handoff"]["status"], if live { json!("PENDING") } else { Value::Null }, "{id}");
        let running =
            found["clocks"].as_array().unwrap().iter().filter(|clock| clock["state"] == "RUNNING").count();
        assert_eq!(running > 0, live, "{id}: {}", found["clocks"]);
    }
    assert_eq!(balanced(&api), 5);
}

// Runs.
