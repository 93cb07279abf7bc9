//! Campaigns through the public API: planned by marketing, and what came of them.

use std::collections::BTreeSet;

use handfast_tests::{Api, Server, eventually};
use serde_json::{Value, json};

use crate::charter::Parties;

const CAMPAIGN: &str =
    "campaign { id key name kind channel cost { amountMinor currency } startsAt endsAt createdAt }";

/// How far a lead is driven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    Sal,
    Sql,
    Opportunity,
    Won,
}

/// Sales takes an MQL on and works it. `amount` is that of the deal, in cents.
pub fn drive(sales: &Api, lead: &Value, until: Until, amount: i64) {
    let target = json!({"lead": {"id": lead["id"]}});
    let with = |more: Value| {
        let mut input = target.clone();
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        input
    };
    let money = json!({"amount": {"amountMinor": amount.to_string(), "currency": "EUR"}});
    let talk = json!({"kind": "CALL", "direction": "TWO_WAY"});
    let need = json!({"key": "need", "grade": 3, "evidence": "said so"});
    let answers = json!({"answers": [need, {"key": "budget", "grade": 2}]});
    let steps = [
        (Until::Sal, "acceptHandoff", "LeadTarget", target.clone()),
        (Until::Sql, "logActivity", "LogActivityInput", with(talk)),
        (Until::Sql, "qualify", "QualifyInput", with(answers)),
        (Until::Opportunity, "recordOpportunity", "RecordOpportunityInput", with(money.clone())),
        (Until::Won, "closeWon", "CloseWonInput", with(money)),
    ];
    for (step, field, kind, input) in steps {
        if step <= until {
            sales.mutate(field, kind, input, "lead { id }");
        }
    }
}

fn cents(amount: i64) -> Value {
    json!({"amountMinor": amount.to_string(), "currency": "EUR"})
}

fn plan(key: &str, more: Value) -> Value {
    let mut input =
        json!({"key": key, "name": format!("The {key}"), "kind": "webinar", "channel": "WEBINAR"});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    input
}

fn create(api: &Api, key: &str, more: Value) -> Value {
    api.mutate("createCampaign", "CreateCampaignInput", plan(key, more), CAMPAIGN)["campaign"].clone()
}

fn update(api: &Api, campaign: &Value, more: Value) -> Value {
    let mut input = json!({"campaign": campaign["id"]});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    api.attempt("updateCampaign", "UpdateCampaignInput", input, CAMPAIGN)
}

fn find(api: &Api, by: Value) -> Value {
    let document = format!(
        "query($id: ID, $key: String) {{ found: campaign(id: $id, key: $key) {} }}",
        &CAMPAIGN["campaign ".len()..]
    );
    api.query(&document, by)["found"].clone()
}

#[test]
fn a_campaign_is_planned_found_and_edited() {
    let server = Server::start();
    let marketing = server.user("mara", "marketing");
    let dates = json!({"startsAt": "2026-03-01T09:00:00.000Z", "endsAt": "2026-03-31T17:00:00.000Z"});
    let mut more = dates.clone();
    more["cost"] = cents(125_000);
    let made = create(&marketing, "spring", more);
    let expected = json!({"id": made["id"], "key": "spring", "name": "The spring", "kind": "webinar",
        "channel": "WEBINAR", "cost": cents(125_000), "createdAt": made["createdAt"],
        "startsAt": dates["startsAt"], "endsAt": dates["endsAt"]});
    assert_eq!(made, expected);
    let bare = create(&marketing, "bare", json!({}));
    assert_eq!(
        (&bare["cost"], &bare["startsAt"], &bare["endsAt"]),
        (&cents(0), &Value::Null, &Value::Null),
        "{bare}"
    );
    for by in [json!({"key": "spring"}), json!({"id": made["id"]})] {
        assert_eq!(find(&marketing, by.clone()), made, "{by}");
    }
    for by in [
        json!({"key": "none"}),
        json!({"id": "01a217bd-0000-7000-8000-000000000000"}),
        json!({"key": "SPRING"}),
    ] {
        assert_eq!(find(&marketing, by.clone()), Value::Null, "{by}");
    }

    let edits = [
        (json!({"name": "Spring, at last"}), "name", json!("Spring, at last")),
        (json!({"cost": cents(130_001)}), "cost", cents(130_001)),
        (json!({"endsAt": null}), "endsAt", Value::Null),
        (json!({"startsAt": "2026-04-01T00:00:00.000Z"}), "startsAt", json!("2026-04-01T00:00:00.000Z")),
        (json!({}), "key", json!("spring")),
    ];
    let mut expected = made.clone();
    for (edit, field, value) in edits {
        expected[field] = value;
        let edited = update(&marketing, &made, edit.clone());
        assert_eq!((&edited["campaign"], &edited["errors"]), (&expected, &json!([])), "{edit}");
    }
    assert_eq!(find(&marketing, json!({"key": "spring"})), expected);
    let log = server.admin().query(
        "{ events(filter: {kinds: [\"CAMPAIGN_CHANGED\"]}) { events { stream version user { key } } } }",
        json!({}),
    );
    let versions: Vec<Value> = log["events"]["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| {
            assert_eq!(
                (&event["stream"], &event["user"]["key"]),
                (&json!("CAMPAIGN"), &json!("mara")),
                "{event}"
            );
            event["version"].clone()
        })
        .collect();
    assert_eq!(versions, [1, 1, 2, 3, 4, 5, 6], "each change of each campaign is in the log");
}

