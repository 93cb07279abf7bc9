//! Attribution through the public API: paths of real touches give the figures of others, credits add up to the deals in every
//! model, and no euro stands with two departments.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::time::{DAY, HOUR, Instant};
use handfast_tests::{Api, Server, data, eventually};
use serde_json::{Value, json};

use crate::import::{import, long, read, run, start, table, text};
use crate::work::{World, act, done, now};

const MODELS: [&str; 8] = [
    "FIRST_TOUCH",
    "LAST_TOUCH",
    "LAST_NON_DIRECT",
    "LINEAR",
    "TIME_DECAY",
    "U_SHAPED",
    "W_SHAPED",
    "FULL_PATH",
];

const REPORT: &str = "\
    query($by: AttributionBy!, $models: [AttributionModel!], $from: DateTime, $to: DateTime, $first: Int! = 200) { \
    attribution(by: $by, models: $models, from: $from, to: $to) { \
    by deals withoutAmount untouched revenue { amountMinor currency } untouchedRevenue { amountMinor } \
    charter { number signed } definition { version lookBackDays halfLifeDays path money } \
    rows(first: $first) { key campaign { key } credits { model conversions revenue { amountMinor } } } \
    others(beyond: $first) { model conversions revenue { amountMinor } } } }";

fn report(api: &Api, variables: Value) -> Value {
    api.query(REPORT, variables)["attribution"].clone()
}

/// What a model credits to a key: conversions, and cents.
fn credit(report: &Value, key: Value, model: &str) -> (String, i64) {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key} in {report}"));
    let credits = row["credits"].as_array().expect("credits");
    let found = credits.iter().find(|credit| credit["model"] == model).expect("the model");
    (text(found, "conversions").to_owned(), long(&found["revenue"]["amountMinor"]))
}

/// Millionths.
fn exact(decimal: &str) -> i64 {
    let (whole, rest) = decimal.split_once('.').expect("six places");
    assert_eq!(rest.len(), 6, "{decimal}");
    format!("{whole}{rest}").parse().expect("a number")
}

/// In each model, rows, others and untouched deals are all deals.
fn adds_up(report: &Value) {
    let rows = report["rows"].as_array().expect("rows");
    let lists: Vec<&Value> = rows.iter().map(|row| &row["credits"]).chain([&report["others"]]).collect();
    for place in 0..report["others"].as_array().expect("others").len() {
        let money = lists.iter().map(|list| long(&list[place]["revenue"]["amountMinor"])).sum::<i64>();
        let all = long(&report["revenue"]["amountMinor"]) - long(&report["untouchedRevenue"]["amountMinor"]);
        assert_eq!(money, all, "{} in {report}", lists[0][place]["model"]);
        let sum = lists.iter().map(|list| exact(text(&list[place], "conversions"))).sum::<i64>();
        let deals = (long(&report["deals"]) - long(&report["untouched"])) * 1_000_000;
        // Each row is rounded once for display.
        assert!((sum - deals).abs() <= lists.len() as i64, "{sum} of {deals} in {report}");
    }
}

const ROWS: &str = "\
    query($by: AttributionBy!, $key: String, $model: AttributionModel!, $from: DateTime, $to: DateTime, $first: Int, $after: String, $untouched: Boolean! = false) { \
    attributedDeals(by: $by, key: $key, model: $model, from: $from, to: $to, first: $first, after: $after, untouched: $untouched) { \
    edges { node { cycle wonAt conversions credit { amountMinor } amount { amountMinor } lead { id } \
    touchCount touches { at activity user { key } touchpoint { source channel } conversions credit { amountMinor } } } } \
    pageInfo { hasNextPage endCursor } } }";

