//! The charter through the public API: proposed, signed by both sides over one digest, put into force.

mod acknowledgement;
mod diff;
mod document;
mod event;
mod review;

use std::sync::atomic::{AtomicBool, Ordering};

use handfast_domain::calendar::Date;
use handfast_tests::{Api, Server, card};
use serde_json::{Value, json};

use crate::campaign::{Until, drive};

const CHARTER: &str = "charter { number digest status signed proposedBy { key } proposedAt activatedAt \
                       signatures { user { key } side digest comment } \
                       rejection { user { key } side reason } }";

/// Everything that two sides sign, as one reads it to edit it and send it back.
const BODY: &str = "body { title currency timeZone maxHoldDays reviewAfterDays fallbackQueue marketingQueue \
    highIntent signals idealCustomer { ...test } \
    idealProfiles { key name criteria { key weight required test { ...test } } } attempts { attempts days channels } \
    stages { kind label meaning owner composition entry { ...criterion } exit { ...criterion } } \
    slots { key kind gate team position scoring pool approval } \
    personas { key name pains traits { key weight test { ...test } } \
        stageProfiles { stage channels contentKinds questions } } \
    reasons { key label recycle disqualify lost recycleAfterDays needsDate needsAttempts needsCompetitor \
        returnsToMarketing permanent track } \
    sla { kind party targetMinutes urgentTargetMinutes mode steps maxPauseMinutes pauseReasons minAttempts \
        withinDays minChannels } \
    glossary { key marketing sales meaning } \
    responsibilities { stage activity responsible accountable consulted informed } \
    commitments { party metric target unit windowDays weight } }";

const FRAGMENTS: &str = "fragment test on FieldTest { field comparator values } \
    fragment criterion on Criterion { key text reasonCode required test { ...test } }";

/// A server with a person of each side.
pub struct Parties {
    pub server: Server,
    pub admin: Api,
    pub marketing: Api,
    pub sales: Api,
}

impl Parties {
    pub fn start() -> Parties {
        let server = Server::start();
        let (marketing, sales) = (server.user("mara", "marketing"), server.user("saul", "sales"));
        Parties { admin: server.admin(), server, marketing, sales }
    }

    /// The body in force, edited. Both parties commit to something, which charter 0 lacks.
    pub fn body(&self, edit: impl FnOnce(&mut Value)) -> Value {
        let mut body = read(&self.admin, Value::Null)["body"].clone();
        let commits = |party: &str, metric: &str| {
            json!({"party": party, "metric": metric, "target": "100", "unit": "count", "windowDays": 30,
                "weight": 1})
        };
        body["commitments"] =
            json!([commits("MARKETING", "MQL_PER_MONTH"), commits("SALES", "SAL_PER_MONTH")]);
        edit(&mut body);
        body
    }

    pub fn propose(&self, body: &Value) -> Value {
        let input = json!({"body": body});
        self.marketing.mutate("proposeCharter", "ProposeCharterInput", input, CHARTER)["charter"].clone()
    }

    /// Proposed, signed by both sides and put into force.
    pub fn enforce(&self, body: &Value) -> Value {
        let charter = self.propose(body);
        sign(&self.marketing, &charter);
        sign(&self.sales, &charter);
        let input = json!({"number": charter["number"]});
        self.sales.mutate("activateCharter", "ActivateCharterInput", input, CHARTER)["charter"].clone()
    }

    /// A rule that lets everybody pass who consents, and a gate to SQL that a graded need opens.
    pub fn ready_for_deals(&self) {
        self.server.deploy("scorecard", "mql", &card(10));
        self.enforce(&self.body(|body| {
            stage(body, "SQL")["entry"] = json!([criterion("answers.need.grade", "GTE", &["1"], true)]);
        }));
    }

    /// Numbers and statuses, the newest first.
    fn standing(&self) -> Value {
        self.admin.query("{ charters { number status } }", json!({}))["charters"].clone()
    }
}

fn read(api: &Api, number: Value) -> Value {
    let document = format!(
        "query($number: Int) {{ charter(number: $number) {{ number digest status signed {BODY} }} }} \
         {FRAGMENTS}"
    );
    api.query(&document, json!({"number": number}))["charter"].clone()
}

fn sign(api: &Api, charter: &Value) -> Value {
    let input = json!({"number": charter["number"], "digest": charter["digest"]});
    api.mutate("signCharter", "SignCharterInput", input, CHARTER)["charter"].clone()
}

fn try_sign(api: &Api, number: &Value, digest: &Value) -> Value {
    api.attempt("signCharter", "SignCharterInput", json!({"number": number, "digest": digest}), CHARTER)
}

fn try_activate(api: &Api, charter: &Value) -> Value {
    api.attempt("activateCharter", "ActivateCharterInput", json!({"number": charter["number"]}), CHARTER)
}

fn try_reject(api: &Api, charter: &Value, reason: &str) -> Value {
    let input = json!({"number": charter["number"], "reason": reason});
    api.attempt("rejectCharter", "RejectCharterInput", input, CHARTER)
}

/// The stage of a kind, to be edited.
fn stage<'b>(body: &'b mut Value, kind: &str) -> &'b mut Value {
    let stages = body["stages"].as_array_mut().expect("stages");
    stages.iter_mut().find(|stage| stage["kind"] == kind).unwrap_or_else(|| panic!("no stage {kind}"))
}

fn criterion(field: &str, comparator: &str, values: &[&str], required: bool) -> Value {
    let test = json!({"field": field, "comparator": comparator, "values": values});
    json!({"key": "c1", "text": format!("{field} is known to us"), "required": required, "test": test})
}

fn capture(api: &Api, email: &str, more: Value) -> Value {
    let mut lead = json!({"email": email, "source": "test"});
    lead.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let selection = "lead { id stage workState evaluations { charter \
                     gates { gate result missing criteria { key text required holds } } } }";
    api.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), selection)["lead"].clone()
}

