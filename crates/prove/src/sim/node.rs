//! A node: its turn at the lease and the sequencer, its window of the feed, and the subscribers that hang on it. Each step is
//! one statement or one decision; between two of them the others do theirs, and it may be paused or die.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use handfast_domain::time::Instant;
use handfast_store::feed::{EventFilter, FeedHead, NewEvent, hashed, number};
use handfast_store::lease::{self, Held};
use handfast_store::tail::{Told, Window};

use super::writer::{Stage, Work, lead_id};
use super::{Design, TERM, World};
use crate::checker::{Change, Seen};

/// Small, so that a short run meets the ends of batches, pages and windows.
const BATCH: usize = 5;
const PAGE: usize = 4;
const WINDOW_PAGE: usize = 6;
const FAR: i64 = 15;
/// More than those who are not far behind may need, as in the store: else they would never get a page.
const KEPT: usize = 24;

pub struct Node {
    pub lives: bool,
    pub paused_until: i64,
    /// The newest position that it knows of.
    pub head: i64,
    holder: String,
    /// The fence, and when it was confirmed by the node's own clock, which does not jump.
    held: Option<(i64, i64)>,
    step: Step,
    window: Window,
    /// The subscriber that reads on for all.
    filling: Option<usize>,
    /// How far its wall clock is from the true time.
    pub skew: i64,
    /// A job that it works at, with its fence.
    job: Option<(usize, i64)>,
}

/// Where the sequencer is.
enum Step {
    Rests,
    Asked {
        row: Option<Held>,
        now: i64,
        asked: i64,
    },
    Looks {
        fence: i64,
    },
    /// The fence was right when its statement began; it waits for the row of the head.
    Waits {
        fence: i64,
    },
    Locked,
    Read {
        head: FeedHead,
        batch: Vec<(i64, NewEvent)>,
    },
}

pub struct Subscriber {
    pub node: usize,
    pub seen: Vec<Seen>,
    pub state: State,
    cursor: Option<String>,
}

pub enum State {
    Off,
    Follows { position: i64, page: VecDeque<Arc<Told>> },
    Fills { position: i64, after: i64, head: i64 },
}

impl Node {
    pub fn new(number: usize, life: u64, head: i64) -> Node {
        Node {
            lives: true,
            paused_until: 0,
            head,
            holder: format!("node {number}, life {life}"),
            held: None,
            step: Step::Rests,
            window: Window::new(KEPT),
            filling: None,
            skew: 0,
            job: None,
        }
    }
}

impl Subscriber {
    pub fn new() -> Subscriber {
        Subscriber { node: 0, seen: Vec::new(), state: State::Off, cursor: None }
    }

    /// Where it is, once it has taken everything.
    pub fn stands(&self) -> Option<i64> {
        match &self.state {
            State::Follows { position, page } if page.is_empty() => Some(*position),
            _ => None,
        }
    }
}

