//! The people and places that leads move between: set up by the administrator, kept to by the router.

use std::collections::BTreeMap;

use handfast_domain::calendar::Date;
use handfast_tests::{Api, Server, card, fair_share};
use serde_json::{Value, json};

use crate::charter::Parties;

/// A noun that the administrator sets up: its mutation, what it is sent, and how it is read.
struct Noun {
    field: &'static str,
    kind: &'static str,
    /// Field of the payload.
    one: &'static str,
    /// Field of the query.
    all: &'static str,
    selection: &'static str,
    input: Value,
    /// Another version of it.
    edit: Value,
}

/// In the order in which one refers to the other.
fn nouns() -> Vec<Noun> {
    let week = |day: &str| {
        let weekly = json!([{"day": day, "from": 540, "to": 1020}]);
        json!({"timeZone": "Europe/Berlin", "weekly": weekly, "holidays": ["2026-12-25"]})
    };
    let test = |values: &[&str]| json!({"field": "company.country", "comparator": "IN", "values": values});
    vec![
        Noun {
            field: "upsertCalendar",
            kind: "UpsertCalendarInput",
            one: "calendar",
            all: "calendars",
            selection: "id key calendar { timeZone weekly { day from to } holidays }",
            input: json!({"key": "office", "calendar": week("MON")}),
            edit: json!({"calendar": week("FRI")}),
        },
        Noun {
            field: "upsertTeam",
            kind: "UpsertTeamInput",
            one: "team",
            all: "teams",
            selection: "id key name side calendar fallbackQueue",
            input: json!({"key": "west", "name": "West", "side": "SALES", "calendar": "office",
                "fallbackQueue": "fallback"}),
            edit: json!({"name": "Far West", "fallbackQueue": null}),
        },
        Noun {
            field: "upsertTerritory",
            kind: "UpsertTerritoryInput",
            one: "territory",
            all: "territories",
            selection: "id key name test { field comparator values }",
            input: json!({"key": "dach", "name": "Germany and neighbours", "test": test(&["DE", "AT"])}),
            edit: json!({"test": test(&["DE", "AT", "CH"])}),
        },
        Noun {
            field: "upsertQueue",
            kind: "UpsertQueueInput",
            one: "queue",
            all: "queues",
            selection: "id key name team",
            input: json!({"key": "west-queue", "name": "Waiting in the west", "team": "west"}),
            edit: json!({"team": "sales"}),
        },
        Noun {
            field: "upsertUser",
            kind: "UpsertUserInput",
            one: "user",
            all: "users",
            selection: "id key name team side service calendar capacity territories",
            input: json!({"key": "wim", "name": "Wim", "team": "west", "side": "SALES", "service": false,
                "calendar": "office",
                "capacity": 7, "territories": ["dach"]}),
            edit: json!({"capacity": 0, "territories": []}),
        },
        Noun {
            field: "upsertPool",
            kind: "UpsertPoolInput",
            one: "pool",
            all: "pools",
            selection: "id key queue members { user { key } weight }",
            input: json!({"key": "west-pool", "queue": "west-queue",
                "members": [{"user": "wim", "weight": 3}]}),
            edit: json!({"members": []}),
        },
        Noun {
            field: "defineTrait",
            kind: "DefineTraitInput",
            one: "definition",
            all: "traitDefinitions",
            selection: "id key kind unit meaning personal",
            input: json!({"key": "seats", "kind": "INTEGER", "unit": "seats", "personal": false,
                "meaning": "How many would use it"}),
            edit: json!({"unit": null, "meaning": "How many people would use it"}),
        },
    ]
}

impl Noun {
    fn put(&self, api: &Api, input: &Value) -> Value {
        let selection = format!("{} {{ {} }}", self.one, self.selection);
        api.mutate(self.field, self.kind, input.clone(), &selection)[self.one].clone()
    }

    fn attempt(&self, api: &Api, input: &Value) -> Value {
        api.attempt(self.field, self.kind, input.clone(), &format!("{} {{ key }}", self.one))
    }

    fn all(&self, api: &Api) -> Vec<Value> {
        let document = format!("{{ {} {{ {} }} }}", self.all, self.selection);
        api.query(&document, json!({}))[self.all].as_array().cloned().unwrap_or_default()
    }

    /// The input with some fields replaced.
    fn with(&self, more: Value) -> Value {
        let mut input = self.input.clone();
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        input
    }

    /// As it is read when it was written so.
    fn shown(&self, input: &Value, id: &Value) -> Value {
        let mut shown = input.clone();
        shown["id"] = id.clone();
        let members = shown.get_mut("members").and_then(Value::as_array_mut);
        for member in members.into_iter().flatten() {
            member["user"] = json!({"key": member["user"]});
        }
        shown
    }
}

