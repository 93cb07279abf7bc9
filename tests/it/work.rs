//! Sales' work through the public API: the life of a lead up to the win, every refusal on the way, touches
//! that bring leads back, and the queue that people work from.

use handfast_domain::time::Instant;
use handfast_tests::{Api, Server, card, eventually, fair_share, root};
use serde_json::{Value, json};

/// A company of three: Mia in marketing, Rob in sales' pool, Ada in sales without a place in the pool. Rules
/// are live; a lead with consent scores 10 and becomes an MQL of Rob's, one of the C level scores 30.
pub struct World {
    pub server: Server,
    pub admin: Api,
    pub mia: Api,
    pub rob: Api,
    pub ada: Api,
}

impl World {
    /// Under charter 0, which nobody signed.
    pub fn unsigned() -> World {
        let server = Server::start();
        let admin = server.admin();
        let (mia, rob, ada) =
            (server.user("mia", "marketing"), server.user("rob", "sales"), server.user("ada", "sales"));
        let pool = json!({"key": "sales", "queue": "fallback", "members": [{"user": "rob"}]});
        admin.mutate("upsertPool", "UpsertPoolInput", pool, "pool { key }");
        server.deploy("scorecard", "mql", &card(10));
        server.deploy("fair-share", "routing", &fair_share());
        World { server, admin, mia, rob, ada }
    }

    /// Under a charter that asks for a proven need before SQL, for two attempts by two kinds of contact
    /// before NO_RESPONSE, and that knows one signal.
    pub fn start() -> World {
        let world = World::unsigned();
        world.agree(|body| {
            let stages = body["stages"].as_array_mut().expect("stages");
            let sql = stages.iter_mut().find(|stage| stage["kind"] == "SQL").expect("the stage SQL");
            let test = json!({"field": "answers.need.grade", "comparator": "GTE", "values": ["3"]});
            let need = json!({"key": "need", "text": "The need is proven", "required": true, "test": test});
            sql["entry"] = json!([need]);
            body["attempts"] = json!({"attempts": 2, "days": 0, "channels": 2});
            body["signals"] = json!(["feature-released"]);
        });
        world
    }

    /// Edits the charter in force; both sides sign and Mia activates it. Answers its number.
    pub fn agree(&self, edit: impl FnOnce(&mut Value)) -> Value {
        let proposed = self.propose(edit);
        let (number, digest) = (&proposed["number"], &proposed["digest"]);
        for side in [&self.mia, &self.rob] {
            let input = json!({"number": number, "digest": digest});
            side.mutate("signCharter", "SignCharterInput", input, "charter { status }");
        }
        let input = json!({"number": number});
        self.mia.mutate("activateCharter", "ActivateCharterInput", input, "charter { status }");
        number.clone()
    }

    /// Edits the charter in force, and leaves it for signatures. Answers number and digest.
    pub fn propose(&self, edit: impl FnOnce(&mut Value)) -> Value {
        let mut body = self.admin.query(&format!("{{ charter {{ body {{ {BODY} }} }} }}"), json!({}));
        let mut body = body["charter"]["body"].take();
        let promise = |party: &str| {
            let metric = "MQL_PER_MONTH";
            json!({"party": party, "metric": metric, "target": 1, "unit": "count", "windowDays": 30,
                "weight": 1})
        };
        body["commitments"] = json!([promise("MARKETING"), promise("SALES")]);
        edit(&mut body);
        let input = json!({"body": body});
        let proposed =
            self.mia.mutate("proposeCharter", "ProposeCharterInput", input, "charter { number digest }");
        proposed["charter"].clone()
    }

    /// Somebody with consent: an MQL.
    pub fn mql(&self, email: &str, more: Value) -> Value {
        self.mql_of(over(json!({"email": email, "consent": true}), more))
    }

    /// The same with a whole intake.
    pub fn mql_of(&self, lead: Value) -> Value {
        let payload = self.mia.mutate("captureLead", "CaptureLeadInput", json!({"lead": lead}), LEAD);
        payload["lead"].clone()
    }

    /// An MQL that Rob took on and worked up to the stage.
    pub fn at(&self, stage: &str, email: &str) -> Value {
        let mut lead = self.mql(email, json!({}));
        let eur = json!({"amountMinor": "250000", "currency": "EUR"});
        let steps = [
            ("SAL", "acceptHandoff", json!({})),
            ("SAL+", "logActivity", json!({"kind": "CALL", "direction": "TWO_WAY"})),
            ("SQL", "qualify", json!({"answers": [{"key": "need", "grade": 3}]})),
            ("OPPORTUNITY", "recordOpportunity", json!({"amount": eur})),
        ];
        for (reached, verb, more) in steps {
            if lead["stage"] == stage {
                break;
            }
            lead = done(&self.rob, verb, &lead, more);
            if reached == stage {
                break;
            }
        }
        lead
    }
}

/// What `proposeCharter` takes, read from the charter in force.
const BODY: &str = "\
    title currency timeZone stages { kind label meaning owner composition entry { key text required \
    reasonCode test { field comparator values } } exit { key text required reasonCode test { field \
    comparator values } } } slots { key kind gate team position scoring pool approval } personas { key name pains \
    traits { key weight test { field comparator values } } stageProfiles { stage questions contentKinds \
    channels } } idealCustomer { field comparator values } idealProfiles { key name criteria { key weight required \
    test { field comparator values } } } reasons { key label recycle disqualify lost \
    recycleAfterDays needsDate needsAttempts needsCompetitor returnsToMarketing permanent track } \
    attempts { attempts days channels } sla { kind party mode targetMinutes urgentTargetMinutes steps \
    pauseReasons maxPauseMinutes minAttempts withinDays minChannels } glossary { key marketing sales \
    meaning } responsibilities { stage activity responsible accountable consulted informed } commitments \
    { party metric target unit windowDays weight } fallbackQueue marketingQueue maxHoldDays highIntent \
    signals reviewAfterDays";

pub const LEAD: &str = "lead { id uuid version stage workState outcome cycle furthestStage priority owner \
    { key } queue { key } clocks { kind level state dueAt metAt breachedAt } }";

/// `base` with the fields of `more` on top.
fn over(mut base: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

fn input_of(field: &str) -> String {
    match field {
        "acceptHandoff" | "evaluateLead" | "leaveNurture" => "LeadTarget".to_owned(),
        _ => format!("{}{}Input", field[..1].to_uppercase(), &field[1..]),
    }
}

/// A verb on a lead; the payload, whatever it says.
pub fn act(api: &Api, field: &str, lead: &Value, more: Value) -> Value {
    api.attempt(field, &input_of(field), over(json!({"lead": {"id": lead["id"]}}), more), LEAD)
}

/// A verb that must succeed; the lead as it is then.
pub fn done(api: &Api, field: &str, lead: &Value, more: Value) -> Value {
    let payload = act(api, field, lead, more.clone());
    assert_eq!(payload["errors"], json!([]), "{field} {more}");
    payload["lead"].clone()
}

/// A verb that must be refused; its only error.
pub fn refused(api: &Api, field: &str, lead: &Value, more: Value) -> Value {
    let payload = act(api, field, lead, more.clone());
    assert_eq!(
        (&payload["lead"], payload["errors"].as_array().map(Vec::len)),
        (&json!(null), Some(1)),
        "{field} {more}: {payload}"
    );
    payload["errors"][0].clone()
}

/// Reads a lead.
pub fn look(api: &Api, lead: &Value, selection: &str) -> Value {
    let document = format!("query($by: LeadRef!) {{ lead(by: $by) {{ {selection} }} }}");
    api.query(&document, json!({"by": {"id": lead["id"]}}))["lead"].clone()
}

/// State of the newest clock of a kind and level.
pub fn clock<'l>(lead: &'l Value, kind: &str, level: &str) -> &'l Value {
    let clocks = lead["clocks"].as_array().into_iter().flatten().rev();
    let mut of_kind = clocks.filter(|clock| clock["kind"] == kind && clock["level"] == level);
    of_kind.next().map_or(&Value::Null, |clock| &clock["state"])
}

/// The server's time.
pub fn now(api: &Api) -> Instant {
    let answer = api.query("{ funnel { asOf } }", json!({}));
    Instant::parse(answer["funnel"]["asOf"].as_str().unwrap_or_default()).expect("an instant")
}

fn touch(api: &Api, touchpoints: Value) -> Value {
    let input = json!({"touchpoints": touchpoints});
    api.mutate("recordTouchpoints", "RecordTouchpointsInput", input, "leads highIntent")
}

