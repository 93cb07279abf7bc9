//! A GraphQL document before it meets the schema: its syntax, and its size once fragments expand.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use async_graphql::Pos;
use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::parser::{self, parse_query};
use async_graphql::{Name, Positioned};
use async_graphql_value::Value;

use super::config::Limits;
use super::problem::{Code, Problem, clip};
use super::scan::prescan;

/// A document that fits the limits.
#[derive(Debug)]
pub struct Document {
    pub parsed: ExecutableDocument,
    pub tokens: usize,
    /// Whether it agreed with the schema before.
    pub valid: AtomicBool,
}

impl Document {
    /// Refuses in the order bytes, tokens and nesting, syntax, size after expansion.
    pub fn read(text: &str, limits: &Limits) -> Result<Document, Problem> {
        let tokens = prescan(text, limits)?;
        let parsed = parse_query(text).map_err(syntax)?;
        measure(&parsed, limits)?;
        introspection(&parsed, limits)?;
        Ok(Document { parsed, tokens, valid: AtomicBool::new(false) })
    }

    /// The operation that a request means.
    pub fn operation(&self, name: Option<&str>) -> Result<&Positioned<OperationDefinition>, Problem> {
        let problem = |text: String| Problem::new(Code::Validation, text);
        match (&self.parsed.operations, name) {
            (DocumentOperations::Single(operation), None) => Ok(operation),
            (DocumentOperations::Single(_), Some(name)) => {
                Err(problem(format!("there is no operation {}; the only one has no name", clip(name, 80))))
            }
            (DocumentOperations::Multiple(all), Some(name)) => all.get(name).ok_or_else(|| {
                problem(format!(
                    "there is no operation {}; the document has {}",
                    clip(name, 80),
                    names(all.keys())
                ))
            }),
            (DocumentOperations::Multiple(all), None) => match all.values().next() {
                Some(only) if all.len() == 1 => Ok(only),
                _ => Err(problem(format!(
                    "the document has {} operations; choose one by operationName: {}",
                    all.len(),
                    names(all.keys())
                ))),
            },
        }
    }
}

/// Checks aliases, directives, fragment cycles, and the sizes that fragments unfold to.
pub fn measure(document: &ExecutableDocument, limits: &Limits) -> Result<(), Problem> {
    let mut sizer = Sizer { document, limits, aliases: 0, directives: 0, known: HashMap::new() };
    let mut fields = 0u64;
    for (_, operation) in document.operations.iter() {
        sizer.directives(&operation.node.directives, operation.pos)?;
        for variable in &operation.node.variable_definitions {
            sizer.directives(&variable.node.directives, variable.pos)?;
        }
        let size = sizer.size(&operation.node.selection_set.node)?;
        if size.roots > limits.root_fields {
            let text = format!("the operation has {} root fields, limit {}", size.roots, limits.root_fields);
            return Err(Problem::new(Code::QueryTooComplex, text).at([operation.pos]));
        }
        if operation.node.ty == OperationType::Subscription && size.roots > 1 {
            let text = format!(
                "a subscription has one root field, found {}: its events carry one cursor",
                size.roots
            );
            return Err(Problem::new(Code::Validation, text).at([operation.pos]));
        }
        let plain = |item: &Positioned<Selection>| matches!(&item.node, Selection::Field(field) if field.node.directives.is_empty());
        let items = &operation.node.selection_set.node.items;
        if operation.node.ty == OperationType::Subscription && !items.iter().all(plain) {
            // The library would see no field and end the stream without a word.
            let text = "write the root field of a subscription itself, without a fragment or directive";
            return Err(Problem::new(Code::Validation, text).at([operation.pos]));
        }
        sizer.depth(&size, operation.pos)?;
        fields = fields.saturating_add(size.fields);
    }
    sizer.fields(fields, None)?;
    // Validation also walks fragments that no operation uses.
    for (name, fragment) in &document.fragments {
        let size = sizer.fragment(name, fragment.pos)?;
        sizer.depth(&size, fragment.pos)?;
        sizer.fields(size.fields, Some(fragment.pos))?;
    }
    let (aliases, directives) = (sizer.aliases, sizer.directives);
    if aliases > limits.aliases {
        let text = format!("the document has {aliases} aliases, limit {}", limits.aliases);
        return Err(Problem::new(Code::TooManyAliases, text));
    }
    if directives > limits.directives {
        let text = format!("the document has {directives} directives, limit {}", limits.directives);
        return Err(Problem::new(Code::TooManyDirectives, text));
    }
    Ok(())
}

