//! The time that sales spends on leads, through the public API: logged, taken back, and held against what came of it.

use handfast_domain::time::{DAY, HOUR};
use handfast_tests::Api;
use serde_json::{Value, json};

use crate::import::text;
use crate::work::{World, done, look, now};

const ENTRY: &str = "effort { id minutes kind at user { key } cycle leadId withdrawnAt }";

fn log(api: &Api, lead: &Value, minutes: &str, more: Value) -> Value {
    let mut input = json!({"lead": {"id": lead["id"]}, "minutes": minutes, "kind": "RESEARCH"});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    api.attempt("logEffort", "LogEffortInput", input, ENTRY)
}

fn withdraw(api: &Api, id: &Value, more: Value) -> Value {
    let mut input = json!({"effort": id});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    api.attempt("withdrawEffort", "WithdrawEffortInput", input, ENTRY)
}

const EFFORT: &str = "query($by: [Dimension!], $window: WindowInput) { effortBy(by: $by, window: $window) { charter { number } by rowCount \
    poorShareBasisPoints definitions { key } export(format: CSV) total { ...row } rows { ...row } } } \
    fragment row on EffortRow { values others minutes poorMinutes leads shareBasisPoints won revenue { amountMinor currency } minutesPerWin \
    openDeals pipelineValue { amountMinor } }";

fn report(api: &Api, by: &[&str]) -> Value {
    api.query(EFFORT, json!({"by": by}))["effortBy"].clone()
}

/// `values minutes/poor/leads share won:revenue perWin open:pipeline`.
fn told(rows: &Value) -> Vec<String> {
    let word =
        |value: &Value| value.as_str().map_or_else(|| value.to_string().replace("null", "-"), str::to_owned);
    let row = |row: &Value| {
        let values: Vec<String> = row["values"].as_array().into_iter().flatten().map(word).collect();
        let counts = ["minutes", "poorMinutes", "leads"].map(|key| word(&row[key])).join("/");
        format!(
            "{} {counts} {} {}:{} {} {}:{}",
            values.join("|"),
            word(&row["shareBasisPoints"]),
            word(&row["won"]),
            word(&row["revenue"]["amountMinor"]),
            word(&row["minutesPerWin"]),
            word(&row["openDeals"]),
            word(&row["pipelineValue"]["amountMinor"]),
        )
    };
    rows.as_array().into_iter().flatten().map(row).collect()
}

