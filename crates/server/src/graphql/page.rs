//! Connections by keyset: arguments, limits and cursors in one place.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::connection::PageInfo;
use async_graphql::{ContainerType, Object, TypeName};
use handfast_domain::digest::Digest;
use handfast_store::cursor::{Key, PageCursor};
use uuid::Uuid;

use super::inline::Inline;
use super::problem::coded;
use crate::app::App;

pub const DEFAULT: i32 = 50;
pub const MAX: i32 = 200;

/// `edges { cursor node }` and `pageInfo`; there is no `nodes` shortcut, so that look-ahead sees one path only.
pub struct Page<T> {
    edges: Vec<Inline<Edge<T>>>,
    has_previous: bool,
    has_next: bool,
}

/// One row of a page.
pub struct Edge<T> {
    list: Arc<List>,
    /// Its place in the order.
    place: (i64, Uuid),
    node: Inline<T>,
}

/// What the cursors of a page have in common.
struct List {
    app: App,
    sort: &'static str,
    filter: Digest,
}

impl<T> Edge<T> {
    /// Made when it is asked for: a cursor is signed, and most pages need one of them.
    fn cursor(&self) -> String {
        let List { app, sort, filter } = &*self.list;
        let (at, id) = self.place;
        let keys = vec![Key::Int(at), Key::Id(id)];
        app.store.cursors().page(&PageCursor { sort: (*sort).to_owned(), filter: *filter, keys })
    }
}

impl<T: ContainerType> TypeName for Page<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", T::type_name()).into()
    }
}

impl<T: ContainerType> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::type_name()).into()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<T: ContainerType> Page<T> {
    /// The rows of the page, in order.
    async fn edges(&self) -> &[Inline<Edge<T>>] {
        &self.edges
    }

    /// Where the page lies in its list.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(|Inline(edge)| edge.cursor()),
            end_cursor: self.edges.last().map(|Inline(edge)| edge.cursor()),
        }
    }
}

/// One row of a page.
#[Object(name_type)]
impl<T: ContainerType> Edge<T> {
    /// Give it as `after` or `before` to go on from this row.
    #[graphql(name = "cursor")]
    async fn own_cursor(&self) -> String {
        self.cursor()
    }

    /// The row itself.
    async fn node(&self) -> &Inline<T> {
        &self.node
    }
}

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
    pub fn page<R, T>(
        &self,
        app: &App,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> (i64, Uuid),
        mut wrap: impl FnMut(R) -> T,
    ) -> Page<T> {
        let size = usize::try_from(self.limit - 1).unwrap_or(0);
        let more = rows.len() > size;
        if more && self.backward {
            rows.drain(..rows.len() - size);
        } else {
            rows.truncate(size);
        }
        let (has_next, has_previous) =
            if self.backward { (self.from.is_some(), more) } else { (more, self.from.is_some()) };
        let list = Arc::new(List { app: app.clone(), sort: self.sort, filter: self.filter });
        let edge = |row: R| {
            let place = key(&row);
            Inline(Edge { list: list.clone(), place, node: Inline(wrap(row)) })
        };
        Page { edges: rows.into_iter().map(edge).collect(), has_previous, has_next }
    }
}