/// Whether the document asks the schema about itself where that is off, or in circles: `fields { type { fields { …` doubles
/// the answer with each turn. Three lists within each other are refused, as the rule MaxIntrospectionDepth of graphql-js does.
fn introspection(document: &ExecutableDocument, limits: &Limits) -> Result<(), Problem> {
    let own = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
    let sets = own.chain(document.fragments.values().map(|fragment| &fragment.node.selection_set.node));
    sets.into_iter().try_for_each(|set| look_for_introspection(document, set, limits))
}

fn look_for_introspection(
    document: &ExecutableDocument,
    set: &SelectionSet,
    limits: &Limits,
) -> Result<(), Problem> {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) if matches!(field.node.name.node.as_str(), "__schema" | "__type") => {
                if !limits.introspection {
                    let text = "this server's schema does not tell about itself";
                    return Err(Problem::new(Code::IntrospectionDisabled, text).at([item.pos]));
                }
                introspection_lists(document, &field.node.selection_set.node, 0)?;
            }
            Selection::Field(field) => {
                look_for_introspection(document, &field.node.selection_set.node, limits)?;
            }
            Selection::InlineFragment(fragment) => {
                look_for_introspection(document, &fragment.node.selection_set.node, limits)?;
            }
            // It is looked at by itself.
            Selection::FragmentSpread(_) => {}
        }
    }
    Ok(())
}

fn introspection_lists(
    document: &ExecutableDocument,
    set: &SelectionSet,
    outer: usize,
) -> Result<(), Problem> {
    const LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];
    for item in &set.items {
        let (inside, lists) = match &item.node {
            Selection::Field(field) => {
                let list = LISTS.contains(&field.node.name.node.as_str());
                (&field.node.selection_set.node, outer + usize::from(list))
            }
            Selection::InlineFragment(fragment) => (&fragment.node.selection_set.node, outer),
            Selection::FragmentSpread(spread) => {
                let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) else {
                    continue;
                };
                (&fragment.node.selection_set.node, outer)
            }
        };
        if lists >= 3 {
            let text = "the schema is asked about itself in circles: 3 lists of fields or types within each other, limit 2";
            return Err(Problem::new(Code::QueryTooDeep, text).at([item.pos]));
        }
        introspection_lists(document, inside, lists)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Size {
    fields: u64,
    roots: u64,
    depth: usize,
}

struct Sizer<'a> {
    document: &'a ExecutableDocument,
    limits: &'a Limits,
    aliases: usize,
    directives: usize,
    /// `None` while a fragment is being measured: meeting it then is a cycle.
    known: HashMap<&'a str, Option<Size>>,
}

impl<'a> Sizer<'a> {
    fn size(&mut self, set: &'a SelectionSet) -> Result<Size, Problem> {
        let mut sum = Size::default();
        for item in &set.items {
            self.directives(item.node.directives(), item.pos)?;
            let part = match &item.node {
                Selection::Field(field) => {
                    if let Some(alias) = &field.node.alias {
                        self.alias(&alias.node, item.pos)?;
                    }
                    for (name, value) in &field.node.arguments {
                        text_without_nul(&name.node, &value.node, value.pos)?;
                    }
                    let inner = self.size(&field.node.selection_set.node)?;
                    Size { fields: inner.fields, roots: 1, depth: inner.depth + 1 }
                }
                Selection::InlineFragment(fragment) => self.size(&fragment.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, item.pos)?
                }
            };
            sum.fields = sum.fields.saturating_add(part.fields).saturating_add(1);
            sum.roots = sum.roots.saturating_add(part.roots);
            sum.depth = sum.depth.max(part.depth);
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a str, at: Pos) -> Result<Size, Problem> {
        if let Some(known) = self.known.get(name) {
            let text = format!("fragment {} refers to itself", clip(name, 80));
            return known.ok_or_else(|| Problem::new(Code::Validation, text).at([at]));
        }
        let mut size = Size::default();
        // Whether an unknown fragment is named is for validation to say.
        if let Some(fragment) = self.document.fragments.get(name) {
            self.known.insert(name, None);
            self.directives(&fragment.node.directives, fragment.pos)?;
            size = self.size(&fragment.node.selection_set.node)?;
        }
        self.known.insert(name, Some(size));
        Ok(size)
    }

