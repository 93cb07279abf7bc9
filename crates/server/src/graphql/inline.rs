//! Objects whose fields are at hand are resolved where they stand. The library gives each field of an object a box and a
//! place in a queue of tasks, which is for fields that wait; a page of fifty leads has a thousand that do not.

use std::borrow::Cow;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{
    ContainerType, ContextBase, Name, OutputType, Positioned, ServerError, ServerResult, Value,
};
use futures_util::future::BoxFuture;

/// An object, resolved field by field, in the order of the query. A field that waits holds up those after it, but not the
/// other objects of its list.
#[derive(Clone, Debug)]
pub struct Inline<T>(pub T);

type Set<'a> = &'a Positioned<SelectionSet>;

impl<T: ContainerType> OutputType for Inline<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        self.0.introspection_type_name()
    }

    async fn resolve(&self, ctx: &ContextBase<'_, Set<'_>>, _: &Positioned<Field>) -> ServerResult<Value> {
        resolve(ctx, &self.0).await
    }
}

/// One box for the whole object: without any, the futures of nested objects would lie inside each other.
fn resolve<'a, T: ContainerType>(
    ctx: &'a ContextBase<'a, Set<'a>>,
    object: &'a T,
) -> BoxFuture<'a, ServerResult<Value>> {
    Box::pin(async move {
        let mut fields = Vec::with_capacity(ctx.item.node.items.len());
        collect::<T>(ctx, ctx.item, &mut fields)?;
        let mut values = IndexMap::with_capacity(fields.len());
        for field in fields {
            let ctx = ctx.with_field(field);
            let name = field.node.response_key().node.clone();
            let value = match field.node.name.node.as_str() {
                "__typename" => Ok(Some(Value::String(object.introspection_type_name().into_owned()))),
                _ => object.resolve_field(&ctx).await,
            };
            match value {
                Ok(value) => insert(&mut values, name, value.unwrap_or_default()),
                Err(error) => ctx.add_error(error),
            }
        }
        // As the library does it: without any field, all of them failed.
        Ok(if values.is_empty() { Value::Null } else { Value::Object(values) })
    })
}

/// The fields of a selection, with those of its fragments in their places. `@skip` and `@include` were applied before.
fn collect<'a, T: ContainerType>(
    ctx: &ContextBase<'a, Set<'a>>,
    set: Set<'a>,
    fields: &mut Vec<&'a Positioned<Field>>,
) -> ServerResult<()> {
    for item in &set.node.items {
        let (condition, inner) = match &item.node {
            Selection::Field(field) => {
                fields.push(field);
                continue;
            }
            Selection::InlineFragment(fragment) => {
                (fragment.node.type_condition.as_ref(), &fragment.node.selection_set)
            }
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                let fragment = ctx.query_env.fragments.get(name);
                let missing = || ServerError::new(format!("Unknown fragment \"{name}\"."), Some(spread.pos));
                let fragment = fragment.ok_or_else(missing)?;
                (Some(&fragment.node.type_condition), &fragment.node.selection_set)
            }
        };
        let own = T::type_name();
        let applies = condition.is_none_or(|condition| {
            let asked = condition.node.on.node.as_str();
            let implemented = ctx.schema_env.registry.implements.get(&*own);
            asked == own || implemented.is_some_and(|interfaces| interfaces.contains(asked))
        });
        if applies {
            collect::<T>(ctx, inner, fields)?;
        }
    }
    Ok(())
}

/// Puts a value beside the others; two selections of one field are merged.
fn insert(values: &mut IndexMap<Name, Value>, name: Name, value: Value) {
    match values.get_mut(&name) {
        None => drop(values.insert(name, value)),
        Some(before) => merge(before, value),
    }
}

fn merge(before: &mut Value, value: Value) {
    match (before, value) {
        (Value::Object(before), Value::Object(fields)) => {
            fields.into_iter().for_each(|(name, value)| insert(before, name, value));
        }
        (Value::List(before), Value::List(items)) => {
            before.iter_mut().zip(items).for_each(|(before, item)| merge(before, item));
        }
        _ => {}
    }
}
