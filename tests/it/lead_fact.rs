//! What is known of a lead, through the public API: with where it comes from, what was thought before, and who contradicts.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::import::import;
use crate::work::{World, act, done, look, refused};

const FACTS: &str = "facts { kind key value source origin observedAt evidence recordedBy { key } grade confidence conflicting \
    earlier { value source origin evidence recordedBy { key } } }";

fn define(world: &World, key: &str, kind: &str) {
    let input = json!({"key": key, "kind": kind, "meaning": format!("The {key}")});
    world.admin.mutate("defineTrait", "DefineTraitInput", input, "definition { key }");
}

fn facts(api: &Api, lead: &Value) -> Value {
    look(api, lead, FACTS)["facts"].clone()
}

fn fact(api: &Api, lead: &Value, key: &str) -> Value {
    let all = facts(api, lead);
    let found = all.as_array().into_iter().flatten().find(|fact| fact["key"] == key);
    found.cloned().unwrap_or_else(|| panic!("no fact {key} in {all}"))
}

fn seats(value: &str) -> Value {
    json!([{"key": "seats", "value": value}])
}

#[test]
fn each_fact_tells_where_it_comes_from_and_what_was_thought_before() {
    let world = World::start();
    define(&world, "seats", "INTEGER");
    let fields = json!([{"fills": "email", "label": "E-mail"}, {"fills": "traits.seats", "label": "How many are you?"}]);
    let form = json!({"key": "demo", "name": "Demo", "fields": fields});
    world.mia.mutate("defineForm", "DefineFormInput", form, "form { key }");
    let lead =
        world.mql("me@facts.test", json!({"traits": seats("20"), "form": "demo", "source": "website"}));
    let told = fact(&world.rob, &lead, "seats");
    assert_eq!(
        (&told["kind"], &told["value"], &told["source"], &told["origin"], &told["evidence"]),
        (&json!("TRAIT"), &json!("20"), &json!("website"), &json!("FORM"), &json!("form demo, version 1"))
    );
    assert_eq!((&told["conflicting"], &told["earlier"]), (&json!(false), &json!([])));

    let learned = json!({"key": "seats", "value": "45", "evidence": "They open a second office", "idempotencyKey": "k"});
    for _ in 0..2 {
        done(&world.rob, "setTrait", &lead, learned.clone());
    }
    let told = fact(&world.mia, &lead, "seats");
    assert_eq!(
        (&told["value"], &told["source"], &told["origin"], &told["recordedBy"]["key"], &told["evidence"]),
        (&json!("45"), &json!("sales"), &json!("PERSON"), &json!("rob"), &json!("They open a second office"))
    );
    assert_eq!(told["conflicting"], true, "sales says otherwise than the form");
    assert_eq!(told["earlier"].as_array().map(Vec::len), Some(1), "the same key has one effect: {told}");
    assert_eq!((&told["earlier"][0]["value"], &told["earlier"][0]["origin"]), (&json!("20"), &json!("FORM")));
    // What was observed before does not replace what is known.
    let old =
        json!({"key": "seats", "value": "5", "source": "register", "observedAt": "2020-01-01T00:00:00Z"});
    done(&world.rob, "setTrait", &lead, old);
    let told = fact(&world.mia, &lead, "seats");
    let earlier: Vec<&Value> =
        told["earlier"].as_array().into_iter().flatten().map(|one| &one["value"]).collect();
    assert_eq!((&told["value"], earlier), (&json!("45"), vec![&json!("20"), &json!("5")]));
    assert_eq!(look(&world.mia, &lead, "traits { value }")["traits"], json!([{"value": "45"}]));

    // Graded answers are facts with their evidence.
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    let answer = json!({"key": "need", "grade": 2, "evidence": "said so", "confidence": 8000});
    act(&world.rob, "qualify", &lead, json!({"answers": [answer]}));
    let told = fact(&world.mia, &lead, "need");
    assert_eq!(
        (&told["kind"], &told["value"], &told["grade"], &told["confidence"], &told["evidence"]),
        (&json!("ANSWER"), &json!("2 of 4"), &json!(2), &json!(8000), &json!("said so"))
    );
    assert_eq!(told["recordedBy"]["key"], "rob");
    let log =
        "query($lead: ID!) { events(filter: {lead: $lead, kinds: [\"TRAIT_SET\"]}) { events { payload } } }";
    let events = world.mia.query(log, json!({"lead": lead["id"]}))["events"]["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(2), "{events}");
    assert!(!events.to_string().contains("office"), "the log holds no texts: {events}");
    let (dir, _) = world.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}

/// A rule that reads a trait is asked again when somebody learns it; an import and a service are origins of their own.
#[test]
fn what_was_learned_moves_a_lead_and_says_how_it_came() {
    let world = World::start();
    define(&world, "seats", "INTEGER");
    world.agree(|body| {
        let stages = body["stages"].as_array_mut().expect("stages");
        let mql = stages.iter_mut().find(|stage| stage["kind"] == "MQL").expect("the stage MQL");
        mql["entry"] = json!([{"key": "seats", "text": "At least ten seats", "required": true,
            "test": {"field": "traits.seats", "comparator": "GTE", "values": ["10"]}}]);
    });
    let lead = world.mql("me@learned.test", json!({"traits": seats("3")}));
    assert_eq!(lead["stage"], "INQUIRY");
    let moved = done(&world.mia, "setTrait", &lead, json!({"key": "seats", "value": "30"}));
    assert_eq!(moved["stage"], "MQL", "{moved}");
    // The administrator's token belongs to a service.
    done(&world.admin, "setTrait", &lead, json!({"key": "seats", "value": "31"}));
    let told = fact(&world.rob, &lead, "seats");
    assert_eq!((&told["origin"], &told["source"]), (&json!("SERVICE"), &json!("admin")));
    let file = "id,at,mail,seats\n7,2026-01-02T10:00:00Z,a@past.test,12\n";
    let mapping = json!({"system": "crm", "id": "id", "occurredAt": {"column": "at"}, "lead": {"email": "mail"},
        "traits": [{"key": "seats", "from": "seats", "kind": "integer"}]});
    import(&world.admin, file, &mapping);
    let by = world.mia.query("{ lead(by: {email: \"a@past.test\"}) { id } }", json!({}))["lead"].clone();
    let told = fact(&world.rob, &by, "seats");
    assert_eq!(
        (&told["origin"], &told["observedAt"]),
        (&json!("IMPORT"), &json!("2026-01-02T10:00:00.000Z")),
        "{told}"
    );

    for (more, code) in [
        (json!({"key": "seats", "value": "many"}), "VALIDATION"),
        (json!({"key": "sets", "value": "4"}), "VALIDATION"),
        (json!({"key": "seats", "value": "4", "evidence": " "}), "VALIDATION"),
        (json!({"key": "seats", "value": "4", "observedAt": "2999-01-01T00:00:00Z"}), "VALIDATION"),
    ] {
        assert_eq!(refused(&world.rob, "setTrait", &lead, more.clone())["code"], code, "{more}");
    }
    done(&world.rob, "setTrait", &lead, json!({"key": "seats", "value": "99", "dryRun": true}));
    assert_eq!(fact(&world.rob, &lead, "seats")["value"], "31");
}

#[test]
fn facts_of_a_duplicate_join_and_an_erasure_takes_all_of_them() {
    let world = World::start();
    define(&world, "seats", "INTEGER");
    let first = world.mql("one@join.test", json!({"traits": seats("10"), "source": "fair"}));
    let second = world.mql("two@join.test", json!({"traits": seats("20"), "source": "website"}));
    done(&world.rob, "setTrait", &second, json!({"key": "seats", "value": "25", "source": "register"}));
    let input = json!({"lead": {"id": first["id"]}, "duplicate": {"id": second["id"]}});
    world.mia.mutate("mergeLeads", "MergeLeadsInput", input, "lead { id }");
    let told = fact(&world.mia, &first, "seats");
    let earlier: Vec<&Value> =
        told["earlier"].as_array().into_iter().flatten().map(|one| &one["value"]).collect();
    assert_eq!((&told["value"], earlier), (&json!("25"), vec![&json!("20"), &json!("10")]), "{told}");
    let input = json!({"lead": {"id": first["id"]}});
    let erased = world.admin.attempt("eraseLead", "EraseLeadInput", input, "lead { id }");
    assert_eq!(erased["errors"], json!([]), "{erased}");
    assert_eq!(facts(&world.mia, &first), json!([]));
}