/// Every deal behind a figure, some at a time.
fn behind(api: &Api, figure: &Value, first: i64) -> Vec<Value> {
    let (mut found, mut after) = (vec![], Value::Null);
    loop {
        let mut variables = figure.clone();
        (variables["first"], variables["after"]) = (json!(first), after);
        let page = api.query(ROWS, variables)["attributedDeals"].clone();
        found.extend(page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()));
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return found;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// Rows are touches of customers; a conversion is a win, and shows the interest that opens the next cycle of one who is a
/// customer already.
pub fn touches() -> Value {
    let channels = json!({"Facebook": "PAID_SOCIAL", "Paid Search": "PAID_SEARCH", "Instagram": "ORGANIC_SOCIAL",
        "Online Video": "CONTENT", "Online Display": "DISPLAY", "Direct": "DIRECT"});
    let content =
        json!({"column": "interaction", "values": {"conversion": "demo-request", "impression": "banner"}});
    json!({
        "system": "paths", "id": "customer_id", "touches": true, "occurredAt": {"column": "time"},
        "lead": {"channel": {"column": "channel", "values": channels}, "source": "channel", "content": content},
        "ending": {
            "outcome": {"column": "conversion", "missing": ["0"], "values": {"1": "WON"}},
            "at": {"column": "time"}, "amount": "conversion_value",
        },
    })
}

/// Conversion credits by channel, computed anew in floating point, for all models.
fn expected(rows: &[BTreeMap<String, String>]) -> BTreeMap<(String, &'static str), f64> {
    let at = |row: &BTreeMap<String, String>| Instant::parse(&row["time"]).expect("an instant").ms();
    let mut customers: BTreeMap<&str, Vec<&BTreeMap<String, String>>> = BTreeMap::new();
    for row in rows {
        customers.entry(&row["customer_id"]).or_default().push(row);
    }
    let mut found: BTreeMap<(String, &str), f64> = BTreeMap::new();
    for touches in customers.values_mut() {
        touches.sort_by_key(|row| at(row));
        for (number, path) in touches.split_inclusive(|row| row["conversion"] == "1").enumerate() {
            let last = path.len() - 1;
            if path[last]["conversion"] != "1" {
                continue;
            }
            // The first touch made the lead; one who came back did so with the conversion. So did every opportunity.
            let lead = if number == 0 { 0 } else { last };
            let weights = |model: &str| -> Vec<f64> {
                let milestones = |places: &[usize], each: f64, rest: f64| {
                    let held: Vec<f64> = (0..path.len())
                        .map(|place| places.iter().filter(|other| **other == place).count() as f64)
                        .collect();
                    let others = held.iter().filter(|times| **times == 0.0).count() as f64;
                    held.into_iter()
                        .map(|times| if times > 0.0 { times * each } else { rest / others })
                        .collect()
                };
                match model {
                    "FIRST_TOUCH" => milestones(&[0], 1.0, 0.0),
                    "LAST_TOUCH" | "LAST_NON_DIRECT" => milestones(&[last], 1.0, 0.0),
                    "LINEAR" => vec![1.0; path.len()],
                    "TIME_DECAY" => {
                        let hours = |row: &BTreeMap<String, String>| (at(path[last]) - at(row)) / HOUR;
                        path.iter().map(|row| 0.5f64.powf(hours(row) as f64 / 168.0)).collect()
                    }
                    "U_SHAPED" => milestones(&[0, last], 0.4, 0.2),
                    "W_SHAPED" => milestones(&[0, lead, last], 0.3, 0.1),
                    _ => milestones(&[0, lead, last, last], 0.225, 0.1),
                }
            };
            for model in MODELS {
                let weights = weights(model);
                let whole: f64 = weights.iter().sum();
                for (row, weight) in path.iter().zip(weights) {
                    *found.entry((row["channel"].clone(), model)).or_default() += weight / whole;
                }
            }
        }
    }
    found
}

/// Counted by others.
const FIGURES: [(&str, &str, &str, &str); 5] = [
    ("Facebook", "569", "561", "532.278"),
    ("Paid Search", "601", "457", "551.509"),
    ("Instagram", "226", "237", "234.626"),
    ("Online Video", "222", "350", "309.561"),
    ("Online Display", "220", "233", "210.027"),
];

#[test]
fn real_touch_paths_give_the_figures_that_others_counted() {
    let Some(file) = data("touch_paths/attribution_data.csv") else { return };
    let whole = read(file);
    let (header, lines) = whole.split_once('\n').expect("a header");
    let customer = |line: &str| line.split(',').next().unwrap_or_default().to_owned();
    let all: Vec<_> = table(&whole).into_iter().map(|(_, row)| row).collect();
    assert_eq!(all.len(), 62_483);
    let converted: BTreeSet<&String> =
        all.iter().filter(|row| row["conversion"] == "1").map(|row| &row["customer_id"]).collect();
    // Everybody who converted, and of the others, who count nowhere and take time, a few.
    let kept = |customer: &String| converted.contains(customer) || customer.ends_with("00");
    let lines = lines.lines().filter(|line| kept(&customer(line)));
    let file = format!("{header}\n{}\n", lines.collect::<Vec<_>>().join("\n"));
    let rows: Vec<_> = all.iter().filter(|row| kept(&row["customer_id"])).cloned().collect();
    let customers: BTreeSet<&String> = rows.iter().map(|row| &row["customer_id"]).collect();
    let server = Server::start();
    let api = server.admin();
    let id = start(&api, &file, &touches(), json!({}));
    let ended = eventually(280, "the touches are imported", || {
        Some(run(&api, &id)).filter(|run| run["status"] != "RUNNING")
    });
    let told = ["rows", "created", "won", "refused", "warnings", "unchanged"].map(|key| long(&ended[key]));
    let wanted = [rows.len(), customers.len(), 1_838, 0, 0, 0].map(|count| count as i64);
    assert_eq!((&ended["status"], told), (&json!("DONE"), wanted), "{ended}");

    let july = json!({"from": "2018-07-01T00:00:00Z", "to": "2018-08-01T00:00:00Z"});
    let asked = |by: &str, more: Value| {
        let mut variables = july.clone();
        variables["by"] = json!(by);
        variables.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        report(&api, variables)
    };
    let by_source = asked("SOURCE", json!({}));
    adds_up(&by_source);
    assert_eq!((&by_source["deals"], &by_source["untouched"]), (&json!("1838"), &json!("0")));
    let cents = |text: &String| (text.parse::<f64>().expect("a number") * 100.0).round() as i64;
    let revenue: i64 = rows.iter().map(|row| cents(&row["conversion_value"])).sum();
    assert_eq!(long(&by_source["revenue"]["amountMinor"]), revenue);
    assert_eq!(api.query("{ funnel { won } }", json!({}))["funnel"]["won"], "1838");
    for (source, first, last, linear) in FIGURES {
        let (first, last) = (format!("{first}.000000"), format!("{last}.000000"));
        assert_eq!(credit(&by_source, json!(source), "FIRST_TOUCH").0, first, "{source}");
        assert_eq!(credit(&by_source, json!(source), "LAST_TOUCH").0, last, "{source}");
        let found = exact(&credit(&by_source, json!(source), "LINEAR").0);
        assert_eq!(format!("{:.3}", found as f64 / 1e6), linear, "{source}");
    }
    let expected = expected(&rows);
    assert_eq!(expected.len(), 5 * MODELS.len());
    for ((source, model), wanted) in &expected {
        let found = exact(&credit(&by_source, json!(source), model).0) as f64 / 1e6;
        assert!((found - wanted).abs() < 1e-5, "{source} {model}: {found}, not {wanted}");
    }
    // The same by channel, and with models in another order.
    let by_channel = asked("CHANNEL", json!({"models": ["LINEAR", "FIRST_TOUCH"]}));
    adds_up(&by_channel);
    for (source, channel) in [("Facebook", "PAID_SOCIAL"), ("Instagram", "ORGANIC_SOCIAL")] {
        for model in ["LINEAR", "FIRST_TOUCH"] {
            let of_source = credit(&by_source, json!(source), model);
            assert_eq!(credit(&by_channel, json!(channel), model), of_source, "{source} {model}");
        }
    }
    let largest = asked("CHANNEL", json!({"first": 2}));
    assert_eq!(largest["rows"].as_array().map(Vec::len), Some(2));
    adds_up(&largest);

    // The rows behind a figure are that figure.
    for (model, first) in [("LINEAR", 60), ("LAST_TOUCH", 37)] {
        let mut figure = july.clone();
        figure["by"] = json!("SOURCE");
        (figure["key"], figure["model"]) = (json!("Instagram"), json!(model));
        let deals = behind(&api, &figure, first);
        let sum: i64 = deals.iter().map(|deal| exact(text(deal, "conversions"))).sum();
        let money: i64 = deals.iter().map(|deal| long(&deal["credit"]["amountMinor"])).sum();
        let (conversions, revenue) = credit(&by_source, json!("Instagram"), model);
        assert!((sum - exact(&conversions)).abs() <= deals.len() as i64, "{sum}, not {conversions}");
        assert_eq!(money, revenue, "{model}");
        let mut seen: Vec<(&str, &str)> =
            deals.iter().map(|deal| (text(&deal["lead"], "id"), text(deal, "wonAt"))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), deals.len(), "each deal once");
        let touches = || deals.iter().flat_map(|deal| deal["touches"].as_array().expect("touches"));
        assert!(touches().all(|touch| touch["touchpoint"]["source"] == "Instagram"));
    }
}

