//! A span of time that a report looks back on, and its decisions up to a bound.

use handfast_domain::refused::Refused;
use handfast_domain::time::{DAY, Instant};
use handfast_store::judged::{Vote, votes};
use uuid::Uuid;

use super::Error;
use crate::app::App;

/// From `from` up to but without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Instant,
    pub to: Instant,
}

/// Decisions that one report looks at.
pub const MOST: usize = 100_000;
/// Decisions that are read at once.
const PAGE: i64 = 1_000;
/// Days of a window whose beginning nobody named.
const USUAL: i64 = 30;

impl Window {
    /// The last 30 days, unless the caller says otherwise.
    pub fn new(app: &App, from: Option<Instant>, to: Option<Instant>) -> Result<Window, Refused> {
        let to = to.unwrap_or_else(|| app.now().plus(1));
        let from = from.unwrap_or_else(|| to.plus(-USUAL * DAY));
        if from >= to {
            return Err(Refused::invalid(
                "from",
                format!("the window is empty: it begins at {from} and ends at {to}"),
            ));
        }
        Ok(Window { from, to })
    }

    /// The decisions of the slots, the newest first.
    pub fn pages(self, slots: Vec<String>) -> Pages {
        Pages { window: self, slots, read: 0, before: None, done: false }
    }
}

/// Decisions page by page.
pub struct Pages {
    window: Window,
    slots: Vec<String>,
    read: usize,
    before: Option<(Instant, Uuid)>,
    done: bool,
}

impl Pages {
    /// None after the last one, and after [`MOST`] decisions.
    pub async fn next(&mut self, app: &App) -> Result<Option<Vec<Vote>>, Error> {
        let Window { from, to } = self.window;
        if self.done || self.read >= MOST {
            return Ok(None);
        }
        let page = votes(app.store.read(), &self.slots, (from, to), self.before, PAGE).await?;
        self.read += page.len();
        self.before = page.last().map(|last| (last.at, last.id)).or(self.before);
        self.done = page.is_empty();
        Ok(Some(page).filter(|page| !page.is_empty()))
    }

    /// Whether all decisions of the window were handed over.
    pub fn is_whole(&self) -> bool {
        self.done
    }
}