#[test]
fn a_default_that_nobody_signed_serves_from_the_first_start() {
    let server = Server::start();
    let document = "{ charter { number status signed digest signatures { side } proposedBy { key } \
                    activatedAt rejection { reason } \
                    body { currency timeZone } } charters { number } funnel { charter { number signed } } }";
    let found = server.admin().query(document, json!({}));
    let charter = &found["charter"];
    assert_eq!((&charter["number"], &charter["status"]), (&json!(0), &json!("ACTIVE")), "{charter}");
    assert_eq!((&charter["signed"], &charter["signatures"]), (&json!(false), &json!([])), "{charter}");
    assert_eq!((&charter["proposedBy"], &charter["rejection"]), (&Value::Null, &Value::Null), "{charter}");
    assert!(charter["activatedAt"].is_string(), "{charter}");
    assert_eq!(charter["body"], json!({"currency": "EUR", "timeZone": "Europe/Berlin"}));
    assert_eq!(found["charters"], json!([{"number": 0}]));
    assert_eq!(
        found["funnel"]["charter"],
        json!({"number": 0, "signed": false}),
        "the funnel says what it rests on"
    );
}

#[test]
fn the_default_leads_a_lead_to_a_won_deal() {
    let server = Server::start();
    server.deploy("scorecard", "mql", &card(10));
    let lead = capture(&server.admin(), "won@example.test", json!({"consent": true}));
    // No criterion guards SQL here: a conversation and the answers are enough.
    drive(&server.user("saul", "sales"), &lead, Until::Won, 1_000);
    let found = server
        .admin()
        .query("query($by: LeadRef!) { lead(by: $by) { stage outcome } }", json!({"by": {"id": lead["id"]}}));
    assert_eq!(found["lead"], json!({"stage": "CUSTOMER", "outcome": "WON"}));
}

#[test]
fn a_charter_counts_once_both_sides_signed_the_same_text() {
    let parties = Parties::start();
    let Parties { admin, marketing, sales, .. } = &parties;
    let before = admin.query("{ feedHead }", json!({}))["feedHead"].clone();
    let proposed = parties.propose(&parties.body(|body| body["title"] = json!("First agreement")));
    assert_eq!((&proposed["number"], &proposed["status"]), (&json!(1), &json!("PROPOSED")), "{proposed}");
    assert_eq!(
        (&proposed["signed"], &proposed["proposedBy"]["key"]),
        (&json!(false), &json!("mara")),
        "{proposed}"
    );
    let input = json!({"number": 1, "digest": proposed["digest"], "comment": "as we said"});
    let half = marketing.mutate("signCharter", "SignCharterInput", input, CHARTER)["charter"].clone();
    assert_eq!(
        (&half["status"], &half["signed"]),
        (&json!("PROPOSED"), &json!(false)),
        "one side is not both: {half}"
    );
    let whole = sign(sales, &proposed);
    assert_eq!((&whole["status"], &whole["signed"]), (&json!("SIGNED"), &json!(true)), "{whole}");
    assert_eq!(
        whole["signatures"],
        json!([
            {"user": {"key": "mara"}, "side": "MARKETING", "digest": proposed["digest"],
                "comment": "as we said"},
            {"user": {"key": "saul"}, "side": "SALES", "digest": proposed["digest"], "comment": null},
        ])
    );
    let funnel = "{ charter { number signed } funnel { charter { number signed } } }";
    let agreed = |number: i32, signed: bool| {
        let charter = json!({"number": number, "signed": signed});
        json!({"charter": charter, "funnel": {"charter": charter}})
    };
    assert_eq!(
        admin.query(funnel, json!({})),
        agreed(0, false),
        "a signed charter waits until it is activated"
    );

    let active = try_activate(sales, &proposed)["charter"].clone();
    assert_eq!((&active["status"], &active["signed"]), (&json!("ACTIVE"), &json!(true)), "{active}");
    assert_eq!(active["digest"], proposed["digest"]);
    assert_eq!(admin.query(funnel, json!({})), agreed(1, true));
    assert_eq!(
        parties.standing(),
        json!([{"number": 1, "status": "ACTIVE"}, {"number": 0, "status": "SUPERSEDED"}])
    );
    let lead = capture(admin, "first@example.test", json!({}));
    assert_eq!(lead["evaluations"][0]["charter"], 1, "what happens from now on happens under it: {lead}");

    let document = "query($after: FeedCursor!, $kinds: [String!]!) { \
                    events(after: $after, filter: {kinds: $kinds}) \
                    { events { kind stream version charter user { key } payload } } }";
    let kinds = json!(["CHARTER_PROPOSED", "CHARTER_SIGNED", "CHARTER_ACTIVATED"]);
    let log = admin.query(document, json!({"after": before, "kinds": kinds}))["events"]["events"].clone();
    let told: Vec<Value> = log
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| {
            let payload: Value = serde_json::from_str(event["payload"].as_str().unwrap_or_default())
                .expect("a payload is JSON");
            assert!(payload.to_string().contains(proposed["digest"].as_str().unwrap_or("?")), "{event}");
            json!([event["kind"], event["stream"], event["version"], event["user"]["key"]])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["CHARTER_PROPOSED", "CHARTER", 1, "mara"],
            ["CHARTER_SIGNED", "CHARTER", 2, "mara"],
            ["CHARTER_SIGNED", "CHARTER", 3, "saul"],
            ["CHARTER_ACTIVATED", "CHARTER", 4, "saul"],
        ])
    );
}