#[test]
fn time_is_held_against_what_came_of_it_and_what_went_to_poor_prospects_is_told() {
    let world = World::start();
    let World { mia, rob, ada, .. } = &world;
    let campaign = json!({"key": "fair", "name": "Fair", "kind": "fair", "channel": "EVENT"});
    mia.mutate("createCampaign", "CreateCampaignInput", campaign, "campaign { id }");
    let lead = |email: &str, more: Value| {
        let mut fair = json!({"campaign": "fair"});
        fair.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        world.mql(email, fair)
    };
    let eur = |minor: &str| json!({"amount": {"amountMinor": minor, "currency": "EUR"}});
    let upto_deal = |lead: &Value, minor: &str| {
        done(rob, "acceptHandoff", lead, json!({}));
        done(rob, "logActivity", lead, json!({"kind": "CALL", "direction": "TWO_WAY"}));
        done(rob, "qualify", lead, json!({"answers": [{"key": "need", "grade": 3}]}));
        done(rob, "recordOpportunity", lead, eur(minor));
    };
    // A deal that was won, and one that waits for time.
    let won = lead("won@example.test", json!({"seniority": "C_LEVEL"}));
    upto_deal(&won, "400000");
    assert_eq!(log(rob, &won, "60", json!({"kind": "MEETING"}))["errors"], json!([]));
    done(rob, "closeWon", &won, eur("380000"));
    let open = lead("open@example.test", json!({"seniority": "C_LEVEL"}));
    upto_deal(&open, "900000");
    // Prospects that sales put aside.
    let poor = lead("poor@example.test", json!({}));
    log(rob, &poor, "90", json!({}));
    done(rob, "rejectHandoff", &poor, json!({"reason": "NOT_ICP"}));
    let dropped = world.mql("dropped@example.test", json!({}));
    log(ada, &dropped, "20", json!({}));
    log(ada, &dropped, "10", json!({}));
    done(rob, "acceptHandoff", &dropped, json!({}));
    done(rob, "dispositionLead", &dropped, json!({"outcome": "RECYCLE", "reason": "NOT_READY"}));
    // A drop out of a deal was worth a try.
    let tried = world.mql("tried@example.test", json!({}));
    upto_deal(&tried, "50000");
    log(rob, &tried, "20", json!({}));
    done(rob, "dispositionLead", &tried, json!({"outcome": "RECYCLE", "reason": "NO_BUDGET"}));

    let by_outcome = report(mia, &["OUTCOME"]);
    let expected = [
        "DISQUALIFIED 90/90/1 4500 0:0 - 0:0",
        "WON 60/0/1 3000 1:380000 60 0:0",
        "RECYCLED 50/30/2 2500 0:0 - 0:0",
        "OPEN 0/0/0 0 0:0 - 1:900000",
    ];
    assert_eq!(told(&by_outcome["rows"]), expected);
    let total = json!([by_outcome["total"]]);
    assert_eq!(told(&total), [" 200/120/4 10000 1:380000 200 1:900000"]);
    assert_eq!(by_outcome["poorShareBasisPoints"], 6_000, "120 of 200 minutes");
    assert_eq!((&by_outcome["charter"]["number"], &by_outcome["rowCount"]), (&json!(1), &json!("4")));
    let keys: Vec<&str> = by_outcome["definitions"]
        .as_array()
        .expect("definitions")
        .iter()
        .map(|one| text(one, "key"))
        .collect();
    assert_eq!(keys, ["EFFORT", "POOR_EFFORT", "EFFORT_PER_WIN", "REVENUE", "OPEN_PIPELINE"]);
    // Better deals get the smaller part: opportunity cost.
    let bands = report(mia, &["SCORE_BAND"]);
    assert_eq!(
        told(&bands["rows"]),
        ["FROM_0 140/120/3 7000 0:0 - 0:0", "FROM_25 60/0/1 3000 1:380000 60 1:900000"]
    );
    let stages = told(&report(mia, &["STAGE"])["rows"]);
    assert!(stages.contains(&"MQL 90/90/1 4500 0:0 - 0:0".to_owned()), "{stages:?}");
    assert!(stages.contains(&"OPPORTUNITY 20/0/1 1000 0:0 - 1:900000".to_owned()), "{stages:?}");
    let reasons = told(&report(mia, &["REASON"])["rows"]);
    assert_eq!(reasons[0], "NOT_ICP 90/90/1 4500 0:0 - 0:0", "{reasons:?}");
    let owners = told(&report(mia, &["OWNER"])["rows"]);
    assert!(owners.contains(&"ada 30/30/1 1500 0:0 - 0:0".to_owned()), "whoever spent it: {owners:?}");
    let campaigns = told(&report(mia, &["CAMPAIGN", "OUTCOME"])["rows"]);
    assert_eq!(campaigns[0], "fair|DISQUALIFIED 90/90/1 4500 0:0 - 0:0", "{campaigns:?}");
    assert!(
        text(&by_outcome, "export").contains("KEY,WON,60,0,1,3000,1,380000,60,0,0,EUR\r\n"),
        "{by_outcome}"
    );

    let document = "{ campaigns { edges { node { key results { leads effort { minutes poorMinutes poorShareBasisPoints } } } } } }";
    let results = mia.query(document, json!({}))["campaigns"]["edges"][0]["node"]["results"].clone();
    let time = json!({"minutes": "150", "poorMinutes": "90", "poorShareBasisPoints": 6_000});
    assert_eq!(results, json!({"leads": "3", "effort": time}));

    let document = "{ drill(figure: {effort: {by: [OUTCOME], values: [\"RECYCLED\"]}}) { edges { node { minutes outcome lead { id } } } } }";
    let rows = mia.query(document, json!({}))["drill"]["edges"].clone();
    let minutes: Vec<&str> =
        rows.as_array().expect("rows").iter().map(|edge| text(&edge["node"], "minutes")).collect();
    assert_eq!(minutes, ["20", "10", "20"], "the entries behind the figure");
}