/// The noun of a mutation.
fn noun(field: &str) -> Noun {
    nouns().into_iter().find(|noun| noun.field == field).unwrap_or_else(|| panic!("no {field}"))
}

fn key_of(list: &[Value], key: &str) -> Vec<Value> {
    list.iter().filter(|one| one["key"] == key).cloned().collect()
}

#[test]
fn what_is_set_up_is_read_replaced_by_its_key_and_survives_a_restart() {
    let server = Server::start();
    let api = server.admin();
    let mut read = vec![];
    for noun in nouns() {
        let others = noun.all(&api);
        let made = noun.put(&api, &noun.input);
        assert_eq!(made, noun.shown(&noun.input, &made["id"]), "{}", noun.field);
        assert_eq!(noun.all(&api).len(), others.len() + 1, "{}", noun.field);
        let again = noun.put(&api, &noun.input);
        assert_eq!(again, made, "{} twice is once", noun.field);
        let edited = noun.put(&api, &noun.with(noun.edit.clone()));
        assert_eq!(edited, noun.shown(&noun.with(noun.edit.clone()), &made["id"]), "{}", noun.field);
        let all = noun.all(&api);
        assert_eq!(key_of(&all, made["key"].as_str().unwrap_or_default()), [edited], "{}", noun.field);
        assert!(others.iter().all(|other| all.contains(other)), "{} changed others: {all:?}", noun.field);
        read.push(all);
    }
    let (dir, token) = server.stop();
    let server = Server::start_in(dir, Some(token));
    for (noun, before) in nouns().iter().zip(read) {
        assert_eq!(noun.all(&server.admin()), before, "{}", noun.all);
    }
}

#[test]
fn what_is_left_out_has_a_default_and_a_team_has_its_users() {
    let server = Server::start();
    let api = server.admin();
    let input = json!({"key": "sue", "name": "Sue", "team": "sales"});
    let user = noun("upsertUser").put(&api, &input);
    let expected = json!({"id": user["id"], "key": "sue", "name": "Sue", "team": "sales", "side": "SALES",
        "service": false, "calendar": null, "capacity": 50, "territories": []});
    assert_eq!(user, expected, "side from the team, 50 leads");
    server.user("mara", "marketing");
    let document = "{ sales: users(team: \"sales\") { key } marketing: users(team: \"marketing\") { key } \
                    none: users(team: \"no\") { key } }";
    let teams = api.query(document, json!({}));
    assert_eq!(teams, json!({"sales": [{"key": "sue"}], "marketing": [{"key": "mara"}], "none": []}));
    let viewer = server.token("sue", &["leads:read"]).query("{ viewer { id key side team } }", json!({}));
    assert_eq!(viewer["viewer"], json!({"id": user["id"], "key": "sue", "side": "SALES", "team": "sales"}));
    let pool = json!({"key": "sales", "queue": "fallback", "members": [{"user": "sue"}]});
    let pool = noun("upsertPool").put(&api, &pool);
    assert_eq!(pool["members"], json!([{"user": {"key": "sue"}, "weight": 1}]));
}

#[test]
fn what_is_named_must_exist_and_the_refusal_names_the_nearest() {
    let server = Server::start();
    let api = server.admin();
    nouns().iter().for_each(|noun| drop(noun.put(&api, &noun.input)));
    let cases = [
        ("upsertTeam", json!({"calendar": "offce"}), "calendar", "office"),
        ("upsertTeam", json!({"fallbackQueue": "falback"}), "fallbackQueue", "fallback"),
        ("upsertQueue", json!({"team": "sale"}), "team", "sales"),
        ("upsertUser", json!({"team": "wst"}), "team", "west"),
        ("upsertUser", json!({"calendar": "ofice"}), "calendar", "office"),
        ("upsertUser", json!({"territories": ["dach", "dahc"]}), "territories/1", "dach"),
        ("upsertPool", json!({"queue": "west-queu"}), "queue", "west-queue"),
        ("upsertPool", json!({"members": [{"user": "wim"}, {"user": "wimm"}]}), "members/1/user", "wim"),
        (
            "upsertTerritory",
            json!({"test": {"field": "company.contry", "comparator": "KNOWN", "values": []}}),
            "test",
            "company.country",
        ),
    ];
    for (field, more, path, nearest) in cases {
        let noun = noun(field);
        let refused = noun.attempt(&api, &noun.with(more));
        let error = &refused["errors"][0];
        let wanted: Vec<&str> = ["input"].into_iter().chain(path.split('/')).collect();
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(wanted)),
            "{field}: {refused}"
        );
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(&format!("nearest: {nearest}")), "{field}: {message}");
        assert_eq!(refused[noun.one], Value::Null, "{field}: {refused}");
    }
    let absence =
        json!({"user": "wm", "absence": {"from": "2030-01-01T00:00:00Z", "to": "2030-02-01T00:00:00Z"}});
    let refused = api.attempt("addAbsence", "AddAbsenceInput", absence, "user { key }");
    assert_eq!(refused["errors"][0]["path"], json!(["input", "user"]), "{refused}");
    assert!(
        refused["errors"][0]["message"].as_str().is_some_and(|text| text.contains("nearest: wim")),
        "{refused}"
    );
}

