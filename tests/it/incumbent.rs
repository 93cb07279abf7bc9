//! What a lead's company uses today, through the public API: captured, imported, learned by people, and a date to come back.

use handfast_domain::time::{DAY, Instant};
use handfast_tests::root;
use serde_json::{Value, json};

use crate::import::import;
use crate::work::{World, act, done, look, now, refused};

const INCUMBENT: &str = "incumbent { vendor product contractEndsAt source observedAt }";

fn of(name: &str, more: Value) -> Value {
    let mut company = json!({"name": name, "domain": format!("{name}.test")});
    company.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    json!({"company": company, "source": "fair"})
}

fn day(at: Instant) -> String {
    at.to_string()
}

#[test]
fn an_incumbent_is_known_by_capture_and_by_people_and_rules_read_it() {
    let world = World::start();
    world.agree(|body| {
        body["idealProfiles"] = json!([{"key": "free", "name": "Soon free", "criteria": [
            {"key": "vendor", "weight": 1, "test": {"field": "company.incumbent-vendor", "comparator": "EQ", "values": ["Acme"]}},
            {"key": "known", "weight": 1,
                "test": {"field": "company.incumbent-contract-end", "comparator": "KNOWN", "values": []}}]}]);
    });
    let bare = world.mql("bare@free.test", of("free", json!({})));
    assert_eq!(look(&world.rob, &bare, INCUMBENT)["incumbent"], Value::Null);
    let ends = "2031-06-30T00:00:00.000Z";
    let known = json!({"incumbent": "Acme Flow", "incumbentVendor": "Acme", "incumbentContractEndsAt": ends});
    let lead = world.mql("me@acme-user.test", of("acme-user", known));
    let found = look(&world.rob, &lead, &format!("{INCUMBENT} account {{ incumbent }} icpFit {{ fit }}"));
    assert_eq!(
        found["incumbent"],
        json!({"vendor": "Acme", "product": "Acme Flow", "contractEndsAt": ends, "source": "fair",
            "observedAt": found["incumbent"]["observedAt"]}),
    );
    assert_eq!(
        (&found["account"]["incumbent"], &found["icpFit"][0]["fit"]),
        (&json!("Acme Flow"), &json!(10_000))
    );
    // Another lead of the company knows it as well; what a person learned counts for both.
    let other = world.mql("you@acme-user.test", of("acme-user", json!({})));
    let learned = json!({"vendor": "Bolt", "contractEndsAt": null, "idempotencyKey": "k"});
    for _ in 0..2 {
        done(&world.rob, "recordIncumbent", &other, learned.clone());
    }
    let found = look(&world.mia, &lead, INCUMBENT)["incumbent"].clone();
    assert_eq!(
        (&found["vendor"], &found["product"], &found["contractEndsAt"], &found["source"]),
        (&json!("Bolt"), &json!("Acme Flow"), &Value::Null, &json!("sales"))
    );
    let log = "query($lead: ID!) { events(filter: {lead: $lead, kinds: [\"INCUMBENT_RECORDED\"]}) { events { payload } } }";
    let events = world.mia.query(log, json!({"lead": other["id"]}))["events"]["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{events}");
    assert!(!events.to_string().contains("Bolt"), "the log holds no texts: {events}");
    let (dir, _) = world.server.stop();
    let looked = handfast_tests::offline(dir.path(), &["doctor"]);
    assert!(looked.status.success(), "{looked:?}");
}

#[test]
fn what_cannot_be_an_incumbent_is_refused() {
    let world = World::start();
    let lead = world.mql("me@firm.test", of("firm", json!({})));
    let alone = world.mql("me@gmail.com", json!({}));
    for (lead, more, code) in [
        (&lead, json!({}), "VALIDATION"),
        (&lead, json!({"vendor": " "}), "VALIDATION"),
        (&lead, json!({"product": "x".repeat(257)}), "VALIDATION"),
        (&lead, json!({"contractEndsAt": "2300-01-01T00:00:00Z"}), "VALIDATION"),
        (&alone, json!({"vendor": "Acme"}), "NOT_FOUND"),
    ] {
        assert_eq!(refused(&world.mia, "recordIncumbent", lead, more.clone())["code"], code, "{more}");
    }
    let by_machine = act(&world.admin, "recordIncumbent", &lead, json!({"vendor": "Acme"}));
    assert_eq!(by_machine["errors"][0]["code"], "FORBIDDEN");
    done(&world.mia, "recordIncumbent", &lead, json!({"vendor": "Acme", "dryRun": true}));
    assert_eq!(look(&world.mia, &lead, INCUMBENT)["incumbent"], Value::Null);
    let stale = act(&world.mia, "recordIncumbent", &lead, json!({"vendor": "Acme", "expectedVersion": 999}));
    assert_eq!(stale["errors"][0]["code"], "VERSION_CONFLICT");
}

