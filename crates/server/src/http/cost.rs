//! What an operation may cost, told before it is carried out: the objects that its answer may hold, a tenth of one for each
//! scalar, and ten for a change or a subscription. One function says it to the limit of a request, to the budget of a caller
//! and to the caller. It is GitHub's and Shopify's way of counting, in which a page multiplies what is asked of each of its
//! rows; but a scalar counts, because a field that is written 1,900 times is resolved as often.

use std::collections::HashMap;

use async_graphql::parser::types::{
    Directive, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Executor, Positioned, Request, Value as Known, Variables};
use async_graphql_value::Value;
use futures_util::FutureExt;
use serde::Deserialize;

use super::document::Document;

/// Rows of a page when nobody says how many, and the most that a page has whatever is said.
const PAGE: u64 = 50;
const PAGE_MAX: u64 = 500;
/// Rows of a list that has no pages.
const LIST: u64 = 10;
/// All but the sum is counted in tenths of an object.
const OBJECT: u64 = 10;
const SCALAR: u64 = 1;
/// A change writes to disk; a subscription stays.
const CHANGE: u64 = 10 * OBJECT;
/// The schema about itself.
const INTROSPECTION: u64 = 1_000 * OBJECT;

/// A root field, or one of its arguments, that costs more than its answer shows: it looks at many rows, or runs a rule.
pub type Weight = (&'static str, Option<&'static str>, u64);

/// What the schema says about the size of its fields.
#[derive(Debug, Default)]
pub struct Costs {
    types: HashMap<String, HashMap<String, Sized>>,
    weights: &'static [Weight],
    roots: [Option<String>; 3],
}

#[derive(Debug)]
struct Sized {
    /// The type of what it answers, of one row for a list. None for a leaf.
    of: Option<String>,
    list: bool,
    /// For a field with pages: rows when nobody says how many.
    page: Option<u64>,
}

impl Costs {
    /// Asks the schema about itself.
    pub fn of(schema: &impl Executor, weights: &'static [Weight]) -> Costs {
        // Introspection waits for nothing, so that it is ready when it is first looked at.
        let answer = schema.execute(Request::new(QUESTION)).now_or_never().map(|answer| answer.data);
        let answer = answer.and_then(|data| serde_json::from_value(data.into_json().ok()?).ok());
        let Some(Answer { schema }) = answer else {
            tracing::error!("the schema did not describe itself: requests cost nothing");
            return Costs::default();
        };
        let name = |root: Option<Named>| root.map(|root| root.name);
        let roots = [name(schema.query_type), name(schema.mutation_type), name(schema.subscription_type)];
        let types = schema.types.into_iter().map(|kind| {
            let fields = kind.fields.unwrap_or_default().into_iter();
            (kind.name, fields.map(|field| (field.name.clone(), Sized::read(field))).collect())
        });
        Costs { types: types.collect(), weights, roots }
    }

    /// Of an operation of a document whose size the gate has found bearable, with the defaults of its variables filled in.
    pub fn operation(
        &self,
        document: &Document,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> u64 {
        let root = match operation.ty {
            OperationType::Query => &self.roots[0],
            OperationType::Mutation => &self.roots[1],
            OperationType::Subscription => &self.roots[2],
        };
        let root = root.as_deref().unwrap_or_default();
        let walk = Walk { costs: self, document, variables, kind: operation.ty, root };
        walk.selection(&operation.selection_set.node, root, None).div_ceil(OBJECT).max(1)
    }
}

struct Walk<'a> {
    costs: &'a Costs,
    document: &'a Document,
    variables: &'a Variables,
    kind: OperationType,
    root: &'a str,
}

