//! The weekly meeting and the pulse through the public API: an agenda that nobody writes, decisions that stay, and two pictures.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::work::{World, done, refused};

const AGENDA: &str = "query($week: Date) { reviewAgenda(week: $week) { week from to greyCases { id } breaches { key of count } \
    dropReasons { key of count } contentGaps { persona stage } unansweredFeedback { id text } \
    conflictingTouches { channel lead { id } } earlierDecisions { text } review { meetings { decisions { text } } } } }";

fn record(api: &Api, more: Value) -> Value {
    let mut input =
        json!({"attendees": ["mia", "rob"], "decisions": [{"text": "Ask for the budget", "owner": "mia"}]});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let selection =
        "review { week meetings { recordedBy { key } attendees { key } decisions { text owner { key } } } }";
    api.attempt("recordReview", "RecordReviewInput", input, selection)
}

#[test]
fn an_agenda_is_what_happened_and_what_is_open_and_its_decisions_stay() {
    let world = World::start();
    let (mia, rob) = (&world.mia, &world.rob);
    for n in 0..2 {
        let lead = world.mql(&format!("drop{n}@example.test"), json!({}));
        done(rob, "rejectHandoff", &lead, json!({"reason": "NO_BUDGET"}));
    }
    let worked = world.at("SAL", "worked@example.test");
    let touch =
        |channel: &str| json!({"lead": {"id": worked["id"]}, "channel": channel, "content": "newsletter"});
    let input = json!({"touchpoints": [touch("EMAIL"), touch("WEBINAR")]});
    mia.mutate("recordTouchpoints", "RecordTouchpointsInput", input, "leads");
    let told = json!({"kind": "REQUEST", "text": "Stop the newsletter while I talk to them"});
    rob.mutate("postFeedback", "PostFeedbackInput", told, "feedback { id }");
    let agenda = |week: Value| rob.query(AGENDA, json!({"week": week}))["reviewAgenda"].clone();
    let now = agenda(Value::Null);
    assert_eq!(now["dropReasons"], json!([{"key": "NO_BUDGET", "of": "RECYCLED", "count": "2"}]), "{now}");
    assert_eq!(
        now["conflictingTouches"],
        json!([{"channel": "EMAIL", "lead": {"id": worked["id"]}}]),
        "a webinar is the buyer's own"
    );
    assert_eq!(now["unansweredFeedback"][0]["text"], "Stop the newsletter while I talk to them");
    assert_eq!((&now["review"], &now["earlierDecisions"]), (&Value::Null, &json!([])));
    // Another week, of which nothing is known, and which begins on a Monday in the charter's zone.
    let past = agenda(json!("2026-03-05"));
    assert_eq!((&past["week"], &past["dropReasons"]), (&json!("2026-03-02"), &json!([])));
    assert_eq!(
        (&past["from"], &past["to"]),
        (&json!("2026-03-01T23:00:00.000Z"), &json!("2026-03-08T23:00:00.000Z"))
    );
    let spring = agenda(json!("2026-03-29"));
    assert_eq!(
        (&spring["from"], &spring["to"]),
        (&json!("2026-03-22T23:00:00.000Z"), &json!("2026-03-29T22:00:00.000Z")),
        "a week of 167 hours"
    );

    assert_eq!(record(mia, json!({"week": "2026-03-04"}))["review"]["week"], "2026-03-02");
    let this = record(rob, json!({"idempotencyKey": "k"}))["review"].clone();
    assert_eq!(record(rob, json!({"idempotencyKey": "k"}))["review"], this, "the same key has one effect");
    let more = record(rob, json!({"decisions": [{"text": "Retire the newsletter"}]}))["review"].clone();
    assert_eq!(more["meetings"].as_array().map(Vec::len), Some(2), "{more}");
    assert_eq!(
        more["meetings"][0],
        json!({"recordedBy": {"key": "rob"}, "attendees": [{"key": "mia"}, {"key": "rob"}],
            "decisions": [{"text": "Ask for the budget", "owner": {"key": "mia"}}]})
    );
    let now = agenda(Value::Null);
    assert_eq!(now["review"]["meetings"][1]["decisions"], json!([{"text": "Retire the newsletter"}]));
    assert_eq!(
        now["earlierDecisions"],
        json!([{"text": "Ask for the budget"}]),
        "of the last meeting before"
    );
    let weeks = rob.query("{ reviews(first: 2) { week } }", json!({}))["reviews"].clone();
    assert_eq!((weeks.as_array().map(Vec::len), &weeks[1]["week"]), (Some(2), &json!("2026-03-02")));
    for (more, path) in [
        (json!({"attendees": ["mia"]}), "attendees"),
        (json!({"attendees": ["mia", "nobody"]}), "attendees"),
        (json!({"decisions": []}), "decisions"),
        (json!({"decisions": [{"text": " "}]}), "decisions"),
        (json!({"decisions": [{"text": "so", "owner": "nobody"}]}), "decisions"),
    ] {
        let error = record(mia, more.clone())["errors"][0].clone();
        assert_eq!((&error["code"], &error["path"][1]), (&json!("VALIDATION"), &json!(path)), "{more}");
    }
    assert_eq!(record(&world.admin, json!({}))["errors"][0]["code"], "FORBIDDEN");
}