#[test]
fn a_lead_lives_through_the_hands_of_both_sides_up_to_the_win() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let lead = world.mql("win@example.test", json!({}));
    assert_eq!(
        (&lead["stage"], &lead["workState"], &lead["owner"]["key"]),
        (&json!("MQL"), &json!("ASSIGNED"), &json!("rob"))
    );
    let states = |lead: &Value| {
        [("ROUTE", "LEAD"), ("ACCEPT", "OWNER"), ("FIRST_TOUCH", "LEAD"), ("DISPOSITION", "LEAD")]
            .map(|(kind, level)| clock(lead, kind, level).as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(states(&lead), ["MET", "RUNNING", "RUNNING", "-"]);
    let eur = |minor: &str| json!({"amount": {"amountMinor": minor, "currency": "EUR"}});
    let steps = [
        ("acceptHandoff", json!({}), "SAL", "WORKING", ["MET", "MET", "RUNNING", "RUNNING"]),
        (
            "logActivity",
            json!({"kind": "CALL", "direction": "OUTBOUND"}),
            "SAL",
            "WORKING",
            ["MET", "MET", "MET", "RUNNING"],
        ),
        (
            "logActivity",
            json!({"kind": "EMAIL", "direction": "INBOUND"}),
            "SAL",
            "CONNECTED",
            ["MET", "MET", "MET", "RUNNING"],
        ),
        (
            "logActivity",
            json!({"kind": "EMAIL", "direction": "OUTBOUND"}),
            "SAL",
            "WAITING_ON_BUYER",
            ["MET", "MET", "MET", "RUNNING"],
        ),
        (
            "logActivity",
            json!({"kind": "MEETING", "direction": "TWO_WAY"}),
            "SAL",
            "CONNECTED",
            ["MET", "MET", "MET", "RUNNING"],
        ),
        (
            "qualify",
            json!({"answers": [{"key": "need", "grade": 4, "evidence": "said so", "confidence": 8000}]}),
            "SQL",
            "CONNECTED",
            ["MET", "MET", "MET", "RUNNING"],
        ),
        ("recordOpportunity", eur("250000"), "OPPORTUNITY", "CONNECTED", ["MET", "MET", "MET", "MET"]),
        ("closeWon", eur("240000"), "CUSTOMER", "CLOSED", ["MET", "MET", "MET", "MET"]),
    ];
    for (number, (verb, more, stage, work, clocks)) in steps.into_iter().enumerate() {
        let now = done(rob, verb, &lead, more);
        assert_eq!(
            (&now["stage"], &now["workState"]),
            (&json!(stage), &json!(work)),
            "{number} {verb}: {now}"
        );
        assert_eq!(states(&now), clocks, "{number} {verb}: {now}");
        assert_eq!(now["version"], json!(number + 2), "one version for each verb: {now}");
        assert_eq!(now["owner"]["key"], "rob", "{now}");
    }
    let end = look(
        mia,
        &lead,
        "outcome furthestStage cycles { number outcome furthestStage conversations closedAt }",
    );
    assert_eq!((&end["outcome"], &end["furthestStage"]), (&json!("WON"), &json!("CUSTOMER")));
    let cycle = &end["cycles"][0];
    assert_eq!(
        (&cycle["number"], &cycle["outcome"], &cycle["conversations"]),
        (&json!(1), &json!("WON"), &json!(2)),
        "{end}"
    );
    let document = "query($lead: ID!) { events(first: 500, filter: {lead: $lead}) { events { version } } }";
    let events = mia.query(document, json!({"lead": lead["id"]}))["events"]["events"].clone();
    let versions: Vec<i64> =
        events.as_array().unwrap().iter().filter_map(|event| event["version"].as_i64()).collect();
    let mut gapless = versions.clone();
    gapless.dedup();
    assert_eq!(gapless, (1..=9).collect::<Vec<i64>>(), "the lead's versions in the log: {versions:?}");
    for verb in ["closeLost", "reopenLead", "logActivity", "recycleLead"] {
        let more = match verb {
            "logActivity" => json!({"kind": "CALL", "direction": "OUTBOUND"}),
            _ => json!({"reason": "HOLDING_OFF"}),
        };
        assert_eq!(
            refused(rob, verb, &lead, more)["code"],
            "ILLEGAL_TRANSITION",
            "a won cycle is over: {verb}"
        );
    }
}

#[test]
fn under_the_unsigned_charter_a_conversation_is_enough_to_qualify() {
    let world = World::unsigned();
    let lead = world.mql("default@example.test", json!({}));
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    let answers = json!({"answers": [{"key": "need", "grade": 3}]});
    let early = refused(&world.rob, "qualify", &lead, answers.clone());
    assert_eq!(early["code"], "GATE_NOT_MET");
    let missing = json!(["a conversation with the buyer: log an INBOUND or TWO_WAY activity"]);
    assert_eq!(early["missing"], missing, "only what somebody can mend is missing: {early}");
    done(&world.rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY"}));
    assert_eq!(
        done(&world.rob, "qualify", &lead, answers)["stage"],
        "SQL",
        "charter 0 asks for nothing more"
    );
}

#[test]
fn graded_answers_open_the_gate_to_sql_and_ticked_boxes_do_not() {
    let world = World::unsigned();
    world.agree(|body| {
        let slots = body["slots"].as_array_mut().expect("slots");
        slots.push(json!({"key": "sql", "kind": "QUALIFY", "gate": "SQL", "team": "sales", "position": 0, "scoring": false}));
    });
    let settings = std::fs::read_to_string(root().join("plugins/graded-answers/settings/default.json"));
    let settings: Value = serde_json::from_str(&settings.expect("settings")).expect("JSON");
    let version = world.server.deploy("graded-answers", "sql", &settings);
    let lead = world.mql("graded@example.test", json!({}));
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    done(&world.rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY"}));

    let tick = |key: &str| json!({"key": key, "grade": 2, "confidence": 5000});
    let ticked = ["budget", "authority", "need", "timeline"].map(tick);
    let ticked = json!({"answers": ticked});
    let early = refused(&world.rob, "qualify", &lead, ticked);
    assert_eq!(early["code"], "GATE_NOT_MET", "{early}");
    let proven = |key: &str| json!({"key": key, "grade": 4, "confidence": 9000, "evidence": "in writing"});
    let answers = ["budget", "authority", "need", "timeline", "consequence"].map(proven);
    let answers = json!({"answers": answers});
    assert_eq!(done(&world.rob, "qualify", &lead, answers)["stage"], "SQL");

    let fields =
        "evaluations(first: 1) { decisions { slot outcome fit version reasons { code weight field } } }";
    let judged = look(&world.mia, &lead, fields);
    let decision = &judged["evaluations"][0]["decisions"][0];
    assert_eq!((&decision["slot"], &decision["outcome"]), (&json!("sql"), &json!("ADVANCE")), "{judged}");
    assert_eq!((&decision["fit"], &decision["version"]), (&json!(90), &json!(version)), "{judged}");
    let need = json!({"code": "answer-need", "weight": 27, "field": "answers.need.grade"});
    assert_eq!(decision["reasons"][0], need, "the heaviest answer first: {judged}");
}

#[test]
fn only_the_owner_or_a_member_of_the_queue_answers_a_handoff() {
    let world = World::start();
    let World { server, admin, mia, rob, ada } = &world;
    let oli = server.user("oli", "ops");
    let lead = world.mql("mine@example.test", json!({}));
    let not_icp = json!({"reason": "NOT_ICP"});
    for (who, api) in
        [("another rep", ada), ("marketing", mia), ("operations", &oli), ("the administrator", admin)]
    {
        for (verb, more) in [("acceptHandoff", json!({})), ("rejectHandoff", not_icp.clone())] {
            let error = refused(api, verb, &lead, more);
            assert_eq!(error["code"], "FORBIDDEN", "{who} {verb}: {error}");
        }
    }
    assert_eq!(done(rob, "acceptHandoff", &lead, json!({}))["stage"], "SAL");
    let again = refused(rob, "acceptHandoff", &lead, json!({}));
    assert_eq!(again["code"], "ILLEGAL_TRANSITION", "{again}");
    // Without a router the fallback queue of sales has the lead: anybody of that team may take it.
    admin.mutate(
        "rollback",
        "RollbackInput",
        json!({"slot": "routing", "reason": "none"}),
        "deployment { id }",
    );
    let queued = world.mql("queued@example.test", json!({}));
    assert_eq!((&queued["workState"], &queued["queue"]["key"]), (&json!("QUEUED"), &json!("fallback")));
    assert_eq!(refused(mia, "acceptHandoff", &queued, json!({}))["code"], "FORBIDDEN");
    let taken = done(ada, "acceptHandoff", &queued, json!({}));
    assert_eq!((&taken["owner"]["key"], &taken["queue"]), (&json!("ada"), &json!(null)), "{taken}");
    let left = world.mql("left@example.test", json!({}));
    assert_eq!(done(ada, "rejectHandoff", &left, not_icp)["outcome"], "DISQUALIFIED");
}

#[test]
fn two_reps_that_take_the_same_lead_at_once_are_one_owner_and_one_refusal() {
    let world = World::start();
    world.admin.mutate(
        "rollback",
        "RollbackInput",
        json!({"slot": "routing", "reason": "none"}),
        "deployment { id }",
    );
    for round in 0..5 {
        let lead = world.mql(&format!("race{round}@example.test"), json!({}));
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let reps = [&world.rob, &world.ada]
                .map(|rep| scope.spawn(|| act(rep, "acceptHandoff", &lead, json!({}))));
            reps.into_iter().map(|rep| rep.join().expect("the rep ends")).collect()
        });
        let won = answers.iter().filter(|answer| answer["errors"] == json!([])).count();
        let lost: Vec<&Value> = answers.iter().filter_map(|answer| answer["errors"].get(0)).collect();
        assert_eq!((won, lost.len()), (1, 1), "{answers:?}");
        assert_eq!(lost[0]["code"], "ILLEGAL_TRANSITION", "{answers:?}");
    }
}

#[test]
fn a_rejection_has_a_reason_of_the_charter_and_the_lead_a_next_place() {
    let world = World::start();
    let rob = &world.rob;
    let refusals = [
        (
            json!({"reason": "BAD_MOOD"}),
            "VALIDATION",
            "no reason \"BAD_MOOD\" in the charter; it has NO_BUDGET",
        ),
        (json!({"reason": ""}), "VALIDATION", "no reason \"\" in the charter"),
        (json!({"reason": "LOST_TO_COMPETITOR"}), "REASON_NOT_ALLOWED", "cannot recycle"),
        (json!({"reason": "NO_RESPONSE"}), "ATTEMPTS_MISSING", "2 attempts, found 0"),
        (json!({"reason": "NO_TIMELINE"}), "VALIDATION", "needs the date that the buyer named"),
        (
            json!({"reason": "NO_TIMELINE", "recycleAt": "2020-01-01T00:00:00Z"}),
            "VALIDATION",
            "in the future",
        ),
    ];
    let lead = world.mql("refusals@example.test", json!({}));
    for (more, code, message) in refusals {
        let error = refused(rob, "rejectHandoff", &lead, more.clone());
        assert_eq!(error["code"], code, "{more}: {error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{more}: {error}");
    }
    assert_eq!(look(rob, &lead, "version")["version"], 1, "nothing was written");
    let cases = [
        (json!({"reason": "NOT_ICP"}), "DISQUALIFIED", "CLOSED"),
        (json!({"reason": "SPAM"}), "DISQUALIFIED", "CLOSED"),
        (json!({"reason": "NO_BUDGET"}), "RECYCLED", "NURTURING"),
        (json!({"reason": "NO_TIMELINE", "recycleAt": "2090-01-01T00:00:00Z"}), "RECYCLED", "NURTURING"),
    ];
    for (number, (more, outcome, work)) in cases.into_iter().enumerate() {
        let lead = world.mql(&format!("reject{number}@example.test"), json!({}));
        let closed = done(rob, "rejectHandoff", &lead, more.clone());
        assert_eq!(
            (&closed["outcome"], &closed["workState"]),
            (&json!(outcome), &json!(work)),
            "{more}: {closed}"
        );
        assert_eq!(clock(&closed, "ACCEPT", "OWNER"), "MET", "a no is an answer: {closed}");
        let comes_back = if outcome == "RECYCLED" { json!("RUNNING") } else { json!(null) };
        assert_eq!(clock(&closed, "REQUALIFY", "LEAD"), &comes_back, "{more}: {closed}");
        let handoff = look(rob, &lead, "handoff { status reason answeredAt } cycles { outcome reason }");
        assert_eq!(handoff["handoff"]["status"], "REJECTED", "{handoff}");
        assert_eq!(handoff["handoff"]["reason"], more["reason"], "{handoff}");
        assert!(handoff["handoff"]["answeredAt"].is_string(), "{handoff}");
        assert_eq!(handoff["cycles"], json!([{"outcome": outcome, "reason": more["reason"]}]));
    }
}

#[test]
fn a_lead_without_context_returns_to_marketing_which_sends_it_again() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let lead = world.mql("context@example.test", json!({}));
    let back = done(rob, "rejectHandoff", &lead, json!({"reason": "NO_CONTEXT"}));
    assert_eq!(
        (&back["stage"], &back["outcome"], &back["workState"]),
        (&json!("MQL"), &json!("OPEN"), &json!("QUEUED"))
    );
    assert_eq!((&back["queue"]["key"], &back["owner"]), (&json!("marketing"), &json!(null)));
    assert_eq!(clock(&back, "CONTEXT", "LEAD"), "RUNNING", "marketing owes the answer: {back}");
    assert_eq!(clock(&back, "FIRST_TOUCH", "LEAD"), "PAUSED", "sales waits: {back}");
    assert_eq!(
        look(mia, &lead, "handoff { status reason }")["handoff"],
        json!({"status": "RETURNED", "reason": "NO_CONTEXT"})
    );
    assert_eq!(refused(rob, "routeLead", &lead, json!({}))["code"], "FORBIDDEN", "routing is marketing's");
    let again = done(mia, "routeLead", &lead, json!({}));
    assert_eq!((&again["owner"]["key"], &again["workState"]), (&json!("rob"), &json!("ASSIGNED")), "{again}");
    assert_eq!(clock(&again, "CONTEXT", "LEAD"), "MET", "{again}");
    assert_eq!(clock(&again, "FIRST_TOUCH", "LEAD"), "RUNNING", "the lead's wait goes on: {again}");
    assert_eq!(clock(&again, "ACCEPT", "OWNER"), "RUNNING", "a new promise: {again}");
    assert_eq!(
        look(mia, &lead, "handoff { status reason }")["handoff"],
        json!({"status": "PENDING", "reason": null})
    );
    assert_eq!(done(rob, "acceptHandoff", &lead, json!({}))["stage"], "SAL");
}

