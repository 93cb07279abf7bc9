//! Connections by keyset: arguments, limits and cursors in one place.

use async_graphql::OutputType;
use async_graphql::connection::{
    Connection, DefaultConnectionName, DefaultEdgeName, DisableNodesField, Edge, EmptyFields, PageInfo,
};
use handfast_domain::digest::Digest;
use handfast_store::cursor::{Key, PageCursor};
use uuid::Uuid;

use super::problem::coded;
use crate::app::App;

pub const DEFAULT: i32 = 50;
pub const MAX: i32 = 200;

/// `edges { cursor node }` and `pageInfo`; there is no `nodes` shortcut, so that look-ahead sees one path only.
pub type Page<T> = Connection<
    String,
    T,
    EmptyFields,
    EmptyFields,
    DefaultConnectionName,
    DefaultEdgeName,
    DisableNodesField,
>;

/// The four arguments of a connection.
#[derive(Clone, Debug, Default)]
pub struct PageArgs {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
}

/// Which rows to read: `limit` is one more than was asked for, to see whether there are more.
#[derive(Clone, Debug)]
pub struct Window {
    pub from: Option<(i64, Uuid)>,
    pub backward: bool,
    pub limit: i64,
    sort: &'static str,
    filter: Digest,
}

impl PageArgs {
    /// Checks the arguments. The cursor must come from the same list: same sort, same filter.
    pub fn window(self, app: &App, sort: &'static str, filter: Digest) -> async_graphql::Result<Window> {
        if self.last.is_some() && self.first.is_some() {
            return Err(coded("PAGE_SIZE", "give first or last, not both", false));
        }
        let backward = self.last.is_some();
        let size = self.first.or(self.last).unwrap_or(DEFAULT);
        if !(1..=MAX).contains(&size) {
            let name = if backward { "last" } else { "first" };
            return Err(coded("PAGE_SIZE", format!("{name} must be 1 to {MAX}, found {size}"), false));
        }
        let text = if backward { self.before } else { self.after };
        let from = text.map(|text| read(app, &text, sort, filter)).transpose()?;
        Ok(Window { from, backward, limit: i64::from(size) + 1, sort, filter })
    }
}

fn read(app: &App, text: &str, sort: &'static str, filter: Digest) -> async_graphql::Result<(i64, Uuid)> {
    let keys = app.store.cursors().read_page(text, sort, filter, 2);
    let wrong =
        || coded("CURSOR_INVALID", "the cursor is not one of this list; start from its first page", false);
    match keys.map_err(|_| wrong())?.as_slice() {
        [Key::Int(at), Key::Id(id)] => Ok((*at, *id)),
        _ => Err(wrong()),
    }
}

impl Window {
    /// Wraps the rows that were read; `key` gives the place of a row in the order.
    pub fn page<R, T: OutputType>(
        &self,
        app: &App,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> (i64, Uuid),
        wrap: impl FnMut(R) -> T,
    ) -> Page<T> {
        let size = usize::try_from(self.limit - 1).unwrap_or(0);
        let more = rows.len() > size;
        if more && self.backward {
            rows.drain(..rows.len() - size);
        } else {
            rows.truncate(size);
        }
        let (next, previous) =
            if self.backward { (self.from.is_some(), more) } else { (more, self.from.is_some()) };
        let mut page = Page::new(previous, next);
        let mut wrap = wrap;
        for row in rows {
            let (at, id) = key(&row);
            let cursor = app.store.cursors().page(&PageCursor {
                sort: self.sort.to_owned(),
                filter: self.filter,
                keys: vec![Key::Int(at), Key::Id(id)],
            });
            page.edges.push(Edge::new(cursor, wrap(row)));
        }
        page
    }
}

/// `PageInfo` of the library, named here so that the schema has one.
pub type Info = PageInfo;
