//! What is lost at the hand-off, and whether signed criteria still tell whom sales accepts, through the public API.

use serde_json::{Value, json};

use crate::funnel::story;
use crate::import::text;
use crate::work::{World, done};

#[test]
fn what_leaks_at_the_hand_off_is_counted_by_reason_and_worth_what_accepted_ones_brought() {
    let world = World::start();
    story(&world);
    let document = "{ handoffLeakage { offered accepted leaked leakedBasisPoints perAccepted { amountMinor currency } export(format: CSV) \
        rows { status reason handoffs shareBasisPoints value { amountMinor } } definitions { key meaning } } }";
    let found = world.admin.query(document, json!({}))["handoffLeakage"].clone();
    let totals = ["offered", "accepted", "leaked"].map(|key| text(&found, key));
    assert_eq!((totals, &found["leakedBasisPoints"]), (["8", "5", "1"], &json!(1_250)), "{found}");
    // One deal of 9,900 euros in five accepted hand-offs.
    assert_eq!(found["perAccepted"], json!({"amountMinor": "198000", "currency": "EUR"}));
    let rows: Vec<String> = found["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {}",
                text(row, "status"),
                row["reason"].as_str().unwrap_or("-"),
                text(row, "handoffs"),
                text(&row["value"], "amountMinor")
            )
        })
        .collect();
    assert_eq!(rows, ["ACCEPTED - 5 0", "PENDING - 2 0", "REJECTED NOT_ICP 1 198000"]);
    assert!(text(&found, "export").contains("REJECTED,NOT_ICP,1,1250,198000,EUR\r\n"), "{found}");
    assert_eq!(found["definitions"][0]["key"], "HANDOFF_LEAKAGE");
}

#[test]
fn a_signed_criterion_that_no_longer_tells_whom_sales_accepts_is_found() {
    let world = World::start();
    let World { mia, rob, admin, .. } = &world;
    let field = |key: &str, field: &str, values: Value, comparator: &str| {
        let test = json!({"field": field, "comparator": comparator, "values": values});
        json!({"key": key, "text": format!("{key} holds"), "required": false, "test": test})
    };
    world.agree(|body| {
        let stages = body["stages"].as_array_mut().expect("stages");
        let mql = stages.iter_mut().find(|stage| stage["kind"] == "MQL").expect("the stage MQL");
        mql["entry"] = json!([
            field("title", "contact.title", json!([]), "KNOWN"),
            field("country", "contact.country", json!(["DE"]), "EQ"),
            field("consent", "contact.consent", json!(["true"]), "EQ"),
        ]);
    });
    // Of 72 leads half have a title and half are from Germany; sales accepts five in six with a title, one in six without.
    let leads: Vec<Value> = (0..72)
        .map(|number| {
            let mut lead = json!({"email": format!("drift-{number}@example.test"), "consent": true});
            if number % 2 == 0 {
                lead["title"] = json!("Head of it");
            }
            lead["country"] = json!(if number % 4 < 2 { "DE" } else { "FR" });
            lead
        })
        .collect();
    let document = "mutation($leads: [LeadInput!]!) { captureLeads(input: {leads: $leads}) { results { lead { id stage } errors { message } } errors { message } } }";
    let captured = mia.query(document, json!({"leads": leads}))["captureLeads"].clone();
    let (mut accepted_missing, mut rejected_meeting, mut accepted) = (0, 0, 0);
    for (number, result) in captured["results"].as_array().expect("results").iter().enumerate() {
        let lead = &result["lead"];
        assert_eq!(lead["stage"], "MQL", "{result}");
        let titled = number % 2 == 0;
        let takes = (number / 2 % 6 == 0) != titled;
        let meets_all = titled && number % 4 < 2;
        match takes {
            true => drop(done(rob, "acceptHandoff", lead, json!({}))),
            false => drop(done(rob, "rejectHandoff", lead, json!({"reason": "NOT_ICP"}))),
        }
        accepted += i64::from(takes);
        accepted_missing += i64::from(takes && !meets_all);
        rejected_meeting += i64::from(!takes && meets_all);
    }
    // One more is returned for want of context, which is no word about it.
    let returned = world.mql("returned@example.test", json!({}));
    done(rob, "rejectHandoff", &returned, json!({"reason": "NO_CONTEXT"}));
    let document = "{ definitionDrift { charter { number signed } accepted rejected acceptedMissing rejectedMeetingAll withoutCriteria export(format: CSV) \
        criteria { key text required met metAccepted missed missedAccepted differenceBasisPoints low high prediction } definitions { key origin } } }";
    let found = admin.query(document, json!({}))["definitionDrift"].clone();
    let totals = ["accepted", "rejected", "acceptedMissing", "rejectedMeetingAll", "withoutCriteria"]
        .map(|key| text(&found, key).to_owned());
    let expected =
        [accepted, 72 - accepted, accepted_missing, rejected_meeting, 0].map(|count: i64| count.to_string());
    assert_eq!(totals, expected, "{found}");
    let criteria: Vec<String> = found["criteria"]
        .as_array()
        .expect("criteria")
        .iter()
        .map(|one| {
            format!(
                "{} {} {}/{} {}/{}",
                text(one, "key"),
                text(one, "prediction"),
                text(one, "metAccepted"),
                text(one, "met"),
                text(one, "missedAccepted"),
                text(one, "missed")
            )
        })
        .collect();
    assert_eq!(
        criteria,
        ["country NO_LONGER 18/36 18/36", "title PREDICTS 30/36 6/36", "consent TOO_FEW 36/72 0/0"]
    );
    let title = &found["criteria"][1];
    assert_eq!(title["differenceBasisPoints"], 6_667);
    assert!(title["low"].as_i64() > Some(4_000) && title["high"].as_i64() < Some(8_500), "{title}");
    assert!(text(&found["definitions"][0], "origin").contains("Newcombe"), "{found}");
    assert!(text(&found, "export").contains("title,false,36,30,36,6,6667,"), "{found}");
    assert_eq!(found["charter"]["number"], 2);
}
