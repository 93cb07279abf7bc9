//! A settings schema in words: what each setting may be, for help and for errors. It only reads the JSON Schema; whether
//! a document fits is the validator's to say.

use handfast_domain::field::nearest;
use serde::Serialize;
use serde_json::{Map, Value};

/// Deeper than anybody reads; it also ends schemas that refer to themselves.
const DEPTH: usize = 12;

/// One setting, as a line of help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Where it stands in the document; `*` is each item of a list, or each key.
    pub pointer: String,
    /// Type and range in words: "integer, 1 to 100".
    pub form: String,
    pub required: bool,
    /// What holds when it is left out, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The schema's own words.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub meaning: String,
}

/// Every setting that a schema speaks of, by name. What stands in several places is told once, and referred to.
pub fn settings(schema: &Value) -> Vec<Setting> {
    let mut walk = Walk { root: schema, told: Vec::new(), settings: Vec::new() };
    walk.object(schema, "", 0);
    walk.settings
}

struct Walk<'a> {
    root: &'a Value,
    /// References that were followed, with the place where.
    told: Vec<(String, String)>,
    settings: Vec<Setting>,
}

impl<'a> Walk<'a> {
    fn object(&mut self, schema: &'a Value, pointer: &str, depth: usize) {
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name))
        };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            self.setting(property, &format!("{pointer}/{}", escaped(name)), required(name), depth);
        }
        for keys in ["patternProperties", "additionalProperties"] {
            let any = match &schema[keys] {
                Value::Object(patterns) if keys == "patternProperties" => patterns.values().next(),
                any @ Value::Object(_) => Some(any),
                _ => None,
            };
            if let Some(any) = any {
                self.setting(any, &format!("{pointer}/*"), false, depth);
            }
        }
    }

    fn setting(&mut self, schema: &'a Value, pointer: &str, required: bool, depth: usize) {
        let target = resolve(self.root, schema);
        let text = |key: &str| schema[key].as_str().or(target[key].as_str()).unwrap_or_default().to_owned();
        let default = schema.get("default").or(target.get("default"));
        self.settings.push(Setting {
            pointer: pointer.to_owned(),
            form: form(self.root, schema),
            required,
            default: default.cloned(),
            meaning: Some(text("description"))
                .filter(|words| !words.is_empty())
                .unwrap_or_else(|| text("title")),
        });
        if depth < DEPTH {
            self.within(schema, pointer, depth + 1);
        }
    }

    /// What stands below a setting: the properties of an object, of a list's items, or of what it may be.
    fn within(&mut self, schema: &'a Value, pointer: &str, depth: usize) {
        let target = resolve(self.root, schema);
        let branches = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| target[key].as_array()).flatten();
        let branches: Vec<&Value> = branches.map(|branch| resolve(self.root, branch)).collect();
        let speaks = |schema: &Value| {
            ["properties", "patternProperties", "items"].iter().any(|key| schema[key].is_object())
                || schema["additionalProperties"].is_object()
        };
        if !speaks(target) && !branches.iter().any(|branch| speaks(branch)) {
            return;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            if let Some((_, place)) = self.told.iter().find(|(known, _)| known == reference) {
                if let Some(last) = self.settings.last_mut() {
                    last.form += &format!(", as {place}");
                }
                return;
            }
            self.told.push((reference.to_owned(), pointer.to_owned()));
        }
        for schema in std::iter::once(target).chain(branches) {
            self.object(schema, pointer, depth);
            if schema["items"].is_object() {
                let items = &schema["items"];
                // A list of plain values is told by its form alone.
                if speaks(resolve(self.root, items)) {
                    let place = format!("{pointer}/*");
                    let before = self.settings.len();
                    self.within(items, &place, depth);
                    if before == self.settings.len() && depth >= DEPTH {
                        return;
                    }
                }
            }
        }
    }
}

/// Type and range in words.
pub fn form(root: &Value, schema: &Value) -> String {
    told(root, schema, 0)
}