impl World {
    /// One step of a node's sequencer.
    pub(super) fn sequencer(&mut self, me: usize) {
        let node = &mut self.nodes[me];
        let db_now = self.now + self.db.skew;
        let lost_notice = self.chaos && self.dice.percent(30);
        match std::mem::replace(&mut node.step, Step::Rests) {
            Step::Rests => {
                let trusted = |confirmed: i64| {
                    let since = Duration::from_millis((self.now - confirmed).unsigned_abs());
                    lease::trusted(since, Duration::from_millis(TERM.unsigned_abs()))
                };
                node.step = match node.held {
                    Some((fence, confirmed)) if trusted(confirmed) => Step::Looks { fence },
                    _ => Step::Asked { row: self.db.lease.clone(), now: db_now, asked: self.now },
                };
            }
            Step::Asked { row, now, asked } => {
                let next = lease::decide(row.as_ref(), &node.holder, now, TERM);
                // Only if the row is as it was read.
                match next.filter(|_| self.db.lease == row) {
                    Some(next) => {
                        node.held = Some((next.fence, asked));
                        node.step = Step::Looks { fence: next.fence };
                        self.db.lease = Some(next);
                    }
                    None => {
                        node.held = None;
                        node.head = node.head.max(self.db.head());
                    }
                }
            }
            Step::Looks { fence } => {
                if self.db.unnumbered.is_empty() {
                    node.head = node.head.max(self.db.head());
                } else if self.db.lease.as_ref().is_some_and(|lease| lease.fence == fence) {
                    node.step = Step::Waits { fence };
                } else {
                    node.held = None;
                }
            }
            Step::Waits { fence } => match self.db.head_locked {
                None => {
                    self.db.head_locked = Some(me);
                    node.step = Step::Locked;
                }
                Some(_) => node.step = Step::Waits { fence },
            },
            Step::Locked => {
                let head = self.db.feed.last().map(|((head, ..), _)| *head).unwrap_or_default();
                let batch = self.db.unnumbered.iter().take(BATCH);
                let batch = batch.map(|(serial, event)| (*serial, event.clone())).collect();
                node.step = Step::Read { head, batch };
            }
            Step::Read { head, batch } => {
                let (head, places) = number(head, batch.iter().map(|(_, event)| hashed(event)));
                for (place, (serial, event)) in places.into_iter().zip(batch) {
                    self.db.feed.push((place, event));
                    self.db.unnumbered.remove(&serial);
                }
                self.db.head_locked = None;
                node.head = node.head.max(head.position);
                if !lost_notice {
                    for other in self.nodes.iter_mut().filter(|other| other.lives) {
                        other.head = other.head.max(head.position);
                    }
                }
            }
        }
    }

    /// The server ends a transaction that was idle for too long: its locks are gone, its work is undone.
    pub(super) fn end_idle(&mut self, me: usize) {
        if self.db.head_locked == Some(me) {
            self.db.head_locked = None;
            self.nodes[me].step = Step::Rests;
        }
    }

    pub(super) fn kill(&mut self, me: usize) {
        self.nodes[me].lives = false;
        self.nodes[me].job = None;
        self.end_idle(me);
        for number in self.open.clone() {
            if self.transactions[number].node == me {
                self.end(number, Stage::Undone);
            }
        }
        for subscriber in self.subscribers.iter_mut().filter(|subscriber| subscriber.node == me) {
            subscriber.state = State::Off;
        }
    }

    /// Claims a job that is due, or completes the one that it has; and looks for clocks that are due.
    pub(super) fn worker(&mut self, me: usize) {
        let wall = self.now + self.nodes[me].skew;
        match self.nodes[me].job.take() {
            Some((lead, fence)) => {
                self.begin(me, lead, Work::Complete { fence });
            }
            None => {
                let jobs = self.db.leads.iter_mut().enumerate();
                let (now, database) = (Instant(wall), Instant(self.now + self.db.skew));
                let mut claims =
                    jobs.filter_map(|(at, lead)| Some((at, lead.job.as_mut()?.claim(now, database, TERM)?)));
                self.nodes[me].job = claims.next();
            }
        }
        // Clocks are the leader's, and it may be one no more by the time that it commits.
        if self.nodes[me].held.is_some() {
            let leads = self.db.leads.iter().enumerate();
            let mut due = leads.filter(|(_, lead)| lead.due.is_some_and(|due| due <= wall));
            if let Some((lead, version)) = due.next().map(|(at, lead)| (at, lead.version)) {
                self.begin(me, lead, Work::Tick { version });
            }
        }
    }

    /// One step of a subscriber.
    pub(super) fn subscriber(&mut self, number: usize) {
        if self.chaos && self.dice.percent(4) {
            return self.cut(number);
        }
        match self.design {
            Design::Feed | Design::NoFence => self.follow(number),
            Design::Serial | Design::Xmin => self.follow_wrongly(number),
        }
    }

    fn cut(&mut self, number: usize) {
        let subscriber = &mut self.subscribers[number];
        let filling = &mut self.nodes[subscriber.node].filling;
        filling.take_if(|filling| *filling == number);
        subscriber.state = State::Off;
    }