#[test]
fn a_lead_that_is_sent_again_keeps_its_priority_and_the_reasons_in_its_packet() {
    let world = World::start();
    let lead = world.mql("again@example.test", json!({"seniority": "C_LEVEL"}));
    let told = "priority handoff { intact packet { insights { code weight } } }";
    let first = look(&world.rob, &lead, told);
    assert_eq!(first["priority"], 30, "{first}");
    let insights =
        json!([{"code": "contact-seniority", "weight": 20}, {"code": "contact-consent", "weight": 10}]);
    assert_eq!(first["handoff"]["packet"]["insights"], insights);
    done(&world.rob, "rejectHandoff", &lead, json!({"reason": "NO_CONTEXT"}));
    done(&world.mia, "routeLead", &lead, json!({}));
    let second = look(&world.rob, &lead, told);
    assert_eq!(
        second["handoff"]["packet"]["insights"], insights,
        "the second packet says why as well: {second}"
    );
    assert_eq!(second["priority"], 30, "it does not fall to the end of the queue: {second}");
}

#[test]
fn what_a_stage_allows_never_names_the_verb_that_it_just_refused() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let returned = world.mql("returned@example.test", json!({}));
    done(rob, "rejectHandoff", &returned, json!({"reason": "NO_CONTEXT"}));
    let amount = json!({"amount": {"amountMinor": "100", "currency": "EUR"}});
    let mql = world.mql("allowed@example.test", json!({}));
    let sal = world.at("SAL", "allowed-sal@example.test");
    let cases = [
        (rob, "acceptHandoff", &returned, json!({})),
        (rob, "rejectHandoff", &returned, json!({"reason": "NOT_ICP"})),
        (mia, "evaluateLead", &mql, json!({})),
        (rob, "closeWon", &mql, amount.clone()),
        (rob, "acceptHandoff", &sal, json!({})),
        (mia, "routeLead", &sal, json!({})),
        (rob, "recordOpportunity", &sal, amount),
        (rob, "closeLost", &sal, json!({"reason": "HOLDING_OFF"})),
    ];
    for (api, verb, lead, more) in cases {
        let error = refused(api, verb, lead, more);
        assert_eq!(error["code"], "ILLEGAL_TRANSITION", "{verb}: {error}");
        let allowed = error["allowed"].as_array().expect("what is allowed");
        assert!(!allowed.is_empty() && !allowed.contains(&json!(verb)), "{verb}: {error}");
    }
}

#[test]
fn who_is_neither_marketing_nor_sales_ends_and_reopens_no_lead() {
    let world = World::start();
    let oli = world.server.user("oli", "ops");
    let open = world.at("SAL", "ops@example.test");
    let closed = world.mql("ops-closed@example.test", json!({}));
    done(&world.rob, "rejectHandoff", &closed, json!({"reason": "NOT_ICP"}));
    let cases = [
        ("dispositionLead", &open, json!({"outcome": "DISQUALIFY", "reason": "NOT_ICP"})),
        ("recycleLead", &open, json!({"reason": "NOT_READY"})),
        ("reopenLead", &closed, json!({"reason": "why not"})),
        ("logActivity", &open, json!({"kind": "CALL", "direction": "OUTBOUND"})),
    ];
    for (verb, lead, more) in cases {
        let payload = act(&oli, verb, lead, over(more, json!({"dryRun": true})));
        assert_eq!(payload["errors"][0]["code"], "FORBIDDEN", "{verb} by operations: {payload}");
    }
}