#[test]
fn a_signature_is_a_persons_for_one_side_over_the_text_that_was_read() {
    let parties = Parties::start();
    let server = &parties.server;
    let first = parties.propose(&parties.body(|_| {}));
    let other = parties.propose(&parties.body(|body| body["title"] = json!("Another text")));
    assert_ne!(first["digest"], other["digest"]);
    let integration = json!({"key": "robot", "name": "Robot", "team": "ops", "side": "INTEGRATION"});
    parties.admin.mutate("upsertUser", "UpsertUserInput", integration, "user { side }");
    let clerk = json!({"key": "clerk", "name": "Clerk of sales", "team": "sales", "service": true});
    parties.admin.mutate("upsertUser", "UpsertUserInput", clerk, "user { service }");
    let all = ["leads:read", "leads:write", "charter:sign"];
    let (one, digest) = (&first["number"], &first["digest"]);
    let cases = [
        (
            "another text",
            &parties.marketing,
            one,
            &other["digest"],
            "VALIDATION",
            json!(["input", "digest"]),
            "digest",
        ),
        (
            "an unknown charter",
            &parties.marketing,
            &json!(99),
            digest,
            "NOT_FOUND",
            json!(["input", "number"]),
            "charter",
        ),
        (
            "a number below zero",
            &parties.marketing,
            &json!(-1),
            digest,
            "NOT_FOUND",
            json!(["input", "number"]),
            "charter",
        ),
        ("the administrator", &parties.admin, one, digest, "FORBIDDEN", json!([]), "service"),
        ("a service of sales", &server.token("clerk", &all), one, digest, "FORBIDDEN", json!([]), "service"),
        (
            "operations",
            &server.user("olga", "ops"),
            one,
            digest,
            "FORBIDDEN",
            json!([]),
            "MARKETING and SALES",
        ),
        (
            "an integration",
            &server.token("robot", &all),
            one,
            digest,
            "FORBIDDEN",
            json!([]),
            "MARKETING and SALES",
        ),
        (
            "a token without the scope",
            &server.token("mara", &["leads:write"]),
            one,
            digest,
            "FORBIDDEN",
            json!([]),
            "charter:sign",
        ),
    ];
    for (what, api, number, digest, code, path, word) in cases {
        let refused = try_sign(api, number, digest);
        let error = &refused["errors"][0];
        assert_eq!(
            (&refused["charter"], &error["code"], &error["path"]),
            (&Value::Null, &json!(code), &path),
            "{what}: {refused}"
        );
        assert!(error["message"].as_str().is_some_and(|text| text.contains(word)), "{what}: {refused}");
    }
    let zero = read(&parties.admin, json!(0));
    let refused = try_sign(&parties.marketing, &zero["number"], &zero["digest"]);
    assert_eq!(refused["errors"][0]["code"], "CHARTER_STATE", "the default is signed by nobody: {refused}");

    sign(&parties.marketing, &first);
    let again = try_sign(&parties.marketing, one, digest);
    assert_eq!(again["errors"][0]["code"], "ALREADY_EXISTS", "{again}");
    let second = try_sign(&server.user("mia", "marketing"), one, digest);
    assert_ne!(second["charter"]["signed"], true, "two people of one side are not both sides: {second}");
    // Whoever changes sides has signed all the same.
    let moved = json!({"key": "mara", "name": "Mara", "team": "sales"});
    parties.admin.mutate("upsertUser", "UpsertUserInput", moved, "user { side }");
    let both = try_sign(&parties.marketing, one, digest);
    assert_eq!(both["errors"][0]["code"], "ALREADY_EXISTS", "one person cannot be both sides: {both}");
    let now = &parties.admin.query("{ charter(number: 1) { status signed } }", json!({}))["charter"];
    assert_eq!(*now, json!({"status": "PROPOSED", "signed": false}));
}