impl Walk<'_> {
    /// `page`: the rows of the connection that the selection belongs to.
    fn selection(&self, set: &SelectionSet, kind: &str, page: Option<u64>) -> u64 {
        let parts = set.items.iter().map(|item| match &item.node {
            _ if self.left_out(item.node.directives()) => 0,
            Selection::Field(field) => self.field(&field.node, kind, page),
            Selection::InlineFragment(fragment) => {
                let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                self.selection(&fragment.node.selection_set.node, on.unwrap_or(kind), page)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = self.document.parsed.fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |fragment| {
                    let on = fragment.node.type_condition.node.on.node.as_str();
                    self.selection(&fragment.node.selection_set.node, on, page)
                })
            }
        });
        parts.fold(0, u64::saturating_add)
    }

    fn field(&self, field: &Field, kind: &str, page: Option<u64>) -> u64 {
        let name = field.name.node.as_str();
        let inside = &field.selection_set.node;
        if name.starts_with("__") {
            return if inside.items.is_empty() { SCALAR } else { INTROSPECTION };
        }
        // What the schema does not know, its own validation refuses.
        let Some(known) = self.costs.types.get(kind).and_then(|fields| fields.get(name)) else {
            return SCALAR;
        };
        let more = if kind == self.root { self.root_field(field) } else { 0 };
        let Some(of) = known.of.as_deref() else { return SCALAR.saturating_add(more) };
        let own = known.page.map(|page| self.page(field, page)).or_else(|| self.ids(field));
        let cost = match (known.list, own) {
            // The rows of a connection: an edge is only a wrapper.
            (true, None) => {
                let wrapper = if name == "edges" { 0 } else { OBJECT };
                let each = wrapper.saturating_add(self.selection(inside, of, None));
                page.unwrap_or(LIST).saturating_mul(each)
            }
            (true, Some(rows)) => {
                rows.saturating_mul(OBJECT.saturating_add(self.selection(inside, of, None)))
            }
            (false, own) => OBJECT.saturating_add(self.selection(inside, of, own)),
        };
        cost.saturating_add(more)
    }

    /// What a root field costs besides its answer.
    fn root_field(&self, field: &Field) -> u64 {
        let name = field.name.node.as_str();
        let heavy = self.costs.weights.iter().filter(|(of, given, _)| {
            *of == name && given.is_none_or(|given| argument(field, given).is_some())
        });
        let heavy = heavy.map(|(.., weight)| weight * OBJECT).sum::<u64>();
        match self.kind {
            OperationType::Query => heavy,
            OperationType::Mutation => heavy + CHANGE + self.rows_of_input(field) * OBJECT,
            OperationType::Subscription => heavy + CHANGE,
        }
    }

    /// The rows that a page may have.
    fn page(&self, field: &Field, default: u64) -> u64 {
        let said =
            ["first", "last"].into_iter().find_map(|name| match self.known(argument(field, name)?)? {
                Known::Number(number) => Some(number.as_u64().unwrap_or(0)),
                _ => None,
            });
        said.unwrap_or(default).min(PAGE_MAX)
    }

    /// The rows that are asked for by name.
    fn ids(&self, field: &Field) -> Option<u64> {
        let ids = argument(field, "ids")?;
        match ids {
            Value::List(ids) => Some(ids.len() as u64),
            _ => match self.known(ids)? {
                Known::List(ids) => Some(ids.len() as u64),
                _ => None,
            },
        }
    }

    /// What a change brings: every row of a list in its input may be one to write.
    fn rows_of_input(&self, field: &Field) -> u64 {
        field.arguments.iter().map(|(_, value)| self.rows(&value.node)).sum()
    }

    fn rows(&self, value: &Value) -> u64 {
        match value {
            Value::List(items) => items.len() as u64 + items.iter().map(|item| self.rows(item)).sum::<u64>(),
            Value::Object(fields) => fields.values().map(|value| self.rows(value)).sum(),
            Value::Variable(name) => self.variables.get(name).map_or(0, known_rows),
            _ => 0,
        }
    }

    /// What stands in the place of a variable; what is written out only where that is a number or a boolean.
    fn known(&self, value: &Value) -> Option<Known> {
        match value {
            Value::Variable(name) => self.variables.get(name).cloned(),
            Value::Number(number) => Some(Known::Number(number.clone())),
            Value::Boolean(value) => Some(Known::Boolean(*value)),
            _ => None,
        }
    }

    fn left_out(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().any(|directive| {
            let unless = match directive.node.name.node.as_str() {
                "skip" => true,
                "include" => false,
                _ => return false,
            };
            let value = directive.node.get_argument("if").and_then(|value| self.known(&value.node));
            value == Some(Known::Boolean(unless))
        })
    }
}

fn argument<'f>(field: &'f Field, name: &str) -> Option<&'f Value> {
    field.arguments.iter().find(|(known, _)| known.node == name).map(|(_, value)| &value.node)
}

fn known_rows(value: &Known) -> u64 {
    match value {
        Known::List(items) => items.len() as u64 + items.iter().map(known_rows).sum::<u64>(),
        Known::Object(fields) => fields.values().map(known_rows).sum(),
        _ => 0,
    }
}

const QUESTION: &str = "{ __schema { queryType { name } mutationType { name } subscriptionType { name } \
     types { name fields(includeDeprecated: true) { name args { name defaultValue } type { ...of } } } } } \
     fragment of on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } }";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "__schema")]
    schema: Described,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    query_type: Option<Named>,
    mutation_type: Option<Named>,
    subscription_type: Option<Named>,
    types: Vec<TypeOf>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct TypeOf {
    name: String,
    fields: Option<Vec<FieldOf>>,
}