#[test]
fn only_marketing_plans_campaigns() {
    let server = Server::start();
    let admin = server.admin();
    let made = create(&admin, "admins", json!({}));
    let marketing = server.user("mara", "marketing");
    assert_eq!(update(&marketing, &made, json!({"name": "Ours"}))["errors"], json!([]));
    let others = [
        ("SALES", server.user("saul", "sales")),
        ("OPS", server.user("olga", "ops")),
        ("leads:write", server.token("mara", &["leads:read", "charter:sign", "plugins:deploy", "import"])),
    ];
    for (word, api) in others {
        let created =
            api.attempt("createCampaign", "CreateCampaignInput", plan("theirs", json!({})), CAMPAIGN);
        for refused in [created, update(&api, &made, json!({"name": "Theirs"}))] {
            assert_eq!(
                (&refused["errors"][0]["code"], &refused["campaign"]),
                (&json!("FORBIDDEN"), &Value::Null),
                "{word}: {refused}"
            );
            assert!(
                refused["errors"][0]["message"].as_str().is_some_and(|text| text.contains(word)),
                "{word}: {refused}"
            );
        }
    }
    assert_eq!(find(&admin, json!({"key": "theirs"})), Value::Null);
    assert_eq!(find(&admin, json!({"key": "admins"}))["name"], "Ours");
}