    fn alias(&mut self, alias: &Name, at: Pos) -> Result<(), Problem> {
        // Each error of the field repeats it.
        const BYTES: usize = 100;
        if alias.len() > BYTES {
            let text = format!("an alias has {} characters, limit {BYTES}", alias.len());
            return Err(Problem::new(Code::DocumentTooLarge, text).at([at]));
        }
        self.aliases += 1;
        Ok(())
    }

    fn directives(&mut self, found: &[Positioned<Directive>], at: Pos) -> Result<(), Problem> {
        self.directives += found.len();
        let limit = self.limits.directives_per_place;
        if found.len() > limit {
            let text = format!("{} directives in one place, limit {limit}", found.len());
            return Err(Problem::new(Code::TooManyDirectives, text).at([at]));
        }
        Ok(())
    }

    fn depth(&self, size: &Size, at: Pos) -> Result<(), Problem> {
        if size.depth > self.limits.nesting {
            let text = format!(
                "fields nest {} deep after fragments are expanded, limit {}",
                size.depth, self.limits.nesting
            );
            return Err(Problem::new(Code::DocumentTooDeep, text).at([at]));
        }
        Ok(())
    }

    fn fields(&self, found: u64, at: Option<Pos>) -> Result<(), Problem> {
        if found > self.limits.fields {
            let text = format!("{found} fields after fragments are expanded, limit {}", self.limits.fields);
            return Err(Problem::new(Code::QueryTooComplex, text).at(at));
        }
        Ok(())
    }
}

/// No text of ours has a NUL in it, and PostgreSQL keeps none.
fn text_without_nul(name: &Name, value: &Value, at: Pos) -> Result<(), Problem> {
    let found = match value {
        Value::String(text) => text.contains('\0'),
        Value::List(items) => return items.iter().try_for_each(|item| text_without_nul(name, item, at)),
        Value::Object(fields) => {
            return fields.values().try_for_each(|value| text_without_nul(name, value, at));
        }
        _ => false,
    };
    if found {
        let text = format!("the argument {} holds the character U+0000; leave it out", clip(name, 80));
        return Err(Problem::new(Code::Validation, text).at([at]));
    }
    Ok(())
}

fn names<'a>(all: impl Iterator<Item = &'a Name>) -> String {
    let mut all: Vec<&str> = all.map(|name| name.as_str()).collect();
    all.sort_unstable();
    let more = if all.len() > 5 { ", …" } else { "" };
    all.truncate(5);
    clip(&(all.join(", ") + more), 160)
}