#[test]
fn friction_is_ranked_with_leads_that_show_it() {
    let world = World::start();
    let (mia, rob) = (&world.mia, &world.rob);
    let mut rejected = vec![];
    for n in 0..6 {
        let lead = world.mql(&format!("ctx{n}@example.test"), json!({}));
        done(rob, "rejectHandoff", &lead, json!({"reason": "NO_CONTEXT"}));
        rejected.push(lead["id"].clone());
    }
    let lead = world.mql("icp@example.test", json!({}));
    done(rob, "rejectHandoff", &lead, json!({"reason": "NOT_ICP"}));
    let why = refused(rob, "rejectHandoff", &lead, json!({"reason": "NOT_ICP"}));
    assert!(why["code"].is_string(), "it is rejected once: {why}");
    let document = "query($first: Int!, $to: DateTime) { frictionPoints(first: $first, to: $to) { kind key of count evidence { id } } }";
    let points = mia.query(document, json!({"first": 20}))["frictionPoints"].clone();
    let first = &points[0];
    assert_eq!(
        (&first["kind"], &first["key"], &first["of"], &first["count"]),
        (&json!("REJECTED_HANDOFF"), &json!("NO_CONTEXT"), &json!("RETURNED"), &json!("6")),
        "{points}"
    );
    let evidence: Vec<&Value> =
        first["evidence"].as_array().into_iter().flatten().map(|lead| &lead["id"]).collect();
    assert!(
        evidence.len() == 5 && evidence.iter().all(|id| rejected.contains(id)),
        "the newest five: {points}"
    );
    assert!(!evidence.contains(&&rejected[0]), "not the oldest");
    let drop = points.as_array().into_iter().flatten().find(|one| one["kind"] == "DROP");
    let expected = json!({"kind": "DROP", "key": "NOT_ICP", "of": "DISQUALIFIED", "count": "1", "evidence": [{"id": lead["id"]}]});
    assert_eq!(drop, Some(&expected), "{points}");
    assert_eq!(mia.query(document, json!({"first": 1}))["frictionPoints"].as_array().map(Vec::len), Some(1));
    let before =
        mia.query(document, json!({"first": 20, "to": "2026-01-01T00:00:00Z"}))["frictionPoints"].clone();
    assert_eq!(before, json!([]), "nothing of another window");
}