#[test]
fn without_both_signatures_nothing_comes_into_force() {
    let parties = Parties::start();
    let lacks = |charter: &Value| {
        let refused = try_activate(&parties.sales, charter);
        assert_eq!(
            (&refused["charter"], &refused["errors"][0]["code"]),
            (&Value::Null, &json!("CHARTER_STATE")),
            "{refused}"
        );
        refused["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
    };
    let charter = parties.propose(&parties.body(|_| {}));
    let message = lacks(&charter);
    assert!(message.contains("MARKETING and SALES"), "{message}");
    sign(&parties.sales, &charter);
    let message = lacks(&charter);
    assert!(message.contains("MARKETING") && !message.contains("SALES"), "only what is lacking: {message}");
    let other = parties.propose(&parties.body(|body| body["title"] = json!("Other")));
    sign(&parties.marketing, &other);
    let message = lacks(&other);
    assert!(
        message.contains("SALES") && !message.contains("MARKETING"),
        "a signature counts for one charter: {message}"
    );
    let refused = try_activate(&parties.sales, &json!({"number": 99}));
    assert_eq!(
        (&refused["errors"][0]["code"], &refused["errors"][0]["path"]),
        (&json!("NOT_FOUND"), &json!(["input", "number"]))
    );
    let reader = parties.server.token("mara", &["leads:read", "leads:write"]);
    assert_eq!(try_activate(&reader, &charter)["errors"][0]["code"], "FORBIDDEN");
    assert_eq!(parties.standing()[2], json!({"number": 0, "status": "ACTIVE"}), "nothing changed");
    // In force, it cannot be activated once more, and the default that it replaced is gone for good.
    sign(&parties.marketing, &charter);
    assert_eq!(try_activate(&parties.sales, &charter)["charter"]["status"], "ACTIVE");
    lacks(&charter);
    let message = lacks(&json!({"number": 0}));
    assert!(message.contains("lacks"), "nothing leads back to what nobody signed: {message}");
}

#[test]
fn either_side_says_no_until_a_charter_is_in_force() {
    let parties = Parties::start();
    let Parties { server, admin, marketing, sales, .. } = &parties;
    let charter = parties.propose(&parties.body(|_| {}));
    sign(marketing, &charter);
    sign(sales, &charter);
    let long = "x".repeat(1_001);
    let cases = [
        ("the administrator", admin, "no", "FORBIDDEN"),
        ("operations", &server.user("olga", "ops"), "no", "FORBIDDEN"),
        ("no reason", sales, " ", "VALIDATION"),
        ("too long a reason", sales, long.as_str(), "VALIDATION"),
    ];
    for (what, api, reason, code) in cases {
        let refused = try_reject(api, &charter, reason);
        assert_eq!(
            (&refused["charter"], &refused["errors"][0]["code"]),
            (&Value::Null, &json!(code)),
            "{what}: {refused}"
        );
    }
    let rejected = try_reject(marketing, &charter, "the targets are too low")["charter"].clone();
    assert_eq!(rejected["status"], "REJECTED", "even after it was signed: {rejected}");
    assert_eq!(
        rejected["rejection"],
        json!({"user": {"key": "mara"}, "side": "MARKETING", "reason": "the targets are too low"})
    );
    for refused in [
        try_activate(sales, &charter),
        try_sign(sales, &json!(1), &charter["digest"]),
        try_reject(sales, &charter, "me too"),
    ] {
        assert_eq!(
            refused["errors"][0]["code"], "CHARTER_STATE",
            "a rejected charter stays rejected: {refused}"
        );
    }
    let active = parties.enforce(&parties.body(|_| {}));
    let refused = try_reject(sales, &active, "too late");
    assert_eq!(refused["errors"][0]["code"], "CHARTER_STATE", "{refused}");
    let events = admin.query(
        "{ events(filter: {kinds: [\"CHARTER_REJECTED\"]}) { events { kind user { key } } } }",
        json!({}),
    );
    assert_eq!(events["events"]["events"], json!([{"kind": "CHARTER_REJECTED", "user": {"key": "mara"}}]));
}

#[test]
fn back_to_a_charter_that_both_signed_needs_no_new_signature() {
    let parties = Parties::start();
    parties.enforce(&parties.body(|body| body["title"] = json!("One")));
    parties.enforce(&parties.body(|body| body["title"] = json!("Two")));
    let status = |one: &str, two: &str| {
        let line = |number: i32, status: &str| json!({"number": number, "status": status});
        json!([line(2, two), line(1, one), line(0, "SUPERSEDED")])
    };
    assert_eq!(parties.standing(), status("SUPERSEDED", "ACTIVE"));
    let back = try_activate(&parties.marketing, &json!({"number": 1}));
    assert_eq!((&back["charter"]["status"], &back["errors"]), (&json!("ACTIVE"), &json!([])), "{back}");
    assert_eq!(parties.standing(), status("ACTIVE", "SUPERSEDED"), "exactly one is in force");
    let forth = try_activate(&parties.sales, &json!({"number": 2}));
    assert_eq!(forth["charter"]["status"], "ACTIVE", "{forth}");
    let events = parties
        .admin
        .query("{ events(filter: {kinds: [\"CHARTER_ACTIVATED\"]}) { events { payload } } }", json!({}));
    let told: Vec<(Value, Value)> = events["events"]["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| {
            let payload: Value =
                serde_json::from_str(event["payload"].as_str().unwrap_or_default()).expect("JSON");
            let fact = if payload["replaces"].is_null() { payload["fact"].clone() } else { payload };
            (fact["number"].clone(), fact["replaces"].clone())
        })
        .collect();
    assert_eq!(
        told,
        [(json!(1), json!(0)), (json!(2), json!(1)), (json!(1), json!(2)), (json!(2), json!(1))]
    );
    // What is in force survives a restart.
    let (dir, token) = parties.server.stop();
    let server = Server::start_in(dir, Some(token));
    let found = server.admin().query("{ charter { number signed body { title } } }", json!({}));
    assert_eq!(found["charter"], json!({"number": 2, "signed": true, "body": {"title": "Two"}}));
}

#[test]
fn what_was_agreed_is_what_everybody_reads() {
    let parties = Parties::start();
    let chief = json!({"field": "contact.seniority", "comparator": "EQ", "values": ["C_LEVEL"]});
    let persona = json!({
        "key": "cto", "name": "Technical head", "pains": ["Too many tools"],
        "traits": [{"key": "chief", "weight": 3, "test": chief}],
        "stageProfiles": [{"stage": "MQL", "channels": ["WEBINAR"], "contentKinds": ["white-paper"],
            "questions": ["How safe is it?"]}],
    });
    let term = json!({"key": "lead", "marketing": "Everybody with a name", "sales": "Somebody who buys",
        "meaning": "A person with an identity"});
    let duty = json!({"stage": "MQL", "activity": "Call", "responsible": "Sales",
        "accountable": "Head of sales", "consulted": ["Marketing"], "informed": []});
    let body = parties.body(|body| {
        body["personas"] = json!([persona]);
        body["glossary"] = json!([term]);
        body["responsibilities"] = json!([duty]);
        body["idealCustomer"] =
            json!([{"field": "company.employees", "comparator": "GTE", "values": ["50"]}]);
        stage(body, "MQL")["label"] = json!("Ready for sales");
    });
    parties.enforce(&body);
    let document = "{ glossary { key marketing sales meaning } \
                    persona(key: \"cto\") { name pains } none: persona(key: \"ceo\") { name } \
                    responsibilities { stage activity responsible accountable consulted informed } \
                    stageDefinition(kind: MQL) { label } personas { key } \
                    funnel { stages { stage label } } }";
    let found = parties.sales.query(document, json!({}));
    assert_eq!((&found["glossary"], &found["responsibilities"]), (&json!([term]), &json!([duty])));
    assert_eq!(found["persona"], json!({"name": "Technical head", "pains": ["Too many tools"]}));
    assert_eq!((&found["none"], &found["personas"]), (&Value::Null, &json!([{"key": "cto"}])));
    assert_eq!(found["stageDefinition"]["label"], "Ready for sales");
    let stages = found["funnel"]["stages"].as_array().cloned().unwrap_or_default();
    assert!(stages.contains(&json!({"stage": "MQL", "label": "Ready for sales"})), "{stages:?}");
    let lead = json!({"lead": {"email": "chief@example.test", "seniority": "C_LEVEL"}});
    let lead = parties.admin.mutate("captureLead", "CaptureLeadInput", lead, "lead { persona { key } }");
    assert_eq!(lead["lead"]["persona"], json!({"key": "cto"}));
}

