//! Content through the public API: found for a lead, seen by it, missing for a persona, and part of wins.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::feedback::with_persona;
use crate::work::{World, done, look};

fn register(api: &Api, key: &str, more: Value) -> Value {
    let mut input = json!({"key": key, "title": format!("The {key}"), "kind": "paper"});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let selection = "content { id key title kind url personas stages retiredAt contributors { key side } }";
    api.attempt("registerContent", "RegisterContentInput", input, selection)
}

fn registered(api: &Api, key: &str, more: Value) -> Value {
    let payload = register(api, key, more);
    assert_eq!(payload["errors"], json!([]), "{key}");
    payload["content"].clone()
}

fn send(api: &Api, lead: &Value, content: &Value) -> Value {
    let input = json!({"lead": {"id": lead["id"]}, "content": content["id"]});
    api.attempt("recordContentUse", "RecordContentUseInput", input, "content { key uses }")
}

const BUYER: &str = "buyer";

/// A world whose charter knows a persona: whoever is of the C level.
fn world() -> World {
    let world = World::start();
    world.agree(|body| {
        body["personas"] = json!([{"key": BUYER, "name": "Buyer", "pains": [],
            "traits": [{"key": "chief", "weight": 1,
                "test": {"field": "contact.seniority", "comparator": "EQ", "values": ["C_LEVEL"]}}],
            "stageProfiles": [{"stage": "MQL", "channels": [], "contentKinds": ["calculator"], "questions": []}]}]);
    });
    world
}

#[test]
fn what_fits_a_lead_comes_first_and_what_it_has_seen_comes_later() {
    let world = world();
    let (mia, rob) = (&world.mia, &world.rob);
    let best = registered(mia, "roi", json!({"kind": "calculator", "personas": [BUYER], "stages": ["MQL"]}));
    registered(mia, "case", json!({"personas": [BUYER], "stages": ["SAL"]}));
    registered(mia, "brochure", json!({}));
    registered(mia, "contract", json!({"stages": ["OPPORTUNITY"]}));
    let lead = world.mql("fit@example.test", json!({"seniority": "C_LEVEL", "content": "brochure"}));
    let matches = |lead: &Value| {
        let document =
            "query($lead: LeadRef!) { contentFor(lead: $lead) { content { key } points reasons } }";
        rob.query(document, json!({"lead": {"id": lead["id"]}}))["contentFor"].clone()
    };
    assert_eq!(
        matches(&lead),
        json!([
            {"content": {"key": "roi"}, "points": 90, "reasons": ["PERSONA", "STAGE", "WANTED_KIND", "NOT_SEEN"]},
            {"content": {"key": "case"}, "points": 65, "reasons": ["PERSONA", "NEXT_STAGE", "NOT_SEEN"]},
            {"content": {"key": "brochure"}, "points": 30, "reasons": ["ANY_PERSONA", "ANY_STAGE", "SEEN"]},
        ]),
        "a contract is for later"
    );
    let other = world.mql("other@example.test", json!({}));
    let keys = matches(&other);
    assert_eq!(keys[0]["content"]["key"], "brochure", "what is made for others is left out: {keys}");
    assert_eq!(keys.as_array().map(Vec::len), Some(1), "{keys}");

    assert_eq!(send(rob, &lead, &best)["content"], json!({"key": "roi", "uses": "1"}));
    assert_eq!(send(mia, &lead, &best)["errors"][0]["code"], "FORBIDDEN", "sales sends");
    let rated = json!({"subject": "CONTENT", "id": best["id"], "stars": 5});
    rob.mutate("rate", "RateInput", rated, "ratings { count }");
    let after = matches(&lead);
    let reasons = json!(["PERSONA", "STAGE", "WANTED_KIND", "SEEN", "WELL_RATED"]);
    assert_eq!(after[0], json!({"content": {"key": "roi"}, "points": 85, "reasons": reasons}));

    let seen = look(
        rob,
        &lead,
        "all: contentSeen { key stage sent content { title } } early: contentSeen(stage: INQUIRY) { key }",
    );
    let found: Vec<(&Value, &Value)> =
        seen["all"].as_array().into_iter().flatten().map(|one| (&one["key"], &one["sent"])).collect();
    assert_eq!(found, [(&json!("roi"), &json!(true)), (&json!("brochure"), &json!(false))], "{seen}");
    assert_eq!(seen["all"][0]["stage"], "MQL");
    assert_eq!(seen["all"][0]["content"], json!({"title": "The roi"}));
}