#[derive(Deserialize)]
struct FieldOf {
    name: String,
    args: Vec<ArgumentOf>,
    r#type: Wrapped,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArgumentOf {
    name: String,
    default_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped {
    kind: String,
    name: Option<String>,
    of_type: Option<Box<Wrapped>>,
}

impl Sized {
    fn read(field: FieldOf) -> Sized {
        let sizes = field.args.iter().find(|argument| argument.name == "first" || argument.name == "last");
        let page = sizes.map(|argument| {
            argument.default_value.as_deref().and_then(|text| text.parse().ok()).unwrap_or(PAGE)
        });
        let (mut kind, mut list) = (&field.r#type, false);
        while let Some(inner) = &kind.of_type {
            list |= kind.kind == "LIST";
            kind = inner;
        }
        let object = matches!(kind.kind.as_str(), "OBJECT" | "INTERFACE" | "UNION");
        Sized { of: kind.name.clone().filter(|_| object), list, page }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Limits;
    use super::*;

    struct Query;

    #[derive(async_graphql::SimpleObject)]
    struct Lead {
        name: String,
        account: Account,
    }

    #[derive(async_graphql::SimpleObject)]
    struct Account {
        name: String,
    }

    #[derive(async_graphql::SimpleObject)]
    struct Page {
        edges: Vec<Edge>,
        total: i32,
    }

    #[derive(async_graphql::SimpleObject)]
    struct Edge {
        cursor: String,
        node: Lead,
    }

    fn lead() -> Lead {
        Lead { name: String::new(), account: Account { name: String::new() } }
    }

    #[async_graphql::Object]
    impl Query {
        async fn lead(&self) -> Lead {
            lead()
        }
        async fn leads(&self, first: Option<i32>, last: Option<i32>) -> Page {
            let _ = (first, last);
            Page { edges: vec![], total: 0 }
        }
        async fn days(&self) -> Vec<Account> {
            vec![]
        }
        async fn newest(&self, #[graphql(default = 5)] first: i32) -> Vec<Lead> {
            let _ = first;
            vec![]
        }
        async fn nodes(&self, ids: Vec<String>) -> Vec<Lead> {
            let _ = ids;
            vec![]
        }
    }

    struct Mutation;

    #[async_graphql::Object]
    impl Mutation {
        async fn record(&self, input: Vec<Vec<i32>>) -> Account {
            let _ = input;
            Account { name: String::new() }
        }
    }

    fn cost(text: &str, variables: serde_json::Value) -> u64 {
        let schema = async_graphql::Schema::new(Query, Mutation, async_graphql::EmptySubscription);
        let document = Document::read(text, &Limits::default()).expect("a document");
        let operation = document.operation(None).expect("one operation").node.clone();
        Costs::of(&schema, &[("days", None, 100), ("leads", Some("last"), 7)]).operation(
            &document,
            &operation,
            &Variables::from_json(variables),
        )
    }

    #[test]
    fn an_operation_costs_the_objects_that_its_answer_may_hold() {
        let none = serde_json::json!({});
        for (text, expect) in [
            ("{ __typename }", 1),
            ("{ lead { name } }", 2),
            ("{ lead { name account { name } } }", 3),
            ("{ a: lead { name } b: lead { name } }", 3),
            ("{ lead { name name name name name name name name name name } }", 2),
            ("{ leads(first: 20) { total edges { node { name } } } }", 1 + 20 + 3),
            ("{ leads(first: 200) { edges { cursor cursor cursor cursor cursor } } }", 1 + 100),
            ("{ leads(first: 20) { edges { node { account { name } } } } }", 1 + 20 * 2 + 2),
            ("{ leads(last: 10) { edges { node { name } } } }", 1 + 10 + 1 + 7),
            ("{ leads { edges { node { name } } } }", 1 + 50 + 5),
            ("{ leads(first: 3000000) { edges { node { name } } } }", 1 + 500 + 50),
            ("{ leads(first: -1) { edges { node { name } } } }", 1),
            ("{ newest { name } }", 6),
            ("{ newest(first: 10) { account { name } } }", 21),
            ("{ days { name } }", 11 + 100),
            ("{ nodes(ids: [\"a\", \"b\"]) { account { name } } }", 5),
            ("{ ...on Query { lead { ...f } } } fragment f on Lead { account { name } }", 3),
            ("{ lead @skip(if: true) { name } }", 1),
            ("{ lead { account @include(if: false) { name } } }", 1),
            ("{ __schema { types { name } } }", 1_000),
            ("{ unknown { of { any { kind } } } }", 1),
            ("mutation { record(input: []) { name } }", 12),
            ("mutation { a: record(input: []) { name } b: record(input: []) { name } }", 23),
            ("mutation { record(input: [[1, 2], [3]]) { name } }", 12 + 2 + 3),
        ] {
            assert_eq!(cost(text, none.clone()), expect, "{text}");
        }
    }

    #[test]
    fn variables_count_as_what_they_hold() {
        let page = "query($n: Int, $with: Boolean!) { leads(first: $n) { edges { node { account @include(if: $with) { name } } } } }";
        assert_eq!(cost(page, serde_json::json!({"n": 10, "with": true})), 1 + 10 * 2 + 1);
        assert_eq!(cost(page, serde_json::json!({"n": 4, "with": false})), 1 + 4);
        assert_eq!(cost(page, serde_json::json!({"with": false})), 1 + 50);
        let record = "mutation($rows: [[Int!]!]!) { record(input: $rows) { name } }";
        assert_eq!(cost(record, serde_json::json!({"rows": [[1], [2], [3]]})), 12 + 6);
    }
}
