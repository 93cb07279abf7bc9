//! What was learned of a lead at which stage, and what it did of late, through the public API.

use handfast_domain::time::{DAY, Instant};
use handfast_tests::Api;
use serde_json::{Value, json};

use crate::work::{World, done, look, now};

const INSIGHT: &str = "kind key value source evidence times stage observedAt";

fn insights(api: &Api, lead: &Value, arguments: &str) -> Vec<Value> {
    let found = look(api, lead, &format!("insights{arguments} {{ {INSIGHT} }}"))["insights"].clone();
    found.as_array().cloned().unwrap_or_default()
}

fn told(found: &[Value]) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line =
        |one: &Value| ["kind", "key", "value", "source", "stage"].map(|part| word(&one[part])).join(" ");
    found.iter().map(line).collect()
}

fn touch(api: &Api, lead: &Value, channel: &str, more: Value) {
    let mut touch = json!({"lead": {"id": lead["id"]}, "channel": channel});
    touch.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let input = json!({"touchpoints": [touch]});
    api.mutate("recordTouchpoints", "RecordTouchpointsInput", input, "leads");
}

#[test]
fn insight_gathers_stage_by_stage_from_what_both_sides_saw() {
    let world = World::start();
    world.agree(|body| {
        body["personas"] = json!([{"key": "buyer", "name": "Buyer", "pains": [], "stageProfiles": [],
            "traits": [{"key": "chief", "weight": 1,
                "test": {"field": "contact.seniority", "comparator": "EQ", "values": ["C_LEVEL"]}}]}]);
    });
    let input = json!({"key": "seats", "kind": "INTEGER", "meaning": "How many they are"});
    world.admin.mutate("defineTrait", "DefineTraitInput", input, "definition { key }");
    let traits = json!([{"key": "seats", "value": "20"}]);
    let lead = world.mia.mutate(
        "captureLead",
        "CaptureLeadInput",
        json!({"lead": {"email": "me@insight.test", "source": "website", "traits": traits, "content": "brochure",
            "seniority": "C_LEVEL", "channel": "CONTENT"}}),
        "lead { id stage }",
    )["lead"]
        .clone();
    assert_eq!(lead["stage"], "MQL", "a chief scores enough: {lead}");
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    let call = json!({"kind": "CALL", "direction": "TWO_WAY", "note": "They compare three vendors"});
    done(&world.rob, "logActivity", &lead, call);
    touch(&world.mia, &lead, "DIRECT", json!({"content": "pricing"}));
    touch(&world.mia, &lead, "DIRECT", json!({"content": "pricing"}));
    let about = json!({"kind": "INSIGHT", "about": {"lead": lead["id"]}, "text": "Security decides"});
    world.rob.mutate("postFeedback", "PostFeedbackInput", about, "feedback { id }");
    let need = json!({"key": "need", "grade": 3, "evidence": "They lose two days a week"});
    done(&world.rob, "qualify", &lead, json!({"answers": [need]}));

    let at = |stage: &str| told(&insights(&world.mia, &lead, &format!("(stage: {stage})")));
    let before = at("MQL");
    for line in [
        "TRAIT seats 20 website MQL",
        "CONTENT brochure brochure CONTENT MQL",
        "PERSONA buyer matches buyer charter MQL",
    ] {
        assert!(before.contains(&line.to_owned()), "{line}: {before:?}");
    }
    assert!(before.iter().any(|line| line.starts_with("REASON ") && line.ends_with("mql MQL")), "{before:?}");
    let accepted = at("SAL");
    for line in [
        "NOTE CALL They compare three vendors rob SAL",
        "INTENT pricing pricing DIRECT SAL",
        "FEEDBACK INSIGHT Security decides SALES SAL",
    ] {
        assert!(accepted.contains(&line.to_owned()), "{line}: {accepted:?}");
    }
    let all = insights(&world.rob, &lead, "");
    let intent = all.iter().find(|one| one["kind"] == "INTENT").expect("an act of intent");
    assert_eq!(intent["times"], 2, "the same at the same stage counts once: {intent}");
    let answer = all.iter().find(|one| one["kind"] == "ANSWER").expect("an answer");
    assert_eq!(
        (&answer["key"], &answer["value"], &answer["evidence"]),
        (&json!("need"), &json!("3 of 4"), &json!("They lose two days a week"))
    );
    let up_to = insights(&world.rob, &lead, "(stage: SAL, upTo: true)");
    assert_eq!(up_to.len(), before.len() + accepted.len());
    assert_eq!(insights(&world.rob, &lead, "(first: 1)").len(), 1);
    // The reasons are those of the packet that sales got.
    let packet = look(&world.rob, &lead, "handoff { packet { insights { code } } }");
    let code = packet["handoff"]["packet"]["insights"][0]["code"].as_str().unwrap_or_default().to_owned();
    assert!(before.iter().any(|line| line.starts_with(&format!("REASON {code} "))), "{packet} {before:?}");
    let document = "query($by: LeadRef!) { lead(by: $by) { insights(first: 201) { key } } }";
    let error = world.rob.error(document, json!({"by": {"id": lead["id"]}}));
    assert_eq!(error["extensions"]["code"], "PAGE_SIZE");
}

