//! The schema as its readers meet it: documented, of one shape, complete in its ids, closed without a right.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use handfast_tests::{Api, Server, binary, card, eventually, fair_share, root};
use serde_json::{Value, json};

const TYPES: &str = "{ __schema { types { kind name description isOneOf \
    interfaces { name } possibleTypes { name } \
    fields(includeDeprecated: true) { name description type { ...type } args { ...input } } \
    inputFields { ...input } enumValues(includeDeprecated: true) { name description } } } } \
    fragment input on __InputValue { name description defaultValue type { ...type } } \
    fragment type on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

pub type Types = BTreeMap<String, Value>;

/// Every type of the API by name, those of introspection included.
pub fn all_types(api: &Api) -> Types {
    let found = api.query(TYPES, json!({}))["__schema"]["types"].clone();
    let types = found.as_array().cloned().unwrap_or_default().into_iter();
    types.map(|one| (name(&one).to_owned(), one)).collect()
}

/// Every type of the API but the introspection's own, by name.
pub fn types(api: &Api) -> Types {
    let mut types = all_types(api);
    types.retain(|name, _| !name.starts_with("__"));
    types
}

pub fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

pub fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value[field].as_array().into_iter().flatten()
}

/// The type below lists and exclamation marks.
pub fn bare(of: &Value) -> &str {
    if of["ofType"].is_null() { name(of) } else { bare(&of["ofType"]) }
}

/// As the schema's language writes it.
pub fn written(of: &Value) -> String {
    match of["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", written(&of["ofType"])),
        Some("LIST") => format!("[{}]", written(&of["ofType"])),
        _ => name(of).to_owned(),
    }
}

fn documented(value: &Value) -> bool {
    value["description"].as_str().is_some_and(|text| !text.trim().is_empty())
}

/// Fields of objects, interfaces and inputs with the type that they belong to.
fn fields(types: &Types) -> impl Iterator<Item = (&str, &Value)> {
    types.iter().flat_map(|(of, one)| {
        let both = list(one, "fields").chain(list(one, "inputFields"));
        both.map(|field| (of.as_str(), field))
    })
}

#[test]
fn the_committed_schema_is_what_the_server_speaks() {
    let printed = Command::new(binary()).arg("schema").output().expect("the binary runs");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let committed =
        std::fs::read_to_string(root().join("schema/handfast.graphql")).expect("the committed schema");
    let differs = committed.lines().zip(printed.lines()).enumerate().find(|(_, (old, new))| old != new);
    assert_eq!(differs, None, "line (from 0), committed, now: `cargo xtask schema` writes it again");
    assert_eq!(committed, printed);
    // What is asked below is asked of the running server: it must know the same names.
    let server = Server::start();
    for (of, one) in types(&server.admin()) {
        let words = ["type", "input", "enum", "interface", "scalar"];
        let builtin = ["Int", "Float", "String", "Boolean", "ID"].contains(&of.as_str());
        let told =
            |word: &str| committed.lines().any(|line| line.split([' ', '{']).take(2).eq([word, of.as_str()]));
        assert!(
            builtin || words.into_iter().any(told),
            "{of} {} is not in the committed schema",
            one["kind"]
        );
    }
}

