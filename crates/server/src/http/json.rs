//! Reading a GraphQL request from JSON or a query string, strictly: bounded while it is read, no key twice.

use std::fmt;

use async_graphql::indexmap::IndexMap;
use async_graphql::indexmap::map::Entry;
use async_graphql::{Name, Value};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::config::Limits;
use super::problem::{Code, Problem, clip};

pub type Object = IndexMap<Name, Value>;

/// A GraphQL request as the caller sent it.
#[derive(Debug, Default, PartialEq)]
pub struct Call {
    pub query: Option<String>,
    /// Of a trusted document, instead of its text.
    pub document_id: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Object,
    pub extensions: Object,
}

impl Call {
    /// From the body of a POST.
    pub fn from_body(body: &[u8], limits: &Limits) -> Result<Call, Problem> {
        if body.trim_ascii().is_empty() {
            let text = "the request body is empty; send a JSON object with a query";
            return Err(Problem::new(Code::BadRequest, text));
        }
        if body.trim_ascii_start().starts_with(b"[") {
            let text = "the body is a list; batches are not supported, send one request object at a time";
            return Err(Problem::new(Code::BatchNotSupported, text));
        }
        // The request object itself is one level above its variables.
        match read(body, limits.variable_depth + 1, limits)? {
            Value::Object(object) => Call::from_object(object),
            other => Err(bad(format!("the body is {}; send a JSON object with a query", kind(&other)))),
        }
    }

    /// From the query string of a GET.
    pub fn from_query(pairs: Vec<(String, String)>, limits: &Limits) -> Result<Call, Problem> {
        let mut call = Call::default();
        let mut seen = [false; 5];
        for (key, text) in pairs {
            let slot = match key.as_str() {
                "query" => 0,
                "operationName" => 1,
                "variables" => 2,
                "extensions" => 3,
                "documentId" => 4,
                _ => continue,
            };
            if std::mem::replace(&mut seen[slot], true) {
                return Err(bad(format!("the parameter {key} is given twice")));
            }
            match slot {
                0 => call.query = Some(text),
                1 => call.operation_name = Some(text),
                4 => call.document_id = Some(text),
                _ if text.trim().is_empty() => {}
                _ => {
                    let value = read(text.as_bytes(), limits.variable_depth, limits)
                        .map_err(|p| Problem { message: format!("{key}: {}", p.message), ..p })?;
                    let map = object(&key, value)?;
                    if slot == 2 { call.variables = map } else { call.extensions = map }
                }
            }
        }
        Ok(call)
    }

    /// From an object that was read before; other keys are left alone, as the protocol wants.
    pub fn from_object(mut from: Object) -> Result<Call, Problem> {
        Ok(Call {
            query: text(&mut from, "query")?,
            document_id: text(&mut from, "documentId")?,
            operation_name: text(&mut from, "operationName")?,
            variables: object("variables", from.swap_remove("variables").unwrap_or_default())?,
            extensions: object("extensions", from.swap_remove("extensions").unwrap_or_default())?,
        })
    }
}

/// Reads one JSON value nested at most `depth` deep.
pub fn read(bytes: &[u8], depth: usize, limits: &Limits) -> Result<Value, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| bad(format!("the JSON is not UTF-8 at byte {}", error.valid_up_to())))?;
    // Each is a turn of a slow loop, before anything is known of its string.
    let (escapes, most) =
        (bytes.iter().filter(|byte| **byte == b'\\').count(), 2 * limits.variable_string_bytes);
    if escapes > most {
        let text = format!("the JSON has {escapes} backslashes, limit {most}");
        return Err(Problem::new(Code::VariablesTooLarge, text));
    }
    let mut reader = Reader { limits, room: depth, depth, values: 0, refused: None };
    let mut source = serde_json::Deserializer::from_str(text);
    let value = Node(&mut reader).deserialize(&mut source).and_then(|value| source.end().map(|()| value));
    value.map_err(|error| reader.refused.take().unwrap_or_else(|| malformed(&error)))
}

