//! A span under another charter, before anyone signs it, beside a recount by hand.

use serde_json::{Value, json};

use crate::import::{long, text};
use crate::work::{World, done};

const RESTATED: &str = "query($charter: Int!, $window: WindowInput) { restatedFunnel(underCharter: $charter, window: $window) { \
    under { number signed } charter { number signed } looks cycles erased unknown export(format: CSV) \
    stages { stage was restated gained lost } missing { key text looks } definitions { key } } }";

/// `stage was restated gained lost`.
fn told(found: &Value) -> Vec<String> {
    let row =
        |row: &Value| ["stage", "was", "restated", "gained", "lost"].map(|key| text(row, key)).join(" ");
    found["stages"].as_array().into_iter().flatten().map(row).collect()
}

#[test]
fn a_span_is_told_under_a_charter_that_nobody_signed_as_a_recount_tells_it() {
    let world = World::start();
    let World { mia, rob, admin, .. } = &world;
    // With consent or without, with a title or without, of a country or of another.
    let people: Vec<(bool, bool, bool)> =
        (0..24).map(|number| (number % 2 == 0, number % 3 == 0, number % 4 < 2)).collect();
    for (number, (consent, title, country)) in people.iter().enumerate() {
        let mut lead = json!({"email": format!("again-{number}@example.test"), "consent": consent});
        if *title {
            lead["title"] = json!("Head of it");
        }
        lead["country"] = json!(if *country { "DE" } else { "FR" });
        let lead = mia.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id stage }")
            ["lead"]
            .clone();
        assert_eq!(lead["stage"], if *consent { "MQL" } else { "INQUIRY" });
        // What sales does afterwards is no look of the rules.
        if number == 0 {
            done(rob, "acceptHandoff", &lead, json!({}));
            done(rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY"}));
            done(rob, "qualify", &lead, json!({"answers": [{"key": "need", "grade": 3}]}));
        }
    }
    let count = |keep: &dyn Fn(&(bool, bool, bool)) -> bool| people.iter().filter(|one| keep(one)).count();
    let criterion = |key: &str, field: &str, comparator: &str, values: Value| {
        let test = json!({"field": field, "comparator": comparator, "values": values});
        json!({"key": key, "text": format!("the {key} is known"), "required": true, "test": test})
    };
    let of_mql = |body: &mut Value, criteria: Value| {
        let stages = body["stages"].as_array_mut().expect("stages");
        stages.iter_mut().find(|stage| stage["kind"] == "MQL").expect("the stage MQL")["entry"] = criteria;
    };
    let asked = |charter: &Value| {
        admin.query(RESTATED, json!({"charter": charter["number"]}))["restatedFunnel"].clone()
    };

    // Stricter: who has no title does not pass.
    let stricter =
        world.propose(|body| of_mql(body, json!([criterion("title", "contact.title", "KNOWN", json!([]))])));
    let found = asked(&stricter);
    assert_eq!(
        (&found["under"], &found["charter"]["number"]),
        (&json!({"number": 2, "signed": false}), &json!(1))
    );
    let (was, now) = (count(&|one| one.0), count(&|one| one.0 && one.1));
    assert_eq!(told(&found)[1], format!("MQL {was} {now} 0 {}", was - now));
    assert_eq!(
        (long(&found["cycles"]), &found["unknown"], &found["erased"]),
        (24, &json!("0"), &json!("0")),
        "{found}"
    );
    assert_eq!(
        (text(&found["missing"][0], "key"), long(&found["missing"][0]["looks"])),
        ("title", count(&|one| !one.1) as i64)
    );
    assert_eq!(
        text(&found, "export").lines().nth(2),
        Some(format!("MQL,{was},{now},0,{}", was - now).as_str())
    );
    assert_eq!(found["definitions"][0]["key"], "RESTATEMENT");

    // Otherwise: no rule is asked, the country decides.
    let otherwise = world.propose(|body| {
        of_mql(body, json!([criterion("country", "contact.country", "EQ", json!(["DE"]))]));
        body["slots"].as_array_mut().expect("slots").retain(|slot| slot["kind"] == "ROUTE");
    });
    let (now, gained, lost) =
        (count(&|one| one.2), count(&|one| one.2 && !one.0), count(&|one| !one.2 && one.0));
    assert_eq!(told(&asked(&otherwise))[1], format!("MQL {was} {now} {gained} {lost}"));

    // A rule that was never asked cannot be guessed.
    let unknown = world.propose(|body| {
        let slot = json!({"key": "second", "kind": "QUALIFY", "gate": "MQL", "team": "sales", "position": 5, "scoring": false});
        body["slots"].as_array_mut().expect("slots").push(slot);
    });
    let found = asked(&unknown);
    assert_eq!((told(&found)[1].clone(), &found["unknown"]), (format!("MQL {was} 0 0 {was}"), &json!("24")));

    // The charter in force says what happened.
    let same = asked(&json!({"number": 1}));
    assert_eq!(told(&same)[1], format!("MQL {was} {was} 0 0"));
    let past =
        json!({"charter": 1, "window": {"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}});
    assert_eq!(admin.query(RESTATED, past)["restatedFunnel"]["cycles"], "0");
    for (charter, code) in [(77, "NOT_FOUND"), (-1, "VALIDATION")] {
        assert_eq!(
            admin.error(RESTATED, json!({"charter": charter}))["extensions"]["code"],
            code,
            "{charter}"
        );
    }
}