fn told(root: &Value, schema: &Value, depth: usize) -> String {
    let schema = resolve(root, schema);
    if depth > 3 {
        return "…".into();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        return format!("one of {}", values.join(", "));
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(branches) = schema[key].as_array() {
            let mut words: Vec<String> =
                branches.iter().map(|branch| told(root, branch, depth + 1)).collect();
            words.dedup();
            return words.join(" or ");
        }
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ if schema["properties"].is_object() => "object".into(),
        _ if schema["items"].is_object() => "array".into(),
        _ => "anything".into(),
    };
    let mut words = match kind.as_str() {
        "array" if schema["items"].is_object() => {
            let item = told(root, &schema["items"], depth + 1);
            // What is said of an item must not read as if it were said of the list.
            match item.split_once(", ") {
                Some((kind, range)) => format!("list of {kind} ({range})"),
                None => format!("list of {item}"),
            }
        }
        "array" => "list".into(),
        "string" => "text".into(),
        "boolean" => "true or false".into(),
        _ => kind,
    };
    let range = |least: Option<&Value>, most: Option<&Value>, unit: &str| match (least, most) {
        (Some(least), Some(most)) if least == most => format!(", {least}{unit}"),
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
        (Some(least), None) => format!(", at least {least}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        (None, None) => String::new(),
    };
    words += &range(schema.get("minimum"), schema.get("maximum"), "");
    if let Some(least) = schema.get("exclusiveMinimum") {
        words += &format!(", more than {least}");
    }
    if let Some(most) = schema.get("exclusiveMaximum") {
        words += &format!(", less than {most}");
    }
    words +=
        &range(schema.get("minLength").filter(|least| **least != 1), schema.get("maxLength"), " characters");
    if schema.get("minLength").is_some_and(|least| *least == 1) && schema.get("maxLength").is_none() {
        words += ", not empty";
    }
    words += &range(schema.get("minItems"), schema.get("maxItems"), " items")
        .replace("at least 1 items", "at least 1 item");
    if schema["uniqueItems"] == true {
        words += ", each once";
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        words += &format!(", matching {pattern}");
    }
    if let Some(step) = schema.get("multipleOf") {
        words += &format!(", in steps of {step}");
    }
    words
}

/// The rest of a sentence about a refused setting: what was expected where a keyword of the schema refused it.
pub fn expected(root: &Value, keyword: &str, instance: &Value) -> Option<String> {
    let (parent, keyword) = keyword.rsplit_once('/')?;
    let parent = root.pointer(parent)?;
    let properties = parent["properties"].as_object();
    match keyword {
        "additionalProperties" | "unevaluatedProperties" => {
            let properties = properties?;
            let strange = instance.as_object()?.keys().find(|key| !properties.contains_key(*key))?;
            Some(match nearest(strange, properties.keys().cloned()).first() {
                Some(near) => format!("did you mean {near:?}? {}", line(root, near, &properties[near])),
                None => format!("there are {}", properties.keys().cloned().collect::<Vec<_>>().join(", ")),
            })
        }
        "required" => {
            let properties = properties?;
            let missing = parent["required"].as_array()?.iter().filter_map(Value::as_str);
            let missing: Vec<String> = missing
                .filter(|name| instance.get(name).is_none())
                .filter_map(|name| Some(line(root, name, properties.get(name)?)))
                .collect();
            (!missing.is_empty()).then(|| format!("expected {}", missing.join("; ")))
        }
        _ => {
            let meaning =
                parent["description"].as_str().map(|words| format!(": {words}")).unwrap_or_default();
            Some(format!("expected {}{meaning}", form(root, parent)))
        }
    }
}

fn line(root: &Value, name: &str, schema: &Value) -> String {
    let target = resolve(root, schema);
    let meaning = schema["description"].as_str().or(target["description"].as_str());
    let meaning = meaning.map(|words| format!(": {words}")).unwrap_or_default();
    format!("{name} ({}){meaning}", form(root, schema))
}

/// Follows `$ref` within the document; a chain that goes on and on ends where it is.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH {
        let Some(target) = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')) else { break };
        let Some(found) = root.pointer(target) else { break };
        // Words that stand beside the reference are the nearer ones; a description alone must not hide the target.
        if schema.as_object().is_some_and(|own: &Map<_, _>| own.contains_key("type")) {
            break;
        }
        schema = found;
    }
    schema
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_form_says_type_and_range() {
        let root = json!({"$defs": {"points": {"type": "integer", "minimum": -10, "maximum": 10}, "loop": {"$ref": "#/$defs/loop"}}});
        for (schema, words) in [
            (json!({"type": "integer", "minimum": 1}), "integer, at least 1"),
            (json!({"$ref": "#/$defs/points", "description": "beside"}), "integer, -10 to 10"),
            (json!({"type": "number", "exclusiveMinimum": 0}), "number, more than 0"),
            (json!({"enum": ["a", 2, null]}), "one of \"a\", 2, null"),
            (json!({"const": 3}), "3"),
            (json!({"type": ["string", "null"]}), "string or null"),
            (json!({"type": "string", "minLength": 1}), "text, not empty"),
            (
                json!({"type": "string", "maxLength": 9, "pattern": "^a"}),
                "text, at most 9 characters, matching ^a",
            ),
            (
                json!({"type": "array", "items": {"$ref": "#/$defs/points"}, "minItems": 1, "uniqueItems": true}),
                "list of integer (-10 to 10), at least 1 item, each once",
            ),
            (json!({"oneOf": [{"type": "boolean"}, {"const": "auto"}]}), "true or false or \"auto\""),
            (json!({"$ref": "#/$defs/loop"}), "anything"),
            (json!(true), "anything"),
        ] {
            assert_eq!(form(&root, &schema), words, "{schema}");
        }
    }

    #[test]
    fn every_setting_is_a_line_and_what_is_shared_is_told_once() {
        let schema = json!({
            "type": "object", "required": ["a"],
            "properties": {
                "a": {"$ref": "#/$defs/line", "description": "First."},
                "b": {"type": "array", "items": {"$ref": "#/$defs/line"}},
                "c/d": {"type": "integer", "default": 7, "title": "Titled"},
            },
            "$defs": {"line": {"type": "object", "required": ["x"], "properties": {"x": {"type": "boolean"}, "y": {"$ref": "#/$defs/line"}}}},
        });
        let told: Vec<String> = settings(&schema)
            .iter()
            .map(|s| {
                let default = s.default.as_ref().map(Value::to_string).unwrap_or_default();
                format!("{} {}|{}|{default}|{}", s.pointer, s.form, s.required, s.meaning)
            })
            .collect();
        assert_eq!(
            told,
            [
                "/a object|true||First.",
                "/a/x true or false|true||",
                "/a/y object, as /a|false||",
                "/b list of object, as /a|false||",
                "/c~1d integer|false|7|Titled",
            ]
        );
    }

    #[test]
    fn nothing_to_say_is_nothing() {
        for schema in [json!({}), json!(true), json!({"properties": 3}), json!({"$ref": "#"})] {
            assert!(settings(&schema).is_empty(), "{schema}");
        }
    }
}
