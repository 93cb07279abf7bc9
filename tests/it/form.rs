//! Forms through the public API: what they ask is held against each capture, and their fields against what became of it.

use handfast_tests::Api;
use serde_json::{Value, json};

use crate::work::{World, done};

const FORM: &str =
    "form { id key version fields { fills label required } versions { number basedOn fields { fills } } }";

fn field(fills: &str, required: bool) -> Value {
    json!({"fills": fills, "label": format!("Your {fills}"), "required": required})
}

fn define(api: &Api, fields: Value, more: Value) -> Value {
    let mut input = json!({"key": "demo", "name": "Demo", "fields": fields});
    input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    api.attempt("defineForm", "DefineFormInput", input, FORM)
}

fn capture(api: &Api, lead: Value) -> Value {
    api.attempt("captureLead", "CaptureLeadInput", json!({"lead": lead}), "lead { id stage }")
}

#[test]
fn a_capture_by_a_form_needs_what_its_version_requires() {
    let world = World::unsigned();
    let (mia, rob) = (&world.mia, &world.rob);
    let first =
        define(mia, json!([field("email", true), field("company.name", false)]), json!({}))["form"].clone();
    assert_eq!((&first["version"], &first["fields"][0]["required"]), (&json!(1), &json!(true)));
    assert_eq!(capture(mia, json!({"email": "a@example.test", "form": "demo"}))["errors"], json!([]));
    // Sales learns that the size decides: the next version asks for it.
    let told = json!({"kind": "REQUEST", "text": "Ask how many work there"});
    let told =
        rob.mutate("postFeedback", "PostFeedbackInput", told, "feedback { id }")["feedback"]["id"].clone();
    let fields =
        json!([field("email", true), field("company.name", false), field("company.employees", true)]);
    let second = define(mia, fields.clone(), json!({"basedOn": [told]}))["form"].clone();
    assert_eq!((&second["version"], &second["versions"][0]["basedOn"]), (&json!(2), &json!([told])));
    assert_eq!(
        define(mia, fields, json!({"name": "Another name"}))["form"]["version"],
        2,
        "the same fields are no new version"
    );
    let document = "{ feedback { edges { node { effects { kind key } } } } }";
    let effects = rob.query(document, json!({}))["feedback"]["edges"][0]["node"]["effects"].clone();
    assert_eq!(effects, json!([{"kind": "FORM", "key": second["id"]}]));

    let refused = capture(mia, json!({"email": "b@example.test", "form": "demo", "company": {"name": "B"}}));
    assert_eq!(refused["errors"][0]["path"], json!(["input", "lead", "company", "employees"]), "{refused}");
    let message = refused["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("version 2") && message.contains("Your company.employees"), "{message}");
    let company = json!({"name": "B", "employees": "0"});
    assert_eq!(
        capture(mia, json!({"email": "b@example.test", "form": "demo", "company": company}))["errors"],
        json!([])
    );
    let unknown = capture(mia, json!({"email": "c@example.test", "form": "no-form"}));
    assert_eq!(unknown["errors"][0]["path"], json!(["input", "lead", "form"]));
    // In a batch one refusal stops nobody else.
    let leads = json!([{"email": "d@example.test", "form": "demo"}, {"email": "e@example.test"}]);
    let batch = mia.mutate(
        "captureLeads",
        "CaptureLeadsInput",
        json!({"leads": leads}),
        "results { lead { id } errors { path } }",
    );
    assert_eq!(
        batch["results"][0]["errors"][0]["path"],
        json!(["input", "leads", "0", "company", "employees"])
    );
    assert!(batch["results"][1]["lead"]["id"].is_string(), "{batch}");

    for (fields, path) in [
        (json!([]), "fields"),
        (json!([field("company.name", false)]), "fields"),
        (json!([field("email", true), field("emial", true)]), "fields"),
        (json!([field("email", true), field("email", false)]), "fields"),
        (json!([field("email", true), field("traits.seats", false)]), "fields"),
        (json!([{"fills": "email", "label": ""}]), "fields"),
    ] {
        let error = define(mia, fields.clone(), json!({}))["errors"][0].clone();
        assert_eq!((&error["code"], &error["path"][1]), (&json!("VALIDATION"), &json!(path)), "{fields}");
    }
    assert_eq!(define(rob, json!([field("email", true)]), json!({}))["errors"][0]["code"], "FORBIDDEN");
    let (dir, _) = world.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}

#[test]
fn a_field_is_as_useful_as_what_became_of_those_who_filled_it() {
    let world = World::start();
    let (mia, rob) = (&world.mia, &world.rob);
    define(mia, json!([field("email", true), field("seniority", false), field("name", false)]), json!({}));
    let send = |n: usize, more: Value| {
        let mut lead = json!({"email": format!("f{n}@example.test"), "form": "demo"});
        lead.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        capture(mia, lead)["lead"].clone()
    };
    // Two name their seniority: one becomes an MQL and buys. Two do not, of whom none is one.
    let chief = send(1, json!({"seniority": "C_LEVEL", "consent": true}));
    assert_eq!(chief["stage"], "MQL");
    send(2, json!({"seniority": "STAFF"}));
    send(3, json!({}));
    send(4, json!({"name": "Ada"}));
    let chief = done(rob, "acceptHandoff", &chief, json!({}));
    done(rob, "logActivity", &chief, json!({"kind": "CALL", "direction": "TWO_WAY"}));
    done(rob, "qualify", &chief, json!({"answers": [{"key": "need", "grade": 3}]}));
    let amount = json!({"amount": {"amountMinor": "100000", "currency": "EUR"}});
    done(rob, "recordOpportunity", &chief, amount.clone());
    done(rob, "closeWon", &chief, amount);
    let outcome = "submissions mql won mqlRateBasisPoints wonRateBasisPoints";
    let document = format!(
        "{{ fieldUsefulness(form: \"demo\") {{ field {{ fills }} current fillRateBasisPoints readBy readByCharter \
         filled {{ {outcome} }} empty {{ {outcome} }} }} }}"
    );
    let found = rob.query(&document, json!({}))["fieldUsefulness"].clone();
    let fills: Vec<&Value> =
        found.as_array().into_iter().flatten().map(|one| &one["field"]["fills"]).collect();
    assert_eq!(fills, ["email", "seniority", "name"], "in the order of the form");
    assert_eq!(
        found[1],
        json!({"field": {"fills": "seniority"}, "current": true, "fillRateBasisPoints": 5_000, "readBy": ["mql"], "readByCharter": false,
            "filled": {"submissions": "2", "mql": "1", "won": "1", "mqlRateBasisPoints": 5_000, "wonRateBasisPoints": 5_000},
            "empty": {"submissions": "2", "mql": "0", "won": "0", "mqlRateBasisPoints": 0, "wonRateBasisPoints": 0}})
    );
    assert_eq!(found[0]["empty"]["wonRateBasisPoints"], Value::Null, "everybody gave an e-mail");
    assert_eq!(
        (&found[2]["readBy"], &found[2]["fillRateBasisPoints"]),
        (&json!([]), &json!(2_500)),
        "nobody reads names"
    );
    let early =
        "{ fieldUsefulness(form: \"demo\", to: \"2020-01-01T00:00:00Z\") { filled { submissions } } }";
    let early = rob.query(early, json!({}))["fieldUsefulness"].clone();
    assert!(early.as_array().into_iter().flatten().all(|one| one["filled"]["submissions"] == "0"), "{early}");
    let error = rob.error("{ fieldUsefulness(form: \"none\") { current } }", json!({}));
    assert_eq!(error["extensions"]["code"], "NOT_FOUND");
}
