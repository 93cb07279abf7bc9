//! A deterministic simulation of what makes the log: transactions that commit out of order, the lease, the sequencer, jobs,
//! clocks and subscriptions. One thread; a seed decides who takes the next step, who is paused, killed or cut off, and where
//! clocks jump to.
//!
//! Lease, numbering, window, cursors and jobs are the product's own functions. Around them stands a model of the database, and the
//! designs that the store does not use, so that it is seen that the checker would find their faults.

mod database;
mod node;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use handfast_domain::job::Job;
use handfast_domain::time::Instant;
use handfast_store::cursor::Cursors;
use handfast_store::feed::{FeedHead, hashed, number};
use uuid::Uuid;

use crate::checker::{Asked, Effect, History, Row, Seen};
use crate::dice::Dice;
use database::{Database, Lead, Written};
use node::{Node, Subscriber};
use writer::{Client, Transaction, lead_id};

/// Of a lease and of a claimed job, in ms.
const TERM: i64 = 300;

/// How subscribers find what was committed, and how jobs are completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// Ours: positions are given after the commit.
    Feed,
    /// A cursor on a number that is drawn inside the writing transaction.
    Serial,
    /// A cursor on transaction ids, below the oldest transaction that runs.
    Xmin,
    /// Ours, but a job is completed by whoever claimed it once.
    NoFence,
}

impl Design {
    fn place(self, written: &Written) -> i64 {
        match self {
            // The serial number is the second key.
            Design::Xmin => (written.xid as i64) << 32 | written.serial,
            _ => written.serial,
        }
    }
}

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub nodes: usize,
    pub clients: usize,
    pub changes: usize,
    pub subscribers: usize,
}

/// How a run ended.
pub struct Run {
    pub history: History,
    pub steps: usize,
    /// Nothing was left to do; else it hangs somewhere, which is a fault of its own.
    pub settled: bool,
}

pub struct World {
    design: Design,
    dice: Dice,
    /// The true time in ms.
    now: i64,
    chaos: bool,
    ids: u128,
    lives: u64,
    db: Database,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    transactions: Vec<Transaction>,
    /// Those that have not ended.
    open: BTreeSet<usize>,
    /// How many timers each lead has from the beginning.
    wanted: Vec<usize>,
    subscribers: Vec<Subscriber>,
    cursors: Cursors,
}

/// Runs one seed to its end.
pub fn run(seed: u64, design: Design, scale: Scale) -> Run {
    let mut world = World::new(seed, design, scale);
    let mut steps = 0;
    // Trouble first; then everything is well again, and must come to rest.
    while steps < 40 * scale.clients * scale.changes {
        world.step();
        steps += 1;
    }
    world.heal();
    let limit = steps * 20;
    while !world.settled() && steps < limit {
        world.step();
        steps += 1;
    }
    Run { settled: world.settled(), history: world.history(), steps }
}

impl World {
    fn new(seed: u64, design: Design, scale: Scale) -> World {
        let mut dice = Dice::new(seed);
        let mut db = Database::default();
        let mut wanted = Vec::new();
        for _ in 0..scale.clients {
            let job = dice.percent(70).then(|| Job::new(Instant(dice.between(0, 3_000) as i64)));
            let due = dice.percent(70).then(|| dice.between(0, 3_000) as i64);
            let lead = Lead { job, due, ..Lead::default() };
            wanted.push(usize::from(lead.job.is_some()) + usize::from(lead.due.is_some()));
            db.leads.push(lead);
        }
        let client = |lead| Client { lead, waits_for: None, left: scale.changes, asked: Vec::new() };
        World {
            design,
            dice,
            now: 0,
            chaos: true,
            ids: 0,
            lives: 0,
            db,
            nodes: (0..scale.nodes).map(|number| Node::new(number, 0, 0)).collect(),
            clients: (0..scale.clients).map(client).collect(),
            transactions: Vec::new(),
            open: BTreeSet::new(),
            wanted,
            subscribers: (0..scale.subscribers).map(|_| Subscriber::new()).collect(),
            cursors: Cursors::new([7; 32], *b"simulate"),
        }
    }

    /// Somebody does something.
    fn step(&mut self) {
        self.now += self.dice.between(0, 10) as i64;
        if self.chaos && self.dice.percent(2) {
            self.trouble();
        }
        match self.dice.below(10) {
            0 | 1 => {
                let client = self.dice.below(self.clients.len());
                self.client(client);
            }
            2..=4 => {
                let running = |tx: &&usize| self.runs(self.transactions[**tx].node);
                let open: Vec<usize> = self.open.iter().filter(running).copied().collect();
                if !open.is_empty() {
                    let chosen = open[self.dice.below(open.len())];
                    self.transaction(chosen);
                }
            }
            5 | 6 => {
                let node = self.dice.below(self.nodes.len());
                if self.runs(node) {
                    self.sequencer(node);
                }
            }
            7 => {
                let node = self.dice.below(self.nodes.len());
                if self.runs(node) {
                    self.worker(node);
                }
            }
            _ => {
                let subscriber = self.dice.below(self.subscribers.len());
                if self.runs(self.subscribers[subscriber].node) {
                    self.subscriber(subscriber);
                }
            }
        }
    }

    fn runs(&self, node: usize) -> bool {
        self.nodes[node].lives && self.nodes[node].paused_until <= self.now
    }

    fn any_node(&mut self) -> Option<usize> {
        let node = self.dice.below(self.nodes.len());
        self.nodes[node].lives.then_some(node)
    }

