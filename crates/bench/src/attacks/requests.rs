//! What attackers send by HTTP: requests that the server refuses, and some that it may not.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Map, Value, json};

use crate::load::Shot;

/// A request with its name.
pub type Named = (&'static str, Shot);

const JSON: &str = "content-type: application/json\r\n";

/// A request whose refusal shows in its status. `token` is a whole header, or nothing.
fn request(line: &str, token: &str, headers: &str, body: &[u8]) -> Shot {
    let mut shot = format!(
        "{line} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/graphql-response+json\r\n{token}{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    shot.extend_from_slice(body);
    shot
}

fn post(token: &str, body: &[u8]) -> Shot {
    request("POST /graphql", token, JSON, body)
}

fn ask(token: &str, document: &str) -> Shot {
    post(token, json!({ "query": document }).to_string().as_bytes())
}

fn with(token: &str, document: &str, variables: &Value) -> Shot {
    post(token, json!({"query": document, "variables": variables}).to_string().as_bytes())
}

pub fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn nested(before: &str, open: &str, times: usize, middle: &str, close: &str, after: &str) -> String {
    format!("{before}{}{middle}{}{after}", open.repeat(times), close.repeat(times))
}

/// `spreads` spreads of the next fragment in each of `levels` fragments.
fn bomb(levels: usize, spreads: usize) -> String {
    let mut text = String::from("{ viewer { ...F0 } }");
    for level in 0..levels {
        let spread = format!("...F{} ", level + 1);
        text += &format!("fragment F{level} on User{{{}}}", spread.repeat(spreads));
    }
    text + &format!("fragment F{levels} on User{{key}}")
}

/// Nothing to refuse: what a busy client alone does to others on this machine.
pub fn harmless(_: &str) -> Vec<Named> {
    vec![("healthz", request("GET /healthz", "", "", b""))]
}

/// Documents that are too large, too deep or about nothing.
pub fn documents(token: &str) -> Vec<Named> {
    let (list, close) = ("{ leads(first: ", ") { edges { cursor } } }");
    let aliases: String = (0..31).map(|n| format!("a{n}: key ")).collect();
    let circle: String =
        (0..300).map(|n| format!("fragment A{n} on User{{...A{}}}", (n + 1) % 300)).collect();
    vec![
        ("33 KiB", ask(token, &format!("{{ viewer {{ key }} }}#{}", "x".repeat(33_792)))),
        ("a name of 32 KiB", ask(token, &format!("{{ {} }}", "x".repeat(32_700)))),
        ("2,001 tokens", ask(token, &format!("{{{}}}", "a ".repeat(1_999)))),
        ("lists of 1,562", ask(token, &nested(list, "[", 1_562, "1", "]", close))),
        ("lists without an end", ask(token, &nested(list, "[", 30_000, "", "", ""))),
        ("objects of 2,000", ask(token, &nested("{ leads(filter: ", "{source:", 2_000, "1", "}", close))),
        ("41 selections", ask(token, &nested("", "{a", 41, "", "}", ""))),
        (
            "a type of 9,000",
            ask(token, &nested("query($x: ", "[", 9_000, "Int", "]", ") { viewer { key } }")),
        ),
        ("a bomb of 2^29", ask(token, &bomb(29, 2))),
        ("a bomb of 24^30", ask(token, &bomb(24, 30))),
        ("a fragment of itself", ask(token, "{ viewer { ...A } } fragment A on User { ...A }")),
        ("a circle of 300 fragments", ask(token, &format!("{{ viewer {{ ...A0 }} }} {circle}"))),
        ("31 aliases", ask(token, &format!("{{ viewer {{ {aliases} }} }}"))),
        ("10 directives", ask(token, &format!("{{ viewer{} {{ key }} }}", " @aa".repeat(10)))),
        ("50,000 directives", ask(token, &format!("{{ viewer{} {{ key }} }}", " @skip".repeat(50_000)))),
        ("20,000 unknown fields", ask(token, &format!("{{ viewer {{ {} }} }}", "u ".repeat(20_000)))),
        ("a syntax error at the end", ask(token, &format!("{{ viewer {{ {} }} ", "key ".repeat(1_900)))),
        ("words", ask(token, "please list the leads")),
    ]
}

/// Documents with as many errors as fit: their refusals may be of 16 KiB.
pub fn errors(token: &str) -> Vec<Named> {
    let unknown: String = (0..1_900).map(|n| format!("u{n} ")).collect();
    let long: String = (0..60).map(|n| format!("u{n}{} ", "x".repeat(400))).collect();
    let arguments: String = (0..400).map(|n| format!("q{n}: 1 ")).collect();
    let variables: String = (0..400).map(|n| format!("$v{n}: Nope ")).collect();
    let fragments: String = (0..300).map(|n| format!("fragment F{n} on Nope{{a}} ")).collect();
    let conflicts: String = (0..29).map(|n| format!("a{n}: key a{n}: id ")).collect();
    vec![
        ("1,900 unknown fields", ask(token, &format!("{{ viewer {{ {unknown} }} }}"))),
        ("60 long unknown fields", ask(token, &format!("{{ viewer {{ {long} }} }}"))),
        ("400 unknown arguments", ask(token, &format!("{{ leads({arguments}) {{ edges {{ cursor }} }} }}"))),
        ("400 unknown types", ask(token, &format!("query({variables}) {{ viewer {{ key }} }}"))),
        ("300 unused fragments", ask(token, &format!("{{ viewer {{ key }} }} {fragments}"))),
        ("fields in conflict", ask(token, &format!("{{ viewer {{ {conflicts} }} }}"))),
        (
            "a long alias",
            ask(token, &format!("{{ {}: leads(first: 0) {{ edges {{ cursor }} }} }}", "l".repeat(20_000))),
        ),
    ]
}

/// Bodies that are no request.
pub fn bodies(token: &str, bomb_bytes: usize) -> Vec<Named> {
    let document = "query($team: String) { users(team: $team) { key } }";
    let team = |value: Value| with(token, document, &json!({ "team": value }));
    let deep = (0..200).fold(json!(1), |inner, _| json!({ "k": inner }));
    let keys: Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let garbage: Vec<u8> = (0..1u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let folded = |name: &str, body: Vec<u8>| {
        request("POST /graphql", token, &format!("{JSON}content-encoding: {name}\r\n"), &body)
    };
    let endless = format!(
        "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\n{token}{JSON}transfer-encoding: chunked\r\n\r\n{}",
        format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(96)
    );
    let announced = format!(
        "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\n{token}{JSON}content-length: 10000000000\r\n\r\n{}",
        " ".repeat(64 * 1024)
    );
    let mut quoted = br#"{"query":"{a}","variables":{"x":""#.to_vec();
    quoted.resize(1 << 20, b'\\');
    vec![
        ("no body", post(token, b"")),
        ("{", post(token, b"{")),
        ("500,000 brackets", post(token, &vec![b'{'; 500_000])),
        ("1 MiB of backslashes", post(token, &quoted)),
        ("1 MiB of garbage", post(token, &garbage)),
        ("2 MiB of spaces", post(token, &vec![b' '; 2 << 20])),
        ("10 GB announced", announced.into_bytes()),
        ("chunks without an end", endless.into_bytes()),
        ("a gzip bomb", folded("gzip", zipped(bomb_bytes))),
        ("a zlib bomb", folded("deflate", deflated(bomb_bytes))),
        ("gzip that is none", folded("gzip", garbage.clone())),
        ("variables 200 deep", team(deep)),
        ("10,000 keys", team(json!(keys))),
        ("30,000 values", team(json!(vec![1; 30_000]))),
        ("a string of 900 KB", team(json!("x".repeat(900_000)))),
        (
            "a list of 5,000 requests",
            post(token, json!(vec![json!({"query": "{a}"}); 5_000]).to_string().as_bytes()),
        ),
        (
            "a form",
            request("POST /graphql", token, "content-type: multipart/form-data; boundary=x\r\n", b"x"),
        ),
    ]
}

fn zipped(bytes: usize) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::fast());
    zeros(&mut to, bytes);
    to.finish().unwrap_or_default()
}

fn deflated(bytes: usize) -> Vec<u8> {
    let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
    zeros(&mut to, bytes);
    to.finish().unwrap_or_default()
}

fn zeros(to: &mut impl Write, bytes: usize) {
    // Writing to memory does not fail.
    for _ in 0..bytes.div_ceil(1 << 20) {
        drop(to.write_all(&[0; 1 << 20]));
    }
}

/// Valid, and near the limit of what a request may cost; or refused for a circle.
pub fn costly(token: &str) -> Vec<Named> {
    let rows = "evaluations(first: 20) { number decisions { lead { uuid } } }";
    let pages = format!("{{ leads(first: 45) {{ edges {{ node {{ uuid {rows} }} }} }} }}");
    let timeline = "{ leads(first: 180) { edges { node { uuid timeline(first: 50) { __typename } } } } }";
    let roots: String = (0..20)
        .map(|n| format!("r{n}: leads(first: 200) {{ edges {{ node {{ uuid account {{ name }} }} }} }} "))
        .collect();
    let whole = "{ __schema { types { kind name description fields(includeDeprecated: true) { name description \
         args { name description type { ...t } defaultValue } type { ...t } } inputFields { name type { ...t } defaultValue } \
         interfaces { ...t } enumValues { name description } possibleTypes { ...t } } directives { name locations args { name } } } } \
         fragment t on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
    let circle = nested("{ __schema { types { ", "fields { type { ofType { ", 8, "name", " } } }", " } } }");
    vec![
        ("pages of pages", ask(token, &pages)),
        ("pages of timelines", ask(token, timeline)),
        ("20 pages of 200", ask(token, &format!("{{ {roots} }}"))),
        ("the whole schema", ask(token, whole)),
        ("the schema in circles", ask(token, &circle)),
    ]
}

/// Whoever has no right, and says so in many ways.
pub fn tokens(good: &str) -> Vec<Named> {
    let body = br#"{"query":"{ viewer { key } }"}"#;
    let as_ = |token: &str| post(&bearer(token), body);
    let jwt = |head: &str| format!("{head}.{}.{}", "eyJzdWIiOiJhZG1pbiJ9", "A".repeat(342));
    let flipped = format!("{}0", &good[..good.len() - 1]);
    vec![
        ("no token", post("", body)),
        (
            "a token of ours with another end",
            as_(&if flipped == good { format!("{}1", &good[..good.len() - 1]) } else { flipped }),
        ),
        ("half a token", as_(&good[..good.len() / 2])),
        ("a JWT without a signature", as_(&jwt("eyJhbGciOiJub25lIn0"))),
        (
            "a JWT of a key that is not there",
            as_(&jwt("eyJhbGciOiJSUzI1NiIsImtpZCI6Ii4uLy4uL2V0Yy9wYXNzd2QifQ")),
        ),
        ("a JWT of 7 KB", as_(&format!("{}{}", jwt("eyJhbGciOiJSUzI1NiJ9"), "A".repeat(7_000)))),
        ("100 KB", as_(&"x".repeat(100_000))),
        ("a head of 1 MB", as_(&"x".repeat(1_000_000))),
        ("two", post(&format!("{}{}", bearer(good), bearer("wrong")), body)),
        ("Basic", post(&format!("authorization: Basic {good}\r\n"), body)),
    ]
}

/// Cursors and ids that are not what they seem.
pub fn cursors(token: &str) -> Vec<Named> {
    let events = "query($after: FeedCursor) { events(after: $after, first: 2) { cursor } }";
    let leads = "query($after: String) { leads(after: $after, first: 2) { edges { cursor } } }";
    let node = "query($id: ID!) { node(id: $id) { id } }";
    let after = |document: &str, value: Value| with(token, document, &json!({ "after": value }));
    vec![
        ("a feed's cursor of one letter", after(events, json!("A"))),
        ("a feed's cursor of 50 KB", after(events, json!("A".repeat(50_000)))),
        ("a number for a cursor", after(events, json!(7))),
        ("a list's cursor of one letter", after(leads, json!("A"))),
        ("a list's cursor of 50 KB", after(leads, json!("A".repeat(50_000)))),
        ("an id of 50 KB", with(token, node, &json!({"id": "x".repeat(50_000)}))),
        ("first: 3000000", ask(token, "{ leads(first: 3000000) { edges { cursor } } }")),
    ]
}

/// Hashes of documents that nobody has sent.
pub fn persisted(token: &str) -> Vec<Named> {
    let hash = |hash: &str, query: Option<&str>| {
        let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});
        let mut body = json!({ "extensions": extensions });
        if let Some(query) = query {
            body["query"] = json!(query);
        }
        post(token, body.to_string().as_bytes())
    };
    let mut all: Vec<Named> = (0..50u64)
        .map(|n| {
            (
                "a hash that nobody sent",
                hash(&format!("{:064x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), None),
            )
        })
        .collect();
    let large = format!("{{ viewer {{ key }} }}#{}", "x".repeat(32_000));
    all.extend([
        ("a hash of another document", hash(&"0".repeat(64), Some(&large))),
        ("an id that nobody registered", post(token, br#"{"documentId":"nobody"}"#)),
        ("no hash", post(token, br#"{"extensions":{"persistedQuery":{"version":1}}}"#)),
    ]);
    all
}

/// Files of somebody who may send none.
pub fn blobs(token: &str) -> Vec<Named> {
    let file = vec![b'x'; 256 * 1024];
    vec![
        ("a plugin without the right", request("PUT /blobs?kind=plugin", token, "", &file)),
        ("an import without the right", request("PUT /blobs?kind=import", token, "", &file)),
        ("a file without a token", request("PUT /blobs?kind=plugin", "", "", &file)),
        ("a file of no kind", request("PUT /blobs", token, "", &file)),
        ("a file by POST", request("POST /blobs?kind=plugin", token, "", &file)),
    ]
}
