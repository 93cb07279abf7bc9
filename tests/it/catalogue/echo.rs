//! Every place for a text in the arguments of every field gets an odd one: none is the server's fault, and no message says
//! more than 80 characters of a word again.

use std::collections::{BTreeMap, BTreeSet};

use handfast_tests::Server;
use serde_json::{Map, Value, json};

use super::{echo_of, post, raw, sane, short};
use crate::schema::{Known, bare, list, name, needed, smallest, types, written};

/// The id that the smallest request names.
const ABSENT: &str = "01a217bd-0000-7000-8000-000000000000";

type Types = BTreeMap<String, Value>;

/// Values of a type with the place in each that is `word`: a text, an id, a date, a word of an enum. The rest is the
/// smallest.
fn variants(types: &Types, of: &Value, word: &str, within: &mut Vec<String>) -> Vec<(String, Value)> {
    match of["kind"].as_str() {
        Some("NON_NULL") => variants(types, &of["ofType"], word, within),
        Some("LIST") => {
            let items = variants(types, &of["ofType"], word, within).into_iter();
            // Twice the same: what is kept by a key is easily written twice.
            items.map(|(place, item)| (place, json!([item, item]))).collect()
        }
        Some("INPUT_OBJECT") => {
            let own = name(of).to_owned();
            if within.contains(&own) {
                return vec![];
            }
            within.push(own);
            let input = &types[name(of)];
            let base = if input["isOneOf"] == true { json!({}) } else { smallest(types, &Known::new(), of) };
            let mut all = vec![];
            for field in list(input, "inputFields") {
                for (place, value) in variants(types, &field["type"], word, within) {
                    let mut one = base.clone();
                    one[name(field)] = value;
                    all.push((format!(".{}{place}", name(field)), one));
                }
            }
            within.pop();
            all
        }
        _ if ["Int", "Boolean"].contains(&name(of)) => vec![],
        _ => vec![(String::new(), json!(word))],
    }
}

/// A request for each place in the arguments of a root field.
fn requests(types: &Types, kind: &str, field: &Value, word: &str) -> Vec<(String, Value)> {
    let selection = match types[bare(&field["type"])]["kind"].as_str() {
        _ if kind == "mutation" => " { errors { code message } }",
        Some("OBJECT" | "INTERFACE" | "UNION") => " { __typename }",
        _ => "",
    };
    let mut all = vec![];
    for asked in list(field, "args") {
        for (place, value) in variants(types, &asked["type"], word, &mut vec![]) {
            let given = |arg: &Value| name(arg) == name(asked) || needed(arg);
            let args: Vec<&Value> = list(field, "args").filter(|arg| given(arg)).collect();
            let declared: Vec<String> =
                args.iter().map(|arg| format!("${}: {}", name(arg), written(&arg["type"]))).collect();
            let used: Vec<String> = args.iter().map(|arg| format!("{0}: ${0}", name(arg))).collect();
            let variables: Map<String, Value> = args
                .iter()
                .map(|arg| {
                    let this = name(arg) == name(asked);
                    let value =
                        if this { value.clone() } else { smallest(types, &Known::new(), &arg["type"]) };
                    (name(arg).to_owned(), value)
                })
                .collect();
            let (declared, used, field) = (declared.join(", "), used.join(", "), name(field));
            let query = format!("{kind}({declared}) {{ {field}({used}){selection} }}");
            all.push((
                format!("{field}({}{place})", name(asked)),
                json!({"query": query, "variables": variables}),
            ));
        }
    }
    all
}

#[test]
fn no_refusal_says_a_long_word_again() {
    let server = Server::start();
    let types = types(&server.admin());
    // Letters only: marks and digits would be refused for another reason.
    let word = "w".repeat(300);
    let (mut wrong, mut asked) = (vec![], 0);
    for (kind, root) in [("query", "Query"), ("mutation", "Mutation")] {
        for field in list(&types[root], "fields") {
            for (place, request) in requests(&types, kind, field, &word) {
                let answer = post(&server, request.to_string().as_bytes());
                asked += 1;
                let mut told = vec![];
                messages(&answer.json(), &mut told);
                let fault = told.iter().find_map(|message| {
                    let text = message.replace(&word, "<word>");
                    Some(format!("{}: {}", echo_of(message)?, short(&text, 200)))
                });
                let fault = fault.or_else(|| {
                    let broken = answer.status >= 500 || answer.body.contains("\"INTERNAL\"");
                    broken.then(|| format!("{} {}", answer.status, short(&answer.body, 300)))
                });
                wrong.extend(fault.map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    let header = format!("GET /graphql HTTP/1.1\r\norigin: https://{}.example", "w".repeat(3_000));
    let refused = raw(&server, &header, b"");
    let mut told = vec![];
    messages(&refused.json(), &mut told);
    assert!(refused.status == 403 && told.iter().all(|message| echo_of(message).is_none()), "{refused:?}");
    assert!(asked > 200, "{asked} places");
    assert!(wrong.is_empty(), "{} of {asked} places say it again:\n{}", wrong.len(), wrong.join("\n"));
    sane(&server).expect("the server answers");
}

/// Case 5 for every place, with what else a database may choke on: refused, taken or not found, but never our own fault.
#[test]
fn no_text_anywhere_is_the_servers_fault() {
    let server = Server::start();
    let types = types(&server.admin());
    // So that not everything ends with a lead that there is not.
    let lead = server.admin().capture("lead@example.test")["uuid"].clone();
    let lead = lead.as_str().expect("an id");
    // Letters that no database can press together, longer than a page of its index.
    let mut state = 1_u32;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (state >> 24) as u8 % 26)
    });
    let long: String = letters.take(30_000).collect();
    let words =
        ["x", "need", "nul\u{0}nul", "\u{202e}\u{200d}\u{feff}\u{1f4a9}", "", "\\x00\\u0000%_'\"", &long];
    let (mut wrong, mut asked) = (vec![], 0);
    for word in words {
        for (kind, root) in [("query", "Query"), ("mutation", "Mutation")] {
            for field in list(&types[root], "fields") {
                for (place, request) in requests(&types, kind, field, word) {
                    let request = request.to_string().replace(ABSENT, lead);
                    let answer = post(&server, request.as_bytes());
                    asked += 1;
                    if answer.status == 0 || answer.status >= 500 || answer.body.contains("\"INTERNAL\"") {
                        let (word, body) = (short(word, 20), short(&answer.body, 120));
                        wrong.push(format!("{place} with {word:?}: {} {body}", answer.status));
                    }
                }
            }
        }
    }
    // Each reason of the log once, without time and place.
    let reasons = server.log().into_iter().filter(|line| line.contains("ERROR"));
    let log: BTreeSet<String> =
        reasons.map(|line| short(line.rsplit("error").next().unwrap_or_default(), 200)).collect();
    assert!(wrong.is_empty(), "{} of {asked} are faults:\n{}\nlog: {log:#?}", wrong.len(), wrong.join("\n"));
    sane(&server).expect("the server answers");
}

/// Every `message` anywhere in an answer.
fn messages(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "message" => into.push(text.clone()),
                    other => messages(other, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| messages(value, into)),
        _ => {}
    }
}