#[test]
fn a_plan_that_cannot_be_meant_is_refused_where_it_is_wrong() {
    let server = Server::start();
    let api = server.user("mara", "marketing");
    let made = create(
        &api,
        "known",
        json!({"startsAt": "2026-03-01T00:00:00Z", "endsAt": "2026-04-01T00:00:00Z", "cost": cents(1)}),
    );
    let long = "n".repeat(129);
    let dollars = json!({"cost": {"amountMinor": "100", "currency": "USD"}});
    let cases = [
        (json!({"key": "known"}), "ALREADY_EXISTS", "key", "updateCampaign"),
        (json!({"key": "Not A Key"}), "VALIDATION", "key", "Not A Key"),
        (json!({"key": ""}), "VALIDATION", "key", "1 to 64"),
        (json!({"kind": "Web Seminar"}), "VALIDATION", "kind", "Web Seminar"),
        (json!({"name": " "}), "VALIDATION", "name", "1 to 128"),
        (json!({"name": long}), "VALIDATION", "name", "found 129"),
        (json!({"name": "two\nlines"}), "VALIDATION", "name", "line breaks"),
        (dollars.clone(), "CURRENCY_MISMATCH", "cost/currency", "EUR"),
        (json!({"cost": cents(-1)}), "VALIDATION", "cost/amountMinor", "found -1"),
        (json!({"cost": cents(i64::MAX)}), "VALIDATION", "cost/amountMinor", "9223372036854775807"),
        (
            json!({"startsAt": "2026-03-02T00:00:00Z", "endsAt": "2026-03-01T00:00:00Z"}),
            "VALIDATION",
            "endsAt",
            "2026-03-01",
        ),
        (
            json!({"startsAt": "2026-03-01T00:00:00Z", "endsAt": "2026-03-01T00:00:00Z"}),
            "VALIDATION",
            "endsAt",
            "2026-03-01",
        ),
    ];
    let check = |refused: Value, code: &str, path: &str, word: &str| {
        let error = &refused["errors"][0];
        let wanted: Vec<&str> = ["input"].into_iter().chain(path.split('/')).collect();
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!(code), &json!(wanted)),
            "{path} {word}: {refused}"
        );
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(word)),
            "{path} {word}: {refused}"
        );
        assert_eq!(refused["campaign"], Value::Null, "{refused}");
    };
    for (more, code, path, word) in cases {
        check(
            api.attempt("createCampaign", "CreateCampaignInput", plan("new", more), CAMPAIGN),
            code,
            path,
            word,
        );
    }
    let edits = [
        (json!({"name": ""}), "VALIDATION", "name", "1 to 128"),
        (dollars, "CURRENCY_MISMATCH", "cost/currency", "EUR"),
        (json!({"cost": cents(-1)}), "VALIDATION", "cost/amountMinor", "found -1"),
        (json!({"endsAt": "2026-02-01T00:00:00Z"}), "VALIDATION", "endsAt", "2026-03-01"),
        (json!({"startsAt": "2026-05-01T00:00:00Z"}), "VALIDATION", "endsAt", "2026-05-01"),
        (json!({"campaign": "01a217bd-0000-7000-8000-000000000000"}), "NOT_FOUND", "campaign", "campaign"),
        (
            json!({"campaign": "VGVhbTowMWEyMTdiZC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDA"}),
            "VALIDATION",
            "campaign",
            "Team",
        ),
        (json!({"campaign": "known"}), "VALIDATION", "campaign", "Campaign"),
    ];
    for (edit, code, path, word) in edits {
        check(update(&api, &made, edit), code, path, word);
    }
    assert_eq!(find(&api, json!({"key": "known"})), made, "nothing changed");
    let (_, answer) = api.post(&json!({"query": "{ campaigns { edges { node { key } } } }"}));
    assert_eq!(answer["data"]["campaigns"]["edges"], json!([{"node": {"key": "known"}}]));
}

