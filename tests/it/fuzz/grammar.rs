//! Requests from GraphQL's grammar and the names of the real schema: mostly right, wrong here and there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::dice::{Dice, text};
use crate::schema::{Known, bare, list, name, needed, smallest, written};

/// Of things that are not there.
const IDS: [&str; 2] =
    ["01a217bd-0000-7000-8000-000000000000", "TGVhZDowMWEyMTdiNi02NGFkLTcyYmQtYTU2OC02NjA2OWJkNzE0MzY"];

pub type Types = BTreeMap<String, Value>;

/// A document in the making.
pub struct Writer<'a> {
    types: &'a Types,
    pub dice: &'a mut Dice,
    declared: Vec<String>,
    variables: Map<String, Value>,
    fragments: Vec<String>,
    /// How many more selections it may have.
    room: usize,
    /// Whether nothing in it is wrong on purpose.
    clean: bool,
    aliases: usize,
}

/// A whole request.
pub fn request(types: &Types, dice: &mut Dice) -> Value {
    let room = if dice.percent(10) { 1_500 } else { dice.between(3, 60) };
    let (word, root) = match dice.below(12) {
        0 => ("mutation", "Mutation"),
        1 => ("subscription", "Subscription"),
        _ => ("query", "Query"),
    };
    let clean = dice.percent(50);
    let mut writer = Writer {
        types,
        dice,
        declared: vec![],
        variables: Map::new(),
        fragments: vec![],
        room: if clean { room.min(20) } else { room },
        clean,
        aliases: 0,
    };
    let depth = if writer.slip(5) { writer.dice.around(40) } else { writer.dice.between(2, 9) };
    let set = writer.set(root, depth);
    let directives = writer.directives();
    let Writer { dice, declared, mut variables, fragments, .. } = writer;
    let brackets = if declared.is_empty() { String::new() } else { format!("({})", declared.join(", ")) };
    let name = if dice.percent(30) { " Asked" } else { "" };
    let head = if word == "query" && declared.is_empty() && name.is_empty() { "" } else { word };
    let mut query = format!("{head}{name}{brackets}{directives} {set} {}", fragments.join(" "));
    if !clean && dice.percent(3) {
        query += " query Other { viewer { key } }";
    }
    if !clean && dice.percent(3) {
        variables.insert("extra".to_owned(), json!(text(dice)));
    }
    if !clean && dice.percent(3) && !variables.is_empty() {
        let first = variables.keys().next().cloned().unwrap_or_default();
        variables.remove(&first);
    }
    let mut request = json!({"query": query, "variables": variables});
    if !clean && dice.percent(10) {
        request["operationName"] = json!(dice.pick(&["Asked", "Other", "", "None"]));
    }
    request
}