#[test]
fn a_path_begins_anew_after_each_win_and_the_same_file_changes_nothing() {
    let server = Server::start();
    let api = server.admin();
    let file = "customer_id,time,interaction,conversion,conversion_value,channel\n\
        a,2024-03-05T00:00:00Z,conversion,1,10,Facebook\n\
        a,2024-03-01T00:00:00Z,impression,0,0,Instagram\n\
        a,2024-03-03T00:00:00Z,impression,0,0,Direct\n\
        a,2024-03-09T00:00:00Z,conversion,1,0.01,Instagram\n\
        a,2024-03-07T00:00:00Z,impression,0,0,Online Video\n\
        a,2024-03-12T00:00:00Z,impression,0,0,Direct\n\
        b,2024-03-08T00:00:00Z,conversion,1,0,Direct\n\
        old,2023-01-01T00:00:00Z,impression,0,0,Online Display\n\
        old,2024-03-10T00:00:00Z,conversion,1,2,Instagram\n";
    let ended = import(&api, file, &touches());
    let counts = json!({"rows": 9, "created": 3, "updated": 6, "won": 4});
    assert_eq!(ended.counts(), counts, "{:?}", ended.refused());
    let march = json!({"by": "SOURCE", "from": "2024-03-01T00:00:00Z", "to": "2024-04-01T00:00:00Z"});
    let found = report(&api, march.clone());
    adds_up(&found);
    let numbers = ["deals", "withoutAmount", "untouched"].map(|key| &found[key]);
    assert_eq!(
        numbers,
        [&json!("4"), &json!("1"), &json!("0")],
        "0 is how many systems write that nobody knows"
    );
    assert_eq!(long(&found["revenue"]["amountMinor"]), 1_201);
    let third = "0.333333";
    let cases = [
        // Three touches led to the first win of a; two to the second, of which a cent cannot be divided.
        ("Instagram", "LINEAR", (&*format!("{:.6}", 1.0 / 3.0 + 0.5 + 1.0), 334 + 200)),
        ("Direct", "LINEAR", ("1.333333", 333)),
        ("Facebook", "LINEAR", (third, 333)),
        ("Online Video", "LINEAR", ("0.500000", 1)),
        ("Facebook", "LAST_TOUCH", ("1.000000", 1_000)),
        ("Instagram", "LAST_TOUCH", ("2.000000", 201)),
        ("Direct", "LAST_NON_DIRECT", ("1.000000", 0)),
        ("Instagram", "FIRST_TOUCH", ("2.000000", 1_200)),
    ];
    for (key, model, (conversions, cents)) in cases {
        assert_eq!(credit(&found, json!(key), model), (conversions.to_owned(), cents), "{key} {model}");
    }
    let keys: Vec<&Value> = found["rows"].as_array().expect("rows").iter().map(|row| &row["key"]).collect();
    assert!(!keys.contains(&&json!("Online Display")), "older than the look-back of its win: {keys:?}");

    let again = import(&api, file, &touches());
    assert_eq!(again.counts(), json!({"rows": 9, "unchanged": 13}), "{:?}", again.refused());
    assert_eq!(report(&api, march.clone()), found);
    // A second file tells of a win long after the only touch, which no model can credit.
    let header = "customer_id,time,interaction,conversion,conversion_value,channel\n";
    import(&api, format!("{header}still,2023-02-01T00:00:00Z,impression,0,0,Direct\n"), &touches());
    let mut endings = touches();
    endings
        .as_object_mut()
        .expect("an object")
        .retain(|key, _| ["system", "id", "ending"].contains(&key.as_str()));
    import(&api, format!("{header}still,2024-03-20T00:00:00Z,conversion,1,7,Direct\n"), &endings);
    let more = report(&api, march.clone());
    adds_up(&more);
    assert_eq!((&more["untouched"], &more["untouchedRevenue"]["amountMinor"]), (&json!("1"), &json!("700")));
    assert_eq!((&more["rows"], &more["deals"]), (&found["rows"], &json!("5")));
    let mut untouched = json!({"by": "SOURCE", "model": "LINEAR", "untouched": true});
    (untouched["from"], untouched["to"]) = (march["from"].clone(), march["to"].clone());
    let behind = behind(&api, &untouched, 10);
    let told = ["conversions", "touchCount", "wonAt"].map(|key| text(&behind[0], key));
    assert_eq!((behind.len(), told), (1, ["1.000000", "0", "2024-03-20T00:00:00.000Z"]));
    assert_eq!(behind[0]["credit"]["amountMinor"], "700");

    let half = json!({"by": "SOURCE", "from": "2024-03-05T00:00:00Z", "to": "2024-03-09T00:00:00Z"});
    assert_eq!(report(&api, half)["deals"], "2", "the end is not in the span");
    let without =
        json!({"system": "paths", "id": "customer_id", "touches": true, "owner": "channel"}).to_string();
    let digest = api.put_blob("import", file.as_bytes());
    let input = json!({"digest": digest, "name": "paths.csv", "mapping": without});
    let refused = api.attempt("startImport", "StartImportInput", input, "run { id }");
    assert!(text(&refused["errors"][0], "message").contains("touches"), "{refused}");
}