#[test]
fn marketings_touches_of_leads_that_sales_works_are_found_and_no_others() {
    let world = World::start();
    let (mia, rob) = (&world.mia, &world.rob);
    let worked = world.at("SAL", "worked@example.test");
    let waiting = world.mql("waiting@example.test", json!({}));
    let touch = |lead: &Value, channel: &str, n: u32| json!({"lead": {"id": lead["id"]}, "channel": channel, "content": format!("c{n}")});
    let record = |touches: Value| {
        mia.mutate("recordTouchpoints", "RecordTouchpointsInput", json!({"touchpoints": touches}), "leads");
    };
    record(json!([touch(&worked, "EMAIL", 1), touch(&worked, "DIRECT", 2), touch(&waiting, "EMAIL", 3)]));
    let early = json!([{"lead": {"id": worked["id"]}, "channel": "EMAIL", "content": "early", "occurredAt": "2026-01-01T00:00:00Z"}]);
    record(early);
    record(json!([touch(&worked, "RETARGETING", 4)]));
    let document = "query($first: Int, $after: String) { conflictingTouches(first: $first, after: $after) { edges { node { content channel \
                    workedSince lead { id stage } } } pageInfo { hasNextPage endCursor } } }";
    let page = |first: i32, after: &Value| {
        rob.query(document, json!({"first": first, "after": after}))["conflictingTouches"].clone()
    };
    let all = page(10, &Value::Null);
    let contents: Vec<&Value> =
        all["edges"].as_array().into_iter().flatten().map(|edge| &edge["node"]["content"]).collect();
    assert_eq!(contents, ["c4", "c1"], "{all}");
    assert_eq!(all["edges"][0]["node"]["lead"], json!({"id": worked["id"], "stage": "SAL"}));
    let newest = page(1, &Value::Null);
    assert_eq!(newest["pageInfo"]["hasNextPage"], true);
    let rest = page(1, &newest["pageInfo"]["endCursor"]);
    assert_eq!(
        (&rest["edges"][0]["node"]["content"], &rest["pageInfo"]["hasNextPage"]),
        (&json!("c1"), &json!(false))
    );
    // Once sales let go of it, marketing may turn to it again.
    done(rob, "recycleLead", &worked, json!({"reason": "NO_BUDGET"}));
    record(json!([touch(&worked, "EMAIL", 5)]));
    assert_eq!(page(10, &Value::Null)["edges"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_pulse_shows_where_a_side_thinks_better_of_itself_than_the_other_does() {
    let parties = Parties::start();
    let ada = parties.server.user("ada", "sales");
    let answer = |api: &Api, answers: [i32; 4]| {
        let [knows, delivers, other_knows, other_delivers] = answers;
        let input = json!({"knowsNeeds": knows, "delivers": delivers, "otherKnowsNeeds": other_knows, "otherDelivers": other_delivers});
        let gaps = "gaps { side question ownMeanHundredths otherMeanHundredths gapHundredths }";
        api.attempt(
            "answerPulse",
            "AnswerPulseInput",
            input,
            &format!("pulse {{ month marketingAnswers salesAnswers {gaps} }}"),
        )
    };
    let first = answer(&parties.marketing, [5, 4, 2, 3])["pulse"].clone();
    assert_eq!((&first["marketingAnswers"], &first["gaps"][0]["gapHundredths"]), (&json!("1"), &Value::Null));
    answer(&parties.sales, [1, 1, 1, 1]);
    answer(&parties.sales, [3, 4, 2, 4]);
    let now = answer(&ada, [4, 5, 1, 4])["pulse"].clone();
    assert_eq!(now["salesAnswers"], "2", "who answers again says something else instead");
    assert_eq!(
        now["gaps"],
        json!([
            {"side": "MARKETING", "question": "KNOWS_NEEDS", "ownMeanHundredths": 500, "otherMeanHundredths": 150, "gapHundredths": 350},
            {"side": "MARKETING", "question": "DELIVERS", "ownMeanHundredths": 400, "otherMeanHundredths": 400, "gapHundredths": 0},
            {"side": "SALES", "question": "KNOWS_NEEDS", "ownMeanHundredths": 350, "otherMeanHundredths": 200, "gapHundredths": 150},
            {"side": "SALES", "question": "DELIVERS", "ownMeanHundredths": 450, "otherMeanHundredths": 300, "gapHundredths": 150},
        ])
    );
    let read =
        parties.sales.query("{ perceptionGap { month gaps { gapHundredths } } }", json!({}))["perceptionGap"]
            .clone();
    assert_eq!((read.as_array().map(Vec::len), &read[0]["month"]), (Some(1), &now["month"]));
    let wrong = answer(&ada, [0, 5, 6, 4])["errors"].clone();
    let paths: Vec<&Value> = wrong.as_array().into_iter().flatten().map(|error| &error["path"][1]).collect();
    assert_eq!(paths, ["knowsNeeds", "otherKnowsNeeds"]);
    assert_eq!(answer(&parties.admin, [1, 1, 1, 1])["errors"][0]["code"], "FORBIDDEN");
}
