//! What a database does, as far as the log leans on it: rows that are locked until the end of a transaction, serial numbers
//! that are drawn and not given back, transaction ids, and what is visible to whom.

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::job::Job;
use handfast_store::feed::{EventFilter, EventPage, EventRow, NewEvent, Place};
use handfast_store::lease::Held;
use handfast_store::tail::Told;

use crate::checker::{Answer, Effect};

/// A transaction, by its number.
pub type Tx = usize;

#[derive(Default)]
pub struct Database {
    pub leads: Vec<Lead>,
    /// Committed events, as a design without a sequencer would read them.
    pub events: Vec<Written>,
    /// Committed, and without a position yet.
    pub unnumbered: BTreeMap<i64, NewEvent>,
    pub feed: Vec<(Place, NewEvent)>,
    /// The node that holds the row of the feed's head.
    pub head_locked: Option<usize>,
    pub lease: Option<Held>,
    /// What was answered to an idempotency key, and who holds the row of one that is not committed.
    pub answers: BTreeMap<String, Answer>,
    pub keys_locked: BTreeMap<String, Tx>,
    /// How far its clock is from the true time, in ms.
    pub skew: i64,
    serial: i64,
    xid: u64,
    running: BTreeSet<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Lead {
    pub version: i64,
    pub stage_version: i64,
    pub locked: Option<Tx>,
    /// Until it is done.
    pub job: Option<Job>,
    /// When its clock comes due, until it fired.
    pub due: Option<i64>,
}

/// An event with what the checker wants to know.
#[derive(Clone, Debug)]
pub struct Written {
    pub serial: i64,
    pub xid: u64,
    pub lead: usize,
    pub stage_version: Option<i64>,
    pub effect: Option<Effect>,
    pub event: NewEvent,
}

impl Database {
    pub fn draw_serial(&mut self) -> i64 {
        self.serial += 1;
        self.serial
    }

    pub fn draw_xid(&mut self) -> u64 {
        self.xid += 1;
        self.running.insert(self.xid);
        self.xid
    }

    pub fn xid_ended(&mut self, xid: u64) {
        self.running.remove(&xid);
    }

    /// Everything below it is committed or undone.
    pub fn xmin(&self) -> u64 {
        self.running.first().copied().unwrap_or(self.xid + 1)
    }

    pub fn release(&mut self, tx: Tx) {
        self.keys_locked.retain(|_, holder| *holder != tx);
        for lead in self.leads.iter_mut().filter(|lead| lead.locked == Some(tx)) {
            lead.locked = None;
        }
    }

    pub fn head(&self) -> i64 {
        self.feed.last().map_or(0, |((head, ..), _)| head.position)
    }

    /// As the statement of `feed::events_after` answers.
    pub fn events_after(&self, position: i64, head: i64, limit: usize, filter: &EventFilter) -> EventPage {
        let rows = self.feed.iter().map(|((place, ..), event)| (place.position, event));
        let rows = rows.skip_while(|(at, _)| *at <= position).take_while(|(at, _)| *at <= head);
        let rows = rows.map(|(position, event)| EventRow { position, event: event.clone() });
        let events: Vec<_> = rows.map(Told::new).filter(|told| told.passes(filter)).take(limit).collect();
        let next = match events.last() {
            Some(last) if events.len() == limit => last.position,
            _ => head.max(position),
        };
        EventPage { events, next, head }
    }
}