/// Numbers that stay small whatever happens: positions, versions, points, shares, days, minutes.
const SMALL: &[&str] = &[
    "afterDays",
    "allowed",
    "alone",
    "attempt",
    "attempts",
    "attemptsNeeded",
    "baseBasisPoints",
    "baseline",
    "basisPoints",
    "batchSize",
    "breaches",
    "canary",
    "capacity",
    "caseCount",
    "channels",
    "charter",
    "churnBasisPoints",
    "completeness",
    "confidence",
    "conversations",
    "current",
    "cycle",
    "days",
    "daysSinceLast",
    "daysSinceIntent",
    "delivers",
    "deviationBasisPoints",
    "differenceBasisPoints",
    "drift",
    "dueBasisPoints",
    "effort",
    "engagement",
    "expectedVersion",
    "failures",
    "fillRateBasisPoints",
    "fit",
    "from",
    "gapHundredths",
    "grade",
    "greyCasesADay",
    "halfLifeDays",
    "high",
    "highIntent",
    "httpStatus",
    "knowsNeeds",
    "largestDeviationBasisPoints",
    "leadShareBasisPoints",
    "leadVersion",
    "leakedBasisPoints",
    "liftBasisPoints",
    "lookBackDays",
    "low",
    "maxHoldDays",
    "maxPauseMinutes",
    "meanHundredths",
    "minAttempts",
    "minChannels",
    "minSample",
    "minWins",
    "mqlRateBasisPoints",
    "number",
    "ordinal",
    "part",
    "percents",
    "otherDelivers",
    "otherKnowsNeeds",
    "otherMeanHundredths",
    "ownMeanHundredths",
    "points",
    "poorShareBasisPoints",
    "position",
    "priority",
    "queueShareBasisPoints",
    "rateBasisPoints",
    "recycleAfterDays",
    "renewals",
    "replaces",
    "resumedFrom",
    "reviewAfterDays",
    "share",
    "shareBasisPoints",
    "stageVersion",
    "stars",
    "steps",
    "stepsDone",
    "targetMinutes",
    "times",
    "to",
    "touches",
    "touchesBefore",
    "tried",
    "underCharter",
    "urgentTargetMinutes",
    "version",
    "weight",
    "window",
    "winShareBasisPoints",
    "winRateBasisPoints",
    "windowDays",
    "withinDays",
    "wonRateBasisPoints",
    "worth",
];

/// At most 500 touches come at a time; how well a field tells leads apart by itself is a share.
const BOUNDED: &[&str] = &["RecordTouchpointsPayload.leads", "BacktestField.alone"];

