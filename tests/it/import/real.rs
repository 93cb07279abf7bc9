//! Real data through imports: the figures of others come out, and the rule may change meanwhile.

use super::*;

/// Leads and wins of each origin, counted by others.
const ORIGINS: [(&str, i64, i64); 11] = [
    ("organic_search", 1_585, 175),
    ("paid_search", 1_120, 150),
    ("social", 930, 53),
    ("unknown", 739, 119),
    ("email", 345, 11),
    ("direct_traffic", 340, 41),
    ("referral", 199, 17),
    ("other", 108, 3),
    ("display", 88, 2),
    ("other_publicities", 48, 2),
    ("", 39, 10),
];

#[test]
fn olists_funnel_comes_out_as_it_was_while_the_card_changes_under_it() {
    let (Some(contacts), Some(deals)) = (data("olist/olist_mql.csv"), data("olist/olist_closed_deals.csv"))
    else {
        return;
    };
    let demo = root().join("crates/server/src/cli/demo");
    let server = server_in("BRL", "America/Sao_Paulo");
    let api = server.admin();
    let won: BTreeMap<String, BTreeMap<String, String>> =
        table(&read(&deals)).into_iter().map(|(_, deal)| (deal["mql_id"].clone(), deal)).collect();
    for rep in won.values().map(|deal| &deal["sr_id"]).collect::<BTreeSet<_>>() {
        let user = json!({"key": format!("sr-{rep}"), "name": "A sales rep", "team": "sales"});
        api.mutate("upsertUser", "UpsertUserInput", user, "user { id }");
    }
    let first = settings("crates/server/src/cli/demo/olist-scorecard.json");
    // Nobody can reach 20 points more than the first card asks for.
    let second = with(&first, json!({"thresholds": {"advance": 32}}));
    let scorecard = server.deploy("scorecard", "mql", &first);
    server.deploy("fair-share", "routing", &fair_share());
    let bring = |file: &Path, mapping: &str| {
        let mapping = demo.join(mapping);
        server.cli(&["import", &file.to_string_lossy(), "--mapping", &mapping.to_string_lossy()])
    };

    let output = std::thread::scope(|scope| {
        let importing = scope.spawn(|| bring(&contacts, "olist-leads.json"));
        let begun = || api.query("{ importRuns { edges { node { id done total } } } }", json!({}));
        let run = |answer: &Value| answer["importRuns"]["edges"][0]["node"].clone();
        eventually(30, "the import has begun", || {
            Some(run(&begun())).filter(|run| run["id"].is_string() && long(&run["done"]) > 0)
        });
        for settings in [&second, &first, &second] {
            server.set("mql", &scorecard, settings);
            balanced(&api);
        }
        let now = run(&begun());
        assert!(long(&now["done"]) < 5_541, "the card changed while the import ran: {now}");
        while !importing.is_finished() {
            balanced(&api);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        importing.join().expect("the import ends")
    });
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    for line in ["5541 rows", "created          5541", "refused             0", "warnings            0"] {
        assert!(out(&output).lines().any(|found| found == line), "{line:?} in {}", out(&output));
    }
    let output = bring(&deals, "olist-deals.json");
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    for line in [
        "583 rows",
        "won               583",
        "created             0",
        "refused             0",
        "warnings            1",
    ] {
        assert!(out(&output).lines().any(|found| found == line), "{line:?} in {}", out(&output));
    }
    let rows = table(&read(&contacts));
    let came = |id: &str| {
        rows.iter().find(|(_, row)| row["mql_id"] == id).map(|(_, row)| row["first_contact_date"].clone())
    };
    let all_deals = table(&read(&deals));
    let before: Vec<_> = all_deals
        .iter()
        .filter(|(_, deal)| came(&deal["mql_id"]).is_some_and(|date| deal["won_date"] < date))
        .collect();
    let [(line, odd)] = before.as_slice() else {
        panic!("one win before its first contact, found {before:?}")
    };
    let warned: Vec<String> =
        out(&output).lines().filter(|line| line.starts_with("WARNING")).map(str::to_owned).collect();
    let expected = format!("row {line}, column \"won_date\", {:?}", odd["won_date"]);
    assert!(warned.len() == 1 && warned[0].contains(&expected), "{expected} in {warned:?}");

    let known = all(
        &api,
        "leads",
        "",
        "source outcome campaign { key } owner { key } cycles { openedAt closedAt outcome }",
    );
    assert_eq!((known.len(), balanced(&api)), (5_541, 5_541));
    let sources = tally(known.iter().map(|lead| text(lead, "source")));
    let wins = tally(known.iter().filter(|lead| lead["outcome"] == "WON").map(|lead| text(lead, "source")));
    let figures = |pick: fn(&(&str, i64, i64)) -> i64| -> BTreeMap<String, i64> {
        ORIGINS.iter().map(|origin| (origin.0.to_owned(), pick(origin))).collect()
    };
    assert_eq!((sources, wins), (figures(|origin| origin.1), figures(|origin| origin.2)));
    let reps = |keys: Vec<String>| tally(keys.iter().map(String::as_str));
    let owners = known.iter().filter_map(|lead| lead["owner"]["key"].as_str()).map(str::to_owned).collect();
    assert_eq!(reps(owners), reps(won.values().map(|deal| format!("sr-{}", deal["sr_id"])).collect()));

    // The year begins at midnight in São Paulo, in summer time.
    let cycles = known
        .iter()
        .map(|lead| &lead["cycles"][0])
        .filter(|cycle| text(cycle, "openedAt") >= "2018-01-01T02:00");
    let at = |cycle: &Value, key: &str| Instant::parse(text(cycle, key)).expect("an instant").ms();
    let won_cycles = cycles.filter(|cycle| cycle["outcome"] == "WON");
    let mut days: Vec<i64> = won_cycles.map(|cycle| at(cycle, "closedAt") - at(cycle, "openedAt")).collect();
    days.sort_unstable();
    let quartiles = [136, 272, 408].map(|place| format!("{:.1}", days[place - 1] as f64 / DAY as f64));
    assert_eq!((days.len(), quartiles), (543, ["5.6", "12.9", "38.8"].map(str::to_owned)));

    let pages = tally(rows.iter().map(|(_, row)| row["landing_page_id"].as_str()));
    let page_wins = tally(
        rows.iter()
            .filter(|(_, row)| won.contains_key(&row["mql_id"]))
            .map(|(_, row)| row["landing_page_id"].as_str()),
    );
    let campaigns = all(&api, "campaigns", "", "key kind results { leads won }");
    assert_eq!((campaigns.len(), pages.len()), (418, 418));
    for campaign in &campaigns {
        let (key, results) = (text(campaign, "key"), &campaign["results"]);
        let found = (&campaign["kind"], long(&results["leads"]), long(&results["won"]));
        assert_eq!(
            found,
            (&json!("landing-page"), pages[key], page_wins.get(key).copied().unwrap_or(0)),
            "{key}"
        );
    }

    let deployed =
        &api.query("{ deployments(slot: \"mql\") { settings settingsDigest } }", json!({}))["deployments"];
    let digest = |settings: &Value| {
        let mut deployments = deployed.as_array().into_iter().flatten();
        let one = deployments
            .find(|one| serde_json::from_str::<Value>(text(one, "settings")).ok().as_ref() == Some(settings));
        one.unwrap_or_else(|| panic!("{settings} among {deployed}"))["settingsDigest"].clone()
    };
    let (first, second) = (digest(&first), digest(&second));
    let decisions = all(&api, "decisions", ", slot: \"mql\"", "settings status outcome asOf lead { source }");
    assert!(decisions.len() >= 5_541, "{} decisions", decisions.len());
    for decision in &decisions {
        // The points of its origin, and ten for a touch that was warm as of then.
        let points = match text(&decision["lead"], "source") {
            "unknown" => 8,
            "paid_search" | "organic_search" | "direct_traffic" => 5,
            "referral" => 3,
            // What is unknown counts neither way.
            "" => 0,
            _ => -4,
        };
        let warm = if text(decision, "asOf") < "2018-06-01T03:00" { 10 } else { 0 };
        let advances = decision["settings"] == first && points + warm >= 12;
        assert!(decision["settings"] == first || decision["settings"] == second, "{decision}");
        let expected = if advances { "ADVANCE" } else { "HOLD" };
        assert_eq!(
            (&decision["status"], &decision["outcome"]),
            (&json!("OK"), &json!(expected)),
            "{decision}"
        );
    }
    let by_second = decisions.iter().filter(|decision| decision["settings"] == second).count();
    assert!(0 < by_second && by_second < decisions.len(), "both cards judged, the second {by_second}");

    for (file, mapping, rows) in [(&contacts, "olist-leads.json", 5_541), (&deals, "olist-deals.json", 583)] {
        let again = out(&bring(file, mapping));
        let line = format!("unchanged   {rows:>9}");
        assert!(again.lines().any(|found| found == line), "{line:?} in {again}");
        for nothing in ["created", "updated", "won", "refused", "warnings"] {
            let line = format!("{nothing:<12}        0");
            assert!(again.lines().any(|found| found == line), "{line:?} in {again}");
        }
    }
    assert_eq!(balanced(&api), 5_541);
    assert_eq!(api.query("{ funnel { won } }", json!({}))["funnel"]["won"], "583");

    let (dir, _) = server.stop();
    for (command, key, well) in [("verify", "different", json!([])), ("doctor", "ok", json!(true))] {
        let output = offline(dir.path(), command);
        let answer: Value = serde_json::from_str(&out(&output))
            .unwrap_or_else(|_| panic!("{}{}", out(&output), err(&output)));
        assert!(output.status.success() && answer[key] == well, "{command}: {answer}");
    }
}

#[test]
fn x_educations_card_flags_whom_it_should() {
    let Some(file) = data("xeducation/xeducation_leads.csv") else { return };
    let server = Server::start();
    let api = server.admin();
    server.deploy("scorecard", "mql", &settings("plugins/scorecard/settings/x-education.json"));
    let from = |key: &str, kind: &str, column: &str| json!({"key": key, "kind": kind, "from": column});
    let mapping = json!({
        "system": "x-education",
        "id": "Prospect ID",
        "occurredAt": {"otherwise": "2024-01-15T09:00:00Z"},
        "lead": {"source": "Lead Source"},
        "traits": [
            from("time-on-site", "integer", "Total Time Spent on Website"),
            from("lead-origin", "text", "Lead Origin"),
            from("occupation", "text", "What is your current occupation"),
            from("do-not-email", "boolean", "Do Not Email"),
        ],
    });
    let ended = import(&api, read(&file), &mapping);
    assert_eq!(ended.counts(), json!({"rows": 6_448, "created": 6_448}), "{:?}", ended.refused().first());
    let rows: BTreeMap<i64, _> = table(&read(&file)).into_iter().collect();
    let judged = all(&api, "leads", "", "id stage outcome greySlots fit engagement");
    let judged: BTreeMap<&str, &Value> = judged.iter().map(|lead| (text(lead, "id"), lead)).collect();
    let (mut flagged, mut right, mut converted) = (0, 0, 0);
    for told in &ended.rows {
        let (row, lead) = (&rows[&long(&told["row"])], judged[text(told, "leadId")]);
        let seconds: i64 = row["Total Time Spent on Website"].parse().expect("seconds");
        let engagement = match seconds {
            ..141 => -4,
            141..367 => -12,
            367..1_082 => 4,
            _ => 13,
        };
        let origin = if row["Lead Origin"] == "Lead Add Form" { 28 } else { -2 };
        let occupation = match row["What is your current occupation"].as_str() {
            "Working Professional" => 28,
            "Unemployed" => 2,
            "Student" => -1,
            "" => -14,
            _ => 0,
        };
        let fit = origin + occupation + if row["Do Not Email"] == "Yes" { -11 } else { 1 };
        let score = fit + engagement;
        let (stage, grey) = match score {
            0.. => ("MQL", json!([])),
            -10..0 => ("INQUIRY", json!(["mql"])),
            _ => ("INQUIRY", json!([])),
        };
        let points = json!({"fit": fit, "engagement": engagement});
        let expected = with(&points, json!({"stage": stage, "outcome": "OPEN", "greySlots": grey}));
        assert_eq!(with(lead, expected.clone()), *lead, "{}: {expected}", row["Prospect ID"]);
        let mql = lead["stage"] == "MQL";
        flagged += i64::from(mql);
        converted += i64::from(row["Converted"] == "1");
        right += i64::from(mql && row["Converted"] == "1");
    }
    let share = |part: i64, whole: i64| format!("{:.2}", part as f64 / whole as f64);
    let figures = [share(flagged, 6_448), share(right, flagged), share(right, converted)];
    assert_eq!(figures, ["0.38", "0.72", "0.71"], "share flagged, precision, recall of {flagged} flagged");
}

// Tables, however they are written.
