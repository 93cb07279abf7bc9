//! Judging a batch: digests, the call, halving after a failure, and a result for every lead.

use std::ops::Range;
use std::sync::Arc;

use handfast_domain::digest::Digest;
use handfast_domain::snapshot::Snapshot;
use handfast_domain::verdict::{Assignment, Status, Verdict};

use crate::canonical::{self, Inputs};
use crate::columns::Rows;
use crate::contract;
use crate::guest::{Budget, Failure, Sandbox};
use crate::output::{self, Answer};
use crate::plugin::Plugin;
use crate::rule::{Context, NativeRule, Rule, Settings};

/// What became of one lead in one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub status: Status,
    /// Present exactly when the status is OK.
    pub verdict: Option<Verdict>,
    pub input_digest: Digest,
    /// Of the verdict without its trace.
    pub output_digest: Option<Digest>,
    /// The lead's share of what its call used.
    pub fuel: u64,
    /// Leads in the batch. The fuel cap follows from it, so that a replay needs it.
    pub batch_size: u32,
    /// What went wrong, for the operator; the rule's own words with FAULT.
    pub message: Option<String>,
}

/// What became of a lead that was routed.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    pub status: Status,
    pub assignment: Option<Assignment>,
    pub input_digest: Digest,
    pub output_digest: Option<Digest>,
    pub fuel: u64,
    pub message: Option<String>,
}

/// Everything that the calls of one batch share.
pub struct Batch<'a> {
    pub sandbox: Sandbox<'a>,
    pub rule: &'a Rule,
    pub settings: &'a Settings,
    pub context: Context,
}

impl Batch<'_> {
    /// Judges `leads` under the cap of a batch of `size`.
    pub fn judge(&self, leads: &[Arc<Snapshot>], size: usize) -> Vec<Judged> {
        let rows = self.rule.reads().rows(leads);
        let mut inputs = Inputs::new(self.rule.reads(), self.settings, self.context);
        let digests: Vec<Digest> = (0..leads.len()).map(|lead| inputs.digest(rows.row(lead))).collect();
        let mut run = Run {
            batch: self,
            rows,
            budget: Budget::batch(self.sandbox.limits, size),
            ends: Vec::with_capacity(leads.len()),
            failures: 0,
        };
        match self.rule {
            Rule::Wasm(plugin) => run.judge(plugin, 0..leads.len()),
            Rule::Native(native) => run.ends.extend(leads.iter().map(|lead| self.native(native, lead))),
        }
        let mut buffer = Vec::new();
        run.ends
            .into_iter()
            .zip(digests)
            .map(|(end, input_digest)| Judged {
                status: end.status,
                output_digest: end.given.as_ref().map(|given| canonical::verdict(given, &mut buffer)),
                verdict: end.given,
                input_digest,
                fuel: end.fuel,
                batch_size: size as u32,
                message: end.message,
            })
            .collect()
    }

    /// Answers for leads that no rule was asked about.
    pub fn unjudged(&self, leads: &[Arc<Snapshot>], why: Unasked) -> Vec<Judged> {
        let rows = self.rule.reads().rows(leads);
        let mut inputs = Inputs::new(self.rule.reads(), self.settings, self.context);
        (0..leads.len())
            .map(|lead| Judged {
                status: why.status(),
                verdict: None,
                input_digest: inputs.digest(rows.row(lead)),
                output_digest: None,
                fuel: 0,
                batch_size: leads.len() as u32,
                message: Some(why.message()),
            })
            .collect()
    }

    pub fn route(&self, lead: &Arc<Snapshot>) -> Routed {
        let owners = lead.pool.as_ref().map_or(&[][..], |pool| &pool.owners);
        let rows = self.rule.reads().rows(std::slice::from_ref(lead));
        let end = match self.rule {
            Rule::Wasm(plugin) => {
                let columns = rows.columns(self.rule.reads(), 0..1);
                let (result, fuel) =
                    plugin.assign(self.sandbox, self.settings, self.context, &columns.lower(), owners);
                End::of(result, fuel, |raw| {
                    output::assignment(raw, &plugin.descriptor, owners, self.context.explain)
                })
            }
            Rule::Native(native) => End::native(native.assign(self.settings, &self.context, lead)),
        };
        Routed {
            status: end.status,
            output_digest: end
                .given
                .as_ref()
                .map(|given| Assignment { trace: Vec::new(), ..given.clone() }.digest()),
            assignment: end.given,
            input_digest: self.routing_input(lead),
            fuel: end.fuel,
            message: end.message,
        }
    }

    pub fn unrouted(&self, lead: &Arc<Snapshot>, why: Unasked) -> Routed {
        Routed {
            status: why.status(),
            assignment: None,
            input_digest: self.routing_input(lead),
            output_digest: None,
            fuel: 0,
            message: Some(why.message()),
        }
    }

    fn routing_input(&self, lead: &Arc<Snapshot>) -> Digest {
        let rows = self.rule.reads().rows(std::slice::from_ref(lead));
        let owners = lead.pool.as_ref().map_or(&[][..], |pool| &pool.owners);
        Inputs::new(self.rule.reads(), self.settings, self.context).digest_with(rows.row(0), owners)
    }

    fn native(&self, native: &NativeRule, lead: &Snapshot) -> End<Verdict> {
        End::native(native.judge(self.settings, &self.context, lead))
    }
}

