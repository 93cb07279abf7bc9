//! Who changes leads: clients that ask again with the same key when their answer is cut off, and the transactions that they
//! started, which go on without them.

use handfast_domain::time::Instant;
use handfast_store::feed::NewEvent;
use uuid::Uuid;

use super::database::Written;
use super::{Design, World};
use crate::checker::{Answer, Asked, Effect};

/// A client with the change that it wants now.
pub struct Client {
    /// The lead that only this client captures, closes and reopens, by turns.
    pub lead: usize,
    pub waits_for: Option<usize>,
    pub left: usize,
    pub asked: Vec<Asked>,
}

/// What a transaction is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A client's change, by its key.
    Change { key: String, effect: Effect },
    /// The end of a job that was claimed with this fence.
    Complete { fence: i64 },
    /// A clock that was due when the lead had this version.
    Tick { version: i64 },
}

/// A transaction on one lead.
pub struct Transaction {
    pub node: usize,
    pub lead: usize,
    pub work: Work,
    pub stage: Stage,
    pub answer: Option<Answer>,
    xid: Option<u64>,
    events: Vec<Written>,
    hangs_until: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    Begun,
    Reserved,
    Locked,
    Written,
    Committed,
    Undone,
}

impl World {
    pub(super) fn begin(&mut self, node: usize, lead: usize, work: Work) -> usize {
        // Whoever writes something else first, or asks for its id, has it early.
        let xid = self.dice.percent(40).then(|| self.db.draw_xid());
        let hangs_until = self.now + if self.dice.percent(5) { 2_000 } else { 0 };
        let events = Vec::new();
        let stage = Stage::Begun;
        let number = self.transactions.len();
        self.transactions.push(Transaction {
            node,
            lead,
            work,
            stage,
            answer: None,
            xid,
            events,
            hangs_until,
        });
        self.open.insert(number);
        number
    }

    /// One statement of a transaction.
    pub(super) fn transaction(&mut self, number: usize) {
        let tx = &mut self.transactions[number];
        if tx.hangs_until > self.now {
            return;
        }
        match tx.stage {
            Stage::Begun => match &tx.work {
                Work::Change { key, .. } => {
                    if let Some(answer) = self.db.answers.get(key) {
                        tx.answer = Some(answer.clone());
                        self.end(number, Stage::Committed);
                    } else if !self.db.keys_locked.contains_key(key) {
                        self.db.keys_locked.insert(key.clone(), number);
                        tx.stage = Stage::Reserved;
                    }
                }
                Work::Complete { .. } | Work::Tick { .. } => tx.stage = Stage::Reserved,
            },
            Stage::Reserved => {
                let lead = &mut self.db.leads[tx.lead];
                if lead.locked.is_some() {
                    return;
                }
                lead.locked = Some(number);
                let holds = match tx.work {
                    Work::Change { .. } => true,
                    Work::Complete { fence } => match self.design {
                        Design::NoFence => true,
                        _ => lead.job.is_some_and(|job| job.completes(fence)),
                    },
                    Work::Tick { version } => lead.version == version,
                };
                match holds {
                    true => tx.stage = Stage::Locked,
                    false => self.end(number, Stage::Undone),
                }
            }
            Stage::Locked => self.write(number),
            Stage::Written => {
                let undone = self.chaos && self.dice.percent(5);
                self.end(number, if undone { Stage::Undone } else { Stage::Committed });
            }
            Stage::Committed | Stage::Undone => {}
        }
    }