/// A deal of 2,500.01 euros: a webinar brought the lead, sales called, a mail came before the deal, a direct visit before the win.
fn story(world: &World) -> Value {
    let World { mia, rob, .. } = world;
    let campaign = json!({"key": "spring", "name": "Spring", "kind": "webinar", "channel": "WEBINAR",
        "cost": {"amountMinor": "100000", "currency": "EUR"}});
    mia.mutate("createCampaign", "CreateCampaignInput", campaign, "campaign { key }");
    let lead = world.mql("deal@example.test", json!({"campaign": "spring", "source": "partner site"}));
    let touch = |channel: &str, source: Value, ago: i64| {
        let at = now(&world.admin).plus(-ago).to_string();
        let touch =
            json!({"lead": {"id": lead["id"]}, "channel": channel, "source": source, "occurredAt": at});
        let input = json!({"touchpoints": [touch]});
        mia.mutate("recordTouchpoints", "RecordTouchpointsInput", input, "leads");
    };
    // Before it had a name, and long before.
    touch("PAID_SEARCH", json!("search"), 20 * DAY);
    touch("DISPLAY", json!("banner"), 100 * DAY);
    done(rob, "acceptHandoff", &lead, json!({}));
    done(rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "OUTBOUND"}));
    done(rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY"}));
    done(rob, "logActivity", &lead, json!({"kind": "NOTE", "direction": "OUTBOUND", "note": "no step"}));
    done(rob, "logActivity", &lead, json!({"kind": "EMAIL", "direction": "OUTBOUND", "automated": true}));
    done(rob, "qualify", &lead, json!({"answers": [{"key": "need", "grade": 3}]}));
    touch("EMAIL", Value::Null, 0);
    let eur = |minor: &str| json!({"amount": {"amountMinor": minor, "currency": "EUR"}});
    done(rob, "recordOpportunity", &lead, eur("200000"));
    touch("DIRECT", Value::Null, 0);
    let dollars = json!({"amount": {"amountMinor": "250001", "currency": "USD"}});
    assert_eq!(act(rob, "closeWon", &lead, dollars)["errors"][0]["code"], "CURRENCY_MISMATCH");
    done(rob, "closeWon", &lead, eur("250001"));
    lead
}