/// Why a rule was not asked.
#[derive(Clone, Copy)]
pub enum Unasked {
    /// The queue is full.
    Busy,
    /// The host itself panicked, which is a bug. For the lead that is as if the rule had trapped.
    Broken,
}

impl Unasked {
    fn status(self) -> Status {
        match self {
            Unasked::Busy => Status::Busy,
            Unasked::Broken => Status::Trapped,
        }
    }

    fn message(self) -> String {
        match self {
            Unasked::Busy => "the rules host was at capacity (RULES_BUSY)".to_owned(),
            Unasked::Broken => "the rules host failed; its log says more".to_owned(),
        }
    }
}

/// How a call ended for one lead.
struct End<T> {
    status: Status,
    given: Option<T>,
    fuel: u64,
    message: Option<String>,
}

impl<T> End<T> {
    fn failed(failure: Failure, fuel: u64) -> End<T> {
        End { status: failure.status, given: None, fuel, message: Some(failure.message) }
    }

    fn answer(answer: Result<Answer<T>, String>, fuel: u64) -> End<T> {
        match answer {
            Ok(Answer::Given(given)) => End { status: Status::Ok, given: Some(given), fuel, message: None },
            Ok(Answer::Fault(words)) => {
                End { status: Status::Fault, given: None, fuel, message: Some(words) }
            }
            Err(message) => End { status: Status::InvalidOutput, given: None, fuel, message: Some(message) },
        }
    }

    fn of<R>(
        result: Result<R, Failure>,
        fuel: u64,
        check: impl FnOnce(R) -> Result<Answer<T>, String>,
    ) -> End<T> {
        match result {
            Ok(raw) => End::answer(check(raw), fuel),
            Err(failure) => End::failed(failure, fuel),
        }
    }

    fn native(given: Option<T>) -> End<T> {
        let message = "the native rule is of the other kind";
        End::answer(given.map(Answer::Given).ok_or_else(|| message.to_owned()), 0)
    }
}

struct Run<'a, 'b> {
    batch: &'a Batch<'a>,
    rows: Rows<'b>,
    budget: Budget,
    ends: Vec<End<Verdict>>,
    /// Leads that failed on their own.
    failures: usize,
}

impl Run<'_, '_> {
    /// Judges a range; after a failure its halves, down to single leads, each under the whole batch's cap, so that a lead's
    /// verdict does not depend on its company.
    fn judge(&mut self, plugin: &Plugin, range: Range<usize>) {
        if self.failures >= self.batch.sandbox.limits.failures {
            return self.abstain(range);
        }
        let (result, fuel) = self.call(plugin, range.clone());
        match result {
            Ok(raw) => {
                let share = fuel / range.len().max(1) as u64;
                let explain = self.batch.context.explain;
                let checked = raw
                    .into_iter()
                    .map(|raw| End::answer(output::verdict(raw, &plugin.descriptor, explain), share));
                self.ends.extend(checked);
            }
            Err(failure) if range.len() <= 1 => {
                self.failures += 1;
                self.ends.extend(range.map(|_| End::failed(failure.clone(), fuel)));
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                self.judge(plugin, range.start..middle);
                self.judge(plugin, middle..range.end);
            }
        }
    }

    fn call(&self, plugin: &Plugin, range: Range<usize>) -> (Result<Vec<contract::Verdict>, Failure>, u64) {
        let Batch { sandbox, settings, context, .. } = *self.batch;
        let count = range.len();
        let columns = self.rows.columns(&plugin.reads, range);
        let (result, fuel) =
            plugin.evaluate(sandbox, self.budget, settings, context, count, &columns.lower());
        let counted = result.and_then(|verdicts| {
            if verdicts.len() == count {
                return Ok(verdicts);
            }
            let message = format!("{} verdicts for {count} leads", verdicts.len());
            Err(Failure { status: Status::InvalidOutput, message })
        });
        (counted, fuel)
    }

    /// The rest of a batch in which too many leads failed: no verdict, and the status of the last failure.
    fn abstain(&mut self, range: Range<usize>) {
        let status = self
            .ends
            .iter()
            .rev()
            .find(|end| end.status != Status::Ok)
            .map_or(Status::Trapped, |end| end.status);
        let message = format!("not judged: {} leads of this batch failed before it", self.failures);
        self.ends.extend(range.map(|_| End { status, given: None, fuel: 0, message: Some(message.clone()) }));
    }
}