#[test]
fn the_first_touch_is_a_persons_or_an_answer_to_a_buyer_who_wrote_first() {
    let world = World::start();
    let rob = &world.rob;
    let long_ago = json!("2020-05-04T09:00:00Z");
    let mail = |direction: &str, automated: bool| {
        let mail = json!({"kind": "EMAIL", "direction": direction});
        over(mail, json!({"automated": automated}))
    };
    let note = |direction: &str| json!({"kind": "NOTE", "direction": direction, "note": "thought of it"});
    let call = |direction: &str| json!({"kind": "CALL", "direction": direction});
    let cases = [
        ("a call", vec![call("OUTBOUND")], "MET"),
        ("a meeting", vec![json!({"kind": "MEETING", "direction": "TWO_WAY"})], "MET"),
        ("a note", vec![note("OUTBOUND")], "RUNNING"),
        ("a machine's mail", vec![mail("OUTBOUND", true)], "RUNNING"),
        ("the buyer's mail", vec![mail("INBOUND", false)], "RUNNING"),
        ("a machine's answer to the buyer", vec![mail("INBOUND", false), mail("OUTBOUND", true)], "MET"),
        ("a machine's mail after a note", vec![note("INBOUND"), mail("OUTBOUND", true)], "RUNNING"),
        (
            "a call before the lead was there",
            vec![over(call("OUTBOUND"), json!({"occurredAt": long_ago}))],
            "RUNNING",
        ),
    ];
    for (number, (name, activities, state)) in cases.into_iter().enumerate() {
        let mut lead = world.mql(&format!("touch{number}@example.test"), json!({}));
        for activity in activities {
            lead = done(rob, "logActivity", &lead, activity);
        }
        for level in ["LEAD", "OWNER"] {
            assert_eq!(clock(&lead, "FIRST_TOUCH", level), state, "{name}, {level}: {lead}");
        }
    }
    let lead = world.mql("ahead@example.test", json!({}));
    let ahead = refused(
        rob,
        "logActivity",
        &lead,
        over(call("OUTBOUND"), json!({"occurredAt": "2090-01-01T00:00:00Z"})),
    );
    assert_eq!(
        (&ahead["code"], &ahead["path"]),
        (&json!("VALIDATION"), &json!(["input", "occurredAt"])),
        "{ahead}"
    );
}

#[test]
fn what_was_done_before_the_cycle_began_says_nothing_of_where_it_stands() {
    let world = World::start();
    let lead = world.at("SAL+", "old-call@example.test");
    let old = json!({"kind": "CALL", "direction": "OUTBOUND", "occurredAt": "2020-05-04T09:00:00Z"});
    let after = done(&world.rob, "logActivity", &lead, old);
    assert_eq!(
        after["workState"], "CONNECTED",
        "a call of years ago leaves the next step where it is: {after}"
    );
}

#[test]
fn a_talk_of_years_ago_qualifies_nobody_today() {
    let world = World::start();
    let lead = world.at("SAL", "old-talk@example.test");
    let old = json!({"kind": "CALL", "direction": "TWO_WAY", "occurredAt": "2020-05-04T09:00:00Z"});
    done(&world.rob, "logActivity", &lead, old);
    let payload = act(&world.rob, "qualify", &lead, json!({"answers": [{"key": "need", "grade": 4}]}));
    assert_eq!(payload["errors"][0]["code"], "GATE_NOT_MET", "that talk belongs to no cycle: {payload}");
}

#[test]
fn texts_that_say_nothing_or_too_much_are_refused_at_their_place() {
    let world = World::start();
    let (sql, sal) = (world.at("SQL", "texts@example.test"), world.at("SAL", "texts-sal@example.test"));
    let closed = world.at("SAL", "texts-closed@example.test");
    done(&world.rob, "recycleLead", &closed, json!({"reason": "NOT_READY"}));
    let long = "x".repeat(60_000);
    let lost = |competitor: &str| json!({"reason": "LOST_TO_COMPETITOR", "competitor": competitor});
    let answers: Vec<Value> = (0..3_000).map(|n| json!({"key": format!("k{n}"), "grade": 1})).collect();
    let evidence = json!([{"key": "need", "grade": 1, "evidence": long}]);
    let cases = [
        ("no competitor", "closeLost", &sql, lost(""), "competitor"),
        ("a blank competitor", "closeLost", &sql, lost("  "), "competitor"),
        ("a competitor with control characters", "closeLost", &sql, lost("Rival\u{1b}[2J"), "competitor"),
        ("a competitor of 60,000 characters", "closeLost", &sql, lost(&long), "competitor"),
        ("a reopening without a reason", "reopenLead", &closed, json!({"reason": " "}), "reason"),
        ("3,000 answers", "qualify", &sal, json!({"answers": answers}), "answers"),
        ("evidence of 60,000 characters", "qualify", &sal, json!({"answers": evidence}), "answers"),
    ];
    let mut taken = vec![];
    for (name, verb, lead, more, path) in cases {
        let payload = act(&world.rob, verb, lead, over(more, json!({"dryRun": true})));
        let error = &payload["errors"][0];
        if error["code"] != "VALIDATION" || error["path"][1] != path {
            taken.push(format!("{name}: {}", payload["errors"]));
        }
    }
    assert!(taken.is_empty(), "not refused at their place:\n{}", taken.join("\n"));
}

#[test]
fn a_qualification_says_what_is_missing_and_keeps_what_was_answered() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let lead = world.at("SAL", "gate@example.test");
    let (need, talk) =
        ("The need is proven", "a conversation with the buyer: log an INBOUND or TWO_WAY activity");
    let answers = |grade: i32| json!({"answers": [{"key": "need", "grade": grade}]});
    let both = refused(rob, "qualify", &lead, answers(2));
    assert_eq!((&both["code"], &both["missing"]), (&json!("GATE_NOT_MET"), &json!([need, talk])), "{both}");
    let half = refused(rob, "qualify", &lead, answers(3));
    assert_eq!(half["missing"], json!([talk]), "{half}");
    assert_eq!(refused(mia, "qualify", &lead, answers(4))["code"], "FORBIDDEN", "qualifying is sales'");
    for (answer, path) in [
        (json!({"key": "need", "grade": 5}), "grade"),
        (json!({"key": "need", "grade": -1}), "grade"),
        (json!({"key": "The need", "grade": 1}), "key"),
        (json!({"key": "need", "grade": 1, "confidence": 10_001}), "confidence"),
    ] {
        let error =
            refused(rob, "qualify", &lead, json!({"answers": [{"key": "budget", "grade": 1}, answer]}));
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(["input", "answers", "1", path])),
            "{error}"
        );
    }
    done(rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "INBOUND"}));
    let qualified = done(rob, "qualify", &lead, json!({"answers": []}));
    assert_eq!(qualified["stage"], "SQL", "the answer that was given before counts: {qualified}");
    let gates = look(
        rob,
        &lead,
        "evaluations(first: 1) { cause gates { gate result criteria { key required holds } } }",
    );
    let gate = &gates["evaluations"][0]["gates"][0];
    assert_eq!((&gate["gate"], &gate["result"]), (&json!("SQL"), &json!("ADVANCE")), "{gates}");
    assert_eq!(gate["criteria"], json!([{"key": "need", "required": true, "holds": true}]));
}

#[test]
fn nobody_gives_up_on_a_lead_before_the_agreed_attempts() {
    let world = World::start();
    let rob = &world.rob;
    let lead = world.at("SAL", "silent@example.test");
    let give_up = json!({"reason": "NO_RESPONSE"});
    let attempts = [
        (json!({"kind": "NOTE", "direction": "OUTBOUND", "note": "no time"}), "2 attempts, found 0"),
        (json!({"kind": "EMAIL", "direction": "OUTBOUND", "automated": true}), "2 attempts, found 0"),
        (json!({"kind": "CALL", "direction": "OUTBOUND"}), "2 attempts, found 1"),
        (json!({"kind": "CALL", "direction": "OUTBOUND"}), "2 kinds of contact, found 1"),
    ];
    for (activity, missing) in attempts {
        done(rob, "logActivity", &lead, activity.clone());
        let error = refused(rob, "recycleLead", &lead, give_up.clone());
        assert_eq!(error["code"], "ATTEMPTS_MISSING", "{activity}: {error}");
        assert!(error["message"].as_str().unwrap().contains(missing), "{activity}: {error}");
    }
    done(rob, "logActivity", &lead, json!({"kind": "EMAIL", "direction": "OUTBOUND"}));
    assert_eq!(done(rob, "recycleLead", &lead, give_up)["outcome"], "RECYCLED");
}

