//! Cases 9 to 20, 24 and 26: documents that are too large, too deep, too many of something, or about nothing.

use handfast_tests::Server;
use serde_json::{Value, json};

use super::{Row, Sent, check, faults, post, short};

fn nested(before: &str, open: &str, times: usize, middle: &str, close: &str, after: &str) -> Sent {
    Sent::Document(format!("{before}{}{middle}{}{after}", open.repeat(times), close.repeat(times)))
}

/// `spreads` spreads of the next fragment in each of `levels` fragments.
fn bomb(levels: usize, spreads: usize) -> Sent {
    let mut text = String::from("{ viewer { ...F0 } }");
    for level in 0..levels {
        let spread = format!("...F{} ", level + 1);
        text += &format!("fragment F{level} on User{{{}}}", spread.repeat(spreads));
    }
    Sent::Document(text + &format!("fragment F{levels} on User{{key}}"))
}

fn named(body: Value) -> Sent {
    Sent::Body(body.to_string().into_bytes())
}

#[test]
fn every_document_beyond_a_limit_is_refused_before_it_costs_anything() {
    let server = Server::start();
    let (large, deep, complex) = ("DOCUMENT_TOO_LARGE", "DOCUMENT_TOO_DEEP", "QUERY_TOO_COMPLEX");
    let (validation, directives) = ("VALIDATION", "TOO_MANY_DIRECTIVES");
    let deeper = "nesting deeper than 40 at byte ";
    let (list, close) = ("{ leads(first: ", ") { edges { cursor } } }");
    let aa = " @aa".repeat(10);
    let ten = "10 directives in one place, limit 4";
    let aliases: String = (0..31).map(|n| format!("a{n}: key ")).collect();
    let chain: String = (0..90)
        .map(|n| format!("fragment F{n} on Lead{{evaluations{{decisions{{lead{{...F{}}}}}}}}}", n + 1))
        .collect();
    check(
        &server,
        vec![
            Row(9, "33 KiB", format!("{{ viewer {{ key }} }}#{}", "x".repeat(33_792)).into(), 400, large, "33811 bytes, limit 32768"),
            Row(9, "a name of 33 KiB", format!("{{ {} }}", "x".repeat(33_792)).into(), 400, large, "33796 bytes, limit 32768"),
            Row(10, "2,001 tokens", format!("{{{}}}", "a ".repeat(1_999)).into(), 400, large, "2001 tokens, limit 2000"),
            Row(11, "lists of 41", nested(list, "[", 41, "1", "]", close), 400, deep, deeper),
            Row(11, "lists of 1,562", nested(list, "[", 1_562, "1", "]", close), 400, deep, deeper),
            Row(11, "lists of 5,000", nested(list, "[", 5_000, "1", "]", close), 400, deep, deeper),
            Row(11, "lists without an end", nested(list, "[", 30_000, "", "", ""), 400, deep, deeper),
            // Bytes are counted before anything is looked at.
            Row(11, "lists of 50,000", nested(list, "[", 50_000, "1", "]", close), 400, large, "limit 32768"),
            Row(12, "objects of 2,000", nested("{ leads(filter: ", "{source:", 2_000, "1", "}", close), 400, deep, deeper),
            Row(12, "a default of 2,000", nested("query($x: Int = ", "{a:", 2_000, "1", "}", ") { viewer { key } }"), 400, deep, deeper),
            Row(13, "41 selections", nested("", "{a", 41, "", "}", ""), 400, deep, deeper),
            Row(13, "90 levels by fragments", format!("{{ leads {{ edges {{ node {{ ...F0 }} }} }} }} {chain} fragment F90 on Lead {{ id }}").into(), 400, deep, "deep after fragments are expanded, limit 40"),
            Row(14, "2^29", bomb(29, 2), 400, complex, "1610612736 fields after fragments are expanded, limit 2000"),
            Row(14, "10^12", bomb(12, 10), 400, complex, "fields after fragments are expanded, limit 2000"),
            Row(14, "more than counts", bomb(24, 30), 400, complex, "18446744073709551615 fields"),
            Row(15, "itself", "{ viewer { ...A } } fragment A on User { ...A }".into(), 400, validation, "fragment A refers to itself"),
            Row(15, "three", "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...C } fragment C on User { ...A }".into(), 400, validation, "fragment A refers to itself"),
            Row(15, "unused", "{ viewer { key } } fragment A on User { ...A }".into(), 400, validation, "fragment A refers to itself"),
            Row(16, "31 aliases", format!("{{ viewer {{ {aliases} }} }}").into(), 400, "TOO_MANY_ALIASES", "31 aliases, limit 30"),
            Row(16, "2,001 times the same", format!("{{ viewer {{ {} }} }}", "key ".repeat(2_001)).into(), 400, large, "tokens, limit 2000"),
            Row(16, "21 roots", format!("{{ {} }}", "feedHead ".repeat(21)).into(), 400, complex, "21 root fields, limit 20"),
            Row(17, "on a field", format!("{{ viewer{aa} {{ key }} }}").into(), 400, directives, ten),
            Row(17, "on an inline fragment", format!("{{ ... on Query{aa} {{ viewer {{ key }} }} }}").into(), 400, directives, ten),
            Row(17, "on a spread", format!("{{ ...A{aa} }} fragment A on Query {{ viewer {{ key }} }}").into(), 400, directives, ten),
            Row(17, "on an operation", format!("query{aa} {{ viewer {{ key }} }}").into(), 400, directives, ten),
            Row(17, "on a variable", format!("query($x: Int{aa}) {{ viewer {{ key }} }}").into(), 400, directives, ten),
            Row(17, "on a fragment", format!("{{ ...A }} fragment A on Query{aa} {{ viewer {{ key }} }}").into(), 400, directives, ten),
            Row(17, "21 in all", format!("{{ viewer {{ {} }} }}", "key @skip(if: true) ".repeat(21)).into(), 400, directives, "21 directives, limit 20"),
            Row(17, "50,000", format!("{{ viewer{} {{ key }} }}", " @skip".repeat(50_000)).into(), 400, large, "limit 32768"),
            Row(18, "20,000 unknown fields", format!("{{ viewer {{ {} }} }}", "u ".repeat(20_000)).into(), 400, large, "limit 32768"),
            Row(20, "a near miss", "{ lea }".into(), 400, validation, "Unknown field \"lea\" on type \"Query\""),
            Row(20, "a near miss of an argument", "{ leads(frst: 1) { edges { cursor } } }".into(), 400, validation, "Unknown argument \"frst\""),
            Row(20, "an unknown type", "{ ... on Leed { id } }".into(), 400, validation, "Unknown type \"Leed\""),
            Row(20, "a long name", format!("{{ {} }}", "x".repeat(20_000)).into(), 400, validation, "Unknown field \"xxxx"),
            Row(20, "a directive", format!("{{ viewer @{} {{ key }} }}", "x".repeat(20_000)).into(), 400, validation, "Unknown directive"),
            Row(20, "words", "please list the leads".into(), 400, validation, "syntax error at line 1, column 1: expected"),
            Row(20, "a text without end", "{ users(team: \"open) { key } }".into(), 400, validation, "syntax error at line 1, column 15: expected"),
            Row(20, "a control character", "{ viewer\u{0} { key } }".into(), 400, validation, "syntax error at line 1, column 9: expected"),
            Row(24, "type of 9,000", nested("query($x: ", "[", 9_000, "Int", "]", ") { viewer { key } }"), 400, deep, deeper),
            Row(24, "type of 20,000", nested("query($x: ", "[", 20_000, "Int", "]", ") { viewer { key } }"), 400, large, "limit 32768"),
            Row(26, "an extra variable", Sent::With("{ viewer { key } }", json!({"x": 1})), 400, validation, "the variable $x is not declared"),
            Row(26, "an extra variable of a long name", Sent::With("{ viewer { key } }", json!({"x".repeat(9_000): 1})), 400, validation, "is not declared"),
            Row(26, "a missing variable", Sent::With("query($id: ID!) { node(id: $id) { id } }", json!({})), 400, validation, "the variable $id is required; give it a value of ID!"),
            Row(26, "a variable that nobody declares", "{ node(id: $id) { id } }".into(), 400, validation, "Variable \"$id\" is not defined"),
            Row(26, "an unused variable", "query($x: Int) { viewer { key } }".into(), 400, validation, "Variable \"$x\" is not used"),
            Row(26, "a variable twice", "query($x: Int, $x: Int) { leads(first: $x) { edges { cursor } } }".into(), 400, validation, "only be one variable named \"$x\""),
            Row(26, "a name of none", named(json!({"query": "query A { viewer { key } }", "operationName": "B"})), 400, validation, "there is no operation B; the document has A"),
            Row(26, "a name where none is", named(json!({"query": "{ viewer { key } }", "operationName": "B"})), 400, validation, "the only one has no name"),
            Row(26, "two without a name", "query A { viewer { key } } query B { viewer { key } }".into(), 400, validation, "2 operations; choose one by operationName: A, B"),
            Row(26, "only fragments", "fragment A on User { key }".into(), 400, validation, ""),
        ],
    );
}