#[test]
fn every_model_divides_a_deal_into_credits_that_add_up_to_it() {
    let world = World::start();
    let api = &world.admin;
    let lead = story(&world);
    let document = "query($lead: LeadRef!, $model: AttributionModel!) { opportunities(lead: $lead) { id cycle outcome \
        amount { amountMinor currency } openedAt closedAt \
        attribution(model: $model) { touchpoint { channel } conversions credit { amountMinor } } } }";
    // Search, webinar, mail, direct; the banner is too old.
    let cases = [
        ("FIRST_TOUCH", "PAID_SEARCH 250001"),
        ("LAST_TOUCH", "DIRECT 250001"),
        ("LAST_NON_DIRECT", "EMAIL 250001"),
        ("LINEAR", "PAID_SEARCH 62501, WEBINAR 62500, EMAIL 62500, DIRECT 62500"),
        ("U_SHAPED", "PAID_SEARCH 100001, WEBINAR 25000, EMAIL 25000, DIRECT 100000"),
        ("W_SHAPED", "PAID_SEARCH 75001, WEBINAR 75000, EMAIL 75000, DIRECT 25000"),
        // 22.5 % of 2,500.01 are 562.50225; nobody is left for the 10 %.
        ("FULL_PATH", "PAID_SEARCH 62501, WEBINAR 62500, EMAIL 62500, DIRECT 62500"),
    ];
    let ask = |model: &str| {
        let variables = json!({"lead": {"id": lead["id"]}, "model": model});
        let found = api.query(document, variables)["opportunities"].clone();
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
        let deal = &found[0];
        assert_eq!(
            (&deal["cycle"], &deal["outcome"], &deal["amount"]["amountMinor"]),
            (&json!(1), &json!("WON"), &json!("250001"))
        );
        let touches = deal["attribution"].as_array().expect("touches").clone();
        let sum: i64 = touches.iter().map(|touch| long(&touch["credit"]["amountMinor"])).sum();
        assert_eq!(sum, 250_001, "{model}: {deal}");
        let told = |touch: &Value| {
            format!("{} {}", text(&touch["touchpoint"], "channel"), text(&touch["credit"], "amountMinor"))
        };
        touches.iter().map(told).collect::<Vec<_>>().join(", ")
    };
    for (model, expected) in cases {
        assert_eq!(ask(model), expected, "{model}");
    }
    // Some seconds before the win and twenty days before it.
    let decay = ask("TIME_DECAY");
    let search = 250_001.0 * 0.5f64.powf(480.0 / 168.0) / (3.0 + 0.5f64.powf(480.0 / 168.0));
    assert!(decay.starts_with(&format!("PAID_SEARCH {}", search.round() as i64)), "{decay}, not {search}");

    for by in ["CHANNEL", "SOURCE", "MEDIUM", "CONTENT", "CAMPAIGN", "CAMPAIGN_KIND", "DEPARTMENT"] {
        let found = report(api, json!({"by": by}));
        adds_up(&found);
        assert_eq!(
            (&found["deals"], &found["revenue"]),
            (&json!("1"), &json!({"amountMinor": "250001", "currency": "EUR"}))
        );
        assert_eq!(found["definition"]["lookBackDays"], 90);
    }
    let by_campaign = report(api, json!({"by": "CAMPAIGN", "models": ["W_SHAPED"]}));
    assert_eq!(credit(&by_campaign, json!("spring"), "W_SHAPED").1, 75_000);
    assert_eq!(credit(&by_campaign, Value::Null, "W_SHAPED").1, 175_001, "touches of no campaign");
    let rows = by_campaign["rows"].as_array().expect("rows");
    assert_eq!(
        rows.iter().map(|row| &row["campaign"]["key"]).collect::<Vec<_>>(),
        [&Value::Null, &json!("spring")]
    );
    let document = "query($format: ExportFormat!) { attribution(by: CAMPAIGN, models: [W_SHAPED, LINEAR]) { export(format: $format) } }";
    let export = |format: &str| {
        let found = api.query(document, json!({"format": format}));
        text(&found["attribution"], "export").to_owned()
    };
    let expected = "row,key,model,conversions,revenueMinor,currency\r\n\
        KEY,,W_SHAPED,0.700000,175001,EUR\r\nKEY,,LINEAR,0.750000,187501,EUR\r\n\
        KEY,spring,W_SHAPED,0.300000,75000,EUR\r\nKEY,spring,LINEAR,0.250000,62500,EUR\r\n\
        OTHERS,,W_SHAPED,0.000000,0,EUR\r\nOTHERS,,LINEAR,0.000000,0,EUR\r\n\
        UNTOUCHED,,W_SHAPED,0.000000,0,EUR\r\nUNTOUCHED,,LINEAR,0.000000,0,EUR\r\n";
    assert_eq!(export("CSV"), expected);
    let lines: Vec<Value> =
        export("NDJSON").lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(
        lines[0],
        json!({"row": "KEY", "key": null, "model": "W_SHAPED", "conversions": "0.700000",
        "revenueMinor": 175_001, "currency": "EUR"})
    );
    let none = json!({"by": "CAMPAIGN", "model": "W_SHAPED"});
    let behind_none: i64 =
        behind(api, &none, 1).iter().map(|deal| long(&deal["credit"]["amountMinor"])).sum();
    assert_eq!(behind_none, 175_001);
}