    /// A kill, a start, a pause, a clock that jumps, a transaction that the server ends.
    fn trouble(&mut self) {
        let node = self.dice.below(self.nodes.len());
        match self.dice.below(6) {
            0 | 1 if self.nodes[node].lives => self.kill(node),
            0 | 1 => self.start(node),
            2 => self.nodes[node].paused_until = self.now + self.dice.between(0, 4 * TERM as u64) as i64,
            3 => self.end_idle(node),
            4 => self.nodes[node].skew = self.dice.between(0, 6_000) as i64 - 3_000,
            _ => self.db.skew = self.dice.between(0, 600) as i64 - 300,
        }
    }

    fn start(&mut self, node: usize) {
        self.lives += 1;
        self.nodes[node] = Node::new(node, self.lives, self.db.head());
    }

    fn heal(&mut self) {
        self.chaos = false;
        self.db.skew = 0;
        for node in 0..self.nodes.len() {
            if !self.nodes[node].lives {
                self.start(node);
            }
            (self.nodes[node].paused_until, self.nodes[node].skew) = (0, 0);
        }
    }

    fn settled(&self) -> bool {
        let numbered = match self.design {
            Design::Feed | Design::NoFence => self.db.unnumbered.is_empty(),
            Design::Serial | Design::Xmin => true,
        };
        let newest = match self.design {
            Design::Feed | Design::NoFence => self.db.head(),
            Design::Serial | Design::Xmin => {
                self.db.events.iter().map(|written| self.design.place(written)).max().unwrap_or(0)
            }
        };
        self.clients.iter().all(|client| client.left == 0)
            && self.open.is_empty()
            && self.db.leads.iter().all(|lead| lead.job.is_none() && lead.due.is_none())
            && numbered
            && self.subscribers.iter().all(|subscriber| subscriber.stands() == Some(newest))
    }

    fn history(mut self) -> History {
        let mut asked: Vec<Asked> = Vec::new();
        for client in &mut self.clients {
            asked.append(&mut client.asked);
        }
        let timers = self.timers();
        asked.extend(timers);
        let table = (0..).zip(&self.db.leads).filter(|(_, lead)| lead.version > 0);
        let table = table.map(|(number, lead)| (lead_id(number), lead.version)).collect();
        let (feed, places) = self.log();
        let chain = self.chain();
        let seen = self.subscribers.into_iter().map(|subscriber| renumbered(subscriber.seen, &places));
        History { asked, subscribers: seen.collect(), feed, table, chain }
    }

    /// What a job or a clock did stands in the log, and nobody is told: each was wanted once.
    fn timers(&self) -> Vec<Asked> {
        let mut timers = Vec::new();
        for (number, lead) in self.db.leads.iter().enumerate() {
            let wanted = self.wanted[number];
            let fired = self
                .db
                .events
                .iter()
                .filter(|written| written.lead == number && written.effect == Some(Effect::Fired));
            let fired: Vec<i64> = fired.map(|written| written.event.version).collect();
            let open = usize::from(lead.job.is_some()) + usize::from(lead.due.is_some());
            for at in 0..wanted - open.min(wanted) {
                let version = fired.get(at).copied().unwrap_or(i64::MAX);
                let answer = crate::checker::Answer { lead: lead_id(number), version };
                let key = format!("timer {number}-{at}");
                timers.push(Asked { key, effect: Effect::Fired, answers: vec![answer] });
            }
        }
        timers
    }

    /// The log as it is read in the end, and which place became which position.
    fn log(&self) -> (Vec<Row>, BTreeMap<i64, i64>) {
        let by_id: BTreeMap<Uuid, &Written> =
            self.db.events.iter().map(|written| (written.event.id, written)).collect();
        let mut order: Vec<(i64, &Written)> = match self.design {
            Design::Feed | Design::NoFence => {
                let feed = self.db.feed.iter();
                feed.map(|((head, ..), event)| (head.position, by_id[&event.id])).collect()
            }
            Design::Serial | Design::Xmin => {
                by_id.values().map(|written| (self.design.place(written), *written)).collect()
            }
        };
        order.sort_by_key(|(place, _)| *place);
        let dense = matches!(self.design, Design::Feed | Design::NoFence);
        let mut places = BTreeMap::new();
        let rows = (1..).zip(order).map(|(rank, (place, written))| {
            let position = if dense { place } else { rank };
            places.insert(place, position);
            Row {
                position,
                id: written.event.id,
                lead: Some(lead_id(written.lead)),
                version: written.event.version,
                ordinal: written.event.ordinal,
                stage_version: written.stage_version,
                effect: written.effect,
            }
        });
        (rows.collect(), places)
    }

    /// The places again, from the beginning: the chain stands for the whole log.
    fn chain(&self) -> Option<String> {
        let (_, again) = number(FeedHead::default(), self.db.feed.iter().map(|(_, event)| hashed(event)));
        let kept = self.db.feed.iter().map(|(place, _)| place);
        let broken = again.iter().zip(kept).position(|(again, kept)| again != kept);
        broken.map(|at| format!("position {}", at + 1))
    }
}

/// What a subscriber saw, by positions of the log.
fn renumbered(mut seen: Vec<Seen>, places: &BTreeMap<i64, i64>) -> Vec<Seen> {
    for seen in &mut seen {
        let position = match seen {
            Seen::Resumed { after } => after,
            Seen::Change(change) => &mut change.position,
        };
        *position = places.get(position).copied().unwrap_or(*position);
    }
    seen
}