/// Each case puts a value at a pointer into a good body, or takes it out with null. The refusal that follows
/// has a path and a word.
fn check_bodies(cases: &[(&str, Value, &str, &str)]) {
    let parties = Parties::start();
    let mut wrong = vec![];
    for (pointer, value, path, word) in cases {
        let body = parties.body(|body| put(body, pointer, value));
        let input = json!({"body": body, "dryRun": true});
        let selection = "charter { number }";
        let answer = parties.marketing.attempt("proposeCharter", "ProposeCharterInput", input, selection);
        let fits = |error: &&Value| {
            let found: Vec<&str> = list(&error["path"]).filter_map(Value::as_str).collect();
            let said = error["message"].as_str().is_some_and(|text| text.contains(word));
            found.join("/") == format!("input/body/{path}") && error["code"] == "VALIDATION" && said
        };
        if !list(&answer["errors"]).any(|error| fits(&error)) {
            let value: String = value.to_string().chars().take(100).collect();
            wrong.push(format!("{value} at {pointer}: expected {word:?} at {path}, found {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(parties.standing(), json!([{"number": 0, "status": "ACTIVE"}]));
}

fn put(body: &mut Value, pointer: &str, value: &Value) {
    let (above, last) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(above).unwrap_or_else(|| panic!("no {above}"));
    match (parent, value) {
        (Value::Array(items), Value::Null) => drop(items.remove(last.parse().expect("an index"))),
        (Value::Array(items), _) => items[last.parse::<usize>().expect("an index")] = value.clone(),
        (parent, _) => parent[last] = value.clone(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A persona of such traits.
fn persona(traits: Value) -> Value {
    json!([{"key": "p", "name": "P", "pains": [], "stageProfiles": [], "traits": traits}])
}

fn titled(weight: i32) -> Value {
    let test = json!({"field": "contact.title", "comparator": "KNOWN", "values": []});
    json!({"key": "titled", "weight": weight, "test": test})
}

#[test]
fn a_body_that_cannot_work_is_refused_where_it_is_wrong() {
    let entry = "/stages/3/entry";
    let test =
        |field: &str, comparator: &str, values: &[&str]| json!([criterion(field, comparator, values, true)]);
    let aimless = json!([{"key": "c", "text": "Something", "required": true}]);
    let size = json!([{"field": "company.size", "comparator": "GTE", "values": ["5"]}]);
    let at_test = "stages/3/entry/0/test";
    check_bodies(&[
        ("/title", json!("  "), "title", "title"),
        ("/timeZone", json!("Berlin"), "timeZone", "Europe/Berlin"),
        ("/currency", json!("Euro"), "currency", "EUR"),
        ("/maxHoldDays", json!(0), "maxHoldDays", "found 0"),
        ("/maxHoldDays", json!(366), "maxHoldDays", "found 366"),
        ("/commitments/1", Value::Null, "commitments", "SALES"),
        ("/commitments/0", Value::Null, "commitments", "MARKETING"),
        ("/slots/0/team", json!("marketng"), "slots/0/team", "marketng"),
        ("/slots/1/pool", json!("salse"), "slots/1/pool", "salse"),
        ("/slots/0/gate", Value::Null, "slots/0/gate", "no gate"),
        ("/slots/0/gate", json!("SAL"), "slots/0/gate", "SAL"),
        ("/slots/1/key", json!("mql"), "slots/1/key", "mql"),
        ("/slots/0/key", json!("m q l"), "slots/0/key", "m q l"),
        ("/fallbackQueue", json!("falback"), "fallbackQueue", "falback"),
        ("/marketingQueue", json!("nowhere"), "marketingQueue", "nowhere"),
        ("/stages/3", Value::Null, "stages", "MQL"),
        ("/stages/3/kind", json!("OPPORTUNITY"), "stages/4", "must not follow"),
        (entry, test("company.employes", "GTE", &["50"]), at_test, "nearest: company.employees"),
        (entry, test("traits.seats", "KNOWN", &[]), at_test, "traits.seats"),
        (entry, test("company.employees", "GTE", &["many"]), at_test, "many"),
        (entry, test("company.industry", "GTE", &["5"]), at_test, "integer"),
        (entry, test("contact.consent", "EQ", &["true", "false"]), at_test, "found 2"),
        (entry, aimless.clone(), "stages/3/entry/0", "test or a reason code"),
        ("/stages/3/exit", aimless, "stages/3/exit/0", "test or a reason code"),
        ("/personas", persona(json!([titled(0)])), "personas/0/traits/0/weight", "found 0"),
        ("/idealCustomer", size, "idealCustomer/0", "company.size"),
        ("/reasons/0/disqualify", json!(true), "reasons/0/disqualify", "NO_BUDGET"),
        ("/reasons/1/disqualify", json!(true), "reasons/1/disqualify", "NO_TIMELINE"),
        ("/reasons/3/key", json!("NO_BUDGET"), "reasons/3/key", "NO_BUDGET"),
        ("/reasons/0", Value::Null, "reasons", "NO_BUDGET"),
        ("/sla/1/kind", json!("ROUTE"), "sla/1/kind", "twice"),
        ("/sla/1", Value::Null, "sla", "ACCEPT"),
    ]);
}

#[test]
fn a_body_that_nobody_could_mean_is_refused_where_it_is_odd() {
    let consent = criterion("contact.consent", "EQ", &["true"], true);
    check_bodies(&[
        ("/stages/3/entry", json!([consent, consent]), "stages/3/entry/1/key", "c1"),
        ("/personas", persona(json!([titled(1), titled(2)])), "personas/0/traits/1/key", "titled"),
        ("/signals", json!([""]), "signals/0", ""),
        ("/signals", json!(["sso", "sso"]), "signals/1", "sso"),
        ("/reviewAfterDays", json!(0), "reviewAfterDays", "0"),
        ("/commitments/0/windowDays", json!(0), "commitments/0/windowDays", "0"),
        ("/commitments/0/target", json!(-1), "commitments/0/target", "-1"),
        ("/title", json!("x".repeat(60_000)), "title", "60000"),
    ]);
}

#[test]
fn a_text_never_changes_once_it_was_proposed() {
    let parties = Parties::start();
    let body = parties.body(|body| body["title"] = json!("As proposed"));
    let charter = parties.propose(&body);
    assert_eq!(parties.propose(&body)["digest"], charter["digest"], "one text has one digest");
    sign(&parties.marketing, &charter);
    sign(&parties.sales, &charter);
    try_activate(&parties.sales, &charter);
    parties.enforce(&parties.body(|body| body["title"] = json!("Replaced")));
    let found = read(&parties.admin, json!(1));
    assert_eq!(
        (&found["body"], &found["digest"], &found["status"]),
        (&body, &charter["digest"], &json!("SUPERSEDED"))
    );
}

#[test]
fn a_dry_run_judges_and_writes_nothing() {
    let parties = Parties::start();
    let Parties { admin, marketing, sales, .. } = &parties;
    let head = || admin.query("{ feedHead }", json!({}))["feedHead"].clone();
    let dry = |api: &Api, field: &str, kind: &str, mut input: Value| {
        let before = (head(), parties.standing());
        input["dryRun"] = json!(true);
        let tried = api.mutate(field, kind, input, CHARTER)["charter"].clone();
        assert_eq!((head(), parties.standing()), before, "{field} wrote something");
        tried
    };
    let tried =
        dry(marketing, "proposeCharter", "ProposeCharterInput", json!({"body": parties.body(|_| {})}));
    assert_eq!((&tried["number"], &tried["status"]), (&json!(1), &json!("PROPOSED")), "{tried}");
    let charter = parties.propose(&parties.body(|_| {}));
    assert_eq!(charter["digest"], tried["digest"]);
    sign(marketing, &charter);
    let signature = json!({"number": 1, "digest": charter["digest"]});
    let tried = dry(sales, "signCharter", "SignCharterInput", signature.clone());
    assert_eq!(tried["status"], "SIGNED", "it tells what would be: {tried}");
    assert_eq!(
        try_activate(sales, &charter)["errors"][0]["code"],
        "CHARTER_STATE",
        "nobody signed by trying"
    );
    sign(sales, &charter);
    let tried = dry(sales, "rejectCharter", "RejectCharterInput", json!({"number": 1, "reason": "to see"}));
    assert_eq!(tried["status"], "REJECTED", "{tried}");
    let tried = dry(sales, "activateCharter", "ActivateCharterInput", json!({"number": 1}));
    assert_eq!(tried["status"], "ACTIVE", "{tried}");
    assert_eq!(admin.query("{ charter { number } }", json!({}))["charter"]["number"], 0);
    // A refusal of a dry run is that of the real one.
    let real = marketing.attempt("signCharter", "SignCharterInput", signature.clone(), CHARTER);
    let mut input = signature;
    input["dryRun"] = json!(true);
    assert_eq!(marketing.attempt("signCharter", "SignCharterInput", input, CHARTER), real);
}

#[test]
fn a_repeated_request_has_its_effect_once() {
    let parties = Parties::start();
    let body = parties.body(|_| {});
    let mut changed = body.clone();
    changed["title"] = json!("Another text");
    let charter = json!({"number": 1, "digest": parties.propose(&body)["digest"]});
    let with = |key: &str, mut input: Value| {
        input["idempotencyKey"] = json!(key);
        input
    };
    let cases = [
        (
            &parties.marketing,
            "proposeCharter",
            "ProposeCharterInput",
            json!({"body": body}),
            json!({"body": changed}),
        ),
        (
            &parties.sales,
            "signCharter",
            "SignCharterInput",
            charter.clone(),
            json!({"number": 2, "digest": charter["digest"]}),
        ),
        (
            &parties.marketing,
            "signCharter",
            "SignCharterInput",
            charter.clone(),
            json!({"number": 2, "digest": charter["digest"]}),
        ),
        (
            &parties.sales,
            "activateCharter",
            "ActivateCharterInput",
            json!({"number": 1}),
            json!({"number": 2}),
        ),
        (
            &parties.sales,
            "rejectCharter",
            "RejectCharterInput",
            json!({"number": 2, "reason": "no"}),
            json!({"number": 2, "reason": "never"}),
        ),
    ];
    for (api, field, kind, input, other) in cases {
        let first = api.mutate(field, kind, with("k", input.clone()), CHARTER);
        let head = parties.admin.query("{ feedHead charters { number status } }", json!({}));
        let again = api.mutate(field, kind, with("k", input), CHARTER);
        assert_eq!(again, first, "{field}: the stored answer is told again");
        let reused = api.attempt(field, kind, with("k", other), CHARTER);
        assert_eq!(reused["errors"][0]["code"], "IDEMPOTENCY_KEY_REUSED", "{field}: {reused}");
        assert_eq!(
            parties.admin.query("{ feedHead charters { number status } }", json!({})),
            head,
            "{field} wrote twice"
        );
    }
}

#[test]
fn a_criterion_of_the_charter_holds_leads_at_its_gate() {
    let parties = Parties::start();
    let Parties { server, admin, .. } = &parties;
    server.deploy("scorecard", "mql", &card(10));
    let consent = json!({"consent": true});
    assert_eq!(
        capture(admin, "before@example.test", consent.clone())["stage"],
        "MQL",
        "the rule alone decides before"
    );
    parties.enforce(&parties.body(|body| {
        let mut watched = criterion("contact.title", "KNOWN", &[], false);
        watched["key"] = json!("c2");
        stage(body, "MQL")["entry"] = json!([criterion("company.industry", "KNOWN", &[], true), watched]);
    }));
    let held = capture(admin, "held@example.test", consent.clone());
    let gate = &held["evaluations"][0]["gates"][0];
    assert_eq!((&held["stage"], &held["workState"]), (&json!("INQUIRY"), &json!("UNROUTED")), "{held}");
    assert_eq!((&gate["gate"], &gate["result"]), (&json!("MQL"), &json!("HOLD")), "{held}");
    assert_eq!(
        gate["missing"],
        json!(["company.industry is known to us"]),
        "in the charter's words, and only what is required"
    );
    let results = |industry: bool, title: bool| {
        json!([
            {"key": "c1", "text": "company.industry is known to us", "required": true, "holds": industry},
            {"key": "c2", "text": "contact.title is known to us", "required": false, "holds": title},
        ])
    };
    assert_eq!(gate["criteria"], results(false, false));
    let company = json!({"name": "Example Ltd", "domain": "example.test", "industry": "software"});
    let known = capture(admin, "held@example.test", json!({"company": company}));
    assert_eq!(known["stage"], "MQL", "the lead passes as soon as more is known: {known}");
    let passed = capture(admin, "passes@example.test", json!({"consent": true, "company": company}));
    assert_eq!(passed["stage"], "MQL", "a criterion that is not required holds nobody: {passed}");
    assert_eq!(passed["evaluations"][0]["gates"][0]["criteria"], results(true, false));
    let unfit = capture(admin, "unfit@example.test", json!({"company": company}));
    assert_eq!(unfit["stage"], "INQUIRY", "a criterion replaces no rule: {unfit}");
}

#[test]
fn a_gate_that_people_open_says_what_the_charter_misses() {
    let parties = Parties::start();
    let Parties { server, admin, sales, .. } = &parties;
    server.deploy("scorecard", "mql", &card(10));
    parties.enforce(&parties.body(|body| {
        stage(body, "SQL")["entry"] = json!([criterion("answers.budget.grade", "GTE", &["3"], true)]);
    }));
    let lead = capture(admin, "buyer@example.test", json!({"consent": true}));
    drive(sales, &lead, Until::Sal, 0);
    let target = json!({"lead": {"id": lead["id"]}, "answers": [{"key": "budget", "grade": 2}]});
    let refused = sales.attempt("qualify", "QualifyInput", target.clone(), "lead { stage }");
    let missing = &refused["errors"][0]["missing"];
    assert_eq!(refused["errors"][0]["code"], "GATE_NOT_MET", "{refused}");
    assert_eq!(missing[0], "answers.budget.grade is known to us", "{refused}");
    assert!(missing[1].as_str().is_some_and(|text| text.contains("conversation")), "{refused}");
    let talk = json!({"lead": {"id": lead["id"]}, "kind": "CALL", "direction": "TWO_WAY"});
    sales.mutate("logActivity", "LogActivityInput", talk, "lead { id }");
    let refused = sales.attempt("qualify", "QualifyInput", target.clone(), "lead { stage }");
    assert_eq!(refused["errors"][0]["missing"], json!(["answers.budget.grade is known to us"]), "{refused}");
    let mut better = target;
    better["answers"][0]["grade"] = json!(3);
    let qualified = sales.mutate("qualify", "QualifyInput", better, "lead { stage }");
    assert_eq!(qualified["lead"]["stage"], "SQL");
}

/// Every day of the ledger around today, and where leads are.
fn assert_balanced(api: &Api, captured: usize, what: &str) {
    let document = "query($from: Date!, $to: Date!) { \
                    ledger(from: $from, to: $to) { day balance opened openAtEnd closed { cycles } } \
                    ledgerNow { total captured balanced } }";
    let found = api.query(document, json!({"from": day(api, -2), "to": day(api, 2)}));
    let days = found["ledger"].as_array().expect("days");
    let number =
        |value: &Value| value.as_str().and_then(|text| text.parse::<usize>().ok()).expect("a number");
    assert!(days.iter().all(|day| day["balance"] == "0"), "{what}: {found}");
    assert_eq!(days.iter().map(|day| number(&day["opened"])).sum::<usize>(), captured, "{what}: {found}");
    assert_eq!(found["ledgerNow"]["balanced"], true, "{what}: {found}");
}

/// A day of the charter's zone, some days away from today.
fn day(api: &Api, away: i32) -> String {
    let today = api.query("{ ledger { day } }", json!({}))["ledger"][0]["day"].clone();
    let today = Date::parse(today.as_str().expect("a day")).expect("a day");
    Date::from_days(today.days() + away).expect("a day of this age").to_string()
}

/// It is never the same day in both.
const FAR_APART: [&str; 2] = ["Pacific/Kiritimati", "Pacific/Pago_Pago"];

/// Leads that come while charters are exchanged, until the work is done. Answers how many came.
fn captured_meanwhile(api: &Api, writers: usize, work: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = |writer: usize| {
            let (api, done) = (api.clone(), &done);
            move || {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    capture(&api, &format!("w{writer}-{count}@example.test"), json!({}));
                    count += 1;
                }
                count
            }
        };
        let writers: Vec<_> = (0..writers).map(|n| scope.spawn(writer(n))).collect();
        work();
        done.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("the writer ends")).sum()
    })
}

#[test]
fn another_time_zone_cuts_the_days_anew_and_the_ledger_balances() {
    let parties = Parties::start();
    let Parties { admin, .. } = &parties;
    let captured = 4;
    for n in 0..captured {
        capture(admin, &format!("z{n}@example.test"), json!({}));
    }
    let gone = json!({"lead": {"email": "z0@example.test"}, "outcome": "DISQUALIFY", "reason": "NOT_ICP"});
    admin.mutate("dispositionLead", "DispositionLeadInput", gone, "lead { id }");
    assert_balanced(admin, captured, "in Berlin");
    let mut days = vec![];
    for zone in FAR_APART {
        let charter = parties.enforce(&parties.body(|body| body["timeZone"] = json!(zone)));
        assert_eq!(charter["status"], "ACTIVE");
        assert_balanced(admin, captured, zone);
        days.push(day(admin, 0));
    }
    assert!(days[1] < days[0], "{days:?}");
}

#[test]
fn a_lead_that_comes_while_the_time_zone_changes_is_counted_on_a_day_of_the_charter_in_force() {
    let parties = Parties::start();
    for zone in FAR_APART {
        parties.enforce(&parties.body(|body| body["timeZone"] = json!(zone)));
    }
    let captured = captured_meanwhile(&parties.admin, 3, || {
        for round in 0..16 {
            let activated = try_activate(&parties.sales, &json!({"number": 1 + round % 2}));
            assert_eq!(activated["charter"]["status"], "ACTIVE", "{activated}");
        }
    });
    assert_balanced(&parties.admin, captured, "after charters changed under writers");
}

#[test]
fn another_currency_is_refused_once_there_are_amounts() {
    let yen = |body: &mut Value| body["currency"] = json!("JPY");
    // Without amounts a workspace takes any currency.
    let parties = Parties::start();
    assert_eq!(parties.enforce(&parties.body(yen))["status"], "ACTIVE");
    let cost = json!({"amountMinor": "5000", "currency": "EUR"});
    let campaign = json!({"key": "fair", "name": "Fair", "kind": "fair", "channel": "EVENT", "cost": cost});
    let refused =
        parties.marketing.attempt("createCampaign", "CreateCampaignInput", campaign, "campaign { id }");
    assert_eq!(refused["errors"][0]["code"], "CURRENCY_MISMATCH", "the new one counts at once: {refused}");

    let parties = Parties::start();
    parties.ready_for_deals();
    let lead = capture(&parties.admin, "deal@example.test", json!({"consent": true}));
    drive(&parties.sales, &lead, Until::Opportunity, 1_000);
    assert_currency_stays(&parties, "a deal");
}

#[test]
fn another_currency_is_refused_once_a_campaign_has_cost_something() {
    let parties = Parties::start();
    let cost = json!({"amountMinor": "5000", "currency": "EUR"});
    let campaign = json!({"key": "fair", "name": "Fair", "kind": "fair", "channel": "EVENT", "cost": cost});
    parties.marketing.mutate("createCampaign", "CreateCampaignInput", campaign, "campaign { id }");
    assert_currency_stays(&parties, "a campaign's cost");
    let found =
        parties.admin.query("{ campaign(key: \"fair\") { cost { amountMinor currency } } }", json!({}));
    assert_eq!(
        found["campaign"]["cost"],
        json!({"amountMinor": "5000", "currency": "EUR"}),
        "EUR 50.00 never become JPY 5000"
    );
}

fn assert_currency_stays(parties: &Parties, what: &str) {
    let before = read(&parties.admin, Value::Null);
    let charter = parties.propose(&parties.body(|body| body["currency"] = json!("JPY")));
    sign(&parties.marketing, &charter);
    sign(&parties.sales, &charter);
    let refused = try_activate(&parties.sales, &charter);
    let error = &refused["errors"][0];
    assert_eq!(
        (&error["code"], &error["path"]),
        (&json!("CURRENCY_MISMATCH"), &json!(["input", "number"])),
        "{what}: {refused}"
    );
    assert!(
        error["message"].as_str().is_some_and(|text| text.contains("EUR") && text.contains("JPY")),
        "{what}: {refused}"
    );
    assert_eq!(read(&parties.admin, Value::Null), before, "{what}: the charter before stays in force");
}

#[test]
fn no_charter_hides_a_lead_that_stands_at_a_stage_which_it_drops() {
    let parties = Parties::start();
    parties.enforce(&parties.body(|body| {
        stage(body, "IQL")["entry"] = json!([criterion("company.industry", "KNOWN", &[], true)]);
    }));
    let company = json!({"name": "Example Ltd", "industry": "software"});
    let lead = capture(&parties.admin, "learns@example.test", json!({"company": company}));
    assert_eq!(lead["stage"], "IQL", "{lead}");
    let charter = parties.propose(&parties.body(|body| {
        body["stages"].as_array_mut().expect("stages").retain(|stage| stage["kind"] != "IQL");
    }));
    sign(&parties.marketing, &charter);
    sign(&parties.sales, &charter);
    // It may be refused, or the funnel may go on to show the stage: the lead must not be gone.
    let activated = try_activate(&parties.sales, &charter);
    let found = parties.admin.query("{ funnel { stages { stage open } } ledgerNow { total } }", json!({}));
    let stages = found["funnel"]["stages"].as_array().cloned().unwrap_or_default();
    let open: i64 = stages.iter().filter_map(|stage| stage["open"].as_str()?.parse::<i64>().ok()).sum();
    assert_eq!(json!(open.to_string()), found["ledgerNow"]["total"], "{activated}: {found}");
}