/// What a value is, for a message that must not repeat it.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Number(_) => "a number",
        Value::String(_) | Value::Enum(_) => "a string",
        Value::Boolean(_) => "a boolean",
        Value::Binary(_) => "binary",
        Value::List(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn bad(message: String) -> Problem {
    Problem::new(Code::BadRequest, message)
}

fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    // serde_json ends its texts with the position, which is a field of its own here.
    let text = text.split(" at line ").next().unwrap_or("malformed");
    let at = async_graphql::Pos { line: error.line(), column: error.column() };
    let text = clip(text, 160);
    bad(format!("malformed JSON at line {}, column {}: {text}", at.line, at.column)).at([at])
}

fn text(from: &mut Object, key: &str) -> Result<Option<String>, Problem> {
    match from.swap_remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(bad(format!("{key} is {}; it must be a string", kind(&other)))),
    }
}

fn object(key: &str, value: Value) -> Result<Object, Problem> {
    match value {
        Value::Null => Ok(Object::new()),
        Value::Object(object) => Ok(object),
        other => Err(bad(format!("{key} is {}; it must be an object", kind(&other)))),
    }
}

/// Counts while the tree grows, so that a bomb is dropped at its limit and not after it.
struct Reader<'a> {
    limits: &'a Limits,
    room: usize,
    depth: usize,
    values: usize,
    refused: Option<Problem>,
}

impl Reader<'_> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.room == 0 {
            let text = format!("the JSON is nested deeper than {}", self.depth);
            return Err(self.refuse(Code::VariablesTooDeep, text));
        }
        self.room -= 1;
        Ok(())
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > self.limits.variable_values {
            let text = format!("the JSON has more than {} values", self.limits.variable_values);
            return Err(self.refuse(Code::VariablesTooLarge, text));
        }
        Ok(())
    }

    fn refuse<E: serde::de::Error>(&mut self, code: Code, text: String) -> E {
        self.refused = Some(Problem::new(code, text));
        E::custom("refused")
    }
}

