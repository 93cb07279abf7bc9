//! Which traits the leads have that were won, through the public API.

use serde_json::{Value, json};

use crate::conversion::{file, past};
use crate::import::{import, server_in, text};
use crate::work::{World, done};

pub const LIFT: &str = "query($window: WindowInput, $outcome: CycleOutcome! = WON, $first: Int! = 500) { traitLift(window: $window, outcome: $outcome) { \
    leads ended baseBasisPoints beyondChance leaking { key values late } export(format: CSV) definitions { key origin } \
    rows(first: $first) { trait value least most others support ended shareBasisPoints liftBasisPoints low high small beyondChance } } }";

/// The row of a value, or of the leads without the trait.
pub fn row<'r>(found: &'r Value, key: &str, value: Value) -> &'r Value {
    let mut rows = found["rows"].as_array().into_iter().flatten();
    rows.find(|row| row["trait"] == key && row["value"] == value)
        .unwrap_or_else(|| panic!("no {key} {value} in {found}"))
}

#[test]
fn a_trait_of_the_winners_has_lift_and_numbers_are_banded() {
    let server = server_in("EUR", "UTC");
    let api = server.admin();
    // Of 200 every second is "warm", of whom 8 in 10 win, of the others 2 in 10. Size says nothing. A few are known for little.
    let rows: Vec<Value> = (0..200)
        .map(|number: i64| {
            let warm = number % 2 == 0;
            let won = (number / 2 % 10 < 8) == warm;
            let mut row = json!({"id": format!("l{number}"), "at": "2024-01-10T12:00:00Z", "stage": "SQL", "ended": "2024-02-10T12:00:00Z"});
            (row["end"], row["reason"]) = (json!(if won { "WON" } else { "LOST" }), json!(if won { "" } else { "HOLDING_OFF" }));
            (row["tone"], row["size"]) = (json!(if warm { "warm" } else { "cold" }), json!(number / 20 * 10));
            row["source"] = json!(if number < 6 { "rare" } else { "usual" });
            row
        })
        .collect();
    let ended = import(&api, file(&rows), &past());
    assert!(ended.refused().is_empty(), "{:?}", ended.refused());
    let window = json!({"from": "2024-01-01T00:00:00Z", "to": "2024-06-01T00:00:00Z"});
    let found = api.query(LIFT, json!({"window": window}))["traitLift"].clone();
    assert_eq!([&found["leads"], &found["ended"]], [&json!("200"), &json!("100")], "{found}");
    let warm = row(&found, "tone", json!("warm"));
    let told = ["support", "ended", "shareBasisPoints", "liftBasisPoints", "small", "beyondChance"]
        .map(|key| warm[key].clone());
    assert_eq!(told, [json!("100"), json!("80"), json!(8_000), json!(16_000), json!(false), json!(true)]);
    assert!(warm["low"].as_i64() > Some(13_000) && warm["high"].as_i64() < Some(18_500), "{warm}");
    assert_eq!(found["beyondChance"], "2", "warm and cold, and nothing else: {found}");
    assert_eq!(found["rows"][0]["trait"], "tone");
    let bands: Vec<_> =
        found["rows"].as_array().expect("rows").iter().filter(|row| row["trait"] == "size").collect();
    let mut sizes: Vec<(i64, i64, &str)> = bands
        .iter()
        .map(|row| {
            (
                text(row, "least").parse().expect("a number"),
                text(row, "most").parse().expect("a number"),
                text(row, "support"),
            )
        })
        .collect();
    sizes.sort_unstable();
    assert_eq!(
        sizes,
        [(0, 20, "60"), (30, 40, "40"), (50, 70, "60"), (80, 90, "40")],
        "equal numbers stay together"
    );
    let rare = row(&found, "lead.source", json!("rare"));
    assert_eq!((&rare["small"], &rare["beyondChance"]), (&json!(true), &json!(false)), "{rare}");
    let lost = api.query(LIFT, json!({"window": window, "outcome": "LOST"}))["traitLift"].clone();
    assert_eq!(row(&lost, "tone", json!("cold"))["liftBasisPoints"], 16_000);
    assert!(
        text(&found, "export").lines().any(|line| line.starts_with("tone,VALUE,warm,100,80,8000,16000,")),
        "{found}"
    );
    let origin = text(&found["definitions"][0], "origin");
    assert!(origin.contains("Katz") && origin.contains("Holm"), "{origin}");
}

#[test]
fn what_was_only_known_afterwards_is_flagged_and_takes_no_part() {
    let world = World::start();
    let World { mia, rob, admin, .. } = &world;
    let keys = [("before", false), ("after", false), ("private", true)];
    for (key, personal) in keys {
        let input = json!({"key": key, "kind": "TEXT", "meaning": "of a test", "personal": personal});
        admin.mutate("defineTrait", "DefineTraitInput", input, "errors { code }");
    }
    let traits = |key: &str, value: &str| json!({"traits": [{"key": key, "value": value}, {"key": "private", "value": "secret"}]});
    for number in 0..4 {
        let email = format!("known-{number}@example.test");
        let lead = world.mql(&email, traits("before", "yes"));
        match number % 2 {
            0 => drop(done(rob, "rejectHandoff", &lead, json!({"reason": "NOT_ICP"}))),
            _ => drop(done(rob, "recycleLead", &lead, json!({"reason": "NOT_READY"}))),
        }
        // Somebody notes afterwards what became of it.
        std::thread::sleep(std::time::Duration::from_millis(5));
        let mut again = traits("after", if number % 2 == 0 { "out" } else { "later" });
        again["email"] = json!(email);
        mia.mutate("captureLead", "CaptureLeadInput", json!({"lead": again}), "lead { id }");
    }
    let found = admin.query(LIFT, json!({"outcome": "DISQUALIFIED"}))["traitLift"].clone();
    assert_eq!((&found["leads"], &found["ended"]), (&json!("4"), &json!("2")), "{found}");
    assert_eq!(found["leaking"], json!([{"key": "after", "values": "4", "late": "4"}]), "{found}");
    assert_eq!(row(&found, "before", json!("yes"))["support"], "4");
    let mentioned = |key: &str| found["rows"].as_array().expect("rows").iter().any(|row| row["trait"] == key);
    assert!(!mentioned("after") && !mentioned("private"), "{found}");
}