const SUMMARY: &str = "touches touchesBefore trend lastAt daysSinceLast conversations whole daysSinceIntent \
    channels { channel touches touchesBefore trend } content { stage content { key times } } topics { kind touches } \
    campaigns { campaign { key } touches } intent { content at }";

#[test]
fn a_summary_says_what_a_lead_cares_about_and_whether_it_does_more_than_before() {
    let world = World::start();
    for (key, kind) in [("calculator", "tool"), ("brochure", "paper"), ("pricing", "page")] {
        let input = json!({"key": key, "title": key, "kind": kind});
        world.mia.mutate("registerContent", "RegisterContentInput", input, "content { key }");
    }
    let input = json!({"key": "spring", "name": "Spring", "kind": "mailing", "channel": "EMAIL"});
    world.mia.mutate("createCampaign", "CreateCampaignInput", input, "campaign { key }");
    let lead = world.mql("me@behaviour.test", json!({}));
    let today = now(&world.rob);
    let ago = |days: i64| today.plus(-days * DAY);
    for (days, channel, content) in [
        (50, "EMAIL", "brochure"),
        (40, "EMAIL", "brochure"),
        (35, "WEBINAR", "calculator"),
        (20, "EMAIL", "brochure"),
        (10, "EMAIL", "calculator"),
        (9, "DIRECT", "calculator"),
        (3, "DIRECT", "pricing"),
    ] {
        let campaign = if channel == "EMAIL" { json!("spring") } else { Value::Null };
        let more = json!({"content": content, "occurredAt": ago(days).to_string(), "campaign": campaign});
        touch(&world.mia, &lead, channel, more);
    }
    done(&world.rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY"}));
    done(&world.rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "OUTBOUND"}));
    // The capture itself is a touch of today, which the window leaves out.
    let window = |from: Instant, to: Instant| {
        let arguments = format!("(window: {{from: \"{from}\", to: \"{to}\"}})");
        look(&world.rob, &lead, &format!("behaviourSummary{arguments} {{ {SUMMARY} }}"))["behaviourSummary"]
            .clone()
    };
    let found = window(ago(30), ago(1));
    assert_eq!(
        (&found["touches"], &found["touchesBefore"], &found["trend"], &found["whole"]),
        (&json!(4), &json!(3), &json!("RISING"), &json!(true)),
        "{found}"
    );
    assert_eq!((&found["lastAt"], &found["daysSinceLast"]), (&json!(ago(3).to_string()), &json!(2)));
    assert_eq!(
        found["channels"],
        json!([{"channel": "DIRECT", "touches": 2, "touchesBefore": 0, "trend": "NEW"},
            {"channel": "EMAIL", "touches": 2, "touchesBefore": 2, "trend": "STEADY"},
            {"channel": "WEBINAR", "touches": 0, "touchesBefore": 1, "trend": "SILENT"}])
    );
    assert_eq!(
        found["topics"],
        json!([{"kind": "tool", "touches": 2}, {"kind": "page", "touches": 1}, {"kind": "paper", "touches": 1}])
    );
    assert_eq!(found["campaigns"], json!([{"campaign": {"key": "spring"}, "touches": 2}]));
    assert_eq!(found["intent"], json!([{"content": "pricing", "at": ago(3).to_string()}]));
    assert_eq!((&found["daysSinceIntent"], &found["conversations"]), (&json!(2), &json!(0)));
    assert_eq!(found["content"][0]["content"][0], json!({"key": "calculator", "times": 2}));
    let usual =
        look(&world.rob, &lead, &format!("behaviourSummary {{ {SUMMARY} }}"))["behaviourSummary"].clone();
    assert_eq!(
        (&usual["touches"], &usual["conversations"]),
        (&json!(5), &json!(1)),
        "the last 30 days: {usual}"
    );
    let quiet = window(ago(300), ago(200));
    assert_eq!((&quiet["trend"], &quiet["lastAt"]), (&json!("NOTHING"), &Value::Null));
    let document = "query($by: LeadRef!) { lead(by: $by) { behaviourSummary(window: {from: \"2026-01-02T00:00:00Z\", \
                    to: \"2026-01-01T00:00:00Z\"}) { touches } } }";
    let error = world.rob.error(document, json!({"by": {"id": lead["id"]}}));
    assert_eq!(error["extensions"]["code"], "VALIDATION");
}