fn syntax(error: parser::Error) -> Problem {
    let at: Vec<Pos> = error.positions().take(2).collect();
    let text = match &error {
        // The parser draws the line with an arrow under it; only its last line says what was expected.
        parser::Error::Syntax { message, start, .. } => {
            let expected = message.rsplit_once("= ").map_or("unexpected text", |(_, text)| text.trim());
            format!("syntax error at line {}, column {}: {}", start.line, start.column, clip(expected, 200))
        }
        parser::Error::RecursionLimitExceeded => {
            let text = "nesting deeper than the parser goes";
            return Problem::new(Code::DocumentTooDeep, text).at(at);
        }
        other => clip(&other.to_string(), 200),
    };
    Problem::new(Code::Validation, text).at(at)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Document, Problem> {
        Document::read(text, &Limits::default())
    }

    fn bomb(levels: usize, spreads: usize) -> String {
        let mut text = String::from("query{lead{...F0}}");
        for i in 0..levels {
            text += &format!("fragment F{i} on Lead{{{}}}", format!("...F{} ", i + 1).repeat(spreads));
        }
        text + &format!("fragment F{levels} on Lead{{id}}")
    }

    #[test]
    fn every_known_bomb_is_refused_at_once() {
        let nested =
            |open: &str, n: usize, close: &str| format!("{{lead(v:{}1{})}}", open.repeat(n), close.repeat(n));
        let chain: String =
            (0..120).map(|i| format!("fragment F{i} on Lead{{p{{...F{}}}}}", i + 1)).collect();
        let cases = [
            (
                "33 KiB",
                format!("{{a}}#{}", "x".repeat(33_000)),
                Code::DocumentTooLarge,
                "33004 bytes, limit 32768",
            ),
            ("tokens", format!("{{{}}}", "a ".repeat(2_001)), Code::DocumentTooLarge, "tokens, limit 2000"),
            ("lists 39", nested("[", 39, "]"), Code::DocumentTooDeep, "nesting deeper than 40 at byte 46"),
            (
                "lists 1562",
                nested("[", 1_562, "]"),
                Code::DocumentTooDeep,
                "nesting deeper than 40 at byte 46",
            ),
            (
                "lists open",
                format!("{{a(v:{}", "[".repeat(15_000)),
                Code::DocumentTooDeep,
                "nesting deeper than 40",
            ),
            ("objects", nested("{a:", 2_000, "}"), Code::DocumentTooDeep, "nesting deeper than 40"),
            (
                "selections",
                "{a".repeat(41) + &"}".repeat(41),
                Code::DocumentTooDeep,
                "nesting deeper than 40 at byte 80",
            ),
            (
                "type",
                format!("query($x:{}Int{}){{a}}", "[".repeat(9_000), "]".repeat(9_000)),
                Code::DocumentTooDeep,
                "nesting",
            ),
            (
                "2^29",
                bomb(29, 2),
                Code::QueryTooComplex,
                "1610612736 fields after fragments are expanded, limit 2000",
            ),
            ("10^12", bomb(12, 10), Code::QueryTooComplex, "fields after fragments are expanded, limit 2000"),
            (
                "unused bomb",
                bomb(29, 2).replace("query{lead{...F0}}", "{id}"),
                Code::QueryTooComplex,
                "fields after",
            ),
            (
                "self",
                "{lead{...A}} fragment A on Lead{p{...A}}".into(),
                Code::Validation,
                "fragment A refers to itself",
            ),
            (
                "cycle of 3",
                "{lead{...A}} fragment A on L{...B} fragment B on L{...C} fragment C on L{...A}".into(),
                Code::Validation,
                "fragment A refers to itself",
            ),
            (
                "unused cycle",
                "{a} fragment A on L{...A}".into(),
                Code::Validation,
                "fragment A refers to itself",
            ),
            (
                "fragment chain",
                "{lead{...F0}}".to_owned() + &chain + "fragment F120 on Lead{id}",
                Code::DocumentTooDeep,
                "122 deep",
            ),
            (
                "31 aliases",
                format!("{{l{{{}}}}}", (0..31).map(|i| format!("a{i}:b ")).collect::<String>()),
                Code::TooManyAliases,
                "aliases, limit 30",
            ),
            (
                "21 roots",
                format!("{{{}}}", "a ".repeat(21)),
                Code::QueryTooComplex,
                "21 root fields, limit 20",
            ),
            (
                "21 roots by fragment",
                format!("{{...A}} fragment A on Query{{{}}}", "a ".repeat(21)),
                Code::QueryTooComplex,
                "21 root fields",
            ),
            (
                "field @",
                format!("{{a{}}}", " @aa".repeat(10)),
                Code::TooManyDirectives,
                "10 directives in one place, limit 4",
            ),
            (
                "inline @",
                format!("{{... on Q{}{{a}}}}", " @aa".repeat(10)),
                Code::TooManyDirectives,
                "10 directives",
            ),
            (
                "spread @",
                format!("{{...A{}}}fragment A on Q{{a}}", " @aa".repeat(10)),
                Code::TooManyDirectives,
                "10",
            ),
            ("query @", format!("query{}{{a}}", " @aa".repeat(10)), Code::TooManyDirectives, "10 directives"),
            (
                "variable @",
                format!("query($x:Int{}){{a}}", " @aa".repeat(10)),
                Code::TooManyDirectives,
                "10 directives",
            ),
            (
                "fragment @",
                format!("{{a}} fragment A on Q{}{{a}}", " @aa".repeat(10)),
                Code::TooManyDirectives,
                "10",
            ),
            (
                "21 @",
                format!("{{l{{{}}}}}", "a @skip(if:true) ".repeat(21)),
                Code::TooManyDirectives,
                "limit 20",
            ),
            ("50000 @", format!("{{a{}}}", " @skip".repeat(50_000)), Code::DocumentTooLarge, "limit 32768"),
        ];
        for (name, text, code, part) in cases {
            let began = Instant::now();
            let problem = read(&text).expect_err(name);
            assert!(problem.code == code && problem.message.contains(part), "{name}: {problem:?}");
            assert!(problem.message.len() < 200, "{name}: {}", problem.message);
            assert!(began.elapsed() < Duration::from_millis(500), "{name} took {:?}", began.elapsed());
        }
    }

    #[test]
    fn ordinary_documents_pass() {
        for text in [
            "{a}",
            "query Board($f:Int!=50,$w:[String!]){leads(first:$f,w:$w){id ...A p{id ...A}}} fragment A on L{a:name b}",
            "# just {{{{ a comment\n{a(s:\"[[[[ not brackets \\\" \")}",
            "{a(s:\"\"\"block \"quoted\" \\\"\"\" {{{{ \"\"\")}",
            "subscription{leadStageChanged(after:\"x\"){cursor ... on E @include(if:true){lead{id}}}}",
        ] {
            let document = read(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
            assert!(document.tokens >= 3);
        }
        let deep = "{a".repeat(39) + "{a}" + &"}".repeat(39);
        assert!(read(&deep).is_ok());
        assert!(read(&bomb(6, 3)).is_ok(), "1,823 fields stay below the limit");
    }

    #[test]
    fn syntax_errors_name_the_place_in_one_line() {
        for (text, line, column) in
            [("{", 1, 2), ("{a\n b(", 2, 4), ("nope", 1, 1), ("{a(x: \"open)}", 1, 7), ("", 1, 1)]
        {
            let problem = read(text).expect_err(text);
            assert_eq!(problem.code, Code::Validation, "{text}");
            assert_eq!(problem.at.first(), Some(&Pos { line, column }), "{text}: {}", problem.message);
            assert!(
                !problem.message.contains('\n') && problem.message.contains("expected"),
                "{}",
                problem.message
            );
        }
        assert_eq!(read("fragment A on Q{a}").expect_err("no operation").code, Code::Validation);
        assert_eq!(read("query A{a} query A{b}").expect_err("twice").code, Code::Validation);
    }

    #[test]
    fn operations_are_chosen_by_name() {
        let two = read("query A{a} mutation B{b}").expect("two");
        assert!(two.operation(Some("B")).is_ok());
        let problem = two.operation(None).expect_err("no name");
        assert_eq!(problem.message, "the document has 2 operations; choose one by operationName: A, B");
        assert!(two.operation(Some("C")).is_err());
        let one = read("{a}").expect("one");
        assert!(one.operation(None).is_ok() && one.operation(Some("A")).is_err());
        assert!(read("query A{a}").expect("one").operation(None).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn shuffled_tokens_never_panic(words in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "(", ")", "[", "]", ":", "$x", "...", "on", "query", "fragment", "A", "B", "@skip", "\"", "\"\"\"",
            "\\", "#", "\n", "1", "-", "1e9", "!", "=", "null", "subscription", "é", "{a}", "fragment A on B{...A}",
        ]), 0..60)) {
            for gap in ["", " "] {
                if let Ok(document) = read(&words.join(gap)) {
                    let _ = document.operation(Some("A"));
                }
            }
        }
    }
}