#[test]
fn a_dry_run_plans_nothing_and_a_repeated_request_plans_once() {
    let server = Server::start();
    let api = server.user("mara", "marketing");
    let tried = create(&api, "spring", json!({"dryRun": true}));
    assert_eq!(tried["key"], "spring", "it tells what would be");
    assert_eq!(find(&api, json!({"key": "spring"})), Value::Null);
    let made = create(&api, "spring", json!({"idempotencyKey": "k"}));
    let again = create(&api, "spring", json!({"idempotencyKey": "k"}));
    assert_eq!(again, made, "no ALREADY_EXISTS for a repetition");
    let reused = api.attempt(
        "createCampaign",
        "CreateCampaignInput",
        plan("autumn", json!({"idempotencyKey": "k"})),
        CAMPAIGN,
    );
    assert_eq!(reused["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED", "{reused}");
    let tried = update(&api, &made, json!({"name": "Tried", "dryRun": true}));
    assert_eq!(tried["campaign"]["name"], "Tried", "{tried}");
    assert_eq!(find(&api, json!({"key": "spring"})), made);
    // A null says something else than nothing, also to the key.
    let ends = json!({"endsAt": "2026-09-01T00:00:00.000Z", "idempotencyKey": "u"});
    assert_eq!(update(&api, &made, ends)["campaign"]["endsAt"], "2026-09-01T00:00:00.000Z");
    for edit in [json!({"endsAt": null, "idempotencyKey": "u"}), json!({"idempotencyKey": "u"})] {
        assert_eq!(
            update(&api, &made, edit.clone())["errors"][0]["code"],
            "IDEMPOTENCY_KEY_REUSED",
            "{edit}"
        );
    }
}

#[test]
fn an_idempotency_key_is_forgotten_after_the_time_that_is_configured() {
    let server = Server::configured(&[("HANDFAST__SERVER__KEEP_ANSWERS_SECONDS", "2")]);
    let api = server.user("mara", "marketing");
    create(&api, "spring", json!({"idempotencyKey": "k"}));
    let autumn = || {
        let input = plan("autumn", json!({"idempotencyKey": "k"}));
        api.attempt("createCampaign", "CreateCampaignInput", input, CAMPAIGN)
    };
    assert_eq!(autumn()["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    eventually(20, "the key is free again", || (autumn()["campaign"]["key"] == "autumn").then_some(()));
}

#[test]
fn pages_walk_forward_and_backward_over_the_same_campaigns() {
    let server = Server::start();
    let api = server.user("mara", "marketing");
    let mut keys: Vec<Value> =
        (0..9).map(|n| create(&api, &format!("c{n}"), json!({}))["key"].clone()).collect();
    keys.reverse();
    let document = "query($first: Int, $after: String, $last: Int, $before: String) { \
                    campaigns(first: $first, after: $after, last: $last, before: $before) { \
                    edges { cursor node { key } } \
                    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let page = |variables: Value| api.query(document, variables)["campaigns"].clone();
    let keys_of = |page: &Value| {
        page["edges"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|edge| edge["node"]["key"].clone())
            .collect::<Vec<_>>()
    };
    let (mut seen, mut after, mut pages) = (vec![], Value::Null, vec![]);
    loop {
        let found = page(json!({"first": 4, "after": after}));
        assert_eq!(found["pageInfo"]["hasPreviousPage"], json!(!after.is_null()), "{found}");
        seen.extend(keys_of(&found));
        after = found["pageInfo"]["endCursor"].clone();
        pages.push(found);
        if pages[pages.len() - 1]["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
    }
    assert_eq!((seen, pages.len()), (keys.clone(), 3), "the newest first, each once");
    let back = page(json!({"last": 3, "before": pages[2]["pageInfo"]["startCursor"]}));
    assert_eq!(
        (keys_of(&back), &back["pageInfo"]["hasPreviousPage"]),
        (keys[5..8].to_vec(), &json!(true)),
        "{back}"
    );
    let top = page(json!({"last": 100, "before": pages[1]["pageInfo"]["startCursor"]}));
    assert_eq!(
        (keys_of(&top), &top["pageInfo"]["hasPreviousPage"]),
        (keys[..4].to_vec(), &json!(false)),
        "{top}"
    );
    assert_eq!(keys_of(&page(json!({"last": 2}))), keys[7..], "the last ones of all");
    assert_eq!(
        keys_of(&page(json!({"first": 3, "after": after}))),
        Vec::<Value>::new(),
        "nothing after the end"
    );
    for bad in
        [json!({"first": 0}), json!({"first": 201}), json!({"last": -1}), json!({"first": 1, "last": 1})]
    {
        assert_eq!(api.error(document, bad.clone())["extensions"]["code"], "PAGE_SIZE", "{bad}");
    }
    let of_leads = {
        let admin = server.admin();
        admin.capture("page@example.test");
        admin.query("{ leads { pageInfo { endCursor } } }", json!({}))["leads"]["pageInfo"]["endCursor"]
            .clone()
    };
    for cursor in [json!("AAAA"), of_leads] {
        assert_eq!(
            api.error(document, json!({"first": 1, "after": cursor}))["extensions"]["code"],
            "CURSOR_INVALID",
            "{cursor}"
        );
    }
}

const RESULTS: &str = "results { leads mql sal sql opportunities won cost { amountMinor currency } \
    revenue { amountMinor } costPerLead { amountMinor } costPerMql { amountMinor } \
    costPerSal { amountMinor } costPerSql { amountMinor } \
    costPerOpportunity { amountMinor } costPerWon { amountMinor } }";

/// What came of the campaigns, all in one request.
fn results(api: &Api) -> Vec<(String, Value)> {
    let found = api
        .query(&format!("{{ campaigns(first: 200) {{ edges {{ node {{ key {RESULTS} }} }} }} }}"), json!({}));
    let edges = found["campaigns"]["edges"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<(String, Value)> = edges
        .iter()
        .map(|edge| {
            (edge["node"]["key"].as_str().unwrap_or_default().to_owned(), edge["node"]["results"].clone())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// As an answer shows it: counts from leads to won, cost, revenue, and the costs for each, null without one.
fn expected(counts: [i64; 6], cost: i64, revenue: i64, costs: [Option<i64>; 6]) -> Value {
    let [leads, mql, sal, sql, opportunities, won] = counts.map(|count| count.to_string());
    let [lead, m, a, q, o, w] = costs.map(|cost| cost.map(|cost| json!({"amountMinor": cost.to_string()})));
    json!({"leads": leads, "mql": mql, "sal": sal, "sql": sql, "opportunities": opportunities, "won": won,
        "cost": cents(cost), "revenue": {"amountMinor": revenue.to_string()}, "costPerLead": lead,
        "costPerMql": m, "costPerSal": a, "costPerSql": q, "costPerOpportunity": o, "costPerWon": w})
}

#[test]
fn results_are_counted_from_the_leads_that_a_campaign_brought() {
    let parties = Parties::start();
    let Parties { admin, marketing, sales, .. } = &parties;
    parties.ready_for_deals();
    let spring = create(marketing, "spring", json!({"cost": cents(10_001)}));
    create(marketing, "autumn", json!({}));
    create(marketing, "silent", json!({"cost": cents(500)}));
    let capture = |email: &str, campaign: &str, consent: bool| {
        let input = json!({"lead": {"email": email, "campaign": campaign, "consent": consent}});
        admin.mutate("captureLead", "CaptureLeadInput", input, "lead { id campaign { key } }")["lead"].clone()
    };
    let none = [None; 6];
    assert!(
        results(admin).iter().all(|(_, results)| results["leads"] == "0" && results["costPerLead"].is_null())
    );

    capture("inquiry@example.test", "spring", false);
    capture("mql@example.test", "spring", true);
    let ways = [
        ("sal", Until::Sal, 0),
        ("sql", Until::Sql, 0),
        ("opp", Until::Opportunity, 7_777),
        ("won", Until::Won, 50_000),
    ];
    for (name, until, amount) in ways {
        drive(sales, &capture(&format!("{name}@example.test"), "spring", true), until, amount);
    }
    drive(sales, &capture("also-won@example.test", "spring", true), Until::Won, 25_001);
    let lost = capture("lost@example.test", "spring", true);
    drive(sales, &lost, Until::Opportunity, 90_000);
    let reason = json!({"lead": {"id": lost["id"]}, "reason": "HOLDING_OFF"});
    sales.mutate("closeLost", "CloseLostInput", reason, "lead { outcome }");
    // Who comes again by another campaign is the first one's.
    assert_eq!(capture("mql@example.test", "autumn", true)["campaign"]["key"], "spring");
    drive(sales, &capture("other@example.test", "autumn", true), Until::Won, 1);

    let spring_now = expected(
        [8, 7, 6, 5, 4, 2],
        10_001,
        75_001,
        [Some(1_250), Some(1_429), Some(1_667), Some(2_000), Some(2_500), Some(5_001)],
    );
    let autumn_now = expected([1, 1, 1, 1, 1, 1], 0, 1, [Some(0); 6]);
    let silent_now = expected([0; 6], 500, 0, none);
    let all = [("autumn", autumn_now), ("silent", silent_now), ("spring", spring_now.clone())];
    let all: Vec<(String, Value)> = all.into_iter().map(|(key, results)| (key.to_owned(), results)).collect();
    assert_eq!(results(admin), all, "to the nearest cent; half a cent counts up");
    let one = admin.query(&format!("{{ campaign(key: \"spring\") {{ {RESULTS} }} }}"), json!({}));
    assert_eq!(one["campaign"]["results"], spring_now, "alone as among others");

    // What a recycled lead does in its next cycle counts as well; a cost that is edited divides anew.
    let again = json!({"lead": {"id": lost["id"]}, "reason": "they called"});
    admin.mutate("reopenLead", "ReopenLeadInput", again, "lead { cycle }");
    admin.mutate("evaluateLead", "LeadTarget", json!({"lead": {"id": lost["id"]}}), "lead { stage }");
    update(marketing, &spring, json!({"cost": cents(80)}));
    let found = results(admin).pop().expect("spring").1;
    assert_eq!(
        (&found["leads"], &found["mql"], &found["sal"]),
        (&json!("8"), &json!("8"), &json!("6")),
        "{found}"
    );
    assert_eq!(
        (&found["costPerLead"]["amountMinor"], &found["costPerSal"]["amountMinor"]),
        (&json!("10"), &json!("13")),
        "{found}"
    );
    let of_spring =
        "query($filter: LeadFilterInput) { leads(filter: $filter) { edges { node { campaign { key } } } } }";
    let leads =
        admin.query(of_spring, json!({"filter": {"campaign": spring["id"]}}))["leads"]["edges"].clone();
    assert_eq!(leads.as_array().map(Vec::len), Some(8), "the leads behind the number");
}

#[test]
fn many_who_ask_for_many_results_at_once_all_get_them() {
    let server = Server::start();
    let api = server.user("mara", "marketing");
    let count = 40;
    for n in 0..count {
        create(&api, &format!("c{n:02}"), json!({"cost": cents(n + 1)}));
        let lead = json!({"lead": {"email": format!("l{n}@example.test"), "campaign": format!("c{n:02}")}});
        api.mutate("captureLead", "CaptureLeadInput", lead, "created");
    }
    let answers: Vec<Vec<(String, Value)>> = std::thread::scope(|scope| {
        let ask = || {
            let api = api.clone();
            scope.spawn(move || (0..3).map(|_| results(&api)).collect::<Vec<_>>())
        };
        let asked: Vec<_> = (0..6).map(|_| ask()).collect();
        asked.into_iter().flat_map(|asked| asked.join().expect("an answer")).collect()
    });
    assert_eq!(answers.len(), 18);
    for answer in answers {
        assert_eq!(answer.len() as i64, count);
        let costs: BTreeSet<String> =
            answer.iter().map(|(_, results)| results["costPerLead"]["amountMinor"].to_string()).collect();
        assert!(answer.iter().all(|(_, results)| results["leads"] == "1"), "{answer:?}");
        assert_eq!(costs.len() as i64, count, "each its own");
    }
}

#[test]
fn where_it_is_asked_for_results_are_looked_at_before_the_next_campaign() {
    let server = Server::configured(&[("HANDFAST__CAMPAIGNS__REQUIRE_REVIEW", "true")]);
    let mia = server.user("mia", "marketing");
    let create = |key: &str, kind: &str, reviewed: Value| {
        let input =
            json!({"key": key, "name": key, "kind": kind, "channel": "EVENT", "reviewedCampaigns": reviewed});
        mia.attempt(
            "createCampaign",
            "CreateCampaignInput",
            input,
            "campaign { id reviewed { key results { leads } } }",
        )
    };
    let first = create("fair-1", "fair", json!([]));
    assert_eq!(first["errors"], json!([]), "the first of its kind has nothing before it");
    assert_eq!(
        create("fair-2", "fair", json!([]))["errors"],
        json!([]),
        "nor has one before it brought anybody"
    );
    let lead = json!({"lead": {"email": "a@example.test", "campaign": "fair-1"}});
    mia.mutate("captureLead", "CaptureLeadInput", lead, "lead { id }");
    let refused = create("fair-3", "fair", json!([]))["errors"][0].clone();
    assert_eq!(
        (&refused["code"], &refused["path"]),
        (&json!("REVIEW_MISSING"), &json!(["input", "reviewedCampaigns"]))
    );
    assert!(refused["message"].as_str().is_some_and(|text| text.ends_with("fair-1")), "{refused}");
    assert_eq!(create("webinar-1", "webinar", json!([]))["errors"], json!([]), "another kind");
    let made = create("fair-3", "fair", json!([first["campaign"]["id"], first["campaign"]["id"]]));
    assert_eq!(made["campaign"]["reviewed"], json!([{"key": "fair-1", "results": {"leads": "1"}}]), "{made}");
    let unknown = create("fair-4", "fair", json!(["01a217bd-0000-7000-8000-000000000000"]));
    assert_eq!(unknown["errors"][0]["code"], "NOT_FOUND", "{unknown}");
}
