//! Who may do what. `guard.txt` says it for every door of the schema, and here every door is tried by those who may not
//! and by those who may.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::time::Duration;

use handfast_tests::{Api, card, eventually};
use serde_json::{Value, json};

use crate::charter::Parties;
use crate::schema::{Known, Types, bare, list, name, request, types};

const SCOPES: [&str; 8] = [
    "leads:read",
    "leads:write",
    "leads:erase",
    "charter:sign",
    "plugins:deploy",
    "import",
    "webhooks:write",
    "admin",
];
const SIDES: [&str; 4] = ["MARKETING", "SALES", "OPS", "INTEGRATION"];
/// One of each side.
const PEOPLE: [&str; 4] = ["mara", "saul", "olga", "ines"];

/// What tells of leads. Who may not read does not come to it through the answer to something else either.
const TELLING: &str = "Account BacktestFlipConnection CampaignResults Contact Decision Evaluation Event Funnel ImportRowConnection LedgerDay \
                       Lead Touchpoint";

/// The ways to what tells of leads through something else: the field, the scope that it takes to come there, and how.
/// There the field is named `told`.
const BELOW: [(&str, &str, &str); 17] = [
    (
        "Audience.results",
        "leads:write",
        r#"createAudience(input: {key: "a", name: "A", tests: [{field: "lead.stage", comparator: KNOWN, values: []}], dryRun: true}) {
               audience { told: results { leads } } }"#,
    ),
    (
        "BacktestRun.flipped",
        "plugins:deploy",
        r#"startBacktest(input: {slot: "mql", digest: "PLUGIN", settings: "{\"thresholds\": {\"advance\": 1}}"}) {
               run { told: flipped { edges { cursor } } } }"#,
    ),
    (
        "CaptureLeadPayload.lead",
        "leads:write",
        r#"captureLead(input: {lead: {email: "a@b.test"}}) { told: lead { id } }"#,
    ),
    (
        "CaptureResult.lead",
        "leads:write",
        r#"captureLeads(input: {leads: [{email: "a@b.test"}]}) { results { told: lead { id } } }"#,
    ),
    (
        "LeadEdge.node",
        "leads:write",
        r#"createAudience(input: {key: "a", name: "A", tests: [{field: "lead.stage", comparator: KNOWN, values: []}], dryRun: true}) {
               audience { leads { edges { told: node { id } } } } }"#,
    ),
    (
        "LeadPayload.lead",
        "leads:write",
        r#"evaluateLead(input: {lead: {email: "lead@example.test"}}) { told: lead { id } }"#,
    ),
    (
        "FeedbackAbout.lead",
        "leads:write",
        r#"postFeedback(input: {kind: INSIGHT, about: {lead: "LEAD"}, text: "so", dryRun: true}) {
               feedback { about { told: lead { id } } } }"#,
    ),
    (
        "GreyCase.lead",
        "leads:write",
        r#"giveOpinion(input: {greyCase: "CASE", outcome: HOLD, text: "so", dryRun: true}) { greyCase { told: lead { id } } }"#,
    ),
    (
        "GreyCase.decision",
        "leads:write",
        r#"giveOpinion(input: {greyCase: "CASE", outcome: HOLD, text: "so", dryRun: true}) { greyCase { told: decision { id } } }"#,
    ),
    (
        "OverrideDecisionPayload.decision",
        "leads:write",
        r#"overrideDecision(input: {decision: "DECISION", outcome: ADVANCE, reason: "so", dryRun: true}) { told: decision { id } }"#,
    ),
    (
        "OverrideDecisionPayload.lead",
        "leads:write",
        r#"overrideDecision(input: {decision: "DECISION", outcome: ADVANCE, reason: "so", dryRun: true}) { told: lead { id } }"#,
    ),
    (
        "ContextRequest.lead",
        "leads:write",
        r#"answerContext(input: {contextRequest: "REQUEST", answer: "so", dryRun: true}) { contextRequest { told: lead { id } } }"#,
    ),
    (
        "MergeLeadsPayload.lead",
        "leads:write",
        r#"mergeLeads(input: {lead: {email: "lead@example.test"}, duplicate: {email: "grey@example.test"}, dryRun: true}) {
               told: lead { id } }"#,
    ),
    (
        "MergeLeadsPayload.duplicate",
        "leads:write",
        r#"mergeLeads(input: {lead: {email: "lead@example.test"}, duplicate: {email: "grey@example.test"}, dryRun: true}) {
               told: duplicate { id } }"#,
    ),
    (
        "EraseLeadPayload.lead",
        "leads:erase",
        r#"eraseLead(input: {lead: {email: "lead@example.test"}, dryRun: true}) { told: lead { id } }"#,
    ),
    (
        "Campaign.results",
        "leads:write",
        r#"createCampaign(input: {key: "c", name: "C", kind: "fair", channel: EVENT, dryRun: true}) {
               campaign { told: results { leads } } }"#,
    ),
    (
        "ImportRun.results",
        "import",
        r#"startImport(input: {digest: "DIGEST", name: "rows", mapping: """{"system": "crm", "id": "email",
               "occurredAt": {"otherwise": "2026-03-01T00:00:00Z"}, "lead": {"email": "email"}}"""}) {
               run { told: results { edges { cursor } } } }"#,
    ),
];

/// Kind and name of a door: `mutation closeWon`, or `nested LeadPayload.lead`.
type Door = (String, String);

/// The scope that a door needs, and whom it is for.
type Right = (String, String);

/// Without the administrator's, which is good for everything.
fn all_but(scope: &str) -> Vec<&'static str> {
    SCOPES.into_iter().filter(|one| ![scope, "admin"].contains(one)).collect()
}

/// As a line of `guard.txt`.
fn shown(door: &Door, right: &Right) -> String {
    let ((kind, name), (scope, who)) = (door, right);
    let line = format!("{kind:<12} {name:<24} {scope:<14} {who:<15}");
    if usual(door, right) { line.trim_end().to_owned() } else { line + " # why" }
}

/// Reading is open to all sides, and writing follows the side. Anything else needs a reason.
fn usual((kind, _): &Door, (scope, who): &Right) -> bool {
    match kind.as_str() {
        "mutation" => who == "ADMIN" || (scope != "-" && SIDES.contains(&who.as_str())),
        _ => (scope.as_str(), who.as_str()) == ("leads:read", "ANY"),
    }
}

/// The lines of `guard.txt`, and those that need a reason and have none.
fn table() -> (BTreeMap<Door, Right>, Vec<String>) {
    let (mut lines, mut wrong) = (BTreeMap::new(), vec![]);
    for line in include_str!("guard.txt").lines() {
        let (said, reason) = line.split_once('#').unwrap_or((line, ""));
        let words: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        let [kind, door, scope, who] = words.as_slice() else {
            assert!(words.is_empty(), "{line:?} is not `kind name scope who # reason`");
            continue;
        };
        let (door, right) = ((kind.clone(), door.clone()), (scope.clone(), who.clone()));
        if !usual(&door, &right) && reason.trim().is_empty() {
            wrong.push(format!("an exception needs a reason after a #:\n  {line}"));
        }
        let twice = lines.insert(door, right);
        assert!(twice.is_none(), "two lines of guard.txt are for one door: {line}");
    }
    (lines, wrong)
}

/// Status and answer of a request, or the first message of a stream.
fn ask(agent: &ureq::Agent, url: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let asked = || {
        let mut asked = agent.post(url);
        if url.ends_with("/stream") {
            asked = asked.header("accept", "text/event-stream");
        }
        if let Some(token) = token {
            asked = asked.header("authorization", format!("Bearer {token}"));
        }
        asked.send_json(body).ok()
    };
    // Whoever has no token is answered before the body is read; a body that comes late resets the connection then, for
    // this request or for the next.
    let answer = (0..5).find_map(|_| asked()).expect("an answer");
    let status = answer.status().as_u16();
    let lines = BufReader::new(answer.into_body().into_reader()).lines().map_while(Result::ok);
    // A stream's data stand after their name, each on a line; an answer that is no stream has one line.
    let told = lines.map(|line| line.strip_prefix("data:").unwrap_or(&line).to_owned());
    let first = told.filter_map(|line| serde_json::from_str::<Value>(&line).ok()).find(Value::is_object);
    (status, first.unwrap_or_else(|| panic!("no answer within 10 s: {body}")))
}

/// What a refusal for want of a right says; None if the answer is anything else.
fn refusal(answer: &Value) -> Option<String> {
    let payload = answer["data"].as_object().and_then(|data| data.values().next()).unwrap_or(&Value::Null);
    let (top, own) = (&answer["errors"][0], &payload["errors"][0]);
    let forbidden = [(&top["extensions"]["code"], top), (&own["code"], own)];
    let (_, error) = forbidden.into_iter().find(|(code, _)| **code == "FORBIDDEN")?;
    Some(error["message"].as_str().unwrap_or_default().to_owned())
}

/// A server with a person of every side, and tokens of them.
struct Guard {
    parties: Parties,
    agent: ureq::Agent,
    types: Types,
    known: Known,
    tokens: BTreeMap<(&'static str, Vec<&'static str>), Api>,
    wrong: Vec<String>,
}

impl Guard {
    fn start() -> Guard {
        let parties = Parties::start();
        let admin = &parties.admin;
        for (key, team, side) in [("ines", "integration", "INTEGRATION"), ("olga", "ops", "OPS")] {
            let input = json!({"key": team, "name": team, "side": side});
            admin.mutate("upsertTeam", "UpsertTeamInput", input, "team { id }");
            let input = json!({"key": key, "name": key, "team": team});
            admin.mutate("upsertUser", "UpsertUserInput", input, "user { id }");
        }
        let start = admin.query("{ feedHead }", json!({}))["feedHead"].clone();
        let lead = admin.capture("lead@example.test");
        let charter = parties.propose(&parties.body(|_| {}));
        let version = parties.server.push("scorecard");
        let input = json!({"slot": "mql", "digest": version, "settings": card(10).to_string(), "mode": "SHADOW",
            "greyCasesADay": 1});
        let shadow = admin.mutate("deployPlugin", "DeployPluginInput", input, "deployment { id }");
        // The built-in rule holds whom it would let pass: a grey case.
        let grey = json!({"lead": {"email": "grey@example.test", "consent": true}});
        let selection = "lead { evaluations { decisions { id } } }";
        let held = admin.mutate("captureLead", "CaptureLeadInput", grey, selection);
        let decision = held["lead"]["evaluations"][0]["decisions"][0]["id"].clone();
        let asked = json!({"lead": {"email": "asked@example.test"}});
        let asked = admin.mutate(
            "captureLead",
            "CaptureLeadInput",
            asked,
            "lead { id evaluations { decisions { id } } }",
        );
        let ruled = asked["lead"]["evaluations"][0]["decisions"][0]["id"].clone();
        let input = json!({"decision": ruled, "outcome": "ADVANCE", "reason": "known"});
        parties.marketing.mutate("overrideDecision", "OverrideDecisionInput", input, "lead { id }");
        let input = json!({"lead": {"id": asked["lead"]["id"]}, "topic": "OTHER", "question": "Who is it?"});
        let asked =
            parties.sales.mutate("requestContext", "RequestContextInput", input, "contextRequest { id }");
        let grey = eventually(20, "a grey case is opened", || {
            let found = admin.query("{ greyCases { edges { node { id } } } }", json!({}));
            found["greyCases"]["edges"].get(0).map(|edge| edge["node"]["id"].clone())
        });
        // A subscription from the start on has it to tell.
        let told = json!({"kind": "REQUEST", "text": "Tell us more"});
        parties.sales.mutate("postFeedback", "PostFeedbackInput", told, "feedback { id }");
        let public = include_str!("../../crates/domain/src/signature/key.pub");
        let input = json!({"team": "marketing", "name": "known", "publicKey": public});
        let key = admin.mutate("registerTeamKey", "RegisterTeamKeyInput", input, "key { id }");
        let known = [
            ("greyCase", grey),
            ("contextRequest", asked["contextRequest"]["id"].clone()),
            // Of the built-in rule, which holds everybody.
            ("decision", decision),
            ("teamKey", key["key"]["id"].clone()),
            ("LeadRef", json!({"id": lead["id"]})),
            ("number", charter["number"].clone()),
            ("digest", charter["digest"].clone()),
            ("CharterBodyInput", parties.body(|_| {})),
            // A slot of charter 0 that is marketing's.
            ("slot", json!("mql")),
            ("deployment", shadow["deployment"]["id"].clone()),
            ("team", json!("marketing")),
            // A stream from here on has something to tell at once.
            ("FeedCursor", start),
            ("intervalMs", json!(250)),
        ];
        let types = types(admin);
        let gone: Vec<&str> = TELLING.split(' ').filter(|of| !types.contains_key(*of)).collect();
        assert!(gone.is_empty(), "{gone:?} are no types any more: take them out of TELLING");
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(10))).build().into();
        let (known, tokens) = (known.into(), BTreeMap::new());
        let mut guard = Guard { parties, agent, types, known, tokens, wrong: vec![] };
        // All of them before anything is tried: afterwards the log must not have grown.
        for scope in SCOPES {
            guard.token("MARKETING", &all_but(scope));
            SIDES.iter().for_each(|side| drop(guard.token(side, &[scope])));
        }
        guard
    }

    fn token(&mut self, side: &'static str, scopes: &[&'static str]) -> Api {
        let (_, key) = SIDES.iter().zip(PEOPLE).find(|(one, _)| **one == side).expect("one of the four");
        let made = self.tokens.entry((side, scopes.to_vec()));
        made.or_insert_with(|| self.parties.server.token(key, scopes)).clone()
    }

    /// How a person of a side with some scopes is refused, if so.
    fn refused(
        &mut self,
        side: &'static str,
        scopes: &[&'static str],
        kind: &str,
        body: &Value,
    ) -> Option<String> {
        let api = self.token(side, scopes);
        let path = if kind == "subscription" { "/graphql/stream" } else { "/graphql" };
        refusal(&ask(&self.agent, &format!("{}{path}", api.url), Some(&api.token), body).1)
    }

    /// Asks for something as nobody, at both doors of the server.
    fn anonymous(&mut self, what: &str, body: &Value) {
        let unknown = format!("{}_", &self.parties.admin.token[..40]);
        for (token, who) in [(None, "no token"), (Some(unknown.as_str()), "an unknown token")] {
            for path in ["/graphql", "/graphql/stream"] {
                let url = format!("{}{path}", self.parties.server.url);
                let (status, answer) = ask(&self.agent, &url, token, body);
                let code = &answer["errors"][0]["extensions"]["code"];
                if (status, code) != (401, &json!("UNAUTHENTICATED")) || answer.get("data").is_some() {
                    self.wrong.push(format!("{what} at {path} with {who}: {status} {answer}"));
                }
            }
        }
    }

    /// What a door needs, found out by trying it with rights and without. `said` is the scope that the table names.
    fn tried(&mut self, kind: &str, field: &Value, said: Option<&str>) -> Right {
        let real = request(&self.types, &self.known, kind, field);
        let mut known = self.known.clone();
        known.insert("dryRun", json!(true));
        let dry = request(&self.types, &known, kind, field);
        let door = format!("{kind} {}", name(field));
        self.anonymous(&door, &real);
        // No scope is in both tokens: one of them lacks what the door needs, if it needs any.
        let mut lacking = [["leads:read"], ["charter:sign"]];
        if said == Some("leads:read") {
            // What it needs is tried last, and not at all if the table is right: it might have its effect.
            lacking.reverse();
        }
        let lacking = lacking.iter().find_map(|scopes| self.refused("MARKETING", scopes, kind, &real));
        let named =
            |message: &str| SCOPES.into_iter().find(|one| message.ends_with(&format!(" scope {one}")));
        let scope = match lacking.as_deref().map(|message| (named(message), message)) {
            None => "-",
            Some((Some(scope), _)) => scope,
            Some((None, message)) => {
                self.wrong.push(format!("{door}: the refusal names no scope: {message}"));
                "?"
            }
        };
        if SCOPES.contains(&scope) {
            let message = self.refused("MARKETING", &all_but(scope), kind, &real);
            if message.as_deref().and_then(named) != Some(scope) {
                self.wrong.push(format!("{door}: with every scope but {scope} the answer is {message:?}"));
            }
        }
        let enough: Vec<&str> = SCOPES.into_iter().filter(|one| *one == scope).collect();
        let enough = if enough.is_empty() { vec!["import"] } else { enough };
        let mut refused = vec![];
        for side in SIDES {
            if let Some(message) = self.refused(side, &enough, kind, &dry) {
                if self.refused(side, &enough, kind, &real).as_ref() != Some(&message) {
                    self.wrong.push(format!("{door}: only the dry run refuses {side}: {message}"));
                }
                refused.push((side, message));
            }
        }
        let may = |side: &&str| !refused.iter().any(|(other, _)| other == side);
        let may: Vec<&str> = SIDES.into_iter().filter(may).collect();
        for (side, message) in &refused {
            let told = message.to_uppercase();
            if !may.iter().chain([side]).all(|side| told.contains(side)) {
                self.wrong.push(format!("{door}: {side} is not told for whom it is: {message}"));
            }
        }
        let who = match may.len() {
            4 if scope == "admin" => "ADMIN".to_owned(),
            4 => "ANY".to_owned(),
            0 => "NOBODY".to_owned(),
            _ => may.join("+"),
        };
        (scope.to_owned(), who)
    }

    /// The fields below a root field that tell of leads, as `Type.field`.
    fn telling(&self, root: &Value) -> BTreeSet<String> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![bare(&root["type"])]);
        let mut found = BTreeSet::new();
        while let Some(of) = next.pop().filter(|of| !of.is_empty()) {
            if !seen.insert(of) {
                continue;
            }
            for field in list(&self.types[of], "fields") {
                let below = bare(&field["type"]);
                match TELLING.split(' ').any(|one| one == below) {
                    true => found.extend([format!("{of}.{}", name(field))]),
                    false => next.push(below),
                }
            }
            next.extend(list(&self.types[of], "possibleTypes").map(name));
        }
        found
    }

    /// What a nested field needs besides the scope of the mutation that answers it.
    fn tried_below(&mut self, field: &str) -> Option<Right> {
        let Some((_, scope, mutation)) = BELOW.iter().find(|(known, ..)| *known == field) else {
            let why = "tells of leads to whoever may do something else: put a way to it into BELOW";
            self.wrong.push(format!("{field} {why}"));
            return None;
        };
        let digest = self.parties.admin.put_blob("import", b"email\nrow@example.test\n");
        let case = self.known["greyCase"].as_str().unwrap_or_default().to_owned();
        let decision = self.known["decision"].as_str().unwrap_or_default().to_owned();
        let asked = self.known["contextRequest"].as_str().unwrap_or_default().to_owned();
        let mut mutation = mutation.replace("DIGEST", &digest).replace("CASE", &case);
        let lead = self.known["LeadRef"]["id"].as_str().unwrap_or_default();
        mutation = mutation.replace("DECISION", &decision).replace("REQUEST", &asked).replace("LEAD", lead);
        if mutation.contains("PLUGIN") {
            mutation = mutation.replace("PLUGIN", &self.parties.server.push("scorecard"));
        }
        let query = format!("mutation {{ {mutation} }}");
        let mut tells = |scopes: &[&'static str]| {
            let (_, answer) = self.token("MARKETING", scopes).post(&json!({"query": query}));
            answer.to_string().contains(r#""told":{"#)
        };
        let (blind, seeing) = (tells(&[scope]), tells(&[scope, "leads:read"]));
        if !seeing {
            self.wrong.push(format!("{field} does not answer a token with leads:read either: {query}"));
        }
        Some(((if blind { "-" } else { "leads:read" }).to_owned(), "ANY".to_owned()))
    }
}

#[test]
fn every_door_is_open_to_those_whom_the_table_names_and_to_nobody_else() {
    let mut guard = Guard::start();
    let (table, wrong) = table();
    guard.wrong = wrong;
    let before = guard.parties.admin.query("{ feedHead }", json!({}))["feedHead"].clone();
    guard.anonymous("introspection", &json!({"query": "{ __schema { types { name } } }"}));
    let (mut found, mut below) = (BTreeMap::new(), BTreeSet::new());
    for (kind, root) in [("query", "Query"), ("mutation", "Mutation"), ("subscription", "Subscription")] {
        for field in list(&guard.types[root].clone(), "fields") {
            let said = table.get(&(kind.to_owned(), name(field).to_owned()));
            let right = guard.tried(kind, field, said.map(|(scope, _)| scope.as_str()));
            if right.0 != "leads:read" {
                below.extend(guard.telling(field));
            }
            found.insert((kind.to_owned(), name(field).to_owned()), right);
        }
    }
    let document = "query($after: FeedCursor) { events(after: $after) { events { kind payload } } }";
    let happened = guard.parties.admin.query(document, json!({"after": before}))["events"]["events"].clone();
    assert_eq!(happened, json!([]), "there were only refusals and dry runs");
    for field in below {
        if let Some(right) = guard.tried_below(&field) {
            found.insert(("nested".to_owned(), field), right);
        }
    }
    let mut wrong = guard.wrong;
    for (door, right) in &found {
        let now = shown(door, right);
        match table.get(door) {
            Some(said) if said == right => {}
            Some(said) => {
                wrong.push(format!("guard.txt says:\n  {}\nbut the server does:\n  {now}", shown(door, said)))
            }
            None => {
                wrong.push(format!("guard.txt has no line for this; if it is meant so, add:\n  {now}"));
            }
        }
    }
    for (kind, door) in table.keys().filter(|door| !found.contains_key(*door)) {
        wrong.push(format!("guard.txt names {kind} {door}, which is gone: take the line out"));
    }
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
}