#[test]
fn content_counts_what_was_sent_and_the_wins_that_saw_it() {
    let world = world();
    let (mia, rob) = (&world.mia, &world.rob);
    let sent = registered(mia, "sent", json!({}));
    registered(mia, "touched", json!({}));
    registered(mia, "unused", json!({}));
    let won = world.at("OPPORTUNITY", "won@example.test");
    let lost = world.at("OPPORTUNITY", "lost@example.test");
    for lead in [&won, &lost] {
        assert_eq!(send(rob, lead, &sent)["errors"], json!([]));
        // What was sent and touched, too, is one win.
        let touch =
            |content: &str| json!({"lead": {"id": lead["id"]}, "channel": "CONTENT", "content": content});
        let input =
            json!({"touchpoints": [touch("sent"), touch("touched"), touch("touched"), touch("nothing")]});
        mia.mutate("recordTouchpoints", "RecordTouchpointsInput", input, "leads");
    }
    let amount = json!({"amount": {"amountMinor": "250000", "currency": "EUR"}});
    done(rob, "closeWon", &won, amount);
    done(rob, "closeLost", &lost, json!({"reason": "NO_BUDGET"}));
    // After the win nothing counts any more.
    let late =
        json!({"touchpoints": [{"lead": {"id": won["id"]}, "channel": "CONTENT", "content": "unused"}]});
    mia.mutate("recordTouchpoints", "RecordTouchpointsInput", late, "leads");
    let document = "{ contentAssets { edges { node { key uses influencedWins ratings { count } } } } \
                    contentAsset(key: \"sent\") { uses influencedWins ratings { count } } }";
    let found = rob.query(document, json!({}));
    let of: Vec<Value> = found["contentAssets"]["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|edge| edge["node"].clone())
        .collect();
    let none = json!({"count": "0"});
    assert_eq!(
        of,
        [
            json!({"key": "unused", "uses": "0", "influencedWins": "0", "ratings": none}),
            json!({"key": "touched", "uses": "0", "influencedWins": "1", "ratings": none}),
            json!({"key": "sent", "uses": "2", "influencedWins": "1", "ratings": none}),
        ]
    );
    assert_eq!(
        found["contentAsset"],
        json!({"uses": "2", "influencedWins": "1", "ratings": none}),
        "alone as together"
    );
    let seen = look(rob, &won, "contentSeen(first: 200) { key content { key } }");
    let strange = seen["contentSeen"].as_array().into_iter().flatten().find(|one| one["key"] == "nothing");
    assert_eq!(strange, Some(&json!({"key": "nothing", "content": null})), "{seen}");
}

#[test]
fn a_gap_is_seen_asked_for_and_filled_with_both_sides_as_contributors() {
    let parties = Parties::start();
    let (sales, marketing) = (&parties.sales, &parties.marketing);
    with_persona(&parties);
    let cell = || {
        let document = "{ contentMatrix { persona stage gap missingKinds openRequests assets { key } } }";
        let cells = sales.query(document, json!({}))["contentMatrix"].clone();
        let stages: Vec<&Value> = cells.as_array().into_iter().flatten().map(|cell| &cell["stage"]).collect();
        assert_eq!(stages, ["INQUIRY", "IQL", "MQL", "SAL", "SQL", "OPPORTUNITY"]);
        cells[0].clone()
    };
    let empty = json!({"persona": BUYER, "stage": "INQUIRY", "gap": true, "missingKinds": ["calculator"], "openRequests": "0", "assets": []});
    assert_eq!(cell(), empty);
    let request = "request { id status objection user { key } content { key contributors { key } } reason closedBy { key } }";
    let ask = |api: &Api, persona: &str| {
        let input = json!({"persona": persona, "stage": "INQUIRY", "objection": "What does it save us?"});
        api.attempt("requestContent", "RequestContentInput", input, request)
    };
    assert_eq!(ask(marketing, BUYER)["errors"][0]["code"], "FORBIDDEN");
    assert_eq!(ask(sales, "nobody")["errors"][0]["path"], json!(["input", "persona"]));
    let asked = ask(sales, BUYER)["request"].clone();
    assert_eq!((&asked["status"], &asked["user"]["key"]), (&json!("OPEN"), &json!("saul")));
    assert_eq!(cell()["openRequests"], "1");
    // A paper is no calculator: what the persona wants is missing still.
    registered(marketing, "paper", json!({"personas": [BUYER], "stages": ["INQUIRY"]}));
    assert_eq!((&cell()["gap"], &cell()["assets"]), (&json!(true), &json!([{"key": "paper"}])));
    let roi = registered(
        marketing,
        "roi",
        json!({"kind": "calculator", "personas": [BUYER], "contributors": ["mara"]}),
    );
    let input = json!({"request": asked["id"], "content": roi["id"]});
    let fulfilled = marketing.attempt(
        "fulfilContentRequest",
        "FulfilContentRequestInput",
        input.clone(),
        request,
    )["request"]
        .clone();
    assert_eq!(
        (&fulfilled["status"], &fulfilled["content"], &fulfilled["closedBy"]["key"]),
        (
            &json!("FULFILLED"),
            &json!({"key": "roi", "contributors": [{"key": "mara"}, {"key": "saul"}]}),
            &json!("mara")
        )
    );
    let again = marketing.attempt("fulfilContentRequest", "FulfilContentRequestInput", input, request);
    assert_eq!(again["errors"][0]["code"], "CONTENT_REQUEST_STATE");
    let filled = cell();
    assert_eq!(
        (&filled["gap"], &filled["missingKinds"], &filled["openRequests"]),
        (&json!(false), &json!([]), &json!("0"))
    );
    let other = ask(sales, BUYER)["request"].clone();
    let input = json!({"request": other["id"], "reason": "There is one already"});
    let declined = marketing.mutate("declineContentRequest", "DeclineContentRequestInput", input, request);
    assert_eq!(declined["request"]["reason"], "There is one already");
    let document = "{ open: contentRequests(status: OPEN) { edges { node { id } } } \
                    all: contentRequests(persona: \"buyer\", stage: INQUIRY) { edges { node { status } } } }";
    let listed = marketing.query(document, json!({}));
    assert_eq!(listed["open"]["edges"], json!([]));
    assert_eq!(
        listed["all"]["edges"],
        json!([{"node": {"status": "DECLINED"}}, {"node": {"status": "FULFILLED"}}])
    );
    let (dir, _) = parties.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}

#[test]
fn content_is_edited_retired_and_offered_again_and_what_is_wrong_is_told_where() {
    let parties = Parties::start();
    let (sales, marketing) = (&parties.sales, &parties.marketing);
    let paper = registered(marketing, "paper", json!({"url": "https://example.test/paper"}));
    assert_eq!(register(marketing, "paper", json!({}))["errors"][0]["code"], "ALREADY_EXISTS");
    assert_eq!(register(sales, "deck", json!({}))["errors"][0]["code"], "FORBIDDEN");
    for (key, more, path) in [
        ("No key", json!({}), "key"),
        ("deck", json!({"title": ""}), "title"),
        ("deck", json!({"kind": "Case Study"}), "kind"),
        ("deck", json!({"url": "javascript:alert(1)"}), "url"),
        ("deck", json!({"url": "https://example.test/a b"}), "url"),
        ("deck", json!({"personas": ["nobody"]}), "personas"),
        ("deck", json!({"contributors": ["nobody"]}), "contributors"),
    ] {
        let error = register(marketing, key, more.clone())["errors"][0].clone();
        assert_eq!((&error["code"], &error["path"][1]), (&json!("VALIDATION"), &json!(path)), "{more}");
    }
    let edit = |more: Value| {
        let mut input = json!({"content": paper["id"]});
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let selection = "content { title url stages retiredAt }";
        marketing.mutate("updateContent", "UpdateContentInput", input, selection)["content"].clone()
    };
    let edited = edit(json!({"title": "Another", "url": null, "stages": ["SAL"]}));
    assert_eq!(edited, json!({"title": "Another", "url": null, "stages": ["SAL"], "retiredAt": null}));
    let retired = edit(json!({"retired": true}));
    assert!(retired["retiredAt"].is_string() && retired["title"] == "Another", "{retired}");
    let listed = |arguments: &str| {
        let document = format!("{{ contentAssets{arguments} {{ edges {{ node {{ key }} }} }} }}");
        sales.query(&document, json!({}))["contentAssets"]["edges"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((listed(""), listed("(retired: true)")), (0, 1));
    assert_eq!(edit(json!({"retired": false}))["retiredAt"], Value::Null);
    assert_eq!(listed(""), 1);
}
