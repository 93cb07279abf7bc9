//! The newest part of the feed, kept in memory while somebody follows it: a change is read once for all subscribers of this
//! process, not once for each.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use handfast_domain::event::Body;
use sea_orm::ConnectionTrait;

use crate::cursor::Cursors;
use crate::error::{Result, StoreError};
use crate::feed::{self, EventFilter, EventPage, EventRow};

/// Positions that are kept.
const KEPT: usize = 2_048;
/// Positions that one statement reads.
const PAGE: usize = 500;
/// Else a reader who is not far behind might find what it needs dropped again, for ever.
const _: () = assert!(KEPT >= 2 * PAGE);

/// An event with what many readers make of it, made once.
#[derive(Debug)]
pub struct Told {
    row: EventRow,
    body: OnceLock<Body>,
    cursor: OnceLock<Arc<str>>,
}

impl Deref for Told {
    type Target = EventRow;

    fn deref(&self) -> &EventRow {
        &self.row
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Told) -> bool {
        self.row == other.row
    }
}

impl Told {
    pub fn new(row: EventRow) -> Arc<Told> {
        Arc::new(Told { row, body: OnceLock::new(), cursor: OnceLock::new() })
    }

    /// The payload's meaning.
    pub fn body(&self) -> Result<&Body> {
        if let Some(body) = self.body.get() {
            return Ok(body);
        }
        let event = &self.row.event;
        let body = serde_json::from_str(&event.payload);
        let body = body.map_err(|why| StoreError::corrupt("event", "payload", event.id, why))?;
        Ok(self.body.get_or_init(|| body))
    }

    /// Whether a filter lets it pass: the same as the conditions of a statement.
    pub fn passes(&self, filter: &EventFilter) -> bool {
        let event = &self.row.event;
        filter.passes((&event.kind, &event.stream_kind, event.stream_id), || self.body().ok())
    }

    /// Where to go on from after this event.
    pub fn cursor(&self, cursors: &Cursors) -> &Arc<str> {
        self.cursor.get_or_init(|| cursors.feed(self.row.position).into())
    }
}

#[derive(Default)]
pub(crate) struct Tail {
    window: Mutex<Window>,
    /// Who reads on for all; the others wait for what it finds.
    filling: tokio::sync::Mutex<()>,
    /// Whose turn it is of those who are far behind: together they would take every connection of the database.
    behind: tokio::sync::Mutex<()>,
}

/// All events of the positions after `start`, up to `end`: at most so many as it keeps. Readers ask for a [`page`]; one of
/// them, at a time, learns by [`next`] from where to read on, and [`append`]s what it found.
///
/// [`page`]: Window::page
/// [`next`]: Window::next
/// [`append`]: Window::append
pub struct Window {
    start: i64,
    end: i64,
    rows: VecDeque<Arc<Told>>,
    kept: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window::new(KEPT)
    }
}

impl Tail {
    /// What [`feed::events_after`] answers, from memory where that can be.
    pub async fn events_after(
        &self,
        db: &impl ConnectionTrait,
        position: i64,
        head: i64,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<EventPage> {
        // Whoever is far behind reads the log itself.
        if head.saturating_sub(position) > PAGE as i64 {
            let _turn = self.behind.lock().await;
            return feed::events_after(db, position, head, limit, filter).await;
        }
        loop {
            if let Some(page) = self.window().page(position, head, limit, filter) {
                return Ok(page);
            }
            let _turn = self.filling.lock().await;
            let after = self.window().next(position, head);
            let Some(after) = after else { continue };
            let page = feed::events_after(db, after, head, PAGE, &EventFilter::default()).await?;
            self.window().append(after, page);
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // No code runs under this lock that could leave the window half-written.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    pub fn new(kept: usize) -> Window {
        Window { start: 0, end: 0, rows: VecDeque::new(), kept }
    }

    /// The page, if all that it could hold is here.
    pub fn page(&self, position: i64, head: i64, limit: usize, filter: &EventFilter) -> Option<EventPage> {
        if position < self.start || self.end < head {
            return None;
        }
        let first = self.rows.partition_point(|row| row.position <= position);
        let mut events: Vec<Arc<Told>> = Vec::new();
        for row in self.rows.range(first..).take_while(|row| row.position <= head) {
            if !row.passes(filter) {
                continue;
            }
            if events.len() == limit.max(1) {
                let next = events.last().map_or(position, |row| row.position);
                return Some(EventPage { events, next, head });
            }
            events.push(row.clone());
        }
        Some(EventPage { events, next: head.max(position), head })
    }

    /// After which position somebody must read on, so that `position` can be served; none if nobody must any more.
    pub fn next(&mut self, position: i64, head: i64) -> Option<i64> {
        if position >= self.start && self.end >= head {
            return None;
        }
        // Nobody followed for a while, or this one is behind all that is kept: the window begins anew.
        if position < self.start || position > self.end {
            *self = Window { start: position, end: position, ..Window::new(self.kept) };
        }
        Some(self.end)
    }

    pub fn append(&mut self, after: i64, page: EventPage) {
        // Another reader, further behind, began a window of his own meanwhile.
        if after != self.end {
            return;
        }
        self.end = page.next;
        self.rows.extend(page.events);
        while self.rows.len() > self.kept {
            self.start = self.rows.pop_front().map_or(self.start, |row| row.position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(next: i64) -> EventPage {
        EventPage { events: vec![], next, head: next }
    }

    #[test]
    fn a_window_answers_only_what_it_holds_completely() {
        let mut window = Window::default();
        assert_eq!(window.next(100, 110), Some(100));
        window.append(100, page(105));
        assert!(window.page(100, 110, 9, &EventFilter::default()).is_none(), "the end is not here yet");
        assert_eq!(window.next(102, 110), Some(105));
        window.append(105, page(110));
        assert_eq!(window.page(103, 110, 9, &EventFilter::default()).map(|page| page.next), Some(110));
        assert!(window.page(99, 110, 9, &EventFilter::default()).is_none(), "it begins after 100");
        assert_eq!(window.next(99, 110), Some(99));
        window.append(110, page(120));
        assert_eq!(window.end, 99, "what was read for the window before has no place in this one");
    }
}
