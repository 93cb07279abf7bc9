//! The document gate: nothing reaches the schema's validation that could cost more than its limits say.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::parser::types::{BaseType, OperationDefinition, OperationType};
use async_graphql::{Name, Request, Value, Variables};

use super::config::Limits;
use super::cost::Costs;
use super::document::Document;
use super::json::Call;
use super::problem::{Code, Problem, clip};
use super::trusted::{Trusted, sha256};
use crate::telemetry;

/// Checks requests, and remembers the documents that passed.
pub struct Gate {
    limits: Limits,
    costs: Arc<Costs>,
    trusted: Trusted,
    documents: Mutex<Generations<String, Arc<Document>>>,
    /// Automatic persisted queries: texts by their SHA-256 in hex.
    persisted: Mutex<Generations<String, Arc<str>>>,
}

/// A request that may be executed.
#[derive(Debug)]
pub struct Passed {
    pub request: Request,
    pub kind: OperationType,
    pub document: Arc<Document>,
    /// Objects that the answer may hold, a tenth for each scalar, and ten for a change.
    pub cost: u64,
}

impl Passed {
    /// Whether the request need not be held against the schema again: it only reads, its document agreed before, and each
    /// of its variables is a plain value of a type that needs no schema to be checked.
    pub fn is_known(&self) -> bool {
        let valid = self.kind == OperationType::Query && self.document.valid.load(Ordering::Relaxed);
        let Some(operation) =
            self.document.operation(self.request.operation_name.as_deref()).ok().filter(|_| valid)
        else {
            return false;
        };
        operation.node.variable_definitions.iter().all(|variable| {
            let value = self.request.variables.get(&variable.node.name.node);
            value.is_none_or(|value| is_plain(&variable.node.var_type.node.base, value))
        })
    }

    /// The same request once more, if it comes to that; only what is small is copied before.
    pub fn again(&self) -> impl FnOnce() -> Passed + use<> {
        let (kind, document, cost) = (self.kind, self.document.clone(), self.cost);
        let (query, variables) = (self.request.query.clone(), self.request.variables.clone());
        let operation_name = self.request.operation_name.clone();
        move || {
            let mut request = Request::new(query).variables(variables);
            request.operation_name = operation_name;
            request.set_parsed_query(document.parsed.clone());
            Passed { request, kind, document, cost }
        }
    }
}