#[test]
fn keys_and_names_keep_their_form() {
    let server = Server::start();
    let api = server.admin();
    nouns().iter().for_each(|noun| drop(noun.put(&api, &noun.input)));
    let (long_key, long_name) = ("k".repeat(65), "n".repeat(129));
    let bad_keys = ["", " ", "West", "w est", "-west", "_west", "wést", "west.", "w\n", long_key.as_str()];
    let bad_names = ["", "   ", "two\nlines", "bell\u{7}", long_name.as_str()];
    for noun in nouns() {
        let texts = bad_keys.iter().map(|bad| ("key", *bad));
        let named = ["name", "meaning"].into_iter().filter(|name| noun.input[name].is_string());
        let names: Vec<_> = named.flat_map(|name| bad_names.iter().map(move |bad| (name, *bad))).collect();
        // What a custom field means may be said at length.
        let names = names.into_iter().filter(|(name, bad)| *name == "name" || bad.len() < 129);
        for (field, bad) in texts.chain(names) {
            let refused = noun.attempt(&api, &noun.with(json!({field: bad})));
            let error = &refused["errors"][0];
            let found = (&error["code"], &error["path"]);
            assert_eq!(
                found,
                (&json!("VALIDATION"), &json!(["input", field])),
                "{} {field} {bad:?}: {refused}",
                noun.field
            );
        }
        for good in ["a", "0", "a-b_c9", "k".repeat(64).as_str()] {
            let tried = noun.attempt(&api, &noun.with(json!({"key": good, "dryRun": true})));
            assert_eq!(tried["errors"], json!([]), "{} {good}", noun.field);
        }
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused_where_they_stand() {
    let server = Server::start();
    let api = server.admin();
    nouns().iter().for_each(|noun| drop(noun.put(&api, &noun.input)));
    let week = |zone: &str, weekly: Value| json!({"calendar": {"timeZone": zone, "weekly": weekly}});
    let hours = |from: i32, to: i32| json!({"day": "MON", "from": from, "to": to});
    let test = |field: &str, comparator: &str, values: &[&str]| {
        let test = json!({"field": field, "comparator": comparator, "values": values});
        json!({"test": test})
    };
    let cases = [
        (
            "upsertPool",
            json!({"members": [{"user": "wim"}, {"user": "wim", "weight": 2}]}),
            "members/1",
            "twice",
        ),
        ("upsertPool", json!({"members": [{"user": "wim", "weight": 0}]}), "members/0/weight", "found 0"),
        ("upsertPool", json!({"members": [{"user": "wim", "weight": 101}]}), "members/0/weight", "found 101"),
        ("upsertPool", json!({"members": vec![json!({"user": "wim"}); 1_001]}), "members", "found 1001"),
        ("upsertUser", json!({"territories": ["dach", "dach"]}), "territories/1", "twice"),
        ("upsertUser", json!({"capacity": 10_001}), "capacity", "found 10001"),
        ("upsertUser", json!({"capacity": -1}), "capacity", "found -1"),
        (
            "upsertCalendar",
            week("Europe/Berlin", json!([hours(540, 540)])),
            "calendar/weekly/0/from",
            "09:00",
        ),
        ("upsertCalendar", week("Europe/Berlin", json!([hours(540, 1_441)])), "calendar/weekly/0/to", "1440"),
        (
            "upsertCalendar",
            week("Europe/Berlin", json!([hours(540, 720), hours(700, 800)])),
            "calendar/weekly/1",
            "overlap",
        ),
        ("upsertCalendar", week("Europe/Berlin", json!([])), "calendar/weekly", "at least one"),
        ("upsertTerritory", test("company.employees", "GTE", &["many"]), "test", "many"),
        ("upsertTerritory", test("company.country", "EQ", &[]), "test", "found 0"),
        ("upsertTerritory", test("verdict.fit", "GTE", &["10"]), "test/field", "verdict.fit"),
    ];
    let mut wrong = vec![];
    for (field, more, path, word) in cases {
        let noun = noun(field);
        let refused = noun.attempt(&api, &noun.with(more.clone()));
        let error = &refused["errors"][0];
        let wanted: Vec<&str> = ["input"].into_iter().chain(path.split('/')).collect();
        let said = error["message"].as_str().is_some_and(|text| text.contains(word));
        if error["code"] != "VALIDATION" || error["path"] != json!(wanted) || !said {
            let more: String = more.to_string().chars().take(100).collect();
            wrong.push(format!("{field} {more}: expected {word:?} at {path}, found {refused}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn marketing_and_sales_stay_apart() {
    let server = Server::start();
    let api = server.admin();
    let (team, user) = (noun("upsertTeam"), noun("upsertUser"));
    let put =
        |key: &str, team: &str, side: Value| json!({"key": key, "name": key, "team": team, "side": side});
    for (team_key, side) in [("sales", "MARKETING"), ("marketing", "SALES")] {
        let refused = user.attempt(&api, &put("x", team_key, json!(side)));
        assert_eq!(refused["errors"][0]["path"], json!(["input", "side"]), "{refused}");
        assert!(
            refused["errors"][0]["message"].as_str().is_some_and(|text| text.contains(side)),
            "{refused}"
        );
    }
    for (team_key, side) in
        [("sales", "SALES"), ("sales", "OPS"), ("ops", "SALES"), ("marketing", "INTEGRATION")]
    {
        let made =
            user.put(&api, &put(&format!("{team_key}-{}", side.to_lowercase()), team_key, json!(side)));
        assert_eq!((&made["side"], &made["team"]), (&json!(side), &json!(team_key)));
    }
    let flipped = json!({"key": "sales", "name": "Sales", "side": "MARKETING", "fallbackQueue": "fallback"});
    let refused = team.attempt(&api, &flipped);
    assert_eq!(refused["errors"][0]["path"], json!(["input", "side"]), "{refused}");
    assert!(
        refused["errors"][0]["message"].as_str().is_some_and(|text| text.contains("sales-sales")),
        "who is in the way: {refused}"
    );
    // A token acts for the side that its user has now.
    let mara = server.user("mara", "marketing");
    let plan = json!({"key": "c1", "name": "C", "kind": "fair", "channel": "EVENT", "dryRun": true});
    mara.mutate("createCampaign", "CreateCampaignInput", plan.clone(), "campaign { key }");
    user.put(&api, &put("mara", "sales", json!("SALES")));
    let refused = mara.attempt("createCampaign", "CreateCampaignInput", plan, "campaign { key }");
    assert_eq!(refused["errors"][0]["code"], "FORBIDDEN", "{refused}");
}

#[test]
fn only_the_administrator_sets_up() {
    let server = Server::start();
    let api = server.admin();
    nouns().iter().for_each(|noun| drop(noun.put(&api, &noun.input)));
    let before: Vec<Vec<Value>> = nouns().iter().map(|noun| noun.all(&api)).collect();
    for other in [server.user("mara", "marketing"), server.user("saul", "sales"), server.user("olga", "ops")]
    {
        for noun in nouns() {
            let refused = noun.attempt(&other, &noun.with(noun.edit.clone()));
            let error = &refused["errors"][0];
            assert_eq!(
                (&error["code"], &refused[noun.one]),
                (&json!("FORBIDDEN"), &Value::Null),
                "{}: {refused}",
                noun.field
            );
            assert!(
                error["message"].as_str().is_some_and(|text| text.contains("admin")),
                "{}: {refused}",
                noun.field
            );
        }
        let absence =
            json!({"user": "wim", "absence": {"from": "2030-01-01T00:00:00Z", "to": "2030-02-01T00:00:00Z"}});
        let refused = other.attempt("addAbsence", "AddAbsenceInput", absence, "user { key }");
        assert_eq!(refused["errors"][0]["code"], "FORBIDDEN", "{refused}");
    }
    let after = nouns().into_iter().map(|noun| (noun.all(&api), noun.all));
    for ((after, what), before) in after.zip(before).filter(|((_, what), _)| *what != "users") {
        assert_eq!(after, before, "{what}");
    }
}

#[test]
fn a_dry_run_writes_nothing_and_a_repeated_request_writes_once() {
    let server = Server::start();
    let api = server.admin();
    for noun in nouns() {
        let before = noun.all(&api);
        let tried = noun.put(&api, &noun.with(json!({"dryRun": true})));
        assert_eq!(tried["key"], noun.input["key"], "{} tells what would be: {tried}", noun.field);
        assert_eq!(noun.all(&api), before, "{} wrote", noun.field);
        let keyed = noun.with(json!({"idempotencyKey": "k"}));
        let made = noun.put(&api, &keyed);
        noun.put(&api, &noun.with(noun.edit.clone()));
        let again = noun.put(&api, &keyed);
        assert_eq!(again["id"], made["id"], "{}", noun.field);
        let edited = noun.shown(&noun.with(noun.edit.clone()), &made["id"]);
        let key = made["key"].as_str().unwrap_or_default();
        assert_eq!(
            key_of(&noun.all(&api), key),
            [edited],
            "{}: a late repetition undoes no later change",
            noun.field
        );
        let mut other = noun.with(noun.edit.clone());
        other["idempotencyKey"] = json!("k");
        let reused = noun.attempt(&api, &other);
        assert_eq!(reused["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED", "{}: {reused}", noun.field);
        // What others refer to stays as they need it.
        noun.put(&api, &noun.input);
    }
}

#[test]
fn the_kind_and_the_privacy_of_a_trait_stay_for_good() {
    let parties = Parties::start();
    let Parties { admin, .. } = &parties;
    let noun = noun("defineTrait");
    noun.put(admin, &noun.input);
    noun.put(
        admin,
        &json!({"key": "nickname", "kind": "TEXT", "meaning": "What friends say", "personal": true}),
    );
    for change in [json!({"kind": "TEXT"}), json!({"personal": true})] {
        let refused = noun.attempt(admin, &noun.with(change));
        let error = &refused["errors"][0];
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("ALREADY_EXISTS"), &json!(["input", "key"])),
            "{refused}"
        );
    }
    let traits = |seats: &str| json!([{"key": "seats", "value": seats}, {"key": "nickname", "value": "Ada"}]);
    let capture = |seats: &str| {
        let input = json!({"lead": {"email": "ada@example.test", "traits": traits(seats)}});
        admin.attempt("captureLead", "CaptureLeadInput", input, "lead { traits { key value } }")
    };
    let refused = capture("many");
    assert_eq!(refused["errors"][0]["code"], "VALIDATION", "a value is of the trait's kind: {refused}");
    assert!(refused["errors"][0]["message"].as_str().is_some_and(|text| text.contains("many")), "{refused}");
    let shown = json!([{"key": "nickname", "value": "Ada"}, {"key": "seats", "value": "12"}]);
    assert_eq!(capture("12")["lead"]["traits"], shown, "a personal trait is shown");
    // A rule, and so a charter, can read the one and not the other.
    for (field, readable) in [("traits.seats", true), ("traits.nickname", false)] {
        let test = json!({"field": field, "comparator": "KNOWN", "values": []});
        let body = parties.body(|body| body["idealCustomer"] = json!([test]));
        let input = json!({"body": body, "dryRun": true});
        let tried =
            parties.marketing.attempt("proposeCharter", "ProposeCharterInput", input, "charter { number }");
        assert_eq!(tried["errors"] == json!([]), readable, "{field}: {tried}");
    }
}

/// A router that deals leads out among the pool's members.
fn with_pool(members: &[(&str, i32)]) -> Server {
    let server = Server::start();
    server.deploy("scorecard", "mql", &card(10));
    server.deploy("fair-share", "routing", &fair_share());
    for (key, _) in members {
        server.user(key, "sales");
    }
    pool(&server, members);
    server
}

fn pool(server: &Server, members: &[(&str, i32)]) {
    let members: Vec<Value> =
        members.iter().map(|(user, weight)| json!({"user": user, "weight": weight})).collect();
    noun("upsertPool")
        .put(&server.admin(), &json!({"key": "sales", "queue": "fallback", "members": members}));
}

/// Captures leads that qualify, one by one or as one batch, and counts them by owner; `-` is the queue.
fn dealt(api: &Api, name: &str, count: usize, batch: bool) -> BTreeMap<String, usize> {
    let lead = |n: usize| json!({"email": format!("{name}{n}@example.test"), "consent": true});
    let selection = "lead { stage owner { key } queue { key } }";
    let leads: Vec<Value> =
        if batch {
            let input = json!({"leads": (0..count).map(lead).collect::<Vec<_>>()});
            let results =
                api.mutate("captureLeads", "CaptureLeadsInput", input, &format!("results {{ {selection} }}"))
                    ["results"]
                    .clone();
            results.as_array().into_iter().flatten().map(|result| result["lead"].clone()).collect()
        } else {
            let one = |n| {
                api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead(n)}), selection)["lead"]
                    .clone()
            };
            (0..count).map(one).collect()
        };
    let mut counts = BTreeMap::new();
    for lead in leads {
        assert_eq!(lead["stage"], "MQL", "{lead}");
        assert!(lead["owner"].is_null() != lead["queue"].is_null(), "an owner or a queue: {lead}");
        let owner = lead["owner"]["key"].as_str().unwrap_or("-");
        *counts.entry(owner.to_owned()).or_default() += 1;
    }
    counts
}

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
}

fn instant(api: &Api) -> String {
    api.query("{ ledgerNow { asOf } }", json!({}))["ledgerNow"]["asOf"]
        .as_str()
        .expect("an instant")
        .to_owned()
}

#[test]
fn weights_say_how_many_leads_each_gets() {
    for batch in [false, true] {
        let server = with_pool(&[("anna", 3), ("ben", 1)]);
        let api = server.admin();
        assert_eq!(dealt(&api, "a", 8, batch), counts(&[("anna", 6), ("ben", 2)]), "batch {batch}");
        // Edited, the new weights hold, and what everybody got so far still counts.
        pool(&server, &[("anna", 1), ("ben", 1)]);
        assert_eq!(dealt(&api, "b", 4, batch), counts(&[("ben", 4)]), "ben catches up, batch {batch}");
        assert_eq!(dealt(&api, "c", 4, batch), counts(&[("anna", 2), ("ben", 2)]), "batch {batch}");
    }
}

#[test]
fn nobody_gets_more_open_leads_than_the_capacity() {
    let server = with_pool(&[("anna", 1), ("ben", 1)]);
    let api = server.admin();
    for (key, capacity) in [("anna", 1), ("ben", 2)] {
        noun("upsertUser")
            .put(&api, &json!({"key": key, "name": key, "team": "sales", "capacity": capacity}));
    }
    assert_eq!(dealt(&api, "a", 5, true), counts(&[("-", 2), ("anna", 1), ("ben", 2)]));
    let queued = api.query("{ workQueue(queue: \"fallback\") { edges { node { id } } } }", json!({}));
    assert_eq!(
        queued["workQueue"]["edges"].as_array().map(Vec::len),
        Some(2),
        "the pool's queue has the rest: {queued}"
    );
    // Whoever has closed a lead can take another one.
    let mine = api.query("{ users(team: \"sales\") { id key } }", json!({}))["users"].clone();
    let ben =
        mine.as_array().into_iter().flatten().find(|user| user["key"] == "ben").expect("ben")["id"].clone();
    let document = "query($owner: ID!) { workQueue(owner: $owner) { edges { node { id } } } }";
    let leads = api.query(document, json!({"owner": ben}))["workQueue"]["edges"].clone();
    let closed =
        json!({"lead": {"id": leads[0]["node"]["id"]}, "outcome": "DISQUALIFY", "reason": "NOT_ICP"});
    api.mutate("dispositionLead", "DispositionLeadInput", closed, "lead { outcome }");
    assert_eq!(dealt(&api, "b", 2, false), counts(&[("-", 1), ("ben", 1)]));
    noun("upsertUser").put(&api, &json!({"key": "anna", "name": "anna", "team": "sales", "capacity": 2}));
    assert_eq!(dealt(&api, "c", 2, false), counts(&[("-", 1), ("anna", 1)]), "more capacity counts at once");
}

#[test]
fn nobody_gets_a_lead_while_away() {
    let server = with_pool(&[("anna", 1), ("ben", 1)]);
    let api = server.admin();
    let away = |user: &str, from: &str, to: &str| {
        let input = json!({"user": user, "absence": {"from": from, "to": to}});
        api.attempt("addAbsence", "AddAbsenceInput", input, "user { key absences { from to } }")
    };
    let now = instant(&api);
    let refused = away("anna", &now, "2020-01-01T00:00:00Z");
    assert_eq!(refused["errors"][0]["code"], "VALIDATION", "back before it began: {refused}");
    for (from, to) in [
        ("2020-01-01T00:00:00.000Z", "2020-02-01T00:00:00.000Z"),
        ("2098-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"),
    ] {
        away("ben", from, to);
    }
    assert_eq!(
        dealt(&api, "a", 4, true),
        counts(&[("anna", 2), ("ben", 2)]),
        "past and coming absences keep nobody away"
    );
    let absence = json!({"from": now, "to": "2097-01-01T00:00:00.000Z"});
    assert_eq!(away("anna", &now, "2097-01-01T00:00:00.000Z")["user"]["absences"], json!([absence]));
    assert_eq!(
        away("anna", &now, "2097-01-01T00:00:00.000Z")["user"]["absences"],
        json!([absence]),
        "the same twice is one"
    );
    assert_eq!(dealt(&api, "b", 3, true), counts(&[("ben", 3)]));
    noun("upsertUser").put(&api, &json!({"key": "anna", "name": "Anna", "team": "sales"}));
    assert_eq!(dealt(&api, "c", 2, false), counts(&[("ben", 2)]), "absences outlive an edit of the user");
    away("ben", &now, "2097-01-01T00:00:00.000Z");
    assert_eq!(dealt(&api, "d", 2, false), counts(&[("-", 2)]), "with nobody there the queue takes them");
    let absences = api.query("{ users(team: \"sales\") { key absences { from } } }", json!({}));
    let ben = &key_of(absences["users"].as_array().expect("users"), "ben")[0]["absences"];
    let from: Vec<&Value> = ben.as_array().into_iter().flatten().map(|absence| &absence["from"]).collect();
    assert_eq!(
        from,
        [&json!("2020-01-01T00:00:00.000Z"), &json!(now), &json!("2098-01-01T00:00:00.000Z")],
        "in order"
    );
}

#[test]
fn nobody_gets_a_lead_outside_of_working_hours() {
    let server = with_pool(&[("anna", 1), ("ben", 1)]);
    let api = server.admin();
    let days = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let week: Vec<Value> = days.iter().map(|day| json!({"day": day, "from": 0, "to": 1440})).collect();
    let today = Date::parse(&instant(&api)[..10]).expect("a day");
    // The test may last over midnight.
    let holidays = [today, Date::from_days(today.days() + 1).expect("a day")].map(|day| day.to_string());
    let calendar = |key: &str, holidays: &[String]| {
        let calendar = json!({"timeZone": "UTC", "weekly": week, "holidays": holidays});
        noun("upsertCalendar").put(&api, &json!({"key": key, "calendar": calendar}));
    };
    calendar("open", &[]);
    calendar("closed", &holidays);
    let put = |key: &str, calendar: Value| {
        noun("upsertUser")
            .put(&api, &json!({"key": key, "name": key, "team": "sales", "calendar": calendar}));
    };
    put("anna", json!("closed"));
    assert_eq!(dealt(&api, "a", 2, false), counts(&[("ben", 2)]), "anna has a holiday; ben has no calendar");
    let team = json!({"key": "sales", "name": "Sales", "side": "SALES", "fallbackQueue": "fallback",
        "calendar": "closed"});
    noun("upsertTeam").put(&api, &team);
    assert_eq!(dealt(&api, "b", 1, false), counts(&[("-", 1)]), "the team's calendar holds for ben");
    put("anna", json!("open"));
    assert_eq!(
        dealt(&api, "c", 2, false),
        counts(&[("anna", 2)]),
        "her own calendar comes before the team's"
    );
}

#[test]
fn a_lead_goes_to_whoever_works_its_territory() {
    let server = Server::start();
    server.deploy("scorecard", "mql", &card(10));
    let api = server.admin();
    let test = json!({"field": "company.country", "comparator": "EQ", "values": ["FR"]});
    noun("upsertTerritory").put(&api, &json!({"key": "france", "name": "France", "test": test}));
    for (key, territories) in [("fanny", json!(["france"])), ("gus", json!([]))] {
        noun("upsertUser")
            .put(&api, &json!({"key": key, "name": key, "team": "sales", "territories": territories}));
    }
    pool(&server, &[("fanny", 1), ("gus", 1)]);
    let when = json!([{"field": "company.country", "is": ["FR"]}]);
    let settings = json!({"fallbackQueue": "fallback", "withoutTerritory": "queue",
        "territories": [{"key": "france", "when": when}]});
    server.deploy("fair-share", "routing", &settings);
    noun("upsertUser").put(
        &api,
        &json!({"key": "gus", "name": "gus", "team": "sales", "territories": ["france"], "capacity": 0}),
    );
    for (email, country, owner) in
        [("a@example.test", "FR", json!("fanny")), ("b@example.test", "DE", Value::Null)]
    {
        let company = json!({"name": format!("Example {country}"), "country": country});
        let input = json!({"lead": {"email": email, "consent": true, "company": company}});
        let lead = &api.mutate(
            "captureLead",
            "CaptureLeadInput",
            input,
            "lead { owner { key } queue { key } }",
        )["lead"];
        assert_eq!(lead["owner"]["key"], owner, "{country}: {lead}");
    }
}

#[test]
fn an_announced_signal_brings_back_the_leads_that_wait_for_it() {
    let parties = Parties::start();
    let Parties { server, admin, marketing, sales } = &parties;
    server.deploy("scorecard", "mql", &card(10));
    let announce = |api: &Api, signal: &str| {
        let document = "mutation($signal: String!) { announceSignal(signal: $signal) \
                        { leads errors { code path message } } }";
        api.query(document, json!({"signal": signal}))["announceSignal"].clone()
    };
    let refused = announce(marketing, "sso-released");
    assert_eq!(refused["errors"][0]["code"], "VALIDATION", "the charter lists none: {refused}");
    parties.enforce(&parties.body(|body| body["signals"] = json!(["sso-released", "price-cut"])));
    let leads = |api: &Api, email: &str| {
        let document = "query($by: LeadRef!) { lead(by: $by) { id stage outcome workState cycle recycleOn \
                        cycles { number openedBy outcome } } }";
        api.query(document, json!({"by": {"email": email}}))["lead"].clone()
    };
    let waits = [
        ("a", "sso-released", true),
        ("b", "price-cut", true),
        ("c", "sso-released", false),
        ("d", "sso-released", true),
    ];
    for (name, signal, consent) in waits {
        let email = format!("{name}@example.test");
        admin.mutate(
            "captureLead",
            "CaptureLeadInput",
            json!({"lead": {"email": email, "consent": consent}}),
            "lead { id }",
        );
        let lead = leads(admin, &email);
        let unknown =
            json!({"lead": {"id": lead["id"]}, "reason": "MISSING_FEATURE", "recycleOn": "sso-relased"});
        let refused = admin.attempt("recycleLead", "RecycleLeadInput", unknown, "lead { id }");
        assert_eq!(refused["errors"][0]["path"], json!(["input", "recycleOn"]), "{refused}");
        let wait = json!({"lead": {"id": lead["id"]}, "reason": "MISSING_FEATURE", "recycleOn": signal});
        admin.mutate("recycleLead", "RecycleLeadInput", wait, "lead { id }");
        assert_eq!(leads(admin, &email)["recycleOn"], signal);
    }
    let gone = json!({"lead": {"email": "d@example.test"}, "reason": "not any more"});
    admin.mutate("reopenLead", "ReopenLeadInput", gone, "lead { outcome }");
    let places = |api: &Api| {
        let counts =
            api.query("{ ledgerNow { places { place leads } } }", json!({}))["ledgerNow"]["places"].clone();
        counts
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["place"] == "NURTURE_UNTIL_SIGNAL")
            .map(|one| one["leads"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(places(admin), [json!("3")], "three wait for a signal");

    let refused = announce(sales, "sso-released");
    assert_eq!(
        (&refused["errors"][0]["code"], &refused["leads"]),
        (&json!("FORBIDDEN"), &json!("0")),
        "{refused}"
    );
    assert_eq!(announce(marketing, "sso-released"), json!({"leads": "2", "errors": []}));
    for (name, stage, outcome, cycle) in
        [("a", "MQL", "OPEN", 2), ("b", "MQL", "RECYCLED", 1), ("c", "INQUIRY", "OPEN", 2)]
    {
        let lead = leads(admin, &format!("{name}@example.test"));
        assert_eq!(
            (&lead["stage"], &lead["outcome"], &lead["cycle"]),
            (&json!(stage), &json!(outcome), &json!(cycle)),
            "{lead}"
        );
    }
    let back = leads(admin, "a@example.test");
    assert_eq!(back["cycles"][1], json!({"number": 2, "openedBy": "REQUALIFY", "outcome": "OPEN"}), "{back}");
    assert_eq!(back["recycleOn"], Value::Null, "it waits no longer: {back}");
    assert_eq!(
        announce(marketing, "sso-released"),
        json!({"leads": "0", "errors": []}),
        "once announced, nobody waits"
    );
    assert_eq!(places(admin), [json!("1")]);
}

#[test]
fn an_unknown_signal_is_refused_where_it_was_given() {
    let parties = Parties::start();
    let announce = || {
        let document =
            "mutation { announceSignal(signal: \"sso-relased\") { errors { code path message } } }";
        parties.marketing.query(document, json!({}))["announceSignal"]["errors"][0].clone()
    };
    let refused = announce();
    let message = refused["message"].as_str().unwrap_or_default().trim_end().to_owned();
    assert_eq!((&refused["code"], &refused["path"]), (&json!("VALIDATION"), &json!(["signal"])), "{refused}");
    assert!(!message.ends_with("has"), "a charter without signals says so: {message}");
    parties.enforce(&parties.body(|body| body["signals"] = json!(["sso-released"])));
    assert!(
        announce()["message"].as_str().is_some_and(|text| text.contains("sso-released")),
        "it names what there is"
    );
}
