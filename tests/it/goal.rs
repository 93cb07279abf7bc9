//! Goals and projects of both sides through the public API: two owners each, measured, and where goals part.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::work::World;

const GOAL: &str = "goal { id key status metric target marketingOwner { key } salesOwner { key } \
                    progress { value attainmentBasisPoints } }";

fn over(mut base: Value, more: Value) -> Value {
    base.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    base
}

fn goal(api: &Api, key: &str, metric: &str, target: i64, more: Value) -> Value {
    let input = json!({"key": key, "title": key, "metric": metric, "target": target.to_string(),
        "marketingOwner": "mia", "salesOwner": "rob"});
    api.attempt("createSharedGoal", "CreateSharedGoalInput", over(input, more), GOAL)
}

#[test]
fn a_shared_goal_has_an_owner_of_each_side_and_is_measured() {
    let world = World::start();
    let (mia, rob) = (&world.mia, &world.rob);
    let won = world.at("OPPORTUNITY", "won@example.test");
    let amount = json!({"lead": {"id": won["id"]}, "amount": {"amountMinor": "250000", "currency": "EUR"}});
    rob.mutate("closeWon", "CloseWonInput", amount, "lead { id }");
    world.at("SAL", "sal@example.test");
    world.mql("mql@example.test", json!({}));
    let made = goal(mia, "sals", "SAL_COUNT", 4, json!({}))["goal"].clone();
    // Two of three MQLs were accepted.
    assert_eq!(
        made,
        json!({"id": made["id"], "key": "sals", "status": "OPEN", "metric": "SAL_COUNT", "target": "4",
            "marketingOwner": {"key": "mia"}, "salesOwner": {"key": "rob"},
            "progress": {"value": "2", "attainmentBasisPoints": "5000"}})
    );
    for (key, metric, target, value, attainment) in [
        ("rate", "SAL_RATE", 10_000, json!("6667"), json!("6667")),
        ("revenue", "REVENUE", 1_000_000, json!("250000"), json!("2500")),
        ("wins", "WIN_RATE", 5_000, json!("10000"), json!("20000")),
        ("accepted", "ACCEPT_IN_TIME", 10_000, Value::Null, Value::Null),
    ] {
        let progress = goal(rob, key, metric, target, json!({"windowDays": 7}))["goal"]["progress"].clone();
        if metric == "ACCEPT_IN_TIME" {
            // What was kept is due only later: nothing came due yet, or all of what did was kept.
            assert!(progress["value"].is_null() || progress["value"] == "10000", "{progress}");
            continue;
        }
        assert_eq!(progress, json!({"value": value, "attainmentBasisPoints": attainment}), "{metric}");
    }
    assert_eq!(
        goal(mia, "mood", "HAPPINESS", 10, json!({}))["goal"]["progress"],
        Value::Null,
        "nobody measures that"
    );
    let listed =
        rob.query("{ sharedGoals(status: OPEN) { key progress { value } } }", json!({}))["sharedGoals"]
            .clone();
    let sals = listed.as_array().into_iter().flatten().find(|one| one["key"] == "sals");
    assert_eq!(sals, Some(&json!({"key": "sals", "progress": {"value": "2"}})), "together as alone");

    for (more, path) in [
        (json!({"marketingOwner": "rob"}), "marketingOwner"),
        (json!({"salesOwner": "mia"}), "salesOwner"),
        (json!({"salesOwner": "nobody"}), "salesOwner"),
        (json!({"target": "0"}), "target"),
        (json!({"windowDays": 367}), "windowDays"),
        (json!({"metric": "sal rate"}), "metric"),
        (json!({"title": ""}), "title"),
    ] {
        let error = goal(mia, "wrong", "SAL_COUNT", 1, more.clone())["errors"][0].clone();
        assert_eq!((&error["code"], &error["path"][1]), (&json!("VALIDATION"), &json!(path)), "{more}");
    }
    assert_eq!(goal(mia, "sals", "SAL_COUNT", 1, json!({}))["errors"][0]["code"], "ALREADY_EXISTS");
    assert_eq!(goal(&world.admin, "mine", "SAL_COUNT", 1, json!({}))["errors"][0]["code"], "FORBIDDEN");

    let input = json!({"key": "fair", "title": "Prepare the fair", "goal": made["id"], "marketingOwner": "mia", "salesOwner": "ada"});
    let selection = "project { id status goal { key } marketingOwner { key } salesOwner { key } }";
    let project =
        rob.mutate("createSharedProject", "CreateSharedProjectInput", input.clone(), selection)["project"]
            .clone();
    assert_eq!(
        (&project["goal"], &project["salesOwner"], &project["status"]),
        (&json!({"key": "sals"}), &json!({"key": "ada"}), &json!("OPEN"))
    );
    let alone = over(input, json!({"key": "alone", "salesOwner": "mia"}));
    let alone = rob.attempt("createSharedProject", "CreateSharedProjectInput", alone, selection);
    assert_eq!(alone["errors"][0]["path"], json!(["input", "salesOwner"]), "nobody answers for both sides");
    let team = "{ revenueTeam { marketing { key } sales { key } goals { key } projects { key } charter { number } } }";
    let team = rob.query(team, json!({}))["revenueTeam"].clone();
    assert_eq!(
        (&team["marketing"], &team["sales"]),
        (&json!([{"key": "mia"}]), &json!([{"key": "ada"}, {"key": "rob"}]))
    );
    assert_eq!((&team["projects"], &team["charter"]["number"]), (&json!([{"key": "fair"}]), &json!(1)));
    let close = json!({"project": project["id"], "status": "DONE"});
    rob.mutate("closeSharedProject", "CloseSharedProjectInput", close, "project { status }");
    let close = json!({"goal": made["id"], "status": "DROPPED"});
    let closed = mia.mutate("closeSharedGoal", "CloseSharedGoalInput", close, "goal { status }");
    assert_eq!(closed["goal"]["status"], "DROPPED");
    let open = "{ sharedGoals(status: DROPPED) { key } sharedProjects(status: OPEN) { key } }";
    assert_eq!(rob.query(open, json!({})), json!({"sharedGoals": [{"key": "sals"}], "sharedProjects": []}));
    let (dir, _) = world.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}