#[test]
fn a_deal_is_lost_only_for_a_reason_that_fits_its_stage() {
    let world = World::start();
    let rob = &world.rob;
    let lead = world.at("SQL", "lost@example.test");
    let refusals = [
        (json!({"reason": "LOST_TO_COMPETITOR"}), "VALIDATION", json!(["input", "competitor"])),
        (json!({"reason": "NO_BUDGET"}), "REASON_NOT_ALLOWED", json!(["input", "reason"])),
        (json!({"reason": "NOT_ICP"}), "REASON_NOT_ALLOWED", json!(["input", "reason"])),
        (
            json!({"reason": "HOLDING_OFF", "recycleAt": "2020-01-01T00:00:00Z"}),
            "VALIDATION",
            json!(["input", "recycleAt"]),
        ),
        (json!({"reason": "HOLDING_OFF", "recycleOn": "rain"}), "VALIDATION", json!(["input", "recycleOn"])),
    ];
    for (more, code, path) in refusals {
        let error = refused(rob, "closeLost", &lead, more.clone());
        assert_eq!((&error["code"], &error["path"]), (&json!(code), &path), "{more}: {error}");
    }
    let early = world.at("SAL", "too-early@example.test");
    assert_eq!(
        refused(rob, "closeLost", &early, json!({"reason": "HOLDING_OFF"}))["code"],
        "ILLEGAL_TRANSITION"
    );
    let lost = done(rob, "closeLost", &lead, json!({"reason": "LOST_TO_COMPETITOR", "competitor": "Rival"}));
    assert_eq!((&lost["outcome"], &lost["workState"]), (&json!("LOST"), &json!("NURTURING")), "{lost}");
    assert_eq!(clock(&lost, "REQUALIFY", "LEAD"), "RUNNING", "their contract ends one day: {lost}");
    let cycle = look(rob, &lead, "cycles { outcome reason competitor furthestStage }")["cycles"][0].clone();
    let told = json!({"outcome": "LOST", "reason": "LOST_TO_COMPETITOR", "competitor": "Rival",
        "furthestStage": "SQL"});
    assert_eq!(cycle, told);
    let late = world.at("OPPORTUNITY", "late@example.test");
    assert_eq!(
        done(rob, "closeLost", &late, json!({"reason": "NO_BUDGET"}))["outcome"],
        "LOST",
        "from OPPORTUNITY it may"
    );
}

#[test]
fn amounts_are_positive_and_in_the_charters_currency() {
    let world = World::start();
    let (sql, deal) = (world.at("SQL", "amount@example.test"), world.at("OPPORTUNITY", "deal@example.test"));
    let cases = [
        ("0", "EUR", "VALIDATION", "amountMinor"),
        ("-5", "EUR", "VALIDATION", "amountMinor"),
        ("1000000000000001", "EUR", "VALIDATION", "amountMinor"),
        ("100", "USD", "CURRENCY_MISMATCH", "currency"),
        ("100", "eur", "CURRENCY_MISMATCH", "currency"),
    ];
    for (minor, currency, code, path) in cases {
        for (verb, lead) in [("recordOpportunity", &sql), ("closeWon", &deal)] {
            let error = refused(
                &world.rob,
                verb,
                lead,
                json!({"amount": {"amountMinor": minor, "currency": currency}}),
            );
            let expected = (&json!(code), &json!(["input", "amount", path]));
            assert_eq!((&error["code"], &error["path"]), expected, "{verb} {minor} {currency}: {error}");
        }
    }
}

#[test]
fn a_recycled_lead_comes_back_on_its_date() {
    let world = World::start();
    let lead = world.at("SAL", "date@example.test");
    for at in ["2020-01-01T00:00:00Z".to_owned(), now(&world.rob).to_string()] {
        let error =
            refused(&world.rob, "recycleLead", &lead, json!({"reason": "NO_TIMELINE", "recycleAt": at}));
        assert_eq!(
            (&error["code"], &error["path"]),
            (&json!("VALIDATION"), &json!(["input", "recycleAt"])),
            "{at}: {error}"
        );
    }
    let date = now(&world.rob).plus(1_500).to_string();
    let recycled =
        done(&world.rob, "recycleLead", &lead, json!({"reason": "NO_TIMELINE", "recycleAt": date}));
    assert_eq!(
        (&recycled["outcome"], clock(&recycled, "REQUALIFY", "LEAD")),
        (&json!("RECYCLED"), &json!("RUNNING"))
    );
    let selection = "cycle stage outcome furthestStage owner { key } clocks { kind level state cycle dueAt } \
                     cycles { number openedBy openedAt outcome resumedFrom furthestStage }";
    let back = eventually(10, "the date opens the next cycle", || {
        Some(look(&world.rob, &lead, selection)).filter(|lead| lead["cycle"] == 2 && lead["stage"] == "MQL")
    });
    let cycles = &back["cycles"];
    assert_eq!(
        (&cycles[0]["outcome"], &cycles[0]["furthestStage"]),
        (&json!("RECYCLED"), &json!("SAL")),
        "{back}"
    );
    assert_eq!(
        (&cycles[1]["openedBy"], &cycles[1]["resumedFrom"]),
        (&json!("REQUALIFY"), &json!(1)),
        "{back}"
    );
    assert_eq!(cycles[1]["openedAt"], json!(date), "it opens at the date, not when the machine looked");
    let requalify =
        back["clocks"].as_array().unwrap().iter().find(|clock| clock["kind"] == "REQUALIFY").cloned();
    assert_eq!(requalify.map(|clock| clock["state"].clone()), Some(json!("MET")), "{back}");
    assert_eq!((&back["furthestStage"], &back["owner"]["key"]), (&json!("SAL"), &json!("rob")), "{back}");
}

#[test]
fn a_signal_of_the_charter_brings_back_those_that_wait_for_it_once() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let announce = |api: &Api, signal: &str| {
        let document =
            "mutation($signal: String!) { announceSignal(signal: $signal) { leads errors { code path } } }";
        api.query(document, json!({"signal": signal}))["announceSignal"].clone()
    };
    let lead = world.at("SAL", "signal@example.test");
    let other = world.at("SAL", "no-signal@example.test");
    let unknown =
        refused(rob, "recycleLead", &lead, json!({"reason": "MISSING_FEATURE", "recycleOn": "rain"}));
    assert_eq!(
        (&unknown["code"], &unknown["path"]),
        (&json!("VALIDATION"), &json!(["input", "recycleOn"])),
        "{unknown}"
    );
    done(rob, "recycleLead", &lead, json!({"reason": "MISSING_FEATURE", "recycleOn": "feature-released"}));
    done(rob, "recycleLead", &other, json!({"reason": "MISSING_FEATURE"}));
    let waits = look(mia, &lead, "outcome workState recycleOn clocks { kind state }");
    assert_eq!(
        (&waits["workState"], &waits["recycleOn"]),
        (&json!("NURTURING"), &json!("feature-released")),
        "{waits}"
    );
    assert!(!waits.to_string().contains("REQUALIFY"), "it has no date: {waits}");
    assert_eq!(announce(rob, "feature-released")["errors"][0]["code"], "FORBIDDEN");
    assert_eq!(announce(mia, "rain")["errors"], json!([{"code": "VALIDATION", "path": ["signal"]}]));
    assert_eq!(announce(mia, "feature-released"), json!({"leads": "1", "errors": []}));
    let back = look(mia, &lead, "cycle stage outcome recycleOn cycles { openedBy }");
    let told = json!({"cycle": 2, "stage": "MQL", "outcome": "OPEN", "recycleOn": null,
        "cycles": [{"openedBy": "CAPTURE"}, {"openedBy": "REQUALIFY"}]});
    assert_eq!(back, told);
    assert_eq!(
        announce(mia, "feature-released"),
        json!({"leads": "0", "errors": []}),
        "nobody waits any more"
    );
    assert_eq!(look(mia, &other, "cycle outcome"), json!({"cycle": 1, "outcome": "RECYCLED"}));
}

