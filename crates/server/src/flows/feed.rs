//! Where somebody reads on in the log, and what of it: one answer for queries, subscriptions and exports.

use handfast_domain::filter::EventFilter;
use handfast_domain::refused::Refused;
use handfast_store::cursor::CursorError;

use super::{Error, Viewer, consumer};
use crate::app::App;

/// What a reader says.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// A cursor of the feed.
    pub after: Option<String>,
    /// Key of a consumer, whose place and filter count.
    pub consumer: Option<String>,
    pub filter: EventFilter,
    /// Where a lost connection was: counts more than anything else, since clients repeat the rest unchanged.
    pub resumed: Option<String>,
}

/// Where a reader begins that names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedEdge {
    Beginning,
    Now,
}

impl FeedEdge {
    pub fn position(self, app: &App) -> i64 {
        match self {
            FeedEdge::Beginning => 0,
            FeedEdge::Now => *app.store.head().borrow(),
        }
    }
}

/// What is read: the events after a position that pass a filter.
#[derive(Clone, Debug)]
pub struct Reading {
    pub after: i64,
    pub filter: EventFilter,
}

/// Finds out where to begin. A consumer has its place and its filter, and what somebody else says of either would make its
/// acknowledgements pass over events that it never saw.
pub async fn reading(
    app: &App,
    viewer: &Viewer,
    asked: Asked,
    otherwise: FeedEdge,
) -> Result<Reading, Error> {
    let Asked { after, consumer, filter, resumed } = asked;
    let (after, filter) = match consumer {
        Some(_) if after.is_some() => {
            let message = "give after or consumer: a consumer goes on after what it acknowledged";
            return Err(Refused::invalid("after", message).into());
        }
        Some(_) if !filter.is_empty() => {
            let message = "give filter or consumer: a consumer has the filter that it was registered with";
            return Err(Refused::invalid("filter", message).into());
        }
        Some(key) => {
            let found = consumer::find(app, viewer, &key).await?;
            let found = found.ok_or_else(|| Refused::not_found("consumer").at("consumer"))?;
            (Some(found.position), found.filter)
        }
        None => {
            let filter = filter.checked().map_err(|refused| refused.at("filter"))?;
            let after = match after {
                Some(cursor) if resumed.is_none() => Some(place(app, &cursor).await?),
                _ => None,
            };
            (after, filter)
        }
    };
    let after = match resumed {
        Some(cursor) => Some(place(app, &cursor).await?),
        None => after,
    };
    Ok(Reading { after: after.unwrap_or_else(|| otherwise.position(app)), filter })
}

/// The position of a cursor. One that another node gave out may lie ahead of what this one has heard of.
pub async fn place(app: &App, cursor: &str) -> Result<i64, Error> {
    let read = || app.store.cursors().read_feed(cursor, *app.store.head().borrow());
    let found = match read() {
        Err(CursorError::Ahead { .. }) => {
            app.store.settle().await?;
            read()
        }
        found => found,
    };
    Ok(found.map_err(Refused::from)?)
}