#[test]
fn goals_of_one_side_alone_are_named_until_both_share_them() {
    let parties = Parties::start();
    let promise = |party: &str, metric: &str| json!({"party": party, "metric": metric, "target": "10", "unit": "count", "windowDays": 30, "weight": 1});
    parties.enforce(&parties.body(|body| {
        body["commitments"] = json!([
            promise("MARKETING", "MQL_PER_MONTH"),
            promise("MARKETING", "SAL_RATE"),
            promise("SALES", "SAL_RATE"),
            promise("SALES", "WON_COUNT")
        ]);
    }));
    let conflicts = || {
        let found =
            parties.sales.query("{ goalConflicts { kind party metric hint } }", json!({}))["goalConflicts"]
                .clone();
        let list = found.as_array().into_iter().flatten();
        list.map(|one| json!([one["kind"], one["party"], one["metric"]])).collect::<Vec<_>>()
    };
    let (volume, wins) = (
        json!(["NO_COUNTERPART", "MARKETING", "MQL_PER_MONTH"]),
        json!(["NO_COUNTERPART", "SALES", "WON_COUNT"]),
    );
    assert_eq!(conflicts(), [volume, wins.clone()]);
    let input = json!({"key": "volume", "title": "Enough", "metric": "MQL_PER_MONTH", "target": "10",
        "marketingOwner": "mara", "salesOwner": "saul"});
    parties.sales.mutate("createSharedGoal", "CreateSharedGoalInput", input, "goal { id }");
    assert_eq!(conflicts(), [wins]);
}
