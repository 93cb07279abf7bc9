//! How fairly a router dealt: shares against weights and availability, and what went to a queue.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::work::World;

const FAIRNESS: &str = "query($pool: String!, $from: DateTime, $to: DateTime) { \
    fairness(pool: $pool, from: $from, to: $to) { pool decisions toOwners toQueues failed erased queueShareBasisPoints \
    largestDeviationBasisPoints toUnavailable truncated \
    owners { owner { key } weight assigned unavailable available shareBasisPoints dueBasisPoints deviationBasisPoints } } }";

fn ask(api: &Api) -> Value {
    api.query(FAIRNESS, json!({"pool": "sales"}))["fairness"].clone()
}

fn owner(found: &Value, key: &str) -> Value {
    let owners = found["owners"].as_array().expect("owners");
    let known = owners.iter().find(|owner| owner["owner"]["key"] == key);
    known.unwrap_or_else(|| panic!("no {key} in {found}")).clone()
}

#[test]
fn shares_are_told_against_weights_and_availability() {
    let world = World::unsigned();
    let api = &world.admin;
    let pool = json!({"key": "sales", "queue": "fallback",
        "members": [{"user": "rob", "weight": 3}, {"user": "ada", "weight": 1}]});
    api.mutate("upsertPool", "UpsertPoolInput", pool, "pool { key }");
    let capture = |name: &str, count: usize| {
        (0..count).for_each(|number| drop(world.mql(&format!("{name}{number}@example.test"), json!({}))));
    };
    let none = ask(api);
    assert_eq!(
        (&none["decisions"], &none["owners"], &none["queueShareBasisPoints"]),
        (&json!("0"), &json!([]), &json!(0))
    );
    capture("both", 8);
    let found = ask(api);
    let (rob, ada) = (owner(&found, "rob"), owner(&found, "ada"));
    assert_eq!((&rob["assigned"], &ada["assigned"]), (&json!("6"), &json!("2")), "{found}");
    assert_eq!(
        (&rob["shareBasisPoints"], &rob["dueBasisPoints"], &rob["weight"]),
        (&json!(7_500), &json!(7_500), &json!(3))
    );
    assert_eq!(
        (&found["largestDeviationBasisPoints"], &found["toUnavailable"]),
        (&json!(0), &json!("0")),
        "{found}"
    );

    // Rob is away: what Ada gets alone is due to her alone.
    let away = |key: &str, capacity: i32| {
        let user = json!({"key": key, "name": key, "team": "sales", "capacity": capacity});
        api.mutate("upsertUser", "UpsertUserInput", user, "user { id }");
    };
    away("rob", 1);
    capture("ada", 4);
    let found = ask(api);
    let (rob, ada) = (owner(&found, "rob"), owner(&found, "ada"));
    assert_eq!((&rob["assigned"], &rob["available"]), (&json!("6"), &json!("8")), "{found}");
    assert_eq!((&ada["assigned"], &ada["available"]), (&json!("6"), &json!("12")), "{found}");
    assert_eq!(
        (&ada["shareBasisPoints"], &ada["dueBasisPoints"], &ada["deviationBasisPoints"]),
        (&json!(5_000), &json!(5_000), &json!(0))
    );

    // Nobody is there: the queue serves, and nobody was due anything.
    away("ada", 1);
    capture("queue", 4);
    let found = ask(api);
    let parts = ["decisions", "toOwners", "toQueues", "failed", "erased"].map(|key| found[key].clone());
    assert_eq!(parts, ["16", "12", "4", "0", "0"].map(Value::from), "{found}");
    assert_eq!(
        (&found["queueShareBasisPoints"], &found["truncated"]),
        (&json!(2_500), &json!(false)),
        "{found}"
    );
    assert_eq!(owner(&found, "ada")["dueBasisPoints"], json!(5_000));
}

#[test]
fn an_unknown_pool_and_an_empty_window_are_refused() {
    let world = World::unsigned();
    let cases = [
        (json!({"pool": "none"}), "NOT_FOUND", "there are sales"),
        (
            json!({"pool": "sales", "from": "2026-01-02T00:00:00Z", "to": "2026-01-02T00:00:00Z"}),
            "VALIDATION",
            "empty",
        ),
    ];
    for (variables, code, said) in cases {
        let error = world.rob.error(FAIRNESS, variables.clone());
        assert_eq!(error["extensions"]["code"], code, "{variables}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(said)), "{said}: {error}");
    }
    let past = json!({"pool": "sales", "from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"});
    assert_eq!(world.rob.query(FAIRNESS, past)["fairness"]["decisions"], "0");
}