impl Writer<'_> {
    /// A mistake, so many times of a hundred; never where nothing is to be wrong.
    fn slip(&mut self, chance: usize) -> bool {
        !self.clean && self.dice.percent(chance)
    }

    /// A selection set on a type.
    fn set(&mut self, of: &str, depth: usize) -> String {
        let fields: Vec<&Value> =
            self.types.get(of).into_iter().flat_map(|one| list(one, "fields")).collect();
        let mut items = vec![];
        for _ in 0..self.dice.between(1, if depth > 12 { 2 } else { 4 }) {
            if self.room == 0 {
                break;
            }
            self.room -= 1;
            let item = match if self.clean { self.dice.between(2, 60) } else { self.dice.below(40) } {
                0 => format!("...{} {}", self.condition(of), self.set(of, depth.saturating_sub(1))),
                1 => self.spread(of, depth),
                2 => "__typename".to_owned(),
                3 if of == "Query" => format!("__schema {}", self.set("__Schema", depth)),
                3 if !self.clean => {
                    (*self.dice.pick(&["nothing", "_", "__type(name: \"Lead\") { name }"])).to_owned()
                }
                _ if fields.is_empty() => "__typename".to_owned(),
                _ => {
                    let field = *self.dice.pick(&fields);
                    self.field(field, depth)
                }
            };
            items.push(item);
        }
        if items.is_empty() && !self.slip(1) {
            items.push("__typename".to_owned());
        }
        let gap = if self.dice.percent(5) { "\n# a comment {{{ \"\"\"\n,,," } else { " " };
        format!("{{ {} }}", items.join(gap))
    }

    fn condition(&mut self, of: &str) -> String {
        let directives = self.directives();
        let on = match self.dice.below(6) {
            0 => String::new(),
            1 => format!("on {}", self.dice.pick(&self.types.keys().collect::<Vec<_>>())),
            _ => format!("on {of}"),
        };
        on + &directives
    }

    /// Of a fragment that is new, or known, or not there, or oneself.
    fn spread(&mut self, of: &str, depth: usize) -> String {
        let number = match self.dice.below(8) {
            0 => 99,
            1 | 2 if !self.fragments.is_empty() => self.dice.below(self.fragments.len()),
            _ => {
                let number = self.fragments.len();
                self.fragments.push(String::new());
                let set = self.set(of, depth.saturating_sub(1));
                self.fragments[number] = format!("fragment F{number} on {of} {set}");
                number
            }
        };
        format!("...F{number}{}", self.directives())
    }

    fn field(&mut self, field: &Value, depth: usize) -> String {
        let of = bare(&field["type"]);
        let composite = matches!(
            self.types.get(of).map(|one| one["kind"].as_str()),
            Some(Some("OBJECT" | "INTERFACE" | "UNION"))
        );
        // At the end of the way only leaves are looked for.
        if composite && depth == 0 {
            return "__typename".to_owned();
        }
        let alias = match self.dice.below(30) {
            // Two selections of one name with different arguments cannot be one.
            _ if self.clean && list(field, "args").next().is_some() => {
                self.aliases += 1;
                format!("c{}: ", self.aliases)
            }
            0 => "a: ".to_owned(),
            1 => format!("a{}: ", self.dice.below(1_000)),
            2 if self.dice.percent(5) => format!("{}: ", "l".repeat(self.dice.between(50, 3_000))),
            _ => String::new(),
        };
        let mut args = vec![];
        for arg in list(field, "args") {
            if needed(arg) && !self.slip(2) || self.dice.percent(30) {
                let value =
                    if self.dice.percent(25) { self.variable(arg) } else { self.literal(&arg["type"], 4) };
                args.push(format!("{}: {value}", name(arg)));
            }
        }
        if self.slip(1) {
            args.push("nothing: 1".to_owned());
        }
        let brackets = if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) };
        let directives = self.directives();
        let set =
            if composite != self.slip(1) { self.set(of, depth.saturating_sub(1)) } else { String::new() };
        format!("{alias}{}{brackets}{directives} {set}", name(field))
    }

    fn directives(&mut self) -> String {
        if !self.slip(4) {
            return String::new();
        }
        let times = if self.dice.percent(10) { self.dice.around(4) } else { 1 };
        let one = *self.dice.pick(&[
            " @skip(if: false)",
            " @include(if: true)",
            " @skip(if: $x)",
            " @include(if: null)",
            " @include",
            " @unknown(a: [{}])",
            " @deprecated",
            " @specifiedBy(url: \"x\")",
        ]);
        one.repeat(times)
    }

    /// A variable of the type that the argument has, or of another, with a value or without.
    fn variable(&mut self, arg: &Value) -> String {
        let name = format!("v{}", self.declared.len());
        let kind = match self.dice.below(12) {
            _ if self.clean => written(&arg["type"]),
            0 => "String".to_owned(),
            1 => format!("{0}Int{1}", "[".repeat(3), "]".repeat(3)),
            2 => "Nothing".to_owned(),
            _ => written(&arg["type"]),
        };
        let default =
            if self.slip(10) { format!(" = {}", self.literal(&arg["type"], 2)) } else { String::new() };
        self.declared.push(format!("${name}: {kind}{default}"));
        if !self.slip(8) {
            let value = self.value(&arg["type"], 4);
            self.variables.insert(name.clone(), value);
        }
        format!("${name}")
    }

    /// A value of a type as JSON, or of another.
    fn value(&mut self, of: &Value, depth: usize) -> Value {
        if self.slip(6) {
            return match self.dice.below(9) {
                0 => Value::Null,
                1 => json!(true),
                2 => json!(-1),
                3 => json!(3_000_000_000_u64),
                4 => json!(1.5e300),
                5 => json!([[[]]]),
                6 => json!({"a": {"b": []}}),
                7 => (0..self.dice.around(32)).fold(json!(1), |inner, _| json!([inner])),
                _ => json!(text(self.dice)),
            };
        }
        match of["kind"].as_str() {
            Some("NON_NULL") => self.value(&of["ofType"], depth),
            Some("LIST") => {
                let items = if self.slip(2) { self.dice.around(200) } else { self.dice.below(3) };
                let one = self.value(&of["ofType"], depth.saturating_sub(1));
                json!(vec![one; items])
            }
            Some("ENUM") => {
                let words: Vec<Value> = self
                    .types
                    .get(name(of))
                    .into_iter()
                    .flat_map(|one| list(one, "enumValues"))
                    .map(|word| word["name"].clone())
                    .collect();
                if words.is_empty() { Value::Null } else { self.dice.pick(&words).clone() }
            }
            Some("INPUT_OBJECT") => {
                let mut given = Map::new();
                let input = self.types.get(name(of)).cloned().unwrap_or_default();
                let one_of = input["isOneOf"] == true;
                for field in list(&input, "inputFields") {
                    let wanted = needed(field) && !self.slip(2);
                    let more = depth > 0 && self.dice.percent(if one_of { 40 } else { 20 });
                    if wanted || more {
                        let value = self.value(&field["type"], depth.saturating_sub(1));
                        given.insert(name(field).to_owned(), value);
                        if one_of && !self.slip(5) {
                            break;
                        }
                    }
                }
                Value::Object(given)
            }
            _ if self.clean => match name(of) {
                "Int" => json!(self.dice.between(1, 3)),
                "ID" => json!(self.dice.pick(&IDS)),
                "FeedCursor" => Value::Null,
                "Boolean" => json!(true),
                _ => smallest(self.types, &Known::new(), of),
            },
            _ => match name(of) {
                "Int" => json!(*self.dice.pick(&[0, 1, 2, 50, 200, 201, -1, i32::MAX, i32::MIN])),
                "Boolean" => json!(self.dice.percent(50)),
                "Long" => {
                    json!(self.dice.pick(&["0", "1", "-1", "9223372036854775807", "9223372036854775808"]))
                }
                "DateTime" => json!(self.dice.pick(&[
                    "2030-01-01T00:00:00.000Z",
                    "1969-12-31T23:59:59Z",
                    "99999-01-01T00:00:00Z"
                ])),
                "Date" => json!(self.dice.pick(&["2026-11-01", "2024-02-29", "0000-00-00", "9999-12-31"])),
                "Digest" => json!("0".repeat(self.dice.around(64))),
                _ => json!(text(self.dice)),
            },
        }
    }

    /// The same as the document's language writes it.
    fn literal(&mut self, of: &Value, depth: usize) -> String {
        let value = self.value(of, depth);
        let mut out = String::new();
        self.write(&value, is_enum(of), &mut out);
        out
    }

    fn write(&mut self, value: &Value, word: bool, out: &mut String) {
        match value {
            Value::String(text) if word => *out += text,
            Value::String(text) if self.dice.percent(15) => {
                *out += &format!("\"\"\"{}\"\"\"", text.replace("\"\"\"", "\\\"\"\""));
            }
            // JSON's escapes are those of the language, too.
            Value::String(text) => *out += &json!(text).to_string(),
            Value::Array(items) => {
                *out += "[";
                for item in items {
                    self.write(item, word, out);
                    *out += ", ";
                }
                *out += "]";
            }
            Value::Object(map) => {
                *out += "{";
                for (key, item) in map {
                    // Without its type, upper case tells a word of an enum.
                    let named = item.as_str().is_some_and(|text| {
                        !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                    });
                    *out += &format!("{key}: ");
                    self.write(item, named, out);
                    *out += ", ";
                }
                *out += "}";
            }
            other => *out += &other.to_string(),
        }
    }
}

fn is_enum(of: &Value) -> bool {
    if of["ofType"].is_null() { of["kind"] == "ENUM" } else { is_enum(&of["ofType"]) }
}