    fn subscribe(&mut self, number: usize) {
        let Some(chosen) = self.any_node() else { return };
        let subscriber = &mut self.subscribers[number];
        let head = match self.design {
            Design::Feed | Design::NoFence => self.nodes[chosen].head,
            Design::Serial | Design::Xmin => i64::MAX,
        };
        let position = match &subscriber.cursor {
            // One that is ahead of what this node knows is asked for again.
            Some(cursor) => match self.cursors.read_feed(cursor, head) {
                Ok(position) => position,
                Err(_) => return,
            },
            None => 0,
        };
        subscriber.node = chosen;
        subscriber.seen.push(Seen::Resumed { after: position });
        subscriber.state = State::Follows { position, page: VecDeque::new() };
    }

    /// As `follow` of the server and `Tail::events_after` of the store do it.
    fn follow(&mut self, number: usize) {
        let filter = EventFilter { kinds: vec!["STAGE_CHANGED".to_owned()], ..EventFilter::default() };
        let subscriber = &mut self.subscribers[number];
        let node = &mut self.nodes[subscriber.node];
        let reads = match &mut subscriber.state {
            State::Off => return self.subscribe(number),
            State::Follows { page, .. } if !page.is_empty() => page.pop_front(),
            State::Follows { position, page } => {
                if *position >= node.head {
                    return;
                }
                let found = match node.head - *position > FAR {
                    true => Some(self.db.events_after(*position, node.head, PAGE, &filter)),
                    false => node.window.page(*position, node.head, PAGE, &filter),
                };
                match found {
                    Some(found) => {
                        *position = found.next;
                        page.extend(found.events);
                    }
                    None if node.filling.is_none() => {
                        let (position, head) = (*position, node.head);
                        if let Some(after) = node.window.next(position, head) {
                            node.filling = Some(number);
                            subscriber.state = State::Fills { position, after, head };
                        }
                    }
                    None => {}
                }
                return;
            }
            State::Fills { position, after, head } => {
                let page = self.db.events_after(*after, *head, WINDOW_PAGE, &EventFilter::default());
                node.window.append(*after, page);
                node.filling = None;
                subscriber.state = State::Follows { position: *position, page: VecDeque::new() };
                return;
            }
        };
        if let Some(told) = reads {
            let cursor = told.cursor(&self.cursors).to_string();
            self.deliver(number, told.position, cursor, told.event.id.as_u128());
        }
    }

    /// The two popular ways: a cursor on serial numbers, and one on transaction ids below the oldest that runs.
    fn follow_wrongly(&mut self, number: usize) {
        let subscriber = &mut self.subscribers[number];
        let after = match &mut subscriber.state {
            State::Follows { position, .. } => position,
            _ => return self.subscribe(number),
        };
        let xmin = self.db.xmin();
        let design = self.design;
        let visible = self.db.events.iter().filter(|written| design != Design::Xmin || written.xid < xmin);
        let placed = visible.map(|written| (design.place(written), written));
        let next = placed.filter(|(place, _)| place > after).min_by_key(|(place, _)| *place);
        let Some((place, written)) = next else { return };
        *after = place;
        if written.stage_version.is_some() {
            let (id, cursor) = (written.event.id.as_u128(), self.cursors.feed(place));
            self.deliver(number, place, cursor, id);
        }
    }

    fn deliver(&mut self, number: usize, position: i64, cursor: String, id: u128) {
        let Some(written) = self.db.events.iter().rev().find(|written| written.event.id.as_u128() == id)
        else {
            return;
        };
        let subscriber = &mut self.subscribers[number];
        subscriber.seen.push(Seen::Change(Change {
            position,
            id: written.event.id,
            lead: lead_id(written.lead),
            version: written.event.version,
            stage_version: written.stage_version.unwrap_or(0),
        }));
        // Whoever dies before it has kept its cursor sees some events again.
        if !self.dice.percent(10) {
            subscriber.cursor = Some(cursor);
        }
    }
}