#[test]
fn an_act_of_high_intent_opens_the_next_cycle_and_is_judged_at_once() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let recycled = world.at("SAL", "warm@example.test");
    done(rob, "recycleLead", &recycled, json!({"reason": "NOT_READY"}));
    let gone = world.at("SAL", "gone@example.test");
    done(rob, "dispositionLead", &gone, json!({"outcome": "DISQUALIFY", "reason": "DO_NOT_CONTACT"}));
    let customer = world.at("OPPORTUNITY", "customer@example.test");
    done(rob, "closeWon", &customer, json!({"amount": {"amountMinor": "100", "currency": "EUR"}}));
    let visit = |lead: &Value, content: &str| {
        let by = json!({"id": lead["id"]});
        json!([{"lead": by, "channel": "DIRECT", "content": content}])
    };
    assert_eq!(touch(mia, visit(&recycled, "blog"))["highIntent"], 0);
    assert_eq!(look(mia, &recycled, "cycle")["cycle"], 1, "reading the blog is no high intent");
    for (lead, cycle, opened) in
        [(&recycled, 2, "REQUALIFY"), (&customer, 2, "EXPANSION"), (&gone, 1, "CAPTURE")]
    {
        touch(mia, visit(lead, "demo-request"));
        let now = look(
            mia,
            lead,
            "cycle stage owner { key } cycles { openedBy } \
                                   clocks { kind cycle startedAt dueAt }",
        );
        assert_eq!(
            (&now["cycle"], &now["cycles"][cycle - 1]["openedBy"]),
            (&json!(cycle), &json!(opened)),
            "{now}"
        );
        if cycle == 2 {
            assert_eq!(
                (&now["stage"], &now["owner"]["key"]),
                (&json!("MQL"), &json!("rob")),
                "judged and routed: {now}"
            );
            let clocks = now["clocks"].as_array().unwrap();
            let touch =
                clocks.iter().find(|clock| clock["kind"] == "FIRST_TOUCH" && clock["cycle"] == 2).unwrap();
            let at = |key: &str| Instant::parse(touch[key].as_str().unwrap()).unwrap();
            assert_eq!(
                at("dueAt").since(at("startedAt")),
                5 * 60_000,
                "a demo request is answered within five minutes"
            );
        }
    }
}

#[test]
fn all_leads_of_a_batch_of_demo_requests_are_judged_with_their_intent_before_time_alone_judges_them() {
    let world = World::start();
    let leads: Vec<Value> = (0..40)
        .map(|n| {
            let lead = world.mql(&format!("demo{n}@example.test"), json!({}));
            done(&world.rob, "rejectHandoff", &lead, json!({"reason": "NOT_READY"}))
        })
        .collect();
    let request = |lead: &Value| {
        let by = json!({"id": lead["id"]});
        json!({"lead": by, "channel": "DIRECT", "content": "demo-request"})
    };
    touch(&world.mia, leads.iter().map(request).collect());
    let mut slow = vec![];
    for lead in &leads {
        let now = look(&world.mia, lead, "cycle stage clocks { kind cycle startedAt dueAt }");
        assert_eq!((&now["cycle"], &now["stage"]), (&json!(2), &json!("MQL")), "{now}");
        let clocks = now["clocks"].as_array().unwrap();
        let first =
            clocks.iter().find(|clock| clock["kind"] == "FIRST_TOUCH" && clock["cycle"] == 2).unwrap();
        let at = |key: &str| Instant::parse(first[key].as_str().unwrap()).unwrap();
        slow.extend(Some(at("dueAt").since(at("startedAt")) / 60_000).filter(|minutes| *minutes != 5));
    }
    assert!(
        slow.is_empty(),
        "{} of {} demo requests are answered within {slow:?} minutes",
        slow.len(),
        leads.len()
    );
}

#[test]
fn a_touch_with_the_same_external_id_counts_once() {
    let world = World::start();
    let mia = &world.mia;
    let lead = world.mql("once@example.test", json!({}));
    let mail = |system: &str, id: &str| {
        let external = json!({"system": system, "id": id});
        json!({"lead": {"id": lead["id"]}, "channel": "EMAIL", "content": id, "external": external})
    };
    touch(mia, json!([mail("web", "1"), mail("web", "1"), mail("web", "2")]));
    touch(mia, json!([mail("web", "2"), mail("crm", "2")]));
    let found = look(mia, &lead, "touchpoints(first: 50) { channel content }");
    let mails: Vec<&Value> =
        found["touchpoints"].as_array().unwrap().iter().filter(|touch| touch["channel"] == "EMAIL").collect();
    assert_eq!(mails.len(), 3, "web 1, web 2 and crm 2: {found}");
}

#[test]
fn a_demo_request_that_is_delivered_twice_opens_one_cycle() {
    let world = World::start();
    let World { mia, rob, .. } = &world;
    let lead = world.at("SAL", "webhook@example.test");
    let request = json!([{"lead": {"id": lead["id"]}, "channel": "DIRECT", "content": "demo-request",
        "external": {"system": "web", "id": "form-77"}}]);
    done(rob, "recycleLead", &lead, json!({"reason": "NOT_READY"}));
    touch(mia, request.clone());
    assert_eq!(look(mia, &lead, "cycle")["cycle"], 2);
    done(rob, "rejectHandoff", &lead, json!({"reason": "NOT_READY"}));
    let again = touch(mia, request);
    let now = look(mia, &lead, "cycle outcome touchpoints(first: 50) { content }");
    assert_eq!(
        (&now["cycle"], &now["outcome"]),
        (&json!(2), &json!("RECYCLED")),
        "it was recorded before: {now}"
    );
    assert_eq!(again["highIntent"], 0, "nothing new showed high intent: {again}");
}

#[test]
fn the_touches_of_a_visitor_join_the_lead() {
    let world = World::start();
    let visit = |content: &str, at: &str| {
        let visitor = json!({"anonymousId": "v-1", "channel": "CONTENT"});
        over(visitor, json!({"content": content, "occurredAt": at}))
    };
    let (first, second) = ("2026-03-01T10:00:00.000Z", "2026-03-02T10:00:00.000Z");
    assert_eq!(touch(&world.mia, json!([visit("whitepaper", first), visit("webinar", second)]))["leads"], 0);
    let lead = world.mql("named@example.test", json!({"anonymousId": "v-1", "content": "contact-form"}));
    let found = look(&world.mia, &lead, "touchpoints(first: 50) { content occurredAt }");
    let contents: Vec<&Value> =
        found["touchpoints"].as_array().unwrap().iter().map(|touch| &touch["content"]).collect();
    assert_eq!(contents, ["contact-form", "webinar", "whitepaper"], "newest first: {found}");
    // A visitor that comes on another device joins the same person later.
    touch(&world.mia, json!([{"anonymousId": "v-2", "channel": "EMAIL", "content": "newsletter"}]));
    world.mql("named@example.test", json!({"anonymousId": "v-2"}));
    let found = look(&world.mia, &lead, "touchpoints(first: 50) { content }");
    assert_eq!(found["touchpoints"].as_array().unwrap().len(), 5, "{found}");
}

#[test]
fn a_visitor_with_a_history_is_judged_by_it_when_it_gets_a_name() {
    let world = World::start();
    let settings =
        json!({"engagement": [{"field": "engagement.total", "each": 10}], "thresholds": {"advance": 30}});
    let digest = world.server.push("scorecard");
    world.server.set("mql", &digest, &settings);
    let visit = json!({"anonymousId": "v-9", "channel": "CONTENT", "content": "whitepaper"});
    touch(&world.mia, json!([visit, visit]));
    let lead = world.mql("history@example.test", json!({"anonymousId": "v-9"}));
    let judged =
        look(&world.mia, &lead, "stage evaluations(first: 1) { decisions { slot outcome engagement } }");
    let decision = &judged["evaluations"][0]["decisions"][0];
    assert_eq!(
        (&decision["engagement"], &judged["stage"]),
        (&json!(30), &json!("MQL")),
        "two visits and the form: {judged}"
    );
}

#[test]
fn a_touch_that_makes_no_sense_is_refused_at_its_place() {
    let world = World::start();
    let lead = world.mql("senseless@example.test", json!({}));
    let id = json!({"id": lead["id"]});
    let long = "x".repeat(20_000);
    let cases = [
        (json!({"channel": "EMAIL"}), json!([])),
        (json!({"lead": id, "anonymousId": "v", "channel": "EMAIL"}), json!([])),
        (json!({"lead": {"email": "nobody@example.test"}, "channel": "EMAIL"}), json!([])),
        (json!({"lead": id, "channel": "EMAIL", "campaign": "none"}), json!(["campaign"])),
        (
            json!({"lead": id, "channel": "EMAIL", "occurredAt": "2090-01-01T00:00:00Z"}),
            json!(["occurredAt"]),
        ),
        (json!({"anonymousId": "", "channel": "EMAIL"}), json!(["anonymousId"])),
        (json!({"lead": id, "channel": "EMAIL", "content": ""}), json!(["content"])),
        (json!({"lead": id, "channel": "EMAIL", "content": long}), json!(["content"])),
        (json!({"lead": id, "channel": "EMAIL", "source": "a\u{7}b"}), json!(["source"])),
        (
            json!({"lead": id, "channel": "EMAIL", "external": {"system": "No key!", "id": "1"}}),
            json!(["external", "system"]),
        ),
        (
            json!({"lead": id, "channel": "EMAIL", "external": {"system": "web", "id": ""}}),
            json!(["external", "id"]),
        ),
    ];
    let mut taken = vec![];
    for (number, (bad, path)) in cases.into_iter().enumerate() {
        let good = json!({"anonymousId": "v-good", "channel": "EMAIL"});
        let input = json!({"touchpoints": [good, bad]});
        let payload = world.mia.attempt("recordTouchpoints", "RecordTouchpointsInput", input, "leads");
        let mut place = vec![json!("input"), json!("touchpoints"), json!("1")];
        place.extend(path.as_array().unwrap().iter().cloned());
        if payload["errors"][0]["path"] != json!(place) {
            taken.push(format!("{number} at {place:?}: {}", payload["errors"]));
        }
    }
    assert!(
        taken.is_empty(),
        "not refused at their place, as captureLead refuses them:\n{}",
        taken.join("\n")
    );
}