/// The table of reasons: the end of the contract less 90 days, or the end itself, unless somebody names a date.
#[test]
fn a_lead_that_is_bound_by_a_contract_comes_back_in_time_for_its_end() {
    let world = World::start();
    let today = now(&world.rob);
    let ends = today.plus(400 * DAY);
    let requalify = |lead: &Value| {
        let clocks = lead["clocks"].as_array().cloned().unwrap_or_default();
        let back = clocks.into_iter().find(|clock| clock["kind"] == "REQUALIFY");
        back.map_or(Value::Null, |clock| clock["dueAt"].clone())
    };
    let bound = |name: &str, ends: Instant| {
        let known = json!({"incumbentContractEndsAt": day(ends)});
        world.mql(&format!("me@{name}.test"), of(name, known))
    };
    let rejected =
        done(&world.rob, "rejectHandoff", &bound("rejected", ends), json!({"reason": "INCUMBENT_CONTRACT"}));
    assert_eq!(requalify(&rejected), day(ends.plus(-90 * DAY)), "{rejected}");
    let recycle = json!({"outcome": "RECYCLE", "reason": "INCUMBENT_CONTRACT"});
    let named = today.plus(7 * DAY);
    let mut dated = recycle.clone();
    dated["recycleAt"] = json!(day(named));
    for (name, contract, input, expected) in [
        ("dropped", ends, &recycle, ends.plus(-90 * DAY)),
        ("late", today.plus(30 * DAY), &recycle, today.plus(30 * DAY)),
        ("named", ends, &dated, named),
    ] {
        let closed = done(&world.mia, "dispositionLead", &bound(name, contract), input.clone());
        assert_eq!(requalify(&closed), day(expected), "{name}: {closed}");
    }
    let usual = done(&world.mia, "dispositionLead", &world.mql("me@unbound.test", json!({})), recycle);
    let usual = Instant::parse(requalify(&usual).as_str().unwrap_or_default()).expect("a date");
    let days = usual.since(today) / DAY;
    assert!((179..=180).contains(&days), "without a contract the reason's usual days count: {days}");
    // A loss to a competitor: when the contract that was signed there ends.
    let lost = world.at("OPPORTUNITY", "me@lost.test");
    let learned = json!({"vendor": "Rival", "contractEndsAt": day(ends)});
    done(&world.rob, "recordIncumbent", &lost, learned);
    let lost =
        done(&world.rob, "closeLost", &lost, json!({"reason": "LOST_TO_COMPETITOR", "competitor": "Rival"}));
    assert_eq!(requalify(&lost), day(ends), "{lost}");
}

#[test]
fn forms_and_files_tell_of_contracts() {
    let world = World::start();
    let fields = json!([{"fills": "email", "label": "E-mail", "required": true},
        {"fills": "company.incumbentContractEndsAt", "label": "When does your contract end?", "required": true}]);
    let input = json!({"key": "switch", "name": "Switch", "fields": fields});
    world.mia.mutate("defineForm", "DefineFormInput", input, "form { key }");
    let asked = |lead: Value| {
        let lead = json!({"email": "me@switch.test", "form": "switch", "company": lead});
        world.mia.attempt(
            "captureLead",
            "CaptureLeadInput",
            json!({"lead": lead}),
            "lead { id incumbent { contractEndsAt } }",
        )
    };
    let missing = asked(json!({"incumbentVendor": "Acme"}));
    assert_eq!(missing["errors"][0]["path"], json!(["input", "lead", "company", "incumbentContractEndsAt"]));
    let ends = "2031-06-30T00:00:00.000Z";
    let told = asked(json!({"incumbentContractEndsAt": ends}));
    assert_eq!(told["lead"]["incumbent"]["contractEndsAt"], ends, "{told}");

    let file = "id,at,mail,vendor,product,ends\n1,2026-01-02T10:00:00Z,a@file.test,Acme,Flow,30.06.2031\n\
                2,2026-01-03T10:00:00Z,b@file2.test,Acme,Flow,soon\n";
    let mapping = json!({"system": "crm", "id": "id", "occurredAt": {"column": "at"}, "lead": {"email": "mail",
        "company": {"incumbentVendor": "vendor", "incumbent": "product",
            "incumbentContractEndsAt": {"column": "ends", "pattern": "%d.%m.%Y", "timeZone": "UTC"}}}});
    let ended = import(&world.admin, file, &mapping);
    let refused = ended.refused();
    assert_eq!(refused.len(), 1, "{:?}", ended.rows);
    assert!(refused[0].to_string().contains("\"ends\""), "a bad date names its column: {}", refused[0]);
    let by = json!({"by": {"email": "a@file.test"}});
    let document = format!("query($by: LeadRef!) {{ lead(by: $by) {{ {INCUMBENT} }} }}");
    let found = world.mia.query(&document, by)["lead"]["incumbent"].clone();
    assert_eq!(
        (&found["vendor"], &found["product"], &found["contractEndsAt"]),
        (&json!("Acme"), &json!("Flow"), &json!(ends))
    );
    let fields: Value = serde_json::from_str(
        &std::fs::read_to_string(root().join("schema/fields.json")).expect("the catalogue"),
    )
    .expect("JSON");
    assert!(fields.to_string().contains("company.incumbent-contract-end"));
}
