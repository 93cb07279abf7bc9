//! Audiences through the public API: by tests, from past wins, revised after feedback, and what they are offered.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::work::{World, done, look};

const AUDIENCE: &str = "audience { id key current { number size tests { field comparator values } basedOnFeedback createdBy { key } \
    basedOnWins { wins leads traits { field value winShareBasisPoints leadShareBasisPoints liftBasisPoints } } } versions { number size } }";

fn create(api: &Api, key: &str, more: Value) -> Value {
    let mut input = json!({"key": key, "name": key});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    api.attempt("createAudience", "CreateAudienceInput", input, AUDIENCE)
}

fn of(industry: &str) -> Value {
    json!([{"field": "company.industry", "comparator": "EQ", "values": [industry]}])
}

/// A lead of a company of an industry.
fn lead(world: &World, name: &str, industry: &str, more: Value) -> Value {
    let mut lead = json!({"email": format!("me@{name}.test"), "company": {"name": name, "domain": format!("{name}.test"), "industry": industry}});
    lead.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    world.mia.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id }")["lead"].clone()
}

fn win(world: &World, lead: &Value) {
    let amount = json!({"amount": {"amountMinor": "100000", "currency": "EUR"}});
    for (verb, more) in [
        ("acceptHandoff", json!({})),
        ("logActivity", json!({"kind": "CALL", "direction": "TWO_WAY"})),
        ("qualify", json!({"answers": [{"key": "need", "grade": 3}]})),
        ("recordOpportunity", amount.clone()),
        ("closeWon", amount),
    ] {
        done(&world.rob, verb, lead, more);
    }
}

#[test]
fn an_audience_is_whoever_passes_its_tests_and_each_lead_knows_its_segments() {
    let world = World::unsigned();
    let (mia, rob) = (&world.mia, &world.rob);
    let first = lead(&world, "one", "software", json!({}));
    let second = lead(&world, "two", "software", json!({}));
    let other = lead(&world, "three", "retail", json!({}));
    let gone = lead(&world, "four", "software", json!({}));
    done(mia, "dispositionLead", &gone, json!({"outcome": "DISQUALIFY", "reason": "DO_NOT_CONTACT"}));
    let made = create(mia, "software", json!({"tests": of("software")}))["audience"].clone();
    assert_eq!(
        (&made["current"]["size"], &made["current"]["createdBy"]["key"]),
        (&json!("2"), &json!("mia")),
        "whoever asked not to be contacted is none of them: {made}"
    );
    let document = "query($after: String) { audience(key: \"software\") { leads(first: 1, after: $after) { edges { node { id } } \
                    pageInfo { hasNextPage endCursor } } } }";
    let page = |after: &Value| rob.query(document, json!({"after": after}))["audience"]["leads"].clone();
    let newest = page(&Value::Null);
    assert_eq!(
        (&newest["edges"][0]["node"]["id"], &newest["pageInfo"]["hasNextPage"]),
        (&second["id"], &json!(true))
    );
    let rest = page(&newest["pageInfo"]["endCursor"]);
    assert_eq!(
        (&rest["edges"][0]["node"]["id"], &rest["pageInfo"]["hasNextPage"]),
        (&first["id"], &json!(false))
    );
    create(
        mia,
        "everybody",
        json!({"tests": [{"field": "company.industry", "comparator": "KNOWN", "values": []}]}),
    );
    let segments = |lead: &Value| look(rob, lead, "segments { key }")["segments"].clone();
    assert_eq!(segments(&first), json!([{"key": "everybody"}, {"key": "software"}]));
    assert_eq!(segments(&other), json!([{"key": "everybody"}]));

    let offer = |key: &str, audience: &Value, more: Value| {
        let mut input = json!({"key": key, "title": "Start in spring", "incentive": "Three months free", "audience": audience});
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        mia.attempt(
            "upsertOffer",
            "UpsertOfferInput",
            input,
            "offer { key incentive audience { key } until }",
        )
    };
    assert_eq!(offer("spring", &made["id"], json!({}))["errors"], json!([]));
    assert_eq!(
        offer(
            "autumn",
            &made["id"],
            json!({"from": "2020-01-01T00:00:00Z", "until": "2020-02-01T00:00:00Z"})
        )["errors"],
        json!([])
    );
    let backward = offer("odd", &made["id"], json!({"until": "2020-02-01T00:00:00Z"}))["errors"][0].clone();
    assert_eq!(backward["path"], json!(["input", "until"]));
    let offers = |lead: &Value| {
        let document = "query($lead: LeadRef!) { offersFor(lead: $lead) { key audience { key } } }";
        rob.query(document, json!({"lead": {"id": lead["id"]}}))["offersFor"].clone()
    };
    assert_eq!(
        offers(&first),
        json!([{"key": "spring", "audience": {"key": "software"}}]),
        "what is over is not offered"
    );
    assert_eq!(offers(&other), json!([]));
    let listed = rob.query("{ offers { key } audiences { key } }", json!({}));
    assert_eq!(listed["offers"], json!([{"key": "autumn"}, {"key": "spring"}]));

    for (input, path) in [
        (json!({"tests": []}), "tests"),
        (json!({}), "tests"),
        (json!({"tests": of("software"), "fromWins": {}}), "tests"),
        (json!({"tests": [{"field": "company.industri", "comparator": "EQ", "values": ["x"]}]}), "tests"),
        (json!({"tests": [{"field": "verdict.fit", "comparator": "GTE", "values": ["1"]}]}), "tests"),
        (json!({"fromWins": {"minWins": 0}}), "fromWins"),
        (json!({"fromWins": {}}), "fromWins"),
    ] {
        let error = create(mia, "wrong", input.clone())["errors"][0].clone();
        assert_eq!(
            (&error["code"], &error["path"][1]),
            (&json!("VALIDATION"), &json!(path)),
            "{input}: {error}"
        );
    }
    assert_eq!(
        create(mia, "software", json!({"tests": of("retail")}))["errors"][0]["code"],
        "ALREADY_EXISTS"
    );
    assert_eq!(create(rob, "mine", json!({"tests": of("retail")}))["errors"][0]["code"], "FORBIDDEN");
}