/// Every verb that changes a lead, in a state that allows it.
fn verbs(world: &World) -> Vec<(&Api, &'static str, Value, Value)> {
    let World { mia, rob, .. } = world;
    let inquiry = |email: &str| {
        let input = json!({"lead": {"email": email}});
        mia.mutate("captureLead", "CaptureLeadInput", input, LEAD)["lead"].clone()
    };
    let closed = world.at("SAL", "v-closed@example.test");
    let closed = done(rob, "recycleLead", &closed, json!({"reason": "NOT_READY"}));
    let eur = json!({"amount": {"amountMinor": "100", "currency": "EUR"}});
    vec![
        (mia, "evaluateLead", inquiry("v-evaluate@example.test"), json!({})),
        (mia, "routeLead", world.mql("v-route@example.test", json!({})), json!({})),
        (rob, "acceptHandoff", world.mql("v-accept@example.test", json!({})), json!({})),
        (
            rob,
            "rejectHandoff",
            world.mql("v-reject@example.test", json!({})),
            json!({"reason": "NO_CONTEXT"}),
        ),
        (
            rob,
            "logActivity",
            world.at("SAL", "v-log@example.test"),
            json!({"kind": "CALL", "direction": "OUTBOUND"}),
        ),
        (
            rob,
            "qualify",
            world.at("SAL+", "v-qualify@example.test"),
            json!({"answers": [{"key": "need", "grade": 3}]}),
        ),
        (
            mia,
            "dispositionLead",
            inquiry("v-drop@example.test"),
            json!({"outcome": "DISQUALIFY", "reason": "NOT_ICP"}),
        ),
        (rob, "recycleLead", world.at("SAL", "v-recycle@example.test"), json!({"reason": "NOT_READY"})),
        (rob, "recordOpportunity", world.at("SQL", "v-opportunity@example.test"), eur.clone()),
        (rob, "closeLost", world.at("SQL", "v-lost@example.test"), json!({"reason": "HOLDING_OFF"})),
        (rob, "closeWon", world.at("OPPORTUNITY", "v-won@example.test"), eur),
        (rob, "reopenLead", closed, json!({"reason": "they called"})),
    ]
}

/// Everything of a lead that a verb could change.
fn whole(api: &Api, lead: &Value) -> Value {
    let seen = look(
        api,
        lead,
        "version stage workState outcome cycle owner { key } queue { key } nextEvaluationAt recycleOn \
         clocks { id state dueAt } handoff { id status } timeline { at kind summary } \
         evaluations(first: 20) { id }",
    );
    let document = "query($lead: ID!) { events(first: 500, filter: {lead: $lead}) { events { id } } }";
    let events = api.query(document, json!({"lead": lead["id"]}))["events"]["events"].clone();
    json!([seen, events])
}

#[test]
fn every_verb_minds_the_version_that_was_seen() {
    let world = World::start();
    for (api, verb, lead, more) in verbs(&world) {
        let before = whole(api, &lead);
        let version = lead["version"].as_i64().unwrap();
        for seen in [version - 1, version + 1] {
            let stale = refused(api, verb, &lead, over(more.clone(), json!({"expectedVersion": seen})));
            assert_eq!(
                (&stale["code"], &stale["current"]),
                (&json!("VERSION_CONFLICT"), &lead["version"]),
                "{verb}: {stale}"
            );
        }
        assert_eq!(whole(api, &lead), before, "{verb} wrote nothing");
        let fresh = done(api, verb, &lead, over(more, json!({"expectedVersion": version})));
        assert!(fresh["version"].as_i64() > Some(version), "{verb}: {fresh}");
    }
}

#[test]
fn a_dry_run_of_a_verb_changes_nothing_and_refuses_as_the_verb_would() {
    let world = World::start();
    let mut wrong = vec![];
    for (api, verb, lead, more) in verbs(&world) {
        let before = whole(api, &lead);
        done(api, verb, &lead, over(more.clone(), json!({"dryRun": true, "idempotencyKey": "dry"})));
        let tried = whole(api, &lead);
        let real = act(api, verb, &lead, over(more, json!({"idempotencyKey": "dry"})));
        if tried != before {
            let versions = [&before, &tried].map(|seen| seen[0]["version"].to_string());
            wrong.push(format!("{verb} wrote in a dry run: version {}", versions.join(" to ")));
        }
        if real["errors"] != json!([]) || whole(api, &lead) == tried {
            wrong.push(format!("{verb}: the dry run took the idempotency key: {}", real["errors"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let won = world.at("OPPORTUNITY", "dry-won@example.test");
    let error = refused(&world.rob, "closeLost", &won, json!({"reason": "NOT_ICP", "dryRun": true}));
    assert_eq!(error["code"], "REASON_NOT_ALLOWED");
    let input = json!({"lead": {"email": "dry@example.test", "consent": true}, "dryRun": true});
    let tried = world.mia.mutate("captureLead", "CaptureLeadInput", input, "created lead { id }");
    assert_eq!((&tried["created"], &tried["lead"]), (&json!(true), &json!(null)));
    let nobody = world.mia.query("{ lead(by: {email: \"dry@example.test\"}) { id } }", json!({}));
    assert_eq!(nobody["lead"], json!(null));
}

#[test]
fn every_verb_with_an_idempotency_key_has_its_effect_once() {
    let world = World::start();
    for (api, verb, lead, more) in verbs(&world) {
        let input = over(more.clone(), json!({"idempotencyKey": "only-once"}));
        let first = done(api, verb, &lead, input.clone());
        if verb == "reopenLead" {
            // The rules look at it a moment later, which is a change of its own.
            eventually(10, "a reopened lead is judged", || {
                (look(api, &lead, "stage")["stage"] == "MQL").then_some(())
            });
        }
        let after = whole(api, &lead);
        let second = done(api, verb, &lead, input.clone());
        assert!(second["version"].as_i64() >= first["version"].as_i64(), "{verb}");
        assert_eq!(whole(api, &lead), after, "{verb}: the repetition wrote something");
        let other = over(input, json!({"expectedVersion": 1}));
        let reused = refused(api, verb, &lead, other);
        assert_eq!(reused["code"], "IDEMPOTENCY_KEY_REUSED", "{verb}: {reused}");
    }
    // The touch of a form that is sent by four threads at once.
    let lead = world.mql("threads@example.test", json!({}));
    let call = json!({"kind": "CALL", "direction": "OUTBOUND", "idempotencyKey": "in-parallel"});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| done(&world.rob, "logActivity", &lead, call.clone()));
        }
    });
    let timeline = look(&world.rob, &lead, "timeline { kind }")["timeline"].clone();
    let calls = timeline.as_array().unwrap().iter().filter(|entry| entry["kind"] == "ACTIVITY").count();
    assert_eq!(calls, 1, "{timeline}");
}

#[test]
fn a_dropped_lead_keeps_its_furthest_stage() {
    let world = World::start();
    let lead = world.at("OPPORTUNITY", "furthest@example.test");
    done(&world.rob, "closeLost", &lead, json!({"reason": "HOLDING_OFF"}));
    let again = done(&world.rob, "reopenLead", &lead, json!({"reason": "they called"}));
    assert_eq!(
        (&again["stage"], &again["cycle"], &again["furthestStage"]),
        (&json!("INQUIRY"), &json!(2), &json!("OPPORTUNITY"))
    );
    let judged = done(&world.mia, "evaluateLead", &lead, json!({}));
    assert_eq!(
        (&judged["stage"], &judged["furthestStage"]),
        (&json!("MQL"), &json!("OPPORTUNITY")),
        "{judged}"
    );
    let cycles =
        look(&world.rob, &lead, "cycles { number outcome furthestStage openedBy resumedFrom }")["cycles"]
            .clone();
    let told = json!([
        {"number": 1, "outcome": "LOST", "furthestStage": "OPPORTUNITY", "openedBy": "CAPTURE",
            "resumedFrom": null},
        {"number": 2, "outcome": "OPEN", "furthestStage": "MQL", "openedBy": "REOPEN", "resumedFrom": 1},
    ]);
    assert_eq!(cycles, told);
}

#[test]
fn the_packet_of_a_handoff_says_who_what_why_and_what_was_promised() {
    let world = World::start();
    let campaign = json!({"key": "spring", "name": "Spring webinar", "kind": "webinar", "channel": "WEBINAR",
        "cost": {"amountMinor": "100", "currency": "EUR"}});
    world.mia.mutate("createCampaign", "CreateCampaignInput", campaign, "campaign { key }");
    let more = json!({"seniority": "C_LEVEL", "title": "Chief of everything", "campaign": "spring",
        "content": "webinar-form",
        "company": {"name": "Fictional Works", "domain": "works.example.test", "employees": 40}});
    let lead = world.mql("packet@example.test", more);
    let selection = "handoff { status intact packetDigest completeness offeredAt answeredAt packet { \
                     background { key value } behaviour { key value } contentSeen promises \
                     insights { code label weight field } } }";
    let handoff = look(&world.rob, &lead, selection)["handoff"].clone();
    assert_eq!((&handoff["status"], &handoff["intact"]), (&json!("PENDING"), &json!(true)), "{handoff}");
    let packet = &handoff["packet"];
    assert_eq!(packet["promises"], json!(["Answered to: Spring webinar"]), "{packet}");
    assert_eq!(packet["contentSeen"], json!(["webinar-form"]), "{packet}");
    let codes: Vec<&Value> =
        packet["insights"].as_array().unwrap().iter().map(|reason| &reason["code"]).collect();
    assert_eq!(
        codes,
        ["contact-seniority", "contact-consent"],
        "why the rules think so, strongest first: {packet}"
    );
    let lines = |part: &str| -> Vec<(String, String)> {
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        packet[part].as_array().unwrap().iter().map(|line| (text(line, "key"), text(line, "value"))).collect()
    };
    for (key, value) in [("contact.title", "Chief of everything"), ("company.employees", "40")] {
        assert!(
            lines("background").contains(&(key.to_owned(), value.to_owned())),
            "{key} = {value}: {packet}"
        );
    }
    assert!(handoff["completeness"].as_i64() > Some(5_000), "{handoff}");
    let digest = handoff["packetDigest"].clone();
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    let after = look(&world.rob, &lead, selection)["handoff"].clone();
    assert_eq!(
        (&after["status"], &after["packetDigest"], &after["packet"]),
        (&json!("ACCEPTED"), &digest, packet)
    );
}

#[test]
fn a_rep_reads_dates_in_the_packet_and_no_milliseconds() {
    let world = World::start();
    let lead = world.mql("dates@example.test", json!({}));
    let packet =
        look(&world.rob, &lead, "handoff { packet { behaviour { key value } } }")["handoff"]["packet"]
            .clone();
    let lines = packet["behaviour"].as_array().unwrap();
    let touches: Vec<&Value> =
        lines.iter().filter(|line| line["key"].as_str().unwrap().ends_with("-touch")).collect();
    assert!(!touches.is_empty(), "{packet}");
    for line in touches {
        let value = line["value"].as_str().unwrap();
        assert!(Instant::parse(value).is_some() || value.contains('-'), "a value in words: {line}");
    }
}

#[test]
fn the_timeline_has_marketings_touches_and_sales_work_newest_first() {
    let world = World::start();
    let rob = &world.rob;
    let lead = world.mql("timeline@example.test", json!({"content": "pricing", "channel": "WEBINAR"}));
    done(rob, "acceptHandoff", &lead, json!({}));
    done(rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "TWO_WAY", "note": "wants a demo"}));
    done(rob, "qualify", &lead, json!({"answers": [{"key": "need", "grade": 3}]}));
    let entries = look(rob, &lead, "timeline { at kind summary detail }")["timeline"].clone();
    let entries = entries.as_array().unwrap();
    let times: Vec<&str> = entries.iter().filter_map(|entry| entry["at"].as_str()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    let has = |kind: &str, summary: &str, detail: Value| {
        entries
            .iter()
            .any(|entry| entry["kind"] == kind && entry["summary"] == summary && entry["detail"] == detail)
    };
    for (kind, summary, detail) in [
        ("TOUCHPOINT", "WEBINAR", json!("pricing")),
        ("STAGE", "INQUIRY to MQL", json!("CAPTURE")),
        ("HANDOFF", "ACCEPTED", json!(null)),
        ("STAGE", "MQL to SAL", json!("SALES")),
        ("ACTIVITY", "CALL TWO_WAY", json!("wants a demo")),
        ("STAGE", "SAL to SQL", json!("SALES")),
    ] {
        assert!(has(kind, summary, detail.clone()), "no {kind} {summary} {detail} in {entries:?}");
    }
    let first = look(rob, &lead, "timeline(first: 2) { at kind summary detail }")["timeline"].clone();
    assert_eq!(first.as_array().unwrap()[..], entries[..2], "the newest two");
    let document = "query($by: LeadRef!) { lead(by: $by) { timeline(first: 201) { at } } }";
    assert_eq!(rob.error(document, json!({"by": {"id": lead["id"]}}))["extensions"]["code"], "PAGE_SIZE");
}