/// Depth and width that no document shows by its size: the answer would have rows by the million.
#[test]
fn a_small_document_that_unfolds_in_the_schema_is_refused() {
    let server = Server::start();
    let types = "possibleTypes { interfaces { ";
    let circle = |times| nested("{ __type(name: \"Node\") { ", types, times, "name", " } }", " } }");
    let fields = "fields { type { ofType { ";
    check(
        &server,
        vec![
            Row(19, "circular introspection by interfaces", circle(4), 400, "QUERY_TOO_DEEP", "in circles"),
            Row(
                19,
                "circular introspection by fields",
                nested("{ __schema { types { ", fields, 8, "name", " } } }", " } } }"),
                400,
                "QUERY_TOO_DEEP",
                "in circles",
            ),
            Row(
                13,
                "leads of decisions of leads",
                nested(
                    "{ leads(first: 200) { edges { node { ",
                    "evaluations(first: 20) { decisions { lead { ",
                    8,
                    "id",
                    " } } }",
                    " } } } }",
                ),
                400,
                "QUERY_TOO_COMPLEX",
                "objects, limit 10000",
            ),
        ],
    );
}

#[test]
fn many_errors_are_cut_to_twenty() {
    let server = Server::start();
    let unknown: String = (0..1_900).map(|n| format!("u{n} ")).collect();
    let long: String = (0..60).map(|n| format!("u{n}{} ", "x".repeat(400))).collect();
    for (what, fields) in [("many", unknown), ("long", long)] {
        let answer =
            post(&server, json!({"query": format!("{{ viewer {{ {fields} }} }}")}).to_string().as_bytes());
        let json = answer.json();
        let found = json["errors"].as_array().map_or(0, Vec::len);
        assert!(
            (1..=20).contains(&found) && answer.status == 400,
            "{what}: {found} {}",
            short(&answer.body, 300)
        );
        assert!(
            json["extensions"]["errorsOmitted"].as_u64().is_some_and(|n| n >= 40),
            "{what}: {}",
            json["extensions"]
        );
        assert!(answer.body.len() <= 16 * 1024 + 256, "{what}: {} bytes", answer.body.len());
        // Twenty errors may have more than the 4 KiB of one.
        assert_eq!(faults(&json, 0), Vec::<String>::new(), "{what}: {}", short(&answer.body, 300));
        assert!(!answer.body.contains("Did you mean"), "nobody learns names by guessing: {what}");
    }
}

/// The path of an error repeats the alias, so that an alias must not be a letter.
#[test]
fn an_error_under_a_long_alias_is_not_longer_than_errors_may_be() {
    let server = Server::start();
    let alias = "l".repeat(20_000);
    let query = format!("{{ {alias}: leads(first: 0) {{ edges {{ cursor }} }} }}");
    let answer = post(&server, json!({ "query": query }).to_string().as_bytes());
    assert!(answer.body.len() <= 16 * 1024, "{} {} bytes", answer.status, answer.body.len());
    assert_eq!(faults(&answer.json(), 0), Vec::<String>::new(), "{}", short(&answer.body, 300));
}