struct Node<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.count().map(|()| Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.count().map(|()| Value::Boolean(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.count().map(|()| Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.0.count().map(|()| Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.count()?;
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.count().map(|()| Value::String(value.to_owned()))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut source: S) -> Result<Value, S::Error> {
        self.0.count()?;
        self.0.enter()?;
        let mut list = Vec::new();
        while let Some(value) = source.next_element_seed(Node(self.0))? {
            list.push(value);
        }
        self.0.room += 1;
        Ok(Value::List(list))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut source: M) -> Result<Value, M::Error> {
        self.0.count()?;
        self.0.enter()?;
        let mut map = Object::new();
        while let Some(key) = source.next_key::<String>()? {
            if map.len() >= self.0.limits.variable_keys {
                let text = format!("an object has more than {} keys", self.0.limits.variable_keys);
                return Err(self.0.refuse(Code::VariablesTooLarge, text));
            }
            match map.entry(Name::new(&key)) {
                Entry::Vacant(slot) => {
                    slot.insert(source.next_value_seed(Node(self.0))?);
                }
                Entry::Occupied(_) => {
                    let text = format!("the key {} stands twice in one object", clip(&key, 80));
                    return Err(self.0.refuse(Code::BadRequest, text));
                }
            }
        }
        self.0.room += 1;
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(body: &[u8]) -> (Code, String) {
        let problem = Call::from_body(body, &Limits::default()).expect_err("refused");
        (problem.code, problem.message)
    }

    #[test]
    fn malformed_bodies_name_what_and_where() {
        let cases: &[(&[u8], Code, &str)] = &[
            (b"", Code::BadRequest, "the request body is empty"),
            (b" \n ", Code::BadRequest, "the request body is empty"),
            (b"{", Code::BadRequest, "malformed JSON at line 1, column 1"),
            (b"{\"query\":\n\"{a}\" x}", Code::BadRequest, "malformed JSON at line 2, column 7"),
            (b"{\"query\":\"{a}\"} {}", Code::BadRequest, "malformed JSON at line 1, column 17"),
            (b"{\"query\":\"{a}\xff\"}", Code::BadRequest, "the JSON is not UTF-8 at byte 13"),
            (br#"{"query":"\ud800"}"#, Code::BadRequest, "malformed JSON"),
            (br#"{"query":"{a}","variables":{"x":1e400}}"#, Code::BadRequest, "malformed JSON"),
            (b"[]", Code::BatchNotSupported, "the body is a list"),
            (br#" [{"query":"{a}"}]"#, Code::BatchNotSupported, "the body is a list"),
            (b"1", Code::BadRequest, "the body is a number"),
            (b"\"{a}\"", Code::BadRequest, "the body is a string"),
            (br#"{"query":5}"#, Code::BadRequest, "query is a number"),
            (br#"{"query":"{a}","operationName":{}}"#, Code::BadRequest, "operationName is an object"),
            (br#"{"query":"{a}","variables":[]}"#, Code::BadRequest, "variables is a list"),
            (br#"{"query":"{a}","extensions":"x"}"#, Code::BadRequest, "extensions is a string"),
            (br#"{"query":"{a}","query":"{b}"}"#, Code::BadRequest, "the key query stands twice"),
            (br#"{"variables":{"x":{"y":1,"y":2}}}"#, Code::BadRequest, "the key y stands twice"),
        ];
        for (body, code, start) in cases {
            let (found, message) = refused(body);
            assert!(found == *code && message.starts_with(start), "{body:?}: {found:?} {message}");
        }
    }

    #[test]
    fn deep_and_wide_variables_are_refused_at_the_limit() {
        let nested = |n: usize| format!(r#"{{"variables":{{"v":{}{}}}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(Call::from_body(nested(31).as_bytes(), &Limits::default()).is_ok());
        for n in [32, 200, 200_000] {
            let (code, message) = refused(nested(n).as_bytes());
            assert_eq!(
                (code, message.as_str()),
                (Code::VariablesTooDeep, "the JSON is nested deeper than 33")
            );
        }
        let keys = (0..10_000).map(|i| format!("\"k{i}\":1")).collect::<Vec<_>>().join(",");
        assert_eq!(refused(format!(r#"{{"variables":{{{keys}}}}}"#).as_bytes()).0, Code::VariablesTooLarge);
        let escapes = format!(r#"{{"query":"{}"}}"#, r"\n".repeat(200_000));
        let (code, message) = refused(escapes.as_bytes());
        assert_eq!(
            (code, message.as_str()),
            (Code::VariablesTooLarge, "the JSON has 200000 backslashes, limit 131072")
        );
        let list = vec!["1"; 30_000].join(",");
        assert_eq!(
            refused(format!(r#"{{"variables":{{"l":[{list}]}}}}"#).as_bytes()).0,
            Code::VariablesTooLarge
        );
    }

    #[test]
    fn a_query_string_is_read_like_a_body() {
        let pair = |key: &str, text: &str| (key.to_owned(), text.to_owned());
        let limits = Limits::default();
        let call = Call::from_query(
            vec![
                pair("query", "{a}"),
                pair("operationName", "A"),
                pair("variables", r#"{"x":1}"#),
                pair("v", "7"),
            ],
            &limits,
        );
        let body = Call::from_body(br#"{"query":"{a}","operationName":"A","variables":{"x":1}}"#, &limits);
        assert_eq!(call, body);
        for bad in [
            vec![pair("query", "{a}"), pair("query", "{b}")],
            vec![pair("variables", "[1]")],
            vec![pair("variables", "{")],
            vec![pair("extensions", "\"x\"")],
        ] {
            assert_eq!(Call::from_query(bad, &limits).map_err(|p| p.code), Err(Code::BadRequest));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Call::from_body(&body, &Limits::default());
        }

        #[test]
        fn json_is_read_as_serde_json_reads_it(number in any::<i64>(), float in -1e300f64..1e300, text in ".{0,40}") {
            let sent = serde_json::json!({"query": text, "variables": {"n": number, "f": float, "l": [null, true, text]}});
            let call = Call::from_body(sent.to_string().as_bytes(), &Limits::default()).expect("well-formed");
            let variables = Value::Object(call.variables).into_json().expect("JSON");
            let again: serde_json::Value = serde_json::from_str(&sent.to_string()).expect("JSON");
            prop_assert_eq!(&variables, &again["variables"]);
            prop_assert_eq!(call.query.as_deref(), sent["query"].as_str());
        }
    }
}