#[test]
fn stages_of_one_instant_stand_in_the_timeline_in_the_order_in_which_they_were_reached() {
    let world = World::start();
    let lead = world.mql("instant@example.test", json!({}));
    let entries = look(&world.rob, &lead, "timeline { at kind summary }")["timeline"].clone();
    let stages: Vec<&Value> = entries
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["kind"] == "STAGE")
        .map(|entry| &entry["summary"])
        .collect();
    assert_eq!(stages, ["INQUIRY to MQL", "INQUIRY"], "newest first: {entries}");
}

#[test]
fn the_work_queue_is_ones_own_most_important_first() {
    let world = World::start();
    let World { mia, rob, ada, .. } = &world;
    let low = world.mql("low@example.test", json!({}));
    let high = world.mql("high@example.test", json!({"seniority": "C_LEVEL"}));
    let mid = world.mql("mid@example.test", json!({}));
    let document = "query($owner: ID, $queue: String, $first: Int, $after: String) { \
        workQueue(owner: $owner, queue: $queue, first: $first, after: $after) { \
        edges { cursor node { id priority contact { email } } } pageInfo { hasNextPage endCursor } } }";
    let ask = |api: &Api, variables: Value| api.query(document, variables)["workQueue"].clone();
    let ids = |page: &Value| -> Vec<Value> {
        page["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["id"].clone()).collect()
    };
    let mine = ask(rob, json!({}));
    let priorities: Vec<&Value> =
        mine["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]["priority"]).collect();
    assert_eq!(priorities, [&json!(30), &json!(10), &json!(10)], "{mine}");
    assert_eq!(ids(&mine)[0], high["id"]);
    assert_eq!(ids(&ask(ada, json!({}))), Vec::<Value>::new(), "Ada has none");
    let rob_id = look(rob, &low, "owner { id }")["owner"]["id"].clone();
    assert_eq!(ids(&ask(ada, json!({"owner": rob_id}))), ids(&mine), "and may look at Rob's");
    let (mut walked, mut after) = (vec![], Value::Null);
    loop {
        let page = ask(rob, json!({"first": 1, "after": after}));
        walked.extend(ids(&page));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(walked, ids(&mine), "page by page the same order");
    done(rob, "rejectHandoff", &mid, json!({"reason": "NO_CONTEXT"}));
    done(rob, "rejectHandoff", &high, json!({"reason": "NOT_ICP"}));
    assert_eq!(ids(&ask(rob, json!({}))), [low["id"].clone()], "only open leads of one's own");
    assert_eq!(
        ids(&ask(mia, json!({"queue": "marketing"}))),
        [mid["id"].clone()],
        "closed ones wait in no queue"
    );
    assert_eq!(rob.error(document, json!({"first": 0}))["extensions"]["code"], "PAGE_SIZE");
}

#[test]
fn how_a_lead_was_handled_is_told_beside_how_good_it_is() {
    let world = World::start();
    let handled = |lead: &Value| {
        look(
            &world.mia,
            lead,
            "fit handling { speedToLeadMs attempts channels conversations breaches state }",
        )
    };
    let early = world.mia.mutate(
        "captureLead",
        "CaptureLeadInput",
        json!({"lead": {"email": "e@example.test"}}),
        LEAD,
    );
    assert_eq!(handled(&early["lead"])["handling"]["state"], "NOTHING", "sales promised nothing yet");
    let lead = world.mql("handled@example.test", json!({}));
    let now = handled(&lead);
    assert_eq!(
        (&now["handling"]["state"], &now["handling"]["speedToLeadMs"]),
        (&json!("IN_TIME"), &json!(null))
    );
    done(&world.rob, "acceptHandoff", &lead, json!({}));
    done(&world.rob, "logActivity", &lead, json!({"kind": "CALL", "direction": "OUTBOUND"}));
    done(&world.rob, "logActivity", &lead, json!({"kind": "EMAIL", "direction": "OUTBOUND"}));
    done(&world.rob, "logActivity", &lead, json!({"kind": "EMAIL", "direction": "INBOUND"}));
    let now = handled(&lead)["handling"].clone();
    assert!(now["speedToLeadMs"].as_str().and_then(|ms| ms.parse::<i64>().ok()).is_some(), "{now}");
    let rest = json!([now["attempts"], now["channels"], now["conversations"], now["breaches"], now["state"]]);
    assert_eq!(rest, json!([2, 2, 1, 0, "IN_TIME"]));
}