    /// Draws the events' numbers under the lead's lock.
    fn write(&mut self, number: usize) {
        let tx = &mut self.transactions[number];
        let lead = &self.db.leads[tx.lead];
        let version = lead.version + 1;
        let effect = match &tx.work {
            Work::Change { effect, .. } => *effect,
            Work::Complete { .. } | Work::Tick { .. } => Effect::Fired,
        };
        let moves = effect != Effect::Closed;
        let stage_version = moves.then_some(lead.stage_version + 1);
        let xid = *tx.xid.get_or_insert_with(|| self.db.draw_xid());
        let count = 1 + i64::from(moves) + self.dice.below(2) as i64;
        for ordinal in 0..count {
            let stage_version = stage_version.filter(|_| ordinal == 1);
            self.ids += 1;
            let event = NewEvent {
                id: Uuid::from_u128(self.ids),
                stream_kind: "LEAD".to_owned(),
                stream_id: lead_id(tx.lead),
                version,
                ordinal,
                kind: if stage_version.is_some() { "STAGE_CHANGED" } else { "OTHER" }.to_owned(),
                schema_version: 1,
                payload: String::new(),
                occurred_at: Instant(self.now),
                recorded_at: Instant(self.now),
            };
            let effect = (ordinal == 0).then_some(effect);
            let serial = self.db.draw_serial();
            tx.events.push(Written { serial, xid, lead: tx.lead, stage_version, effect, event });
        }
        tx.answer = Some(Answer { lead: lead_id(tx.lead), version });
        tx.stage = Stage::Written;
        // A writer that is slow just before its commit is what loses events for a cursor on serial numbers.
        if self.dice.percent(15) {
            tx.hangs_until = self.now + self.dice.between(0, 400) as i64;
        }
    }

    /// The end of a transaction: all of it is visible at once, or nothing.
    pub(super) fn end(&mut self, number: usize, stage: Stage) {
        let tx = &mut self.transactions[number];
        tx.stage = stage;
        self.open.remove(&number);
        if let Some(xid) = tx.xid {
            self.db.xid_ended(xid);
        }
        if stage == Stage::Committed && !tx.events.is_empty() {
            let lead = &mut self.db.leads[tx.lead];
            lead.version += 1;
            if tx.events.iter().any(|written| written.stage_version.is_some()) {
                lead.stage_version += 1;
            }
            match &tx.work {
                Work::Change { key, .. } => {
                    self.db.answers.extend(tx.answer.clone().map(|answer| (key.clone(), answer)));
                }
                Work::Complete { .. } => lead.job = None,
                Work::Tick { .. } => lead.due = None,
            }
            for written in std::mem::take(&mut tx.events) {
                self.db.unnumbered.insert(written.serial, written.event.clone());
                self.db.events.push(written);
            }
        }
        self.db.release(number);
    }

    /// A client takes its answer, gives up waiting for it, or asks for its next change.
    pub(super) fn client(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(tx) = client.waits_for else {
            if client.left > 0 {
                self.ask(number);
            }
            return;
        };
        let (stage, answer) = (self.transactions[tx].stage, self.transactions[tx].answer.clone());
        let cut = self.chaos && self.dice.percent(10);
        let client = &mut self.clients[number];
        match stage {
            // Its answer may be cut off: it does not know whether the change was made.
            Stage::Committed if cut => client.waits_for = None,
            Stage::Committed => {
                client.waits_for = None;
                if let Some(asked) = client.asked.last_mut() {
                    asked.answers.extend(answer);
                }
                // Now and then it asks once more, and must be told the same.
                if self.dice.percent(80) {
                    self.clients[number].left -= 1;
                    self.next_change(number);
                }
            }
            Stage::Undone => client.waits_for = None,
            _ if cut => client.waits_for = None,
            _ => {}
        }
    }

    /// Asks at any node that runs, with the key of the change that it wants.
    fn ask(&mut self, number: usize) {
        let Some(node) = self.any_node() else { return };
        if self.clients[number].asked.is_empty() {
            self.next_change(number);
        }
        let client = &self.clients[number];
        let Some(Asked { key, effect, .. }) = client.asked.last() else { return };
        let (lead, work) = (client.lead, Work::Change { key: key.clone(), effect: *effect });
        let tx = self.begin(node, lead, work);
        self.clients[number].waits_for = Some(tx);
    }

    fn next_change(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if client.left == 0 {
            return;
        }
        let done = client.asked.len();
        let effect = match (done, done % 2) {
            (0, _) => Effect::Captured,
            (_, 1) => Effect::Closed,
            _ => Effect::Reopened,
        };
        client.asked.push(Asked { key: format!("{number}-{done}"), effect, answers: Vec::new() });
    }
}

pub fn lead_id(number: usize) -> Uuid {
    Uuid::from_u128(0x1ead << 64 | number as u128)
}