#[test]
fn no_euro_stands_with_two_departments_and_costs_meet_what_they_brought() {
    let world = World::start();
    let api = &world.admin;
    story(&world);
    // Sales found this one, and sales alone worked it.
    let own = world.mql("own@example.test", json!({"channel": "OUTBOUND"}));
    let steps = [
        ("acceptHandoff", json!({})),
        ("logActivity", json!({"kind": "CALL", "direction": "TWO_WAY"})),
        ("qualify", json!({"answers": [{"key": "need", "grade": 3}]})),
        ("recordOpportunity", json!({"amount": {"amountMinor": "5", "currency": "EUR"}})),
        ("closeWon", json!({"amount": {"amountMinor": "30000", "currency": "EUR"}})),
    ];
    steps.into_iter().for_each(|(verb, more)| drop(done(&world.rob, verb, &own, more)));
    let document = "query($model: AttributionModel!) { contribution(model: $model) { deals untouched revenue { amountMinor } \
        departments { side sourcedDeals influencedDeals sourcedRevenue { amountMinor } influencedRevenue { amountMinor } \
        conversions cost { amountMinor } roiBasisPoints } } }";
    for model in MODELS {
        let found = api.query(document, json!({"model": model}))["contribution"].clone();
        let of = |place: usize, key: &str| long(&found["departments"][place][key]["amountMinor"]);
        let keys = ["sourcedRevenue", "influencedRevenue"];
        let sum: i64 = (0..2).flat_map(|place| keys.map(|key| of(place, key))).sum();
        assert_eq!((sum, long(&found["revenue"]["amountMinor"])), (280_001, 280_001), "{model}: {found}");
        let deals = |place: usize| {
            let side = &found["departments"][place];
            (side["side"].clone(), long(&side["sourcedDeals"]), long(&side["influencedDeals"]))
        };
        assert_eq!((deals(0), deals(1)), ((json!("MARKETING"), 1, 0), (json!("SALES"), 1, 1)), "{model}");
        let by = report(api, json!({"by": "DEPARTMENT", "models": [model]}));
        for (place, side) in ["MARKETING", "SALES"].into_iter().enumerate() {
            let credited = keys.map(|key| of(place, key)).iter().sum::<i64>();
            let figure = json!({"by": "DEPARTMENT", "key": side, "model": model});
            let rows: i64 =
                behind(api, &figure, 10).iter().map(|deal| long(&deal["credit"]["amountMinor"])).sum();
            assert_eq!(rows, credited, "{side} {model}: the rows behind the figure");
            if credited > 0 {
                assert_eq!(credit(&by, json!(side), model).1, credited, "{side} {model}");
            }
        }
    }
    // Six steps: search, webinar, two calls, mail, direct. Notes and machines are no steps.
    let found = api.query(document, json!({"model": "LINEAR"}))["contribution"]["departments"].clone();
    // A sixth of 2,500.01 is 416.66833; the last of them goes without the cent.
    assert_eq!(found[1]["influencedRevenue"]["amountMinor"], "83334", "{found}");
    assert_eq!(found[1]["sourcedRevenue"]["amountMinor"], "30000");
    assert_eq!((&found[0]["cost"]["amountMinor"], &found[1]["cost"]), (&json!("100000"), &Value::Null));
    let marketing = long(&found[0]["sourcedRevenue"]["amountMinor"]);
    assert_eq!(long(&found[0]["roiBasisPoints"]), (marketing - 100_000) * 10_000 / 100_000);
    let figure = json!({"by": "DEPARTMENT", "key": "SALES", "model": "LINEAR"});
    let deals = behind(api, &figure, 10);
    let work: Vec<_> = deals[0]["touches"]
        .as_array()
        .expect("touches")
        .iter()
        .map(|one| (text(one, "activity"), text(&one["user"], "key"), one["touchpoint"].is_null()))
        .collect();
    assert_eq!(work, [("CALL", "rob", true); 2]);

    let document = "query($by: AttributionBy!) { roi(by: $by, model: LINEAR) { key campaign { key } cost { amountMinor } \
        revenue { amountMinor } conversions roiBasisPoints } }";
    let quarter = 250_001 / 4;
    for (by, key) in [("CAMPAIGN", "spring"), ("CAMPAIGN_KIND", "webinar"), ("CHANNEL", "WEBINAR")] {
        let rows = api.query(document, json!({"by": by}))["roi"].clone();
        let first = &rows[0];
        let told =
            (&first["key"], long(&first["cost"]["amountMinor"]), long(&first["revenue"]["amountMinor"]));
        assert_eq!(told, (&json!(key), 100_000, quarter), "{rows}");
        assert_eq!(long(&first["roiBasisPoints"]), (quarter - 100_000) * 10_000 / 100_000);
        assert_eq!(
            (&first["conversions"], first["campaign"].is_null()),
            (&json!("0.250000"), by != "CAMPAIGN")
        );
        let revenue: i64 =
            rows.as_array().expect("rows").iter().map(|row| long(&row["revenue"]["amountMinor"])).sum();
        assert_eq!(revenue, 280_001, "{by}");
        assert_eq!(rows[1]["roiBasisPoints"], Value::Null, "nothing was spent: {rows}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_limit() {
    let server = Server::start();
    let api = server.admin();
    let cases = [
        (
            json!({"from": "2024-01-01T00:00:00Z", "to": "2025-01-02T00:00:00Z"}),
            "VALIDATION",
            "at most 366 days, found 367",
        ),
        (json!({"from": "2024-01-02T00:00:00Z", "to": "2024-01-01T00:00:00Z"}), "VALIDATION", "empty"),
        (json!({"models": []}), "VALIDATION", "at least one model"),
        (json!({"models": ["LINEAR", "U_SHAPED", "LINEAR"]}), "VALIDATION", "LINEAR is named twice"),
        (json!({"models": ["MARKOV"]}), "VALIDATION", "MARKOV"),
        (json!({"by": "WEATHER"}), "VALIDATION", "WEATHER"),
        (json!({"first": 0}), "PAGE_SIZE", "1 to 200"),
        (json!({"first": 201}), "PAGE_SIZE", "1 to 200"),
    ];
    for (more, code, word) in cases {
        let mut variables = json!({"by": "CHANNEL"});
        variables.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let error = api.error(REPORT, variables);
        assert!(text(&error, "message").contains(word), "{word}: {error}");
        assert_eq!(error["extensions"]["code"], code, "{word}: {error}");
    }
    let leap = json!({"by": "CHANNEL", "from": "2024-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"});
    assert_eq!(report(&api, leap)["deals"], "0", "366 days are allowed");
    let error = api.error("{ roi(by: SOURCE) { key } }", json!({}));
    assert!(text(&error, "message").contains("CAMPAIGN_KIND and AUDIENCE, not by SOURCE"), "{error}");
    let figure = json!({"by": "CHANNEL", "key": "EMAIL", "model": "LINEAR", "after": "nonsense"});
    assert_eq!(api.error(ROWS, figure)["extensions"]["code"], "CURSOR_INVALID");
    let nobody = json!({"by": {"email": "nobody@example.test"}});
    let error = api.error("query($by: LeadRef!) { opportunities(lead: $by) { id } }", nobody);
    assert_eq!(error["extensions"]["code"], "NOT_FOUND", "{error}");
}