/// Null is none: what it means depends on where it is used.
fn is_plain(kind: &BaseType, value: &Value) -> bool {
    match (kind, value) {
        (BaseType::List(inner), Value::List(items)) => items.iter().all(|item| is_plain(&inner.base, item)),
        (BaseType::Named(name), value) => match (name.as_str(), value) {
            ("Boolean", Value::Boolean(_)) | ("String" | "ID", Value::String(_)) => true,
            ("Int", Value::Number(number)) => {
                number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            _ => false,
        },
        _ => false,
    }
}

impl Gate {
    pub fn new(limits: Limits, costs: Arc<Costs>, trusted: Trusted) -> Self {
        let documents = Mutex::new(Generations::new(limits.cached_documents, limits.cached_bytes));
        let persisted = Mutex::new(Generations::new(limits.cached_documents, limits.cached_bytes / 4));
        Self { limits, costs, trusted, documents, persisted }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Parses and measures the document, chooses its operation, checks the variables and fills in their
    /// defaults.
    pub fn pass(&self, mut call: Call) -> Result<Passed, Problem> {
        let text = self.text(&mut call)?;
        let document = self.document(&text)?;
        let operation = document.operation(call.operation_name.as_deref())?;
        let mut variables = Variables::default();
        variables.extend(call.variables);
        check_strings(&variables, &self.limits)?;
        complete(&operation.node, &mut variables)?;
        let (cost, limit) = (self.costs.operation(&document, &operation.node, &variables), self.limits.cost);
        telemetry::cost(cost);
        if cost > limit {
            let text = format!("the answer may hold {cost} objects, limit {limit}");
            return Err(Problem::new(Code::QueryTooComplex, text).at([operation.pos]));
        }

        let kind = operation.node.ty;
        let mut request = Request::new(text).variables(variables);
        request.operation_name = call.operation_name;
        request.extensions.0 =
            call.extensions.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        request.set_parsed_query(document.parsed.clone());
        Ok(Passed { request, kind, document, cost })
    }

    fn document(&self, text: &str) -> Result<Arc<Document>, Problem> {
        let cached = lock(&self.documents).get(text);
        if let Some(document) = cached {
            return Ok(document);
        }
        let document = Arc::new(Document::read(text, &self.limits)?);
        let weight = 512 + text.len() + document.tokens * BYTES_PER_TOKEN;
        lock(&self.documents).put(text.to_owned(), document.clone(), weight);
        Ok(document)
    }

    /// The document's text, which a client with persisted queries sends only once.
    fn text(&self, call: &mut Call) -> Result<String, Problem> {
        let hash = match call.extensions.get("persistedQuery") {
            Some(Value::Object(query)) => match query.get("sha256Hash") {
                Some(Value::String(hash)) => Some(hash.to_ascii_lowercase()),
                _ => return Err(Problem::new(Code::BadRequest, "persistedQuery has no sha256Hash")),
            },
            _ => None,
        };
        if let Some(id) = call.document_id.take() {
            if call.query.is_some() || hash.is_some() {
                let text = "documentId stands beside a query or a hash; send one of them";
                return Err(Problem::new(Code::BadRequest, text));
            }
            return self.trusted.find(&id).map(|text| text.to_string()).ok_or_else(|| {
                let text = format!("no document is registered under the id {}", clip(&id, 80));
                Problem::new(Code::PersistedQueryNotFound, text)
            });
        }
        match (call.query.take(), hash) {
            (Some(text), None) if !text.trim().is_empty() => {
                self.trusted.check(&text)?;
                Ok(text)
            }
            (Some(text), Some(hash)) => {
                self.trusted.check(&text)?;
                let found = sha256(&text);
                if found != hash {
                    let text = format!("sha256Hash is {}, the document's is {found}", clip(&hash, 64));
                    return Err(Problem::new(Code::PersistedQueryMismatch, text));
                }
                // A text is kept only when its document passes.
                self.document(&text)?;
                let weight = 256 + text.len();
                lock(&self.persisted).put(hash, text.as_str().into(), weight);
                Ok(text)
            }
            (None, Some(hash)) => {
                let kept = lock(&self.persisted).get(&hash).or_else(|| self.trusted.find(&hash));
                kept.map(|text| text.to_string()).ok_or_else(|| {
                    // Apollo's words: urql's exchange knows a miss by them alone. The help says how to mend it.
                    Problem::new(Code::PersistedQueryNotFound, "PersistedQueryNotFound")
                })
            }
            _ => Err(Problem::new(
                Code::BadRequest,
                "query is missing; send the document as a string, or the documentId of a trusted one",
            )),
        }
    }
}

/// A parsed document takes about so much memory for each of its tokens (measured on wide and on deep ones).
const BYTES_PER_TOKEN: usize = 200;

/// Declared variables only, none missing, and defaults written out: the library's `@include` and `@skip` take
/// a variable that was left to its default as false.
fn complete(operation: &OperationDefinition, variables: &mut Variables) -> Result<(), Problem> {
    let declared = &operation.variable_definitions;
    for name in variables.keys() {
        if !declared.iter().any(|variable| variable.node.name.node == *name) {
            let text = format!("the variable ${} is not declared by the operation", clip(name, 80));
            return Err(Problem::new(Code::Validation, text));
        }
    }
    for variable in declared {
        let name = &variable.node.name.node;
        let wanted = &variable.node.var_type.node;
        match (variables.get(name), &variable.node.default_value) {
            (None, Some(default)) => {
                variables.insert(name.clone(), default.node.clone());
            }
            (None | Some(Value::Null), _) if !wanted.nullable => {
                let name = clip(name, 80);
                let text = format!(
                    "the variable ${name} is required; give it a value of {}",
                    clip(&wanted.to_string(), 80)
                );
                return Err(Problem::new(Code::Validation, text).at([variable.pos]));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_strings(variables: &Variables, limits: &Limits) -> Result<(), Problem> {
    fn longest(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::List(list) => list.iter().map(longest).max().unwrap_or(0),
            Value::Object(map) => {
                map.iter().map(|(key, value)| key.len().max(longest(value))).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
    /// Where a NUL stands below the variable.
    fn nul(value: &Value) -> Option<String> {
        let below = |place: String, value| nul(value).map(|rest| format!(".{place}{rest}"));
        match value {
            Value::String(text) => text.contains('\0').then(String::new),
            Value::List(list) => list.iter().enumerate().find_map(|(at, value)| below(at.to_string(), value)),
            Value::Object(map) => map.iter().find_map(|(key, value)| below(clip(key, 80), value)),
            _ => None,
        }
    }
    for (name, value) in variables.iter() {
        if let Some(place) = nul(value) {
            // No text of ours has one in it, and PostgreSQL keeps none.
            let text = format!("${}{place} holds the character U+0000; leave it out", clip(name, 80));
            return Err(Problem::new(Code::Validation, text));
        }
        let found = name.len().max(longest(value));
        if found > limits.variable_string_bytes {
            let limit = limits.variable_string_bytes;
            let text =
                format!("the variable ${} holds a string of {found} bytes, limit {limit}", clip(name, 80));
            return Err(Problem::new(Code::VariablesTooLarge, text));
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code runs under these locks that could leave a map half-written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bounded cache: entries used since the last turn survive it, the others go.
struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    weight: usize,
    entries: usize,
    bytes: usize,
}

impl<V: Clone> Generations<String, V> {
    /// Each of the two generations takes half of the room.
    fn new(entries: usize, bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, entries: entries / 2, bytes: bytes / 2 }
    }

    fn get(&mut self, key: &str) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.put(key, value.clone(), weight);
        Some(value)
    }

    fn put(&mut self, key: String, value: V, weight: usize) {
        if weight > self.bytes || self.entries == 0 {
            return;
        }
        if self.young.len() >= self.entries || self.weight + weight > self.bytes {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        let before = self.young.insert(key, (value, weight)).map_or(0, |(_, weight)| weight);
        self.weight = self.weight + weight - before;
    }
}

/// The cursor that an event carries: `cursor` of its first root field.
pub fn event_cursor(data: &Value) -> Option<&str> {
    let Value::Object(roots) = data else { return None };
    match roots.values().next()? {
        Value::Object(event) => match event.get(&Name::new("cursor"))? {
            Value::String(cursor) => Some(cursor),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Object;
    use super::*;

    fn limited(limits: Limits) -> Gate {
        Gate::new(limits, Arc::default(), Trusted::default())
    }

    fn call(query: &str, variables: serde_json::Value) -> Call {
        let variables = match Value::from_json(variables) {
            Ok(Value::Object(map)) => map,
            _ => Object::new(),
        };
        Call { query: Some(query.into()), variables, ..Call::default() }
    }

    fn pass(query: &str, variables: serde_json::Value) -> Result<Passed, Problem> {
        limited(Limits::default()).pass(call(query, variables))
    }

    #[test]
    fn defaults_are_written_out_and_given_values_kept() {
        let query = "query($on:Boolean=true,$n:Int=3,$l:[Int!]=[1,2],$free:Int){a(n:$n,l:$l,f:$free)@include(if:$on)}";
        let passed = pass(query, serde_json::json!({"n": 7})).expect("passes");
        let variables = serde_json::to_value(&passed.request.variables).unwrap_or_default();
        assert_eq!(variables, serde_json::json!({"on": true, "n": 7, "l": [1, 2]}));
        let passed = pass(query, serde_json::json!({"on": null})).expect("null is a value");
        assert_eq!(passed.request.variables.get("on"), Some(&Value::Null));
    }

    #[test]
    fn variables_must_be_declared_and_present() {
        let cases = [
            (
                "query($a:Int!){x(a:$a)}",
                serde_json::json!({}),
                "the variable $a is required; give it a value of Int!",
            ),
            ("query($a:[Int]!){x(a:$a)}", serde_json::json!({"a": null}), "the variable $a is required"),
            ("query($a:Int){x(a:$a)}", serde_json::json!({"b": 1}), "the variable $b is not declared"),
            ("{x}", serde_json::json!({"b": 1}), "the variable $b is not declared"),
        ];
        for (query, variables, start) in cases {
            let problem = pass(query, variables).expect_err(query);
            assert!(problem.code == Code::Validation && problem.message.starts_with(start), "{problem:?}");
        }
        assert!(pass("query($a:Int!=3){x(a:$a)}", serde_json::json!({})).is_ok());
    }

    #[test]
    fn long_strings_are_refused_wherever_they_hide() {
        let long = "x".repeat(64 * 1024 + 1);
        for value in [
            serde_json::json!({"v": long}),
            serde_json::json!({"v": [{"k": long}]}),
            serde_json::json!({"v": {long.clone(): 1}}),
        ] {
            let problem = pass("query($v:JSON){x(v:$v)}", value).expect_err("long");
            assert_eq!(problem.code, Code::VariablesTooLarge);
            assert_eq!(problem.message, "the variable $v holds a string of 65537 bytes, limit 65536");
        }
    }

    #[test]
    fn a_second_pass_does_not_parse_again() {
        let gate = limited(Limits::default());
        let first = gate.document("{a}").expect("passes");
        assert!(Arc::ptr_eq(&first, &gate.document("{a}").expect("cached")));
        assert!(gate.document("{b").is_err() && gate.document("{b").is_err());
        assert_eq!(lock(&gate.documents).young.len(), 1, "refused documents are not kept");
    }

    #[test]
    fn the_cache_stays_within_its_bounds_and_keeps_what_is_used() {
        let gate = limited(Limits { cached_documents: 20, ..Limits::default() });
        let hot = gate.document("{hot}").expect("passes");
        for i in 0..500 {
            gate.document(&format!("{{a{i}}}")).expect("passes");
            assert!(Arc::ptr_eq(&hot, &gate.document("{hot}").expect("passes")), "dropped at {i}");
            let cache = lock(&gate.documents);
            assert!(cache.young.len() <= 10 && cache.old.len() <= 10);
        }
        let small = limited(Limits { cached_bytes: 20_000, ..Limits::default() });
        for i in 0..500 {
            small.document(&format!("{{a{i}}}")).expect("passes");
            assert!(lock(&small.documents).weight <= 10_000);
        }
    }

    #[test]
    fn persisted_queries_are_found_by_their_own_hash_only() {
        let gate = limited(Limits::default());
        let with_hash = |query: Option<&str>, hash: &str| {
            let extensions = serde_json::json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});
            let Ok(Value::Object(extensions)) = Value::from_json(extensions) else { panic!("an object") };
            gate.pass(Call { query: query.map(str::to_owned), extensions, ..Call::default() })
                .map_err(|p| p.code)
        };
        let hash = sha256("{a}");
        assert_eq!(with_hash(None, &hash).err(), Some(Code::PersistedQueryNotFound));
        assert_eq!(with_hash(Some("{b}"), &hash).err(), Some(Code::PersistedQueryMismatch));
        assert_eq!(with_hash(None, &hash).err(), Some(Code::PersistedQueryNotFound));
        assert!(with_hash(Some("{a}"), &hash.to_uppercase()).is_ok());
        assert_eq!(with_hash(None, &hash).expect("kept").request.query, "{a}");
    }

    #[test]
    fn the_cursor_is_the_first_root_fields() {
        let event = |json| event_cursor(&Value::from_json(json).unwrap_or_default()).map(str::to_owned);
        assert_eq!(event(serde_json::json!({"e": {"lead": 1, "cursor": "c7"}})), Some("c7".into()));
        assert_eq!(event(serde_json::json!({"e": {"cursor": 7}})), None);
        assert_eq!(event(serde_json::json!({"e": 7})), None);
        assert_eq!(event(serde_json::Value::Null), None);
    }
}