#[test]
fn an_entry_counts_until_it_is_taken_back_and_belongs_to_the_cycle_of_its_time() {
    let world = World::start();
    let World { mia, rob, ada, admin, .. } = &world;
    let lead = world.mql("entry@example.test", json!({}));
    let first = log(rob, &lead, "30", json!({"kind": "CALL", "idempotencyKey": "once"}));
    let entry = &first["effort"];
    let shown =
        json!([entry["minutes"], entry["kind"], entry["user"]["key"], entry["cycle"], entry["leadId"]]);
    assert_eq!(shown, json!(["30", "CALL", "rob", 1, lead["id"]]), "{first}");
    let same = log(rob, &lead, "30", json!({"kind": "CALL", "idempotencyKey": "once"}));
    assert_eq!(same["effort"]["id"], entry["id"], "once");
    assert_eq!(log(rob, &lead, "5", json!({"dryRun": true})), json!({"effort": null, "errors": []}));
    let spent = |lead: &Value| {
        look(mia, lead, "effort(first: 5) { minutes entries { minutes withdrawnAt } }")["effort"].clone()
    };
    assert_eq!(text(&spent(&lead), "minutes"), "30");

    let now = now(admin);
    let cases = [
        (mia, "5", json!({}), "FORBIDDEN", json!([])),
        (rob, "0", json!({}), "VALIDATION", json!(["input", "minutes"])),
        (rob, "-30", json!({}), "VALIDATION", json!(["input", "minutes"])),
        (rob, "1441", json!({}), "VALIDATION", json!(["input", "minutes"])),
        (rob, "5", json!({"at": now.plus(3 * DAY).to_string()}), "VALIDATION", json!(["input", "at"])),
        (rob, "5", json!({"lead": {"email": "nobody@example.test"}}), "NOT_FOUND", json!(["input", "lead"])),
    ];
    for (who, minutes, more, code, path) in cases {
        let error = log(who, &lead, minutes, more.clone())["errors"][0].clone();
        let found = error["path"].as_array().cloned().unwrap_or_default();
        assert_eq!((&error["code"], json!(found)), (&json!(code), path), "{minutes} {more}: {error}");
    }

    assert_eq!(withdraw(ada, &entry["id"], json!({}))["errors"][0]["code"], "FORBIDDEN", "it is Rob's");
    assert_eq!(withdraw(rob, &entry["id"], json!({"dryRun": true}))["effort"]["withdrawnAt"], json!(null));
    let back = withdraw(rob, &entry["id"], json!({"idempotencyKey": "back"}));
    assert!(back["effort"]["withdrawnAt"].is_string(), "{back}");
    assert_eq!(withdraw(rob, &entry["id"], json!({"idempotencyKey": "back"}))["errors"], json!([]));
    assert_eq!(withdraw(rob, &entry["id"], json!({}))["errors"][0]["code"], "ILLEGAL_TRANSITION");
    let left = spent(&lead);
    assert_eq!((text(&left, "minutes"), left["entries"].as_array().map(Vec::len)), ("0", Some(1)), "{left}");
    assert_eq!(report(mia, &[])["total"]["minutes"], "0");

    // The second cycle has its own time; what is told late belongs to the first.
    done(rob, "rejectHandoff", &lead, json!({"reason": "NOT_ICP"}));
    done(rob, "reopenLead", &lead, json!({"reason": "they called"}));
    assert_eq!(log(rob, &lead, "7", json!({}))["effort"]["cycle"], 2);
    let early = log(rob, &lead, "8", json!({"at": now.plus(-HOUR).to_string()}))["effort"].clone();
    assert_eq!(early["cycle"], 1, "{early}");

    // A duplicate's time goes on with its lead; nobody logs time for what is gone.
    let input = json!({"lead": {"phone": "+4930998877"}});
    let duplicate = mia.mutate("captureLead", "CaptureLeadInput", input, "lead { id }")["lead"].clone();
    log(rob, &duplicate, "11", json!({}));
    let input = json!({"lead": {"id": lead["id"]}, "duplicate": {"id": duplicate["id"]}});
    let merged = mia.attempt("mergeLeads", "MergeLeadsInput", input, "lead { id }");
    assert_eq!(merged["errors"], json!([]), "{merged}");
    assert_eq!(text(&spent(&lead), "minutes"), "26");
    assert_eq!(log(rob, &duplicate, "5", json!({}))["errors"][0]["code"], "ILLEGAL_TRANSITION");
    assert_eq!(report(mia, &[])["total"]["minutes"], "26");
}