#[test]
fn past_wins_say_whom_to_address_and_feedback_says_whom_else() {
    let world = World::start();
    let (mia, rob) = (&world.mia, &world.rob);
    for n in 0..3 {
        let lead = lead(&world, &format!("won{n}"), "software", json!({"consent": true}));
        win(&world, &lead);
    }
    for n in 0..6 {
        lead(&world, &format!("shop{n}"), "retail", json!({}));
    }
    lead(&world, "fresh", "software", json!({}));
    let made = create(mia, "like-wins", json!({"fromWins": {"minWins": 3}}))["audience"].clone();
    let current = &made["current"];
    let industry =
        current["tests"].as_array().into_iter().flatten().find(|test| test["field"] == "company.industry");
    assert_eq!(
        industry,
        Some(&json!({"field": "company.industry", "comparator": "EQ", "values": ["software"]})),
        "{made}"
    );
    let basis = &current["basedOnWins"];
    assert_eq!((&basis["wins"], &basis["leads"]), (&json!("3"), &json!("10")));
    let lift =
        basis["traits"].as_array().into_iter().flatten().find(|one| one["field"] == "company.industry");
    // All of the wins, and four of ten leads: two and a half times as often.
    let expected = json!({"field": "company.industry", "value": "software", "winShareBasisPoints": 10_000,
        "leadShareBasisPoints": 4_000, "liftBasisPoints": 25_000});
    assert_eq!(lift, Some(&expected), "{made}");
    let few = create(mia, "few", json!({"fromWins": {"minWins": 4}}))["errors"][0].clone();
    assert!(few["message"].as_str().is_some_and(|text| text.contains("of 3 won leads")), "{few}");

    let told = json!({"kind": "REQUEST", "text": "Shops ask for it, too"});
    let told =
        rob.mutate("postFeedback", "PostFeedbackInput", told, "feedback { id }")["feedback"]["id"].clone();
    let revise = |api: &Api, based_on: Value| {
        let tests =
            json!([{"field": "company.industry", "comparator": "IN", "values": ["software", "retail"]}]);
        let input =
            json!({"audience": made["id"], "tests": tests, "basedOn": based_on, "idempotencyKey": "once"});
        api.attempt("reviseAudience", "ReviseAudienceInput", input, AUDIENCE)
    };
    let revised = revise(mia, json!([told]))["audience"].clone();
    assert_eq!(
        (&revised["current"]["number"], &revised["current"]["size"], &revised["current"]["basedOnFeedback"]),
        (&json!(2), &json!("10"), &json!([told]))
    );
    assert_eq!(revised["versions"].as_array().map(Vec::len), Some(2), "the version before stays");
    assert_eq!(revise(mia, json!([told]))["audience"]["current"]["number"], 2, "the same key has one effect");
    let document = "{ feedback { edges { node { effects { kind key user { key } } } } } }";
    let effects = rob.query(document, json!({}))["feedback"]["edges"][0]["node"]["effects"].clone();
    assert_eq!(effects, json!([{"kind": "AUDIENCE", "key": made["id"], "user": {"key": "mia"}}]));
    let unknown = json!({"audience": made["id"], "tests": of("retail"), "basedOn": ["01a217bd-0000-7000-8000-000000000000"]});
    let unknown = mia.attempt("reviseAudience", "ReviseAudienceInput", unknown, AUDIENCE);
    assert_eq!(unknown["errors"][0]["path"], json!(["input", "basedOn", "0"]));
    let (dir, _) = world.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}