#[test]
fn what_can_grow_is_no_int_and_what_is_money_names_its_currency() {
    let types = types(&Server::start().admin());
    let mut wrong = vec![];
    for (of, field) in fields(&types) {
        let (name, kind) = (name(field), bare(&field["type"]));
        let place = format!("{of}.{name}");
        match kind {
            "Int" if !SMALL.contains(&name) && !BOUNDED.contains(&place.as_str()) => {
                wrong.push(format!("{place}: an Int that may grow"))
            }
            "Float" => wrong.push(format!("{place}: a Float adds up to something else")),
            _ => {}
        }
        let money = ["cost", "revenue", "amount"].contains(&name) || name.starts_with("costPer");
        // What a request costs is counted in objects.
        if money && !["Money", "MoneyInput"].contains(&kind) && place != "RateLimit.cost" {
            wrong.push(format!("{place}: {kind}"));
        }
        if name.ends_with("Minor") && kind != "Long" {
            wrong.push(format!("{place}: {kind}"));
        }
    }
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (of, field) in fields(&types) {
        let kind = bare(&field["type"]);
        if ["Int", "Long"].contains(&kind) && !BOUNDED.contains(&format!("{of}.{}", name(field)).as_str()) {
            kinds.entry(name(field)).or_default().insert(kind);
        }
    }
    let both = kinds
        .iter()
        .filter(|(_, kinds)| kinds.len() > 1)
        .map(|(name, _)| format!("{name}: an Int here, a Long there"));
    wrong.extend(both);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names that say all of what they are, in inputs and answers.
const PLAIN: &[&str] = &[
    "after",
    "amountMinor",
    "anonymousId",
    "asOf",
    "at",
    "before",
    "campaign",
    "cancelled",
    "code",
    "comment",
    "content",
    "country",
    "created",
    "cycle",
    "cycles",
    "department",
    "description",
    "digest",
    "domain",
    "email",
    "employees",
    "external",
    "id",
    "ids",
    "industry",
    "key",
    "label",
    "last",
    "lead",
    "leadId",
    "leadUuid",
    "leads",
    "meaning",
    "medium",
    "members",
    "met",
    "name",
    "number",
    "ok",
    "owner",
    "path",
    "paused",
    "reason",
    "refused",
    "region",
    "running",
    "seniority",
    "signal",
    "source",
    "summary",
    "team",
    "title",
    "token",
    "unchanged",
    "updated",
    "user",
    "unit",
    "uuid",
    "version",
    "warnings",
    "webhook",
];

/// Members of an enum whose names its own description explains.
const PLAIN_ENUMS: &[&str] = &["Party"];

#[test]
fn everything_that_does_not_explain_itself_is_described() {
    let types = types(&Server::start().admin());
    let inputs: BTreeSet<&str> = list(&types["Mutation"], "fields")
        .flat_map(|field| list(field, "args"))
        .map(|arg| bare(&arg["type"]))
        .collect();
    // A payload, a connection and the input of one mutation are explained where they are used.
    let explained = |of: &str| of.ends_with("Payload") || of.ends_with("Connection") || inputs.contains(of);
    let builtin = ["Query", "Mutation", "Subscription", "Int", "Float", "String", "Boolean", "ID"];
    // A field needs no words of its own if its type has them, or the interface that promises it.
    let by_type = |field: &Value| {
        types.get(bare(&field["type"])).is_some_and(|of| of["kind"] != "SCALAR" && documented(of))
    };
    let by_interface = |one: &Value, field: &Value| {
        list(one, "interfaces").any(|of| {
            list(&types[name(of)], "fields").any(|known| known["name"] == field["name"] && documented(known))
        })
    };
    let plain = |field: &Value| {
        let instant = bare(&field["type"]) == "DateTime" && name(field).ends_with("At");
        PLAIN.contains(&name(field)) || instant
    };
    let mut bare_ones = vec![];
    for (of, one) in &types {
        if !documented(one) && !explained(of) && !builtin.contains(&of.as_str()) {
            bare_ones.push(of.clone());
        }
        for field in list(one, "fields").chain(list(one, "inputFields")) {
            let root = ["Query", "Mutation", "Subscription"].contains(&of.as_str());
            let told =
                documented(field) || (!root && (by_type(field) || plain(field))) || by_interface(one, field);
            if !told {
                bare_ones.push(format!("{of}.{}", name(field)));
            }
            for arg in list(field, "args").filter(|arg| name(arg) != "input") {
                if !(documented(arg) || by_type(arg) || plain(arg)) {
                    bare_ones.push(format!("{of}.{}({})", name(field), name(arg)));
                }
            }
        }
        for value in
            list(one, "enumValues").filter(|value| !documented(value) && !PLAIN_ENUMS.contains(&of.as_str()))
        {
            bare_ones.push(format!("{of}::{}", name(value)));
        }
    }
    assert!(bare_ones.is_empty(), "{} without a description:\n{}", bare_ones.len(), bare_ones.join("\n"));
}

/// Mutations that take something else than one `input`: a repetition of these changes nothing.
const WITHOUT_INPUT: &[&str] =
    &["announceSignal", "cancelBacktest", "cancelReevaluation", "cancelReport", "cancelImport"];

/// Mutations that cannot be tried without their effect.
const WITHOUT_DRY_RUN: &[&str] =
    &["recordTouchpoints", "startBacktest", "startReport", "uploadPluginVersion"];

#[test]
fn every_mutation_takes_one_input_and_answers_with_its_errors() {
    let types = types(&Server::start().admin());
    let mut wrong = vec![];
    for field in list(&types["Mutation"], "fields") {
        let (name_, payload) = (name(field), &types[bare(&field["type"])]);
        let errors = list(payload, "fields")
            .find(|field| name(field) == "errors")
            .map(|field| written(&field["type"]));
        if errors.as_deref() != Some("[UserError!]!")
            || written(&field["type"]) != format!("{}!", name(payload))
        {
            wrong.push(format!("{name_} answers {} with errors {errors:?}", written(&field["type"])));
        }
        if !name(payload).ends_with("Payload") {
            wrong.push(format!("{name_} answers a {}", name(payload)));
        }
        let args: Vec<&Value> = list(field, "args").collect();
        if WITHOUT_INPUT.contains(&name_) {
            continue;
        }
        let [input] = args[..] else {
            wrong.push(format!("{name_} takes {} arguments", args.len()));
            continue;
        };
        let of = &types[bare(&input["type"])];
        if name(input) != "input"
            || of["kind"] != "INPUT_OBJECT"
            || written(&input["type"]) != format!("{}!", name(of))
        {
            wrong.push(format!("{name_} takes {}: {}", name(input), written(&input["type"])));
        }
        for (wanted, kind) in [("idempotencyKey", "String"), ("dryRun", "Boolean")] {
            let found = list(of, "inputFields")
                .find(|field| name(field) == wanted)
                .map(|field| written(&field["type"]));
            let excepted = wanted == "dryRun" && WITHOUT_DRY_RUN.contains(&name_);
            if (found.as_deref() != Some(kind)) != excepted {
                wrong.push(format!("{name_}: {wanted} is {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let names: BTreeSet<&str> = list(&types["Mutation"], "fields").map(name).collect();
    assert!(
        WITHOUT_INPUT.iter().chain(WITHOUT_DRY_RUN).all(|excepted| names.contains(excepted)),
        "exceptions that are gone"
    );
}

#[test]
fn every_connection_has_edges_and_page_info_and_no_short_cut() {
    let types = types(&Server::start().admin());
    let connections: Vec<&String> = types.keys().filter(|of| of.ends_with("Connection")).collect();
    assert!(connections.len() >= 7, "{connections:?}");
    for of in &connections {
        let shape = |of: &str| {
            list(&types[of], "fields")
                .map(|field| (name(field), written(&field["type"])))
                .collect::<BTreeMap<_, _>>()
        };
        let edge = of.replace("Connection", "Edge");
        let expected = [("edges", format!("[{edge}!]!")), ("pageInfo", "PageInfo!".to_owned())];
        assert_eq!(shape(of), expected.into(), "{of}");
        let edge = shape(&edge);
        assert_eq!(edge.keys().copied().collect::<Vec<_>>(), ["cursor", "node"], "{of}");
        assert_eq!(edge["cursor"], "String!", "{of}");
        assert_eq!(edge["node"], format!("{}!", of.trim_end_matches("Connection")), "{of}");
    }
    for (of, field) in fields(&types).filter(|(_, field)| bare(&field["type"]).ends_with("Connection")) {
        let args: BTreeMap<&str, String> =
            list(field, "args").map(|arg| (name(arg), written(&arg["type"]))).collect();
        let place = format!("{of}.{}", name(field));
        assert_eq!(
            (args.get("first"), args.get("after")),
            (Some(&"Int".to_owned()), Some(&"String".to_owned())),
            "{place}"
        );
        assert_eq!(
            args.contains_key("last"),
            args.contains_key("before"),
            "{place}: back in pages or not at all"
        );
        assert_eq!(written(&field["type"]), format!("{}!", bare(&field["type"])), "{place}");
    }
}

/// Kinds with a global id that `node` does not know; they are read where they belong.
const WITHOUT_NODE: &[&str] = &[
    "Audience",
    "Clock",
    "ContentAsset",
    "ContentRequest",
    "ContextRequest",
    "Effort",
    "Evaluation",
    "Feedback",
    "FollowUp",
    "FormDefinition",
    "GreyCase",
    "Handoff",
    "NamedCalendar",
    "NurtureTrack",
    "Offer",
    "Opportunity",
    "Pool",
    "Precedent",
    "SharedGoal",
    "SharedProject",
    "TeamKey",
    "Territory",
    "Token",
    "Touchpoint",
    "TraitDefinition",
    "Webhook",
    "WebhookDelivery",
];

#[test]
fn every_kind_of_node_is_found_by_its_id() {
    let server = Server::start();
    let api = server.admin();
    let scorecard = server.deploy("scorecard", "mql", &card(10));
    server.deploy("fair-share", "routing", &fair_share());
    let tried = json!({"slot": "mql", "digest": scorecard, "settings": card(20).to_string()});
    let backtest = api.mutate("startBacktest", "StartBacktestInput", tried, "run { id }");
    let campaign = json!({"key": "fair", "name": "Fair", "kind": "fair", "channel": "EVENT"});
    let campaign =
        api.mutate("createCampaign", "CreateCampaignInput", campaign, "campaign { id }")["campaign"]["id"]
            .clone();
    let company = json!({"name": "Example Ltd", "domain": "example.test"});
    let lead = json!({"email": "node@example.test", "consent": true, "company": company, "campaign": "fair",
        "content": "paper"});
    let lead = json!({"lead": lead});
    let selection = "lead { id account { id } queue { id } evaluations { id decisions { id } } clocks { id } \
                     handoff { id } touchpoints { id } }";
    let lead = api.mutate("captureLead", "CaptureLeadInput", lead, selection)["lead"].clone();
    let digest = api.put_blob("import", b"email\nrow@example.test\n");
    let at = json!({"otherwise": "2026-03-01T00:00:00Z"});
    let mapping =
        json!({"system": "crm", "id": "email", "occurredAt": at, "lead": {"email": "email"}}).to_string();
    let import = json!({"digest": digest, "name": "rows", "mapping": mapping});
    let run = api.attempt("startImport", "StartImportInput", import, "run { id }");
    let input = json!({"dryRun": false});
    let pass = api.mutate("startReevaluation", "StartReevaluationInput", input, "reevaluation { id }");
    let report = json!({"report": {"kpis": {}}});
    let report = api.mutate("startReport", "StartReportInput", report, "run { id }");
    let found = api.query(
        "{ viewer { id } teams { id } ruleSlots { live { id } } pools { id } tokens { id } }",
        json!({}),
    );
    let ids = [
        ("Lead", &lead["id"]),
        ("Account", &lead["account"]["id"]),
        ("Campaign", &campaign),
        ("Decision", &lead["evaluations"][0]["decisions"][0]["id"]),
        ("Deployment", &found["ruleSlots"][0]["live"]["id"]),
        ("BacktestRun", &backtest["run"]["id"]),
        ("ImportRun", &run["run"]["id"]),
        ("Reevaluation", &pass["reevaluation"]["id"]),
        ("ReportRun", &report["run"]["id"]),
        ("User", &found["viewer"]["id"]),
        ("Team", &found["teams"][0]["id"]),
        ("Queue", &lead["queue"]["id"]),
    ];
    let types = types(&api);
    let known: BTreeSet<&str> = list(&types["Node"], "possibleTypes").map(name).collect();
    assert_eq!(known, ids.iter().map(|(kind, _)| *kind).collect(), "each kind of node is tried here");
    for (kind, id) in ids {
        assert!(id.is_string(), "no {kind}: {lead} {run}");
        let node =
            api.query("query($id: ID!) { node(id: $id) { __typename id } }", json!({"id": id}))["node"]
                .clone();
        assert_eq!(node, json!({"__typename": kind, "id": id}));
    }
    let with_id = types.iter().filter(|(_, of)| {
        of["kind"] == "OBJECT"
            && list(of, "fields").any(|field| written(&field["type"]) == "ID!" && name(field) == "id")
    });
    let strangers: Vec<&str> = with_id.map(|(of, _)| of.as_str()).filter(|of| !known.contains(of)).collect();
    assert_eq!(strangers, WITHOUT_NODE, "a new kind with an id is a node, or is listed here");
    let others = [
        &lead["evaluations"][0]["id"],
        &lead["clocks"][0]["id"],
        &lead["handoff"]["id"],
        &found["pools"][0]["id"],
        &found["tokens"][0]["id"],
    ];
    let unknown = "TGVhZDowMWEyMTdiNi02NGFkLTcyYmQtYTU2OC02NjA2OWJkNzE0MzY";
    let asked = json!([ids[0].1, unknown, ids[7].1, others[0], ids[0].1]);
    let nodes =
        api.query("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({"ids": asked}))["nodes"].clone();
    assert_eq!(
        nodes,
        json!([{"id": ids[0].1}, null, {"id": ids[7].1}, null, {"id": ids[0].1}]),
        "in their order"
    );
    for other in others {
        let node =
            api.query("query($id: ID!) { node(id: $id) { id } }", json!({"id": other}))["node"].clone();
        assert!(other.is_string() && node.is_null(), "{other}: {node}");
    }
    let many = json!({"ids": vec![unknown; 201]});
    assert_eq!(
        api.error("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", many)["extensions"]["code"],
        "PAGE_SIZE"
    );
    for bad in ["", "undefined", "TGVhZDpub3BlCg", "%%%"] {
        let error = api.error("query($id: ID!) { node(id: $id) { id } }", json!({"id": bad}));
        assert_eq!(error["extensions"]["code"], "VALIDATION", "{bad}: {error}");
    }
    eventually(10, "the import ends", || {
        let document = "query($id: ID!) { importRun(id: $id) { status } }";
        let run = api.query(document, json!({"id": run["run"]["id"]}))["importRun"].clone();
        (run["status"] == "DONE").then_some(())
    });
}

/// Values for what the schema alone does not tell, by the name of a field or a type.
pub type Known = BTreeMap<&'static str, Value>;

/// The smallest value of a type that the schema lets pass. What may be left out is.
pub fn smallest(types: &Types, known: &Known, of: &Value) -> Value {
    if let Some(value) = known.get(name(of)) {
        return value.clone();
    }
    match of["kind"].as_str() {
        Some("NON_NULL") => smallest(types, known, &of["ofType"]),
        Some("LIST") => json!([smallest(types, known, &of["ofType"])]),
        Some("ENUM") => {
            list(&types[name(of)], "enumValues").next().map(|value| value["name"].clone()).unwrap_or_default()
        }
        Some("INPUT_OBJECT") if types[name(of)]["isOneOf"] == true => {
            let first = list(&types[name(of)], "inputFields").next();
            first
                .map(|field| json!({name(field): smallest(types, known, &field["type"])}))
                .unwrap_or_default()
        }
        Some("INPUT_OBJECT") => given(types, known, list(&types[name(of)], "inputFields")),
        _ => match name(of) {
            "Int" => json!(1),
            "Boolean" => json!(false),
            "Long" => json!("1"),
            "DateTime" => json!("2030-01-01T00:00:00.000Z"),
            "Date" => json!("2030-01-01"),
            "Digest" => json!("0".repeat(64)),
            "TimeZone" => json!("UTC"),
            "ID" | "UUID" => json!("01a217bd-0000-7000-8000-000000000000"),
            _ => json!("x"),
        },
    }
}

/// What must be given to a field or an input, and what is known: by its name, or if it is a scalar by its type. Anything
/// else that may be left out is: a touch that names a known lead, for example, would be recorded.
fn given<'v>(types: &Types, known: &Known, fields: impl Iterator<Item = &'v Value>) -> Value {
    let value = |field: &Value| {
        let of = bare(&field["type"]);
        let named = known.get(name(field)).or(known.get(of).filter(|_| types[of]["kind"] == "SCALAR"));
        named.cloned().or_else(|| needed(field).then(|| smallest(types, known, &field["type"])))
    };
    let pairs = fields.filter_map(|field| Some((name(field).to_owned(), value(field)?)));
    Value::Object(pairs.collect())
}

/// Whether something must be given.
pub fn needed(field: &Value) -> bool {
    field["type"]["kind"] == "NON_NULL" && field["defaultValue"].is_null()
}

/// A request for one field of a root type with the smallest arguments.
pub fn request(types: &Types, known: &Known, word: &str, field: &Value) -> Value {
    let variables = given(types, known, list(field, "args"));
    let args = || list(field, "args").filter(|arg| variables.get(name(arg)).is_some());
    let declared: Vec<String> =
        args().map(|arg| format!("${}: {}", name(arg), written(&arg["type"]))).collect();
    let passed: Vec<String> = args().map(|arg| format!("{}: ${0}", name(arg))).collect();
    let brackets =
        |parts: Vec<String>| if parts.is_empty() { String::new() } else { format!("({})", parts.join(", ")) };
    let of = &types[bare(&field["type"])];
    let selection = match of["kind"].as_str() {
        _ if word == "mutation" => " { errors { code message } }",
        Some("OBJECT" | "INTERFACE" | "UNION") => " { __typename }",
        _ => "",
    };
    let query = format!("{word}{} {{ {}{}{selection} }}", brackets(declared), name(field), brackets(passed));
    json!({"query": query, "variables": variables})
}

/// Each field of the API is tried without a token by `guard.rs`; these are the doors beside them.
#[test]
fn nobody_without_a_token_gets_into_what_stands_beside_the_api() {
    let server = Server::start();
    let stranger = server.api("");
    for path in ["/blobs", "/events.ndjson", "/graphql/stream"] {
        let (status, text) = stranger.get(path);
        assert!(status == 401 || status == 405 || status == 406, "{path}: {status} {text}");
    }
}
